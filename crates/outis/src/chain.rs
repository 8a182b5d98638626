//! Whether the API server will believe the webhook: the chain it serves, under the bundles of the live registration.

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use outis_cluster::registration::SERVICE;
use outis_identity::serving;
use outis_model::{Namespace, Timestamp};

/// The name the API server calls.
pub(crate) fn name(home: &Namespace) -> String {
    format!("{SERVICE}.{home}.svc")
}

/// What the API server will find when it calls: the chain (PEM, leaf first) under every bundle. Each webhook of the
/// registration has its own, and is called for its own rules, so one that does not believe us is one too many.
pub(crate) fn believed(
    registered: &ValidatingWebhookConfiguration,
    chain: &[u8],
    home: &Namespace,
    now: Timestamp,
) -> Result<(), String> {
    let name = name(home);
    for webhook in registered.webhooks.iter().flatten() {
        let bundle = webhook.client_config.ca_bundle.as_ref().map_or(&[][..], |bundle| &bundle.0);
        serving::believed(chain, bundle, &name, now)
            .map_err(|error| format!("under the caBundle of {}: {error}", webhook.name))?;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use k8s_openapi::ByteString;
    use k8s_openapi::api::admissionregistration::v1::ValidatingWebhook;

    use super::*;

    pub(crate) fn home() -> Namespace {
        "outis-system".parse().expect("name")
    }

    pub(crate) fn now() -> Timestamp {
        Timestamp::from_second(1_795_000_000).expect("in range")
    }

    /// A certificate as the controller makes it.
    pub(crate) fn made() -> serving::Serving {
        serving::create(&[name(&home())], now()).expect("made")
    }

    /// A registration with a webhook for each bundle; `None` is one that names no bundle.
    pub(crate) fn registered(bundles: &[Option<&str>]) -> ValidatingWebhookConfiguration {
        let webhook = |(number, bundle): (usize, &Option<&str>)| {
            let mut webhook =
                ValidatingWebhook { name: format!("w{number}.outis.dev"), ..ValidatingWebhook::default() };
            webhook.client_config.ca_bundle = bundle.map(|text| ByteString(text.as_bytes().to_vec()));
            webhook
        };
        let webhooks = Some(bundles.iter().enumerate().map(webhook).collect());
        ValidatingWebhookConfiguration { webhooks, ..ValidatingWebhookConfiguration::default() }
    }

    #[test]
    fn every_bundle_must_believe_the_chain_and_the_first_that_does_not_is_named() {
        let (ours, other) = (made(), made());
        let check =
            |bundles: &[Option<&str>]| believed(&registered(bundles), ours.chain.as_bytes(), &home(), now());
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&[Some(&ours.root), Some(&ours.root)]), Ok(()));
        let told = check(&[Some(&ours.root), Some(&other.root)]).expect_err("a foreign root");
        assert!(told.starts_with("under the caBundle of w1.outis.dev: "), "{told}");
        assert!(check(&[None]).expect_err("no bundle").contains("no certificate in it"));
        let both = format!("{}{}", other.root, ours.root);
        assert_eq!(check(&[Some(&both)]), Ok(()), "old and new beside each other");
    }

    #[test]
    fn another_namespace_is_another_name() {
        let ours = made();
        let elsewhere = "elsewhere".parse().expect("name");
        let one = registered(&[Some(&ours.root)]);
        assert!(believed(&one, ours.chain.as_bytes(), &elsewhere, now()).is_err());
    }
}
