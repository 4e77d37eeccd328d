//! Random sequences of operations in an organization, each compared with a model: a step is refused exactly when the model refuses it, and
//! after each sequence the service and the model are in the same state. The model knows sets of permissions, not how they are stored.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tenantry::{
    models::permission::OWN,
    pb::{
        self, ApiKeyVerdict, accept_invitation_request, create_api_key_request::Owner, decline_invitation_request,
        list_api_keys_request, list_invitations_request,
    },
};
use tonic::Status;

use crate::support::{Answered as _, Api, Backend, Test, both, invariants, mask, question, random::Random, run};

/// Number of users of a worker, in one organization at a time.
const USERS: usize = 4;
/// Number of concurrent workers.
const WORKERS: u64 = 8;
/// Number of steps of a sequence.
const STEPS: usize = 12;
/// Names of the organization's own roles.
const OWN_ROLES: [&str; 3] = ["clerk", "deputy", "host"];
/// Represents all permissions without a name in the model.
const UNNAMED: &str = "unnamed";

type Set = BTreeSet<&'static str>;

/// The caller of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Actor {
    Admin,
    User(usize),
    Key,
}

/// An operation.
#[derive(Clone, Debug)]
enum Step {
    Add(usize, &'static str),
    SetRole(usize, &'static str),
    Remove(usize),
    Leave(usize),
    Transfer(usize, usize),
    CreateRole(&'static str, Vec<&'static str>),
    UpdateRole(&'static str, Vec<&'static str>),
    DeleteRole(&'static str),
    Invite(usize, &'static str),
    Resend(usize),
    Revoke(usize),
    Accept(usize),
    Decline(usize),
    CreateKey,
    RotateKey(usize),
    RevokeKey(usize),
    VerifyKey(usize),
    SuspendUser(usize),
    ReactivateUser(usize),
    Suspend(bool),
}

#[derive(Clone, Debug, PartialEq)]
struct Key {
    id: String,
    texts: Vec<String>,
    revoked: bool,
}

/// A pending invitation.
struct Invitation {
    id: String,
    role: &'static str,
    token: String,
    /// The last sender. The invitation expires if the sender loses a permission that it grants.
    sender: Actor,
    expired: bool,
}

/// The expected state of the service.
#[derive(Default)]
struct Model {
    active: [bool; USERS],
    suspended: bool,
    /// Ids and permissions by name.
    roles: BTreeMap<&'static str, (String, Vec<&'static str>)>,
    /// Ids and roles by user.
    members: BTreeMap<usize, (String, &'static str)>,
    invitations: BTreeMap<usize, Invitation>,
    keys: Vec<Key>,
}

impl Model {
    /// All permissions of a role; `None` if it does not exist.
    fn gives(&self, role: &str) -> Option<Set> {
        let of_every_member = ["organizations:read", "memberships:read", "users:read", "roles:read"];
        let mut all: Set = OWN.into_iter().chain([UNNAMED]).collect();
        Some(match role {
            "owner" => all,
            "admin" => {
                all.retain(|permission| !["organizations:delete", "organizations:transfer"].contains(permission));
                all
            }
            "member" => of_every_member.into_iter().chain(["invitations:read"]).collect(),
            "viewer" => of_every_member.into_iter().collect(),
            own => of_every_member.into_iter().chain(self.roles.get(own)?.1.iter().copied()).collect(),
        })
    }

    /// The permissions of an actor; `None` for a key that does not work or a user who is not an active member.
    fn holds(&self, actor: Actor) -> Option<Set> {
        match actor {
            Actor::Admin => self.gives("owner"),
            Actor::Key => self.gives("admin").filter(|_| !self.suspended),
            Actor::User(user) => self.gives(self.members.get(&user)?.1).filter(|_| self.active[user]),
        }
    }

    /// True if an actor holds a permission and all permissions in `about`, and may change the organization.
    fn may(&self, actor: Actor, permission: &str, about: &[Option<Set>]) -> bool {
        let Some(held) = self.holds(actor) else { return false };
        held.contains(permission)
            && self.is_open_to(actor)
            && about.iter().all(|set| set.as_ref().is_some_and(|set| held.is_superset(set)))
    }

    fn is_open_to(&self, actor: Actor) -> bool {
        actor == Actor::Admin || !self.suspended
    }

    /// True if another active user is an owner.
    fn has_owner_without(&self, user: usize) -> bool {
        self.members.iter().any(|(other, (_, role))| *other != user && *role == "owner" && self.active[*other])
    }

    /// True if the sender of an invitation still holds its permissions.
    fn has_ground(&self, invitation: &Invitation) -> bool {
        let given = self.gives(invitation.role);
        match invitation.sender {
            Actor::Admin | Actor::Key => true,
            // Also while the organization is suspended.
            Actor::User(user) => {
                self.active[user]
                    && self
                        .members
                        .get(&user)
                        .and_then(|(_, role)| self.gives(role))
                        .zip(given)
                        .is_some_and(|(held, given)| held.is_superset(&given))
            }
        }
    }

    /// Expires the invitations whose permissions a user no longer holds.
    fn end_invitations_of(&mut self, user: usize) {
        let ended: Vec<usize> = self
            .invitations
            .iter()
            .filter(|(_, invitation)| invitation.sender == Actor::User(user) && !self.has_ground(invitation))
            .map(|(invited, _)| *invited)
            .collect();
        for invited in ended {
            self.invitations.get_mut(&invited).unwrap().expired = true;
        }
    }

    fn role_of(&self, user: usize) -> Option<&'static str> {
        self.members.get(&user).map(|(_, role)| *role)
    }

    /// True if the step succeeds, false if it is refused.
    fn allows(&self, actor: Actor, step: &Step) -> bool {
        let gives = |role: &str| self.gives(role);
        match step {
            Step::Add(user, role) => {
                actor == Actor::Admin
                    && gives(role).is_some()
                    && self.role_of(*user).is_none()
                    && (*role != "owner" || self.active[*user])
            }
            Step::SetRole(user, role) => self.allows_set_role(actor, *user, role),
            Step::Remove(user) => self.allows_remove(actor, *user),
            Step::Leave(user) => self
                .role_of(*user)
                .is_some_and(|role| self.active[*user] && (role != "owner" || self.has_owner_without(*user))),
            Step::Transfer(from, to) => self.allows_transfer(actor, *from, *to),
            Step::CreateRole(name, permissions) => {
                !self.roles.contains_key(name)
                    && self.may(actor, "roles:write", &[Some(with_every_members(permissions))])
            }
            Step::UpdateRole(name, permissions) => {
                self.may(actor, "roles:write", &[gives(name), Some(with_every_members(permissions))])
            }
            Step::DeleteRole(name) => {
                self.may(actor, "roles:write", &[gives(name)])
                    && self.members.values().all(|(_, role)| role != name)
                    && self.invitations.values().all(|invitation| invitation.role != *name)
            }
            Step::Invite(user, role) => {
                self.may(actor, "invitations:write", &[gives(role)])
                    && self.role_of(*user).is_none()
                    && self.invitations.get(user).is_none_or(|invitation| invitation.expired)
            }
            Step::Resend(user) | Step::Revoke(user) => self
                .invitations
                .get(user)
                .is_some_and(|invitation| self.may(actor, "invitations:write", &[gives(invitation.role)])),
            Step::Accept(user) => self.allows_accept(*user),
            Step::Decline(user) => self.invitations.contains_key(user) && self.active[*user],
            Step::CreateKey => self.may(actor, "api_keys:write", &[]) && !self.suspended,
            Step::RotateKey(key) => {
                self.keys.get(*key).is_some_and(|key| !key.revoked)
                    && self.may(actor, "api_keys:write", &[])
                    && self.sees_keys(actor)
            }
            Step::RevokeKey(key) => {
                self.keys.get(*key).is_some()
                    && self.holds(actor).is_some_and(|held| held.contains("api_keys:write"))
                    && self.sees_keys(actor)
            }
            Step::VerifyKey(key) => self.keys.get(*key).is_some_and(|key| !key.revoked && !self.suspended),
            Step::SuspendUser(_) | Step::ReactivateUser(_) | Step::Suspend(_) => true,
        }
    }

    fn allows_set_role(&self, actor: Actor, user: usize, role: &str) -> bool {
        self.role_of(user).is_some_and(|before| {
            self.may(actor, "memberships:write", &[self.gives(before), self.gives(role)])
                && (before != "owner" || role == "owner" || self.has_owner_without(user))
                && (role != "owner" || before == "owner" || self.active[user])
        })
    }

    fn allows_remove(&self, actor: Actor, user: usize) -> bool {
        self.role_of(user).is_some_and(|role| {
            let may = if actor == Actor::User(user) {
                self.active[user] && self.is_open_to(actor)
            } else {
                self.may(actor, "memberships:write", &[self.gives(role)])
            };
            may && (role != "owner" || self.has_owner_without(user))
        })
    }

    fn allows_transfer(&self, actor: Actor, from: usize, to: usize) -> bool {
        from != to
            && self.active[to]
            && self.role_of(from) == Some("owner")
            && self
                .role_of(to)
                .is_some_and(|role| self.may(actor, "organizations:transfer", &[self.gives("owner"), self.gives(role)]))
    }

    fn allows_accept(&self, user: usize) -> bool {
        self.invitations.get(&user).is_some_and(|invitation| !invitation.expired && self.has_ground(invitation))
            && self.active[user]
            && !self.suspended
            && self.role_of(user).is_none()
    }

    /// An actor who cannot read keys cannot name one.
    fn sees_keys(&self, actor: Actor) -> bool {
        actor == Actor::Key || self.holds(actor).is_some_and(|held| held.contains("api_keys:read"))
    }
}

fn missing() -> String {
    crate::support::MISSING_ID.to_owned()
}

fn texts(permissions: &[&str]) -> Vec<String> {
    permissions.iter().map(ToString::to_string).collect()
}

fn with_every_members(permissions: &[&'static str]) -> Set {
    ["organizations:read", "memberships:read", "users:read", "roles:read"]
        .into_iter()
        .chain(permissions.iter().copied())
        .collect()
}

/// One organization of the service, and its users.
struct World {
    admin: Api,
    users: Vec<(pb::User, Api)>,
    organization_id: String,
    key: Api,
    model: Model,
}

impl World {
    async fn make(t: &Test, users: Vec<(pb::User, Api)>) -> Self {
        let organization = t.organization(&users[0].0).await;
        let owner = t.membership(&users[0].0.id, &organization.id).await.unwrap();
        let mut model = Model { active: [true; USERS], ..Model::default() };
        model.members.insert(0, (owner.id, "owner"));
        let key = t.with_key(&t.organization_key(&organization).await);
        Self { admin: t.admin(), users, organization_id: organization.id, key, model }
    }

    fn api(&self, actor: Actor) -> &Api {
        match actor {
            Actor::Admin => &self.admin,
            Actor::Key => &self.key,
            Actor::User(user) => &self.users[user].1,
        }
    }

    fn user_id(&self, user: usize) -> String {
        self.users[user].0.id.clone()
    }

    fn membership_id(&self, user: usize) -> String {
        self.model.members.get(&user).map_or_else(missing, |(id, _)| id.clone())
    }

    fn role_id(&self, name: &str) -> String {
        self.model.roles.get(name).map_or_else(missing, |(id, _)| id.clone())
    }

    fn invitation_id(&self, user: usize) -> String {
        self.model.invitations.get(&user).map_or_else(missing, |invitation| invitation.id.clone())
    }

    fn key_id(&self, key: usize) -> String {
        self.model.keys.get(key).map_or_else(missing, |key| key.id.clone())
    }

    /// Executes a step in the service and, if it succeeds, in the model.
    async fn take(&mut self, actor: Actor, step: &Step) -> Result<(), Status> {
        match step {
            Step::Add(user, role) => self.add(actor, *user, role).await,
            Step::SetRole(user, role) => self.set_role(actor, *user, role).await,
            Step::Remove(user) => self.remove(actor, *user).await,
            Step::Leave(user) => self.leave(*user).await,
            Step::Transfer(from, to) => self.transfer(actor, *from, *to).await,
            Step::CreateRole(name, permissions) => self.create_role(actor, name, permissions).await,
            Step::UpdateRole(name, permissions) => self.update_role(actor, name, permissions).await,
            Step::DeleteRole(name) => self.delete_role(actor, name).await,
            Step::Invite(user, role) => self.invite(actor, *user, role).await,
            Step::Resend(user) => self.resend(actor, *user).await,
            Step::Revoke(user) => self.revoke(actor, *user).await,
            Step::Accept(user) => self.accept(*user).await,
            Step::Decline(user) => self.decline(*user).await,
            Step::CreateKey => self.create_key(actor).await,
            Step::RotateKey(key) => self.rotate_key(actor, *key).await,
            Step::RevokeKey(key) => self.revoke_key(actor, *key).await,
            Step::VerifyKey(key) => self.verify_key(*key).await,
            Step::SuspendUser(user) => self.suspend_user(*user).await,
            Step::ReactivateUser(user) => self.reactivate_user(*user).await,
            Step::Suspend(true) => self.suspend().await,
            Step::Suspend(false) => self.reactivate().await,
        }
    }

    async fn add(&mut self, actor: Actor, user: usize, role: &'static str) -> Result<(), Status> {
        let request = pb::CreateMembershipRequest {
            user_id: self.user_id(user),
            organization_id: self.organization_id.clone(),
            role: role.to_owned(),
            ..Default::default()
        };
        let created = self.api(actor).memberships().create_membership(request).await?.into_inner().membership.unwrap();
        self.model.members.insert(user, (created.id, role));
        // Nothing is left to accept.
        self.model.invitations.remove(&user);
        Ok(())
    }

    async fn set_role(&mut self, actor: Actor, user: usize, role: &'static str) -> Result<(), Status> {
        let request = pb::UpdateMembershipRequest {
            membership_id: self.membership_id(user),
            role: role.to_owned(),
            update_mask: mask(&["role"]),
            ..Default::default()
        };
        self.api(actor).memberships().update_membership(request).await?;
        self.model.members.get_mut(&user).unwrap().1 = role;
        self.model.end_invitations_of(user);
        Ok(())
    }

    async fn remove(&mut self, actor: Actor, user: usize) -> Result<(), Status> {
        let request = pb::DeleteMembershipRequest { membership_id: self.membership_id(user), ..Default::default() };
        self.api(actor).memberships().delete_membership(request).await?;
        self.model.members.remove(&user);
        self.model.end_invitations_of(user);
        Ok(())
    }

    async fn leave(&mut self, user: usize) -> Result<(), Status> {
        let request =
            pb::LeaveOrganizationRequest { organization_id: self.organization_id.clone(), ..Default::default() };
        self.api(Actor::User(user)).organizations().leave_organization(request).await?;
        self.model.members.remove(&user);
        self.model.end_invitations_of(user);
        Ok(())
    }

    async fn transfer(&mut self, actor: Actor, from: usize, to: usize) -> Result<(), Status> {
        let request = pb::TransferOwnershipRequest {
            organization_id: self.organization_id.clone(),
            new_owner_user_id: self.user_id(to),
            former_owner_user_id: self.user_id(from),
            ..Default::default()
        };
        self.api(actor).organizations().transfer_ownership(request).await?;
        self.model.members.get_mut(&from).unwrap().1 = "admin";
        self.model.members.get_mut(&to).unwrap().1 = "owner";
        self.model.end_invitations_of(from);
        Ok(())
    }

    async fn create_role(
        &mut self,
        actor: Actor,
        name: &'static str,
        permissions: &[&'static str],
    ) -> Result<(), Status> {
        let request = pb::CreateRoleRequest {
            organization_id: self.organization_id.clone(),
            name: name.to_owned(),
            permissions: texts(permissions),
            ..Default::default()
        };
        let created = self.api(actor).roles().create_role(request).await?.into_inner().role.unwrap();
        self.model.roles.insert(name, (created.id, permissions.to_vec()));
        Ok(())
    }

    async fn update_role(
        &mut self,
        actor: Actor,
        name: &'static str,
        permissions: &[&'static str],
    ) -> Result<(), Status> {
        let request = pb::UpdateRoleRequest {
            role_id: self.role_id(name),
            permissions: texts(permissions),
            update_mask: mask(&["permissions"]),
            ..Default::default()
        };
        self.api(actor).roles().update_role(request).await?;
        self.model.roles.get_mut(name).unwrap().1 = permissions.to_vec();
        Ok(())
    }

    async fn delete_role(&mut self, actor: Actor, name: &'static str) -> Result<(), Status> {
        let request = pb::DeleteRoleRequest { role_id: self.role_id(name), ..Default::default() };
        self.api(actor).roles().delete_role(request).await?;
        self.model.roles.remove(name);
        Ok(())
    }

    async fn invite(&mut self, actor: Actor, user: usize, role: &'static str) -> Result<(), Status> {
        let request = pb::CreateInvitationRequest {
            organization_id: self.organization_id.clone(),
            email: self.users[user].0.email.clone(),
            role: role.to_owned(),
            ..Default::default()
        };
        let created = self.api(actor).invitations().create_invitation(request).await?.into_inner();
        let (id, token) = (created.invitation.unwrap().id, created.plaintext_token);
        self.model.invitations.insert(user, Invitation { id, role, token, sender: actor, expired: false });
        Ok(())
    }

    async fn resend(&mut self, actor: Actor, user: usize) -> Result<(), Status> {
        let request = pb::ResendInvitationRequest { invitation_id: self.invitation_id(user), ..Default::default() };
        let sent = self.api(actor).invitations().resend_invitation(request).await?.into_inner();
        let invitation = self.model.invitations.get_mut(&user).unwrap();
        (invitation.token, invitation.sender, invitation.expired) = (sent.plaintext_token, actor, false);
        Ok(())
    }

    async fn revoke(&mut self, actor: Actor, user: usize) -> Result<(), Status> {
        let request = pb::RevokeInvitationRequest { invitation_id: self.invitation_id(user), ..Default::default() };
        self.api(actor).invitations().revoke_invitation(request).await?;
        self.model.invitations.remove(&user);
        Ok(())
    }

    async fn accept(&mut self, user: usize) -> Result<(), Status> {
        let token = self.model.invitations.get(&user).map_or("cf_inv_none", |invitation| &invitation.token).to_owned();
        let key = Some(accept_invitation_request::Key::PlaintextToken(token));
        let request = pb::AcceptInvitationRequest { key, ..Default::default() };
        let created = self.api(Actor::User(user)).invitations().accept_invitation(request).await?.into_inner();
        let role = self.model.invitations.remove(&user).unwrap().role;
        self.model.members.insert(user, (created.membership.unwrap().id, role));
        Ok(())
    }

    async fn decline(&mut self, user: usize) -> Result<(), Status> {
        let key = Some(decline_invitation_request::Key::InvitationId(self.invitation_id(user)));
        let request = pb::DeclineInvitationRequest { key, ..Default::default() };
        self.api(Actor::User(user)).invitations().decline_invitation(request).await?;
        self.model.invitations.remove(&user);
        Ok(())
    }

    async fn create_key(&mut self, actor: Actor) -> Result<(), Status> {
        let request = pb::CreateApiKeyRequest {
            owner: Some(Owner::OrganizationId(self.organization_id.clone())),
            name: "created".to_owned(),
            scopes: vec!["users:read".to_owned()],
            environment: 1,
            ..Default::default()
        };
        let created = self.api(actor).api_keys().create_api_key(request).await?.into_inner();
        self.model.keys.push(Key {
            id: created.api_key.unwrap().id,
            texts: vec![created.plaintext_key],
            revoked: false,
        });
        Ok(())
    }

    async fn rotate_key(&mut self, actor: Actor, key: usize) -> Result<(), Status> {
        let request = pb::RotateApiKeyRequest { api_key_id: self.key_id(key), ..Default::default() };
        let created = self.api(actor).api_keys().rotate_api_key(request).await?.into_inner();
        let texts = &mut self.model.keys[key].texts;
        texts.push(created.plaintext_key);
        // The previous secret works a while longer; older ones do not.
        texts.drain(..texts.len().saturating_sub(2));
        Ok(())
    }

    async fn revoke_key(&mut self, actor: Actor, key: usize) -> Result<(), Status> {
        let request = pb::RevokeApiKeyRequest { api_key_id: self.key_id(key), ..Default::default() };
        self.api(actor).api_keys().revoke_api_key(request).await?;
        self.model.keys[key].revoked = true;
        Ok(())
    }

    async fn verify_key(&self, key: usize) -> Result<(), Status> {
        let texts = self.model.keys.get(key).map_or_else(|| vec!["cf_live_none".to_owned()], |key| key.texts.clone());
        for text in texts {
            let request = pb::VerifyApiKeyRequest { question: question(&text) };
            let found = self.admin.api_keys().verify_api_key(request).await?.into_inner().verification.unwrap();
            if found.verdict() != ApiKeyVerdict::Valid {
                return Err(Status::failed_precondition(found.verdict().as_str_name()));
            }
        }
        Ok(())
    }

    async fn suspend_user(&mut self, user: usize) -> Result<(), Status> {
        let request = pb::SuspendUserRequest { user_id: self.user_id(user), ..Default::default() };
        self.admin.users().suspend_user(request).await?;
        self.model.active[user] = false;
        self.model.end_invitations_of(user);
        Ok(())
    }

    async fn reactivate_user(&mut self, user: usize) -> Result<(), Status> {
        let request = pb::ReactivateUserRequest { user_id: self.user_id(user), ..Default::default() };
        self.admin.users().reactivate_user(request).await?;
        self.model.active[user] = true;
        Ok(())
    }

    async fn suspend(&mut self) -> Result<(), Status> {
        let request =
            pb::SuspendOrganizationRequest { organization_id: self.organization_id.clone(), ..Default::default() };
        self.admin.organizations().suspend_organization(request).await?;
        self.model.suspended = true;
        Ok(())
    }

    async fn reactivate(&mut self) -> Result<(), Status> {
        let request =
            pb::ReactivateOrganizationRequest { organization_id: self.organization_id.clone(), ..Default::default() };
        self.admin.organizations().reactivate_organization(request).await?;
        self.model.suspended = false;
        Ok(())
    }

    /// Asserts that the service and the model are in the same state.
    async fn assert_is_as_the_model(&self, what: &str) {
        let organization_id = || self.organization_id.clone();
        let all = pb::ListMembershipsRequest { organization_id: organization_id(), ..Default::default() };
        let members = self.admin.memberships().list_memberships(all).await.answered().memberships;
        let members: BTreeSet<_> =
            members.into_iter().map(|created| (created.id, created.user_id, created.role)).collect();
        let expected = self.model.members.iter();
        let expected: BTreeSet<_> =
            expected.map(|(user, (id, role))| (id.clone(), self.user_id(*user), (*role).to_owned())).collect();
        assert_eq!(members, expected, "{what}");
        assert!(self.model.members.values().any(|(_, role)| *role == "owner"), "{what}: no owner");

        let all = pb::ListRolesRequest { organization_id: organization_id(), ..Default::default() };
        let roles = self.admin.roles().list_roles(all).await.answered().roles;
        let roles = roles.into_iter().filter(|role| !role.is_built_in);
        let roles: BTreeSet<_> = roles.map(|created| (created.id, created.name, created.permissions)).collect();
        let sorted = |permissions: &[&str]| {
            permissions.iter().map(ToString::to_string).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
        };
        let expected = self.model.roles.iter();
        let expected: BTreeSet<_> =
            expected.map(|(name, (id, permissions))| (id.clone(), (*name).to_owned(), sorted(permissions))).collect();
        assert_eq!(roles, expected, "{what}");

        let filter = Some(list_invitations_request::Filter::OrganizationId(organization_id()));
        let all = pb::ListInvitationsRequest { filter, ..Default::default() };
        let invitations = self.admin.invitations().list_invitations(all).await.answered().invitations;
        let invitations: BTreeSet<_> =
            invitations.into_iter().map(|created| (created.id, created.email, created.role)).collect();
        let expected = self.model.invitations.iter();
        let expected: BTreeSet<_> = expected
            .map(|(user, created)| (created.id.clone(), self.users[*user].0.email.clone(), created.role.to_owned()))
            .collect();
        assert_eq!(invitations, expected, "{what}");

        let owner = Some(list_api_keys_request::Owner::OrganizationId(organization_id()));
        let all = pb::ListApiKeysRequest { owner, include_revoked: true, ..Default::default() };
        let keys = self.admin.api_keys().list_api_keys(all).await.answered().api_keys;
        // Without the key that the organization calls with.
        let keys: BTreeSet<_> = keys
            .into_iter()
            .filter(|key| key.name == "created")
            .map(|key| (key.id, key.revoked_at.is_some()))
            .collect();
        let expected: BTreeSet<_> = self.model.keys.iter().map(|key| (key.id.clone(), key.revoked)).collect();
        assert_eq!(keys, expected, "{what}");
    }

    /// Purges the organization and reactivates the users.
    async fn clear(self) -> Vec<(pb::User, Api)> {
        let request =
            pb::PurgeOrganizationRequest { organization_id: self.organization_id.clone(), ..Default::default() };
        self.admin.organizations().purge_organization(request).await.unwrap();
        for user in (0..USERS).filter(|user| !self.model.active[*user]) {
            let request = pb::ReactivateUserRequest { user_id: self.user_id(user), ..Default::default() };
            self.admin.users().reactivate_user(request).await.unwrap();
        }
        self.users
    }
}

/// A random step and its actor.
fn any_step(random: &mut Random, keys: usize) -> (Actor, Step) {
    let actor = match random.below(8) {
        0 => Actor::Admin,
        1 => Actor::Key,
        _ => Actor::User(random.below(USERS)),
    };
    let role = random.one(&["owner", "admin", "member", "viewer", "clerk", "deputy", "host"]);
    let own_role = random.one(&OWN_ROLES);
    let (user, other, key) = (random.below(USERS), random.below(USERS), random.below(keys + 1));
    let permissions: Vec<&str> = (0..random.below(4)).map(|_| random.one(&OWN)).collect();
    let step = match random.below(24) {
        0..=2 => return (Actor::Admin, Step::Add(user, role)),
        3 | 4 => Step::SetRole(user, role),
        5 => Step::Remove(user),
        6 => Step::Leave(user),
        7 => Step::Transfer(user, other),
        8 | 9 => Step::CreateRole(own_role, permissions),
        10 => Step::UpdateRole(own_role, permissions),
        11 => Step::DeleteRole(own_role),
        12..=14 => Step::Invite(user, role),
        15 => Step::Resend(user),
        16 => Step::Revoke(user),
        17 => Step::Accept(user),
        18 => Step::Decline(user),
        19 => Step::CreateKey,
        20 => {
            if random.below(2) == 0 {
                Step::RotateKey(key)
            } else {
                Step::RevokeKey(key)
            }
        }
        21 => Step::VerifyKey(key),
        22 => {
            if random.below(2) == 0 {
                Step::SuspendUser(user)
            } else {
                Step::ReactivateUser(user)
            }
        }
        _ => Step::Suspend(random.below(3) == 0),
    };
    (actor, step)
}

/// Runs sequences. Returns the numbers of successful and refused steps.
async fn run_sequences(t: &Test, seed: u64, sequences: u64) -> (usize, usize) {
    let mut users = Vec::new();
    for _ in 0..USERS {
        let user = t.verified_user("user").await;
        let key = t.with_key(&t.user_key(&user).await);
        users.push((user, key));
    }
    let (mut done, mut refused) = (0, 0);
    for sequence in 0..sequences {
        let mut random = Random::new(seed.wrapping_add(sequence.wrapping_mul(0x1000_0000)));
        let mut world = World::make(t, users).await;
        let mut taken = Vec::new();
        for _ in 0..STEPS {
            let (actor, step) = any_step(&mut random, world.model.keys.len());
            let allowed = world.model.allows(actor, &step);
            let result = world.take(actor, &step).await;
            taken.push(format!("{actor:?} {step:?}: {}", if result.is_ok() { "done" } else { "refused" }));
            assert_eq!(
                result.is_ok(),
                allowed,
                "seed {seed}, sequence {sequence}: {result:?} after\n{}",
                taken.join("\n")
            );
            *if allowed { &mut done } else { &mut refused } += 1;
        }
        world.assert_is_as_the_model(&format!("seed {seed}, sequence {sequence} after\n{}", taken.join("\n"))).await;
        users = world.clear().await;
    }
    (done, refused)
}

/// Runs sequences on several workers. `TENANTRY_TEST_SEED` repeats those of a seed.
async fn follow_the_model(t: std::sync::Arc<Test>, sequences: u64) {
    let seed = std::env::var("TENANTRY_TEST_SEED").map_or_else(|_| rand_seed(), |seed| seed.parse().unwrap());
    println!("seed {seed}: TENANTRY_TEST_SEED={seed} runs the same sequences");
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let t = std::sync::Arc::clone(&t);
            tokio::spawn(async move { run_sequences(&t, seed.wrapping_add(worker << 56), sequences / WORKERS).await })
        })
        .collect();
    let (mut done, mut refused) = (0, 0);
    for worker in workers {
        let (of_worker, refused_of_worker) = worker.await.unwrap();
        done += of_worker;
        refused += refused_of_worker;
    }
    println!("{sequences} sequences: {done} steps done, {refused} refused");
    assert!(done > refused / 4 && refused > done / 4, "too few steps of one outcome: {done} done, {refused} refused");
    invariants::assert_hold(&t.database).await;
}

fn rand_seed() -> u64 {
    u64::from_be_bytes(tenantry::security::random::bytes())
}

#[both]
async fn random_sequences_do_what_a_model_says(t: Arc<Test>) {
    follow_the_model(t, 400).await;
}

/// Ten thousand, half of them on each database.
#[both(long)]
async fn slow_ten_thousand_random_sequences_do_what_a_model_says(backend: Backend) {
    run(backend, &[], |t| follow_the_model(t, 5_000)).await;
}
