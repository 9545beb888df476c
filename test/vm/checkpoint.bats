#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Checkpoint and restore by criu, on a kernel that the criu of Debian 12 can work on: `test/vm/run -- bats test/vm/checkpoint.bats`.
load ../system/lib

setup() {
        zl_setup
        criu check >/dev/null 2>&1 || skip "expected: criu does not work on this kernel"
        images=$ZL_DIR/images
        ZL_TIMEOUT=90
}

# Few links: making the hundreds of a whole busybox takes half a minute here.
small_rootfs() { # DIR
        mkdir -p "$1/bin" "$1/proc" "$1/sys" "$1/dev" "$1/tmp"
        cp "$(command -v busybox)" "$1/bin/busybox"
        for name in sh sleep cat ps ls touch dd grep echo readlink; do ln -s busybox "$1/bin/$name"; done
}

# A shell that counts what it reads: its memory, its descriptors and its place in the script are what a checkpoint keeps.
counter='.process.args = ["sh","-c","n=0; while read -r line; do n=$((n+1)); echo \"$n $line\"; done; exit 7"]'

start() { # [FILTER [OPTION...]]
        local filter=${1:-.}
        shift || :
        small_rootfs "$ZL_DIR/b/rootfs"
        make_bundle "$ZL_DIR/b" "$counter | $filter"
        # Pipes without a name, both ends held here: a named one is a file of the host, which criu cannot keep.
        exec {both}<> <(:) && exec {first_in}</proc/self/fd/$both {first}>/proc/self/fd/$both {both}>&-
        exec {both}<> <(:) && exec {second_in}</proc/self/fd/$both {second}>/proc/self/fd/$both {both}>&-
        : >"$ZL_DIR/out"
        oci run -d -b "$ZL_DIR/b" "$@" c <&"$first_in" > >(exec cat >>"$ZL_DIR/out" {first}>&- {second}>&-) 2>&1
}

restore() { # [OPTION...]
        oci restore -d -b "$ZL_DIR/b" --image-path "$images" "$@" c <&"$second_in" > >(exec cat >>"$ZL_DIR/out" {first}>&- {second}>&-) 2>&1
}

teardown() {
        oci delete -f c >/dev/null 2>&1 || :
        [ ! -v second ] || exec {first_in}<&- {first}>&- {second_in}<&- {second}>&-
        zl_teardown
}

has_said() { grep -qx "$1" "$ZL_DIR/out"; }
status_is() { [ "$(oci state c | jq -r .status)" = "$1" ]; }
is_gone() { ! oci state c >/dev/null 2>&1; }

# Standard input and output are pipes of a shell, as a supervisor has them.
pipes() { start "$@"; }

@test "a container goes on where it was, with its pipes, its group and its exec" {
        local before after
        pipes
        echo one >&"$first"
        wait_until 20 has_said '1 one'
        before=$(cat /proc/self/mountinfo | wc -l)
        oci checkpoint --image-path "$images" c
        is_gone
        [ -s "$images/inventory.img" ]
        assert_match 'pipe:\[' "$(jq -r '.[1]' "$images/descriptors.json")"
        [ ! -d "/sys/fs/cgroup/zlayer/$ZL_ID-b" ]
        restore
        status_is running
        echo two >&"$second"
        wait_until 20 has_said '2 two'
        assert_equal "$(cat "/proc/$(oci state c | jq .pid)/cgroup")" "0::/zlayer/$ZL_ID-b"
        run oci exec c sh -c 'echo "$(cat /proc/self/cgroup) $(readlink /proc/self/ns/time)"'
        assert_output "0::/ $(readlink "/proc/$(oci state c | jq .pid)/ns/time")"
        after=$(cat /proc/self/mountinfo | wc -l)
        assert_equal "$after" "$before"
        assert_match nsdelegate "$(grep ' /sys/fs/cgroup ' /proc/mounts)"
        [ -z "$(ls -A "$ZL_DIR/oci/c" | grep criu)" ]
}

@test "twice, with a process of an exec, and the second time from the first's memory" {
        pipes
        oci exec c sh -c "sleep 1000 </dev/null >/dev/null 2>&1 &"
        oci checkpoint --pre-dump --image-path "$ZL_DIR/first" c
        status_is running
        oci checkpoint --leave-running --parent-path ../first --image-path "$images" c
        [ -L "$images/parent" ]
        status_is running
        oci checkpoint --parent-path ../first --image-path "$images" c
        restore
        assert_match 'sleep 1000' "$(oci exec c ps)"
        oci checkpoint --image-path "$images" c
        restore
        assert_match 'sleep 1000' "$(oci exec c ps)"
        echo again >&"$second"
        wait_until 20 has_said '1 again'
}

@test "restore in the foreground has the container's exit code, and leaves nothing" {
        pipes
        oci checkpoint --image-path "$images" c
        printf 'last\n' >"$ZL_DIR/last"
        run -7 oci restore -b "$ZL_DIR/b" --image-path "$images" c < <(cat "$ZL_DIR/last")
        assert_output '1 last'
        is_gone
}

