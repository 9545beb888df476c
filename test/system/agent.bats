# SPDX-License-Identifier: Apache-2.0
# The agent as a user sees it: up, down, run and what looks at containers.
# shellcheck disable=SC2016 # $ in specs and in `sh -c` texts is for the container
load lib

setup() {
        zl_setup
        export -f zl # for `bash -c` with pipes
        import_busybox bb
}

# A service that counts, obeys TERM, and has as many replicas as asked for.
write_spec() { # [REPLICAS]
        cat >app.yaml <<-END
		version: v1
		deployment: app-$ZL_ID
		services:
		  web:
		    image: {name: bb}
		    scale: {mode: fixed, replicas: ${1:-2}}
		    env: {GREETING: hello}
		    command:
		      entrypoint: [sh, -c]
		      args: ['trap "exit 0" TERM; echo "\$GREETING from \$\$"; while :; do sleep 1 & wait \$!; done']
		END
        APP=app-$ZL_ID
}
pids() { zl ps --json | jq -r '[.[] | select(.state == "running") | .pid] | sort | @csv'; }
states() { zl ps -a --json | jq -r '[.[] | "\(.name)=\(.state)"] | sort | join(" ")'; }
is_running() { [ "$(zl ps --json | jq -r --arg n "$1" '.[] | select(.name == $n) | .state')" = running ]; }
has_restarts() { [ "$(zl ps -a --json | jq -r --arg n "$1" '.[] | select(.name == $n) | .restarts')" -ge "$2" ]; }

# --- run ------------------------------------------------------------------------------------------------

@test "run: output and exit codes are the workload's own" {
        run -0 --separate-stderr zl run --rm bb sh -c 'echo out; echo err >&2'
        assert_output out
        [ "$stderr" = err ]
        run -0 zl run --rm bb true
        run -1 zl run --rm bb false
        run -42 zl run --rm bb sh -c 'exit 42'
        run -137 zl run --rm --init bb sh -c 'kill -9 $$'
        run -143 zl run --rm --init bb sh -c 'kill -TERM $$'
        [ "$(zl ps -a --json)" = '[]' ]
}

@test "run: what cannot be started is 127, 126 or 125 and leaves nothing" {
        run -127 zl run bb no-such-command
        assert_match no-such-command
        run -126 zl run bb /etc/passwd
        run -125 zl run -u nobody-here bb true
        assert_match 'nobody-here'
        run -125 zl run -v "$ZL_DIR/nothing:/x" bb true
        assert_match nothing
        run -125 zl run --pull never no-such-image true
        assert_match no-such-image
        run -2 zl run --memory much bb true
        run -2 zl run
        [ "$(zl ps -a --json)" = '[]' ]
}

@test "run: a registry that is down is named" {
        run -125 zl run 127.0.0.1:1/x:1 true
        assert_match '127.0.0.1:1'
}

@test "run: standard input goes in, and its end too" {
        run -0 bash -c 'seq 1 20000 | zl run --rm -i bb sh -c "cat; echo end" | md5sum'
        expected=$( (seq 1 20000; echo end) | md5sum)
        assert_output "$expected"
        # without -i there is nothing to read
        run -0 zl run --rm bb cat
        assert_output ''
}

@test "run: large output arrives whole" {
        run -0 bash -c 'zl run --rm bb seq 1 200000 | md5sum'
        assert_output "$(seq 1 200000 | md5sum)"
}

@test "run: environment, directory, user, limits" {
        run -0 env HERE=there "$ZL_AGENT" run --rm -e A=1 -e HERE -e 'B=$E:HOME' -w /tmp -u app bb \
                sh -c 'echo $A $HERE $B $PWD $(id -un)'
        assert_output '1 there $E:HOME /tmp app'
        run -0 zl run --rm --hostname box bb hostname
        assert_output box
        run -1 zl run --rm --read-only bb touch /x
        run -0 zl run --rm --ulimit nofile=77:88 bb sh -c 'ulimit -n; ulimit -Hn'
        assert_output $'77\n88'
        run -0 zl run --rm --tmpfs /t:size=1M bb sh -c 'df -k /t | tail -1'
        assert_match '^tmpfs +(9[0-9]{2}|10[0-9]{2}) '
}

