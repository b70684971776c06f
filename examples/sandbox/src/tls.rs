//! https with a private CA made at start, as on-premises servers have one.

use axum::serve::Listener;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Which certificate a sandbox has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServerCertificate {
    /// Signed by a private CA.
    #[default]
    OfPrivateCa,
    /// Self-signed; it does not claim to be a CA.
    SelfSigned,
    /// Self-signed; it claims to be a CA.
    SelfSignedCa,
    /// Self-signed, for a time that is over.
    SelfSignedExpired,
    /// Self-signed, for another host.
    SelfSignedOtherName,
    /// Signed with the key of a self-signed certificate that is no CA; the issuer is sent along, and is what is given to be trusted.
    SignedByNoCa,
}

/// A server configuration for loopback, and the PEM to trust: of the CA, or of the certificate itself.
pub(crate) fn config(kind: ServerCertificate, wants_client: bool) -> io::Result<(Arc<ServerConfig>, String)> {
    let failed = |e: rcgen::Error| io::Error::other(e);
    let key = KeyPair::generate().map_err(failed)?;
    let name = match kind {
        ServerCertificate::SelfSignedOtherName => vec!["other.example".to_owned()],
        _ => vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
    };
    let mut leaf = CertificateParams::new(name).map_err(failed)?;
    leaf.extended_key_usages.push(rcgen::ExtendedKeyUsagePurpose::ServerAuth);
    let ca_key = KeyPair::generate().map_err(failed)?;
    let mut ca = CertificateParams::new(Vec::new()).map_err(failed)?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(rcgen::DnType::CommonName, "offmap sandbox CA");
    let ca_certificate = ca.self_signed(&ca_key).map_err(failed)?;
    match kind {
        ServerCertificate::SelfSignedCa => leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
        ServerCertificate::SelfSignedExpired => leaf.not_after = rcgen::date_time_ymd(2020, 1, 1),
        _ => {}
    }
    let der = |certificate: &rcgen::Certificate| CertificateDer::from(certificate.der().to_vec());
    let (chain, trusted) = match kind {
        ServerCertificate::OfPrivateCa => {
            let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).map_err(failed)?;
            (vec![der(&leaf)], ca_certificate.pem())
        }
        ServerCertificate::SignedByNoCa => {
            let other_key = KeyPair::generate().map_err(failed)?;
            let mut other = CertificateParams::new(vec!["other.example".to_owned()]).map_err(failed)?;
            other.distinguished_name.push(rcgen::DnType::CommonName, "other.example");
            let own = other.self_signed(&other_key).map_err(failed)?;
            let leaf = leaf.signed_by(&key, &Issuer::new(other, other_key)).map_err(failed)?;
            (vec![der(&leaf), der(&own)], own.pem())
        }
        _ => {
            let own = leaf.self_signed(&key).map_err(failed)?;
            (vec![der(&own)], own.pem())
        }
    };
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut clients = RootCertStore::empty();
    clients.add(CertificateDer::from(ca_certificate.der().to_vec())).map_err(io::Error::other)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(clients), Arc::clone(&provider))
        .build()
        .map_err(io::Error::other)?;
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let builder = if wants_client { builder.with_client_cert_verifier(verifier) } else { builder.with_no_client_auth() };
    Ok((Arc::new(builder.with_single_cert(chain, key).map_err(io::Error::other)?), trusted))
}

/// Hands on connections whose handshake is done; a slow handshake delays nobody else.
pub(crate) struct TlsListener {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    local: SocketAddr,
}

impl TlsListener {
    pub(crate) fn new(listener: TcpListener, config: Arc<ServerConfig>) -> io::Result<Self> {
        let local = listener.local_addr()?;
        let (sender, ready) = mpsc::channel(16);
        let acceptor = TlsAcceptor::from(config);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = sender.closed() => return,
                    accepted = listener.accept() => {
                        let Ok((stream, from)) = accepted else { continue };
                        let (acceptor, sender) = (acceptor.clone(), sender.clone());
                        tokio::spawn(async move {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                // Nobody receives it after the server has stopped.
                                let _ = sender.send((stream, from)).await;
                            }
                        });
                    }
                }
            }
        });
        Ok(Self { ready, local })
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(ready) => ready,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.local)
    }
}
