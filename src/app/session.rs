//! How sessions start, are refreshed and end. Methods of RefreshTokenService return only the refresh token, those of
//! AuthenticationService also an access token.

use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use super::{App, change::Answer, ending, guards};
use crate::{
    db::Conn,
    error::{Entity, Error, Precondition, Result},
    models::{
        Call, Caller, NewSession, OrganizationId, Page, PageRequest, Permissions, Plaintext, Reach, RevokedReason,
        RoleName, Session, SessionId, Timestamp, TokenState, User, UserId,
        permission::{self, HeldPermissions, Standing},
    },
    repositories::{self, Locked, SentInvitations},
    security::{
        access_token::Claims,
        random,
        sealing::SealedAt,
        token::{PresentedToken, SessionSecret},
    },
};

/// Maximum size, as JSON, of the permissions in an access token, which must fit into the headers of a call.
const MAX_PERMISSIONS_BYTES: usize = 4096;

/// A session and its current refresh token, which is returned only once.
#[derive(Clone)]
pub struct IssuedSession {
    /// The session.
    pub session: Session,
    /// Its current refresh token.
    pub refresh_token: Plaintext,
    /// An access token, where the method returns one.
    pub access_token: Option<AccessToken>,
    /// The role and permissions of its user in the organization of the session. `None` for a session without one.
    pub(super) standing: Option<Standing>,
}

/// A signed access token.
#[derive(Clone)]
pub struct AccessToken {
    /// The JWT.
    pub text: String,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// An attempt to refresh a session with a presented token.
pub(super) struct RefreshAttempt<'a> {
    call: &'a Call,
    /// `None` for a malformed token.
    presented: Option<PresentedToken>,
    /// Set if the call chooses the session's organization from now on, or none.
    organization: Option<Option<OrganizationId>>,
}

impl<'a> RefreshAttempt<'a> {
    pub(super) fn new(
        app: &App,
        call: &'a Call,
        presented: &Plaintext,
        organization: Option<Option<OrganizationId>>,
    ) -> Self {
        Self { call, presented: app.secrets.read_refresh_token(presented.expose()), organization }
    }
}

/// A session that was read before the transaction that refreshes it. The first attempt of the transaction takes it; retries read the
/// session again.
pub(super) struct PrefetchedSession(Mutex<Option<repositories::PresentedSession>>);

/// Gets a live session.
pub async fn get(app: &App, caller: &Caller, id: SessionId) -> Result<Session> {
    let now = app.now();
    let session = app.db.read(async |conn| conn.sessions().get(&caller.reach(), id).await).await?;
    session.filter(|session| session.is_live(now)).ok_or(Error::NotFound(Entity::Session))
}

/// Lists a page of the live sessions of a user.
pub async fn list(app: &App, caller: &Caller, user_id: UserId, page: &PageRequest) -> Result<Page<Session>> {
    let now = app.now();
    let list = app.db.scan(async |conn| {
        let user = guards::own_user(conn, caller, user_id).await?;
        conn.sessions().list_live(&caller.reach(), user.id, now, page).await
    });
    list.await
}

/// Ends a session, whether or not it has ended before.
pub async fn revoke<A: Answer>(app: &App, call: &Call, id: SessionId, answer: fn(()) -> A) -> Result<A> {
    let now = app.now();
    app.change(
        call,
        async |tx| {
            let session = tx.sessions().get(&call.caller.reach(), id).await?.ok_or(Error::NotFound(Entity::Session))?;
            tx.sessions().end(&session, RevokedReason::Revoked, now).await.map(drop)
        },
        answer,
    )
    .await
}

/// Ends the sessions of a user except one, and the tokens that were mailed to the user. `answer` gets how many sessions ended.
pub async fn revoke_all<A: Answer>(
    app: &App,
    call: &Call,
    user_id: UserId,
    except: Option<SessionId>,
    answer: fn(i64) -> A,
) -> Result<A> {
    let (caller, now) = (&call.caller, app.now());
    app.change(
        call,
        async |tx| {
            // Locked, so that no session of the user starts meanwhile.
            let user = guards::lock_own_user(tx, caller, user_id).await?;
            ending::mailed_tokens(tx, &user).await?;
            end_all(tx, user.id, except, now).await
        },
        answer,
    )
    .await
}

