#!/usr/bin/env python3
"""Print the ratios of the products' speeds, ours (lines of go test -bench) and oneDNN's
("name GFLOP/s"); with a third file write them between its markers."""
import re
import sys


def best(lines):
    out = {}
    for name, rate in lines:
        out[name] = max(out.get(name, 0), float(rate))
    return out


def main():
    ours = best(re.findall(r"^Benchmark\w+/(\S+)\s.*?([\d.]+) GFLOP/s", open(sys.argv[1]).read(), re.M))
    theirs = best(line.split() for line in open(sys.argv[2]))
    if ours.keys() != theirs.keys() or not ours:
        sys.exit(f"gemm.py: only one side has {', '.join(sorted(ours.keys() ^ theirs.keys()))}")
    rows = ["| shape | oneDNN GFLOP/s | Tacit GFLOP/s | ratio |", "|---|---|---|---|"]
    rows += [f"| {name} | {theirs[name]:.0f} | {rate:.0f} | {rate / theirs[name]:.2f} |" for name, rate in ours.items()]
    text = "\n".join(rows)
    print(text)
    if len(sys.argv) > 3:
        begin, end = "<!-- gemm -->", "<!-- /gemm -->"
        page = open(sys.argv[3]).read()
        head, rest = page.split(begin)
        open(sys.argv[3], "w").write(head + begin + "\n" + text + "\n" + rest[rest.index(end):])


main()
