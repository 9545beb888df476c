# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bats
# The native runtime through its C interface, one process per call: the life of containers, what a spec becomes inside,
# faults, recovery.

load lib

setup() {
        zl_setup
        skip_unless "containers need root" is_root
        export ZLAYER_MONITOR=$ZL_BUILD/zlayer-monitor
        D=d$ZL_ID # the deployment
}

native() { within "${ZL_TIMEOUT:-30}" "$ZL_BUILD/test/system/native-driver" "$@" 3>&-; }

# Writes a spec of one service "s" with what is given as lines of YAML, and makes $D.s.N of it.
make_spec() { # LINES
        {
                echo "version: v1"
                echo "deployment: $D"
                echo "services:"
                echo "  s:"
                echo "    image: {name: bb}"
                sed 's/^/    /' <<<"$1"
        } >"$ZL_DIR/spec.yaml"
}
create() { # LINES [REPLICA]
        make_spec "$1"
        native create "$D.s.${2:-1}" "$ZL_DIR/spec.yaml"
}
sh_service() { # SCRIPT
        printf 'command: {entrypoint: [sh, -c], args: [%s]}\n' "$(jq -Rs . <<<"$1")"
}
import_bb() { native import "$(busybox_layout)" bb; }
# Creates, starts, waits, prints the log without stream numbers.
output_of() { # LINES
        create "$1" && native start "$D.s.1" && native wait "$D.s.1" >"$ZL_DIR/end" &&
                native logs "$D.s.1" | cut -c3-
}
remove_all() {
        local name
        while read -r name _; do native rm "$name" force; done < <(native list)
}

@test "create, start, wait, logs, remove" {
        import_bb
        create "$(sh_service 'echo out; echo err >&2; exit 42')"
        run native state "$D.s.1"
        assert_output "$D.s.1 pending -1 0 0 1 -"
        native start "$D.s.1"
        run native wait "$D.s.1"
        assert_match "^$D.s.1 exited 42 0 0 1 "
        run native logs "$D.s.1"
        assert_match "1 out"
        assert_match "2 err"
        native rm "$D.s.1"
        run native state "$D.s.1"
        assert_status 1
        assert_match "^not_found: "
        run native list
        assert_output ""
}

@test "exit by a signal, and kill" {
        import_bb
        create "$(sh_service 'sleep 60')"
        native start "$D.s.1"
        native kill "$D.s.1" KILL
        run native wait "$D.s.1"
        assert_match "^$D.s.1 exited 137 9 0 1 "
        run native kill "$D.s.1" TERM
        assert_status 1
        assert_match "^wrong_state: "
        native rm "$D.s.1"
}

@test "stop: the stop signal first, then KILL when the grace period is over" {
        import_bb
        create "$(sh_service 'trap "exit 7" TERM; echo ready; while :; do sleep 0.05; done')"
        native start "$D.s.1"
        within 5 sh -c "until '$ZL_BUILD/test/system/native-driver' logs $D.s.1 | grep -q ready; do sleep 0.05; done"
        native stop "$D.s.1"
        run native state "$D.s.1"
        assert_match "^$D.s.1 exited 7 "
        native stop "$D.s.1" # has ended already: fine
        native rm "$D.s.1"
        create "$(sh_service 'trap "" TERM; while :; do sleep 0.05; done')"
        native start "$D.s.1"
        native stop "$D.s.1" 0
        run native state "$D.s.1"
        assert_match "^$D.s.1 exited 137 9 "
        native rm "$D.s.1"
}

@test "start again: a new generation with the same files and log" {
        import_bb
        create "$(sh_service 'echo run >>/count; wc -l </count')"
        for n in 1 2 3; do
                native start "$D.s.1"
                run native wait "$D.s.1"
                assert_match "^$D.s.1 exited 0 0 0 $n "
        done
        run native logs "$D.s.1"
        assert_output "1 1"$'\n'"1 2"$'\n'"1 3"
        native rm "$D.s.1"
}