/// The one error for a refresh token that cannot be used, whatever the cause.
pub(super) fn token_rejected() -> Error {
    Error::Precondition(Precondition::RefreshTokenRejected)
}

/// A new session, not yet stored, and its first refresh token.
pub(super) fn create(app: &App, call: &Call, new: &NewSession, now: Timestamp) -> IssuedSession {
    let (id, secret): (SessionId, _) = (app.new_id(now), SessionSecret::random());
    let place = SealedAt { row: id.0, owner: new.user_id.0, ..PLACE };
    let sealed = app.keys.seal(secret.as_bytes(), place);
    let session = new.to_session(id, sealed, call.caller.api_key_id(), app.policy.lifetimes, now);
    issue(app, session, &secret, None)
}

/// Stores a new session of a locked user. Ends the oldest sessions beyond the user's limit.
pub(super) async fn start(
    app: &App,
    tx: &mut Conn,
    user: &Locked<User>,
    session: &Session,
    now: Timestamp,
) -> Result<()> {
    tx.sessions().make_room(user, app.policy.max_sessions, now).await?;
    tx.sessions().insert(user, session).await
}

/// Ends the sessions of a user except one, with the invitations that were sent in them, and returns how many sessions ended.
pub(super) async fn end_all(tx: &mut Conn, user: UserId, except: Option<SessionId>, now: Timestamp) -> Result<i64> {
    tx.invitations().expire_sent_by(user, SentInvitations::InSessions { except }, now).await?;
    let ended = tx.sessions().end_of_user(user, except, RevokedReason::RevokedAll, now).await?;
    Ok(i64::try_from(ended).unwrap_or(i64::MAX))
}

/// The row and column that the sealed secret of a session belongs to.
const PLACE: SealedAt<'static> =
    SealedAt { table: "cf_sessions", column: "secret_sealed", row: Uuid::nil(), owner: Uuid::nil() };

/// Opens the secret from which the tokens of a session are derived.
fn secret_of(app: &App, session: &Session) -> Result<SessionSecret> {
    let place = SealedAt { row: session.id.0, owner: session.user_id.0, ..PLACE };
    let secret = app.keys.open(&session.secret_sealed, place).map_err(Error::SealedValueUnreadable)?;
    SessionSecret::from_bytes(&secret).ok_or_else(|| Error::internal("a sealed secret of a session is invalid"))
}

/// Finds the session that issued a presented refresh token, current or spent.
pub(super) async fn find_by_token(
    app: &App,
    tx: &mut Conn,
    reach: &Reach,
    presented: &Plaintext,
) -> Result<Option<Session>> {
    let Some(token) = app.secrets.read_refresh_token(presented.expose()) else { return Ok(None) };
    let Some(session) = tx.sessions().get(reach, token.session).await? else { return Ok(None) };
    let is_own = secret_of(app, &session)?.has_issued(&token);
    let is_made = is_own && session.state_of(token.generation) != TokenState::Unknown;
    Ok(is_made.then_some(session))
}

/// Reads the session of a presented token before the transaction that refreshes it. Almost every token is presented once, by one client,
/// so with a database across a network the transaction then refreshes the session with a single statement.
pub(super) async fn prefetch(app: &App, attempt: &RefreshAttempt<'_>, now: Timestamp) -> Result<PrefetchedSession> {
    let read = match &attempt.presented {
        Some(token) if app.db.is_networked() => {
            let reach = attempt.call.caller.reach();
            app.db.read(async |conn| conn.sessions().get_presented(&reach, token.session).await).await?
        }
        _ => None,
    };
    Ok(PrefetchedSession(Mutex::new(read.filter(|presented| presented.is_live(now)))))
}

