# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bats
# Instances that are kept ready (wasm.min_instances): every exec is one, forked from a process that has loaded the module.
load lib

setup_file() {
        [ -x "$ZL_BUILD/zlayer-wasm" ] || return 0
        export GUEST=$BATS_FILE_TMPDIR/world.wasm ZLAYER_WASM_CACHE_DIR=$BATS_FILE_TMPDIR/cache
        clang --target=wasm32-wasi --sysroot=/usr -O1 -o "$GUEST" "$ZL_SOURCE/test/wasm/world.c"
}
setup() {
        zl_setup
        skip_unless "built without WebAssembly" test -x "$ZL_BUILD/zlayer-wasm"
        skip_unless "containers need root" is_root
        zl image import "$GUEST" guest >/dev/null
}
teardown() {
        zl down --all >/dev/null 2>&1
        zl_teardown
}

P=pool.s.1
# A workload that keeps instances: lines of its `wasm`, lines of the service.
pool() { # [WASM [SERVICE]]
        printf 'version: v1\ndeployment: pool\nservices:\n  s:\n    image: {name: guest, pull_policy: never}\n    service_type: wasm_plugin\n    wasm: {min_instances: 2%s}\n%s\n' \
                "${1:+, $1}" "${2-}" >pool.yaml
        zl up -d pool.yaml >/dev/null
        PID=$(zl ps --json | jq '.[0].pid')
        wait_until 10 eval '[ "$(waiting | wc -w)" = 2 ]'
}
# Children of the process that keeps them. Pids of ours.
waiting() { cat "/proc/$PID/task/$PID/children"; }
# The instance among them: its standard input is not the keeper's, once it has begun.
instance() {
        local pid
        for pid in $(waiting); do
                [ "$(readlink "/proc/$pid/fd/0")" = "$(readlink "/proc/$PID/fd/0")" ] || echo "$pid"
        done | grep .
}

@test "kept: an exec has arguments, environment, streams and exit code as any, and a trap of its own" {
        mkdir data
        pool "" "    env: {COLOUR: blue}
    storage: [{type: bind, source: $ZL_DIR/data, target: /data}]"
        run -0 zl exec $P world "two words"
        assert_output $'arg world\narg two words\nenv COLOUR=blue'
        run -0 zl exec -e COLOUR=red -e MORE=1 $P world
        assert_output $'arg world\nenv COLOUR=red\nenv MORE=1'
        run -0 bash -c "echo hello | '$ZL_AGENT' exec -i $P cat"
        assert_output hello
        run -42 zl exec $P exit 42
        run -134 zl exec $P trap
        assert_match 'wasm backtrace'
        run -0 zl exec $P write /data/x
        assert_equal "$(cat data/x)" "written by a guest"
        run -0 zl exec $P much 20000
        assert_equal "${#lines[@]}" 20000
        # What is longer than a message of the keeper goes another way, and arrives.
        local long
        long=$(head -c 80000 /dev/zero | tr '\0' x)
        run -0 zl exec $P world "$long"
        assert_output "arg world
arg $long
env COLOUR=blue"
        assert_equal "$(zl ps --json | jq -r '.[0] | .state + " " + .runtime')" "running wasm"
        assert_equal "$(zl ps --json | jq '.[0].reason')" null
}

@test "kept: instances share nothing: memory as the module has it, random numbers of their own, a process each" {
        pool
        local i
        : >seen
        for i in {1..12}; do
                zl exec $P fresh >>seen
        done
        assert_equal "$(cut -d' ' -f1 seen | sort -u)" 1
        assert_equal "$(cut -d' ' -f2 seen | sort -u | wc -l)" 12
        # The one they come from has run nothing: one thread, and nothing in the log.
        assert_equal "$(ls "/proc/$PID/task")" "$PID"
        assert_equal "$(zl logs $P)" ""
        wait_until 5 eval '[ "$(waiting | wc -w)" = 2 ]'
        # An instance is confined as the workload's own process.
        background "$ZL_AGENT" exec $P sleep 30
        wait_until 5 eval '[ "$(waiting | wc -w)" = 3 ]'
        local pid
        for pid in $(waiting); do
                diff <(grep -E '^(Cap|Seccomp|NoNewPrivs|Uid)' "/proc/$PID/status") <(grep -E '^(Cap|Seccomp|NoNewPrivs|Uid)' "/proc/$pid/status")
                assert_equal "$(readlink "/proc/$pid/root")" "$(readlink "/proc/$PID/root")"
                diff "/proc/$PID/cgroup" "/proc/$pid/cgroup"
        done
        kill "$ZL_BG"
}

@test "kept: max_instances is how many run at once, one more is refused; they end when the workload does" {
        pool "max_instances: 3"
        local i pids=()
        for i in 1 2 3; do
                background "$ZL_AGENT" exec $P sleep 60
                pids+=("$ZL_BG")
        done
        wait_until 10 eval '[ "$(waiting | wc -w)" = 5 ]'
        run ! zl exec $P exit 0
        assert_match '3 instances run already'
        zl stop $P
        for i in "${pids[@]}"; do
                wait "$i" && false || assert_equal $? 137
        done
}

@test "kept: a signal ends an instance at its next loop and nobody else; one that waits and is killed is replaced" {
        pool
        background "$ZL_AGENT" exec $P sleep 60
        local client=$ZL_BG before after
        before=$(waiting)
        wait_until 5 eval '[ "$(waiting | wc -w)" = 3 ]'
        wait_until 5 instance
        kill -TERM "$(instance)"
        wait "$client" && false || assert_equal $? 143
        wait_until 5 eval '[ "$(waiting | wc -w)" = 2 ]'
        # shellcheck disable=SC2046 # numbers
        kill -KILL $(waiting)
        run -7 zl exec $P exit 7
        run -8 zl exec $P exit 8
        after=$(waiting)
        [ "$before" != "$after" ]
}

@test "kept: limits hold for each instance: time, and memory of the whole" {
        export ZLAYER_WASM_MAX_EXECUTION_TIME=300ms
        pool "max_memory: 16Mi" "    resources: {memory: 256Mi}"
        run -124 zl exec $P sleep 60
        run -134 zl exec $P eat
        assert_match 'out of memory'
        run -3 zl exec $P exit 3
        zl down --all
        unset ZLAYER_WASM_MAX_EXECUTION_TIME
        pool "" "    resources: {memory: 64Mi}"
        run -137 zl exec $P eat
        run -3 zl exec $P exit 3
}

@test "kept: with the process that keeps them the workload ends and says so; it refuses what makes no sense" {
        pool
        background "$ZL_AGENT" exec $P sleep 60
        wait_until 5 eval '[ "$(waiting | wc -w)" = 3 ]'
        kill -KILL "$PID"
        wait "$ZL_BG" && false || assert_equal $? 137
        run -137 zl wait $P
        run ! zl exec $P exit 1
        zl down --all
        pool
        zl stop $P
        assert_equal "$(zl ps -a --json | jq -r '.[0] | "\(.state) \(.exit_code)"')" "exited 143"
        zl down --all
        sed -i 's/    wasm:/    tty: true\n    wasm:/' pool.yaml
        run ! zl up pool.yaml
        assert_match 'has no terminal'
        zl down --all
        sed -i 's/    tty: true/    command: {args: [world]}/' pool.yaml
        run zl up -d pool.yaml
        assert_match 'nothing is run before an exec'
}
