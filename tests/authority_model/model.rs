//! The model: which resources exist, who holds which authority, what each call gives and what it ends. Written from docs/security.md and
//! the protos.

use std::collections::BTreeMap;

use super::calls::{Address, Call, Change, Owner, Subject};

/// All scopes and permissions that the model distinguishes. `resource:?` is every permission of a resource that has no name yet, `?:?`
/// every other unnamed permission, and `?:owner` what an owner holds beyond any list of names.
const NAMES: [&str; 50] = [
    "organizations:read",
    "organizations:write",
    "organizations:delete",
    "organizations:transfer",
    "organizations:?",
    "memberships:read",
    "memberships:write",
    "memberships:?",
    "users:read",
    "users:write",
    "users:?",
    "roles:read",
    "roles:write",
    "roles:?",
    "invitations:read",
    "invitations:write",
    "invitations:?",
    "api_keys:read",
    "api_keys:write",
    "api_keys:verify",
    "api_keys:?",
    "events:read",
    "events:?",
    "authentication:read",
    "authentication:write",
    "authentication:?",
    "sessions:read",
    "sessions:write",
    "sessions:?",
    "refresh_tokens:write",
    "refresh_tokens:?",
    "oauth_accounts:read",
    "oauth_accounts:write",
    "oauth_accounts:?",
    "oauth_account_tokens:read",
    "oauth_account_tokens:?",
    "permissions:check",
    "permissions:?",
    "personal_data:read",
    "personal_data:?",
    "platform_admins:write",
    "platform_admins:authenticate",
    "platform_admins:?",
    "invoices:read",
    "invoices:write",
    "invoices:?",
    "reports:read",
    "reports:?",
    "?:?",
    "?:owner",
];

/// Scopes for keys of users.
pub const SCOPES: [&str; 32] = [
    "organizations:read",
    "organizations:write",
    "organizations:delete",
    "organizations:transfer",
    "organizations:*",
    "memberships:read",
    "memberships:write",
    "users:read",
    "users:write",
    "roles:read",
    "roles:write",
    "invitations:read",
    "invitations:write",
    "api_keys:read",
    "api_keys:write",
    "api_keys:verify",
    "api_keys:*",
    "events:read",
    "authentication:read",
    "authentication:write",
    "sessions:read",
    "sessions:write",
    "refresh_tokens:write",
    "oauth_accounts:read",
    "oauth_accounts:write",
    "oauth_account_tokens:read",
    "permissions:check",
    "personal_data:read",
    "platform_admins:write",
    "platform_admins:authenticate",
    "invoices:*",
    "*",
];

/// Scopes for keys of organizations: those that name a permission in an organization.
pub const SCOPES_OF_ORGANIZATIONS: [&str; 16] = [
    "organizations:read",
    "organizations:write",
    "organizations:delete",
    "memberships:read",
    "memberships:write",
    "users:read",
    "roles:read",
    "roles:write",
    "invitations:read",
    "invitations:write",
    "api_keys:read",
    "api_keys:write",
    "api_keys:*",
    "events:read",
    "invoices:read",
    "*",
];

/// Permissions for roles and memberships.
pub const PERMISSIONS: [&str; 14] = [
    "organizations:write",
    "organizations:delete",
    "memberships:write",
    "memberships:*",
    "roles:write",
    "invitations:read",
    "invitations:write",
    "api_keys:read",
    "api_keys:write",
    "events:read",
    "invoices:read",
    "invoices:write",
    "invoices:*",
    "*",
];

/// Permissions that are checked after a sequence.
pub const ASKED: [&str; 9] = [
    "organizations:write",
    "organizations:delete",
    "memberships:write",
    "roles:write",
    "invitations:write",
    "api_keys:write",
    "invoices:read",
    "invoices:write",
    "reports:read",
];

/// Names of the custom roles.
pub const OWN_ROLES: [&str; 2] = ["clerk", "deputy"];
/// Names of all roles.
pub const ROLES: [&str; 6] = ["owner", "admin", "member", "viewer", "clerk", "deputy"];

/// SetPassword and ImportPasswordHash end no sessions: a first password ends none, by the page.
pub const FIRST_PASSWORDS_END_SESSIONS: bool = false;
/// Sessions for an organization that is purged without having been deleted do not end, but they cannot be refreshed for it. Here the
/// server does less than the page says.
pub const PURGING_ENDS_SESSIONS: bool = false;
/// AcceptInvitation with a credential of the user verifies the e-mail, which ends every mailed token.
pub const ACCEPTING_ENDS_MAILED_TOKENS: bool = true;

/// CreateRole, UpdateRole and DeleteRole require the permissions that the role names, not those of every member: by the page, a role by
/// itself gives only the permissions that it names.
pub const ROLES_INCLUDE_WHAT_EVERY_MEMBER_MAY: bool = false;

/// A set of scopes or permissions.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Set(u64);

impl Set {
    pub const ALL: Self = Self((1 << NAMES.len()) - 1);

    /// Everything that the texts name, including by wildcards.
    pub fn of(texts: &[&str]) -> Self {
        let mut set = 0;
        for text in texts {
            let (resource, verb) = text.split_once(':').unwrap_or((text, "*"));
            for (at, name) in NAMES.iter().enumerate() {
                let (of, word) = name.split_once(':').unwrap();
                if *text == "*" || (of == resource && (verb == "*" || word == verb)) {
                    set |= 1 << at;
                }
            }
        }
        Self(set)
    }

    pub fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub fn has(self, name: &str) -> bool {
        let named = Self::of(&[name]);
        assert_ne!(named.0, 0, "{name} is not among the names");
        self.covers(named)
    }

    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn within(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub fn without(self, texts: &[&str]) -> Self {
        Self(self.0 & !Self::of(texts).0)
    }
}

impl std::fmt::Debug for Set {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set()
            .entries(NAMES.iter().enumerate().filter(|(at, _)| self.0 >> at & 1 == 1).map(|(_, name)| name))
            .finish()
    }
}

/// The permissions of every member.
fn of_every_member() -> Set {
    Set::of(&["organizations:read", "memberships:read", "users:read", "roles:read"])
}

/// The permissions that a caller must hold to create, change or delete a role.
fn of_role(permissions: &[&str]) -> Set {
    let named = Set::of(permissions);
    if ROLES_INCLUDE_WHAT_EVERY_MEMBER_MAY { of_every_member().and(named) } else { named }
}

/// The permissions of an admin: everything, including unnamed permissions, except for those only an owner holds.
pub fn of_admins() -> Set {
    Set::ALL.without(&["organizations:delete", "organizations:transfer", "organizations:?", "?:owner"])
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Active,
    Suspended,
    Deleted,
    Purged,
}

#[derive(Clone, Debug)]
pub struct User {
    pub id: String,
    pub email: String,
    /// The e-mails that it had before.
    pub former_emails: Vec<String>,
    pub verified: bool,
    pub password: Option<&'static str>,
    pub admin: bool,
    pub state: State,
    /// Links to a provider: their ids, and the provider's ids of the user.
    pub links: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
pub struct Member {
    pub id: String,
    pub role: &'static str,
    pub extra: Vec<&'static str>,
    pub disabled: bool,
}

impl Member {
    fn new(id: &str, role: &'static str, extra: Vec<&'static str>) -> Self {
        Self { id: id.to_owned(), role, extra, disabled: false }
    }
}

#[derive(Clone, Debug)]
pub struct Organization {
    pub id: String,
    pub slug: String,
    pub state: State,
    /// Ids and permissions of the custom roles.
    pub roles: BTreeMap<&'static str, (String, Vec<&'static str>)>,
    pub members: BTreeMap<usize, Member>,
}

/// The bounds of a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds {
    pub scopes: Vec<&'static str>,
    /// Hours until it ends.
    pub ends: Option<u32>,
    /// True if limited to loopback addresses.
    pub local: bool,
    /// Calls per second; 0 means unlimited.
    pub rate: u32,
}

impl Bounds {
    /// True if these bounds permit nothing beyond `other`.
    fn within(&self, other: &Self) -> bool {
        Set::of(&other.scopes).covers(Set::of(&self.scopes))
            && self.ends_within(other)
            && self.is_from_within(other)
            && self.rate_within(other)
    }

    fn ends_within(&self, other: &Self) -> bool {
        other.ends.is_none_or(|most| self.ends.is_some_and(|ends| ends <= most))
    }

    fn is_from_within(&self, other: &Self) -> bool {
        self.local || !other.local
    }

    fn rate_within(&self, other: &Self) -> bool {
        other.rate == 0 || (self.rate != 0 && self.rate <= other.rate)
    }
}

#[derive(Clone, Debug)]
pub struct Key {
    pub id: String,
    pub owner: Owner,
    pub bounds: Bounds,
    pub secret: String,
    pub former: Option<String>,
    /// Secrets from before the former one.
    pub dead: Vec<String>,
    pub revoked: bool,
    pub disabled: bool,
    /// True if the owner was a platform admin when the key was created, and the creating credential was not a platform admin's.
    pub made_lowly: bool,
    /// The user who created it, unless as a platform admin, or from whom the key that created it descends.
    pub source: Option<usize>,
}

