//! Invitations.
//!
//! Like every change of a membership, every change of an invitation locks the organization first, so that one call at a time decides
//! who is invited and who becomes a member. A call that creates a membership locks the user before that.

use std::time::Duration;

use super::{
    App, authority, change::Answer, ending, guards, presented_credentials::PresentedCredentials, target::Target,
};
use crate::{
    db::Conn,
    error::{Entity, Error, Limit, Precondition, Result, Taken},
    models::{
        Action, ApiKey, Call, Caller, HeldPermissions, Invitation, InvitationFilter, InvitationId, InvitationKey,
        Membership, MembershipKey, NewInvitation, NewMembership, NormalizedEmail, Organization, Page, PageRequest,
        Plaintext, Reach, SecretHash, ShownInvitation, Timestamp, User, UserId, permission,
    },
    repositories::Locked,
};

/// Maximum number of invitations of an organization.
const MAX_INVITATIONS: u32 = 1000;

/// An invitation and its new token, which is returned only once.
pub struct IssuedInvitation {
    /// The invitation.
    pub invitation: ShownInvitation,
    /// The token in clear.
    pub plaintext_token: Plaintext,
}

/// Creates an invitation.
pub async fn create<A: Answer>(
    app: &App,
    call: &Call,
    new: &NewInvitation,
    answer: fn(IssuedInvitation) -> A,
) -> Result<A> {
    app.change(call, async |tx| create_in(app, tx, call, new).await, answer).await
}

/// Creates an invitation in a transaction.
pub(super) async fn create_in(app: &App, tx: &mut Conn, call: &Call, new: &NewInvitation) -> Result<IssuedInvitation> {
    let (caller, now) = (&call.caller, app.now());
    let organization = guards::lock_organization(tx, caller, new.organization_id).await?;
    let held = guards::may_change(tx, caller, &organization, permission::WRITE_INVITATIONS).await?;
    let given = guards::has_role(tx, organization.id, &new.role).await?;
    authority::permissions(tx, caller, &held, None, &given)?;
    let members = Reach::Organization(organization.id);
    if tx.users().get_by_email(&members, new.email.normalized()).await?.is_some() {
        return Err(Error::Taken(Taken::Member));
    }
    let former = tx.invitations().lock_to(&organization, new.email.normalized()).await?;
    if former.as_ref().is_some_and(|former| !former.is_expired(now)) {
        return Err(Error::Taken(Taken::Invitation));
    }
    // The invitation that is replaced does not count.
    let replaced = i64::from(former.is_some());
    let count = async { Ok(tx.invitations().count(&organization).await? - replaced) };
    guards::has_room(Limit::Invitations, MAX_INVITATIONS, count).await?;
    if let Some(former) = former {
        tx.invitations().make_room(former).await?;
    }
    let id = app.new_id(now);
    let (plaintext_token, hash) = app.secrets.mint_invitation_token(id);
    let invitation = new.to_invitation(id, hash, caller, now);
    tx.invitations().insert(&organization, &invitation).await?;
    let invitation = ShownInvitation::new(invitation, &organization);
    Ok(IssuedInvitation { invitation, plaintext_token })
}

/// Gets an invitation by id or by token. The holder of a token can see its invitation.
pub async fn get(app: &App, caller: &Caller, key: &InvitationKey) -> Result<ShownInvitation> {
    let presented = PresentedInvitation::read(app, key)?;
    let get = app.db.read(async |conn| {
        let invitation = if presented.token_hash.is_none() {
            visible(conn, caller, &presented).await?
        } else {
            let invitation = find(conn.invitations().get(&Reach::by_secret(), presented.id).await?)?;
            presented.check_token(&invitation)?;
            invitation
        };
        find(conn.invitations().shown_one(invitation).await?)
    });
    get.await
}

