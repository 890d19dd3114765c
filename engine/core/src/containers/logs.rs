//! Logs of containers. The monitor writes the file; it is read here, in a thread of its own for each reader, because reading and
//! following are blocking work.

use std::sync::Arc;
use std::time::Duration;

use bryo_monitor::log::{self, Batch, Next, ReadOptions, Reader};
use bryo_monitor::messages::LogConfig;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::record::ContainerRecord;
use super::registry::Handle;
use crate::engine::Engine;
use crate::requests::{LogBytes, LogOptions, LogRecord, LogSource, LogStream};
use crate::spec::logging;
use crate::{Error, ErrorKind, Result};

/// How long a reader waits for the log before it looks whether anybody still listens.
const WAIT: Duration = Duration::from_millis(500);

/// Batches that may wait for a slow client.
const QUEUED: usize = 4;

/// Where a container's log is.
pub(super) fn config(engine: &Engine, record: &ContainerRecord) -> Result<LogConfig> {
    logging::config(record, &engine.inner().paths)
}

impl Engine {
    /// Reads its log.
    pub async fn logs(&self, r: &str, options: LogOptions) -> Result<LogStream> {
        let (tty, batches) = self.batches(r, &options, false)?;
        let records = batches.flat_map(|batch| {
            let records: Vec<Result<LogRecord>> = match batch {
                Ok(batch) => batch
                    .records()
                    .map(|(stream, data)| {
                        let source = match stream {
                            log::Stream::Stdout => LogSource::Stdout,
                            log::Stream::Stderr => LogSource::Stderr,
                        };
                        Ok(LogRecord { source, data: Bytes::copy_from_slice(data) })
                    })
                    .collect(),
                Err(e) => vec![Err(e)],
            };
            futures_util::stream::iter(records)
        });
        Ok(LogStream { tty, records: Box::pin(records) })
    }

    /// Reads its log as framed bytes, many records at a time: the fast way for Docker's door.
    pub async fn log_bytes(&self, r: &str, options: LogOptions) -> Result<LogBytes> {
        let (tty, batches) = self.batches(r, &options, true)?;
        let bytes = batches.map(|batch| batch.map(|b| Bytes::from(b.bytes)));
        Ok(LogBytes { tty, bytes: Box::pin(bytes) })
    }

    fn batches(
        &self,
        r: &str,
        options: &LogOptions,
        framed: bool,
    ) -> Result<(bool, ReceiverStream<Result<Batch>>)> {
        if !options.stdout && !options.stderr {
            return Err(Error::invalid("Bad parameters: you must choose at least one stream"));
        }
        let handle = self.inner().registry.find(r)?;
        let record = handle.snapshot().record.clone();
        let config = config(self, &record)?;
        if matches!(config, LogConfig::None) {
            return Err(Error::new(
                ErrorKind::NotImplemented,
                "configured logging driver does not support reading",
            ));
        }
        let tty = record.spec.tty;
        let follow = options.follow && handle.snapshot().is_running();
        let options = ReadOptions {
            stdout: options.stdout,
            stderr: options.stderr,
            follow,
            since: options.since,
            until: options.until,
            tail: options.tail,
            timestamps: options.timestamps,
            details: options.details,
            framed: framed && !tty,
        };
        let reader = Reader::open(&config, options).map_err(|e| Error::internal(e.to_string()))?;
        if let Some(follow) = reader.follow_handle() {
            tokio::spawn(end_with(handle, follow));
        }
        let (sender, receiver) = mpsc::channel(QUEUED);
        tokio::task::spawn_blocking(move || pump(reader, &sender));
        Ok((tty, ReceiverStream::new(receiver)))
    }
}

/// Tells the reader when the container has ended: its log is complete then.
async fn end_with(handle: Handle, follow: log::FollowHandle) {
    let mut view = handle.view.clone();
    let ends = handle.snapshot().ends;
    // An owner that is gone means that the container is, too.
    let _ = view.wait_for(|s| s.ends > ends || s.removed.is_some() || !s.is_running()).await;
    follow.container_ended();
}

fn pump(mut reader: Reader, sender: &mpsc::Sender<Result<Batch>>) {
    loop {
        match reader.next(WAIT) {
            Ok(Next::Batch(batch)) => {
                if sender.blocking_send(Ok(batch)).is_err() {
                    return;
                }
            }
            Ok(Next::Idle) => {
                if sender.is_closed() {
                    return;
                }
            }
            Ok(Next::End) => return,
            Err(e) => {
                let _ = sender.blocking_send(Err(Error::internal(Arc::new(e).to_string())));
                return;
            }
        }
    }
}
