# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bats
# WebAssembly at its edges: directories, network, caches, modules and ends that are not as they should be; programs that must say the
# same under wasmtime; and a thousand starts.
load lib
load daemon

setup_file() {
        [ -x "$ZL_BUILD/zlayer-wasm" ] || return 0
        export GUEST=$BATS_FILE_TMPDIR/world.wasm WILD=$BATS_FILE_TMPDIR/wild.wasm ZLAYER_WASM_CACHE_DIR=$BATS_FILE_TMPDIR/cache
        clang --target=wasm32-wasi --sysroot=/usr -O1 -o "$GUEST" "$ZL_SOURCE/test/wasm/world.c"
        clang --target=wasm32-wasi --sysroot=/usr -O1 -o "$WILD" "$ZL_SOURCE/test/wasm/wild.c"
        WASMTIME=$("$ZL_SOURCE/tools/wasmtime" cli) || WASMTIME=
        export WASMTIME
}
setup() {
        zl_setup
        skip_unless "built without WebAssembly" test -x "$ZL_BUILD/zlayer-wasm"
}

guest() { zl image import "$GUEST" guest >/dev/null; }
wat() { # BODY
        echo "(module $1)" >"$ZL_DIR/wat.wat"
        zl image import "$ZL_DIR/wat.wat" wat >/dev/null
}
reason() { zl ps -a --json | jq -r '.[0].reason'; }
# service IMAGE LINES: the deployment with one service.
service() {
        printf 'version: v1\ndeployment: wasmtest\nservices:\n  s:\n    image: {name: %s, pull_policy: never}\n    restart_policy: {kind: no}\n%s\n' "$1" "$2" >app.yaml
}

@test "programs of C say the same under wasmtime: files, directories, numbers, depth, streams, ends" {
        skip_unless "no program wasmtime can be fetched" test -x "$WASMTIME"
        zl image import "$WILD" wild >/dev/null
        local words n=0
        while read -r words; do
                rm -rf data && mkdir data && touch data/{x,y}
                # shellcheck disable=SC2086 # words
                "$WASMTIME" run --dir "$ZL_DIR/data::/data" "$WILD" $words >theirs 2>theirs.err && code=0 || code=$?
                rm -rf data && mkdir data && touch data/{x,y}
                # shellcheck disable=SC2086
                zl run --rm -v "$ZL_DIR/data:/data" wild $words >ours 2>ours.err && mine=0 || mine=$?
                assert_equal "$words: $mine" "$words: $code"
                cmp ours theirs
                # The backtrace of a trap names the file, which has another name here.
                [[ $code == 134 || $words == *nowhere || $words == exit* ]] || cmp ours.err theirs.err
                n=$((n + 1))
        done <<-'END'
	files /data
	list /data
	list /nowhere
	files /nowhere
	numbers
	deep 1000
	deep 1000000
	errors
	abort
	unknown
	exit 125
	exit 126
	exit 200
	END
        assert_equal "$n" 13
}

@test "preopens: read-only, missing, no directory, out of the directory by a link, onto the root" {
        guest
        mkdir data && echo content >data/file && ln -s /etc data/etc && ln -s ../../etc/passwd data/passwd
        service guest "    service_type: wasm_plugin
    command: {args: [read, /p/file]}
    wasm: {preopens: [{source: $ZL_DIR/data, target: /p, readonly: true}]}"
        run -0 zl up app.yaml
        assert_match content
        zl down --all
        local word
        for word in "read, /p/etc/passwd" "read, /p/passwd" "read, /p/../../etc/passwd" "write, /p/new"; do
                sed -i "s|args: .*|args: [$word]}|" app.yaml
                run zl up app.yaml
                assert_match '^[34]$' "$(zl ps -a --json | jq -r '.[0].exit_code')"
                zl down --all
        done
        bad() { # SOURCE TARGET MESSAGE
                sed -i "s|preopens: .*|preopens: [{source: $1, target: $2}]}|" app.yaml
                run ! zl up app.yaml
                assert_match "wasm.preopens\[0\]"
                assert_match "$3"
                zl down --all
        }
        bad "$ZL_DIR/nothing" /p "cannot open"
        bad "$ZL_DIR/data/file" /p "is no directory"
        bad "$ZL_DIR/data" / "not the root"
        bad relative /p "must be absolute"
        assert_equal "$(ls "$ZL_DIR/data")" "$(printf 'etc\nfile\npasswd')"
}

