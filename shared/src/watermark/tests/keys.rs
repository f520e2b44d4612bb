//! Tests of secrets and rings of keys: accepted and refused values, and that no secret is shown.

use super::signals::voice;
use super::{mark, watermark};
use crate::watermark::watermark_key::ROWS;
use crate::watermark::{
    DEVELOPMENT_SECRET, Detector, MAX_KEYS, Verdict, Watermark, WatermarkError, WatermarkKey, WatermarkKeyId,
};

fn numbered(count: usize) -> Vec<WatermarkKey> {
    (0..count).map(|n| WatermarkKey::parse(&format!("a key of the ring, number {n}")).unwrap()).collect()
}

#[test]
fn hexadecimal_text_is_bytes_and_other_text_a_passphrase() {
    let lower = WatermarkKey::parse("000102030405060708090a0b0c0d0e0f").unwrap();
    let upper = WatermarkKey::parse(" 000102030405060708090A0B0C0D0E0F\n").unwrap();
    assert_eq!(lower.id(), upper.id());
    let passphrase = WatermarkKey::parse("sixteen letters!").unwrap();
    assert_ne!(passphrase.id(), lower.id());
    assert_eq!(WatermarkKey::parse(DEVELOPMENT_SECRET).unwrap().id(), WatermarkKey::development().id());
}

#[test]
fn weak_and_broken_secrets_are_refused() {
    let refusal = |secret| WatermarkKey::parse(secret).unwrap_err();
    assert_eq!(refusal(""), WatermarkError::WeakSecret { bytes: 0 });
    assert_eq!(refusal("fifteen letters"), WatermarkError::WeakSecret { bytes: 15 });
    assert_eq!(refusal("0123456789abcdef"), WatermarkError::WeakSecret { bytes: 8 });
    assert_eq!(refusal("000102030405060708090a0b0c0d0e0f0"), WatermarkError::OddHex);
}

#[test]
fn a_key_shows_its_id_alone() {
    let secret = "a passphrase that nobody may see";
    let key = WatermarkKey::parse(secret).unwrap();
    assert_eq!(format!("{key:?}"), format!("WatermarkKey({})", key.id()));
    assert_eq!(key.id().to_string().len(), 8);
    assert!(!WatermarkKey::parse("hunter2").unwrap_err().to_string().contains("hunter2"));
}

/// A later version must find audio that an earlier version marked: neither the key's name nor its
/// pattern may change.
#[test]
fn a_secret_keeps_its_name_and_its_pattern() {
    let key = WatermarkKey::development();
    let chips = key.chips();
    let first_signs =
        |row| chips.row(row)[..16].iter().map(|&chip| if chip > 0.0 { '+' } else { '-' }).collect::<String>();
    assert_eq!(key.id().to_string(), "1d04b9a1");
    let pattern = (0..ROWS).map(first_signs).collect::<Vec<_>>();
    assert_eq!(pattern, ["---++-+-+--+-+++", "+---+-++++++---+", "---+--+--+-----+", "-+-+-++++++----+"]);
}

#[test]
fn a_ring_is_read_by_lines_and_commas() {
    let ids = |secrets: &str| -> Vec<WatermarkKeyId> {
        WatermarkKey::parse_ring(secrets).unwrap().iter().map(WatermarkKey::id).collect()
    };
    let [a, b] = ["a passphrase with spaces", "000102030405060708090a0b0c0d0e0f"];
    let expected = [a, b].map(|secret| WatermarkKey::parse(secret).unwrap().id());
    for ring in [format!("{a},{b}"), format!("{a}\n{b}\n"), format!(" ,\n{a} ,\r\n {b},,")] {
        assert_eq!(ids(&ring), expected, "{ring:?}");
    }
    assert_eq!(ids(" \n,"), []);
    // A passphrase that contains a comma, as the digits of its bytes.
    let digits: String = DEVELOPMENT_SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(ids(&digits), [WatermarkKey::development().id()]);
    let refused = WatermarkKey::parse_ring("a passphrase with spaces,short").unwrap_err();
    assert_eq!(refused, WatermarkError::WeakSecret { bytes: 5 });
}

#[test]
fn the_finding_names_the_key_of_the_ring_whose_mark_it_is() {
    let ring = numbered(MAX_KEYS);
    let detector = Detector::with_keys(&ring).unwrap();
    for (seed, key) in ring.iter().enumerate() {
        let mut stream = Watermark::new(key).stream();
        let mut marked = stream.push(&voice(60 + seed as u64, 3.0));
        marked.append(stream.finish());
        let found = detector.examine(&marked.to_f32());
        assert_eq!((found.verdict, found.key_id), (Verdict::Detected, key.id().to_string()));
    }
    let strangers = mark(&voice(70, 3.0)).to_f32();
    let found = detector.examine(&strangers);
    assert_eq!((found.verdict, found.key_id), (Verdict::NotDetected, ring[0].id().to_string()));
}

/// Each key of a ring is one more chance of an error, and lowers the score by its share.
#[test]
fn a_ring_pays_for_every_key() {
    let clip = mark(&voice(71, 1.5)).to_f32();
    let alone = watermark().detector().detect(&clip);
    let ring: Vec<_> = [WatermarkKey::development()].into_iter().chain(numbered(MAX_KEYS - 1)).collect();
    let in_a_ring = Detector::with_keys(&ring).unwrap().detect(&clip);
    assert_eq!(in_a_ring.key_id, alone.key_id);
    let paid = alone.z.powi(2) - in_a_ring.z.powi(2);
    assert!((paid - 2.0 * (MAX_KEYS as f32).ln()).abs() < 1e-2, "{alone:?}, {in_a_ring:?}");
}

#[test]
fn a_ring_holds_one_to_so_many_keys_and_each_once() {
    let refused = |keys: &[WatermarkKey]| Detector::with_keys(keys).err();
    assert_eq!(refused(&[]), Some(WatermarkError::Keys { keys: 0 }));
    assert_eq!(refused(&numbered(MAX_KEYS)), None);
    assert_eq!(refused(&numbered(MAX_KEYS + 1)), Some(WatermarkError::Keys { keys: MAX_KEYS + 1 }));
    let clip = mark(&voice(72, 1.5)).to_f32();
    let twice = Detector::with_keys(&[WatermarkKey::development(), WatermarkKey::development()]).unwrap();
    assert_eq!(twice.detect(&clip), watermark().detector().detect(&clip));
}
