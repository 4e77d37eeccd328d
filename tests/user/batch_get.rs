//! `UserService.BatchGetUsers`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, batch_get_users_result::Outcome};

use crate::support::{Answered as _, MISSING_ID, Test, both, refused};

#[both]
async fn each_id_is_answered_on_its_own_in_order(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let user_ids = vec![eve.id.clone(), MISSING_ID.to_owned(), "x".to_owned(), ada.id.clone(), ada.id.clone()];
    let request = pb::BatchGetUsersRequest { user_ids: user_ids.clone() };
    let results = t.admin().users().batch_get_users(request.clone()).await.answered().results;
    assert_eq!(results.iter().map(|result| result.user_id.clone()).collect::<Vec<_>>(), user_ids);
    let outcomes: Vec<_> = results.into_iter().filter_map(|result| result.outcome).collect();
    let missing = Outcome::Error(ErrorReason::UserNotFound.into());
    let invalid = Outcome::Error(ErrorReason::InvalidArgument.into());
    let found = |user: &pb::User| Outcome::User(user.clone());
    assert_eq!(outcomes, [found(&eve), missing.clone(), invalid, found(&ada), found(&ada)]);
    // Users out of reach are missing.
    let key = t.user_key(&ada).await;
    let results = t.with_key(&key).users().batch_get_users(request).await.answered().results;
    assert_eq!(results[0].outcome, Some(missing));
}

#[both]
async fn none_and_too_many_ids_are_refused(t: Arc<Test>) {
    for count in [0, 101] {
        let request = pb::BatchGetUsersRequest { user_ids: vec![MISSING_ID.to_owned(); count] };
        refused(t.admin().users().batch_get_users(request).await, ErrorReason::InvalidArgument);
    }
    let request = pb::BatchGetUsersRequest { user_ids: vec![MISSING_ID.to_owned(); 100] };
    assert_eq!(t.admin().users().batch_get_users(request).await.answered().results.len(), 100);
}
