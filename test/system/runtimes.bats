# SPDX-License-Identifier: Apache-2.0
# The same deployment and the same commands on every runtime: what a user sees must not depend on which it is. And what
# each runtime says when its engine is away, hostile or wrong.
# shellcheck disable=SC2016 # $ in specs and in `sh -c` texts is for the container
load lib

setup_file() {
        YOUKI=$("$ZL_SOURCE/tools/youki" find) || YOUKI=
        export YOUKI
        [ "$(id -u)" = 0 ] || return 0
        start_registry "$BATS_FILE_TMPDIR/registry" || return
        push_image "$(busybox_layout)" hello/busybox:1 || return
        ! has_program dockerd || start_dockerd "$BATS_FILE_TMPDIR/docker"
} >&2

teardown_file() {
        stop_registry
        stop_dockerd
} >&2

setup() {
        zl_setup
        skip_unless "containers need root" is_root
}

says_more() { # NAME...: each has said its second line
        local name
        for name in "$@"; do
                [[ $(zl logs "$name") == *'line 2'* ]] || return 1
        done
}

# Everything that a user sees of examples/hello.yaml with a runtime, in a form that can be compared.
show_hello() { # RUNTIME DIR
        local ZLAYER_RUNTIME=$1 dir=$2 names=(hello.greeter.1 hello.greeter.2 hello.greeter.3)
        mkdir "$dir"
        export ZLAYER_RUNTIME ZLAYER_ROOT_DIR=$dir/root ZLAYER_RUNTIME_DIR=$dir/run
        sed "s,127.0.0.1:35050,$REGISTRY," "$ZL_SOURCE/examples/hello.yaml" >"$dir/hello.yaml"
        background "$ZL_AGENT" up "$dir/hello.yaml"
        wait_until 60 says_more "${names[@]}" || { cat "$ZL_BG_LOG"; return 1; }
        zl ps --json | jq -S 'map({name, deployment, service, replica, image, state, exit_code, signal, oom, restarts, pid: (.pid > 0)})' \
                >"$dir/ps"
        zl logs hello.greeter.2 | head -n 2 >"$dir/logs"
        run zl exec hello.greeter.1 sh -c 'echo "$GREETING inside"; exit 9'
        echo "$status $output" >"$dir/exec"
        run zl exec hello.greeter.1 no-such-command
        echo "$status" >>"$dir/exec"
        # Not through us: an end that nobody asked for.
        kill -KILL "$(zl ps --json | jq '.[] | select(.name == "hello.greeter.3") | .pid')"
        wait_until 30 restarted hello.greeter.3 || return
        zl down hello || return
        timeout 60 tail --pid="$ZL_BG" -s 0.05 -f /dev/null
        zl events --json --no-stream --after 0 | jq -c 'select(.name == "hello.greeter.1") | [.type, .exit_code, .signal]' >"$dir/events"
        zl ps -a --json >"$dir/ps-after"
}
restarted() { [ "$(zl ps --json | jq -r --arg n "$1" '.[] | select(.name == $n and .state == "running") | .restarts')" -ge 1 ]; }

compare_hello() { # RUNTIME
        local file
        show_hello native "$ZL_DIR/native"
        show_hello "$1" "$ZL_DIR/other"
        for file in ps logs exec events ps-after; do
                [ -s "$ZL_DIR/native/$file" ]
                diff "$ZL_DIR/native/$file" "$ZL_DIR/other/$file" || { echo "$file differs"; return 1; }
        done
}

@test "runtimes: up of the example is the same on Docker as native" {
        skip_unless "dockerd is not installed" has_program dockerd
        compare_hello docker
}

@test "runtimes: up of the example is the same by runc as native" {
        skip_unless "runc is not installed" has_program runc
        compare_hello oci:runc
}

@test "runtimes: up of the example is the same by youki as native" {
        skip_unless "expected: youki is not there (tools/youki)" test -x "$YOUKI"
        compare_hello "oci:$YOUKI"
}

@test "runtimes: run gives output and exit codes on Docker" {
        skip_unless "dockerd is not installed" has_program dockerd
        export ZLAYER_RUNTIME=docker
        local image=$REGISTRY/hello/busybox:1
        run -42 zl run --rm --network none "$image" sh -c 'echo out; exit 42'
        assert_match out
        run -127 zl run --rm --network none "$image" no-such-command
        run -0 bash -c "seq 1 20000 | '$ZL_AGENT' run --rm -i --network none $image md5sum"
        assert_match "$(seq 1 20000 | md5sum)"
        run -125 zl run --rm --network none "$REGISTRY/no/such:1" true
        assert_match 'no/such'
}