#[derive(Clone, Debug)]
pub struct Session {
    pub id: String,
    pub user: usize,
    pub key: usize,
    pub organization: Option<usize>,
    pub live: bool,
    pub token: String,
    pub former: Vec<String>,
    /// Access tokens, each with the organization that it is for.
    pub access: Vec<(String, Option<usize>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mailed {
    Verification,
    Reset,
    Change,
}

#[derive(Clone, Debug)]
pub struct Mail {
    pub kind: Mailed,
    pub user: usize,
    pub address: String,
    pub text: String,
    pub live: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Live,
    Expired,
    /// Live or expired: unspecified.
    Unsure,
    Gone,
}

#[derive(Clone, Debug)]
pub struct Invitation {
    pub id: String,
    pub organization: usize,
    pub address: String,
    pub role: &'static str,
    pub text: String,
    pub former: Vec<String>,
    pub sender: Option<usize>,
    /// True if the sender was a platform admin when the invitation was sent.
    pub by_platform: bool,
    /// The session whose access token sent it.
    pub session: Option<usize>,
    /// The API key that sent it.
    pub key: Option<usize>,
    /// True if it expired because a role of the sender was narrowed. Whether it counts as expired before it is tried is unspecified.
    pub narrowed: bool,
    pub standing: Standing,
}

/// The credential presented with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The current secret of a key.
    Key(usize),
    /// The secret of a key before its last rotation.
    Former(usize),
    /// An older secret of a key.
    Dead(usize, usize),
    /// An access token of a session.
    Access(usize, usize),
}

/// The key of the platform admin created at the first start. No call changes it.
pub const ROOT: Credential = Credential::Key(0);

/// The caller behind a working credential.
#[derive(Clone, Debug)]
pub struct Who {
    pub user: Option<usize>,
    pub organization: Option<usize>,
    pub admin: bool,
    pub scopes: Set,
    key: Option<usize>,
    session: Option<usize>,
    former: bool,
    bounds: Bounds,
}

/// The parts of an answer that the model uses.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub id: String,
    pub other_id: String,
    pub text: String,
    pub access: String,
    pub name: String,
    pub flag: bool,
    pub texts: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub users: Vec<User>,
    pub organizations: Vec<Organization>,
    pub keys: Vec<Key>,
    pub sessions: Vec<Session>,
    pub mails: Vec<Mail>,
    pub invitations: Vec<Invitation>,
}

/// True if the call must succeed, false if it must be refused; `None` if neither the page nor a proto specifies it.
pub type Expected = Option<bool>;

// Resources and the standing of callers.
impl Model {
    fn user_exists(&self, user: usize) -> bool {
        matches!(self.users[user].state, State::Active | State::Suspended)
    }

    fn is_active(&self, user: usize) -> bool {
        self.users[user].state == State::Active
    }

    fn organization_exists(&self, organization: usize) -> bool {
        matches!(self.organizations[organization].state, State::Active | State::Suspended)
    }

    /// True if a user is the only member of an organization, deleted users aside.
    fn is_sole_member(&self, user: usize, organization: usize) -> bool {
        let members = &self.organizations[organization].members;
        let mut others = members.keys().filter(|other| **other != user);
        self.organization_exists(organization)
            && members.contains_key(&user)
            && !others.any(|other| self.user_exists(*other))
    }

    fn organization_is_active(&self, organization: usize) -> bool {
        self.organizations[organization].state == State::Active
    }

    /// The text of a credential.
    pub fn text(&self, credential: Credential) -> &str {
        match credential {
            Credential::Key(key) => &self.keys[key].secret,
            Credential::Former(key) => self.keys[key].former.as_deref().unwrap_or("cf_live_none"),
            Credential::Dead(key, at) => &self.keys[key].dead[at],
            Credential::Access(session, at) => &self.sessions[session].access[at].0,
        }
    }

    /// Every API key secret and access token, past or present.
    pub fn credentials(&self) -> Vec<Credential> {
        let mut all = Vec::new();
        for (at, key) in self.keys.iter().enumerate() {
            all.push(Credential::Key(at));
            all.extend(key.former.iter().map(|_| Credential::Former(at)));
            all.extend((0..key.dead.len()).map(|dead| Credential::Dead(at, dead)));
        }
        for (at, session) in self.sessions.iter().enumerate() {
            all.extend((0..session.access.len()).map(|access| Credential::Access(at, access)));
        }
        all
    }

    /// True if a key works: it is neither revoked nor disabled, and its owner is active.
    pub fn key_works(&self, key: usize) -> bool {
        !self.keys[key].revoked
            && !self.keys[key].disabled
            && match self.keys[key].owner {
                Owner::Root => true,
                Owner::User(user) => self.is_active(user),
                Owner::Organization(organization) => self.organization_is_active(organization),
            }
    }

    /// True if a session works.
    pub fn session_works(&self, session: usize) -> bool {
        self.sessions[session].live && self.is_active(self.sessions[session].user)
    }

    /// The caller behind a credential; `None` if it does not work.
    pub fn who(&self, credential: Credential) -> Option<Who> {
        let (key, former) = match credential {
            Credential::Key(key) => (key, false),
            Credential::Former(key) => (key, true),
            Credential::Dead(..) => return None,
            Credential::Access(session, _) => {
                let bounds = Bounds { scopes: vec!["*"], ends: None, local: false, rate: 0 };
                return self.session_works(session).then(|| Who {
                    user: Some(self.sessions[session].user),
                    organization: None,
                    admin: false,
                    scopes: Set::ALL,
                    key: None,
                    session: Some(session),
                    former: false,
                    bounds,
                });
            }
        };
        if !self.key_works(key) || (former && self.keys[key].former.is_none()) {
            return None;
        }
        let bounds = self.keys[key].bounds.clone();
        let (user, organization, admin) = match self.keys[key].owner {
            Owner::Root => (None, None, true),
            Owner::User(user) => (Some(user), None, self.users[user].admin),
            Owner::Organization(organization) => (None, Some(organization), false),
        };
        Some(Who {
            user,
            organization,
            admin,
            scopes: Set::of(&bounds.scopes),
            key: Some(key),
            session: None,
            former,
            bounds,
        })
    }

    /// The permissions of a role; `None` if it does not exist.
    fn gives(&self, organization: usize, role: &str) -> Option<Set> {
        Some(match role {
            "owner" => Set::ALL,
            "admin" => of_admins(),
            "member" => of_every_member().and(Set::of(&["invitations:read"])),
            "viewer" => of_every_member(),
            own => of_every_member().and(Set::of(&self.organizations[organization].roles.get(own)?.1)),
        })
    }

    /// The permissions of a membership, as long as it is not disabled.
    fn of_member(&self, organization: usize, member: &Member) -> Set {
        self.gives(organization, member.role).unwrap_or_default().and(Set::of(&member.extra))
    }

    /// The permissions of a user in an organization by its membership.
    fn of_user(&self, user: usize, organization: usize) -> Set {
        let member = self.organizations[organization].members.get(&user).filter(|member| !member.disabled);
        member.map_or_else(Set::default, |member| self.of_member(organization, member))
    }

    /// The owner's standing in an organization, regardless of scopes; for an organization's key, what its scopes hold and every member may
    /// see.
    fn standing(&self, who: &Who, organization: usize) -> Set {
        match (who.admin, who.organization, who.user) {
            (true, ..) => Set::ALL,
            (_, Some(own), _) if own == organization => who.scopes.and(of_every_member()).within(of_admins()),
            (_, None, Some(user)) => self.of_user(user, organization),
            _ => Set::default(),
        }
    }

    /// True for a user with a membership that is not disabled.
    fn is_let_in(&self, user: usize, organization: usize) -> bool {
        self.organizations[organization].members.get(&user).is_some_and(|member| !member.disabled)
    }

    fn sees_organization(&self, who: &Who, organization: usize) -> bool {
        self.organization_exists(organization)
            && (who.admin
                || who.organization == Some(organization)
                || who.user.is_some_and(|user| self.is_let_in(user, organization)))
    }

    fn sees_user(&self, who: &Who, user: usize) -> bool {
        self.user_exists(user)
            && (who.admin
                || who.user == Some(user)
                || (0..self.organizations.len()).any(|organization| {
                    self.sees_organization(who, organization)
                        && self.organizations[organization].members.contains_key(&user)
                }))
    }

    /// True if the caller is the user itself or a platform admin.
    fn is_own(&self, who: &Who, user: usize) -> bool {
        self.user_exists(user) && (who.admin || who.user == Some(user))
    }

    /// True if a permission is held in an organization, by the standing and by the scopes.
    fn may(&self, who: &Who, organization: usize, permission: &str) -> bool {
        self.sees_organization(who, organization)
            && self.standing(who, organization).has(permission)
            && who.scopes.has(permission)
    }

    /// Like `may`, for changes: only platform admins change a suspended organization.
    fn may_change(&self, who: &Who, organization: usize, permission: &str) -> bool {
        self.may(who, organization, permission) && (who.admin || self.organization_is_active(organization))
    }

    /// `GRANT_PERMISSIONS`: both the standing and the scopes cover them, and the secret of the key is its current one.
    fn may_give(&self, who: &Who, organization: usize, given: Set) -> bool {
        !who.former && self.standing(who, organization).covers(given) && who.scopes.covers(given)
    }

    /// `GRANT_API_KEY`: requires an API key, presented with its current secret, that holds everything the new key holds.
    fn may_give_key(&self, who: &Who, owner: Owner, bounds: &Bounds) -> bool {
        let in_organization = match owner {
            Owner::Organization(organization) => {
                let held = self.standing(who, organization);
                held.covers(Set::of(&bounds.scopes).within(of_admins())) && held.has("api_keys:write")
            }
            _ => true,
        };
        who.key.is_some() && !who.former && bounds.within(&who.bounds) && in_organization
    }

    /// `GRANT_ACCOUNT` and `GRANT_SESSION` for a platform admin require one more scope.
    fn may_authenticate(&self, who: &Who, user: usize) -> bool {
        !self.users[user].admin || who.scopes.has("platform_admins:authenticate")
    }

    /// True if StartPasswordReset returns a token.
    pub fn may_reset(&self, who: &Who, user: usize) -> bool {
        self.is_active(user) && self.may_authenticate(who, user)
    }

    /// `GRANT_STANDING` for a platform admin requires one more scope.
    fn may_bring_back(&self, who: &Who, user: usize) -> bool {
        !self.users[user].admin || who.scopes.has("platform_admins:write")
    }

    /// True if an organization has an active owner other than a user.
    fn has_owner_without(&self, organization: usize, user: Option<usize>) -> bool {
        let members = &self.organizations[organization].members;
        let owns = |other: usize, member: &Member| member.role == "owner" && !member.disabled && self.is_active(other);
        members.iter().any(|(other, member)| Some(*other) != user && owns(*other, member))
    }

