#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# zlayer-oci without root: a plain user with one id or with those of /etc/subuid and /etc/subgid, and root of a user namespace (what
# rootless podman and Docker are to a runtime). The user is the test's own, in copies of the files of the system's users.
load lib

USER_NAME=zl-rootless
USER_ID=54321
SUB=700000

setup_file() {
        [ -n "$ZL_ISOLATED" ] || return 0
        local dir=$BATS_FILE_TMPDIR file
        cat /etc/passwd - >"$dir/passwd" <<<"$USER_NAME:x:$USER_ID:$USER_ID::/tmp:/bin/sh"
        cat /etc/group - >"$dir/group" <<<"$USER_NAME:x:$USER_ID:"
        echo "$USER_NAME:$SUB:65536" >"$dir/subuid"
        echo "$USER_ID:$SUB:65536" >"$dir/subgid" # by number
        for file in passwd group subuid subgid; do
                touch "/etc/$file"
                mount --bind "$dir/$file" "/etc/$file" || return
        done
}
teardown_file() {
        [ -z "$ZL_ISOLATED" ] || umount /etc/{passwd,group,subuid,subgid}
}

setup() {
        skip_unless "the tests need test/run, for users of their own" [ -n "$ZL_ISOLATED" ]
        skip_unless "the package uidmap is missing" has_program newuidmap
        zl_setup
        umask 022
        chmod 755 "$ZL_DIR"
        mkdir -m 700 "$ZL_DIR/user"
        install -m 755 "$ZL_OCI" "$ZL_DIR/zlayer-oci"
        OCI=$ZL_DIR/zlayer-oci
        U=$ZL_DIR/user
        STATES=$U/zlayer-oci
        C=c$ZL_ID
        make_busybox_rootfs "$ZL_DIR/b/rootfs"
        chown -R $USER_ID:$USER_ID "$U" "$ZL_DIR/b"
}

# as_user COMMAND...: as somebody who may nothing, with an empty environment.
as_user() {
        within "${ZL_TIMEOUT:-30}" setpriv --reuid $USER_ID --regid $USER_ID --clear-groups --inh-caps=-all \
                env -i PATH="$PATH" XDG_RUNTIME_DIR="$U" HOME="$U" USER=$USER_NAME ${ZL_TEST_STOP_AT:+ZL_TEST_STOP_AT="$ZL_TEST_STOP_AT"} "$@" 3>&-
}
uoci() { as_user "$OCI" "$@"; }
# Root of a user namespace with what the user has there: one id, or all of them.
in_userns() { as_user unshare -Ur "$@"; }
in_large_userns() { as_user unshare -U --map-root-user --map-users auto --map-groups auto "$@"; }

# What the options of all tests are made of.
ONE='.process.terminal = false | .process.args = ["sleep","1000"]'
MANY="$ONE | .linux.uidMappings = [{containerID:0,hostID:$USER_ID,size:1},{containerID:1,hostID:$SUB,size:65536}] |
        .linux.gidMappings = [{containerID:0,hostID:$USER_ID,size:1},{containerID:1,hostID:$SUB,size:65536}]"
NO_USERNS='del(.linux.namespaces[] | select(.type == "user")) | del(.linux.uidMappings, .linux.gidMappings)'

