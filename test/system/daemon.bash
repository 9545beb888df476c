# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# For tests of the daemon and its API (`load daemon`, behind `load lib`).

# Starts a daemon and waits until it answers: $DAEMON is its pid, $SOCKET where it listens, $DAEMON_LOG what it says.
start_daemon() { # [OPTION...]
        SOCKET=$ZLAYER_RUNTIME_DIR/agent.sock
        background "$ZL_AGENT" serve "$@"
        DAEMON=$ZL_BG DAEMON_LOG=$ZL_BG_LOG
        wait_until 10 answers || fail "the daemon does not come up: $(cat "$DAEMON_LOG")"
}
answers() { [ -S "$SOCKET" ] && get /v1/version >/dev/null 2>&1; }
stop_daemon() {
        kill -TERM "$DAEMON"
        wait_until 10 has_ended "$DAEMON"
}
has_ended() { ! kill -0 "$1" 2>/dev/null; }

api() { curl -sS -m "${API_TIMEOUT:-15}" --unix-socket "$SOCKET" "$@" 3>&-; }
get() { api "http://zlayer$1"; }
post() { api -X POST -H 'Content-Type: application/json' "http://zlayer$1" -d "${2-}"; }
delete() { api -X DELETE "http://zlayer$1"; }
post_spec() { api -X POST -H 'Content-Type: application/yaml' --data-binary "@$1" 'http://zlayer/v1/deployments?wait'; }
# "STATUS BODY" of any request
code_of() { api -o /dev/null -w '%{http_code}' "$@"; }

# A deployment $APP in app.yaml, with replicas that obey TERM.
write_deployment() { # [REPLICAS [MARK]]
        APP=app-$ZL_ID
        cat >app.yaml <<-END
		version: v1
		deployment: $APP
		services:
		  web:
		    image: {name: bb}
		    scale: {mode: fixed, replicas: ${1:-2}}
		    env: {MARK: "${2:-one}"}
		    command:
		      entrypoint: [sh, -c]
		      args: ['trap "exit 0" TERM; echo "mark \$MARK"; while :; do sleep 1 & wait \$!; done']
		END
}
remove_deployment() { delete "/v1/deployments/${1:-$APP}" >/dev/null; }
phase_is() { [ "$(get "/v1/deployments/$1" | jq -r .phase)" = "$2" ]; }
# How often the threads of these processes have gone to sleep, and so have woken up before.
naps() { # PID...
        local pid
        for pid; do cat "/proc/$pid"/task/*/status; done | awk '/^voluntary_ctxt_switches/ { n += $2 } END { print n }'
}
# The daemon has nothing to do, and so has what it makes ahead: no thread is at work, and none has gone to sleep anew while we looked.
is_at_rest() {
        local before
        before=$(naps "$DAEMON")
        sleep 0.2
        ! grep -q '^State:.[RD]' "/proc/$DAEMON"/task/*/status && [ "$(naps "$DAEMON")" = "$before" ]
}
running_pids() { zl ps --json | jq -r '[.[] | select(.state == "running") | .pid] | sort | @csv'; }
is_restarted() { zl ps --json | jq -e --arg n "$1" '.[] | select(.name == $n) | .state == "running" and .restarts > 0' >/dev/null; }
is_state() { [ "$(zl ps -a --json | jq -r --arg n "$1" '.[] | select(.name == $n) | .state')" = "$2" ]; }

# An image whose /mark says what, as the layout MARK.oci; and how many of the replicas that run have which.
make_marked_image() { # MARK
        make_busybox_rootfs "$ZL_DIR/rootfs.$1"
        echo "$1" >"$ZL_DIR/rootfs.$1/mark"
        mkimage --cmd sleep --cmd 600 "$1.oci" "$ZL_DIR/rootfs.$1"
}
marks() { local n; for n in $(zl ps --json | jq -r '.[].name'); do zl exec "$n" cat /mark; done | sort | uniq -c | xargs; }
has_marks() { [ "$(marks)" = "$1" ]; }