/// Lists a page of invitations: of an organization, or those to an address.
pub async fn list(
    app: &App,
    caller: &Caller,
    filter: &InvitationFilter,
    page: &PageRequest,
) -> Result<Page<ShownInvitation>> {
    let now = app.now();
    let list = app.db.scan(async |conn| {
        let reach = match filter {
            InvitationFilter::Organization(id) => {
                guards::may_read(conn, caller, *id, permission::READ_INVITATIONS).await?;
                caller.reach()
            }
            InvitationFilter::Email(email) => {
                may_list_of(conn, caller, email).await?;
                Reach::by_secret()
            }
        };
        let invitations = conn.invitations().list(&reach, filter, now, page).await?;
        conn.invitations().shown(invitations).await
    });
    list.await
}

/// Gives an invitation a new token and a new lifetime. The former token stops working at once.
pub async fn resend<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<InvitationId>,
    life: Duration,
    answer: fn(IssuedInvitation) -> A,
) -> Result<A> {
    let (caller, now) = (&call.caller, app.now());
    let (plaintext, hash) = app.secrets.mint_invitation_token(target.id);
    app.change(
        call,
        async |tx| {
            let (organization, mut invitation, held, given) = lock_to_manage(tx, caller, target.id).await?;
            // The new token gives what the invitation gives.
            authority::permissions(tx, caller, &held, None, &given)?;
            target.check_etag(&*invitation)?;
            invitation.sent_by(caller);
            invitation.token_hash = hash.clone();
            invitation.expires_at = now.after(life);
            let invitation = tx.invitations().save(invitation, Action::InvitationResent, now).await?;
            let invitation = ShownInvitation::new(invitation, &organization);
            Ok(IssuedInvitation { invitation, plaintext_token: plaintext.clone() })
        },
        answer,
    )
    .await
}

/// Revokes an invitation.
pub async fn revoke<A: Answer>(
    app: &App,
    call: &Call,
    target: &Target<InvitationId>,
    answer: fn(()) -> A,
) -> Result<A> {
    app.change(
        call,
        async |tx| {
            let (_organization, invitation, ..) = lock_to_manage(tx, &call.caller, target.id).await?;
            target.check_etag(&*invitation)?;
            tx.invitations().delete(invitation, Action::InvitationRevoked).await
        },
        answer,
    )
    .await
}

/// Accepts an invitation: the caller's user, or the named one, becomes a member. A token that only the platform has seen before it was
/// mailed also proves the user's mailbox. `access_token` is one of the user's, or empty.
pub async fn accept<A: Answer>(
    app: &App,
    call: &Call,
    key: &InvitationKey,
    user_id: Option<UserId>,
    access_token: &str,
    answer: fn(Membership) -> A,
) -> Result<A> {
    let (caller, now) = (&call.caller, app.now());
    let user_id = answering_user(caller, user_id)?;
    let credentials = &PresentedCredentials::read(app, caller, access_token, now).await?;
    let presented = PresentedInvitation::read(app, key)?;
    let membership_id = app.new_id(now);
    app.change_or_refuse(
        call,
        async |tx| {
            let user = guards::lock_user(tx, caller, user_id).await?;
            guards::is_own(caller, user_id)?;
            let (organization, invitation) = lock(tx, &Reach::by_secret(), presented.id).await?;
            presented.check_token(&invitation)?;
            is_invited(&invitation, &presented, &user)?;
            guards::active_user(&user)?;
            guards::is_open_to(caller, &organization)?;
            let key = MembershipKey::Ends(user_id, organization.id);
            if tx.memberships().get(&Reach::by_secret(), key).await?.is_some() {
                // There is nothing left to accept, so the invitation ends with the refusal.
                tx.invitations().delete(invitation, Action::InvitationRevoked).await?;
                return Ok(Err(Error::Taken(Taken::Membership)));
            }
            if invitation.is_expired(now) {
                return Err(Error::Precondition(Precondition::InvitationExpired));
            }
            inviter_still_covers(tx, &invitation).await?;
            // A tenant that sent the invitation has seen its token, so the token proves nothing about the mailbox.
            let is_proof = presented.token_hash.is_some() && invitation.by_platform;
            let is_unproven = user.email_verified_at.is_none();
            if is_unproven && !is_proof {
                // Otherwise a stranger who signed up with the invited address would become the member.
                credentials.open(tx, &user, now).await?;
            }
            guards::has_room_for_member(tx, &organization, app.policy.max_members).await?;
            if invitation.role.is_owner() {
                guards::may_own_another(tx, caller, &user, app.policy.max_organizations).await?;
            }
            guards::may_join_another(tx, caller, &user).await?;
            let new = NewMembership::with_role(user_id, organization.id, invitation.role.clone());
            let membership = new.to_membership(membership_id, now);
            authority::by_invitation(tx);
            tx.memberships().insert(&membership, &user).await?;
            tx.invitations().delete(invitation, Action::InvitationAccepted).await?;
            if is_proof && is_unproven {
                verify_by_invitation(tx, caller, user, credentials, now).await?;
            }
            Ok(Ok(membership))
        },
        answer,
    )
    .await
}

