/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor's loop. Descriptors come from epoll, children by a signalfd, times from the earliest of a handful of
 * deadlines: an idle monitor sleeps without end.
 *
 * Memory is the budget here (256 KiB for everything, 140 are used). So the buffers are mapped, given back when the
 * workload is quiet, and then the pages of the program's own text and of its unused stack are dropped too: what the creation of a
 * container needed is not needed again, and a page that is comes back from the page cache.
 */
#include "monitor/server.h"

#include <link.h>
#include <malloc.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

enum { PAGE = 4096, STACK_DROP = 96 * 1024, POPULATE_READ = 22 /* since Linux 5.14 */ };

/* The quiet that trim() waits for: little behind the creation, which is the most there is to drop, and more later. */
static const int64_t first_quiet_nsec = 200 * ZL_NSEC_PER_MSEC, quiet_nsec = ZL_NSEC_PER_SEC;

int zl_source_set(struct zl_server *s, struct zl_source *source, uint32_t events)
{
        struct epoll_event event = { .events = events, .data.ptr = source };
        int op = source->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

        if (source->fd < 0 || source->events == events)
                return 0;
        /* Without any event epoll would still report a hang-up, again and again: take it out. */
        if (events == 0)
                op = EPOLL_CTL_DEL;
        if (epoll_ctl(s->epoll_fd, op, source->fd, &event) < 0)
                return -errno;
        source->events = events;
        return 0;
}

void zl_source_close(struct zl_server *s, struct zl_source *source)
{
        zl_source_set(s, source, 0);
        source->fd = zl_close(source->fd);
}

void zl_server_reap(struct zl_server *s)
{
        for (;;) {
                siginfo_t info = { 0 };
                int code, sig;

                if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
                        return;
                sig = info.si_code == CLD_EXITED ? 0 : info.si_status;
                code = sig ? 128 + sig : info.si_status;
                if (info.si_pid == s->pid)
                        zl_server_init_ended(s, code, sig);
                else
                        zl_server_exec_ended(s, info.si_pid, code);
                /* Others are orphans of the container that came to us as its subreaper. */
        }
}

static void signal_ready(struct zl_server *s, struct zl_source *source, uint32_t events)
{
        struct signalfd_siginfo info;

        while (read(source->fd, &info, sizeof(info)) == sizeof(info)) {
                if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT) {
                        _cleanup_error_ struct zl_error err = ZL_ERROR_INIT;

                        if (zl_server_stop(s, 0, -1, &err) < 0)
                                zl_log_error(ZL_LOG_WARNING, &err, "asked to end");
                }
        }
        zl_server_reap(s);
}

static int open_signals(struct zl_server *s)
{
        sigset_t set;

        /* Blocked is as good as ignored for HUP and PIPE, and a child that unblocks everything has the defaults. */
        sigemptyset(&set);
        sigaddset(&set, SIGCHLD);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGHUP);
        sigaddset(&set, SIGPIPE);
        sigprocmask(SIG_SETMASK, &set, NULL);
        sigdelset(&set, SIGPIPE);
        s->signals = (struct zl_source){ .ready = signal_ready };
        s->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (s->signals.fd < 0)
                return -errno;
        return zl_source_set(s, &s->signals, EPOLLIN);
}

/* Notes where the program's text and constants are. Segments that can be written are left alone: they may be dirty. */
static int find_segments(struct dl_phdr_info *info, size_t size, void *data)
{
        struct zl_server *s = data;
        size_t n = 0;

        for (int i = 0; i < info->dlpi_phnum && n < ZL_ARRAY_SIZE(s->clean); i++) {
                const ElfW(Phdr) *p = &info->dlpi_phdr[i];
                uintptr_t from = (info->dlpi_addr + p->p_vaddr) & ~(uintptr_t)(PAGE - 1);
                uintptr_t to = info->dlpi_addr + p->p_vaddr + p->p_memsz;

                if (p->p_type == PT_LOAD && !(p->p_flags & PF_W))
                        s->clean[n++] = (struct zl_segment){ (void *)from, to - from };
        }
        return 1; /* the first object is the program itself */
}

