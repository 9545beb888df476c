# SPDX-License-Identifier: Apache-2.0
# Components that answer HTTP (service_type wasm_http): a real component, served by the program wasmtime inside a container of ours.
load lib

setup_file() {
        [ -x "$ZL_BUILD/zlayer-wasm" ] || return 0
        export COMPONENT=$BATS_FILE_TMPDIR/http.wasm ZLAYER_WASM_CACHE_DIR=$BATS_FILE_TMPDIR/cache
        ZLAYER_WASMTIME=$("$ZL_SOURCE/tools/wasmtime" cli) || ZLAYER_WASMTIME=
        JCO=$("$ZL_SOURCE/tools/wasmtime" jco) || JCO=
        export ZLAYER_WASMTIME JCO
        [ -x "$JCO" ] || return 0
        clang --target=wasm32 -O1 -nostdlib -Wl,--no-entry -o "$BATS_FILE_TMPDIR/core.wasm" "$ZL_SOURCE/test/wasm/http.c"
        timeout 120 node "$ZL_SOURCE/test/wasm/component.mjs" "${JCO%/node_modules/*}" "$ZL_SOURCE/test/wasm/http.wit" \
                "$BATS_FILE_TMPDIR/core.wasm" "$COMPONENT"
}
setup() {
        zl_setup
        skip_unless "built without WebAssembly" test -x "$ZL_BUILD/zlayer-wasm"
        skip_unless "no program jco can be fetched" test -x "$JCO"
        skip_unless "no program wasmtime can be fetched" test -x "$ZLAYER_WASMTIME"
        PORT=$((20000 + RANDOM % 12000))
        zl image import "$COMPONENT" web >/dev/null
}
teardown() {
        [ -z "$AGENT" ] || stop_agent
        zl_teardown
}

# The deployment with one HTTP service and these lines in its `wasm`.
serve() { # [LINES]
        cat >app.yaml <<-END
	version: v1
	deployment: webtest
	services:
	  web:
	    image: {name: web, pull_policy: never}
	    service_type: wasm_http
	    network_mode: host
	    endpoints: [{name: http, protocol: http, port: $PORT}]
	    stop_grace_period: 20s
	    wasm: {${1:-}}
	END
        background "$ZL_AGENT" up app.yaml
        AGENT=$ZL_BG
        wait_until 30 ask /ready || { cat "$ZL_BG_LOG"; zl logs webtest.web.1; return 1; }
        USED=$(used)
}
# It is at work on a request: more than the tenth of a second of processor time since it could be asked.
computes() { [ "$(used)" -gt $((USED + ${1:-10})) ]; } # [HUNDREDTHS]
# So many connections have been accepted, and what came by them was read.
is_taken() { [ "$(ss -Htn state established "sport = :$PORT" | awk '$1 == 0' | wc -l)" = "$1" ]; }
used() { awk '{ print $14 + $15 }' "/proc/$(zl ps --json | jq '.[0].pid')/stat"; }
stop_agent() {
        kill -INT "$AGENT"
        await_agent
}
await_agent() {
        timeout 30 tail --pid="$AGENT" -s 0.05 -f /dev/null
        wait "$AGENT"
        AGENT=
}
# At once: a request that computes for ever would have the whole grace period. The agent has nothing left to do then.
kill_web() {
        zl kill webtest.web.1
        await_agent
        zl down --all
}
ask() { curl -sf -m 10 "http://127.0.0.1:$PORT$1"; }
status_of() { curl -s -m 20 -o /dev/null -w '%{http_code}' "http://127.0.0.1:$PORT$1"; }

@test "a component answers requests, each from an instance of its own, and ends with what it answers" {
        serve
        assert_equal "$(ask /some/path?x=1)" "answer to /some/path?x=1"
        # One that traps hurts no other.
        run status_of /trap
        assert_no_match '^200$'
        local i
        for i in {1..20}; do
                assert_equal "$(ask "/$i")" "answer to /$i"
        done
        assert_equal "$(zl ps --json | jq -r '.[0] | .runtime + " " + .state')" "wasm running"
        run -0 zl logs webtest.web.1
        assert_match 'Serving HTTP'
        run ! zl exec webtest.web.1 anything
        assert_match 'has no command to execute'
        stop_agent
        assert_equal "$(zl ps -a --json | jq -r '.[0] | "\(.state) \(.exit_code)"')" "exited 0"
        zl down --all
}

