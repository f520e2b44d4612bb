"""Rules of alerts and dashboards."""

import json
import re
from functools import cache

import promql_parser
import yaml

from generated import PANELS, RULES as RULE_FILE, expected
from manifests import at, name_of, rule
from scaling_rules import FLEET_GAUGES, syntax_error

RUNBOOKS = "docs/runbooks.md"
SEVERITIES = ("critical", "warning")
SUFFIXES = re.compile(r"_(bucket|sum|count)$")
# What Grafana puts in place of its variables, so that an expression parses.
VALUES = {"$__rate_interval": "1m", "$__range": "1h", "$namespace": ".*", "$price": "1"}
# Units of Grafana that the dashboards use.
UNITS = ("short", "s", "bytes", "ops", "reqps", "percentunit")


def alerts(manifests):
    """Lists the alerts of all PrometheusRules."""
    for thing in manifests.of("PrometheusRule"):
        for group in at(thing, "spec.groups", []):
            for found in group.get("rules", []):
                yield found


def dashboards(manifests):
    """Lists ConfigMaps of dashboards, with what they hold; None for what is no JSON."""
    for thing in manifests.of("ConfigMap"):
        for file, text in (thing.get("data") or {}).items():
            if file.endswith(".json"):
                try:
                    yield thing, json.loads(text)
                except ValueError:
                    yield thing, None


def panels(manifests):
    """Lists the panels with queries of all dashboards, with the names of their dashboards."""
    for thing, board in dashboards(manifests):
        for panel in (board or {}).get("panels", []):
            if panel["type"] != "row":
                yield name_of(thing), panel


def filled(expression):
    """Returns an expression with values in place of Grafana's variables."""
    for name, value in VALUES.items():
        expression = expression.replace(name, value)
    return expression


def selectors(node, aggregation=None):
    """Lists the selectors of an expression, each with its innermost aggregation."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node, aggregation
    elif isinstance(node, promql_parser.MatrixSelector):
        yield node.vector_selector, aggregation
    elif isinstance(node, promql_parser.AggregateExpr):
        yield from selectors(node.expr, str(node.op))
    elif isinstance(node, promql_parser.BinaryExpr):
        yield from selectors(node.lhs, aggregation)
        yield from selectors(node.rhs, aggregation)
    elif isinstance(node, promql_parser.Call):
        inner = "absent" if node.func.name == "absent" else aggregation
        for part in node.args:
            yield from selectors(part, inner)
    elif hasattr(node, "expr"):
        yield from selectors(node.expr, aggregation)


def found_mistakes(expression, metrics):
    """Lists what is wrong with an expression: its syntax, its metrics, sums of what gateways state for the fleet."""
    if error := syntax_error(expression):
        yield f"{expression!r}: {error}"
        return
    for selector, aggregation in selectors(promql_parser.parse(expression)):
        name = selector.name or ""
        if SUFFIXES.sub("", name) not in metrics and name not in metrics:
            yield f"no metric {name}"
        if name in FLEET_GAUGES and aggregation not in ("max", "absent"):
            yield f"{name} of several gateways is not the largest, but {aggregation or 'each'}"


@cache
def mistakes(expression, metrics):
    """Returns what is wrong with an expression: its syntax, its metrics, sums of what gateways state for the fleet."""
    return tuple(found_mistakes(expression, metrics))


def anchors(page):
    """Returns the anchors of the second headings of a page."""
    return {heading.strip().lower().replace(" ", "-") for heading in re.findall(r"^## (.+)$", page, re.MULTILINE)}


@rule("generated")
def generated(manifests):
    """The PrometheusRule and the dashboards are what their sources make."""
    read = manifests.sources.tree.read
    if manifests.of("PrometheusRule") or any(dashboards(manifests)):
        for path, text in expected(read).items():
            if read(path) != text:
                yield f"{path}: differs from its source; run `make k8s-write`"


@rule("alert")
def alert(manifests):
    """Each alert has a severity, a summary, and a description with its figure; names are unique."""
    seen = set()
    for found in alerts(manifests):
        name, notes = found.get("alert"), found.get("annotations", {})
        if not re.fullmatch(r"Csm[A-Z]\w+", name or "") or name in seen:
            yield f"{name}: no name, or twice"
        seen.add(name)
        if at(found, "labels.severity") not in SEVERITIES:
            yield f"{name}: severity {at(found, 'labels.severity')}"
        if not notes.get("summary") or "{{" in notes.get("summary", ""):
            yield f"{name}: no plain summary"
        if "{{ $value" not in notes.get("description", ""):
            yield f"{name}: the description lacks the figure"


@rule("alert-query")
def alert_query(manifests):
    """Alerts name metrics that exist, take the largest of what gateways state, and keep fleets apart."""
    metrics = manifests.sources.all_metrics
    for found in alerts(manifests):
        for why in mistakes(found["expr"], metrics):
            yield f"{found.get('alert')}: {why}"
        if "absent(" not in found["expr"] and not re.search(r"by \([^)]*\bnamespace\b", found["expr"]):
            yield f"{found.get('alert')}: fleets of several namespaces count together"


@rule("runbook")
def runbook(manifests):
    """Each alert has a section of the runbooks, and each section is one of an alert."""
    known, used = anchors(manifests.sources.tree.read(RUNBOOKS)), set()
    for found in alerts(manifests):
        page, _, anchor = at(found, "annotations.runbook_url", "").partition("#")
        if page != RUNBOOKS or anchor not in known or anchor != found["alert"].lower():
            yield f"{found['alert']}: no section {page}#{anchor}"
        used.add(anchor)
    for left in sorted(known - used) if used else []:
        yield f"{RUNBOOKS}#{left}: no alert"


@rule("dashboard")
def dashboard(manifests):
    """Dashboards are JSON that Grafana's sidecar finds, with variables for data source and namespace."""
    seen = set()
    for thing, board in dashboards(manifests):
        name = name_of(thing)
        if at(thing, "metadata.labels.grafana_dashboard") != "1":
            yield f"{name}: no label grafana_dashboard"
        if board is None:
            yield f"{name}: no JSON"
            continue
        if board.get("uid") in seen or not board.get("uid"):
            yield f"{name}: uid {board.get('uid')}"
        seen.add(board.get("uid"))
        names = {found["name"] for found in at(board, "templating.list", [])}
        if missing := {"datasource", "namespace"} - names:
            yield f"{name}: no variable {sorted(missing)}"


