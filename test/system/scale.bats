# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bats
# The command line with a daemon behind it: up, a changed up, scale, down.
# shellcheck disable=SC2016 # $ in specs and in `sh -c` texts is for the container
load lib
load daemon

setup() {
        zl_setup
        import_busybox bb
        start_daemon
}

names() { zl ps --json | jq -r '[.[].name] | sort | join(" ")'; }
stored_replicas() { get "/v1/deployments/$APP" | jq -r .spec.services.web.scale.replicas; }

@test "up -d gives the deployment to the daemon, and down takes it away" {
        write_deployment
        run -0 zl up -d app.yaml
        assert_match "$APP.web.2 started"
        assert_match "$APP is up"
        assert_equal "$(get /v1/deployments | jq -r '.[].phase')" started
        # No agent of its own.
        [ "$(find "/proc/$DAEMON/fd" -lname "*$APP.lock" | wc -l)" = 1 ]
        run -0 zl down "$APP"
        assert_equal "$(get /v1/deployments)" '[]'
        assert_equal "$(zl ps -a --json)" '[]'
        run -1 zl down "$APP"
        assert_match "no deployment \"$APP\""
}

@test "up of a changed file replaces what has changed and nothing else" {
        write_deployment 1
        cat >>app.yaml <<-END
		  other:
		    image: {name: bb}
		    scale: {mode: fixed, replicas: 1}
		    command: {entrypoint: [sleep, '1000']}
		    stop_grace_period: 1s
		END
        zl up -d app.yaml
        other=$(zl ps --json | jq '.[] | select(.service == "other") | .pid')
        web=$(zl ps --json | jq '.[] | select(.service == "web") | .pid')
        sed -i 's/MARK: "one"/MARK: "two"/' app.yaml
        ZL_TIMEOUT=60 run -0 zl up -d app.yaml
        assert_equal "$(zl ps --json | jq '.[] | select(.service == "other") | .pid')" "$other"
        [ "$(zl ps --json | jq '.[] | select(.service == "web") | .pid')" != "$web" ]
        wait_until 10 eval '[ "$(zl logs "$APP.web.1")" = "mark two" ]'
        zl down "$APP"
}

@test "up of a change that fails is an error, and what was good comes back" {
        write_deployment 1
        zl up -d app.yaml
        sed -i 's/entrypoint: .*/entrypoint: [no-such-command]/' app.yaml
        ZL_TIMEOUT=60 run -1 zl up -d app.yaml
        assert_match 'taken back'
        assert_match 'no-such-command'
        wait_until 20 is_state "$APP.web.1" running
        assert_equal "$(zl ps --json | jq -r '.[0].state')" running
        zl down "$APP"
}

@test "up in the foreground shows the logs; INT stops the deployment and leaves the daemon" {
        write_deployment 1
        # A background command of a script ignores INT unless told otherwise.
        background env --default-signal=INT "$ZL_AGENT" up app.yaml
        log=$ZL_BG_LOG pid=$ZL_BG
        wait_until 10 grep -q 'mark one' "$log"
        kill -INT "$pid"
        wait_until 20 has_ended "$pid"
        assert_equal "$(get "/v1/deployments/$APP" | jq -r .phase)" stopped
        zl down "$APP"
}

@test "up of a start that fails says why and leaves nothing" {
        write_deployment
        sed -i 's/entrypoint: .*/entrypoint: [no-such-command]/' app.yaml
        run -1 zl up -d app.yaml
        assert_match 'no-such-command'
        assert_equal "$(zl ps -a --json)" '[]'
        zl down "$APP"
}

@test "up of jobs ends with their exit code" {
        cat >job.yaml <<-END
		version: v1
		deployment: job-$ZL_ID
		services:
		  once:
		    rtype: job
		    image: {name: bb}
		    scale: {mode: fixed, replicas: 1}
		    command: {entrypoint: [sh, -c, 'echo done; exit 3']}
		    restart_policy: {kind: no}
		END
        run -3 zl up job.yaml
        assert_match 'done'
        zl down "job-$ZL_ID"
}

@test "scale: up, down to fewer, to none, and back; the number is kept over a restart of the daemon" {
        write_deployment 1
        zl up -d app.yaml
        first=$(running_pids)
        run -0 zl scale "$APP" web=3
        assert_equal "$(names)" "$APP.web.1 $APP.web.2 $APP.web.3"
        assert_equal "$(stored_replicas)" 3
        run -0 zl scale "$APP" web=1
        assert_equal "$(names)" "$APP.web.1"
        # The one that was there all the time.
        assert_equal "$(running_pids)" "$first"
        zl scale "$APP" web=0
        assert_equal "$(names)" ''
        zl scale "$APP" web=2
        stop_daemon
        start_daemon
        wait_until 10 phase_is "$APP" started
        assert_equal "$(names)" "$APP.web.1 $APP.web.2"
        zl down "$APP"
}

@test "scale: what is wrong is said, and nothing changes" {
        write_deployment 1
        zl up -d app.yaml
        run -1 zl scale "$APP" nothing=2
        assert_match nothing
        run -2 zl scale "$APP" web=much
        assert_match 'SERVICE=NUMBER'
        run -2 zl scale "$APP" web
        run -2 zl scale "$APP"
        run -1 zl scale "$APP" web=4000000
        run -1 zl scale none web=1
        assert_match none
        assert_equal "$(names)" "$APP.web.1"
        zl down "$APP"
        stop_daemon
        run -1 zl scale "$APP" web=2
        assert_match 'no daemon listens'
}
