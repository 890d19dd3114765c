//! What the facade's calls take and give, where it is neither a thing nor its view (those are in [`crate::model`]).

use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;

use crate::Result;
use crate::model::{ContainerView, Filters, ImageView, VolumeView};

/// Bytes of an archive, in either direction.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// The lines of a pull, load or import. An error ends it.
pub type ProgressStream = Pin<Box<dyn Stream<Item = Result<Progress>> + Send>>;

/// Events, past ones first.
pub type EventStream = Pin<Box<dyn Stream<Item = crate::model::Event> + Send>>;

/// Records of a log.
pub type LogRecords = Pin<Box<dyn Stream<Item = Result<LogRecord>> + Send>>;

/// Resolves when what was waited for has happened.
pub type Waiting = Pin<Box<dyn Future<Output = WaitOutcome> + Send>>;

/// The outcome of `create`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// 64 hex digits.
    pub id: String,
    /// What will not be as asked.
    pub warnings: Vec<String>,
}

/// How `remove` removes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemoveOptions {
    /// Kill it first.
    pub force: bool,
    /// Also its anonymous volumes.
    pub volumes: bool,
    /// Only the link of that name (`parent/alias`).
    pub link: bool,
}

/// What `wait` waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WaitCondition {
    /// That it does not run (at once when it does not).
    #[default]
    NotRunning,
    /// Its next end.
    NextExit,
    /// Its removal.
    Removed,
}

/// How it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WaitOutcome {
    /// Exit code.
    pub code: i64,
    /// Why the start failed, or the removal.
    pub error: Option<String>,
}

/// What of a container's streams to attach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttachOptions {
    /// The log so far first.
    pub logs: bool,
    /// Then what comes.
    pub stream: bool,
    /// Forward the client's bytes.
    pub stdin: bool,
    /// Send stdout.
    pub stdout: bool,
    /// Send stderr.
    pub stderr: bool,
    /// Docker's notation (`ctrl-p,ctrl-q`); none: that default.
    pub detach_keys: Option<String>,
}

/// Which part of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Go on with what comes until the container ends.
    pub follow: bool,
    /// Records of stdout.
    pub stdout: bool,
    /// Records of stderr.
    pub stderr: bool,
    /// Nanoseconds since the epoch.
    pub since: Option<i128>,
    /// Nanoseconds since the epoch.
    pub until: Option<i128>,
    /// Put the time in front.
    pub timestamps: bool,
    /// The last so many records only.
    pub tail: Option<u64>,
    /// Put the attributes in front.
    pub details: bool,
}

/// Where a log record came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogSource {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One record of a log, its line end included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// Where it came from.
    pub source: LogSource,
    /// Time and details (when asked for), then the line.
    pub data: Bytes,
}

/// A log being read.
pub struct LogStream {
    /// The container has a terminal: send the bytes without frames.
    pub tty: bool,
    /// The records.
    pub records: LogRecords,
}

/// A log being read, as bytes for a client of Docker's API.
pub struct LogBytes {
    /// The container has a terminal: the bytes have no frames.
    pub tty: bool,
    /// The records, each with Docker's 8-byte frame in front unless there is a terminal; many records a chunk.
    pub bytes: ByteStream,
}

/// Which containers, and how, to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Also those that do not run.
    pub all: bool,
    /// At most so many, the newest, whatever their state.
    pub limit: Option<usize>,
    /// Compute sizes.
    pub size: bool,
    /// Docker's filters.
    pub filters: Filters,
}

/// What a container uses, as its monitor measured it.
pub use bryo_monitor::messages::{CpuUsage, Traffic, Usage};

/// One sample of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// The container's id.
    pub id: String,
    /// Its name, without a slash.
    pub name: String,
    /// Bytes it may use: its limit, else the machine's memory.
    pub memory_limit: u64,
    /// Processes it may have; 0: no limit, `u64::MAX`: a cgroup without one.
    pub pids_limit: u64,
    /// None: it does not run.
    pub usage: Option<Usage>,
}

/// A container's samples as they are taken.
pub type Samples = Pin<Box<dyn Stream<Item = Sample> + Send>>;

/// The outcome of `top`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Top {
    /// Column titles.
    pub titles: Vec<String>,
    /// One row per process.
    pub processes: Vec<Vec<String>>,
}

/// A path that differs from the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Absolute path in the container.
    pub path: String,
    /// How.
    pub kind: ChangeKind,
}

/// How a path differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// 0.
    Modified,
    /// 1.
    Added,
    /// 2.
    Deleted,
}

/// A path in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathStat {
    /// Base name.
    pub name: String,
    /// Bytes.
    pub size: i64,
    /// Bits of Go's `os.FileMode`.
    pub mode: u32,
    /// Nanoseconds since the epoch.
    pub mtime: i128,
    /// Where a symlink leads; empty otherwise.
    pub link_target: String,
}

/// How an archive is put into a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// Refuse to replace a folder by a file and the other way.
    pub no_overwrite_dir_non_dir: bool,
    /// Keep the archive's owners.
    pub copy_uid_gid: bool,
}

/// The outcome of a prune.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Ids or names.
    pub deleted: Vec<String>,
    /// Bytes.
    pub reclaimed: u64,
}

/// What `commit` makes of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitOptions {
    /// Repository to tag, or empty.
    pub repo: String,
    /// Tag; empty: latest.
    pub tag: String,
    /// Kept in the history.
    pub comment: String,
    /// Kept in the image.
    pub author: String,
    /// Pause the container meanwhile.
    pub pause: bool,
    /// Dockerfile instructions to apply.
    pub changes: Vec<String>,
}

/// How an exec starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExecStart {
    /// Do not attach.
    pub detach: bool,
    /// The client thinks it has a terminal.
    pub tty: bool,
    /// Rows and columns.
    pub console_size: Option<(u16, u16)>,
}

/// What was done to an image reference or an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// A reference is gone.
    Untagged(String),
    /// An image or layer is gone.
    Deleted(String),
}

/// What `import` makes of an archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Repository to tag, or empty.
    pub repo: String,
    /// Tag; empty: latest.
    pub tag: String,
    /// Kept in the history.
    pub message: String,
    /// Dockerfile instructions to apply.
    pub changes: Vec<String>,
    /// `os/arch[/variant]`; none: the machine's.
    pub platform: Option<String>,
}

/// Credentials for a registry.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Auth {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
    /// Refresh token.
    pub identity_token: String,
    /// Bearer token used as it is.
    pub registry_token: String,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").field("username", &self.username).finish_non_exhaustive()
    }
}

/// One line of progress, in Docker's terms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Layer's short id, or the tag.
    pub id: Option<String>,
    /// The words. For `load` the whole line is here and `stream` is set.
    pub status: String,
    /// Bytes done.
    pub current: Option<u64>,
    /// Bytes in all.
    pub total: Option<u64>,
    /// The line belongs into Docker's `stream` field (load), not `status`.
    pub stream: bool,
}

/// The outcome of `df`.
#[derive(Debug, Clone, Default)]
pub struct DiskUsage {
    /// Bytes of all layers.
    pub layers_size: u64,
    /// Images with their sizes and containers.
    pub images: Vec<ImageView>,
    /// Containers with their sizes.
    pub containers: Vec<ContainerView>,
    /// Volumes with their usage.
    pub volumes: Vec<VolumeView>,
}
