//! `UserService.UpdateUser`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, Test, both, mask, object, refusal::fields, refused};

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
