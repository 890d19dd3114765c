//! `-v`, `--mount` and `--tmpfs`.

use std::collections::BTreeMap;
use std::path::Path;

use bryo_spec::docker::units::parse_bytes;
use bryo_spec::docker::{
    BindOptions, DriverConfig, ImageOptions, Mount, TmpfsOptions, VolumeOptions,
};

use super::super::error::{CliError, Result};

/// `-v` values: binds, and container paths of anonymous volumes.
pub fn volumes(list: &[String]) -> Result<(Vec<String>, Vec<String>)> {
    let mut binds = Vec::new();
    let mut anonymous = Vec::new();
    for text in list {
        match text.split_once(':') {
            None => anonymous.push(text.clone()),
            Some((source, rest)) => binds.push(format!("{}:{rest}", absolute(source)?)),
        }
    }
    Ok((binds, anonymous))
}

/// A source that looks like a path is taken from the current folder.
fn absolute(source: &str) -> Result<String> {
    if !(source.starts_with("./") || source.starts_with("../") || source == "." || source == "..") {
        return Ok(source.to_owned());
    }
    let path = std::path::absolute(Path::new(source))?;
    let path = std::fs::canonicalize(&path).unwrap_or(path);
    Ok(path.to_string_lossy().into_owned())
}

/// `--tmpfs path[:options]`.
pub fn tmpfs(list: &[String]) -> BTreeMap<String, String> {
    list.iter()
        .map(|text| text.split_once(':').unwrap_or((text, "")))
        .map(|(path, options)| (path.to_owned(), options.to_owned()))
        .collect()
}

/// `--mount type=…,source=…,target=…`.
pub fn mount(text: &str) -> Result<Mount> {
    let invalid = |why: String| {
        CliError::usage(format!("invalid argument \"{text}\" for \"--mount\" flag: {why}"))
    };
    let mut mount = Mount { r#type: "volume".to_owned(), ..Default::default() };
    let mut parts = Parts::default();
    for field in csv(text) {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
            None => (field.to_ascii_lowercase(), None),
        };
        if value.is_none()
            && !matches!(
                key.as_str(),
                "readonly" | "ro" | "volume-nocopy" | "bind-nonrecursive" | "bind-create-src"
            )
        {
            return Err(invalid(format!("invalid field '{field}' must be a key=value pair")));
        }
        set(&mut mount, &mut parts, &key, value).map_err(invalid)?;
    }
    if mount.r#type == "bind" && !mount.source.is_empty() {
        mount.source = absolute(&mount.source)?;
    }
    if mount.target.is_empty() {
        return Err(invalid("target is required".to_owned()));
    }
    mount.bind_options = some(parts.bind);
    mount.volume_options =
        some(VolumeOptions { driver_config: some(parts.driver), ..parts.volume });
    mount.tmpfs_options = some(parts.tmpfs);
    mount.image_options = some(parts.image);
    Ok(mount)
}

#[derive(Default)]
struct Parts {
    bind: BindOptions,
    volume: VolumeOptions,
    driver: DriverConfig,
    tmpfs: TmpfsOptions,
    image: ImageOptions,
}

fn some<T: Default + PartialEq>(value: T) -> Option<T> {
    (value != T::default()).then_some(value)
}

fn set(mount: &mut Mount, parts: &mut Parts, key: &str, value: Option<&str>) -> Result<(), String> {
    let flag = || match value.map(str::to_ascii_lowercase).as_deref() {
        None | Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(other) => Err(format!("invalid value for {key}: {other}")),
    };
    let text = || {
        value
            .map(str::to_owned)
            .ok_or_else(|| format!("invalid field '{key}' must be a key=value pair"))
    };
    let pair = || {
        let text = text()?;
        let (key, value) = text.split_once('=').unwrap_or((&text, ""));
        Ok::<_, String>((key.to_owned(), value.to_owned()))
    };
    match key {
        "type" => mount.r#type = text()?.to_ascii_lowercase(),
        "source" | "src" => mount.source = text()?,
        "target" | "dst" | "destination" => mount.target = text()?,
        "readonly" | "ro" => mount.read_only = flag()?,
        "consistency" => mount.consistency = text()?.to_ascii_lowercase(),
        "bind-propagation" => parts.bind.propagation = text()?.to_ascii_lowercase(),
        "bind-nonrecursive" => parts.bind.non_recursive = flag()?,
        "bind-create-src" => parts.bind.create_mountpoint = flag()?,
        "bind-recursive" => match text()?.as_str() {
            "enabled" => {}
            "disabled" => parts.bind.non_recursive = true,
            "writable" => parts.bind.read_only_non_recursive = true,
            "readonly" => parts.bind.read_only_force_recursive = true,
            other => {
                return Err(format!(
                    "invalid value for {key}: {other} (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")"
                ));
            }
        },
        "volume-subpath" => parts.volume.subpath = text()?,
        "volume-nocopy" => parts.volume.no_copy = flag()?,
        "volume-label" => {
            let (key, value) = pair()?;
            parts.volume.labels.insert(key, value);
        }
        "volume-driver" => parts.driver.name = text()?,
        "volume-opt" => {
            let (key, value) = pair()?;
            parts.driver.options.insert(key, value);
        }
        "image-subpath" => parts.image.subpath = text()?,
        "tmpfs-size" => {
            let size = text()?;
            parts.tmpfs.size_bytes =
                parse_bytes(&size).ok_or_else(|| format!("invalid value for {key}: {size}"))?;
        }
        "tmpfs-mode" => {
            let mode = text()?;
            parts.tmpfs.mode = u32::from_str_radix(&mode, 8)
                .map_err(|_| format!("invalid value for {key}: {mode}"))?;
        }
        other => {
            return Err(format!("unexpected key '{other}' in '{other}={}'", value.unwrap_or("")));
        }
    }
    Ok(())
}

/// Fields between commas; quotes keep commas.
pub fn csv(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => {
                if let Some(last) = fields.last_mut() {
                    last.push(c);
                }
            }
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_parsed() {
        let m = mount("type=bind,source=/a,target=/b,readonly,bind-propagation=rslave").unwrap();
        assert_eq!((m.r#type.as_str(), m.source.as_str(), m.target.as_str()), ("bind", "/a", "/b"));
        assert!(m.read_only);
        assert_eq!(m.bind_options.unwrap().propagation, "rslave");
        let m = mount("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770").unwrap();
        assert_eq!(m.tmpfs_options.map(|t| (t.size_bytes, t.mode)), Some((1 << 20, 0o1770)));
        let m = mount("src=v,dst=/v,\"volume-opt=o=a,b\",volume-nocopy").unwrap();
        let volume = m.volume_options.unwrap();
        assert!(volume.no_copy);
        assert_eq!(volume.driver_config.unwrap().options["o"], "a,b");
        assert!(mount("type=bind,source=/a").is_err());
        assert!(mount("target=/a,nosuch=1").is_err());
    }

    #[test]
    fn volumes_are_binds_or_anonymous() {
        let (binds, anonymous) =
            volumes(&["/x".into(), "/a:/b:ro".into(), "name:/c".into()]).unwrap();
        assert_eq!(binds, ["/a:/b:ro", "name:/c"]);
        assert_eq!(anonymous, ["/x"]);
    }
}
