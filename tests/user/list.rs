//! `UserService.ListUsers`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, DAY, Test, both, refused, time_in};

async fn emails(t: &Test, request: pb::ListUsersRequest) -> Vec<String> {
    let page = t.admin().users().list_users(request).await.answered();
    page.users.into_iter().map(|user| user.email).collect()
}

#[both]
async fn users_are_listed_by_organization(t: Arc<Test>) {
    let (ada, bob, _eve) = (t.user("ada").await, t.user("bob").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "member").await;
    let request = pb::ListUsersRequest { organization_id: acme.id.clone(), ..Default::default() };
    assert_eq!(emails(&t, request.clone()).await, [ada.email.clone(), bob.email.clone()]);
    let by_email = pb::ListUsersRequest { email_prefix: "BOB".to_owned(), ..request.clone() };
    assert_eq!(emails(&t, by_email).await, std::slice::from_ref(&bob.email));
    // An organization's key lists its own members by default.
    let key = t.organization_key(&acme).await;
    let own = t.with_key(&key).users().list_users(pb::ListUsersRequest::default()).await.answered();
    assert_eq!(own.users, [ada, bob]);
}

#[both]
async fn users_are_listed_by_state(t: Arc<Test>) {
    let (ada, bob, eve) = (t.user("ada").await, t.user("bob").await, t.user("eve").await);
    t.suspend(&bob).await;
    t.admin()
        .users()
        .delete_user(pb::DeleteUserRequest { user_id: eve.id, etag: String::new(), ..Default::default() })
        .await
        .unwrap();
    let by = |state: pb::UserState| pb::ListUsersRequest { state: state.into(), ..Default::default() };
    assert_eq!(emails(&t, by(pb::UserState::Suspended)).await, std::slice::from_ref(&bob.email));
    assert_eq!(emails(&t, by(pb::UserState::Deleted)).await, [eve.email]);
    assert_eq!(emails(&t, by(pb::UserState::Active)).await, ["admin@tenantry.local".to_owned(), ada.email.clone()]);
    assert_eq!(emails(&t, by(pb::UserState::Unspecified)).await.len(), 3);
    let key = t.user_key(&ada).await;
    refused(t.with_key(&key).users().list_users(by(pb::UserState::Deleted)).await, ErrorReason::PlatformAdminRequired);
    let unknown = pb::ListUsersRequest { state: 99, ..Default::default() };
    refused(t.admin().users().list_users(unknown).await, ErrorReason::InvalidArgument);
}

#[both]
async fn a_prefix_orders_by_email_across_pages(t: Arc<Test>) {
    for name in ["zed", "abe", "mia", "abc"] {
        let request = pb::CreateUserRequest {
            email: format!("P-{name}@example.com"),
            name: name.to_owned(),
            ..Default::default()
        };
        t.admin().users().create_user(request).await.unwrap();
    }
    let mut request = pb::ListUsersRequest { email_prefix: "p-".to_owned(), page_size: 1, ..Default::default() };
    let mut seen = Vec::new();
    loop {
        let page = t.admin().users().list_users(request.clone()).await.answered();
        seen.extend(page.users.into_iter().map(|user| user.name));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(seen, ["abc", "abe", "mia", "zed"]);
    let wild = pb::ListUsersRequest { email_prefix: "p%".to_owned(), ..Default::default() };
    assert_eq!(emails(&t, wild).await, Vec::<String>::new());
}

#[both]
async fn users_are_listed_by_time_of_creation(t: Arc<Test>) {
    let ada = t.user("ada").await;
    t.advance(DAY);
    let noon = time_in(&t, 0);
    t.advance(DAY);
    let bob = t.user("bob").await;
    let before = pb::ListUsersRequest { created_before: noon, ..Default::default() };
    assert_eq!(emails(&t, before).await, ["admin@tenantry.local".to_owned(), ada.email]);
    let from = pb::ListUsersRequest { created_from: noon, ..Default::default() };
    assert_eq!(emails(&t, from).await, std::slice::from_ref(&bob.email));
    let exactly = pb::ListUsersRequest { created_from: bob.created_at, ..Default::default() };
    assert_eq!(emails(&t, exactly).await, [bob.email]);
    let never = pb::ListUsersRequest {
        created_from: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: -1 }),
        ..Default::default()
    };
    refused(t.admin().users().list_users(never).await, ErrorReason::InvalidArgument);
}

#[both]
async fn a_foreign_organization_is_not_found(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    let request = pb::ListUsersRequest { organization_id: acme.id, ..Default::default() };
    let key = t.user_key(&eve).await;
    refused(t.with_key(&key).users().list_users(request).await, ErrorReason::OrganizationNotFound);
    let own = t.with_key(&key).users().list_users(pb::ListUsersRequest::default()).await.answered();
    assert_eq!(own.users, [eve]);
}
