/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoder and decoder of the monitor's protocol. Both sides use this file; the decoder is the boundary against a
 * hostile client, so it never trusts a length, never allocates more than the message itself justifies, and hands out
 * nothing after the first fault.
 */
#include "monitor/protocol.h"

#include "base/fnv.h"

enum { NO_STRING = 0, NO_STRV = UINT32_MAX };

/* ---- encoding ---------------------------------------------------------------------------------------- */

void zl_wire_begin(struct zl_buf *buf, enum zl_wire_type type, uint32_t serial)
{
        struct zl_wire_head head = { .magic = ZL_WIRE_MAGIC,
                                     .version = ZL_WIRE_VERSION,
                                     .type = (uint16_t)type,
                                     .serial = serial };

        zl_buf_reset(buf);
        zl_buf_put(buf, &head, sizeof(head));
}

int zl_wire_end(struct zl_buf *buf)
{
        struct zl_wire_head head;

        if (zl_buf_error(buf))
                return zl_buf_error(buf);
        if (buf->len > ZL_WIRE_MAX)
                return -E2BIG;
        memcpy(&head, buf->data, sizeof(head));
        head.len = (uint32_t)(buf->len - sizeof(head));
        memcpy(buf->data, &head, sizeof(head));
        return 0;
}

void zl_wire_put_u8(struct zl_buf *buf, uint8_t v)
{
        zl_buf_put(buf, &v, sizeof(v));
}

void zl_wire_put_u32(struct zl_buf *buf, uint32_t v)
{
        zl_buf_put(buf, &v, sizeof(v));
}

void zl_wire_put_i32(struct zl_buf *buf, int32_t v)
{
        zl_buf_put(buf, &v, sizeof(v));
}

void zl_wire_put_u64(struct zl_buf *buf, uint64_t v)
{
        zl_buf_put(buf, &v, sizeof(v));
}

void zl_wire_put_i64(struct zl_buf *buf, int64_t v)
{
        zl_buf_put(buf, &v, sizeof(v));
}

void zl_wire_put_str(struct zl_buf *buf, const char *s)
{
        size_t len = s ? strlen(s) + 1 : NO_STRING;

        if (len > ZL_WIRE_MAX)
                len = ZL_WIRE_MAX + 1; /* zl_wire_end() refuses the message */
        zl_wire_put_u32(buf, (uint32_t)len);
        if (s)
                zl_buf_put(buf, s, len);
}

void zl_wire_put_strv(struct zl_buf *buf, char *const *strv)
{
        uint32_t n = 0;

        if (!strv) {
                zl_wire_put_u32(buf, NO_STRV);
                return;
        }
        while (strv[n])
                n++;
        zl_wire_put_u32(buf, n);
        for (uint32_t i = 0; i < n; i++)
                zl_wire_put_str(buf, strv[i]);
}

void zl_wire_put_error(struct zl_buf *buf, const struct zl_error *err)
{
        zl_wire_put_u32(buf, (uint32_t)err->code);
        zl_wire_put_i32(buf, err->sys_errno);
        zl_wire_put_str(buf, zl_error_message(err));
        zl_wire_put_str(buf, err->hint);
}

void zl_wire_put_record(struct zl_buf *buf, const struct zl_exit_record *record)
{
        zl_wire_put_u32(buf, record->generation);
        zl_wire_put_i32(buf, record->exit_code);
        zl_wire_put_i32(buf, record->signal);
        zl_wire_put_u8(buf, record->oom);
        zl_wire_put_u8(buf, record->stop_requested);
        zl_wire_put_u8(buf, record->failed);
        zl_wire_put_str(buf, record->reason);
        zl_wire_put_i64(buf, record->created_at);
        zl_wire_put_i64(buf, record->started_at);
        zl_wire_put_i64(buf, record->finished_at);
        zl_wire_put_u64(buf, record->memory_peak);
        zl_wire_put_u64(buf, record->cpu_usec);
        zl_wire_put_u64(buf, record->oom_kills);
        zl_wire_put_u64(buf, record->log_bytes);
        zl_wire_put_u64(buf, record->log_dropped);
}

