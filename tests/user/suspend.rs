//! `UserService.SuspendUser`.

use tenantry::pb::{self, ErrorReason};

use crate::support::{both, refused};

fn suspend(user: &pb::User) -> pb::SuspendUserRequest {
    pb::SuspendUserRequest { user_id: user.id.clone(), etag: String::new(), ..Default::default() }
}

both! {
    async fn a_suspended_user_can_do_nothing(t) {
        let ada = t.user("ada").await;
        let key = t.user_key(&ada).await;
        let (_, token) = t.session(&ada).await;
        let suspended = t.admin().users().suspend_user(suspend(&ada)).await.unwrap().into_inner().user.unwrap();
        assert_eq!(suspended.state(), pb::UserState::Suspended);
        let get = pb::GetUserRequest { user_id: ada.id.clone() };
        refused(t.with_key(&key).users().get_user(get).await, ErrorReason::Unauthenticated);
        refused(t.rotate(&token).await, ErrorReason::RefreshTokenRejected);
        let session = pb::CreateRefreshTokenRequest { user_id: ada.id.clone(), ..Default::default() };
        refused(t.admin().refresh_tokens().create_refresh_token(session).await, ErrorReason::UserSuspended);
    }

    async fn suspending_twice_changes_nothing(t) {
        let ada = t.user("ada").await;
        let once = t.admin().users().suspend_user(suspend(&ada)).await.unwrap().into_inner();
        let twice = t.admin().users().suspend_user(suspend(&ada)).await.unwrap().into_inner();
        assert_eq!(once, twice);
    }

    async fn the_last_active_owner_stays(t) {
        let (ada, bob) = (t.user("ada").await, t.user("bob").await);
        let acme = t.organization(&ada).await;
        let status = refused(t.admin().users().suspend_user(suspend(&ada)).await, ErrorReason::LastOwner);
        let named = tonic_types::StatusExt::get_details_precondition_failure(&status).unwrap();
        assert_eq!(named.violations[0].subject, format!("organizations/{}", acme.id));
        t.member(&bob, &acme, "owner").await;
        t.admin().users().suspend_user(suspend(&bob)).await.unwrap();
        // A suspended owner is none.
        refused(t.admin().users().suspend_user(suspend(&ada)).await, ErrorReason::LastOwner);
    }

    async fn two_owners_suspended_at_once_leave_one(t) {
        for round in 0..10 {
            let (ada, bob) = (t.user("ada").await, t.user("bob").await);
            let acme = t.organization(&ada).await;
            t.member(&bob, &acme, "owner").await;
            let call = |user: &pb::User| {
                let (mut users, request) = (t.admin().users(), suspend(user));
                async move { users.suspend_user(request).await }
            };
            let (one, two) = tokio::join!(call(&ada), call(&bob));
            assert_ne!(one.is_ok(), two.is_ok(), "round {round}");
            refused(if one.is_ok() { two } else { one }, ErrorReason::LastOwner);
        }
    }

    async fn the_last_platform_admin_stays(t) {
        let admin = t.first_admin().await;
        refused(t.admin().users().suspend_user(suspend(&admin)).await, ErrorReason::LastPlatformAdmin);
    }
}
