//! Platforms: `os[/architecture[/variant]]` as users write it, and which manifest of an index fits.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::image::Image;

/// A platform; empty parts are not said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Platform {
    pub os: String,
    pub architecture: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

impl Platform {
    /// The machine's.
    pub fn host() -> Platform {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", ""),
            "aarch64" => ("arm64", "v8"),
            "arm" => ("arm", "v7"),
            "x86" => ("386", ""),
            "powerpc64" => ("ppc64le", ""),
            other => (other, ""),
        };
        Platform {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.to_owned(),
        }
    }

    /// Reads what a user wrote; missing parts are the machine's.
    pub fn parse(text: &str) -> Result<Platform> {
        let host = Platform::host();
        let lower = text.to_ascii_lowercase();
        let mut parts = lower.split('/');
        let first = parts.next().unwrap_or_default();
        let (second, third) = (parts.next(), parts.next());
        let valid = |p: &str| {
            !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        if parts.next().is_some() || !lower.split('/').all(valid) {
            return Err(Error::new(
                ErrorKind::InvalidRequest,
                format!(
                    "{text:?} is an invalid platform: write os/architecture[/variant], like linux/arm64"
                ),
            ));
        }
        let Some(second) = second else {
            // One word is an operating system or an architecture.
            return Ok(match first {
                "linux" => host,
                "windows" | "darwin" | "freebsd" => Platform { os: first.to_owned(), ..host },
                _ => Platform::normal("linux", first, None),
            });
        };
        Ok(Platform::normal(first, second, third))
    }

    /// With the names that images use.
    fn normal(os: &str, architecture: &str, variant: Option<&str>) -> Platform {
        let (architecture, fixed) = match architecture {
            "x86_64" | "x86-64" => ("amd64", None),
            "aarch64" => ("arm64", None),
            "armhf" => ("arm", Some("v7")),
            "armel" => ("arm", Some("v6")),
            "i386" | "i686" => ("386", None),
            other => (other, None),
        };
        let default = match architecture {
            "arm64" => "v8",
            "arm" => "v7",
            _ => "",
        };
        let variant = variant.or(fixed).unwrap_or(default);
        Platform {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.to_owned(),
        }
    }

    /// How well something made for `other` runs here: lower is better, none is not at all.
    pub fn rank(&self, other: &Platform) -> Option<usize> {
        if self.os != other.os || self.architecture != other.architecture {
            return None;
        }
        if self.variant == other.variant {
            return Some(0);
        }
        let runs: &[&str] = match (self.architecture.as_str(), self.variant.as_str()) {
            ("arm64", "v8" | "") => &["v8", ""],
            ("arm", "v8") => &["v8", "v7", "", "v6", "v5"],
            ("arm", "v7" | "") => &["v7", "", "v6", "v5"],
            ("arm", "v6") => &["v6", "v5"],
            // What every x86-64 processor runs; the levels above need a look at the processor.
            ("amd64", _) => &["", "v1"],
            _ => &[""],
        };
        runs.iter().position(|v| *v == other.variant)
    }

    /// Whether an image is made for it.
    pub fn fits(&self, image: &Image) -> bool {
        let made_for = Platform {
            os: image.os.clone(),
            architecture: image.architecture.clone(),
            variant: image.variant.clone(),
        };
        self.rank(&made_for).is_some()
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match self.variant.as_str() {
            "" => Ok(()),
            // Docker does not show the variant that goes without saying.
            "v8" if self.architecture == "arm64" => Ok(()),
            variant => write!(f, "/{variant}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_ranks() {
        let arm = Platform::parse("linux/arm64").unwrap();
        assert_eq!((arm.variant.as_str(), arm.to_string().as_str()), ("v8", "linux/arm64"));
        assert_eq!(Platform::parse("arm64").unwrap(), arm);
        assert_eq!(Platform::parse("linux/x86_64").unwrap().architecture, "amd64");
        assert!(Platform::parse("linux/").is_err() && Platform::parse("a/b/c/d").is_err());
        let v7 = Platform::parse("linux/arm/v7").unwrap();
        let v6 = Platform::parse("linux/arm/v6").unwrap();
        assert_eq!((v7.rank(&v7), v7.rank(&v6), v6.rank(&v7)), (Some(0), Some(2), None));
        assert_eq!(arm.rank(&Platform { variant: String::new(), ..arm.clone() }), Some(1));
    }
}
