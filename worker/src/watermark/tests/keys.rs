//! Secrets: what is taken, what is refused, and that none is shown.

use crate::watermark::key::ROWS;
use crate::watermark::{DEVELOPMENT_SECRET, WatermarkError, WatermarkKey};

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

/// Audio marked by an earlier version must be found by a later one: neither the key's name nor its pattern may move.
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
