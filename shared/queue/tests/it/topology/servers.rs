//! Servers for the tests of topologies: a single one, a master with replica and sentinel, a cluster
//! of three masters. Each test runs against every server program named in `CSM_TEST_REDIS_SERVERS`
//! (paths, colons between them).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use csm_queue::local_redis::{LocalRedis, LocalRedisError, LocalRedisOptions};
use csm_queue::redis_client::{RedisArgs, RedisClient, RedisFault};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// Patience longer than any failover of these tests takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two checks of a condition.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Returns the server programs to test; `None` is the one on PATH.
pub(crate) fn programs() -> Vec<Option<PathBuf>> {
    let Some(named) = std::env::var_os("CSM_TEST_REDIS_SERVERS").filter(|named| !named.is_empty()) else {
        return vec![None];
    };
    std::env::split_paths(&named).map(Some).collect()
}

/// A server with settings beside the usual ones, such as `"--maxmemory 10mb"`, in a folder of its
/// own.
pub(crate) struct TestServer {
    pub(crate) redis: LocalRedis,
    _data: TempDir,
}

impl TestServer {
    pub(crate) async fn start(program: Option<&Path>, settings: &[&str]) -> Self {
        Self::try_start(program, settings).await.unwrap()
    }

    async fn try_start(program: Option<&Path>, settings: &[&str]) -> Result<Self, LocalRedisError> {
        let data = TempDir::new().unwrap();
        let settings = settings.iter().flat_map(|setting| setting.split(' ')).map(str::to_owned).collect();
        let options = LocalRedisOptions { server: program.map(Path::to_owned), settings, ..Default::default() };
        Ok(Self { redis: LocalRedis::spawn(data.path(), &options).await?, _data: data })
    }

    /// Returns a client with this patience.
    pub(crate) fn client(&self, patience: Duration) -> RedisClient {
        client(&self.redis.url(), patience)
    }

    /// Sends a command to this very server, whatever topology it belongs to.
    pub(crate) async fn say(&self, words: &str) {
        self.client(PATIENCE).command::<()>(&command(words)).await.unwrap();
    }

    /// Returns a setting of the server.
    pub(crate) async fn config(&self, name: &str) -> String {
        let found: (String, String) =
            self.client(PATIENCE).command(&command(&format!("CONFIG GET {name}"))).await.unwrap();
        found.1
    }

    /// Makes two nodes of a cluster known to each other.
    async fn meet(&self, other: &TestServer) {
        let (port, bus) = (other.redis.port(), other.config("cluster-port").await);
        self.say(&format!("CLUSTER MEET 127.0.0.1 {port} {bus}")).await;
    }

    /// Returns the server's name within a cluster.
    pub(crate) async fn id(&self) -> String {
        self.client(PATIENCE).command(&command("CLUSTER MYID")).await.unwrap()
    }

    /// Returns a field of this server's INFO.
    pub(crate) async fn info(&self, field: &str) -> String {
        let info: String = self.client(PATIENCE).command(&command("INFO all")).await.unwrap();
        let value = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.unwrap_or_default().trim().to_owned()
    }
}

pub(crate) fn client(url: &str, patience: Duration) -> RedisClient {
    RedisClient::new(&RedisArgs::new(url, "test"), patience).unwrap()
}

/// Builds a command from words with spaces between them.
pub(crate) fn command(words: &str) -> redis::Cmd {
    let mut words = words.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    for word in words {
        command.arg(word);
    }
    command
}

/// Waits until a check of a condition succeeds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut look: impl FnMut() -> F) {
    let looking = async {
        while !look().await {
            sleep(LOOK_EVERY).await;
        }
    };
    timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("not within {} s: {what}", PATIENCE.as_secs()));
}

/// Returns true for an answer that says "not now".
pub(crate) fn is_unavailable<T>(answer: &Result<T, RedisFault>) -> bool {
    matches!(answer, Err(RedisFault::Unavailable(_)))
}

/// A master with one replica, and a sentinel that watches them.
pub(crate) struct Sentinels {
    pub(crate) master: TestServer,
    pub(crate) replica: TestServer,
    port: u16,
    _sentinel: Child,
    _data: TempDir,
}

