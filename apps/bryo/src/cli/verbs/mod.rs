//! The verbs: one file each, or one for a few that differ in a word.

pub mod absent;
mod attach;
pub mod completion;
mod container;
mod context;
mod cp;
mod df;
mod events;
mod exec;
mod explain;
mod history;
mod images;
mod info;
mod inspect;
mod lifecycle;
mod login;
mod logs;
mod network;
mod ps;
mod stats;
mod system;
mod table;
mod transfer;
pub mod version;
mod volume;

use std::future::Future;
use std::pin::Pin;

use super::client::query;
use super::context::Context;
use super::error::{CliError, Result};
use super::flags::{Flag, Order, Parsed};

pub use table::table;

/// What a verb comes to.
pub type Outcome = Pin<Box<dyn Future<Output = Result<u8>>>>;

/// A verb.
pub struct Verb {
    /// All its names (`ps`, `container ls` …), the usual one first.
    pub names: &'static [&'static str],
    /// What stands behind the name in its usage line; `{}` is the command as called.
    pub usage: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Its flags.
    pub flags: &'static [&'static [Flag]],
    /// Where flags may stand.
    pub order: Order,
    /// How many arguments it takes: at least, at most.
    pub args: (usize, usize),
    /// Does it.
    pub run: fn(Context, Parsed) -> Outcome,
}

impl Verb {
    /// Checks the number of arguments.
    pub fn check(&self, program: &str, name: &str, parsed: Parsed) -> Result<Parsed> {
        let (least, most) = self.args;
        let count = parsed.args.len();
        // docker's `top` wants a container; ours without one is the dashboard.
        if count == 0 && program == "bryo" && self.names.contains(&"top") {
            return Ok(parsed);
        }
        if (least..=most).contains(&count) {
            return Ok(parsed);
        }
        let plural = |n: usize| if n == 1 { "" } else { "s" };
        let wanted = match (least, most) {
            (0, 0) => "accepts no arguments".to_owned(),
            (a, b) if a == b => format!("requires {a} argument{}", plural(a)),
            (a, usize::MAX) => format!("requires at least {a} argument{}", plural(a)),
            (_, b) if count > b => format!("requires at most {b} argument{}", plural(b)),
            (a, _) => format!("requires at least {a} argument{}", plural(a)),
        };
        Err(CliError::usage(format!("{program}: '{program} {name}' {wanted}")).with_code(1))
    }
}

/// Finds the verb of a command line: its name as called, itself, and what is behind.
pub fn find(words: &[String]) -> Option<(&'static str, Verb, &[String])> {
    let two = words.get(..2).map(|w| w.join(" "));
    let one = words.first().cloned();
    for (name, used) in [(two, 2), (one, 1)] {
        let Some(name) = name else { continue };
        let found = table().into_iter().find_map(|verb| {
            let known = verb.names.iter().find(|n| **n == name).copied()?;
            Some((known, verb))
        });
        if let Some((known, verb)) = found {
            return Some((known, verb, words.get(used..).unwrap_or_default()));
        }
    }
    None
}

/// Does something for each argument, printing each that went well; the first failure's code is the end's.
pub async fn for_each<F, Fut>(args: &[String], mut each: F) -> Result<u8>
where
    F: FnMut(String) -> Fut,
    Fut: Future<Output = Result<()>>,
{
    let mut code = 0;
    for arg in args {
        match each(arg.clone()).await {
            Ok(()) => println!("{arg}"),
            // Nothing was there to do, and nothing is to be said.
            Err(e) if e.code() == 0 => {}
            Err(e) => {
                eprintln!("{e}");
                code = e.code().max(1);
            }
        }
    }
    Ok(code)
}

/// Asks before something is lost; `--force` answers.
pub fn confirm(force: bool, warning: &str) -> Result<bool> {
    use std::io::{BufRead, Write};
    if force {
        return Ok(true);
    }
    print!("{warning}\nAre you sure you want to continue? [y/N] ");
    std::io::stdout().flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y"))
}

/// The query of a call whose parameters are switches: of each `(parameter, flag)` that is set, `parameter=1`.
fn switches(p: &Parsed, flags: &[(&str, &str)]) -> String {
    let set = flags.iter().filter(|(_, flag)| p.is(flag));
    let pairs: Vec<_> = set.map(|(name, _)| (*name, "1".to_owned())).collect();
    query(&pairs)
}
