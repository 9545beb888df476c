#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Names inside real containers: of services, replicas and single workloads; who is not well is not found; the host's names go on to be.
# shellcheck disable=SC2016 # $ in `sh -c` texts is for the container
load lib
load network

setup() {
        net_setup
        import_busybox
}
teardown() {
        zl down --all >/dev/null 2>&1 || : # most tests have done so themselves
        net_teardown
}

write_app() {
        cat >app.yaml <<'END'
version: v1
deployment: shop
services:
  web:
    image: {name: bb}
    network_mode: bridge
    scale: {mode: fixed, replicas: 2}
    stop_grace_period: 0s
    restart_policy: {kind: "no"}
    command: {entrypoint: [sh, -c], args: ['touch /tmp/well; cd /tmp; hostname >who; exec httpd -f -p 80 -h /tmp']}
    health: {start_grace: 0s, interval: 100ms, retries: 1, check: {type: command, command: "test -e /tmp/well"}}
  client:
    image: {name: bb}
    network_mode: bridge
    scale: {mode: fixed, replicas: 1}
    stop_grace_period: 0s
    command: {entrypoint: [sleep, "1000"]}
END
}
address_of() { record_of "$1" ipv4; } # NAME
client() { zl exec "${CLIENT:-shop.client.1}" "$@"; }
# The addresses of a name as a container sees them, in order.
addresses() { client nslookup -type=a "$1" 2>&1 | awk '/^Name:/ { name = 1 } name && /^Address/ { print $NF }' | sort -V | paste -sd,; }
has_addresses() { [ "$(addresses "$1")" = "$2" ]; } # NAME ADDRESSES
has_both() { # NAME
        has_addresses "$1" "$(printf '%s\n' "$(address_of shop.web.1)" "$(address_of shop.web.2)" | sort -V | paste -sd,)"
}

@test "a service, each of its replicas and their addresses have names; traffic goes by them" {
        write_app
        run -0 zl up -d app.yaml
        wait_until 40 has_both web.service.local
        has_both web
        has_addresses 1.web.service.local "$(address_of shop.web.1)"
        has_addresses 2.web.service.local "$(address_of shop.web.2)"
        run -0 client nslookup "$(address_of shop.web.2)"
        assert_match '2.web.service.local'
        run -0 client cat /etc/resolv.conf
        assert_match $'^nameserver 10.208.0.1\nsearch service.local'
        # The first one of the answer, as most clients take it (wget of a static busybox has no resolver).
        first() { client nslookup -type=a web | awk '/^Name:/ { name = 1 } name && /^Address/ { print $NF; exit }'; }
        for _ in {1..20}; do
                client sh -c "printf 'GET /who HTTP/1.0\r\n\r\n' | nc -w 5 $(first) 80" | tail -1
        done | sort -u >who
        assert_equal "$(cat who)" $'web-rep-1\nweb-rep-2'
        run client nslookup nobody.service.local
        assert_match 'NXDOMAIN'
        # The bridge of one deployment is not asked for another's names.
        zl run -d --name lonely --network bridge bb sleep 1000 >/dev/null
        CLIENT=run.lonely.1
        run client nslookup web.service.local
        assert_match 'NXDOMAIN'
        has_addresses lonely "$(address_of run.lonely.1)"
        run -0 zl down shop
        zl rm -f lonely >/dev/null
}

@test "a replica that is not well is not found, and is again when it is; one that dies is gone at once" {
        write_app
        run -0 zl up -d app.yaml
        wait_until 40 has_both web
        zl exec shop.web.1 rm /tmp/well
        wait_until 20 has_addresses web "$(address_of shop.web.2)"
        zl exec shop.web.1 touch /tmp/well
        wait_until 40 has_both web
        zl kill -s KILL shop.web.2
        wait_until 20 has_addresses web "$(address_of shop.web.1)"
        is_unknown() { client nslookup "$1" 2>&1 | grep -q NXDOMAIN; }
        wait_until 10 is_unknown 2.web.service.local
        run -0 zl down shop
}

@test "names of the host's resolver are found in a container, also when that is on the host's loopback" {
        skip_unless "expected: port 53 only in namespaces of its own (test/run)" test -n "$ZL_ISOLATED"
        background dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --bind-interfaces --listen-address=127.0.0.53 \
                --pid-file= --user=root --address=/up.test/192.0.2.7
        echo 'nameserver 127.0.0.53' >resolv.conf
        mount --bind resolv.conf /etc/resolv.conf
        zl run -d --name a --network bridge bb sleep 1000 >/dev/null
        CLIENT=run.a.1
        wait_until 20 has_addresses up.test 192.0.2.7
        zl rm -f a >/dev/null
        umount /etc/resolv.conf
}

@test "a network whose port 53 is taken does without names" {
        skip_unless "expected: port 53 only in namespaces of its own (test/run)" test -n "$ZL_ISOLATED"
        background dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --pid-file= --user=root --address=/up.test/192.0.2.7
        taken() { ss -Hln 'sport = :53' | grep -q .; }
        wait_until 20 taken
        zl run -d --name a --network bridge bb sleep 1000 >/dev/null
        CLIENT=run.a.1
        run -0 client cat /etc/resolv.conf
        assert_no_match '10.208.0.1'
        assert_match 'name service of network default cannot listen at 10.208.0.1 port 53' "$(cat "$NET/log")"
        zl rm -f a >/dev/null
}
