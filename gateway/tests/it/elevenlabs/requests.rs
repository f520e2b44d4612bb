//! Requests for a whole text, and the list of voices.

use super::*;

#[tokio::test]
async fn a_whole_text_is_one_answer() {
    let app = TestApp::start().await;
    for (path, media_type, least) in [
        ("Nova?output_format=pcm_8000", "audio/pcm", FRAME_SAMPLES * 2),
        ("nova/stream?output_format=opus_48000_32&enable_logging=true", "audio/ogg; codecs=opus", 100),
        ("nova/stream", "audio/mpeg", 1_000),
    ] {
        let body = json!({
            "text": "Hello.", "model_id": "eleven_turbo_v2_5", "voice_settings": {"speed": 1.1, "stability": 0.5},
            "seed": 7, "apply_text_normalization": "off",
        });
        let request = app.request(Method::POST, &format!("/v1/text-to-speech/{path}")).json(&body);
        let worker = async {
            let job = TestWorker::new().claim(&app).await;
            assert_eq!((job.spec.voice, job.spec.speed.get()), (Some(VoiceName::Nova), 1.1));
            assert_eq!((job.spec.sampling.seed.get(), job.spec.normalize), (7, false));
            speak(&app, job, 3).await;
        };
        let ((), answer) = tokio::join!(worker, async { request.send().await.unwrap() });
        assert_eq!((answer.status().as_u16(), &answer.headers()["content-type"]), (200, &media_type.parse().unwrap()));
        let body = answer.bytes().await.unwrap();
        assert!(body.len() >= least, "{path}: {}", body.len());
        if media_type == "audio/mpeg" {
            assert_eq!((body[0], body[2] & 0xfc), (0xff, 0x70), "96 kb/s at 44,100 samples a second");
        }
    }
}

#[tokio::test]
async fn voices_are_listed_in_the_shape_that_clients_read() {
    let app = TestApp::start().await;
    let get = async |path: &str| app.send(app.request(Method::GET, path)).await;
    let voices = get("/v1/voices").await.body["voices"].as_array().unwrap().clone();
    assert_eq!((voices.len(), &voices[1]["voice_id"], &voices[1]["name"]), (13, &json!("ash"), &json!("ash")));
    assert!(voices.iter().all(|voice| voice["category"] == "premade"));
    assert_eq!(get("/v1/voices/Ash").await.body, voices[1]);
    let missing = get("/v1/voices/nobody").await;
    assert_eq!((missing.status.as_u16(), &missing.body["detail"]["status"]), (404, &json!("voice_not_found")));
    assert!(missing.body["detail"]["message"].as_str().unwrap().contains("nobody"));
}
