//! Watermark secret and the keyed pattern that is drawn from it.

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
/// Hops that one chip spans. The chip is held for half of them and its negative for the other half,
/// so it cancels against any steady spectrum.
pub(super) const CHIP_HOPS: usize = 4;
/// Chips of one bin in one period.
pub(super) const ROWS: usize = PERIOD / CHIP_HOPS;

/// Least number of bytes of a secret.
pub const MIN_SECRET_BYTES: usize = 16;
/// Secret behind [`WatermarkKey::development`]. The secret is public, so its mark does not even
/// tell which deployment made the speech.
pub const DEVELOPMENT_SECRET: &str = "csm-fleet development watermark, not a secret";

/// Watermark secret of a deployment, from which the mark's pattern is drawn. The key lets its
/// holder find the deployment's own output; it does not prevent forgery. The pattern repeats every
/// 320 ms, so averaging one marked file gives most of it away. From one clip of 10 s, 605 of its
/// 704 signs were read off; put on another clip, they scored `z = 14`.
///
/// The value holds a digest, not the secret, and shows its [`WatermarkKeyId`] alone. Read the
/// setting as text and call [`WatermarkKey::parse`] by hand: an argument parser would repeat a
/// refused value in its error.
#[derive(Clone)]
pub struct WatermarkKey {
    seed: [u8; 32],
}

impl WatermarkKey {
    /// Parses a secret. Text of hexadecimal digits alone is taken as bytes, any other text as a
    /// passphrase.
    ///
    /// # Errors
    /// [`WatermarkError::WeakSecret`] if the secret has fewer than [`MIN_SECRET_BYTES`] bytes,
    /// [`WatermarkError::OddHex`] if the last byte lacks a digit. Neither repeats the secret.
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

    /// Parses a list of secrets, separated by commas or newlines, such as earlier secrets whose
    /// marks must still be found. A secret may contain spaces. A passphrase that contains a comma
    /// must be given as the hexadecimal digits of its bytes, which make the same key. Empty entries
    /// are skipped.
    ///
    /// # Errors
    /// The error of [`WatermarkKey::parse`] for the first secret that is refused.
    pub fn parse_ring(secrets: &str) -> Result<Vec<Self>, WatermarkError> {
        let entries = secrets.split([',', '\n']).map(str::trim).filter(|secret| !secret.is_empty());
        entries.map(Self::parse).collect()
    }

    /// Returns the key for development and demonstrations, made from [`DEVELOPMENT_SECRET`].
    #[must_use]
    pub fn development() -> Self {
        Self::from_secret(DEVELOPMENT_SECRET.as_bytes())
    }

    fn from_secret(secret: &[u8]) -> Self {
        Self { seed: digest(b"csm-fleet watermark v1 key:", secret) }
    }

    /// Returns the key's public name.
    #[must_use]
    pub fn id(&self) -> WatermarkKeyId {
        let [a, b, c, d, ..] = digest(b"csm-fleet watermark v1 id:", &self.seed);
        WatermarkKeyId([a, b, c, d])
    }

    /// Computes a tag that only a holder of the key can make: the HMAC-SHA256 of `domain` followed
    /// by `bytes`. Each use needs its own `domain`, which must not be a prefix of another one.
    #[must_use]
    pub fn tag(&self, domain: &[u8], bytes: &[u8]) -> [u8; 32] {
        hmac(&self.seed, domain, bytes)
    }

    /// Draws the keyed pattern.
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

/// Public name of a [`WatermarkKey`]: eight hexadecimal digits that tell keys apart and do not lead
/// back to the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WatermarkKeyId([u8; 4]);

impl WatermarkKeyId {
    /// Returns the id's bytes.
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

/// Independent signs, +1 or -1, for each chip of the period and each bin.
#[derive(Clone)]
pub(super) struct Chips(Box<[[f32; BINS]; ROWS]>);

impl Chips {
    /// Wraps signs that come from no key.
    #[cfg(test)]
    pub(super) fn of(signs: [[f32; BINS]; ROWS]) -> Self {
        Self(Box::new(signs))
    }

    /// Returns the signs of one chip of the period, (BINS).
    pub(super) fn row(&self, row: usize) -> &[f32; BINS] {
        &self.0[row]
    }
}

/// Returns the chip that rules hop `hop`, and its sign there.
pub(super) fn chip_at(hop: usize) -> (usize, f32) {
    let phase = hop % PERIOD;
    let sign = if phase % CHIP_HOPS < CHIP_HOPS / 2 { 1.0 } else { -1.0 };
    (phase / CHIP_HOPS, sign)
}

/// Computes SHA-256 of `domain` followed by `bytes`.
fn digest(domain: &[u8], bytes: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(domain).chain_update(bytes).finalize().into()
}

/// Computes HMAC-SHA256 (RFC 2104) of `domain` followed by `bytes`, under a key of at most one
/// block.
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
