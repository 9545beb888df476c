#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Bad input and faults: a clear error, the true exit code, nothing lost, and (the leak check) nothing left.
load lib

setup() {
        zl_setup
        import_busybox bb >/dev/null
}

state_of() { # NAME: its state, or nothing
        zl --json ps -a | jq -r --arg name "$1" '.[] | select(.name == $name) | .state'
}
is_state() { [ "$(state_of "$1")" = "$2" ]; }
pid_of() { zl --json ps -a | jq -r --arg name "$1" '.[] | select(.name == $name) | .pid'; }
monitor_of() { # NAME: the pid of its monitor, the parent of its first process
        awk '{ print $4 }' "/proc/$(pid_of "$1")/stat"
}

@test "an image that is not there" {
        start_registry
        run -125 zl run --rm "$REGISTRY/no/such:1" true
        assert_match "$REGISTRY/no/such:1"
        stop_registry
        assert_equal "$(zl --json ps -a | jq length)" 0
}

@test "a registry that is not there" {
        run -125 zl run --rm 127.0.0.1:1/some/image:1 true
        assert_match '127.0.0.1:1'
        run -125 zl run --rm --pull never nothere true
        assert_match 'nothere'
}

@test "exit codes are true: 0, 1, 42, and 128 + signal" {
        run -0 zl run --rm bb true
        run -1 zl run --rm bb false
        run -42 zl run --rm bb sh -c 'exit 42'
        # (The first process of a pid namespace cannot kill itself, hence --init.)
        run -137 zl run --rm --init bb sh -c 'kill -KILL $$'
        run -143 zl run --rm --init bb sh -c 'kill -TERM $$'
}

@test "a command that does not exist is 127, one that cannot be executed 126" {
        run -127 zl run --rm bb /no/such/command
        assert_match '/no/such/command'
        run -127 zl run --rm bb nosuchcommand
        run -126 zl run --rm bb /etc/passwd
        assert_match '/etc/passwd'
        run -126 zl run --rm bb /etc
}

@test "a user that does not exist" {
        run -125 zl run --rm -u nosuchuser bb true
        assert_match 'nosuchuser'
}

@test "a bind source that does not exist" {
        run -125 zl run --rm -v /no/such/dir:/x:ro bb true
        assert_match '/no/such/dir'
}

@test "two containers of one name: the second is refused, the first lives" {
        run -0 zl run -d --name twin bb sleep 100
        run -125 zl run -d --name twin bb sleep 100
        assert_match 'twin'
        is_state run.twin.1 running
        run -0 zl rm -f twin
}

@test "the disk is full while an image is unpacked" {
        mkdir small
        mount -t tmpfs -o size=1m small small
        local layout
        layout=$(busybox_layout)
        run zl --root-dir "$ZL_DIR/small/root" image import "$layout" bb
        [ "$status" -ne 0 ]
        assert_match 'No space left'
        run -0 zl --root-dir "$ZL_DIR/small/root" --json image ls
        assert_equal "$(jq length <<<"$output")" 0
        [ "$(du -sk small | cut -f1)" -lt 200 ]
        umount small
}

@test "output is complete, to the last byte before the end" {
        run -0 zl run --name talk bb sh -c 'i=0; while [ $i -lt 2000 ]; do echo "line $i"; i=$((i+1)); done; printf end'
        assert_match 'line 1999'
        zl logs talk >all
        [ "$(wc -l <all)" -ge 2000 ]
        assert_equal "$(tail -n 1 all | tr -d '\n')" end
        run -0 zl rm talk
}

@test "out of memory is told, with signal 9 and exit code 137" {
        run zl run --name hungry -m 16Mi bb sh -c 'x=a; while :; do x=$x$x; done'
        assert_status 137
        run -0 zl --json ps -a
        assert_equal "$(jq -c '.[0] | [.exit_code, .signal, .oom]' <<<"$output")" '[137,9,true]'
        run -0 zl rm hungry
}

@test "the agent is killed: its containers live, the next one takes them over" {
        cat >app.yaml <<'END'
version: v1
deployment: killed
services:
  web:
    image: {name: bb, pull_policy: never}
    command: {entrypoint: [sh, -c], args: ["trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"]}
    scale: {mode: fixed, replicas: 2}
    stop_grace_period: 3s
END
        background "$ZL_AGENT" up app.yaml
        wait_until 15 is_state killed.web.2 running
        wait_until 15 is_state killed.web.1 running
        local first
        first=$(pid_of killed.web.1)
        kill -KILL "$ZL_BG"
        sleep 0.3
        kill -0 "$first"
        background "$ZL_AGENT" up app.yaml
        wait_until 15 grep -q 'is up' "$ZL_BG_LOG"
        sleep 1
        assert_equal "$(pid_of killed.web.1)" "$first"
        assert_equal "$(zl --json ps | jq '[.[] | select(.restarts > 0)] | length')" 0
        kill -INT "$ZL_BG"
        wait_until 15 sh -c "! kill -0 $ZL_BG"
        [ ! -d "/proc/$first" ]
}

