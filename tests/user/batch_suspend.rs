//! `UserService.BatchSuspendUsers`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, batch_user_result::Outcome};

use crate::{
    batches::ids,
    support::{
        Answered as _, MISSING_ID, Test, both,
        follow::{actions, newest, since},
        refused,
    },
};

fn suspend(id: &str) -> pb::SuspendUserRequest {
    pb::SuspendUserRequest { user_id: id.to_owned(), ..Default::default() }
}

pub async fn suspend_all(t: &Test, requests: Vec<pb::SuspendUserRequest>) -> Vec<pb::BatchUserResult> {
    let request = pb::BatchSuspendUsersRequest { requests, ..Default::default() };
    t.admin().users().batch_suspend_users(request).await.answered().results
}

/// The state of each user of a batch, or why it was refused.
pub fn states(results: &[pb::BatchUserResult]) -> Vec<Result<pb::UserState, ErrorReason>> {
    assert_eq!(results.iter().map(|result| result.index).collect::<Vec<_>>(), ids(results.len()));
    let state = |result: &pb::BatchUserResult| match result.outcome.as_ref().unwrap() {
        Outcome::User(user) => Ok(user.state()),
        Outcome::Error(error) => Err(error.reason()),
        other @ Outcome::UserId(_) => panic!("{other:?}"),
    };
    results.iter().map(state).collect()
}

#[both]
async fn each_user_is_suspended_on_its_own_with_all_that_ends_with_it(t: Arc<Test>) {
    let (admin, ada, bob) = (t.first_admin().await, t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let key = t.user_key(&ada).await;
    let (_, token) = t.session(&bob).await;
    let last = newest(&t.admin()).await;
    let items = vec![
        suspend(&ada.id),
        suspend(MISSING_ID),
        suspend(&admin.id),
        pb::SuspendUserRequest { etag: "r0".to_owned(), ..suspend(&bob.id) },
        suspend(&bob.id),
        suspend(&bob.id),
        pb::SuspendUserRequest { validate_only: true, ..suspend(&bob.id) },
    ];
    let results = suspend_all(&t, items).await;
    let expected = [
        Ok(pb::UserState::Suspended),
        Err(ErrorReason::UserNotFound),
        Err(ErrorReason::LastPlatformAdmin),
        Err(ErrorReason::EtagMismatch),
        Ok(pb::UserState::Suspended),
        // A second time it changes nothing.
        Ok(pb::UserState::Suspended),
        Err(ErrorReason::InvalidArgument),
    ];
    assert_eq!(states(&results), expected);
    let get = pb::GetUserRequest { user_id: ada.id.clone() };
    refused(t.with_key(&key).users().get_user(get).await, ErrorReason::Unauthenticated);
    refused(t.rotate(&token).await, ErrorReason::RefreshTokenRejected);
    let mut events = since(&t.admin(), last).await;
    events.retain(|event| event.action != "api_key.rejected");
    let mut reported = actions(&events);
    reported.sort_unstable();
    assert_eq!(reported, ["session.revoked", "user.suspended", "user.suspended"]);
    assert!(t.membership(&ada.id, &acme.id).await.is_some());
}

#[both]
async fn of_two_platform_admins_one_batch_leaves_one(t: Arc<Test>) {
    let (admin, bob) = (t.first_admin().await, t.user("bob").await);
    let grant = pb::GrantPlatformAdminRequest { user_id: bob.id.clone(), ..Default::default() };
    t.admin().users().grant_platform_admin(grant).await.unwrap();
    let results = suspend_all(&t, vec![suspend(&bob.id), suspend(&admin.id)]).await;
    assert_eq!(states(&results), [Ok(pb::UserState::Suspended), Err(ErrorReason::LastPlatformAdmin)]);
}

#[both]
async fn a_caller_that_suspends_itself_gets_no_further_than_the_part(t: Arc<Test>) {
    let bob = t.user("bob").await;
    let grant = pb::GrantPlatformAdminRequest { user_id: bob.id.clone(), ..Default::default() };
    t.admin().users().grant_platform_admin(grant).await.unwrap();
    let mut items = vec![suspend(&bob.id)];
    for _ in 0..50 {
        items.push(suspend(&t.user("carl").await.id));
    }
    let last = items.last().unwrap().user_id.clone();
    let request = pb::BatchSuspendUsersRequest { requests: items, ..Default::default() };
    let by_bob = t.with_key(&t.user_key(&bob).await);
    refused(by_bob.users().batch_suspend_users(request).await, ErrorReason::Unauthenticated);
    assert_eq!(t.reload_user(&bob.id).await.state(), pb::UserState::Suspended);
    assert_eq!(t.reload_user(&last).await.state(), pb::UserState::Active);
}
