#!/usr/bin/env bash
# Compares single matrix products and convolutions of tacit's kernels with oneDNN's, on one
# thread of this machine: both in turn, several rounds, the ratio of the bests. Needs g++
# and Debian's libdnnl-dev. With --write it makes docs/PERFORMANCE.md's table.
#   bench/gemm.sh [--rounds 3] [--secs 0.3] [--write]
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=3 secs=0.3 write=""
while [ $# -gt 0 ]; do
  case $1 in
    --rounds) rounds=$2; shift 2 ;;
    --secs) secs=$2; shift 2 ;;
    --write) write=1; shift ;;
    *) sed -n '2,5s/^# //p' "$0" >&2; exit 2 ;;
  esac
done
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tacit-bench
mkdir -p "$cache"
g++ -O2 -std=c++17 bench/gemm.cc -ldnnl -o "$cache/gemm" || { echo "$0: apt-get install g++ libdnnl-dev" >&2; exit 3; }
go test -c -o "$cache/kernel.test" ./nn/internal/kernel
: >"$cache/gemm.theirs"
: >"$cache/gemm.ours"
for round in $(seq "$rounds"); do
  echo "round $round of $rounds" >&2
  OMP_NUM_THREADS=1 "$cache/gemm" "$secs" >>"$cache/gemm.theirs"
  "$cache/kernel.test" -test.cpu 1 -test.run '^$' -test.bench 'Gemm|Conv' -test.benchtime "${secs}s" >>"$cache/gemm.ours"
done
python3 bench/gemm.py "$cache/gemm.ours" "$cache/gemm.theirs" ${write:+docs/PERFORMANCE.md}
