#!/usr/bin/env python3
"""Files of k8s/ that are made of others: the PrometheusRule of the rule file, and dashboards of their panels.
With --write they are written, without it they are compared."""

import argparse
import json
import sys
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
RULES, PROMETHEUS_RULE = "k8s/alerts/rules.yaml", "k8s/alerts/prometheus-rule.yaml"
PANELS, DASHBOARDS = "k8s/dashboards/panels.yaml", "k8s/dashboards"

RULE_HEAD = """# Made of rules.yaml by `make k8s-write`.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: csm-alerts
  namespace: csm
spec:
"""
# Grafana's grid is 24 wide.
GRID, STAT, GRAPH, HEIGHT = 24, 6, 12, {"stat": 4, "timeseries": 8}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def prometheus_rule(rules):
    """Makes the PrometheusRule of the text of a rule file."""
    body = rules[rules.index("groups:\n"):]
    return RULE_HEAD + "".join(f"  {line}" if line.strip() else line for line in body.splitlines(keepends=True))


def variables(price):
    """Returns the variables of a dashboard."""
    found = [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": {}},
        {"name": "namespace", "label": "Namespace", "type": "query", "datasource": SOURCE, "refresh": 2, "sort": 1,
         "query": {"query": "label_values(csm_log_lines_dropped_total, namespace)", "refId": "namespace"},
         # A Prometheus without the label has one fleet.
         "includeAll": True, "allValue": ".*", "multi": False,
         "current": {"text": "All", "value": "$__all"}}]
    if price:
        found.append({"name": "price", "label": "Price of a worker-hour", "type": "textbox", "query": "1",
                      "current": {"text": "1", "value": "1"}})
    return found


def panel(spec, number, column, row):
    """Makes a panel of its description."""
    kind = spec.get("kind", "timeseries")
    defaults = {"unit": spec["unit"]}
    if spec.get("events"):
        defaults["noValue"] = "0"
    if spec["unit"] == "percentunit":
        defaults["min"] = 0
    made = {"id": number, "type": kind, "title": spec["title"], "description": spec["description"], "datasource": SOURCE,
            "gridPos": {"x": column, "y": row, "w": STAT if kind == "stat" else GRAPH, "h": HEIGHT[kind]},
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "targets": [{"refId": chr(ord("A") + at), "datasource": SOURCE, "expr": query["expr"],
                         "legendFormat": query.get("legend", spec["title"]), "range": True}
                        for at, query in enumerate(spec["queries"])]}
    if kind == "timeseries":
        made["options"] = {"legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]},
                           "tooltip": {"mode": "multi", "sort": "desc"}}
    return made


def dashboard(spec):
    """Makes a dashboard of its description."""
    panels, y = [], 0
    for row in spec["rows"]:
        panels.append({"id": len(panels) + 1, "type": "row", "title": row["title"], "collapsed": False, "panels": [],
                       "gridPos": {"x": 0, "y": y, "w": GRID, "h": 1}})
        y, x, height = y + 1, 0, 0
        for found in row["panels"]:
            kind = found.get("kind", "timeseries")
            width = STAT if kind == "stat" else GRAPH
            if x + width > GRID or height not in (0, HEIGHT[kind]):
                y, x = y + height, 0
            height = HEIGHT[kind]
            panels.append(panel(found, len(panels) + 1, x, y))
            x += width
        y += height
    return {"uid": f"csm-{spec['name']}", "title": spec["title"], "description": spec["description"], "tags": ["csm-fleet"],
            "schemaVersion": 39, "editable": True, "graphTooltip": 1, "refresh": "30s",
            "time": {"from": "now-1h", "to": "now"}, "timezone": "browser",
            "templating": {"list": variables(spec.get("price", False))}, "panels": panels}


@cache
def dashboards(panels):
    """Makes the texts of all dashboards, by their paths, of the text of the panels."""
    specs = yaml.load(panels, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return {f"{DASHBOARDS}/{spec['name']}.json": json.dumps(dashboard(spec), indent=1, ensure_ascii=False) + "\n"
            for spec in specs}


def expected(read):
    """Returns the texts of all made files by their paths; `read` returns the text of a file."""
    return {PROMETHEUS_RULE: prometheus_rule(read(RULES)), **dashboards(read(PANELS))}


def main():
    """Writes or compares the files; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the files")
    options, wrong = parser.parse_args(), 0
    for path, text in expected(lambda path: (ROOT / path).read_text()).items():
        file = ROOT / path
        if file.exists() and file.read_text() == text:
            continue
        wrong += not options.write
        print(f"{path}: {'written' if options.write else 'differs from its source'}")
        if options.write:
            file.write_text(text)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
