/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passage through the chains of other firewalls: what they would drop of our bridges, by a policy that is about everything that is
 * forwarded, they let through. Our own table decides then. Blocks for as long as the kernel takes to list its chains.
 */
#pragma once

#include "linux/nl.h"

/* `prefix` is how the names of our bridges begin, `own_table` who is not looked at. Repeating it puts back what is missing.
 * `is_first` has chains told in the log that are not opened. What fails is in the log. */
void zl_passage_open(struct zl_nl *nl, const char *own_table, const char *prefix, bool is_first);
/* Takes all of that away again. */
void zl_passage_close(struct zl_nl *nl, const char *prefix);
