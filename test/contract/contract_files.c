/* SPDX-License-Identifier: Apache-2.0 */
/* Cases: images, figures, limits, files. */
#include "contract.h"

static int case_images(const char *name)
{
        _cleanup_free_ char *json = NULL, *history = NULL;
        _cleanup_close_ int fd = temporary();
        struct zl_image_info *infos;
        bool found = false;
        uint64_t freed;
        size_t n;

        OK(zl_runtime_image_inspect(rt, "bb", &json, &err));
        CHECK(strstr(json, "sha256:"));
        OK(zl_runtime_image_tag(rt, "bb", "other/name:v1", &err));
        OK(zl_runtime_image_list(rt, &infos, &n, &err));
        for (size_t i = 0; i < n; i++)
                found = found || (infos[i].reference && infos[i].id && infos[i].size > 1000 &&
                                  zl_streq(infos[i].reference, "docker.io/other/name:v1"));
        zl_image_info_free(infos, n);
        CHECK(found);
        OK(zl_runtime_image_history(rt, "bb", &history, &err));
        CHECK(history[0] == '[');
        OK(zl_runtime_image_save(rt, "other/name:v1", fd, &err));
        CHECK(file_has(fd, "manifest.json") || file_has(fd, "index.json"));
        OK(zl_runtime_image_remove(rt, "other/name:v1", false, &err));
        FAILS(zl_runtime_image_inspect(rt, "other/name:v1", &json, &err), ZL_E_NOT_FOUND);
        OK(zl_runtime_image_inspect(rt, "bb", &history, &err));
        OK(zl_runtime_image_prune(rt, false, &freed, &err));
        OK(zl_runtime_image_inspect(rt, "bb", &history, &err));
        return 0;
}

static int case_pull_never(const char *name)
{
        const struct zl_pull_options never = { .policy = ZL_PULL_NEVER };
        char *digest;

        OK(zl_runtime_pull(rt, "bb", &never, &digest, &err));
        CHECK(zl_startswith(digest, "sha256:"));
        free(digest);
        FAILS(zl_runtime_pull(rt, "no.such.registry.invalid/x:1", &never, NULL, &err),
              ZL_E_NOT_FOUND);
        return 0;
}

static int case_image_health(const char *name)
{
        struct zl_image_health health;

        OK(zl_runtime_image_health(rt, "bb", &health, &err));
        CHECK(!health.test);
        zl_image_health_done(&health);
        return 0;
}

static int case_stats(const char *name)
{
        struct zl_stats s;

        OK(start_with(name, "echo ready; exec sleep 1000", ", resources: {memory: 64Mi}"));
        OK(wait_line(name, "ready"));
        OK(zl_runtime_stats(rt, name, &s, &err));
        CHECK(s.memory_bytes > 0 && s.memory_limit == 64 << 20 && s.pids >= 1 && s.cpu_usec > 0);
        OK(zl_runtime_stop(rt, name, 0, &err));
        FAILS(zl_runtime_stats(rt, name, &s, &err), ZL_E_STATE);
        return 0;
}

/* By the process and not by the runtime's own idea of where its group is. -1: it has none of either version. */
static int64_t memory_limit_of(pid_t pid)
{
        char path[64], line[600], file[800];
        int64_t limit = -1;
        FILE *groups, *f;

        snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
        groups = fopen(path, "re");
        while (groups && limit < 0 && fgets(line, sizeof(line), groups)) {
                const char *v1 = strstr(line, ":memory:/"), *v2 = zl_startswith(line, "0::/");

                line[strcspn(line, "\n")] = 0;
                if (v1)
                        snprintf(file, sizeof(file),
                                 "/sys/fs/cgroup/memory/%s/memory.limit_in_bytes",
                                 v1 + strlen(":memory:/"));
                else if (v2)
                        snprintf(file, sizeof(file), "/sys/fs/cgroup/%s/memory.max", v2);
                else
                        continue;
                f = fopen(file, "re");
                if (f && fgets(line, sizeof(line), f))
                        limit = strtoll(line, NULL, 10);
                if (f)
                        fclose(f);
        }
        if (groups)
                fclose(groups);
        return limit;
}

static int case_update(const char *name)
{
        struct zl_status status;
        struct zl_update u = ZL_UPDATE_INIT;
        struct zl_stats s;

        OK(start_with(name, "echo ready; exec sleep 1000", ", resources: {memory: 64Mi}"));
        OK(wait_line(name, "ready"));
        u.memory = 48 << 20;
        OK(zl_runtime_update(rt, name, &u, &err));
        OK(zl_runtime_stats(rt, name, &s, &err));
        CHECK(s.memory_limit == 48 << 20);
        OK(zl_runtime_state(rt, name, &status, &err));
        CHECK(kind == ZL_RUNTIME_MOCK || memory_limit_of(status.pid) == 48 << 20);
        zl_status_done(&status);
        return 0;
}

