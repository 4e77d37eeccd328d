//! `UserService.UndeleteUser`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, DAY, Test, both, refused};

fn undelete(user: &pb::User) -> pb::UndeleteUserRequest {
    pb::UndeleteUserRequest { user_id: user.id.clone(), etag: String::new(), ..Default::default() }
}

fn delete(user: &pb::User) -> pb::DeleteUserRequest {
    pb::DeleteUserRequest { user_id: user.id.clone(), etag: String::new(), ..Default::default() }
}

#[both]
async fn a_restored_user_is_as_it_was(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "member").await;
    let key = t.user_key(&bob).await;
    t.admin().users().delete_user(delete(&bob)).await.unwrap();
    t.advance(29 * DAY);
    let undelete = pb::UndeleteUserRequest { restore_api_keys: true, ..undelete(&bob) };
    let back = t.admin().users().undelete_user(undelete).await.answered().user.unwrap();
    assert_eq!(back.state(), pb::UserState::Active);
    assert!(t.membership(&bob.id, &acme.id).await.is_some());
    t.with_key(&key).users().get_user(pb::GetUserRequest { user_id: bob.id }).await.unwrap();
}

#[both]
async fn after_the_restore_window_it_is_not_found(t: Arc<Test>) {
    let ada = t.user("ada").await;
    t.admin().users().delete_user(delete(&ada)).await.unwrap();
    t.advance(31 * DAY);
    refused(t.admin().users().undelete_user(undelete(&ada)).await, ErrorReason::UserNotFound);
}

#[both]
async fn an_email_taken_meanwhile_is_reported(t: Arc<Test>) {
    let ada = t.user("ada").await;
    t.admin().users().delete_user(delete(&ada)).await.unwrap();
    let other = pb::CreateUserRequest { email: ada.email.clone(), name: "Other".to_owned(), ..Default::default() };
    t.admin().users().create_user(other).await.unwrap();
    refused(t.admin().users().undelete_user(undelete(&ada)).await, ErrorReason::UserEmailTaken);
}

#[both]
async fn restoring_a_user_that_is_not_deleted_changes_nothing(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let same = t.admin().users().undelete_user(undelete(&ada)).await.answered().user.unwrap();
    assert_eq!(same, ada);
}

#[both]
async fn another_email_of_a_platform_admin_requires_the_scope_to_authenticate_one(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let grant = pb::GrantPlatformAdminRequest { user_id: ada.id.clone(), ..Default::default() };
    t.admin().users().grant_platform_admin(grant).await.unwrap();
    t.admin().users().delete_user(delete(&ada)).await.unwrap();
    let owner = pb::create_api_key_request::Owner::UserId(t.first_admin().await.id);
    let (_, narrow) = t.key(owner, &["users:write", "platform_admins:write"]).await;
    let narrow = t.with_key(&narrow);
    let moved = pb::UndeleteUserRequest { email: "moved@example.com".to_owned(), ..undelete(&ada) };
    refused(narrow.users().undelete_user(moved).await, ErrorReason::ScopeMissing);
    // Another spelling of the same address is not a way into the account.
    let spelled = pb::UndeleteUserRequest { email: ada.email.to_uppercase(), ..undelete(&ada) };
    let restored = narrow.users().undelete_user(spelled).await.answered().user.unwrap();
    assert_eq!(restored.email, ada.email.to_uppercase());
}

#[both]
async fn a_member_restored_with_another_email_is_found_by_it(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "member").await;
    t.admin().users().delete_user(delete(&bob)).await.unwrap();
    let moved = pb::UndeleteUserRequest { email: "moved@example.com".to_owned(), ..undelete(&bob) };
    t.admin().users().undelete_user(moved).await.unwrap();
    let list =
        pb::ListUsersRequest { organization_id: acme.id, email_prefix: "moved@".to_owned(), ..Default::default() };
    let found = t.admin().users().list_users(list).await.answered().users;
    assert_eq!(found.into_iter().map(|user| user.id).collect::<Vec<_>>(), [bob.id]);
}
