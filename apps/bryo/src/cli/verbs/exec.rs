//! `exec`.

use bryo_spec::docker::{ExecCreateRequest, ExecInspect, ExecStartRequest, IdResponse};

use super::super::client::segment;
use super::super::context::Context;
use super::super::error::{CliError, Result};
use super::super::flags::{DETACH_KEYS, Flag, Parsed, list, switch, value};
use super::super::run::values;
use super::super::session::{self, Subject};
use super::super::terminal;

/// Its flags.
pub const FLAGS: &[Flag] = &[
    switch("detach", Some('d'), "Detached mode: run command in the background"),
    DETACH_KEYS,
    list("env", Some('e'), "Set environment variables"),
    list("env-file", None, "Read in a file of environment variables"),
    switch("interactive", Some('i'), "Keep STDIN open even if not attached"),
    switch("privileged", None, "Give extended privileges to the command"),
    switch("tty", Some('t'), "Allocate a pseudo-TTY"),
    value("user", Some('u'), "string", "Username or UID (format: \"<name|uid>[:<group|gid>]\")"),
    value("workdir", Some('w'), "string", "Working directory inside the container"),
];

/// Runs a further program in a container.
pub async fn exec(context: Context, p: Parsed) -> Result<u8> {
    let Some((container, command)) = p.args.split_first() else { return Ok(0) };
    let (tty, detach) = (p.is("tty"), p.is("detach"));
    let input = p.is("interactive") && !detach;
    if tty && input && !terminal::stdin_is_terminal() {
        return Err(CliError::new("the input device is not a TTY"));
    }
    let size = tty.then(terminal::size).flatten().map(|(rows, columns)| [rows, columns]);
    let environment = values::environment(&p.all("env-file"), &p.all("env"))?;
    let body = ExecCreateRequest {
        user: p.text("user"),
        privileged: p.is("privileged"),
        tty,
        console_size: size,
        attach_stdin: input,
        attach_stderr: !detach,
        attach_stdout: !detach,
        detach_keys: p.text("detach-keys"),
        env: (!environment.is_empty()).then_some(environment),
        working_dir: p.text("workdir"),
        cmd: Some(command.to_vec().into()),
        detach,
    };
    let client = &context.client;
    let path = format!("/containers/{}/exec", segment(container));
    let created: IdResponse = client.post_json(&path, &body).await?;
    let id = created.id;
    let start = ExecStartRequest { detach, tty, console_size: size };
    let path = format!("/exec/{}/start", segment(&id));
    if detach {
        client.post_json_only(&path, &start).await?;
        return Ok(0);
    }
    let mut session = client.upgrade(&path, Some(&start)).await?;
    if tty {
        session.set_raw();
    }
    let raw = (tty && input).then(terminal::Raw::enter).flatten();
    let mut side = tokio::task::JoinSet::new();
    if tty && terminal::stdout_is_terminal() {
        side.spawn(session::follow_size(client.clone(), Subject::Exec(id.clone())));
    }
    session::run(session, input).await?;
    drop(raw);
    let end: ExecInspect = client.get(&format!("/exec/{}/json", segment(&id))).await?;
    let code = end.exit_code.unwrap_or_default();
    Ok(u8::try_from(code & 0xff).unwrap_or(1))
}
