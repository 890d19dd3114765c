//! Names of users and groups, read from the files of a root that is not trusted.

use bryo_sys::rooted::Root;

use crate::error::{Error, Result};

/// Larger files than this are not read; no real one is.
const MAX_FILE: u64 = 16 << 20;

/// A user as Docker's `--user` and an image's `User` name one, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedUser {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups: those of `etc/group` that list the user (only when no group was named), and the extra
    /// ones; sorted, each once.
    pub additional_gids: Vec<u32>,
    /// Home folder from `etc/passwd`, `/` if there is none.
    pub home: String,
}

/// Resolves `user` (`""`, `name`, `uid`, `name:group`, `uid:gid`) and `extra` groups (docker's `--group-add`) with
/// `etc/passwd` and `etc/group` inside `root`.
pub fn resolve(root: &Root, user: &str, extra: &[String]) -> Result<ResolvedUser> {
    let passwd = text(root, "/etc/passwd");
    let group = text(root, "/etc/group");
    let (name, wanted_group) = match user.split_once(':') {
        Some((name, group)) => (name, Some(group).filter(|g| !g.is_empty())),
        None => (user, None),
    };
    let name = if name.is_empty() { "0" } else { name };
    let entry = passwd.lines().filter_map(Account::parse).find(|a| a.is(name));
    let mut resolved = match &entry {
        Some(account) => ResolvedUser {
            uid: account.uid,
            gid: account.gid,
            additional_gids: Vec::new(),
            home: account.home.to_owned(),
        },
        // A number needs no entry.
        None => ResolvedUser {
            uid: number(name).ok_or_else(|| {
                Error::bad(format!(
                    "unable to find user {name}: no matching entries in passwd file"
                ))
            })?,
            gid: 0,
            additional_gids: Vec::new(),
            home: "/".to_owned(),
        },
    };
    match wanted_group {
        Some(wanted) => resolved.gid = gid(&group, wanted)?,
        None => {
            if let Some(account) = &entry {
                let member = |g: &Group<'_>| g.members.split(',').any(|m| m == account.name);
                let groups = group.lines().filter_map(Group::parse).filter(member);
                resolved.additional_gids.extend(groups.map(|g| g.gid));
            }
        }
    }
    for name in extra {
        resolved.additional_gids.push(gid(&group, name)?);
    }
    resolved.additional_gids.sort_unstable();
    resolved.additional_gids.dedup();
    Ok(resolved)
}

/// The home folder of `uid` in `etc/passwd`; `/` if there is none.
pub fn home(root: &Root, uid: u32) -> String {
    let passwd = text(root, "/etc/passwd");
    let account = passwd.lines().filter_map(Account::parse).find(|a| a.uid == uid);
    match account {
        Some(account) if !account.home.is_empty() => account.home.to_owned(),
        _ => "/".to_owned(),
    }
}

fn gid(groups: &str, wanted: &str) -> Result<u32> {
    let entry = groups.lines().filter_map(Group::parse).find(|g| g.is(wanted));
    entry.map(|g| g.gid).or_else(|| number(wanted)).ok_or_else(|| {
        Error::bad(format!("unable to find group {wanted}: no matching entries in group file"))
    })
}

/// A missing or unreadable file has no entries.
fn text(root: &Root, path: &str) -> String {
    let bytes = root.read(path, MAX_FILE).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The kernel's ids go to 2³²−2, Docker's to 2³¹−1.
fn number(text: &str) -> Option<u32> {
    text.parse::<u32>().ok().filter(|n| *n <= i32::MAX.unsigned_abs())
}

struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl Account<'_> {
    fn parse(line: &str) -> Option<Account<'_>> {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1).unwrap_or_default();
        Some(Account { name, uid, gid, home })
    }

    /// A name that looks like a number is taken as a name first, then as a number.
    fn is(&self, wanted: &str) -> bool {
        self.name == wanted || number(wanted) == Some(self.uid)
    }
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

impl Group<'_> {
    fn parse(line: &str) -> Option<Group<'_>> {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let gid = fields.nth(1)?.parse().ok()?;
        Some(Group { name, gid, members: fields.next().unwrap_or_default() })
    }

    fn is(&self, wanted: &str) -> bool {
        self.name == wanted || number(wanted) == Some(self.gid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        let passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/var/www:/bin/false\nbroken\n";
        std::fs::write(dir.path().join("etc/passwd"), passwd).unwrap();
        let group = "root:x:0:\nweb:x:34:\ntls:x:70:web,other\naudio:x:29:web\n";
        std::fs::write(dir.path().join("etc/group"), group).unwrap();
        let root = Root::open(dir.path()).unwrap();
        (dir, root)
    }

    #[test]
    fn a_name_brings_its_groups_and_home() {
        let (_dir, root) = image();
        let user = resolve(&root, "web", &["tls".to_owned(), "99".to_owned()]).unwrap();
        assert_eq!((user.uid, user.gid), (33, 34));
        assert_eq!(user.additional_gids, [29, 70, 99]);
        assert_eq!(user.home, "/var/www");
    }

    #[test]
    fn numbers_need_no_entry_and_a_named_group_replaces_the_others() {
        let (_dir, root) = image();
        let user = resolve(&root, "1000:50", &[]).unwrap();
        assert_eq!((user.uid, user.gid, user.home.as_str()), (1000, 50, "/"));
        let user = resolve(&root, "web:audio", &[]).unwrap();
        assert_eq!((user.gid, user.additional_gids.len()), (29, 0));
        assert_eq!(resolve(&root, "", &[]).unwrap().home, "/root");
    }

    #[test]
    fn unknown_names_have_docker_s_text() {
        let (_dir, root) = image();
        let e = resolve(&root, "nobody", &[]).unwrap_err();
        assert_eq!(e.message(), "unable to find user nobody: no matching entries in passwd file");
        let e = resolve(&root, "web:nogroup", &[]).unwrap_err();
        assert_eq!(e.message(), "unable to find group nogroup: no matching entries in group file");
    }

    #[test]
    fn an_image_without_files_or_with_a_hostile_link_has_no_names() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("etc")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        assert!(resolve(&root, "root", &[]).is_err());
        assert_eq!(resolve(&root, "0", &[]).unwrap().uid, 0);
        assert_eq!(home(&root, 0), "/");
    }
}
