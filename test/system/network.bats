# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bats
# Networks of native containers with real clients: container to container, to the host, to the world outside and back, and what is
# left when zlayer-net or a container is killed. The world outside is a network namespace behind a link of this one.

load lib
load network

setup() { net_setup; }
teardown() {
        net_remove_all
        [ -z "$WORLD" ] || ip link del uplink
        zl_teardown
}

@test "containers of a network reach each other and are reached by the host, by IPv4 and IPv6, and are in no other network" {
        import_busybox
        serve a bridge
        serve b bridge
        serve c bridge:other
        local a b c
        a=$(address_of a) b=$(address_of b) c=$(address_of c)
        eventually inside_fetch a "$b"
        eventually inside_fetch b "$(address_of a ipv6)"
        eventually fetch "$a"
        eventually fetch "[$(address_of b ipv6)]"
        eventually fetch "$c"
        assert_equal "$(fetch "$a")" a-rep-1
        assert_equal "$(inside_fetch a "$b")" b-rep-1
        # Its own name leads to its address, and the file says so.
        run inside a cat /etc/hosts
        assert_match "$a"$'\t'"a-rep-1"
        run inside a ping -c 1 -W 5 a-rep-1
        assert_match "$a"
        # Another network is another world.
        run inside_fetch a "$c"
        [ "$status" -ne 0 ] || fail "a reaches c: $output"
        run zl ps --json
        assert_equal "$(jq -r '.[] | select(.name == "run.a.1").ip' <<<"$output")" "$a"
}

# Neighbours heard ten packets of each start, so that the thousandth was work for a thousand: questions for routers, which nobody answers,
# and whether anybody has the address, which is ours to know.
@test "a container neither asks for routers nor believes them, and its neighbours hear little of its start" {
        import_busybox
        serve a bridge
        local heard link
        heard() { inside a cat /sys/class/net/eth0/statistics/rx_packets; }
        eventually inside_fetch a "$(address_of a)"
        sleep 2
        heard=$(heard)
        run -0 zl run --rm --network bridge bb sh -c 'cat /proc/sys/net/ipv6/conf/eth0/accept_ra /proc/sys/net/ipv6/conf/eth0/accept_dad
                ip -6 addr show dev eth0; sleep 5'
        assert_equal "${lines[0]} ${lines[1]}" "0 0"
        assert_match 'fe80::'
        assert_no_match tentative
        heard=$(($(heard) - heard))
        [ "$heard" -le 6 ] || fail "$heard packets"
        link=$(ip -o link show type veth | grep -o 'zv[^@]*')
        assert_equal "$(ip -6 addr show dev "$link")" ""
}

@test "addresses, routes and names are there before the command runs" {
        import_busybox
        run zl run --rm --network bridge bb sh -c 'ip -4 addr show dev eth0; ip route; grep rep-1 /etc/hosts; ip addr show lo'
        assert_status 0
        assert_match 'inet 10\.208\.0\.2/20'
        assert_match 'default via 10\.208\.0\.1 dev eth0'
        assert_match '10\.208\.0\.2.[a-z0-9-]*-rep-1'
        assert_match '127.0.0.1/8'
}

@test "the world outside is reached under the host's address and comes in by no other way than a published port" {
        make_world
        import_busybox
        serve a bridge
        local a
        a=$(address_of a)
        background nsenter -t "$WORLD" -n python3 -c 'if True:
                import http.server, socket
                class Handler(http.server.BaseHTTPRequestHandler):
                        def do_GET(self):
                                self.send_response(200); self.end_headers()
                                self.wfile.write(self.client_address[0].encode() + b"\n")
                class Server(http.server.ThreadingHTTPServer):
                        address_family = socket.AF_INET6
                Server(("::", 80), Handler).serve_forever()'
        eventually inside_fetch a 192.0.2.2
        assert_equal "$(inside_fetch a 192.0.2.2)" "::ffff:192.0.2.1"
        assert_equal "$(inside_fetch a 2001:db8::2)" "2001:db8::1"
        world ip route add 10.208.0.0/12 via 192.0.2.1
        run world curl -sS --max-time 1 "http://$a/hostname"
        [ "$status" -ne 0 ] || fail "the world comes in: $output"
}

