# SPDX-License-Identifier: Apache-2.0
# WebAssembly: programs of C and of the text form, their world, their limits and their ends; beside them `wasmtime` itself.
load lib

setup_file() {
        [ -x "$ZL_BUILD/zlayer-wasm" ] || return 0
        export GUEST=$BATS_FILE_TMPDIR/world.wasm
        clang --target=wasm32-wasi --sysroot=/usr -O1 -o "$GUEST" "$ZL_SOURCE/test/wasm/world.c"
        WASMTIME=$("$ZL_SOURCE/tools/wasmtime" cli) || WASMTIME=
        export WASMTIME ZLAYER_WASM_CACHE_DIR=$BATS_FILE_TMPDIR/cache
}

setup() {
        zl_setup
        skip_unless "built without WebAssembly" test -x "$ZL_BUILD/zlayer-wasm"
}

# The text form of a module whose start is BODY, with what it imports in front, imported as the image `wat`.
wat() { # BODY [NAME]
        echo "(module $1)" >"$ZL_DIR/wat.wat"
        zl image import "$ZL_DIR/wat.wat" "${2:-wat}" >/dev/null
}
guest() { zl image import "$GUEST" guest >/dev/null; }
reason() { zl ps -a --json | jq -r '.[0].reason'; }

@test "a C program: arguments, only the environment of the spec, standard input and exit code" {
        guest
        run -0 zl run --rm -e COLOUR=blue guest world "two words"
        assert_equal "$output" "$(printf 'arg world\narg two words\nenv COLOUR=blue')"
        run -42 zl run --rm guest exit 42
        run -0 zl run --rm guest clocks
        assert_equal "$output" "slept 1 random 1 time 1"
        run -0 bash -c 'echo hello | "$ZL_AGENT" run --rm -i guest cat'
        assert_equal "$output" hello
}

@test "our output and exit codes are those of wasmtime" {
        skip_unless "no program wasmtime can be fetched" test -x "$WASMTIME"
        guest
        local words
        for words in "exit 0" "exit 7" "world a b" "much 20000" "read /nowhere" "clocks"; do
                # shellcheck disable=SC2086 # words
                "$WASMTIME" run "$GUEST" $words >theirs 2>theirs.err && code=0 || code=$?
                # shellcheck disable=SC2086
                zl run --rm guest $words >ours 2>ours.err && mine=0 || mine=$?
                assert_equal "$words: $mine" "$words: $code"
                cmp ours theirs
                cmp ours.err theirs.err
        done
}

@test "runs by itself under auto, is told as wasm, and --runtime wasm takes nothing else" {
        guest
        import_busybox bb
        zl run -d --name g guest sleep 30
        assert_equal "$(zl ps --json | jq -r '.[0] | .runtime + " " + .state')" "wasm running"
        zl rm -f g
        run -0 zl --runtime wasm run --rm guest exit 0
        run zl --runtime wasm run --rm bb true
        [ "$status" != 0 ]
        assert_match "is not WebAssembly"
        run -0 zl info --json
        assert_equal "$(jq -r '.runtimes[] | select(.kind == "wasm") | .available' <<<"$output")" true
}

@test "run takes a file in the place of an image, in binary and in text, and finds it again" {
        mkdir -p one two
        cp "$GUEST" "one/Hello World.wasm"
        run -7 zl run --rm "one/Hello World.wasm" exit 7
        run -0 zl run --rm "$ZL_DIR/one/Hello World.wasm" world x
        assert_equal "$output" "arg world
arg x"
        # Of one name in two places; what has changed runs as it is now.
        echo '(module (func (export "main") (result i32) i32.const 3))' >one/a.wat
        echo '(module (func (export "main") (result i32) i32.const 4))' >two/a.wat
        run -3 zl run --rm one/a.wat
        run -4 zl run --rm ./two/a.wat
        echo '(module (func (export "main") (result i32) i32.const 5))' >one/a.wat
        run -5 zl --runtime wasm run --rm one/a.wat
        assert_equal "$(zl image ls --json | jq -r '.[].name' | grep -c 'localhost/file/')" 3
        run -125 zl run --rm ./nothing.wasm
        assert_match "nothing.wasm"
        echo nonsense >bad.wat
        run -125 zl run --rm bad.wat
        assert_match "neither WebAssembly nor its text form"
}

