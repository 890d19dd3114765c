//! Bodies as the docker command sent them, and what older or sloppier clients send.

use super::*;
use bryo_core::model::{Port, Protocol};

fn parse(text: &str) -> Result<ContainerSpec> {
    spec(serde_json::from_str(text).unwrap(), None, Version::NEWEST)
}

#[test]
fn recorded_run_it() {
    let spec = parse(include_str!("recorded/create_run_it.json")).unwrap();
    assert_eq!(spec.image, "busybox");
    assert_eq!(spec.cmd, Some(vec!["sh".to_owned()]));
    assert_eq!(spec.entrypoint, None);
    assert!(spec.tty && spec.open_stdin && spec.stdin_once && spec.auto_remove);
    assert_eq!(spec.attach, (true, true, true));
    assert_eq!(spec.console_size, (24, 80));
    assert_eq!(spec.network_mode, NetworkMode::Default);
    assert_eq!(spec.restart, RestartPolicy::No);
    assert!(spec.endpoints.contains_key("default"));
    assert_eq!(spec.resources, Resources::default());
}

#[test]
fn recorded_run_with_a_port() {
    let spec = parse(include_str!("recorded/create_run_p.json")).unwrap();
    let port = Port { port: 8080, protocol: Protocol::Tcp };
    assert_eq!(spec.env, ["A=b"]);
    assert_eq!(spec.labels.get("k").map(String::as_str), Some("v"));
    assert_eq!(spec.exposed_ports, [port]);
    assert_eq!(spec.port_bindings.len(), 1);
    assert_eq!(
        (spec.port_bindings[0].port, spec.port_bindings[0].host_port.as_str()),
        (port, "18090")
    );
}

#[test]
fn nulls_and_missing_fields_are_defaults() {
    let spec = parse(
        r#"{"Image":"a","Env":null,"Cmd":null,"ExposedPorts":{"80":null},"Volumes":{"/v":null},
            "HostConfig":{"Binds":null,"PortBindings":{"80/tcp":null,"81/tcp":[]},"Memory":null},
            "NetworkingConfig":{"EndpointsConfig":{"n":null}}}"#,
    )
    .unwrap();
    assert_eq!(spec.volumes, ["/v"]);
    assert_eq!(spec.exposed_ports.len(), 1);
    assert_eq!(spec.port_bindings.len(), 2);
    assert!(spec.port_bindings.iter().all(|b| b.host_port.is_empty()));
    assert!(spec.endpoints.contains_key("n"));
    assert!(parse(r#"{"Image":"a","HostConfig":null,"NetworkingConfig":null}"#).is_ok());
}

#[test]
fn commands_may_be_strings() {
    let spec = parse(r#"{"Image":"a","Cmd":"ls","Entrypoint":[""]}"#).unwrap();
    assert_eq!(spec.cmd, Some(vec!["ls".to_owned()]));
    assert_eq!(spec.entrypoint, Some(vec![String::new()]));
}

#[test]
fn refusals_say_why() {
    let message = |text: &str| parse(text).unwrap_err().message().to_owned();
    assert_eq!(
        message(r#"{"HostConfig":{"RestartPolicy":{"Name":"sometimes"}}}"#),
        "invalid restart policy: unknown policy 'sometimes'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
    );
    assert_eq!(
        message(r#"{"HostConfig":{"RestartPolicy":{"Name":"always","MaximumRetryCount":2}}}"#),
        "invalid restart policy: maximum retry count can only be used with 'on-failure'"
    );
    assert!(message(r#"{"ExposedPorts":{"x":{}}}"#).contains("invalid port specification: \"x\""));
    assert!(
        message(r#"{"HostConfig":{"Mounts":[{"Type":"npipe"}]}}"#).contains("mount type unknown")
    );
    assert!(message(r#"{"HostConfig":{"Isolation":"hyperv"}}"#).contains("hyperv"));
}

#[test]
fn network_modes() {
    assert_eq!(network_mode("bridge"), NetworkMode::Named("bridge".into()));
    assert_eq!(network_mode("container:abc"), NetworkMode::Container("abc".into()));
    assert_eq!(network_mode("host"), NetworkMode::Host);
    assert_eq!(network_mode(""), NetworkMode::Default);
}
