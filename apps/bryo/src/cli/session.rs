//! A session with a container: what the user types goes in, what it says comes out.
//!
//! The output's end is the session's end; the input's end only closes the container's input. Signals and the terminal's size
//! are passed on meanwhile ([`follow_size`], [`forward_signals`]).

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::signal::unix::{SignalKind, signal};

use super::client::{Client, Session, SessionReader, SessionWriter, Target, segment};
use super::error::{CliError, Result};

/// Whose terminal and signals are looked after.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A container.
    Container(String),
    /// An exec.
    Exec(String),
}

/// Copies both ways until the output ends.
pub async fn run(session: Session, input: bool) -> Result<()> {
    let Session { reader, writer } = session;
    let sending = tokio::spawn(send(writer, input));
    let received = receive(reader).await;
    sending.abort();
    received
}

async fn send(mut writer: SessionWriter, input: bool) {
    if input {
        let Ok(mut stdin) = super::stdio::stdin() else { return };
        let mut buffer = vec![0u8; 32 << 10];
        loop {
            match stdin.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(n) => {
                    let sent = writer.write_all(buffer.get(..n).unwrap_or_default()).await;
                    if sent.is_err() {
                        return;
                    }
                }
            }
        }
    }
    // The container has ended before the input did: nothing to close.
    let _ = writer.close().await;
    // The half must stay: dropping it would end the output too.
    std::future::pending::<()>().await;
}

async fn receive(mut reader: SessionReader) -> Result<()> {
    let (mut stdout, mut stderr) = (super::stdio::stdout()?, super::stdio::stderr()?);
    let mut buffer = Vec::new();
    loop {
        match reader.next(&mut buffer).await {
            Ok(Some(Target::Stdout)) => {
                stdout.write_all(&buffer).await?;
                stdout.flush().await?;
            }
            Ok(Some(Target::Stderr)) => {
                stderr.write_all(&buffer).await?;
                stderr.flush().await?;
            }
            Ok(None) => return Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return Ok(()),
            Err(e) => return Err(CliError::new(format!("error while reading the session: {e}"))),
        }
    }
}

/// Tells the terminal's size, now and at each change; runs until dropped.
pub async fn follow_size(client: Client, subject: Subject) {
    let Ok(mut changes) = signal(SignalKind::window_change()) else { return };
    loop {
        if let Some((rows, columns)) = super::terminal::size() {
            let path = match &subject {
                Subject::Container(id) => format!("/containers/{}/resize", segment(id)),
                Subject::Exec(id) => format!("/exec/{}/resize", segment(id)),
            };
            // The program may be just starting or have ended; a wrong size is not worth a message.
            let _ = client.post(&format!("{path}?h={rows}&w={columns}")).await;
        }
        if changes.recv().await.is_none() {
            return;
        }
    }
}

/// Passes this process's signals on to the container; runs until dropped.
pub async fn forward_signals(client: Client, container: String) {
    const FORWARDED: [(i32, &str); 6] =
        [(1, "HUP"), (2, "INT"), (3, "QUIT"), (15, "TERM"), (10, "USR1"), (12, "USR2")];
    let mut tasks = tokio::task::JoinSet::new();
    for (number, name) in FORWARDED {
        let Ok(mut arrivals) = signal(SignalKind::from_raw(number)) else { continue };
        let (client, container) = (client.clone(), container.clone());
        tasks.spawn(async move {
            while arrivals.recv().await.is_some() {
                let path = format!("/containers/{}/kill?signal={name}", segment(&container));
                let _ = client.post(&path).await;
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}
