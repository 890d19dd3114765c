//! Help texts and complaints, in docker's form.
//!
//! There is one source for all of it: the table of verbs with their flags. `--help`, the usage line of a complaint, the
//! completions and `docs/cli.md` are made of that table.

mod guess;
mod long;
mod wrap;

use super::error::CliError;
use super::flags::Flag;
use super::verbs::{self, Verb, absent};

pub use guess::similar;
pub use wrap::describe;

/// Groups of commands and what they are about.
pub const GROUPS: &[(&str, &str)] = &[
    ("builder", "Manage builds"),
    ("checkpoint", "Manage checkpoints"),
    ("config", "Manage Swarm configs"),
    ("container", "Manage containers"),
    ("context", "Manage contexts"),
    ("image", "Manage images"),
    ("manifest", "Manage Docker image manifests and manifest lists"),
    ("network", "Manage networks"),
    ("node", "Manage Swarm nodes"),
    ("plugin", "Manage plugins"),
    ("secret", "Manage Swarm secrets"),
    ("service", "Manage Swarm services"),
    ("stack", "Manage Swarm stacks"),
    ("swarm", "Manage Swarm"),
    ("system", "Manage Docker"),
    ("trust", "Manage trust on Docker images"),
    ("volume", "Manage volumes"),
];

/// Verbs that the first page shows first, in this order.
const COMMON: &[&str] = &[
    "run", "exec", "ps", "pull", "push", "images", "login", "logout", "search", "version", "info",
];

/// Verbs that docker does not have, and `daemon` and `setup`, which are programs of their own.
const OWN: &[(&str, &str)] = &[
    ("completion", "Print a completion script for bash, zsh or fish"),
    ("daemon", "Start the engine"),
    ("du", "Show what containers, images and volumes take on the disk, path by path"),
    ("explain", "Tell why a container is not running and what to change"),
    ("top", "Without a container: a live dashboard"),
    ("unshare", "Run a command among the files of subordinate ids"),
];

/// `Usage:  docker ps [OPTIONS]` for a verb under its usual name.
pub fn usage(program: &str, name: &str, verb: &Verb) -> String {
    let line = verb.usage.replace("{}", &format!("{program} {name}"));
    format!("Usage:  {program} {name} {line}").trim_end().to_owned()
}

/// `--help` of a verb.
pub fn verb(program: &str, name: &str, verb: &Verb) -> String {
    let about = long::text(verb).unwrap_or_else(|| verb.about.to_owned());
    let about = about.replace("{}", &format!("{program} {name}"));
    let mut text = format!("{}\n\n{about}\n", usage(program, name, verb));
    if verb.names.len() > 1 {
        text += &format!("\nAliases:\n  {}\n", aliases(program, verb).join(", "));
    }
    let options = describe(verb.flags);
    if !options.is_empty() {
        text += &format!("\nOptions:\n{options}");
    }
    text
}

/// All names, those of groups first.
fn aliases(program: &str, verb: &Verb) -> Vec<String> {
    let grouped = verb.names.iter().filter(|n| n.contains(' '));
    let short = verb.names.iter().filter(|n| !n.contains(' '));
    grouped.chain(short).map(|n| format!("{program} {n}")).collect()
}

/// What is said about a wrong command line.
pub fn complaint(program: &str, name: &str, verb: &Verb, e: &CliError) -> String {
    // docker has two forms of this sentence, and scripts look for either.
    let word = if e.to_string().contains("requires at least") { "See" } else { "Run" };
    format!(
        "{e}\n\n{}\n\n{word} '{program} {name} --help' for more information",
        usage(program, name, verb)
    )
}

