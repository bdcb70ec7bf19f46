"""The stage of the benchmark: two network namespaces joined by a veth pair, one CPU accounting group and one freshly
made ext4 per side, and measuring: time, CPU, memory, bytes on the wire."""
import contextlib
import ctypes
import os
import signal
import subprocess
import tempfile
import threading
import time

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
PAGE = os.sysconf("SC_PAGE_SIZE")
TMP = os.environ.get("BENCH_TMP") or os.path.join(tempfile.gettempdir(), "understudy-bench")
SIDES = ("src", "dst")


def log(*words):
    print(time.strftime("%H:%M:%S"), *words, flush=True)


def sh(*argv, **kw):
    return subprocess.run(argv, check=True, **kw)


def cpu_busy():
    fields = [int(x) for x in open("/proc/stat").readline().split()[1:]]
    hz = os.sysconf("SC_CLK_TCK")
    return (sum(fields[:8]) - fields[3] - fields[4]) / hz


def calm(limit=8, busy=0.2):
    """Waits, bounded, until nothing else uses the CPUs; what is left is recorded as other_cpu_s."""
    end = time.time() + limit
    while time.time() < end:
        before = cpu_busy()
        time.sleep(1)
        if cpu_busy() - before < busy:
            return
    log("   the machine is not calm")


class Cgroup:
    """CPU accounting group; cgroup v1 (cpuacct) or v2."""

    def __init__(self, name):
        v1 = "/sys/fs/cgroup/cpuacct"
        self.v1 = os.path.isdir(v1)
        self.dir = os.path.join(v1 if self.v1 else "/sys/fs/cgroup", "understudy-bench-" + name)
        os.makedirs(self.dir, exist_ok=True)
        self.procs = os.path.join(self.dir, "cgroup.procs")

    def cpu(self):
        if self.v1:
            return int(open(os.path.join(self.dir, "cpuacct.usage")).read()) / 1e9
        for line in open(os.path.join(self.dir, "cpu.stat")):
            if line.startswith("usage_usec"):
                return int(line.split()[1]) / 1e6
        raise RuntimeError("no usage_usec in cpu.stat")

    def pids(self):
        return [int(x) for x in open(self.procs).read().split()]

    def threads(self):
        """CPU seconds of the living threads, by name: where a tool's time goes."""
        used = {}
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for task in os.listdir("/proc/%d/task" % pid):
                    with contextlib.suppress(OSError, ValueError, IndexError):
                        at = "/proc/%d/task/%s/" % (pid, task)
                        name = open(at + "comm").read().strip()
                        used[name] = used.get(name, 0) + int(open(at + "schedstat").read().split()[0]) / 1e9
        return used

    def rss(self):
        pages = 0
        for pid in self.pids():
            with contextlib.suppress(OSError, IndexError):
                with open("/proc/%d/statm" % pid) as f:
                    pages += int(f.read().split()[1])
        return pages * PAGE


class Image:
    """A sparse file with a newly made ext4, mounted. ext4 does not hand out an inode for minutes after its deletion
    and scans past such inodes at each create: a target that had been emptied measures that scan, up to ten times
    slower. So each target gets a new file system."""

    def __init__(self, name, gib):
        self.file = os.path.join(TMP, name + ".img")
        self.mount = os.path.join(TMP, name)
        self.gib = gib

    def mounted(self):
        return (" %s " % self.mount) in open("/proc/self/mounts").read()

    def make(self):
        self.end()
        os.makedirs(self.mount, exist_ok=True)
        with open(self.file, "wb") as f:
            f.truncate(self.gib << 30)
        sh("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", self.file)
        sh("mount", "-o", "loop", self.file, self.mount)
        os.rmdir(os.path.join(self.mount, "lost+found"))
        return self.mount

    def again(self):
        """Mounts an image of an earlier run, if there is one."""
        if not self.mounted():
            if not os.path.exists(self.file):
                return False
            os.makedirs(self.mount, exist_ok=True)
            sh("mount", "-o", "loop", self.file, self.mount)
        return True

    def end(self, remove=True):
        for _ in range(50):
            if not self.mounted():
                break
            if subprocess.run(["umount", self.mount], stderr=subprocess.DEVNULL).returncode:
                time.sleep(0.1)
        if self.mounted():
            sh("umount", "-l", self.mount)
        if remove and os.path.exists(self.file):
            os.unlink(self.file)


