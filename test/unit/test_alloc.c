/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory runs out: every operation is tried with its first, second, third ... allocation failing, until it
 * succeeds. Each failure must be reported, leave the object as it was, and leak nothing (which the
 * address sanitizer build sees). The linker sends the allocations of base through the functions here
 * (--wrap in meson.build).
 */
#include "support.h"

#include "base/buf.h"
#include "base/map.h"
#include "base/path.h"
#include "base/strv.h"

/* Allocations that still succeed before one fails, and all after that succeed again; -1: none will fail. */
static int allocations_left = -1;

static bool fails(void)
{
        if (allocations_left < 0)
                return false;
        return allocations_left-- <= 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
int __real_vasprintf(char **ret, const char *fmt, va_list ap);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);
int __wrap_asprintf(char **ret, const char *fmt, ...) ZL_PRINTF(2, 3);
int __wrap_vasprintf(char **ret, const char *fmt, va_list ap) ZL_PRINTF(2, 0);

void *__wrap_malloc(size_t size)
{
        return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
        return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
        return fails() ? NULL : __real_realloc(p, size);
}

char *__wrap_strdup(const char *s)
{
        return fails() ? NULL : __real_strdup(s);
}

char *__wrap_strndup(const char *s, size_t n)
{
        return fails() ? NULL : __real_strndup(s, n);
}

int __wrap_vasprintf(char **ret, const char *fmt, va_list ap)
{
        return fails() ? -1 : __real_vasprintf(ret, fmt, ap);
}

int __wrap_asprintf(char **ret, const char *fmt, ...)
{
        va_list ap;
        int r;

        va_start(ap, fmt);
        r = __wrap_vasprintf(ret, fmt, ap);
        va_end(ap);
        return r;
}

/* Runs `statement` (an expression that gives 0 or -ENOMEM) with ever more allocations; `check` after each failure. */
#define UNTIL_IT_WORKS(statement, check)                                                           \
        do {                                                                                       \
                int _r = -ENOMEM;                                                                  \
                for (int _n = 0; _r != 0; _n++) {                                                  \
                        allocations_left = _n;                                                     \
                        _r = (statement);                                                          \
                        allocations_left = -1;                                                     \
                        if (_r == 0)                                                               \
                                break;                                                             \
                        assert_int_equal(_r, -ENOMEM);                                             \
                        check;                                                                     \
                        assert_true(_n < 1000);                                                    \
                }                                                                                  \
        } while (0)

static void buffers(void **state)
{
        _cleanup_buf_ struct zl_buf b = ZL_BUF_INIT(1000);

        allocations_left = 0;
        assert_int_equal(zl_buf_puts(&b, "x"), -ENOMEM);
        allocations_left = -1;
        assert_int_equal(zl_buf_puts(&b, "x"), -ENOMEM); /* it sticks */
        zl_buf_reset(&b);
        assert_int_equal(zl_buf_puts(&b, "x"), 0);
}

static void maps(void **state)
{
        _cleanup_map_ struct zl_map *m = zl_map_new(NULL);

        for (int i = 0; i < 40; i++) {
                char key[8];

                snprintf(key, sizeof key, "%d", i);
                UNTIL_IT_WORKS(zl_map_put(m, key, m), {
                        assert_false(zl_map_has(m, key));
                        assert_int_equal(zl_map_size(m), i);
                });
                assert_true(zl_map_has(m, key));
        }
        allocations_left = 0;
        assert_null(zl_map_new(NULL));
        allocations_left = -1;
}

static void vectors(void **state)
{
        _cleanup_strv_ char **v = NULL, **copy = NULL;
        char *more[] = { (char *)"b", (char *)"c", (char *)"d", NULL };

        UNTIL_IT_WORKS(zl_strv_push(&v, "a"), assert_int_equal(zl_strv_len(v), 0));
        UNTIL_IT_WORKS(zl_strv_pushf(&v, "%d", 1), assert_int_equal(zl_strv_len(v), 1));
        UNTIL_IT_WORKS(zl_strv_extend(&v, more), assert_int_equal(zl_strv_len(v), 2));
        UNTIL_IT_WORKS(zl_strv_dup(v, &copy), assert_null(copy));
        UNTIL_IT_WORKS(zl_env_set(&v, "A", "1"), assert_int_equal(zl_strv_len(v), 5));
        UNTIL_IT_WORKS(zl_env_set(&v, "A", "2"), assert_string_equal(zl_env_get(v, "A"), "1"));
        assert_string_equal(zl_env_get(v, "A"), "2");
}

static void errors(void **state)
{
        struct zl_error err = ZL_ERROR_INIT;

        for (int n = 0; n < 3; n++) {
                allocations_left = n;
                assert_int_equal(zl_fail(&err, ZL_E_IO, ENOENT, "x"), -ENOENT);
                allocations_left = -1;
                assert_int_equal(err.code, ZL_E_IO);
                assert_string_equal(err.message,
                                    n < 2 ? "out of memory" : "x: No such file or directory");
        }
        allocations_left = 0;
        zl_error_prefix(&err, "p");
        allocations_left = 0;
        zl_error_hint(&err, "h");
        allocations_left = -1;
        assert_string_equal(err.message, "x: No such file or directory");
        assert_null(err.hint);
        zl_error_done(&err);
}

static int walk(void)
{
        int fd = zl_open_in(AT_FDCWD, "/tmp/../tmp/.", O_RDONLY | O_DIRECTORY, 0, ZL_PATH_IN_ROOT);

        if (fd >= 0)
                close(fd);
        return fd == -ENOMEM ? fd : 0;
}

static int join(void)
{
        char *a = zl_path_join("a", "b"), *b = a ? zl_path_clean_absolute("/a/..") : NULL;
        int r = a && b ? 0 : -ENOMEM;

        free(a);
        free(b);
        return r;
}

static void paths(void **state)
{
        size_t fds = count_fds();

        setenv("ZL_FORBID", "openat2", 1);
        UNTIL_IT_WORKS(walk(), assert_int_equal(count_fds(), fds));
        UNTIL_IT_WORKS(join(), (void)0);
        unsetenv("ZL_FORBID");
}

static void files(void **state)
{
        struct place *p = *state;
        char *text = NULL;

        UNTIL_IT_WORKS(zl_write_file_at(p->fd, "f", "x", 1, 0644, ZL_WRITE_SYNC), (void)0);
        check_file(p->fd, "f", "x");
        UNTIL_IT_WORKS(zl_read_file_at(p->fd, "f", 10, &text, NULL), assert_null(text));
        free(text);
        UNTIL_IT_WORKS(zl_mkdir_p_at(p->fd, "a/b", 0755), (void)0);
        UNTIL_IT_WORKS(zl_rm_rf_at(p->fd, "a"), (void)0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(buffers),
                cmocka_unit_test(maps),
                cmocka_unit_test(vectors),
                cmocka_unit_test(errors),
                cmocka_unit_test(paths),
                cmocka_unit_test_setup_teardown(files, place_setup, place_teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
