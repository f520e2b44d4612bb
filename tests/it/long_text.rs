//! A long text with numbers, times and quotes: one WAV, spoken sentence by sentence, joined without
//! a gap.

use serde_json::{Value, json};

use crate::test_client::{assert_marked, read_wav};
use crate::test_system::TestSystem;

/// Most silence of a sentence that a join may hold, in samples: 400 ms.
const GAP: usize = 400 * 24;

const PARAGRAPH: &str = "Dr. Stone said: “We opened the doors at 10:30 am, and by noon there was not a single subscription left \
in the house.” Most of the guests (a few of whom had come from very far away) paid $5.50 for their ticket, and nobody \
asked for it back. The hall itself, which was built in 1999 by the people of the village, holds 40-50 people and a \
small stage. “Isn't that wonderful?” she asked, and for once there was nobody who had anything to say against \
it!\n\n";

#[tokio::test]
async fn three_thousand_characters_come_back_as_one_wav_without_a_gap() {
    let system = TestSystem::start(1, 2).await;
    let client = &system.client;
    let text = PARAGRAPH.repeat(7);
    assert!(text.chars().count() >= 3_000, "{}", text.chars().count());
    let answer = client.post("/v1/jobs", &json!({ "text": text, "seed": 11 })).await;
    assert_eq!(answer.status(), 202);
    let accepted: Value = answer.json().await.unwrap();
    let record = client.finished(accepted["id"].as_str().unwrap()).await;
    let wav = client.audio(&record).await;
    assert_marked(&wav);
    let (samples, _) = read_wav(&wav);

    let receipt = &record["receipt"];
    assert_eq!(receipt["duration_ms"], samples.len() / 24);
    let sentences = receipt["sentences"].as_array().unwrap();
    let listed: Vec<_> = sentences.iter().map(|sentence| sentence["text"].as_str().unwrap()).collect();
    assert_eq!(listed.join(" "), csm_shared::text::normalise(&text).replace("\n\n", " "));
    assert!(listed[0].starts_with("Doctor Stone said: We opened the doors at ten thirty AM, and"), "{listed:?}");
    let number = |sentence: &Value, field: &str| sentence[field].as_u64().unwrap();
    let frames: u64 = sentences.iter().map(|sentence| number(sentence, "frames")).sum();
    assert_eq!(number(receipt, "frames"), frames);
    println!("{} sentences, {frames} frames, {} ms", sentences.len(), number(receipt, "compute_ms"));
    for sentence in sentences {
        assert!(number(sentence, "frames") > 0, "all of it is spoken: {sentence}");
        assert!(number(sentence, "prompt_positions") + number(sentence, "max_frames") <= 2_048, "{sentence}");
    }
    for pair in sentences.windows(2) {
        let end = (number(&pair[0], "start_ms") + number(&pair[0], "duration_ms")) as usize * 24;
        let start = number(&pair[1], "start_ms") as usize * 24;
        assert!(end <= start && start - end <= GAP, "{} and {}", pair[0], pair[1]);
        // Full scale is 32768; the noise model's hiss is a thousandth of it or more.
        let loud = |sample: &i16| sample.unsigned_abs() > 20;
        let gap = samples[..end].iter().rev().take_while(|sample| !loud(sample)).count()
            + samples[end..].iter().take_while(|sample| !loud(sample)).count();
        assert!(gap <= GAP, "{} ms behind {}", gap / 24, pair[0]);
    }
}

#[tokio::test]
async fn the_same_seed_says_the_same_long_text_again_and_a_short_one_is_spoken_as_written() {
    let system = TestSystem::start(1, 2).await;
    let client = &system.client;
    let text = "This is the first of three sentences that are long enough to be spoken one by one, each for itself. \
                This is the second of them, and it is no shorter than the one before it, but rather a little longer. \
                And this one is the third and last, after which there is nothing more to be said about all of this.";
    let mut hashes = Vec::new();
    for _ in 0..2 {
        let body = json!({ "text": text, "seed": 5, "max_audio_length_ms": 16_000 });
        let accepted: Value = client.post("/v1/jobs", &body).await.json().await.unwrap();
        let record = client.finished(accepted["id"].as_str().unwrap()).await;
        client.audio(&record).await;
        let receipt = &record["receipt"];
        assert_eq!(receipt["finish_reason"], "length", "the budget is used up by two of them");
        let frames: Vec<_> = receipt["sentences"].as_array().unwrap().iter().map(|one| one["frames"].clone()).collect();
        assert_eq!((frames.len(), frames[2].as_u64()), (3, Some(0)), "{receipt}");
        hashes.push(receipt["sha256"].as_str().unwrap().to_owned());
    }
    assert_eq!(hashes[0], hashes[1]);

    let body = json!({ "text": "At 10:30 (sharp).", "normalize": false, "max_audio_length_ms": 800 });
    let accepted: Value = client.post("/v1/jobs", &body).await.json().await.unwrap();
    let record = client.finished(accepted["id"].as_str().unwrap()).await;
    assert_eq!(record["receipt"]["sentences"][0]["text"], "At 10:30 (sharp).");
    assert_eq!((&record["receipt"]["frames"], &record["receipt"]["samples"]), (&json!(10), &json!(19_200)));
}
