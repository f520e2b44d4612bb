//! Tests of the contract that both stores keep, then of the rest of each store.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use csm_shared::store::{
    FolderStore, OBJECT_MAX_BYTES, ObjectKey, S3Settings, S3Store, S3Timeouts, StaticCredentials, Store, StoreArgs,
    StoreError, UPLOAD_PIECE_BYTES,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use csm_testing::s3_server::{ACCESS_KEY, BUCKET, S3Rights, S3Server, SECRET_KEY};

const WAV: &str = "audio/wav";

fn key(text: &str) -> ObjectKey {
    text.parse().unwrap()
}

fn noise(length: usize) -> Bytes {
    (0..length).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn folder_store() -> (Store, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (Store::Folder(FolderStore::open(folder.path()).unwrap()), folder)
}

/// Returns settings that reach [`BUCKET`] on a server at `address`.
fn settings(address: SocketAddr) -> S3Settings {
    S3Settings {
        endpoint: Some(format!("http://{address}")),
        path_style: true,
        credentials: Some(StaticCredentials {
            access_key: ACCESS_KEY.to_owned(),
            secret_key: SECRET_KEY.to_owned().into(),
        }),
        ..S3Settings::new(BUCKET)
    }
}

async fn store_on(server: &S3Server) -> Store {
    Store::S3(S3Store::connect(settings(server.address)).await)
}

#[tokio::test]
async fn s3_keeps_the_contract() {
    let server = S3Server::start().await;
    contract(&store_on(&server).await).await;
}

#[tokio::test]
async fn a_prefix_keeps_the_contract_and_stands_before_every_key() {
    let server = S3Server::start().await;
    let prefixed = S3Settings { prefix: Some(key("team/a")), ..settings(server.address) };
    let store = Store::S3(S3Store::connect(prefixed).await);
    contract(&store).await;
    store.put(&key("x.wav"), noise(10), WAV).await.unwrap();
    assert_eq!(fs::read(server.object_path("team/a/x.wav")).unwrap(), noise(10));
}

#[tokio::test]
async fn a_folder_keeps_the_contract() {
    let (store, _folder) = folder_store();
    contract(&store).await;
}

async fn contract(store: &Store) {
    store.check().await.unwrap();
    missing_objects(store).await;
    whole_objects(store).await;
    ranges(store).await;
    limits(store).await;
    equal_writers(store).await;
    Box::pin(uploads(store)).await;
    probes(store).await;
    store.check().await.unwrap();
}

/// A probe writes for real, and leaves nothing behind.
async fn probes(store: &Store) {
    let probe = ObjectKey::probe("0c1d2e3f").unwrap();
    for _ in 0..2 {
        store.probe(&probe).await.unwrap();
        assert!(matches!(store.size(&probe).await, Err(StoreError::NotFound(_))), "the probe is deleted");
    }
}

#[tokio::test]
async fn a_probe_notices_credentials_that_may_not_write() {
    let server = S3Server::start().await;
    let (store, probe) = (store_on(&server).await, ObjectKey::probe("0c1d2e3f").unwrap());
    for rights in [S3Rights::ReadOnly, S3Rights::Expired] {
        server.set_rights(rights);
        let error = store.probe(&probe).await.unwrap_err();
        assert!(matches!(error, StoreError::Denied(_)), "{rights:?}: {error:?}");
    }
    server.set_rights(S3Rights::ReadOnly);
    store.check().await.expect("the bucket is there, so a check that writes nothing passes");
    server.set_rights(S3Rights::All);
    store.probe(&probe).await.unwrap();
}

async fn missing_objects(store: &Store) {
    let lost = key("audio/nobody/a1.wav");
    let error = store.get(&lost).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound(_)), "{error:?}");
    assert!(error.is_permanent());
    assert!(matches!(store.get_range(&lost, 0..1).await, Err(StoreError::NotFound(_))));
    assert!(matches!(store.size(&lost).await, Err(StoreError::NotFound(_))));
    store.delete(&lost).await.unwrap();
}

