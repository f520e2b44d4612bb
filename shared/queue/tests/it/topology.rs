//! The Redis client over each topology, on real servers. Sentinels name another master, slots of a
//! cluster move and its nodes die. Synced writes are on disk before they are answered.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod calls;
pub(crate) mod servers;

use std::time::Duration;

use csm_queue::queue::{Commit, Enqueue, Queue, QueueArgs, Ticket, WorkerCapacity, WorkerId};
use csm_queue::redis_client::RedisFault;
use csm_shared::job::{Failure, FailureClass, JobId, JobState, Lane};

use redis::Script;

use crate::fleet::{claim, spec, try_claim};
use calls::{add, delivers};
use servers::{ClusterOfThree, PATIENCE, Sentinels, TestServer, client, command, is_unavailable, programs, until};

/// Enqueues `count` jobs and returns their ids.
async fn enqueue(queue: &Queue, count: usize) -> Vec<JobId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let id = JobId::generate();
        assert_eq!(queue.enqueue(&Ticket::new(id), &spec(Lane::Live)).await.unwrap(), Enqueue::Accepted { wait: None });
        ids.push(id);
    }
    ids
}

/// Runs all jobs of a queue to their end. Exactly the expected jobs come, each once, and each ends
/// as its worker says.
async fn all_end(queue: &Queue, mut expected: Vec<JobId>) {
    let (owner, failure) = (WorkerId::of_this_process("host"), Failure::new(FailureClass::Invalid, "a test"));
    let mut seen = Vec::new();
    while seen.len() < expected.len() {
        let job = claim(queue, &owner).await;
        seen.push(job.lease.at().id);
        assert_eq!(job.lease.fail(&failure).await.unwrap(), Commit::Committed);
    }
    assert!(try_claim(queue, &owner).await.is_none());
    seen.sort_unstable();
    expected.sort_unstable();
    assert_eq!(seen, expected);
    for id in &seen {
        assert_eq!(queue.record(id).await.unwrap().unwrap().state, JobState::Failed);
    }
}

#[tokio::test]
async fn jobs_survive_the_death_of_the_master() {
    for program in programs() {
        let mut set = Sentinels::start(program.as_deref()).await;
        let queue = Queue::new(client(&set.url(), PATIENCE), &QueueArgs::default());
        let owner = WorkerId::of_this_process("host");
        let mut ids = enqueue(&queue, 10).await;
        let running = claim(&queue, &owner).await.lease;
        ids.retain(|id| *id != running.at().id);
        set.in_step().await;
        set.master.redis.kill().await.unwrap();
        ids.extend(enqueue(&queue, 5).await);
        assert_eq!(running.fail(&Failure::new(FailureClass::Invalid, "a test")).await.unwrap(), Commit::Committed);
        all_end(&queue, ids).await;
    }
}

#[tokio::test]
async fn jobs_of_all_shards_survive_the_death_of_a_node() {
    for program in programs() {
        let mut cluster = ClusterOfThree::start(program.as_deref()).await;
        let options = QueueArgs { queue_shards: 8, ..QueueArgs::default() };
        let queue = Queue::new(client(&cluster.url(), PATIENCE), &options);
        // Enough that every shard has some.
        let mut ids = enqueue(&queue, 96).await;
        let mut woken = queue.wake_listener();
        woken.wait(WorkerCapacity::empty(1)).await.unwrap();
        for node in &mut cluster.nodes {
            assert_ne!(node.info("db0").await, "", "each node has its share of the shards");
        }
        cluster.nodes[1].redis.kill().await.unwrap();
        let waiting = queue.clone();
        let waiting = tokio::spawn(async move { enqueue(&waiting, 8).await });
        cluster.nodes[1].redis.restart().await.unwrap();
        ids.extend(waiting.await.unwrap());
        // A claim tries each shard once. The claim fails if one is still out of reach and the
        // others have nothing.
        cluster.whole().await;
        all_end(&queue, ids).await;
    }
}

