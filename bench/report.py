"""results.json -> the table of budgets, ours beside each peer, and RESULTS.md with every median."""
import json
import os
import statistics

HERE = os.path.dirname(os.path.abspath(__file__))
OURS = "understudy"
MB = 1e6


def noisy(row, cpus=2):
    """Something else used more than 15 % of the machine."""
    return row.get("other_cpu_s", 0) > 0.15 * cpus * row.get("wall_s", 1e9) + 0.3


class Results:
    def __init__(self, rows):
        self.rows = rows
        for row in rows:
            if "wall_s" in row and "sync_s" in row:
                row["durable_s"] = row["wall_s"] + row["sync_s"]

    def of(self, test, peer):
        return [r for r in self.rows if r["test"] == test and r["peer"] == peer]

    def of_all(self, test):
        return [r for r in self.rows if r["test"] == test]

    def median(self, test, peer, key):
        """Median over the runs that nothing disturbed, else over all; None when there is none."""
        rows = [r for r in self.of(test, peer) if isinstance(r.get(key), (int, float))]
        clean = [r for r in rows if not noisy(r)] or rows
        return statistics.median(r[key] for r in clean) if clean else None

    def disturbed(self, test, peer):
        rows = self.of(test, peer)
        return bool(rows) and all(noisy(r) for r in rows)

    def errors(self, test, peer):
        return [r["error"] for r in self.of(test, peer) if "error" in r]


def seconds(v):
    return "-" if v is None else "never" if v < 0 else "%.0f ms" % (v * 1e3) if v < 0.9995 else "%.2f s" % v


def size(v):
    return "-" if v is None else "%.1f MB" % (v / MB) if v >= MB else "%.1f KB" % (v / 1e3)


def plain(v):
    return "-" if v is None else "%.2f" % v


class Line:
    """One promise: a figure of ours against a limit, which is a number or a peer's figure times a factor."""

    def __init__(self, work, test, key, limit=None, peer=None, factor=None, show=seconds, per=None, scale=1.0):
        self.work, self.test, self.key, self.limit, self.peer, self.factor = work, test, key, limit, peer, factor
        self.show, self.per, self.scale = show, per, scale

    def judge(self, x):
        """(ours, best peer's, budget, verdict) as text."""
        ours = x.median(self.test, OURS, self.key)
        ours = None if ours is None else ours * self.scale
        theirs = x.median(*self.per, self.key) if self.per else x.median(self.test, self.peer, self.key) if self.peer else None
        theirs = None if theirs is None else theirs * self.scale
        limit = self.limit if self.factor is None else None if theirs is None else theirs * self.factor
        if ours is None:
            errors = x.errors(self.test, OURS) or x.errors("live", OURS) or x.errors("live-start", OURS)
            verdict = "failed" if errors else "not measured"
        elif limit is None:
            verdict = "no peer"
        else:
            verdict = "met" if 0 <= ours <= limit else "MISSED"
        ratio = "" if ours is None or not theirs or theirs <= 0 else "%.2f" % (ours / theirs)
        budget = ("<= " + self.show(limit) if self.factor is None else "<= %.2f x" % self.factor) if limit is not None or self.factor else "-"
        others = []
        for peer in dict.fromkeys(r["peer"] for r in x.of_all(self.test)):
            value = x.median(self.test, peer, self.key)
            if peer not in (OURS, self.peer) and value is not None:
                others.append("%s %s" % (peer, self.show(value * self.scale)))
        return [self.work, self.show(ours) + ("~" if x.disturbed(self.test, OURS) else ""),
                self.show(theirs) + ("~" if self.peer and x.disturbed(self.test, self.peer) else ""), ratio, budget, verdict,
                ", ".join(others)]

    def profile(self, x):
        """Where our time went in the run nearest to the median, as one sentence."""
        rows = [r for r in x.of(self.test, OURS) if isinstance(r.get(self.key), (int, float))]
        if not rows:
            return "; ".join(x.errors(self.test, OURS))[:300] or "no run of this row"
        middle = x.median(self.test, OURS, self.key)
        row = min(rows, key=lambda r: abs(r[self.key] - middle))
        threads = sorted(row.get("threads", {}).items(), key=lambda kv: -kv[1])[:6]
        text = "%.2f s by the clock, of which the source worked %.2f s and the target %.2f s" % (
            row.get("wall_s", 0), row.get("cpu_src_s", 0), row.get("cpu_dst_s", 0))
        if threads:
            text += " (" + ", ".join("%s %.2f" % kv for kv in threads) + ")"
        text += "; %s on the wire" % size(row["wire"]) if "wire" in row else ""
        if row.get("other_cpu_s", 0) > 0.3:
            text += "; %.1f CPU-s of others: the load, the kernel's write-back, other programs" % row["other_cpu_s"]
        return text


