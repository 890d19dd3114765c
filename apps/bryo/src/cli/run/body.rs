//! The body of `create`, out of the flags.

use bryo_spec::docker::{
    Config, CreateRequest, EndpointIpamConfig, EndpointSettings, HealthConfig, HostConfig,
    LogConfig, NetworkingConfig, Resources,
};
use serde_json::json;

use super::super::error::{CliError, Result};
use super::super::flags::Parsed;
use super::{checks, mounts, ports, values};

/// What of the container's streams the user is connected to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attach {
    /// Input.
    pub stdin: bool,
    /// Output.
    pub stdout: bool,
    /// Errors.
    pub stderr: bool,
}

/// Which streams: all outputs, and the input with `-i`, unless `-a` says.
pub fn attach(p: &Parsed) -> Result<Attach> {
    let list = p.all("attach");
    if p.is("detach") {
        if !list.is_empty() {
            return Err(CliError::new(
                "conflicting options: cannot specify both --attach and --detach",
            ));
        }
        return Ok(Attach::default());
    }
    if list.is_empty() {
        return Ok(Attach { stdin: p.is("interactive"), stdout: true, stderr: true });
    }
    let mut attach = Attach::default();
    for stream in list {
        match stream.to_ascii_lowercase().as_str() {
            "stdin" => attach.stdin = true,
            "stdout" => attach.stdout = true,
            "stderr" => attach.stderr = true,
            _ => {
                return Err(CliError::usage(format!(
                    "invalid argument \"{stream}\" for \"-a, --attach\" flag: valid streams are \
                     STDIN, STDOUT and STDERR"
                )));
            }
        }
    }
    Ok(attach)
}

/// The whole body.
pub fn body(p: &Parsed, attach: Attach, size: Option<(u16, u16)>) -> Result<CreateRequest> {
    checks::values(p)?;
    let (image, command) = p.args.split_first().ok_or_else(|| CliError::new("no image"))?;
    let (port_bindings, exposed) = ports::ports(&p.all("publish"), &p.all("expose"))?;
    let (binds, anonymous) = mounts::volumes(&p.all("volume"))?;
    let set = |keys: Vec<String>| keys.into_iter().map(|key| (key, json!({}))).collect();
    let config = Config {
        hostname: p.text("hostname"),
        domainname: p.text("domainname"),
        user: p.text("user"),
        attach_stdin: attach.stdin,
        attach_stdout: attach.stdout,
        attach_stderr: attach.stderr,
        exposed_ports: (!exposed.is_empty()).then(|| set(exposed)),
        tty: p.is("tty"),
        open_stdin: p.is("interactive"),
        stdin_once: p.is("interactive") && attach.stdin,
        env: Some(values::environment(&p.all("env-file"), &p.all("env"))?),
        cmd: (!command.is_empty()).then(|| command.to_vec().into()),
        healthcheck: health(p)?,
        image: image.clone(),
        volumes: (!anonymous.is_empty()).then(|| set(anonymous)),
        working_dir: p.text("workdir"),
        entrypoint: p.get("entrypoint").map(|e| vec![e.to_owned()].into()),
        mac_address: p.get("mac-address").map(str::to_owned),
        labels: values::labels(&p.all("label-file"), &p.all("label"))?,
        stop_signal: p.get("stop-signal").map(str::to_owned),
        stop_timeout: p.number("stop-timeout")?,
        ..Default::default()
    };
    let mut host_config = host(p, size)?;
    host_config.binds = Some(binds);
    host_config.port_bindings = port_bindings;
    let networking_config = networks(p, &mut host_config)?;
    Ok(CreateRequest { config, host_config, networking_config })
}

fn health(p: &Parsed) -> Result<Option<HealthConfig>> {
    let given = [
        "health-cmd",
        "health-interval",
        "health-timeout",
        "health-retries",
        "health-start-period",
        "health-start-interval",
    ]
    .iter()
    .any(|flag| p.has(flag));
    if p.is("no-healthcheck") {
        if given {
            return Err(CliError::config("--no-healthcheck conflicts with --health-* options"));
        }
        return Ok(Some(HealthConfig { test: vec!["NONE".to_owned()], ..Default::default() }));
    }
    if !given {
        return Ok(None);
    }
    let time = |flag: &str| values::duration_flag(flag, p.get(flag));
    Ok(Some(HealthConfig {
        test: p
            .get("health-cmd")
            .map(|cmd| vec!["CMD-SHELL".to_owned(), cmd.to_owned()])
            .unwrap_or_default(),
        interval: time("health-interval")?,
        timeout: time("health-timeout")?,
        start_period: time("health-start-period")?,
        start_interval: time("health-start-interval")?,
        retries: p.number("health-retries")?.unwrap_or_default(),
    }))
}

