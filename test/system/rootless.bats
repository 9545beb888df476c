# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bats
# The agent of a user without privileges: containers in a user namespace, networks by way of pasta or slirp4netns. The user is `nobody`, whose
# subordinate ids stand in files of this test's own mount namespace.

load lib
load network

setup() {
        zl_setup
        skip_unless "containers need root" is_root
        local program
        for program in zlayer-agent zlayer-monitor zlayer-net; do
                install -Dm 755 "$ZL_BUILD/$program" "$ZL_DIR/bin/$program"
        done
        cp -r "$(busybox_layout)" "$ZL_DIR/image"
        chmod -R a+rX "$ZL_DIR"
        mkdir -m 700 "$ZL_DIR/own" "$ZL_DIR/own/run" "$ZL_DIR/own/data"
        chown -R nobody "$ZL_DIR/own"
        echo nobody:100000:65536 >"$ZL_DIR/subid"
        unshare_mounts
        NET=$ZL_DIR/own/run/zlayer/net
        user image import "$ZL_DIR/image" bb >/dev/null
}
teardown() {
        local name
        for name in $(user ps -a --json | jq -r '.[].name'); do user rm -f "$name" >/dev/null; done
        wait_until 20 world_has_ended
        [ -z "$WORLD" ] || ip link del uplink
        umount "${BOUND[@]}"
        zl_teardown
}
# The file of a test has a mount namespace of its own (test/isolate).
unshare_mounts() {
        BOUND=()
        mknod -m 666 "$ZL_DIR/tun" c 10 200
        bind "$ZL_DIR/subid" /etc/subuid
        bind "$ZL_DIR/subid" /etc/subgid
        [ ! -e /dev/net/tun ] || bind "$ZL_DIR/tun" /dev/net/tun
}
bind() { mount --bind "$1" "$2" && BOUND+=("$2"); }
hide() { local p; for p in "$@"; do bind /dev/null "/usr/bin/$p"; done; }
world_has_ended() { [ ! -e "$ZL_DIR/own/run/zlayer/world" ]; }

be_user() {
        exec setpriv --reuid nobody --regid nogroup --clear-groups --inh-caps=-all \
                env -i PATH="$PATH" HOME="$ZL_DIR/own" XDG_RUNTIME_DIR="$ZL_DIR/own/run" XDG_DATA_HOME="$ZL_DIR/own/data" "$@"
}
as_user() { (be_user timeout -k 5 60 "$@" 3>&-); }
user() { as_user "$ZL_DIR/bin/zlayer-agent" "$@"; }
needs_tun() { skip_unless "expected: no tun devices here" as_user sh -c ': <>/dev/net/tun'; }
inside() { user exec "$@"; }

@test "a user without privileges runs containers, sees them, enters them and leaves nothing" {
        run -0 user run --rm bb id
        assert_match 'uid=0'
        run -0 user run --rm --user 1000:1000 bb id -u
        assert_equal "$output" 1000
        run -7 user run --rm bb sh -c 'exit 7'
        run -0 user run --rm --network host bb ip addr
        assert_match ': lo:'
        run -0 user run -d --name s bb sh -c 'echo hello; exec sleep 1000'
        local pid
        pid=$(user ps --json | jq '.[0].pid')
        assert_equal "$(stat -c %U "/proc/$pid")" nobody
        assert_equal "$(user exec s cat /proc/self/uid_map | wc -l)" 2
        wait_until 10 is_logged
        run -0 user exec s sh -c 'echo x >/new && cat /new'
        assert_output x
        # The figures want a group, which the user may not make here; his processes are found without one.
        if ! is_cgroup_v2; then
                run -0 user top --json s
                assert_equal "$(jq -c '[.[].command]' <<<"$output")" '["sleep 1000"]'
                assert_equal "$(user inspect s | jq .[0].paths.cgroup)" null
        fi
        user stop s
        run -137 user wait s
        run -0 user rm s
        wait_until 20 world_has_ended
        assert_equal "$(user ps -a --json)" '[]'
}
is_logged() { [[ $(user logs s) = hello ]]; }