#[tokio::test]
async fn the_master_is_the_one_that_sentinels_name() {
    for program in programs() {
        let mut set = Sentinels::start(program.as_deref()).await;
        let patient = client(&set.url(), PATIENCE);
        assert_eq!(add(&patient, &["counter"]).await.unwrap(), 1);
        delivers(&patient, "tokens").await;
        set.in_step().await;

        set.master.redis.kill().await.unwrap();
        let answer = add(&client(&set.url(), Duration::ZERO), &["counter"]).await;
        assert!(is_unavailable(&answer), "{answer:?}");
        assert_eq!(add(&patient, &["counter"]).await.unwrap(), 2);
        assert_eq!(set.replica.info("role").await, "master");
        delivers(&patient, "tokens").await;
    }
}

#[tokio::test]
async fn a_master_that_steps_down_is_left() {
    for program in programs() {
        let set = Sentinels::start(program.as_deref()).await;
        let patient = client(&set.url(), PATIENCE);
        add(&patient, &["counter"]).await.unwrap();
        set.in_step().await;
        set.fail_over().await;
        until("the former master follows the new one", || async { set.master.info("role").await == "slave" }).await;
        assert_eq!(add(&patient, &["counter"]).await.unwrap(), 2);
        assert_eq!(set.replica.info("role").await, "master");
    }
}

#[tokio::test]
async fn a_name_that_no_sentinel_knows_is_said() {
    let set = Sentinels::start(programs()[0].as_deref()).await;
    let other = client(&set.url().replace("/main", "/other"), Duration::ZERO);
    let answer = other.ping().await;
    assert!(answer.is_err_and(|error| error.to_string().contains("Master with given name not found")));
}

