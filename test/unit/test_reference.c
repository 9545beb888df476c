/* SPDX-License-Identifier: Apache-2.0 */
/* Image references: a table of texts, their canonical form or the reason of refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "oci/reference.h"

#define HEX32 "0123456789abcdef0123456789abcdef"
#define HEX64 HEX32 HEX32

static void test_accepted(void **state _unused_)
{
        static const struct {
                const char *text, *canonical;
        } table[] = {
                { "nginx", "docker.io/library/nginx:latest" },
                { "bb", "docker.io/library/bb:latest" },
                { "nginx:1.25-alpine", "docker.io/library/nginx:1.25-alpine" },
                { "team/app", "docker.io/team/app:latest" },
                { "docker.io/nginx", "docker.io/library/nginx:latest" },
                { "index.docker.io/nginx", "docker.io/library/nginx:latest" },
                { "index.docker.io/a/b", "docker.io/a/b:latest" },
                { "UPPER/x", "docker.io/UPPER/x:latest" },
                { "localhost/x", "localhost/x:latest" },
                { "localhost:5000/x", "localhost:5000/x:latest" },
                { "foo:5000", "docker.io/library/foo:5000" },
                { "foo:5000/bar", "foo:5000/bar:latest" },
                { "ghcr.io/a/b/c:v1", "ghcr.io/a/b/c:v1" },
                { "a.b/c", "a.b/c:latest" },
                { "a_b/c__d/e---f", "docker.io/a_b/c__d/e---f:latest" },
                { "x@sha256:" HEX64, "docker.io/library/x@sha256:" HEX64 },
                { "x:t@sha256:" HEX64, "docker.io/library/x:t@sha256:" HEX64 },
                { "x@sha384:" HEX64 HEX32, "docker.io/library/x@sha384:" HEX64 HEX32 },
                { "x@sha512:" HEX64 HEX64, "docker.io/library/x@sha512:" HEX64 HEX64 },
                { "x:_t.-", "docker.io/library/x:_t.-" },
                { "x:grün", "docker.io/library/x:grün" },
        };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(table); i++) {
                _cleanup_free_ char *canonical = NULL, *again = NULL;

                if (zl_reference_canonical(table[i].text, &canonical, NULL, NULL) < 0)
                        fail_msg("%s was refused", table[i].text);
                assert_string_equal(canonical, table[i].canonical);
                /* The one canonical text that the grammar itself refuses; upstream is the same. */
                if (strstr(canonical, "UPPER"))
                        continue;
                assert_int_equal(zl_reference_canonical(canonical, &again, NULL, NULL), 0);
                assert_string_equal(again, canonical);
        }
}

