//! Images.

use std::collections::BTreeMap;

use serde_json::Value;

wire! {
    /// An image in a list.
    pub struct ImageSummary {
        pub containers: i64,
        pub created: i64,
        pub id: String,
        pub labels: Option<BTreeMap<String, String>>,
        pub parent_id: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub descriptor: Option<Descriptor>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub manifests: Option<Vec<Value>>,
        pub repo_digests: Option<Vec<String>>,
        pub repo_tags: Option<Vec<String>>,
        pub shared_size: i64,
        pub size: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub virtual_size: Option<u64>,
    }

    /// Everything about an image. `Option`s depend on the API version.
    pub struct ImageInspect {
        pub id: String,
        pub repo_tags: Vec<String>,
        pub repo_digests: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub parent: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub comment: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub created: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub container: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub container_config: Option<Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub docker_version: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub author: Option<String>,
        pub config: Value,
        pub architecture: String,
        #[serde(skip_serializing_if = "String::is_empty")]
        pub variant: String,
        pub os: String,
        pub size: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub virtual_size: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub graph_driver: Option<super::GraphDriver>,
        #[serde(rename = "RootFS")]
        pub root_fs: RootFs,
        pub metadata: ImageMetadata,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub descriptor: Option<Descriptor>,
    }

    /// The layers' digests of uncompressed data.
    pub struct RootFs {
        pub r#type: String,
        pub layers: Vec<String>,
    }

    /// What only this engine knows of an image.
    pub struct ImageMetadata {
        #[serde(skip_serializing_if = "Option::is_none")]
        pub last_tag_time: Option<String>,
    }

    /// One step of an image's history.
    pub struct HistoryItem {
        pub comment: String,
        pub created: i64,
        pub created_by: String,
        pub id: String,
        pub size: u64,
        pub tags: Option<Vec<String>>,
    }

    /// What was removed: exactly one of both.
    pub struct ImageRemoved {
        #[serde(skip_serializing_if = "Option::is_none")]
        pub untagged: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub deleted: Option<String>,
    }

    /// The answer of `POST /images/prune`.
    pub struct ImagesPruned {
        pub images_deleted: Option<Vec<ImageRemoved>>,
        pub space_reclaimed: u64,
    }
}

/// An OCI descriptor; OCI spells its fields in camel case.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Descriptor {
    pub media_type: String,
    pub digest: String,
    pub size: u64,
}

/// Credentials in `X-Registry-Auth` (base64 of this JSON).
#[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct AuthConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub password: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub auth: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub serveraddress: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub identitytoken: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub registrytoken: String,
}

impl std::fmt::Debug for AuthConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthConfig").field("username", &self.username).finish_non_exhaustive()
    }
}
