//! Layers, friendly and hostile, unpacked for real.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::*;
use crate::tar::{Entry, Writer};
use crate::testing::needs_user_namespace;

fn options() -> ApplyOptions {
    ApplyOptions {
        ids: IdMap {
            uids: 65536,
            gids: 65536,
            single: false,
            user: "someone".to_owned(),
            host_uid: 1000,
        },
        limits: Limits::default(),
        umask_is_zero: false,
    }
}

fn entry(path: &str, kind: Kind) -> Entry {
    let mut entry = Entry::new(path.as_bytes().to_vec(), kind);
    entry.mode = if kind == Kind::Folder { 0o755 } else { 0o644 };
    entry.mtime = (1_000_000_000, 0);
    entry
}

fn link(path: &str, kind: Kind, target: &str) -> Entry {
    let mut entry = entry(path, kind);
    entry.link = target.as_bytes().to_vec();
    entry
}

/// An archive of entries, each with its data.
fn archive(entries: &[(Entry, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, data) in entries {
        let mut entry = entry.clone();
        entry.size = data.len() as u64;
        writer.entry(&entry).unwrap();
        if !data.is_empty() {
            writer.data(data).unwrap();
        }
    }
    writer.finish().unwrap()
}

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("fs")).unwrap();
        fs::write(dir.path().join("outside"), "untouched").unwrap();
        Place { dir }
    }

    fn apply(&self, tar: &[u8]) -> Result<Applied> {
        apply_layer(tar, &self.path(""), &options())
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join("fs").join(name)
    }

    fn refusal(entries: &[(Entry, &[u8])]) -> String {
        let place = Place::new();
        let refusal = place.apply(&archive(entries)).unwrap_err();
        assert_eq!(fs::read_to_string(place.dir.path().join("outside")).unwrap(), "untouched");
        assert_eq!(fs::read_dir(place.dir.path()).unwrap().count(), 2);
        refusal.to_string()
    }
}

#[test]
fn owners_modes_times_and_links() {
    needs_user_namespace!();
    let place = Place::new();
    let mut setuid = entry("bin/su", Kind::File);
    (setuid.mode, setuid.uid, setuid.gid) = (0o4755, 0, 42);
    let mut owned = entry("home/me/", Kind::Folder);
    // Setgid: what is made in it must still get the group that the archive says.
    (owned.mode, owned.uid, owned.gid) = (0o2700, 1000, 1000);
    let applied = place
        .apply(&archive(&[
            (entry("bin/", Kind::Folder), b""),
            (setuid, b"program"),
            (owned, b""),
            (entry("home/me/file", Kind::File), b"text"),
            (link("bin/also", Kind::HardLink, "bin/su"), b""),
            (link("bin/sh", Kind::Symlink, "/bin/busybox"), b""),
            (entry("pipe", Kind::Fifo), b""),
            (entry("dev/null", Kind::CharDevice), b""),
            (entry("none", Kind::Folder), b""),
        ]))
        .unwrap();
    let su = fs::metadata(place.path("bin/su")).unwrap();
    assert_eq!((su.mode() & 0o7777, su.uid(), su.gid(), su.nlink()), (0o4755, 0, 42, 2));
    assert_eq!(su.mtime(), 1_000_000_000);
    let home = fs::metadata(place.path("home/me")).unwrap();
    assert_eq!((home.mode() & 0o7777, home.uid(), home.mtime()), (0o2700, 1000, 1_000_000_000));
    assert_eq!(fs::metadata(place.path("home/me/file")).unwrap().gid(), 0);
    assert_eq!(fs::read_link(place.path("bin/sh")).unwrap(), Path::new("/bin/busybox"));
    assert!(fs::metadata(place.path("pipe")).unwrap().file_type().is_fifo());
    assert!(!place.path("dev/null").exists());
    assert!(applied.notes[0].contains("dev/null"), "{:?}", applied.notes);
    let implicit: Vec<_> = applied.implicit.iter().map(Vec::as_slice).collect();
    assert_eq!(implicit, [&b""[..], b"dev", b"home"]);
}

