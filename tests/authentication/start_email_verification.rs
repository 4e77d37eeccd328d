//! `AuthenticationService.StartEmailVerification`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, MISSING_ID, Test, both, refused, time_in};

#[both]
async fn it_returns_the_mail_and_its_address(t: Arc<Test>) {
    let user = t.user("ada").await;
    let request = pb::StartEmailVerificationRequest { user_id: user.id.clone(), ..Default::default() };
    let started = t.admin().authentication().start_email_verification(request.clone()).await.answered();
    assert_eq!(started.email, user.email);
    assert!(started.plaintext_token.starts_with("cf_ev_") && started.plaintext_token.len() == 77);
    let life = started.expires_at.unwrap().seconds - time_in(&t, 0).unwrap().seconds;
    assert!((86_390..=86_400).contains(&life), "{life}");
    let (_, _, api) = t.signed_in_user("eve").await;
    refused(api.authentication().start_email_verification(request).await, ErrorReason::PlatformAdminRequired);
}

#[both]
async fn missing_and_suspended_users_get_no_token(t: Arc<Test>) {
    let user = t.user("ada").await;
    t.suspend(&user).await;
    for (user_id, reason) in [(user.id, ErrorReason::UserSuspended), (MISSING_ID.to_owned(), ErrorReason::UserNotFound)]
    {
        let request = pb::StartEmailVerificationRequest { user_id, ..Default::default() };
        refused(t.admin().authentication().start_email_verification(request).await, reason);
    }
}
