# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Real parts for the tests and for the example run: root file systems, images, a registry. Needs $ZL_SOURCE (the tree)
# and $ZL_CACHE (a directory for what is made once). Functions return non-zero and say why on failure.

# wait_until SECONDS COMMAND...: repeats the command until it succeeds; fails when three times (ZL_SLOW times) that is over.
wait_until() {
        local end=$((${EPOCHREALTIME/./} + $1 * ${ZL_SLOW:-3} * 1000000))
        shift
        until "$@" >/dev/null 2>&1; do
                if [ "${EPOCHREALTIME/./}" -ge $end ]; then
                        echo "not within the time: $*"
                        return 1
                fi
                sleep 0.05
        done
}

# within SECONDS PROGRAM...: runs it with bounded time, which ZL_SLOW stretches; 124 when it is over.
within() {
        local limit=$(($1 * ${ZL_SLOW:-1}))
        shift
        timeout -k 5 $limit "$@"
}
export -f within # for those of its callers that are used in `bash -c`

# --- root file systems and bundles -------------------------------------------------------------------

# A complete small system: busybox with all its commands, users, and the usual empty directories.
make_busybox_rootfs() { # DIR
        local busybox=${BUSYBOX:-$(command -v busybox)} name
        mkdir -p "$1"/{bin,sbin,usr/bin,usr/sbin,etc,dev,proc,sys,tmp,root,home,var/log,mnt,lib}
        chmod 1777 "$1/tmp"
        cp "$busybox" "$1/bin/busybox"
        for name in $("$busybox" --list); do
                [ "$name" = busybox ] || ln -s busybox "$1/bin/$name"
        done
        printf '%s\n' 'root:x:0:0:root:/root:/bin/sh' 'daemon:x:1:1:daemon:/:/bin/false' \
                'app:x:1000:1000:App:/home:/bin/sh' 'nobody:x:65534:65534:nobody:/:/bin/false' >"$1/etc/passwd"
        printf '%s\n' root:x:0: daemon:x:1: 'audio:x:29:app' 'video:x:44:app,daemon' app:x:1000: \
                nogroup:x:65534: >"$1/etc/group"
}

# --- images and a registry ---------------------------------------------------------------------------

mkimage() { "$ZL_SOURCE/test/mkimage" "$@"; }

# The path of an OCI layout of the busybox image, made once per build directory.
busybox_layout() {
        zl_cached busybox.oci make_busybox_layout
}
make_busybox_layout() { # DIR
        local rootfs
        rootfs=$(mktemp -d)
        make_busybox_rootfs "$rootfs" && mkimage --cmd sh "$1" "$rootfs"
        rm -rf "$rootfs"
}

