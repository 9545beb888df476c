# SPDX-License-Identifier: Apache-2.0
"""The agent beside whole engines: Docker and containerd (as far as they are installed), started here with directories of
their own and stopped by pid; a registry on loopback; and what containers cost while they do nothing."""
import glob
import os
import random
import re
import shutil
import socket
import statistics
import subprocess
import time


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def quiet(argv, **more):
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          **more)


def wait_until(check, what, seconds=30):
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            raise RuntimeError(f"{what} did not come up")
        time.sleep(0.05)


def pss_kib(pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return int(re.search(r"^Pss:\s+(\d+)", file.read(), re.M).group(1))
    except (OSError, AttributeError):
        return 0


class Engines:
    def __init__(self, bench, build):
        self.bench = bench
        self.work = bench.work
        self.servers = []
        self.agent = [os.path.join(build, "zlayer-agent"), "--root-dir", f"{self.work}/root", "--runtime-dir",
                      f"{self.work}/run"]
        self.docker = self.ctr = self.registry = None
        self.in_memory(f"{self.work}/run")

    def in_memory(self, path):
        """A directory like /run, where all of them keep what a reboot may wipe."""
        os.makedirs(path)
        subprocess.run(["mount", "-t", "tmpfs", "bench", path], check=True)

    # ---- servers ---------------------------------------------------------------------------------------

    def serve(self, name, argv, up):
        log = open(f"{self.work}/{name}.log", "w")
        self.servers.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        wait_until(up, name)

    def start_docker(self):
        if self.docker:
            return None  # for an earlier benchmark
        if not shutil.which("dockerd"):
            return print("bench: no dockerd here: Docker is not measured")
        root = f"{self.work}/docker"
        self.in_memory(f"{root}/exec")
        self.docker = ["docker", "-H", f"unix://{root}/sock"]
        self.serve("dockerd", ["dockerd", "--data-root", f"{root}/data", "--exec-root", f"{root}/exec", "-p",
                               f"{root}/pid", "-H", f"unix://{root}/sock", "--iptables=false", "--ip6tables=false",
                               "--bridge=none"],
                   lambda: quiet(self.docker + ["info"]).returncode == 0)

    def start_containerd(self):
        if not shutil.which("containerd") or not shutil.which("ctr"):
            return print("bench: no containerd here: it is not measured")
        root = f"{self.work}/containerd"
        self.in_memory(f"{root}/state")
        with open(f"{root}/config.toml", "w") as file:
            file.write(f'version = 2\nroot = "{root}/root"\nstate = "{root}/state"\n'
                       f'[grpc]\n  address = "{root}/sock"\n[ttrpc]\n  address = "{root}/ttrpc"\n'
                       'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
        self.ctr = ["ctr", "--address", f"{root}/sock"]
        self.serve("containerd", ["containerd", "--config", f"{root}/config.toml"],
                   lambda: quiet(self.ctr + ["version"]).returncode == 0)

    def start_registry(self):
        port = free_port()
        with open(f"{self.work}/registry.yml", "w") as file:
            file.write(f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {self.work}/registry}}}}\n"
                       f"http: {{addr: 127.0.0.1:{port}}}\n")
        self.serve("registry", ["docker-registry", "serve", f"{self.work}/registry.yml"],
                   lambda: quiet(["curl", "-fs", f"http://127.0.0.1:{port}/v2/"]).returncode == 0)
        self.registry = f"127.0.0.1:{port}"

    def close(self):
        for server in reversed(self.servers):
            server.terminate()
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
        for line in open("/proc/self/mounts"):
            path = line.split()[1]
            if path.startswith(self.work + "/"):
                quiet(["umount", "-l", path])

    # ---- images ----------------------------------------------------------------------------------------

    def busybox_tar(self):
        if os.path.exists(f"{self.work}/busybox.tar"):  # made for another benchmark
            return f"{self.work}/busybox.tar"
        root = f"{self.work}/busybox"
        for directory in ("bin", "proc", "sys", "dev", "etc", "tmp"):
            os.makedirs(f"{root}/{directory}", exist_ok=True)
        shutil.copy(shutil.which("busybox"), f"{root}/bin/busybox")
        for applet in ("true", "sh", "sleep"):
            os.symlink("busybox", f"{root}/bin/{applet}")
        quiet(["tar", "-C", root, "-cf", f"{self.work}/busybox.tar", "."], check=True)
        return f"{self.work}/busybox.tar"

    def import_busybox(self):
        tar = self.busybox_tar()
        done = quiet(self.agent + ["image", "import", tar, "bb"])
        if done.returncode != 0:
            raise RuntimeError(done.stdout)
        if self.docker:
            quiet(self.docker + ["import", tar, "bb:latest"], check=True)

    def import_second(self):
        """Another image, called second: the same files in a layer of its own."""
        tar = f"{self.work}/second.tar"
        quiet(["tar", "-C", f"{self.work}/busybox", "--owner=7", "-cf", tar, "."], check=True)
        quiet(self.agent + ["image", "import", tar, "second"], check=True)

    def push_layers(self, layers, megabytes, files):
        """An image like a language runtime: text-like and random files in gzip layers. Pushed as "big"."""
        top = f"{self.work}/big"
        rng = random.Random(1)
        quiet(["umoci", "init", "--layout", f"{top}.oci"], check=True)
        quiet(["umoci", "new", "--image", f"{top}.oci:big"], check=True)
        for layer in range(layers):
            root = f"{top}.{layer}"
            words = [bytes(rng.randbytes(rng.randint(2, 9)).hex(), "ascii") for _ in range(4000)]
            for n in range(files // layers):
                path = f"{root}/usr/l{layer}/d{n % 97}"
                os.makedirs(path, exist_ok=True)
                size = max(16, int(rng.expovariate(1) * megabytes * (1 << 20) / files))
                with open(f"{path}/f{n}", "wb") as file:
                    if n % 4 == 0:
                        file.write(rng.randbytes(size))
                    else:
                        text = b" ".join(rng.choices(words, k=size // 12 + 1))
                        file.write(text[:size])
            quiet(["umoci", "insert", "--image", f"{top}.oci:big", root, "/"], check=True)
            shutil.rmtree(root)
        pushed = quiet(["skopeo", "copy", "--dest-tls-verify=false", f"oci:{top}.oci:big",
                        f"docker://{self.registry}/big:1"])
        if pushed.returncode != 0:
            raise RuntimeError(pushed.stdout)
        size = sum(os.path.getsize(p) for p in glob.glob(f"{top}.oci/blobs/sha256/*"))
        shutil.rmtree(f"{top}.oci")
        return size

    # ---- the benchmarks ----------------------------------------------------------------------------------

    def bench_agent(self):
        """Request → exit and exec of `true`, the image being present."""
        self.start_docker()
        self.import_busybox()
        commands = {"zlayer-agent": self.agent + ["run", "--rm", "bb", "/bin/true"]}
        if self.docker:
            commands["docker"] = self.docker + ["run", "--rm", "--network=none", "bb", "/bin/true"]
        self.bench.table("agent: run --rm of `true`, whole command", self.bench.measure(commands, rounds=20), ["docker"])
        self.bench.table("agent: the same, paced", self.bench.measure(commands, rounds=10, pace=100), ["docker"])
        quiet(self.agent + ["run", "-d", "--name", "sleeper", "bb", "/bin/sleep", "600"], check=True)
        commands = {"zlayer-agent": self.agent + ["exec", "sleeper", "/bin/true"]}
        if self.docker:
            quiet(self.docker + ["run", "-d", "--name", "sleeper", "--network=none", "bb", "/bin/sleep", "600"], check=True)
            commands["docker"] = self.docker + ["exec", "sleeper", "/bin/true"]
        self.bench.table("agent: exec of `true`, whole command", self.bench.measure(commands, rounds=20), ["docker"])
        quiet(self.agent + ["rm", "-f", "sleeper"])
        if self.docker:
            quiet(self.docker + ["rm", "-f", "sleeper"])

    def bench_memory(self):
        """Proportional memory of all our processes per idle container."""
        if not os.path.exists(f"{self.work}/busybox.tar"):
            self.import_busybox()
        count = 20
        for n in range(count):
            quiet(self.agent + ["run", "-d", "--name", f"idle{n}", "bb", "/bin/sleep", "600"], check=True)
        time.sleep(2)  # idle: nothing has happened for a while
        monitors = []
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                if b"zlayer-monitor" in open(path, "rb").read().split(b"\0")[0]:
                    fds = [os.readlink(fd) for fd in glob.glob(f"{os.path.dirname(path)}/fd/*")]
                    if any(fd.startswith(self.work) for fd in fds):
                        monitors.append(int(path.split("/")[2]))
            except OSError:
                pass
        total = sum(pss_kib(pid) for pid in monitors)
        print(f"\nmemory: {len(monitors)} monitors for {count} idle containers, {total / max(1, count):.0f} KiB PSS each "
              "(budget 256)")
        for n in range(count):
            quiet(self.agent + ["rm", "-f", f"idle{n}"])

    def timed(self, argv):
        """Seconds of wall, seconds of CPU, peak KiB of one command: of its own process, not of all that ran before."""
        output = f"{self.work}/output"
        with open(output, "w") as file:
            begin = time.monotonic()
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
            _, status, usage = os.wait4(child.pid, 0)
            wall = time.monotonic() - begin
            child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            raise RuntimeError(f"{' '.join(argv)}: {open(output).read()[-500:]}")
        return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss

    def servers_cpu(self):
        """Of the servers, their children and what they waited for: untar processes are children of dockerd."""
        total = 0
        for pid in self.server_pids():
            with open(f"/proc/{pid}/stat") as file:
                total += sum(int(field) for field in file.read().rsplit(")", 1)[1].split()[11:15])
        return total / os.sysconf("SC_CLK_TCK")

    def servers_peak_kib(self):
        text = "".join(open(f"/proc/{pid}/status").read() for pid in self.server_pids())
        return sum(int(kib) for kib in re.findall(r"^VmHWM:\s+(\d+)", text, re.M))

    def server_pids(self):
        children = {}
        for path in glob.glob("/proc/[0-9]*/stat"):
            try:
                text = open(path).read()
            except OSError:
                continue
            children.setdefault(int(text.rsplit(")", 1)[1].split()[1]), []).append(int(text.split()[0]))
        todo = [server.pid for server in self.servers if "registry" not in server.args[0]]
        for pid in todo:
            todo += children.get(pid, [])
        return todo

    def pullers(self, image):
        """Name -> commands that pull the image and that make it gone."""
        pullers = {"zlayer-agent": ([self.agent + ["image", "pull", image]],
                                    [self.agent + ["image", "rm", image], self.agent + ["image", "prune"]])}
        if self.ctr:
            pullers["containerd"] = ([self.ctr + ["images", "pull", "--plain-http", image]],
                                     [self.ctr + ["images", "rm", "--sync", image],
                                      self.ctr + ["content", "prune", "references"]])
        if self.docker:
            pullers["docker"] = ([self.docker + ["pull", "-q", image]], [self.docker + ["rmi", image]])
        if shutil.which("podman"):
            podman = ["podman", "--root", f"{self.work}/podman", "--runroot", f"{self.work}/podman-run",
                      "--storage-driver", "overlay"]
            pullers["podman"] = ([podman + ["pull", "-q", "--tls-verify=false", image]], [podman + ["rmi", "-a"]])
        return pullers

    def bench_pull(self):
        """Pull and unpack from a registry on loopback, three times each in turn."""
        self.start_registry()
        self.start_containerd()
        self.start_docker()
        size = self.push_layers(6, 600, 20000)
        print(f"\npull + unpack: {size >> 20} MiB in 6 gzip layers, 20000 files, from loopback; medians of 3")
        pullers = self.pullers(f"{self.registry}/big:1")
        seen = {name: [] for name in pullers}
        for _ in range(3):
            for name, (pull, clean) in pullers.items():
                before = self.servers_cpu()
                times = [self.timed(argv) for argv in pull]
                seen[name].append((sum(t[0] for t in times), sum(t[1] for t in times) + self.servers_cpu() - before,
                                   max(t[2] for t in times)))
                for argv in clean:
                    quiet(argv)
        medians = {name: [statistics.median(column) for column in zip(*rows)] for name, rows in seen.items()}
        wall, cpu, _ = medians["zlayer-agent"]
        for name, row in medians.items():
            peak = f"peak {row[2] / 1024:.0f} MiB" if name in ("zlayer-agent", "podman") else ""
            print(f"  {name:13} wall {row[0]:6.2f} s  CPU {row[1]:6.2f} s  {peak:13}"
                  f" ours is {wall / row[0]:.2f} of its wall, {cpu / row[1]:.2f} of its CPU time")
        print(f"  (peak of all servers: {self.servers_peak_kib() >> 10} MiB)")

    def bench_logs(self):
        """100 MB of output through the monitor into the log, to the last byte."""
        if not os.path.exists(f"{self.work}/busybox.tar"):
            self.import_busybox()
        script = "i=0; while [ $i -lt 10 ]; do busybox cat /dev/zero | busybox head -c 10000000 | busybox tr '\\000' x | busybox fold -w 99; i=$((i+1)); done"
        wall, _, _ = self.timed(self.agent + ["run", "--rm", "bb", "/bin/sh", "-c", script])
        print(f"\nlogs: 100 MB of lines through a container in {wall:.2f} s ({100 / wall:.0f} MB/s, the writer included)")

    def names(self):
        return {"agent": self.bench_agent, "memory": self.bench_memory, "pull": self.bench_pull, "logs": self.bench_logs}

