/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cases: what a spec asks for is what the workload finds, on every runtime alike; namespaces that are joined or the host's are
 * those, and not only named so.
 */
#include "contract.h"

static int expect_out(const char *name, const char *wanted)
{
        const struct zl_log_options o = { .tail = -1 };
        int code;

        if (wait_end(name, &code, NULL) < 0 || expect_log(name, &o, wanted) < 0)
                return -1;
        CHECK(code == 0);
        return 0;
}

static int case_spec(const char *name)
{
        OK(start_with(
                name,
                "id -u; id -G; hostname; pwd; echo $A; ulimit -n; "
                "cat /proc/sys/kernel/shm_rmid_forced /proc/self/oom_score_adj; "
                "touch /x 2>/dev/null || echo readonly; touch /t/x && echo writable; "
                "sed -n \"/^CapEff/p;/^CapBnd/p;/^NoNewPrivs/p;/^Seccomp:/p\" /proc/self/status | tr \"\\t\" \" \"; "
                "df -k /t | sed -n \"2s/  */ /gp\" | cut -d \" \" -f 2",
                ", user: '5:6', extra_groups: ['7'], hostname: named, env: {A: b}, "
                "ulimits: {nofile: {soft: 50, hard: 60}}, read_only_root_fs: true, "
                "sysctls: {kernel.shm_rmid_forced: '1'}, resources: {oom_score_adj: 55}, "
                "cap_drop: [ALL], capabilities: [NET_BIND_SERVICE], "
                "security_opt: ['no-new-privileges:true'], "
                "storage: [{type: tmpfs, target: /t, size: 1Mi, mode: 1023}]"));
        return expect_out(name, "1:5|1:6 7|1:named|1:/|1:b|1:50|1:1|1:55|1:readonly|1:writable|"
                                "1:CapEff: 0000000000000000|1:CapBnd: 0000000000000400|"
                                "1:NoNewPrivs: 1|1:Seccomp: 2|1:1024|");
}

static int case_privileged(const char *name)
{
        OK(start_with(name,
                      "sed -n \"/^Seccomp:/p\" /proc/self/status | tr \"\\t\" \" \"; "
                      "test -c /dev/null && test -w /proc/sys && echo open; "
                      "mount -t tmpfs none /mnt && echo mounted",
                      ", privileged: true"));
        return expect_out(name, "1:Seccomp: 0|1:open|1:mounted|");
}

static int case_unconfined(const char *name)
{
        OK(start_with(name, "sed -n \"/^Seccomp:/p\" /proc/self/status | tr \"\\t\" \" \"",
                      ", security_opt: ['seccomp=unconfined'], userns_mode: host"));
        return expect_out(name, "1:Seccomp: 0|");
}

/* No runtime here has user namespaces per workload: refused before anything is made. */
static int case_userns(const char *name)
{
        struct zl_status s;

        FAILS(create_with(name, "true", ", userns_mode: auto"), ZL_E_UNSUPPORTED);
        CHECK(strstr(zl_error_message(&err), "userns_mode"));
        FAILS(zl_runtime_state(rt, name, &s, &err), ZL_E_NOT_FOUND);
        FAILS(create_with(name, "true", ", storage: [{type: s3, bucket: b, target: /x}]"),
              ZL_E_UNSUPPORTED);
        return 0;
}

/* "net:[1]|ipc:[2]|pid:[3]" as the log tells it. */
static int own_namespaces(char *ret, size_t size)
{
        static const char *const kinds[] = { "net", "ipc", "pid" };
        size_t at = 0;

        for (size_t i = 0; i < ZL_ARRAY_SIZE(kinds); i++) {
                char path[40], target[64];
                ssize_t n;

                snprintf(path, sizeof(path), "/proc/self/ns/%s", kinds[i]);
                n = readlink(path, target, sizeof(target) - 1);
                CHECK(n > 0);
                at += (size_t)snprintf(ret + at, size - at, "1:%.*s|", (int)n, target);
        }
        return 0;
}

#define SHOW_NAMESPACES                                                                            \
        "readlink /proc/self/ns/net; readlink /proc/self/ns/ipc; readlink /proc/self/ns/pid"

static int case_host_namespaces(const char *name)
{
        char wanted[300];

        if (own_namespaces(wanted, sizeof(wanted)) < 0)
                return -1;
        OK(start_with(name, SHOW_NAMESPACES,
                      ", network_mode: host, ipc_mode: host, pid_mode: host"));
        return expect_out(name, wanted);
}

static int case_own_namespaces(const char *name)
{
        const struct zl_log_options o = { .tail = -1 };
        _cleanup_buf_ struct zl_buf text = ZL_BUF_INIT(1 << 16);
        char host[300];
        int code;

        if (own_namespaces(host, sizeof(host)) < 0)
                return -1;
        OK(start_with(name, SHOW_NAMESPACES, ", ipc_mode: private, pid_mode: private"));
        if (wait_end(name, &code, NULL) < 0 || read_log(name, &o, &text) < 0)
                return -1;
        for (char *word = strtok(host, "|"); word; word = strtok(NULL, "|"))
                CHECK(!strstr(text.data, word));
        return 0;
}

/* Two workloads that share: what the second finds is what a command in the first finds. */
static int case_joined(const char *name)
{
        _cleanup_buf_ struct zl_buf out = ZL_BUF_INIT(1 << 16), wanted = ZL_BUF_INIT(1 << 16);
        int code, r;

        OK(start_with(name, "echo ready; exec sleep 1000", ", ipc_mode: shareable"));
        OK(wait_line(name, "ready"));
        OK(exec_in(name, SHOW_NAMESPACES, NULL, &out, &code));
        CHECK(code == 0);
        for (char *line = strtok(out.data, "\n"); line; line = strtok(NULL, "\n"))
                zl_buf_putf(&wanted, "1:%s|", line);
        OK(start_with("contract.joined.2", SHOW_NAMESPACES,
                      ", network_mode: 'container:joined', ipc_mode: 'container:joined', "
                      "pid_mode: 'container:joined'"));
        r = expect_out("contract.joined.2", wanted.data);
        zl_runtime_remove(rt, "contract.joined.2", true, NULL);
        return r;
}

const struct contract_case spec_cases[] = {
        { "spec", "logs shell", case_spec },
        { "privileged", "logs shell rights", case_privileged },
        { "unconfined", "logs shell", case_unconfined },
        { "userns", "create shell", case_userns },
        { "host_namespaces", "logs shell", case_host_namespaces },
        { "own_namespaces", "logs shell", case_own_namespaces },
        { "joined", "logs exec shell", case_joined },
        { NULL, NULL, NULL },
};
