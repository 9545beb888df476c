# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bats
# zlayer-oci under those who call OCI runtimes: containerd (its shim), Docker (the same shim, other options), podman (conmon). Each
# server is a real one with directories and sockets of its own, started once for the file and ended by its pid. Where a
# behaviour is the caller's matter, the case runs with runc as well and must come out the same.

load lib
load callers

# What the servers share with the machine (/run/containerd, /run/docker) is private when the file runs isolated.
setup_file() {
        export CALLERS=$BATS_FILE_TMPDIR
        [ -z "$ZL_ISOLATED" ] || mount -t tmpfs tmpfs /run
        mkdir -p "$CALLERS"/{containerd,docker,podman,home}
        export HOME=$CALLERS/home
        local layout
        layout=$(busybox_layout) || return
        ! has_program containerd || {
                tar -C "$layout" -cf "$CALLERS/bb.oci.tar" .
                start_containerd "$CALLERS/containerd" || return
                ctr image import --base-name bb "$CALLERS/bb.oci.tar" || return
        }
        skopeo copy -q --insecure-policy "oci:$layout:latest" "docker-archive:$CALLERS/bb.tar:bb:latest" || return
        ! has_program dockerd || {
                start_dockerd_above_us "$CALLERS/docker" || return
                docker load -q -i "$CALLERS/bb.tar" || return
                docker run --rm --network host bb true || return # makes what it keeps for all containers
        }
        ! has_program podman || {
                configure_podman "$CALLERS/podman"
                podman load -q -i "$CALLERS/bb.tar" || return
                podman run --rm bb true || return
        }
} >&2

teardown_file() {
        stop_dockerd
        stop_server "$CONTAINERD"
        umount_below "$CALLERS"
} >&2

setup() {
        zl_setup
        offer_ears
        skip_unless "containers need root" is_root
}

# podman keeps a bind mount of its store on itself from some calls, sometimes two, and takes it away in others, whatever
# the runtime.
teardown() {
        [ -z "$PODMAN_DIR" ] || while umount "$PODMAN_DIR/graph/overlay" 2>/dev/null; do :; done
        zl_teardown
}

# FUNCTION gets a name and a path of a runtime; what it prints must not depend on them. What the two runtimes do differently by
# intent (flags of masks, a dangling /dev/core, /sys/fs/cgroup/unified) the functions leave out.
same() { # FUNCTION
        local mine theirs
        mine=$("$1" zlayer "$ZL_OCI" 2>&1) || :
        theirs=$("$1" runc "$(command -v runc)" 2>&1) || :
        [ "$mine" = "$theirs" ] || {
                echo "with zlayer-oci:" "$mine" "with runc:" "$theirs"
                return 1
        }
        [ -n "$mine" ]
}

# --- containerd --------------------------------------------------------------------------------------

@test "containerd: run gives output and exit codes" {
        need containerd
        run hear_run "$ZL_ID" --env GREETING=hello -- sh -c 'echo $GREETING; echo error >&2; exit 7'
        assert_status 7
        assert_match 'hello'
        assert_match 'error'
        run ctr_run --rm bb:latest "$ZL_ID" true
        assert_status 0
        assert_output ""
}

@test "containerd: exec in a running task" {
        need containerd
        ctr_run -d "${HEARD[@]}" bb:latest "$ZL_ID" sleep 1000
        run hear e1 ctr task exec --exec-id e1 "$ZL_ID" sh -c "$STAY" e1 sh -c 'echo inside; exit 5'
        assert_status 5
        assert_output inside
        run hear e2 ctr task exec --exec-id e2 --user 1000:29 --cwd /tmp "$ZL_ID" sh -c "$STAY" e2 sh -c 'id -u; id -g; pwd'
        assert_output $'1000\n29\n/tmp'
        run ctr task exec --exec-id e3 "$ZL_ID" no-such-command
        assert_status 1
        assert_match 'exec: "no-such-command": executable file not found in \$PATH'
        ctr_is "$ZL_ID" RUNNING
        run ctr task ls
        assert_match "$ZL_ID"
        ctr task kill -s KILL "$ZL_ID"
        wait_until 5 ctr_is "$ZL_ID" STOPPED
        run ctr task rm "$ZL_ID"
        assert_match 'exit code 137'
        ctr container rm "$ZL_ID"
}