class Env:
    ip = {"src": "10.77.0.1", "dst": "10.77.0.2"}
    ns = {"src": "understudy-src", "dst": "understudy-dst"}
    veth = {"src": "usb0", "dst": "usb1"}

    def __init__(self):
        os.makedirs(TMP, exist_ok=True)
        self.tmp = os.path.join(TMP, "work")
        os.makedirs(self.tmp, exist_ok=True)
        self.cg = {s: Cgroup(s) for s in SIDES}
        self.children, self.holder = [], {}
        self.stop_all()
        self.net()
        self.source = Image("source", 24)
        self.target = Image("target", 10)

    def net(self):
        self.drop_net()
        for n in self.ns.values():
            sh("ip", "netns", "add", n)
        sh("ip", "link", "add", self.veth["src"], "netns", self.ns["src"],
           "type", "veth", "peer", "name", self.veth["dst"], "netns", self.ns["dst"])
        for s in SIDES:
            for c in (["addr", "add", self.ip[s] + "/24", "dev", self.veth[s]],
                      ["link", "set", self.veth[s], "up"], ["link", "set", "lo", "up"]):
                sh("ip", "-n", self.ns[s], *c)
            self.holder[s] = self.spawn(s, ["sleep", "1000000"], group=False)
        time.sleep(0.3)

    def drop_net(self):
        for n in self.ns.values():
            subprocess.run(["ip", "netns", "del", n], stderr=subprocess.DEVNULL)

    def close(self):
        self.stop_all()
        for h in self.holder.values():
            h.terminate()
            h.wait()
        self.drop_net()
        self.target.end()
        self.source.end(remove=False)
        for g in self.cg.values():
            with contextlib.suppress(OSError):
                os.rmdir(g.dir)

    def spawn(self, side, argv, log=None, env=None, group=True, **kw):
        """Starts a program on one side: in its network, and counted in its group."""
        nsfd = os.open("/run/netns/" + self.ns[side], os.O_RDONLY)
        procs = self.cg[side].procs

        def pre():
            if group:
                with open(procs, "w") as f:
                    f.write(str(os.getpid()))
            if LIBC.setns(nsfd, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        out = open(log, "ab") if log else subprocess.DEVNULL
        p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, preexec_fn=pre,
                             env=dict(os.environ, **(env or {})), cwd=self.tmp, start_new_session=True, **kw)
        os.close(nsfd)
        if group:
            self.children.append(p)
        return p

    def forget(self, p):
        if p in self.children:
            self.children.remove(p)

    def stop_all(self):
        """Ends what was started: our children, then whatever is left in our own groups, by pid."""
        for p in self.children:
            if p.poll() is None:
                p.terminate()
        end = time.time() + 15
        for p in self.children:
            try:
                p.wait(max(0.1, end - time.time()))
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        self.children = []
        for sig in (signal.SIGTERM, signal.SIGKILL):
            for g in self.cg.values():
                for pid in g.pids():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, sig)
            if not any(g.pids() for g in self.cg.values()):
                break
            time.sleep(0.2)

    def wire(self):
        """Bytes on the veth: (source to target, target to source), headers and ACKs included."""
        for line in open("/proc/%d/net/dev" % self.holder["src"].pid):
            if line.strip().startswith(self.veth["src"] + ":"):
                f = line.split(":")[1].split()
                return int(f[8]), int(f[0])
        raise RuntimeError("the veth pair is gone")


class Measure:
    """with Measure(env) as m: ...  ->  m.r: wall, CPU per side, peak memory per side, bytes on the wire."""

    def __init__(self, env, sample=0.05):
        self.env, self.sample = env, sample

    def __enter__(self):
        e = self.env
        self.peak = {s: 0 for s in SIDES}
        self.over = threading.Event()

        def sampler():
            while not self.over.wait(self.sample):
                for s in SIDES:
                    self.peak[s] = max(self.peak[s], e.cg[s].rss())
        self.w0 = e.wire()
        self.threads0 = {s: e.cg[s].threads() for s in SIDES}
        self.c0 = {s: e.cg[s].cpu() for s in SIDES}
        self.b0 = cpu_busy()
        self.thread = threading.Thread(target=sampler)
        self.thread.start()
        self.t0 = time.perf_counter()
        return self

    def __exit__(self, *a):
        wall = time.perf_counter() - self.t0
        self.over.set()
        self.thread.join()
        e = self.env
        w1, b1 = e.wire(), cpu_busy()
        cpu = {s: e.cg[s].cpu() - self.c0[s] for s in SIDES}
        threads = {}
        for s in SIDES:
            for name, used in e.cg[s].threads().items():
                used -= self.threads0[s].get(name, 0)
                if used > 0.01 * wall or used > 0.05:
                    threads["%s %s" % ("source" if s == "src" else "target", name)] = round(used, 3)
        self.r = {"wall_s": round(wall, 4), "cpu_src_s": round(cpu["src"], 3), "cpu_dst_s": round(cpu["dst"], 3),
                  "cpu_s": round(cpu["src"] + cpu["dst"], 3),
                  "rss_src_mib": round(self.peak["src"] / 2**20, 1), "rss_dst_mib": round(self.peak["dst"] / 2**20, 1),
                  "wire": sum(w1) - sum(self.w0), "threads": threads,
                  "other_cpu_s": round(b1 - self.b0 - cpu["src"] - cpu["dst"], 2)}
        return False
