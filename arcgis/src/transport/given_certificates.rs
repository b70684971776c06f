//! Certificates that the caller gives to be trusted beside the system's.
//!
//! 1. One that says that it is a CA (`CA:TRUE`, or a version 1 certificate, which cannot say it) is a trust anchor.
//! 2. Every one of them, CA or not, is trusted as the server's own certificate: byte for byte, for the names that it holds, while it
//!    is valid. The usual verification would refuse a self-signed one that says CA:TRUE (`CaUsedAsEndEntity`).
//!
//! One that is no CA is no trust anchor: who has its key could sign certificates for every other host.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::Arc;
use std::time::Duration;

/// Trusts given certificates as they are, and leaves every other one to the usual verification.
#[derive(Debug)]
pub(super) struct GivenCertificates {
    given: Vec<Given>,
    /// `None` where nothing else is trusted.
    others: Option<Arc<dyn ServerCertVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
struct Given {
    der: CertificateDer<'static>,
    facts: Facts,
}

/// What of a certificate is needed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Facts {
    not_before: UnixTime,
    not_after: UnixTime,
    /// Whether it may sign other certificates.
    is_ca: bool,
}

/// Whether a given certificate is a trust anchor.
pub(super) fn is_anchor(certificate: &CertificateDer<'_>) -> bool {
    Facts::read(certificate).is_some_and(|facts| facts.is_ca)
}

/// Checks that a given certificate can be judged: one whose own statements cannot be read is trusted for nothing.
///
/// # Errors
/// What is wrong, as text.
pub(super) fn check(certificate: &CertificateDer<'_>) -> Result<(), String> {
    let wrong = "the validity or the basic constraints of a certificate in it are not as X.509 has them";
    Facts::read(certificate).map(drop).ok_or_else(|| wrong.to_owned())
}

impl GivenCertificates {
    pub(super) fn new(
        given: Vec<CertificateDer<'static>>,
        others: Option<Arc<dyn ServerCertVerifier>>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        let read = |der: CertificateDer<'static>| Facts::read(&der).map(|facts| Given { der, facts });
        Self { given: given.into_iter().filter_map(read).collect(), others, algorithms }
    }
}

impl ServerCertVerifier for GivenCertificates {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let same = self.given.iter().find(|given| given.der.as_ref() == end_entity.as_ref());
        let parsed = same.and_then(|given| Some((given, ParsedCertificate::try_from(end_entity).ok()?)));
        let Some((Given { facts, .. }, parsed)) = parsed else {
            return match &self.others {
                Some(others) => others.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now),
                None => Err(CertificateError::UnknownIssuer.into()),
            };
        };
        if now < facts.not_before {
            return Err(CertificateError::NotValidYetContext { time: now, not_before: facts.not_before }.into());
        }
        if now > facts.not_after {
            return Err(CertificateError::ExpiredContext { time: now, not_after: facts.not_after }.into());
        }
        verify_server_name(&parsed, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

// ASN.1 in DER, as far as these facts need it (RFC 5280 §4.1).

const BOOLEAN: u8 = 0x01;
const OBJECT_ID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// `id-ce-basicConstraints`, 2.5.29.19.
const BASIC_CONSTRAINTS: [u8; 3] = [0x55, 0x1d, 0x13];

/// Values one after another.
#[derive(Clone, Copy)]
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next value: its tag and content.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // 0x80 is a length without end, which DER has not.
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }
}

impl Facts {
    fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let mut signed = Der(Der(certificate.as_ref()).expect(SEQUENCE)?);
        let mut body = Der(signed.expect(SEQUENCE)?);
        let has_version = body.0.first() == Some(&VERSION);
        if has_version {
            body.next()?;
        }
        // Serial number, algorithm, issuer.
        (0..3).try_for_each(|_| body.next().map(drop))?;
        let mut validity = Der(body.expect(SEQUENCE)?);
        let (not_before, not_after) = (time(validity.next()?)?, time(validity.next()?)?);
        let mut is_ca = !has_version;
        while let Some((tag, content)) = body.next() {
            if tag == EXTENSIONS {
                is_ca = says_ca(content)?;
            }
        }
        Some(Self { not_before, not_after, is_ca })
    }
}

