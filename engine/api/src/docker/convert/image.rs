//! Images: list, removal, progress. (Inspect and history: see `image_inspect`.)

use bryo_core::model::ImageView;
use bryo_core::{Progress, Removed};
use bryo_spec::docker;

use super::super::time;
use super::super::version::Version;

/// One entry of `GET /images/json`.
pub fn summary(image: &ImageView, version: Version) -> docker::ImageSummary {
    let or_none = |list: &[String], none: &str| match list {
        // Before 1.43 an image without a name had this one.
        [] if !version.since(43) => vec![none.to_owned()],
        list => list.to_vec(),
    };
    docker::ImageSummary {
        containers: if version.since(51) {
            i64::try_from(image.containers).unwrap_or(i64::MAX)
        } else {
            -1
        },
        created: time::seconds(image.created),
        id: image.id.clone(),
        labels: Some(image.labels.clone()),
        parent_id: image.parent.clone(),
        descriptor: image.manifest.as_ref().filter(|_| version.since(48)).map(
            |(digest, media_type, size)| docker::Descriptor {
                media_type: media_type.clone(),
                digest: digest.clone(),
                size: *size,
            },
        ),
        manifests: None,
        repo_digests: Some(or_none(&image.repo_digests, "<none>@<none>")),
        repo_tags: Some(or_none(&image.repo_tags, "<none>:<none>")),
        shared_size: image.shared_size.map_or(-1, |size| i64::try_from(size).unwrap_or(i64::MAX)),
        size: image.size,
        virtual_size: (!version.since(44)).then_some(image.size),
    }
}

/// What was removed.
pub fn removed(list: Vec<Removed>) -> Vec<docker::ImageRemoved> {
    list.into_iter()
        .map(|removed| match removed {
            Removed::Untagged(name) => docker::ImageRemoved { untagged: Some(name), deleted: None },
            Removed::Deleted(id) => docker::ImageRemoved { untagged: None, deleted: Some(id) },
        })
        .collect()
}

/// A line of progress.
pub fn progress(line: Progress) -> docker::ProgressLine {
    if line.stream {
        let mut text = line.status;
        if !text.ends_with('\n') {
            text.push('\n');
        }
        return docker::ProgressLine { stream: Some(text), ..Default::default() };
    }
    // Layers have details, even if empty; the lines about the whole image have none.
    let about_layer = line.id.is_some() && !line.status.starts_with("Pulling from");
    docker::ProgressLine {
        status: Some(line.status),
        progress_detail: about_layer
            .then_some(docker::ProgressDetail { current: line.current, total: line.total }),
        id: line.id,
        ..Default::default()
    }
}

/// A failure after the headers went out.
pub fn progress_error(error: &bryo_core::Error) -> docker::ProgressLine {
    docker::ProgressLine {
        error_detail: Some(docker::ErrorDetail { code: None, message: error.message().to_owned() }),
        error: Some(error.message().to_owned()),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(progress_line: Progress) -> String {
        serde_json::to_string(&progress(progress_line)).unwrap()
    }

    #[test]
    fn progress_lines_are_dockers() {
        let start = Progress {
            id: Some("latest".into()),
            status: "Pulling from busybox".into(),
            ..Default::default()
        };
        assert_eq!(line(start), r#"{"status":"Pulling from busybox","id":"latest"}"#);
        let layer = Progress {
            id: Some("6ab63309dee8".into()),
            status: "Pulling fs layer".into(),
            ..Default::default()
        };
        assert_eq!(
            line(layer),
            r#"{"status":"Pulling fs layer","progressDetail":{},"id":"6ab63309dee8"}"#
        );
        let loading = Progress {
            id: Some("87c80ced2b0f".into()),
            status: "Downloading".into(),
            current: Some(2_097_152),
            total: Some(7_090_950),
            stream: false,
        };
        assert_eq!(
            line(loading),
            r#"{"status":"Downloading","progressDetail":{"current":2097152,"total":7090950},"id":"87c80ced2b0f"}"#
        );
        let loaded = Progress {
            status: "Loaded image: busybox:latest".into(),
            stream: true,
            ..Default::default()
        };
        assert_eq!(line(loaded), r#"{"stream":"Loaded image: busybox:latest\n"}"#);
    }

    #[test]
    fn old_versions_name_the_nameless() {
        let image = ImageView { size: 5, ..Default::default() };
        let old = summary(&image, Version(24));
        assert_eq!(old.repo_tags, Some(vec!["<none>:<none>".to_owned()]));
        assert_eq!((old.virtual_size, old.containers), (Some(5), -1));
        let new = summary(&image, Version(56));
        assert_eq!(new.repo_tags, Some(vec![]));
        assert_eq!((new.virtual_size, new.containers), (None, 0));
    }
}