static int case_top(const char *name)
{
        bool found = false;
        struct zl_top top;

        OK(start_with(name, "echo ready; exec sleep 1234", ""));
        OK(wait_line(name, "ready"));
        OK(zl_runtime_top(rt, name, NULL, &top, &err));
        CHECK(zl_strv_len(top.titles) > 1 && top.n_rows == 1);
        ZL_STRV_FOREACH(cell, top.rows[0])
                found = found || strstr(*cell, "sleep 1234");
        CHECK(zl_strv_len(top.rows[0]) == zl_strv_len(top.titles));
        zl_top_done(&top);
        CHECK(found);
        return 0;
}

static int case_archive(const char *name)
{
        _cleanup_close_ int tar = temporary();
        struct zl_file_stat stat;
        const struct zl_log_options o = { .tail = -1 };
        int code;

        OK(create_with(name, "cat /mnt/passwd | head -n 1; readlink /mnt/link || true", ""));
        OK(zl_runtime_archive_head(rt, name, "/etc/passwd", &stat, &err));
        CHECK(zl_streq(stat.name, "passwd") && S_ISREG(stat.mode) && stat.size > 10 &&
              stat.mtime > 0);
        zl_file_stat_done(&stat);
        OK(zl_runtime_archive_head(rt, name, "/etc", &stat, &err));
        CHECK(S_ISDIR(stat.mode));
        zl_file_stat_done(&stat);
        FAILS(zl_runtime_archive_head(rt, name, "/no/such", &stat, &err), ZL_E_NOT_FOUND);
        OK(zl_runtime_archive_get(rt, name, "/etc/passwd", tar, &err));
        CHECK(file_has(tar, "root:x:0:0") && file_has(tar, "passwd"));
        lseek(tar, 0, SEEK_SET);
        OK(zl_runtime_archive_put(rt, name, "/mnt", tar, 0, &err));
        lseek(tar, 0, SEEK_SET);
        FAILS(zl_runtime_archive_put(rt, name, "/no/such", tar, 0, &err), ZL_E_NOT_FOUND);
        OK(zl_runtime_start(rt, name, &err));
        if (wait_end(name, &code, NULL) < 0)
                return -1;
        return expect_log(name, &o, "1:root:x:0:0:root:/root:/bin/sh|");
}

/* In one that runs, and in one that has ended with a volume. */
static int case_archive_running(const char *name)
{
        _cleanup_buf_ struct zl_buf out = ZL_BUF_INIT(1 << 16);
        _cleanup_close_ int tar = temporary(), link = temporary();
        struct zl_file_stat stat;
        int code;

        OK(start_with(
                name,
                "ln -s /etc/passwd /mnt/link; mkdir -p /mnt/dir/passwd; ln -s /mnt/dir /etc/in; echo ready; exec sleep 1000",
                ""));
        OK(wait_line(name, "ready"));
        OK(zl_runtime_archive_head(rt, name, "/mnt/link", &stat, &err));
        CHECK(S_ISLNK(stat.mode) && zl_streq(stat.link_target, "/etc/passwd") &&
              zl_streq(stat.name, "link"));
        zl_file_stat_done(&stat);
        OK(zl_runtime_archive_get(rt, name, "/mnt/link", link, &err));
        CHECK(file_has(link, "/etc/passwd") && !file_has(link, "root:x:0:0"));
        OK(zl_runtime_archive_get(rt, name, "/etc/passwd", tar, &err));
        lseek(tar, 0, SEEK_SET);
        /* The directory is reached by a link, and the name there is a directory. */
        CHECK(zl_runtime_archive_put(rt, name, "/etc/in", tar, ZL_ARCHIVE_NO_OVERWRITE_DIR, &err) <
              0);
        lseek(tar, 0, SEEK_SET);
        OK(zl_runtime_archive_put(rt, name, "/etc/in", tar, 0, &err));
        OK(exec_in(name, "head -n 1 /mnt/dir/passwd", NULL, &out, &code));
        CHECK(code == 0 && zl_startswith(out.data, "root:x:0:0"));
        CHECK(lseek(tar, 0, SEEK_SET) == 0 && write(tar, "no archive", 10) == 10);
        lseek(tar, 0, SEEK_SET);
        CHECK(zl_runtime_archive_put(rt, name, "/mnt", tar, 0, &err) < 0);
        return 0;
}

/* Whatever comes of putting a file where another is mounted: what is mounted stays. */
static int case_archive_mounts(const char *name)
{
        _cleanup_buf_ struct zl_buf out = ZL_BUF_INIT(1 << 16);
        _cleanup_close_ int tar = temporary();
        int code;

        OK(start_with(name, "echo ready; exec sleep 1000", ""));
        OK(wait_line(name, "ready"));
        OK(zl_runtime_archive_get(rt, name, "/etc/hosts", tar, &err));
        CHECK(file_has(tar, "localhost"));
        lseek(tar, 0, SEEK_SET);
        (void)zl_runtime_archive_put(rt, name, "/etc", tar, 0, &err);
        OK(exec_in(name, "grep -c \" /etc/hosts \" /proc/self/mountinfo", NULL, &out, &code));
        CHECK(zl_streq(out.data, "1\n"));
        return 0;
}

