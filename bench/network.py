# SPDX-License-Identifier: Apache-2.0
"""The network. Everything lives in a network namespace of its own, which plays the host: bridges, a dockerd with its tables, resolvers;
the machine's links and tables are not touched."""
import calendar
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time

from engines import pss_kib, quiet, wait_until

# Asks one name over and over on one socket and prints what each answer took, in microseconds. Runs where the containers are.
ASK = r"""
import socket, sys, time
server, port, name, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
query = b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\0\0\1\0\1"
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((server, port))
s.settimeout(5)
for n in range(count):
    begin = time.perf_counter_ns()
    s.send(query)
    answer = s.recv(65535)
    spent = time.perf_counter_ns() - begin
    if answer[3] & 15 or not answer[7]:
        sys.exit("no address in the answer")
    print(spent / 1000)
"""

# An echo server for one byte at a time, and one that times it: on connections that stand, and on new ones, in microseconds.
ECHO = r"""
import socket, threading
s = socket.create_server(("", 7), backlog=1000)
def serve(c):
    c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while True:
        data = c.recv(100)
        if not data:
            return c.close()
        c.send(data)
while True:
    c, _ = s.accept()
    threading.Thread(target=serve, args=(c,), daemon=True).start()
"""
PING = r"""
import socket, sys, time
where, stands, count = (sys.argv[1], int(sys.argv[2])), sys.argv[3] == "stands", int(sys.argv[4])
c = None
for n in range(count):
    begin = time.perf_counter_ns()
    if not c:
        c = socket.create_connection(where)
        c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    c.send(b"x")
    c.recv(1)
    print((time.perf_counter_ns() - begin) / 1000)
    if not stands:
        c.close()
        c = None
"""


class Host:
    """A network namespace that plays the host, and another behind a bridge in it that plays a container."""

    def __init__(self):
        self.holders = []
        self.pid = self.hold(["unshare", "--net"])
        self.run(["ip", "link", "set", "lo", "up"])

    def hold(self, prefix):
        holder = subprocess.Popen(prefix + ["sleep", "36000"], stdin=subprocess.DEVNULL)
        self.holders.append(holder)
        own = os.readlink("/proc/self/ns/net")
        known = [os.readlink(f"/proc/{h.pid}/ns/net") for h in self.holders[:-1]]
        wait_until(lambda: os.readlink(f"/proc/{holder.pid}/ns/net") not in [own] + known, "a network namespace")
        return holder.pid

    def within(self, argv, pid=None):
        return ["nsenter", "-t", str(pid or self.pid), "-n"] + argv

    def run(self, argv, pid=None):
        done = quiet(self.within(argv, pid))
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(argv)}: {done.stdout}")
        return done.stdout

    def bridge(self, name, gateway, address):
        """The pid of the namespace behind the bridge."""
        pid = self.hold(self.within(["unshare", "--net"]))
        self.run(["ip", "link", "add", name, "type", "bridge"])
        self.run(["ip", "link", "add", f"{name}0", "type", "veth", "peer", "name", "eth0", "netns", str(pid)])
        self.run(["ip", "link", "set", f"{name}0", "master", name, "up"])
        self.run(["ip", "addr", "add", f"{gateway}/24", "dev", name])
        self.run(["ip", "link", "set", name, "up"])
        self.run(["ip", "addr", "add", f"{address}/24", "dev", "eth0"], pid)
        self.run(["ip", "link", "set", "eth0", "up"], pid)
        return pid

    def close(self):
        for holder in self.holders:
            holder.kill()
            holder.wait()


