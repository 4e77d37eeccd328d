//! Authentication on the wire.

use super::{Validation, refresh_token::required, time};
use crate::{
    app::{
        authentication::{
            SignIn, SignUp,
            password::{ImportedPassword, PasswordChange, PresentedPassword},
            password_reset::PasswordReset,
        },
        hashing::Hashing,
    },
    error::{Error, Result},
    models::{
        Email, JsonObject, Name, NewUser, OrganizationId, Plaintext, SigningAlgorithm, SigningKey, Slug, UserId,
        session::{IpText, UserAgent},
    },
    pb,
    security::{access_token::Claims, password::MAX_BYTES},
};

/// A presented password. Only its size is checked, not the rules for new ones.
pub(super) fn password(check: &mut Validation, field: &str, password: String) -> Option<Plaintext> {
    let password = Plaintext::new(password);
    let rule = match password.expose().len() {
        0 => Err("must not be empty"),
        bytes if bytes > MAX_BYTES => Err("must have at most 1,024 bytes"),
        _ => Ok(password),
    };
    check.field(field, rule)
}

/// Parses a SignUp request. The rules for new passwords are checked later.
pub fn sign_up(request: pb::SignUpRequest) -> Result<SignUp> {
    let mut check = Validation::default();
    let password = Plaintext::new(request.password);
    let email = check.field("email", Email::parse(&request.email));
    let name = check.field("name", Name::parse(&request.name));
    let organization_name = check.optional("organization_name", &request.organization_name, Name::parse);
    let slug = check.optional("organization_slug", &request.organization_slug, Slug::parse);
    let (Some(email), Some(name), Some(organization_name), Some(slug)) = (email, name, organization_name, slug) else {
        return Err(check.failed());
    };
    let organization = match (organization_name, slug) {
        (Some(name), Some(slug)) => Some((name, slug)),
        (None, None) => None,
        (Some(_), None) => return Err(Error::invalid("organization_slug", "must be set with organization_name")),
        (None, Some(_)) => return Err(Error::invalid("organization_name", "must be set with organization_slug")),
    };
    let user = NewUser {
        email,
        name,
        avatar_url: None,
        metadata: JsonObject::default(),
        email_verified: false,
        external_id: None,
        private_metadata: JsonObject::default(),
    };
    Ok(SignUp { user, password, organization })
}

/// Parses a SignIn request.
pub fn sign_in(request: pb::SignInRequest) -> Result<SignIn> {
    let mut check = Validation::default();
    let password = password(&mut check, "password", request.password);
    let email = check.field("email", Email::parse(&request.email));
    let organization_id = check.optional_id("organization_id", &request.organization_id);
    let user_agent = UserAgent::of(&request.user_agent);
    let ip_address = check.optional("ip_address", &request.ip_address, IpText::parse);
    let (Some(password), Some(email), Some(organization_id), Some(ip_address)) =
        (password, email, organization_id, ip_address)
    else {
        return Err(check.failed());
    };
    Ok(SignIn { email, password, user_agent, ip_address, organization_id })
}

/// Parses a Refresh request: the token, and the session's organization from now on, if the request chooses one or none.
pub fn refresh(request: pb::RefreshRequest) -> Result<(Plaintext, Option<Option<OrganizationId>>)> {
    let mut check = Validation::default();
    let token = Plaintext::new(request.plaintext_token);
    let token =
        check.field("plaintext_token", (!token.expose().is_empty()).then_some(token).ok_or("must not be empty"));
    let organization = match &request.organization_id {
        None => Some(None),
        Some(id) => check.optional_id("organization_id", id).map(Some),
    };
    let (Some(token), Some(organization)) = (token, organization) else { return Err(check.failed()) };
    Ok((token, organization))
}

/// Parses a SignOut request: the token, if any, and whether all sessions are to end. The token's validity is checked later.
pub fn sign_out(request: pb::SignOutRequest) -> Result<(Option<Plaintext>, bool)> {
    let token = Plaintext::new(request.plaintext_token);
    Ok(((!token.expose().is_empty()).then_some(token), request.all_sessions))
}

/// Parses a VerifyPassword request.
pub fn verify_password(request: pb::VerifyPasswordRequest) -> Result<PresentedPassword> {
    let mut check = Validation::default();
    presented(&mut check, &request.user_id, ("password", request.password), &request.ip_address)
        .ok_or_else(|| check.failed())
}

fn presented(
    check: &mut Validation,
    user_id: &str,
    (field, text): (&str, String),
    ip_address: &str,
) -> Option<PresentedPassword> {
    let password = password(check, field, text);
    let user_id = check.id("user_id", user_id);
    let ip_address = check.optional("ip_address", ip_address, IpText::parse);
    Some(PresentedPassword { user_id: user_id?, password: password?, ip_address: ip_address? })
}

