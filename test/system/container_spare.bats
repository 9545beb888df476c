# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bats
# Spares for commands: when a shape has come twice, a daemon keeps one container that waits for its command, and makes the next workload of it.
load lib
load daemon

setup() {
        zl_setup
        skip_unless "containers need root" is_root
        import_busybox bb
}
teardown() {
        zl down --all >/dev/null 2>&1
        [ -z "${DAEMON-}" ] || has_ended "$DAEMON" || stop_daemon
        zl_teardown
}

create() { post /v1/containers "{\"name\": \"$1\", \"service\": $2}"; } # NAME JSON-OF-SERVICE
service() { # COMMAND [MORE]: the command is for a shell
        jq -cn --arg c "$1" '{image: {name: "bb", pull_policy: "never"}, command: {entrypoint: ["sh", "-c", $c], workdir: "/tmp"}, stop_grace_period: "0s"} + ($ARGS.named.more // "{}" | fromjson)' \
                --arg more "{${2-}}"
}
# The directory of the spare that waits; fails if there is none.
spare() { compgen -G "$ZLAYER_ROOT_DIR/containers/.spare-*"; }
spare_pid() {
        local monitor
        monitor=$(head -n 1 "$ZLAYER_RUNTIME_DIR"/containers/.spare-*/monitor.pid 2>/dev/null | tr -d '\0')
        [ -z "$monitor" ] || pgrep -P "$monitor"
}
# It waits, and belongs to the daemon: what is still being made has no process, or no exit record, or a thread that makes it.
ready() { [ -s "$(spare)/exit.json" ] && [ ! -s "$(spare)/config.json" ] && [ -n "$(spare_pid)" ] && is_at_rest; }
made_of_spare() { jq -e '.linux.cgroupsPath | test("/spare-")' "$ZLAYER_ROOT_DIR/containers/run.$1.1/config.json" >/dev/null; }
# Two of this shape, so that there is a spare of it.
prepare() { # [MORE]
        local n
        PREPARED=$((${PREPARED-0} + 2))
        for n in 1 2; do create "p$((PREPARED + n))" "$(service 'exec sleep 600' "${1-}")" >/dev/null; done
        wait_until 20 ready
}
inside() { zl exec "run.$1.1" sh -c "$2"; }
work() { # NAME JSON-OF-SERVICE: prints what it writes; its exit code is left in CODE
        create "$1" "$2" >/dev/null
        CODE=$(get "/v1/containers/$1/wait" | jq .exit_code)
        zl logs "run.$1.1" 2>&1
}

@test "container spare: the second of a shape asks for it, the third is made of it, with command, variables, names, log and exit code of its own" {
        start_daemon
        create a "$(service 'exec sleep 600')" >/dev/null
        sleep 0.3
        run ! spare
        create b "$(service 'exec sleep 601')" >/dev/null
        wait_until 20 ready
        assert_equal "$(cat "/proc/$(head -n 1 "$ZLAYER_RUNTIME_DIR"/containers/.spare-*/monitor.pid | tr -d '\0')/comm")" zlayer-spare
        # Nobody sees it.
        assert_equal "$(zl ps -a --json | jq -r '[.[].name] | sort | join(" ")')" "run.a.1 run.b.1"
        work c "$(service 'echo "$0 $COLOUR $HOME"; hostname; cat /etc/hostname; grep -c "$(hostname)" /etc/hosts; exit 3' '"env": {"COLOUR": "dark blue"}')" >said
        made_of_spare c
        assert_equal "$CODE" 3
        assert_equal "$(cat said)" $'sh dark blue /root\nc-rep-1\nc-rep-1\n1'
        assert_equal "$(jq -r .hostname "$ZLAYER_ROOT_DIR/containers/run.c.1/config.json")" "$(sed -n 2p said)"
        # Restarted it is the same, made the usual way.
        post /v1/containers/c/start
        run -3 zl wait run.c.1
        assert_equal "$(zl logs run.c.1 | grep -c 'sh dark blue /root')" 2
        # A command that is not there is told as of any other.
        wait_until 20 ready
        run create d '{"image": {"name": "bb", "pull_policy": "never"}, "command": {"entrypoint": ["no-such-command"]}, "stop_grace_period": "0s"}'
        assert_match 'no_command'
}

