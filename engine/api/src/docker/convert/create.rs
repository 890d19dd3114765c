//! The body of `POST /containers/create` becomes a [`ContainerSpec`].

use std::collections::BTreeMap;

use bryo_core::model::{
    ContainerSpec, DeviceMapping, HealthCheck, LogSettings, NetworkMode, Resources, RestartPolicy,
    Ulimit,
};
use bryo_spec::docker;
use serde_json::Value;

use super::super::error::{ApiError, Result};
use super::super::version::Version;
use super::{endpoint, mount, port};

/// The whole body.
pub fn spec(
    body: docker::CreateRequest,
    platform: Option<&str>,
    version: Version,
) -> Result<ContainerSpec> {
    let mut spec =
        ContainerSpec { platform: platform.map(str::to_owned), ..ContainerSpec::default() };
    config(&mut spec, body.config)?;
    let endpoints = body.networking_config.endpoints_config;
    for (name, settings) in endpoints {
        spec.endpoints.insert(name, endpoint::settings(settings.unwrap_or_default())?);
    }
    host(&mut spec, body.host_config, version)?;
    Ok(spec)
}

/// The part that is the same on every host; also what `commit` takes.
pub fn config(spec: &mut ContainerSpec, c: docker::Config) -> Result<()> {
    spec.image = c.image;
    spec.cmd = c.cmd.map(docker::OneOrMany::into_vec);
    spec.entrypoint = c.entrypoint.map(docker::OneOrMany::into_vec);
    spec.env = c.env.unwrap_or_default();
    spec.working_dir = c.working_dir;
    spec.user = c.user;
    spec.hostname = c.hostname;
    spec.domainname = c.domainname;
    spec.tty = c.tty;
    spec.open_stdin = c.open_stdin;
    spec.stdin_once = c.stdin_once;
    spec.attach = (c.attach_stdin, c.attach_stdout, c.attach_stderr);
    spec.labels = c.labels;
    spec.stop_signal = c.stop_signal.filter(|s| !s.is_empty());
    spec.stop_timeout = c.stop_timeout;
    spec.healthcheck = c.healthcheck.map(health);
    for key in c.exposed_ports.unwrap_or_default().keys() {
        spec.exposed_ports.extend(port::parse(key)?);
    }
    spec.volumes = c.volumes.unwrap_or_default().into_keys().collect();
    spec.network_disabled = c.network_disabled.unwrap_or_default();
    spec.mac_address = c.mac_address.unwrap_or_default();
    Ok(())
}

fn health(h: docker::HealthConfig) -> HealthCheck {
    HealthCheck {
        test: h.test,
        interval: h.interval,
        timeout: h.timeout,
        start_period: h.start_period,
        start_interval: h.start_interval,
        retries: h.retries,
    }
}