async fn whole_objects(store: &Store) {
    for (name, length) in [("audio/j/a1.wav", 2_000_000), ("audio/j/a2.wav", 1), ("audio/j/empty", 0)] {
        let (name, bytes) = (key(name), noise(length));
        store.put(&name, bytes.clone(), WAV).await.unwrap();
        store.put(&name, bytes.clone(), WAV).await.unwrap();
        assert_eq!(store.size(&name).await.unwrap(), length as u64);
        assert!(store.get(&name).await.unwrap() == bytes, "{name} of {length} bytes comes back as it went");
    }
    let deleted = key("audio/j/a1.wav");
    store.delete(&deleted).await.unwrap();
    assert!(matches!(store.get(&deleted).await, Err(StoreError::NotFound(_))));
    assert_eq!(store.size(&key("audio/j/a2.wav")).await.unwrap(), 1, "its neighbour stays");
}

async fn ranges(store: &Store) {
    let (name, bytes) = (key("audio/ranges.wav"), noise(1_000));
    store.put(&name, bytes.clone(), WAV).await.unwrap();
    for (range, expected) in [(0..1, 0..1), (10..20, 10..20), (999..1_000, 999..1_000), (990..5_000, 990..1_000)] {
        assert_eq!(store.get_range(&name, range).await.unwrap(), bytes.slice(expected));
    }
    for range in [1_000..1_001, 5_000..6_000, 7..7] {
        let error = store.get_range(&name, range.clone()).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid(_)), "{range:?}: {error:?}");
    }
}

async fn limits(store: &Store) {
    let too_large = Bytes::from(vec![0; usize::try_from(OBJECT_MAX_BYTES).unwrap() + 1]);
    let error = store.put(&key("audio/large"), too_large, WAV).await.unwrap_err();
    assert!(matches!(error, StoreError::Invalid(_)), "{error:?}");
    assert!(matches!(store.size(&key("audio/large")).await, Err(StoreError::NotFound(_))));
    for lifetime in [Duration::ZERO, Duration::from_hours(8 * 24)] {
        assert!(matches!(store.presign_get(&key("x"), lifetime).await, Err(StoreError::Invalid(_))));
    }
}

/// Writes objects in pieces: whole at once when they end, and nothing if they do not.
async fn uploads(store: &Store) {
    let (large, broken_off) = (key("uploads/large"), key("uploads/broken-off"));
    let bytes = noise(2 * UPLOAD_PIECE_BYTES + 12_345);
    let mut upload = store.upload(&large, "application/jsonl").await.unwrap();
    for part in bytes.chunks(1_000_003) {
        upload.write(part).await.unwrap();
    }
    assert!(matches!(store.size(&large).await, Err(StoreError::NotFound(_))), "visible before its end");
    assert_eq!(upload.finish().await.unwrap(), bytes.len() as u64);
    assert_eq!(store.get(&large).await.unwrap(), bytes);
    let mut upload = store.upload(&broken_off, "application/jsonl").await.unwrap();
    upload.write(&bytes[..UPLOAD_PIECE_BYTES + 1]).await.unwrap();
    drop(upload);
    assert!(matches!(store.size(&broken_off).await, Err(StoreError::NotFound(_))));
    let empty = store.upload(&key("uploads/empty"), "application/jsonl").await.unwrap();
    assert_eq!(empty.finish().await.unwrap(), 0);
    assert_eq!(store.get(&key("uploads/empty")).await.unwrap().len(), 0);
}

/// Writes and reads one object concurrently, because a retry may overtake its first try. Every
/// reader must see the whole object.
async fn equal_writers(store: &Store) {
    let (name, bytes) = (key("audio/twice.wav"), noise(300_000));
    store.put(&name, bytes.clone(), WAV).await.unwrap();
    let writers = futures::future::join_all((0..4).map(|_| store.put(&name, bytes.clone(), WAV)));
    let readers = futures::future::join_all((0..8).map(|_| store.get(&name)));
    let (written, read) = futures::join!(writers, readers);
    assert!(written.into_iter().all(|put| put.is_ok()));
    assert!(read.into_iter().all(|got| got.unwrap() == bytes));
}

