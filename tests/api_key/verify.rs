//! `ApiKeyService.VerifyApiKey`.

use tenantry::pb::{self, ApiKeyVerdict as Verdict, ErrorReason, create_api_key_request::Owner};

use crate::support::{Api, DAY, both, refused, time_in};

fn verify(key: &str, scope: &str) -> pb::VerifyApiKeyRequest {
    pb::VerifyApiKeyRequest { plaintext_key: key.to_owned(), required_scope: scope.to_owned() }
}

async fn verdict(api: &Api, key: &str, scope: &str) -> Verdict {
    let answer = api.api_keys().verify_api_key(verify(key, scope)).await.unwrap().into_inner();
    assert_eq!(answer.api_key.is_none(), answer.verdict() == Verdict::Unknown);
    answer.verdict()
}

both! {
    async fn a_verdict_is_an_answer_for_every_kind_of_key(t) {
        let ada = t.user("ada").await;
        let owner = || Owner::UserId(ada.id.clone());
        let (key, good) = t.key(owner(), &["invoices:*"]).await;
        let answer = t.admin().api_keys().verify_api_key(verify(&good, "")).await.unwrap().into_inner();
        assert_eq!((answer.verdict(), answer.api_key), (Verdict::Valid, Some(key.clone())));
        let admin = t.admin();
        assert_eq!(verdict(&admin, &good, "invoices:read").await, Verdict::Valid);
        assert_eq!(verdict(&admin, &good, "users:read").await, Verdict::ScopeMissing);
        let unknown = "cf_live_000000000000000000000000000000000000000000000000000000000000000000000";
        let other_secret = format!("{}{}", &good[..20], &t.admin_key[20..]);
        for text in ["x", unknown, &good[..68], &good.to_uppercase(), &other_secret, "\0", &format!("{good} ")] {
            assert_eq!(verdict(&admin, text, "").await, Verdict::Unknown, "{text}");
        }
        t.suspend(&ada).await;
        assert_eq!(verdict(&admin, &good, "").await, Verdict::OwnerInactive);
        t.reactivate(&ada).await;
        let expiring = pb::UpdateApiKeyRequest {
            api_key_id: key.id.clone(),
            expires_at: time_in(&t, 60),
            update_mask: crate::support::mask(&["expires_at"]),
            ..Default::default()
        };
        admin.api_keys().update_api_key(expiring).await.unwrap();
        assert_eq!(verdict(&admin, &good, "").await, Verdict::Valid);
        t.advance(DAY);
        assert_eq!(verdict(&admin, &good, "").await, Verdict::Expired);
        let revoke = pb::RevokeApiKeyRequest { api_key_id: key.id, ..Default::default() };
        admin.api_keys().revoke_api_key(revoke).await.unwrap();
        assert_eq!(verdict(&admin, &good, "").await, Verdict::Revoked);
    }

    async fn a_key_out_of_reach_is_unknown(t) {
        let (ada, eve) = (t.user("ada").await, t.user("eve").await);
        let (acme, evil) = (t.organization(&ada).await, t.organization(&eve).await);
        let key = t.organization_key(&acme).await;
        assert_eq!(verdict(&t.with_key(&t.organization_key(&acme).await), &key, "").await, Verdict::Valid);
        assert_eq!(verdict(&t.with_key(&t.organization_key(&evil).await), &key, "").await, Verdict::Unknown);
        assert_eq!(verdict(&t.with_key(&t.user_key(&eve).await), &key, "").await, Verdict::Unknown);
    }

    async fn it_has_a_scope_of_its_own_and_writes_nothing(t) {
        let ada = t.user("ada").await;
        let (_, narrow) = t.key(Owner::UserId(ada.id.clone()), &["api_keys:read", "api_keys:write"]).await;
        refused(t.with_key(&narrow).api_keys().verify_api_key(verify(&narrow, "")).await, ErrorReason::ScopeMissing);
        let before = t.database.bytes().await;
        for _ in 0..20 {
            verdict(&t.admin(), &narrow, "").await;
        }
        assert!(t.database.bytes().await == before, "verifying wrote to the database");
    }

    async fn an_empty_and_an_endless_key_are_refused(t) {
        for text in [String::new(), "x".repeat(513)] {
            refused(t.admin().api_keys().verify_api_key(verify(&text, "")).await, ErrorReason::InvalidArgument);
        }
        refused(t.admin().api_keys().verify_api_key(verify("x", "not a scope")).await, ErrorReason::InvalidArgument);
    }
}