@test "run: two of one name, and a name that is used again" {
        zl run -d --name twice bb sleep 60
        run -125 zl run --name twice bb true
        assert_match 'run.twice.1.*exists'
        is_running run.twice.1
        zl rm -f twice
        run -0 zl run --rm --name twice bb true
}

@test "run: a signal is passed on, and --timeout stops" {
        background "$ZL_AGENT" run --name sig bb sh -c 'trap "echo got it; exit 7" TERM; echo ready; while :; do sleep 0.1; done'
        wait_until 10 grep -q ready "$ZL_BG_LOG"
        kill -TERM "$ZL_BG"
        code=0
        wait "$ZL_BG" || code=$?
        assert_equal $code 7
        grep -q 'got it' "$ZL_BG_LOG"
        run -143 zl run --rm --init --timeout 0.5 bb sleep 60
}

@test "what users of an image without etc find there does not hang on our umask" {
        mkdir -p tree/bin
        cp "$(command -v busybox)" tree/bin/busybox
        tar -C tree -cf tree.tar .
        zl image import tree.tar bare >/dev/null
        umask 077
        run -0 zl run --rm --user 1000:1000 bare busybox cat /etc/hostname
        run -0 zl run --rm bare busybox stat -c %a /etc /proc /dev
        assert_equal "$output" $'755\n555\n755'
        run -0 zl run -d --name b bare busybox sleep 1000
        assert_equal "$(find "$ZLAYER_ROOT_DIR/containers/run.b.1/upper" -mindepth 1)" ""
        zl rm -f b
}

@test "run -t: a terminal of its own" {
        has_program script || skip "script is missing"
        run -0 script -qec "$ZL_AGENT run --rm -it bb sh -c 'tty; stty size'" /dev/null
        assert_match /dev/pts/
}

# --- one container -----------------------------------------------------------------------------------------

@test "exec: codes, input, environment, user" {
        zl run -d --name box -e A=1 bb sleep 60
        run -0 zl exec box sh -c 'echo $A'
        assert_output 1
        run -9 zl exec box sh -c 'exit 9'
        run -127 zl exec box no-such-command
        run -126 zl exec box /etc/passwd
        run -0 bash -c 'seq 3 | zl exec -i box cat'
        assert_output $'1\n2\n3'
        run -0 zl exec -e B=2 -w /tmp -u app box sh -c 'echo $B $PWD $(id -un)'
        assert_output '2 /tmp app'
        run -125 zl exec nobody true
        assert_match 'nobody'
        zl rm -f box
}

@test "logs: streams, tail, since, times, follow" {
        zl run -d --name talk bb sh -c 'echo one; echo two >&2; sleep 0.5; echo three'
        run -0 zl logs -f talk
        assert_match one
        assert_match three
        run -0 zl logs --tail 1 talk
        assert_output three
        run -0 --separate-stderr zl logs talk
        assert_output $'one\nthree'
        [ "$stderr" = two ]
        run -0 zl logs -t --tail 1 talk
        assert_match '^20[0-9-]+T[0-9:.]+Z three$'
        run -0 zl logs --since 1h --no-stderr talk
        assert_output $'one\nthree'
        run -0 zl logs --since 2200-01-01T00:00:00Z talk
        assert_output ''
        run -0 --separate-stderr zl logs --tail all talk
        assert_output $'one\nthree'
        run -0 --separate-stderr zl logs --json talk
        assert_equal "$(jq -rs 'map("\(.name) \(.stream) \(.text) \(.partial)") | sort | .[]' <<<"$output")" \
                $'run.talk.1 stderr two false\nrun.talk.1 stdout one false\nrun.talk.1 stdout three false'
        [ "$stderr" = '' ]
        run -1 zl logs nobody
        run -2 zl logs --since yesterday talk
        run -2 zl logs --tail some talk
        zl rm talk
}

