//! The signer of a program that was built without C2PA: there is none.

use super::{ProvenanceError, SigningAlgorithm};

/// Puts signed manifests into files. This program cannot: no value of this type exists.
#[derive(Clone, Debug)]
pub enum Signer {}

impl Signer {
    pub(super) fn new(_chain: &[u8], _key: &[u8], _algorithm: SigningAlgorithm) -> Result<Self, ProvenanceError> {
        Err(ProvenanceError::NotBuilt)
    }

    /// Signs a complete WAV file.
    ///
    /// # Errors
    /// None: there is no signer to ask.
    pub fn sign_wav(&self, _wav: Vec<u8>) -> Result<Vec<u8>, ProvenanceError> {
        match *self {}
    }
}
