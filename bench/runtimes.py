# SPDX-License-Identifier: Apache-2.0
"""What our side of a foreign runtime costs: the library over the Docker Engine beside plain requests to it. Budgets: at most
1 ms per operation, a list of 500 containers in at most 100 ms."""
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

CONTAINERS = 500


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("docker")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Runtimes:
    def __init__(self, build):
        self.driver = os.path.join(build, "test/system/native-driver")

    def names(self):
        return {"docker_overhead": self.overhead} if shutil.which("dockerd") and shutil.which("busybox") else {}

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
