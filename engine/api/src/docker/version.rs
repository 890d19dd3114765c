//! API versions: which are spoken, how a request names one, and the refusals.

use std::fmt;

use super::error::ApiError;

/// A version of the API, `1.<minor>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u16);

impl Version {
    /// The oldest that is spoken.
    pub const OLDEST: Version = Version(24);
    /// The newest; requests without a version get it.
    pub const NEWEST: Version = Version(56);

    /// Whether this is `1.<minor>` or newer.
    pub fn since(self, minor: u16) -> bool {
        self.0 >= minor
    }

    /// Takes a version prefix (`/v1.41/info`) off a path. `None`: the path has no prefix.
    pub fn split(path: &str) -> (Option<&str>, &str) {
        let Some(rest) = path.strip_prefix("/v") else { return (None, path) };
        let end = rest.find('/').unwrap_or(rest.len());
        let (text, tail) = rest.split_at(end);
        let is_version = text.starts_with(|c: char| c.is_ascii_digit())
            && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
            && !tail.is_empty();
        if is_version { (Some(text), tail) } else { (None, path) }
    }

    /// Accepts a version as a client wrote it, or refuses in Docker's words.
    pub fn negotiate(text: Option<&str>) -> Result<Version, ApiError> {
        let Some(text) = text else { return Ok(Version::NEWEST) };
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        let minor = minor.split('.').next().unwrap_or("0");
        let major: u16 = major.parse().unwrap_or(u16::MAX);
        let minor: u16 = minor.parse().unwrap_or(u16::MAX);
        if (major, minor) < (1, Version::OLDEST.0) {
            return Err(ApiError::too_old(format!(
                "client version {text} is too old. Minimum supported API version is {}, \
                 please upgrade your client to a newer version",
                Version::OLDEST
            )));
        }
        if (major, minor) > (1, Version::NEWEST.0) {
            return Err(ApiError::bad_request(format!(
                "client version {text} is too new. Maximum supported API version is {}",
                Version::NEWEST
            )));
        }
        Ok(Version(minor))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_split_off() {
        assert_eq!(Version::split("/v1.41/info"), (Some("1.41"), "/info"));
        assert_eq!(Version::split("/info"), (None, "/info"));
        assert_eq!(Version::split("/volumes"), (None, "/volumes"));
        assert_eq!(Version::split("/version"), (None, "/version"));
        assert_eq!(Version::split("/v1.41"), (None, "/v1.41"));
    }

    #[test]
    fn versions_are_negotiated() {
        assert_eq!(Version::negotiate(None).unwrap(), Version::NEWEST);
        assert_eq!(Version::negotiate(Some("1.24")).unwrap(), Version(24));
        assert_eq!(Version::negotiate(Some("1.56")).unwrap(), Version(56));
        let old = Version::negotiate(Some("1.23")).unwrap_err();
        assert_eq!(
            old.message(),
            "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version"
        );
        assert_eq!(old.status(), 400);
        let new = Version::negotiate(Some("1.57")).unwrap_err();
        assert_eq!(
            new.message(),
            "client version 1.57 is too new. Maximum supported API version is 1.56"
        );
        assert!(Version::negotiate(Some("2.0")).is_err());
    }
}
