#!/usr/bin/env python3
"""Understudy beside the tools people use today, in one run, on one machine.

  npm run bench                      the whole table, medians of 3; writes bench/RESULTS.md (about 25 minutes)
  npm run bench -- --quick           small data, one run each; prints only (about 5 minutes)
  npm run bench -- --rows pwrite,tree        some rows of the table, by a word of their name; prints only
  npm run bench -- --only mirror,diff,live   some parts;  --peers "rsync daemon,understudy"  some peers
  npm run bench -- --report FILE     the tables again from the rows of an earlier run
  npm run bench -- --cleanup         removes the data sets

Needs root: it makes two network namespaces and loop-mounted file systems, and removes them at the end.
BENCH_TMP: scratch folder with 20 GiB free, default <temporary folder>/understudy-bench.
"""
import argparse
import fcntl
import os
import shutil
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import measure   # noqa: E402
import peers     # noqa: E402
import report    # noqa: E402
from env import TMP, Env, Image, log   # noqa: E402

# Which peers take part in which work: those that are good at it, and what it would cost without any network.
MIRROR = ["cp -a (local)", "tar over a socket", "rsync daemon", "rsync over ssh", "understudy"]
DIFF = ["rsync daemon", "rsync daemon --inplace", "understudy"]
LIVE = {
    "lsyncd delay=0": ["idle", "create", "sustain"],
    "lsyncd Modify --inplace": ["pwrite", "db"],
    "lsyncd rsyncssh": ["rename"],
    "understudy": ["idle", "create", "sustain", "pwrite", "db", "rename", "storm"],
}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--quick", action="store_true")
    ap.add_argument("--only", default="mirror,diff,live")
    ap.add_argument("--rows", help="words of rows, such as pwrite,storm,tree,diff")
    ap.add_argument("--peers")
    ap.add_argument("--sets", help="data sets of the mirror part: D1,D2,D3 or D1q,D2s,D3")
    ap.add_argument("--tests", help="parts of the live tests, such as create,rename")
    ap.add_argument("--runs", type=int)
    ap.add_argument("--report", metavar="FILE")
    ap.add_argument("--cleanup", action="store_true")
    a = ap.parse_args()
    results = os.path.join(HERE, "RESULTS.md")
    if a.report:
        report.main(a.report, a.quick, None if a.quick else results)
        return 0
    if os.geteuid() != 0:
        print("bench: network namespaces and loop mounts need root; run it as root.", file=sys.stderr)
        return 77
    if a.cleanup:
        for image in (Image("source", 0), Image("target", 0)):
            image.end()
        shutil.rmtree(TMP, ignore_errors=True)
        return 0
    os.makedirs(TMP, exist_ok=True)
    lock = open(os.path.join(TMP, "lock"), "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("bench: another run uses %s; set BENCH_TMP or wait." % TMP, file=sys.stderr)
        return 75

    words = [w.strip() for w in a.rows.split(",")] if a.rows else []
    only = a.only.split(",")
    if words:
        lines = report.chosen(report.budget(a.quick), words)
        if not lines:
            ap.error("no row of that name; there are:\n  " + "\n  ".join(x.work for x in report.budget(a.quick)))
        only, sets, tests, names = report.needs(lines)
        a.sets = a.sets or (",".join(sorted(sets)) or None)
        a.tests = a.tests or (",".join(sorted(tests)) or None)
        a.peers = a.peers or ",".join(sorted(names))
    wanted = [p.strip() for p in a.peers.split(",")] if a.peers else list(peers.BY_NAME)
    unknown = [p for p in wanted if p not in peers.BY_NAME]
    if unknown:
        ap.error("no such peer: %s; there are: %s" % (", ".join(unknown), ", ".join(peers.BY_NAME)))
    chosen = lambda names: [peers.BY_NAME[n] for n in names if n in wanted]   # noqa: E731
    runs = a.runs or (1 if a.quick else 3)
    size = "quick" if a.quick else "full"
    rows = os.path.join(TMP, "results-%s.json" % size)
    st = measure.Store(rows, measure.machine())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    env = Env()
    try:
        if not env.source.again():
            env.source.make()
        if "mirror" in only:
            for name in (a.sets or ("D3,D2s,D1q" if a.quick else "D3,D2,D1")).split(","):
                for cls in chosen(MIRROR):
                    log("== mirror", name, cls.name)
                    measure.mirror(env, st, cls, name, runs, again=name.startswith("D2"))
        if "diff" in only:
            for cls in chosen(DIFF):
                log("== difference mirror", cls.name)
                measure.diff(env, st, cls, runs, "D1q" if a.quick else "D1")
        if "live" in only:
            measure.baseline(env, st, size)
            for cls in chosen(LIVE):
                tests = [t for t in LIVE[cls.name] if not a.tests or t in a.tests.split(",")]
                if tests:
                    log("== live", cls.name)
                    measure.live(env, st, cls, tests, size)
    finally:
        env.close()
    report.main(rows, a.quick, None if a.quick or a.peers or a.tests or a.only != ap.get_default("only") else results, words)
    return 0


if __name__ == "__main__":
    sys.exit(main())