@test "containerd: pause, resume, processes, metrics" {
        need containerd
        ctr_run -d --memory-limit 33554432 bb:latest "$ZL_ID" sh -c 'sleep 1000 & wait'
        ctr task pause "$ZL_ID"
        ctr_is "$ZL_ID" PAUSED
        run ctr task exec --exec-id e1 "$ZL_ID" true
        [ "$status" != 0 ]
        ctr task resume "$ZL_ID"
        ctr_is "$ZL_ID" RUNNING
        has_two() { [ "$(ctr task ps "$ZL_ID" | grep -c '^[0-9]')" = 2 ]; }
        wait_until 10 has_two
        run ctr task metrics "$ZL_ID"
        assert_status 0
        assert_match 'memory[^ ]* +[1-9]'
        assert_match 'pids.current +2'
        if is_cgroup_v1; then assert_match 'memory.limit_in_bytes +33554432'; fi
        ctr task kill -a -s KILL "$ZL_ID"
        wait_until 5 ctr_is "$ZL_ID" STOPPED
        ctr task rm "$ZL_ID"
        ctr container rm "$ZL_ID"
}

@test "containerd: signals, kill of what has ended, deletion" {
        need containerd
        ctr_run -d "${HEARD[@]}" bb:latest "$ZL_ID" sh -c 'trap "exit 3" TERM; touch /heard/trap; while :; do sleep 0.05; done'
        run ctr task rm "$ZL_ID"
        assert_match 'must be stopped before deletion|failed precondition'
        wait_until 10 test -e "$ZL_DIR/heard/trap"
        ctr task kill -s TERM "$ZL_ID"
        wait_until 5 ctr_is "$ZL_ID" STOPPED
        run ctr task kill -s TERM "$ZL_ID"
        assert_status 1
        assert_match 'process already finished|not found'
        run ctr task rm "$ZL_ID"
        assert_match 'exit code 3'
        ctr container rm "$ZL_ID"
        assert_equal "$(ctr task ls -q)" ""
}

# The process lives until both lines are there: the shim of containerd 1.6 closes a file that both streams share at the end of the
# first one, and now and then loses the other ("error copying stderr"), with runc as with us.
@test "containerd: the log goes where the caller wants it" {
        need containerd
        ctr_run -d --log-uri "file://$ZL_DIR/task.log" bb:latest "$ZL_ID" sh -c 'echo out; echo err >&2; exec sleep 600'
        wait_until 20 sh -c "grep -q out $ZL_DIR/task.log && grep -q err $ZL_DIR/task.log"
        assert_equal "$(sort "$ZL_DIR/task.log")" $'err\nout'
        ctr task kill -s KILL "$ZL_ID"
        wait_until 20 ctr_is "$ZL_ID" STOPPED
        ctr task rm "$ZL_ID" || true
        ctr container rm "$ZL_ID"
}

@test "containerd: a terminal of the caller's size" {
        need containerd
        # The size comes after the start: the command waits for it.
        run hear t timeout 60 script -qec "stty rows 33 cols 77; ctr -a $CTR_SOCKET -n zlayer run --rm -t ${HEARD[*]} \
                --runc-binary $ZL_OCI bb:latest $ZL_ID sh -c '$STAY' t \
                sh -c 'until [ \"\$(stty size)\" = \"33 77\" ]; do sleep 0.05; done; tty; stty size; exit 4'" /dev/null
        assert_match '/dev/(pts/0|console)'
        assert_match '33 77'
        assert_status 4
}

@test "containerd: what cannot be created is told in one line and leaves nothing" {
        need containerd
        run ctr_run --rm bb:latest "$ZL_ID" no-such-command
        assert_status 1
        assert_match 'OCI runtime create failed.*"no-such-command": executable file not found in \$PATH'
        run ctr_run --rm bb:latest "$ZL_ID" /no/such/command
        assert_match 'OCI runtime create failed.*"/no/such/command".*no such file or directory'
        run ctr_run --rm bb:latest "$ZL_ID" /etc/passwd
        assert_match 'OCI runtime create failed.*permission denied'
        run ctr_run --rm --mount type=bind,src=/no/such,dst=/mnt,options=rbind bb:latest "$ZL_ID" true
        assert_match 'OCI runtime create failed.*/no/such.*no such file or directory'
        assert_equal "$(ctr task ls -q)$(ctr container ls -q)" ""
}

