//! Throw-away tenants: one resource of every kind, created by the platform admin and deleted again.

use prost::Message;
use tonic::{Code, Status};

use super::client::{Client, Key};
use crate::{
    clock::{Clock as _, SystemClock},
    models::{Environment, InvitationId, SessionId},
    pb::{self, create_api_key_request::Owner, list_api_keys_request, list_invitations_request},
    security::{
        random,
        token::{SecretPrefixes, SessionSecret},
    },
};

/// Name of the role in every world.
pub(super) const ROLE: &str = "selftest";

/// One resource of every kind, all of one tenant. The default is empty.
#[derive(Clone, Default)]
pub(super) struct World {
    /// Part of every text of this world.
    pub(super) mark: String,
    /// The owner of its organization.
    pub(super) user_id: String,
    pub(super) email: String,
    pub(super) user_external_id: String,
    /// A viewer.
    pub(super) colleague_id: String,
    /// Invited, not a member.
    pub(super) invited_id: String,
    pub(super) organization_id: String,
    pub(super) slug: String,
    pub(super) organization_external_id: String,
    /// The membership of the colleague.
    pub(super) membership_id: String,
    pub(super) membership_external_id: String,
    pub(super) role_id: String,
    pub(super) invitation_id: String,
    pub(super) invitation_token: String,
    pub(super) oauth_account_id: String,
    pub(super) provider_user_id: String,
    pub(super) session_id: String,
    pub(super) refresh_token: String,
    pub(super) access_token: String,
    pub(super) api_key_id: String,
    pub(super) api_key: String,
}

fn missing_part() -> Status {
    Status::internal("an answer lacks the created resource")
}

impl World {
    /// Creates a world.
    pub(super) async fn make(client: &Client, what: &str) -> Result<Self, String> {
        let failed = |status: Status| format!("cannot create a tenant ({what}): {}", status.message());
        Self::try_make(client).await.map_err(failed)
    }

    async fn try_make(client: &Client) -> Result<Self, Status> {
        let mark = client.new_name();
        let user = make_user(client, &mark, "owner").await?;
        let colleague = make_user(client, &mark, "colleague").await?;
        let invited = make_user(client, &mark, "invited").await?;
        let request = pb::CreateOrganizationRequest {
            name: mark.clone(),
            slug: mark.clone(),
            owner_user_id: user.id.clone(),
            external_id: format!("{mark}-organization"),
            ..Default::default()
        };
        let created: pb::CreateOrganizationResponse =
            client.admin("OrganizationService/CreateOrganization", &request).await?;
        let organization = created.organization.ok_or_else(missing_part)?;
        let membership = make_member(client, &colleague.id, &organization.id, "viewer").await?;
        let request = pb::CreateRoleRequest {
            organization_id: organization.id.clone(),
            name: ROLE.to_owned(),
            description: mark.clone(),
            permissions: vec!["selftest:read".to_owned()],
            ..Default::default()
        };
        let role: pb::CreateRoleResponse = client.admin("RoleService/CreateRole", &request).await?;
        let request = pb::CreateInvitationRequest {
            organization_id: organization.id.clone(),
            email: invited.email.clone(),
            role: "viewer".to_owned(),
            message: mark.clone(),
            ..Default::default()
        };
        let invitation: pb::CreateInvitationResponse =
            client.admin("InvitationService/CreateInvitation", &request).await?;
        let request = pb::LinkOauthAccountRequest {
            user_id: user.id.clone(),
            provider: "selftest".to_owned(),
            provider_user_id: mark.clone(),
            tokens: Some(pb::OauthTokens { access_token: Some(mark.clone()), ..Default::default() }),
            ..Default::default()
        };
        let account: pb::LinkOauthAccountResponse =
            client.admin("OauthAccountService/LinkOauthAccount", &request).await?;
        let request = pb::CreateRefreshTokenRequest { user_id: user.id.clone(), ..Default::default() };
        let created: pb::CreateRefreshTokenResponse =
            client.admin("RefreshTokenService/CreateRefreshToken", &request).await?;
        let issued = created.session.ok_or_else(missing_part)?;
        let access_token = sign_in(client, &user).await?;
        let (key, api_key) = make_key(client, Owner::OrganizationId(organization.id.clone()), "*", &mark, None).await?;
        Ok(Self {
            email: user.email,
            user_id: user.id,
            user_external_id: user.external_id,
            colleague_id: colleague.id,
            invited_id: invited.id,
            organization_id: organization.id,
            slug: organization.slug,
            organization_external_id: organization.external_id,
            membership_id: membership.id,
            membership_external_id: membership.external_id,
            role_id: role.role.ok_or_else(missing_part)?.id,
            invitation_id: invitation.invitation.ok_or_else(missing_part)?.id,
            invitation_token: invitation.plaintext_token,
            oauth_account_id: account.oauth_account.ok_or_else(missing_part)?.id,
            provider_user_id: mark.clone(),
            session_id: issued.session.ok_or_else(missing_part)?.id,
            refresh_token: issued.plaintext_token,
            access_token,
            api_key_id: key.id,
            api_key,
            mark,
        })
    }

