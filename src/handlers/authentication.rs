//! `AuthenticationService`.

use tonic::{Request, Response, Status};

use super::{
    authority, called_by, called_to_act, ending, guards, mailed,
    proof::{self, Claimed, Proof},
    session::{self, Going, Told},
};
use crate::{
    context::App,
    convert::{self, authentication::Said},
    db::Conn,
    error::{Entity, Error, Precondition, Result, Taken},
    models::{
        Action, Call, NewMembership, Password, PasswordHash, Permissions, Reach, RevokedReason, RoleName, SessionId,
        Timestamp, User, UserId,
    },
    pb::{self, authentication_service_server::AuthenticationService},
    security::password::Hash,
};

/// Why keys are revoked with a change of the password, if the caller asks for it.
const CHANGED: &str = "the password was changed";

/// Answers `AuthenticationService`.
#[derive(Clone)]
pub struct AuthenticationHandler {
    app: App,
}

impl AuthenticationHandler {
    /// The handler on an application.
    pub fn new(app: App) -> Self {
        Self { app }
    }

    /// Compares a password with that of a user whose own it is, or whom a platform admin asks about.
    async fn prove_own(&self, call: &Call, said: Said) -> Result<Proof> {
        let found = self.app.db.read(async |conn| {
            let user = guards::own_user(conn, &call.caller, said.user_id).await?;
            let stored = conn.passwords().get(&user).await?;
            Ok((user, stored))
        });
        let (user, stored) = found.await?;
        let claimed = Claimed::by_user(&self.app, user, stored);
        let address = said.ip_address.as_ref();
        proof::prove(&self.app, call, claimed, said.password, address, Precondition::PasswordRejected).await
    }
}

/// Ends the sessions of a user but one, and tells how many.
pub(super) async fn end_sessions(
    tx: &mut Conn,
    user: UserId,
    except: Option<SessionId>,
    now: Timestamp,
) -> Result<i64> {
    let ended = tx.refresh_tokens().end_of_user(user, except, RevokedReason::RevokedAll, now).await?;
    Ok(i64::try_from(ended).unwrap_or(i64::MAX))
}

fn sign_in_rejected() -> Precondition {
    Precondition::SignInRejected
}

/// Locks an active user to be given something.
pub(super) async fn lock_active(tx: &mut Conn, call: &Call, id: UserId) -> Result<User> {
    let user = tx.users().lock(&call.caller.reach(), id).await?.ok_or(Error::NotFound(Entity::User))?;
    guards::active_user(&user)?;
    Ok(user.into_inner())
}

#[tonic::async_trait]
impl AuthenticationService for AuthenticationHandler {
    async fn sign_up(&self, request: Request<pb::SignUpRequest>) -> Result<Response<pb::SignUpResponse>, Status> {
        let (call, new) = called_to_act(request, convert::authentication::sign_up)?;
        if let Some(answer) = self.app.answered(&call).await? {
            return Ok(Response::new(answer));
        }
        let app = &self.app;
        let mut names = proof::own_names(new.user.email.as_str(), new.user.name.as_str());
        if let Some((name, slug)) = &new.organization {
            names.extend([name.as_str().to_owned(), slug.as_str().to_owned()]);
        }
        proof::acceptable(app, "password", &new.password, &names)?;
        let hash = proof::hash(app, &call, new.password).await?;
        let now = app.now();
        let user = new.user.into_user(app.new_id(now), now);
        let password = proof::made_here(user.id, hash, now);
        let organization = new.organization.as_ref().map(|(name, slug)| {
            let new = convert::authentication::own_organization(name, slug, user.id);
            let organization = new.to_organization(app.new_id(now), slug.clone(), now);
            let owner = NewMembership {
                user_id: user.id,
                organization_id: organization.id,
                role: RoleName::owner(),
                permissions: Permissions::default(),
            };
            let membership = owner.to_membership(app.new_id(now), now);
            (organization, membership)
        });
        let sign_up = app.change(&call, async |tx| {
            tx.users().insert(&user).await?;
            authority::proven_account(tx);
            authority::own_organization(tx);
            tx.passwords().insert(&user, &password, Action::UserPasswordSet).await?;
            if let Some((organization, membership)) = &organization {
                tx.organizations().insert(organization, user.id).await?;
                tx.memberships().insert(membership).await?;
            }
            Ok(pb::SignUpResponse {
                user: Some(user.clone().into()),
                organization: organization.as_ref().map(|(organization, _)| organization.clone().into()),
            })
        });
        Ok(Response::new(sign_up.await?))
    }

