# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bats
# A daemon keeps one monitor that waits, with a network namespace ready, for whatever native workload comes next.
load lib
load daemon

setup() {
        zl_setup
        skip_unless "containers need root" is_root
        # What a monitor keeps of our environment: so we know which is ours.
        PATH=$PATH:$ZL_DIR/here
        import_busybox bb
}
teardown() {
        zl down --all >/dev/null 2>&1
        [ -z "${DAEMON-}" ] || has_ended "$DAEMON" || stop_daemon
        zl_teardown
}

create() { # NAME [MORE]
        post /v1/containers "{\"name\": \"$1\", \"service\": {\"image\": {\"name\": \"bb\"}, \"command\": {\"entrypoint\": [\"sleep\", \"600\"]}, \"stop_grace_period\": \"0s\"${2:+, $2}}}"
}
monitor_of() { head -n 1 "$ZLAYER_RUNTIME_DIR/containers/run.$1.1/monitor.pid" | tr -d '\0'; }
# The one that waits for our daemon; fails if there is none.
waiting() {
        local pid
        for pid in $(pgrep -x zlayer-waiting); do
                ! grep -qzF "$ZL_DIR" "/proc/$pid/environ" || echo "$pid"
        done | grep .
}
# And the daemon knows of it.
ready() { waiting && is_at_rest; }
network_of() { readlink "/proc/$1/ns/net"; }
hostname_of() { zl exec "run.$1.1" hostname; }
inside() { zl exec "run.$1.1" "${@:2}"; }

@test "monitor spare: the next workload is launched by it, and is like any other" {
        start_daemon
        run ! waiting
        create first
        wait_until 10 ready
        local spare
        spare=$(waiting)
        # It is where the daemon is, and holds nothing but its socket and the namespace.
        assert_equal "$(network_of "$spare")" "$(network_of self)"
        assert_equal "$(tr '\0 ' ' ' <"/proc/$spare/cmdline" | sed 's/ *$//')" "zlayer-monitor waiting"
        create second
        assert_equal "$(monitor_of second)" "$spare"
        assert_equal "$(tr '\0' ' ' <"/proc/$spare/cmdline" | sed 's/ *$//')" "zlayer-monitor run.second.1"
        assert_equal "$(cat "/proc/$spare/comm")" zlayer-monitor
        # A network of its own, with nothing in it but a loopback device that works.
        local pid
        pid=$(zl ps --json | jq -r '.[] | select(.name == "run.second.1").pid')
        [ "$(network_of "$pid")" != "$(network_of self)" ]
        [ "$(network_of "$pid")" != "$(network_of "$(zl ps --json | jq -r '.[] | select(.name == "run.first.1").pid')")" ]
        assert_equal "$(inside second ls /sys/class/net)" lo
        assert_equal "$(inside second cat /sys/class/net/lo/flags)" 0x9
        inside second ping -c 1 -W 5 127.0.0.1 >/dev/null
        # Its namespace ends with it: the monitor keeps nothing of it.
        assert_equal "$(find "/proc/$spare/fd" -lname 'net:*')" ""
        # Who shares the host's network has no use for the namespace.
        wait_until 10 ready
        create third '"network_mode": "host"'
        assert_equal "$(network_of "$(zl ps --json | jq -r '.[] | select(.name == "run.third.1").pid')")" "$(network_of self)"
        assert_equal "$(find "/proc/$(monitor_of third)/fd" -lname 'net:*')" ""
}

@test "monitor spare: one that was killed is not taken; a daemon that is killed takes it along" {
        start_daemon
        create first
        wait_until 10 ready
        kill -KILL "$(waiting)"
        create second
        is_state run.second.1 running
        wait_until 10 ready
        kill -KILL "$DAEMON"
        wait_until 10 has_ended "$DAEMON"
        wait_until 10 eval '! waiting'
        # Those that have become monitors are not concerned.
        is_state run.second.1 running
        start_daemon
        create third
        is_state run.third.1 running
        wait_until 10 ready
        stop_daemon
        wait_until 10 eval '! waiting'
}

