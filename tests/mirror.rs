//! Mirrors: clients that keep a copy of everything, are killed, and resume; and clients that keep a copy of one organization.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tenantry::pb;
use tokio::task::JoinHandle;

use crate::support::{
    Api, Backend, MISSING_ID, both,
    database::TestDatabase,
    follow::Watch,
    invariants,
    load::{Client, Outcome},
    mask,
    mirror::Mirror,
    object,
    random::Random,
    refusal::reason_of,
    serving::Serving,
};

/// Two processes on one database.
struct Platform {
    database: TestDatabase,
    servers: Vec<Serving>,
    key: String,
}

impl Platform {
    async fn start(backend: Backend) -> Self {
        let database = TestDatabase::empty(backend).await;
        let url = database.url();
        let servers = tokio::task::spawn_blocking(move || {
            let variables = [("TENANTRY_WATCH_HEARTBEAT", "100ms"), ("TENANTRY_SWEEP_INTERVAL", "1s")];
            vec![Serving::start_patient(&url, &variables), Serving::start_patient(&url, &variables)]
        });
        let servers = servers.await.unwrap();
        let key = servers[0].first_admin_key.clone().unwrap();
        Self { database, servers, key }
    }

    /// A client of one of the processes.
    fn api(&self, random: &mut Random) -> Api {
        random.pick(&self.servers).unwrap().with_key(&self.key)
    }
}

/// One mirror: takes a snapshot and follows the events until the last one. From time to time it is killed and resumes from its last
/// stored cursor on a random process.
async fn follow(
    platform: Arc<Platform>,
    mut random: Random,
    ended: Arc<AtomicBool>,
    end_id: &'static str,
) -> (Mirror, Vec<i64>) {
    let api = platform.api(&mut random);
    let mut mirror = Mirror::take(&api).await.unwrap();
    let mut seen = Vec::new();
    let mut kept = mirror.cursor.clone();
    loop {
        let mut watch = Watch::resume(&platform.api(&mut random), &kept).await;
        for _ in 0..=random.below(400) {
            let Some(event) = watch.message().await.unwrap() else { continue };
            // It stores its cursor only now and then, so later events are repeated.
            if random.below(10) == 0 {
                kept.clone_from(&watch.cursor);
            }
            if event.sequence <= mirror.last {
                continue;
            }
            seen.push(event.sequence);
            let is_end = event.metadata.get("end").is_some_and(|text| text == end_id);
            mirror.apply(event);
            if is_end {
                assert!(ended.load(Ordering::SeqCst));
                return (mirror, seen);
            }
        }
    }
}

/// Sends the changes of one client to random processes for a while. Returns how many succeeded.
async fn write(platform: Arc<Platform>, mut client: Client, mut random: Random, until: Instant) -> u64 {
    let apis: Vec<Api> = platform.servers.iter().map(|server| server.with_key(&platform.key)).collect();
    let mut changes = 0;
    while Instant::now() < until {
        let sent = client.next();
        if let Outcome::Answered(answer) = sent.send(random.pick(&apis).unwrap(), &platform.key).await {
            client.learn(&sent, &answer);
            changes += 1;
        }
    }
    changes
}

async fn mirrors_equal_the_database(backend: Backend, seconds: u64) {
    let mut random = Random::seeded();
    let platform = Arc::new(Platform::start(backend).await);
    let ended = Arc::new(AtomicBool::new(false));
    let mut mirrors: Vec<JoinHandle<(Mirror, Vec<i64>)>> = Vec::new();
    let until = Instant::now() + Duration::from_secs(seconds);
    let writers: Vec<JoinHandle<u64>> = Client::several(8, &mut random)
        .into_iter()
        .map(|client| tokio::spawn(write(Arc::clone(&platform), client, Random::new(random.next()), until)))
        .collect();
    for _ in 0..3 {
        mirrors.push(tokio::spawn(follow(
            Arc::clone(&platform),
            Random::new(random.next()),
            Arc::clone(&ended),
            "of the load",
        )));
        // The mirrors start during the writes.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut changes = 0;
    for writer in writers {
        changes += writer.await.unwrap();
    }
    ended.store(true, Ordering::SeqCst);
    let api = platform.api(&mut random);
    let mut request = tonic::Request::new(pb::CreateUserRequest {
        email: "end@example.com".to_owned(),
        name: "End".to_owned(),
        ..Default::default()
    });
    request.metadata_mut().insert("x-event-end", "of the load".parse().unwrap());
    api.users().create_user(request).await.unwrap();

    let database = Mirror::take(&api).await.unwrap();
    let sequences = "SELECT CAST(sequence AS text) AS value FROM cf_events ORDER BY sequence";
    let stored: BTreeSet<i64> =
        platform.database.texts(sequences).await.iter().map(|text| text.parse().unwrap()).collect();
    for mirror in mirrors {
        let (mirror, seen) = mirror.await.unwrap();
        assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "each event is seen once and in order");
        let first = *seen.first().unwrap();
        let missed: Vec<&i64> =
            stored.range(first..).filter(|sequence| seen.binary_search(sequence).is_err()).collect();
        assert!(missed.is_empty(), "missed {missed:?}");
        mirror.assert_equals(&database);
    }
    invariants::assert_hold(&platform.database).await;
    println!("{backend:?}: {changes} changes, {} events in {seconds} s", stored.len());
    assert!(changes > 0);
    let platform = Arc::into_inner(platform).unwrap();
    drop(platform.servers);
    platform.database.remove().await;
}

