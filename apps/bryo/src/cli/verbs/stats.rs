//! `stats`: what containers use, once or again and again.

use std::io::Write;
use std::time::Duration;

use bryo_spec::docker::ContainerSummary;
use bryo_spec::docker::units::{binary_size, human_size};
use serde_json::{Value, json};

use super::super::client::segment;
use super::super::context::Context;
use super::super::error::{CliError, Result};
use super::super::flags::{Flag, LIST_FORMAT, Parsed, switch};
use super::super::format::{self, Columns, short_id};
use super::super::sample::{Sample, Sampler};
use super::attach::inspect;

/// Its flags.
pub const FLAGS: &[Flag] = &[
    switch("all", Some('a'), "Show all containers (default shows just running)"),
    LIST_FORMAT,
    switch("no-stream", None, "Disable streaming stats and only pull the first result"),
    switch("no-trunc", None, "Do not truncate output"),
];

const COLUMNS: Columns = Columns {
    kind: "*container.statsContext",
    default: "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}",
    titles: &[
        ("Container", "CONTAINER"),
        ("ID", "CONTAINER ID"),
        ("Name", "NAME"),
        ("CPUPerc", "CPU %"),
        ("MemUsage", "MEM USAGE / LIMIT"),
        ("MemPerc", "MEM %"),
        ("NetIO", "NET I/O"),
        ("BlockIO", "BLOCK I/O"),
        ("PIDs", "PIDS"),
    ],
};

/// How often the screen changes.
const TICK: Duration = Duration::from_millis(500);

/// A container to show, and what the user called it.
struct Shown {
    called: String,
    id: String,
    name: String,
    running: bool,
}

/// Shows it.
pub async fn stats(context: Context, p: Parsed) -> Result<u8> {
    if p.is("no-stream") {
        let mut rows = Vec::new();
        for container in containers(&context, &p).await? {
            let sample = once(&context, &container).await?;
            rows.push(row(&container, sample.as_ref(), p.is("no-trunc")));
        }
        format::print_list(&rows, p.get("format"), &COLUMNS)?;
        return Ok(0);
    }
    let mut sampler = Sampler::new(context.client.clone());
    loop {
        let list = containers(&context, &p).await?;
        let ids: Vec<String> = list.iter().filter(|c| c.running).map(|c| c.id.clone()).collect();
        sampler.watch(&ids);
        tokio::time::sleep(TICK).await;
        if let Some(failure) = sampler.failure().await.filter(|e| e.status() != Some(404)) {
            return Err(failure);
        }
        let rows: Vec<Value> = {
            let samples = sampler.samples();
            let newest = |c: &Shown| samples.get(&c.id).cloned().flatten();
            list.iter().map(|c| row(c, newest(c).as_ref(), p.is("no-trunc"))).collect()
        };
        show(&format::list(&rows, p.get("format"), &COLUMNS)?)?;
    }
}

/// Writes over what was there: each line up to its end, and nothing of the old below.
fn show(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    write!(out, "\x1b[H")?;
    text.lines().try_for_each(|line| writeln!(out, "{line}\x1b[K"))?;
    write!(out, "\x1b[J")?;
    Ok(out.flush()?)
}

async fn containers(context: &Context, p: &Parsed) -> Result<Vec<Shown>> {
    let mut list = Vec::new();
    for called in &p.args {
        let found = inspect(context, called).await?;
        list.push(Shown {
            called: called.clone(),
            name: found.name.trim_start_matches('/').to_owned(),
            running: found.state.running,
            id: found.id,
        });
    }
    if p.args.is_empty() {
        let path = if p.is("all") { "/containers/json?all=1" } else { "/containers/json" };
        let all: Vec<ContainerSummary> = context.client.get(path).await?;
        list.extend(all.into_iter().map(|c| Shown {
            called: short_id(&c.id).to_owned(),
            name: c.names.first().map_or("", |n| n.trim_start_matches('/')).to_owned(),
            running: matches!(c.state.as_str(), "running" | "paused"),
            id: c.id,
        }));
    }
    Ok(list)
}

async fn once(context: &Context, container: &Shown) -> Result<Option<Sample>> {
    let path = format!("/containers/{}/stats?stream=0", segment(&container.id));
    match context.client.get::<Value>(&path).await {
        Ok(line) => Ok(Some(Sample::read(&line))),
        // It ended meanwhile.
        Err(e) if matches!(e.status(), Some(404 | 409)) => Ok(None),
        Err(e) => Err(CliError::new(e.to_string())),
    }
}

fn row(container: &Shown, sample: Option<&Sample>, full: bool) -> Value {
    let empty = Sample::default();
    let s = sample.unwrap_or(&empty);
    let or_dashes =
        |text: String, dashes: &str| if sample.is_some() { text } else { dashes.to_owned() };
    let pair = |(a, b): (u64, u64)| format!("{} / {}", human_size(a, 3), human_size(b, 3));
    json!({
        "Container": container.called,
        "ID": if full { &container.id } else { short_id(&container.id) },
        "Name": container.name,
        "CPUPerc": or_dashes(format!("{:.2}%", s.cpu), "--"),
        "MemUsage": or_dashes(format!("{} / {}", binary_size(s.memory), binary_size(s.limit)), "-- / --"),
        "MemPerc": or_dashes(format!("{:.2}%", s.memory_share()), "--"),
        "NetIO": or_dashes(pair(s.network), "-- / --"),
        "BlockIO": or_dashes(pair(s.block), "-- / --"),
        "PIDs": or_dashes(s.pids.to_string(), "--"),
    })
}
