//! The same fleet with an S3 server as its store.

use reqwest::StatusCode;

use crate::test_client::{assert_marked, read_wav};
use crate::test_system::{Keep, TestSystem, s3};

#[tokio::test]
async fn audio_goes_to_s3_and_comes_back_by_a_signed_url() {
    let server = s3().await;
    let system = TestSystem::start_with(Keep::S3(server.address), 1, 2).await;
    let id = system.client.submit(3, 40).await;
    let record = system.client.finished(&id).await;
    assert_eq!(record["status"], "succeeded", "{record}");

    let redirect = system.client.get(&format!("/v1/jobs/{id}/audio")).await;
    assert_eq!(redirect.status(), StatusCode::FOUND);
    let signed = redirect.headers()["location"].to_str().unwrap();
    assert!(signed.starts_with(&format!("http://{}/", server.address)), "{signed}");
    let wav = reqwest::get(signed).await.unwrap().bytes().await.unwrap();
    assert_eq!(read_wav(&wav).0.len(), 40 * 1_920);
    assert_marked(&wav);

    let location = record["receipt"]["location"].as_str().unwrap();
    assert_eq!(std::fs::read(server.object_path(&format!("fleet/{location}"))).unwrap(), wav);
}
