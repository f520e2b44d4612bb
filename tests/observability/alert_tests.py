#!/usr/bin/env python3
"""Checks the alerts with promtool: the rule file itself, a healthy fleet that fires nothing, and for each alert a fleet
with one planted fault that fires it alone."""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "k8s/alerts/rules.yaml"
PROMTOOL_SECONDS = 60

GATEWAYS = tuple(f'namespace="csm",job="csm-gateway",instance="gateway-{number}"' for number in (1, 2))
WORKER = 'namespace="csm",job="csm-worker",instance="worker-1"'
# Last minute of the planted series, and the minute at which they begin to show the fault.
END, FAULT = 130, 100


def flat(value):
    """Returns values that stay the same."""
    return f"{value}x{END}"


def rising(step):
    """Returns values of a counter that rises by a step each minute."""
    return f"0+{step}x{END}"


def turns(before, after):
    """Returns values that change when the fault begins."""
    return f"{before}x{FAULT - 1} {after}x{END - FAULT}"


def appears(value):
    """Returns values of a counter that does not exist before the fault."""
    return f"_x{FAULT - 1} {value}x{END - FAULT}"


def of(labels, extra=""):
    """Returns labels in braces."""
    return f"{{{labels}{',' if extra else ''}{extra}}}"


def healthy():
    """Returns the series of a fleet of two gateways and one worker, which is busy and well."""
    series = {}
    for gateway in GATEWAYS:
        for lane in ("live", "standard", "bulk"):
            series["csm_queue_depth" + of(gateway, f'lane="{lane}"')] = flat(3)
            series["csm_queue_oldest_seconds" + of(gateway, f'lane="{lane}"')] = flat(20)
            series["csm_backlog_audio_seconds" + of(gateway, f'lane="{lane}"')] = flat(199)
        for name, value in (("csm_workers", 1), ("csm_fleet_frames_per_second", 25), ("csm_dlq_size", 0),
                            ("csm_gateway_memory_bytes", 85), ("csm_gateway_memory_limit_bytes", 100)):
            series[name + of(gateway)] = flat(value)
        # Requests that callers got wrong are no fault of the fleet.
        series["csm_refused_total" + of(gateway, 'code="out_of_range"')] = rising(5)
        series["csm_refused_total" + of(gateway, 'code="unavailable"')] = flat(4)
    for outcome, step in (("succeeded", 99), ("failed", 1)):
        series["csm_jobs_total" + of(WORKER, f'lane="standard",outcome="{outcome}"')] = rising(step)
    for bound, step in (("0.5", 90), ("1", 96), ("2", 100), ("+Inf", 100)):
        series["csm_rtf_bucket" + of(WORKER, f'le="{bound}"')] = rising(step)
    for bound, step in (("0.06", 900), ("0.08", 960), ("0.1", 1000), ("+Inf", 1000)):
        series["csm_frame_gap_seconds_bucket" + of(WORKER, f'le="{bound}"')] = rising(step)
    series["csm_rtf_count" + of(WORKER)] = rising(100)
    series["csm_retakes_total" + of(WORKER, 'reason="silent"')] = rising(10)
    series["csm_lease_lost_total" + of(WORKER)] = flat(7)
    series["csm_reconciled_total" + of(WORKER)] = flat(2)
    for part in ("store", "marks", "signer", "fleet"):
        series["csm_shared_part_broken" + of(WORKER, f'part="{part}"')] = flat(0)
    for process in (*GATEWAYS, WORKER):
        series["csm_log_lines_dropped_total" + of(process)] = flat(3)
        series["process_open_fds" + of(process)] = flat(70)
        series["process_max_fds" + of(process)] = flat(100)
    # Another program of the namespace, which is none of the fleet.
    series['process_open_fds{namespace="csm",job="other",instance="other"}'] = flat(99)
    series['process_max_fds{namespace="csm",job="other",instance="other"}'] = flat(100)
    return series


def without(name):
    """Returns changes that remove all series of a metric."""
    return {series: None for series in healthy() if series.startswith(name + "{")}


def every(name, values):
    """Returns changes that give all series of a metric the same values."""
    return {series: values for series in healthy() if series.startswith(name + "{")}