fn host(p: &Parsed, size: Option<(u16, u16)>) -> Result<HostConfig> {
    let some = |flag: &str| Some(p.all(flag)).filter(|list| !list.is_empty());
    let pairs = |flag: &str| Some(values::map(&p.all(flag))).filter(|map| !map.is_empty());
    let mut security_opt = values::security_options(&p.all("security-opt"))?;
    let unmasked = security_opt.iter().any(|o| o == "systempaths=unconfined");
    security_opt.retain(|o| o != "systempaths=unconfined");
    let mut dns_options = p.all("dns-option");
    dns_options.extend(p.all("dns-opt"));
    let mount_list = p.all("mount");
    let restart_policy = values::restart(p.get("restart").unwrap_or("no"))?;
    if p.is("rm") && !matches!(restart_policy.name.as_str(), "" | "no") {
        return Err(CliError::config(
            "conflicting options: cannot specify both --restart and --rm",
        ));
    }
    let (rows, columns) = size.unwrap_or_default();
    Ok(HostConfig {
        container_id_file: p.text("cidfile"),
        log_config: LogConfig {
            r#type: p.text("log-driver"),
            config: values::map(&p.all("log-opt")),
        },
        restart_policy,
        auto_remove: p.is("rm"),
        volume_driver: p.text("volume-driver"),
        volumes_from: some("volumes-from"),
        console_size: [rows, columns],
        annotations: pairs("annotation"),
        cap_add: some("cap-add"),
        cap_drop: some("cap-drop"),
        cgroupns_mode: p.text("cgroupns"),
        dns: some("dns"),
        dns_options,
        dns_search: p.all("dns-search"),
        extra_hosts: some("add-host"),
        group_add: some("group-add"),
        ipc_mode: p.text("ipc"),
        links: some("link"),
        oom_score_adj: p.number("oom-score-adj")?.unwrap_or_default(),
        pid_mode: p.text("pid"),
        privileged: p.is("privileged"),
        publish_all_ports: p.is("publish-all"),
        readonly_rootfs: p.is("read-only"),
        security_opt: (!security_opt.is_empty()).then_some(security_opt),
        storage_opt: pairs("storage-opt"),
        tmpfs: Some(mounts::tmpfs(&p.all("tmpfs"))).filter(|map| !map.is_empty()),
        uts_mode: p.text("uts"),
        userns_mode: p.text("userns"),
        shm_size: values::bytes("--shm-size", p.get("shm-size"))?,
        sysctls: pairs("sysctl"),
        runtime: p.text("runtime"),
        isolation: p.text("isolation"),
        resources: resources(p)?,
        mounts: (!mount_list.is_empty())
            .then(|| mount_list.iter().map(|m| mounts::mount(m)).collect::<Result<_>>())
            .transpose()?,
        masked_paths: unmasked.then(Vec::new),
        readonly_paths: unmasked.then(Vec::new),
        init: p.has("init").then(|| p.is("init")),
        ..Default::default()
    })
}

/// Limits; also of `update`.
pub fn resources(p: &Parsed) -> Result<Resources> {
    let number = |flag: &str| Ok::<_, CliError>(p.number::<i64>(flag)?.unwrap_or_default());
    let memory_swap = match p.get("memory-swap") {
        Some("-1") => -1,
        other => values::bytes("--memory-swap", other)?,
    };
    let gpus = p.get("gpus").map(checks::gpus).transpose()?;
    Ok(Resources {
        cpu_shares: number("cpu-shares")?,
        memory: values::bytes("-m, --memory", p.get("memory"))?,
        nano_cpus: values::nano_cpus(p.get("cpus"))?,
        cgroup_parent: p.text("cgroup-parent"),
        blkio_weight: p.number("blkio-weight")?.unwrap_or_default(),
        blkio_weight_device: checks::weights(p)?,
        blkio_device_read_bps: checks::throttles(p, "device-read-bps", true)?,
        blkio_device_write_bps: checks::throttles(p, "device-write-bps", true)?,
        blkio_device_read_iops: checks::throttles(p, "device-read-iops", false)?,
        blkio_device_write_iops: checks::throttles(p, "device-write-iops", false)?,
        cpu_period: number("cpu-period")?,
        cpu_quota: number("cpu-quota")?,
        cpu_realtime_period: number("cpu-rt-period")?,
        cpu_realtime_runtime: number("cpu-rt-runtime")?,
        cpuset_cpus: p.text("cpuset-cpus"),
        cpuset_mems: p.text("cpuset-mems"),
        devices: p.all("device").iter().map(|d| values::device(d)).collect(),
        device_cgroup_rules: Some(p.all("device-cgroup-rule")).filter(|list| !list.is_empty()),
        device_requests: gpus.and_then(|list| list.as_array().cloned()),
        memory_reservation: values::bytes("--memory-reservation", p.get("memory-reservation"))?,
        memory_swap,
        memory_swappiness: p.number("memory-swappiness")?,
        oom_kill_disable: p.has("oom-kill-disable").then(|| p.is("oom-kill-disable")),
        pids_limit: p.number("pids-limit")?,
        ulimits: p.all("ulimit").iter().map(|u| values::ulimit(u)).collect::<Result<_>>()?,
        ..Default::default()
    })
}

