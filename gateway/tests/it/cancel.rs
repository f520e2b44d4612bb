//! Cancellation of jobs: on request, and because the caller left.

use csm_queue::queue::{Beat, LEASE};
use csm_shared::job::JobState;

use crate::app::{TestApp, until};
use crate::speech::{OLD_REQUEST, say};
use crate::worker::TestWorker;

#[tokio::test]
async fn a_queued_job_is_cancelled_at_once_and_its_followers_hear() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let id = app.submit(&say("never mind")).await;
    let path = format!("/v1/jobs/{id}");
    let waiting = format!("{path}?wait=30");
    let (end, answer) = tokio::join!(app.get(&waiting), async {
        app.until_followed(&id).await;
        app.delete(&path).await
    });
    assert_eq!((answer.status.as_u16(), answer.text("status")), (200, "cancelled"));
    assert_eq!(end.text("status"), "cancelled");
    assert_eq!(app.delete(&path).await.text("status"), "cancelled", "repeating is harmless");
    assert!(worker.try_claim(&app).await.is_none());
}

#[tokio::test]
async fn a_running_job_is_asked_to_stop_and_a_final_one_is_not() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let id = app.submit(&say("stop")).await;
    let path = format!("/v1/jobs/{id}");
    let job = worker.claim(&app).await;
    for _ in 0..2 {
        let answer = app.delete(&path).await;
        assert_eq!((answer.status.as_u16(), answer.text("status")), (200, "cancelling"));
    }
    assert_eq!(app.queue.beat(job.lease.at(), LEASE).await.unwrap(), Beat::CancelRequested);
    assert_eq!(app.get(&path).await.body["cancel_requested"], true);
    job.lease.cancelled().await.unwrap();
    assert_eq!(app.delete(&path).await.text("status"), "cancelled");

    let done = app.submit(&say("done")).await;
    worker.work(&app, 1).await;
    let late = app.delete(&format!("/v1/jobs/{done}")).await;
    assert_eq!(late.status, 409);
    insta::assert_json_snapshot!("cancel_of_final", late.body, {".job" => "[id]", ".request_id" => "[id]"});
    assert_eq!(app.delete("/v1/jobs/0199b1c2-0000-7000-8000-000000000000").await.status, 404);
}

#[tokio::test]
async fn a_caller_who_leaves_takes_the_job_along() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let call = || app.post("/generate", OLD_REQUEST);

    // While the job runs: the worker is told.
    let job = tokio::select! {
        answer = call() => panic!("{answer:?}"),
        job = worker.claim(&app) => job,
    };
    let id = job.lease.at().id;
    until("the running job is asked to stop", async || app.record(&id).await.cancel_requested).await;
    job.lease.cancelled().await.unwrap();

    // While the job waits: no worker gets it.
    let queued = async {
        until("the job is queued", async || app.depth().await == 1).await;
        newest(&app).await
    };
    let id = tokio::select! {
        answer = call() => panic!("{answer:?}"),
        id = queued => id,
    };
    let queue = &app.queue;
    until("the queued job is cancelled", async || {
        queue.record(&id).await.unwrap().unwrap().state == JobState::Cancelled
    })
    .await;
    assert!(worker.try_claim(&app).await.is_none());
}

/// Returns the job of the newest entry of the live lane.
async fn newest(app: &TestApp) -> csm_shared::job::JobId {
    let lane = csm_queue::queue::RedisKeys::new("csm", 0).lane(csm_shared::job::Lane::Live);
    let mut range = redis::cmd("XREVRANGE");
    range.arg(lane).arg("+").arg("-").arg("COUNT").arg(1);
    let reply: redis::streams::StreamRangeReply = app.queue.redis().command(&range).await.unwrap();
    reply.ids[0].get::<String>("id").unwrap().parse().unwrap()
}
