//! `AuthenticationService.RemovePassword`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, create_api_key_request::Owner};

use super::{refresh, sign_in};
use crate::support::{Test, both, given::PASSWORD, refused};

fn remove(user: &pb::User) -> pb::RemovePasswordRequest {
    pb::RemovePasswordRequest { user_id: user.id.clone(), ..Default::default() }
}

#[both]
async fn nobody_signs_in_with_it_and_the_sessions_end(t: Arc<Test>) {
    let (user, signed_in, _) = t.signed_in_user("ada").await;
    t.admin().authentication().remove_password(remove(&user)).await.unwrap();
    refused(sign_in(&t, &user.email, PASSWORD).await, ErrorReason::SignInRejected);
    refused(refresh(&t, &signed_in.plaintext_token).await, ErrorReason::RefreshTokenRejected);
    t.give_password(&user).await;
    sign_in(&t, &user.email, PASSWORD).await.unwrap();
}

#[both]
async fn a_user_without_one_stays_as_it_is(t: Arc<Test>) {
    let user = t.user("ada").await;
    let (_, session) = t.session(&user).await;
    t.admin().authentication().remove_password(remove(&user)).await.unwrap();
    refresh(&t, &session).await.unwrap();
}

#[both]
async fn the_sign_in_key_of_an_application_takes_it_from_no_platform_admin(t: Arc<Test>) {
    let admin = t.first_admin().await;
    let (_, key) = t.key(Owner::UserId(admin.id.clone()), &["authentication:write"]).await;
    refused(t.with_key(&key).authentication().remove_password(remove(&admin)).await, ErrorReason::ScopeMissing);
    let both = &["authentication:write", "platform_admins:authenticate"];
    let (_, key) = t.key(Owner::UserId(admin.id.clone()), both).await;
    t.with_key(&key).authentication().remove_password(remove(&admin)).await.unwrap();
}
