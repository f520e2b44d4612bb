//! Resuming across builds. A worker whose build makes the same bits goes on with a cut-off job; a
//! worker of any other build begins the job anew.
//!
//! `make test-builds` makes two other builds of the worker and runs these tests.

use std::path::PathBuf;

use serde_json::Value;

use crate::cut_off::{FRAMES, JOBS, RedisView, audio, replace_worker, submit};
use crate::test_system::TestSystem;

/// Job that was cut off and finished by a worker of another build.
struct TakenOver {
    /// Audio of the same request without a cut.
    undisturbed: Vec<u8>,
    wav: Vec<u8>,
    record: Value,
}

impl TakenOver {
    fn resumed_frames(&self) -> u64 {
        self.record["receipt"]["resumed_frames"].as_u64().unwrap()
    }
}

/// Kills a worker of this build in mid-utterance and starts the program that a variable names.
/// Returns the jobs that this cut off, all of which have succeeded.
async fn taken_over_by(variable: &str) -> Vec<TakenOver> {
    let program = PathBuf::from(std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set")));
    let mut system = TestSystem::start(1, JOBS as u8).await;
    let mut redis_view = RedisView::of(&system).await;
    let mut undisturbed = Vec::new();
    for id in submit(&system).await {
        undisturbed.push(audio(&system, &id).await.0);
    }
    let ids = submit(&system).await;
    assert!(redis_view.reaches(&ids, 1, FRAMES / 2).await, "the jobs ended before the kill");
    replace_worker(&mut system, &mut redis_view, &program).await;
    let mut jobs = Vec::new();
    for (id, undisturbed) in ids.iter().zip(undisturbed) {
        let (wav, record) = audio(&system, id).await;
        if record["attempt"] != 1 {
            jobs.push(TakenOver { undisturbed, wav, record });
        }
    }
    assert!(!jobs.is_empty(), "the kill cut no job off");
    jobs
}

#[tokio::test]
#[ignore = "needs a worker of another build: make test-builds"]
async fn a_build_with_another_log_line_resumes_to_the_same_bytes() {
    let jobs = taken_over_by("CSM_TEST_WORKER_LOG").await;
    let resumed = jobs.iter().filter(|job| job.resumed_frames() > 0).count();
    println!("{resumed} of {} cut-off jobs were resumed", jobs.len());
    for TakenOver { undisturbed, wav, record } in &jobs {
        assert!(wav == undisturbed, "{record}");
    }
    // A job that had published no frame yet begins anew in any build.
    assert!(resumed * 2 > jobs.len(), "{resumed} of {} cut-off jobs were resumed", jobs.len());
}

#[tokio::test]
#[ignore = "needs a worker of another build: make test-builds"]
async fn a_build_with_another_kernel_begins_anew() {
    for job in taken_over_by("CSM_TEST_WORKER_KERNEL").await {
        assert_eq!(job.resumed_frames(), 0, "{}", job.record);
    }
}
