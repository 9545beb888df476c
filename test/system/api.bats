# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bats
# The HTTP API, by curl against the socket.
# shellcheck disable=SC2016 # $ in specs and in `sh -c` texts is for the container
load lib
load daemon

setup() {
        zl_setup
        import_busybox bb
        start_daemon
}

run_body() { # NAME COMMAND [MORE]
        jq -nc --arg n "$1" --arg c "$2" \
                '{name: $n, service: {image: {name: "bb"}, command: {entrypoint: ["sh", "-c", $c]}}}'" + {${3-}}"
}
error_of() { jq -r '"\(.error.code) \(.error.field)"' <<<"$output"; }
# expect STATUS CODE FIELD, then arguments of curl
expect() {
        local want_status=$1 want="$2 $3" body
        shift 3
        body=$(api -w '\n%{http_code}' "$@")
        output=${body%$'\n'*}
        [ "${body##*$'\n'}" = "$want_status" ] || fail "$*: ${body##*$'\n'} instead of $want_status: $output"
        [ "$(error_of)" = "$want" ] || fail "$*: $(error_of) instead of $want: $output"
}

# --- containers -----------------------------------------------------------------------------------------

@test "containers: run, list, inspect, stats, logs, kill, wait, remove" {
        run -0 post /v1/containers "$(run_body a 'echo out; echo err >&2; exec sleep 100')"
        assert_equal "$(jq -r '[.name, .state] | join(" ")' <<<"$output")" "run.a.1 running"
        assert_equal "$(get /v1/containers | jq -r '.[].name')" run.a.1
        assert_equal "$(get /v1/containers/a | jq -r .status.state)" running
        get /v1/containers/run.a.1/stats | jq -e '.pids == 1 and .memory_bytes > 0'
        wait_until 5 says_both
        assert_equal "$(api -H 'Accept: text/plain' 'http://x/v1/containers/a/logs?stderr=false')" out
        assert_equal "$(code_of -X POST 'http://x/v1/containers/a/kill?signal=TERM')" 204
        post /v1/containers/a/stop
        run -0 get /v1/containers/a/wait
        assert_equal "$(jq -r .state <<<"$output")" exited
        assert_equal "$(get /v1/containers)" '[]'
        assert_equal "$(get '/v1/containers?all' | jq length)" 1
        assert_equal "$(code_of -X DELETE http://x/v1/containers/a)" 204
        assert_equal "$(get '/v1/containers?all=true')" '[]'
}
says_both() { [ "$(get /v1/containers/a/logs | jq -r .line | sort | xargs)" = 'err out' ]; }

@test "containers: wait answers when it ends, with its exit code, and not before" {
        post /v1/containers "$(run_body a 'sleep 4; exit 42')"
        run -0 get '/v1/containers/a/wait?timeout=100ms'
        assert_equal "$(jq -r .error.code <<<"$output")" timeout
        run -0 get '/v1/containers/a/wait?timeout=14s'
        assert_equal "$(jq -r .exit_code <<<"$output")" 42
        delete /v1/containers/a
}

@test "containers: what cannot be started is an error and leaves nothing" {
        run -0 post /v1/containers "$(jq -c '.service.command.entrypoint = ["/no/such"]' <<<"$(run_body a x)")"
        assert_equal "$(jq -r .error.code <<<"$output")" no_command
        run -0 post /v1/containers '{"service": {"image": {"name": "no-such-image", "pull_policy": "never"}}}'
        assert_match 'no-such-image'
        assert_equal "$(get '/v1/containers?all')" '[]'
        # But the directory that the daemon has ready for the next one.
        assert_equal "$(find "$ZLAYER_ROOT_DIR/containers" -mindepth 1 -maxdepth 1 ! -name '.shell-*')" ''
}

@test "containers: pause and resume" {
        post /v1/containers "$(run_body a 'exec sleep 100')"
        assert_equal "$(code_of -X POST http://x/v1/containers/a/pause)" 204
        assert_equal "$(get /v1/containers/a | jq -r .status.state)" paused
        assert_equal "$(code_of -X POST http://x/v1/containers/a/resume)" 204
        assert_equal "$(get /v1/containers/a | jq -r .status.state)" running
        delete '/v1/containers/a?force'
}

