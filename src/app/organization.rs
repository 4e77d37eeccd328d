//! Organizations.

use super::{
    App, authority,
    change::Answer,
    dry_run::{DryRun, Preview},
    ending, guards,
    target::Target,
};
use crate::{
    db::Conn,
    error::{Entity, Error, Result, Taken},
    models::{
        Action, Call, Caller, ExternalId, HeldPermissions, Impact, Membership, MembershipId, MembershipKey,
        NewMembership, NewOrganization, Organization, OrganizationChanges, OrganizationFilter, OrganizationId,
        OrganizationState, Page, PageRequest, RoleName, Seen, Slug, UserId, organization::Transfer, permission,
    },
    repositories::Locked,
    security::random,
};

/// How many suffixes are tried when the slug derived from a name is taken.
const SLUG_ATTEMPTS: usize = 5;

/// The reason stored with the revoked keys of a restored organization.
const RESTORED: &str = "the organization was deleted and restored";

/// A new organization, and the membership of its owner.
pub struct Created {
    /// The organization.
    pub organization: Seen<Organization>,
    /// Its owner's membership.
    pub owner_membership_id: MembershipId,
}

/// Both memberships after a transfer.
pub struct Transferred {
    /// The new owner's.
    pub new_owner: Seen<Membership>,
    /// The former owner's.
    pub former_owner: Seen<Membership>,
    /// Set if the change was only checked.
    pub preview: Option<Preview>,
}

/// Creates an organization and its owner's membership. A missing slug is derived from the name.
pub async fn create<A: Answer>(app: &App, call: &Call, new: &NewOrganization, answer: fn(Created) -> A) -> Result<A> {
    let slug = new.slug.clone().unwrap_or_else(|| Slug::of_name(&new.name));
    let mut created = create_with_slug(app, call, new, slug, answer).await;
    for _ in 0..SLUG_ATTEMPTS {
        // A slug chosen by the caller is not altered; a derived one gets another suffix.
        if new.slug.is_some() || !matches!(created, Err(Error::Taken(Taken::OrganizationSlug))) {
            break;
        }
        let slug = Slug::of_name_with_ending(&new.name, &random::base62(8));
        created = create_with_slug(app, call, new, slug, answer).await;
    }
    created
}

async fn create_with_slug<A: Answer>(
    app: &App,
    call: &Call,
    new: &NewOrganization,
    slug: Slug,
    answer: fn(Created) -> A,
) -> Result<A> {
    let (caller, now) = (&call.caller, app.now());
    let organization = new.to_organization(app.new_id(now), slug, now);
    let owner = NewMembership::with_role(new.owner_user_id, organization.id, RoleName::owner());
    let membership = owner.to_membership(app.new_id(now), now);
    app.change(
        call,
        async |tx| {
            let user = guards::lock_user(tx, caller, new.owner_user_id).await?;
            if caller.user_id() != Some(user.id) || new.is_of_the_platform() {
                guards::platform_admin(caller)?;
            }
            guards::active_user(&user)?;
            guards::may_own_another(tx, caller, &user, app.policy.max_organizations).await?;
            guards::may_join_another(tx, caller, &user).await?;
            tx.organizations().insert(&organization, user.id).await?;
            authority::own_organization(tx);
            tx.memberships().insert(&membership).await?;
            let organization = caller.sees(organization.clone());
            Ok(Created { organization, owner_membership_id: membership.id })
        },
        answer,
    )
    .await
}

/// Gets an organization by id.
pub async fn get(app: &App, caller: &Caller, id: OrganizationId) -> Result<Seen<Organization>> {
    find(app.organizations.get(caller.reach(), id).await?).map(|found| caller.sees(found))
}

/// Gets an organization by slug.
pub async fn get_by_slug(app: &App, caller: &Caller, slug: &Slug) -> Result<Seen<Organization>> {
    let found = app.db.read(async |conn| conn.organizations().get_by_slug(&caller.reach(), slug).await).await?;
    find(found).map(|found| caller.sees(found))
}

