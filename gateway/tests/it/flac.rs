//! FLAC files without compression, after RFC 9639: enough to be read.

/// Samples of a frame.
const BLOCK: usize = 4_096;

/// Makes a file of 24 kHz, mono, 16 bit, with at most 128 frames.
pub(crate) fn flac(samples: &[i16]) -> Vec<u8> {
    let mut file = b"fLaC\x80\0\0\x22".to_vec();
    file.extend_from_slice(&(BLOCK as u16).to_be_bytes());
    file.extend_from_slice(&(BLOCK as u16).to_be_bytes());
    file.extend_from_slice(&[0; 6]);
    // 20 bits of rate, 3 of channels - 1, 5 of bits - 1, 36 of samples.
    let told = 24_000_u64 << 44 | 15 << 36 | samples.len() as u64;
    file.extend_from_slice(&told.to_be_bytes());
    file.extend_from_slice(&[0; 16]);
    for (number, block) in samples.chunks(BLOCK).enumerate() {
        frame(&mut file, u8::try_from(number).unwrap(), block);
    }
    file
}

fn frame(file: &mut Vec<u8>, number: u8, block: &[i16]) {
    assert!(number < 128);
    let start = file.len();
    // Fixed block size; its length follows in 16 bits; mono; 16 bit.
    file.extend_from_slice(&[0xff, 0xf8, 0x70, 0x08, number]);
    file.extend_from_slice(&(block.len() as u16 - 1).to_be_bytes());
    let check = checksum(&file[start..], 8, 0x07) as u8;
    file.push(check);
    file.push(0x02); // verbatim
    file.extend(block.iter().flat_map(|sample| sample.to_be_bytes()));
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
