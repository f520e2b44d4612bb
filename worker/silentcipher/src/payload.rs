//! Payload of the mark: the meaning of its forty bits, and their place in the symbols.

use csm_shared::job::JobId;
use csm_shared::watermark::WatermarkKey;

/// Symbols of one round of the message: 20 of two bits, and the terminator.
pub(super) const PERIOD: usize = 21;
/// Bytes that name the key.
const KEY_BYTES: usize = 2;
/// Symbols of a round that name the key.
pub(super) const KEY_SYMBOLS: usize = KEY_BYTES * 4;
/// Domain that separates these tags from the key's other uses.
const JOB_DOMAIN: &[u8] = b"csm-fleet silentcipher v1 job:";

/// Forty bits that one recording carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload(pub [u8; 5]);

impl Payload {
    /// Builds the payload of a job: 16 bits of the key's id, and 24 bits of the HMAC-SHA256 of the
    /// job's id under the key. Only a holder of the key can tell a recording's job, or make the
    /// payload of a job. The key's 16 bits are public.
    #[must_use]
    pub fn new(key: &WatermarkKey, job: &JobId) -> Self {
        let [a, b, ..] = key.id().bytes();
        let [c, d, e, ..] = key.tag(JOB_DOMAIN, job.to_string().as_bytes());
        Self([a, b, c, d, e])
    }

    /// Returns one round of symbols: each pair of bits plus one, most significant first, and the
    /// terminator 0.
    pub(super) fn symbols(self) -> [u8; PERIOD] {
        std::array::from_fn(|at| match self.0.get(at / 4) {
            Some(byte) => (byte >> (6 - 2 * (at % 4)) & 3) + 1,
            None => 0,
        })
    }

    /// Builds the payload from 20 symbols of 1 to 4. Returns `None` if one is a terminator.
    pub(super) fn of(symbols: impl Iterator<Item = u8>) -> Option<Self> {
        let mut bytes = [0_u8; 5];
        for (at, symbol) in symbols.take(PERIOD - 1).enumerate() {
            bytes[at / 4] = bytes[at / 4] << 2 | symbol.checked_sub(1)?;
        }
        Some(Self(bytes))
    }
}

/// Known parts of the payload that a detector looks for: the key's part, and the job's part if the
/// job is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedPayload {
    key: [u8; KEY_BYTES],
    job: Option<[u8; 3]>,
}

impl ExpectedPayload {
    /// Expects the payload of any job under this key.
    #[must_use]
    pub fn key(key: &WatermarkKey) -> Self {
        let [a, b, ..] = key.id().bytes();
        Self { key: [a, b], job: None }
    }

    /// Expects exactly this payload.
    #[must_use]
    pub const fn payload(payload: Payload) -> Self {
        let Payload([a, b, c, d, e]) = payload;
        Self { key: [a, b], job: Some([c, d, e]) }
    }

    /// Lists the expected payloads of all `keys`: of `job` if it is given, else of any job. Equal
    /// payloads count once.
    #[must_use]
    pub fn all(keys: &[WatermarkKey], job: Option<&JobId>) -> Vec<Self> {
        let mut all = Vec::new();
        for key in keys {
            let known = job.map_or_else(|| Self::key(key), |job| Self::payload(Payload::new(key, job)));
            if !all.contains(&known) {
                all.push(known);
            }
        }
        all
    }

    /// Returns the known symbols of one round; `None` if any symbol is right.
    pub(super) fn symbols(&self) -> [Option<u8>; PERIOD] {
        let [a, b] = self.key;
        let [c, d, e] = self.job.unwrap_or_default();
        let symbols = Payload([a, b, c, d, e]).symbols();
        let known = if self.job.is_some() { PERIOD - 1 } else { KEY_SYMBOLS };
        std::array::from_fn(|at| (at < known || at == PERIOD - 1).then_some(symbols[at]))
    }

    /// Returns whether the job is known.
    pub(super) const fn has_job(&self) -> bool {
        self.job.is_some()
    }

    /// Returns the first half of the key's id, four hexadecimal digits: the part that the mark
    /// carries.
    pub(super) fn key_id(&self) -> String {
        self.key.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
