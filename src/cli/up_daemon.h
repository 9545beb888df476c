/* SPDX-License-Identifier: Apache-2.0 */
/* `up` through the daemon: the wish is sent, and what comes of it is shown. */
#pragma once

#include <zlayer/spec.h>

#include "cli/cli.h"

struct zl_up_daemon_options {
        bool detach;     /* return when it has been started */
        int64_t timeout; /* for that; negative: none */
        int name_width;  /* as for the view */
        bool may_end;    /* that the daemon ends before it has answered is no fault yet */
};

/* With `may_end`: the daemon ended, nothing was printed, and whether it has heard of the wish is not known. To be told once more,
 * to whoever comes next, does no harm. */
#define ZL_UP_DAEMON_GONE (-1)

/* Returns the exit code, or ZL_UP_DAEMON_GONE; has printed what is to be said. */
int zl_up_daemon(struct zl_cli *cli, const struct zl_deployment_spec *spec,
                 const struct zl_up_daemon_options *options);
