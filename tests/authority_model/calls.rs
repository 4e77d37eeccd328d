//! The calls in the model, one per method, with their arguments, and how they are drawn.

use super::model::{
    Bounds, Credential, Mailed, Model, OWN_ROLES, PERMISSIONS, ROLES, SCOPES, SCOPES_OF_ORGANIZATIONS, Standing, State,
};
use crate::support::{
    given::{PASSWORD, unique},
    random::Random,
};

/// Passwords of users: the one with the cheap hash, and two more.
pub const PASSWORDS: [&str; 3] = [PASSWORD, "another phrase of some length", "a third phrase, long enough"];

/// The requirements of a method, from its options in the protos, and its weight when calls are drawn.
pub struct Rule {
    pub weight: usize,
    pub scope: Option<&'static str>,
    pub platform_admin: bool,
}

const fn rule(weight: usize, scope: &'static str) -> Rule {
    Rule { weight, scope: Some(scope), platform_admin: false }
}

const fn any_key(weight: usize) -> Rule {
    Rule { weight, scope: None, platform_admin: false }
}

const fn of_platform(weight: usize, scope: &'static str) -> Rule {
    Rule { weight, scope: Some(scope), platform_admin: true }
}

/// All methods that are called. Methods that hash a password have low weights: they cost more than all others together.
pub static METHODS: [(&str, Rule); 106] = [
    ("CreateApiKey", rule(6, "api_keys:write")),
    ("GetApiKey", rule(1, "api_keys:read")),
    ("ListApiKeys", rule(1, "api_keys:read")),
    ("UpdateApiKey", rule(4, "api_keys:write")),
    ("RotateApiKey", rule(6, "api_keys:write")),
    ("RevokeApiKey", rule(2, "api_keys:write")),
    ("DisableApiKey", rule(3, "api_keys:write")),
    ("EnableApiKey", rule(5, "api_keys:write")),
    ("RevokeOwnApiKey", any_key(1)),
    ("VerifyApiKey", rule(1, "api_keys:verify")),
    ("BatchVerifyApiKeys", rule(1, "api_keys:verify")),
    ("VerifyStream", rule(1, "api_keys:verify")),
    ("SignUp", of_platform(1, "authentication:write")),
    ("SignIn", of_platform(3, "authentication:write")),
    ("Refresh", of_platform(5, "authentication:write")),
    ("SignOut", rule(3, "authentication:write")),
    ("VerifyPassword", rule(1, "authentication:write")),
    ("SetPassword", of_platform(1, "authentication:write")),
    ("ChangePassword", rule(3, "authentication:write")),
    ("ImportPasswordHash", of_platform(2, "authentication:write")),
    ("RemovePassword", of_platform(2, "authentication:write")),
    ("StartEmailVerification", of_platform(5, "authentication:write")),
    ("ConfirmEmailVerification", of_platform(4, "authentication:write")),
    ("StartPasswordReset", of_platform(6, "authentication:write")),
    ("ConfirmPasswordReset", of_platform(4, "authentication:write")),
    ("StartEmailChange", of_platform(6, "authentication:write")),
    ("ConfirmEmailChange", of_platform(4, "authentication:write")),
    ("GetSigningKeys", any_key(1)),
    ("IntrospectToken", rule(3, "authentication:read")),
    ("CheckPermission", rule(2, "permissions:check")),
    ("BatchCheckPermissions", rule(1, "permissions:check")),
    ("ListEffectivePermissions", rule(2, "permissions:check")),
    ("ListPrincipalsWithPermission", rule(2, "permissions:check")),
    ("ListEvents", rule(2, "events:read")),
    ("WatchEvents", rule(1, "events:read")),
    ("ExportSnapshot", rule(1, "events:read")),
    ("CreateInvitation", rule(8, "invitations:write")),
    ("GetInvitation", rule(2, "invitations:read")),
    ("ListInvitations", rule(1, "invitations:read")),
    ("ResendInvitation", rule(3, "invitations:write")),
    ("RevokeInvitation", rule(1, "invitations:write")),
    ("AcceptInvitation", rule(6, "invitations:write")),
    ("DeclineInvitation", rule(1, "invitations:write")),
    ("CreateMembership", of_platform(4, "memberships:write")),
    ("GetMembership", rule(1, "memberships:read")),
    ("ListMemberships", rule(1, "memberships:read")),
    ("ListMembers", rule(1, "memberships:read")),
    ("CountMembers", rule(1, "memberships:read")),
    ("UpdateMembership", rule(6, "memberships:write")),
    ("DeleteMembership", rule(3, "memberships:write")),
    ("DisableMembership", rule(4, "memberships:write")),
    ("EnableMembership", rule(6, "memberships:write")),
    ("LinkOauthAccount", of_platform(4, "oauth_accounts:write")),
    ("GetOauthAccount", rule(1, "oauth_accounts:read")),
    ("ListOauthAccounts", rule(1, "oauth_accounts:read")),
    ("GetOauthAccountByProvider", rule(1, "oauth_accounts:read")),
    ("SetOauthAccountTokens", rule(1, "oauth_accounts:write")),
    ("GetOauthAccountTokens", rule(1, "oauth_account_tokens:read")),
    ("UnlinkOauthAccount", rule(1, "oauth_accounts:write")),
    ("CreateOrganization", rule(2, "organizations:write")),
    ("GetOrganization", rule(1, "organizations:read")),
    ("ListOrganizations", rule(1, "organizations:read")),
    ("UpdateOrganization", rule(2, "organizations:write")),
    ("DeleteOrganization", rule(3, "organizations:delete")),
    ("GetOrganizationBySlug", rule(1, "organizations:read")),
    ("BatchGetOrganizations", rule(1, "organizations:read")),
    ("SuspendOrganization", of_platform(2, "organizations:write")),
    ("ReactivateOrganization", of_platform(3, "organizations:write")),
    ("UndeleteOrganization", of_platform(4, "organizations:write")),
    ("PurgeOrganization", of_platform(1, "organizations:write")),
    ("TransferOwnership", rule(3, "organizations:transfer")),
    ("LeaveOrganization", rule(2, "memberships:write")),
    ("CreateRefreshToken", rule(5, "refresh_tokens:write")),
    ("RotateRefreshToken", rule(2, "refresh_tokens:write")),
    ("RevokeRefreshToken", rule(1, "refresh_tokens:write")),
    ("CreateRole", rule(6, "roles:write")),
    ("GetRole", rule(1, "roles:read")),
    ("ListRoles", rule(1, "roles:read")),
    ("UpdateRole", rule(5, "roles:write")),
    ("DeleteRole", rule(1, "roles:write")),
    ("GetSession", rule(1, "sessions:read")),
    ("ListSessions", rule(1, "sessions:read")),
    ("RevokeSession", rule(1, "sessions:write")),
    ("RevokeAllSessions", rule(2, "sessions:write")),
    ("CreateUser", of_platform(2, "users:write")),
    ("GetUser", rule(1, "users:read")),
    ("ListUsers", rule(1, "users:read")),
    ("UpdateUser", rule(5, "users:write")),
    ("DeleteUser", of_platform(4, "users:write")),
    ("GetUserByEmail", rule(1, "users:read")),
    ("BatchGetUsers", rule(1, "users:read")),
    ("SuspendUser", of_platform(4, "users:write")),
    ("ReactivateUser", of_platform(4, "users:write")),
    ("UndeleteUser", of_platform(5, "users:write")),
    ("PurgeUser", of_platform(1, "users:write")),
    ("DeleteOwnUser", rule(3, "authentication:write")),
    ("ExportOwnData", rule(1, "personal_data:read")),
    ("GrantPlatformAdmin", of_platform(3, "platform_admins:write")),
    ("ImportUsers", of_platform(1, "users:write")),
    ("RevokePlatformAdmin", of_platform(2, "platform_admins:write")),
    ("BatchCreateInvitations", rule(3, "invitations:write")),
    ("BatchCreateMemberships", of_platform(2, "memberships:write")),
    ("BatchUpdateMemberships", rule(3, "memberships:write")),
    ("BatchDeleteMemberships", rule(2, "memberships:write")),
    ("BatchSuspendUsers", of_platform(2, "users:write")),
    ("BatchReactivateUsers", of_platform(2, "users:write")),
];

