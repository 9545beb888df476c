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
        for again in 1 2; do # it is as it was after the first time
                run run_in . true
                assert_status 1
                assert_match "container's cgroup unexpectedly frozen"
        done
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

@test "hooks of createContainer begin in the container's root, and how a hook ended is told" {
        run_in '.hooks = {createContainer:[{path:"/bin/sh",args:["sh","-c","echo here >./made"]}]}' true
        assert_equal "$(cat "$ZL_DIR/b/rootfs/made")" here
        run run_in '.hooks = {createContainer:[{path:"/bin/sh",args:["sh","-c","exit 3"]}]}' true
        assert_status 1
        assert_match 'createContainer hook #0: /bin/sh: exit status 3'
        run run_in '.hooks = {createRuntime:[{path:"/bin/sh",args:["sh","-c","kill -SYS $$"]}]}' true
        assert_match 'createRuntime hook #0: /bin/sh: signal: bad system call'
        run run_in '.hooks = {poststart:[{path:"/bin/sh",args:["sh","-c","exit 4"]}]}' sleep 100
        assert_match 'poststart hook #0: /bin/sh: exit status 4'
}

@test "delete: a command that is about to end is waited for a moment; masks are absolute" {
        local began ended
        make_bundle "$ZL_DIR/b" '.process.args = ["true"]'
        oci create -b "$ZL_DIR/b" "c$ZL_ID" </dev/null >/dev/null 2>&1
        oci start "c$ZL_ID"
        wait_until 10 oci delete "c$ZL_ID"
        start_idle .
        began=$(date +%s%N)
        run oci delete "c$ZL_ID"
        ended=$(date +%s%N)
        assert_status 1
        assert_match 'that is not stopped: running'
        [ $((ended - began)) -ge 100000000 ] || fail "refused after $((ended - began)) ns"
        oci delete --force "c$ZL_ID"
        run run_in '.linux.maskedPaths = ["proc/kcore"]' true
        assert_status 1
        assert_match 'linux.maskedPaths: "proc/kcore" is not absolute'
}

@test "version 2: exec goes where the first process is when the container's own group has given its controllers away" {
        skip_unless "expected: version 2 of control groups" is_cgroup_v2
        start_idle '.linux.namespaces = [.linux.namespaces[] | select(.type != "cgroup")] + [{type:"cgroup"}] |
                .mounts = [.mounts[] | select(.destination != "/sys/fs/cgroup")] + [{destination:"/sys/fs/cgroup",type:"cgroup",source:"cgroup",options:["rw"]}]'
        oci exec "c$ZL_ID" sh -c 'mkdir /sys/fs/cgroup/in; echo 1 >/sys/fs/cgroup/in/cgroup.procs'
        assert_equal "$(oci exec "c$ZL_ID" cat /proc/self/cgroup)" 0::/
        oci exec "c$ZL_ID" sh -c 'echo $$ >/sys/fs/cgroup/in/cgroup.procs; echo +memory >/sys/fs/cgroup/cgroup.subtree_control'
        assert_equal "$(oci exec "c$ZL_ID" cat /proc/self/cgroup)" 0::/in
        assert_equal "$(oci exec --cgroup in "c$ZL_ID" cat /proc/self/cgroup)" 0::/in
        run oci exec --cgroup / "c$ZL_ID" true
        assert_match 'error adding pid [0-9]+ to cgroups: .*busy'
        oci delete --force "c$ZL_ID"
}

@test "version 2: exec goes where the first process is when the container's own group is gone, and never stays in ours" {
        skip_unless "expected: version 2 of control groups" is_cgroup_v2
        local other=/sys/fs/cgroup/zlayer-$ZL_ID
        start_idle '.linux.namespaces = [.linux.namespaces[] | select(.type != "cgroup")]'
        mkdir "$other"
        oci state "c$ZL_ID" | jq .pid >"$other/cgroup.procs"
        assert_equal "$(oci exec "c$ZL_ID" cat /proc/self/cgroup)" "0::/zlayer/$ZL_ID-b"
        wait_until 10 rmdir "/sys/fs/cgroup/zlayer/$ZL_ID-b"
        assert_equal "$(oci exec "c$ZL_ID" cat /proc/self/cgroup)" "0::/zlayer-$ZL_ID"
        run oci exec --cgroup / "c$ZL_ID" true
        assert_match "the cgroup /?zlayer/$ZL_ID-b of container c$ZL_ID is gone"
        oci delete --force "c$ZL_ID"
        rmdir "$other"
}

@test "version 2: a mount of groups shows the container's own, and in the host's cgroup namespace all" {
        skip_unless "expected: version 2 of control groups" is_cgroup_v2
        local mount='.mounts = [.mounts[] | select(.destination != "/sys/fs/cgroup")] + [{destination:"/sys/fs/cgroup",type:"cgroup",source:"cgroup",options:["ro"]}] |
                .linux.namespaces = [.linux.namespaces[] | select(.type != "cgroup")]'
        run_in "$mount" test -e "/sys/fs/cgroup/zlayer/$ZL_ID-b/cgroup.procs"
        run run_in "$mount + [{type:\"cgroup\"}]" ls /sys/fs/cgroup
        assert_match cgroup.procs
        assert_no_match zlayer
}

@test "version 2: huge pages are limited when reserved, too; a key of unified may have several lines" {
        skip_unless "expected: version 2 of control groups" is_cgroup_v2
        skip_unless "expected: the hugetlb controller" grep -qw hugetlb /sys/fs/cgroup/cgroup.controllers
        local dir=/sys/fs/cgroup/zlayer/$ZL_ID-b
        start_idle '.linux.resources.hugepageLimits = [{pageSize:"2MB",limit:4194304}] | .linux.resources.unified = {"pids.max":"77\n99\n"}'
        assert_equal "$(cat "$dir/hugetlb.2MB.max" "$dir/hugetlb.2MB.rsvd.max" "$dir/pids.max")" $'4194304\n4194304\n99'
        oci delete --force "c$ZL_ID"
}

