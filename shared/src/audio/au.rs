//! Reader of AU files of Sun and NeXT.

use super::channel_mix::ChannelMix;
use super::chunks::be32;
use super::collector::{Source, ends_early, goes_on};
use super::pcm::{self, Coding, PcmAudio};
use super::{ClipError, SourceLimit};

const AU: &str = "AU";
/// Length of data that says that the length is unknown.
const OPEN_LENGTH: u32 = u32::MAX;

/// Reads an AU file.
pub(super) fn read(bytes: &[u8], limit: SourceLimit) -> Result<Source, ClipError> {
    let word = |index: usize| {
        let cut = || ClipError::Broken { format: AU, reason: "its header is cut short".to_owned() };
        be32(bytes, 4 * index).ok_or_else(cut)
    };
    let (start, length, rate, channels) = (word(1)?, word(2)?, word(4)?, word(5)? as usize);
    let coding = match word(3)? {
        1 => Coding::MuLaw,
        code @ 2..=5 => Coding::Integer { bytes: code as usize - 1, big_endian: true },
        6 => Coding::Float { bytes: 4, big_endian: true },
        7 => Coding::Float { bytes: 8, big_endian: true },
        27 => Coding::ALaw,
        code => {
            let name = match code {
                23 => "G.721 ADPCM",
                24 => "G.722",
                25 | 26 => "G.723 ADPCM",
                _ => "unknown",
            };
            return Err(ClipError::Unsupported { format: AU, reason: format!("its coding {code} is {name}") });
        }
    };
    let mut data = bytes.get(start as usize..).unwrap_or(&[]);
    let mut warnings = Vec::new();
    match (data.len() as u64).checked_sub(length.into()) {
        _ if matches!(length, 0 | OPEN_LENGTH) => {}
        Some(0) => {}
        Some(more) => {
            warnings.push(goes_on(AU, more));
            data = &data[..length as usize];
        }
        None => warnings.extend(ends_early(AU, u64::from(length) - data.len() as u64)),
    }
    if data.is_empty() {
        return Err(ClipError::Empty);
    }
    // The mix of too many channels would be refused only after it is made.
    let mix = ChannelMix::assumed(channels.min(usize::from(u16::MAX)));
    pcm::decode(PcmAudio { format: AU, coding, rate, mix, data, warnings }, limit)
}
