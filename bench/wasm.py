# SPDX-License-Identifier: Apache-2.0
"""WebAssembly: a module that prints one line and is compiled already, from the request to its exit, isolated, beside the program
wasmtime, which isolates nothing, and beside a container of the same daemon; what instances hold that wait; a thousand of them."""
import glob
import os
import re
import shutil
import statistics
import subprocess
import time

from daemon import Client, timed
from engines import pss_kib, quiet

HERE = os.path.dirname(os.path.abspath(__file__))

# Says a line, as `echo hello` does.
HELLO = """(module (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (data (i32.const 8) "hello\\n")
  (func (export "_start") (i32.store (i32.const 0) (i32.const 8)) (i32.store (i32.const 4) (i32.const 6))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))))"""

# Waits an hour, by one call.
IDLE = """(module (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start") (i32.store (i32.const 16) (i32.const 1)) (i64.store (i32.const 24) (i64.const 3600000000000))
    (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))"""


def spawn(argv):
    """Runs a program to its end, by the cheapest way Python has."""
    pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=[
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0), (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)])
    _, status = os.waitpid(pid, 0)
    if status != 0:
        raise RuntimeError(f"{' '.join(argv)}: status {status}")


# Keeps instances ready: each exec is one.
POOL = {"image": {"name": "hello"}, "service_type": "wasm_plugin", "wasm": {"min_instances": 1}}


def service(image, *command):
    return {"image": {"name": image}, "command": {"entrypoint": list(command)} if command else {}}


