//! A job's receipt: checked against the audio, and as text.

use std::fmt::Write as _;

use csm_shared::audio::{self, Clip};
use csm_shared::job::{AudioFormat, FinishReason, Receipt};
use csm_shared::process::digest::sha256_hex;
use csm_shared::watermark::Finding;

use crate::model_remark::NOISE_ONLY;

/// Contradiction between a receipt and its audio.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audio does not match its receipt: {what} is {actual}, the receipt says {promised}")]
pub(crate) struct Mismatch {
    what: &'static str,
    actual: String,
    promised: String,
}

/// Samples that a decoded MP3 has beyond the speech at most: the delays of encoder and decoder, and
/// the padding of the last frames. MP3 has no place for a length.
const MP3_EXTRA_MAX: u64 = 576 + 529 + 3 * 576;

/// Checks a downloaded file against its receipt: bytes, digest, and the number of decoded samples.
pub(crate) fn verify(file: &[u8], receipt: &Receipt) -> Result<(), Mismatch> {
    let mismatch = |what, actual: String, promised: String| Err(Mismatch { what, actual, promised });
    if file.len() as u64 != receipt.bytes {
        return mismatch("the length in bytes", file.len().to_string(), receipt.bytes.to_string());
    }
    let sha256 = sha256_hex(file);
    if sha256 != receipt.sha256 {
        return mismatch("the SHA-256", sha256, receipt.sha256.clone());
    }
    let clip = match receipt.format {
        AudioFormat::Wav => Clip::from_wav(file),
        AudioFormat::Pcm => Clip::from_pcm(file),
        AudioFormat::Flac | AudioFormat::Opus | AudioFormat::Mp3 => audio::read(file).map(|read| read.clip),
    };
    let samples = match clip {
        Ok(clip) => clip.samples().len() as u64,
        Err(_) if receipt.samples == 0 => 0,
        Err(error) => return mismatch("the file", error.to_string(), format!("audio as {}", receipt.format)),
    };
    let extra = if receipt.format == AudioFormat::Mp3 { MP3_EXTRA_MAX } else { 0 };
    if !(receipt.samples..=receipt.samples + extra).contains(&samples) {
        return mismatch("the number of samples", samples.to_string(), receipt.samples.to_string());
    }
    Ok(())
}

/// Formats the marks found in a result, and their certainty.
fn marks(findings: &[Finding]) -> String {
    let mark = |finding: &Finding| {
        let Finding { scheme, verdict, p_value, key_id, .. } = finding;
        format!("{}:{key_id} {} (p = {p_value:.0e})", scheme.name(), verdict.name())
    };
    findings.iter().map(mark).collect::<Vec<_>>().join(", ")
}

/// Formats a job's receipt as several lines with a last newline. `remark` is what the caller knows
/// of the model beside the receipt.
pub(crate) fn in_words(job: &str, receipt: &Receipt, remark: Option<&str>) -> String {
    let finish = match receipt.finish_reason {
        FinishReason::Eos => "the model was done",
        FinishReason::Length => "the length limit was reached",
        FinishReason::Runaway => "the model did not stop by itself",
    };
    let duration = seconds(receipt.duration_ms);
    let first_audio = receipt.first_audio_ms.map_or_else(|| "-".to_owned(), seconds);
    let rtf = receipt.rtf.map_or_else(|| "-".to_owned(), |rtf| format!("{rtf:.2}"));
    let remark = if receipt.noise_only { Some(NOISE_ONLY) } else { remark };
    let remark = remark.map_or_else(String::new, |remark| format!(" ({remark})"));
    let spoken = receipt.sentences.iter().filter(|sentence| sentence.frames > 0).count();
    let sentences = match receipt.sentences.len() {
        0 | 1 => None,
        all if all == spoken => Some(("sentences", all.to_string())),
        all => Some(("sentences", format!("{spoken} of {all} were spoken"))),
    };
    let lines = [
        ("job", job.to_owned()),
        ("audio", format!("{duration}, {} frames, {} bytes; {finish}", receipt.frames, receipt.bytes)),
        ("sha256", receipt.sha256.clone()),
        ("model", format!("{}{remark}", receipt.model)),
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
        ("watermark", marks(&receipt.watermarks)),
        ("stored as", receipt.location.clone()),
    ];
    lines.iter().chain(&sentences).fold(String::new(), |mut text, (name, value)| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<9} {value}");
        text
    })
}