@test "seccomp: one filter for the first start, the next and each exec, also when the cache is gone" {
        local filter state="$ZLAYER_ROOT_DIR/containers/$D.s.1"
        cat >"$ZL_DIR/profile.json" <<<'{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}'
        import_bb
        for filter in 'built-in|unshare -U true|not permitted|' "own|mkdir /made|No space left|security_opt: [\"seccomp=$ZL_DIR/profile.json\"]"; do
                IFS='|' read -r _ command message option <<<"$filter"
                create "$(sh_service "$command; grep Seccomp: /proc/self/status" && echo "$option")"
                for n in 1 2; do
                        native start "$D.s.1"
                        native wait "$D.s.1"
                        rm -rf "$ZLAYER_ROOT_DIR/cache/seccomp"
                done
                run native logs "$D.s.1"
                assert_equal "$(grep -c "$message" <<<"$output")" 2
                assert_equal "$(grep -c 'Seccomp:.*2' <<<"$output")" 2
                native rm "$D.s.1"
                create "$(sh_service 'sleep 60' && echo "$option")"
                native start "$D.s.1"
                run native exec "$D.s.1" sh -c "$command; grep Seccomp: /proc/self/status"
                assert_match "$message"
                assert_match 'Seccomp:.*2'
                # What the configuration of the built-in filter says without it: nothing is allowed.
                [ -n "$option" ] || jq -c .linux.seccomp "$state/config.json" >"$ZL_DIR/written"
                native rm "$D.s.1" force
        done
        assert_equal "$(cat "$ZL_DIR/written")" '{"defaultAction":"SCMP_ACT_ERRNO"}'
}

@test "two of one name: the second is refused and the first lives on" {
        import_bb
        create "$(sh_service 'sleep 60')"
        native start "$D.s.1"
        run native create "$D.s.1" "$ZL_DIR/spec.yaml"
        assert_status 1
        assert_match "^exists: "
        run native state "$D.s.1"
        assert_match "^$D.s.1 running "
        run native rm "$D.s.1"
        assert_status 1
        assert_match "^wrong_state: .*running"
        native rm "$D.s.1" force
}

@test "many at once, in parallel processes" {
        import_bb
        make_spec "$(sh_service 'exit 0')"
        for n in {1..8}; do
                (native create "$D.s.$n" "$ZL_DIR/spec.yaml" && native start "$D.s.$n" &&
                        native wait "$D.s.$n" >/dev/null) 3>&- &
                pids[n]=$!
        done
        for n in {1..8}; do wait "${pids[n]}"; done
        run native list
        assert_equal "$(grep -c ' exited 0 ' <<<"$output")" 8
        remove_all
        run native list
        assert_output ""
}

@test "a race for one name has one winner" {
        import_bb
        make_spec "$(sh_service 'sleep 60')"
        for n in {1..6}; do
                (if native create "$D.s.1" "$ZL_DIR/spec.yaml" 2>"$ZL_DIR/race.$n"; then echo 0; else echo 1; fi >"$ZL_DIR/won.$n") 3>&- &
                pids[n]=$!
        done
        for n in {1..6}; do wait "${pids[n]}"; done
        cat "$ZL_DIR"/race.*
        assert_equal "$(cat "$ZL_DIR"/won.* | grep -c '^0')" 1
        assert_equal "$(cat "$ZL_DIR"/race.* | grep -c '^exists: ')" 5
        native rm "$D.s.1" force
}

@test "what it looks like inside: names, files, mounts, capabilities" {
        import_bb
        run output_of "$(sh_service 'hostname; cat /etc/hostname; grep rep-1 /etc/hosts; id -u; ip link 2>/dev/null | grep -c LOOPBACK,UP; readlink /proc/self/ns/net; cat /proc/self/status | grep -E "CapEff|CapBnd|NoNewPrivs|Seccomp:"; grep " /sys/fs/cgroup " /proc/mounts | head -1; ls /proc/1/exe; pwd')"
        assert_status 0
        assert_match $'s-rep-1\ns-rep-1\n'
        assert_match 'CapEff:[[:space:]]*00000000a80425fb'
        assert_match 'NoNewPrivs:[[:space:]]*1'
        assert_match 'Seccomp:[[:space:]]*2'
        assert_match '/sys/fs/cgroup [a-z0-9]+ ro'
        assert_no_match "$(readlink /proc/self/ns/net)"
        native rm "$D.s.1"
}

