//! The merged configuration as typed values, with defaults.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use bryo_core::model::Ulimit;
use bryo_core::{CgroupDriver, RuntimeDef};
use bryo_rootless::SetupError;
use ipnet::IpNet;
use serde_json::{Map, Value};

use super::{Surroundings, cgroups};

/// Where the daemon listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A unix socket, mode 0660.
    Unix(PathBuf),
    /// A TCP socket.
    Tcp(SocketAddr),
    /// Sockets handed over by a service manager (LISTEN_FDS).
    Inherited,
}

/// TLS files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Clients must show a certificate signed by this CA; none: any client.
    pub ca: Option<PathBuf>,
    /// The daemon's certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// The daemon's configuration.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each field is the option of the same name, see options::OPTIONS")]
pub struct Config {
    pub hosts: Vec<Host>,
    pub tls: Option<Tls>,
    pub data_root: PathBuf,
    pub exec_root: PathBuf,
    pub pidfile: Option<PathBuf>,
    pub debug: bool,
    pub log_level: String,
    pub insecure_registries: Vec<String>,
    pub mirrors: Vec<String>,
    pub live_restore: bool,
    pub log_driver: String,
    pub log_options: BTreeMap<String, String>,
    pub default_ulimits: Vec<Ulimit>,
    pub default_shm_size: u64,
    pub default_runtime: Option<String>,
    pub runtimes: BTreeMap<String, RuntimeDef>,
    pub cgroup_driver: CgroupDriver,
    pub cgroup_parent: String,
    pub emulate_limits: bool,
    pub init: bool,
    pub labels: Vec<String>,
    pub max_concurrent_downloads: usize,
    pub dns: Vec<String>,
    pub dns_options: Vec<String>,
    pub dns_search: Vec<String>,
    pub default_address_pools: Vec<(IpNet, u8)>,
    pub bip: Option<IpNet>,
    pub mtu: u32,
    pub seccomp_profile: Option<String>,
    pub no_new_privileges: bool,
    pub default_stop_timeout: i64,
    pub shutdown_timeout: i64,
    pub metrics_addr: Option<SocketAddr>,
}

impl Config {
    /// Types the merged options; every value has the shape that its option's kind says.
    pub fn from_values(
        values: &Map<String, Value>,
        surroundings: &Surroundings,
    ) -> Result<Config, SetupError> {
        let v = Values(values);
        let tls = tls(&v, &surroundings.home)?;
        let runtime_dir = || surroundings.runtime_dir.clone();
        let exec_root = match v.path("exec-root")? {
            Some(path) => path,
            None => runtime_dir()?.join("bryo"),
        };
        let data_root = match v.path("data-root")? {
            Some(path) => path,
            None => surroundings
                .data_home
                .clone()
                .unwrap_or_else(|| surroundings.home.join(".local/share"))
                .join("bryo"),
        };
        Ok(Config {
            hosts: hosts(&v, &runtime_dir, tls.is_some())?,
            tls,
            data_root,
            exec_root,
            pidfile: v.path("pidfile")?,
            debug: v.flag("debug"),
            log_level: log_level(&v)?,
            insecure_registries: v.list("insecure-registries"),
            mirrors: v.list("registry-mirrors"),
            live_restore: v.flag("live-restore"),
            log_driver: log_driver(&v)?,
            log_options: v.pairs("log-opts"),
            default_ulimits: ulimits(&v),
            default_shm_size: shm_size(&v)?,
            default_runtime: default_runtime(&v)?,
            runtimes: runtimes(&v),
            cgroup_driver: cgroups::driver(&v)?,
            cgroup_parent: cgroups::parent(&v)?,
            emulate_limits: v.flag_or("emulate-limits", true),
            init: v.flag("init"),
            labels: labels(&v)?,
            max_concurrent_downloads: v.number("max-concurrent-downloads", 3, 1, 64)?,
            dns: dns(&v)?,
            dns_options: v.list("dns-opts"),
            dns_search: v.list("dns-search"),
            default_address_pools: pools(&v)?,
            bip: bip(&v)?,
            mtu: v.number("mtu", 0, 68, 65535)?,
            seccomp_profile: seccomp(&v)?,
            no_new_privileges: v.flag("no-new-privileges"),
            default_stop_timeout: v.number("default-stop-timeout", 10, -1, i64::MAX)?,
            shutdown_timeout: v.number("shutdown-timeout", 15, -1, i64::MAX)?,
            metrics_addr: metrics_addr(&v)?,
        })
    }
}

