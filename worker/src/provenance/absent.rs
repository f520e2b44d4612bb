//! Signer of a program that was built without C2PA, and so cannot sign.

use super::{ProvenanceError, SignerFiles};

/// Signer of a program without C2PA. No value of this type exists.
#[derive(Clone, Debug)]
pub enum NoSigner {}

/// Signer of files, which this program does not have.
pub type Signer = NoSigner;

impl NoSigner {
    /// Refuses the files, which would otherwise be ignored.
    pub(super) fn new(files: SignerFiles) -> Result<Self, ProvenanceError> {
        let SignerFiles { algorithm: _, .. } = &files;
        files.read()?;
        Err(ProvenanceError::NotBuilt)
    }

    /// Reads the signer's files again.
    ///
    /// # Errors
    /// None: without a signer, this cannot be called.
    pub fn renew(&self) -> Result<(), ProvenanceError> {
        match *self {}
    }

    /// Signs a complete WAV file.
    ///
    /// # Errors
    /// None: without a signer, this cannot be called.
    pub fn sign_wav(&self, _wav: Vec<u8>) -> Result<Vec<u8>, ProvenanceError> {
        match *self {}
    }
}
