/* SPDX-License-Identifier: Apache-2.0 */
/* See thread.h. The mask is inherited, so it is set before: a thread that blocks signals itself is open to them for an instant. */
#include "base/thread.h"

#include <signal.h>

int zl_thread_start(pthread_t *ret, void *(*run)(void *data), void *data)
{
        sigset_t all, old;
        int r;

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        r = pthread_create(ret, NULL, run, data);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        return -r;
}
