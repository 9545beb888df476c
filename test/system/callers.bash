# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Who calls OCI runtimes: containerd, Docker and podman as real servers and programs with directories and sockets of their own.

# Sets $CONTAINERD (pid) and $CTR_SOCKET. The directory may hold the state of an earlier one.
start_containerd() { # DIR
        cat >"$1/config.toml" <<-END
		version = 2
		root = "$1/root"
		state = "$1/state"
		disabled_plugins = ["io.containerd.grpc.v1.cri"]
		[grpc]
		  address = "$1/sock"
		END
        containerd -c "$1/config.toml" >>"$1/log" 2>&1 </dev/null 3>&- &
        export CONTAINERD=$! CTR_SOCKET=$1/sock
        wait_until 20 ctr version || { cat "$1/log"; return 1; }
}
# ctr says on standard error that a deleted task had a bad status; that is no message of ours.
ctr() { timeout -k 5 "${ZL_TIMEOUT:-30}" ctr -a "$CTR_SOCKET" -n zlayer "$@" 3>&-; }
# ctr_run [OPTION]... IMAGE ID COMMAND...
ctr_run() { ctr run --runc-binary "${RUNTIME:-$ZL_OCI}" "$@"; }
# What is written right before the end is now and then lost on the way through containerd 1.6, whatever the runtime (2 of 1500 execs
# with zlayer-oci, 0 of 1500 with runc; 1 of 100 with either where strace delays each open of ctr by 0.1 s): it seems that ctr opens its
# end of a stream aside, and closes it as soon as the process is deleted, read or not. So who wants to see output has the
# process stay until all of it is there: `sh -c "$STAY" NAME COMMAND...` in the container says so on both streams and waits for
# /heard/NAME, `hear NAME CTR-COMMAND...` outside makes that file. Gives the output and the status of COMMAND.
export STAY='"$@"; code=$?; echo @end; echo @end >&2; until [ -e "/heard/$0" ]; do sleep 0.02; done; exit $code'
hear() { # NAME CTR-COMMAND...
        local name=$1 pid status=0
        shift
        rm -f "$ZL_DIR/heard/$name"
        "$@" >"$ZL_DIR/said.$name" 2>&1 &
        pid=$!
        wait_until 20 all_said "$name" $pid || status=$?
        : >"$ZL_DIR/heard/$name"
        wait $pid || status=$?
        sed '/^@end/d' "$ZL_DIR/said.$name"
        return $status
}
all_said() { # NAME PID
        [ "$(grep -c '^@end' "$ZL_DIR/said.$1")" = 2 ] || ! kill -0 "$2"
}
# hear_run ID [OPTION]... -- COMMAND...
hear_run() {
        local id=$1 options=()
        shift
        while [ "$1" != -- ]; do
                options+=("$1")
                shift
        done
        shift
        hear "$id" ctr_run --rm "${HEARD[@]}" "${options[@]}" bb:latest "$id" sh -c "$STAY" "$id" "$@"
}
# The same for programs that cannot wait (WebAssembly): they say it again if nothing was heard.
hear_again() { # CTR-COMMAND...
        local status said i
        for i in 1 2 3 4 5; do
                status=0
                said=$("$@" 2>&1) || status=$?
                [ -z "$said" ] || break
        done
        echo "$said"
        return $status
}
# Sets the options with which a container sees /heard.
offer_ears() {
        mkdir -p "$ZL_DIR/heard"
        HEARD=(--mount "type=bind,src=$ZL_DIR/heard,dst=/heard,options=rbind")
}
ctr_status() { # ID
        ctr task ls | awk -v id="$1" '$1 == id { print $3 }'
}
ctr_is() { # ID STATUS
        [ "$(ctr_status "$1")" = "$2" ]
}

# The engine of start_dockerd(), with zlayer-oci below it.
start_dockerd_above_us() { # DIR
        start_dockerd "$1" --add-runtime "zlayer=$ZL_OCI" --default-runtime zlayer
}
# Debian's client, which fits Debian's daemon, if another one is in the way.
docker() {
        local program=/usr/bin/docker
        [ -x $program ] || program=docker
        timeout -k 5 "${ZL_TIMEOUT:-40}" $program "$@" 3>&-
}
docker_state() { # NAME
        docker inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}' "$1"
}
docker_is() { # NAME STATUS
        [[ $(docker_state "$1") == "$2 "* ]]
}

# Defaults of podman that need more rights than a test machine may have (raising limits) are off, for any runtime.
configure_podman() { # DIR
        cat >"$1/containers.conf" <<-END
		[containers]
		default_ulimits = []
		netns = "none"
		cgroupns = "host"
		[engine]
		cgroup_manager = "cgroupfs"
		events_logger = "file"
		END
        cat >"$1/storage.conf" <<-END
		[storage]
		driver = "overlay"
		graphroot = "$1/graph"
		runroot = "$1/run"
		END
        export PODMAN_DIR=$1 CONTAINERS_CONF=$1/containers.conf CONTAINERS_STORAGE_CONF=$1/storage.conf
}
podman() {
        timeout -k 5 "${ZL_TIMEOUT:-40}" podman --tmpdir "$PODMAN_DIR/tmp" --runtime "${RUNTIME:-$ZL_OCI}" "$@" 3>&-
}
podman_state() { podman inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}' "$1"; }
podman_is() { [[ $(podman_state "$1") == "$2 "* ]]; }

need() { # PROGRAM
        skip_unless "$1 is not installed" has_program "$1"
}
logs_have() { # CALLER NAME TEXT [LINES]
        [ "$("$1" logs "$2" 2>&1 | grep -c "$3")" -ge "${4:-1}" ]
}
