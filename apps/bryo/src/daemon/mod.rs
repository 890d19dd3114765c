//! `bryo daemon`: from the command line to an engine that serves.
//!
//! ```text
//! config ─▶ preflight ─▶ sockets ─▶ data root ─▶ holder (found or forked) ─▶ join its namespaces   one thread up to here
//!                                                                                │
//!                       stop ◀─ SIGTERM ─ serve the API ◀─ open the engine ◀─ tokio runtime
//! ```
//!
//! Everything that can be refused is refused before the holder is touched. What fails later is undone by what fell out of
//! scope: socket files and the pid file are removed, locks are let go. A clean stop leaves nothing: the engine ends its
//! containers (unless `--live-restore`), the gate and the holder, and then the exec root is removed too.

pub mod config;
mod listen;
mod log;
mod notify;
mod pidfile;
mod programs;
mod serve;
mod settings;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use bryo_rootless::ids::Sources;
use bryo_rootless::{Enter, Entered, Environment, Plan, SetupError};

use self::config::{Config, Flags, Surroundings};

/// The user who starts the program, and what the environment says. Read here and nowhere else.
pub struct User {
    /// Effective uid.
    pub uid: u32,
    /// Effective gid.
    pub gid: u32,
    /// Login name, if the user database has one.
    pub name: Option<String>,
    /// Folders of $PATH.
    pub path: Vec<PathBuf>,
    /// Home, runtime and configuration folders.
    pub surroundings: Surroundings,
    /// $DBUS_SESSION_BUS_ADDRESS, if set.
    pub bus: Option<String>,
    /// This program's file.
    pub program: PathBuf,
}

/// Runs the daemon; `args` are those after `daemon`.
pub fn main(args: &[OsString]) -> ExitCode {
    let flags = match config::flags::parse(args) {
        Ok(flags) => flags,
        Err(e) => {
            let _ = e.print();
            return if e.use_stderr() { ExitCode::from(125) } else { ExitCode::SUCCESS };
        }
    };
    match run(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("bryo daemon: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<(), SetupError> {
    let uid = rustix::process::geteuid().as_raw();
    if !flags.validate {
        bryo_rootless::refuse_root(uid)?;
    }
    let user = User::current(uid)?;
    let (config, warnings) = config::load(flags, &user.surroundings)?;
    if flags.validate {
        for warning in warnings {
            eprintln!("WARNING: {warning}");
        }
        println!("configuration OK");
        return Ok(());
    }
    let level = log::start(&config.log_level, config.debug);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    start(flags, config, &user, level)
}

/// Checks everything, enters the namespaces, serves.
fn start(flags: &Flags, config: Config, user: &User, level: log::Level) -> Result<(), SetupError> {
    let plan = bryo_rootless::preflight(&user.environment())?;
    raise_descriptor_limit();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let sockets = listen::open(&config)?;
    let data_root = bryo_rootless::data_root::prepare(&config.data_root)?;
    let pidfile = pidfile::write(config.pidfile.as_deref())?;
    let entered = enter(&config, user, &plan)?;
    tracing::info!(
        holder = entered.holder.pid(),
        "{} the namespaces of {}; running in rootless mode",
        if entered.found { "found" } else { "made" },
        user.name.as_deref().unwrap_or("this user"),
    );
    let result = serve::serve(serve::Service {
        flags,
        config: &config,
        user,
        entered: &entered,
        sockets,
        level,
    });
    remove_exec_root(&config.exec_root);
    drop((pidfile, data_root, entered));
    result
}

fn enter(config: &Config, user: &User, plan: &Plan) -> Result<Entered, SetupError> {
    let entered = bryo_rootless::enter(&Enter {
        exec_root: &config.exec_root,
        plan,
        uid: user.uid,
        gid: user.gid,
        version: env!("CARGO_PKG_VERSION"),
        program: &user.program,
        programs: programs::PROGRAMS,
    })?;
    for warning in plan.warnings.iter().chain(&entered.warnings) {
        tracing::warn!("{warning}");
    }
    Ok(entered)
}

impl User {
    /// The calling user, with everything that is looked up in the environment.
    pub fn current(uid: u32) -> Result<User, SetupError> {
        let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty());
        let entry = bryo_sys::user::by_uid(uid).ok().flatten();
        let home = variable("HOME").map(PathBuf::from).or(entry.as_ref().map(|e| e.home.clone()));
        let home = home.ok_or_else(|| {
            SetupError::new(
                "HOME needs to be set and exist.",
                format!("HOME is not set and uid {uid} has no entry in the user database"),
                "export HOME=/path/of/a/folder",
            )
        })?;
        let name = entry.map(|e| e.name);
        let runtime_dir =
            bryo_rootless::runtime_dir(variable("XDG_RUNTIME_DIR"), uid, name.as_deref());
        let path = variable("PATH").unwrap_or_default();
        Ok(User {
            uid,
            gid: rustix::process::getegid().as_raw(),
            path: std::env::split_paths(&path).collect(),
            surroundings: Surroundings {
                home,
                data_home: variable("XDG_DATA_HOME").map(PathBuf::from),
                config_home: variable("XDG_CONFIG_HOME").map(PathBuf::from),
                runtime_dir,
            },
            name,
            bus: variable("DBUS_SESSION_BUS_ADDRESS").and_then(|v| v.into_string().ok()),
            program: std::env::current_exe().unwrap_or_else(|_| "bryo".into()),
        })
    }

    /// The same for [`bryo_rootless::preflight`].
    pub fn environment(&self) -> Environment {
        Environment {
            uid: self.uid,
            gid: self.gid,
            user: self.name.clone(),
            path: self.path.clone(),
            sources: Sources::system(&self.path),
        }
    }
}

/// The gate and the API need many descriptors, and containers inherit the limit: the soft one becomes the hard one.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(e) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!("the limit of open files stays at {:?}: {e}", limit.current);
    }
}

/// After a clean stop nothing in it is of use, unless containers stayed. What somebody else put there stays.
fn remove_exec_root(exec_root: &std::path::Path) {
    if exec_root.join("holder.sock").exists() {
        return;
    }
    let _ = std::fs::remove_dir(exec_root.join("containers"));
    let _ = std::fs::remove_file(exec_root.join("engine.lock"));
    let _ = std::fs::remove_dir(exec_root);
}