    fn email_is_free(&self, email: &str, of: Option<usize>) -> bool {
        (0..self.users.len()).all(|user| Some(user) == of || !self.user_exists(user) || self.users[user].email != email)
    }

    /// The text of an address in a call.
    pub fn address(&self, address: &Address) -> String {
        match address {
            Address::Fresh(text) => text.clone(),
            Address::Of(user) => self.users[*user].email.clone(),
        }
    }

    /// True if nothing opens the account: no password, key, link or session.
    fn is_bare(&self, user: usize) -> bool {
        let has_key = self.keys.iter().any(|key| key.owner == Owner::User(user) && !key.revoked);
        let has_session = self.sessions.iter().any(|session| session.user == user && session.live);
        self.users[user].password.is_none() && self.users[user].links.is_empty() && !has_key && !has_session
    }

    /// True if an access token in a request shows that the caller who proves a mailbox also holds the account.
    pub fn shows(&self, user: usize, proof: Option<(usize, usize)>) -> bool {
        proof.is_some_and(|(session, _)| self.session_works(session) && self.sessions[session].user == user)
    }

    /// True if the caller sees a key: its own, or one of an organization whose keys it may see.
    fn sees_key(&self, who: &Who, key: usize) -> bool {
        match self.keys[key].owner {
            Owner::Root => false,
            Owner::User(user) => self.users[user].state != State::Purged && (who.admin || who.user == Some(user)),
            Owner::Organization(organization) => {
                self.organizations[organization].state != State::Purged
                    && (who.admin
                        || who.organization == Some(organization)
                        || (self.sees_organization(who, organization)
                            && self.standing(who, organization).has("api_keys:read")))
            }
        }
    }

    /// True if a key is the caller's own, or its credential may read keys of organizations.
    fn reads_key(&self, who: &Who, key: usize) -> bool {
        match self.keys[key].owner {
            Owner::Organization(organization) => {
                who.admin || who.organization == Some(organization) || who.scopes.has("api_keys:read")
            }
            Owner::User(_) | Owner::Root => true,
        }
    }

    /// True if the owner of a key is deleted. What can be done with the key then is unspecified.
    fn is_of_a_deleted_owner(&self, key: usize) -> bool {
        match self.keys[key].owner {
            Owner::Root => false,
            Owner::User(user) => self.users[user].state == State::Deleted,
            Owner::Organization(organization) => self.organizations[organization].state == State::Deleted,
        }
    }

    /// True if the caller may write a key that it sees.
    fn may_write_key(&self, who: &Who, key: usize) -> bool {
        match self.keys[key].owner {
            Owner::Organization(organization) => who.admin || self.standing(who, organization).has("api_keys:write"),
            Owner::User(user) => who.admin || who.user == Some(user),
            Owner::Root => false,
        }
    }

    /// True if the sender of an invitation holds what it gives.
    fn is_grounded(&self, invitation: &Invitation) -> bool {
        let Some(user) = invitation.sender else { return true };
        let held = if self.users[user].admin { Set::ALL } else { self.of_user(user, invitation.organization) };
        let given = self.gives(invitation.organization, invitation.role).unwrap_or_default();
        self.is_active(user) && held.covers(given)
    }

    /// True if the key that sent an invitation still works and its scopes cover what the invitation gives.
    fn key_stands(&self, invitation: &Invitation) -> bool {
        let given = self.gives(invitation.organization, invitation.role).unwrap_or_default();
        invitation
            .key
            .map(|key| &self.keys[key])
            .is_none_or(|key| !key.revoked && !key.disabled && Set::of(&key.bounds.scopes).covers(given))
    }

    fn is_invited(&self, user: usize, invitation: &Invitation, by_token: bool) -> bool {
        self.users[user].email == invitation.address && (by_token || self.users[user].verified)
    }
}

/// A key after a change.
pub fn changed(bounds: &Bounds, change: &Change) -> Bounds {
    let mut after = bounds.clone();
    match change {
        Change::Name => {}
        Change::Scopes(scopes) => after.scopes.clone_from(scopes),
        Change::Ends(ends) => after.ends = *ends,
        Change::Local(local) => after.local = *local,
        Change::Rate(rate) => after.rate = *rate,
    }
    after
}

// Which calls are permitted.
impl Model {
    /// Whether a call with a credential must succeed.
    pub fn allows(&self, credential: Credential, call: &Call) -> Expected {
        let Some(who) = self.who(credential) else { return Some(false) };
        if let Some(scope) = call.scope()
            && !who.scopes.has(scope)
        {
            return Some(false);
        }
        if call.takes_a_platform_admin() && !who.admin {
            return Some(false);
        }
        self.allows_to(&who, call)
    }

    fn allows_to(&self, who: &Who, call: &Call) -> Expected {
        // An item of a batch is decided as the call by itself.
        let call = call.item().unwrap_or(call);
        // Each group passes other calls on to the next one.
        self.allows_key_changes(who, call)
    }

    /// API keys: creation and changes.
    fn allows_key_changes(&self, who: &Who, call: &Call) -> Expected {
        Some(match call {
            Call::CreateApiKey { owner, bounds } => {
                let mut bounds = bounds.clone();
                if bounds.rate == 0 {
                    // It inherits the rate of the creating key.
                    bounds.rate = who.bounds.rate;
                } else if !who.admin {
                    return Some(false);
                }
                self.may_give_key(who, *owner, &bounds)
                    && match owner {
                        Owner::User(user) => self.is_own(who, *user) && self.is_active(*user),
                        Owner::Organization(organization) => {
                            self.may(who, *organization, "api_keys:write") && self.organization_is_active(*organization)
                        }
                        Owner::Root => false,
                    }
            }
            Call::UpdateApiKey { key, change } => {
                let before = &self.keys[*key].bounds;
                let after = changed(before, change);
                if after.rate != before.rate && !who.admin {
                    return Some(false);
                }
                let is_open = self.key_is_open(who, *key);
                let may = who.key.is_some()
                    && !who.former
                    && self.sees_key(who, *key)
                    && self.may_write_key(who, *key)
                    && !self.keys[*key].revoked
                    && (after.within(before) || self.may_give_key(who, self.keys[*key].owner, &after));
                return if may { is_open } else { Some(false) };
            }
            _ => return self.allows_keys(who, call),
        })
    }

    /// API keys: everything else.
    fn allows_keys(&self, who: &Who, call: &Call) -> Expected {
        Some(match call {
            Call::GetApiKey(key) => {
                if self.is_of_a_deleted_owner(*key) {
                    return None;
                }
                self.sees_key(who, *key)
            }
            Call::ListApiKeys(owner) => match owner {
                Owner::User(user) => self.is_own(who, *user),
                Owner::Organization(organization) => self.may(who, *organization, "api_keys:read"),
                Owner::Root => false,
            },
            Call::RotateApiKey { key, .. } => {
                let is_open = self.key_is_open(who, *key);
                let may = self.sees_key(who, *key)
                    && self.may_write_key(who, *key)
                    && !self.keys[*key].revoked
                    && self.may_give_key(who, self.keys[*key].owner, &self.keys[*key].bounds);
                return if may { is_open } else { Some(false) };
            }
            Call::RevokeApiKey(key) => {
                if self.is_of_a_deleted_owner(*key) {
                    return None;
                }
                !who.former && self.sees_key(who, *key) && self.may_write_key(who, *key)
            }
            Call::DisableApiKey(key) => {
                if self.is_of_a_deleted_owner(*key) {
                    return None;
                }
                !who.former && self.sees_key(who, *key) && self.may_write_key(who, *key) && !self.keys[*key].revoked
            }
            Call::EnableApiKey(key) => {
                let is_open = self.key_is_open(who, *key);
                let may = self.sees_key(who, *key)
                    && self.may_write_key(who, *key)
                    && !self.keys[*key].revoked
                    && self.may_give_key(who, self.keys[*key].owner, &self.keys[*key].bounds);
                return if may { is_open } else { Some(false) };
            }
            Call::RevokeOwnApiKey => who.key.is_some(),
            Call::VerifyApiKey(_) | Call::BatchVerifyApiKeys(_) | Call::VerifyStream(_) | Call::GetSigningKeys => true,
            _ => return self.allows_mails(who, call),
        })
    }

    /// Mailed tokens.
    fn allows_mails(&self, who: &Who, call: &Call) -> Expected {
        Some(match call {
            Call::StartEmailVerification(user) | Call::StartEmailChange { user, .. } => {
                self.is_active(*user) && self.may_authenticate(who, *user)
            }
            // Always succeeds, but returns a token only for a user that can have one.
            Call::StartPasswordReset(_) => true,
            Call::ConfirmEmailVerification { mail, proof } => {
                let Mail { kind, user, live, .. } = self.mails[*mail];
                let works = kind == Mailed::Verification && live && self.is_active(user);
                let shown = self.shows(user, *proof) || self.is_bare(user) || self.users[user].verified;
                if works && shown && !self.may_authenticate(who, user) {
                    return None;
                }
                works && shown
            }
            Call::ConfirmPasswordReset { mail, .. } => {
                let Mail { kind, user, live, .. } = self.mails[*mail];
                kind == Mailed::Reset && live && self.is_active(user) && self.may_authenticate(who, user)
            }
            Call::ConfirmEmailChange { mail, proof } => {
                let Mail { kind, user, live, ref address, .. } = self.mails[*mail];
                kind == Mailed::Change
                    && live
                    && self.is_active(user)
                    && self.may_authenticate(who, user)
                    && (self.shows(user, *proof) || self.is_bare(user))
                    && self.email_is_free(address, Some(user))
            }
            _ => return self.allows_passwords(who, call),
        })
    }

