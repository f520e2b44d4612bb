//! Signer of a program that was built without C2PA, and so cannot sign.

use super::{ProvenanceError, SigningAlgorithm};

/// Signer of a program without C2PA. No value of this type exists.
#[derive(Clone, Debug)]
pub enum NoSigner {}

/// Signer of files, which this program does not have.
pub type Signer = NoSigner;

impl NoSigner {
    pub(super) fn new(_chain: &[u8], _key: &[u8], _algorithm: SigningAlgorithm) -> Result<Self, ProvenanceError> {
        Err(ProvenanceError::NotBuilt)
    }

    /// Signs a complete WAV file.
    ///
    /// # Errors
    /// None: without a signer, this cannot be called.
    pub fn sign_wav(&self, _wav: Vec<u8>) -> Result<Vec<u8>, ProvenanceError> {
        match *self {}
    }
}