# The path of an OCI layout of a Debian-like image of several layers: the files of some packages as they
# are installed on this machine (links, set-user-id programs, many small files), then changes to them with
# whiteouts and an opaque directory.
debian_layout() {
        zl_cached debian.oci make_debian_layout
}
make_debian_layout() { # DIR
        local top package
        top=$(mktemp -d)
        mkdir "$top"/{base,tools,data,changes}
        for package in base-files libc6 libc-bin dash coreutils bash libtinfo6 libselinux1 libpcre2-8-0 \
                libacl1 libattr1 libgmp10 passwd login; do
                zl_copy_package "$package" "$top/base"
        done
        for package in perl-base tar sed grep gzip findutils mawk util-linux; do
                zl_copy_package "$package" "$top/tools"
        done
        zl_copy_package tzdata "$top/data"
        mkdir -p "$top/base"/{etc,root,tmp} "$top/changes"/{etc,usr/share/zoneinfo/Europe,usr/share/doc/tar}
        cp /usr/share/base-passwd/passwd.master "$top/base/etc/passwd"
        cp /usr/share/base-passwd/group.master "$top/base/etc/group"
        echo changed >"$top/changes/etc/changed"
        : >"$top/changes/usr/share/zoneinfo/.wh.Africa"
        : >"$top/changes/usr/share/zoneinfo/Europe/.wh..wh..opq"
        echo only >"$top/changes/usr/share/zoneinfo/Europe/Only"
        : >"$top/changes/usr/share/doc/.wh.tar"
        rmdir "$top/changes/usr/share/doc/tar"
        mkimage --cmd /bin/bash --env LANG=C.UTF-8 "$1" "$top/base" "$top/tools" "$top/data" "$top/changes"
        rm -rf "$top"
}
# Directories come as links on merged-/usr systems, so the list is copied entry by entry with its real places.
zl_copy_package() { # PACKAGE DIR
        [ -e "$2/bin" ] || {
                mkdir -p "$2"/usr/{bin,sbin,lib,lib64}
                local d
                for d in bin sbin lib lib64; do ln -s usr/$d "$2/$d"; done
        }
        dpkg-query -L "$1" | while read -r path; do
                [ -d "$path" ] && [ ! -L "$path" ] && continue
                [ -e "$path" ] || [ -L "$path" ] || continue
                echo "$(realpath -s "$(realpath "${path%/*}/")/${path##*/}")"
        done | sed 's,^/,,' | sort -u | tar -C / -cf - --no-recursion -T - 2>/dev/null | tar -C "$2" -xpf -
}

# zl_cached NAME FUNCTION: prints the path of NAME in the cache, made by `FUNCTION PATH` if it is missing.
zl_cached() {
        mkdir -p "$ZL_CACHE"
        (
                flock 9
                if [ ! -e "$ZL_CACHE/$1" ]; then
                        rm -rf "$ZL_CACHE/$1.new"
                        "$2" "$ZL_CACHE/$1.new" >&2 && mv "$ZL_CACHE/$1.new" "$ZL_CACHE/$1"
                fi
        ) 9>"$ZL_CACHE/.lock" 3>&- || return
        echo "$ZL_CACHE/$1"
}

# Starts a real registry on a free port of loopback: sets $REGISTRY (host:port), $REGISTRY_PID, $REGISTRY_DIR.
# For a whole file, call it in setup_file and stop_registry in teardown_file.
start_registry() { # [STORAGE_DIR [PORT]]
        REGISTRY_DIR=${1:-${ZL_DIR:-$BATS_FILE_TMPDIR}/registry}
        mkdir -p "$REGISTRY_DIR/data"
        local port try
        for try in {1..10}; do
                port=$((20000 + RANDOM % 12000))
                [ "$try" -gt 1 ] || port=${2:-$port}
                cat >"$REGISTRY_DIR/config.yml" <<-END
                version: 0.1
                log: {level: warn, accesslog: {disabled: true}}
                storage: {filesystem: {rootdirectory: $REGISTRY_DIR/data}, delete: {enabled: true}}
                http: {addr: "127.0.0.1:$port"}
		END
                docker-registry serve "$REGISTRY_DIR/config.yml" >"$REGISTRY_DIR/log" 2>&1 </dev/null 3>&- &
                REGISTRY_PID=$!
                REGISTRY=127.0.0.1:$port
                if wait_until 10 zl_registry_decided && zl_registry_answers; then
                        export REGISTRY REGISTRY_PID REGISTRY_DIR
                        return 0
                fi
                stop_registry
        done
        echo "no registry: $(cat "$REGISTRY_DIR/log")"
        return 1
}
zl_registry_answers() {
        kill -0 "$REGISTRY_PID" && curl -sf -o /dev/null "http://$REGISTRY/v2/"
}
zl_registry_decided() { # it answers, or has ended (the port is taken)
        ! kill -0 "$REGISTRY_PID" || zl_registry_answers
}
stop_registry() {
        [ -n "${REGISTRY_PID-}" ] || return 0
        kill -TERM "$REGISTRY_PID" 2>/dev/null || :
        wait "$REGISTRY_PID" 2>/dev/null || within 5 tail --pid="$REGISTRY_PID" -s 0.05 -f /dev/null ||
                kill -KILL "$REGISTRY_PID" 2>/dev/null || :
        REGISTRY_PID=
}

# push_image LAYOUT NAME[:TAG]: copies an image of an OCI layout into the registry.
push_image() {
        within 60 skopeo copy -q --insecure-policy --dest-tls-verify=false "oci:$1:${3:-latest}" \
                "docker://$REGISTRY/$2" 3>&-
}

# stop_server PID: asks it to end, and does not wait for ever.
stop_server() {
        [ -n "$1" ] || return 0
        kill -TERM "$1" || return 0
        timeout 10 tail --pid="$1" -s 0.05 -f /dev/null || kill -KILL "$1"
}
# umount_below DIR: what servers have left mounted there.
umount_below() {
        local mounts
        mapfile -t mounts < <(awk -v d="$1/" 'index($5, d) == 1 { print $5 }' /proc/self/mountinfo | sort -r)
        [ ${#mounts[@]} = 0 ] || umount -l "${mounts[@]}"
}

# Starts a real Docker daemon with directories of its own: exports $DOCKERD (its pid) and $DOCKER_HOST. stop_dockerd ends it.
start_dockerd() { # DIR [OPTION]...
        local dir=$1
        shift
        mkdir -p "$dir"
        echo '{}' >"$dir/daemon.json"
        dockerd --data-root "$dir/data" --exec-root "$dir/exec" -p "$dir/pid" -H "unix://$dir/sock" \
                --config-file "$dir/daemon.json" --iptables=false --ip6tables=false --bridge=none \
                --cgroup-parent /zlayer "$@" >"$dir/log" 2>&1 </dev/null 3>&- &
        export DOCKERD=$! DOCKERD_DIR=$dir DOCKER_HOST=unix://$dir/sock
        wait_until 30 curl -sf --unix-socket "$dir/sock" http://docker/_ping || { tail -30 "$dir/log"; return 1; }
}
stop_dockerd() {
        [ -n "${DOCKERD-}" ] || return 0
        stop_server "$DOCKERD"
        umount_below "$DOCKERD_DIR"
        DOCKERD=
}
