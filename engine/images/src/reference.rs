//! Image names as Docker reads them: `[registry/]repository[:tag][@digest]`.
//!
//! A name without a registry means docker.io, and there a repository without a folder means
//! `library/…`. A first part counts as a registry if it has a dot, a colon or an upper-case letter,
//! or is `localhost`. Without tag and digest the tag is `latest`.

use std::fmt;

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};

/// The registry behind names that name none.
pub const DOCKER_IO: &str = "docker.io";

/// A parsed, complete image name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Parses a name; without tag and digest it gets the tag `latest`.
    pub fn parse(text: &str) -> Result<Reference> {
        let mut reference = Reference::parse_bare(text)?;
        if reference.tag.is_none() && reference.digest.is_none() {
            reference.tag = Some("latest".to_owned());
        }
        Ok(reference)
    }

    /// Parses a name and leaves a missing tag missing.
    pub fn parse_bare(text: &str) -> Result<Reference> {
        if text.len() == 64
            && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        {
            return Err(invalid(format!(
                "invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
            )));
        }
        let (domain, remainder) = split_domain(text);
        let name_end = remainder.find([':', '@']).unwrap_or(remainder.len());
        let (path, rest) = remainder.split_at(name_end);
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(invalid(format!(
                "invalid reference format: repository name ({path}) must be lowercase"
            )));
        }
        if !valid_domain(&domain) || !valid_path(path) {
            return Err(invalid("invalid reference format"));
        }
        if domain.len() + 1 + path.len() > 255 {
            return Err(invalid(
                "invalid reference format: repository name must not be more than 255 characters",
            ));
        }
        let (tag, digest) = parse_suffix(rest)?;
        Ok(Reference { domain, path: path.to_owned(), tag, digest })
    }

    /// Parses a repository and an optional tag or digest given apart, as `images/create` does.
    pub fn with_tag(repository: &str, tag: Option<&str>) -> Result<Reference> {
        match tag.filter(|t| !t.is_empty()) {
            None => Reference::parse(repository),
            Some(tag) => {
                let bare = Reference::parse_bare(repository)?;
                let separator = if tag.contains(':') { '@' } else { ':' };
                Reference::parse(&format!("{}/{}{separator}{tag}", bare.domain, bare.path))
            }
        }
    }

    /// The registry: `docker.io`, `localhost:5000` …
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository on the registry: `library/alpine`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// Registry and repository in full: `docker.io/library/alpine`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The short form that Docker shows: `alpine:latest`, `host:5000/app@sha256:…`.
    pub fn familiar(&self) -> String {
        let mut text = self.familiar_repository();
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push_str(&format!("@{digest}"));
        }
        text
    }

    /// The repository as users write it: `alpine`, `me/app`, `localhost:5000/app`.
    pub fn familiar_repository(&self) -> String {
        if self.domain != DOCKER_IO {
            return self.repository();
        }
        let short = self.path.strip_prefix("library/").filter(|p| !p.contains('/'));
        short.unwrap_or(&self.path).to_owned()
    }

    /// The same repository by digest only: what `RepoDigests` holds.
    pub fn at_digest(&self, digest: Digest) -> Reference {
        Reference { tag: None, digest: Some(digest), ..self.clone() }
    }
}

impl fmt::Display for Reference {
    /// The full form: `docker.io/library/alpine:latest`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Reference> {
        Reference::parse(text)
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidReference, message)
}

/// Cuts the registry off, filling in docker.io and `library/`.
fn split_domain(text: &str) -> (String, String) {
    let (domain, remainder) = match text.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DOCKER_IO, text),
    };
    let domain = if domain == "index.docker.io" { DOCKER_IO } else { domain };
    if domain == DOCKER_IO && !remainder.is_empty() && !remainder.contains('/') {
        return (domain.to_owned(), format!("library/{remainder}"));
    }
    (domain.to_owned(), remainder.to_owned())
}

