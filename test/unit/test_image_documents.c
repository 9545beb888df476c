/* SPDX-License-Identifier: Apache-2.0 */
/* Index, manifest and config documents, platforms, and what tells WebAssembly from containers. */
#include "support.h"

#include "base/strv.h"
#include "oci/image.h"

#define D1 "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define D2 "sha256:2222222222222222222222222222222222222222222222222222222222222222"
#define CONFIG "\"config\":{\"mediaType\":\"c\",\"digest\":\"" D1 "\",\"size\":2}"

static int parse(const char *text, struct zl_document *doc, struct zl_error *err)
{
        return zl_document_parse(text, strlen(text), "from/transport", "test", doc, err);
}

static void test_manifest(void **state)
{
        _cleanup_document_ struct zl_document doc = { 0 };

        (void)state;
        assert_int_equal(
                parse("{\"schemaVersion\":2," CONFIG
                      ",\"layers\":[{\"mediaType\":\"l\",\"digest\":\"" D2
                      "\",\"size\":7,\"urls\":[\"http://x\"],\"extra\":1}],\"unknown\":{}}",
                      &doc, NULL),
                0);
        assert_int_equal(doc.kind, ZL_DOCUMENT_MANIFEST);
        assert_string_equal(doc.media_type, "from/transport");
        assert_string_equal(doc.config.digest, D1);
        assert_int_equal(doc.n_items, 1);
        assert_int_equal(doc.items[0].size, 7);
        assert_string_equal(doc.items[0].urls[0], "http://x");
}

static void test_refused(void **state)
{
        static const char *const bad[] = {
                "",
                "[]",
                "{}",
                "{\"schemaVersion\":1," CONFIG ",\"layers\":[]}",
                "{" CONFIG "}",
                "{" CONFIG ",\"layers\":{}}",
                "{" CONFIG ",\"layers\":[],\"manifests\":[]}",
                "{" CONFIG ",\"layers\":[1]}",
                "{" CONFIG ",\"layers\":[{\"digest\":\"" D2 "\"}]}",
                "{" CONFIG ",\"layers\":[{\"digest\":\"" D2 "\",\"size\":-1}]}",
                "{" CONFIG ",\"layers\":[{\"digest\":\"" D2 "\",\"size\":\"1\"}]}",
                "{" CONFIG ",\"layers\":[{\"digest\":\"sha256:../../x\",\"size\":1}]}",
                "{" CONFIG ",\"layers\":[{\"digest\":\"md5:11\",\"size\":1}]}",
                "{" CONFIG ",\"layers\":[{\"digest\":5,\"size\":1}]}",
                "{\"manifests\":[{\"digest\":\"" D1 "\",\"size\":1,\"platform\":[]}]}",
        };

        (void)state;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++) {
                _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
                struct zl_document doc = { 0 };

                if (parse(bad[i], &doc, &err) >= 0 || !err.message)
                        fail_msg("accepted: %s", bad[i]);
        }
}

static const char *choose(const char *text, const char *platform)
{
        static char digest[128];
        _cleanup_document_ struct zl_document doc = { 0 };
        struct zl_platform want = { 0 };
        const struct zl_descriptor *d;

        assert_int_equal(parse(text, &doc, NULL), 0);
        assert_int_equal(zl_platform_parse(platform, &want, NULL), 0);
        d = zl_document_choose(&doc, &want);
        snprintf(digest, sizeof digest, "%.8s", d ? d->digest : "none");
        zl_platform_done(&want);
        return digest;
}

#define ENTRY(n, os, arch, variant)                                                                \
        "{\"digest\":\"sha256:" n n n n n n n n n n n n n n n n                                    \
        "\",\"size\":1,\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\"" variant "}}"
#define VARIANT(v) ",\"variant\":\"" v "\""

static void test_platforms(void **state)
{
        static const char index[] = "{\"manifests\":[" ENTRY("aaaa", "linux", "amd64", "") "," ENTRY(
                "bbbb", "linux", "arm",
                VARIANT("v6")) "," ENTRY("cccc", "linux", "arm",
                                         VARIANT("v7")) "," ENTRY("dddd", "linux", "arm64",
                                                                  VARIANT("v8")) "," ENTRY("eeee",
                                                                                           "windows",
                                                                                           "amd64",
                                                                                           "") "]}";
        struct zl_platform host = { 0 };

        (void)state;
        assert_string_equal(choose(index, "linux/amd64"), "sha256:a");
        assert_string_equal(choose(index, "linux/amd64/v3"), "sha256:a");
        assert_string_equal(choose(index, "linux/arm/v6"), "sha256:b");
        assert_string_equal(choose(index, "linux/arm/v7"), "sha256:c");
        assert_string_equal(choose(index, "linux/arm/v8"), "sha256:c"); /* the best that runs */
        assert_string_equal(choose(index, "linux/arm/v5"), "none");
        assert_string_equal(choose(index, "linux/arm"), "sha256:b"); /* the least demanding */
        assert_string_equal(choose(index, "linux/arm64"), "sha256:d");
        assert_string_equal(choose(index, "windows/amd64"), "sha256:e");
        assert_string_equal(choose(index, "linux/s390x"), "none");
        assert_int_equal(zl_platform_parse("linux", &host, NULL), -EINVAL);
        assert_int_equal(zl_platform_parse("linux/", &host, NULL), -EINVAL);
        assert_int_equal(zl_platform_parse("a/b/c/d", &host, NULL), -EINVAL);
        assert_int_equal(zl_platform_host(&host), 0);
        assert_non_null(host.architecture);
        zl_platform_done(&host);
}

