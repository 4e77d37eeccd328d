//! Users on the wire.

use super::{Listing, Lists, Validation, authentication, batch_size, json, time};
use crate::{
    app::{
        own_user::OwnDeletion,
        target::Target,
        user_import::{ImportOutcome, ImportResult, ImportedUser},
    },
    error::Result,
    models::{
        Email, EmailPrefix, ExternalId, Name, NewUser, PasswordHash, Resource as _, StateFilter, User, UserChanges,
        UserFilter, UserId, UserRestoration, UserState, WebUrl, session::IpText,
    },
    pb::{self, imported_user_result::Outcome},
    security::password::{Hash, Limits},
};

/// Maximum number of users in an import batch.
const MAX_IMPORTED: usize = 500;

/// Parses a CreateUser request.
pub fn create(request: pb::CreateUserRequest) -> Result<NewUser> {
    let mut check = Validation::default();
    let email = check.field("email", Email::parse(&request.email));
    let name = check.field("name", Name::parse(&request.name));
    let avatar_url = check.optional("avatar_url", &request.avatar_url, WebUrl::parse);
    let metadata = check.object("metadata", request.metadata);
    let (Some(email), Some(name), Some(avatar_url), Some(metadata)) = (email, name, avatar_url, metadata) else {
        return Err(check.failed());
    };
    Ok(NewUser { email, name, avatar_url, metadata, email_verified: request.email_verified, external_id: None })
}

/// Parses a DeleteOwnUser request.
pub fn delete_own(request: pb::DeleteOwnUserRequest) -> Result<OwnDeletion> {
    let mut check = Validation::default();
    let user_id = check.id("user_id", &request.user_id);
    let ip_address = check.optional("ip_address", &request.ip_address, IpText::parse);
    let password = if request.password.is_empty() {
        Some(None)
    } else {
        authentication::password(&mut check, "password", request.password).map(Some)
    };
    let (Some(user_id), Some(ip_address), Some(password)) = (user_id, ip_address, password) else {
        return Err(check.failed());
    };
    Ok(OwnDeletion { user_id, password, ip_address, sole_organizations: request.delete_sole_organizations })
}

/// Parses a batch of ImportUsers.
///
/// # Errors
/// [`Error::Invalid`](crate::error::Error::Invalid) for an empty batch or too many users. Violations of a single user are returned with
/// that user.
pub fn import(request: pb::ImportUsersRequest, limits: Limits) -> Result<Vec<ImportedUser>> {
    batch_size("users", request.users.len(), MAX_IMPORTED)?;
    Ok(request.users.into_iter().map(|user| imported_user(user, limits)).collect())
}

fn imported_user(user: pb::ImportedUser, limits: Limits) -> ImportedUser {
    let mut check = Validation::default();
    let external_id = check.field("external_id", ExternalId::parse(&user.external_id));
    let email = check.field("email", Email::parse(&user.email));
    let name = check.field("name", Name::parse(&user.name));
    let avatar_url = check.optional("avatar_url", &user.avatar_url, WebUrl::parse);
    let metadata = check.object("metadata", user.metadata);
    let hash = check.optional("password_hash", &user.password_hash, |text| {
        Hash::parse(text, limits).map(|_| PasswordHash::new(text.to_owned()))
    });
    let new = (|| {
        let new = NewUser {
            email: email?,
            name: name?,
            avatar_url: avatar_url?,
            metadata: metadata?,
            email_verified: user.email_verified,
            external_id: Some(external_id?),
        };
        Some((new, hash?))
    })();
    ImportedUser { external_id: user.external_id, user: new.ok_or_else(|| check.rules()) }
}

/// The answer to a batch of ImportUsers.
pub fn imported(results: Vec<ImportResult>) -> pb::ImportUsersResponse {
    let results = results.into_iter().map(|result| pb::ImportedUserResult {
        external_id: result.external_id,
        outcome: Some(import_outcome(result.outcome)),
    });
    pb::ImportUsersResponse { results: results.collect() }
}

fn import_outcome(outcome: ImportOutcome) -> Outcome {
    let refused = |reason: pb::ErrorReason, violations| {
        Outcome::Error(pb::ImportedUserError { reason: reason.into(), violations })
    };
    match outcome {
        ImportOutcome::Created(id) => Outcome::CreatedUserId(id.to_string()),
        ImportOutcome::Existing(id) => Outcome::ExistingUserId(id.to_string()),
        ImportOutcome::EmailTaken => refused(pb::ErrorReason::UserEmailTaken, Vec::new()),
        ImportOutcome::Invalid(violations) => refused(pb::ErrorReason::InvalidArgument, violations),
    }
}

