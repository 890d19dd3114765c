//! A session: the connection after attach or exec, in two halves.

use std::io;

use http::{Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use super::super::error::{CliError, Result};

/// An open session.
pub struct Session {
    /// What the container says.
    pub reader: SessionReader,
    /// What it is told.
    pub writer: SessionWriter,
}

/// The half that reads.
pub struct SessionReader {
    inner: ReadHalf<TokioIo<Upgraded>>,
    /// Bytes have no frames.
    raw: bool,
}

/// The half that writes.
pub struct SessionWriter(WriteHalf<TokioIo<Upgraded>>);

/// Where bytes belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The largest frame that is believed; the daemon's are far smaller.
const MAX_FRAME: usize = 64 << 20;

impl Session {
    /// The session of a `101` answer, with frames.
    pub async fn from_response(response: Response<Incoming>) -> Result<Session> {
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(CliError::new(format!(
                "unable to upgrade to tcp, received {}",
                response.status().as_u16()
            )));
        }
        let upgraded = hyper::upgrade::on(response)
            .await
            .map_err(|e| CliError::new(format!("the daemon did not switch protocols: {e}")))?;
        let (reader, writer) = tokio::io::split(TokioIo::new(upgraded));
        Ok(Session {
            reader: SessionReader { inner: reader, raw: false },
            writer: SessionWriter(writer),
        })
    }

    /// Takes the bytes as they are: the container has a terminal. The answer's type does not tell: below API 1.42 it is
    /// `raw-stream` for framed sessions, too.
    pub fn set_raw(&mut self) {
        self.reader.raw = true;
    }
}

impl SessionReader {
    /// Reads the next piece into `buffer`; `None` at the end.
    pub async fn next(&mut self, buffer: &mut Vec<u8>) -> io::Result<Option<Target>> {
        buffer.clear();
        if self.raw {
            buffer.reserve(32 << 10);
            let n = self.inner.read_buf(buffer).await?;
            return Ok((n > 0).then_some(Target::Stdout));
        }
        let mut header = [0u8; 8];
        match self.inner.read_exact(&mut header).await {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(e) => return Err(e),
        }
        let [stream, _, _, _, a, b, c, d] = header;
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if stream > 3 || length > MAX_FRAME {
            return Err(io::Error::other(format!("unrecognized input header: {stream}")));
        }
        buffer.resize(length, 0);
        self.inner.read_exact(buffer).await?;
        Ok(Some(if stream == 2 { Target::Stderr } else { Target::Stdout }))
    }
}

impl SessionWriter {
    /// Sends bytes.
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await?;
        self.0.flush().await
    }

    /// Ends the input; the output goes on.
    pub async fn close(&mut self) -> io::Result<()> {
        self.0.shutdown().await
    }
}
