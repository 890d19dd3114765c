//! The command line: rootless Docker's flags and commands, and Bryo's further ones.

use crate::cli::flags::{self, Flag, Order, switch};

/// A command line taken apart.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// One of [`COMMANDS`].
    pub command: String,
    /// What stands behind it; only `nsenter` takes any.
    pub args: Vec<String>,
    /// Go on where Bryo can, see the help.
    pub force: bool,
    /// Say nothing of iptables and the firewall's modules.
    pub skip_iptables: bool,
    /// Findings as JSON.
    pub json: bool,
    /// systemd makes the socket and starts the engine at the first connection.
    pub socket_activation: bool,
    /// Start the engine from the login shell's profile.
    pub login_shell: bool,
    /// Remove the data too.
    pub purge: bool,
    /// Ask nothing.
    pub yes: bool,
}

/// Why there is nothing to run.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// Help was asked for: its text.
    Help(String),
    /// The command line is wrong: what to say.
    Wrong(Vec<String>),
}

const FLAGS: &[Flag] = &[
    switch("force", Some('f'), "Go on in spite of a rootful Docker, and without subordinate ids"),
    switch("skip-iptables", None, "Do not look at iptables and at the firewall's kernel modules"),
    switch("json", None, "check, doctor: print the findings as JSON"),
    switch("socket-activation", None, "install: systemd starts the engine at the first connection"),
    switch("login-shell", None, "install, without systemd: start the engine from ~/.profile"),
    switch("purge", None, "uninstall: remove images, containers and volumes too, after asking"),
    switch("yes", Some('y'), "uninstall --purge: do not ask"),
];

/// Name and help of each command.
const COMMANDS: &[(&str, &str)] = &[
    ("check", "Try what Bryo needs; exit status 1 if something required is missing"),
    ("install", "Make the engine a service of yours, or replace the one that runs by this version"),
    ("uninstall", "Stop the engine and its containers and undo what install did"),
    ("nsenter", "Run a command (or a shell) in the engine's user and mount namespace"),
];

/// Takes the words behind the tool's name apart.
pub fn parse(tool: &str, words: &[String]) -> Result<Options, Stop> {
    let wrong = |e: crate::cli::error::CliError| {
        if e.is_help() {
            return Stop::Help(usage(tool));
        }
        Stop::Wrong(vec![format!("{e}. Run with --help to see the usage.")])
    };
    let first = flags::parse(&[FLAGS], Order::FlagsFirst, words).map_err(wrong)?;
    let Some(command) = first.args.first().cloned() else {
        return Err(Stop::Wrong(vec![format!(
            "No command was specified. Run with --help to see the usage. Maybe you want to run `{tool} install`?"
        )]));
    };
    if !COMMANDS.iter().any(|(name, _)| *name == command) {
        let unknown = format!("Unknown command: {command}. Run with --help to see the usage.");
        return Err(Stop::Wrong(vec![unknown]));
    }
    // What `nsenter` runs has flags of its own; elsewhere they may stand anywhere.
    let parsed = match command.as_str() {
        "nsenter" => first,
        _ => flags::parse(&[FLAGS], Order::Mixed, words).map_err(wrong)?,
    };
    let args = parsed.args.get(1..).unwrap_or_default().to_vec();
    if let Some(word) = args.first().filter(|_| command != "nsenter") {
        return Err(Stop::Wrong(vec![format!(
            "{command} takes no argument, but \"{word}\" was given. Run with --help to see the usage."
        )]));
    }
    Ok(Options {
        force: parsed.is("force"),
        skip_iptables: parsed.is("skip-iptables"),
        json: parsed.is("json"),
        socket_activation: parsed.is("socket-activation"),
        login_shell: parsed.is("login-shell"),
        purge: parsed.is("purge"),
        yes: parsed.is("yes"),
        command,
        args,
    })
}

/// The help.
fn usage(tool: &str) -> String {
    let mut text = format!(
        "Usage: {tool} [OPTIONS] COMMAND\n\n\
         Sets Bryo up for the user who runs it. Nothing here needs root; what does is printed as commands.\n\nOptions:\n"
    );
    for flag in FLAGS.iter().chain([&switch("help", Some('h'), "Print this")]) {
        let short = flag.short.map_or("    ".into(), |letter| format!("-{letter}, "));
        text += &format!("  {short}--{:<20} {}\n", flag.long, flag.help);
    }
    text += "\nCommands:\n";
    for (name, help) in COMMANDS {
        text += &format!("  {name:<12} {help}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Options, Stop> {
        parse("bryo setup", &line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    fn wrong(line: &str) -> String {
        match words(line) {
            Err(Stop::Wrong(lines)) => lines.join("\n"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_stand_before_and_behind_the_command() {
        let options = words("-f check --json").unwrap();
        assert!(options.force && options.json && !options.skip_iptables);
        assert_eq!(options.command, "check");
    }

    #[test]
    fn mistakes_are_named_in_the_tools_words() {
        assert!(wrong("").starts_with(
            "No command was specified. Run with --help to see the usage. Maybe you want to run"
        ));
        assert_eq!(wrong("chekc"), "Unknown command: chekc. Run with --help to see the usage.");
        assert!(wrong("check --nosuch").contains("--nosuch"));
        assert!(wrong("check now").contains("\"now\""));
        assert!(
            matches!(words("check --help"), Err(Stop::Help(text)) if text.contains("--skip-iptables"))
        );
    }
}
