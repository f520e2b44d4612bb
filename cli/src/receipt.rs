//! A job's receipt: checked against the audio, and in words.

use std::fmt::Write as _;

use csm_shared::audio::Clip;
use csm_shared::digest::sha256_hex;
use csm_shared::job::{FinishReason, Receipt};

/// What is said of every result that random weights made.
pub(crate) const NOISE_ONLY: &str = "random weights: it hisses, it does not speak";

/// The audio is not what its receipt says.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audio does not match its receipt: {what} is {actual}, the receipt says {promised}")]
pub(crate) struct Mismatch {
    what: &'static str,
    actual: String,
    promised: String,
}

/// Holds a downloaded file against its receipt: bytes, digest, and the number of samples.
pub(crate) fn verify(wav: &[u8], receipt: &Receipt) -> Result<(), Mismatch> {
    let mismatch = |what, actual: String, promised: String| Err(Mismatch { what, actual, promised });
    if wav.len() as u64 != receipt.bytes {
        return mismatch("the length in bytes", wav.len().to_string(), receipt.bytes.to_string());
    }
    let sha256 = sha256_hex(wav);
    if sha256 != receipt.sha256 {
        return mismatch("the SHA-256", sha256, receipt.sha256.clone());
    }
    let samples = match Clip::from_wav(wav) {
        Ok(clip) => clip.samples().len() as u64,
        Err(_) if receipt.samples == 0 => 0,
        Err(error) => return mismatch("the file", error.to_string(), "a WAV file".to_owned()),
    };
    if samples != receipt.samples {
        return mismatch("the number of samples", samples.to_string(), receipt.samples.to_string());
    }
    Ok(())
}

/// The receipt of a job for a reader, several lines with a last newline.
pub(crate) fn in_words(job: &str, receipt: &Receipt) -> String {
    let finish = match receipt.finish_reason {
        FinishReason::Eos => "the model was done",
        FinishReason::Length => "the length limit was reached",
    };
    let duration = seconds(receipt.duration_ms);
    let first_audio = receipt.first_audio_ms.map_or_else(|| "-".to_owned(), seconds);
    let rtf = receipt.rtf.map_or_else(|| "-".to_owned(), |rtf| format!("{rtf:.2}"));
    let noise = if receipt.noise_only { format!(" ({NOISE_ONLY})") } else { String::new() };
    let lines = [
        ("job", job.to_owned()),
        ("audio", format!("{duration}, {} frames, {} bytes; {finish}", receipt.frames, receipt.bytes)),
        ("sha256", receipt.sha256.clone()),
        ("model", format!("{}{noise}", receipt.model)),
        ("weights", receipt.weights_sha256.clone()),
        ("seed", receipt.seed.to_string()),
        (
            "times",
            format!(
                "queued {}, first audio after {first_audio}, computed in {} (rtf {rtf})",
                seconds(receipt.queue_ms),
                seconds(receipt.compute_ms)
            ),
        ),
        ("worker", format!("{}, attempt {}", receipt.worker, receipt.attempt)),
        ("watermark", format!("{}, z = {:.1}", receipt.watermark, receipt.watermark_z)),
        ("stored as", receipt.location.clone()),
    ];
    lines.iter().fold(String::new(), |mut text, (name, value)| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {name:<9} {value}");
        text
    })
}

fn seconds(ms: u64) -> String {
    format!("{}.{:02} s", ms / 1000, ms % 1000 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt_of(wav: &[u8]) -> Receipt {
        Receipt {
            seed: 7,
            model: "tiny".into(),
            noise_only: true,
            weights_sha256: "ab".into(),
            worker: "host:1".into(),
            attempt: 2,
            frames: 2,
            samples: 3840,
            duration_ms: 160,
            finish_reason: FinishReason::Length,
            queue_ms: 1234,
            compute_ms: 320,
            first_audio_ms: None,
            rtf: Some(2.0),
            bytes: wav.len() as u64,
            sha256: sha256_hex(wav),
            watermark: "patchwork:00112233".into(),
            watermark_z: 12.34,
            location: "jobs/x.wav".into(),
        }
    }

    #[test]
    fn whole_audio_passes_and_any_change_is_named() {
        let wav = Clip::from_samples(vec![5; 3840]).to_wav();
        let receipt = receipt_of(&wav);
        assert_eq!(verify(&wav, &receipt), Ok(()));

        let told = |wav: &[u8], receipt: &Receipt| verify(wav, receipt).map_err(|error| error.what);
        assert_eq!(told(&wav[..wav.len() - 1], &receipt), Err("the length in bytes"));
        let mut changed = wav.clone();
        changed[100] ^= 1;
        assert_eq!(told(&changed, &receipt), Err("the SHA-256"));
        assert_eq!(told(&wav, &Receipt { samples: 3839, ..receipt }), Err("the number of samples"));
        assert_eq!(told(b"no audio", &receipt_of(b"no audio")), Err("the file"));
    }

    #[test]
    fn words_name_the_noise_and_what_is_missing() {
        let words = in_words("j-1", &receipt_of(b""));
        assert!(words.contains("tiny (random weights: it hisses, it does not speak)"), "{words}");
        assert!(words.contains("queued 1.23 s, first audio after -, computed in 0.32 s (rtf 2.00)"), "{words}");
        assert!(words.contains("0.16 s, 2 frames"), "{words}");
        assert!(words.contains("attempt 2"), "{words}");
    }
}
