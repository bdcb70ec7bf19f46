#!/usr/bin/env python3
"""Deterministic (seeded) data sets for the replication benchmarks.

  D1   one 2 GiB file, 45 % incompressible, 45 % text, 10 % zeros (64 KiB runs)
  D2   100,000 files of 1..16 KiB in 1,000 directories
  D2s  10,000 files in 100 directories (for peers that D2 would take too long)
  D3   'source-tree-like': ~20,000 files, lognormal sizes, nested directories,
       300 symbolic links, 500 hard links
  D1q  the same with 256 MiB, for a quick look
  D4   4 GiB sparse 'database' file, ~2 GiB allocated

Usage: datasets.py gen --out DIR [D1 D2 ...]
       datasets.py mutate FILE --seed N [--fraction 0.01]
       datasets.py verify A B
"""
import argparse, json, os, random, stat, struct, sys, time

KIB, MIB, GIB = 1024, 1024**2, 1024**3
BASE_MTIME = 1_700_000_000
SYL = ("ka lo mi ter us con fig de vi ce han dler buf fer qu eue re ad wri te loc k in it "
       "al lo c ptr nod e tre e sta t ic voi d int err ret urn if whi le for").split()


def text_pool(rnd, size=4 * MIB):
    vocab = ["".join(rnd.choices(SYL, k=rnd.randint(1, 4))) for _ in range(6000)]
    weights = [1.0 / (i + 1) for i in range(len(vocab))]
    out, n = [], 0
    while n < size:
        words = rnd.choices(vocab, weights, k=4000)
        s = []
        for i in range(0, 4000, 10):
            s.append("\t" * (i % 3) + " ".join(words[i:i + 10]) + " = %d;\n" % rnd.getrandbits(16))
        b = "".join(s).encode()
        out.append(b)
        n += len(b)
    return b"".join(out)[:size]


