# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bats
# The daemon as a service: one per root directory, its socket, systemd, its end and its return.
# shellcheck disable=SC2016 # $ in specs and in `sh -c` texts is for the container
load lib
load daemon

setup() {
        zl_setup
        import_busybox bb
}

@test "serve: answers on a socket of mode 0660, and removes it at the end" {
        start_daemon
        assert_equal "$(stat -c %a "$SOCKET")" 660
        assert_equal "$(get /v1/version | jq -r .name)" zlayer-agent
        stop_daemon
        [ ! -e "$SOCKET" ]
}

@test "serve: one daemon per root directory, and per socket" {
        start_daemon
        run -1 zl serve
        assert_match "another daemon has $ZLAYER_ROOT_DIR \(pid $DAEMON\)"
        run -1 zl --root-dir "$ZL_DIR/other" serve
        assert_match "another daemon listens on $SOCKET"
        assert_equal "$(get /v1/version | jq -r .name)" zlayer-agent
}

# Holds the locks of a root directory and of a deployment, the latter longer, in the name of a process that is dead: what children of a
# daemon that was killed do before they execute their programs.
hold_of_dead() { # ROOT-LOCK LOCK
        python3 - "$@" <<-'END'
		import fcntl, subprocess, sys, time
		dead = subprocess.Popen(["true"])
		dead.wait()
		files = [open(path, "w") for path in sys.argv[1:]]
		for file in files:
		    fcntl.flock(file, fcntl.LOCK_EX)
		    print(f"pid {dead.pid}" if file is files[1] else dead.pid, end="", file=file, flush=True)
		print("held", flush=True)
		time.sleep(0.7)
		files[0].close()
		time.sleep(0.7)
		END
}

@test "serve: what a child of a killed daemon still holds for an instant is waited for, of the root directory and of a deployment" {
        write_deployment
        start_daemon
        post_spec app.yaml >/dev/null
        before=$(running_pids)
        kill -KILL "$DAEMON"
        wait_until 10 has_ended "$DAEMON"
        background hold_of_dead "$ZLAYER_ROOT_DIR/agent.lock" "$ZLAYER_ROOT_DIR/deployments/$APP.lock"
        wait_until 5 grep -q held "$ZL_BG_LOG"
        start_daemon
        wait_until 10 phase_is "$APP" started
        assert_equal "$(running_pids)" "$before"
        # and that of one that lives is told at once
        run -1 zl serve
        assert_match "another daemon has .*pid $DAEMON"
        remove_deployment
        stop_daemon
}

@test "serve: the socket of a daemon that was killed is replaced, a file in its place is not" {
        start_daemon
        kill -KILL "$DAEMON"
        wait_until 10 has_ended "$DAEMON"
        [ -S "$SOCKET" ]
        start_daemon
        get /v1/version
        stop_daemon
        echo precious >"$SOCKET"
        run -1 zl serve
        assert_match 'is in the way'
        assert_equal "$(cat "$SOCKET")" precious
        rm "$SOCKET"
}

@test "serve: TERM ends the daemon alone and says so; the next one takes everything up as it is" {
        start_daemon
        write_deployment
        post_spec app.yaml | jq -e '.phase == "started"'
        before=$(running_pids)
        stop_daemon
        assert_match '2 containers go on running' "$(cat "$DAEMON_LOG")"
        assert_equal "$(running_pids)" "$before"
        start_daemon
        wait_until 10 phase_is "$APP" started
        assert_equal "$(running_pids)" "$before"
        # It looks after them again.
        kill -KILL "$(zl ps --json | jq -r '.[] | select(.name == "'"$APP"'.web.1") | .pid')"
        wait_until 10 is_restarted "$APP.web.1"
        remove_deployment
}

@test "serve: a first start that fails before anything was made is an error of the up" {
        start_daemon
        write_deployment 1
        printf '    storage: [{type: bind, source: /no/such, target: /x}]\n' >>app.yaml
        run -1 zl up -d app.yaml
        assert_match 'cannot mount /no/such.*' "${lines[-1]}"
        assert_equal "$(get "/v1/deployments/$APP" | jq -r .phase)" failed
        run -1 zl up app.yaml
        # Nor does it last: the next one is good.
        sed -i '$d' app.yaml
        zl up -d app.yaml
        assert_equal "$(get "/v1/deployments/$APP" | jq -r .phase)" started
        remove_deployment
        stop_daemon
}

