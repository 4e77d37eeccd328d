//! `InvitationService`.
//!
//! Every change of an invitation locks the organization first, as every change of a membership does: who is invited, and who has become
//! a member, is decided by one call at a time. A call that makes a member locks the user before that.

use tonic::{Request, Response, Status};

use super::{authority, called_by, called_to_act, ending, guards, lists, shown::Shown};
use crate::{
    app::App,
    db::Conn,
    error::{Entity, Error, Limit, Precondition, Result, Taken},
    grpc::convert,
    models::{
        Action, Caller, Held, Invitation, InvitationFilter, InvitationId, InvitationKey, Locked, NewMembership,
        NormalizedEmail, Organization, Permissions, Reach, SecretHash, Timestamp, User, UserId, permission,
    },
    pb::{self, invitation_service_server::InvitationService},
    security::token::{mint_invitation_token, read_invitation_token},
};

/// Most invitations of an organization.
const MAX_INVITATIONS: u32 = 1000;

/// Answers `InvitationService`.
#[derive(Clone)]
pub struct InvitationHandler {
    app: App,
}

impl InvitationHandler {
    /// The handler on an application.
    pub fn new(app: App) -> Self {
        Self { app }
    }
}

fn find<T>(invitation: Option<T>) -> Result<T> {
    invitation.ok_or(Error::NotFound(Entity::Invitation))
}

/// An invitation as somebody presents it: its id, and what proves that it was mailed to whoever presents it.
struct Presented {
    id: InvitationId,
    token_hash: Option<SecretHash>,
}

impl Presented {
    fn read(key: &InvitationKey) -> Result<Self> {
        match key {
            InvitationKey::Id(id) => Ok(Self { id: *id, token_hash: None }),
            InvitationKey::Token(token) => {
                let (id, hash) = find(read_invitation_token(token.expose()))?;
                Ok(Self { id, token_hash: Some(hash) })
            }
        }
    }

    /// Refuses the token of another invitation, or one from before it was sent again.
    fn is_of(&self, invitation: &Invitation) -> Result<()> {
        let is_other = self.token_hash.as_ref().is_some_and(|hash| !invitation.token_hash.matches(hash));
        if is_other { Err(Error::NotFound(Entity::Invitation)) } else { Ok(()) }
    }
}

/// Locks an invitation behind its organization. Whoever presents its token, or is invited, need not see the organization.
async fn lock(tx: &mut Conn, reach: &Reach, id: InvitationId) -> Result<(Locked<Organization>, Locked<Invitation>)> {
    let found = find(tx.invitations().get(reach, id).await?)?;
    let organization = find(tx.organizations().lock(reach, found.organization_id).await?)?;
    let invitation = find(tx.invitations().lock(reach, id).await?)?;
    Ok((organization, invitation))
}

/// Locks an invitation, and refuses a caller that may not invite or whose standing does not cover what it gives. Returns what the caller holds, and
/// what the invitation gives.
async fn lock_to_manage(tx: &mut Conn, caller: &Caller, id: InvitationId) -> Result<(Locked<Invitation>, Held, Held)> {
    let (organization, invitation) = lock(tx, &caller.reach(), id).await?;
    let held = guards::may_change(tx, caller, &organization, permission::WRITE_INVITATIONS).await?;
    // It is there as long as an invitation gives it.
    let given = guards::has_role(tx, organization.id, &invitation.role).await?;
    held.outranks(&given)?;
    Ok((invitation, held, given))
}

/// Refuses an invitation whose ground is gone: who sent it does not hold any more what it gives.
async fn has_ground(tx: &mut Conn, invitation: &Invitation) -> Result<()> {
    let Some(inviter) = invitation.invited_by else { return Ok(()) };
    let user = tx.users().get(&Reach::Everything, inviter).await?.filter(User::is_active);
    let stands = match user {
        None => false,
        Some(user) if invitation.by_platform => user.is_platform_admin,
        Some(user) if user.is_platform_admin => true,
        Some(_) => {
            let held = tx.memberships().held(inviter, invitation.organization_id).await?;
            guards::covers_role(tx, &held, invitation.organization_id, &invitation.role).await?
        }
    };
    if stands { Ok(()) } else { Err(Error::Precondition(Precondition::InvitationExpired)) }
}

