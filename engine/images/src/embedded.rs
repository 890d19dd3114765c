//! The image that needs no registry: `bryo/hello`.
//!
//! Its one file is a static program of a few kilobytes that the executable carries
//! (`bryo_sys::hello`). The image is made when it is first asked for. Who the user is outside is
//! written into its environment then: with ids mapped one to one, a container cannot find out.

use crate::archive::import;
use crate::error::{Error, ErrorKind, Result};
use crate::image::Image;
use crate::reference::Reference;
use crate::store::{ImportOptions, Store};
use crate::tar::{Entry, Kind, Writer};

/// Its repository on docker.io, which nobody else can have: the engine answers first.
const REPOSITORY: &str = "docker.io/bryo/hello";

/// See [`Store::ensure_embedded`].
pub(crate) fn ensure(store: &Store, reference: &Reference) -> Result<Option<Image>> {
    let named = reference.repository() == REPOSITORY
        && reference.tag() == Some("latest")
        && reference.digest().is_none();
    if !named {
        return Ok(None);
    }
    match store.resolve(&reference.to_string(), None) {
        Err(e) if e.kind() == ErrorKind::NotFound => make(store, reference).map(Some),
        other => other.map(Some),
    }
}

fn make(store: &Store, reference: &Reference) -> Result<Image> {
    let mut archive = Writer::new(Vec::new());
    let mut root = Entry::new(b"./".to_vec(), Kind::Folder);
    root.mode = 0o755;
    archive.entry(&root)?;
    archive.file("hello", 0o755, 0, bryo_sys::hello::PROGRAM)?;
    let archive = archive.finish()?;
    let ids = &store.settings().ids;
    if ids.user.contains(['\n', '"', '\\']) {
        return Err(Error::new(ErrorKind::InvalidRequest, "the user's name is not printable"));
    }
    let options = ImportOptions {
        reference: Some(reference.clone()),
        message: "Part of the bryo program".to_owned(),
        changes: vec![
            "CMD [\"/hello\"]".to_owned(),
            format!("ENV BRYO_HOST_USER=\"{}\"", ids.user),
            format!("ENV BRYO_HOST_UID={}", ids.host_uid),
            "LABEL org.opencontainers.image.title=\"Hello from Bryo\"".to_owned(),
        ],
        platform: None,
    };
    import(store, &options, archive.as_slice())
}