@test "containerd: a missing working directory is made, as with runc" {
        need containerd
        run hear_run "$ZL_ID" --cwd /not/there/yet -- pwd
        assert_status 0
        assert_output /not/there/yet
}

@test "containerd: mounts, read-only root, devices, privileges" {
        need containerd
        mkdir "$ZL_DIR/data"
        run hear_run "$ZL_ID" --read-only --mount "type=bind,src=$ZL_DIR/data,dst=/data,options=rbind:rw" \
                --mount type=tmpfs,dst=/scratch,options=size=1m --device /dev/kmsg -- \
                sh -c 'echo x >/data/file; echo y >/scratch/y && ls /dev/kmsg; touch /z'
        assert_status 1
        assert_match '/dev/kmsg'
        assert_match 'Read-only file system'
        assert_equal "$(cat "$ZL_DIR/data/file")" x
        privileges() { # NAME RUNTIME
                RUNTIME=$2 hear_run "$ZL_ID" --seccomp --cap-add CAP_SYS_TIME --cap-drop CAP_KILL -- \
                        sh -c 'grep -E "Cap|Secc|NoNew" /proc/self/status; ls /dev | grep -v core; cat /proc/self/cgroup | cut -d: -f3 | uniq'
        }
        same privileges
}

@test "containerd: a task outlives the server" {
        need containerd
        mkdir "$ZL_DIR/c"
        local CONTAINERD CTR_SOCKET
        start_containerd "$ZL_DIR/c"
        ctr image import --base-name bb "$CALLERS/bb.oci.tar"
        ctr_run -d "${HEARD[@]}" bb:latest "$ZL_ID" sh -c 'trap "exit 9" TERM; touch /heard/trap; while :; do sleep 0.05; done'
        wait_until 10 test -e "$ZL_DIR/heard/trap"
        kill -KILL "$CONTAINERD"
        wait "$CONTAINERD" || :
        start_containerd "$ZL_DIR/c"
        ctr_is "$ZL_ID" RUNNING
        assert_equal "$(hear e ctr task exec --exec-id e "$ZL_ID" sh -c "$STAY" e echo again)" again
        ctr task kill -s TERM "$ZL_ID"
        wait_until 5 ctr_is "$ZL_ID" STOPPED
        run ctr task rm "$ZL_ID"
        assert_match 'exit code 9'
        ctr container rm "$ZL_ID"
        kill -TERM "$CONTAINERD"
        wait "$CONTAINERD" || :
}

@test "containerd: ten tasks at once" {
        need containerd
        local i pids=()
        for i in {0..9}; do
                hear_run "$ZL_ID-$i" -- sh -c "echo task $i; exit $i" >"$ZL_DIR/out.$i" 2>&1 &
                pids+=($!)
        done
        for i in {0..9}; do
                status=0
                wait "${pids[i]}" || status=$?
                assert_equal "$status $(cat "$ZL_DIR/out.$i")" "$i task $i"
        done
}

# --- Docker ------------------------------------------------------------------------------------------

@test "docker: run gives output and exit codes; input is passed on" {
        need dockerd
        run docker run --rm bb sh -c 'echo out; exit 7'
        assert_status 7
        assert_output out
        run docker run --rm --init bb sh -c 'kill -TERM $$; sleep 5'
        assert_status 143
        run docker run --rm -i bb cat <<<"through"
        assert_output through
        run docker info -f '{{.DefaultRuntime}}'
        assert_output zlayer
}

@test "docker: exit codes 125, 126 and 127 of what cannot run" {
        need dockerd
        run -127 docker run --rm bb no-such-command
        assert_match 'executable file not found in \$PATH'
        run -127 docker run --rm bb /no/such/command
        assert_match 'no such file or directory'
        run -126 docker run --rm bb /etc/passwd
        assert_match 'permission denied'
        run -125 docker run --rm --hostname 'x y' -v /no/such:/x:nonsense bb true
        run docker ps -aq
        assert_output ""
}

