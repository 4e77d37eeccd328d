//! What is left of a person after a purge: ids, actions and times.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use tenantry::{
    pb::{self, ErrorReason, create_api_key_request::Owner},
    server::Server,
};
use tonic::{Request, metadata::MetadataValue};
use uuid::Uuid;

use crate::support::{
    Answered as _, Api, Backend, DAY, Test, args, both,
    database::TestDatabase,
    follow::{Watch, actions, list},
    given::{PASSWORD, unique},
    mask,
    mirror::{every_kind, export},
    object, refused, run,
};

/// Longer than calls that began before a purge can take.
const SETTLED: Duration = Duration::from_mins(11);

/// A person, and every word by which one could be recognized.
struct Person {
    user: pb::User,
    words: Vec<String>,
    /// A request about the person that was answered, of a platform admin.
    request: pb::UpdateUserRequest,
    organization: pb::Organization,
}

/// A request with metadata for its events.
fn with_metadata<T>(message: T, name: &'static str, value: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(name, MetadataValue::try_from(value).unwrap());
    request
}

/// Creates a person who has left traces everywhere.
async fn person(t: &Test) -> Person {
    let word = unique("quixote");
    let of = |kind: &str| format!("{kind}-{word}");
    let (former, email) = (format!("{}@example.com", of("Former")), format!("{}@Example.com", of("Mail")));
    let admin = t.admin();
    let create = pb::CreateUserRequest {
        email: former.clone(),
        name: of("born"),
        avatar_url: format!("https://example.com/{}", of("face")),
        metadata: object("note", &of("noted")),
        private_metadata: object("rating", &of("rated")),
        external_id: of("external"),
        email_verified: true,
        request_id: Uuid::new_v4().to_string(),
    };
    let user = admin.users().create_user(create).await.answered().user.unwrap();
    let request = pb::UpdateUserRequest {
        user_id: user.id.clone(),
        email: email.clone(),
        name: of("called"),
        update_mask: mask(&["email", "name"]),
        request_id: Uuid::new_v4().to_string(),
        ..Default::default()
    };
    admin.users().update_user(with_metadata(request.clone(), "x-event-on-behalf-of", &of("ticket"))).await.unwrap();
    let user = t.reload_user(&user.id).await;
    let organization = t.organization(&t.user("owner").await).await;
    traces(t, &user, &organization, &former, &of).await;
    let mut words: Vec<String> =
        ["born", "face", "noted", "called", "ticket", "agent", "key", "kept", "subject", "oauth", "new"]
            .map(&of)
            .into();
    words.extend(["denied", "own", "rated", "external", "seat", "trial", "badge"].map(&of));
    words.extend([former, email, "198.51.100.77".to_owned(), "203.0.113.0".to_owned()]);
    Person { user, words, request, organization }
}

