#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What callers of runc rely on beyond the life of a container: hooks, environment, signals, messages, exit codes.
load lib

# run_in FILTER COMMAND…: the output of a command in a container of its own.
run_in() {
        local filter=$1
        shift
        make_bundle "$ZL_DIR/b" "$filter | .process.args = $(jq -cn '$ARGS.positional' --args -- "$@")"
        oci run -b "$ZL_DIR/b" "c$ZL_ID" </dev/null
}

@test "a failing poststart hook is an error and ends the container" {
        make_bundle "$ZL_DIR/b" '.process.args = ["sleep","100"] | .hooks = {poststart:[{path:"/bin/true"},{path:"/bin/false"}]}'
        oci create -b "$ZL_DIR/b" "c$ZL_ID" </dev/null >/dev/null 2>&1
        run oci start "c$ZL_ID"
        assert_status 1
        assert_match 'error running poststart hook #1: /bin/false'
        [ ! -e "$ZL_DIR/oci/c$ZL_ID" ]
}

@test "hooks: named with kind and number; without an environment of their own they get ours, or the container's" {
        local kind
        for kind in prestart createRuntime createContainer; do
                run run_in ".hooks = {$kind:[{path:\"/bin/true\"},{path:\"/bin/false\"}]}" true
                assert_status 1
                assert_match "error running $kind hook #1: /bin/false"
        done
        export ZL_MARK=mark.$ZL_ID
        run run_in ".hooks = {createRuntime:[{path:\"/bin/sh\",args:[\"sh\",\"-c\",\"echo \$ZL_MARK >$ZL_DIR/mark\"]}]}" true
        assert_status 0
        assert_equal "$(cat "$ZL_DIR/mark")" "$ZL_MARK"
        run run_in '.process.env = ["PATH=/bin","ONE=two"] |
                .hooks = {startContainer:[{path:"/bin/sh",args:["sh","-c","echo $ONE $HOME"]}]}' true
        assert_match '^two /'
}

@test "environment: the last of several values stays, an empty HOME is none" {
        run run_in '.process.env = ["PATH=/bin","ONE=1","HOME=","ONE=2"]' sh -c 'env | grep -c ^ONE=; echo $ONE; echo $HOME'
        assert_status 0
        assert_equal "${lines[0]} ${lines[1]}" "1 2"
        assert_match '^/' "${lines[2]}"
}

@test "KILL is for every process of a container without a pid namespace of its own" {
        local pid
        make_bundle "$ZL_DIR/b" '.process.args = ["sh","-c","sleep 1000 & sleep 1000"] | .linux.namespaces |= map(select(.type != "pid"))'
        oci run -d -b "$ZL_DIR/b" "c$ZL_ID" </dev/null >/dev/null 2>&1
        wait_until 5 sh -c "[ \$($ZL_OCI --root $ZL_DIR/oci ps -f json c$ZL_ID | jq length) -ge 2 ]"
        oci kill "c$ZL_ID" KILL
        wait_until 5 sh -c "[ \"\$($ZL_OCI --root $ZL_DIR/oci ps -f json c$ZL_ID)\" = '[]' ]"
        run oci kill "c$ZL_ID" 0
        assert_status 1
        assert_match 'container not running'
        oci delete "c$ZL_ID"
}

@test "linux.memoryPolicy is set, and wrong ones are refused" {
        local policy
        run run_in '.linux.memoryPolicy = {mode:"MPOL_BIND",nodes:"0"}' grep -m 1 -o 'bind:0' /proc/self/numa_maps
        # A kernel without NUMA has no such file.
        [ -e /proc/self/numa_maps ] && assert_output bind:0
        for policy in '{mode:"MPOL_NO"}' '{mode:"MPOL_BIND",nodes:"x"}' '{mode:"MPOL_BIND",nodes:"0",flags:["X"]}' '{mode:"MPOL_BIND"}' '{nodes:"0"}' \
                '{mode:"MPOL_DEFAULT",nodes:"0-7"}'; do
                run run_in ".linux.memoryPolicy = $policy" true
                assert_status 1
                assert_match 'linux.memoryPolicy'
        done
}

@test "standard streams that are files belong to the user; inheritable capabilities are the config's" {
        run_in '.process.user = {uid:12,gid:34}' sh -c 'echo again >/dev/stdout' >"$ZL_DIR/out"
        assert_equal "$(cat "$ZL_DIR/out")" again
        assert_equal "$(stat -c %u:%g "$ZL_DIR/out")" 12:34
        run run_in '.process.capabilities = {inheritable:["CAP_CHOWN"]}' grep CapInh /proc/self/status
        assert_match '0000000000000001'
}

@test "a file instead of a terminal gets plain lines" {
        run_in '.process.terminal = true' echo line >"$ZL_DIR/out"
        assert_equal "$(od -An -c "$ZL_DIR/out" | tr -d ' ')" 'line\n'
}

@test "list of a directory that is not there, exec in a paused container and in a group that is not there" {
        run oci list
        assert_status 1
        make_bundle "$ZL_DIR/b" '.process.args = ["sleep","100"]'
        oci run -d --config config.json -b "$ZL_DIR/b" "c$ZL_ID" </dev/null >/dev/null 2>&1
        run oci exec --cgroup ../x "c$ZL_ID" true
        assert_status 255
        assert_match 'bad sub cgroup path'
        run oci exec --cgroup none "c$ZL_ID" true
        assert_status 255
        oci pause "c$ZL_ID"
        run oci exec "c$ZL_ID" true
        assert_status 255
        assert_match 'cannot exec in a paused container'
        oci delete --force "c$ZL_ID"
}

@test "user and pid namespaces of another container are joined, and the pid is that of the new process" {
        local target pid
        make_bundle "$ZL_DIR/b" '.process.args = ["sleep","1000"] | .linux.namespaces += [{type:"user"}] | .linux.cgroupsPath = "t" |
                .linux.uidMappings = [{containerID:0,hostID:0,size:1000}] | .linux.gidMappings = [{containerID:0,hostID:0,size:1000}]'
        oci run -d -b "$ZL_DIR/b" "t$ZL_ID" </dev/null >/dev/null 2>&1
        target=$(oci state "t$ZL_ID" | jq .pid)
        make_bundle "$ZL_DIR/b2" ".process.args = [\"sleep\",\"1001\"] | .linux.namespaces += [{type:\"user\",path:\"/proc/$target/ns/user\"}] |
                .linux.namespaces |= map(if .type == \"pid\" then .path = \"/proc/$target/ns/pid\" else . end)"
        oci run -d -b "$ZL_DIR/b2" "c$ZL_ID" </dev/null >/dev/null 2>&1
        pid=$(oci state "c$ZL_ID" | jq .pid)
        assert_equal "$(tr '\0' ' ' <"/proc/$pid/cmdline")" 'sleep 1001 '
        assert_equal "$(readlink "/proc/$pid/ns/pid")" "$(readlink "/proc/$target/ns/pid")"
        oci delete --force "c$ZL_ID"
        oci delete --force "t$ZL_ID"
}
