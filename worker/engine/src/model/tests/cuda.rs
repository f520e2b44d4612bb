//! The same model on a CUDA device. `make test-cuda` runs these tests.

use super::*;

const FORMATS: [WeightFormat; 3] = [WeightFormat::F32, WeightFormat::Bf16, WeightFormat::Q8_0];

fn on_cuda(format: WeightFormat, slots: usize) -> Model {
    let options = LoadOptions { weights: WeightChoice::Format(format), slots, threads: Some(2) };
    Model::load(&folder(), &Device::new_cuda(0).unwrap(), &options, &mut |_| {}).unwrap()
}

#[test]
#[ignore = "needs a CUDA device"]
fn f32_says_what_the_cpu_says() {
    let (mut cpu, mut cuda) = (model(), on_cuda(WeightFormat::F32, 4));
    for temperature in [0.0, 0.9] {
        let (cpu, cuda) = (generate_in_batch(&mut cpu, temperature), generate_in_batch(&mut cuda, temperature));
        assert_eq!(cpu, cuda, "at {temperature}");
    }
}

/// Compares the logits of six frames, each as far as both models drew the same codes.
#[test]
#[ignore = "needs a CUDA device"]
fn logits_are_near_those_of_f32_in_every_format() {
    for (format, tolerance) in [(WeightFormat::F32, 1e-4), (WeightFormat::Bf16, 0.06), (WeightFormat::Q8_0, 0.06)] {
        let (mut exact, mut model) = (model(), on_cuda(format, 20));
        exact.prefill(2, &prompt()).unwrap();
        model.prefill(2, &prompt()).unwrap();
        let mut compared = 0;
        for index in 0..6 {
            let expected = exact.step_traced(&row(2, sampling(0.0, 0), index)).unwrap();
            let made = model.step_traced(&row(2, sampling(0.0, 0), index)).unwrap();
            let rows = |frame: &TracedFrame| frame.logits.to_vec2::<f32>().unwrap();
            let agree = (0..CODEBOOKS).take_while(|&codebook| expected.codes[..codebook] == made.codes[..codebook]);
            for codebook in agree {
                let (expected, made) = (&rows(&expected)[codebook], &rows(&made)[codebook]);
                let largest = expected.iter().fold(0.0_f32, |largest, logit| largest.max(logit.abs()));
                let off = largest_difference(expected, made) / largest;
                assert!(off < tolerance, "{format}, frame {index}, codebook {codebook}: {off} of the largest");
                compared += 1;
            }
            model.force(2, expected.codes).unwrap();
        }
        assert!(compared > 30, "{format}: {compared} rows of logits compared");
    }
}

#[test]
#[ignore = "needs a CUDA device"]
fn a_row_is_the_same_alone_and_in_company_in_every_format_and_size() {
    for format in FORMATS {
        let expected = batch_changes_nothing(&mut on_cuda(format, 4));
        // More slots than one tile holds, and a slot of the last tile.
        assert_eq!(generate_alone(&mut on_cuda(format, 32), 29, 158), expected, "{format}: 32 slots");
    }
}

#[test]
#[ignore = "needs a CUDA device"]
fn frames_given_are_frames_made_and_a_reset_slot_is_new_in_every_format() {
    for format in FORMATS {
        let mut model = on_cuda(format, 3);
        let sampling = sampling(0.9, 3);
        model.prefill(0, &prompt()).unwrap();
        let made = generate(&mut model, 0, sampling, 40);
        let at_the_end = model.step_traced(&row(0, sampling, 40)).unwrap();
        // A slot that has been used.
        model.prefill(1, &vec![Position::Text(1); 60]).unwrap();
        generate(&mut model, 1, sampling, 3);
        model.reset(1);
        model.prefill(1, &prompt()).unwrap();
        for piece in made.chunks(17) {
            model.replay(1, piece).unwrap();
        }
        let again = model.step_traced(&row(1, sampling, 40)).unwrap();
        assert_eq!(again.codes, at_the_end.codes, "{format}");
        assert!(bits(&again) == bits(&at_the_end), "{format}: other logits");
        // A prefix that was saved.
        let mut model = on_cuda(format, 2);
        model.prefill(0, &prompt()[..100]).unwrap();
        let prefix = model.save_prefix(0).unwrap();
        model.restore_prefix(1, &prefix).unwrap();
        let said = [0, 1].map(|slot| {
            model.prefill(slot, &prompt()[100..]).unwrap();
            generate(&mut model, slot, sampling, 3)
        });
        assert_eq!(said[0], said[1], "{format}");
    }
}

#[test]
#[ignore = "needs a CUDA device"]
fn broken_weights_are_noticed_on_cuda() {
    broken_weights_are_noticed(&Device::new_cuda(0).unwrap(), &FORMATS);
}