@test "docker: the life of a container: start, exec, logs, stop, restart, kill, remove" {
        need dockerd
        local n=c$ZL_ID
        docker run -d --name "$n" bb sh -c 'trap "echo bye; exit 3" TERM; echo started; while :; do sleep 0.05; done'
        wait_until 5 logs_have docker "$n" started
        run docker exec -u app -w /tmp -e A=b "$n" sh -c 'id; pwd; echo $A; exit 5'
        assert_status 5
        assert_output $'uid=1000(app) gid=1000(app) groups=29(audio),44(video),1000(app)\n/tmp\nb'
        run docker exec "$n" no-such-command
        assert_match 'executable file not found in \$PATH'
        [ "$status" = 126 ] || [ "$status" = 127 ] # 126 before Docker 23
        docker exec -d "$n" touch /made
        wait_until 5 docker exec "$n" test -e /made
        run docker top "$n"
        assert_match 'trap'
        docker restart -t 10 "$n"
        wait_until 5 logs_have docker "$n" started 2
        docker stop -t 10 "$n"
        assert_equal "$(docker_state "$n")" "exited 3 false"
        assert_equal "$(docker logs "$n")" $'started\nbye\nstarted\nbye'
        docker start "$n"
        docker kill "$n"
        wait_until 5 docker_is "$n" exited
        assert_equal "$(docker_state "$n")" "exited 137 false"
        run docker kill "$n"
        assert_match 'is not running'
        docker rm "$n"
        run docker inspect "$n"
        assert_status 1
}

@test "docker: pause and unpause, wait, rename, copy, commit-free removal by force" {
        need dockerd
        local n=c$ZL_ID
        docker run -d --name "$n" bb sleep 1000
        docker pause "$n"
        docker_is "$n" paused
        docker unpause "$n"
        docker_is "$n" running
        echo content >"$ZL_DIR/file"
        docker cp "$ZL_DIR/file" "$n:/tmp/file"
        assert_equal "$(docker exec "$n" cat /tmp/file)" content
        docker rename "$n" "$n-new"
        docker rm -f "$n-new"
        run docker inspect "$n-new"
        assert_status 1
        # A paused one goes, too.
        docker run -d --name "$n" bb sleep 1000
        docker pause "$n"
        docker rm -f "$n"
}

@test "docker: a terminal" {
        need dockerd
        local client=/usr/bin/docker
        [ -x $client ] || client=docker
        run timeout 30 script -qec "stty rows 33 cols 77; $client run --rm -it bb \
                sh -c 'until [ \"\$(stty size)\" = \"33 77\" ]; do sleep 0.05; done; tty; stty size; exit 4'" /dev/null
        assert_match '/dev/(pts/0|console)'
        assert_match '33 77'
        assert_status 4
        docker run -d --name "c$ZL_ID" bb sleep 1000
        run timeout 30 script -qec "$client exec -it c$ZL_ID sh -c 'tty; exit 6'" /dev/null
        assert_match '/dev/pts/'
        assert_status 6
        docker rm -f "c$ZL_ID"
}

@test "docker: limits of memory, processes and processors; update" {
        need dockerd
        skip_unless "expected: the files are those of cgroup v1" is_cgroup_v1
        local n=c$ZL_ID
        docker run -d --name "$n" --memory 32m --pids-limit 40 --cpus 0.5 --cpu-shares 300 --cpuset-cpus 0 bb sleep 1000
        limits() {
                docker exec "$n" sh -c 'cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes pids/pids.max \
                        cpu/cpu.cfs_quota_us cpu/cpu.shares cpuset/cpuset.cpus'
        }
        assert_equal "$(limits)" $'33554432\n40\n50000\n300\n0'
        docker update --memory 64m --memory-swap 128m --pids-limit 50 --cpu-shares 400 "$n"
        assert_equal "$(limits)" $'67108864\n50\n50000\n400\n0'
        run docker stats --no-stream --format '{{.MemUsage}} {{.PIDs}}' "$n"
        assert_match '64MiB 1$'
        docker rm -f "$n"
        # A limit on processes is kept.
        run docker run --rm --pids-limit 5 bb sh -c 'for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait'
        assert_match "can't fork"
}