@test "monitor spare: it has a directory, which becomes the workload's; what a killed daemon left of it goes" {
        hidden() { compgen -G "$ZLAYER_RUNTIME_DIR/containers/.shell-*/monitor.sock"; }
        local spare dir inode
        start_daemon
        create first
        wait_until 10 eval "ready && hidden"
        spare=$(waiting) dir=$(dirname "$(hidden)") inode=$(stat -c %i "$(dirname "$(hidden)")")
        create second
        assert_equal "$(monitor_of second)" "$spare"
        assert_equal "$(stat -c %i "$ZLAYER_RUNTIME_DIR/containers/run.second.1")" "$inode"
        [ ! -e "$dir" ]
        inside second true
        # One that is started again has its directory: then the other goes, until the next takes it.
        wait_until 10 eval "ready && hidden"
        spare=$(waiting) dir=$(dirname "$(hidden)")
        post /v1/containers/run.second.1/stop
        post /v1/containers/run.second.1/start
        assert_equal "$(monitor_of second)" "$spare"
        run ! grep -aqx "$spare" "$dir/monitor.pid"
        inside second true
        wait_until 10 eval "ready && hidden"
        kill -KILL "$DAEMON"
        wait_until 10 has_ended "$DAEMON"
        wait_until 10 eval '! waiting'
        start_daemon
        assert_equal "$(compgen -G "$ZLAYER_RUNTIME_DIR/containers/.*")" ""
        assert_equal "$(compgen -G "$ZLAYER_ROOT_DIR/containers/.shell-*")" ""
        is_state run.first.1 running
        is_state run.second.1 running
}

@test "monitor spare: it has mounted the root of the image that came twice, and nobody else's" {
        image() { # NAME TEXT
                make_busybox_rootfs "$ZL_DIR/$2"
                echo "$2" >"$ZL_DIR/$2/which"
                tar -C "$ZL_DIR/$2" -cf "$ZL_DIR/$2.tar" .
                zl image import "$ZL_DIR/$2.tar" "$1"
        }
        from() { # IMAGE NAME
                wait_until 10 ready
                post /v1/containers "{\"name\": \"$2\", \"service\": {\"image\": {\"name\": \"$1\"}, \"command\": {\"entrypoint\": [\"/bin/sleep\", \"600\"]},
                        \"stop_grace_period\": \"0s\", \"resources\": {\"pids_limit\": $((++N))}}}"
        }
        is_ahead() { inside "$1" grep ' / overlay ' /proc/mounts | grep -q 'upperdir=[^,]*/\.shell-'; }
        local N=50
        image one first
        image two second
        start_daemon
        create zero
        from one a
        from one b
        run ! is_ahead b
        from one c
        # Older kernels take the layers by the old call alone, which needs a place for them.
        if [ "$(printf '6.8\n%s\n' "$(uname -r)" | sort -V | head -n 1)" = 6.8 ]; then
                is_ahead c
        else
                run ! is_ahead c
        fi
        assert_equal "$(inside c cat /which)" first
        inside c touch /made
        [ -e "$ZLAYER_ROOT_DIR/containers/run.c.1/upper/made" ]
        run ! inside b ls /made
        # Another image than the one that is mounted.
        from two d
        run ! is_ahead d
        assert_equal "$(inside d cat /which)" second
        from one e
        run ! is_ahead e
        from one f
        # The same name, but its layers are others by now.
        image one third
        from one g
        run ! is_ahead g
        assert_equal "$(inside g cat /which)" third
        assert_equal "$(inside f cat /which)" first
        # The same image, whose layers were removed and unpacked anew while they were mounted.
        from one h
        wait_until 10 ready
        for name in c d e f g h a b; do zl rm -f "run.$name.1"; done
        zl image rm one
        zl image prune --all
        zl image import "$ZL_DIR/third.tar" one
        from one i
        run ! is_ahead i
        assert_equal "$(inside i cat /which)" third
}