/// Leaves traces of a user: sessions, keys, links to a provider, tokens, invitations, calls.
async fn traces(
    t: &Test,
    user: &pb::User,
    organization: &pb::Organization,
    former: &str,
    of: &impl Fn(&str) -> String,
) {
    let admin = t.admin();
    t.give_password(user).await;
    let sign_in = pb::SignInRequest {
        email: user.email.clone(),
        password: PASSWORD.to_owned(),
        user_agent: of("agent"),
        ip_address: "198.51.100.77".to_owned(),
        ..Default::default()
    };
    admin.authentication().sign_in(sign_in.clone()).await.unwrap();
    let wrong = pb::SignInRequest { password: "wrong".to_owned(), ..sign_in };
    refused(admin.authentication().sign_in(wrong).await, ErrorReason::SignInRejected);
    let key = pb::CreateApiKeyRequest {
        owner: Some(Owner::UserId(user.id.clone())),
        name: of("key"),
        metadata: object("for", &of("kept")),
        scopes: vec!["*".to_owned()],
        environment: pb::ApiKeyEnvironment::Live.into(),
        allowed_ip_ranges: vec!["127.0.0.0/8".to_owned(), "203.0.113.0/24".to_owned()],
        request_id: Uuid::new_v4().to_string(),
        ..Default::default()
    };
    let key = admin.api_keys().create_api_key(key).await.answered().plaintext_key;
    let link = pb::LinkOauthAccountRequest {
        user_id: user.id.clone(),
        provider: "github".to_owned(),
        provider_user_id: of("subject"),
        email: format!("{}@example.com", of("oauth")),
        ..Default::default()
    };
    admin.oauth_accounts().link_oauth_account(link).await.unwrap();
    let new_email = format!("{}@example.com", of("new"));
    let change = pb::StartEmailChangeRequest { user_id: user.id.clone(), new_email, ..Default::default() };
    admin.authentication().start_email_change(change).await.unwrap();
    // Pending, sent again, and finished.
    let (pending, _) = t.invitation(organization, &user.email, "member").await;
    let resend = pb::ResendInvitationRequest { invitation_id: pending.id, ..Default::default() };
    admin.invitations().resend_invitation(resend).await.unwrap();
    let other = t.organization(&t.user("other").await).await;
    let (finished, _) = t.invitation(&other, former, "member").await;
    let revoke = pb::RevokeInvitationRequest { invitation_id: finished.id, ..Default::default() };
    admin.invitations().revoke_invitation(revoke).await.unwrap();
    t.invitation(&other, former, "member").await;
    // The organization's events carry the user as it became a member.
    let join = pb::CreateMembershipRequest {
        organization_id: other.id,
        user_id: user.id.clone(),
        role: "member".to_owned(),
        metadata: object("place", &of("seat")),
        private_metadata: object("plan", &of("trial")),
        external_id: of("badge"),
        ..Default::default()
    };
    admin.memberships().create_membership(join).await.unwrap();
    // Calls of the user: one that is done, about another resource, and one that is denied.
    let own = t.with_key(&key);
    let create = pb::CreateOrganizationRequest {
        name: "Theirs".to_owned(),
        slug: unique("theirs-"),
        owner_user_id: user.id.clone(),
        ..Default::default()
    };
    own.organizations().create_organization(with_metadata(create, "x-event-by", &of("own"))).await.unwrap();
    let purge = pb::PurgeUserRequest { user_id: user.id.clone(), ..Default::default() };
    let denied = own.users().purge_user(with_metadata(purge, "x-event-by", &of("denied"))).await;
    refused(denied, ErrorReason::PlatformAdminRequired);
}

/// The words that occur in some bytes, in any case.
fn found<'a>(words: &'a [String], bytes: &[u8]) -> Vec<&'a str> {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    words.iter().map(String::as_str).filter(|word| text.contains(&word.to_ascii_lowercase())).collect()
}

/// A copy of the database as a backup has it.
async fn backup(t: &Test) -> Vec<u8> {
    let TestDatabase::Sqlite(directory) = &t.database else { return t.database.bytes().await };
    let copy = directory.path().join(unique("backup"));
    t.database.execute(&format!("VACUUM INTO '{}'", copy.display())).await;
    std::fs::read(copy).unwrap()
}

/// Every event that a client can list.
async fn listed(t: &Test) -> Vec<pb::Event> {
    let mut events = Vec::new();
    let mut request = pb::ListEventsRequest { page_size: 1000, ..Default::default() };
    loop {
        let page = t.admin().events().list_events(request.clone()).await.answered();
        events.extend(page.events);
        if page.next_page_token.is_empty() {
            return events;
        }
        request.page_token = page.next_page_token;
    }
}

/// Follows a watch from a cursor until an erasure is complete. Returns the events.
async fn until_erased(api: &Api, cursor: &str, user: &pb::User) -> Vec<pb::Event> {
    let mut watch = Watch::resume(api, cursor).await;
    let mut events = Vec::new();
    loop {
        let event = watch.event().await;
        let is_last = event.action == "user.erased" && event.resource_id == user.id;
        events.push(event);
        if is_last {
            return events;
        }
    }
}

