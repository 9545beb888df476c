/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of problems, and the search for near misses. The list is bounded, so a hostile document cannot make us write a
 * novel; a problem that does not fit is counted. Lack of memory while reporting loses a report, never the verdict: the reader's return
 * value says that the document is bad.
 */
#include <ctype.h>

#include "schema/problem.h"

const char *zl_phase_name(enum zl_phase phase)
{
        static const char *const names[] = { "decode", "validate", "cross_check" };

        return (size_t)phase < ZL_ARRAY_SIZE(names) ? names[phase] : "unknown";
}

struct zl_problems *zl_problems_new(void)
{
        return calloc(1, sizeof(struct zl_problems));
}

void zl_problems_free(struct zl_problems *problems)
{
        if (!problems)
                return;
        for (size_t i = 0; i < problems->n; i++) {
                struct zl_problem *p = &problems->items[i];

                free(p->path);
                free(p->kind);
                free(p->message);
                free(p->hint);
                free(p->subject);
        }
        free(problems->items);
        free(problems);
}

struct zl_problem *zl_problems_add(struct zl_problems *problems, enum zl_phase phase, uint32_t line,
                                   uint32_t column, const char *path)
{
        struct zl_problem *p;

        if (!problems)
                return NULL;
        if (problems->n >= ZL_PROBLEMS_MAX) {
                problems->n_dropped++;
                return NULL;
        }
        if (!problems->items)
                problems->items = calloc(ZL_PROBLEMS_MAX, sizeof(*problems->items));
        if (!problems->items) {
                problems->n_dropped++;
                return NULL;
        }
        p = &problems->items[problems->n];
        p->path = strdup(path);
        if (!p->path) {
                problems->n_dropped++;
                return NULL;
        }
        p->phase = phase;
        p->line = line;
        p->column = column;
        problems->n++;
        return p;
}

/* Is `outer` the same path as `inner` or one around it? */
static bool path_holds(const char *outer, const char *inner)
{
        size_t n = strlen(outer);

        return strncmp(outer, inner, n) == 0 &&
               (inner[n] == 0 || inner[n] == '.' || inner[n] == '[');
}

bool zl_problems_touch(const struct zl_problems *problems, const char *path)
{
        for (size_t i = 0; problems && i < problems->n; i++) {
                const char *s = problems->items[i].subject;

                if (s && (path_holds(s, path) || path_holds(path, s)))
                        return true;
        }
        return false;
}

static int compare_place(const void *a, const void *b)
{
        const struct zl_problem *p = a, *q = b;

        if (p->line != q->line)
                return p->line < q->line ? -1 : 1;
        if (p->column != q->column)
                return p->column < q->column ? -1 : 1;
        return strcmp(p->path, q->path);
}

void zl_problems_sort(struct zl_problems *problems)
{
        if (problems->n)
                qsort(problems->items, problems->n, sizeof(*problems->items), compare_place);
}

int zl_problems_fail(const struct zl_problems *problems, struct zl_error *err)
{
        const struct zl_problem *p;
        int r;

        if (problems->n == 0)
                return zl_fail_oom(err);
        p = &problems->items[0];
        if (p->line)
                r = zl_fail(err, ZL_E_INVALID, 0, "%u:%u: %s: %s", p->line, p->column, p->path,
                            p->message ? p->message : "not acceptable");
        else
                r = zl_fail(err, ZL_E_INVALID, 0, "%s: %s", p->path,
                            p->message ? p->message : "not acceptable");
        if (p->hint)
                zl_error_hint(err, "%s", p->hint);
        return r;
}

enum { WORD_MAX = 48 };

/* Levenshtein distance with swaps of neighbours, letters of either case alike. */
static size_t distance(const char *a, size_t na, const char *b, size_t nb)
{
        size_t rows[3][WORD_MAX + 1];
        size_t *before = rows[0], *last = rows[1], *row = rows[2];

        for (size_t j = 0; j <= nb; j++)
                last[j] = j;
        for (size_t i = 1; i <= na; i++) {
                size_t *free_row = before;

                row[0] = i;
                for (size_t j = 1; j <= nb; j++) {
                        int ca = tolower((unsigned char)a[i - 1]);
                        int cb = tolower((unsigned char)b[j - 1]);
                        size_t best = last[j - 1] + (ca != cb);

                        best = ZL_MIN(best, ZL_MIN(last[j], row[j - 1]) + 1);
                        if (i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) &&
                            cb == tolower((unsigned char)a[i - 2]))
                                best = ZL_MIN(best, before[j - 2] + 1);
                        row[j] = best;
                }
                before = last;
                last = row;
                row = free_row;
        }
        return last[nb];
}

const char *zl_nearest(const char *word, const char *const *candidates, size_t n)
{
        size_t len = strlen(word), best = 1 + ZL_MIN(len / 3, (size_t)3);
        const char *found = NULL;

        if (len == 0 || len > WORD_MAX)
                return NULL;
        for (size_t i = 0; i < n; i++) {
                size_t clen = strlen(candidates[i]), d;

                if (clen > WORD_MAX)
                        continue;
                d = distance(word, len, candidates[i], clen);
                if (d < best || (d == best && !found && d < clen)) {
                        best = d;
                        found = candidates[i];
                }
        }
        return found;
}