void zl_wire_put_status(struct zl_buf *buf, const struct zl_monitor_status *status)
{
        zl_wire_put_u32(buf, (uint32_t)status->state);
        zl_wire_put_i32(buf, status->monitor_pid);
        zl_wire_put_i32(buf, status->pid);
        zl_wire_put_u8(buf, status->terminal);
        zl_wire_put_u32(buf, status->n_execs);
        zl_wire_put_u32(buf, status->n_attached);
        zl_wire_put_record(buf, &status->record);
}

uint64_t zl_wire_sum(const void *message, size_t len)
{
        return zl_fnv(ZL_FNV_INIT, message, len);
}

/* ---- decoding ---------------------------------------------------------------------------------------- */

int zl_wire_open(struct zl_wire *wire, const void *message, size_t len,
                 struct zl_wire_head *ret_head)
{
        struct zl_wire_head head;

        *wire = (struct zl_wire){ .bad = true };
        if (len < sizeof(head) || len > ZL_WIRE_MAX)
                return -EPROTO;
        memcpy(&head, message, sizeof(head));
        if (head.magic != ZL_WIRE_MAGIC || head.len != len - sizeof(head))
                return -EPROTO;
        *ret_head = head;
        if (head.version != ZL_WIRE_VERSION)
                return -EPROTONOSUPPORT;
        wire->pos = (const char *)message + sizeof(head);
        wire->end = (const char *)message + len;
        wire->bad = false;
        return 0;
}

static size_t left(const struct zl_wire *wire)
{
        return wire->bad ? 0 : (size_t)(wire->end - wire->pos);
}

static void get(struct zl_wire *wire, void *ret, size_t len)
{
        if (left(wire) < len) {
                wire->bad = true;
                memset(ret, 0, len);
                return;
        }
        memcpy(ret, wire->pos, len);
        wire->pos += len;
}

uint8_t zl_wire_get_u8(struct zl_wire *wire)
{
        uint8_t v;

        get(wire, &v, sizeof(v));
        return v;
}

uint32_t zl_wire_get_u32(struct zl_wire *wire)
{
        uint32_t v;

        get(wire, &v, sizeof(v));
        return v;
}

int32_t zl_wire_get_i32(struct zl_wire *wire)
{
        int32_t v;

        get(wire, &v, sizeof(v));
        return v;
}

uint64_t zl_wire_get_u64(struct zl_wire *wire)
{
        uint64_t v;

        get(wire, &v, sizeof(v));
        return v;
}

int64_t zl_wire_get_i64(struct zl_wire *wire)
{
        int64_t v;

        get(wire, &v, sizeof(v));
        return v;
}

bool zl_wire_get_bool(struct zl_wire *wire)
{
        uint8_t v = zl_wire_get_u8(wire);

        if (v > 1)
                wire->bad = true;
        return v == 1;
}

const char *zl_wire_get_str(struct zl_wire *wire)
{
        uint32_t len = zl_wire_get_u32(wire);
        const char *s = wire->pos;

        if (wire->bad || len == NO_STRING)
                return NULL;
        if (len > left(wire) || memchr(s, 0, len) != s + len - 1) {
                wire->bad = true;
                return NULL;
        }
        wire->pos += len;
        return s;
}

char **zl_wire_get_strv(struct zl_wire *wire)
{
        _cleanup_free_ char **strv = NULL;
        uint32_t n = zl_wire_get_u32(wire);

        if (wire->bad || n == NO_STRV)
                return NULL;
        /* The least string takes a length and a NUL. */
        if (n > left(wire) / (sizeof(uint32_t) + 1)) {
                wire->bad = true;
                return NULL;
        }
        strv = calloc((size_t)n + 1, sizeof(*strv));
        for (uint32_t i = 0; strv && i < n; i++)
                strv[i] = (char *)zl_wire_get_str(wire);
        for (uint32_t i = 0; strv && i < n; i++) {
                if (!strv[i])
                        wire->bad = true;
        }
        if (!strv)
                wire->bad = true;
        return wire->bad ? NULL : zl_take_ptr(strv);
}

