//! `AuthenticationService.VerifyPassword`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{MISSING_ID, Test, both, given::PASSWORD, refused};

fn says(user: &pb::User, password: &str) -> pb::VerifyPasswordRequest {
    pb::VerifyPasswordRequest { user_id: user.id.clone(), password: password.to_owned(), ..Default::default() }
}

#[both]
async fn the_users_password_is_reported_from_any_other(t: Arc<Test>) {
    let (user, _, api) = t.signed_in_user("ada").await;
    for api in [t.admin(), api] {
        api.authentication().verify_password(says(&user, PASSWORD)).await.unwrap();
        for other in ["a phrase that tests knoW", "a phrase that tests know "] {
            refused(api.authentication().verify_password(says(&user, other)).await, ErrorReason::PasswordRejected);
        }
    }
    let without = t.user("bob").await;
    refused(t.admin().authentication().verify_password(says(&without, PASSWORD)).await, ErrorReason::PasswordRejected);
}

#[both]
async fn nobody_asks_about_another_one(t: Arc<Test>) {
    let (user, _, _) = t.signed_in_user("ada").await;
    let (eve, _, of_eve) = t.signed_in_user("eve").await;
    refused(of_eve.authentication().verify_password(says(&user, PASSWORD)).await, ErrorReason::UserNotFound);
    let missing = pb::User { id: MISSING_ID.to_owned(), ..Default::default() };
    refused(t.admin().authentication().verify_password(says(&missing, PASSWORD)).await, ErrorReason::UserNotFound);
    let organization = t.organization(&user).await;
    t.member(&eve, &organization, "owner").await;
    refused(of_eve.authentication().verify_password(says(&user, PASSWORD)).await, ErrorReason::PlatformAdminRequired);
}
