//! Voices and tempo in whole attempts on the noise model.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use csm_engine::model::WeightFormat;
use csm_shared::audio::Clip;
use csm_shared::job::{AudioFormat, Delivery, JobSpec, Receipt, Speed, VoiceName};
use csm_shared::store::ObjectKey;
use csm_worker::marks::{Verdict, Watermark, WatermarkKey};
use csm_worker::speak::AttemptContext;

use crate::live::{LiveFixture, attempt_context};

/// Returns a job of 40 frames, with a voice.
fn job(voice: Option<VoiceName>) -> JobSpec {
    JobSpec { voice, ..csm_testing::job().frames(40).format(AudioFormat::Pcm).spec() }
}

async fn speak(fixture: &LiveFixture, context: &AttemptContext, spec: &JobSpec) -> (Receipt, Vec<u8>) {
    fixture.enqueue_spec(spec).await;
    fixture.finish(context, fixture.claim().await).await
}

fn prompt_key(context: &AttemptContext, voice: VoiceName) -> ObjectKey {
    let weights = &context.engine.info().weights_sha256[..16];
    ObjectKey::new(format!("voices/{}-{weights}/{voice}.json", VoiceName::PROMPT_VERSION)).unwrap()
}

#[tokio::test]
async fn a_voice_is_the_same_on_every_worker_and_after_a_restart() {
    let fixture = LiveFixture::start().await;
    let (ash, nova) = (VoiceName::Ash, VoiceName::Nova);
    let (receipt, first) = speak(&fixture, &fixture.context, &job(Some(ash))).await;
    assert_eq!(receipt.voice, Some(ash));
    assert!(receipt.sentences[0].context_positions > 100, "the prompt is in the context");
    let store = &fixture.context.store;
    let stored = store.get(&prompt_key(&fixture.context, ash)).await.unwrap();

    // A worker with other arithmetic makes no prompt of its own: the codes are those of the first.
    let other = attempt_context(fixture.folder.path(), &fixture.client, WeightFormat::F32).await;
    speak(&fixture, &other, &job(Some(ash))).await;
    assert_eq!(store.get(&prompt_key(&other, ash)).await.unwrap(), stored);
    let restarted = attempt_context(fixture.folder.path(), &fixture.client, WeightFormat::Q8_0).await;
    let (_, again) = speak(&fixture, &restarted, &job(Some(ash))).await;
    assert!(again == first, "a restarted worker speaks with the stored prompt");

    let (_, other_voice) = speak(&fixture, &restarted, &job(Some(nova))).await;
    let (receipt, no_voice) = speak(&fixture, &restarted, &job(None)).await;
    assert!(other_voice != first && no_voice != first);
    assert_eq!((receipt.voice, receipt.sentences[0].context_positions), (None, 0));

    // What the store holds is the voice: with another prompt under its name, it is another person.
    let swapped = String::from_utf8(store.get(&prompt_key(&restarted, nova)).await.unwrap().to_vec()).unwrap();
    let swapped = swapped.replace("\"nova\"", "\"ash\"");
    store.put(&prompt_key(&restarted, ash), Bytes::from(swapped), "application/json").await.unwrap();
    let fresh = attempt_context(fixture.folder.path(), &fixture.client, WeightFormat::Q8_0).await;
    assert!(speak(&fixture, &fresh, &job(Some(ash))).await.1 != first);
}

#[tokio::test]
async fn a_damaged_prompt_fails_the_job_and_not_the_worker() {
    let fixture = LiveFixture::start().await;
    let key = prompt_key(&fixture.context, VoiceName::Echo);
    fixture.context.store.put(&key, Bytes::from_static(b"{}"), "application/json").await.unwrap();
    fixture.enqueue_spec(&job(Some(VoiceName::Echo))).await;
    let job = fixture.claim().await;
    let progress = csm_worker::speak::AttemptProgress::new(fixture.context.engine.clone());
    let failed = fixture.context.attempt(job.lease.at(), &job.spec, job.waited, &progress).await;
    assert!(failed.unwrap_err().to_string().starts_with("prompt of voice echo"));
}

#[tokio::test]
async fn stretched_speech_has_its_length_and_its_mark() {
    let fixture = LiveFixture::start().await;
    let original = speak(&fixture, &fixture.context, &job(None)).await.0;
    let detector = Watermark::new(&WatermarkKey::development()).detector();
    for speed in [0.5, 1.25, 2.0] {
        let spec = JobSpec { speed: Speed::new(speed).unwrap(), delivery: Delivery::Both, ..job(None) };
        let id = fixture.enqueue_spec(&spec).await;
        let (receipt, file) = fixture.finish(&fixture.context, fixture.claim().await).await;
        let expected = (original.samples as f64 / speed).round() as u64;
        assert_eq!((receipt.samples, receipt.speed), (expected, Some(speed)));
        assert_eq!(receipt.sentences[0].duration_ms, receipt.duration_ms);
        assert!(fixture.sent(id).await.0 == file, "live samples are stretched as well");
        let detection = detector.detect(&Clip::from_pcm(&file).unwrap().to_f32());
        assert_eq!(detection.verdict, Verdict::Detected, "{speed}: {detection:?}");
    }
}
