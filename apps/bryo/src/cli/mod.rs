//! The command line: docker's commands, flags, output and exit codes, on the API's other end.
//!
//! [`main`] takes the global flags, finds the verb in [`verbs::table`], takes its flags apart ([`flags`]) and runs it on a
//! [`client`]. Nothing here decides about containers; what is printed comes from the daemon. Called under the name `docker`
//! it says `docker` wherever it names itself.

mod choice;
pub mod client;
mod config;
mod context;
mod dashboard;
mod endpoint;
pub mod error;
pub mod flags;
mod format;
mod help;
mod progress;
mod pull;
mod registry;
mod retar;
mod run;
mod sample;
mod session;
mod stdio;
mod template;
mod terminal;
mod unshare;
mod verbs;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use client::Client;
use config::ConfigDir;
use context::Context;
use error::{CliError, Result};
use flags::{Flag, Order, Parsed, list, switch, value};
use verbs::Verb;

/// Flags before the verb.
const GLOBAL: &[Flag] = &[
    value("config", None, "string", "Location of client config files (default \"~/.docker\")"),
    value(
        "context",
        Some('c'),
        "string",
        "Name of the context to use to connect to the daemon (overrides DOCKER_HOST env var and default context set with \"context use\")",
    ),
    switch("debug", Some('D'), "Enable debug mode"),
    list("host", Some('H'), "Daemon socket to connect to"),
    value(
        "log-level",
        Some('l'),
        "string",
        "Set the logging level (\"debug\", \"info\", \"warn\", \"error\", \"fatal\") (default \"info\")",
    ),
    switch("tls", None, "Use TLS; implied by --tlsverify"),
    value(
        "tlscacert",
        None,
        "string",
        "Trust certs signed only by this CA (default \"~/.docker/ca.pem\")",
    ),
    value(
        "tlscert",
        None,
        "string",
        "Path to TLS certificate file (default \"~/.docker/cert.pem\")",
    ),
    value("tlskey", None, "string", "Path to TLS key file (default \"~/.docker/key.pem\")"),
    switch("tlsverify", None, "Use TLS and verify the remote"),
    switch("version", Some('v'), "Print version information and quit"),
];

/// Runs the command that the arguments (with the program's name in front) ask for.
pub fn main(args: &[OsString]) -> ExitCode {
    let words: Vec<String> = args.iter().map(|a| a.to_string_lossy().into_owned()).collect();
    let program = words.first().map_or("bryo", String::as_str);
    let program = Path::new(program).file_name().map_or("bryo".into(), |n| n.to_string_lossy());
    let program = if program == "docker" { "docker" } else { "bryo" };
    end_with_the_reader();
    match command(program, words.get(1..).unwrap_or_default()) {
        Ok(code) => ExitCode::from(code),
        Err(e) => ExitCode::from(e.code()),
    }
}

/// `bryo ps | head`: when nobody reads any more the command ends as other programs do, by SIGPIPE and without a word. Only
/// standard output is meant: on a connection a closed peer is an error to report.
fn end_with_the_reader() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if stdio::is_output_closed() {
            stdio::end_by_pipe();
        }
        before(panic);
    }));
}

/// Finds and runs the verb; says what is to be said.
fn command(program: &'static str, words: &[String]) -> Result<u8> {
    let global = match flags::parse(&[GLOBAL], Order::FlagsFirst, words) {
        Ok(global) => global,
        Err(e) if e.is_help() => {
            print!("{}", help::all(program, GLOBAL));
            return Ok(0);
        }
        Err(e) => {
            eprintln!(
                "{e}\n\nUsage:  {program} [OPTIONS] COMMAND [ARG...]\n\nRun '{program} --help' for more information"
            );
            return Err(e);
        }
    };
    if global.is("version") {
        println!("{}", verbs::version::short(program));
        return Ok(0);
    }
    if let Some(ended) = (program == "bryo").then(|| unshare::run(&global.args)).flatten() {
        return ended.inspect_err(|e| eprintln!("{e}"));
    }
    let Some((name, verb, rest)) = verbs::find(&global.args) else {
        return no_verb(program, &global.args);
    };
    let parsed = match flags::parse(verb.flags, verb.order, rest)
        .and_then(|p| verb.check(program, name, p))
    {
        Ok(parsed) => parsed,
        Err(e) if e.is_help() => {
            print!("{}", help::verb(program, name, &verb));
            return Ok(0);
        }
        Err(e) => {
            eprintln!("{}", help::complaint(program, name, &verb, &e));
            return Err(e);
        }
    };
    run_verb(program, name, &verb, parsed, &global)
}

