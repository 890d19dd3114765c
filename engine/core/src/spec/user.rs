//! Who a process is: `--user` and the image's `USER`, by name or number, from the image's own files.

use std::path::PathBuf;

use bryo_sys::layers::Layers;

use crate::{Error, Result};

/// Larger passwd and group files are refused: they are read at every start.
const LIMIT: u64 = 4 << 20;

/// A user, resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub uid: u32,
    pub gid: u32,
    /// `gid` itself first: a process that has it only as its primary group could drop it and so pass a "no access for this
    /// group" (CVE-2022-36109).
    pub groups: Vec<u32>,
    pub home: String,
}

/// The two files of an image; empty where there is none.
pub(crate) struct Files {
    passwd: String,
    group: String,
}

impl Files {
    /// Reads them out of the layers, topmost first. Files that cannot be read count as missing, as Docker does.
    pub(crate) fn read(layers: &[PathBuf]) -> Files {
        let read = |name: &str| -> String {
            let bytes = Layers::open(layers).and_then(|l| l.read(name, LIMIT));
            match bytes {
                Ok(bytes) => String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned(),
                Err(e) => {
                    tracing::warn!("/{name} of the image is not read: {e}");
                    String::new()
                }
            }
        };
        Files { passwd: read("etc/passwd"), group: read("etc/group") }
    }

    /// `""`, `user`, `user:group`, and further groups; names or numbers.
    pub(crate) fn resolve(&self, text: &str, extra: &[String]) -> Result<User> {
        let (user_part, group_part) = match text.split_once(':') {
            Some((user, group)) => (user, group),
            None => (text, ""),
        };
        let mut user = self.user(if user_part.is_empty() { "0" } else { user_part })?;
        if group_part.is_empty() {
            user.1.groups = self.groups_of(&user.0);
        } else {
            user.1.gid = self.group(group_part)?;
        }
        let mut user = user.1;
        for name in extra {
            let gid = self.group(name)?;
            user.groups.push(gid);
        }
        let gid = user.gid;
        user.groups.retain(|g| *g != gid);
        user.groups.sort_unstable();
        user.groups.dedup();
        user.groups.insert(0, gid);
        Ok(user)
    }

    /// The name (empty if the user has none) and what passwd says.
    fn user(&self, text: &str) -> Result<(String, User)> {
        let number = text.parse::<u32>().ok();
        let line = self.passwd.lines().map(fields).find(|f| {
            let by_name = f.first() == Some(&text);
            by_name || number.is_some_and(|n| numeric(f, 2) == Some(n))
        });
        if let Some(f) = line {
            if let (Some(uid), Some(gid)) = (numeric(&f, 2), numeric(&f, 3)) {
                let home = f.get(5).filter(|h| !h.is_empty()).copied().unwrap_or("/");
                let user = User { uid, gid, groups: Vec::new(), home: home.to_string() };
                return Ok((f.first().copied().unwrap_or_default().to_string(), user));
            }
        }
        match number {
            // An unknown number runs with group 0, as Docker has it.
            Some(uid) if uid <= MAX_ID => {
                let home = if uid == 0 { "/root" } else { "/" };
                Ok((String::new(), User { uid, gid: 0, groups: Vec::new(), home: home.into() }))
            }
            Some(_) => Err(Error::invalid("uids and gids must be in range 0-2147483647")),
            None if text.bytes().all(|b| b.is_ascii_digit()) => {
                Err(Error::invalid("uids and gids must be in range 0-2147483647"))
            }
            None => Err(Error::invalid(format!(
                "unable to find user {text}: no matching entries in passwd file"
            ))),
        }
    }

    fn group(&self, text: &str) -> Result<u32> {
        let line = self.group.lines().map(fields).find(|f| f.first() == Some(&text));
        if let Some(gid) = line.and_then(|f| numeric(&f, 2)) {
            return Ok(gid);
        }
        match text.parse::<u32>() {
            Ok(gid) if gid <= MAX_ID => Ok(gid),
            Ok(_) => Err(Error::invalid("uids and gids must be in range 0-2147483647")),
            Err(_) => Err(Error::invalid(format!(
                "unable to find group {text}: no matching entries in group file"
            ))),
        }
    }

    fn groups_of(&self, name: &str) -> Vec<u32> {
        if name.is_empty() {
            return Vec::new();
        }
        self.group
            .lines()
            .map(fields)
            .filter(|f| f.get(3).is_some_and(|members| members.split(',').any(|m| m == name)))
            .filter_map(|f| numeric(&f, 2))
            .collect()
    }
}

const MAX_ID: u32 = 2_147_483_647;

fn fields(line: &str) -> Vec<&str> {
    line.trim_end().split(':').collect()
}

fn numeric(fields: &[&str], at: usize) -> Option<u32> {
    fields.get(at)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        Files {
            passwd: "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:App:/home/app:/bin/sh\n".into(),
            group: "root:x:0:\nwheel:x:10:root,app\napp:x:1001:\nvideo:x:44:app\n".into(),
        }
    }

    #[test]
    fn users_by_name_and_number() {
        let app = files().resolve("app", &[]).unwrap();
        let expected =
            User { uid: 1000, gid: 1001, groups: vec![1001, 10, 44], home: "/home/app".into() };
        assert_eq!(app, expected);
        assert_eq!(files().resolve("1000", &[]).unwrap(), expected);
        let root = files().resolve("", &["video".into(), "7".into()]).unwrap();
        assert_eq!(root, User { uid: 0, gid: 0, groups: vec![0, 7, 10, 44], home: "/root".into() });
        let both = files().resolve("app:video", &[]).unwrap();
        assert_eq!((both.gid, both.groups), (44, vec![44]));
        let stranger = files().resolve("5:6", &[]).unwrap();
        assert_eq!(stranger, User { uid: 5, gid: 6, groups: vec![6], home: "/".into() });
    }

    #[test]
    fn unknown_names_have_dockers_texts() {
        assert_eq!(
            files().resolve("nobody", &[]).unwrap_err().message(),
            "unable to find user nobody: no matching entries in passwd file"
        );
        assert_eq!(
            files().resolve("app:nogroup", &[]).unwrap_err().message(),
            "unable to find group nogroup: no matching entries in group file"
        );
        assert!(files().resolve("4294967295", &[]).is_err());
    }

    #[test]
    fn an_image_without_files_still_has_root() {
        let none = Files { passwd: String::new(), group: String::new() };
        assert_eq!(none.resolve("", &[]).unwrap().home, "/root");
    }
}
