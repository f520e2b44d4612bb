//! FLAC files, after RFC 9639: enough to be read. Without compression, or as small as they can be.

/// Samples of a frame.
const BLOCK: usize = 4_096;
/// Samples of a frame whose samples are all the same: the most that a frame may have.
const CONSTANT_BLOCK: usize = 65_535;

/// Makes a file of 24 kHz, mono, 16 bit, with at most 128 frames.
pub(crate) fn flac(samples: &[i16]) -> Vec<u8> {
    let mut file = head(BLOCK, samples.len());
    for (number, block) in samples.chunks(BLOCK).enumerate() {
        let body: Vec<u8> = block.iter().flat_map(|sample| sample.to_be_bytes()).collect();
        frame(&mut file, number, block.len(), 0x02, &body);
    }
    file
}

/// Makes a file of `samples` equal samples, in 13 bytes for each 65,535 of them.
pub(crate) fn constant_flac(samples: usize, value: i16) -> Vec<u8> {
    let mut file = head(CONSTANT_BLOCK, samples);
    for number in 0..samples.div_ceil(CONSTANT_BLOCK) {
        let length = (samples - number * CONSTANT_BLOCK).min(CONSTANT_BLOCK);
        frame(&mut file, number, length, 0x00, &value.to_be_bytes());
    }
    file
}

/// Makes the head of a file of 24 kHz, mono, 16 bit.
fn head(block: usize, samples: usize) -> Vec<u8> {
    let mut file = b"fLaC\x80\0\0\x22".to_vec();
    file.extend_from_slice(&(block as u16).to_be_bytes());
    file.extend_from_slice(&(block as u16).to_be_bytes());
    file.extend_from_slice(&[0; 6]);
    // 20 bits of rate, 3 of channels - 1, 5 of bits - 1, 36 of samples.
    let told = 24_000_u64 << 44 | 15 << 36 | samples as u64;
    file.extend_from_slice(&told.to_be_bytes());
    file.extend_from_slice(&[0; 16]);
    file
}

/// Adds a frame of `length` samples whose one subframe is of this kind.
fn frame(file: &mut Vec<u8>, number: usize, length: usize, kind: u8, body: &[u8]) {
    assert!(number < 128);
    let start = file.len();
    // Fixed block size; its length follows in 16 bits; mono; 16 bit.
    file.extend_from_slice(&[0xff, 0xf8, 0x70, 0x08, number as u8]);
    file.extend_from_slice(&(length as u16 - 1).to_be_bytes());
    let check = checksum(&file[start..], 8, 0x07) as u8;
    file.push(check);
    file.push(kind);
    file.extend_from_slice(body);
    let check = checksum(&file[start..], 16, 0x8005);
    file.extend_from_slice(&check.to_be_bytes());
}

/// Returns a cyclic redundancy check of `width` bits.
fn checksum(bytes: &[u8], width: u32, polynomial: u16) -> u16 {
    let top = 1_u32 << (width - 1);
    let mask = (1_u32 << width) - 1;
    let shift = |sum: u32, _| if sum & top == 0 { sum << 1 } else { sum << 1 ^ u32::from(polynomial) };
    let sum = bytes.iter().fold(0, |sum, &byte| (0..8).fold(sum ^ u32::from(byte) << (width - 8), shift) & mask);
    sum as u16
}
