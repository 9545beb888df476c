# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bats
# examples/deploy.c: a program of somebody else loads a spec and deploys its services through libzlayer, public headers only.
load lib
load daemon

setup() {
        zl_setup
        export ZLAYER_MONITOR=$ZL_BUILD/zlayer-monitor
        import_busybox bb
}
deploy() { timeout -k 5 60 "$ZL_BUILD/examples/deploy" "$@" 3>&-; }

@test "service manager: a spec is deployed, told of, stopped and removed" {
        write_deployment 2
        run -0 deploy app.yaml 0
        assert_match "$APP.web.1 started"
        assert_match "$APP.web.2 started"
        assert_match "$APP is up"
        assert_match "$APP.web.1 removed"
        assert_equal "$(zl ps -a --json)" '[]'
}

@test "service manager: what cannot be started is an error with its reason, and nothing is left" {
        write_deployment 1
        sed -i 's/entrypoint: .*/entrypoint: [no-such-command]/' app.yaml
        run -1 deploy app.yaml
        assert_match 'deploy: .*no-such-command'
        assert_equal "$(zl ps -a --json)" '[]'
        run -1 deploy nothing.yaml
        assert_match 'nothing.yaml'
}

@test "service manager: a deployment that another one has is refused" {
        write_deployment 1
        zl up -d app.yaml
        run -1 deploy app.yaml
        assert_match 'is up already'
        zl down "$APP"
}

@test "service manager: killed in the middle, the containers go on, and the next agent takes them up" {
        write_deployment 1
        background "$ZL_BUILD/examples/deploy" app.yaml 100
        wait_until 10 grep -q "$APP is up" "$ZL_BG_LOG"
        before=$(running_pids)
        kill -KILL "$ZL_BG"
        wait_until 5 has_ended "$ZL_BG"
        start_daemon
        wait_until 10 phase_is "$APP" started
        assert_equal "$(running_pids)" "$before"
        remove_deployment
}