#[tokio::test]
async fn a_presigned_url_is_enough_to_get_the_object() {
    let server = S3Server::start().await;
    let store = store_on(&server).await;
    let (name, bytes) = (key("audio/j/a1.wav"), noise(5_000));
    store.put(&name, bytes.clone(), WAV).await.unwrap();
    let url = store.presign_get(&name, Duration::from_mins(1)).await.unwrap().unwrap();
    let (head, body) = http_get(server.address, &url).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.to_lowercase().contains("content-type: audio/wav"), "{head}");
    assert!(body == bytes);
    let (head, _) = http_get(server.address, &url.replace("a1.wav", "a2.wav")).await;
    assert!(head.starts_with("HTTP/1.1 403"), "another object under the same signature: {head}");
}

async fn http_get(address: SocketAddr, url: &str) -> (String, Vec<u8>) {
    let path = url.strip_prefix(&format!("http://{address}")).unwrap();
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    (String::from_utf8(answer[..end].to_vec()).unwrap(), answer[end + 4..].to_vec())
}

#[tokio::test]
async fn a_missing_bucket_is_a_wrong_setting() {
    let server = S3Server::start().await;
    let wrong = S3Settings { bucket: "no-such-bucket".to_owned(), ..settings(server.address) };
    let error = Store::S3(S3Store::connect(wrong).await).check().await.unwrap_err();
    assert!(matches!(error, StoreError::Invalid(_)) && error.is_permanent(), "{error:?}");
    assert!(error.to_string().contains("CSM_STORE"), "{error}");
}

/// Checks answers that s3s-fs never gives, word for word as AWS sends them.
#[tokio::test]
async fn answers_of_other_servers_fall_into_the_right_class() {
    let no_bucket = answering("404 Not Found", "NoSuchBucket").await;
    let error = no_bucket.put(&key("x"), noise(1), WAV).await.unwrap_err();
    assert!(matches!(error, StoreError::Invalid(_)), "{error:?}");
    let error = no_bucket.get(&key("x")).await.unwrap_err();
    assert!(matches!(error, StoreError::Invalid(_)), "a lost bucket is not a lost object: {error:?}");

    let error = answering("400 Bad Request", "ExpiredToken").await.get(&key("x")).await.unwrap_err();
    assert!(matches!(error, StoreError::Denied(_)), "{error:?}");

    let busy = answering("503 Service Unavailable", "SlowDown").await;
    let begun = Instant::now();
    let error = busy.put(&key("x"), noise(1), WAV).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)) && !error.is_permanent(), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(10), "retries are bounded");
}

/// Returns a store whose server answers every request with this error.
async fn answering(status: &'static str, code: &'static str) -> Store {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            read_head(&mut socket).await;
            let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>told so</Message></Error>");
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
            socket.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        }
    });
    Store::S3(S3Store::connect(settings(address)).await)
}

#[tokio::test]
async fn wrong_credentials_are_denied_for_good() {
    let server = S3Server::start().await;
    let mut wrong = settings(server.address);
    wrong.credentials.as_mut().unwrap().secret_key = "wrong".to_owned().into();
    let store = Store::S3(S3Store::connect(wrong).await);
    for error in [store.check().await.unwrap_err(), store.put(&key("x"), noise(1), WAV).await.unwrap_err()] {
        assert!(matches!(error, StoreError::Denied(_)) && error.is_permanent(), "{error:?}");
        assert!(!error.to_string().contains("wrong"), "no secrets in messages");
    }
}

#[tokio::test]
async fn a_dead_endpoint_is_unavailable_for_now() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let store = Store::S3(S3Store::connect(settings(address)).await);
    let begun = Instant::now();
    let error = store.put(&key("x"), noise(1), WAV).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)) && !error.is_permanent(), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(10), "retries are bounded");
}

