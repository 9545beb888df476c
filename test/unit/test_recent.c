/* SPDX-License-Identifier: Apache-2.0 */
/* Images that are remembered: equal in every member to what was read, never those of another digest, and not whole where something
 * of them is gone. */
#include "support.h"

#include "image/store.h"

/* An OCI layout "layout" with one layer and a configuration that says something of everything; `word` makes it another image. */
static const char layout[] =
        "rm -rf layout t && mkdir -p layout/blobs/sha256 t && echo %s >t/file && tar -C t -cf l.tar . && "
        "put() { s=$(sha256sum <$1 | cut -d' ' -f1); cp $1 layout/blobs/sha256/$s; echo $s; } && "
        "l=$(put l.tar) && "
        "printf '{\"created\":\"2020-01-02T03:04:05Z\",\"os\":\"linux\",\"architecture\":\"amd64\",\"variant\":\"v2\","
        "\"config\":{\"Env\":[\"A=1\",\"B=2\"],\"Entrypoint\":[\"/e\",\"x\"],\"Cmd\":[\"c\"],\"User\":\"1:2\",\"WorkingDir\":\"/w\","
        "\"StopSignal\":\"SIGINT\",\"Volumes\":{\"/v\":{}},\"Labels\":{\"k\":\"v\"},\"ExposedPorts\":{\"80/tcp\":{}},"
        "\"Healthcheck\":{\"Test\":[\"CMD\",\"probe\"],\"Interval\":1000000000,\"Retries\":7}},"
        "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:'$l'\"]}}' >c && c=$(put c) && "
        "printf '{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"size\":'$(stat -c %%s "
        "c)',\"digest\":\"sha256:'$c'\"},\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"size\":'$(stat -c %%s "
        "l.tar)',\"digest\":\"sha256:'$l'\"}]}' >m && m=$(put m) && "
        "printf '{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"size\":'$(stat -c "
        "%%s m)',\"digest\":\"sha256:'$m'\"}]}' >layout/index.json && "
        "echo '{\"imageLayoutVersion\":\"1.0.0\"}' >layout/oci-layout";

static void run(const struct place *p, const char *command)
{
        char text[4096];

        snprintf(text, sizeof text, "cd %s && { %s ; } </dev/null", p->path, command);
        if (system(text) != 0)
                fail_msg("failed: %s", command);
}

static void import(const struct place *p, struct zl_image_store *store, const char *name)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        char command[sizeof layout + 64], path[128];

        snprintf(command, sizeof command, layout, name);
        run(p, command);
        snprintf(path, sizeof path, "%s/layout", p->path);
        if (zl_image_import(store, path, name, NULL, NULL, &err) < 0)
                fail_msg("%s", zl_error_message(&err));
}

static struct zl_image_store *open_store(const struct place *p)
{
        struct zl_image_store *store;
        char path[128];

        snprintf(path, sizeof path, "%s/store", p->path);
        assert_int_equal(zl_image_store_open(path, NULL, &store, NULL), 0);
        return store;
}

static struct zl_image *lookup(struct zl_image_store *store, const char *name)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        struct zl_image *image = NULL;

        if (zl_image_lookup(store, name, &image, &err) < 0)
                fail_msg("%s: %s", name, zl_error_message(&err));
        return image;
}

static void assert_strv_equal(char *const *a, char *const *b)
{
        assert_int_equal(!a, !b);
        for (; a && *a; a++, b++)
                assert_string_equal(*a, *b ? *b : "(end)");
        assert_true(!b || !*b);
}

static void assert_same(const struct zl_image *a, const struct zl_image *b)
{
        assert_string_equal(a->reference, b->reference);
        assert_string_equal(a->digest, b->digest);
        assert_string_equal(a->config_digest, b->config_digest);
        assert_string_equal(a->os, b->os);
        assert_string_equal(a->architecture, b->architecture);
        assert_string_equal(a->variant, b->variant);
        assert_strv_equal(a->env, b->env);
        assert_strv_equal(a->entrypoint, b->entrypoint);
        assert_strv_equal(a->cmd, b->cmd);
        assert_string_equal(a->user, b->user);
        assert_string_equal(a->working_dir, b->working_dir);
        assert_string_equal(a->stop_signal, b->stop_signal);
        assert_strv_equal(a->volumes, b->volumes);
        assert_strv_equal(a->labels, b->labels);
        assert_strv_equal(a->exposed_ports, b->exposed_ports);
        assert_strv_equal(a->healthcheck->test, b->healthcheck->test);
        assert_int_equal(a->healthcheck->interval, b->healthcheck->interval);
        assert_int_equal(a->healthcheck->retries, b->healthcheck->retries);
        assert_int_equal(a->created, b->created);
        assert_int_equal(a->size, b->size);
        assert_int_equal(a->kind, b->kind);
        assert_strv_equal(a->layer_dirs, b->layer_dirs);
}

/* Where a blob is. */
static void blob_path(const struct place *p, const char *digest, char path[256])
{
        snprintf(path, 256, "%s/store/blobs/sha256/%s", p->path, strchr(digest, ':') + 1);
}