    /// Passwords.
    fn allows_passwords(&self, who: &Who, call: &Call) -> Expected {
        Some(match call {
            Call::VerifyPassword { user, right } => {
                self.is_own(who, *user) && self.is_active(*user) && *right && self.users[*user].password.is_some()
            }
            Call::ChangePassword { user, right, .. } => {
                let may =
                    self.is_own(who, *user) && self.is_active(*user) && *right && self.users[*user].password.is_some();
                // Whether the password is enough for a platform admin is unspecified.
                if may && !self.may_authenticate(who, *user) {
                    return None;
                }
                may
            }
            Call::SetPassword(user) => {
                self.is_active(*user) && self.may_authenticate(who, *user) && self.users[*user].password.is_none()
            }
            Call::ImportPasswordHash(user) => {
                self.user_exists(*user) && self.may_authenticate(who, *user) && self.users[*user].password.is_none()
            }
            // Removing a password can lock out a platform admin.
            Call::RemovePassword(user) => self.user_exists(*user) && self.may_authenticate(who, *user),
            _ => return self.allows_sign_in(who, call),
        })
    }

    /// Signing up, in and out.
    fn allows_sign_in(&self, who: &Who, call: &Call) -> Expected {
        Some(match call {
            Call::SignUp { address, .. } => self.email_is_free(&self.address(address), None),
            Call::SignIn { user, right, organization } => {
                self.is_active(*user)
                    && *right
                    && self.users[*user].password.is_some()
                    && self.may_authenticate(who, *user)
                    && organization.is_none_or(|organization| self.is_open_to(*user, organization))
            }
            Call::Refresh { session, stale, organization } => {
                let organization = organization.unwrap_or(self.sessions[*session].organization);
                !stale
                    && self.session_works(*session)
                    && who.key == Some(self.sessions[*session].key)
                    && organization
                        .is_none_or(|organization| self.is_open_to(self.sessions[*session].user, organization))
            }
            Call::SignOut { session, all } => match session {
                // Without a session, the caller must present an access token.
                None => who.session.is_some(),
                Some(session) => {
                    let user = self.sessions[*session].user;
                    let may = who.admin || who.user == Some(user);
                    if may && (!self.session_works(*session) || (*all && !self.sessions[*session].live)) {
                        return None;
                    }
                    may
                }
            },
            _ => return self.allows_tokens(who, call),
        })
    }

    /// Refresh tokens, access tokens and sessions.
    fn allows_tokens(&self, who: &Who, call: &Call) -> Expected {
        Some(match call {
            Call::RotateRefreshToken { session, stale } => {
                let of = &self.sessions[*session];
                !stale
                    && self.session_works(*session)
                    && who.key == Some(of.key)
                    && (who.admin || who.user == Some(of.user))
                    && of.organization.is_none_or(|organization| self.is_open_to(of.user, organization))
            }
            Call::IntrospectToken(..) => true,
            Call::CreateRefreshToken(user) => {
                who.key.is_some()
                    && self.is_own(who, *user)
                    && self.is_active(*user)
                    && self.may_authenticate(who, *user)
            }
            Call::ListSessions(user) | Call::RevokeAllSessions { user, .. } => self.is_own(who, *user),
            Call::GetSession(session) => {
                let user = self.sessions[*session].user;
                (who.admin || who.user == Some(user)) && self.session_works(*session)
            }
            Call::RevokeRefreshToken(session) | Call::RevokeSession(session) => {
                let user = self.sessions[*session].user;
                let may = who.admin || who.user == Some(user);
                if may && !self.session_works(*session) {
                    return None;
                }
                may
            }
            _ => return self.allows_checks(who, call),
        })
    }

    /// Permissions and events.
    fn allows_checks(&self, who: &Who, call: &Call) -> Expected {
        Some(match call {
            Call::CheckPermission { subject, organization }
            | Call::ListEffectivePermissions { subject, organization } => {
                let sees = match subject {
                    Subject::User(user) => self.sees_user(who, *user),
                    Subject::Key(key) if self.is_of_a_deleted_owner(*key) => return None,
                    Subject::Key(key) => self.sees_key(who, *key) && self.reads_key(who, *key),
                };
                sees && self.sees_organization(who, *organization)
            }
            Call::BatchCheckPermissions => true,
            Call::ListPrincipalsWithPermission(organization) => self.sees_organization(who, *organization),
            Call::ListEvents(organization) | Call::WatchEvents(organization) => {
                organization.is_none_or(|organization| who.admin || self.may(who, organization, "events:read"))
            }
            Call::ExportSnapshot(organization) => match organization {
                None => who.admin,
                Some(organization) if who.admin && !self.organization_exists(*organization) => return None,
                Some(organization) => self.may(who, *organization, "events:read"),
            },
            _ => return self.allows_joining(who, call),
        })
    }

    /// Joining, leaving and handing over an organization.
    fn allows_joining(&self, who: &Who, call: &Call) -> Expected {
        Some(match call {
            Call::AcceptInvitation { invitation, by_token, user, proof } => {
                let Some(user) = user.or(who.user) else { return Some(false) };
                let invitation = &self.invitations[*invitation];
                let organization = invitation.organization;
                let is_shown = who.user == Some(user) || self.shows(user, *proof);
                // A tenant that sent the invitation has seen its token.
                let is_first_proof = *by_token && invitation.by_platform && !self.users[user].verified;
                let is_narrowed = invitation.standing == Standing::Expired && invitation.narrowed;
                let may = (matches!(invitation.standing, Standing::Live | Standing::Unsure)
                    || (is_narrowed && self.is_grounded(invitation)))
                    && (!is_first_proof || is_shown || self.may_authenticate(who, user))
                    && (self.users[user].verified || is_first_proof || is_shown || self.is_bare(user))
                    && self.key_stands(invitation)
                    && self.organization_exists(organization)
                    && self.is_own(who, user)
                    && self.is_active(user)
                    && self.is_invited(user, invitation, *by_token)
                    && (who.admin || self.organization_is_active(organization))
                    && !self.organizations[organization].members.contains_key(&user);
                // A role that was widened in the meantime may exceed what the sender holds.
                if may && (is_narrowed || invitation.standing == Standing::Unsure || !self.is_grounded(invitation)) {
                    return None;
                }
                may
            }
            Call::DeclineInvitation { invitation, by_token, user } => {
                let invitation = &self.invitations[*invitation];
                let is_there =
                    invitation.standing != Standing::Gone && self.organization_exists(invitation.organization);
                is_there
                    && (*by_token
                        || user
                            .or(who.user)
                            .is_some_and(|user| self.is_own(who, user) && self.is_invited(user, invitation, false)))
            }
            Call::TransferOwnership { organization, from, to } => {
                let members = &self.organizations[*organization].members;
                let (Some(former), Some(new)) = (members.get(from), members.get(to)) else { return Some(false) };
                from != to
                    && former.role == "owner"
                    && !new.disabled
                    && self.user_exists(*from)
                    && self.is_active(*to)
                    && self.may_change(who, *organization, "organizations:transfer")
                    && self.standing(who, *organization).covers(self.of_member(*organization, new))
                    && self.may_give(who, *organization, Set::ALL)
            }
            Call::LeaveOrganization(organization) => {
                let members = &self.organizations[*organization].members;
                let Some((user, member)) = who.user.and_then(|user| Some((user, members.get(&user)?))) else {
                    return Some(false);
                };
                self.sees_organization(who, *organization)
                    && (member.role != "owner" || self.has_owner_without(*organization, Some(user)))
            }
            _ => return self.allows_invitations(who, call),
        })
    }

    /// Invitations.
    fn allows_invitations(&self, who: &Who, call: &Call) -> Expected {
        Some(match call {
            Call::CreateInvitation { organization, address, role } => {
                let Some(given) = self.gives(*organization, role) else { return Some(false) };
                let address = self.address(address);
                let is_member = self.organizations[*organization]
                    .members
                    .keys()
                    .any(|user| self.user_exists(*user) && self.users[*user].email == address);
                let invited = |standing: Standing| {
                    self.invitations.iter().any(|invitation| {
                        invitation.organization == *organization
                            && invitation.address == address
                            && invitation.standing == standing
                    })
                };
                let is_unsure = invited(Standing::Unsure)
                    || self.invitations.iter().any(|invitation| {
                        invitation.organization == *organization
                            && invitation.address == address
                            && invitation.standing == Standing::Expired
                            && invitation.narrowed
                    });
                let may = self.may_change(who, *organization, "invitations:write")
                    && self.may_give(who, *organization, given)
                    && !is_member
                    && !invited(Standing::Live);
                if may && is_unsure {
                    return None;
                }
                may
            }
            Call::GetInvitation { invitation, by_token } => {
                let invitation = &self.invitations[*invitation];
                let is_there =
                    invitation.standing != Standing::Gone && self.organization_exists(invitation.organization);
                is_there
                    && (*by_token
                        || self.may(who, invitation.organization, "invitations:read")
                        || who.user.is_some_and(|user| self.is_invited(user, invitation, false)))
            }
            Call::ListInvitations(organization) => self.may(who, *organization, "invitations:read"),
            Call::ResendInvitation(invitation) => {
                let invitation = &self.invitations[*invitation];
                let Some(given) = self.gives(invitation.organization, invitation.role) else { return Some(false) };
                invitation.standing != Standing::Gone
                    && self.may_change(who, invitation.organization, "invitations:write")
                    && self.may_give(who, invitation.organization, given)
            }
            Call::RevokeInvitation(invitation) => {
                let invitation = &self.invitations[*invitation];
                let Some(given) = self.gives(invitation.organization, invitation.role) else { return Some(false) };
                invitation.standing != Standing::Gone
                    && self.may_change(who, invitation.organization, "invitations:write")
                    && self.standing(who, invitation.organization).covers(given)
            }
            _ => return self.allows_memberships(who, call),
        })
    }

