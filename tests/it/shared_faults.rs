//! Faults of the parts that all jobs share: the store, its disk, its credentials, and the device.
//! They count against no job, and no audio is generated twice.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use csm_testing::s3_server::S3Rights;
use serde_json::Value;

use crate::test_system::{Keep, TestSystem, s3};

/// Duration of each outage. `CSM_TEST_OUTAGE_SECONDS` makes it longer.
const OUTAGE: Duration = Duration::from_secs(3);
/// Slots of the worker.
const SLOTS: u8 = 2;
/// Jobs that wait while the part is out of order: several times the slots.
const JOBS: u64 = 10;
/// Frames of each job.
const FRAMES: u64 = 20;
/// Lives of a worker whose device fails every job.
const LIVES: usize = 8;

fn outage() -> Duration {
    let asked = std::env::var("CSM_TEST_OUTAGE_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    asked.map_or(OUTAGE, Duration::from_secs)
}

async fn submit(system: &TestSystem, seeds: std::ops::Range<u64>) -> Vec<String> {
    let mut jobs = Vec::new();
    for seed in seeds {
        jobs.push(system.client.submit(seed, FRAMES).await);
    }
    jobs
}

fn counts(record: &Value) -> [&Value; 2] {
    [&record["failures"], &record["crashes"]]
}

/// Runs jobs through an outage of the store that begins with `begin` and ends with `end`.
async fn assert_outage_costs_nothing(system: &TestSystem, begin: impl FnOnce(), end: impl FnOnce()) -> Vec<Value> {
    for id in submit(system, 0..2).await {
        assert_eq!(system.client.finished(&id).await["status"], "succeeded");
    }
    begin();
    let jobs = submit(system, 2..2 + JOBS).await;
    let readiness = system.readiness_until(0, |readiness| readiness["status"] == "degraded").await;
    let reason = readiness["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("store: "), "{reason}");
    // The outage itself, which takes its time.
    tokio::time::sleep(outage()).await;

    let mut claimed = 0;
    for id in &jobs {
        let record = system.client.job(id).await;
        assert!(record["status"] == "queued" || record["status"] == "running", "{record}");
        claimed += record["attempt"].as_u64().unwrap();
    }
    assert!((1..=u64::from(SLOTS)).contains(&claimed), "{claimed} jobs were claimed, and nothing more");
    assert_eq!(system.readiness_until(0, |_| true).await["status"], "degraded");
    end();

    system.readiness_until(0, |readiness| readiness["status"] == "ready").await;
    let mut records = Vec::new();
    for id in &jobs {
        let record = system.client.finished(id).await;
        assert_eq!(record["status"], "succeeded", "{record}");
        assert_eq!(counts(&record), [0, 0], "nothing is charged: {record}");
        let receipt = &record["receipt"];
        assert_eq!([&record["attempt"], &receipt["resumed_frames"]], [1, 0], "the audio is made once: {record}");
        records.push(record);
    }
    println!("{:?} of outage ({reason}): {JOBS} jobs succeeded at their first attempt", outage());
    records
}

#[tokio::test]
async fn a_store_that_is_away_costs_no_attempt() {
    let system = TestSystem::start(1, SLOTS).await;
    let (store, away) = (system.store_folder(), system.store_folder().with_extension("away"));
    let records = assert_outage_costs_nothing(
        &system,
        || fs::rename(&store, &away).unwrap(),
        || fs::rename(&away, &store).unwrap(),
    )
    .await;
    for record in records {
        system.client.audio(&record).await;
        assert_eq!(record["receipt"]["model"], "model", "no path of the worker's machine");
    }
    assert_eq!(system.stored_files().len() as u64, 2 + JOBS);
}

/// The disk keeps room for a probe, and none for a recording.
#[tokio::test]
async fn a_full_disk_costs_no_attempt_and_is_not_ready() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: this user may not mount a file system");
        return;
    };
    let mut system = TestSystem::start_with(Keep::FolderAt(disk.folder.clone()), 0, SLOTS).await;
    disk.fill(0);
    system.add_worker();
    let readiness = system.readiness_until(0, |readiness| readiness["status"] == "degraded").await;
    assert!(readiness["reason"].as_str().unwrap().contains("No space left"), "{readiness}");
    disk.empty();
    system.readiness_until(0, |readiness| readiness["status"] == "ready").await;

    let records = assert_outage_costs_nothing(&system, || disk.fill(32 << 10), || disk.empty()).await;
    for record in records {
        system.client.audio(&record).await;
    }
}

#[tokio::test]
async fn expired_credentials_cost_no_attempt() {
    let server = s3().await;
    let system = TestSystem::start_with(Keep::S3(server.address), 1, SLOTS).await;
    let records = assert_outage_costs_nothing(
        &system,
        || server.set_rights(S3Rights::Expired),
        || server.set_rights(S3Rights::All),
    )
    .await;
    for record in records {
        let location = record["receipt"]["location"].as_str().unwrap();
        let stored = fs::metadata(server.object_path(&format!("fleet/{location}"))).unwrap().len();
        assert_eq!(record["receipt"]["bytes"], stored);
    }
    assert_eq!(fs::read_dir(server.object_path("fleet/audio/probe")).map_or(0, Iterator::count), 0, "no probe is left");
}

