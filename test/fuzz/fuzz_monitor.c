/* SPDX-License-Identifier: Apache-2.0 */
/* The decoder of the monitor's protocol, with every body that it knows. The first byte chooses the body. */
#include "base/error.h"
#include "monitor/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode(struct zl_wire *wire, unsigned body)
{
        struct zl_monitor_status status = ZL_MONITOR_STATUS_INIT;
        struct zl_monitor_launch launch = ZL_MONITOR_LAUNCH_INIT;
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        uint32_t mask;

        switch (body % 4) {
        case 0:
                zl_wire_get_status(wire, &status);
                zl_monitor_status_done(&status);
                break;
        case 1:
                zl_wire_get_launch(wire, &launch, &mask);
                free((void *)launch.lower_dirs);
                break;
        case 2:
                zl_wire_get_error(wire, &err);
                break;
        default:
                free(zl_wire_get_strv(wire));
                free(zl_wire_get_strv(wire));
                zl_wire_get_str(wire);
                zl_wire_get_bool(wire);
                break;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct zl_wire_head head = { .magic = ZL_WIRE_MAGIC, .version = ZL_WIRE_VERSION };
        struct zl_wire wire;
        char *message;

        if (size < 1)
                return 0;
        /* The head as it has to be, so that the bodies are what is tried. */
        head.len = (uint32_t)size - 1;
        message = malloc(sizeof(head) + size - 1);
        if (!message)
                return 0;
        memcpy(message, &head, sizeof(head));
        memcpy(message + sizeof(head), data + 1, size - 1);
        if (zl_wire_open(&wire, message, sizeof(head) + size - 1, &head) == 0)
                decode(&wire, data[0]);
        zl_wire_open(&wire, data, size, &head);
        free(message);
        return 0;
}