@test "serve: at rest neither the daemon nor a monitor wakes up" {
        local monitor
        start_daemon
        write_deployment 1
        sed -i 's/sleep 1 & wait/sleep 1000 \& wait/' app.yaml
        post_spec app.yaml >/dev/null
        monitor=$(pgrep -f "^zlayer-monitor $APP" -n)
        [ -n "$monitor" ]
        sleep 2
        # What a start leaves to be done may come late; who wakes up again and again does so in each of these spans.
        # A thread that ends takes its count along: then it is no span to judge by.
        threads() { ls "/proc/$DAEMON/task"; }
        naps_little() {
                local of
                of=$(threads) before=$(naps "$DAEMON" "$monitor")
                sleep 5
                after=$(naps "$DAEMON" "$monitor")
                [ $((after - before)) -le 3 ] && [ "$(threads)" = "$of" ]
        }
        wait_until 10 naps_little || fail "$before $after"
        remove_deployment
        stop_daemon
}

@test "serve: what ended while no daemon was there is judged when the next one comes" {
        start_daemon
        write_deployment
        post_spec app.yaml >/dev/null
        kill -KILL "$DAEMON"
        wait_until 10 has_ended "$DAEMON"
        victim=$(zl ps --json | jq -r '.[] | select(.replica == 2) | .pid')
        kill -KILL "$victim"
        wait_until 10 is_state "$APP.web.2" exited
        start_daemon
        wait_until 10 is_restarted "$APP.web.2"
        assert_equal "$(get "/v1/events?name=$APP" | jq -rs '[.[] | select(.type == "exited") | .exit_code] | last')" 137
        remove_deployment
}

@test "serve: tells systemd that it is ready, and that it ends" {
        python3 - "$ZL_AGENT" "$ZL_DIR/notify" <<'END'
import os, signal, socket, subprocess, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[2])
s.settimeout(10)
p = subprocess.Popen([sys.argv[1], "serve"], env=dict(os.environ, NOTIFY_SOCKET=sys.argv[2]))
assert s.recv(100) == b"READY=1"
p.send_signal(signal.SIGTERM)
assert s.recv(100) == b"STOPPING=1"
assert p.wait(10) == 0
os.unlink(sys.argv[2])
END
}

@test "serve: takes the socket that systemd has opened" {
        background systemd-socket-activate -l "$ZL_DIR/activated.sock" -E "ZLAYER_ROOT_DIR=$ZLAYER_ROOT_DIR" \
                -E "ZLAYER_RUNTIME_DIR=$ZLAYER_RUNTIME_DIR" "$ZL_AGENT" serve
        wait_until 10 test -S "$ZL_DIR/activated.sock"
        SOCKET=$ZL_DIR/activated.sock
        assert_equal "$(get /v1/version | jq -r .name)" zlayer-agent
        [ ! -e "$ZLAYER_RUNTIME_DIR/agent.sock" ]
        kill -TERM "$ZL_BG"
        wait_until 10 has_ended "$ZL_BG"
        rm "$SOCKET"
}

@test "serve: strangers are refused, members of the group are not" {
        start_daemon --group 4711
        chmod 755 "$ZL_DIR" "$ZLAYER_RUNTIME_DIR"
        assert_equal "$(stat -c '%a %g' "$SOCKET")" "660 4711"
        ask='curl -sS -m 5 --unix-socket "$1" http://x/v1/version'
        run -0 setpriv --reuid 1234 --regid 1234 --groups 4711 bash -c "$ask" - "$SOCKET"
        assert_match '"name":"zlayer-agent"'
        run setpriv --reuid 1234 --regid 1234 --clear-groups bash -c "$ask" - "$SOCKET"
        [ "$status" -ne 0 ]
        # Also where the file's mode would let them in.
        chmod 666 "$SOCKET"
        run -0 setpriv --reuid 1234 --regid 1234 --clear-groups bash -c "$ask" - "$SOCKET"
        assert_equal "$(jq -r .error.code <<<"$output")" permission
}

