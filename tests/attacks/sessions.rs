//! Sessions that could not be ended, unbounded sessions, and password guessing through sessions.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, create_api_key_request::Owner};

use crate::{
    authentication::refresh,
    support::{Answered as _, Test, both, given::PASSWORD, refused},
};

async fn rows(t: &Test, table: &str) -> usize {
    t.database.texts(&format!("SELECT 'x' AS value FROM {table}")).await.len()
}

#[both]
async fn v27_a_session_refreshed_often_ends_with_one_write(t: Arc<Test>) {
    let (user, first, _) = t.signed_in_user("ada").await;
    let (_, kept, _) = t.signed_in_user("eve").await;
    let before = rows(&t, "cf_sessions").await;
    let mut last = first.clone().plaintext_token;
    for _ in 0..300 {
        last = refresh(&t, &last).await.unwrap().plaintext_token;
    }
    assert_eq!(rows(&t, "cf_sessions").await, before, "refreshes add no rows");
    // An old token ends its session and no other.
    refused(refresh(&t, &first.plaintext_token).await, ErrorReason::RefreshTokenRejected);
    refused(refresh(&t, &last).await, ErrorReason::RefreshTokenRejected);
    refresh(&t, &kept.plaintext_token).await.unwrap();
    // The same for a sign-out and a new password.
    let mut second = t.signed_in(&user).await.plaintext_token;
    let mut third = t.signed_in(&user).await.plaintext_token;
    for _ in 0..50 {
        second = refresh(&t, &second).await.unwrap().plaintext_token;
        third = refresh(&t, &third).await.unwrap().plaintext_token;
    }
    let sign_out = pb::SignOutRequest { plaintext_token: second.clone(), ..Default::default() };
    assert_eq!(t.admin().authentication().sign_out(sign_out).await.answered().ended_sessions, 1);
    let change = pb::ChangePasswordRequest {
        user_id: user.id.clone(),
        current_password: PASSWORD.to_owned(),
        new_password: "eleven dry cats in a barn".to_owned(),
        ..Default::default()
    };
    assert_eq!(t.admin().authentication().change_password(change).await.answered().ended_sessions, 1);
    for ended in [second, third] {
        refused(refresh(&t, &ended).await, ErrorReason::RefreshTokenRejected);
    }
    assert_eq!(rows(&t, "cf_sessions").await, before + 2);
}

#[both]
async fn s88b_many_sessions_begun_at_once_are_as_many_as_may_be(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let calls: Vec<_> = (0..160)
        .map(|_| {
            let t = std::sync::Arc::clone(&t);
            let request = pb::CreateRefreshTokenRequest { user_id: ada.id.clone(), ..Default::default() };
            tokio::spawn(async move { t.admin().refresh_tokens().create_refresh_token(request).await })
        })
        .collect();
    let mut begun = 0;
    for call in calls {
        // Some may have to be sent again; none is half done.
        begun += usize::from(call.await.unwrap().is_ok());
    }
    let request = pb::ListSessionsRequest { user_id: ada.id.clone(), page_size: 1000, ..Default::default() };
    let live = t.admin().sessions().list_sessions(request).await.answered().sessions;
    assert_eq!(live.len(), begun.min(100));
}

#[both]
async fn v11_sessions_begun_without_the_password_give_no_more_guesses(t: Arc<Test>) {
    let ada = t.user("ada").await;
    t.give_password(&ada).await;
    let scopes = ["refresh_tokens:write", "authentication:write"];
    let api = t.with_key(&t.key(Owner::UserId(ada.id.clone()), &scopes).await.1);
    for session in 0..15 {
        let ip_address = format!("198.51.100.{session}");
        let begin = pb::CreateRefreshTokenRequest {
            user_id: ada.id.clone(),
            ip_address: ip_address.clone(),
            ..Default::default()
        };
        api.refresh_tokens().create_refresh_token(begin).await.unwrap();
        for _ in 0..10 {
            let guess = pb::VerifyPasswordRequest {
                user_id: ada.id.clone(),
                password: "wrong".to_owned(),
                ip_address: ip_address.clone(),
                ..Default::default()
            };
            refused(api.authentication().verify_password(guess).await, ErrorReason::PasswordRejected);
        }
    }
    // Only compared attempts are counted: the free ones, and one for each delay that has passed.
    let compared = t.database.texts("SELECT CAST(sum(failures) AS text) AS value FROM cf_sign_in_failures").await;
    let compared: i64 = compared[0].parse().unwrap();
    assert!((10..30).contains(&compared), "{compared} of 150 were compared");
}