@test "container spare: it is what any other is: namespaces, rights, mounts, limits, user, exec, restart, stop, remove" {
        start_daemon
        local more='"resources": {"memory": "64Mi", "pids_limit": 50}, "user": "daemon"'
        prepare "$more"
        create s "$(service 'exec sleep 600' "$more")" >/dev/null
        made_of_spare s
        local first second ns
        first=$(get /v1/containers/p3 | jq .pid)
        second=$(get /v1/containers/s | jq .pid)
        sleeps() { [ "$(tr '\0' ' ' <"/proc/$1/cmdline")" = 'sleep 600 ' ]; }
        wait_until 10 sleeps "$first"
        wait_until 10 sleeps "$second"
        diff <(grep -E '^(Cap|Seccomp|NoNewPrivs|Uid|Gid|Groups|SigIgn|SigBlk)' "/proc/$first/status") <(grep -E '^(Cap|Seccomp|NoNewPrivs|Uid|Gid|Groups|SigIgn|SigBlk)' "/proc/$second/status")
        for ns in mnt pid net ipc uts cgroup; do
                [ "$(readlink "/proc/$first/ns/$ns")" != "$(readlink "/proc/$second/ns/$ns")" ]
                [ "$(readlink "/proc/$second/ns/$ns")" != "$(readlink "/proc/self/ns/$ns")" ]
        done
        diff <(awk '{ print $5, $6 }' "/proc/$first/mountinfo" | sort) <(awk '{ print $5, $6 }' "/proc/$second/mountinfo" | sort)
        assert_equal "$(ls "/proc/$second/fd" | tr '\n' ' ')" '0 1 2 '
        assert_equal "$(inside s 'id -un; pwd; cat /proc/1/cmdline | tr "\0" " "; echo; cat /proc/1/oom_score_adj')" "$(inside p3 'id -un; pwd; cat /proc/1/cmdline | tr "\0" " "; echo; cat /proc/1/oom_score_adj')"
        assert_equal "$(inside s 'tr "\0" "\n" </proc/1/environ | sort')" "$(inside p3 'tr "\0" "\n" </proc/1/environ | sort' | sed s/p3-/s-/)"
        assert_equal "$(zl stats --json --no-stream run.s.1 | jq '.[0] | [.memory_limit_bytes, .pids_limit] | tostring')" \
                "$(zl stats --json --no-stream run.p3.1 | jq '.[0] | [.memory_limit_bytes, .pids_limit] | tostring')"
        # Limits hold: more processes than it may have are refused.
        inside s 'for i in $(seq 80); do sleep 5 & done' 2>&1 | grep -q "can't fork"
        assert_equal "$(tr '\0' ' ' <"/proc/$(head -n 1 "$ZLAYER_RUNTIME_DIR/containers/run.s.1/monitor.pid" | tr -d '\0')/cmdline" | sed 's/ *$//')" "zlayer-monitor run.s.1"
        zl restart run.s.1
        is_state run.s.1 running
        zl stop run.s.1
        assert_equal "$(get /v1/containers/s | jq .signal)" "$(zl stop run.p3.1 >/dev/null; get /v1/containers/p3 | jq .signal)"
        zl rm -f run.s.1
        [ ! -e "$ZLAYER_ROOT_DIR/containers/run.s.1" ]
}

