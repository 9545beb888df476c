/* SPDX-License-Identifier: Apache-2.0 */
/* Case: what a backend lacks answers "unsupported", whatever it is asked about. */
#include "contract.h"

static int lacks_files(const char *name)
{
        struct zl_file_stat stat;
        struct zl_change *changes;
        size_t n;

        if (!zl_runtime_can(rt, "archive_head"))
                FAILS(zl_runtime_archive_head(rt, name, "/etc", &stat, &err), ZL_E_UNSUPPORTED);
        if (!zl_runtime_can(rt, "archive_get"))
                FAILS(zl_runtime_archive_get(rt, name, "/etc", 1, &err), ZL_E_UNSUPPORTED);
        if (!zl_runtime_can(rt, "archive_put"))
                FAILS(zl_runtime_archive_put(rt, name, "/etc", 1, 0, &err), ZL_E_UNSUPPORTED);
        if (!zl_runtime_can(rt, "export"))
                FAILS(zl_runtime_export(rt, name, 1, &err), ZL_E_UNSUPPORTED);
        if (!zl_runtime_can(rt, "changes"))
                FAILS(zl_runtime_changes(rt, name, &changes, &n, &err), ZL_E_UNSUPPORTED);
        return 0;
}

static int lacks_images(void)
{
        struct zl_image_info *infos;
        char *json;
        size_t n;

        if (!zl_runtime_can(rt, "image_search"))
                FAILS(zl_runtime_image_search(rt, "bb", 1, &json, &err), ZL_E_UNSUPPORTED);
        if (!zl_runtime_can(rt, "image_list"))
                FAILS(zl_runtime_image_list(rt, &infos, &n, &err), ZL_E_UNSUPPORTED);
        if (!zl_runtime_can(rt, "image_inspect"))
                FAILS(zl_runtime_image_inspect(rt, "bb", &json, &err), ZL_E_UNSUPPORTED);
        if (!zl_runtime_can(rt, "image_history"))
                FAILS(zl_runtime_image_history(rt, "bb", &json, &err), ZL_E_UNSUPPORTED);
        if (!zl_runtime_can(rt, "image_tag"))
                FAILS(zl_runtime_image_tag(rt, "bb", "cc", &err), ZL_E_UNSUPPORTED);
        if (!zl_runtime_can(rt, "image_remove"))
                FAILS(zl_runtime_image_remove(rt, "bb", false, &err), ZL_E_UNSUPPORTED);
        if (!zl_runtime_can(rt, "image_prune"))
                FAILS(zl_runtime_image_prune(rt, false, NULL, &err), ZL_E_UNSUPPORTED);
        if (!zl_runtime_can(rt, "image_save"))
                FAILS(zl_runtime_image_save(rt, "bb", 1, &err), ZL_E_UNSUPPORTED);
        if (!zl_runtime_can(rt, "image_load"))
                FAILS(zl_runtime_image_load(rt, "/nowhere", "bb", NULL, NULL, &err),
                      ZL_E_UNSUPPORTED);
        return 0;
}

static int case_lacks(const char *name)
{
        const struct zl_commit_options commit = { .image = "x:1" };
        struct zl_update u = ZL_UPDATE_INIT;
        struct zl_watch *watch;
        struct zl_top top;

        OK(create_with(name, "true", ""));
        if (lacks_files(name) < 0 || lacks_images() < 0)
                return -1;
        if (!zl_runtime_can(rt, "rename"))
                FAILS(zl_runtime_rename(rt, name, "contract.x.1", &err), ZL_E_UNSUPPORTED);
        if (!zl_runtime_can(rt, "update"))
                FAILS(zl_runtime_update(rt, name, &u, &err), ZL_E_UNSUPPORTED);
        if (!zl_runtime_can(rt, "top"))
                FAILS(zl_runtime_top(rt, name, NULL, &top, &err), ZL_E_UNSUPPORTED);
        if (!zl_runtime_can(rt, "commit"))
                FAILS(zl_runtime_commit(rt, name, &commit, NULL, &err), ZL_E_UNSUPPORTED);
        if (!zl_runtime_can(rt, "watch_all"))
                FAILS(zl_watch_open_all(rt, &watch, &err), ZL_E_UNSUPPORTED);
        return 0;
}

const struct contract_case lack_cases[] = {
        { "lacks", "", case_lacks },
        { NULL, NULL, NULL },
};
