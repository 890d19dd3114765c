//! Every option of the daemon once: its flag, its key in daemon.json, and the shape of its value.
//!
//! The command line, the file, the conflict check and the error texts are all made from this table. Names are dockerd's.
//! Options that dockerd has and Bryo has no use for are listed too, so that an existing configuration starts with a warning
//! that says why nothing happens, instead of a refusal.

/// The shape of a value, on the command line and in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// `--flag` or `--flag=false`; true or false.
    Bool,
    /// A whole number.
    Number,
    /// `64m`; a string or a number of bytes.
    Bytes,
    /// Repeatable; an array of strings.
    List,
    /// Repeatable `key=value`; an object of strings.
    Pairs,
    /// Repeatable `name=soft[:hard]`; an object of `{"Name", "Soft", "Hard"}`.
    Ulimits,
    /// Repeatable `name=path`; an object of `{"path", "runtimeArgs"}`.
    Runtimes,
    /// Repeatable `base=CIDR,size=N`; an array of `{"base", "size"}`.
    Pools,
    /// Anything; only in the file.
    Any,
}

/// One option.
#[derive(Debug)]
pub struct Opt {
    /// Its key in daemon.json.
    pub key: &'static str,
    /// Its flag, without the dashes; empty: only in the file.
    pub flag: &'static str,
    /// One letter.
    pub short: Option<char>,
    /// Its shape.
    pub kind: Kind,
    /// For `--help`; for an option without effect: why it has none.
    pub help: &'static str,
    /// Whether Bryo does anything with it.
    pub works: bool,
}

const fn opt(key: &'static str, flag: &'static str, kind: Kind, help: &'static str) -> Opt {
    Opt { key, flag, short: None, kind, help, works: true }
}

const fn short(letter: char, o: Opt) -> Opt {
    Opt { short: Some(letter), ..o }
}

/// An option that dockerd has and that does nothing here; the same name as flag and key.
const fn idle(name: &'static str, kind: Kind, why: &'static str) -> Opt {
    Opt { key: name, flag: name, short: None, kind, help: why, works: false }
}