class Wasm:
    def __init__(self, bench, daemon, build):
        self.bench = bench
        self.daemon = daemon
        self.engines = daemon.engines
        self.work = bench.work
        self.helper = os.path.join(build, "zlayer-wasm")
        self.example = os.path.join(build, "examples/instantiate")
        self.client = None
        self.failed = 0

    def names(self):
        if not os.path.exists(self.helper):
            return {}
        return {"wasm": self.bench_hello, "wasm_memory": self.bench_memory, "wasm_thousand": self.bench_thousand}

    # ---- preparations --------------------------------------------------------------------------------

    def start(self):
        self.daemon.start()
        self.client = Client(self.daemon.socket)
        for name, text in (("hello", HELLO), ("idle", IDLE)):
            with open(f"{self.work}/{name}.wat", "w") as file:
                file.write(text)
            quiet(self.engines.agent + ["image", "import", f"{self.work}/{name}.wat", name], check=True)

    def wasmtime(self):
        """The command that runs the compiled module, or None."""
        program = subprocess.run([os.path.join(HERE, "../tools/wasmtime"), "cli"], stdout=subprocess.PIPE, text=True)
        if program.returncode != 0:
            return print("bench: no program wasmtime: it is not measured")
        program = program.stdout.strip()
        code = f"{self.work}/hello.cwasm"
        quiet([program, "compile", f"{self.work}/hello.wat", "-o", code], check=True)
        return [program, "run", "--allow-precompiled", code]

    def compiled(self, name):
        done = subprocess.run([self.helper, "compile", f"{self.work}/wasm-cache", f"{self.work}/{name}.wat"], check=True,
                              stdout=subprocess.PIPE, text=True)
        return done.stdout.strip()

    # ---- request to exit -----------------------------------------------------------------------------

    def to_exit(self, name, what):
        """From the request to the news of the exit, on a connection that is kept."""
        self.client.ask("POST", "/v1/containers", {"name": name, "service": what})
        if self.client.ask("GET", f"/v1/containers/{name}/wait")["exit_code"] != 0:
            self.failed += 1

    def from_pool(self):
        if self.client.ask("POST", "/v1/containers/run.pool.1/exec", {"command": ["x"]}).get("stdout") != "hello\n":
            self.failed += 1

    @staticmethod
    def has_spare():
        """A process that waits for a module; the container that waits for a command is another."""
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                with open(path, "rb") as file:
                    if b"spare" in file.read(400).split(b"\0"):
                        return True
            except OSError:
                pass  # it has ended
        return False

    def wait_spare(self):
        """As people start things: by then the daemon has a spare, and its process has loaded the engine."""
        for _ in range(100):
            if self.has_spare():
                break
            time.sleep(0.02)
        time.sleep(0.1)

    def remove(self, name):
        self.client.ask("DELETE", f"/v1/containers/{name}?force")

    def bench_hello(self):
        """A compiled module that prints a line: request to exit."""
        self.start()
        wasmtime = self.wasmtime()
        bare = [self.helper, "run", f"--compiled={self.compiled('hello')}", "--", f"{self.work}/hello.wat"]
        whole = self.engines.agent + ["run", "--rm", "hello"]
        self.client.ask("POST", "/v1/containers", {"name": "pool", "service": POOL})
        times = {"wasmtime run": [], "zlayer-wasm, its process alone": [], "through the agent, isolated": [],
                 "the same at once after it: no spare": [], "the same, from instances kept ready": [], "a container of `true`, the same": [], "zlayer-agent run --rm, whole command": []}
        for n in range(-3, self.bench.rounds):
            taken = [timed(spawn, wasmtime) if wasmtime else None, timed(spawn, bare)]
            self.wait_spare()
            taken += [timed(self.to_exit, f"w{n + 3}", service("hello")), timed(self.to_exit, f"v{n + 3}", service("hello")),
                     timed(self.from_pool),
                     timed(self.to_exit, f"c{n + 3}", service("bb", "/bin/true")), timed(spawn, whole)]
            for kind in "wvc":
                self.remove(f"{kind}{n + 3}")
            for name, nsec in zip(times, taken):
                if n >= 0 and nsec:
                    times[name].append(nsec)
        print("\nwasm: a compiled module that prints a line, request to exit (budgets: 1.0 of wasmtime run and 5 ms, 0.4 of it "
              "from instances kept ready)")
        self.remove("pool")
        self.rows(times, "wasmtime run")
        self.in_process()
        if self.failed:
            print(f"  {self.failed} did not end with 0")

    @staticmethod
    def rows(times, anchor):
        base = statistics.median(times[anchor]) if times.get(anchor) else None
        for name, values in times.items():
            if not values:
                continue
            values = sorted(values)
            p50 = statistics.median(values)
            print(f"  {name:38} p50 {p50:8.2f} ms   p90 {values[int(len(values) * 0.9)]:8.2f}   min {values[0]:8.2f}" +
                  (f"   {p50 / base:.2f} of {anchor}" if base else ""))

    def in_process(self):
        if not os.path.exists(self.example):
            return
        done = subprocess.run([self.example, "--times", "20000", f"{self.work}/hello.wat"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True)
        print("  in the process, memory from a pool: " + done.stderr.strip().removeprefix("instantiate: ") + " (budget 25 us)")

    # ---- many ----------------------------------------------------------------------------------------

    def processes(self, pids):
        """KiB (proportional) of these instances: (guests with their engine, monitors)."""
        monitors = [int(path.split("/")[2]) for path in glob.glob("/proc/[0-9]*/comm")
                    if self.read(path) == "zlayer-monitor\n" and self.parent_of_any(path, pids)]
        return sum(map(pss_kib, pids)), sum(map(pss_kib, monitors))

    @staticmethod
    def read(path):
        try:
            with open(path) as file:
                return file.read()
        except OSError:
            return ""

    def parent_of_any(self, path, pids):
        children = self.read(os.path.dirname(path) + "/task/" + path.split("/")[2] + "/children").split()
        return any(int(child) in pids for child in children)

    def run_idle(self, count):
        """Starts so many that wait. (times, pids)."""
        times, pids = [], set()
        for n in range(count):
            begin = time.monotonic()
            pids.add(self.client.ask("POST", "/v1/containers", {"name": f"i{n}", "service": service("idle")})["pid"])
            times.append((time.monotonic() - begin) * 1000)
        return times, pids

    def stop_idle(self, count):
        names = [f"i{n}" for n in range(count)]
        for at in range(0, count, 100):
            subprocess.run(self.engines.agent + ["rm", "-f"] + names[at:at + 100], stdout=subprocess.DEVNULL)

    def wait_idle(self, pids):
        """Until all wait: the processor time of their processes stands still."""
        last = None
        for _ in range(120):
            now = sum(int(self.read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[11]) for pid in pids)
            if now == last:
                return
            last = now
            time.sleep(0.5)

    def bench_memory(self):
        """Proportional memory of instances that wait: 1 and 20 of one module."""
        self.start()
        print("\nwasm_memory: instances that wait, KiB PSS for each (pages of the engine that are shared count once in all)")
        for count in (1, 20):
            _, pids = self.run_idle(count)
            self.wait_idle(pids)
            guests, monitors = self.processes(pids)
            print(f"  {count:4} at once: guest with engine {guests / count:8.0f}   monitor {monitors / count:6.0f}")
            self.stop_idle(count)

    # ---- a thousand ------------------------------------------------------------------------------------

    def left(self):
        """What starts could leave: processes, mounts, groups, files of the state."""
        state = [path for top in ("root/containers", "run/containers") for path in glob.glob(f"{self.work}/{top}/*")]
        groups = glob.glob("/sys/fs/cgroup/*/zlayer/run.[iw]*") + glob.glob("/sys/fs/cgroup/zlayer/run.[iw]*")
        processes = [path for path in glob.glob("/proc/[0-9]*/comm")
                     if re.match("zlayer-(monitor|wasm)", self.read(path)) and self.work in self.read(path.replace("comm", "environ"))]
        with open("/proc/self/mountinfo") as file:
            mounts = [line for line in file if self.work in line]
        return len(state), len(groups), len(processes), len(mounts)

    def bench_thousand(self):
        """A thousand isolated instances at once, then a thousand starts in a row."""
        self.start()
        total = int(os.environ.get("ZL_BENCH_MANY", "1000"))
        # What the first of all makes once (threads, libraries, files of theirs) is no leak.
        self.run_idle(8)
        self.stop_idle(8)
        before, files = self.left(), len(os.listdir(f"/proc/{self.daemon.process.pid}/fd"))
        times, pids = self.run_idle(total)
        self.wait_idle(pids)
        first, last = statistics.median(times[:20]), statistics.median(times[-20:])
        alive = sum(os.path.exists(f"/proc/{pid}") for pid in pids)
        guests, monitors = self.processes(pids)
        print(f"\nwasm_thousand: {total} isolated instances at once, {alive} of them alive")
        print(f"  start: first 20 {first:.2f} ms, last 20 {last:.2f} ms ({last / first:.2f} ×)")
        print(f"  KiB PSS for each: guest with engine {guests / total:.0f}, monitor {monitors / total:.0f}; "
              f"agent {pss_kib(self.daemon.process.pid) / 1024:.1f} MiB in all")
        self.stop_idle(total)
        begin = time.monotonic()
        for n in range(total):
            self.to_exit(f"w{n}", service("hello"))
            self.remove(f"w{n}")
        took = (time.monotonic() - begin) * 1000 / total
        time.sleep(1)
        print(f"  {total} starts in a row: {took:.2f} ms each with their removal, {self.failed} failed")
        kinds = ("directories", "groups", "processes", "mounts")
        grown = [f"{b - a} {kind}" for kind, a, b in zip(kinds, before, self.left()) if b != a]
        grown_files = len(os.listdir(f"/proc/{self.daemon.process.pid}/fd")) - files
        print("  left: " + (", ".join(grown) or "no directory, group, process or mount") + f"; {grown_files:+d} descriptors of the daemon")
        shutil.rmtree(f"{self.work}/wasm-cache", ignore_errors=True)
