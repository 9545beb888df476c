# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bats
# Graphics processors: each workload has its own, or shares where it says so. The processors are nodes without a driver, in a /dev of the test's own.
# shellcheck disable=SC2016 # $ in `sh -c` texts is for the container
load lib
load daemon

setup() {
        zl_setup
        skip_unless "containers need root" is_root
        skip_unless "expected: nodes only in a /dev of its own (test/run)" test -n "$ZL_ISOLATED"
        export ZLAYER_MONITOR=$ZL_BUILD/zlayer-monitor ZLAYER_CDI_DIRS=$ZL_DIR/cdi
        import_busybox bb
        make_dev
}
teardown() {
        [ ! -e "$ZL_DIR/dev/pts" ] || umount -l /dev "$ZL_DIR/dev"
        zl_teardown
}

# What stands in /dev, in a file system that is gone after the test.
make_dev() {
        mkdir "$ZL_DIR/dev"
        mount -t tmpfs tmpfs "$ZL_DIR/dev"
        cp -a --one-file-system /dev/. "$ZL_DIR/dev"
        mount --rbind /dev/pts "$ZL_DIR/dev/pts"
        mount --rbind "$ZL_DIR/dev" /dev
}
make_nvidia() { # HOW MANY
        local i
        mknod /dev/nvidiactl c 195 255
        mknod /dev/nvidia-uvm c 511 0
        mknod /dev/nvidia-uvm-tools c 511 1
        for ((i = 0; i < $1; i++)); do mknod "/dev/nvidia$i" c 195 "$i"; done
}

