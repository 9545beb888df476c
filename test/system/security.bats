#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Security as invariants: one hostile bundle, root or caller per class of hole that container runtimes have had, named after it.
# What must hold holds on the real kernel; SECURITY.md says what is no boundary.
load lib

# run_in FILTER COMMAND…: the output of a command in a container of its own, from the bundle in $ZL_DIR/b.
run_in() {
        local filter=$1
        shift
        make_bundle "$ZL_DIR/b" "$filter | .process.args = $(jq -cn '$ARGS.positional' --args -- "$@")"
        oci run -b "$ZL_DIR/b" "c$ZL_ID" </dev/null
}

# A container that runs until it is deleted.
start_idle() { # FILTER
        make_bundle "$ZL_DIR/b" "$1 | .process.args = [\"sleep\",\"100\"]"
        oci run -d -b "$ZL_DIR/b" "c$ZL_ID" </dev/null >/dev/null 2>&1
}

nothing_left() {
        [ ! -e "$ZL_DIR/oci/c$ZL_ID" ] || fail "state is left"
        [ -z "$(find /sys/fs/cgroup -name "$ZL_ID-b")" ] || fail "a cgroup is left"
}

@test "links in place of /proc, /sys and /dev: the mount is refused or stays inside (CVE-2019-16884, CVE-2019-19921)" {
        local place r=$ZL_DIR/b/rootfs
        mkdir "$ZL_DIR/outside"
        for place in proc sys; do
                make_bundle "$ZL_DIR/b" '.process.args = ["true"]'
                rm -rf "${r:?}/$place"
                ln -s /elsewhere "$r/$place"
                mkdir -p "$r/elsewhere"
                run oci run -b "$ZL_DIR/b" "c$ZL_ID"
                [ "$status" -ne 0 ] || fail "/$place through a link was accepted"
                assert_match "/$place"
                nothing_left
                rm -rf "$r"
        done
        make_bundle "$ZL_DIR/b" '.process.args = ["true"]'
        rm -rf "$r/dev"
        ln -s "../../../../../../..$ZL_DIR/outside" "$r/dev"
        run oci run -b "$ZL_DIR/b" "c$ZL_ID"
        [ -z "$(ls -A "$ZL_DIR/outside")" ] || fail "devices were made outside of the root"
}

