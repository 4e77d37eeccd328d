//! Every change has its event, for every changing method of the descriptor set.

use std::{collections::BTreeSet, sync::Arc};

use prost::Message as _;
use prost_reflect::{MethodDescriptor, Value};
use prost_types::method_options::IdempotencyLevel;
use tenantry::{
    models::{Action, stored::StoredText},
    pb::{self, ErrorReason, create_api_key_request::Owner},
};
use uuid::Uuid;

use crate::support::{
    Answered as _, Backend, Test, both, database,
    follow::{actions, list, newest, since},
    raw,
    refusal::{name, reason_of},
    refused,
    request::{World, encode},
};

/// The option `emits` of a method.
fn emits(method: &MethodDescriptor) -> Vec<String> {
    let extension = method.parent_pool().get_extension_by_name("tenantry.v1.emits").unwrap();
    let value = method.options().get_extension(&extension).into_owned();
    let actions = value.as_message().unwrap().get_field_by_name("actions").unwrap().into_owned();
    actions.as_list().unwrap().iter().map(|action| action.as_str().unwrap().to_owned()).collect()
}

fn level(method: &MethodDescriptor) -> IdempotencyLevel {
    let options = method.options();
    let number = options.get_field_by_name("idempotency_level").and_then(|value| value.as_enum_number());
    IdempotencyLevel::try_from(number.unwrap_or_default()).unwrap()
}

/// The methods that change something.
pub fn changing() -> Vec<MethodDescriptor> {
    raw::methods().into_iter().filter(|method| level(method) == IdempotencyLevel::IdempotencyUnknown).collect()
}

/// Creates a world in which a method has something to change, and the request for it.
pub async fn ready(t: &Test, method: &MethodDescriptor) -> (World, Vec<u8>) {
    let world = World::make(t).await;
    let other = t.user("other").await;
    let organization = pb::Organization { id: world.organization_id.clone(), ..Default::default() };
    let admin = t.admin();
    let mut request = world.request(method);
    match method.name() {
        "CreateMembership" => request.set_field_by_name("user_id", Value::String(other.id.clone())),
        "BatchCreateMemberships" => {
            let items = request.get_field_by_name_mut("requests").unwrap().as_list_mut().unwrap();
            items[0].as_message_mut().unwrap().set_field_by_name("user_id", Value::String(other.id.clone()));
        }
        "DeleteUser"
        | "DeleteOwnUser"
        | "SuspendUser"
        | "PurgeUser"
        | "DeleteMembership"
        | "UpdateMembership"
        | "DisableMembership"
        | "BatchSuspendUsers"
        | "BatchDeleteMemberships"
        | "BatchUpdateMemberships" => {
            t.member(&other, &organization, "owner").await;
        }
        "EnableMembership" => {
            t.member(&other, &organization, "owner").await;
            let membership = t.membership(&world.user.id, &organization.id).await.unwrap();
            t.disable(&membership).await;
        }
        "EnableApiKey" => {
            let disable = pb::DisableApiKeyRequest { api_key_id: world.api_key_id.clone(), ..Default::default() };
            admin.api_keys().disable_api_key(disable).await.unwrap();
        }
        "TransferOwnership" => {
            t.member(&other, &organization, "viewer").await;
            request.set_field_by_name("new_owner_user_id", Value::String(other.id.clone()));
        }
        "LeaveOrganization" => {
            t.member(&t.first_admin().await, &organization, "viewer").await;
        }
        // The world's user already has mailed tokens, which are returned again without an event.
        "StartEmailVerification" => request.set_field_by_name("user_id", Value::String(other.id.clone())),
        "StartPasswordReset" => request.set_field_by_name("email", Value::String(other.email.clone())),
        "ReactivateUser" | "BatchReactivateUsers" => {
            t.member(&other, &organization, "owner").await;
            t.suspend(&world.user).await;
        }
        "UndeleteUser" => {
            t.member(&other, &organization, "owner").await;
            let delete = pb::DeleteUserRequest { user_id: world.user.id.clone(), ..Default::default() };
            admin.users().delete_user(delete).await.unwrap();
        }
        "RevokePlatformAdmin" => {
            let grant = pb::GrantPlatformAdminRequest { user_id: world.user.id.clone(), ..Default::default() };
            admin.users().grant_platform_admin(grant).await.unwrap();
        }
        "ReactivateOrganization" => {
            let id = world.organization_id.clone();
            let suspend = pb::SuspendOrganizationRequest { organization_id: id, ..Default::default() };
            admin.organizations().suspend_organization(suspend).await.unwrap();
        }
        "UndeleteOrganization" => {
            let id = world.organization_id.clone();
            let delete = pb::DeleteOrganizationRequest { organization_id: id, ..Default::default() };
            admin.organizations().delete_organization(delete).await.unwrap();
        }
        _ => {}
    }
    (world, encode(&request))
}

