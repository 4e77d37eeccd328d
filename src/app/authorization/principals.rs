//! The members and keys of an organization that have a permission.
//!
//! A list of all members would examine everyone to find a few. The list walks by the ways to have a permission instead, each of which
//! an index returns in order: by role, by permissions of the membership itself, as a platform admin, as a key.

use uuid::Uuid;

use super::{App, guards, unusable};
use crate::{
    db::Conn,
    error::Result,
    models::{
        ApiKeyFilter, ApiKeyOwner, BuiltInRole, Caller, Cursor, HeldPermissions, KeyWithUses, MembershipId,
        Organization, OrganizationId, OrganizationState, Page, PageRequest, Permissions, Reach, RoleName, Scope,
        Timestamp, UserId,
        permission::{Basis, Holder, Subject},
    },
    repositories::Member,
};

/// One way to have a permission, and a part of the list.
enum Part {
    /// Every member, whatever the role.
    Members,
    /// The members with a role that gives it.
    Role(RoleName),
    /// The members whose role does not give it, by a permission of the membership.
    OwnPermissions,
    /// The members who are platform admins.
    PlatformAdmins,
    /// The organization's keys.
    ApiKeys,
}

impl Part {
    /// The part in the text of a cursor.
    fn text(&self) -> String {
        match self {
            Self::Members => "members".to_owned(),
            Self::Role(name) => format!("role:{}", name.as_str()),
            Self::OwnPermissions => "own".to_owned(),
            Self::PlatformAdmins => "platform".to_owned(),
            Self::ApiKeys => "keys".to_owned(),
        }
    }

    /// The position after an id of this part.
    fn cursor(&self, id: Uuid) -> Cursor {
        Cursor::by_text((self.text(), id))
    }
}

/// The subject of a list.
struct Listed<'a> {
    organization: &'a Organization,
    permission: &'a Scope,
    now: Timestamp,
}

/// A row that was examined: its id, and the principal if it has the permission.
type Examined = (Uuid, Option<Holder>);

/// A page of those who have a permission in an organization, and whether the caller may see the organization's keys. Without that, none
/// is listed.
pub async fn principals(
    app: &App,
    caller: &Caller,
    (organization_id, permission): &(OrganizationId, Scope),
    page: &PageRequest,
) -> Result<(Page<Holder>, bool)> {
    let now = app.now();
    let list = app.db.scan(async |conn| {
        let organization = &guards::visible_organization(conn, caller, *organization_id).await?;
        let sees_keys = guards::sees_keys(conn, caller, *organization_id).await?;
        let listed = Listed { organization, permission, now };
        let parts = parts(conn, &listed, sees_keys).await?;
        Ok((walk(conn, &listed, &parts, page).await?, sees_keys))
    });
    list.await
}

/// The parts of a list, in order. In a suspended organization, only platform admins have any permission.
async fn parts(conn: &mut Conn, listed: &Listed<'_>, sees_keys: bool) -> Result<Vec<Part>> {
    if listed.organization.state == OrganizationState::Suspended {
        return Ok(vec![Part::PlatformAdmins]);
    }
    let permission = listed.permission;
    let gives = |role: &RoleName, own: &Permissions| HeldPermissions::by(role, own).covers(permission.as_str());
    let mut parts = Vec::new();
    if gives(&BuiltInRole::Viewer.name(), &Permissions::default()) {
        parts.push(Part::Members);
    } else {
        let built_in = BuiltInRole::ALL.into_iter().map(|role| (role.name(), Permissions::default()));
        let custom = conn.roles().all(listed.organization.id).await?;
        let mut roles: Vec<_> = built_in.chain(custom).filter(|(role, own)| gives(role, own)).collect();
        roles.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
        parts.extend(roles.into_iter().map(|(role, _)| Part::Role(role)));
        parts.push(Part::OwnPermissions);
    }
    parts.push(Part::PlatformAdmins);
    if sees_keys {
        parts.push(Part::ApiKeys);
    }
    Ok(parts)
}

/// Walks the parts from the position of a page until it is full, all is examined, or as many rows as a page may cost are.
async fn walk(conn: &mut Conn, listed: &Listed<'_>, parts: &[Part], page: &PageRequest) -> Result<Page<Holder>> {
    let (mut at, mut after) = page.after.as_ref().map_or((0, Uuid::nil()), |cursor| begin(parts, cursor));
    let (mut rows, mut looked): (Vec<(Cursor, Holder)>, i64) = (Vec::new(), 0);
    let mut step = page.limit();
    while let Some(part) = parts.get(at) {
        let examined = examine(conn, listed, (part, parts), after, step).await?;
        let count = i64::try_from(examined.len()).unwrap_or(i64::MAX);
        looked = looked.saturating_add(count);
        let last = examined.last().map(|(id, _)| *id);
        rows.extend(examined.into_iter().filter_map(|(id, holder)| Some((part.cursor(id), holder?))));
        if rows.len() > page.size {
            rows.truncate(page.size);
            return Ok(Page { rows, has_more: true, searched_to: None });
        }
        let left = page.look_up().saturating_sub(looked);
        (at, after, step) = match last {
            // All that may still be examined, since few rows of this part have the permission.
            Some(last) if count >= step => (at, last, left),
            Some(_) | None => (at.saturating_add(1), Uuid::nil(), page.limit().min(left)),
        };
        if left <= 0
            && let Some(next) = parts.get(at)
        {
            return Ok(Page { rows, has_more: true, searched_to: Some(next.cursor(after)) });
        }
    }
    Ok(Page { rows, has_more: false, searched_to: None })
}

