//! Verbs that do one thing to each of several containers.

use bryo_spec::docker::WaitResponse;

use super::super::client::{Client, query, segment};
use super::super::context::Context;
use super::super::error::{CliError, Result};
use super::super::flags::{Flag, Parsed, switch, value};
use super::{for_each, switches};

/// Flags of `stop` and `restart`.
pub const STOP: &[Flag] = &[
    value("signal", Some('s'), "string", "Signal to send to the container"),
    value("time", None, "int", ""),
    value("timeout", Some('t'), "int", "Seconds to wait before killing the container"),
];

/// Flags of `kill`.
pub const KILL: &[Flag] =
    &[value("signal", Some('s'), "string", "Signal to send to the container")];

/// Flags of `rm`.
pub const RM: &[Flag] = &[
    switch("force", Some('f'), "Force the removal of a running container (uses SIGKILL)"),
    switch("link", Some('l'), "Remove the specified link"),
    switch("volumes", Some('v'), "Remove anonymous volumes associated with the container"),
];

/// Stops.
pub async fn stop(context: Context, p: Parsed) -> Result<u8> {
    let query = stop_query(&p);
    post_each(&context.client, &p.args, "stop", &query).await
}

/// Stops and starts.
pub async fn restart(context: Context, p: Parsed) -> Result<u8> {
    let query = stop_query(&p);
    post_each(&context.client, &p.args, "restart", &query).await
}

fn stop_query(p: &Parsed) -> String {
    let mut pairs = Vec::new();
    if let Some(signal) = p.get("signal") {
        pairs.push(("signal", signal.to_owned()));
    }
    if let Some(seconds) = p.get("timeout").or(p.get("time")) {
        pairs.push(("t", seconds.to_owned()));
    }
    query(&pairs)
}

/// Sends a signal.
pub async fn kill(context: Context, p: Parsed) -> Result<u8> {
    let pairs: Vec<_> = p.get("signal").map(|s| ("signal", s.to_owned())).into_iter().collect();
    post_each(&context.client, &p.args, "kill", &query(&pairs)).await
}

/// Freezes.
pub async fn pause(context: Context, p: Parsed) -> Result<u8> {
    post_each(&context.client, &p.args, "pause", "").await
}

/// Thaws.
pub async fn unpause(context: Context, p: Parsed) -> Result<u8> {
    post_each(&context.client, &p.args, "unpause", "").await
}

async fn post_each(client: &Client, names: &[String], verb: &str, query: &str) -> Result<u8> {
    for_each(names, |name| {
        let path = format!("/containers/{}/{verb}{query}", segment(&name));
        async move { client.post(&path).await.map(drop) }
    })
    .await
}

/// Waits for each and prints its exit code.
pub async fn wait(context: Context, p: Parsed) -> Result<u8> {
    let mut code = 0;
    for name in &p.args {
        let path = format!("/containers/{}/wait", segment(name));
        match context.client.post_for::<WaitResponse>(&path).await {
            Ok(end) => println!("{}", end.status_code),
            Err(e) => {
                eprintln!("{e}");
                code = 1;
            }
        }
    }
    Ok(code)
}

/// Gives another name.
pub async fn rename(context: Context, p: Parsed) -> Result<u8> {
    if let [old, new] = p.args.as_slice() {
        let query = query(&[("name", new.trim_start_matches('/').to_owned())]);
        let renamed =
            context.client.post(&format!("/containers/{}/rename{query}", segment(old))).await;
        renamed.map_err(|e| {
            CliError::new(format!("{e}\nError: failed to rename container named {old}"))
        })?;
    }
    Ok(0)
}

/// Removes; with `--force` one that is not there is no failure.
pub async fn rm(context: Context, p: Parsed) -> Result<u8> {
    let query = switches(&p, &[("force", "force"), ("v", "volumes"), ("link", "link")]);
    let mut code = 0;
    for name in &p.args {
        let name = name.trim_matches('/');
        match context.client.delete(&format!("/containers/{}{query}", segment(name))).await {
            Ok(_) => println!("{name}"),
            Err(e) => {
                eprintln!("{e}");
                if !(p.is("force") && e.status() == Some(404)) {
                    code = 1;
                }
            }
        }
    }
    Ok(code)
}
