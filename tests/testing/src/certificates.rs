//! Certificates of a run: an authority, and what it signs for servers and clients on this machine.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// Names by which a server on this machine is reached.
const NAMES: [&str; 2] = ["127.0.0.1", "localhost"];

/// Certificate and private key, each in a file of PEM.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// Certificate.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// Authority that signs certificates. Its own is in a file.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
    /// Certificate of the authority, PEM.
    pub certificate: PathBuf,
}

impl Authority {
    /// Makes an authority whose files go into `folder`, which exists.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn new(folder: &Path, name: &str) -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let certificate = folder.join(format!("{name}.crt"));
        std::fs::write(&certificate, params.self_signed(&key)?.pem())?;
        Ok(Self { issuer: Issuer::new(params, key), folder: folder.to_owned(), certificate })
    }

    /// Signs a certificate for a server or a client on this machine.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn sign(&self, name: &str) -> anyhow::Result<CertificateFiles> {
        let mut params = CertificateParams::new(NAMES.map(str::to_owned))?;
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let signed = params.signed_by(&key, &self.issuer)?;
        let file = |end: &str| self.folder.join(format!("{name}.{end}"));
        let files = CertificateFiles { certificate: file("crt"), key: file("key") };
        std::fs::write(&files.certificate, signed.pem())?;
        std::fs::write(&files.key, key.serialize_pem())?;
        Ok(files)
    }
}
