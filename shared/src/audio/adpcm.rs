//! Decoders of ADPCM blocks: Microsoft's, and IMA's as in WAV and in QuickTime.
//!
//! Every block begins with its own state, so a damaged block spoils no other. The arithmetic
//! saturates: a crafted block would overflow it.

/// Rule of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AdpcmRule {
    /// Microsoft ADPCM.
    Microsoft,
    /// IMA ADPCM of WAV files.
    ImaWav,
    /// IMA ADPCM of QuickTime, AIFF-C and CAF.
    ImaQuickTime,
}

/// Bytes of a channel in a block of [`AdpcmRule::ImaQuickTime`].
const QUICK_TIME_BYTES: usize = 34;
/// Growth of Microsoft's step by the nibble, in 1/256.
const MICROSOFT_GROWTH: [i32; 16] = [230, 230, 230, 230, 307, 409, 512, 614, 768, 614, 512, 409, 307, 230, 230, 230];
/// Coefficients of Microsoft's predictors for the last two samples, in 1/256.
const MICROSOFT_PREDICTORS: [(i32, i32); 7] =
    [(256, 0), (512, -256), (0, 0), (192, 64), (240, 0), (460, -208), (392, -232)];
/// Smallest step of Microsoft ADPCM.
const MICROSOFT_STEP_MIN: i32 = 16;
/// Change of IMA's step index by the lower three bits of the nibble.
const IMA_CHANGE: [i32; 8] = [-1, -1, -1, -1, 2, 4, 6, 8];
/// Steps of IMA.
const IMA_STEPS: [i32; 89] = [
    7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60, 66, 73, 80, 88, 97, 107,
    118, 130, 143, 157, 173, 190, 209, 230, 253, 279, 307, 337, 371, 408, 449, 494, 544, 598, 658, 724, 796, 876, 963,
    1060, 1166, 1282, 1411, 1552, 1707, 1878, 2066, 2272, 2499, 2749, 3024, 3327, 3660, 4026, 4428, 4871, 5358, 5894,
    6484, 7132, 7845, 8630, 9493, 10442, 11487, 12635, 13899, 15289, 16818, 18500, 20350, 22385, 24623, 27086, 29794,
    32767,
];

impl AdpcmRule {
    /// Returns the bytes of a block's head and thus of the smallest block.
    pub(super) fn head_bytes(self, channels: usize) -> usize {
        match self {
            Self::Microsoft => 7 * channels,
            Self::ImaWav => 4 * channels,
            Self::ImaQuickTime => QUICK_TIME_BYTES * channels,
        }
    }

    /// Adds the interleaved samples of a block, full scale 1. A block that is cut short gives the
    /// samples that it still holds.
    pub(super) fn decode(self, block: &[u8], channels: usize, out: &mut Vec<f32>) {
        if channels == 0 || block.len() < self.head_bytes(channels) {
            return;
        }
        match self {
            Self::Microsoft => microsoft(block, channels, out),
            Self::ImaWav => ima_wav(block, channels, out),
            Self::ImaQuickTime => ima_quick_time(block, channels, out),
        }
    }
}

fn i16_at(block: &[u8], at: usize) -> i32 {
    block.get(at..at + 2).map_or(0, |pair| i32::from(i16::from_le_bytes([pair[0], pair[1]])))
}

fn sample(value: i32) -> f32 {
    value as f32 / 32_768.0
}

fn nibbles(bytes: &[u8]) -> impl Iterator<Item = u8> + '_ {
    bytes.iter().flat_map(|byte| [byte & 15, byte >> 4])
}

struct Microsoft {
    predictor: (i32, i32),
    step: i32,
    last: i32,
    before: i32,
}

impl Microsoft {
    fn next(&mut self, nibble: u8) -> i32 {
        let signed = if nibble > 7 { i32::from(nibble) - 16 } else { i32::from(nibble) };
        let predicted = (self.last * self.predictor.0 + self.before * self.predictor.1) / 256;
        self.before = self.last;
        self.last = predicted.saturating_add(self.step.saturating_mul(signed)).clamp(-32_768, 32_767);
        let grown = MICROSOFT_GROWTH[usize::from(nibble & 15)].saturating_mul(self.step) / 256;
        self.step = grown.max(MICROSOFT_STEP_MIN);
        self.last
    }
}

fn microsoft(block: &[u8], channels: usize, out: &mut Vec<f32>) {
    let mut states: Vec<Microsoft> = (0..channels)
        .map(|channel| Microsoft {
            predictor: MICROSOFT_PREDICTORS.get(usize::from(block[channel])).copied().unwrap_or_default(),
            step: i16_at(block, channels + 2 * channel),
            last: i16_at(block, 3 * channels + 2 * channel),
            before: i16_at(block, 5 * channels + 2 * channel),
        })
        .collect();
    out.extend(states.iter().map(|state| sample(state.before)));
    out.extend(states.iter().map(|state| sample(state.last)));
    let body = block[7 * channels..].iter().flat_map(|byte| [byte >> 4, byte & 15]);
    for (index, nibble) in body.enumerate() {
        out.push(sample(states[index % channels].next(nibble)));
    }
    out.truncate(out.len() - out.len() % channels);
}

struct Ima {
    value: i32,
    index: i32,
}

impl Ima {
    fn next(&mut self, nibble: u8) -> i32 {
        let step = IMA_STEPS[self.index.clamp(0, 88) as usize];
        let change = ((2 * i32::from(nibble & 7) + 1) * step) >> 3;
        let value = if nibble & 8 == 0 { self.value + change } else { self.value - change };
        self.value = value.clamp(-32_768, 32_767);
        self.index = (self.index + IMA_CHANGE[usize::from(nibble & 7)]).clamp(0, 88);
        self.value
    }
}

fn ima_wav(block: &[u8], channels: usize, out: &mut Vec<f32>) {
    let state = |channel: usize| Ima {
        value: i16_at(block, 4 * channel),
        index: i32::from(block[4 * channel + 2]).clamp(0, 88),
    };
    let mut states: Vec<Ima> = (0..channels).map(state).collect();
    out.extend(states.iter().map(|state| sample(state.value)));
    // Each group holds four bytes, eight samples, of each channel in turn.
    for group in block[4 * channels..].chunks_exact(4 * channels) {
        let start = out.len();
        out.resize(start + 8 * channels, 0.0);
        for (channel, (bytes, state)) in group.chunks_exact(4).zip(&mut states).enumerate() {
            for (index, nibble) in nibbles(bytes).enumerate() {
                out[start + index * channels + channel] = sample(state.next(nibble));
            }
        }
    }
}

fn ima_quick_time(block: &[u8], channels: usize, out: &mut Vec<f32>) {
    let start = out.len();
    out.resize(start + 64 * channels, 0.0);
    for (channel, part) in block.chunks_exact(QUICK_TIME_BYTES).take(channels).enumerate() {
        let head = i32::from(i16::from_be_bytes([part[0], part[1]]));
        let mut state = Ima { value: head & !0x7f, index: (head & 0x7f).clamp(0, 88) };
        for (index, nibble) in nibbles(&part[2..]).enumerate() {
            out[start + index * channels + channel] = sample(state.next(nibble));
        }
    }
}