@test "docker: out of memory is told" {
        need dockerd
        local n=c$ZL_ID
        run docker run --name "$n" --memory 16m --memory-swap 16m bb sh -c 'head -c 200m /dev/zero | tail >/dev/null'
        wait_until 5 docker_is "$n" exited
        assert_match 'exited 137 true|exited [0-9]+ true' "$(docker_state "$n")"
        docker rm "$n"
}

@test "docker: what is asked for is what runc makes of it" {
        need dockerd
        mkdir "$ZL_DIR/v"
        echo content >"$ZL_DIR/v/file"
        users() {
                docker run --rm --runtime "$1" --user 1000:29 --group-add video bb id
                docker run --rm --runtime "$1" --user app bb id
                docker run --rm --runtime "$1" --user nobody --security-opt no-new-privileges bb \
                        grep -E 'Cap|NoNew|Secc' /proc/self/status
        }
        same users
        filesystems() {
                docker run --rm --runtime "$1" --read-only --tmpfs /t:size=1m,mode=1777 -v "$ZL_DIR/v:/v:ro" \
                        -v "$ZL_DIR/v/file:/tmp/f" --shm-size 2m bb sh -c 'exec 2>&1; touch /x; echo y >/t/y && cat /t/y
                        touch /v/z; cat /v/file /tmp/f; df /t /dev/shm | cut -c1-60; ls -ld /t
                        cut -d" " -f5,6 /proc/self/mountinfo | grep -Ev "^/(proc|sys)/" | sort
                        cut -d" " -f5 /proc/self/mountinfo | grep -v unified | sort; ls -l /dev | grep -v core | cut -c1-42'
        }
        same filesystems
        privileges() {
                docker run --rm --runtime "$1" --cap-drop ALL --cap-add CHOWN --cap-add NET_ADMIN bb \
                        grep -E 'Cap|NoNew|Secc' /proc/self/status
                docker run --rm --runtime "$1" --security-opt seccomp=unconfined bb grep -E 'Secc' /proc/self/status
                docker run --rm --runtime "$1" bb unshare -m true
        }
        same privileges
}

@test "docker: names, limits of the process, devices, namespaces, as with runc" {
        need dockerd
        settings() {
                docker run --rm --runtime "$1" --hostname box --sysctl net.ipv4.ip_forward=1 --ulimit nofile=100:200 \
                        --oom-score-adj 500 --device /dev/kmsg:/dev/k:r -e A=1 -w /made/here --init bb sh -c 'hostname
                        cat /proc/sys/net/ipv4/ip_forward; ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj; ls -l /dev/k | cut -c1-20
                        env | sort; pwd; readlink /proc/1/exe; cat /proc/1/comm; ip link | grep -c :' 2>&1
        }
        same settings
        namespaces() {
                docker run --rm --runtime "$1" --pid host --ipc host --uts host --network host bb \
                        sh -c 'for i in pid ipc uts net; do readlink /proc/self/ns/$i; done'
                docker run -d --runtime "$1" --name "a$ZL_ID" --ipc shareable bb sleep 1000 >/dev/null
                docker run --rm --runtime "$1" --network "container:a$ZL_ID" --pid "container:a$ZL_ID" \
                        --ipc "container:a$ZL_ID" bb ps -o comm
                docker rm -f "a$ZL_ID"
        }
        same namespaces
}

@test "docker: a restart policy brings it back" {
        need dockerd
        local n=c$ZL_ID
        docker run -d --name "$n" --restart on-failure:2 bb sh -c 'echo again; exit 1'
        wait_until 20 docker_is "$n" exited
        assert_equal "$(docker logs "$n" | grep -c again)" 3
        assert_equal "$(docker inspect -f '{{.RestartCount}}' "$n")" 2
        docker rm "$n"
}

@test "docker: a health check is an exec every now and then" {
        need dockerd
        local n=c$ZL_ID
        docker run -d --name "$n" --health-cmd 'test -e /tmp/well' --health-interval 200ms --health-retries 1 bb sleep 1000
        is_health() { [ "$(docker inspect -f '{{.State.Health.Status}}' "$n")" = "$1" ]; }
        wait_until 10 is_health unhealthy
        docker exec "$n" touch /tmp/well
        wait_until 10 is_health healthy
        docker rm -f "$n"
}