impl Sentinels {
    pub(crate) async fn start(program: Option<&Path>) -> Self {
        let master = TestServer::start(program, &["--repl-diskless-sync-delay 0"]).await;
        let follow = format!("--replicaof 127.0.0.1 {}", master.redis.port());
        let replica = TestServer::start(program, &[&follow]).await;
        let (data, port) = (TempDir::new().unwrap(), free_port());
        let settings = format!(
            "port {port}\nbind 127.0.0.1\nlogfile sentinel.log\n\
             sentinel monitor main 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds main 1000\n\
             sentinel failover-timeout main 3000\n",
            master.redis.port()
        );
        let file = data.path().join("sentinel.conf");
        std::fs::write(&file, settings).unwrap();
        let sentinel = Command::new(program.unwrap_or(Path::new("redis-server")))
            .arg(&file)
            .arg("--sentinel")
            .current_dir(data.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let sentinels = Self { master, replica, port, _sentinel: sentinel, _data: data };
        // A failover needs a sentinel that knows the replica.
        until("the sentinel knows the replica", || async {
            let masters = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
            let Ok(mut connection) = masters.get_multiplexed_async_connection().await else { return false };
            let known: Result<Vec<redis::Value>, _> =
                command("SENTINEL REPLICAS main").query_async(&mut connection).await;
            known.is_ok_and(|replicas| !replicas.is_empty())
        })
        .await;
        sentinels
    }

    /// Makes the sentinel promote the replica to master, once it finds the replica fit.
    pub(crate) async fn fail_over(&self) {
        let sentinel = client(&format!("redis://127.0.0.1:{}", self.port), Duration::ZERO);
        until("the sentinel finds the replica fit", || async {
            sentinel.command::<()>(&command("SENTINEL FAILOVER main")).await.is_ok()
        })
        .await;
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+sentinel://127.0.0.1:{}/main", self.port)
    }

    /// Waits until the replica has all that the master has.
    pub(crate) async fn in_step(&self) {
        until("the replica is in step", || async {
            self.replica.info("master_link_status").await == "up"
                && self.replica.info("slave_repl_offset").await == self.master.info("master_repl_offset").await
        })
        .await;
    }
}

/// Three masters that share the slots; the first may have a replica.
pub(crate) struct ClusterOfThree {
    pub(crate) nodes: Vec<TestServer>,
    pub(crate) replica: Option<TestServer>,
}

impl ClusterOfThree {
    pub(crate) async fn start(program: Option<&Path>) -> Self {
        let mut nodes: Vec<TestServer> = Vec::new();
        for place in 0..3_u64 {
            let node = Self::node(program).await;
            node.say(&format!("CLUSTER SET-CONFIG-EPOCH {}", place + 1)).await;
            node.say(&format!("CLUSTER ADDSLOTSRANGE {} {}", place * 16_384 / 3, (place + 1) * 16_384 / 3 - 1)).await;
            if let Some(first) = nodes.first() {
                node.meet(first).await;
            }
            nodes.push(node);
        }
        let cluster = Self { nodes, replica: None };
        cluster.whole().await;
        cluster
    }

    /// Gives the first master a replica, in step with it.
    pub(crate) async fn add_replica(&mut self, program: Option<&Path>) {
        let replica = Self::node(program).await;
        replica.meet(&self.nodes[0]).await;
        let follow = command(&format!("CLUSTER REPLICATE {}", self.nodes[0].id().await));
        until("the replica has heard of its master", || async {
            replica.client(Duration::ZERO).command::<()>(&follow).await.is_ok()
        })
        .await;
        until("the replica is in step", || async {
            replica.info("master_link_status").await == "up"
                && replica.info("slave_repl_offset").await == self.nodes[0].info("master_repl_offset").await
        })
        .await;
        // For a vote the other nodes must know whose replica it is.
        for node in &self.nodes {
            until("the others know the replica", || async {
                node.client(PATIENCE).command::<String>(&command("CLUSTER NODES")).await.unwrap().contains("slave")
            })
            .await;
        }
        self.replica = Some(replica);
    }

    async fn node(program: Option<&Path>) -> TestServer {
        // Another process may take the bus port between the check and the server's start.
        let mut tries = 3;
        loop {
            tries -= 1;
            let bus = format!("--cluster-port {}", free_port());
            let settings = ["--cluster-enabled yes", "--cluster-node-timeout 2000", &bus];
            match TestServer::try_start(program, &settings).await {
                Err(_) if tries > 0 => {}
                started => return started.unwrap(),
            }
        }
    }

    /// Waits until every node says that every slot is served.
    pub(crate) async fn whole(&self) {
        for node in &self.nodes {
            until("the cluster is whole", || async {
                let state: Result<String, _> = node.client(Duration::ZERO).command(&command("CLUSTER INFO")).await;
                state.is_ok_and(|state| state.contains("cluster_state:ok") && state.contains("cluster_slots_ok:16384"))
            })
            .await;
        }
    }

    pub(crate) fn url(&self) -> String {
        let hosts: Vec<_> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.redis.port())).collect();
        format!("redis+cluster://{}", hosts.join(","))
    }

    /// Returns the indices of the node that owns a key's slot, and of one that does not.
    pub(crate) async fn owner_and_other(&self, key: &str) -> (usize, usize) {
        let (mut owner, mut other) = (None, None);
        for (place, node) in self.nodes.iter().enumerate() {
            let held = node.client(Duration::ZERO).command::<u64>(&command(&format!("EXISTS {key}"))).await;
            *(if held.is_ok() { &mut owner } else { &mut other }) = Some(place);
        }
        (owner.unwrap(), other.unwrap())
    }
}

/// Returns a free port, below the range that systems use for outgoing connections.
fn free_port() -> u16 {
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| rand::random_range(10_000..20_000)).find(is_free).unwrap()
}
