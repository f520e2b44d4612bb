//! The faults of `docs/redis.md` that can be caused on one real server. Within its patience the
//! client tries again and succeeds; beyond it the caller gets `Unavailable`. No later call gets a
//! broken connection.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use csm_queue::redis_client::{RedisClient, RedisFault};
use redis::Script;
use tokio::time::timeout;

use crate::topology::servers::{PATIENCE, TestServer, command, is_unavailable, programs, until};

/// Runs a script that writes.
fn write(client: &RedisClient) -> impl Future<Output = Result<i64, RedisFault>> {
    let client = client.clone();
    async move { client.script(&Script::new("return redis.call('INCR', KEYS[1])").key("counter")).await }
}

/// Checks a fault that is under way. An impatient caller gets `Unavailable`; a patient one that
/// comes meanwhile succeeds once the fault is over.
async fn passes(server: &TestServer, end: impl AsyncFnOnce()) {
    let (patient, impatient) = (server.client(PATIENCE), server.client(Duration::ZERO));
    let answer = write(&impatient).await;
    assert!(is_unavailable(&answer), "{answer:?}");
    let waiting = tokio::spawn(async move { write(&patient).await });
    end().await;
    waiting.await.unwrap().unwrap();
    write(&impatient).await.unwrap();
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_loaded_again() {
    for program in programs() {
        let server = TestServer::start(program.as_deref(), &[]).await;
        let client = server.client(Duration::ZERO);
        write(&client).await.unwrap();
        server.say("SCRIPT FLUSH").await;
        assert_eq!(write(&client).await.unwrap(), 2);
    }
}

/// Connections are not checked before each use. A call that finds one that died with its server
/// must not fail.
#[tokio::test]
async fn a_connection_that_died_in_its_pool_is_replaced_within_the_call() {
    for program in programs() {
        let mut server = TestServer::start(program.as_deref(), &[]).await;
        let client = server.client(Duration::ZERO);
        futures::future::try_join_all((0..8).map(|_| write(&client))).await.unwrap();
        server.redis.restart().await.unwrap();
        for _ in 0..8 {
            write(&client).await.unwrap();
        }
        let mut pipeline = redis::pipe();
        pipeline.cmd("GET").arg("counter").ignore().cmd("PING");
        server.redis.restart().await.unwrap();
        client.pipeline_once::<(String,)>(&pipeline).await.unwrap();
    }
}

/// All calls under way share the death of their connection, and one of them must not throw away the
/// next one that another has made.
#[tokio::test]
async fn a_shared_connection_that_died_is_replaced_within_every_call() {
    for program in programs() {
        let mut server = TestServer::start(program.as_deref(), &[]).await;
        let client = server.client(Duration::ZERO);
        let (id, ping) = (command("CLIENT ID"), command("PING"));
        let ids = futures::future::join_all((0..32).map(|_| client.shared_command::<u64>(&id))).await;
        let first = *ids[0].as_ref().unwrap();
        assert!(ids.iter().all(|id| *id.as_ref().unwrap() == first), "one connection for all");

        let left = timeout(Duration::from_millis(50), client.shared_command::<()>(&command("BLPOP nothing 0.2"))).await;
        assert!(left.is_err());
        assert_eq!(client.shared_command::<u64>(&id).await.unwrap(), first, "nobody loses it by a caller that left");

        server.redis.restart().await.unwrap();
        let pings = futures::future::join_all((0..32).map(|_| client.shared_command::<String>(&ping))).await;
        assert!(pings.iter().all(Result::is_ok), "{pings:?}");
        let ids = futures::future::join_all((0..32).map(|_| client.shared_command::<u64>(&id))).await;
        let next = *ids[0].as_ref().unwrap();
        assert!(ids.iter().all(|id| *id.as_ref().unwrap() == next), "again one connection");
    }
}

#[tokio::test]
async fn a_full_server_is_unavailable_to_scripts_and_pipelines() {
    for program in programs() {
        let server = TestServer::start(program.as_deref(), &["--maxmemory 1"]).await;
        let mut pipeline = redis::pipe();
        pipeline.cmd("SET").arg("a").arg(1).ignore().cmd("GET").arg("a");
        let answer = server.client(Duration::ZERO).pipeline_once::<Option<String>>(&pipeline).await;
        assert!(is_unavailable(&answer), "{answer:?}");
        passes(&server, async || server.say("CONFIG SET maxmemory 0").await).await;
    }
}

#[tokio::test]
async fn a_server_busy_with_a_script_is_waited_for() {
    for program in programs() {
        let server = TestServer::start(program.as_deref(), &["--lua-time-limit 100"]).await;
        let busy = server.client(PATIENCE);
        let endless =
            tokio::spawn(
                async move { busy.script_once::<()>(&Script::new("while true do end").prepare_invoke()).await },
            );
        until("the server says BUSY", || async {
            let answer = server.client(Duration::ZERO).ping().await;
            answer.is_err_and(|error| error.to_string().contains("BUSY"))
        })
        .await;
        passes(&server, async || server.say("SCRIPT KILL").await).await;
        endless.await.unwrap().unwrap_err();
    }
}

#[tokio::test]
async fn a_replica_takes_no_writes_until_it_is_the_master() {
    for program in programs() {
        let master = TestServer::start(program.as_deref(), &[]).await;
        let follow = format!("--replicaof 127.0.0.1 {}", master.redis.port());
        let server = TestServer::start(program.as_deref(), &[&follow]).await;
        let answer = write(&server.client(Duration::ZERO)).await;
        assert!(answer.as_ref().is_err_and(|error| error.to_string().contains("read only")), "{answer:?}");
        passes(&server, async || server.say("REPLICAOF NO ONE").await).await;
    }
}

#[tokio::test]
async fn a_replica_that_lost_its_master_is_unavailable() {
    for program in programs() {
        let server = TestServer::start(program.as_deref(), &["--replica-serve-stale-data no"]).await;
        server.say("REPLICAOF 127.0.0.1 1").await;
        let answer = server.client(Duration::ZERO).command::<Option<String>>(&command("GET counter")).await;
        assert!(answer.as_ref().is_err_and(|error| error.to_string().contains("MASTER")), "{answer:?}");
        passes(&server, async || server.say("REPLICAOF NO ONE").await).await;
    }
}

#[tokio::test]
async fn a_master_without_its_replicas_is_unavailable() {
    for program in programs() {
        let server = TestServer::start(program.as_deref(), &["--min-replicas-to-write 1"]).await;
        passes(&server, async || server.say("CONFIG SET min-replicas-to-write 0").await).await;
    }
}

#[tokio::test]
async fn a_server_with_no_room_for_another_client_is_unavailable() {
    for program in programs() {
        let server = TestServer::start(program.as_deref(), &[]).await;
        let inside = server.client(PATIENCE);
        inside.command::<()>(&command("CONFIG SET maxclients 1")).await.unwrap();
        passes(&server, async || inside.command(&command("CONFIG SET maxclients 100")).await.unwrap()).await;
    }
}

#[tokio::test]
async fn a_server_that_loads_its_data_is_waited_for() {
    const KEYS: usize = 4_000;
    for program in programs() {
        // Loading takes half a millisecond a key, and the server answers clients now and then.
        let slow = ["--key-load-delay 500", "--loading-process-events-interval-bytes 1024"];
        let mut server = TestServer::start(program.as_deref(), &slow).await;
        let client = server.client(Duration::ZERO);
        let mut pipeline = redis::pipe();
        for key in 0..KEYS {
            pipeline.cmd("SET").arg(key).arg(key).ignore();
        }
        client.pipeline_once::<()>(&pipeline).await.unwrap();

        let patient = server.client(PATIENCE);
        let looking = client.clone();
        let loading = tokio::spawn(async move {
            until("the server says LOADING", || async {
                let answer = write(&looking).await;
                assert!(answer.is_ok() || is_unavailable(&answer), "{answer:?}");
                answer.is_err_and(|error| error.to_string().to_lowercase().contains("loading"))
            })
            .await;
            write(&patient).await
        });
        server.redis.restart().await.unwrap();
        loading.await.unwrap().unwrap();
        assert_eq!(client.command::<usize>(&command("DBSIZE")).await.unwrap(), KEYS + 1);
    }
}

#[tokio::test]
async fn a_connection_that_the_server_closes_is_replaced() {
    for program in programs() {
        let server = TestServer::start(program.as_deref(), &[]).await;
        let client = server.client(PATIENCE);
        write(&client).await.unwrap();
        server.say("CLIENT KILL TYPE normal SKIPME yes").await;
        assert_eq!(write(&client).await.unwrap(), 2);
    }
}

#[tokio::test]
async fn a_server_that_is_killed_and_started_again_is_waited_for() {
    for program in programs() {
        let mut server = TestServer::start(program.as_deref(), &[]).await;
        let patient = server.client(PATIENCE);
        write(&patient).await.unwrap();
        server.redis.kill().await.unwrap();
        let answer = write(&server.client(Duration::ZERO)).await;
        assert!(is_unavailable(&answer), "{answer:?}");
        let waiting = tokio::spawn(async move { write(&patient).await });
        server.redis.restart().await.unwrap();
        assert_eq!(waiting.await.unwrap().unwrap(), 2);
    }
}

#[tokio::test]
async fn a_call_given_up_half_way_leaves_its_connection_to_nobody() {
    for program in programs() {
        let server = TestServer::start(program.as_deref(), &[]).await;
        let client = server.client(Duration::ZERO);
        let id = || async { client.command::<u64>(&command("CLIENT ID")).await.unwrap() };
        let first = id().await;
        assert_eq!(id().await, first, "the pool uses a good connection again");
        let given_up =
            timeout(Duration::from_millis(50), client.command_once::<()>(&command("BLPOP nothing 1.5"))).await;
        assert!(given_up.is_err());
        assert_ne!(id().await, first);
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused_at_once() {
    for program in programs() {
        let server = TestServer::start(program.as_deref(), &[]).await;
        server.say("CONFIG SET requirepass secret").await;
        let answer = write(&server.client(PATIENCE)).await;
        assert!(matches!(answer, Err(RedisFault::Refused(_))), "{answer:?}");
    }
}
