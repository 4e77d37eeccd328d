//! Sign-up, sign-in, sign-out and access tokens. Passwords and mailed tokens have their own files.

pub mod email;
pub mod one_time_token;
pub mod password;
pub mod password_reset;

use super::{
    App, authority,
    change::Answer,
    ending, guards,
    proof::{self, ClaimedAccount},
    session::{self, IssuedSession, RefreshAttempt},
};
use crate::{
    error::{Error, Precondition, Result},
    models::{
        Action, Call, Caller, Email, JsonObject, Name, NewMembership, NewOrganization, NewSession, NewUser,
        Organization, OrganizationId, Plaintext, Reach, RevokedReason, RoleName, SigningKey, Slug, User,
        session::{IpText, UserAgent},
    },
    security::access_token::Claims,
};

/// A user who signs up.
pub struct SignUp {
    /// The user to create.
    pub user: NewUser,
    /// The password.
    pub password: Plaintext,
    /// The name and the slug of an organization to create, owned by the user.
    pub organization: Option<(Name, Slug)>,
}

/// A user who has signed up.
pub struct SignedUp {
    /// The user.
    pub user: User,
    /// The organization, if one was requested.
    pub organization: Option<Organization>,
}

/// A sign-in by e-mail and password.
pub struct SignIn {
    /// The e-mail.
    pub email: Email,
    /// The password.
    pub password: Plaintext,
    /// The client that the session starts with.
    pub user_agent: Option<UserAgent>,
    /// The address that the session starts at.
    pub ip_address: Option<IpText>,
    /// The organization that the session is for.
    pub organization_id: Option<OrganizationId>,
}

/// A user who has signed in.
pub struct SignedIn {
    /// The user.
    pub user: User,
    /// The session, with its first refresh token and access token.
    pub session: IssuedSession,
}

/// The keys that verify access tokens.
pub struct PublishedKeys {
    /// The keys.
    pub keys: Vec<SigningKey>,
    /// The same keys as a JWK set.
    pub jwks: String,
}

/// Creates a user with a password, and an organization if requested.
pub async fn sign_up<A: Answer>(app: &App, call: &Call, new: SignUp, answer: fn(SignedUp) -> A) -> Result<A> {
    if let Some(answered) = app.answered(call).await? {
        return Ok(answered);
    }
    let mut names = proof::own_names(new.user.email.as_str(), new.user.name.as_str());
    if let Some((name, slug)) = &new.organization {
        names.extend([name.as_str().to_owned(), slug.as_str().to_owned()]);
        // The caller is a platform admin, but the person who signs up chooses the slug.
        guards::unreserved(&app.reserved_slugs, "organization_slug", slug)?;
    }
    proof::acceptable(app, "password", &new.password, &names)?;
    let hash = proof::hash(app, call, new.password).await?;
    let now = app.now();
    let user = new.user.into_user(app.new_id(now), now);
    let password = proof::new_password(user.id, hash, now);
    let organization = new.organization.map(|(name, slug)| {
        let new = NewOrganization {
            name,
            slug: Some(slug.clone()),
            owner_user_id: user.id,
            logo_url: None,
            plan: None,
            settings: JsonObject::default(),
            external_id: None,
            private_metadata: JsonObject::default(),
            allow_reserved_slug: false,
        };
        let organization = new.to_organization(app.new_id(now), slug, app.plans.first(), now);
        let owner = NewMembership::with_role(user.id, organization.id, RoleName::owner());
        let membership = owner.to_membership(app.new_id(now), now);
        (organization, membership)
    });
    app.change(
        call,
        async |tx| {
            tx.users().insert(&user).await?;
            authority::proven_account(tx);
            authority::own_organization(tx);
            tx.passwords().insert(&user, &password, Action::UserPasswordSet).await?;
            if let Some((organization, membership)) = &organization {
                tx.organizations().insert(organization, user.id).await?;
                tx.memberships().insert(membership, &user).await?;
            }
            let organization = organization.as_ref().map(|(organization, _)| organization.clone());
            Ok(SignedUp { user: user.clone(), organization })
        },
        answer,
    )
    .await
}