static void an_image_is_remembered_in_every_member(void **state)
{
        const struct place *p = *state;
        struct zl_image_store *store = open_store(p), *fresh;
        struct zl_image *image = NULL;

        import(p, store, "one");
        {
                _cleanup_image_ struct zl_image *first = lookup(store, "one");
                _cleanup_image_ struct zl_image *again = NULL;
                char path[256];

                /* So that reading it again would fail. */
                blob_path(p, first->config_digest, path);
                put_file(AT_FDCWD, path, "{");
                again = lookup(store, "one");
                assert_same(first, again);
                assert_string_equal(again->env[1], "B=2");
                assert_int_equal(again->healthcheck->retries, 7);
                fresh = open_store(p);
                assert_true(zl_image_lookup(fresh, "one", &image, NULL) < 0);
                zl_image_store_close(fresh);
        }
        zl_image_store_close(store);
        run(p, "rm -rf store");
}

static void names_and_digests_are_read_afresh(void **state)
{
        const struct place *p = *state;
        struct zl_image_store *store = open_store(p);
        char name[16];

        for (int i = 0; i < 12; i++) {
                snprintf(name, sizeof name, "n%d", i);
                import(p, store, name);
        }
        for (int round = 0; round < 2; round++)
                for (int i = 0; i < 12; i++) {
                        _cleanup_image_ struct zl_image *image = NULL;
                        char command[512];

                        snprintf(name, sizeof name, "n%d", i);
                        image = lookup(store, name);
                        snprintf(command, sizeof command, "test $(cat %s/file) = %s",
                                 image->layer_dirs[0], name);
                        run(p, command);
                }
        {
                _cleanup_image_ struct zl_image *image = NULL, *other = NULL;

                /* One more name of the same image; then the name means another. */
                assert_int_equal(zl_image_tag(store, "n3", "alias", NULL), 0);
                image = lookup(store, "alias");
                assert_non_null(strstr(image->reference, "alias"));
                import(p, store, "n3");
                assert_int_equal(zl_image_tag(store, "n4", "n3", NULL), 0);
                other = lookup(store, "n3");
                assert_string_not_equal(other->digest, image->digest);
        }
        zl_image_store_close(store);
        run(p, "rm -rf store");
}

static void what_is_gone_is_noticed(void **state)
{
        const struct place *p = *state;
        struct zl_image_store *store = open_store(p);
        struct zl_image *gone = NULL;
        _cleanup_image_ struct zl_image *image = NULL;
        char path[256], command[512];

        import(p, store, "one");
        image = lookup(store, "one");
        blob_path(p, image->digest, path);
        snprintf(command, sizeof command, "mv %s away", path);
        run(p, command);
        assert_true(zl_image_lookup(store, "one", &gone, NULL) < 0);
        snprintf(command, sizeof command, "mv away %s", path);
        run(p, command);
        zl_image_free(lookup(store, "one"));
        snprintf(command, sizeof command, "mv %s away", image->layer_dirs[0]);
        run(p, command);
        assert_true(zl_image_lookup(store, "one", &gone, NULL) < 0);
        zl_image_store_close(store);
        run(p, "rm -rf store");
}

/* What a hold is made of, made ahead: the hold is the same, one more needs no other, and nothing stays behind. */
static void a_hold_may_be_made_ahead(void **state)
{
        const struct place *p = *state;
        struct zl_image_store *store = open_store(p);
        _cleanup_image_ struct zl_image *image = NULL;
        _cleanup_free_ char *held = NULL, *again = NULL;
        struct stat ahead, hold;
        char path[256], command[512];

        import(p, store, "one");
        image = lookup(store, "one");
        zl_image_hold_ahead(store);
        zl_image_hold_ahead(store);
        snprintf(path, sizeof path, "%s/store/tmp/%s/hold", p->path, store->ahead->name);
        assert_int_equal(stat(path, &ahead), 0);
        assert_int_equal(zl_image_hold(store, image->digest, "a", NULL), 0);
        assert_int_equal(fstatat(store->holds_fd, "a", &hold, 0), 0);
        assert_int_equal(hold.st_ino, ahead.st_ino);
        assert_int_equal(zl_image_hold(store, image->digest, "b", NULL), 0);
        assert_int_equal(zl_read_file_at(store->holds_fd, "a", 256, &held, NULL), 0);
        assert_int_equal(zl_read_file_at(store->holds_fd, "b", 256, &again, NULL), 0);
        assert_string_equal(held, again);
        /* It counts: the image cannot be removed. */
        assert_true(zl_image_remove(store, "one", false, NULL) < 0);
        zl_image_hold_ahead(store);
        zl_image_store_close(store);
        snprintf(command, sizeof command, "test -z \"$(ls -A store/tmp)\" && rm -rf store");
        run(p, command);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_image_is_remembered_in_every_member),
                cmocka_unit_test(names_and_digests_are_read_afresh),
                cmocka_unit_test(what_is_gone_is_noticed),
                cmocka_unit_test(a_hold_may_be_made_ahead),
        };

        if (geteuid() != 0) {
                fprintf(stderr, "needs root for owners\n");
                return 77;
        }
        return cmocka_run_group_tests(tests, place_setup, place_teardown);
}
