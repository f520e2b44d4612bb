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
    let waited = timeout(Duration::from_millis(500), probe::until_ready(server.port(), other_pid)).await;
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
