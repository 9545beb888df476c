#!/usr/bin/env bats
# The helpers themselves: a leak check that cannot fail would make every other test worthless.
load lib

@test "a clean test has no leak" {
        zl_find_new
        [ -z "$ZL_LEAKS" ] || fail "$ZL_LEAKS"
}

@test "the leak check finds a mount, a process, a cgroup, a link and a socket, and cleans up" {
        skip_unless "expected: only in namespaces of its own (test/run)" test -n "$ZL_ISOLATED"
        mkdir mnt
        mount -t tmpfs leak mnt
        sleep 300 3>&- &
        mkdir -p "$(cgroup_dir pids zlayer/leak)"
        ip link add zlleak type veth peer name zlleak2
        /usr/bin/python3 -c 'import socket, time
s = socket.socket(socket.AF_UNIX); s.bind("sock"); s.listen(); time.sleep(300)' 3>&- &
        wait_until 5 test -S sock
        zl_check_leaks >found && fail "nothing found"
        output=$(cat found)
        assert_match "mount $ZL_DIR/mnt"
        assert_match 'process [0-9]+:[0-9]+ sleep'
        assert_match 'cgroup .*/zlayer/leak'
        assert_match 'link zlleak'
        zl_clean_leaks
        rm -f sock
}

@test "the busybox image reaches a real registry" {
        start_registry
        push_image "$(busybox_layout)" library/busybox:1
        run -0 curl -sf "http://$REGISTRY/v2/library/busybox/tags/list"
        assert_match '"tags":\["1"\]'
        stop_registry
}

@test "the debian-like image has four layers and a working shell below" {
        layout=$(debian_layout)
        digest=$(jq -r '.manifests[0].digest' "$layout/index.json")
        [ "$(jq '.layers | length' "$layout/blobs/sha256/${digest#sha256:}")" = 4 ]
}

@test "a bundle's configuration can be changed" {
        make_bundle b '.process.args = ["echo", "x"]'
        [ "$(jq -r '.process.args[0]' b/config.json)" = echo ]
        [ -x b/rootfs/bin/busybox ]
}

@test "wait_until gives up in time" {
        run wait_until 1 false
        assert_status 1
}

@test "a run that is ended by a signal leaves nothing, not even what it froze" {
        skip_unless "expected: only in namespaces of its own (test/run)" test -n "$ZL_ISOLATED"
        cat >frozen.sh <<'END'
dir=/sys/fs/cgroup/freezer file=freezer.state value=FROZEN
[ -d $dir ] || dir=/sys/fs/cgroup file=cgroup.freeze value=1
mkdir $dir/cold
sleep 300 &
echo $! >$dir/cold/cgroup.procs
echo $value >$dir/cold/$file
touch "$1"
wait
END
        "$ZL_SOURCE/test/isolate" bash "$PWD/frozen.sh" "$PWD/ready" 3>&- &
        local pid=$!
        wait_until 20 test -e ready
        [ -n "$(find /sys/fs/cgroup -name "zlayer-test.$pid")" ]
        kill -TERM $pid
        wait_until 20 bash -c "! kill -0 $pid"
        assert_equal "$(find /sys/fs/cgroup -name "zlayer-test.$pid")" ""
}
