//! Storage of API keys.

mod list;
mod revoke;

use diesel::{
    dsl::{case_when, exists},
    prelude::*,
};
use diesel_async::RunQueryDsl;

use super::{delete_up_to, forget_user, metadata, reach::within, row};
use crate::{
    db::{
        Conn, ForUpdate, execute, query,
        schema::{api_keys, memberships, organizations, roles, users},
    },
    error::{Error, Result},
    models::{
        Action, ApiKey, ApiKeyId, Credential, Environment, HeldPermissions, IpRanges, JsonObject, LastUses,
        MembershipState, Name, Organization, OrganizationId, OrganizationState, OwnerState, Permissions, Principal,
        PrincipalId, Reach, Revision, RoleName, Scopes, SecretHash, Timestamp, User, UserId, UserState,
        api_key::KeyPrefix, search::searchable,
    },
    repositories::Locked,
};

row!(api_keys: ApiKeyRow of ApiKey {
    id: ApiKeyId,
    revision: Revision,
    organization_id: Option<OrganizationId>,
    user_id: Option<UserId>,
    created_by: Option<UserId>,
    by_platform: bool,
    source_user_id: Option<UserId>,
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
    disabled_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
});

/// Owner fields needed to check a user's key: state, deletion time, platform admin.
type UserOwner = (UserState, Option<Timestamp>, bool);
/// Owner fields needed to check an organization's key: state, deletion time, the user accountable for its usage.
type OrganizationOwner = (OrganizationState, Option<Timestamp>, Option<UserId>);

/// A key joined with its owner.
type CredentialRow = (ApiKeyRow, Option<UserOwner>, Option<OrganizationOwner>);

/// Restricts a query to the keys of an owner.
macro_rules! owned {
    ($query:expr, $owner:expr) => {
        match $owner {
            ApiKeyOwner::Organization(id) => $query.filter(api_keys::organization_id.eq(id)),
            ApiKeyOwner::User(id) => $query.filter(api_keys::user_id.eq(id)),
        }
    };
}

use owned;

/// Keys joined with their owners.
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

fn read_credential((row, user, organization): CredentialRow) -> Result<Credential> {
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
        _ => return Err(Error::internal(format!("the API key {} does not have exactly one owner", key.id))),
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

/// Repository of API keys.
pub struct ApiKeyRepository<'c> {
    pub(super) conn: &'c mut Conn,
}