@test "wait, stop, kill, rm, ps" {
        zl run -d --name a bb sleep 60
        zl run -d --name b --init bb sleep 60
        run -0 zl ps --json
        [ "$(jq -r '.[0] | [.deployment, .service, .replica, .state, .health, .exit_code, .restarts] | @json' <<<"$output")" = \
                '["run","a",1,"running","none",null,0]' ]
        [ "$(jq -r '.[0].pid' <<<"$output")" -gt 1 ]
        run -1 zl rm a
        assert_match 'running'
        zl kill a
        run -137 zl wait a
        assert_output 137
        zl kill -s TERM b
        run -143 zl wait b
        run -0 zl ps -a --json
        [ "$(jq -c '[.[] | [.exit_code, .signal, .oom]]' <<<"$output")" = '[[137,9,false],[143,15,false]]' ]
        [ "$(zl ps --json)" = '[]' ]
        run -1 zl kill a
        zl rm a b
        [ "$(zl ps -a --json)" = '[]' ]
        run -1 zl rm a
        zl rm -f a
}

has_two_pids() { zl --json stats --no-stream "$1" | jq -e '.[0].pids >= 2' >/dev/null; }
is_throttled() { zl --json stats --no-stream "$1" | jq -e '.[0] | .cpu_throttled_usec > 0 and .cpu_limit == 0.2 and .cpu_percent > 0' >/dev/null; }

# The kernel tells, and there is a hierarchy of version 2.
readable_pressure() { cat /sys/fs/cgroup/cpu.pressure /sys/fs/cgroup/unified/cpu.pressure 2>/dev/null; }
is_under_pressure() {
        zl --json stats --no-stream "$1" | jq -e '.[0].pressure | .cpu.some.total_usec > 0 and .cpu.some.avg10 > 0 and .cpu.full.total_usec > 0
                and .memory.some.total_usec >= 0 and .io.full.avg300 >= 0' >/dev/null
}

@test "inspect, stats, top, info, version" {
        zl run -d --name box --cpus 0.2 bb sh -c 'sleep 61 & while :; do :; done'
        run -0 zl inspect box
        [ "$(jq -r '.[0].status.name' <<<"$output")" = run.box.1 ]
        wait_until 10 has_two_pids box
        run -0 zl --json stats --no-stream box
        [ "$(jq '.[0].memory_bytes' <<<"$output")" -gt 0 ]
        wait_until 10 is_throttled box
        # What is held back by its limit waits for a processor.
        if [ "$(readable_pressure)" ]; then
                wait_until 10 is_under_pressure box
        else
                assert_equal "$(zl --json stats --no-stream box | jq '.[0].pressure')" null
        fi
        run -0 zl top box # every process, not the first alone
        assert_match 'sleep 61'
        assert_match 'while :'
        run -0 zl info --json
        [ "$(jq -r '.runtimes[] | select(.kind == "native") | .available' <<<"$output")" = true ]
        run -0 zl version
        zl rm -f box
}

@test "volumes: kept, listed, in use" {
        zl run --rm -v data:/d bb sh -c 'echo kept >/d/f'
        run -0 zl run --rm -v data:/d:ro bb cat /d/f
        assert_output kept
        zl run -d --name user -v data:/d bb sleep 60
        run -1 zl volume rm data
        assert_match user
        zl rm -f user
        run -0 zl volume ls --json
        [ "$(jq -r '.[0].name' <<<"$output")" = data ]
        zl volume rm data
        [ "$(zl volume ls --json)" = '[]' ]
}

# --- wrong usage ----------------------------------------------------------------------------------------------

@test "wrong usage is exit code 2 with a hint" {
        run -2 zl
        run -2 zl nothing
        run -2 zl ps --nothing
        assert_match 'ps --help'
        run -2 zl pss
        assert_match 'did you mean "ps"'
        run -2 zl image pul
        assert_match 'unknown subcommand "pul": did you mean "pull"'
        run -2 zl run --detatch bb
        assert_match 'did you mean "--detach"'
        run -2 zl logs
        run -2 zl down
        run -2 zl --log-level loud ps
        run -0 zl --help
        for c in up down validate run ps logs exec attach cp stop kill rm inspect stats top wait events volume info; do
                run -0 zl "$c" --help
                assert_match "^Usage: zlayer-agent $c"
        done
}

# --- up and down -----------------------------------------------------------------------------------------------

