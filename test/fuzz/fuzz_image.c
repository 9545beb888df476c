/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the texts of a registry: reference, manifest, config, challenge. A reference that is read is canonical when it
 * is read again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "image/auth.h"
#include "oci/image.h"
#include "oci/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void reference(const char *text)
{
        _cleanup_free_ char *one = NULL, *two = NULL;

        /* Upper case in the first component of a Docker Hub name is the exception: upstream has it, too. */
        if (zl_reference_canonical(text, &one, NULL, NULL) < 0 ||
            zl_reference_canonical(one, &two, NULL, NULL) < 0)
                return;
        if (!zl_streq(one, two))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_free_ char *text = strndup((const char *)data, size);
        _cleanup_document_ struct zl_document doc = { 0 };
        _cleanup_image_config_ struct zl_image_config config = { 0 };
        _cleanup_challenge_ struct zl_challenge challenge = { 0 };

        reference(text);
        (void)zl_challenge_parse(text, &challenge);
        if (zl_document_parse((const char *)data, size, NULL, "fuzz", &doc, NULL) >= 0)
                (void)zl_document_wasm(&doc);
        (void)zl_image_config_parse((const char *)data, size, "fuzz", &config, NULL);
        (void)zl_wasm_version_of(data, size);
        return 0;
}
