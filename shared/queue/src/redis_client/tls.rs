//! Certificates for TLS to Redis: the authority that its certificate must come from, and the client's
//! own certificate for servers that ask for one.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use redis::{Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, RedisResult, TlsCertificates};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, sign::CertifiedKey};

use super::fault::RedisFault;

/// Largest PEM file that is read, in bytes.
const PEM_MAX_BYTES: u64 = 1024 * 1024;

const CA: &str = "CSM_REDIS_CA";
const CERT: &str = "CSM_REDIS_CERT";
const KEY: &str = "CSM_REDIS_KEY";

/// Files for TLS to Redis, each PEM. They are read once, at the start.
#[derive(Args, Clone, Debug, Default)]
pub struct RedisTlsArgs {
    /// Certificates of the authorities that Redis' certificate may come from, PEM, in place of the
    /// system's. Needs a rediss URL
    #[arg(long, env = "CSM_REDIS_CA", value_name = "FILE")]
    pub redis_ca: Option<PathBuf>,
    /// Certificates that Redis asks its clients for, PEM: the client's first, each followed by its
    /// issuer's. Needs --redis-key
    #[arg(long, env = "CSM_REDIS_CERT", value_name = "FILE")]
    pub redis_cert: Option<PathBuf>,
    /// Private key of the client's certificate, PEM. Needs --redis-cert
    #[arg(long, env = "CSM_REDIS_KEY", value_name = "FILE")]
    pub redis_key: Option<PathBuf>,
}

impl RedisTlsArgs {
    /// Reads and checks the files; `None` if no file is set. An empty path counts as not set.
    pub(super) fn read(&self) -> Result<Option<TlsCertificates>, RedisFault> {
        let [ca, cert, key] = [&self.redis_ca, &self.redis_cert, &self.redis_key].map(given);
        let client_tls = match (cert, key) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some(client_of(cert, key)?),
            (None, Some(_)) => return Err(RedisFault::Setting(format!("{KEY} needs {CERT}"))),
            (Some(_), None) => return Err(RedisFault::Setting(format!("{CERT} needs {KEY}"))),
        };
        let root_cert = ca.map(authorities_of).transpose()?;
        Ok((client_tls.is_some() || root_cert.is_some()).then_some(TlsCertificates { client_tls, root_cert }))
    }
}

/// Returns how to reach a server with these certificates.
pub(super) fn secured(server: ConnectionInfo, certificates: Option<&TlsCertificates>) -> RedisResult<ConnectionInfo> {
    match certificates {
        None => Ok(server),
        Some(certificates) => Ok(Client::build_with_tls(server, certificates.clone())?.get_connection_info().clone()),
    }
}

/// Returns the fault of certificates that nothing would use.
pub(super) fn unused(server: &ConnectionInfo, certificates: Option<&TlsCertificates>) -> Option<RedisFault> {
    let plain = certificates.is_some() && !matches!(server.addr(), ConnectionAddr::TcpTls { .. });
    plain.then(|| {
        RedisFault::Setting(format!("{CA} and {CERT} are for TLS, and the Redis URL does not begin with rediss"))
    })
}

fn given(path: &Option<PathBuf>) -> Option<&Path> {
    path.as_deref().filter(|path| !path.as_os_str().is_empty())
}

/// Reads the authorities' file, which must hold certificates that can be authorities.
fn authorities_of(path: &Path) -> Result<Vec<u8>, RedisFault> {
    let pem = read(CA, path)?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates_in(CA, path, &pem)? {
        roots.add(certificate).map_err(|error| wrong(CA, path, error))?;
    }
    Ok(pem)
}

/// Reads the client's certificate and its key, which must fit each other.
fn client_of(cert: &Path, key: &Path) -> Result<ClientTlsConfig, RedisFault> {
    let (client_cert, client_key) = (read(CERT, cert)?, read(KEY, key)?);
    let chain = certificates_in(CERT, cert, &client_cert)?;
    let private = PrivateKeyDer::from_pem_slice(&client_key).map_err(|error| wrong(KEY, key, error))?;
    CertifiedKey::from_der(chain, private, &default_provider())
        .map_err(|error| wrong(KEY, key, format!("no key of the certificate {}: {error}", cert.display())))?;
    Ok(ClientTlsConfig { client_cert, client_key })
}

fn certificates_in(name: &str, path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, RedisFault> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(wrong(name, path, "no certificate in PEM")),
        Ok(found) => Ok(found),
        Err(error) => Err(wrong(name, path, error)),
    }
}

fn read(name: &str, path: &Path) -> Result<Vec<u8>, RedisFault> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(PEM_MAX_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| wrong(name, path, error))?;
    if bytes.len() as u64 > PEM_MAX_BYTES {
        return Err(wrong(name, path, format!("more than {PEM_MAX_BYTES} bytes")));
    }
    Ok(bytes)
}

fn wrong(name: &str, path: &Path, why: impl std::fmt::Display) -> RedisFault {
    RedisFault::Setting(format!("{name}: {}: {why}", path.display()))
}

#[cfg(test)]
mod tests;