fn host(spec: &mut ContainerSpec, h: docker::HostConfig, version: Version) -> Result<()> {
    let or_empty = Option::<Vec<String>>::unwrap_or_default;
    spec.binds = or_empty(h.binds);
    spec.cidfile = h.container_id_file;
    spec.log = LogSettings { driver: h.log_config.r#type, options: h.log_config.config };
    spec.network_mode = network_mode(&h.network_mode);
    spec.port_bindings = port::bindings(h.port_bindings)?;
    spec.restart = restart(&h.restart_policy)?;
    spec.auto_remove = h.auto_remove;
    spec.volume_driver = h.volume_driver;
    spec.volumes_from = or_empty(h.volumes_from);
    spec.console_size = (h.console_size[0], h.console_size[1]);
    spec.annotations = h.annotations.unwrap_or_default();
    spec.cap_add = or_empty(h.cap_add);
    spec.cap_drop = or_empty(h.cap_drop);
    spec.cgroupns_mode = if version.since(41) { h.cgroupns_mode } else { String::new() };
    spec.dns = or_empty(h.dns);
    spec.dns_options = h.dns_options;
    spec.dns_search = h.dns_search;
    spec.extra_hosts = or_empty(h.extra_hosts);
    spec.group_add = or_empty(h.group_add);
    spec.ipc_mode = h.ipc_mode;
    spec.links = or_empty(h.links);
    spec.oom_score_adj = h.oom_score_adj;
    spec.pid_mode = h.pid_mode;
    spec.privileged = h.privileged;
    spec.publish_all_ports = h.publish_all_ports;
    spec.read_only = h.readonly_rootfs;
    spec.security_opt = or_empty(h.security_opt);
    spec.storage_opt = h.storage_opt.unwrap_or_default();
    spec.tmpfs = h.tmpfs.unwrap_or_default();
    spec.uts_mode = h.uts_mode;
    spec.userns_mode = h.userns_mode;
    spec.shm_size = u64::try_from(h.shm_size)
        .map_err(|_| ApiError::bad_request("SHM size can not be less than 0"))?;
    spec.sysctls = h.sysctls.unwrap_or_default();
    spec.runtime = h.runtime;
    check_isolation(&h.isolation)?;
    let mounts = h.mounts.unwrap_or_default();
    spec.mounts = mounts.into_iter().map(mount::spec).collect::<Result<_>>()?;
    spec.masked_paths = h.masked_paths;
    spec.readonly_paths = h.readonly_paths;
    spec.init = h.init;
    limits(spec, h.resources);
    Ok(())
}

fn check_isolation(isolation: &str) -> Result<()> {
    match isolation.to_ascii_lowercase().as_str() {
        "" | "default" => Ok(()),
        _ => Err(ApiError::bad_request(format!(
            "invalid isolation '{isolation}': Linux supports only 'default'"
        ))),
    }
}

fn limits(spec: &mut ContainerSpec, mut r: docker::Resources) {
    spec.devices = std::mem::take(&mut r.devices)
        .into_iter()
        .map(|d| DeviceMapping {
            host: d.path_on_host,
            container: d.path_in_container,
            permissions: d.cgroup_permissions,
        })
        .collect();
    spec.device_cgroup_rules = r.device_cgroup_rules.take().unwrap_or_default();
    spec.device_requests = r.device_requests.take().unwrap_or_default();
    spec.ulimits = std::mem::take(&mut r.ulimits)
        .into_iter()
        .map(|u| Ulimit { name: u.name, soft: u.soft, hard: u.hard })
        .collect();
    spec.resources = resources(r);
}

/// Limits; also the body of `update`.
pub fn resources(r: docker::Resources) -> Resources {
    let blkio = [
        ("BlkioWeightDevice", r.blkio_weight_device),
        ("BlkioDeviceReadBps", r.blkio_device_read_bps),
        ("BlkioDeviceWriteBps", r.blkio_device_write_bps),
        ("BlkioDeviceReadIOps", r.blkio_device_read_iops),
        ("BlkioDeviceWriteIOps", r.blkio_device_write_iops),
    ];
    let blkio_devices: BTreeMap<String, Value> = blkio
        .into_iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(name, list)| (name.to_owned(), Value::Array(list)))
        .collect();
    Resources {
        cpu_shares: r.cpu_shares,
        memory: r.memory,
        nano_cpus: r.nano_cpus,
        cgroup_parent: r.cgroup_parent,
        blkio_weight: r.blkio_weight,
        blkio_devices,
        cpu_period: r.cpu_period,
        cpu_quota: r.cpu_quota,
        cpu_realtime_period: r.cpu_realtime_period,
        cpu_realtime_runtime: r.cpu_realtime_runtime,
        cpuset_cpus: r.cpuset_cpus,
        cpuset_mems: r.cpuset_mems,
        memory_reservation: r.memory_reservation,
        memory_swap: r.memory_swap,
        // The command line sends -1 for "not said".
        memory_swappiness: r.memory_swappiness.filter(|s| *s >= 0),
        kernel_memory: r.kernel_memory,
        oom_kill_disable: r.oom_kill_disable.unwrap_or_default(),
        pids_limit: r.pids_limit.filter(|n| *n != 0),
    }
}

/// A restart policy, or Docker's refusal.
pub fn restart(policy: &docker::RestartPolicy) -> Result<RestartPolicy> {
    let count = policy.maximum_retry_count;
    let parsed = match policy.name.as_str() {
        "" | "no" => RestartPolicy::No,
        "always" => RestartPolicy::Always,
        "unless-stopped" => RestartPolicy::UnlessStopped,
        "on-failure" => return Ok(RestartPolicy::OnFailure(count)),
        other => {
            return Err(ApiError::bad_request(format!(
                "invalid restart policy: unknown policy '{other}'; use one of 'no', 'always', \
                 'on-failure', or 'unless-stopped'"
            )));
        }
    };
    if count > 0 {
        return Err(ApiError::bad_request(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'",
        ));
    }
    Ok(parsed)
}

/// `HostConfig.NetworkMode`.
pub fn network_mode(mode: &str) -> NetworkMode {
    match mode {
        "" | "default" => NetworkMode::Default,
        "host" => NetworkMode::Host,
        "none" => NetworkMode::None,
        other => match other.strip_prefix("container:") {
            Some(container) => NetworkMode::Container(container.to_owned()),
            None => NetworkMode::Named(other.to_owned()),
        },
    }
}

#[cfg(test)]
#[path = "create_tests.rs"]
mod tests;