@test "user, groups, working directory, environment, ulimits" {
        import_bb
        run output_of "$(sh_service 'id -u; id -g; id -G; pwd; echo "$GREETING $PATH"; ulimit -n')
user: '1000:1001'
extra_groups: ['7', '8']
env: {GREETING: hello}
ulimits: {nofile: {soft: 77, hard: 99}}"
        assert_match $'^1000\n1001\n'
        assert_match ' 7 8'
        assert_match 'hello /usr/local/sbin'
        assert_match $'\n77$'
        native rm "$D.s.1"
}

@test "storage: bind, named with copy-up, anonymous, tmpfs, read-only root" {
        import_bb
        mkdir -p "$ZL_DIR/host"
        echo from-host >"$ZL_DIR/host/file"
        run output_of "$(sh_service 'cat /in/file; echo x >/in/new 2>/dev/null || echo ro; ls /etcvol | head -3 | wc -l; echo data >/named/f; touch /anon/f && echo anon; df -m /t | tail -1 | tr -s " " | cut -d" " -f2; touch /root-is-ro 2>/dev/null || echo rootro')
read_only_root_fs: true
storage:
  - {type: bind, source: $ZL_DIR/host, target: /in, readonly: true}
  - {type: named, name: data, target: /named}
  - {type: anonymous, target: /anon}
  - {type: tmpfs, target: /t, size: 8Mi}"
        assert_match 'from-host'
        assert_match $'\nro\n'
        assert_match $'\nanon\n'
        assert_match $'\n8\n'
        assert_match 'rootro'
        assert_equal "$(cat "$ZLAYER_ROOT_DIR/volumes/$D.data/_data/f")" data
        [ -d "$ZLAYER_ROOT_DIR/volumes/_anon/$D.s.1" ]
        [ -e "$ZLAYER_ROOT_DIR/volumes/$D.data/users/$D.s.1" ]
        native rm "$D.s.1"
        [ ! -e "$ZLAYER_ROOT_DIR/volumes/_anon/$D.s.1" ]
        [ ! -e "$ZLAYER_ROOT_DIR/volumes/$D.data/users/$D.s.1" ]
        [ -e "$ZLAYER_ROOT_DIR/volumes/$D.data/_data/f" ]
}

@test "copy-up: a fresh named volume begins with what the image has there" {
        import_bb
        run output_of "$(sh_service 'ls /bin | grep -x sh; echo changed >/bin/mark')
storage: [{type: named, name: bin, target: /bin}]"
        assert_match 'sh'
        [ -e "$ZLAYER_ROOT_DIR/volumes/$D.bin/_data/mark" ]
        [ -L "$ZLAYER_ROOT_DIR/volumes/$D.bin/_data/sh" ] || [ -e "$ZLAYER_ROOT_DIR/volumes/$D.bin/_data/sh" ]
        native rm "$D.s.1"
}

@test "limits: memory with a true oom, pids" {
        import_bb
        create "$(sh_service 'head -c 200m /dev/zero | tail | wc -c; sleep 1; exit 3')
resources: {memory: 16Mi, memory_swap: 16Mi, pids_limit: 20, cpu: 0.5}"
        native start "$D.s.1"
        run native stats "$D.s.1"
        assert_match "limit=16777216 .*pids_limit=20 cpu_limit=0.50"
        run native wait "$D.s.1"
        assert_match "^$D.s.1 exited [0-9]+ [0-9]+ 1 "
        native rm "$D.s.1"
}

