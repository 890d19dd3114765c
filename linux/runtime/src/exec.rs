//! A further process in a running container.

use std::convert::Infallible;

use bryo_sys::rooted::Root;
use oci_spec::runtime::{Process, Spec};

use crate::birth;
use crate::child::{plain_streams, score, terminal_streams};
use crate::create::{Child, Running};
use crate::devices;
use crate::error::{Context, Error, Result};
use crate::handles::Namespaces;
use crate::options::{ExecOptions, Stdio};
use crate::process::Program;
use crate::seccomp;
use crate::sync::{Line, Message};

/// Starts a further process in the container with these namespaces: with the user, capabilities, limits, directory and
/// environment of `process` and the seccomp profile of the container's `spec`. Returns once the program was executed;
/// the caller is its parent.
pub fn exec(
    namespaces: &Namespaces,
    spec: &Spec,
    process: &Process,
    options: ExecOptions,
) -> Result<Running> {
    let filter = seccomp::of_spec(spec, options.seccomp)?;
    let program = Program::new(process, spec, filter.as_ref(), false, &options.limits)?;
    let (ours, theirs) = Line::pair()?;
    let enter = || {
        score(spec)?;
        namespaces.join()
    };
    let body = || run(&program, &options.stdio, &theirs);
    let born = birth::joined(&[], options.cgroup.as_deref(), &theirs, enter, body)?;
    drop(theirs);
    let mut child = Child { born: Some(born), line: ours, executing: false };
    let terminal = match child.line.receive()? {
        Message::Ready(terminal) => terminal,
        other => return Err(child.failed(other)),
    };
    child.executed()?;
    let born = child.born.take().ok_or_else(|| Error::other("the new process is gone"))?;
    Ok(Running { pid: born.pid, pidfd: born.pidfd, terminal, namespaces: namespaces.try_clone()? })
}

/// The child's side, in the container.
fn run(program: &Program<'_>, stdio: &Stdio, line: &Line) -> Result<Infallible> {
    let _ = bryo_sys::keyring::new_session();
    let root = Root::open("/").context(|| "opening the container's root")?;
    let (uid, gid) = program.user();
    let terminal = match stdio {
        Stdio::Files { stdin, stdout, stderr } => {
            plain_streams([stdin, stdout, stderr], uid, gid)?;
            None
        }
        Stdio::Terminal { rows, cols } => {
            let (master, slave) = devices::terminal(&root, None)?;
            terminal_streams(&slave, (*rows, *cols), uid)?;
            Some(master)
        }
    };
    line.send(&Message::Ready(terminal)).context(|| "telling the parent")?;
    program.run(root, line)
}
