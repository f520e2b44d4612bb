//! Signed provenance: a C2PA manifest in complete WAV files, if the operator set a key.
//!
//! The manifest says that a trained model made the audio, and binds that to the bytes of the file.
//! A mark survives copies and codings, and a manifest does not. A manifest can be checked without a
//! secret, and a mark cannot. WAV is the only supported format that can hold a manifest. Signing
//! uses no network: there is no time stamp of an authority, and no check for revoked certificates.

// Without the feature the interface is the same, but no key is accepted.
#[cfg_attr(not(feature = "c2pa"), path = "provenance/absent.rs")]
mod manifest;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

pub use manifest::Signer;

/// Largest PEM file that is read, in bytes.
const PEM_MAX_BYTES: u64 = 256 * 1024;

/// Settings of signing.
#[derive(Args, Clone, Debug, Default)]
pub struct ProvenanceArgs {
    /// Certificates for C2PA manifests in WAV files, PEM: the signer's first, each followed by its
    /// issuer's. Needs --c2pa-key
    #[arg(long, env = "CSM_C2PA_CERT", value_name = "FILE")]
    pub c2pa_cert: Option<PathBuf>,
    /// The signer's private key, PEM (PKCS #8). Needs --c2pa-cert
    #[arg(long, env = "CSM_C2PA_KEY", value_name = "FILE")]
    pub c2pa_key: Option<PathBuf>,
    /// Algorithm of the key
    #[arg(long, env = "CSM_C2PA_ALG", default_value = "es256", value_name = "ALGORITHM")]
    pub c2pa_alg: SigningAlgorithm,
}

/// Algorithm of C2PA signatures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub enum SigningAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    #[default]
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// EdDSA on Curve25519.
    Ed25519,
}

/// Reason that files cannot be signed. No message repeats a key.
#[derive(Debug, thiserror::Error)]
pub enum ProvenanceError {
    /// Missing setting: only one of the two files is set.
    #[error("C2PA manifests need both a certificate and a key: {0} is not set")]
    Incomplete(&'static str),
    /// Unreadable file.
    #[error("{name} {}: {source}", path.display())]
    Unreadable {
        /// Name of the setting.
        name: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// Error of the system.
        source: std::io::Error,
    },
    /// File too large for keys or certificates.
    #[error("{name} {}: larger than {PEM_MAX_BYTES} bytes", path.display())]
    TooLarge {
        /// Name of the setting.
        name: &'static str,
        /// Path of the file.
        path: PathBuf,
    },
    /// Build without C2PA, which cannot sign.
    #[error(
        "this program was built without C2PA (feature `c2pa`): it cannot sign, so it takes no certificate and no key"
    )]
    NotBuilt,
    /// The key, the certificates and the algorithm do not make a signer.
    #[error("the C2PA key and certificates cannot sign: {0}")]
    Key(String),
    /// The self-test signed a clip, and reading it back found a fault.
    #[error("the C2PA self-test signed a clip that does not validate: {0}")]
    SelfTest(String),
    /// A file could not be signed.
    #[error("signing the C2PA manifest: {0}")]
    Signing(String),
}

impl ProvenanceArgs {
    /// Returns the signer that these settings ask for, or none. The signer has passed a self-test:
    /// it signed a fixed clip and read it back. A worker whose key fails the test must not start.
    ///
    /// # Errors
    /// [`ProvenanceError`].
    pub fn signer(&self) -> Result<Option<Signer>, ProvenanceError> {
        match (given(self.c2pa_cert.as_deref()), given(self.c2pa_key.as_deref())) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(ProvenanceError::Incomplete("CSM_C2PA_CERT")),
            (Some(_), None) => Err(ProvenanceError::Incomplete("CSM_C2PA_KEY")),
            (Some(chain), Some(key)) => {
                Signer::new(SignerFiles { chain: chain.to_owned(), key: key.to_owned(), algorithm: self.c2pa_alg })
                    .map(Some)
            }
        }
    }
}

/// Files of a signer, read at the start and again when a signature fails. Files that were replaced,
/// as by a renewal of certificates, therefore need no new start.
#[derive(Clone, Debug)]
struct SignerFiles {
    chain: PathBuf,
    key: PathBuf,
    algorithm: SigningAlgorithm,
}

impl SignerFiles {
    /// Reads the certificates and the key.
    fn read(&self) -> Result<(Vec<u8>, Vec<u8>), ProvenanceError> {
        Ok((read("CSM_C2PA_CERT", &self.chain)?, read("CSM_C2PA_KEY", &self.key)?))
    }
}

/// Returns the path unless it is empty, as an unset variable of a compose file is.
fn given(path: Option<&Path>) -> Option<&Path> {
    path.filter(|path| !path.as_os_str().is_empty())
}

fn read(name: &'static str, path: &Path) -> Result<Vec<u8>, ProvenanceError> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(PEM_MAX_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Err(source) => Err(ProvenanceError::Unreadable { name, path: path.to_owned(), source }),
        Ok(_) if bytes.len() as u64 > PEM_MAX_BYTES => Err(ProvenanceError::TooLarge { name, path: path.to_owned() }),
        Ok(_) => Ok(bytes),
    }
}
