/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of the workload, and above all its end. The order of the end is what others rely on:
 *
 *   first process reaped → everything in the cgroup killed → output drained → log closed → figures read →
 *   exit record durable → cgroup and mounts removed → socket and lock gone → everybody told
 *
 * The drain is bounded: with a pid namespace of its own everybody is dead and the pipes are at their end; without one, or
 * if a descriptor was handed out of the container, somebody may hold a pipe open for ever.
 *
 * What may go wrong: the disk is full when the record is to be written. It is tried again for ten seconds, and then the end
 * is told all the same: those who ask us get the truth, and those who find neither record nor monitor call it lost.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/parse.h"
#include "monitor/server.h"

enum { RECORD_ATTEMPTS = 10 };

enum zl_workload_state zl_server_state(const struct zl_server *s)
{
        switch (s->phase) {
        case ZL_LIFE_PENDING:
                return s->record.stop_requested ? ZL_STATE_STOPPING : ZL_STATE_PENDING;
        case ZL_LIFE_RUNNING:
                if (s->record.stop_requested)
                        return ZL_STATE_STOPPING;
                return s->paused ? ZL_STATE_PAUSED : ZL_STATE_RUNNING;
        case ZL_LIFE_DEAD:
                return ZL_STATE_STOPPING;
        case ZL_LIFE_ENDED:
                break;
        }
        return s->record.failed ? ZL_STATE_FAILED : ZL_STATE_EXITED;
}

/* The strings in `*ret` stay ours. */
void zl_server_fill_status(struct zl_server *s, struct zl_monitor_status *ret)
{
        s->record.log_bytes = s->log.bytes;
        s->record.log_dropped = s->log.dropped;
        *ret = (struct zl_monitor_status){
                .state = zl_server_state(s),
                .monitor_pid = getpid(),
                .pid = s->pid,
                .terminal = s->terminal,
                .record = s->record,
        };
        for (const struct zl_server_exec *e = s->execs; e; e = e->next)
                ret->n_execs += !e->ended;
        for (const struct zl_conn *c = s->conns; c; c = c->next)
                ret->n_attached += !c->dead && c->role == ZL_CONN_ATTACHED;
}

/* ---- orders ------------------------------------------------------------------------------------------------ */

static void kill_everything(struct zl_server *s)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;
        struct zl_cgroup *cgroup = zl_container_cgroup(s->container);

        if (s->pid > 0)
                kill(s->pid, SIGKILL);
        if (cgroup && zl_cgroup_kill_all(cgroup, SIGKILL, &err) < 0)
                zl_log_error(ZL_LOG_WARNING, &err, "killing what is left of %s", s->name);
        /* On cgroup v1 the frozen do not die before they are thawed. */
        if (s->paused && zl_container_pause(s->container, false, NULL) >= 0)
                s->paused = false;
}

void zl_server_start(struct zl_server *s, struct zl_conn *conn, uint32_t serial)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;

        if (s->phase != ZL_LIFE_PENDING || s->record.stop_requested || s->owner) {
                zl_fail(&err, ZL_E_STATE, 0, "%s has been started already, or has ended", s->name);
                zl_conn_send_error(s, conn, serial, &err);
                return;
        }
        s->phase = ZL_LIFE_RUNNING;
        s->record.started_at = zl_now_realtime();
        s->dirty = true;
        if ((s->spare_fd >= 0 ? zl_server_spare_start(s, &err)
                              : zl_container_start(s->container, &err)) >= 0) {
                /* Whoever has the answer finds the state put down. */
                zl_server_note_state(s);
                zl_conn_send_ok(s, conn, serial);
                zl_server_tell_state(s);
                /* Now that nobody waits; what asks for it, asks soon. */
                zl_container_expect_exec(s->container);
                return;
        }
        /* The end is on its way; the answer waits until it is on record. */
        s->record.started_at = 0;
        zl_error_move(&s->start_error, &err);
        conn->waits_start = true;
        conn->start_serial = serial;
        kill_everything(s);
}