def budget(quick):
    big, small = ("D1q", "D2s") if quick else ("D1", "D2")
    files = "10,000" if quick else "100,000"
    gib = "256 MiB" if quick else "2 GiB"
    idle = 8 if quick else 30
    writes = 2_500 if quick else 15_000
    cpu = (2_000 / 12_000, writes / 15_000) if quick else (1, 1)
    rsync = "rsync daemon"
    return [
        Line("mirror one %s file, against rsync daemon" % gib, "mirror-" + big, "wall_s", peer=rsync, factor=1.0),
        Line("the same, until all of it is on the disk", "mirror-" + big, "durable_s", peer=rsync, factor=1.0),
        Line("mirror %s small files, against rsync daemon" % files, "mirror-" + small, "wall_s", peer=rsync, factor=0.5),
        Line("the same, against local cp -a", "mirror-" + small, "wall_s", peer="cp -a (local)", factor=1.0),
        Line("mirror a source tree of 20,500 files", "mirror-D3", "wall_s", peer=rsync, factor=0.5),
        Line("remirror %s files, nothing changed" % files, "remirror-" + small, "wall_s", peer=rsync, factor=0.5),
        Line("the same, bytes on the wire", "remirror-" + small, "wire", peer=rsync, factor=1.0, show=size),
        Line("restart of the source agent over %s files" % files, "restart-" + small, "wall_s", limit=0.3),
        Line("the same, bytes on the wire", "restart-" + small, "wire", limit=50e3, show=size),
        Line("1 %% of the 4 KiB blocks of %s changed: time" % gib, "diff-" + big, "wall_s", peer="rsync daemon --inplace", factor=0.3),
        Line("the same, bytes on the wire", "diff-" + big, "wire", limit=40e6 * (0.125 if quick else 1), peer="rsync daemon --inplace", show=size),
        Line("new 4 KiB file visible on the target, p50", "live-create", "p50_s", limit=0.010, peer="lsyncd delay=0"),
        Line("the same, p99", "live-create", "p99_s", limit=0.040, peer="lsyncd delay=0"),
        Line("200 new files/s, p50", "live-sustain", "p50_s", limit=0.015, peer="lsyncd delay=0"),
        Line("the same, CPU seconds of both sides", "live-sustain", "cpu_s", limit=4 * cpu[0], peer="lsyncd delay=0", show=plain),
        Line("4 KiB pwrite in an open %s file visible, p50" % gib, "live-pwrite", "p50_s", limit=0.100, peer="lsyncd Modify --inplace"),
        Line("the same, time of one write against no tool", "live-pwrite", "op_mean_ms", factor=1.15, per=("base-pwrite", "nobody"), show=lambda v: "-" if v is None else "%.2f ms" % v),
        Line("500 random pwrite+fsync/s, p50", "live-db", "p50_s", limit=0.150, peer="lsyncd Modify --inplace"),
        Line("the same, CPU seconds of both sides", "live-db", "cpu_s", limit=6 * cpu[1], peer="lsyncd Modify --inplace", show=plain),
        Line("the same, bytes on the wire", "live-db", "wire", limit=1.5 * 4096 * writes, peer="lsyncd Modify --inplace", show=size),
        Line("rename of a directory of 10,000 files", "live-rename", "converge_s", limit=0.3, peer="lsyncd rsyncssh"),
        Line("the same, bytes on the wire", "live-rename", "wire", limit=20e3, peer="lsyncd rsyncssh", show=size),
        Line("a program that makes, renames and deletes files, against no tool", "live-storm", "storm_s", factor=1.15, per=("base-storm", "nobody")),
        Line("idle, memory of the source agent", "live-idle", "rss_src_mib", limit=90, peer="lsyncd delay=0", show=lambda v: "-" if v is None else "%.0f MiB" % v),
        Line("idle, memory of the target agent", "live-idle", "rss_dst_mib", limit=90, peer="lsyncd delay=0", show=lambda v: "-" if v is None else "%.0f MiB" % v),
        Line("idle, CPU of both sides, %% of a core over %d s" % idle, "live-idle", "cpu_s", limit=0.5, peer="lsyncd delay=0", show=plain, scale=100 / idle),
    ]


def table(head, rows):
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] +
                     ["| " + " | ".join(str(c).replace("|", "\\|") for c in r) + " |" for r in rows]) + "\n"


def text_table(head, rows):
    width = [max(len(r[i]) for r in [head, *rows]) for i in range(len(head))]
    return "\n".join("  ".join(c.ljust(w) if i in (0, 5, 6) else c.rjust(w) for i, (c, w) in enumerate(zip(r, width))) for r in [head, *rows])