#[tokio::test]
async fn keys_of_a_cluster_go_to_their_owners_and_follow_a_slot_that_moves() {
    for program in programs() {
        let cluster = ClusterOfThree::start(program.as_deref()).await;
        let patient = client(&cluster.url(), PATIENCE);
        for (place, key) in ["a", "b", "c", "d", "e", "f"].into_iter().enumerate() {
            assert_eq!(add(&patient, &[key]).await.unwrap(), 1);
            delivers(&patient, &format!("tokens{place}")).await;
        }
        add(&patient, &["{x}stays"]).await.unwrap();
        let mut pipeline = redis::pipe();
        pipeline
            .cmd("SET")
            .arg("{x}1")
            .arg(1)
            .ignore()
            .cmd("PUBLISH")
            .arg("news")
            .arg(1)
            .ignore()
            .cmd("GET")
            .arg("{x}1");

        // The slot begins to move: a key that its old owner does not have is looked for at the new
        // one.
        let (from, to) = cluster.owner_and_other("{x}").await;
        let (from, to) = (&cluster.nodes[from], &cluster.nodes[to]);
        let slot: u16 = from.client(PATIENCE).command(&command("CLUSTER KEYSLOT {x}")).await.unwrap();
        to.say(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", from.id().await)).await;
        from.say(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", to.id().await)).await;
        let impatient = client(&cluster.url(), Duration::ZERO);
        assert_eq!(add(&impatient, &["{x}stays"]).await.unwrap(), 2);
        assert_eq!(impatient.command::<i64>(&command("INCR {x}new")).await.unwrap(), 1);
        assert_eq!(impatient.pipeline_once::<(String,)>(&pipeline).await.unwrap().0, "1");
        // A script waits until the move is over, whether all its keys have moved (ASK) or only some
        // of them (TRYAGAIN).
        for keys in [["{x}new", "{x}1"], ["{x}stays", "{x}new"]] {
            let answer = add(&impatient, &keys).await;
            assert!(is_unavailable(&answer), "{answer:?}");
        }
        let (waiting, keys) = (patient.clone(), ["{x}stays", "{x}new"]);
        let waiting = tokio::spawn(async move { add(&waiting, &keys).await });

        from.say(&format!("MIGRATE 127.0.0.1 {} {{x}}stays 0 5000", to.redis.port())).await;
        for node in [to, from] {
            node.say(&format!("CLUSTER SETSLOT {slot} NODE {}", to.id().await)).await;
        }
        waiting.await.unwrap().unwrap();
        // The client does not know that the move is over; its first try is redirected.
        assert_eq!(impatient.pipeline_once::<(String,)>(&pipeline).await.unwrap().0, "1");
        assert_eq!(add(&impatient, &["{x}stays"]).await.unwrap(), 4);
    }
}

#[tokio::test]
async fn keys_of_two_slots_in_one_script_are_refused() {
    let cluster = ClusterOfThree::start(programs()[0].as_deref()).await;
    let answer = add(&client(&cluster.url(), PATIENCE), &["a", "b"]).await;
    assert!(matches!(answer, Err(RedisFault::Refused(_))), "{answer:?}");
}

#[tokio::test]
async fn a_cluster_that_lost_a_node_is_unavailable_until_it_is_back() {
    for program in programs() {
        let mut cluster = ClusterOfThree::start(program.as_deref()).await;
        let (patient, impatient) = (client(&cluster.url(), PATIENCE), client(&cluster.url(), Duration::ZERO));
        let (dead, _) = cluster.owner_and_other("a").await;
        let elsewhere = ["b", "c", "d", "e"];
        for key in ["a"].iter().chain(&elsewhere) {
            add(&impatient, &[key]).await.unwrap();
        }
        cluster.nodes[dead].redis.kill().await.unwrap();
        let answer = add(&impatient, &["a"]).await;
        assert!(is_unavailable(&answer), "{answer:?}");
        until("the others say CLUSTERDOWN", || async {
            let mut down = false;
            for key in elsewhere {
                let answer = add(&impatient, &[key]).await;
                assert!(answer.is_ok() || is_unavailable(&answer), "{answer:?}");
                down |= answer.is_err_and(|error| error.to_string().to_lowercase().contains("clusterdown"));
            }
            down
        })
        .await;
        let waiting = tokio::spawn(async move { add(&patient, &["a"]).await });
        cluster.nodes[dead].redis.restart().await.unwrap();
        assert_eq!(waiting.await.unwrap().unwrap(), 2);
        cluster.whole().await;
        add(&impatient, &elsewhere[..1]).await.unwrap();
    }
}

#[tokio::test]
async fn a_replica_takes_over_the_slots_of_a_dead_master() {
    for program in programs() {
        let mut cluster = ClusterOfThree::start(program.as_deref()).await;
        let patient = client(&cluster.url(), PATIENCE);
        let mut key = String::new();
        for candidate in 0..100 {
            key = format!("key{candidate}");
            if cluster.owner_and_other(&key).await.0 == 0 {
                break;
            }
        }
        assert_eq!(add(&patient, &[&key]).await.unwrap(), 1);
        cluster.add_replica(program.as_deref()).await;
        cluster.nodes[0].redis.kill().await.unwrap();
        assert_eq!(add(&patient, &[&key]).await.unwrap(), 2);
        delivers(&patient, &format!("{{{key}}}tokens")).await;
    }
}

#[tokio::test]
async fn a_synced_write_is_on_disk_before_it_is_answered() {
    let limit = Duration::from_secs(10);
    let script = Script::new("return redis.call('INCR', KEYS[1])");
    let look = Script::new("return redis.call('EXISTS', KEYS[1])");
    for program in programs() {
        let server = TestServer::start(program.as_deref(), &["--appendfsync everysec"]).await;
        let client = server.client(Duration::ZERO);
        let calls = || async { server.info("cmdstat_waitaof").await };
        if !client.capabilities().await.unwrap().waitaof {
            let answer = client.script_fsynced::<i64>(&script.key("a"), limit).await;
            assert!(matches!(answer, Err(RedisFault::Unsupported(_))), "{answer:?}");
            assert_eq!(client.command::<i64>(&command("EXISTS a")).await.unwrap(), 0, "nothing was written");
            server.say("CONFIG SET appendfsync always").await;
            assert_eq!(client.script_fsynced::<i64>(&script.key("a"), limit).await.unwrap(), 1);
            continue;
        }
        assert_eq!(calls().await, "");
        assert_eq!(client.script_fsynced::<i64>(&script.key("a"), limit).await.unwrap(), 1);
        assert!(calls().await.starts_with("calls=1,"));
        // The next sync is up to a second away, so 1 ms is too short. The limit is too short even
        // if another connection wrote and the script itself does not, because its job is not safe
        // yet.
        until("a wait is too short", || async {
            let _ = client.script_fsynced::<i64>(&script.key("a"), limit).await.unwrap();
            server.say("SET b 1").await;
            let answer = client.script_fsynced::<i64>(&look.key("b"), Duration::from_millis(1)).await;
            assert!(answer.is_ok() || is_unavailable(&answer), "{answer:?}");
            answer.is_err()
        })
        .await;
        for (setting, missing) in [("appendfsync no", "appendfsync"), ("appendonly no", "appendonly")] {
            server.say(&format!("CONFIG SET {setting}")).await;
            let answer = client.script_fsynced::<i64>(&script.key("c"), limit).await;
            let Err(RedisFault::Unsupported(why)) = &answer else { panic!("{setting}: {answer:?}") };
            assert!(why.contains(missing), "{why}");
            assert_eq!(client.command::<i64>(&command("EXISTS c")).await.unwrap(), 0, "nothing was written");
        }
    }
}

/// More synced writes run at a time than a process has connections for ordinary calls. None may
/// need a second connection to read the settings, or hold an ordinary one while it waits for the
/// disk.
#[tokio::test]
async fn many_synced_writes_keep_neither_each_other_nor_ordinary_calls_waiting() {
    for program in programs() {
        let server = TestServer::start(program.as_deref(), &[]).await;
        let client = server.client(Duration::ZERO);
        let script = Script::new("return redis.call('INCR', KEYS[1])");
        let many = (0..48).map(|_| async { client.script_fsynced::<i64>(&script.key("a"), PATIENCE).await });
        let (written, pinged) = tokio::join!(futures::future::join_all(many), client.ping());
        pinged.unwrap();
        let mut written: Vec<_> = written.into_iter().map(Result::unwrap).collect();
        written.sort_unstable();
        assert_eq!(written, (1..=48).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn synced_writes_wait_on_the_node_that_owns_the_key() {
    for program in programs() {
        let cluster = ClusterOfThree::start(program.as_deref()).await;
        let client = client(&cluster.url(), PATIENCE);
        let script = Script::new("return redis.call('INCR', KEYS[1])");
        for key in ["a", "b", "c"] {
            assert_eq!(client.script_fsynced::<i64>(&script.key(key), PATIENCE).await.unwrap(), 1);
            if client.capabilities().await.unwrap().waitaof {
                let (owner, _) = cluster.owner_and_other(key).await;
                assert!(cluster.nodes[owner].info("cmdstat_waitaof").await.starts_with("calls="));
            }
        }
    }
}

#[tokio::test]
async fn the_server_is_known_and_its_settings_are_judged() {
    for program in programs() {
        let server = TestServer::start(program.as_deref(), &[]).await;
        let client = server.client(Duration::ZERO);
        let can = client.capabilities().await.unwrap();
        let version = if can.server == "valkey" { "valkey_version" } else { "redis_version" };
        assert_eq!(can.version, server.info(version).await);
        let has_it = client.command::<(i64, i64)>(&command("WAITAOF 0 0 1")).await.is_ok();
        assert_eq!(can.waitaof, has_it, "{can}");
        assert_eq!(client.advice().await, [""; 0]);

        for (setting, said) in [
            ("maxmemory-policy allkeys-lru", "maxmemory-policy is allkeys-lru"),
            ("appendfsync everysec", "appendfsync is everysec"),
            ("appendfsync no", "appendfsync is no"),
            ("appendonly no", "appendonly is no"),
        ] {
            server.say(&format!("CONFIG SET {setting}")).await;
            let advice = client.advice().await;
            assert!(advice.iter().any(|line| line.contains(said)), "{setting}: {advice:?}");
        }
        server.say("CONFIG SET appendonly yes").await;
        server.say("ACL SETUSER limited on >pw ~* &* +@all -config").await;
        let limited = servers::client(&server.redis.url().replace("127.0.0.1", "limited:pw@127.0.0.1"), Duration::ZERO);
        let advice = limited.advice().await;
        assert!(advice.iter().any(|line| line.contains("appendfsync was not checked")), "{advice:?}");
    }
    let cluster = ClusterOfThree::start(programs()[0].as_deref()).await;
    assert_eq!(client(&cluster.url(), Duration::ZERO).advice().await, [""; 0]);
    let advice = cluster.nodes[0].client(Duration::ZERO).advice().await;
    assert!(advice.iter().any(|line| line.contains("redis+cluster://")), "{advice:?}");
}
