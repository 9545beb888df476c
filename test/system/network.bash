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