/// Declines an invitation: the holder of its token, the caller's user or the named one.
pub async fn decline<A: Answer>(
    app: &App,
    call: &Call,
    key: &InvitationKey,
    user_id: Option<UserId>,
    answer: fn(()) -> A,
) -> Result<A> {
    let caller = &call.caller;
    let presented = PresentedInvitation::read(app, key)?;
    let user_id = if presented.token_hash.is_some() { None } else { Some(answering_user(caller, user_id)?) };
    app.change(
        call,
        async |tx| {
            let user = match user_id {
                Some(id) => Some(guards::own_user(tx, caller, id).await?),
                None => None,
            };
            let (_organization, invitation) = lock(tx, &Reach::by_secret(), presented.id).await?;
            presented.check_token(&invitation)?;
            if let Some(user) = user {
                is_invited(&invitation, &presented, &user)?;
            }
            tx.invitations().delete(invitation, Action::InvitationDeclined).await
        },
        answer,
    )
    .await
}

fn find<T>(invitation: Option<T>) -> Result<T> {
    invitation.ok_or(Error::NotFound(Entity::Invitation))
}

/// An invitation as a caller presents it: by its id, or by the token that was mailed to the invited address.
struct PresentedInvitation {
    id: InvitationId,
    token_hash: Option<SecretHash>,
}

impl PresentedInvitation {
    fn read(app: &App, key: &InvitationKey) -> Result<Self> {
        match key {
            InvitationKey::Id(id) => Ok(Self { id: *id, token_hash: None }),
            InvitationKey::Token(token) => {
                let (id, hash) = find(app.secrets.read_invitation_token(token.expose()))?;
                Ok(Self { id, token_hash: Some(hash) })
            }
        }
    }

    /// Refuses the token of another invitation, or one from before the invitation was resent.
    fn check_token(&self, invitation: &Invitation) -> Result<()> {
        let is_other = self.token_hash.as_ref().is_some_and(|hash| !invitation.token_hash.matches(hash));
        if is_other { Err(Error::NotFound(Entity::Invitation)) } else { Ok(()) }
    }
}

/// Locks an organization and then its invitation. The invited user and the holder of the token need not see the organization.
async fn lock(tx: &mut Conn, reach: &Reach, id: InvitationId) -> Result<(Locked<Organization>, Locked<Invitation>)> {
    let found = find(tx.invitations().get(reach, id).await?)?;
    let organization = find(tx.organizations().lock(reach, found.organization_id).await?)?;
    let invitation = find(tx.invitations().lock(reach, id).await?)?;
    Ok((organization, invitation))
}

/// Locks an invitation and its organization. Refuses a caller that may not invite or whose permissions do not cover what the invitation
/// gives. Also returns what the caller holds, and what the invitation gives.
async fn lock_to_manage(
    tx: &mut Conn,
    caller: &Caller,
    id: InvitationId,
) -> Result<(Locked<Organization>, Locked<Invitation>, HeldPermissions, HeldPermissions)> {
    let (organization, invitation) = lock(tx, &caller.reach(), id).await?;
    let held = guards::may_change(tx, caller, &organization, permission::WRITE_INVITATIONS).await?;
    // A role exists as long as an invitation gives it.
    let given = guards::has_role(tx, organization.id, &invitation.role).await?;
    held.outranks(&given)?;
    Ok((organization, invitation, held, given))
}