    /// Memberships.
    fn allows_memberships(&self, who: &Who, call: &Call) -> Expected {
        Some(match call {
            Call::CreateMembership { user, organization, role, extra } => {
                let Some(given) = self.gives(*organization, role) else { return Some(false) };
                self.user_exists(*user)
                    && self.organization_exists(*organization)
                    && (*role != "owner" || self.is_active(*user))
                    && !self.organizations[*organization].members.contains_key(user)
                    && self.may_give(who, *organization, given.and(Set::of(extra)))
            }
            Call::GetMembership { user, organization } => {
                self.organizations[*organization].members.contains_key(user)
                    && self.user_exists(*user)
                    && self.organization_exists(*organization)
                    && (who.user == Some(*user) || self.sees_organization(who, *organization))
            }
            Call::ListMemberships(organization) | Call::CountMembers(organization) => {
                self.sees_organization(who, *organization)
            }
            Call::ListMembers(organization) => {
                who.scopes.has("users:read") && self.sees_organization(who, *organization)
            }
            Call::UpdateMembership { user, organization, role, extra } => {
                let Some(before) = self.organizations[*organization].members.get(user) else { return Some(false) };
                let role = role.unwrap_or(before.role);
                let Some(given) = self.gives(*organization, role) else { return Some(false) };
                let after = given.and(Set::of(extra.as_ref().unwrap_or(&before.extra)));
                let held = self.of_member(*organization, before);
                self.user_exists(*user)
                    && self.may_change(who, *organization, "memberships:write")
                    && self.standing(who, *organization).covers(held.and(after))
                    && (held.covers(after) && (role != "owner" || before.role == "owner")
                        || (!who.former && who.scopes.covers(after)))
                    && (before.role != "owner" || role == "owner" || self.has_owner_without(*organization, Some(*user)))
                    && (role != "owner" || before.role == "owner" || self.is_active(*user))
            }
            Call::DeleteMembership { user, organization } => {
                let Some(before) = self.organizations[*organization].members.get(user) else { return Some(false) };
                let may = if who.user == Some(*user) {
                    who.admin || (!before.disabled && self.organization_is_active(*organization))
                } else {
                    self.may_change(who, *organization, "memberships:write")
                        && self.standing(who, *organization).covers(self.of_member(*organization, before))
                };
                self.user_exists(*user)
                    && self.organization_exists(*organization)
                    && may
                    && (before.role != "owner" || self.has_owner_without(*organization, Some(*user)))
            }
            Call::DisableMembership { user, organization } | Call::EnableMembership { user, organization } => {
                let Some(member) = self.organizations[*organization].members.get(user) else { return Some(false) };
                let held = self.of_member(*organization, member);
                let may = self.user_exists(*user)
                    && self.may_change(who, *organization, "memberships:write")
                    && self.standing(who, *organization).covers(held);
                let leaves_an_owner = member.role != "owner" || self.has_owner_without(*organization, Some(*user));
                may && match call {
                    Call::DisableMembership { .. } => member.disabled || leaves_an_owner,
                    _ => !member.disabled || self.may_give(who, *organization, held),
                }
            }
            _ => return self.allows_links(who, call),
        })
    }

    /// Links to providers.
    fn allows_links(&self, who: &Who, call: &Call) -> Expected {
        Some(match call {
            Call::LinkOauthAccount { user, .. } => self.user_exists(*user) && self.may_authenticate(who, *user),
            Call::ListOauthAccounts(user) => self.is_own(who, *user),
            Call::GetOauthAccount(user)
            | Call::GetOauthAccountByProvider(user)
            | Call::SetOauthAccountTokens(user)
            | Call::UnlinkOauthAccount(user)
            | Call::GetOauthAccountTokens(user)
                if self.users[*user].state == State::Deleted && !self.users[*user].links.is_empty() =>
            {
                return if who.admin { None } else { Some(false) };
            }
            Call::GetOauthAccount(user)
            | Call::GetOauthAccountByProvider(user)
            | Call::SetOauthAccountTokens(user)
            | Call::UnlinkOauthAccount(user) => self.is_own(who, *user) && !self.users[*user].links.is_empty(),
            Call::GetOauthAccountTokens(user) => {
                who.key.is_some() && self.is_own(who, *user) && !self.users[*user].links.is_empty()
            }
            _ => return self.allows_organization_states(who, call),
        })
    }

    /// States of organizations.
    fn allows_organization_states(&self, who: &Who, call: &Call) -> Expected {
        Some(match call {
            Call::DeleteOrganization(organization) => self.may_change(who, *organization, "organizations:delete"),
            Call::SuspendOrganization(organization) | Call::ReactivateOrganization(organization) => {
                self.organization_exists(*organization)
            }
            Call::UndeleteOrganization { organization, .. } => match self.organizations[*organization].state {
                State::Active | State::Suspended => true,
                State::Deleted => self.has_owner_without(*organization, None),
                State::Purged => false,
            },
            Call::PurgeOrganization(organization) => self.organizations[*organization].state != State::Purged,
            _ => return self.allows_organizations(who, call),
        })
    }

    /// Organizations.
    fn allows_organizations(&self, who: &Who, call: &Call) -> Expected {
        Some(match call {
            Call::CreateOrganization { owner } => (who.admin || who.user == Some(*owner)) && self.is_active(*owner),
            Call::GetOrganization(organization) | Call::GetOrganizationBySlug(organization) => {
                self.sees_organization(who, *organization)
            }
            Call::ListOrganizations | Call::BatchGetOrganizations(_) => true,
            Call::UpdateOrganization { organization, plan } => {
                self.may_change(who, *organization, "organizations:write") && (!plan || who.admin)
            }
            _ => return self.allows_roles(who, call),
        })
    }

    /// Roles.
    fn allows_roles(&self, who: &Who, call: &Call) -> Expected {
        Some(match call {
            Call::CreateRole { organization, name, permissions } => {
                self.may_change(who, *organization, "roles:write")
                    && self.may_give(who, *organization, of_role(permissions))
                    && !self.organizations[*organization].roles.contains_key(name)
            }
            Call::GetRole { organization, name } => {
                self.sees_organization(who, *organization) && self.organizations[*organization].roles.contains_key(name)
            }
            Call::ListRoles(organization) => self.sees_organization(who, *organization),
            Call::UpdateRole { organization, name, permissions } => {
                let Some((_, before)) = self.organizations[*organization].roles.get(name) else { return Some(false) };
                let before = of_role(before);
                let after = of_role(permissions);
                self.may_change(who, *organization, "roles:write")
                    && self.standing(who, *organization).covers(before.and(after))
                    && (before.covers(after) || (!who.former && who.scopes.covers(after)))
            }
            Call::DeleteRole { organization, name } => {
                let Some((_, before)) = self.organizations[*organization].roles.get(name) else { return Some(false) };
                let before = of_role(before);
                let of = &self.organizations[*organization];
                let has = |user: &usize| self.user_exists(*user);
                let is_given = of.members.iter().any(|(user, member)| member.role == *name && has(user))
                    || self.invitations.iter().any(|invitation| {
                        invitation.organization == *organization
                            && invitation.role == *name
                            && invitation.standing != Standing::Gone
                    });
                self.may_change(who, *organization, "roles:write")
                    && self.standing(who, *organization).covers(before)
                    && !is_given
            }
            _ => return self.allows_user_states(who, call),
        })
    }

    /// States of users.
    fn allows_user_states(&self, who: &Who, call: &Call) -> Expected {
        Some(match call {
            Call::DeleteUser(user) => {
                if !self.user_exists(*user) {
                    return Some(false);
                }
                return self.may_go(*user, |organization| !self.has_owner_without(organization, Some(*user)));
            }
            Call::PurgeUser { user, sole } => {
                if self.users[*user].state == State::Purged {
                    return Some(false);
                }
                return self.may_go(*user, |organization| {
                    let goes_too = *sole && self.is_sole_member(*user, organization);
                    !goes_too && !self.has_owner_without(organization, Some(*user))
                });
            }
            Call::DeleteOwnUser { .. } => return self.allows_own_deletion(who, call),
            Call::ExportOwnData(user) => {
                self.is_own(who, *user) || (who.admin && self.users[*user].state == State::Deleted)
            }
            Call::SuspendUser(user) => self.user_exists(*user),
            Call::ReactivateUser(user) => {
                let may = self.user_exists(*user);
                if may && self.is_active(*user) && !self.may_bring_back(who, *user) {
                    return None;
                }
                may && self.may_bring_back(who, *user)
            }
            Call::UndeleteUser { user, .. } => {
                let may = self.users[*user].state != State::Purged;
                if may && self.user_exists(*user) {
                    return if self.may_bring_back(who, *user) { Some(true) } else { None };
                }
                may && self.may_bring_back(who, *user) && self.email_is_free(&self.users[*user].email, Some(*user))
            }
            Call::GrantPlatformAdmin(user) => {
                if self.users[*user].state == State::Suspended && self.users[*user].admin {
                    return None;
                }
                // A platform admin is left unchanged, so nothing is given.
                who.key.is_some() && (!who.former || self.users[*user].admin) && self.is_active(*user)
            }
            Call::RevokePlatformAdmin(user) => self.user_exists(*user),
            _ => return self.allows_users(who, call),
        })
    }

    /// A user who deletes itself with its password.
    fn allows_own_deletion(&self, who: &Who, call: &Call) -> Expected {
        let Call::DeleteOwnUser { user, right, sole } = call else { return None };
        let is_proven = *right && self.users[*user].password.is_some();
        if !(self.is_own(who, *user) && self.is_active(*user) && is_proven && self.may_authenticate(who, *user)) {
            return Some(false);
        }
        self.may_go(*user, |organization| {
            let is_open =
                self.organization_is_active(organization) || (who.admin && self.organization_exists(organization));
            let goes_too = *sole && is_open && self.is_sole_member(*user, organization);
            !goes_too && !self.has_owner_without(organization, Some(*user))
        })
    }

