//! TLS and mutual TLS, with changing files.

use std::{path::PathBuf, sync::Arc, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName, version::TLS12};
use tenantry::{clock::MovableClock, server::Server};
use tokio::net::TcpStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::support::{Answered as _, Backend, args, database::TestDatabase, serving::tenantry};

/// A certificate authority for tests.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// Issues a certificate for a name, with its key.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

/// A server with TLS, on SQLite since the database does not matter here.
struct Secured {
    server: Option<Server>,
    database: TestDatabase,
    files: tempfile::TempDir,
}

impl Secured {
    async fn start(authority: &Authority, client_ca: Option<&Authority>, options: &[&str]) -> Self {
        let database = TestDatabase::empty(Backend::Sqlite).await;
        let secured = Self { server: None, database, files: tempfile::tempdir().unwrap() };
        secured.write(&authority.issue("localhost"));
        let (certificate, key, ca) = (secured.path("server.pem"), secured.path("server.key"), secured.path("ca.pem"));
        let mut all = vec!["--tls-certificate", &certificate, "--tls-key", &key, "--tls-reload-interval", "20ms"];
        if let Some(client_ca) = client_ca {
            std::fs::write(&ca, client_ca.pem()).unwrap();
            all.extend(["--tls-client-ca", &ca]);
        }
        all.extend(options);
        let args = args(&secured.database.url(), &all);
        let server = Server::start(&args, Arc::new(MovableClock::default())).await.unwrap();
        Self { server: Some(server), ..secured }
    }

    fn path(&self, name: &str) -> String {
        PathBuf::from(self.files.path()).join(name).display().to_string()
    }

    /// Replaces the certificate and its key.
    fn write(&self, (certificate, key): &(String, String)) {
        std::fs::write(self.path("server.pem"), certificate).unwrap();
        std::fs::write(self.path("server.key"), key).unwrap();
    }

    fn port(&self) -> u16 {
        self.server.as_ref().unwrap().address.port()
    }

    /// Connects a client that trusts an authority, optionally with a client certificate.
    async fn connect(
        &self,
        trusted: &Authority,
        identity: Option<(String, String)>,
    ) -> Result<Channel, tonic::transport::Error> {
        let mut tls =
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(trusted.pem())).domain_name("localhost");
        if let Some((certificate, key)) = identity {
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        let endpoint = Endpoint::from_shared(format!("https://127.0.0.1:{}", self.port())).unwrap();
        endpoint.tls_config(tls).unwrap().connect().await
    }

    async fn stop(mut self) {
        self.server.take().unwrap().stop().await.unwrap();
        self.database.remove().await;
    }
}

