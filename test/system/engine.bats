#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The container engine through zlayer-oci: what a bundle asks for is what the process gets; what fails leaves nothing.
load lib

# run_in FILTER COMMAND…: the output of a command in a container of its own.
run_in() {
        local filter=$1
        shift
        make_bundle "$ZL_DIR/b" "$filter | .process.args = $(jq -cn '$ARGS.positional' --args -- "$@")"
        oci run -b "$ZL_DIR/b" "c$ZL_ID" </dev/null
}

@test "run hands back the exit code and the output" {
        run run_in . sh -c 'echo hello; exit 42'
        assert_status 42
        assert_output hello
        run run_in . sh -c 'kill -TERM $$; sleep 5'
        [ "$status" -eq 0 ] || [ "$status" -eq 143 ] || fail "$status"
}

@test "create, start, exec, kill, delete, state" {
        make_bundle "$ZL_DIR/b" '.process.args = ["sleep","100"]'
        oci create -b "$ZL_DIR/b" --pid-file "$ZL_DIR/pid" "c$ZL_ID" </dev/null >/dev/null 2>&1
        assert_equal "$(oci state "c$ZL_ID" | jq -r .status)" created
        assert_equal "$(oci state "c$ZL_ID" | jq -r .pid)" "$(cat "$ZL_DIR/pid")"
        run oci create -b "$ZL_DIR/b" "c$ZL_ID"
        assert_status 1
        assert_match "already exists"
        oci start "c$ZL_ID"
        assert_equal "$(oci state "c$ZL_ID" | jq -r .status)" running
        run oci start "c$ZL_ID"
        assert_status 1
        run oci exec "c$ZL_ID" sh -c 'ps | grep -c "sleep 10[0]"; exit 3'
        assert_status 3
        assert_output 1
        run -255 oci exec "c$ZL_ID" nope
        assert_match "executable file not found"
        oci pause "c$ZL_ID"
        assert_equal "$(oci state "c$ZL_ID" | jq -r .status)" paused
        oci resume "c$ZL_ID"
        run oci delete "c$ZL_ID"
        assert_status 1
        oci kill "c$ZL_ID" KILL
        wait_until 5 sh -c "$ZL_OCI --root $ZL_DIR/oci state c$ZL_ID | grep -q stopped"
        oci delete "c$ZL_ID"
        run oci state "c$ZL_ID"
        assert_status 1
        assert_match "does not exist"
        [ ! -e "$ZL_DIR/oci/c$ZL_ID" ]
}

@test "a missing command and one that cannot be executed are told apart" {
        run run_in . nope
        [ "$status" -ne 0 ]
        assert_match 'exec: "nope": executable file not found in \$PATH'
        run run_in . /etc/passwd
        assert_match 'exec: "/etc/passwd": [Pp]ermission denied'
}

@test "failed creates leave nothing" {
        local filter
        for filter in '.mounts += [{destination:"/x",type:"bind",source:"/does/not/exist",options:["bind"]}]' \
                '.mounts += [{destination:"/x",type:"nofs"}]' \
                '.root.path = "nowhere"' \
                '.process.user.username = "nobody-here"' \
                '.process.rlimits = [{type:"RLIMIT_NOPE",soft:1,hard:1}]' \
                '.linux.sysctl = {"kernel.panic":"1"}' \
                '.linux.namespaces += [{type:"user"}] | .linux.uidMappings = [{containerID:0,hostID:0,size:1}]' \
                '.process.cwd = "relative"' \
                '.hooks = {createRuntime:[{path:"/bin/false"}]}' \
                '.hooks = {createContainer:[{path:"/bin/false"}]}' \
                '.process.capabilities.bounding = 5'; do
                make_bundle "$ZL_DIR/b" "$filter"
                run oci create -b "$ZL_DIR/b" "c$ZL_ID"
                assert_status 1
                [ -n "$output" ]
                [ ! -e "$ZL_DIR/oci/c$ZL_ID" ] || fail "state is left after: $filter"
                [ -z "$(find /sys/fs/cgroup -name "$ZL_ID-b")" ] || fail "cgroup is left after: $filter"
        done
}

