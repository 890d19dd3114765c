//! docker's commands that are not there yet: each says so in one line.

/// A group (all its commands) or a command, and why it is missing.
const ABSENT: &[(&str, &[&str], &str)] = &[
    ("builder", &["build", "prune"], BUILD),
    ("image", &["build"], BUILD),
    ("", &["build", "bake", "buildx"], BUILD),
    ("checkpoint", &["create", "ls", "rm"], "the engine cannot write a running container to disk"),
    (
        "manifest",
        &["annotate", "create", "inspect", "push", "rm"],
        "manifest lists cannot be edited; pull and image inspect read them",
    ),
    (
        "plugin",
        &[
            "create", "disable", "enable", "inspect", "install", "ls", "push", "rm", "set",
            "upgrade",
        ],
        "the engine takes no plugins",
    ),
    (
        "trust",
        &["inspect", "key", "revoke", "sign", "signer"],
        "content trust is no part of docker any more either",
    ),
    (
        "swarm",
        &["ca", "init", "join", "join-token", "leave", "unlock", "unlock-key", "update"],
        SWARM,
    ),
    ("node", &["demote", "inspect", "ls", "promote", "ps", "rm", "update"], SWARM),
    (
        "service",
        &["create", "inspect", "logs", "ls", "ps", "rm", "rollback", "scale", "update"],
        SWARM,
    ),
    ("stack", &["config", "deploy", "ls", "ps", "rm", "services"], SWARM),
    ("secret", &["create", "inspect", "ls", "rm"], SWARM),
    ("config", &["create", "inspect", "ls", "rm"], SWARM),
    ("volume", &["update"], "it is for volumes of a swarm, and there is no swarm"),
];

const BUILD: &str = "the engine builds no images; build elsewhere and pull or load the result";
const SWARM: &str = "Bryo is an engine for one machine and has no swarm";

/// The reason why the command these words begin with is missing: its name and why.
pub fn find(words: &[String]) -> Option<(String, &'static str)> {
    let first = words.first()?;
    let second = words.get(1).map(String::as_str).unwrap_or_default();
    ABSENT.iter().find_map(|(group, commands, why)| match *group {
        "" => commands.contains(&first.as_str()).then(|| (first.clone(), *why)),
        group if group == first && commands.contains(&second) => {
            Some((format!("{group} {second}"), *why))
        }
        _ => None,
    })
}

/// Missing commands of a group.
pub fn of_group(group: &str) -> Vec<&'static str> {
    let mine = ABSENT.iter().filter(|(name, ..)| *name == group);
    mine.flat_map(|(_, commands, _)| commands.iter().copied()).collect()
}

/// What is missing, for the first page of help.
pub fn summary() -> String {
    "build and builder, checkpoint, manifest, plugin, trust, and swarm with its node, service, stack, secret, config"
        .to_owned()
}