/// What follows the repository: nothing, `:tag`, `@digest` or both.
fn parse_suffix(rest: &str) -> Result<(Option<String>, Option<Digest>)> {
    let (tag_part, digest_part) = match rest.split_once('@') {
        Some((tag, digest)) => (tag, Some(digest)),
        None => (rest, None),
    };
    let tag = match tag_part.strip_prefix(':') {
        Some(tag) if valid_tag(tag) => Some(tag.to_owned()),
        None if tag_part.is_empty() => None,
        _ => return Err(invalid("invalid reference format")),
    };
    let digest = match digest_part {
        Some(text) => Some(text.parse().map_err(|_| invalid("invalid reference format"))?),
        None => None,
    };
    Ok((tag, digest))
}

/// `[a-zA-Z0-9-]` parts joined by dots, an optional port; or an IPv6 address in brackets.
fn valid_domain(domain: &str) -> bool {
    let (host, port) = match domain.strip_prefix('[').and_then(|d| d.split_once(']')) {
        Some((address, rest)) => {
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            match rest.strip_prefix(':') {
                Some(port) => return valid_port(port),
                None => return rest.is_empty(),
            }
        }
        None => match domain.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (domain, None),
        },
    };
    port.is_none_or(valid_port)
        && host.split('.').all(|part| {
            !part.is_empty()
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

fn valid_port(port: &str) -> bool {
    !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
}

/// Lower-case parts joined by slashes; inside a part `.`, `_`, `__` or dashes separate.
fn valid_path(path: &str) -> bool {
    path.split('/').all(valid_path_part)
}

fn valid_path_part(part: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    if !alphanumeric(*first) || !alphanumeric(*last) {
        return false;
    }
    part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).all(|separator| {
        matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
    })
}

/// `[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`.
fn valid_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(text: &str) -> String {
        Reference::parse(text).unwrap().to_string()
    }

    fn refusal(text: &str) -> String {
        Reference::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn fills_in_what_is_left_out() {
        assert_eq!(full("alpine"), "docker.io/library/alpine:latest");
        assert_eq!(full("alpine:3.20"), "docker.io/library/alpine:3.20");
        assert_eq!(full("me/app"), "docker.io/me/app:latest");
        assert_eq!(full("index.docker.io/alpine"), "docker.io/library/alpine:latest");
        assert_eq!(full("localhost/app"), "localhost/app:latest");
        assert_eq!(full("127.0.0.1:5001/a/b/c:x"), "127.0.0.1:5001/a/b/c:x");
        assert_eq!(full("[::1]:5000/app"), "[::1]:5000/app:latest");
        assert_eq!(full("LOCAL/app"), "LOCAL/app:latest");
    }

    #[test]
    fn familiar_is_the_short_form() {
        for text in ["alpine:latest", "me/app:1", "127.0.0.1:5001/app:1", "ghcr.io/a/b:v1"] {
            assert_eq!(Reference::parse(text).unwrap().familiar(), text);
        }
        assert_eq!(Reference::parse("docker.io/library/a").unwrap().familiar(), "a:latest");
    }

    #[test]
    fn digests_take_the_place_of_the_tag() {
        let digest = Digest::of(b"x");
        let reference = Reference::parse(&format!("alpine@{digest}")).unwrap();
        assert_eq!((reference.tag(), reference.digest()), (None, Some(digest)));
        let both = Reference::parse(&format!("alpine:3@{digest}")).unwrap();
        assert_eq!((both.tag(), both.digest()), (Some("3"), Some(digest)));
        let apart = Reference::with_tag("alpine", Some(&digest.to_string())).unwrap();
        assert_eq!(apart, reference);
        assert_eq!(Reference::with_tag("a:1", Some("2")).unwrap().familiar(), "a:2");
    }

    #[test]
    fn refuses_in_dockers_words() {
        assert_eq!(
            refusal("XX"),
            "invalid reference format: repository name (library/XX) must be lowercase"
        );
        for text in
            ["", "a//b", ":x", "a:", "a:b c", "-a", "a_-b", "a/", "a@sha256:12", "x y", "[z]/a"]
        {
            assert_eq!(refusal(text), "invalid reference format", "{text:?}");
        }
        assert!(refusal(&"a".repeat(64)).contains("64-byte hexadecimal"));
        assert!(refusal(&"g".repeat(300)).contains("255 characters"));
    }
}