# Alert, what is planted, and the series that change (None removes one).
PLANTED = (
    ("CsmNoMetrics", "the gateways are not scraped", without("csm_workers")),
    ("CsmNoWorker", "all workers are gone", every("csm_workers", turns(1, 0))),
    ("CsmBacklogGrows", "one lane is longer, by all gateways",
     {f"csm_backlog_audio_seconds{of(gateway, 'lane=' + chr(34) + 'bulk' + chr(34))}": turns(199, 900)
      for gateway in GATEWAYS}),
    ("CsmBacklogGrows", "no rate was measured: one stream is assumed", every("csm_fleet_frames_per_second", flat(0))
     | every("csm_backlog_audio_seconds", flat(201))),
    ("CsmLiveJobsLate", "one gateway sees an old live job",
     {"csm_queue_oldest_seconds" + of(GATEWAYS[1], 'lane="live"'): turns(20, 121)}),
    ("CsmSlowerThanRealTime", "attempts take twice as long as their audio",
     {"csm_rtf_bucket" + of(WORKER, 'le="1"'): rising(90)}),
    ("CsmLiveAudioStutters", "a tenth of the frames is late",
     {"csm_frame_gap_seconds_bucket" + of(WORKER, 'le="0.08"'): rising(900)}),
    ("CsmDeadLetters", "one dead letter", every("csm_dlq_size", turns(0, 1))),
    ("CsmJobsFail", "3 of 102 jobs fail",
     {"csm_jobs_total" + of(WORKER, 'lane="standard",outcome="failed"'): rising(3)}),
    ("CsmJobsFail", "the first jobs that a new worker ends",
     {f'csm_jobs_total{{namespace="csm",job="csm-worker",instance="worker-2",lane="bulk",outcome="{outcome}"}}': appears(value)
      for outcome, value in (("succeeded", 10), ("failed", 50))}),
    ("CsmBadAudio", "a fourth of the takes is given up", {"csm_retakes_total" + of(WORKER, 'reason="silent"'): rising(25)}),
    ("CsmLeasesLost", "one lease more", {"csm_lease_lost_total" + of(WORKER): turns(7, 8)}),
    ("CsmLeasesLost", "the first lease that a gateway takes back",
     {"csm_lease_lost_total" + of(GATEWAYS[0]): appears(1)}),
    ("CsmJobsReconciled", "one job more", {"csm_reconciled_total" + of(WORKER): turns(2, 3)}),
    ("CsmJobsReconciled", "the first job of a gateway", {"csm_reconciled_total" + of(GATEWAYS[1]): appears(1)}),
    ("CsmSharedPartBroken", "the store is away", {"csm_shared_part_broken" + of(WORKER, 'part="store"'): turns(0, 1)}),
    ("CsmRequestsFail", "one answer more of a known code",
     {"csm_refused_total" + of(GATEWAYS[0], 'code="unavailable"'): turns(4, 5)}),
    ("CsmRequestsFail", "the first answer of a code", {"csm_refused_total" + of(GATEWAYS[0], 'code="internal"'): appears(1)}),
    ("CsmCallersTurnedAway", "a lane is full", {"csm_refused_total" + of(GATEWAYS[1], 'code="queue_busy"'): appears(2)}),
    ("CsmGatewayMemoryFull", "one gateway of two is full", {"csm_gateway_memory_bytes" + of(GATEWAYS[1]): turns(85, 95)}),
    ("CsmLogLinesDropped", "a slow reader of a log", {"csm_log_lines_dropped_total" + of(WORKER): turns(3, 9)}),
    ("CsmOpenFilesRunOut", "one process leaks", {"process_open_fds" + of(WORKER): turns(70, 90)}),
)

# Minutes from the fault to the question, of alerts that look at less than 15 minutes.
SEEN_AFTER = {"CsmRequestsFail": 3, "CsmCallersTurnedAway": 3}
FIRES = "count by (alertname) (ALERTS{alertstate=\"firing\"})"


def case(name, changes, expected, minute):
    """Returns one test of promtool: at a minute exactly these alerts fire."""
    series = {name: values for name, values in (healthy() | changes).items() if values is not None}
    return {"name": name, "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "promql_expr_test": [{"expr": FIRES, "eval_time": f"{minute}m", "exp_samples": [
                {"labels": f'{{alertname="{alert}"}}', "value": count} for alert, count in sorted(expected.items())]}]}


def described():
    """Returns a test of the texts of one alert: its figure and its label are in the description."""
    changes = {"csm_shared_part_broken" + of(WORKER, 'part="store"'): turns(0, 1)}
    found = case("texts", changes, {"CsmSharedPartBroken": 1}, FAULT + 4)
    rule, = (rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
             if rule["alert"] == "CsmSharedPartBroken")
    texts = dict(rule["annotations"])
    texts["description"] = "The part store is out of order (value 1). The worker claims nothing."
    found["alert_rule_test"] = [{"eval_time": f"{FAULT + 4}m", "alertname": "CsmSharedPartBroken", "exp_alerts": [{
        "exp_labels": {"namespace": "csm", "part": "store", "severity": "critical"}, "exp_annotations": texts}]}]
    return found


def tests():
    """Returns all tests."""
    cases = [case(f"healthy at {minute} m", {}, {}, minute) for minute in (65, FAULT, 120)]
    for alert, what, changes in PLANTED:
        cases.append(case(f"{alert}: {what}", changes, {alert: 1}, FAULT + SEEN_AFTER.get(alert, 13)))
    return [*cases, described()]


def promtool(*words):
    """Runs promtool; returns its status and what it printed."""
    ran = subprocess.run(["promtool", *words], capture_output=True, text=True, timeout=PROMTOOL_SECONDS, check=False)
    return ran.returncode, ran.stdout + ran.stderr


def run(rules):
    """Runs all tests on a rule file; returns whether they pass, and what promtool printed."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(rules, Path(folder) / "rules.yaml")
        file = Path(folder) / "tests.yaml"
        file.write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests()}))
        status, said = promtool("test", "rules", str(file))
        return status == 0, said


def blunted(text):
    """Returns the rule file with alerts that can never fire."""
    rules = yaml.safe_load(text)
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule["expr"] = f"({rule['expr']}) and on () vector(1) == 2"
    return yaml.safe_dump(rules)


def unnoticed(alerts):
    """Lists the alerts that no test misses when they never fire."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rules.yaml"
        file.write_text(blunted(RULES.read_text()))
        _, said = run(file)
    missed = {alert for alert in alerts for line in said.splitlines() if "exp:" in line and f'"{alert}"' in line}
    return [f"an alert {alert} that never fires is not noticed" for alert in alerts if alert not in missed]


def main():
    """Runs the checks; returns the exit status."""
    began = time.monotonic()
    status, said = promtool("check", "rules", str(RULES))
    print(said.strip())
    if status:
        return 1
    alerts = [rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    wrong = [f"no fault is planted for {alert}" for alert in alerts if alert not in {found[0] for found in PLANTED}]
    passed, said = run(RULES)
    if not passed:
        wrong.append(said)
    wrong += unnoticed(alerts)
    for line in wrong:
        print(line)
    print(f"alerts: {len(alerts)} rules, {len(PLANTED)} planted faults, {len(wrong)} wrong; "
          f"{time.monotonic() - began:.1f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
