//! The server under test: makes calls, compares them with the model, and finally tests every credential.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use prost::Message as _;
use tenantry::pb::{
    self, accept_invitation_request, batch_check_permissions_result, batch_invitation_result, batch_membership_result,
    batch_user_result, batch_verify_api_keys_result, check_permission_request, create_api_key_request,
    decline_invitation_request, get_invitation_request, get_membership_request, get_role_request, imported_user_result,
    list_api_keys_request, list_invitations_request,
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{
    Counts,
    calls::{Call, Change, Draw, METHODS, Owner, PASSWORDS, Subject},
    model::{self, ASKED, Answer, Bounds, Credential, Mailed, Model, PERMISSIONS, ROOT, Set, Standing, State},
};
use crate::support::{
    Answered as _, Api, MISSING_ID, Test,
    given::{CHEAP_HASH, Issued as _, unique},
    mask,
    random::Random,
    refusal::{code, name, reason_of},
    time_in,
};

/// E-mail of the platform admin created at the first start.
const ROOT_EMAIL: &str = "admin@tenantry.local";
/// Users at the start of a sequence: an owner, an admin, a member and a stranger of the first organization; two platform admins, the
/// second of which is the application; and a user with no resources yet.
const OWNER: usize = 0;
const ADMIN: usize = 1;
const MEMBER: usize = 2;
const STRANGER: usize = 3;
const PLATFORM: usize = 4;
const APPLICATION: usize = 5;
const USERS: usize = 7;

/// The application's sign-in key, and a key that may also sign in platform admins.
const SIGN_IN: usize = 1;
const SIGN_ADMINS_IN: usize = 2;

/// Access to the fields that name a session.
mod sessions {
    use tenantry::pb;

    pub fn id(token: &pb::Session) -> String {
        token.id.clone()
    }

    pub fn except_in_change(request: &mut pb::ChangePasswordRequest, id: String) {
        request.except_session_id = id;
    }

    pub fn except_in_revoke(request: &mut pb::RevokeAllSessionsRequest, id: String) {
        request.except_session_id = id;
    }
}

/// Number of sequences begun in this process, reported with a failure.
static BEGUN: AtomicUsize = AtomicUsize::new(0);

/// Held during a call that locks all platform admins, so that parallel sequences do not deadlock on them.
static ADMINS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A server, its model, and the calls so far.
pub struct World {
    api: Api,
    model: Model,
    random: Random,
    seed: u64,
    /// Start of the sequence, in seconds since 1970.
    began: i64,
    taken: Vec<String>,
}

impl World {
    /// Creates the initial state of a sequence.
    pub async fn make(t: &Test, api: &Api, seed: u64) -> Self {
        BEGUN.fetch_add(1, Ordering::SeqCst);
        let (model, began) = (Model::default(), time_in(t, 0).unwrap().seconds);
        let mut world = Self { api: api.clone(), model, random: Random::new(seed), seed, began, taken: Vec::new() };
        let bounds = Bounds { scopes: vec!["*"], ends: None, local: false, rate: 0 };
        world.model.keys.push(model::Key {
            id: MISSING_ID.to_owned(),
            owner: Owner::Root,
            bounds,
            secret: t.admin_key.clone(),
            former: None,
            dead: vec![],
            revoked: false,
            disabled: false,
            made_lowly: false,
            source: None,
        });
        world.import(USERS).await;
        let mut unused = Counts::new();
        for user in [PLATFORM, APPLICATION] {
            world.take(ROOT, Call::GrantPlatformAdmin(user), &mut unused).await;
        }
        for owner in [OWNER, STRANGER] {
            world.take(ROOT, Call::CreateOrganization { owner }, &mut unused).await;
        }
        let permissions: Vec<&'static str> = (0..3).map(|_| world.random.one(&PERMISSIONS)).collect();
        world.take(ROOT, Call::CreateRole { organization: 0, name: "clerk", permissions }, &mut unused).await;
        let role = world.random.one(&["clerk", "member", "viewer"]);
        for (user, role) in [(ADMIN, "admin"), (MEMBER, role)] {
            let call = Call::CreateMembership { user, organization: 0, role, extra: vec![] };
            world.take(ROOT, call, &mut unused).await;
        }
        let sign_in = vec!["authentication:write"];
        let sign_admins_in = vec![
            "authentication:read",
            "authentication:write",
            "oauth_accounts:write",
            "platform_admins:authenticate",
            "refresh_tokens:write",
        ];
        world.key(APPLICATION, sign_in).await;
        world.key(APPLICATION, sign_admins_in).await;
        world.key(PLATFORM, vec!["*"]).await;
        world.key(OWNER, vec!["*"]).await;
        world.key(STRANGER, vec!["*"]).await;
        world.key(PLATFORM, vec!["users:read", "users:write"]).await;
        for owner in [OWNER, ADMIN, MEMBER, PLATFORM].map(Owner::User).into_iter().chain([Owner::Organization(0)]) {
            let scopes = Draw::new(&mut world.random, &world.model, ROOT).scopes(owner);
            let bounds = Bounds { scopes, ends: None, local: false, rate: 0 };
            world.take(ROOT, Call::CreateApiKey { owner, bounds }, &mut unused).await;
        }
        for session in 0..2 {
            let user = world.random.below(USERS);
            world.take(ROOT, Call::CreateRefreshToken(user), &mut unused).await;
            world.take(ROOT, Call::Refresh { session, stale: false, organization: None }, &mut unused).await;
        }
        world
    }

    async fn key(&mut self, user: usize, scopes: Vec<&'static str>) {
        let bounds = Bounds { scopes, ends: None, local: false, rate: 0 };
        self.take(ROOT, Call::CreateApiKey { owner: Owner::User(user), bounds }, &mut Counts::new()).await;
    }

    /// Imports users. The strangers' e-mails are not verified, and the last user has no password.
    async fn import(&mut self, count: usize) {
        let rows: Vec<pb::ImportedUser> = (0..count)
            .map(|at| pb::ImportedUser {
                external_id: unique("external-"),
                email: format!("{}@example.com", unique("person")),
                name: "Somebody".to_owned(),
                email_verified: at != STRANGER && at != USERS - 1,
                password_hash: if at == USERS - 1 { String::new() } else { CHEAP_HASH.to_owned() },
                ..Default::default()
            })
            .collect();
        let batch = tokio_stream::once(pb::ImportUsersRequest { users: rows.clone() });
        let mut answers = self.api(ROOT).users().import_users(batch).await.answered();
        let results = answers.message().await.unwrap().unwrap().results;
        for (row, result) in rows.into_iter().zip(results) {
            let Some(imported_user_result::Outcome::CreatedUserId(id)) = result.outcome else { panic!("{result:?}") };
            self.model.users.push(model::User {
                id,
                email: row.email,
                former_emails: vec![],
                verified: row.email_verified,
                password: (!row.password_hash.is_empty()).then_some(PASSWORDS[0]),
                admin: false,
                state: State::Active,
                links: vec![],
            });
        }
    }

    fn api(&self, credential: Credential) -> Api {
        self.api.with(self.model.text(credential))
    }

    /// The report of a deviation from the model.
    fn story(&self) -> String {
        let users: Vec<_> = self.model.users.iter().enumerate().collect();
        format!(
            "{users:#?}\nseed of the sequence {}, {} were begun, after\n{}",
            self.seed,
            BEGUN.load(Ordering::SeqCst),
            self.taken.join("\n")
        )
    }

    /// A credential, mostly a working one.
    fn any_credential(&mut self) -> Credential {
        match self.random.below(100) {
            0..10 => return ROOT,
            10..22 => return Credential::Key(SIGN_IN),
            22..30 => return Credential::Key(SIGN_ADMINS_IN),
            _ => {}
        }
        let mut all = self.model.credentials();
        if self.random.percent(88) {
            all.retain(|credential| self.model.who(*credential).is_some());
        }
        // There are many keys, so the rarer kinds get a larger share.
        let rare: Vec<Credential> =
            all.iter().copied().filter(|credential| !matches!(credential, Credential::Key(_))).collect();
        if !rare.is_empty() && self.random.percent(35) { self.random.one(&rare) } else { self.random.one(&all) }
    }

    /// Draws a call and makes it.
    pub async fn step(&mut self, counts: &mut Counts) {
        let sum: usize = METHODS.iter().map(|(_, rule)| rule.weight).sum();
        let (mut credential, call) = loop {
            let mut at = self.random.below(sum);
            let (method, _) = METHODS
                .iter()
                .find(|(_, rule)| {
                    let is_here = at < rule.weight;
                    at = at.saturating_sub(rule.weight);
                    is_here
                })
                .unwrap();
            let credential = self.any_credential();
            if let Some(call) = Draw::new(&mut self.random, &self.model, credential).call(method) {
                break (credential, call);
            }
        };
        if self.random.percent(65) {
            for _ in 0..16 {
                if self.model.allows(credential, &call) == Some(true) {
                    break;
                }
                credential = self.any_credential();
            }
        }
        // A platform admin's own key acts for others. Whether it also shows its own, never verified account is unspecified.
        if let (Call::AcceptInvitation { .. } | Call::UpdateUser { verify: Some(_), .. }, Some(who)) =
            (&call, self.model.who(credential))
            && who.admin
            && who.user.is_some_and(|user| !self.model.users[user].verified)
        {
            credential = ROOT;
        }
        // The first platform admin never revokes its own key.
        if credential == ROOT && matches!(call, Call::RevokeOwnApiKey) {
            credential = Credential::Key(SIGN_IN);
        }
        self.take(credential, call, counts).await;
    }

    /// Makes a call and compares the outcome with the model.
    async fn take(&mut self, credential: Credential, call: Call, counts: &mut Counts) {
        let expected = self.model.allows(credential, &call);
        let mut result = self.call(credential, &call).await;
        // A conflict with other sequences, or no free place to hash a password: nothing was changed, and the call can be repeated.
        while let Err(status) = &result
            && (status.code() == Code::Aborted || reason_of(status) == "OVERLOADED")
        {
            tokio::task::yield_now().await;
            result = self.call(credential, &call).await;
        }
        let reported = match &result {
            Ok(_) => "done".to_owned(),
            Err(status) => format!("refused: {:?} {}", status.code(), status.message()),
        };
        self.taken.push(format!("{credential:?} {call:?}: {reported}"));
        if let Err(status) = &result {
            let is_a_refusal = match status.code() {
                Code::Unauthenticated
                | Code::PermissionDenied
                | Code::NotFound
                | Code::AlreadyExists
                | Code::FailedPrecondition => true,
                // The request names no session or user, and the credential belongs to none.
                Code::InvalidArgument => matches!(
                    call,
                    Call::SignOut { session: None, .. }
                        | Call::AcceptInvitation { user: None, .. }
                        | Call::DeclineInvitation { user: None, .. }
                ),
                _ => false,
            };
            assert!(is_a_refusal, "{}\n{status:?}", self.story());
        }
        if let Some(expected) = expected {
            let claim = format!("the model says {expected} of {credential:?} {call:?}: {reported}");
            assert_eq!(result.is_ok(), expected, "{}\n{claim}", self.story());
        }
        let count = counts.entry(call.method()).or_default();
        if let Ok(answer) = result {
            count.0 += 1;
            self.check(credential, &call, &answer);
            self.model.done(credential, &call, &answer);
        } else {
            count.1 += 1;
            self.model.refused(credential, &call);
        }
    }

    /// Compares an answer with the model, before the model is updated.
    fn check(&self, credential: Credential, call: &Call, answer: &Answer) {
        let who = self.model.who(credential).unwrap();
        match call {
            Call::StartPasswordReset(user) => {
                let is_reported = self.model.may_reset(&who, *user);
                assert_eq!(!answer.text.is_empty(), is_reported, "a token for a reset\n{}", self.story());
            }
            Call::ConfirmEmailChange { mail, .. } => {
                let former = &self.model.users[self.model.mails[*mail].user].email;
                assert_eq!(answer.name, *former, "the former address\n{}", self.story());
            }
            Call::IntrospectToken(session, access) => {
                let of = &self.model.sessions[*session];
                let is_asked_by_its_own = who.admin || who.user == Some(of.user);
                let is_asked_by_its_organization =
                    of.access[*access].1.is_some_and(|organization| who.organization == Some(organization));
                if is_asked_by_its_own || is_asked_by_its_organization {
                    self.check_introspected(*session, *access, answer);
                } else {
                    assert!(!answer.flag, "answered about a token that is not its own\n{}", self.story());
                }
            }
            _ => {}
        }
    }

    fn check_introspected(&self, session: usize, access: usize, answer: &Answer) {
        let (works, user) = (self.model.session_works(session), self.model.sessions[session].user);
        let organization = self.model.sessions[session].access[access].1;
        let standing = organization.map(|organization| self.model.open_standing(user, organization));
        // A token for an organization is valid only while the organization is open to the user.
        let is_good = works && standing != Some(None);
        assert_eq!(answer.flag, is_good, "token {access} of session {session}\n{}", self.story());
        match (is_good, standing) {
            (true, Some(Some((role, held)))) => {
                let reported: Vec<&str> = answer.texts.iter().map(String::as_str).collect();
                assert_eq!(answer.name, role, "token {access} of session {session}\n{}", self.story());
                assert!(held.covers(Set::of(&reported)), "{reported:?} of {held:?}\n{}", self.story());
            }
            _ => assert!(answer.name.is_empty() && answer.texts.is_empty(), "{answer:?}\n{}", self.story()),
        }
    }

    fn user_id(&self, user: usize) -> String {
        self.model.users[user].id.clone()
    }

    fn organization_id(&self, organization: usize) -> String {
        self.model.organizations[organization].id.clone()
    }

    fn invitation_id(&self, invitation: usize) -> String {
        self.model.invitations[invitation].id.clone()
    }

    fn invitation_text(&self, invitation: usize) -> String {
        self.model.invitations[invitation].text.clone()
    }

    fn key_id(&self, key: usize) -> String {
        self.model.keys[key].id.clone()
    }

    fn membership_id(&self, user: usize, organization: usize) -> String {
        let member = self.model.organizations[organization].members.get(&user);
        member.map_or_else(|| MISSING_ID.to_owned(), |member| member.id.clone())
    }

    fn role_id(&self, organization: usize, name: &str) -> String {
        let role = self.model.organizations[organization].roles.get(name);
        role.map_or_else(|| MISSING_ID.to_owned(), |(id, _)| id.clone())
    }

    fn link(&self, user: usize) -> (String, String) {
        let link = self.model.users[user].links.last().cloned();
        link.unwrap_or_else(|| (MISSING_ID.to_owned(), "nobody".to_owned()))
    }

    fn password(&self, user: usize, right: bool) -> String {
        let password = self.model.users[user].password.filter(|_| right);
        password.unwrap_or("not the password of anybody").to_owned()
    }

    fn refresh_token(&self, session: usize, stale: bool) -> String {
        let session = &self.model.sessions[session];
        if stale { session.former.last().unwrap_or(&session.token).clone() } else { session.token.clone() }
    }

    fn session_id(&self, session: Option<usize>) -> String {
        session.map_or_else(String::new, |session| self.model.sessions[session].id.clone())
    }

    fn access(&self, proof: Option<(usize, usize)>) -> String {
        proof.map_or_else(String::new, |(session, access)| self.model.sessions[session].access[access].0.clone())
    }

    fn question(&self, key: usize) -> pb::ApiKeyQuestion {
        let plaintext_key = self.model.keys[key].secret.clone();
        pb::ApiKeyQuestion { plaintext_key, ip_address: "127.0.0.1".to_owned(), ..Default::default() }
    }

    fn ends(&self, hours: Option<u32>) -> Option<prost_types::Timestamp> {
        // Relative to the start of the sequence, so that equal hours are equal moments for all keys.
        hours.map(|hours| prost_types::Timestamp { seconds: self.began + 3_600 * i64::from(hours), nanos: 0 })
    }

    /// Makes a call.
    async fn call(&self, credential: Credential, call: &Call) -> Result<Answer, Status> {
        let _guard = if locks_admins(call) { Some(ADMINS.lock().await) } else { None };
        let api = self.api(credential);
        if let Some(answer) = self.call_batches(&api, call).await? {
            return Ok(answer);
        }
        if let Some(answer) = self.call_key_changes(&api, call).await? {
            return Ok(answer);
        }
        if let Some(answer) = self.call_keys(&api, call).await? {
            return Ok(answer);
        }
        if let Some(answer) = self.call_mails(&api, call).await? {
            return Ok(answer);
        }
        if let Some(answer) = self.call_passwords(&api, call).await? {
            return Ok(answer);
        }
        if let Some(answer) = self.call_sign_in(&api, call).await? {
            return Ok(answer);
        }
        if let Some(answer) = self.call_tokens(&api, call).await? {
            return Ok(answer);
        }
        if let Some(answer) = self.call_checks(&api, call).await? {
            return Ok(answer);
        }
        if let Some(answer) = self.call_joining(&api, call).await? {
            return Ok(answer);
        }
        if let Some(answer) = self.call_invitations(&api, call).await? {
            return Ok(answer);
        }
        if let Some(answer) = self.call_memberships(&api, call).await? {
            return Ok(answer);
        }
        if let Some(answer) = self.call_links(&api, call).await? {
            return Ok(answer);
        }
        if let Some(answer) = self.call_organization_states(&api, call).await? {
            return Ok(answer);
        }
        if let Some(answer) = self.call_organizations(&api, call).await? {
            return Ok(answer);
        }
        if let Some(answer) = self.call_roles(&api, call).await? {
            return Ok(answer);
        }
        if let Some(answer) = self.call_user_states(&api, call).await? {
            return Ok(answer);
        }
        if let Some(answer) = self.call_users(&api, call).await? {
            return Ok(answer);
        }
        panic!("add a request for {call:?}")
    }

    fn new_invitation(
        &self,
        organization: usize,
        address: &super::calls::Address,
        role: &str,
    ) -> pb::CreateInvitationRequest {
        pb::CreateInvitationRequest {
            organization_id: self.organization_id(organization),
            email: self.model.address(address),
            role: role.to_owned(),
            ..Default::default()
        }
    }

    fn new_membership(
        &self,
        user: usize,
        organization: usize,
        role: &str,
        extra: &[&str],
    ) -> pb::CreateMembershipRequest {
        pb::CreateMembershipRequest {
            user_id: self.user_id(user),
            organization_id: self.organization_id(organization),
            role: role.to_owned(),
            permissions: texts(extra),
            ..Default::default()
        }
    }

    fn changed_membership(
        &self,
        user: usize,
        organization: usize,
        role: Option<&str>,
        extra: Option<&[&str]>,
    ) -> pb::UpdateMembershipRequest {
        let paths: Vec<&str> = role.iter().map(|_| "role").chain(extra.iter().map(|_| "permissions")).collect();
        pb::UpdateMembershipRequest {
            membership_id: self.membership_id(user, organization),
            role: role.unwrap_or_default().to_owned(),
            permissions: texts(extra.unwrap_or_default()),
            update_mask: mask(&paths),
            ..Default::default()
        }
    }

    /// Batches of one item, whose result is that of the call.
    async fn call_batches(&self, api: &Api, call: &Call) -> Result<Option<Answer>, Status> {
        let Some(item) = call.item() else { return Ok(None) };
        let mut answer = Answer::default();
        match item {
            Call::CreateInvitation { organization, address, role } => {
                let requests = vec![self.new_invitation(*organization, address, role)];
                let request = pb::BatchCreateInvitationsRequest { requests, ..Default::default() };
                let done = api.invitations().batch_create_invitations(request).await?.into_inner().results.remove(0);
                answer.text = done.plaintext_token;
                answer.id = match done.outcome.unwrap() {
                    batch_invitation_result::Outcome::Invitation(created) => created.id,
                    batch_invitation_result::Outcome::InvitationId(id) => id,
                    batch_invitation_result::Outcome::Error(error) => return Err(refusal_of_item(&error)),
                };
            }
            Call::CreateMembership { user, organization, role, extra } => {
                let requests = vec![self.new_membership(*user, *organization, role, extra)];
                let request = pb::BatchCreateMembershipsRequest { requests, ..Default::default() };
                let done = api.memberships().batch_create_memberships(request).await?.into_inner().results;
                answer.id = id_of_membership(done)?;
            }
            Call::UpdateMembership { user, organization, role, extra } => {
                let requests = vec![self.changed_membership(*user, *organization, *role, extra.as_deref())];
                let request = pb::BatchUpdateMembershipsRequest { requests, ..Default::default() };
                id_of_membership(api.memberships().batch_update_memberships(request).await?.into_inner().results)?;
            }
            Call::DeleteMembership { user, organization } => {
                let membership_id = self.membership_id(*user, *organization);
                let requests = vec![pb::DeleteMembershipRequest { membership_id, ..Default::default() }];
                let request = pb::BatchDeleteMembershipsRequest { requests, ..Default::default() };
                id_of_membership(api.memberships().batch_delete_memberships(request).await?.into_inner().results)?;
            }
            Call::SuspendUser(user) => {
                let requests = vec![pb::SuspendUserRequest { user_id: self.user_id(*user), ..Default::default() }];
                let request = pb::BatchSuspendUsersRequest { requests, ..Default::default() };
                is_done_to_user(&api.users().batch_suspend_users(request).await?.into_inner().results)?;
            }
            Call::ReactivateUser(user) => {
                let requests = vec![pb::ReactivateUserRequest { user_id: self.user_id(*user), ..Default::default() }];
                let request = pb::BatchReactivateUsersRequest { requests, ..Default::default() };
                is_done_to_user(&api.users().batch_reactivate_users(request).await?.into_inner().results)?;
            }
            other => panic!("add a batch of {other:?}"),
        }
        Ok(Some(answer))
    }

    /// API keys: creation and changes.
    async fn call_key_changes(&self, api: &Api, call: &Call) -> Result<Option<Answer>, Status> {
        let mut answer = Answer::default();
        match call {
            Call::CreateApiKey { owner, bounds } => {
                let owner = match owner {
                    Owner::User(user) => create_api_key_request::Owner::UserId(self.user_id(*user)),
                    Owner::Organization(of) => create_api_key_request::Owner::OrganizationId(self.organization_id(*of)),
                    Owner::Root => panic!("no call is about the first platform admin"),
                };
                let request = pb::CreateApiKeyRequest {
                    owner: Some(owner),
                    name: "created".to_owned(),
                    scopes: texts(&bounds.scopes),
                    environment: pb::ApiKeyEnvironment::Live.into(),
                    expires_at: self.ends(bounds.ends),
                    allowed_ip_ranges: ranges(bounds.local),
                    rate_limit: bounds.rate,
                    ..Default::default()
                };
                let created = api.api_keys().create_api_key(request).await?.into_inner();
                (answer.id, answer.text) = (created.api_key.unwrap().id, created.plaintext_key);
            }
            Call::UpdateApiKey { key, change } => {
                let mut request = pb::UpdateApiKeyRequest { api_key_id: self.key_id(*key), ..Default::default() };
                let path = match change {
                    Change::Name => {
                        "renamed".clone_into(&mut request.name);
                        "name"
                    }
                    Change::Scopes(scopes) => {
                        request.scopes = texts(scopes);
                        "scopes"
                    }
                    Change::Ends(ends) => {
                        request.expires_at = self.ends(*ends);
                        "expires_at"
                    }
                    Change::Local(local) => {
                        request.allowed_ip_ranges = ranges(*local);
                        "allowed_ip_ranges"
                    }
                    Change::Rate(rate) => {
                        request.rate_limit = *rate;
                        "rate_limit"
                    }
                };
                request.update_mask = mask(&[path]);
                api.api_keys().update_api_key(request).await?;
            }
            _ => return Ok(None),
        }
        Ok(Some(answer))
    }

    /// API keys: everything else.
    async fn call_keys(&self, api: &Api, call: &Call) -> Result<Option<Answer>, Status> {
        let mut answer = Answer::default();
        match call {
            Call::GetApiKey(key) => {
                api.api_keys().get_api_key(pb::GetApiKeyRequest { api_key_id: self.key_id(*key) }).await?;
            }
            Call::ListApiKeys(owner) => {
                let owner = match owner {
                    Owner::User(user) => list_api_keys_request::Owner::UserId(self.user_id(*user)),
                    Owner::Organization(of) => list_api_keys_request::Owner::OrganizationId(self.organization_id(*of)),
                    Owner::Root => panic!("no call is about the first platform admin"),
                };
                let request = pb::ListApiKeysRequest { owner: Some(owner), ..Default::default() };
                api.api_keys().list_api_keys(request).await?;
            }
            Call::RotateApiKey { key, overlap } => {
                let overlap = (!overlap).then(prost_types::Duration::default);
                let request = pb::RotateApiKeyRequest { api_key_id: self.key_id(*key), overlap, ..Default::default() };
                answer.text = api.api_keys().rotate_api_key(request).await?.into_inner().plaintext_key;
            }
            Call::RevokeApiKey(key) => {
                let request = pb::RevokeApiKeyRequest { api_key_id: self.key_id(*key), ..Default::default() };
                api.api_keys().revoke_api_key(request).await?;
            }
            Call::DisableApiKey(key) => {
                let request = pb::DisableApiKeyRequest { api_key_id: self.key_id(*key), ..Default::default() };
                api.api_keys().disable_api_key(request).await?;
            }
            Call::EnableApiKey(key) => {
                let request = pb::EnableApiKeyRequest { api_key_id: self.key_id(*key), ..Default::default() };
                api.api_keys().enable_api_key(request).await?;
            }
            Call::RevokeOwnApiKey => {
                api.api_keys().revoke_own_api_key(pb::RevokeOwnApiKeyRequest::default()).await?;
            }
            Call::VerifyApiKey(key) => {
                let request = pb::VerifyApiKeyRequest { question: Some(self.question(*key)) };
                api.api_keys().verify_api_key(request).await?;
            }
            Call::BatchVerifyApiKeys(key) => {
                let request = pb::BatchVerifyApiKeysRequest { questions: vec![self.question(*key)] };
                api.api_keys().batch_verify_api_keys(request).await?;
            }
            Call::VerifyStream(key) => {
                let question = pb::VerifyStreamRequest { question_id: 7, question: Some(self.question(*key)) };
                let mut answers = api.api_keys().verify_stream(tokio_stream::once(question)).await?.into_inner();
                answers.message().await?;
            }
            _ => return Ok(None),
        }
        Ok(Some(answer))
    }

    /// Mailed tokens.
    async fn call_mails(&self, api: &Api, call: &Call) -> Result<Option<Answer>, Status> {
        let mut answer = Answer::default();
        match call {
            Call::StartEmailVerification(user) => {
                let request = pb::StartEmailVerificationRequest { user_id: self.user_id(*user), ..Default::default() };
                answer.text =
                    api.authentication().start_email_verification(request).await?.into_inner().plaintext_token;
            }
            Call::ConfirmEmailVerification { mail, proof } => {
                let request = pb::ConfirmEmailVerificationRequest {
                    plaintext_token: self.model.mails[*mail].text.clone(),
                    access_token: self.access(*proof),
                    ..Default::default()
                };
                api.authentication().confirm_email_verification(request).await?;
            }
            Call::StartPasswordReset(user) => {
                let email = self.model.users[*user].email.clone();
                let request = pb::StartPasswordResetRequest { email, ..Default::default() };
                answer.text = api.authentication().start_password_reset(request).await?.into_inner().plaintext_token;
            }
            Call::ConfirmPasswordReset { mail, password, keep, revoke } => {
                let request = pb::ConfirmPasswordResetRequest {
                    plaintext_token: self.model.mails[*mail].text.clone(),
                    new_password: (*password).to_owned(),
                    keep_sessions: *keep,
                    revoke_api_keys: *revoke,
                    ..Default::default()
                };
                api.authentication().confirm_password_reset(request).await?;
            }
            Call::StartEmailChange { user, address } => {
                let (user_id, new_email) = (self.user_id(*user), self.model.address(address));
                let request = pb::StartEmailChangeRequest { user_id, new_email, ..Default::default() };
                answer.text = api.authentication().start_email_change(request).await?.into_inner().plaintext_token;
            }
            Call::ConfirmEmailChange { mail, proof } => {
                let request = pb::ConfirmEmailChangeRequest {
                    plaintext_token: self.model.mails[*mail].text.clone(),
                    access_token: self.access(*proof),
                    ..Default::default()
                };
                answer.name = api.authentication().confirm_email_change(request).await?.into_inner().former_email;
            }
            _ => return Ok(None),
        }
        Ok(Some(answer))
    }

    /// Passwords.
    async fn call_passwords(&self, api: &Api, call: &Call) -> Result<Option<Answer>, Status> {
        match call {
            Call::VerifyPassword { user, right } => {
                let (user_id, password) = (self.user_id(*user), self.password(*user, *right));
                let request = pb::VerifyPasswordRequest { user_id, password, ..Default::default() };
                api.authentication().verify_password(request).await?;
            }
            Call::SetPassword(user) => {
                let (user_id, password) = (self.user_id(*user), PASSWORDS[1].to_owned());
                let request = pb::SetPasswordRequest { user_id, password, ..Default::default() };
                api.authentication().set_password(request).await?;
            }
            Call::ChangePassword { user, right, password, keep, except, revoke } => {
                let mut request = pb::ChangePasswordRequest {
                    user_id: self.user_id(*user),
                    current_password: self.password(*user, *right),
                    new_password: (*password).to_owned(),
                    keep_sessions: *keep,
                    revoke_api_keys: *revoke,
                    ..Default::default()
                };
                sessions::except_in_change(&mut request, self.session_id(*except));
                api.authentication().change_password(request).await?;
            }
            Call::ImportPasswordHash(user) => {
                let (user_id, password_hash) = (self.user_id(*user), CHEAP_HASH.to_owned());
                let request = pb::ImportPasswordHashRequest { user_id, password_hash, ..Default::default() };
                api.authentication().import_password_hash(request).await?;
            }
            Call::RemovePassword(user) => {
                let request = pb::RemovePasswordRequest { user_id: self.user_id(*user), ..Default::default() };
                api.authentication().remove_password(request).await?;
            }
            _ => return Ok(None),
        }
        Ok(Some(Answer::default()))
    }

    /// Signing up, in and out.
    async fn call_sign_in(&self, api: &Api, call: &Call) -> Result<Option<Answer>, Status> {
        let organization_id = |organization: &usize| self.organization_id(*organization);
        let mut answer = Answer::default();
        match call {
            Call::SignUp { address, password, organization } => {
                let named = |text: String| if *organization { text } else { String::new() };
                let request = pb::SignUpRequest {
                    email: self.model.address(address),
                    name: "Somebody".to_owned(),
                    password: (*password).to_owned(),
                    organization_name: named("Signed up".to_owned()),
                    organization_slug: named(unique("signed-up-")),
                    ..Default::default()
                };
                let created = api.authentication().sign_up(request).await?.into_inner();
                answer.other_id = created.user.unwrap().id;
                if let Some(organization) = created.organization {
                    let key = pb::UserAndOrganization {
                        user_id: answer.other_id.clone(),
                        organization_id: organization.id.clone(),
                    };
                    let key = Some(get_membership_request::Key::UserAndOrganization(key));
                    let found = self.api(ROOT).memberships().get_membership(pb::GetMembershipRequest { key }).await?;
                    answer.text = found.into_inner().membership.unwrap().id;
                    (answer.id, answer.name) = (organization.id, organization.slug);
                }
            }
            Call::SignIn { user, right, organization } => {
                let request = pb::SignInRequest {
                    email: self.model.users[*user].email.clone(),
                    password: self.password(*user, *right),
                    organization_id: organization.as_ref().map_or_else(String::new, organization_id),
                    ..Default::default()
                };
                let created = api.authentication().sign_in(request).await?.into_inner().issued();
                answer.id = sessions::id(&created.session.unwrap());
                (answer.text, answer.access) = (created.plaintext_token, created.access_token);
            }
            Call::Refresh { session, stale, organization } => {
                let request = pb::RefreshRequest {
                    plaintext_token: self.refresh_token(*session, *stale),
                    organization_id: organization.map(|of| of.as_ref().map_or_else(String::new, organization_id)),
                    ..Default::default()
                };
                let created = api.authentication().refresh(request).await?.into_inner().issued();
                (answer.text, answer.access) = (created.plaintext_token, created.access_token);
            }
            Call::SignOut { session, all } => {
                let plaintext_token = session.map_or_else(String::new, |session| self.refresh_token(session, false));
                let request = pb::SignOutRequest { plaintext_token, all_sessions: *all, ..Default::default() };
                api.authentication().sign_out(request).await?;
            }
            _ => return Ok(None),
        }
        Ok(Some(answer))
    }

    /// Refresh tokens, access tokens and sessions.
    async fn call_tokens(&self, api: &Api, call: &Call) -> Result<Option<Answer>, Status> {
        let mut answer = Answer::default();
        match call {
            Call::GetSigningKeys => {
                api.authentication().get_signing_keys(pb::GetSigningKeysRequest {}).await?;
            }
            Call::IntrospectToken(session, access) => {
                let access_token = self.access(Some((*session, *access)));
                let request = pb::IntrospectTokenRequest { access_token };
                let reported = api.authentication().introspect_token(request).await?.into_inner();
                (answer.flag, answer.name, answer.texts) = (reported.active, reported.role, reported.permissions);
            }
            Call::CreateRefreshToken(user) => {
                let request = pb::CreateRefreshTokenRequest { user_id: self.user_id(*user), ..Default::default() };
                let created = api.refresh_tokens().create_refresh_token(request).await?.into_inner().issued();
                (answer.id, answer.text) = (sessions::id(&created.session.unwrap()), created.plaintext_token);
            }
            Call::ListSessions(user) => {
                let request = pb::ListSessionsRequest { user_id: self.user_id(*user), ..Default::default() };
                api.sessions().list_sessions(request).await?;
            }
            Call::RotateRefreshToken { session, stale } => {
                let plaintext_token = self.refresh_token(*session, *stale);
                let request = pb::RotateRefreshTokenRequest { plaintext_token, ..Default::default() };
                answer.text =
                    api.refresh_tokens().rotate_refresh_token(request).await?.into_inner().issued().plaintext_token;
            }
            Call::RevokeRefreshToken(session) => {
                let plaintext_token = self.refresh_token(*session, false);
                let request = pb::RevokeRefreshTokenRequest { plaintext_token, ..Default::default() };
                api.refresh_tokens().revoke_refresh_token(request).await?;
            }
            Call::GetSession(session) => {
                let request = pb::GetSessionRequest { session_id: self.session_id(Some(*session)) };
                api.sessions().get_session(request).await?;
            }
            Call::RevokeSession(session) => {
                let request =
                    pb::RevokeSessionRequest { session_id: self.session_id(Some(*session)), ..Default::default() };
                api.sessions().revoke_session(request).await?;
            }
            Call::RevokeAllSessions { user, except } => {
                let user_id = self.user_id(*user);
                let mut request = pb::RevokeAllSessionsRequest { user_id, ..Default::default() };
                sessions::except_in_revoke(&mut request, self.session_id(*except));
                api.sessions().revoke_all_sessions(request).await?;
            }
            _ => return Ok(None),
        }
        Ok(Some(answer))
    }

    /// Permissions and events.
    async fn call_checks(&self, api: &Api, call: &Call) -> Result<Option<Answer>, Status> {
        let organization_id = |organization: &usize| self.organization_id(*organization);
        match call {
            Call::CheckPermission { subject, organization } => {
                let subject = match subject {
                    Subject::User(user) => check_permission_request::Subject::UserId(self.user_id(*user)),
                    Subject::Key(key) => check_permission_request::Subject::ApiKeyId(self.key_id(*key)),
                };
                let (organization_id, permission) = (self.organization_id(*organization), "invoices:read".to_owned());
                let request = pb::CheckPermissionRequest { subject: Some(subject), organization_id, permission };
                api.authorization().check_permission(request).await?;
            }
            Call::BatchCheckPermissions => {
                let check = pb::CheckPermissionRequest {
                    subject: Some(check_permission_request::Subject::UserId(self.user_id(0))),
                    organization_id: self.organization_id(0),
                    permission: "invoices:read".to_owned(),
                };
                let request = pb::BatchCheckPermissionsRequest { checks: vec![check] };
                api.authorization().batch_check_permissions(request).await?;
            }
            Call::ListEffectivePermissions { subject, organization } => {
                use pb::list_effective_permissions_request::Subject as Asked;
                let subject = Some(match subject {
                    Subject::User(user) => Asked::UserId(self.user_id(*user)),
                    Subject::Key(key) => Asked::ApiKeyId(self.key_id(*key)),
                });
                let organization_id = self.organization_id(*organization);
                let request = pb::ListEffectivePermissionsRequest { subject, organization_id };
                api.authorization().list_effective_permissions(request).await?;
            }
            Call::ListPrincipalsWithPermission(organization) => {
                let request = pb::ListPrincipalsWithPermissionRequest {
                    organization_id: self.organization_id(*organization),
                    permission: "invoices:read".to_owned(),
                    ..Default::default()
                };
                api.authorization().list_principals_with_permission(request).await?;
            }
            Call::ListEvents(organization) => {
                let organization_id = organization.as_ref().map_or_else(String::new, organization_id);
                let request = pb::ListEventsRequest { organization_id, page_size: 1, ..Default::default() };
                api.events().list_events(request).await?;
            }
            Call::WatchEvents(organization) => {
                let organization_id = organization.as_ref().map_or_else(String::new, organization_id);
                let request = pb::WatchEventsRequest { organization_id, ..Default::default() };
                api.events().watch_events(request).await?.into_inner().message().await?;
            }
            Call::ExportSnapshot(organization) => {
                let organization_id = organization.as_ref().map_or_else(String::new, organization_id);
                let resource_types = vec![pb::ResourceType::Role.into()];
                let request = pb::ExportSnapshotRequest { organization_id, resource_types };
                api.events().export_snapshot(request).await?.into_inner().message().await?;
            }
            _ => return Ok(None),
        }
        Ok(Some(Answer::default()))
    }

    /// Joining, leaving and handing over an organization.
    async fn call_joining(&self, api: &Api, call: &Call) -> Result<Option<Answer>, Status> {
        let user_id = |user: &usize| self.user_id(*user);
        let mut answer = Answer::default();
        match call {
            Call::AcceptInvitation { invitation, by_token, user, proof } => {
                let key = if *by_token {
                    accept_invitation_request::Key::PlaintextToken(self.invitation_text(*invitation))
                } else {
                    accept_invitation_request::Key::InvitationId(self.invitation_id(*invitation))
                };
                let request = pb::AcceptInvitationRequest {
                    key: Some(key),
                    user_id: user.as_ref().map_or_else(String::new, user_id),
                    access_token: self.access(*proof),
                    ..Default::default()
                };
                let created = api.invitations().accept_invitation(request).await?.into_inner();
                answer.id = created.membership.unwrap().id;
            }
            Call::DeclineInvitation { invitation, by_token, user } => {
                let key = if *by_token {
                    decline_invitation_request::Key::PlaintextToken(self.invitation_text(*invitation))
                } else {
                    decline_invitation_request::Key::InvitationId(self.invitation_id(*invitation))
                };
                let user_id = user.as_ref().map_or_else(String::new, user_id);
                let request = pb::DeclineInvitationRequest { key: Some(key), user_id, ..Default::default() };
                api.invitations().decline_invitation(request).await?;
            }
            Call::TransferOwnership { organization, from, to } => {
                let request = pb::TransferOwnershipRequest {
                    organization_id: self.organization_id(*organization),
                    new_owner_user_id: self.user_id(*to),
                    former_owner_user_id: self.user_id(*from),
                    ..Default::default()
                };
                api.organizations().transfer_ownership(request).await?;
            }
            Call::LeaveOrganization(organization) => {
                let organization_id = self.organization_id(*organization);
                let request = pb::LeaveOrganizationRequest { organization_id, ..Default::default() };
                api.organizations().leave_organization(request).await?;
            }
            _ => return Ok(None),
        }
        Ok(Some(answer))
    }

    /// Invitations.
    async fn call_invitations(&self, api: &Api, call: &Call) -> Result<Option<Answer>, Status> {
        let mut answer = Answer::default();
        match call {
            Call::CreateInvitation { organization, address, role } => {
                let request = self.new_invitation(*organization, address, role);
                let created = api.invitations().create_invitation(request).await?.into_inner();
                (answer.id, answer.text) = (created.invitation.unwrap().id, created.plaintext_token);
            }
            Call::GetInvitation { invitation, by_token } => {
                let key = if *by_token {
                    get_invitation_request::Key::PlaintextToken(self.invitation_text(*invitation))
                } else {
                    get_invitation_request::Key::InvitationId(self.invitation_id(*invitation))
                };
                api.invitations().get_invitation(pb::GetInvitationRequest { key: Some(key) }).await?;
            }
            Call::ListInvitations(organization) => {
                let filter =
                    Some(list_invitations_request::Filter::OrganizationId(self.organization_id(*organization)));
                let request = pb::ListInvitationsRequest { filter, ..Default::default() };
                api.invitations().list_invitations(request).await?;
            }
            Call::ResendInvitation(invitation) => {
                let request = pb::ResendInvitationRequest {
                    invitation_id: self.invitation_id(*invitation),
                    ..Default::default()
                };
                answer.text = api.invitations().resend_invitation(request).await?.into_inner().plaintext_token;
            }
            Call::RevokeInvitation(invitation) => {
                let request = pb::RevokeInvitationRequest {
                    invitation_id: self.invitation_id(*invitation),
                    ..Default::default()
                };
                api.invitations().revoke_invitation(request).await?;
            }
            _ => return Ok(None),
        }
        Ok(Some(answer))
    }

    /// Memberships.
    async fn call_memberships(&self, api: &Api, call: &Call) -> Result<Option<Answer>, Status> {
        let mut answer = Answer::default();
        match call {
            Call::CreateMembership { user, organization, role, extra } => {
                let request = self.new_membership(*user, *organization, role, extra);
                answer.id = api.memberships().create_membership(request).await?.into_inner().membership.unwrap().id;
            }
            Call::GetMembership { user, organization } => {
                let key = get_membership_request::Key::MembershipId(self.membership_id(*user, *organization));
                api.memberships().get_membership(pb::GetMembershipRequest { key: Some(key) }).await?;
            }
            Call::ListMemberships(organization) => {
                let organization_id = self.organization_id(*organization);
                let request = pb::ListMembershipsRequest { organization_id, ..Default::default() };
                api.memberships().list_memberships(request).await?;
            }
            Call::ListMembers(organization) => {
                let organization_id = self.organization_id(*organization);
                let request = pb::ListMembersRequest { organization_id, ..Default::default() };
                api.memberships().list_members(request).await?;
            }
            Call::CountMembers(organization) => {
                let organization_id = self.organization_id(*organization);
                let request = pb::CountMembersRequest { organization_id, ..Default::default() };
                api.memberships().count_members(request).await?;
            }
            Call::UpdateMembership { user, organization, role, extra } => {
                let request = self.changed_membership(*user, *organization, *role, extra.as_deref());
                api.memberships().update_membership(request).await?;
            }
            Call::DeleteMembership { user, organization } => {
                let membership_id = self.membership_id(*user, *organization);
                let request = pb::DeleteMembershipRequest { membership_id, ..Default::default() };
                api.memberships().delete_membership(request).await?;
            }
            Call::DisableMembership { user, organization } => {
                let membership_id = self.membership_id(*user, *organization);
                let request = pb::DisableMembershipRequest { membership_id, ..Default::default() };
                api.memberships().disable_membership(request).await?;
            }
            Call::EnableMembership { user, organization } => {
                let membership_id = self.membership_id(*user, *organization);
                let request = pb::EnableMembershipRequest { membership_id, ..Default::default() };
                api.memberships().enable_membership(request).await?;
            }
            _ => return Ok(None),
        }
        Ok(Some(answer))
    }

    /// Links to providers.
    async fn call_links(&self, api: &Api, call: &Call) -> Result<Option<Answer>, Status> {
        let mut answer = Answer::default();
        match call {
            Call::LinkOauthAccount { user, vouched } => {
                let request = pb::LinkOauthAccountRequest {
                    user_id: self.user_id(*user),
                    provider: "github".to_owned(),
                    provider_user_id: unique("subject-"),
                    email: self.model.users[*user].email.clone(),
                    tokens: Some(pb::OauthTokens {
                        access_token: Some("of the provider".to_owned()),
                        ..Default::default()
                    }),
                    email_verified_by_provider: *vouched,
                    ..Default::default()
                };
                let linked = api.oauth_accounts().link_oauth_account(request).await?.into_inner();
                let linked = linked.oauth_account.unwrap();
                (answer.id, answer.name) = (linked.id, linked.provider_user_id);
            }
            Call::GetOauthAccount(user) => {
                let request = pb::GetOauthAccountRequest { oauth_account_id: self.link(*user).0 };
                api.oauth_accounts().get_oauth_account(request).await?;
            }
            Call::ListOauthAccounts(user) => {
                let request = pb::ListOauthAccountsRequest { user_id: self.user_id(*user), ..Default::default() };
                api.oauth_accounts().list_oauth_accounts(request).await?;
            }
            Call::GetOauthAccountByProvider(user) => {
                let (provider, provider_user_id) = ("github".to_owned(), self.link(*user).1);
                let request = pb::GetOauthAccountByProviderRequest { provider, provider_user_id };
                api.oauth_accounts().get_oauth_account_by_provider(request).await?;
            }
            Call::SetOauthAccountTokens(user) => {
                let request = pb::SetOauthAccountTokensRequest {
                    oauth_account_id: self.link(*user).0,
                    tokens: Some(pb::OauthTokens {
                        access_token: Some("another one".to_owned()),
                        ..Default::default()
                    }),
                    ..Default::default()
                };
                api.oauth_accounts().set_oauth_account_tokens(request).await?;
            }
            Call::GetOauthAccountTokens(user) => {
                let request = pb::GetOauthAccountTokensRequest { oauth_account_id: self.link(*user).0 };
                api.oauth_accounts().get_oauth_account_tokens(request).await?;
            }
            Call::UnlinkOauthAccount(user) => {
                let oauth_account_id = self.link(*user).0;
                let request = pb::UnlinkOauthAccountRequest { oauth_account_id, ..Default::default() };
                api.oauth_accounts().unlink_oauth_account(request).await?;
            }
            _ => return Ok(None),
        }
        Ok(Some(answer))
    }

    /// States of organizations.
    async fn call_organization_states(&self, api: &Api, call: &Call) -> Result<Option<Answer>, Status> {
        let mut answer = Answer::default();
        match call {
            Call::DeleteOrganization(organization) => {
                let organization_id = self.organization_id(*organization);
                let request = pb::DeleteOrganizationRequest { organization_id, ..Default::default() };
                api.organizations().delete_organization(request).await?;
            }
            Call::SuspendOrganization(organization) => {
                let organization_id = self.organization_id(*organization);
                let request = pb::SuspendOrganizationRequest { organization_id, ..Default::default() };
                api.organizations().suspend_organization(request).await?;
            }
            Call::ReactivateOrganization(organization) => {
                let organization_id = self.organization_id(*organization);
                let request = pb::ReactivateOrganizationRequest { organization_id, ..Default::default() };
                api.organizations().reactivate_organization(request).await?;
            }
            Call::UndeleteOrganization { organization, restore } => {
                let (organization_id, restore_api_keys) = (self.organization_id(*organization), *restore);
                let request =
                    pb::UndeleteOrganizationRequest { organization_id, restore_api_keys, ..Default::default() };
                let created = api.organizations().undelete_organization(request).await?.into_inner();
                answer.flag = created.organization.unwrap().state() == pb::OrganizationState::Suspended;
            }
            Call::PurgeOrganization(organization) => {
                let organization_id = self.organization_id(*organization);
                let request = pb::PurgeOrganizationRequest { organization_id, ..Default::default() };
                api.organizations().purge_organization(request).await?;
            }
            _ => return Ok(None),
        }
        Ok(Some(answer))
    }

    /// Organizations.
    async fn call_organizations(&self, api: &Api, call: &Call) -> Result<Option<Answer>, Status> {
        let mut answer = Answer::default();
        match call {
            Call::CreateOrganization { owner } => {
                let request = pb::CreateOrganizationRequest {
                    name: "Acme".to_owned(),
                    slug: unique("acme-"),
                    owner_user_id: self.user_id(*owner),
                    ..Default::default()
                };
                let created = api.organizations().create_organization(request).await?.into_inner();
                let organization = created.organization.unwrap();
                (answer.id, answer.name) = (organization.id, organization.slug);
                answer.other_id = created.owner_membership_id;
            }
            Call::GetOrganization(organization) => {
                let request = pb::GetOrganizationRequest { organization_id: self.organization_id(*organization) };
                api.organizations().get_organization(request).await?;
            }
            Call::ListOrganizations => {
                let request = pb::ListOrganizationsRequest { page_size: 1, ..Default::default() };
                api.organizations().list_organizations(request).await?;
            }
            Call::UpdateOrganization { organization, plan } => {
                let request = pb::UpdateOrganizationRequest {
                    organization_id: self.organization_id(*organization),
                    name: "Acme anew".to_owned(),
                    plan: "pro".to_owned(),
                    update_mask: mask(&[if *plan { "plan" } else { "name" }]),
                    ..Default::default()
                };
                let created = api.organizations().update_organization(request).await?.into_inner();
                answer.name = created.organization.unwrap().slug;
            }
            Call::GetOrganizationBySlug(organization) => {
                let slug = self.model.organizations[*organization].slug.clone();
                api.organizations().get_organization_by_slug(pb::GetOrganizationBySlugRequest { slug }).await?;
            }
            Call::BatchGetOrganizations(organization) => {
                let organization_ids = vec![self.organization_id(*organization)];
                api.organizations()
                    .batch_get_organizations(pb::BatchGetOrganizationsRequest {
                        organization_ids,
                        ..Default::default()
                    })
                    .await?;
            }
            _ => return Ok(None),
        }
        Ok(Some(answer))
    }

    /// Roles.
    async fn call_roles(&self, api: &Api, call: &Call) -> Result<Option<Answer>, Status> {
        let mut answer = Answer::default();
        match call {
            Call::CreateRole { organization, name, permissions } => {
                let request = pb::CreateRoleRequest {
                    organization_id: self.organization_id(*organization),
                    name: (*name).to_owned(),
                    permissions: texts(permissions),
                    ..Default::default()
                };
                answer.id = api.roles().create_role(request).await?.into_inner().role.unwrap().id;
            }
            Call::GetRole { organization, name } => {
                let key = Some(get_role_request::Key::RoleId(self.role_id(*organization, name)));
                api.roles().get_role(pb::GetRoleRequest { key }).await?;
            }
            Call::ListRoles(organization) => {
                let organization_id = self.organization_id(*organization);
                api.roles().list_roles(pb::ListRolesRequest { organization_id, ..Default::default() }).await?;
            }
            Call::UpdateRole { organization, name, permissions } => {
                let request = pb::UpdateRoleRequest {
                    role_id: self.role_id(*organization, name),
                    permissions: texts(permissions),
                    update_mask: mask(&["permissions"]),
                    ..Default::default()
                };
                api.roles().update_role(request).await?;
            }
            Call::DeleteRole { organization, name } => {
                let role_id = self.role_id(*organization, name);
                api.roles().delete_role(pb::DeleteRoleRequest { role_id, ..Default::default() }).await?;
            }
            _ => return Ok(None),
        }
        Ok(Some(answer))
    }

    /// States of users.
    async fn call_user_states(&self, api: &Api, call: &Call) -> Result<Option<Answer>, Status> {
        let mut answer = Answer::default();
        match call {
            Call::DeleteUser(user) => {
                let request = pb::DeleteUserRequest { user_id: self.user_id(*user), ..Default::default() };
                api.users().delete_user(request).await?;
            }
            Call::SuspendUser(user) => {
                let request = pb::SuspendUserRequest { user_id: self.user_id(*user), ..Default::default() };
                api.users().suspend_user(request).await?;
            }
            Call::ReactivateUser(user) => {
                let request = pb::ReactivateUserRequest { user_id: self.user_id(*user), ..Default::default() };
                api.users().reactivate_user(request).await?;
            }
            Call::UndeleteUser { user, restore } => {
                let (user_id, restore_api_keys) = (self.user_id(*user), *restore);
                let request = pb::UndeleteUserRequest { user_id, restore_api_keys, ..Default::default() };
                let created = api.users().undelete_user(request).await?.into_inner();
                answer.flag = created.user.unwrap().state() == pb::UserState::Suspended;
            }
            Call::PurgeUser { user, sole } => {
                let (user_id, purge_sole_organizations) = (self.user_id(*user), *sole);
                let request = pb::PurgeUserRequest { user_id, purge_sole_organizations, ..Default::default() };
                api.users().purge_user(request).await?;
            }
            Call::DeleteOwnUser { user, right, sole } => {
                let request = pb::DeleteOwnUserRequest {
                    user_id: self.user_id(*user),
                    password: self.password(*user, *right),
                    delete_sole_organizations: *sole,
                    ..Default::default()
                };
                api.users().delete_own_user(request).await?;
            }
            Call::ExportOwnData(user) => {
                let request = pb::ExportOwnDataRequest { user_id: self.user_id(*user) };
                api.users().export_own_data(request).await?.into_inner().message().await?;
            }
            Call::GrantPlatformAdmin(user) => {
                let request = pb::GrantPlatformAdminRequest { user_id: self.user_id(*user), ..Default::default() };
                api.users().grant_platform_admin(request).await?;
            }
            Call::RevokePlatformAdmin(user) => {
                let request = pb::RevokePlatformAdminRequest { user_id: self.user_id(*user), ..Default::default() };
                api.users().revoke_platform_admin(request).await?;
            }
            _ => return Ok(None),
        }
        Ok(Some(answer))
    }

    /// Users.
    async fn call_users(&self, api: &Api, call: &Call) -> Result<Option<Answer>, Status> {
        let mut answer = Answer::default();
        match call {
            Call::CreateUser { address, verified } => {
                let request = pb::CreateUserRequest {
                    email: self.model.address(address),
                    name: "Somebody".to_owned(),
                    email_verified: *verified,
                    ..Default::default()
                };
                answer.id = api.users().create_user(request).await?.into_inner().user.unwrap().id;
            }
            Call::GetUser(user) => {
                api.users().get_user(pb::GetUserRequest { user_id: self.user_id(*user) }).await?;
            }
            Call::ListUsers { deleted } => {
                let state = if *deleted { pb::UserState::Deleted } else { pb::UserState::Unspecified };
                let request = pb::ListUsersRequest { state: state.into(), page_size: 1, ..Default::default() };
                api.users().list_users(request).await?;
            }
            Call::UpdateUser { user, email, verify } => {
                let mut paths = vec![if email.is_some() { "email" } else { "name" }];
                paths.extend(verify.map(|_| "email_verified"));
                let request = pb::UpdateUserRequest {
                    user_id: self.user_id(*user),
                    email: email.as_ref().map_or_else(String::new, |address| self.model.address(address)),
                    name: "Somebody else".to_owned(),
                    email_verified: verify.is_some(),
                    access_token: self.access(verify.flatten()),
                    update_mask: mask(&paths),
                    ..Default::default()
                };
                api.users().update_user(request).await?;
            }
            Call::GetUserByEmail(user) => {
                let email = self.model.users[*user].email.clone();
                api.users().get_user_by_email(pb::GetUserByEmailRequest { email }).await?;
            }
            Call::BatchGetUsers(user) => {
                let request = pb::BatchGetUsersRequest { user_ids: vec![self.user_id(*user)], ..Default::default() };
                api.users().batch_get_users(request).await?;
            }
            Call::ImportUsers => {
                let row = pb::ImportedUser {
                    external_id: unique("external-"),
                    email: format!("{}@example.com", unique("person")),
                    name: "Somebody".to_owned(),
                    password_hash: CHEAP_HASH.to_owned(),
                    ..Default::default()
                };
                answer.name.clone_from(&row.email);
                let batch = tokio_stream::once(pb::ImportUsersRequest { users: vec![row] });
                let mut answers = api.users().import_users(batch).await?.into_inner();
                let results = answers.message().await?.unwrap().results;
                let Some(imported_user_result::Outcome::CreatedUserId(id)) = &results[0].outcome else {
                    panic!("{results:?}")
                };
                answer.id.clone_from(id);
            }
            _ => return Ok(None),
        }
        Ok(Some(answer))
    }

    /// Tests every credential ever created, and asserts the laws that hold after any steps.
    pub async fn probe(&mut self, counts: &mut Counts) {
        // Only a platform admin's key has created keys of platform admins.
        assert!(self.model.keys.iter().all(|key| !key.made_lowly), "{}", self.story());
        self.probe_what_opens_methods().await;
        self.probe_keys().await;
        self.probe_permissions().await;
        self.probe_access_tokens(counts).await;
        self.probe_invitations(counts).await;
        self.probe_sessions(counts).await;
        self.probe_mails(counts).await;
    }

    /// Each key and access token permits exactly what the model says; an unknown one permits nothing.
    async fn probe_what_opens_methods(&self) {
        for credential in self.model.credentials() {
            // Changes nothing for any caller, since the address is taken.
            let request =
                pb::CreateUserRequest { email: ROOT_EMAIL.to_owned(), name: "Nobody".to_owned(), ..Default::default() };
            let status = self.api(credential).users().create_user(request).await.unwrap_err();
            let reason = reason_of(&status);
            let is_right = match self.model.who(credential) {
                None => reason == "UNAUTHENTICATED",
                Some(who) if who.admin && who.scopes.has("users:write") => reason == "USER_EMAIL_TAKEN",
                Some(who) if !who.scopes.has("users:write") => reason == "SCOPE_MISSING",
                Some(_) => reason == "PLATFORM_ADMIN_REQUIRED",
            };
            assert!(is_right, "{credential:?} is {:?}: {reason}\n{}", self.model.who(credential), self.story());
        }
    }

    /// Each secret of a key is reported as valid exactly when it is, with the scopes of the model.
    async fn probe_keys(&self) {
        let keys: Vec<Credential> = self
            .model
            .credentials()
            .into_iter()
            .filter(|credential| !matches!(credential, Credential::Access(..)))
            .collect();
        let questions = keys.iter().map(|credential| pb::ApiKeyQuestion {
            plaintext_key: self.model.text(*credential).to_owned(),
            ip_address: "127.0.0.1".to_owned(),
            ..Default::default()
        });
        let request = pb::BatchVerifyApiKeysRequest { questions: questions.collect() };
        let results = self.api(ROOT).api_keys().batch_verify_api_keys(request).await.answered().results;
        for (credential, result) in keys.into_iter().zip(results) {
            let Some(batch_verify_api_keys_result::Outcome::Verification(reported)) = result.outcome else {
                panic!("{result:?}")
            };
            let who = self.model.who(credential);
            let is_valid = reported.verdict() == pb::ApiKeyVerdict::Valid;
            assert_eq!(is_valid, who.is_some(), "{credential:?}: {reported:?}\n{}", self.story());
            if let Some(who) = who {
                let key = pb::ApiKey::decode(reported.api_key).unwrap();
                let scopes: Vec<&str> = key.scopes.iter().map(String::as_str).collect();
                assert_eq!(Set::of(&scopes), who.scopes, "{credential:?}\n{}", self.story());
            }
        }
    }

    /// Every user and key has exactly the permissions of the model in each organization.
    async fn probe_permissions(&self) {
        let mut checks = Vec::new();
        let mut expected = Vec::new();
        for organization in 0..self.model.organizations.len() {
            for permission in ASKED {
                let users = (0..self.model.users.len()).map(|user| {
                    let subject = check_permission_request::Subject::UserId(self.user_id(user));
                    (subject, self.model.user_may(user, organization, permission))
                });
                let keys = (1..self.model.keys.len()).map(|key| {
                    let subject = check_permission_request::Subject::ApiKeyId(self.model.keys[key].id.clone());
                    (subject, self.model.key_may(key, organization, permission))
                });
                for (subject, may) in users.chain(keys) {
                    expected.push((may, format!("{subject:?} {permission} in {organization}")));
                    let (organization_id, permission) = (self.organization_id(organization), permission.to_owned());
                    checks.push(pb::CheckPermissionRequest { subject: Some(subject), organization_id, permission });
                }
            }
        }
        for (checks, expected) in checks.chunks(1_000).zip(expected.chunks(1_000)) {
            let request = pb::BatchCheckPermissionsRequest { checks: checks.to_vec() };
            let results = self.api(ROOT).authorization().batch_check_permissions(request).await.unwrap();
            for (result, (may, what)) in results.into_inner().results.into_iter().zip(expected) {
                // A missing subject has no permission.
                let reported = match result.outcome {
                    Some(batch_check_permissions_result::Outcome::Decision(decision)) => decision.allowed,
                    _ => false,
                };
                assert!(may.is_none_or(|may| may == reported), "{what}: {reported}\n{}", self.story());
            }
        }
    }

    async fn probe_access_tokens(&mut self, counts: &mut Counts) {
        for session in 0..self.model.sessions.len() {
            for access in 0..self.model.sessions[session].access.len() {
                self.take(ROOT, Call::IntrospectToken(session, access), counts).await;
            }
        }
    }

    /// A deleted invitation is not found by any of its tokens, and an expired one cannot be accepted.
    async fn probe_invitations(&mut self, counts: &mut Counts) {
        for at in 0..self.model.invitations.len() {
            self.take(ROOT, Call::GetInvitation { invitation: at, by_token: true }, counts).await;
            for former in &self.model.invitations[at].former {
                let key = Some(get_invitation_request::Key::PlaintextToken(former.clone()));
                let found = self.api(ROOT).invitations().get_invitation(pb::GetInvitationRequest { key }).await;
                assert!(found.is_err(), "a former token of invitation {at} is found\n{}", self.story());
            }
            let address = &self.model.invitations[at].address;
            let invited =
                self.model.users.iter().position(|user| user.email == *address && user.state == State::Active);
            if let (Standing::Expired | Standing::Unsure, Some(user)) = (self.model.invitations[at].standing, invited) {
                let call = Call::AcceptInvitation { invitation: at, by_token: true, user: Some(user), proof: None };
                self.take(ROOT, call, counts).await;
            }
        }
    }

    /// Each session continues, with the key that started it, exactly if it has not ended.
    async fn probe_sessions(&mut self, counts: &mut Counts) {
        for session in 0..self.model.sessions.len() {
            let credential = Credential::Key(self.model.sessions[session].key);
            let Some(who) = self.model.who(credential) else { continue };
            let call = if who.admin && who.scopes.has("authentication:write") {
                Call::Refresh { session, stale: false, organization: Some(None) }
            } else {
                Call::RotateRefreshToken { session, stale: false }
            };
            self.take(credential, call, counts).await;
        }
    }

    /// Each mailed token works exactly if it is live. Tries the dead ones first, since a working one can end others.
    async fn probe_mails(&mut self, counts: &mut Counts) {
        let mut all: Vec<usize> = (0..self.model.mails.len()).collect();
        all.sort_by_key(|mail| self.model.mails[*mail].live);
        for mail in all {
            let user = self.model.mails[mail].user;
            let proof = (0..self.model.sessions.len())
                .find(|at| self.model.shows(user, Some((*at, 0))) && !self.model.sessions[*at].access.is_empty())
                .map(|session| (session, 0));
            let call = match self.model.mails[mail].kind {
                Mailed::Verification => Call::ConfirmEmailVerification { mail, proof },
                Mailed::Change => Call::ConfirmEmailChange { mail, proof },
                Mailed::Reset => {
                    let password = Draw::new(&mut self.random, &self.model, ROOT).new_password(user);
                    Call::ConfirmPasswordReset { mail, password, keep: false, revoke: false }
                }
            };
            self.take(ROOT, call, counts).await;
        }
    }

    /// Restores the original set of platform admins: a change of one locks all of them, so there should be few.
    pub async fn clear(self) {
        for (at, user) in self.model.users.iter().enumerate() {
            if user.admin && matches!(user.state, State::Active | State::Suspended) {
                let call = Call::RevokePlatformAdmin(at);
                let mut revoked = self.call(ROOT, &call).await;
                while revoked.as_ref().is_err_and(|status| status.code() == Code::Aborted) {
                    tokio::task::yield_now().await;
                    revoked = self.call(ROOT, &call).await;
                }
                assert!(revoked.is_ok(), "{revoked:?}\n{}", self.story());
            }
        }
    }
}

/// The refusal of the item of a batch, as that of a call.
fn refusal_of_item(error: &pb::BatchItemError) -> Status {
    let details = ErrorDetails::with_error_info(name(error.reason()), "tenantry", HashMap::new());
    Status::with_error_details(code(error.reason()), error.message.clone(), details)
}

/// The id of the only membership of a batch.
fn id_of_membership(mut results: Vec<pb::BatchMembershipResult>) -> Result<String, Status> {
    match results.remove(0).outcome.unwrap() {
        batch_membership_result::Outcome::Membership(membership) => Ok(membership.id),
        batch_membership_result::Outcome::MembershipId(id) => Ok(id),
        batch_membership_result::Outcome::Error(error) => Err(refusal_of_item(&error)),
    }
}

/// The outcome for the only user of a batch.
fn is_done_to_user(results: &[pb::BatchUserResult]) -> Result<(), Status> {
    match results[0].outcome.as_ref().unwrap() {
        batch_user_result::Outcome::Error(error) => Err(refusal_of_item(error)),
        _ => Ok(()),
    }
}

/// True if a call locks all platform admins.
fn locks_admins(call: &Call) -> bool {
    matches!(
        call.item().unwrap_or(call),
        Call::GrantPlatformAdmin(_)
            | Call::RevokePlatformAdmin(_)
            | Call::SuspendUser(_)
            | Call::ReactivateUser(_)
            | Call::DeleteUser(_)
            | Call::DeleteOwnUser { .. }
            | Call::UndeleteUser { .. }
            | Call::PurgeUser { .. }
    )
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

/// The loopback addresses if limited to them.
fn ranges(local: bool) -> Vec<String> {
    if local { vec!["127.0.0.0/8".to_owned(), "::1/128".to_owned()] } else { vec![] }
}
