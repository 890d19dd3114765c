//! A container's `HostConfig` and `Config`, as inspect shows them.

use std::collections::BTreeMap;

use bryo_core::model::{ContainerSpec, NetworkMode, RestartPolicy};
use bryo_spec::docker;
use serde_json::{Value, json};

use super::{mount, port};

/// `HostConfig`.
pub fn host_config(spec: &ContainerSpec, runtime: &str) -> docker::HostConfig {
    let (rows, columns) = spec.console_size;
    docker::HostConfig {
        binds: list(&spec.binds),
        container_id_file: spec.cidfile.clone(),
        log_config: docker::LogConfig {
            r#type: spec.log.driver.clone(),
            config: spec.log.options.clone(),
        },
        network_mode: network_mode(&spec.network_mode),
        port_bindings: port::asked(&spec.port_bindings),
        restart_policy: restart(spec.restart),
        auto_remove: spec.auto_remove,
        volume_driver: spec.volume_driver.clone(),
        volumes_from: list(&spec.volumes_from),
        console_size: [rows, columns],
        annotations: map(&spec.annotations),
        cap_add: list(&spec.cap_add),
        cap_drop: list(&spec.cap_drop),
        cgroupns_mode: spec.cgroupns_mode.clone(),
        dns: list(&spec.dns),
        dns_options: spec.dns_options.clone(),
        dns_search: spec.dns_search.clone(),
        extra_hosts: list(&spec.extra_hosts),
        group_add: list(&spec.group_add),
        ipc_mode: spec.ipc_mode.clone(),
        cgroup: String::new(),
        links: list(&spec.links),
        oom_score_adj: spec.oom_score_adj,
        pid_mode: spec.pid_mode.clone(),
        privileged: spec.privileged,
        publish_all_ports: spec.publish_all_ports,
        readonly_rootfs: spec.read_only,
        security_opt: list(&spec.security_opt),
        storage_opt: map(&spec.storage_opt),
        tmpfs: map(&spec.tmpfs),
        uts_mode: spec.uts_mode.clone(),
        userns_mode: spec.userns_mode.clone(),
        shm_size: i64::try_from(spec.shm_size).unwrap_or(i64::MAX),
        sysctls: map(&spec.sysctls),
        runtime: runtime.to_owned(),
        isolation: String::new(),
        resources: resources(spec),
        mounts: (!spec.mounts.is_empty()).then(|| spec.mounts.iter().map(mount::wire).collect()),
        masked_paths: spec.masked_paths.clone(),
        readonly_paths: spec.readonly_paths.clone(),
        init: spec.init,
    }
}

fn resources(spec: &ContainerSpec) -> docker::Resources {
    let r = &spec.resources;
    let blkio = |name: &str| match r.blkio_devices.get(name) {
        Some(Value::Array(list)) => list.clone(),
        _ => Vec::new(),
    };
    docker::Resources {
        cpu_shares: r.cpu_shares,
        memory: r.memory,
        nano_cpus: r.nano_cpus,
        cgroup_parent: r.cgroup_parent.clone(),
        blkio_weight: r.blkio_weight,
        blkio_weight_device: blkio("BlkioWeightDevice"),
        blkio_device_read_bps: blkio("BlkioDeviceReadBps"),
        blkio_device_write_bps: blkio("BlkioDeviceWriteBps"),
        blkio_device_read_iops: blkio("BlkioDeviceReadIOps"),
        blkio_device_write_iops: blkio("BlkioDeviceWriteIOps"),
        cpu_period: r.cpu_period,
        cpu_quota: r.cpu_quota,
        cpu_realtime_period: r.cpu_realtime_period,
        cpu_realtime_runtime: r.cpu_realtime_runtime,
        cpuset_cpus: r.cpuset_cpus.clone(),
        cpuset_mems: r.cpuset_mems.clone(),
        devices: spec
            .devices
            .iter()
            .map(|d| docker::DeviceMapping {
                path_on_host: d.host.clone(),
                path_in_container: d.container.clone(),
                cgroup_permissions: d.permissions.clone(),
            })
            .collect(),
        device_cgroup_rules: list(&spec.device_cgroup_rules),
        device_requests: (!spec.device_requests.is_empty()).then(|| spec.device_requests.clone()),
        kernel_memory: r.kernel_memory,
        kernel_memory_tcp: 0,
        memory_reservation: r.memory_reservation,
        memory_swap: r.memory_swap,
        memory_swappiness: r.memory_swappiness,
        oom_kill_disable: Some(r.oom_kill_disable),
        pids_limit: r.pids_limit,
        ulimits: spec
            .ulimits
            .iter()
            .map(|u| docker::Ulimit { name: u.name.clone(), hard: u.hard, soft: u.soft })
            .collect(),
        cpu_count: 0,
        cpu_percent: 0,
        io_maximum_iops: 0,
        io_maximum_bandwidth: 0,
    }
}

/// `Config`.
pub fn config(spec: &ContainerSpec) -> docker::Config {
    let set = |keys: Vec<String>| {
        (!keys.is_empty()).then(|| keys.into_iter().map(|key| (key, json!({}))).collect())
    };
    docker::Config {
        hostname: spec.hostname.clone(),
        domainname: spec.domainname.clone(),
        user: spec.user.clone(),
        attach_stdin: spec.attach.0,
        attach_stdout: spec.attach.1,
        attach_stderr: spec.attach.2,
        exposed_ports: set(spec.exposed_ports.iter().map(|p| port::text(*p)).collect()),
        tty: spec.tty,
        open_stdin: spec.open_stdin,
        stdin_once: spec.stdin_once,
        env: list(&spec.env),
        cmd: docker::command(spec.cmd.as_ref()),
        healthcheck: spec.healthcheck.as_ref().map(|h| docker::HealthConfig {
            test: h.test.clone(),
            interval: h.interval,
            timeout: h.timeout,
            start_period: h.start_period,
            start_interval: h.start_interval,
            retries: h.retries,
        }),
        args_escaped: None,
        image: spec.image.clone(),
        volumes: set(spec.volumes.clone()),
        working_dir: spec.working_dir.clone(),
        entrypoint: docker::command(spec.entrypoint.as_ref()),
        network_disabled: spec.network_disabled.then_some(true),
        mac_address: (!spec.mac_address.is_empty()).then(|| spec.mac_address.clone()),
        on_build: None,
        labels: spec.labels.clone(),
        stop_signal: spec.stop_signal.clone(),
        stop_timeout: spec.stop_timeout,
        shell: None,
    }
}

/// `HostConfig.NetworkMode`; the default is shown as the network it means.
pub fn network_mode(mode: &NetworkMode) -> String {
    match mode {
        NetworkMode::Default => "bridge".to_owned(),
        NetworkMode::Host => "host".to_owned(),
        NetworkMode::None => "none".to_owned(),
        NetworkMode::Container(id) => format!("container:{id}"),
        NetworkMode::Named(name) => name.clone(),
    }
}

fn restart(policy: RestartPolicy) -> docker::RestartPolicy {
    let (name, maximum_retry_count) = match policy {
        RestartPolicy::No => ("no", 0),
        RestartPolicy::Always => ("always", 0),
        RestartPolicy::UnlessStopped => ("unless-stopped", 0),
        RestartPolicy::OnFailure(count) => ("on-failure", count),
    };
    docker::RestartPolicy { name: name.to_owned(), maximum_retry_count }
}

fn list(list: &[String]) -> Option<Vec<String>> {
    (!list.is_empty()).then(|| list.to_vec())
}

fn map(map: &BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
    (!map.is_empty()).then(|| map.clone())
}