@test "namespaces: host name, pid 1, loopback up, mounts invisible outside" {
        run run_in '.hostname = "inside"' sh -c 'hostname; echo $$; cat /sys/class/net/lo/flags'
        assert_status 0
        assert_equal "${lines[0]}" inside
        assert_equal "${lines[1]}" 1
        assert_equal "${lines[2]}" 0x9
}

@test "a user namespace maps ids" {
        run run_in '.linux.namespaces += [{type:"user"}] |
                .linux.uidMappings = [{containerID:0,hostID:0,size:1000}] |
                .linux.gidMappings = [{containerID:0,hostID:0,size:1000}]' sh -c 'id -u; cat /proc/self/uid_map; : >/dev/null'
        assert_status 0
        assert_match '0 +0 +1000'
}

@test "users and groups are looked up inside" {
        local r=$ZL_DIR/b/rootfs
        make_bundle "$ZL_DIR/b"
        printf 'root:x:0:0::/root:/bin/sh\nbob:x:1000:1001::/home/bob:/bin/sh\n' >"$r/etc/passwd"
        printf 'root:x:0:\nbob:x:1001:\naudio:x:29:bob\n' >"$r/etc/group"
        run run_in '.process.user = {username:"bob"}' sh -c 'id -u; id -g; id -G; echo $HOME; grep CapEff /proc/self/status'
        assert_status 0
        assert_equal "${lines[0]}" 1000
        assert_equal "${lines[1]}" 1001
        assert_match '29' "${lines[2]}"
        assert_equal "${lines[3]}" /home/bob
        run run_in '.process.user = {username:"5:audio"}' sh -c 'id -u; id -g'
        assert_equal "${lines[*]}" "5 29"
}

@test "capabilities, no_new_privs, rlimits, oom_score_adj" {
        run run_in '.process.capabilities = {bounding:["CAP_CHOWN"],permitted:["CAP_CHOWN"],effective:["CAP_CHOWN"]} |
                .process.noNewPrivileges = true | .process.rlimits = [{type:"RLIMIT_NOFILE",soft:77,hard:78}] |
                .process.oomScoreAdj = 123' sh -c 'grep -E "CapPrm|CapBnd|CapAmb|NoNewPrivs" /proc/self/status; ulimit -n; cat /proc/self/oom_score_adj'
        assert_status 0
        assert_match 'CapPrm:.0000000000000001'
        assert_match 'CapBnd:.0000000000000001'
        assert_match 'CapAmb:.0000000000000000'
        assert_match 'NoNewPrivs:.1'
        assert_match $'\n77\n123'
}

@test "masked and read-only paths, read-only root" {
        run run_in '.linux.maskedPaths = ["/proc/keys","/proc/acpi"] | .linux.readonlyPaths = ["/proc/sys"] | .root.readonly = true' \
                sh -c 'cat /proc/keys | wc -c; ls /proc/acpi 2>/dev/null | wc -l; echo 1 >/proc/sys/kernel/panic; : >/new'
        assert_match '^0'
        assert_match 'sys/kernel/panic: Read-only'
        assert_match '/new: Read-only'
        [ ! -e "$ZL_DIR/b/rootfs/new" ]
}

@test "limits are in force" {
        run run_in '.linux.resources.pids = {limit:20} | .linux.resources.memory = {limit:67108864}' \
                sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do sleep 1 & done; wait'
        assert_match "can't fork|Resource temporarily"
}

@test "the out-of-memory killer ends it with 137" {
        run run_in '.linux.resources.memory = {limit:20971520} | del(.process.oomScoreAdj)' \
                sh -c 'exec dd if=/dev/zero of=/dev/null bs=100M count=1'
        assert_status 137
}

