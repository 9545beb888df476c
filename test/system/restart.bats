# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bats
# start, restart, and run --restart: with a daemon, with the agent of an `up`, and with none.
# shellcheck disable=SC2016 # $ in `sh -c` texts is for the container
load lib
load daemon

setup() {
        zl_setup
        import_busybox bb
}

of() { zl ps -a --json | jq -r --arg n "$1" --arg k "$2" '.[] | select(.name == $n) | .[$k]'; } # NAME MEMBER
is_at() { [ "$(of "$1" state)" = "$2" ]; }
starts_of() { zl logs "$1" | grep -c begun; }
# Kills the process of one that is looked after: another one runs soon.
kill_and_see() { # NAME
        local before
        before=$(of "$1" pid)
        kill -KILL "$before"
        wait_until 10 is_another "$1" "$before"
}
is_another() { is_at "$1" running && [ "$(of "$1" pid)" != "$2" ]; }
has_begun() { [ "$(starts_of "$1")" = "$2" ]; }
# Says "begun", keeps a count in a file of its own, and obeys TERM.
COUNTS='trap "exit 0" TERM; echo begun >>/n; echo "begun $(wc -l </n)"; while :; do sleep 1 & wait $!; done'
FAILS='echo begun; exit 3'

@test "start and restart of a container of run: the same one, with its files and its log" {
        local before
        zl run -d --name a bb sh -c "$COUNTS"
        before=$(of run.a.1 pid)
        run -0 zl start a # it runs
        assert_output run.a.1
        assert_equal "$(of run.a.1 pid)" "$before"
        zl stop a
        run -0 zl start a
        assert_output run.a.1
        is_at run.a.1 running
        run -0 zl restart -t 5 a
        assert_output run.a.1
        wait_until 5 has_begun a 3
        assert_equal "$(zl logs a)" "$(printf 'begun %s\n' 1 2 3)"
        [ "$(of run.a.1 pid)" != "$before" ]
        # A kill in the place of patience; one that has ended is started.
        zl run -d --name b bb sh -c 'trap "" TERM; while :; do sleep 1; done'
        zl restart -t 0 b
        is_at run.b.1 running
        zl kill b
        wait_until 5 is_at run.b.1 exited
        zl restart b
        is_at run.b.1 running
        run -1 zl start nobody
        assert_match 'no container or service "nobody"'
        run -1 zl restart a nobody -t 0 # the others all the same
        grep -qx run.a.1 <<<"$output"
        zl rm -f a b
}

@test "run --restart: wrong usage is told" {
        run -2 zl run --restart always bb true
        assert_match 'needs -d'
        run -2 zl run -d --rm --restart always bb true
        assert_match 'exclude each other'
        for policy in sometimes on-failure:x always:3 ""; do
                run zl run -d --restart "$policy" bb true
                [ "$status" -ne 0 ]
                assert_match 'no, always, unless-stopped or on-failure'
        done
        run zl run -d --restart always --name a_b bb true
        [ "$status" -ne 0 ]
        assert_match 'cannot name'
        run zl run -d --restart always -e 'X=$E:HOME' bb true
        [ "$status" -ne 0 ]
        assert_match 'reference'
        run -0 zl run --rm --restart no bb echo well
        assert_output well
        assert_equal "$(zl ps -aq)" ""
}

