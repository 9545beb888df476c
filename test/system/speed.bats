#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What makes the engine fast must stay (docs/performance.md): each trick is looked for in a trace, and each has a fallback that does
# the same work. Times are for bench/run; nothing here depends on the clock.
load lib

# trace FILE ARG…: zlayer-oci under strace, with all its children.
trace() {
        local file=$1
        shift
        timeout -k 5 30 strace -f -qq -o "$file" "$ZL_OCI" --root "$ZL_DIR/oci" "$@" </dev/null
}

count() { grep -cvE 'resumed>|\+\+\+|---' "$1"; }

# in_groups ID: what the container's process says of its groups, every one of them its own.
in_groups() {
        local pid
        pid=$(oci state "$1" | jq -r .pid)
        ! grep -v ":.*/$ZL_ID-b\$" "/proc/$pid/cgroup"
}

start_sleeper() {
        make_bundle "$ZL_DIR/b" '.process.args = ["sleep","100"]'
        oci run -d -b "$ZL_DIR/b" "c$ZL_ID" </dev/null >/dev/null 2>&1
}

@test "a run takes few system calls" {
        make_bundle "$ZL_DIR/b" '.process.args = ["true"]'
        trace trace.txt run -b "$ZL_DIR/b" "c$ZL_ID"
        [ "$(count trace.txt)" -le 640 ] || fail "$(count trace.txt) system calls"
}

@test "processes enter their groups by themselves, without the lock over all processes" {
        local file
        start_sleeper
        in_groups "c$ZL_ID"
        make_bundle "$ZL_DIR/t" '.process.args = ["true"]'
        trace run.txt run -b "$ZL_DIR/t" "t$ZL_ID"
        trace exec.txt exec "c$ZL_ID" cat /proc/self/cgroup
        for file in run.txt exec.txt; do
                run ! grep 'cgroup\.procs.*O_WRONLY' $file
        done
        assert_equal "$(oci exec "c$ZL_ID" cat /proc/self/cgroup)" "$(oci exec "c$ZL_ID" cat /proc/1/cgroup)"
        oci delete --force "c$ZL_ID"
}

@test "the groups of version 1 are made while the child is at work, or before it; either way it is in them before its hooks are" {
        local forbid clone made sent
        skip_unless "expected: cgroup v2 alone, where processes are born in their group" test -d /sys/fs/cgroup/pids
        make_bundle "$ZL_DIR/b" '.process.args = ["true"] | .linux.namespaces |= map(select(.type != "cgroup")) |
                .hooks.createContainer = [{path: "/bin/sh", args: ["sh", "-c", "cat /proc/self/cgroup >'"$ZL_DIR"'/hook"]}]'
        for forbid in "" late_doors; do
                rm -f "$ZL_DIR/hook"
                ZL_FORBID=$forbid trace trace.txt run -b "$ZL_DIR/b" "c$ZL_ID" >out.txt
                run ! grep -v ":.*/$ZL_ID-b\$" "$ZL_DIR/hook"
                clone=$(grep -n 'clone3(.*CLONE_NEWPID' trace.txt | head -1 | cut -d: -f1)
                made=$(grep -n 'mkdirat(.*pids/' trace.txt | head -1 | cut -d: -f1)
                sent=$(grep -c 'sendmsg(.*SCM_RIGHTS' trace.txt) || true
                echo "clone $clone, made $made, sent $sent"
                if [ -z "$forbid" ]; then
                        [ "$clone" -lt "$made" ] && [ "$sent" -eq 1 ]
                else
                        [ "$made" -lt "$clone" ] && [ "$sent" -eq 0 ]
                fi
        done
        # Not a group that was there and holds processes.
        start_sleeper
        make_bundle "$ZL_DIR/t" '.linux.cgroupsPath = "/zlayer/'"$ZL_ID"'-b"'
        for forbid in "" late_doors; do
                ZL_FORBID=$forbid run oci run -b "$ZL_DIR/t" "t$ZL_ID"
                assert_status 1
                assert_match "not empty"
        done
        in_groups "c$ZL_ID"
        oci delete --force "c$ZL_ID"
}

