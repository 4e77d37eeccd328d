//! `UserService.UpdateUser`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{
    Answered as _, Test, both,
    follow::{actions, list},
    mask, object,
    refusal::fields,
    refused,
};

fn rename(user: &pb::User, name: &str) -> pb::UpdateUserRequest {
    pb::UpdateUserRequest {
        user_id: user.id.clone(),
        name: name.to_owned(),
        update_mask: mask(&["name"]),
        ..Default::default()
    }
}

#[both]
async fn only_the_fields_of_the_mask_are_written(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let request = pb::UpdateUserRequest {
        email: "other@example.com".to_owned(),
        avatar_url: "https://example.com/a.png".to_owned(),
        metadata: object("a", "b"),
        update_mask: mask(&["name", "avatar_url", "metadata"]),
        ..rename(&ada, "Countess")
    };
    let updated = t.admin().users().update_user(request).await.answered().user.unwrap();
    assert_eq!((updated.name.as_str(), &updated.email), ("Countess", &ada.email));
    assert_eq!(updated.metadata, object("a", "b"));
    assert_ne!(updated.etag, ada.etag);
    assert_eq!(t.reload_user(&ada.id).await, updated);
    let cleared =
        pb::UpdateUserRequest { user_id: ada.id.clone(), update_mask: mask(&["avatar_url"]), ..Default::default() };
    let cleared = t.admin().users().update_user(cleared).await.answered().user.unwrap();
    assert_eq!((cleared.avatar_url.as_str(), cleared.name.as_str()), ("", "Countess"));
}

#[both]
async fn an_empty_and_an_unknown_mask_are_refused(t: Arc<Test>) {
    let ada = t.user("ada").await;
    for paths in [
        None,
        mask(&[]),
        mask(&["id"]),
        mask(&["is_platform_admin"]),
        mask(&["state"]),
        mask(&["*"]),
        mask(&["name", "etag"]),
        mask(&["email_verified_at"]),
    ] {
        let request = pb::UpdateUserRequest { update_mask: paths, ..rename(&ada, "X") };
        let status = refused(t.admin().users().update_user(request).await, ErrorReason::InvalidArgument);
        assert_eq!(fields(&status), ["update_mask"]);
    }
    assert_eq!(t.reload_user(&ada.id).await, ada);
}

#[both]
async fn a_stale_etag_is_refused(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let first = pb::UpdateUserRequest { etag: ada.etag.clone(), ..rename(&ada, "First") };
    t.admin().users().update_user(first).await.unwrap();
    let second = pb::UpdateUserRequest { etag: ada.etag.clone(), ..rename(&ada, "Second") };
    refused(t.admin().users().update_user(second).await, ErrorReason::EtagMismatch);
    assert_eq!(t.reload_user(&ada.id).await.name, "First");
}

#[both]
async fn of_two_writers_with_one_etag_one_wins(t: Arc<Test>) {
    let ada = t.user("ada").await;
    for round in 0..10 {
        let etag = t.reload_user(&ada.id).await.etag;
        let call = |name: String| {
            let request = pb::UpdateUserRequest { etag: etag.clone(), ..rename(&ada, &name) };
            let mut users = t.admin().users();
            async move { users.update_user(request).await }
        };
        let (one, two) = tokio::join!(call(format!("One {round}")), call(format!("Two {round}")));
        assert_ne!(one.is_ok(), two.is_ok(), "round {round}");
        refused(if one.is_ok() { two } else { one }, ErrorReason::EtagMismatch);
    }
}

#[both]
async fn a_user_updates_itself_and_nobody_else(t: Arc<Test>) {
    let (ada, bob, eve) = (t.user("ada").await, t.user("bob").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "member").await;
    let mut users = t.with_key(&t.user_key(&ada).await).users();
    users.update_user(rename(&ada, "Me")).await.unwrap();
    refused(users.update_user(rename(&bob, "X")).await, ErrorReason::PlatformAdminRequired);
    refused(users.update_user(rename(&eve, "X")).await, ErrorReason::UserNotFound);
    let mut users = t.with_key(&t.organization_key(&acme).await).users();
    refused(users.update_user(rename(&bob, "X")).await, ErrorReason::PlatformAdminRequired);
}

#[both]
async fn another_email_must_be_free_and_is_unverified(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let request = |email: &str| pb::UpdateUserRequest {
        user_id: ada.id.clone(),
        email: email.to_owned(),
        update_mask: mask(&["email"]),
        ..Default::default()
    };
    refused(t.admin().users().update_user(request(&bob.email.to_uppercase())).await, ErrorReason::UserEmailTaken);
    let new = t.admin().users().update_user(request("new@example.com")).await.answered().user.unwrap();
    assert!(new.email == "new@example.com" && new.email_verified_at.is_none());
}

fn verified(user: &pb::User, email_verified: bool) -> pb::UpdateUserRequest {
    pb::UpdateUserRequest {
        user_id: user.id.clone(),
        email_verified,
        update_mask: mask(&["email_verified"]),
        ..Default::default()
    }
}

