/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML to a node tree. libfyaml's event interface does the grammar; the tree is composed here, because that is where
 * hostile input must be stopped: depth, number of nodes, and what aliases expand to are counted event by event, so
 * memory stays in proportion to a sane document. libfyaml is more tolerant than the spec in some places
 * (bad UTF-8, control characters, %YAML 1.3, long implicit keys, a byte order mark in front of a block mapping), which
 * are checked here too.
 *
 * An alias becomes a node that shares the children of the anchored one, so a bomb costs nothing until somebody walks it; its
 * expanded size is known from counting and refused before.
 */
#include <libfyaml.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/map.h"
#include "schema/json.h"
#include "schema/yaml.h"

enum {
        DEPTH_HARD_MAX = 1000, /* the decoder stops at 128 of those it looks at */
        NODES_MAX = 1000000,
        EXPANDED_MAX = 4000000, /* with aliases followed */
        EXPANSION_FACTOR = 100, /* of the number of nodes written */
        SIMPLE_KEY_MAX = 1024,
        FLOW_PER_LINE_MAX = 250000,
        BLANK_WORK_MAX = 400000000, /* bytes that libfyaml would look at again */
};

struct level {
        struct zl_node *node;
        struct zl_node *key; /* of a map: waits for its value */
        uint64_t expanded_before;
        const char *anchor;
};

struct anchor {
        struct zl_node *node;
        uint64_t expanded;
};

struct composer {
        struct zl_arena *arena;
        const char *text;
        size_t len;
        struct zl_problems *problems;
        struct fy_diag *diag;
        struct fy_parser *parser;
        struct zl_map *anchors;
        struct level *levels;
        size_t depth;
        struct zl_node *root;
        uint64_t n_nodes, n_expanded;
        bool has_bom, done;
};

static int refuse(struct composer *c, uint32_t line, uint32_t column, const char *hint,
                  const char *fmt, ...) ZL_PRINTF(5, 6);
static int refuse(struct composer *c, uint32_t line, uint32_t column, const char *hint,
                  const char *fmt, ...)
{
        struct zl_problem *p = zl_problems_add(c->problems, ZL_PHASE_DECODE, line, column,
                                               "(document)");
        va_list ap;

        if (!p)
                return -EINVAL;
        va_start(ap, fmt);
        if (vasprintf(&p->message, fmt, ap) < 0)
                p->message = NULL;
        va_end(ap);
        p->hint = hint ? strdup(hint) : NULL;
        return -EINVAL;
}

/* ---- before parsing ---------------------------------------------------------------------------------- */

/* Length of the character at `s`, 0 if it is not well-formed UTF-8 or may not stand in YAML. */
static size_t printable(const unsigned char *s, size_t len)
{
        uint32_t code;
        size_t n;

        if (s[0] < 0x80)
                return s[0] >= 0x20 ? s[0] != 0x7f : s[0] == '\t' || s[0] == '\n' || s[0] == '\r';
        if (s[0] >= 0xc2 && s[0] < 0xe0)
                n = 2;
        else if (s[0] >= 0xe0 && s[0] < 0xf0)
                n = 3;
        else if (s[0] >= 0xf0 && s[0] < 0xf5)
                n = 4;
        else
                return 0;
        if (n > len)
                return 0;
        code = s[0] & (0x7fu >> n);
        for (size_t i = 1; i < n; i++) {
                if ((s[i] & 0xc0) != 0x80)
                        return 0;
                code = code << 6 | (s[i] & 0x3f);
        }
        if ((n == 3 && code < 0x800) || (n == 4 && (code < 0x10000 || code > 0x10ffff)) ||
            (code >= 0xd800 && code < 0xe000) || (code < 0xa0 && code != 0x85) ||
            (code | 1) == 0xffff)
                return 0;
        return n;
}

/* Counts what makes libfyaml slow or hungry. It looks ahead over a whole line of flow text, since that could become a key,
 * and it scans the blank lines of a block scalar once per line. */
struct effort {
        size_t flow, flow_total; /* flow indicators on this line, on all */
        size_t blank_bytes;      /* of blank lines in a row, up to this line */
        uint64_t blank_work;
        uint32_t bad_line; /* the first that asks too much, or 0 */
        bool bad_blank;    /* ... because of blank lines */
};

