/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json: what is read, what is refused, and that what was written is read back the same. Beside it the small
 * parsers of the engine: capabilities and mount options.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include "linux/caps.h"
#include "linux/mounts.h"
#include "oci/runtime_config.h"

static struct zl_oci_config *parse(const char *text)
{
        struct zl_oci_config *config = NULL;
        struct zl_error err = ZL_ERROR_INIT;

        if (zl_oci_config_parse(text, strlen(text), "config.json", &config, &err) < 0) {
                print_message("%s\n", zl_error_message(&err));
                zl_error_done(&err);
                return NULL;
        }
        return config;
}

#define BASE                                                                                       \
        "\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"rootfs\"},"                                 \
        "\"process\":{\"cwd\":\"/\",\"args\":[\"a\"],\"user\":{\"uid\":7,\"gid\":8,"               \
        "\"additionalGids\":[1,2]}}"

static struct zl_oci_config *load_without_calls(const char *text, struct zl_error *err)
{
        struct zl_oci_config *config = NULL;
        int fd = memfd_create("config", MFD_CLOEXEC);
        char path[64];

        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (zl_oci_config_load_without_calls_at(AT_FDCWD, path, &config, err) < 0)
                config = NULL;
        close(fd);
        return config;
}

static void test_without_calls(void **state _unused_)
{
        static const char text[] =
                "{" BASE ",\"annotations\":{\"syscalls\":\"b\",\"x\":\"\\\"syscalls\\\":[\"},\n"
                "\"linux\":{\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"flags\":[\"f\"],\n"
                "\"syscalls\" : [{\"names\":[\"a]\",\"\\\"]\\\\\",\"b\"],\n\"args\":[[]]}],"
                "\"listenerPath\":\"/l\"},\"namespaces\":[{\"type\":\"mount\"}]}}";
        static const char *const broken[] = {
                "{" BASE ",\"linux\":{\"seccomp\":{\"syscalls\":[",
                "{" BASE ",\"linux\":{\"seccomp\":{\"syscalls\":[[]",
                "{" BASE ",\"linux\":{\"seccomp\":{\"syscalls\":[\"",
                "{" BASE ",\"linux\":{\"seccomp\":{\"syscalls\":[\"\\",
                "{" BASE ",\"linux\":{\"seccomp\":{\"syscalls\":[]",
                "{" BASE
                ",\"syscalls\":7,\"linux\":{\"seccomp\":{\"defaultAction\":\"a\",\"syscalls\":[\n\n]}},\n\"hostname\":7}",
        };
        struct zl_error err = ZL_ERROR_INIT;
        struct zl_oci_config *c = load_without_calls(text, &err);

        assert_non_null(c);
        assert_int_equal(c->linux_->seccomp->n_syscalls, 0);
        assert_string_equal(c->linux_->seccomp->default_action, "SCMP_ACT_ERRNO");
        assert_string_equal(c->linux_->seccomp->listener_path, "/l");
        assert_string_equal(c->linux_->seccomp->flags[0], "f");
        assert_int_equal(c->linux_->n_namespaces, 1);
        assert_int_equal(c->annotations.n, 2);
        zl_oci_config_free(c);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(broken); i++) {
                assert_null(load_without_calls(broken[i], &err));
                assert_int_equal(err.code, ZL_E_INVALID);
                /* What was passed over counts where a fault is told. */
                if (i + 1 == ZL_ARRAY_SIZE(broken))
                        assert_non_null(strstr(zl_error_message(&err), ":4:12: hostname"));
                zl_error_done(&err);
        }
}

static void test_reads(void **state _unused_)
{
        struct zl_oci_config *c = parse(
                "{" BASE ",\"unknown\":{\"x\":[1]},\"annotations\":{\"a\":\"b\"},"
                "\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"time\"}],"
                "\"timeOffsets\":{\"monotonic\":{\"secs\":-5}},"
                "\"resources\":{\"memory\":{\"limit\":-1},\"pids\":{\"limit\":9},"
                "\"devices\":[{\"allow\":false,\"access\":\"rwm\"}]}}}");

        assert_non_null(c);
        assert_int_equal(c->process->user.uid, 7);
        assert_int_equal(c->process->user.n_additional_gids, 2);
        assert_int_equal(c->process->user.additional_gids[1], 2);
        assert_int_equal(c->linux_->n_namespaces, 2);
        assert_true(c->linux_->resources->memory->has_limit);
        assert_int_equal(c->linux_->resources->memory->limit, -1);
        assert_false(c->linux_->resources->memory->has_swap);
        assert_int_equal(c->linux_->time_offsets[0].offset.secs, -5);
        assert_string_equal(c->linux_->time_offsets[0].clock, "monotonic");
        assert_string_equal(c->annotations.items[0].value, "b");
        assert_int_equal(zl_oci_config_check(c, NULL), 0);
        zl_oci_config_free(c);
}