/// Scopes of the methods that give authority.
const GIVING: [&str; 5] = ["users:write", "api_keys:write", "invitations:write", "memberships:write", "roles:write"];

/// Methods that are not called, each with a reason.
pub const NOT_MODELLED: [(&str, &str); 2] = [
    ("GetUserByExternalId", "no user of the model has an external id; it reaches what GetUserByEmail reaches"),
    (
        "GetOrganizationByExternalId",
        "no organization of the model has one; it reaches what GetOrganizationBySlug reaches",
    ),
];

/// Methods that any valid credential with the scope may call.
pub const NEVER_REFUSED: [&str; 0] = [];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The platform admin created at the first start.
    Root,
    User(usize),
    Organization(usize),
}

#[derive(Clone, Copy, Debug)]
pub enum Subject {
    User(usize),
    Key(usize),
}

/// An e-mail in a call.
#[derive(Clone, Debug)]
pub enum Address {
    /// An unused address.
    Fresh(String),
    /// The current address of a user.
    Of(usize),
}

/// A change of a key.
#[derive(Clone, Debug)]
pub enum Change {
    Name,
    Scopes(Vec<&'static str>),
    Ends(Option<u32>),
    Local(bool),
    Rate(u32),
}

/// A batch of one call.
type BatchOf = fn(Box<Call>) -> Call;

/// A call. Users, organizations, keys and other resources are indexes into the model.
#[derive(Clone, Debug)]
pub enum Call {
    CreateApiKey {
        owner: Owner,
        bounds: Bounds,
    },
    GetApiKey(usize),
    ListApiKeys(Owner),
    UpdateApiKey {
        key: usize,
        change: Change,
    },
    RotateApiKey {
        key: usize,
        overlap: bool,
    },
    RevokeApiKey(usize),
    DisableApiKey(usize),
    EnableApiKey(usize),
    RevokeOwnApiKey,
    VerifyApiKey(usize),
    BatchVerifyApiKeys(usize),
    VerifyStream(usize),
    SignUp {
        address: Address,
        password: &'static str,
        organization: bool,
    },
    SignIn {
        user: usize,
        right: bool,
        organization: Option<usize>,
    },
    Refresh {
        session: usize,
        stale: bool,
        organization: Option<Option<usize>>,
    },
    SignOut {
        session: Option<usize>,
        all: bool,
    },
    VerifyPassword {
        user: usize,
        right: bool,
    },
    SetPassword(usize),
    ChangePassword {
        user: usize,
        right: bool,
        password: &'static str,
        keep: bool,
        except: Option<usize>,
        revoke: bool,
    },
    ImportPasswordHash(usize),
    RemovePassword(usize),
    StartEmailVerification(usize),
    ConfirmEmailVerification {
        mail: usize,
        proof: Option<(usize, usize)>,
    },
    StartPasswordReset(usize),
    ConfirmPasswordReset {
        mail: usize,
        password: &'static str,
        keep: bool,
        revoke: bool,
    },
    StartEmailChange {
        user: usize,
        address: Address,
    },
    ConfirmEmailChange {
        mail: usize,
        proof: Option<(usize, usize)>,
    },
    GetSigningKeys,
    IntrospectToken(usize, usize),
    CheckPermission {
        subject: Subject,
        organization: usize,
    },
    BatchCheckPermissions,
    ListEffectivePermissions {
        subject: Subject,
        organization: usize,
    },
    ListPrincipalsWithPermission(usize),
    ListEvents(Option<usize>),
    WatchEvents(Option<usize>),
    ExportSnapshot(Option<usize>),
    CreateInvitation {
        organization: usize,
        address: Address,
        role: &'static str,
    },
    GetInvitation {
        invitation: usize,
        by_token: bool,
    },
    ListInvitations(usize),
    ResendInvitation(usize),
    RevokeInvitation(usize),
    AcceptInvitation {
        invitation: usize,
        by_token: bool,
        user: Option<usize>,
        proof: Option<(usize, usize)>,
    },
    DeclineInvitation {
        invitation: usize,
        by_token: bool,
        user: Option<usize>,
    },
    CreateMembership {
        user: usize,
        organization: usize,
        role: &'static str,
        extra: Vec<&'static str>,
    },
    GetMembership {
        user: usize,
        organization: usize,
    },
    ListMemberships(usize),
    ListMembers(usize),
    CountMembers(usize),
    UpdateMembership {
        user: usize,
        organization: usize,
        role: Option<&'static str>,
        extra: Option<Vec<&'static str>>,
    },
    DeleteMembership {
        user: usize,
        organization: usize,
    },
    DisableMembership {
        user: usize,
        organization: usize,
    },
    EnableMembership {
        user: usize,
        organization: usize,
    },
    LinkOauthAccount {
        user: usize,
        vouched: bool,
    },
    GetOauthAccount(usize),
    ListOauthAccounts(usize),
    GetOauthAccountByProvider(usize),
    SetOauthAccountTokens(usize),
    GetOauthAccountTokens(usize),
    UnlinkOauthAccount(usize),
    CreateOrganization {
        owner: usize,
    },
    GetOrganization(usize),
    ListOrganizations,
    UpdateOrganization {
        organization: usize,
        plan: bool,
    },
    DeleteOrganization(usize),
    GetOrganizationBySlug(usize),
    BatchGetOrganizations(usize),
    SuspendOrganization(usize),
    ReactivateOrganization(usize),
    UndeleteOrganization {
        organization: usize,
        restore: bool,
    },
    PurgeOrganization(usize),
    TransferOwnership {
        organization: usize,
        from: usize,
        to: usize,
    },
    LeaveOrganization(usize),
    CreateRefreshToken(usize),
    RotateRefreshToken {
        session: usize,
        stale: bool,
    },
    RevokeRefreshToken(usize),
    GetSession(usize),
    ListSessions(usize),
    RevokeSession(usize),
    RevokeAllSessions {
        user: usize,
        except: Option<usize>,
    },
    CreateRole {
        organization: usize,
        name: &'static str,
        permissions: Vec<&'static str>,
    },
    GetRole {
        organization: usize,
        name: &'static str,
    },
    ListRoles(usize),
    UpdateRole {
        organization: usize,
        name: &'static str,
        permissions: Vec<&'static str>,
    },
    DeleteRole {
        organization: usize,
        name: &'static str,
    },
    CreateUser {
        address: Address,
        verified: bool,
    },
    GetUser(usize),
    ListUsers {
        deleted: bool,
    },
    /// With `verify`, a platform admin vouches for the address; within it is an access token of the user, if any.
    UpdateUser {
        user: usize,
        email: Option<Address>,
        verify: Option<Option<(usize, usize)>>,
    },
    DeleteUser(usize),
    GetUserByEmail(usize),
    BatchGetUsers(usize),
    SuspendUser(usize),
    ReactivateUser(usize),
    UndeleteUser {
        user: usize,
        restore: bool,
    },
    PurgeUser {
        user: usize,
        sole: bool,
    },
    DeleteOwnUser {
        user: usize,
        right: bool,
        sole: bool,
    },
    ExportOwnData(usize),
    GrantPlatformAdmin(usize),
    ImportUsers,
    RevokePlatformAdmin(usize),
    /// Batches of one item: the call by itself.
    BatchCreateInvitations(Box<Call>),
    BatchCreateMemberships(Box<Call>),
    BatchUpdateMemberships(Box<Call>),
    BatchDeleteMemberships(Box<Call>),
    BatchSuspendUsers(Box<Call>),
    BatchReactivateUsers(Box<Call>),
}

impl Call {
    /// The name of the method.
    pub fn method(&self) -> &'static str {
        let text = format!("{self:?}");
        let name = text.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        METHODS.iter().map(|(method, _)| *method).find(|method| *method == name).unwrap()
    }

