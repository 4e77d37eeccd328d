//! `AuthenticationService.ConfirmPasswordReset`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use super::{refresh, sign_in};
use crate::support::{Answered as _, Test, both, given::PASSWORD, refused};

const PHRASE: &str = "seven wet dogs on a boat";

fn reset(token: &str) -> pb::ConfirmPasswordResetRequest {
    pb::ConfirmPasswordResetRequest {
        plaintext_token: token.to_owned(),
        new_password: PHRASE.to_owned(),
        ..Default::default()
    }
}

#[both]
async fn the_new_password_works_the_email_is_verified_and_the_sessions_end(t: Arc<Test>) {
    let (user, own, _) = t.signed_in_user("ada").await;
    let [_, token, _] = t.mailed_tokens(&user).await;
    let done = t.admin().authentication().confirm_password_reset(reset(&token)).await.answered();
    assert_eq!(done.ended_sessions, 1);
    assert!(done.user.unwrap().email_verified_at.is_some());
    refused(refresh(&t, &own.plaintext_token).await, ErrorReason::RefreshTokenRejected);
    refused(sign_in(&t, &user.email, PASSWORD).await, ErrorReason::SignInRejected);
    sign_in(&t, &user.email, PHRASE).await.unwrap();
}

#[both]
async fn a_user_without_a_password_gets_one_so_and_sessions_can_be_kept(t: Arc<Test>) {
    let user = t.verified_user("ada").await;
    let (_, session) = t.session(&user).await;
    let [_, token, _] = t.mailed_tokens(&user).await;
    let keep = pb::ConfirmPasswordResetRequest { keep_sessions: true, ..reset(&token) };
    assert_eq!(t.admin().authentication().confirm_password_reset(keep).await.answered().ended_sessions, 0);
    refresh(&t, &session).await.unwrap();
    sign_in(&t, &user.email, PHRASE).await.unwrap();
}

#[both]
async fn a_bad_password_leaves_the_token_as_it_is(t: Arc<Test>) {
    let user = t.user("ada").await;
    let [_, token, _] = t.mailed_tokens(&user).await;
    let bad = pb::ConfirmPasswordResetRequest { new_password: user.email.clone(), ..reset(&token) };
    refused(t.admin().authentication().confirm_password_reset(bad).await, ErrorReason::PasswordUnacceptable);
    t.admin().authentication().confirm_password_reset(reset(&token)).await.unwrap();
}
