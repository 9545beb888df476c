/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Networks, for runtimes: requests to zlayer-net, which is started when it is not there. Each call blocks for some milliseconds;
 * one that has to start the process, for some more. Calls from several threads do not meet: each has a connection of its own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/json.h"

struct zl_net {
        const char *program; /* zlayer-net */
        const char *dir;     /* <runtime_dir>/net, absolute */
        const char *memory;  /* <root_dir>/networks, absolute */
        const char *pool;    /* "10.208.0.0/12"; NULL: that */
};

struct zl_net_request {
        const char *name;    /* of the workload */
        const char *network; /* a new one is made */
        const json_t *wish;  /* more members of the request, or NULL */
        pid_t pid;           /* of its first process, which waits at the start gate */
};

/* What it got, as strings of the document that the caller releases with zl_net_info_done(). */
struct zl_net_info {
        json_t *document;
        const char *network, *ipv4, *ipv6, *gateway4, *gateway6, *resolver; /* or NULL */
};
void zl_net_info_done(struct zl_net_info *info);
#define _cleanup_net_info_ _cleanup_(zl_net_info_done)

/* Gives a container its link, addresses and routes. They are there when the call returns, and go when its first process
 * ends. A second attach of the same name replaces the first. */
int zl_net_client_attach(const struct zl_net *net, const struct zl_net_request *request,
                         struct zl_net_info *ret, struct zl_error *err);
/* Takes it out at once. Success if it is in no network. */
int zl_net_client_detach(const struct zl_net *net, const char *name, struct zl_error *err);
/* Whether names lead to it. Success if it is in no network. */
int zl_net_client_ready(const struct zl_net *net, const char *name, bool ready,
                        struct zl_error *err);
/* As not ready, and waits for the end of its connections, at most so long. Success if it is in no network. */
int zl_net_client_drain(const struct zl_net *net, const char *name, int64_t timeout_nsec,
                        struct zl_error *err);
/* Traffic of each published port and balanced address since it is there: an array of objects with service ("DEPLOYMENT.SERVICE"),
 * address ("": all of the host), port, udp, connections; in_bytes and in_packets that went to the containers, out_bytes and out_packets
 * that came back (not told by an older process, or where the kernel has no labels). Starts nothing: -ENOENT (no error filled) without a network. */
int zl_net_client_ports(const struct zl_net *net, json_t **ret, struct zl_error *err);
/* What a container has, from the record on disk: starts nothing. -ENOENT (no error filled) if it is in no network. */
int zl_net_client_get(const struct zl_net *net, const char *name, struct zl_net_info *ret,
                      struct zl_error *err);

/* A network that stays until somebody removes it; ZL_E_EXISTS if there is one already. */
int zl_net_client_keep(const struct zl_net *net, const char *name, struct zl_error *err);
/* ZL_E_NOT_FOUND, ZL_E_BUSY with who uses it. */
int zl_net_client_remove(const struct zl_net *net, const char *name, struct zl_error *err);

/* ---- list.c ---------------------------------------------------------------------------------------- */

/* All networks that were made by hand or have containers, by name: an array of objects with name, kept, subnet4, subnet6, bridge and
 * containers (name, ipv4, ipv6). From the records on disk: starts nothing. */
int zl_net_list(const struct zl_net *net, json_t **ret, struct zl_error *err);
