//! `UserService.BatchGetUsers`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, batch_get_users_result::Outcome};

use crate::support::{Answered as _, MISSING_ID, Test, both, refused};

#[both]
async fn each_id_is_answered_on_its_own_in_order(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let user_ids = vec![eve.id.clone(), MISSING_ID.to_owned(), "x".to_owned(), ada.id.clone(), ada.id.clone()];
    let request = pb::BatchGetUsersRequest { user_ids: user_ids.clone(), ..Default::default() };
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
        let request = pb::BatchGetUsersRequest { user_ids: vec![MISSING_ID.to_owned(); count], ..Default::default() };
        refused(t.admin().users().batch_get_users(request).await, ErrorReason::InvalidArgument);
    }
    let request = pb::BatchGetUsersRequest { user_ids: vec![MISSING_ID.to_owned(); 100], ..Default::default() };
    assert_eq!(t.admin().users().batch_get_users(request).await.answered().results.len(), 100);
}

#[both]
async fn users_are_read_by_id_email_and_external_id_in_this_order(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let ada = crate::user::get_by_external_id::name(&t, &ada, "crm-ada").await;
    let text = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let request = pb::BatchGetUsersRequest {
        user_ids: vec![ada.id.clone()],
        emails: vec![eve.email.to_uppercase(), "nobody@example.com".to_owned(), "nobody".to_owned()],
        external_ids: text(&["crm-nil", "crm-ada", ""]),
    };
    let (found, missing) = (
        |user: &pb::User| Some(Outcome::User(user.clone())),
        |reason: ErrorReason| Some(Outcome::Error(reason.into())),
    );
    let result = |user_id: &str, email: &str, external_id: &str, outcome| pb::BatchGetUsersResult {
        user_id: user_id.to_owned(),
        email: email.to_owned(),
        external_id: external_id.to_owned(),
        outcome,
    };
    let expected = [
        result(&ada.id, "", "", found(&ada)),
        result("", &request.emails[0], "", found(&eve)),
        result("", "nobody@example.com", "", missing(ErrorReason::UserNotFound)),
        result("", "nobody", "", missing(ErrorReason::InvalidArgument)),
        result("", "", "crm-nil", missing(ErrorReason::UserNotFound)),
        result("", "", "crm-ada", found(&ada)),
        result("", "", "", missing(ErrorReason::InvalidArgument)),
    ];
    assert_eq!(t.admin().users().batch_get_users(request).await.answered().results, expected);
    // Each way finds what is within reach, and nothing else.
    let foreign = pb::BatchGetUsersRequest {
        user_ids: vec![ada.id.clone()],
        emails: vec![ada.email.clone()],
        external_ids: vec![ada.external_id.clone()],
    };
    let key = t.user_key(&eve).await;
    let results = t.with_key(&key).users().batch_get_users(foreign).await.answered().results;
    assert!(results.iter().all(|result| result.outcome == missing(ErrorReason::UserNotFound)), "{results:?}");
}

#[both]
async fn the_lists_of_a_batch_share_its_limit(t: Arc<Test>) {
    let request = |count: usize| pb::BatchGetUsersRequest {
        user_ids: vec![MISSING_ID.to_owned(); 40],
        emails: vec!["nobody@example.com".to_owned(); 40],
        external_ids: vec!["x".to_owned(); count],
    };
    assert_eq!(t.admin().users().batch_get_users(request(20)).await.answered().results.len(), 100);
    refused(t.admin().users().batch_get_users(request(21)).await, ErrorReason::InvalidArgument);
}
