//! Fixtures, created through the API.

use std::sync::atomic::{AtomicUsize, Ordering};

use tenantry::pb::{self, create_api_key_request::Owner};

use super::{Answered as _, Test, raw};

/// The answers that hold a session as it is issued.
pub trait Issued {
    /// The session, with its tokens.
    fn issued(self) -> pb::IssuedSession;
}

impl Issued for pb::SignInResponse {
    fn issued(self) -> pb::IssuedSession {
        let Some(pb::sign_in_response::Result::Session(issued)) = self.result else { panic!("no session") };
        issued
    }
}

impl Issued for pb::RefreshResponse {
    fn issued(self) -> pb::IssuedSession {
        let Some(pb::refresh_response::Result::Session(issued)) = self.result else { panic!("no session") };
        issued
    }
}

impl Issued for pb::CreateRefreshTokenResponse {
    fn issued(self) -> pb::IssuedSession {
        self.session.unwrap()
    }
}

impl Issued for pb::RotateRefreshTokenResponse {
    fn issued(self) -> pb::IssuedSession {
        self.session.unwrap()
    }
}

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// A word that no other fixture has.
pub fn unique(word: &str) -> String {
    format!("{word}{}", COUNT.fetch_add(1, Ordering::SeqCst))
}

/// The password of users in fixtures.
pub const PASSWORD: &str = "a phrase that tests know";
/// A cheap hash of [`PASSWORD`]: PBKDF2 with one round.
pub const CHEAP_HASH: &str = "$pbkdf2-sha256$1$c2FsdHNhbHQ$rCBmEZULjXMJvTR10r1.oufBeNz/uYyEYb8KrYYpWiI";

impl Test {
    /// Gives a user [`PASSWORD`], by its cheap hash.
    pub async fn give_password(&self, user: &pb::User) {
        let (user_id, password_hash) = (user.id.clone(), CHEAP_HASH.to_owned());
        let import = pb::ImportPasswordHashRequest { user_id, password_hash, ..Default::default() };
        self.admin().authentication().import_password_hash(import).await.unwrap();
    }

    /// Mailed tokens of a user: to verify its e-mail, to reset its password, to change its e-mail.
    pub async fn mailed_tokens(&self, user: &pb::User) -> [String; 3] {
        let mut api = self.admin().authentication();
        let user_id = || user.id.clone();
        let verify = pb::StartEmailVerificationRequest { user_id: user_id(), ..Default::default() };
        let verify = api.start_email_verification(verify).await.answered();
        let reset = pb::StartPasswordResetRequest { email: user.email.clone(), ..Default::default() };
        let reset = api.start_password_reset(reset).await.answered();
        let new_email = format!("{}@example.com", unique("changed"));
        let change = pb::StartEmailChangeRequest { user_id: user_id(), new_email, ..Default::default() };
        let change = api.start_email_change(change).await.answered();
        [verify.plaintext_token, reset.plaintext_token, change.plaintext_token]
    }

    /// Signs in with [`PASSWORD`].
    pub async fn signed_in(&self, user: &pb::User) -> pb::IssuedSession {
        let sign_in =
            pb::SignInRequest { email: user.email.clone(), password: PASSWORD.to_owned(), ..Default::default() };
        self.admin().authentication().sign_in(sign_in).await.answered().issued()
    }

    /// A user with [`PASSWORD`], and a client with its access token.
    pub async fn signed_in_user(&self, name: &str) -> (pb::User, pb::IssuedSession, super::Api) {
        let user = self.user(name).await;
        self.give_password(&user).await;
        let signed_in = self.signed_in(&user).await;
        let api = self.with_key(&signed_in.access_token);
        (user, signed_in, api)
    }

    /// A user.
    pub async fn user(&self, name: &str) -> pb::User {
        self.new_user(name, false).await
    }

    /// The platform admin created at the first start.
    pub async fn first_admin(&self) -> pb::User {
        let request = pb::GetUserByEmailRequest { email: "admin@tenantry.local".to_owned() };
        self.admin().users().get_user_by_email(request).await.answered().user.unwrap()
    }

    /// The current state of a user.
    pub async fn reload_user(&self, id: &str) -> pb::User {
        let request = pb::GetUserRequest { user_id: id.to_owned() };
        self.admin().users().get_user(request).await.answered().user.unwrap()
    }

    /// An organization with an owner.
    pub async fn organization(&self, owner: &pb::User) -> pb::Organization {
        let request = pb::CreateOrganizationRequest {
            name: "Acme".to_owned(),
            slug: unique("acme-"),
            owner_user_id: owner.id.clone(),
            ..Default::default()
        };
        let created = self.admin().organizations().create_organization(request).await.answered();
        created.organization.unwrap()
    }

    /// A custom role of an organization.
    pub async fn role(&self, organization: &pb::Organization, name: &str, permissions: &[&str]) -> pb::Role {
        let request = pb::CreateRoleRequest {
            organization_id: organization.id.clone(),
            name: name.to_owned(),
            description: "What it is for".to_owned(),
            permissions: permissions.iter().map(ToString::to_string).collect(),
            ..Default::default()
        };
        self.admin().roles().create_role(request).await.answered().role.unwrap()
    }

    /// A membership.
    pub async fn member(&self, user: &pb::User, organization: &pb::Organization, role: &str) -> pb::Membership {
        let request = pb::CreateMembershipRequest {
            user_id: user.id.clone(),
            organization_id: organization.id.clone(),
            role: role.to_owned(),
            permissions: vec![],
            ..Default::default()
        };
        self.admin().memberships().create_membership(request).await.answered().membership.unwrap()
    }

