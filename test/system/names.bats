#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The name server with real clients (dig, dnsperf, the resolvers of glibc and busybox) and a real resolver behind it (dnsmasq).
load lib

SERVER=127.0.0.1 PORT=5301
UPSTREAM=127.0.0.53 UPSTREAM_PORT=5353

setup() {
        zl_setup
        mkfifo "$ZL_DIR/pipe"
        background "$ZL_BUILD/test/system/names-server" "$ZL_DIR/pipe"
        SERVER_PID=$ZL_BG SERVER_LOG=$ZL_BG_LOG
        wait_until 20 test -f "$SERVER_LOG"
        tell listen shop $SERVER $PORT 8
}

# One command for the server: $ANSWER is what it says. Fails unless it is ok; the command is in force then.
tell() { # WORD...
        tell_any "$@"
        [[ $ANSWER == ok* ]] || fail "$*: $ANSWER"
}
tell_any() {
        SAID=$(($(wc -l <"$SERVER_LOG") + 1))
        echo "$*" >"$ZL_DIR/pipe"
        wait_until 20 said || fail "$*: no answer: $(cat "$SERVER_LOG")"
        ANSWER=$(sed -n "${SAID}p" "$SERVER_LOG")
}
said() { [ "$(wc -l <"$SERVER_LOG")" -ge "$SAID" ]; }
stat_of() { # queries|malformed|own|forwarded|failed|refused|pending|connections
        local word names='queries malformed own forwarded failed refused pending connections' n=1
        tell stats
        for word in $names; do
                n=$((n + 1))
                [ "$word" != "$1" ] || cut -d' ' -f$n <<<"$ANSWER"
        done
}

# dig without its own retries. Prints what was asked for, one per line, in order.
ask() { # NAME [TYPE|OPTION]...
        timeout 60 dig @$SERVER -p $PORT +tries=1 +time=30 +short "$@" | sort
}
# The whole answer.
ask_all() { timeout 60 dig @$SERVER -p $PORT +tries=1 +time=30 "$@"; }

web_and_db() {
        tell replica shop web 1 10.9.0.2
        tell replica shop web 2 10.9.0.3
        tell set shop shop.db.1 ready 10.9.0.4,fd00:9::4 1.db.service.local db.service.local db store
}

# A real resolver with a zone of its own; it logs what it is asked.
start_dnsmasq() { # [OPTION]...
        background dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --bind-interfaces \
                --listen-address=$UPSTREAM --port=$UPSTREAM_PORT --log-queries --log-facility="$ZL_DIR/dnsmasq.log" \
                --pid-file= --user=root --cache-size=0 --local=/test/ --address=/up.test/192.0.2.7 \
                --host-record=web.corp.test,192.0.2.9 --ptr-record=9.2.0.192.in-addr.arpa,web.corp.test "$@"
        DNSMASQ_PID=$ZL_BG
        wait_until 20 dig @$UPSTREAM -p $UPSTREAM_PORT +tries=1 +time=1 +short up.test
        tell resolvers $UPSTREAM $UPSTREAM_PORT
}
# 40 records of 200 bytes: too much for any datagram we let pass.
big_name() { for i in {1..40}; do echo "--txt-record=big.test,$i$(printf 'x%.0s' {1..200})"; done; }

@test "names of services and replicas, aliases, both families, over UDP and TCP, with and without EDNS" {
        web_and_db
        for how in +noedns +edns=0 +bufsize=4096 '+tcp +noedns' +tcp '+dnssec' '+cookie=0123456789abcdef'; do
                for name in web WEB.service.local web.service.local.; do
                        # shellcheck disable=SC2086 # options
                        assert_equal "$(ask $name A $how)" $'10.9.0.2\n10.9.0.3'
                done
                # shellcheck disable=SC2086
                assert_equal "$(ask store AAAA $how)" fd00:9::4
        done
        assert_equal "$(ask 2.web.service.local)" 10.9.0.3
        assert_equal "$(ask -x 10.9.0.4)" 1.db.service.local.
        assert_equal "$(ask -x fd00:9::4)" 1.db.service.local.
        assert_equal "$(ask db ANY)" $'10.9.0.4\nfd00:9::4'
        run -0 ask_all db A +edns=0
        assert_match 'status: NOERROR'
        assert_match 'flags: qr aa rd ra;'
        assert_match 'EDNS: version: 0, flags:; udp: 1232'
        run -0 ask_all db A +edns=1 +noednsnegotiation
        assert_match 'status: BADVERS'
}