# --- podman ------------------------------------------------------------------------------------------

@test "podman: run gives output and exit codes; input is passed on" {
        need podman
        run podman run --rm bb sh -c 'echo out; exit 7'
        assert_status 7
        assert_output out
        run podman run --rm -i bb cat <<<"through"
        assert_output through
        run -127 podman run --rm bb no-such-command
        run -126 podman run --rm bb /etc/passwd
        assert_equal "$(podman ps -aq)" ""
}

@test "podman: the life of a container: start, exec, logs, stop, restart, kill, remove" {
        need podman
        local n=c$ZL_ID
        podman run -d --name "$n" bb sh -c 'trap "echo bye; exit 3" TERM; echo started; while :; do sleep 0.05; done'
        wait_until 5 logs_have podman "$n" started
        run podman exec -u app -w /tmp -e A=b "$n" sh -c 'id -un; id -gn; pwd; echo $A; exit 5'
        assert_status 5
        assert_output $'app\napp\n/tmp\nb'
        run -127 podman exec "$n" no-such-command
        run podman top "$n" pid args
        assert_match 'trap'
        podman restart -t 10 "$n"
        wait_until 5 logs_have podman "$n" started 2
        podman pause "$n"
        podman_is "$n" paused
        podman unpause "$n"
        podman_is "$n" running
        podman stop -t 10 "$n"
        assert_equal "$(podman_state "$n")" "exited 3 false"
        podman start "$n"
        podman kill "$n"
        wait_until 5 podman_is "$n" exited
        assert_equal "$(podman_state "$n")" "exited 137 false"
        run podman kill "$n"
        assert_match 'can only kill running containers'
        podman rm "$n"
        run podman inspect "$n"
        [ "$status" != 0 ]
}

@test "podman: removal by force, figures, terminal" {
        need podman
        local n=c$ZL_ID
        podman run -d --name "$n" bb sleep 1000
        run podman stats --no-stream --format '{{.PIDs}}' "$n"
        assert_output 1
        run timeout 30 script -qec "podman --tmpdir $PODMAN_DIR/tmp --runtime $ZL_OCI exec -it $n sh -c 'tty; exit 6'" /dev/null
        assert_match '/dev/pts/'
        assert_status 6
        podman rm -f -t 0 "$n"
        # podman shows nothing that is written before it has attached, which is after the start (5 of 40 runs of `tty` had no output, with
        # runc 5 of 40): the process says it again until it was heard.
        background timeout 60 script -qec "podman --tmpdir $PODMAN_DIR/tmp --runtime $ZL_OCI run --rm -it -v $ZL_DIR/heard:/heard bb \
                sh -c 'until [ -e /heard/it ]; do tty; sleep 0.1; done; exit 4'" /dev/null
        wait_until 20 grep -qE '/dev/(pts/0|console)' "$ZL_BG_LOG"
        : >"$ZL_DIR/heard/it"
        status=0
        wait "$ZL_BG" || status=$?
        assert_status 4
}

@test "podman: what is asked for is what runc makes of it" {
        need podman
        mkdir "$ZL_DIR/v"
        echo content >"$ZL_DIR/v/file"
        settings() {
                RUNTIME=$2 podman run --rm --user 1000:29 --hostname box --read-only --tmpfs /t:size=1m --cap-drop ALL \
                        --cap-add CHOWN -v "$ZL_DIR/v:/v:ro" --pids-limit 40 -w /tmp bb \
                        sh -c 'exec 2>&1; id; hostname; grep -E "Cap|NoNew|Secc" /proc/self/status; cat /v/file; touch /v/x /x; pwd
                        ulimit -n; cut -d" " -f5,6 /proc/self/mountinfo | grep -Ev "^/(proc|sys)/" | sort
                        cut -d" " -f5 /proc/self/mountinfo | grep -v unified | sort'
        }
        same settings
        mapped() {
                RUNTIME=$2 podman run --rm --uidmap 0:100000:5000 --gidmap 0:200000:5000 bb \
                        sh -c 'id -u; cat /proc/self/uid_map /proc/self/gid_map; touch /mine && stat -c %u /mine'
        }
        same mapped
}
