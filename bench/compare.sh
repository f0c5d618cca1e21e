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
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tacit-bench
mkdir -p "$cache"
python=/usr/bin/python3
$python -c 'import torch' 2>/dev/null || { echo "compare.sh: apt-get install python3-torch" >&2; exit 3; }
# Debian's default BLAS takes kernels for older cores; the OpenMP build can be told.
if ! ls "$cache"/openblas/usr/lib/*/openblas-openmp >/dev/null 2>&1; then
  (cd "$cache" && apt-get download -qq libopenblas0-openmp && dpkg -x libopenblas0-openmp_*.deb openblas)
fi
blas=$(echo "$cache"/openblas/usr/lib/*/openblas-openmp)
core=Haswell capability=avx2
if grep -q avx512dq /proc/cpuinfo; then core=SkylakeX capability=avx512; fi
peer() { # peer THREADS ARGUMENT…
  local n=$1
  shift
  LD_LIBRARY_PATH="$blas" OPENBLAS_CORETYPE=$core ATEN_CPU_CAPABILITY=$capability OMP_NUM_THREADS="$n" \
    MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=4294967296 MALLOC_TOP_PAD_=268435456 \
    $python bench/torch_step.py --threads "$n" --secs "$secs" "$@"
}
CGO_ENABLED=0 go build -o "$cache/tacit" ./cmd/tacit
ours="$cache/ours.jsonl" theirs="$cache/theirs.jsonl"
: >"$ours"
: >"$theirs"
rows=${only:-tab32,logreg32,mlp32,mlp128,cnn32,resnet64,lstm32,rnn64,gru64,gpt16}
one() { # one THREADS WORKLOAD OPT [--dp]
  local n=$1 w=$2 opt=$3
  shift 3
  echo "  $w $opt ${1-} ${n} thread(s)" >&2
  "$cache/tacit" bench nn --only "$w" --opt "$opt" --threads "$n" --secs "$secs" --output jsonl "$@" >>"$ours"
  peer "$n" --only "$w" --opt "$opt" "$@" >>"$theirs"
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