# bundle FILTER [COMMAND...]: the configuration that `spec --rootless` writes, changed.
bundle() {
        local filter=$1
        shift
        [ $# = 0 ] || filter+=" | .process.args = $(jq -cn '$ARGS.positional' --args -- "$@")"
        rm -f "$ZL_DIR/b/config.json"
        uoci spec --rootless -b "$ZL_DIR/b" || return
        jq "$filter" "$ZL_DIR/b/config.json" >"$ZL_DIR/config.json" && cat "$ZL_DIR/config.json" >"$ZL_DIR/b/config.json"
}
# run_in FILTER COMMAND...: in a container of the user.
run_in() {
        bundle "$@" && uoci run -b "$ZL_DIR/b" "$C" </dev/null
}
# start FILTER [COMMAND...]: one that stays.
start() {
        bundle "$@" && uoci run -d -b "$ZL_DIR/b" "$C" </dev/null >"$ZL_DIR/out" 2>&1
}
# refused MESSAGE FILTER [COMMAND...]: it is not made, says why, and leaves nothing.
refused() {
        local message=$1
        shift
        run run_in "$@"
        [ "$status" -ne 0 ] || fail "accepted: $*"
        assert_match "$message"
        nothing_left
}
nothing_left() {
        [ -z "$(ls -A "$STATES" 2>/dev/null)" ] || fail "states: $(ls -A "$STATES")"
        [ -z "$(pgrep -u $USER_ID)" ] || fail "processes: $(ps -fu $USER_ID)"
        [ -z "$(find /sys/fs/cgroup -name "$C")" ] || fail "a cgroup is left"
}
has_ended() { [ "$(uoci state "$C" | jq -r .status)" = stopped ]; }

# --- ids -------------------------------------------------------------------------------------------------------------

@test "one id: the caller is root inside, nobody else is there, and groups cannot be set" {
        run run_in "$ONE" sh -c 'id -u; id -g; tr -s " " </proc/self/uid_map; cat /proc/self/setgroups'
        assert_status 0
        assert_output "$(printf '%s\n' 0 0 " 0 $USER_ID 1" deny)"
        run run_in "$ONE | .root.readonly = false" sh -c 'touch /tmp/mine'
        assert_equal "$(stat -c %u:%g "$ZL_DIR/b/rootfs/tmp/mine")" "$USER_ID:$USER_ID"
        nothing_left
        refused 'additionalGids' "$ONE | .process.user.additionalGids = [29]"
        refused 'process.user: cannot be user "5"' "$ONE | .process.user.uid = 5"
        refused 'groups of user' "$ONE | .process.user.gid = 5"
}

@test "many ids: newuidmap and newgidmap give what the files say, users and groups are as for root" {
        run run_in "$MANY | .process.user = {uid:1000,gid:1000,additionalGids:[29,44]}" \
                sh -c 'id; tr -s " " </proc/self/uid_map; tr -s " " </proc/self/gid_map; cat /proc/self/setgroups'
        assert_status 0
        assert_output "$(printf '%s\n' 'uid=1000(app) gid=1000(app) groups=29(audio),44(video)' " 0 $USER_ID 1" " 1 $SUB 65536" \
                " 0 $USER_ID 1" " 1 $SUB 65536" allow)"
        # None of the user's own: all of it by the helpers.
        chown -R $SUB:$SUB "$ZL_DIR/b/rootfs"
        run run_in "$MANY | .linux.uidMappings = [{containerID:0,hostID:$SUB,size:1000}] |
                .linux.gidMappings = [{containerID:0,hostID:$SUB,size:1000}]" sh -c 'id -u; id -g'
        assert_output $'0\n0'
        # Nothing said: all that he has, by his name in one file and by his number in the other.
        chown -R $USER_ID:$USER_ID "$ZL_DIR/b/rootfs"
        run run_in "$MANY | del(.linux.uidMappings, .linux.gidMappings)" sh -c 'tr -s " " </proc/self/uid_map; tr -s " " </proc/self/gid_map'
        assert_output "$(printf '%s\n' " 0 $USER_ID 1" " 1 $SUB 65536" " 0 $USER_ID 1" " 1 $SUB 65536")"
        # More ranges than a short list of arguments holds.
        run run_in "$MANY | .linux.uidMappings = ([range(40)] | map({containerID:(. * 2),hostID:($SUB + .),size:1}))" \
                sh -c 'wc -l </proc/self/uid_map'
        assert_output 40
        nothing_left
}

@test "ids that are not the user's are refused with what the helper says; nothing is left" {
        refused 'newuidmap: uid range .*not allowed' "$MANY | .linux.uidMappings[1].hostID = $((SUB - 1))"
        assert_match '/etc/subuid must give'
        refused 'newgidmap: gid range .*not allowed' "$MANY | .linux.gidMappings[1].size = 65537"
        refused 'newuidmap: ' "$ONE | .linux.uidMappings[0].hostID = 0"
        refused 'newgidmap: ' "$ONE | .linux.gidMappings[0].hostID = 0"
        refused 'uidMappings' "$MANY | .linux.uidMappings[1].containerID = 0" # overlaps
        refused 'needs both uid and gid mappings' "$MANY | del(.linux.uidMappings)"
        refused 'needs a user namespace' "$ONE | $NO_USERNS"
        assert_match 'spec --rootless'
}

@test "the helpers are those of the system, whatever PATH says, and a missing one is named" {
        local helper=$ZL_DIR/bin/newuidmap
        mkdir "$ZL_DIR/bin"
        printf '#!/bin/sh\ntouch %s/called\nexit 0\n' "$U" >"$helper"
        chmod 755 "$helper"
        bundle "$MANY" id -u
        run as_user env PATH="$ZL_DIR/bin:$PATH" "$OCI" run -b "$ZL_DIR/b" "$C" </dev/null
        assert_output 0
        [ ! -e "$U/called" ] || fail "a program of \$PATH was run"
        # Without set-user-id it can do nothing; without the right to execute it is not there.
        cp /usr/bin/newuidmap "$ZL_DIR/plain"
        chmod 755 "$ZL_DIR/plain"
        mount --bind "$ZL_DIR/plain" /usr/bin/newuidmap
        run uoci run -b "$ZL_DIR/b" "$C" </dev/null
        chmod 644 "$ZL_DIR/plain"
        local first=$output code=$status
        run uoci run -b "$ZL_DIR/b" "$C" </dev/null
        umount /usr/bin/newuidmap
        [ "$code" -ne 0 ] || fail "accepted: $first"
        assert_match 'linux.uidMappings: newuidmap: ' "$first"
        assert_status 1
        assert_match 'need the program newuidmap'
        assert_match 'package uidmap'
        nothing_left
}

# --- life --------------------------------------------------------------------------------------------------------------

@test "create, state, start, exec, ps, list, kill, delete" {
        bundle "$MANY"
        uoci create --pid-file "$U/pid" -b "$ZL_DIR/b" "$C" </dev/null >/dev/null 2>&1
        assert_equal "$(uoci state "$C" | jq -r '.status, .pid')" "created"$'\n'"$(cat "$U/pid")"
        # Before the start, more than once: in all of its namespaces, while nobody may look at its process.
        for _ in 1 2; do
                run uoci exec -u 1000 "$C" sh -c 'id -u; hostname; tr "\0" " " </proc/1/cmdline; readlink /proc/self/ns/user /proc/self/ns/mnt; ls /proc/1/fd'
                assert_match $'^1000\n'"$(jq -r .hostname "$ZL_DIR/b/config.json")"
                assert_no_match 'sleep 1000'
                assert_no_match "$(readlink /proc/self/ns/user)"
                assert_no_match "$(readlink /proc/self/ns/mnt)"
                assert_match "/proc/1/fd.*ermission denied"
        done
        uoci exec -d --pid-file "$U/exec" "$C" sleep 1001
        assert_equal "$(uoci state "$C" | jq -r .status)" created
        kill "$(cat "$U/exec")"
        uoci start "$C"
        assert_equal "$(ls "/proc/$(cat "$U/pid")/fd" | tr '\n' ' ')" '0 1 2 '
        run uoci start "$C"
        assert_status 1
        assert_equal "$(uoci list -q)" "$C"
        run uoci exec -u 1000:1000 -g 29 -e A=b --cwd /tmp "$C" sh -c 'id; echo $A; pwd; exit 7'
        assert_status 7
        assert_output $'uid=1000(app) gid=1000(app) groups=29(audio)\nb\n/tmp'
        run uoci exec "$C" no-such-command
        assert_match 'executable file not found'
        run uoci exec -u 70000 "$C" true
        assert_status 255
        assert_match 'uidMappings'
        uoci exec -d "$C" sleep 1001
        run uoci ps -f json "$C"
        assert_equal "$(jq length <<<"$output")" 2
        run uoci ps "$C"
        assert_match 'sleep 1000'
        assert_match 'sleep 1001'
        uoci kill "$C" 0
        uoci kill --all "$C" USR1
        run uoci delete "$C"
        assert_match 'not stopped'
        uoci kill "$C" KILL
        wait_until 5 has_ended
        run uoci exec "$C" true
        assert_match 'stopped container'
        uoci delete "$C"
        nothing_left
}

@test "what needs a group says so where the user has none" {
        start "$ONE"
        local command
        for command in "pause $C" "update --memory 100000000 $C" "events --stats $C" "events $C"; do
                run uoci $command
                assert_status 1
                assert_match "container $C has no cgroup"
        done
        run uoci resume "$C"
        assert_status 1
        uoci delete --force "$C"
        nothing_left
}

@test "limits, a named group and --rootless=false are refused where the user may make no group; device rules are not" {
        refused 'limits need a cgroup.*ermission denied' "$ONE | .linux.resources.memory.limit = 100000000"
        assert_match 'delegated'
        refused 'limits need a cgroup' "$ONE | .linux.resources.pids.limit = 10"
        refused 'limits need a cgroup' "$ONE | .linux.resources.unified = {\"memory.high\":\"100000000\"}"
        refused 'cannot create cgroup /zlayer/named' "$ONE | .linux.cgroupsPath = \"/zlayer/named\""
        bundle "$ONE" true
        run uoci --rootless=false run -b "$ZL_DIR/b" "$C" </dev/null
        assert_status 1
        assert_match 'cannot create cgroup'
        run uoci --rootless=perhaps run -b "$ZL_DIR/b" "$C" </dev/null
        assert_status 2
        assert_match '"perhaps" is not auto, true or false'
        nothing_left
        for value in true 1 auto; do
                bundle "$ONE | .linux.resources = {devices:[{allow:false,access:\"rwm\"}],memory:{},cpu:{},pids:{limit:0}}" true
                uoci --rootless="$value" run -b "$ZL_DIR/b" "$C" </dev/null
        done
        nothing_left
}

@test "states are in the user's own directory, closed to others, or nowhere" {
        start "$ONE"
        assert_equal "$(stat -c '%a %u' "$STATES" "$STATES/$C")" "1700 $USER_ID"$'\n'"700 $USER_ID"
        [ -z "$(find "$STATES" -type f -perm /077)" ] || fail "files for others: $(find "$STATES" -type f -perm /077 -ls)"
        uoci delete --force "$C"
        # Below a directory that everybody may write somebody was faster.
        mkdir -m 1777 "$ZL_DIR/open"
        mkdir "$ZL_DIR/open/zlayer-oci"
        run as_user env XDG_RUNTIME_DIR="$ZL_DIR/open" "$OCI" run -b "$ZL_DIR/b" "$C" </dev/null
        assert_status 1
        assert_match 'belongs to somebody else'
        rmdir "$ZL_DIR/open/zlayer-oci"
        as_user ln -s "$U" "$ZL_DIR/open/zlayer-oci"
        run as_user env XDG_RUNTIME_DIR="$ZL_DIR/open" "$OCI" run -b "$ZL_DIR/b" "$C" </dev/null
        assert_status 1
        assert_match 'cannot open the directory of states'
        # No XDG_RUNTIME_DIR, and no /run/user/UID.
        run as_user env -u XDG_RUNTIME_DIR "$OCI" run -b "$ZL_DIR/b" "$C" </dev/null
        assert_status 1
        assert_match 'XDG_RUNTIME_DIR is not set'
        assert_match '[-]-root DIR'
        bundle "$ONE" echo there
        run uoci --root "$U/other" run -b "$ZL_DIR/b" "$C" </dev/null
        assert_output there
        assert_equal "$(stat -c %a "$U/other")" 700
}

@test "a creator, or the container's process, that was killed at any stage leaves nothing but what delete --force takes away" {
        local stage
        bundle "$MANY"
        for stage in state cgroup sockets cloned remembered ready published; do
                status=0
                ZL_TEST_STOP_AT=$stage uoci create -b "$ZL_DIR/b" "$C" </dev/null >/dev/null 2>&1 || status=$?
                [ "$status" -eq 137 ] || fail "$stage: status $status: create was not killed there"
                uoci delete --force "$C" || fail "$stage: delete --force failed"
                wait_until 5 nothing_left || fail "after $stage: $(nothing_left)"
        done
        for stage in child-namespaces child-cgroup child-mounts child-root child-privileges; do
                status=0
                ZL_TEST_STOP_AT=$stage uoci create -b "$ZL_DIR/b" "$C" </dev/null >/dev/null 2>"$ZL_DIR/said" || status=$?
                [ "$status" -eq 1 ] || fail "$stage: status $status"
                assert_match 'killed by signal|ended while it was being created|process has ended' "$(cat "$ZL_DIR/said")"
                nothing_left
        done
}

# --- what is inside ------------------------------------------------------------------------------------------------------

@test "devices are the host's, bound; nobody makes others; masks hold" {
        run run_in "$MANY" sh -c 'echo x >/dev/null && head -c 4 /dev/zero | wc -c && head -c 4 /dev/urandom | wc -c &&
                ! mknod /dev/sda b 8 0 2>/dev/null && ls /dev/pts/ptmx && cat /proc/keys /proc/timer_list | wc -c &&
                ! touch /sys/kernel/x 2>/dev/null && ! touch /proc/sys/kernel/x 2>/dev/null && ls -A /sys/firmware | wc -l'
        assert_status 0
        assert_output $'4\n4\n/dev/pts/ptmx\n0\n0'
        run run_in "$MANY | .linux.devices = [{path:\"/dev/zero\",type:\"c\",major:1,minor:5}]" head -c 1 /dev/zero
        assert_status 0
        refused 'linux.devices: cannot make /dev/none' "$MANY | .linux.devices = [{path:\"/dev/none\",type:\"c\",major:1,minor:5}]"
}

@test "mounts: what belongs to namespaces of the container; binds keep the flags of their source" {
        mount -t tmpfs -o nosuid,nodev,noexec,mode=777 tmpfs "$ZL_DIR/b"/rootfs/mnt # seen by the host only: the bind is not recursive
        mkdir -m 777 "$ZL_DIR/locked"
        mount -t tmpfs -o nosuid,nodev,noexec,mode=777 tmpfs "$ZL_DIR/locked"
        run run_in "$MANY | .linux.namespaces += [{type:\"network\"}] | .mounts += [
                {destination:\"/l\",type:\"bind\",source:\"$ZL_DIR/locked\",options:[\"rbind\",\"rw\",\"ro\"]},
                {destination:\"/t\",type:\"tmpfs\",source:\"tmpfs\",options:[\"uid=1000\",\"gid=29\",\"mode=700\"]},
                {destination:\"/p\",type:\"devpts\",source:\"devpts\",options:[\"newinstance\",\"gid=5\"]}] |
                .mounts |= map(if .destination == \"/sys\" then {destination:\"/sys\",type:\"sysfs\",source:\"sysfs\",options:[\"ro\"]} else . end)" \
                sh -c 'grep " /l " /proc/mounts | cut -d" " -f4; stat -c "%u:%g" /t; ls /sys/class/net; touch /dev/mqueue/q && echo ok'
        umount "$ZL_DIR/locked" "$ZL_DIR/b/rootfs/mnt"
        assert_status 0
        assert_match 'ro,nosuid,nodev,noexec'
        assert_match $'\n1000:29\n'
        assert_match $'\nlo\nok$'
        refused 'mounts: /t: the option "gid=5" names nobody' "$ONE | .mounts += [{destination:\"/t\",type:\"tmpfs\",source:\"t\",options:[\"gid=5\"]}]"
        refused 'cannot mount /proc: .*ermitted' "$ONE | del(.linux.namespaces[] | select(.type == \"pid\"))"
        assert_match 'new pid namespace'
        refused 'cannot mount /dev/mqueue' "$ONE | del(.linux.namespaces[] | select(.type == \"ipc\"))"
        refused 'cannot map the ids' "$ONE | .mounts += [{destination:\"/t\",type:\"bind\",source:\"/tmp\",options:[\"bind\"],
                uidMappings:[{containerID:0,hostID:$USER_ID,size:1}],gidMappings:[{containerID:0,hostID:$USER_ID,size:1}]}]"
        refused 'netDevices: only root' "$ONE | .linux.namespaces += [{type:\"network\"}] | .linux.netDevices = {eth0:{}}"
        [ -z "$(find "$ZL_DIR" -xdev -name mnt -user 0)" ] || fail "the bundle is changed"
}

@test "a network of its own has a loopback that is up; that of the host is the host's" {
        run run_in "$ONE | .linux.namespaces += [{type:\"network\"}]" sh -c 'ip -o link | wc -l; ip addr show lo'
        assert_match '^1'
        assert_match '127.0.0.1/8'
        run run_in "$ONE | .linux.namespaces += [{type:\"network\"}] | .linux.sysctl = {\"net.ipv4.ip_unprivileged_port_start\":\"77\"}" \
                cat /proc/sys/net/ipv4/ip_unprivileged_port_start
        assert_output 77
        run run_in "$ONE" readlink /proc/self/ns/net
        assert_output "$(readlink /proc/self/ns/net)"
        refused 'not in a separate kernel namespace' "$ONE | .linux.sysctl = {\"net.ipv4.ip_forward\":\"1\"}"
}

@test "oom score, limits of resources, capabilities, keyring, no_new_privs" {
        start "$ONE | .process.oomScoreAdj = 300 | .process.rlimits = [{type:\"RLIMIT_NOFILE\",soft:100,hard:200}]"
        run uoci exec "$C" sh -c 'cat /proc/1/oom_score_adj /proc/self/oom_score_adj; ulimit -n; grep -E "^(CapEff|NoNewPrivs)" /proc/self/status'
        assert_output $'300\n300\n100\nNoNewPrivs:\t1\nCapEff:\t0000000020000420' || assert_match $'300\n300\n100\n'
        assert_match $'CapEff:\t0000000020000420'
        assert_match $'NoNewPrivs:\t1'
        uoci delete --force "$C"
        refused 'oomScoreAdj: cannot set -500' "$ONE | .process.oomScoreAdj = -500"
        assert_match 'only be raised'
        refused 'rlimits: cannot set RLIMIT_NOFILE' "$ONE | .process.rlimits = [{type:\"RLIMIT_NOFILE\",soft:5,hard:1000000000}]"
}

@test "hooks run as the user, in the right namespaces; a failing one undoes all" {
        cat >"$ZL_DIR/hook" <<-'END'
		#!/bin/sh
		echo "$1 $(id -u) $(cat)" >>"${0%/*}/user/said"
		exit ${2:-0}
		END
        chmod 755 "$ZL_DIR/hook"
        local all='.hooks = ({} | .[("prestart","createRuntime","createContainer","poststart","poststop")] = [])'
        for kind in prestart createRuntime createContainer poststart poststop; do
                all+=" | .hooks.$kind = [{path:\"$ZL_DIR/hook\",args:[\"hook\",\"$kind\"]}]"
        done
        run run_in "$ONE | $all" echo ran
        assert_output ran
        assert_equal "$(cut -d' ' -f1,2 "$U/said")" "$(printf '%s\n' "prestart $USER_ID" "createRuntime $USER_ID" \
                "createContainer 0" "poststart $USER_ID" "poststop $USER_ID")"
        assert_equal "$(cut -d' ' -f3- "$U/said" | jq -r .id | sort -u)" "$C"
        refused 'createRuntime hook' "$ONE | .hooks.createRuntime = [{path:\"$ZL_DIR/hook\",args:[\"hook\",\"createRuntime\",\"3\"]}]"
}

@test "a terminal: in the foreground and for an exec" {
        bundle "$ONE | .process.terminal = true" sh -c 'tty; echo owner=$(stat -c %u $(tty)); echo hello >/dev/console'
        run as_user script -qec "$OCI run -b $ZL_DIR/b $C" /dev/null </dev/null
        assert_match '/dev/pts/0'
        assert_match 'owner=0'
        assert_match 'hello'
        start "$MANY"
        run as_user script -qec "$OCI exec -t -u 1000 $C sh -c 'tty; echo owner=\$(stat -c %u \$(tty))'" /dev/null </dev/null
        assert_match '/dev/pts/0'
        assert_match 'owner=1000'
        uoci delete --force "$C"
}

@test "a container may join the namespaces of another of the same user" {
        start "$MANY | .linux.namespaces += [{type:\"network\"}]"
        local pid p
        pid=$(uoci state "$C" | jq .pid)
        p=/proc/$pid/ns
        bundle "$ONE | del(.linux.uidMappings, .linux.gidMappings) | .process.oomScoreAdj = 200 | .linux.namespaces = [
                {type:\"user\",path:\"$p/user\"},{type:\"pid\",path:\"$p/pid\"},{type:\"network\",path:\"$p/net\"},
                {type:\"ipc\",path:\"$p/ipc\"},{type:\"uts\"},{type:\"mount\"}]" \
                sh -c 'tr "\0" " " </proc/1/cmdline; id -u; wc -l </proc/self/uid_map; cat /proc/self/oom_score_adj; readlink /proc/self/ns/net'
        run uoci run -b "$ZL_DIR/b" "d$ZL_ID" </dev/null
        assert_status 0
        assert_output "sleep 1000 0"$'\n2\n200\n'"$(readlink "$p/net")"
        # Those of the machine it may not.
        bundle "$ONE | .linux.namespaces += [{type:\"network\",path:\"/proc/1/ns/net\"}]"
        run uoci run -b "$ZL_DIR/b" "d$ZL_ID" </dev/null
        assert_status 1
        assert_match '/proc/1/ns/net'
        uoci delete --force "$C"
        nothing_left
}

@test "nobody inside can look into the runtime: not by exec, not in a pid namespace that both see" {
        start "$MANY | .process.capabilities |= map_values(. + [\"CAP_SYS_PTRACE\"])" \
                sh -c 'while :; do for p in /proc/[0-9]*; do readlink $p/exe; ls -l $p/fd; done 2>/dev/null | grep -E "zlayer|/tmp/zlt" | grep -v "/out$"; done'
        for _ in {1..30}; do
                uoci exec "$C" true
        done
        uoci delete --force "$C"
        [ ! -s "$ZL_DIR/out" ] || fail "seen: $(sort "$ZL_DIR/out" | uniq -c | head)"
}

# --- root of a user namespace -----------------------------------------------------------------------------------------------

@test "root of a user namespace with one id or many: containers with and without a user namespace of their own" {
        local enter
        chmod 755 "$U"
        for enter in in_userns in_large_userns; do
                bundle "$ONE | $NO_USERNS" sh -c 'id -u; echo x >/dev/null && echo ok; cat /proc/self/setgroups'
                run $enter "$OCI" run -b "$ZL_DIR/b" "$C" </dev/null
                assert_status 0
                assert_match $'^0\nok\n'
                bundle "$ONE | .linux.uidMappings[0].hostID = 0 | .linux.gidMappings[0].hostID = 0" sh -c 'tr -s " " </proc/self/uid_map'
                run $enter "$OCI" run -b "$ZL_DIR/b" "$C" </dev/null
                assert_status 0
                assert_output " 0 0 1"
                nothing_left
        done
        bundle "$MANY | .linux.uidMappings = [{containerID:0,hostID:0,size:1},{containerID:1,hostID:1,size:64999}] | .linux.gidMappings = .linux.uidMappings |
                .process.user = {uid:1000,gid:1000,additionalGids:[29]}" id
        run in_large_userns "$OCI" run -b "$ZL_DIR/b" "$C" </dev/null
        assert_output 'uid=1000(app) gid=1000(app) groups=29(audio)'
        # Ids that are not there; groups where they are denied.
        bundle "$ONE | .linux.uidMappings[0].hostID = 100000 | .linux.gidMappings[0].hostID = 0"
        run in_large_userns "$OCI" run -b "$ZL_DIR/b" "$C" </dev/null
        assert_status 1
        assert_match 'linux.uidMappings: cannot write them'
        assert_match 'ids that exist in our own user namespace'
        bundle "$ONE | $NO_USERNS | .process.user.additionalGids = [29]"
        run in_userns "$OCI" run -b "$ZL_DIR/b" "$C" </dev/null
        assert_status 1
        assert_match 'additionalGids'
        bundle "$ONE | $NO_USERNS"
        run in_userns bash -c "$OCI run -d -b $ZL_DIR/b $C </dev/null >/dev/null 2>&1; $OCI exec $C id -u; $OCI exec -g 29 $C id; $OCI delete --force $C"
        assert_match $'^0\n.*additionalGids'
        nothing_left
}

@test "root of a user namespace: a whole life, and who has made it tells where its state is" {
        bundle "$ONE | $NO_USERNS"
        in_large_userns bash -c "set -e
                unset USER
                $OCI create -b $ZL_DIR/b $C </dev/null >/dev/null 2>&1
                [ -d $STATES/$C ]
                $OCI start $C
                [ \"\$($OCI exec $C id -u)\" = 0 ]
                $OCI kill $C KILL
                until [ \"\$($OCI state $C | jq -r .status)\" = stopped ]; do sleep 0.05; done
                $OCI delete $C"
        nothing_left
        # As runc: who calls himself root there has the directory of root.
        run in_large_userns env USER=root "$OCI" run -b "$ZL_DIR/b" "$C" </dev/null
        assert_status 1
        assert_match '/run/zlayer-oci'
}

# --- control groups that were delegated --------------------------------------------------------------------------------------

# delegate GROUP: a group below the test's own is the user's, as systemd does it. in_group GROUP COMMAND...: a process of his in it.
delegate() {
        local dir=/sys/fs/cgroup/zlayer/$1
        mkdir -p "$dir"
        sed 's/[^ ]*/+&/g' "$dir/../cgroup.controllers" >"$dir/../cgroup.subtree_control" || :
        chown $USER_ID "$dir" "$dir"/{cgroup.procs,cgroup.subtree_control,cgroup.threads}
}
in_group() {
        local dir=/sys/fs/cgroup/zlayer/$1
        shift
        bash -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$dir" setpriv --reuid $USER_ID --regid $USER_ID --clear-groups --inh-caps=-all \
                env -i PATH="$PATH" XDG_RUNTIME_DIR="$U" "$@" 3>&-
}

@test "cgroup version 2: limits, pause, figures and all else in a subtree that is the user's" {
        skip_unless "expected: needs cgroup version 2 alone" is_cgroup_v2
        local d=$ZL_ID-d top group
        top=/sys/fs/cgroup/zlayer
        mkdir -p "$top"
        sed 's/[^ ]*/+&/g' "/sys/fs/cgroup/cgroup.controllers" >/sys/fs/cgroup/cgroup.subtree_control || :
        delegate "$d"
        delegate "$d/session"
        group=$top/$d/zlayer/$C
        bundle "$MANY | .linux.resources = {devices:[{allow:false,access:\"rwm\"}],memory:{limit:50000000},pids:{limit:20},
                cpu:{shares:512,quota:50000,period:100000}}"
        in_group "$d/session" "$OCI" run -d -b "$ZL_DIR/b" "$C" </dev/null >"$ZL_DIR/out" 2>&1 || fail "$(cat "$ZL_DIR/out")"
        assert_equal "$(cat "$group"/{memory.max,pids.max,cpu.max})" $'49999872\n20\n50000 100000'
        assert_equal "$(cat "$group/cgroup.procs")" "$(uoci state "$C" | jq .pid)"
        in_group "$d/session" "$OCI" exec -d "$C" sleep 1001
        assert_equal "$(in_group "$d/session" "$OCI" ps -f json "$C" | jq length)" 2
        uoci pause "$C"
        assert_equal "$(uoci state "$C" | jq -r .status)" paused
        uoci resume "$C"
        uoci update --pids-limit 30 "$C"
        assert_equal "$(cat "$group/pids.max")" 30
        run uoci events --stats "$C"
        assert_equal "$(jq .data.pids.limit <<<"$output")" 30
        uoci kill --all "$C" KILL
        wait_until 5 has_ended
        uoci delete "$C"
        [ ! -e "$group" ] || fail "the group is left"
        # A name of his own; one that is not his; out of memory is told as for root.
        bundle "$MANY | .linux.cgroupsPath = \"/zlayer/$d/named\"" true
        in_group "$d/session" "$OCI" run -b "$ZL_DIR/b" "$C" </dev/null
        bundle "$MANY | .linux.cgroupsPath = \"/zlayer/$C\"" true
        run in_group "$d/session" "$OCI" run -b "$ZL_DIR/b" "$C" </dev/null
        assert_status 1
        assert_match 'cannot create cgroup /zlayer/'
        rmdir "$top/$d"/{session,zlayer} "$top/$d"
        nothing_left
}

@test "cgroup version 2: only his own group is the user's: a group without limits; nothing is: none" {
        skip_unless "expected: needs cgroup version 2 alone" is_cgroup_v2
        local d=$ZL_ID-s top=/sys/fs/cgroup/zlayer
        mkdir -p "$top"
        delegate "$d"
        bundle "$MANY"
        in_group "$d" "$OCI" run -d -b "$ZL_DIR/b" "$C" </dev/null >"$ZL_DIR/out" 2>&1 || fail "$(cat "$ZL_DIR/out")"
        assert_equal "$(cat "$top/$d/zlayer/$C/cgroup.procs")" "$(uoci state "$C" | jq .pid)"
        uoci pause "$C"
        uoci resume "$C"
        uoci delete --force "$C"
        bundle "$MANY | .linux.resources.memory.limit = 50000000" true
        run in_group "$d" "$OCI" run -b "$ZL_DIR/b" "$C" </dev/null
        assert_status 1
        assert_match 'controller "memory" is missing'
        rmdir "$top/$d/zlayer"
        chown root "$top/$d" "$top/$d/cgroup.procs"
        bundle "$MANY"
        in_group "$d" "$OCI" run -d -b "$ZL_DIR/b" "$C" </dev/null >"$ZL_DIR/out" 2>&1 || fail "$(cat "$ZL_DIR/out")"
        run uoci pause "$C"
        assert_match 'has no cgroup'
        uoci delete --force "$C"
        bundle "$MANY | .linux.resources.memory.limit = 50000000" true
        run in_group "$d" "$OCI" run -b "$ZL_DIR/b" "$C" </dev/null
        assert_match 'limits need a cgroup.*ermission denied'
        rmdir "$top/$d"
        nothing_left
}

# --- podman ------------------------------------------------------------------------------------------------------------------

upodman() {
        ZL_TIMEOUT=120 as_user env TMPDIR=/tmp CONTAINERS_CONF="$ZL_DIR/containers.conf" CONTAINERS_STORAGE_CONF="$ZL_DIR/storage.conf" \
                podman --runtime "$OCI" "$@"
}

@test "rootless podman: run, exec, pods, users, terminal, kill, remove" {
        skip_unless "podman is missing" has_program podman
        printf '%s\n' '[engine]' 'cgroup_manager = "cgroupfs"' 'events_logger = "none"' '[network]' 'network_backend = "cni"' >"$ZL_DIR/containers.conf"
        printf '%s\n' '[storage]' 'driver = "vfs"' "runroot = \"$U/run\"" "graphroot = \"$U/store\"" >"$ZL_DIR/storage.conf"
        tar -C "$ZL_DIR/b/rootfs" -cf "$ZL_DIR/root.tar" .
        run upodman import -q "$ZL_DIR/root.tar" bb
        assert_status 0
        run upodman run --rm --network none bb sh -c 'id -u; tr -s " " </proc/self/uid_map; exit 3'
        assert_status 3
        assert_output "0"$'\n'" 0 $USER_ID 1"$'\n'" 1 $SUB 65536"
        run upodman run --rm --network host --user 1000:29 bb sh -c 'id -u; id -g'
        assert_output $'1000\n29'
        run upodman run --rm --network none --userns keep-id bb id -u
        assert_output $USER_ID
        run upodman run --rm -t --network none bb tty
        assert_match '/dev/(pts/0|console)'
        run upodman run -d --name one --network none bb sleep 1000
        assert_status 0
        run upodman exec -u app one id -un
        assert_output app
        run upodman exec one sh -c 'exit 9'
        assert_status 9
        upodman kill one >/dev/null
        run upodman wait one
        assert_output 137
        upodman start one >/dev/null
        upodman rm -f -t 0 one >/dev/null
        run upodman ps -aq
        assert_output ""
        pkill -KILL -u $USER_ID # podman's own, which keeps the user's namespaces
        umount_below "$U"
}

# --- Docker ------------------------------------------------------------------------------------------------------------------

udocker() { DOCKER_HOST=unix://$U/docker.sock timeout -k 5 "${ZL_TIMEOUT:-40}" docker "$@" 3>&-; }
nobody_left() { [ -z "$(pgrep -u $USER_ID)" ]; }

@test "rootless Docker: run with a network of its own, exec, users, terminal, kill, remove" {
        local start=/usr/share/docker.io/contrib/dockerd-rootless.sh
        skip_unless "rootlesskit is missing" has_program rootlesskit
        skip_unless "slirp4netns is missing" has_program slirp4netns
        skip_unless "Debian's $start is missing" [ -x $start ]
        skip_unless "expected: no /dev/net/tun, and so no network for users" [ -c /dev/net/tun ]
        mkdir "$ZL_DIR/dev"
        mknod -m 666 "$ZL_DIR/dev/tun" c 10 200 # everybody's on most machines
        mount --bind "$ZL_DIR/dev/tun" /dev/net/tun
        echo "$USER_NAME:$SUB:65536" >/etc/subgid # rootlesskit takes a line by number twice
        ZL_TIMEOUT=300 background as_user env PATH="$PATH:/usr/sbin:/sbin" sh -c "cd $U && exec $start --add-runtime zlayer=$OCI --default-runtime zlayer \
                --data-root $U/data --storage-driver vfs --host unix://$U/docker.sock"
        wait_until 40 udocker info >/dev/null 2>&1 || fail "$(tail -20 "$ZL_BG_LOG")"
        assert_match 'Default Runtime: zlayer' "$(udocker info 2>/dev/null)"
        tar -C "$ZL_DIR/b/rootfs" -cf "$ZL_DIR/root.tar" .
        udocker import "$ZL_DIR/root.tar" bb
        run udocker run --rm bb sh -c 'id -u; tr -s " " </proc/self/uid_map; ip -o -4 addr show eth0 | grep -c 172; exit 3'
        assert_status 3
        assert_output "0"$'\n'" 0 $USER_ID 1"$'\n'" 1 $SUB 65536"$'\n'1
        run udocker run --rm --network none --user 1000:29 -w /tmp bb sh -c 'id -u; id -g; pwd'
        assert_output $'1000\n29\n/tmp'
        run udocker run --rm -t --network host bb tty
        assert_match '/dev/(pts/0|console)'
        udocker run -d --name one bb sleep 1000
        run udocker exec -u app one id -un
        assert_output app
        run udocker exec one sh -c 'exit 9'
        assert_status 9
        udocker kill one
        assert_equal "$(udocker wait one)" 137
        udocker start one
        udocker rm -f one
        assert_equal "$(udocker ps -aq)" ''
        pkill -TERM -u $USER_ID -x rootlesskit
        wait_until 20 nobody_left || pkill -KILL -u $USER_ID
        umount_below "$U"
        umount /dev/net/tun
        echo "$USER_ID:$SUB:65536" >/etc/subgid
}