/// Exchanges a presented token for the next token of its session. `None` for a token that cannot be used. The transaction must commit
/// even then, because a spent token that is presented again ends its session.
pub(super) async fn refresh(
    app: &App,
    tx: &mut Conn,
    attempt: &RefreshAttempt<'_>,
    prefetched: &PrefetchedSession,
    now: Timestamp,
) -> Result<Option<IssuedSession>> {
    let Some(token) = &attempt.presented else { return Ok(None) };
    let prefetched = prefetched.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    let presented = match prefetched {
        Some(presented) => Some(presented),
        None => tx.sessions().get_presented(&attempt.call.caller.reach(), token.session).await?,
    };
    let Some(presented) = presented else { return Ok(None) };
    let session = presented.session();
    let secret = secret_of(app, session)?;
    // A caller with a forged token, or one of another application, learns nothing and ends nothing.
    if !secret.has_issued(token) || !session.can_be_refreshed_by(attempt.call.caller.api_key_id()) {
        return Ok(None);
    }
    match session.state_of(token.generation) {
        TokenState::Current if presented.is_live(now) => rotate(app, tx, attempt, presented, &secret, now).await,
        TokenState::Current | TokenState::Unknown => Ok(None),
        TokenState::Predecessor if is_in_grace(app, session, now) => reissue(app, tx, presented, &secret, now).await,
        TokenState::Predecessor | TokenState::Spent => {
            tx.sessions().end(session, RevokedReason::Reused, now).await?;
            Ok(None)
        }
    }
}