static void add_effort(struct effort *e, uint32_t line, size_t len, bool blank)
{
        bool bad_blank = false;

        if (blank) {
                e->blank_bytes += len;
                e->blank_work += e->blank_bytes;
                bad_blank = e->blank_work > BLANK_WORK_MAX;
        } else {
                e->blank_bytes = 0;
        }
        if (!e->bad_line && (bad_blank || e->flow > FLOW_PER_LINE_MAX)) {
                e->bad_line = line;
                e->bad_blank = bad_blank;
        }
        e->flow_total += e->flow;
        e->flow = 0;
}

static int refuse_effort(struct composer *c, const struct effort *e)
{
        if (e->bad_blank)
                return refuse(c, e->bad_line, 1, NULL, "too many blank lines in a row");
        return refuse(c, e->bad_line, 1, "break the line",
                      "more than %d brackets, commas and colons on one line", FLOW_PER_LINE_MAX);
}

static int bad_character(struct composer *c, uint32_t line, size_t column, unsigned char ch)
{
        return refuse(c, line, (uint32_t)column,
                      ch < 0x80 ? "inside double quotes it can be written as \\xNN"
                                : "save the file as UTF-8",
                      ch < 0x80 ? "control character 0x%02x" : "byte 0x%02x is not UTF-8 text", ch);
}

/* One line without its line feed. */
static int check_line(struct composer *c, struct effort *e, const unsigned char *s, size_t len,
                      uint32_t line)
{
        static const uint8_t is_flow[128] = {
                ['['] = 1, [']'] = 1, ['{'] = 1, ['}'] = 1, [','] = 1, [':'] = 1
        };
        bool blank = true;

        for (size_t i = 0; i < len;) {
                size_t n;

                if (s[i] >= 0x20 && s[i] < 0x7f) {
                        blank = blank && s[i] == ' ';
                        e->flow += is_flow[s[i]];
                        i++;
                        continue;
                }
                n = printable(s + i, len - i);
                if (n == 0)
                        return bad_character(c, line, i + 1, s[i]);
                blank = blank && (s[i] == '\t' || s[i] == '\r');
                i += n;
        }
        add_effort(e, line, len + 1, blank);
        return 0;
}

/* The whole text is UTF-8 without control characters (the parser below would let them pass). */
static int check_text(struct composer *c, const char *text, size_t len, struct effort *effort)
{
        const unsigned char *s = (const unsigned char *)text, *end = s + len;
        int r;

        for (uint32_t line = 1; s < end; line++) {
                const unsigned char *eol = memchr(s, '\n', (size_t)(end - s));
                size_t n = (size_t)((eol ? eol : end) - s);

                r = check_line(c, effort, s, n, line);
                if (r < 0)
                        return r;
                s += n + 1;
        }
        if (c->has_bom && (zl_startswith(text + 3, "---") || text[3] == '%'))
                return refuse(c, 1, 1, "save the file without byte order mark",
                              "a byte order mark stands in front of the first line");
        return 0;
}

/* ---- composing ----------------------------------------------------------------------------------------- */

struct place {
        uint32_t line, column;
};

static struct place event_place(const struct composer *c, struct fy_event *event)
{
        const struct fy_mark *mark = fy_event_start_mark(event);
        const struct level *top = c->depth ? &c->levels[c->depth - 1] : NULL;

        if (mark)
                return (struct place){ (uint32_t)mark->line + 1, (uint32_t)mark->column + 1 };
        if (top && top->key) /* "key:" with nothing behind */
                return (struct place){ top->key->line, top->key->column };
        if (top)
                return (struct place){ top->node->line, top->node->column };
        return (struct place){ 1, 1 };
}

static char *token_copy(struct composer *c, struct fy_token *token, size_t *ret_len)
{
        size_t len = 0;
        const char *text = fy_token_get_text(token, &len);

        if (!text)
                len = 0;
        if (ret_len)
                *ret_len = len;
        return zl_arena_strndup(c->arena, text ? text : "", len);
}

