/* SPDX-License-Identifier: Apache-2.0 */
/* Digests against published vectors (FIPS 180-4 examples), and the check of digest texts. */
#include "support.h"

#include "base/hash.h"
#include "base/random.h"

#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void known_vectors(void **state)
{
        char text[ZL_DIGEST_TEXT_MAX];
        struct zl_hash *h;

        assert_string_equal(zl_sha256_text("abc", 3, text), "sha256:" ABC);
        assert_string_equal(zl_sha256_text("", 0, text), "sha256:" EMPTY);
        h = zl_hash_new(ZL_SHA256);
        for (int i = 0; i < 1000; i++) /* a million times 'a', in pieces */
                zl_hash_update(h, memset((char[1000]){ 0 }, 'a', 1000), 1000);
        assert_string_equal(
                zl_hash_finish(h, text),
                "sha256:cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
        zl_hash_free(h);
        h = zl_hash_new(ZL_SHA512);
        zl_hash_update(h, "abc", 3);
        assert_string_equal(
                zl_hash_finish(h, text),
                "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
        zl_hash_free(h);
        h = zl_hash_new(ZL_SHA384);
        zl_hash_update(h, "abc", 3);
        assert_string_equal(
                zl_hash_finish(h, text),
                "sha384:cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
                "8086072ba1e7cc2358baeca134c825a7");
        zl_hash_free(h);
}

static void checks_texts(void **state)
{
        static const char *const bad[] = {
                "",
                "sha256",
                "sha256:",
                ABC,
                "sha256:" ABC "0",
                "sha256:BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                "sha256:zz7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                "sha512:" ABC,
                "md5:d41d8cd98f00b204e9800998ecf8427e",
                "sha256:../../../../../../../../../../../../../../../../../../etc/passwd",
                "sha256-" ABC,
        };
        enum zl_hash_kind kind = ZL_SHA512;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(bad); i++)
                assert_int_equal(zl_digest_check(bad[i], &kind), -EINVAL);
        assert_int_equal(zl_digest_check("sha256:" ABC, &kind), 0);
        assert_int_equal(kind, ZL_SHA256);
        assert_int_equal(zl_digest_check("sha256:" ABC, NULL), 0);
}

static void random_names_differ(void **state)
{
        char a[33], b[33];
        unsigned char zero[1000] = { 0 }, bytes[1000] = { 0 };

        zl_random_hex(a, 32);
        zl_random_hex(b, 32);
        assert_int_equal(strspn(a, "0123456789abcdef"), 32);
        assert_int_equal(a[32], 0);
        assert_string_not_equal(a, b);
        zl_random_bytes(bytes, sizeof bytes); /* more than the kernel gives at once */
        assert_memory_not_equal(bytes + 900, zero, 100);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(known_vectors),
                cmocka_unit_test(checks_texts),
                cmocka_unit_test(random_names_differ),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