class Mix:
    def __init__(self, seed):
        self.rnd = random.Random(seed)
        self.pool = text_pool(random.Random(7))

    def text(self, n):
        r, p, m = self.rnd, self.pool, len(self.pool) - 1025
        s = b"".join(p[o:o + 1024] for o in (r.randrange(m) for _ in range((n + 1023) // 1024)))
        return s[:n]

    def run(self, n):
        x = self.rnd.random()
        if x < 0.45:
            return self.rnd.randbytes(n)
        if x < 0.90:
            return self.text(n)
        return bytes(n)


def stamp(path, i):
    os.utime(path, (BASE_MTIME + i % 1_000_000,) * 2, follow_symlinks=False)


def gen_D1(out, size=2 * GIB):
    os.makedirs(out)
    m, p = Mix(101), os.path.join(out, "big.bin")
    with open(p, "wb", buffering=MIB) as f:
        for _ in range(size // (64 * KIB)):
            f.write(m.run(64 * KIB))
    stamp(p, 1)


def gen_D1q(out):
    gen_D1(out, 256 * MIB)


def gen_small(out, nfiles, ndirs, seed):
    m, r = Mix(seed), random.Random(seed + 1)
    k = 0
    for d in range(ndirs):
        dp = os.path.join(out, "d%04d" % d)
        os.makedirs(dp)
        for f in range(nfiles // ndirs):
            p = os.path.join(dp, "f%04d" % f)
            n = r.randint(1 * KIB, 16 * KIB)
            fd = os.open(p, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            body = m.rnd.randbytes(n) if r.random() < 0.5 else m.text(n)
            os.write(fd, struct.pack("<QQ", seed, k) + body[16:])
            os.close(fd)
            stamp(p, k)
            k += 1


def gen_D2(out):
    gen_small(out, 100_000, 1000, 202)


def gen_D2s(out):
    gen_small(out, 10_000, 100, 212)


def gen_D3(out, nfiles=20_000):
    m, r = Mix(303), random.Random(304)
    dirs = [""]
    for i in range(1400):
        parent = r.choice(dirs) if r.random() < 0.8 else ""
        if parent.count("/") > 5:
            parent = ""
        d = (parent + "/" if parent else "") + "".join(r.choices(SYL, k=3)) + "%d" % i
        dirs.append(d)
        os.makedirs(os.path.join(out, d))
    files = []
    for i in range(nfiles):
        d = r.choice(dirs)
        p = os.path.join(d, "".join(r.choices(SYL, k=3)) + "%d.%s" % (i, r.choice(["c", "h", "rst", "S", "yaml"])))
        n = min(int(r.lognormvariate(8.517, 1.5)), 4 * MIB)
        body = m.text(n) if r.random() < 0.93 else m.rnd.randbytes(n)
        full = os.path.join(out, p)
        with open(full, "wb") as f:
            f.write(body)
        os.chmod(full, 0o755 if r.random() < 0.05 else 0o644)
        stamp(full, i)
        files.append(p)
    for i in range(300):
        d = r.choice(dirs)
        os.symlink(os.path.relpath(r.choice(files), d or "."), os.path.join(out, d, "ln%d" % i))
    for i in range(500):
        os.link(os.path.join(out, r.choice(files)), os.path.join(out, r.choice(dirs), "hl%d" % i))


def gen_D4(out, size=4 * GIB, alloc=2 * GIB):
    os.makedirs(out)
    m, r, p = Mix(404), random.Random(405), os.path.join(out, "db.img")
    with open(p, "wb") as f:
        f.truncate(size)
        pos = left = 0
        left = alloc
        while pos < size and left > 0:
            ext = min(r.choice([64, 256, 1024, 4096, 8192]) * KIB, left, size - pos)
            f.seek(pos)
            # 'database pages': never all-zero, so that allocation is what we say
            for _ in range(ext // (64 * KIB)):
                f.write(m.rnd.randbytes(64 * KIB) if m.rnd.random() < 0.4 else m.text(64 * KIB))
            pos += 2 * ext
            left -= ext
    stamp(p, 4)


GEN = {"D1": gen_D1, "D1q": gen_D1q, "D2": gen_D2, "D2s": gen_D2s, "D3": gen_D3, "D4": gen_D4}


def mutate(path, seed, fraction=0.01, block=4096):
    """Overwrite `fraction` of the 4 KiB blocks in place; mtime changes. Returns blocks changed."""
    r = random.Random(seed)
    n = os.path.getsize(path) // block
    k = int(n * fraction)
    fd = os.open(path, os.O_WRONLY)
    for b in sorted(r.sample(range(n), k)):
        os.pwrite(fd, r.randbytes(block), b * block)
    os.close(fd)
    return k


def walk(root, skip=()):
    st = [""]
    while st:
        d = st.pop()
        with os.scandir(os.path.join(root, d)) as it:
            for e in it:
                if e.name in skip:
                    continue
                rel = os.path.join(d, e.name)
                yield rel, e
                if e.is_dir(follow_symlinks=False):
                    st.append(rel)


def verify(a, b, skip=(".stfolder",), content=True):
    """Compare two trees; returns a dict of difference counts (empty = identical)."""
    diff, seen, inodes = {}, set(), {}

    def bad(k):
        diff[k] = diff.get(k, 0) + 1

    def same(pa, pb):
        with open(pa, "rb", buffering=0) as x, open(pb, "rb", buffering=0) as y:
            while True:
                u, v = x.read(MIB), y.read(MIB)
                if u != v:
                    return False
                if not u:
                    return True
    for rel, e in walk(a, skip):
        seen.add(rel)
        sa, pb = e.stat(follow_symlinks=False), os.path.join(b, rel)
        try:
            sb = os.lstat(pb)
        except OSError:
            bad("missing")
            continue
        if stat.S_IFMT(sa.st_mode) != stat.S_IFMT(sb.st_mode):
            bad("type")
            continue
        if stat.S_ISLNK(sa.st_mode):
            if os.readlink(e.path) != os.readlink(pb):
                bad("symlink")
            continue
        if sa.st_mode != sb.st_mode:
            bad("mode")
        if (sa.st_uid, sa.st_gid) != (sb.st_uid, sb.st_gid):
            bad("owner")
        if stat.S_ISREG(sa.st_mode):
            if sa.st_size != sb.st_size:
                bad("size")
            elif content and not same(e.path, pb):
                bad("content")
            if int(sa.st_mtime) != int(sb.st_mtime):
                bad("mtime")
            elif sa.st_mtime_ns != sb.st_mtime_ns:
                bad("mtime_subsecond")
            if sa.st_nlink > 1:
                if inodes.setdefault(sa.st_ino, sb.st_ino) != sb.st_ino:
                    bad("hardlink_broken")
    for rel, e in walk(b, skip):
        if rel not in seen:
            bad("extra")
    return diff


def describe(root):
    n = {"files": 0, "dirs": 0, "symlinks": 0, "bytes": 0, "allocated": 0}
    for rel, e in walk(root):
        s = e.stat(follow_symlinks=False)
        if stat.S_ISDIR(s.st_mode):
            n["dirs"] += 1
        elif stat.S_ISLNK(s.st_mode):
            n["symlinks"] += 1
        else:
            n["files"] += 1
            n["bytes"] += s.st_size
            n["allocated"] += s.st_blocks * 512
    return n


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = ap.add_subparsers(dest="cmd", required=True)
    g = sub.add_parser("gen")
    g.add_argument("names", nargs="*", default=list(GEN))
    g.add_argument("--out", required=True)
    m = sub.add_parser("mutate")
    m.add_argument("file")
    m.add_argument("--seed", type=int, default=1)
    m.add_argument("--fraction", type=float, default=0.01)
    v = sub.add_parser("verify")
    v.add_argument("a")
    v.add_argument("b")
    a = ap.parse_args()
    if a.cmd == "gen":
        for n in a.names:
            p = os.path.join(a.out, n)
            if os.path.exists(p):
                print(n, "exists")
                continue
            t = time.time()
            os.makedirs(a.out, exist_ok=True)
            GEN[n](p)
            print(n, "%.1f s" % (time.time() - t), json.dumps(describe(p)), flush=True)
    elif a.cmd == "mutate":
        print(mutate(a.file, a.seed, a.fraction), "blocks")
    else:
        d = verify(a.a, a.b)
        print(json.dumps(d))
        sys.exit(bool(d))


if __name__ == "__main__":
    main()