HEAD = ["work", "understudy", "peer", "ratio", "budget", "verdict", "other peers"]


def chosen(lines, words):
    """The rows whose name or test holds one of the words; all when there are none."""
    if not words:
        return lines
    return [line for line in lines if any(w.lower() in line.work.lower() or w.lower() in line.test.lower() for w in words)]


def needs(lines):
    """What has to be run for these rows: parts, data sets, live tests, peers."""
    parts, sets, tests, names = set(), set(), set(), {OURS}
    for line in lines:
        kind, _, rest = line.test.partition("-")
        if kind in ("mirror", "remirror", "restart"):
            parts.add("mirror")
            sets.add(rest)
        else:
            parts.add(kind)
            if kind == "live":
                tests.add(rest)
        names.update([line.peer] if line.peer else [])
    return parts, sets, tests, names


def identical(x):
    """What the comparison of both trees after the runs found."""
    found = [(r["test"], r["peer"], r["diff"]) for r in x.rows if r.get("diff") is not None]
    return ["* %s, %s: %s" % (t, p, "identical" if not d else ", ".join("%s %d" % kv for kv in d.items())) for t, p, d in found]


def medians(x):
    keys = [("wall_s", "s", 1, "%.2f"), ("durable_s", "s, durable", 1, "%.2f"), ("cpu_s", "CPU s", 1, "%.2f"), ("rss_src_mib", "RSS src MiB", 1, "%.0f"), ("rss_dst_mib", "RSS dst MiB", 1, "%.0f"),
            ("wire", "wire MB", 1 / MB, "%.2f"), ("p50_s", "p50 ms", 1e3, "%.1f"), ("p95_s", "p95 ms", 1e3, "%.1f"), ("p99_s", "p99 ms", 1e3, "%.1f"),
            ("timed_out", "never seen", 1, "%d"), ("converge_s", "converged s", 1, "%.3f"), ("op_mean_ms", "write ms", 1, "%.2f"), ("storm_s", "load s", 1, "%.2f")]
    out, tests = [], []
    for r in x.rows:
        if r["test"] not in tests:
            tests.append(r["test"])
    for test in tests:
        peers = list(dict.fromkeys(r["peer"] for r in x.rows if r["test"] == test))
        use = [k for k in keys if any(x.median(test, p, k[0]) is not None for p in peers)]
        rows = []
        for p in peers:
            values = [x.median(test, p, k[0]) for k in use]
            rows.append([p + (" ~" if x.disturbed(test, p) else ""), str(len(x.of(test, p)))] +
                        ["-" if v is None else "never" if v < 0 else k[3] % (v * k[2]) for k, v in zip(use, values)] + ["; ".join(x.errors(test, p))[:120]])
        out.append("### %s\n\n%s" % (test, table(["peer", "runs"] + [k[1] for k in use] + ["error"], rows)))
    return out


def main(file, quick, out, words=()):
    d = json.load(open(file))
    x = Results(d["rows"])
    budgets = chosen(budget(quick), words)
    lines = [line.judge(x) for line in budgets]
    missed = [(b, line) for b, line in zip(budgets, lines) if line[5] != "met"]
    profiles = ["%s: %s (%s).\n  profile: %s." % (line[0], line[1], line[5], b.profile(x)) for b, line in missed]
    print()
    print(text_table(HEAD, lines))
    print("\n%d of %d budgets met.  ~ other work disturbed every run of this row" % (len(lines) - len(missed), len(lines)))
    for text in profiles:
        print(text)
    if out:
        notes = os.path.join(HERE, "NOTES.md")
        text = ["# Benchmark: results", "", "Made by `npm run bench`%s; medians. `~`: other work disturbed every run." % (" -- --quick" if quick else ""), "",
                "| machine | |", "|---|---|", *["| %s | %s |" % kv for kv in d["machine"].items()], "",
                "`peer` is the tool of the budget, else the best peer for that work; `ratio` is ours divided by the peer's. Understudy's "
                "link is encrypted (TLS 1.3), rsync daemon and lsyncd send plain text. Each peer writes to a file system made for it.", "",
                "## Budgets", "", table(HEAD, lines), "%d of %d met." % (len(lines) - len(missed), len(lines)), ""]
        if profiles:
            text += ["## What misses, and why", "", *["* " + p for p in profiles], ""]
        if os.path.exists(notes):
            text += [open(notes).read(), ""]
        text += ["## Both trees compared afterwards", "", *identical(x), "", "## Every measurement", "", *medians(x)]
        with open(out + ".tmp", "w") as f:
            f.write("\n".join(text) + "\n")
        os.replace(out + ".tmp", out)
        print("written:", out)
    return len(missed)


if __name__ == "__main__":
    import sys
    main(sys.argv[1], "--quick" in sys.argv, None)