static void test_config(void **state)
{
        static const char text[] =
                "{\"os\":\"linux\",\"architecture\":\"arm64\",\"created\":\"2020-01-01T00:00:00Z\","
                "\"config\":{\"Env\":[\"A=1\"],\"Entrypoint\":\"/one\",\"Cmd\":null,\"User\":\"\","
                "\"Labels\":{\"k\":\"v\"},\"Volumes\":{\"/data\":{}},\"ExposedPorts\":{\"80/tcp\":{}},"
                "\"Healthcheck\":{\"Test\":[\"CMD\",\"x\"],\"Interval\":5}},"
                "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" D1 "\",\"" D2 "\"]}}";
        _cleanup_image_config_ struct zl_image_config c = { 0 };
        struct zl_image_config bad = { 0 };

        (void)state;
        assert_int_equal(zl_image_config_parse(text, strlen(text), "test", &c, NULL), 0);
        assert_string_equal(c.env[0], "A=1");
        assert_string_equal(c.entrypoint[0], "/one");
        assert_null(c.cmd);
        assert_null(c.user);
        assert_string_equal(c.labels[0], "k=v");
        assert_string_equal(c.volumes[0], "/data");
        assert_string_equal(c.exposed_ports[0], "80/tcp");
        assert_true(c.has_healthcheck);
        assert_int_equal(c.health_interval, 5);
        assert_int_equal(zl_strv_len(c.diff_ids), 2);
        assert_int_equal(c.created, INT64_C(1577836800000000000));
        for (const char *t = "{\"config\":{\"Env\":5}}"; t; t = NULL)
                assert_true(zl_image_config_parse(t, strlen(t), "test", &bad, NULL) < 0);
        for (const char *t = "{\"rootfs\":{\"diff_ids\":[\"../x\"]}}"; t; t = NULL)
                assert_true(zl_image_config_parse(t, strlen(t), "test", &bad, NULL) < 0);
}

static void test_wasm(void **state)
{
        static const struct {
                const char *artifact, *config, *layer, *title;
                bool is_wasm;
                int version;
        } table[] = {
                { "application/vnd.wasm.component.v1+wasm", "c", "l", "t", true, 2 },
                { "application/vnd.wasm.module.v1+wasm", "c", "l", "t", true, 1 },
                { "x-wasm", "c", "l", "t", true, 0 },
                { "other", "c", "l", "t", false, 0 },
                { "", "application/vnd.wasm.config.v0+json", "application/wasm", "t", true, 0 },
                { "", "c", "application/vnd.wasm.content.layer.v1+wasm", "a-component", true, 2 },
                { "", "c", "application/x-module+wasm", "t", true, 1 },
                { "", "c", "application/vnd.oci.image.layer.v1.tar", "t", false, 0 },
        };

        (void)state;
        for (size_t i = 0; i < ZL_ARRAY_SIZE(table); i++) {
                _cleanup_document_ struct zl_document doc = { 0 };
                struct zl_wasm_info info;
                char text[1024];

                snprintf(
                        text, sizeof text,
                        "{\"artifactType\":\"%s\",\"config\":{\"mediaType\":\"%s\",\"digest\":\"" D1
                        "\",\"size\":2},\"layers\":[{\"mediaType\":\"%s\",\"digest\":\"" D2
                        "\",\"size\":1,\"annotations\":{\"org.opencontainers.image.title\":\"%s\"}}]}",
                        table[i].artifact, table[i].config, table[i].layer, table[i].title);
                assert_int_equal(parse(text, &doc, NULL), 0);
                info = zl_document_wasm(&doc);
                if (info.is_wasm != table[i].is_wasm || info.version != table[i].version)
                        fail_msg("row %zu: %d %d", i, info.is_wasm, info.version);
        }
        assert_int_equal(zl_wasm_version_of("\0asm\1\0\0\0\0", 9), 1);
        assert_int_equal(zl_wasm_version_of("\0asm\15\0\1\0\0", 9), 2);
        assert_int_equal(zl_wasm_version_of("\0asm\0\0\0\0\0", 9), -EINVAL);
        assert_int_equal(zl_wasm_version_of("\0asm\1\0\0\0", 8), 0);
        assert_int_equal(zl_wasm_version_of("\177ELF\1\0\0\0\0", 9), -EINVAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_manifest),  cmocka_unit_test(test_refused),
                cmocka_unit_test(test_platforms), cmocka_unit_test(test_config),
                cmocka_unit_test(test_wasm),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
