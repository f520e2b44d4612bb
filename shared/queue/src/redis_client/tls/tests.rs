#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use csm_testing::certificates::Authority;
use tempfile::TempDir;

use super::*;
use crate::redis_client::{RedisArgs, RedisClient};

const URL: &str = "rediss://:hush@127.0.0.1:7000";

fn setting<T>(read: Result<T, RedisFault>) -> String {
    match read {
        Err(RedisFault::Setting(what)) => what,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("accepted"),
    }
}

fn client(redis_url: &str, tls: &RedisTlsArgs) -> Result<RedisClient, RedisFault> {
    let args = RedisArgs { tls: tls.clone(), ..RedisArgs::new(redis_url, "test") };
    RedisClient::new(&args, std::time::Duration::ZERO)
}

#[test]
fn without_files_the_systems_authorities_are_asked() {
    assert!(RedisTlsArgs::default().read().unwrap().is_none());
    let empty = RedisTlsArgs { redis_ca: Some(PathBuf::new()), ..RedisTlsArgs::default() };
    assert!(empty.read().unwrap().is_none());
}

#[test]
fn certificates_are_for_all_topologies() {
    let folder = TempDir::new().unwrap();
    let authority = Authority::new(folder.path(), "authority").unwrap();
    let own = authority.sign("client").unwrap();
    let tls = RedisTlsArgs {
        redis_ca: Some(authority.certificate.clone()),
        redis_cert: Some(own.certificate),
        redis_key: Some(own.key),
    };
    let certificates = tls.read().unwrap().unwrap();
    assert!(certificates.root_cert.is_some() && certificates.client_tls.is_some());
    for url in [URL, "rediss+sentinel://s1,s2/main", "rediss+cluster://n1:7000,n2:7001"] {
        client(url, &tls).unwrap();
    }
    for url in ["redis://127.0.0.1:7000", "redis+sentinel://s1/main", "redis+cluster://n1:7000", "unix:///tmp/r.sock"] {
        let why = setting(client(url, &tls).map(drop));
        assert!(why.contains("rediss"), "{why}");
    }
}

#[test]
fn a_wrong_file_is_named_with_its_setting_and_no_secret() {
    let folder = TempDir::new().unwrap();
    let authority = Authority::new(folder.path(), "authority").unwrap();
    let (own, other) = (authority.sign("client").unwrap(), authority.sign("other").unwrap());
    let text = folder.path().join("text");
    std::fs::write(&text, "no certificate\n").unwrap();

    let ca = |file: &Path| RedisTlsArgs { redis_ca: Some(file.to_owned()), ..RedisTlsArgs::default() };
    let pair = |cert: &Path, key: &Path| RedisTlsArgs {
        redis_cert: Some(cert.to_owned()),
        redis_key: Some(key.to_owned()),
        ..RedisTlsArgs::default()
    };
    let half = RedisTlsArgs { redis_cert: Some(own.certificate.clone()), ..RedisTlsArgs::default() };
    for (tls, names) in [
        (ca(Path::new("/nowhere/ca.crt")), ["CSM_REDIS_CA", "/nowhere/ca.crt"]),
        (ca(&text), ["CSM_REDIS_CA", "no certificate in PEM"]),
        (ca(&own.key), ["CSM_REDIS_CA", "client.key"]),
        (half, ["CSM_REDIS_CERT", "CSM_REDIS_KEY"]),
        (pair(&own.certificate, &text), ["CSM_REDIS_KEY", "text"]),
        (pair(&own.certificate, &other.key), ["CSM_REDIS_KEY", "no key of the certificate"]),
    ] {
        let why = setting(client(URL, &tls).map(drop));
        assert!(names.iter().all(|name| why.contains(name)), "{why}");
        assert!(!why.contains("hush") && !why.contains("PRIVATE"), "{why}");
    }
}