/// Asserts that nothing leads to a person.
async fn assert_erased(t: &Test, person: &Person, cursor: &str) {
    // Twice: the first time until everything is done, the second time as a client that begins now.
    until_erased(&t.admin(), cursor, &person.user).await;
    let watched = until_erased(&t.admin(), cursor, &person.user).await;
    let listed = listed(t).await;
    let exported = export(&t.admin(), every_kind(), "").await.unwrap();
    for (what, bytes) in [
        ("the events", format!("{listed:?}").into_bytes()),
        ("a watch from the beginning", format!("{watched:?}").into_bytes()),
        ("a snapshot", format!("{exported:?}").into_bytes()),
        ("the database", t.database.bytes().await),
        ("a backup", backup(t).await),
    ] {
        assert_eq!(found(&person.words, &bytes), Vec::<&str>::new(), "{what}");
    }
    // Ids, actions and times are left, and no address of the person.
    let own = listed.iter().filter(|event| event.user_id == person.user.id).collect::<Vec<_>>();
    let reported: BTreeSet<&str> = own.iter().map(|event| event.action.as_str()).collect();
    for action in
        ["user.created", "user.updated", "session.created", "oauth_account.linked", "call.denied", "user.purged"]
    {
        assert!(reported.contains(action), "{action} is missing: {reported:?}");
    }
    assert!(own.iter().all(|event| event.created_at.is_some() && event.metadata.is_empty()));
    assert!(own.iter().filter(|event| event.action != "user.erased").all(|event| event.is_erased), "{own:?}");
    let of_calls =
        listed.iter().filter_map(|event| event.actor.as_ref()).filter(|actor| actor.user_id == person.user.id);
    assert!(of_calls.clone().count() >= 2 && of_calls.clone().all(|actor| actor.ip_address.is_empty()));
    let left = t.database.texts("SELECT 'x' AS value FROM cf_erasures").await;
    assert!(left.is_empty());
}

/// The cursor of now.
async fn cursor(t: &Test) -> String {
    Watch::from_now(&t.admin()).await.cursor
}

async fn purge(t: &Test, user: &pb::User) {
    let purge = pb::PurgeUserRequest { user_id: user.id.clone(), purge_sole_organizations: true, ..Default::default() };
    t.admin().users().purge_user(purge).await.unwrap();
}

#[both]
async fn after_a_purge_nothing_leads_to_the_person(t: Arc<Test>) {
    let beginning = cursor(&t).await;
    let person = person(&t).await;
    // The search finds everything that it looks for.
    let before = [t.database.bytes().await, format!("{:?}", listed(&t).await).into_bytes()].concat();
    assert_eq!(found(&person.words, &before).len(), person.words.len(), "{:?}", found(&person.words, &before));
    purge(&t, &person.user).await;
    // What is little is erased at once.
    let events = format!("{:?}", listed(&t).await).into_bytes();
    assert_eq!(found(&person.words, &events), Vec::<&str>::new());
    t.advance(SETTLED);
    assert_erased(&t, &person, &beginning).await;
}

#[both(options = ["--sweep-interval", "1s"])]
async fn after_an_own_deletion_and_the_restore_window_nothing_leads_to_the_person(t: Arc<Test>) {
    let beginning = cursor(&t).await;
    let person = person(&t).await;
    let delete = pb::DeleteOwnUserRequest {
        user_id: person.user.id.clone(),
        password: PASSWORD.to_owned(),
        ip_address: "198.51.100.77".to_owned(),
        delete_sole_organizations: true,
        ..Default::default()
    };
    let deleted = t.admin().users().delete_own_user(delete).await.answered();
    assert_eq!(deleted.deleted_organization_ids.len(), 1);
    let mut watch = Watch::resume(&t.admin(), &beginning).await;
    t.advance(31 * DAY);
    while watch.event().await.action != "user.purged" {}
    t.advance(SETTLED);
    assert_erased(&t, &person, &beginning).await;
    // The organization that only the user had is gone with it.
    let theirs = t.database.texts("SELECT name AS value FROM cf_organizations WHERE name = 'Theirs'").await;
    assert!(theirs.is_empty());
}