/// Gets an organization by its id in another system.
pub async fn get_by_external_id(app: &App, caller: &Caller, id: &ExternalId) -> Result<Seen<Organization>> {
    let found = app.db.read(async |conn| conn.organizations().get_by_external_id(&caller.reach(), id).await).await?;
    find(found).map(|found| caller.sees(found))
}

/// Gets the organizations with these ids, or these ids in another system, that the caller can see, in any order.
pub async fn get_many(
    app: &App,
    caller: &Caller,
    ids: &[OrganizationId],
    external_ids: &[ExternalId],
) -> Result<Vec<Seen<Organization>>> {
    let reach = &caller.reach();
    let read = app.db.read(async |conn| {
        let mut found = Vec::new();
        if !ids.is_empty() {
            found = conn.organizations().get_many(reach, ids).await?;
        }
        if !external_ids.is_empty() {
            found.extend(conn.organizations().get_many_by_external_id(reach, external_ids).await?);
        }
        Ok(found)
    });
    Ok(read.await?.into_iter().map(|found| caller.sees(found)).collect())
}

/// Lists a page of organizations.
pub async fn list(
    app: &App,
    caller: &Caller,
    filter: &OrganizationFilter,
    page: &PageRequest,
) -> Result<Page<Seen<Organization>>> {
    guards::may_list(caller, &filter.state)?;
    guards::may_filter(caller, &filter.metadata)?;
    let list = app.db.scan(async |conn| {
        if let Some(id) = filter.member_user_id {
            guards::visible_user(conn, caller, id).await?;
        }
        conn.organizations().list(&caller.reach(), filter, page).await
    });
    Ok(list.await?.map(|found| caller.sees(found)))
}

/// Updates the fields of an organization that `changes` names.
pub async fn update<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<OrganizationId>,
    changes: &OrganizationChanges,
    answer: fn(Seen<Organization>) -> A,
) -> Result<A> {
    let (caller, now) = (&call.caller, app.now());
    app.change(
        call,
        async |tx| {
            let mut organization = guards::lock_organization(tx, caller, target.id).await?;
            guards::may_change(tx, caller, &organization, permission::WRITE_ORGANIZATION).await?;
            if changes.are_of_the_platform() {
                guards::platform_admin(caller)?;
            }
            target.check_etag(&*organization)?;
            organization.apply(changes.clone())?;
            Ok(caller.sees(tx.organizations().save(organization, Action::OrganizationUpdated, now).await?))
        },
        answer,
    )
    .await
}

/// Suspends an organization. A suspended one is left unchanged.
pub async fn suspend<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<OrganizationId>,
    answer: fn((Organization, Option<Preview>)) -> A,
) -> Result<A> {
    let now = app.now();
    app.change(
        call,
        async |tx| {
            let mut organization = guards::lock_organization(tx, &call.caller, target.id).await?;
            target.check_etag(&*organization)?;
            let is_new = organization.state != OrganizationState::Suspended;
            organization.state = OrganizationState::Suspended;
            let count =
                async { if is_new { tx.organizations().impact(&organization).await } else { Ok(Impact::default()) } };
            let preview = DryRun::of(call).preview(count).await?;
            if preview.is_some() || !is_new {
                return Ok((organization.into_inner(), preview));
            }
            Ok((tx.organizations().save(organization, Action::OrganizationSuspended, now).await?, None))
        },
        answer,
    )
    .await
}

/// Reactivates a suspended organization. An active one is left unchanged.
pub async fn reactivate<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<OrganizationId>,
    answer: fn(Organization) -> A,
) -> Result<A> {
    let now = app.now();
    app.change(
        call,
        async |tx| {
            let mut organization = guards::lock_organization(tx, &call.caller, target.id).await?;
            target.check_etag(&*organization)?;
            authority::standing_of_organization(tx, &call.caller)?;
            if organization.state == OrganizationState::Active {
                return Ok(organization.into_inner());
            }
            organization.state = OrganizationState::Active;
            tx.organizations().save(organization, Action::OrganizationReactivated, now).await
        },
        answer,
    )
    .await
}

