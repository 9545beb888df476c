/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Depth-first search in three colours. The stack of services under way is explicit, so that a chain of ten thousand
 * services cannot exhaust the C stack, and is at the same time the path that a cycle is reported with.
 */
#include "agent/depends.h"

#include "base/buf.h"

enum color { WHITE, GREY, BLACK };

struct frame {
        size_t service, next; /* next dependency to look at */
};

struct walk {
        const struct zl_deployment_spec *spec;
        enum color *colors;
        struct frame *stack;
        size_t depth;
        size_t *order, n_order;
};

ssize_t zl_depends_index(const struct zl_deployment_spec *spec, const char *name)
{
        for (size_t i = 0; i < spec->n_services; i++)
                if (zl_streq(spec->services[i].name, name))
                        return (ssize_t)i;
        return -1;
}

/* The services from the one that closes the circle up to the top of the stack, and it again. */
static int fail_cycle(const struct walk *w, size_t closing, struct zl_error *err)
{
        _cleanup_buf_ struct zl_buf path = ZL_BUF_INIT(4096);
        size_t i = 0;
        int r;

        while (w->stack[i].service != closing)
                i++;
        for (; i < w->depth; i++)
                zl_buf_putf(&path, "%s -> ", w->spec->services[w->stack[i].service].name);
        zl_buf_puts(&path, w->spec->services[closing].name);
        r = zl_fail(err, ZL_E_INVALID, 0, "services depend on each other in a circle: %s",
                    zl_buf_error(&path) < 0 ? "(a long one)" : path.data);
        zl_error_hint(err, "remove one of these from depends");
        return r;
}

static int visit_next(struct walk *w, struct zl_error *err)
{
        struct frame *top = &w->stack[w->depth - 1];
        const struct zl_service_entry *entry = &w->spec->services[top->service];
        const struct zl_depends_spec *dep;
        ssize_t target;

        if (top->next == entry->spec->n_depends) {
                w->colors[top->service] = BLACK;
                w->order[w->n_order++] = top->service;
                w->depth--;
                return 0;
        }
        dep = &entry->spec->depends[top->next++];
        target = zl_depends_index(w->spec, dep->service);
        if (target < 0)
                return zl_fail(err, ZL_E_INVALID, 0,
                               "service \"%s\" depends on \"%s\", which does not exist",
                               entry->name, dep->service);
        if (w->colors[target] == GREY)
                return fail_cycle(w, (size_t)target, err);
        if (w->colors[target] == WHITE) {
                w->colors[target] = GREY;
                w->stack[w->depth++] = (struct frame){ (size_t)target, 0 };
        }
        return 0;
}

int zl_depends_order(const struct zl_deployment_spec *spec, size_t **ret_order,
                     struct zl_error *err)
{
        size_t n = spec->n_services, room = n ? n : 1;
        _cleanup_free_ enum color *colors = calloc(room, sizeof(*colors));
        _cleanup_free_ struct frame *stack = calloc(room, sizeof(*stack));
        _cleanup_free_ size_t *order = calloc(room, sizeof(*order));
        struct walk w = { .spec = spec, .colors = colors, .stack = stack, .order = order };

        if (!colors || !stack || !order)
                return zl_fail_oom(err);
        for (size_t i = 0; i < n; i++) {
                if (colors[i] != WHITE)
                        continue;
                colors[i] = GREY;
                stack[w.depth++] = (struct frame){ i, 0 };
                while (w.depth > 0) {
                        int r = visit_next(&w, err);

                        if (r < 0)
                                return r;
                }
        }
        *ret_order = zl_take_ptr(order);
        return 0;
}
