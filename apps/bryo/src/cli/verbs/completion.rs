//! `completion`: scripts for bash, zsh and fish, and what they ask while the user types.
//!
//! The scripts are a few lines: they hand the words so far to `bryo __complete`, which knows every command and flag from the same
//! table as `--help` and asks the daemon for names. A daemon that does not answer gives no names; nothing is ever said.

use std::collections::BTreeSet;

use bryo_spec::docker::{ContainerSummary, ImageSummary, NetworkResource, VolumeList};

use super::super::context::Context;
use super::super::error::{CliError, Result};
use super::super::flags::{self, Flag, Kind, Parsed};
use super::super::help::GROUPS;
use super::{Verb, table};
use crate::contexts::{DEFAULT, Store};

const BASH: &str = r#"_bryo() {
    local IFS=$'\n'
    COMPREPLY=($(PROGRAM __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    [[ ${#COMPREPLY[@]} -gt 0 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
}
complete -o default -F _bryo PROGRAM
"#;

const ZSH: &str = r#"#compdef PROGRAM
_bryo() {
    local -a found
    found=("${(@f)$(PROGRAM __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    compadd -a found || _files
}
compdef _bryo PROGRAM
"#;

const FISH: &str = r#"function __bryo_complete
    set -l words (commandline -opc)
    PROGRAM __complete -- $words[2..] (commandline -ct) 2>/dev/null
end
complete -c PROGRAM -a '(__bryo_complete)'
"#;

/// What an argument names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    Running,
    Containers,
    Images,
    Networks,
    Volumes,
    Contexts,
}

/// Prints a shell's script.
pub async fn completion(context: Context, p: Parsed) -> Result<u8> {
    let script = match p.args.first().map(String::as_str) {
        Some("bash") => BASH,
        Some("zsh") => ZSH,
        Some("fish") => FISH,
        other => {
            return Err(CliError::new(format!(
                "no completion for \"{}\": there is one for bash, zsh and fish",
                other.unwrap_or_default()
            )));
        }
    };
    print!("{}", script.replace("PROGRAM", context.program));
    Ok(0)
}

/// Prints what may stand where the last word stands, a line each.
pub async fn complete(context: Context, p: Parsed) -> Result<u8> {
    let Some((current, before)) = p.args.split_last() else { return Ok(0) };
    let mut found = match candidates(before, current) {
        Found::Words(words) => words,
        Found::Names(kinds) => names(&context, &kinds).await,
    };
    found.retain(|word| word.starts_with(current.as_str()));
    found.into_iter().for_each(|word| println!("{word}"));
    Ok(0)
}

#[derive(Debug, PartialEq)]
enum Found {
    Words(BTreeSet<String>),
    Names(Vec<Names>),
}

fn words(list: impl Iterator<Item = impl Into<String>>) -> Found {
    Found::Words(list.map(Into::into).collect())
}

fn candidates(before: &[String], current: &str) -> Found {
    let Some((verb, rest)) = verb_of(before) else {
        let commands = commands(before);
        return if current.starts_with('-') && before.is_empty() {
            words(super::super::GLOBAL.iter().map(|f| format!("--{}", f.long)))
        } else {
            words(commands.into_iter())
        };
    };
    let flags: Vec<&Flag> = flags::all(verb.flags).collect();
    if let Some(flag) = rest.last().and_then(|word| waiting(word, &flags)) {
        return match flag.long {
            "network" | "net" => Found::Names(vec![Names::Networks]),
            "volumes-from" | "link" => Found::Names(vec![Names::Containers]),
            "volume" => Found::Names(vec![Names::Volumes]),
            "restart" => words(["no", "always", "on-failure", "unless-stopped"].into_iter()),
            "pull" => words(["always", "missing", "never"].into_iter()),
            "type" => words(["container", "image", "network", "volume"].into_iter()),
            _ => words(std::iter::empty::<String>()),
        };
    }
    if current.starts_with('-') {
        return words(flags.iter().filter(|f| !f.help.is_empty()).map(|f| format!("--{}", f.long)));
    }
    let plain = rest.iter().filter(|word| !word.starts_with('-')).count();
    Found::Names(of_verb(verb.names, plain))
}

/// The verb that the words begin with, and the words behind it.
fn verb_of(words: &[String]) -> Option<(Verb, &[String])> {
    super::find(words).map(|(_, verb, rest)| (verb, rest))
}

/// The flag that waits for the next word as its value.
fn waiting<'f>(word: &str, flags: &[&'f Flag]) -> Option<&'f Flag> {
    let flag = match word.strip_prefix("--") {
        Some(long) => flags.iter().find(|f| f.long == long),
        None => {
            let letter = word.strip_prefix('-')?.chars().last();
            flags.iter().find(|f| f.short.is_some() && f.short == letter)
        }
    };
    flag.copied().filter(|f| f.kind != Kind::Bool)
}

fn commands(before: &[String]) -> Vec<&'static str> {
    let all = table().into_iter().filter(|v| !v.about.is_empty());
    let names = all.flat_map(|v| v.names.iter().copied());
    match before {
        [] => {
            let top = names.filter(|n| !n.contains(' '));
            top.chain(GROUPS.iter().map(|(name, _)| *name))
                .chain(["daemon", "doctor", "setup"])
                .collect()
        }
        [group] => {
            names.filter_map(|n| n.strip_prefix(group.as_str())?.strip_prefix(' ')).collect()
        }
        _ => Vec::new(),
    }
}

