//! Times of a step's parts on a device that works while the host goes on.

use std::sync::Mutex;
use std::time::Duration;

use super::*;

/// Time that the device takes for one part, unnoticed by the host.
const PART: Duration = Duration::from_millis(20);

/// The forward pass of the CPU, acting as a device. The time of its work passes when it is waited
/// for.
struct Late {
    net: Box<dyn Net>,
    owed: Mutex<Duration>,
}

impl Late {
    fn owe(&self) {
        *self.owed.lock().unwrap() += PART;
    }
}

impl Net for Late {
    fn prefill_block(&self) -> usize {
        self.net.prefill_block()
    }

    fn prefill(&mut self, slot: usize, start: usize, positions: &[Position]) -> Result<(), ModelError> {
        self.net.prefill(slot, start, positions)
    }

    fn read_frames(&mut self, rows: &[FrameInput]) -> Result<(), ModelError> {
        self.owe();
        self.net.read_frames(rows)
    }

    fn replay(&mut self, slot: usize, start: usize, frames: &[Frame]) -> Result<(), ModelError> {
        self.net.replay(slot, start, frames)
    }

    /// Waits for all work before, as the transfer of the codes does.
    fn step(&mut self, rows: &[Row], sampler: &mut FrameSampler) -> Result<Vec<Frame>, ModelError> {
        self.owe();
        let frames = self.net.step(rows, sampler)?;
        self.finish()?;
        Ok(frames)
    }

    fn save_prefix(&self, slot: usize, positions: usize) -> Result<backend_prefix::BackendPrefix, ModelError> {
        self.net.save_prefix(slot, positions)
    }

    fn prefix_bytes(&self, positions: usize) -> usize {
        self.net.prefix_bytes(positions)
    }

    fn restore_prefix(&mut self, slot: usize, prefix: &backend_prefix::BackendPrefix) -> Result<(), ModelError> {
        self.net.restore_prefix(slot, prefix)
    }

    fn runs_ahead(&self) -> bool {
        true
    }

    fn finish(&self) -> Result<(), ModelError> {
        std::thread::sleep(std::mem::take(&mut *self.owed.lock().unwrap()));
        Ok(())
    }

    fn bytes_per_step(&self) -> u64 {
        self.net.bytes_per_step()
    }

    fn memory(&self) -> Vec<(&'static str, u64)> {
        self.net.memory()
    }
}

#[test]
fn the_parts_of_a_step_are_those_of_the_device_or_unknown() {
    let Model { config, format, net, slots, .. } = model();
    let late = Late { net, owed: Mutex::default() };
    let mut model = Model::over(config, format, Box::new(late), slots.len());
    model.prefill(0, &prompt()).unwrap();
    generate(&mut model, 0, sampling(0.9, 1), 2);
    assert_eq!(model.step_times(), None, "the host's clock is no measure");
    model.time_parts();
    model.step(&[row(0, sampling(0.9, 1), 2)]).unwrap();
    let times = model.step_times().unwrap();
    assert!(times.backbone >= PART && times.depth + times.sampling >= PART, "{times:?}");
}

#[test]
fn on_the_cpu_the_parts_are_known() {
    let mut model = model();
    assert_eq!(model.step_times(), None);
    model.prefill(0, &prompt()).unwrap();
    generate(&mut model, 0, sampling(0.9, 1), 1);
    assert!(model.step_times().is_some_and(|times| !times.depth.is_zero()));
}
