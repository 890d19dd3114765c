//! `attach`, and `start`, which may attach.

use bryo_spec::docker::ContainerInspect;

use super::super::client::{query, segment};
use super::super::context::Context;
use super::super::error::{CliError, Result};
use super::super::flags::{DETACH_KEYS, Flag, Parsed, switch, value};
use super::super::run::{Attach, Attached, Wait, attached};
use super::super::session::{self, Subject};
use super::super::terminal;

/// Flags of `attach`.
pub const FLAGS: &[Flag] = &[
    DETACH_KEYS,
    switch("no-stdin", None, "Do not attach STDIN"),
    switch("sig-proxy", None, "Proxy all received signals to the process (default true)"),
];

/// Flags of `start`.
pub const START_FLAGS: &[Flag] = &[
    switch("attach", Some('a'), "Attach STDOUT/STDERR and forward signals"),
    value("checkpoint", None, "string", ""),
    value("checkpoint-dir", None, "string", ""),
    DETACH_KEYS,
    switch("interactive", Some('i'), "Attach container's STDIN"),
];

/// Connects to a container that runs.
pub async fn attach(context: Context, p: Parsed) -> Result<u8> {
    let name = p.args.first().cloned().unwrap_or_default();
    let client = &context.client;
    let container = inspect(&context, &name).await?;
    if !container.state.running {
        return Err(CliError::new("You cannot attach to a stopped container, start it first"));
    }
    if container.state.paused {
        return Err(CliError::new("You cannot attach to a paused container, unpause it first"));
    }
    let tty = container.config.tty;
    let input = container.config.open_stdin && !p.is("no-stdin");
    if tty && input && !terminal::stdin_is_terminal() {
        return Err(CliError::new("the input device is not a TTY"));
    }
    let mut pairs = vec![("stream", "1"), ("stdout", "1"), ("stderr", "1")];
    if input {
        pairs.push(("stdin", "1"));
    }
    let mut pairs: Vec<(&str, String)> =
        pairs.into_iter().map(|(k, v)| (k, v.to_owned())).collect();
    if let Some(keys) = p.get("detach-keys") {
        pairs.push(("detachKeys", keys.to_owned()));
    }
    let path = format!("/containers/{}/attach{}", segment(&container.id), query(&pairs));
    let mut wait = Wait::register(&context, &container.id, "not-running").await?;
    let mut session = client.upgrade::<()>(&path, None).await?;
    if tty {
        session.set_raw();
    }
    let raw = (tty && input).then(terminal::Raw::enter).flatten();
    let mut side = tokio::task::JoinSet::new();
    if tty && terminal::stdout_is_terminal() {
        side.spawn(session::follow_size(client.clone(), Subject::Container(container.id.clone())));
    }
    if p.is_or("sig-proxy", true) && !tty {
        side.spawn(session::forward_signals(client.clone(), container.id.clone()));
    }
    session::run(session, input).await?;
    drop(raw);
    match inspect(&context, &container.id).await {
        // Left by the detach keys, unless its end is only not known yet: the stream ends with the program, a moment before.
        Ok(now) if now.state.running && !wait.ends_soon().await => Ok(0),
        _ => wait.code().await,
    }
}

/// Starts containers; with `-a` or `-i` one, and stays with it.
pub async fn start(context: Context, p: Parsed) -> Result<u8> {
    if p.has("checkpoint") || p.has("checkpoint-dir") {
        return Err(CliError::new(
            "starting from a checkpoint is not there yet: the engine cannot write a running container to disk",
        ));
    }
    if !(p.is("attach") || p.is("interactive")) {
        return start_each(&context, &p.args).await;
    }
    let [name] = p.args.as_slice() else {
        return Err(CliError::new("you cannot start and attach multiple containers at once"));
    };
    let container = inspect(&context, name).await?;
    let how = Attached {
        attach: Attach {
            stdin: p.is("interactive") && container.config.open_stdin,
            stdout: true,
            stderr: true,
        },
        tty: container.config.tty,
        condition: if container.host_config.auto_remove { "removed" } else { "next-exit" },
        detach_keys: p.text("detach-keys"),
        signals: !container.config.tty,
    };
    attached(&context, &container.id, &how).await
}

async fn start_each(context: &Context, names: &[String]) -> Result<u8> {
    let mut failed = Vec::new();
    for name in names {
        match context.client.post(&format!("/containers/{}/start", segment(name))).await {
            Ok(_) => println!("{name}"),
            Err(e) => {
                eprintln!("{e}");
                failed.push(name.as_str());
            }
        }
    }
    if failed.is_empty() {
        return Ok(0);
    }
    Err(CliError::new(format!("Error: failed to start containers: {}", failed.join(", "))))
}

/// A container.
pub async fn inspect(context: &Context, name: &str) -> Result<ContainerInspect> {
    context.client.get(&format!("/containers/{}/json", segment(name))).await
}