/// Starts a session for the user who proves an e-mail and a password.
pub async fn sign_in<A: Answer>(app: &App, call: &Call, request: SignIn, answer: fn(SignedIn) -> A) -> Result<A> {
    if let Some(answered) = app.answered(call).await? {
        return Ok(answered);
    }
    let claimed = ClaimedAccount::by_email(app, request.email.normalized()).await?;
    let address = request.ip_address.as_ref();
    let proof =
        Box::pin(proof::prove(app, call, claimed, request.password, address, Precondition::SignInRejected)).await?;
    let now = app.now();
    let new = NewSession {
        user_id: proof.user.id,
        by_password: true,
        user_agent: request.user_agent,
        ip_address: request.ip_address,
        organization_id: request.organization_id,
    };
    let issued = session::create(app, call, &new, now);
    let sign_in = app.change(
        call,
        async |tx| {
            let user = proof.lock_user(tx, Precondition::SignInRejected).await?;
            // The same answer as for a wrong password: a sign-in form must not reveal who the platform admins are.
            authority::may_authenticate(&call.caller, &user)
                .map_err(|_| Error::Precondition(Precondition::SignInRejected))?;
            authority::proven_session(tx);
            let standing = session::standing(tx, &issued.session, issued.session.organization_id).await?;
            proof.rehash(tx).await?;
            tx.passwords().happened(&user, Action::UserSignedIn);
            session::start(app, tx, &user, &issued.session, now).await?;
            let session = session::with_access_token(app, IssuedSession { standing, ..issued.clone() }, now)?;
            Ok(SignedIn { user: user.into_inner(), session })
        },
        answer,
    );
    Box::pin(sign_in).await
}

/// Exchanges a refresh token for the next one and an access token. `organization`, if set, is the organization that the session is for
/// from now on, or none.
pub async fn refresh<A: Answer>(
    app: &App,
    call: &Call,
    token: &Plaintext,
    organization: Option<Option<OrganizationId>>,
    answer: fn(IssuedSession) -> A,
) -> Result<A> {
    let now = app.now();
    let attempt = &RefreshAttempt::new(app, call, token, organization);
    let prefetched = &session::prefetch(app, attempt, now).await?;
    app.change_or_refuse(
        call,
        async |tx| {
            authority::proven_session(tx);
            let Some(issued) = session::refresh(app, tx, attempt, prefetched, now).await? else {
                return Ok(Err(session::token_rejected()));
            };
            Ok(Ok(session::with_access_token(app, issued, now)?))
        },
        answer,
    )
    .await
}

/// Ends the session of a refresh token or, without one, the caller's own, or all sessions of its user. `answer` receives how many ended.
pub async fn sign_out<A: Answer>(
    app: &App,
    call: &Call,
    token: Option<&Plaintext>,
    all_sessions: bool,
    answer: fn(i64) -> A,
) -> Result<A> {
    let (reach, now) = (call.caller.reach(), app.now());
    let own = call.caller.session().zip(call.caller.user_id());
    if token.is_none() && own.is_none() {
        return Err(Error::invalid("plaintext_token", "must not be empty"));
    }
    app.change(
        call,
        async |tx| {
            let session = match (token, own) {
                (Some(token), _) => session::find_by_token(app, tx, &reach, token).await?,
                (None, Some((own, _))) => tx.sessions().get(&reach, own).await?,
                (None, None) => None,
            };
            let session = session.ok_or_else(session::token_rejected)?;
            if all_sessions {
                // Locked, so that no session starts meanwhile.
                let user = tx.users().lock(&Reach::by_secret(), session.user_id).await?;
                let ended = session::end_all(tx, session.user_id, None, now).await?;
                if let Some(user) = user {
                    ending::mailed_tokens(tx, &user).await?;
                }
                return Ok(ended);
            }
            let ended = tx.sessions().end(&session, RevokedReason::Revoked, now).await?;
            Ok(i64::try_from(ended).unwrap_or(i64::MAX))
        },
        answer,
    )
    .await
}

/// Gets the keys that verify access tokens now or later.
pub fn signing_keys(app: &App) -> PublishedKeys {
    let now = app.now();
    PublishedKeys { keys: app.signing_keys.current(now), jwks: app.signing_keys.jwks(now) }
}

/// Gets the claims of an access token, with the current role and permissions of its user. `None` for a token that is no longer valid or
/// is outside the caller's reach.
pub async fn introspect(app: &App, caller: &Caller, access_token: &Plaintext) -> Result<Option<Claims>> {
    let now = app.now();
    let claims = app.signing_keys.verify(access_token.expose(), now).await?;
    let claims = claims.filter(|claims| match caller.reach() {
        Reach::Everything(_) => true,
        Reach::Organization(id) => claims.org_id == Some(id.0),
        Reach::User(id) => claims.sub == id.0,
    });
    let current = match &claims {
        Some(claims) => app.db.read(async |conn| session::current_claims(conn, claims, now).await).await?,
        None => None,
    };
    if current.is_none() {
        // Not rate limited: a signature cannot be guessed, and the caller introspects tokens of all its users.
        app.attempts.failed("introspected_token");
    }
    Ok(current)
}