@test "a tmpfs is a directory of the guest that is gone with it; pause holds a guest that computes" {
        guest
        zl run -d --name t --tmpfs /scratch guest sleep 60
        run -0 zl exec t write /scratch/x
        run -0 zl exec t read /scratch/x
        assert_output "written by a guest"
        zl rm -f t
        start_daemon
        wat '(func (export "_start") (loop br 0))'
        zl run -d --name l wat
        local pid used
        pid=$(zl ps --json | jq '.[0].pid')
        used() { awk '{ print $14 + $15 }' "/proc/$pid/stat"; }
        wait_until 10 eval '[ "$(used)" -gt 2 ]'
        post /v1/containers/run.l.1/pause
        wait_until 5 is_state run.l.1 paused
        used=$(used)
        sleep 0.3
        assert_equal "$(used)" "$used"
        post /v1/containers/run.l.1/resume
        wait_until 10 eval "[ \"\$(used)\" -gt $((used + 2)) ]"
        zl kill -s KILL l
        run -137 zl wait l
        zl rm l
        stop_daemon
}

@test "tcp and udp are granted together or not at all, hosts as a whole; each refusal says so before the start" {
        guest
        local line
        while IFS='|' read -r line message; do
                service guest "    service_type: wasm_plugin
    wasm: {$line}"
                run ! zl up app.yaml
                assert_match "$message"
                assert_equal "$(zl ps -a --json | jq '[.[] | select(.pid > 0)] | length')" 0
                zl down --all
        done <<-'END'
	allow_tcp: true|can only be granted together
	allow_udp: true|can only be granted together
	allowed_hosts: [example.org]|allowed_hosts
	END
        service guest "    service_type: wasm_plugin
    command: {args: [exit, \"3\"]}
    wasm: {allow_tcp: true, allow_udp: true}"
        run zl up app.yaml
        assert_equal "$(zl ps -a --json | jq -r '.[0].exit_code')" 3
        zl down --all
}

# What the guest still computes after the signal is counted, not the time: it is stopped, told, and let go.
@test "a busy loop ends at its next turn when it is asked to: processor time after the signal, and the exit code" {
        wat '(func (export "_start") (loop br 0))'
        run -0 timeout 60 python3 - "$ZL_BUILD/zlayer-wasm" "$ZL_DIR/wat.wat" <<-'END'
	import glob, os, signal, sys, time

	def computed(pid):  # nanoseconds
	    return sum(int(open(f).read().split()[0]) for f in glob.glob(f"/proc/{pid}/task/*/schedstat"))

	def until(condition):
	    while not condition():
	        time.sleep(0.01)

	pid = os.posix_spawn(sys.argv[1], [sys.argv[1], "run", "--", sys.argv[2]], os.environ)
	# Loading and compiling take less.
	until(lambda: computed(pid) > 300e6)
	os.kill(pid, signal.SIGSTOP)
	os.waitpid(pid, os.WUNTRACED)
	before = computed(pid)
	os.kill(pid, signal.SIGTERM)
	os.kill(pid, signal.SIGCONT)
	_, status, used = os.wait4(pid, 0)
	after = used.ru_utime + used.ru_stime - before / 1e9
	print(os.waitstatus_to_exitcode(status), "soon" if after < 0.02 else f"{after} s")
	END
        assert_output "143 soon"
        zl run -d --name l wat
        # The engine is at work when the process has used time of its own.
        wait_until 10 eval '[ "$(awk "{ print \$14 + \$15 }" "/proc/$(zl ps --json | jq ".[0].pid")/stat")" -gt 2 ]'
        zl kill -s TERM l
        run -143 zl wait l
        zl rm l
}

@test "a memory bomb: the limit of the cgroup ends it and the state says out of memory" {
        guest
        run -137 zl run --name bomb --memory 32M guest eat
        assert_equal "$(zl ps -a --json | jq -r '.[0] | "\(.oom) \(.exit_code)"')" "true 137"
        zl rm bomb
}

@test "a module that is too large, and a manifest that lies about size or digest" {
        head -c 4 "$GUEST" >big.wasm && truncate -s 257M big.wasm
        run ! zl image import big.wasm big
        assert_match 'larger than 256 MiB'
        rm big.wasm
        guest
        # An OCI layout whose blob is not what its manifest says.
        zl image save guest -o good.tar
        mkdir layout && tar -C layout -xf good.tar
        local blob
        blob=$(find layout/blobs -type f -size +5k | head -1)
        printf 'X' | dd of="$blob" bs=1 seek=2000 conv=notrunc status=none
        run ! zl image import layout lies
        assert_match 'digest|corrupt'
        truncate -s -10 "$blob"
        run ! zl image import layout lies
        assert_match 'size|digest|corrupt|cut|short'
        run ! zl run --rm --pull never lies
}

@test "a cache that is read-only, full, a file, or filled with garbage" {
        guest
        mkdir full && mount -t tmpfs -o size=64k,mode=700 tmpfs full
        ZLAYER_WASM_CACHE_DIR=$ZL_DIR/full run zl run --rm guest exit 0
        umount full
        [ "$status" != 0 ]
        assert_match 'No space|no space|cannot (write|copy)'
        mkdir ro && mount -t tmpfs -o ro,mode=700 tmpfs ro
        ZLAYER_WASM_CACHE_DIR=$ZL_DIR/ro run zl run --rm guest exit 0
        umount ro
        [ "$status" != 0 ]
        assert_match 'ead-only'
        : >file
        ZLAYER_WASM_CACHE_DIR=$ZL_DIR/file run zl run --rm guest exit 0
        [ "$status" != 0 ]
        assert_match 'ot a directory'
        assert_equal "$(zl ps -a --json | jq length)" 0
        mkdir -m 700 garbage && mkdir -m 700 garbage/code && mkdir garbage/code/directory && head -c 1000 /dev/urandom >garbage/code/noise
        ZLAYER_WASM_CACHE_DIR=$ZL_DIR/garbage run -7 zl run --rm guest exit 7
        [ ! -e garbage/code/noise ]
}

@test "without zlayer-wasm info and the error say what is missing and how to get it" {
        guest
        ZLAYER_WASM=/no/such/program run ! zl run --rm guest exit 0
        assert_match 'zlayer-wasm is not there'
        assert_match 'tools/wasmtime'
        ZLAYER_WASM=/no/such/program run -0 zl info --json
        assert_equal "$(jq -r '.runtimes[] | select(.kind == "wasm") | .available' <<<"$output")" false
        assert_match 'zlayer-wasm' "$(jq -r '.runtimes[] | select(.kind == "wasm") | .detail' <<<"$output")"
}

@test "starts leave nothing: processes, mounts, groups, files, descriptors of the daemon" {
        skip_unless "containers need root" is_root
        guest
        start_daemon
        local i n=${ZL_WASM_STARTS:-60} before after
        zl run --rm guest exit 0
        files_of() { find "$ZL_DIR" -path "$ZL_DIR/wasm*" -prune -o -type f -print | wc -l; }
        before=$(ls "/proc/$DAEMON/fd" | wc -l)
        for ((i = 0; i < n; i += 6)); do
                local pids=() j
                for j in 1 2 3 4 5 6; do
                        zl run --rm guest exit 3 &
                        pids+=($!)
                done
                for j in "${pids[@]}"; do
                        wait "$j" && false || assert_equal $? 3
                done
        done
        wait_until 10 eval '[ "$(ls /proc/$DAEMON/fd | wc -l)" -le '"$((before + 3))"' ]'
        assert_equal "$(ls -A "$ZLAYER_ROOT_DIR/containers")" ""
        assert_equal "$(zl ps -a --json | jq length)" 0
        stop_daemon
}