@test "every other type of a name of ours has no data and no error; what does not exist is NXDOMAIN and never forwarded" {
        web_and_db
        start_dnsmasq
        for type in MX TXT SRV NS SOA CNAME CAA HTTPS DS DNSKEY NAPTR TYPE65280 AAAA; do
                run -0 ask_all web "$type"
                assert_match 'status: NOERROR'
                assert_match 'ANSWER: 0, AUTHORITY: 1,'
        done
        for type in AXFR IXFR=1; do
                run ask_all web "$type"
                assert_match 'REFUSED|Transfer failed'
        done
        run -0 ask_all version.bind CH TXT
        assert_match 'status: REFUSED'
        for name in 3.web.service.local nobody.service.local a.b.c.service.local; do
                run -0 ask_all $name
                assert_match 'status: NXDOMAIN'
                assert_match 'AUTHORITY: 1,'
        done
        # Our own network's addresses, too.
        run -0 ask_all -x 10.9.0.77
        assert_match 'status: NXDOMAIN|status: REFUSED'
        run -0 ask_all -x 127.0.0.77
        assert_match 'status: NXDOMAIN'
        assert_no_match 'service.local|127.in-addr' "$(cat "$ZL_DIR/dnsmasq.log")"
}

@test "a client hears of the names of its own network alone" {
        web_and_db
        tell listen other 127.0.0.2 $PORT 0
        tell set other x.web.1 ready 10.8.0.2 web.service.local web
        assert_equal "$(ask web)" $'10.9.0.2\n10.9.0.3'
        SERVER=127.0.0.2
        assert_equal "$(ask web)" 10.8.0.2
        assert_equal "$(ask store)" ''
        run -0 ask_all 1.db.service.local
        assert_match 'status: NXDOMAIN'
        tell unlisten other
        run ask_all web
        assert_match 'connection refused|no servers could be reached|communications error'
        SERVER=127.0.0.1
        assert_equal "$(ask web)" $'10.9.0.2\n10.9.0.3'
}

@test "a change is in the very next answer: not ready, gone, back, another address" {
        web_and_db
        for _ in {1..20}; do
                tell waiting shop web.1
                assert_equal "$(ask web)" 10.9.0.3
                tell ready shop web.1
                assert_equal "$(ask web)" $'10.9.0.2\n10.9.0.3'
        done
        tell waiting shop web.1
        tell waiting shop web.2
        run -0 ask_all web
        assert_match 'status: NOERROR'
        assert_match 'ANSWER: 0, AUTHORITY: 1,'
        tell remove shop web.1
        tell remove shop web.2
        run -0 ask_all web.service.local
        assert_match 'status: NXDOMAIN'
        tell replica shop web 1 10.9.0.9
        run -0 ask_all web
        assert_match $'web\\.[ \t]+0[ \t]+IN[ \t]+A[ \t]+10.9.0.9'
        tell_any set shop bad.1 ready 10.9.0.9 elsewhere
        assert_match '^exists: .*web.1 has the address 10.9.0.9' "$ANSWER"
}

@test "other names go to the host's resolver on loopback, as its resolv.conf says" {
        skip_unless "expected: port 53 only in namespaces of its own (test/run)" test -n "$ZL_ISOLATED"
        UPSTREAM_PORT=53
        start_dnsmasq
        printf 'search corp.test\nnameserver %s\noptions ndots:2\n' $UPSTREAM >resolv.conf
        tell resolvers
        run -0 ask_all up.test
        assert_match 'status: SERVFAIL'
        tell resolv "$ZL_DIR/resolv.conf"
        assert_equal "$(ask up.test)" 192.0.2.7
        assert_equal "$(ask up.test +tcp)" 192.0.2.7
        assert_equal "$(ask -x 192.0.2.9)" web.corp.test.
        run -0 ask_all nothing.test
        assert_match 'status: NXDOMAIN'
        assert_match 'query\[A\] up.test from 127.0.0.1' "$(cat "$ZL_DIR/dnsmasq.log")"
        # It is followed: written anew, gone, back as a link to a file elsewhere that is replaced.
        resolves() { [ "$(ask up.test)" = 192.0.2.7 ]; }
        resolves_not() { ! resolves; }
        : >resolv.conf
        wait_until 20 resolves_not
        echo "nameserver $UPSTREAM" >resolv.conf
        wait_until 20 resolves
        rm resolv.conf
        wait_until 20 resolves_not
        mkdir elsewhere
        ln -s elsewhere/stub resolv.conf
        echo "nameserver $UPSTREAM" >elsewhere/new
        mv elsewhere/new elsewhere/stub
        wait_until 20 resolves
        : >elsewhere/new
        mv elsewhere/new elsewhere/stub
        wait_until 20 resolves_not
}

