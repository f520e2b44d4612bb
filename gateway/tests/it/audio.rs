//! Finished audio: whole, in part, or not changed.

use csm_shared::audio::Clip;
use csm_shared::job::{Failure, FailureClass};
use reqwest::{Method, Response};

use crate::app::TestApp;
use crate::speech::{decode, say};
use crate::worker::{TestWorker, wav};

async fn fetch(app: &TestApp, path: &str, headers: &[(&str, &str)]) -> Response {
    let request =
        headers.iter().fold(app.request(Method::GET, path), |request, (name, value)| request.header(*name, *value));
    request.send().await.unwrap()
}

#[tokio::test]
async fn audio_is_served_whole_and_in_parts() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let id = app.submit(&say("listen")).await;
    let job = worker.claim(&app).await;
    let receipt = worker.succeed(&app, job).await;
    let (path, expected) = (format!("/v1/jobs/{id}/audio"), wav("listen"));
    let record = app.get(&format!("/v1/jobs/{id}")).await;
    assert_eq!(record.body["links"]["audio"], path);

    let whole = fetch(&app, &path, &[]).await;
    let etag = whole.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(whole.status(), 200);
    assert_eq!(etag, format!("\"{}\"", receipt.sha256));
    assert_eq!(whole.headers()["content-type"], "audio/wav");
    assert_eq!(whole.headers()["accept-ranges"], "bytes");
    assert_eq!(whole.bytes().await.unwrap(), expected);

    let part = fetch(&app, &path, &[("range", "bytes=40-99")]).await;
    assert_eq!(part.status(), 206);
    assert_eq!(part.headers()["content-range"], format!("bytes 40-99/{}", expected.len()).as_str());
    assert_eq!(part.bytes().await.unwrap(), &expected[40..100]);
    let tail = fetch(&app, &path, &[("range", "bytes=-10"), ("if-range", &etag)]).await;
    assert_eq!(tail.bytes().await.unwrap(), &expected[expected.len() - 10..]);
    let stale = fetch(&app, &path, &[("range", "bytes=-10"), ("if-range", "\"other\"")]).await;
    assert_eq!((stale.status().as_u16(), stale.bytes().await.unwrap().len()), (200, expected.len()));

    let beyond = fetch(&app, &path, &[("range", "bytes=99999999-")]).await;
    assert_eq!(beyond.status(), 416);
    assert_eq!(beyond.headers()["content-range"], format!("bytes */{}", expected.len()).as_str());

    let known = fetch(&app, &path, &[("if-none-match", &format!("\"x\", W/{etag}"))]).await;
    assert_eq!((known.status().as_u16(), known.bytes().await.unwrap().len()), (304, 0));
}

#[tokio::test]
async fn a_long_file_is_served_byte_for_byte() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let long = Clip::from_samples((0..500_000).map(|sample| (sample % 30_011) as i16).collect()).to_wav();
    let id = app.submit(&say("long")).await;
    worker.succeed_with(&app, worker.claim(&app).await, long.clone()).await;
    let path = format!("/v1/jobs/{id}/audio");
    let whole = fetch(&app, &path, &[]).await;
    assert_eq!(whole.headers()["content-length"], long.len().to_string().as_str());
    assert!(whole.bytes().await.unwrap() == long);
    let part = fetch(&app, &path, &[("range", "bytes=98000-700001")]).await;
    assert_eq!(part.headers()["content-length"], "602002");
    assert!(part.bytes().await.unwrap() == long[98_000..=700_001]);

    let (answer, ()) = tokio::join!(app.post("/generate", say("long")), async {
        worker.succeed_with(&app, worker.claim(&app).await, long.clone()).await;
    });
    assert!(decode(answer.text("audio")) == long);
    assert_eq!(answer.header("content-type"), "application/json");
}

#[tokio::test]
async fn audio_that_is_not_there_says_why() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let id = app.submit(&say("not yet")).await;
    let path = format!("/v1/jobs/{id}/audio");
    let redacted = |name: &str, body: &serde_json::Value| {
        insta::assert_json_snapshot!(name, body, {".job" => "[id]", ".request_id" => "[id]"});
    };
    let queued = app.get(&path).await;
    assert_eq!(queued.status, 409);
    redacted("audio_of_queued", &queued.body);

    let job = worker.claim(&app).await;
    worker.fail(&app, job.lease, &Failure::new(FailureClass::Resource, "the device failed")).await;
    let failed = app.get(&path).await;
    assert_eq!(failed.status, 410);
    redacted("audio_of_failed", &failed.body);

    let id = app.submit(&say("removed")).await;
    let job = worker.claim(&app).await;
    let receipt = worker.succeed(&app, job).await;
    app.store.delete(&receipt.location.parse().unwrap()).await.unwrap();
    let gone = app.get(&format!("/v1/jobs/{id}/audio")).await;
    assert_eq!((gone.status.as_u16(), gone.text("code")), (410, "audio_gone"));
}

#[tokio::test]
async fn a_store_that_cannot_sign_serves_even_where_redirects_are_wanted() {
    let (app, worker) = (TestApp::start_with(|args| args.redirect_audio = true).await, TestWorker::new());
    let id = app.submit(&say("direct")).await;
    worker.work(&app, 1).await;
    assert_eq!(fetch(&app, &format!("/v1/jobs/{id}/audio"), &[]).await.bytes().await.unwrap(), wav("direct"));
}
