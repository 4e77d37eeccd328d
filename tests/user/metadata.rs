//! Metadata of users: single keys, what only platform admins see, and filters.

use std::sync::Arc;

use prost_types::{Struct, value::Kind};
use tenantry::pb::{self, ErrorReason, event::Resource, export_snapshot_response::Item};
use tonic::Status;

use crate::support::{
    Answered as _, Api, Test, both, given::unique, having, json, mask, mirror, object, refusal::fields, refused, words,
};

/// Number of rounds of the race.
const ROUNDS: usize = 100;

fn update(user: &pb::User, paths: &[&str], metadata: Option<Struct>) -> pb::UpdateUserRequest {
    pb::UpdateUserRequest { user_id: user.id.clone(), metadata, update_mask: mask(paths), ..Default::default() }
}

fn update_private(user: &pb::User, paths: &[&str], private_metadata: Option<Struct>) -> pb::UpdateUserRequest {
    pb::UpdateUserRequest { private_metadata, ..update(user, paths, None) }
}

async fn updated(api: &Api, request: pb::UpdateUserRequest) -> Result<pb::User, Status> {
    Ok(api.users().update_user(request).await?.into_inner().user.unwrap())
}

/// The names of the users that a list returns, page by page.
async fn found(api: &Api, request: pb::ListUsersRequest) -> Vec<String> {
    let (mut names, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListUsersRequest { page_token, page_size: 2, ..request.clone() };
        let page = api.users().list_users(request).await.answered();
        names.extend(page.users.into_iter().map(|user| user.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return names;
        }
    }
}

fn with(key: &str, value: &str) -> pb::ListUsersRequest {
    pb::ListUsersRequest { metadata_filter: having(key, value), ..Default::default() }
}

#[both]
async fn a_mask_of_keys_changes_them_and_leaves_all_others(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let before = json(&[("a", words("1")), ("b.c", words("2")), ("keep", words("3"))]);
    updated(&t.admin(), update(&ada, &["metadata"], before)).await.unwrap();
    let sent = json(&[("a", Kind::NumberValue(4.0)), ("d`e", Kind::BoolValue(true)), ("not named", words("5"))]);
    let paths = ["metadata.a", "metadata.`b.c`", "metadata.`d``e`", "metadata.never"];
    let after = updated(&t.admin(), update(&ada, &paths, sent)).await.unwrap();
    let expected = json(&[("a", Kind::NumberValue(4.0)), ("d`e", Kind::BoolValue(true)), ("keep", words("3"))]);
    assert_eq!(after.metadata, expected);
    assert_eq!(t.reload_user(&ada.id).await, after);
    // The user itself may.
    let api = t.with_key(&t.user_key(&ada).await);
    let last = updated(&api, update(&ada, &["metadata.a", "metadata.keep"], None)).await.unwrap();
    assert_eq!(last.metadata, json(&[("d`e", Kind::BoolValue(true))]));
}

#[both]
async fn a_merge_that_would_exceed_a_limit_is_refused_whole(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (half, names) = ("x".repeat(9_000), (0..64).map(|key| format!("k{key}")).collect::<Vec<_>>());
    let full: Vec<(&str, Kind)> = names.iter().map(|name| (name.as_str(), words("x"))).collect();
    for (stored, more) in [(object("one", &half), object("two", &half)), (json(&full), object("two", "x"))] {
        let before = updated(&t.admin(), update(&ada, &["metadata"], stored)).await.unwrap();
        let request =
            pb::UpdateUserRequest { name: "Changed".to_owned(), ..update(&ada, &["name", "metadata.two"], more) };
        let status = refused(t.admin().users().update_user(request).await, ErrorReason::InvalidArgument);
        assert_eq!(fields(&status), ["metadata"]);
        assert_eq!(t.reload_user(&ada.id).await, before);
    }
}

#[both]
async fn a_mask_that_does_not_name_keys_well_is_refused(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (long, huge) = (format!("metadata.{}", "x".repeat(129)), format!("metadata.`{}`", "x".repeat(16 * 1024)));
    for path in [
        "metadata.",
        "metadata.``",
        "metadata.a.b",
        "metadata.`a`b`",
        "metadata.`a",
        "metadata.a b",
        "metadata.`a\0`",
        "name.a",
        "settings.a",
        &long,
        &huge,
    ] {
        let status = refused(updated(&t.admin(), update(&ada, &[path], None)).await, ErrorReason::InvalidArgument);
        assert_eq!(fields(&status), ["update_mask"], "{path:.40}");
    }
    let many: Vec<String> = (0..101).map(|key| format!("metadata.k{key}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for paths in [&["metadata", "metadata.a"][..], &many] {
        refused(updated(&t.admin(), update(&ada, paths, None)).await, ErrorReason::InvalidArgument);
    }
    updated(&t.admin(), update(&ada, &many[..100], None)).await.unwrap();
    assert_eq!(t.reload_user(&ada.id).await.metadata, Some(Struct::default()));
}

#[both]
async fn an_object_with_bad_keys_is_refused(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (long, names) = ("k".repeat(129), (0..65).map(|key| format!("k{key}")).collect::<Vec<_>>());
    let many: Vec<(&str, Kind)> = names.iter().map(|name| (name.as_str(), words("x"))).collect();
    for bad in
        [object("", "x"), object(&long, "x"), object("a\0", "x"), object(&"k".repeat(16 * 1024), "x"), json(&many)]
    {
        let status = refused(updated(&t.admin(), update(&ada, &["metadata"], bad)).await, ErrorReason::InvalidArgument);
        assert_eq!(fields(&status), ["metadata"]);
    }
    // Below the top level, keys are only bounded by the size.
    let inner = Kind::StructValue(json(&[("", words("x")), (long.as_str(), words("x"))]).unwrap());
    updated(&t.admin(), update(&ada, &["metadata"], json(&[("inner", inner)]))).await.unwrap();
}

#[both]
async fn two_services_that_each_keep_one_key_never_lose_the_others_write(t: Arc<Test>) {
    let ada = t.user("ada").await;
    for round in 0..ROUNDS {
        let value = round.to_string();
        let write = async |key: &str| {
            let path = format!("metadata.{key}");
            updated(&t.admin(), update(&ada, &[&path], object(key, &value))).await.unwrap()
        };
        tokio::join!(write("billing"), write("crm"));
        let expected = json(&[("billing", words(&value)), ("crm", words(&value))]);
        assert_eq!(t.reload_user(&ada.id).await.metadata, expected, "round {round}");
    }
}

#[both]
async fn private_metadata_is_written_and_seen_by_platform_admins_only(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "member").await;
    let secret = object("risk", "canary");
    let request = pb::CreateUserRequest {
        email: format!("{}@example.com", unique("eve")),
        name: "Eve".to_owned(),
        private_metadata: secret.clone(),
        ..Default::default()
    };
    assert_eq!(t.admin().users().create_user(request).await.answered().user.unwrap().private_metadata, secret);
    let whole = updated(&t.admin(), update_private(&ada, &["private_metadata.risk"], secret.clone())).await.unwrap();
    assert_eq!(whole.private_metadata, secret);
    assert_eq!(t.reload_user(&ada.id).await, whole);
    let by_email = pb::GetUserByEmailRequest { email: ada.email.clone() };
    assert_eq!(t.admin().users().get_user_by_email(by_email.clone()).await.answered().user, Some(whole.clone()));
    let open = pb::User { private_metadata: None, ..whole };
    for key in [t.user_key(&ada).await, t.user_key(&bob).await, t.organization_key(&acme).await] {
        let api = t.with_key(&key);
        let get = pb::GetUserRequest { user_id: ada.id.clone() };
        assert_eq!(api.users().get_user(get).await.answered().user, Some(open.clone()));
        assert_eq!(api.users().get_user_by_email(by_email.clone()).await.answered().user, Some(open.clone()));
        let list = pb::ListUsersRequest { organization_id: acme.id.clone(), ..Default::default() };
        let listed = api.users().list_users(list).await.answered().users;
        assert!(listed.contains(&open) && listed.iter().all(|user| user.private_metadata.is_none()));
        let batch = pb::BatchGetUsersRequest { user_ids: vec![ada.id.clone()], ..Default::default() };
        let answer = api.users().batch_get_users(batch).await.answered();
        assert!(!format!("{answer:?}").contains("canary"));
        let filter = pb::ListUsersRequest { private_metadata_filter: having("risk", "canary"), ..Default::default() };
        refused(api.users().list_users(filter).await, ErrorReason::PlatformAdminRequired);
    }
    let own = t.with_key(&t.user_key(&ada).await);
    for paths in [&["private_metadata"][..], &["private_metadata.risk"], &["external_id"]] {
        refused(updated(&own, update_private(&ada, paths, None)).await, ErrorReason::PlatformAdminRequired);
    }
    // What the user changes leaves it as it is, and does not show it.
    let request = pb::UpdateUserRequest { name: "Ada".to_owned(), ..update(&ada, &["name"], None) };
    assert_eq!(updated(&own, request).await.unwrap().private_metadata, None);
    assert_eq!(t.reload_user(&ada.id).await.private_metadata, secret);
}

#[both]
async fn events_and_snapshots_show_private_metadata_to_platform_admins_only(t: Arc<Test>) {
    let ada = t.user("ada").await;
    updated(&t.admin(), update_private(&ada, &["private_metadata"], object("risk", "canary"))).await.unwrap();
    let request = pb::UpdateUserRequest { name: "Ada".to_owned(), ..update(&ada, &["name"], None) };
    let whole = updated(&t.admin(), request).await.unwrap();
    let list = pb::ListEventsRequest { resource_id: ada.id.clone(), ..Default::default() };
    let events = t.admin().events().list_events(list.clone()).await.answered().events;
    assert!(events.iter().any(|event| event.resource == Some(Resource::User(whole.clone()))));
    assert!(events.iter().any(|event| event.changes.iter().any(|change| change.field == "private_metadata")));
    let own = t.with_key(&t.user_key(&ada).await);
    let events = own.events().list_events(list).await.answered().events;
    assert!(events.len() >= 3, "{events:?}");
    assert!(!format!("{events:?}").contains("canary"));
    // The event is there, since the etag has changed, and tells nothing.
    assert!(events.iter().any(|event| event.action == "user.updated" && event.changes.is_empty()));
    let items = mirror::export(&t.admin(), vec![pb::ResourceType::User], "").await.unwrap();
    assert!(items.contains(&Item::User(whole)));
}

#[both]
async fn an_imported_user_has_private_metadata_and_is_found_by_it(t: Arc<Test>) {
    let user = pb::ImportedUser {
        external_id: unique("external-"),
        email: format!("{}@example.com", unique("imported")),
        name: "Imported".to_owned(),
        metadata: object("team", "engines"),
        private_metadata: object("risk", "high"),
        ..Default::default()
    };
    let bad = pb::ImportedUser { private_metadata: object("", "x"), external_id: unique("bad-"), ..user.clone() };
    let outcomes = super::import::import(&t, vec![user, bad]).await;
    assert!(matches!(&outcomes[1], Some(pb::imported_user_result::Outcome::Error(error))
        if error.violations == ["private_metadata must have keys of 1 to 128 bytes at its top level"]));
    let request = pb::ListUsersRequest { private_metadata_filter: having("risk", "high"), ..with("team", "engines") };
    assert_eq!(found(&t.admin(), request.clone()).await, ["Imported"]);
    let other = pb::ListUsersRequest { private_metadata_filter: having("risk", "low"), ..request };
    assert_eq!(found(&t.admin(), other).await, Vec::<String>::new());
}

#[both]
async fn users_are_found_by_the_value_that_a_key_has_now(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let stored = json(&[
        ("text", words("a b")),
        ("number", Kind::NumberValue(5.0)),
        ("fraction", Kind::NumberValue(-0.25)),
        ("large", Kind::NumberValue(9_007_199_254_740_991.0)),
        ("yes", Kind::BoolValue(true)),
        ("empty", words("")),
        ("nothing", Kind::NullValue(0)),
        ("long", words(&"x".repeat(257))),
    ]);
    updated(&t.admin(), update(&ada, &["metadata"], stored)).await.unwrap();
    for (key, value) in [
        ("text", "a b"),
        ("number", "5"),
        ("fraction", "-0.25"),
        ("large", "9007199254740991"),
        ("yes", "true"),
        ("empty", ""),
    ] {
        assert_eq!(found(&t.admin(), with(key, value)).await, ["ada"], "{key}");
    }
    for (key, value) in [("text", "A b"), ("text", "a"), ("other", "a b"), ("nothing", ""), ("nothing", "null")] {
        assert_eq!(found(&t.admin(), with(key, value)).await, Vec::<String>::new(), "{key} {value}");
    }
    // A text and a number of the same text are found together.
    updated(&t.admin(), update(&eve, &["metadata.number"], object("number", "5"))).await.unwrap();
    assert_eq!(found(&t.admin(), with("number", "5")).await, ["ada", "eve"]);
    updated(&t.admin(), update(&ada, &["metadata.number"], json(&[("number", Kind::NumberValue(6.0))]))).await.unwrap();
    assert_eq!(found(&t.admin(), with("number", "5")).await, ["eve"]);
    assert_eq!(found(&t.admin(), with("number", "6")).await, ["ada"]);
    updated(&t.admin(), update(&ada, &["metadata"], None)).await.unwrap();
    assert_eq!(found(&t.admin(), with("number", "6")).await, Vec::<String>::new());
    let (bad, long) = (having("", "x"), having("text", &"x".repeat(257)));
    for (filter, field) in [(bad, "metadata_filter.key"), (long, "metadata_filter.value")] {
        let request = pb::ListUsersRequest { metadata_filter: filter, ..Default::default() };
        let status = refused(t.admin().users().list_users(request).await, ErrorReason::InvalidArgument);
        assert_eq!(fields(&status), [field]);
    }
}

#[both]
async fn a_filter_finds_every_match_within_reach_once_and_with_other_filters(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let mut inside = Vec::new();
    for number in 0..7 {
        let user = t.user(&format!("u{number}")).await;
        updated(&t.admin(), update(&user, &["metadata"], object("team", "engines"))).await.unwrap();
        if number % 2 == 0 {
            t.member(&user, &acme, "member").await;
            inside.push(user);
        }
    }
    let names = |users: &[pb::User]| users.iter().map(|user| user.name.clone()).collect::<Vec<_>>();
    assert_eq!(found(&t.admin(), with("team", "engines")).await.len(), 7);
    let of_acme = pb::ListUsersRequest { organization_id: acme.id.clone(), ..with("team", "engines") };
    for key in [t.user_key(&ada).await, t.organization_key(&acme).await] {
        let api = t.with_key(&key);
        assert_eq!(found(&api, with("team", "engines")).await, names(&inside));
        assert_eq!(found(&api, of_acme.clone()).await, names(&inside));
        assert_eq!(found(&api, with("team", "none")).await, Vec::<String>::new());
        let by_email = pb::ListUsersRequest { email_prefix: "u2".to_owned(), ..with("team", "engines") };
        assert_eq!(found(&api, by_email).await, ["u2"]);
    }
    assert_eq!(found(&t.admin(), of_acme).await, names(&inside));
    t.suspend(&inside[0]).await;
    let delete = pb::DeleteUserRequest { user_id: inside[1].id.clone(), ..Default::default() };
    t.admin().users().delete_user(delete).await.unwrap();
    let in_state = |state: pb::UserState| pb::ListUsersRequest { state: state.into(), ..with("team", "engines") };
    assert_eq!(found(&t.admin(), in_state(pb::UserState::Suspended)).await, ["u0"]);
    assert_eq!(found(&t.admin(), in_state(pb::UserState::Deleted)).await, ["u2"]);
    assert_eq!(found(&t.admin(), with("team", "engines")).await.len(), 6);
    let purge = pb::PurgeUserRequest { user_id: inside[1].id.clone(), ..Default::default() };
    t.admin().users().purge_user(purge).await.unwrap();
    assert_eq!(found(&t.admin(), in_state(pb::UserState::Deleted)).await, Vec::<String>::new());
    let left = "SELECT key AS value FROM cf_metadata_entries WHERE value = 'engines'";
    assert_eq!(t.database.texts(left).await.len(), 6);
}

#[both]
async fn a_list_by_external_id_finds_the_one_within_reach(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    for user in [&ada, &eve] {
        super::get_by_external_id::name(&t, user, &format!("crm-{}", user.name)).await;
    }
    let by = |external_id: &str| pb::ListUsersRequest { external_id: external_id.to_owned(), ..Default::default() };
    let api = t.with_key(&t.organization_key(&acme).await);
    assert_eq!(found(&t.admin(), by("crm-eve")).await, ["eve"]);
    assert_eq!(found(&api, by("crm-ada")).await, ["ada"]);
    assert_eq!(found(&api, by("crm-eve")).await, Vec::<String>::new());
    let other = pb::ListUsersRequest { email_prefix: "nobody".to_owned(), ..by("crm-ada") };
    assert_eq!(found(&t.admin(), other).await, Vec::<String>::new());
    let delete = pb::DeleteUserRequest { user_id: eve.id.clone(), ..Default::default() };
    t.admin().users().delete_user(delete).await.unwrap();
    assert_eq!(found(&t.admin(), by("crm-eve")).await, Vec::<String>::new());
    let deleted = pb::ListUsersRequest { state: pb::UserState::Deleted.into(), ..by("crm-eve") };
    assert_eq!(found(&t.admin(), deleted).await, ["eve"]);
}

#[both]
async fn filters_by_value_combine_with_a_search_an_order_and_a_period(t: Arc<Test>) {
    let mut created = Vec::new();
    for (name, tier) in [("Ada Smith", "gold"), ("Bob Smith", "free"), ("Eve Smith", "gold"), ("Zoe Jones", "gold")] {
        let request = pb::CreateUserRequest {
            email: format!("{}@example.com", unique("combined")),
            name: name.to_owned(),
            metadata: object("tier", tier),
            external_id: name.to_owned(),
            ..Default::default()
        };
        created.push(t.admin().users().create_user(request).await.answered().user.unwrap());
        t.advance(std::time::Duration::from_secs(1));
    }
    let api = t.admin();
    let gold = with("tier", "gold");
    let newest = pb::ListUsersRequest { order: pb::Order::NewestFirst.into(), ..gold.clone() };
    assert_eq!(found(&api, newest.clone()).await, ["Zoe Jones", "Eve Smith", "Ada Smith"]);
    let early = pb::ListUsersRequest { created_before: created[3].created_at, ..newest };
    assert_eq!(found(&api, early.clone()).await, ["Eve Smith", "Ada Smith"]);
    let late = pb::ListUsersRequest { created_from: created[2].created_at, ..early };
    assert_eq!(found(&api, late).await, ["Eve Smith"]);
    let smiths = pb::ListUsersRequest { query: "smith".to_owned(), ..gold.clone() };
    assert_eq!(found(&api, smiths).await, ["Ada Smith", "Eve Smith"]);
    let named = pb::ListUsersRequest { external_id: "Eve Smith".to_owned(), ..Default::default() };
    for (query, expected) in [("smi", vec!["Eve Smith"]), ("jon", vec![])] {
        assert_eq!(found(&api, pb::ListUsersRequest { query: query.to_owned(), ..named.clone() }).await, expected);
    }
    let acme = t.organization(&created[0]).await;
    for user in &created[1..] {
        t.member(user, &acme, "member").await;
    }
    let of_acme = pb::ListUsersRequest {
        organization_id: acme.id,
        query: "smith".to_owned(),
        order: pb::Order::NewestFirst.into(),
        ..gold
    };
    assert_eq!(found(&api, of_acme).await, ["Eve Smith", "Ada Smith"]);
}