/* Scalars that are not a single piece of the input (escapes, folded lines): fy_token_get_text() of libfyaml 0.7 leaks the list
 * of pieces when it puts many of them together, so they are put together here. */
static char *token_join(struct composer *c, struct fy_token *token, size_t *ret_len)
{
        _cleanup_buf_ struct zl_buf text = ZL_BUF_INIT(UINT32_MAX / 2);
        const struct fy_iter_chunk *chunk = NULL;
        struct fy_token_iter *iter;
        int failed = 0;

        iter = fy_token_iter_create(token);
        if (!iter)
                return NULL;
        while ((chunk = fy_token_iter_chunk_next(iter, chunk, &failed)))
                zl_buf_put(&text, chunk->str, chunk->len);
        fy_token_iter_destroy(iter);
        if (failed) /* an empty block scalar at the end of the file */
                return token_copy(c, token, ret_len);
        if (zl_buf_error(&text))
                return NULL;
        *ret_len = text.len;
        return zl_arena_strndup(c->arena, text.len ? text.data : "", text.len);
}

/* Single-quoted text is read from the source: libfyaml 0.7 takes '''' for three quotes. Two quotes are one, a line break
 * with the blanks around it is a space, and each further empty line a line feed. NULL without memory. */
static char *unquote_single(struct composer *c, const struct fy_mark *start,
                            const struct fy_mark *end, size_t *ret_len)
{
        const char *s = c->text + start->input_pos, *stop = c->text + end->input_pos;
        char *text = zl_arena_strndup(c->arena, s, (size_t)(stop - s)), *out = text, *first = text;

        while (text && s < stop) {
                size_t breaks = 0;

                if (*s != '\n' && *s != '\r') {
                        s += *s == '\'' ? 2 : 1;
                        *out++ = s[-1];
                        continue;
                }
                while (out > first && (out[-1] == ' ' || out[-1] == '\t'))
                        out--;
                for (; s < stop && strchr(" \t\r\n", *s); s++)
                        breaks += *s == '\n' || (*s == '\r' && s[1] != '\n');
                if (breaks == 1)
                        *out++ = ' ';
                for (; breaks > 1; breaks--)
                        *out++ = '\n';
                first = out; /* blanks that stood before this break are gone; later ones count anew */
        }
        if (!text)
                return NULL;
        *out = 0;
        *ret_len = (size_t)(out - text);
        return text;
}

static char *scalar_text(struct composer *c, struct fy_event *event, enum fy_scalar_style style,
                         size_t *ret_len)
{
        const struct fy_mark *start = fy_event_start_mark(event), *end = fy_event_end_mark(event);
        char *text;

        if (style == FYSS_SINGLE_QUOTED && start && end && end->input_pos >= start->input_pos)
                return unquote_single(c, start, end, ret_len);
        if (style == FYSS_PLAIN && start && end && start->line == end->line)
                return token_copy(c, event->scalar.value, ret_len);
        text = token_join(c, event->scalar.value, ret_len);
        /* A block scalar whose last line has no line feed has none; libfyaml adds one. */
        if (text && *ret_len && text[*ret_len - 1] == '\n' && end &&
            (style == FYSS_LITERAL || style == FYSS_FOLDED) && end->input_pos >= c->len &&
            c->text[c->len - 1] != '\n' && c->text[c->len - 1] != '\r')
                text[--*ret_len] = 0;
        return text;
}

static struct zl_node *new_node(struct composer *c, struct fy_event *event, enum zl_node_kind kind,
                                struct fy_token *tag)
{
        struct place at = event_place(c, event);
        struct zl_node *node = zl_node_new(c->arena, kind);

        if (!node)
                return NULL;
        node->line = at.line;
        node->column = at.column;
        if (tag) {
                node->tag = token_copy(c, tag, NULL);
                if (!node->tag)
                        return NULL;
        }
        return node;
}

static int set_anchor(struct composer *c, const char *name, struct zl_node *node, uint64_t expanded)
{
        struct anchor *a;

        if (!c->anchors)
                c->anchors = zl_map_new(free);
        a = calloc(1, sizeof(*a));
        if (!c->anchors || !a || zl_map_put(c->anchors, name, a) < 0) {
                free(a);
                return -ENOMEM;
        }
        a->node = node;
        a->expanded = expanded;
        return 0;
}

