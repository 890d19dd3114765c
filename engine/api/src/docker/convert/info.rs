//! `GET /info` and `GET /version`.

use std::collections::BTreeMap;

use bryo_core::model::EngineInfo;
use bryo_spec::docker;

use super::super::SERVER_VERSION;
use super::super::time;
use super::super::version::Version;

/// The commit this was built from, if the build told.
const COMMIT: &str = match option_env!("BRYO_COMMIT") {
    Some(commit) => commit,
    None => "",
};

/// `GET /version`.
pub fn version(info: &EngineInfo) -> docker::Version {
    let arch = go_arch(&info.architecture);
    let details = [
        ("ApiVersion", Version::NEWEST.to_string()),
        ("Arch", arch.to_owned()),
        ("Experimental", "false".to_owned()),
        ("GitCommit", COMMIT.to_owned()),
        ("KernelVersion", info.kernel.clone()),
        ("MinAPIVersion", Version::OLDEST.to_string()),
        ("Os", "linux".to_owned()),
    ];
    let component = |name: &str, version: &str, details: BTreeMap<String, String>| {
        docker::Component { name: name.to_owned(), version: version.to_owned(), details }
    };
    docker::Version {
        platform: docker::Platform { name: "Bryo".to_owned() },
        version: SERVER_VERSION.to_owned(),
        api_version: Version::NEWEST.to_string(),
        min_api_version: Version::OLDEST.to_string(),
        os: "linux".to_owned(),
        arch: arch.to_owned(),
        components: vec![
            component(
                "Engine",
                SERVER_VERSION,
                details.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            ),
            component(
                "bryo",
                env!("CARGO_PKG_VERSION"),
                BTreeMap::from([("GitCommit".to_owned(), COMMIT.to_owned())]),
            ),
        ],
        git_commit: COMMIT.to_owned(),
        go_version: String::new(),
        kernel_version: info.kernel.clone(),
        build_time: String::new(),
    }
}

/// `GET /info`.
pub fn info(info: EngineInfo, version: Version) -> docker::Info {
    let (containers, containers_running, containers_paused, containers_stopped) = info.containers;
    let [memory, swap, cfs_period, cfs_quota, shares, cpu_set, pids] = info.limits;
    let old = (!version.since(42)).then_some(false);
    docker::Info {
        id: info.id.clone(),
        containers,
        containers_running,
        containers_paused,
        containers_stopped,
        images: info.images,
        driver: info.storage_driver.clone(),
        driver_status: info.storage_status.clone(),
        plugins: plugins(),
        memory_limit: memory,
        swap_limit: swap,
        kernel_memory: old,
        kernel_memory_tcp: old,
        cpu_cfs_period: cfs_period,
        cpu_cfs_quota: cfs_quota,
        cpu_shares: shares,
        cpu_set,
        pids_limit: pids,
        ipv4_forwarding: true,
        bridge_nf_iptables: (!version.since(50)).then_some(false),
        bridge_nf_ip6tables: (!version.since(50)).then_some(false),
        debug: info.debug,
        n_fd: open_files(),
        oom_kill_disable: false,
        n_goroutines: 0,
        system_time: time::rfc3339(time::now()),
        logging_driver: info.log_driver.clone(),
        cgroup_driver: info.cgroup_driver.clone(),
        cgroup_version: info.cgroup_version.to_string(),
        n_events_listener: info.event_listeners,
        kernel_version: info.kernel.clone(),
        operating_system: info.operating_system.0.clone(),
        os_version: info.operating_system.1.clone(),
        os_type: "linux".to_owned(),
        architecture: info.architecture.clone(),
        index_server_address: "https://index.docker.io/v1/".to_owned(),
        registry_config: registries(&info),
        ncpu: info.cpus,
        mem_total: info.memory,
        generic_resources: None,
        docker_root_dir: info.data_root.clone(),
        http_proxy: String::new(),
        https_proxy: String::new(),
        no_proxy: String::new(),
        name: info.name.clone(),
        labels: info.labels.clone(),
        experimental_build: false,
        server_version: SERVER_VERSION.to_owned(),
        runtimes: runtimes(&info),
        default_runtime: info.default_runtime.clone(),
        swarm: docker::Swarm { local_node_state: "inactive".to_owned(), ..Default::default() },
        live_restore_enabled: info.live_restore,
        isolation: String::new(),
        init_binary: "bryo".to_owned(),
        containerd_commit: docker::Commit::default(),
        runc_commit: docker::Commit::default(),
        init_commit: docker::Commit::default(),
        security_options: security_options(),
        default_address_pools: None,
        firewall_backend: version.since(49).then(|| firewall(&info)),
        cdi_spec_dirs: Vec::new(),
        warnings: info.warnings,
    }
}

/// Descriptors that this process has open.
fn open_files() -> u64 {
    std::fs::read_dir("/proc/self/fd").map_or(0, |list| list.fold(0, |n, _| n + 1))
}

/// Processes in containers are filtered, the engine has no privileges, and each container has a cgroup namespace.
fn security_options() -> Vec<String> {
    ["name=seccomp,profile=builtin", "name=rootless", "name=cgroupns"].map(str::to_owned).into()
}

/// The data path of the network, with the reason when a lesser one is in use.
fn firewall(info: &EngineInfo) -> docker::FirewallBackend {
    let reason = info.network_reason.iter().map(|reason| ("Reason".to_owned(), reason.clone()));
    docker::FirewallBackend { driver: info.network_path.clone(), info: reason.collect() }
}

fn plugins() -> docker::Plugins {
    let list = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
    docker::Plugins {
        volume: list(&["local"]),
        network: list(&["bridge", "host", "null"]),
        authorization: None,
        log: list(&["json-file", "local", "none"]),
    }
}

fn registries(info: &EngineInfo) -> docker::RegistryConfig {
    let (cidrs, hosts): (Vec<String>, Vec<String>) =
        info.insecure_registries.iter().cloned().partition(|entry| entry.contains('/'));
    let index = |name: &str, mirrors: &[String], secure: bool| docker::IndexConfig {
        name: name.to_owned(),
        mirrors: mirrors.to_vec(),
        secure,
        official: name == "docker.io",
    };
    let mut index_configs =
        BTreeMap::from([("docker.io".to_owned(), index("docker.io", &info.mirrors, true))]);
    for host in hosts {
        index_configs.insert(host.clone(), index(&host, &[], false));
    }
    docker::RegistryConfig {
        insecure_registry_cidrs: cidrs,
        index_configs,
        mirrors: info.mirrors.clone(),
    }
}

fn runtimes(info: &EngineInfo) -> BTreeMap<String, docker::RuntimeInfo> {
    let runtime = |path: &String| docker::RuntimeInfo { path: path.clone(), runtime_args: vec![] };
    info.runtimes.iter().map(|(name, path)| (name.clone(), runtime(path))).collect()
}

/// Go's name of an architecture.
pub fn go_arch(architecture: &str) -> &str {
    match architecture {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
