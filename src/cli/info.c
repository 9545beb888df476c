/* SPDX-License-Identifier: Apache-2.0 */
/* `info`: this program, this machine, which runtimes work here, and how much there is. Changes nothing. */
#include <sys/utsname.h>
#include <unistd.h>

#include "base/json.h"
#include "base/strv.h"
#include "cli/context.h"
#include "runtimes/networks.h"

struct facts {
        struct utsname uts;
        long cpus;
        uint64_t memory;
        struct zl_runtime_info *runtimes;
        size_t n_runtimes;
        struct zl_networks_facts network;
};

static int gather(struct zl_cli *cli, struct facts *f, struct zl_error *err)
{
        struct zl_runtime_options options = { .root_dir = cli->root_dir,
                                              .runtime_dir = cli->runtime_dir };
        const struct zl_networks networks = { cli->root_dir, cli->runtime_dir };
        long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
        int r;

        if (uname(&f->uts) < 0)
                return zl_fail_errno(err, errno, "cannot ask for the name of the system");
        f->cpus = sysconf(_SC_NPROCESSORS_ONLN);
        f->memory = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
        r = zl_networks_probe(&networks, &f->network, err);
        return r < 0 ? r : zl_runtime_probe(&options, &f->runtimes, &f->n_runtimes, err);
}

static json_t *names(char *const *strv)
{
        json_t *list = json_array();

        ZL_STRV_FOREACH(s, strv)
                json_array_append_new(list, json_string(*s));
        return list;
}

static int add_runtimes(json_t *o, const struct facts *f)
{
        json_t *list = json_array();

        for (size_t i = 0; list && i < f->n_runtimes; i++) {
                const struct zl_runtime_info *info = &f->runtimes[i];
                json_t *one = json_pack("{s:s, s:b, s:b, s:s}", "kind",
                                        zl_runtime_kind_name(info->kind), "built", info->built,
                                        "available", info->available, "detail", info->detail);

                if (info->version)
                        zl_json_set(one, "version", json_string(info->version));
                zl_json_set(one, "operations", names(info->operations));
                if (!one || json_array_append_new(list, one) < 0) {
                        json_decref(list);
                        return -ENOMEM;
                }
        }
        return zl_json_set(o, "runtimes", list);
}

static int print_json(const struct zl_cli *cli, const struct facts *f)
{
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ json_t *o = json_pack(
                "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I}", "version", ZL_VERSION, "root_dir",
                cli->root_dir, "runtime_dir", cli->runtime_dir, "socket", cli->socket, "os",
                f->uts.sysname, "kernel", f->uts.release, "architecture", f->uts.machine, "cpus",
                (json_int_t)f->cpus, "memory_bytes", (json_int_t)f->memory);

        if (!o || zl_json_set(o, "network", zl_networks_facts_view(&f->network)) < 0 ||
            add_runtimes(o, f) < 0)
                return -ENOMEM;
        text = zl_json_dump(o, 2);
        if (!text)
                return -ENOMEM;
        puts(text);
        return 0;
}

/* One line, and a second with what it lacks of the interface. */
static void print_runtime(const struct zl_runtime_info *info)
{
        const char *op;
        bool first = true;

        printf("  %-11s %s%s", zl_runtime_kind_name(info->kind),
               info->available ? "ready: "
               : info->built   ? "not usable here: "
                               : "not in this build: ",
               info->detail);
        printf(info->version ? " (%s)\n" : "\n", info->version);
        for (size_t i = 0; info->available && (op = zl_runtime_operation_name(i)); i++) {
                if (zl_strv_contains(info->operations, op))
                        continue;
                printf("%s%s", first ? "              lacks: " : ", ", op);
                first = false;
        }
        if (!first)
                putchar('\n');
}

static void print_text(const struct zl_cli *cli, const struct facts *f)
{
        char size[ZL_CLI_TEXT_SIZE];

        printf("version      %s\nroot dir     %s\nruntime dir  %s\nsocket       %s\n", ZL_VERSION,
               cli->root_dir, cli->runtime_dir, cli->socket);
        printf("system       %s %s %s\ncpus         %ld\nmemory       %s\n", f->uts.sysname,
               f->uts.release, f->uts.machine, f->cpus, zl_cli_format_size(f->memory, size));
        printf("network      %s%s\nruntimes\n",
               f->network.way ? "" : "the host's only: ", f->network.detail);
        for (size_t i = 0; i < f->n_runtimes; i++)
                print_runtime(&f->runtimes[i]);
}

static int run(struct zl_cli *cli, void *options, int argc, char **argv)
{
        struct facts f = { 0 };
        struct zl_error err = ZL_ERROR_INIT;

        (void)options;
        (void)argc;
        (void)argv;
        if (gather(cli, &f, &err) < 0)
                return zl_cli_fail(cli, &err);
        if (!cli->json)
                print_text(cli, &f);
        else if (print_json(cli, &f) < 0)
                zl_fail_oom(&err);
        zl_runtime_info_free(f.runtimes, f.n_runtimes);
        return zl_error_is_set(&err) ? zl_cli_fail(cli, &err) : ZL_EXIT_OK;
}

const struct zl_cli_command zl_cmd_info = {
        .name = "info",
        .args = "",
        .summary = "Show this program, this machine and which runtimes work here",
        .run = run,
};
