//! The secret behind the mark, and the keyed pattern that it draws.

use std::fmt;

use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

use super::WatermarkError;

/// Lowest marked bin: 425 Hz.
pub(super) const FIRST_BIN: usize = 17;
/// Marked bins of 25 Hz each, up to 4.8 kHz.
pub(super) const BINS: usize = 176;
/// Hops after which the pattern repeats: 320 ms, which is four frames of the codec.
pub(super) const PERIOD: usize = 16;
/// Hops that one chip spans: it is held for half of them and its negative for the other half, so that it cancels
/// against any steady spectrum.
pub(super) const CHIP_HOPS: usize = 4;
/// Chips of one bin in one period.
pub(super) const ROWS: usize = PERIOD / CHIP_HOPS;

/// The least number of bytes of a secret.
pub const MIN_SECRET_BYTES: usize = 16;
/// The setting behind [`WatermarkKey::development`]. It is published here, so its mark says not even which deployment spoke.
pub const DEVELOPMENT_SECRET: &str = "csm-fleet development watermark, not a secret";

/// A deployment's watermark secret, from which the mark's pattern is drawn. It names the deployment to those who look for its
/// own output; it does not keep others from forging that. The pattern repeats every 320 ms, so averaging one marked file
/// gives most of it away: of one clip of 10 s, 605 of its 704 signs, which on another clip scored `z = 14`.
///
/// It keeps a digest, not the secret, and shows its [`WatermarkKeyId`] alone. Read the setting as text and call
/// [`WatermarkKey::parse`] by hand: an argument parser would repeat a refused value in its error.
#[derive(Clone)]
pub struct WatermarkKey {
    seed: [u8; 32],
}

impl WatermarkKey {
    /// Reads a secret: text of hexadecimal digits alone is taken as bytes, any other text as a passphrase.
    ///
    /// # Errors
    /// [`WatermarkError::WeakSecret`] when fewer than [`MIN_SECRET_BYTES`] bytes are given,
    /// [`WatermarkError::OddHex`] when the last byte lacks a digit. Neither repeats the secret.
    pub fn parse(secret: &str) -> Result<Self, WatermarkError> {
        let secret = secret.trim();
        let bytes = if secret.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            bytes_of_hex(secret).ok_or(WatermarkError::OddHex)?
        } else {
            secret.as_bytes().to_vec()
        };
        if bytes.len() < MIN_SECRET_BYTES {
            return Err(WatermarkError::WeakSecret { bytes: bytes.len() });
        }
        Ok(Self::from_secret(&bytes))
    }

    /// Reads a list of secrets, such as those of before whose marks are still to be found: one a line, or with commas
    /// in between. What lies in between may hold spaces; a passphrase that holds a comma is given as the hexadecimal
    /// digits of its bytes, which make the same key. Empty entries are skipped.
    ///
    /// # Errors
    /// Those of [`WatermarkKey::parse`], for the first secret that is refused.
    pub fn parse_ring(secrets: &str) -> Result<Vec<Self>, WatermarkError> {
        let entries = secrets.split([',', '\n']).map(str::trim).filter(|secret| !secret.is_empty());
        entries.map(Self::parse).collect()
    }

    /// The key for development and demonstrations, from [`DEVELOPMENT_SECRET`].
    #[must_use]
    pub fn development() -> Self {
        Self::from_secret(DEVELOPMENT_SECRET.as_bytes())
    }

    fn from_secret(secret: &[u8]) -> Self {
        Self { seed: digest(b"csm-fleet watermark v1 key:", secret) }
    }

    /// The key's public name.
    #[must_use]
    pub fn id(&self) -> WatermarkKeyId {
        let [a, b, c, d, ..] = digest(b"csm-fleet watermark v1 id:", &self.seed);
        WatermarkKeyId([a, b, c, d])
    }

    /// A tag that only a holder of the key can make: the HMAC-SHA256 of `domain` and then `bytes`. A use of its own
    /// needs a `domain` of its own that begins none of the others.
    #[must_use]
    pub fn tag(&self, domain: &[u8], bytes: &[u8]) -> [u8; 32] {
        hmac(&self.seed, domain, bytes)
    }

    /// The keyed pattern.
    pub(super) fn chips(&self) -> Chips {
        let mut random = ChaCha8Rng::from_seed(self.seed);
        let row = |_| std::array::from_fn(|_| if random.next_u32() >> 31 == 0 { 1.0 } else { -1.0 });
        Chips(Box::new([0; ROWS].map(row)))
    }
}

impl fmt::Debug for WatermarkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WatermarkKey({})", self.id())
    }
}

/// The public name of a [`WatermarkKey`]: eight hexadecimal digits that tell keys apart and do not lead back to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WatermarkKeyId([u8; 4]);

impl WatermarkKeyId {
    /// The id's bytes.
    #[must_use]
    pub const fn bytes(self) -> [u8; 4] {
        self.0
    }
}

impl fmt::Display for WatermarkKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Independent signs, +1 or -1, by chip of the period and bin.
#[derive(Clone)]
pub(super) struct Chips(Box<[[f32; BINS]; ROWS]>);

impl Chips {
    /// Signs that come from no key.
    #[cfg(test)]
    pub(super) fn of(signs: [[f32; BINS]; ROWS]) -> Self {
        Self(Box::new(signs))
    }

    /// The signs of one chip of the period, (BINS).
    pub(super) fn row(&self, row: usize) -> &[f32; BINS] {
        &self.0[row]
    }
}

/// Which chip rules hop `hop`, and with which sign.
pub(super) fn chip_at(hop: usize) -> (usize, f32) {
    let phase = hop % PERIOD;
    let sign = if phase % CHIP_HOPS < CHIP_HOPS / 2 { 1.0 } else { -1.0 };
    (phase / CHIP_HOPS, sign)
}

/// SHA-256 of `domain` and then `bytes`.
fn digest(domain: &[u8], bytes: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(domain).chain_update(bytes).finalize().into()
}

/// HMAC-SHA256 (RFC 2104) of `domain` and then `bytes`, under a key of at most a block.
fn hmac(key: &[u8], domain: &[u8], bytes: &[u8]) -> [u8; 32] {
    const BLOCK: usize = 64;
    let pad = |mask: u8| -> [u8; BLOCK] { std::array::from_fn(|at| key.get(at).copied().unwrap_or_default() ^ mask) };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(domain).chain_update(bytes).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.len().is_multiple_of(2).then(|| digits.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_tag_is_an_hmac() {
        // RFC 4231, test case 2.
        let tag = super::hmac(b"Jefe", b"what do ya want ", b"for nothing?");
        assert_eq!(tag[..8], [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e]);
        assert_eq!(tag[24..], [0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43]);
    }
}