    /// The item of a batch.
    pub fn item(&self) -> Option<&Self> {
        match self {
            Self::BatchCreateInvitations(item)
            | Self::BatchCreateMemberships(item)
            | Self::BatchUpdateMemberships(item)
            | Self::BatchDeleteMemberships(item)
            | Self::BatchSuspendUsers(item)
            | Self::BatchReactivateUsers(item) => Some(item),
            _ => None,
        }
    }

    fn rule(&self) -> &'static Rule {
        let method = self.method();
        METHODS.iter().find(|(name, _)| *name == method).map(|(_, rule)| rule).unwrap()
    }

    /// The scope that the method requires.
    pub fn scope(&self) -> Option<&'static str> {
        self.rule().scope
    }

    /// True if only platform admins may call the method.
    pub fn takes_a_platform_admin(&self) -> bool {
        self.rule().platform_admin
    }
}

fn fresh(word: &str) -> Address {
    Address::Fresh(format!("{}@example.com", unique(word)))
}

/// Draws the arguments of calls, mostly from the caller's own surroundings, since most attacks start there.
pub struct Draw<'a> {
    pub random: &'a mut Random,
    pub model: &'a Model,
    /// The calling user, if any.
    pub user: Option<usize>,
    pub organization: Option<usize>,
}

impl<'a> Draw<'a> {
    pub fn new(random: &'a mut Random, model: &'a Model, credential: Credential) -> Self {
        let owner = match credential {
            Credential::Key(key) | Credential::Former(key) | Credential::Dead(key, _) => model.keys[key].owner,
            Credential::Access(session, _) => Owner::User(model.sessions[session].user),
        };
        let (user, organization) = match owner {
            Owner::Root => (None, None),
            Owner::User(user) => {
                let of = (0..model.organizations.len()).find(|at| model.organizations[*at].members.contains_key(&user));
                (Some(user), of)
            }
            Owner::Organization(organization) => (None, Some(organization)),
        };
        Self { random, model, user, organization }
    }

