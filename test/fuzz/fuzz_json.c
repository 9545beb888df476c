/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as JSON: what is read is written and read again to the same text. */
#include <stdio.h>

#include "base/macro.h"
#include "schema/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *pass(const char *text, size_t len)
{
        _cleanup_arena_ struct zl_arena *arena = zl_arena_new(64 << 20);
        _cleanup_buf_ struct zl_buf out = ZL_BUF_INIT(64 << 20);
        struct zl_node *root;

        if (zl_json_read(arena, text, len, "fuzz", &root, NULL) < 0)
                return NULL;
        zl_node_write_json(root, 0, &out);
        return zl_buf_take(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_free_ char *one = pass((const char *)data, size), *two = NULL;

        if (!one)
                return 0;
        two = pass(one, strlen(one));
        if (!two || !zl_streq(one, two)) {
                fprintf(stderr, "%s\n%s\n", one, two ? two : "(refused)");
                abort();
        }
        return 0;
}