@test "logs: follow until the end" {
        post /v1/containers "$(run_body a 'for i in 1 2 3; do echo $i; sleep 0.2; done')"
        assert_equal "$(get '/v1/containers/a/logs?follow' | jq -r .line | xargs)" '1 2 3'
        assert_equal "$(get '/v1/containers/a/logs?tail=1' | jq -r .line)" 3
        delete /v1/containers/a
}

# --- deployments ------------------------------------------------------------------------------------------

@test "deployments: up, change, scale, stop, remove; changed services alone are replaced" {
        write_deployment 2
        assert_equal "$(post_spec app.yaml | jq -r .phase)" started
        before=$(running_pids)
        assert_equal "$(post_spec app.yaml | jq -r .phase)" started
        assert_equal "$(running_pids)" "$before"
        write_deployment 2 two
        post_spec app.yaml
        wait_until 20 marks_are two
        [ "$(running_pids)" != "$before" ]
        assert_equal "$(post "/v1/deployments/$APP/scale" '{"service": "web", "replicas": 3}' | jq -r .deployment)" "$APP"
        wait_until 10 count_is 3
        assert_equal "$(get "/v1/deployments/$APP" | jq -r '.spec.services.web.scale.replicas')" 3
        assert_equal "$(post "/v1/deployments/$APP/stop" | jq -r .phase)" stopped
        assert_equal "$(get "/v1/deployments" | jq -r '.[0].phase')" stopped
        assert_equal "$(code_of -X DELETE "http://x/v1/deployments/$APP")" 200
        assert_equal "$(get /v1/deployments)" '[]'
        assert_equal "$(get '/v1/containers?all')" '[]'
}
count_is() { [ "$(get /v1/containers | jq length)" = "$1" ]; }
marks_are() { [ "$(get /v1/containers | jq -r '.[].name' | while read -r n; do get "/v1/containers/$n/logs" | jq -r .line; done | sort -u)" = "mark $1" ]; }

@test "deployments: a start that fails is told with its reason, and stays known as failed" {
        write_deployment
        sed -i 's/entrypoint: .*/entrypoint: [no-such-command]/' app.yaml
        run -0 post_spec app.yaml
        assert_equal "$(jq -r .phase <<<"$output")" failed
        assert_match 'no-such-command'
        assert_equal "$(get '/v1/containers?all')" '[]'
        assert_equal "$(get "/v1/deployments/$APP" | jq -r .phase)" failed
        write_deployment
        assert_equal "$(post_spec app.yaml | jq -r .phase)" started
        remove_deployment
}

@test "deployments: every problem of a document is told with its place" {
        printf 'version: v1\ndeployment: x\nservices:\n  web:\n    imagee: {name: a}\n    scale: {mode: odd}\n' >bad.yaml
        run -0 api -H 'Content-Type: application/yaml' --data-binary @bad.yaml http://x/v1/deployments/validate
        assert_equal "$(jq -r .error.code <<<"$output")" invalid
        jq -e '[.error.problems[].line] | index(5) != null and index(6) != null' <<<"$output"
        run -0 post_spec bad.yaml
        jq -e '.error.problems | length >= 2' <<<"$output"
        assert_equal "$(get /v1/deployments)" '[]'
        write_deployment
        run -0 api -H 'Content-Type: application/yaml' --data-binary @app.yaml http://x/v1/deployments/validate
        assert_equal "$(jq -r .deployment <<<"$output")" "$APP"
}

# --- events, images, metrics ---------------------------------------------------------------------------------

@test "events: what was and what comes, as lines and as server-sent events" {
        background curl -sSN --unix-socket "$SOCKET" 'http://x/v1/events?follow&after=0&name=run'
        log=$ZL_BG_LOG
        post /v1/containers "$(run_body a true)"
        wait_until 5 grep -q '"started"' "$log"
        jq -e 'select(.type == "started") | .name == "run.a.1" and .seq > 0' "$log"
        seq=$(jq -r .seq "$log" | tail -1)
        assert_equal "$(get "/v1/events?after=$seq")" ''
        run -0 api -H 'Accept: text/event-stream' "http://x/v1/events?after=$((seq - 1))"
        assert_match "^id: $seq"
        assert_match 'data: \{"seq"'
        delete '/v1/containers/a?force'
}