@test "runtimes: a runtime that is not there is named, with what to do" {
        DOCKER_HOST=unix:///no/such/socket run -125 zl --runtime docker run bb true
        assert_match 'no Docker daemon answers at unix:///no/such/socket'
        DOCKER_HOST=ftp://x run -125 zl --runtime docker run bb true
        assert_match 'does not say where Docker is'
        run -125 zl --runtime oci:no-such-runtime run bb true
        assert_match 'there is no OCI runtime "no-such-runtime"'
        run -2 zl --runtime nonsense run bb true
        assert_match 'unknown runtime "nonsense"'
        run -0 zl info
        assert_match 'native +ready'
        assert_match 'oci +ready.*runc|crun'
}

@test "configuration: option before variable before file; a wrong file is told with its line" {
        printf '%s\n' 'runtime: oci:no-such-one' "root_dir: $ZL_DIR/from-file" 'use_systemd: false' >agent.yaml
        export ZLAYER_CONFIG=$ZL_DIR/agent.yaml
        run -125 zl run bb true
        assert_match 'no OCI runtime "no-such-one"'
        ZLAYER_RUNTIME=oci:variable run -125 zl run bb true
        assert_match 'no OCI runtime "variable"'
        ZLAYER_RUNTIME=oci:variable run -125 zl --runtime oci:option run bb true
        assert_match 'no OCI runtime "option"'
        unset ZLAYER_ROOT_DIR
        run -0 zl info --json
        assert_equal "$(jq -r .root_dir <<<"$output")" "$ZL_DIR/from-file"
        printf '%s\n' 'runtime: native' 'rutnime: x' >agent.yaml
        run -2 zl info
        assert_match 'agent.yaml: 2:1: .*rutnime'
        ZLAYER_CONFIG=$ZL_DIR/none run -2 zl info
        assert_match 'cannot read .*none'
}

@test "environment: every directory goes where its variable says; what cannot be had is refused by name" {
        import_busybox bb
        unset ZLAYER_ROOT_DIR
        export ZLAYER_DATA_DIR=$ZL_DIR/data ZLAYER_STATE_DIR=$ZL_DIR/state ZLAYER_VOLUME_DIR=$ZL_DIR/volumes ZLAYER_CACHE_DIR=$ZL_DIR/cache
        run -0 zl info --json
        assert_equal "$(jq -r .root_dir <<<"$output")" "$ZL_DIR/data"
        import_busybox bb
        zl run -d --network none --name v -v kept:/data bb sh -c 'echo x >/data/file; exec sleep 1000'
        wait_until 10 test -s "$ZL_DIR/volumes/run.kept/_data/file" -o -s "$ZL_DIR/volumes/kept/_data/file"
        test -d "$ZL_DIR/state/run.v.1"
        test -d "$ZL_DIR/data/images"
        test -n "$(ls "$ZL_DIR/cache/seccomp")"
        test ! -e "$ZL_DIR/data/containers"
        test ! -e "$ZL_DIR/data/volumes"
        # Found again, by whoever asks; a volume in use is not pruned.
        assert_equal "$(zl ps --json | jq -r '.[0].name')" run.v.1
        zl volume prune
        test -n "$(zl volume ls)"
        zl rm -f v
        local variable
        for variable in ZLAYER_ROOTFS_DIR ZLAYER_BUNDLE_DIR; do
                run -125 env "$variable=$ZL_DIR/elsewhere" "$ZL_AGENT" run --rm --network none bb true
                assert_match "$variable is set to $ZL_DIR/elsewhere, but"
        done
        ZLAYER_CACHE_TYPE=s3 ZLAYER_S3_BUCKET=b run -125 zl run --rm --network none bb true
        assert_match 'ZLAYER_CACHE_TYPE is s3, but images are kept on disk only'
        ZLAYER_CACHE_TYPE=nonsense run -125 zl run --rm --network none bb true
        assert_match 'no kind of cache'
        ZLAYER_CACHE_TYPE=persistent zl run --rm --network none bb true
}