@test "a job and a cron job are in the network of their deployment, and the MTU is that of the uplink" {
        make_world
        ip link set uplink mtu 1400
        import_busybox
        cat >app.yaml <<'END'
version: v1
deployment: shop
services:
  web: {image: {name: bb}, network_mode: bridge, command: {entrypoint: [httpd, -f, -p, "80", -h, /etc]},
        health: {interval: 100ms, check: {type: tcp, port: 80}}}
  once: {image: {name: bb}, network_mode: bridge, rtype: job, depends: [{service: web, condition: healthy}],
         command: {entrypoint: [sh, -c, "wget -qO- http://web/hostname; cat /sys/class/net/eth0/mtu"]}}
  tick: {image: {name: bb}, network_mode: bridge, rtype: cron, schedule: "* * * * * *", depends: [{service: web, condition: healthy}],
         command: {entrypoint: [wget, -qO-, "http://web/hostname"]}}
END
        background "$ZL_AGENT" up app.yaml
        said() { [ "$(zl job logs "$1" | tr '\n' ' ')" = "$2 " ]; }
        wait_until 40 said shop.once "web-rep-1 1400"
        # By then it may have run more than once; the lines of several have their names in front.
        ticked() { zl job logs shop.tick | grep -q 'web-rep-1$'; }
        wait_until 40 ticked
        kill -TERM "$ZL_BG"
        wait_until 40 running 0
}

@test "an end, also by kill -9, releases the address and the last one takes bridge and table along" {
        import_busybox
        local pid link
        zl run -d --name a --network bridge bb sleep 1000
        zl run -d --name b --network bridge bb sleep 1000
        link=$(jq -r .link "$NET/containers/run.a.1.json")
        has_link "$link"
        pid=$(zl ps --json | jq '.[] | select(.name == "run.a.1").pid')
        kill -KILL "$pid"
        wait_until 10 test ! -e "$NET/containers/run.a.1.json"
        wait_until 10 no_link "$link"
        [ -e "$NET/containers/run.b.1.json" ]
        nft list ruleset | grep -q 'table inet zlayer-'
        zl rm -f b
        wait_until 10 net_is_gone
        assert_equal "$(nft list ruleset)" ""
        assert_equal "$(ls "$NET/networks" "$NET/containers" | grep json || :)" ""
}

@test "zlayer-net killed with containers running: they go on, the next start knows them, and what ended meanwhile is released" {
        import_busybox
        serve a bridge
        serve b bridge
        serve c bridge
        local a b pid
        a=$(address_of a) b=$(address_of b)
        eventually inside_fetch a "$b"
        kill -KILL "$(net_pid)"
        inside_fetch a "$b"
        pid=$(zl ps --json | jq '.[] | select(.name == "run.c.1").pid')
        kill -KILL "$pid"
        # Stale things of a crashed run, and rules that somebody destroyed.
        ip link add "$(jq -r .link "$NET/containers/run.c.1.json" | cut -c1-7)dead00" type bridge
        nft flush ruleset
        serve d bridge
        eventually inside_fetch d "$a"
        assert_equal "$(address_of a)" "$a"
        assert_no_match "^($a|$b)\$" "$(address_of d)"
        wait_until 10 test ! -e "$NET/containers/run.c.1.json"
        nft list ruleset | grep -q 'masquerade'
        has_links() { [ "$(ip -br link | grep -c '^zv')" = "$1" ]; }
        wait_until 10 has_links 3 # the kernel takes that of c apart in its own time
        assert_no_match dead00 "$(ip -br link)"
}

@test "a network whose process and last container were both killed is whole for the next container" {
        import_busybox
        local pid
        zl run -d --name a --network bridge bb sleep 1000 >/dev/null
        pid=$(zl ps --json | jq '.[] | select(.name == "run.a.1").pid')
        kill -KILL "$(net_pid)"
        kill -KILL "$pid"
        wait_until 10 has_ended "$pid"
        serve b bridge
        eventually fetch "$(address_of b)"
        assert_equal "$(address_of b resolver)" "$(address_of b gateway4)"
        is_only_link() { [ "$(ip -br link | sed -n 's/^\(zv[^@ ]*\).*/\1/p')" = "$1" ]; }
        wait_until 10 is_only_link "$(jq -r .link "$NET/containers/run.b.1.json")"
}

