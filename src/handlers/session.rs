//! How sessions begin and go on, whichever method asks: for RefreshTokenService the refresh token alone, for AuthenticationService with an
//! access token beside it.

use std::sync::{Mutex, PoisonError};

use crate::{
    context::App,
    db::Conn,
    error::{Entity, Error, Precondition, Result},
    models::{
        Call, FamilyId, NewSession, OrganizationId, Permissions, Plaintext, Reach, RefreshToken, RefreshTokenId, RevokedReason,
        RoleName, Sealed, SecretHash, Timestamp, UserId, permission,
        permission::{Held, Standing},
    },
    repositories,
    security::{
        access_token::Claims,
        random,
        sealing::Place,
        token::{mint_refresh_token, read_refresh_token},
    },
};

/// Longest permissions, as JSON, that an access token carries: it has to fit into the headers of a call.
const MAX_PERMISSIONS_BYTES: usize = 4096;

/// A token that may be answered: the row, and the secret that is told once.
pub(super) struct Told {
    pub(super) token: RefreshToken,
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
    presented: Option<(RefreshTokenId, SecretHash)>,
    organization: Option<Option<OrganizationId>>,
}

impl<'a> Going<'a> {
    pub(super) fn new(call: &'a Call, presented: &Plaintext, organization: Option<Option<OrganizationId>>) -> Self {
        Self { call, presented: read_refresh_token(presented.expose()), organization }
    }
}

/// A token as it was read before the transaction, to be traded by one statement. Only the first try has it.
pub(super) struct AsRead(Mutex<Option<repositories::Presented>>);

pub(super) fn rejected() -> Error {
    Error::Precondition(Precondition::RefreshTokenRejected)
}

/// Stores the first token of a new session of a user who is active. Of a user who has as many sessions as may be the oldest end.
pub(super) async fn begin(app: &App, tx: &mut Conn, token: &RefreshToken, now: Timestamp) -> Result<()> {
    let most = app.policy.max_sessions;
    if most > 0 {
        let beyond = tx.refresh_tokens().beyond(token.user_id, most, now).await?;
        let mut ending = Vec::with_capacity(beyond.len());
        for family in beyond {
            ending.extend(tx.refresh_tokens().lock_family(&Reach::Everything, family).await?);
        }
        tx.refresh_tokens().revoke(&ending, RevokedReason::Revoked, now).await?;
    }
    tx.refresh_tokens().insert(token).await
}

/// The first token of a session, not yet stored.
pub(super) fn first_token(app: &App, call: &Call, new: &NewSession, now: Timestamp) -> (RefreshToken, Plaintext) {
    let id = app.new_id(now);
    let (plaintext, hash) = mint_refresh_token(id);
    (new.to_refresh_token(id, hash, call.caller.api_key_id(), app.policy.lifetimes, now), plaintext)
}

/// Reads a presented token before the transaction that trades it. Almost every token is presented once, by one: where a statement has a
/// way to go, it is then traded by the one statement that the transaction has.
pub(super) async fn read(app: &App, going: &Going<'_>, now: Timestamp) -> Result<AsRead> {
    let read = match &going.presented {
        Some((id, hash)) if app.db.has_round_trips() => {
            let reach = going.call.caller.reach();
            app.db.read(async |conn| conn.refresh_tokens().get_presented(&reach, *id, hash).await).await?
        }
        _ => None,
    };
    Ok(AsRead(Mutex::new(read.filter(|presented| presented.is_tradable(now)))))
}

/// Trades a presented token for its successor. `None` for one that cannot be used; what that changed, such as the end of a family whose
/// token came twice, is to be committed.
pub(super) async fn go_on(
    app: &App,
    tx: &mut Conn,
    going: &Going<'_>,
    as_read: &AsRead,
    now: Timestamp,
) -> Result<Option<Told>> {
    let Some((id, hash)) = &going.presented else { return Ok(None) };
    let reach = going.call.caller.reach();
    let as_read = as_read.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    let presented = match as_read {
        Some(presented) => Some(presented),
        None => tx.refresh_tokens().get_presented(&reach, *id, hash).await?,
    };
    let Some(presented) = presented else { return Ok(None) };
    let token = presented.token();
    // Whoever has somebody else's token learns nothing, and ends nothing.
    if !token.goes_on_with(going.call.caller.api_key_id()) {
        return Ok(None);
    }
    if presented.is_tradable(now) {
        return trade(app, tx, going, presented, now).await;
    }
    if token.rotated_at.is_none() || token.revoked_at.is_some() {
        return Ok(None);
    }
    let family = tx.refresh_tokens().lock_family(&reach, token.family_id).await?;
    let again = unused_successor(app, tx, &presented, now).await?;
    if let (Some(family), None) = (family, &again) {
        tx.refresh_tokens().revoke(&[family], RevokedReason::Reused, now).await?;
    }
    Ok(again.filter(|_| presented.user_is_active()))
}