    async fn sign_in(&self, request: Request<pb::SignInRequest>) -> Result<Response<pb::SignInResponse>, Status> {
        let (call, mut asked) = called_to_act(request, convert::authentication::sign_in)?;
        if let Some(answer) = self.app.answered(&call).await? {
            return Ok(Response::new(answer));
        }
        let app = &self.app;
        let claimed = Claimed::by_email(app, asked.email.normalized()).await?;
        let address = asked.session.ip_address.clone();
        let proof =
            Box::pin(proof::prove(app, &call, claimed, asked.password, address.as_ref(), sign_in_rejected())).await?;
        let now = app.now();
        asked.session.user_id = proof.user.id;
        let (session, plaintext) = session::first_token(app, &call, &asked.session, now);
        let sign_in = app.change(&call, async |tx| {
            let user = proof.hold(tx, sign_in_rejected()).await?;
            // Answered as a wrong password is: who the platform admins are is not told at the sign-in form.
            let may = authority::may_authenticate(&call.caller, &user);
            may.map_err(|_| Error::Precondition(sign_in_rejected()))?;
            authority::proven_session(tx);
            let standing = session::standing(tx, &session, session.organization_id).await?;
            proof.renew(tx).await?;
            tx.passwords().signed_in(&user, now).await?;
            session::begin(app, tx, &user, &session, now).await?;
            let told = Told { session: session.clone(), plaintext: plaintext.clone(), standing };
            let access_token = session::access_token(app, &told, now)?;
            Ok(pb::SignInResponse {
                user: Some(user.into_inner().into()),
                refresh_token: Some(told.session.into()),
                plaintext_token: told.plaintext.expose().to_owned(),
                access_token: access_token.text,
                access_token_expires_at: Some(convert::time(access_token.expires_at)),
            })
        });
        Ok(Response::new(Box::pin(sign_in).await?))
    }

    async fn refresh(&self, request: Request<pb::RefreshRequest>) -> Result<Response<pb::RefreshResponse>, Status> {
        let (call, (token, organization)) = called_to_act(request, convert::authentication::refresh)?;
        let (app, now) = (&self.app, self.app.now());
        let going = &Going::new(&call, &token, organization);
        let as_read = &session::read(app, going, now).await?;
        let refresh = app.change_or_refuse(&call, async |tx| {
            authority::proven_session(tx);
            let Some(told) = session::go_on(app, tx, going, as_read, now).await? else {
                return Ok(Err(session::rejected()));
            };
            let access_token = session::access_token(app, &told, now)?;
            Ok(Ok(pb::RefreshResponse {
                refresh_token: Some(told.session.into()),
                plaintext_token: told.plaintext.expose().to_owned(),
                access_token: access_token.text,
                access_token_expires_at: Some(convert::time(access_token.expires_at)),
            }))
        });
        Ok(Response::new(refresh.await?))
    }

    async fn sign_out(&self, request: Request<pb::SignOutRequest>) -> Result<Response<pb::SignOutResponse>, Status> {
        let (call, (token, all_sessions)) = called_to_act(request, convert::authentication::sign_out)?;
        let (reach, now) = (call.caller.reach(), self.app.now());
        let own = call.caller.session().zip(call.caller.user_id());
        if token.is_none() && own.is_none() {
            return Err(Error::invalid("plaintext_token", "must not be empty").into());
        }
        let sign_out = self.app.change(&call, async |tx| {
            let session = match (&token, own) {
                (Some(token), _) => session::of_token(&self.app, tx, &reach, token).await?,
                (None, Some((own, _))) => tx.refresh_tokens().get(&reach, own).await?,
                (None, None) => None,
            };
            let session = session.ok_or_else(session::rejected)?;
            if all_sessions {
                // Locked, so that none begins meanwhile.
                let user = tx.users().lock(&Reach::Everything, session.user_id).await?;
                let ended_sessions = end_sessions(tx, session.user_id, None, now).await?;
                if let Some(user) = user {
                    ending::mailed_tokens(tx, &user).await?;
                }
                return Ok(pb::SignOutResponse { ended_sessions });
            }
            let ended = tx.refresh_tokens().end(&session, RevokedReason::Revoked, now).await?;
            Ok(pb::SignOutResponse { ended_sessions: i64::try_from(ended).unwrap_or(i64::MAX) })
        });
        Ok(Response::new(sign_out.await?))
    }

