//! `UserService`.

use std::collections::HashMap;

use prost::Message;
use tonic::{Request, Response, Status, Streaming};

use super::{
    authority, called_by, called_to_act, called_to_stream, ending, guards, lists,
    rehearsal::Rehearsal,
    scope_of,
    stream::{Messages, stream},
    user_import::Import,
};
use crate::{
    app::{App, feed::Kind},
    error::{Entity, Error, Result},
    grpc::{convert, status::not_found},
    models::{Action, Call, Impact, User, UserId, UserState},
    pb::{self, user_service_server::UserService},
};

/// The method whose requests are a stream.
const IMPORT_USERS: &str = "tenantry.v1.UserService.ImportUsers";

/// Why the keys of a restored user are revoked.
const RESTORED: &str = "the user was deleted and restored";

/// Answers `UserService`.
#[derive(Clone)]
pub struct UserHandler {
    app: App,
}

impl UserHandler {
    /// The handler on an application.
    pub fn new(app: App) -> Self {
        Self { app }
    }

    /// Locks the target user, checks its etag, and stores it in another state. A user that is in that state already is
    /// answered as it is.
    async fn change<A: Message + Default>(
        &self,
        call: &Call,
        target: &convert::Target<UserId>,
        change: StateChange,
        answer: fn(Option<pb::User>, Option<pb::Impact>) -> A,
    ) -> Result<Response<A>, Status> {
        let now = self.app.now();
        let changed = self.app.change(call, async |tx| {
            let mut rehearsal = Rehearsal::of(call);
            let mut user = find(tx.users().lock(&call.caller.reach(), target.id).await?)?;
            target.check_etag(&*user)?;
            if change.takes_power_from(&user) {
                rehearsal.rule(guards::platform_keeps_an_admin(tx, &user).await)?;
            }
            let mut orphaned = Vec::new();
            let action = match change {
                StateChange::Suspend if user.state == UserState::Suspended => None,
                StateChange::Reactivate if user.state == UserState::Active => None,
                StateChange::PlatformAdmin(is_admin) if user.is_platform_admin == is_admin => None,
                StateChange::Suspend => {
                    // A suspension is for emergencies: nobody makes itself immune by owning something.
                    orphaned = guards::orphaned_without(tx, &user).await?;
                    user.state = UserState::Suspended;
                    Some(Action::UserSuspended)
                }
                StateChange::Reactivate => {
                    authority::standing(tx, &call.caller, &user)?;
                    user.state = UserState::Active;
                    Some(Action::UserReactivated)
                }
                StateChange::Delete => {
                    rehearsal.rule(guards::no_organization_loses_its_last_owner(tx, &user).await)?;
                    user.deleted_at = Some(now);
                    Some(Action::UserDeleted)
                }
                StateChange::PlatformAdmin(true) => {
                    guards::active_user(&user)?;
                    authority::platform_admin(tx, &call.caller)?;
                    user.is_platform_admin = true;
                    Some(Action::UserPlatformAdminGranted)
                }
                StateChange::PlatformAdmin(false) => {
                    user.is_platform_admin = false;
                    Some(Action::UserPlatformAdminRevoked)
                }
            };
            let count = async {
                if action.is_none() {
                    return Ok(Impact::default());
                }
                let impact = tx.users().impact(&user, now).await?;
                Ok(Impact { organizations_without_owner: orphaned, ..impact })
            };
            if let Some(impact) = rehearsal.impact(count).await? {
                return Ok(answer(Some(user.into_inner().into()), Some(impact)));
            }
            let user = match action {
                Some(action) => tx.users().save(user, action, now).await?,
                None => return Ok(answer(Some(user.into_inner().into()), None)),
            };
            match change {
                StateChange::Suspend | StateChange::Delete => ending::with_user(tx, &user, now).await?,
                StateChange::PlatformAdmin(false) => ending::with_platform_administration(tx, &user, now).await?,
                StateChange::Reactivate | StateChange::PlatformAdmin(true) => {}
            }
            Ok(answer(Some(user.into()), None))
        });
        Ok(Response::new(changed.await?))
    }
}

/// The changes of a user that are verbs of their own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StateChange {
    Suspend,
    Reactivate,
    Delete,
    PlatformAdmin(bool),
}

impl StateChange {
    /// True if a platform admin is none, or can do nothing, after it.
    fn takes_power_from(self, user: &User) -> bool {
        user.is_platform_admin && matches!(self, Self::Suspend | Self::Delete | Self::PlatformAdmin(false))
    }
}

fn find<T>(user: Option<T>) -> Result<T> {
    user.ok_or(Error::NotFound(Entity::User))
}

#[tonic::async_trait]
impl UserService for UserHandler {
    type ImportUsersStream = Messages<pb::ImportUsersResponse>;