restart_policies() {
        local before
        # on-failure: so many times; success is the end.
        run -0 --separate-stderr zl run -d --restart on-failure:2 --name fails bb sh -c "$FAILS"
        assert_output run-fails.fails.1
        wait_until 10 has_begun fails 3
        wait_until 5 is_at run-fails.fails.1 exited
        zl run -d --restart on-failure --name well bb true
        wait_until 5 is_at run-well.well.1 exited
        assert_equal "$(of run-well.well.1 restarts)" 0
        # always: also after success, and after a kill that nobody asked for.
        zl run -d --restart always --name ever bb sh -c "$COUNTS"
        wait_until 10 has_begun ever 1
        before=$(of run-ever.ever.1 pid)
        kill -TERM "$before"
        wait_until 10 has_begun ever 2
        kill -KILL "$(of run-ever.ever.1 pid)"
        wait_until 10 has_begun ever 3
        wait_until 5 is_at run-ever.ever.1 running
        # By hand it stays down until it is started by hand; then it is looked after again.
        zl stop ever
        is_at run-ever.ever.1 exited
        sleep 0.5
        is_at run-ever.ever.1 exited
        run -0 --separate-stderr zl start ever
        assert_output run-ever.ever.1
        wait_until 5 has_begun ever 4
        run -0 --separate-stderr zl restart ever
        assert_output run-ever.ever.1
        wait_until 5 has_begun ever 5
        kill -KILL "$(of run-ever.ever.1 pid)"
        wait_until 10 has_begun ever 6
        assert_equal "$(zl logs ever | tail -1)" "begun 6" # always the same container
}

taken_names() {
        run -125 zl run -d --restart always --name ever bb true
        assert_match 'taken'
        run -125 zl run -d --name ever bb true
        assert_match 'taken'
        zl run --name plain bb true
        run -125 zl run -d --restart always --name plain bb true
        assert_match 'taken by run.plain.1'
}

@test "run --restart without a daemon: each has an agent in the background" {
        run zl run -d --restart always --name x bb nonesuch
        assert_equal "$status" 125
        assert_equal "$(zl ps -aq)" ""
        restart_policies
        taken_names
        run -1 zl rm ever
        assert_match 'is running'
        run -0 --separate-stderr zl rm -f ever fails well plain
        assert_equal "$(zl ps -aq)" ""
        assert_equal "$(zl down --all 2>&1)" ""
}

@test "run --restart with the daemon, which takes it up again" {
        local before
        start_daemon
        run zl run -d --restart always --name x bb nonesuch
        assert_equal "$status" 125
        restart_policies
        taken_names
        # A volume and a network are the same as of any other run.
        zl run -d --restart always --name vol -v data:/d bb sh -c 'echo kept >/d/f; exec sleep 100'
        wait_until 5 test -e "$ZLAYER_ROOT_DIR/volumes/data"
        zl run --rm -v data:/d bb cat /d/f
        zl run -d --restart unless-stopped --name stopped bb sleep 100
        zl stop stopped
        before=$(of run-ever.ever.1 pid)
        stop_daemon
        kill -KILL "$before"
        wait_until 5 is_at run-ever.ever.1 exited
        start_daemon
        wait_until 10 has_begun ever 7
        is_at run-stopped.stopped.1 exited
        zl rm -f ever fails well plain vol stopped
        assert_equal "$(zl ps -aq)" ""
        assert_equal "$(get /v1/deployments)" "[]"
        zl volume rm data
}

@test "a replica is started and restarted by the agent of its deployment, which goes on looking after it" {
        local i daemon
        for daemon in yes ""; do
                [ -z "$daemon" ] || start_daemon
                write_deployment 2
                zl up -d app.yaml
                zl restart "$APP.web.1"
                is_at "$APP.web.1" running
                is_at "$APP.web.2" running
                assert_equal "$(of "$APP.web.2" restarts)" 0
                zl stop "$APP.web.2"
                zl start "$APP.web.2"
                is_at "$APP.web.2" running
                for i in 1 2; do
                        kill_and_see "$APP.web.$i"
                done
                zl restart web # all of them
                is_at "$APP.web.1" running
                is_at "$APP.web.2" running
                # All stopped, the deployment has finished. One is started, the other stays down.
                zl stop web
                if [ -n "$daemon" ]; then
                        wait_until 5 phase_is "$APP" finished
                        zl start "$APP.web.1"
                        is_at "$APP.web.1" running
                        is_at "$APP.web.2" exited
                        kill_and_see "$APP.web.1"
                        is_at "$APP.web.2" exited
                        zl down "$APP"
                        stop_daemon
                else
                        wait_until 10 test ! -S "$ZLAYER_RUNTIME_DIR/deployments/$APP.sock"
                        run -0 zl start "$APP.web.1"
                        assert_match 'no agent looks after'
                        is_at "$APP.web.1" running
                        zl down "$APP"
                fi
        done
}