/// `--network name` or `--network name=…,alias=…`, several times; the flags for addresses belong to the first.
fn networks(p: &Parsed, host: &mut HostConfig) -> Result<NetworkingConfig> {
    let mut list = p.all("network");
    list.extend(p.all("net"));
    if list.is_empty() {
        list.push("default".to_owned());
    }
    let mut config = NetworkingConfig::default();
    for (i, text) in list.iter().enumerate() {
        let (name, mut endpoint) = network(text)?;
        if i == 0 {
            host.network_mode.clone_from(&name);
            first_network(p, &mut endpoint);
        }
        if !name.starts_with("container:") {
            config.endpoints_config.insert(name, Some(endpoint));
        }
    }
    Ok(config)
}

fn first_network(p: &Parsed, endpoint: &mut EndpointSettings) {
    let mut aliases = p.all("network-alias");
    aliases.extend(p.all("net-alias"));
    if !aliases.is_empty() {
        endpoint.aliases.get_or_insert_default().extend(aliases);
    }
    let ipam = EndpointIpamConfig {
        ipv4_address: p.text("ip"),
        ipv6_address: p.text("ip6"),
        link_local_ips: p.all("link-local-ip"),
    };
    if ipam != EndpointIpamConfig::default() {
        endpoint.ipam_config = Some(ipam);
    }
    if let Some(mac) = p.get("mac-address") {
        endpoint.mac_address = mac.to_owned();
    }
}

fn network(text: &str) -> Result<(String, EndpointSettings)> {
    let mut endpoint = EndpointSettings::default();
    if !text.contains('=') {
        return Ok((text.to_owned(), endpoint));
    }
    let mut name = String::new();
    for field in text.split(',') {
        let (key, value) = field.split_once('=').unwrap_or((field, ""));
        let value = value.to_owned();
        match key {
            "name" => name = value,
            "alias" => endpoint.aliases.get_or_insert_default().push(value),
            "ip" => endpoint.ipam_config.get_or_insert_default().ipv4_address = value,
            "ip6" => endpoint.ipam_config.get_or_insert_default().ipv6_address = value,
            "link-local-ip" => {
                endpoint.ipam_config.get_or_insert_default().link_local_ips.push(value);
            }
            "mac-address" => endpoint.mac_address = value,
            "gw-priority" => endpoint.gw_priority = value.parse().ok(),
            "driver-opt" => {
                let (key, value) = value.split_once('=').unwrap_or((&value, ""));
                endpoint.driver_opts.get_or_insert_default().insert(key.into(), value.into());
            }
            other => {
                return Err(CliError::usage(format!(
                    "invalid argument \"{text}\" for \"--network\" flag: invalid field key {other}"
                )));
            }
        }
    }
    if name.is_empty() {
        return Err(CliError::usage(format!(
            "invalid argument \"{text}\" for \"--network\" flag: network name/id is not specified"
        )));
    }
    Ok((name, endpoint))
}

#[cfg(test)]
mod tests {
    use super::super::super::flags::{self, Order};
    use super::super::flags::{COMMON, RUN};
    use super::*;

    fn create(line: &str) -> Result<CreateRequest> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let parsed = flags::parse(&[COMMON, RUN], Order::FlagsFirst, &words)?;
        let attach = attach(&parsed)?;
        body(&parsed, attach, None)
    }

    #[test]
    fn a_full_line_becomes_a_body() {
        let b = create(
            "-it --rm -p 8080:80 -v /a:/b -e A=b -m 32m --cpus 0.5 --network n --network-alias x \
             --restart no --health-cmd true -u 1:1 --init busybox sh -c ls",
        )
        .unwrap();
        assert_eq!(b.config.image, "busybox");
        assert_eq!(b.config.cmd.unwrap().into_vec(), ["sh", "-c", "ls"]);
        assert!(b.config.tty && b.config.stdin_once && b.host_config.auto_remove);
        assert_eq!(b.host_config.resources.memory, 32 << 20);
        assert_eq!(b.host_config.network_mode, "n");
        let endpoint = b.networking_config.endpoints_config["n"].clone().unwrap();
        assert_eq!(endpoint.aliases, Some(vec!["x".to_owned()]));
        assert_eq!(b.host_config.init, Some(true));
        assert_eq!(b.config.healthcheck.unwrap().test, ["CMD-SHELL", "true"]);
    }

    #[test]
    fn conflicts_are_refused() {
        assert!(create("--rm --restart always busybox").is_err());
        assert!(create("-d -a stdout busybox").is_err());
        assert!(create("--no-healthcheck --health-cmd x busybox").is_err());
    }
}