@test "docker: who may not talk to the engine is told so" {
        skip_unless "dockerd is not installed" has_program dockerd
        chmod 0755 "$ZL_DIR" # the directories of the one who asks
        install -d -o 65534 -g 65534 "$ZL_DIR/nobody"
        run timeout 20 setpriv --reuid 65534 --regid 65534 --clear-groups "$ZL_AGENT" --root-dir "$ZL_DIR/nobody/root" \
                --runtime-dir "$ZL_DIR/nobody/run" --runtime docker run bb true
        assert_status 125
        assert_match "cannot talk to Docker at ${DOCKER_HOST#unix://}|cannot talk to Docker at $DOCKER_HOST"
        assert_match 'ermission denied'
}

@test "docker: an engine that does not answer for a while holds up what asks it, and nothing is lost" {
        skip_unless "dockerd is not installed" has_program dockerd
        export ZLAYER_RUNTIME=docker
        start_dockerd "$ZL_DIR/own"
        zl run -d --network none --name slow "$REGISTRY/hello/busybox:1" sh -c 'sleep 1; exit 12'
        background zl wait slow
        local waits=$ZL_BG log=$ZL_BG_LOG
        sleep 0.3
        kill -STOP "$DOCKERD"
        background "$ZL_AGENT" ps -a --json
        sleep 2 # the workload ends meanwhile
        kill -0 "$ZL_BG" "$waits"
        # It sleeps while it waits: no ticks worth speaking of.
        [ "$(awk '{print $14 + $15}' "/proc/$ZL_BG/stat")" -lt 20 ]
        kill -CONT "$DOCKERD"
        timeout 60 tail --pid="$ZL_BG" -s 0.05 -f /dev/null
        assert_equal "$(jq -r '.[].name' "$ZL_BG_LOG")" run.slow.1
        timeout 60 tail --pid="$waits" -s 0.05 -f /dev/null
        assert_equal "$(cat "$log")" 12
        zl rm -f slow
        stop_dockerd
}

@test "docker: an engine that is killed and comes back loses nothing" {
        skip_unless "dockerd is not installed" has_program dockerd
        export ZLAYER_RUNTIME=docker
        local image=$REGISTRY/hello/busybox:1
        start_dockerd "$ZL_DIR/own" --live-restore
        zl run -d --network none --name keeps "$image" sh -c 'echo ready; sleep 6; exit 11'
        zl run -d --network none --name stays "$image" sleep 1000
        background zl wait keeps
        sleep 0.5
        kill -KILL "$DOCKERD"
        timeout 60 tail --pid="$DOCKERD" -s 0.05 -f /dev/null
        run -1 zl --runtime docker ps
        assert_match 'no Docker daemon answers'
        rm -f "$ZL_DIR/own/pid"
        start_dockerd "$ZL_DIR/own" --live-restore
        # The wait that began before goes on and tells the end.
        timeout 60 tail --pid="$ZL_BG" -s 0.05 -f /dev/null
        assert_equal "$(cat "$ZL_BG_LOG")" 11
        assert_equal "$(zl ps --json | jq -r '.[].name')" run.stays.1
        zl rm -f keeps stays
        stop_dockerd
}

# An image whose /mark says what, pushed under the tag.
push_mark() { # MARK NAME:TAG
        make_marked_image "$1"
        push_image "$1.oci" "$2"
}

@test "docker: a tag that moves changes nothing by itself; an up replaces what it means now" {
        skip_unless "dockerd is not installed" has_program dockerd
        load daemon
        export ZLAYER_RUNTIME=docker
        local image=$REGISTRY/moving/$ZL_ID APP=app-$ZL_ID
        push_mark one "moving/$ZL_ID:latest"
        cat >app.yaml <<-END
		version: v1
		deployment: $APP
		services:
		  web: {image: {name: "$image"}, scale: {mode: fixed, replicas: 1}, stop_grace_period: 0s}
		END
        start_daemon
        zl up -d app.yaml
        assert_equal "$(marks)" '1 one'
        push_mark two "moving/$ZL_ID:latest"
        zl image pull "$image" # the engine's tag moves, too
        zl scale "$APP" web=2
        wait_until 20 has_marks '2 one'
        kill -KILL "$DAEMON"
        wait_until 10 has_ended "$DAEMON"
        start_daemon
        zl scale "$APP" web=1
        zl scale "$APP" web=2
        wait_until 20 has_marks '2 one'
        sed -i 's/replicas: 1/replicas: 2/' app.yaml
        run -0 zl up -d app.yaml
        assert_match "$APP.web is replaced: .* has moved from sha256:"
        wait_until 30 has_marks '2 two'
        assert_equal "$(zl ps --json | jq -r '[.[].image] | unique | .[0]')" "$image:latest"
        zl down "$APP"
        stop_daemon
}
