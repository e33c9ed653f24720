//! Keeps other people's web pages out, and says so in a sentence.
//!
//! A page from elsewhere can make the user's browser send requests here. Three things stop it: the `Host` must be a name
//! of this node (else a name of the attacker's that resolves to this address would be "same origin": DNS rebinding), an
//! `Origin` must be that same host, and what a browser marks as coming from another site gets no answer. No CORS header is
//! ever sent, and POST takes only JSON, which a page cannot send elsewhere without asking first.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::uri::Authority;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::error::{ApiError, ErrorKind};

const CSP: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";

const SECURITY_HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, CSP),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// The names that this node answers to, lower case, without port.
pub(crate) struct Hosts {
    names: HashSet<String>,
    /// Bound to every address: any address literal is one of ours. A literal cannot be rebound, only names can.
    any_address: bool,
}

impl Hosts {
    pub fn new(bound: SocketAddr, configured: &[String]) -> Self {
        let fixed = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut names: HashSet<String> = configured
            .iter()
            .map(|name| name.to_ascii_lowercase())
            .collect();
        names.extend(fixed);
        names.insert(bound.ip().to_string());
        Self {
            names,
            any_address: bound.ip().is_unspecified(),
        }
    }

    fn know(&self, authority: &Authority) -> bool {
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_ascii_lowercase();
        self.names.contains(&host) || (self.any_address && host.parse::<IpAddr>().is_ok())
    }
}

pub(crate) async fn check(
    State(hosts): State<Arc<Hosts>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match admit(&hosts, &request) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    for (name, value) in SECURITY_HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

fn admit(hosts: &Hosts, request: &Request) -> Result<(), ApiError> {
    let host = host_of(request)?;
    if !hosts.know(&host) {
        let name = host.host().to_owned();
        return Err(forbidden(format!(
            "this node does not answer to the host name '{name}'"
        ))
        .with_hint(
            "use its address or localhost, or start it with that name among its HTTP host names",
        ));
    }
    if let Some(origin) = request.headers().get(header::ORIGIN) {
        same_origin(origin, &host)?;
    }
    not_from_another_site(request)
}

/// The one host that the request is for.
fn host_of(request: &Request) -> Result<Authority, ApiError> {
    let mut named = request.headers().get_all(header::HOST).iter();
    let (Some(host), None) = (named.next(), named.next()) else {
        return Err(forbidden("a request needs exactly one Host header"));
    };
    let host = host
        .to_str()
        .ok()
        .and_then(|text| text.parse::<Authority>().ok());
    let host = host.filter(|host| !host.as_str().contains('@'));
    let host = host.ok_or_else(|| forbidden("the Host header is not a host name"))?;
    match request.uri().authority() {
        Some(target) if target != &host => Err(forbidden(
            "the Host header and the request's address differ",
        )),
        _ => Ok(host),
    }
}

fn same_origin(origin: &HeaderValue, host: &Authority) -> Result<(), ApiError> {
    let text = origin.to_str().unwrap_or_default();
    let authority = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    if authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host.as_str())) {
        return Ok(());
    }
    Err(forbidden(
        "a page from another origin may not use this node",
    ))
}

/// `Sec-Fetch-Site` is set by browsers alone. Following a link to the console is fine, loading a part of it is not.
fn not_from_another_site(request: &Request) -> Result<(), ApiError> {
    let ours = matches!(
        fetch_header(request.headers(), "sec-fetch-site"),
        None | Some("same-origin" | "none")
    );
    let followed = fetch_header(request.headers(), "sec-fetch-mode") == Some("navigate")
        && request.method() == "GET";
    let data = request.uri().path().starts_with("/api/") || request.uri().path() == "/metrics";
    if ours || (followed && !data) {
        return Ok(());
    }
    Err(forbidden("a page from another site may not use this node"))
}

fn fetch_header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get(name)
        .map(|value| value.to_str().unwrap_or("unreadable"))
}

fn forbidden(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorKind::Forbidden, message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use axum::body::Body;

    fn admitted(bound: &str, uri: &str, headers: &[(&str, &str)]) -> bool {
        let hosts = Hosts::new(bound.parse().unwrap(), &["Console.Example".to_owned()]);
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        admit(&hosts, &request.body(Body::empty()).unwrap()).is_ok()
    }

    fn with_host(host: &str) -> bool {
        admitted("127.0.0.1:8080", "/api/topics", &[("host", host)])
    }

    #[test]
    fn answers_to_its_own_names_only() {
        for host in [
            "127.0.0.1:8080",
            "localhost:8080",
            "LOCALHOST",
            "[::1]:8080",
            "console.example:443",
        ] {
            assert!(with_host(host), "{host}");
        }
        for host in [
            "evil.example:8080",
            "localhost.evil.example",
            "10.0.0.1:8080",
            "",
            "a@localhost",
            "localhost/x",
        ] {
            assert!(!with_host(host), "{host}");
        }
        assert!(!admitted("127.0.0.1:8080", "/", &[]), "no Host at all");
        assert!(
            !admitted(
                "127.0.0.1:8080",
                "/",
                &[("host", "localhost"), ("host", "localhost")]
            ),
            "two of them"
        );
        assert!(
            !admitted(
                "127.0.0.1:8080",
                "http://evil.example/",
                &[("host", "localhost")]
            ),
            "another target"
        );
    }

    #[test]
    fn bound_to_every_address_it_answers_to_address_literals_but_not_to_names() {
        let any = "0.0.0.0:8080";
        assert!(admitted(any, "/", &[("host", "192.168.1.7:18080")]));
        assert!(admitted("[::]:8080", "/", &[("host", "[fe80::1]:8080")]));
        assert!(!admitted(any, "/", &[("host", "evil.example:8080")]));
        assert!(admitted(
            "192.168.1.7:8080",
            "/",
            &[("host", "192.168.1.7:8080")]
        ));
    }

    #[test]
    fn an_origin_must_be_this_very_host() {
        let from = |origin| {
            admitted(
                "127.0.0.1:8080",
                "/api/sql",
                &[("host", "localhost:8080"), ("origin", origin)],
            )
        };
        assert!(from("http://localhost:8080"));
        assert!(from("https://localhost:8080"));
        for origin in [
            "http://localhost:3000",
            "http://localhost",
            "null",
            "http://evil.example",
            "",
            "file://",
        ] {
            assert!(!from(origin), "{origin}");
        }
    }

    #[test]
    fn other_sites_may_link_to_the_page_but_not_load_its_data() {
        let from = |uri, site, mode| {
            let headers = [
                ("host", "localhost"),
                ("sec-fetch-site", site),
                ("sec-fetch-mode", mode),
            ];
            admitted("127.0.0.1:8080", uri, &headers)
        };
        assert!(from("/api/topics", "same-origin", "cors"));
        assert!(from("/api/topics", "none", "navigate"));
        assert!(from("/topics", "cross-site", "navigate"));
        assert!(!from("/api/topics", "cross-site", "navigate"));
        assert!(!from("/api/topics", "cross-site", "no-cors"));
        assert!(!from("/metrics", "same-site", "cors"));
        assert!(!from("/assets/console.js", "cross-site", "no-cors"));
    }
}
