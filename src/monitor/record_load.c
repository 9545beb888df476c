/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the exit record. It is our own file, but a damaged disk or a curious hand may have changed it: members of the
 * wrong type or out of range make it corrupt, unknown ones (of a later version) are passed over.
 */
#include <limits.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "monitor/record.h"

enum { DOCUMENT_MAX = 64 * 1024 };

static int get_time(const json_t *json, const char *name, int64_t *ret)
{
        const json_t *v = json_object_get(json, name);

        if (!v)
                return 0;
        if (!json_is_string(v))
                return -EINVAL;
        return zl_parse_rfc3339(json_string_value(v), ret);
}

static int get_int(const json_t *json, const char *name, int64_t min, int64_t max, int64_t *ret)
{
        const json_t *v = json_object_get(json, name);

        if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
                return -EINVAL;
        *ret = json_integer_value(v);
        return 0;
}

static int get_u64(const json_t *json, const char *name, uint64_t *ret)
{
        int64_t v = 0;

        if (!json_object_get(json, name))
                return 0;
        if (get_int(json, name, 0, INT64_MAX, &v) < 0)
                return -EINVAL;
        *ret = (uint64_t)v;
        return 0;
}

static int get_bool(const json_t *json, const char *name, bool *ret)
{
        const json_t *v = json_object_get(json, name);

        if (!json_is_boolean(v))
                return -EINVAL;
        *ret = json_is_true(v);
        return 0;
}

static int decode(const json_t *json, struct zl_exit_record *record)
{
        const json_t *reason = json_object_get(json, "reason");
        int64_t generation, exit_code, sig;

        if (!json_is_object(json) || get_int(json, "generation", 0, UINT32_MAX, &generation) < 0 ||
            get_int(json, "exit_code", -1, 255, &exit_code) < 0 ||
            get_int(json, "signal", 0, 64, &sig) < 0 || get_bool(json, "oom", &record->oom) < 0 ||
            get_bool(json, "stop_requested", &record->stop_requested) < 0 ||
            get_bool(json, "failed", &record->failed) < 0)
                return -EINVAL;
        record->generation = (uint32_t)generation;
        record->exit_code = (int)exit_code;
        record->signal = (int)sig;
        if (get_time(json, "created_at", &record->created_at) < 0 ||
            get_time(json, "started_at", &record->started_at) < 0 ||
            get_time(json, "finished_at", &record->finished_at) < 0 ||
            get_u64(json, "memory_peak", &record->memory_peak) < 0 ||
            get_u64(json, "cpu_usec", &record->cpu_usec) < 0 ||
            get_u64(json, "oom_kills", &record->oom_kills) < 0 ||
            get_u64(json, "log_bytes", &record->log_bytes) < 0 ||
            get_u64(json, "log_dropped", &record->log_dropped) < 0)
                return -EINVAL;
        if (reason && !json_is_string(reason))
                return -EINVAL;
        return zl_replace_str(&record->reason, reason ? json_string_value(reason) : NULL);
}

int zl_exit_record_load(int state_dir_fd, struct zl_exit_record *ret, struct zl_error *err)
{
        _cleanup_exit_record_ struct zl_exit_record record = ZL_EXIT_RECORD_INIT;
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ json_t *json = NULL;
        size_t len;
        int r;

        r = zl_read_file_at(state_dir_fd, ZL_EXIT_RECORD_NAME, DOCUMENT_MAX, &text, &len);
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read the exit record %s",
                                     ZL_EXIT_RECORD_NAME);
        if (len > 0 && text[strspn(text, " ")] == 0) /* made ahead, and not needed yet */
                return zl_fail_errno(err, ENOENT, "the exit record %s is blank",
                                     ZL_EXIT_RECORD_NAME);
        r = zl_json_parse(text, len, ZL_EXIT_RECORD_NAME, &json, err);
        if (r < 0) {
                zl_error_recode(err, ZL_E_CORRUPT);
                return r;
        }
        r = decode(json, &record);
        if (r == -ENOMEM)
                return zl_fail_oom(err);
        if (r < 0)
                return zl_fail(err, ZL_E_CORRUPT, 0, "%s is not an exit record",
                               ZL_EXIT_RECORD_NAME);
        *ret = record;
        record = ZL_EXIT_RECORD_INIT;
        return 0;
}
