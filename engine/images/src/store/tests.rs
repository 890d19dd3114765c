//! Names, removal, collection, load and save, import and commit: through the front door.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::error::ErrorKind;
use crate::testing::image::tar;
use crate::testing::{needs_user_namespace, open, store};
use crate::{CommitOptions, Image, ImageFilter, ImportOptions, Reference, Removed, Store};

fn import(store: &Store, name: &str, files: &[(&str, &[u8])]) -> Image {
    let options = ImportOptions {
        reference: Some(Reference::parse(name).unwrap()),
        changes: vec!["CMD [\"/bin/x\"]".to_owned(), "LABEL color=blue".to_owned()],
        ..ImportOptions::default()
    };
    store.import(&options, tar(files).as_slice()).unwrap()
}

fn count(store: &Store, folder: &str) -> usize {
    let entries = fs::read_dir(store.layout().root().join(folder)).unwrap();
    entries.filter(|e| !e.as_ref().unwrap().file_name().to_string_lossy().starts_with('.')).count()
}

#[test]
fn imported_images_survive_a_restart() {
    needs_user_namespace!();
    let (dir, store) = store();
    let image = import(&store, "imported:1", &[("bin/", b""), ("bin/x", b"program")]);
    assert_eq!(image.config.cmd.as_deref(), Some(&["/bin/x".to_owned()][..]));
    assert_eq!(image.comment, "Imported from -");
    assert_eq!(image.size, 7);
    drop(store);
    let store = open(dir.path());
    let again = store.resolve("imported:1", None).unwrap();
    assert_eq!((again.id, again.repo_tags), (image.id, vec!["imported:1".to_owned()]));
    let history = store.image(image.id).unwrap().history_entries();
    assert_eq!((history.len(), history[0].size), (1, 7));
    for name in ["imported:1", &image.id.to_string(), &image.id.hex(), &image.id.short()] {
        assert_eq!(store.resolve(name, None).unwrap().id, image.id);
    }
    let missing = store.resolve("imported", None).unwrap_err();
    assert_eq!(missing.message(), "No such image: imported:latest");
    let other = store.resolve("imported:1", Some("linux/s390x")).unwrap_err();
    assert!(other.message().contains("does not provide the specified platform"), "{other}");
}

#[test]
fn damaged_records_cost_what_they_hold_and_no_more() {
    needs_user_namespace!();
    let (dir, store) = store();
    let first = import(&store, "a:1", &[("f", b"1")]);
    let second = import(&store, "b:1", &[("f", b"2")]);
    store.tag(first.id, &Reference::parse("c:1").unwrap()).unwrap();
    let (names, record) = (store.layout().references(), store.layout().image(second.id));
    let lost = store.layout().layer(first.layers[0].chain_id);
    drop(store);
    fs::write(names, "").unwrap();
    fs::write(record, "{").unwrap();
    let store = open(dir.path());
    assert_eq!(store.resolve("a:1", None).unwrap().id, first.id);
    assert_eq!(store.list(&ImageFilter::default()).unwrap().len(), 1);
    // A layer of an earlier boot that was never written out.
    drop(store);
    let file = lost.join("layer.json");
    let text = fs::read_to_string(&file).unwrap();
    let boot = crate::store::boot_id();
    fs::write(file, text.replace(&boot, "another boot")).unwrap();
    // The first store's thread may still be about to set the mark: a link into nowhere prevents that.
    drop(fs::remove_file(lost.join("synced")));
    while std::os::unix::fs::symlink("/nowhere/at/all", lost.join("synced")).is_err() {
        drop(fs::remove_file(lost.join("synced")));
    }
    let store = open(dir.path());
    assert_eq!(store.list(&ImageFilter::default()).unwrap().len(), 0);
    assert!(!lost.exists());
}

#[test]
fn names_come_and_go_as_dockers() {
    needs_user_namespace!();
    let (_dir, store) = store();
    let image = import(&store, "a:1", &[("f", b"1")]);
    let name = |text: &str| Reference::parse(text).unwrap();
    assert_eq!(store.tag(image.id, &name("b:1")).unwrap(), None);
    let other = import(&store, "c:1", &[("f", b"2")]);
    assert_eq!(store.tag(other.id, &name("b:1")).unwrap(), Some(image.id));
    store.tag(image.id, &name("b:2")).unwrap();
    let refusal = store.remove(&image.id.hex(), false).unwrap_err();
    assert_eq!(refusal.kind(), ErrorKind::Conflict);
    let expected = format!(
        "conflict: unable to delete {} (must be forced) - image is referenced in multiple repositories",
        image.id.short()
    );
    assert_eq!(refusal.message(), expected);
    assert!(!store.removal("b:2", false).unwrap().1);
    assert_eq!(store.remove("b:2", false).unwrap(), [Removed::Untagged("b:2".to_owned())]);
    assert!(store.removal("a:1", false).unwrap().1);
    let removed = store.remove("a:1", false).unwrap();
    let expected = [
        Removed::Untagged("a:1".to_owned()),
        Removed::Deleted(image.id.to_string()),
        Removed::Deleted(image.layers[0].chain_id.to_string()),
    ];
    assert_eq!(removed, expected);
    assert_eq!((count(&store, "layers"), count(&store, "images")), (1, 1));
    assert_eq!(count(&store, "blobs/sha256"), 3);
}

