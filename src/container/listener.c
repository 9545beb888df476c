/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent of SCMP_ACT_NOTIFY: a socket to it, and the words that go with the listener (runtime-spec, "containerProcessState"). The process
 * itself sends both when it has loaded the filter (child_process.c), and adds its pid.
 */
#include <fcntl.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/socket.h"
#include "container/internal.h"
#include "schema/node.h"

int zl_listener_connect(struct zl_plan *plan, const struct zl_oci_seccomp *config,
                        const char *state, struct zl_error *err)
{
        const char *metadata = config->listener_metadata ? config->listener_metadata : "";
        _cleanup_buf_ struct zl_buf text = ZL_BUF_INIT(2 << 20);
        struct zl_process_plan *p = &plan->process;

        if (!config->listener_path || !p->seccomp || !p->seccomp->notify)
                return 0;
        if (!state)
                return zl_fail_oom(err);
        p->seccomp_socket = zl_unix_connect_at(AT_FDCWD, config->listener_path, SOCK_STREAM);
        if (p->seccomp_socket < 0)
                return zl_fail_errno(
                        err, -p->seccomp_socket,
                        "linux.seccomp.listenerPath: failed to connect with seccomp agent %s",
                        config->listener_path);
        zl_buf_puts(&text, "{\"ociVersion\":\"1.2.0\",\"fds\":[\"seccompFd\"],\"metadata\":");
        zl_json_quote(&text, metadata, strlen(metadata));
        zl_buf_putf(&text, ",\"state\":%s,\"pid\":", state);
        if (zl_buf_error(&text))
                return zl_fail_oom(err);
        p->seccomp_state = zl_arena_strndup(plan->arena, text.data, text.len);
        return p->seccomp_state ? 0 : zl_fail_oom(err);
}
