//! Redis of a run, plain or secured. A secured one speaks TLS alone over TCP, and knows the users of
//! `k8s/components/redis-secure/users.acl`, each with a password of the run. The run itself reaches
//! the server as a user of its own: over a socket, which only this machine's user can open.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use csm_queue::local_redis::{LocalRedis, LocalRedisOptions};
use csm_testing::certificates::Authority;
use csm_testing::process::free_address;
use tokio::process::Command;
use uuid::Uuid;

/// Words of the rules that only Redis 7.2, Valkey 7.2 and later know.
const NEWER: [&str; 2] = [" +client|setinfo", " +waitaof"];
/// First version of Redis that knows them.
const NEWER_SINCE: (u32, u32) = (7, 2);
/// User of the run itself, which may do everything.
const ADMIN: &str = "csm-admin";
/// Texts by which logs tell that a user may not do something.
const DENIALS: [&str; 4] = ["NoPerm", "NOPERM", "executing the script can't", "ACL failure in script"];
/// Command that programs try, and do without: it would also show passwords of the server.
const DENIED_BY_INTENT: &str = "config|get";

/// User of Redis that a program of the fleet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisUser {
    /// Gateways.
    Gateway,
    /// Workers.
    Worker,
    /// `csm queue`, `dlq` and `top`.
    Operator,
}

impl RedisUser {
    const ALL: [Self; 3] = [Self::Gateway, Self::Worker, Self::Operator];

    const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Worker => "worker",
            Self::Operator => "operator",
        }
    }
}

/// Redis of a run. Dropping it kills the server.
#[derive(Debug)]
pub struct RunRedis {
    server: LocalRedis,
    secured: Option<Secured>,
}

#[derive(Debug)]
struct Secured {
    address: SocketAddr,
    /// Password of the fleet's users, by their place in [`RedisUser::ALL`], and of the run's own.
    passwords: [String; 4],
    authority: PathBuf,
}

impl RunRedis {
    /// Starts a server that keeps its files below `folder`.
    ///
    /// # Errors
    /// If there is no server program, or none that knows TLS.
    pub async fn start(folder: &Path, secure: bool) -> anyhow::Result<Self> {
        let data = folder.join("redis");
        if !secure {
            let server = LocalRedis::spawn(&data, &LocalRedisOptions::default()).await?;
            return Ok(Self { server, secured: None });
        }
        let (secured, settings) = Secured::prepare(&folder.join("secrets")).await?;
        let login = Some((ADMIN.to_owned(), secured.passwords[3].clone()));
        let options = LocalRedisOptions { socket: true, login, settings, ..LocalRedisOptions::default() };
        Ok(Self { server: LocalRedis::spawn(&data, &options).await?, secured: Some(secured) })
    }

    /// Returns the address for the processes of the fleet.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        let plain = SocketAddr::from((Ipv4Addr::LOCALHOST, self.server.port()));
        self.secured.as_ref().map_or(plain, |secured| secured.address)
    }

    /// Returns the URL for the run itself, which may do everything.
    #[must_use]
    pub fn admin_url(&self) -> String {
        self.server.url()
    }

    /// Returns the settings of a process that reaches the server at `through`, which may be a
    /// proxy.
    #[must_use]
    pub fn environment(&self, user: RedisUser, through: SocketAddr) -> Vec<(String, String)> {
        let Some(secured) = &self.secured else {
            return vec![("CSM_REDIS_URL".to_owned(), format!("redis://{through}/"))];
        };
        let login = format!("csm-{}:{}", user.name(), secured.passwords[user as usize]);
        vec![
            ("CSM_REDIS_URL".to_owned(), format!("rediss://{login}@{through}/")),
            ("CSM_REDIS_CA".to_owned(), secured.authority.display().to_string()),
        ]
    }

    /// Kills the server and starts it again on the same place and data.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        Ok(self.server.restart().await?)
    }

    /// Checks the logs of a secured run: they hold no password, and no program was denied what it
    /// needs.
    ///
    /// # Errors
    /// If they do, or cannot be read.
    pub fn check_logs(&self, folder: &Path) -> anyhow::Result<()> {
        let Some(secured) = &self.secured else { return Ok(()) };
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let log = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
            let shown = secured.passwords.iter().any(|password| log.contains(password));
            ensure!(!shown, "{} holds a password of Redis", path.display());
            let denied =
                |line: &&str| DENIALS.iter().any(|text| line.contains(text)) && !line.contains(DENIED_BY_INTENT);
            if let Some(line) = log.lines().find(denied) {
                bail!("{}: a command that the rules of Redis lack: {line}", path.display());
            }
        }
        Ok(())
    }
}

impl Secured {
    /// Makes certificates, passwords and rules in a folder; returns them with the server's settings.
    async fn prepare(folder: &Path) -> anyhow::Result<(Self, Vec<String>)> {
        std::fs::create_dir_all(folder)?;
        let authority = Authority::new(folder, "authority")?;
        let own = authority.sign("redis")?;
        let passwords = std::array::from_fn(|_| Uuid::new_v4().simple().to_string());
        let address = free_address()?;
        let acl = folder.join("users.acl");
        std::fs::write(&acl, rules(folder, &passwords).await?)?;
        let port = address.port().to_string();
        let path = |path: &Path| path.display().to_string();
        let settings = [
            ("--bind", "127.0.0.1".to_owned()),
            ("--tls-port", port),
            ("--tls-cert-file", path(&own.certificate)),
            ("--tls-key-file", path(&own.key)),
            ("--tls-ca-cert-file", path(&authority.certificate)),
            ("--tls-auth-clients", "no".to_owned()),
            ("--aclfile", path(&acl)),
        ];
        let settings = settings.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect();
        Ok((Self { address, passwords, authority: authority.certificate }, settings))
    }
}

/// Makes the shipped rules those of this run.
async fn rules(folder: &Path, passwords: &[String; 4]) -> anyhow::Result<String> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../k8s/components/redis-secure");
    for user in RedisUser::ALL {
        std::fs::write(folder.join(user.name()), &passwords[user as usize])?;
    }
    let mut acl = Command::new("sh");
    acl.arg(shipped.join("acl.sh")).arg(shipped.join("users.acl")).arg(folder);
    let made = acl.output().await?;
    ensure!(made.status.success(), "acl.sh: {}", String::from_utf8_lossy(&made.stderr));
    let mut rules = String::from_utf8(made.stdout)?;
    if !knows_newer().await? {
        rules = NEWER.iter().fold(rules, |rules, word| rules.replace(word, ""));
    }
    Ok(rules + &format!("user {ADMIN} on >{} ~* &* +@all\n", passwords[3]))
}

/// Returns whether the server on `PATH` knows the newer words. Valkey does, as it began with 7.2.
async fn knows_newer() -> anyhow::Result<bool> {
    let Ok(said) = Command::new("redis-server").arg("--version").output().await else { return Ok(true) };
    let said = String::from_utf8(said.stdout)?;
    let numbers = said.split_once("v=").context("redis-server does not say its version")?.1;
    let mut numbers = numbers.split(['.', ' ']).map(str::parse);
    let mut next = || numbers.next().context("redis-server says no version")?.context("redis-server says no number");
    Ok((next()?, next()?) >= NEWER_SINCE)
}