@test "up -d, ps, logs, down" {
        write_spec 3
        run -0 zl up -d app.yaml
        run -0 zl ps --json
        [ "$(jq -c 'map(.state) | unique' <<<"$output")" = '["running"]' ]
        [ "$(jq length <<<"$output")" = 3 ]
        wait_until 5 bash -c "zl logs web | grep -c 'hello from 1' | grep -qx 3"
        run -1 zl up app.yaml
        assert_match "$APP is up already"
        run -0 zl exec web cat /etc/hostname
        run -0 zl down "$APP"
        [ "$(zl ps -a --json)" = '[]' ]
        run -1 zl down "$APP"
        assert_match "$APP"
}

@test "up in the foreground: log lines, TERM ends all, records stay until down" {
        write_spec 2
        background "$ZL_AGENT" up app.yaml
        wait_until 10 grep -q 'is up' "$ZL_BG_LOG"
        wait_until 5 grep -q 'web.2 | hello from 1' "$ZL_BG_LOG"
        kill -INT "$ZL_BG"
        wait "$ZL_BG"
        assert_equal "$(states)" "$APP.web.1=exited $APP.web.2=exited"
        run -0 zl down --all
        [ "$(zl ps -a --json)" = '[]' ]
}

@test "up: a second INT kills what ignores the first" {
        cat >app.yaml <<-END
		version: v1
		deployment: app-$ZL_ID
		services:
		  deaf:
		    image: {name: bb}
		    stop_grace_period: 60s
		    command: {entrypoint: [sh, -c], args: ['trap "" TERM INT; echo ready; while :; do sleep 1; done']}
		END
        background "$ZL_AGENT" up app.yaml
        wait_until 10 grep -q 'deaf.1 | ready' "$ZL_BG_LOG"
        kill -INT "$ZL_BG"
        wait_until 5 grep -q 'deaf.1 stopping' "$ZL_BG_LOG"
        kill -INT "$ZL_BG"
        wait_until 5 bash -c "! kill -0 $ZL_BG"
        run -0 zl ps -a --json
        [ "$(jq -c '[.[0].exit_code, .[0].signal]' <<<"$output")" = '[137,9]' ]
        zl down --all
}

@test "a killed replica is restarted and its true exit code told; a stopped one stays down" {
        write_spec 2
        zl up -d app.yaml
        kill -9 "$(zl ps --json | jq '.[0].pid')"
        wait_until 5 has_restarts "$APP.web.1" 1
        wait_until 5 is_running "$APP.web.1"
        run -0 zl events --json --no-stream
        [ "$(grep '"exited"' <<<"$output" | jq -c '[.name, .exit_code, .signal]')" = "[\"$APP.web.1\",137,9]" ]
        zl stop "$APP.web.2"
        zl kill "$APP.web.1"
        wait_until 10 states_are "$APP.web.1=exited $APP.web.2=exited"
        sleep 0.5
        assert_equal "$(states)" "$APP.web.1=exited $APP.web.2=exited"
        zl down "$APP" || true # its agent has ended with the last of them
        [ "$(zl ps -a --json)" = '[]' ]
}

states_are() { [ "$(states)" = "$1" ]; }