@test "a mount target that is swapped for a link while it is mounted stays inside (CVE-2021-30465)" {
        local r=$ZL_DIR/b/rootfs i
        mkdir "$ZL_DIR/outside" "$ZL_DIR/source"
        make_bundle "$ZL_DIR/b" ".process.args = [\"true\"] |
                .mounts += [{destination:\"/swap/in\",type:\"bind\",source:\"$ZL_DIR/source\",options:[\"bind\"]}]"
        mkdir -p "$r/real/in" "$ZL_DIR/outside/in"
        background bash -c "cd '$r'; ln -s '../../../../../../../../..$ZL_DIR/outside' evil
                while :; do rm -rf swap; cp -a real swap; rm -rf swap; cp -a evil swap; done"
        for i in {1..25}; do
                oci run -b "$ZL_DIR/b" "c$ZL_ID" </dev/null >/dev/null 2>&1 || :
                oci delete --force "c$ZL_ID" >/dev/null 2>&1 || :
        done
        kill "$ZL_BG"
        [ -z "$(find "$ZL_DIR/outside" -mindepth 1 ! -path "$ZL_DIR/outside/in")" ] || fail "$(find "$ZL_DIR/outside")"
        ! grep -q " $ZL_DIR/outside" /proc/self/mountinfo || fail "a mount came out"
}

@test "a working directory through a descriptor of the runtime is refused (CVE-2024-21626)" {
        local fd
        for fd in 3 4 5 6 7 8 9 10 11 12; do
                run run_in ".process.cwd = \"/proc/self/fd/$fd\"" pwd
                [ "$status" -ne 0 ] || fail "cwd = descriptor $fd was accepted: $output"
                make_bundle "$ZL_DIR/b" ".process.args = [\"true\"] | .process.cwd = \"/proc/self/fd/$fd\""
                run oci create -b "$ZL_DIR/b" "c$ZL_ID" </dev/null
                [ "$status" -ne 0 ] || fail "create with cwd = descriptor $fd was accepted"
        done
        # Descriptors that the caller left open, and one that it means to pass on.
        for fd in 0 7; do
                make_bundle "$ZL_DIR/b" ".process.args = [\"pwd\"] | .process.cwd = \"/proc/self/fd/$fd\""
                run oci run -b "$ZL_DIR/b" "c$ZL_ID" </etc 7</etc
                [ "$status" -ne 0 ] || fail "cwd = the caller's descriptor $fd was accepted: $output"
        done
        make_bundle "$ZL_DIR/b" '.process.args = ["pwd"] | .process.cwd = "/proc/self/fd/3"'
        run bash -c "exec 3</etc; exec $ZL_OCI --root $ZL_DIR/oci run --preserve-fds 1 -b $ZL_DIR/b c$ZL_ID" </dev/null
        [ "$status" -ne 0 ] || fail "cwd = a descriptor that is passed on was accepted: $output"
        nothing_left
        start_idle .
        for fd in 3 4 5 6 7 8 9 10 11 12; do
                run oci exec --cwd "/proc/self/fd/$fd" "c$ZL_ID" pwd </dev/null
                [ "$status" -ne 0 ] || fail "exec --cwd = descriptor $fd was accepted: $output"
                run oci exec "c$ZL_ID" "/proc/self/fd/$fd/../../../../bin/true"
                [ "$status" -ne 0 ] || fail "exec through descriptor $fd was accepted: $output"
        done
        run oci exec --cwd /proc/self/fd/0 "c$ZL_ID" pwd </etc
        [ "$status" -ne 0 ] || fail "exec --cwd = the caller's descriptor 0 was accepted: $output"
        oci delete --force "c$ZL_ID"
}

@test "a created container holds no descriptor of the host's directories (CVE-2024-21626)" {
        local pid fd target
        make_bundle "$ZL_DIR/b" '.process.args = ["sleep","100"]'
        exec 9</etc
        oci create -b "$ZL_DIR/b" "c$ZL_ID" </dev/null >/dev/null 2>&1
        exec 9<&-
        pid=$(oci state "c$ZL_ID" | jq .pid)
        for fd in /proc/"$pid"/fd/*; do
                target=$(readlink "$fd")
                case $target in
                /dev/null | socket:* | pipe:*) ;;
                *) fail "descriptor ${fd##*/} is $target" ;;
                esac
        done
        oci delete --force "c$ZL_ID"
}

@test "masks with a false /dev/null and a link as console touch nothing outside (CVE-2025-31133, CVE-2025-52565)" {
        local r=$ZL_DIR/b/rootfs
        make_bundle "$ZL_DIR/b" '.mounts |= map(select(.destination != "/dev")) | .process.args = ["true"] |
                .linux.maskedPaths = ["/proc/keys","/proc/kcore"]'
        mkdir -p "$r/dev"
        ln -s /proc/sys/kernel/core_pattern "$r/dev/null"
        ln -s /proc/sysrq-trigger "$r/dev/console"
        run run_in '.mounts |= map(select(.destination != "/dev")) | .linux.maskedPaths = ["/proc/keys","/proc/kcore"]' \
                sh -c 'grep -c . /proc/keys; grep " /proc/k" /proc/self/mountinfo'
        # Either refused, or masked with the real null device.
        if [ "$status" -eq 0 ]; then
                assert_match '^0'
                assert_no_match 'core_pattern|sysrq'
        fi
}

@test "attributes of a process are not written through a false procfs (CVE-2025-52881, CVE-2019-16884)" {
        local before
        before=$(cat /proc/sys/kernel/core_pattern)
        mkdir -p "$ZL_DIR/fake/self" "$ZL_DIR/fake/sys/net/ipv4"
        ln -s /proc/sys/kernel/core_pattern "$ZL_DIR/fake/self/oom_score_adj"
        ln -s /proc/sys/kernel/core_pattern "$ZL_DIR/fake/sys/net/ipv4/ip_forward"
        run run_in ".mounts |= map(select(.destination != \"/proc\")) |
                .mounts += [{destination:\"/proc\",type:\"bind\",source:\"$ZL_DIR/fake\",options:[\"bind\"]}] |
                .linux.maskedPaths = [] | .linux.readonlyPaths = [] |
                .process.oomScoreAdj = 100 | .linux.sysctl = {\"net.ipv4.ip_forward\":\"1\"}" true
        assert_equal "$(cat /proc/sys/kernel/core_pattern)" "$before"
}

@test "the runtime is not overwritten through /proc/self/exe (CVE-2019-5736)" {
        local sum copy=$ZL_DIR/oci-copy
        cp "$ZL_OCI" "$copy"
        sum=$(sha256sum <"$copy")
        make_bundle "$ZL_DIR/b" '.process.args = ["sh","-c","for i in 1 2 3 4 5 6 7 8 9; do for p in /proc/[0-9]*; do (echo x >$p/exe) 2>/dev/null; done; sleep 0.2; done"]'
        "$copy" --root "$ZL_DIR/oci" run -d -b "$ZL_DIR/b" "c$ZL_ID" </dev/null >/dev/null 2>&1
        for _ in 1 2 3 4 5; do "$copy" --root "$ZL_DIR/oci" exec "c$ZL_ID" /proc/self/exe >/dev/null 2>&1 || :; done
        "$copy" --root "$ZL_DIR/oci" delete --force "c$ZL_ID"
        assert_equal "$(sha256sum <"$copy")" "$sum"
}

@test "user strings that are no clean numbers never mean root (CVE-2016-3697)" {
        local user
        start_idle .
        # The container's own files may say what they like.
        printf '%s:x:0:0::/:/bin/sh\n' 2000 -1 0x0 ' 0' +0 1e3 00x 4294967296 '' >>"$ZL_DIR/b/rootfs/etc/passwd"
        printf '%s:x:0:\n' -1 +0 0x0 '' >>"$ZL_DIR/b/rootfs/etc/group"
        run oci exec -u 2000 "c$ZL_ID" id -u
        assert_output 2000
        for user in : :0 0: -1 4294967295 4294967296 0x0 ' 0' '0 ' 1e3 00x +0 99999999999999999999 0:-1 0:+0 0:0x0 0:4294967296; do
                run oci exec -u "$user" "c$ZL_ID" id -u
                [ "$status" -ne 0 ] || fail "user \"$user\" became $output"
        done
        oci delete --force "c$ZL_ID"
}

# seen_by FILTER ROUNDS: what a process inside with CAP_SYS_PTRACE can reach of the host through each exec on its way in.
seen_by() {
        local init
        start_idle "$1"
        init=$(oci state "c$ZL_ID" | jq .pid)
        cat >"$ZL_DIR/watch.py" <<'END'
import os, stat, sys
init, end = sys.argv[1], sys.argv[2]
proc, seen = f"/proc/{init}/root/proc", set()
root = os.stat(f"/proc/{init}/root/.")
own = {os.stat(f"/proc/{init}/root/{d}").st_dev for d in ("proc", "dev", "sys")}

def is_inside(name, st, kind):
    if name in ("root", "cwd") or (stat.S_ISDIR(st.st_mode) and st.st_dev not in own):
        return (st.st_dev, st.st_ino) == (root.st_dev, root.st_ino)
    return kind.startswith(("pipe:", "socket:", "/dev/null")) or st.st_dev in own or st.st_dev == root.st_dev

while not os.path.exists(end):
    for pid in os.listdir(proc):
        if not pid.isdigit() or pid == "1":
            continue
        try:
            fds = ["fd/" + fd for fd in os.listdir(f"{proc}/{pid}/fd")]
        except OSError:
            fds = []
        for name in ["root", "cwd"] + fds:
            try:
                path = f"{proc}/{pid}/{name}"
                st = os.stat(path)
                kind = os.readlink(path)
            except OSError:
                continue
            if not is_inside(name, st, kind):
                seen.add(f"{name.split('/')[0]} {kind}")
print("\n".join(sorted(seen)))
END
        background python3 "$ZL_DIR/watch.py" "$init" "$ZL_DIR/end"
        for _ in $(seq "$2"); do oci exec "c$ZL_ID" true </dev/null >/dev/null 2>&1; done
        : >"$ZL_DIR/end"
        wait "$ZL_BG"
        oci delete --force "c$ZL_ID"
        cat "$ZL_BG_LOG"
}

@test "an exec on its way in is not seen or traced from inside, not even with CAP_SYS_PTRACE (CVE-2016-9962)" {
        make_bundle "$ZL_DIR/b" '.process.args = ["sh","-c","while :; do for p in /proc/[0-9]*; do for f in $p/fd/*; do t=$(readlink $f) && case $t in /dev/*|pipe:*|socket:*|/proc/*) ;; *) echo \"$p $t\" >>/seen;; esac; done; done; done 2>/dev/null"]'
        oci run -d -b "$ZL_DIR/b" "c$ZL_ID" </dev/null >/dev/null 2>&1
        for _ in {1..20}; do oci exec "c$ZL_ID" true </dev/null >/dev/null 2>&1; done
        oci delete --force "c$ZL_ID"
        [ ! -s "$ZL_DIR/b/rootfs/seen" ] || fail "$(sort -u "$ZL_DIR/b/rootfs/seen")"
        run seen_by '.process.capabilities |= map_values(. + ["CAP_SYS_PTRACE"])' 60
        assert_status 0
        assert_output ''
}

@test "inheritable capabilities are those of the config only, and exec --cap adds none (CVE-2022-24769, CVE-2022-29162)" {
        start_idle '.process.capabilities = {bounding:["CAP_CHOWN"],permitted:["CAP_CHOWN"],effective:["CAP_CHOWN"]}'
        run oci exec "c$ZL_ID" grep -E 'CapInh|CapAmb' /proc/self/status
        assert_match 'CapInh:.0000000000000000'
        run oci exec --cap CAP_NET_RAW "c$ZL_ID" grep -E 'CapInh|CapAmb|CapPrm' /proc/self/status
        assert_match 'CapInh:.0000000000000000'
        assert_match 'CapAmb:.0000000000000000'
        assert_match 'CapPrm:.0000000000002001'
        oci delete --force "c$ZL_ID"
}

@test "ids, cgroup paths and sysctls do not lead outside" {
        local id path key
        make_bundle "$ZL_DIR/b" '.process.args = ["true"]'
        for id in .. . ../x a/b /etc '' "$(printf 'a\nb')" 'a b' "$(printf 'x%.0s' {1..2000})"; do
                run oci run -b "$ZL_DIR/b" "$id"
                [ "$status" -ne 0 ] || fail "the id \"$id\" was accepted"
                run oci delete --force "$id"
                [ -d "$ZL_DIR/b/rootfs" ] || fail "delete \"$id\" went outside"
        done
        for path in ../../escape .. a/.. a/../../b /../../ /.. / /a/../.. /zlayer/../escape; do
                run run_in ".linux.cgroupsPath = \"$path\"" true
                [ "$status" -ne 0 ] || fail "the cgroup path \"$path\" was accepted"
                assert_match 'cgroupsPath'
        done
        for key in kernel.core_pattern kernel/../kernel/core_pattern net/../kernel/core_pattern kernel.hostname fs.file-max net...; do
                run run_in ".linux.sysctl = {\"$key\":\"1\"}" true
                [ "$status" -ne 0 ] || fail "the sysctl \"$key\" was accepted"
        done
        run run_in '.linux.namespaces |= map(select(.type != "network")) | .linux.sysctl = {"net.ipv4.ip_forward":"1"}' true
        [ "$status" -ne 0 ] || fail "a sysctl of the host's network was accepted"
        nothing_left
}

@test "state is for root alone" {
        start_idle .
        [ -z "$(find "$ZL_DIR/oci" -perm /077 ! -type l)" ] || fail "$(find "$ZL_DIR/oci" -perm /077 -ls)"
        oci delete --force "c$ZL_ID"
}

@test "a config.json that is malformed, huge, deep, double or not text gives one error and leaves nothing" {
        local kind
        make_bundle "$ZL_DIR/b" '.process.args = ["true"]'
        cp "$ZL_DIR/b/config.json" "$ZL_DIR/good.json"
        for kind in empty cut deep huge utf8 double array nul; do
                case $kind in
                empty) : ;;
                cut) head -c 200 "$ZL_DIR/good.json" ;;
                deep) printf '{"annotations":'; printf '[%.0s' {1..100000} ;;
                huge) printf '{"ociVersion":"'; head -c 50000000 /dev/zero | tr '\0' a ;;
                utf8) sed 's/"ociVersion"/"x\xff\xfe":1,"ociVersion"/' "$ZL_DIR/good.json" ;;
                double) sed '0,/"root"/s//"root":{"path":"\/"},"root"/' "$ZL_DIR/good.json" ;;
                array) printf '[]' ;;
                nul) printf '{"ociVersion":"1.0\\u0000"}' ;;
                esac >"$ZL_DIR/b/config.json"
                run oci create -b "$ZL_DIR/b" "c$ZL_ID"
                assert_status 1
                [ "${#lines[@]}" -le 2 ] || fail "$kind:" "$output"
                assert_match config.json
                nothing_left
        done
}
