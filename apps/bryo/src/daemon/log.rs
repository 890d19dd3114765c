//! The daemon's log: lines on stderr, with a level that SIGHUP can change.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// Changes the level.
#[derive(Debug)]
pub struct Level(reload::Handle<EnvFilter, Registry>);

impl Level {
    /// As `--debug` and `--log-level` say; `debug` wins.
    pub fn set(&self, level: &str, debug: bool) {
        if let Err(e) = self.0.reload(filter(level, debug)) {
            tracing::warn!("the log level stays as it was: {e}");
        }
    }
}

/// Starts logging; call once.
pub fn start(level: &str, debug: bool) -> Level {
    let (filter, handle) = reload::Layer::new(filter(level, debug));
    let stderr = std::io::stderr();
    let lines = fmt::layer()
        .with_ansi(stderr.is_terminal())
        .with_target(debug)
        .with_writer(std::io::stderr);
    // A second start (in tests) keeps the first one's output.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    Level(handle)
}

/// Bryo's crates at the level; the libraries' debug lines are about their own insides.
fn filter(level: &str, debug: bool) -> EnvFilter {
    let level = if debug { "debug" } else { level };
    let level = match level {
        "fatal" | "panic" => "error",
        other => other,
    };
    EnvFilter::new(format!(
        "{level},hyper=warn,hyper_util=warn,h2=warn,rustls=warn,reqwest=warn,hickory_resolver=warn,hickory_proto=warn"
    ))
}
