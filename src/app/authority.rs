//! The one place that decides what authority a call may give. The presented credential must hold what it gives, by its scopes and by
//! the standing of its owner. docs/security.md describes the rules.
//!
//! Each function grants one kind of authority to the transaction. A transaction that gives authority without such a grant does not
//! commit, so a use-case that forgets to ask fails with INTERNAL instead of giving too much.

use super::guards;
use crate::{
    db::Conn,
    error::{Denial, Entity, Error, Result},
    models::{
        ApiKey, Caller, Grant, HeldPermissions, Scope, User,
        api_key::covers_rate,
        permission::{self, MissingAuthority},
    },
};

/// The scope to authenticate users who are platform admins.
const AUTHENTICATE_PLATFORM_ADMINS: &str = "platform_admins:authenticate";
/// The scope to create, restore and remove platform admins.
const WRITE_PLATFORM_ADMINS: &str = "platform_admins:write";

impl From<MissingAuthority> for Error {
    fn from(missing: MissingAuthority) -> Self {
        Self::Denied(match missing {
            MissingAuthority::Standing(permission) => Denial::RoleInsufficient(permission),
            MissingAuthority::Scope(scope) => Denial::ScopeNotHeld(scope),
        })
    }
}

/// Decides whether a caller may create a key, receive a new secret of one, or change one from `before` to `after`. A change that only
/// narrows a key gives nothing.
///
/// # Errors
/// [`Error::Denied`] with the first bound that the caller does not hold; [`Error::NotFound`] for an organization outside its reach.
pub(super) async fn key(tx: &mut Conn, caller: &Caller, before: Option<&ApiKey>, after: &ApiKey) -> Result<()> {
    guards::api_key(caller)?;
    current_secret(caller)?;
    let held = match after.organization_id {
        None => None,
        Some(id) => {
            let organization = tx.organizations().get(&caller.reach(), id).await?;
            let organization = organization.ok_or(Error::NotFound(Entity::ApiKey))?;
            Some(guards::may_change(tx, caller, &organization, permission::WRITE_API_KEYS).await?)
        }
    };
    if before.is_none_or(|before| !before.covers(after)) {
        holds(caller, after)?;
        if let Some(held) = held {
            held.require_all(&HeldPermissions::by_own_key(&after.scopes))?;
        }
    }
    tx.grant(Grant::ApiKey);
    Ok(())
}

/// Refuses a caller that does not hold everything that a key holds.
fn holds(caller: &Caller, key: &ApiKey) -> Result<()> {
    let lacking = if let Some(scope) = caller.scopes.first_not_held(&key.scopes) {
        Denial::ScopeNotHeld(scope.as_str().to_owned())
    } else if caller.expires_at.is_some_and(|own| key.expires_at.is_none_or(|given| given > own)) {
        Denial::ExpiryNotHeld
    } else if !caller.ip_ranges.cover(&key.allowed_ip_ranges) {
        Denial::IpRangeNotHeld
    } else if !covers_rate(caller.rate_limit.map_or(0, i64::from), key.rate_limit) {
        Denial::RateNotHeld
    } else {
        return Ok(());
    };
    Err(Error::Denied(lacking))
}

/// Refuses the former secret of a rotated key. It may have leaked, so it writes no keys and gives no permissions.
pub(super) fn current_secret(caller: &Caller) -> Result<()> {
    if caller.is_former_secret { Err(Error::Denied(Denial::FormerSecret)) } else { Ok(()) }
}

/// Decides whether the holder of `held` in an organization may give all of `after` to a principal that holds `before`. A change that
/// only takes away requires that `held` outranks `before`, and no scope beyond the method's.
pub(super) fn permissions(
    tx: &mut Conn,
    caller: &Caller,
    held: &HeldPermissions,
    before: Option<&HeldPermissions>,
    after: &HeldPermissions,
) -> Result<()> {
    if let Some(before) = before {
        held.outranks(before)?;
    }
    if before.is_none_or(|before| !before.covers_all(after)) {
        current_secret(caller)?;
        held.require_all(after)?;
    }
    tx.grant(Grant::Permissions);
    Ok(())
}

/// Lets a user own an organization that this transaction creates, in which no permissions exist yet.
pub(super) fn own_organization(tx: &mut Conn) {
    tx.grant(Grant::Permissions);
}

/// Lets an invitation give what it was created to give. Its sender held that.
pub(super) fn by_invitation(tx: &mut Conn) {
    tx.grant(Grant::Permissions);
}

/// Decides whether a caller may begin a session for a user who has proven nothing in this call.
pub(super) fn session(tx: &mut Conn, caller: &Caller, user: &User) -> Result<()> {
    may_authenticate(caller, user)?;
    tx.grant(Grant::Session);
    Ok(())
}

/// Lets a caller that has proven a password or a refresh token begin or continue a session.
pub(super) fn proven_session(tx: &mut Conn) {
    tx.grant(Grant::Session);
}

/// Decides whether a caller may add a way to sign in to the account of a user.
pub(super) fn account(tx: &mut Conn, caller: &Caller, user: &User) -> Result<()> {
    may_authenticate(caller, user)?;
    tx.grant(Grant::Account);
    Ok(())
}

/// Lets a caller that has proven the current password, or creates the account in this transaction, set one.
pub(super) fn proven_account(tx: &mut Conn) {
    tx.grant(Grant::Account);
}

/// Decides whether a caller may reactivate or restore a user.
pub(super) fn standing(tx: &mut Conn, caller: &Caller, user: &User) -> Result<()> {
    if user.is_platform_admin {
        scope(caller, WRITE_PLATFORM_ADMINS)?;
    }
    tx.grant(Grant::Standing);
    Ok(())
}

/// Lets a platform admin reactivate or restore an organization.
pub(super) fn standing_of_organization(tx: &mut Conn, caller: &Caller) -> Result<()> {
    guards::platform_admin(caller)?;
    tx.grant(Grant::Standing);
    Ok(())
}

/// Decides whether a caller may make a user a platform admin.
pub(super) fn platform_admin(tx: &mut Conn, caller: &Caller) -> Result<()> {
    guards::platform_admin(caller)?;
    guards::api_key(caller)?;
    current_secret(caller)?;
    scope(caller, WRITE_PLATFORM_ADMINS)?;
    tx.grant(Grant::PlatformAdmin);
    Ok(())
}

/// Refuses to authenticate a platform admin with a key that lacks the scope for it. Otherwise an application's sign-in key would be a
/// way to become a platform admin.
pub(super) fn may_authenticate(caller: &Caller, user: &User) -> Result<()> {
    if user.is_platform_admin { scope(caller, AUTHENTICATE_PLATFORM_ADMINS) } else { Ok(()) }
}

/// Refuses a credential without a scope.
pub(super) fn scope(caller: &Caller, scope: &str) -> Result<()> {
    let needed = Scope::parse(scope).map_err(Error::internal)?;
    if caller.scopes.hold(&needed) { Ok(()) } else { Err(Error::Denied(Denial::ScopeMissing(scope.to_owned()))) }
}
