//! Pulls from a real registry, and from one that fails on purpose.

use std::fs;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::error::{ErrorKind, Result};
use crate::image::Image;
use crate::manifest::OCI_INDEX;
use crate::testing::image::{TestImage, TestLayer, noise, tar};
use crate::testing::registry::{Faults, FaultyRegistry, RealRegistry};
use crate::testing::{needs_user_namespace, open, run, store};
use crate::{Auth, Digest, ImageFilter, Progress, Reference, Store};

/// Pulls and gathers the lines.
async fn pull_with(
    store: &Store,
    name: &str,
    auth: Option<Auth>,
) -> (Result<Image>, Vec<Progress>) {
    let (sender, mut receiver) = mpsc::channel(16);
    let reference = Reference::parse(name).unwrap();
    let lines = tokio::spawn(async move {
        let mut lines = Vec::new();
        while let Some(line) = receiver.recv().await {
            lines.push(line);
        }
        lines
    });
    let outcome = store.pull(&reference, None, auth, sender).await;
    (outcome, lines.await.unwrap())
}

async fn pull(store: &Store, name: &str) -> Result<Image> {
    pull_with(store, name, None).await.0
}

fn statuses(lines: &[Progress]) -> Vec<&str> {
    lines.iter().map(|l| l.status.as_str()).collect()
}

fn two_layers(seed: u64) -> TestImage {
    TestImage::new(vec![
        TestLayer::gzip(&tar(&[("./", b""), ("bin/", b""), ("bin/data", &noise(600_000, seed))])),
        TestLayer::zstd(&tar(&[("etc/conf", b"x"), ("etc/.wh.gone", b"")])),
    ])
}

/// Names below a folder of the store.
fn names(store: &Store, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(store.layout().root().join(folder)).unwrap();
    entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn from_a_real_registry_by_tag_and_digest_and_again() {
    needs_user_namespace!();
    run(async {
        let Some(registry) = RealRegistry::start().await else { return };
        let busybox = fs::read("/bin/busybox").unwrap();
        let image = TestImage::new(vec![
            TestLayer::gzip(&tar(&[("./", b""), ("bin/", b""), ("bin/busybox", &busybox)])),
            TestLayer::plain(tar(&[("etc/conf", b"x")])),
            TestLayer::zstd(&tar(&[("etc/other", b"y")])),
        ]);
        registry.push("box", "1", &image).await;
        let (_dir, store) = store();
        let name = format!("{}/box:1", registry.host);
        let (pulled, lines) = pull_with(&store, &name, None).await;
        let pulled = pulled.unwrap();
        assert_eq!((pulled.id, pulled.layers.len()), (image.id(), 3));
        assert_eq!(pulled.config.cmd.as_deref(), Some(&["/bin/sh".to_owned()][..]));
        let folders = store.rootfs(&pulled).unwrap();
        assert_eq!(fs::read(folders[2].join("bin/busybox")).unwrap(), busybox);
        assert_eq!(fs::read(folders[0].join("etc/other")).unwrap(), b"y");
        let text = statuses(&lines);
        assert_eq!(lines[0].id.as_deref(), Some("1"));
        assert_eq!(text[0], "Pulling from box");
        assert_eq!(text.iter().filter(|t| **t == "Pull complete").count(), 3, "{text:?}");
        let digest = Digest::of(&image.manifest);
        assert_eq!(text[text.len() - 2], format!("Digest: {digest}"));
        assert_eq!(text[text.len() - 1], format!("Status: Downloaded newer image for {name}"));

        let (again, lines) = pull_with(&store, &name, None).await;
        again.unwrap();
        let last = format!("Status: Image is up to date for {name}");
        assert_eq!(statuses(&lines).last(), Some(&last.as_str()));
        assert_eq!(statuses(&lines)[1..4], ["Already exists"; 3]);

        let by_digest = format!("{}/box@{digest}", registry.host);
        let pulled = pull(&store, &by_digest).await.unwrap();
        assert_eq!(pulled.repo_digests, std::slice::from_ref(&by_digest));
        assert_eq!(store.resolve(&by_digest, None).unwrap().id, image.id());

        let missing = pull(&store, &format!("{}/box:2", registry.host)).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert!(
            missing
                .message()
                .starts_with(&format!("manifest for {}/box:2 not found", registry.host)),
            "{missing}"
        );
        let missing = pull(&store, &format!("{}/nosuch", registry.host)).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound, "{missing}");
    });
}

