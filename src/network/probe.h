/* SPDX-License-Identifier: Apache-2.0 */
/* Which networks somebody like us can have on this machine, for people who ask before they need one. */
#pragma once

struct zl_net_facts {
        const char *way;  /* "bridge", "pasta", "slirp4netns"; NULL: the host's network only */
        char detail[400]; /* how, or what is missing */
};

/* Looks and changes nothing; that a program works is seen when it is needed. `program` is zlayer-net, or NULL if it is nowhere to be
 * found. Opens a few files; any thread. */
void zl_net_probe(const char *program, struct zl_net_facts *ret);