    async fn verify_password(
        &self,
        request: Request<pb::VerifyPasswordRequest>,
    ) -> Result<Response<pb::VerifyPasswordResponse>, Status> {
        let (call, said) = called_to_act(request, convert::authentication::verify_password)?;
        if let Some(answer) = self.app.answered(&call).await? {
            return Ok(Response::new(answer));
        }
        let proof = Box::pin(self.prove_own(&call, said)).await?;
        let verify = self.app.change(&call, async |tx| {
            let user = proof.hold(tx, Precondition::PasswordRejected).await?;
            proof.renew(tx).await?;
            tx.passwords().happened(&user, Action::UserPasswordVerified);
            Ok(pb::VerifyPasswordResponse {})
        });
        Ok(Response::new(verify.await?))
    }

    async fn set_password(
        &self,
        request: Request<pb::SetPasswordRequest>,
    ) -> Result<Response<pb::SetPasswordResponse>, Status> {
        let (call, (user_id, password)) = called_to_act(request, convert::authentication::set_password)?;
        if let Some(answer) = self.app.answered(&call).await? {
            return Ok(Response::new(answer));
        }
        let found = self.app.db.read(async |conn| {
            let user = guards::visible_user(conn, &call.caller, user_id).await?;
            proof::names_of(conn, &user).await
        });
        proof::acceptable(&self.app, "password", &password, &found.await?)?;
        let hash = proof::hash(&self.app, &call, password).await?;
        let password = proof::made_here(user_id, hash, self.app.now());
        let set = self.app.change(&call, async |tx| {
            let user = lock_active(tx, &call, user_id).await?;
            authority::account(tx, &call.caller, &user)?;
            ending::mailed_tokens(tx, &user).await?;
            let is_first = tx.passwords().insert(&user, &password, Action::UserPasswordSet).await?;
            if is_first { Ok(pb::SetPasswordResponse {}) } else { Err(Error::Taken(Taken::Password)) }
        });
        Ok(Response::new(set.await?))
    }

    async fn change_password(
        &self,
        request: Request<pb::ChangePasswordRequest>,
    ) -> Result<Response<pb::ChangePasswordResponse>, Status> {
        let (call, asked) = called_to_act(request, convert::authentication::change_password)?;
        if let Some(answer) = self.app.answered(&call).await? {
            return Ok(Response::new(answer));
        }
        let found = self.app.db.read(async |conn| {
            let user = guards::own_user(conn, &call.caller, asked.current.user_id).await?;
            proof::names_of(conn, &user).await
        });
        proof::acceptable(&self.app, "new_password", &asked.new_password, &found.await?)?;
        let proof = Box::pin(self.prove_own(&call, asked.current)).await?;
        let hash = proof::hash(&self.app, &call, asked.new_password).await?;
        let now = self.app.now();
        let password = proof::made_here(proof.user.id, hash, now);
        let except = asked.except.or(call.caller.session());
        let change = self.app.change(&call, async |tx| {
            let user = proof.hold(tx, Precondition::PasswordRejected).await?;
            authority::proven_account(tx);
            tx.passwords().replace(&user, &password, Action::UserPasswordChanged).await?;
            ending::mailed_tokens(tx, &user).await?;
            let ended_sessions = if asked.keep_sessions { 0 } else { end_sessions(tx, user.id, except, now).await? };
            let revoked_api_keys =
                if asked.revoke_api_keys { tx.api_keys().revoke_of_user(&user, CHANGED, now).await? } else { 0 };
            Ok(pb::ChangePasswordResponse { ended_sessions, revoked_api_keys })
        });
        Ok(Response::new(change.await?))
    }

    async fn import_password_hash(
        &self,
        request: Request<pb::ImportPasswordHashRequest>,
    ) -> Result<Response<pb::ImportPasswordHashResponse>, Status> {
        let (call, (user_id, hash)) = called_to_act(request, convert::authentication::import_password_hash)?;
        Hash::parse(&hash, self.app.hashing.limits()).map_err(|rule| Error::invalid("password_hash", rule))?;
        let changed_at = self.app.now();
        let password = Password { user_id, hash: PasswordHash::new(hash), is_imported: true, changed_at };
        let import = self.app.change(&call, async |tx| {
            let user = tx.users().lock(&call.caller.reach(), user_id).await?.ok_or(Error::NotFound(Entity::User))?;
            authority::account(tx, &call.caller, &user)?;
            ending::mailed_tokens(tx, &user).await?;
            let is_first = tx.passwords().insert(&user, &password, Action::UserPasswordImported).await?;
            if is_first { Ok(pb::ImportPasswordHashResponse {}) } else { Err(Error::Taken(Taken::Password)) }
        });
        Ok(Response::new(import.await?))
    }

