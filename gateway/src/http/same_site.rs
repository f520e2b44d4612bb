//! Checks of `Origin` and `Host`, so that a page of another site cannot use the gateway through the
//! browser of a visitor.
//!
//! A browser sends `Origin` with every request by which a page of another site could do harm, and
//! always for WebSockets. `Host` shows the name that the browser resolved: a page whose own name
//! was pointed at this machine (DNS rebinding) has the same origin, but a foreign name.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderName, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::http::Problem;

/// Entry of a list that allows every name.
const ANY: &str = "*";

/// Names and origins that the gateway answers to.
#[derive(Debug)]
pub(crate) struct SameSite {
    /// Address of the listener.
    bound: IpAddr,
    /// Further host names, in lower case, without ports.
    hosts: Vec<String>,
    /// Origins of other sites whose pages may use the gateway, in lower case.
    origins: Vec<String>,
}

/// Host of a request: name and, if given, port.
struct HostPort {
    name: String,
    port: Option<u16>,
}

impl HostPort {
    fn of(authority: &Authority) -> Self {
        Self { name: plain_name(authority.host()), port: authority.port_u16() }
    }
}

impl SameSite {
    /// Makes the checks of a listener on `bound`.
    pub(crate) fn new(bound: IpAddr, hosts: &[String], origins: &[String]) -> Self {
        // An empty setting is one empty entry.
        let entries = |list: &[String], plain: fn(&str) -> String| {
            list.iter().map(|entry| plain(entry.trim())).filter(|entry| !entry.is_empty()).collect()
        };
        let plain_origin = |origin: &str| origin.trim_end_matches('/').to_ascii_lowercase();
        Self { bound, hosts: entries(hosts, plain_name), origins: entries(origins, plain_origin) }
    }

    /// Refuses a request that comes to a foreign name, or from a page of a foreign origin.
    fn check(&self, request: &Request) -> Result<(), Problem> {
        let mut hosts = Vec::new();
        for text in texts(request, &HOST) {
            let authority: Authority = text.parse().map_err(|_| Problem::foreign_host(&text))?;
            hosts.push(HostPort::of(&authority));
        }
        // The target of a request to a proxy holds a host of its own.
        hosts.extend(request.uri().authority().map(HostPort::of));
        if let Some(foreign) = hosts.iter().find(|host| !self.is_own_name(&host.name)) {
            return Err(Problem::foreign_host(&foreign.name));
        }
        let foreign = texts(request, &ORIGIN).find(|origin| !self.allows_origin(origin, &hosts));
        foreign.map_or(Ok(()), |origin| Err(Problem::foreign_origin(&origin)))
    }

    /// Returns whether a name is one of this gateway's. On a public address every name is, unless
    /// the operator lists names: the gateway cannot know the names that others give to its address.
    fn is_own_name(&self, name: &str) -> bool {
        let any_name = self.hosts.is_empty() && !is_loopback(self.bound);
        any_name || self.is_local_name(name) || self.hosts.iter().any(|host| host == ANY || host == name)
    }

    /// Returns whether a name can mean this machine alone, or is the address of the listener.
    fn is_local_name(&self, name: &str) -> bool {
        match name.parse::<IpAddr>() {
            Ok(address) => is_loopback(address) || address == self.bound,
            Err(_) => name == "localhost" || name.ends_with(".localhost"),
        }
    }

    /// Returns whether a page of this origin may use the gateway: one that the gateway itself
    /// could have served, or one on the operator's list.
    fn allows_origin(&self, origin: &str, hosts: &[HostPort]) -> bool {
        if self.origins.iter().any(|allowed| allowed == ANY || allowed.eq_ignore_ascii_case(origin)) {
            return true;
        }
        let Ok(uri) = origin.parse::<Uri>() else { return false };
        // A proxy may speak TLS to the browser and plain HTTP to the gateway, so the scheme only
        // gives the port.
        let default_port = match uri.scheme_str() {
            Some("http") => 80,
            Some("https") => 443,
            _ => return false,
        };
        let Some(page) = uri.authority().map(HostPort::of) else { return false };
        let port = |host: &HostPort| host.port.unwrap_or(default_port);
        !hosts.is_empty() && hosts.iter().all(|host| host.name == page.name && port(host) == port(&page))
    }
}