#[test]
fn a_broken_connection_is_resumed_where_it_broke() {
    needs_user_namespace!();
    run(async {
        for no_ranges in [false, true] {
            let faults = Faults { cut_after: 400_000, no_ranges, ..Faults::default() };
            let registry = FaultyRegistry::start(faults).await;
            let image = two_layers(7);
            registry.put("app", "latest", &image);
            if no_ranges {
                // Without ranges no attempt gets past the cut: it must fail, and say where.
                let (_dir, store) = store();
                let refusal = pull(&store, &format!("{}/app", registry.host)).await.unwrap_err();
                assert!(refusal.message().contains("broke off after"), "{refusal}");
                assert_eq!(refusal.kind(), ErrorKind::Unavailable);
                continue;
            }
            let (_dir, store) = store();
            let pulled = pull(&store, &format!("{}/app", registry.host)).await.unwrap();
            assert_eq!(pulled.id, image.id());
            let asked = registry.shared.asked.lock().unwrap().clone();
            assert!(asked.iter().any(|a| a.contains("bytes=")), "{asked:?}");
            assert_eq!(names(&store, "partial"), Vec::<String>::new());
        }
    });
}

#[test]
fn what_is_there_is_passed_over_when_ranges_are_ignored() {
    needs_user_namespace!();
    run(async {
        let registry = FaultyRegistry::start(Faults { no_ranges: true, ..Faults::default() }).await;
        let image = two_layers(8);
        registry.put("app", "latest", &image);
        let (_dir, store) = store();
        let partial = store.layout().partial(image.layers[0].digest());
        fs::write(&partial, &image.layers[0].bytes[..300_000]).unwrap();
        pull(&store, &format!("{}/app", registry.host)).await.unwrap();
    });
}