    fn any_user(&mut self) -> usize {
        match self.user {
            Some(user) if self.random.percent(45) => user,
            _ => self.random.below(self.model.users.len()),
        }
    }

    /// A user in a state; any user if none is.
    fn user_in(&mut self, state: State) -> usize {
        let all: Vec<usize> =
            (0..self.model.users.len()).filter(|user| self.model.users[*user].state == state).collect();
        if all.is_empty() || self.random.percent(15) { self.any_user() } else { self.random.one(&all) }
    }

    /// A user that satisfies a condition; any user if none does.
    fn user_who(&mut self, holds: impl Fn(&super::model::User) -> bool) -> usize {
        let all: Vec<usize> = (0..self.model.users.len()).filter(|user| holds(&self.model.users[*user])).collect();
        if all.is_empty() || self.random.percent(15) { self.any_user() } else { self.random.one(&all) }
    }

    fn any_organization(&mut self) -> usize {
        match self.organization {
            Some(organization) if self.random.percent(55) => organization,
            _ => self.random.below(self.model.organizations.len()),
        }
    }

    fn organization_in(&mut self, state: State) -> usize {
        let all: Vec<usize> =
            (0..self.model.organizations.len()).filter(|at| self.model.organizations[*at].state == state).collect();
        if all.is_empty() || self.random.percent(15) { self.any_organization() } else { self.random.one(&all) }
    }

    /// A member of an organization; any user if it has none.
    fn member_of(&mut self, organization: usize) -> usize {
        let all: Vec<usize> = self.model.organizations[organization].members.keys().copied().collect();
        if all.is_empty() || self.random.percent(15) { self.any_user() } else { self.random.one(&all) }
    }

    /// A disabled member of an organization; any member if it has none.
    fn switched_member_of(&mut self, organization: usize) -> usize {
        let members = &self.model.organizations[organization].members;
        let all: Vec<usize> = members.iter().filter(|(_, member)| member.disabled).map(|(user, _)| *user).collect();
        if all.is_empty() || self.random.percent(15) { self.member_of(organization) } else { self.random.one(&all) }
    }

    /// A disabled key if there is one, else any key.
    fn switched_key(&mut self) -> usize {
        let all: Vec<usize> = (1..self.model.keys.len()).filter(|key| self.model.keys[*key].disabled).collect();
        if all.is_empty() || self.random.percent(15) { self.any_key() } else { self.random.one(&all) }
    }

    fn no_member_of(&mut self, organization: usize) -> usize {
        let members = &self.model.organizations[organization].members;
        let all: Vec<usize> = (0..self.model.users.len()).filter(|user| !members.contains_key(user)).collect();
        if all.is_empty() || self.random.percent(15) { self.any_user() } else { self.random.one(&all) }
    }

    /// A key, but never the first one.
    fn any_key(&mut self) -> usize {
        let own: Vec<usize> = (1..self.model.keys.len())
            .filter(|key| match self.model.keys[*key].owner {
                Owner::Root => false,
                Owner::User(user) => Some(user) == self.user,
                Owner::Organization(organization) => Some(organization) == self.organization,
            })
            .collect();
        if !own.is_empty() && self.random.percent(55) {
            self.random.one(&own)
        } else {
            1 + self.random.below(self.model.keys.len() - 1)
        }
    }

    /// A session, mostly a live one.
    fn any_session(&mut self) -> Option<usize> {
        let sessions = &self.model.sessions;
        let live: Vec<usize> = (0..sessions.len()).filter(|at| sessions[*at].live).collect();
        match (live.is_empty(), sessions.is_empty()) {
            (_, true) => None,
            (false, _) if self.random.percent(85) => Some(self.random.one(&live)),
            _ => Some(self.random.below(sessions.len())),
        }
    }

    fn any_access(&mut self) -> Option<(usize, usize)> {
        let all: Vec<(usize, usize)> = self
            .model
            .sessions
            .iter()
            .enumerate()
            .flat_map(|(at, session)| (0..session.access.len()).map(move |access| (at, access)))
            .collect();
        if all.is_empty() { None } else { Some(self.random.one(&all)) }
    }

    /// A working access token of a user.
    fn access_of(&mut self, user: usize) -> Option<(usize, usize)> {
        let all: Vec<(usize, usize)> = (0..self.model.sessions.len())
            .filter(|at| self.model.session_works(*at) && self.model.sessions[*at].user == user)
            .flat_map(|at| (0..self.model.sessions[at].access.len()).map(move |access| (at, access)))
            .collect();
        if all.is_empty() { None } else { Some(self.random.one(&all)) }
    }

    /// An access token, or none, to show that the caller who proves a mailbox also holds the account.
    fn proof(&mut self, user: usize) -> Option<(usize, usize)> {
        match self.random.below(10) {
            0..4 => None,
            4..9 => self.access_of(user),
            _ => self.any_access(),
        }
    }