/// Makes every insert of an event fail, or lets it succeed again.
async fn break_events(t: &Test, broken: bool) {
    let sql = match (&t.database, broken) {
        (database::TestDatabase::Sqlite(_), true) => {
            "CREATE TRIGGER fault BEFORE INSERT ON cf_events BEGIN SELECT RAISE(ABORT, 'fault'); END;"
        }
        (database::TestDatabase::Postgres(_), true) => {
            "CREATE OR REPLACE FUNCTION fault() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'fault'; END $$ LANGUAGE plpgsql; \
             CREATE TRIGGER fault BEFORE INSERT ON cf_events FOR EACH ROW EXECUTE FUNCTION fault();"
        }
        (database::TestDatabase::Sqlite(_), false) => "DROP TRIGGER fault;",
        (database::TestDatabase::Postgres(_), false) => "DROP TRIGGER fault ON cf_events;",
    };
    t.database.execute(sql).await;
}

#[test]
fn every_action_is_left_by_a_method_and_every_method_leaves_known_ones() {
    let known: BTreeSet<&str> = Action::ALL.iter().map(StoredText::as_stored).collect();
    let methods = raw::methods();
    let left: BTreeSet<String> = methods.iter().flat_map(emits).collect();
    let left: BTreeSet<&str> = left.iter().map(String::as_str).collect();
    assert!(left.is_subset(&known), "{left:?}");
    // These events belong to refused calls of any method, and to the work that a purge leaves.
    assert_eq!(
        known.difference(&left).copied().collect::<Vec<_>>(),
        ["api_key.rejected", "call.denied", "user.erased"]
    );
}

#[test]
fn every_method_says_whether_it_changes_something_and_which_events_it_leaves() {
    for method in raw::methods() {
        let (level, emits) = (level(&method), emits(&method));
        let has_request_id = method.input().get_field_by_name("request_id").is_some();
        let expected = match level {
            IdempotencyLevel::NoSideEffects => (false, false),
            IdempotencyLevel::Idempotent => (true, false),
            IdempotencyLevel::IdempotencyUnknown => (true, true),
        };
        assert_eq!((!emits.is_empty(), has_request_id), expected, "{}", method.full_name());
    }
    assert!(changing().len() >= 29);
}

#[both]
async fn every_method_that_changes_something_leaves_its_event(t: Arc<Test>) {
    for method in raw::methods() {
        let (world, request) = ready(&t, &method).await;
        let key = t.admin_key_for(&method).await;
        let last = newest(&t.admin()).await;
        let request_id = Uuid::new_v4().to_string();
        let mut request = prost_reflect::DynamicMessage::decode(method.input(), request.as_slice()).unwrap();
        let changes = method.input().get_field_by_name("request_id").is_some();
        if changes {
            request.set_field_by_name("request_id", Value::String(request_id.clone()));
        }
        let mut metadata = raw::bearer(&[&key]);
        metadata.insert("x-request-id", "the-call".parse().unwrap());
        metadata.insert("x-event-why", "test".parse().unwrap());
        let answer = raw::call(&t.anonymous(), &raw::path(&method), encode(&request), metadata).await;
        let answer = answer.unwrap_or_else(|status| panic!("{}: {status:?}", method.full_name()));

        let events = since(&t.admin(), last).await;
        let (found, emits) = (actions(&events), emits(&method));
        let counted = found.iter().filter(|action| emits.first().is_some_and(|first| first == *action)).count();
        assert_eq!(counted, emits.len().min(1), "{}: {found:?}", method.full_name());
        assert!(
            found.iter().all(|action| emits.iter().any(|emitted| emitted == action)),
            "{}: {found:?}",
            method.full_name()
        );
        for event in &events {
            let actor = event.actor.clone().unwrap();
            assert_eq!((actor.kind(), actor.call_id.as_str()), (pb::ActorKind::PlatformAdmin, "the-call"));
            assert_eq!(event.method, method.full_name());
            // What the caller says of a person goes with the person.
            let why = event.metadata.get("why").map(String::as_str);
            assert_eq!(why, (!event.is_erased).then_some("test"), "{}", method.full_name());
            assert_eq!(event.request_id, if changes { request_id.as_str() } else { "" });
            assert!(event.resource_type != 0 && event.resource_id.len() == 36);
            // The secrets of the world and those in the answer.
            let bytes = event.encode_to_vec();
            let text = String::from_utf8_lossy(&bytes);
            let reported = String::from_utf8_lossy(&answer).into_owned();
            let secrets = ["cf_live_", "cf_rt_", "cf_inv_"]
                .iter()
                .flat_map(|prefix| reported.split(prefix).skip(1).map(str::to_owned).collect::<Vec<_>>());
            let secrets = secrets.map(|text| text.chars().take_while(char::is_ascii_alphanumeric).collect::<String>());
            // Without the public part of a key.
            let reported = secrets.filter(|text| text.len() >= 40).map(|text| text[12..40].to_owned());
            for secret in
                reported.chain([world.plaintext_token.clone(), world.plaintext_key.clone(), "canary".to_owned()])
            {
                assert!(!text.contains(&secret), "{}", method.full_name());
            }
        }
    }
}

