#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The systemd driver of zlayer-oci where systemd has the hierarchies of version 1:
# `test/vm/run --systemd --cgroups hybrid -- bats test/vm/systemd_v1.bats`, or `--cgroups v1`.
load ../system/lib

CG=/sys/fs/cgroup

setup() {
        [ -d /run/systemd/system ] && [ ! -e $CG/cgroup.controllers ] || skip "expected: systemd is not PID 1 here, or on version 2"
        zl_setup
        unit=zlt-c$ZL_ID.scope
        C=c$ZL_ID
}

teardown() { [ -z "$unit" ] || zl_teardown; }

start() { # FILTER
        make_bundle "$ZL_DIR/b" ".process.args = [\"sleep\",\"1000\"] | .linux.cgroupsPath = \"system.slice:zlt:$C\" | $1"
        oci --systemd-cgroup run -d -b "$ZL_DIR/b" "$C" </dev/null >/dev/null 2>"$ZL_DIR/err" || { cat "$ZL_DIR/err"; return 1; }
}

has_stopped() { [ "$(oci state "$C" | jq -r .status)" = stopped ]; }

show() { systemctl show -P "$1" "$unit"; }

# value CONTROLLER FILE: of the container's group.
value() { cat "$CG/$1/system.slice/$unit/$2"; }

no_group_left() { [ -z "$(find $CG -name "$unit")" ]; }

limits='.linux.resources += {memory:{limit:67108864,swap:-1},pids:{limit:50},cpu:{shares:512,quota:50000,period:100000,cpus:"0-1"}}'

@test "a container is a scope in every hierarchy, with limits that systemd keeps; exec, pause, update, delete" {
        local pid line n=0
        start "$limits"
        assert_equal "$(show ControlGroup) $(show Delegate)" "/system.slice/$unit yes"
        assert_equal "$(show MemoryLimit) $(show TasksMax) $(show CPUShares) $(show CPUQuotaPerSecUSec)" '67108864 50 512 500ms'
        pid=$(oci state "$C" | jq .pid)
        while IFS=: read -r _ name line; do
                [ -n "$name" ] || [ -d $CG/unified ] || continue # of a hierarchy that nobody has mounted
                assert_equal "$name $line" "$name /system.slice/$unit"
                n=$((n + 1))
        done <"/proc/$pid/cgroup"
        [ "$n" -ge 8 ] || fail "$n hierarchies: $(cat "/proc/$pid/cgroup")"
        for again in 1 2; do
                assert_equal "$(value memory memory.limit_in_bytes) $(value pids pids.max)" '67108864 50'
                assert_equal "$(value cpu cpu.shares) $(value cpu cpu.cfs_quota_us) $(value cpuset cpuset.cpus)" '512 50000 0-1'
                systemctl daemon-reload
        done
        oci exec -d --pid-file "$ZL_DIR/pid" "$C" sleep 1001 </dev/null >/dev/null 2>&1
        assert_equal "$(cat "/proc/$(cat "$ZL_DIR/pid")/cgroup")" "$(cat "/proc/$pid/cgroup")"
        assert_equal "$(oci ps -f json "$C" | jq length)" 2
        oci pause "$C"
        assert_equal "$(oci state "$C" | jq -r .status)" paused
        oci resume "$C"
        oci update --memory 100003840 --memory-swap -1 --pids-limit 60 --cpu-quota -1 --cpu-share 1024 "$C"
        assert_equal "$(show MemoryLimit) $(show TasksMax) $(show CPUShares) $(show CPUQuotaPerSecUSec)" '100003840 60 1024 infinity'
        systemctl daemon-reload
        assert_equal "$(value memory memory.limit_in_bytes) $(value pids pids.max) $(value cpu cpu.shares) $(value cpu cpu.cfs_quota_us)" \
                '100003840 60 1024 -1'
        oci delete --force "$C"
        assert_equal "$(show LoadState)" not-found
        no_group_left
        start .
        oci kill "$C" KILL
        wait_until 10 has_stopped
        oci delete "$C"
        assert_equal "$(show LoadState)" not-found
        no_group_left
}

@test "device rules: systemd has them, too, and comes by without making them wider" {
        local rules
        start '.linux.resources.devices = [{allow:false,access:"rwm"},{allow:true,type:"c",major:10,minor:200,access:"rw"},
                {allow:true,type:"b",major:7,access:"r"}]'
        assert_equal "$(show DevicePolicy)" strict
        assert_match '/dev/char/10:200 rw' "$(show DeviceAllow)"
        rules=$(value devices devices.list | sort)
        assert_match 'c 10:200 rw' "$rules"
        assert_no_match 'a \*:\*' "$rules"
        systemctl daemon-reload
        systemctl set-property --runtime "$unit" DeviceAllow='/dev/char/10:201 r'
        systemctl set-property --runtime "$unit" CPUShares=600
        assert_equal "$(value devices devices.list | sort | grep -vx 'c 10:201 r')" "$rules"
        run oci exec "$C" sh -c 'echo x >/dev/null && mknod /dev/k c 1 2 && cat /dev/k'
        assert_match '/dev/k.*not permitted'
        oci delete --force "$C"
        # What a list of the allowed cannot say is ours alone.
        start '.linux.resources.devices = [{allow:true,access:"rwm"},{allow:false,type:"c",major:1,minor:2,access:"rwm"}]'
        assert_equal "$(show DevicePolicy)" auto
        oci delete --force "$C"
}

@test "slices nest by their names; what fails leaves no unit and no group; users are told" {
        local bad
        start '.linux.cgroupsPath = "zlt-a-b.slice:x:y"'
        assert_equal "$(systemctl show -P ControlGroup x-y.scope)" /zlt.slice/zlt-a.slice/zlt-a-b.slice/x-y.scope
        assert_match ":memory:/zlt.slice/zlt-a.slice/zlt-a-b.slice/x-y.scope" "$(cat "/proc/$(oci state "$C" | jq .pid)/cgroup")"
        oci delete --force "$C"
        systemctl stop zlt.slice
        for bad in '.process.args = ["/nosuch"]' '.annotations = {"org.systemd.property.NoSuchThing":"true"}' \
                '.linux.resources.hugepageLimits = [{pageSize:"3KB",limit:1}]'; do
                run start "$bad"
                assert_status 1
                assert_equal "$(show LoadState)" not-found
                no_group_left
        done
        assert_equal "$(oci list -q)" ''
        make_bundle "$ZL_DIR/b" '.process.args = ["true"] | del(.linux.cgroupsPath)'
        oci --systemd-cgroup run -b "$ZL_DIR/b" "$C" </dev/null
        chmod 755 "$ZL_DIR"
        install -m 755 "$ZL_OCI" "$ZL_DIR/zlayer-oci"
        mkdir -m 700 "$ZL_DIR/user"
        chown 54321 "$ZL_DIR/user"
        run setpriv --reuid 54321 --regid 54321 --clear-groups env -i PATH="$PATH" XDG_RUNTIME_DIR="$ZL_DIR/user" sh -c \
                'cd "$XDG_RUNTIME_DIR" && mkdir -p b/rootfs && "$0" spec --rootless -b b && "$0" --systemd-cgroup run -b b x' "$ZL_DIR/zlayer-oci"
        assert_status 1
        assert_match 'of a user needs cgroup version 2 alone'
        assert_match 'cgroup-manager cgroupfs'
}
