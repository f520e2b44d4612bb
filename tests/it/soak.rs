//! A short soak run: too short to prove that recovery is in time, long enough to find a lost job.

use std::time::Duration;

use csm_tests::soak::checker::Damage;
use csm_tests::soak::{Options, run};
use tokio::task::LocalSet;

#[tokio::test]
async fn a_short_soak_loses_nothing_and_commits_nothing_twice() {
    soak(Options { duration: Duration::from_secs(20), jobs: 300, seed: 4, secure: false }).await;
}

/// The run also fails if a program lacked a command of Redis, or if a log holds a password.
#[tokio::test]
async fn a_short_soak_passes_over_tls_under_the_rules_of_redis() {
    soak(Options { duration: Duration::from_secs(20), jobs: 300, seed: 5, secure: true }).await;
}

async fn soak(options: Options) {
    let report = LocalSet::new().run_until(run(options)).await.unwrap();
    println!("{report}\n{}", report.verdict(options.seed));
    // Recovery times depend on this machine's other work too; `make soak` checks their limit.
    let damages: Vec<_> = report.damages.keys().filter(|&&damage| damage != Damage::SlowRecovery).collect();
    assert!(damages.is_empty(), "{damages:?}");
    assert_eq!(report.accepted, options.jobs);
    assert!(!report.recovery.claimed_again.is_empty(), "a worker was killed with jobs in hand");
}