    /// Users.
    fn allows_users(&self, who: &Who, call: &Call) -> Expected {
        Some(match call {
            Call::CreateUser { address, .. } => self.email_is_free(&self.address(address), None),
            Call::GetUser(user) | Call::GetUserByEmail(user) => self.sees_user(who, *user),
            Call::BatchGetUsers(_) | Call::ImportUsers => true,
            Call::ListUsers { deleted } => who.admin || !deleted,
            Call::UpdateUser { user, email, verify } => {
                let may_vouch = who.admin && (self.users[*user].verified || self.may_authenticate(who, *user));
                let may = self.is_own(who, *user) && (verify.is_none() || may_vouch);
                match email {
                    None => may,
                    // Unchanged.
                    Some(address) if self.address(address) == self.users[*user].email => may,
                    Some(address) => {
                        may && who.admin
                            && self.may_authenticate(who, *user)
                            && self.email_is_free(&self.address(address), Some(*user))
                    }
                }
            }
            other => panic!("add {other:?} to the model of authority"),
        })
    }

    /// True if a session can be for an organization.
    fn is_open_to(&self, user: usize, organization: usize) -> bool {
        self.organization_is_active(organization) && self.is_let_in(user, organization)
    }

    /// Whether the organizations of a user permit its removal: an active user must not be the last owner of one.
    fn may_go(&self, user: usize, is_stuck: impl Fn(usize) -> bool) -> Expected {
        if !self.user_exists(user) {
            return Some(true);
        }
        let owned = |state: &[State]| {
            (0..self.organizations.len()).any(|at| {
                let of = &self.organizations[at];
                state.contains(&of.state)
                    && of.members.get(&user).is_some_and(|member| member.role == "owner")
                    && is_stuck(at)
            })
        };
        if owned(&[State::Active, State::Suspended]) {
            Some(false)
        } else if owned(&[State::Deleted]) {
            // Unspecified whether it counts.
            None
        } else {
            Some(true)
        }
    }

    /// Whether the state of a key's owner permits changes of the key.
    fn key_is_open(&self, who: &Who, key: usize) -> Expected {
        match self.keys[key].owner {
            Owner::Organization(organization) if self.organization_exists(organization) => {
                Some(who.admin || self.organization_is_active(organization))
            }
            Owner::User(user) if self.is_active(user) => Some(true),
            // Unspecified for suspended and deleted owners.
            _ => None,
        }
    }
}

// Effects of calls.
impl Model {
    fn end_sessions(&mut self, user: usize, except: Option<usize>) {
        for (at, session) in self.sessions.iter_mut().enumerate() {
            if session.user == user && Some(at) != except {
                session.live = false;
            }
        }
        for invitation in self.invitations.iter_mut().filter(|invitation| invitation.sender == Some(user)) {
            let is_ended = invitation.session.is_some_and(|session| Some(session) != except);
            if is_ended && matches!(invitation.standing, Standing::Live | Standing::Unsure) {
                invitation.standing = Standing::Expired;
            }
        }
    }

    fn end_mails(&mut self, user: usize) {
        for mail in self.mails.iter_mut().filter(|mail| mail.user == user) {
            mail.live = false;
        }
    }

    fn revoke_keys(&mut self, owner: Owner) {
        for key in self.keys.iter_mut().filter(|key| key.owner == owner) {
            key.revoked = true;
        }
    }

    /// Ends the invitations that a user sent to roles that it no longer holds.
    fn end_invitations(&mut self, user: usize, organization: Option<usize>) {
        for at in 0..self.invitations.len() {
            let invitation = &self.invitations[at];
            let is_here = organization.is_none_or(|organization| invitation.organization == organization);
            if !is_here
                || invitation.sender != Some(user)
                || !matches!(invitation.standing, Standing::Live | Standing::Unsure)
            {
                continue;
            }
            if !self.is_grounded(invitation) {
                self.invitations[at].standing = Standing::Expired;
            } else if invitation.by_platform != self.users[user].admin {
                // The sender now holds the role by a different standing than when it sent the invitation.
                self.invitations[at].standing = Standing::Unsure;
            }
        }
    }

    /// A password is changed or removed.
    fn password_is(&mut self, user: usize, password: Option<&'static str>) {
        self.users[user].password = password;
        self.end_mails(user);
    }

    fn first_password(&mut self, user: usize) {
        if FIRST_PASSWORDS_END_SESSIONS {
            self.end_sessions(user, None);
        }
    }

    /// Removes every credential that a stranger may have added.
    fn clear_account(&mut self, user: usize) {
        self.revoke_keys(Owner::User(user));
        for key in self.keys.iter_mut().filter(|key| key.source == Some(user)) {
            key.revoked |= matches!(key.owner, Owner::Organization(_));
        }
        for invitation in self.invitations.iter_mut().filter(|invitation| invitation.sender == Some(user)) {
            if matches!(invitation.standing, Standing::Live | Standing::Unsure) {
                invitation.standing = Standing::Expired;
            }
        }
        self.users[user].links.clear();
        self.users[user].password = None;
        self.end_sessions(user, None);
        self.end_mails(user);
    }

    /// An address is proven without a credential of the account.
    fn first_proof(&mut self, user: usize) {
        if !self.users[user].verified {
            self.clear_account(user);
            self.verified(user);
        }
    }

    fn verified(&mut self, user: usize) {
        self.users[user].verified = true;
        self.end_mails(user);
    }

    /// A mailed token is created and replaces the previous one of its kind, or the previous one is returned again.
    fn mail(&mut self, kind: Mailed, user: usize, address: String, answer: &Answer) {
        if let Some(again) = self.mails.iter().find(|mail| mail.text == answer.text) {
            let is_the_same = again.live && (again.kind, again.user) == (kind, user) && again.address == address;
            assert!(is_the_same, "a token that has ended is returned again, or for something else: {again:?}");
            return;
        }
        for mail in self.mails.iter_mut().filter(|mail| mail.user == user && mail.kind == kind) {
            mail.live = false;
        }
        self.mails.push(Mail { kind, user, address, text: answer.text.clone(), live: true });
    }

    fn new_user(&mut self, id: &str, email: String, verified: bool, password: Option<&'static str>) {
        let (id, links) = (id.to_owned(), Vec::new());
        self.users.push(User {
            id,
            email,
            former_emails: vec![],
            verified,
            password,
            admin: false,
            state: State::Active,
            links,
        });
    }

    fn new_organization(&mut self, answer: &Answer, owner: usize, owner_membership: &str) {
        let member = Member::new(owner_membership, "owner", vec![]);
        self.organizations.push(Organization {
            id: answer.id.clone(),
            slug: answer.name.clone(),
            state: State::Active,
            roles: BTreeMap::new(),
            members: [(owner, member)].into(),
        });
    }

    fn purge_organization(&mut self, organization: usize) {
        self.organizations[organization].state = State::Purged;
        self.organizations[organization].members.clear();
        self.organizations[organization].roles.clear();
        self.revoke_keys(Owner::Organization(organization));
        for invitation in self.invitations.iter_mut().filter(|invitation| invitation.organization == organization) {
            invitation.standing = Standing::Gone;
        }
        if PURGING_ENDS_SESSIONS {
            self.end_sessions_for(organization);
        }
    }

    fn end_sessions_for(&mut self, organization: usize) {
        for session in self.sessions.iter_mut().filter(|session| session.organization == Some(organization)) {
            session.live = false;
        }
    }

    /// Ends the invitations to every address that a purged user had, unless another user has it now.
    fn end_invitations_to(&mut self, user: usize) {
        let addresses: Vec<String> =
            self.users[user].former_emails.iter().chain([&self.users[user].email]).cloned().collect();
        for address in addresses.into_iter().filter(|address| self.email_is_free(address, None)).collect::<Vec<_>>() {
            for invitation in self.invitations.iter_mut().filter(|invitation| invitation.address == address) {
                invitation.standing = Standing::Gone;
            }
        }
    }

    /// True if an organization is purged together with a user. A deleted one without another member goes too, because it could be restored
    /// only with an owner.
    fn is_purged_with(&self, user: usize, organization: usize, sole: bool) -> bool {
        let found = &self.organizations[organization];
        let others = || found.members.keys().filter(|other| **other != user);
        let is_owner = found.members.get(&user).is_some_and(|member| member.role == "owner");
        is_owner
            && match found.state {
                State::Active | State::Suspended => sole && !others().any(|other| self.user_exists(*other)),
                State::Deleted if sole => !others().any(|other| self.user_exists(*other)),
                State::Deleted => others().next().is_none(),
                State::Purged => false,
            }
    }

    /// A user is suspended or deleted.
    fn put_away(&mut self, user: usize, state: State) {
        self.users[user].state = state;
        self.end_sessions(user, None);
        self.end_mails(user);
        self.end_invitations(user, None);
    }

    /// Effects of a refused call.
    pub fn refused(&mut self, credential: Credential, call: &Call) {
        let Some(who) = self.who(credential) else { return };
        // A reused refresh token ends its session, if presented with the session's key.
        if let Call::Refresh { session, stale: true, .. } | Call::RotateRefreshToken { session, stale: true } = call
            && call.scope().is_none_or(|scope| who.scopes.has(scope))
            && (who.admin || (!call.takes_a_platform_admin() && who.user == Some(self.sessions[*session].user)))
            && who.key == Some(self.sessions[*session].key)
        {
            self.sessions[*session].live = false;
        }
        // The invitation of a member ends when the member tries to accept it.
        if let Call::AcceptInvitation { invitation, by_token, user, .. } = call
            && call.scope().is_none_or(|scope| who.scopes.has(scope))
            && let Some(user) = user.or(who.user)
        {
            let at = *invitation;
            let invitation = &self.invitations[at];
            let organization = invitation.organization;
            if self.is_own(&who, user)
                && self.is_active(user)
                && self.organization_exists(organization)
                && (who.admin || self.organization_is_active(organization))
                && self.is_invited(user, invitation, *by_token)
                && self.organizations[organization].members.contains_key(&user)
            {
                self.invitations[at].standing = Standing::Gone;
            }
        }
    }

