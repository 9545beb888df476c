/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users and groups as the container's own /etc/passwd and /etc/group know them.
 *
 * Only the child can read these files (with an overlay nobody else sees the root file system), so this runs between clone and exec:
 * no allocation, no NSS, fixed buffers, lines longer than the buffer skipped. The files belong to the container
 * and may say anything: numbers are read strictly, a broken line is passed over.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/path.h"
#include "container/internal.h"

enum {
        LINE_MAX_ = 8192,
        FIELDS = 7,
        FILE_MAX_ =
                16
                << 20, /* what lies behind is not read: a sparse file could keep us busy for days */
};

struct reader {
        int fd;
        char buf[LINE_MAX_];
        size_t at, len;
        size_t total; /* read so far */
};

static int open_reader(struct reader *r, int root_fd, const char *path)
{
        struct stat st;

        r->at = r->len = r->total = 0;
        r->fd = zl_open_in(root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, ZL_PATH_IN_ROOT);
        if (r->fd < 0)
                return r->fd;
        if (fstat(r->fd, &st) < 0 || !S_ISREG(st.st_mode)) {
                r->fd = zl_close(r->fd);
                return -EINVAL;
        }
        return 0;
}

/* The next line without its newline, or NULL. Too long ones are skipped. */
static char *next_line(struct reader *r)
{
        bool skipping = false;

        for (;;) {
                char *line = r->buf + r->at;
                char *end = memchr(line, '\n', r->len - r->at);
                ssize_t n;

                if (end) {
                        *end = 0;
                        r->at = (size_t)(end - r->buf) + 1;
                        if (!skipping)
                                return line;
                        skipping = false;
                        continue;
                }
                memmove(r->buf, line, r->len - r->at);
                r->len -= r->at;
                r->at = 0;
                if (r->len == sizeof r->buf - 1) {
                        skipping = true;
                        r->len = 0;
                }
                n = r->total >= FILE_MAX_
                            ? 0
                            : zl_read_full(r->fd, r->buf + r->len, sizeof r->buf - 1 - r->len);
                if (n <= 0) {
                        if (r->len == 0 || skipping)
                                return NULL;
                        r->buf[r->len] = 0;
                        r->at = r->len;
                        return r->buf;
                }
                r->len += (size_t)n;
                r->total += (size_t)n;
        }
}

static size_t split(char *line, char *fields[FIELDS])
{
        size_t n = 0;

        fields[n++] = line;
        for (char *p = line; *p && n < FIELDS; p++)
                if (*p == ':') {
                        *p = 0;
                        fields[n++] = p + 1;
                }
        return n;
}

/* name:x:uid:gid:gecos:home:shell. By name, or by number when name is NULL. */
/* zl-size: a key in two forms and a result in two parts */
static bool find_user(int root_fd, const char *name, uid_t uid, struct zl_user_result *ret,
                      char *ret_name, size_t name_size)
{
        struct reader r;
        char *line, *f[FIELDS];
        bool found = false;

        if (open_reader(&r, root_fd, "etc/passwd") < 0)
                return false;
        while (!found && (line = next_line(&r))) {
                uint32_t u, g;

                if (split(line, f) < 4 || zl_parse_u32(f[2], 10, &u) < 0 ||
                    zl_parse_u32(f[3], 10, &g) < 0)
                        continue;
                if (name ? !zl_streq(f[0], name) : u != uid)
                        continue;
                found = true;
                ret->uid = u;
                ret->gid = g;
                if (strlen(f[0]) < name_size)
                        strcpy(ret_name, f[0]);
        }
        zl_close(r.fd);
        return found;
}

/* name:x:gid:member,member */
static bool find_group(int root_fd, const char *name, gid_t *ret)
{
        struct reader r;
        char *line, *f[FIELDS];
        bool found = false;

        if (open_reader(&r, root_fd, "etc/group") < 0)
                return false;
        while (!found && (line = next_line(&r))) {
                uint32_t g;

                if (split(line, f) < 3 || !zl_streq(f[0], name) || zl_parse_u32(f[2], 10, &g) < 0)
                        continue;
                found = true;
                *ret = g;
        }
        zl_close(r.fd);
        return found;
}

