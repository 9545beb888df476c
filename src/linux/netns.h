/* SPDX-License-Identifier: Apache-2.0 */
/* Network namespaces of containers. */
#pragma once

/* The loopback device of the namespace that we are in is switched on. Async-signal-safe. 0 or a negative errno. */
int zl_netns_loopback_up(void);

/* A new network namespace with a loopback device that is up, which ends with the last descriptor or process in it; the
 * calling process, of one thread, is where it was before. The caller closes. A descriptor or a negative errno. */
int zl_netns_new(void);