#[test]
fn filters_choose() {
    needs_user_namespace!();
    let (_dir, store) = store();
    let first = import(&store, "x/one:1", &[("f", b"1")]);
    std::thread::sleep(std::time::Duration::from_millis(5));
    let second = import(&store, "two:1", &[("f", b"2")]);
    import(&store, "two:1", &[("f", b"3")]);
    let list = |filter: ImageFilter| {
        let ids = store.list(&filter).unwrap().into_iter().map(|i| i.id);
        ids.collect::<Vec<_>>()
    };
    assert_eq!(list(ImageFilter::default()).len(), 3);
    let dangling = ImageFilter { dangling: Some(true), ..ImageFilter::default() };
    assert_eq!(list(dangling.clone()), [second.id]);
    let reference = ImageFilter { references: vec!["*/one".to_owned()], ..ImageFilter::default() };
    assert_eq!(list(reference), [first.id]);
    let since = ImageFilter { since: vec!["x/one:1".to_owned()], ..ImageFilter::default() };
    assert_eq!(list(since).len(), 2);
    let label = ImageFilter { labels: vec!["color=red".to_owned()], ..ImageFilter::default() };
    assert_eq!(list(label), []);
    let (removed, _) = store.prune(&ImageFilter::default(), false, &|_| false).unwrap();
    assert!(removed.contains(&Removed::Deleted(second.id.to_string())), "{removed:?}");
    assert_eq!(list(dangling), []);
    // What the API sends for `prune -a`.
    let every = ImageFilter { dangling: Some(false), ..ImageFilter::default() };
    let (removed, _) = store.prune(&every, true, &|id| id == first.id).unwrap();
    assert_eq!(removed.len(), 3, "{removed:?}");
    assert_eq!(list(ImageFilter::default()), [first.id]);
}

#[test]
fn containers_hold_their_layers() {
    needs_user_namespace!();
    let (dir, store) = store();
    let image = import(&store, "a:1", &[("./", b""), ("f", b"1")]);
    let layer = store.prepare("c1", &image).unwrap();
    assert_eq!(layer, store.prepare("c1", &image).unwrap());
    assert_eq!(fs::metadata(&layer.upper).unwrap().mode() & 0o7777, 0o755);
    fs::write(layer.upper.join("new"), "12345").unwrap();
    assert_eq!(store.writable_usage("c1").unwrap().bytes, 5);
    store.remove("a:1", true).unwrap();
    assert!(layer.lowers[0].join("f").exists());
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.collect().unwrap(), 0);
    assert_eq!(store.writable("c1").unwrap(), layer);
    store.remove_writable("c1").unwrap();
    store.remove_writable("c1").unwrap();
    assert_eq!(store.collect().unwrap(), 1);
    assert!(!layer.lowers[0].exists() && !layer.upper.exists());
    assert!(store.prepare("../x", &image).is_err());
}

#[test]
fn commit_adds_a_layer_and_diff_tells_it() {
    needs_user_namespace!();
    let (_dir, store) = store();
    let files: &[(&str, &[u8])] = &[("./", b""), ("etc/", b""), ("etc/old", b"o"), ("keep", b"k")];
    let image = import(&store, "a:1", files);
    let layer = store.prepare("c1", &image).unwrap();
    fs::create_dir(layer.upper.join("etc")).unwrap();
    fs::write(layer.upper.join("etc/new"), "n").unwrap();
    let upper = crate::merged::open_root(&layer.upper.join("etc")).unwrap();
    crate::unpack::entry::make_whiteout(std::os::fd::AsFd::as_fd(&upper), b"old").unwrap();
    let changes = crate::diff::changes(&layer.upper, &layer.lowers).unwrap();
    let text: Vec<String> =
        changes.iter().map(|c| format!("{:?} {}", c.kind, c.path.display())).collect();
    assert_eq!(text, ["Modified /etc", "Added /etc/new", "Deleted /etc/old"]);
    let options = CommitOptions {
        reference: Some(Reference::parse("b:1").unwrap()),
        comment: "c".to_owned(),
        config: image.config.clone(),
        changes: vec!["ENV X=1".to_owned()],
        ..CommitOptions::default()
    };
    let committed = store.commit("c1", &options).unwrap();
    assert_eq!((committed.layers.len(), committed.parent), (2, Some(image.id)));
    assert_eq!(committed.config.env, ["X=1"]);
    let folders = store.rootfs(&committed).unwrap();
    assert_eq!(fs::read(folders[0].join("etc/new")).unwrap(), b"n");
    assert!(
        !fs::exists(folders[0].join("etc/old")).unwrap()
            || fs::symlink_metadata(folders[0].join("etc/old")).unwrap().rdev() == 0
    );
}

