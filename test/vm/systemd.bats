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
        assert_equal "$(show CPUQuotaPerSecUSec) $(show CPUWeight) $(show AllowedCPUs)" '500ms 59 0-1'
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
        assert_match 'criu'
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

@test "a checkpoint comes back in a scope of its own, with its limits" {
        local pid
        criu check >/dev/null 2>&1 || skip "expected: criu does not work on this kernel"
        ZL_TIMEOUT=90
        make_bundle "$ZL_DIR/b" ".process.args = [\"sleep\",\"1000\"] | .linux.cgroupsPath = \"system.slice:zlt:c$ZL_ID\" | $limits"
        sd run -d -b "$ZL_DIR/b" "c$ZL_ID" </dev/null >/dev/null 2>&1
        oci checkpoint --image-path "$ZL_DIR/images" "c$ZL_ID"
        assert_equal "$(show LoadState)" not-found
        sd restore -d -b "$ZL_DIR/b" --image-path "$ZL_DIR/images" "c$ZL_ID" </dev/null >/dev/null 2>"$ZL_DIR/err" || fail "$(cat "$ZL_DIR/err")"
        pid=$(oci state "c$ZL_ID" | jq .pid)
        assert_equal "$(cat "/proc/$pid/cgroup")" "0::/system.slice/$unit"
        assert_equal "$(show ActiveState) $(show MemoryMax) $(show TasksMax) $(show CPUQuotaPerSecUSec)" 'active 67108864 50 500ms'
        assert_equal "$(cat "/sys/fs/cgroup/system.slice/$unit/cgroup.procs")" "$pid" # criu is gone
        run oci exec "c$ZL_ID" cat /proc/1/cmdline
        assert_match 'sleep'
        oci delete --force "c$ZL_ID"
        assert_equal "$(show LoadState)" not-found
        rm "$ZL_DIR"/images/core-*.img
        run -1 sd restore -d -b "$ZL_DIR/b" --image-path "$ZL_DIR/images" "c$ZL_ID" </dev/null
        assert_match 'criu failed'
        assert_equal "$(show LoadState) $(oci list -q)" 'not-found '
}

# --- the systemd of a user ---------------------------------------------------------------------------------------------------

# A user manager as user@.service runs one, for a user of the test's own: sets $U (his runtime directory) and $as (a prefix for commands).
USER_ID=54321
start_user_manager() {
        cat /etc/passwd - >"$ZL_DIR/passwd" <<<"zl-user:x:$USER_ID:$USER_ID::/tmp:/bin/sh"
        cat /etc/group - >"$ZL_DIR/group" <<<"zl-user:x:$USER_ID:"
        mount --bind "$ZL_DIR/passwd" /etc/passwd
        mount --bind "$ZL_DIR/group" /etc/group
        U=$ZL_DIR/user
        chmod 755 "$ZL_DIR"
        mkdir -m 700 "$U"
        install -m 755 "$ZL_OCI" "$ZL_DIR/zlayer-oci"
        make_busybox_rootfs "$ZL_DIR/b/rootfs"
        chown -R $USER_ID "$U" "$ZL_DIR/b"
        as=(setpriv --reuid $USER_ID --regid $USER_ID --clear-groups env -i PATH="$PATH" HOME="$U" XDG_RUNTIME_DIR="$U")
        systemd-run -q --unit "zlt-user-$ZL_ID" -p User=$USER_ID -p Group=$USER_ID -p Delegate=yes -E XDG_RUNTIME_DIR="$U" -E HOME="$U" \
                /lib/systemd/systemd --user --unit=sockets.target
        wait_until 20 [ -S "$U/bus" ] || { journalctl -n 30 --no-pager -u "zlt-user-$ZL_ID"; return 1; }
}
stop_user_manager() {
        systemctl stop "zlt-user-$ZL_ID"
        systemctl reset-failed "zlt-user-$ZL_ID" 2>/dev/null || :
        umount /etc/passwd /etc/group
}
user_oci() { "${as[@]}" "$ZL_DIR/zlayer-oci" "$@" 3>&-; }
user_bundle() { # FILTER
        rm -f "$ZL_DIR/b/config.json"
        user_oci spec --rootless -b "$ZL_DIR/b"
        jq ".process.terminal = false | .process.args = [\"sleep\",\"1000\"] | $1" "$ZL_DIR/b/config.json" >"$ZL_DIR/c.json"
        cat "$ZL_DIR/c.json" >"$ZL_DIR/b/config.json"
}

@test "a user's container is a scope of his own systemd, with limits; without a bus it is refused" {
        local group pid
        start_user_manager
        user_bundle ".linux.cgroupsPath = \"user.slice:zlt:c$ZL_ID\" | .linux.resources = {memory:{limit:67108864},pids:{limit:50}}"
        user_oci --systemd-cgroup run -d -b "$ZL_DIR/b" "c$ZL_ID" </dev/null >/dev/null 2>"$ZL_DIR/err" || fail "$(cat "$ZL_DIR/err")"
        pid=$(user_oci state "c$ZL_ID" | jq .pid)
        group=/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$pid/cgroup")
        assert_match "/zlt-user-$ZL_ID.service/user.slice/$unit\$" "$group"
        assert_equal "$(cat "$group/memory.max" "$group/pids.max")" $'67108864\n50'
        assert_equal "$("${as[@]}" systemctl --user show -P MemoryMax -P TasksMax "$unit")" $'67108864\n50'
        run user_oci exec "c$ZL_ID" cat /proc/self/cgroup
        assert_output 0::/
        user_oci pause "c$ZL_ID"
        assert_equal "$(user_oci state "c$ZL_ID" | jq -r .status)" paused
        user_oci resume "c$ZL_ID"
        user_oci update --pids-limit 60 "c$ZL_ID"
        assert_equal "$("${as[@]}" systemctl --user show -P TasksMax "$unit")" 60
        user_oci delete --force "c$ZL_ID"
        [ ! -d "$group" ] || fail "the group is left"
        assert_equal "$("${as[@]}" systemctl --user show -P LoadState "$unit")" not-found
        # Root of a user namespace asks the same one.
        user_bundle ".linux.uidMappings[0].hostID = 0 | .linux.gidMappings[0].hostID = 0 | .process.args = [\"true\"] | .linux.cgroupsPath = \"\""
        "${as[@]}" unshare -Ur "$ZL_DIR/zlayer-oci" --systemd-cgroup run -b "$ZL_DIR/b" "c$ZL_ID" </dev/null
        stop_user_manager
        run user_oci --systemd-cgroup run -b "$ZL_DIR/b" "c$ZL_ID" </dev/null
        assert_status 1
        assert_match 'bus'
        assert_match 'cgroup-manager cgroupfs'
        assert_equal "$(user_oci list -q)" ''
}