#[both]
async fn mirrors_equal_the_database_after_a_short_load(backend: Backend) {
    mirrors_equal_the_database(backend, 4).await;
}

/// The delay between the answer to a change and its event, on the same process and on another.
#[both(long)]
async fn slow_latency(backend: Backend) {
    let platform = Platform::start(backend).await;
    let apis: Vec<Api> = platform.servers.iter().map(|server| server.with_key(&platform.key)).collect();
    for (what, server) in [("the same process", 0), ("another process", 1)] {
        let mut watch = Watch::from_now(&apis[server]).await;
        let mut took = Vec::new();
        for round in 0..200 {
            let request = pb::CreateUserRequest {
                email: format!("{server}-{round}@example.com"),
                name: "X".to_owned(),
                ..Default::default()
            };
            apis[0].users().create_user(request).await.unwrap();
            let answered = Instant::now();
            watch.event().await;
            took.push(answered.elapsed());
        }
        took.sort_unstable();
        println!("{backend:?}, {what}: median {:?}, 99 % {:?}", took[100], took[198]);
    }
    drop(platform.servers);
    platform.database.remove().await;
}

#[both(long)]
async fn slow_mirrors_equal_the_database(backend: Backend) {
    mirrors_equal_the_database(backend, 60).await;
}

/// A small world of one tenant, another one, and the people in both.
#[derive(Default)]
struct People {
    users: Vec<String>,
    invitations: Vec<String>,
    keys: Vec<String>,
    roles: Vec<String>,
}

/// One writer of a tenant's mirror test.
struct TenantWriter {
    api: Api,
    random: Random,
    tenant: String,
    other: String,
    people: Arc<Mutex<People>>,
}

impl TenantWriter {
    fn pick(&mut self, of: impl Fn(&mut People) -> &mut Vec<String>) -> String {
        let mut people = self.people.lock().unwrap();
        self.random.pick(of(&mut people)).cloned().unwrap_or_else(|| MISSING_ID.to_owned())
    }

    /// Keeps few resources, so that the writers meet.
    fn add(&self, of: impl Fn(&mut People) -> &mut Vec<String>, id: String) {
        let mut people = self.people.lock().unwrap();
        let all = of(&mut people);
        all.push(id);
        if all.len() > 12 {
            all.remove(0);
        }
    }

    /// Makes one random change, which may be refused. Returns whether it was made.
    async fn change(&mut self) -> bool {
        let organization_id = if self.random.percent(75) { self.tenant.clone() } else { self.other.clone() };
        match self.random.below(24) {
            0..=12 => self.change_user().await,
            13..=18 => self.change_membership(organization_id).await,
            _ => self.change_organization(organization_id).await,
        }
    }

    async fn change_user(&mut self) -> bool {
        let (user_id, word) = (self.pick(|people| &mut people.users), format!("x{:x}", self.random.next()));
        let mut users = self.api.users();
        let update = |paths: &[&str]| pb::UpdateUserRequest {
            user_id: user_id.clone(),
            name: word.clone(),
            email: format!("{word}@example.com"),
            metadata: object("word", &word),
            update_mask: mask(paths),
            ..Default::default()
        };
        match self.random.below(13) {
            0 | 1 => {
                let email = format!("{word}@example.com");
                let create = pb::CreateUserRequest { email, name: word, email_verified: true, ..Default::default() };
                let Ok(created) = users.create_user(create).await else { return false };
                self.add(|people| &mut people.users, created.into_inner().user.unwrap().id);
                true
            }
            2..=4 => users.update_user(update(&["name", "metadata"])).await.is_ok(),
            5 => users.update_user(update(&["email"])).await.is_ok(),
            6 | 7 => users.suspend_user(pb::SuspendUserRequest { user_id, ..Default::default() }).await.is_ok(),
            8 => users.reactivate_user(pb::ReactivateUserRequest { user_id, ..Default::default() }).await.is_ok(),
            9 | 10 => users.delete_user(pb::DeleteUserRequest { user_id, ..Default::default() }).await.is_ok(),
            11 => users.undelete_user(pb::UndeleteUserRequest { user_id, ..Default::default() }).await.is_ok(),
            _ => users.purge_user(pb::PurgeUserRequest { user_id, ..Default::default() }).await.is_ok(),
        }
    }