/// Parses a ListUsers request.
pub fn list(lists: Lists<'_>, request: &pb::ListUsersRequest) -> Result<Listing<UserFilter>> {
    let mut check = Validation::default();
    let page = check.page(lists, request);
    let organization_id = check.optional_id("organization_id", &request.organization_id);
    let state = check.optional_choice("state", state_filter(request.state).map(Some));
    let email_prefix = check.optional("email_prefix", &request.email_prefix, EmailPrefix::parse);
    let created_from = check.optional_bound("created_from", request.created_from.as_ref());
    let created_before = check.optional_bound("created_before", request.created_before.as_ref());
    let (Some(page), Some(organization_id), Some(state), Some(email_prefix), Some(created_from), Some(created_before)) =
        (page, organization_id, state, email_prefix, created_from, created_before)
    else {
        return Err(check.failed());
    };
    let state = state.unwrap_or_default();
    Ok(Listing::new(UserFilter { organization_id, state, email_prefix, created_from, created_before }, page))
}

/// Parses an UpdateUser request: the user, the changes, and the access token.
pub fn update(request: pb::UpdateUserRequest) -> Result<(Target<UserId>, UserChanges, String)> {
    let mut check = Validation::default();
    let id = check.id("user_id", &request.user_id);
    let mask = check.mask(request.update_mask.as_ref(), &["email", "name", "avatar_url", "metadata", "email_verified"]);
    let Some(mask) = mask else { return Err(check.failed()) };
    let email = mask.named("email", || check.field("email", Email::parse(&request.email)));
    let name = mask.named("name", || check.field("name", Name::parse(&request.name)));
    let avatar_url = mask.named("avatar_url", || check.optional("avatar_url", &request.avatar_url, WebUrl::parse));
    let metadata = mask.named("metadata", || check.object("metadata", request.metadata));
    let email_verified = mask.named("email_verified", || Some(request.email_verified));
    let (Some(id), Some(email), Some(name), Some(avatar_url), Some(metadata), Some(email_verified)) =
        (id, email, name, avatar_url, metadata, email_verified)
    else {
        return Err(check.failed());
    };
    let changes = UserChanges { email, name, avatar_url, metadata, email_verified };
    Ok((Target { id, etag: request.etag }, changes, request.access_token))
}

/// Parses an UndeleteUser request.
pub fn undelete(request: pb::UndeleteUserRequest) -> Result<(Target<UserId>, UserRestoration)> {
    let mut check = Validation::default();
    let id = check.id("user_id", &request.user_id);
    let email = check.optional("email", &request.email, Email::parse);
    let external_id = check.optional("external_id", &request.external_id, ExternalId::parse);
    let (Some(id), Some(email), Some(external_id)) = (id, email, external_id) else { return Err(check.failed()) };
    let restoration = UserRestoration { restore_api_keys: request.restore_api_keys, email, external_id };
    Ok((Target { id, etag: request.etag }, restoration))
}

/// Parses a GetUserByEmail request.
///
/// # Errors
/// [`Error::Invalid`](crate::error::Error::Invalid) for an invalid address.
pub fn get_by_email(request: &pb::GetUserByEmailRequest) -> Result<Email> {
    let mut check = Validation::default();
    check.field("email", Email::parse(&request.email)).ok_or_else(|| check.failed())
}

fn state_filter(state: i32) -> Option<StateFilter<UserState>> {
    Some(match pb::UserState::try_from(state).ok()? {
        pb::UserState::Unspecified => StateFilter::NotDeleted,
        pb::UserState::Active => StateFilter::Is(UserState::Active),
        pb::UserState::Suspended => StateFilter::Is(UserState::Suspended),
        pb::UserState::Deleted => StateFilter::Deleted,
    })
}

impl From<User> for pb::User {
    fn from(user: User) -> Self {
        let state = match (user.deleted_at, user.state) {
            (Some(_), _) => pb::UserState::Deleted,
            (None, UserState::Active) => pb::UserState::Active,
            (None, UserState::Suspended) => pb::UserState::Suspended,
        };
        Self {
            etag: user.etag(),
            id: user.id.to_string(),
            email: user.email.as_str().to_owned(),
            email_verified_at: user.email_verified_at.map(time),
            name: user.name.as_str().to_owned(),
            avatar_url: user.avatar_url.map(|url| url.as_str().to_owned()).unwrap_or_default(),
            is_platform_admin: user.is_platform_admin,
            state: state.into(),
            metadata: Some(json::object(user.metadata)),
            created_at: Some(time(user.created_at)),
            updated_at: Some(time(user.updated_at)),
            deleted_at: user.deleted_at.map(time),
            external_id: user.external_id.map(|id| id.as_str().to_owned()).unwrap_or_default(),
        }
    }
}