/// Trades a token that can be traded, if the organization that its session is for is open to the user.
async fn trade(
    app: &App,
    tx: &mut Conn,
    going: &Going<'_>,
    presented: repositories::Presented,
    now: Timestamp,
) -> Result<Option<Told>> {
    let token = presented.token();
    let organization = going.organization.unwrap_or(token.organization_id);
    let standing = match standing(tx, token, organization).await {
        Ok(standing) => standing,
        // Who chooses another one is told why not.
        Err(error) if going.organization.is_some() => return Err(error),
        Err(Error::NotFound(_) | Error::Precondition(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let id = app.new_id(now);
    let (plaintext, hash) = mint_refresh_token(id);
    let mut successor = token.successor(id, hash, app.policy.lifetimes.token, now);
    successor.organization_id = organization;
    let grace = !app.policy.rotation_grace.is_zero();
    let sealed = grace.then(|| seal(app, &plaintext, token));
    tx.refresh_tokens().rotate(presented, &successor, sealed, now).await?;
    Ok(Some(Told { token: successor, plaintext, standing }))
}

/// The successor of a traded token, if it may be told again: within the grace, and not yet used itself.
async fn unused_successor(
    app: &App,
    tx: &mut Conn,
    presented: &repositories::Presented,
    now: Timestamp,
) -> Result<Option<Told>> {
    let token = presented.token();
    let (Some(rotated_at), Some(sealed)) = (token.rotated_at, &token.successor_sealed) else { return Ok(None) };
    if now >= rotated_at.after(app.policy.rotation_grace) {
        return Ok(None);
    }
    let successor = tx.refresh_tokens().get_current_successor(presented).await?;
    let Some(successor) = successor.filter(|successor| successor.is_live(now)) else { return Ok(None) };
    let standing = match standing(tx, &successor, successor.organization_id).await {
        Ok(standing) => standing,
        Err(Error::NotFound(_) | Error::Precondition(_)) => return Ok(None),
        // A database that does not answer says nothing against the token.
        Err(error) => return Err(error),
    };
    let secret = app.keys.open(sealed, place(token)).map_err(Error::SealedValueUnreadable)?;
    let plaintext = Plaintext::new(String::from_utf8_lossy(&secret).into_owned());
    Ok(Some(Told { token: successor, plaintext, standing }))
}

fn seal(app: &App, secret: &Plaintext, token: &RefreshToken) -> Sealed {
    app.keys.seal(secret.expose().as_bytes(), place(token))
}

/// Where the sealed secret of a token's successor belongs.
fn place(token: &RefreshToken) -> Place<'static> {
    Place { table: "cf_refresh_tokens", column: "successor_sealed", row: token.id.0, owner: token.user_id.0 }
}

/// How a session's user stands in an organization that it is to be for. Refuses one that is not open to the user.
pub(super) async fn standing(
    conn: &mut Conn,
    token: &RefreshToken,
    organization: Option<OrganizationId>,
) -> Result<Option<Standing>> {
    let Some(organization) = organization else { return Ok(None) };
    let standing = conn.memberships().standing(&Reach::Everything, token.user_id, organization).await?;
    let standing = standing.ok_or(Error::NotFound(Entity::Organization))?;
    if !standing.organization_is_active {
        return Err(Error::Precondition(Precondition::OrganizationSuspended));
    }
    Ok(Some(standing))
}

/// Makes an access token of a session.
pub(super) fn access_token(app: &App, told: &Told, now: Timestamp) -> Result<AccessToken> {
    let seconds = |time: Timestamp| time.as_micros().div_euclid(1_000_000);
    let token = &told.token;
    let parties = app.signing_keys.parties();
    // It ends with its session, and at a whole second, as it says.
    let ends = seconds(now.after(app.policy.access_token_life).min(token.family_expires_at));
    let claims = Claims {
        iss: parties.issuer.clone(),
        sub: token.user_id.0,
        aud: parties.audience.clone(),
        exp: ends,
        nbf: seconds(now),
        iat: seconds(now),
        jti: random::uuid(now),
        sid: token.family_id.0,
        client_id: token.api_key_id.map(|id| id.to_string()).unwrap_or_default(),
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
    let (user, session) = (UserId(claims.sub), FamilyId(claims.sid));
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