@test "the helper of an exec has our memory and enters all namespaces at once; without that it all comes out the same" {
        local forbid how
        skip_unless "expected: a build with sanitizers, or another processor" sh -c "case \$(uname -m) in x86_64|aarch64) ! grep -q __asan $ZL_OCI;; *) false;; esac"
        start_sleeper
        for forbid in "" borrow setns_pidfd borrow,setns_pidfd cgroup_doors; do
                export ZL_FORBID=$forbid
                # "how many helpers on our memory, how many copies, how many calls to enter"
                trace exec.txt exec "c$ZL_ID" sh -c 'cd /proc; for p in 1 self; do echo $p; readlink $p/ns/*; cat $p/cgroup; done; grep Cpus_allowed_list self/status' >out.txt
                how="$(grep -c 'clone3(.*CLONE_VM|CLONE_VFORK' exec.txt) $(grep -c 'setns(' exec.txt)"
                unset ZL_FORBID
                assert_equal "$(sed '/^self/,$d; /^1$/d' out.txt)" "$(sed '1,/^self/d; /^Cpus/d' out.txt)"
                assert_equal "$(grep Cpus out.txt)" "$(oci exec "c$ZL_ID" grep Cpus_allowed_list /proc/1/status)"
                case $forbid in
                "") assert_equal "$how" "1 1" ;;
                borrow) assert_equal "$how" "0 1" ;;
                *setns*) assert_equal "$how" "0 6" ;;
                *) [ "${how#* }" -ge 1 ] ;; # the first helper could not enter, and there was another
                esac
                run env ZL_FORBID="$forbid" "$ZL_OCI" --root "$ZL_DIR/oci" exec --cwd /nowhere "c$ZL_ID" true
                [ "$status" -ne 0 ]
                assert_match nowhere
        done
        oci delete --force "c$ZL_ID"
}

@test "without that way in the parent moves them" {
        local pid
        export ZL_FORBID=cgroup_doors,clone3
        start_sleeper
        in_groups "c$ZL_ID"
        assert_equal "$(oci exec "c$ZL_ID" cat /proc/self/cgroup)" "$(oci exec "c$ZL_ID" cat /proc/1/cgroup)"
        oci delete --force "c$ZL_ID"
}

@test "the programs that start often are linked with musl where it is installed" {
        local specs
        specs=/usr/lib/$(uname -m)-linux-musl/musl-gcc.specs
        skip_unless "expected: musl-tools is not there" test -e "$specs"
        skip_unless "expected: a build with sanitizers" sh -c "! grep -q __asan $ZL_OCI"
        # glibc looks at its tunables whenever it starts.
        run ! grep -q GLIBC_TUNABLES "$ZL_OCI"
        run ! grep -q GLIBC_TUNABLES "$ZL_BUILD/zlayer-monitor"
}

@test "the first life of the program does nothing but begin the second" {
        local first
        skip_unless "expected: not linked with musl" sh -c "! grep -q GLIBC_TUNABLES $ZL_OCI"
        make_bundle "$ZL_DIR/b" '.process.args = ["true"]'
        trace trace.txt run -b "$ZL_DIR/b" "c$ZL_ID"
        first=$(sed '/execveat(/q' trace.txt | wc -l)
        [ "$first" -le 12 ] || fail "$first system calls"
        # An option whose value looks like a command, and no command at all: only then it is protected in vain, or late.
        run oci --log run --version
        assert_status 0
        run oci run
        assert_match 'wrong number of arguments for "run"'
}

@test "the descriptor that protects our program stays ours" {
        local n
        # It is the lowest that is free: what a caller may promise to the container without having it.
        make_bundle "$ZL_DIR/b" '.process.args = ["ls","-l","/proc/self/fd"]'
        for n in 1 2 3; do
                run oci run --preserve-fds $n -b "$ZL_DIR/b" "c$ZL_ID" 3>&- 4>&- 5>&-
                assert_status 0
                run ! grep zlayer <<<"$output"
        done
        run oci run -b "$ZL_DIR/b" "c$ZL_ID"
        assert_status 0
        run ! grep zlayer <<<"$output"
}

