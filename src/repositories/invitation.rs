//! Storage of invitations.

use std::collections::HashMap;

use diesel::{dsl::exists, prelude::*};
use diesel_async::RunQueryDsl;

use super::{
    MAX_BATCH, Span, compared, delete_up_to, forget_user, in_period,
    reach::{everything, within},
    row, spanned,
};
use crate::{
    db::{
        Conn, ForUpdate, execute, query,
        schema::{invitations, memberships, organizations},
    },
    error::Result,
    models::{
        Action, ApiKeyId, Cursor, Invitation, InvitationFilter, InvitationId, Name, NormalizedEmail, Organization,
        OrganizationId, OrganizationState, Page, PageRequest, Reach, Revision, RoleName, SecretHash, SessionId,
        ShownInvitation, Timestamp, User, UserId, WebUrl, email::GivenEmail, text::Lines,
    },
    repositories::Locked,
};

row!(invitations: InvitationRow of Invitation {
    id: InvitationId,
    revision: Revision,
    organization_id: OrganizationId,
    email: GivenEmail,
    email_normalized: NormalizedEmail,
    role: RoleName,
    message: Option<Lines>,
    token_hash: SecretHash,
    invited_by: Option<UserId>,
    by_platform: bool,
    session_id: Option<SessionId>,
    api_key_id: Option<ApiKeyId>,
    expires_at: Timestamp,
    created_at: Timestamp,
    updated_at: Timestamp,
});

/// Some of the invitations that a user sent.
#[derive(Clone, Copy)]
pub enum SentInvitations<'a> {
    /// All of them.
    All,
    /// Those sent as a platform admin.
    AsPlatformAdmin,
    /// Those sent as a member, to some roles of one organization.
    ToRoles(&'a Locked<Organization>, &'a [RoleName]),
    /// Those sent with an access token, unless it belongs to one session.
    InSessions {
        /// That session.
        except: Option<SessionId>,
    },
}

/// Maximum number of organizations that one read of invitations to a member returns.
const MAX_ENDED: i64 = 100;

/// Repository of invitations.
pub struct InvitationRepository<'c> {
    pub(super) conn: &'c mut Conn,
}

