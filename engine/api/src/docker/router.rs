//! From method and path to a handler.
//!
//! A pattern has words, `{name}` for one segment and `{name*}` for one or more (image names have slashes). The first route
//! that matches wins, so words stand before parameters in [`super::routes`]. Every route is reached with and without a
//! version prefix.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bryo_core::Engine;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;

use super::call::Call;
use super::error::{ApiError, Result};
use super::http::connection::Answers;
use super::http::hijack::Hijacker;
use super::query::Query;
use super::reply::{self, Reply};
use super::routes;
use super::version::Version;

/// What a handler gives back.
pub type Answer = Pin<Box<dyn Future<Output = Result<Reply>> + Send>>;

/// A handler.
pub type Handler = fn(Call) -> Answer;

/// One line of the table.
pub struct Route {
    method: Method,
    pattern: Vec<Segment>,
    since: Version,
    handler: Handler,
}

#[derive(Debug, PartialEq, Eq)]
enum Segment {
    Word(&'static str),
    One,
    Many,
}

impl Route {
    /// A route that every version has.
    pub fn new(method: Method, pattern: &'static str, handler: Handler) -> Route {
        let pattern = pattern
            .trim_start_matches('/')
            .split('/')
            .map(|segment| match segment {
                s if s.starts_with('{') && s.ends_with("*}") => Segment::Many,
                s if s.starts_with('{') => Segment::One,
                word => Segment::Word(word),
            })
            .collect();
        Route { method, pattern, since: Version::OLDEST, handler }
    }

    /// The same from `1.<minor>` on; older clients get a 400 that says so.
    pub fn since(self, minor: u16) -> Route {
        Route { since: Version(minor), ..self }
    }
}

/// The parameters of a path, if the pattern matches.
fn matches(pattern: &[Segment], path: &[&str]) -> Option<Vec<String>> {
    let Some((first, rest)) = pattern.split_first() else {
        return path.is_empty().then(Vec::new);
    };
    match first {
        Segment::Word(word) => match path.split_first() {
            Some((head, tail)) if head == word => matches(rest, tail),
            _ => None,
        },
        Segment::One => {
            let (head, tail) = path.split_first().filter(|(head, _)| !head.is_empty())?;
            let mut params = matches(rest, tail)?;
            params.insert(0, (*head).to_owned());
            Some(params)
        }
        // The longest name first, so that `…/push` at the end is the verb and not part of the name.
        Segment::Many => (1..=path.len()).rev().find_map(|n| {
            let (name, tail) = path.split_at(n);
            let mut params = matches(rest, tail)?;
            params.insert(0, name.join("/"));
            Some(params).filter(|p| p.first().is_some_and(|name| !name.is_empty()))
        }),
    }
}

/// The Docker API on an engine.
pub struct Door {
    engine: Engine,
    routes: Vec<Route>,
}

impl Door {
    /// All endpoints.
    pub fn new(engine: Engine) -> Door {
        Door { engine, routes: routes::table() }
    }

    /// Answers a request. Errors become answers here.
    async fn reply(&self, request: Request<Incoming>, hijacker: Hijacker) -> Reply {
        let line = format!("{} {}", request.method(), request.uri());
        let mut reply = match self.dispatch(request, hijacker).await {
            Ok(reply) => reply,
            Err(error) => {
                tracing::debug!(status = error.status().as_u16(), "{line}: {}", error.message());
                reply::error(&error)
            }
        };
        reply::common_headers(reply.headers_mut());
        reply
    }

    async fn dispatch(&self, request: Request<Incoming>, hijacker: Hijacker) -> Result<Reply> {
        let (parts, body) = request.into_parts();
        let path = decode(parts.uri.path());
        let (version, path) = Version::split(&path);
        if parts.method == Method::OPTIONS {
            return Ok(reply::status(StatusCode::OK));
        }
        let (route, params) =
            find(&self.routes, &parts.method, path).ok_or_else(ApiError::page_not_found)?;
        let version = Version::negotiate(version)?;
        if version < route.since {
            return Err(ApiError::bad_request(format!(
                "{} {path} requires API version {}, but the client uses {version}",
                parts.method, route.since
            )));
        }
        (route.handler)(Call {
            engine: self.engine.clone(),
            version,
            params,
            query: Query::parse(parts.uri.query()),
            headers: parts.headers,
            body,
            hijacker,
        })
        .await
    }
}

impl Answers for Door {
    fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        hijacker: Hijacker,
    ) -> Pin<Box<dyn Future<Output = Reply> + Send>> {
        Box::pin(async move { self.reply(request, hijacker).await })
    }
}

fn find<'r>(routes: &'r [Route], method: &Method, path: &str) -> Option<(&'r Route, Vec<String>)> {
    let path = path.strip_prefix('/')?;
    let segments: Vec<&str> = path.split('/').collect();
    routes
        .iter()
        .filter(|route| route.method == *method)
        .find_map(|route| matches(&route.pattern, &segments).map(|params| (route, params)))
}

/// Undoes percent-encoding; image names come as `127.0.0.1:5000%2Fbusybox` too.
fn decode(path: &str) -> String {
    if !path.contains('%') {
        return path.to_owned();
    }
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let code = tail.get(..2).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let code = code.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match code {
            Some(code) if byte == b'%' => {
                bytes.push(code);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(method: &Method, path: &str) -> Option<Vec<String>> {
        find(&routes::table(), method, path).map(|(_, params)| params)
    }

    #[test]
    fn paths_reach_their_routes() {
        let get = Method::GET;
        let one = |s: &str| Some(vec![s.to_owned()]);
        assert_eq!(params(&get, "/containers/json"), Some(vec![]));
        assert_eq!(params(&get, "/containers/web/json"), one("web"));
        assert_eq!(params(&get, "/images/json"), Some(vec![]));
        assert_eq!(params(&get, "/images/127.0.0.1:5001/a/b:1/get"), one("127.0.0.1:5001/a/b:1"));
        assert_eq!(params(&get, "/images/busybox/json"), one("busybox"));
        assert_eq!(params(&get, "/images/a/history/history"), one("a/history"));
        assert_eq!(params(&get, "/networks/"), Some(vec![]));
        assert_eq!(params(&Method::DELETE, "/images/a/b"), one("a/b"));
        assert_eq!(params(&Method::HEAD, "/containers/w/archive"), one("w"));
    }

    #[test]
    fn wrong_paths_and_methods_reach_nothing() {
        for (method, path) in [
            (Method::GET, "/"),
            (Method::GET, "/nosuch"),
            (Method::POST, "/containers/json"),
            (Method::GET, "/containers//json"),
            (Method::GET, "/containers/a/b/json"),
            (Method::DELETE, "/images/"),
        ] {
            assert_eq!(params(&method, path), None, "{method} {path}");
        }
    }

    #[test]
    fn escapes_are_undone() {
        assert_eq!(decode("/images/a%2Fb%3A1/json"), "/images/a/b:1/json");
        assert_eq!(decode("/a%2"), "/a%2");
        assert_eq!(decode("/%zz"), "/%zz");
        assert_eq!(decode("/%+1"), "/%+1");
    }
}
