//! The command line of `bryo daemon`, turned into the same keys and shapes as daemon.json.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value, json};

use super::options::{Kind, OPTIONS, Opt};

/// What the command line said.
#[derive(Debug, Default)]
pub struct Flags {
    /// Options, by their key in daemon.json.
    pub values: Map<String, Value>,
    /// `--config-file`.
    pub config_file: Option<PathBuf>,
    /// `--validate`.
    pub validate: bool,
}

/// Parses the arguments after `daemon`; the error prints itself (also for --help).
pub fn parse(args: &[OsString]) -> Result<Flags, clap::Error> {
    let mut command = command();
    let name = [OsString::from("bryo daemon")];
    let matches = command.try_get_matches_from_mut(name.iter().chain(args))?;
    let mut flags = Flags {
        config_file: matches.get_one::<String>("config-file").map(PathBuf::from),
        validate: matches.get_flag("validate"),
        ..Flags::default()
    };
    for option in OPTIONS.iter().filter(|o| has_flag(o)) {
        let value = value(option, &matches)
            .map_err(|e| command.error(clap::error::ErrorKind::ValueValidation, e))?;
        if let Some(value) = value {
            flags.values.insert(option.key.into(), value);
        }
    }
    Ok(flags)
}

fn has_flag(option: &Opt) -> bool {
    !option.flag.is_empty() && option.kind != Kind::Any
}

fn command() -> Command {
    let mut command = Command::new("bryo daemon")
        .about("The container engine: serves the Docker Engine API as an ordinary user")
        .arg(Arg::new("config-file").long("config-file").value_name("FILE").help(
            "Configuration (default ~/.config/bryo/daemon.json, else ~/.config/docker/daemon.json)",
        ))
        .arg(
            Arg::new("validate")
                .long("validate")
                .action(ArgAction::SetTrue)
                .help("Check the configuration and exit"),
        );
    for option in OPTIONS.iter().filter(|o| has_flag(o)) {
        command = command.arg(argument(option));
    }
    command
}

fn argument(option: &'static Opt) -> Arg {
    let mut arg = Arg::new(option.key).long(option.flag).help(option.help).hide(!option.works);
    if let Some(letter) = option.short {
        arg = arg.short(letter);
    }
    match option.kind {
        // As Go's flags: `--debug` or `--debug=false`, never `--debug false`.
        Kind::Bool => arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_parser(clap::builder::BoolishValueParser::new())
            .value_name("BOOL"),
        Kind::Number => arg.value_parser(clap::value_parser!(i64)).value_name("N"),
        Kind::Text | Kind::Bytes | Kind::Any => arg.value_name("VALUE"),
        Kind::List | Kind::Pairs | Kind::Ulimits | Kind::Runtimes | Kind::Pools => {
            arg.action(ArgAction::Append).value_name("VALUE")
        }
    }
}

/// The option's value in the file's shape; none: not given.
fn value(option: &Opt, matches: &ArgMatches) -> Result<Option<Value>, String> {
    if !matches.contains_id(option.key) {
        return Ok(None);
    }
    let text = || matches.get_one::<String>(option.key).map(|s| json!(s));
    let list = || matches.get_many::<String>(option.key).into_iter().flatten();
    let bad = |text: &str, form: &str| format!("--{} {text}: {form} is expected", option.flag);
    Ok(match option.kind {
        Kind::Text | Kind::Bytes | Kind::Any => text(),
        Kind::Bool => matches.get_one::<bool>(option.key).map(|b| json!(b)),
        Kind::Number => matches.get_one::<i64>(option.key).map(|n| json!(n)),
        Kind::List => Some(list().cloned().collect::<Vec<_>>().into()),
        Kind::Pairs => object(list(), |text| {
            let (key, value) = text.split_once('=').ok_or_else(|| bad(text, "key=value"))?;
            Ok((key.to_owned(), json!(value)))
        })?,
        Kind::Runtimes => object(list(), |text| {
            let (name, path) = text.split_once('=').ok_or_else(|| bad(text, "name=path"))?;
            Ok((name.to_owned(), json!({ "path": path })))
        })?,
        Kind::Ulimits => object(list(), |text| {
            let form = "name=soft[:hard]";
            let (name, limits) = text.split_once('=').ok_or_else(|| bad(text, form))?;
            let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
            let number = |n: &str| n.parse::<i64>().map_err(|_| bad(text, form));
            let limit = json!({ "Name": name, "Soft": number(soft)?, "Hard": number(hard)? });
            Ok((name.to_owned(), limit))
        })?,
        Kind::Pools => Some(Value::Array(
            list()
                .map(|text| pool(text).ok_or_else(|| bad(text, "base=CIDR,size=N")))
                .collect::<Result<_, _>>()?,
        )),
    })
}

fn object<'a>(
    texts: impl Iterator<Item = &'a String>,
    entry: impl Fn(&str) -> Result<(String, Value), String>,
) -> Result<Option<Value>, String> {
    let map = texts.map(|t| entry(t)).collect::<Result<Map<_, _>, _>>()?;
    Ok(Some(Value::Object(map)))
}

fn pool(text: &str) -> Option<Value> {
    let mut base = None;
    let mut size = None;
    for part in text.split(',') {
        match part.split_once('=')? {
            ("base", value) => base = Some(value),
            ("size", value) => size = Some(value.parse::<u8>().ok()?),
            _ => return None,
        }
    }
    Some(json!({ "base": base?, "size": size? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(args: &[&str]) -> Map<String, Value> {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        parse(&args).unwrap().values
    }

    #[test]
    fn flags_take_the_shapes_of_the_file() {
        let v = values(&[
            "-H",
            "unix:///a",
            "--host=tcp://127.0.0.1:1",
            "-D",
            "--init=false",
            "--log-opt",
            "max-size=1m",
            "--default-ulimit",
            "nofile=1:2",
            "--add-runtime",
            "runc=/usr/bin/runc",
            "--default-address-pool",
            "base=10.0.0.0/8,size=24",
            "--mtu",
            "1500",
        ]);
        assert_eq!(v["hosts"], json!(["unix:///a", "tcp://127.0.0.1:1"]));
        assert_eq!((&v["debug"], &v["init"]), (&json!(true), &json!(false)));
        assert_eq!(v["log-opts"], json!({"max-size": "1m"}));
        assert_eq!(v["default-ulimits"]["nofile"]["Hard"], json!(2));
        assert_eq!(v["runtimes"]["runc"]["path"], json!("/usr/bin/runc"));
        assert_eq!(v["default-address-pools"], json!([{"base": "10.0.0.0/8", "size": 24}]));
        assert_eq!(v["mtu"], json!(1500));
        assert_eq!(v.len(), 8);
    }

    #[test]
    fn a_bad_value_names_its_flag() {
        let args: Vec<OsString> = vec!["--default-ulimit".into(), "nofile".into()];
        let e = parse(&args).unwrap_err().to_string();
        assert!(e.contains("--default-ulimit nofile: name=soft[:hard] is expected"), "{e}");
        assert!(parse(&["--no-such-flag".into()]).is_err());
    }
}
