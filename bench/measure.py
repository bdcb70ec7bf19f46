"""The measurements. Each returns nothing and adds rows to the store: one row per run, never averaged here."""
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time

import datasets
from env import TMP, Measure, calm, log
from peers import Understudy

HERE = os.path.dirname(os.path.abspath(__file__))


class Store:
    def __init__(self, file, machine):
        self.file, self.rows, self.machine = file, [], machine

    def add(self, test, peer, **kw):
        self.rows.append({"test": test, "peer": peer, "at": time.strftime("%H:%M:%S"), **kw})
        log("  ", test, peer, json.dumps({k: v for k, v in kw.items() if k in SHOWN}))
        tmp = self.file + ".tmp"
        with open(tmp, "w") as f:
            f.write('{"machine": %s,\n"rows": [\n%s\n]}\n' % (json.dumps(self.machine), ",\n".join(json.dumps(r) for r in self.rows)))
        os.replace(tmp, self.file)


SHOWN = ("wall_s", "cpu_s", "wire", "p50_s", "p99_s", "timed_out", "rss_src_mib", "rss_dst_mib", "converge_s", "op_mean_ms", "error", "diff", "other_cpu_s")


def probe():
    source, built = os.path.join(HERE, "probe.c"), os.path.join(TMP, "probe")
    if not os.path.exists(built) or os.path.getmtime(built) < os.path.getmtime(source):
        subprocess.run(["gcc", "-O2", "-o", built, source], check=True)
    return built


def dataset(env, name):
    p = os.path.join(env.source.mount, name)
    if not os.path.exists(p):
        log("making", name)
        tmp = p + ".part"
        shutil.rmtree(tmp, ignore_errors=True)
        datasets.GEN[name](tmp)
        os.rename(tmp, p)
    return p


def settle():
    os.sync()
    time.sleep(0.3)


def warm(p):
    """A warm run really is warm: everything is in the page cache once."""
    subprocess.run(["bash", "-c", "find '%s' -type f -print0 | xargs -0 cat >/dev/null" % p], check=False)


def fresh(env):
    m = env.target.make()
    d = os.path.join(m, "data")
    os.mkdir(d)
    return d


@contextlib.contextmanager
def running(env, cls, src, dst, live=False):
    peer = cls(env)
    try:
        peer.start(src, dst, live)
        yield peer
    finally:
        peer.stop()


def guarded(st, test, cls, what):
    """A peer that fails is a row with its error; the others go on."""
    try:
        what()
    except Exception as e:      # noqa: BLE001 - whatever it is, it is the result
        st.add(test, cls.name, error="%s: %s" % (type(e).__name__, str(e)[:600]))


def mirror(env, st, cls, name, runs, again=False, verify=True):
    """First mirror of a data set to a new file system; `again`: then a second one with nothing changed."""
    src = dataset(env, name)
    warm(src)

    def one(run):
        dst = fresh(env)
        with running(env, cls, src, dst) as peer:
            settle()
            calm()
            with Measure(env) as m:
                peer.mirror(src, dst)
            t = time.perf_counter()
            os.sync()
            m.r["sync_s"] = round(time.perf_counter() - t, 3)
            diff = datasets.verify(src, dst) if run == 1 and verify else None
            st.add("mirror-" + name, cls.name, run=run, diff=diff, **m.r)
            if again and cls.delta:
                settle()
                with Measure(env) as m:
                    peer.again(src, dst)
                st.add("remirror-" + name, cls.name, run=run, **m.r)
            if again and cls is Understudy:
                restart(env, st, peer, name, run)
    for run in range(1, runs + 1):
        guarded(st, "mirror-" + name, cls, lambda: one(run))


def restart(env, st, peer, name, run):
    """The source agent ends in order and starts again: from the start of the process until all is well."""
    agent = [p for p in env.children if "--socket" in p.args and "/src/agent.sock" in " ".join(p.args)][0]
    agent.terminate()
    agent.wait(30)
    env.forget(agent)
    settle()
    with Measure(env) as m:
        peer.start_agent("src")
        peer.ask("reopen")
        peer.ask("ready")
    st.add("restart-" + name, cls_name(peer), run=run, **m.r)


def cls_name(peer):
    return type(peer).name


