//! The daemon's working life: the runtime, the engine, the API and the signals.
//!
//! | signal | does |
//! |---|---|
//! | HUP | reads the configuration again |
//! | TERM, INT | stops; the containers too, unless `--live-restore` |
//! | QUIT | stops with the containers in any case: at the end of the session or of the installation |

use std::time::Duration;

use bryo_core::Engine;
use bryo_rootless::{Entered, SetupError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::config::{Flags, options};
use super::listen::Sockets;
use super::notify::Notify;
use super::{Config, User, config, log, settings};

/// What serving needs.
pub struct Service<'a> {
    /// The command line, read again with the file at SIGHUP.
    pub flags: &'a Flags,
    /// The configuration.
    pub config: &'a Config,
    /// Who and where.
    pub user: &'a User,
    /// Inside.
    pub entered: &'a Entered,
    /// Open sockets.
    pub sockets: Sockets,
    /// The log's level.
    pub level: log::Level,
}

/// Serves until a signal says stop; then everything is shut down.
pub fn serve(service: Service<'_>) -> Result<(), SetupError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("bryo-engine")
        .build()
        .map_err(|e| failed("could not start the runtime", e.to_string()))?;
    let result = runtime.block_on(life(service));
    // Blocking calls (a pull's unpacking, a log that is followed) must not hold up the end.
    runtime.shutdown_timeout(Duration::from_millis(500));
    result
}

async fn life(service: Service<'_>) -> Result<(), SetupError> {
    let notify = Notify::new(std::env::var_os("NOTIFY_SOCKET"));
    let mut signals =
        Signals::new().map_err(|e| failed("could not catch signals", e.to_string()))?;
    let settings =
        settings::settings(service.config, service.entered, service.user, &service.sockets);
    let engine = match Engine::open(settings).await {
        Ok(engine) => engine,
        Err(e) => {
            // A holder that was made for this engine has nothing to hold.
            if !service.entered.found {
                if let Err(e) = service.entered.holder.quit() {
                    tracing::warn!("end the holder: {e}");
                }
            }
            return Err(failed("could not open the engine", chain(&e)));
        }
    };
    let stop = CancellationToken::new();
    let options = bryo_api::Options { stop: stop.clone(), ..bryo_api::Options::default() };
    let mut api = tokio::spawn(bryo_api::serve(engine.clone(), service.sockets.listeners, options));
    if let Some(listener) = service.sockets.metrics {
        let options = bryo_api::Options { stop: stop.clone(), ..bryo_api::Options::default() };
        tokio::spawn(bryo_api::metrics::serve(engine.clone(), listener, options));
    }
    notify.ready();
    tracing::info!("serving the API on {:?}", service.config.hosts);
    let mut result = Ok(());
    loop {
        tokio::select! {
            what = signals.next() => match what {
                Asked::Reload => {
                    notify.reloading();
                    reload(&engine, service.flags, service.user, service.config, &service.level);
                    notify.ready();
                }
                Asked::Stop(name) => {
                    tracing::info!("stopping ({name})");
                    if name == "SIGQUIT" && service.config.live_restore {
                        tracing::info!("the containers are stopped too");
                        let all = settings::reloadable(service.config);
                        engine.reload(bryo_core::Reloadable { live_restore: false, ..all });
                    }
                    break;
                }
            },
            ended = &mut api => {
                let why = match ended {
                    Ok(Ok(())) => "it ended".to_owned(),
                    Ok(Err(e)) => e.to_string(),
                    Err(e) => e.to_string(),
                };
                result = Err(failed("could not serve the API", why));
                break;
            }
        }
    }
    notify.stopping();
    // No new connections; answers in progress go on while the containers stop, so that their clients hear of it.
    stop.cancel();
    let finish = async {
        engine.shutdown().await;
        if !api.is_finished() {
            let _ = api.await;
        }
    };
    tokio::select! {
        () = finish => {}
        () = signals.insisted() => tracing::warn!("told to stop three times: leaving at once"),
    }
    drop(service.sockets.files);
    result
}

/// Takes over what can change: reads the file again and says what needs a restart.
fn reload(engine: &Engine, flags: &Flags, user: &User, old: &Config, level: &log::Level) {
    match config::load(flags, &user.surroundings) {
        Ok((new, warnings)) => {
            for warning in warnings {
                tracing::warn!("{warning}");
            }
            level.set(&new.log_level, new.debug);
            engine.reload(settings::reloadable(&new));
            if !old.same_but_reloadable(&new) {
                tracing::warn!(
                    "only {} are taken over without a restart; other options have changed too",
                    options::RELOADABLE.join(", ")
                );
            }
            tracing::info!("reloaded the configuration");
        }
        Err(e) => tracing::error!("the configuration stays as it was: {e}"),
    }
}

/// What a signal asks for.
enum Asked {
    Reload,
    Stop(&'static str),
}

struct Signals {
    hup: Signal,
    term: Signal,
    int: Signal,
    quit: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            hup: signal(SignalKind::hangup())?,
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.hup.recv() => Asked::Reload,
            _ = self.term.recv() => Asked::Stop("SIGTERM"),
            _ = self.int.recv() => Asked::Stop("SIGINT"),
            _ = self.quit.recv() => Asked::Stop("SIGQUIT"),
        }
    }

    /// Two further signals, as dockerd has it.
    async fn insisted(&mut self) {
        let mut times = 0;
        while times < 2 {
            if let Asked::Stop(_) = self.next().await {
                times += 1;
            }
        }
    }
}

fn failed(cause: &str, seen: String) -> SetupError {
    SetupError::new(cause, seen, "see the log above; `bryo daemon --debug` says more")
}

/// An error with its causes.
fn chain(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut next = e.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