@test "an answer too long for a datagram comes over TCP, a forwarded one as well as one of ours" {
        mapfile -t records < <(big_name)
        start_dnsmasq "${records[@]}"
        assert_equal "$(ask big.test TXT | wc -l)" 40
        assert_equal "$(ask big.test TXT +noedns | wc -l)" 40
        assert_equal "$(ask big.test TXT +tcp | wc -l)" 40
        run -0 ask_all big.test TXT +ignore
        assert_match 'flags: qr[a-z ]* tc'
        SAID=$(($(wc -l <"$SERVER_LOG") + 200))
        for i in {1..200}; do echo "replica shop many $i 10.9.1.$i"; done >"$ZL_DIR/pipe"
        wait_until 20 said
        assert_equal "$(ask many | wc -l)" 200
        assert_equal "$(ask many +tcp | wc -l)" 200
        run -0 ask_all many +ignore +bufsize=4096
        assert_match 'flags: qr aa tc'
        assert_match 'ANSWER: 74,' # of 16 bytes each in 1232
        # Several in one connection.
        assert_equal "$(ask +tcp +keepopen many big.test TXT up.test A | wc -l)" 241
}

@test "a resolver that is silent, dead or ourselves is passed over" {
        start_dnsmasq
        tell resolvers $SERVER $PORT 127.0.0.54 1 $UPSTREAM $UPSTREAM_PORT # ourselves, nobody, the right one
        assert_equal "$(ask up.test)" 192.0.2.7
        # One that takes the query and says nothing.
        background /usr/bin/python3 -c 'import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.55", 5355)); print("up", flush=True); time.sleep(300)'
        wait_until 20 grep -q up "$ZL_BG_LOG"
        tell resolvers 127.0.0.55 5355 $UPSTREAM $UPSTREAM_PORT
        assert_equal "$(ask up.test)" 192.0.2.7
        tell resolvers $SERVER $PORT
        run -0 ask_all up.test
        assert_match 'status: SERVFAIL'
        assert_equal "$(stat_of pending)" 0
}

@test "10000 queries at once: each is answered, those of ours while the resolver is silent, in bounded memory" {
        web_and_db
        start_dnsmasq
        for i in {1..10000}; do echo "web A"; done >own
        for i in {1..10000}; do echo "n$i.up.test A"; done >others
        flood() { # FILE
                timeout 120 dnsperf -s $SERVER -p $PORT -d "$1" -n 1 -c 20 -q 10000 -t 60 -S 0 3>&-
        }
        run -0 flood own
        assert_match 'Queries completed: +10000 '
        assert_match 'NOERROR 10000 '
        run -0 flood others
        assert_match 'Queries completed: +10000 '
        # Nobody behind us: some wait, most hear SERVFAIL, none is lost; and names of ours are answered meanwhile.
        kill -STOP "$DNSMASQ_PID"
        background timeout 120 dnsperf -s $SERVER -p $PORT -d others -n 1 -c 20 -q 10000 -t 60 -S 0
        flood_log=$ZL_BG_LOG flood_pid=$ZL_BG
        has_pending() { [ "$(stat_of pending)" -gt 100 ]; }
        wait_until 30 has_pending
        assert_equal "$(ask web)" $'10.9.0.2\n10.9.0.3'
        [ "$(stat_of pending)" -le 1024 ]
        wait_until 100 test ! -d "/proc/$flood_pid"
        kill -CONT "$DNSMASQ_PID"
        assert_match 'Queries completed: +10000 ' "$(cat "$flood_log")"
        assert_match 'SERVFAIL 10000 ' "$(cat "$flood_log")"
        assert_equal "$(stat_of pending)" 0
        [ "$(stat_of refused)" -gt 0 ]
        peak=$(awk '/^VmHWM/ { print $2 }' "/proc/$SERVER_PID/status")
        [ "$peak" -le 16384 ] || fail "$peak KiB"
        assert_equal "$(ask up.test)" 192.0.2.7
}

