//! The serving certificate, read from a mounted Secret and taken over when it changes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use outis_identity::tls::Credential;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use tracing::info;

/// A directory with `tls.crt` and `tls.key`.
pub(super) struct Serving {
    dir: PathBuf,
    credential: Credential,
    taken: Vec<u8>,
}

impl Serving {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.into(), credential: Credential::default(), taken: Vec::new() }
    }

    /// What the server shows; empty until the first `refresh` succeeds.
    pub(super) fn credential(&self) -> &Credential {
        &self.credential
    }

    /// The chain it shows, PEM; empty until the first `refresh` succeeds.
    pub(super) fn chain(&self) -> &[u8] {
        &self.taken
    }

    /// Reads the files and takes them over if they changed.
    pub(super) fn refresh(&mut self) -> Result<()> {
        let read = |name: &str| {
            let path = self.dir.join(name);
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let (chain, key) = (read("tls.crt")?, read("tls.key")?);
        if chain == self.taken {
            return Ok(());
        }
        let ders = outis_identity::from_pem(&chain).context("tls.crt")?;
        let key = match PrivateKeyDer::from_pem_slice(&key).context("tls.key is no private key")? {
            PrivateKeyDer::Pkcs8(key) => key,
            _ => anyhow::bail!("tls.key is not PKCS#8; convert it with `openssl pkcs8 -topk8 -nodes`"),
        };
        self.credential.set(&ders, key.secret_pkcs8_der()).context("tls.crt and tls.key")?;
        self.taken = chain;
        info!("Serving certificate taken over");
        Ok(())
    }
}
