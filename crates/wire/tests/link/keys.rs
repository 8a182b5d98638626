//! Authorities and rustls configs.

use std::sync::Arc;

use outis_model::input::Component;
use outis_model::spiffe::SpiffeId;
use outis_wire::Identify;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

pub(crate) struct Keys {
    ours: Authority,
    foreign: Authority,
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("key")).expect("root"))
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("root");
        Arc::new(roots)
    }

    fn leaf(&self, uri: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().expect("key");
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("name");
        params.subject_alt_names.push(SanType::URI(uri.try_into().expect("uri")));
        let leaf = params.signed_by(&key, &self.0).expect("signed");
        (vec![leaf.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
    }
}

fn id(component: &Component) -> String {
    format!("spiffe://a.example/outis/{}/{}/{}", component.role, component.node, component.pod)
}

impl Keys {
    pub(crate) fn new() -> Self {
        Self { ours: Authority::new(), foreign: Authority::new() }
    }

    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        let verifier =
            WebPkiClientVerifier::builder(self.ours.roots()).allow_unauthenticated().build().expect("roots");
        let (chain, key) = self.ours.leaf("spiffe://a.example/outis/controller");
        let config = ServerConfig::builder().with_client_cert_verifier(verifier).with_single_cert(chain, key);
        Arc::new(config.expect("pair"))
    }

    pub(crate) fn client(&self, component: &Component) -> Arc<ClientConfig> {
        self.client_with(&self.ours, component)
    }

    pub(crate) fn client_of_another_authority(&self, component: &Component) -> Arc<ClientConfig> {
        self.client_with(&self.foreign, component)
    }

    fn client_with(&self, authority: &Authority, component: &Component) -> Arc<ClientConfig> {
        let (chain, key) = authority.leaf(&id(component));
        let config = ClientConfig::builder().with_root_certificates(self.ours.roots());
        Arc::new(config.with_client_auth_cert(chain, key).expect("pair"))
    }

    pub(crate) fn stranger(&self) -> Arc<ClientConfig> {
        Arc::new(ClientConfig::builder().with_root_certificates(self.ours.roots()).with_no_client_auth())
    }
}

/// Reads the only URI name of the leaf.
pub(crate) fn identify() -> Identify {
    Arc::new(|chain| {
        let (_, leaf) = x509_parser::parse_x509_certificate(&chain[0]).map_err(|error| error.to_string())?;
        let names = leaf.subject_alternative_name().map_err(|error| error.to_string())?.ok_or("no names")?;
        let uri = names.value.general_names.iter().find_map(|name| match name {
            x509_parser::extensions::GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
        uri.ok_or("no URI")?.parse::<SpiffeId>().map_err(|error| error.to_string())
    })
}
