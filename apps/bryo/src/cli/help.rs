//! Help texts and complaints, in docker's form.

use super::error::CliError;
use super::flags::{self, Flag};
use super::verbs::{self, Verb};

/// `Usage:  docker ps [OPTIONS]` for a verb under the name it was called by.
pub fn usage(program: &str, name: &str, verb: &Verb) -> String {
    format!("Usage:  {program} {name} {}", verb.usage).trim_end().to_owned()
}

/// `--help` of a verb.
pub fn verb(program: &str, name: &str, verb: &Verb) -> String {
    let mut text = format!("{}\n\n{}\n", usage(program, name, verb), verb.about);
    if verb.names.len() > 1 {
        let names: Vec<String> = verb.names.iter().map(|n| format!("{program} {n}")).collect();
        text += &format!("\nAliases:\n  {}\n", names.join(", "));
    }
    let options = flags::describe(verb.flags);
    if !options.is_empty() {
        text += &format!("\nOptions:\n{options}");
    }
    text
}

/// What is said about a wrong command line.
pub fn complaint(program: &str, name: &str, verb: &Verb, e: &CliError) -> String {
    format!(
        "{e}\n\n{}\n\nRun '{program} {name} --help' for more information",
        usage(program, name, verb)
    )
}

/// `--help` of the whole.
pub fn all(program: &str, global: &[Flag]) -> String {
    let mut text = format!(
        "Usage:  {program} [OPTIONS] COMMAND\n\nA rootless container engine\n\nCommands:\n"
    );
    let table = verbs::table();
    let top = |v: &&Verb| v.names.iter().any(|n| !n.contains(' '));
    let mut lines: Vec<(&str, &str)> = table
        .iter()
        .filter(top)
        .filter_map(|v| Some((v.names.iter().find(|n| !n.contains(' '))?, v.about)))
        .map(|(name, about)| (*name, about))
        .collect();
    lines.push(("daemon", "Start the engine (see bryo daemon --help)"));
    lines.sort_unstable();
    for (name, about) in lines {
        text += &format!("  {name:<12}{about}\n");
    }
    text += "\nManagement Commands:\n";
    for group in ["container", "image", "network", "system", "volume"] {
        text += &format!("  {group:<12}Manage {group}s\n").replace("systems", program);
    }
    text += &format!("\nGlobal Options:\n{}", flags::describe(&[global]));
    text += &format!("\nRun '{program} COMMAND --help' for more information on a command.\n");
    text
}

/// `--help` of a group of commands; `None` when there is no such group.
pub fn group(program: &str, group: &str) -> Option<String> {
    let prefix = format!("{group} ");
    let table = verbs::table();
    let lines: Vec<(&str, &str)> = table
        .iter()
        .filter_map(|v| Some((v.names.iter().find_map(|n| n.strip_prefix(&prefix))?, v.about)))
        .collect();
    if lines.is_empty() {
        return None;
    }
    let mut text = format!("Usage:  {program} {group} COMMAND\n\nCommands:\n");
    for (name, about) in lines {
        text += &format!("  {name:<12}{about}\n");
    }
    text +=
        &format!("\nRun '{program} {group} COMMAND --help' for more information on a command.\n");
    Some(text)
}