@test "request_timeout ends a request that computes for ever, and the service goes on" {
        serve "request_timeout: 300ms, max_instances: 2"
        run status_of /loop
        assert_no_match '^200$'
        assert_equal "$(ask /after)" "answer to /after"
        stop_agent
}

@test "max_instances is how many requests are answered at once: the next waits for its turn" {
        serve "request_timeout: 60s, max_instances: 1"
        background curl -s -m 100 "http://127.0.0.1:$PORT/loop"
        wait_until 10 computes
        background curl -sf -m 100 "http://127.0.0.1:$PORT/turn"
        local loop turn=$ZL_BG log=$ZL_BG_LOG
        # It has been asked for, and the one that loops has as much of the processor as some hundred answers would need.
        wait_until 10 is_taken 2
        USED=$(used)
        wait_until 20 computes 100
        kill -0 "$turn"
        assert_equal "$(cat "$log")" ""
        kill_web
        # It has its turn when the time of the other is over.
        serve "request_timeout: 2s, max_instances: 1"
        background status_of /loop
        wait_until 10 computes
        assert_equal "$(ask /turn)" "answer to /turn"
        stop_agent
        zl down --all
        # With room for two it is answered meanwhile.
        serve "request_timeout: 60s, max_instances: 2"
        background curl -s -m 100 "http://127.0.0.1:$PORT/loop"
        loop=$ZL_BG
        wait_until 10 computes
        assert_equal "$(ask /turn)" "answer to /turn"
        kill -0 "$loop"
        kill "$loop"
        kill_web
}

@test "min_instances and idle_timeout reach the program that serves, and it goes on answering" {
        serve "min_instances: 3, idle_timeout: 90s"
        run -0 tr '\0' '\n' <"/proc/$(zl ps --json | jq '.[0].pid')/cmdline"
        assert_match $'\n-Opooling-allocator=y,pooling-max-unused-warm-slots=3,'
        assert_match $'\n--idle-instance-timeout=90000ms\n'
        local i pids=()
        for i in {1..9}; do
                ask "/$i" >"answer.$i" &
                pids+=($!)
        done
        wait "${pids[@]}"
        for i in {1..9}; do
                assert_equal "$(cat "answer.$i")" "answer to /$i"
        done
        run ! grep -q min_instances "$ZL_BG_LOG"
        stop_agent
}

@test "a component asks others over HTTP" {
        serve
        background python3 -u -c 'import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(203 if self.path == "/asked" else 404)
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()'
        wait_until 20 test -s "$ZL_BG_LOG"
        assert_equal "$(ask "/ask/127.0.0.1:$(head -1 "$ZL_BG_LOG")")" "status 203"
        # Nobody listens there.
        assert_equal "$(ask /ask/127.0.0.1:1)" "no answer"
        stop_agent
}

@test "the process that serves is confined as any instance: no rights, a filter, a root without programs" {
        serve
        local pid
        pid=$(zl ps --json | jq '.[0].pid')
        run -0 grep -E '^(CapEff|CapBnd|Seccomp|NoNewPrivs):' "/proc/$pid/status"
        assert_match $'CapEff:\t0000000000000000'
        assert_match $'CapBnd:\t0000000000000000'
        assert_match $'Seccomp:\t2'
        assert_match $'NoNewPrivs:\t1'
        [ ! -e "/proc/$pid/root/bin" ]
        [ ! -e "/proc/$pid/root/etc/passwd" ]
        stop_agent
}

@test "what cannot be served is an error of create that says why" {
        zl image import "$ZL_SOURCE/examples/tick.wat" tick
        printf 'version: v1\ndeployment: webtest\nservices:\n  web:\n    image: {name: web, pull_policy: never}\n    service_type: wasm_http\n    restart_policy: {kind: no}\n' >bad.yaml
        ZLAYER_WASMTIME=/no/such/program run ! zl up bad.yaml
        assert_match 'served by the program wasmtime, which is not there'
        assert_match 'ZLAYER_WASMTIME'
        zl down --all
        clang --target=wasm32-wasi --sysroot=/usr -O1 -o core.wasm "$ZL_SOURCE/test/wasm/world.c"
        zl image import core.wasm core
        sed 's/name: web, /name: core, /' bad.yaml >core.yaml
        run ! zl up core.yaml
        assert_match 'wants a component, and this is a core module'
        zl down --all
        printf '    wasm: {allow_http_outgoing: false}\n' >>bad.yaml
        run ! zl up bad.yaml
        assert_match 'cannot refuse outgoing HTTP'
        zl down --all
        # And the other way round.
        run ! zl run --rm web
        assert_match 'service type|type wasm_http|wasm_http'
}