const char *zl_wire_get_rest(struct zl_wire *wire, size_t *ret_len)
{
        const char *rest = wire->pos;

        *ret_len = left(wire);
        wire->pos = wire->end;
        return rest;
}

int zl_wire_get_error(struct zl_wire *wire, struct zl_error *err)
{
        uint32_t code = zl_wire_get_u32(wire);
        int32_t sys_errno = zl_wire_get_i32(wire);
        const char *message = zl_wire_get_str(wire);
        const char *hint = zl_wire_get_str(wire);
        int r;

        if (zl_wire_finish(wire) < 0 || !message || code == ZL_OK || code >= ZL_E_MAX_ ||
            sys_errno < 0 || sys_errno > 4095)
                return zl_fail(err, ZL_E_PROTOCOL, 0, "the monitor's answer makes no sense");
        /* errno is carried beside the message, whose text already ends with it. */
        r = zl_fail(err, (enum zl_code)code, 0, "%s", message);
        if (err)
                err->sys_errno = sys_errno;
        if (hint)
                zl_error_hint(err, "%s", hint);
        return sys_errno > 0 ? -sys_errno : r;
}

void zl_wire_get_record(struct zl_wire *wire, struct zl_exit_record *ret)
{
        const char *reason;

        ret->generation = zl_wire_get_u32(wire);
        ret->exit_code = zl_wire_get_i32(wire);
        ret->signal = zl_wire_get_i32(wire);
        ret->oom = zl_wire_get_bool(wire);
        ret->stop_requested = zl_wire_get_bool(wire);
        ret->failed = zl_wire_get_bool(wire);
        reason = zl_wire_get_str(wire);
        if (zl_replace_str(&ret->reason, reason) < 0)
                wire->bad = true;
        ret->created_at = zl_wire_get_i64(wire);
        ret->started_at = zl_wire_get_i64(wire);
        ret->finished_at = zl_wire_get_i64(wire);
        ret->memory_peak = zl_wire_get_u64(wire);
        ret->cpu_usec = zl_wire_get_u64(wire);
        ret->oom_kills = zl_wire_get_u64(wire);
        ret->log_bytes = zl_wire_get_u64(wire);
        ret->log_dropped = zl_wire_get_u64(wire);
}

void zl_wire_get_status(struct zl_wire *wire, struct zl_monitor_status *ret)
{
        uint32_t state = zl_wire_get_u32(wire);

        if (state > ZL_STATE_FAILED)
                wire->bad = true;
        ret->state = (enum zl_workload_state)state;
        ret->monitor_pid = zl_wire_get_i32(wire);
        ret->pid = zl_wire_get_i32(wire);
        ret->terminal = zl_wire_get_bool(wire);
        ret->n_execs = zl_wire_get_u32(wire);
        ret->n_attached = zl_wire_get_u32(wire);
        zl_wire_get_record(wire, &ret->record);
}

int zl_wire_finish(const struct zl_wire *wire)
{
        return wire->bad || wire->pos != wire->end ? -EPROTO : 0;
}

/* ---- the launch request -------------------------------------------------------------------------------- */

enum launch_flags {
        LAUNCH_STDIN = 1 << 0,
        LAUNCH_NO_LOG = 1 << 1,
        LAUNCH_REAPER = 1 << 2,
        LAUNCH_SYSTEMD = 1 << 3,
        LAUNCH_NO_PIVOT = 1 << 4,
        LAUNCH_NO_KEYRING = 1 << 5,
        LAUNCH_SPARE = 1 << 6,
        LAUNCH_GATED = 1 << 7,
        LAUNCH_SAME_OVERLAY = 1 << 8,
        LAUNCH_KNOWN = (1 << 9) - 1,
};