#[both]
async fn a_change_whose_event_cannot_be_written_is_not_made(t: Arc<Test>) {
    for method in raw::methods() {
        if emits(&method).is_empty() {
            continue;
        }
        let (_, request) = ready(&t, &method).await;
        let key = t.admin_key_for(&method).await;
        let before = t.database.rows().await;
        break_events(&t, true).await;
        let call = async || raw::call(&t.anonymous(), &raw::path(&method), request.clone(), raw::bearer(&[&key])).await;
        refused(call().await, ErrorReason::Unavailable);
        assert_eq!(t.database.rows().await, before, "{}", method.full_name());
        break_events(&t, false).await;
        // Only the event made the call fail.
        call().await.unwrap();
    }
}

#[both]
async fn dependents_of_an_erased_user_have_events(t: Arc<Test>) {
    let (world, other) = (World::make(&t).await, t.user("other").await);
    let organization = pb::Organization { id: world.organization_id.clone(), ..Default::default() };
    t.member(&other, &organization, "owner").await;
    let own = t.with_key(&t.user_key(&world.user).await);
    let created = pb::CreateApiKeyRequest {
        owner: Some(Owner::OrganizationId(organization.id.clone())),
        name: "created".to_owned(),
        scopes: vec!["users:read".to_owned()],
        environment: pb::ApiKeyEnvironment::Live.into(),
        ..Default::default()
    };
    let created = own.api_keys().create_api_key(created).await.answered().api_key.unwrap();
    let last = newest(&t.admin()).await;
    let purge = pb::PurgeUserRequest { user_id: world.user.id.clone(), ..Default::default() };
    t.admin().users().purge_user(purge).await.unwrap();
    let events = since(&t.admin(), last).await;
    let reported: BTreeSet<(&str, &str)> =
        events.iter().map(|event| (event.action.as_str(), event.resource_id.as_str())).collect();
    let expected = [
        ("membership.deleted", world.membership_id.as_str()),
        ("oauth_account.unlinked", &world.oauth_account_id),
        ("session.revoked", &world.session_id),
        ("api_key.creator_erased", &created.id),
        ("user.purged", &world.user.id),
    ];
    assert!(expected.iter().all(|one| reported.contains(one)), "{reported:?}");
    assert_eq!(actions(&events).iter().filter(|action| **action == "api_key.deleted").count(), 1);
    assert_eq!(events.len(), expected.len() + 1);
    let gone = events.iter().find(|event| event.action == "membership.deleted").unwrap();
    assert_eq!((&gone.organization_id, &gone.resource), (&world.organization_id, &None));
}

#[both]
async fn denied_calls_are_reported_once_and_then_together(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let key = t.user_key(&ada).await;
    let create =
        || pb::CreateUserRequest { email: "x@example.com".to_owned(), name: "X".to_owned(), ..Default::default() };
    let denials = || pb::ListEventsRequest { actions: vec!["call.denied".to_owned()], ..Default::default() };
    for _ in 0..10 {
        refused(t.with_key(&key).users().create_user(create()).await, ErrorReason::PlatformAdminRequired);
    }
    let events = list(&t.admin(), denials()).await;
    assert_eq!(events.len(), 1);
    let event = &events[0];
    assert_eq!((event.reason(), event.count), (ErrorReason::PlatformAdminRequired, 1));
    assert_eq!((event.method.as_str(), &event.user_id), ("tenantry.v1.UserService.CreateUser", &ada.id));
    assert_eq!(event.actor.as_ref().unwrap().user_id, ada.id);
    t.advance(std::time::Duration::from_secs(61));
    refused(t.with_key(&key).users().create_user(create()).await, ErrorReason::PlatformAdminRequired);
    let counts: Vec<i32> = list(&t.admin(), denials()).await.iter().map(|event| event.count).collect();
    assert_eq!(counts, [10, 1]);
    // A user sees the refusals of its own calls.
    assert_eq!(list(&t.with_key(&key), denials()).await.len(), 2);
}

