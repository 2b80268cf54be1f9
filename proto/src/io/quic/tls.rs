//! Who may be at the other end: one verifier for both ends, held against the roster of the moment.
//!
//! No session is ever resumed and nothing is sent early, so every connection shows its key anew.

use super::PROTOCOL;
use crate::ids::NodeId;
use crate::io::clock::Clock;
use crate::io::members::Members;
use crate::roster::Peer;
use crate::seal::Keys;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme,
};
use std::any::Any;
use std::sync::Arc;

/// What stands before the 32 bytes of an Ed25519 public key in DER (RFC 8410).
const PUBLIC_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// And before a private one.
const PRIVATE_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// This node's side of every handshake.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    own: Arc<CertifiedKey>,
    provider: Arc<CryptoProvider>,
    members: Arc<Members>,
    clock: Clock,
}

impl Identity {
    pub(super) fn new(keys: &Keys, members: Arc<Members>, clock: Clock) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let private = [&PRIVATE_PREFIX[..], keys.ed25519_private()].concat();
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(private));
        let signing = provider.key_provider.load_private_key(private).expect("every 32 bytes are an Ed25519 key");
        let public = CertificateDer::from([&PUBLIC_PREFIX[..], &keys.public().ed25519].concat());
        Self { own: Arc::new(CertifiedKey::new(vec![public], signing)), provider, members, clock }
    }

    /// For whoever dials us.
    pub(super) fn server(&self) -> QuicServerConfig {
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])
            .expect("ring speaks TLS 1.3")
            .with_client_cert_verifier(Arc::new(self.verifier(None)))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::clone(&self.own))));
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        QuicServerConfig::try_from(config).expect("ring has the cipher QUIC begins with")
    }

    /// For dialling this node and no other.
    pub(super) fn client(&self, node: NodeId) -> QuicClientConfig {
        QuicClientConfig::try_from(self.client_tls(node)).expect("ring has the cipher QUIC begins with")
    }

    pub(super) fn client_tls(&self, node: NodeId) -> ClientConfig {
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])
            .expect("ring speaks TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(self.verifier(Some(node))))
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(Arc::clone(&self.own))));
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        config
    }

    fn verifier(&self, expected: Option<NodeId>) -> Verifier {
        Verifier {
            expected,
            members: Arc::clone(&self.members),
            provider: Arc::clone(&self.provider),
            clock: self.clock,
        }
    }
}

/// The key a finished handshake has proved.
pub(super) fn proven_key(identity: Option<Box<dyn Any>>) -> Option<[u8; 32]> {
    let shown = identity?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    shown.first().and_then(raw_key)
}

fn raw_key(shown: &CertificateDer<'_>) -> Option<[u8; 32]> {
    shown.as_ref().strip_prefix(&PUBLIC_PREFIX)?.try_into().ok()
}

#[derive(Debug)]
struct Verifier {
    /// Whom we dialled; anyone in the roster when we were dialled.
    expected: Option<NodeId>,
    members: Arc<Members>,
    provider: Arc<CryptoProvider>,
    clock: Clock,
}

impl Verifier {
    fn check(&self, shown: &CertificateDer<'_>) -> Result<(), Error> {
        let refuse = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let roster = self.members.now();
        let known = raw_key(shown).and_then(|key| roster.by_ed25519(&key));
        let meant = |peer: &&Peer| self.expected.is_none_or(|node| node == peer.id);
        let peer = known.filter(meant).ok_or(refuse)?;
        let expired = |_| Error::InvalidCertificate(CertificateError::Expired);
        peer.admits(None, self.clock.wall()).map_err(expired)
    }

    fn check_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(shown.as_ref());
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.provider.signature_verification_algorithms)
    }
}

fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::PeerIncompatible(PeerIncompatible::Tls13RequiredForQuic))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(shown).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, shown, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(shown).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, shown, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// A client that has no key to show.
#[cfg(test)]
#[derive(Debug)]
pub(super) struct NoKey;

#[cfg(test)]
impl rustls::client::ResolvesClientCert for NoKey {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn only_raw_public_keys(&self) -> bool {
        true
    }

    fn has_certs(&self) -> bool {
        false
    }
}
