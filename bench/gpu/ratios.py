#!/usr/bin/env python3
"""Joins the times of bench.test with those of peers.py into one table.

usage: ratios.py BENCH.txt PEERS.tsv     (PEERS.tsv may not exist)

The ratio is the peer's time over ours: 1.00x cuBLAS is as fast as cuBLAS, more is faster. The median is over the counts of
each benchmark; errors are the largest over sum |x||y|, or the distance of equal tensors for Rotation.
"""

import collections
import os
import re
import statistics
import sys


def main():
    ours = collections.defaultdict(lambda: ([], []))
    with open(sys.argv[1], encoding="utf-8") as f:
        for line in f:
            m = re.match(r"BenchmarkCUDA(\S+?)/cuda(?:-\d+)?\s+\d+\s+([\d.]+) ns/op(.*)", line)
            if m:
                times, errors = ours[m[1]]
                times.append(float(m[2]) * 1e-9)
                e = re.search(r"([\d.e+-]+) error", m[3])
                errors.append(float(e[1]) if e else float("nan"))
    peers = {}
    if os.path.exists(sys.argv[2]):
        with open(sys.argv[2], encoding="utf-8") as f:
            for line in f:
                name, seconds, err = line.rstrip("\n").split("\t")
                case, _, peer = name.rpartition("/")
                peers[case] = (peer, float(seconds), err)
    print("| case | ours, us | error | peer | peer, us | error | ratio |")
    print("|---|---|---|---|---|---|---|")
    for case, (times, errors) in ours.items():
        t = statistics.median(times)
        peer, seconds, err = peers.get(case, ("", None, ""))
        theirs, ratio = (f"{seconds * 1e6:.1f}", f"{seconds / t:.2f}") if seconds else ("", "no peer in this run")
        print(f"| {case} | {t * 1e6:.1f} | {max(errors):.3g} | {peer} | {theirs} | {err} | {ratio} |")
    if not ours:
        print("| no benchmark ran | | | | | | |")


if __name__ == "__main__":
    main()