int zl_server_stop(struct zl_server *s, int sig, int64_t grace_nsec, struct zl_error *err)
{
        int64_t kill_at;

        if (s->phase > ZL_LIFE_RUNNING)
                return 0;
        if (grace_nsec < 0)
                grace_nsec = s->grace_nsec;
        /* A command that was never started has no handler to be asked. */
        if (s->phase == ZL_LIFE_PENDING)
                sig = SIGKILL;
        if (sig == 0)
                sig = s->stop_signal;
        grace_nsec = ZL_MIN(grace_nsec, INT64_C(86400) * 365 * ZL_NSEC_PER_SEC);
        s->last_signal = sig;
        kill_at = zl_now_monotonic() + grace_nsec;
        if (sig == SIGKILL || grace_nsec == 0) {
                s->record.stop_requested = true;
                kill_everything(s);
        } else {
                int r = zl_container_kill(s->container, sig, false, err);

                /* It has just ended by itself and we are about to learn it: whoever waits will be told. */
                if (r < 0 && err->code == ZL_E_STATE) {
                        zl_error_done(err);
                        return 0;
                }
                if (r < 0)
                        return r;
                if (s->paused && zl_container_pause(s->container, false, NULL) >= 0)
                        s->paused = false;
                s->record.stop_requested = true;
                if (!s->kill_at || kill_at < s->kill_at)
                        s->kill_at = kill_at;
        }
        zl_server_tell_state(s);
        return 0;
}

int zl_server_pause(struct zl_server *s, bool pause, struct zl_error *err)
{
        int r;

        if (s->phase != ZL_LIFE_RUNNING)
                return zl_fail(err, ZL_E_STATE, 0, "%s does not run", s->name);
        if (s->paused == pause)
                return zl_fail(err, ZL_E_STATE, 0, pause ? "%s is paused" : "%s is not paused",
                               s->name);
        r = zl_container_pause(s->container, pause, err);
        if (r < 0)
                return r;
        s->paused = pause;
        zl_server_tell_state(s);
        return 0;
}

/* ---- the end ------------------------------------------------------------------------------------------------ */

/* A program may leave the reason of its end in a file of the state (zlayer-wasm does): "oom TEXT" or "end TEXT". */
static void read_own_reason(struct zl_server *s)
{
        struct zl_exit_record *record = &s->record;
        _cleanup_free_ char *text = NULL;

        if (zl_read_file_at(s->state_dir_fd, "wasm/reason", 4096, &text, NULL) < 0)
                return;
        unlinkat(s->state_dir_fd, "wasm/reason", 0);
        text[strcspn(text, "\n")] = 0;
        record->oom |= strncmp(text, "oom ", 4) == 0;
        if (strlen(text) > 4)
                record->reason = strdup(text + 4);
}

static char *reason_of(const struct zl_server *s)
{
        const struct zl_exit_record *record = &s->record;
        const char *name = zl_signal_name(record->signal);
        char *text = NULL;
        int r = 0;

        if (zl_error_is_set(&s->start_error))
                return strdup(zl_error_message(&s->start_error));
        if (record->oom)
                return strdup("the out-of-memory killer struck");
        if (!record->started_at)
                return strdup(record->stop_requested ? "stopped before it was started"
                                                     : "ended before it was started");
        if (record->signal && name)
                r = asprintf(&text, "ended by %s", name);
        else if (record->signal)
                r = asprintf(&text, "ended by signal %d", record->signal);
        return r < 0 ? NULL : text;
}

