# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bats
# What published ports and balanced addresses carry, as the metrics tell it: traffic of known size, each way that it can take.

load lib
load daemon
load network

setup() { shop_setup; }
teardown() { net_teardown; }

# Servers of this machine in the network of a replica: by TCP they read to the end and answer 200000 bytes, by UDP 50.
serve_bytes() { # PID
        background nsenter -t "$1" -n python3 -c 'if True:
                import socket, threading
                def datagrams():
                        s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.bind(("::", 9001))
                        while True:
                                data, peer = s.recvfrom(1000); s.sendto(b"x" * 50, peer)
                threading.Thread(target=datagrams, daemon=True).start()
                def answer(c):
                        while c.recv(1 << 16):
                                pass
                        c.sendall(b"x" * 200000); c.close()
                s = socket.socket(socket.AF_INET6); s.bind(("::", 9000)); s.listen(100)
                while True:
                        threading.Thread(target=answer, args=(s.accept()[0],)).start()'
        listens() { nsenter -t "$1" -n ss -Hltun 'sport = :9000 or sport = :9001' | grep -c . | grep -q 2; }
        wait_until 20 listens "$1"
}
# 1000000 bytes there, 200000 back.
stream() { # ADDRESS PORT
        python3 -c 'if True:
                import socket, sys
                s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
                s.sendall(b"x" * 1000000); s.shutdown(socket.SHUT_WR)
                n = 0
                while data := s.recv(1 << 16):
                        n += len(data)
                assert n == 200000, n' "$@"
}
# Three datagrams of 100 bytes, three answers.
datagrams() { # ADDRESS PORT
        python3 -c 'if True:
                import socket, sys
                s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
                s.settimeout(5); s.connect((sys.argv[1], int(sys.argv[2])))
                for _ in range(3):
                        s.send(b"x" * 100); assert len(s.recv(1000)) == 50' "$@"
}
# "IN OUT IN_PACKETS OUT_PACKETS" of a port since the last time that it was asked for.
carried() { # ADDRESS PORT tcp|udp
        local labels="deployment=\"$APP\",service=\"web\",address=\"$1\",port=\"$2\",protocol=\"$3\"" name now=() out=() i
        get /metrics >metrics
        for name in receive_bytes transmit_bytes receive_packets transmit_packets; do
                now+=("$(sed -n "s/^zlayer_port_${name}_total{$labels} //p" metrics)")
        done
        last=(0 0 0 0)
        [ ! -e "last-$1-$2-$3" ] || read -ra last <"last-$1-$2-$3"
        for i in 0 1 2 3; do out+=($((now[i] - last[i]))); done
        echo "${now[*]}" >"last-$1-$2-$3"
        echo "${out[*]}"
}
# The bytes, with headers of packets or without, and nothing twice.
assert_stream() { # WHICH WAY, "IN OUT IN_PACKETS OUT_PACKETS"
        local n
        read -ra n <<<"$2"
        [ "${n[0]}" -ge 1000000 ] && [ "${n[0]}" -lt 1200000 ] && [ "${n[1]}" -ge 200000 ] && [ "${n[1]}" -lt 300000 ] &&
                [ "${n[2]}" -ge 5 ] && [ "${n[3]}" -ge 5 ] || fail "$1: $2"
}

@test "traffic: bytes and packets of each published port and balanced address are counted, both ways, whichever way they come" {
        make_world
        cat >app.yaml <<-END
		version: v1
		deployment: $APP
		services:
		  web:
		    image: {name: bb}
		    network_mode: bridge
		    command: {entrypoint: [sleep, "1000"]}
		    port_mappings:
		      - {container_port: 9000, host_port: 9000}
		      - {container_port: 9001, host_port: 9001, protocol: udp}
		      - {container_port: 9000, host_port: 9002, host_ip: 192.0.2.1}
		    endpoints: [{name: bytes, protocol: tcp, port: 9000}]
		  other: {image: {name: bb}, network_mode: bridge, command: {entrypoint: [sleep, "1000"]}}
		END
        start_daemon
        run -0 zl up -d app.yaml
        replicas() { [ "$(running_pids | tr , '\n' | grep -c .)" = 2 ]; }
        wait_until 20 replicas
        local web other host vip way chain table
        web=$(zl ps --json | jq '.[] | select(.name == "shop.web.1").pid')
        other=$(zl ps --json | jq '.[] | select(.name == "shop.other.1").pid')
        host=$(record_of shop.web.1 gateway4) vip=$(record_of shop.web.1 service4)
        serve_bytes "$web"
        for port in ' 9000 tcp' ' 9001 udp' '192.0.2.1 9002 tcp' "$vip 9000 tcp"; do
                assert_equal "$(carried "${port%% *}" ${port#* })" '0 0 0 0'
        done
        # All that the host itself sends and gets passes here: nobody looks into the map for what is led nowhere.
        table=$(nft list tables | awk '/zlayer/ { print $3 }')
        for chain in count-input count-output forward; do
                assert_match '^[[:space:]]*ct status dnat counter name' "$(nft list chain inet "$table" "$chain" | grep @counts)"
        done
        # From outside, by both families; from a neighbour, the host, and the container itself; over the loopback.
        in_other() { nsenter -t "$other" -n "$@"; }
        in_web() { nsenter -t "$web" -n "$@"; }
        export -f stream datagrams
        for way in "world 192.0.2.1" "world 2001:db8::1" "in_other $host" "in_web $host" "env $host" "env 127.0.0.1" "env ::1"; do
                ${way% *} bash -c "stream ${way#* } 9000"
                assert_stream "$way" "$(carried '' 9000 tcp)"
                ${way% *} bash -c "datagrams ${way#* } 9001"
                # A datagram has a header of 28 or 48 bytes; what the relay carries has none.
                case $way in
                env\ 127* | env\ ::1) assert_equal "$way: $(carried '' 9001 udp)" "$way: 300 150 3 3" ;;
                *2001*) assert_equal "$way: $(carried '' 9001 udp)" "$way: 444 294 3 3" ;;
                *) assert_equal "$way: $(carried '' 9001 udp)" "$way: 384 234 3 3" ;;
                esac
        done
        # What the relay carries is counted to the byte.
        stream 127.0.0.1 9000
        assert_match '^1000000 200000 ' "$(carried '' 9000 tcp)"
        # One address, and a balanced one whose port is the same as the published.
        world bash -c 'stream 192.0.2.1 9002'
        assert_stream 'one address' "$(carried 192.0.2.1 9002 tcp)"
        for way in in_other in_web env; do
                $way bash -c "stream $vip 9000"
                assert_stream "balanced, $way" "$(carried "$vip" 9000 tcp)"
        done
        # None of these was taken for another.
        assert_equal "$(carried '' 9000 tcp) $(carried '' 9001 udp) $(carried 192.0.2.1 9002 tcp) $(carried "$vip" 9000 tcp)" \
                '0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0'
        # What a container fetches itself, and what others lead to the same port elsewhere, is no port's.
        in_other bash -c "stream $(record_of shop.web.1 ipv4) 9000"
        nft 'add table ip theirs; add chain ip theirs out { type nat hook output priority -50; }; add rule ip theirs out ip daddr 198.51.100.1 dnat to 192.0.2.2'
        background nsenter -t "$WORLD" -n nc -l -p 9000
        world_listens() { world ss -Hltn 'sport = :9000' | grep -q .; }
        wait_until 10 world_listens
        echo hello | nc -N -w 5 198.51.100.1 9000
        nft delete table ip theirs
        assert_equal "$(carried '' 9000 tcp)" '0 0 0 0'
        # A connection of the relay that lasts is counted while it lasts, and is let go by its port's end.
        background bash -c 'exec 5<>/dev/tcp/127.0.0.1/9000; echo hello >&5; sleep 1000'
        hello() { [ "$(carried '' 9000 tcp | cut -d' ' -f1)" = 6 ]; }
        wait_until 10 hello
        zl down "$APP"
        kill "$ZL_BG"
        stop_daemon
}