@test "images: list, remove, pull with progress and its outcome" {
        assert_equal "$(get /v1/images | jq -r '.[0].name')" docker.io/library/bb:latest
        run -0 post /v1/images/pull '{"image": "127.0.0.1:1/no/image:1"}'
        assert_equal "$(jq -rs 'last | .error.code' <<<"$output")" network
        run -0 post /v1/images/pull '{"image": "bb", "policy": "if_not_present"}'
        assert_match 'sha256:' "$(jq -rs 'last | .digest' <<<"$output")"
        assert_equal "$(code_of -X DELETE 'http://x/v1/images?name=bb')" 204
        assert_equal "$(get /v1/images)" '[]'
}

@test "metrics: OpenMetrics that a parser takes" {
        post /v1/containers "$(run_body a 'exec sleep 100')"
        get /metrics >metrics
        assert_equal "$(tail -1 metrics)" '# EOF'
        grep -q '^zlayer_containers{state="running"} 1' metrics
        grep -q '^zlayer_container_pids{deployment="run",service="a",replica="1"} 1' metrics
        grep -q '^# TYPE zlayer_container_pressure_memory_stalled_seconds counter' metrics
        if [ "$(get /v1/containers/a/stats | jq .pressure)" != null ]; then
                grep -Eq '^zlayer_container_pressure_cpu_waiting_seconds_total[{]deployment="run",service="a",replica="1"} [0-9]' metrics
        fi
        delete '/v1/containers/a?force'
}

# --- bad input -------------------------------------------------------------------------------------------------

@test "bad input: each is a 4xx that names the field" {
        local json='Content-Type: application/json'
        expect 404 not_found path http://x/
        expect 404 not_found path http://x/v2/version
        expect 404 not_found path http://x/v1/containers/a/b/c
        expect 405 invalid method -X DELETE http://x/v1/version
        expect 405 invalid method -X POST http://x/v1/events
        expect 400 invalid path 'http://x/v1/containers/%zz'
        expect 400 invalid path 'http://x/v1/containers/%00'
        expect 404 not_found name http://x/v1/containers/none
        expect 404 not_found name http://x/v1/containers/none/logs
        expect 404 not_found name -X DELETE http://x/v1/deployments/none
        expect 404 not_found name http://x/v1/deployments/%2e%2e
        expect 400 invalid '(root)' 'http://x/v1/containers?al=1'
        expect 400 invalid all 'http://x/v1/containers?all=maybe'
        expect 400 invalid tail 'http://x/v1/containers/a/logs?tail=-1'
        expect 400 invalid since 'http://x/v1/containers/a/logs?since=yesterday'
        expect 400 invalid timeout 'http://x/v1/containers/a/wait?timeout=soon'
        expect 400 invalid signal -X POST 'http://x/v1/containers/a/kill?signal=FOO'
        expect 400 invalid query 'http://x/v1/containers?deployment=%'
        expect 400 invalid body -X POST -H "$json" http://x/v1/containers -d '{'
        expect 400 invalid body -X POST -H "$json" http://x/v1/containers -d '{}{}'
        expect 400 invalid body -X POST -H "$json" http://x/v1/containers/a/stop -d '{}'
        expect 400 invalid '(root)' -X POST -H "$json" http://x/v1/containers -d '[]'
        expect 400 invalid service -X POST -H "$json" http://x/v1/containers -d '{}'
        expect 400 invalid start -X POST -H "$json" http://x/v1/containers -d '{"service":{"image":{"name":"bb"}},"start":1}'
        expect 400 invalid body -X POST -H "$json" http://x/v1/containers -d $'{"name":"\xff"}'
        expect 400 invalid replicas -X POST -H "$json" http://x/v1/deployments/a/scale -d '{"service":"a","replicas":-1}'
        expect 415 invalid Content-Type -X POST -H 'Content-Type: text/html' http://x/v1/containers -d '{}'
        expect 415 invalid Content-Encoding -X POST -H "$json" -H 'Content-Encoding: gzip' http://x/v1/containers -d '{}'
        expect 413 invalid body -X POST -H "$json" -H 'Content-Length: 99999999999' http://x/v1/containers -d '{}'
        head -c 17000000 /dev/zero >big
        expect 413 invalid body -X POST -H "$json" -H 'Transfer-Encoding: chunked' --data-binary @big http://x/v1/containers
        local s='http://x/v1/secrets'
        expect 400 invalid name -X PUT -H "$json" $s -d '{"name":"a/b","value":"x"}'
        expect 400 invalid name -X PUT -H "$json" $s -d '{"name":"a b","value":"x"}'
        expect 400 invalid deployment -X PUT -H "$json" $s -d '{"name":"@web/a","value":"x"}'
        expect 400 invalid deployment -X PUT -H "$json" $s -d '{"name":":prod/a","deployment":"shop","value":"x"}'
        expect 400 invalid deployment -X PUT -H "$json" $s -d '{"name":"a","deployment":"../x","value":"x"}'
        expect 400 invalid value -X PUT -H "$json" $s -d '{"name":"a"}'
        expect 400 invalid value_base64 -X PUT -H "$json" $s -d '{"name":"a","value_base64":"%"}'
        expect 400 invalid name -X DELETE $s
        expect 400 invalid name -X DELETE "$s?name=a/b"
        expect 400 invalid deployment -X DELETE "$s?name=@web/a"
        expect 404 not_found name -X DELETE "$s?name=none"
        expect 404 not_found name -X DELETE "$s?name=none&deployment=shop"
        # Nothing of it has hurt.
        assert_equal "$(get /v1/containers)" '[]'
}

