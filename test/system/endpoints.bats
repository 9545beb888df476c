# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bats
# shellcheck disable=SC2016 # $ in `sh -c` texts is for the container
# Endpoints: the balanced address of a service, who reaches it, and that it loses nothing while replicas come and go.

load lib
load daemon
load network

setup() { shop_setup; }
teardown() { net_teardown; }

# Replicas that say who they are after a moment, on port 8080 behind the endpoint's port 80. They are killed at once when they
# are stopped, so nothing but the draining saves a request that is under way.
write_app() { # VERSION REPLICAS [NETWORK_MODE]
        cat >app.yaml <<-END
		version: v1
		deployment: $APP
		services:
		  web:
		    image: {name: bb}
		    network_mode: ${3:-bridge}
		    env: {VERSION: "$1"}
		    scale: {mode: fixed, replicas: $2}
		    stop_grace_period: 0s
		    endpoints: [{name: web, protocol: http, port: 80, target_port: 8080}]
		    health: {start_grace: 5s, interval: 100ms, check: {type: tcp, port: 8080}}
		    command:
		      entrypoint: [sh, -c]
		      args:
		        - |
		          mkdir -p /tmp/www/cgi-bin
		          cd /tmp/www/cgi-bin
		          { echo '#!/bin/sh'; echo 'sleep 0.2'; echo "printf 'Connection: close\nContent-Length: 14\n\n\$(hostname).\$VERSION\n'"; } >who
		          chmod 755 who
		          exec httpd -f -p 8080 -h /tmp/www
		END
}
who() { curl -sS --max-time 5 "http://$1/cgi-bin/who"; } # ADDRESS[:PORT]
vip() { record_of "$APP.web.1" "${1:-service4}"; }
all_ready() { [ "$(cat "$NET"/containers/"$APP".web.*.json | jq -s '[.[] | select(.ready)] | length')" = "$1" ]; }
versions() { seq 40 | xargs -P 10 -I{} curl -sS --max-time 5 "http://$(vip)/cgi-bin/who" | sort | uniq -c | awk '{ print $2 }' | paste -sd' '; }
is_version() { [ "$(zl ps --json | jq -r '[.[] | select(.state == "running")] | length')" = "$2" ] && all_ready "$2" && [ "$(versions)" = "$1" ]; }
# Requests all the time until end_load, none of which may be lost.
begin_load() { # ADDRESS
        background wrk -t 1 -c 6 -d 200 --timeout 10 -H 'Connection: close' "http://$1/cgi-bin/who"
        load=$ZL_BG log=$ZL_BG_LOG
}
end_load() {
        sleep 1 # what came with the last change is seen
        kill -INT "$load" # it stops then, and tells
        wait "$load"
        cat "$log"
        assert_match ' requests in ' "$(cat "$log")"
        assert_no_match 'Socket errors|Non-2xx' "$(cat "$log")"
}
# What the daemon asks of zlayer-net from here on, until end_trace.
trace_requests() { # FILE
        background strace -f -qq -s 300 -e trace=sendmsg -o "$1" -p "$DAEMON"
        tracer=$ZL_BG
        wait_until 10 is_traced
}
is_traced() { ! cat "/proc/$DAEMON"/task/*/status | grep -q '^TracerPid:.0$'; }
end_trace() {
        kill -INT "$tracer"
        wait_until 10 has_ended "$tracer"
}
in_web() { zl exec "$APP.web.$1" "${@:2}"; } # REPLICA COMMAND...

@test "endpoints: a service has one address that leads to all replicas that are ready, for its network and the host" {
        # As on a host that was no router yet.
        echo 0 >/proc/sys/net/ipv6/conf/all/forwarding
        echo 0 >/proc/sys/net/ipv4/ip_forward
        write_app one 3
        start_daemon
        run -0 zl up -d app.yaml
        assert_no_match 'warning' "$output"
        wait_until 20 all_ready 3
        local vip all="web-rep-1.one web-rep-2.one web-rep-3.one"
        vip=$(vip)
        assert_match '^10\.208\.1[2-5]\.' "$vip"
        assert_equal "$(versions)" "$all"
        assert_match '^web-rep-[123]\.one$' "$(who "[$(vip service6)]")"
        # From a replica, by name; also itself is reached.
        assert_equal "$(in_web 1 nslookup vip.web.service.local | grep -o "$vip" | head -1)" "$vip"
        inside() { in_web 1 sh -c 'for i in $(seq 40); do wget -qO- http://vip.web/cgi-bin/who & done; wait' | sort -u | paste -sd' '; }
        assert_equal "$(inside)" "$all"
        assert_match '^web-rep-[123]\.one$' "$(in_web 1 wget -qO- "http://[$(vip service6)]/cgi-bin/who")"
        # And it still listens to its own router.
        assert_equal "$(cat /proc/sys/net/ipv6/conf/default/accept_ra)" 2
        # `ps` tells, the replicas' own ports are as before, and another port of the address is nothing.
        zl ps --json | jq -e --arg ip "$vip" '.[0].ports[0] | .host_ip == $ip and .host_port == 80 and .container_port == 8080'
        run -7 curl -sS --max-time 5 "http://$vip:8080/"
        # Another network does not get in.
        zl run -d --name other --network bridge bb sleep 1000
        run -143 zl exec other timeout 2 wget -qO- "http://$vip/cgi-bin/who"
        zl rm -f other
        # The last one gone, the address is nobody's.
        zl down "$APP"
        run ip -br addr
        assert_no_match "$vip"
        stop_daemon
}

@test "endpoints: a rolling update and a change of scale under load lose no request" {
        write_app one 3
        start_daemon
        run -0 zl up -d app.yaml
        wait_until 20 all_ready 3
        local vip
        vip=$(vip)
        assert_equal "$(versions)" "web-rep-1.one web-rep-2.one web-rep-3.one"
        local load log
        begin_load "$vip"
        write_app two 3
        run -0 zl up -d app.yaml
        wait_until 20 is_version "web-rep-1.two web-rep-2.two web-rep-3.two" 3
        assert_equal "$(vip)" "$vip"
        run -0 zl scale "$APP" web=1
        wait_until 20 is_version "web-rep-1.two" 1
        run -0 zl scale "$APP" web=3
        wait_until 20 is_version "web-rep-1.two web-rep-2.two web-rep-3.two" 3
        end_load
        zl down "$APP"
        stop_daemon
}

@test "endpoints: an idle connection holds up the end of a replica for a bounded time only" {
        write_app one 2
        start_daemon
        run -0 zl up -d app.yaml
        wait_until 20 all_ready 2
        background bash -c "exec 5<>/dev/tcp/$(record_of "$APP.web.2" ipv4)/8080; read -r -u 5"
        local before=$SECONDS idle=$ZL_BG tracer
        held() { ss -Htn state established | grep -q ':8080'; }
        wait_until 10 held
        trace_requests scale.trace
        zl scale "$APP" web=1
        one_left() { [ ! -e "$NET/containers/$APP.web.2.json" ]; }
        wait_until 15 one_left # nothing but the end of the replica ends the connection
        [ $((SECONDS - before)) -ge 4 ] || fail "it was not waited for: $(cat "$NET/log")"
        wait_until 10 has_ended "$idle"
        end_trace
        grep -q 'drain.*web\.2' scale.trace
        # When all goes, nobody waits.
        zl scale "$APP" web=2
        wait_until 20 all_ready 2
        background bash -c "exec 5<>/dev/tcp/$(record_of "$APP.web.2" ipv4)/8080; read -r -u 5"
        wait_until 10 held
        trace_requests down.trace
        zl down "$APP"
        end_trace
        grep -q 'ready.*web\.2' down.trace
        run ! grep drain down.trace
        stop_daemon
}

@test "endpoints: draining waits also for a connection that was led to the replica and has not arrived yet" {
        write_app one 2
        start_daemon
        run -0 zl up -d app.yaml
        wait_until 20 all_ready 2
        # While only the second is ready, a connection is led there. Its link carries 20 bytes in a millisecond and has a queue, so the first
        # packet arrives some 45 ms later, as on a machine whose processors are busy.
        python3 -c 'if True:
                import json, select, socket, subprocess, sys
                net, vip, address, link = sys.argv[1:]
                def ask(**request):
                        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                        s.connect(net); s.send(json.dumps(request).encode())
                        return s
                def answer(s):
                        got = json.loads(s.recv(1 << 16))
                        assert "error" not in got, got
                answer(ask(op="ready", name="shop.web.1", ready=False))
                subprocess.run(["tc", "qdisc", "add", "dev", link, "root", "tbf", "rate", "160kbit", "burst", "2000", "limit", "20000"],
                               check=True)
                junk = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                for _ in range(2):
                        junk.sendto(b"x" * 1400, (address, 9))
                c = socket.socket(); c.setblocking(False)
                c.connect_ex((vip, 80))
                # The first one again, so that there is somebody else; the change of rules comes while the packet is in the queue.
                answer(ask(op="ready", name="shop.web.1", ready=True))
                drain = ask(op="drain", name="shop.web.2", timeout=5000000000)
                assert select.select([], [c], [], 5)[1], "not connected"
                assert not select.select([drain], [], [], 0)[0], "drained before the connection arrived"
                c.settimeout(5); c.sendall(b"GET /cgi-bin/who HTTP/1.0\r\n\r\n")
                data = b""
                while part := c.recv(1000):
                        data += part
                assert b"web-rep-2.one" in data, data
                c.close(); answer(drain)' "$NET/net.sock" "$(vip)" "$(record_of "$APP.web.2" ipv4)" "$(record_of "$APP.web.2" link)"
        zl down "$APP"
        stop_daemon
}

@test "endpoints: a public one is at the host's addresses, too; what is not honoured is told" {
        write_app one 2
        sed -i 's/target_port: 8080}/target_port: 8080, expose: public, path: \/shop}/' app.yaml
        start_daemon
        run -0 zl up -d app.yaml
        wait_until 20 all_ready 2
        assert_match '^web-rep-[12]\.one$' "$(who 127.0.0.1)"
        assert_match '^web-rep-[12]\.one$' "$(who "$(vip)")"
        zl events --no-stream --after 0 --json | grep -q 'host, path, stream and tunnel are not honoured'
        background nc -lk -p 81
        listens() { ss -Hltn 'sport = :81' | grep -q .; } # a connection would make nc listen anew
        wait_until 10 listens
        sed -i "s/deployment: $APP/deployment: second/; s/port: 80,/port: 81,/" app.yaml
        # Of two replicas the one may fail while the other is being made; with one nothing is under way when the failure is told.
        local n
        for n in 2 1; do
                sed -i "s/replicas: [12]/replicas: $n/" app.yaml
                run -1 zl up -d app.yaml
                assert_match "endpoints: cannot have tcp port 81 of the host, nc \(process $ZL_BG\) has it: Address already in use"
        done
        zl down second || :
        zl down "$APP"
        stop_daemon
}

@test "endpoints: zlayer-net killed and rules flushed, the address stays what it was" {
        write_app one 2
        # The same port twice is one.
        sed -i 's/endpoints: \[/&{name: again, protocol: http, port: 80, target_port: 8080}, /' app.yaml
        start_daemon
        run -0 zl up -d app.yaml
        wait_until 20 all_ready 2
        local vip
        vip=$(vip)
        kill -KILL "$(fuser "$NET/lock" 2>/dev/null | tr -d ' ')"
        nft flush ruleset
        zl run --rm --network bridge bb true
        wait_until 10 who "$vip"
        assert_equal "$(vip)" "$vip"
        assert_equal "$(versions)" "web-rep-1.one web-rep-2.one"
        assert_equal "$(dig +short @"$(record_of "$APP.web.1" gateway4)" vip.web.service.local)" "$vip"
        zl scale "$APP" web=1
        wait_until 15 test ! -e "$NET/containers/$APP.web.2.json"
        assert_equal "$(versions)" "web-rep-1.one"
        zl down "$APP"
        stop_daemon
}

@test "endpoints: zlayer-net killed and one port taken meanwhile, all others are what they were" {
        write_app one 1
        sed -i 's/    health:/    port_mappings: [{container_port: 8080, host_port: 8101}, {container_port: 8080, host_port: 8102}]\n&/' app.yaml
        start_daemon
        run -0 zl up -d app.yaml
        wait_until 20 all_ready 1
        assert_equal "$(who 127.0.0.1:8101)" web-rep-1.one
        listens() { ss -Hltn 'sport = :8101' | grep -q .; } # a connection would make nc listen anew
        kill -KILL "$(net_pid)"
        wait_until 10 eval '! listens'
        background nc -lk -p 8101
        wait_until 10 listens
        zl run --rm --network bridge bb true
        assert_equal "$(who 127.0.0.1:8102)" web-rep-1.one
        assert_equal "$(who "$(record_of "$APP.web.1" gateway4):8102")" web-rep-1.one
        assert_equal "$(who "$(vip)")" web-rep-1.one
        assert_match "port_mappings: cannot have tcp port 8101 of the host, nc \(process $ZL_BG\) has it" "$(cat "$NET/log")"
        # Whoever has it keeps it, also where the kernel would lead it.
        assert_no_match '8101' "$(nft list ruleset)"
        zl down "$APP"
        stop_daemon
}

@test "endpoints: the metrics count the connections of each port, also over changes of who is behind it" {
        write_app one 2
        sed -i 's/    health:/    port_mappings: [{container_port: 8080, host_port: 8095}, {container_port: 53, host_port: 8096, protocol: udp}]\n&/' app.yaml
        start_daemon
        run -0 zl up -d app.yaml
        wait_until 20 all_ready 2
        count() { get /metrics | sed -n "s/^zlayer_port_connections_total{deployment=\"$APP\",service=\"web\",address=\"$1\",port=\"$2\",protocol=\"$3\"} //p"; }
        assert_equal "$(count '' 8095 tcp) $(count '' 8096 udp) $(count "$(vip)" 80 tcp)" '0 0 0'
        for _ in 1 2 3; do who "$(record_of "$APP.web.1" gateway4):8095" >/dev/null; who "$(vip)" >/dev/null; done
        who 127.0.0.1:8095 >/dev/null
        echo hello | nc -u -w 1 127.0.0.1 8096 || :
        echo hello | nc -u -w 1 "$(record_of "$APP.web.1" gateway4)" 8096 || :
        assert_equal "$(count '' 8095 tcp) $(count '' 8096 udp) $(count "$(vip)" 80 tcp)" '4 2 3'
        zl scale "$APP" web=1
        one_left() { [ ! -e "$NET/containers/$APP.web.2.json" ]; }
        wait_until 15 one_left
        who "$(vip)" >/dev/null
        assert_equal "$(count '' 8095 tcp) $(count "$(vip)" 80 tcp)" '4 4'
        # No counter is left behind by a port that is gone.
        zl down "$APP"
        zl run -d --name other --network bridge bb sleep 1000
        assert_no_match '8095' "$(nft list ruleset)"
        assert_equal "$(count '' 8095 tcp)" ''
        zl rm -f other
        stop_daemon
}

@test "endpoints: zlayer-net killed again and again under load, and no request is lost" {
        write_app one 2
        start_daemon
        run -0 zl up -d app.yaml
        wait_until 20 all_ready 2
        local vip load log
        vip=$(vip)
        begin_load "$vip"
        for _ in {1..5}; do
                kill -KILL "$(fuser "$NET/lock" 2>/dev/null | tr -d ' ')"
                zl run --rm --network bridge bb true
        done
        end_load
        zl down "$APP"
        stop_daemon
}

@test "endpoints: on the host's network the workload has them itself; what nobody would lead anywhere is refused" {
        write_app one 1 host
        sed -i 's/port: 80, target_port: 8080}/port: 8080}/' app.yaml
        start_daemon
        run -0 zl up -d app.yaml
        assert_no_match 'warning' "$output"
        wait_until 10 who 127.0.0.1:8080
        assert_no_match endpoints "$(zl events --no-stream --after 0 --json)"
        run zl scale "$APP" web=2
        [ "$status" -ne 0 ]
        assert_match "service web: endpoints: 2 replicas on the host's network cannot all have port 8080 of the host"
        assert_match 'hint: network_mode: bridge balances between replicas'
        # An update that is refused changes nothing.
        sed -i 's/replicas: 1/replicas: 3/; s/one/two/' app.yaml
        run zl up -d app.yaml
        [ "$status" -ne 0 ]
        assert_match '3 replicas'
        assert_match '\.one$' "$(who 127.0.0.1:8080)"
        zl down "$APP"
        # Also without a daemon, and before anything starts.
        stop_daemon
        write_app one 1 host
        run zl up -d app.yaml
        [ "$status" -ne 0 ]
        assert_match "service web: endpoints: web: on the host's network nothing leads from port 80 to port 8080"
        write_app one 1 none
        run zl up -d app.yaml
        [ "$status" -ne 0 ]
        assert_match 'service web: endpoints: web: with network_mode none nobody reaches it'
        write_app one 1 container:db
        run zl up -d app.yaml
        [ "$status" -ne 0 ]
        assert_match 'hint: give the endpoint to the service of db, whose network it is'
        assert_equal "$(zl ps -a --json)" '[]'
}

@test "endpoints: one of a workload that shares the network of another is had by that other's" {
        cat >app.yaml <<-END
		version: v1
		deployment: $APP
		services:
		  db:
		    image: {name: bb}
		    command: {entrypoint: [sleep, "1000"]}
		    endpoints: [{name: web, protocol: tcp, port: 80, target_port: 8080}]
		  web:
		    image: {name: bb}
		    network_mode: container:db
		    depends: [{service: db, condition: started}]
		    command: {entrypoint: [httpd, -f, -p, "8080", -h, /etc]}
		END
        start_daemon
        run -0 zl up -d app.yaml
        reached() { fetch "$(record_of "$APP.db.1" service4)"; }
        wait_until 20 reached
        assert_equal "$(reached)" "$(zl exec "$APP.web.1" hostname)"
        zl down "$APP"
        stop_daemon
}
