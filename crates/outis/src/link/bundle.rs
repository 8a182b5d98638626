//! The trust bundle as a pushed resource.

use anyhow::{Context, Result, ensure};
use outis_model::TrustDomain;
use outis_model::effect::Resource;
use outis_model::port::TrustBundle;
use serde::{Deserialize, Serialize};

/// The resource's name.
pub(crate) const NAME: &str = "trust-bundle";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    trust_domain: String,
    /// PEM.
    roots: String,
}

/// As it is pushed.
pub(crate) fn write(bundle: &TrustBundle) -> Vec<u8> {
    let body =
        Body { trust_domain: bundle.trust_domain.to_string(), roots: outis_identity::to_pem(&bundle.roots) };
    serde_json::to_vec(&body).expect("texts are JSON")
}

/// As it arrived: only of our own domain.
pub(crate) fn read(domain: &TrustDomain, resource: &Resource) -> Result<TrustBundle> {
    let body: Body = serde_json::from_slice(&resource.body).context("the trust bundle is no JSON of ours")?;
    ensure!(body.trust_domain == domain.as_str(), "the bundle is of {}, ours is {domain}", body.trust_domain);
    let roots = outis_identity::from_pem(body.roots.as_bytes())?;
    Ok(TrustBundle { trust_domain: domain.clone(), roots, sequence: resource.version })
}

#[cfg(test)]
mod tests {
    use outis_identity::Authority;
    use outis_model::Timestamp;

    use super::*;

    #[test]
    fn a_bundle_reads_back_and_one_of_another_domain_is_refused() {
        let domain: TrustDomain = "cluster.local".parse().expect("name");
        let authority = Authority::create(&domain, Timestamp::now()).expect("made");
        let bundle = TrustBundle { trust_domain: domain.clone(), roots: authority.roots(), sequence: 3 };
        let resource = Resource { name: NAME.into(), version: 3, body: write(&bundle) };
        assert_eq!(read(&domain, &resource).expect("read"), bundle);
        let told = read(&"other".parse().expect("name"), &resource).expect_err("refused").to_string();
        assert_eq!(told, "the bundle is of cluster.local, ours is other");
    }
}
