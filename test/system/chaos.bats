# SPDX-License-Identifier: Apache-2.0
# The agent is killed at random instants while deployments change; in the end processes, cgroups, mounts, database
# and events agree. ZL_CHAOS_KILLS says how often (default 12; 200 for the long run), ZL_CHAOS_SEED what happens.
# shellcheck disable=SC2016 # $ in `sh -c` texts is for the container
load lib
load daemon

setup() {
        zl_setup
        import_busybox bb
        APP=app-$ZL_ID
        RANDOM=${ZL_CHAOS_SEED:=$((EPOCHSECONDS % 32768))}
        echo "seed $ZL_CHAOS_SEED"
}

# One of several forms of the deployment: other numbers, another version, services that come and go.
write_chaos() { # NUMBER
        local n=$1
        cat >app.yaml <<-END
		version: v1
		deployment: $APP
		services:
		  steady:
		    image: {name: bb}
		    scale: {mode: fixed, replicas: 2}
		    stop_grace_period: 0s
		    command: {entrypoint: [sleep, "100000"]}
		  web:
		    image: {name: bb}
		    scale: {mode: fixed, replicas: $((1 + n % 3))}
		    env: {VERSION: "$((n % 2))"}
		    stop_grace_period: 0s
		    depends: [{service: steady, condition: started}]
		    health: {interval: 200ms, check: {type: command, command: "true"}}
		    command: {entrypoint: [sleep, "100000"]}
		END
        [ $((n % 4)) = 3 ] || cat >>app.yaml <<-END
		  crash:
		    image: {name: bb}
		    scale: {mode: fixed, replicas: 1}
		    stop_grace_period: 0s
		    restart_policy: {kind: always, delay: 50ms}
		    command: {entrypoint: [sh, -c], args: ["sleep 0.3; exit 3"]}
		END
}
start_again() {
        background "$ZL_AGENT" serve
        DAEMON=$ZL_BG DAEMON_LOG=$ZL_BG_LOG
}
steady_pids() { zl ps --json | jq -r '[.[] | select(.service == "steady") | "\(.name)=\(.pid)"] | sort | join(" ")'; }
# Names of what runs, as four sides see it.
by_ps() { zl ps --json | jq -r '.[] | select(.service != "crash") | .name' | sort; }
by_processes() {
        local p
        for p in /proc/[0-9]*; do
                [ "$(cat "$p/comm" 2>/dev/null)" = zlayer-monitor ] || continue
                tr '\0' '\n' 2>/dev/null <"$p/cmdline" | grep -o "$APP\.[a-z]*\.[0-9]*" || :
        done | sort -u | grep -v '\.crash\.'
}
# A group belongs to the container whose monitor is above its processes; one that was made ahead has another name. Without any it belongs to nobody.
by_cgroups() {
        local group pid
        for group in "$(cgroup_dir pids zlayer)"/*/; do
                pid=$(head -n 1 "$group/cgroup.procs" 2>/dev/null)
                while [ "${pid:-0}" -gt 1 ] && ! grep -qz '^zlayer-monitor$' "/proc/$pid/cmdline" 2>/dev/null; do
                        pid=$(awk '/^PPid:/ { print $2 }' "/proc/$pid/status" 2>/dev/null)
                done
                if [ "${pid:-0}" -gt 1 ]; then
                        tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | sed -n '2s/ *$//p'
                else
                        echo "empty: $(basename "$group")"
                fi
        done | grep -v '^spare-\|\.crash\.' | sort
}
by_database() {
        python3 - "$ZLAYER_ROOT_DIR/agent.db" <<-'END'
		import sqlite3, sys
		db = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
		assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
		for name, phase in db.execute("SELECT name, phase FROM replica ORDER BY name"):
		    if ".crash." not in name:
		        print(name if phase == "running" else f"{name} {phase}")
		END
}
# Are these the names, one a line, that the file wishes? Which replicas stay is the agent's choice: one that is not well yet goes first.
fits() { # N NAMES
        [ "$(grep -c "^$APP\.web\.[123]$" <<<"$2")" = $((1 + $1 % 3)) ] &&
                [ "$(grep -v "^$APP\.web\.[123]$" <<<"$2")" = "$APP.steady.1"$'\n'"$APP.steady.2" ]
}
is_as_wished() { # N
        local now
        now=$(by_ps)
        fits "$1" "$now" && [ "$(by_database)" = "$now" ]
}
versions_are() { # VERSION
        local name
        for name in $(by_ps | grep '\.web\.'); do
                [ "$(zl exec "$name" sh -c 'echo $VERSION')" = "$1" ] || return 1
        done
}

@test "chaos: kills of the daemon while a deployment changes lose, double and restart nothing" {
        local kills=${ZL_CHAOS_KILLS:-12} i n=0 before
        start_daemon
        write_chaos 0
        zl up -d app.yaml
        before=$(steady_pids)
        for ((i = 0; i < kills; i++)); do
                case $((RANDOM % 4)) in
                0 | 1)
                        n=$((RANDOM % 12))
                        write_chaos $n
                        # not by `up`, which would be an agent of its own while there is no daemon
                        background timeout 5 curl -sS --unix-socket "$SOCKET" -X POST --data-binary @app.yaml \
                                -H 'Content-Type: application/yaml' http://zlayer/v1/deployments
                        ;;
                2) timeout 5 "$ZL_AGENT" kill crash >/dev/null 2>&1 || : ;;
                3) : ;;
                esac
                sleep "0.$((RANDOM % 4))$((RANDOM % 10))"
                kill -KILL "$DAEMON" || fail "kill $i: the daemon has ended by itself: $(cat "$DAEMON_LOG")"
                wait_until 10 has_ended "$DAEMON"
                start_again
                sleep "0.0$((RANDOM % 10))"
        done
        wait_until 15 answers
        # the last word is the file's, however many of the requests got through
        write_chaos $n
        zl up -d app.yaml
        wait_until 30 is_as_wished $n
        # those that were replaced end behind their record
        all_agree() { fits $n "$(by_ps)" && [ "$(by_processes)" = "$(by_ps)" ] && [ "$(by_cgroups)" = "$(by_ps)" ]; }
        wait_until 10 all_agree || fail "$n: ps:" "$(by_ps)" "processes:" "$(by_processes)" "groups:" "$(by_cgroups)"
        wait_until 10 versions_are $((n % 2))
        # what never changed was never touched
        assert_equal "$(steady_pids)" "$before"
        assert_equal "$(zl ps --json | jq '[.[] | select(.service == "steady") | .restarts] | add')" 0
        # no event number twice, none out of order
        zl events --no-stream --after 0 --json | jq -s -e '[.[].seq] | . == (unique | sort)' >/dev/null
        zl down "$APP"
        assert_equal "$(zl ps -a --json)" '[]'
        assert_equal "$(by_database)" ''
        stop_daemon
}

@test "chaos: an exit while no agent lives is told by the next one, and judged" {
        start_daemon
        cat >app.yaml <<-END
		version: v1
		deployment: $APP
		services:
		  once:
		    image: {name: bb}
		    scale: {mode: fixed, replicas: 1}
		    restart_policy: {kind: on_failure}
		    command: {entrypoint: [sh, -c], args: ["test -e /again && exec sleep 1000; touch /again; until test -e /go; do sleep 0.1; done; exit 42"]}
		    stop_grace_period: 0s
		END
        zl up -d app.yaml
        kill -KILL "$DAEMON"
        wait_until 10 has_ended "$DAEMON"
        zl exec "$APP.once.1" touch /go || : # it may end with its container
        wait_until 5 is_state "$APP.once.1" exited
        start_daemon
        wait_until 10 is_restarted "$APP.once.1"
        run -0 bash -c "'$ZL_AGENT' events --no-stream --after 0 --json | jq -c 'select(.type == \"exited\") | .exit_code'"
        assert_output 42
        zl down "$APP"
        stop_daemon
}

@test "chaos: a database that is damaged while nobody looks is put aside, and what runs is adopted" {
        start_daemon
        write_chaos 3
        zl up -d app.yaml
        before=$(steady_pids)
        kill -KILL "$DAEMON"
        wait_until 10 has_ended "$DAEMON"
        dd if=/dev/urandom of="$ZLAYER_ROOT_DIR/agent.db" bs=4096 count=4 conv=notrunc status=none
        rm -f "$ZLAYER_ROOT_DIR/agent.db-wal" "$ZLAYER_ROOT_DIR/agent.db-shm"
        start_daemon
        compgen -G "$ZLAYER_ROOT_DIR/agent.db.damaged-*" >/dev/null
        # the wish is gone with it; given again, it finds everything as it is
        zl up -d app.yaml
        wait_until 20 is_as_wished 3
        assert_equal "$(steady_pids)" "$before"
        zl down "$APP"
        stop_daemon
}
