# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bats
# Networks beside other firewalls: a real Docker with its tables, iptables whose policy is DROP, and rules in the manner of firewalld. Our
# containers reach out and are reached all the same, the others keep what they have, and nothing of ours stays.

load lib
load network

setup() {
        net_setup
        skip_unless "expected: rules of others only in namespaces of its own (test/run)" test -n "$ZL_ISOLATED"
        import_busybox bb
        make_world
        background nsenter -t "$WORLD" -n busybox httpd -f -p '[::]:80' -h /etc
        serve a bridge -p 8080:80
        eventually both_ways
}
teardown() {
        net_remove_all
        [ -z "${DOCKERD-}" ] || docker ps -aq | xargs -r /usr/bin/docker rm -f
        stop_dockerd
        ip link del docker0 2>/dev/null || :
        nft flush ruleset
        ip link del uplink
        zl_teardown
}

docker() { timeout 60 /usr/bin/docker "$@" 3>&-; }
theirs() { docker exec theirs /bin/busybox sh -c "printf 'GET /hostname HTTP/1.0\r\n\r\n' | /bin/busybox nc -w 2 $1 $2" | grep .; } # ADDRESS PORT
in_and_out() { # ADDRESS OF US, ADDRESS OF THE WORLD
        [ "$(world curl -sS --max-time 2 "http://$1:8080/hostname")" = a-rep-1 ] && inside_fetch a "$2" >/dev/null
}
both_ways() { in_and_out 192.0.2.1 192.0.2.2; }
both_ways_six() { in_and_out '[2001:db8::1]' 2001:db8::2; }
names() { inside a nslookup a.service.local | grep -q "$(address_of a)"; }
drops() { [[ $("$1" -S FORWARD | head -1) = "-P FORWARD DROP" ]]; } # PROGRAM
ours_in() { "$1" -S | grep -c -- '-[io] zl' || :; } # PROGRAM

@test "beside: the policy DROP of iptables for what is forwarded and what comes in" {
        eventually both_ways_six
        names
        iptables -A INPUT -i lo -j ACCEPT
        iptables -A INPUT -m state --state ESTABLISHED,RELATED -j ACCEPT
        iptables -P INPUT DROP
        iptables -P FORWARD DROP
        ip6tables -P FORWARD DROP
        eventually both_ways
        eventually both_ways_six
        names
        # In the words of iptables, behind those of its owner.
        assert_match '^-A FORWARD -i zl[0-9a-f]{4}-\+ -j ACCEPT$' "$(iptables -S FORWARD | grep -- -i)"
        assert_match '^-A FORWARD -o zl[0-9a-f]{4}-\+ -j ACCEPT$' "$(ip6tables -S FORWARD | tail -1)"
        assert_match '^-A INPUT -i zl[0-9a-f]{4}-\+ -p tcp -m tcp --dport 53 -j ACCEPT$' "$(iptables -S INPUT | tail -1)"
        # Who flushes is noticed, also without the policy being touched.
        iptables -F FORWARD
        eventually both_ways
        assert_equal "$(iptables -S FORWARD | grep -c zl)" 2
        # Killed: they stay, and the next life has no second ones.
        kill -KILL "$(net_pid)"
        serve b bridge
        eventually both_ways
        assert_equal "$(iptables -S FORWARD | grep -c zl)" 2
        zl rm -f a b
        wait_until 10 net_is_gone
        assert_equal "$(ours_in iptables)$(ours_in ip6tables)" 00
        drops iptables
}

@test "beside: rules in the manner of firewalld, also when they are loaded anew" {
        load_rules() {
                nft -f - <<-'RULES'
			table inet firewalld
			flush table inet firewalld
			table inet firewalld {
			        chain filter_INPUT {
			                type filter hook input priority filter + 10
			                ct state { established, related } accept
			                iifname lo accept
			                meta l4proto ipv6-icmp accept
			                reject with icmpx admin-prohibited
			        }
			        chain filter_FORWARD {
			                type filter hook forward priority filter + 10
			                ct state { established, related } accept
			                meta l4proto ipv6-icmp accept
			                reject with icmpx admin-prohibited
			        }
			}
			RULES
        }
        load_rules
        eventually both_ways
        eventually both_ways_six
        names
        load_rules
        eventually both_ways
        names
        zl rm -f a
        wait_until 10 net_is_gone
        assert_no_match 'zl' "$(nft list ruleset)"
        assert_match 'admin-prohibited' "$(nft list ruleset)"
}

@test "beside: a chain of somebody unknown that drops all is left alone, and the log says so" {
        zl rm -f a
        wait_until 10 net_is_gone
        nft -f - <<-'RULES'
		table inet mine {
		        chain no { type filter hook forward priority 0; policy drop; }
		}
		RULES
        serve a bridge -p 8080:80
        eventually fetch "$(address_of a)"
        run both_ways
        [ "$status" -ne 0 ]
        grep -q 'the chain no of the table mine drops what is forwarded' "$NET/log"
}

@test "beside: a real Docker that sets the policy DROP and publishes ports of its own" {
        skip_unless "expected: no Docker here" has_program dockerd
        # As on a machine where Docker is the first who wants to forward.
        echo 0 >/proc/sys/net/ipv4/ip_forward
        start_dockerd "$PWD/docker" --iptables=true --bridge= --storage-driver=vfs
        drops iptables || fail "not what this test is about: $(iptables -S FORWARD)"
        eventually both_ways
        eventually both_ways_six
        names
        # Docker's containers have their own ways still.
        tar -C "$(dirname "$(command -v busybox)")" -c busybox --transform 's|^|bin/|' | docker import - bb:latest
        docker run -d --name theirs -p 8090:80 bb:latest /bin/busybox httpd -f -p 80 -h /bin
        docker_answers() { world curl -sS --max-time 2 -o /dev/null http://192.0.2.1:8090/busybox; }
        eventually docker_answers
        theirs 192.0.2.2 80
        # What neither has published is between them as it was: not reached.
        run theirs "$(address_of a)" 80
        [ "$status" -ne 0 ] || fail "a container of Docker came in"
        theirs 192.0.2.1 8080
        inside_fetch a 192.0.2.1 8080
        # Docker is restarted, then it goes; ours goes on.
        stop_dockerd
        both_ways
        start_dockerd "$PWD/docker" --iptables=true --bridge= --storage-driver=vfs
        eventually both_ways
        docker rm -f theirs
        stop_dockerd
        eventually both_ways
        zl rm -f a
        wait_until 10 net_is_gone
        assert_equal "$(ours_in iptables)" 0
}