    /// A world whose resources do not exist.
    pub(super) fn missing(secrets: &SecretPrefixes) -> Self {
        let id = || random::uuid(SystemClock.now());
        let (invitation, session) = (id(), id());
        let mark = format!("selftest-{}", random::base62(16).to_lowercase());
        Self {
            user_id: id().to_string(),
            email: address(&mark, "owner"),
            user_external_id: format!("{mark}-owner"),
            colleague_id: id().to_string(),
            invited_id: id().to_string(),
            organization_id: id().to_string(),
            slug: mark.clone(),
            organization_external_id: format!("{mark}-organization"),
            membership_id: id().to_string(),
            membership_external_id: format!("{mark}-membership"),
            role_id: id().to_string(),
            invitation_token: secrets.mint_invitation_token(InvitationId(invitation)).0.expose().to_owned(),
            invitation_id: invitation.to_string(),
            oauth_account_id: id().to_string(),
            provider_user_id: mark.clone(),
            refresh_token: secrets.refresh_token(&SessionSecret::random(), SessionId(session), 1).expose().to_owned(),
            session_id: session.to_string(),
            // As long as a real token, without a valid signature.
            access_token: format!("eyJ{}", random::base62(400)),
            api_key_id: id().to_string(),
            api_key: secrets.mint_api_key(Environment::Live).0.expose().to_owned(),
            mark,
        }
    }

    /// The world as named by a caller without access to its mail. The token of an invitation reveals the invitation to any holder, so it
    /// is replaced by a forged token of the same invitation.
    pub(super) fn as_named_from_outside(&self, secrets: &SecretPrefixes) -> Self {
        let id = self.invitation_id.parse().map(InvitationId);
        let forged = id.map(|id| secrets.mint_invitation_token(id).0.expose().to_owned()).unwrap_or_default();
        Self { invitation_token: forged, ..self.clone() }
    }

    /// All names, ids and secrets of the world.
    pub(super) fn names(&self) -> [&str; 21] {
        [
            &self.mark,
            &self.user_id,
            &self.email,
            &self.colleague_id,
            &self.invited_id,
            &self.organization_id,
            &self.slug,
            &self.membership_id,
            &self.role_id,
            &self.invitation_id,
            &self.invitation_token,
            &self.oauth_account_id,
            &self.provider_user_id,
            &self.session_id,
            &self.refresh_token,
            &self.access_token,
            &self.api_key_id,
            &self.api_key,
            &self.user_external_id,
            &self.organization_external_id,
            &self.membership_external_id,
        ]
    }

    /// Everything that can be read of the world.
    pub(super) async fn state(&self, client: &Client) -> Result<Vec<Vec<u8>>, String> {
        let failed = |status: Status| format!("the foreign tenant cannot be read: {}", status.message());
        self.try_state(client).await.map_err(failed)
    }