    /// Effects of a successful call.
    pub fn done(&mut self, credential: Credential, call: &Call, answer: &Answer) {
        let Some(who) = self.who(credential) else { return };
        let call = call.item().unwrap_or(call);
        // Each group passes other calls on to the next one.
        self.done_key_changes(&who, call, answer);
        self.end_pointless_invitations();
    }

    /// Ends the invitations of members' verified addresses to their own organizations.
    fn end_pointless_invitations(&mut self) {
        for at in 0..self.invitations.len() {
            let invitation = &self.invitations[at];
            let mut members = self.organizations[invitation.organization].members.keys();
            if members.any(|user| self.user_exists(*user) && self.is_invited(*user, invitation, false)) {
                self.invitations[at].standing = Standing::Gone;
            }
        }
    }

    /// API keys: creation and changes.
    fn done_key_changes(&mut self, who: &Who, call: &Call, answer: &Answer) {
        match call {
            Call::CreateApiKey { owner, bounds } => {
                let mut bounds = bounds.clone();
                if bounds.rate == 0 {
                    bounds.rate = who.bounds.rate;
                }
                let owner_is_admin = matches!(owner, Owner::User(user) if self.users[*user].admin);
                let by_key = who.key.filter(|_| who.user.is_none()).and_then(|key| self.keys[key].source);
                self.keys.push(Key {
                    id: answer.id.clone(),
                    owner: *owner,
                    bounds,
                    secret: answer.text.clone(),
                    former: None,
                    dead: vec![],
                    revoked: false,
                    disabled: false,
                    made_lowly: owner_is_admin && !who.admin,
                    source: who.user.filter(|_| !who.admin).or(by_key),
                });
            }
            Call::UpdateApiKey { key, change } => self.keys[*key].bounds = changed(&self.keys[*key].bounds, change),
            _ => self.done_keys(who, call, answer),
        }
    }

    /// API keys: everything else.
    fn done_keys(&mut self, who: &Who, call: &Call, answer: &Answer) {
        match call {
            Call::RotateApiKey { key, overlap } => {
                let key = &mut self.keys[*key];
                let before = std::mem::replace(&mut key.secret, answer.text.clone());
                key.dead.extend(key.former.take());
                if *overlap {
                    key.former = Some(before);
                } else {
                    key.dead.push(before);
                }
            }
            Call::RevokeApiKey(key) => self.keys[*key].revoked = true,
            Call::DisableApiKey(key) => self.keys[*key].disabled = true,
            Call::EnableApiKey(key) => self.keys[*key].disabled = false,
            Call::RevokeOwnApiKey => self.keys[who.key.unwrap()].revoked = true,
            _ => self.done_mails(who, call, answer),
        }
    }

    /// Mailed tokens.
    fn done_mails(&mut self, who: &Who, call: &Call, answer: &Answer) {
        match call {
            Call::StartEmailVerification(user) => {
                self.mail(Mailed::Verification, *user, self.users[*user].email.clone(), answer);
            }
            Call::StartPasswordReset(user) => {
                if self.may_reset(who, *user) {
                    self.mail(Mailed::Reset, *user, self.users[*user].email.clone(), answer);
                }
            }
            Call::StartEmailChange { user, address } => {
                self.mail(Mailed::Change, *user, self.address(address), answer);
            }
            Call::ConfirmEmailVerification { mail, .. } => self.verified(self.mails[*mail].user),
            Call::ConfirmPasswordReset { mail, keep, revoke, password } => {
                let user = self.mails[*mail].user;
                self.first_proof(user);
                self.password_is(user, Some(password));
                if !keep {
                    self.end_sessions(user, None);
                }
                if *revoke {
                    self.revoke_keys(Owner::User(user));
                }
            }
            Call::ConfirmEmailChange { mail, .. } => {
                let Mail { user, address, .. } = self.mails[*mail].clone();
                let former = std::mem::replace(&mut self.users[user].email, address);
                self.users[user].former_emails.push(former);
                self.verified(user);
            }
            _ => self.done_passwords(who, call, answer),
        }
    }

    /// Passwords.
    fn done_passwords(&mut self, who: &Who, call: &Call, answer: &Answer) {
        match call {
            Call::ChangePassword { user, keep, except, revoke, password, .. } => {
                self.password_is(*user, Some(password));
                if !keep {
                    self.end_sessions(*user, except.or(who.session));
                }
                if *revoke {
                    self.revoke_keys(Owner::User(*user));
                }
            }
            Call::SetPassword(user) => {
                self.password_is(*user, Some(super::calls::PASSWORDS[1]));
                self.first_password(*user);
            }
            Call::ImportPasswordHash(user) => {
                self.password_is(*user, Some(super::calls::PASSWORDS[0]));
                self.first_password(*user);
            }
            Call::RemovePassword(user) => {
                // No effect on a user without a password.
                if self.users[*user].password.is_some() {
                    self.password_is(*user, None);
                    self.end_sessions(*user, None);
                }
            }
            _ => self.done_sign_in(who, call, answer),
        }
    }

    /// Signing up, in and out.
    fn done_sign_in(&mut self, who: &Who, call: &Call, answer: &Answer) {
        match call {
            Call::SignUp { address, organization, password } => {
                self.new_user(&answer.other_id, self.address(address), false, Some(password));
                if *organization {
                    let owner = self.users.len() - 1;
                    self.new_organization(answer, owner, &answer.text);
                }
            }
            Call::SignIn { user, organization, .. } => {
                self.sessions.push(Session {
                    id: answer.id.clone(),
                    user: *user,
                    key: who.key.unwrap(),
                    organization: *organization,
                    live: true,
                    token: answer.text.clone(),
                    former: vec![],
                    access: vec![(answer.access.clone(), *organization)],
                });
            }
            Call::Refresh { session, organization, .. } => {
                let session = &mut self.sessions[*session];
                session.organization = organization.unwrap_or(session.organization);
                session.access.push((answer.access.clone(), session.organization));
                let before = std::mem::replace(&mut session.token, answer.text.clone());
                session.former.push(before);
            }
            Call::SignOut { session, all } => {
                let session = session.or(who.session).unwrap();
                self.sessions[session].live = false;
                if *all {
                    let user = self.sessions[session].user;
                    self.end_sessions(user, None);
                    self.end_mails(user);
                }
            }
            _ => self.done_tokens(who, call, answer),
        }
    }

    /// Refresh tokens, access tokens and sessions.
    fn done_tokens(&mut self, who: &Who, call: &Call, answer: &Answer) {
        match call {
            Call::CreateRefreshToken(user) => {
                self.sessions.push(Session {
                    id: answer.id.clone(),
                    user: *user,
                    key: who.key.unwrap(),
                    organization: None,
                    live: true,
                    token: answer.text.clone(),
                    former: vec![],
                    access: vec![],
                });
            }
            Call::RotateRefreshToken { session, .. } => {
                let session = &mut self.sessions[*session];
                let before = std::mem::replace(&mut session.token, answer.text.clone());
                session.former.push(before);
            }
            Call::RevokeRefreshToken(session) | Call::RevokeSession(session) => self.sessions[*session].live = false,
            Call::RevokeAllSessions { user, except } => {
                self.end_sessions(*user, *except);
                self.end_mails(*user);
            }
            _ => self.done_joining(who, call, answer),
        }
    }

    /// Joining, leaving and handing over an organization.
    fn done_joining(&mut self, who: &Who, call: &Call, answer: &Answer) {
        match call {
            Call::AcceptInvitation { invitation, by_token, user, proof } => {
                let user = user.or(who.user).unwrap();
                let Invitation { organization, role, by_platform, .. } = self.invitations[*invitation].clone();
                self.invitations[*invitation].standing = Standing::Gone;
                let member = Member::new(&answer.id, role, vec![]);
                self.organizations[organization].members.insert(user, member);
                if *by_token && by_platform && !self.users[user].verified {
                    if who.user == Some(user) || self.shows(user, *proof) {
                        if ACCEPTING_ENDS_MAILED_TOKENS {
                            self.verified(user);
                        } else {
                            self.users[user].verified = true;
                        }
                    } else {
                        self.first_proof(user);
                    }
                }
            }
            Call::LeaveOrganization(organization) => {
                self.organizations[*organization].members.remove(&who.user.unwrap());
                self.end_invitations(who.user.unwrap(), Some(*organization));
            }
            Call::TransferOwnership { organization, from, to } => {
                let members = &mut self.organizations[*organization].members;
                members.get_mut(from).unwrap().role = "admin";
                members.get_mut(to).unwrap().role = "owner";
                self.end_invitations(*from, Some(*organization));
            }
            _ => self.done_invitations(who, call, answer),
        }
    }

    /// Invitations.
    fn done_invitations(&mut self, who: &Who, call: &Call, answer: &Answer) {
        match call {
            Call::CreateInvitation { organization, address, role } => {
                let address = self.address(address);
                for former in &mut self.invitations {
                    // Replaces an expired invitation.
                    if former.organization == *organization && former.address == address {
                        former.standing = Standing::Gone;
                    }
                }
                self.invitations.push(Invitation {
                    id: answer.id.clone(),
                    organization: *organization,
                    address,
                    role,
                    text: answer.text.clone(),
                    former: vec![],
                    sender: who.user,
                    by_platform: who.admin,
                    session: who.session,
                    key: who.key,
                    narrowed: false,
                    standing: Standing::Live,
                });
            }
            Call::ResendInvitation(invitation) => {
                let invitation = &mut self.invitations[*invitation];
                let before = std::mem::replace(&mut invitation.text, answer.text.clone());
                invitation.former.push(before);
                // The caller becomes the sender.
                invitation.sender = who.user;
                invitation.by_platform = who.admin;
                (invitation.session, invitation.key) = (who.session, who.key);
                invitation.narrowed = false;
                invitation.standing = Standing::Live;
            }
            Call::RevokeInvitation(invitation) | Call::DeclineInvitation { invitation, .. } => {
                self.invitations[*invitation].standing = Standing::Gone;
            }
            _ => self.done_memberships(call, answer),
        }
    }

