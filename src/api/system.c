/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon says of itself and of the machine: version, info, metrics (OpenMetrics text). */
#include <sys/utsname.h>
#include <unistd.h>

#include "api/handlers.h"
#include "api/views.h"
#include "base/clock.h"
#include "base/json.h"
#include "runtimes/networks.h"

int zl_api_version(struct zl_api_request *rq, struct zl_error *err)
{
        json_t *o = json_pack("{s:s, s:s, s:s}", "name", "zlayer-agent", "version", ZL_VERSION,
                              "api", "v1");

        if (!o)
                return zl_fail_oom(err);
        zl_api_answer_json(rq, 200, o);
        return 0;
}

static int add_runtimes(struct zl_api_request *rq, struct zl_error *err)
{
        struct zl_runtime_options options = { .root_dir = rq->api->options.root_dir,
                                              .runtime_dir = rq->api->options.runtime_dir };
        struct zl_runtime_info *infos = NULL;
        json_t *list = json_array();
        size_t n = 0;
        int r = zl_runtime_probe(&options, &infos, &n, err);

        for (size_t i = 0; r >= 0 && i < n; i++)
                json_array_append_new(list,
                                      json_pack("{s:s, s:b, s:b, s:s}", "kind",
                                                zl_runtime_kind_name(infos[i].kind), "built",
                                                infos[i].built, "available", infos[i].available,
                                                "detail", infos[i].detail));
        zl_runtime_info_free(infos, n);
        if (zl_json_set(rq->result, "runtimes", list) < 0 && r >= 0)
                return zl_fail_oom(err);
        return r;
}

static int add_network(struct zl_api_request *rq, struct zl_error *err)
{
        const struct zl_networks networks = { rq->api->options.root_dir,
                                              rq->api->options.runtime_dir };
        struct zl_networks_facts facts;
        int r = zl_networks_probe(&networks, &facts, err);

        if (r == 0 && zl_json_set(rq->result, "network", zl_networks_facts_view(&facts)) < 0)
                return zl_fail_oom(err);
        return r;
}