@test "bad input: what is no HTTP at all ends its own connection only" {
        timeout 30 python3 - "$SOCKET" <<'END'
import os, socket, sys
for junk in (b"\0" * 100, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", os.urandom(5000), b"A" * 100000, b"GET /v1/version HTTP/1.1\r\n" + b"X: y\r\n" * 5000):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(1)  # what may still become a request is left to the idle timeout
    s.connect(sys.argv[1])
    try:
        s.sendall(junk)
        s.shutdown(socket.SHUT_WR)
        while s.recv(65536):
            pass
    except (BrokenPipeError, ConnectionResetError, TimeoutError):
        pass
    s.close()
END
        assert_equal "$(get /v1/version | jq -r .name)" zlayer-agent
}

@test "connections: a thousand at once, slow ones, half-closed ones: the others are served" {
        timeout 60 python3 - "$SOCKET" <<'END'
import resource, socket, sys, time
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
def conn():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(sys.argv[1])
    return s
def answer(s):
    data = b""
    while b"\r\n\r\n" not in data or len(data) < data.index(b"\r\n\r\n") + 4 + int(data.lower().split(b"content-length:")[1].split()[0]):
        got = s.recv(65536)
        assert got, data
        data += got
    return data
request = b"GET /v1/version HTTP/1.1\r\nHost: x\r\n\r\n"
slow = [conn() for _ in range(200)]
for s in slow:
    s.sendall(request[:20])
many = [conn() for _ in range(1000)]
begun = time.monotonic()
for s in many:
    s.sendall(request)
for s in many:
    assert answer(s).startswith(b"HTTP/1.1 200"), "not served"
assert time.monotonic() - begun < 15
half = conn()
half.sendall(request)
half.shutdown(socket.SHUT_WR)
assert answer(half).startswith(b"HTTP/1.1 200")
for s in slow:
    s.sendall(request[20:])
for s in slow:
    assert answer(s).startswith(b"HTTP/1.1 200")
# Keep-alive: many requests on one connection, also pipelined.
one = conn()
one.sendall(request * 3)
assert one.recv(1) == b"H"
END
        assert_equal "$(get /v1/version | jq -r .name)" zlayer-agent
}

@test "connections: those that wait and go away cost nothing" {
        post /v1/containers "$(run_body a 'exec sleep 100')"
        open=$(find "/proc/$DAEMON/fd" | wc -l)
        for _ in 1 2 3 4 5; do
                run api -m 0.2 'http://x/v1/containers/a/wait'
                run api -m 0.2 'http://x/v1/containers/a/logs?follow'
                run api -m 0.2 'http://x/v1/events?follow'
        done
        wait_until 5 has_open_files "$open"
        delete '/v1/containers/a?force'
}
# As many as before; three more are what the daemon makes ahead of the next start. Who looks for a leak therefore makes more than three connections of a kind.
has_open_files() { [ "$(find "/proc/$DAEMON/fd" | wc -l)" -le $(($1 + 3)) ]; }

@test "connections: who waits is told when the daemon ends" {
        post /v1/containers "$(run_body a 'exec sleep 100')"
        background api -v -w '%{http_code}' http://x/v1/containers/a/wait
        log=$ZL_BG_LOG
        wait_until 10 grep -q '^> GET' "$log" # it is connected
        sleep 0.3
        stop_daemon
        wait_until 5 grep -q 503 "$log"
        zl rm -f a
}

# --- exec ----------------------------------------------------------------------------------------------------------

@test "exec: output, exit code, environment, user, directory, input" {
        post /v1/containers "$(run_body a 'exec sleep 100')"
        run -0 post /v1/containers/a/exec '{"command": ["sh", "-c", "echo out; echo err >&2; exit 7"]}'
        assert_output '{"exit_code":7,"stdout":"out\n","stderr":"err\n","truncated":false}'
        run -0 post /v1/containers/a/exec '{"command": ["sh", "-c", "id -u; pwd; echo $A; cat"], "user": "5", "workdir": "/tmp", "env": ["A=b"], "input": "in"}'
        assert_equal "$(jq -r .stdout <<<"$output")" $'5\n/tmp\nb\nin'
        run -0 post /v1/containers/a/exec '{"command": ["no-such-command"]}'
        assert_equal "$(jq -r .error.code <<<"$output")" no_command
        run -0 post /v1/containers/a/exec '{"command": []}'
        assert_equal "$(error_of)" 'invalid command'
        run -0 post /v1/containers/a/exec '{"command": ["sh", "-c", "head -c 3000000 /dev/zero"]}'
        jq -e '.truncated and .exit_code == 0' <<<"$output" >/dev/null
        # A child that keeps the outputs open does not keep the answer.
        API_TIMEOUT=30 run -0 post /v1/containers/a/exec '{"command": ["sh", "-c", "sleep 50 & echo x"]}'
        assert_equal "$(jq -r .stdout <<<"$output")" x
        delete '/v1/containers/a?force'
}

@test "exec: of a full name the store is not asked, and a monitor has asked before what it is itself, and opened the doors of the group" {
        local pid name
        post /v1/containers "$(run_body a 'exec sleep 100')"
        pid=$(running_pids)
        pid=$(awk '/^PPid/ { print $2 }' "/proc/$pid/status")
        for name in run.a.1 a; do # the first of all, and another
                background strace -f -qq -e trace=fcntl,openat,stat -o "trace.$name" -p "$DAEMON" -p "$pid"
                wait_until 10 is_traced "$pid"
                wait_until 10 is_traced "$DAEMON"
                assert_equal "$(post "/v1/containers/$name/exec" '{"command": ["true"]}' | jq .exit_code)" 0
                kill -INT "$ZL_BG"
                wait_until 10 has_ended "$ZL_BG"
        done
        grep -q 'F_SETLK' trace.a # the name has to be looked for
        run ! grep 'F_SETLK' trace.run.a.1
        run ! grep -E '"thread-self/status"|/proc/self/ns/user|/proc/[0-9]+/ns/|tasks"' trace.run.a.1
        grep -q 'freezer.state\|cgroup.events' trace.run.a.1 # the monitor was seen
        delete '/v1/containers/a?force'
}
is_traced() { ! grep -q '^TracerPid:.0$' "/proc/$1/status"; }

@test "exec: a stream both ways: output, half-closed input, signal, terminal and its size, exit code" {
        post /v1/containers "$(run_body a 'exec sleep 100')"
        open=$(find "/proc/$DAEMON/fd" | wc -l)
        timeout 60 python3 - "$SOCKET" <<'END'
import json, socket, struct, sys, time
class Exec:
    def __init__(self, **body):
        text = json.dumps(body).encode()
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(10)
        self.s.connect(sys.argv[1])
        self.s.sendall(b"POST /v1/containers/a/exec HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: zlayer-stream\r\n"
                       b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
        self.data = b""
        while b"\r\n\r\n" not in self.data:
            self.more()
        head, self.data = self.data.split(b"\r\n\r\n", 1)
        assert head.startswith(b"HTTP/1.1 101"), head
        self.out = {1: b"", 2: b""}
        self.code = None
    def more(self):
        got = self.s.recv(65536)
        assert got, "closed"
        self.data += got
    def frame(self):
        while len(self.data) < 8:
            self.more()
        kind, size = self.data[0], struct.unpack(">I", self.data[4:8])[0]
        while len(self.data) < 8 + size:
            self.more()
        body, self.data = self.data[8:8 + size], self.data[8 + size:]
        if kind == 4:
            self.code = struct.unpack(">I", body)[0]
        else:
            self.out[kind] += body
    def send(self, kind, body):
        self.s.sendall(struct.pack(">B3xI", kind, len(body)) + body)
    def finish(self):
        while self.code is None:
            self.frame()
        assert self.s.recv(1) == b""
        return self.code
    def until(self, text):
        while text not in self.out[1]:
            self.frame()

e = Exec(command=["sh", "-c", "echo out; echo err >&2; exit 9"])
assert e.finish() == 9 and e.out == {1: b"out\n", 2: b"err\n"}, (e.code, e.out)

e = Exec(command=["cat"])
e.send(0, b"one ")
e.send(0, b"two")
e.send(0, b"")
assert e.finish() == 0 and e.out[1] == b"one two", e.out

e = Exec(command=["wc", "-c"])
for _ in range(50):
    e.send(0, b"x" * 100000)
e.s.shutdown(socket.SHUT_WR)
assert e.finish() == 0 and e.out[1].strip() == b"5000000", e.out

e = Exec(command=["sh", "-c", "trap 'exit 5' USR1; echo ready; while :; do sleep 0.1; done"])
e.until(b"ready")
e.send(5, bytes([10]))
assert e.finish() == 5

e = Exec(command=["sh", "-c", "stty size; read x; stty size; echo got $x"], tty=True, rows=10, cols=20)
e.until(b"10 20")
e.send(3, struct.pack(">HH", 30, 40))
e.send(0, b"hello\n")
assert e.finish() == 0
assert b"30 40" in e.out[1] and b"got hello" in e.out[1], e.out

e = Exec(command=["head", "-c", "20000000", "/dev/zero"])
time.sleep(0.5)  # not read for a while: nothing is lost
assert e.finish() == 0 and len(e.out[1]) == 20000000

e = Exec(command=["cat"])
e.s.sendall(b"\xff" * 100)  # no frame
try:
    assert e.s.recv(1) == b""
except ConnectionResetError:
    pass

e = Exec(command=["sleep", "30"])
e.s.close()
END
        wait_until 5 has_open_files "$open"
        assert_equal "$(get /v1/version | jq -r .name)" zlayer-agent
        # Asked for without the header that goes with it.
        run api -m 5 -X POST -H 'Content-Type: application/json' -H 'Upgrade: zlayer-stream' -d '{"command":["true"]}' http://x/v1/containers/a/exec
        delete '/v1/containers/a?force'
}

# --- attach --------------------------------------------------------------------------------------------------------

@test "attach: both outputs apart, input, several at a time, who leaves leaves it running, signals, size, the exit code" {
        zl run -d -i --name a bb sh -c 'trap "echo hup" HUP; while :; do read -r x || { sleep 0.1; continue; }; echo "got $x"; echo "err $x" >&2; [ "$x" != end ] || exit 7; done'
        zl run -d -i --name cat bb sh -c 'cat; exit 3'
        zl run -d -it --name t bb sh -c 'stty -echo; while read -r x; do stty size; done'
        open=$(find "/proc/$DAEMON/fd" | wc -l)
        timeout 60 python3 - "$SOCKET" <<'END'
import socket, struct, sys, threading
class Attach:
    def __init__(self, name, query=""):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(10)
        self.s.connect(sys.argv[1])
        self.s.sendall(b"POST /v1/containers/%s/attach%s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
                       b"Upgrade: zlayer-stream\r\nContent-Length: 0\r\n\r\n" % (name.encode(), query.encode()))
        self.data = b""
        while b"\r\n\r\n" not in self.data:
            self.more()
        head, self.data = self.data.split(b"\r\n\r\n", 1)
        assert head.startswith(b"HTTP/1.1 101"), head
        self.out, self.code = {1: b"", 2: b""}, None
    def more(self):
        got = self.s.recv(65536)
        assert got, "closed"
        self.data += got
    def frame(self):
        while len(self.data) < 8:
            self.more()
        kind, size = self.data[0], struct.unpack(">I", self.data[4:8])[0]
        while len(self.data) < 8 + size:
            self.more()
        body, self.data = self.data[8:8 + size], self.data[8 + size:]
        if kind == 4:
            self.code = struct.unpack(">I", body)[0]
        else:
            self.out[kind] += body
    def send(self, kind, body):
        self.s.sendall(struct.pack(">B3xI", kind, len(body)) + body)
    def until(self, text, stream=1):
        while text not in self.out[stream]:
            self.frame()
    def finish(self):
        while self.code is None:
            self.frame()
        assert self.s.recv(1) == b""
        return self.code

first = Attach("run.a.1")
first.send(0, b"one\n")
first.until(b"got one\n")
first.until(b"err one\n", 2)
first.send(0, b"two\n")
first.s.close()  # leaves it running
second, third = Attach("a"), Attach("a")
second.s.shutdown(socket.SHUT_WR)  # says nothing more, hears on
third.send(5, bytes([1]))
third.until(b"hup\n")
second.until(b"hup\n")
third.send(0, b"end\n")
assert third.finish() == 7 and second.finish() == 7, (second.code, third.code)
assert third.out[1].endswith(b"got end\n") and second.out[2].endswith(b"err end\n"), (second.out, third.out)

# more than any buffer, in both directions at once, and the end of the input
c = Attach("cat")
def feed():
    for _ in range(50):
        c.send(0, b"x" * 100000)
    c.send(0, b"")
thread = threading.Thread(target=feed)
thread.start()
assert c.finish() == 3 and c.out[1] == b"x" * 5000000, (c.code, len(c.out[1]))
thread.join()

t = Attach("t", "?rows=11&cols=22")
t.send(0, b"\n")
t.until(b"11 22")
t.send(3, struct.pack(">HH", 33, 44))
t.send(0, b"\n")
t.until(b"33 44")
t.s.close()
END
        wait_until 5 has_open_files "$open"
        wait_until 5 is_ended a
        # what is asked for wrongly, or is not there
        expect 400 invalid Upgrade -X POST http://x/v1/containers/t/attach
        expect 400 invalid rows -X POST 'http://x/v1/containers/t/attach?rows=many'
        local up=(-X POST -H 'Connection: Upgrade' -H 'Upgrade: zlayer-stream')
        expect 404 not_found name "${up[@]}" http://x/v1/containers/none/attach
        expect 409 wrong_state null "${up[@]}" http://x/v1/containers/a/attach
        # curl hears what the container says until it ends
        background curl -sS -m 20 --http1.1 -N --unix-socket "$SOCKET" "${up[@]}" -o heard http://x/v1/containers/t/attach
        sleep 0.5
        zl rm -f t
        wait_until 10 has_ended "$ZL_BG"
        zl rm -f a cat
}

# --- hung calls ------------------------------------------------------------------------------------------------------

@test "a call that hangs in the runtime holds up its own container and nobody else" {
        hung=$(post /v1/containers "$(run_body a 'exec sleep 100')" | jq .pid)
        post /v1/containers "$(run_body b 'exec sleep 100')"
        monitor=$(awk '{ print $4 }' "/proc/$hung/stat")
        kill -STOP "$monitor"
        # More of them than run at a time.
        for _ in {1..20}; do
                background curl -sS -m 60 --unix-socket "$SOCKET" -X POST 'http://x/v1/containers/run.a.1/stop'
        done
        sleep 0.3
        API_TIMEOUT=30 run -0 post /v1/containers/run.b.1/exec '{"command": ["echo", "well"]}'
        assert_equal "$(jq -r .stdout <<<"$output")" well
        API_TIMEOUT=30 run -0 post /v1/containers "$(run_body c 'exit 5')"
        API_TIMEOUT=30 run -0 get /v1/containers/run.c.1/wait
        assert_equal "$(jq .exit_code <<<"$output")" 5
        assert_equal "$(get /v1/version | jq -r .name)" zlayer-agent
        kill -CONT "$monitor"
        wait_until 20 is_ended a
        for name in a b c; do delete "/v1/containers/run.$name.1?force"; done
}
is_ended() { [ "$(get "/v1/containers/$1" | jq -r .status.state)" = exited ]; }

# What a look takes at most, with what a busy machine adds.
soon() { ZL_TIMEOUT=6 zl "$@"; }

@test "monitors that are stopped: list, inspect and stats are as fast as ever, a daemon that comes up sees to the others" {
        local name pid a
        write_deployment 2
        sed -i 's/^  web:/  other:/' app.yaml
        post_spec app.yaml
        for name in a b c; do post /v1/containers "$(run_body $name 'exec sleep 100')"; done
        for name in a b; do
                pid=$(get "/v1/containers/run.$name.1" | jq .status.pid)
                monitors+=("$(awk '{ print $4 }' "/proc/$pid/stat")")
                kill -STOP "${monitors[-1]}"
                [ $name = b ] || a=$pid
        done
        # the end of b is known to nobody but its monitor
        kill -KILL "$pid"
        wait_until 5 grep -q '^State:.Z' "/proc/$pid/status"
        run -0 soon ps --json
        assert_equal "$(jq -c '[.[] | select(.deployment == "run") | [.service, .state, .reason]] | sort' <<<"$output")" \
                '[["a","running",null],["b","running","its monitor does not answer"],["c","running",null]]'
        assert_equal "$(jq '[.[] | select(.state == "running")] | length' <<<"$output")" 5
        assert_equal "$(soon inspect run.a.1 | jq '.[0].pid // .pid')" "$a"
        run -0 soon inspect run.b.1
        assert_match 'its monitor does not answer'
        run -0 soon stats --no-stream run.a.1
        run -0 soon top run.a.1
        API_TIMEOUT=6 run -0 get /v1/containers/run.b.1
        assert_match 'its monitor does not answer'
        API_TIMEOUT=6 run -0 get /v1/containers/run.a.1/stats
        API_TIMEOUT=6 run -0 get /v1/containers
        assert_equal "$(jq length <<<"$output")" 5
        # a replica of the deployment, while the next daemon comes up
        pid=$(zl ps --json | jq --arg n "$APP.other.1" '.[] | select(.name == $n) | .pid')
        monitors+=("$(awk '{ print $4 }' "/proc/$pid/stat")")
        kill -STOP "${monitors[-1]}"
        kill -KILL "$pid" "$DAEMON"
        wait_until 5 grep -q '^State:.Z' "/proc/$pid/status"
        wait_until 10 has_ended "$DAEMON"
        start_daemon
        kill -KILL "$(zl ps --json | jq --arg n "$APP.other.2" '.[] | select(.name == $n) | .pid')"
        wait_until 10 is_restarted "$APP.other.2"
        assert_equal "$(zl ps --json | jq --arg n "$APP.other.1" '.[] | select(.name == $n) | .restarts')" 0
        kill -CONT "${monitors[@]}"
        wait_until 10 is_restarted "$APP.other.1"
        wait_until 10 is_ended run.b.1
        remove_deployment
        for name in a b c; do delete "/v1/containers/run.$name.1?force"; done
}
