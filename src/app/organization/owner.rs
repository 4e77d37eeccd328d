//! The owners of organizations, and members who leave.

use crate::{
    app::{
        App, authority,
        change::Answer,
        dry_run::{DryRun, Preview},
        ending, guards,
    },
    db::Conn,
    error::{Entity, Error, Result},
    models::{
        Action, Call, Caller, HeldPermissions, Impact, Membership, MembershipKey, OrganizationId, RoleName, Seen,
        UserId, organization::Transfer, permission,
    },
    repositories::Locked,
};

/// Both memberships after a transfer.
pub struct Transferred {
    /// The new owner's.
    pub new_owner: Seen<Membership>,
    /// The former owner's.
    pub former_owner: Seen<Membership>,
    /// Set if the change was only checked.
    pub preview: Option<Preview>,
}

/// Makes another member the owner. The former owner, by default the caller, gets another role.
pub async fn transfer_ownership<A: Answer>(
    app: &App,
    call: &Call,
    transfer: &Transfer,
    answer: fn(Transferred) -> A,
) -> Result<A> {
    let (caller, now) = (&call.caller, app.now());
    let from = transfer.from.or(caller.user_id());
    let from = from.ok_or(Error::invalid("former_owner_user_id", "must be a UUID"))?;
    if from == transfer.to {
        return Err(Error::invalid("new_owner_user_id", "must not be the former owner"));
    }
    app.change(
        call,
        async |tx| {
            let mut dry_run = DryRun::of(call);
            let key = MembershipKey::Ends(transfer.to, transfer.organization_id);
            let owns = tx.memberships().get(&caller.reach(), key).await?.is_some_and(|to| to.role.is_owner());
            let most = if owns { 0 } else { app.policy.max_organizations };
            // The user is locked before the organization, but only a caller that may transfer it learns of a limit.
            let may_own = guards::lock_new_owner(tx, caller, transfer.to, most).await?;
            let organization = guards::lock_organization(tx, caller, transfer.organization_id).await?;
            let held = guards::may(tx, caller, organization.id, permission::TRANSFER_ORGANIZATION).await?;
            dry_run.rule(guards::is_open_to(caller, &organization))?;
            guards::has_role(tx, organization.id, &transfer.role).await?;
            let mut new = lock_membership(tx, caller, transfer.to, organization.id).await?;
            let mut former = lock_membership(tx, caller, from, organization.id).await?;
            dry_run.rule(guards::is_owner(&former))?;
            dry_run.rule(guards::active_membership(&new))?;
            held.outranks(&guards::held_by(tx, &former).await?)?;
            // Ownership is more than its permissions: it is given even to a member who holds all of them.
            authority::permissions(tx, caller, &held, None, &HeldPermissions::everything())?;
            dry_run.rule(may_own)?;
            new.role = RoleName::owner();
            former.role = transfer.role.clone();
            let preview = dry_run.preview(async { Ok(Impact::of_memberships(2)) }).await?;
            if preview.is_some() {
                let (new_owner, former_owner) = (caller.sees(new.into_inner()), caller.sees(former.into_inner()));
                return Ok(Transferred { new_owner, former_owner, preview });
            }
            let new_owner = tx.memberships().save(new, Action::MembershipOwnershipTransferred, now).await?;
            let former_owner = tx.memberships().save(former, Action::MembershipUpdated, now).await?;
            ending::with_membership(tx, &organization, former_owner.user_id, now).await?;
            Ok(Transferred { new_owner: caller.sees(new_owner), former_owner: caller.sees(former_owner), preview })
        },
        answer,
    )
    .await
}

/// Ends the caller's own membership.
pub async fn leave<A: Answer>(app: &App, call: &Call, id: OrganizationId, answer: fn(()) -> A) -> Result<A> {
    let (caller, now) = (&call.caller, app.now());
    app.change(
        call,
        async |tx| {
            let organization = guards::lock_organization(tx, caller, id).await?;
            let user = caller.user_id().ok_or(Error::NotFound(Entity::Membership))?;
            let membership = lock_membership(tx, caller, user, id).await?;
            guards::keeps_an_owner(tx, &membership).await?;
            tx.memberships().delete(membership).await?;
            ending::with_membership(tx, &organization, user, now).await
        },
        answer,
    )
    .await
}

/// Locks the membership of a user in a locked organization.
async fn lock_membership(
    tx: &mut Conn,
    caller: &Caller,
    user: UserId,
    organization: OrganizationId,
) -> Result<Locked<Membership>> {
    let locked = tx.memberships().lock(&caller.reach(), MembershipKey::Ends(user, organization)).await?;
    locked.ok_or(Error::NotFound(Entity::Membership))
}
