# SPDX-License-Identifier: Apache-2.0
# Rolling updates of real containers through the daemon: one by one, gated by health, and back again.
# shellcheck disable=SC2016 # $ in `sh -c` texts is for the container
load lib
load daemon

setup() {
        zl_setup
        import_busybox bb
        APP=app-$ZL_ID
        start_daemon
}

# Three replicas; they are healthy if VERSION is not "bad".
write_version() { # VERSION
        cat >app.yaml <<-END
		version: v1
		deployment: $APP
		services:
		  web:
		    image: {name: ${2:-bb}}
		    scale: {mode: fixed, replicas: 3}
		    stop_grace_period: 0s
		    env: {VERSION: "$1"}
		    restart_policy: {kind: on_failure}
		    health: {start_grace: 500ms, interval: 100ms, retries: 2, check: {type: command, command: "test \$VERSION != bad"}}
		    command: {entrypoint: [sh, -c], args: ["test \$VERSION != broken || exit 9; exec sleep 1000"]}
		END
}
pids() { zl ps --json | jq -r '[.[] | "\(.name)=\(.pid)"] | sort | join(" ")'; }
events() { zl events --no-stream --after 0 --json; }
is_rolled_back() { [ "$(events | grep -c '"type":"rolled_back"')" = "$1" ]; }
all_healthy() { [ "$(zl ps --json | jq -r '[.[] | select(.state == "running" and .health == "healthy")] | length')" = 3 ]; }
versions() { local i; for i in 1 2 3; do zl exec "$APP.web.$i" sh -c 'echo $VERSION'; done | sort | uniq -c | xargs; }

@test "rollout: one replica at a time, the next when the new one is healthy" {
        write_version one
        run -0 zl up -d app.yaml
        wait_until 10 all_healthy
        write_version two
        run -0 zl up -d app.yaml
        wait_until 15 all_healthy
        assert_equal "$(versions)" '3 two'
        # between a stop and the next one there is always a start and a healthy
        run -0 bash -c "'$ZL_AGENT' events --no-stream --after 0 --json | jq -r 'select(.type == \"stopping\" or .type == \"healthy\") | .type' | tail -6 | xargs"
        assert_output 'stopping healthy stopping healthy stopping healthy'
        zl down "$APP"
        stop_daemon
}

@test "rollout: new replicas that never become healthy are taken back, the others never notice" {
        write_version one
        run -0 zl up -d app.yaml
        wait_until 10 all_healthy
        before=$(pids)
        write_version bad
        zl up -d app.yaml || :
        wait_until 15 is_rolled_back 1
        wait_until 15 all_healthy
        assert_equal "$(versions)" '3 one'
        # two of three still have the process they had
        assert_equal "$(comm -12 <(tr ' ' '\n' <<<"$before") <(pids | tr ' ' '\n') | wc -l)" 2
        # and the stored wish is the old one: an agent that comes up later does not try again
        kill -KILL "$DAEMON"
        wait_until 10 has_ended "$DAEMON"
        after=$(pids)
        start_daemon
        sleep 1
        assert_equal "$(pids)" "$after"
        zl down "$APP"
        stop_daemon
}

@test "rollout: new replicas that end at once, or have no image, are taken back" {
        write_version one
        run -0 zl up -d app.yaml
        wait_until 10 all_healthy
        before=$(pids)
        write_version one no-such-image
        zl up -d app.yaml || :
        wait_until 15 is_rolled_back 1
        assert_equal "$(pids)" "$before"
        write_version broken
        zl up -d app.yaml || :
        wait_until 15 is_rolled_back 2
        wait_until 15 all_healthy
        assert_equal "$(versions)" '3 one'
        zl down "$APP"
        stop_daemon
}