/// Refuses an invitation whose sender no longer holds what it gives, or whose key was revoked, disabled or narrowed.
async fn inviter_still_covers(tx: &mut Conn, invitation: &Invitation) -> Result<()> {
    let expired = || Error::Precondition(Precondition::InvitationExpired);
    let works = |key: &ApiKey| key.revoked_at.is_none() && key.disabled_at.is_none();
    let key = match invitation.api_key_id {
        None => None,
        Some(id) => Some(tx.api_keys().get(&Reach::by_secret(), id).await?.filter(works).ok_or_else(expired)?),
    };
    let standing = match (invitation.invited_by, &key) {
        // From before the keys that sent invitations were recorded.
        (None, None) => return Ok(()),
        (None, Some(key)) => HeldPermissions::of_own_key(&key.scopes),
        (Some(inviter), _) => match tx.users().get(&Reach::by_secret(), inviter).await?.filter(User::is_active) {
            Some(user) if user.is_platform_admin => HeldPermissions::everything(),
            Some(_) if !invitation.by_platform => tx.memberships().held(inviter, invitation.organization_id).await?,
            _ => HeldPermissions::nothing(),
        },
    };
    let held = if let Some(key) = &key { standing.within(&key.scopes) } else { standing };
    let is_covered = guards::covers_role(tx, &held, invitation.organization_id, &invitation.role).await?;
    if is_covered { Ok(()) } else { Err(expired()) }
}

/// Refuses a user who has not proven to own the invited address, by the token that was mailed to it or by a verified e-mail.
fn is_invited(invitation: &Invitation, presented: &PresentedInvitation, user: &User) -> Result<()> {
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

/// Verifies the e-mail of a user who presented the token that was mailed to it. Credentials that a stranger may have created before are
/// removed, unless the call has presented a credential of the account.
async fn verify_by_invitation(
    tx: &mut Conn,
    caller: &Caller,
    mut user: Locked<User>,
    presented: &PresentedCredentials,
    now: Timestamp,
) -> Result<()> {
    if presented.is_of(tx, &user, now).await? {
        ending::mailed_tokens(tx, &user).await?;
    } else {
        authority::account(tx, caller, &user)?;
        ending::with_first_proof(tx, &user, now).await?;
    }
    authority::proven_account(tx);
    user.email_verified_at = Some(now);
    ending::save_proven(tx, user, Action::UserEmailVerified, now).await.map(drop)
}

/// The user who answers an invitation: the named one, or the caller's own.
fn answering_user(caller: &Caller, named: Option<UserId>) -> Result<UserId> {
    named.or(caller.user_id()).ok_or_else(|| Error::invalid("user_id", "must be a UUID"))
}

/// Finds an invitation that the caller may see without its token: of an organization whose invitations it may see, or its own.
async fn visible(conn: &mut Conn, caller: &Caller, presented: &PresentedInvitation) -> Result<Invitation> {
    let seen = match conn.invitations().get(&caller.reach(), presented.id).await? {
        None => Err(Error::NotFound(Entity::Invitation)),
        Some(found) => {
            guards::may(conn, caller, found.organization_id, permission::READ_INVITATIONS).await.map(|_| found)
        }
    };
    let (Err(Error::NotFound(_) | Error::Denied(_)), Reach::User(user)) = (&seen, caller.reach()) else { return seen };
    // The invited user sees the invitation without seeing the organization.
    let own = conn.invitations().get(&Reach::by_secret(), presented.id).await?;
    let user = conn.users().get(&caller.reach(), user).await?;
    match (own, user) {
        (Some(own), Some(user)) if is_invited(&own, presented, &user).is_ok() => Ok(own),
        _ => seen,
    }
}

/// Refuses to list the invitations to an address that is not the caller's own, or not verified.
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
