//! Organizations.

mod owner;

pub use self::owner::{Transferred, leave, transfer_ownership};
use super::{
    App, authority,
    change::Answer,
    dry_run::{DryRun, Preview},
    guards,
    target::Target,
};
use crate::{
    db::Conn,
    error::{Entity, Error, Result, Taken},
    models::{
        Action, Call, Caller, ExternalId, Impact, MembershipId, NewMembership, NewOrganization, Organization,
        OrganizationChanges, OrganizationFilter, OrganizationId, OrganizationState, Page, PageRequest, Reach, RoleName,
        Seen, Slug, User, permission,
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

/// Creates an organization and its owner's membership. A missing slug is derived from the name.
pub async fn create<A: Answer>(app: &App, call: &Call, new: &NewOrganization, answer: fn(Created) -> A) -> Result<A> {
    let slug = new.slug.clone().unwrap_or_else(|| match Slug::of_name(&new.name) {
        reserved if app.reserved_slugs.contain(&reserved) => Slug::of_name_with_ending(&new.name, &random::base62(8)),
        slug => slug,
    });
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
    let plan = new.plan.clone().unwrap_or_else(|| app.plans.first());
    let organization = new.to_organization(app.new_id(now), slug, plan, now);
    let owner = NewMembership::with_role(new.owner_user_id, organization.id, RoleName::owner());
    let membership = owner.to_membership(app.new_id(now), now);
    app.change(
        call,
        async |tx| {
            let user = guards::lock_user(tx, caller, new.owner_user_id).await?;
            let is_first_plan = organization.plan == app.plans.first();
            if caller.user_id() != Some(user.id) || !is_first_plan || new.is_of_the_platform() {
                guards::platform_admin(caller)?;
            }
            guards::offered_plan(&app.plans, &organization.plan)?;
            if new.slug.is_some() && !new.allow_reserved_slug {
                guards::unreserved(&app.reserved_slugs, "slug", &organization.slug)?;
            }
            guards::active_user(&user)?;
            has_room(tx, caller, &user, new.slug.as_ref(), app.policy.max_organizations).await?;
            tx.organizations().insert(&organization, user.id).await?;
            authority::own_organization(tx);
            tx.memberships().insert(&membership, &user).await?;
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

/// Gets an organization by its slug or by a former one, and whether it is a former one.
pub async fn get_by_slug(app: &App, caller: &Caller, slug: &Slug) -> Result<(Seen<Organization>, bool)> {
    let get = app.db.read(async |conn| {
        let reach = caller.reach();
        if let Some(organization) = conn.organizations().get_by_slug(&reach, slug).await? {
            return Ok((caller.sees(organization), false));
        }
        let former = find(conn.organizations().get_by_former_slug(&reach, slug).await?)?;
        Ok((caller.sees(former), true))
    });
    get.await
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
    // The job of the index moves what a search has not read yet.
    let list = app.db.scan_consistently(filter.fragment.is_some(), async |conn| {
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
            // A plan that is no longer offered, and a slug that was reserved since, may stay.
            if let Some(plan) = changes.plan.as_ref().filter(|plan| **plan != organization.plan) {
                guards::offered_plan(&app.plans, plan)?;
            }
            changed_slug_is_unreserved(app, &organization, changes)?;
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
            let count = async {
                if is_new { tx.organizations().impact(&organization, now).await } else { Ok(Impact::default()) }
            };
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
            let preview = dry_run.preview(tx.organizations().impact(&organization, now)).await?;
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

/// Restores a deleted organization, with another slug and another external id if `changes` names them. Its API keys are revoked unless
/// the call restores them. The limits of its members do not apply.
pub async fn undelete<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<OrganizationId>,
    restore_api_keys: bool,
    changes: &OrganizationChanges,
    answer: fn(Organization) -> A,
) -> Result<A> {
    let now = app.now();
    let restorable_since = now.before(app.policy.restore_window);
    app.change(
        call,
        async |tx| {
            let mut organization =
                find(tx.organizations().lock_including_deleted(&call.caller.reach(), target.id).await?)?;
            if organization.deleted_at.is_some_and(|deleted_at| deleted_at < restorable_since) {
                return find(None);
            }
            target.check_etag(&*organization)?;
            if organization.deleted_at.is_none() {
                return Ok(organization.into_inner());
            }
            changed_slug_is_unreserved(app, &organization, changes)?;
            guards::has_owner(tx, vec![organization.id], None).await?;
            authority::standing_of_organization(tx, &call.caller)?;
            if !restore_api_keys {
                tx.api_keys().revoke_of_organization(&organization, RESTORED, now).await?;
            }
            organization.deleted_at = None;
            organization.apply(changes.clone())?;
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

/// Refuses a reserved slug, unless the organization has it already or the changes allow it.
fn changed_slug_is_unreserved(app: &App, organization: &Organization, changes: &OrganizationChanges) -> Result<()> {
    match &changes.slug {
        Some(slug) if *slug != organization.slug && !changes.allow_reserved_slug => {
            guards::unreserved(&app.reserved_slugs, "slug", slug)
        }
        _ => Ok(()),
    }
}

/// Refuses an organization that would exceed a limit of its owner.
async fn has_room(tx: &mut Conn, caller: &Caller, owner: &Locked<User>, slug: Option<&Slug>, most: u32) -> Result<()> {
    let room = match guards::may_own_another(tx, caller, owner, most).await {
        Ok(()) => guards::may_join_another(tx, caller, owner).await,
        full => full,
    };
    let exists = async {
        let Some(slug) = slug else { return Ok(false) };
        Ok(tx.organizations().get_by_slug(&Reach::by_system(), slug).await?.is_some())
    };
    guards::room_or_taken(room, exists, Taken::OrganizationSlug).await
}

fn find<T>(organization: Option<T>) -> Result<T> {
    organization.ok_or(Error::NotFound(Entity::Organization))
}
