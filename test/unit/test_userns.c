/* SPDX-License-Identifier: Apache-2.0 */
/* Id maps, in real user namespaces. The program may be run by anybody; what needs the helpers is in oci_rootless.bats. */
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "linux/clone.h"
#include "linux/userns.h"
#include "support.h"

/* A child in a new user namespace that waits to be killed. 0: this machine lets nobody have one. */
static pid_t make_child(void)
{
        struct zl_clone how = { .flags = CLONE_NEWUSER, .cgroup_fd = -1 };
        pid_t pid = zl_clone(&how);

        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
                for (;;)
                        pause();
        }
        return pid < 0 ? 0 : pid;
}

static void end_child(pid_t pid)
{
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
}

static char *read_proc(pid_t pid, const char *file)
{
        char path[64], *text = NULL;

        snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
        assert_int_equal(zl_read_file_at(AT_FDCWD, path, 4096, &text, NULL), 0);
        return text;
}

static void test_text(void **state)
{
        static const struct zl_oci_id_map maps[] = { { 0, 1000, 1 },
                                                     { 1, 100000, 65536 },
                                                     { 4294967294U, 4294967294U, 1 } };
        char *text = zl_userns_map_text(maps, 3);

        (void)state;
        assert_string_equal(text, "0 1000 1\n1 100000 65536\n4294967294 4294967294 1\n");
        free(text);
        text = zl_userns_map_text(maps, 0);
        assert_string_equal(text, "");
        free(text);
}

static void test_own_id(void **state)
{
        const struct zl_oci_id_map uid = { 7, geteuid(), 1 }, gid = { 8, getegid(), 1 };
        const struct zl_userns_maps maps = { &uid, 1, &gid, 1 };
        pid_t pid = make_child();
        char *text, want[40];

        (void)state;
        if (!pid)
                skip();
        assert_int_equal(zl_userns_write_maps(pid, &maps, NULL), 0);
        text = read_proc(pid, "uid_map");
        snprintf(want, sizeof want, "%u", geteuid());
        assert_non_null(strstr(text, want));
        free(text);
        text = read_proc(pid, "setgroups");
        assert_int_equal(strncmp(text, "deny", 4) == 0, zl_userns_denies_groups(&maps));
        free(text);
        /* A map is written once. */
        assert_int_not_equal(zl_userns_write_maps(pid, &maps, NULL), 0);
        end_child(pid);
}

static void test_own_maps(void **state)
{
        struct zl_oci_id_map storage[ZL_USERNS_OWN_MAX];
        struct zl_userns_maps maps = { NULL };
        uint64_t inside = 0;
        pid_t pid;

        (void)state;
        assert_int_equal(zl_userns_own_maps(storage, &maps, NULL), 0);
        assert_true(maps.n_uids >= 1 && maps.n_gids >= 1);
        assert_int_equal(maps.uids[0].container_id, 0);
        for (size_t i = 0; i < maps.n_uids; i++) {
                assert_true(maps.uids[i].size > 0);
                assert_true(maps.uids[i].container_id >= inside); /* in order, and none twice */
                inside = (uint64_t)maps.uids[i].container_id + maps.uids[i].size;
        }
        pid = make_child();
        if (!pid)
                skip();
        assert_int_equal(zl_userns_write_maps(pid, &maps, NULL), 0);
        end_child(pid);
}

static void test_nobodys_ids(void **state)
{
        const struct zl_oci_id_map twice[] = { { 0, geteuid(), 1 }, { 0, geteuid(), 1 } };
        const struct zl_userns_maps maps = { twice, 2, twice, 2 };
        struct zl_error err = ZL_ERROR_INIT;
        pid_t pid = make_child();

        (void)state;
        if (!pid)
                skip();
        assert_true(zl_userns_write_maps(pid, &maps, &err) < 0);
        assert_non_null(strstr(zl_error_message(&err), "linux.gidMappings"));
        zl_error_done(&err);
        end_child(pid);
        assert_true(zl_userns_write_maps(pid, &maps, &err) < 0); /* it is gone */
        zl_error_done(&err);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_text),
                cmocka_unit_test(test_own_id),
                cmocka_unit_test(test_own_maps),
                cmocka_unit_test(test_nobodys_ids),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
