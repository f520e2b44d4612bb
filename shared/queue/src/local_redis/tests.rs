#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpListener;

use redis::AsyncCommands;
use tokio::time::Instant;

use super::*;

async fn connect(server: &LocalRedis) -> redis::aio::MultiplexedConnection {
    redis::Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
}

#[tokio::test]
async fn data_survives_a_kill_and_a_restart_on_the_same_port() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = LocalRedis::spawn(folder.path(), &LocalRedisOptions::default()).await.unwrap();
    let url = server.url();
    let _: () = connect(&server).await.set("key", "value").await.unwrap();
    server.kill().await.unwrap();
    assert!(TcpListener::bind(("127.0.0.1", server.port())).is_ok(), "the killed server is gone");
    server.restart().await.unwrap();
    assert_eq!(server.url(), url);
    let value: String = connect(&server).await.get("key").await.unwrap();
    assert_eq!(value, "value");
    let settings: Vec<String> =
        redis::cmd("CONFIG").arg("GET").arg("appendfsync").query_async(&mut connect(&server).await).await.unwrap();
    assert_eq!(settings, ["appendfsync", "always"]);
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_memory_of_the_server_is_bounded_and_nothing_is_evicted() {
    let folder = tempfile::tempdir().unwrap();
    let setting = async |options: &LocalRedisOptions, name: &str| {
        let server = LocalRedis::spawn(folder.path(), options).await.unwrap();
        let mut get = redis::cmd("CONFIG");
        get.arg("GET").arg(name);
        let found: Vec<String> = get.query_async(&mut connect(&server).await).await.unwrap();
        server.shutdown().await.unwrap();
        found[1].clone()
    };
    let default = LocalRedisOptions::default();
    assert_eq!(setting(&default, "maxmemory").await, (1_u64 << 30).to_string());
    assert_eq!(setting(&default, "maxmemory-policy").await, "noeviction");
    let other = LocalRedisOptions { settings: vec!["--maxmemory".into(), "0".into()], ..Default::default() };
    assert_eq!(setting(&other, "maxmemory").await, "0");
}

/// A Ctrl-C in a terminal goes to the whole process group of the foreground program.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn signals_for_our_group_do_not_reach_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = LocalRedis::spawn(folder.path(), &LocalRedisOptions::default()).await.unwrap();
    for pid in [server.child.id().unwrap(), server.tether.id().unwrap()] {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let group = stat.rsplit_once(") ").unwrap().1.split(' ').nth(2).unwrap();
        assert_eq!(group, pid.to_string(), "leads a group of its own");
    }
}

#[tokio::test]
async fn shutdown_is_clean_and_quick() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = LocalRedis::spawn(folder.path(), &LocalRedisOptions::default()).await.unwrap();
    let begun = Instant::now();
    server.tether.pull();
    let status = timeout(STOP_LIMIT, server.child.wait()).await.unwrap().unwrap();
    assert!(status.success(), "SIGTERM, not SIGKILL: {status}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_folder_holds_one_server_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = LocalRedis::spawn(folder.path(), &LocalRedisOptions::default()).await.unwrap();
    let second = LocalRedis::spawn(folder.path(), &LocalRedisOptions::default()).await;
    assert!(matches!(second, Err(LocalRedisError::FolderInUse(_))), "{second:?}");
    first.shutdown().await.unwrap();
    let third = LocalRedis::spawn(folder.path(), &LocalRedisOptions::default()).await.unwrap();
    third.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_reported_if_fixed() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let options = LocalRedisOptions { port: Some(port), ..Default::default() };
    let error = LocalRedis::spawn(folder.path(), &options).await.unwrap_err();
    let LocalRedisError::Ended { log, .. } = &error else { panic!("{error}") };
    assert!(is_port_taken(log), "the retry with another port hangs on this: {log}");
}

#[tokio::test]
async fn a_foreign_server_is_not_taken_for_ours() {
    let folder = tempfile::tempdir().unwrap();
    let server = LocalRedis::spawn(folder.path(), &LocalRedisOptions::default()).await.unwrap();
    let other_pid = server.child.id().unwrap() + 1;
    let waited = timeout(Duration::from_millis(500), probe::until_ready(&server.url(), other_pid)).await;
    assert!(waited.is_err());
}