/// Where a page begins. A role that no longer gives the permission is skipped: the list continues with the part after it.
fn begin(parts: &[Part], cursor: &Cursor) -> (usize, Uuid) {
    let text = cursor.text.as_deref().unwrap_or_default();
    if let Some(at) = parts.iter().position(|part| part.text() == text) {
        return (at, cursor.id);
    }
    let is_later = |part: &Part| !matches!(part, Part::Members | Part::Role(_)) || part.text().as_str() > text;
    let is_role = text.starts_with("role:") || text == Part::Members.text();
    let at = if is_role { parts.iter().position(is_later) } else { None };
    (at.unwrap_or(parts.len()), Uuid::nil())
}

/// Examines up to `limit` rows of a part after an id.
async fn examine(
    conn: &mut Conn,
    listed: &Listed<'_>,
    (part, parts): (&Part, &[Part]),
    after: Uuid,
    limit: i64,
) -> Result<Vec<Examined>> {
    let organization = listed.organization.id;
    let after_member = MembershipId(after);
    match part {
        Part::Members => {
            let members = conn.memberships().members(organization, after_member, limit).await?;
            Ok(members.into_iter().map(|member| by_membership(member, Basis::Role)).collect())
        }
        Part::Role(role) => {
            let members = conn.memberships().members_with_role(organization, role, after_member, limit).await?;
            Ok(members.into_iter().map(|member| by_membership(member, Basis::Role)).collect())
        }
        Part::OwnPermissions => {
            let is_listed = |role: &RoleName| parts.iter().any(|part| matches!(part, Part::Role(name) if name == role));
            let members = conn.memberships().members_with_own_permissions(organization, after_member, limit).await?;
            let examined = members.into_iter().map(|member| {
                let has = member.permissions.hold(listed.permission) && !is_listed(&member.role);
                let (id, holder) = by_membership(member, Basis::Membership);
                (id, holder.filter(|_| has))
            });
            Ok(examined.collect())
        }
        Part::PlatformAdmins => platform_admins(conn, organization, UserId(after), limit).await,
        Part::ApiKeys => keys(conn, listed, after, limit).await,
    }
}

/// A member that has the permission if it has any. Platform admins are a part of their own.
fn by_membership(member: Member, basis: Basis) -> Examined {
    let has = member.is_active && member.user_is_active && !member.is_platform_admin;
    (member.id.0, has.then(|| holder(member, basis)))
}

fn holder(member: Member, basis: Basis) -> Holder {
    Holder { subject: Subject::User(member.user_id), basis, membership: Some((member.id, member.role)) }
}

/// Examines platform admins, in order of user. They have every permission, whatever their membership.
async fn platform_admins(
    conn: &mut Conn,
    organization: OrganizationId,
    after: UserId,
    limit: i64,
) -> Result<Vec<Examined>> {
    let admins = conn.users().platform_admins(after, limit).await?;
    let mut members = conn.memberships().members_of_users(organization, &admins).await?;
    let examined = admins.into_iter().map(|admin| {
        let member = members.iter().position(|member| member.user_id == admin).map(|at| members.swap_remove(at));
        let member = member.filter(|member| member.user_is_active && member.is_platform_admin);
        (admin.0, member.map(|member| holder(member, Basis::PlatformAdmin)))
    });
    Ok(examined.collect())
}

/// Examines the organization's keys.
async fn keys(conn: &mut Conn, listed: &Listed<'_>, after: Uuid, limit: i64) -> Result<Vec<Examined>> {
    let id = listed.organization.id;
    let filter = ApiKeyFilter::all(ApiKeyOwner::Organization(id));
    let size = usize::try_from(limit).unwrap_or(PageRequest::MAX_SIZE);
    let request = PageRequest { after: Some(Cursor::by_id(after)), ..PageRequest::first(size) };
    let page = conn.api_keys().list(&Reach::Organization(id), &filter, &request).await?;
    let examined = page.rows.into_iter().map(|(cursor, KeyWithUses { api_key: key, .. })| {
        let has = unusable(&key, listed.now).is_none()
            && key.scopes.hold(listed.permission)
            && HeldPermissions::by_own_key(&key.scopes).covers(listed.permission.as_str());
        let holder = Holder { subject: Subject::ApiKey(key.id), basis: Basis::OrganizationKey, membership: None };
        (cursor.id, has.then_some(holder))
    });
    Ok(examined.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(name: &str) -> Part {
        Part::Role(RoleName::parse(name).unwrap())
    }

    #[test]
    fn a_page_continues_where_the_last_one_ended_also_when_a_role_no_longer_gives_the_permission() {
        let parts = [role("a"), role("c"), Part::OwnPermissions, Part::PlatformAdmins];
        let id = Uuid::from_u128(7);
        assert_eq!(begin(&parts, &role("c").cursor(id)), (1, id));
        assert_eq!(begin(&parts, &role("b").cursor(id)), (1, Uuid::nil()));
        assert_eq!(begin(&parts, &role("d").cursor(id)), (2, Uuid::nil()));
        assert_eq!(begin(&parts, &Part::Members.cursor(id)), (0, Uuid::nil()));
        assert_eq!(begin(&parts, &Part::OwnPermissions.cursor(id)), (2, id));
        // The caller no longer sees the keys.
        assert_eq!(begin(&parts, &Part::ApiKeys.cursor(id)), (4, Uuid::nil()));
        assert_eq!(begin(&[Part::Members, Part::PlatformAdmins], &role("c").cursor(id)), (1, Uuid::nil()));
    }
}
