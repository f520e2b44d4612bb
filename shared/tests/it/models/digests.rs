//! Downloads that are not what was promised: digests, pins and commits.

use std::fs;

use csm_shared::models::{HubError, HubOptions, ModelFiles, Pin, SILENTCIPHER, resolve, silentcipher};
use sha2::{Digest, Sha256};

use super::silentcipher_weights::silentcipher_files;
use super::{COMMIT, FakeHub, Fault, both_layouts, hub_of, mimi, options, original_layout, source};

#[tokio::test]
async fn one_flipped_bit_under_the_right_length_is_noticed() {
    let hub = FakeHub::start(hub_of([("a/b", both_layouts()), ("sony/silentcipher", silentcipher_files())])).await;
    let cache = tempfile::tempdir().unwrap();
    let options = options(hub.address, &cache);
    for file in ["tokenizer.json", "t-2.safetensors"] {
        hub.spoil(file, Fault::FlippedBit);
        let error = resolve(&source("a/b"), ModelFiles::Everything, &options).await.unwrap_err();
        assert!(matches!(error, HubError::WrongDigest { .. }) && error.to_string().contains(file), "{error}");
    }
    hub.spoil("44_1_khz/73999_iteration/dec_c.ckpt", Fault::FlippedBit);
    let error = silentcipher(&source(SILENTCIPHER), &options).await.unwrap_err();
    assert!(matches!(error, HubError::WrongDigest { .. }) && error.to_string().contains("dec_c.ckpt"), "{error}");

    *hub.repositories.spoiled.lock().unwrap() = None;
    let model = resolve(&source("a/b"), ModelFiles::Everything, &options).await.unwrap();
    assert_eq!(fs::read(model.path.join("t-2.safetensors")).unwrap(), both_layouts()["t-2.safetensors"]);
    silentcipher(&source(SILENTCIPHER), &options).await.unwrap();
}

/// Returns a pin of the codec to the commit of the server and to the digest of some weights.
fn codec_pin(weights: &[u8]) -> &'static [Pin] {
    let digest: String = Sha256::digest(weights).iter().map(|byte| format!("{byte:02x}")).collect();
    let files = Box::leak(Box::new([("model.safetensors", &*digest.leak())]));
    Box::leak(Box::new([Pin { repo: "kyutai/mimi", commit: COMMIT, files }]))
}

#[tokio::test]
async fn a_pinned_repository_is_taken_at_its_commit_and_digest_alone() {
    let hub = FakeHub::start(hub_of([("a/original", original_layout()), ("kyutai/mimi", mimi())])).await;
    let cache = tempfile::tempdir().unwrap();
    let options = options(hub.address, &cache);
    let pinned = HubOptions { pins: codec_pin(&mimi()["model.safetensors"]), ..options.clone() };
    resolve(&source("a/original"), ModelFiles::Everything, &pinned).await.unwrap();
    let asked = hub.requests();
    assert!(asked.contains(&format!("HEAD /kyutai/mimi/resolve/{COMMIT}/config.json")), "{asked:?}");
    assert!(!asked.iter().any(|request| request.contains("kyutai/mimi/resolve/main")), "{asked:?}");

    let cache = tempfile::tempdir().unwrap();
    let elsewhere =
        HubOptions { cache_dir: Some(cache.path().to_owned()), pins: codec_pin(b"other weights"), ..options };
    let error = resolve(&source("a/original"), ModelFiles::Everything, &elsewhere).await.unwrap_err();
    assert!(matches!(error, HubError::WrongDigest { .. }), "{error}");
}

#[tokio::test]
async fn a_model_at_a_commit_is_that_commit_or_nothing() {
    let hub = FakeHub::start(hub_of([("a/b", both_layouts())])).await;
    let cache = tempfile::tempdir().unwrap();
    let options = options(hub.address, &cache);
    let model = resolve(&source(&format!("a/b@{COMMIT}")), ModelFiles::Everything, &options).await.unwrap();
    assert_eq!(model.revision.as_deref(), Some(COMMIT));
    hub.requests();
    resolve(&source(&format!("a/b@{COMMIT}")), ModelFiles::Everything, &options).await.unwrap();
    assert_eq!(hub.requests(), [""; 0], "a commit never changes, so the hub is not asked again");

    let other = COMMIT.replace('0', "f");
    let error = resolve(&source(&format!("a/b@{other}")), ModelFiles::Everything, &options).await.unwrap_err();
    assert!(matches!(&error, HubError::WrongCommit { actual, .. } if actual == COMMIT), "{error}");
}
