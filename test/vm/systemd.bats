#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The systemd driver of zlayer-oci, against a real systemd: `test/vm/run --systemd -- bats test/vm/systemd.bats`. Not
# below test/isolate: what systemd is told about processes and groups must be what it sees.
load ../system/lib

setup() {
        [ -d /run/systemd/system ] || skip "expected: systemd is not PID 1 here"
        zl_setup
        unit=zlt-c$ZL_ID.scope
}

teardown() { [ ! -d /run/systemd/system ] || zl_teardown; }

sd() { oci --systemd-cgroup "$@"; }

start() { # FILTER
        make_bundle "$ZL_DIR/b" ".process.args = [\"sleep\",\"1000\"] | .linux.cgroupsPath = \"system.slice:zlt:c$ZL_ID\" | $1"
        sd run -d -b "$ZL_DIR/b" "c$ZL_ID" </dev/null >/dev/null 2>"$ZL_DIR/err" || { cat "$ZL_DIR/err"; return 1; }
}

has_stopped() { [ "$(oci state "c$ZL_ID" | jq -r .status)" = stopped ]; }

is_inactive() { ! systemctl is-active -q "$unit"; }

show() { systemctl show -P "$1" "${2:-$unit}"; }

limits='.linux.resources = {memory:{limit:67108864,reservation:33554432},pids:{limit:50},
        cpu:{shares:512,quota:50000,period:100000,cpus:"0-1"}}'

@test "a container is a scope with its limits, which systemd keeps; exec, update, delete" {
        local dir pid
        start "$limits"
        dir=/sys/fs/cgroup/system.slice/$unit
        assert_equal "$(show ControlGroup)" "/system.slice/$unit"
        assert_equal "$(show Description)" "container c$ZL_ID"
        assert_equal "$(show Delegate)" yes
        assert_equal "$(show MemoryMax) $(show MemoryLow) $(show TasksMax)" '67108864 33554432 50'
        assert_equal "$(show CPUQuotaPerSecUSec) $(show CPUWeight) $(show AllowedCPUs)" '500ms 20 0-1'
        pid=$(oci state "c$ZL_ID" | jq .pid)
        assert_equal "$(cat "/proc/$pid/cgroup")" "0::/system.slice/$unit"
        systemctl daemon-reload
        assert_equal "$(cat "$dir/memory.max" "$dir/pids.max" "$dir/cpu.max" "$dir/cpuset.cpus")" $'67108864\n50\n50000 100000\n0-1'
        run oci exec "c$ZL_ID" cat /proc/self/cgroup
        assert_output 0::/
        oci update --memory 100000000 --pids-limit 60 --cpu-quota -1 "c$ZL_ID"
        assert_equal "$(show MemoryMax) $(show TasksMax) $(show CPUQuotaPerSecUSec)" '99999744 60 infinity'
        systemctl daemon-reload
        assert_equal "$(cat "$dir/memory.max" "$dir/pids.max" "$dir/cpu.max")" $'99999744\n60\nmax 100000'
        oci delete --force "c$ZL_ID"
        assert_equal "$(show LoadState)" not-found
        [ ! -d "$dir" ]
        start .
        oci kill "c$ZL_ID" KILL
        wait_until 5 has_stopped
        oci delete "c$ZL_ID"
        assert_equal "$(show LoadState)" not-found
}

@test "slices nest by their names, annotations become properties, a mount shows the scope's group" {
        start '.linux.cgroupsPath = "zlt-a-b.slice:x:y" | .annotations = {
                "org.systemd.property.TimeoutStopUSec":"uint64 5000000","org.systemd.property.CollectMode":"'"'inactive-or-failed'"'",
                "org.systemd.property.After":"['"'zlt-one.service','zlt-two.service'"']","org.systemd.property.RuntimeMaxSec":"3600"} |
                .mounts += [{destination:"/sys/fs/cgroup",type:"cgroup",source:"cgroup",options:["ro"]}]'
        assert_equal "$(show ControlGroup x-y.scope)" /zlt.slice/zlt-a.slice/zlt-a-b.slice/x-y.scope
        assert_equal "$(show TimeoutStopUSec x-y.scope) $(show CollectMode x-y.scope) $(show RuntimeMaxUSec x-y.scope)" '5s inactive-or-failed 1h'
        assert_match 'zlt-one.service' "$(show After x-y.scope)"
        run oci exec "c$ZL_ID" sh -c 'grep -c . /sys/fs/cgroup/cgroup.procs'
        [ "$output" -ge 1 ]
        oci delete --force "c$ZL_ID"
        systemctl stop zlt.slice
        make_bundle "$ZL_DIR/b" '.process.args = ["true"] | del(.linux.cgroupsPath)'
        sd run -b "$ZL_DIR/b" "c$ZL_ID" </dev/null
        assert_equal "$(show LoadState "zlayer-c$ZL_ID.scope")" not-found
}

@test "what fails leaves no unit, and a unit of that name is not touched" {
        local pid bad
        systemd-run -q --scope --unit "$unit" sleep 1000 </dev/null >/dev/null 2>&1 3>&- &
        wait_until 10 systemctl is-active -q "$unit"
        pid=$(cat "/sys/fs/cgroup/system.slice/$unit/cgroup.procs")
        run start .
        assert_status 1
        assert_match "systemd has a unit $unit already"
        [ -d "/proc/$pid" ] && systemctl is-active -q "$unit"
        kill "$pid"
        wait_until 10 is_inactive
        run start '.process.args = ["/nosuch"]'
        assert_status 1
        assert_equal "$(show LoadState)" not-found
        mkdir "$ZL_DIR/images"
        run -1 sd restore -d -b "$ZL_DIR/b" --image-path "$ZL_DIR/images" "c$ZL_ID" </dev/null
        assert_match 'the systemd driver makes no group'
        assert_equal "$(show LoadState)" not-found
        run start '.annotations = {"org.systemd.property.TimeoutStopUSec":"soon"}'
        assert_match 'annotation org.systemd.property.TimeoutStopUSec: "soon" is neither'
        run start '.annotations = {"org.systemd.property.NoSuchThing":"true"}'
        assert_match 'systemd refuses StartTransientUnit: .*NoSuchThing'
        for bad in /a/b a:b :a: a.scope:b:c -a.slice:b:c a--b.slice:b:c a.slice:b:c/d a.slice:b:c.slice; do
                run start ".linux.cgroupsPath = \"$bad\""
                assert_status 1
                assert_match 'cgroupsPath'
        done
        assert_equal "$(show LoadState)" not-found
        assert_equal "$(oci list -q)" ''
}
