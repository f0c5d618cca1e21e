#!/usr/bin/env python3
"""Print the ratios of two files of measurements, ours and PyTorch's; with a third file
write them between its markers. Goals are judged only on machines with AVX-512."""
import json
import sys

# Least ratio to PyTorch with 1 and 2 threads.
GOALS = {
    ("tab32", "sgd"): (15, 15), ("logreg32", "sgd"): (25, None), ("mlp32", "sgd"): (1.6, 2.0), ("mlp32", "adam"): (1.8, 2.2),
    ("mlp128", "sgd"): (1.2, 1.35), ("cnn32", "sgd"): (1.4, 1.5), ("resnet64", "sgd"): (1.3, 1.35), ("lstm32", "sgd"): (1.1, 1.15),
    ("rnn64", "sgd"): (2, 2.5), ("gru64", "sgd"): (2, 2.5), ("gpt16", "sgd"): (1.4, 1.5),
    ("mlp32", "dp"): (15, None), ("mlp128", "dp"): (20, None), ("cnn32", "dp"): (4, None),
}


def best(path):
    out = {}
    for line in open(path):
        m = json.loads(line)
        key = (m["w"], "dp" if m.get("dp") else m["opt"], m["threads"])
        if key not in out or m["best_ms"] < out[key]["best_ms"]:
            out[key] = m
    return out


def main():
    ours, theirs = best(sys.argv[1]), best(sys.argv[2])
    judged = all(m["kernel"] == "avx512" for m in ours.values())
    rows = ["| workload | step | threads | PyTorch ms | Tacit ms | ratio | goal | GFLOP/s | % of FMA peak | |", "|---|---|---|---|---|---|---|---|---|---|"]
    for key, m in ours.items():
        if key not in theirs:
            continue
        w, step, n = key
        ratio = theirs[key]["best_ms"] / m["best_ms"]
        goal = GOALS.get((w, step), (None, None))[n - 1] if n <= 2 else None
        verdict = "" if goal is None or not judged else "met" if ratio >= goal else "**short**"
        rows.append(f"| {w} | {step} | {n} | {theirs[key]['best_ms']:.4g} | {m['best_ms']:.4g} | {ratio:.2f} | "
                    f"{'' if goal is None else '≥ ' + format(goal, 'g')} | {m['gflops']:.1f} | {m['peak_percent']:.0f} | {verdict} |")
    cpu = next((l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "unknown")
    version = next(iter(theirs.values()))["torch"]
    rows += ["", f"{cpu}; kernel {next(iter(ours.values()))['kernel']}; PyTorch {version} (Debian), OpenBLAS with OpenMP, the better memory layout; the bests of all rounds."]
    text = "\n".join(rows)
    print(text)
    if len(sys.argv) > 3:
        begin, end = "<!-- table -->", "<!-- /table -->"
        page = open(sys.argv[3]).read()
        head, rest = page.split(begin)
        open(sys.argv[3], "w").write(head + begin + "\n" + text + "\n" + rest[rest.index(end):])


main()
