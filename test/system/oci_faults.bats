#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# zlayer-oci under faults: killed at every stage of create, many at one id, many at once. What is left is nothing.
load lib

hook='.hooks = {createRuntime:[{path:"/bin/true"}]}'

nothing_left() { # WHAT
        [ ! -e "$ZL_DIR/oci/c$ZL_ID" ] || fail "$1: state is left: $(ls -A "$ZL_DIR/oci/c$ZL_ID")"
        [ -z "$(find /sys/fs/cgroup -name "$ZL_ID-b")" ] || fail "$1: a cgroup is left"
        ! grep -q " $ZL_DIR" /proc/self/mountinfo || fail "$1: a mount is left"
        # A process that was the container's ends by itself at the latest when it hears from nobody.
        wait_until 10 nobody_left || fail "$1: a process is left: $(pgrep -af "zlayer-oci.*c$ZL_ID")"
}
nobody_left() { ! pgrep -f "zlayer-oci.*c$ZL_ID" >/dev/null; }

@test "a create that is killed at any stage is cleaned up by delete --force" {
        local stage
        make_bundle "$ZL_DIR/b" "$hook | .process.args = [\"sleep\",\"100\"] | .linux.cgroupsPath = \"/zlayer/x/$ZL_ID-b\""
        for stage in state cgroup sockets cloned remembered hooks ready published; do
                status=0
                ZL_TEST_STOP_AT=$stage oci create -b "$ZL_DIR/b" "c$ZL_ID" </dev/null >/dev/null 2>&1 || status=$?
                [ "$status" -eq 137 ] || fail "$stage: status $status: create was not killed there"
                [ -d "$ZL_DIR/oci/c$ZL_ID" ] || fail "$stage: nothing to clean up"
                oci delete --force "c$ZL_ID" || fail "$stage: delete --force failed"
                nothing_left "$stage"
        done
        # And the name is free again.
        oci run -d -b "$ZL_DIR/b" "c$ZL_ID" </dev/null >/dev/null 2>&1
        oci delete --force "c$ZL_ID"
        rmdir "$(cgroup_dir pids zlayer/x)" 2>/dev/null || :
        find /sys/fs/cgroup -depth -path '*/zlayer/x' -type d -exec rmdir {} +
}

@test "a create whose process is killed at any stage says so and leaves nothing" {
        local stage output=
        make_bundle "$ZL_DIR/b" "$hook | .process.args = [\"sleep\",\"100\"]"
        for stage in child-namespaces child-cgroup child-mounts child-root child-privileges; do
                status=0
                ZL_TEST_STOP_AT=$stage oci create -b "$ZL_DIR/b" "c$ZL_ID" </dev/null >/dev/null 2>"$ZL_DIR/said" || status=$?
                assert_status 1
                assert_match 'killed by signal|ended while it was being created|process has ended' "$(cat "$ZL_DIR/said")"
                nothing_left "$stage"
        done
}

# One of several that work on one id; what it does is written down.
worker() { # OPERATION…
        local said=$ZL_DIR/said.$BASHPID
        for _ in {1..12}; do
                if "$ZL_OCI" --root "$ZL_DIR/oci" "$@" >/dev/null 2>"$said" </dev/null; then echo ok; else cat "$said"; fi
        done >>"$ZL_DIR/story.$1"
}

@test "create, start, kill and delete of one id at the same time end in one story" {
        local pid pids=()
        make_bundle "$ZL_DIR/b" '.process.args = ["sleep","100"]'
        for _ in 1 2; do
                worker create -b "$ZL_DIR/b" "c$ZL_ID" 3>&- & pids+=($!)
                worker start "c$ZL_ID" 3>&- & pids+=($!)
                worker kill "c$ZL_ID" KILL 3>&- & pids+=($!)
                worker delete --force "c$ZL_ID" 3>&- & pids+=($!)
        done
        for pid in "${pids[@]}"; do wait "$pid"; done
        # Who lost a race is told so in words that fit; nobody finds half of a container.
        run grep -hvE '^ok$|already exists|does not exist|cannot start|cannot be started|not running|has ended|ended while it was being|killed by signal' "$ZL_DIR"/story.*
        assert_output ''
        grep -q '^ok$' "$ZL_DIR/story.create"
        ! grep -qv '^ok$' "$ZL_DIR/story.delete" || fail "delete --force failed:" "$(grep -v '^ok$' "$ZL_DIR/story.delete")"
        oci delete --force "c$ZL_ID"
        nothing_left "after all"
}

@test "32 containers created at the same time all succeed" {
        local i pids=() failed=0
        make_bundle "$ZL_DIR/b" '.process.args = ["sleep","100"]'
        for i in {1..32}; do
                mkdir "$ZL_DIR/b$i"
                ln -s "$ZL_DIR/b/rootfs" "$ZL_DIR/b$i/rootfs"
                jq ".linux.cgroupsPath += \"$i\"" "$ZL_DIR/b/config.json" >"$ZL_DIR/b$i/config.json"
        done
        for i in {1..32}; do
                oci create -b "$ZL_DIR/b$i" "c$ZL_ID-$i" </dev/null >/dev/null 2>>"$ZL_DIR/errors" & pids+=($!)
        done
        for i in "${pids[@]}"; do wait "$i" || failed=$((failed + 1)); done
        [ $failed = 0 ] || fail "$failed of 32 failed:" "$(cat "$ZL_DIR/errors")"
        assert_equal "$(oci list -q | wc -l)" 32
        assert_equal "$(oci list -f json | jq -r '[.[].status] | unique | join(" ")')" created
        oci delete --force --regex "^c$ZL_ID-"
}
