#!/usr/bin/python3
"""Read a scrape from standard input with the parser of Prometheus' Python client (python3-prometheus-client), which is
not ours, and print what it understood as JSON: {"families": [name...], "samples": [[name, {label: value}, value]...]}.
Exits with 77 when the parser is not installed."""
import json
import sys

try:
    from prometheus_client.parser import text_string_to_metric_families
except ImportError as why:
    print(why, file=sys.stderr)
    sys.exit(77)

families = list(text_string_to_metric_families(sys.stdin.read()))
json.dump({
    "families": [[f.name, f.type, f.documentation] for f in families],
    "samples": [[s.name, s.labels, s.value] for f in families for s in f.samples],
}, sys.stdout)
