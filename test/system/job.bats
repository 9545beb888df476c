# SPDX-License-Identifier: Apache-2.0
# Jobs and cron jobs with real containers: triggers, queue, timeout, cancel, history, schedules, the agent's death.
load lib

setup() {
        zl_setup
        import_busybox bb
        APP=app-$ZL_ID
}

# A deployment with a job, a cron job, and something that keeps it up. The job does what its file says.
write_spec() { # [LABELS] [SCHEDULE]
        mkdir -p shared
        cat >app.yaml <<-END
		version: v1
		deployment: $APP
		services:
		  keeper: {image: {name: bb}, command: {entrypoint: [sleep, "1000"]}, stop_grace_period: 0s}
		  job:
		    image: {name: bb}
		    rtype: job
		    scale: {mode: fixed, replicas: 0}
		    stop_grace_period: 100ms
		    labels: {$1}
		    storage: [{type: bind, source: $ZL_DIR/shared, target: /shared}]
		    command: {entrypoint: [sh, /shared/script]}
		  tick:
		    image: {name: bb}
		    rtype: cron
		    schedule: "${2:-0 0 0 1 1 *}"
		    stop_grace_period: 100ms
		    storage: [{type: bind, source: $ZL_DIR/shared, target: /shared}]
		    command: {entrypoint: [sh, -c, 'echo tick >>/shared/ticks']}
		END
        echo 'echo hello from the job' >shared/script
}
state_of() { zl job ls "$APP" --json | jq -r --arg n "$1" '.[] | select(.name == $n) | .state'; }
has_state() { [ "$(state_of "$1")" = "$2" ]; }
field_of() { zl job ls "$APP" --json | jq -r --arg n "$1" ".[] | select(.name == \$n) | .$2"; }

@test "job: run on trigger, true exit codes, logs per execution, ls" {
        write_spec
        zl up -d app.yaml
        run -0 zl job run "$APP.job"
        assert_output "$APP.job.1"
        wait_until 5 has_state "$APP.job.1" succeeded
        [ "$(field_of "$APP.job.1" exit_code)" = 0 ]
        echo 'echo second; exit 42' >shared/script
        run -0 zl job run "$APP.job"
        assert_output "$APP.job.2"
        wait_until 5 has_state "$APP.job.2" failed
        [ "$(field_of "$APP.job.2" exit_code)" = 42 ]
        run -0 zl job logs "$APP.job.1"
        assert_output 'hello from the job'
        run -0 zl logs "$APP.job.2"
        assert_output second
        run -42 zl wait "$APP.job.2"
        run -0 zl job ls "$APP.job"
        assert_match "$APP.job.2 +manual +failed .* 42 "
        # the rest of the deployment has not noticed
        [ "$(zl ps --json | jq -r '[.[] | .service] | join(" ")')" = keeper ]
        zl down "$APP"
        [ "$(zl ps -a --json)" = '[]' ]
}

@test "job: the queue, cancel, and a timeout" {
        write_spec 'zlayer.job.queue: "1", zlayer.job.timeout: 5s'
        echo 'sleep 1000' >shared/script
        zl up -d app.yaml
        zl job run "$APP.job"
        zl job run "$APP.job"
        run -1 zl job run "$APP.job"
        assert_match '1 executions run and 1 wait'
        wait_until 5 has_state "$APP.job.1" running
        [ "$(state_of "$APP.job.2")" = queued ]
        run -0 zl job cancel "$APP.job.1"
        wait_until 5 has_state "$APP.job.1" cancelled
        wait_until 5 has_state "$APP.job.2" running
        wait_until 10 has_state "$APP.job.2" timed_out
        run -1 zl job cancel "$APP.job.2"
        assert_match 'is over already'
        run -1 zl job cancel "$APP.job.99"
        run -2 zl job cancel nonsense
        zl down "$APP"
}

@test "job: retries belong to one execution" {
        write_spec
        sed -i '/rtype: job/a\    restart_policy: {kind: on_failure, max_attempts: 3, delay: 10ms}' app.yaml
        printf 'echo x >>/shared/tries\n[ $(wc -l </shared/tries) -ge 3 ]\n' >shared/script
        zl up -d app.yaml
        zl job run "$APP.job"
        wait_until 10 has_state "$APP.job.1" succeeded
        [ "$(field_of "$APP.job.1" retries)" = 2 ]
        [ "$(wc -l <shared/tries)" = 3 ]
        zl down "$APP"
}

@test "job: only the newest containers are kept, the history is longer" {
        write_spec 'zlayer.job.history: "2"'
        zl up -d app.yaml
        for i in 1 2 3 4; do
                zl job run "$APP.job"
                wait_until 5 has_state "$APP.job.$i" succeeded
        done
        wait_until 5 bash -c "! '$ZL_AGENT' inspect $APP.job.2 2>/dev/null"
        zl inspect "$APP.job.3" "$APP.job.4" >/dev/null
        [ "$(zl job ls "$APP.job" --json | jq length)" = 4 ]
        zl down "$APP"
}