@test "start and restart over the HTTP interface, and a container with a restart policy" {
        local body
        start_daemon
        zl run -d --name a bb sleep 100
        assert_equal "$(code_of -X POST http://x/v1/containers/a/start)" 204 # it runs
        assert_equal "$(code_of -X POST 'http://x/v1/containers/a/restart?grace=0s')" 204
        is_at run.a.1 running
        assert_equal "$(code_of -X POST http://x/v1/containers/b/restart)" 404
        body=$(jq -nc '{name: "b", service: {image: {name: "bb"}, command: {args: ["sh", "-c", "sleep 0.1; exit 1"]},
                restart_policy: {kind: "on_failure"}}}')
        run -0 post /v1/containers "$body"
        assert_equal "$(jq -r .name <<<"$output")" run-b.b.1
        wait_until 5 is_restarted run-b.b.1 || [ "$(of run-b.b.1 restarts)" -gt 0 ]
        assert_equal "$(post /v1/containers "$body" | jq -r .error.code)" exists
        assert_equal "$(post /v1/containers "$(jq -c '.remove = true' <<<"$body")" | jq -r .error.code)" invalid
        assert_equal "$(code_of -X DELETE 'http://x/v1/containers/b?force')" 204
        assert_equal "$(code_of -X DELETE 'http://x/v1/containers/a?force')" 204
        assert_equal "$(zl ps -aq)" ""
        assert_equal "$(get /v1/deployments)" "[]"
}

@test "an execution of a job is not started again, but begun anew" {
        start_daemon
        cat >app.yaml <<-END
		version: v1
		deployment: app-$ZL_ID
		services:
		  once: {rtype: job, image: {name: bb}, command: {args: ["true"]}}
		END
        zl up -d app.yaml
        wait_until 5 is_at "app-$ZL_ID.once.1" exited
        run -1 zl start "app-$ZL_ID.once.1"
        assert_match 'execution of a job'
        zl down "app-$ZL_ID"
}

# ---- stopped by hand, and then another daemon ----------------------------------------------------------------------------

# A deployment $APP: a service for each policy, one that nobody stops, and a job.
write_policies() {
        local policy
        APP=app-$ZL_ID
        printf 'version: v1\ndeployment: %s\nservices:\n' "$APP" >app.yaml
        for policy in always unless_stopped on_failure no; do
                cat >>app.yaml <<-END
		  ${policy/_/-}: {image: {name: bb}, restart_policy: {kind: $policy}, command: {entrypoint: [sh, -c], args: ['$COUNTS']}}
		END
        done
        cat >>app.yaml <<-END
		  keep: {image: {name: bb}, command: {entrypoint: [sh, -c], args: ['$COUNTS']}}
		  once: {rtype: job, image: {name: bb}, command: {args: [echo, begun]}}
		END
}
kill_daemon() { kill -KILL "$DAEMON"; wait_until 10 has_ended "$DAEMON"; }
stop_all() { local s; for s in always unless-stopped on-failure no "$@"; do zl stop "$APP.$s" >/dev/null; done; }
all_down() { local s; for s in always unless-stopped on-failure no "$@"; do is_at "$APP.$s.1" exited || return 1; done; }
others_are_down() { local s; for s in unless-stopped on-failure no; do is_at "$APP.$s.1" exited && [ "$(starts_of "$APP.$s.1")" = 1 ] || return 1; done; }

