#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What the suites of runc and crun ask for beyond the life of a container, and callers have come to rely on: one test per subject.
load lib

# run_in FILTER COMMAND…: the output of a command in a container of its own.
run_in() {
        local filter=$1
        shift
        make_bundle "$ZL_DIR/b" "$filter | .process.args = $(jq -cn '$ARGS.positional' --args -- "$@")"
        oci run -b "$ZL_DIR/b" "c$ZL_ID" </dev/null
}

start_idle() { # FILTER [ID]
        make_bundle "$ZL_DIR/b" "$1 | .process.args = [\"sleep\",\"100\"]"
        oci run -d -b "$ZL_DIR/b" "${2:-c$ZL_ID}" </dev/null >/dev/null 2>&1
}

userns='.linux.namespaces += [{type:"user"}] | .linux.uidMappings = [{containerID:0,hostID:100000,size:65536}] |
        .linux.gidMappings = [{containerID:0,hostID:100000,size:65536}]'

@test "a frozen group that is there already is refused, not waited in" {
        local dir=freezer file=freezer.state value=FROZEN
        is_cgroup_v2 && dir='' file=cgroup.freeze value=1
        mkdir -p "/sys/fs/cgroup/$dir/zlayer/$ZL_ID-b"
        echo $value >"/sys/fs/cgroup/$dir/zlayer/$ZL_ID-b/$file"
        run run_in . true
        assert_status 1
        assert_match "container's cgroup unexpectedly frozen"
        rmdir "/sys/fs/cgroup/$dir/zlayer/$ZL_ID-b"
}

@test "delete: by regular expression, and of a process that sits in somebody's frozen group" {
        local pid
        start_idle '.linux.cgroupsPath += "1"' "x$ZL_ID-1"
        start_idle '.linux.cgroupsPath += "2"' "x$ZL_ID-2"
        start_idle .
        run oci delete --regex 'x['
        assert_status 1
        oci delete --force --regex "^x$ZL_ID-[12]\$"
        assert_equal "$(oci list -q)" "c$ZL_ID"
        if is_cgroup_v1; then
                pid=$(oci state "c$ZL_ID" | jq .pid)
                mkdir "/sys/fs/cgroup/freezer/zlayer-$ZL_ID"
                echo "$pid" >"/sys/fs/cgroup/freezer/zlayer-$ZL_ID/cgroup.procs"
                echo FROZEN >"/sys/fs/cgroup/freezer/zlayer-$ZL_ID/freezer.state"
        fi
        oci delete --force "c$ZL_ID"
        ! is_cgroup_v1 || rmdir "/sys/fs/cgroup/freezer/zlayer-$ZL_ID"
}

@test "no groups at all, a limit of 0 processes means 1, descriptors keep their numbers" {
        make_bundle "$ZL_DIR/b" '.process.args = ["sleep","100"] | del(.linux.resources)'
        oci --cgroup-manager disabled run -d -b "$ZL_DIR/b" "c$ZL_ID" </dev/null >/dev/null 2>&1
        [ -z "$(find /sys/fs/cgroup -name "$ZL_ID-b")" ] || fail "a group was made"
        oci delete --force "c$ZL_ID"
        start_idle '.linux.resources.pids = {limit:0}'
        assert_equal "$(cat "$(cgroup_dir pids "zlayer/$ZL_ID-b")/pids.max")" 1
        [ -n "$(find /sys/fs/cgroup -name "$ZL_ID-b")" ]
        oci delete --force "c$ZL_ID"
        echo five >"$ZL_DIR/five"
        make_bundle "$ZL_DIR/b" '.process.args = ["sh","-c","cat <&5; [ ! -e /proc/self/fd/4 ]"]'
        run bash -c "exec 5<$ZL_DIR/five 3<&- 4<&-; exec $ZL_OCI --root $ZL_DIR/oci run --preserve-fds 3 -b $ZL_DIR/b c$ZL_ID" </dev/null
        assert_status 0
        assert_output five
}