/// Refuses a user who did not prove to have the address that is invited: by the token that was mailed there, or by a verified e-mail.
fn is_invited(invitation: &Invitation, presented: &Presented, user: &User) -> Result<()> {
    let has_token = presented.token_hash.is_some();
    match invitation.is_to(user) {
        false if has_token => Err(Error::Precondition(Precondition::InvitationEmailMismatch)),
        false => Err(Error::NotFound(Entity::Invitation)),
        true if has_token => Ok(()),
        true => has_verified_email(user),
    }
}

fn has_verified_email(user: &User) -> Result<()> {
    user.email_verified_at.map(drop).ok_or(Error::Precondition(Precondition::EmailNotVerified))
}

/// Verifies the e-mail of a user who has presented the token that was mailed there. What a stranger may have made before goes, unless the
/// call has shown a credential of the account.
async fn verify_by_invitation(
    tx: &mut Conn,
    caller: &Caller,
    mut user: Locked<User>,
    shown: &Shown,
    now: Timestamp,
) -> Result<()> {
    if shown.is_of(tx, &user, now).await? {
        ending::mailed_tokens(tx, &user).await?;
    } else {
        authority::account(tx, caller, &user)?;
        ending::with_first_proof(tx, &user, now).await?;
        tx.passwords().remove(&user).await?;
    }
    authority::proven_account(tx);
    user.email_verified_at = Some(now);
    tx.users().save(user, Action::UserEmailVerified, now).await.map(drop)
}

/// The user who answers an invitation: the caller's own, or, for platform admins, any.
fn answering(caller: &Caller, named: Option<UserId>) -> Result<UserId> {
    named.or(caller.user_id()).ok_or_else(|| Error::invalid("user_id", "must be a UUID"))
}

/// Finds an invitation that the caller may see without its token: of an organization whose invitations it may see, or its own.
async fn visible(conn: &mut Conn, caller: &Caller, presented: &Presented) -> Result<Invitation> {
    let seen = match conn.invitations().get(&caller.reach(), presented.id).await? {
        None => Err(Error::NotFound(Entity::Invitation)),
        Some(found) => {
            guards::may(conn, caller, found.organization_id, permission::READ_INVITATIONS).await.map(|_| found)
        }
    };
    let (Err(_), Reach::User(user)) = (&seen, caller.reach()) else { return seen };
    // Whoever is invited sees the invitation without seeing the organization.
    let own = conn.invitations().get(&Reach::Everything, presented.id).await?;
    let user = conn.users().get(&caller.reach(), user).await?;
    match (own, user) {
        (Some(own), Some(user)) if is_invited(&own, presented, &user).is_ok() => Ok(own),
        _ => seen,
    }
}

/// Refuses whoever asks for the invitations to an address that is not its own, or not verified.
async fn may_list_of(conn: &mut Conn, caller: &Caller, email: &NormalizedEmail) -> Result<()> {
    if caller.is_platform_admin() {
        return Ok(());
    }
    let user = match caller.user_id() {
        Some(id) => conn.users().get(&caller.reach(), id).await?,
        None => None,
    };
    match user.filter(|user| user.email_normalized == *email) {
        Some(user) => has_verified_email(&user),
        None => guards::platform_admin(caller),
    }
}