/// Parses a SetPassword request. The rules for new passwords are checked later.
pub fn set_password(request: pb::SetPasswordRequest) -> Result<(UserId, Plaintext)> {
    let password = Plaintext::new(request.password);
    Ok((super::id_of("user_id", &request.user_id)?, password))
}

/// Parses a ChangePassword request. The rules for new passwords are checked later.
pub fn change_password(request: pb::ChangePasswordRequest) -> Result<PasswordChange> {
    let mut check = Validation::default();
    let new_password = Plaintext::new(request.new_password);
    let current =
        presented(&mut check, &request.user_id, ("current_password", request.current_password), &request.ip_address);
    let except = check.optional_id("except_session_id", &request.except_session_id);
    let (Some(current), Some(except)) = (current, except) else { return Err(check.failed()) };
    Ok(PasswordChange {
        current,
        new_password,
        keep_sessions: request.keep_sessions,
        except,
        revoke_api_keys: request.revoke_api_keys,
    })
}

/// Parses an ImportPasswordHash request.
pub fn import_password_hash(
    request: pb::ImportPasswordHashRequest,
    hashing: &Hashing,
) -> Result<(UserId, ImportedPassword)> {
    let mut check = Validation::default();
    let user_id = check.id("user_id", &request.user_id);
    let hash = check.field("password_hash", hashing.read(&request.password_hash, &request.password_recipe));
    let known = known_password(&mut check, request.known_password);
    let (Some(user_id), Some(hash), Some(known)) = (user_id, hash, known) else { return Err(check.failed()) };
    Ok((user_id, ImportedPassword { hash, known }))
}

/// The password that an imported hash must match, if any.
pub(super) fn known_password(check: &mut Validation, text: String) -> Option<Option<Plaintext>> {
    if text.is_empty() { Some(None) } else { password(check, "known_password", text).map(Some) }
}

/// Parses a mailed token.
///
/// # Errors
/// [`Error::Invalid`] for an empty token; its validity is checked later.
pub fn mailed(token: String) -> Result<Plaintext> {
    required("plaintext_token", token)
}

/// Parses a StartPasswordReset request.
///
/// # Errors
/// [`Error::Invalid`] for an invalid address.
pub fn start_password_reset(request: &pb::StartPasswordResetRequest) -> Result<Email> {
    Email::parse(&request.email).map_err(|rule| Error::invalid("email", rule))
}

/// Parses a ConfirmPasswordReset request. The rules for new passwords are checked later.
///
/// # Errors
/// [`Error::Invalid`] for an empty token.
pub fn confirm_password_reset(request: pb::ConfirmPasswordResetRequest) -> Result<PasswordReset> {
    let new_password = Plaintext::new(request.new_password);
    Ok(PasswordReset {
        token: mailed(request.plaintext_token)?,
        new_password,
        keep_sessions: request.keep_sessions,
        revoke_api_keys: request.revoke_api_keys,
    })
}

/// Parses a StartEmailChange request.
pub fn start_email_change(request: &pb::StartEmailChangeRequest) -> Result<(UserId, Email)> {
    let mut check = Validation::default();
    let user_id = check.id("user_id", &request.user_id);
    let email = check.field("new_email", Email::parse(&request.new_email));
    let (Some(user_id), Some(email)) = (user_id, email) else { return Err(check.failed()) };
    Ok((user_id, email))
}

/// Parses an IntrospectToken request.
///
/// # Errors
/// [`Error::Invalid`] for a missing token. An invalid token is a result, not an error.
pub fn introspect_token(request: pb::IntrospectTokenRequest) -> Result<Plaintext> {
    required("access_token", request.access_token)
}

impl From<SigningAlgorithm> for pb::SigningAlgorithm {
    fn from(algorithm: SigningAlgorithm) -> Self {
        match algorithm {
            SigningAlgorithm::EdDsa => Self::Eddsa,
            SigningAlgorithm::Es256 => Self::Es256,
        }
    }
}

impl From<SigningKey> for pb::SigningKey {
    fn from(key: SigningKey) -> Self {
        Self {
            id: key.id.to_string(),
            algorithm: pb::SigningAlgorithm::from(key.algorithm).into(),
            created_at: Some(time(key.created_at)),
            signs_from: Some(time(key.signs_from)),
            verifies_until: key.verifies_until.map(time),
        }
    }
}

impl From<Claims> for pb::IntrospectTokenResponse {
    fn from(claims: Claims) -> Self {
        let seconds = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        Self {
            active: true,
            user_id: claims.sub.to_string(),
            session_id: claims.sid.to_string(),
            organization_id: claims.org_id.map(|id| id.to_string()).unwrap_or_default(),
            role: claims.org_role.unwrap_or_default(),
            permissions: claims.org_permissions.unwrap_or_default(),
            client_id: claims.client_id,
            issuer: claims.iss,
            audience: claims.aud,
            token_id: claims.jti.to_string(),
            issued_at: seconds(claims.iat),
            expires_at: seconds(claims.exp),
        }
    }
}
