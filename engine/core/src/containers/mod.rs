//! Containers: what can be asked of one or all of them.
//!
//! `r` is a full id, the unique beginning of one, or a name, with or without a slash in front.

use crate::Result;
use crate::engine::Engine;
use crate::model::{ContainerSpec, ContainerUpdate, ContainerView};
use crate::requests::*;

mod attach;

pub use attach::Attachment;

impl Engine {
    /// Makes a container; nothing runs yet.
    pub async fn create(&self, name: Option<&str>, spec: ContainerSpec) -> Result<Created> {
        let _ = (name, spec);
        not_yet("create")
    }

    /// Starts it. False: it runs already.
    pub async fn start(&self, r: &str) -> Result<bool> {
        let _ = r;
        not_yet("start")
    }

    /// Stops it by its (or the given) stop signal, and SIGKILL after `timeout` seconds (negative: never). False: it did not run.
    pub async fn stop(&self, r: &str, signal: Option<&str>, timeout: Option<i64>) -> Result<bool> {
        let _ = (r, signal, timeout);
        not_yet("stop")
    }

    /// Stops and starts it.
    pub async fn restart(&self, r: &str, signal: Option<&str>, timeout: Option<i64>) -> Result<()> {
        let _ = (r, signal, timeout);
        not_yet("restart")
    }

    /// Sends a signal (name or number; none: SIGKILL).
    pub async fn kill(&self, r: &str, signal: Option<&str>) -> Result<()> {
        let _ = (r, signal);
        not_yet("kill")
    }

    /// Freezes it.
    pub async fn pause(&self, r: &str) -> Result<()> {
        let _ = r;
        not_yet("pause")
    }

    /// The reverse.
    pub async fn unpause(&self, r: &str) -> Result<()> {
        let _ = r;
        not_yet("unpause")
    }

    /// Gives it another name.
    pub async fn rename(&self, r: &str, name: &str) -> Result<()> {
        let _ = (r, name);
        not_yet("rename")
    }

    /// Changes its restart policy and limits; the result is warnings.
    pub async fn update(&self, r: &str, update: ContainerUpdate) -> Result<Vec<String>> {
        let _ = (r, update);
        not_yet("update")
    }

    /// Sets its terminal's size.
    pub async fn resize(&self, r: &str, rows: u16, cols: u16) -> Result<()> {
        let _ = (r, rows, cols);
        not_yet("resize")
    }

    /// Removes it.
    pub async fn remove(&self, r: &str, options: RemoveOptions) -> Result<()> {
        let _ = (r, options);
        not_yet("remove")
    }

    /// Registers a waiter, which has happened when this returns; the future resolves at the condition.
    pub async fn wait(&self, r: &str, condition: WaitCondition) -> Result<Waiting> {
        let _ = (r, condition);
        not_yet("wait")
    }

    /// Checks that a client may attach; [`Attachment::run`] then joins its connection.
    pub async fn attach(&self, r: &str, options: AttachOptions) -> Result<Attachment> {
        let _ = (r, options);
        not_yet("attach")
    }

    /// Reads its log.
    pub async fn logs(&self, r: &str, options: LogOptions) -> Result<LogStream> {
        let _ = (r, options);
        not_yet("logs")
    }

    /// Reads its log as framed bytes, many records at a time: the fast way for Docker's door.
    pub async fn log_bytes(&self, r: &str, options: LogOptions) -> Result<LogBytes> {
        let _ = (r, options);
        not_yet("logs")
    }

    /// Everything about it.
    pub async fn inspect(&self, r: &str, size: bool) -> Result<ContainerView> {
        let _ = (r, size);
        not_yet("inspect")
    }

    /// Containers, newest first.
    pub async fn list(&self, options: ListOptions) -> Result<Vec<ContainerView>> {
        let _ = options;
        not_yet("list")
    }
}