impl ApiKeyRepository<'_> {
    /// Stores a new API key. Takes no reach: the row is new.
    pub async fn insert(&mut self, key: &ApiKey) -> Result<()> {
        let values = (ApiKeyRow::from(key), api_keys::name_search.eq(searchable(&[key.name.as_str()])));
        execute!(self.conn, diesel::insert_into(api_keys::table).values(values))?;
        metadata::index(self.conn, key).await?;
        self.conn.created(Action::ApiKeyCreated, key);
        Ok(())
    }

    /// Number of unrevoked keys of a locked organization.
    pub async fn count_of_organization(&mut self, organization: &Locked<Organization>) -> Result<i64> {
        query!(self.conn, c => {
            let own = api_keys::table.filter(api_keys::organization_id.eq(organization.id));
            own.filter(api_keys::revoked_at.is_null()).count().get_result(c)
        })
    }

    /// Number of unrevoked keys of a locked user.
    pub async fn count_of_user(&mut self, user: &Locked<User>) -> Result<i64> {
        query!(self.conn, c => {
            let own = api_keys::table.filter(api_keys::user_id.eq(user.id));
            own.filter(api_keys::revoked_at.is_null()).count().get_result(c)
        })
    }

    /// The API key with this id.
    pub async fn get(&mut self, reach: &Reach, id: ApiKeyId) -> Result<Option<ApiKey>> {
        let row: Option<ApiKeyRow> = query!(self.conn, c => {
            let query = api_keys::table.filter(api_keys::id.eq(id));
            let query = query.select(ApiKeyRow::as_select()).into_boxed::<Backend>();
            async { within!(api_keys, query, reach).get_result(c).await.optional() }
        })?;
        Ok(row.map(ApiKey::from))
    }

    /// The organization key with this id, and what a member of that organization holds there. Always one statement, so that another
    /// tenant's key takes as long as an unknown one. Takes no reach: the permissions held decide whether the user may see the key.
    pub async fn get_as_member(&mut self, user: UserId, id: ApiKeyId) -> Result<Option<(ApiKey, HeldPermissions)>> {
        type CredentialRow = (ApiKeyRow, RoleName, Permissions, Option<Permissions>);
        let found: Option<CredentialRow> = query!(self.conn, c => async {
            api_keys::table
                .inner_join(organizations::table.on(organizations::id.nullable().eq(api_keys::organization_id)))
                .inner_join(memberships::table.on(memberships::organization_id.eq(organizations::id)))
                .left_join(roles::table.on(
                    roles::organization_id.eq(memberships::organization_id).and(roles::name.eq(memberships::role))
                ))
                .filter(api_keys::id.eq(id))
                .filter(organizations::deleted_at.is_null())
                .filter(memberships::user_id.eq(user))
                .filter(memberships::state.eq(MembershipState::Active))
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
        Ok(found.map(|(row, role, given, own)| {
            (ApiKey::from(row), HeldPermissions::by(&role, &given).and(&own.unwrap_or_default()))
        }))
    }

    /// The key with this prefix, current or former, and its owner's present state. Takes no reach: the caller's secret is compared next.
    pub async fn credential(&mut self, prefix: &KeyPrefix) -> Result<Option<Credential>> {
        let mut found: Option<CredentialRow> = query!(self.conn, c => {
            let query = credentials!().filter(api_keys::prefix.eq(prefix));
            async move { query.get_result(c).await.optional() }
        })?;
        // Almost every key is presented with its current secret. Two statements, because with OR, PostgreSQL joins before it looks up the
        // key. A rotation in between hides no key: a current prefix only ever becomes the former one.
        if found.is_none() {
            found = query!(self.conn, c => {
                let query = credentials!().filter(api_keys::former_prefix.eq(prefix));
                async move { query.get_result(c).await.optional() }
            })?;
        }
        found.map(read_credential).transpose()
    }

    /// The key that a caller presented before, with its owner's present state. Takes no reach: the caller's reach is derived from it.
    pub async fn credential_of(&mut self, id: ApiKeyId) -> Result<Option<Credential>> {
        let found: Option<CredentialRow> = query!(self.conn, c => {
            let query = credentials!().filter(api_keys::id.eq(id));
            async move { query.get_result(c).await.optional() }
        })?;
        found.map(read_credential).transpose()
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

    /// Updates a locked API key.
    pub async fn save(&mut self, key: Locked<ApiKey>, action: Action, now: Timestamp) -> Result<ApiKey> {
        let (before, key) = match key.changed(now) {
            Ok(written) => written,
            Err(same) => return Ok(same),
        };
        let found = api_keys::table.filter(api_keys::id.eq(key.id));
        let columns = (ApiKeyRow::from(&key), api_keys::name_search.eq(searchable(&[key.name.as_str()])));
        execute!(self.conn, diesel::update(found).set(columns))?;
        metadata::reindex(self.conn, &before, &key).await?;
        self.conn.changed(action, before, &key);
        Ok(key)
    }

    /// Updates a locked API key after a rotation. The last use is kept with the former secret.
    pub async fn save_rotated(&mut self, key: Locked<ApiKey>, now: Timestamp) -> Result<ApiKey> {
        let (before, key) = key.written(now);
        let found = api_keys::table.filter(api_keys::id.eq(key.id));
        // In one statement, because deferred statements are combined and all see the row as it was before.
        let uses =
            (api_keys::former_last_used_at.eq(api_keys::last_used_at), api_keys::last_used_at.eq(None::<Timestamp>));
        execute!(self.conn, diesel::update(found).set((ApiKeyRow::from(&key), uses)))?;
        self.conn.changed(Action::ApiKeyRotated, before, &key);
        Ok(key)
    }

    /// Last use of the current and of the former secret, as of the last flush.
    pub async fn last_uses(&mut self, reach: &Reach, id: ApiKeyId) -> Result<LastUses> {
        let found: Option<_> = query!(self.conn, c => {
            let query = api_keys::table.filter(api_keys::id.eq(id));
            let query = query.select((api_keys::last_used_at, api_keys::former_last_used_at)).into_boxed::<Backend>();
            async { within!(api_keys, query, reach).get_result(c).await.optional() }
        })?;
        Ok(found.map(|(current, former)| LastUses { current, former }).unwrap_or_default())
    }

    /// Stores when secrets were last used. The time is rounded down, so it may be before a secret was created, which then is its first use.
    /// Takes no reach: the secrets were presented.
    pub async fn used(&mut self, prefixes: &[KeyPrefix], at: Timestamp) -> Result<()> {
        query!(self.conn, c => {
            let older = api_keys::last_used_at.is_null().or(api_keys::last_used_at.lt(at));
            let found = api_keys::table.filter(api_keys::prefix.eq_any(prefixes)).filter(older);
            let at = case_when(api_keys::rotated_at.gt(at), api_keys::rotated_at)
                .when(api_keys::created_at.gt(at), api_keys::created_at.nullable())
                .otherwise(Some(at));
            diesel::update(found).set(api_keys::last_used_at.eq(at)).execute(c)
        })?;
        query!(self.conn, c => {
            let older = api_keys::former_last_used_at.is_null().or(api_keys::former_last_used_at.lt(at));
            let found = api_keys::table.filter(api_keys::former_prefix.eq_any(prefixes)).filter(older);
            let at = case_when(api_keys::former_created_at.gt(at), api_keys::former_created_at).otherwise(Some(at));
            diesel::update(found).set(api_keys::former_last_used_at.eq(at)).execute(c)
        })?;
        Ok(())
    }

    /// A batch of all API keys within reach, in order of id, whatever the state of their owners.
    pub async fn export(&mut self, reach: &Reach, after: Option<ApiKeyId>, limit: i64) -> Result<Vec<ApiKey>> {
        let rows: Vec<ApiKeyRow> = query!(self.conn, c => {
            let mut query = api_keys::table.select(ApiKeyRow::as_select()).into_boxed::<Backend>();
            query = match *reach {
                Reach::Everything(_) => query,
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

    /// Deletes up to `limit` API keys of a locked user and returns how many.
    pub async fn delete_of_user(&mut self, user: &Locked<User>, limit: i64) -> Result<usize> {
        let matches = api_keys::user_id.eq(user.id);
        let (found, rows) = delete_up_to!(limit, self.conn, api_keys: ApiKeyRow of ApiKeyId, matches);
        let removed: Vec<ApiKey> = rows.into_iter().map(ApiKey::from).collect();
        metadata::unindex(self.conn, &removed).await?;
        self.conn.removed_all::<ApiKey, _>(Action::ApiKeyDeleted, removed);
        Ok(found)
    }

    /// Deletes up to `limit` API keys of a locked organization and returns how many.
    pub async fn delete_of_organization(&mut self, organization: &Locked<Organization>, limit: i64) -> Result<usize> {
        let matches = api_keys::organization_id.eq(organization.id);
        let (found, rows) = delete_up_to!(limit, self.conn, api_keys: ApiKeyRow of ApiKeyId, matches);
        let removed: Vec<ApiKey> = rows.into_iter().map(ApiKey::from).collect();
        metadata::unindex(self.conn, &removed).await?;
        self.conn.removed_all::<ApiKey, _>(Action::ApiKeyDeleted, removed);
        Ok(found)
    }

    /// Clears the creator of up to `limit` API keys of other owners that a locked user created, and returns how many.
    pub async fn clear_creator(&mut self, user: &Locked<User>, limit: i64, now: Timestamp) -> Result<usize> {
        let action = Action::ApiKeyCreatorErased;
        Ok(forget_user!(limit, self.conn, api_keys: ApiKeyRow of ApiKey, ApiKeyId, created_by, action, user, now))
    }
}