fn seconds(ms: u64) -> String {
    format!("{}.{:02} s", ms / 1000, ms % 1000 / 10)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use csm_shared::job::SentenceReceipt;
    use csm_worker::encode::encode;
    use csm_worker::marks::{Marked, Watermark, WatermarkKey};

    use super::*;

    fn receipt_of(wav: &[u8]) -> Receipt {
        Receipt {
            model: "noise".into(),
            weights_sha256: "ab".into(),
            attempt: 2,
            finish_reason: FinishReason::Length,
            queue_ms: 1234,
            compute_ms: 320,
            first_audio_ms: None,
            rtf: Some(2.0),
            bytes: wav.len() as u64,
            sha256: sha256_hex(wav),
            location: "jobs/x.wav".into(),
            ..csm_testing::receipt_of_frames(2)
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
    fn samples_are_counted_in_every_format() {
        let spoken = {
            let mut stream = Watermark::new(&WatermarkKey::development()).stream();
            let mut spoken = stream.push(&[0.1; 3840]);
            spoken.append(stream.finish());
            Marked::from(spoken)
        };
        for format in AudioFormat::ALL.iter().copied() {
            for (audio, samples) in [(&spoken, 3840), (&Marked::default(), 0)] {
                let file = encode(audio, format).unwrap();
                let receipt = Receipt { format, samples, ..receipt_of(&file) };
                assert_eq!(verify(&file, &receipt), Ok(()), "{format}");
                let more = samples + if format == AudioFormat::Mp3 { MP3_EXTRA_MAX + 576 } else { 1 };
                let told = verify(&file, &Receipt { samples: more, ..receipt }).map_err(|error| error.what);
                let has_audio = samples > 0 || format == AudioFormat::Mp3;
                let what = if has_audio { "the number of samples" } else { "the file" };
                assert_eq!(told, Err(what), "{format}");
            }
        }
    }

    #[test]
    fn words_name_the_noise_and_what_is_missing() {
        let words = in_words("j-1", &receipt_of(b""), Some("a remark"));
        assert!(words.contains("noise (random weights: it hisses, it does not speak)"), "{words}");
        let trained = Receipt { noise_only: false, ..receipt_of(b"") };
        assert!(in_words("j-1", &trained, Some("a remark")).contains("noise (a remark)\n"));
        assert!(words.contains("queued 1.23 s, first audio after -, computed in 0.32 s (rtf 2.00)"), "{words}");
        assert!(words.contains("0.16 s, 2 frames"), "{words}");
        assert!(words.contains("attempt 2"), "{words}");
        assert!(!words.contains("sentences"), "{words}");
    }

    #[test]
    fn words_count_the_sentences_of_a_long_text() {
        let sentence = |frames| SentenceReceipt {
            text: "So it is.".into(),
            written: "So it is.".into(),
            start_char: 0,
            end_char: 0,
            frames,
            start_ms: 0,
            duration_ms: 80,
            prompt_positions: 9,
            context_positions: 0,
            max_frames: 10,
            finish_reason: FinishReason::Eos,
            retakes: Vec::new(),
            fault: None,
            seed: None,
        };
        let told = |frames: &[u32]| {
            let sentences = frames.iter().copied().map(sentence).collect();
            in_words("j-1", &Receipt { sentences, ..receipt_of(b"") }, None)
        };
        assert!(!told(&[5]).contains("sentences"));
        assert!(told(&[5, 6, 7]).contains("sentences 3\n"));
        assert!(told(&[5, 6, 0]).contains("sentences 2 of 3 were spoken\n"));
    }
}
