//! `UserService.ListUsers`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, Api, DAY, Test, both, mask, refused, time_in};

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

/// All users that a query finds, read page by page.
async fn found(api: &Api, request: pb::ListUsersRequest) -> Vec<String> {
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListUsersRequest { page_token, page_size: 2, ..request.clone() };
        let page = api.users().list_users(request).await.answered();
        seen.extend(page.users.into_iter().map(|user| user.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return seen;
        }
    }
}

async fn named(t: &Test, name: &str, email: &str) -> pb::User {
    let request = pb::CreateUserRequest { name: name.to_owned(), email: email.to_owned(), ..Default::default() };
    t.admin().users().create_user(request).await.answered().user.unwrap()
}

fn query(text: &str) -> pb::ListUsersRequest {
    pb::ListUsersRequest { query: text.to_owned(), ..Default::default() }
}

#[both]
async fn users_are_found_by_a_part_of_their_name_or_email_before_and_after_they_are_indexed(t: Arc<Test>) {
    for (name, email) in [
        ("Ada Lovelace", "ada@analytical.test"),
        ("Grace Hopper", "grace.hopper@navy.test"),
        ("José Núñez", "jose@acme.test"),
        ("王小明", "ming@acme.test"),
        ("Νίκος", "nikos@acme.test"),
        ("100% _real_", "real@acme.test"),
    ] {
        named(&t, name, email).await;
    }
    let api = t.admin();
    for _ in 0..2 {
        for (text, expected) in [
            ("love", vec!["Ada Lovelace"]),
            ("LOVELACE", vec!["Ada Lovelace"]),
            ("hopper@na", vec!["Grace Hopper"]),
            ("nunez", vec!["José Núñez"]),
            ("jose nu", vec!["José Núñez"]),
            ("王", vec!["王小明"]),
            ("小明", vec!["王小明"]),
            ("ΝΙΚΟΣ", vec!["Νίκος"]),
            ("@acme.test", vec!["José Núñez", "王小明", "Νίκος", "100% _real_"]),
            ("%", vec!["100% _real_"]),
            ("_r", vec!["100% _real_"]),
            ("zq", vec![]),
            ("lovelace hopper", vec![]),
        ] {
            assert_eq!(found(&api, query(text)).await, expected, "{text}");
        }
        let newest = pb::ListUsersRequest { order: pb::Order::NewestFirst.into(), ..query("@acme.test") };
        assert_eq!(found(&api, newest).await, ["100% _real_", "Νίκος", "王小明", "José Núñez"]);
        t.database.indexed().await;
    }
}

#[both]
async fn a_user_is_found_by_its_present_name_alone(t: Arc<Test>) {
    let user = named(&t, "Before", "someone@acme.test").await;
    let api = t.admin();
    let rename = |name: &str| pb::UpdateUserRequest {
        user_id: user.id.clone(),
        name: name.to_owned(),
        update_mask: mask(&["name"]),
        ..Default::default()
    };
    for name in ["Middle", "Xylo", "Quarz"] {
        t.database.indexed().await;
        api.users().update_user(rename(name)).await.unwrap();
        for _ in 0..2 {
            assert_eq!(found(&api, query(name)).await, [name]);
            assert_eq!(found(&api, query("before")).await, Vec::<String>::new());
            t.database.indexed().await;
        }
    }
    let delete = pb::DeleteUserRequest { user_id: user.id.clone(), ..Default::default() };
    api.users().delete_user(delete).await.unwrap();
    assert_eq!(found(&api, query("quarz")).await, Vec::<String>::new());
    let deleted = pb::ListUsersRequest { state: pb::UserState::Deleted.into(), ..query("quarz") };
    assert_eq!(found(&api, deleted.clone()).await, ["Quarz"]);
    api.users().purge_user(pb::PurgeUserRequest { user_id: user.id.clone(), ..Default::default() }).await.unwrap();
    assert_eq!(found(&api, deleted).await, Vec::<String>::new());
}