@test "what the caller ignores is not ignored in the container, whether the kernel says what it was or not" {
        local forbid
        make_bundle "$ZL_DIR/b" '.process.args = ["grep","SigIgn","/proc/self/status"]'
        trap '' PIPE USR1 35 64
        for forbid in "" proc_status; do
                ZL_FORBID=$forbid run oci run -b "$ZL_DIR/b" "c$ZL_ID"
                assert_status 0
                assert_match "SigIgn:[[:space:]]+0000000000000000"
        done
        trap - PIPE USR1 35 64
        # Asking one by one is what the text spares.
        trace trace.txt run -b "$ZL_DIR/b" "c$ZL_ID"
        [ "$(grep -c rt_sigaction trace.txt)" -le 24 ] || fail "$(grep -c rt_sigaction trace.txt) of rt_sigaction"
}

@test "a container with a memory limit of 1 MiB starts" {
        local forbid
        skip_unless "expected: a sanitizer takes more than that" sh -c "! grep -q __asan $ZL_OCI"
        make_bundle "$ZL_DIR/b" '.process.args = ["true"] | .linux.resources.memory = {limit: 1048576}'
        for forbid in "" late_doors; do
                ZL_FORBID=$forbid run oci run -b "$ZL_DIR/b" "c$ZL_ID"
                assert_status 0
        done
}

@test "twenty at once: all run, nothing is left" {
        local i pids=()
        make_bundle "$ZL_DIR/b" '.process.args = ["true"] | del(.linux.cgroupsPath)'
        for i in {1..20}; do
                oci run -b "$ZL_DIR/b" "c$i$ZL_ID" </dev/null >out.$i 2>&1 &
                pids+=($!)
        done
        for i in {1..20}; do
                wait "${pids[i - 1]}" || fail "number $i: $(cat out.$i)"
        done
        assert_equal "$(oci list -q)" ""
}

@test "run lets the command go on at once, unless its pid file has to be there first" {
        local parent start
        make_bundle "$ZL_DIR/b" '.process.args = ["true"]'
        trace trace.txt run -b "$ZL_DIR/b" "c$ZL_ID"
        parent=$(head -1 trace.txt | cut -d' ' -f1)
        start=$(grep -n "^$parent *sendto(" trace.txt | head -1 | cut -d: -f1)
        [ "$start" -lt "$(grep -n 'linkat(.*"state.json"' trace.txt | head -1 | cut -d: -f1)" ]
        trace trace.txt run --pid-file "$PWD/pid" -b "$ZL_DIR/b" "c$ZL_ID"
        parent=$(head -1 trace.txt | cut -d' ' -f1)
        start=$(grep -n "^$parent *sendto(" trace.txt | head -1 | cut -d: -f1)
        [ "$start" -gt "$(grep -n "\"$PWD/pid\"" trace.txt | tail -1 | cut -d: -f1)" ]
        # What cannot be executed is told all the same.
        make_bundle "$ZL_DIR/n" '.process.args = ["nonesuch"]'
        run oci run -b "$ZL_DIR/n" "n$ZL_ID"
        [ "$status" -ne 0 ]
        assert_match 'exec: "nonesuch": executable file not found'
}

# opens ARG…: how often zlayer-agent opens a file, and where it looks at containers.
opens() {
        timeout -k 5 30 strace -f -qq -e trace=open,openat,openat2,readlink,readlinkat,connect -o opens.txt "$ZL_AGENT" "$@" >/dev/null
        count opens.txt
}

@test "a name reads the records of those alone that it may mean, however many there are" {
        local i name before after listed
        import_busybox bb
        zl run --name web bb true
        zl run --name other bb true
        for i in {1..200}; do
                cp -r "$ZLAYER_ROOT_DIR/containers/run.other.1" "$ZLAYER_ROOT_DIR/containers/run.copy$i.1"
                sed -i "s/run\.other\.1/run.copy$i.1/g" "$ZLAYER_ROOT_DIR/containers/run.copy$i.1/"*.json
        done
        listed=$(opens ps -a)
        [ "$listed" -gt 200 ] || fail "a list opens $listed only"
        [ "$(zl ps -aq | wc -l)" -eq 202 ]
        for name in web run.web run.web.1; do
                after=$(opens inspect $name)
                run ! grep -E 'copy|other' opens.txt
                echo "$name: $after"
                [ "$after" -lt 100 ]
        done
        for name in "logs web" "wait web" "why web" "exec web true" "stop web" "top other" "rm web other"; do
                # shellcheck disable=SC2086 # several words
                opens $name || true
                run ! grep copy opens.txt
        done
        rm -r "$ZLAYER_ROOT_DIR"/containers/run.copy*
}