@rule("panel")
def panel_(manifests):
    """Each panel has a title, a description, a known unit, a query, and the variable as its data source."""
    for name, found in panels(manifests):
        where = f"{name}: {found.get('title')}"
        if not found.get("title") or not found.get("description"):
            yield f"{where}: no title or description"
        if at(found, "fieldConfig.defaults.unit") not in UNITS:
            yield f"{where}: unit {at(found, 'fieldConfig.defaults.unit')}"
        sources = [found, *found.get("targets", [])]
        if len(sources) == 1 or any(at(part, "datasource.uid") != "${datasource}" for part in sources):
            yield f"{where}: no query, or a fixed data source"


@rule("panel-query")
def panel_query(manifests):
    """Panels name metrics that exist, take the largest of what gateways state, and show the chosen namespace."""
    metrics = manifests.sources.all_metrics
    for name, found in panels(manifests):
        for target in found.get("targets", []):
            for why in mistakes(filled(target["expr"]), metrics):
                yield f"{name}: {found.get('title')}: {why}"
            first = re.search(r"\b(?:csm|process)_\w+(\{[^}]*\})?", target["expr"])
            if not first or 'namespace=~"$namespace"' not in (first[1] or ""):
                yield f"{name}: {found.get('title')}: not of the chosen namespace"


@rule("metric-shown")
def metric_shown(manifests):
    """Each metric of the list is in a panel or an alert."""
    shown = yaml.safe_dump([found["expr"] for found in alerts(manifests)])
    queries = [target["expr"] for _, found in panels(manifests) for target in found.get("targets", [])]
    if queries:
        for metric in sorted(manifests.sources.metrics):
            if not re.search(rf"\b{metric}(_bucket|_sum|_count)?\b", shown + "\n".join(queries)):
                yield f"{metric} is in no panel and no alert ({PANELS}, {RULE_FILE})"
