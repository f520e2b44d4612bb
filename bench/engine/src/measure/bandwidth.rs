//! Bandwidth of this machine's memory: the floor under every frame, because each step reads all
//! weights once.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use super::{BenchError, Subject};

/// Passes over the buffer. The fastest counts, because a floor must not be undercut.
const PASSES: usize = 8;
/// Independent sums of a thread, so an addition never waits for the one before.
const LANES: usize = 32;

/// Bytes per second, by the fastest of a few passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bandwidth {
    /// Bytes read per second.
    pub read: f64,
    /// Bytes copied per second, read and written both counted.
    pub copy: f64,
    /// Length of the buffer, in bytes.
    pub buffer: usize,
    /// Threads that shared the buffer.
    pub threads: usize,
}

/// Measures main memory, streamed by `threads` threads at once through a buffer of `buffer` bytes.
/// The buffer should be many times the last cache. A copy goes from its first half to its second.
#[must_use]
pub fn host_bandwidth(threads: usize, buffer: usize) -> Bandwidth {
    let threads = threads.max(1);
    let part = (buffer / size_of::<u64>() / 2 / threads).max(LANES) / LANES * LANES;
    let mut parts: Vec<(Vec<u64>, Vec<u64>)> = Vec::new();
    // Each thread touches its part first, so the part lies in that thread's memory.
    thread::scope(|scope| {
        let made: Vec<_> = (0..threads).map(|_| scope.spawn(|| (vec![1; part], vec![2; part]))).collect();
        parts.extend(made.into_iter().filter_map(|thread| thread.join().ok()));
    });
    let bytes = parts.len() * part * 2 * size_of::<u64>();
    let read = fastest(&mut parts, |(a, b)| {
        black_box(sum(a).wrapping_add(sum(b)));
    });
    let copy = fastest(&mut parts, |(a, b)| {
        b.copy_from_slice(a);
        black_box(&b);
    });
    Bandwidth {
        read: bytes as f64 / read.as_secs_f64(),
        copy: bytes as f64 / copy.as_secs_f64(),
        buffer: bytes,
        threads,
    }
}

/// Returns the fastest of several passes; in each pass all parts run at once.
fn fastest<T: Send>(parts: &mut [T], pass: impl Fn(&mut T) + Sync) -> Duration {
    let passes = (0..PASSES).map(|_| {
        let begun = Instant::now();
        thread::scope(|scope| {
            for part in &mut *parts {
                scope.spawn(|| pass(part));
            }
        });
        begun.elapsed()
    });
    passes.min().unwrap_or_default()
}

fn sum(numbers: &[u64]) -> u64 {
    let mut sums = [0_u64; LANES];
    for chunk in numbers.chunks_exact(LANES) {
        for (sum, number) in sums.iter_mut().zip(chunk) {
            *sum = sum.wrapping_add(*number);
        }
    }
    sums.iter().fold(0, |all, sum| all.wrapping_add(*sum))
}

/// Measures the device's own memory, by copies of the first half of a buffer of `buffer` bytes to
/// its second. Reading is not measured apart: both numbers are the copy's.
///
/// # Errors
/// The device is absent, has too little memory, or is the CPU, whose memory [`host_bandwidth`]
/// measures.
pub fn device_bandwidth(subject: &Subject, buffer: usize) -> Result<Bandwidth, BenchError> {
    match (subject.open_device()?, buffer) {
        #[cfg(feature = "cuda")]
        (candle_core::Device::Cuda(device), buffer) => {
            let rate = cuda_copies(&device, buffer / 2)?;
            Ok(Bandwidth { read: rate, copy: rate, buffer, threads: 0 })
        }
        _ => Err(BenchError::Unsuitable(format!("{} is no device with memory of its own", subject.device))),
    }
}

/// Returns bytes read and written per second by copies of `bytes` each.
#[cfg(feature = "cuda")]
fn cuda_copies(device: &candle_core::CudaDevice, bytes: usize) -> Result<f64, BenchError> {
    use candle_core::backend::BackendDevice as _;

    let (from, mut to) = (device.alloc_zeros::<u8>(bytes)?, device.alloc_zeros::<u8>(bytes)?);
    let mut took = Duration::MAX;
    for _ in 0..PASSES {
        device.synchronize()?;
        let begun = Instant::now();
        // Several copies at once, so the cost of the host's call does not count.
        for _ in 0..PASSES {
            device.memcpy_dtod(&from, &mut to)?;
        }
        device.synchronize()?;
        took = took.min(begun.elapsed());
    }
    Ok((2 * bytes * PASSES) as f64 / took.as_secs_f64())
}