    async fn change_membership(&mut self, organization_id: String) -> bool {
        let user_id = self.pick(|people| &mut people.users);
        let role = self.random.one(&["admin", "member", "viewer", "clerk"]).to_owned();
        let mut memberships = self.api.memberships();
        let ends = pb::UserAndOrganization { user_id: user_id.clone(), organization_id: organization_id.clone() };
        let key = Some(pb::get_membership_request::Key::UserAndOrganization(ends));
        let found = memberships.get_membership(pb::GetMembershipRequest { key }).await;
        let Ok(found) = found else {
            let create = pb::CreateMembershipRequest { user_id, organization_id, role, ..Default::default() };
            return memberships.create_membership(create).await.is_ok();
        };
        let membership_id = found.into_inner().membership.unwrap().id;
        if self.random.percent(50) {
            let update =
                pb::UpdateMembershipRequest { membership_id, role, update_mask: mask(&["role"]), ..Default::default() };
            return memberships.update_membership(update).await.is_ok();
        }
        memberships.delete_membership(pb::DeleteMembershipRequest { membership_id, ..Default::default() }).await.is_ok()
    }

    async fn change_organization(&mut self, organization_id: String) -> bool {
        let (word, user_id) = (format!("x{:x}", self.random.next()), self.pick(|people| &mut people.users));
        match self.random.below(6) {
            0 => {
                let Ok(user) = self.api.users().get_user(pb::GetUserRequest { user_id }).await else { return false };
                let email = user.into_inner().user.unwrap().email;
                let role = self.random.one(&["member", "clerk"]).to_owned();
                let create = pb::CreateInvitationRequest { organization_id, email, role, ..Default::default() };
                let Ok(created) = self.api.invitations().create_invitation(create).await else { return false };
                self.add(|people| &mut people.invitations, created.into_inner().invitation.unwrap().id);
                true
            }
            1 => {
                let id = self.pick(|people| &mut people.invitations);
                let key = Some(pb::accept_invitation_request::Key::InvitationId(id));
                let accept = pb::AcceptInvitationRequest { key, user_id, ..Default::default() };
                self.api.invitations().accept_invitation(accept).await.is_ok()
            }
            2 => {
                let permissions = vec!["invoices:read".to_owned()];
                let name = "clerk".to_owned();
                let create = pb::CreateRoleRequest { organization_id, name, permissions, ..Default::default() };
                let Ok(created) = self.api.roles().create_role(create).await else { return false };
                self.add(|people| &mut people.roles, created.into_inner().role.unwrap().id);
                true
            }
            3 => {
                let role_id = self.pick(|people| &mut people.roles);
                self.api.roles().delete_role(pb::DeleteRoleRequest { role_id, ..Default::default() }).await.is_ok()
            }
            4 => {
                let create = pb::CreateApiKeyRequest {
                    owner: Some(pb::create_api_key_request::Owner::OrganizationId(organization_id)),
                    name: word,
                    scopes: vec!["users:read".to_owned()],
                    environment: pb::ApiKeyEnvironment::Live.into(),
                    ..Default::default()
                };
                let Ok(created) = self.api.api_keys().create_api_key(create).await else { return false };
                self.add(|people| &mut people.keys, created.into_inner().api_key.unwrap().id);
                true
            }
            _ => {
                let api_key_id = self.pick(|people| &mut people.keys);
                let revoke = pb::RevokeApiKeyRequest { api_key_id, ..Default::default() };
                self.api.api_keys().revoke_api_key(revoke).await.is_ok()
            }
        }
    }
}

/// Creates an organization with an owner that nobody changes, and a key of the organization.
async fn tenant(admin: &Api, word: &str) -> (String, String) {
    let email = format!("{word}@example.com");
    let owner = pb::CreateUserRequest { email, name: "Owner".to_owned(), ..Default::default() };
    let owner_user_id = admin.users().create_user(owner).await.unwrap().into_inner().user.unwrap().id;
    let create = pb::CreateOrganizationRequest {
        name: word.to_owned(),
        slug: word.to_owned(),
        owner_user_id,
        ..Default::default()
    };
    let created = admin.organizations().create_organization(create).await.unwrap().into_inner().organization.unwrap();
    let create = pb::CreateApiKeyRequest {
        owner: Some(pb::create_api_key_request::Owner::OrganizationId(created.id.clone())),
        name: "mirror".to_owned(),
        scopes: vec!["*".to_owned()],
        environment: pb::ApiKeyEnvironment::Live.into(),
        ..Default::default()
    };
    let key = admin.api_keys().create_api_key(create).await.unwrap().into_inner().plaintext_key;
    (created.id, key)
}

