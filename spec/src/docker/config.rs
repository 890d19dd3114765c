//! `Config`: the portable part of a container's settings, in create, inspect and commit; the error body.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{EndpointSettings, HostConfig};

/// `{}` in sets such as `ExposedPorts` and `Volumes`; `null` and anything else is taken as well.
pub type Set = BTreeMap<String, Value>;

wire! {
    /// A container's settings apart from the host.
    pub struct Config {
        pub hostname: String,
        pub domainname: String,
        pub user: String,
        pub attach_stdin: bool,
        pub attach_stdout: bool,
        pub attach_stderr: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub exposed_ports: Option<Set>,
        pub tty: bool,
        pub open_stdin: bool,
        pub stdin_once: bool,
        pub env: Option<Vec<String>>,
        pub cmd: Option<OneOrMany>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub healthcheck: Option<HealthConfig>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub args_escaped: Option<bool>,
        pub image: String,
        pub volumes: Option<Set>,
        pub working_dir: String,
        pub entrypoint: Option<OneOrMany>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub network_disabled: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub mac_address: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub on_build: Option<Vec<String>>,
        pub labels: BTreeMap<String, String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub stop_signal: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub stop_timeout: Option<i64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub shell: Option<Vec<String>>,
    }

    /// A health check; times are nanoseconds.
    pub struct HealthConfig {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub test: Vec<String>,
        #[serde(skip_serializing_if = "crate::docker::wire::is_zero")]
        pub interval: i64,
        #[serde(skip_serializing_if = "crate::docker::wire::is_zero")]
        pub timeout: i64,
        #[serde(skip_serializing_if = "crate::docker::wire::is_zero")]
        pub start_period: i64,
        #[serde(skip_serializing_if = "crate::docker::wire::is_zero")]
        pub start_interval: i64,
        #[serde(skip_serializing_if = "crate::docker::wire::is_zero")]
        pub retries: i64,
    }

    /// The networks a container is created on.
    pub struct NetworkingConfig {
        pub endpoints_config: BTreeMap<String, Option<EndpointSettings>>,
    }

    /// The answer to create.
    pub struct CreateResponse {
        pub id: String,
        pub warnings: Vec<String>,
    }
}

/// The body of `POST /containers/create`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateRequest {
    #[serde(flatten)]
    pub config: Config,
    #[serde(rename = "HostConfig", deserialize_with = "crate::docker::wire::null_default")]
    pub host_config: HostConfig,
    #[serde(rename = "NetworkingConfig", deserialize_with = "crate::docker::wire::null_default")]
    pub networking_config: NetworkingConfig,
}

/// A command: Docker takes a string for a list of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// The usual form.
    Many(Vec<String>),
    /// The old form.
    One(String),
}

impl OneOrMany {
    /// As a list.
    pub fn into_vec(self) -> Vec<String> {
        match self {
            OneOrMany::Many(list) => list,
            OneOrMany::One(word) => vec![word],
        }
    }

    /// As a list.
    pub fn as_slice(&self) -> &[String] {
        match self {
            OneOrMany::Many(list) => list,
            OneOrMany::One(word) => std::slice::from_ref(word),
        }
    }
}

impl From<Vec<String>> for OneOrMany {
    fn from(list: Vec<String>) -> OneOrMany {
        OneOrMany::Many(list)
    }
}

/// The body of every error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    pub message: String,
}
