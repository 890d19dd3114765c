//! A daemon on another machine, through the user's own `ssh`: there, `docker system dial-stdio` (or bryo's) joins its standard
//! streams with the daemon's socket.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::super::error::{CliError, Result};
use super::stream::Stream;

/// `[user@]host[:port][/path of the socket there]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    user: String,
    host: String,
    port: Option<u16>,
    socket: String,
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = if self.user.is_empty() { String::new() } else { format!("{}@", self.user) };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        write!(f, "ssh://{user}{}{port}{}", self.host, self.socket)
    }
}

impl Remote {
    /// Parses what stands behind `ssh://`.
    pub fn parse(text: &str) -> Result<Remote> {
        let invalid = |why: &str| CliError::new(format!("invalid SSH URL ssh://{text}: {why}"));
        let (address, socket) = match text.find('/') {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let (user, host) = address.rsplit_once('@').unwrap_or(("", address));
        if user.contains(':') {
            return Err(invalid("plain-text password is not supported"));
        }
        let (host, port) = match host.rsplit_once(':').filter(|(_, port)| !port.contains(']')) {
            Some((host, port)) => {
                (host, Some(port.parse().map_err(|_| invalid("the port is no number"))?))
            }
            None => (host, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        // A name that begins with a dash would be an option to ssh.
        if host.is_empty() || host.starts_with('-') || user.starts_with('-') {
            return Err(invalid("no host specified"));
        }
        let socket = if socket == "/" { "" } else { socket };
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:".contains(c);
        if !socket.chars().all(plain) {
            return Err(invalid("the path of the socket must be of letters, digits and /._-+@:"));
        }
        Ok(Remote { user: user.to_owned(), host: host.to_owned(), port, socket: socket.to_owned() })
    }

    /// What is run here.
    fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = ["-o", "ConnectTimeout=30", "-T"].map(str::to_owned).into();
        if !self.user.is_empty() {
            words.extend(["-l".to_owned(), self.user.clone()]);
        }
        if let Some(port) = self.port {
            words.extend(["-p".to_owned(), port.to_string()]);
        }
        let host = match self.socket.as_str() {
            "" => String::new(),
            path => format!(" --host unix://{path}"),
        };
        words.extend(["--".to_owned(), self.host.clone()]);
        // A remote machine may have either program.
        words.push(format!(
            "sh -c 'if command -v docker >/dev/null 2>&1; then exec docker{host} system dial-stdio; else exec bryo{host} system \
             dial-stdio; fi'"
        ));
        words
    }

    /// Connects: a process of ssh for each connection.
    pub fn connect(&self) -> Result<Stream> {
        let mut child = Command::new("ssh")
            .args(self.words())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| {
                CliError::new(format!("running ssh for {self}: {e}; install an ssh client"))
            })?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(CliError::new(format!("running ssh for {self}: it has no streams")));
        };
        Ok(Stream::Pipe(Box::new(Pipe { input: Some(input), output, _child: child })))
    }
}

/// A program's streams as a connection; the program ends with it.
pub struct Pipe {
    /// None once it was shut down.
    input: Option<ChildStdin>,
    output: ChildStdout,
    _child: Child,
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().output).poll_read(cx, buf)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().input {
            Some(input) => Pin::new(input).poll_write(cx, buf),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().input {
            Some(input) => Pin::new(input).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Only the end of the pipe tells the other side.
        self.get_mut().input = None;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_words_for_ssh() {
        let words = Remote::parse("a@b:33/run/x.sock").unwrap().words();
        assert_eq!(words[..8], ["-o", "ConnectTimeout=30", "-T", "-l", "a", "-p", "33", "--"]);
        assert_eq!(words[8], "b");
        assert!(words[9].contains("docker --host unix:///run/x.sock system dial-stdio"));
        assert_eq!(Remote::parse("host/").unwrap().to_string(), "ssh://host");
        for bad in ["", "-oProxyCommand=x", "a:b@c", "h:x", "-l@h", "h/a b", "h/$(x)"] {
            assert!(Remote::parse(bad).is_err(), "{bad}");
        }
    }
}
