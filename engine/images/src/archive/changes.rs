//! Dockerfile lines that change a configuration: `--change` of import and commit.

use crate::error::{Error, ErrorKind, Result};
use crate::image::{HealthCheck, ImageConfig};

/// Applies lines in order.
pub(crate) fn apply(config: &mut ImageConfig, lines: &[String]) -> Result<()> {
    // One `changes` value may hold several lines.
    for line in lines.iter().flat_map(|l| l.lines()).map(str::trim).filter(|l| !l.is_empty()) {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        if rest.is_empty() {
            return Err(invalid(format!("{} requires at least one argument", word.to_uppercase())));
        }
        one(config, &word.to_uppercase(), rest)?;
    }
    Ok(())
}

fn one(config: &mut ImageConfig, word: &str, rest: &str) -> Result<()> {
    match word {
        "CMD" => config.cmd = Some(command(config, rest)),
        "ENTRYPOINT" => {
            config.entrypoint = Some(command(config, rest));
        }
        "ENV" => {
            for (key, value) in pairs(rest)? {
                config.env.retain(|e| e.split('=').next() != Some(&key));
                config.env.push(format!("{key}={value}"));
            }
        }
        "LABEL" => config.labels.extend(pairs(rest)?),
        "EXPOSE" => {
            for port in rest.split_whitespace() {
                let port = if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") };
                add(&mut config.exposed_ports, check_port(port)?);
            }
        }
        "VOLUME" => {
            let paths = json_list(rest)
                .unwrap_or_else(|| rest.split_whitespace().map(str::to_owned).collect());
            paths.into_iter().for_each(|path| add(&mut config.volumes, path));
        }
        "WORKDIR" => {
            config.working_dir = if rest.starts_with('/') {
                rest.to_owned()
            } else {
                format!("{}/{rest}", config.working_dir.trim_end_matches('/'))
            };
        }
        "USER" => config.user = rest.to_owned(),
        "STOPSIGNAL" => config.stop_signal = Some(rest.to_owned()),
        "SHELL" => {
            let shell = json_list(rest).filter(|l| !l.is_empty());
            config.shell = Some(
                shell.ok_or_else(|| invalid("SHELL requires the arguments to be in JSON form"))?,
            );
        }
        "ONBUILD" => config.on_build.push(rest.to_owned()),
        "HEALTHCHECK" => config.healthcheck = Some(health_check(rest)?),
        _ => return Err(invalid(format!("{word} is not a valid change command"))),
    }
    Ok(())
}

/// The JSON form, or a line for the shell.
fn command(config: &ImageConfig, rest: &str) -> Vec<String> {
    json_list(rest).unwrap_or_else(|| {
        let shell = config.shell.clone();
        let mut words = shell.unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
        words.push(rest.to_owned());
        words
    })
}

fn json_list(text: &str) -> Option<Vec<String>> {
    text.starts_with('[').then(|| serde_json::from_str(text).ok()).flatten()
}

/// `A=1 B="two words"`, or the old `A the rest of the line`.
fn pairs(text: &str) -> Result<Vec<(String, String)>> {
    let words = words(text)?;
    if !words.first().is_some_and(|w| w.contains('=')) {
        let (key, value) = text
            .split_once(char::is_whitespace)
            .ok_or_else(|| invalid(format!("{text} must have a value (KEY=VALUE)")))?;
        return Ok(vec![(key.to_owned(), value.trim().to_owned())]);
    }
    words
        .into_iter()
        .map(|word| match word.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(invalid(format!(
                "syntax error - can't find = in {word:?}. Must be of the form: name=value"
            ))),
        })
        .collect()
}

/// Words with quotes and backslashes taken away.
fn words(text: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => {
                word.get_or_insert_default().extend(chars.next());
            }
            (c, Some(q)) if c == q => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(invalid(format!(
            "unexpected end of statement while looking for a matching quote in {text:?}"
        )));
    }
    words.extend(word);
    Ok(words)
}

fn add(list: &mut Vec<String>, item: String) {
    if !list.contains(&item) {
        list.push(item);
    }
}

fn check_port(port: String) -> Result<String> {
    let (number, protocol) = port.split_once('/').unwrap_or((&port, "tcp"));
    let mut numbers = number.splitn(2, '-');
    if numbers.all(|n| n.parse::<u16>().is_ok()) && ["tcp", "udp", "sctp"].contains(&protocol) {
        return Ok(port);
    }
    Err(invalid(format!("invalid containerPort: {port}")))
}