static void fill_record(struct zl_server *s)
{
        struct zl_cgroup *cgroup = zl_container_cgroup(s->container);
        struct zl_exit_record *record = &s->record;

        if (cgroup) {
                zl_cgroup_totals(cgroup, &record->cpu_usec, &record->memory_peak);
                record->oom_kills = zl_cgroup_oom_kills(cgroup);
        }
        record->oom = record->oom_kills > 0;
        /* PID 1 of our own can tell a signal only as 128 + n, which a command may also return by itself. It was the signal if
         * somebody sent it. */
        if (s->init_reaper && record->exit_code > 128 &&
            (record->exit_code - 128 == s->last_signal ||
             (record->oom && record->exit_code - 128 == SIGKILL)))
                record->signal = record->exit_code - 128;
        if (zl_error_is_set(&s->start_error)) {
                record->signal = 0;
                record->exit_code = -1;
                if (s->start_error.code == ZL_E_NO_COMMAND)
                        record->exit_code = 127;
                else if (s->start_error.code == ZL_E_NOT_RUNNABLE)
                        record->exit_code = 126;
                else
                        record->failed = true;
        }
        if (record->exit_code > 0 && !record->signal)
                read_own_reason(s);
        if (!record->reason)
                record->reason = reason_of(s);
        record->log_bytes = s->log.bytes;
        record->log_dropped = s->log.dropped;
}

static void tell_end(struct zl_server *s)
{
        int64_t now = zl_now_monotonic();

        s->phase = ZL_LIFE_ENDED;
        if (s->owner)
                zl_conn_drop(s, s->owner); /* it learns at once that there is nothing to adopt */
        zl_server_tell_state(s);
        for (struct zl_conn *c = s->conns; c; c = c->next) {
                if (c->waits_start) {
                        c->waits_start = false;
                        zl_conn_send_error(s, c, c->start_serial, &s->start_error);
                }
                if (c->waits_stop && !c->dead) {
                        c->waits_stop = false;
                        zl_wire_begin(&s->message, ZL_WIRE_EXITED, c->stop_serial);
                        zl_wire_put_record(&s->message, &s->record);
                        zl_conn_send(s, c);
                }
        }
        s->mount_ns_fd = zl_close(s->mount_ns_fd);
        s->linger_until = now + ZL_SERVER_LINGER_NSEC;
        s->flush_until = now + ZL_SERVER_FLUSH_NSEC;
}

static void finish(struct zl_server *s)
{
        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;

        if (zl_exit_record_save(s->state_dir_fd, &s->record, &err) < 0) {
                zl_log_error(ZL_LOG_ERROR, &err, "the end of %s", s->name);
                zl_error_done(&err);
                if (++s->record_attempts < RECORD_ATTEMPTS) {
                        s->record_at = zl_now_monotonic() + ZL_NSEC_PER_SEC;
                        return;
                }
        }
        s->record_at = 0;
        if (zl_container_delete(s->container, true, &err) < 0)
                zl_log_error(ZL_LOG_ERROR, &err, "removing what %s leaves", s->name);
        zl_container_free(s->container);
        s->container = NULL;
        /* Whoever is waiting to be let in still is; whoever comes later finds the record. */
        zl_server_accept(s, &s->listener, 0);
        zl_server_leave(s);
        tell_end(s);
}

void zl_server_try_finish(struct zl_server *s)
{
        bool ended = zl_server_drain(s);

        if (!ended && zl_now_monotonic() < s->drain_until) {
                zl_server_note_state(s);
                return;
        }
        s->drain_until = 0;
        zl_server_close_outputs(s);
        fill_record(s);
        if (s->logs)
                zl_log_writer_close(&s->log);
        s->logs = false;
        finish(s);
}

void zl_server_init_ended(struct zl_server *s, int code, int sig)
{
        s->record.finished_at = zl_now_realtime();
        s->record.exit_code = code;
        s->record.signal = sig;
        s->phase = ZL_LIFE_DEAD;
        s->pid = 0;
        s->kill_at = 0;
        s->stall_at = 0;
        s->stalled = false;
        kill_everything(s);
        s->terminal_fd = zl_close(s->terminal_fd);
        s->drain_until = zl_now_monotonic() + ZL_SERVER_DRAIN_NSEC;
        zl_server_try_finish(s);
}

void zl_server_timers(struct zl_server *s, int64_t now)
{
        if (s->kill_at && now >= s->kill_at) {
                s->kill_at = 0;
                kill_everything(s);
        }
        if (s->stall_at && now >= s->stall_at)
                zl_server_check_stall(s, now);
        if (s->drain_until && now >= s->drain_until)
                zl_server_try_finish(s);
        if (s->record_at && now >= s->record_at)
                finish(s);
}