/// What the argument number `n` of a verb names.
fn of_verb(names: &[&str], n: usize) -> Vec<Names> {
    use Names::{Containers, Contexts, Images, Networks, Running, Volumes};
    match (names.first().copied().unwrap_or_default(), n) {
        ("run" | "create", 0) | ("rmi" | "save" | "image inspect", _) => vec![Images],
        ("tag" | "push" | "pull" | "history" | "images", 0) => vec![Images],
        ("exec" | "attach" | "top" | "port", 0) => vec![Running],
        ("stop" | "kill" | "pause" | "unpause" | "stats", _) => vec![Running],
        ("logs" | "commit" | "diff" | "export" | "rename" | "explain" | "cp", 0) => {
            vec![Containers]
        }
        ("start" | "restart" | "rm" | "wait" | "update" | "container inspect", _) => {
            vec![Containers]
        }
        ("inspect", _) => vec![Containers, Images, Networks, Volumes],
        ("network connect" | "network disconnect", 0) | ("network rm" | "network inspect", _) => {
            vec![Networks]
        }
        ("network connect" | "network disconnect", 1) => vec![Containers],
        ("volume rm" | "volume inspect", _) => vec![Volumes],
        ("context use" | "context update" | "context export", 0) => vec![Contexts],
        ("context rm" | "context inspect", _) => vec![Contexts],
        _ => Vec::new(),
    }
}

async fn names(context: &Context, kinds: &[Names]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for kind in kinds {
        // No daemon, no names: the user goes on typing.
        found.extend(of_kind(context, *kind).await.unwrap_or_default());
    }
    found
}

async fn of_kind(context: &Context, kind: Names) -> Result<Vec<String>> {
    let client = &context.client;
    Ok(match kind {
        Names::Running | Names::Containers => {
            let path =
                if kind == Names::Running { "/containers/json" } else { "/containers/json?all=1" };
            let list: Vec<ContainerSummary> = client.get(path).await?;
            let names = list.into_iter().filter_map(|c| c.names.into_iter().next());
            names.map(|n| n.trim_start_matches('/').to_owned()).collect()
        }
        Names::Images => {
            let list: Vec<ImageSummary> = client.get("/images/json").await?;
            let tags = list.into_iter().flat_map(|i| i.repo_tags.unwrap_or_default());
            tags.flat_map(|tag| {
                let short = tag.strip_suffix(":latest").map(str::to_owned);
                [Some(tag), short].into_iter().flatten()
            })
            .collect()
        }
        Names::Networks => {
            let list: Vec<NetworkResource> = client.get("/networks").await?;
            list.into_iter().map(|n| n.name).collect()
        }
        Names::Volumes => {
            let list: VolumeList = client.get("/volumes").await?;
            list.volumes.into_iter().map(|v| v.name).collect()
        }
        Names::Contexts => {
            let list = Store::new(context.config.path()).list()?;
            list.into_iter().map(|c| c.name).chain([DEFAULT.to_owned()]).collect()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Found {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let (current, before) = words.split_last().unwrap();
        candidates(before, current)
    }

    #[test]
    fn commands_flags_values_and_names_are_offered() {
        let has = |line: &str, word: &str| match found(line) {
            Found::Words(words) => words.contains(word),
            Found::Names(_) => false,
        };
        assert!(has("", "run") && has("", "network") && has("", "setup"));
        assert!(has("network ", "create") && !has("network ", "run"));
        assert!(has("run --", "--publish") && !has("run --", "--cpu-count"));
        assert!(has("run --restart ", "always"));
        assert!(has("--", "--host"));
        assert_eq!(found("run --network "), Found::Names(vec![Names::Networks]));
        assert_eq!(found("exec -it "), Found::Names(vec![Names::Running]));
        assert_eq!(found("run --rm "), Found::Names(vec![Names::Images]));
        assert_eq!(found("run busybox "), Found::Names(vec![]));
        assert_eq!(found("network connect n "), Found::Names(vec![Names::Containers]));
    }
}