@test "killed at any instant: nothing is leaked after the next start" {
        import_busybox
        local i pid
        for i in {1..12}; do
                zl run -d --name "k$i" --network bridge bb sleep 1000 >/dev/null 2>&1 &
                # Somewhere between the first step and the last.
                sleep "0.0$((RANDOM % 6))"
                pid=$(net_pid)
                [ -z "$pid" ] || kill -KILL "$pid" || :
                wait $! || :
                [ $((i % 3)) != 0 ] || zl rm -f "k$((i - 1))" >/dev/null 2>&1 || :
        done
        zl run -d --name last --network bridge bb sleep 1000 >/dev/null
        # What was killed in the middle may be about to be taken apart.
        as_many() {
                links=$(ip -br link | grep -c '^zv')
                records=$(ls "$NET/containers" | grep -c 'json$')
                addresses=$(zl ps --json | jq -r '.[] | select(.ip != null).ip' | sort -u | wc -l)
                [ "$links" = "$records" ] && [ "$addresses" = "$records" ]
        }
        wait_until 10 as_many || fail "$links links, $records records, $addresses addresses"
}

@test "the pool: a subnet that the host uses is left out, an exhausted one is a clear error that leaves nothing" {
        import_busybox
        export ZLAYER_NETWORK_POOL=10.20.0.0/19
        ip link add taken type bridge
        ip addr add 10.20.3.1/24 dev taken
        ip link set taken up
        serve a bridge
        assert_match '^10\.20\.16\.' "$(address_of a)"
        run zl run -d --name b --network bridge:second bb sleep 1000
        assert_status 125
        assert_match "network second: no subnet is left"
        assert_match "ZLAYER_NETWORK_POOL"
        run zl ps -a --json
        assert_equal "$(jq length <<<"$output")" 1
        ip link del taken
        zl run -d --name b --network bridge:second bb sleep 1000
        assert_match '^10\.20\.0\.' "$(address_of b)"
        export ZLAYER_NETWORK_POOL=nonsense
        zl rm -f a b
        wait_until 10 net_is_gone
        run zl run --name c --network bridge bb true
        assert_status 2
        assert_match 'ZLAYER_NETWORK_POOL: "nonsense"'
}

@test "a name that is no network, and a service in a deployment's own network" {
        import_busybox
        run zl run --name x --network bridge:../x bb true
        assert_status 2
        assert_match 'network_mode: "../x" is not the name of a network'
        cat >app.yaml <<'END'
version: v1
deployment: shop
services:
  web: {image: {name: bb}, network_mode: bridge, command: {entrypoint: [sleep, "1000"]}, scale: {mode: fixed, replicas: 2}}
  db: {image: {name: bb}, network_mode: "bridge:shop_default", command: {entrypoint: [sleep, "1000"]},
       extra_hosts: ["gw:host-gateway"]}
END
        background "$ZL_AGENT" up app.yaml
        wait_until 40 test -e "$NET/containers/shop.web.2.json" -a -e "$NET/containers/shop.db.1.json"
        wait_until 20 running 3
        assert_equal "$(ls "$NET/networks")" shop_default.json
        run zl exec shop.db.1 cat /etc/hosts
        assert_match $'10.208.0.1\tgw'
        zl exec shop.db.1 ping -c 1 -W 5 "$(jq -r .ipv4 "$NET/containers/shop.web.2.json")"
        kill -TERM "$ZL_BG"
        wait_until 40 running 0
}
running() { [ "$(zl ps --json | jq '[.[] | select(.state == "running")] | length')" = "$1" ]; }