fn no_verb(program: &str, args: &[String]) -> Result<u8> {
    let Some(word) = args.first() else {
        print!("{}", help::all(program, GLOBAL));
        return Ok(0);
    };
    if word == "help" {
        return help_on(program, args.get(1..).unwrap_or_default());
    }
    if let Some((name, why)) = verbs::absent::find(args) {
        eprintln!("{program} {name} is not there yet: {why}");
        return Err(CliError::exit(1));
    }
    let Some(text) = help::group(program, word) else {
        eprintln!("{}", help::unknown(program, None, word));
        return Err(CliError::exit(1));
    };
    match args.get(1) {
        None => {
            eprint!("{text}");
            Ok(0)
        }
        Some(flag) if flag == "--help" || flag == "-h" => {
            print!("{text}");
            Ok(0)
        }
        Some(flag) if flag.starts_with('-') => {
            let letters = flag.trim_start_matches('-');
            let what = match (flag.starts_with("--"), letters.chars().next()) {
                (false, Some(letter)) => format!("unknown shorthand flag: '{letter}' in {flag}"),
                _ => format!("unknown flag: {flag}"),
            };
            eprintln!(
                "{what}\n\nUsage:  {program} {word}\n\nRun '{program} {word} --help' for more information"
            );
            Err(CliError::exit(125))
        }
        Some(other) => {
            eprintln!("{}", help::unknown(program, Some(word), other));
            Err(CliError::exit(1))
        }
    }
}

/// `help [COMMAND]`.
fn help_on(program: &str, words: &[String]) -> Result<u8> {
    if let Some((name, verb, _)) = verbs::find(words) {
        print!("{}", help::verb(program, name, &verb));
        return Ok(0);
    }
    let Some(word) = words.first() else {
        print!("{}", help::all(program, GLOBAL));
        return Ok(0);
    };
    match help::group(program, word) {
        Some(text) => {
            print!("{text}");
            Ok(0)
        }
        None => {
            eprintln!("{}", help::unknown(program, None, word));
            Err(CliError::exit(1))
        }
    }
}

fn run_verb(
    program: &'static str,
    name: &str,
    verb: &Verb,
    parsed: Parsed,
    global: &Parsed,
) -> Result<u8> {
    // The commands of contexts must work when the one in use is broken.
    let choose = !name.starts_with("context ");
    let context = context(program, global, choose).inspect_err(|e| eprintln!("{e}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on((verb.run)(context, parsed));
    // A thread may be waiting in a read of the terminal; it must not keep the process.
    runtime.shutdown_background();
    if result.is_err() && stdio::is_output_closed() {
        stdio::end_by_pipe();
    }
    match result {
        Err(e) if e.to_string().is_empty() => Err(e),
        Err(e) if e.is_usage() => {
            eprintln!("{}", help::complaint(program, name, verb, &e));
            Err(e)
        }
        Err(e) if e.is_config() || (verb.names.first() == Some(&"run") && e.code() >= 125) => {
            eprintln!("{program}: {e}\n\nRun '{program} {name} --help' for more information");
            Err(e)
        }
        Err(e) => {
            eprintln!("{e}");
            Err(e)
        }
        Ok(code) => Ok(code),
    }
}

fn context(program: &'static str, global: &Parsed, choose: bool) -> Result<Context> {
    let config = ConfigDir::find(global.get("config"));
    let default_host = choice::default_host(&config, global);
    let (name, host) = if choose {
        let chosen = choice::choose(&config, global)?;
        (chosen.name, chosen.host)
    } else {
        (choice::current(&config, global)?, default_host.clone()?)
    };
    let default_host = default_host.unwrap_or_else(|_| host.clone());
    let version = std::env::var("DOCKER_API_VERSION").unwrap_or_default();
    Ok(Context { client: Client::new(host, &version), config, name, default_host, program })
}
