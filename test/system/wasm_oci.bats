# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bats
# WebAssembly by zlayer-oci: bundles with the annotations that crun has established, by hand, under containerd and under podman.
load lib
load callers

setup_file() {
        export CALLERS=$BATS_FILE_TMPDIR GUEST=$BATS_FILE_TMPDIR/world.wasm
        export ZLAYER_WASM_CACHE_DIR=$BATS_FILE_TMPDIR/cache HOME=$BATS_FILE_TMPDIR/home
        mkdir -p "$CALLERS"/{containerd,podman,home,rootfs/etc}
        [ -x "$ZL_BUILD/zlayer-wasm" ] || return 0
        [ -z "$ZL_ISOLATED" ] || mount -t tmpfs tmpfs /run
        clang --target=wasm32-wasi --sysroot=/usr -O1 -o "$GUEST" "$ZL_SOURCE/test/wasm/world.c"
        cp "$GUEST" "$CALLERS/rootfs/app.wasm"
        echo from-the-image >"$CALLERS/rootfs/etc/message"
        mkimage --os linux --entrypoint /app.wasm "$CALLERS/layout" "$CALLERS/rootfs"
        ! has_program containerd || {
                start_containerd "$CALLERS/containerd" || return
                tar -C "$CALLERS/layout" -cf "$CALLERS/app.oci.tar" .
                ctr image import --base-name app "$CALLERS/app.oci.tar" || return
        }
        ! has_program podman || {
                configure_podman "$CALLERS/podman"
                # conmon does not hand the environment on, and by default compiled code is kept in /var/lib.
                printf '#!/bin/sh\nZLAYER_WASM_CACHE_DIR=%s exec %s "$@"\n' "$ZLAYER_WASM_CACHE_DIR" "$ZL_OCI" >"$CALLERS/zlayer-oci"
                chmod +x "$CALLERS/zlayer-oci"
                skopeo copy -q --insecure-policy "oci:$CALLERS/layout:latest" "docker-archive:$CALLERS/app.tar:app:latest" || return
                podman load -q -i "$CALLERS/app.tar" || return
                RUNTIME=$CALLERS/zlayer-oci podman run --rm --annotation run.oci.handler=wasm app exit 0 || return # makes what it keeps
        }
} >&2

teardown_file() {
        stop_server "$CONTAINERD"
        umount_below "$CALLERS"
} >&2

setup() {
        zl_setup
        skip_unless "containers need root" is_root
        skip_unless "built without WebAssembly" test -x "$ZL_BUILD/zlayer-wasm"
}
teardown() {
        [ -z "$PODMAN_DIR" ] || while umount "$PODMAN_DIR/graph/overlay" 2>/dev/null; do :; done
        zl_teardown
}

# edit DIR JQ…: changes the configuration of a bundle.
edit() {
        local dir=$1
        shift
        jq "$@" <"$dir/config.json" >new && mv new "$dir/config.json"
}
# wasm_bundle DIR ANNOTATION=VALUE ARG…: a bundle whose root has the guest in it.
wasm_bundle() {
        local dir=$1 pair=$2
        shift 2
        mkdir -p "$dir"/rootfs/{proc,dev,sys}
        cp -r "$CALLERS/rootfs/." "$dir/rootfs"
        make_bundle "$dir"
        edit "$dir" '.process.args = $ARGS.positional | .annotations = {($a): $v}' --arg a "${pair%%=*}" --arg v "${pair#*=}" --args "$@"
}

@test "a bundle with run.oci.handler: arguments, environment, its root as files, exit code" {
        wasm_bundle b run.oci.handler=wasm /app.wasm world "two words"
        run -0 oci run -b b "$ZL_ID"
        assert_match 'arg two words'
        assert_match 'env PATH='
        wasm_bundle c run.oci.handler=wasm /app.wasm read /etc/message
        run -0 oci run -b c "$ZL_ID"
        assert_output from-the-image
        wasm_bundle d run.oci.handler=wasm app.wasm exit 42
        run -42 oci run -b d "$ZL_ID"
        wasm_bundle e module.wasm.image/variant=compat /app.wasm read /etc/passwd
        run -4 oci run -b e "$ZL_ID"
        # Without the root a guest has no directory at all.
        edit c '.annotations["com.zlayer.wasm.root"] = "none"'
        run -4 oci run -b c "$ZL_ID"
        assert_match 'cannot read /etc/message'
}

