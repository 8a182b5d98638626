//! Our own certificate: asked for with the projected token, renewed by itself, kept in memory beside the process so that a restart
//! of the container, which has the same token, need not ask again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use outis_identity::tls::Credential;
use outis_identity::{Key, renew_at};
use outis_model::port::{Refusal, SignedChain};
use outis_model::{Secret, SpiffeId, Timestamp};
use outis_wire::{Controller, Signing};
use serde::{Deserialize, Serialize};

use crate::config::LinkConfig;

/// What is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    id: SpiffeId,
    chain: Vec<Vec<u8>>,
    key: Vec<u8>,
    not_before: Timestamp,
    not_after: Timestamp,
}

/// Our certificate in use.
pub(super) struct Own {
    pub(super) id: SpiffeId,
    pub(super) not_after: Timestamp,
    renew: Timestamp,
    credential: Credential,
    file: PathBuf,
}

impl Own {
    /// The certificate that was kept, if it is still good under these roots; else a new one.
    pub(super) async fn ready(
        config: &LinkConfig,
        controller: &Controller,
        credential: &Credential,
        roots: &[Vec<u8>],
    ) -> Result<Self> {
        let file = config.own.join("certificate.json");
        let now = Timestamp::now();
        // One that is due is good enough to be renewed by: the token it came from is used up.
        let good = |kept: &Kept| outis_identity::verify(&kept.chain, roots, now).is_ok();
        let kept = match read(&file).filter(good) {
            Some(kept) => kept,
            None => enrol(config, controller, &file).await?,
        };
        credential.set(&kept.chain, &kept.key)?;
        Ok(Self::of(&kept, credential.clone(), file))
    }

    fn of(kept: &Kept, credential: Credential, file: PathBuf) -> Self {
        let renew = renew_at(kept.not_before, kept.not_after, crate::chance::byte());
        Self { id: kept.id.clone(), not_after: kept.not_after, renew, credential, file }
    }

    /// How long until it is to be renewed.
    pub(super) fn due(&self) -> Duration {
        let milliseconds = self.renew.as_millisecond() - Timestamp::now().as_millisecond();
        // An attempt that failed is made again after a while, not at once.
        Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0)).max(Duration::from_secs(5))
    }

    /// A new certificate in the place of this one: by this one, or where that is not taken any more by the token.
    pub(super) async fn renew(
        &mut self,
        config: &LinkConfig,
        controller: &Controller,
        signing: &Signing,
    ) -> Result<()> {
        let (key, now) = (Key::generate()?, Timestamp::now());
        let kept = match signing.renew(key.request(&config.pod)?).await {
            Ok(signed) => kept(signed, &key, now, &self.file),
            Err(Refusal::Denied(why)) => {
                tracing::warn!(why, "Our certificate is not taken; enrolling anew");
                enrol(config, controller, &self.file).await?
            }
            Err(refusal) => return Err(refusal.into()),
        };
        ensure!(kept.id == self.id, "the controller gave us another identity: {}", kept.id);
        self.credential.set(&kept.chain, &kept.key)?;
        *self = Self::of(&kept, self.credential.clone(), self.file.clone());
        tracing::info!(until = %self.not_after, "Our certificate was renewed");
        Ok(())
    }
}

fn read(file: &Path) -> Option<Kept> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

async fn enrol(config: &LinkConfig, controller: &Controller, file: &Path) -> Result<Kept> {
    let path = &config.token;
    let token = tokio::fs::read_to_string(path).await;
    let token = token.with_context(|| format!("cannot read the token {}", path.display()))?;
    let key = Key::generate()?;
    let csr = key.request(&config.pod)?;
    let now = Timestamp::now();
    let enrolled = outis_wire::enrol(controller, Secret::new(token.trim().to_owned()), csr).await;
    let signed = enrolled.map_err(|error| anyhow::anyhow!(outis_wire::describe(&error)))?.signed;
    Ok(kept(signed, &key, now, file))
}

fn kept(signed: SignedChain, key: &Key, now: Timestamp, file: &Path) -> Kept {
    let key = key.pkcs8().into_inner();
    let SignedChain { id, chain, not_after } = signed;
    let kept = Kept { id, chain, key, not_before: now, not_after };
    keep(&kept, file);
    kept
}

/// A file that cannot be written costs a new token after a restart, and nothing else.
fn keep(kept: &Kept, file: &Path) {
    use std::os::unix::fs::OpenOptionsExt;
    let written = serde_json::to_vec(kept).map_err(std::io::Error::other).and_then(|bytes| {
        let mut options = std::fs::OpenOptions::new();
        let mut open = options.write(true).create(true).truncate(true).mode(0o600).open(file)?;
        std::io::Write::write_all(&mut open, &bytes)
    });
    if let Err(error) = written {
        tracing::warn!(%error, file = %file.display(), "Our certificate cannot be kept for a restart");
    }
}
