/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and JSON form of events. Members that say nothing for a type are left out, so that a reader may take
 * presence for meaning.
 */
#include "agent/event.h"

#include "base/clock.h"
#include "base/parse.h"

static const char *const type_names[ZL_EVENT_TYPE_MAX_] = {
        [ZL_EVENT_DEPLOYMENT_UP] = "deployment_up",
        [ZL_EVENT_DEPLOYMENT_STARTED] = "deployment_started",
        [ZL_EVENT_DEPLOYMENT_FAILED] = "deployment_failed",
        [ZL_EVENT_DEPLOYMENT_STOPPED] = "deployment_stopped",
        [ZL_EVENT_WARNING] = "warning",
        [ZL_EVENT_WAITING] = "waiting",
        [ZL_EVENT_PULLING] = "pulling",
        [ZL_EVENT_PULLED] = "pulled",
        [ZL_EVENT_CREATED] = "created",
        [ZL_EVENT_STARTED] = "started",
        [ZL_EVENT_ADOPTED] = "adopted",
        [ZL_EVENT_PAUSED] = "paused",
        [ZL_EVENT_RESUMED] = "resumed",
        [ZL_EVENT_STOPPING] = "stopping",
        [ZL_EVENT_EXITED] = "exited",
        [ZL_EVENT_RESTARTING] = "restarting",
        [ZL_EVENT_CRASH_LOOP] = "crash_loop",
        [ZL_EVENT_COMPLETED] = "completed",
        [ZL_EVENT_ISOLATED] = "isolated",
        [ZL_EVENT_SHUTDOWN] = "shutdown",
        [ZL_EVENT_FAILED] = "failed",
        [ZL_EVENT_REMOVED] = "removed",
        [ZL_EVENT_HEALTHY] = "healthy",
        [ZL_EVENT_UNHEALTHY] = "unhealthy",
        [ZL_EVENT_DEPLOYMENT_UPDATE] = "deployment_update",
        [ZL_EVENT_SCALED] = "scaled",
        [ZL_EVENT_ROLLING] = "rolling",
        [ZL_EVENT_UPDATED] = "updated",
        [ZL_EVENT_ROLLED_BACK] = "rolled_back",
        [ZL_EVENT_QUEUED] = "queued",
        [ZL_EVENT_CANCELLED] = "cancelled",
        [ZL_EVENT_TIMED_OUT] = "timed_out",
        [ZL_EVENT_SKIPPED] = "skipped",
};

const char *zl_event_type_name(enum zl_event_type type)
{
        return (unsigned)type < ZL_EVENT_TYPE_MAX_ ? type_names[type] : "unknown";
}

static int put_exit(json_t *o, const struct zl_event *event)
{
        const char *signal_name = event->signal ? zl_signal_name(event->signal) : NULL;
        int r = zl_json_set(o, "exit_code", json_integer(event->exit_code));

        if (r >= 0 && event->signal)
                r = zl_json_set(o, "signal", json_integer(event->signal));
        if (r >= 0 && signal_name)
                r = zl_json_set(o, "signal_name", json_string(signal_name));
        if (r >= 0)
                r = zl_json_set(o, "oom", json_boolean(event->oom));
        if (r >= 0)
                r = zl_json_set(o, "stop_requested", json_boolean(event->stop_requested));
        return r;
}

json_t *zl_event_to_json(const struct zl_event *event)
{
        _cleanup_json_ json_t *o = json_object();
        char time[ZL_RFC3339_SIZE];
        int r;

        if (!o)
                return NULL;
        r = zl_json_set(o, "seq", json_integer(event->seq));
        if (r >= 0)
                r = zl_json_set(o, "time", json_string(zl_format_rfc3339(event->time, time)));
        if (r >= 0)
                r = zl_json_set(o, "type", json_string(zl_event_type_name(event->type)));
        if (r >= 0)
                r = zl_json_set(o, "name", zl_json_string_lossy(event->name, strlen(event->name)));
        if (r >= 0 && event->has_exit)
                r = put_exit(o, event);
        if (r >= 0 && event->pid > 0)
                r = zl_json_set(o, "pid", json_integer(event->pid));
        if (r >= 0 && event->restarts)
                r = zl_json_set(o, "restarts", json_integer(event->restarts));
        if (r >= 0 && event->delay_nsec > 0)
                r = zl_json_set(o, "delay_ms", json_integer(event->delay_nsec / ZL_NSEC_PER_MSEC));
        if (r >= 0 && event->message)
                r = zl_json_set(o, "message",
                                zl_json_string_lossy(event->message, strlen(event->message)));
        if (r < 0)
                return NULL;
        return zl_take_ptr(o);
}
