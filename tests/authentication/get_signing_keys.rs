//! `AuthenticationService.GetSigningKeys`, and the same over plain HTTP.

use std::sync::Arc;

use tenantry::pb;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::part;
use crate::support::{Answered as _, Test, both};

/// The answer to a plain request: the status line with the headers, and the body.
pub async fn plain(t: &Test, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(t.address).await.unwrap();
    stream.write_all(format!("{request}\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

#[both]
async fn the_key_of_every_token_is_there_for_every_caller(t: Arc<Test>) {
    let (_, signed_in, of_user) = t.signed_in_user("ada").await;
    let kid = part(&signed_in.access_token, 0)["kid"].as_str().unwrap().to_owned();
    let organization = t.organization(&t.user("owner").await).await;
    let of_organization = t.with_key(&t.organization_key(&organization).await);
    for api in [of_user, of_organization, t.admin()] {
        let keys = api.authentication().get_signing_keys(pb::GetSigningKeysRequest {}).await.answered();
        assert_eq!((keys.signing_keys.len(), keys.signing_keys[0].id.as_str()), (1, kid.as_str()));
        assert!(keys.signing_keys[0].verifies_until.is_none());
        assert_eq!(keys.signing_keys[0].algorithm(), pb::SigningAlgorithm::Es256);
        let jwks: serde_json::Value = serde_json::from_str(&keys.jwks).unwrap();
        let key = &jwks["keys"][0];
        assert_eq!(
            (key["kty"].as_str(), key["crv"].as_str(), key["alg"].as_str()),
            (Some("EC"), Some("P-256"), Some("ES256"))
        );
        assert_eq!((key["kid"].as_str(), key["use"].as_str()), (Some(kid.as_str()), Some("sig")));
        // No part of the private key.
        assert!(key.get("d").is_none() && key["x"].as_str().unwrap().len() == 43);
    }
}

#[both]
async fn they_are_plain_http_too_on_the_same_port_without_a_credential(t: Arc<Test>) {
    let keys = t.admin().authentication().get_signing_keys(pb::GetSigningKeysRequest {}).await.answered();
    let (head, body) = plain(&t, "GET /.well-known/jwks.json HTTP/1.1").await;
    assert!(head.starts_with("http/1.1 200") && head.contains("content-type: application/jwk-set+json"), "{head}");
    assert!(head.contains("cache-control: public, max-age=300"), "{head}");
    assert_eq!(body, keys.jwks);
    let (head, body) = plain(&t, "HEAD /.well-known/jwks.json HTTP/1.1").await;
    assert!(head.starts_with("http/1.1 200") && body.is_empty(), "{head}");
}

#[both]
async fn nothing_else_is_plain_http(t: Arc<Test>) {
    for request in [
        "GET / HTTP/1.1",
        "GET /.well-known/jwks.json/ HTTP/1.1",
        "GET /tenantry.v1.UserService/ListUsers HTTP/1.1",
        "HEAD /x HTTP/1.1",
    ] {
        let (head, body) = plain(&t, request).await;
        assert!(head.starts_with("http/1.1 405") && body.is_empty(), "{request}: {head}");
    }
    // Calls require HTTP/2.
    let mut stream = TcpStream::connect(t.address).await.unwrap();
    stream.write_all(b"POST /tenantry.v1.UserService/ListUsers HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 505"), "{}", String::from_utf8_lossy(&answer));
}
