/* SPDX-License-Identifier: Apache-2.0 */
/* The cache of compiled modules: keys, what is believed, what is thrown away, who goes first when it is full. */
#include "support.h"

#include "wasm/cache.h"

static char key_a[ZL_WASM_KEY_SIZE], key_b[ZL_WASM_KEY_SIZE];

static void keys(void **state)
{
        char again[ZL_WASM_KEY_SIZE], fuel[ZL_WASM_KEY_SIZE];

        assert_non_null(zl_wasm_cache_key("sha256:a", false, key_a));
        assert_non_null(zl_wasm_cache_key("sha256:b", false, key_b));
        zl_wasm_cache_key("sha256:a", false, again);
        zl_wasm_cache_key("sha256:a", true, fuel);
        assert_string_equal(key_a, again);
        assert_string_not_equal(key_a, key_b);
        assert_string_not_equal(key_a, fuel);
        assert_int_equal(strlen(key_a), 64);
}

static int find(const char *cache, const char *key)
{
        char *path = NULL;
        int r = zl_wasm_cache_find(cache, key, &path, NULL);

        assert_int_equal(r > 0, path != NULL);
        free(path);
        return r;
}

static void put(const char *cache, const char *key, const char *code, uint64_t max)
{
        assert_int_equal(zl_wasm_cache_put(cache, key, code, strlen(code), max, NULL), 0);
}

static void belief(void **state)
{
        const char *dir = ((struct place *)*state)->path;
        char *cache, *entry;

        assert_true(asprintf(&cache, "%s/cache", dir) > 0);
        assert_true(asprintf(&entry, "%s/code/%s", cache, key_a) > 0);
        assert_int_equal(find(cache, key_a), 0);
        put(cache, key_a, "machine code", ZL_WASM_CACHE_MAX);
        assert_int_equal(find(cache, key_a), 1);
        assert_int_equal(find(cache, key_b), 0);

        /* One bit, and it is gone. */
        int fd = open(entry, O_RDWR);
        assert_int_equal(pwrite(fd, "M", 1, 0), 1);
        close(fd);
        assert_int_equal(find(cache, key_a), 0);
        assert_int_equal(access(entry, F_OK), -1);

        put(cache, key_a, "machine code", ZL_WASM_CACHE_MAX);
        assert_int_equal(truncate(entry, 20), 0);
        assert_int_equal(find(cache, key_a), 0);
        put(cache, key_a, "machine code", ZL_WASM_CACHE_MAX);
        assert_int_equal(chmod(entry, 0666), 0);
        assert_int_equal(find(cache, key_a), 0);
        assert_int_equal(symlink("/etc/passwd", entry), 0);
        assert_int_equal(find(cache, key_a), 0);
        assert_int_equal(mkdir(entry, 0700), 0);
        assert_int_equal(find(cache, key_a), 0);
        free(entry);
        free(cache);
}

static void bounded(void **state)
{
        const char *dir = ((struct place *)*state)->path;
        char *cache, *entry;
        const struct timespec old[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };

        assert_true(asprintf(&cache, "%s/cache", dir) > 0);
        assert_true(asprintf(&entry, "%s/code/%s", cache, key_a) > 0);
        put(cache, key_a, "0123456789", ZL_WASM_CACHE_MAX);
        assert_int_equal(utimensat(AT_FDCWD, entry, old, 0), 0);
        /* Each has 82 bytes: both fit, and then only one. */
        put(cache, key_b, "0123456789", 200);
        assert_int_equal(find(cache, key_a), 1);
        assert_int_equal(utimensat(AT_FDCWD, entry, old, 0), 0);
        put(cache, key_b, "0123456789", 100);
        assert_int_equal(find(cache, key_a), 0);
        assert_int_equal(find(cache, key_b), 1);
        /* Larger than all there is: it stays all the same, somebody is about to use it. */
        put(cache, key_b, "0123456789", 10);
        assert_int_equal(find(cache, key_b), 1);
        free(entry);
        free(cache);
}

static void others_may_write(void **state)
{
        const char *dir = ((struct place *)*state)->path;
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;

        assert_int_equal(chmod(dir, 0777), 0);
        assert_true(zl_wasm_cache_put(dir, key_a, "x", 1, 100, &err) < 0);
        assert_int_equal(err.code, ZL_E_CONFIGURATION);
        assert_non_null(strstr(zl_error_message(&err), "others may write"));
}

static void no_helper(void **state)
{
        const char *dir = ((struct place *)*state)->path;
        char *path = NULL;
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;

        assert_true(zl_wasm_engine_dir(dir, "/nowhere/zlayer-wasm", &path, &err) < 0);
        assert_int_equal(err.code, ZL_E_CONFIGURATION);
        assert_null(path);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(keys),
                cmocka_unit_test_setup_teardown(belief, place_setup, place_teardown),
                cmocka_unit_test_setup_teardown(bounded, place_setup, place_teardown),
                cmocka_unit_test_setup_teardown(others_may_write, place_setup, place_teardown),
                cmocka_unit_test_setup_teardown(no_helper, place_setup, place_teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