@test "serve: the units are what systemd takes" {
        timeout 60 meson install -C "$ZL_BUILD" --no-rebuild --quiet --destdir "$ZL_DIR/dest" >/dev/null
        unit=$(find "$ZL_DIR/dest" -name zlayer-agent.service)
        dir=${unit%/*}
        # verify looks for the program where the unit says it is.
        sed -i "s|^ExecStart=.*/zlayer-agent|ExecStart=$ZL_AGENT|" "$unit"
        run -0 env SYSTEMD_LOG_LEVEL=warning systemd-analyze verify --man=no --recursive-errors=no "$unit" "$dir/zlayer-agent.socket"
        assert_output ''
}

# Is nobody but the daemon an agent here? Each other would hold the lock of its deployment.
only_daemon_has() { # DEPLOYMENT
        [ "$(cat "$ZLAYER_ROOT_DIR/deployments/$1.lock")" = "pid $DAEMON" ]
}

@test "serve: an up that came while no daemon was there hands over, in the foreground and in the background" {
        write_deployment
        background "$ZL_AGENT" up app.yaml
        front=$ZL_BG front_log=$ZL_BG_LOG
        wait_until 15 is_state "$APP.web.2" running
        sed "s/^deployment: .*/deployment: $APP-back/" app.yaml >back.yaml
        zl up -d back.yaml
        pids=$(running_pids)
        start_daemon
        wait_until 10 only_daemon_has "$APP"
        wait_until 10 only_daemon_has "$APP-back"
        wait_until 10 phase_is "$APP" started
        wait_until 10 phase_is "$APP-back" started
        # no workload has noticed
        assert_equal "$(running_pids)" "$pids"
        # what stood in the foreground is a client now, and still ends what it began
        wait_until 10 grep -q 'takes over' "$front_log"
        kill -0 "$front"
        kill -INT "$front"
        wait_until 20 has_ended "$front"
        phase_is "$APP" stopped
        remove_deployment
        remove_deployment "$APP-back"
}

@test "serve: killed and restarted while up after up comes: one agent at every time, and no workload doubled" {
        write_deployment 1
        start_daemon
        for i in 1 2 3 4 5 6; do
                sed "s/^deployment: .*/deployment: $APP-$i/" app.yaml >"$i.yaml"
                kill -KILL "$DAEMON"
                # At odd times it embeds its agent, beside those of others, and hands over; at even ones it meets the dying
                # daemon, nobody, or the next one, as it happens.
                [ $((i % 2)) = 0 ] || wait_until 10 has_ended "$DAEMON"
                background "$ZL_AGENT" up "$i.yaml"
                [ $((i % 2)) = 0 ] || wait_until 20 is_state "$APP-$i.web.1" running
                wait_until 10 has_ended "$DAEMON"
                [ $i != 1 ] || inode=$(stat -c %i "$ZLAYER_ROOT_DIR/images/holds/$APP-1.web.1")
                start_daemon
        done
        # Who comes back does not write anew what is there: killed in the middle it would leave something behind.
        assert_equal "$(stat -c %i "$ZLAYER_ROOT_DIR/images/holds/$APP-1.web.1")" "$inode"
        for i in 1 2 3 4 5 6; do
                wait_until 20 phase_is "$APP-$i" started
                only_daemon_has "$APP-$i"
        done
        assert_equal "$(get /v1/containers | jq '[.[] | select(.state == "running")] | length')" 6
        # every one was started exactly once
        assert_equal "$(zl events --json | jq -r 'select(.type == "started") | .name' | sort | uniq -c | awk '$1 != 1')" ''
        for i in 1 2 3 4 5 6; do remove_deployment "$APP-$i"; done
}

# Takes one connection and ends without an answer: a daemon that is killed while somebody asks it.
a_dying_daemon() {
        python3 - "$1" <<'END'
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen(8)
for first in range(3):  # is one there?, the events, the wish
    c, _ = s.accept()
    c.recv(65536)
os.unlink(sys.argv[1])
END
}

@test "serve: a daemon that ends before it has answered an up loses nothing: the deployment is brought up all the same" {
        write_deployment
        background a_dying_daemon "$ZL_DIR/dying.sock"
        wait_until 10 test -S "$ZL_DIR/dying.sock"
        run -0 zl --socket "$ZL_DIR/dying.sock" up -d app.yaml
        assert_match "the daemon ended before it answered; $APP is brought up anew"
        is_state "$APP.web.2" running
        zl down "$APP"
}

@test "serve: while a daemon has the root directory and listens elsewhere, up waits, and then says so" {
        write_deployment
        start_daemon
        run -1 zl --socket "$ZL_DIR/nowhere.sock" up -d app.yaml
        assert_match "waiting for the daemon that has $ZLAYER_ROOT_DIR \(pid $DAEMON\) to listen on $ZL_DIR/nowhere.sock"
        assert_match "another daemon has $ZLAYER_ROOT_DIR \(pid $DAEMON\)"
        assert_match -- '--socket'
        zl up -d app.yaml
        # the deployment itself can be reached without the socket
        zl --socket "$ZL_DIR/nowhere.sock" down "$APP"
        assert_equal "$(get /v1/deployments | jq length)" 0
}

# A copy of the programs, as they are installed somewhere: each a file that did not exist before, renamed into place.
install_programs() { # DIRECTORY
        local program
        mkdir -p "$1"
        for program in "$ZL_BUILD"/zlayer-{agent,monitor,net,wasm,monitor-oci}; do
                [ -e "$program" ] || continue
                cp "$program" "$1/.new"
                mv "$1/.new" "$1/${program##*/}"
        done
}

@test "serve: upgrades of the programs under load: nothing is restarted, doubled or lost, ends that fell between are told" {
        local i before load=$ZL_DIR/load
        install_programs "$ZL_DIR/bin"
        ZL_AGENT=$ZL_DIR/bin/zlayer-agent
        write_deployment 2
        sed -i 's/^  web:/  steady:/' app.yaml
        cat >>app.yaml <<-END
		  web:
		    image: {name: bb}
		    scale: {mode: fixed, replicas: 1}
		    env: {N: "0"}
		    stop_grace_period: 0s
		    command: {entrypoint: [sleep, "1000"]}
		  once:
		    image: {name: bb}
		    rtype: job
		    command: {entrypoint: [sh, -c], args: ["sleep 0.4; exit 7"]}
		END
        start_daemon
        zl up -d app.yaml
        before=$(steady)
        # changes, commands, reads and jobs, all the time
        cat >"$load" <<-'END'
		n=0
		while [ -e going ]; do
		        n=$((n + 1))
		        sed "s/N: .*/N: \"$((n % 3))\"}/" app.yaml >load.yaml
		        curl -sS -m 5 --unix-socket "$1" -X POST --data-binary @load.yaml -H 'Content-Type: application/yaml' http://x/v1/deployments
		        curl -sS -m 5 --unix-socket "$1" -X POST -H 'Content-Type: application/json' http://x/v1/containers/"$2".steady.1/exec -d '{"command": ["true"]}'
		        curl -sS -m 5 --unix-socket "$1" http://x/v1/containers >/dev/null
		        curl -sS -m 5 --unix-socket "$1" -X POST -H 'Content-Type: application/json' http://x/v1/executions -d "{\"deployment\": \"$2\", \"service\": \"once\"}"
		        sleep 0.1
		done
		END
        touch going
        background bash "$load" "$SOCKET" "$APP"
        loader=$ZL_BG
        for i in 1 2 3 4 5; do
                sleep "0.$((RANDOM % 9 + 1))"
                install_programs "$ZL_DIR/bin"
                kill -TERM "$DAEMON"
                wait_until 10 has_ended "$DAEMON"
                start_daemon
                assert_equal "$(steady)" "$before"
        done
        rm going
        wait_until 20 has_ended "$loader"
        zl up -d app.yaml || [ $? = 7 ] # the exit code of the job
        assert_equal "$(steady)" "$before"
        assert_equal "$(zl ps --json | jq '[.[] | select(.service == "steady") | .restarts] | add')" 0
        # one process for each that is wished, and no other
        wait_until 20 executions_are_over
        assert_equal "$(zl ps --json | jq -r '[.[].name] | sort | join(" ")')" "$APP.steady.1 $APP.steady.2 $APP.web.1"
        # one that waits has that name for its first instant, one whose workload has ended for its last
        three_monitors() { [ "$(pgrep -c -x zlayer-monitor)" = 3 ]; }
        wait_until 10 three_monitors || fail "$(pgrep -a -f '^zlayer-monitor')"
        # jobs went on, and how they ended is known of each
        [ "$(zl job ls "$APP" --json | jq length)" -ge 3 ]
        assert_equal "$(zl job ls "$APP" --json | jq -c '[.[] | [.state, .exit_code]] | unique')" '[["failed",7]]'
        zl events --no-stream --after 0 --json | jq -s -e '[.[].seq] | . == (unique | sort)' >/dev/null
        remove_deployment
        stop_daemon
}
steady() { zl ps --json | jq -r '[.[] | select(.service == "steady") | "\(.name)=\(.pid)"] | sort | join(" ")'; }
executions_are_over() { [ "$(zl job ls "$APP" --json | jq '[.[] | select(.state == "queued" or .state == "running")] | length')" = 0 ]; }
