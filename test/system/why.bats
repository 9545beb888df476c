# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bats
# `why`: the chain of causes, in words, with the last lines of the log.
# shellcheck disable=SC2016 # $ in specs and in `sh -c` texts is for the container
load lib
load daemon

setup() {
        zl_setup
        import_busybox bb
}

service() { # NAME COMMAND [MORE LINE...]
        printf '  %s:\n    image: {name: bb}\n    scale: {mode: fixed, replicas: 1}\n    stop_grace_period: 1s\n' "$1"
        printf '    command: {entrypoint: [sh, -c], args: ["%s"]}\n' "$2"
        shift 2
        [ $# = 0 ] || printf '    %s\n' "$@"
}
head_of() { printf 'version: v1\ndeployment: %s\nservices:\n' "$1"; }

@test "why: what runs is said to run, what is unknown is an error" {
        { head_of app; service web 'exec sleep 100'; } >app.yaml
        zl up -d app.yaml
        run -0 zl why app
        assert_output 'app runs as it should'
        run -0 zl why app.web.1
        assert_output 'app.web.1 runs as it should'
        run -1 zl why nothing
        assert_match nothing
        zl down app
}

@test "why: a crash loop, with the exit code, what follows, and the last lines" {
        { head_of app; service web 'echo one; echo two; sleep 0.2; exit 7' 'restart_policy: {kind: always, delay: 20s}'; } >app.yaml
        zl up -d app.yaml
        wait_until 10 is_told 'ended with exit code 7'
        run -0 zl why -n 1 app
        assert_match 'app.web.1 ended with exit code 7.*(started again|long pause)'
        assert_match '\| two'
        assert_no_match '\| one'
        zl down app
}
is_told() { zl why app | grep -q "$1"; }

@test "why: a chain of dependencies down to its bottom" {
        {
                head_of app
                service front 'exec sleep 100' 'depends: [{service: back, condition: healthy, timeout: 100s}]'
                service back 'echo no answer; exec sleep 100' 'health: {start_grace: 0s, interval: 200ms, retries: 1, check: {type: command, command: "false"}}'
        } >app.yaml
        background "$ZL_AGENT" up app.yaml
        wait_until 15 is_told 'unhealthy'
        run -0 zl why app.front
        assert_match 'app.front waits for back to become healthy'
        assert_match '    app.back'
        # Between two checks it may be just running; soon it is told again why it is not well.
        wait_until 15 is_told '| no answer'
        run -0 zl why --json front
        jq -e '.running == false and .causes[0].depth == 0 and .causes[1].depth == 1 and (.causes[1].name | startswith("app.back"))' <<<"$output"
        zl down app
}

@test "why: a start that failed says so after the fact" {
        { head_of app; service web x; } | sed 's/entrypoint: .*/entrypoint: [no-such-command]}/' >app.yaml
        start_daemon
        run -1 zl up -d app.yaml
        run -0 zl why app
        assert_match 'last start failed.*no-such-command'
}

@test "why: stopped by hand, out of memory, no agent" {
        { head_of app; service web 'exec sleep 100'; service keep 'exec sleep 100'; service fat 'exec tail /dev/zero' 'resources: {memory: 8Mi}' 'restart_policy: {kind: no}'; } >app.yaml
        background "$ZL_AGENT" up app.yaml
        agent=$ZL_BG
        wait_until 10 is_told 'app.fat.1 was killed because it ran out of memory; it is not started again'
        zl stop app.web
        wait_until 10 is_told 'app.web.1 was stopped by somebody'
        kill -KILL "$agent"
        wait_until 5 has_ended "$agent"
        run -0 zl why app.web
        assert_match 'no agent looks after it'
        zl down app
}

@test "why: an image that cannot be had" {
        { head_of app; service web 'exec sleep 100'; } >app.yaml
        sed -i 's/name: bb/name: "127.0.0.1:1\/no\/image:1"/' app.yaml
        run -1 zl up -d app.yaml
        run -0 zl why app
        assert_match 'last start failed.*127.0.0.1:1/no/image'
}

@test "why: an init step that is not done; the daemon's answer is the same" {
        {
                head_of app
                service web 'exec sleep 100' 'init: {steps: [{id: first, uses: init.run, with: {command: "true"}}, {id: port, uses: init.wait_tcp, with: {host: 127.0.0.1, port: 1, timeout: 100}}]}'
        } >app.yaml
        start_daemon
        background "$ZL_AGENT" up app.yaml
        wait_until 15 is_told 'app.web.1 is created and has not been started yet (initializing): init step "port" (2 of 2) is not done'
        zl why --json app.web >cli.json
        get /v1/why/app.web >api.json
        jq -S . cli.json | diff - <(jq -S . api.json)
        jq -e '.running == false and .name == "app.web" and .causes[0].name == "app.web.1"' api.json
        assert_equal "$(get /v1/why/none | jq -r '"\(.error.code) \(.error.field)"')" 'not_found name'
        assert_equal "$(get '/v1/why/app?lines=x' | jq -r '"\(.error.code) \(.error.field)"')" 'invalid lines'
        zl down app
        # what has failed is known after the fact, here as there
        sed -i 's/timeout: 100/timeout: 1/' app.yaml
        run -1 zl up -d app.yaml
        get /v1/why/app | jq -r '.causes[].text' | grep 'its last start failed and was undone: .*init step "port"'
        zl down app
        stop_daemon
}
