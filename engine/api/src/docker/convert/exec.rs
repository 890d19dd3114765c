//! Exec.

use bryo_core::model::{ExecSpec, ExecView};
use bryo_spec::docker;

use super::super::error::{ApiError, Result};

/// The body of `POST /containers/{id}/exec`.
pub fn spec(body: docker::ExecCreateRequest) -> Result<ExecSpec> {
    let cmd = body.cmd.map(docker::OneOrMany::into_vec).unwrap_or_default();
    if cmd.is_empty() {
        return Err(ApiError::bad_request("no exec command specified"));
    }
    Ok(ExecSpec {
        cmd,
        env: body.env.unwrap_or_default(),
        working_dir: body.working_dir,
        user: body.user,
        privileged: body.privileged,
        tty: body.tty,
        attach: (body.attach_stdin, body.attach_stdout, body.attach_stderr),
        detach_keys: body.detach_keys,
        console_size: body.console_size.map(|[rows, columns]| (rows, columns)),
    })
}

/// `GET /exec/{id}/json`.
pub fn wire(view: &ExecView) -> docker::ExecInspect {
    let (entrypoint, arguments) = match view.spec.cmd.split_first() {
        Some((first, rest)) => (first.clone(), rest.to_vec()),
        None => (String::new(), Vec::new()),
    };
    let (stdin, stdout, stderr) = view.spec.attach;
    docker::ExecInspect {
        id: view.id.clone(),
        running: view.running,
        exit_code: view.exit_code,
        process_config: docker::ProcessConfig {
            tty: view.spec.tty,
            entrypoint,
            arguments,
            privileged: view.spec.privileged,
            user: view.spec.user.clone(),
        },
        open_stdin: stdin,
        open_stderr: stderr,
        open_stdout: stdout,
        can_remove: false,
        container_id: view.container.clone(),
        detach_keys: view.spec.detach_keys.clone(),
        pid: view.pid,
    }
}