static bool is_member(const char *list, const char *name)
{
        size_t len = strlen(name);

        while (*list) {
                size_t n = strcspn(list, ",");

                if (n == len && memcmp(list, name, n) == 0)
                        return true;
                list += n + (list[n] == ',');
        }
        return false;
}

static void add_groups_of(int root_fd, const char *name, struct zl_user_result *ret)
{
        struct reader r;
        char *line, *f[FIELDS];

        if (open_reader(&r, root_fd, "etc/group") < 0)
                return;
        while (ret->n_groups < ZL_GROUPS_MAX && (line = next_line(&r))) {
                uint32_t g;
                size_t i = 0;

                if (split(line, f) < 4 || zl_parse_u32(f[2], 10, &g) < 0 || !is_member(f[3], name))
                        continue;
                while (i < ret->n_groups && ret->groups[i] != g)
                        i++;
                if (i == ret->n_groups)
                        ret->groups[ret->n_groups++] = g;
        }
        zl_close(r.fd);
}

static bool is_number(const char *s)
{
        return *s && s[strspn(s, "0123456789")] == 0;
}

/* What could be taken for a number by somebody (" 0", "-1", "+0", "0x0", "1e3") is no name, whatever the container's files say: it must
 * not come to mean another user here than there. */
static bool is_name(const char *s)
{
        if (!*s || strchr("0123456789+-.", *s))
                return false;
        for (const unsigned char *p = (const unsigned char *)s; *p; p++)
                if (*p <= ' ' || *p == 0x7f || strchr(":,/\\", *p))
                        return false;
        return true;
}

/* "name", "uid", "name:group", "uid:gid": a number is never looked up as a name, so a user called "0" is nobody's trick. An empty
 * part means nobody, not root. */
int zl_user_lookup(int root_fd, const char *text, struct zl_user_result *ret)
{
        const char *colon = strchr(text, ':');
        char user[256] = "", name[256] = "";
        size_t len = colon ? (size_t)(colon - text) : strlen(text);
        uint32_t number;

        if (len >= sizeof user)
                return -ENAMETOOLONG;
        memcpy(user, text, len);
        ret->uid = 0;
        ret->gid = 0;
        ret->home[0] = 0;
        if (is_number(user)) {
                if (zl_parse_u32(user, 10, &number) < 0 || number > INT32_MAX)
                        return -ERANGE;
                if (!find_user(root_fd, NULL, number, ret, name, sizeof name))
                        ret->uid = number;
        } else if (!is_name(user)) {
                return -EINVAL;
        } else if (!find_user(root_fd, user, 0, ret, name, sizeof name)) {
                return -ENOENT;
        }
        if (colon) {
                const char *group = colon + 1;

                if (is_number(group)) {
                        if (zl_parse_u32(group, 10, &number) < 0 || number > INT32_MAX)
                                return -ERANGE;
                        ret->gid = number;
                } else if (!is_name(group)) {
                        return -EINVAL;
                } else if (!find_group(root_fd, group, &ret->gid)) {
                        return -ENOENT;
                }
        } else if (*name) {
                /* An explicit group replaces the user's own ones; without one they all count. */
                add_groups_of(root_fd, name, ret);
        }
        zl_user_home(root_fd, ret->uid, ret->home, sizeof ret->home);
        return 0;
}

void zl_user_home(int root_fd, uid_t uid, char *home, size_t size)
{
        struct reader r;
        char *line, *f[FIELDS];

        home[0] = 0;
        if (open_reader(&r, root_fd, "etc/passwd") < 0)
                return;
        while ((line = next_line(&r))) {
                uint32_t u;

                if (split(line, f) < 6 || zl_parse_u32(f[2], 10, &u) < 0 || u != uid)
                        continue;
                if (f[5][0] == '/' && strlen(f[5]) < size)
                        strcpy(home, f[5]);
                break;
        }
        zl_close(r.fd);
}
