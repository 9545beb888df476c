#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Joining the streams of a container that runs.
# shellcheck disable=SC2016 # $ in `sh -c` texts is for the container
load lib

setup() {
        zl_setup
        skip_unless "containers need root" is_root
        import_busybox bb
}
teardown() { zl_teardown; }

@test "attach: input goes in, both outputs come out apart, the exit code is the container's" {
        zl run -d -i --name c bb sh -c 'while read -r x; do echo "got $x"; echo "err $x" >&2; [ "$x" != end ] || exit 7; done'
        mkfifo in
        exec 7<>in
        "$ZL_AGENT" attach c <in >out 2>err 3>&- 7>&- &
        pid=$!
        echo one >&7
        wait_until 10 grep -q 'got one' out
        # A second one sees the same.
        background "$ZL_AGENT" attach --no-stdin c
        hears_more() { echo more >&7 && sleep 0.2 && grep -q 'got more' "$ZL_BG_LOG"; }
        wait_until 10 hears_more
        echo end >&7
        code=0
        wait "$pid" || code=$?
        assert_equal "$code" 7
        assert_equal "$(uniq out)" $'got one\ngot more\ngot end'
        assert_equal "$(uniq err)" $'err one\nerr more\nerr end'
        code=0
        wait "$ZL_BG" || code=$?
        assert_equal "$code" 7
        grep -q 'got end' "$ZL_BG_LOG"
        exec 7>&-
        zl rm c
}

@test "attach: the end of our input is not that of the container; signals reach it, or leave it alone" {
        zl run -d -i --name c bb sh -c 'trap "echo hup" HUP; while :; do read -r -t 1 x && echo "got $x"; echo tick; sleep 0.1; done'
        for word in hello again; do
                echo $word >in
                "$ZL_AGENT" attach --no-signals c <in >out 2>&1 3>&- &
                pid=$!
                wait_until 10 grep -q "got $word" out
                kill "$pid"
                wait "$pid" || :
        done
        background "$ZL_AGENT" attach --no-stdin c
        wait_until 10 grep -q tick "$ZL_BG_LOG" # it is attached
        kill -HUP "$ZL_BG"
        wait_until 10 grep -q hup "$ZL_BG_LOG"
        background "$ZL_AGENT" attach --no-stdin --no-signals c
        wait_until 10 grep -q tick "$ZL_BG_LOG"
        kill -TERM "$ZL_BG"
        wait "$ZL_BG"
        assert_equal "$(zl ps --json | jq -r '.[0].state')" running
        zl rm -f c
}

@test "attach: ^P ^Q on a terminal leaves it running" {
        has_program python3 || skip "python3 is missing"
        zl run -d -it --name c bb sh
        python3 - "$ZL_AGENT" <<'END'
import os, pty, select, signal, sys
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1], "attach", "-t", "c"])
signal.alarm(60)
seen = b""
while b"\n42" not in seen.replace(b"\r", b""):
    # What is typed before it has the terminal is lost.
    if not select.select([fd], [], [], 1)[0]:
        os.write(fd, b"echo $((40 + 2))\n")
    else:
        seen += os.read(fd, 4096)
os.write(fd, b"\x10\x11")
_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status))
END
        assert_equal "$(zl ps --json | jq -r '.[0].state')" running
        zl rm -f c
}