#[tokio::test]
async fn a_missing_server_names_the_install_line() {
    let folder = tempfile::tempdir().unwrap();
    let options = LocalRedisOptions { server: Some("/no/such/redis-server".into()), ..Default::default() };
    let error = LocalRedis::spawn(folder.path(), &options).await.unwrap_err().to_string();
    assert!(error.contains("/no/such/redis-server"), "{error}");
    assert!(error.contains("apt-get install redis-server"), "{error}");
}

#[tokio::test]
async fn the_end_of_the_pipe_ends_the_child() {
    let mut child = Command::new("sleep").arg("600").kill_on_drop(true).spawn().unwrap();
    let mut tether = Tether::to(child.id().unwrap()).unwrap();
    assert!(timeout(Duration::from_millis(200), child.wait()).await.is_err(), "tied, not ended");
    tether.pull();
    let status = timeout(STOP_LIMIT, child.wait()).await.unwrap().unwrap();
    assert!(!status.success());
}

/// Returns the permissions of a file, without its type.
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn on_socket() -> LocalRedisOptions {
    LocalRedisOptions { socket: true, ..Default::default() }
}

#[tokio::test]
async fn a_socket_serves_commands_subscriptions_and_waits_for_its_user_alone() {
    use futures::StreamExt as _;

    let folder = tempfile::tempdir().unwrap();
    // A folder's name with what a URL must encode.
    let data = folder.path().join("so % # ümläut");
    let server = LocalRedis::spawn(&data, &on_socket()).await.unwrap();
    assert_eq!(server.port(), 0);
    assert_eq!(running_url(&data), Some(server.url()));
    assert_eq!((mode(&data), mode(&data.join("redis.sock"))), (0o700, 0o700));

    let args = crate::redis_client::RedisArgs::new(server.url(), "csm");
    let client = crate::redis_client::RedisClient::new(&args, Duration::from_secs(5)).unwrap();
    client.ping().await.unwrap();
    let mut subscription = client.pubsub().await.unwrap();
    subscription.subscribe("channel").await.unwrap();
    let _: u64 = client.command(redis::cmd("PUBLISH").arg("channel").arg("text")).await.unwrap();
    let message = timeout(STOP_LIMIT, subscription.on_message().next()).await.unwrap().unwrap();
    assert_eq!(message.get_payload_bytes(), b"text");
    let mut waiting = client.blocking_connection("list", Duration::from_secs(5)).await.unwrap();
    let _: u64 = client.command(redis::cmd("RPUSH").arg("list").arg("item")).await.unwrap();
    let item: (String, String) = redis::cmd("BLPOP").arg("list").arg(5).query_async(&mut waiting).await.unwrap();
    assert_eq!(item.1, "item");
    server.shutdown().await.unwrap();
    assert_eq!(running_url(&data), None);
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_gets_a_private_folder_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("x".repeat(120));
    let mut server = LocalRedis::spawn(&data, &on_socket()).await.unwrap();
    let RedisPlace::Socket(place) = server.place.clone() else { panic!("{}", server.place) };
    let elsewhere = place.socket().parent().unwrap().to_owned();
    drop(place);
    assert!(!elsewhere.starts_with(&data));
    assert_eq!(mode(&elsewhere), 0o700);
    server.restart().await.unwrap();
    assert_eq!(running_url(&data), Some(server.url()));
    server.shutdown().await.unwrap();
    assert!(!elsewhere.exists());
}

#[tokio::test]
async fn a_server_that_ends_is_started_again_with_its_data() {
    let folder = tempfile::tempdir().unwrap();
    let server = LocalRedis::spawn(folder.path(), &on_socket()).await.unwrap().supervise();
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let _: () = connection.set("key", "value").await.unwrap();
    // The answer to SHUTDOWN is the end of the connection.
    let _ = redis::cmd("SHUTDOWN").arg("NOSAVE").exec_async(&mut connection).await;
    let again = async {
        loop {
            if let Ok(mut connection) = client.get_multiplexed_async_connection().await
                && let Ok(value) = connection.get::<_, String>("key").await
            {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert_eq!(timeout(READY_LIMIT, again).await.unwrap(), "value");
    server.shutdown().await.unwrap();
    assert_eq!(running_url(folder.path()), None);
}