#[test]
fn whiteouts_and_opaque_folders() {
    needs_user_namespace!();
    let place = Place::new();
    place
        .apply(&archive(&[
            (entry("etc/.wh.gone", Kind::File), b""),
            (entry("var/.wh..wh..opq", Kind::File), b""),
            (entry(".wh.anew", Kind::File), b""),
            (entry("anew/", Kind::Folder), b""),
            (entry("kept", Kind::File), b"x"),
            (entry(".wh.kept", Kind::File), b""),
            (entry(".wh.deep", Kind::File), b""),
            (entry("deep/in/file", Kind::File), b"x"),
        ]))
        .unwrap();
    let gone = fs::symlink_metadata(place.path("etc/gone")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    for opaque in ["var", "anew", "deep"] {
        let mut value = [0; 8];
        let length =
            rustix::fs::getxattr(place.path(opaque), attributes::OPAQUE, &mut value).unwrap();
        assert_eq!(&value[..length], b"y", "{opaque}");
    }
    assert_eq!(fs::read(place.path("kept")).unwrap(), b"x");
    let refusal = Place::refusal(&[(entry("a/.wh...", Kind::File), b"")]);
    assert!(refusal.contains("a/.wh..."), "{refusal}");
}

#[test]
fn hostile_names_are_refused_by_name() {
    needs_user_namespace!();
    for (name, entries) in [
        ("../outside", vec![(entry("../outside", Kind::File), &b"evil"[..])]),
        ("a/../../outside", vec![(entry("a/../../outside", Kind::File), b"evil")]),
        ("/outside", vec![(entry("/outside", Kind::File), b"evil")]),
        (
            "link/outside",
            vec![
                (link("link", Kind::Symlink, ".."), &b""[..]),
                (entry("link/outside", Kind::File), b"evil"),
            ],
        ),
        (
            "link/x",
            vec![
                (link("link", Kind::Symlink, "/tmp"), &b""[..]),
                (entry("link/x", Kind::Folder), b""),
            ],
        ),
        ("hard", vec![(link("hard", Kind::HardLink, "../outside"), b"")]),
        ("hard", vec![(link("hard", Kind::HardLink, "/etc/passwd"), b"")]),
        (
            "hard",
            vec![
                (link("l", Kind::Symlink, ".."), &b""[..]),
                (link("hard", Kind::HardLink, "l/outside"), b""),
            ],
        ),
        ("./", vec![(link("./", Kind::Symlink, "/"), b"")]),
        ("self", vec![(link("self", Kind::HardLink, "self"), b"")]),
        (
            ".wh.outside",
            vec![
                (link("l", Kind::Symlink, ".."), &b""[..]),
                (entry("l/.wh.outside", Kind::File), b""),
            ],
        ),
    ] {
        let refusal = Place::refusal(&entries);
        assert!(refusal.contains(name) && refusal.contains("refused"), "{name}: {refusal}");
    }
}

#[test]
fn a_symlink_that_is_replaced_is_not_written_through() {
    needs_user_namespace!();
    let place = Place::new();
    place
        .apply(&archive(&[
            (link("x", Kind::Symlink, "../outside"), b""),
            (entry("x", Kind::File), b"new"),
            (entry("y/deep/file", Kind::File), b"1"),
            (link("y", Kind::Symlink, ".."), b""),
            (entry("z", Kind::File), b"1"),
            (entry("z/", Kind::Folder), b""),
        ]))
        .unwrap();
    assert_eq!(fs::read_to_string(place.dir.path().join("outside")).unwrap(), "untouched");
    assert_eq!(fs::read_to_string(place.path("x")).unwrap(), "new");
    assert!(place.path("y").is_symlink() && place.path("z").is_dir());
}

#[test]
fn foreign_owners_are_refused_with_the_remedy() {
    needs_user_namespace!();
    let mut big = entry("srv/data", Kind::File);
    big.uid = 200_000;
    let refusal = Place::refusal(&[(big.clone(), b"x")]);
    for part in ["srv/data", "200000", "0-65535", "/etc/subuid", "someone:"] {
        assert!(refusal.contains(part), "{refusal}");
    }
    let place = Place::new();
    let mut single = options();
    single.ids.single = true;
    apply_layer(&*archive(&[(big, b"x")]), &place.path(""), &single).unwrap();
    assert_eq!(fs::metadata(place.path("srv/data")).unwrap().uid(), 0);
}

#[test]
fn bombs_are_refused() {
    let mut options = options();
    options.ids.single = true;
    options.limits = Limits { entries: 3, bytes: 100 };
    let apply = |entries: &[(Entry, &[u8])]| {
        let place = Place::new();
        apply_layer(&*archive(entries), &place.path(""), &options).unwrap_err().to_string()
    };
    // Ownership cannot be set outside a user namespace, so only things refused before that.
    let refusal = apply(&[(entry("big", Kind::File), &[0; 101])]);
    assert!(refusal.contains("big") && refusal.contains("100 bytes"), "{refusal}");
    let mut huge = archive(&[(entry("huge", Kind::File), b"")]);
    huge[124..135].copy_from_slice(b"77777777777");
    let sum: u64 =
        huge[..148].iter().chain(&[b' '; 8]).chain(&huge[156..512]).map(|b| u64::from(*b)).sum();
    huge[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let place = Place::new();
    let refusal = place.apply(&huge).unwrap_err().to_string();
    assert!(refusal.contains("huge") || refusal.contains("middle"), "{refusal}");
}

#[test]
fn settling_takes_metadata_links_and_symlinked_folders_from_below() {
    needs_user_namespace!();
    let lower = Place::new();
    let mut tmp = entry("tmp/", Kind::Folder);
    tmp.mode = 0o1777;
    lower
        .apply(&archive(&[
            (tmp, b""),
            (entry("usr/lib/", Kind::Folder), b""),
            (link("lib", Kind::Symlink, "usr/lib"), b""),
            (entry("usr/lib/old", Kind::File), b"old"),
        ]))
        .unwrap();
    let upper = Place::new();
    let applied = upper
        .apply(&archive(&[
            (entry("tmp/file", Kind::File), b"x"),
            (entry("lib/mod/new", Kind::File), b"new"),
            (link("link", Kind::HardLink, "usr/lib/old"), b""),
        ]))
        .unwrap();
    settle::settle(&upper.path(""), &applied, &[lower.path("")]).unwrap();
    assert_eq!(fs::metadata(upper.path("tmp")).unwrap().mode() & 0o7777, 0o1777);
    assert_eq!(fs::read_to_string(upper.path("usr/lib/mod/new")).unwrap(), "new");
    assert!(!upper.path("lib").exists());
    assert_eq!(fs::read_to_string(upper.path("link")).unwrap(), "old");
    assert_eq!(fs::metadata(upper.path("usr/lib/old")).unwrap().nlink(), 2);
    let missing = Place::new();
    let applied = missing.apply(&archive(&[(link("a", Kind::HardLink, "nowhere"), b"")])).unwrap();
    let refusal = settle::settle(&missing.path(""), &applied, &[]).unwrap_err();
    assert!(refusal.message().contains("nowhere"), "{refusal}");
}

#[test]
fn what_gnu_tar_writes_comes_out_the_same() {
    needs_user_namespace!();
    let source = tempfile::tempdir().unwrap();
    let long = "n".repeat(120);
    let folder = source.path().join(&long);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("x".repeat(200)), "long").unwrap();
    let sparse = fs::File::create(source.path().join("sparse")).unwrap();
    sparse.set_len(5 << 20).unwrap();
    for at in 0..40_u64 {
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", at * 131_072).unwrap();
    }
    drop(sparse);
    for format in [
        &["--format=gnu"][..],
        &["--format=posix"],
        &["--format=posix", "--sparse-version=0.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=1.0"],
    ] {
        let output = std::process::Command::new("tar")
            .args(format)
            .args(["--sparse", "-cf", "-", "-C"])
            .arg(source.path())
            .arg(".")
            .output()
            .unwrap();
        assert!(output.status.success());
        let place = Place::new();
        place.apply(&output.stdout).unwrap();
        let name = format!("{long}/{}", "x".repeat(200));
        assert_eq!(fs::read_to_string(place.path(&name)).unwrap(), "long", "{format:?}");
        let expected = fs::read(source.path().join("sparse")).unwrap();
        assert!(fs::read(place.path("sparse")).unwrap() == expected, "{format:?}");
        assert!(fs::metadata(place.path("sparse")).unwrap().blocks() < 1000, "{format:?}");
    }
}

#[test]
fn attributes_are_taken_over_or_noted() {
    needs_user_namespace!();
    let place = Place::new();
    let mut file = entry("f", Kind::File);
    // cap_net_bind_service=ep, in the second version of the attribute.
    let capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    file.xattrs = vec![
        (b"user.note".to_vec(), b"hello\n=".to_vec()),
        (b"security.capability".to_vec(), capability.clone()),
        (b"trusted.overlay.opaque".to_vec(), b"y".to_vec()),
        (b"user.overlay.redirect".to_vec(), b"/etc".to_vec()),
    ];
    let applied = place.apply(&archive(&[(file, b"x")])).unwrap();
    let mut value = [0; 64];
    let length = rustix::fs::getxattr(place.path("f"), "user.note", &mut value).unwrap();
    assert_eq!(&value[..length], b"hello\n=");
    let length = rustix::fs::getxattr(place.path("f"), "security.capability", &mut value).unwrap();
    assert_eq!(&value[4..12], &capability[4..12], "{length}");
    assert_eq!(applied.notes.len(), 2, "{:?}", applied.notes);
}

#[test]
fn very_deep_archives_need_few_descriptors() {
    needs_user_namespace!();
    let place = Place::new();
    let deep = "d/".repeat(1500);
    place
        .apply(&archive(&[
            (entry(&format!("{deep}f"), Kind::File), b"x"),
            (entry(&format!("{}g", "d/".repeat(20)), Kind::File), b"x"),
            (entry(&format!("{}h", "d/".repeat(1400)), Kind::File), b"x"),
        ]))
        .unwrap();
    assert!(place.path(&format!("{}g", "d/".repeat(20))).exists());
    crate::tree::remove(&place.path("")).unwrap();
}

#[test]
fn damaged_archives_do_no_harm() {
    needs_user_namespace!();
    let good = archive(&[
        (entry("a/", Kind::Folder), b""),
        (entry("a/file", Kind::File), b"content"),
        (link("a/link", Kind::Symlink, "../outside"), b""),
        (link("a/hard", Kind::HardLink, "a/file"), b""),
        (entry(&"long/".repeat(60), Kind::File), b"x"),
        (entry(".wh.x", Kind::File), b""),
    ]);
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % below
    };
    let place = Place::new();
    for _ in 0..400 {
        let mut bad = good.clone();
        let header = random(good.len() / 512) * 512;
        for _ in 0..=random(4) {
            let at = if random(3) == 0 { random(good.len()) } else { header + random(512) };
            bad[at] = u8::try_from(random(256)).unwrap();
        }
        // A right checksum lets the damage through to the parts behind it.
        let block = &mut bad[header..header + 512];
        block[148..156].fill(b' ');
        let sum: u64 = block.iter().map(|b| u64::from(*b)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        drop(place.apply(&bad));
        assert_eq!(fs::read_to_string(place.dir.path().join("outside")).unwrap(), "untouched");
        crate::tree::remove(&place.path("")).unwrap();
        fs::create_dir(place.path("")).unwrap();
    }
    assert_eq!(fs::read_dir(place.dir.path()).unwrap().count(), 2);
}