void zl_wire_put_launch(struct zl_buf *buf, const struct zl_monitor_launch *launch)
{
        uint32_t flags = (launch->attach_stdin ? LAUNCH_STDIN : 0) |
                         (launch->no_log ? LAUNCH_NO_LOG : 0) |
                         (launch->init_reaper ? LAUNCH_REAPER : 0) |
                         (launch->systemd_cgroup ? LAUNCH_SYSTEMD : 0) |
                         (launch->no_pivot ? LAUNCH_NO_PIVOT : 0) |
                         (launch->no_new_keyring ? LAUNCH_NO_KEYRING : 0) |
                         (launch->spare ? LAUNCH_SPARE : 0) | (launch->gated ? LAUNCH_GATED : 0) |
                         (launch->same_overlay ? LAUNCH_SAME_OVERLAY : 0);
        uint32_t fds = (launch->state_dir_fd >= 0) << ZL_LAUNCH_STATE_DIR |
                       (launch->run_dir_fd >= 0) << ZL_LAUNCH_RUN_DIR |
                       (launch->seccomp_fd >= 0) << ZL_LAUNCH_SECCOMP;

        zl_wire_put_u32(buf, fds);
        zl_wire_put_u32(buf, flags);
        zl_wire_put_u32(buf, launch->generation);
        zl_wire_put_str(buf, launch->name);
        zl_wire_put_str(buf, launch->bundle);
        zl_wire_put_strv(buf, launch->lower_dirs);
        zl_wire_put_str(buf, launch->upper_dir);
        zl_wire_put_str(buf, launch->work_dir);
        zl_wire_put_u32(buf, launch->rows);
        zl_wire_put_u32(buf, launch->cols);
        zl_wire_put_i32(buf, launch->stop_signal);
        zl_wire_put_i64(buf, launch->grace_nsec);
        zl_wire_put_u64(buf, launch->log_max_size);
        zl_wire_put_u32(buf, launch->log_max_files);
        zl_wire_put_u32(buf, launch->keep_most);
}

int zl_wire_get_launch(struct zl_wire *wire, struct zl_monitor_launch *ret, uint32_t *ret_fd_mask)
{
        uint32_t fds = zl_wire_get_u32(wire);
        uint32_t flags = zl_wire_get_u32(wire);

        *ret = ZL_MONITOR_LAUNCH_INIT;
        ret->generation = zl_wire_get_u32(wire);
        ret->name = zl_wire_get_str(wire);
        ret->bundle = zl_wire_get_str(wire);
        ret->lower_dirs = zl_wire_get_strv(wire);
        ret->upper_dir = zl_wire_get_str(wire);
        ret->work_dir = zl_wire_get_str(wire);
        ret->rows = (uint16_t)zl_wire_get_u32(wire);
        ret->cols = (uint16_t)zl_wire_get_u32(wire);
        ret->stop_signal = zl_wire_get_i32(wire);
        ret->grace_nsec = zl_wire_get_i64(wire);
        ret->log_max_size = zl_wire_get_u64(wire);
        ret->log_max_files = zl_wire_get_u32(wire);
        ret->keep_most = zl_wire_get_u32(wire);
        ret->attach_stdin = flags & LAUNCH_STDIN;
        ret->no_log = flags & LAUNCH_NO_LOG;
        ret->init_reaper = flags & LAUNCH_REAPER;
        ret->systemd_cgroup = flags & LAUNCH_SYSTEMD;
        ret->no_pivot = flags & LAUNCH_NO_PIVOT;
        ret->no_new_keyring = flags & LAUNCH_NO_KEYRING;
        ret->spare = flags & LAUNCH_SPARE;
        ret->gated = flags & LAUNCH_GATED;
        ret->same_overlay = flags & LAUNCH_SAME_OVERLAY;
        *ret_fd_mask = fds;
        if (zl_wire_finish(wire) < 0 || flags & ~(uint32_t)LAUNCH_KNOWN || fds >> ZL_LAUNCH_FDS ||
            !ret->name || !ret->bundle)
                return -EPROTO;
        return 0;
}
