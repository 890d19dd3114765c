//! Further processes in running containers.

use crate::Result;
use crate::containers::Attachment;
use crate::engine::Engine;
use crate::model::{ExecSpec, ExecView};
use crate::requests::{ExecStart, not_yet};

impl Engine {
    /// Prepares a process in a running container; the result is the exec's id (64 hex digits).
    pub async fn exec_create(&self, r: &str, spec: ExecSpec) -> Result<String> {
        let _ = (r, spec);
        not_yet("exec")
    }

    /// Starts it. Detached: it was started, and there is no attachment. Otherwise [`Attachment::run`] starts it with the client's
    /// streams; a program that cannot be executed is written to the client as Docker does.
    pub async fn exec_start(&self, exec: &str, how: ExecStart) -> Result<Option<Attachment>> {
        let _ = (exec, how);
        not_yet("exec")
    }

    /// Sets its terminal's size.
    pub async fn exec_resize(&self, exec: &str, rows: u16, cols: u16) -> Result<()> {
        let _ = (exec, rows, cols);
        not_yet("exec")
    }

    /// Everything about it.
    pub async fn exec_inspect(&self, exec: &str) -> Result<ExecView> {
        let _ = exec;
        not_yet("exec")
    }
}
