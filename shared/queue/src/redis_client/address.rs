//! Address of Redis from its URL: the server itself, its sentinels, or nodes of its cluster.

use redis::{ConnectionInfo, ErrorKind, IntoConnectionInfo as _, RedisError, RedisResult};

/// Port of sentinels whose URL names none.
const SENTINEL_PORT: u16 = 26_379;

/// Address of Redis, by the URL's scheme.
#[derive(Debug)]
pub(super) enum Address {
    /// `redis://`, `rediss://`, and every other scheme that redis-rs knows: one server.
    Single(ConnectionInfo),
    /// `redis+sentinel://[user:pass@]host:port,host:port/master[/db][?sentinel_auth=user:pass]`:
    /// the sentinels, the name under which they watch the master, and how to reach the master, with
    /// `localhost` in place of its host.
    Sentinel { sentinels: Vec<ConnectionInfo>, name: String, master: ConnectionInfo },
    /// `redis+cluster://[user:pass@]host:port,host:port`: nodes that know the others.
    Cluster { seeds: Vec<ConnectionInfo> },
}

impl Address {
    /// Parses a URL. Errors never repeat the URL, because it may hold a password.
    pub(super) fn parse(url: &str) -> RedisResult<Self> {
        let Some((scheme, kind)) = url.split_once("://").and_then(|(scheme, _)| scheme.split_once('+')) else {
            return Ok(Self::Single(url.into_connection_info()?));
        };
        let parts = UrlParts::of(url);
        match (scheme, kind) {
            ("redis" | "rediss", "sentinel") => parts.sentinel(scheme),
            ("redis" | "rediss", "cluster") => parts.cluster(scheme),
            _ => Ok(Self::Single(url.into_connection_info()?)),
        }
    }

    /// Returns one of the servers that the URL names.
    pub(super) fn any_server(&self) -> &ConnectionInfo {
        match self {
            Self::Single(server) => server,
            Self::Sentinel { master, .. } => master,
            Self::Cluster { seeds } => &seeds[0],
        }
    }
}

/// Parts of a URL, each as it was written (percent signs included).
struct UrlParts<'a> {
    /// Login with its `@`, or empty.
    login: &'a str,
    hosts: Vec<&'a str>,
    path: Vec<&'a str>,
    query: Option<&'a str>,
}

impl<'a> UrlParts<'a> {
    fn of(url: &'a str) -> Self {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = place.rfind('@').map_or(("", place), |at| place.split_at(at + 1));
        let split = |text: &'a str, by: char| text.split(by).filter(|part| !part.is_empty()).collect();
        Self { login, hosts: split(hosts, ','), path: split(path, '/'), query }
    }

    fn sentinel(&self, scheme: &str) -> RedisResult<Address> {
        let (name, db) = match self.path.as_slice() {
            [name] => (*name, "0"),
            [name, db] => (*name, *db),
            _ => return Err(wrong("redis+sentinel:// needs host:port,host:port/master-name[/db]")),
        };
        let login = match self.query.map(|query| query.split_once('=')) {
            None => String::new(),
            Some(Some(("sentinel_auth", login))) => format!("{login}@"),
            Some(_) => return Err(wrong("redis+sentinel:// knows one option: ?sentinel_auth=user:password")),
        };
        let sentinels = self.connections(&format!("{scheme}://{login}"), "", Some(SENTINEL_PORT))?;
        let master = format!("{scheme}://{}localhost/{db}", self.login).into_connection_info()?;
        Ok(Address::Sentinel { sentinels, name: name.to_owned(), master })
    }

    fn cluster(&self, scheme: &str) -> RedisResult<Address> {
        if !self.path.is_empty() {
            return Err(wrong(
                "redis+cluster:// needs host:port,host:port and nothing after it: a cluster has one database",
            ));
        }
        let options = self.query.map(|query| format!("?{query}")).unwrap_or_default();
        Ok(Address::Cluster { seeds: self.connections(&format!("{scheme}://{}", self.login), &options, None)? })
    }

    /// Builds a connection for each host, with the parts of the URL before and after it.
    fn connections(&self, before: &str, after: &str, port: Option<u16>) -> RedisResult<Vec<ConnectionInfo>> {
        if self.hosts.is_empty() {
            return Err(wrong("the Redis URL names no host"));
        }
        let connection = |host: &&str| match port {
            // The port is in what follows the bracket of an IPv6 address, or in the whole name.
            Some(port) if !host.rsplit(']').next().is_some_and(|end| end.contains(':')) => {
                format!("{before}{host}:{port}{after}").into_connection_info()
            }
            _ => format!("{before}{host}{after}").into_connection_info(),
        };
        self.hosts.iter().map(connection).collect()
    }
}

fn wrong(what: &'static str) -> RedisError {
    RedisError::from((ErrorKind::InvalidClientConfig, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(connections: &[ConnectionInfo]) -> Vec<String> {
        connections.iter().map(|connection| connection.addr().to_string()).collect()
    }

    #[test]
    fn one_server() {
        let Address::Single(server) = Address::parse("redis://:secret@cache:7000/2").expect("URL") else {
            panic!("not a single server")
        };
        assert_eq!(server.addr().to_string(), "cache:7000");
        assert_eq!((server.redis_settings().db(), server.redis_settings().password()), (2, Some("secret")));
    }

    #[test]
    fn sentinels_and_their_master() {
        let url = "redis+sentinel://app:p%40ss@s1:26380,s2/main/3?sentinel_auth=watch:dog";
        let Address::Sentinel { sentinels, name, master } = Address::parse(url).expect("URL") else {
            panic!("not sentinels")
        };
        assert_eq!(hosts(&sentinels), ["s1:26380", "s2:26379"]);
        assert_eq!(name, "main");
        assert_eq!(sentinels[1].redis_settings().password(), Some("dog"));
        let login = (master.redis_settings().username(), master.redis_settings().password());
        assert_eq!((login, master.redis_settings().db()), ((Some("app"), Some("p@ss")), 3));
        assert!(matches!(master.addr(), redis::ConnectionAddr::Tcp(..)));
    }

    #[test]
    fn nodes_of_a_cluster() {
        let Address::Cluster { seeds } = Address::parse("rediss+cluster://:pw@n1:7000,n2:7001").expect("URL") else {
            panic!("not a cluster")
        };
        assert_eq!(hosts(&seeds), ["n1:7000", "n2:7001"]);
        assert_eq!(seeds[1].redis_settings().password(), Some("pw"));
        assert!(matches!(seeds[1].addr(), redis::ConnectionAddr::TcpTls { .. }));
    }

    #[test]
    fn wrong_urls_are_refused_without_repeating_the_password() {
        for url in [
            "redis+sentinel://:hush@host:26379",
            "redis+sentinel://:hush@/main",
            "redis+sentinel://:hush@host/main?other=1",
            "redis+cluster://:hush@",
            "redis+cluster://:hush@host:7000/1",
            "redis+proxy://:hush@host:7000",
            "http://:hush@host",
        ] {
            let error = Address::parse(url).expect_err(url).to_string();
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
