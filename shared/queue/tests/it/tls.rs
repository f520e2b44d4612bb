//! TLS to real servers, the rights of their users, and what a refused client is told.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use csm_queue::redis_client::{RedisArgs, RedisClient, RedisFault, RedisTlsArgs};
use csm_testing::certificates::Authority;
use csm_testing::process::free_address;
use futures::StreamExt as _;
use redis::Script;
use tempfile::TempDir;

use crate::topology::servers::{PATIENCE, TestServer, command, programs};

const PASSWORD: &str = "a-password-to-hush-up";
/// Rights of the tests' user.
const RIGHTS: &str = "~test:* &test:* +ping +get +set +incr +rpush +blpop +evalsha +script|load +subscribe +unwatch";

/// Server on a TLS port, with a user; without TLS the test itself has a port.
struct TlsServer {
    server: TestServer,
    port: u16,
    authority: Authority,
    folder: TempDir,
}

impl TlsServer {
    /// Starts a server; `auth_clients` says whether it asks clients for certificates.
    async fn start(program: Option<&Path>, auth_clients: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let authority = Authority::new(folder.path(), "authority").unwrap();
        let own = authority.sign("redis").unwrap();
        let port = free_address().unwrap().port();
        let settings = [
            format!("--tls-port {port}"),
            format!("--tls-cert-file {}", own.certificate.display()),
            format!("--tls-key-file {}", own.key.display()),
            format!("--tls-ca-cert-file {}", authority.certificate.display()),
            format!("--tls-auth-clients {auth_clients}"),
        ];
        let settings: Vec<_> = settings.iter().map(String::as_str).collect();
        let server = TestServer::start(program, &settings).await;
        server.say(&format!("ACL SETUSER app on >{PASSWORD} {RIGHTS}")).await;
        Self { server, port, authority, folder }
    }

    fn trusting(&self) -> RedisTlsArgs {
        RedisTlsArgs { redis_ca: Some(self.authority.certificate.clone()), ..RedisTlsArgs::default() }
    }

    fn client(&self, password: &str, tls: RedisTlsArgs, patience: Duration) -> RedisClient {
        let url = format!("rediss://app:{password}@127.0.0.1:{}", self.port);
        RedisClient::new(&RedisArgs { tls, ..RedisArgs::new(url, "test") }, patience).unwrap()
    }
}

async fn write(client: &RedisClient) -> Result<i64, RedisFault> {
    client.script(&Script::new("return redis.call('INCR', KEYS[1])").key("test:counter")).await
}

/// Returns what a client is told that must be told at once.
async fn told(client: &RedisClient) -> String {
    let answer = tokio::time::timeout(PATIENCE / 2, write(client)).await.expect("no patience for certificates");
    let Err(fault @ RedisFault::Untrusted(_)) = answer else { panic!("{answer:?}") };
    let told = fault.to_string();
    assert!(!told.contains(PASSWORD), "{told}");
    told
}

#[tokio::test]
async fn connections_of_all_kinds_speak_tls() {
    for program in programs() {
        let server = TlsServer::start(program.as_deref(), "no").await;
        let client = server.client(PASSWORD, server.trusting(), Duration::ZERO);
        assert_eq!(write(&client).await.unwrap(), 1);
        client.shared_command::<()>(&command("SET test:shared 1")).await.unwrap();
        client.command::<()>(&command("RPUSH test:list 1")).await.unwrap();
        let mut blocking = client.blocking_connection("test:list", Duration::from_secs(1)).await.unwrap();
        let (_, taken): (String, i64) = command("BLPOP test:list 1").query_async(&mut blocking).await.unwrap();
        assert_eq!(taken, 1);
        let mut pubsub = client.pubsub().await.unwrap();
        pubsub.subscribe("test:news").await.unwrap();
        server.server.say("PUBLISH test:news 1").await;
        assert!(pubsub.on_message().next().await.is_some());
    }
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused_at_once() {
    for program in programs() {
        let server = TlsServer::start(program.as_deref(), "no").await;
        let other = Authority::new(server.folder.path(), "other").unwrap();
        let stranger = RedisTlsArgs { redis_ca: Some(other.certificate.clone()), ..RedisTlsArgs::default() };
        for tls in [stranger, RedisTlsArgs::default()] {
            let told = told(&server.client(PASSWORD, tls, PATIENCE)).await;
            assert!(told.contains("certificate") && told.contains("CSM_REDIS_CA"), "{told}");
        }
    }
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_it() {
    for program in programs() {
        let server = TlsServer::start(program.as_deref(), "yes").await;
        let own = server.authority.sign("client").unwrap();
        // Without one the server's alert may get lost as the server closes the connection.
        write(&server.client(PASSWORD, server.trusting(), Duration::ZERO)).await.unwrap_err();
        let tls = RedisTlsArgs { redis_cert: Some(own.certificate), redis_key: Some(own.key), ..server.trusting() };
        assert_eq!(write(&server.client(PASSWORD, tls, Duration::ZERO)).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn a_command_beyond_the_rights_of_the_user_is_refused_and_named() {
    for program in programs() {
        let server = TlsServer::start(program.as_deref(), "no").await;
        let client = server.client(PASSWORD, server.trusting(), PATIENCE);
        for words in ["KEYS *", "FLUSHALL", "CONFIG GET requirepass"] {
            let Err(RedisFault::Refused(error)) = client.command::<redis::Value>(&command(words)).await else {
                panic!("{words} is permitted")
            };
            let name = words.split(' ').next().unwrap_or_default().to_lowercase();
            assert!(error.to_string().to_lowercase().contains(&name), "{error}");
        }
        let answer = client.command::<redis::Value>(&command("GET other:key")).await;
        assert!(matches!(answer, Err(RedisFault::Refused(_))), "{answer:?}");
        let script = Script::new("return redis.call('HGETALL', KEYS[1])");
        let answer = client.script::<redis::Value>(&script.key("test:hash")).await;
        assert!(matches!(answer, Err(RedisFault::Refused(_))), "{answer:?}");
    }
}

/// Connections stay those of the user who opened them. New ones need the new password.
#[tokio::test]
async fn a_password_that_is_replaced_ends_no_connection() {
    for program in programs() {
        let server = TlsServer::start(program.as_deref(), "no").await;
        let client = server.client(PASSWORD, server.trusting(), Duration::ZERO);
        assert_eq!(write(&client).await.unwrap(), 1);
        server.server.say("ACL SETUSER app >another-password").await;
        server.server.say(&format!("ACL SETUSER app <{PASSWORD}")).await;
        assert_eq!(write(&client).await.unwrap(), 2);
        let late = write(&server.client(PASSWORD, server.trusting(), PATIENCE)).await;
        assert!(matches!(late, Err(RedisFault::Refused(_))), "{late:?}");
        let renewed = server.client("another-password", server.trusting(), Duration::ZERO);
        assert_eq!(write(&renewed).await.unwrap(), 3);
    }
}
