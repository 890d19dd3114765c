//! The layers: each crate uses only crates below it in ARCHITECTURE.md's list.
//!
//! Cargo forbids cycles but not wrong directions; this test reads the list out of the document and compares it with
//! `cargo metadata`, so neither can change without the other.

#![expect(
    clippy::expect_used,
    reason = "a test file: a missing document ends the test that asked for it"
)]

use std::collections::{BTreeMap, BTreeSet};

use bryo_tests::{root, table_column};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata of the workspace")
}

/// Crate → place in the list, 0 on top.
fn listed() -> BTreeMap<String, usize> {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let rows = table_column(&page, "crate");
    assert!(rows.len() > 3, "ARCHITECTURE.md has no table with the header `crate`");
    rows.into_iter().enumerate().map(|(place, (name, _))| (name, place)).collect()
}

/// The workspace's own crates but the one of these tests.
fn crates(metadata: &Metadata) -> impl Iterator<Item = &cargo_metadata::Package> {
    metadata.packages.iter().filter(|p| p.name.as_str() != "bryo-tests")
}

#[test]
fn the_document_lists_exactly_the_crates_there_are() {
    let metadata = metadata();
    let real: BTreeSet<String> = crates(&metadata).map(|p| p.name.to_string()).collect();
    let listed: BTreeSet<String> = listed().into_keys().collect();
    assert_eq!(real, listed, "left: the workspace, right: ARCHITECTURE.md");
}

#[test]
fn each_crate_uses_only_crates_below_it() {
    let (metadata, place) = (metadata(), listed());
    let mut wrong = Vec::new();
    for package in crates(&metadata) {
        let Some(own) = place.get(package.name.as_str()) else { continue };
        for dependency in &package.dependencies {
            if place.get(dependency.name.as_str()).is_some_and(|below| below <= own) {
                wrong.push(format!("{} uses {}", package.name, dependency.name));
            }
        }
    }
    assert!(wrong.is_empty(), "upward dependencies: {wrong:?}");
}

#[test]
fn the_kernel_side_has_no_async_runtime() {
    let metadata = metadata();
    let banned = ["tokio", "tokio-util", "tokio-stream", "hyper", "reqwest", "futures-util"];
    let mut wrong = Vec::new();
    for package in crates(&metadata) {
        let below = package.manifest_path.strip_prefix(root()).unwrap_or(&package.manifest_path);
        if !below.starts_with("linux") && !below.starts_with("spec") {
            continue;
        }
        for dependency in &package.dependencies {
            if dependency.kind != DependencyKind::Development
                && banned.contains(&dependency.name.as_str())
            {
                wrong.push(format!("{} uses {}", package.name, dependency.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn only_the_lowest_kernel_crate_speaks_to_libc() {
    let metadata = metadata();
    let users: Vec<&str> = crates(&metadata)
        .filter(|p| p.dependencies.iter().any(|d| d.name == "libc"))
        .map(|p| p.name.as_str())
        .collect();
    assert_eq!(users, ["bryo-sys"], "crates that depend on libc");
}
