//! docker's flag grammar.
//!
//! It is Go's pflag, and differs from what argument parsers of this language do: a boolean takes a value only behind `=`
//! (`--rm=false`), short ones are bundled with a value at the end (`-itp80:80`), `run` and `exec` stop at the first word that is
//! no flag, and the complaints have texts and exit codes (125) of their own that scripts know.

use std::collections::BTreeMap;

use super::error::{CliError, Result};

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing, or `=true`/`=false`.
    Bool,
    /// One value; the last one counts.
    Value,
    /// One value each time; all count.
    List,
}

/// One flag.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    /// Without dashes.
    pub long: &'static str,
    /// One letter.
    pub short: Option<char>,
    /// What it takes.
    pub kind: Kind,
    /// The word for its value in help (`string`, `list` …).
    pub value: &'static str,
    /// One line of help; empty: not shown.
    pub help: &'static str,
}

/// A boolean flag.
pub const fn switch(long: &'static str, short: Option<char>, help: &'static str) -> Flag {
    Flag { long, short, kind: Kind::Bool, value: "", help }
}

/// A flag with a value.
pub const fn value(
    long: &'static str,
    short: Option<char>,
    value: &'static str,
    help: &'static str,
) -> Flag {
    Flag { long, short, kind: Kind::Value, value, help }
}

/// A flag that may come several times.
pub const fn list(long: &'static str, short: Option<char>, help: &'static str) -> Flag {
    many(long, short, "list", help)
}

/// A flag that may come several times, with a word of its own for its value.
pub const fn many(
    long: &'static str,
    short: Option<char>,
    value: &'static str,
    help: &'static str,
) -> Flag {
    Flag { long, short, kind: Kind::List, value, help }
}

/// `--format` of lists.
pub const LIST_FORMAT: Flag = value(
    "format",
    None,
    "string",
    "Format output using a custom template:\n\
     'table':            Print output in table format with column headers (default)\n\
     'table TEMPLATE':   Print output in table format using the given Go template\n\
     'json':             Print in JSON format\n\
     'TEMPLATE':         Print output using the given Go template.\n\
     Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates",
);

/// `--format` of what is no list; `short` is `f` where the command has it.
pub const fn plain_format(short: Option<char>) -> Flag {
    value(
        "format",
        short,
        "string",
        "Format output using a custom template:\n\
         'json':             Print in JSON format\n\
         'TEMPLATE':         Print output using the given Go template.\n\
         Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates",
    )
}

/// `--detach-keys`.
pub const DETACH_KEYS: Flag =
    value("detach-keys", None, "string", "Override the key sequence for detaching a container");

/// `--filter` with docker's usual words.
pub const FILTER: Flag =
    many("filter", Some('f'), "filter", "Filter output based on conditions provided");

/// `--platform` of what is stored for several.
pub const fn platform(help: &'static str) -> Flag {
    value("platform", None, "string", help)
}

/// Whether flags may stand behind the first word that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Flags anywhere.
    Mixed,
    /// Flags first; the rest is somebody else's command line.
    FlagsFirst,
}

/// A command line taken apart.
#[derive(Debug, Clone, Default)]
pub struct Parsed {
    values: BTreeMap<&'static str, Vec<String>>,
    /// What is no flag.
    pub args: Vec<String>,
}

impl Parsed {
    /// The last value of a flag.
    pub fn get(&self, long: &str) -> Option<&str> {
        self.values.get(long).and_then(|v| v.last()).map(String::as_str)
    }

    /// The last value, or nothing.
    pub fn text(&self, long: &str) -> String {
        self.get(long).unwrap_or_default().to_owned()
    }

    /// All values.
    pub fn all(&self, long: &str) -> Vec<String> {
        self.values.get(long).cloned().unwrap_or_default()
    }

    /// Whether it was given.
    pub fn has(&self, long: &str) -> bool {
        self.values.contains_key(long)
    }

    /// A switch.
    pub fn is(&self, long: &str) -> bool {
        self.get(long) == Some("true")
    }

    /// A switch that is on by default.
    pub fn is_or(&self, long: &str, default: bool) -> bool {
        self.get(long).map_or(default, |v| v == "true")
    }

    /// A number, with docker's complaint when it is none.
    pub fn number<T: std::str::FromStr>(&self, long: &str) -> Result<Option<T>> {
        self.get(long)
            .map(|text| {
                text.parse().map_err(|_| {
                    CliError::usage(format!(
                        "invalid argument \"{text}\" for \"--{long}\" flag: strconv.ParseInt: \
                         parsing \"{text}\": invalid syntax"
                    ))
                })
            })
            .transpose()
    }
}

