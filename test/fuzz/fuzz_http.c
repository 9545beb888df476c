/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a percent-encoded text, and as the head of a daemon's answer: what is decoded fits, escaping brings it back. */
#include <stdio.h>

#include "api/internal.h"
#include "cli/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_escapes(const char *text)
{
        _cleanup_free_ char *escaped = zl_client_escape(text), *copy = strdup(text);

        if (!escaped || !copy)
                return;
        if (zl_api_unescape(NULL, NULL, copy) > strlen(text) ||
            zl_api_unescape(NULL, NULL, escaped) != strlen(text) || !zl_streq(escaped, text)) {
                fprintf(stderr, "%s does not come back\n", text);
                abort();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_buf_ struct zl_buf received = ZL_BUF_INIT(1 << 20);
        _cleanup_free_ char *text = strndup((const char *)data, size);
        unsigned status = 0;

        if (text)
                check_escapes(text);
        if (zl_buf_put(&received, data, size) < 0)
                return 0;
        if (zl_client_take_head(&received, &status) > 0 && (status < 100 || status > 999))
                abort();
        return 0;
}
