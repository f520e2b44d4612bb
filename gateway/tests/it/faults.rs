//! Outages of Redis.

use csm_shared::store::StoreLocation;

use crate::app::{TestApp, until};
use crate::speech::{OLD_REQUEST, decode, say};
use crate::worker::{TestWorker, wav};

#[tokio::test]
async fn without_redis_requests_are_unavailable_and_afterwards_served() {
    let mut app = TestApp::start().await;
    let kept = app.submit(&say("kept")).await;
    until("ready", async || app.get_admin("/readyz").await.0 == 200).await;
    app.redis.kill().await.unwrap();

    let answer = app.post("/v1/jobs", say("lost")).await;
    assert_eq!((answer.status.as_u16(), answer.text("code")), (503, "unavailable"));
    assert!(answer.headers.contains_key("retry-after"));
    assert!(!answer.body.to_string().contains("127.0.0.1"), "no inner text: {}", answer.body);
    assert_eq!(app.get(&format!("/v1/jobs/{kept}")).await.status, 503);
    until("not ready", async || app.get_admin("/readyz").await.0 == 503).await;
    assert_eq!(app.get_admin("/livez").await.0, 200, "alive all the same");

    app.redis.restart().await.unwrap();
    until("ready again", async || app.get_admin("/readyz").await.0 == 200).await;
    assert_eq!(app.get(&format!("/v1/jobs/{kept}")).await.text("status"), "queued");
    assert_eq!(app.post("/v1/jobs", say("new")).await.status, 202);
}

#[tokio::test]
async fn a_waiting_caller_does_not_notice_a_restart_of_redis() {
    let (mut app, worker) = (TestApp::start().await, TestWorker::new());
    let url = format!("http://{}/generate", app.address);
    let request = tokio::spawn(app.client.post(url).body(OLD_REQUEST).send());
    let job = worker.claim(&app).await;
    app.redis.kill().await.unwrap();
    until("not ready", async || app.get_admin("/readyz").await.0 == 503).await;
    app.redis.restart().await.unwrap();
    worker.succeed(&app, job).await;
    let answer: serde_json::Value = request.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(decode(answer["audio"].as_str().unwrap_or_default()), wav("Hello from Sesame TTS!"));
}

#[tokio::test]
async fn audio_of_a_store_whose_folder_is_gone_is_unavailable_and_not_lost() {
    let mut folder = None;
    let app = TestApp::start_with(|args| {
        let StoreLocation::Folder(path) = &args.store.location else { panic!("a folder") };
        folder = Some(path.clone());
    })
    .await;
    let (folder, worker) = (folder.unwrap(), TestWorker::new());
    let id = app.submit(&say("kept")).await;
    worker.work(&app, 1).await;
    let path = format!("/v1/jobs/{id}/audio");
    let aside = folder.with_extension("unmounted");
    std::fs::rename(&folder, &aside).unwrap();
    let range = [("range", "bytes=0-9")];
    // The folder is gone, then a file stands in its place.
    for _ in 0..2 {
        for answer in [app.get(&path).await, app.send_with(reqwest::Method::GET, &path, &range, "").await] {
            assert_eq!((answer.status.as_u16(), answer.text("code")), (503, "unavailable"), "{}", answer.body);
            assert!(answer.text("detail").contains("not lost") && answer.retry_after() > 0, "{}", answer.body);
        }
        std::fs::write(&folder, "no folder").unwrap();
    }
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&aside, &folder).unwrap();
    assert_eq!(app.get(&path).await.status, 200);
    std::fs::remove_dir_all(folder.join("audio")).unwrap();
    assert_eq!(app.get(&path).await.text("code"), "audio_gone", "a file that is removed is gone");
}
