//! Requests beside a long backlog.

use std::time::Instant;

use csm_queue::queue::Ticket;
use csm_shared::job::JobId;
use futures::{StreamExt as _, stream};
use reqwest::Method;

use crate::app::TestApp;
use crate::speech::say;
use crate::worker::TestWorker;

/// Jobs of a long backlog.
const BACKLOG: usize = 100_000;
/// Requests of one measurement, and those under way at a time.
const REQUESTS: usize = 800;
const IN_FLIGHT: usize = 16;
/// Measurements, the best of which counts, because the machine does other work meanwhile.
const TRIES: usize = 5;

/// Returns the best rate of POSTs and of GETs of a queued job, a second. `clear` empties the queue
/// before each measurement.
async fn rates(app: &TestApp, clear: bool) -> [f64; 2] {
    let mut best = [0.0; 2];
    for _ in 0..TRIES {
        if clear {
            app.queue.redis().command::<()>(&redis::cmd("FLUSHALL")).await.unwrap();
        }
        let queued = app.submit(&say("wait here")).await;
        let get = app.request(Method::GET, &format!("/v1/jobs/{queued}"));
        let post = app.request(Method::POST, "/v1/jobs").header("content-type", "application/json");
        for (request, best) in [post.body(say("one more")), get].into_iter().zip(&mut best) {
            let begun = Instant::now();
            let requests = stream::iter(0..REQUESTS).map(async |_| app.send(request.try_clone().unwrap()).await);
            let answers: Vec<_> = requests.buffer_unordered(IN_FLIGHT).collect().await;
            *best = f64::max(*best, REQUESTS as f64 / begun.elapsed().as_secs_f64());
            assert!(answers.iter().all(|answer| answer.body["queue"]["ahead"].is_u64()), "{:?}", answers[0]);
        }
    }
    best
}

#[tokio::test]
#[ignore = "measures"]
async fn requests_are_as_fast_beside_a_long_backlog() {
    let app = TestApp::start().await;
    let mut file = redis::cmd("CONFIG");
    app.queue.redis().command::<()>(file.arg("SET").arg("appendonly").arg("no")).await.unwrap();
    let none = rates(&app, true).await;
    let spec = TestWorker::new().claim(&app).await.spec;
    let mut fill = stream::iter(0..BACKLOG)
        .map(async |_| app.queue.enqueue(&Ticket::new(JobId::generate()), &spec).await)
        .buffer_unordered(IN_FLIGHT);
    while let Some(enqueued) = fill.next().await {
        enqueued.unwrap();
    }
    let beside = rates(&app, false).await;
    for (what, none, beside) in [("POST", none[0], beside[0]), ("GET", none[1], beside[1])] {
        eprintln!("{what}: {none:.0}/s without a backlog, {beside:.0}/s beside {BACKLOG} jobs: {:.2}", beside / none);
        assert!(beside >= 0.9 * none, "{what}");
    }
}