@test "a container that ends while no agent lives keeps its exit code" {
        run -0 zl run -d --name alone bb sh -c 'sleep 0.5; exit 7'
        wait_until 10 is_state run.alone.1 exited
        run -7 zl wait alone
        assert_output 7
        run -0 zl rm alone
}

@test "the monitor is killed: the container ends with it and the record says so" {
        run -0 zl run -d --name orphan bb sleep 1000
        local pid monitor
        pid=$(pid_of run.orphan.1)
        monitor=$(monitor_of run.orphan.1)
        [ "$(tr '\0' ' ' <"/proc/$monitor/cmdline" | grep -c zlayer-monitor)" = 1 ]
        kill -KILL "$monitor"
        wait_until 5 sh -c "! kill -0 $pid"
        run -0 zl --json ps -a
        assert_match 'monitor'
        [ "$(state_of run.orphan.1)" != running ]
        run -0 zl rm -f orphan
}

@test "the first process is killed from outside: the code is 137" {
        run -0 zl run -d --name victim bb sleep 1000
        kill -KILL "$(pid_of run.victim.1)"
        run -137 zl wait victim
        assert_output 137
        run -0 zl rm victim
}

@test "TERM for run in the foreground ends the container and is its exit code" {
        background "$ZL_AGENT" run --rm --name fore bb sh -c 'trap "exit 5" TERM; echo ready; while :; do sleep 1 & wait $!; done'
        wait_until 10 is_state run.fore.1 running
        wait_until 10 grep -q ready "$ZL_BG_LOG"
        kill -TERM "$ZL_BG"
        local status=0
        wait "$ZL_BG" || status=$?
        assert_equal "$status" 5
        assert_equal "$(state_of run.fore.1)" ""
}

@test "exec runs inside: its namespaces, its root, its exit code, its errors" {
        run -0 zl run -d --name inside --hostname boxed bb sleep 1000
        run -0 zl exec inside hostname
        assert_output boxed
        run -0 zl exec inside sh -c 'readlink /proc/1/exe; ps | wc -l'
        assert_match '^/bin/busybox'
        [ "${lines[1]}" -lt 8 ]
        run -42 zl exec inside sh -c 'exit 42'
        run -127 zl exec inside nosuchcommand
        run -126 zl exec inside /etc/passwd
        assert_equal "$(echo through | zl exec -i inside cat)" through
        run -0 zl rm -f inside
        run zl exec inside true
        assert_status 1 || assert_status 125
}

@test "stale state of an earlier boot is no running container" {
        run -0 zl run -d --name stale bb sleep 1000
        kill -KILL "$(monitor_of run.stale.1)"
        rm -rf "$ZLAYER_RUNTIME_DIR"
        run -0 zl --json ps -a
        [ "$(jq -r '.[0].state' <<<"$output")" != running ]
        run -0 zl rm -f stale
        assert_equal "$(zl --json ps -a | jq length)" 0
}

@test "a cgroup controller that is missing is named if a limit needs it, and ignored otherwise" {
        [ -d /sys/fs/cgroup/pids ] || skip "expected: no controller can be taken away from cgroup v2 like this"
        without() { # CONTROLLER ARGUMENTS...
                unshare -m sh -c 'mount -t tmpfs none "/sys/fs/cgroup/$1" && shift && exec "$@"' - "$1" "$ZL_AGENT" run --rm "${@:2}"
        }
        run -125 without pids --pids-limit 5 bb true
        assert_match 'the cgroup controller "pids" is missing on this machine, but a limit needs it'
        run -125 without memory -m 64Mi bb true
        assert_match 'the cgroup controller "memory" is missing'
        run -0 without pids bb echo fine
        assert_output fine
        assert_equal "$(zl --json ps -a | jq length)" 0
}

@test "TERM for up while it pulls ends it soon" {
        background "$ZL_SOURCE/test/fake-registry" --hang "$(debian_layout)" "$ZL_DIR/port"
        wait_until 10 test -s "$ZL_DIR/port"
        cat >app.yaml <<-END
		version: v1
		deployment: app-$ZL_ID
		services:
		  web: {image: {name: "127.0.0.1:$(cat "$ZL_DIR/port")/app"}, scale: {mode: fixed, replicas: 2}}
		END
        background "$ZL_AGENT" up app.yaml
        wait_until 10 sh -c "ls $ZLAYER_ROOT_DIR/images/tmp | grep -q ."
        both_pull() { [ "$(zl --json ps | jq -c 'map([.state, .reason])')" = '[["pending","pulling"],["pending","pulling"]]' ]; }
        wait_until 10 both_pull || fail "$(zl --json ps)"
        kill -TERM "$ZL_BG"
        wait_until 5 sh -c "! kill -0 $ZL_BG"
        zl down --all || :
        assert_equal "$(zl --json ps -a)" '[]'
        assert_equal "$(ls "$ZLAYER_ROOT_DIR/images/tmp")" ''
}