impl InvitationRepository<'_> {
    /// Stores a new invitation of a locked organization.
    ///
    /// # Errors
    /// [`Taken::Invitation`](crate::error::Taken::Invitation).
    pub async fn insert(&mut self, _organization: &Locked<Organization>, invitation: &Invitation) -> Result<()> {
        execute!(self.conn, diesel::insert_into(invitations::table).values(InvitationRow::from(invitation)))?;
        self.conn.created(Action::InvitationCreated, invitation);
        Ok(())
    }

    /// The invitation with this id.
    pub async fn get(&mut self, reach: &Reach, id: InvitationId) -> Result<Option<Invitation>> {
        let row: Option<InvitationRow> = query!(self.conn, c => {
            let query = invitations::table.filter(invitations::id.eq(id));
            let query = query.select(InvitationRow::as_select()).into_boxed::<Backend>();
            async { within!(invitations, query, reach).get_result(c).await.optional() }
        })?;
        Ok(row.map(Invitation::from))
    }

    /// A page of invitations, in order of id. When filtered by address, expired ones and those to suspended organizations are left out.
    pub async fn list(
        &mut self,
        reach: &Reach,
        filter: &InvitationFilter,
        now: Timestamp,
        page: &PageRequest,
    ) -> Result<Page<Invitation>> {
        let rows: Vec<InvitationRow> = query!(self.conn, c => {
            let mut query = invitations::table.select(InvitationRow::as_select()).into_boxed::<Backend>();
            query = match filter {
                InvitationFilter::Organization(id) => query.filter(invitations::organization_id.eq(*id)),
                InvitationFilter::Email(email) => {
                    let is_active = organizations::table
                        .filter(organizations::id.eq(invitations::organization_id))
                        .select(organizations::state.eq(OrganizationState::Active));
                    query
                        .filter(invitations::email_normalized.eq(email))
                        .filter(invitations::expires_at.gt(now))
                        .filter(compared(is_active.single_value()))
                }
            };
            let query = in_period!(query, invitations::created_at, page.created);
            let query = spanned!(query, invitations::id, InvitationId, Span::of(page), page.order);
            within!(invitations, query, reach).limit(page.limit()).load(c)
        })?;
        Ok(page.page(rows, |row| Cursor::by_id(row.id)))
    }

    /// Adds to an invitation the name and the logo of its organization. `None` if that was purged meanwhile. Takes no reach: a caller that
    /// sees an invitation sees both.
    pub async fn shown_one(&mut self, invitation: Invitation) -> Result<Option<ShownInvitation>> {
        let page = Page { rows: vec![(Cursor::by_id(invitation.id), invitation)], has_more: false, searched_to: None };
        Ok(self.shown(page).await?.rows.pop().map(|(_, shown)| shown))
    }

    /// Adds to each invitation of a page the name and the logo of its organization. Those of an organization that was purged meanwhile are
    /// left out. Takes no reach: a caller that sees an invitation sees both.
    pub async fn shown(&mut self, page: Page<Invitation>) -> Result<Page<ShownInvitation>> {
        let mut ids: Vec<OrganizationId> = page.rows.iter().map(|(_, invitation)| invitation.organization_id).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut found: Vec<(OrganizationId, Name, Option<WebUrl>)> = Vec::new();
        if !ids.is_empty() {
            found = query!(self.conn, c => {
                let columns = (organizations::id, organizations::name, organizations::logo_url);
                organizations::table.filter(organizations::id.eq_any(&ids)).select(columns).load(c)
            })?;
        }
        let found: HashMap<_, _> = found.into_iter().map(|(id, name, logo_url)| (id, (name, logo_url))).collect();
        let shown = |(cursor, invitation): (Cursor, Invitation)| {
            let (organization_name, organization_logo_url) = found.get(&invitation.organization_id)?.clone();
            Some((cursor, ShownInvitation { invitation, organization_name, organization_logo_url }))
        };
        let rows = page.rows.into_iter().filter_map(shown).collect();
        Ok(Page { rows, has_more: page.has_more, searched_to: page.searched_to })
    }

    /// Number of invitations of a locked organization.
    pub async fn count(&mut self, organization: &Locked<Organization>) -> Result<i64> {
        query!(self.conn, c => {
            invitations::table.filter(invitations::organization_id.eq(organization.id)).count().get_result(c)
        })
    }

    /// Number of pending invitations of a locked organization.
    pub async fn count_pending(&mut self, organization: &Locked<Organization>, now: Timestamp) -> Result<i64> {
        query!(self.conn, c => {
            let own = invitations::table.filter(invitations::organization_id.eq(organization.id));
            own.filter(compared(invitations::expires_at.gt(now))).count().get_result(c)
        })
    }

    /// Number of pending invitations to a locked user's address, without those to deleted organizations.
    pub async fn count_to(&mut self, user: &Locked<User>, now: Timestamp) -> Result<i64> {
        query!(self.conn, c => {
            let to_user = invitations::table.filter(invitations::email_normalized.eq(&user.email_normalized));
            everything!(invitations, to_user.filter(compared(invitations::expires_at.gt(now)))).count().get_result(c)
        })
    }

    /// Up to 100 organizations, in order of id, that a locked user is a member of and has a pending or expired invitation to.
    pub async fn to_member(&mut self, user: &Locked<User>) -> Result<Vec<OrganizationId>> {
        query!(self.conn, c => {
            let membership = memberships::table
                .filter(memberships::user_id.eq(user.id))
                .filter(memberships::organization_id.eq(invitations::organization_id))
                .select(memberships::id);
            invitations::table
                .filter(invitations::email_normalized.eq(&user.email_normalized))
                .filter(compared(membership.single_value().is_not_null()))
                .order(invitations::organization_id)
                .select(invitations::organization_id)
                .limit(MAX_ENDED)
                .load(c)
        })
    }

    /// Locks an invitation. Lock its organization first.
    pub async fn lock(&mut self, reach: &Reach, id: InvitationId) -> Result<Option<Locked<Invitation>>> {
        let row: Option<InvitationRow> = query!(self.conn, c => {
            let query = invitations::table.filter(invitations::id.eq(id));
            let query = query.select(InvitationRow::as_select()).into_boxed::<Backend>();
            async { ForUpdate(within!(invitations, query, reach)).get_result(c).await.optional() }
        })?;
        Ok(row.map(|row| Locked::new(row.into())))
    }

    /// Locks the invitation of an address to a locked organization.
    pub async fn lock_to(
        &mut self,
        organization: &Locked<Organization>,
        email: &NormalizedEmail,
    ) -> Result<Option<Locked<Invitation>>> {
        let row: Option<InvitationRow> = query!(self.conn, c => {
            let query = invitations::table
                .filter(invitations::organization_id.eq(organization.id))
                .filter(invitations::email_normalized.eq(email))
                .select(InvitationRow::as_select());
            async move { ForUpdate(query).get_result(c).await.optional() }
        })?;
        Ok(row.map(|row| Locked::new(row.into())))
    }

    /// Updates a locked invitation. One that is as it was when locked is returned as it is, and nothing is written.
    pub async fn save(&mut self, invitation: Locked<Invitation>, action: Action, now: Timestamp) -> Result<Invitation> {
        let (before, invitation) = match invitation.changed(now) {
            Ok(written) => written,
            Err(same) => return Ok(same),
        };
        let found = invitations::table.filter(invitations::id.eq(invitation.id));
        execute!(self.conn, diesel::update(found).set(InvitationRow::from(&invitation)))?;
        self.conn.changed(action, before, &invitation);
        Ok(invitation)
    }

    /// Roles of the pending invitations to a locked organization that a user sent as one of its members.
    pub async fn roles_sent_by(
        &mut self,
        user: UserId,
        organization: &Locked<Organization>,
        now: Timestamp,
    ) -> Result<Vec<RoleName>> {
        query!(self.conn, c => {
            invitations::table
                .filter(invitations::invited_by.eq(user))
                .filter(invitations::organization_id.eq(organization.id))
                .filter(invitations::by_platform.eq(false))
                .filter(invitations::expires_at.gt(now))
                .select(invitations::role)
                .distinct()
                .load(c)
        })
    }

    /// Expires pending invitations sent by a user. Another user may send them again. Takes no reach: the caller has locked the user.
    pub async fn expire_sent_by(&mut self, user: UserId, sent: SentInvitations<'_>, now: Timestamp) -> Result<()> {
        loop {
            let found: Vec<(InvitationId, Timestamp)> = query!(self.conn, c => {
                let query = invitations::table.filter(invitations::invited_by.eq(user));
                let query = query.filter(invitations::expires_at.gt(now)).order(invitations::id);
                let query = query.select((invitations::id, invitations::expires_at)).into_boxed::<Backend>();
                let query = match sent {
                    SentInvitations::All => query,
                    SentInvitations::AsPlatformAdmin => query.filter(invitations::by_platform.eq(true)),
                    SentInvitations::ToRoles(organization, roles) => query
                        .filter(invitations::organization_id.eq(organization.id))
                        .filter(invitations::by_platform.eq(false))
                        .filter(invitations::role.eq_any(roles)),
                    SentInvitations::InSessions { except: None } => query.filter(invitations::session_id.is_not_null()),
                    SentInvitations::InSessions { except: Some(session) } => {
                        query.filter(invitations::session_id.ne(session))
                    }
                };
                query.limit(MAX_BATCH).load(c)
            })?;
            if found.is_empty() {
                return Ok(());
            }
            let expired: HashMap<InvitationId, Timestamp> = found.iter().copied().collect();
            let ids: Vec<InvitationId> = found.into_iter().map(|(id, _)| id).collect();
            let rows: Vec<InvitationRow> = query!(self.conn, c => {
                diesel::update(invitations::table.filter(invitations::id.eq_any(&ids)))
                    .set((
                        invitations::expires_at.eq(now),
                        invitations::updated_at.eq(now),
                        invitations::revision.eq(invitations::revision + 1),
                    ))
                    .returning(InvitationRow::as_returning())
                    .get_results(c)
            })?;
            for after in rows.into_iter().map(Invitation::from) {
                let expires_at = expired.get(&after.id).copied().unwrap_or(now);
                let before = Invitation { expires_at, ..after.clone() };
                self.conn.changed(Action::InvitationUpdated, before, &after);
            }
        }
    }

    /// Deletes a locked invitation; `action` says why.
    pub async fn delete(&mut self, invitation: Locked<Invitation>, action: Action) -> Result<()> {
        execute!(self.conn, diesel::delete(invitations::table.filter(invitations::id.eq(invitation.id))))?;
        self.conn.removed(action, invitation.into_inner());
        Ok(())
    }

    /// Deletes a locked invitation that has expired, so that the next statement can insert one to the same address. It runs at once:
    /// deferred, the two would be one statement, whose insert would still see it.
    pub async fn make_room(&mut self, expired: Locked<Invitation>) -> Result<()> {
        let id = expired.id;
        query!(self.conn, c => diesel::delete(invitations::table.filter(invitations::id.eq(id))).execute(c))?;
        self.conn.removed(Action::InvitationExpired, expired.into_inner());
        Ok(())
    }

    /// Deletes up to `limit` invitations of a locked organization and returns how many.
    pub async fn delete_of_organization(&mut self, organization: &Locked<Organization>, limit: i64) -> Result<usize> {
        let matches = invitations::organization_id.eq(organization.id);
        let (found, rows) = delete_up_to!(limit, self.conn, invitations: InvitationRow of InvitationId, matches);
        self.conn.removed_all::<Invitation, _>(Action::InvitationRevoked, rows);
        Ok(found)
    }

    /// Deletes up to `limit` invitations to an address of a user who is being erased and returns how many were found. Takes no reach: the
    /// address is erased in every organization.
    pub async fn delete_to(&mut self, email: &NormalizedEmail, limit: i64) -> Result<usize> {
        let matches = invitations::email_normalized.eq(email);
        let (found, rows) = delete_up_to!(limit, self.conn, invitations: InvitationRow of InvitationId, matches);
        self.conn.removed_all::<Invitation, _>(Action::InvitationRevoked, rows);
        Ok(found)
    }

    /// Those of some invitations that exist. Takes no reach: only the service itself calls it.
    pub async fn existing(&mut self, ids: &[InvitationId]) -> Result<Vec<InvitationId>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        query!(self.conn, c => {
            invitations::table.filter(invitations::id.eq_any(ids)).select(invitations::id).load(c)
        })
    }

    /// Up to `limit` invitations after one, in order of id: those to a user's address, or those that the user sent. Takes no reach: the
    /// user is the caller's own.
    pub async fn of_person(
        &mut self,
        user: &User,
        sent: bool,
        after: Option<InvitationId>,
        limit: i64,
    ) -> Result<Vec<Invitation>> {
        let rows: Vec<InvitationRow> = query!(self.conn, c => {
            let mut query = invitations::table.select(InvitationRow::as_select()).into_boxed::<Backend>();
            query = if sent {
                query.filter(invitations::invited_by.eq(user.id))
            } else {
                query.filter(invitations::email_normalized.eq(&user.email_normalized))
            };
            if let Some(after) = after {
                query = query.filter(invitations::id.gt(after));
            }
            query.order(invitations::id).limit(limit).load(c)
        })?;
        Ok(rows.into_iter().map(Invitation::from).collect())
    }

    /// Deletes up to `limit` invitations that expired before `before` and returns how many were found. Takes no reach: only the service
    /// itself calls it.
    pub async fn delete_expired(&mut self, before: Timestamp, limit: i64) -> Result<usize> {
        let matches = invitations::expires_at.lt(before);
        let (found, rows) = delete_up_to!(limit, self.conn, invitations: InvitationRow of InvitationId, matches);
        self.conn.removed_all::<Invitation, _>(Action::InvitationExpired, rows);
        Ok(found)
    }

    /// Clears the inviter of up to `limit` invitations sent by a locked user, and returns how many.
    pub async fn forget_inviter(&mut self, user: &Locked<User>, limit: i64, now: Timestamp) -> Result<usize> {
        let action = Action::InvitationUpdated;
        Ok(
            forget_user!(limit, self.conn, invitations: InvitationRow of Invitation, InvitationId, invited_by, action, user, now),
        )
    }

    /// A batch of all invitations within reach, in order of id, whatever the state of their organizations.
    pub async fn export(&mut self, reach: &Reach, after: Option<InvitationId>, limit: i64) -> Result<Vec<Invitation>> {
        let rows: Vec<InvitationRow> = query!(self.conn, c => {
            let mut query = invitations::table.select(InvitationRow::as_select()).into_boxed::<Backend>();
            query = match *reach {
                Reach::Everything(_) => query,
                Reach::Organization(id) => query.filter(invitations::organization_id.eq(id)),
                // Resources of organizations are exported per organization.
                Reach::User(_) => query.filter(invitations::id.ne(invitations::id)),
            };
            if let Some(after) = after {
                query = query.filter(invitations::id.gt(after));
            }
            query.order(invitations::id).limit(limit).load(c)
        })?;
        Ok(rows.into_iter().map(Invitation::from).collect())
    }
}