@test "limits that nobody may set here are refused, and nothing is left of the attempt" {
        run -125 user run --rm --memory 64Mi bb true
        assert_match 'limits need a cgroup'
        assert_equal "$(user ps -a --json)" '[]'
}

# A group of version 2 of the user's, all controllers in it; and a command of his in one.
delegate() {
        local dir=/sys/fs/cgroup/zlayer/$1
        mkdir -p "$dir"
        sed 's/[^ ]*/+&/g' "$dir/../cgroup.controllers" >"$dir/../cgroup.subtree_control"
        chown nobody "$dir" "$dir"/{cgroup.procs,cgroup.subtree_control,cgroup.threads}
}
in_group() {
        local dir=/sys/fs/cgroup/zlayer/$1
        shift
        (echo $BASHPID >"$dir/cgroup.procs" && user "$@")
}

@test "cgroup version 2: limits in a group that was delegated to the user" {
        skip_unless "expected: needs cgroup version 2 alone" is_cgroup_v2
        local d=$ZL_ID-d top=/sys/fs/cgroup/zlayer group monitor
        mkdir -p "$top"
        sed 's/[^ ]*/+&/g' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
        delegate "$d"
        delegate "$d/session"
        group=$top/$d/zlayer/run.s.1
        run -0 in_group "$d/session" run -d --name s --memory 64Mi --pids-limit 12 --cpus 0.5 bb sleep 1000
        assert_equal "$(cat "$group"/{memory.max,pids.max,cpu.max})" $'67108864\n12\n50000 100000'
        assert_equal "$(cat "$group/cgroup.procs")" "$(user ps --json | jq '.[0].pid')"
        # They hold.
        run user exec s sh -c 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do sleep 1000 >/dev/null 2>&1 & done; wait'
        assert_match "can't fork"
        wait_until 20 grep -q '^max [1-9]' "$group/pids.events"
        run -137 in_group "$d/session" run --name m --memory 16Mi bb sh -c 'x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done'
        assert_equal "$(user inspect m | jq -c '[.[0].oom, .[0].paths.cgroup]')" "[true,\"/zlayer/$d/zlayer/run.m.1\"]"
        user rm m
        # The figures are those of the group, from outside of it, too.
        run -0 user stats --no-stream --json s
        assert_equal "$(jq -c '.[0] | [.memory_limit, .pids_limit, .cpu_limit]' <<<"$output")" '[67108864,12,0.5]'
        # Nothing asked for: the limit on processes that root's have, too.
        run -0 in_group "$d/session" run --rm bb true
        run -0 in_group "$d/session" run -d --name t bb sleep 1000
        assert_match '^[0-9]+$' "$(cat "$top/$d/zlayer/run.t.1/pids.max")"
        # Without its monitor, the group goes when the end is put down.
        monitor=$(stat_of "$(user ps --json | jq '.[] | select(.name == "run.t.1").pid')" | cut -d ' ' -f 2)
        kill -KILL "$monitor"
        wait_until 20 has_failed run.t.1
        [ ! -e "$top/$d/zlayer/run.t.1" ] || fail "the group is left"
        user rm -f s t
        [ ! -e "$group" ] || fail "the group is left"
        wait_until 20 world_has_ended
        rmdir "$top/$d"/{session,zlayer} "$top/$d"
}
stat_of() { sed 's/.*) //' "/proc/$1/stat"; }
has_failed() { [ "$(user ps -a --json | jq -r ".[] | select(.name == \"$1\").state")" = failed ]; }

@test "cgroup version 2: where only his own group is the user's his containers have no limits, and are told of" {
        skip_unless "expected: needs cgroup version 2 alone" is_cgroup_v2
        local d=$ZL_ID-o top=/sys/fs/cgroup/zlayer
        mkdir -p "$top"
        sed 's/[^ ]*/+&/g' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
        delegate "$d"
        run -0 in_group "$d" run -d --name s bb sleep 1000
        assert_equal "$(cat "$top/$d/zlayer/run.s.1/cgroup.procs")" "$(user ps --json | jq '.[0].pid')"
        run -125 in_group "$d" run --rm --memory 64Mi bb true
        assert_match 'controller "memory" is missing'
        user rm -f s
        wait_until 20 world_has_ended
        rmdir "$top/$d/zlayer" "$top/$d"
}

try_network() { # PROGRAM
        run -0 user info --json
        assert_equal "$(jq -r .network.way <<<"$output")" "$1"
        run -0 user run -d --name a --network bridge -p 18080:80 bb httpd -f -p 80 -h /etc
        run -0 user run -d --name b --network bridge -p 127.0.0.1:0:80 bb httpd -f -p 80 -h /etc
        eventually fetch 127.0.0.1:18080
        eventually fetch 192.0.2.1:18080
        eventually inside_fetch b a
        assert_equal "$(inside_fetch b a)" a-rep-1
        # The world outside, under the host's address.
        background world nc -l -p 81 -s 192.0.2.2
        eventually inside a sh -c 'echo hi | nc -w 3 192.0.2.2 81'
        is_up "$1" || fail "it was not $1"
        # A port that somebody has, and one that is root's.
        run -125 user run --rm --network bridge -p 18080:80 bb true
        assert_match 'tcp port 18080 of the host'
        run -125 user run --rm --network bridge -p 127.0.0.1:99:80 bb true
        assert_match 'ports below 1024'
        # Killed, it comes back with the next request, and its helpers go with it.
        kill -KILL "$(net_pid | head -1)"
        wait_until 20 no_program "$1"
        run -0 user run --rm --network bridge bb true
        eventually fetch 127.0.0.1:18080
        eventually inside_fetch b a
        user rm -f a b
        wait_until 20 no_program "$1"
        wait_until 20 world_has_ended
}
# `pasta` goes on as passt, or as the build of it for this processor.
is_up() { pgrep "^${1/pasta/passt}" >/dev/null; }
no_program() { ! is_up "$1"; }
net_pid() { fuser "$NET/lock" 2>/dev/null | tr -s ' ' '\n' | grep .; }

@test "networks by way of pasta: published ports, names, the world outside" {
        needs_tun
        make_world
        hide slirp4netns
        try_network pasta
}

@test "networks by way of slirp4netns" {
        needs_tun
        make_world
        hide pasta
        try_network slirp4netns
}

@test "without either a network is refused with what is missing, and the host's works" {
        hide pasta slirp4netns
        run -0 user info
        assert_match "network +the host's only: networks need CAP_NET_ADMIN, or the program pasta or slirp4netns: none of them is here"
        run -125 user run --rm --network bridge bb true
        assert_match 'CAP_NET_ADMIN, or the program pasta or slirp4netns: none of them is here'
        assert_match 'hint: install the package passt or slirp4netns'
        run -0 user run --rm --network host bb true
        assert_equal "$(user ps -a --json)" '[]'
}

@test "a deployment of a user has a published port, names and a balanced address" {
        needs_tun
        make_world
        cat >"$ZL_DIR/app.yaml" <<-'Y'
		version: v1
		deployment: app
		services:
		  web:
		    image: {name: bb}
		    command: {entrypoint: [sh, -c, 'hostname >/tmp/who; exec httpd -f -p 8080 -h /tmp']}
		    scale: {mode: fixed, replicas: 2}
		    endpoints: [{name: web, protocol: http, port: 80, target_port: 8080}]
		    port_mappings: [{host_port: 18090, container_port: 8080}]
		    stop_grace_period: 0s
		  visitor:
		    image: {name: bb}
		    command: {entrypoint: [sh, -c, 'trap "exit 0" TERM; sleep 1000 & wait']}
		    stop_grace_period: 0s
		Y
        background be_user "$ZL_DIR/bin/zlayer-agent" serve
        wait_until 20 test -S "$ZL_DIR/own/run/zlayer/agent.sock"
        run user up -d "$ZL_DIR/app.yaml"
        echo "$output"
        assert_status 0
        wait_until 20 all_answer curl -sf -m 3 http://127.0.0.1:18090/who
        run -0 visit web 8080
        assert_match '^web-rep-[12]$'
        wait_until 20 all_answer visit vip.web.service.local 80
        run -0 user down app
        assert_equal "$(user ps -a --json)" '[]'
        kill "$ZL_BG"
        wait_until 20 world_has_ended
}
visit() { user exec app.visitor.1 sh -c "printf 'GET /who HTTP/1.0\r\n\r\n' | nc -w 3 $1 $2" | tail -1; }
# Both replicas, in twenty requests at most.
all_answer() {
        local i
        for i in {1..20}; do "$@"; done | sort -u | grep -cx 'web-rep-[12]' | grep -qx 2
}

@test "a deployment of a user: a daemon that is killed finds everything again" {
        cat >"$ZL_DIR/app.yaml" <<-'Y'
		version: v1
		deployment: app
		services:
		  web: {image: {name: bb}, network_mode: host, command: {entrypoint: [sleep, '1000']}, scale: {mode: fixed, replicas: 2}}
		Y
        background be_user "$ZL_DIR/bin/zlayer-agent" serve
        wait_until 20 test -S "$ZL_DIR/own/run/zlayer/agent.sock"
        run -0 user up -d "$ZL_DIR/app.yaml"
        wait_until 20 two_run
        local before daemon
        before=$(user ps --json | jq -c '[.[].pid] | sort')
        daemon=$(fuser "$ZL_DIR/bin/zlayer-agent" 2>/dev/null | tr -s ' ' '\n' | grep . | head -1)
        kill -KILL $daemon
        wait_until 20 has_ended $daemon # or the next would find one there, and end
        background be_user "$ZL_DIR/bin/zlayer-agent" serve
        wait_until 20 two_run
        assert_equal "$(user ps --json | jq -c '[.[].pid] | sort')" "$before"
        run -0 user down app
        assert_equal "$(user ps -a --json)" '[]'
        kill "$ZL_BG"
        wait_until 20 world_has_ended
}
two_run() { [ "$(user ps --json | jq '[.[] | select(.state == "running")] | length')" = 2 ]; }

@test "a daemon of a user runs WebAssembly, and makes the next workload of the container that it keeps ready" {
        skip_unless "built without WebAssembly" test -x "$ZL_BUILD/zlayer-wasm"
        clang --target=wasm32-wasi --sysroot=/usr -O1 -o "$ZL_DIR/world.wasm" "$ZL_SOURCE/test/wasm/world.c"
        cp "$ZL_BUILD"/{zlayer-wasm,libwasmtime.so} "$ZL_DIR/bin"
        user image import "$ZL_DIR/world.wasm" guest >/dev/null
        background be_user "$ZL_DIR/bin/zlayer-agent" serve
        wait_until 20 test -S "$ZL_DIR/own/run/zlayer/agent.sock"
        create_guest a
        run -3 user wait run.a.1
        wait_until 60 has_spare
        create_guest b
        run -3 user wait run.b.1
        assert_equal "$(user ps -a --json | jq -r '.[].state' | sort -u)" exited
        user rm run.a.1 run.b.1
        kill "$ZL_BG"
        wait_until 20 world_has_ended
}
create_guest() { # NAME
        as_user curl -sf --unix-socket "$ZL_DIR/own/run/zlayer/agent.sock" -H 'Content-Type: application/json' http://zlayer/v1/containers -d \
                '{"name": "'"$1"'", "service": {"image": {"name": "guest", "pull_policy": "never"}, "network_mode": "host", "command": {"args": ["exit", "3"]}}}'
}
has_spare() { compgen -G "$ZL_DIR/own/data/zlayer/containers/.spare-*" >/dev/null; }
