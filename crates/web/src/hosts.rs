//! By which names a service is called. A page of another site can give its own name the address 127.0.0.1 (DNS rebinding), and then
//! a browser lets it read what a service on the reader's machine answers. The name in `Host` shows it.

use std::net::IpAddr;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use http::header::HOST;
use http::request::Parts;

use crate::answer::nosniff;
use crate::problem::Problem;

/// The names that a service answers to: those of the machine itself, and more that were given.
#[derive(Debug, Clone)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// The names of the machine itself, and these.
    pub fn new(more: Vec<String>) -> Self {
        Self(more)
    }

    /// Lets those calls through that name one of these hosts, with any port. The others get 421.
    pub fn guard(self, router: Router) -> Router {
        let guard = from_fn(move |request: Request, next: Next| {
            let hosts = self.clone();
            async move {
                let (parts, body) = request.into_parts();
                match hosts.has_all_of(&parts) {
                    true => next.run(Request::from_parts(parts, body)).await,
                    false => misdirected(),
                }
            }
        });
        nosniff(router.layer(guard))
    }

    /// True if a call names one host, once, and it is one of these. A target may name it too.
    fn has_all_of(&self, parts: &Parts) -> bool {
        let mut named = parts.headers.get_all(HOST).iter();
        let (Some(host), None) = (named.next(), named.next()) else {
            return false;
        };
        let target = parts.uri.authority().map(|authority| authority.as_str());
        host.to_str().is_ok_and(|host| self.has(host)) && target.is_none_or(|host| self.has(host))
    }

    fn has(&self, host: &str) -> bool {
        let is_given = |name: &str| self.0.iter().any(|more| more.eq_ignore_ascii_case(name));
        name_of(host).is_some_and(|name| is_this_machine(name) || is_given(name))
    }
}

/// The name in a `Host`, without its port; `None` where the port is no number.
pub(crate) fn name_of(host: &str) -> Option<&str> {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, "")) => (name, ""),
        Some((name, rest)) => (name, rest.strip_prefix(':')?),
        None => host.split_once(':').unwrap_or((host, "")),
    };
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(name)
}

/// True for the names of the machine itself.
pub(crate) fn is_this_machine(name: &str) -> bool {
    let address: Result<IpAddr, _> = name.parse();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|ip| ip.is_loopback())
}

fn misdirected() -> Response {
    let detail = "this service is called by localhost, 127.0.0.1 or [::1], or by a name that it was started with (--host NAME)";
    Problem::misdirected(detail).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_hosts_a_service_answers_to() {
        let hosts = Hosts::new(vec!["shop.example".to_owned()]);
        for host in [
            "localhost",
            "LocalHost:8080",
            "127.0.0.1",
            "127.0.0.1:1",
            "127.0.0.2:80",
            "[::1]",
            "[::1]:8080",
            "shop.example",
            "SHOP.example:443",
            "localhost:",
        ] {
            assert!(hosts.has(host), "{host}");
        }
        for host in [
            "",
            ":8080",
            "evil.example",
            "localhost.evil.example",
            "evil.example:localhost",
            "localhost:80@evil.example",
            "localhost@evil.example",
            "127.0.0.1.evil.example",
            "0.0.0.0",
            "10.0.0.1:8080",
            "[::2]",
            "[::1].evil.example",
            "[::1]evil:80",
            "::1",
            "[::1",
            "shop.example.",
            "localhost, evil.example",
            "http://localhost",
        ] {
            assert!(!hosts.has(host), "{host}");
        }
    }
}
