//! `AuthenticationService.ConfirmEmailChange`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};
use tonic::Status;

use super::sign_in;
use crate::support::{
    Answered as _, Test, both,
    given::{PASSWORD, unique},
    refused,
};

async fn start(t: &Test, user: &pb::User, new_email: &str) -> String {
    let (user_id, new_email) = (user.id.clone(), new_email.to_owned());
    let request = pb::StartEmailChangeRequest { user_id, new_email, ..Default::default() };
    t.admin().authentication().start_email_change(request).await.answered().plaintext_token
}

async fn confirm(t: &Test, token: &str) -> Result<pb::User, Status> {
    confirm_with(t, token, "").await
}

async fn confirm_with(t: &Test, token: &str, access_token: &str) -> Result<pb::User, Status> {
    let (plaintext_token, access_token) = (token.to_owned(), access_token.to_owned());
    let request = pb::ConfirmEmailChangeRequest { plaintext_token, access_token, ..Default::default() };
    Ok(t.admin().authentication().confirm_email_change(request).await?.into_inner().user.unwrap())
}

#[both]
async fn the_user_has_the_new_email_and_it_is_verified(t: Arc<Test>) {
    let (user, signed_in, _) = t.signed_in_user("ada").await;
    let new_email = format!("{}@example.com", unique("New"));
    let token = start(&t, &user, &new_email).await;
    // The reader of the new mailbox may not be the owner of the account.
    refused(confirm(&t, &token).await, ErrorReason::CredentialRequired);
    let changed = confirm_with(&t, &token, &signed_in.access_token).await.unwrap();
    assert!(changed.email == new_email && changed.email_verified_at.is_some());
    sign_in(&t, &new_email, PASSWORD).await.unwrap();
    refused(sign_in(&t, &user.email, PASSWORD).await, ErrorReason::SignInRejected);
    refused(confirm(&t, &token).await, ErrorReason::OneTimeTokenRejected);
}

#[both]
async fn an_email_that_somebody_has_meanwhile_stays_whose_it_is(t: Arc<Test>) {
    let (user, other) = (t.user("ada").await, t.user("bob").await);
    let token = start(&t, &user, &other.email).await;
    refused(confirm(&t, &token).await, ErrorReason::UserEmailTaken);
    assert_eq!(t.reload_user(&user.id).await.email, user.email);
}

#[both]
async fn tokens_mailed_to_the_old_email_end_with_it(t: Arc<Test>) {
    let user = t.user("ada").await;
    let [verify, reset, _] = t.mailed_tokens(&user).await;
    let token = start(&t, &user, &format!("{}@example.com", unique("new"))).await;
    confirm(&t, &token).await.unwrap();
    let request = pb::ConfirmEmailVerificationRequest { plaintext_token: verify, ..Default::default() };
    refused(t.admin().authentication().confirm_email_verification(request).await, ErrorReason::OneTimeTokenRejected);
    let request = pb::ConfirmPasswordResetRequest {
        plaintext_token: reset,
        new_password: "seven wet dogs on a boat".to_owned(),
        ..Default::default()
    };
    refused(t.admin().authentication().confirm_password_reset(request).await, ErrorReason::OneTimeTokenRejected);
}
