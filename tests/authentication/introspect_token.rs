//! `AuthenticationService.IntrospectToken`.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use tenantry::{
    models::Sealed,
    pb::{self, ErrorReason},
    security::sealing::{KeyRing, SealedAt},
};
use uuid::Uuid;

use super::{claims, part};
use crate::support::{
    Answered as _, Api, SEALING_KEYS, Test, both,
    database::TestDatabase,
    given::{Issued as _, PASSWORD},
    refused,
};

async fn introspect(api: &Api, token: &str) -> pb::IntrospectTokenResponse {
    let request = pb::IntrospectTokenRequest { access_token: token.to_owned() };
    api.authentication().introspect_token(request).await.answered()
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// The server's signing key, opened as only its operator can.
async fn private_key(t: &Test, kid: &str) -> Vec<u8> {
    let (sql, ring) = match &t.database {
        TestDatabase::Sqlite(_) => {
            let url = t.database.url();
            let keys = std::fs::read_to_string(format!("{}.keys", url.trim_start_matches("sqlite:"))).unwrap();
            ("SELECT lower(hex(private_key)) AS value FROM cf_signing_keys", keys)
        }
        TestDatabase::Postgres(_) => {
            ("SELECT encode(private_key, 'hex') FROM cf_signing_keys", SEALING_KEYS.to_owned())
        }
    };
    let hex = t.database.texts(sql).await.remove(0);
    let sealed = (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
    let place = SealedAt {
        table: "cf_signing_keys",
        column: "private_key",
        row: Uuid::parse_str(kid).unwrap(),
        owner: Uuid::nil(),
    };
    KeyRing::parse(&ring).unwrap().open(&Sealed::new(sealed), place).unwrap().to_vec()
}

/// A token with any header and claims, signed with a key.
fn signed(header: &Value, claims: &Value, key: &Ed25519KeyPair) -> String {
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()));
    format!("{message}.{signature}")
}

/// Forged variants of a good token: the forgery and the token.
pub async fn forged(t: &Test, good: &str) -> Vec<(&'static str, String)> {
    let key = private_key(t, part(good, 0)["kid"].as_str().unwrap()).await;
    let own = Ed25519KeyPair::from_pkcs8(&key).unwrap();
    let other = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let mut all = with_forged_header(good, &own, &other);
    all.extend(with_forged_claims(good, &own, &other));
    all.extend(with_forged_text(good));
    all
}

fn with(of: &Value, name: &str, value: Value) -> Value {
    let mut of = of.clone();
    of[name] = value;
    of
}

fn without(of: &Value, name: &str) -> Value {
    let mut of = of.clone();
    of.as_object_mut().unwrap().remove(name);
    of
}

fn with_other_sub(claims: &Value) -> Value {
    with(claims, "sub", json!(Uuid::from_u128(9)))
}

fn with_forged_header(good: &str, own: &Ed25519KeyPair, other: &Ed25519KeyPair) -> Vec<(&'static str, String)> {
    let (header, claims) = (part(good, 0), claims(good));
    let [_, of_claims, of_signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let hs256 = {
        let header = with(&header, "alg", json!("HS256"));
        let message = format!("{}.{of_claims}", encode(&header));
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, own.public_key().as_ref());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, message.as_bytes())))
    };
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(other.public_key().as_ref()) });
    vec![
        ("no signature, alg none", format!("{}.{of_claims}.", encode(&with(&header, "alg", json!("none"))))),
        (
            "alg none with the signature",
            format!("{}.{of_claims}.{of_signature}", encode(&with(&header, "alg", json!("none")))),
        ),
        ("alg ES256 for the key", signed(&with(&header, "alg", json!("ES256")), &claims, own)),
        ("alg RS256", signed(&with(&header, "alg", json!("RS256")), &claims, own)),
        ("HMAC with the public key", hs256),
        ("no alg", signed(&without(&header, "alg"), &claims, own)),
        ("an unknown kid", signed(&with(&header, "kid", json!(Uuid::from_u128(7))), &claims, own)),
        ("a kid that is not an id", signed(&with(&header, "kid", json!("../../dev/null")), &claims, own)),
        ("no kid", signed(&without(&header, "kid"), &claims, own)),
        ("typ JWT", signed(&with(&header, "typ", json!("JWT")), &claims, own)),
        ("no typ", signed(&without(&header, "typ"), &claims, own)),
        ("a crit header", signed(&with(&header, "crit", json!(["exp"])), &claims, own)),
        ("a key of its own", signed(&with(&header, "jwk", jwk), &claims, other)),
        (
            "an address of its own key",
            signed(&with(&header, "jku", json!("http://127.0.0.1/jwks.json")), &claims, other),
        ),
        ("a certificate of its own", signed(&with(&header, "x5c", json!(["AAAA"])), &claims, other)),
    ]
}

