//! `AuthenticationService.SetPassword`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use super::sign_in;
use crate::support::{MISSING_ID, Test, both, refused};

const PHRASE: &str = "seven wet dogs on a boat";

fn set(user_id: &str) -> pb::SetPasswordRequest {
    pb::SetPasswordRequest { user_id: user_id.to_owned(), password: PHRASE.to_owned(), ..Default::default() }
}

#[both]
async fn a_user_gets_its_first_password_and_nobody_sets_one_over_it(t: Arc<Test>) {
    let user = t.user("ada").await;
    refused(sign_in(&t, &user.email, PHRASE).await, ErrorReason::SignInRejected);
    t.admin().authentication().set_password(set(&user.id)).await.unwrap();
    sign_in(&t, &user.email, PHRASE).await.unwrap();
    let other = pb::SetPasswordRequest { password: "some other phrase of mine".to_owned(), ..set(&user.id) };
    refused(t.admin().authentication().set_password(other).await, ErrorReason::PasswordExists);
    sign_in(&t, &user.email, PHRASE).await.unwrap();
}

#[both]
async fn it_is_for_platform_admins_and_for_users_who_can_use_it(t: Arc<Test>) {
    let (user, _, api) = t.signed_in_user("ada").await;
    refused(api.authentication().set_password(set(&user.id)).await, ErrorReason::PlatformAdminRequired);
    refused(t.admin().authentication().set_password(set(MISSING_ID)).await, ErrorReason::UserNotFound);
    let suspended = t.user("bob").await;
    t.suspend(&suspended).await;
    refused(t.admin().authentication().set_password(set(&suspended.id)).await, ErrorReason::UserSuspended);
}
