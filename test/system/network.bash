# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# For tests of native containers in networks (`load network`, behind `load lib`). $NET is where zlayer-net keeps its records.

net_setup() {
        zl_setup
        skip_unless "containers need root" is_root
        export ZLAYER_MONITOR=$ZL_BUILD/zlayer-monitor ZLAYER_RUNTIME=native
        NET=$ZLAYER_RUNTIME_DIR/net
}
# The same for tests of the deployment $APP, whose replicas are in a network.
shop_setup() {
        net_setup
        import_busybox bb
        APP=shop
}
net_teardown() {
        net_remove_all
        zl_teardown
}

# Removes every container. Bridges, links and rules have to go by themselves then (zl_teardown looks), and so do records.
net_remove_all() {
        local name
        for name in $(zl ps -a --json | jq -r '.[].name'); do zl rm -f "$name" >/dev/null; done
        wait_until 20 net_is_gone
        # shellcheck disable=SC2012 # names are ours
        assert_equal "$(ls "$NET/networks" "$NET/containers" 2>/dev/null | grep -c 'json' || :)" 0
}
net_is_gone() { [ ! -e "$NET/net.sock" ]; }

record_of() { jq -r ".$2" "$NET/containers/$1.json"; } # CONTAINER KEY

net_pid() { fuser "$NET/lock" 2>/dev/null | tr -d ' '; }
has_link() { ip link show dev "$1" >/dev/null; }
no_link() { ! has_link "$1" 2>/dev/null; }
has_ended() { ! kill -0 "$1" 2>/dev/null; }
# Of what `run` started.
address_of() { record_of "run.$1.1" "${2:-ipv4}"; } # NAME [KEY]
# A container that serves /etc over HTTP on port 80.
serve() { # NAME NETWORK [OPTION]...
        local name=$1 network=$2
        shift 2
        zl run -d --name "$name" --network "$network" "$@" bb httpd -f -p 80 -h /etc >/dev/null
}
inside() { zl exec "$@"; }
fetch() { curl -sS --max-time 5 "http://$1/hostname"; }
inside_fetch() { # NAME ADDRESS [PORT]; the body is the last line
        inside "$1" sh -c "printf 'GET /hostname HTTP/1.0\r\n\r\n' | nc -w 3 $2 ${3:-80}" | tail -1 | grep .
}
# Tries again: a server needs an instant to listen.
eventually() { wait_until 20 "$@"; }

# A namespace behind the link "uplink", with 192.0.2.2 and a server that tells who asks.
make_world() {
        background unshare --net sleep infinity
        WORLD=$ZL_BG
        wait_until 10 in_another_netns "$WORLD"
        ip link add uplink type veth peer name eth0 netns "$WORLD"
        ip addr add 192.0.2.1/24 dev uplink
        ip addr add 2001:db8::1/64 dev uplink nodad
        ip link set uplink up
        ip route add default via 192.0.2.2
        ip -6 route add default via 2001:db8::2
        world ip addr add 192.0.2.2/24 dev eth0
        world ip addr add 2001:db8::2/64 dev eth0 nodad
        world ip link set eth0 up
        world ip link set lo up
}
in_another_netns() { [ "$(readlink "/proc/$1/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }
world() { nsenter -t "$WORLD" -n "$@"; }
