# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bats
# Spares: a daemon keeps one container with the engine ready, which becomes the next WebAssembly workload of the same shape.
load lib
load daemon

setup_file() {
        [ -x "$ZL_BUILD/zlayer-wasm" ] || return 0
        export GUEST=$BATS_FILE_TMPDIR/world.wasm
        clang --target=wasm32-wasi --sysroot=/usr -O1 -o "$GUEST" "$ZL_SOURCE/test/wasm/world.c"
}
setup() {
        zl_setup
        skip_unless "built without WebAssembly" test -x "$ZL_BUILD/zlayer-wasm"
        skip_unless "containers need root" is_root
        # Beside the state: a module is linked from the cache into it.
        unset ZLAYER_WASM_CACHE_DIR
        zl image import "$GUEST" guest >/dev/null
}
teardown() {
        zl down --all >/dev/null 2>&1
        [ -z "${DAEMON-}" ] || has_ended "$DAEMON" || stop_daemon
        zl_teardown
}

# Runs a workload by the daemon and prints what it writes; its exit code is left in CODE.
work() { # NAME JSON-OF-SERVICE
        create "$1" "$2" >/dev/null
        CODE=$(get "/v1/containers/$1/wait" | jq .exit_code)
        zl logs "run.$1.1" 2>&1
}
create() { post /v1/containers "{\"name\": \"$1\", \"service\": $2}"; } # NAME JSON-OF-SERVICE
service() { # ARGUMENTS-AS-JSON [MORE]
        printf '{"image": {"name": "guest", "pull_policy": "never"}, "command": {"args": %s}%s}' "$1" "${2:+, $2}"
}
# The directory of the spare that waits; fails if there is none.
spare() { compgen -G "$ZLAYER_ROOT_DIR/containers/.spare-*"; }
# It waits: its process has taken the engine's place in memory and listens, and the daemon knows of it.
ready() { spare >/dev/null && [ -n "$(spare_pid)" ] && is_at_rest; }
spare_pid() {
        local monitor
        monitor=$(head -n 1 "$ZLAYER_RUNTIME_DIR"/containers/.spare-*/monitor.pid 2>/dev/null | tr -d '\0')
        [ -z "$monitor" ] || pgrep -P "$monitor" -f 'zlayer-wasm spare'
}
# Was a workload made of a spare? Its group still bears the spare's name.
made_of_spare() { jq -e '.linux.cgroupsPath | test("/spare-")' "$ZLAYER_ROOT_DIR/containers/run.$1.1/config.json" >/dev/null; }

monitor_of() { head -n 1 "$ZLAYER_RUNTIME_DIR/containers/run.$1.1/monitor.pid" | tr -d '\0'; }
# Mount namespaces that a process has open.
held_by() { find "/proc/$1/fd" -lname 'mnt:*' -printf '%l\n'; }

@test "spare: the next workload of the same shape is made of it, with words, variables, exit code and log of its own" {
        start_daemon
        run ! spare
        work a "$(service '["exit", "3"]')"
        assert_equal "$CODE" 3
        run ! made_of_spare a
        wait_until 20 ready
        run work b "$(service '["world", "two words"]' '"env": {"COLOUR": "blue"}, "labels": {"a": "b"}')"
        assert_output $'arg world\narg two words\nenv COLOUR=blue'
        made_of_spare b
        # Standard input is empty, as elsewhere; a trap is told as elsewhere.
        wait_until 20 ready
        run work c "$(service '["cat"]')"
        assert_output ""
        made_of_spare c
        wait_until 20 ready
        work d "$(service '["trap"]')" >trap
        assert_equal "$CODE" 134
        grep -q 'wasm backtrace' trap
        made_of_spare d
        assert_equal "$(zl ps -a --json | jq -r '.[] | select(.name == "run.d.1").reason')" "wasm trap: wasm \`unreachable\` instruction executed"
        # It can be started again, and is the same then.
        post /v1/containers/b/start
        zl wait run.b.1
        assert_equal "$(zl logs run.b.1 | grep -c 'arg two words')" 2
        assert_equal "$(zl ps -a --json | jq -r '[.[].name] | sort | join(" ")')" "run.a.1 run.b.1 run.c.1 run.d.1"
}

@test "spare: it is confined as any instance, and the module in it cannot be written" {
        start_daemon
        work a "$(service '["exit", "0"]')"
        wait_until 20 ready
        local first second
        second=$(create s "$(service '["sleep", "60"]')" | jq .pid)
        made_of_spare s
        # One of another shape, which is made the usual way.
        first=$(create u "$(service '["sleep", "60"]' '"labels": {"run.oci.other": "shape"}')" | jq .pid)
        run ! made_of_spare u
        diff <(grep -E '^(Cap|Seccomp|NoNewPrivs|Uid|Gid)' "/proc/$first/status") <(grep -E '^(Cap|Seccomp|NoNewPrivs|Uid|Gid)' "/proc/$second/status")
        local ns
        for ns in mnt pid net ipc uts; do
                [ "$(readlink "/proc/$first/ns/$ns")" != "$(readlink "/proc/$second/ns/$ns")" ]
                [ "$(readlink "/proc/$second/ns/$ns")" != "$(readlink "/proc/self/ns/$ns")" ]
        done
        awk '$5 == "/.zlayer-code" { print $6 }' "/proc/$second/mountinfo" | grep -q '^ro,'
        # The same mounts, but for the one that holds the module.
        diff <(awk '{ print $5 }' "/proc/$first/mountinfo" | sed s/-module/-code/ | sort) <(awk '{ print $5 }' "/proc/$second/mountinfo" | sort)
        assert_equal "$(zl exec run.s.1 world x)" $'arg world\narg x'
        assert_equal "$(zl stats --json --no-stream run.s.1 | jq '.[0].memory_bytes > 0')" true
        zl stop run.s.1
        assert_equal "$(zl ps -a --json | jq '.[] | select(.name == "run.s.1").exit_code')" 143
}

