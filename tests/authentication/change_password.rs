//! `AuthenticationService.ChangePassword`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use super::{refresh, sign_in};
use crate::support::{Answered as _, Test, both, given::PASSWORD, refusal::fields, refused};

const PHRASE: &str = "seven wet dogs on a boat";

fn change(user: &pb::User) -> pb::ChangePasswordRequest {
    pb::ChangePasswordRequest {
        user_id: user.id.clone(),
        current_password: PASSWORD.to_owned(),
        new_password: PHRASE.to_owned(),
        ..Default::default()
    }
}

#[both]
async fn the_new_password_works_the_old_one_does_not_and_the_other_sessions_end(t: Arc<Test>) {
    let (user, own, api) = t.signed_in_user("ada").await;
    let other = t.signed_in(&user).await;
    let changed = api.authentication().change_password(change(&user)).await.answered();
    assert_eq!(changed.ended_sessions, 1);
    refused(sign_in(&t, &user.email, PASSWORD).await, ErrorReason::SignInRejected);
    sign_in(&t, &user.email, PHRASE).await.unwrap();
    refused(refresh(&t, &other.plaintext_token).await, ErrorReason::RefreshTokenRejected);
    refresh(&t, &own.plaintext_token).await.unwrap();
}

#[both]
async fn it_can_leave_one_session_or_all_alone(t: Arc<Test>) {
    let (user, first, _) = t.signed_in_user("ada").await;
    let second = t.signed_in(&user).await;
    let keep = pb::ChangePasswordRequest { keep_sessions: true, ..change(&user) };
    assert_eq!(t.admin().authentication().change_password(keep).await.answered().ended_sessions, 0);
    let back = pb::ChangePasswordRequest {
        current_password: PHRASE.to_owned(),
        new_password: "eleven dry cats in a barn".to_owned(),
        except_session_id: first.session.unwrap().id,
        ..change(&user)
    };
    assert_eq!(t.admin().authentication().change_password(back).await.answered().ended_sessions, 1);
    refresh(&t, &first.plaintext_token).await.unwrap();
    refused(refresh(&t, &second.plaintext_token).await, ErrorReason::RefreshTokenRejected);
}

#[both]
async fn without_the_current_password_or_with_a_bad_new_one_nothing_changes(t: Arc<Test>) {
    let (user, own, api) = t.signed_in_user("ada").await;
    let wrong = pb::ChangePasswordRequest { current_password: "wrong".to_owned(), ..change(&user) };
    for api in [t.admin(), api] {
        refused(api.authentication().change_password(wrong.clone()).await, ErrorReason::PasswordRejected);
    }
    let bad = pb::ChangePasswordRequest { new_password: "passwordpassword".to_owned(), ..change(&user) };
    let status = refused(t.admin().authentication().change_password(bad).await, ErrorReason::PasswordUnacceptable);
    assert_eq!(fields(&status), ["new_password"]);
    let (_, _, of_eve) = t.signed_in_user("eve").await;
    refused(of_eve.authentication().change_password(change(&user)).await, ErrorReason::UserNotFound);
    refresh(&t, &own.plaintext_token).await.unwrap();
    sign_in(&t, &user.email, PASSWORD).await.unwrap();
}