@test "exec, pause, inspect" {
        import_bb
        create "$(sh_service 'sleep 60')"
        # before the start there is all but the first command
        run native exec "$D.s.1" sh -c 'echo before >/made; hostname'
        assert_status 0
        assert_output s-rep-1
        native start "$D.s.1"
        run native exec "$D.s.1" cat /made
        assert_output before
        run native exec "$D.s.1" sh -c 'echo inside; hostname; exit 9'
        assert_status 9
        assert_output $'inside\ns-rep-1'
        run native exec "$D.s.1" /no/such/thing
        assert_status 1
        assert_match "^no_command: "
        native pause "$D.s.1"
        run native state "$D.s.1"
        assert_match "^$D.s.1 paused "
        native resume "$D.s.1"
        run native inspect "$D.s.1"
        assert_equal "$(jq -r '.state, .process.args[0], .spec.image.name, .generation' <<<"$output" | tr '\n' ' ')" \
                "running sh docker.io/library/bb:latest 1 "
        native rm "$D.s.1" force
}

@test "missing command is 127, not executable is 126" {
        import_bb
        create 'command: {entrypoint: [/no/such/thing]}'
        run native start "$D.s.1"
        assert_status 1
        assert_match "^no_command: "
        run native state "$D.s.1"
        assert_match "^$D.s.1 exited 127 "
        native rm "$D.s.1"
        create 'command: {entrypoint: [/etc/hostname]}'
        run native start "$D.s.1"
        assert_status 1
        assert_match "^not_runnable: "
        run native state "$D.s.1"
        assert_match "^$D.s.1 exited 126 "
        native rm "$D.s.1"
}

@test "a create that fails leaves nothing, and says what is wrong" {
        import_bb
        while IFS='|' read -r lines code pattern; do
                run create "$(printf '%b' "$lines")"
                assert_status 1
                assert_match "^$code: .*$pattern"
                assert_equal "$(ls -A "$ZLAYER_ROOT_DIR/containers" "$ZLAYER_RUNTIME_DIR/containers" | grep -c "$D")" 0
                [ ! -e "$ZLAYER_ROOT_DIR/images/holds/$D.s.1" ]
                [ ! -e "$ZLAYER_ROOT_DIR/volumes/_anon/$D.s.1" ]
        done <<'END'
storage: [{type: bind, source: /no/such/dir, target: /x}]|not_found|/no/such/dir
storage: [{type: s3, bucket: b, target: /x}]|unsupported|s3
storage: [{type: anonymous, target: /a}, {type: bind, source: /tmp, target: rel}]|invalid|storage.1.
capabilities: [NO_SUCH]|invalid|NO_SUCH
devices: [{path: /dev/no-such}]|not_found|/dev/no-such
user: no-such-user|.*|no-such-user
extra_groups: [no-such-group]|invalid|no-such-group
sysctls: {kernel.panic: "1"}|invalid|kernel.panic
network_mode: "container:nobody"|not_found|nobody
userns_mode: auto|unsupported|userns_mode
security_opt: ["seccomp=/no/such/profile"]|not_found|/no/such/profile
END
        make_spec 'command: {}'
        sed -i 's/name: bb/name: no-such-image/' "$ZL_DIR/spec.yaml"
        run native create "$D.s.1" "$ZL_DIR/spec.yaml"
        assert_status 1
        assert_match "^not_found: .*no-such-image"
}

@test "wishes that cannot be honoured yet are named" {
        import_bb
        run create "$(sh_service true)
network_mode: none
port_mappings: [{container_port: 80, host_port: 8080}]"
        assert_status 0
        assert_match "warning: port_mappings"
        native rm "$D.s.1"
}

