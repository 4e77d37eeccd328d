//! `AuthenticationService.ConfirmEmailVerification`.

use std::{sync::Arc, time::Duration};

use tenantry::pb::{self, ErrorReason};
use tonic::Status;

use crate::support::{Answered as _, DAY, Test, both, mask, refused};

async fn confirm(t: &Test, token: &str) -> Result<pb::User, Status> {
    let request = pb::ConfirmEmailVerificationRequest { plaintext_token: token.to_owned(), ..Default::default() };
    let confirmed = t.admin().authentication().confirm_email_verification(request).await?;
    Ok(confirmed.into_inner().user.unwrap())
}

async fn start(t: &Test, user: &pb::User) -> String {
    let request = pb::StartEmailVerificationRequest { user_id: user.id.clone(), ..Default::default() };
    t.admin().authentication().start_email_verification(request).await.answered().plaintext_token
}

#[both]
async fn a_token_verifies_the_email_once(t: Arc<Test>) {
    let user = t.user("ada").await;
    let token = start(&t, &user).await;
    assert!(confirm(&t, &token).await.unwrap().email_verified_at.is_some());
    refused(confirm(&t, &token).await, ErrorReason::OneTimeTokenRejected);
}

#[both]
async fn a_token_that_was_replaced_expired_or_of_another_email_is_rejected(t: Arc<Test>) {
    let user = t.user("ada").await;
    let replaced = start(&t, &user).await;
    t.advance(DAY / 2 + Duration::from_secs(1));
    let token = start(&t, &user).await;
    refused(confirm(&t, &replaced).await, ErrorReason::OneTimeTokenRejected);
    let update = pb::UpdateUserRequest {
        user_id: user.id.clone(),
        email: format!("x{}", user.email),
        update_mask: mask(&["email"]),
        ..Default::default()
    };
    t.admin().users().update_user(update).await.unwrap();
    refused(confirm(&t, &token).await, ErrorReason::OneTimeTokenRejected);
    let token = start(&t, &user).await;
    t.advance(DAY + Duration::from_secs(1));
    refused(confirm(&t, &token).await, ErrorReason::OneTimeTokenRejected);
    assert!(t.reload_user(&user.id).await.email_verified_at.is_none());
}

#[both]
async fn a_token_of_another_kind_or_of_a_suspended_user_is_rejected(t: Arc<Test>) {
    let user = t.user("ada").await;
    let [verify, reset, change] = t.mailed_tokens(&user).await;
    for other in [reset.clone(), change, reset.replace("cf_pr_", "cf_ev_"), "x".to_owned()] {
        refused(confirm(&t, &other).await, ErrorReason::OneTimeTokenRejected);
    }
    t.suspend(&user).await;
    refused(confirm(&t, &verify).await, ErrorReason::OneTimeTokenRejected);
}

#[both]
async fn of_concurrent_uses_of_one_token_one_succeeds(t: Arc<Test>) {
    for _ in 0..10 {
        let user = t.user("ada").await;
        let token = start(&t, &user).await;
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (t, token) = (t.clone(), token.clone());
            calls.spawn(async move { confirm(&t, &token).await.is_ok() });
        }
        assert_eq!(calls.join_all().await.into_iter().filter(|heard| *heard).count(), 1);
    }
}