/// The table.
pub const OPTIONS: &[Opt] = &[
    short(
        'H',
        opt(
            "hosts",
            "host",
            Kind::List,
            "Socket to listen on: unix://PATH, tcp://HOST:PORT, fd://",
        ),
    ),
    opt("data-root", "data-root", Kind::Text, "Folder of images, containers and volumes"),
    opt("exec-root", "exec-root", Kind::Text, "Folder of sockets and other state of this boot"),
    short('p', opt("pidfile", "pidfile", Kind::Text, "Write the daemon's pid here")),
    short('D', opt("debug", "debug", Kind::Bool, "Log more")),
    short(
        'l',
        opt(
            "log-level",
            "log-level",
            Kind::Text,
            "debug, info, warn, error or fatal (default info)",
        ),
    ),
    opt(
        "insecure-registries",
        "insecure-registry",
        Kind::List,
        "Registry without (verified) TLS: host:port or CIDR",
    ),
    opt("registry-mirrors", "registry-mirror", Kind::List, "Mirror of docker.io"),
    opt("tls", "tls", Kind::Bool, "Use TLS on tcp:// sockets; implied by --tlsverify"),
    opt("tlsverify", "tlsverify", Kind::Bool, "Use TLS on tcp:// sockets and verify the client"),
    opt("tlscacert", "tlscacert", Kind::Text, "Trust clients whose certificates this CA signed"),
    opt("tlscert", "tlscert", Kind::Text, "The daemon's certificate"),
    opt("tlskey", "tlskey", Kind::Text, "The daemon's key"),
    opt("live-restore", "live-restore", Kind::Bool, "Containers go on when the daemon is stopped"),
    opt(
        "log-driver",
        "log-driver",
        Kind::Text,
        "Containers' log driver: json-file, local, none (default json-file)",
    ),
    opt("log-opts", "log-opt", Kind::Pairs, "Option of the log driver"),
    opt(
        "default-ulimits",
        "default-ulimit",
        Kind::Ulimits,
        "Limit of containers that set none: name=soft[:hard]",
    ),
    opt("default-shm-size", "default-shm-size", Kind::Bytes, "Size of /dev/shm (default 64m)"),
    opt(
        "default-runtime",
        "default-runtime",
        Kind::Text,
        "OCI runtime of containers that name none (default bryo, built in)",
    ),
    opt("runtimes", "add-runtime", Kind::Runtimes, "External OCI runtime: name=path"),
    opt(
        "exec-opts",
        "exec-opt",
        Kind::List,
        "native.cgroupdriver=systemd, cgroupfs or none (default: what the host allows)",
    ),
    opt(
        "cgroup-parent",
        "cgroup-parent",
        Kind::Text,
        "Put containers below this: a slice of systemd, or a writable cgroup v2 folder",
    ),
    opt(
        "emulate-limits",
        "emulate-limits",
        Kind::Bool,
        "Where no cgroup v2 is delegated, hold memory, process and CPU set limits without one; =false discards them (default true)",
    ),
    opt("init", "init", Kind::Bool, "Put a small init in front of every container's program"),
    opt("labels", "label", Kind::List, "Label of this daemon: key=value"),
    opt(
        "max-concurrent-downloads",
        "max-concurrent-downloads",
        Kind::Number,
        "Layers downloaded at the same time (default 3)",
    ),
    opt("dns", "dns", Kind::List, "Name server of containers"),
    opt("dns-opts", "dns-opt", Kind::List, "Resolver option of containers"),
    opt("dns-search", "dns-search", Kind::List, "Search domain of containers"),
    opt(
        "default-address-pools",
        "default-address-pool",
        Kind::Pools,
        "Where new networks' subnets come from: base=CIDR,size=N",
    ),
    opt(
        "bip",
        "bip",
        Kind::Text,
        "Address and subnet of the default bridge (default 172.17.0.1/16)",
    ),
    opt("mtu", "mtu", Kind::Number, "MTU of container networks (default 65520)"),
    opt(
        "seccomp-profile",
        "seccomp-profile",
        Kind::Text,
        "Default seccomp profile: a file, or unconfined",
    ),
    opt(
        "no-new-privileges",
        "no-new-privileges",
        Kind::Bool,
        "Set no_new_privs in every container",
    ),
    opt(
        "shutdown-timeout",
        "shutdown-timeout",
        Kind::Number,
        "Seconds that containers get to stop at the daemon's end (default 15)",
    ),
    opt(
        "default-stop-timeout",
        "default-stop-timeout",
        Kind::Number,
        "Seconds between stop signal and kill (default 10)",
    ),
    opt(
        "metrics-addr",
        "metrics-addr",
        Kind::Text,
        "Serve figures for Prometheus at http://ADDRESS:PORT/metrics (without an address: on loopback)",
    ),
    // Of dockerd, without effect here.
    idle("storage-driver", Kind::Text, "the storage driver is probed; `info` says which and why"),
    idle("storage-opts", Kind::List, "the storage driver has no options"),
    idle("experimental", Kind::Bool, "there is nothing experimental to switch on"),
    idle("iptables", Kind::Bool, "the rules are nftables in Bryo's own namespace"),
    idle("ip6tables", Kind::Bool, "the rules are nftables in Bryo's own namespace"),
    idle("ip-forward", Kind::Bool, "forwarding happens in Bryo's own namespace"),
    idle("ip-masq", Kind::Bool, "there is nothing to masquerade: the gate makes host connections"),
    idle("userland-proxy", Kind::Bool, "published ports keep the client's address without it"),
    idle("userland-proxy-path", Kind::Text, "there is no userland proxy"),
    idle("group", Kind::Text, "the socket belongs to the user"),
    idle("containerd", Kind::Text, "there is no containerd"),
    idle("containerd-namespace", Kind::Text, "there is no containerd"),
    idle("rootless", Kind::Bool, "Bryo is always rootless"),
    idle("selinux-enabled", Kind::Bool, "containers are not labelled"),
    idle("max-concurrent-uploads", Kind::Number, "there is no push yet"),
    idle("max-download-attempts", Kind::Number, "downloads are resumed five times"),
    idle("oom-score-adjust", Kind::Number, "an unprivileged process cannot lower its score"),
    idle("log-format", Kind::Text, "the log is text"),
    idle("raw-logs", Kind::Bool, "the log has no colour unless it is a terminal"),
    idle("ipv6", Kind::Bool, "the default bridge has no IPv6 yet"),
    idle("icc", Kind::Bool, "set com.docker.network.bridge.enable_icc on a network instead"),
    idle("default-cgroupns-mode", Kind::Text, "it is private"),
    idle("default-ipc-mode", Kind::Text, "it is private"),
    idle("features", Kind::Any, "no feature of this kind exists"),
    idle("builder", Kind::Any, "there is no build yet"),
    idle("proxies", Kind::Any, "set HTTP_PROXY and the like for the daemon"),
    idle("min-api-version", Kind::Text, "1.24 and later are always served"),
    idle("host-gateway-ips", Kind::Any, "host-gateway is the bridge's gateway"),
    idle("host-gateway-ip", Kind::Any, "host-gateway is the bridge's gateway"),
];

/// The option of a key in daemon.json.
pub fn by_key(key: &str) -> Option<&'static Opt> {
    OPTIONS.iter().find(|o| o.key == key)
}

/// Options whose change a SIGHUP takes over.
pub const RELOADABLE: &[&str] = &[
    "debug",
    "log-level",
    "labels",
    "live-restore",
    "insecure-registries",
    "registry-mirrors",
    "max-concurrent-downloads",
    "runtimes",
    "default-runtime",
];