/// `[--interval=…] CMD …` or `NONE`.
fn health_check(text: &str) -> Result<HealthCheck> {
    let mut check = HealthCheck::default();
    let mut rest = text;
    while let Some(option) = rest.strip_prefix("--") {
        let (option, after) = option.split_once(char::is_whitespace).unwrap_or((option, ""));
        let (name, value) = option
            .split_once('=')
            .ok_or_else(|| invalid(format!("flag --{option} of HEALTHCHECK needs a value")))?;
        match name {
            "retries" => {
                check.retries = value
                    .parse()
                    .map_err(|_| invalid(format!("--retries: {value:?} is not a number")))?;
            }
            "interval" => check.interval = duration(value)?,
            "timeout" => check.timeout = duration(value)?,
            "start-period" => check.start_period = duration(value)?,
            "start-interval" => check.start_interval = duration(value)?,
            _ => return Err(invalid(format!("unknown flag: {name}"))),
        }
        rest = after.trim_start();
    }
    let (word, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    check.test = match (word.to_uppercase().as_str(), command.trim()) {
        ("NONE", "") => vec!["NONE".to_owned()],
        ("CMD", command) if !command.is_empty() => match json_list(command) {
            Some(list) => [vec!["CMD".to_owned()], list].concat(),
            None => vec!["CMD-SHELL".to_owned(), command.to_owned()],
        },
        _ => {
            return Err(invalid(format!("unknown type {word:?} of HEALTHCHECK (try CMD or NONE)")));
        }
    };
    Ok(check)
}

/// Go's durations, in nanoseconds: `1h30m`, `1.5s`, `200ms`.
fn duration(text: &str) -> Result<i64> {
    let bad = || invalid(format!("time: invalid duration {text:?}"));
    let mut rest = text;
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let (number, unit) = rest.split_at(end);
        let end = unit.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(unit.len());
        let (unit, after) = unit.split_at(end);
        let factor = match unit {
            "h" => 3600e9,
            "m" => 60e9,
            "s" => 1e9,
            "ms" => 1e6,
            "us" | "µs" => 1e3,
            "ns" => 1.0,
            _ => return Err(bad()),
        };
        total += number.parse::<f64>().map_err(|_| bad())? * factor;
        rest = after;
    }
    if text.is_empty() || total > 9e18 {
        return Err(bad());
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "bounded just above; a fraction of a nanosecond may go"
    )]
    Ok(total as i64)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(lines: &[&str]) -> ImageConfig {
        let mut config = ImageConfig::default();
        let lines: Vec<String> = lines.iter().map(|l| (*l).to_owned()).collect();
        apply(&mut config, &lines).unwrap();
        config
    }

    #[test]
    fn lines_become_settings() {
        let config = applied(&[
            "ENV A=1 B=\"two words\"",
            "env A=3",
            "CMD [\"sh\", \"-c\", \"x\"]",
            "ENTRYPOINT run it",
            "EXPOSE 80 53/udp",
            "LABEL a=b c='d e'",
            "WORKDIR /srv\nUSER 1:2",
            "VOLUME /data",
            "STOPSIGNAL SIGQUIT",
            "HEALTHCHECK --interval=1m30s --retries=2 CMD curl localhost",
        ]);
        assert_eq!(config.env, ["B=two words", "A=3"]);
        assert_eq!(config.cmd.unwrap(), ["sh", "-c", "x"]);
        assert_eq!(config.entrypoint.unwrap(), ["/bin/sh", "-c", "run it"]);
        assert_eq!(config.exposed_ports, ["80/tcp", "53/udp"]);
        assert_eq!(config.labels["c"], "d e");
        assert_eq!((config.working_dir.as_str(), config.user.as_str()), ("/srv", "1:2"));
        let check = config.healthcheck.unwrap();
        assert_eq!((check.interval, check.retries), (90_000_000_000, 2));
        assert_eq!(check.test, ["CMD-SHELL", "curl localhost"]);
    }

    #[test]
    fn wrong_lines_are_refused() {
        for line in ["FROM x", "ENV", "EXPOSE 99999", "ENV A=\"x", "HEALTHCHECK CMD", "SHELL x"] {
            let refusal = apply(&mut ImageConfig::default(), &[line.to_owned()]);
            assert!(refusal.is_err(), "{line}");
        }
    }
}