    /// Memberships.
    fn done_memberships(&mut self, call: &Call, answer: &Answer) {
        match call {
            Call::CreateMembership { user, organization, role, extra } => {
                let member = Member::new(&answer.id, role, extra.clone());
                self.organizations[*organization].members.insert(*user, member);
            }
            Call::UpdateMembership { user, organization, role, extra } => {
                let member = self.organizations[*organization].members.get_mut(user).unwrap();
                if let Some(role) = role {
                    member.role = role;
                }
                if let Some(extra) = extra {
                    member.extra.clone_from(extra);
                }
                self.end_invitations(*user, Some(*organization));
            }
            Call::DeleteMembership { user, organization } => {
                self.organizations[*organization].members.remove(user);
                self.end_invitations(*user, Some(*organization));
            }
            Call::DisableMembership { user, organization } => {
                self.organizations[*organization].members.get_mut(user).unwrap().disabled = true;
                self.end_invitations(*user, Some(*organization));
            }
            Call::EnableMembership { user, organization } => {
                self.organizations[*organization].members.get_mut(user).unwrap().disabled = false;
            }
            _ => self.done_links(call, answer),
        }
    }

    /// Links to providers.
    fn done_links(&mut self, call: &Call, answer: &Answer) {
        match call {
            Call::LinkOauthAccount { user, vouched } => {
                if *vouched {
                    self.first_proof(*user);
                }
                self.users[*user].links.push((answer.id.clone(), answer.name.clone()));
            }
            Call::UnlinkOauthAccount(user) => {
                self.users[*user].links.pop();
            }
            _ => self.done_organization_states(call, answer),
        }
    }

    /// States of organizations.
    fn done_organization_states(&mut self, call: &Call, answer: &Answer) {
        match call {
            Call::DeleteOrganization(organization) => {
                self.organizations[*organization].state = State::Deleted;
                self.end_sessions_for(*organization);
            }
            Call::SuspendOrganization(organization) => self.organizations[*organization].state = State::Suspended,
            Call::ReactivateOrganization(organization) => self.organizations[*organization].state = State::Active,
            Call::UndeleteOrganization { organization, restore } => {
                if self.organizations[*organization].state == State::Deleted {
                    // Its former state is restored, including a suspension.
                    self.organizations[*organization].state =
                        if answer.flag { State::Suspended } else { State::Active };
                    if !restore {
                        self.revoke_keys(Owner::Organization(*organization));
                    }
                }
            }
            Call::PurgeOrganization(organization) => self.purge_organization(*organization),
            _ => self.done_organizations(call, answer),
        }
    }

    /// Organizations.
    fn done_organizations(&mut self, call: &Call, answer: &Answer) {
        match call {
            Call::CreateOrganization { owner } => self.new_organization(answer, *owner, &answer.other_id),
            Call::UpdateOrganization { organization, .. } => {
                self.organizations[*organization].slug.clone_from(&answer.name);
            }
            _ => self.done_roles(call, answer),
        }
    }

    /// Roles.
    fn done_roles(&mut self, call: &Call, answer: &Answer) {
        match call {
            Call::CreateRole { organization, name, permissions } => {
                self.organizations[*organization].roles.insert(name, (answer.id.clone(), permissions.clone()));
            }
            Call::UpdateRole { organization, name, permissions } => {
                self.organizations[*organization].roles.get_mut(name).unwrap().1.clone_from(permissions);
                let with: Vec<usize> = self.organizations[*organization]
                    .members
                    .iter()
                    .filter(|(_, member)| member.role == *name)
                    .map(|(user, _)| *user)
                    .collect();
                let before: Vec<Standing> = self.invitations.iter().map(|invitation| invitation.standing).collect();
                for user in with {
                    self.end_invitations(user, Some(*organization));
                }
                for (invitation, before) in self.invitations.iter_mut().zip(before) {
                    invitation.narrowed |= invitation.standing != before;
                }
            }
            Call::DeleteRole { organization, name } => {
                self.organizations[*organization].roles.remove(name);
                // Only deleted users have it still.
                for member in self.organizations[*organization].members.values_mut() {
                    if member.role == *name {
                        member.role = "viewer";
                    }
                }
            }
            _ => self.done_user_states(call, answer),
        }
    }

    /// States of users.
    fn done_user_states(&mut self, call: &Call, answer: &Answer) {
        match call {
            Call::DeleteUser(user) => self.put_away(*user, State::Deleted),
            Call::SuspendUser(user) => self.put_away(*user, State::Suspended),
            Call::ReactivateUser(user) => self.users[*user].state = State::Active,
            Call::UndeleteUser { user, restore } => {
                if self.users[*user].state == State::Deleted {
                    self.users[*user].state = if answer.flag { State::Suspended } else { State::Active };
                    if !restore {
                        self.revoke_keys(Owner::User(*user));
                    }
                }
            }
            Call::DeleteOwnUser { user, sole, .. } => {
                for at in 0..self.organizations.len() {
                    if *sole && self.is_sole_member(*user, at) {
                        self.organizations[at].state = State::Deleted;
                        self.end_sessions_for(at);
                    }
                }
                self.put_away(*user, State::Deleted);
            }
            Call::PurgeUser { user, sole } => {
                for at in 0..self.organizations.len() {
                    if self.is_purged_with(*user, at, *sole) {
                        self.purge_organization(at);
                    }
                }
                self.put_away(*user, State::Purged);
                self.end_invitations_to(*user);
                for organization in &mut self.organizations {
                    organization.members.remove(user);
                }
                self.users[*user].links.clear();
            }
            Call::GrantPlatformAdmin(user) => self.users[*user].admin = true,
            Call::RevokePlatformAdmin(user) => {
                if std::mem::take(&mut self.users[*user].admin) {
                    self.end_invitations(*user, None);
                }
            }
            _ => self.done_users(call, answer),
        }
    }

    /// Users.
    fn done_users(&mut self, call: &Call, answer: &Answer) {
        match call {
            Call::CreateUser { address, verified } => {
                self.new_user(&answer.id, self.address(address), *verified, None);
            }
            Call::ImportUsers => {
                self.new_user(&answer.id, answer.name.clone(), answer.flag, Some(super::calls::PASSWORDS[0]));
            }
            Call::UpdateUser { user, email, verify } => {
                let was_verified = self.users[*user].verified;
                let address = email.as_ref().map(|address| self.address(address));
                if let Some(address) = address.filter(|address| self.users[*user].email != *address) {
                    let former = std::mem::replace(&mut self.users[*user].email, address);
                    self.users[*user].former_emails.push(former);
                    self.users[*user].verified = false;
                    self.end_mails(*user);
                }
                match verify {
                    None => {}
                    Some(_) if was_verified => self.users[*user].verified = true,
                    Some(proof) if self.shows(*user, *proof) => self.verified(*user),
                    Some(_) => self.first_proof(*user),
                }
            }
            _ => assert_changes_nothing(call),
        }
    }
}

/// Panics if a call has effects.
fn assert_changes_nothing(call: &Call) {
    match call {
        Call::GetApiKey(_)
        | Call::ListApiKeys(_)
        | Call::VerifyApiKey(_)
        | Call::BatchVerifyApiKeys(_)
        | Call::VerifyStream(_)
        | Call::VerifyPassword { .. }
        | Call::ExportOwnData(_)
        | Call::GetSigningKeys
        | Call::IntrospectToken(..)
        | Call::CheckPermission { .. }
        | Call::BatchCheckPermissions
        | Call::ListEffectivePermissions { .. }
        | Call::ListPrincipalsWithPermission(_)
        | Call::ListEvents(_)
        | Call::WatchEvents(_)
        | Call::ExportSnapshot(_)
        | Call::GetInvitation { .. }
        | Call::ListInvitations(_)
        | Call::GetMembership { .. }
        | Call::ListMemberships(_)
        | Call::ListMembers(_)
        | Call::CountMembers(_)
        | Call::GetOauthAccount(_)
        | Call::ListOauthAccounts(_)
        | Call::GetOauthAccountByProvider(_)
        | Call::SetOauthAccountTokens(_)
        | Call::GetOauthAccountTokens(_)
        | Call::GetOrganization(_)
        | Call::ListOrganizations
        | Call::GetOrganizationBySlug(_)
        | Call::BatchGetOrganizations(_)
        | Call::GetSession(_)
        | Call::ListSessions(_)
        | Call::GetRole { .. }
        | Call::ListRoles(_)
        | Call::GetUser(_)
        | Call::ListUsers { .. }
        | Call::GetUserByEmail(_)
        | Call::BatchGetUsers(_) => {}
        other => panic!("add the effects of {other:?} to the model of authority"),
    }
}

// Checks after a sequence.
impl Model {
    /// Whether a user has a permission in an organization; `None` if the protos leave it open.
    pub fn user_may(&self, user: usize, organization: usize, permission: &str) -> Expected {
        if !self.is_active(user) || !self.organization_exists(organization) {
            return Some(false);
        }
        if self.users[user].admin {
            return if self.organization_is_active(organization) { Some(true) } else { None };
        }
        Some(self.organization_is_active(organization) && self.of_user(user, organization).has(permission))
    }

    /// Whether a key has a permission in an organization.
    pub fn key_may(&self, key: usize, organization: usize, permission: &str) -> Expected {
        if !self.key_works(key) || !Set::of(&self.keys[key].bounds.scopes).has(permission) {
            return Some(false);
        }
        match self.keys[key].owner {
            Owner::Root => None,
            Owner::User(user) => self.user_may(user, organization, permission),
            Owner::Organization(own) => Some(own == organization && of_admins().has(permission)),
        }
    }

    /// The role and permissions of a user in an active organization that it is a member of.
    pub fn open_standing(&self, user: usize, organization: usize) -> Option<(&'static str, Set)> {
        let member = self.organizations[organization].members.get(&user).filter(|member| !member.disabled)?;
        self.organization_is_active(organization).then(|| (member.role, self.of_member(organization, member)))
    }
}
