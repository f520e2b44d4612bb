//! Names of the metrics. Dashboards and alerts use them, so a name changes only together with the
//! list here.

use std::collections::BTreeSet;

use crate::source_tree::{files, read};
use crate::test_system::TestSystem;

/// Names of all metrics, sorted.
const NAMES: [&str; 32] = [
    "csm_backlog_audio_seconds",
    "csm_batch_lines_total",
    "csm_desired_slots",
    "csm_dlq_size",
    "csm_first_audio_seconds",
    "csm_fleet_frames_per_second",
    "csm_frame_gap_seconds",
    "csm_frame_step_seconds",
    "csm_gateway_memory_bytes",
    "csm_gateway_memory_limit_bytes",
    "csm_http_connections",
    "csm_http_request_seconds",
    "csm_jobs_accepted_total",
    "csm_jobs_total",
    "csm_lease_lost_total",
    "csm_log_lines_dropped_total",
    "csm_model_load_seconds",
    "csm_prefill_piece_seconds",
    "csm_prefix_cache_bytes",
    "csm_prefix_cache_total",
    "csm_queue_depth",
    "csm_queue_oldest_seconds",
    "csm_queue_running",
    "csm_queue_wait_seconds",
    "csm_reconciled_total",
    "csm_refused_total",
    "csm_retakes_total",
    "csm_rtf",
    "csm_shared_part_broken",
    "csm_slots",
    "csm_websockets",
    "csm_workers",
];
/// Names of the process' own figures, those of Prometheus' clients, sorted.
const PROCESS_NAMES: [&str; 7] = [
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_threads",
    "process_virtual_memory_bytes",
];
/// Literals that begin like the name of a metric and name something else.
const OTHER_LITERALS: [&str; 2] = ["csm_bulk_run", "csm_depth_decoder_model"];
/// Folders of the code that records metrics.
const FOLDERS: [&str; 4] = ["shared", "gateway", "worker", "cli"];

fn listed() -> BTreeSet<String> {
    NAMES.into_iter().map(str::to_owned).collect()
}

/// Fails with the names that only one of the two sets has.
fn assert_listed(found: &BTreeSet<String>, place: &str) {
    let listed = listed();
    let added: Vec<_> = found.difference(&listed).collect();
    let missing: Vec<_> = listed.difference(found).collect();
    assert!(added.is_empty(), "{place} has names that are not in the list: {added:?}");
    assert!(missing.is_empty(), "{place} lacks names of the list: {missing:?}");
}

/// Returns true for a file of tests.
fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// Returns the string literals that consist of `csm_` and a name.
fn literals(source: &str) -> impl Iterator<Item = String> {
    source.split("\"csm_").skip(1).filter_map(|rest| {
        let (name, _) = rest.split_once('"')?;
        let plain = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        plain.then(|| format!("csm_{name}"))
    })
}

#[test]
fn the_sources_have_the_metrics_of_the_list() {
    assert!(NAMES.is_sorted());
    let mut found = BTreeSet::new();
    for path in FOLDERS.into_iter().flat_map(|folder| files(folder, "rs")).filter(|path| !is_test(path)) {
        let source = read(&path);
        found.extend(literals(source.split("\nmod tests {").next().unwrap_or_default()));
    }
    for other in OTHER_LITERALS {
        assert!(found.remove(other), "no source has {other:?} any more");
    }
    assert_listed(&found, "the source");
}

#[test]
fn the_operations_page_describes_the_metrics_of_the_list() {
    let page = read("docs/operations.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `csm_")?.split_once('`'));
    assert_listed(&rows.map(|(name, _)| format!("csm_{name}")).collect(), "docs/operations.md");
    for name in PROCESS_NAMES {
        assert!(page.contains(&format!("`{name}`")), "docs/operations.md lacks {name}");
    }
}

#[tokio::test]
async fn the_metrics_pages_of_real_processes_show_names_of_the_list_alone() {
    let system = TestSystem::start(1, 1).await;
    let id = system.client.submit(1, 10).await;
    system.client.finished(&id).await;
    let pages = system.metrics().await.join("\n");
    let types = pages.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let shown: BTreeSet<_> = types.map(str::to_owned).collect();
    let process: BTreeSet<_> = shown.iter().filter(|name| name.starts_with("process_")).cloned().collect();
    assert_eq!(process, PROCESS_NAMES.into_iter().map(str::to_owned).collect());
    let explained: BTreeSet<_> =
        pages.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()).collect();
    let silent: Vec<_> = shown.iter().filter(|name| !explained.contains(name.as_str())).collect();
    assert!(silent.is_empty(), "metrics without a meaning: {silent:?}");
    let unlisted: Vec<_> = shown.difference(&listed()).filter(|name| !process.contains(*name)).cloned().collect();
    assert!(unlisted.is_empty(), "names that are not in the list: {unlisted:?}");
    for name in ["csm_jobs_accepted_total", "csm_slots"] {
        assert!(shown.contains(name), "{name} of the gateway or the worker is not shown: {pages}");
    }
}
