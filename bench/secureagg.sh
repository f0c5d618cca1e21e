#!/usr/bin/env bash
# Measures secure aggregation for clients and dimensions as far as this machine's memory
# goes, one core, with one client in twenty gone before it reports. With --write it makes
# the table of docs/PERFORMANCE.md.
#   bench/secureagg.sh [--write]
set -euo pipefail
cd "$(dirname "$0")/.."
tacit=$(mktemp)
trap 'rm -f "$tacit"' EXIT
CGO_ENABLED=0 go build -o "$tacit" ./cmd/tacit
rows=""
for n in 10 32 100 320 1000; do
  for d in 10000 100000 1000000 10000000 100000000; do
    # Clients of one process hold a vector each.
    [ $((n * d)) -le 1000000000 ] || continue
    line=$("$tacit" bench secureagg --clients "$n" --dim "$d" --drop $((n / 20)) --output json |
      python3 -c 'import json,sys; d=json.load(sys.stdin)["data"]; assert d["sum_exact"]; print("| {clients} | {dim:,} | {dropped} | {client_mask_ms:.2f} | {client_shares_ms:.2f} | {committee_ms:.2f} | {server_add_ms:.1f} | {server_unmask_ms:.1f} | {expansion:.3f} | {mb:.1f} |".format(mb=d["server_peak_bytes"]/1e6, **d))')
    echo "$line"
    rows+="$line"$'\n'
  done
done
[ "${1-}" = --write ] || exit 0
TABLE="| clients | words | dropped | mask ms | shares ms | committee ms | server adds ms | server unmasks ms | upload / vector | server MB |"$'\n'"|---|---|---|---|---|---|---|---|---|---|"$'\n'"$rows" python3 - <<'P'
import os
path, begin, end = "docs/PERFORMANCE.md", "<!-- secureagg -->", "<!-- /secureagg -->"
page = open(path).read()
head, rest = page.split(begin)
open(path, "w").write(head + begin + "\n" + os.environ["TABLE"] + rest[rest.index(end):])
P