@test "sharing the network of another container, and the host's" {
        import_bb
        create "$(sh_service 'sleep 60')"
        native start "$D.s.1"
        a=$(native exec "$D.s.1" readlink /proc/self/ns/net)
        make_spec "$(sh_service 'readlink /proc/self/ns/net')
network_mode: container:s"
        native create "$D.s.2" "$ZL_DIR/spec.yaml"
        native start "$D.s.2"
        native wait "$D.s.2"
        assert_equal "$(native logs "$D.s.2")" "1 $a"
        make_spec "$(sh_service 'readlink /proc/self/ns/net')
network_mode: host"
        native create "$D.s.3" "$ZL_DIR/spec.yaml"
        native start "$D.s.3"
        native wait "$D.s.3"
        assert_equal "$(native logs "$D.s.3")" "1 $(readlink /proc/self/ns/net)"
        remove_all
}

@test "the monitor is killed: the container ends with it, the end is on record, nothing is left" {
        import_bb
        create "$(sh_service 'sleep 60')"
        native start "$D.s.1"
        pid=$(native inspect "$D.s.1" | jq .pid)
        kill -KILL "$(cut -d' ' -f4 "/proc/$pid/stat")"
        run native wait "$D.s.1"
        assert_match "^$D.s.1 failed -1 0 0 1 the monitor died"
        within 5 tail --pid="$pid" -s 0.05 -f /dev/null
        [ ! -d "$(cgroup_dir memory "zlayer/$D.s.1")" ]
        native start "$D.s.1" # and it can be started again
        run native state "$D.s.1"
        assert_match "^$D.s.1 running -1 0 0 2 "
        native rm "$D.s.1" force
}