@test "a trap: exit code 134, the backtrace in the log, the reason in the state" {
        wat '(func $inner unreachable) (func (export "_start") call $inner)'
        run -134 zl run --name t wat
        assert_match 'wasm backtrace'
        assert_match '!inner'
        assert_match unreachable "$(reason)"
        run zl logs t
        assert_match '!inner'
        zl rm t
}

@test "output is out before a trap, a guest knows a terminal, and an output that does not block loses nothing" {
        guest
        run -134 --separate-stderr zl run --rm guest streams
        assert_output 000
        run script -qec "$ZL_BUILD/zlayer-wasm run -- $GUEST streams" /dev/null
        assert_match "^111"
        run -0 python3 - "$ZL_BUILD/zlayer-wasm" "$GUEST" <<-'END'
	import os, subprocess, sys, time

	read, write = os.pipe()
	os.set_blocking(write, False)
	guest = subprocess.Popen([sys.argv[1], "run", "--", sys.argv[2], "much", "20000"], stdout=write)
	os.close(write)
	time.sleep(0.5)  # the pipe is full
	with os.fdopen(read) as lines:
	    numbers = [int(line.split()[0]) for line in lines]
	print(guest.wait(), numbers == list(range(20000)))
	END
        assert_output "0 True"
}

# They obey, or nobody would see the end of the test: the time after which they are killed is an hour.
stop_obeyed() { # NAME
        run -0 zl stop -t 1h "$1"
        assert_equal "$(zl ps -a --json | jq -r '.[0] | "\(.state) \(.exit_code)"')" "exited 143"
        zl rm "$1"
}
# More than a tenth of a second of processor time.
computes() { [ "$(awk '{ print $14 + $15 }' "/proc/$(zl ps --json | jq '.[0].pid')/stat")" -gt 10 ]; }

@test "a busy loop is stopped by an interrupt, at once or in the middle of its work" {
        wat '(func (export "_start") (loop br 0))'
        zl run -d --name l wat
        stop_obeyed l
        zl run -d --name l wat
        wait_until 10 computes
        stop_obeyed l
}

@test "a guest that waits is stopped, too" {
        guest
        zl run -d --name s guest sleep 1000
        wait_until 5 eval '[ "$(zl ps --json | jq -r ".[0].state")" = running ]'
        stop_obeyed s
}

@test "exec is a new instance of the module in the same world" {
        guest
        mkdir data
        zl run -d --name e -v "$ZL_DIR/data:/data" -e A=1 guest sleep 60
        run -0 zl exec e world x
        assert_equal "$output" "$(printf 'arg world\narg x\nenv A=1')"
        run -0 zl exec e write /data/by-exec
        assert_equal "$(cat data/by-exec)" "written by a guest"
        run -9 zl exec e exit 9
        zl rm -f e
}

@test "figures are those of its cgroup, and its logs can be read while it runs" {
        wat '(import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
             (memory (export "memory") 1) (data (i32.const 8) "here\n")
             (func (export "_start") (i32.store (i32.const 0) (i32.const 8)) (i32.store (i32.const 4) (i32.const 5))
               (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20))) (loop br 0))'
        zl run -d --name f wat
        wait_until 5 eval 'zl logs f | grep -q here'
        run -0 zl stats --json --no-stream f
        [ "$(jq '.[0].memory_bytes' <<<"$output")" -gt 100000 ]
        [ "$(jq '.[0].cpu_usec' <<<"$output")" -gt 0 ]
        zl rm -f f
}