    /// A user with a verified e-mail.
    pub async fn verified_user(&self, name: &str) -> pb::User {
        self.new_user(name, true).await
    }

    async fn new_user(&self, name: &str, email_verified: bool) -> pb::User {
        let request = pb::CreateUserRequest {
            email: format!("{}@example.com", unique(name)),
            name: name.to_owned(),
            email_verified,
            ..Default::default()
        };
        self.admin().users().create_user(request).await.answered().user.unwrap()
    }

    /// An invitation, and its token.
    pub async fn invitation(
        &self,
        organization: &pb::Organization,
        email: &str,
        role: &str,
    ) -> (pb::Invitation, String) {
        let request = pb::CreateInvitationRequest {
            organization_id: organization.id.clone(),
            email: email.to_owned(),
            role: role.to_owned(),
            message: "Come in".to_owned(),
            ..Default::default()
        };
        let created = self.admin().invitations().create_invitation(request).await.answered();
        (created.invitation.unwrap(), created.plaintext_token)
    }

    /// The membership of a user in an organization, if any.
    pub async fn membership(&self, user_id: &str, organization_id: &str) -> Option<pb::Membership> {
        let ends = pb::UserAndOrganization { user_id: user_id.to_owned(), organization_id: organization_id.to_owned() };
        let key = Some(pb::get_membership_request::Key::UserAndOrganization(ends));
        let got = self.admin().memberships().get_membership(pb::GetMembershipRequest { key }).await;
        got.ok().and_then(|got| got.into_inner().membership)
    }

    /// An API key and its plaintext.
    pub async fn key(&self, owner: Owner, scopes: &[&str]) -> (pb::ApiKey, String) {
        let request = pb::CreateApiKeyRequest {
            owner: Some(owner),
            name: "key".to_owned(),
            scopes: scopes.iter().map(ToString::to_string).collect(),
            environment: pb::ApiKeyEnvironment::Live.into(),
            ..Default::default()
        };
        let created = self.admin().api_keys().create_api_key(request).await.answered();
        (created.api_key.unwrap(), created.plaintext_key)
    }

    /// Disables a membership.
    pub async fn disable(&self, membership: &pb::Membership) -> pb::Membership {
        let request = pb::DisableMembershipRequest { membership_id: membership.id.clone(), ..Default::default() };
        self.admin().memberships().disable_membership(request).await.answered().membership.unwrap()
    }

    /// Enables a membership.
    pub async fn enable(&self, membership: &pb::Membership) -> pb::Membership {
        let request = pb::EnableMembershipRequest { membership_id: membership.id.clone(), ..Default::default() };
        self.admin().memberships().enable_membership(request).await.answered().membership.unwrap()
    }

    /// The plaintext of a user's key with all scopes.
    pub async fn user_key(&self, user: &pb::User) -> String {
        self.key(Owner::UserId(user.id.clone()), &["*"]).await.1
    }

    /// The plaintext of a platform admin's key to call a method with: a new one for the method that revokes its own key.
    pub async fn admin_key_for(&self, method: &prost_reflect::MethodDescriptor) -> String {
        if method.name() == raw::ENDS_ITS_KEY {
            let admin = self.first_admin().await;
            return self.user_key(&admin).await;
        }
        self.admin_key.clone()
    }

    /// The plaintext of an organization's key with all scopes.
    pub async fn organization_key(&self, organization: &pb::Organization) -> String {
        self.key(Owner::OrganizationId(organization.id.clone()), &["*"]).await.1
    }

    /// An OAuth account with tokens.
    pub async fn oauth_account(&self, user: &pb::User) -> pb::OauthAccount {
        let request = pb::LinkOauthAccountRequest {
            user_id: user.id.clone(),
            provider: "github".to_owned(),
            provider_user_id: unique("subject-"),
            tokens: Some(pb::OauthTokens {
                access_token: Some("canary-access".to_owned()),
                refresh_token: Some("canary-refresh".to_owned()),
                token_expires_at: None,
            }),
            ..Default::default()
        };
        let linked = self.admin().oauth_accounts().link_oauth_account(request).await.answered();
        linked.oauth_account.unwrap()
    }

    /// A session and the plaintext of its first token.
    pub async fn session(&self, user: &pb::User) -> (pb::Session, String) {
        let request = pb::CreateRefreshTokenRequest { user_id: user.id.clone(), ..Default::default() };
        let created = self.admin().refresh_tokens().create_refresh_token(request).await.answered().issued();
        (created.session.unwrap(), created.plaintext_token)
    }

    /// Rotates a refresh token.
    pub async fn rotate(&self, token: &str) -> Result<(pb::Session, String), tonic::Status> {
        let request = pb::RotateRefreshTokenRequest { plaintext_token: token.to_owned(), ..Default::default() };
        let rotated = self.admin().refresh_tokens().rotate_refresh_token(request).await?.into_inner().issued();
        Ok((rotated.session.unwrap(), rotated.plaintext_token))
    }

    /// Suspends a user.
    pub async fn suspend(&self, user: &pb::User) {
        let request = pb::SuspendUserRequest { user_id: user.id.clone(), etag: String::new(), ..Default::default() };
        self.admin().users().suspend_user(request).await.unwrap();
    }

    /// Reactivates a user.
    pub async fn reactivate(&self, user: &pb::User) {
        let request = pb::ReactivateUserRequest { user_id: user.id.clone(), etag: String::new(), ..Default::default() };
        self.admin().users().reactivate_user(request).await.unwrap();
    }
}