impl Config {
    /// Whether the two differ at most in what a running engine takes over (see `options::RELOADABLE`).
    pub fn same_but_reloadable(&self, other: &Config) -> bool {
        let mut same = other.clone();
        same.debug = self.debug;
        same.log_level.clone_from(&self.log_level);
        same.labels.clone_from(&self.labels);
        same.live_restore = self.live_restore;
        same.insecure_registries.clone_from(&self.insecure_registries);
        same.mirrors.clone_from(&self.mirrors);
        same.max_concurrent_downloads = self.max_concurrent_downloads;
        same.runtimes.clone_from(&self.runtimes);
        same.default_runtime.clone_from(&self.default_runtime);
        same == *self
    }
}

/// The options, with getters of the shapes that were checked before.
pub(super) struct Values<'a>(&'a Map<String, Value>);

impl Values<'_> {
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(Value::as_str).filter(|t| !t.is_empty())
    }

    fn flag(&self, key: &str) -> bool {
        self.0.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    fn flag_or(&self, key: &str, default: bool) -> bool {
        self.0.get(key).and_then(Value::as_bool).unwrap_or(default)
    }

    pub(super) fn list(&self, key: &str) -> Vec<String> {
        let items = self.0.get(key).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(|v| v.as_str().map(str::to_owned)).collect()
    }

    fn pairs(&self, key: &str) -> BTreeMap<String, String> {
        let entries = self.0.get(key).and_then(Value::as_object).into_iter().flatten();
        entries.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect()
    }

    /// A path; a relative one is meant from the working folder, which entering the namespaces changes.
    fn path(&self, key: &str) -> Result<Option<PathBuf>, SetupError> {
        let Some(text) = self.text(key) else { return Ok(None) };
        std::path::absolute(text).map(Some).map_err(|e| invalid(key, text, &e.to_string()))
    }

    /// A number in a range; 0 or nothing is the default.
    fn number<T>(&self, key: &str, default: T, min: T, max: T) -> Result<T, SetupError>
    where
        T: TryFrom<i64> + PartialOrd + std::fmt::Display + Copy,
    {
        let Some(number) = self.0.get(key).and_then(Value::as_i64).filter(|n| *n != 0) else {
            return Ok(default);
        };
        match T::try_from(number) {
            Ok(n) if n >= min && n <= max => Ok(n),
            _ => Err(invalid(key, &number.to_string(), &format!("{min} to {max} is possible"))),
        }
    }
}

pub(super) fn invalid(key: &str, value: &str, why: &str) -> SetupError {
    SetupError::new(
        format!("invalid value of the option {key}: {why}"),
        format!("{key}: {value}"),
        format!("correct {key} in daemon.json or on the command line; see bryo daemon --help"),
    )
}

fn hosts(
    v: &Values<'_>,
    runtime_dir: &impl Fn() -> Result<PathBuf, SetupError>,
    tls: bool,
) -> Result<Vec<Host>, SetupError> {
    let given = v.list("hosts");
    if given.is_empty() {
        return Ok(vec![Host::Unix(runtime_dir()?.join("docker.sock"))]);
    }
    let mut hosts = Vec::new();
    for text in given {
        let host = match text.split_once("://") {
            Some(("unix", "")) => Host::Unix(runtime_dir()?.join("docker.sock")),
            Some(("unix", path)) => Host::Unix(
                std::path::absolute(path).map_err(|e| invalid("hosts", &text, &e.to_string()))?,
            ),
            Some(("fd", _)) => Host::Inherited,
            Some(("tcp", address)) => Host::Tcp(tcp(&text, address, tls)?),
            None if text.starts_with('/') => Host::Unix(text.into()),
            None => Host::Tcp(tcp(&text, &text, tls)?),
            Some(_) => {
                return Err(invalid("hosts", &text, "unix://, tcp:// and fd:// are possible"));
            }
        };
        hosts.push(host);
    }
    Ok(hosts)
}

/// Without TLS whoever reaches the port is the user: only loopback is allowed then.
fn tcp(text: &str, address: &str, tls: bool) -> Result<SocketAddr, SetupError> {
    let port = if tls { 2376 } else { 2375 };
    let address = address.trim_end_matches('/');
    let full = match address.rsplit_once(':') {
        Some((host, "")) => format!("{host}:{port}"),
        Some((_, digits)) if digits.parse::<u16>().is_ok() => address.to_owned(),
        _ => format!("{address}:{port}"),
    };
    let full = if full.starts_with(':') { format!("0.0.0.0{full}") } else { full };
    let resolved = full
        .to_socket_addrs()
        .map_err(|e| invalid("hosts", text, &e.to_string()))?
        .next()
        .ok_or_else(|| invalid("hosts", text, "the name has no address"))?;
    let loopback = match resolved.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback(),
    };
    if !loopback && !tls {
        return Err(SetupError::new(
            "Binding to IP address without --tlsverify is insecure and gives access to everything this user may do to \
             everyone who can reach the port",
            format!("--host {text} without TLS"),
            "use --tlsverify with --tlscacert, --tlscert and --tlskey\nor listen on tcp://127.0.0.1 and use `ssh -L`\n\
             or use DOCKER_HOST=ssh://user@host on the client",
        ));
    }
    Ok(resolved)
}

