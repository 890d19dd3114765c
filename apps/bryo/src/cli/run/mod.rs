//! `run` and `create`.
//!
//! The order of `run` is docker's: create (pulling what is missing), attach, wait, start, size. The wait is registered before
//! the start, so that not even the shortest life is missed. Exit code: the container's; 125 when the engine refuses, 126 and
//! 127 when the program cannot be run or is not there.

mod api_socket;
mod body;
mod checks;
pub mod flags;
mod mounts;
mod ports;
pub mod values;

use bryo_spec::docker::{CreateResponse, WaitResponse};

pub use body::{Attach, resources};

use super::client::{chunks, query, request, segment};
use super::context::Context;
use super::error::{CliError, Result};
use super::flags::Parsed;
use super::session::{self, Subject};
use super::{client, pull, terminal};

/// `create`.
pub async fn create(context: Context, p: Parsed) -> Result<u8> {
    let id = create_container(&context, &p, body::attach(&p)?).await?;
    println!("{id}");
    Ok(0)
}

/// `run`.
pub async fn run(context: Context, p: Parsed) -> Result<u8> {
    let attach = body::attach(&p)?;
    if p.is("tty") && attach.stdin && !terminal::stdin_is_terminal() {
        return Err(CliError::new("the input device is not a TTY"));
    }
    let id = create_container(&context, &p, attach)
        .await
        .map_err(|e| if e.is_usage() || e.is_config() { e } else { e.with_code(125) })?;
    let connect = attach.stdin || attach.stdout || attach.stderr;
    if !connect {
        start(&context, &id).await?;
        println!("{id}");
        return Ok(0);
    }
    let condition = if p.is("rm") { "removed" } else { "next-exit" };
    attached(
        &context,
        &id,
        &Attached {
            attach,
            tty: p.is("tty"),
            condition,
            detach_keys: p.text("detach-keys"),
            signals: p.is_or("sig-proxy", true) && !p.is("tty"),
        },
    )
    .await
}

/// How to be connected to a container that starts.
pub struct Attached {
    /// Which streams.
    pub attach: Attach,
    /// It has a terminal.
    pub tty: bool,
    /// What to wait for.
    pub condition: &'static str,
    /// Keys that leave it running.
    pub detach_keys: String,
    /// Pass signals on.
    pub signals: bool,
}

/// Attaches, starts, copies, waits: the exit code.
pub async fn attached(context: &Context, id: &str, how: &Attached) -> Result<u8> {
    let client = &context.client;
    let mut session = client.upgrade::<()>(&attach_path(id, how), None).await?;
    if how.tty {
        session.set_raw();
    }
    let mut wait = Wait::register(context, id, how.condition).await?;
    start(context, id).await?;
    let raw = (how.tty && how.attach.stdin).then(terminal::Raw::enter).flatten();
    let mut side = tokio::task::JoinSet::new();
    if how.tty && terminal::stdout_is_terminal() {
        side.spawn(session::follow_size(client.clone(), Subject::Container(id.to_owned())));
    }
    if how.signals {
        side.spawn(session::forward_signals(client.clone(), id.to_owned()));
    }
    session::run(session, how.attach.stdin).await?;
    drop(raw);
    // The output can end without the container: the user pressed the detach keys.
    if how.tty && how.attach.stdin && !wait.ends_soon().await && is_running(context, id).await {
        return Ok(0);
    }
    wait.code().await
}

fn attach_path(id: &str, how: &Attached) -> String {
    let mut pairs = vec![("stream", "1".to_owned())];
    for (name, wanted) in
        [("stdin", how.attach.stdin), ("stdout", how.attach.stdout), ("stderr", how.attach.stderr)]
    {
        if wanted {
            pairs.push((name, "1".to_owned()));
        }
    }
    if !how.detach_keys.is_empty() {
        pairs.push(("detachKeys", how.detach_keys.clone()));
    }
    format!("/containers/{}/attach{}", segment(id), query(&pairs))
}

/// A wait whose headers have come.
pub struct Wait {
    answer: tokio::task::JoinHandle<Result<WaitResponse>>,
    context: Context,
    id: String,
}

/// How long an engine that went away in the middle of a wait may take to come back. The container, and a session with it, goes on
/// without the engine; only its exit code has to be asked for again.
const RETURN: std::time::Duration = std::time::Duration::from_secs(30);

impl Wait {
    /// Registers it.
    pub async fn register(context: &Context, id: &str, condition: &str) -> Result<Wait> {
        let path = format!("/containers/{}/wait?condition={condition}", segment(id));
        let response =
            context.client.call(request(http::Method::POST, &path, client::empty())?).await?;
        let answer = tokio::spawn(async move {
            let mut lines = client::JsonLines::new(chunks(response));
            lines.next().await?.ok_or_else(|| {
                CliError::new("error waiting for container: the daemon closed the connection")
            })
        });
        Ok(Wait { answer, context: context.clone(), id: id.to_owned() })
    }