#[both]
async fn a_refused_key_is_reported_to_its_owner(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (key, text) = t.key(Owner::UserId(ada.id.clone()), &["*"]).await;
    let revoke = pb::RevokeApiKeyRequest { api_key_id: key.id.clone(), ..Default::default() };
    t.admin().api_keys().revoke_api_key(revoke).await.unwrap();
    let get = || pb::GetUserRequest { user_id: ada.id.clone() };
    refused(t.with_key(&text).users().get_user(get()).await, ErrorReason::Unauthenticated);
    refused(t.with_key(&text).users().get_user(get()).await, ErrorReason::Unauthenticated);
    let of_key = || pb::ListEventsRequest { resource_id: key.id.clone(), ..Default::default() };
    // The event is written in the background.
    while list(&t.admin(), of_key()).await.len() < 3 {
        tokio::task::yield_now().await;
    }
    let events = list(&t.admin(), of_key()).await;
    assert_eq!(actions(&events), ["api_key.rejected", "api_key.revoked", "api_key.created"]);
    assert_eq!(name(events[0].reason()), "UNAUTHENTICATED");
}

#[both]
async fn reuse_of_a_token_and_the_opening_of_tokens_are_reported(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (token, text) = t.session(&ada).await;
    t.rotate(&text).await.unwrap();
    refused(t.rotate(&text).await, ErrorReason::RefreshTokenRejected);
    let account = t.oauth_account(&ada).await;
    let get = pb::GetOauthAccountTokensRequest { oauth_account_id: account.id.clone() };
    t.admin().oauth_accounts().get_oauth_account_tokens(get).await.unwrap();
    let events = list(&t.admin(), pb::ListEventsRequest { user_id: ada.id.clone(), ..Default::default() }).await;
    assert_eq!(
        actions(&events),
        [
            "oauth_account.tokens_opened",
            "oauth_account.linked",
            "session.reused",
            "session.refreshed",
            "session.created",
            "user.created"
        ],
    );
    assert!(events[2..5].iter().all(|event| event.resource_id == token.id));
    assert_eq!(events[0].changes, []);
}

#[both]
async fn statements_of_events_are_bounded_in_size(t: Arc<Test>) {
    let too_many: Vec<(String, String)> = (0..17).map(|n| (format!("x-event-{n}"), "x".to_owned())).collect();
    let long = vec![("x-event-long".to_owned(), "x".repeat(257))];
    let nameless = vec![("x-event-".to_owned(), "x".to_owned())];
    for (entries, field) in [(too_many, "metadata"), (long, "metadata.x-event-long"), (nameless, "metadata.x-event-")] {
        let mut request = tonic::Request::new(pb::CreateUserRequest {
            email: "x".to_owned(),
            name: "X".to_owned(),
            request_id: "x".to_owned(),
            ..Default::default()
        });
        for (name, value) in entries {
            let name: tonic::metadata::MetadataKey<tonic::metadata::Ascii> = name.parse().unwrap();
            request.metadata_mut().insert(name, value.parse().unwrap());
        }
        let status = refused(t.admin().users().create_user(request).await, ErrorReason::InvalidArgument);
        // All errors are reported at once.
        assert_eq!(crate::support::refusal::fields(&status), [field, "request_id", "email"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_leaves_events_of_the_system() {
    use tenantry::{clock::SystemClock, db::Database, security::token::SecretPrefixes, server::bootstrap};
    crate::support::run(Backend::Sqlite, &[], |t| async move {
        let settings = crate::support::args(&t.database.url(), &[]).database;
        let db = Database::open(&settings, std::time::Duration::from_mins(1)).await.unwrap();
        bootstrap::create_admin(&db, &SystemClock, &SecretPrefixes::default(), ("ada@example.com", "Ada"), false)
            .await
            .unwrap();
        let events = list(&t.admin(), pb::ListEventsRequest::default()).await;
        assert_eq!(actions(&events), ["api_key.created", "user.created", "api_key.created", "user.created"]);
        assert!(events.iter().all(|event| event.actor.as_ref().unwrap().kind() == pb::ActorKind::System));
        assert_eq!(
            reason_of(&t.anonymous().events().list_events(pb::ListEventsRequest::default()).await.unwrap_err()),
            "UNAUTHENTICATED"
        );
    })
    .await;
}