void zl_server_populate(struct zl_server *s)
{
        dl_iterate_phdr(find_segments, s);
        for (size_t i = 0; i < ZL_ARRAY_SIZE(s->clean); i++) {
                if (s->clean[i].len)
                        madvise(s->clean[i].start, s->clean[i].len, POPULATE_READ);
        }
}

/* Clean pages of a file: a dropped one comes back from the page cache when it is used, with its neighbours. So this is the
 * last thing done before sleeping, in as little code as possible. */
static void drop_segments(const struct zl_server *s)
{
        for (size_t i = ZL_ARRAY_SIZE(s->clean); i-- > 0;) {
                if (s->clean[i].len)
                        madvise(s->clean[i].start, s->clean[i].len, MADV_DONTNEED);
        }
}

/* The stack that the creation of the container needed: all but the pages from this frame up. */
static __attribute__((noinline)) void drop_stack(void)
{
        uintptr_t here = (uintptr_t)__builtin_frame_address(0) & ~(uintptr_t)(PAGE - 1);

        madvise((void *)(here - STACK_DROP - PAGE), STACK_DROP, MADV_DONTNEED);
}

static void trim(struct zl_server *s)
{
        zl_server_compact(s);
        madvise(s->scratch, ZL_SERVER_SCRATCH, MADV_DONTNEED);
        if (s->message.len == 0 || s->message.size > 4096)
                zl_buf_done(&s->message);
#ifdef __GLIBC__ /* musl gives free pages back by itself */
        malloc_trim(0);
#endif
        drop_stack();
        s->dirty = false;
        s->trimmed = true;
        s->trim_at = 0;
}

static int64_t earliest(const struct zl_server *s)
{
        const int64_t times[] = { s->kill_at,      s->stall_at,    s->drain_until, s->record_at,
                                  s->linger_until, s->flush_until, s->trim_at };
        int64_t first = 0;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(times); i++) {
                if (times[i] && (!first || times[i] < first))
                        first = times[i];
        }
        return first;
}

static int timeout_msec(const struct zl_server *s, int64_t now)
{
        int64_t first = earliest(s);

        if (!first)
                return -1;
        if (first <= now)
                return 0;
        return (int)ZL_MIN((first - now + ZL_NSEC_PER_MSEC - 1) / ZL_NSEC_PER_MSEC,
                           INT64_C(3600000));
}

static bool is_flushed(const struct zl_server *s)
{
        for (const struct zl_conn *c = s->conns; c; c = c->next) {
                if (c->queue.len > 0)
                        return false;
        }
        return !s->execs;
}

/* After the end: stay a short moment for those who are connected, longer only for what has to be sent yet. */
static bool may_leave(const struct zl_server *s, int64_t now)
{
        if (s->phase != ZL_LIFE_ENDED)
                return false;
        if (is_flushed(s) && (!s->conns || now >= s->linger_until))
                return true;
        return now >= s->flush_until;
}

int zl_server_loop(struct zl_server *s)
{
        struct epoll_event events[ZL_SERVER_EVENTS];

        if (open_signals(s) < 0)
                return EXIT_FAILURE;
        dl_iterate_phdr(find_segments, s);
        /* A child may have ended before its signal was watched for. */
        zl_server_reap(s);
        for (;;) {
                int64_t now = zl_now_monotonic();
                int msec, n;

                zl_server_timers(s, now);
                zl_server_bury_conns(s);
                zl_server_bury_execs(s);
                if (may_leave(s, now))
                        return EXIT_SUCCESS;
                if (s->dirty && !s->trim_at)
                        s->trim_at = now + (s->trimmed ? quiet_nsec : first_quiet_nsec);
                if (s->trim_at && now >= s->trim_at) {
                        trim(s);
                        msec = timeout_msec(s, now);
                        drop_segments(s);
                } else {
                        msec = timeout_msec(s, now);
                }
                n = epoll_wait(s->epoll_fd, events, ZL_SERVER_EVENTS, msec);
                for (int i = 0; i < n; i++) {
                        struct zl_source *source = events[i].data.ptr;

                        /* It may have been closed by an event before it. */
                        if (source->fd >= 0 && source->events)
                                source->ready(s, source, events[i].events);
                }
        }
}