@test "volumes: bind and named are directories of the guest, read-only is honoured, the rest of the machine is not there" {
        guest
        mkdir data && echo content >data/file
        run -0 zl run --rm -v "$ZL_DIR/data:/data:ro" guest read /data/file
        assert_equal "$output" content
        run -3 zl run --rm -v "$ZL_DIR/data:/data:ro" guest write /data/new
        run -0 zl run --rm -v keep:/keep guest write /keep/x
        run -0 zl run --rm -v keep:/keep guest read /keep/x
        assert_equal "$output" "written by a guest"
        ln -s /etc/passwd data/out
        run -4 zl run --rm -v "$ZL_DIR/data:/data" guest read /data/out
        run -4 zl run --rm guest read /etc/passwd
        run zl run --rm -v "$ZL_DIR/data/file:/file" guest read /file
        [ "$status" != 0 ]
        assert_match "is no directory"
}

# The deployment with one service of these lines.
service() { # LINES
        printf 'version: v1\ndeployment: wasmtest\nservices:\n  s:\n    image: {name: guest, pull_policy: never}\n    restart_policy: {kind: no}\n%s\n' "$1" >app.yaml
}
@test "limits: memory (told as out of memory), fuel, epochs" {
        guest
        service '    command: {args: [eat]}
    service_type: wasm_plugin
    wasm: {max_memory: 16Mi}'
        run zl up app.yaml
        assert_equal "$(zl ps -a --json | jq -r '.[0] | "\(.exit_code) \(.oom)"')" "134 true"
        zl down --all
        wat '(func (export "_start") (loop br 0))'
        service '    service_type: wasm_plugin
    wasm: {max_fuel: 100000}'
        sed -i 's/guest/wat/' app.yaml
        run zl up app.yaml
        assert_match "max_fuel is used up" "$(reason)"
        zl down --all
        ZLAYER_WASM_MAX_EXECUTION_TIME=200ms run -124 zl run --name slow wat
        assert_match "out of time" "$(reason)"
        zl rm slow
}

@test "capabilities: without cli no arguments, without filesystem no directories; what the engine cannot do is refused" {
        guest
        mkdir data
        service '    service_type: wasm_middleware
    command: {args: [exit, "5"]}'
        run -0 zl up app.yaml
        assert_equal "$(zl ps -a --json | jq -r '.[0].exit_code')" 0
        zl down --all
        service "    service_type: wasm_middleware
    storage: [{type: bind, source: $ZL_DIR/data, target: /data}]"
        run zl up app.yaml
        assert_match "capability filesystem"
        zl down --all
        service '    service_type: wasm_plugin
    wasm: {allowed_hosts: [example.org]}'
        run zl up app.yaml
        assert_match "allowed_hosts"
        zl down --all
}

@test "bad modules are errors before the start, with what is wrong" {
        local n=0
        bad() { # EXPECTED
                zl image import bad.wasm bad >out 2>&1 && run zl run --rm bad || run cat out
                assert_match "$1"
                n=$((n + 1))
        }
        head -c 100 "$GUEST" >bad.wasm && bad "not valid WebAssembly"
        : >bad.wasm && bad "no WebAssembly module"
        head -c 5000 /dev/urandom >bad.wasm && bad "no WebAssembly module"
        printf '\0asm\7\0\0\0\0\0\0\0' >bad.wasm && bad "version 07"
        echo '(module (import "env" "missing" (func)) (func (export "_start")))' >bad.wasm && bad "env.missing"
        echo '(module (func (export "other")))' >bad.wasm && bad "neither _start nor main"
        echo 'no module at all' >bad.wasm && bad "neither WebAssembly nor its text form"
        assert_equal "$n" 7
        assert_equal "$(zl ps -a --json | jq length)" 0
}

@test "the cache: used again, not believed when it is damaged, refused when others may write it" {
        export ZLAYER_WASM_CACHE_DIR=$ZL_DIR/cache
        wat '(func (export "_start"))'
        zl run --rm wat
        local entry
        entry=$(echo "$ZL_DIR"/cache/code/????????????????????????????????????????????????????????????????)
        assert_equal "$(stat -c %a "$ZL_DIR/cache")" 700
        local inode
        inode=$(stat -c %i "$entry")
        zl run --rm wat
        assert_equal "$(stat -c %i "$entry")" "$inode"
        cp "$entry" right
        printf 'X' | dd of="$entry" bs=1 seek=500 conv=notrunc status=none
        zl run --rm wat
        cmp "$entry" right
        : >"$entry" && zl run --rm wat
        cmp "$entry" right
        rm "$entry" && ln -s /etc/passwd "$entry" && zl run --rm wat
        chmod 777 "$ZL_DIR/cache" && rm -rf "$ZL_DIR/cache/code"
        run zl run --rm wat
        [ "$status" != 0 ]
        assert_match "others may write"
}

