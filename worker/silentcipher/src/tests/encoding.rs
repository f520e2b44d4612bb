//! Tests of `encode_wav`, stage by stage and as a whole.

use super::{MODES, assert_snr, bytes, cases, clip, distance, golden, indices, narrow, number, voice};
use crate::resample::resample;
use crate::stft::{self, ROWS, Spectrum};
use crate::{BnMode, MAX_BATCH_SECONDS, Payload, RATE, SilentCipherError, scaled};

const CSM: Payload = Payload([212, 211, 146, 56, 201]);

/// Returns the values of frames at the golden columns, row by row.
fn columns(rows: usize, value: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    let columns = indices("sample.columns");
    (0..rows * columns.len()).map(|at| value(columns[at % columns.len()], at / columns.len())).collect()
}

#[test]
fn every_stage_is_the_packages() {
    let samples = resample(&clip(0, number(&cases()["encode"]["main"]["length"])), 24_000, RATE);
    for (mode, name) in MODES {
        let cipher = narrow(mode);
        let gain = cipher.gain(&samples).unwrap().unwrap();
        let mut spectra = stft::transform(&scaled(&samples, gain));
        let magnitudes: Vec<Vec<f32>> = spectra.iter().map(|spectrum| spectrum.magnitudes(ROWS, 1.0)).collect();

        let features = cipher.model.carrier.encoder.whole(magnitudes, mode).unwrap();
        let rows = indices("sample.rows");
        let (shape, theirs) = golden(&format!("encode.main.{name}.enc_c"));
        let ours: Vec<f32> = (0..shape[0])
            .flat_map(|channel| columns(rows.len(), |frame, row| features[frame][channel * ROWS + rows[row]]))
            .collect();
        assert_snr(&format!("enc_c, {name}"), &ours, &theirs, 60.0);

        let symbols = CSM.symbols();
        let message = |frame: usize, row: usize| {
            let symbol = usize::from(symbols[frame % symbols.len()]);
            cipher.model.carrier.messages[symbol].get(row).copied().unwrap_or(0.0)
        };
        assert!(distance(&columns(ROWS, message), &golden("encode.main.message").1) < 1e-6);

        let infos = cipher.model.inform(&spectra, &symbols, mode).unwrap();
        let info = |frame: usize, row: usize| infos[frame].get(row).copied().unwrap_or(0.0);
        let (_, theirs) = golden(&format!("encode.main.{name}.info"));
        assert_snr(&format!("info, {name}"), &columns(ROWS, info), &theirs, 70.0);

        let energy: f64 = spectra.iter().map(Spectrum::energy).sum();
        let rms = (energy / (spectra.len() * ROWS) as f64).sqrt() as f32;
        spectra.iter_mut().zip(&infos).for_each(|(spectrum, info)| spectrum.subtract(info, 1.0, rms));
        let (_, theirs) = golden(&format!("encode.main.{name}.merged"));
        assert_snr(&format!("merged, {name}"), &columns(ROWS, |f, r| spectra[f].0[r].norm()), &theirs, 90.0);

        let out: Vec<f32> = stft::inverse(&spectra, samples.len()).into_iter().step_by(7).collect();
        assert_snr(&format!("istft, {name}"), &out, &golden(&format!("encode.main.{name}.istft")).1, 90.0);
    }
}

#[test]
fn marked_clips_are_the_packages() {
    for (name, case) in cases()["encode"].as_object().unwrap() {
        let [length, rate, stride] = ["length", "rate", "stride"].map(|key| number(&case[key]));
        for (mode, mode_name) in MODES {
            let cipher = narrow(mode).with_message_sdr(case["sdr"].as_f64().unwrap() as f32);
            let Some(starts) = case["start"].as_array() else {
                assert_eq!(cipher.embed_at(&vec![0.0; length], rate, CSM).unwrap(), vec![0.0; length]);
                continue;
            };
            let mut ours = Vec::new();
            for (start, payload) in starts.iter().zip(case["payload"].as_array().unwrap()) {
                let clip = clip(number(start), length);
                let marked = cipher.embed_at(&clip, rate, Payload(bytes(payload))).unwrap();
                assert_eq!(marked.len(), length);
                ours.extend(marked.into_iter().step_by(stride));
            }
            let (_, theirs) = golden(&format!("encode.{name}.{mode_name}.out"));
            assert_snr(&format!("{name}, {mode_name}"), &ours, &theirs, 90.0);
            assert!(distance(&ours, &theirs) < 1e-5);
        }
    }
}

#[test]
fn the_mark_is_there_and_as_strong_as_asked() {
    let voice = voice(48_000);
    for (mode, name) in MODES {
        let [strong, weak] = [36.0, 47.0].map(|decibels| {
            let marked = narrow(mode).with_message_sdr(decibels).embed_at(&voice, RATE, CSM).unwrap();
            super::snr(&marked, &voice)
        });
        // The subtraction stops at zero, so the mark is somewhat weaker than asked.
        println!("{name}: {strong:.1} dB at 36, {weak:.1} dB at 47");
        assert!((36.0..44.0).contains(&strong) && (47.0..55.0).contains(&weak), "{name}: {strong:.1}, {weak:.1}");
    }
}

#[test]
fn what_cannot_be_marked_is_refused() {
    let cipher = narrow(BnMode::Batch);
    assert!(cipher.embed(&[], CSM).unwrap().is_empty());
    for bad in [f32::NAN, f32::INFINITY] {
        let mut clip = voice(5_000);
        clip[77] = bad;
        for mode in [BnMode::Batch, BnMode::Running] {
            assert!(matches!(narrow(mode).embed(&clip, CSM), Err(SilentCipherError::NotFinite)));
        }
    }
    let long = vec![0.1; 24_000 * (MAX_BATCH_SECONDS + 1)];
    let refused = cipher.embed(&long, CSM).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the clip has 61 s, more than the 60 s that SilentCipher takes with the clip's own statistics"
    );
}
