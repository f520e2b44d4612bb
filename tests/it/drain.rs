//! SIGTERM: the worker finishes the jobs that fit the grace period, returns the others uncharged,
//! and exits with 0.

use crate::test_system::TestSystem;

#[tokio::test]
async fn a_drained_worker_finishes_what_it_has() {
    let mut system = TestSystem::start(1, 5).await;
    let id = system.client.submit(1, 1_200).await;
    system.client.job_until(&id, |record| record["status"] == "running").await;
    assert!(system.workers[0].process.terminate().await.unwrap().success());
    let record = system.client.job(&id).await;
    system.client.audio(&record).await;
    assert_eq!(record["attempt"], 1);
}

#[tokio::test]
async fn what_does_not_fit_the_grace_is_handed_back_unburnt() {
    let mut system = TestSystem::start_with_drain(1, 2, 0).await;
    let id = system.client.submit(1, 5_000).await;
    system.client.job_until(&id, |record| record["status"] == "running").await;
    assert!(system.workers[0].process.terminate().await.unwrap().success());
    let record = system.client.job(&id).await;
    assert_eq!(record["status"], "queued", "{record}");
    assert_eq!((&record["failures"], &record["crashes"]), (&0.into(), &0.into()), "{record}");

    system.add_worker();
    system.client.job_until(&id, |record| record["status"] == "running" && record["attempt"] == 2).await;
}

#[tokio::test]
async fn a_drained_gateway_ends_cleanly() {
    let mut system = TestSystem::start(0, 1).await;
    assert!(system.gateway.terminate().await.unwrap().success());
}
