#!/bin/sh
# A model at work, watched by a real Prometheus on this machine, without Docker:
#
#     sudo apt-get install prometheus      # Debian, Ubuntu
#     pip install 'vitrail[prometheus]'
#     sh examples/monitoring/try.sh [FOLDER]
#
# Makes a study of Toyland's dogs in FOLDER, watches the bundled model while it captions, and asks Prometheus what it saw.
set -eu
here=$(dirname "$0")
out=${1:-vitrail-monitoring}
mkdir -p "$out"

[ -e "$out/study/report.html" ] || vitrail study --word dog --concepts 10 --having dog --out "$out/study"

${PROMETHEUS:-prometheus} --config.file="$here/prometheus.yml" --storage.tsdb.path="$out/prometheus" \
    --web.listen-address=127.0.0.1:9090 --log.level=warn &
server=$!
trap 'kill $server' EXIT

ask() {
    echo "$1"
    python3 - "$1" <<'PYTHON'
import json, sys, urllib.parse, urllib.request
query = urllib.parse.urlencode({"query": sys.argv[1]})
for row in json.load(urllib.request.urlopen("http://127.0.0.1:9090/api/v1/query?" + query))["data"]["result"]:
    labels = {k: v for k, v in row["metric"].items() if k not in ("__name__", "instance", "job")}
    print("   ", row["value"][1], labels)
PYTHON
}

vitrail monitor run "$out/study" --data toyland --split test --having dog --batch-size 8 --every 8 --sink prometheus:9464
ask 'max_over_time(vitrail_observations_total[10m])'
ask 'topk(5, max_over_time(vitrail_concept_active_total[10m]))'
ask 'max_over_time(vitrail_novelty_sum[10m]) / max_over_time(vitrail_novelty_count[10m])'
echo "Import $here/grafana.json into Grafana to see them over time."
