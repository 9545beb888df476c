;; SPDX-License-Identifier: Apache-2.0
;; A WebAssembly program that says something every second, by two calls of WASI 0.1: it writes a line, then waits for a clock.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "tick from WebAssembly\n")
  (func (export "_start")
    ;; at 0: where the text is, and its length
    (i32.store (i32.const 0) (i32.const 16))
    (i32.store (i32.const 4) (i32.const 22))
    ;; at 64: a subscription to the monotonic clock, one second from now
    (i32.store (i32.const 80) (i32.const 1))
    (i64.store (i32.const 88) (i64.const 1000000000))
    (loop $again
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (drop (call $poll (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 8)))
      (br $again))))
