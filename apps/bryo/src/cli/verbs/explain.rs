//! `explain`: why a container is not running, what was refused, and what to change.
//!
//! Everything said is read from the daemon: the container's state and settings, its health checks and the end of its log.

use bryo_spec::docker::{ContainerInspect, ContainerSummary};
use serde_json::Value;

use super::super::client::segment;
use super::super::context::Context;
use super::super::error::{CliError, Result};
use super::super::flags::Parsed;

/// Lines of the log that are shown.
const LOG_LINES: usize = 5;

/// Tells it.
pub async fn explain(context: Context, p: Parsed) -> Result<u8> {
    let name = match p.args.first().map_or("last", String::as_str) {
        "last" => last(&context).await?,
        name => name.to_owned(),
    };
    let raw: Value = context.client.get(&format!("/containers/{}/json", segment(&name))).await?;
    let container: ContainerInspect =
        serde_json::from_value(raw.clone()).map_err(|e| CliError::new(e.to_string()))?;
    println!("{} ({})", container.name.trim_start_matches('/'), container.config.image);
    let (what, advice) = reason(&container, &raw, context.program);
    println!("  what happened   {}", indented(&what));
    if let Some(health) = health(&raw) {
        println!("  health          {}", indented(&health));
    }
    let said = log(&context, &container).await;
    if !said.is_empty() {
        println!("  last words      {}", indented(&said));
    }
    if !advice.is_empty() {
        println!("  what to change  {}", indented(&advice));
    }
    Ok(0)
}

fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n                  ")
}

async fn last(context: &Context) -> Result<String> {
    let list: Vec<ContainerSummary> = context.client.get("/containers/json?all=1&limit=1").await?;
    let newest = list.into_iter().next();
    newest.map(|c| c.id).ok_or_else(|| CliError::new("there is no container to explain"))
}

/// What happened, and what may be done about it.
fn reason(c: &ContainerInspect, raw: &Value, program: &str) -> (String, String) {
    let name = c.name.trim_start_matches('/');
    let error = raw.pointer("/State/Error").and_then(Value::as_str).unwrap_or_default();
    let when = raw.pointer("/State/FinishedAt").and_then(Value::as_str).unwrap_or_default();
    let killed = raw.pointer("/State/OOMKilled").and_then(Value::as_bool).unwrap_or_default();
    match c.state.status.as_str() {
        "running" => return ("it is running.".to_owned(), String::new()),
        "paused" => return ("it is frozen.".to_owned(), format!("{program} unpause {name}")),
        "restarting" => {
            let (what, advice) = ended(c.state.exit_code, program, name);
            return (
                format!("it ends again and again and is restarted; the last time {what}"),
                advice,
            );
        }
        _ => {}
    }
    if !error.is_empty() {
        return (format!("it was refused: {error}"), refused(error));
    }
    if c.state.status == "created" {
        return ("it was made and never started.".to_owned(), format!("{program} start {name}"));
    }
    if killed {
        let memory = raw.pointer("/HostConfig/Memory").and_then(Value::as_u64).unwrap_or_default();
        let limit = match memory {
            0 => "what the host has".to_owned(),
            bytes => bryo_spec::docker::units::binary_size(bytes),
        };
        return (
            format!("it wanted more memory than {limit} and was killed at {when}."),
            format!(
                "give it more: {program} update --memory SIZE {name} && {program} start {name}"
            ),
        );
    }
    let (what, advice) = ended(c.state.exit_code, program, name);
    (format!("{what} That was at {when}."), advice)
}

/// What an exit code tells.
fn ended(code: i32, program: &str, name: &str) -> (String, String) {
    let again = format!("{program} start -a {name} shows what it says");
    let signal = |n: i32| match n {
        4 => "SIGILL: an instruction this processor does not have",
        6 => "SIGABRT: it gave up by itself",
        7 => "SIGBUS: memory that is not there",
        8 => "SIGFPE: an impossible calculation",
        9 => "SIGKILL: somebody killed it, or stopped it and it did not end in time",
        11 => "SIGSEGV: it touched memory that is not its own",
        15 => "SIGTERM: it was asked to stop",
        31 => "SIGSYS: it made a system call that its seccomp profile forbids",
        _ => "",
    };
    match code {
        0 => (
            "its program ended by itself, without an error (exit code 0).".to_owned(),
            format!("a container lives as long as its program; give it one that stays, or {again}"),
        ),
        125 => ("the engine could not run it (exit code 125).".to_owned(), again),
        126 => (
            "its program is there and cannot be run (exit code 126).".to_owned(),
            "make it executable, and built for this machine's processor".to_owned(),
        ),
        127 => (
            "its program is not in the image (exit code 127).".to_owned(),
            "check its name, the image's PATH and the library it is linked with".to_owned(),
        ),
        code if code > 128 && !signal(code - 128).is_empty() => {
            let advice = match code - 128 {
                9 | 15 => format!(
                    "{program} events --since 1h --until 0s --filter container={name} tells who"
                ),
                31 => format!(
                    "try {program} run --security-opt seccomp=unconfined … to see which call it is"
                ),
                _ => again,
            };
            (format!("{} (exit code {code}).", signal(code - 128)), advice)
        }
        code => (format!("its program ended with exit code {code}."), again),
    }
}

/// What helps against a refusal that does not say so itself.
fn refused(error: &str) -> String {
    const KNOWN: &[(&str, &str)] = &[
        ("executable file not found", "check the name of the program and the image's PATH"),
        (
            "port is already allocated",
            "another container has the port: bryo ps shows which; take another with -p",
        ),
        (
            "address already in use",
            "another program has the port: ss -ltnp shows which; take another with -p",
        ),
        (
            "privileged port",
            "take a port from 1024 on, or lower net.ipv4.ip_unprivileged_port_start",
        ),
        (
            "permission denied",
            "the file, or a folder on the way to it, is not for the container's user",
        ),
        ("no such file or directory", "the path is not there; for a bind mount, make it first"),
        ("no space left", "bryo system df shows what takes the disk; bryo system prune frees it"),
    ];
    let lower = error.to_lowercase();
    let known = KNOWN.iter().find(|(text, _)| lower.contains(text));
    known.map(|(_, advice)| (*advice).to_owned()).unwrap_or_default()
}

/// What the last health check said, unless it was content.
fn health(raw: &Value) -> Option<String> {
    let health = raw.pointer("/State/Health")?;
    let status = health.get("Status").and_then(Value::as_str).filter(|s| *s == "unhealthy")?;
    let last = health.get("Log").and_then(Value::as_array).and_then(|log| log.last());
    let output = last.and_then(|l| l.get("Output")).and_then(Value::as_str).unwrap_or_default();
    Some(format!("{status}: {}", output.trim()))
}

async fn log(context: &Context, c: &ContainerInspect) -> String {
    let path = format!("/containers/{}/logs?stdout=1&stderr=1&tail={LOG_LINES}", segment(&c.id));
    // Some drivers keep no log; then there are no last words.
    let bytes = context.client.get_raw(&path).await.unwrap_or_default();
    super::super::dashboard::lines(&bytes).join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_and_refusals_have_reasons() {
        assert!(ended(127, "bryo", "x").0.contains("not in the image"));
        assert!(ended(159, "bryo", "x").0.contains("seccomp"));
        assert!(ended(3, "bryo", "x").0.contains("exit code 3"));
        assert!(
            refused("driver failed: Bind for 0.0.0.0:80 failed: port is already allocated")
                .contains("-p")
        );
        assert!(refused("something else").is_empty());
    }
}
