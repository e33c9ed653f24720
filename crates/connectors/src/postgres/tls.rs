//! Encryption of the connection, with the meaning that `sslmode` has for PostgreSQL's own clients: `prefer` (as when nothing is
//! said) and `require` encrypt without asking who answers; `verify-ca` and `verify-full` check certificate and name against the
//! public authorities, or against those in `sslrootcert`.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use headwater_connect::SinkError;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Disable,
    Prefer,
    Require,
    Verify,
}

/// What the URL says of encryption.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Encryption {
    mode: Mode,
    /// PEM file with the authorities to trust.
    roots: Option<String>,
}

impl Encryption {
    /// Takes `sslmode` and `sslrootcert` out of a URL (or out of `key=value` text): the client knows only some of them.
    pub fn split(url: &str) -> Result<(String, Self), SinkError> {
        let mut found = Self {
            mode: Mode::Prefer,
            roots: None,
        };
        let (base, list, separator) = match url.split_once('?') {
            Some((base, query)) => (format!("{base}?"), query, '&'),
            None => (String::new(), url, ' '),
        };
        let mut kept = Vec::new();
        for part in list.split(separator) {
            match part.split_once('=') {
                Some(("sslmode", value)) => found.mode = Mode::parse(value)?,
                Some(("sslrootcert", path)) => found.roots = Some(path.to_owned()),
                _ => kept.push(part),
            }
        }
        Ok((base + &kept.join(&separator.to_string()), found))
    }

    pub fn mode(&self) -> SslMode {
        match self.mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::Verify => SslMode::Require,
        }
    }

    pub fn connector(&self) -> Result<Connector, SinkError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| SinkError::Rejected(format!("TLS: {e}")))?;
        let config = if self.mode == Mode::Verify {
            builder
                .with_root_certificates(self.authorities()?)
                .with_no_client_auth()
        } else {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
                .with_no_client_auth()
        };
        Ok(Connector(Arc::new(config)))
    }

    fn authorities(&self) -> Result<RootCertStore, SinkError> {
        let mut store = RootCertStore::empty();
        let Some(path) = &self.roots else {
            store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            return Ok(store);
        };
        let unreadable = |why: String| SinkError::Rejected(format!("sslrootcert: {why}"));
        for certificate in
            CertificateDer::pem_file_iter(path).map_err(|e| unreadable(e.to_string()))?
        {
            let certificate = certificate.map_err(|e| unreadable(e.to_string()))?;
            store
                .add(certificate)
                .map_err(|e| unreadable(e.to_string()))?;
        }
        Ok(store)
    }
}

impl Mode {
    fn parse(value: &str) -> Result<Self, SinkError> {
        match value {
            "disable" => Ok(Self::Disable),
            "allow" | "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" | "verify-full" => Ok(Self::Verify),
            _ => Err(SinkError::Rejected(
                "option 'url': sslmode is disable, prefer, require, verify-ca or verify-full"
                    .into(),
            )),
        }
    }
}

/// Makes encrypted streams.
#[derive(Clone)]
pub(super) struct Connector(Arc<ClientConfig>);

pub(super) struct Handshake {
    connector: TlsConnector,
    name: ServerName<'static>,
}

pub(super) struct Encrypted<S>(tokio_rustls::client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Connector {
    type Stream = Encrypted<S>;
    type TlsConnect = Handshake;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> io::Result<Handshake> {
        let name = ServerName::try_from(domain.to_owned())
            .map_err(|_| io::Error::other("the host is no name for TLS"))?;
        Ok(Handshake {
            connector: TlsConnector::from(Arc::clone(&self.0)),
            name,
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Handshake {
    type Stream = Encrypted<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move { Ok(Encrypted(self.connector.connect(self.name, stream).await?)) })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Encrypted<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Encrypted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Encrypted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Accepts whoever answers: `prefer` and `require` are about being read on the way, not about who is there.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_url_without_what_is_said_of_encryption() {
        let cases = [
            ("postgres://u@h/d", "postgres://u@h/d", Mode::Prefer, None),
            (
                "postgres://u@h/d?sslmode=require",
                "postgres://u@h/d?",
                Mode::Require,
                None,
            ),
            (
                "postgres://u@h/d?a=b&sslmode=verify-full&sslrootcert=/x/y.pem",
                "postgres://u@h/d?a=b",
                Mode::Verify,
                Some("/x/y.pem"),
            ),
            (
                "host=h sslmode=disable user=u",
                "host=h user=u",
                Mode::Disable,
                None,
            ),
        ];
        for (url, rest, mode, roots) in cases {
            let roots = roots.map(str::to_owned);
            assert_eq!(
                Encryption::split(url).unwrap(),
                (rest.to_owned(), Encryption { mode, roots })
            );
        }
        assert!(Encryption::split("postgres://u@h/d?sslmode=maybe").is_err());
    }
}