    async fn create_user(
        &self,
        request: Request<pb::CreateUserRequest>,
    ) -> Result<Response<pb::CreateUserResponse>, Status> {
        let (call, new) = called_to_act(request, convert::user::create)?;
        let now = self.app.now();
        let user = new.into_user(self.app.new_id(now), now);
        let create = self.app.change(&call, async |tx| {
            tx.users().insert(&user).await?;
            Ok(pb::CreateUserResponse { user: Some(user.clone().into()) })
        });
        Ok(Response::new(create.await?))
    }

    async fn get_user(&self, request: Request<pb::GetUserRequest>) -> Result<Response<pb::GetUserResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let id = convert::id_of("user_id", &request.user_id)?;
        let user = find(self.app.users.get(caller.reach(), id).await?)?;
        Ok(Response::new(pb::GetUserResponse { user: Some(user.into()) }))
    }

    async fn list_users(
        &self,
        request: Request<pb::ListUsersRequest>,
    ) -> Result<Response<pb::ListUsersResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let lists = lists(&self.app, &caller);
        let listing = convert::user::list(lists, &request)?;
        guards::may_list(&caller, &listing.filter.state)?;
        let page = self.app.db.scan(async |conn| {
            if let Some(id) = listing.filter.organization_id {
                guards::visible_organization(conn, &caller, id).await?;
            }
            conn.users().list(&caller.reach(), &listing.filter, &listing.page).await
        });
        let page = page.await?;
        let (users, next_page_token) = listing.answer(lists, page);
        Ok(Response::new(pb::ListUsersResponse { users, next_page_token }))
    }

    async fn update_user(
        &self,
        request: Request<pb::UpdateUserRequest>,
    ) -> Result<Response<pb::UpdateUserResponse>, Status> {
        let (call, (target, changes)) = called_to_act(request, convert::user::update)?;
        let (caller, now) = (&call.caller, self.app.now());
        let update = self.app.change(&call, async |tx| {
            let mut user = find(tx.users().lock(&caller.reach(), target.id).await?)?;
            if caller.user_id() != Some(user.id) {
                guards::platform_admin(caller)?;
            }
            if changes.email.as_ref().is_some_and(|email| *email.normalized() != user.email_normalized) {
                // Everybody else proves the new mailbox: see AuthenticationService.StartEmailChange.
                guards::platform_admin(caller)?;
                authority::account(tx, caller, &user)?;
                ending::mailed_tokens(tx, &user).await?;
            }
            target.check_etag(&*user)?;
            user.apply(changes.clone());
            let user = tx.users().save(user, Action::UserUpdated, now).await?;
            Ok(pb::UpdateUserResponse { user: Some(user.into()) })
        });
        Ok(Response::new(update.await?))
    }

    async fn delete_user(
        &self,
        request: Request<pb::DeleteUserRequest>,
    ) -> Result<Response<pb::DeleteUserResponse>, Status> {
        let (call, target) = called_to_act(request, |r| convert::target("user_id", &r.user_id, r.etag))?;
        self.change(&call, &target, StateChange::Delete, |user, impact| pb::DeleteUserResponse { user, impact }).await
    }

    async fn get_user_by_email(
        &self,
        request: Request<pb::GetUserByEmailRequest>,
    ) -> Result<Response<pb::GetUserByEmailResponse>, Status> {
        let (caller, request) = called_by(request)?;
        let email = convert::user::get_by_email(&request)?;
        let user =
            self.app.db.read(async |conn| conn.users().get_by_email(&caller.reach(), email.normalized()).await).await?;
        Ok(Response::new(pb::GetUserByEmailResponse { user: Some(find(user)?.into()) }))
    }

    async fn batch_get_users(
        &self,
        request: Request<pb::BatchGetUsersRequest>,
    ) -> Result<Response<pb::BatchGetUsersResponse>, Status> {
        use pb::batch_get_users_result::Outcome;
        let (caller, request) = called_by(request)?;
        let batch = convert::batch("user_ids", request.user_ids)?;
        let ids: Vec<UserId> = batch.iter().filter_map(|(_, id)| *id).collect();
        let users = self.app.db.read(async |conn| conn.users().get_many(&caller.reach(), &ids).await).await?;
        let users: HashMap<UserId, pb::User> = users.into_iter().map(|user| (user.id, user.into())).collect();
        let results = batch.into_iter().map(|(user_id, id)| {
            let outcome = match id.map(|id| users.get(&id)) {
                Some(Some(user)) => Outcome::User(user.clone()),
                Some(None) => Outcome::Error(not_found(Entity::User).into()),
                None => Outcome::Error(pb::ErrorReason::InvalidArgument.into()),
            };
            pb::BatchGetUsersResult { user_id, outcome: Some(outcome) }
        });
        Ok(Response::new(pb::BatchGetUsersResponse { results: results.collect() }))
    }

    async fn suspend_user(
        &self,
        request: Request<pb::SuspendUserRequest>,
    ) -> Result<Response<pb::SuspendUserResponse>, Status> {
        let (call, target) = called_to_act(request, |r| convert::target("user_id", &r.user_id, r.etag))?;
        self.change(&call, &target, StateChange::Suspend, |user, impact| pb::SuspendUserResponse { user, impact }).await
    }

    async fn reactivate_user(
        &self,
        request: Request<pb::ReactivateUserRequest>,
    ) -> Result<Response<pb::ReactivateUserResponse>, Status> {
        let (call, target) = called_to_act(request, |r| convert::target("user_id", &r.user_id, r.etag))?;
        self.change(&call, &target, StateChange::Reactivate, |user, _| pb::ReactivateUserResponse { user }).await
    }

    async fn undelete_user(
        &self,
        request: Request<pb::UndeleteUserRequest>,
    ) -> Result<Response<pb::UndeleteUserResponse>, Status> {
        let (call, (target, restore_api_keys)) = called_to_act(request, |r| {
            Ok((convert::target::<UserId>("user_id", &r.user_id, r.etag)?, r.restore_api_keys))
        })?;
        let now = self.app.now();
        let restorable_since = now.before(self.app.policy.restore_window);
        let undelete = self.app.change(&call, async |tx| {
            let mut user = find(tx.users().lock_also_deleted(&call.caller.reach(), target.id).await?)?;
            let user = match user.deleted_at {
                Some(deleted_at) if deleted_at < restorable_since => return Err(Error::NotFound(Entity::User)),
                Some(_) => {
                    authority::standing(tx, &call.caller, &user)?;
                    target.check_etag(&*user)?;
                    if !restore_api_keys {
                        tx.api_keys().revoke_of_user(&user, RESTORED, now).await?;
                    }
                    user.deleted_at = None;
                    tx.users().save(user, Action::UserUndeleted, now).await?
                }
                None => user.into_inner(),
            };
            Ok(pb::UndeleteUserResponse { user: Some(user.into()) })
        });
        Ok(Response::new(undelete.await?))
    }

    async fn purge_user(
        &self,
        request: Request<pb::PurgeUserRequest>,
    ) -> Result<Response<pb::PurgeUserResponse>, Status> {
        let (call, (target, with_organizations)) = called_to_act(request, |r| {
            Ok((convert::target::<UserId>("user_id", &r.user_id, r.etag)?, r.purge_sole_organizations))
        })?;
        let now = self.app.now();
        let purge = self.app.change(&call, async |tx| {
            let user = find(tx.users().lock_also_deleted(&call.caller.reach(), target.id).await?)?;
            target.check_etag(&*user)?;
            guards::platform_keeps_an_admin(tx, &user).await?;
            if with_organizations {
                for id in guards::orphaned_without(tx, &user).await? {
                    let organization = tx.organizations().lock(&call.caller.reach(), id).await?;
                    if let Some(organization) = organization
                        && tx.memberships().count(&organization).await? == 1
                    {
                        tx.organizations().delete(organization).await?;
                    }
                }
            }
            guards::no_organization_loses_its_last_owner(tx, &user).await?;
            tx.users().delete(user, now).await?;
            Ok(pb::PurgeUserResponse {})
        });
        Ok(Response::new(purge.await?))
    }

    async fn import_users(
        &self,
        request: Request<Streaming<pb::ImportUsersRequest>>,
    ) -> Result<Response<Self::ImportUsersStream>, Status> {
        let scope = scope_of(&request)?;
        let (call, batches) = called_to_stream(request, IMPORT_USERS)?;
        let slot = self.app.feed.open(&call.caller, Kind::Import)?;
        let import = Import { app: self.app.clone(), call, scope, batches };
        let answers = stream(&self.app.feed, slot, self.app.policy.stream_timeout, |sender| import.run(sender));
        Ok(Response::new(answers))
    }

    async fn grant_platform_admin(
        &self,
        request: Request<pb::GrantPlatformAdminRequest>,
    ) -> Result<Response<pb::GrantPlatformAdminResponse>, Status> {
        let (call, target) = called_to_act(request, |r| convert::target("user_id", &r.user_id, r.etag))?;
        self.change(&call, &target, StateChange::PlatformAdmin(true), |user, _| pb::GrantPlatformAdminResponse { user })
            .await
    }

    async fn revoke_platform_admin(
        &self,
        request: Request<pb::RevokePlatformAdminRequest>,
    ) -> Result<Response<pb::RevokePlatformAdminResponse>, Status> {
        let (call, target) = called_to_act(request, |r| convert::target("user_id", &r.user_id, r.etag))?;
        self.change(&call, &target, StateChange::PlatformAdmin(false), |user, _| pb::RevokePlatformAdminResponse {
            user,
        })
        .await
    }
}