@test "SIGKILL of the agent: nothing is lost, the next up takes over the same processes" {
        write_spec 3
        background "$ZL_AGENT" up app.yaml
        wait_until 10 grep -q 'is up' "$ZL_BG_LOG"
        before=$(pids)
        kill -KILL "$ZL_BG"
        wait "$ZL_BG" || true
        assert_equal "$(pids)" "$before"
        kill -9 "$(zl ps --json | jq '.[2].pid')" # while nobody looks
        wait_until 5 bash -c "zl ps -a --json | jq -e '.[2].state == \"exited\"'"
        zl up -d app.yaml
        wait_until 5 is_running "$APP.web.3"
        [ "$(zl ps --json | jq -r '[.[0,1].pid] | @csv')" = "${before%,*}" ] ||
                [ "$(zl ps --json | jq '.[0,1].pid' | grep -cwE "${before//,/|}")" = 2 ]
        [ "$(zl ps --json | jq -c 'map(.restarts)')" = '[0,0,1]' ]
        zl down "$APP"
        [ "$(zl ps -a --json)" = '[]' ]
}

@test "down without an agent cleans up by itself" {
        write_spec 2
        background "$ZL_AGENT" up app.yaml
        wait_until 10 grep -q 'is up' "$ZL_BG_LOG"
        kill -KILL "$ZL_BG"
        wait "$ZL_BG" || true
        run -0 zl down "$APP"
        [ "$(zl ps -a --json)" = '[]' ]
}

@test "a changed file replaces what changed and nothing else" {
        cat >app.yaml <<-END
		version: v1
		deployment: app-$ZL_ID
		services:
		  same: {image: {name: bb}, command: {args: [sleep, '60']}, stop_grace_period: 100ms}
		  other: {image: {name: bb}, command: {args: [sleep, '60']}, stop_grace_period: 100ms}
		  gone: {image: {name: bb}, command: {args: [sleep, '60']}, stop_grace_period: 100ms}
		END
        background "$ZL_AGENT" up app.yaml
        wait_until 10 grep -q 'is up' "$ZL_BG_LOG"
        same=$(zl ps --json | jq '.[] | select(.service == "same") | .pid')
        other=$(zl ps --json | jq '.[] | select(.service == "other") | .pid')
        kill -KILL "$ZL_BG"
        wait "$ZL_BG" || true
        sed -i "/gone:/d; s/other: {/other: {env: {A: '1'}, /" app.yaml
        zl up -d app.yaml
        wait_until 5 bash -c "[ \$(zl ps -a --json | jq length) = 2 ]"
        assert_equal "$(zl ps --json | jq '.[] | select(.service == "same") | .pid')" "$same"
        [ "$(zl ps --json | jq '.[] | select(.service == "other") | .pid')" != "$other" ]
        zl down --all
}

@test "jobs: run once, in order, and their exit code is the one of up" {
        cat >app.yaml <<-END
		version: v1
		deployment: app-$ZL_ID
		services:
		  second: {rtype: job, image: {name: bb}, command: {args: [sh, -c, 'echo second; exit 3']}, depends: [{service: first}]}
		  first: {rtype: job, image: {name: bb}, command: {args: [sh, -c, 'sleep 0.3; echo first']}}
		END
        run -3 --separate-stderr zl up app.yaml
        assert_output $'first.1  | first\nsecond.1 | second'
        run -0 zl ps -a --json
        [ "$(jq -c 'map([.service, .exit_code])' <<<"$output")" = '[["first",0],["second",3]]' ]
        zl down --all
}

@test "a failed start is told, exit code 1, and taken back" {
        write_spec 1
        sed -i 's/entrypoint: .*/entrypoint: [no-such-command]/; s/args: .*/args: []/' app.yaml
        run -1 zl up -d app.yaml
        assert_match no-such-command
        [ "$(zl ps -a --json)" = '[]' ]
        write_spec 1
        sed -i 's/name: bb/name: no-such-image, pull_policy: never/' app.yaml
        run -1 zl up app.yaml
        assert_match no-such-image
        write_spec 1
        sed -i 's/GREETING: hello/GREETING: "$E:NOT_SET_ANYWHERE"/' app.yaml
        run -1 zl up app.yaml
        assert_match 'GREETING.*NOT_SET_ANYWHERE is not set'
        [ "$(zl ps -a --json)" = '[]' ]
}

@test "up refuses cycles and bad files with their places" {
        cat >app.yaml <<-END
		version: v1
		deployment: app-$ZL_ID
		services:
		  a: {image: {name: bb}, depends: [{service: b}]}
		  b: {image: {name: bb}, depends: [{service: a}]}
		END
        run -1 zl up app.yaml
        assert_match 'a -> b -> a'
        echo 'version: v2' >bad.yaml
        run -1 zl up bad.yaml
        assert_match 'bad.yaml:1:'
        run -1 zl up nothing.yaml
        assert_match nothing.yaml
}

@test "what is not honoured yet is named once" {
        write_spec 2
        sed -i 's/    scale:/    node_mode: dedicated\n    scale:/' app.yaml
        run -0 zl up -d app.yaml
        [ "$(grep -c 'warning.*node_mode' <<<"$output")" = 1 ]
        zl down "$APP"
}

@test "environment from the host reaches the container" {
        write_spec 1
        sed -i 's/GREETING: hello/GREETING: "$E:ZL_TEST_WORD"/' app.yaml
        ZL_TEST_WORD='a b "c"' zl up -d app.yaml
        wait_until 5 bash -c "zl logs web | grep -q 'a b \"c\" from 1'"
        zl down "$APP"
}

@test "events are seen as they happen" {
        zl events --no-stream # makes the store
        background "$ZL_AGENT" events --json
        wait_until 10 sh -c "ls -l /proc/$ZL_BG/fd | grep -q inotify"
        sleep 0.3
        write_spec 1
        zl up -d app.yaml
        wait_until 5 grep -q '"type":"started"' "$ZL_BG_LOG"
        zl down "$APP"
        wait_until 5 grep -q '"type":"removed"' "$ZL_BG_LOG"
        jq -e '.seq and .time and .type and .name' "$ZL_BG_LOG" >/dev/null
}

@test "a full disk is a clear error and leaves nothing" {
        is_root || skip "expected: needs root for a small tmpfs"
        mkdir small
        mount -t tmpfs -o size=8M tmpfs small
        export ZLAYER_ROOT_DIR=$ZL_DIR/small
        import_busybox bb
        head -c 10M /dev/zero >small/fill 2>/dev/null || true
        run zl run --rm bb true
        local first=$status text=$output
        write_spec 1
        run zl up -d app.yaml
        rm small/fill
        local second=$status more=$output
        run zl run --rm bb true
        local third=$status
        wait_until 5 umount small # the monitor of the last one may take an instant to end
        assert_equal "$first $second $third" '125 1 0'
        assert_match 'space|full' "$text"
        assert_match 'space|full' "$more"
}

@test "on_panic: restart begins it again, shutdown stops the whole service, isolate leaves it, each with its reason" {
        {
                printf 'version: v1\ndeployment: app-%s\nservices:\n' "$ZL_ID"
                for what in restart shutdown isolate; do
                        cat <<-END
		  $what:
		    image: {name: bb}
		    scale: {mode: fixed, replicas: 2}
		    stop_grace_period: 0s
		    restart_policy: {kind: always, delay: 50ms}
		    errors: {on_panic: {action: $what}}
		    command: {entrypoint: [sh, -c], args: ["while :; do test -e /end && exit 9; sleep 0.1; done"]}
		END
                done
                printf '  other: {image: {name: bb}, stop_grace_period: 0s, command: {entrypoint: [sleep, "1000"]}}\n'
        } >app.yaml
        APP=app-$ZL_ID
        zl up -d app.yaml
        other=$(zl ps --json | jq '.[] | select(.service == "other") | .pid')
        # the container may be gone before its `touch` has said how it ended
        for what in restart shutdown isolate; do zl exec "$APP.$what.1" touch /end || :; done
        # again and again, until it is taken away; a busy machine sees it only when it waits as a crash loop
        wait_until 10 has_restarts "$APP.restart.1" 2
        zl rm -f "$APP.restart.1" || :
        wait_until 10 has_state_of "$APP.shutdown.2" exited
        wait_until 10 has_state_of "$APP.isolate.1" exited
        sleep 1
        assert_equal "$(zl ps -a --json | jq -c '[.[] | select(.service == "shutdown" or .service == "isolate") | [.name, .state, .restarts]] | sort')" \
                "[[\"$APP.isolate.1\",\"exited\",0],[\"$APP.isolate.2\",\"running\",0],[\"$APP.shutdown.1\",\"exited\",0],[\"$APP.shutdown.2\",\"exited\",0]]"
        assert_equal "$(zl ps --json | jq '.[] | select(.service == "other") | .pid')" "$other"
        run -0 zl why "$APP.isolate.1"
        assert_match 'exit code 9; it is left as it is .on_panic: isolate.'
        run -0 zl events --no-stream --after 0
        assert_match "shutdown +$APP.shutdown.1"
        assert_match "isolated +$APP.isolate.1"
        zl down "$APP"
}
has_state_of() { [ "$(zl ps -a --json | jq -r --arg n "$1" '.[] | select(.name == $n) | .state')" = "$2" ]; }

@test "storage of type s3 is a clear error that says what is missing, before anything runs" {
        write_spec
        printf '    storage: [{type: s3, bucket: assets, target: /assets, readonly: true}]\n' >>app.yaml
        run -1 zl up -d app.yaml
        assert_match 'storage.0.: a bucket .type s3. cannot be mounted: there is no helper for it'
        assert_match 'hint: .*init.s3_pull'
        [ "$(zl ps -a --json)" = '[]' ]
}