#[both]
async fn every_user_is_found_whatever_changes_while_many_are_indexed(t: Arc<Test>) {
    Box::pin(every_user_is_found_while_many_are_indexed(&t, "first_id")).await;
}

#[both]
async fn every_user_is_found_if_many_have_older_ids_than_the_last_indexed_one(t: Arc<Test>) {
    let last = "(SELECT id FROM cf_users ORDER BY id DESC LIMIT 1)";
    Box::pin(every_user_is_found_while_many_are_indexed(&t, last)).await;
}

/// Indexes users while some of them change, and then finds each. `last_id` is the last id that counts as indexed at the start.
async fn every_user_is_found_while_many_are_indexed(t: &Test, last_id: &str) {
    const MANY: usize = 9000;
    let row = |number: usize| pb::ImportedUser {
        external_id: number.to_string(),
        email: format!("number.{number:05}@example.com"),
        name: "Imported".to_owned(),
        ..Default::default()
    };
    for numbers in (0..MANY).collect::<Vec<_>>().chunks(500) {
        super::import::import(t, numbers.iter().copied().map(row).collect()).await;
    }
    t.database.indexed().await;
    let reset = format!("UPDATE cf_search_segments SET size = 0, last_id = {last_id} WHERE kind = 1");
    // Everything is pending again: whole segments are encoded while some of their users change.
    for statement in [
        "DELETE FROM cf_search_postings WHERE kind = 1",
        "DELETE FROM cf_search_members WHERE kind = 1",
        "DELETE FROM cf_search_segments WHERE kind = 1 AND segment > 0",
        &reset,
        "INSERT INTO cf_search_pending (kind, id, changes) SELECT 1, id, 0 FROM cf_users",
    ] {
        t.database.execute(statement).await;
    }
    let api = t.admin();
    let by_email = async |number: usize| {
        let request = pb::ListUsersRequest { page_size: 100, ..query(&row(number).email) };
        found(&api, request).await
    };
    let mut changed = Vec::new();
    for number in (0..MANY).step_by(180) {
        let request = pb::GetUserByEmailRequest { email: row(number).email };
        let user = api.users().get_user_by_email(request).await.answered().user.unwrap();
        let update = pb::UpdateUserRequest {
            user_id: user.id,
            name: format!("Quixote {number}"),
            update_mask: mask(&["name"]),
            ..Default::default()
        };
        api.users().update_user(update).await.unwrap();
        changed.push(format!("Quixote {number}"));
    }
    changed.sort_unstable();
    for _ in 0..2 {
        // Ids of one millisecond are in no order.
        let mut names = found(&api, query("quixote")).await;
        names.sort_unstable();
        assert_eq!(names, changed);
        let searches = async |start: usize| {
            for number in (start..MANY).step_by(890) {
                assert_eq!(by_email(number).await, ["Imported"], "{number}");
            }
        };
        // While the job moves them into segments.
        tokio::join!(searches(1), searches(2), searches(3), searches(4), t.database.indexed());
    }
    let sizes = t.database.texts("SELECT size || '' AS value FROM cf_search_segments WHERE kind = 1").await;
    let sizes: Vec<usize> = sizes.iter().map(|size| size.parse().unwrap()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), MANY + 1, "{sizes:?}");
    assert_eq!(sizes.len(), 3, "{sizes:?}");
}

