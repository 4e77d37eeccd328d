//! How API keys are stored.

mod revoke;

use diesel::{dsl::exists, prelude::*};
use diesel_async::RunQueryDsl;

use super::{delete_up_to, forget_user, reach::within, row};
use crate::{
    db::{
        Conn, ForUpdate, execute, query,
        schema::{api_keys, memberships, organizations, roles, users},
    },
    error::{Error, Result},
    models::{
        Action, ApiKey, ApiKeyFilter, ApiKeyId, ApiKeyOwner, Credential, Cursor, Environment, Held, IpRanges,
        JsonObject, Locked, Name, Organization, OrganizationId, OrganizationState, OwnerState, Page, PageRequest,
        Permissions, Principal, PrincipalId, Reach, Resource as _, Revision, RoleName, Scopes, SecretHash, Timestamp,
        User, UserId, UserState, api_key::KeyPrefix,
    },
};

row!(api_keys: ApiKeyRow of ApiKey {
    id: ApiKeyId,
    revision: Revision,
    organization_id: Option<OrganizationId>,
    user_id: Option<UserId>,
    created_by: Option<UserId>,
    by_platform: bool,
    name: Name,
    prefix: KeyPrefix,
    secret_hash: SecretHash,
    former_prefix: Option<KeyPrefix>,
    former_secret_hash: Option<SecretHash>,
    former_created_at: Option<Timestamp>,
    former_expires_at: Option<Timestamp>,
    rotated_at: Option<Timestamp>,
    allowed_ip_ranges: IpRanges,
    rate_limit: i64,
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
/// What it needs of an owner that is an organization: state, tombstone, the user who accounts for what its keys use.
type OrganizationOwner = (OrganizationState, Option<Timestamp>, Option<UserId>);

/// A key as found with its owner.
type Found = (ApiKeyRow, Option<UserOwner>, Option<OrganizationOwner>);

/// The keys of an owner, on whatever the query selects.
macro_rules! owned {
    ($query:expr, $owner:expr) => {
        match $owner {
            ApiKeyOwner::Organization(id) => $query.filter(api_keys::organization_id.eq(id)),
            ApiKeyOwner::User(id) => $query.filter(api_keys::user_id.eq(id)),
        }
    };
}

use owned;

/// Keys with their owners.
macro_rules! credentials {
    () => {
        api_keys::table
            .left_join(users::table.on(users::id.nullable().eq(api_keys::user_id)))
            .left_join(organizations::table.on(organizations::id.nullable().eq(api_keys::organization_id)))
            .select((
                ApiKeyRow::as_select(),
                (users::state, users::deleted_at, users::is_platform_admin).nullable(),
                (organizations::state, organizations::deleted_at, organizations::accountable_user_id).nullable(),
            ))
    };
}

fn read_credential((row, user, organization): Found) -> Result<Credential> {
    let key = ApiKey::from(row);
    let (principal, owner, accountable) = match (key.user_id, user, key.organization_id, organization) {
        (Some(id), Some((state, deleted_at, is_platform_admin)), None, None) => {
            let principal = Principal::User { id, is_platform_admin };
            (principal, owner_state(state == UserState::Active, deleted_at), PrincipalId(id.0))
        }
        (None, None, Some(id), Some((state, deleted_at, accountable))) => {
            let accountable = accountable.map_or(PrincipalId(id.0), |user| PrincipalId(user.0));
            (Principal::Organization(id), owner_state(state == OrganizationState::Active, deleted_at), accountable)
        }
        _ => return Err(Error::internal(format!("the API key {} has not exactly one owner", key.id))),
    };
    Ok(Credential { key, principal, owner, accountable })
}

fn owner_state(is_active: bool, deleted_at: Option<Timestamp>) -> OwnerState {
    match (deleted_at, is_active) {
        (Some(_), _) => OwnerState::Deleted,
        (None, true) => OwnerState::Active,
        (None, false) => OwnerState::Suspended,
    }
}

/// Stores API keys.
pub struct ApiKeyRepository<'c> {
    pub(super) conn: &'c mut Conn,
}

impl ApiKeyRepository<'_> {
    /// Stores a new API key.
    pub async fn insert(&mut self, key: &ApiKey) -> Result<()> {
        execute!(self.conn, diesel::insert_into(api_keys::table).values(ApiKeyRow::from(key)))?;
        self.conn.made(Action::ApiKeyCreated, key);
        Ok(())
    }

    /// How many keys that are not revoked a locked organization has.
    pub async fn count_of_organization(&mut self, organization: &Locked<Organization>) -> Result<i64> {
        query!(self.conn, c => {
            let own = api_keys::table.filter(api_keys::organization_id.eq(organization.id));
            own.filter(api_keys::revoked_at.is_null()).count().get_result(c)
        })
    }

    /// How many keys that are not revoked a locked user has.
    pub async fn count_of_user(&mut self, user: &Locked<User>) -> Result<i64> {
        query!(self.conn, c => {
            let own = api_keys::table.filter(api_keys::user_id.eq(user.id));
            own.filter(api_keys::revoked_at.is_null()).count().get_result(c)
        })
    }

    /// The API key of an id.
    pub async fn get(&mut self, reach: &Reach, id: ApiKeyId) -> Result<Option<ApiKey>> {
        let row: Option<ApiKeyRow> = query!(self.conn, c => {
            let query = api_keys::table.filter(api_keys::id.eq(id));
            let query = query.select(ApiKeyRow::as_select()).into_boxed::<Backend>();
            async { within!(api_keys, query, reach).get_result(c).await.optional() }
        })?;
        Ok(row.map(ApiKey::from))
    }

    /// The key of an organization that a user is a member of, and what the user holds there. One statement, whatever is found, so that
    /// a key of others takes as long as none. It takes no reach: whether the user may see the key, what it holds says.
    pub async fn get_as_member(&mut self, user: UserId, id: ApiKeyId) -> Result<Option<(ApiKey, Held)>> {
        type Found = (ApiKeyRow, RoleName, Permissions, Option<Permissions>);
        let found: Option<Found> = query!(self.conn, c => async {
            api_keys::table
                .inner_join(organizations::table.on(organizations::id.nullable().eq(api_keys::organization_id)))
                .inner_join(memberships::table.on(memberships::organization_id.eq(organizations::id)))
                .left_join(roles::table.on(
                    roles::organization_id.eq(memberships::organization_id).and(roles::name.eq(memberships::role))
                ))
                .filter(api_keys::id.eq(id))
                .filter(organizations::deleted_at.is_null())
                .filter(memberships::user_id.eq(user))
                .filter(exists(users::table.filter(users::id.eq(user)).filter(users::deleted_at.is_null())))
                .select((
                    ApiKeyRow::as_select(),
                    memberships::role,
                    memberships::permissions,
                    roles::permissions.nullable(),
                ))
                .get_result(c)
                .await
                .optional()
        })?;
        Ok(found
            .map(|(row, role, given, own)| (ApiKey::from(row), Held::by(&role, &given).and(&own.unwrap_or_default()))))
    }

    /// The key of a prefix with what its owner is now. A presented secret decides what becomes of it, so it takes no reach.
    pub async fn credential(&mut self, prefix: &KeyPrefix) -> Result<Option<Credential>> {
        let mut found: Option<Found> = query!(self.conn, c => {
            let query = credentials!().filter(api_keys::prefix.eq(prefix));
            async move { query.get_result(c).await.optional() }
        })?;
        // Almost every key is presented with the secret that it has. Not in one statement: with OR, PostgreSQL joins before it looks for
        // the key. A rotation in between hides none: the prefix is first the one, then the other.
        if found.is_none() {
            found = query!(self.conn, c => {
                let query = credentials!().filter(api_keys::former_prefix.eq(prefix));
                async move { query.get_result(c).await.optional() }
            })?;
        }
        found.map(read_credential).transpose()
    }

    /// The key that a caller presented before, with what its owner is now. It takes no reach: it is what reach follows from.
    pub async fn credential_of(&mut self, id: ApiKeyId) -> Result<Option<Credential>> {
        let found: Option<Found> = query!(self.conn, c => {
            let query = credentials!().filter(api_keys::id.eq(id));
            async move { query.get_result(c).await.optional() }
        })?;
        found.map(read_credential).transpose()
    }

    /// A page of API keys, in order of id.
    pub async fn list(&mut self, reach: &Reach, filter: &ApiKeyFilter, page: &PageRequest) -> Result<Page<ApiKey>> {
        let rows: Vec<ApiKeyRow> = query!(self.conn, c => {
            let query = api_keys::table.select(ApiKeyRow::as_select()).into_boxed::<Backend>();
            let mut query = owned!(query, filter.owner);
            if !filter.include_revoked {
                query = query.filter(api_keys::revoked_at.is_null());
            }
            if let Some(cursor) = &page.after {
                query = query.filter(api_keys::id.gt(ApiKeyId(cursor.id)));
            }
            within!(api_keys, query, reach).order(api_keys::id).limit(page.limit()).load(c)
        })?;
        Ok(page.page(rows, |row| Cursor::by_id(row.id)))
    }

    /// Locks an API key.
    pub async fn lock(&mut self, reach: &Reach, id: ApiKeyId) -> Result<Option<Locked<ApiKey>>> {
        let row: Option<ApiKeyRow> = query!(self.conn, c => {
            let query = api_keys::table.filter(api_keys::id.eq(id));
            let query = query.select(ApiKeyRow::as_select()).into_boxed::<Backend>();
            async { ForUpdate(within!(api_keys, query, reach)).get_result(c).await.optional() }
        })?;
        Ok(row.map(|row| Locked::new(row.into())))
    }

    /// Writes a locked API key as it is now.
    pub async fn save(&mut self, mut key: Locked<ApiKey>, action: Action, now: Timestamp) -> Result<ApiKey> {
        key.touch(now);
        let (before, key) = key.into_before_and_after();
        let found = api_keys::table.filter(api_keys::id.eq(key.id));
        execute!(self.conn, diesel::update(found).set(ApiKeyRow::from(&key)))?;
        self.conn.changed(action, before, &key);
        Ok(key)
    }

    /// Writes a locked API key that has got another secret: what is known of the use of the one that it had goes with that.
    pub async fn save_rotated(&mut self, mut key: Locked<ApiKey>, now: Timestamp) -> Result<ApiKey> {
        key.touch(now);
        let (before, key) = key.into_before_and_after();
        let found = api_keys::table.filter(api_keys::id.eq(key.id));
        // In one statement, as those that are held back together see the same row as it was.
        let uses =
            (api_keys::former_last_used_at.eq(api_keys::last_used_at), api_keys::last_used_at.eq(None::<Timestamp>));
        execute!(self.conn, diesel::update(found).set((ApiKeyRow::from(&key), uses)))?;
        self.conn.changed(Action::ApiKeyRotated, before, &key);
        Ok(key)
    }

    /// When the secret that a key has was last used, and when the one before it, as far as that is written.
    pub async fn last_uses(&mut self, reach: &Reach, id: ApiKeyId) -> Result<(Option<Timestamp>, Option<Timestamp>)> {
        let found: Option<_> = query!(self.conn, c => {
            let query = api_keys::table.filter(api_keys::id.eq(id));
            let query = query.select((api_keys::last_used_at, api_keys::former_last_used_at)).into_boxed::<Backend>();
            async { within!(api_keys, query, reach).get_result(c).await.optional() }
        })?;
        Ok(found.unwrap_or_default())
    }

    /// Writes that secrets were used. It takes no reach, as they were presented.
    pub async fn used(&mut self, prefixes: &[KeyPrefix], at: Timestamp) -> Result<()> {
        query!(self.conn, c => {
            let older = api_keys::last_used_at.is_null().or(api_keys::last_used_at.lt(at));
            let found = api_keys::table.filter(api_keys::prefix.eq_any(prefixes)).filter(older);
            diesel::update(found).set(api_keys::last_used_at.eq(at)).execute(c)
        })?;
        query!(self.conn, c => {
            let older = api_keys::former_last_used_at.is_null().or(api_keys::former_last_used_at.lt(at));
            let found = api_keys::table.filter(api_keys::former_prefix.eq_any(prefixes)).filter(older);
            diesel::update(found).set(api_keys::former_last_used_at.eq(at)).execute(c)
        })?;
        Ok(())
    }

    /// A batch of all API keys within a reach, in order of id, whatever their owners are.
    pub async fn export(&mut self, reach: &Reach, after: Option<ApiKeyId>, limit: i64) -> Result<Vec<ApiKey>> {
        let rows: Vec<ApiKeyRow> = query!(self.conn, c => {
            let mut query = api_keys::table.select(ApiKeyRow::as_select()).into_boxed::<Backend>();
            query = match *reach {
                Reach::Everything => query,
                Reach::Organization(id) => query.filter(api_keys::organization_id.eq(id)),
                Reach::User(id) => query.filter(api_keys::user_id.eq(id)),
            };
            if let Some(after) = after {
                query = query.filter(api_keys::id.gt(after));
            }
            query.order(api_keys::id).limit(limit).load(c)
        })?;
        Ok(rows.into_iter().map(ApiKey::from).collect())
    }

    /// Removes up to `limit` API keys of a locked user and tells how many.
    pub async fn delete_of_user(&mut self, user: &Locked<User>, limit: i64) -> Result<usize> {
        let matches = api_keys::user_id.eq(user.id);
        let (found, rows) = delete_up_to!(limit, self.conn, api_keys: ApiKeyRow of ApiKeyId, matches);
        self.conn.removed_all::<ApiKey, _>(Action::ApiKeyDeleted, rows);
        Ok(found)
    }

    /// Removes up to `limit` API keys of a locked organization and tells how many.
    pub async fn delete_of_organization(&mut self, organization: &Locked<Organization>, limit: i64) -> Result<usize> {
        let matches = api_keys::organization_id.eq(organization.id);
        let (found, rows) = delete_up_to!(limit, self.conn, api_keys: ApiKeyRow of ApiKeyId, matches);
        self.conn.removed_all::<ApiKey, _>(Action::ApiKeyDeleted, rows);
        Ok(found)
    }

    /// Forgets that a locked user made up to `limit` API keys of others and tells how many.
    pub async fn forget_maker(&mut self, user: &Locked<User>, limit: i64, now: Timestamp) -> Result<usize> {
        let action = Action::ApiKeyCreatorErased;
        Ok(forget_user!(limit, self.conn, api_keys: ApiKeyRow of ApiKey, ApiKeyId, created_by, action, user, now))
    }
}