    fn any_mail(&mut self, kind: Mailed) -> Option<usize> {
        let mails = &self.model.mails;
        let of: Vec<usize> = (0..mails.len()).filter(|at| mails[*at].kind == kind).collect();
        let live: Vec<usize> = of.iter().copied().filter(|at| mails[*at].live).collect();
        if of.is_empty() {
            None
        } else if live.is_empty() || self.random.percent(40) {
            Some(self.random.one(&of))
        } else {
            Some(self.random.one(&live))
        }
    }

    fn any_invitation(&mut self) -> Option<usize> {
        let all = &self.model.invitations;
        let there: Vec<usize> = (0..all.len()).filter(|at| all[*at].standing != Standing::Gone).collect();
        if all.is_empty() {
            None
        } else if there.is_empty() || self.random.percent(10) {
            Some(self.random.below(all.len()))
        } else {
            Some(self.random.one(&there))
        }
    }

    fn address(&mut self, word: &str) -> Address {
        if self.random.percent(70) { fresh(word) } else { Address::Of(self.any_user()) }
    }

    fn some_of(&mut self, all: &[&'static str], most: usize) -> Vec<&'static str> {
        (0..self.random.below(most + 1)).map(|_| self.random.one(all)).collect()
    }

    /// A role, mostly an existing one.
    fn any_role(&mut self, organization: usize) -> &'static str {
        let role = self.random.one(&ROLES);
        let own = &self.model.organizations[organization].roles;
        if OWN_ROLES.contains(&role) && !own.contains_key(role) && self.random.percent(80) { "member" } else { role }
    }

    fn own_role(&mut self, organization: usize) -> &'static str {
        let own: Vec<&'static str> = self.model.organizations[organization].roles.keys().copied().collect();
        if own.is_empty() { self.random.one(&OWN_ROLES) } else { self.random.one(&own) }
    }

    fn maybe_organization(&mut self) -> Option<usize> {
        if self.random.percent(70) { Some(self.any_organization()) } else { None }
    }

    fn owner_of_keys(&mut self) -> Owner {
        if self.random.percent(60) {
            Owner::User(self.any_user())
        } else {
            Owner::Organization(self.any_organization())
        }
    }

    /// Scopes for a key of an owner.
    pub fn scopes(&mut self, owner: Owner) -> Vec<&'static str> {
        let all: &[&'static str] =
            if matches!(owner, Owner::Organization(_)) { &SCOPES_OF_ORGANIZATIONS } else { &SCOPES };
        if self.random.percent(20) {
            return vec!["*"];
        }
        let mut scopes: Vec<&'static str> = (0..=self.random.below(4)).map(|_| self.random.one(all)).collect();
        // Attacks need the scopes that give authority.
        let giving = if matches!(owner, Owner::Organization(_)) { &GIVING[1..] } else { &GIVING[..] };
        scopes.extend(giving.iter().filter(|_| self.random.percent(30)));
        scopes.sort_unstable();
        scopes.dedup();
        scopes
    }

    fn ends(&mut self) -> Option<u32> {
        if self.random.percent(75) { None } else { Some(self.random.one(&[1, 2, 3])) }
    }

    fn bounds(&mut self, owner: Owner) -> Bounds {
        let (scopes, ends) = (self.scopes(owner), self.ends());
        let (local, rate) = (self.random.percent(15), if self.random.percent(85) { 0 } else { self.rate() });
        Bounds { scopes, ends, local, rate }
    }

    /// A rate far above the number of calls in a sequence.
    fn rate(&mut self) -> u32 {
        self.random.one(&[100_000, 200_000])
    }

    fn change(&mut self, key: usize) -> Change {
        let owner = self.model.keys[key].owner;
        match self.random.below(10) {
            0 => Change::Name,
            1..6 => Change::Scopes(self.scopes(owner)),
            6..8 => Change::Ends(self.random.one(&[None, Some(1), Some(2), Some(3)])),
            8 => Change::Local(self.random.percent(50)),
            _ => Change::Rate(if self.random.percent(30) { 0 } else { self.rate() }),
        }
    }

    /// Draws a call of a method. `None` if there is no resource for it.
    pub fn call(&mut self, method: &str) -> Option<Call> {
        let batch: Option<(&str, BatchOf)> = match method {
            "BatchCreateInvitations" => Some(("CreateInvitation", Call::BatchCreateInvitations)),
            "BatchCreateMemberships" => Some(("CreateMembership", Call::BatchCreateMemberships)),
            "BatchUpdateMemberships" => Some(("UpdateMembership", Call::BatchUpdateMemberships)),
            "BatchDeleteMemberships" => Some(("DeleteMembership", Call::BatchDeleteMemberships)),
            "BatchSuspendUsers" => Some(("SuspendUser", Call::BatchSuspendUsers)),
            "BatchReactivateUsers" => Some(("ReactivateUser", Call::BatchReactivateUsers)),
            _ => None,
        };
        if let Some((single, batch)) = batch {
            return self.call(single).map(|item| batch(Box::new(item)));
        }
        // Each group passes other methods on to the next one.
        self.draw_key_changes(method)
    }

    /// API keys: creation and changes.
    fn draw_key_changes(&mut self, method: &str) -> Option<Call> {
        Some(match method {
            "CreateApiKey" => {
                let owner = self.owner_of_keys();
                Call::CreateApiKey { owner, bounds: self.bounds(owner) }
            }
            "UpdateApiKey" => {
                let key = self.any_key();
                Call::UpdateApiKey { key, change: self.change(key) }
            }
            _ => return self.draw_keys(method),
        })
    }