/// Deletes an organization, which can be restored for a while. Its sessions end.
pub async fn delete<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<OrganizationId>,
    answer: fn((Seen<Organization>, Option<Preview>)) -> A,
) -> Result<A> {
    let (caller, now) = (&call.caller, app.now());
    app.change(
        call,
        async |tx| {
            let mut organization = guards::lock_organization(tx, caller, target.id).await?;
            let mut dry_run = DryRun::of(call);
            guards::may(tx, caller, organization.id, permission::DELETE_ORGANIZATION).await?;
            dry_run.rule(guards::is_open_to(caller, &organization))?;
            target.check_etag(&*organization)?;
            organization.deleted_at = Some(now);
            let preview = dry_run.preview(tx.organizations().impact(&organization)).await?;
            if preview.is_some() {
                return Ok((caller.sees(organization.into_inner()), preview));
            }
            tx.sessions().end_of_organization(organization.id, now).await?;
            let deleted = tx.organizations().save(organization, Action::OrganizationDeleted, now).await?;
            Ok((caller.sees(deleted), None))
        },
        answer,
    )
    .await
}

/// Restores a deleted organization. Its API keys are revoked unless the call restores them.
pub async fn undelete<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<OrganizationId>,
    restore_api_keys: bool,
    answer: fn(Organization) -> A,
) -> Result<A> {
    let now = app.now();
    let restorable_since = now.before(app.policy.restore_window);
    app.change(
        call,
        async |tx| {
            let mut organization =
                find(tx.organizations().lock_including_deleted(&call.caller.reach(), target.id).await?)?;
            match organization.deleted_at {
                None => return Ok(organization.into_inner()),
                Some(deleted_at) if deleted_at < restorable_since => return find(None),
                Some(_) => {}
            }
            target.check_etag(&*organization)?;
            guards::has_owner(tx, vec![organization.id], None).await?;
            authority::standing_of_organization(tx, &call.caller)?;
            if !restore_api_keys {
                tx.api_keys().revoke_of_organization(&organization, RESTORED, now).await?;
            }
            organization.deleted_at = None;
            tx.organizations().save(organization, Action::OrganizationUndeleted, now).await
        },
        answer,
    )
    .await
}

/// Removes an organization and all its data for good.
pub async fn purge<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<OrganizationId>,
    answer: fn(()) -> A,
) -> Result<A> {
    app.change(
        call,
        async |tx| {
            let organization = find(tx.organizations().lock_including_deleted(&call.caller.reach(), target.id).await?)?;
            target.check_etag(&*organization)?;
            tx.organizations().delete(organization).await
        },
        answer,
    )
    .await
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
            let most = app.policy.max_organizations;
            dry_run.rule(guards::lock_new_owner(tx, caller, transfer.to, most).await)?;
            let organization = guards::lock_organization(tx, caller, transfer.organization_id).await?;
            let held = guards::may(tx, caller, organization.id, permission::TRANSFER_ORGANIZATION).await?;
            dry_run.rule(guards::is_open_to(caller, &organization))?;
            guards::has_role(tx, organization.id, &transfer.role).await?;
            let mut new = lock_membership(tx, caller, transfer.to, organization.id).await?;
            let mut former = lock_membership(tx, caller, from, organization.id).await?;
            dry_run.rule(guards::is_owner(&former))?;
            held.outranks(&guards::held_by(tx, &former).await?)?;
            let before = guards::held_by(tx, &new).await?;
            authority::permissions(tx, &held, Some(&before), &HeldPermissions::everything())?;
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

fn find<T>(organization: Option<T>) -> Result<T> {
    organization.ok_or(Error::NotFound(Entity::Organization))
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
