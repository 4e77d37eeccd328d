//! How API keys are stored.

use diesel::{dsl::exists, prelude::*};
use diesel_async::RunQueryDsl;

use super::{reach::within, row};
use crate::{
    db::{
        Conn, ForUpdate, query,
        schema::{api_keys, memberships, organizations, users},
    },
    error::{Error, Result},
    models::{
        ApiKey, ApiKeyFilter, ApiKeyId, ApiKeyOwner, Credential, Cursor, Environment, JsonObject, Locked, Name,
        OrganizationId, OrganizationState, Page, PageRequest, Principal, Reach, Resource as _, Revision, Scopes,
        SecretHash, Timestamp, UserId, UserState, api_key::KeyPrefix,
    },
};

row!(api_keys: ApiKeyRow of ApiKey {
    id: ApiKeyId,
    revision: Revision,
    organization_id: Option<OrganizationId>,
    user_id: Option<UserId>,
    created_by: Option<UserId>,
    name: Name,
    prefix: KeyPrefix,
    secret_hash: SecretHash,
    scopes: Scopes,
    environment: Environment,
    metadata: JsonObject,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    revoked_reason: Option<String>,
    created_at: Timestamp,
    updated_at: Timestamp,
});

/// What a check of a key needs of an owner that is a user: state, tombstone, platform admin.
type UserOwner = (UserState, Option<Timestamp>, bool);
/// What it needs of an owner that is an organization: state, tombstone.
type OrganizationOwner = (OrganizationState, Option<Timestamp>);

/// Stores API keys.
pub struct ApiKeyRepository<'c> {
    pub(super) conn: &'c mut Conn,
}

impl ApiKeyRepository<'_> {
    /// Stores a new API key.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn insert(&mut self, key: &ApiKey) -> Result<()> {
        let row = ApiKeyRow::from(key);
        query!(self.conn, c => diesel::insert_into(api_keys::table).values(&row).execute(c))?;
        Ok(())
    }

    /// The API key of an id.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn get(&mut self, reach: &Reach, id: ApiKeyId) -> Result<Option<ApiKey>> {
        let row: Option<ApiKeyRow> = query!(self.conn, c => {
            let query = api_keys::table.filter(api_keys::id.eq(id));
            let query = query.select(ApiKeyRow::as_select()).into_boxed::<Backend>();
            async { within!(api_keys, query, reach).get_result(c).await.optional() }
        })?;
        Ok(row.map(ApiKey::from))
    }

    /// The key of a prefix with what its owner is now, in one statement. A presented secret decides what becomes of it, so
    /// this is the one lookup that takes no reach.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn credential(&mut self, prefix: &KeyPrefix) -> Result<Option<Credential>> {
        let found: Option<(ApiKeyRow, Option<UserOwner>, Option<OrganizationOwner>)> = query!(self.conn, c => {
            let query = api_keys::table
                .left_join(users::table.on(users::id.nullable().eq(api_keys::user_id)))
                .left_join(organizations::table.on(organizations::id.nullable().eq(api_keys::organization_id)))
                .filter(api_keys::prefix.eq(prefix))
                .select((
                    ApiKeyRow::as_select(),
                    (users::state, users::deleted_at, users::is_platform_admin).nullable(),
                    (organizations::state, organizations::deleted_at).nullable(),
                ));
            async move { query.get_result(c).await.optional() }
        })?;
        let Some((row, user, organization)) = found else { return Ok(None) };
        let key = ApiKey::from(row);
        let (principal, owner_is_active) = match (key.user_id, user, key.organization_id, organization) {
            (Some(id), Some((state, deleted_at, is_platform_admin)), None, None) => {
                (Principal::User { id, is_platform_admin }, state == UserState::Active && deleted_at.is_none())
            }
            (None, None, Some(id), Some((state, deleted_at))) => {
                (Principal::Organization(id), state == OrganizationState::Active && deleted_at.is_none())
            }
            _ => return Err(Error::internal(format!("the API key {} has not exactly one owner", key.id))),
        };
        Ok(Some(Credential { key, principal, owner_is_active }))
    }

    /// A page of API keys, in order of id.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn list(&mut self, reach: &Reach, filter: &ApiKeyFilter, page: &PageRequest) -> Result<Page<ApiKey>> {
        let rows: Vec<ApiKeyRow> = query!(self.conn, c => {
            let mut query = api_keys::table.select(ApiKeyRow::as_select()).into_boxed::<Backend>();
            query = match filter.owner {
                ApiKeyOwner::Organization(id) => query.filter(api_keys::organization_id.eq(id)),
                ApiKeyOwner::User(id) => query.filter(api_keys::user_id.eq(id)),
            };
            if !filter.include_revoked {
                query = query.filter(api_keys::revoked_at.is_null());
            }
            if let Some(cursor) = &page.after {
                query = query.filter(api_keys::id.gt(ApiKeyId(cursor.id)));
            }
            within!(api_keys, query, reach).order(api_keys::id).limit(page.limit()).load(c)
        })?;
        Ok(page.page(rows, |row| Cursor { text: None, id: row.id.0 }))
    }

    /// Locks an API key.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn lock(&mut self, reach: &Reach, id: ApiKeyId) -> Result<Option<Locked<ApiKey>>> {
        let row: Option<ApiKeyRow> = query!(self.conn, c => {
            let query = api_keys::table.filter(api_keys::id.eq(id));
            let query = query.select(ApiKeyRow::as_select()).into_boxed::<Backend>();
            async { ForUpdate(within!(api_keys, query, reach)).get_result(c).await.optional() }
        })?;
        Ok(row.map(|row| Locked::new(row.into())))
    }

    /// Writes a locked API key as it is now.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn save(&mut self, mut key: Locked<ApiKey>, now: Timestamp) -> Result<ApiKey> {
        key.touch(now);
        let key = key.into_inner();
        let row = ApiKeyRow::from(&key);
        query!(self.conn, c => diesel::update(api_keys::table.filter(api_keys::id.eq(key.id))).set(&row).execute(c))?;
        Ok(key)
    }
}