@test "version 2: with checkBeforeUpdate a memory limit below what is in use is refused, and changes nothing" {
        skip_unless "expected: version 2 of control groups" is_cgroup_v2
        local dir=/sys/fs/cgroup/zlayer/$ZL_ID-b
        start_idle .
        update() { oci update -r - "c$ZL_ID" <<<"{\"memory\":{$1}}"; }
        run update '"limit":1024,"checkBeforeUpdate":true'
        assert_status 1
        assert_match "rejecting memory limit 1024: cgroup /zlayer/$ZL_ID-b uses [0-9]{5,} bytes"
        run update '"limit":1024,"swap":2048,"checkBeforeUpdate":true'
        assert_match 'rejecting memory\+swap limit 2048: '
        run update '"limit":67108864,"swap":33554432'
        assert_match 'must not be below the memory limit'
        assert_equal "$(cat "$dir/memory.max")" max
        assert_equal "$(oci state "c$ZL_ID" | jq -r .status)" running
        update '"limit":67108864,"swap":134217728,"checkBeforeUpdate":true'
        assert_equal "$(cat "$dir/memory.max" "$dir/memory.swap.max")" $'67108864\n67108864'
        oci delete --force "c$ZL_ID"
}

@test "flags of a filter: SPEC_ALLOW where the config has none, nothing where it says so" {
        local filter='.linux.seccomp = {defaultAction:"SCMP_ACT_ALLOW",syscalls:[{names:["mkdir"],action:"SCMP_ACT_ERRNO"}]}'
        flags() { make_bundle "$ZL_DIR/b" ".process.args = [\"true\"] | $filter$1" && oci --debug run -b "$ZL_DIR/b" "c$ZL_ID" </dev/null; }
        run flags ''
        assert_match 'seccomp filter flags: 4"'
        run flags ' | .linux.seccomp.flags = []'
        assert_match 'seccomp filter flags: 0"'
        run flags ' | .linux.seccomp.flags = ["SECCOMP_FILTER_FLAG_LOG"]'
        assert_match 'seccomp filter flags: 2"'
}

@test "a new user namespace without mappings has all ids that there are; half of them is refused" {
        run run_in '.linux.namespaces += [{type:"user"}]' cat /proc/self/uid_map /proc/self/gid_map
        assert_status 0
        assert_equal "$(awk '{ print $1, $2 }' <<<"$output")" $'0 0\n0 0'
        assert_equal "$(awk 'NR == 1 { print $3 }' <<<"$output")" "$(awk '{ n += $3 } END { printf "%.0f\n", n }' /proc/self/uid_map)"
        run run_in '.linux.namespaces += [{type:"user"}] | .linux.uidMappings = [{containerID:0,hostID:0,size:1}]' true
        assert_status 1
        assert_match 'linux.uidMappings: .*both uid and gid mappings'
}

@test "device nodes in a user namespace, also where a kernel copies no mounts that are nowhere" {
        local how
        make_bundle "$ZL_DIR/b"
        chmod 755 "$ZL_DIR"
        chown -R 100000:100000 "$ZL_DIR/b/rootfs"
        for how in none detached_copy; do
                ZL_FORBID=$how run run_in "$userns | .linux.devices = [{path:\"/dev/mine\",type:\"c\",major:1,minor:3,uid:10,gid:11,fileMode:416}]" \
                        sh -c 'stat -c %u:%g:%a:%t:%T /dev/mine; grep -E " /dev/(null|mine) " /proc/mounts | grep -c nosuid,noexec'
                assert_status 0
                assert_equal "${lines[*]}" '10:11:640:1:3 2'
        done
        grep -q " $ZL_DIR" /proc/self/mountinfo && fail 'a mount is left' || :
}

@test "help is found where callers of runc look, and a word that is no command has none" {
        run oci delete --help
        assert_status 0
        assert_equal "${lines[0]}" NAME:
        assert_equal "${lines[1]}" '   zlayer-oci delete - Remove what is left of a container'
        assert_match 'Usage: zlayer-oci delete '
        run oci --help
        assert_equal "${lines[0]} ${lines[1]}" 'NAME:    zlayer-oci - Open Container Initiative runtime'
        run oci nosuch --help
        [ "$status" != 0 ]
        assert_match "No help topic for 'nosuch'"
}

@test "version 2: options of a cgroup mount, keys without a controller, swap and shares are taken seriously" {
        skip_unless "expected: version 2 of control groups" is_cgroup_v2
        local mount='{destination:"/sys/fs/cgroup",type:"cgroup",source:"cgroup",options:["ro","nosuid"'
        run run_in ".mounts = [.mounts[] | select(.destination != \"/sys/fs/cgroup\")] + [$mount,\"nosuch\"]}]" true
        assert_status 1
        assert_match 'mounts: /sys/fs/cgroup: Invalid argument "nosuch"'
        run_in ".mounts = [.mounts[] | select(.destination != \"/sys/fs/cgroup\")] + [$mount,\"nsdelegate\"]}]" true
        run run_in '.linux.resources.unified = {"foo.bar":"1"}' true
        assert_status 1
        assert_match 'the requested cgroup controller `foo` is not available'
        run run_in '.linux.resources.unified = {"NOKEY":"1"}' true
        assert_match 'not the form CONTROLLER.VALUE `NOKEY`'
        start_idle '.linux.resources.memory = {swap:0}'
        assert_equal "$(cat "/sys/fs/cgroup/zlayer/$ZL_ID-b/memory.swap.max")" 0
        oci update --memory -1 "c$ZL_ID"
        assert_equal "$(cat "/sys/fs/cgroup/zlayer/$ZL_ID-b/memory.swap.max")" max
        for pair in 2:1 512:59 1024:100 262144:10000; do
                oci update --cpu-share "${pair%:*}" "c$ZL_ID"
                assert_equal "$(cat "/sys/fs/cgroup/zlayer/$ZL_ID-b/cpu.weight")" "${pair#*:}"
        done
        oci delete --force "c$ZL_ID"
}