fn tls(v: &Values<'_>, home: &Path) -> Result<Option<Tls>, SetupError> {
    let verify = v.flag("tlsverify");
    if !verify && !v.flag("tls") {
        return Ok(None);
    }
    let file = |key: &str, name: &str| -> Result<PathBuf, SetupError> {
        let path = v.path(key)?.unwrap_or_else(|| home.join(".docker").join(name));
        match std::fs::File::open(&path) {
            Ok(_) => Ok(path),
            Err(e) => Err(invalid(key, &path.display().to_string(), &e.to_string())),
        }
    };
    Ok(Some(Tls {
        ca: if verify { Some(file("tlscacert", "ca.pem")?) } else { None },
        cert: file("tlscert", "cert.pem")?,
        key: file("tlskey", "key.pem")?,
    }))
}

fn log_level(v: &Values<'_>) -> Result<String, SetupError> {
    let level = v.text("log-level").unwrap_or("info");
    match level {
        "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "panic" => Ok(level.into()),
        "warning" => Ok("warn".into()),
        _ => Err(invalid("log-level", level, "debug, info, warn, error and fatal are possible")),
    }
}

fn log_driver(v: &Values<'_>) -> Result<String, SetupError> {
    let driver = v.text("log-driver").unwrap_or("json-file");
    match driver {
        "json-file" | "local" | "none" => Ok(driver.into()),
        _ => Err(invalid("log-driver", driver, "json-file, local and none are possible")),
    }
}

fn ulimits(v: &Values<'_>) -> Vec<Ulimit> {
    let entries = v.0.get("default-ulimits").and_then(Value::as_object).into_iter().flatten();
    let number = |v: &Value| v.as_i64().unwrap_or(-1);
    entries
        .map(|(name, limit)| Ulimit {
            name: name.clone(),
            soft: number(&limit["Soft"]),
            hard: number(&limit["Hard"]),
        })
        .collect()
}

fn shm_size(v: &Values<'_>) -> Result<u64, SetupError> {
    const KEY: &str = "default-shm-size";
    match v.0.get(KEY) {
        None => Ok(64 << 20),
        Some(Value::String(text)) => {
            bytes(text).ok_or_else(|| invalid(KEY, text, "a size such as 64m is expected"))
        }
        Some(number) => number
            .as_u64()
            .filter(|n| *n > 0)
            .ok_or_else(|| invalid(KEY, &number.to_string(), "more than 0 is expected")),
    }
}

/// `64m`, `1g`, `512kb`, `100`: binary multiples, as docker's flags have them.
fn bytes(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match lower[digits.len()..].trim_end_matches('b').trim_end_matches('i') {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => return None,
    };
    digits.trim().parse::<u64>().ok()?.checked_mul(factor).filter(|n| *n > 0)
}

fn runtimes(v: &Values<'_>) -> BTreeMap<String, RuntimeDef> {
    let entries = v.0.get("runtimes").and_then(Value::as_object).into_iter().flatten();
    entries
        .map(|(name, def)| {
            let args = def["runtimeArgs"].as_array().into_iter().flatten();
            let args = args.filter_map(|a| a.as_str().map(str::to_owned)).collect();
            let path = def["path"].as_str().unwrap_or_default().to_owned();
            (name.clone(), RuntimeDef { path, args })
        })
        .collect()
}

fn default_runtime(v: &Values<'_>) -> Result<Option<String>, SetupError> {
    let Some(name) = v.text("default-runtime").filter(|n| *n != "bryo") else { return Ok(None) };
    if runtimes(v).contains_key(name) {
        return Ok(Some(name.into()));
    }
    Err(invalid(
        "default-runtime",
        name,
        "specified default runtime does not exist; add it with --add-runtime",
    ))
}

fn labels(v: &Values<'_>) -> Result<Vec<String>, SetupError> {
    let labels = v.list("labels");
    match labels.iter().find(|l| !l.contains('=')) {
        Some(bad) => Err(invalid("labels", bad, "bad attribute format: key=value is expected")),
        None => Ok(labels),
    }
}

