/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of workloads (see ident.h). They become directory, cgroup and host names, so the grammar leaves out
 * everything that has a meaning in any of them; the dot separates the parts and therefore is in none.
 */
#include "base/ident.h"

#include <stdio.h>

#include "base/parse.h"

bool zl_ident_part_is_valid(const char *part)
{
        static const char alnum[] =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        size_t n = strlen(part);

        return n >= 1 && n <= 63 && part[0] != '-' && part[0] != '_' && strspn(part, alnum) == n;
}

int zl_ident_make(struct zl_ident *ret, const char *deployment, const char *service,
                  uint32_t replica, struct zl_error *err)
{
        static const char hint[] =
                "use letters, digits, '-' and '_', beginning with a letter or digit, at "
                "most 63 characters";
        int r;

        if (!zl_ident_part_is_valid(deployment)) {
                r = zl_fail(err, ZL_E_INVALID, 0, "deployment \"%s\" cannot name a container",
                            deployment);
                zl_error_hint(err, "%s", hint);
                return r;
        }
        if (!zl_ident_part_is_valid(service)) {
                r = zl_fail(err, ZL_E_INVALID, 0, "service \"%s\" cannot name a container",
                            service);
                zl_error_hint(err, "%s", hint);
                return r;
        }
        *ret = (struct zl_ident){ .replica = replica };
        strcpy(ret->deployment, deployment); /* checked: at most 63 bytes */
        strcpy(ret->service, service);
        return 0;
}

char *zl_ident_name(const struct zl_ident *id, char buf[ZL_IDENT_NAME_MAX])
{
        snprintf(buf, ZL_IDENT_NAME_MAX, "%s.%s.%u", id->deployment, id->service, id->replica);
        return buf;
}

int zl_ident_parse(const char *name, struct zl_ident *ret)
{
        char copy[ZL_IDENT_NAME_MAX], *service, *replica;
        uint32_t number;

        if (strlen(name) >= sizeof copy)
                return -EINVAL;
        strcpy(copy, name); /* checked above */
        service = strchr(copy, '.');
        if (!service)
                return -EINVAL;
        *service++ = 0;
        replica = strchr(service, '.');
        if (!replica)
                return -EINVAL;
        *replica++ = 0;
        if (replica[0] == '0' || zl_parse_u32(replica, 10, &number) < 0)
                return -EINVAL;
        return zl_ident_make(ret, copy, service, number, NULL) < 0 ? -EINVAL : 0;
}

int zl_ident_resolve(const char *text, const char *deployment, char ret[ZL_IDENT_NAME_MAX])
{
        struct zl_ident ident;
        const char *rep = NULL;
        uint32_t replica = 1;
        char service[64];

        if (zl_ident_parse(text, &ident) == 0) {
                zl_ident_name(&ident, ret);
                return 0;
        }
        for (const char *next = strstr(text, "-rep-"); next; next = strstr(next + 1, "-rep-"))
                rep = next;
        if (rep && zl_parse_u32(rep + 5, 10, &replica) < 0)
                rep = NULL;
        snprintf(service, sizeof(service), "%.*s", rep ? (int)(rep - text) : (int)strlen(text),
                 text);
        if (zl_ident_make(&ident, deployment, service, rep ? replica : 1, NULL) < 0)
                return -EINVAL;
        zl_ident_name(&ident, ret);
        return 0;
}

bool zl_ident_is_kept_run(const struct zl_ident *id)
{
        return strncmp(id->deployment, ZL_IDENT_RUN_PREFIX, strlen(ZL_IDENT_RUN_PREFIX)) == 0 &&
               zl_streq(id->deployment + strlen(ZL_IDENT_RUN_PREFIX), id->service);
}

bool zl_ident_is_run(const struct zl_ident *id)
{
        return zl_streq(id->deployment, ZL_IDENT_RUN_DEPLOYMENT) || zl_ident_is_kept_run(id);
}

bool zl_ident_equal(const struct zl_ident *a, const struct zl_ident *b)
{
        return a->replica == b->replica && zl_streq(a->service, b->service) &&
               zl_streq(a->deployment, b->deployment);
}