@test "job: wrong names and nobody there are clear errors" {
        run -1 zl job run "$APP.job"
        assert_match "deployment $APP is not up"
        run -2 zl job run job
        assert_match 'names no job'
        write_spec
        zl up -d app.yaml
        run -1 zl job run "$APP.keeper"
        assert_match "$APP.keeper is no job"
        run -1 zl cron disable "$APP.job"
        assert_match 'has no schedule'
        zl down "$APP"
        write_spec 'zlayer.job.timeout: soon'
        run -1 zl up -d app.yaml
        assert_match 'service job: labels.zlayer.job.timeout: "soon" is not a duration'
        [ "$(zl ps -a --json)" = '[]' ]
}

@test "job: of a deployment that has finished; the daemon takes it up for it and begins nothing else again" {
        load daemon
        write_spec
        sed -i '/keeper:/d; /^  tick:/,$d; /replicas: 0/d' app.yaml
        sed 's/^  job:/  other:/; 1,3d' app.yaml >>app.yaml
        start_daemon
        zl up -d app.yaml
        wait_until 20 phase_is "$APP" finished
        run -0 zl job run "$APP.job"
        assert_output "$APP.job.2"
        wait_until 20 has_state "$APP.job.2" succeeded
        wait_until 20 phase_is "$APP" finished
        # the same behind a restart of the daemon, which has forgotten it
        kill -KILL "$DAEMON"
        wait_until 10 has_ended "$DAEMON"
        start_daemon
        run -0 zl job run "$APP.job"
        assert_output "$APP.job.3"
        wait_until 20 has_state "$APP.job.3" succeeded
        run -1 zl job run "$APP.none"
        assert_match "$APP.none is no job"
        wait_until 20 phase_is "$APP" finished
        assert_equal "$(zl job ls "$APP" --json | jq -r '[.[].name] | sort | join(" ")')" \
                "$APP.job.1 $APP.job.2 $APP.job.3 $APP.other.1"
        zl stop "$APP.job.3" 2>/dev/null || :
        remove_deployment
        run -1 zl job run "$APP.job"
        assert_match "$APP is not up"
}

# The process that looks after the deployment has ended.
is_left() { [ ! -e "$ZLAYER_ROOT_DIR/deployments/$APP.lock" ]; }

@test "job: run without a daemon, of a deployment that has finished: an agent of its own looks after the one execution" {
        write_spec
        sed -i '/keeper:/d; /^  tick:/,$d; /replicas: 0/d; s/rtype: job/&\n    restart_policy: {kind: on_failure, max_attempts: 1, delay: 50ms}/' app.yaml
        sed 's/^  job:/  other:/; 1,3d' app.yaml >>app.yaml
        zl up -d app.yaml
        wait_until 20 is_left
        echo 'echo again; until test -e /shared/go; do sleep 0.1; done; exit 3' >shared/script
        run -0 zl job run "$APP.job"
        assert_output "$APP.job.2"
        wait_until 5 has_state "$APP.job.2" running
        # it is the deployment's agent like any other
        run -0 zl job run "$APP.job"
        assert_output "$APP.job.3"
        touch shared/go
        wait_until 20 has_state "$APP.job.2" failed
        wait_until 20 has_state "$APP.job.3" failed
        assert_equal "$(field_of "$APP.job.2" exit_code) $(field_of "$APP.job.2" retries)" '3 1'
        wait_until 20 is_left
        # the rest was not begun again
        assert_equal "$(zl job ls "$APP" --json | jq -r '[.[].name] | sort | join(" ")')" \
                "$APP.job.1 $APP.job.2 $APP.job.3 $APP.other.1"
        run -1 zl job run "$APP.none"
        assert_match "$APP.none is no job"
        # what has more than jobs is not brought up by this
        write_spec
        zl up -d app.yaml
        zl stop "$APP" 2>/dev/null || kill -TERM "$(tr -dc 0-9 <"$ZLAYER_ROOT_DIR/deployments/$APP.lock")"
        wait_until 20 is_left
        run -1 zl job run "$APP.job"
        assert_match "deployment $APP is not up"
        zl down "$APP"
}

all_over() { zl job ls "$APP.tick" --json | jq -e 'all(.[]; .state != "running" and .state != "queued")' >/dev/null; }