    /// Whether it ends within a moment.
    pub async fn ends_soon(&mut self) -> bool {
        for _ in 0..40 {
            if self.answer.is_finished() {
                return true;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        false
    }

    /// The exit code.
    pub async fn code(self) -> Result<u8> {
        let outcome = match self.answer.await.map_err(|e| CliError::new(e.to_string()))? {
            Ok(outcome) => outcome,
            Err(lost) => ask_again(&self.context, &self.id).await.ok_or(lost)?,
        };
        if let Some(error) = outcome.error {
            return Err(CliError::new(format!("error waiting for container: {}", error.message))
                .with_code(125));
        }
        Ok(u8::try_from(outcome.status_code & 0xff).unwrap_or(125))
    }
}

/// The outcome from an engine that was started again; none if it does not come back or does not know the container any more.
async fn ask_again(context: &Context, id: &str) -> Option<WaitResponse> {
    let path = format!("/containers/{}/wait", segment(id));
    let begin = std::time::Instant::now();
    while begin.elapsed() < RETURN {
        match context.client.post_for::<WaitResponse>(&path).await {
            Ok(outcome) => return Some(outcome),
            Err(e) if e.status().is_some() => return None,
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(200)).await,
        }
    }
    None
}

async fn is_running(context: &Context, id: &str) -> bool {
    let path = format!("/containers/{}/json", segment(id));
    context
        .client
        .get::<bryo_spec::docker::ContainerInspect>(&path)
        .await
        .is_ok_and(|c| c.state.running)
}

/// Starts; a refusal gets the exit code that shells know.
pub async fn start(context: &Context, id: &str) -> Result<()> {
    let path = format!("/containers/{}/start", segment(id));
    context.client.post(&path).await.map(drop).map_err(|e| {
        let text = e.to_string();
        let code = if text.contains("executable file not found")
            || text.contains("no such file or directory")
        {
            127
        } else if text.contains("permission denied") || text.contains("is a directory") {
            126
        } else {
            125
        };
        e.with_code(code)
    })
}

/// Creates, pulling the image when it is missing (or always, or never, as `--pull` says).
async fn create_container(context: &Context, p: &Parsed, attach: Attach) -> Result<String> {
    let policy = p.get("pull").unwrap_or("missing");
    if !matches!(policy, "always" | "missing" | "never" | "") {
        return Err(CliError::config(format!(
            "invalid pull option: '{policy}': must be one of \"always\", \"missing\" or \"never\""
        )));
    }
    let size = p.is("tty").then(terminal::size).flatten();
    let mut body = body::body(p, attach, size)?;
    if p.is("use-api-socket") {
        api_socket::mount(context, &mut body)?;
    }
    let cidfile = cid_file(p)?;
    let image = body.config.image.clone();
    let platform = platform(p);
    pull::check(&image)?;
    let fetch = || pull::to_stderr(context, &image, &platform, p.is("quiet"));
    if policy == "always" {
        fetch().await?;
    }
    let mut pairs = Vec::new();
    if let Some(name) = p.get("name") {
        pairs.push(("name", name.to_owned()));
    }
    if !platform.is_empty() {
        pairs.push(("platform", platform.clone()));
    }
    let path = format!("/containers/create{}", query(&pairs));
    let created = match context.client.post_json::<_, CreateResponse>(&path, &body).await {
        Err(e) if is_missing_image(&e) && policy == "missing" => {
            eprintln!("Unable to find image '{}' locally", pull::with_tag(&image));
            fetch().await?;
            context.client.post_json::<_, CreateResponse>(&path, &body).await
        }
        other => other,
    }?;
    if p.is("use-api-socket") {
        api_socket::copy(context, &created.id).await?;
    }
    for warning in &created.warnings {
        eprintln!("WARNING: {warning}");
    }
    if let Some(path) = cidfile {
        std::fs::write(&path, &created.id).map_err(|e| {
            CliError::new(format!("failed to write the container ID to {path}: {e}"))
        })?;
    }
    Ok(created.id)
}

fn is_missing_image(e: &CliError) -> bool {
    e.status() == Some(404) && e.to_string().to_lowercase().contains("no such image")
}

fn platform(p: &Parsed) -> String {
    p.get("platform")
        .map(str::to_owned)
        .or_else(|| std::env::var("DOCKER_DEFAULT_PLATFORM").ok())
        .unwrap_or_default()
}

/// The file for the id must not be there yet.
fn cid_file(p: &Parsed) -> Result<Option<String>> {
    let Some(path) = p.get("cidfile").filter(|path| !path.is_empty()) else { return Ok(None) };
    if std::path::Path::new(path).exists() {
        return Err(CliError::new(format!(
            "container ID file found, make sure the other container isn't running or delete {path}"
        )));
    }
    std::fs::File::create_new(path).map_err(|e| {
        let why = match e.kind() {
            std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
            std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => e.to_string(),
        };
        CliError::new(format!("failed to create the container ID file: open {path}: {why}"))
    })?;
    Ok(Some(path.to_owned()))
}
