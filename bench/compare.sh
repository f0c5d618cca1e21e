#!/usr/bin/env bash
# Compares tacit's training steps with PyTorch's on this machine: both in turn, several
# rounds, the ratio of the bests. Needs Debian's python3-torch and apt-get; sets up the
# OpenBLAS that makes it fastest here. With --write it makes docs/PERFORMANCE.md's table.
#   bench/compare.sh [--only W,…] [--threads 1,2] [--rounds 3] [--secs 1] [--write]
set -euo pipefail
cd "$(dirname "$0")/.."
only="" threads="1,2" rounds=3 secs=1 write=""
while [ $# -gt 0 ]; do
  case $1 in
    --only) only=$2; shift 2 ;;
    --threads) threads=$2; shift 2 ;;
    --rounds) rounds=$2; shift 2 ;;
    --secs) secs=$2; shift 2 ;;
    --write) write=1; shift ;;
    *) sed -n '2,5s/^# //p' "$0" >&2; exit 2 ;;
  esac
done
. bench/peer.sh
CGO_ENABLED=0 go build -o "$cache/tacit" ./cmd/tacit
ours="$cache/ours.jsonl" theirs="$cache/theirs.jsonl"
: >"$ours"
: >"$theirs"
rows=${only:-tab32,logreg32,mlp32,mlp128,cnn32,cnn64,resnet64,lstm32,rnn64,gru64,gpt16}
one() { # one THREADS WORKLOAD OPT [--dp]
  local n=$1 w=$2 opt=$3
  shift 3
  echo "  $w $opt ${1-} ${n} thread(s)" >&2
  "$cache/tacit" bench nn --only "$w" --opt "$opt" --threads "$n" --secs "$secs" --output jsonl "$@" >>"$ours"
  peer "$n" bench/torch_step.py --threads "$n" --secs "$secs" --only "$w" --opt "$opt" "$@" >>"$theirs"
}
for round in $(seq "$rounds"); do
  echo "round $round of $rounds" >&2
  for n in ${threads//,/ }; do
    for w in ${rows//,/ }; do
      one "$n" "$w" sgd
      case $w in mlp32) one "$n" "$w" adam ;; esac
      case $n-$w in 1-mlp32 | 1-mlp128 | 1-cnn32) one "$n" "$w" sgd --dp ;; esac
    done
  done
done
$python bench/table.py "$ours" "$theirs" ${write:+docs/PERFORMANCE.md}