def diff(env, st, cls, runs, name="D1", fraction=0.01):
    """1 % of the 4 KiB blocks of the large file changed in place while nobody replicated."""
    src = dataset(env, name)
    big = os.path.join(src, "big.bin")

    def one():
        dst = fresh(env)
        subprocess.run(["cp", "-a", src + "/.", dst + "/"], check=True)
        for run in range(1, runs + 1):
            changed = datasets.mutate(big, time.time_ns(), fraction)
            settle()
            with running(env, cls, src, dst) as peer:
                calm()
                with Measure(env) as m:
                    peer.difference(src, dst)
                same = datasets.verify(src, dst) if run == 1 else None
            st.add("diff-" + name, cls.name, run=run, changed_bytes=changed * 4096, diff=same, **m.r)
    guarded(st, "diff-" + name, cls, one)


# ------------------------------------------------------------------------------------------------------- live
def make_live(env, size):
    """The live tree: many small files, a large file, a 'database', a directory to be renamed."""
    p = os.path.join(env.source.mount, "live-" + size)
    if not os.path.exists(p):
        small, big = ("D2", "D1") if size == "full" else ("D2s", "D1q")
        small, big = dataset(env, small), dataset(env, big)
        log("making the live tree")
        tmp = p + ".part"
        shutil.rmtree(tmp, ignore_errors=True)
        subprocess.run(["cp", "-a", small, tmp], check=True)
        subprocess.run(["cp", "-a", os.path.join(big, "big.bin"), tmp], check=True)
        datasets.gen_D1(os.path.join(tmp, "db"), (512 if size == "full" else 64) * 2**20)
        datasets.gen_small(os.path.join(tmp, "ren"), 10_000, 1, 909)
        os.rename(tmp, p)
    for k in ("live", "sus", "storm"):
        shutil.rmtree(os.path.join(p, k), ignore_errors=True)
    for k in ("live", "sus"):
        for i in range(10):
            os.makedirs(os.path.join(p, k, "s%02d" % i))
    for e in os.listdir(p):
        if e.startswith(".sentinel"):
            os.unlink(os.path.join(p, e))
    if os.path.exists(os.path.join(p, "ren", "moved")):
        os.rename(os.path.join(p, "ren", "moved"), os.path.join(p, "ren", "d0000"))
    return p


def sentinel(src, dst, timeout=160, turn=[0]):
    """A new file, and the time until it is on the target: None when it never came."""
    turn[0] += 1
    n = ".sentinel%d" % turn[0]
    with open(os.path.join(src, n), "w") as f:
        f.write(n)
    t = time.perf_counter()
    while time.perf_counter() - t < timeout:
        with contextlib.suppress(OSError):
            if open(os.path.join(dst, n)).read() == n:
                return time.perf_counter() - t
        time.sleep(0.02)
    return None


def quiet(env, limit=25, share=0.04):
    """Waits until the tool uses next to no CPU."""
    end = time.time() + limit
    while time.time() < end:
        before = env.cg["src"].cpu() + env.cg["dst"].cpu()
        time.sleep(1)
        if env.cg["src"].cpu() + env.cg["dst"].cpu() - before < share:
            return


def run_probe(*args):
    p = subprocess.run([probe(), *map(str, args)], capture_output=True, text=True)
    return json.loads(p.stdout) if p.returncode == 0 else {"error": p.stderr[-300:]}


def rename(src, dst, back, timeout=150):
    """Renames a directory of 10,000 files; until the target shows all of them under the new name."""
    names = ("moved", "d0000") if back else ("d0000", "moved")
    a, b, da, db = (os.path.join(r, "ren", n) for r in (src, dst) for n in names)
    n = len(os.listdir(a))
    os.rename(a, b)
    t = time.perf_counter()
    while time.perf_counter() - t < timeout:
        with contextlib.suppress(OSError):
            if len(os.listdir(db)) >= n and not os.path.lexists(da) and sum(e.name[0] == "f" for e in os.scandir(db)) == n:
                return {"converge_s": round(time.perf_counter() - t, 4)}
        time.sleep(0.002)
    return {"converge_s": None, "error": "not converged in %d s" % timeout}


def storm(folder, files):
    """A program that makes, renames and deletes many small files: seconds it took."""
    os.makedirs(folder)
    t = time.perf_counter()
    for i in range(files):
        p = "%s/f%d" % (folder, i)
        fd = os.open(p, os.O_WRONLY | os.O_CREAT, 0o644)
        os.write(fd, b"x" * 512)
        os.close(fd)
        if i % 3 == 0:
            os.rename(p, p + ".moved")
        elif i % 3 == 1:
            os.unlink(p)
    return round(time.perf_counter() - t, 4)