@test "version 2: an update of the quota or the period of processor time alone keeps the other" {
        skip_unless "expected: version 2 of control groups" is_cgroup_v2
        local file=/sys/fs/cgroup/zlayer/$ZL_ID-b/cpu.max
        start_idle '.linux.resources.cpu = {quota:500000,period:1000000}'
        assert_equal "$(cat "$file")" '500000 1000000'
        oci update --cpu-period 900000 "c$ZL_ID"
        assert_equal "$(cat "$file")" '500000 900000'
        oci update --cpu-quota 600000 "c$ZL_ID"
        assert_equal "$(cat "$file")" '600000 900000'
        oci update --cpu-quota -1 "c$ZL_ID"
        assert_equal "$(cat "$file")" 'max 900000'
        oci delete --force "c$ZL_ID"
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

@test "symbolic links: copied instead of mounted, mounted themselves, mounted over; never over those of procfs" {
        local r=$ZL_DIR/b/rootfs extra
        make_bundle "$ZL_DIR/b"
        chmod 755 "$ZL_DIR"
        ln -s point-to-nowhere "$ZL_DIR/link"
        echo text >"$ZL_DIR/file"
        ln -s "$ZL_DIR/file" "$ZL_DIR/good"
        link() { # SOURCE DESTINATION OPTION...
                printf '.mounts += [{source:"%s",destination:"%s",type:"bind",options:["bind"' "$1" "$2"
                shift 2
                printf ',"%s"' "$@"
                printf ']}]'
        }
        for extra in . "$userns"; do
                [ "$extra" = . ] || chown 100000:100000 "$r" "$r/t" # whose root is to make links there
                run run_in "$extra | $(link "$ZL_DIR/link" /t/sym/link copy-symlink) | $(link "$ZL_DIR/file" /t/sym/file copy-symlink)" \
                        sh -c 'readlink /t/sym/link; cat /t/sym/file; grep -c /t/sym/link /proc/self/mountinfo'
                assert_output $'point-to-nowhere\ntext\n0'
                run run_in "$extra | $(link "$ZL_DIR/link" /t/sym/link copy-symlink)" readlink /t/sym/link
                assert_output point-to-nowhere
                rm -rf "$r/t/sym" "$r/t/link"
                ln -s other "$r/t/link"
                run run_in "$extra | $(link "$ZL_DIR/link" /t/link copy-symlink)" true
                assert_status 1
                assert_match 'cannot mount /t/link: file exists'
                run run_in "$extra | $(link "$ZL_DIR/good" /t/link src-nofollow dest-nofollow)" \
                        sh -c 'readlink /t/link; grep -c " /t/link " /proc/self/mountinfo'
                assert_output "$ZL_DIR/file"$'\n1'
                run run_in "$extra | $(link "$ZL_DIR/good" /t/link dest-nofollow)" cat /t/link
                assert_output text
                run run_in "$extra | $(link "$ZL_DIR/file" /t/new dest-nofollow)" cat /t/new
                assert_output text
                assert_equal "$(readlink "$r/t/link") $([ -e "$r/t/other" ] || echo untouched)" 'other untouched'
                run run_in "$extra | $(link "$ZL_DIR/link" /proc/self src-nofollow dest-nofollow)" readlink /proc/self
                assert_status 1
                assert_match 'mount point /proc/self'
                rm "$r/t/new"
        done
        run run_in "$(link "$ZL_DIR/link" /t/link copy-symlink src-nofollow)" true
        assert_status 1
        assert_match 'does not go with'
}

@test "a bind in a user namespace, of a directory below which the host has mounted something" {
        local d=$ZL_DIR/d
        chmod 755 "$ZL_DIR"
        make_bundle "$ZL_DIR/b"
        mkdir -p "$d/below" "$ZL_DIR/b/rootfs/one" "$ZL_DIR/b/rootfs/all"
        touch "$d/below/hidden"
        mount -t tmpfs -o size=64k tmpfs "$d/below"
        touch "$d/below/seen"
        run run_in "$userns | .mounts += [{source:\"$d\",destination:\"/one\",type:\"bind\",options:[\"bind\",\"ro\"]},
                {source:\"$d\",destination:\"/all\",type:\"bind\",options:[\"rbind\"]}]" sh -c 'ls /one/below /all/below; touch /one/x'
        assert_match $'/one/below:\nhidden\n'
        assert_match $'/all/below:\nseen\n'
        assert_match '[Rr]ead-only file system'
        umount "$d/below"
}

# What mountinfo of a container says about sharing, "DESTINATION WORD…" a line, for the mounts whose places match.
shared_as() { # FILTER PLACES
        run_in "$1" awk -v places="$2" '$5 ~ places { out = $5; for (i = 7; $i != "-"; i++) out = out " " $i; print out }' /proc/self/mountinfo | sort
}

@test "propagation of a mount is the last word, also where the root has one for all that is below" {
        local peer root base d=$ZL_DIR/shared
        mkdir "$d"
        mount -t tmpfs -o size=64k tmpfs "$d"
        mount --make-shared "$d"
        mkdir "$d/below"
        peer=$(awk -v d="$d" '$5 == d { print $7 }' /proc/self/mountinfo)
        base=".mounts += [{source:\"$d\",destination:\"/s\",type:\"bind\",options:[\"rbind\",\"rshared\"]},
                {source:\"$d\",destination:\"/f\",type:\"bind\",options:[\"rbind\",\"rslave\"]},
                {source:\"$d\",destination:\"/n\",type:\"bind\",options:[\"rbind\"]}]"
        declare -A others=([rprivate]='' [private]=" $peer")
        for root in rprivate private; do
                run shared_as "$base | .linux.rootfsPropagation = \"$root\"" '^/[sfn]?$'
                assert_status 0
                assert_output "/"$'\n'"/f master:${peer#shared:}"$'\n'"/n${others[$root]}"$'\n'"/s $peer"
        done
        # Without a mount that is shared the tree is cut off from the host; what asks to follow it still does.
        run shared_as ".linux.rootfsPropagation = \"rprivate\" |
                .mounts += [{source:\"$d\",destination:\"/f\",type:\"bind\",options:[\"rbind\",\"rslave\"]},
                {source:\"$d\",destination:\"/n\",type:\"bind\",options:[\"rbind\"]}]" '^/[fn]?$'
        assert_output "/"$'\n'"/f master:${peer#shared:}"$'\n'"/n"
        run shared_as "$base | .linux.rootfsPropagation = \"rprivate\"" '.'
        assert_equal "$(grep -cE 'shared|master' <<<"$output")" 2 # /s and /f: nothing else is anybody's peer
        # Bundle and volume on one mount, which the root leaves.
        mkdir "$ZL_DIR/v"
        run shared_as ".mounts += [{source:\"$ZL_DIR/v\",destination:\"/v\",type:\"bind\",options:[\"rshared\"]},
                {source:\"$ZL_DIR/v\",destination:\"/w\",type:\"bind\",options:[\"rslave\"]}]" '^/[vw]$'
        peer=$(sed -n 's/^\/v shared://p' <<<"$output")
        assert_output "/v shared:$peer"$'\n'"/w master:$peer"
        grep -q " shared:$peer " /proc/self/mountinfo || fail "no peer of the host's"
        # What the host had mounted below is still there, on both sides.
        mount -t tmpfs -o size=64k tmpfs "$d/below"
        echo text >"$d/below/file"
        run run_in "$base | .linux.rootfsPropagation = \"rprivate\"" cat /s/below/file /f/below/file
        assert_output $'text\ntext'
        assert_equal "$(cat "$d/below/file")" text
        # And it is shared indeed: a mount of the host comes in, one of the container goes out.
        umount "$d/below"
        start_idle "$base | .linux.rootfsPropagation = \"rprivate\" |
                .process.capabilities |= map_values(. + [\"CAP_SYS_ADMIN\"])"
        mount -t tmpfs -o size=64k tmpfs "$d/below"
        echo in >"$d/below/file"
        run oci exec "c$ZL_ID" cat /s/below/file /f/below/file
        assert_output $'in\nin'
        umount "$d/below"
        oci exec "c$ZL_ID" mount -t tmpfs tmpfs /s/below
        mountpoint -q "$d/below"
        oci exec "c$ZL_ID" umount /s/below
        run ! mountpoint -q "$d/below"
        oci delete --force "c$ZL_ID"
        umount "$d"
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

@test "seccomp: a filter that refuses every call, even the end of a process: run and exec fail, and nobody goes round in circles" {
        local errno
        for errno in 1 4; do
                ZL_TIMEOUT=20 run run_in ".linux.seccomp = {defaultAction:\"SCMP_ACT_ERRNO\",defaultErrnoRet:$errno}" echo through
                test "$status" != 0 -a "$status" != 124
                assert_no_match through
                # An exec that finds no program can neither say so nor end.
                start_idle ".linux.seccomp = {defaultAction:\"SCMP_ACT_ALLOW\",syscalls:[{names:[\"exit\",\"exit_group\",\"sendto\",\"sendmsg\"],
                        action:\"SCMP_ACT_ERRNO\",errnoRet:$errno}]}"
                ZL_TIMEOUT=20 run oci exec "c$ZL_ID" /no/such/program
                test "$status" != 0 -a "$status" != 124
                assert_equal "$(oci exec "c$ZL_ID" echo there)" there
                oci delete --force "c$ZL_ID"
        done
}

@test "seccomp: a call that is newer than the profile is ENOSYS, one that it does not allow is what it says" {
        local profile='.linux.seccomp = {defaultAction:"SCMP_ACT_ERRNO",architectures:["SCMP_ARCH_X86_64","SCMP_ARCH_X86","SCMP_ARCH_X32"],
                syscalls:[{names:["read","write","close","exit","exit_group","execve","brk","mmap","mprotect","arch_prctl","set_tid_address",
                "set_robust_list","rseq","prlimit64","readlink","readlinkat","getrandom","newfstatat","fstat","fcntl","close_range","dup3","getpid"],
                action:"SCMP_ACT_ALLOW"}]}'
        make_bundle "$ZL_DIR/b"
        cc -static -o "$ZL_DIR/b/rootfs/newer" "$ZL_SOURCE/test/system/seccomp_newer.c"
        run run_in "$profile" /newer
        assert_output '0 1 38 38 38'
        run run_in "$profile | .linux.seccomp.defaultErrnoRet = 6" /newer
        assert_output '0 6 38 38 38'
        # A default that lets calls through has nothing to say about those that come later.
        run run_in "$profile | .linux.seccomp.defaultAction = \"SCMP_ACT_LOG\" | .linux.seccomp.syscalls = [{names:[\"unshare\"],action:\"SCMP_ACT_ERRNO\"}]" /newer
        assert_output '0 1 38 38 38'
        # And one that kills does.
        run run_in "$profile | .linux.seccomp.defaultAction = \"SCMP_ACT_KILL_PROCESS\"" /newer
        assert_status 159
}

@test "seccomp: the agent of a listener gets the process of run and of exec; calls that would lock it out are refused" {
        local out=$ZL_DIR/told pid
        background python3 "$ZL_SOURCE/test/system/seccomp_agent.py" "$ZL_DIR/agent" "$out"
        wait_until 10 test -S "$ZL_DIR/agent"
        local filter=".linux.seccomp = {defaultAction:\"SCMP_ACT_ALLOW\",listenerPath:\"$ZL_DIR/agent\",listenerMetadata:\"m\\\"1\",
                syscalls:[{names:[\"mkdir\",\"mkdirat\"],action:\"SCMP_ACT_NOTIFY\"}]}"
        for nnp in true false; do
                run run_in "$filter | .process.noNewPrivileges = $nnp" mkdir /tmp/x
                assert_match 'No medium found'
                start_idle "$filter | .process.noNewPrivileges = $nnp"
                run oci exec "c$ZL_ID" mkdir /tmp/x
                assert_match 'No medium found'
                oci exec -d --pid-file "$ZL_DIR/pid" "c$ZL_ID" sleep 100
                wait_until 10 same_pid "$out" "$(cat "$ZL_DIR/pid")"
                assert_equal "$(tail -n1 "$out" | jq -r '[.metadata,.fds[0],.state.id,.state.status] | join(" ")')" "m\"1 seccompFd c$ZL_ID running"
                pid=$(oci state "c$ZL_ID" | jq .pid)
                assert_equal "$(tail -n1 "$out" | jq .state.pid)" "$pid"
                oci delete --force "c$ZL_ID"
                # It hears of a container when that is created.
                make_bundle "$ZL_DIR/b" "$filter | .process.noNewPrivileges = $nnp"
                oci create --pid-file "$ZL_DIR/pid" -b "$ZL_DIR/b" "c$ZL_ID" </dev/null >/dev/null 2>&1
                wait_until 10 same_pid "$out" "$(cat "$ZL_DIR/pid")"
                assert_equal "$(oci state "c$ZL_ID" | jq -r .status)" created
                oci delete --force "c$ZL_ID"
        done
        for call in write sendmsg; do
                run run_in "$filter | .linux.seccomp.syscalls[0].names = [\"$call\"]" true
                assert_status 1
                assert_match "SCMP_ACT_NOTIFY cannot be used for the $call syscall"
        done
        stop_server "$ZL_BG"
}
same_pid() { [ "$(tail -n1 "$1" | jq .pid)" = "$2" ]; }

@test "pidfd-socket: whoever listens gets a pidfd of what run, create and exec have made" {
        cat >"$ZL_DIR/take.py" <<-'END'
		import os, signal, socket, sys, time
		s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()
		data, fds, _, _ = socket.recv_fds(s.accept()[0], 64, 1)
		info = open(f"/proc/self/fdinfo/{fds[0]}").read()
		print(data.decode(), info.split("Pid:")[1].split()[0], flush=True)
		while not os.path.exists(sys.argv[2]): time.sleep(0.02)
		signal.pidfd_send_signal(fds[0], signal.SIGKILL)
		END
        take() { rm -f "$ZL_DIR/sock" "$ZL_DIR/go"; background python3 "$ZL_DIR/take.py" "$ZL_DIR/sock" "$ZL_DIR/go"; wait_until 10 test -S "$ZL_DIR/sock"; }
        make_bundle "$ZL_DIR/b" '.process.args = ["sleep","100"]'
        run oci run --pidfd-socket "$ZL_DIR/nobody" -b "$ZL_DIR/b" "c$ZL_ID" </dev/null
        assert_status 1
        assert_match -- '--pidfd-socket: cannot connect to '
        take
        oci create --pidfd-socket "$ZL_DIR/sock" --pid-file "$ZL_DIR/pid" -b "$ZL_DIR/b" "c$ZL_ID" </dev/null >/dev/null 2>&1
        : >"$ZL_DIR/go"
        wait "$ZL_BG"
        assert_equal "$(cat "$ZL_BG_LOG")" "pidfd $(cat "$ZL_DIR/pid")"
        wait_until 10 container_is "c$ZL_ID" stopped
        oci delete "c$ZL_ID"
        take
        oci run -d --pidfd-socket "$ZL_DIR/sock" -b "$ZL_DIR/b" "c$ZL_ID" </dev/null >/dev/null 2>&1
        : >"$ZL_DIR/go"
        wait "$ZL_BG"
        wait_until 10 container_is "c$ZL_ID" stopped
        oci delete "c$ZL_ID"
        start_idle .
        take
        : >"$ZL_DIR/go"
        run -137 oci exec --pidfd-socket "$ZL_DIR/sock" "c$ZL_ID" sleep 100
        container_is "c$ZL_ID" running
        oci delete --force "c$ZL_ID"
}
container_is() { [ "$(oci state "$1" | jq -r .status)" = "$2" ]; }

@test "netDevices: moved with their addresses, renamed, up before the command; back where the creation fails" {
        skip_unless "expected: only in namespaces of its own (test/run)" test -n "$ZL_ISOLATED"
        local ns=$ZL_DIR/ns netns='.linux.namespaces |= map(select(.type != "network")) + [{type:"network"}]'
        # Not every kernel has devices of the type dummy.
        ip link add zld0 mtu 1789 type veth peer name zlp0
        ip link add zld1 type veth peer name zlp1
        ip address add 169.254.169.77/32 dev zld0
        ip address add 127.0.0.33/32 dev zld0 scope host
        run run_in "$netns | .linux.netDevices = {zld0:{name:\"eth0\"},zld1:{}}" ip address
        assert_status 0
        assert_match 'eth0@[^ ]+ <[A-Z,_-]*UP[^>]*> mtu 1789'
        assert_match '169.254.169.77/32'
        assert_no_match '127.0.0.33'
        assert_match 'zld1@[^ ]+ <[A-Z,_-]*UP[^>]*>'
        # What is not physical ends with a namespace of the container's own.
        [ ! -e /sys/class/net/zld0 ] && [ ! -e /sys/class/net/zld1 ]

        : >"$ns"
        unshare --net="$ns" true
        ip link add zld2 type veth peer name zlp2
        ip address add 169.254.169.78/32 dev zld2
        run run_in ".linux.namespaces |= map(select(.type != \"network\")) + [{type:\"network\",path:\"$ns\"}] |
                .linux.netDevices = {zld2:{name:\"in0\"}} | .hooks = {createRuntime:[{path:\"/bin/false\"}]}" true
        assert_status 1
        assert_match 'createRuntime hook'
        run -0 ip address show dev zld2
        assert_match '169.254.169.78/32'
        run run_in ".linux.namespaces |= map(select(.type != \"network\")) + [{type:\"network\",path:\"$ns\"}] |
                .linux.netDevices = {zld2:{name:\"in0\"}}" true
        assert_status 0
        nsenter --net="$ns" ip link show in0 | grep -q UP
        nsenter --net="$ns" ip link delete in0
        umount "$ns"

        run run_in "$netns | .linux.netDevices = {zlno:{}}" true
        assert_status 1
        assert_match 'linux.netDevices: there is no network device zlno'
        run run_in "$netns | .linux.netDevices = {a:{name:\"x\"},b:{name:\"x\"}}" true
        assert_match 'two devices become "x"'
        run run_in "$netns | .linux.netDevices = {a:{name:\"e%d\"}}" true
        assert_match '"e%d" is no name of a device'
        run run_in '.linux.namespaces |= map(select(.type != "network")) | .linux.netDevices = {lo:{}}' true
        assert_match 'no network namespace for them'
}

@test "events: every figure that runc tells, under its name" {
        local figures
        start_idle '.linux.resources.memory = {limit:67108864} | .linux.resources.pids = {limit:100}'
        oci exec "c$ZL_ID" sh -c 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done'
        run -0 oci events --stats "c$ZL_ID"
        assert_match "^\{\"type\":\"stats\",\"id\":\"c$ZL_ID\",\"data\":\{"
        figures=$output
        for path in cpu.usage.kernel cpu.usage.user cpu.throttling cpuset.cpus cpuset.mems cpuset.sched_relax_domain_level memory.cache memory.usage.failcnt \
                memory.swap.limit blkio.ioServiceBytesRecursive hugetlb intel_rdt pids.current; do
                jq -e ".data.$path != null" <<<"$figures" >/dev/null || fail "no $path in $figures"
        done
        [ "$(jq .data.cpu.usage.total <<<"$figures")" -gt 1000000 ]
        assert_equal "$(jq -c '[.data.pids.limit,.data.memory.usage.limit,.data.pids.current]' <<<"$figures")" '[100,67108864,1]'
        [ "$(jq '.data.memory.raw | length' <<<"$figures")" -gt 20 ]
        if is_cgroup_v1; then
                assert_equal "$(jq '.data.cpu.usage.percpu | length' <<<"$figures")" "$(nproc --all)"
        fi
        # No name that runc tells here is missing.
        if has_program runc; then
                cp -r "$ZL_DIR/b" "$ZL_DIR/other"
                jq '.linux.cgroupsPath += "-r"' "$ZL_DIR/b/config.json" >"$ZL_DIR/other/config.json"
                runc --root "$ZL_DIR/runc" run -d -b "$ZL_DIR/other" "r$ZL_ID" </dev/null >/dev/null 2>&1
                runc --root "$ZL_DIR/runc" events --stats "r$ZL_ID" >"$ZL_DIR/theirs"
                runc --root "$ZL_DIR/runc" delete -f "r$ZL_ID"
                names() { jq -r 'paths | map(tostring) | join(".")' | grep -v '[0-9]' | sort -u; }
                assert_equal "$(comm -13 <(names <<<"$figures") <(names <"$ZL_DIR/theirs"))" ''
        fi
        oci delete --force "c$ZL_ID"
}

@test "sd_notify: READY=1 of the container goes on with its pid and a barrier, and nothing else does" {
        local pid
        cat >"$ZL_DIR/manager.py" <<-'END'
		import os, socket, sys
		s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1])
		while True:
		    data, fds, _, _ = socket.recv_fds(s, 4096, 4)
		    print(data.decode().replace("\n", " "), len(fds), flush=True)
		    for fd in fds: os.close(fd)
		END
        background python3 "$ZL_DIR/manager.py" "$ZL_DIR/manager"
        wait_until 10 test -S "$ZL_DIR/manager"
        export NOTIFY_SOCKET=$ZL_DIR/manager
        make_bundle "$ZL_DIR/b" '.process.args = ["/ready", "STATUS=soon", "WATCHDOG=1", "X=1\nREADY=1\nMAINPID=1"]'
        cc -static -o "$ZL_DIR/b/rootfs/ready" "$ZL_SOURCE/test/system/notify_ready.c"
        oci run -d --pid-file "$ZL_DIR/pid" -b "$ZL_DIR/b" "c$ZL_ID" </dev/null >/dev/null 2>&1
        assert_equal "$(cat "$ZL_BG_LOG")" "READY=1 MAINPID=$(cat "$ZL_DIR/pid") 0"$'\n''BARRIER=1 1'
        oci delete --force "c$ZL_ID"
        : >"$ZL_BG_LOG"
        # In two steps, the second being what waits.
        oci create --pid-file "$ZL_DIR/pid" -b "$ZL_DIR/b" "c$ZL_ID" </dev/null >/dev/null 2>&1
        oci start "c$ZL_ID"
        assert_match "READY=1 MAINPID=$(cat "$ZL_DIR/pid")" "$(cat "$ZL_BG_LOG")"
        oci delete --force "c$ZL_ID"
        # In the foreground we are what is watched. One that ends without a word holds nobody up.
        : >"$ZL_BG_LOG"
        background env NOTIFY_SOCKET="$ZL_DIR/manager" "$ZL_OCI" --root "$ZL_DIR/oci" run -b "$ZL_DIR/b" "c$ZL_ID"
        pid=$ZL_BG
        wait_until 10 grep -q "READY=1 MAINPID=$pid " "$ZL_DIR/bg.1"
        wait "$pid"
        make_bundle "$ZL_DIR/b" '.process.args = ["true"]'
        oci run -d -b "$ZL_DIR/b" "c$ZL_ID" </dev/null >/dev/null 2>&1
        oci delete --force "c$ZL_ID"
}

@test "mounts are made in their order: what one has mounted is the source of a later one; destinations with the path of the root" {
        local i r=$ZL_DIR/b/rootfs filter='.mounts += ['
        make_bundle "$ZL_DIR/b"
        for i in a/x b/y c/z; do
                mkdir -p "$ZL_DIR/src/$i"
                echo "$i" >"$ZL_DIR/src/$i/file"
                ln -s "${i%/*}" "$ZL_DIR/src/to-${i%/*}"
        done
        mkdir -p "$r"/{mnt,final}
        chmod 755 "$ZL_DIR"
        chmod o-rwx "$ZL_DIR/src"
        # Three trees into one another, then parts of that into itself, then all of it to another place.
        for i in "src/a:/mnt" "src/to-b:/mnt/x" "src/c:/mnt/x/y" "src/to-a:/mnt/x/y/z" "b/rootfs/mnt/x:$r/mnt/x/y/z/x" "b/rootfs/mnt/x/y:$r/mnt/x/y/z" \
                "b/rootfs/mnt:$r/final"; do
                filter+="{type:\"bind\",source:\"$ZL_DIR/${i%%:*}\",destination:\"${i#*:}\",options:[\"rbind\"]},"
        done
        filter=${filter%,}']'
        run run_in "$filter" cat /final/x/y/z/z/x/y/z/x/file
        assert_output a/x
        [ ! -e "$r$r" ] || fail "the path of the host was made inside"
        if can_map_ids; then
                run run_in "$filter | .mounts[-3:] |= map(.uidMappings = [{containerID:0,hostID:100000,size:65536}] | .gidMappings = .uidMappings)" \
                        sh -c 'cat /final/x/y/z/z/x/y/z/x/file; stat -c %u /mnt/x/y/z /final'
                assert_equal "${lines[*]}" 'a/x 100000 100000'
        fi
        chown -R 100000:100000 "$r"
        run run_in "$userns | $filter" cat /final/x/y/z/z/x/y/z/x/file
        assert_output a/x
}

@test "what a container mounts on something of the host does not show up there" {
        local i
        mkdir -p "$ZL_DIR/shared"
        mount -t tmpfs shared "$ZL_DIR/shared"
        mount --make-shared "$ZL_DIR/shared"
        mkdir -p "$ZL_DIR/shared/src/sub"
        chmod 755 "$ZL_DIR"
        chmod 700 "$ZL_DIR/shared"
        make_bundle "$ZL_DIR/b"
        chown -R 100000:100000 "$ZL_DIR/b/rootfs"
        for i in . "$userns"; do
                for options in '"rbind"' '"bind"' '"rbind","idmap"'; do
                        [[ $options != *idmap* || $i != . ]] || continue
                        make_bundle "$ZL_DIR/b" "$i | .process.args = [\"sleep\",\"100\"] | .mounts += [
                                {destination:\"/in\",type:\"bind\",source:\"$ZL_DIR/shared/src\",options:[$options]},
                                {destination:\"/in/sub\",type:\"tmpfs\",source:\"tmpfs\"}]"
                        [ "$i" = . ] || chown -R 100000:100000 "$ZL_DIR/b/rootfs"
                        oci run -d -b "$ZL_DIR/b" "c$ZL_ID" </dev/null >/dev/null 2>&1
                        oci exec "c$ZL_ID" grep -q ' /in/sub ' /proc/self/mountinfo
                        ! grep -q "$ZL_DIR/shared/src/sub" /proc/self/mountinfo || fail "$i $options: it is on the host"
                        oci delete --force "c$ZL_ID"
                done
        done
        # One that is to be shared is, and leaving the host's root behind takes nothing away from the host.
        mkdir -p "$ZL_DIR/shared/nested/deep"
        mount -t tmpfs nested "$ZL_DIR/shared/nested"
        mkdir "$ZL_DIR/shared/nested/deep"
        mount -t tmpfs deep "$ZL_DIR/shared/nested/deep"
        mount --make-rshared "$ZL_DIR/shared"
        make_bundle "$ZL_DIR/b" ".process.args = [\"sleep\",\"100\"] |
                .mounts += [{destination:\"/in\",type:\"bind\",source:\"$ZL_DIR/shared/src\",options:[\"rbind\",\"rshared\"]}]"
        oci run -d -b "$ZL_DIR/b" "c$ZL_ID" </dev/null >/dev/null 2>&1
        oci exec "c$ZL_ID" grep ' /in .* shared:' /proc/self/mountinfo
        mount -t tmpfs late "$ZL_DIR/shared/src/sub"
        oci exec "c$ZL_ID" grep -q ' /in/sub .* late ' /proc/self/mountinfo
        umount "$ZL_DIR/shared/src/sub"
        mountpoint -q "$ZL_DIR/shared/nested/deep"
        oci delete --force "c$ZL_ID"
        umount -R "$ZL_DIR/shared"
}

@test "a container that waits for its start ends by TERM; a tmpfs says the mode that it keeps; startContainer hooks are under the filter" {
        local r=$ZL_DIR/b/rootfs
        make_bundle "$ZL_DIR/b" '.process.args = ["sleep","100"]'
        for sig in TERM INT HUP; do
                oci create -b "$ZL_DIR/b" "c$ZL_ID" </dev/null >/dev/null 2>&1
                oci kill "c$ZL_ID" $sig
                wait_until 10 container_is "c$ZL_ID" stopped
                oci delete "c$ZL_ID"
        done
        mkdir -m 710 "$r/t"
        run run_in '.mounts += [{destination:"/t",type:"tmpfs",source:"tmpfs",options:["size=1m"]}]' grep ' /t ' /proc/mounts
        assert_match 'mode=710'
        for nnp in true false; do
                run run_in ".process.noNewPrivileges = $nnp | .linux.seccomp = {defaultAction:\"SCMP_ACT_ALLOW\",
                        syscalls:[{names:[\"mkdir\",\"mkdirat\"],action:\"SCMP_ACT_ERRNO\"}]} |
                        .hooks = {startContainer:[{path:\"/bin/sh\",args:[\"sh\",\"-c\",\"mkdir /dev/shm/x\"]}]}" true
                assert_status 1
                assert_match 'startContainer hook'
        done
}

@test "update: sizes are powers of 1024, period and quota come through a limit of the parent" {
        local dir
        skip_unless "expected: version 1 of control groups" is_cgroup_v1
        start_idle ".linux.cgroupsPath = \"/zlayer/$ZL_ID-pod/c\" | .linux.resources.memory = {limit:33554432}"
        oci update --memory 50M "c$ZL_ID"
        assert_equal "$(cat "$(cgroup_dir memory "zlayer/$ZL_ID-pod/c")/memory.limit_in_bytes")" $((50 << 20))
        oci update --memory 50MiB --memory-swap 96468992 "c$ZL_ID"
        oci update --memory -1 "c$ZL_ID"
        [ "$(cat "$(cgroup_dir memory "zlayer/$ZL_ID-pod/c")/memory.memsw.limit_in_bytes")" -gt 96468992 ]
        dir=$(cgroup_dir cpu "zlayer/$ZL_ID-pod")
        echo 50000 >"$dir/cpu.cfs_quota_us"
        run oci update --cpu-quota 60000 "c$ZL_ID"
        assert_status 1
        oci update --cpu-quota 40000 "c$ZL_ID"
        oci update --cpu-period 10000 --cpu-quota 3000 "c$ZL_ID"
        assert_equal "$(cat "$dir/c/cpu.cfs_period_us" "$dir/c/cpu.cfs_quota_us")" $'10000\n3000'
        oci update --cpu-period 100000 --cpu-quota 45000 "c$ZL_ID"
        assert_equal "$(cat "$dir/c/cpu.cfs_period_us" "$dir/c/cpu.cfs_quota_us")" $'100000\n45000'
        oci delete --force "c$ZL_ID"
        find /sys/fs/cgroup -type d -name "$ZL_ID-pod" -exec rmdir {} + 2>/dev/null || :
}

@test "exec: groups below the container's own, for all controllers or for some; an affinity is told" {
        local g
        skip_unless "expected: version 1 of control groups" is_cgroup_v1
        start_idle .
        for g in memory cpu pids; do mkdir "$(cgroup_dir $g "zlayer/$ZL_ID-b")/sub"; done
        where() { oci exec "$@" "c$ZL_ID" cat /proc/self/cgroup | awk -F: '{ n = split($2, c, ","); for (i = 1; i <= n; i++) print c[i] ":" $3 }' | grep -E '^(memory|cpu|pids):'; }
        assert_equal "$(where --cgroup memory:sub --cgroup cpu:/sub | sort)" $'cpu:/sub\nmemory:/sub\npids:/'
        assert_equal "$(where --cgroup memory,pids:sub --cgroup / | sort)" $'cpu:/\nmemory:/sub\npids:/sub'
        # Where the process cannot go by itself it is sent.
        assert_equal "$(ZL_FORBID=clone3 where --cgroup memory:sub | sort)" $'cpu:/\nmemory:/sub\npids:/'
        run oci exec --cgroup whaaat:/ "c$ZL_ID" true
        assert_match 'unknown controller whaaat'
        run oci exec --cgroup cpu:nothere "c$ZL_ID" true
        assert_match 'error adding pid .*no such file or directory'
        run oci exec --cgroup memory:../.. "c$ZL_ID" true
        assert_match 'bad sub cgroup path'
        echo '{"args":["true"],"cwd":"/","execCPUAffinity":{"initial":"0"}}' >"$ZL_DIR/process"
        run oci --debug exec --process "$ZL_DIR/process" "c$ZL_ID"
        assert_match 'nsexec.*: affinity: 0x1'
        oci delete --force "c$ZL_ID"
}

@test "events: every kill for want of memory is told, and the command ends with the container" {
        local i
        start_idle '.linux.resources.memory = {limit:16777216,swap:16777216}'
        background "$ZL_OCI" --root "$ZL_DIR/oci" events --interval 100ms "c$ZL_ID"
        wait_until 10 grep -q stats "$ZL_BG_LOG"
        for i in 1 2 3 4 5; do
                run oci exec "c$ZL_ID" sh -c 'x=$(dd if=/dev/zero bs=1M count=64 | tr "\\000" x)'
                wait_until 5 kills_told "$ZL_BG_LOG" $i
        done
        grep -q "^{\"type\":\"oom\",\"id\":\"c$ZL_ID\"}\$" "$ZL_BG_LOG"
        oci delete --force "c$ZL_ID"
        wait "$ZL_BG"
}
kills_told() { [ "$(grep -c '"oom"' "$1")" -ge "$2" ]; }

@test "the systemd driver without a systemd: refused with what to do, and nothing is left" {
        make_bundle "$ZL_DIR/b" '.process.args = ["true"] | .linux.cgroupsPath = "system.slice:zlt:c"'
        run oci --systemd-cgroup run -b "$ZL_DIR/b" "c$ZL_ID" </dev/null
        assert_status 1
        assert_match 'cgroup-manager cgroupfs'
        [ -z "$(ls -A "$ZL_DIR/oci")" ]
}