#[tonic::async_trait]
impl InvitationService for InvitationHandler {
    async fn create_invitation(
        &self,
        request: Request<pb::CreateInvitationRequest>,
    ) -> Result<Response<pb::CreateInvitationResponse>, Status> {
        let (call, new) = called_to_act(request, |r| convert::invitation::create(&r))?;
        let (caller, now) = (&call.caller, self.app.now());
        let id = self.app.new_id(now);
        let (plaintext, hash) = mint_invitation_token(id);
        let invitation = new.to_invitation(id, hash, caller.maker(None), now);
        let create = self.app.change(&call, async |tx| {
            let organization = tx.organizations().lock(&caller.reach(), new.organization_id).await?;
            let organization = organization.ok_or(Error::NotFound(Entity::Organization))?;
            let held = guards::may_change(tx, caller, &organization, permission::WRITE_INVITATIONS).await?;
            let given = guards::has_role(tx, organization.id, &new.role).await?;
            authority::permissions(tx, &held, None, &given)?;
            let members = Reach::Organization(organization.id);
            if tx.users().get_by_email(&members, new.email.normalized()).await?.is_some() {
                return Err(Error::Taken(Taken::Member));
            }
            if let Some(former) = tx.invitations().lock_to(&organization, new.email.normalized()).await? {
                if !former.is_expired(now) {
                    return Err(Error::Taken(Taken::Invitation));
                }
                tx.invitations().delete(former, Action::InvitationExpired).await?;
            }
            guards::has_room(Limit::Invitations, MAX_INVITATIONS, tx.invitations().count(&organization)).await?;
            tx.invitations().insert(&organization, &invitation).await?;
            Ok(pb::CreateInvitationResponse {
                invitation: Some(invitation.clone().into()),
                plaintext_token: plaintext.expose().to_owned(),
            })
        });
        Ok(Response::new(create.await?))
    }

