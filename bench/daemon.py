# SPDX-License-Identifier: Apache-2.0
"""The daemon by its HTTP interface: what a request costs on a connection that is kept, beside Docker's command line in the same
run; a thousand containers; what it holds and does while nothing happens."""
import calendar
import http.client
import json
import os
import socket
import statistics
import subprocess
import time

from engines import pss_kib, quiet, wait_until


class Client(http.client.HTTPConnection):
    """One connection to the socket, kept."""

    def __init__(self, path):
        super().__init__("zlayer", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.path)

    def ask(self, method, path, body=None):
        text = json.dumps(body) if body is not None else None
        self.request(method, path, text, {"Content-Type": "application/json"} if text else {})
        answer = self.getresponse()
        data = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {data.decode()}")
        return json.loads(data) if data else None


class Requests:
    """The same for a measurement: what is timed is the daemon, from the first byte sent to the last received, and not the making and
    reading of the text here, which takes Python half a millisecond."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(path)

    def start(self, name, service):
        """A container: the milliseconds until its command runs, as its monitor puts down, and until the answer is here."""
        took = self.ask("POST", "/v1/containers", {"name": name, "service": service})
        second, fraction = json.loads(self.answer)["started_at"].rstrip("Z").split(".")
        started = calendar.timegm(time.strptime(second, "%Y-%m-%dT%H:%M:%S")) * 10**9 + int(fraction.ljust(9, "0"))
        return (started - self.began) / 1e6, took

    def ask(self, method, path, body=None):
        """Returns the milliseconds it took."""
        text = json.dumps(body).encode() if body is not None else b""
        head = f"{method} {path} HTTP/1.1\r\nHost: zlayer\r\n"
        if text:
            head += f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n"
        message = head.encode() + b"\r\n" + text
        self.began, begin = time.time_ns(), time.monotonic()
        self.sock.sendall(message)
        answer = self.sock.recv(1 << 20)
        while not self.is_whole(answer):
            answer += self.sock.recv(1 << 20)
        took = (time.monotonic() - begin) * 1000
        self.answer = answer.partition(b"\r\n\r\n")[2]
        if int(answer.split()[1]) >= 300:
            raise RuntimeError(f"{method} {path}: {answer.decode()}")
        return took

    @staticmethod
    def is_whole(answer):
        head, end, data = answer.partition(b"\r\n\r\n")
        length = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        return end and len(data) >= (int(length[0]) if length else 0)


def service(*command):
    return {"image": {"name": "bb"}, "command": {"entrypoint": list(command)}}


def timed(call, *args):
    begin = time.monotonic()
    call(*args)
    return (time.monotonic() - begin) * 1000


class Daemon:
    def __init__(self, engines):
        self.engines = engines
        self.work = engines.work
        self.socket = f"{self.work}/run/agent.sock"
        self.process = None

    def start(self):
        if self.process:
            return
        if not os.path.exists(f"{self.work}/busybox.tar"):
            self.engines.import_busybox()
        self.engines.serve("daemon", self.engines.agent + ["serve"], lambda: os.path.exists(self.socket))
        self.process = self.engines.servers[-1]
        wait_until(lambda: Client(self.socket).ask("GET", "/v1/version"), "the daemon")

    def row(self, name, times, anchor=None):
        times = sorted(times)
        p50 = statistics.median(times)
        ratio = f"   {p50 / anchor:.3f} of docker" if anchor else ""
        print(f"  {name:38} p50 {p50:8.2f} ms   p90 {times[int(len(times) * 0.9)]:8.2f}   min {times[0]:8.2f}{ratio}")
        return p50

    def bench_requests(self):
        """Request to running process, and exec, on a kept connection."""
        self.engines.start_docker()
        self.start()
        docker, client, requests = self.engines.docker, Client(self.socket), Requests(self.socket)
        if docker:
            quiet(docker + ["import", f"{self.work}/busybox.tar", "bb:latest"], check=True)
            quiet(docker + ["run", "-d", "--name", "target", "--network=none", "bb", "/bin/sleep", "600"], check=True)
        client.ask("POST", "/v1/containers", {"name": "target", "service": service("/bin/sleep", "600")})
        self.engines.import_second()
        runs, others, images, execs, docker_runs, docker_execs = [], [], [], [], [], []
        for n in range(120):
            # The same again, as a service has its replicas or a job its executions; then each unlike the one before; then of another image, too.
            wish, times = service("/bin/sleep", "600"), (runs, others, images)[n // 40]
            if times is not runs:
                wish["resources"] = {"pids_limit": 100 + n}
            if times is images and n % 2:
                wish["image"]["name"] = "second"
            times.append(requests.start(f"r{n}", wish))
            execs.append(requests.ask("POST", "/v1/containers/run.target.1/exec", {"command": ["/bin/true"]}))
            client.ask("DELETE", f"/v1/containers/r{n}?force")
            time.sleep(0.05)  # what is made ahead is made in the pauses; without any, see the thousand
            if docker and n % 4 == 0:
                docker_runs.append(timed(quiet, docker + ["run", "-d", "--name", f"r{n}", "--network=none", "bb",
                                                          "/bin/sleep", "600"]))
                docker_execs.append(timed(quiet, docker + ["exec", "target", "/bin/true"]))
                quiet(docker + ["rm", "-f", f"r{n}"])
        row = [requests.ask("POST", "/v1/containers/run.target.1/exec", {"command": ["/bin/true"]}) for _ in range(80)]
        client.ask("DELETE", "/v1/containers/target?force")
        print("\ndaemon: one request on a kept connection (budgets: run 4 ms and 0.02 of docker run, exec 2 ms)")
        run = self.row("docker run -d", docker_runs) if docker_runs else None
        for name, times in (("the same again", runs), ("another", others), ("another image", images)):
            self.row(f"start, {name}: until it runs", [running for running, _ in times], run)
            self.row(f"start, {name}: until the answer", [took for _, took in times], run)
        exec_ = self.row("docker exec true", docker_execs) if docker_execs else None
        self.row("POST …/exec of true, after a start", execs, exec_)
        self.row("POST …/exec of true, in a row", row, exec_)
        if docker:
            quiet(docker + ["rm", "-f", "target"])

    def bench_thousand(self):
        """A thousand containers, one after the other; ps of them; what the daemon holds and does."""
        self.start()
        client, times, total = Client(self.socket), [], int(os.environ.get("ZL_BENCH_MANY", "1000"))
        print(f"\ndaemon: {total} containers (budgets: last start 2 × the first, 8 MiB with 100, ps 50 ms)")
        for n in range(total):
            times.append(timed(client.ask, "POST", "/v1/containers",
                               {"name": f"m{n}", "service": service("/bin/sleep", "6000")}))
            if n == 99:
                print(f"  agent with 100 containers: {pss_kib(self.process.pid) / 1024:.1f} MiB PSS")
        first, last = statistics.median(times[:20]), statistics.median(times[-20:])
        print(f"  start: first 20 {first:.2f} ms, last 20 {last:.2f} ms ({last / first:.2f} ×), none failed")
        self.row(f"GET /v1/containers of {total}", [timed(client.ask, "GET", "/v1/containers") for _ in range(10)])
        self.row(f"ps of {total}, whole command", [timed(quiet, self.engines.agent + ["ps", "-q"]) for _ in range(10)])
        print(f"  agent with {total} containers: {pss_kib(self.process.pid) / 1024:.1f} MiB PSS, "
              f"{self.idle_percent():.2f} % of a core while nothing happens")
        names = [f"m{n}" for n in range(total)]
        for at in range(0, total, 100):
            subprocess.run(self.engines.agent + ["rm", "-f"] + names[at:at + 100], stdout=subprocess.DEVNULL)

    def bench_probed(self):
        """What looking after many containers costs while nothing happens to them: an http check each, every 10 s."""
        total = int(os.environ.get("ZL_BENCH_PROBED", "500"))
        print(f"\ndaemon: {total} containers with a check every 10 s (budget: 1 % of a core)")
        self.start()
        client = Client(self.socket)
        for kind, check in (("http", {"type": "http", "url": "http://localhost:80/", "expect_status": 404}),
                            ("tcp", {"type": "tcp", "port": 80})):
            web = service("/bin/busybox", "httpd", "-f", "-p", "80")
            web.update({"scale": {"mode": "fixed", "replicas": total}, "stop_grace_period": "0s",
                        "health": {"interval": "10s", "check": check}})
            client.ask("POST", "/v1/deployments?wait", {"version": "v1", "deployment": "probed", "services": {"web": web}})
            wait_until(lambda: all(c["health"] == "healthy" for c in client.ask("GET", "/v1/containers")), "all to be well", 60)
            time.sleep(20)  # past the closer looks of the beginning
            monitors = [int(p) for p in os.listdir("/proc") if p.isdigit() and self.argument(p).startswith("probed.")]
            others = sum(self.cpu_seconds(p) for p in monitors)
            agent = self.idle_percent(30)
            others = sum(self.cpu_seconds(p) for p in monitors) - others
            print(f"  {kind:4} agent {agent:.2f} %, monitors together {others / 30 * 100:.2f} %")
            client.ask("DELETE", "/v1/deployments/probed")
            wait_until(lambda: not client.ask("GET", "/v1/containers?all"), "the end", 60)

    @staticmethod
    def argument(pid):
        """The first argument; a monitor's is the name of its container."""
        try:
            with open(f"/proc/{pid}/cmdline") as file:
                return (file.read().split("\0") + ["", ""])[1]
        except OSError:
            return ""

    def cpu_ticks(self, pid=None):
        with open(f"/proc/{pid or self.process.pid}/stat") as file:
            return sum(int(field) for field in file.read().rsplit(")", 1)[1].split()[11:13])

    @staticmethod
    def cpu_seconds(pid):
        """Finer than ticks, of a process with one thread."""
        with open(f"/proc/{pid}/schedstat") as file:
            return int(file.read().split()[0]) / 1e9

    def idle_percent(self, seconds=5):
        before = self.cpu_ticks()
        time.sleep(seconds)
        return (self.cpu_ticks() - before) / os.sysconf("SC_CLK_TCK") / seconds * 100

    def names(self):
        return {"daemon": self.bench_requests, "thousand": self.bench_thousand, "probed": self.bench_probed}
