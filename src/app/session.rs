//! How sessions begin and go on, whichever method asks: for RefreshTokenService the refresh token alone, for AuthenticationService with an
//! access token beside it.

use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use crate::{
    app::App,
    db::Conn,
    error::{Entity, Error, Precondition, Result},
    models::{
        Call, Locked, NewSession, OrganizationId, Permissions, Plaintext, Reach, RevokedReason, RoleName, Session,
        SessionId, Timestamp, TokenState, User, UserId,
        permission::{self, Held, Standing},
    },
    repositories,
    security::{
        access_token::Claims,
        random,
        sealing::Place,
        token::{PresentedToken, SessionSecret, read_refresh_token},
    },
};

/// Longest permissions, as JSON, that an access token carries: it has to fit into the headers of a call.
const MAX_PERMISSIONS_BYTES: usize = 4096;

/// A session that may be answered, and its current token, which is returned once.
pub(super) struct Told {
    pub(super) session: Session,
    pub(super) plaintext: Plaintext,
    /// How its user stands in the organization that the session is for.
    pub(super) standing: Option<Standing>,
}

/// An access token, and when it expires.
pub(super) struct AccessToken {
    pub(super) text: String,
    pub(super) expires_at: Timestamp,
}

/// A session that goes on: which call asks, with which token, and for which organization from now on, if the call says.
pub(super) struct Going<'a> {
    pub(super) call: &'a Call,
    presented: Option<PresentedToken>,
    organization: Option<Option<OrganizationId>>,
}

impl<'a> Going<'a> {
    pub(super) fn new(call: &'a Call, presented: &Plaintext, organization: Option<Option<OrganizationId>>) -> Self {
        Self { call, presented: read_refresh_token(presented.expose()), organization }
    }
}

/// A session as it was read before the transaction, to be refreshed by one statement. Only the first try has it.
pub(super) struct AsRead(Mutex<Option<repositories::Presented>>);

pub(super) fn rejected() -> Error {
    Error::Precondition(Precondition::RefreshTokenRejected)
}

/// Stores a new session of a locked user. Of a user who has as many sessions as may be the oldest end.
pub(super) async fn begin(
    app: &App,
    tx: &mut Conn,
    user: &Locked<User>,
    session: &Session,
    now: Timestamp,
) -> Result<()> {
    tx.refresh_tokens().make_room(user, app.policy.max_sessions, now).await?;
    tx.refresh_tokens().insert(user, session).await
}

/// A new session, not yet stored, and its first token.
pub(super) fn first_token(app: &App, call: &Call, new: &NewSession, now: Timestamp) -> (Session, Plaintext) {
    let (id, secret): (SessionId, _) = (app.new_id(now), SessionSecret::random());
    let place = Place { row: id.0, owner: new.user_id.0, ..PLACE };
    let sealed = app.keys.seal(secret.as_bytes(), place);
    let session = new.to_session(id, sealed, call.caller.api_key_id(), app.policy.lifetimes, now);
    let plaintext = secret.refresh_token(id, session.generation);
    (session, plaintext)
}

/// Where the sealed secret of a session belongs.
const PLACE: Place<'static> =
    Place { table: "cf_refresh_tokens", column: "secret_sealed", row: Uuid::nil(), owner: Uuid::nil() };

/// What a session's tokens are made with.
fn secret_of(app: &App, session: &Session) -> Result<SessionSecret> {
    let place = Place { row: session.id.0, owner: session.user_id.0, ..PLACE };
    let secret = app.keys.open(&session.secret_sealed, place).map_err(Error::SealedValueUnreadable)?;
    SessionSecret::from_bytes(&secret).ok_or_else(|| Error::internal("a sealed secret of a session is invalid"))
}