fn with_forged_claims(good: &str, own: &Ed25519KeyPair, other: &Ed25519KeyPair) -> Vec<(&'static str, String)> {
    let (header, claims) = (part(good, 0), claims(good));
    let now = claims["iat"].as_i64().unwrap();
    vec![
        ("another audience", signed(&header, &with(&claims, "aud", json!("other")), own)),
        ("a list of audiences", signed(&header, &with(&claims, "aud", json!(["other"])), own)),
        ("no audience", signed(&header, &without(&claims, "aud"), own)),
        ("another issuer", signed(&header, &with(&claims, "iss", json!("other")), own)),
        ("no issuer", signed(&header, &without(&claims, "iss"), own)),
        ("expired", signed(&header, &with(&claims, "exp", json!(now - 1)), own)),
        ("no exp", signed(&header, &without(&claims, "exp"), own)),
        ("an exp that is not a number", signed(&header, &with(&claims, "exp", json!("never")), own)),
        ("issued in the future", signed(&header, &with(&claims, "iat", json!(now + 3600)), own)),
        ("no jti", signed(&header, &without(&claims, "jti"), own)),
        ("no sub", signed(&header, &without(&claims, "sub"), own)),
        ("a sub that is not an id", signed(&header, &with(&claims, "sub", json!("admin")), own)),
        ("another user's sub", signed(&header, &with_other_sub(&claims), own)),
        ("another session", signed(&header, &with(&claims, "sid", json!(Uuid::from_u128(9))), own)),
        ("no session", signed(&header, &without(&claims, "sid"), own)),
        ("signed with another key", signed(&header, &claims, other)),
    ]
}

/// Forgeries that need no signing key.
fn with_forged_text(good: &str) -> Vec<(&'static str, String)> {
    let [of_header, of_claims, of_signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let mut flipped = of_signature.to_owned().into_bytes();
    flipped[3] = if flipped[3] == b'A' { b'B' } else { b'A' };
    vec![
        ("another payload", format!("{of_header}.{}.{of_signature}", encode(&with_other_sub(&claims(good))))),
        ("another header", format!("{}.{of_claims}.{of_signature}", encode(&with(&part(good, 0), "x", json!(1))))),
        ("a changed signature", format!("{of_header}.{of_claims}.{}", String::from_utf8(flipped).unwrap())),
        ("no signature", format!("{of_header}.{of_claims}.")),
        ("two parts", format!("{of_header}.{of_claims}")),
        ("four parts", format!("{good}.x")),
        ("padded", format!("{good}=")),
        ("with a space", format!("{good} ")),
        ("very long", format!("ey{}", "A".repeat(15_000))),
        ("only the first characters", "ey".to_owned()),
    ]
}

#[both]
async fn a_valid_token_is_answered_with_its_claims(t: Arc<Test>) {
    let user = t.user("ada").await;
    t.give_password(&user).await;
    let organization = t.organization(&user).await;
    let request = pb::SignInRequest {
        email: user.email.clone(),
        password: PASSWORD.to_owned(),
        organization_id: organization.id.clone(),
        ..Default::default()
    };
    let signed_in = t.admin().authentication().sign_in(request).await.answered().issued();
    let said = introspect(&t.admin(), &signed_in.access_token).await;
    let claims = claims(&signed_in.access_token);
    assert!(said.active && said.user_id == user.id && said.organization_id == organization.id);
    assert_eq!((said.role.as_str(), said.permissions.as_slice()), ("owner", &["*".to_owned()][..]));
    assert_eq!(
        (said.token_id.as_str(), said.session_id.as_str()),
        (claims["jti"].as_str().unwrap(), claims["sid"].as_str().unwrap())
    );
    assert_eq!(said.expires_at, signed_in.access_token_expires_at);
    assert_eq!((said.issuer.as_str(), said.audience.as_str(), said.client_id.len()), ("tenantry", "tenantry", 36));
}

#[both(options = ["--signing-algorithm", "EdDSA"])]
async fn a_forged_token_is_not_active_and_opens_nothing(t: Arc<Test>) {
    let (user, signed_in, api) = t.signed_in_user("ada").await;
    let get = pb::GetUserRequest { user_id: user.id.clone() };
    api.users().get_user(get.clone()).await.unwrap();
    let forged = forged(&t, &signed_in.access_token).await;
    assert!(forged.len() >= 40);
    for (what, token) in forged {
        assert_eq!(introspect(&t.admin(), &token).await, pb::IntrospectTokenResponse::default(), "{what}");
        let called = t.with_key(&token).users().get_user(get.clone()).await;
        assert!(called.is_err(), "{what}");
        refused(called, ErrorReason::Unauthenticated);
    }
    assert!(introspect(&t.admin(), &signed_in.access_token).await.active);
}

#[both]
async fn it_tells_callers_of_their_own_tokens_only(t: Arc<Test>) {
    let (user, of_none, api) = t.signed_in_user("ada").await;
    let (_, _, of_eve) = t.signed_in_user("eve").await;
    let (own, foreign) = (t.organization(&user).await, t.organization(&t.user("owner").await).await);
    let request = pb::SignInRequest {
        email: user.email.clone(),
        password: PASSWORD.to_owned(),
        organization_id: own.id.clone(),
        ..Default::default()
    };
    let of_own = t.admin().authentication().sign_in(request).await.answered().issued();
    let by_own = t.with_key(&t.organization_key(&own).await);
    let by_foreign = t.with_key(&t.organization_key(&foreign).await);
    assert!(introspect(&by_own, &of_own.access_token).await.active);
    for (by, token) in [(&by_own, &of_none), (&by_foreign, &of_own), (&by_foreign, &of_none), (&of_eve, &of_none)] {
        assert_eq!(introspect(by, &token.access_token).await, pb::IntrospectTokenResponse::default());
    }
    assert!(introspect(&api, &of_none.access_token).await.active);
}
