/* SPDX-License-Identifier: Apache-2.0 */
/* The list of networks, put together from what zlayer-net has on disk, so that looking starts nothing. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "network/client.h"
#include "network/records.h"

static int add_record(void *into, const char *name, json_t *document)
{
        return document ? zl_json_set(into, name, json_incref(document)) : 0;
}

/* All records of a directory by name. One that is not there has none. */
static int read_records(const char *path, json_t *into)
{
        int r = zl_net_each_record(AT_FDCWD, path, add_record, into);

        return r == -ENOENT ? 0 : r;
}

static int compare_names(const void *a, const void *b)
{
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* NULL-terminated, to be freed; the names are of the object. NULL without memory. */
static const char **sorted_names(json_t *object)
{
        const char **names = calloc(json_object_size(object) + 1, sizeof(*names)), *name;
        json_t *value;
        size_t n = 0;

        json_object_foreach(object, name, value) if (names) names[n++] = name;
        if (names)
                qsort(names, n, sizeof(*names), compare_names);
        return names;
}

static int add_containers(json_t *containers, const char *const *names, const char *network,
                          json_t *list)
{
        for (; *names; names++) {
                const json_t *c = json_object_get(containers, *names);

                if (!zl_streq(zl_json_str(c, "network", ""), network))
                        continue;
                if (json_array_append_new(list, json_pack("{s:s,s:s,s:s}", "name", *names, "ipv4",
                                                          zl_json_str(c, "ipv4", ""), "ipv6",
                                                          zl_json_str(c, "ipv6", ""))) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int make_list(json_t *networks, json_t *containers, json_t *ret)
{
        _cleanup_free_ const char **names = sorted_names(networks),
                                  **users = sorted_names(containers);

        if (!names || !users)
                return -ENOMEM;
        for (const char **name = names; *name; name++) {
                const json_t *n = json_object_get(networks, *name);
                json_t *list = json_array(), *entry;

                if (!list || add_containers(containers, users, *name, list) < 0) {
                        json_decref(list);
                        return -ENOMEM;
                }
                entry = json_pack("{s:s,s:b,s:s,s:s,s:s,s:o}", "name", *name, "kept",
                                  (int)zl_json_bool(n, "kept", false), "subnet4",
                                  zl_json_str(n, "subnet4", ""), "subnet6",
                                  zl_json_str(n, "subnet6", ""), "bridge",
                                  zl_json_str(n, "bridge", ""), "containers", list);
                if (json_array_append_new(ret, entry) < 0)
                        return -ENOMEM;
        }
        return 0;
}

int zl_net_list(const struct zl_net *net, json_t **ret, struct zl_error *err)
{
        _cleanup_free_ char *running = zl_path_join(net->dir, "networks"),
                            *attached = zl_path_join(net->dir, "containers");
        _cleanup_json_ json_t *networks = json_object(), *containers = json_object();
        json_t *list = json_array(), *network;
        const char *name;
        void *next;
        int r = running && attached && list ? read_records(net->memory, networks) : -ENOMEM;

        json_object_foreach_safe(networks, next, name,
                                 network) if (!zl_json_bool(network, "kept", false))
                json_object_del(networks, name);
        r = r ? r : read_records(running, networks);
        r = r ? r : read_records(attached, containers);
        r = r ? r : make_list(networks, containers, list);
        if (r < 0) {
                json_decref(list);
                return zl_fail_errno(err, -r, "cannot read the records of networks");
        }
        *ret = list;
        return 0;
}
