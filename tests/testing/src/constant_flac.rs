//! FLAC files of constant subframes, after RFC 9639: 14 bytes hold 65,535 samples.

/// Samples of a frame: the most that a frame can hold.
const BLOCK: u32 = 65_535;

/// Makes a file of `seconds` seconds of mono silence at `rate` Hz, 16 bit.
#[must_use]
pub fn constant_flac(rate: u32, seconds: u32) -> Vec<u8> {
    let samples = u64::from(rate) * u64::from(seconds);
    let mut file = b"fLaC\x80\0\0\x22".to_vec();
    file.extend_from_slice(&(BLOCK as u16).to_be_bytes());
    file.extend_from_slice(&(BLOCK as u16).to_be_bytes());
    file.extend_from_slice(&[0; 6]);
    // 20 bits of rate, 3 of channels - 1, 5 of bits - 1, 36 of samples.
    let told = u64::from(rate) << 44 | 15 << 36 | samples;
    file.extend_from_slice(&told.to_be_bytes());
    file.extend_from_slice(&[0; 16]);
    let mut left = samples;
    let mut number = 0;
    while left > 0 {
        let block = left.min(u64::from(BLOCK));
        frame(&mut file, number, block as u16);
        left -= block;
        number += 1;
    }
    file
}

/// Appends a frame whose samples are all zero.
fn frame(file: &mut Vec<u8>, number: u32, block: u16) {
    let start = file.len();
    // Fixed block size, whose length follows in 16 bits; rate as in the file's head; mono; 16 bit.
    file.extend_from_slice(&[0xff, 0xf8, 0x70, 0x08]);
    // FLAC writes numbers as UTF-8 writes characters.
    let number = char::from_u32(number).expect("fewer frames than the first surrogate");
    file.extend_from_slice(number.encode_utf8(&mut [0; 4]).as_bytes());
    file.extend_from_slice(&(block - 1).to_be_bytes());
    let check = checksum(&file[start..], 8, 0x07) as u8;
    file.push(check);
    file.extend_from_slice(&[0, 0, 0]); // constant, and its value
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

#[cfg(test)]
mod tests {
    use csm_shared::audio;

    use super::*;

    #[test]
    fn six_kilobytes_are_ten_minutes() {
        let ten_minutes = constant_flac(48_000, 600);
        assert!((6_000..8_000).contains(&ten_minutes.len()), "{} bytes", ten_minutes.len());
        let clip = audio::read(&constant_flac(24_000, 7)).unwrap().clip;
        assert_eq!((clip.duration_ms(), clip.samples().iter().all(|&sample| sample == 0)), (7_000, true));
    }
}
