//! Requests beside a long backlog.
#![allow(clippy::print_stderr, reason = "the measuring tests print what they measured")]

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
/// Pairs of measurements with and without the backlog. The median of the pairs' ratios counts,
/// because the machine does other work meanwhile.
const PAIRS: usize = 15;

/// Returns the rate of POSTs and that of GETs of a queued job, a second.
async fn rates(app: &TestApp) -> [f64; 2] {
    let queued = app.submit(&say("wait here")).await;
    let get = app.request(Method::GET, &format!("/v1/jobs/{queued}"));
    let post = app.request(Method::POST, "/v1/jobs").header("content-type", "application/json");
    let mut rates = [0.0; 2];
    for (request, rate) in [post.body(say("one more")), get].into_iter().zip(&mut rates) {
        let begun = Instant::now();
        let requests = stream::iter(0..REQUESTS).map(async |_| app.send(request.try_clone().unwrap()).await);
        let answers: Vec<_> = requests.buffer_unordered(IN_FLIGHT).collect().await;
        *rate = REQUESTS as f64 / begun.elapsed().as_secs_f64();
        assert!(answers.iter().all(|answer| answer.body["queue"]["ahead"].is_u64()), "{:?}", answers[0]);
    }
    rates
}

/// Starts a gateway whose Redis keeps no file of its writes, because a disk is no part of the measure.
async fn start() -> TestApp {
    let app = TestApp::start().await;
    let mut file = redis::cmd("CONFIG");
    app.queue.redis().command::<()>(file.arg("SET").arg("appendonly").arg("no")).await.unwrap();
    app
}

#[tokio::test]
#[ignore = "measures"]
async fn requests_are_as_fast_beside_a_long_backlog() {
    let (empty, full) = (start().await, start().await);
    full.submit(&say("first")).await;
    let spec = TestWorker::new().claim(&full).await.spec;
    let mut fill = stream::iter(0..BACKLOG)
        .map(async |_| full.queue.enqueue(&Ticket::new(JobId::generate()), &spec).await)
        .buffer_unordered(IN_FLIGHT);
    while let Some(enqueued) = fill.next().await {
        enqueued.unwrap();
    }
    let mut pairs = Vec::new();
    for _ in 0..PAIRS {
        empty.queue.redis().command::<()>(&redis::cmd("FLUSHALL")).await.unwrap();
        pairs.push((rates(&empty).await, rates(&full).await));
    }
    for (kind, what) in ["POST", "GET"].into_iter().enumerate() {
        pairs.sort_by(|(none, beside), (other_none, other_beside)| {
            (beside[kind] / none[kind]).total_cmp(&(other_beside[kind] / other_none[kind]))
        });
        let [least, median, most] = [0, PAIRS / 2, PAIRS - 1].map(|at| pairs[at].1[kind] / pairs[at].0[kind]);
        eprintln!("{what}: {median:.2} times as fast beside {BACKLOG} jobs, {least:.2} to {most:.2}");
        assert!(median >= 0.9, "{what}");
    }
}