#[both]
async fn an_invitation_sent_right_after_a_purge_keeps_its_address_in_its_events(t: Arc<Test>) {
    let person = t.user("person").await;
    let host = t.organization(&t.user("host").await).await;
    let mut watch = Watch::from_now(&t.admin()).await;
    purge(&t, &person).await;
    let (invitation, _) = t.invitation(&host, &person.email, "member").await;
    t.advance(SETTLED);
    while watch.event().await.action != "user.erased" {}
    let request = pb::ListEventsRequest { resource_id: invitation.id.clone(), ..Default::default() };
    let events = t.admin().events().list_events(request).await.answered().events;
    let [pb::Event { resource: Some(pb::event::Resource::Invitation(sent)), .. }] = &*events else {
        panic!("{events:?}")
    };
    assert_eq!((&sent.email, &sent.message), (&invitation.email, &invitation.message));
}

#[both]
async fn a_repeated_request_about_an_erased_user_is_neither_answered_nor_done_again(t: Arc<Test>) {
    let person = person(&t).await;
    // Its answer shows a user that it has not changed.
    let unchanged = pb::UpdateUserRequest { request_id: Uuid::new_v4().to_string(), ..person.request.clone() };
    t.admin().users().update_user(unchanged.clone()).await.unwrap();
    // Its answer shows an address, and not whose.
    let change = pb::StartEmailChangeRequest {
        user_id: person.user.id.clone(),
        new_email: "another@example.com".to_owned(),
        request_id: Uuid::new_v4().to_string(),
    };
    t.admin().authentication().start_email_change(change.clone()).await.unwrap();
    // Its answer shows an invitation, and not to whom.
    let invite = pb::CreateInvitationRequest {
        organization_id: t.organization(&t.user("host").await).await.id,
        email: person.user.email.to_uppercase(),
        role: "member".to_owned(),
        request_id: Uuid::new_v4().to_string(),
        ..Default::default()
    };
    t.admin().invitations().create_invitation(invite.clone()).await.unwrap();
    purge(&t, &person.user).await;
    refused(t.admin().users().update_user(person.request).await, ErrorReason::UserNotFound);
    refused(t.admin().users().update_user(unchanged).await, ErrorReason::UserNotFound);
    refused(t.admin().authentication().start_email_change(change).await, ErrorReason::UserNotFound);
    refused(t.admin().invitations().create_invitation(invite).await, ErrorReason::UserNotFound);
    // The answer of the purge itself holds nothing of the user.
    let (other, request_id) = (t.user("other").await, Uuid::new_v4().to_string());
    let purge = pb::PurgeUserRequest { user_id: other.id, request_id, ..Default::default() };
    for _ in 0..2 {
        t.admin().users().purge_user(purge.clone()).await.unwrap();
    }
}

#[both]
async fn a_repeated_batch_about_an_erased_user_is_not_answered(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let suspend = |user: &pb::User| pb::SuspendUserRequest { user_id: user.id.clone(), ..Default::default() };
    let request = pb::BatchSuspendUsersRequest {
        requests: vec![suspend(&ada), suspend(&bob)],
        request_id: Uuid::new_v4().to_string(),
    };
    for _ in 0..2 {
        t.admin().users().batch_suspend_users(request.clone()).await.unwrap();
    }
    purge(&t, &bob).await;
    refused(t.admin().users().batch_suspend_users(request).await, ErrorReason::UserNotFound);
}

#[both]
async fn an_invitation_to_an_erased_address_is_gone_and_its_tenant_is_reported(t: Arc<Test>) {
    let person = person(&t).await;
    let key = t.with_key(&t.organization_key(&person.organization).await);
    let of_tenant = || pb::ListInvitationsRequest {
        filter: Some(pb::list_invitations_request::Filter::OrganizationId(person.organization.id.clone())),
        ..Default::default()
    };
    assert_eq!(key.invitations().list_invitations(of_tenant()).await.answered().invitations.len(), 1);
    purge(&t, &person.user).await;
    assert!(key.invitations().list_invitations(of_tenant()).await.answered().invitations.is_empty());
    let of_tenant = || pb::ListEventsRequest { organization_id: person.organization.id.clone(), ..Default::default() };
    let events = list(&key, pb::ListEventsRequest { actions: vec!["invitation.*".to_owned()], ..of_tenant() }).await;
    assert_eq!(actions(&events), ["invitation.revoked", "invitation.resent", "invitation.created"]);
    assert!(events.iter().all(|event| event.is_erased));
    // A mirror still learns what was removed.
    assert!(events[0].resource.is_none() && !events[0].changes.is_empty());
    // A new invitation to the address is another matter.
    t.invitation(&person.organization, &person.user.email, "member").await;
    let events = list(&key, pb::ListEventsRequest { actions: vec!["invitation.*".to_owned()], ..of_tenant() }).await;
    assert!(!events[0].is_erased && events.len() == 4);
}