@test "recover: an earlier boot is told and can be removed, wrecks are taken away" {
        import_bb
        create "$(sh_service 'exit 0')"
        native rm "$D.s.1" force
        create "$(sh_service 'sleep 60')"
        native start "$D.s.1"
        pid=$(native inspect "$D.s.1" | jq .pid)
        kill -KILL "$(cut -d' ' -f4 "/proc/$pid/stat")"
        within 5 tail --pid="$pid" -s 0.05 -f /dev/null
        echo '{"generation":1,"boot_id":"00000000-0000-0000-0000-000000000000"}' \
                >"$ZLAYER_ROOT_DIR/containers/$D.s.1/status.json"
        rm -rf "$ZLAYER_RUNTIME_DIR"/containers/*
        mkdir -p "$ZLAYER_ROOT_DIR/containers/$D.s.2/upper" "$ZLAYER_ROOT_DIR/volumes/_anon/$D.s.2/0" \
                "$ZLAYER_RUNTIME_DIR/containers/$D.s.9" "$ZLAYER_ROOT_DIR/containers/.trash-0123"
        native recover
        run native list
        assert_output "$D.s.1 failed -1 0 0 1 the machine was restarted"
        [ ! -e "$ZLAYER_ROOT_DIR/containers/$D.s.2" ]
        [ ! -e "$ZLAYER_ROOT_DIR/volumes/_anon/$D.s.2" ]
        [ ! -e "$ZLAYER_RUNTIME_DIR/containers/$D.s.9" ]
        [ ! -e "$ZLAYER_ROOT_DIR/containers/.trash-0123" ]
        native rm "$D.s.1"
        [ ! -d "$(cgroup_dir memory "zlayer/$D.s.1")" ]
}

@test "recover leaves alone what runs" {
        import_bb
        create "$(sh_service 'sleep 60')"
        native start "$D.s.1"
        pid=$(native inspect "$D.s.1" | jq .pid)
        rm "$ZLAYER_ROOT_DIR/images/holds/$D.s.1" # as a power cut may leave it
        native recover
        assert_equal "$(native inspect "$D.s.1" | jq .pid)" "$pid"
        [ -s "$ZLAYER_ROOT_DIR/images/holds/$D.s.1" ]
        native rm "$D.s.1" force
}

# A workload with a named and an anonymous volume that writes into both.
create_keeper() {
        printf '%s\n' "$(sh_service 'echo x >>/named/f; echo x >>/anon/f; wc -l </named/f; wc -l </anon/f; cat /etc/hostname; pwd')" \
                'storage: [{type: named, name: kept, target: /named}, {type: anonymous, target: /anon}]' >"$ZL_DIR/keeper"
        create "$(cat "$ZL_DIR/keeper")" "$1"
}
# It is whole under its name and under no other: started once more, it finds what it wrote before.
check_keeper() { # NAME RUNS
        native start "$1"
        native wait "$1" >"$ZL_DIR/end"
        assert_match "^$1 exited 0 " "$(cat "$ZL_DIR/end")"
        assert_equal "$(native logs "$1" | tail -n 4 | cut -c3- | head -n 2 | xargs)" "$2 $2"
        assert_equal "$(ls "$ZLAYER_ROOT_DIR/images/holds" "$ZLAYER_ROOT_DIR/volumes/_anon" "$ZLAYER_ROOT_DIR/volumes/$D.kept/users" |
                grep -c "^$D")" 3
        assert_equal "$(ls "$ZLAYER_ROOT_DIR/images/holds")" "$1"
        run native inspect "$1"
        assert_no_match "$D\.s\.[0-9]*[^0-9].*" "${output//$1/}"
}

@test "rename: files, volumes, log and end go along; one that runs is refused; the old name is free" {
        import_bb
        create_keeper 1
        native rename "$D.s.1" "$D.s.2" # not started yet
        check_keeper "$D.s.2" 1
        native rename "$D.s.2" "$D.s.3" # ended
        check_keeper "$D.s.3" 2
        create "$(sh_service 'exec sleep 60')" 2
        native start "$D.s.2"
        run native rename "$D.s.2" "$D.s.4"
        assert_status 1
        assert_match "^wrong_state: cannot rename $D.s.2: it is running"
        run native rename "$D.s.3" "$D.s.2"
        assert_match "^exists: "
        native rm "$D.s.2" force
        native rm "$D.s.3"
        assert_equal "$(ls -A "$ZLAYER_ROOT_DIR/containers" "$ZLAYER_RUNTIME_DIR/containers" "$ZLAYER_ROOT_DIR/volumes/_anon" | grep -c "$D")" 0
}

@test "a rename that is killed at any instant is finished, or has not begun" {
        import_bb
        create_keeper 1
        check_keeper "$D.s.1" 1
        # Just after the instant at which the name changes; a start finishes it, too.
        mv "$ZLAYER_ROOT_DIR/containers/$D.s.1" "$ZLAYER_ROOT_DIR/containers/$D.s.2"
        check_keeper "$D.s.2" 2
        local name=$D.s.2 n
        for n in {3..22}; do
                background "$ZL_BUILD/test/system/native-driver" rename "$name" "$D.s.$n"
                sleep "0.0$(printf %03d $((RANDOM % 250)))"
                kill -KILL "$ZL_BG" 2>/dev/null || :
                wait "$ZL_BG" || :
                native recover
                assert_equal "$(native list | wc -l)" 1
                name=$(native list | cut -d' ' -f1)
                check_keeper "$name" "$n"
        done
        native rm "$name"
}

@test "a create that is killed at any instant leaves a whole container or nothing" {
        import_bb
        make_spec "$(sh_service 'sleep 60')"
        for n in {1..20}; do
                background "$ZL_BUILD/test/system/native-driver" create "$D.s.$n" "$ZL_DIR/spec.yaml"
                sleep "0.0$((RANDOM % 30))"
                kill -KILL "$ZL_BG" 2>/dev/null || :
                wait "$ZL_BG" || :
        done
        # A monitor whose creator died gives up by itself, in its own time.
        settled() { native recover && ! native list | grep -E 'failed|initializing'; }
        wait_until 5 settled
        run native list
        while read -r name state _; do
                [ -n "$name" ] || continue
                assert_equal "$state" pending
                native start "$name"
                native rm "$name" force
        done <<<"$output"
        assert_equal "$(ls -A "$ZLAYER_ROOT_DIR/containers" "$ZLAYER_RUNTIME_DIR/containers" \
                "$ZLAYER_ROOT_DIR/images/holds" | grep -c "$D")" 0
}
