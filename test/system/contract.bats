# SPDX-License-Identifier: Apache-2.0
# One contract for all runtimes (test/contract/contract.c), and the table of what each can do (docs/runtimes.md).
load lib

setup_file() {
        export CALLERS=$BATS_FILE_TMPDIR
        export CONTRACT_IMAGE=$CALLERS/bb.tar
        YOUKI=$("$ZL_SOURCE/tools/youki" find) || YOUKI=
        export YOUKI
        [ "$(id -u)" = 0 ] || return 0
        skopeo copy -q --insecure-policy "oci:$(busybox_layout):latest" "docker-archive:$CONTRACT_IMAGE:bb:latest" || return
        [ ! -x "$ZL_BUILD/zlayer-wasm" ] ||
                clang --target=wasm32-wasi --sysroot=/usr -O1 -o "$CALLERS/guest.wasm" "$ZL_SOURCE/test/contract/guest.c" || return
        start_dockerd "$CALLERS/docker" || return
        # The daemon mounts the host's network once, when it is first wanted, and keeps it: not a leak of a test.
        docker load -q -i "$CONTRACT_IMAGE" && docker run --rm --network host bb true && docker rmi -f bb
} >&2

teardown_file() {
        stop_dockerd
} >&2

setup() {
        zl_setup
        skip_unless "containers need root" is_root
        export ZLAYER_MONITOR=$ZL_BUILD/zlayer-monitor
}

# The suite against one backend; its table column goes to $CALLERS/ops.NAME for the last test. Exactly the cases of FAULTS fail: what
# the program behind it is known not to do.
contract() { # KIND NAME [FAULTS]
        run timeout -k 5 100 "$ZL_BUILD/test/system/contract" "$1" 3>&-
        printf '%s\n' "$output"
        sed -n 's/^op //p' <<<"$output" >"$CALLERS/ops.$2"
        assert_equal "$(sed -n 's/^case \(.*\) FAILED.*/\1/p' <<<"$output")" "${3:-}"
        [ -n "${3:-}" ] || assert_status 0
        assert_match 'case life ok'
}

@test "contract: native" {
        contract native native
}

@test "contract: docker" {
        skip_unless "dockerd is not installed" has_program dockerd
        contract docker docker
}

@test "contract: runc under our monitor" {
        skip_unless "runc is not installed" has_program runc
        contract oci:runc oci:runc
}

# crun 1.8 does not run where version 2 of control groups is mounted beside version 1.
@test "contract: crun under our monitor" {
        skip_unless "crun is not installed" has_program crun
        local crun=crun
        if [ -d /sys/fs/cgroup/unified ]; then
                crun=$ZL_DIR/crun-v1
                printf '%s\n' '#!/bin/sh' 'exec unshare -m sh -c '\''umount /sys/fs/cgroup/unified; exec crun "$@"'\'' crun "$@"' >"$crun"
                chmod +x "$crun"
        fi
        contract "oci:$crun" oci:crun
}

# youki 0.7 cannot mount version 1 of control groups where it joins the processes of another: it looks itself up there.
@test "contract: youki under our monitor" {
        skip_unless "expected: youki is not there (tools/youki)" test -x "$YOUKI"
        contract "oci:$YOUKI" oci:youki "$(! is_cgroup_v1 || echo joined)"
        # So the table needs no column for it.
        [ ! -s "$CALLERS/ops.oci:runc" ] || diff "$CALLERS/ops.oci:runc" "$CALLERS/ops.oci:youki"
}

@test "contract: WebAssembly" {
        skip_unless "built without WebAssembly" test -x "$ZL_BUILD/zlayer-wasm"
        CONTRACT_IMAGE=$CALLERS/guest.wasm contract wasm wasm
}

@test "contract: mock" {
        contract mock mock
}

@test "contract: composite" {
        contract composite composite
}

# "| create | yes | yes |" for each operation, from what the suites above told.
contract_table() {
        local names=("$@") name op
        printf '| operation |'; printf ' %s |' "${names[@]}"; echo
        printf '|---|'; printf -- '---|%.0s' "${names[@]}"; echo
        while read -r op _; do
                printf '| %s |' "$op"
                for name in "${names[@]}"; do
                        if grep -qx "$op yes" "$CALLERS/ops.$name"; then printf ' yes |'; else printf ' – |'; fi
                done
                echo
        done <"$CALLERS/ops.${names[0]}"
}

@test "contract: the table in docs/runtimes.md is what the suites told" {
        local doc=$ZL_SOURCE/docs/runtimes.md names=(native docker oci:runc oci:crun wasm composite mock) name
        for name in "${names[@]}"; do
                [ -s "$CALLERS/ops.$name" ] || skip "$name was not run"
        done
        contract_table "${names[@]}" >"$ZL_DIR/table"
        if [ "${ZL_UPDATE_DOCS:-0}" = 1 ]; then
                sed -i '/^| operation |/,$d' "$doc"
                cat "$ZL_DIR/table" >>"$doc"
        fi
        sed -n '/^| operation |/,$p' "$doc" | diff - "$ZL_DIR/table"
}