@test "spare: limits are part of the shape" {
        start_daemon
        work a "$(service '["exit", "0"]' '"wasm": {"max_memory": "16Mi"}, "resources": {"memory": "256Mi"}')"
        wait_until 20 ready
        work b "$(service '["eat"]' '"wasm": {"max_memory": "16Mi"}, "resources": {"memory": "256Mi"}')" >/dev/null
        made_of_spare b
        assert_equal "$CODE" 134
        assert_equal "$(zl ps -a --json | jq '.[] | select(.name == "run.b.1").oom')" true
        wait_until 20 ready
        work c "$(service '["exit", "5"]')"
        run ! made_of_spare c
        assert_equal "$CODE" 5
        # And the spare is of the new shape then.
        wait_until 20 ready
        work d "$(service '["exit", "6"]')"
        made_of_spare d
        assert_equal "$CODE" 6
}

@test "spare: with the daemon it ends: when it is told to, and when it is killed; nothing of it is left" {
        start_daemon
        work a "$(service '["exit", "0"]')"
        wait_until 20 ready
        stop_daemon
        run ! spare
        start_daemon
        work b "$(service '["exit", "0"]')"
        wait_until 20 ready
        local pid
        pid=$(spare_pid)
        kill -KILL "$DAEMON"
        wait_until 10 eval "! kill -0 $pid 2>/dev/null"
        start_daemon
        wait_until 10 eval '! spare'
        # Nobody sees one: neither lists nor events.
        work c "$(service '["exit", "0"]')"
        wait_until 20 ready
        assert_equal "$(zl ps -a --json | jq -r '[.[].name] | sort | join(" ")')" "run.a.1 run.b.1 run.c.1"
        # A container that asks for the same takes none and harms none.
        local before
        before=$(spare)
        import_busybox >/dev/null
        create box '{"image": {"name": "bb", "pull_policy": "never"}, "command": {"entrypoint": ["true"]}}' >/dev/null
        assert_equal "$(get /v1/containers/box/wait | jq .exit_code)" 0
        assert_equal "$(spare)" "$before"
        work d "$(service '["exit", "4"]')"
        made_of_spare d
}

@test "spare: one whose process was killed is not taken; where none may be there is none" {
        start_daemon
        work a "$(service '["exit", "0"]')"
        wait_until 20 ready
        kill -KILL "$(spare_pid)"
        wait_until 10 eval '[ -z "$(spare_pid)" ]'
        sleep 0.5
        work b "$(service '["exit", "7"]')"
        assert_equal "$CODE" 7
        run ! made_of_spare b
        stop_daemon
        ZLAYER_WASM_SPARE=false start_daemon
        work c "$(service '["exit", "8"]')"
        sleep 0.5
        run ! spare
        stop_daemon
        export ZLAYER_WASM_SPARE=maybe
        run ! zl serve
        assert_match 'ZLAYER_WASM_SPARE is "maybe"'
        unset ZLAYER_WASM_SPARE
        # A cache on another file system cannot be linked from.
        mkdir elsewhere
        mount -t tmpfs -o mode=700 none elsewhere
        ZLAYER_WASM_CACHE_DIR=$PWD/elsewhere start_daemon
        work d "$(service '["exit", "9"]')"
        assert_equal "$CODE" 9
        sleep 1
        run ! spare
        stop_daemon
        umount elsewhere
}

# Waiting for the mount namespace to be taken apart is left to the monitor, which has told by then; a container's writable layer must
# be free when its end is told, so there nothing is held.
@test "spare: its mounts are held by its monitor until the end is told, and by nobody after" {
        import_busybox bb
        start_daemon
        work a "$(service '["exit", "0"]')"
        wait_until 20 ready
        create b "$(service '["sleep", "600"]')" >/dev/null
        made_of_spare b
        create c '{"image": {"name": "bb"}, "command": {"entrypoint": ["sleep", "600"]}}' >/dev/null
        local wasm container
        wasm=$(monitor_of b)
        container=$(monitor_of c)
        assert_equal "$(held_by "$wasm")" "$(readlink "/proc/$(zl inspect run.b.1 | jq '.. | .pid? // empty' | head -n 1)/ns/mnt")"
        assert_equal "$(held_by "$container")" ""
        zl kill run.b.1
        wait_until 10 has_ended "$wasm"
        assert_equal "$(jq .signal "$ZLAYER_ROOT_DIR/containers/run.b.1/exit.json")" 9
}