#[both]
async fn an_address_that_another_user_has_by_now_is_left_to_that_user(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&t.user("owner").await).await;
    t.invitation(&acme, &ada.email, "member").await;
    let delete = pb::DeleteUserRequest { user_id: ada.id.clone(), ..Default::default() };
    t.admin().users().delete_user(delete).await.unwrap();
    let again = pb::CreateUserRequest { email: ada.email.clone(), name: "Again".to_owned(), ..Default::default() };
    let again = t.admin().users().create_user(again).await.answered().user.unwrap();
    purge(&t, &ada).await;
    let to_address = pb::ListInvitationsRequest {
        filter: Some(pb::list_invitations_request::Filter::Email(ada.email.clone())),
        ..Default::default()
    };
    assert_eq!(t.admin().invitations().list_invitations(to_address).await.answered().invitations.len(), 1);
    let events = list(&t.admin(), pb::ListEventsRequest { user_id: again.id, ..Default::default() }).await;
    assert!(events.iter().all(|event| !event.is_erased));
    let events = list(&t.admin(), pb::ListEventsRequest { user_id: ada.id, ..Default::default() }).await;
    assert!(events.iter().all(|event| event.is_erased));
}

/// The rows of the search index that list a gram.
async fn grams(t: &Test) -> Vec<String> {
    let bytes = match &t.database {
        TestDatabase::Sqlite(_) => "hex(postings)",
        TestDatabase::Postgres(_) => "encode(postings, 'hex')",
    };
    let rows = format!(
        "SELECT kind || ' ' || segment || ' ' || bucket || ' ' || {bytes} AS value FROM cf_search_postings \
         WHERE length(postings) > 0 ORDER BY kind, segment, bucket"
    );
    t.database.texts(&rows).await
}

#[both]
async fn no_gram_of_an_erased_user_or_of_its_organization_is_left_in_the_search_index(t: Arc<Test>) {
    let beginning = cursor(&t).await;
    let other = t.organization(&t.user("other").await).await;
    t.database.indexed().await;
    let before = grams(&t).await;
    let create = pb::CreateUserRequest {
        email: "quixote@example.com".to_owned(),
        name: "Former Name".to_owned(),
        ..Default::default()
    };
    let user = t.admin().users().create_user(create).await.answered().user.unwrap();
    let sole = pb::CreateOrganizationRequest {
        name: "Windmills".to_owned(),
        slug: unique("windmills-"),
        owner_user_id: user.id.clone(),
        ..Default::default()
    };
    t.admin().organizations().create_organization(sole).await.unwrap();
    t.database.indexed().await;
    // Both names are in the index.
    let rename = pb::UpdateUserRequest {
        user_id: user.id.clone(),
        name: "Present".to_owned(),
        update_mask: mask(&["name"]),
        ..Default::default()
    };
    t.admin().users().update_user(rename).await.unwrap();
    t.database.indexed().await;
    assert_ne!(grams(&t).await, before);
    purge(&t, &user).await;
    t.advance(SETTLED);
    until_erased(&t.admin(), &beginning, &user).await;
    assert_eq!(grams(&t).await, before);
    // What is left is still found.
    let search = pb::ListOrganizationsRequest { query: other.name[1..].to_owned(), ..Default::default() };
    let found = t.admin().organizations().list_organizations(search).await.answered().organizations;
    assert!(found.iter().any(|organization| organization.id == other.id));
}