# The entries of the cache, oldest first.
entries() { find "$ZL_DIR/cache/code" -type f ! -name lock -printf '%T@ %f\n' | sort -n | cut -d' ' -f2; }

@test "the cache: beyond its bound the longest unused go first, the newest never" {
        export ZLAYER_WASM_CACHE_DIR=$ZL_DIR/cache
        local n names=() size
        for n in 1 2; do
                wat "(func (export \"_start\") (drop (i32.const $n)))" "w$n"
                zl run --rm "w$n"
                names[n]=$(entries | tail -n 1)
        done
        size=$(stat -c %s "$ZL_DIR/cache/code/${names[1]}")
        # Two and a half have room. The first is used again, so the second is the one that goes.
        export ZLAYER_WASM_CACHE_MAX=$((size * 5 / 2))
        zl run --rm w1
        wat '(func (export "_start") (drop (i32.const 3)))' w3
        zl run --rm w3
        assert_equal "$(entries | wc -l)" 2
        [ -e "$ZL_DIR/cache/code/${names[1]}" ]
        [ ! -e "$ZL_DIR/cache/code/${names[2]}" ]
        # What went is made again; what is larger than the bound is kept alone.
        export ZLAYER_WASM_CACHE_MAX=1
        zl run --rm w2
        assert_equal "$(entries)" "${names[2]}"
        export ZLAYER_WASM_CACHE_MAX=much
        rm "$ZL_DIR/cache/code/${names[2]}"
        run ! zl run --rm w2
        assert_match 'ZLAYER_WASM_CACHE_MAX is no size: much'
}

@test "a long compilation says what takes so long, and the next start does not" {
        export ZLAYER_WASM_CACHE_DIR=$ZL_DIR/cache
        wat '(func (export "_start"))'
        # The compiler, only slower.
        printf '#!/bin/sh\n[ "$1" != compile ] || sleep 2.5\nexec "%s" "$@"\n' "$ZL_BUILD/zlayer-wasm" >slow
        chmod +x slow
        ZLAYER_WASM=$PWD/slow run -0 zl run --rm wat
        assert_match 'zlayer-agent: compiling docker.io/library/wat:latest \(0\.0 MiB, once for this module\): 1 s so far'
        assert_match '2 s so far'
        ZLAYER_WASM=$PWD/slow run -0 zl run --rm wat
        assert_output ""
}

@test "the section of the README can be followed to the letter" {
        local code
        code=$(awk '/^## /{here = $0 == "## WebAssembly"} here && /^```/{inside = !inside; if (!inside) exit; next} here && inside' "$ZL_SOURCE/README.md")
        [[ $code == *clang* && $code == *zlayer-agent* ]]
        mkdir bin && ln -s "$ZL_AGENT" bin/zlayer-agent
        PATH=$PWD/bin:$PATH run -0 bash -e -c "$code"
        assert_equal "${lines[0]}" "hello you"
        # What each line promises behind its #.
        assert_equal "$(zl run --rm hello)" "hello world"
        zl image ls --json | grep -q 'docker.io/library/hello:latest'
}

@test "twenty at once of a module that nobody has compiled" {
        export ZLAYER_WASM_CACHE_DIR=$ZL_DIR/cache
        guest
        local i pids=()
        for ((i = 0; i < 20; i++)); do
                zl run --rm guest exit 3 &
                pids+=($!)
        done
        for i in "${pids[@]}"; do
                wait "$i" && false || assert_equal $? 3
        done
        assert_equal "$(find "$ZL_DIR/cache/code" -type f ! -name lock | wc -l)" 1
}
