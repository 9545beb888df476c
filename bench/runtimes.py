# SPDX-License-Identifier: Apache-2.0
"""What our side of a foreign runtime costs. The library over the Docker Engine beside plain requests to it: at most 1 ms per operation, a list
of 500 containers in at most 100 ms. Workloads by an external OCI runtime beside the time that its program takes: at most 2 ms more. What the
program in between that measures takes is found out by itself and taken off; what anybody would have to do before he can run an OCI runtime, a
bundle and a mounted root, is ours, and told beside it."""
import ctypes
import http.client
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
CONTAINERS = 500


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("docker")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Runtimes:
    def __init__(self, bench, build):
        self.bench = bench
        self.build = build
        self.driver = os.path.join(build, "test/system/native-driver")

    def names(self):
        found = {}
        if shutil.which("busybox"):
            if shutil.which("dockerd"):
                found["docker_overhead"] = self.overhead
            if shutil.which("runc") or shutil.which("crun"):
                found["delegate_overhead"] = self.delegates
        return found

    def delegates(self):
        """operations on workloads by an external runtime: what they take beyond the runs of its program"""
        youki = subprocess.run([os.path.join(HERE, "../tools/youki"), "find"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               text=True).stdout.strip()
        for name, path in (("runc", shutil.which("runc")), ("crun", shutil.which("crun")), ("youki", youki)):
            if path:
                self.delegate(name, path)

    def delegate(self, name, path):
        top = tempfile.mkdtemp(prefix="zlayer-bench-delegate.")
        try:
            # musl, where it is: a program with glibc takes half a millisecond more to begin in a virtual machine.
            timed = self.bench.compile("timed", "-static", compiler=shutil.which("musl-gcc") or "cc")
            shutil.copy(timed, top + "/timed")
            os.symlink(path, top + "/real")
            os.makedirs(top + "/image/bin")
            for applet in ("true", "sleep"):
                shutil.copy(shutil.which("busybox"), top + "/image/bin/" + applet)
            subprocess.run(["tar", "-C", top + "/image", "-cf", top + "/image.tar", "."], check=True)
            with open(top + "/spec.yaml", "w") as f:
                f.write("{version: v1, deployment: lat, services: {s: {image: {name: bb}, network_mode: none, "
                        "command: {entrypoint: [/bin/sleep, '1000']}}}}")
            env = dict(os.environ, ZLAYER_ROOT_DIR=top + "/root", ZLAYER_RUNTIME_DIR=top + "/run",
                       ZLAYER_MONITOR=os.path.join(self.build, "zlayer-monitor"), ZLAYER_RUNTIME="oci:" + top + "/timed",
                       ZLAYER_MONITOR_SPARE="true")  # as a daemon has it

            def drive(*command):
                return subprocess.run([self.driver, *command], env=env, check=True, stdout=subprocess.PIPE, text=True).stdout
            drive("import", top + "/image.tar", "bb")
            measuring = self.measuring(top + "/self", timed)
            by_hand = self.by_hand(top, drive)
            ours = self.series(drive("phases", top + "/spec.yaml", str(self.bench.rounds)))
            with open(top + "/times") as f:
                theirs = self.series(f.read())
            for operation, all_of_it in ours.items():
                program = theirs[operation][:len(all_of_it)]
                rest = [a - b - measuring for a, b in zip(all_of_it, program)]
                print(f"{name:6} {operation:7} program {self.quantiles(program)}  beyond it {self.quantiles(rest)}")
            print(f"{name:6} a bundle and its root by hand {self.quantiles(by_hand)}; taken off for measuring {measuring:.2f} ms")
        finally:
            shutil.rmtree(top, ignore_errors=True)

    def measuring(self, top, timed):
        """what the program in between costs who runs it beyond what it puts down"""
        os.makedirs(top)
        shutil.copy(timed, top + "/timed")
        os.symlink(shutil.which("true"), top + "/real")
        times = self.bench.measure({"timed": [top + "/timed", "x"]})["timed"][0]
        with open(top + "/times") as f:
            inside = self.series(f.read())["x"][-len(times):]
        return statistics.median(a - b for a, b in zip(times, inside))

    def by_hand(self, top, drive):
        """the least that must be there before an OCI runtime can create something: directories, our config.json, a mounted root"""
        drive("create", "lat.s.1", top + "/spec.yaml")
        with open(top + "/root/containers/lat.s.1/config.json") as f:
            config = f.read()
        drive("rm", "lat.s.1")
        os.unlink(top + "/times")
        libc = ctypes.CDLL(None)
        here = top + "/hand"
        begin, end = os.pipe()
        if os.fork() == 0:
            for _ in range(self.bench.rounds):
                start = time.perf_counter()
                for name in ("", "/upper", "/work", "/rootfs"):
                    os.mkdir(here + name)
                with open(here + "/config.json", "w") as f:
                    f.write(config)
                options = f"lowerdir={top}/image,upperdir={here}/upper,workdir={here}/work".encode()
                done = (libc.unshare(0x20000) == 0 and libc.mount(None, b"/", None, 0x84000, None) == 0 and
                        libc.mount(b"overlay", f"{here}/rootfs".encode(), b"overlay", 0, options) == 0)
                if not done:
                    break
                os.write(end, f"hand {int((time.perf_counter() - start) * 1e9)}\n".encode())
                libc.umount2(f"{here}/rootfs".encode(), 2)
                shutil.rmtree(here)
            os._exit(0)
        os.close(end)
        with open(begin) as f:
            times = self.series(f.read())["hand"]
        os.wait()
        return times

    @staticmethod
    def series(text):
        found = {}
        for line in text.splitlines():
            operation, nsec = line.split()
            found.setdefault(operation, []).append(int(nsec) / 1e6)
        return found

    @staticmethod
    def quantiles(times):
        return f"p50 {statistics.median(times):6.2f} min {min(times):6.2f} ms"

    def ask(self, method, path, body=None, kind="application/json"):
        c = Connection(self.top + "/sock")
        c.request(method, path, body, {"Content-Type": kind})
        answer = c.getresponse()
        data = answer.read()
        c.close()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {data[:200]}")
        return data

    def start(self):
        with open(self.top + "/daemon.json", "w") as f:
            f.write("{}")
        with open(self.top + "/log", "w") as log:
            self.engine = subprocess.Popen(
                ["dockerd", "--data-root", self.top + "/data", "--exec-root", self.top + "/exec", "-p", self.top + "/pid",
                 "-H", "unix://" + self.top + "/sock", "--config-file", self.top + "/daemon.json", "--iptables=false",
                 "--ip6tables=false", "--bridge=none"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        for _ in range(300):
            try:
                return self.ask("GET", "/_ping")
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("dockerd did not come up")

    def fill(self):
        os.makedirs(self.top + "/root/bin")
        shutil.copy(shutil.which("busybox"), self.top + "/root/bin/sh")
        tar = subprocess.run(["tar", "-C", self.top + "/root", "-cf", "-", "."], check=True, stdout=subprocess.PIPE).stdout
        self.ask("POST", "/v1.41/images/create?fromSrc=-&repo=bb", tar, "application/x-tar")
        for i in range(CONTAINERS):
            self.ask("POST", f"/v1.41/containers/create?name=zlayer-b.s.{i + 1}", json.dumps(
                {"Image": "bb", "Cmd": ["/bin/sh"], "Labels": {"com.zlayer.root": self.top + "/ours"},
                 "HostConfig": {"NetworkMode": "none"}}))

    def plain(self, path, rounds):
        times = []
        for _ in range(rounds):
            begin = time.perf_counter()
            self.ask("GET", path)
            times.append((time.perf_counter() - begin) * 1000)
        return f"p50 {statistics.median(times):.2f} min {min(times):.2f} ms"

    def ours(self, *command):
        env = dict(os.environ, DOCKER_HOST=f"unix://{self.top}/sock", ZLAYER_ROOT_DIR=self.top + "/ours",
                   ZLAYER_RUNTIME_DIR=self.top + "/run", ZLAYER_RUNTIME="docker")
        return subprocess.run([self.driver, *command], env=env, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def overhead(self):
        """one inspect, and a list of 500 containers, through the library and by plain requests"""
        self.top = tempfile.mkdtemp(prefix="zlayer-bench-docker.")
        self.engine = None
        try:
            self.start()
            self.fill()
            print("docker: inspect, plain        ", self.plain("/v1.41/containers/zlayer-b.s.1/json", 200))
            print("docker: inspect, through us   ", self.ours("repeat", "200", "state", "b.s.1"))
            print(f"docker: list of {CONTAINERS}, plain    ", self.plain("/v1.41/containers/json?all=1", 10))
            print(f"docker: list of {CONTAINERS}, first of a process", self.ours("repeat", "1", "list"))
            print(f"docker: list of {CONTAINERS}, through us", self.ours("repeat", "30", "list"))
        finally:
            if self.engine:
                self.engine.send_signal(signal.SIGTERM)
                self.engine.wait(60)
            shutil.rmtree(self.top, ignore_errors=True)