#[test]
fn a_cancelled_pull_shows_nothing_and_the_next_goes_on() {
    needs_user_namespace!();
    run(async {
        let slow = Some(Duration::from_millis(10));
        let registry = FaultyRegistry::start(Faults { slow, ..Faults::default() }).await;
        let image = TestImage::new(vec![TestLayer::gzip(&tar(&[("data", &noise(4 << 20, 3))]))]);
        registry.put("app", "latest", &image);
        let (dir, store) = store();
        let name = format!("{}/app", registry.host);
        {
            let pulling = pull(&store, &name);
            let enough = tokio::time::timeout(Duration::from_millis(1500), pulling).await;
            assert!(enough.is_err());
        }
        let first = registry.shared.sent.load(Ordering::Relaxed);
        assert!(first > 1 << 20, "{first} bytes");
        assert_eq!(store.list(&ImageFilter::default()).unwrap().len(), 0);
        registry.shared.faults.lock().unwrap().slow = None;
        // As after a kill: another process opens the store.
        for _ in 0..200 {
            if names(&store, "layers/.new").is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(names(&store, "layers/.new"), Vec::<String>::new());
        drop(store);
        let store = open(dir.path());
        pull(&store, &name).await.unwrap();
        let second = registry.shared.sent.load(Ordering::Relaxed) - first;
        assert!(second < 4 << 20, "all was sent again: {first} + {second}");
    });
}

#[test]
fn two_pulls_share_the_work() {
    needs_user_namespace!();
    run(async {
        let slow = Some(Duration::from_millis(3));
        let registry = FaultyRegistry::start(Faults { slow, ..Faults::default() }).await;
        let image = two_layers(9);
        registry.put("app", "latest", &image);
        let (_dir, store) = store();
        let name = format!("{}/app", registry.host);
        let (a, b) = tokio::join!(pull(&store, &name), pull(&store, &name));
        assert_eq!((a.unwrap().id, b.unwrap().id), (image.id(), image.id()));
        // Two layers, and the configuration at most twice.
        assert!(registry.blob_requests() <= 4, "{:?}", registry.shared.asked.lock().unwrap());
        let sent = registry.shared.sent.load(Ordering::Relaxed);
        let once: usize = image.layers.iter().map(|l| l.bytes.len()).sum();
        assert_eq!(sent, once);
    });
}

#[test]
fn wrong_bytes_are_refused_and_forgotten() {
    needs_user_namespace!();
    run(async {
        let registry = FaultyRegistry::start(Faults { corrupt: true, ..Faults::default() }).await;
        let mut image = TestImage::new(vec![TestLayer::plain(tar(&[("f", &noise(9000, 1))]))]);
        registry.put("app", "latest", &image);
        let (_dir, store) = store();
        let name = format!("{}/app", registry.host);
        let refusal = pull(&store, &name).await.unwrap_err();
        assert_eq!(refusal.kind(), ErrorKind::BadArchive);
        assert!(refusal.message().contains("layer verification failed for digest"), "{refusal}");
        for folder in ["partial", "layers/.new", "images"] {
            assert_eq!(names(&store, folder), Vec::<String>::new(), "{folder}");
        }
        registry.shared.faults.lock().unwrap().corrupt = false;
        pull(&store, &name).await.unwrap();
        // A configuration that speaks of other bytes than the manifest's.
        image.layers[0].diff_id = Digest::of(b"else");
        let lying = TestImage::new(image.layers);
        registry.put("lying", "latest", &lying);
        let refusal = pull(&store, &format!("{}/lying", registry.host)).await.unwrap_err();
        assert!(refusal.message().contains("the image's configuration says"), "{refusal}");
    });
}

#[test]
fn tokens_are_fetched_and_denials_say_so() {
    needs_user_namespace!();
    run(async {
        let faults = Faults { token: true, unavailable: 2, ..Faults::default() };
        let registry = FaultyRegistry::start(faults).await;
        registry.put("app", "latest", &two_layers(11));
        let (_dir, store) = store();
        let name = format!("{}/app", registry.host);
        let denied = pull(&store, &name).await.unwrap_err();
        assert_eq!(denied.kind(), ErrorKind::Denied);
        let expected = format!(
            "pull access denied for {name}, repository does not exist or may require 'docker login': denied: requested access to the resource is denied"
        );
        assert_eq!(denied.message(), expected);
        let auth = Auth { username: "u".to_owned(), password: "p".to_owned(), ..Auth::default() };
        pull_with(&store, &name, Some(auth)).await.0.unwrap();
    });
}

#[test]
fn indexes_lead_to_the_platform_and_nowhere_else() {
    needs_user_namespace!();
    run(async {
        let registry = FaultyRegistry::start(Faults::default()).await;
        let image = two_layers(12);
        registry.put("app", "single", &image);
        let digest = Digest::of(&image.manifest);
        let index = |arch: &str| {
            let arch = arch.replace("x86_64", "amd64").replace("aarch64", "arm64");
            format!(
                r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{{"mediaType":"{}","digest":"{digest}","size":{},"platform":{{"os":"linux","architecture":"{arch}"}}}}]}}"#,
                image.media_type,
                image.manifest.len()
            )
        };
        let here = index(std::env::consts::ARCH);
        registry.put_document("app", "latest", OCI_INDEX, here.as_bytes());
        registry.put_document("app", "other", OCI_INDEX, index("s390x").as_bytes());
        let (_dir, store) = store();
        let pulled = pull(&store, &format!("{}/app", registry.host)).await.unwrap();
        let index_digest = Digest::of(here.as_bytes());
        assert_eq!(pulled.repo_digests, [format!("{}/app@{index_digest}", registry.host)]);
        let refusal = pull(&store, &format!("{}/app:other", registry.host)).await.unwrap_err();
        assert!(refusal.message().starts_with("no matching manifest for linux/"), "{refusal}");
        let nobody = pull(&store, "127.0.0.1:1/app").await.unwrap_err();
        assert_eq!(nobody.kind(), ErrorKind::Unavailable);
        assert!(nobody.message().contains("refused"), "{nobody}");
    });
}

#[test]
fn a_hostile_layer_is_refused_by_name_and_leaves_nothing() {
    needs_user_namespace!();
    run(async {
        let registry = FaultyRegistry::start(Faults::default()).await;
        let evil = TestImage::new(vec![TestLayer::gzip(&tar(&[("../../evil", b"x")]))]);
        registry.put("evil", "latest", &evil);
        let (dir, store) = store();
        let refusal = pull(&store, &format!("{}/evil", registry.host)).await.unwrap_err();
        assert!(refusal.message().contains("../../evil"), "{refusal}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(names(&store, "layers/.new"), Vec::<String>::new());
    });
}

#[test]
fn mirrors_stand_in_for_docker_io() {
    needs_user_namespace!();
    run(async {
        let registry = FaultyRegistry::start(Faults::default()).await;
        let image = two_layers(13);
        registry.put("library/alpine", "3", &image);
        let (_dir, store) = store();
        let mirrors = vec!["http://127.0.0.1:1".to_owned(), format!("http://{}", registry.host)];
        store.reload(crate::Registries { mirrors, ..Default::default() });
        let auth = Auth { username: "u".to_owned(), ..Auth::default() };
        let pulled = pull_with(&store, "alpine:3", Some(auth)).await.0.unwrap();
        assert_eq!(pulled.repo_tags, ["alpine:3"]);
        assert!(pulled.repo_digests[0].starts_with("alpine@sha256:"));
    });
}
