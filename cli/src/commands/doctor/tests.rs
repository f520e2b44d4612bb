#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Output};

use csm_worker::marks::Policy;

use super::*;

fn ended(status: i32, stderr: &str) -> Output {
    Output { status: ExitStatus::from_raw(status), stdout: Vec::new(), stderr: stderr.as_bytes().to_vec() }
}

#[test]
fn servers_tell_their_version() {
    assert_eq!(
        redis_check::version("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64"),
        Some((7, 0))
    );
    assert_eq!(redis_check::version("Valkey server v=8.1.0 sha=1"), Some((8, 1)));
    assert_eq!(redis_check::version("redis 7"), None);
}

#[test]
fn a_gpu_is_read_from_one_line() {
    let gpu = cuda_check::parse_gpu("NVIDIA L4, 580.65.06, 8.9").unwrap();
    assert_eq!(gpu, cuda_check::Gpu { name: "NVIDIA L4".to_owned(), driver: 580, capability: 89 });
    assert_eq!(cuda_check::parse_gpu("No devices were found"), None);
}

#[test]
fn a_driver_must_load_and_be_new_enough() {
    let gpu = |driver| cuda_check::Gpu { name: "NVIDIA L4".to_owned(), driver, capability: 89 };
    let verdict = |driver, loads| cuda_check::driver(Some(&gpu(driver)), loads).verdict;
    assert_eq!(
        [verdict(580, true), verdict(579, true), verdict(580, false)],
        [Severity::Ok, Severity::Problem, Severity::Problem]
    );
}

#[test]
fn the_loaders_complaint_is_put_into_words() {
    let missing = |library: &str| {
        let said =
            format!("csm-worker: error while loading shared libraries: {library}: cannot open shared object file");
        cuda_check::in_words(&ended(127 << 8, &said)).0
    };
    assert!(missing("libcuda.so.1").contains("NVIDIA driver"));
    assert!(missing("libcublas.so.13").contains("libcublas.so.13, which is part of the CUDA 13 libraries"));
    assert_eq!(cuda_check::in_words(&ended(127 << 8, "sh: not found")).0, "it exits with 127: sh: not found");
    assert_eq!(cuda_check::in_words(&ended(4, "")).0, "signal 4 ended it");
}

#[test]
fn free_space_is_read_from_df() {
    let told = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda 1000 400 600 40% /\n";
    assert_eq!(places::free_bytes(told), Some(600 * 1024));
    assert_eq!(places::free_bytes("df: no such file\n"), None);
}

#[test]
fn a_finding_is_one_line_that_ends_in_what_to_do() {
    let finding = CheckResult::warning("disk", "1.0 GB free", "Free some");
    assert_eq!(finding.to_string(), "warning  disk         1.0 GB free. Free some");
}

#[test]
fn the_key_is_named_and_never_shown() {
    let key = |secret: &str| watermark_check::key(Some(&secret.into()));
    let good = key("a passphrase of some length");
    assert_eq!(good.verdict, Severity::Ok);
    assert!(!good.to_string().contains("passphrase"), "{good}");
    let weak = key("short secret");
    assert_eq!(weak.verdict, Severity::Problem);
    assert!(!weak.to_string().contains("short"), "{weak}");
    for published in [watermark_check::key(None), key(""), key(csm_shared::watermark::DEVELOPMENT_SECRET)] {
        assert_eq!(published.verdict, Severity::Warning);
        assert!(published.what.contains("proves nothing"), "{published}");
    }
}

#[tokio::test]
async fn weights_that_are_asked_for_and_missing_are_a_problem() {
    let nowhere = tempfile::tempdir().unwrap();
    let hub = HubOptions { offline: true, cache_dir: Some(nowhere.path().to_owned()), ..HubOptions::default() };
    let look = async |policy, silentcipher: &str| {
        let marks = MarkArgs { watermark: policy, silentcipher: silentcipher.parse().unwrap() };
        watermark_check::check(&marks, None, &hub).await.map(|finding| (finding.verdict, finding.to_string()))
    };
    let [policy, _, weights] = look(None, "sony/silentcipher").await;
    assert!(policy.1.contains("the builtin mark") && policy.1.contains("not in the cache"), "{policy:?}");
    assert_eq!(weights.0, Severity::Ok, "nobody asked for them: {weights:?}");
    let [_, _, weights] = look(Some(Policy::Both), "sony/silentcipher").await;
    assert_eq!(weights.0, Severity::Problem, "{weights:?}");
    let [policy, _, weights] = look(None, nowhere.path().to_str().unwrap()).await;
    assert!(policy.1.contains("both marks"), "{policy:?}");
    assert!(weights.0 == Severity::Problem && weights.1.contains("enc_c.ckpt"), "{weights:?}");
}