static int count_node(struct composer *c, const struct zl_node *node)
{
        c->n_expanded++;
        if (++c->n_nodes > NODES_MAX)
                return refuse(c, node->line, node->column, NULL, "more than %d values", NODES_MAX);
        return 0;
}

/* Implicit keys ("key: value" without "?") must fit one line and 1024 bytes. */
static int check_key(struct composer *c, struct fy_event *event, const struct zl_node *node)
{
        const struct fy_mark *start = fy_event_start_mark(event);
        const struct fy_mark *end = fy_event_end_mark(event);
        const char *p;

        if (!start || !end ||
            (start->line == end->line && end->input_pos - start->input_pos <= SIMPLE_KEY_MAX))
                return 0;
        for (p = c->text + start->input_pos - (node->quoted && start->input_pos > 0);
             p > c->text;) {
                p--;
                if (*p == '?')
                        return 0;
                if (!strchr(" \t\n\r\"'", *p))
                        break;
        }
        return refuse(c, node->line, node->column, "put '? ' in front of it, or shorten it",
                      "a key must stand on one line and have at most %d bytes", SIMPLE_KEY_MAX);
}

/* With a byte order mark the first line begins one column later than the others, which then do not belong to the same block. */
static int check_bom(struct composer *c, const struct level *top, const struct zl_node *node)
{
        if (!c->has_bom || c->depth != 1 || top->node->line != 1 || top->node->n == 0 ||
            node->line == 1 || top->node->raw_json)
                return 0;
        return refuse(c, node->line, node->column, "save the file without byte order mark",
                      "a byte order mark stands in front of the first line, so this line is not "
                      "aligned with it");
}

/* Puts a finished or just opened node where it belongs: root, element, key or value. */
static int attach(struct composer *c, struct fy_event *event, struct zl_node *node)
{
        struct level *top = c->depth ? &c->levels[c->depth - 1] : NULL;
        int r;

        if (!top) {
                c->root = node;
                return 0;
        }
        if (top->node->kind == ZL_NODE_SEQ)
                return zl_node_add(top->node, node);
        if (top->key) {
                node->key = top->key;
                top->key = NULL;
                return zl_node_add(top->node, node);
        }
        if (node->kind != ZL_NODE_SCALAR)
                return refuse(c, node->line, node->column, NULL, "a key must be text, not %s",
                              zl_node_describe(node));
        r = check_bom(c, top, node);
        if (r == 0 && event->type == FYET_SCALAR)
                r = check_key(c, event, node);
        top->key = node;
        return r;
}

static int on_scalar(struct composer *c, struct fy_event *event)
{
        struct zl_node *node = new_node(c, event, ZL_NODE_SCALAR, event->scalar.tag);
        enum fy_scalar_style style;
        size_t len = 0;
        int r;

        if (!node)
                return -ENOMEM;
        if (event->scalar.value) {
                style = fy_token_scalar_style(event->scalar.value);
                node->quoted = style != FYSS_PLAIN && style != FYSS_ANY;
                node->text = scalar_text(c, event, style, &len);
                if (!node->text)
                        return -ENOMEM;
                node->len = (uint32_t)len;
                /* libfyaml's mark is behind the quote; people look for the quote */
                if ((style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED) &&
                    node->column > 1)
                        node->column--;
        } else {
                node->text = "";
        }
        if (strlen(node->text) != node->len)
                return refuse(c, node->line, node->column, NULL,
                              "a NUL character cannot be used in text");
        r = count_node(c, node);
        if (r == 0 && event->scalar.anchor) {
                char *name = token_copy(c, event->scalar.anchor, NULL);

                r = name ? set_anchor(c, name, node, 1) : -ENOMEM;
        }
        return r < 0 ? r : attach(c, event, node);
}