@test "cron: runs when it is time, disable, enable, trigger, the next five runs" {
        write_spec '' '* * * * * *'
        zl up -d app.yaml
        wait_until 5 test -s shared/ticks
        wait_until 5 bash -c "[ \$(wc -l <shared/ticks) -ge 3 ]"
        run -0 zl cron ls --json
        [ "$(jq -r '.[0].next | length' <<<"$output")" = 5 ]
        [ "$(jq -r '.[0] | "\(.service) \(.enabled) \(.up) \(.timezone)"' <<<"$output")" = 'tick true true UTC' ]
        run -0 zl cron disable "$APP.tick"
        wait_until 10 all_over
        sleep 0.2
        n=$(wc -l <shared/ticks)
        sleep 1.5
        [ "$(wc -l <shared/ticks)" = "$n" ]
        [ "$(zl cron ls --json | jq -c '.[0] | [.enabled, .next]')" = '[false,[]]' ]
        run -0 zl cron trigger "$APP.tick"
        wait_until 5 bash -c "[ \$(wc -l <shared/ticks) = $((n + 1)) ]"
        zl cron enable "$APP.tick"
        wait_until 5 bash -c "[ \$(wc -l <shared/ticks) -gt $((n + 1)) ]"
        [ "$(zl job ls "$APP.tick" --json | jq -r '[.[].trigger] | unique | join(" ")')" = 'manual schedule' ]
        zl down "$APP"
}

# Puts a text in the place of the stored spec of a deployment.
spoil_spec() { # DEPLOYMENT
        python3 - "$ZLAYER_ROOT_DIR/agent.db" "$1" <<-'END'
		import sqlite3, sys
		db = sqlite3.connect(sys.argv[1])
		assert db.execute("UPDATE deployment SET spec = '{\"version\": \"v99\"}' WHERE name = ?", [sys.argv[2]]).rowcount == 1
		db.commit()
		END
}

@test "cron: a stored spec that cannot be read hides no other schedule, is named with its reason, and a new up mends it" {
        load daemon
        write_spec
        sed "s/$APP/aa-$APP/" app.yaml >bad.yaml
        write_spec '' '* * * * * *'
        start_daemon
        zl up -d bad.yaml
        zl up -d app.yaml
        stop_daemon
        spoil_spec "aa-$APP"
        : >shared/ticks
        run -0 --separate-stderr zl cron ls
        assert_match "$APP.tick +\* .*enabled"
        assert_match "aa-$APP +- +- +unreadable"
        assert_match "the stored spec of deployment aa-$APP cannot be read: .*deployment" "$stderr"
        start_daemon
        # the others run
        wait_until 5 test -s shared/ticks
        grep "deployment aa-$APP is not taken up: its stored spec cannot be read: .*deployment" "$DAEMON_LOG"
        get /v1/schedules | jq -e --arg bad "aa-$APP" --arg good "$APP" \
                'map({(.deployment): .}) | add | (.[$bad] | (.problem | test("deployment")) and .service == null) and
                 (.[$good] | .problem == null and .service == "tick" and (.next | length) == 5)'
        [ "$(get "/v1/deployments/aa-$APP" | jq -r .phase)" = failed ]
        get "/v1/deployments/aa-$APP" | jq -r .failure | grep 'its stored spec cannot be read'
        pid=$(zl ps --json | jq --arg n "aa-$APP.keeper.1" '.[] | select(.name == $n) | .pid')
        zl up -d bad.yaml
        [ "$(zl cron ls --json | jq '[.[] | select(.problem == null)] | length')" = 2 ]
        # what ran of it went on all the time
        [ "$(zl ps --json | jq --arg n "aa-$APP.keeper.1" '.[] | select(.name == $n) | .pid')" = "$pid" ]
        # and one that is spoilt can be taken down
        stop_daemon
        spoil_spec "aa-$APP"
        start_daemon
        zl down "aa-$APP"
        zl down "$APP"
        [ "$(zl ps -a --json)" = '[]' ]
        stop_daemon
}

@test "job, cron: the agent is killed; what ran is taken over, its exit code is true, what was missed is caught up" {
        write_spec '' '*/2 * * * * *'
        echo 'sleep 1.5; exit 7' >shared/script
        zl up -d app.yaml
        zl job run "$APP.job"
        zl job run "$APP.job"
        wait_until 5 has_state "$APP.job.1" running
        pid=$(tr -dc 0-9 <"$ZLAYER_ROOT_DIR/deployments/$APP.lock")
        kill -KILL "$pid"
        sleep 7.5
        touch shared/ticks
        n=$(wc -l <shared/ticks)
        zl up -d app.yaml
        wait_until 5 has_state "$APP.job.1" failed
        [ "$(field_of "$APP.job.1" exit_code)" = 7 ]
        wait_until 5 has_state "$APP.job.2" failed
        wait_until 5 bash -c "[ \$(wc -l <shared/ticks) -gt $n ]"
        zl events --no-stream | grep -q 'passed while nobody was there'
        zl job ls "$APP.tick" --json | jq -e 'any(.[]; .trigger == "catch_up" or .trigger == "schedule")'
        zl down "$APP"
}