#[both]
async fn a_search_shows_no_more_than_the_caller_reaches(t: Arc<Test>) {
    let (ada, bob) = (named(&t, "Ada Smith", "a@acme.test").await, named(&t, "Bob Smith", "b@acme.test").await);
    named(&t, "Eve Smith", "e@other.test").await;
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "member").await;
    let in_acme = pb::ListUsersRequest { organization_id: acme.id.clone(), ..query("smith") };
    assert_eq!(found(&t.admin(), in_acme.clone()).await, ["Ada Smith", "Bob Smith"]);
    assert_eq!(found(&t.admin(), query("smith")).await, ["Ada Smith", "Bob Smith", "Eve Smith"]);
    for key in [t.organization_key(&acme).await, t.user_key(&ada).await] {
        let api = t.with_key(&key);
        assert_eq!(found(&api, query("smith")).await, ["Ada Smith", "Bob Smith"]);
        assert_eq!(found(&api, query("bob")).await, ["Bob Smith"]);
        assert_eq!(found(&api, query("eve")).await, Vec::<String>::new());
        assert_eq!(found(&api, in_acme.clone()).await, ["Ada Smith", "Bob Smith"]);
    }
    let alone = named(&t, "Solo Smith", "s@acme.test").await;
    let api = t.with_key(&t.user_key(&alone).await);
    assert_eq!(found(&api, query("smith")).await, ["Solo Smith"]);
    assert_eq!(found(&api, query("ada")).await, Vec::<String>::new());
}

#[both]
async fn users_are_listed_newest_first_for_every_caller(t: Arc<Test>) {
    let (ada, bob, eve) = (t.user("ada").await, t.user("bob").await, t.user("eve").await);
    for members in [[&bob, &eve], [&eve, &bob]] {
        let organization = t.organization(&ada).await;
        for user in members {
            t.member(user, &organization, "member").await;
        }
    }
    let newest = pb::ListUsersRequest { order: pb::Order::NewestFirst.into(), ..Default::default() };
    let expected = [eve.name, bob.name, ada.name.clone()];
    assert_eq!(found(&t.with_key(&t.user_key(&ada).await), newest.clone()).await, expected);
    assert_eq!(found(&t.admin(), newest).await[..3], expected);
}

#[both]
async fn a_search_that_cannot_be_is_refused(t: Arc<Test>) {
    let prefixed = pb::ListUsersRequest { email_prefix: "a".to_owned(), ..Default::default() };
    for request in [
        query(&"x".repeat(101)),
        query(&"x".repeat(10_000)),
        query("   "),
        query("\u{301}"),
        query("a\u{202E}b"),
        pb::ListUsersRequest { query: "a".to_owned(), ..prefixed.clone() },
        pb::ListUsersRequest { order: pb::Order::NewestFirst.into(), ..prefixed },
        pb::ListUsersRequest { order: 9, ..Default::default() },
    ] {
        refused(t.admin().users().list_users(request).await, ErrorReason::InvalidArgument);
    }
}

#[both]
async fn users_are_listed_by_their_last_change_and_sign_in(t: Arc<Test>) {
    let (never, early, ..) = (t.user("never").await, t.signed_in_user("early").await.0);
    t.advance(10 * DAY);
    let (late, ..) = t.signed_in_user("late").await;
    let found = async |request: pb::ListUsersRequest| {
        let mut emails = emails(&t, request).await;
        emails.retain(|email| email != "admin@tenantry.local");
        emails
    };
    let since = pb::ListUsersRequest { last_sign_in_from: late.created_at, ..Default::default() };
    assert_eq!(found(since).await, std::slice::from_ref(&late.email));
    let absent = pb::ListUsersRequest { last_sign_in_before: late.created_at, ..Default::default() };
    assert_eq!(found(absent.clone()).await, [never.email.clone(), early.email.clone()]);
    let acme = t.organization(&early).await;
    t.member(&late, &acme, "member").await;
    let in_acme = pb::ListUsersRequest { organization_id: acme.id, ..absent };
    assert_eq!(found(in_acme).await, std::slice::from_ref(&early.email));
    let changed = pb::ListUsersRequest { updated_from: late.created_at, ..Default::default() };
    assert_eq!(found(changed.clone()).await, std::slice::from_ref(&late.email));
    t.suspend(&never).await;
    assert_eq!(found(changed).await, [never.email, late.email]);
}
