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

# A tag that means another image from now on: one whose /mark says what.
move_tag() { # NAME MARK
        make_marked_image "$2"
        zl image import "$2.oci" "$1" >/dev/null
}
write_tag() { # IMAGE REPLICAS
        cat >app.yaml <<-END
		version: v1
		deployment: $APP
		services:
		  web:
		    image: {name: $1}
		    scale: {mode: fixed, replicas: $2}
		    stop_grace_period: 0s
		END
}

@test "rollout: a tag that moves changes nothing by itself; an up replaces, says so, and goes back if the new image is no good" {
        move_tag app one
        write_tag app 2
        run -0 zl up -d app.yaml
        assert_equal "$(marks)" '2 one'
        before=$(pids)
        # it moves: more replicas, a lost one, another agent, none makes a difference
        move_tag app two
        zl scale "$APP" web=3
        wait_until 10 has_marks '3 one'
        kill -KILL "$DAEMON"
        wait_until 10 has_ended "$DAEMON"
        start_daemon
        zl scale "$APP" web=2
        zl scale "$APP" web=3
        wait_until 10 has_marks '3 one'
        assert_equal "$(comm -12 <(tr ' ' '\n' <<<"$before") <(pids | tr ' ' '\n') | wc -l)" 2
        # up says it, and does it, since without a tag what is newest is wanted
        write_tag app 3
        run -0 zl up -d app.yaml
        assert_match "$APP.web is replaced: docker.io/library/app:latest has moved from sha256:[0-9a-f]{64} to sha256:[0-9a-f]{64}"
        wait_until 20 has_marks '3 two'
        # the same again has nothing to do
        before=$(pids)
        run -0 zl up -d app.yaml
        assert_no_match 'is replaced'
        assert_equal "$(pids)" "$before"
        kill -KILL "$DAEMON"
        wait_until 10 has_ended "$DAEMON"
        start_daemon
        assert_equal "$(pids)" "$before"
        # one that ends at once is taken back, and stays so for the next agent
        make_busybox_rootfs "$ZL_DIR/rootfs.bad"
        mkimage --cmd false bad.oci "$ZL_DIR/rootfs.bad"
        zl image import bad.oci app >/dev/null
        run zl up -d app.yaml
        wait_until 20 is_rolled_back 1
        wait_until 20 has_marks '3 two'
        kill -KILL "$DAEMON"
        wait_until 10 has_ended "$DAEMON"
        start_daemon
        zl scale "$APP" web=1
        zl scale "$APP" web=3
        wait_until 10 has_marks '3 two'
        zl down "$APP"
        # nothing is remembered beyond the end
        move_tag app three
        write_tag app 1
        zl up -d app.yaml
        assert_equal "$(marks)" '1 three'
        zl down "$APP"
        stop_daemon
}

@test "rollout: of a tag with pull_policy if_not_present up says that it has moved, and leaves the replicas what they are" {
        move_tag app:1 one
        write_tag app:1 1
        run -0 zl up -d app.yaml
        before=$(pids)
        move_tag app:1 two
        run -0 zl up -d app.yaml
        assert_match "$APP.web: docker.io/library/app:1 means another image here now .sha256:[0-9a-f]{64}.; its replicas stay with sha256:"
        assert_equal "$(pids)" "$before"
        write_tag app:1 2
        run -0 zl up -d app.yaml
        wait_until 10 has_marks '2 one'
        # a changed service is made anew, of the same image
        sed -i 's/scale:/env: {A: b}\n    &/' app.yaml
        run -0 zl up -d app.yaml
        assert_equal "$(zl exec "$APP.web.1" sh -c 'echo $A')" b
        wait_until 10 has_marks '2 one'
        zl down "$APP"
        # without a daemon
        stop_daemon
        move_tag app 1
        write_tag app 1
        zl up -d app.yaml
        assert_equal "$(marks)" '1 1'
        kill -KILL "$(tr -dc 0-9 <"$ZLAYER_ROOT_DIR/deployments/$APP.lock")"
        move_tag app 2
        run -0 zl up -d app.yaml
        wait_until 10 has_marks '1 2'
        zl down "$APP"
}
