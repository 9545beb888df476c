#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The rules that spread connections over containers, with real clients: a host that is a network namespace, servers behind a bridge in it, a
# client outside. What the rules are told comes from firewall-driver; the servers are processes in namespaces of their own.
load lib

TABLE=zlbalance FRONT=192.0.2.1 PORT=8000

setup() {
        zl_setup
        skip_unless "expected: links only in namespaces of its own (test/run)" test -n "$ZL_ISOLATED"
        echo 1 >/proc/sys/net/ipv4/ip_forward
        ip link add zlbr type bridge
        ip addr add 10.9.0.1/24 dev zlbr
        ip link set zlbr up
        firewall build zlbr 10.9.0.0 24
        namespace
        OUTSIDE=$NS
        ip link add zlout type veth peer name eth0 netns "$OUTSIDE"
        ip addr add 192.0.2.1/24 dev zlout
        ip link set zlout up
        within "$OUTSIDE" ip addr add 192.0.2.2/24 dev eth0
        within "$OUTSIDE" ip link set eth0 up
        LINKS=zlout
}

teardown() {
        firewall remove || :
        zl_stop_children
        local link
        for link in $LINKS zlbr; do
                ip link del "$link" 2>/dev/null || :
        done
        zl_teardown
}

firewall() { "$ZL_BUILD/test/system/firewall-driver" $TABLE "$@"; }
within() { nsenter -t "$1" -n "${@:2}"; }

# A network namespace, held by a process: $NS.
namespace() {
        background unshare --net sleep 600
        NS=$ZL_BG
        elsewhere() { [ "$(readlink "/proc/$NS/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }
        wait_until 20 elsewhere
}

# A server behind the bridge at 10.9.0.N: says its number; /slow takes two seconds; after TERM it ends what is under way.
serve() { # N
        namespace
        ip link add "zls$1" type veth peer name eth0 netns "$NS"
        ip link set "zls$1" master zlbr up
        bridge link set dev "zls$1" hairpin on # as the links of containers are
        LINKS+=" zls$1"
        within "$NS" ip addr add "10.9.0.$1/24" dev eth0
        within "$NS" ip link set eth0 up
        within "$NS" ip link set lo up
        within "$NS" ip route add default via 10.9.0.1
        background nsenter -t "$NS" -n /usr/bin/python3 -c '
import http.server, signal, sys, threading, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = sys.argv[1].encode() + b"\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.path == "/slow":
            self.wfile.flush()
            time.sleep(2)
        self.wfile.write(body)
    def log_message(self, *args):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1000
    daemon_threads = False
server = Server(("", 80), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
# Whose connection stands already, and was not taken yet, is served, too.
waiting = [True]
server.timeout = 0.3
server.handle_timeout = waiting.clear
while waiting:
    server.handle_request()
server.server_close()' "$1"
        SERVER[$1]=$ZL_BG
        wait_until 20 curl -sf -m 2 "http://10.9.0.$1/"
}

targets() { # N...
        local words=() n
        for n; do words+=("10.9.0.$n" 80); done
        firewall front any $PORT tcp "${words[@]}"
}

# Which servers answer 60 connections, in order.
answering() { # COMMAND PREFIX...
        for _ in {1..60}; do "$@" curl -sf -m 10 "http://$FRONT:$PORT/"; done | sort -u | paste -sd,
}

@test "connections are spread over the targets: from outside, from the host and from a neighbour" {
        for n in 11 12 13; do serve $n; done
        targets 11 12 13
        assert_equal "$(answering within "$OUTSIDE")" 11,12,13
        assert_equal "$(answering)" 11,12,13
        # A container reaches the others, and itself, by the address of the host.
        assert_equal "$(answering within "$NS")" 11,12,13
        targets 12
        assert_equal "$(answering within "$OUTSIDE")" 12
        # Without a target the host itself answers: nobody is there.
        targets
        run -7 within "$OUTSIDE" curl -sf -m 10 "http://$FRONT:$PORT/"
        # What is not published is not reached from outside.
        within "$OUTSIDE" ip route add 10.9.0.0/24 via 192.0.2.1
        run -28 within "$OUTSIDE" curl -sf -m 3 http://10.9.0.12/
        firewall unfront any $PORT tcp
        assert_no_match "to-tcp-$PORT" "$(nft list table inet $TABLE)"
}

@test "a request that is under way when its target goes ends well, and no new one goes there" {
        for n in 11 12; do serve $n; done
        targets 11
        background within "$OUTSIDE" curl -sS -m 60 "http://$FRONT:$PORT/slow"
        local slow=$ZL_BG log=$ZL_BG_LOG
        connected() { within "$OUTSIDE" ss -Htn state established "dport = :$PORT" | grep -q .; }
        wait_until 20 connected
        targets 12
        assert_equal "$(answering within "$OUTSIDE")" 12
        kill -TERM "${SERVER[11]}"
        wait "$slow"
        assert_equal "$(cat "$log")" 11
}

@test "a rolling update under load loses no request" {
        for n in 11 12; do serve $n; done
        targets 11 12
        # wrk takes an answer after two seconds for an error of its socket, unless it is told: on a machine with a lot to do the slowest needs
        # nearly as long.
        background within "$OUTSIDE" wrk -t 1 -c 8 -d 20 --timeout 10 -H 'Connection: close' "http://$FRONT:$PORT/"
        local load=$ZL_BG log=$ZL_BG_LOG
        # Each in turn gets a successor before it leaves the rules, and ends only when it has no connection any more in several looks, as the
        # agent has it (endpoints.bats): one may have been led to it that has not arrived.
        idle() { ! within "${SERVER[$1]}" ss -Htn state connected exclude time-wait 'sport = :80' | grep -q .; }
        drained() { for _ in {1..6}; do idle "$1" || return 1; sleep 0.02; done; }
        local live=(11 12) next=21
        for _ in {1..6}; do
                serve $next
                targets "${live[@]}" $next
                targets "${live[@]:1}" $next
                wait_until 10 drained "${live[0]}"
                kill -TERM "${SERVER[${live[0]}]}"
                wait "${SERVER[${live[0]}]}" || :
                live=("${live[@]:1}" "$next")
                next=$((next + 1))
        done
        wait "$load"
        cat "$log"
        assert_match ' requests in ' "$(cat "$log")"
        assert_no_match 'Socket errors|Non-2xx' "$(cat "$log")"
        assert_equal "$(answering within "$OUTSIDE")" 25,26
}

@test "nothing of the table stays" {
        serve 11
        targets 11
        assert_match "table inet $TABLE" "$(nft list ruleset)"
        firewall remove
        firewall remove
        assert_no_match $TABLE "$(nft list ruleset)"
        run within "$OUTSIDE" curl -sf -m 3 "http://$FRONT:$PORT/"
        assert_status 7
}