static void test_refused(void **state _unused_)
{
        static const struct {
                const char *text;
                enum zl_reference_fault fault;
        } table[] = {
                { "", ZL_REFERENCE_EMPTY },
                { " nginx", ZL_REFERENCE_FORMAT },
                { "nginx ", ZL_REFERENCE_FORMAT },
                { "nginx\n", ZL_REFERENCE_FORMAT },
                { "Nginx", ZL_REFERENCE_FORMAT },
                { "a/B", ZL_REFERENCE_FORMAT },
                { "/a", ZL_REFERENCE_FORMAT },
                { "a/", ZL_REFERENCE_FORMAT },
                { "a//b", ZL_REFERENCE_FORMAT },
                { "a..b", ZL_REFERENCE_FORMAT },
                { "a._b", ZL_REFERENCE_FORMAT },
                { "a___b", ZL_REFERENCE_FORMAT },
                { "a-", ZL_REFERENCE_FORMAT },
                { "-a/b", ZL_REFERENCE_FORMAT },
                { "a:", ZL_REFERENCE_FORMAT },
                { "a:.t", ZL_REFERENCE_FORMAT },
                { "a:-t", ZL_REFERENCE_FORMAT },
                { "a:b:c", ZL_REFERENCE_FORMAT },
                { "host:port/x", ZL_REFERENCE_FORMAT },
                { "host:/x", ZL_REFERENCE_FORMAT },
                { "https://x/y", ZL_REFERENCE_FORMAT },
                { "a@", ZL_REFERENCE_FORMAT },
                { "a@sha256:abc", ZL_REFERENCE_FORMAT },
                { "a@sha256:" HEX32, ZL_REFERENCE_DIGEST_LENGTH },
                { "a@sha512:" HEX64, ZL_REFERENCE_DIGEST_LENGTH },
                { "a@md5:" HEX32, ZL_REFERENCE_DIGEST_ALGORITHM },
                { "a@SHA256:" HEX64, ZL_REFERENCE_DIGEST_ALGORITHM },
                { "a@sha256:" HEX64 "@sha256:" HEX64, ZL_REFERENCE_FORMAT },
                { "a:t\xff", ZL_REFERENCE_FORMAT },
        };

        for (size_t i = 0; i < ZL_ARRAY_SIZE(table); i++) {
                struct zl_reference ref = { 0 };
                enum zl_reference_fault fault = ZL_REFERENCE_OK;
                _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;

                if (zl_reference_parse(table[i].text, &ref, &fault, &err) != -EINVAL ||
                    fault != table[i].fault)
                        fail_msg("%s: fault %d", table[i].text, fault);
                assert_non_null(strstr(err.message, zl_reference_fault_text(fault)));
                assert_null(ref.registry);
        }
}

static void test_lengths(void **state _unused_)
{
        char name[300], tagged[300];

        memset(name, 'a', sizeof name);
        for (size_t n = 247; n <= 248; n++) {
                _cleanup_reference_ struct zl_reference ref = { 0 };
                enum zl_reference_fault fault;

                memset(name, 'a', sizeof name);
                name[n] = 0;
                zl_reference_parse(name, &ref, &fault, NULL);
                assert_int_equal(fault, n == 247 ? ZL_REFERENCE_OK : ZL_REFERENCE_TOO_LONG);
        }
        for (size_t n = 128; n <= 129; n++) {
                _cleanup_reference_ struct zl_reference ref = { 0 };

                memset(tagged, 't', sizeof tagged);
                memcpy(tagged, "x:", 2);
                tagged[2 + n] = 0;
                assert_int_equal(zl_reference_parse(tagged, &ref, NULL, NULL),
                                 n == 128 ? 0 : -EINVAL);
        }
}

static void test_what_follows(void **state _unused_)
{
        _cleanup_reference_ struct zl_reference hub = { 0 }, pinned = { 0 }, fixed = { 0 };

        assert_int_equal(zl_reference_parse("nginx", &hub, NULL, NULL), 0);
        assert_int_equal(zl_reference_parse("nginx@sha256:" HEX64, &pinned, NULL, NULL), 0);
        assert_int_equal(zl_reference_parse("r.io/nginx:1", &fixed, NULL, NULL), 0);
        assert_true(zl_reference_is_mutable(&hub));
        assert_true(zl_reference_is_mutable(&pinned));
        assert_false(zl_reference_is_mutable(&fixed));
        assert_string_equal(zl_reference_host(&hub), "registry-1.docker.io");
        assert_string_equal(zl_reference_host(&fixed), "r.io");

        assert_true(zl_registry_is_loopback("localhost"));
        assert_true(zl_registry_is_loopback("localhost:5000"));
        assert_true(zl_registry_is_loopback("127.0.0.1:5000"));
        assert_true(zl_registry_is_loopback("127.9.8.7"));
        assert_false(zl_registry_is_loopback("127.0.0.1.example.org"));
        assert_false(zl_registry_is_loopback("127.0.0.1.5"));
        assert_false(zl_registry_is_loopback("localhost.example.org:5000"));
        assert_false(zl_registry_is_loopback("10.0.0.1:5000"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_accepted),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_lengths),
                cmocka_unit_test(test_what_follows),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
