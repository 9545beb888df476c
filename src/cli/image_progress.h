/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What people see while an image comes in: on a terminal one bar per layer, redrawn in place; elsewhere one line per
 * layer when it is done. All of it goes to standard error. SIGINT and SIGTERM ask the work to stop and clean up.
 */
#pragma once

#include "cli/cli.h"

struct zl_image_progress;

/* Fills the progress and cancel members of `options`. `quiet` shows nothing. NULL without memory. One at a time. */
struct zl_image_progress *zl_image_progress_new(const struct zl_cli *cli, bool quiet,
                                                struct zl_pull_options *options);
/* Ends the display and restores the signals. Returns the signal that asked to stop, or 0. */
int zl_image_progress_free(struct zl_image_progress *progress);