fn dns(v: &Values<'_>) -> Result<Vec<String>, SetupError> {
    let servers = v.list("dns");
    match servers.iter().find(|s| s.parse::<IpAddr>().is_err()) {
        Some(bad) => Err(invalid("dns", bad, "it is not an ip address")),
        None => Ok(servers),
    }
}

fn pools(v: &Values<'_>) -> Result<Vec<(IpNet, u8)>, SetupError> {
    const KEY: &str = "default-address-pools";
    let pools = v.0.get(KEY).and_then(Value::as_array).into_iter().flatten();
    pools
        .map(|pool| {
            let base = pool["base"].as_str().unwrap_or_default();
            let net: IpNet = base.parse().map_err(|_| invalid(KEY, base, "it is not a CIDR"))?;
            let size = pool["size"].as_u64().and_then(|n| u8::try_from(n).ok()).unwrap_or(0);
            if size < net.prefix_len() || size > net.max_prefix_len() {
                let why = format!("size {size} does not fit into the pool");
                return Err(invalid(KEY, base, &why));
            }
            Ok((net.trunc(), size))
        })
        .collect()
}

fn bip(v: &Values<'_>) -> Result<Option<IpNet>, SetupError> {
    let Some(text) = v.text("bip") else { return Ok(None) };
    text.parse().map(Some).map_err(|_| invalid("bip", text, "address/prefix is expected"))
}

/// Without an address it is loopback, where dockerd would listen on all.
fn metrics_addr(v: &Values<'_>) -> Result<Option<SocketAddr>, SetupError> {
    const KEY: &str = "metrics-addr";
    let Some(text) = v.text(KEY).filter(|t| !t.is_empty()) else { return Ok(None) };
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let host = if matches!(host, "" | "localhost") { "127.0.0.1" } else { host };
    let address = format!("{host}:{port}").parse();
    address.map(Some).map_err(|_| invalid(KEY, text, "address:port is expected"))
}

fn seccomp(v: &Values<'_>) -> Result<Option<String>, SetupError> {
    const KEY: &str = "seccomp-profile";
    match v.text(KEY) {
        None | Some("builtin" | "default") => Ok(None),
        Some("unconfined") => Ok(Some("unconfined".into())),
        Some(text) => match v.path(KEY)? {
            Some(path) if path.is_file() => Ok(Some(path.display().to_string())),
            _ => Err(invalid(KEY, text, "there is no such file")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(values: Value) -> Result<Config, SetupError> {
        let surroundings = Surroundings {
            home: "/home/me".into(),
            data_home: None,
            config_home: None,
            runtime_dir: Ok("/run/user/7".into()),
        };
        let Value::Object(map) = values else { panic!("an object") };
        Config::from_values(&map, &surroundings)
    }

    #[test]
    fn defaults_are_rootless_dockers() {
        let c = config(json!({})).unwrap();
        assert_eq!(c.hosts, [Host::Unix("/run/user/7/docker.sock".into())]);
        assert_eq!(c.data_root, Path::new("/home/me/.local/share/bryo"));
        assert_eq!(c.exec_root, Path::new("/run/user/7/bryo"));
        assert_eq!((c.default_shm_size, c.max_concurrent_downloads), (64 << 20, 3));
    }

    #[test]
    fn tcp_needs_tls_unless_it_is_loopback() {
        let c = config(json!({"hosts": ["tcp://127.0.0.1", "tcp://[::1]:99", "fd://"]})).unwrap();
        let expected = ["127.0.0.1:2375", "[::1]:99"].map(|a| Host::Tcp(a.parse().unwrap()));
        assert_eq!(c.hosts[..2], expected);
        assert_eq!(c.hosts[2], Host::Inherited);
        let e = config(json!({"hosts": ["tcp://0.0.0.0:2375"]})).unwrap_err();
        assert!(e.cause.contains("without --tlsverify"), "{e}");
        assert!(config(json!({"hosts": ["npipe://x"]})).is_err());
    }

    #[test]
    fn sizes_numbers_and_names_are_checked() {
        assert_eq!(bytes("64m"), Some(64 << 20));
        assert_eq!(bytes("1GiB"), Some(1 << 30));
        assert_eq!(bytes("x"), None);
        for bad in [
            json!({"mtu": 5}),
            json!({"default-runtime": "nosuch"}),
            json!({"labels": ["x"]}),
            json!({"dns": ["name"]}),
            json!({"bip": "172.17.0.1"}),
            json!({"default-address-pools": [{"base": "10.0.0.0/24", "size": 16}]}),
            json!({"log-level": "loud"}),
            json!({"seccomp-profile": "/no/such/file"}),
        ] {
            let e = config(bad.clone()).unwrap_err();
            assert!(e.cause.starts_with("invalid value of the option"), "{bad} {e}");
        }
    }
}