/// Checks a request before any route sees it.
pub(crate) async fn layer(State(same_site): State<Arc<SameSite>>, request: Request, next: Next) -> Response {
    match same_site.check(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Returns the values of a header as text.
fn texts(request: &Request, name: &HeaderName) -> impl Iterator<Item = String> {
    let values = request.headers().get_all(name).iter();
    values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect::<Vec<_>>().into_iter()
}

/// Returns a host name in lower case, without the brackets of IPv6 and the dot of the root.
fn plain_name(host: &str) -> String {
    let name = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// Returns whether an address is of the loopback interface, also if it is IPv4 written as IPv6.
fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use axum::body::Body;

    use super::*;

    fn list(entries: &[&str]) -> Vec<String> {
        entries.iter().map(|&entry| entry.to_owned()).collect()
    }

    /// Returns the status of the refusal of a request, or 200.
    fn status(same_site: &SameSite, host: &str, origin: Option<&str>) -> u16 {
        let mut request = Request::builder().uri("/ws").header("host", host);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let checked = same_site.check(&request.body(Body::empty()).unwrap());
        checked.map_or_else(|problem| problem.into_response().status().as_u16(), |()| 200)
    }

    #[test]
    fn a_loopback_listener_answers_to_local_names_alone() {
        let local = SameSite::new("127.0.0.1".parse().unwrap(), &[], &[]);
        for host in
            ["localhost", "LOCALHOST:8080", "localhost.", "127.0.0.1:8080", "127.8.8.8", "[::1]:80", "a.localhost"]
        {
            assert_eq!(status(&local, host, None), 200, "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "10.0.0.1", "notlocalhost", "", "a b", "0.0.0.0"] {
            assert_eq!(status(&local, host, None), 421, "{host}");
        }
        let listed = SameSite::new("127.0.0.1".parse().unwrap(), &list(&["TTS.example."]), &[]);
        assert_eq!((status(&listed, "tts.example:443", None), status(&listed, "localhost", None)), (200, 200));
        assert_eq!(status(&listed, "evil.example", None), 421);
        let any = SameSite::new("127.0.0.1".parse().unwrap(), &list(&["*"]), &[]);
        assert_eq!(status(&any, "evil.example", None), 200);
    }

    #[test]
    fn a_public_listener_answers_to_every_name_unless_names_are_listed() {
        for bound in ["0.0.0.0", "::", "192.0.2.7"] {
            let bound = bound.parse().unwrap();
            for unset in [list(&[]), list(&[""])] {
                assert_eq!(status(&SameSite::new(bound, &unset, &unset), "any.example", None), 200);
            }
            let listed = SameSite::new(bound, &list(&["tts.example"]), &[]);
            assert_eq!(status(&listed, "any.example", None), 421);
            for host in ["tts.example", "127.0.0.1:8080"] {
                assert_eq!(status(&listed, host, None), 200, "{host}");
            }
        }
    }

    #[test]
    fn an_origin_is_the_gateways_own_or_on_the_list() {
        let public =
            SameSite::new("0.0.0.0".parse().unwrap(), &[], &list(&["https://App.example/", "chrome-extension://abc"]));
        for (host, origin) in [
            ("tts.example:8080", "http://tts.example:8080"),
            ("tts.example", "https://tts.example"),
            ("tts.example:443", "https://TTS.example"),
            ("[::1]:8080", "http://[::1]:8080"),
            ("tts.example", "https://app.example"),
            ("tts.example", "chrome-extension://abc"),
        ] {
            assert_eq!(status(&public, host, Some(origin)), 200, "{host} {origin}");
        }
        for (host, origin) in [
            ("tts.example:8080", "http://tts.example"),
            ("tts.example:8080", "http://tts.example:3000"),
            ("tts.example", "https://evil.example"),
            ("tts.example", "null"),
            ("tts.example", ""),
            ("tts.example", "file://"),
            ("tts.example", "chrome-extension://abcd"),
            ("tts.example", "http://app.example"),
        ] {
            assert_eq!(status(&public, host, Some(origin)), 403, "{host} {origin}");
        }
        let any = SameSite::new("0.0.0.0".parse().unwrap(), &[], &list(&["*"]));
        assert_eq!(status(&any, "tts.example", Some("null")), 200);
    }

    #[test]
    fn each_of_several_hosts_and_origins_is_checked() {
        let local = SameSite::new("::1".parse().unwrap(), &[], &[]);
        let request = |uri: &str, headers: &[(&str, &str)]| {
            let request = headers
                .iter()
                .fold(Request::builder().uri(uri), |request, (name, value)| request.header(*name, *value));
            local.check(&request.body(Body::empty()).unwrap()).is_ok()
        };
        assert!(request("/", &[]), "a client without a host is no browser");
        assert!(request("http://localhost/", &[("host", "localhost")]));
        assert!(!request("http://evil.example/", &[("host", "localhost")]));
        assert!(!request("/", &[("host", "localhost"), ("host", "evil.example")]));
        let twice = [("host", "localhost"), ("origin", "http://localhost"), ("origin", "http://evil.example")];
        assert!(!request("/", &twice));
        assert!(request("/", &twice[..2]));
        assert!(!request("/", &twice[1..2]), "an origin cannot be compared with no host");
    }
}