/// Whether basic constraints are among the extensions and say CA.
fn says_ca(extensions: &[u8]) -> Option<bool> {
    let mut list = Der(Der(extensions).expect(SEQUENCE)?);
    while let Some((_, extension)) = list.next() {
        let mut extension = Der(extension);
        if extension.expect(OBJECT_ID)? != BASIC_CONSTRAINTS {
            continue;
        }
        let (mut tag, mut value) = extension.next()?;
        if tag == BOOLEAN {
            (tag, value) = extension.next()?;
        }
        // An octet string, whose content is the extension's own.
        let mut constraints = Der(Der(value).expect(SEQUENCE).filter(|_| tag == 0x04)?);
        return Some(constraints.next().is_some_and(|(tag, value)| tag == BOOLEAN && value.iter().any(|byte| *byte != 0)));
    }
    Some(false)
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`; a time before 1970 is 1970.
fn time((tag, text): (u8, &[u8])) -> Option<UnixTime> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i64 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<i64>().ok();
    let (month, day) = (part(0)?, part(2)?);
    if rest.len() != 10 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since 1970 by the civil calendar, with years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * month + 2) / 5 + day - 1;
    let seconds = (days - 719_468) * 86_400 + part(4)? * 3600 + part(6)? * 60 + part(8)?;
    Some(UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};

    fn made(change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut parameters = CertificateParams::new(vec!["gis.city.example".to_owned()]).expect("parameters");
        (parameters.not_before, parameters.not_after) = (date_time_ymd(2024, 2, 29), date_time_ymd(2051, 1, 1));
        change(&mut parameters);
        let key = KeyPair::generate().expect("a key");
        parameters.self_signed(&key).expect("a certificate").der().clone()
    }

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    const BEGIN: u64 = 1_709_164_800;
    const END: u64 = 2_556_144_000;

    fn judged(verifier: &GivenCertificates, certificate: &CertificateDer<'_>, name: &str, now: u64) -> Result<(), Error> {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        verifier.verify_server_cert(certificate, &[], &name, &[], at(now)).map(drop)
    }

    fn trusting(certificate: &CertificateDer<'static>) -> GivenCertificates {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        GivenCertificates::new(vec![certificate.clone()], None, algorithms)
    }

    #[test]
    fn validity_and_ca_are_read() {
        for (is_ca, certificate) in [
            (false, made(|_| {})),
            (false, made(|p| p.is_ca = IsCa::ExplicitNoCa)),
            (true, made(|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
            (true, made(|p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)))),
        ] {
            let facts = Facts::read(&certificate).expect("reads");
            assert_eq!(facts, Facts { not_before: at(BEGIN), not_after: at(END), is_ca });
            assert_eq!(is_anchor(&certificate), is_ca);
            // Half of it, and any byte that is another, ends without a panic.
            for cut in 0..certificate.len() {
                let _ = Facts::read(&CertificateDer::from(&certificate[..cut]));
                let mut other = certificate.to_vec();
                other[cut] ^= 0xff;
                let _ = Facts::read(&CertificateDer::from(other));
            }
        }
        assert_eq!(time((UTC_TIME, b"700101000000Z")), Some(at(0)));
        assert_eq!(time((UTC_TIME, b"491231235959Z")), Some(at(2_524_607_999)));
        assert_eq!(time((GENERALIZED_TIME, b"19500101000000Z")), Some(at(0)));
        for odd in ["", "Z", "7001010000Z", "701301000000Z", "700101000000+0100", "7x0101000000Z"] {
            assert_eq!(time((UTC_TIME, odd.as_bytes())), None, "{odd}");
        }
    }

    #[test]
    fn a_certificate_that_cannot_be_read_is_no_trust_anchor() {
        let certificate = made(|_| {});
        let at = certificate.windows(12).position(|w| w == b"240229000000").expect("the begin of its validity");
        let mut odd = certificate.to_vec();
        // Month 13; the usual verification does not look at the dates of its anchors.
        odd[at + 2..at + 4].copy_from_slice(b"13");
        let odd = CertificateDer::from(odd);
        assert!(rustls::RootCertStore::empty().add(odd.clone()).is_ok(), "it would be one");
        assert!(!is_anchor(&odd), "and could sign for every host");
        assert!(check(&certificate).is_ok() && check(&odd).is_err() && check(&CertificateDer::from(vec![1, 2])).is_err());
    }

    #[test]
    fn a_given_certificate_is_trusted_for_its_names_while_it_is_valid() {
        for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
            let certificate = made(|p| p.is_ca = is_ca);
            let verifier = trusting(&certificate);
            let verdict = |name, now| judged(&verifier, &certificate, name, now);
            assert_eq!(verdict("gis.city.example", BEGIN), Ok(()));
            assert_eq!(verdict("GIS.city.example", END), Ok(()));
            let error = |name, now| match verdict(name, now) {
                Err(Error::InvalidCertificate(error)) => error,
                other => panic!("{other:?}"),
            };
            assert!(matches!(error("gis.city.example", BEGIN - 1), CertificateError::NotValidYetContext { .. }));
            assert!(matches!(error("gis.city.example", END + 1), CertificateError::ExpiredContext { .. }));
            assert!(matches!(error("other.example", BEGIN), CertificateError::NotValidForNameContext { .. }));
            // Another one for the same name is as strange as ever.
            let stranger = made(|_| {});
            let verdict = judged(&verifier, &stranger, "gis.city.example", BEGIN);
            assert_eq!(verdict, Err(CertificateError::UnknownIssuer.into()));
        }
    }
}
