//! Null distribution: scores of unmarked audio, and of audio marked under other keys. The threshold
//! rests on it.

use std::path::PathBuf;

use crate::audio::Clip;

use super::mark;
use super::signals::{bursts, hiss, looped, organ, samples_of, voice};
use crate::watermark::WatermarkKey;
use crate::watermark::detect::{DETECTED_ABOVE, HYPOTHESES, INCONCLUSIVE_ABOVE, Scan};
use crate::watermark::watermark_key::Chips;

fn other_keys(count: usize) -> Vec<Chips> {
    (0..count).map(|n| WatermarkKey::parse(&format!("a wrong key, number {n}")).unwrap().chips()).collect()
}

/// Scores that a detector with one key gives.
#[derive(Default)]
struct NullScores(Vec<f32>);

impl NullScores {
    fn add(&mut self, clip: &[f32], keys: &[Chips]) {
        let scan = Scan::new(clip, keys);
        self.0.extend((0..keys.len()).map(|key| scan.strongest(key, 1)));
    }

    fn max(&self) -> f32 {
        self.0.iter().copied().fold(0.0, f32::max)
    }

    fn above(&self, z: f32) -> usize {
        self.0.iter().filter(|&&score| score > z).count()
    }

    fn report(&self, name: &str) {
        let mean = self.0.iter().sum::<f32>() / self.0.len() as f32;
        let [grey, found] = [INCONCLUSIVE_ABOVE, DETECTED_ABOVE].map(|z| self.above(z));
        println!(
            "{name}: {} scores, mean {mean:.2}, max {:.2}, grey {}, found {found}",
            self.0.len(),
            self.max(),
            grey - found
        );
        let tail = [3.5f32, 4.0, 4.5, 5.0, 5.5].map(|z| {
            let bound = HYPOTHESES as f64 * (-0.5 * f64::from(z).powi(2)).exp();
            format!("{z}: {:.1e} of {bound:.1e}", self.above(z) as f64 / self.0.len() as f64)
        });
        println!("    share above, of the bound: {}", tail.join(", "));
    }
}

#[test]
fn unmarked_audio_and_wrong_keys_stay_below_the_threshold() {
    let keys = other_keys(100);
    let mut all = NullScores::default();
    for seconds in [1.0, 2.5, 5.0, 12.0] {
        let sounds = (0..6).flat_map(|seed| {
            [
                ("voice", voice(200 + seed, seconds)),
                ("marked voice", mark(&voice(200 + seed, seconds)).to_f32()),
                ("hiss", hiss(200 + seed, seconds, 0.1)),
                ("faint hiss", hiss(300 + seed, seconds, 0.001)),
                ("bursts", bursts(200 + seed, seconds, 0.01)),
                ("loop", looped(200 + seed, seconds, 0.1)),
                ("organ", organ(seconds, 110.0 + seed as f32, 30)),
                ("tone", organ(seconds, 440.0 + seed as f32, 1)),
            ]
        });
        for (name, clip) in sounds {
            let mut scores = NullScores::default();
            scores.add(&clip, &keys);
            assert!(scores.max() < DETECTED_ABOVE, "{name}, {seconds} s: {}", scores.max());
            all.0.append(&mut scores.0);
        }
    }
    all.report("the null");
    // By the bound, the chance that any of 19,200 such scores passes 5.6 is less than one half.
    assert!(all.max() < DETECTED_ABOVE - 0.4);
}

/// Measures recordings of a folder, `CSM_SPEECH_DIR`: the scores under 200 other keys, and how
/// often the mark is found.
#[test]
#[ignore = "needs a folder of WAV recordings in CSM_SPEECH_DIR"]
fn measure_a_folder_of_recordings() {
    let folder = PathBuf::from(std::env::var_os("CSM_SPEECH_DIR").unwrap());
    let clips: Vec<Vec<f32>> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| Clip::from_wav(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap().to_f32())
        .collect();
    let (keys, own) = (other_keys(200), [WatermarkKey::development().chips()]);
    for seconds in [1.0, 2.0, 2.5, 5.0, 10.0] {
        let (mut null, mut cross, mut found) = (NullScores::default(), NullScores::default(), NullScores::default());
        for clip in &clips {
            let marked = mark(clip).to_f32();
            let pieces = clip.chunks_exact(samples_of(seconds)).zip(marked.chunks_exact(samples_of(seconds)));
            for (piece, marked_piece) in pieces {
                null.add(piece, &keys);
                cross.add(marked_piece, &keys);
                found.add(marked_piece, &own);
            }
        }
        null.report(&format!("{seconds} s unmarked"));
        cross.report(&format!("{seconds} s under other keys"));
        found.0.sort_by(f32::total_cmp);
        let detected = found.0.iter().filter(|&&z| z > DETECTED_ABOVE).count();
        println!("{seconds} s marked: {detected} of {} found, z at least {:.1}", found.0.len(), found.0[0]);
    }
}
