//! `UserService.ImportUsers`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, ImportedUser, imported_user_result::Outcome};
use tokio_stream::wrappers::ReceiverStream;

use crate::support::{
    Answered as _, Test, both,
    follow::{actions, list},
    given::{CHEAP_HASH, unique},
    refused,
};

/// Imports one batch and returns the outcomes.
pub async fn import(t: &Test, users: Vec<ImportedUser>) -> Vec<Option<Outcome>> {
    let batches = tokio_stream::once(pb::ImportUsersRequest { users });
    let mut answers = t.admin().users().import_users(batches).await.answered();
    let answer = answers.message().await.unwrap().unwrap();
    assert!(answers.message().await.unwrap().is_none());
    answer.results.into_iter().map(|result| result.outcome).collect()
}

fn row(external_id: &str) -> ImportedUser {
    ImportedUser {
        external_id: external_id.to_owned(),
        email: format!("{}@example.com", unique("imported")),
        name: "Imported".to_owned(),
        ..Default::default()
    }
}

fn created(outcome: Option<&Outcome>) -> String {
    match outcome {
        Some(Outcome::CreatedUserId(id)) => id.clone(),
        other => panic!("{other:?}"),
    }
}

#[both]
async fn each_user_of_a_batch_has_an_outcome_of_its_own(t: Arc<Test>) {
    let taken = t.user("taken").await;
    let good = ImportedUser { password_hash: CHEAP_HASH.to_owned(), email_verified: true, ..row("a-1") };
    let batch = vec![
        good.clone(),
        ImportedUser { email: taken.email.to_uppercase(), ..row("a-2") },
        ImportedUser { email: "none".to_owned(), name: String::new(), ..row("") },
        ImportedUser {
            password_hash: "$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA".to_owned(),
            ..row("a-3")
        },
        ImportedUser { email: row("").email, ..good.clone() },
        row("a-4"),
    ];
    let outcomes = import(&t, batch).await;
    let user = t.reload_user(&created(outcomes[0].as_ref())).await;
    assert_eq!((user.external_id.as_str(), user.email.as_str()), ("a-1", good.email.as_str()));
    assert!(user.email_verified_at.is_some());
    let Some(Outcome::Error(error)) = &outcomes[1] else { panic!("{outcomes:?}") };
    assert_eq!(error.reason(), ErrorReason::UserEmailTaken);
    let Some(Outcome::Error(error)) = &outcomes[2] else { panic!("{outcomes:?}") };
    assert_eq!((error.reason(), error.violations.len()), (ErrorReason::InvalidArgument, 3), "{error:?}");
    let Some(Outcome::Error(error)) = &outcomes[3] else { panic!("{outcomes:?}") };
    assert!(error.violations[0].starts_with("password_hash looks like Argon2: must need at most"), "{error:?}");
    // The second occurrence in a batch finds the first.
    assert_eq!(outcomes[4], Some(Outcome::ExistingUserId(user.id.clone())));
    created(outcomes[5].as_ref());
    t.signed_in(&user).await;
    let events = list(&t.admin(), pb::ListEventsRequest { user_id: user.id, ..Default::default() }).await;
    assert!(actions(&events).contains(&"user.password_imported"));
}

#[both]
async fn a_batch_that_is_sent_again_makes_nobody_twice(t: Arc<Test>) {
    let batch: Vec<ImportedUser> = (0..50).map(|at| row(&format!("b-{at}"))).collect();
    let first: Vec<String> = import(&t, batch.clone()).await.iter().map(|outcome| created(outcome.as_ref())).collect();
    let rows = t.database.rows().await;
    let again = import(&t, batch).await;
    let there: Vec<Option<Outcome>> = first.into_iter().map(|id| Some(Outcome::ExistingUserId(id))).collect();
    assert_eq!(again, there);
    assert_eq!(t.database.rows().await, rows);
}

#[both]
async fn of_many_streams_that_bring_the_same_users_each_user_is_made_by_one(t: Arc<Test>) {
    for round in 0..5 {
        let batch: Vec<ImportedUser> = (0..20).map(|at| row(&format!("c-{round}-{at}"))).collect();
        let mut streams = tokio::task::JoinSet::new();
        for _ in 0..6 {
            let (t, batch) = (t.clone(), batch.clone());
            streams.spawn(async move { import(&t, batch).await });
        }
        let outcomes = streams.join_all().await;
        for at in 0..batch.len() {
            let created = outcomes.iter().filter(|of| matches!(of[at], Some(Outcome::CreatedUserId(_)))).count();
            let there = outcomes.iter().filter(|of| matches!(of[at], Some(Outcome::ExistingUserId(_)))).count();
            assert_eq!((created, there), (1, 5), "{outcomes:?}");
        }
    }
}

#[both]
async fn a_batch_of_too_many_or_none_ends_the_stream_and_keeps_what_was_answered(t: Arc<Test>) {
    for users in [Vec::new(), (0..501).map(|at| row(&at.to_string())).collect()] {
        let (sender, batches) = tokio::sync::mpsc::channel(2);
        let mut answers = t.admin().users().import_users(ReceiverStream::new(batches)).await.answered();
        let one = row(&unique("d-"));
        sender.send(pb::ImportUsersRequest { users: vec![one] }).await.unwrap();
        let answer = answers.message().await.unwrap().unwrap();
        let id = created(answer.results[0].outcome.as_ref());
        sender.send(pb::ImportUsersRequest { users }).await.unwrap();
        refused(answers.message().await, ErrorReason::InvalidArgument);
        assert_eq!(t.reload_user(&id).await.id, id);
    }
}

#[both]
async fn only_platform_admins_import_and_only_as_long_as_they_are(t: Arc<Test>) {
    let user = t.user("user").await;
    let of_user = t.with_key(&t.user_key(&user).await);
    let refusal = of_user.users().import_users(tokio_stream::once(pb::ImportUsersRequest::default())).await;
    refused(refusal, ErrorReason::PlatformAdminRequired);
    let grant = pb::GrantPlatformAdminRequest { user_id: user.id.clone(), ..Default::default() };
    t.admin().users().grant_platform_admin(grant).await.unwrap();
    let (sender, batches) = tokio::sync::mpsc::channel(2);
    let key = t.user_key(&user).await;
    let mut answers = t.with_key(&key).users().import_users(ReceiverStream::new(batches)).await.answered();
    sender.send(pb::ImportUsersRequest { users: vec![row("e-1")] }).await.unwrap();
    created(answers.message().await.unwrap().unwrap().results[0].outcome.as_ref());
    let revoke = pb::RevokePlatformAdminRequest { user_id: user.id.clone(), ..Default::default() };
    t.admin().users().revoke_platform_admin(revoke).await.unwrap();
    sender.send(pb::ImportUsersRequest { users: vec![row("e-2")] }).await.unwrap();
    refused(answers.message().await, ErrorReason::PlatformAdminRequired);
}
