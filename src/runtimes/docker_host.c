/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the Docker Engine listens: what the caller says, the variables that Docker's own client reads, its contexts, and the
 * usual sockets, in this order. Nothing is connected to here.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/path.h"
#include "runtimes/docker_http.h"

enum { CONFIG_MAX = 4 << 20 };

void zl_docker_endpoint_done(struct zl_docker_endpoint *ep)
{
        free(ep->text);
        free(ep->unix_path);
        free(ep->host);
        free(ep->port);
        free(ep->certs);
        *ep = (struct zl_docker_endpoint){ 0 };
}

static char *join_home(const char *file)
{
        const char *config = getenv("DOCKER_CONFIG"), *home = getenv("HOME");
        char *path = NULL;

        if (config && *config)
                return zl_path_join(config, file);
        if (!home || !*home || asprintf(&path, "%s/.docker/%s", home, file) < 0)
                return NULL;
        return path;
}

/* ---- addresses --------------------------------------------------------------------------------------- */

/* HOST[:PORT] or [HOST]:PORT, a path behind it is ignored. */
static int parse_address(const char *text, bool tls, struct zl_docker_endpoint *ep)
{
        const char *end, *port, *host = text;
        size_t len = strcspn(text, "/");

        if (*text == '[') {
                host++;
                end = memchr(text, ']', len);
                if (!end)
                        return -EINVAL;
                port = end + 1;
        } else {
                end = memchr(text, ':', len);
                if (!end)
                        end = text + len;
                port = end;
        }
        ep->host = strndup(host, (size_t)(end - host));
        if (port < text + len && *port == ':')
                ep->port = strndup(port + 1, (size_t)(text + len - port - 1));
        else
                ep->port = strdup(tls ? "2376" : "2375");
        if (!ep->host || !ep->port)
                return -ENOMEM;
        return *ep->host && *ep->port ? 0 : -EINVAL;
}

static int use_tls(struct zl_docker_endpoint *ep)
{
        const char *path = getenv("DOCKER_CERT_PATH");

        ep->certs = path && *path ? strdup(path) : join_home("");
        return ep->certs ? 0 : -ENOMEM;
}

static int parse_host(const char *text, struct zl_docker_endpoint *ep)
{
        const char *rest, *verify = getenv("DOCKER_TLS_VERIFY"), *tls = getenv("DOCKER_TLS");
        bool https = false;
        int r;

        ep->text = strdup(text);
        if (!ep->text)
                return -ENOMEM;
        if ((rest = zl_startswith(text, "unix://")) || *text == '/') {
                ep->unix_path = strdup(rest ? rest : text);
                return !ep->unix_path ? -ENOMEM : ep->unix_path[0] == '/' ? 0 : -EINVAL;
        }
        if (!(rest = zl_startswith(text, "tcp://")) && !(rest = zl_startswith(text, "http://"))) {
                rest = zl_startswith(text, "https://");
                https = rest != NULL;
        }
        if (!rest)
                return -EPROTONOSUPPORT;
        ep->verify = https || (verify && *verify);
        if (ep->verify || (tls && *tls)) {
                r = use_tls(ep);
                if (r < 0)
                        return r;
        }
        return parse_address(rest, ep->certs != NULL, ep);
}

/* ---- contexts of the Docker CLI ---------------------------------------------------------------------- */

static int read_json(const char *path, json_t **ret, struct zl_error *err)
{
        _cleanup_free_ char *text = NULL;
        size_t len;
        int r = zl_read_file_at(AT_FDCWD, path, CONFIG_MAX, &text, &len);

        if (r == -ENOENT || r == -ENOTDIR)
                return 0;
        if (r < 0)
                return zl_fail_errno(err, -r, "cannot read %s", path);
        r = zl_json_parse(text, len, path, ret, err);
        return r < 0 ? r : 1;
}

/* The host of the context `name`; NULL without an error if it names none. */
static int context_host(const char *name, char **ret, struct zl_error *err)
{
        _cleanup_free_ char *file = NULL, *path = NULL;
        _cleanup_json_ json_t *meta = NULL;
        char digest[ZL_DIGEST_TEXT_MAX];
        const char *host;
        int r;

        if (!zl_sha256_text(name, strlen(name), digest) ||
            asprintf(&file, "contexts/meta/%s/meta.json", digest + strlen("sha256:")) < 0 ||
            !(path = join_home(file)))
                return zl_fail_oom(err);
        r = read_json(path, &meta, err);
        if (r < 0)
                return r;
        host = zl_json_str(json_object_get(json_object_get(meta, "Endpoints"), "docker"), "Host",
                           NULL);
        if (!host)
                return zl_fail(err, ZL_E_CONFIGURATION, 0,
                               "the Docker context \"%s\" names no host", name);
        *ret = strdup(host);
        return *ret ? 0 : zl_fail_oom(err);
}

static int from_context(char **ret, struct zl_error *err)
{
        const char *name = getenv("DOCKER_CONTEXT");
        _cleanup_free_ char *path = NULL;
        _cleanup_json_ json_t *config = NULL;
        int r;

        if (!name || !*name) {
                path = join_home("config.json");
                r = path ? read_json(path, &config, err) : 0;
                if (r < 0)
                        return r;
                name = zl_json_str(config, "currentContext", NULL);
        }
        if (!name || !*name || zl_streq(name, "default"))
                return 0;
        return context_host(name, ret, err);
}

static int usual_socket(char **ret)
{
        const char *runtime = getenv("XDG_RUNTIME_DIR");
        _cleanup_free_ char *own = NULL;
        int r;

        if (runtime && *runtime && access("/var/run/docker.sock", F_OK) < 0 &&
            asprintf(&own, "%s/docker.sock", runtime) >= 0 && access(own, F_OK) == 0)
                r = asprintf(ret, "unix://%s", own);
        else
                r = asprintf(ret, "unix:///var/run/docker.sock");
        return r < 0 ? -ENOMEM : 0;
}

int zl_docker_endpoint_find(const char *host, struct zl_docker_endpoint *ret, struct zl_error *err)
{
        _cleanup_(zl_docker_endpoint_done) struct zl_docker_endpoint ep = { 0 };
        _cleanup_free_ char *found = NULL;
        int r = 0;

        if (!host || !*host)
                host = getenv("DOCKER_HOST");
        if (!host || !*host) {
                r = from_context(&found, err);
                if (r < 0)
                        return r;
                if (!found && usual_socket(&found) < 0)
                        return zl_fail_oom(err);
                host = found;
        }
        r = parse_host(host, &ep);
        if (r == -ENOMEM)
                return zl_fail_oom(err);
        if (r < 0) {
                r = zl_fail(err, ZL_E_CONFIGURATION, 0, "\"%s\" does not say where Docker is",
                            host);
                zl_error_hint(err,
                              "unix:///PATH, tcp://HOST:PORT and https://HOST:PORT are understood");
                return r;
        }
        *ret = ep;
        ep = (struct zl_docker_endpoint){ 0 };
        return 0;
}
