//! Users on the wire.

use super::{Batch, Listing, Lists, Validation, authentication, batch, batch_size, json, time, uuid};
use crate::{
    app::{
        authentication::password::ImportedPassword,
        hashing::Hashing,
        own_user::OwnDeletion,
        target::Target,
        user_import::{ImportOutcome, ImportResult, ImportedUser},
    },
    error::{Entity, Result},
    grpc::status::not_found,
    models::{
        Email, EmailPrefix, ExternalId, MetadataFilters, Name, NewUser, Resource as _, Seen, StateFilter, User,
        UserChanges, UserFilter, UserId, UserRestoration, UserState, WebUrl, session::IpText,
    },
    pb::{self, imported_user_result::Outcome},
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
    let external_id = check.optional("external_id", &request.external_id, ExternalId::parse);
    let private_metadata = check.object("private_metadata", request.private_metadata);
    let new = (|| {
        Some(NewUser {
            email: email?,
            name: name?,
            avatar_url: avatar_url?,
            metadata: metadata?,
            email_verified: request.email_verified,
            external_id: external_id?,
            private_metadata: private_metadata?,
        })
    })();
    new.ok_or_else(|| check.failed())
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
pub fn import(request: pb::ImportUsersRequest, hashing: &Hashing) -> Result<Vec<ImportedUser>> {
    batch_size("users", request.users.len(), MAX_IMPORTED)?;
    Ok(request.users.into_iter().map(|user| imported_user(user, hashing)).collect())
}

fn imported_user(user: pb::ImportedUser, hashing: &Hashing) -> ImportedUser {
    let mut check = Validation::default();
    let external_id = check.field("external_id", ExternalId::parse(&user.external_id));
    let email = check.field("email", Email::parse(&user.email));
    let name = check.field("name", Name::parse(&user.name));
    let avatar_url = check.optional("avatar_url", &user.avatar_url, WebUrl::parse);
    let metadata = check.object("metadata", user.metadata);
    let private_metadata = check.object("private_metadata", user.private_metadata);
    // Django's mark of a password that cannot be used.
    let hash = if user.password_hash.starts_with('!') { "" } else { &user.password_hash };
    let hash = check.optional("password_hash", hash, |text| hashing.read(text, &user.password_recipe));
    let known = super::authentication::known_password(&mut check, user.known_password);
    let new = (|| {
        let new = NewUser {
            email: email?,
            name: name?,
            avatar_url: avatar_url?,
            metadata: metadata?,
            email_verified: user.email_verified,
            external_id: Some(external_id?),
            private_metadata: private_metadata?,
        };
        let known = known?;
        Some((new, hash?.map(|hash| ImportedPassword { hash, known })))
    })();
    ImportedUser { external_id: user.external_id, user: new.ok_or_else(|| check.rules()) }
}

/// The answer to a batch of ImportUsers.
pub fn imported(results: Vec<ImportResult>) -> pb::ImportUsersResponse {
    let results = results.into_iter().map(|result| pb::ImportedUserResult {
        external_id: result.external_id,
        outcome: Some(import_outcome(result.outcome)),
        password_format: result.password_format.to_owned(),
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
    let fragment = check.fragment(&request.query);
    let by_prefix = check.is_by_prefix("email_prefix", &request.email_prefix, request.order, &request.query);
    let updated_from = check.optional_bound("updated_from", request.updated_from.as_ref());
    let range = [request.last_sign_in_from.as_ref(), request.last_sign_in_before.as_ref()];
    let last_sign_in = check.period("last_sign_in_from", "last_sign_in_before", range);
    let open = check.metadata_filter("metadata_filter", request.metadata_filter.as_ref());
    let private = check.metadata_filter("private_metadata_filter", request.private_metadata_filter.as_ref());
    let external_id = check.optional("external_id", &request.external_id, ExternalId::parse);
    let filter = (|| {
        by_prefix?;
        Some(UserFilter {
            organization_id: organization_id?,
            state: state?.unwrap_or_default(),
            email_prefix: email_prefix?,
            fragment: fragment?,
            updated_from: updated_from?,
            last_sign_in: last_sign_in?,
            metadata: MetadataFilters { open: open?, private: private? },
            external_id: external_id?,
        })
    })();
    let (Some(filter), Some(page)) = (filter, page) else { return Err(check.failed()) };
    Ok(Listing::new(filter, page))
}

/// Parses an UpdateUser request: the user, the changes, and the access token.
pub fn update(request: pb::UpdateUserRequest) -> Result<(Target<UserId>, UserChanges, String)> {
    let mut check = Validation::default();
    let id = check.id("user_id", &request.user_id);
    let fields = ["email", "name", "avatar_url", "metadata", "email_verified", "external_id", "private_metadata"];
    let mask = check.mask_with_keys(request.update_mask.as_ref(), &fields, &["metadata", "private_metadata"]);
    let Some(mask) = mask else { return Err(check.failed()) };
    let email = mask.named("email", || check.field("email", Email::parse(&request.email)));
    let name = mask.named("name", || check.field("name", Name::parse(&request.name)));
    let avatar_url = mask.named("avatar_url", || check.optional("avatar_url", &request.avatar_url, WebUrl::parse));
    let metadata = check.object_changes(&mask, "metadata", request.metadata);
    let external_id =
        mask.named("external_id", || check.optional("external_id", &request.external_id, ExternalId::parse));
    let private_metadata = check.object_changes(&mask, "private_metadata", request.private_metadata);
    let email_verified = mask.named("email_verified", || Some(request.email_verified));
    let changes = (|| {
        Some(UserChanges {
            email: email?,
            name: name?,
            avatar_url: avatar_url?,
            metadata: metadata?,
            external_id: external_id?,
            private_metadata: private_metadata?,
            email_verified: email_verified?,
        })
    })();
    let (Some(id), Some(changes)) = (id, changes) else { return Err(check.failed()) };
    Ok((Target { id, etag: request.etag }, changes, request.access_token))
}

/// Parses a GetUserByExternalId request.
///
/// # Errors
/// [`Error::Invalid`](crate::error::Error::Invalid) for an invalid id.
pub fn get_by_external_id(request: &pb::GetUserByExternalIdRequest) -> Result<ExternalId> {
    let mut check = Validation::default();
    check.field("external_id", ExternalId::parse(&request.external_id)).ok_or_else(|| check.failed())
}

/// The items of a BatchGetUsers request.
#[derive(Debug)]
pub struct UserBatch {
    /// By id.
    pub ids: Batch<UserId>,
    /// By e-mail.
    pub emails: Batch<Email>,
    /// By external id.
    pub external_ids: Batch<ExternalId>,
}

/// Parses a BatchGetUsers request.
///
/// # Errors
/// [`Error::Invalid`](crate::error::Error::Invalid) for an empty batch or too many items.
pub fn batch_get(request: pb::BatchGetUsersRequest) -> Result<UserBatch> {
    let count = request.user_ids.len() + request.emails.len() + request.external_ids.len();
    batch_size("user_ids", count, Validation::MAX_BATCH)?;
    Ok(UserBatch {
        ids: batch(request.user_ids, uuid),
        emails: batch(request.emails, Email::parse),
        external_ids: batch(request.external_ids, ExternalId::parse),
    })
}

/// The results of a batch of users, each with its item.
pub fn batch_results(batch: UserBatch, found: &[Seen<User>]) -> Vec<pb::BatchGetUsersResult> {
    use pb::batch_get_users_result::Outcome;
    let position = |is: &dyn Fn(&User) -> bool| found.iter().find(|seen| is(&seen.resource));
    let outcome = |valid: bool, user: Option<&Seen<User>>| {
        Some(match user {
            Some(user) => Outcome::User(user.clone().into()),
            None if valid => Outcome::Error(not_found(Entity::User).into()),
            None => Outcome::Error(pb::ErrorReason::InvalidArgument.into()),
        })
    };
    let by_id = batch.ids.into_iter().map(|(user_id, id)| {
        let user = id.and_then(|id| position(&|user| user.id == id));
        pb::BatchGetUsersResult { user_id, outcome: outcome(id.is_some(), user), ..Default::default() }
    });
    let by_email = batch.emails.into_iter().map(|(text, email)| {
        let user = email.as_ref().and_then(|email| position(&|user| user.email_normalized == *email.normalized()));
        pb::BatchGetUsersResult { email: text, outcome: outcome(email.is_some(), user), ..Default::default() }
    });
    let by_external_id = batch.external_ids.into_iter().map(|(external_id, id)| {
        let user = id.as_ref().and_then(|id| position(&|user| user.external_id.as_ref() == Some(id)));
        pb::BatchGetUsersResult { external_id, outcome: outcome(id.is_some(), user), ..Default::default() }
    });
    by_id.chain(by_email).chain(by_external_id).collect()
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

/// A user without what only platform admins see.
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
            last_sign_in_at: user.last_sign_in_at.map(time),
            private_metadata: None,
        }
    }
}

impl From<Seen<User>> for pb::User {
    fn from(Seen { mut resource, is_whole }: Seen<User>) -> Self {
        let private = std::mem::take(&mut resource.private_metadata);
        Self { private_metadata: json::private(private, is_whole), ..resource.into() }
    }
}