# A deployment with a service each, which wishes what is said of its GPUs.
write_services() { # DEPLOYMENT [SERVICE WISH]...
        echo "version: v1"
        echo "deployment: $1"
        echo "services:"
        while shift && [ $# -gt 0 ]; do
                printf '  %s:\n    image: {name: bb}\n    stop_grace_period: 0s\n    scale: {mode: fixed, replicas: 1}\n' "$1"
                printf '    command: {entrypoint: [sleep, "100000"]}\n    resources: {gpu: {%s}}\n' "$2"
                shift
        done
}
native() { within "${ZL_TIMEOUT:-30}" "$ZL_BUILD/test/system/native-driver" "$@" 3>&-; }
create() { # NAME WISH
        write_services "${1%%.*}" s "$2" >"$1.yaml"
        native create "$1" "$1.yaml"
}
gpus_of() { zl inspect "$1" | jq -r 'first(if type == "array" then .[] else . end) | (.gpus // []) | map(ltrimstr("/dev/")) | join(" ")'; }
pid_of() { zl ps --json | jq --arg n "$1" '.[] | select(.name == $n and .state == "running") | .pid'; }
seen_in() { zl exec "$1" sh -c 'ls /dev /dev/dri 2>/dev/null | grep -E "nvidia[0-9]|render|card" | xargs'; }
variable() { zl exec "$1" sh -c "echo \"\$$2\""; } # NAME VARIABLE

@test "gpu: two services have one each, a third is told who has them, and gets one that is free" {
        make_nvidia 2
        start_daemon
        write_services two a 'count: 1' b 'count: 1' >two.yaml
        write_services one c 'count: 1, sharing: exclusive' >one.yaml
        zl up -d two.yaml
        assert_equal "$(for s in a b; do gpus_of "two.$s.1"; done | sort | xargs)" "nvidia0 nvidia1"
        for s in a b; do
                own=$(gpus_of "two.$s.1") other=nvidia$((1 - ${own#nvidia}))
                assert_equal "$(seen_in "two.$s.1")" "$own"
                assert_equal "$(variable "two.$s.1" NVIDIA_VISIBLE_DEVICES)" "${own#nvidia}"
                # counted among those that it sees
                assert_equal "$(variable "two.$s.1" CUDA_VISIBLE_DEVICES)" 0
                # It may use its own, which has no driver, and cannot get at the other by making the node.
                run zl exec "two.$s.1" sh -c "mknod /tmp/x c 195 ${other#nvidia}; (: </dev/$own); (: </tmp/x)"
                assert_match "$own: No such device or address"
                assert_match 'x: Operation not permitted'
        done
        run -1 zl up -d one.yaml
        assert_match 'cannot create one.c.1: resources.gpu: 1 of nvidia wanted, 0 of 2 free: '
        assert_match "two.a.1 has /dev/$(gpus_of two.a.1)"
        assert_match "two.b.1 has /dev/$(gpus_of two.b.1)"
        own=$(gpus_of two.b.1)
        zl scale two b=0
        zl up -d one.yaml
        assert_equal "$(gpus_of one.c.1)" "$own"
        zl down two
        zl down one
}

@test "gpu: the error of a create, and what frees one" {
        make_nvidia 3
        create aaa.s.1 'count: 2'
        run ! create bbb.s.1 'count: 2'
        assert_match '^busy: cannot create bbb.s.1: resources.gpu: 2 of nvidia wanted, 1 of 3 free: aaa.s.1 has /dev/nvidia0, aaa.s.1 has /dev/nvidia1$'
        create ccc.s.1 '{}' 2>/dev/null || create ccc.s.1 'count: 1'
        run ! create bbb.s.1 'count: 4'
        assert_match '^unsupported: .*resources.gpu: 4 of nvidia wanted, this machine has 3$'
        run ! create bbb.s.1 'vendor: amd'
        assert_match '^unsupported: .*resources.gpu: 1 of amd wanted, this machine has 0$'
        # Nothing is left of what was refused.
        assert_equal "$(native list | cut -d' ' -f1 | xargs)" "aaa.s.1 ccc.s.1"
        # One that has ended has its own, for it can be started again.
        native start aaa.s.1
        native kill aaa.s.1 9
        native wait aaa.s.1
        run ! create bbb.s.1 'count: 2'
        native start aaa.s.1
        assert_equal "$(gpus_of aaa.s.1)" "nvidia0 nvidia1"
        # Another name is the same workload.
        native rename ccc.s.1 ccc.s.2
        run ! create bbb.s.1 'count: 1'
        assert_match 'ccc.s.2 has /dev/nvidia2'
        native rm aaa.s.1 force
        create bbb.s.1 'count: 2'
        assert_equal "$(gpus_of bbb.s.1)" "nvidia0 nvidia1"
        # None wanted, none needed.
        create ddd.s.1 'count: 0'
        assert_equal "$(gpus_of ddd.s.1)" ""
        for w in bbb.s.1 ccc.s.2 ddd.s.1; do native rm "$w" force; done
}

@test "gpu: many creates at the same time get one each" {
        local i n=8 pids=()
        make_nvidia $n
        for ((i = 1; i <= n + 2; i++)); do
                write_services many s 'count: 1' >"many.$i.yaml"
        done
        for ((i = 1; i <= n + 2; i++)); do
                native create "many.s.$i" "many.$i.yaml" 2>"many.$i.err" &
                pids+=($!)
        done
        wait "${pids[@]}" || :
        assert_equal "$(native list | wc -l)" $n
        assert_equal "$(cat many.*.err | grep -c "^busy: .* 1 of nvidia wanted, 0 of $n free: ")" 2
        assert_equal "$(native list | while read -r w _; do gpus_of "$w"; done | sort | xargs)" "$(seq -f 'nvidia%.0f' 0 $((n - 1)) | xargs)"
        for w in $(native list | cut -d' ' -f1); do native rm "$w" force; done
}

@test "gpu: a restart and an agent that is killed change nothing" {
        make_nvidia 3
        start_daemon
        write_services app a 'count: 1' b 'count: 1' >app.yaml
        zl up -d app.yaml
        before=$(gpus_of app.a.1) other=$(gpus_of app.b.1)
        zl restart app.a.1
        assert_equal "$(gpus_of app.a.1)" "$before"
        assert_equal "$(seen_in app.a.1)" "$before"
        kill -KILL "$DAEMON"
        wait_until 10 has_ended "$DAEMON"
        # The last one goes to somebody else while nobody is there, and is not given away twice.
        create late.s.1 'count: 1'
        run ! create late.s.2 'count: 1'
        assert_match "app.a.1 has /dev/$before"
        start_daemon
        # Its first process dies, and is started again by the new daemon.
        pid=$(pid_of app.a.1)
        kill -KILL "$pid"
        has_another() { [[ $(pid_of app.a.1) != @("$pid"|null|) ]]; }
        wait_until 10 has_another
        assert_equal "$(gpus_of app.a.1) $(gpus_of app.b.1)" "$before $other"
        assert_equal "$(seen_in app.a.1)" "$before"
        run ! create late.s.2 'count: 1'
        native rm late.s.1 force
        zl down app
        create late.s.1 'count: 3'
        native rm late.s.1 force
}

@test "gpu: replicas have one each, also those that a container made ahead would fit" {
        make_nvidia 4
        start_daemon
        write_services app a 'count: 1' | sed 's/replicas: 1/replicas: 3/' >app.yaml
        zl up -d app.yaml
        for i in {1..20}; do # so long a container for the next of their kind may take
                ! compgen -G "$ZLAYER_ROOT_DIR/containers/.spare-*" >/dev/null || break
                sleep 0.1
        done
        zl scale app a=4
        assert_equal "$(for i in 1 2 3 4; do seen_in "app.a.$i"; done | sort | xargs)" "nvidia0 nvidia1 nvidia2 nvidia3"
        for i in 1 2 3 4; do assert_equal "$(gpus_of "app.a.$i")" "$(seen_in "app.a.$i")"; done
        # A changed one gives back its own before it takes another.
        sed -i 's/replicas: 3/replicas: 4/; s/    command/    env: {NEW: "yes"}\n&/' app.yaml
        zl up -d app.yaml
        assert_equal "$(for i in 1 2 3 4; do seen_in "app.a.$i"; variable "app.a.$i" NEW; done | sort | xargs)" "nvidia0 nvidia1 nvidia2 nvidia3 yes yes yes yes"
        zl down app
}

@test "gpu: those who share take the one that is used least, and nobody shares by accident" {
        make_nvidia 3
        create own.s.1 'count: 1'
        run -0 create tsl.s.1 'count: 1, sharing: time-slice'
        assert_match 'warning: resources.gpu.sharing'
        for i in 2 3 4; do create "tsl.s.$i" 'count: 1, sharing: mps' 2>/dev/null; done
        assert_equal "$(for i in 1 2 3 4; do gpus_of "tsl.s.$i"; done | xargs)" "nvidia1 nvidia2 nvidia1 nvidia2"
        create both.s.1 'count: 2, sharing: time-slice' 2>/dev/null
        assert_equal "$(gpus_of both.s.1)" "nvidia1 nvidia2"
        # What is shared is nobody's alone, and what is somebody's is not shared.
        run ! create own.s.2 'count: 1'
        assert_match '0 of 3 free: own.s.1 has /dev/nvidia0, .*tsl.s.3 shares /dev/nvidia1'
        run ! create both.s.2 'count: 3, sharing: time-slice'
        assert_match '3 of nvidia wanted, 2 of 3 free: own.s.1 has /dev/nvidia0'
        native rm own.s.1 force
        create both.s.2 'count: 1, sharing: time-slice' 2>/dev/null
        assert_equal "$(gpus_of both.s.2)" nvidia0
        for w in tsl.s.{1,2,3,4} both.s.{1,2}; do native rm "$w" force; done
}

@test "gpu: a job that has ended needs none, unless it is tried again" {
        make_nvidia 1
        job() { # NAME WISH COMMAND [POLICY]
                write_services "${1%%.*}" s 'count: 1' |
                        sed "s/^    command.*/    rtype: job\n    command: {entrypoint: [sh, -c, '$2']}\n    restart_policy: {${3:-kind: "no"}}/" >"$1.yaml"
                native create "$1" "$1.yaml"
        }
        job done.s.1 'exit 3'
        run ! job next.s.1 true
        native start done.s.1
        native wait done.s.1
        job next.s.1 'exit 3' 'kind: on_failure, max_attempts: 1'
        # Now it is not its own any more.
        run ! native start done.s.1
        assert_match '^busy: cannot start done.s.1 again: resources.gpu: next.s.1 has /dev/nvidia0 now'
        native start next.s.1
        native wait next.s.1
        run ! native start done.s.1 # it will be tried again
        native start next.s.1
        native wait next.s.1
        native start done.s.1
        assert_equal "$(native state done.s.1 | cut -d' ' -f6)" 2
        native wait done.s.1
        native rm done.s.1
        native rm next.s.1
}

@test "gpu: a create that was killed keeps none" {
        make_nvidia 1
        mkdir -p "$ZLAYER_ROOT_DIR/containers/wreck.s.1"
        echo '{"shared":false,"launches":0,"devices":["/dev/nvidia0"]}' >"$ZLAYER_ROOT_DIR/containers/wreck.s.1/gpus.json"
        create aaa.s.1 'count: 1'
        # Somebody works on it: it may become a workload.
        native rm aaa.s.1
        exec 8<"$ZLAYER_ROOT_DIR/containers/wreck.s.1"
        flock -x 8
        run ! create aaa.s.1 'count: 1'
        assert_match 'wreck.s.1 has /dev/nvidia0'
        exec 8<&-
        native recover
        create aaa.s.1 'count: 1'
        native rm aaa.s.1
}

@test "gpu: render nodes of other vendors" {
        mkdir /dev/dri
        mknod /dev/kfd c 235 0
        for i in 0 1; do mknod "/dev/dri/renderD$((128 + i))" c 226 $((128 + i)) && mknod "/dev/dri/card$i" c 226 "$i"; done
        for i in 1 2; do create "amd.s.$i" 'vendor: amd' && native start "amd.s.$i"; done
        assert_equal "$(gpus_of amd.s.2)" dri/renderD129
        assert_equal "$(seen_in amd.s.2)" "card1 renderD129"
        assert_equal "$(zl exec amd.s.2 sh -c 'ls /dev/kfd; echo $ROCR_VISIBLE_DEVICES $HIP_VISIBLE_DEVICES')" $'/dev/kfd\n0 0'
        # The same device by another vendor's name is not another one.
        run ! create intel.s.1 'vendor: intel'
        assert_match '1 of intel wanted, 0 of 2 free: amd.s.1 has /dev/dri/renderD128, amd.s.2 has /dev/dri/renderD129'
        for i in 1 2; do native rm "amd.s.$i" force; done
}

@test "gpu: the vendor's file says what comes with one, whatever its order" {
        make_nvidia 2
        mkdir cdi library
        echo driver >library/libcuda.so.1
        # Its tools number in another order than the driver.
        cat >cdi/nvidia.yaml <<-EOF
		cdiVersion: 0.6.0
		kind: nvidia.com/gpu
		containerEdits:
		  env: [NVIDIA_VISIBLE_DEVICES=void]
		  deviceNodes: [{path: /dev/nvidiactl}]
		  mounts: [{hostPath: $ZL_DIR/library, containerPath: /opt/driver, options: [ro, rbind]}]
		devices:
		- {name: "0", containerEdits: {env: [UUID=x], deviceNodes: [{path: /dev/nvidia1}]}}
		- {name: "1", containerEdits: {env: [UUID=y], deviceNodes: [{path: /dev/nvidia0}]}}
		- {name: all, containerEdits: {deviceNodes: [{path: /dev/nvidia0}, {path: /dev/nvidia1}]}}
	EOF
        run -0 create aaa.s.1 'count: 1'
        assert_output ""
        native start aaa.s.1
        assert_equal "$(gpus_of aaa.s.1) $(seen_in aaa.s.1)" "nvidia0 nvidia0"
        assert_equal "$(zl exec aaa.s.1 sh -c 'echo $UUID $NVIDIA_VISIBLE_DEVICES $CUDA_VISIBLE_DEVICES; cat /opt/driver/*; ls /dev/nvidiactl')" $'y void 0\ndriver\n/dev/nvidiactl'
        native rm aaa.s.1 force
        # Both: what they share comes once.
        create aaa.s.1 'count: 2'
        native start aaa.s.1
        assert_equal "$(zl exec aaa.s.1 sh -c 'grep -c /opt/driver /proc/mounts') $(seen_in aaa.s.1)" "1 nvidia0 nvidia1"
        native rm aaa.s.1 force
        # Without a file there are the nodes, and it is told what is missing.
        rm cdi/nvidia.yaml
        run -0 create aaa.s.1 'count: 1'
        assert_match 'warning: resources.gpu: without the libraries of the driver: device nvidia.com/gpu=0 is in no file'
        native start aaa.s.1
        assert_equal "$(seen_in aaa.s.1) $(variable aaa.s.1 NVIDIA_VISIBLE_DEVICES)" "nvidia0 0"
        native rm aaa.s.1 force
}