/// Takes a command line apart. `--help` and `-h` (where no flag has that letter) end it early with [`CliError::help`].
pub fn parse(flags: &[&[Flag]], order: Order, args: &[String]) -> Result<Parsed> {
    let mut parsed = Parsed::default();
    let mut words = args.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            parsed.args.extend(words.by_ref().cloned());
        } else if let Some(long) = word.strip_prefix("--") {
            parse_long(flags, long, &mut words, &mut parsed)?;
        } else if word.len() > 1 && word.starts_with('-') {
            parse_short(flags, word.trim_start_matches('-'), &mut words, &mut parsed)?;
        } else {
            parsed.args.push(word.clone());
            if order == Order::FlagsFirst {
                parsed.args.extend(words.by_ref().cloned());
            }
        }
    }
    Ok(parsed)
}

type Words<'a> = std::slice::Iter<'a, String>;

fn parse_long(
    flags: &[&[Flag]],
    text: &str,
    words: &mut Words<'_>,
    parsed: &mut Parsed,
) -> Result<()> {
    let (name, attached) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    let Some(flag) = all(flags).find(|f| f.long == name && name != "help") else {
        return Err(match name {
            "help" => CliError::help(),
            _ => CliError::usage(format!("unknown flag: --{name}")),
        });
    };
    let value = match (flag.kind, attached) {
        (Kind::Bool, None) => "true".to_owned(),
        (Kind::Bool, Some(text)) => boolean(&format!("--{name}"), &text)?,
        (_, Some(value)) => value,
        (_, None) => words
            .next()
            .cloned()
            .ok_or_else(|| CliError::usage(format!("flag needs an argument: --{name}")))?,
    };
    store(parsed, flag, value);
    Ok(())
}

fn parse_short(
    flags: &[&[Flag]],
    cluster: &str,
    words: &mut Words<'_>,
    parsed: &mut Parsed,
) -> Result<()> {
    let mut rest = cluster.chars();
    while let Some(letter) = rest.next() {
        let Some(flag) = all(flags).find(|f| f.short == Some(letter)) else {
            return Err(match letter {
                'h' => CliError::help(),
                _ => CliError::usage(format!("unknown shorthand flag: '{letter}' in -{cluster}")),
            });
        };
        let tail = rest.as_str();
        if flag.kind == Kind::Bool {
            let Some(text) = tail.strip_prefix('=') else {
                store(parsed, flag, "true".to_owned());
                continue;
            };
            let value = boolean(&format!("-{letter}, --{}", flag.long), text)?;
            store(parsed, flag, value);
            return Ok(());
        }
        let value = match tail.strip_prefix('=').unwrap_or(tail) {
            "" => words.next().cloned().ok_or_else(|| {
                CliError::usage(format!("flag needs an argument: '{letter}' in -{cluster}"))
            })?,
            attached => attached.to_owned(),
        };
        store(parsed, flag, value);
        return Ok(());
    }
    Ok(())
}

/// The flags of several tables.
pub fn all<'f>(flags: &'f [&'f [Flag]]) -> impl Iterator<Item = &'f Flag> {
    flags.iter().copied().flatten()
}

fn store(parsed: &mut Parsed, flag: &Flag, value: String) {
    parsed.values.entry(flag.long).or_default().push(value);
}

fn boolean(name: &str, text: &str) -> Result<String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok("true".to_owned()),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok("false".to_owned()),
        _ => Err(CliError::usage(format!(
            "invalid argument \"{text}\" for \"{name}\" flag: strconv.ParseBool: parsing \
             \"{text}\": invalid syntax"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] = &[
        switch("rm", None, "r"),
        switch("interactive", Some('i'), "i"),
        switch("tty", Some('t'), "t"),
        list("publish", Some('p'), "p"),
        value("hostname", Some('h'), "string", "h"),
    ];

    fn run(line: &str) -> Result<Parsed> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&[FLAGS], Order::FlagsFirst, &words)
    }

    #[test]
    fn bundles_values_and_the_command_behind_the_image() {
        let p = run("-itp80:80 --rm=false -h=me -p 81:81 busybox -t --rm x").unwrap();
        assert!(p.is("interactive") && p.is("tty") && !p.is("rm"));
        assert_eq!(p.all("publish"), ["80:80", "81:81"]);
        assert_eq!(p.get("hostname"), Some("me"));
        assert_eq!(p.args, ["busybox", "-t", "--rm", "x"]);
        assert_eq!(run("-- -x").unwrap().args, ["-x"]);
        assert_eq!(run("-").unwrap().args, ["-"]);
    }

    #[test]
    fn complaints_are_dockers() {
        let message = |line: &str| run(line).unwrap_err().to_string();
        assert_eq!(message("--nosuchflag busybox"), "unknown flag: --nosuchflag");
        assert_eq!(message("-itx"), "unknown shorthand flag: 'x' in -itx");
        assert_eq!(message("--hostname"), "flag needs an argument: --hostname");
        assert_eq!(message("-p"), "flag needs an argument: 'p' in -p");
        assert!(message("--rm=maybe").contains("strconv.ParseBool"));
    }
}