/// Copies an event of a user many times.
async fn many_events(t: &Test, user: &pb::User, count: u32) {
    let columns =
        "action, actor_kind, actor_user_id, organization_id, user_id, resource_type, resource_id, revision, details";
    let sql = match &t.database {
        TestDatabase::Sqlite(_) => format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
             INSERT INTO cf_events (id, created_at, {columns}) SELECT randomblob(16), created_at, {columns} FROM n, \
             (SELECT * FROM cf_events WHERE user_id = x'{id}' ORDER BY id LIMIT 1);",
            id = user.id.replace('-', ""),
        ),
        TestDatabase::Postgres(_) => format!(
            "INSERT INTO cf_events (id, created_at, {columns}) SELECT gen_random_uuid(), created_at, {columns} \
             FROM generate_series(1, {count}), (SELECT * FROM cf_events WHERE user_id = '{id}' ORDER BY id LIMIT 1) e;",
            id = user.id,
        ),
    };
    t.database.execute(&sql).await;
}

#[both]
async fn much_data_is_erased_in_the_background(t: Arc<Test>) {
    let beginning = cursor(&t).await;
    let person = person(&t).await;
    many_events(&t, &person.user, 3000).await;
    let before = listed(&t).await.len();
    purge(&t, &person.user).await;
    t.advance(SETTLED);
    assert_erased(&t, &person, &beginning).await;
    let events = listed(&t).await;
    assert!(events.len() > before);
    assert_eq!(events.iter().filter(|event| event.action == "user.created" && event.is_erased).count(), 3001);
}

#[both]
async fn an_interrupted_erasure_is_continued_by_the_next_process(t: Arc<Test>) {
    let beginning = cursor(&t).await;
    let person = person(&t).await;
    many_events(&t, &person.user, 3000).await;
    purge(&t, &person.user).await;
    t.server.lock().await.take().unwrap().stop().await.unwrap();
    let left = t.database.texts("SELECT 'x' AS value FROM cf_erasures").await;
    assert!(!left.is_empty());
    // The connections of the first server may still be closing, since it was stopped in the middle of the work.
    let server = loop {
        match Server::start(&args(&t.database.url(), &[]), t.clock.clone()).await {
            Ok(server) => break server,
            Err(error) => assert!(error.contains("database is locked"), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let api = Api::new(server.address, Some(t.admin_key.clone()));
    *t.server.lock().await = Some(server);
    t.advance(SETTLED);
    // A watch that began before the end may have read what was not erased yet.
    until_erased(&api, &beginning, &person.user).await;
    let events = until_erased(&api, &beginning, &person.user).await;
    assert_eq!(found(&person.words, format!("{events:?}").as_bytes()), Vec::<&str>::new());
    assert_eq!(found(&person.words, &t.database.bytes().await), Vec::<&str>::new());
}

/// The slowest write while a user with many events is erased, compared with the slowest otherwise.
#[both(long)]
async fn slow_a_purge_of_a_user_with_100_000_events_keeps_no_write_waiting(backend: Backend) {
    run(backend, &[], |t| async move {
        let (ada, bob) = (t.user("ada").await, t.user("bob").await);
        many_events(&t, &ada, 100_000).await;
        let began = Instant::now();
        let mut exported =
            t.admin().users().export_own_data(pb::ExportOwnDataRequest { user_id: ada.id.clone() }).await.answered();
        let mut items = 0;
        while exported.message().await.unwrap().is_some() {
            items += 1;
        }
        println!("{backend:?}: {items} items exported in {:?}", began.elapsed());
        assert!(items > 100_000);
        let began = Instant::now();
        purge(&t, &ada).await;
        println!("{backend:?}: the purge was answered after {:?}", began.elapsed());
        let unfinished = "SELECT 'x' AS value FROM cf_erasures WHERE due_at <= requested_at";
        let mut waits = Vec::new();
        while !t.database.texts(unfinished).await.is_empty() {
            for _ in 0..20 {
                let write = Instant::now();
                t.session(&bob).await;
                waits.push(write.elapsed());
            }
        }
        waits.sort_unstable();
        let of = |part: usize| waits[(waits.len() - 1) * part / 1000];
        println!(
            "{backend:?}: erased after {:?}; {} writes meanwhile, median {:?}, 99.9 % {:?}, longest {:?}",
            began.elapsed(),
            waits.len(),
            of(500),
            of(999),
            of(1000)
        );
        let events = list(&t.admin(), pb::ListEventsRequest { user_id: ada.id, ..Default::default() }).await;
        assert!(events.iter().all(|event| event.is_erased));
    })
    .await;
}
