//! The manifest: its content, its signature, and the self-test of a key.

#[cfg(test)]
mod tests;

use std::fmt;
use std::io::Cursor;
use std::sync::{Arc, PoisonError, RwLock};

use c2pa::settings::Settings;
use c2pa::validation_results::ValidationState;
use c2pa::{BoxedSigner, Builder, Context, Reader, SigningAlg, create_signer};
use csm_shared::audio::Clip;
use serde_json::json;

use super::{ProvenanceError, SignerFiles, SigningAlgorithm};

/// Program that a manifest names.
const PROGRAM: &str = "csm-fleet";
/// IPTC's term for media that a trained model made.
const TRAINED_ALGORITHMIC_MEDIA: &str = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia";
/// Media type of WAV files in the library.
const WAV: &str = "audio/wav";
/// Samples of the self-test's clip.
const SELF_TEST_SAMPLES: i16 = 480;

/// Signer that puts manifests into files. Cloning shares the key.
#[derive(Clone)]
pub struct Signer {
    files: Arc<SignerFiles>,
    loaded: Arc<RwLock<Arc<LoadedSigner>>>,
}

impl Signer {
    /// Reads a signer's files and runs its self-test.
    pub(super) fn new(files: SignerFiles) -> Result<Self, ProvenanceError> {
        let loaded = LoadedSigner::read(&files)?;
        Ok(Self { files: Arc::new(files), loaded: Arc::new(RwLock::new(Arc::new(loaded))) })
    }

    /// Reads the signer's files again and runs its self-test. If both succeed, all later files are
    /// signed with what was read.
    ///
    /// # Errors
    /// [`ProvenanceError`]: the files cannot sign now.
    pub fn renew(&self) -> Result<(), ProvenanceError> {
        let loaded = Arc::new(LoadedSigner::read(&self.files)?);
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(())
    }

    /// Signs a complete WAV file: appends a chunk with the manifest. Samples and other chunks do
    /// not change.
    ///
    /// # Errors
    /// [`ProvenanceError::Signing`], for example if the certificate has expired since the start.
    pub fn sign_wav(&self, wav: Vec<u8>) -> Result<Vec<u8>, ProvenanceError> {
        let loaded = Arc::clone(&self.loaded.read().unwrap_or_else(PoisonError::into_inner));
        loaded.sign(wav).map_err(|error| ProvenanceError::Signing(error.to_string()))
    }
}

/// Key and certificates that have passed the self-test.
struct LoadedSigner {
    key: BoxedSigner,
    context: Arc<Context>,
}

impl LoadedSigner {
    fn read(files: &SignerFiles) -> Result<Self, ProvenanceError> {
        let (chain, key) = files.read()?;
        Self::new(&chain, &key, files.algorithm)
    }

    /// Creates a signer and runs its self-test.
    ///
    /// `chain` and `key` are PEM files: the signer's certificate first, each followed by its
    /// issuer's, and the key in PKCS #8.
    fn new(chain: &[u8], key: &[u8], algorithm: SigningAlgorithm) -> Result<Self, ProvenanceError> {
        let refused = |error: c2pa::Error| ProvenanceError::Key(error.to_string());
        let key = create_signer::from_keys(chain, key, algorithm.into(), None).map_err(refused)?;
        let context = Context::new().with_settings(offline()?).map_err(refused)?;
        let signer = Self { key, context: context.into_shared() };
        signer.self_test(chain)?;
        Ok(signer)
    }

    fn sign(&self, wav: Vec<u8>) -> c2pa::Result<Vec<u8>> {
        let mut builder = Builder::from_shared_context(&self.context).with_definition(definition())?;
        let mut signed = Cursor::new(Vec::with_capacity(wav.len()));
        builder.sign(&*self.key, WAV, &mut Cursor::new(wav), &mut signed)?;
        Ok(signed.into_inner())
    }

    /// Signs a clip, reads it back, and checks every certificate against its issuer's.
    fn self_test(&self, chain: &[u8]) -> Result<(), ProvenanceError> {
        let refused = |error: c2pa::Error| ProvenanceError::Key(error.to_string());
        let clip = Clip::from_samples((0..SELF_TEST_SAMPLES).collect()).to_wav();
        let signed = self.sign(clip).map_err(refused)?;
        // The trust lists of readers are not known here. The chain is coherent if a reader that
        // trusts its certificates trusts the clip.
        let mut settings = offline()?;
        settings.trust.user_anchors = Some(String::from_utf8_lossy(chain).into_owned());
        let context = Context::new().with_settings(settings).map_err(refused)?;
        let reader = Reader::from_context(context).with_stream(WAV, Cursor::new(signed)).map_err(refused)?;
        match reader.validation_state() {
            ValidationState::Trusted => Ok(()),
            // A lone certificate cannot be checked, because its issuer's is missing.
            ValidationState::Valid if certificates(chain) == 1 => Ok(()),
            _ => Err(ProvenanceError::SelfTest(complaints(&reader))),
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

impl From<SigningAlgorithm> for SigningAlg {
    fn from(algorithm: SigningAlgorithm) -> Self {
        match algorithm {
            SigningAlgorithm::Es256 => Self::Es256,
            SigningAlgorithm::Es384 => Self::Es384,
            SigningAlgorithm::Es512 => Self::Es512,
            SigningAlgorithm::Ps256 => Self::Ps256,
            SigningAlgorithm::Ps384 => Self::Ps384,
            SigningAlgorithm::Ps512 => Self::Ps512,
            SigningAlgorithm::Ed25519 => Self::Ed25519,
        }
    }
}

/// Returns the content of every manifest.
fn definition() -> serde_json::Value {
    let program = json!({ "name": PROGRAM, "version": env!("CARGO_PKG_VERSION") });
    json!({
        "claim_generator_info": [program],
        "assertions": [{
            "label": "c2pa.actions",
            "created": true,
            "data": { "actions": [{
                "action": "c2pa.created",
                "digitalSourceType": TRAINED_ALGORITHMIC_MEDIA,
                "softwareAgent": program,
            }] },
        }],
    })
}

/// Returns settings under which the library makes no request to the network.
fn offline() -> Result<Settings, ProvenanceError> {
    let quiet = json!({
        "core": { "allowed_network_hosts": [] },
        "verify": { "ocsp_fetch": false, "remote_manifest_fetch": false },
    });
    Settings::new().with_json(&quiet.to_string()).map_err(|error| ProvenanceError::Key(error.to_string()))
}

/// Counts the certificates in a PEM file.
fn certificates(chain: &[u8]) -> usize {
    String::from_utf8_lossy(chain).matches("-----BEGIN CERTIFICATE-----").count()
}

/// Lists the faults that a reader found in a file.
fn complaints(reader: &Reader) -> String {
    let failures = reader.validation_results().and_then(|results| results.active_manifest());
    let failures = failures.map_or(&[][..], |manifest| manifest.failure().as_slice());
    let words = failures.iter().map(|failure| match failure.explanation() {
        Some(explanation) => format!("{} ({explanation})", failure.code()),
        None => failure.code().to_owned(),
    });
    words.collect::<Vec<_>>().join(", ")
}
