/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives the table of rules, for system tests and for measuring. Each call is one change, in a process of its own.
 *
 *         firewall-driver TABLE build BRIDGE SUBNET4 BITS        the table anew, with one network
 *         firewall-driver TABLE front ADDRESS|any PORT tcp|udp [TARGET PORT]…
 *         firewall-driver TABLE unfront ADDRESS|any PORT tcp|udp
 *         firewall-driver TABLE remove
 *
 * Errors go to standard error as "CODE: message"; the exit code is then 1.
 */
#include <stdio.h>

#include "base/parse.h"
#include "network/firewall.h"

static struct zl_error err;

static int usage(void)
{
        return zl_fail(&err, ZL_E_INVALID, 0,
                       "wrong arguments; they stand at the head of firewall_driver.c");
}

static int parse_port(const char *text, uint16_t *ret)
{
        uint32_t n;

        if (zl_parse_u32(text, 10, &n) < 0 || n == 0 || n > UINT16_MAX)
                return usage();
        *ret = (uint16_t)n;
        return 0;
}

static int build(struct zl_firewall *fw, int n, char **word)
{
        struct zl_firewall_network network = { 0 };
        struct zl_ip ip;
        uint32_t bits;

        if (n != 3 || zl_ip_parse(word[1], &ip) < 0 || zl_parse_u32(word[2], 10, &bits) < 0)
                return usage();
        network.bridge = word[0];
        network.four.family = AF_INET;
        network.four.prefix = (uint8_t)bits;
        memcpy(network.four.bytes, ip.bytes, sizeof(ip.bytes));
        return zl_firewall_build(fw, &network, 1, NULL, 0, &err);
}

static int parse_front(int n, char **word, struct zl_firewall_front *ret)
{
        if (n < 3 || (!zl_streq(word[0], "any") && zl_ip_parse(word[0], &ret->address) < 0))
                return usage();
        ret->udp = zl_streq(word[2], "udp");
        return parse_port(word[1], &ret->port);
}

static int front(struct zl_firewall *fw, int n, char **word)
{
        static struct zl_firewall_target targets[ZL_FIREWALL_TARGETS_MAX];
        struct zl_firewall_front f = { .targets = targets };

        if (parse_front(n, word, &f) < 0)
                return -EINVAL;
        for (int i = 3; i + 1 < n && f.n_targets < ZL_FIREWALL_TARGETS_MAX; i += 2) {
                struct zl_firewall_target *t = &targets[f.n_targets++];
                struct zl_ip ip;

                if (zl_ip_parse(word[i], &ip) < 0 || parse_port(word[i + 1], &t->port) < 0)
                        return usage();
                *(ip.family == AF_INET ? &t->four : &t->six) = ip;
        }
        return zl_firewall_set_fronts(fw, &f, 1, &err);
}

static int unfront(struct zl_firewall *fw, int n, char **word)
{
        struct zl_firewall_front f = { .n_targets = 0 };

        return parse_front(n, word, &f) < 0 ? -EINVAL : zl_firewall_remove_front(fw, &f, &err);
}

static int remove_table(struct zl_firewall *fw, int n, char **word)
{
        return zl_firewall_remove(fw, &err);
}

int main(int argc, char **argv)
{
        static const struct {
                const char *name;
                int (*run)(struct zl_firewall *fw, int n, char **word);
        } commands[] = { { "build", build },
                         { "front", front },
                         { "unfront", unfront },
                         { "remove", remove_table } };
        struct zl_firewall fw = { .nl = ZL_NL_INIT };
        int r = argc > 2 ? zl_firewall_open(argv[1], &fw, &err) : usage();

        for (size_t i = 0; r == 0 && i < ZL_ARRAY_SIZE(commands); i++)
                if (zl_streq(argv[2], commands[i].name))
                        r = commands[i].run(&fw, argc - 3, argv + 3);
        zl_firewall_close(&fw);
        if (r < 0)
                fprintf(stderr, "%s: %s\n", zl_code_name(err.code), zl_error_message(&err));
        zl_error_done(&err);
        return r < 0;
}
