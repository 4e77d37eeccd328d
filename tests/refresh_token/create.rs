//! `RefreshTokenService.CreateRefreshToken`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, MISSING_ID, Test, both, given::Issued as _, refusal::fields, refused};

fn new(user: &str) -> pb::CreateRefreshTokenRequest {
    pb::CreateRefreshTokenRequest {
        user_id: user.to_owned(),
        user_agent: "Firefox".to_owned(),
        ip_address: "2001:DB8::1".to_owned(),
        ..Default::default()
    }
}

#[both]
async fn a_session_begins_with_its_first_token(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let mut tokens = t.with_key(&t.user_key(&ada).await).refresh_tokens();
    let created = tokens.create_refresh_token(new(&ada.id)).await.answered().issued();
    let token = created.session.unwrap();
    assert_eq!((&token.user_id, token.refreshed_at), (&ada.id, None));
    assert_eq!((token.user_agent.as_str(), token.ip_address.as_str()), ("Firefox", "2001:db8::1"));
    let days =
        |time: &Option<prost_types::Timestamp>| (time.unwrap().seconds - token.created_at.unwrap().seconds) / 86_400;
    assert_eq!((days(&token.expires_at), days(&token.ends_at)), (30, 90));
    let text = created.plaintext_token;
    assert!(text.len() == 89 && text.starts_with("cf_rt_") && text[6..].bytes().all(|b| b.is_ascii_alphanumeric()));
}

#[both]
async fn no_token_is_stored(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (_, text) = t.session(&ada).await;
    let (_, key) = t.key(pb::create_api_key_request::Owner::UserId(ada.id.clone()), &["*"]).await;
    let bytes = t.database.bytes().await;
    // Nine characters of a secret suffice to detect it.
    for secret in [&text[6..15], &text[39..48], &key[20..29], &t.admin_key[20..29]] {
        assert!(!bytes.windows(9).any(|window| window == secret.as_bytes()));
    }
    // The test would detect one: the public part of the key is found.
    assert!(bytes.windows(12).any(|window| window == &key.as_bytes()[8..20]));
}

#[both]
async fn a_session_is_started_by_platform_admins_only(t: Arc<Test>) {
    let (ada, bob, eve) = (t.user("ada").await, t.user("bob").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "member").await;
    let mut adas = t.with_key(&t.user_key(&ada).await).refresh_tokens();
    refused(adas.create_refresh_token(new(&bob.id)).await, ErrorReason::PlatformAdminRequired);
    refused(adas.create_refresh_token(new(&eve.id)).await, ErrorReason::UserNotFound);
    refused(adas.create_refresh_token(new(MISSING_ID)).await, ErrorReason::UserNotFound);
    let mut acmes = t.with_key(&t.organization_key(&acme).await).refresh_tokens();
    refused(acmes.create_refresh_token(new(&bob.id)).await, ErrorReason::PlatformAdminRequired);
}

#[both]
async fn every_violation_is_reported_at_once(t: Arc<Test>) {
    let request = pb::CreateRefreshTokenRequest {
        user_id: String::new(),
        user_agent: "\n".to_owned(),
        ip_address: "1.2.3".to_owned(),
        ..Default::default()
    };
    let status = refused(t.admin().refresh_tokens().create_refresh_token(request).await, ErrorReason::InvalidArgument);
    assert_eq!(fields(&status), ["user_id", "ip_address"]);
}
