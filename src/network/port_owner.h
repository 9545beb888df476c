/* SPDX-License-Identifier: Apache-2.0 */
/* Who has a port of this host, for messages. Reads /proc, as long as there are processes; called only when something failed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "nginx (process 123)", or false if nobody who can be seen has it. */
bool zl_port_owner(uint16_t port, bool udp, char *ret, size_t size);