    /// API keys: everything else.
    fn draw_keys(&mut self, method: &str) -> Option<Call> {
        Some(match method {
            "GetApiKey" => Call::GetApiKey(self.any_key()),
            "ListApiKeys" => Call::ListApiKeys(self.owner_of_keys()),
            "RotateApiKey" => Call::RotateApiKey { key: self.any_key(), overlap: self.random.percent(80) },
            "RevokeApiKey" => Call::RevokeApiKey(self.any_key()),
            "DisableApiKey" => Call::DisableApiKey(self.any_key()),
            "EnableApiKey" => Call::EnableApiKey(self.switched_key()),
            "RevokeOwnApiKey" => Call::RevokeOwnApiKey,
            "VerifyApiKey" => Call::VerifyApiKey(self.any_key()),
            "BatchVerifyApiKeys" => Call::BatchVerifyApiKeys(self.any_key()),
            "VerifyStream" => Call::VerifyStream(self.any_key()),
            _ => return self.draw_mails(method),
        })
    }

    /// Mailed tokens.
    fn draw_mails(&mut self, method: &str) -> Option<Call> {
        Some(match method {
            "StartEmailVerification" => Call::StartEmailVerification(self.any_user()),
            "StartPasswordReset" => Call::StartPasswordReset(self.addressed()),
            "StartEmailChange" => Call::StartEmailChange { user: self.any_user(), address: self.address("changed") },
            "ConfirmEmailVerification" => {
                let mail = self.any_mail(Mailed::Verification)?;
                Call::ConfirmEmailVerification { mail, proof: self.proof(self.model.mails[mail].user) }
            }
            "ConfirmEmailChange" => {
                let mail = self.any_mail(Mailed::Change)?;
                Call::ConfirmEmailChange { mail, proof: self.proof(self.model.mails[mail].user) }
            }
            "ConfirmPasswordReset" => {
                let mail = self.any_mail(Mailed::Reset)?;
                let password = self.new_password(self.model.mails[mail].user);
                let (keep, revoke) = (self.random.percent(25), self.random.percent(25));
                Call::ConfirmPasswordReset { mail, password, keep, revoke }
            }
            _ => return self.draw_passwords(method),
        })
    }

    /// Passwords.
    fn draw_passwords(&mut self, method: &str) -> Option<Call> {
        Some(match method {
            "VerifyPassword" => Call::VerifyPassword {
                user: self.user_who(|user| user.password.is_some()),
                right: self.random.percent(80),
            },
            "SetPassword" => Call::SetPassword(self.user_who(|user| user.password.is_none())),
            "ImportPasswordHash" => Call::ImportPasswordHash(self.user_who(|user| user.password.is_none())),
            "RemovePassword" => Call::RemovePassword(self.any_user()),
            "ChangePassword" => {
                let user = self.user_who(|user| user.password.is_some());
                let except = if self.random.percent(20) { self.any_session() } else { None };
                Call::ChangePassword {
                    user,
                    right: self.random.percent(85),
                    password: self.new_password(user),
                    keep: self.random.percent(25),
                    except,
                    revoke: self.random.percent(20),
                }
            }
            _ => return self.draw_sign_in(method),
        })
    }

    /// Signing up, in and out.
    fn draw_sign_in(&mut self, method: &str) -> Option<Call> {
        Some(match method {
            "SignUp" => Call::SignUp {
                address: self.address("signed-up"),
                password: PASSWORDS[1],
                organization: self.random.percent(50),
            },
            "SignIn" => {
                let user = self.user_who(|user| user.password.is_some());
                let user = self.reached_as(user);
                let organization = if self.random.percent(50) { Some(self.any_organization()) } else { None };
                Call::SignIn { user, right: self.random.percent(90), organization }
            }
            "Refresh" => {
                let session = self.any_session()?;
                let stale = self.random.percent(10) && !self.model.sessions[session].former.is_empty();
                let organization = match self.random.below(4) {
                    0 => None,
                    1 => Some(None),
                    _ => Some(Some(self.any_organization())),
                };
                Call::Refresh { session, stale, organization }
            }
            "SignOut" => {
                let session = if self.random.percent(40) { None } else { Some(self.any_session()?) };
                Call::SignOut { session, all: self.random.percent(50) }
            }
            _ => return self.draw_tokens(method),
        })
    }

    /// Refresh tokens, access tokens and sessions.
    fn draw_tokens(&mut self, method: &str) -> Option<Call> {
        Some(match method {
            "RotateRefreshToken" => {
                let session = self.any_session()?;
                let stale = self.random.percent(10) && !self.model.sessions[session].former.is_empty();
                Call::RotateRefreshToken { session, stale }
            }
            "GetSigningKeys" => Call::GetSigningKeys,
            "IntrospectToken" => {
                let (session, access) = self.any_access()?;
                Call::IntrospectToken(session, access)
            }
            "CreateRefreshToken" => Call::CreateRefreshToken(self.any_user()),
            "ListSessions" => Call::ListSessions(self.any_user()),
            "RevokeRefreshToken" => Call::RevokeRefreshToken(self.any_session()?),
            "GetSession" => Call::GetSession(self.any_session()?),
            "RevokeSession" => Call::RevokeSession(self.any_session()?),
            "RevokeAllSessions" => {
                let except = if self.random.percent(30) { self.any_session() } else { None };
                let user = match except {
                    Some(session) => self.model.sessions[session].user,
                    None => self.any_user(),
                };
                Call::RevokeAllSessions { user, except }
            }
            _ => return self.draw_checks(method),
        })
    }