@test "without a word on the network: what is published is on a bridge, its deployment with it, and all else has a loopback" {
        import_busybox
        zl run -d --name p -p 8080:80 bb httpd -f -p 80 -h /etc >/dev/null
        eventually fetch 127.0.0.1:8080
        assert_equal "$(fetch 127.0.0.1:8080)" p-rep-1
        assert_equal "$(zl run --rm bb ls /sys/class/net)" lo
        assert_equal "$(zl run --rm --network none -p 8081:80 bb ls /sys/class/net 2>err)" lo
        grep -q 'port_mappings: ports are published on a bridge only' err
        cat >app.yaml <<'END'
version: v1
deployment: shop
services:
  web: {image: {name: bb}, endpoints: [{name: web, protocol: http, port: 80}], command: {entrypoint: [httpd, -f, -p, "80", -h, /etc]}}
  client: {image: {name: bb}, command: {entrypoint: [sleep, "1000"]}}
  alone: {image: {name: bb}, network_mode: none, command: {entrypoint: [sleep, "1000"]}}
END
        background "$ZL_AGENT" up app.yaml
        wait_until 20 running 4
        wait_until 20 reads_web
        assert_equal "$(zl exec shop.alone.1 ls /sys/class/net)" lo
        kill -TERM "$ZL_BG"
        wait_until 40 running 1
}
reads_web() { zl exec shop.client.1 wget -q -O - http://web.service.local/hostname | grep web-rep-1; }

ask() { dig +short "@$gateway" "$1" "$2"; } # TYPE NAME; of the first network

# --- published ports ---------------------------------------------------------------------------------

@test "a published port is reached from outside, by the host, over loopback, by a neighbour and by itself" {
        make_world
        import_busybox
        serve a bridge -p 8080:80
        serve b bridge
        eventually fetch 192.0.2.1:8080
        assert_equal "$(fetch 192.0.2.1:8080)" a-rep-1
        assert_equal "$(fetch 127.0.0.1:8080)" a-rep-1
        assert_equal "$(fetch '[::1]:8080')" a-rep-1
        assert_equal "$(fetch '[2001:db8::1]:8080')" a-rep-1
        assert_equal "$(world curl -sS --max-time 5 http://192.0.2.1:8080/hostname)" a-rep-1
        assert_equal "$(world curl -sS --max-time 5 'http://[2001:db8::1]:8080/hostname')" a-rep-1
        assert_equal "$(inside_fetch b 192.0.2.1 8080)" a-rep-1
        assert_equal "$(inside_fetch a 192.0.2.1 8080)" a-rep-1
        assert_equal "$(inside_fetch b "$(address_of b gateway4)" 8080)" a-rep-1
        zl ps --json | jq -e '.[] | select(.name == "run.a.1").ports | length > 0'
        zl rm -f a >/dev/null
        run fetch 127.0.0.1:8080
        [ "$status" -ne 0 ]
        assert_equal "$(nft list ruleset | grep -c 8080)" 0
}

@test "ports: a taken one is refused before anything starts, an ephemeral one is told, one address only" {
        import_busybox
        serve a bridge -p 127.0.0.1:8081:80 -p 80
        eventually fetch 127.0.0.1:8081
        local port
        port=$(jq '.ports[1].host' "$NET/containers/run.a.1.json")
        [ "$port" -gt 1023 ]
        assert_equal "$(fetch "127.0.0.1:$port")" a-rep-1
        run zl run -d --name b --network bridge -p 127.0.0.1:8081:80 bb sleep 1000
        [ "$status" -ne 0 ]
        assert_match 'port_mappings: tcp port 8081 of the host is published by run.a'
        background nc -lk -p 8082
        listens() { ss -Hltn 'sport = :8082' | grep -q .; } # a connection would make nc listen anew
        eventually listens
        run zl run -d --name b --network bridge -p 8082:80 bb sleep 1000
        [ "$status" -ne 0 ]
        assert_match "port_mappings: cannot have tcp port 8082 of the host, nc \(process $ZL_BG\) has it: Address already in use"
        run zl ps -a --json
        assert_equal "$(jq length <<<"$output")" 1
}

@test "rules that somebody flushed are made again, and a published port works on" {
        import_busybox
        serve a bridge -p 8086:80
        local gateway
        gateway=$(address_of a gateway4)
        eventually fetch "$gateway:8086"
        nft flush ruleset
        rules_are_back() { nft list ruleset | grep -q 'tcp . 8086 : goto to-tcp-8086'; }
        wait_until 10 rules_are_back
        assert_equal "$(fetch "$gateway:8086")" a-rep-1
        nft list ruleset | grep -q masquerade
        grep -q 'somebody removed our table' "$NET/log"
        # Once, not for ever: what it does itself does not count.
        [ "$(grep -c 'somebody removed' "$NET/log")" = 1 ]
}

@test "a port published by udp leads datagrams in, and the answers out" {
        import_busybox
        zl run -d --name u --network bridge -p 8083:9/udp bb sleep 1000 >/dev/null
        local pid before
        pid=$(zl ps --json | jq '.[] | select(.name == "run.u.1").pid')
        # A server of this machine, in the container's network.
        background nsenter -t "$pid" -n python3 -c 'if True:
                import socket
                s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.bind(("::", 9))
                while True:
                        data, peer = s.recvfrom(100); s.sendto(b"got " + data, peer)'
        answered() { [ "$(echo hello | nc -u -w 1 "$(address_of u gateway4)" 8083)" = "got hello" ]; }
        eventually answered
        # Over the loopback, by both families, and from the address that was asked.
        asked() { # ADDRESS
                python3 -c 'if True:
                        import socket, sys
                        s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
                        s.settimeout(3); s.connect((sys.argv[1], 8083))
                        for i in range(3):
                                s.send(b"%d" % i); assert s.recv(100) == b"got %d" % i' "$1"
        }
        asked 127.0.0.1
        asked 127.0.0.9
        asked ::1
        zl run -d --name l --network bridge -p 127.0.0.1:8087:9/udp bb sleep 1000
        # As many clients at once as there are, each gets its own answers; and there is no memory to be had for each datagram.
        faults() { awk '{ print $10 }' "/proc/$(net_pid)/stat"; }
        before=$(faults)
        python3 -c 'if True:
                import socket
                clients = []
                for i in range(300):
                        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.connect(("127.0.0.1", 8083)); clients.append(s)
                for n in range(3):
                        for i, s in enumerate(clients):
                                s.send(b"%d.%d" % (i, n)); assert s.recv(100) == b"got %d.%d" % (i, n)'
        [ $(($(faults) - before)) -lt 500 ] || fail "$(($(faults) - before)) page faults"
}

@test "ranges of ports" {
        import_busybox
        serve a bridge -p 8100-8102:80-82 -p 127.0.0.1:8110-8111:80-81/udp
        eventually fetch 127.0.0.1:8100
        assert_equal "$(jq -c '[.ports[] | [.host, .container, .udp]]' "$NET/containers/run.a.1.json")" \
                '[[8100,80,false],[8101,81,false],[8102,82,false],[8110,80,true],[8111,81,true]]'
        run zl run -d --name b --network bridge -p 8102-8103:80-81 bb sleep 1000
        assert_status 125
        assert_match 'tcp port 8102 of the host is published by run.a'
}

@test "a connection over loopback carries a lot in both directions, and an end of input" {
        import_busybox
        zl run -d --name a --network bridge -p 8084:80 bb sh -c 'while :; do nc -l -p 80 -e cat; done' >/dev/null
        head -c 20000000 /dev/urandom >data
        echoed() { nc -N -w 20 127.0.0.1 8084 <data >back && cmp data back; }
        eventually echoed
}

@test "much over loopback goes through pipes, and without descriptors for these as well" {
        import_busybox
        zl run -d --name cat --network bridge -p 8084:80 bb nc -ll -p 80 -e cat >/dev/null
        # Sends a lot while it reads nothing, so pipes are full; says how many ends zlayer-net has; then reads all. So many others hold relays meanwhile.
        much() {
                python3 -c 'if True:
                        import glob, os, socket, sys, threading, time
                        connect = lambda: socket.create_connection(("127.0.0.1", 8084), timeout=20)
                        held = [connect() for _ in range(int(sys.argv[2]))]
                        c, data, back = connect(), os.urandom(20000000), b""
                        for s in held + [c]:
                                s.send(b"x")
                                assert s.recv(1) == b"x"
                        sender = threading.Thread(target=lambda: (c.sendall(data), c.shutdown(socket.SHUT_WR)))
                        sender.start()
                        time.sleep(1)
                        print(sum(os.readlink(f).startswith("pipe:") for f in glob.glob(f"/proc/{sys.argv[1]}/fd/*")))
                        while piece := c.recv(1 << 20):
                                back += piece
                        sender.join()
                        assert back == data' "$(net_pid)" "$1"
        }
        echoes() { [ "$(printf x | nc -N -w 5 127.0.0.1 8084)" = x ]; }
        eventually echoes
        prlimit --pid "$(net_pid)" --nofile=64:
        assert_equal "$(much 15)" 0
        prlimit --pid "$(net_pid)" --nofile=1024:
        [ "$(much 0)" -ge 2 ]
}

@test "over loopback what is sent in pieces does not wait for acknowledgements" {
        import_busybox
        zl run -d --name lines --network bridge -p 8088:80 bb nc -ll -p 80 -e sh -c 'while read -r line; do echo "$line"; done' >/dev/null
        # Each line in two pieces; the answer comes at the end of the line, so nothing goes back that could carry an acknowledgement.
        half_lines() {
                python3 -c 'if True:
                        import socket, time
                        c = socket.create_connection(("127.0.0.1", 8088), timeout=5)
                        c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        spent = []
                        for _ in range(21):
                                begin = time.monotonic()
                                c.send(b"a")
                                time.sleep(0.001)
                                c.send(b"\n")
                                assert c.recv(2) == b"a\n"
                                spent.append(time.monotonic() - begin)
                        print(int(sorted(spent)[10] * 1000))'
        }
        eventually half_lines
        local spent
        spent=$(half_lines)
        [ "$spent" -lt 30 ] || fail "$spent ms"
}

@test "over loopback nothing is paced, whatever the host's default" {
        import_busybox
        zl run -d --name cat --network bridge -p 8088:80 bb nc -ll -p 80 -e cat >/dev/null
        held() {
                python3 -c 'if True:
                        import socket, subprocess
                        c = socket.create_connection(("127.0.0.1", 8088), timeout=5)
                        c.send(b"a")
                        assert c.recv(1) == b"a"
                        for side in ("sport = :8088", "dport = :80"):
                                print(subprocess.check_output(["ss", "-tniHO", "state", "established", side], text=True).strip())'
        }
        eventually held
        held >sockets
        cat sockets
        assert_equal "$(grep -cw reno sockets)" 2
}

@test "a relay goes to the family that the server listens on, whichever the client comes by" {
        import_busybox
        zl run -d --name four --network bridge -p 8089:80 bb httpd -f -p 0.0.0.0:80 -h /etc >/dev/null
        zl run -d --name six --network bridge -p 8090:80 bb httpd -f -p "[::]:80" -h /etc >/dev/null
        eventually fetch 127.0.0.1:8089
        assert_equal "$(fetch '[::1]:8089')" four-rep-1
        eventually fetch '[::1]:8090'
        assert_equal "$(fetch 127.0.0.1:8090)" six-rep-1
}

@test "without descriptors left connections wait, zlayer-net does not spin, and containers still come and go" {
        import_busybox
        serve a bridge -p 8088:80
        eventually fetch 127.0.0.1:8088
        local pid before holder
        pid=$(net_pid)
        prlimit --pid "$pid" --nofile=64:64
        # More than there is room for; each says nothing and stays.
        background python3 -c 'if True:
                import socket, time
                held = [socket.create_connection(("127.0.0.1", 8088)) for _ in range(60)]
                time.sleep(1000)'
        holder=$ZL_BG
        files() { ls "/proc/$pid/fd" | wc -l; }
        some() { [ "$(files)" -gt 40 ]; }
        wait_until 10 some
        ticks() { awk '{ print $14 + $15 }' "/proc/$pid/stat"; }
        before=$(ticks)
        sleep 1
        [ $(($(ticks) - before)) -lt 20 ] || fail "$(($(ticks) - before)) ticks of a second of waiting"
        [ "$(files)" -lt 64 ]
        local held
        held=$(files)
        zl run --rm --network bridge bb true
        only_held() { [ "$(files)" = "$held" ]; } # what that one needed is closed
        wait_until 10 only_held
        # Requests, too: without any descriptor they wait, and are taken when there is one.
        prlimit --pid "$pid" --nofile="$held"
        background zl run --name late --network bridge bb true
        before=$(ticks)
        sleep 1
        [ $(($(ticks) - before)) -lt 20 ] || fail "$(($(ticks) - before)) ticks of a second without a descriptor"
        kill -0 "$ZL_BG"
        kill -TERM "$holder"
        wait "$ZL_BG"
        eventually fetch 127.0.0.1:8088
}

@test "replicas of a service share a port" {
        import_busybox
        cat >app.yaml <<'END'
version: v1
deployment: shop
services:
  web:
    image: {name: bb}
    network_mode: bridge
    command: {entrypoint: [httpd, -f, -p, "80", -h, /etc]}
    scale: {mode: fixed, replicas: 2}
    port_mappings: [{container_port: 80, host_port: 8085}]
END
        background "$ZL_AGENT" up app.yaml
        both() {
                local got
                got=$(for _ in {1..20}; do fetch "$(jq -r .gateway4 "$NET/containers/shop.web.1.json"):8085"; done | sort -u | tr '\n' ' ')
                [ "$got" = "web-rep-1 web-rep-2 " ]
        }
        wait_until 40 both
        assert_equal "$(jq .ready "$NET/containers/shop.web.2.json")" true
        local gateway
        gateway=$(jq -r .gateway4 "$NET/containers/shop.web.1.json")
        assert_equal "$(ask A web | wc -l)" 2
        kill -TERM "$ZL_BG"
        wait_until 40 running 0
}

# --- networks by hand ------------------------------------------------------------------------------------

@test "network create, ls, inspect, rm, prune: a network stays until it is removed, and has its subnet again" {
        import_busybox
        run -0 zl network create lan office
        assert_output $'lan\noffice'
        run -1 zl network create lan
        assert_match 'there is a network lan already'
        run -2 zl network create ../x
        assert_match 'cannot be the name of a network'
        run -0 zl network ls
        assert_match 'lan +10\.208\.0\.0/20'
        assert_match 'office +10\.208\.16\.0/20'
        serve a bridge:office --network-alias files --network-alias store
        serve b bridge:office
        serve c bridge
        run -0 zl network inspect office
        jq -e --arg ip "$(address_of a)" '.[0] | .subnet4 == "10.208.16.0/20" and .kept and .containers[0] ==
                {name: "run.a.1", ipv4: $ip, ipv6: .containers[0].ipv6} and (.containers | length) == 2' <<<"$output"
        # One that a container asked for is there as long as it.
        assert_equal "$(zl network ls --json | jq -r '[.[] | "\(.name) \(.kept) \(.containers | length)"] | join(", ")')" \
                'default false 1, lan true 0, office true 2'
        run -1 zl network rm office nobody
        assert_match 'network office is used by run.(a.1, run.b|b.1, run.a).1'
        assert_match 'there is no network nobody'
        # Aliases lead to the container, and belong to one service only.
        eventually inside b wget -qO- http://files/hostname
        assert_equal "$(inside b wget -qO- http://files/hostname)" a-rep-1
        inside b nslookup store.service.local | grep -q "$(address_of a)"
        run zl run -d --name d --network bridge:office --network-alias files bb sleep 1000
        assert_status 125
        assert_match 'network alias: "files" is the name of run.a.1 in the network office already'
        run zl run -d --name files --network bridge:office bb sleep 1000
        assert_status 125
        run zl run -d --name d --network bridge:office --network-alias 'no good' bb sleep 1000
        assert_status 2
        assert_match 'network alias: "no good" is no host name'
        zl run -d --name d --network bridge:lan --network-alias files bb sleep 1000
        zl rm -f a b c d
        wait_until 10 net_is_gone
        # Also the next life of everything, as after a restart of the machine.
        rm -r "$NET"
        assert_equal "$(zl network ls --json | jq -r '[.[].name] | join(" ")')" 'lan office'
        zl run -d --name e --network bridge:third bb sleep 1000
        zl run -d --name f --network bridge:office bb sleep 1000
        assert_match '^10\.208\.16\.' "$(address_of f)"
        assert_no_match '^10\.208\.(0|16)\.' "$(address_of e)"
        assert_equal "$(zl network prune)" lan
        zl rm -f e f
        wait_until 10 net_is_gone
        assert_equal "$(zl network prune)" office
        assert_equal "$(zl network ls --json)" '[]'
}

@test "a network without a hand in it gets its subnet again, too, and gives way when the pool has no other" {
        import_busybox
        export ZLAYER_NETWORK_POOL=10.20.0.0/19
        local name
        once() { zl run --rm --network "bridge:$1" bb ip -4 addr show dev eth0 | sed -n 's|.*inet \([0-9.]*\).*|\1|p'; }
        assert_equal "$(once one)" 10.20.0.2
        assert_equal "$(once two)" 10.20.16.2
        wait_until 10 net_is_gone
        assert_equal "$(once two)" 10.20.16.2
        wait_until 10 net_is_gone
        assert_equal "$(once three)" 10.20.0.2
        zl network create kept
        wait_until 10 net_is_gone
        assert_equal "$(once four)" 10.20.0.2
        run -1 zl network create more
        assert_match 'no subnet is left'
        zl network prune
}

@test "network_mode container: a container that is not there, or does not run, is refused with its name" {
        import_busybox
        run zl run --name x --network container:nobody bb true
        assert_status 125
        assert_match 'network_mode: .*run.nobody.1'
        zl run --name ended --network bridge bb true
        run zl run --name x --network container:ended bb true
        assert_status 125
        assert_match 'network_mode: run.ended.1 does not run'
        run zl run --name x --network container: bb true
        assert_status 2
        serve a bridge
        zl run --rm --network container:a bb ip -4 addr show dev eth0 | grep -q "$(address_of a)"
}

# --- restricted hosts ------------------------------------------------------------------------------------

@test "without CAP_NET_ADMIN the error says so, nothing stays, and the host's network works" {
        import_busybox
        without() { setpriv --bounding-set=-net_admin --inh-caps=-net_admin "$ZL_AGENT" "$@"; }
        run without run --rm --network bridge bb true
        assert_status 125
        assert_match 'loopback interface: Operation not permitted'
        assert_match 'hint: a network of its own needs CAP_NET_ADMIN, which this process does not have'
        run -1 without network create lan
        assert_match 'hint: networks need CAP_NET_ADMIN, which this process does not have'
        run -0 without run --rm --network host bb ip link
        assert_match 'lo:'
        run -0 without info
        assert_match "network +the host's only: networks need CAP_NET_ADMIN, which this process does not have"
        run -0 zl info --json
        assert_equal "$(jq -c .network.available,.network.way <<<"$output")" $'true\n"bridge"'
        # A daemon starts, says so, and looks after who does not need it.
        background setpriv --bounding-set=-net_admin --inh-caps=-net_admin "$ZL_AGENT" serve
        wait_until 20 test -S "$ZLAYER_RUNTIME_DIR/agent.sock"
        wait_until 10 grep -q "the host's network only: networks need CAP_NET_ADMIN" "$ZL_BG_LOG"
        printf '%s\n' 'version: v1' 'deployment: app' 'services:' \
                '  web: {image: {name: bb}, network_mode: host, command: {entrypoint: [sleep, "1000"]}}' >"$ZL_DIR/app.yaml"
        run -0 zl up -d "$ZL_DIR/app.yaml"
        wait_until 20 app_runs
        run -0 curl -sS --unix-socket "$ZLAYER_RUNTIME_DIR/agent.sock" http://x/v1/info
        assert_equal "$(jq -c .network.available,.network.way <<<"$output")" $'false\nnull'
        run -0 zl down app
        kill "$ZL_BG"
        run -0 zl ps -a --json
        assert_equal "$output" '[]'
        assert_equal "$(zl network ls --json)" '[]'
}
app_runs() { [ "$(zl ps --json | jq -r '.[0].state')" = running ]; }