#[both]
async fn only_a_platform_admin_vouches_for_an_email(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let adas = t.with_key(&t.user_key(&ada).await);
    for is_verified in [true, false] {
        refused(adas.users().update_user(verified(&ada, is_verified)).await, ErrorReason::PlatformAdminRequired);
    }
    let user = t.admin().users().update_user(verified(&ada, true)).await.answered().user.unwrap();
    let verified_at = user.email_verified_at;
    assert!(verified_at.is_some());
    let again = t.admin().users().update_user(verified(&ada, true)).await.answered().user.unwrap();
    assert_eq!(again, user);
    // Another address is unverified, unless the caller vouches for it too.
    let email = |email: &str, paths: &[&str]| pb::UpdateUserRequest {
        email: email.to_owned(),
        update_mask: mask(paths),
        ..verified(&ada, true)
    };
    let both = t.admin().users().update_user(email("new@example.com", &["email", "email_verified"])).await;
    assert!(both.answered().user.unwrap().email_verified_at.is_some());
    let alone = t.admin().users().update_user(email("newer@example.com", &["email"])).await;
    assert!(alone.answered().user.unwrap().email_verified_at.is_none());
    t.admin().users().update_user(verified(&ada, true)).await.unwrap();
    let withdrawn = t.admin().users().update_user(verified(&ada, false)).await.answered().user.unwrap();
    assert!(withdrawn.email_verified_at.is_none());
}

#[both]
async fn the_first_proof_by_a_platform_admin_ends_earlier_credentials(t: Arc<Test>) {
    let (ada, signed_in, adas) = t.signed_in_user("ada").await;
    let key = t.user_key(&ada).await;
    t.oauth_account(&ada).await;
    t.admin().users().update_user(verified(&ada, true)).await.unwrap();
    refused(adas.users().get_user(pb::GetUserRequest { user_id: ada.id.clone() }).await, ErrorReason::Unauthenticated);
    let own = t.with_key(&key);
    refused(own.users().get_user(pb::GetUserRequest { user_id: ada.id.clone() }).await, ErrorReason::Unauthenticated);
    let refresh = pb::RefreshRequest { plaintext_token: signed_in.plaintext_token, ..Default::default() };
    refused(t.admin().authentication().refresh(refresh).await, ErrorReason::RefreshTokenRejected);
    let about = pb::ListEventsRequest { user_id: ada.id.clone(), ..Default::default() };
    let events = list(&t.admin(), about).await;
    for action in
        ["api_key.revoked", "oauth_account.unlinked", "session.revoked", "user.password_removed", "user.updated"]
    {
        assert!(actions(&events).contains(&action), "{action}: {:?}", actions(&events));
    }
}

#[both]
async fn a_credential_of_the_account_keeps_the_accounts_credentials(t: Arc<Test>) {
    let (ada, signed_in, adas) = t.signed_in_user("ada").await;
    let key = t.user_key(&ada).await;
    let (_, stranger, _) = t.signed_in_user("eve").await;
    let with = |token: &str| pb::UpdateUserRequest { access_token: token.to_owned(), ..verified(&ada, true) };
    t.admin().users().update_user(with(&signed_in.access_token)).await.unwrap();
    for api in [adas, t.with_key(&key)] {
        api.users().get_user(pb::GetUserRequest { user_id: ada.id.clone() }).await.unwrap();
    }
    t.signed_in(&ada).await;
    // Another user's token shows nothing.
    let bob = t.user("bob").await;
    let bobs = t.with_key(&t.user_key(&bob).await);
    let request = pb::UpdateUserRequest { user_id: bob.id.clone(), ..with(&stranger.access_token) };
    t.admin().users().update_user(request).await.unwrap();
    refused(bobs.users().get_user(pb::GetUserRequest { user_id: bob.id }).await, ErrorReason::Unauthenticated);
    // A platform admin that vouches for itself keeps its key.
    let admin = t.first_admin().await;
    t.admin().users().update_user(verified(&admin, false)).await.unwrap();
    t.admin().users().update_user(verified(&admin, true)).await.unwrap();
    t.reload_user(&admin.id).await;
}

#[both]
async fn vouching_for_a_platform_admin_takes_the_scope_for_it(t: Arc<Test>) {
    let (admin, eve) = (t.first_admin().await, t.user("eve").await);
    let grant = pb::GrantPlatformAdminRequest { user_id: eve.id.clone(), ..Default::default() };
    t.admin().users().grant_platform_admin(grant).await.unwrap();
    let owner = pb::create_api_key_request::Owner::UserId(admin.id.clone());
    let (_, narrow) = t.key(owner, &["users:*"]).await;
    let refusal = t.with_key(&narrow).users().update_user(verified(&eve, true)).await;
    refused(refusal, ErrorReason::ScopeMissing);
    t.admin().users().update_user(verified(&eve, true)).await.unwrap();
}