/// Exchanges the current token of a live session, if the user may use the session's organization.
async fn rotate(
    app: &App,
    tx: &mut Conn,
    attempt: &RefreshAttempt<'_>,
    presented: repositories::PresentedSession,
    secret: &SessionSecret,
    now: Timestamp,
) -> Result<Option<IssuedSession>> {
    let session = presented.session();
    let organization = attempt.organization.unwrap_or(session.organization_id);
    let standing = match standing(tx, session, organization).await {
        Ok(standing) => standing,
        // A caller that chooses another organization learns why it was refused.
        Err(error) if attempt.organization.is_some() => return Err(error),
        Err(Error::NotFound(_) | Error::Precondition(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(refreshed) = session.refreshed(organization, app.policy.lifetimes.token, now) else { return Ok(None) };
    tx.sessions().rotate(presented, &refreshed).await?;
    Ok(Some(issue(app, refreshed, secret, standing)))
}

/// True if a session was refreshed so recently that its current token may be returned again for the token before it. Never without a
/// grace period: of two concurrent calls, the one that started first may read a refresh that the other wrote later, in its future.
fn is_in_grace(app: &App, session: &Session, now: Timestamp) -> bool {
    let grace = app.policy.rotation_grace;
    !grace.is_zero() && session.refreshed_at.is_some_and(|refreshed_at| now < refreshed_at.after(grace))
}

/// Returns the current token once more, for the token that was exchanged for it. As that was the last exchange, the current token is
/// unused.
async fn reissue(
    app: &App,
    tx: &mut Conn,
    presented: repositories::PresentedSession,
    secret: &SessionSecret,
    now: Timestamp,
) -> Result<Option<IssuedSession>> {
    let session = presented.session();
    if !presented.is_live(now) {
        return Ok(None);
    }
    match standing(tx, session, session.organization_id).await {
        Ok(standing) => Ok(Some(issue(app, session.clone(), secret, standing))),
        Err(Error::NotFound(_) | Error::Precondition(_)) => Ok(None),
        // A database failure is no verdict on the token.
        Err(error) => Err(error),
    }
}

fn issue(app: &App, session: Session, secret: &SessionSecret, standing: Option<Standing>) -> IssuedSession {
    let refresh_token = app.secrets.refresh_token(secret, session.id, session.generation);
    IssuedSession { session, refresh_token, access_token: None, standing }
}

/// The role and permissions of a session's user in the organization that the session is to be for. Refuses an organization that the
/// user is not a member of, and a suspended one.
pub(super) async fn standing(
    conn: &mut Conn,
    session: &Session,
    organization: Option<OrganizationId>,
) -> Result<Option<Standing>> {
    let Some(organization) = organization else { return Ok(None) };
    let standing = conn.memberships().standing(&Reach::by_secret(), session.user_id, organization).await?;
    // A disabled member does not see the organization.
    let standing = standing.filter(|standing| standing.membership.is_active());
    let standing = standing.ok_or(Error::NotFound(Entity::Organization))?;
    if !standing.organization_is_active {
        return Err(Error::Precondition(Precondition::OrganizationSuspended));
    }
    Ok(Some(standing))
}

/// Adds an access token to a session.
pub(super) fn with_access_token(app: &App, issued: IssuedSession, now: Timestamp) -> Result<IssuedSession> {
    let access_token = Some(access_token(app, &issued, now)?);
    Ok(IssuedSession { access_token, ..issued })
}

fn access_token(app: &App, issued: &IssuedSession, now: Timestamp) -> Result<AccessToken> {
    let seconds = |time: Timestamp| time.as_micros().div_euclid(1_000_000);
    let session = &issued.session;
    let parties = app.signing_keys.parties();
    // It ends no later than its session. A JWT counts whole seconds.
    let ends = seconds(now.after(app.policy.access_token_life).min(session.ends_at));
    let claims = Claims {
        iss: parties.issuer.clone(),
        sub: session.user_id.0,
        aud: parties.audience.clone(),
        exp: ends,
        iat: seconds(now),
        jti: random::uuid(now),
        sid: session.id.0,
        client_id: session.api_key_id.map(|id| id.to_string()).unwrap_or_default(),
        org_id: issued.standing.as_ref().map(|standing| standing.membership.organization_id.0),
        org_role: issued.standing.as_ref().map(|standing| standing.membership.role.as_str().to_owned()),
        org_permissions: issued.standing.as_ref().and_then(permissions),
    };
    let expires_at = Timestamp::from_micros(ends.saturating_mul(1_000_000)).unwrap_or(now);
    Ok(AccessToken { text: app.signing_keys.sign(&claims, now)?, expires_at })
}

/// The claims of an access token, with the current role and permissions of its user. `None` if the session has ended, the user is not
/// active or no longer an active member of the token's organization, or that organization is not active.
pub(super) async fn current_claims(conn: &mut Conn, claims: &Claims, now: Timestamp) -> Result<Option<Claims>> {
    let (user, session) = (UserId(claims.sub), SessionId(claims.sid));
    if conn.sessions().standing(user, session, now).await?.is_none() {
        return Ok(None);
    }
    let Some(organization) = claims.org_id else { return Ok(Some(claims.clone())) };
    let standing = conn.memberships().standing(&Reach::by_secret(), user, OrganizationId(organization)).await?;
    let is_in_force = |standing: &Standing| standing.organization_is_active && standing.membership.is_active();
    Ok(standing.filter(is_in_force).map(|standing| Claims {
        org_role: Some(standing.membership.role.as_str().to_owned()),
        org_permissions: permissions(&standing),
        ..claims.clone()
    }))
}

/// The permissions of a member for an access token: `*` for an owner; for others the permissions of this service that they hold, and all
/// that their role and their membership give. `None` if they are too long for a token.
fn permissions(standing: &Standing) -> Option<Vec<String>> {
    let membership = &standing.membership;
    let own = standing.role.as_ref().map(|role| role.permissions.clone()).unwrap_or_default();
    let texts: Vec<String> = if membership.role.as_str() == RoleName::OWNER {
        vec!["*".to_owned()]
    } else {
        let held = HeldPermissions::by(&membership.role, &membership.permissions).and(&own);
        let of_service = permission::OWN.into_iter().filter(|permission| held.covers(permission)).map(str::to_owned);
        let given: Permissions = own.iter().chain(membership.permissions.iter()).cloned().collect();
        let mut all: Vec<String> = of_service.chain(given.iter().map(|scope| scope.as_str().to_owned())).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    let bytes: usize = texts.iter().map(|text| text.len() + 3).sum();
    (bytes <= MAX_PERMISSIONS_BYTES).then_some(texts)
}