    /// Permissions and events.
    fn draw_checks(&mut self, method: &str) -> Option<Call> {
        Some(match method {
            "CheckPermission" => {
                let subject =
                    if self.random.percent(60) { Subject::User(self.any_user()) } else { Subject::Key(self.any_key()) };
                Call::CheckPermission { subject, organization: self.any_organization() }
            }
            "BatchCheckPermissions" => Call::BatchCheckPermissions,
            "ListEffectivePermissions" => {
                let subject =
                    if self.random.percent(60) { Subject::User(self.any_user()) } else { Subject::Key(self.any_key()) };
                Call::ListEffectivePermissions { subject, organization: self.any_organization() }
            }
            "ListPrincipalsWithPermission" => Call::ListPrincipalsWithPermission(self.any_organization()),
            "ListEvents" => Call::ListEvents(self.maybe_organization()),
            "WatchEvents" => Call::WatchEvents(self.maybe_organization()),
            "ExportSnapshot" => Call::ExportSnapshot(self.maybe_organization()),
            _ => return self.draw_joining(method),
        })
    }

    /// Joining, leaving and handing over an organization.
    fn draw_joining(&mut self, method: &str) -> Option<Call> {
        Some(match method {
            "AcceptInvitation" => {
                let invitation = self.any_invitation()?;
                let address = &self.model.invitations[invitation].address;
                let invited = self.model.users.iter().position(|user| user.email == *address);
                // A user that calls with its own credential need not be named.
                let user = match invited {
                    Some(user) if Some(user) != self.user || self.random.percent(50) => Some(user),
                    Some(_) => None,
                    None => Some(self.any_user()),
                };
                // An invalid token is never sent, since its effect is unspecified.
                let proof = match user {
                    Some(user) if self.random.percent(40) => self.access_of(user),
                    _ => None,
                };
                Call::AcceptInvitation { invitation, by_token: self.random.percent(70), user, proof }
            }
            "DeclineInvitation" => {
                let user = if self.random.percent(50) { Some(self.any_user()) } else { None };
                Call::DeclineInvitation { invitation: self.any_invitation()?, by_token: self.random.percent(50), user }
            }
            "TransferOwnership" => {
                let organization = self.any_organization();
                let owners = self.model.organizations[organization].members.iter();
                let owners: Vec<usize> =
                    owners.filter(|(_, member)| member.role == "owner").map(|(user, _)| *user).collect();
                let from = if owners.is_empty() { self.any_user() } else { self.random.one(&owners) };
                let to = self.member_of(organization);
                if from == to {
                    return None;
                }
                Call::TransferOwnership { organization, from, to }
            }
            "LeaveOrganization" => Call::LeaveOrganization(self.any_organization()),
            _ => return self.draw_invitations(method),
        })
    }

    /// Invitations.
    fn draw_invitations(&mut self, method: &str) -> Option<Call> {
        Some(match method {
            "CreateInvitation" => {
                let organization = self.any_organization();
                let user = self.no_member_of(organization);
                let address = if self.random.percent(85) { Address::Of(user) } else { fresh("invited") };
                Call::CreateInvitation { organization, address, role: self.any_role(organization) }
            }
            "GetInvitation" => {
                Call::GetInvitation { invitation: self.any_invitation()?, by_token: self.random.percent(40) }
            }
            "ListInvitations" => Call::ListInvitations(self.any_organization()),
            "ResendInvitation" => Call::ResendInvitation(self.any_invitation()?),
            "RevokeInvitation" => Call::RevokeInvitation(self.any_invitation()?),
            _ => return self.draw_memberships(method),
        })
    }

    /// Memberships.
    fn draw_memberships(&mut self, method: &str) -> Option<Call> {
        Some(match method {
            "CreateMembership" => {
                let organization = self.any_organization();
                Call::CreateMembership {
                    user: self.no_member_of(organization),
                    organization,
                    role: self.any_role(organization),
                    extra: self.some_of(&PERMISSIONS, 2),
                }
            }
            "GetMembership" => {
                let organization = self.any_organization();
                Call::GetMembership { user: self.member_of(organization), organization }
            }
            "ListMemberships" => Call::ListMemberships(self.any_organization()),
            "ListMembers" => Call::ListMembers(self.any_organization()),
            "CountMembers" => Call::CountMembers(self.any_organization()),
            "UpdateMembership" => {
                let organization = self.any_organization();
                let user = self.member_of(organization);
                let role = if self.random.percent(75) { Some(self.any_role(organization)) } else { None };
                let extra =
                    if role.is_none() || self.random.percent(30) { Some(self.some_of(&PERMISSIONS, 2)) } else { None };
                Call::UpdateMembership { user, organization, role, extra }
            }
            "DeleteMembership" => {
                let organization = self.any_organization();
                Call::DeleteMembership { user: self.member_of(organization), organization }
            }
            "DisableMembership" => {
                let organization = self.any_organization();
                Call::DisableMembership { user: self.member_of(organization), organization }
            }
            "EnableMembership" => {
                let organization = self.any_organization();
                Call::EnableMembership { user: self.switched_member_of(organization), organization }
            }
            _ => return self.draw_links(method),
        })
    }

    /// Links to providers.
    fn draw_links(&mut self, method: &str) -> Option<Call> {
        Some(match method {
            "LinkOauthAccount" => Call::LinkOauthAccount { user: self.any_user(), vouched: self.random.percent(60) },
            "GetOauthAccount" => Call::GetOauthAccount(self.linked()),
            "ListOauthAccounts" => Call::ListOauthAccounts(self.any_user()),
            "GetOauthAccountByProvider" => Call::GetOauthAccountByProvider(self.linked()),
            "SetOauthAccountTokens" => Call::SetOauthAccountTokens(self.linked()),
            "GetOauthAccountTokens" => Call::GetOauthAccountTokens(self.linked()),
            "UnlinkOauthAccount" => Call::UnlinkOauthAccount(self.linked()),
            _ => return self.draw_organization_states(method),
        })
    }

