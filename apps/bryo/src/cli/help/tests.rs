//! docs/cli.md is written by scripts/cli-table and must be what the table of verbs says today.

use std::collections::BTreeSet;

use super::super::flags;
use super::super::verbs;

/// A row: the command, whether it is there, its flags, and those that are not.
fn rows(page: &str) -> Vec<(String, bool, BTreeSet<String>, BTreeSet<String>)> {
    let names = |cell: &str| {
        let words = cell.split_whitespace().map(|word| word.trim_matches('`'));
        words.map(|word| word.trim_start_matches("--").to_owned()).collect()
    };
    page.lines()
        .filter_map(|line| line.strip_prefix("| `docker "))
        .filter_map(|line| {
            let cells: Vec<&str> = line.split('|').collect();
            let [name, there, have, lack, ..] = cells.as_slice() else { return None };
            let name = name.trim().trim_matches('`').to_owned();
            Some((name, there.trim() == "yes", names(have), names(lack)))
        })
        .collect()
}

#[test]
fn the_page_of_commands_is_current() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
    let page = std::fs::read_to_string(file).unwrap();
    let rows = rows(&page);
    assert!(rows.len() > 150, "docs/cli.md has {} commands; run scripts/cli-table", rows.len());
    for (name, there, have, lack) in rows {
        let words: Vec<String> = name.split(' ').map(str::to_owned).collect();
        let verb = verbs::find(&words).filter(|(_, _, rest)| rest.is_empty());
        assert_eq!(
            verb.is_some(),
            there,
            "docs/cli.md is wrong about {name}; run scripts/cli-table"
        );
        let Some((_, verb, _)) = verb else { continue };
        let shown: BTreeSet<String> = flags::all(verb.flags)
            .filter(|f| !f.help.is_empty())
            .map(|f| f.long.to_owned())
            .collect();
        assert_eq!(
            have, shown,
            "docs/cli.md is wrong about the flags of {name}; run scripts/cli-table"
        );
        assert!(
            lack.is_disjoint(&shown),
            "docs/cli.md is wrong about {name}; run scripts/cli-table"
        );
    }
}