static int on_open(struct composer *c, struct fy_event *event)
{
        bool map = event->type == FYET_MAPPING_START;
        struct fy_token *tag = map ? event->mapping_start.tag : event->sequence_start.tag;
        struct fy_token *anchor = map ? event->mapping_start.anchor : event->sequence_start.anchor;
        struct zl_node *node = new_node(c, event, map ? ZL_NODE_MAP : ZL_NODE_SEQ, tag);
        struct level *level;
        int r;

        if (!node)
                return -ENOMEM;
        /* Borrowed as a mark for check_bom() until the root is closed: flow collections do not mind. */
        if (c->depth == 0)
                node->raw_json = fy_event_get_node_style(event) == FYNS_FLOW;
        r = count_node(c, node);
        if (r == 0)
                r = attach(c, event, node);
        if (r < 0)
                return r;
        if (c->depth == DEPTH_HARD_MAX)
                return refuse(c, node->line, node->column, NULL, "more than %d levels of nesting",
                              DEPTH_HARD_MAX);
        level = &c->levels[c->depth++];
        *level = (struct level){ .node = node, .expanded_before = c->n_expanded - 1 };
        if (anchor) {
                level->anchor = token_copy(c, anchor, NULL);
                if (!level->anchor)
                        return -ENOMEM;
        }
        return 0;
}

static int on_close(struct composer *c)
{
        struct level *level = &c->levels[--c->depth];

        if (c->depth == 0)
                level->node->raw_json = false;
        /* Known only from here on, so an alias inside its own anchor is unknown: there are no circles. */
        if (level->anchor)
                return set_anchor(c, level->anchor, level->node,
                                  c->n_expanded - level->expanded_before);
        return 0;
}

static int on_alias(struct composer *c, struct fy_event *event)
{
        struct place at = event_place(c, event);
        char *name = token_copy(c, event->alias.anchor, NULL);
        const struct anchor *a = name && c->anchors ? zl_map_get(c->anchors, name) : NULL;
        struct zl_node *node;

        if (!name)
                return -ENOMEM;
        if (!a)
                return refuse(c, at.line, at.column, NULL, "the anchor '%.60s' is not known here",
                              name);
        node = zl_arena_alloc(c->arena, sizeof(*node));
        if (!node)
                return -ENOMEM;
        *node = *a->node;
        node->key = node->next = NULL;
        node->line = at.line;
        node->column = at.column;
        c->n_expanded += a->expanded;
        if (c->n_expanded > EXPANDED_MAX)
                return refuse(c, at.line, at.column, NULL, "aliases expand to more than %d values",
                              EXPANDED_MAX);
        return attach(c, event, node);
}

static int on_document_start(struct composer *c, struct fy_event *event)
{
        const struct fy_version *v = fy_document_state_version(
                event->document_start.document_state);
        struct place at = event_place(c, event);

        if (c->done)
                return refuse(c, at.line, at.column, "split the file",
                              "only one document may be in a file");
        if (v && (v->major != 1 || v->minor < 1 || v->minor > 2))
                return refuse(c, at.line, at.column, NULL,
                              "the directive %%YAML %d.%d is not supported, only 1.1 and 1.2",
                              v->major, v->minor);
        return 0;
}

static int on_event(struct composer *c, struct fy_event *event)
{
        switch (event->type) {
        case FYET_DOCUMENT_START:
                return on_document_start(c, event);
        case FYET_DOCUMENT_END:
                c->done = true;
                return 0;
        case FYET_SCALAR:
                return on_scalar(c, event);
        case FYET_ALIAS:
                return on_alias(c, event);
        case FYET_MAPPING_START:
        case FYET_SEQUENCE_START:
                return on_open(c, event);
        case FYET_MAPPING_END:
        case FYET_SEQUENCE_END:
                return on_close(c);
        default:
                return 0;
        }
}

/* ---- the parser's own complaints --------------------------------------------------------------------------- */

/* Turns the first diagnostic into a problem: 0 if there is none. */
static int report_syntax(struct composer *c)
{
        void *iterator = NULL;
        const struct fy_diag_error *e = fy_diag_errors_iterate(c->diag, &iterator);

        if (!e)
                return 0;
        return refuse(c, e->line > 0 ? (uint32_t)e->line : 0,
                      e->column > 0 ? (uint32_t)e->column : 0, NULL, "%s", e->msg);
}