/// The session that made a presented token, be it current or spent.
pub(super) async fn of_token(
    app: &App,
    tx: &mut Conn,
    reach: &Reach,
    presented: &Plaintext,
) -> Result<Option<Session>> {
    let Some(token) = read_refresh_token(presented.expose()) else { return Ok(None) };
    let Some(session) = tx.refresh_tokens().get(reach, token.session).await? else { return Ok(None) };
    let is_own = secret_of(app, &session)?.has_made(&token);
    let is_made = is_own && session.state_of(token.generation) != TokenState::Unknown;
    Ok(is_made.then_some(session))
}

/// Reads the session of a presented token before the transaction that refreshes it. Almost every token is presented once, by one: where
/// a statement has a way to go, the session is then refreshed by the one statement that the transaction has.
pub(super) async fn read(app: &App, going: &Going<'_>, now: Timestamp) -> Result<AsRead> {
    let read = match &going.presented {
        Some(token) if app.db.has_round_trips() => {
            let reach = going.call.caller.reach();
            app.db.read(async |conn| conn.refresh_tokens().get_presented(&reach, token.session).await).await?
        }
        _ => None,
    };
    Ok(AsRead(Mutex::new(read.filter(|presented| presented.is_live(now)))))
}

/// Trades a presented token for the session's next one. `None` for one that cannot be used; what that changed, such as the end of a
/// session whose spent token came again, is to be committed.
pub(super) async fn go_on(
    app: &App,
    tx: &mut Conn,
    going: &Going<'_>,
    as_read: &AsRead,
    now: Timestamp,
) -> Result<Option<Told>> {
    let Some(token) = &going.presented else { return Ok(None) };
    let as_read = as_read.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    let presented = match as_read {
        Some(presented) => Some(presented),
        None => tx.refresh_tokens().get_presented(&going.call.caller.reach(), token.session).await?,
    };
    let Some(presented) = presented else { return Ok(None) };
    let session = presented.session();
    let secret = secret_of(app, session)?;
    // A caller with somebody else's token, or a forged one, learns nothing and ends nothing.
    if !secret.has_made(token) || !session.goes_on_with(going.call.caller.api_key_id()) {
        return Ok(None);
    }
    match session.state_of(token.generation) {
        TokenState::Current if presented.is_live(now) => trade(app, tx, going, presented, &secret, now).await,
        TokenState::Current | TokenState::Unknown => Ok(None),
        TokenState::Predecessor if is_in_grace(app, session, now) => again(tx, presented, &secret, now).await,
        TokenState::Predecessor | TokenState::Spent => {
            tx.refresh_tokens().end(session, RevokedReason::Reused, now).await?;
            Ok(None)
        }
    }
}

