/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workloads of the mock do what their script says (play.h), each in a thread of its own. Without this the cases would have
 * nothing to look at.
 */
#include <pthread.h>

#include "contract.h"
#include "play.h"
#include "runtimes/mock.h"

enum { PLAYS_MAX = 100, TEXT_MAX = 400 };

struct actor {
        char name[64], script[TEXT_MAX];
        bool stays; /* it sleeps for longer than anybody looks */
        pthread_t thread;
        bool started;
};

static struct zl_runtime *mock;
static struct actor actors[PLAYS_MAX];
static size_t n_actors;

static struct actor *find(const char *name)
{
        for (size_t i = n_actors; i-- > 0;)
                if (zl_streq(actors[i].name, name))
                        return &actors[i];
        return NULL;
}

void mock_script(const char *name, const char *script)
{
        struct actor *a = n_actors < PLAYS_MAX ? &actors[n_actors] : NULL;

        if (!mock || !a)
                return;
        snprintf(a->name, sizeof(a->name), "%s", name);
        snprintf(a->script, sizeof(a->script), "%s", script);
        n_actors++;
}

static void say(void *data, int stream, const char *line)
{
        zl_mock_say(mock, ((struct actor *)data)->name, stream, line, NULL);
}

static void doze(void *data, double seconds)
{
        struct actor *a = data;

        a->stays = seconds > 100;
        if (!a->stays)
                usleep((useconds_t)(seconds * 1e6));
}

static void upper(void *data _unused_)
{
}

static void *act(void *data)
{
        struct actor *a = data;
        const struct play p = { say, doze, upper, a };
        int code = play(&p, a->script);

        if (!a->stays)
                zl_mock_exit(mock, a->name, code == PLAY_UNKNOWN ? 99 : code, 0, false, NULL);
        return NULL;
}

static int on_start(const char *name, uint32_t generation _unused_, void *data _unused_)
{
        struct actor *a = find(name);

        if (!a || a->started)
                return 0;
        a->started = pthread_create(&a->thread, NULL, act, a) == 0;
        return a->started ? -1 : 98;
}

void mock_setup(struct zl_runtime *runtime)
{
        static const struct zl_mock_hooks hooks = { .on_start = on_start };

        mock = runtime;
        zl_mock_set_hooks(mock, &hooks);
}

void mock_done(void)
{
        for (size_t i = 0; i < n_actors; i++)
                if (actors[i].started)
                        pthread_join(actors[i].thread, NULL);
        mock = NULL;
}
