/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One question over TLS: with which status does a server answer? libcurl does it, over a connection that somebody else has
 * made (in the network of a workload), so it resolves no name and dials nowhere.
 *
 * Certificates are not verified. Who looks whether a workload answers reaches it as "localhost" or by an address, for which there
 * hardly ever is a certificate, and mostly it is one that the workload has made for itself. Nothing secret is sent, and the answer
 * decides no more than whether the workload counts as healthy.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"
#include "image/curl.h"
#include "runtimes/runtime.h"

struct question {
        int fd;          /* not yet given to libcurl */
        unsigned status; /* 0: not yet known */
};

static curl_socket_t on_open(void *data, curlsocktype purpose, struct curl_sockaddr *address)
{
        struct question *q = data;
        int fd = q->fd;

        (void)purpose;
        (void)address;
        q->fd = -EBADF;
        return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static int on_opened(void *data, curl_socket_t fd, curlsocktype purpose)
{
        (void)data;
        (void)fd;
        (void)purpose;
        return CURL_SOCKOPT_ALREADY_CONNECTED;
}

/* The first status that is not provisional is all that is wanted: what comes behind it is not waited for. */
static size_t on_header(char *line, size_t size, size_t n, void *data)
{
        struct question *q = data;
        unsigned status = 0;

        if (sscanf(line, "HTTP/%*[0-9.] %3u", &status) != 1 || status < 200)
                return size * n;
        q->status = status;
        return 0;
}

static int wait_connected(int fd, int timeout_msec)
{
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        int e = 0, r;
        socklen_t len = sizeof(e);

        do
                r = poll(&p, 1, timeout_msec);
        while (r < 0 && errno == EINTR);
        if (r == 0)
                return -ETIMEDOUT;
        if (r < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0)
                return -errno;
        return -e;
}

static CURLcode ask(const struct zl_curl *lib, CURL *curl, struct question *q, const char *url)
{
        /* Whatever the address says, the connection is there: an address in digits keeps libcurl from resolving names. */
        struct curl_slist *to = lib->slist_append(NULL, "::127.0.0.1:");
        CURLcode rc;

        if (!to)
                return CURLE_OUT_OF_MEMORY;
        lib->easy_setopt(curl, CURLOPT_URL, url);
        lib->easy_setopt(curl, CURLOPT_CONNECT_TO, to);
        lib->easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
        lib->easy_setopt(curl, CURLOPT_PROXY, "");
        lib->easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
        lib->easy_setopt(curl, CURLOPT_USERAGENT, "zlayer-agent");
        lib->easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        lib->easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
        lib->easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
        /* Reading the machine's authorities takes longer than all the rest. */
        lib->easy_setopt(curl, CURLOPT_CAINFO, NULL);
        lib->easy_setopt(curl, CURLOPT_CAPATH, NULL);
        lib->easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_open);
        lib->easy_setopt(curl, CURLOPT_OPENSOCKETDATA, q);
        lib->easy_setopt(curl, CURLOPT_SOCKOPTFUNCTION, on_opened);
        lib->easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
        lib->easy_setopt(curl, CURLOPT_HEADERDATA, q);
        rc = lib->easy_perform(curl);
        lib->slist_free_all(to);
        return rc;
}

static int fail_slow(int64_t timeout, struct zl_error *err)
{
        return zl_fail(err, ZL_E_TIMEOUT, 0, "no answer within %.3g s", (double)timeout / 1e9);
}

int zl_https_status(int fd, const char *url, int64_t timeout, unsigned *ret_status,
                    struct zl_error *err)
{
        int64_t deadline = zl_now_monotonic() + timeout;
        struct question q = { .fd = fd };
        const struct zl_curl *lib;
        CURLcode rc;
        CURL *curl;
        int r = zl_curl_load(&lib, err);

        if (r >= 0) {
                r = wait_connected(fd, (int)(timeout / ZL_NSEC_PER_MSEC) + 1);
                if (r == -ETIMEDOUT)
                        r = fail_slow(timeout, err);
                else if (r < 0)
                        r = zl_fail(err, ZL_E_NETWORK, -r, "%s", url);
        }
        curl = r >= 0 ? lib->easy_init() : NULL;
        if (!curl) {
                zl_close(q.fd);
                return r < 0 ? r : zl_fail_oom(err);
        }
        lib->easy_setopt(curl, CURLOPT_TIMEOUT_MS,
                         (long)((deadline - zl_now_monotonic()) / ZL_NSEC_PER_MSEC) + 1);
        rc = ask(lib, curl, &q, url);
        if (q.status > 0)
                *ret_status = q.status;
        else if (rc == CURLE_OPERATION_TIMEDOUT)
                r = fail_slow(timeout, err);
        else
                r = zl_fail(err, ZL_E_NETWORK, 0, "%s: %s", url, lib->easy_strerror(rc));
        lib->easy_cleanup(curl);
        zl_close(q.fd);
        return r < 0 ? r : 0;
}