/// Trades the current token of a live session, if the organization that the session is for is open to the user.
async fn trade(
    app: &App,
    tx: &mut Conn,
    going: &Going<'_>,
    presented: repositories::Presented,
    secret: &SessionSecret,
    now: Timestamp,
) -> Result<Option<Told>> {
    let session = presented.session();
    let organization = going.organization.unwrap_or(session.organization_id);
    let standing = match standing(tx, session, organization).await {
        Ok(standing) => standing,
        // Who chooses another one is told why not.
        Err(error) if going.organization.is_some() => return Err(error),
        Err(Error::NotFound(_) | Error::Precondition(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(refreshed) = session.refreshed(organization, app.policy.lifetimes.token, now) else { return Ok(None) };
    tx.refresh_tokens().rotate(presented, &refreshed).await?;
    Ok(Some(told(refreshed, secret, standing)))
}

/// True if a session was refreshed so lately that the token which was traded then may be answered again. Without a grace never: of two
/// calls at once, the one that came first may look at what the other one has written, and finds it in its future.
fn is_in_grace(app: &App, session: &Session, now: Timestamp) -> bool {
    let grace = app.policy.rotation_grace;
    !grace.is_zero() && session.rotated_at.is_some_and(|rotated_at| now < rotated_at.after(grace))
}

/// The current token once more, for the one that was traded for it. As that one is the last that was traded, the current one is unused.
async fn again(
    tx: &mut Conn,
    presented: repositories::Presented,
    secret: &SessionSecret,
    now: Timestamp,
) -> Result<Option<Told>> {
    let session = presented.session();
    if !presented.is_live(now) {
        return Ok(None);
    }
    match standing(tx, session, session.organization_id).await {
        Ok(standing) => Ok(Some(told(session.clone(), secret, standing))),
        Err(Error::NotFound(_) | Error::Precondition(_)) => Ok(None),
        // A database that does not answer says nothing against the token.
        Err(error) => Err(error),
    }
}

fn told(session: Session, secret: &SessionSecret, standing: Option<Standing>) -> Told {
    let plaintext = secret.refresh_token(session.id, session.generation);
    Told { session, plaintext, standing }
}

/// How a session's user stands in an organization that it is to be for. Refuses one that is not open to the user.
pub(super) async fn standing(
    conn: &mut Conn,
    session: &Session,
    organization: Option<OrganizationId>,
) -> Result<Option<Standing>> {
    let Some(organization) = organization else { return Ok(None) };
    let standing = conn.memberships().standing(&Reach::Everything, session.user_id, organization).await?;
    let standing = standing.ok_or(Error::NotFound(Entity::Organization))?;
    if !standing.organization_is_active {
        return Err(Error::Precondition(Precondition::OrganizationSuspended));
    }
    Ok(Some(standing))
}

/// Makes an access token of a session.
pub(super) fn access_token(app: &App, told: &Told, now: Timestamp) -> Result<AccessToken> {
    let seconds = |time: Timestamp| time.as_micros().div_euclid(1_000_000);
    let session = &told.session;
    let parties = app.signing_keys.parties();
    // It ends with its session, and at a whole second, as it says.
    let ends = seconds(now.after(app.policy.access_token_life).min(session.family_expires_at));
    let claims = Claims {
        iss: parties.issuer.clone(),
        sub: session.user_id.0,
        aud: parties.audience.clone(),
        exp: ends,
        nbf: seconds(now),
        iat: seconds(now),
        jti: random::uuid(now),
        sid: session.id.0,
        client_id: session.api_key_id.map(|id| id.to_string()).unwrap_or_default(),
        org_id: told.standing.as_ref().map(|standing| standing.membership.organization_id.0),
        org_role: told.standing.as_ref().map(|standing| standing.membership.role.as_str().to_owned()),
        org_permissions: told.standing.as_ref().and_then(permissions),
    };
    let expires_at = Timestamp::from_micros(ends.saturating_mul(1_000_000)).unwrap_or(now);
    Ok(AccessToken { text: app.signing_keys.sign(&claims, now)?, expires_at })
}

/// What an access token says, as things stand now. `None` once its session has ended, or once its user, or the organization that it is for,
/// is not active any more or no longer has the user as a member.
pub(super) async fn as_it_stands(conn: &mut Conn, claims: &Claims, now: Timestamp) -> Result<Option<Claims>> {
    let (user, session) = (UserId(claims.sub), SessionId(claims.sid));
    if conn.refresh_tokens().standing(user, session, now).await?.is_none() {
        return Ok(None);
    }
    let Some(organization) = claims.org_id else { return Ok(Some(claims.clone())) };
    let standing = conn.memberships().standing(&Reach::Everything, user, OrganizationId(organization)).await?;
    Ok(standing.filter(|standing| standing.organization_is_active).map(|standing| Claims {
        org_role: Some(standing.membership.role.as_str().to_owned()),
        org_permissions: permissions(&standing),
        ..claims.clone()
    }))
}

/// What a member may do, as an access token tells it: everything for an owner, and otherwise the permissions of this service that it
/// holds and all that its role and its membership give. `None` where they are too many to be carried.
fn permissions(standing: &Standing) -> Option<Vec<String>> {
    let membership = &standing.membership;
    let own = standing.role.as_ref().map(|role| role.permissions.clone()).unwrap_or_default();
    let texts: Vec<String> = if membership.role.as_str() == RoleName::OWNER {
        vec!["*".to_owned()]
    } else {
        let held = Held::by(&membership.role, &membership.permissions).and(&own);
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