static void test_round_trip(void **state _unused_)
{
        struct zl_oci_config *c = parse("{" BASE
                                        ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"}],"
                                        "\"maskedPaths\":[\"/proc/kcore\"]}}");
        struct zl_oci_config *again;
        char *text = NULL, *second = NULL;

        assert_non_null(c);
        assert_int_equal(zl_oci_config_dump(c, &text, NULL), 0);
        again = parse(text);
        assert_non_null(again);
        assert_string_equal(again->linux_->masked_paths[0], "/proc/kcore");
        assert_int_equal(zl_oci_config_dump(again, &second, NULL), 0);
        assert_string_equal(text, second);
        free(text);
        free(second);
        zl_oci_config_free(c);
        zl_oci_config_free(again);
}

static void test_refuses(void **state _unused_)
{
        static const char *const bad[] = {
                "",
                "[]",
                "{",
                "{\"ociVersion\":1}",
                "{" BASE ",\"mounts\":[{\"type\":\"x\"}]}",
                "{" BASE "," BASE "}",
                "{" BASE ",\"hostname\":5}",
                "{" BASE ",\"linux\":{\"namespaces\":{}}}",
        };
        static const char *const senseless[] = {
                "{" BASE "}",
                "{" BASE ",\"linux\":{\"namespaces\":[{\"type\":\"nope\"}]}}",
                "{" BASE ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"mount\"}]}}",
                "{" BASE ",\"hostname\":\"x\",\"linux\":{\"namespaces\":[{\"type\":\"mount\"}]}}",
                "{" BASE ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"user\"}],"
                "\"uidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":1}]}}",
                "{" BASE ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"}],\"intelRdt\":{}}}",
        };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++)
                assert_null(parse(bad[i]));
        for (size_t i = 0; i < ZL_ARRAY_SIZE(senseless); i++) {
                struct zl_error err = ZL_ERROR_INIT;
                struct zl_oci_config *c = parse(senseless[i]);

                assert_non_null(c);
                assert_true(zl_oci_config_check(c, &err) < 0);
                zl_error_done(&err);
                zl_oci_config_free(c);
        }
}

static void test_capabilities(void **state _unused_)
{
        char *some[] = { (char *)(uintptr_t) "CAP_CHOWN", (char *)(uintptr_t) "cap_kill", NULL };
        struct zl_oci_capabilities config = { .permitted = some, .effective = some };
        struct zl_caps caps;

        assert_int_equal(zl_cap_parse("CAP_SYS_ADMIN"), 21);
        assert_int_equal(zl_cap_parse("net_raw"), 13);
        assert_true(zl_cap_parse("CAP_") < 0);
        assert_true(zl_cap_parse("CAP_NOPE") < 0);
        assert_string_equal(zl_cap_name(40), "CAP_CHECKPOINT_RESTORE");
        assert_null(zl_cap_name(41));
        assert_int_equal(zl_caps_from_config(&config, &caps, NULL), 0);
        assert_true(caps.permitted == (1u << 0 | 1u << 5));
        assert_true(caps.bounding == 0 && caps.ambient == 0);
        config.permitted = NULL;
        assert_true(zl_caps_from_config(&config, &caps, NULL) < 0);
}

static void test_mount_options(void **state _unused_)
{
        char *options[] = { (char *)(uintptr_t) "ro",
                            (char *)(uintptr_t) "nosuid",
                            (char *)(uintptr_t) "suid",
                            (char *)(uintptr_t) "mode=755",
                            (char *)(uintptr_t) "rslave",
                            (char *)(uintptr_t) "size=1k",
                            (char *)(uintptr_t) "rnodev",
                            (char *)(uintptr_t) "tmpcopyup",
                            NULL };
        struct zl_mount_options o;

        assert_int_equal(zl_mount_options_parse(options, &o, NULL), 0);
        assert_true(o.flags == MS_RDONLY && o.cleared == MS_NOSUID);
        assert_true(o.recursive_flags == MS_NODEV && o.copy_up && !o.bind);
        assert_true(o.propagation[0] == (MS_SLAVE | MS_REC) && o.propagation[1] == 0);
        assert_string_equal(o.data, "mode=755,size=1k");
        free(o.data);
        assert_true(zl_propagation_parse("sharedx") == 0);
}

static void test_overlay_options(void **state _unused_)
{
        char *lower[] = { (char *)(uintptr_t) "/low", (char *)(uintptr_t) "/a:b,c", NULL };
        char *text = zl_overlay_options(lower, "/u", "/w");

        assert_string_equal(text, "lowerdir=/a\\:b\\,c:/low,upperdir=/u,workdir=/w");
        free(text);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_reads),           cmocka_unit_test(test_without_calls),
                cmocka_unit_test(test_round_trip),      cmocka_unit_test(test_refuses),
                cmocka_unit_test(test_capabilities),    cmocka_unit_test(test_mount_options),
                cmocka_unit_test(test_overlay_options),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