#[test]
fn saved_images_load_again_with_the_same_digests() {
    needs_user_namespace!();
    let (_dir, store) = store();
    let image = import(&store, "a:1", &[("./", b""), ("f", b"1")]);
    store.tag(image.id, &Reference::parse("localhost:5000/b/c:2").unwrap()).unwrap();
    let mut archive = Vec::new();
    let names = ["a".to_owned(), "localhost:5000/b/c:2".to_owned()];
    store.save(&names, &mut archive).unwrap();
    let (_other_dir, other) = super::super::testing::store();
    let loaded = other.load(archive.as_slice()).unwrap();
    assert_eq!(loaded.len(), 1);
    assert_eq!(loaded[0].names, ["a:1", "localhost:5000/b/c:2"]);
    let again = other.resolve("a:1", None).unwrap();
    assert_eq!((again.id, again.manifest_digest), (image.id, image.manifest_digest));
    assert_eq!(again.layers, image.layers);
    // The same as an OCI layout only, and gzipped.
    let stripped = without(&archive, "manifest.json");
    let (_third_dir, third) = super::super::testing::store();
    let loaded = third.load(stripped.as_slice()).unwrap();
    assert_eq!(loaded[0].image.id, image.id);
    assert_eq!(loaded[0].names.len(), 2);
    let nothing = store.save(&["nosuch".to_owned()], Vec::new()).unwrap_err();
    assert_eq!(nothing.message(), "No such image: nosuch:latest");
    let wrong = other.load(tar(&[("x", b"y")]).as_slice()).unwrap_err();
    assert!(wrong.message().contains("neither a docker-archive nor an OCI layout"), "{wrong}");
}

/// The archive without one of its files.
fn without(archive: &[u8], name: &str) -> Vec<u8> {
    let mut reader = crate::tar::Reader::new(archive);
    let mut writer = crate::tar::Writer::new(Vec::new());
    while let Some(entry) = reader.next().unwrap() {
        let data = reader.read_data(u64::MAX).unwrap();
        if entry.path != name.as_bytes() {
            writer.entry(&entry).unwrap();
            if !data.is_empty() {
                writer.data(&data).unwrap();
            }
        }
    }
    writer.finish().unwrap()
}

#[test]
fn old_docker_archives_load() {
    needs_user_namespace!();
    let layer = tar(&[("./", b""), ("bin/tool", b"t")]);
    let diff_id = crate::Digest::of(&layer);
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Cmd":["/bin/tool"]}},"rootfs":{{"type":"layers","diff_ids":["{diff_id}","{diff_id}"]}}}}"#
    );
    let manifest = r#"[{"Config":"abc.json","RepoTags":["old:1"],"Layers":["one/layer.tar","two/layer.tar"]}]"#;
    let mut writer = crate::tar::Writer::new(Vec::new());
    writer.file("one/layer.tar", 0o644, 0, &layer).unwrap();
    let mut link = crate::tar::Entry::new(b"two/layer.tar".to_vec(), crate::tar::Kind::Symlink);
    link.link = b"../one/layer.tar".to_vec();
    writer.entry(&link).unwrap();
    writer.file("abc.json", 0o644, 0, config.as_bytes()).unwrap();
    writer.file("manifest.json", 0o644, 0, manifest.as_bytes()).unwrap();
    let archive = writer.finish().unwrap();
    let (_dir, store) = store();
    let loaded = store.load(archive.as_slice()).unwrap();
    assert_eq!(loaded[0].names, ["old:1"]);
    let image = store.resolve("old:1", None).unwrap();
    assert_eq!(image.layers.len(), 2);
    assert_ne!(image.layers[0].chain_id, image.layers[1].chain_id);
    let broken = manifest.replace("one/", "../../etc/passwd");
    let archive = tar(&[("abc.json", config.as_bytes()), ("manifest.json", broken.as_bytes())]);
    assert!(store.load(archive.as_slice()).unwrap_err().message().contains("lacks"));
}

#[test]
fn the_embedded_image_is_made_on_demand() {
    needs_user_namespace!();
    let (_dir, store) = store();
    let other = Reference::parse("alpine").unwrap();
    assert!(store.ensure_embedded(&other).unwrap().is_none());
    let hello = Reference::parse("bryo/hello").unwrap();
    let image = store.ensure_embedded(&hello).unwrap().unwrap();
    assert_eq!(image.repo_tags, ["bryo/hello:latest"]);
    assert_eq!(image.config.env, ["BRYO_HOST_USER=someone", "BRYO_HOST_UID=1234"]);
    assert_eq!(store.ensure_embedded(&hello).unwrap().unwrap().id, image.id);
    let program = store.rootfs(&image).unwrap()[0].join("hello");
    let output = std::process::Command::new(program).output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("I am uid 0 (root)"));
}
