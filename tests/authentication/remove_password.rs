//! `AuthenticationService.RemovePassword`.

use tenantry::pb::{self, ErrorReason};

use super::{refresh, sign_in};
use crate::support::{both, given::PASSWORD, refused};

fn remove(user: &pb::User) -> pb::RemovePasswordRequest {
    pb::RemovePasswordRequest { user_id: user.id.clone(), ..Default::default() }
}

both! {
    async fn nobody_signs_in_with_it_and_the_sessions_end(t) {
        let (user, signed_in, _) = t.signed_in_user("ada").await;
        t.admin().authentication().remove_password(remove(&user)).await.unwrap();
        refused(sign_in(&t, &user.email, PASSWORD).await, ErrorReason::SignInRejected);
        refused(refresh(&t, &signed_in.plaintext_token).await, ErrorReason::RefreshTokenRejected);
        t.give_password(&user).await;
        sign_in(&t, &user.email, PASSWORD).await.unwrap();
    }

    async fn a_user_without_one_stays_as_it_is(t) {
        let user = t.user("ada").await;
        let (_, session) = t.session(&user).await;
        t.admin().authentication().remove_password(remove(&user)).await.unwrap();
        refresh(&t, &session).await.unwrap();
    }
}