    async fn remove_password(
        &self,
        request: Request<pb::RemovePasswordRequest>,
    ) -> Result<Response<pb::RemovePasswordResponse>, Status> {
        let (call, user_id) = called_to_act(request, |r| convert::id_of("user_id", &r.user_id))?;
        let now = self.app.now();
        let remove = self.app.change(&call, async |tx| {
            let user = tx.users().lock(&call.caller.reach(), user_id).await?.ok_or(Error::NotFound(Entity::User))?;
            authority::may_authenticate(&call.caller, &user)?;
            if tx.passwords().remove(&user).await? {
                ending::mailed_tokens(tx, &user).await?;
                end_sessions(tx, user.id, None, now).await?;
            }
            Ok(pb::RemovePasswordResponse {})
        });
        Ok(Response::new(remove.await?))
    }

    async fn start_email_verification(
        &self,
        request: Request<pb::StartEmailVerificationRequest>,
    ) -> Result<Response<pb::StartEmailVerificationResponse>, Status> {
        Ok(Response::new(mailed::start_email_verification(&self.app, request).await?))
    }

    async fn confirm_email_verification(
        &self,
        request: Request<pb::ConfirmEmailVerificationRequest>,
    ) -> Result<Response<pb::ConfirmEmailVerificationResponse>, Status> {
        Ok(Response::new(mailed::confirm_email_verification(&self.app, request).await?))
    }

    async fn start_password_reset(
        &self,
        request: Request<pb::StartPasswordResetRequest>,
    ) -> Result<Response<pb::StartPasswordResetResponse>, Status> {
        Ok(Response::new(mailed::start_password_reset(&self.app, request).await?))
    }

    async fn confirm_password_reset(
        &self,
        request: Request<pb::ConfirmPasswordResetRequest>,
    ) -> Result<Response<pb::ConfirmPasswordResetResponse>, Status> {
        Ok(Response::new(mailed::confirm_password_reset(&self.app, request).await?))
    }

    async fn start_email_change(
        &self,
        request: Request<pb::StartEmailChangeRequest>,
    ) -> Result<Response<pb::StartEmailChangeResponse>, Status> {
        Ok(Response::new(mailed::start_email_change(&self.app, request).await?))
    }

    async fn confirm_email_change(
        &self,
        request: Request<pb::ConfirmEmailChangeRequest>,
    ) -> Result<Response<pb::ConfirmEmailChangeResponse>, Status> {
        Ok(Response::new(mailed::confirm_email_change(&self.app, request).await?))
    }

    async fn get_signing_keys(
        &self,
        request: Request<pb::GetSigningKeysRequest>,
    ) -> Result<Response<pb::GetSigningKeysResponse>, Status> {
        called_by(request)?;
        let now = self.app.now();
        let signing_keys = self.app.signing_keys.current(now).into_iter().map(Into::into).collect();
        Ok(Response::new(pb::GetSigningKeysResponse { jwks: self.app.signing_keys.jwks(now), signing_keys }))
    }

    async fn introspect_token(
        &self,
        request: Request<pb::IntrospectTokenRequest>,
    ) -> Result<Response<pb::IntrospectTokenResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let now = self.app.now();
        let token = convert::authentication::introspect_token(request)?;
        let claims = self.app.signing_keys.verify(token.expose(), now).await?;
        let claims = claims.filter(|claims| match caller.reach() {
            Reach::Everything => true,
            Reach::Organization(id) => claims.org_id == Some(id.0),
            Reach::User(id) => claims.sub == id.0,
        });
        let standing = match &claims {
            Some(claims) => self.app.db.read(async |conn| session::as_it_stands(conn, claims, now).await).await?,
            None => None,
        };
        let Some(claims) = standing else {
            // Not refused after many: a signature cannot be guessed, and the caller asks for all of its users.
            self.app.attempts.failed("introspected_token");
            return Ok(Response::new(pb::IntrospectTokenResponse::default()));
        };
        Ok(Response::new(claims.into()))
    }
}