/// `--help` of the whole.
pub fn all(program: &str, global: &[Flag]) -> String {
    let mut text = format!(
        "Usage:  {program} [OPTIONS] COMMAND\n\nA rootless container engine\n\nCommon Commands:\n"
    );
    let table = verbs::table();
    let about = |name: &str| table.iter().find(|v| v.names.contains(&name)).map(|v| v.about);
    text += &lines(COMMON.iter().filter_map(|name| Some((*name, about(name)?))));
    text += "\nManagement Commands:\n";
    let present = |group: &&(&str, &str)| has_commands(&table, group.0);
    text += &lines(GROUPS.iter().filter(present).copied());
    text += "\nCommands:\n";
    let own = |name: &str| OWN.iter().any(|(n, _)| *n == name);
    let mut rest: Vec<(&str, &str)> = table
        .iter()
        .filter_map(|v| Some((v.names.iter().find(|n| !n.contains(' ')).copied()?, v.about)))
        .filter(|(name, _)| !COMMON.contains(name) && (!own(name) || *name == "top"))
        .filter(|(_, about)| !about.is_empty())
        .collect();
    rest.sort_unstable();
    text += &lines(rest.into_iter());
    text += "\nBeyond docker:\n";
    text += &lines(OWN.iter().copied());
    text += &format!("\nNot there yet: {}\n", absent::summary());
    text += &format!("\nGlobal Options:\n{}", describe(&[global]));
    text += &format!("\nRun '{program} COMMAND --help' for more information on a command.\n");
    text
}

fn has_commands(table: &[Verb], group: &str) -> bool {
    table.iter().any(|v| v.names.iter().any(|n| n.split(' ').next() == Some(group) && *n != group))
}

fn lines<'a>(list: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    list.map(|(name, about)| format!("  {name:<11} {about}\n")).collect()
}

/// `--help` of a group of commands; `None` when there is no such group.
pub fn group(program: &str, group: &str) -> Option<String> {
    let (_, about) = GROUPS.iter().find(|(name, _)| *name == group)?;
    let prefix = format!("{group} ");
    let table = verbs::table();
    let present = table
        .iter()
        .filter_map(|v| Some((v.names.iter().find_map(|n| n.strip_prefix(&prefix))?, v.about)));
    let missing = absent::of_group(group);
    let mut list: Vec<(&str, &str)> =
        present.filter(|(name, about)| !about.is_empty() && *name != "dial-stdio").collect();
    list.extend(missing.iter().map(|name| (*name, "(not there yet)")));
    list.sort_unstable();
    Some(format!(
        "Usage:  {program} {group} COMMAND\n\n{about}\n\nCommands:\n{}\nRun '{program} {group} COMMAND --help' for \
         more information on a command.\n",
        lines(list.into_iter())
    ))
}

/// What is said about a command that does not exist, with what may have been meant.
pub fn unknown(program: &str, group: Option<&str>, word: &str) -> String {
    let path = group.map_or_else(|| program.to_owned(), |g| format!("{program} {g}"));
    let near = similar(word, &candidates(group));
    let hint = match near.as_slice() {
        [] => String::new(),
        list => {
            let lines: Vec<String> = list.iter().map(|n| format!("  {path} {n}")).collect();
            format!("\n\nDid you mean:\n{}", lines.join("\n"))
        }
    };
    let usage = match (group, hint.is_empty()) {
        (Some(_), true) => format!("\n\nUsage:  {path}"),
        _ => String::new(),
    };
    format!(
        "{program}: unknown command: {path} {word}{hint}{usage}\n\nRun '{path} --help' for more information"
    )
}

/// Words that may stand where the misspelt one stood.
fn candidates(group: Option<&str>) -> Vec<&'static str> {
    let names = verbs::table().into_iter().flat_map(|v| v.names.iter().copied());
    match group {
        None => names
            .filter(|n| !n.contains(' '))
            .chain(GROUPS.iter().map(|(name, _)| *name))
            .chain(OWN.iter().map(|(name, _)| *name))
            .collect(),
        Some(group) => names.filter_map(|n| n.strip_prefix(group)?.strip_prefix(' ')).collect(),
    }
}

#[cfg(test)]
mod tests;
