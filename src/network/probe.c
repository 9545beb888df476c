/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order is that in which zlayer-net would meet with the obstacles. A wrong "yes" is possible (a program that fails, a kernel without some
 * expression of nf_tables) and is told where a network is asked for; a "no" is right.
 */
#include "network/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "linux/nl.h"
#include "linux/userns.h"
#include "network/outside.h"

#define TUN "/dev/net/tun"

static void say(struct zl_net_facts *ret, const char *way, const char *detail)
{
        ret->way = way;
        snprintf(ret->detail, sizeof(ret->detail), "%s", detail);
}

/* In a user namespace, in a network namespace that is somebody else's. */
static void probe_outside(struct zl_net_facts *ret)
{
        _cleanup_close_ int tun = open(TUN, O_RDWR | O_CLOEXEC);
        int why = tun < 0 ? errno : 0;
        char path[ZL_OUTSIDE_PATH_SIZE];
        const char *way = zl_outside_find(path);

        if (!way) {
                say(ret, NULL, ZL_OUTSIDE_NOTHING);
        } else if (why) {
                snprintf(ret->detail, sizeof(ret->detail), "%s needs " TUN ": %s", way,
                         strerror(why));
        } else {
                ret->way = way;
                snprintf(ret->detail, sizeof(ret->detail),
                         "bridges in a namespace of ours, the way out is %s", path);
        }
}

void zl_net_probe(const char *program, struct zl_net_facts *ret)
{
        _cleanup_nl_ struct zl_nl nl = ZL_NL_INIT;

        *ret = (struct zl_net_facts){ 0 };
        if (!program)
                say(ret, NULL, "the program zlayer-net is nowhere to be found");
        else if (!zl_userns_has_capability(CAP_NET_ADMIN) && geteuid() != 0)
                say(ret, NULL,
                    "networks need CAP_NET_ADMIN, or a user namespace, which cannot be had");
        else if (!zl_userns_has_capability(CAP_NET_ADMIN))
                say(ret, NULL, "networks need CAP_NET_ADMIN, which this process does not have");
        else if (zl_outside_is_needed())
                probe_outside(ret);
        else if (zl_nl_open(&nl, NETLINK_NETFILTER, NULL) < 0)
                say(ret, NULL, "networks need a kernel with nf_tables (CONFIG_NF_TABLES_INET)");
        else
                say(ret, "bridge", "bridges and nf_tables of the machine");
}