class Network:
    def __init__(self, engines, build):
        self.engines = engines
        self.work = engines.work
        self.build = build
        self.host = self.other_host = None

    def start(self):
        if not self.host:
            self.host = Host()
        return self.host

    def busybox(self):
        tar = f"{self.work}/busybox.tar"
        return tar if os.path.exists(tar) else self.engines.busybox_tar()

    # ---- names -----------------------------------------------------------------------------------------

    def start_names_server(self, containers):
        """The name server alone, with that many records; its process."""
        pipe = f"{self.work}/names"
        os.mkfifo(pipe)
        log = f"{self.work}/names-server.log"
        self.engines.serve("names-server", self.host.within([f"{self.build}/test/system/names-server", pipe]),
                           lambda: os.path.exists(log))
        lines = ["listen n 10.77.0.1 53 24"]
        lines += [f"replica n s{n // 2} {n % 2 + 1} 10.77.{1 + n // 250}.{n % 250}" for n in range(containers)]
        with open(pipe, "w") as file:
            file.write("".join(line + "\n" for line in lines))
        wait_until(lambda: open(log).read().count("ok\n") == len(lines), "the names")
        return self.engines.servers[-1]

    def start_dnsmasq(self, containers):
        pid = self.host.bridge("dmbench", "10.78.0.1", "10.78.0.2")
        hosts = f"{self.work}/dnsmasq.hosts"
        with open(hosts, "w") as file:
            file.writelines(f"10.78.{1 + n // 250}.{n % 250} s{n // 2}\n" for n in range(containers))
        self.engines.serve("dnsmasq", self.host.within(
            ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", f"--addn-hosts={hosts}",
             "--bind-interfaces", "--listen-address=10.78.0.1", "--pid-file=", "--user=root"]),
            lambda: "10.78" in quiet(self.host.within(["ss", "-uln"])).stdout)
        return pid

    def start_docker(self, host=None):
        """A dockerd that may make networks, in the namespace, or in another one."""
        name = f"dockerd-network{'' if host is None else '-alone'}"
        host, root = host or self.host, f"{self.work}/{name}"
        docker = ["docker", "-H", f"unix://{root}/sock"]
        if os.path.exists(root):
            return docker
        os.makedirs(root)
        self.engines.serve(name, host.within(
            ["dockerd", "--data-root", f"{root}/data", "--exec-root", f"{root}/exec", "-p", f"{root}/pid", "-H",
             f"unix://{root}/sock"]), lambda: quiet(docker + ["info"]).returncode == 0)
        quiet(docker + ["import", self.busybox(), "bb:latest"], check=True)
        return docker

    def docker_service(self, docker):
        """Two containers of one name; the namespace of a third."""
        quiet(docker + ["network", "create", "n"], check=True)
        for n in (1, 2):
            quiet(docker + ["run", "-d", "--name", f"s{n}", "--network", "n", "--network-alias", "s7", "bb", "/bin/sleep", "3600"],
                  check=True)
        quiet(docker + ["run", "-d", "--name", "client", "--network", "n", "bb", "/bin/sleep", "3600"], check=True)
        return int(quiet(docker + ["inspect", "-f", "{{.State.Pid}}", "client"], check=True).stdout)

    def ask(self, pid, server, count=2000):
        done = quiet(self.host.within([sys.executable, "-c", ASK, server, "53", "s7", str(count)], pid))
        if done.returncode != 0:
            raise RuntimeError(f"{server}: {done.stdout}")
        return [float(line) for line in done.stdout.split()]

    def bench_names(self):
        """A name answered: the question sent in a container, the answer there. The servers take turns."""
        self.start()
        containers = 1000
        asked = {}
        ours = self.host.bridge("zlbench", "10.77.0.1", "10.77.0.2")
        server = self.start_names_server(containers)
        asked["names of zlayer"] = (ours, "10.77.0.1")
        if shutil.which("dnsmasq"):
            asked["dnsmasq"] = (self.start_dnsmasq(containers), "10.78.0.1")
        if shutil.which("dockerd"):
            docker = self.start_docker()
            asked["docker's resolver"] = (self.docker_service(docker), "127.0.0.11")
        times = {name: [] for name in asked}
        for _ in range(5):
            for name, (pid, address) in asked.items():
                times[name] += self.ask(pid, address)
        print(f"\nnames: one answer over UDP, {containers} containers in the table (docker: 3); budget 0.2 ms")
        anchor = statistics.median(times["names of zlayer"])
        for name, spent in times.items():
            spent.sort()
            print(f"  {name:20} p50 {statistics.median(spent) / 1000:7.3f} ms   p99 {spent[int(len(spent) * 0.99)] / 1000:7.3f}   "
                  f"min {spent[0] / 1000:7.3f}   {statistics.median(spent) / anchor:6.1f} × ours")
        print(f"  memory of the server with {containers} containers: {pss_kib(server.pid)} KiB PSS")
        self.flood()
        if shutil.which("dockerd"):
            quiet(docker + ["rm", "-f", "s1", "s2", "client"])
            quiet(docker + ["network", "rm", "n"])

    def flood(self):
        if not shutil.which("dnsperf"):
            return
        queries = f"{self.work}/queries"
        with open(queries, "w") as file:
            file.writelines(f"s{n % 500} A\n" for n in range(10000))
        for name, address in (("names of zlayer", "10.77.0.1"), ("dnsmasq", "10.78.0.1")):
            done = quiet(self.host.within(["dnsperf", "-s", address, "-d", queries, "-n", "10", "-c", "20", "-q", "1000", "-S", "0"]))
            facts = [" ".join(line.split()) for line in done.stdout.splitlines()
                     if "Queries per second" in line or "Queries lost" in line]
            print(f"  {name:20} {', '.join(facts)} (1000 at once)")

    # ---- starts ----------------------------------------------------------------------------------------

    def start_agent(self):
        """Our program in the same namespace, with directories of its own."""
        agent = self.host.within([f"{self.build}/zlayer-agent", "--root-dir", f"{self.work}/net-root", "--runtime-dir",
                                  f"{self.work}/net-run"])
        quiet(agent + ["image", "import", self.busybox(), "bb"], check=True)
        return agent

    def bench_network(self):
        """What a bridge network adds to a start: the whole command with and without one, in turns."""
        self.start()
        engines = {"zlayer": self.start_agent()}
        if shutil.which("dockerd"):
            engines["docker"] = self.start_docker()
        try:
            self.time_starts(engines)
        finally:
            for command in engines.values():
                quiet(command + ["rm", "-f", "first"])

    def time_starts(self, engines):
        # Something is in the network already: the bridge itself is not what is measured.
        for command in engines.values():
            quiet(command + ["run", "-d", "--name", "first", "--network", "bridge", "bb", "/bin/sleep", "3600"], check=True)
        times = {(name, kind): [] for name in engines for kind in ("none", "bridge")}
        for n in range(20):
            for name, kind in times:
                begin = time.monotonic()
                quiet(engines[name] + ["run", "-d", "--name", f"n{n}{kind}", "--network", kind, "bb", "/bin/sleep", "3600"],
                      check=True)
                times[name, kind].append((time.monotonic() - begin) * 1000)
                quiet(engines[name] + ["rm", "-f", f"n{n}{kind}"], check=True)
        print("\nnetwork: run -d, whole command; what a bridge network adds (budget 2 ms)")
        for name in engines:
            for what, pick in (("p50", statistics.median), ("min", min)):
                none, bridge = (pick(times[name, kind]) for kind in ("none", "bridge"))
                print(f"  {name:10} {what} without {none:8.2f} ms   with {bridge:8.2f}   adds {bridge - none:8.2f}")

    # ---- published ports -------------------------------------------------------------------------------

    @staticmethod
    def make_world(host):
        """The pid of a namespace outside of the host, at 192.0.2.2; the host is 192.0.2.1."""
        pid = host.hold(host.within(["unshare", "--net"]))
        host.run(["ip", "link", "add", "uplink", "type", "veth", "peer", "name", "eth0", "netns", str(pid)])
        host.run(["ip", "addr", "add", "192.0.2.1/24", "dev", "uplink"])
        host.run(["ip", "link", "set", "uplink", "up"])
        host.run(["ip", "addr", "add", "192.0.2.2/24", "dev", "eth0"], pid)
        host.run(["ip", "link", "set", "eth0", "up"], pid)
        return pid

    def publish(self, name, engine, port):
        """A container with ports 7 and 5201 published at `port` and the next: servers of this machine in its network."""
        quiet(engine + ["run", "-d", "--name", "served", "--network", "bridge", "-p", f"{port}:7", "-p", f"{port + 1}:5201", "bb",
                        "/bin/sleep", "3600"], check=True)
        if name == "docker":
            pid = int(quiet(engine + ["inspect", "-f", "{{.State.Pid}}", "served"], check=True).stdout)
        else:
            views = json.loads(quiet(engine + ["ps", "--json"], check=True).stdout)
            pid = next(view["pid"] for view in views if view["name"] == "run.served.1")
        listens = lambda number: f":{number} " in quiet(self.host.within(["ss", "-tln"], pid)).stdout
        self.engines.serve(f"echo-{name}", self.host.within([sys.executable, "-c", ECHO], pid), lambda: listens(7))
        self.engines.serve(f"iperf-{name}", self.host.within(["iperf3", "-s"], pid), lambda: listens(5201))

    def bench_ports(self):
        """Latency and throughput of a published port, from outside and over the host's loopback, in turns with docker."""
        self.start()
        engines, hosts = {"zlayer": self.start_agent()}, {"zlayer": self.host}
        if shutil.which("dockerd"):
            # Rules of the one would be in the way of the other.
            self.other_host = hosts["docker"] = Host()
            engines["docker"] = self.start_docker(hosts["docker"])
        worlds = {name: self.make_world(host) for name, host in hosts.items()}
        ways, spent = {"outside": "192.0.2.1", "loopback": "127.0.0.1"}, {}
        try:
            for name, engine in engines.items():
                self.publish(name, engine, 9000)
            for n in range(10):
                for way, address in ways.items():
                    for name, host in list(hosts.items())[::1 - n % 2 * 2]:
                        pid = worlds[name] if way == "outside" else None
                        for kind, count in (("stands", 2000), ("new", 300)):
                            out = host.run([sys.executable, "-c", PING, address, "9000", kind, str(count)], pid)
                            spent.setdefault((way, kind, name), []).extend(float(line) for line in out.split())
                        out = host.run(["iperf3", "-c", address, "-p", "9001", "-t", "1", "-J"], pid)
                        bits = json.loads(out)["end"]["sum_received"]["bits_per_second"]
                        spent.setdefault((way, "throughput", name), []).append(bits / 1e9)
        finally:
            for engine in engines.values():
                quiet(engine + ["rm", "-f", "served"])
        self.print_ports(spent, ways, engines)

    @staticmethod
    def print_ports(spent, ways, engines):
        print("\nports: a published port, medians; one byte there and back in µs on a connection that stands, with a new one; Gbit/s")
        for way in ways:
            for name in engines:
                values = [(statistics.median(spent[way, kind, name]), statistics.median(spent[way, kind, list(engines)[-1]]))
                          for kind in ("stands", "new", "throughput")]
                print(f"  {way:9} {name:8} " + "   ".join(f"{value:7.2f} ({value / other:4.2f})" for value, other in values))

    # ---- a crowd ---------------------------------------------------------------------------------------

    def bench_crowd(self):
        """500 services of two replicas each, with a balanced address, in one network: does the last start as fast as the first?"""
        self.start()
        agent, services = self.start_agent(), 500
        path = f"{self.work}/crowd.yaml"
        with open(path, "w") as file:
            file.write("version: v1\ndeployment: crowd\nservices:\n")
            for n in range(services):
                file.write(f"  s{n}: {{image: {{name: bb}}, network_mode: bridge, command: {{entrypoint: [sleep, '36000']}}, stop_grace_period: 0s, "
                           "scale: {mode: fixed, replicas: 2}, endpoints: [{name: web, protocol: tcp, port: 80}]}\n")
        begin = time.monotonic()
        up = subprocess.Popen(agent + ["up", path], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            started = self.wait_for_crowd(agent, 2 * services)
            whole = time.monotonic() - begin
            net = quiet(["fuser", f"{self.work}/net-run/net/lock"]).stdout.split(":")[-1].strip()
            part = len(started) // 10
            first, last = (part_ms(started[:part]), part_ms(started[-part:]))
            print(f"\ncrowd: {services} services, {len(started)} containers in one network, all up after {whole:.1f} s; between two starts: "
                  f"first tenth {first:.1f} ms, last tenth {last:.1f} ms; zlayer-net {pss_kib(net)} KiB PSS")
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(300)

    def wait_for_crowd(self, agent, count):
        """When each of them started, in seconds, in order."""
        end = time.monotonic() + 600
        while time.monotonic() < end:
            time.sleep(2)
            views = json.loads(quiet(agent + ["ps", "--json"], check=True).stdout or "[]")
            started = sorted(stamp(view["started_at"]) for view in views if view["state"] == "running")
            if len(started) == count:
                return started
        raise RuntimeError(f"only {len(started)} of {count} containers came up")

    def close(self):
        for host in (self.host, self.other_host):
            if host:
                host.close()

    def names(self):
        return {"names": self.bench_names, "network": self.bench_network, "ports": self.bench_ports, "crowd": self.bench_crowd}


def stamp(text):
    """Seconds of an RFC 3339 time of today."""
    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) + float("0." + (text[20:].rstrip("Z") or "0"))


def part_ms(times):
    return (times[-1] - times[0]) / (len(times) - 1) * 1000