@test "container spare: another shape is made the usual way; the image may move and go" {
        start_daemon
        prepare
        create other "$(service 'exec sleep 600' '"read_only_root_fs": true')" >/dev/null
        run ! made_of_spare other
        wait_until 20 eval '! spare' # nobody wants that one any more
        # What the container does not see is none of its shape; of labels it sees some.
        prepare
        create named "$(service 'hostname; exec sleep 600' '"labels": {"a": "b"}, "hostname": "elsewhere", "extra_hosts": ["there:10.9.8.7"], "restart_policy": {"kind": "no"}')" >/dev/null
        made_of_spare named
        assert_equal "$(inside named 'hostname; cat /etc/hostname; grep there /etc/hosts' | tr '\n\t' '  ')" 'elsewhere elsewhere 10.9.8.7 there '
        assert_equal "$(jq -r .annotations.a "$ZLAYER_ROOT_DIR/containers/run.named.1/config.json")" b
        wait_until 20 ready
        create labelled "$(service 'exec sleep 600' '"labels": {"run.oci.keep_original_groups": "1"}')" >/dev/null
        run ! made_of_spare labelled
        create tty "$(service 'exec sleep 600' '"tty": true')" >/dev/null
        create tty2 "$(service 'exec sleep 600' '"tty": true')" >/dev/null
        sleep 0.3
        run ! spare
        prepare
        # The name leads elsewhere now: what is made is of the new image.
        mkdir -p new/bin
        cp /bin/busybox new/bin/busybox
        ln -s busybox new/bin/sh
        ln -s busybox new/bin/sleep
        ln -s busybox new/bin/cat
        echo new >new/which
        tar -C new -cf new.tar .
        zl image import new.tar bb >/dev/null
        work moved "$(service 'cat /which')" >said
        run ! made_of_spare moved
        assert_equal "$(cat said)" new
        # The image goes and comes back: what was laid over its old files is not used.
        import_busybox bb >/dev/null
        prepare
        zl rm -f $(zl ps -a --json | jq -r '.[].name') >/dev/null
        zl image rm bb >/dev/null
        import_busybox bb >/dev/null
        work back "$(service 'ls /bin/sh')" >said
        run ! made_of_spare back
        assert_equal "$(cat said)" /bin/sh
}

@test "container spare: in a network it gets its address, names and ports with its name" {
        start_daemon
        local more='"port_mappings": [{"container_port": 80}]'
        prepare "$more"
        create web "$(service 'hostname >/index.html; exec busybox httpd -f -p 80 -h /' "$more")" >/dev/null
        made_of_spare web
        local port ip
        port=$(get /v1/containers/web | jq '.ports[0].host_port')
        wait_until 10 curl -sS -m 2 -o page "http://127.0.0.1:$port/"
        assert_equal "$(cat page)" "$(inside web hostname)"
        assert_equal "$(inside web 'grep -c "$(hostname)" /etc/hosts')" 1
        ip=$(zl ps --json | jq -r '.[] | select(.name == "run.web.1").ip')
        assert_equal "$(curl -sS -m 5 "http://$ip/")" "$(inside web hostname)"
        assert_equal "$(inside p3 "wget -qO- http://$ip/")" "$(inside web hostname)"
}

@test "container spare: with the daemon it ends, told or killed; one that was killed is not taken; none where it is not wanted" {
        start_daemon
        prepare
        stop_daemon
        run ! spare
        start_daemon
        prepare
        local pid
        pid=$(spare_pid)
        kill -KILL "$DAEMON"
        wait_until 10 has_ended "$pid"
        start_daemon
        wait_until 10 eval '! spare'
        prepare
        kill -KILL "$(spare_pid)"
        wait_until 10 eval '[ -z "$(spare_pid)" ]'
        work after "$(service 'echo here; exit 7')" >said
        assert_equal "$CODE $(cat said)" "7 here"
        run ! made_of_spare after
        stop_daemon
        ZLAYER_MONITOR_SPARE=false start_daemon
        create x1 "$(service 'exec sleep 600')" >/dev/null
        create x2 "$(service 'exec sleep 600')" >/dev/null
        sleep 0.5
        run ! spare
}