static int case_archive_ended(const char *name)
{
        const struct zl_log_options o = { .tail = -1 };
        _cleanup_close_ int tar = temporary();
        int code;

        OK(start_with(
                name,
                "head -n 1 /data/passwd 2>/dev/null; cp /etc/passwd /data/passwd; sed -i s/root:x/boot:x/ /etc/passwd",
                ", storage: [{type: anonymous, target: /data}]"));
        if (wait_end(name, &code, NULL) < 0)
                return -1;
        OK(zl_runtime_archive_get(rt, name, "/etc/passwd", tar, &err));
        CHECK(file_has(tar, "boot:x:0:0"));
        lseek(tar, 0, SEEK_SET);
        OK(zl_runtime_archive_put(rt, name, "/data", tar, ZL_ARCHIVE_COPY_UID_GID, &err));
        OK(zl_runtime_start(rt, name, &err));
        if (wait_end(name, &code, NULL) < 0)
                return -1;
        return expect_log(name, &o, "1:boot:x:0:0:root:/root:/bin/sh|");
}

static int case_changes(const char *name)
{
        static const struct zl_change wanted[] = {
                { (char *)(uintptr_t) "/etc", ZL_CHANGE_MODIFIED },
                { (char *)(uintptr_t) "/etc/group", ZL_CHANGE_DELETED },
                { (char *)(uintptr_t) "/etc/passwd", ZL_CHANGE_MODIFIED },
                { (char *)(uintptr_t) "/mnt", ZL_CHANGE_MODIFIED },
                { (char *)(uintptr_t) "/mnt/new", ZL_CHANGE_ADDED },
                { (char *)(uintptr_t) "/mnt/new/file", ZL_CHANGE_ADDED },
        };
        struct zl_change *changes;
        size_t n, found = 0;
        int code;

        OK(start_with(name,
                      "echo x >>/etc/passwd; rm /etc/group; mkdir /mnt/new; echo y >/mnt/new/file",
                      ""));
        if (wait_end(name, &code, NULL) < 0)
                return -1;
        OK(zl_runtime_changes(rt, name, &changes, &n, &err));
        for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < ZL_ARRAY_SIZE(wanted); k++)
                        found += zl_streq(changes[i].path, wanted[k].path) &&
                                 changes[i].kind == wanted[k].kind;
        zl_change_free(changes, n);
        CHECK(found == ZL_ARRAY_SIZE(wanted));
        return 0;
}

static int case_export(const char *name)
{
        _cleanup_close_ int tar = temporary();

        OK(start_with(name, "echo made >/made; echo ready; exec sleep 1000", ""));
        OK(wait_line(name, "ready"));
        OK(zl_runtime_export(rt, name, tar, &err));
        CHECK(file_has(tar, "etc/passwd") && file_has(tar, "bin/busybox") && file_has(tar, "made"));
        CHECK(!file_has(tar, "proc/1/status")); /* what is mounted in it is no part of it */
        return 0;
}

static int case_commit(const char *name)
{
        const struct zl_commit_options o = { .image = "committed:v1", .comment = "a test" };
        const struct zl_log_options out = { .tail = -1 };
        _cleanup_free_ char *id = NULL, *json = NULL;
        int code;

        OK(start_with(
                name,
                "echo kept >/kept; rm /etc/group; rm -r /root; mkdir /root; echo ready; exec sleep 1000",
                ""));
        OK(wait_line(name, "ready"));
        OK(zl_runtime_commit(rt, name, &o, &id, &err));
        CHECK(zl_startswith(id, "sha256:"));
        OK(zl_runtime_image_inspect(rt, "committed:v1", &json, &err));
        CHECK(strstr(json, id));
        OK(zl_runtime_remove(rt, name, true, &err));
        /* What was made is there, what was removed is not. */
        OK(start_image(name, "committed:v1",
                       "cat /kept; cat /etc/group 2>/dev/null; head -c 5 /etc/passwd; echo"));
        if (wait_end(name, &code, NULL) < 0)
                return -1;
        CHECK(code == 0);
        if (expect_log(name, &out, "1:kept|1:root:|") < 0)
                return -1;
        OK(zl_runtime_remove(rt, name, false, &err));
        OK(zl_runtime_image_remove(rt, "committed:v1", true, &err));
        return 0;
}

const struct contract_case file_cases[] = {
        { "stats", "stats process", case_stats },
        { "update", "update process", case_update },
        { "top", "top shell", case_top },
        { "archive", "archive_head archive_get archive_put shell", case_archive },
        { "archive_running", "archive_head archive_get archive_put exec shell",
          case_archive_running },
        { "archive_mounts", "archive_get archive_put exec shell", case_archive_mounts },
        { "archive_ended", "archive_get archive_put logs shell", case_archive_ended },
        { "changes", "changes shell", case_changes },
        { "export", "export shell", case_export },
        { "commit", "commit image_remove shell", case_commit },
        { "pull_never", "pull image_load", case_pull_never },
        { "image_health", "image_health image_inspect", case_image_health },
        { "images",
          "image_list image_inspect image_history image_tag image_remove image_prune image_save image_load",
          case_images },
        { NULL, NULL, NULL },
};
