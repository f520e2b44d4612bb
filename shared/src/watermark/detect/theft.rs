//! Attack that shows why "detected" is no proof of origin. The pattern repeats, so its average over
//! one marked file is most of the pattern, and can be put on other audio.

use std::sync::Arc;

use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

use super::levels::Analyser;
use super::{DETECTED_ABOVE, Detector};
use crate::watermark::embed::{EmbedPlan, MarkStream};
use crate::watermark::watermark_key::{BINS, Chips, PERIOD, ROWS, chip_at};
use crate::watermark::{BuiltinMarked, Watermark, WatermarkKey};

/// Returns ten seconds of noise.
fn clip(seed: u64) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..240_000).map(|_| 0.1 * (random.next_u32() as f32 / u32::MAX as f32 - 0.5)).collect()
}

fn marked(mut stream: MarkStream, clip: &[f32]) -> BuiltinMarked {
    let mut marked = stream.push(clip);
    marked.append(stream.finish());
    marked
}

/// Reads the signs off a file that begins with its utterance, knowing the scheme but not the key.
fn read_off(file: &[f32]) -> Chips {
    let Some(period) = Analyser::new().residuals(file).fold(PERIOD * file.len()).next() else { panic!("no sound") };
    let mut sums = [[0.0_f32; BINS]; ROWS];
    for frame in 0..PERIOD {
        let (row, sign) = chip_at(frame);
        // The marker's first frame begins a hop before the file.
        for (sum, level) in sums[row].iter_mut().zip(&period[(frame + PERIOD - 1) % PERIOD]) {
            *sum += sign * level;
        }
    }
    Chips::of(sums.map(|row| row.map(f32::signum)))
}

#[test]
fn the_pattern_can_be_read_off_one_file_and_put_on_another() {
    let key = WatermarkKey::development();
    let stolen = read_off(&marked(Watermark::new(&key).stream(), &clip(1)).to_f32());
    let chips = key.chips();
    let pairs = (0..ROWS).flat_map(|row| chips.row(row).iter().zip(stolen.row(row)));
    let right = pairs.filter(|(ours, theirs)| ours == theirs).count();

    let forged = marked(MarkStream::new(Arc::new(EmbedPlan::new(&stolen))), &clip(2));
    let z = Detector::new(&key).detect(&forged.to_f32()).z;
    // Half of the signs are right by chance. If this assertion ever fails, the documentation
    // overstates the weakness of the mark.
    assert!(right > 550 && z > DETECTED_ABOVE, "{right} of {} signs, z = {z:.1}", ROWS * BINS);
}