#[tokio::test]
async fn a_silent_endpoint_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let timeouts = S3Timeouts {
        connect: Duration::from_millis(200),
        attempt: Duration::from_millis(300),
        operation: Duration::from_secs(1),
    };
    let silent = S3Settings { timeouts, ..settings(listener.local_addr().unwrap()) };
    let store = Store::S3(S3Store::connect(silent).await);
    let begun = Instant::now();
    let name = key("x");
    let (put, get) = futures::join!(store.put(&name, noise(1), WAV), store.get(&name));
    for error in [put.unwrap_err(), get.unwrap_err()] {
        assert!(matches!(error, StoreError::Timeout(_)) && !error.is_permanent(), "{error:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_body_that_stops_in_the_middle_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let timeouts = S3Timeouts { operation: Duration::from_secs(1), ..S3Timeouts::default() };
    let stuck = S3Settings { timeouts, ..settings(listener.local_addr().unwrap()) };
    let serving = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        read_head(&mut socket).await;
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await.unwrap();
        std::future::pending::<()>().await;
    });
    let error = Store::S3(S3Store::connect(stuck).await).get(&key("x")).await.unwrap_err();
    assert!(matches!(error, StoreError::Timeout(_)), "{error:?}");
    serving.abort();
}

/// Checks that servers other than AWS get no checksum headers and no chunked signing, because many
/// refuse both.
#[tokio::test]
async fn a_put_off_aws_is_plain() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let store = Store::S3(S3Store::connect(settings(listener.local_addr().unwrap())).await);
    let served = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let head = read_head(&mut socket).await;
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        head
    });
    store.put(&key("x"), noise(100), WAV).await.unwrap();
    let head = served.await.unwrap();
    assert!(head.starts_with(&format!("put /{BUCKET}/x")), "path style: {head}");
    assert!(head.contains("content-length: 100\r\n"), "{head}");
    assert!(!head.contains("aws-chunked") && !head.contains("x-amz-checksum"), "{head}");
}

async fn read_head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        socket.read_buf(&mut head).await.unwrap();
    }
    String::from_utf8_lossy(&head).to_lowercase()
}

#[tokio::test]
async fn a_folder_that_went_away_is_not_made_anew() {
    let (store, folder) = folder_store();
    let path = folder.path().to_owned();
    folder.close().unwrap();
    for error in [store.check().await.unwrap_err(), store.put(&key("x"), noise(1), WAV).await.unwrap_err()] {
        assert!(matches!(error, StoreError::Invalid(_)), "{error:?}");
    }
    assert!(!path.exists());
}

#[tokio::test]
async fn a_folder_holds_objects_as_files_and_nothing_else() {
    let (store, folder) = folder_store();
    store.put(&key("audio/j/a1.wav"), noise(7), WAV).await.unwrap();
    store.check().await.unwrap();
    assert_eq!(fs::read(folder.path().join("audio/j/a1.wav")).unwrap(), noise(7));
    assert_eq!(fs::read_dir(folder.path().join("audio/j")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(store.presign_get(&key("audio/j/a1.wav"), Duration::from_mins(1)).await.unwrap(), None);
}

#[derive(clap::Parser)]
struct StoreTestCli {
    #[command(flatten)]
    store: StoreArgs,
}

#[tokio::test]
async fn settings_build_the_store_they_name() {
    let folder = tempfile::tempdir().unwrap();
    let location = format!("folder:{}", folder.path().join("new").display());
    let store = StoreTestCli::parse_from(["x", "--store", &location]).store.build().await.unwrap();
    store.check().await.unwrap();
    assert!(matches!(store, Store::Folder(_)));
    let store = StoreTestCli::parse_from(["x", "--store", "s3:bucket/prefix", "--s3-endpoint", "http://127.0.0.1:1"]);
    assert!(matches!(store.store.build().await.unwrap(), Store::S3(_)));
}