@test "what is no DNS does no harm: mutated, cut and random packets over UDP and TCP" {
        web_and_db
        start_dnsmasq
        run -0 timeout 120 /usr/bin/python3 - $SERVER $PORT <<'PY'
import random, socket, struct, sys
where = (sys.argv[1], int(sys.argv[2]))
rnd = random.Random(7)
good = [bytes.fromhex("123401000001000000000001") + b"\3web\7service\5local\0\0\1\0\1" + b"\0\0\x29\x10\0\0\0\0\0\0\0",
        bytes.fromhex("123401000001000000000000") + b"\2up\4test\0\0\1\0\1"]
def packet():
    p = bytearray(rnd.choice(good))
    for _ in range(rnd.randrange(4)):
        p[rnd.randrange(len(p))] = rnd.randrange(256)
    if rnd.random() < 0.3:
        del p[rnd.randrange(len(p)):]
    if rnd.random() < 0.2:
        p += rnd.randbytes(rnd.randrange(600))
    return bytes(p) if rnd.random() < 0.9 else rnd.randbytes(rnd.randrange(1500))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.connect(where)
u.setblocking(False)
answers = 0
for i in range(20000):
    try:
        u.send(packet())
        answers += len(u.recv(65535)) > 0
    except OSError:
        pass
for i in range(500):
    t = socket.create_connection(where)
    p = packet()
    try:
        t.sendall(struct.pack("!H", len(p) if rnd.random() < 0.8 else rnd.randrange(65536)) + p)
        if rnd.random() < 0.5:
            t.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    t.close()
print(answers)
assert answers > 1000
PY
        kill -0 "$SERVER_PID"
        assert_equal "$(ask web)" $'10.9.0.2\n10.9.0.3'
        assert_equal "$(ask up.test +tcp)" 192.0.2.7
        [ "$(stat_of malformed)" -gt 1000 ]
        forgotten() { [ "$(stat_of pending)" = 0 ] && [ "$(stat_of connections)" = 0 ]; }
        wait_until 60 forgotten
}

@test "idle connections are closed, and many of them leave room for others" {
        web_and_db
        background /usr/bin/python3 -c 'import socket, sys, time
c = [socket.create_connection(("'$SERVER'", '$PORT')) for i in range(100)]
print("up", flush=True)
for s in c:
    s.settimeout(60)
    assert s.recv(1) == b""
print("closed", flush=True)'
        wait_until 30 grep -q up "$ZL_BG_LOG"
        [ "$(stat_of connections)" -le 32 ] # a quarter of all for one client
        # Another client still gets one.
        assert_equal "$(ask web +tcp -b 127.0.0.9)" $'10.9.0.2\n10.9.0.3'
        wait_until 60 grep -q closed "$ZL_BG_LOG"
        assert_equal "$(stat_of connections)" 0
}

@test "in a network namespace behind a bridge, the resolvers of glibc and busybox find services, replicas and the world" {
        skip_unless "expected: links only in namespaces of its own (test/run)" test -n "$ZL_ISOLATED"
        start_dnsmasq
        background unshare --net sleep 300
        local ns=$ZL_BG
        elsewhere() { [ "$(readlink "/proc/$ns/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }
        wait_until 20 elsewhere
        ip link add zlbr type bridge
        ip link add zlv0 type veth peer name eth0 netns "$ns"
        ip link set zlv0 master zlbr up
        ip link set zlbr up
        # The server listens before the address is there.
        tell listen shop 10.9.0.1 53 24
        ip addr add 10.9.0.1/24 dev zlbr
        nsenter -t "$ns" -n ip addr add 10.9.0.50/24 dev eth0
        nsenter -t "$ns" -n ip link set eth0 up
        web_and_db
        printf 'nameserver 10.9.0.1\nsearch service.local corp.test\n' >resolv.conf
        inside() { # COMMAND...
                # shellcheck disable=SC2016 # for the shell inside
                timeout 60 nsenter -t "$ns" -n unshare -m sh -c 'mount --bind "$0" /etc/resolv.conf && exec "$@"' \
                        "$ZL_DIR/resolv.conf" "$@"
        }
        run -0 inside getent ahostsv4 web
        assert_match '10.9.0.2 .*10.9.0.3|10.9.0.3 .*10.9.0.2' "${output//$'\n'/ }"
        run -0 inside getent ahostsv4 2.web
        assert_match '^10.9.0.3 '
        run -0 inside getent ahostsv6 db
        assert_match '^fd00:9::4 '
        run -0 inside getent hosts 10.9.0.4
        assert_match '1.db.service.local'
        run -0 inside getent ahostsv4 web.corp.test
        assert_match '^192.0.2.9 '
        run -0 inside getent ahostsv4 up.test
        assert_match '^192.0.2.7 '
        run -2 inside getent ahostsv4 nobody.service.local
        run -0 inside busybox nslookup web.service.local
        assert_match '10.9.0.2'
        tell unlisten shop
        ip link del zlv0
        ip link del zlbr
}
