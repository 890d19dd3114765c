//! `info`.

use bryo_spec::docker::Info;
use bryo_spec::docker::units::binary_size;
use serde_json::Value;

use super::super::context::Context;
use super::super::error::{CliError, Result};
use super::super::flags::{Flag, Parsed, plain_format};
use super::super::template::Template;

/// Its flags.
pub const FLAGS: &[Flag] = &[plain_format(Some('f'))];

/// Prints what the daemon is and has.
pub async fn info(context: Context, p: Parsed) -> Result<u8> {
    let info: Info = match context.client.get("/info").await {
        Ok(info) => info,
        Err(e) => {
            println!(
                "Client: Bryo\n Version:    {}\n Context:    default\n\nServer:",
                env!("CARGO_PKG_VERSION")
            );
            return Err(e);
        }
    };
    if let Some(text) = p.get("format").filter(|f| !f.is_empty()) {
        let data: Value = serde_json::to_value(&info).unwrap_or_default();
        let text = if text == "json" { "{{json .}}" } else { text };
        let printed = Template::parse(text).and_then(|t| t.render(&data)).map_err(CliError::new);
        return printed.map(|text| println!("{text}")).map(|()| 0);
    }
    print!("{}", text(&info));
    info.warnings.iter().for_each(|warning| eprintln!("{warning}"));
    Ok(0)
}

fn text(info: &Info) -> String {
    let mut out = format!(
        "Client: Bryo\n Version:    {}\n Context:    default\n\nServer:\n",
        env!("CARGO_PKG_VERSION")
    );
    let mut line = |depth: usize, key: &str, value: &str| {
        out += &format!("{:depth$}{key}: {value}\n", "");
    };
    line(1, "Containers", &info.containers.to_string());
    line(2, "Running", &info.containers_running.to_string());
    line(2, "Paused", &info.containers_paused.to_string());
    line(2, "Stopped", &info.containers_stopped.to_string());
    line(1, "Images", &info.images.to_string());
    line(1, "Server Version", &info.server_version);
    line(1, "Storage Driver", &info.driver);
    for (key, value) in &info.driver_status {
        line(2, key, value);
    }
    line(1, "Logging Driver", &info.logging_driver);
    line(1, "Cgroup Driver", &info.cgroup_driver);
    line(1, "Cgroup Version", &info.cgroup_version);
    line(1, "Plugins", "");
    line(2, "Volume", &info.plugins.volume.join(" "));
    line(2, "Network", &info.plugins.network.join(" "));
    line(2, "Log", &info.plugins.log.join(" "));
    line(1, "Swarm", &info.swarm.local_node_state);
    let runtimes: Vec<&str> = info.runtimes.keys().map(String::as_str).collect();
    line(1, "Runtimes", &runtimes.join(" "));
    line(1, "Default Runtime", &info.default_runtime);
    line(1, "Security Options", "");
    out += &security(&info.security_options);
    let mut line = |depth: usize, key: &str, value: &str| {
        out += &format!("{:depth$}{key}: {value}\n", "");
    };
    line(1, "Kernel Version", &info.kernel_version);
    line(1, "Operating System", &info.operating_system);
    line(1, "OSType", &info.os_type);
    line(1, "Architecture", &info.architecture);
    line(1, "CPUs", &info.ncpu.to_string());
    line(1, "Total Memory", &binary_size(info.mem_total));
    line(1, "Name", &info.name);
    line(1, "ID", &info.id);
    line(1, "Docker Root Dir", &info.docker_root_dir);
    line(1, "Debug Mode", &info.debug.to_string());
    line(1, "Experimental", &info.experimental_build.to_string());
    line(1, "Insecure Registries", "");
    for registry in &info.registry_config.insecure_registry_cidrs {
        out += &format!("  {registry}\n");
    }
    out += &format!(" Live Restore Enabled: {}\n", info.live_restore_enabled);
    if let Some(backend) = &info.firewall_backend {
        out += &format!(" Network Path: {}\n", backend.driver);
        for (key, value) in &backend.info {
            out += &format!("  {key}: {value}\n");
        }
    }
    out + "\n"
}

/// `name=seccomp,profile=builtin` on two lines.
fn security(options: &[String]) -> String {
    let mut out = String::new();
    for option in options {
        for (i, pair) in option.split(',').enumerate() {
            let (key, value) = pair.split_once('=').unwrap_or(("name", pair));
            match i {
                0 => out += &format!("  {value}\n"),
                _ => out += &format!("   {}: {value}\n", capitalised(key)),
            }
        }
    }
    out
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(chars).collect()
}
