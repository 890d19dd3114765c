//! House rules as tests: sizes, where `unsafe` may stand, nothing forgotten, every dependency justified.
//!
//! Each failure names the files; the rule and its reason stand at the test.

#![expect(
    clippy::expect_used,
    reason = "a test file: an unreadable source ends the test that asked for it"
)]

use std::{collections::BTreeSet, path::Path};

use bryo_tests::{TextFile, code_only, files, root, table_column};

/// Production and test files alike: a file that grows past this is two subjects.
const MOST_LINES: usize = 499;

/// Everything that Cargo.lock may hold; raise it only together with a row in ARCHITECTURE.md's table.
const MOST_PACKAGES: usize = 330;

/// Tests that may be marked as not running, over all languages.
const MOST_SKIPS: usize = 12;

fn rust() -> Vec<TextFile> {
    ["apps", "engine", "linux", "spec", "tests"]
        .into_iter()
        .flat_map(|folder| files(folder, "rs").expect("Rust sources"))
        .collect()
}

/// The tests with real clients, on this machine and in virtual ones.
fn python_tests() -> Vec<TextFile> {
    ["tests/e2e", "tests/vm"].into_iter().flat_map(|f| files(f, "py").expect("tests")).collect()
}

fn page() -> String {
    std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md")
}

#[test]
fn files_fit_the_budget() {
    let python = files("tests", "py").expect("tests").into_iter();
    let python = python.chain(files("bench", "py").expect("bench"));
    let long: Vec<String> = rust()
        .into_iter()
        .chain(python)
        .filter(|f| f.text.lines().count() > MOST_LINES)
        .map(|f| format!("{} ({} lines)", f.path, f.text.lines().count()))
        .collect();
    assert!(long.is_empty(), "over {MOST_LINES} lines: {long:#?}");
}

#[test]
fn every_rust_file_says_what_it_is_for() {
    let silent: Vec<String> = rust()
        .into_iter()
        .filter(|f| !f.text.trim_start().starts_with("//!"))
        .map(|f| f.path)
        .collect();
    assert!(silent.is_empty(), "no //! at the top: {silent:#?}");
}

#[test]
fn unsafe_stands_in_sys_alone() {
    let wrong: Vec<String> = rust()
        .into_iter()
        .filter(|f| !f.path.starts_with("linux/sys/"))
        .filter(|f| words(&code_only(&f.text)).any(|w| w == "unsafe"))
        .map(|f| f.path)
        .collect();
    assert!(wrong.is_empty(), "`unsafe` outside linux/sys: {wrong:#?}");
}

#[test]
fn the_kernel_side_names_no_async_runtime() {
    let wrong: Vec<String> = rust()
        .into_iter()
        .filter(|f| f.path.starts_with("linux/") || f.path.starts_with("spec/"))
        .filter(|f| words(&code_only(&f.text)).any(|w| w == "tokio" || w == "async"))
        .map(|f| f.path)
        .collect();
    assert!(wrong.is_empty(), "async code below the engine: {wrong:#?}");
}

#[test]
fn no_source_file_is_forgotten() {
    let all = rust();
    let forgotten: Vec<&str> = all
        .iter()
        .filter(|f| f.path.contains("/src/") && !is_root(&f.path))
        .filter(|f| !declared(f, &all))
        .map(|f| f.path.as_str())
        .collect();
    assert!(forgotten.is_empty(), "compiled by nobody: {forgotten:#?}");
}

/// Roots of crates, binaries and anything cargo finds by itself.
fn is_root(path: &str) -> bool {
    path.ends_with("/src/lib.rs") || path.ends_with("/src/main.rs") || path.contains("/src/bin/")
}

/// Whether a parent module has a `mod` line for this file.
fn declared(file: &TextFile, all: &[TextFile]) -> bool {
    let path = Path::new(&file.path);
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let (name, folder) = if stem == "mod" {
        let folder = path.parent().unwrap_or(path);
        (folder.file_name().unwrap_or_default().to_string_lossy(), folder.parent())
    } else {
        (stem, path.parent())
    };
    let folder = folder.unwrap_or(Path::new("")).to_string_lossy();
    let parents = [
        format!("{folder}/mod.rs"),
        format!("{folder}/lib.rs"),
        format!("{folder}/main.rs"),
        format!("{folder}.rs"),
    ];
    let line = format!("mod {name};");
    let by_path = format!("#[path = \"{name}.rs\"]");
    all.iter().any(|f| {
        let beside = f.path.strip_prefix(&*folder).is_some_and(|rest| !rest[1..].contains('/'));
        (parents.contains(&f.path) && code_only(&f.text).contains(&line))
            || (beside && f.text.contains(&by_path))
    })
}

#[test]
fn no_end_to_end_test_is_forgotten() {
    let helpers = ["tests/e2e/support/", "tests/vm/machine/"];
    let odd: Vec<String> = python_tests()
        .into_iter()
        .filter(|f| {
            let name = f.path.rsplit('/').next().unwrap_or("");
            let test = name.starts_with("test_") && f.text.contains("def test_");
            !test && name != "conftest.py" && !helpers.iter().any(|h| f.path.starts_with(h))
        })
        .map(|f| f.path)
        .collect();
    assert!(odd.is_empty(), "pytest will not collect: {odd:#?}");
}

#[test]
fn skipped_tests_are_few() {
    let ignored =
        rust().iter().map(|f| code_only(&f.text).matches("#[ignore").count()).sum::<usize>();
    let marks = ["mark.skip", "mark.xfail", "pytest.skip", "pytest.xfail"];
    let skipped: usize =
        python_tests().iter().flat_map(|f| marks.iter().map(|m| f.text.matches(m).count())).sum();
    assert!(ignored + skipped <= MOST_SKIPS, "{ignored} ignored, {skipped} skipped");
}

#[test]
fn every_dependency_has_its_line() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    let declared: BTreeSet<String> = manifest
        .split("[workspace.dependencies]")
        .nth(1)
        .unwrap_or("")
        .lines()
        .take_while(|l| !l.starts_with('['))
        .filter(|l| !l.contains("path ="))
        .filter_map(|l| l.split_once('=').map(|(name, _)| name.trim().to_owned()))
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .collect();
    let rows = table_column(&page(), "dependency");
    let empty: Vec<&String> =
        rows.iter().filter(|(_, why)| why.len() < 10).map(|(n, _)| n).collect();
    assert!(empty.is_empty(), "no reason given: {empty:?}");
    let justified: BTreeSet<String> = rows.into_iter().map(|(name, _)| name).collect();
    assert_eq!(declared, justified, "left: Cargo.toml, right: ARCHITECTURE.md");
}

#[test]
fn the_tree_of_dependencies_stays_bounded() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock");
    let packages = lock.matches("[[package]]").count();
    assert!(
        packages <= MOST_PACKAGES,
        "{packages} packages in Cargo.lock, {MOST_PACKAGES} allowed"
    );
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
}