#[tokio::test]
async fn credentials_that_may_not_write_are_not_ready() {
    let server = s3().await;
    let mut system = TestSystem::start_with(Keep::S3(server.address), 0, SLOTS).await;
    server.set_rights(S3Rights::ReadOnly);
    system.add_worker();
    let readiness = system.readiness_until(0, |readiness| readiness["status"] == "degraded").await;
    assert!(readiness["reason"].as_str().unwrap().contains("denied access"), "{readiness}");
    server.set_rights(S3Rights::All);
    system.readiness_until(0, |readiness| readiness["status"] == "ready").await;
}

/// The device passes its warm-up and fails on every text. Each job ends several workers, alone too.
#[tokio::test]
async fn a_device_that_fails_every_job_costs_no_attempt() {
    let mut system = TestSystem::start(0, SLOTS).await;
    let weights = system.model_folder().join("model.safetensors");
    let sound = fs::read(&weights).unwrap();
    fs::write(&weights, without_letters(sound.clone())).unwrap();
    let jobs = submit(&system, 0..3).await;
    for _ in 0..LIVES {
        system.add_worker();
        let mut worker = system.workers.pop().unwrap();
        assert_eq!(worker.process.end().await.unwrap().code(), Some(1), "the engine ends, and the worker with it");
    }
    let mut attempts = 0;
    for id in &jobs {
        let record = system.client.job(id).await;
        assert_eq!((&record["status"], counts(&record)), (&"queued".into(), [&0.into(), &0.into()]), "{record}");
        attempts += record["attempt"].as_u64().unwrap();
    }
    assert!(attempts > LIVES as u64, "{attempts} attempts: the jobs ran beside each other, then alone");

    fs::write(&weights, sound).unwrap();
    system.add_worker();
    system.ready().await;
    for id in &jobs {
        let record = system.client.finished(id).await;
        system.client.audio(&record).await;
        assert_eq!(counts(&record), [0, 0], "{record}");
    }
    println!("{LIVES} workers died of their device in {attempts} attempts, and nothing was charged");
}

/// Replaces the embedding of every text id but the first ones, which the warm-up speaks, by NaN.
fn without_letters(mut file: Vec<u8>) -> Vec<u8> {
    /// Ids that stay.
    const KEPT: usize = 8;
    let header = usize::try_from(u64::from_le_bytes(file[..8].try_into().unwrap())).unwrap();
    let tensors: Value = serde_json::from_slice(&file[8..8 + header]).unwrap();
    let table = &tensors["embed_text_tokens.weight"];
    let offset = |index: usize| 8 + header + usize::try_from(table["data_offsets"][index].as_u64().unwrap()).unwrap();
    let ids = usize::try_from(table["shape"][0].as_u64().unwrap()).unwrap();
    let (begin, end) = (offset(0), offset(1));
    // All bits set are NaN in each of the float formats.
    file[begin + (end - begin) / ids * KEPT..end].fill(0xff);
    file
}

/// Small file system in memory.
struct SmallDisk {
    folder: PathBuf,
    _place: tempfile::TempDir,
}

impl SmallDisk {
    /// Mounts the file system; `None` if this user may not.
    fn mount() -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("disk");
        fs::create_dir(&folder).unwrap();
        let done = |program: &str, args: &[&str]| {
            let folder = folder.to_str().unwrap();
            Command::new(program).args(args).arg(folder).output().is_ok_and(|output| output.status.success())
        };
        let mounted = done("mount", &["-t", "tmpfs", "-o", "size=8m,mode=0777", "tmpfs"])
            || done("sudo", &["-n", "mount", "-t", "tmpfs", "-o", "size=8m,mode=0777", "tmpfs"]);
        mounted.then_some(Self { folder, _place: place })
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }

    /// Fills the disk, but for about `left` bytes.
    fn fill(&self, left: u64) {
        let mut file = fs::File::create(self.filler()).unwrap();
        while file.write_all(&[1; 4_096]).is_ok() {}
        let length = file.metadata().unwrap().len();
        file.set_len(length - left).unwrap();
    }

    fn empty(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmount = |program: &str, args: &[&str], folder: &Path| {
            Command::new(program).args(args).arg(folder).output().is_ok_and(|output| output.status.success())
        };
        let _ = unmount("umount", &["-l"], &self.folder) || unmount("sudo", &["-n", "umount", "-l"], &self.folder);
    }
}

/// A worker that Redis refuses must not look ready: a rollout with a wrong password would replace all
/// workers by such ones.
#[tokio::test]
async fn a_worker_that_redis_refuses_is_not_ready() {
    let system = TestSystem::start(1, SLOTS).await;
    let admin = redis::Client::open(system.redis.url()).unwrap();
    let mut admin = admin.get_multiplexed_async_connection().await.unwrap();
    let mut say = async |words: &str| {
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        for word in words {
            command.arg(word);
        }
        command.query_async::<()>(&mut admin).await.unwrap();
    };
    say("CONFIG SET requirepass secret").await;
    say("CLIENT KILL TYPE normal SKIPME yes").await;
    let readiness = system.readiness_until(0, |readiness| readiness["status"] == "degraded").await;
    let reason = readiness["reason"].as_str().unwrap();
    assert!(reason.starts_with("redis: ") && !reason.contains("secret"), "{reason}");

    say("CONFIG SET requirepass ").await;
    system.readiness_until(0, |readiness| readiness["status"] == "ready").await;
    let id = system.client.submit(1, FRAMES).await;
    assert_eq!(system.client.finished(&id).await["status"], "succeeded");
}
