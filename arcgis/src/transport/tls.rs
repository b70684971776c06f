//! TLS with the system's trust store and, where asked, a private CA.

use super::given_certificates::{GivenCertificates, check, is_anchor};
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use rustls::ClientConfig;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use std::sync::Arc;

/// The client's TLS configuration. The crypto provider is given by hand: a library must not install one for the process.
pub(super) fn config(ca_certificates: &[Vec<u8>]) -> Result<ClientConfig, Failure> {
    let mut extra = Vec::new();
    for pem in ca_certificates {
        let read = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        match read {
            Ok(list) if !list.is_empty() => extra.extend(list),
            Ok(_) => return Err(unreadable("it has no certificate in it")),
            Err(e) => return Err(unreadable(&e.to_string())),
        }
    }
    extra.iter().try_for_each(|certificate| check(certificate).map_err(|why| unreadable(&why)))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let failed = |e: rustls::Error| Failure::internal(format!("cannot set up TLS: {e}"));
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().map_err(failed)?;
    let anchors: Vec<_> = extra.iter().filter(|certificate| is_anchor(certificate)).cloned().collect();
    let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(anchors.iter().cloned(), Arc::clone(&provider));
    let others: Option<Arc<dyn ServerCertVerifier>> = match verifier {
        Ok(verifier) => Some(Arc::new(verifier)),
        Err(error) => {
            // A machine without a trust store can still talk http, and https to the CA that was given.
            tracing::warn!(%error, "no system trust store; only given CA certificates are trusted");
            let mut roots = rustls::RootCertStore::empty();
            for certificate in anchors {
                roots.add(certificate).map_err(|e| unreadable(&e.to_string()))?;
            }
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
            verifier.ok().map(|verifier| verifier as Arc<dyn ServerCertVerifier>)
        }
    };
    let verifier = GivenCertificates::new(extra, others, algorithms);
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}

fn unreadable(why: &str) -> Failure {
    let message = format!("the CA certificate cannot be read: {why}; give a PEM file");
    Failure::new(FailureOwner::Caller, FailureKind::InvalidParameter, FailureStage::Plan, message)
}