def live(env, st, cls, tests, size):
    """Measures what is written while the tool replicates. The target is made identical first."""
    full = size == "full"
    src = make_live(env, size)
    dst = fresh(env)
    subprocess.run(["rsync", "-aH", "--numeric-ids", src + "/", dst + "/"], check=True)
    settle()
    j = os.path.join
    # Seconds to wait for stragglers; a peer that never notices a kind of change costs this much once.
    drain = 60 if full else 20

    def one(t, turn):
        if t == "idle":
            time.sleep(30 if full else 8)
            return {}
        if t == "create":
            return run_probe("create", j(src, "live"), j(dst, "live"), 150 if full else 60, 5 if full else 10, drain, 10)
        if t == "sustain":
            return run_probe("create", j(src, "sus"), j(dst, "sus"), 12000 if full else 2000, 200, drain, 10)
        if t == "pwrite":
            return run_probe("pwrite", j(src, "big.bin"), j(dst, "big.bin"), 100 if full else 40, 5 if full else 10, drain, int(time.time()))
        if t == "db":
            return run_probe("pwrite", j(src, "db", "big.bin"), j(dst, "db", "big.bin"), 15000 if full else 2500, 500, drain, int(time.time()))
        if t == "rename":
            return rename(src, dst, turn % 2 == 1)
        if t == "storm":
            return {"storm_s": storm(j(src, "storm", str(turn)), 20_000 if full else 5_000)}
        raise ValueError(t)

    def measured():
        calm()
        with running(env, cls, src, dst, live=True) as peer:
            if sentinel(src, dst) is None:
                st.add("live-start", cls.name, error="the first new file did not arrive within 160 s")
                return
            quiet(env)
            for t in tests:
                for turn in range(3 if t in ("rename", "storm") and full else 1):
                    if t in ("rename", "storm") and cls is Understudy:
                        peer.ask("barrier")     # What earlier tests left behind is not this one's.
                    if t == "idle":
                        time.sleep(10)          # What the mirror needed may be given back first.
                    with Measure(env, 0.2) as m:
                        r = one(t, turn)
                        if t in ("rename", "storm") and cls is Understudy:
                            peer.ask("barrier")
                    st.add("live-" + t, cls.name, run=turn + 1, **{**m.r, **r})
                    if t != "idle" and sentinel(src, dst) is None:
                        st.add("live-" + t, cls.name, error="no longer replicates after this test")
                        return
                    quiet(env)
            if cls is Understudy:
                peer.ask("barrier")
                st.add("live-verify", cls.name, diff=datasets.verify(src, dst))
    guarded(st, "live", cls, measured)


def baseline(env, st, size):
    """The same load with no tool at all: what an application has for itself."""
    src = make_live(env, size)
    full = size == "full"
    settle()
    calm()
    for turn in range(3 if full else 1):
        st.add("base-storm", "nobody", storm_s=storm(os.path.join(src, "storm", "base%d" % turn), 20_000 if full else 5_000))
    for test, file, n, rate in (("pwrite", "big.bin", 100 if full else 40, 5 if full else 10), ("db", os.path.join("db", "big.bin"), 2500, 500)):
        # Source and target are the same file: each write is visible at once.
        st.add("base-" + test, "nobody", **run_probe("pwrite", os.path.join(src, file), os.path.join(src, file), n, rate, 5, 3))
    shutil.rmtree(os.path.join(src, "storm"), ignore_errors=True)


def machine():
    def line(*argv):
        with contextlib.suppress(OSError, subprocess.SubprocessError, IndexError):
            out = subprocess.run(argv, capture_output=True, text=True, timeout=10)
            return (out.stdout + out.stderr).strip().splitlines()[0].strip()
        return "-"
    model = [x.split(":")[1].strip() for x in open("/proc/cpuinfo") if x.startswith("model name")]
    release = [x.split("=")[1].strip().strip('"') for x in open("/etc/os-release") if x.startswith("PRETTY_NAME=")]
    return {"cpu": model[0] if model else os.uname().machine, "cpus": os.cpu_count(),
            "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
            "kernel": os.uname().release, "system": release[0] if release else "-", "node": line("node", "--version"),
            "rsync": line("rsync", "--version"), "lsyncd": line("lsyncd", "--version"), "date": time.strftime("%Y-%m-%d"),
            "load_at_start": os.getloadavg()[0]}