int zl_api_info(struct zl_api_request *rq, struct zl_error *err)
{
        long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
        char started[ZL_RFC3339_SIZE];
        struct utsname uts;
        int r;

        if (uname(&uts) < 0)
                return zl_fail_errno(err, errno, "cannot ask for the name of the system");
        rq->result = json_pack(
                "{s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I}", "version", ZL_VERSION, "pid",
                (json_int_t)getpid(), "started_at", zl_format_rfc3339(rq->api->started_at, started),
                "root_dir", rq->api->options.root_dir, "runtime_dir", rq->api->options.runtime_dir,
                "os", uts.sysname, "kernel", uts.release, "architecture", uts.machine, "cpus",
                (json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "memory_bytes",
                (json_int_t)pages * page);
        r = rq->result ? add_network(rq, err) : zl_fail_oom(err);
        return r < 0 ? r : add_runtimes(rq, err);
}

/* ---- metrics -------------------------------------------------------------------------------------------------------- */

enum { METRICS_MAX = 32 << 20, PHASES = ZL_DEPLOYMENT_STOPPED + 1 };

struct metrics {
        struct zl_api_stored stored; /* first: zl_api_load_views() looks for it in rq->data */
        unsigned phases[PHASES];
        uint64_t n_requests;
        unsigned n_connections;
        struct zl_buf out;
};

static void count_phase(const struct zl_deployment_info *info, void *data)
{
        ((struct metrics *)data)->phases[info->phase]++;
}

static void drop_metrics(void *data)
{
        struct metrics *m = data;

        zl_stored_replica_free(m->stored.replicas, m->stored.n);
        zl_buf_done(&m->out);
        free(m);
}

int zl_api_metrics_begin(struct zl_api_request *rq, struct zl_error *err)
{
        struct metrics *m = calloc(1, sizeof(*m));

        if (!m)
                return zl_fail_oom(err);
        rq->data = m;
        rq->drop = drop_metrics;
        m->out = ZL_BUF_INIT(METRICS_MAX);
        m->n_requests = rq->api->n_requests;
        m->n_connections = rq->api->n_connections;
        zl_manager_each(rq->api->manager, count_phase, m);
        return zl_store_list_replicas(zl_manager_store(rq->api->manager), NULL, &m->stored.replicas,
                                      &m->stored.n, err);
}

/* One metric of a container, by table: so that each family stands together, as OpenMetrics wants it. */
#define PRESSURE(resource, line, word, text)                                                       \
        {                                                                                          \
                "zlayer_container_pressure_" #resource "_" word "_seconds", "counter", "seconds",  \
                        text, offsetof(struct zl_stats, resource##_pressure.line.total_usec),      \
                        1e-6, true                                                                 \
        }
static const struct {
        const char *name, *type, *unit, *help;
        size_t offset;
        double scale;
        bool is_pressure;
} families[] = {
        { "zlayer_container_cpu_seconds", "counter", "seconds", "Processor time used.",
          offsetof(struct zl_stats, cpu_usec), 1e-6 },
        { "zlayer_container_cpu_throttled_seconds", "counter", "seconds",
          "Time held back by the limit.", offsetof(struct zl_stats, cpu_throttled_usec), 1e-6 },
        { "zlayer_container_memory_working_set_bytes", "gauge", "bytes",
          "Memory without inactive page cache.", offsetof(struct zl_stats, memory_bytes), 1 },
        { "zlayer_container_pids", "gauge", NULL, "Processes.", offsetof(struct zl_stats, pids),
          1 },
        { "zlayer_container_io_read_bytes", "counter", "bytes", "Bytes read from block devices.",
          offsetof(struct zl_stats, io_read_bytes), 1 },
        { "zlayer_container_io_write_bytes", "counter", "bytes", "Bytes written to block devices.",
          offsetof(struct zl_stats, io_write_bytes), 1 },
        { "zlayer_container_network_receive_bytes", "counter", "bytes", "Bytes received.",
          offsetof(struct zl_stats, net_rx_bytes), 1 },
        { "zlayer_container_network_transmit_bytes", "counter", "bytes", "Bytes sent.",
          offsetof(struct zl_stats, net_tx_bytes), 1 },
        { "zlayer_container_oom_kills", "counter", NULL, "Processes killed for want of memory.",
          offsetof(struct zl_stats, oom_kills), 1 },
        PRESSURE(cpu, some, "waiting", "Time in which some process waited for a processor."),
        PRESSURE(cpu, full, "stalled", "Time in which all processes waited for a processor."),
        PRESSURE(memory, some, "waiting", "Time in which some process waited for memory."),
        PRESSURE(memory, full, "stalled", "Time in which all processes waited for memory."),
        PRESSURE(io, some, "waiting", "Time in which some process waited for a disk."),
        PRESSURE(io, full, "stalled", "Time in which all processes waited for a disk."),
};

static void put_family(struct zl_buf *out, const char *name, const char *type, const char *unit,
                       const char *help)
{
        zl_buf_putf(out, "# TYPE %s %s\n", name, type);
        if (unit)
                zl_buf_putf(out, "# UNIT %s %s\n", name, unit);
        zl_buf_putf(out, "# HELP %s %s\n", name, help);
}

/* Parts of a name have no character that would need an escape. */
static void put_labels(struct zl_buf *out, const struct zl_ident *id)
{
        zl_buf_putf(out, "{deployment=\"%s\",service=\"%s\",replica=\"%u\"}", id->deployment,
                    id->service, id->replica);
}

static void put_containers(struct zl_buf *out, const struct zl_view_list *views,
                           const struct zl_stats *stats)
{
        for (size_t f = 0; f < ZL_ARRAY_SIZE(families); f++) {
                bool counter = zl_streq(families[f].type, "counter");

                put_family(out, families[f].name, families[f].type, families[f].unit,
                           families[f].help);
                for (size_t i = 0; i < views->n; i++) {
                        const char *at = (const char *)&stats[i] + families[f].offset;
                        uint64_t value;

                        if (stats[i].time == 0 ||
                            (families[f].is_pressure && !stats[i].has_pressure))
                                continue;
                        memcpy(&value, at, sizeof(value));
                        zl_buf_putf(out, "%s%s", families[f].name, counter ? "_total" : "");
                        put_labels(out, &views->items[i].id);
                        zl_buf_putf(out, " %.15g\n", (double)value * families[f].scale);
                }
        }
        put_family(out, "zlayer_container_restarts", "counter", NULL, "Restarts by the agent.");
        for (size_t i = 0; i < views->n; i++) {
                zl_buf_puts(out, "zlayer_container_restarts_total");
                put_labels(out, &views->items[i].id);
                zl_buf_putf(out, " %u\n", views->items[i].restarts);
        }
}

static void put_agent(struct zl_buf *out, const struct metrics *m, const struct zl_view_list *views,
                      double uptime)
{
        static const char *const phases[PHASES] = { NULL,       "starting", "started", "failed",
                                                    "finished", "stopping", "stopped" };
        unsigned states[ZL_STATE_FAILED + 1] = { 0 };

        put_family(out, "zlayer_build", "info", NULL, "This program.");
        zl_buf_putf(out, "zlayer_build_info{version=\"%s\"} 1\n", ZL_VERSION);
        put_family(out, "zlayer_uptime_seconds", "gauge", "seconds", "Since the agent began.");
        zl_buf_putf(out, "zlayer_uptime_seconds %.3f\n", uptime);
        put_family(out, "zlayer_http_requests", "counter", NULL, "Requests to the API.");
        zl_buf_putf(out, "zlayer_http_requests_total %llu\n", (unsigned long long)m->n_requests);
        put_family(out, "zlayer_http_connections", "gauge", NULL, "Open connections to the API.");
        zl_buf_putf(out, "zlayer_http_connections %u\n", m->n_connections);
        put_family(out, "zlayer_deployments", "gauge", NULL, "Deployments by phase.");
        for (size_t i = 1; i < PHASES; i++)
                zl_buf_putf(out, "zlayer_deployments{phase=\"%s\"} %u\n", phases[i], m->phases[i]);
        for (size_t i = 0; i < views->n; i++)
                states[views->items[i].status.state]++;
        put_family(out, "zlayer_containers", "gauge", NULL, "Containers by state.");
        for (size_t i = 0; i < ZL_ARRAY_SIZE(states); i++)
                zl_buf_putf(out, "zlayer_containers{state=\"%s\"} %u\n",
                            zl_workload_state_name((enum zl_workload_state)i), states[i]);
}

static const struct {
        const char *name, *unit, *help, *key;
} port_families[] = {
        { "zlayer_port_connections", NULL, "Connections to published ports and balanced addresses.",
          "connections" },
        { "zlayer_port_receive_bytes", "bytes", "Bytes that clients sent to them.", "in_bytes" },
        { "zlayer_port_receive_packets", NULL, "Packets that clients sent to them.", "in_packets" },
        { "zlayer_port_transmit_bytes", "bytes", "Bytes that were sent to their clients.",
          "out_bytes" },
        { "zlayer_port_transmit_packets", NULL, "Packets that were sent to their clients.",
          "out_packets" },
};

static void put_port(struct zl_buf *out, const char *family, const json_t *p, json_int_t value)
{
        const char *service = zl_json_str(p, "service", "."), *dot = strchr(service, '.');

        zl_buf_putf(out,
                    "%s_total{deployment=\"%.*s\",service=\"%s\",address=\"%s\",port=\"%d\","
                    "protocol=\"%s\"} %lld\n",
                    family, (int)(dot - service), service, dot + 1, zl_json_str(p, "address", ""),
                    (int)zl_json_int(p, "port", 0), zl_json_bool(p, "udp", false) ? "udp" : "tcp",
                    (long long)value);
}

/* Published ports and balanced addresses, as far as containers are in networks of ours. */
static void put_ports(struct zl_buf *out, const struct zl_api_options *options)
{
        const struct zl_networks networks = { .root_dir = options->root_dir,
                                              .runtime_dir = options->runtime_dir };
        _cleanup_json_ json_t *list = NULL;
        const json_t *p;
        size_t i;

        if (options->runtime_dir)
                zl_networks_ports(&networks, &list, NULL);
        for (size_t f = 0; f < ZL_ARRAY_SIZE(port_families); f++) {
                put_family(out, port_families[f].name, "counter", port_families[f].unit,
                           port_families[f].help);
                json_array_foreach(list, i, p)
                {
                        const json_t *value = json_object_get(p, port_families[f].key);

                        if (value)
                                put_port(out, port_families[f].name, p, json_integer_value(value));
                }
        }
}

int zl_api_metrics_work(struct zl_api_request *rq, struct zl_error *err)
{
        struct metrics *m = rq->data;
        _cleanup_views_ struct zl_view_list views = { 0 };
        _cleanup_free_ struct zl_stats *stats = NULL;
        int r = zl_api_load_views(rq, &views, err);

        if (r < 0)
                return r;
        stats = calloc(views.n + 1, sizeof(*stats));
        if (!stats)
                return zl_fail_oom(err);
        for (size_t i = 0; i < views.n; i++)
                /* One that ends meanwhile has no figures any more. */
                if (views.items[i].status.state == ZL_STATE_RUNNING &&
                    zl_runtime_stats(rq->api->rt, views.items[i].status.name, &stats[i], NULL) < 0)
                        stats[i].time = 0;
        put_agent(&m->out, m, &views, (double)(zl_now_realtime() - rq->api->started_at) / 1e9);
        put_containers(&m->out, &views, stats);
        put_ports(&m->out, &rq->api->options);
        zl_buf_puts(&m->out, "# EOF\n");
        return zl_buf_error(&m->out) < 0 ? zl_fail_oom(err) : 0;
}

int zl_api_metrics_finish(struct zl_api_request *rq, struct zl_error *err)
{
        struct metrics *m = rq->data;

        (void)err;
        zl_api_answer_text(rq, 200, "application/openmetrics-text; version=1.0.0; charset=utf-8",
                           zl_buf_take(&m->out));
        return 0;
}