    async fn get_invitation(
        &self,
        request: Request<pb::GetInvitationRequest>,
    ) -> Result<Response<pb::GetInvitationResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let presented = Presented::read(&convert::invitation::get(request)?)?;
        let get = self.app.db.read(async |conn| {
            if presented.token_hash.is_none() {
                return visible(conn, &caller, &presented).await;
            }
            // Whoever has the token sees what it is of.
            let invitation = find(conn.invitations().get(&Reach::Everything, presented.id).await?)?;
            presented.is_of(&invitation)?;
            Ok(invitation)
        });
        Ok(Response::new(pb::GetInvitationResponse { invitation: Some(get.await?.into()) }))
    }

    async fn list_invitations(
        &self,
        request: Request<pb::ListInvitationsRequest>,
    ) -> Result<Response<pb::ListInvitationsResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let lists = lists(&self.app, &caller);
        let listing = convert::invitation::list(lists, &request)?;
        let now = self.app.now();
        let page = self.app.db.scan(async |conn| {
            let reach = match &listing.filter {
                InvitationFilter::Organization(id) => {
                    guards::visible_organization(conn, &caller, *id).await?;
                    guards::may(conn, &caller, *id, permission::READ_INVITATIONS).await?;
                    caller.reach()
                }
                InvitationFilter::Email(email) => {
                    may_list_of(conn, &caller, email).await?;
                    Reach::Everything
                }
            };
            conn.invitations().list(&reach, &listing.filter, now, &listing.page).await
        });
        let page = page.await?;
        let (invitations, next_page_token) = listing.answer(lists, page);
        Ok(Response::new(pb::ListInvitationsResponse { invitations, next_page_token }))
    }

    async fn resend_invitation(
        &self,
        request: Request<pb::ResendInvitationRequest>,
    ) -> Result<Response<pb::ResendInvitationResponse>, Status> {
        let (call, (target, life)) = called_to_act(request, convert::invitation::resend)?;
        let (caller, now) = (&call.caller, self.app.now());
        let (plaintext, hash) = mint_invitation_token(target.id);
        let resend = self.app.change(&call, async |tx| {
            let (mut invitation, held, given) = lock_to_manage(tx, caller, target.id).await?;
            // A new token is returned, which gives what the invitation gives.
            authority::permissions(tx, &held, None, &given)?;
            target.check_etag(&*invitation)?;
            (invitation.invited_by, invitation.by_platform) = caller.maker(None);
            invitation.token_hash = hash.clone();
            invitation.expires_at = now.after(life);
            let invitation = tx.invitations().save(invitation, Action::InvitationResent, now).await?;
            Ok(pb::ResendInvitationResponse {
                invitation: Some(invitation.into()),
                plaintext_token: plaintext.expose().to_owned(),
            })
        });
        Ok(Response::new(resend.await?))
    }

    async fn revoke_invitation(
        &self,
        request: Request<pb::RevokeInvitationRequest>,
    ) -> Result<Response<pb::RevokeInvitationResponse>, Status> {
        let (call, target) =
            called_to_act(request, |r| convert::target::<InvitationId>("invitation_id", &r.invitation_id, r.etag))?;
        let revoke = self.app.change(&call, async |tx| {
            let (invitation, ..) = lock_to_manage(tx, &call.caller, target.id).await?;
            target.check_etag(&*invitation)?;
            tx.invitations().delete(invitation, Action::InvitationRevoked).await?;
            Ok(pb::RevokeInvitationResponse {})
        });
        Ok(Response::new(revoke.await?))
    }

    async fn accept_invitation(
        &self,
        request: Request<pb::AcceptInvitationRequest>,
    ) -> Result<Response<pb::AcceptInvitationResponse>, Status> {
        let (call, (key, user_id, access_token)) = called_to_act(request, convert::invitation::accept)?;
        let (caller, now) = (&call.caller, self.app.now());
        let user_id = answering(caller, user_id)?;
        let shown = &Shown::read(&self.app, caller, &access_token, now).await?;
        let presented = Presented::read(&key)?;
        let membership_id = self.app.new_id(now);
        let accept = self.app.change(&call, async |tx| {
            let user = tx.users().lock(&caller.reach(), user_id).await?.ok_or(Error::NotFound(Entity::User))?;
            guards::is_own(caller, user_id)?;
            let (organization, invitation) = lock(tx, &Reach::Everything, presented.id).await?;
            presented.is_of(&invitation)?;
            is_invited(&invitation, &presented, &user)?;
            guards::active_user(&user)?;
            guards::is_open_to(caller, &organization)?;
            if invitation.is_expired(now) {
                return Err(Error::Precondition(Precondition::InvitationExpired));
            }
            has_ground(tx, &invitation).await?;
            let most = self.app.policy.max_members;
            guards::has_room(Limit::Members, most, tx.memberships().count(&organization)).await?;
            if invitation.role.is_owner() {
                guards::may_own_another(tx, caller, &user, self.app.policy.max_organizations).await?;
            }
            guards::may_join_another(tx, caller, &user).await?;
            let new = NewMembership {
                user_id,
                organization_id: organization.id,
                role: invitation.role.clone(),
                permissions: Permissions::default(),
            };
            let membership = new.to_membership(membership_id, now);
            authority::by_invitation(tx);
            tx.memberships().insert(&membership).await?;
            if presented.token_hash.is_some() && user.email_verified_at.is_none() {
                verify_by_invitation(tx, caller, user, shown, now).await?;
            }
            tx.invitations().delete(invitation, Action::InvitationAccepted).await?;
            Ok(pb::AcceptInvitationResponse { membership: Some(membership.into()) })
        });
        Ok(Response::new(accept.await?))
    }

    async fn decline_invitation(
        &self,
        request: Request<pb::DeclineInvitationRequest>,
    ) -> Result<Response<pb::DeclineInvitationResponse>, Status> {
        let (call, (key, user_id)) = called_to_act(request, convert::invitation::decline)?;
        let caller = &call.caller;
        let presented = Presented::read(&key)?;
        let user_id = if presented.token_hash.is_some() { None } else { Some(answering(caller, user_id)?) };
        let decline = self.app.change(&call, async |tx| {
            let user = match user_id {
                Some(id) => Some(guards::own_user(tx, caller, id).await?),
                None => None,
            };
            let (_organization, invitation) = lock(tx, &Reach::Everything, presented.id).await?;
            presented.is_of(&invitation)?;
            if let Some(user) = user {
                is_invited(&invitation, &presented, &user)?;
            }
            tx.invitations().delete(invitation, Action::InvitationDeclined).await?;
            Ok(pb::DeclineInvitationResponse {})
        });
        Ok(Response::new(decline.await?))
    }
}