# Its program makes a network of its own. And what the monitor passes over in the configuration stays in it, also where it is written anew.
@test "monitor spare: that of an external runtime" {
        skip_unless "runc is not installed" has_program runc
        export ZLAYER_RUNTIME=oci:runc
        start_daemon
        create first
        wait_until 10 ready
        local spare config=$ZLAYER_ROOT_DIR/containers/run.second.1/config.json
        spare=$(waiting)
        assert_equal "$(find "/proc/$spare/fd" -lname 'net:*')" ""
        create second '"user": "daemon"'
        assert_equal "$(monitor_of second)" "$spare"
        assert_equal "$(inside second id -u)" "$(jq .process.user.uid "$config")"
        [ "$(jq .process.user.uid "$config")" -gt 0 ]
        [ "$(jq '[.linux.seccomp.syscalls[].names[]] | length' "$config")" -gt 300 ]
        assert_match 'Seccomp:\s*2' "$(inside second grep Seccomp: /proc/self/status)"
}

# A shell: the directory that the next workload's state will be.
has_shell() { shell && is_at_rest; }
shell() { find "$ZLAYER_ROOT_DIR/containers" -maxdepth 1 -name '.shell-*' -printf '%p %i\n' | grep .; }

@test "shell: the next workload's state is one, and like any other" {
        start_daemon
        run ! shell
        create first
        wait_until 10 has_shell
        local made state=$ZLAYER_ROOT_DIR/containers
        made=$(shell)
        wait_until 10 test -s "${made% *}/exit.json"
        wait_until 10 is_at_rest
        create second '"env": {"A": "b"}'
        assert_equal "$(stat -c %i "$state/run.second.1")" "${made#* }"
        # The record of the end is there and blank.
        assert_equal "$(tr -d ' ' <"$state/run.second.1/exit.json" | wc -c)" 0
        diff <(cd "$state/run.first.1" && find . ! -path './*/*' -printf '%p %M %u %g\n' | sort) \
                <(cd "$state/run.second.1" && find . ! -path './*/*' ! -name exit.json -printf '%p %M %u %g\n' | sort)
        assert_equal "$(inside second sh -c 'hostname; cat /etc/hostname; stat -c "%a %U" /; echo x >/etc/x && cat /etc/x' | tr '\n' ' ')" \
                "$(hostname_of second) $(hostname_of second) $(inside first stat -c "%a %U" /) x "
        post /v1/containers/run.second.1/stop
        assert_equal "$(jq .signal "$state/run.second.1/exit.json")" 9
        # The name of one that exists is not taken by it.
        wait_until 10 has_shell
        run create second
        assert_match '"code":"exists"'
        zl rm -f run.second.1
        create second
        # What a create that fails was made of is gone as well.
        wait_until 10 has_shell
        run create third '"user": "nobody-of-that-name"'
        assert_match '"error"'
        assert_equal "$(ls "$state")" "$(printf 'run.first.1\nrun.second.1')"
        stop_daemon
        run ! shell
}

@test "shell: one that a daemon left is removed by the next; restart and recovery know what was made of one" {
        start_daemon
        create first
        wait_until 10 has_shell
        create second
        wait_until 10 has_shell
        local left
        left=$(shell)
        kill -KILL "$DAEMON"
        wait_until 10 has_ended "$DAEMON"
        [ -d "${left% *}" ]
        start_daemon
        wait_until 10 eval '! test -e "${left% *}"'
        zl restart run.second.1
        is_state run.second.1 running
        assert_equal "$(inside second cat /etc/hostname)" "$(hostname_of second)"
}

@test "monitor spare: none where it is not wanted" {
        ZLAYER_MONITOR_SPARE=false start_daemon
        create first
        create second
        sleep 0.5
        run ! waiting
        run ! shell
        stop_daemon
        export ZLAYER_MONITOR_SPARE=maybe
        run ! zl serve
        assert_match 'ZLAYER_MONITOR_SPARE is "maybe"'
        unset ZLAYER_MONITOR_SPARE
        # Nor by a program that does not live long.
        run -0 zl run --rm bb true
        run ! waiting
}
