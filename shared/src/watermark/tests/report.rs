//! Tests of the order of findings in a report.

use crate::watermark::{DISCLAIMER, Finding, Region, Scheme, Verdict, WatermarkReport};

fn finding(scheme: Scheme, verdict: Verdict, p_value: f64) -> Finding {
    let regions = if verdict == Verdict::Detected { vec![Region { start_ms: 0, end_ms: 1_000 }] } else { Vec::new() };
    Finding { scheme, verdict, p_value, score: 1.0, key_id: format!("{}'s", scheme.name()), regions }
}

#[test]
fn the_better_verdict_is_on_top_then_the_smaller_chance() {
    use Scheme::{Builtin, Silentcipher};
    use Verdict::{Detected, Inconclusive, NotDetected};
    for (first, second, top) in [
        ((Detected, 1e-7), (NotDetected, 1e-9), Builtin),
        ((NotDetected, 1e-9), (Detected, 1e-7), Silentcipher),
        ((Inconclusive, 0.9), (NotDetected, 0.1), Builtin),
        ((NotDetected, 0.1), (Inconclusive, 0.9), Silentcipher),
        ((Detected, 1e-7), (Detected, 1e-30), Silentcipher),
        ((NotDetected, 0.2), (NotDetected, 0.3), Builtin),
        ((NotDetected, f64::NAN), (Detected, 1e-7), Silentcipher),
    ] {
        let findings = vec![finding(Builtin, first.0, first.1), finding(Silentcipher, second.0, second.1)];
        let report = WatermarkReport::of(findings.clone(), Vec::new()).unwrap();
        assert_eq!(report.scheme, top, "{first:?}, {second:?}");
        let strongest = findings.iter().find(|finding| finding.scheme == top).unwrap();
        assert_eq!(report.verdict, strongest.verdict);
        assert!((report.p_value - (2.0 * strongest.p_value).min(1.0)).abs() < 1e-12, "both had their chance");
        assert_eq!(report.key_id, strongest.key_id);
        assert_eq!(report.regions, strongest.regions);
        assert_eq!(report.findings.len(), 2);
        assert_eq!(report.disclaimer, DISCLAIMER);
    }
    assert_eq!(WatermarkReport::of(Vec::new(), vec![Silentcipher]), None);
}

#[test]
fn what_was_not_looked_for_is_named_and_is_no_not_detected() {
    use Verdict::{Detected, Inconclusive, NotDetected};
    for (found, said) in [(NotDetected, Inconclusive), (Inconclusive, Inconclusive), (Detected, Detected)] {
        let report =
            WatermarkReport::of(vec![finding(Scheme::Builtin, found, 0.25)], vec![Scheme::Silentcipher]).unwrap();
        assert_eq!((report.verdict, report.findings[0].verdict), (said, found));
        assert!((report.p_value - 0.25).abs() < 1e-12, "one scheme had its chance");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["not_looked_for"], serde_json::json!(["silentcipher"]));
    }
    let all = WatermarkReport::of(vec![finding(Scheme::Builtin, NotDetected, 0.25)], Vec::new()).unwrap();
    assert_eq!(all.verdict, NotDetected);
    assert!(serde_json::to_value(&all).unwrap().get("not_looked_for").is_none());
}
