//! Requests for a whole text.

use reqwest::Method;

use super::*;

#[tokio::test]
async fn a_whole_text_is_one_answer() {
    let app = TestApp::start().await;
    for (container, encoding, rate, media_type, length) in [
        ("raw", "pcm_s16le", 24_000, "audio/pcm", 3 * 3_840),
        ("raw", "pcm_f32le", 24_000, "audio/pcm", 3 * 7_680),
        ("raw", "pcm_s16le", 8_000, "audio/pcm", 3 * 1_280),
        ("wav", "pcm_s16le", 24_000, "audio/wav", 44 + 3 * 3_840),
        ("mp3", "pcm_s16le", 24_000, "audio/mpeg", 0),
    ] {
        let body = json!({
            "model_id": "sonic-3", "transcript": "Hello.", "voice": {"mode": "id", "id": "nova"},
            "output_format": {"container": container, "encoding": encoding, "sample_rate": rate, "bit_rate": 128_000},
        });
        let request = app.request(Method::POST, "/tts/bytes").header("cartesia-version", "2025-04-16").json(&body);
        let worker = async {
            let job = TestWorker::new().claim(&app).await;
            assert_eq!(job.spec.voice, Some(VoiceName::Nova));
            speak(&app, job, 3).await;
        };
        let ((), answer) = tokio::join!(worker, async { request.send().await.unwrap() });
        assert_eq!((answer.status().as_u16(), &answer.headers()["content-type"]), (200, &media_type.parse().unwrap()));
        let heard = answer.bytes().await.unwrap();
        assert!(heard.len() == length || (length == 0 && heard.len().is_multiple_of(288)), "{container} {encoding}");
    }
}
