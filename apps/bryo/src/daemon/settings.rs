//! The configuration as the engine wants it.

use bryo_core::{Reloadable, Settings};
use bryo_rootless::Entered;

use super::User;
use super::config::Config;
use super::listen::Sockets;

/// Everything for [`bryo_core::Engine::open`].
pub fn settings(config: &Config, entered: &Entered, user: &User, sockets: &Sockets) -> Settings {
    Settings {
        data_root: config.data_root.clone(),
        exec_root: config.exec_root.clone(),
        program: user.program.clone(),
        holder: entered.holder.clone(),
        search_path: user.path.clone(),
        user: user.name.clone().unwrap_or_else(|| user.uid.to_string()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        single_id: entered.single_id,
        mapped_ids: entered.ids.limits(),
        insecure_registries: config.insecure_registries.clone(),
        mirrors: config.mirrors.clone(),
        runtimes: config.runtimes.clone(),
        default_runtime: config.default_runtime.clone(),
        log_driver: config.log_driver.clone(),
        log_options: config.log_options.clone(),
        default_ulimits: config.default_ulimits.clone(),
        default_shm_size: config.default_shm_size,
        default_stop_timeout: config.default_stop_timeout,
        cgroup_driver: config.cgroup_driver,
        cgroup_parent: config.cgroup_parent.clone(),
        host_uid: user.uid,
        runtime_dir: user.surroundings.runtime_dir.as_ref().ok().cloned(),
        bus: user.bus.clone(),
        emulate_limits: config.emulate_limits,
        init: config.init,
        live_restore: config.live_restore,
        labels: config.labels.clone(),
        debug: config.debug,
        max_concurrent_downloads: config.max_concurrent_downloads,
        dns: config.dns.clone(),
        dns_options: config.dns_options.clone(),
        dns_search: config.dns_search.clone(),
        default_address_pools: config.default_address_pools.clone(),
        bip: config.bip,
        mtu: config.mtu,
        docker_socket: sockets.files.first(),
        host_resolv_conf: "/etc/resolv.conf".into(),
        api_addresses: sockets.tcp_addresses(),
        seccomp_profile: config.seccomp_profile.clone(),
        no_new_privileges: config.no_new_privileges,
        metrics: config.metrics_addr.is_some(),
    }
}

/// What SIGHUP takes over.
pub fn reloadable(config: &Config) -> Reloadable {
    Reloadable {
        insecure_registries: config.insecure_registries.clone(),
        mirrors: config.mirrors.clone(),
        labels: config.labels.clone(),
        debug: config.debug,
        live_restore: config.live_restore,
        runtimes: config.runtimes.clone(),
        default_runtime: config.default_runtime.clone(),
        max_concurrent_downloads: config.max_concurrent_downloads,
    }
}
