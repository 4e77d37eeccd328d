//! `AuthenticationService.StartPasswordReset`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, Test, both, refused, time_in};

#[both]
async fn it_returns_the_mail_its_address_and_its_expiry(t: Arc<Test>) {
    let user = t.user("ada").await;
    let request = pb::StartPasswordResetRequest { email: user.email.to_uppercase(), ..Default::default() };
    let started = t.admin().authentication().start_password_reset(request).await.answered();
    assert_eq!(started.user.unwrap().id, user.id);
    assert!(started.plaintext_token.starts_with("cf_pr_"));
    let life = started.expires_at.unwrap().seconds - time_in(&t, 0).unwrap().seconds;
    assert!((590..=600).contains(&life), "{life}");
}

#[both]
async fn for_an_email_that_nobody_can_sign_in_with_there_is_nothing_to_mail(t: Arc<Test>) {
    let (suspended, deleted) = (t.user("bob").await, t.user("carl").await);
    t.suspend(&suspended).await;
    let delete = pb::DeleteUserRequest { user_id: deleted.id.clone(), ..Default::default() };
    t.admin().users().delete_user(delete).await.unwrap();
    for email in [suspended.email, deleted.email, "nobody@example.com".to_owned()] {
        let request = pb::StartPasswordResetRequest { email, ..Default::default() };
        let started = t.admin().authentication().start_password_reset(request).await.answered();
        assert_eq!(started, pb::StartPasswordResetResponse::default());
    }
    let request = pb::StartPasswordResetRequest { email: "x".to_owned(), ..Default::default() };
    refused(t.admin().authentication().start_password_reset(request).await, ErrorReason::InvalidArgument);
}
