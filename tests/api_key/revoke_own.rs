//! `ApiKeyService.RevokeOwnApiKey`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, create_api_key_request::Owner};

use crate::support::{Answered as _, Test, both, refused};

#[both]
async fn any_key_can_revoke_itself(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    for owner in [Owner::UserId(ada.id.clone()), Owner::OrganizationId(acme.id.clone())] {
        let (key, text) = t.key(owner.clone(), &["invoices:read"]).await;
        let (_, other) = t.key(owner, &["*"]).await;
        let mut keys = t.with_key(&text).api_keys();
        let request = pb::RevokeOwnApiKeyRequest { reason: "leaked".to_owned(), ..Default::default() };
        let bad = pb::RevokeOwnApiKeyRequest { reason: "\0".to_owned(), ..Default::default() };
        refused(keys.revoke_own_api_key(bad).await, ErrorReason::InvalidArgument);
        let revoked = keys.revoke_own_api_key(request.clone()).await.answered().api_key.unwrap();
        assert_eq!((&revoked.id, revoked.revoked_reason.as_str()), (&key.id, "leaked"));
        assert!(revoked.revoked_at.is_some());
        refused(keys.revoke_own_api_key(request).await, ErrorReason::Unauthenticated);
        // It revokes no other key.
        let list = pb::ListEventsRequest { resource_id: key.id, ..Default::default() };
        t.with_key(&other)
            .events()
            .list_events(pb::ListEventsRequest { organization_id: acme.id.clone(), ..list })
            .await
            .unwrap();
    }
    refused(
        t.anonymous().api_keys().revoke_own_api_key(pb::RevokeOwnApiKeyRequest::default()).await,
        ErrorReason::Unauthenticated,
    );
}