    /// States of organizations.
    fn draw_organization_states(&mut self, method: &str) -> Option<Call> {
        Some(match method {
            "DeleteOrganization" => Call::DeleteOrganization(self.any_organization()),
            "SuspendOrganization" => Call::SuspendOrganization(self.any_organization()),
            "ReactivateOrganization" => Call::ReactivateOrganization(self.organization_in(State::Suspended)),
            "UndeleteOrganization" => Call::UndeleteOrganization {
                organization: self.organization_in(State::Deleted),
                restore: self.random.percent(40),
            },
            "PurgeOrganization" => Call::PurgeOrganization(self.any_organization()),
            _ => return self.draw_organizations(method),
        })
    }

    /// Organizations.
    fn draw_organizations(&mut self, method: &str) -> Option<Call> {
        Some(match method {
            "CreateOrganization" => Call::CreateOrganization { owner: self.any_user() },
            "GetOrganization" => Call::GetOrganization(self.any_organization()),
            "ListOrganizations" => Call::ListOrganizations,
            "UpdateOrganization" => {
                Call::UpdateOrganization { organization: self.any_organization(), plan: self.random.percent(30) }
            }
            "GetOrganizationBySlug" => Call::GetOrganizationBySlug(self.any_organization()),
            "BatchGetOrganizations" => Call::BatchGetOrganizations(self.any_organization()),
            _ => return self.draw_roles(method),
        })
    }

    /// Roles.
    fn draw_roles(&mut self, method: &str) -> Option<Call> {
        Some(match method {
            "CreateRole" => {
                let organization = self.any_organization();
                let own = &self.model.organizations[organization].roles;
                let name = OWN_ROLES.into_iter().find(|name| !own.contains_key(name)).unwrap_or(OWN_ROLES[0]);
                Call::CreateRole { organization, name, permissions: self.some_of(&PERMISSIONS, 3) }
            }
            "GetRole" => {
                let organization = self.any_organization();
                Call::GetRole { organization, name: self.own_role(organization) }
            }
            "ListRoles" => Call::ListRoles(self.any_organization()),
            "UpdateRole" => {
                let organization = self.any_organization();
                let name = self.own_role(organization);
                Call::UpdateRole { organization, name, permissions: self.some_of(&PERMISSIONS, 3) }
            }
            "DeleteRole" => {
                let organization = self.any_organization();
                Call::DeleteRole { organization, name: self.own_role(organization) }
            }
            _ => return self.draw_user_states(method),
        })
    }

    /// States of users.
    fn draw_user_states(&mut self, method: &str) -> Option<Call> {
        Some(match method {
            "DeleteUser" => Call::DeleteUser(self.any_user()),
            "SuspendUser" => Call::SuspendUser(self.any_user()),
            "ReactivateUser" => Call::ReactivateUser(self.user_in(State::Suspended)),
            "UndeleteUser" => {
                Call::UndeleteUser { user: self.user_in(State::Deleted), restore: self.random.percent(40) }
            }
            "PurgeUser" => {
                let user = self.any_user();
                // For an inactive user, it is unspecified which organizations are purged too.
                let sole = self.random.percent(50) && self.model.users[user].state == State::Active;
                Call::PurgeUser { user, sole }
            }
            "DeleteOwnUser" => Call::DeleteOwnUser {
                user: self.user_who(|user| user.password.is_some()),
                right: self.random.percent(80),
                sole: self.random.percent(50),
            },
            "ExportOwnData" => Call::ExportOwnData(self.any_user()),
            "GrantPlatformAdmin" => Call::GrantPlatformAdmin(self.any_user()),
            "RevokePlatformAdmin" => Call::RevokePlatformAdmin(self.user_who(|user| user.admin)),
            _ => return self.draw_users(method),
        })
    }

    /// Users.
    fn draw_users(&mut self, method: &str) -> Option<Call> {
        Some(match method {
            "CreateUser" => Call::CreateUser { address: self.address("created"), verified: self.random.percent(50) },
            "GetUser" => Call::GetUser(self.any_user()),
            "ListUsers" => Call::ListUsers { deleted: self.random.percent(50) },
            "UpdateUser" => {
                let email = if self.random.percent(70) { Some(self.address("updated")) } else { None };
                let user = self.any_user();
                let proof = if self.random.percent(40) { self.access_of(user) } else { None };
                let verify = self.random.percent(30).then_some(proof);
                Call::UpdateUser { user, email, verify }
            }
            "GetUserByEmail" => Call::GetUserByEmail(self.addressed()),
            "BatchGetUsers" => Call::BatchGetUsers(self.any_user()),
            "ImportUsers" => Call::ImportUsers,
            other => panic!("add the method {other} to the model of authority"),
        })
    }

    pub fn new_password(&mut self, user: usize) -> &'static str {
        let now = self.model.users[user].password;
        let others: Vec<&'static str> = PASSWORDS.into_iter().filter(|password| Some(*password) != now).collect();
        self.random.one(&others)
    }

    /// The user that the e-mail of a user leads to: a different one if that user is gone and its address was reused.
    fn reached_as(&mut self, user: usize) -> usize {
        let users = &self.model.users;
        let has_it = |other: &super::model::User| {
            other.email == users[user].email && matches!(other.state, State::Active | State::Suspended)
        };
        users.iter().position(has_it).unwrap_or(user)
    }

    fn addressed(&mut self) -> usize {
        let user = self.any_user();
        self.reached_as(user)
    }

    /// A user with a link to a provider; any user if none has one.
    fn linked(&mut self) -> usize {
        self.user_who(|user| !user.links.is_empty())
    }
}
