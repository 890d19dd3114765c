//! Images for tests: layers from entries or from busybox, manifests by hand.

use std::io::Write;

use crate::digest::Digest;
use crate::manifest::{DOCKER_MANIFEST, Descriptor, Manifest, OCI_CONFIG, OCI_LAYER};
use crate::tar::{Entry, Kind, Writer};

/// A layer's archive as the registry has it.
#[derive(Debug, Clone)]
pub struct TestLayer {
    pub bytes: Vec<u8>,
    pub diff_id: Digest,
    pub media_type: String,
}

/// A whole image.
#[derive(Debug, Clone)]
pub struct TestImage {
    pub layers: Vec<TestLayer>,
    pub config: Vec<u8>,
    pub manifest: Vec<u8>,
    pub media_type: String,
}

/// A tar of files (name, content); a name that ends in a slash is a folder.
pub fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (name, content) in files {
        if name.ends_with('/') {
            let mut entry = Entry::new(name.as_bytes().to_vec(), Kind::Folder);
            entry.mode = 0o755;
            writer.entry(&entry).unwrap();
        } else {
            writer.file(name, 0o755, 1_000_000_000, content).unwrap();
        }
    }
    writer.finish().unwrap()
}

/// Bytes that do not compress.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

impl TestLayer {
    pub fn plain(tar: Vec<u8>) -> TestLayer {
        TestLayer { diff_id: Digest::of(&tar), bytes: tar, media_type: OCI_LAYER.to_owned() }
    }

    pub fn gzip(tar: &[u8]) -> TestLayer {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(tar).unwrap();
        TestLayer {
            bytes: encoder.finish().unwrap(),
            diff_id: Digest::of(tar),
            media_type: format!("{OCI_LAYER}+gzip"),
        }
    }

    pub fn zstd(tar: &[u8]) -> TestLayer {
        TestLayer {
            bytes: zstd::encode_all(tar, 1).unwrap(),
            diff_id: Digest::of(tar),
            media_type: format!("{OCI_LAYER}+zstd"),
        }
    }

    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }
}

impl TestImage {
    pub fn new(layers: Vec<TestLayer>) -> TestImage {
        let diff_ids: Vec<_> = layers.iter().map(|l| l.diff_id).collect();
        let config = serde_json::to_vec(&serde_json::json!({
            "architecture": std::env::consts::ARCH.replace("x86_64", "amd64").replace("aarch64", "arm64"),
            "os": "linux",
            "created": "2024-01-02T03:04:05Z",
            "config": {"Cmd": ["/bin/sh"], "Env": ["A=1"], "Labels": {"color": "blue"}},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [{"created_by": "COPY something"}],
        }))
        .unwrap();
        let descriptor = Descriptor::new(OCI_CONFIG, Digest::of(&config), config.len() as u64);
        let blobs = layers
            .iter()
            .map(|l| Descriptor::new(&l.media_type, l.digest(), l.bytes.len() as u64))
            .collect();
        let mut manifest = Manifest::new(descriptor, blobs);
        manifest.media_type = DOCKER_MANIFEST.to_owned();
        let manifest = serde_json::to_vec(&manifest).unwrap();
        TestImage { layers, config, manifest, media_type: DOCKER_MANIFEST.to_owned() }
    }

    pub fn id(&self) -> Digest {
        Digest::of(&self.config)
    }

    /// Every blob but the manifest.
    pub fn blobs(&self) -> Vec<Vec<u8>> {
        let layers = self.layers.iter().map(|l| l.bytes.clone());
        layers.chain([self.config.clone()]).collect()
    }
}