@test "stopped by hand: always comes back with the daemon, however the last one ended; the others stay down" {
        local keep
        start_daemon
        write_policies
        zl up -d app.yaml
        wait_until 5 is_at "$APP.once.1" exited
        keep=$(of "$APP.keep.1" pid)
        stop_all
        # Not by itself, and not while this daemon lives.
        sleep 0.5
        all_down
        zl why "$APP.always" | grep -q 'until it is started, the next up, or the next start of the daemon'
        stop_daemon
        sleep 0.2
        all_down
        start_daemon
        wait_until 10 is_at "$APP.always.1" running
        has_begun "$APP.always.1" 2
        assert_equal "$(zl logs "$APP.always.1" | tail -1)" "begun 2" # the same container
        others_are_down
        # A daemon that was killed, and a stop that no daemon saw.
        zl stop "$APP.always" >/dev/null
        kill_daemon
        start_daemon
        wait_until 10 has_begun "$APP.always.1" 3
        kill_daemon
        zl stop "$APP.always" >/dev/null
        start_daemon
        wait_until 10 has_begun "$APP.always.1" 4
        # It is looked after like any other again.
        kill -KILL "$(of "$APP.always.1" pid)"
        wait_until 10 has_begun "$APP.always.1" 5
        others_are_down
        # Of what nobody stopped nothing was touched, and a job runs once.
        assert_equal "$(of "$APP.keep.1" pid)" "$keep"
        has_begun "$APP.once.1" 1
        zl down "$APP"
        stop_daemon
        start_daemon
        assert_equal "$(zl ps -aq)" ""
        assert_equal "$(get /v1/deployments)" "[]"
}

@test "stopped by hand, all of a deployment: what is always to run comes back alone, after a new boot, too" {
        start_daemon
        write_policies
        zl up -d app.yaml
        zl run -d --restart always --name ever bb sh -c "$COUNTS"
        zl run -d --restart unless-stopped --name not bb sh -c "$COUNTS"
        wait_until 5 is_at "$APP.once.1" exited
        stop_all keep
        zl stop ever not >/dev/null
        wait_until 5 phase_is "$APP" finished
        wait_until 5 phase_is run-ever finished
        wait_until 5 phase_is run-not finished
        zl rm "$APP.once.1" >/dev/null
        stop_daemon
        start_daemon
        wait_until 10 is_at "$APP.always.1" running
        wait_until 10 is_at run-ever.ever.1 running
        others_are_down
        is_at "$APP.keep.1" exited
        is_at run-not.not.1 exited
        assert_equal "$(of "$APP.once.1" state)" "" # removed is removed, and no job runs again
        wait_until 5 phase_is "$APP" started
        # The machine goes down and comes back.
        zl stop "$APP.always" ever >/dev/null
        wait_until 5 phase_is run-ever finished
        kill_daemon
        rm -rf "$ZLAYER_RUNTIME_DIR"
        echo 01234567-89ab-cdef-0123-456789abcdef >boot_id
        mount --bind boot_id /proc/sys/kernel/random/boot_id
        start_daemon
        wait_until 10 has_begun "$APP.always.1" 3
        wait_until 10 has_begun run-ever.ever.1 3
        others_are_down
        is_at run-not.not.1 exited
        # As a whole it is the wish that ends: always, too.
        assert_equal "$(code_of -X POST http://x/v1/deployments/run-ever/stop)" 200
        is_at run-ever.ever.1 exited
        zl stop "$APP.always" >/dev/null
        wait_until 5 phase_is "$APP" finished
        assert_equal "$(code_of -X POST "http://x/v1/deployments/$APP/stop")" 200
        stop_daemon
        start_daemon
        sleep 0.5
        is_at run-ever.ever.1 exited
        all_down keep
        stop_daemon
        umount /proc/sys/kernel/random/boot_id
        start_daemon
        zl rm ever not >/dev/null
        zl down "$APP"
        assert_equal "$(zl ps -aq)" ""
}

@test "stopped by hand: an agent in the background that takes over from one that was killed, and the first daemon" {
        local agent
        write_policies
        zl up -d app.yaml
        agent=$(cut -d" " -f2 "$ZLAYER_ROOT_DIR/deployments/$APP.lock")
        stop_all
        sleep 0.3
        all_down
        kill -KILL "$agent"
        wait_until 5 has_ended "$agent"
        zl up -d app.yaml
        wait_until 10 is_at "$APP.always.1" running
        others_are_down
        # The agent ends with the last one; a daemon is the next.
        stop_all keep
        wait_until 10 test ! -S "$ZLAYER_RUNTIME_DIR/deployments/$APP.sock"
        start_daemon
        wait_until 10 has_begun "$APP.always.1" 3
        others_are_down
        is_at "$APP.keep.1" exited
        zl down "$APP"
}