@test "what a hook says is in the error, and in the files of the annotations" {
        run run_in '.hooks = {startContainer:[{path:"/bin/busybox",args:["cat","/nosuchfile"]}]}' true
        assert_status 1
        assert_match "error running startContainer hook #0: /bin/busybox: .*can't open '/nosuchfile'"
        run run_in '.hooks = {createRuntime:[{path:"/bin/sh",args:["sh","-c","echo alas >&2; exit 1"]}]}' true
        assert_match 'createRuntime hook #0: /bin/sh: .*: alas'
        run_in ".annotations = {\"run.oci.hooks.stdout\":\"$ZL_DIR/out\",\"run.oci.hooks.stderr\":\"$ZL_DIR/err\"} |
                .hooks = {prestart:[{path:\"/bin/sh\",args:[\"sh\",\"-c\",\"echo one; echo two >&2\"]}]}" true
        assert_equal "$(cat "$ZL_DIR/out" "$ZL_DIR/err")" $'one\ntwo'
}

@test "start and state wait for a create that is at work; hooks of the creation see it at once" {
        make_bundle "$ZL_DIR/b" ".process.args = [\"true\"] | .hooks = {createRuntime:[{path:\"/bin/sh\",
                args:[\"sh\",\"-c\",\"$ZL_OCI --root $ZL_DIR/oci state c$ZL_ID >$ZL_DIR/seen; sleep 1\"]}]}"
        background "$ZL_OCI" --root "$ZL_DIR/oci" create -b "$ZL_DIR/b" "c$ZL_ID"
        wait_until 10 test -d "$ZL_DIR/oci/c$ZL_ID"
        oci start "c$ZL_ID"
        wait "$ZL_BG"
        assert_equal "$(jq -r .status "$ZL_DIR/seen")" creating
        oci delete --force "c$ZL_ID"
}

@test "a user namespace: its own device nodes, sources that its root cannot reach, mapped ids" {
        local r=$ZL_DIR/b/rootfs
        mkdir -p "$ZL_DIR/closed/open"
        echo here >"$ZL_DIR/closed/open/file"
        chmod 700 "$ZL_DIR/closed"
        chmod 755 "$ZL_DIR"
        make_bundle "$ZL_DIR/b"
        chown -R 100000:100000 "$r"
        run run_in "$userns | .linux.devices = [{path:\"/dev/mine/\",type:\"c\",major:1,minor:3,uid:10,gid:11,fileMode:416}] |
                .mounts += [{destination:\"/in\",type:\"bind\",source:\"$ZL_DIR/closed/open\",options:[\"rbind\"]}]" \
                sh -c 'stat -c %u:%g:%a:%t:%T /dev/mine; cat /in/file; echo x >/dev/null'
        assert_status 0
        assert_equal "${lines[*]}" '10:11:640:1:3 here'
        skip_unless "expected: this file system cannot map ids" can_map_ids
        run run_in "$userns | .mounts += [{destination:\"/in\",type:\"bind\",source:\"$ZL_DIR/closed/open\",options:[\"rbind\",\"idmap\"]}]" \
                stat -c %u:%g /in/file
        assert_output 0:0
}

can_map_ids() {
        mkdir -p "$ZL_DIR/m"
        run_in ".mounts += [{destination:\"/m\",type:\"bind\",source:\"$ZL_DIR/m\",options:[\"bind\"],
                uidMappings:[{containerID:0,hostID:5,size:1}],gidMappings:[{containerID:0,hostID:5,size:1}]}]" true
}

@test "mount points: through links that lead to nothing, a tmpfs keeps the mode, /dev read-only, no pivot without a bare /proc" {
        local r=$ZL_DIR/b/rootfs
        echo text >"$ZL_DIR/file"
        make_bundle "$ZL_DIR/b"
        ln -s ../run/not/there/resolv.conf "$r/etc/resolv.conf"
        mkdir -m 710 "$r/t"
        run run_in ".mounts += [{destination:\"/etc/resolv.conf\",type:\"bind\",source:\"$ZL_DIR/file\",options:[\"bind\"]},
                {destination:\"/t\",type:\"tmpfs\",source:\"tmpfs\"}]" sh -c 'cat /etc/resolv.conf /run/not/there/resolv.conf; stat -c %a /t'
        assert_status 0
        assert_equal "${lines[*]}" 'text text 710'
        run run_in '.mounts |= map(if .destination == "/dev" then .options += ["ro"] else . end)' \
                sh -c 'touch /dev/new 2>&1 && echo written; echo x >/dev/null && ls /dev/pts/ptmx'
        assert_match '/dev/pts/ptmx'
        assert_no_match written
        make_bundle "$ZL_DIR/b" '.process.args = ["unshare","-mrpf","mount","-t","proc","none","/mnt"] | .linux.seccomp = null'
        mkdir -p "$r/mnt"
        run oci run --no-pivot -b "$ZL_DIR/b" "c$ZL_ID" </dev/null
        [ "$status" -ne 0 ] || fail "a full procfs could be mounted"
        assert_match 'mount: permission denied'
}

@test "tmpcopyup: the tmpfs holds what the image has there, the image stays as it is" {
        local i r=$ZL_DIR/b/rootfs
        make_bundle "$ZL_DIR/b"
        mkdir -p "$r/t/d/e"
        echo text >"$r/t/d/e/f"
        ln -s d/e/f "$r/t/l"
        mkfifo -m 640 "$r/t/p"
        chown -h 5:6 "$r/t/d" "$r/t/d/e/f" "$r/t/l"
        chmod 2750 "$r/t/d"
        for i in {1..300}; do : >"$r/t/d/a-name-of-some-length-$i"; done # more than one read of the directory
        run run_in '.mounts += [{destination:"/t",type:"tmpfs",source:"tmpfs",options:["tmpcopyup"]}]' sh -c \
                'cat /t/l; cd /t; stat -c %n:%u:%g:%a:%F d d/e/f l p; ls d | wc -l; stat -f -c %T .; echo new >d/e/f'
        assert_status 0
        assert_equal "${lines[*]}" 'text d:5:6:2750:directory d/e/f:5:6:644:regular file l:5:6:777:symbolic link p:0:0:640:fifo 301 tmpfs'
        assert_equal "$(cat "$r/t/d/e/f")" text
}

@test "processors of the caller are not the container's; scheduler deadlines and exec's personality are checked and set" {
        [ "$(nproc)" -gt 1 ] || skip "one processor"
        make_bundle "$ZL_DIR/b" '.process.args = ["grep","Cpus_allowed_list","/proc/self/status"]'
        run taskset -c 0 "$ZL_OCI" --root "$ZL_DIR/oci" run -b "$ZL_DIR/b" "c$ZL_ID" </dev/null
        assert_match '[-,]'
        run run_in '.process.scheduler = {policy:"SCHED_DEADLINE",runtime:10,deadline:5}' true
        assert_status 1
        assert_match 'process.scheduler: .*runtime 10 must be between'
        start_idle '.linux.personality = {domain:"LINUX32"}'
        run oci exec "c$ZL_ID" uname -m
        assert_match 'i.86'
        oci delete --force "c$ZL_ID"
}

@test "an unwritable log is told at once" {
        run oci --log "$ZL_DIR/no/where" list
        assert_status 1
        assert_match 'cannot open the log'
}
