//! Finding images: by name, digest, id or prefix; lists and filters.

use super::records::{State, no_such_image};
use super::{ImageFilter, Store};
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::image::Image;
use crate::platform::Platform;
use crate::reference::Reference;

impl Store {
    /// See [`Store::resolve`].
    pub(super) fn find(&self, name: &str, platform: Option<&str>) -> Result<Image> {
        let image = {
            let state = self.state();
            let id = state.find(name)?;
            state.image(id)?
        };
        let Some(platform) = platform.filter(|p| !p.is_empty()) else { return Ok(image) };
        let platform = Platform::parse(platform)?;
        if platform.fits(&image) {
            return Ok(image);
        }
        Err(Error::new(
            ErrorKind::NotFound,
            format!(
                "image with reference {name} was found but does not provide the specified platform ({platform})"
            ),
        ))
    }

    /// See [`Store::list`].
    pub(super) fn select(&self, filter: &ImageFilter) -> Result<Vec<Image>> {
        let state = self.state();
        let date = |name: &String| {
            let id = state.find(name)?;
            Ok::<_, Error>(state.image(id)?.created.unwrap_or(0))
        };
        let before = filter.before.iter().map(date).collect::<Result<Vec<_>>>()?.into_iter().min();
        let since = filter.since.iter().map(date).collect::<Result<Vec<_>>>()?.into_iter().max();
        let mut images = Vec::new();
        for id in state.images.keys() {
            let mut image = state.image(*id)?;
            let created = image.created.unwrap_or(0);
            if before.is_some_and(|b| created >= b)
                || since.is_some_and(|s| created <= s)
                || filter.until.is_some_and(|u| created >= u)
                || !matches_labels(&image, filter)
                || filter.dangling.is_some_and(|d| d != image.repo_tags.is_empty())
            {
                continue;
            }
            if !filter.references.is_empty() {
                // As in Docker, the filter chooses among an image's names, too.
                let keep = |name: &String| filter.references.iter().any(|p| matches(p, name));
                image.repo_tags.retain(&keep);
                image.repo_digests.retain(&keep);
                if image.repo_tags.is_empty() && image.repo_digests.is_empty() {
                    continue;
                }
            }
            images.push(image);
        }
        images.sort_by(|a, b| b.created.cmp(&a.created).then(a.id.cmp(&b.id)));
        Ok(images)
    }
}

impl State {
    /// The id of the image that a user means.
    pub fn find(&self, name: &str) -> Result<Digest> {
        if let Ok(digest) = name.parse::<Digest>() {
            return self.by_digest(digest).ok_or_else(|| no_such_image(name));
        }
        if let Ok(digest) = format!("sha256:{name}").parse::<Digest>() {
            return self.by_digest(digest).ok_or_else(|| no_such_image(name));
        }
        let prefix = name.strip_prefix("sha256:").unwrap_or(name);
        if name.starts_with("sha256:") {
            return self.by_prefix(prefix).ok_or_else(|| no_such_image(name));
        }
        let reference = Reference::parse(name)?;
        if let Some(id) = self.by_reference(&reference) {
            return Ok(id);
        }
        self.by_prefix(prefix).ok_or_else(|| no_such_image(&reference.familiar()))
    }

    fn by_digest(&self, digest: Digest) -> Option<Digest> {
        if self.images.contains_key(&digest) {
            return Some(digest);
        }
        // Engines with another store call an image by its manifest's digest.
        self.images.values().find(|(r, _)| r.manifest == digest).map(|(r, _)| r.id)
    }

    fn by_reference(&self, reference: &Reference) -> Option<Digest> {
        if let Some(id) = self.names.get(reference) {
            return Some(*id);
        }
        let digest = reference.digest()?;
        let by_digest = self.names.get(&reference.at_digest(digest)).copied();
        // A repository's image may also be asked for by the manifest behind an index.
        by_digest.or_else(|| {
            let id = self.by_digest(digest)?;
            let of_repository =
                |(name, named): (&Reference, &Digest)| *named == id && same(name, reference);
            self.names.iter().any(of_repository).then_some(id)
        })
    }

    /// A prefix that two images share means neither.
    fn by_prefix(&self, prefix: &str) -> Option<Digest> {
        if prefix.is_empty() || !prefix.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let mut found = self.images.keys().filter(|id| id.hex().starts_with(prefix));
        match (found.next(), found.next()) {
            (Some(id), None) => Some(*id),
            _ => None,
        }
    }
}

/// Whether two names are of one repository.
pub(super) fn same(a: &Reference, b: &Reference) -> bool {
    a.domain() == b.domain() && a.path() == b.path()
}

fn matches_labels(image: &Image, filter: &ImageFilter) -> bool {
    let has = |wanted: &String| match wanted.split_once('=') {
        Some((key, value)) => image.config.labels.get(key).is_some_and(|v| v == value),
        None => image.config.labels.contains_key(wanted),
    };
    filter.labels.iter().all(has) && !filter.labels_not.iter().any(has)
}

/// Whether a pattern matches a familiar name with or without its tag or digest.
fn matches(pattern: &str, name: &str) -> bool {
    let bare = match name.split_once('@') {
        Some((bare, _)) => bare,
        None => name.rsplit_once(':').map_or(name, |(bare, _)| bare),
    };
    glob(pattern.as_bytes(), name.as_bytes()) || glob(pattern.as_bytes(), bare.as_bytes())
}

/// Go's `path.Match`: `*` and `?` do not match a slash, `[a-z]` and `[^a-z]` classes, `\` escapes.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return text.is_empty() };
    match first {
        b'*' => (0..=text.len())
            .take_while(|n| !text.get(..*n).unwrap_or_default().contains(&b'/'))
            .any(|n| glob(rest, text.get(n..).unwrap_or_default())),
        b'?' => match text.split_first() {
            Some((c, after)) if *c != b'/' => glob(rest, after),
            _ => false,
        },
        b'[' => class(rest, text),
        b'\\' => match (rest.split_first(), text.split_first()) {
            (Some((p, rest)), Some((c, after))) if p == c => glob(rest, after),
            _ => false,
        },
        literal => match text.split_first() {
            Some((c, after)) if c == literal => glob(rest, after),
            _ => false,
        },
    }
}

/// The part of [`glob`] after a `[`.
fn class(pattern: &[u8], text: &[u8]) -> bool {
    let Some((c, after)) = text.split_first() else { return false };
    let negated = pattern.starts_with(b"^");
    let mut rest = pattern.get(usize::from(negated)..).unwrap_or_default();
    let mut hit = false;
    loop {
        match rest {
            [b']', tail @ ..] => return hit != negated && *c != b'/' && glob(tail, after),
            [low, b'-', high, tail @ ..] if *high != b']' => {
                hit |= (low..=high).contains(&c);
                rest = tail;
            }
            [one, tail @ ..] => {
                hit |= one == c;
                rest = tail;
            }
            [] => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("busybox", "busybox:latest", true),
            ("busy*", "busybox:latest", true),
            ("busy*:*", "busybox:latest", true),
            ("*", "me/app:1", false),
            ("*/*", "me/app:1", true),
            ("b[a-u]s?box", "busybox:1", true),
            ("b[^a-u]sybox", "busybox:1", false),
            ("busybox:1", "busybox:latest", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