/// Follows one organization with its own key until it is renamed to the end.
async fn follow_tenant(api: Api, tenant: String, other: String) -> Mirror {
    // An owner has one snapshot at a time.
    let mut mirror = loop {
        match Mirror::of_organization(&api, &tenant).await {
            Ok(mirror) => break mirror,
            Err(status) => assert_eq!(reason_of(&status), "STREAM_LIMIT_REACHED", "{status:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let mut watch = Watch::resume(&api, &mirror.cursor).await;
    loop {
        let event = watch.event().await;
        assert!(!format!("{event:?}").contains(&other), "an event tells of another organization: {event:?}");
        let is_end = event.changes.iter().any(|change| change.field == "name") && event.resource_id == tenant;
        mirror.apply(event);
        if is_end {
            return mirror;
        }
    }
}

/// Asserts that a mirror holds what the organization's own key lists.
async fn assert_lists(mirror: &Mirror, api: &Api, tenant: &str) {
    let mut list = pb::ListUsersRequest { organization_id: tenant.to_owned(), page_size: 1000, ..Default::default() };
    let mut users = Vec::new();
    loop {
        let page = api.users().list_users(list.clone()).await.unwrap().into_inner();
        users.extend(page.users);
        list.page_token = page.next_page_token;
        if list.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(mirror.users().cloned().collect::<Vec<_>>(), users);
    let organization_id = tenant.to_owned();
    let mut list = pb::ListMembershipsRequest { organization_id, page_size: 1000, ..Default::default() };
    let mut memberships = Vec::new();
    loop {
        let page = api.memberships().list_memberships(list.clone()).await.unwrap().into_inner();
        memberships.extend(page.memberships);
        list.page_token = page.next_page_token;
        if list.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(mirror.members().cloned().collect::<Vec<_>>(), memberships);
}

async fn a_tenants_mirrors_equal_the_tenant(backend: Backend, seconds: u64) {
    let mut random = Random::seeded();
    let platform = Platform::start(backend).await;
    let admin = platform.api(&mut random);
    let ((tenant_id, key), (other_id, _)) = (tenant(&admin, "acme").await, tenant(&admin, "globex").await);
    let people: Arc<Mutex<People>> = Arc::default();
    let until = Instant::now() + Duration::from_secs(seconds);
    let writers: Vec<JoinHandle<u64>> = (0..8)
        .map(|_| {
            let (tenant, other) = (tenant_id.clone(), other_id.clone());
            let (api, random) = (platform.api(&mut random), Random::new(random.next()));
            let mut writer = TenantWriter { api, random, tenant, other, people: Arc::clone(&people) };
            tokio::spawn(async move {
                let mut changes = 0;
                while Instant::now() < until {
                    changes += u64::from(writer.change().await);
                }
                changes
            })
        })
        .collect();
    let mut mirrors = Vec::new();
    for at in 0..3 {
        let api = platform.servers[at % 2].with_key(&key);
        mirrors.push(tokio::spawn(follow_tenant(api, tenant_id.clone(), other_id.clone())));
        // The mirrors start during the writes.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut changes = 0;
    for writer in writers {
        changes += writer.await.unwrap();
    }
    let rename = pb::UpdateOrganizationRequest {
        organization_id: tenant_id.clone(),
        name: "The end".to_owned(),
        update_mask: mask(&["name"]),
        ..Default::default()
    };
    admin.organizations().update_organization(rename).await.unwrap();
    let own = platform.servers[0].with_key(&key);
    let now = Mirror::of_organization(&own, &tenant_id).await.unwrap();
    assert_lists(&now, &own, &tenant_id).await;
    for mirror in mirrors {
        mirror.await.unwrap().assert_equals(&now);
    }
    invariants::assert_hold(&platform.database).await;
    println!("{backend:?}: {changes} changes in {seconds} s");
    assert!(changes > 0);
    drop(platform.servers);
    platform.database.remove().await;
}

#[both]
async fn a_tenants_mirrors_equal_the_tenant_after_a_short_load(backend: Backend) {
    a_tenants_mirrors_equal_the_tenant(backend, 4).await;
}

#[both(long)]
async fn slow_a_tenants_mirrors_equal_the_tenant(backend: Backend) {
    a_tenants_mirrors_equal_the_tenant(backend, 60).await;
}
