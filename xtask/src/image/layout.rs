//! The OCI image layout (image-spec v1.1), written as one archive that `ctr images import` and
//! `kind load image-archive` read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// A file of the image.
pub(super) enum Entry {
    /// Bytes and mode.
    File(Vec<u8>, u32),
    /// A symbolic link.
    Link(String),
    /// A directory with its mode.
    Folder(u32),
}

/// An image of one layer.
pub(super) struct Image {
    pub(super) reference: String,
    pub(super) files: BTreeMap<String, Entry>,
    pub(super) entrypoint: Vec<String>,
    pub(super) user: String,
}

impl Image {
    /// Writes the archive; gives the manifest's digest.
    pub(super) fn write(&self, to: &Path) -> Result<String> {
        let layer = self.layer()?;
        let diff = digest(&layer);
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let config = json!({
            "architecture": architecture, "os": "linux",
            "config": {"Entrypoint": self.entrypoint, "User": self.user, "Env": ["PATH=/usr/bin:/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [diff]},
        })
        .to_string()
        .into_bytes();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": describe("application/vnd.oci.image.config.v1+json", &config),
            "layers": [describe("application/vnd.oci.image.layer.v1.tar", &layer)],
        })
        .to_string()
        .into_bytes();
        let mut entry = describe("application/vnd.oci.image.manifest.v1+json", &manifest);
        let tag = self.reference.rsplit(':').next().unwrap_or("latest");
        entry["annotations"] =
            json!({"io.containerd.image.name": self.reference, "org.opencontainers.image.ref.name": tag});
        let index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string().into_bytes();

        let mut archive = Builder::new(Vec::new());
        file(&mut archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644)?;
        file(&mut archive, "index.json", &index, 0o644)?;
        for blob in [&config, &manifest, &layer] {
            file(&mut archive, &format!("blobs/sha256/{}", &digest(blob)[7..]), blob, 0o644)?;
        }
        fs::create_dir_all(to.parent().expect("a folder"))?;
        fs::write(to, archive.into_inner()?)?;
        Ok(digest(&manifest))
    }

    fn layer(&self) -> Result<Vec<u8>> {
        let mut archive = Builder::new(Vec::new());
        let mut folders = BTreeSet::new();
        for (name, entry) in &self.files {
            for (at, _) in name.match_indices('/') {
                if !self.files.contains_key(&name[..at]) && folders.insert(&name[..at]) {
                    folder(&mut archive, &name[..at], 0o755)?;
                }
            }
            match entry {
                Entry::File(bytes, mode) => file(&mut archive, name, bytes, *mode)?,
                Entry::Folder(mode) => folder(&mut archive, name, *mode)?,
                Entry::Link(target) => {
                    let mut header = header(EntryType::Symlink, 0, 0o777);
                    archive.append_link(&mut header, name, target)?;
                }
            }
        }
        Ok(archive.into_inner()?)
    }
}

fn file(archive: &mut Builder<Vec<u8>>, name: &str, bytes: &[u8], mode: u32) -> Result<()> {
    let mut header = header(EntryType::Regular, bytes.len() as u64, mode);
    Ok(archive.append_data(&mut header, name, bytes)?)
}

fn folder(archive: &mut Builder<Vec<u8>>, name: &str, mode: u32) -> Result<()> {
    let mut header = header(EntryType::Directory, 0, mode);
    Ok(archive.append_data(&mut header, format!("{name}/"), &[][..])?)
}

/// No times, no owners: the same files are the same bytes.
fn header(kind: EntryType, size: u64, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn describe(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
