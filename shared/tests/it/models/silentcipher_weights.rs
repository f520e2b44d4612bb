//! Tests of fetching the weights of SilentCipher.

use csm_shared::models::{SILENTCIPHER, silentcipher};

use super::*;

/// Returns a repository laid out like SilentCipher's: two models, and more files than needed.
pub(super) fn silentcipher_files() -> Files {
    Files::from([
        ("README.md", b"about".to_vec()),
        ("16_khz/97561_iteration/enc_c.ckpt", b"the other model".to_vec()),
        ("44_1_khz/73999_iteration/enc_c.ckpt", b"enc_c".to_vec()),
        ("44_1_khz/73999_iteration/dec_c.ckpt", b"dec_c".to_vec()),
        ("44_1_khz/73999_iteration/dec_m_0.ckpt", b"dec_m_0".to_vec()),
        ("44_1_khz/73999_iteration/opt.ckpt", vec![0; 100]),
        ("44_1_khz/73999_iteration/hparams.yaml", b"message_sdr: 47".to_vec()),
    ])
}

const MARK_FILES: [&str; 4] = ["dec_c.ckpt", "dec_m_0.ckpt", "enc_c.ckpt", "hparams.yaml"];

#[tokio::test]
async fn silentcipher_is_fetched_once_and_found_again_offline() {
    let hub = FakeHub::start(hub_of([("sony/silentcipher", silentcipher_files())])).await;
    let cache = tempfile::tempdir().unwrap();
    let mut options = options(hub.address, &cache);
    let folder = silentcipher(&source(SILENTCIPHER), &options).await.unwrap();
    assert_eq!(names(&folder), MARK_FILES, "what is needed, and nothing of the other model");
    assert_eq!(fs::read(folder.join("dec_m_0.ckpt")).unwrap(), b"dec_m_0");

    hub.requests();
    assert_eq!(silentcipher(&source(SILENTCIPHER), &options).await.unwrap(), folder);
    let asked = format!("HEAD /{SILENTCIPHER}/resolve/main/44_1_khz/73999_iteration/hparams.yaml");
    assert_eq!(hub.requests(), [asked], "nothing is loaded twice");

    drop(hub);
    assert_eq!(silentcipher(&source(SILENTCIPHER), &options).await.unwrap(), folder, "out of reach");
    options.offline = true;
    assert_eq!(silentcipher(&source(SILENTCIPHER), &options).await.unwrap(), folder);
    fs::remove_file(folder.join("dec_c.ckpt")).unwrap();
    let error = silentcipher(&source(SILENTCIPHER), &options).await.unwrap_err();
    assert!(matches!(error, HubError::NotCached { .. }) && error.to_string().contains(SILENTCIPHER), "{error}");
}

#[tokio::test]
async fn broken_weights_of_silentcipher_are_not_kept() {
    let hub = FakeHub::start(hub_of([("sony/silentcipher", silentcipher_files())])).await;
    let cache = tempfile::tempdir().unwrap();
    let options = options(hub.address, &cache);
    hub.spoil("44_1_khz/73999_iteration/dec_c.ckpt", Fault::ErrorPage);
    let error = silentcipher(&source(SILENTCIPHER), &options).await.unwrap_err();
    assert!(matches!(error, HubError::Incomplete { .. }) && error.to_string().contains("dec_c.ckpt"), "{error}");
    *hub.repositories.spoiled.lock().unwrap() = None;
    let folder = silentcipher(&source(SILENTCIPHER), &options).await.unwrap();
    assert_eq!(fs::read(folder.join("dec_c.ckpt")).unwrap(), b"dec_c");
}

#[tokio::test]
async fn a_folder_of_silentcipher_names_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let (path, options) = (ModelSource::Folder(folder.path().to_owned()), HubOptions::default());
    let error = silentcipher(&path, &options).await.unwrap_err().to_string();
    assert!(["enc_c.ckpt", "dec_c.ckpt", "dec_m_0.ckpt"].iter().all(|name| error.contains(name)), "{error}");
    let inner = folder.path().join("44_1_khz/73999_iteration");
    fs::create_dir_all(&inner).unwrap();
    for name in &MARK_FILES[..3] {
        fs::write(inner.join(name), b"weights").unwrap();
    }
    assert_eq!(silentcipher(&path, &options).await.unwrap(), inner, "a copy of the whole repository");
    assert_eq!(silentcipher(&ModelSource::Folder(inner.clone()), &options).await.unwrap(), inner);
    let nowhere = ModelSource::Folder(folder.path().join("nowhere"));
    assert!(matches!(silentcipher(&nowhere, &options).await, Err(HubError::NoFolder(_))));
}