@test "binds: file, directory, read-only, a link in the image cannot lead outside" {
        mkdir -p "$ZL_DIR/src"
        echo one >"$ZL_DIR/src/file"
        make_bundle "$ZL_DIR/b"
        ln -sfn /../../../../../.. "$ZL_DIR/b/rootfs/escape"
        run run_in ".mounts += [
                {destination:\"/d\",type:\"bind\",source:\"$ZL_DIR/src\",options:[\"rbind\",\"ro\"]},
                {destination:\"/etc/one\",type:\"bind\",source:\"$ZL_DIR/src/file\",options:[\"bind\"]},
                {destination:\"/escape/tmp/$ZL_ID\",type:\"tmpfs\"}]" sh -c "cat /d/file /etc/one; : >/d/x; ls -d /tmp/$ZL_ID"
        assert_match 'one.one'
        assert_match '/d/x: Read-only'
        [ ! -e "/tmp/$ZL_ID" ]
}

@test "hooks see the state on standard input" {
        printf '#!/bin/sh\ncat >>"%s/hooks.$1"\n' "$ZL_DIR" >"$ZL_DIR/hook"
        chmod +x "$ZL_DIR/hook"
        run run_in ".hooks = {createRuntime:[{path:\"$ZL_DIR/hook\",args:[\"h\",\"runtime\"],env:[\"PATH=/bin:/usr/bin\"]}],
                poststart:[{path:\"$ZL_DIR/hook\",args:[\"h\",\"start\"],env:[\"PATH=/bin:/usr/bin\"]}],
                poststop:[{path:\"$ZL_DIR/hook\",args:[\"h\",\"stop\"],env:[\"PATH=/bin:/usr/bin\"]}]}" true
        assert_status 0
        assert_equal "$(jq -r .status "$ZL_DIR/hooks.runtime")" creating
        [ "$(jq -r .pid "$ZL_DIR/hooks.runtime")" -gt 1 ]
        assert_equal "$(jq -r .status "$ZL_DIR/hooks.start")" running
        assert_equal "$(jq -r .status "$ZL_DIR/hooks.stop")" stopped
}

@test "kernels without the newer calls" {
        local forbid
        for forbid in clone3 openat2 mount_api clone3,openat2,mount_api; do
                export ZL_FORBID=$forbid
                run run_in '.root.readonly = true' sh -c 'cat /proc/keys | wc -c; touch /x; echo done'
                unset ZL_FORBID
                assert_status 0
                assert_match '^0'
                assert_match 'Read-only'
                assert_match 'done'
        done
}

@test "seccomp: a forbidden call fails, with no_new_privs and without" {
        local nnp
        for nnp in true false; do
                run run_in ".process.noNewPrivileges = $nnp | .linux.seccomp = {defaultAction:\"SCMP_ACT_ALLOW\",
                        syscalls:[{names:[\"mkdir\",\"mkdirat\",\"no_such_call\"],action:\"SCMP_ACT_ERRNO\",errnoRet:13}]}" \
                        sh -c 'mkdir /tmp/x || echo refused'
                assert_match refused
        done
}

@test "seccomp: the filter is there while a container waits for its start, unless it forbids the wait" {
        local filter='.process.noNewPrivileges = true | .linux.seccomp = {defaultAction:"SCMP_ACT_ALLOW",syscalls:[{names:["mkdir"],action:"SCMP_ACT_ERRNO"}]}' call
        mode() { awk '/^Seccomp:/ { print $2 }' "/proc/$(oci state "c$ZL_ID" | jq .pid)/status"; }
        is_filtered() { [ "$(mode)" = 2 ]; }
        make_bundle "$ZL_DIR/b" "$filter | .process.args = [\"sleep\",\"60\"]"
        oci create -b "$ZL_DIR/b" "c$ZL_ID"
        wait_until 5 is_filtered
        oci start "c$ZL_ID"
        assert_equal "$(mode)" 2
        oci delete --force "c$ZL_ID"
        # What is still to be done between the gate and the command is forbidden: then the filter comes behind it.
        for call in accept4 recvfrom close_range dup3 rt_sigaction; do
                make_bundle "$ZL_DIR/b" "${filter/mkdir/$call} | .process.args = [\"sleep\",\"60\"]"
                oci create -b "$ZL_DIR/b" "c$ZL_ID"
                sleep 0.1
                assert_equal "$(mode)" 0
                oci start "c$ZL_ID"
                assert_equal "$(mode)" 2
                oci delete --force "c$ZL_ID"
        done
}

@test "descriptors of the caller do not leak" {
        make_bundle "$ZL_DIR/b" '.process.args = ["ls","/proc/self/fd"]'
        exec 9</
        run oci run -b "$ZL_DIR/b" "c$ZL_ID"
        exec 9<&-
        assert_status 0
        assert_equal "${#lines[@]}" 4 # 0, 1, 2 and the directory itself
}
