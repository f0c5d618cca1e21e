#!/usr/bin/env bash
# Trains the network of examples/mnist-cnn for ten epochs in tacit and in PyTorch on this
# machine, in turn, and prints the seconds of both and the accuracy on the test set. Needs
# the four files of MNIST in DIRECTORY and Debian's python3-torch.
#   bench/mnist.sh DIRECTORY [--threads 1,2] [--write]
set -euo pipefail
data=$(realpath "${1:?the directory of the four idx files}")
shift
cd "$(dirname "$0")/.."
threads="1,2" write=""
while [ $# -gt 0 ]; do
  case $1 in
    --threads) threads=$2; shift 2 ;;
    --write) write=1; shift ;;
    *) sed -n '2,5s/^# //p' "$0" >&2; exit 2 ;;
  esac
done
. bench/peer.sh
CGO_ENABLED=0 go build -o "$cache/tacit" ./cmd/tacit
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ln -s "$data" "$work/data"
cp examples/mnist-cnn/agent.yaml "$work"
# The peer has no validation set, so neither have we.
sed -e 's/epochs: .*/epochs: 10/' -e '/validation:/d' -e '/patience:/d' examples/mnist-cnn/plan.yaml >"$work/plan.yaml"
rows=""
for n in ${threads//,/ }; do
  rm -rf "$work/out" "$work/state"
  begin=$(date +%s.%N)
  (cd "$work" && GOMAXPROCS=$n "$cache/tacit" model train plan.yaml --out out --output json >train.json)
  seconds=$(echo "$(date +%s.%N) $begin" | awk '{printf "%.1f", $1 - $2}')
  for layout in "" --channels-last; do
    peer "$n" bench/torch_mnist.py "$data" --threads "$n" $layout
  done >"$work/torch.jsonl"
  rows+=$($python - "$n" "$seconds" "$work/train.json" "$work/torch.jsonl" <<'P'
import json, sys
n, seconds, ours, theirs = sys.argv[1:]
accuracy = next(m["value"] for m in json.load(open(ours))["data"]["test_metrics"] if m["name"] == "accuracy")
peer = min(map(json.loads, open(theirs)), key=lambda m: m["seconds"])
print(f"| {n} | {peer['seconds']} | {100 * peer['accuracy']:.2f} % | {seconds} | {100 * accuracy:.2f} % | {peer['seconds'] / float(seconds):.2f} |")
P
)$'\n'
done
table="| threads | PyTorch s | accuracy | Tacit s | accuracy | ratio |"$'\n'"|---|---|---|---|---|---|"$'\n'"$rows"
printf '%s' "$table"
[ -z "$write" ] || TABLE="$table" $python - <<'P'
import os
path, begin, end = "docs/PERFORMANCE.md", "<!-- mnist -->", "<!-- /mnist -->"
page = open(path).read()
head, rest = page.split(begin)
open(path, "w").write(head + begin + "\n" + os.environ["TABLE"] + rest[rest.index(end):])
P
