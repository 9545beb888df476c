# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bats
# Programs of somebody else and WebAssembly, public headers only: examples/wasm.c makes a workload of it, examples/instantiate.c
# runs it in the process.
load lib

setup_file() {
        [ -x "$ZL_BUILD/zlayer-wasm" ] || return 0
        export GUEST=$BATS_FILE_TMPDIR/world.wasm ZLAYER_WASM_CACHE_DIR=$BATS_FILE_TMPDIR/cache
        clang --target=wasm32-wasi --sysroot=/usr -O1 -o "$GUEST" "$ZL_SOURCE/test/wasm/world.c"
}
setup() {
        zl_setup
        skip_unless "built without WebAssembly" test -x "$ZL_BUILD/zlayer-wasm"
        export ZLAYER_MONITOR=$ZL_BUILD/zlayer-monitor
}

example() { timeout -k 5 60 "$ZL_BUILD/examples/$@" 3>&-; }

@test "pull, create, start, wait for the exit code, remove" {
        skip_unless "containers need root" is_root
        zl image import "$GUEST" guest
        run -42 example wasm guest exit 42
        run -0 example wasm guest exit 0
        assert_equal "$(ls -A "$ZLAYER_ROOT_DIR/containers")" ""
        import_busybox bb
        run -125 example wasm bb true
        assert_match "is not WebAssembly"
        run -125 example wasm 127.0.0.1:1/no/image:1
        assert_equal "$(ls -A "$ZLAYER_ROOT_DIR/containers")" ""
}

@test "in the process: output, arguments, exit code, trap" {
        run -0 example instantiate "$GUEST" world "a b"
        assert_output $'arg world\narg a b'
        run -9 example instantiate "$GUEST" exit 9
        run -4 example instantiate "$GUEST" read /etc/passwd
        echo '(module (func (export "_start") unreachable))' >trap.wat
        run -134 example instantiate trap.wat
        assert_match unreachable
        run -125 example instantiate /etc/passwd
        assert_match 'neither WebAssembly nor its text form'
        ZLAYER_WASM_LIBRARY=/no/such run -125 example instantiate "$GUEST"
        assert_match 'hint: build with -Dwasm=enabled'
}

@test "in the process: a thousand instances on eight threads, and the library does not link the engine" {
        run -5 example instantiate --times 125 --threads 8 "$GUEST" exit 5
        assert_match '1000 runs'
        run -0 ldd "$ZL_BUILD/libzlayer.so"
        assert_no_match wasmtime
}
