/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which image a tag meant. The digest that the first replica of a service was made from is remembered, and all others are made from
 * it, also when another agent makes them: a tag that moves changes nothing by itself. Only an `up` looks whether it has
 * moved. If the pull policy wants what is newest, the service is then replaced like one with a changed spec; otherwise its
 * replicas stay what they are, and that is said.
 *
 * A revision whose tag has moved once has the digest in its hash: it is another one than before. As long as it has not moved the
 * hash is that of the spec alone, so what was made before anything was remembered stays what it is.
 */
#include "agent/core.h"
#include "base/strv.h"
#include "spec/spec.h"

static bool wants_newest(const struct revision *rev)
{
        enum zl_pull_policy policy = zl_spec_pull_policy(&rev->spec->image);

        return policy == ZL_PULL_ALWAYS || policy == ZL_PULL_NEWER;
}

void zl_pin_load(struct revision *rev)
{
        const struct zl_host *host = &rev->d->agent->host;
        struct zl_image_pin pin = { 0 };

        if (!host->load_pin ||
            !host->load_pin(host->data, rev->d->name, rev->service, rev->spec->image.name, &pin))
                return;
        memcpy(rev->digest, pin.digest, sizeof(rev->digest));
        rev->moved = pin.moved;
}

void zl_pin_save(const struct revision *rev)
{
        const struct zl_host *host = &rev->d->agent->host;
        struct zl_image_pin pin = { .moved = rev->moved };

        if (!host->save_pin || !rev->digest[0])
                return;
        memcpy(pin.digest, rev->digest, sizeof(pin.digest));
        host->save_pin(host->data, rev->d->name, rev->service, rev->spec->image.name, &pin);
}

const char *zl_pin_of(const struct revision *rev)
{
        if (!rev->digest[0] || (rev->fresh && wants_newest(rev)))
                return NULL;
        return rev->digest;
}

/* That wishes it now; NULL: it has been replaced meanwhile. */
static struct service *service_of(const struct revision *rev)
{
        for (size_t i = 0; i < rev->d->services.n; i++)
                if (rev->d->services.items[i]->rev == rev)
                        return rev->d->services.items[i];
        return NULL;
}

void zl_pin_take(struct revision *rev, const char *digest)
{
        bool is_known = rev->digest[0] != 0;

        if (!digest || strlen(digest) >= sizeof(rev->digest) || zl_streq(digest, rev->digest))
                return;
        /* Not what was asked for: a runtime that has images by name alone. What is remembered is of no use then. */
        if (is_known && !rev->fresh)
                return;
        snprintf(rev->digest, sizeof(rev->digest), "%s", digest);
        if (rev->moved && zl_revision_hash(rev) < 0)
                return;
        /* A pull that comes back late must not overwrite what the next revision has; who goes back to this one saves it then. */
        if (service_of(rev))
                zl_pin_save(rev);
}

/* ---- looking ----------------------------------------------------------------------------------------------------- */

/* In each case something is told: whoever waits for the deployment to settle looks again at every event. */
static void judge(struct revision *rev, const struct zl_op *op)
{
        struct service *s = service_of(rev);
        const char *name = rev->spec->image.name;
        char full[ZL_IDENT_NAME_MAX];
        struct zl_event warning = { .type = ZL_EVENT_WARNING, .name = full };
        struct zl_event pulled = { .type = ZL_EVENT_PULLED, .name = full };

        snprintf(full, sizeof(full), "%s.%s", rev->d->name, rev->service);
        if (op->result < 0)
                zl_agent_tellf(rev->d->agent, warning, "nobody knows whether %s has moved: %s",
                               name, zl_error_message(&op->error));
        else if (!s || zl_deployment_is_stopping(rev->d) || !op->digest ||
                 zl_streq(op->digest, rev->digest) || strlen(op->digest) >= sizeof(rev->digest))
                zl_agent_tellf(rev->d->agent, pulled, "%s %s", name, op->digest ?: "");
        else if (wants_newest(rev))
                zl_rollout_moved(s, op->digest);
        else
                zl_agent_tellf(rev->d->agent, warning,
                               "%s means another image here now (%s); its replicas stay with %s, "
                               "as its pull_policy wants",
                               name, op->digest, rev->digest);
}

static void on_checked(struct zl_op *op)
{
        struct revision *rev = op->owner;
        struct zl_agent *agent = rev->d->agent;

        agent->n_ops--;
        rev->d->n_pulls--;
        rev->d->dirty = true;
        rev->check = NULL;
        judge(rev, op);
        zl_op_free(op);
        zl_revision_unref(rev);
        zl_agent_settle(agent);
}

void zl_pin_check(struct revision *rev)
{
        struct zl_op *op;

        if (!rev->digest[0] || rev->check || rev->pull || strchr(rev->spec->image.name, '@'))
                return;
        op = zl_op_new(ZL_OP_PULL, NULL);
        if (!op || !(op->image = strdup(rev->spec->image.name))) {
                zl_op_free(op); /* then nobody looks this time */
                return;
        }
        /* Who does not want what is newest has moved only what is here. */
        op->policy = wants_newest(rev) ? zl_spec_pull_policy(&rev->spec->image) : ZL_PULL_NEVER;
        rev->check = op;
        rev->d->n_pulls++;
        zl_agent_submit(rev->d->agent, op, zl_revision_ref(rev), on_checked);
}

void zl_agent_check_images(struct zl_agent *agent, const char *name)
{
        struct deployment *d = zl_agent_find(agent, name);

        /* Of what has come to its end nothing may be under way: it is forgotten at any moment. */
        if (!d || d->phase == ZL_DEPLOYMENT_FINISHED || d->phase == ZL_DEPLOYMENT_STOPPED)
                return;
        for (size_t i = 0; i < d->services.n; i++)
                zl_pin_check(d->services.items[i]->rev);
        zl_agent_settle(agent);
}