@test "a fresh root file system gets its mount points, binds come from where the config says" {
        mkdir -p "$ZL_DIR/data/below" "$ZL_DIR/other"
        echo text >"$ZL_DIR/file"
        pipes ".mounts += [{destination:\"/data\",type:\"bind\",source:\"$ZL_DIR/data\",options:[\"rbind\"]},
                {destination:\"/data/below/here\",type:\"bind\",source:\"$ZL_DIR/other\",options:[\"bind\",\"ro\"]},
                {destination:\"/etc/one\",type:\"bind\",source:\"$ZL_DIR/file\",options:[\"bind\"]}]"
        oci checkpoint --image-path "$images" c
        rm -r "$ZL_DIR/b/rootfs" "$ZL_DIR/data/below"
        small_rootfs "$ZL_DIR/b/rootfs"
        echo more >"$ZL_DIR/other/more"
        restore
        assert_equal "$(oci exec c cat /etc/one)" text
        assert_equal "$(oci exec c cat /data/below/here/more)" more
        run -1 oci exec c touch /data/below/here/x
        run -1 oci exec c sh -c 'echo x >/proc/kcore && dd if=/proc/kcore bs=1 count=1 2>/dev/null | grep -q .'
}

@test "a terminal comes back through the console socket" {
        small_rootfs "$ZL_DIR/b/rootfs"
        make_bundle "$ZL_DIR/b" '.process.terminal = true | .process.args = ["sh"]'
        background python3 "$ZL_SOURCE/test/vm/console.py" "$ZL_DIR/tty" "$ZL_DIR/out"
        wait_until 10 test -S "$ZL_DIR/tty"
        oci run -d -b "$ZL_DIR/b" --console-socket "$ZL_DIR/tty" c </dev/null
        oci checkpoint --image-path "$images" c
        oci restore -d -b "$ZL_DIR/b" --image-path "$images" --console-socket "$ZL_DIR/tty" c </dev/null
        wait_until 20 grep -q 'answer 42' "$ZL_DIR/out"
        status_is running
}

@test "memory on demand: the checkpoint stays until the other side has it all" {
        pipes '.process.args = ["sh","-c","read -r line; echo lazily $line; exec sleep 1000"]'
        exec 6<> <(:)
        background "$ZL_OCI" --root "$ZL_DIR/oci" checkpoint --lazy-pages --page-server 127.0.0.1:27999 --status-fd 6 \
                --image-path "$images" --work-path "$ZL_DIR/work" c
        timeout 60 head -c 1 <&6 | od -An -c | grep -q '\\0'
        background criu lazy-pages --page-server --address 127.0.0.1 --port 27999 -D "$images" -o lazy.log
        wait_until 10 test -S "$images/lazy-pages.socket"
        # The first one is still there: the second needs a group of its own.
        jq --arg cg "/zlayer/$ZL_ID-d" '.linux.cgroupsPath = $cg' "$ZL_DIR/b/config.json" >"$ZL_DIR/d.json"
        cp "$ZL_DIR/d.json" "$ZL_DIR/b/config.json"
        oci restore -d -b "$ZL_DIR/b" --image-path "$images" --lazy-pages d <&"$second_in" \
                > >(exec cat >>"$ZL_DIR/out" {first}>&- {second}>&-) 2>&1
        echo indeed >&"$second"
        wait_until 30 has_said 'lazily indeed'
        wait_until 30 is_gone
        exec 6<&-
        oci delete -f d
}

@test "bad input: one clear error, and the container as it was" {
        pipes
        run -1 oci checkpoint --image-path "$images" --parent-path /abs c
        assert_match '[-]-parent-path: "/abs" must be relative'
        run -1 oci checkpoint --image-path "$images" --parent-path ../none c
        assert_match '[-]-parent-path: .*none: no such file'
        run -1 oci checkpoint --image-path "$images" --manage-cgroups-mode odd c
        assert_match 'invalid manage-cgroups-mode value "odd"'
        run -1 oci checkpoint --image-path "$images" --page-server nowhere c
        assert_match '[-]-page-server: "nowhere" is no ADDRESS:PORT'
        run -1 oci checkpoint --image-path "$images" --status-fd 77 c
        assert_match '[-]-status-fd: 77 is not open'
        run -1 oci checkpoint --image-path "$images" --empty-ns pid c
        assert_match '[-]-empty-ns: "pid" is not "network"'
        run -1 oci --criu "$ZL_DIR/none" checkpoint --image-path "$images" c
        assert_match 'cannot run .*none: no such file'
        run -1 env PATH=/nowhere "$ZL_OCI" --root "$ZL_DIR/oci" checkpoint --image-path "$images" c
        assert_match 'criu is not in \$PATH'
        run -1 oci checkpoint --image-path "$images" nobody
        assert_match 'does not exist'
        status_is running
        oci checkpoint --image-path "$images" c
        run -1 oci restore -d -b "$ZL_DIR/b" --image-path "$ZL_DIR/none" d </dev/null
        assert_match '[-]-image-path: .*none: no such file'
        mkdir "$ZL_DIR/empty"
        run -1 oci restore -d -b "$ZL_DIR/b" --image-path "$ZL_DIR/empty" d </dev/null
        assert_match 'criu failed: .*'
        run -1 oci state d
        run -1 oci restore -d -b "$ZL_DIR/b" --image-path "$images" --preserve-fds 1 d </dev/null
        assert_match '[-]-preserve-fds: restored processes have'
        for file in "$images"/core-*.img; do head -c 20 "$file" >"$ZL_DIR/cut" && cp "$ZL_DIR/cut" "$file"; done
        run -1 restore
        assert_match 'criu failed' "$(cat "$ZL_DIR/out")"
        is_gone
        [ ! -d "/sys/fs/cgroup/zlayer/$ZL_ID-b" ]
        oci create -b "$ZL_DIR/b" c </dev/null >/dev/null 2>&1
        run -1 oci checkpoint --image-path "$images" c
        assert_match 'cannot be checkpointed: it is created'
}
