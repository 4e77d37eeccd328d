//! Server TLS, with certificate files that are reloaded when they change.

use std::{
    fs,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use crate::config::{TlsArgs, TlsVersion};

/// ALPN protocols (RFC 7301). HTTP/1.1 is for plain requests.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The current TLS configuration.
pub struct Tls {
    args: TlsArgs,
    current: RwLock<Current>,
}

/// The files as last read, and the configuration built from them.
struct Current {
    files: Files,
    config: Arc<ServerConfig>,
}

#[derive(PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    client_ca: Option<Vec<u8>>,
}

impl Tls {
    /// Reads the files, if any are configured.
    ///
    /// # Errors
    /// A one-line message that names the file and the problem.
    pub fn open(args: &TlsArgs) -> Result<Option<Arc<Self>>, String> {
        let Some(files) = Files::read(args)? else { return Ok(None) };
        let config = Arc::new(files.config(args)?);
        Ok(Some(Arc::new(Self { args: args.clone(), current: RwLock::new(Current { files, config }) })))
    }

    /// An acceptor with the current configuration.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&current.config))
    }

    /// Checks the files periodically. Changed files apply to new connections; files that cannot be used are logged and change nothing.
    pub async fn follow(self: Arc<Self>) {
        let mut logged = None;
        loop {
            tokio::time::sleep(self.args.tls_reload_interval).await;
            let tls = Arc::clone(&self);
            let reloaded = tokio::task::spawn_blocking(move || tls.reload()).await;
            match reloaded.unwrap_or_else(|error| Err(error.to_string())) {
                Ok(true) => tracing::info!("reloaded the changed TLS files for new connections"),
                Ok(false) => logged = None,
                // Logged once, not at every check.
                Err(error) if logged.as_ref() == Some(&error) => {}
                Err(error) => {
                    tracing::error!(error, "the TLS files cannot be used; keeping the previous ones");
                    logged = Some(error);
                }
            }
        }
    }

    /// Returns true if the files had changed.
    fn reload(&self) -> Result<bool, String> {
        let files = Files::read(&self.args)?.ok_or("there is no certificate")?;
        if self.current.read().unwrap_or_else(PoisonError::into_inner).files == files {
            return Ok(false);
        }
        let config = Arc::new(files.config(&self.args)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Current { files, config };
        Ok(true)
    }
}

impl Files {
    fn read(args: &TlsArgs) -> Result<Option<Self>, String> {
        let (Some(certificate), Some(key)) = (&args.tls_certificate, &args.tls_key) else { return Ok(None) };
        let client_ca = args.tls_client_ca.as_deref().map(read).transpose()?;
        Ok(Some(Self { certificate: read(certificate)?, key: Zeroizing::new(read(key)?), client_ca }))
    }

    fn config(&self, args: &TlsArgs) -> Result<ServerConfig, String> {
        let wrong = |name: &str, error: &dyn std::fmt::Display| format!("{name} cannot be used: {error}");
        let provider = Arc::new(ring::default_provider());
        let versions = match args.tls_min_version {
            TlsVersion::Tls12 => &[&TLS13, &TLS12][..],
            TlsVersion::Tls13 => &[&TLS13][..],
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions);
        let builder = builder.map_err(|error| wrong("--tls-min-version", &error))?;
        let verifier: Arc<dyn ClientCertVerifier> = match &self.client_ca {
            None => WebPkiClientVerifier::no_client_auth(),
            Some(pem) => {
                let wrong = |error: &dyn std::fmt::Display| wrong("--tls-client-ca", error);
                let mut roots = RootCertStore::empty();
                for certificate in certificates(pem).map_err(|error| wrong(&error))? {
                    roots.add(certificate).map_err(|error| wrong(&error))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                verifier.map_err(|error| wrong(&error))?
            }
        };
        let certificates = certificates(&self.certificate).map_err(|error| wrong("--tls-certificate", &error))?;
        // Never prints the content of the file.
        let key =
            PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| "--tls-key cannot be used: it has no key in PEM")?;
        let config = builder.with_client_cert_verifier(verifier).with_single_cert(certificates, key);
        let mut config = config.map_err(|error| wrong("--tls-certificate with --tls-key", &error))?;
        config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| error.to_string())?;
    if found.is_empty() { Err("it has no certificate in PEM".to_owned()) } else { Ok(found) }
}