@test "compat-smart runs programs as programs, and modules by their first bytes" {
        wasm_bundle b module.wasm.image/variant=compat-smart /bin/busybox echo native
        mkdir b/rootfs/bin && cp "$(command -v busybox)" b/rootfs/bin/
        run -0 oci run -b b "$ZL_ID"
        assert_output native
        cp "$GUEST" b/rootfs/bin/module
        edit b '.process.args = ["/bin/module", "exit", "8"]'
        run -8 oci run -b b "$ZL_ID"
}

@test "create, start, exec of the module and of another one, kill, delete" {
        wasm_bundle b run.oci.handler=wasm /app.wasm sleep 1000
        cp "$GUEST" b/rootfs/other.wasm
        oci create -b b "$ZL_ID" </dev/null >/dev/null 2>&1
        oci start "$ZL_ID"
        run -0 oci exec -e A=b "$ZL_ID" /app.wasm world x
        assert_match 'arg x'
        assert_match 'env A=b'
        run -3 oci exec "$ZL_ID" /other.wasm write /no/such/place
        run -6 oci exec "$ZL_ID" other.wasm exit 6
        oci kill "$ZL_ID" TERM
        wait_until 5 eval '[ "$(oci state "$ZL_ID" | jq -r .status)" = stopped ]'
        oci delete "$ZL_ID"
}

@test "another user, a read-only root, a trap" {
        wasm_bundle b run.oci.handler=wasm /app.wasm read /etc/message
        edit b '.process.user = {uid: 1000, gid: 1000} | .process.capabilities = {} | .root.readonly = true'
        run -0 oci run -b b "$ZL_ID"
        assert_output from-the-image
        echo '(module (func $f unreachable) (func (export "_start") call $f))' >b/rootfs/trap.wat
        edit b '.process.args = ["/trap.wat"] | .root.readonly = false'
        run -134 oci run -b b "$ZL_ID"
        assert_match '!f'
}

@test "what is no module is one clear error, and nothing is left" {
        wasm_bundle b run.oci.handler=wasm /nothing.wasm
        run ! oci run -b b "$ZL_ID"
        assert_match 'nothing.wasm'
        head -c 100 "$GUEST" >b/rootfs/nothing.wasm
        run ! oci run -b b "$ZL_ID"
        assert_match 'nothing.wasm: not valid WebAssembly'
        # A link of the image leads to its own files only.
        ln -sf /etc/hostname b/rootfs/nothing.wasm
        run ! oci run -b b "$ZL_ID"
        assert_match 'no such file'
        ZLAYER_WASM=/no/such/program run ! oci run -b b "$ZL_ID"
        # The directory of states is made when there is something to be kept.
        [ ! -e "$ZL_DIR/oci" ] || assert_equal "$(ls "$ZL_DIR/oci")" ""
}

@test "containerd runs it: output, exit code, exec, kill" {
        skip_unless "containerd is not installed" has_program containerd
        local n="app$ZL_ID"
        run ctr_run --rm --annotation run.oci.handler=wasm app:latest "$n" /app.wasm exit 9
        assert_status 9
        run hear_again ctr_run --rm --annotation module.wasm.image/variant=compat --env A=b app:latest "$n" /app.wasm world x
        assert_status 0
        assert_match 'arg x'
        assert_match 'env A=b'
        ctr_run -d --annotation run.oci.handler=wasm app:latest "$n" /app.wasm sleep 1000
        run hear_again ctr task exec --exec-id e "$n" /app.wasm read /etc/message
        assert_output from-the-image
        ctr task kill -s KILL "$n"
        wait_until 5 ctr_is "$n" STOPPED
        ctr task rm "$n" || true
        ctr container rm "$n"
}

@test "podman runs it: output, exit code, volume, stop" {
        skip_unless "podman is not installed" has_program podman
        local RUNTIME=$CALLERS/zlayer-oci
        mkdir data && echo content >data/file
        run podman run --rm --annotation run.oci.handler=wasm app exit 7
        assert_status 7
        run podman run --rm --annotation run.oci.handler=wasm -v "$ZL_DIR/data:/data" app read /data/file
        assert_output content
        podman run -d --name p --annotation run.oci.handler=wasm app sleep 1000
        run podman exec p /app.wasm world y
        assert_match 'arg y'
        podman stop -t 5 p
        assert_equal "$(podman inspect -f '{{.State.ExitCode}}' p)" 143
        podman rm p
}
