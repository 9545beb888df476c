# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bats
# examples/embed.c: a program of somebody else runs a container through libzlayer, public headers only.

load lib

setup() {
        zl_setup
        skip_unless "containers need root" is_root
        export ZLAYER_MONITOR=$ZL_BUILD/zlayer-monitor
        "$ZL_BUILD/test/system/native-driver" import "$(busybox_layout)" bb
}

embed() { timeout -k 5 30 "$ZL_BUILD/examples/embed" "$@" 3>&-; }

@test "embed: the output and the exit code of the container, and nothing is left" {
        run embed bb sh -c 'echo hello; exit 42'
        assert_status 42
        assert_output hello
        assert_equal "$(ls -A "$ZLAYER_ROOT_DIR/containers")" ""
}

@test "embed: a missing command is 127, and nothing is left" {
        run embed bb /no/such/thing
        assert_status 127
        assert_equal "$(ls -A "$ZLAYER_ROOT_DIR/containers")" ""
}

@test "embed: an image that is nowhere" {
        run embed 127.0.0.1:1/no/image:1
        assert_status 125
        assert_match "pull"
}