static int compose(struct composer *c)
{
        struct fy_event *event;
        int r = 0;

        while (r == 0 && (event = fy_parser_parse(c->parser))) {
                r = on_event(c, event);
                fy_parser_event_free(c->parser, event);
        }
        if (r < 0)
                return r;
        /* Some complaints (unknown directives) do not stop the parser, but they are errors all the same. */
        r = report_syntax(c);
        if (r < 0)
                return r;
        if (fy_parser_get_stream_error(c->parser) || c->depth)
                return refuse(c, 1, 1, NULL, "this is not YAML");
        if (c->n_expanded > c->n_nodes * EXPANSION_FACTOR)
                return refuse(c, 1, 1, NULL,
                              "aliases expand the document to more than %d times its size",
                              EXPANSION_FACTOR);
        return 0;
}

static int parse(struct composer *c, size_t len)
{
        struct fy_diag_cfg diag_cfg;
        struct fy_parse_cfg cfg = { .flags = FYPCF_QUIET | FYPCF_DISABLE_DEPTH_LIMIT |
                                             FYPCF_SLOPPY_FLOW_INDENTATION | FYPCF_JSON_NONE };
        int r = -ENOMEM;

        fy_diag_cfg_default(&diag_cfg);
        diag_cfg.fp = NULL;
        diag_cfg.level = FYET_ERROR;
        diag_cfg.colorize = false;
        c->diag = fy_diag_create(&diag_cfg);
        if (!c->diag)
                return -ENOMEM;
        fy_diag_set_collect_errors(c->diag, true);
        cfg.diag = c->diag;
        c->parser = fy_parser_create(&cfg);
        if (c->parser && fy_parser_set_string(c->parser, c->text, len) == 0)
                r = compose(c);
        fy_parser_destroy(c->parser);
        fy_diag_destroy(c->diag);
        return r;
}

static bool has_long_key(const struct zl_node *node)
{
        if (node->kind == ZL_NODE_SCALAR)
                return false;
        ZL_NODE_FOREACH(child, node)
        {
                if ((child->key && child->key->len >= SIMPLE_KEY_MAX - 2) || has_long_key(child))
                        return true;
        }
        return false;
}

/* Documents that are JSON, which YAML includes, go through the reader for JSON: minified ones are a single line, where
 * libfyaml takes more than a hundred times the memory of the text. What that reader refuses gets a second chance as YAML. */
static struct zl_node *try_json(struct zl_arena *arena, const char *text, size_t len)
{
        struct zl_node *root;

        if (text[strspn(text, " \t\r\n")] != '{' ||
            zl_json_read(arena, text, len, "json", &root, NULL) < 0 || has_long_key(root))
                return NULL;
        return root;
}

int zl_yaml_read(struct zl_arena *arena, const char *text, size_t len, struct zl_problems *problems,
                 struct zl_node **ret, struct zl_error *err)
{
        _cleanup_free_ struct level *levels = calloc(DEPTH_HARD_MAX, sizeof(*levels));
        struct composer c = {
                .arena = arena, .text = text, .len = len, .problems = problems, .levels = levels
        };
        struct effort effort = { 0 };
        int r;

        if (!levels)
                return zl_fail_oom(err);
        c.has_bom = len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0;
        r = check_text(&c, text, len, &effort);
        if (r == 0 && effort.flow_total < NODES_MAX)
                c.root = try_json(arena, text, len);
        if (r == 0 && !c.root && effort.bad_line)
                r = refuse_effort(&c, &effort);
        /* An empty text is no input at all for libfyaml. */
        if (r == 0 && !c.root && len > 0)
                r = parse(&c, len);
        zl_map_free(c.anchors);
        if (r == 0 && !c.root) {
                c.root = zl_node_new(arena, ZL_NODE_MAP);
                if (c.root)
                        c.root->line = c.root->column = 1;
                else
                        r = -ENOMEM;
        }
        if (r == -ENOMEM)
                return zl_fail_oom(err);
        if (r < 0)
                return zl_problems_fail(problems, err);
        *ret = c.root;
        return 0;
}