    async fn try_state(&self, client: &Client) -> Result<Vec<Vec<u8>>, Status> {
        let organization = || self.organization_id.clone();
        let mut state = Vec::new();
        macro_rules! read {
            ($method:literal, $request:expr => $answer:ty) => {{
                let answer: $answer = client.admin($method, &$request).await?;
                state.push(answer.encode_to_vec());
            }};
        }
        for user_id in [&self.user_id, &self.colleague_id, &self.invited_id] {
            read!("UserService/GetUser", pb::GetUserRequest { user_id: user_id.clone() } => pb::GetUserResponse);
            let of_user = pb::ListSessionsRequest { user_id: user_id.clone(), ..Default::default() };
            read!("SessionService/ListSessions", of_user => pb::ListSessionsResponse);
            let of_user = pb::ListOauthAccountsRequest { user_id: user_id.clone(), ..Default::default() };
            read!("OauthAccountService/ListOauthAccounts", of_user => pb::ListOauthAccountsResponse);
            let owner = Some(list_api_keys_request::Owner::UserId(user_id.clone()));
            let of_user = pb::ListApiKeysRequest { owner, include_revoked: true, ..Default::default() };
            read!("ApiKeyService/ListApiKeys", of_user => pb::ListApiKeysResponse);
            let of_user = pb::ListMembershipsRequest { user_id: user_id.clone(), ..Default::default() };
            read!("MembershipService/ListMemberships", of_user => pb::ListMembershipsResponse);
        }
        let one = pb::GetOrganizationRequest { organization_id: organization() };
        read!("OrganizationService/GetOrganization", one => pb::GetOrganizationResponse);
        let all = pb::ListMembershipsRequest { organization_id: organization(), ..Default::default() };
        read!("MembershipService/ListMemberships", all => pb::ListMembershipsResponse);
        let all = pb::ListRolesRequest { organization_id: organization(), ..Default::default() };
        read!("RoleService/ListRoles", all => pb::ListRolesResponse);
        let filter = Some(list_invitations_request::Filter::OrganizationId(organization()));
        let all = pb::ListInvitationsRequest { filter, ..Default::default() };
        read!("InvitationService/ListInvitations", all => pb::ListInvitationsResponse);
        let owner = Some(list_api_keys_request::Owner::OrganizationId(organization()));
        let all = pb::ListApiKeysRequest { owner, include_revoked: true, ..Default::default() };
        read!("ApiKeyService/ListApiKeys", all => pb::ListApiKeysResponse);
        Ok(state)
    }
}

/// The e-mail address of a user of a world.
pub(super) fn address(mark: &str, word: &str) -> String {
    format!("{mark}-{word}@example.invalid")
}

/// Creates a user.
pub(super) async fn make_user(client: &Client, mark: &str, word: &str) -> Result<pb::User, Status> {
    let request = pb::CreateUserRequest {
        email: address(mark, word),
        name: format!("{mark} {word}"),
        email_verified: true,
        external_id: format!("{mark}-{word}"),
        ..Default::default()
    };
    let created: pb::CreateUserResponse = client.admin("UserService/CreateUser", &request).await?;
    let user = created.user.ok_or_else(missing_part)?;
    Ok(user)
}

/// Sets a user's password and signs in. Returns the access token.
pub(super) async fn sign_in(client: &Client, user: &pb::User) -> Result<String, Status> {
    let password = random::base62(40);
    let request = pb::SetPasswordRequest { user_id: user.id.clone(), password: password.clone(), ..Default::default() };
    let _: pb::SetPasswordResponse = client.admin("AuthenticationService/SetPassword", &request).await?;
    let request = pb::SignInRequest { email: user.email.clone(), password, ..Default::default() };
    let signed_in: pb::SignInResponse = client.admin("AuthenticationService/SignIn", &request).await?;
    let Some(pb::sign_in_response::Result::Session(issued)) = signed_in.result else { return Err(missing_part()) };
    Ok(issued.access_token)
}