/// True if a call on a connection succeeds. The server checks a client's certificate after the client's side of the handshake.
async fn is_answered(channel: Result<Channel, tonic::transport::Error>) -> bool {
    match channel {
        Ok(channel) => HealthClient::new(channel).check(HealthCheckRequest::default()).await.is_ok(),
        Err(_) => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_trusts_the_authority_is_answered_and_nobody_else() {
    let (authority, other) = (Authority::new(), Authority::new());
    let secured = Secured::start(&authority, None, &[]).await;
    assert!(is_answered(secured.connect(&authority, None).await).await);
    assert!(!is_answered(secured.connect(&other, None).await).await);
    let plain = Endpoint::from_shared(format!("http://127.0.0.1:{}", secured.port())).unwrap();
    assert!(!is_answered(plain.connect().await).await);
    // The selftest, an outside client, supports TLS too.
    let ca = secured.path("trusted.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let endpoint = format!("https://localhost:{}", secured.port());
    let mut command = tenantry(&["selftest", "isolation", "--endpoint", &endpoint, "--ca", &ca]);
    command.env("TENANTRY_API_KEY", "nothing");
    let said = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap().stderr;
    assert!(
        String::from_utf8_lossy(&said).contains("the API key cannot be used"),
        "{}",
        String::from_utf8_lossy(&said)
    );
    secured.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_authority_for_clients_nobody_connects_without_its_certificate() {
    let (authority, clients, other) = (Authority::new(), Authority::new(), Authority::new());
    let secured = Secured::start(&authority, Some(&clients), &[]).await;
    assert!(is_answered(secured.connect(&authority, Some(clients.issue("billing"))).await).await);
    assert!(!is_answered(secured.connect(&authority, None).await).await);
    assert!(!is_answered(secured.connect(&authority, Some(other.issue("billing"))).await).await);
    secured.stop().await;
}

/// True if a client that supports only TLS 1.2 completes the handshake.
async fn speaks_tls12(secured: &Secured, authority: &Authority) -> bool {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS12]).unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", secured.port())).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_of_tls_that_is_too_old_is_refused() {
    let authority = Authority::new();
    let secured = Secured::start(&authority, None, &[]).await;
    assert!(speaks_tls12(&secured, &authority).await);
    secured.stop().await;
    let secured = Secured::start(&authority, None, &["--tls-min-version", "1.3"]).await;
    assert!(!speaks_tls12(&secured, &authority).await);
    assert!(is_answered(secured.connect(&authority, None).await).await);
    secured.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f34_new_files_serve_new_connections_and_drop_no_call() {
    let (before, after) = (Authority::new(), Authority::new());
    let secured = Secured::start(&before, None, &[]).await;
    let channel = secured.connect(&before, None).await.unwrap();
    let mut watch = HealthClient::new(channel.clone()).watch(HealthCheckRequest::default()).await.answered();
    watch.message().await.unwrap().unwrap();
    // Invalid files change nothing.
    secured.write(&("nothing".to_owned(), "nothing".to_owned()));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(is_answered(secured.connect(&before, None).await).await);
    secured.write(&after.issue("localhost"));
    while !is_answered(secured.connect(&after, None).await).await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!is_answered(secured.connect(&before, None).await).await);
    // Existing connections and their streams continue.
    assert!(is_answered(Ok(channel)).await);
    let ends = tokio::time::timeout(Duration::from_millis(200), watch.message()).await;
    assert!(ends.is_err(), "{ends:?}");
    secured.stop().await;
}

/// The error of a refused start.
async fn refusal(options: &[&str]) -> String {
    let database = TestDatabase::empty(Backend::Sqlite).await;
    let args = args(&database.url(), options);
    Server::start(&args, Arc::new(MovableClock::default())).await.err().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn plaintext_reaches_other_machines_only_if_somebody_asks_for_it() {
    let listen = |mut args: tenantry::config::ServeArgs, allow| {
        args.network.listen = "0.0.0.0:0".parse().unwrap();
        args.network.allow_plaintext = allow;
        args
    };
    let database = TestDatabase::empty(Backend::Sqlite).await;
    let start = async |allow| {
        let args = listen(args(&database.url(), &[]), allow);
        Server::start(&args, Arc::new(MovableClock::default())).await
    };
    let error = start(false).await.err().unwrap();
    assert!(error.contains("--allow-plaintext"), "{error}");
    start(true).await.unwrap().stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_used_are_named_and_not_reported() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    let path = |name: &str| directory.path().join(name).display().to_string();
    let ((certificate, key), (_, other)) = (authority.issue("localhost"), authority.issue("localhost"));
    for (name, text) in
        [("good.pem", &certificate), ("good.key", &key), ("other.key", &other), ("none", &"canary-key".to_owned())]
    {
        std::fs::write(path(name), text).unwrap();
    }
    for (certificate, key, wrong) in [
        ("missing", "good.key", "missing cannot be read"),
        ("good.pem", "other.key", "--tls-certificate with --tls-key"),
        ("none", "good.key", "--tls-certificate cannot be used"),
        ("good.pem", "none", "--tls-key cannot be used"),
    ] {
        let error = refusal(&["--tls-certificate", &path(certificate), "--tls-key", &path(key)]).await;
        assert!(error.contains(wrong) && !error.contains("canary"), "{error}");
    }
}