/// Creates a membership.
pub(super) async fn make_member(
    client: &Client,
    user_id: &str,
    organization_id: &str,
    role: &str,
) -> Result<pb::Membership, Status> {
    let request = pb::CreateMembershipRequest {
        user_id: user_id.to_owned(),
        organization_id: organization_id.to_owned(),
        role: role.to_owned(),
        external_id: user_id.to_owned(),
        ..Default::default()
    };
    let created: pb::CreateMembershipResponse = client.admin("MembershipService/CreateMembership", &request).await?;
    created.membership.ok_or_else(missing_part)
}

/// Creates an API key. Returns it with its plaintext.
pub(super) async fn make_key(
    client: &Client,
    owner: Owner,
    scope: &str,
    name: &str,
    expires_at: Option<prost_types::Timestamp>,
) -> Result<(pb::ApiKey, String), Status> {
    let request = pb::CreateApiKeyRequest {
        owner: Some(owner),
        name: name.to_owned(),
        scopes: vec![scope.to_owned()],
        environment: pb::ApiKeyEnvironment::Test.into(),
        expires_at,
        ..Default::default()
    };
    let created: pb::CreateApiKeyResponse = client.admin("ApiKeyService/CreateApiKey", &request).await?;
    Ok((created.api_key.ok_or_else(missing_part)?, created.plaintext_key))
}

/// Creates a key of a user with all scopes.
pub(super) async fn make_user_key(client: &Client, user_id: &str) -> Result<Key, Status> {
    let (_, text) = make_key(client, Owner::UserId(user_id.to_owned()), "*", "selftest", None).await?;
    Key::new(&text).map_err(Status::internal)
}

/// Deletes everything whose name has the prefix: organizations first, since owners cannot be deleted. Returns what is left.
pub(super) async fn remove_all(client: &Client, name: &str) -> Vec<String> {
    let mut left = Vec::new();
    for state in [pb::OrganizationState::Unspecified, pb::OrganizationState::Deleted] {
        let page = pb::ListOrganizationsRequest {
            name_prefix: name.to_owned(),
            state: state.into(),
            page_size: 1000,
            ..Default::default()
        };
        match client.admin::<pb::ListOrganizationsResponse>("OrganizationService/ListOrganizations", &page).await {
            Err(status) => left.push(format!("organizations: {}", status.message())),
            Ok(found) => {
                for organization in found.organizations {
                    let id = organization.id;
                    let purge = pb::PurgeOrganizationRequest { organization_id: id.clone(), ..Default::default() };
                    let purged = client.admin("OrganizationService/PurgeOrganization", &purge).await;
                    left.extend(still_there("organization", &id, purged.map(|_: pb::PurgeOrganizationResponse| ())));
                }
            }
        }
    }
    for state in [pb::UserState::Unspecified, pb::UserState::Deleted] {
        let page = pb::ListUsersRequest {
            email_prefix: name.to_owned(),
            state: state.into(),
            page_size: 1000,
            ..Default::default()
        };
        match client.admin::<pb::ListUsersResponse>("UserService/ListUsers", &page).await {
            Err(status) => left.push(format!("users: {}", status.message())),
            Ok(found) => {
                for user in found.users {
                    let purge = pb::PurgeUserRequest { user_id: user.id.clone(), ..Default::default() };
                    let purged = client.admin("UserService/PurgeUser", &purge).await;
                    left.extend(still_there("user", &user.id, purged.map(|_: pb::PurgeUserResponse| ())));
                }
            }
        }
    }
    left
}

fn still_there(what: &str, id: &str, purged: Result<(), Status>) -> Option<String> {
    let status = purged.err().filter(|status| status.code() != Code::NotFound)?;
    Some(format!("{what} {id}: {}", status.message()))
}
