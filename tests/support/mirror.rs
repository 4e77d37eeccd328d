//! A client-side copy of all resources: a snapshot, and the events after it.

use std::collections::BTreeMap;

use tenantry::pb::{self, ResourceType, event::Resource, export_snapshot_response::Item};
use tonic::Status;

use super::Api;

/// Every kind of resource.
pub fn every_kind() -> Vec<ResourceType> {
    (1..=8).map(|number| ResourceType::try_from(number).unwrap()).collect()
}

/// All items of a snapshot.
pub async fn export(api: &Api, kinds: Vec<ResourceType>, organization_id: &str) -> Result<Vec<Item>, Status> {
    let resource_types = kinds.into_iter().map(i32::from).collect();
    let request = pb::ExportSnapshotRequest { resource_types, organization_id: organization_id.to_owned() };
    let mut messages = api.events().export_snapshot(request).await?.into_inner();
    let mut items = Vec::new();
    while let Some(message) = messages.message().await? {
        items.push(message.item.unwrap());
    }
    assert!(matches!(items.last(), Some(Item::Cursor(_))), "a snapshot ends with its cursor");
    Ok(items)
}

/// The kinds of resources that a tenant exports.
pub fn kinds_of_a_tenant() -> Vec<ResourceType> {
    use ResourceType as R;
    vec![R::User, R::Organization, R::Membership, R::ApiKey, R::Role, R::Invitation]
}

/// A copy of all resources, or of those of one organization.
#[derive(Clone, Debug, Default)]
pub struct Mirror {
    resources: BTreeMap<(i32, String), Item>,
    /// The organization whose resources it has; empty for all.
    organization_id: String,
    /// Sequence number of the last applied event.
    pub last: i64,
    pub cursor: String,
}

impl Mirror {
    /// Takes a snapshot of everything.
    pub async fn take(api: &Api) -> Result<Self, Status> {
        Self::of(api, every_kind(), "").await
    }

    /// Takes a snapshot of an organization.
    pub async fn of_organization(api: &Api, organization_id: &str) -> Result<Self, Status> {
        Self::of(api, kinds_of_a_tenant(), organization_id).await
    }

    async fn of(api: &Api, kinds: Vec<ResourceType>, organization_id: &str) -> Result<Self, Status> {
        let mut mirror = Self { organization_id: organization_id.to_owned(), ..Self::default() };
        for item in export(api, kinds, organization_id).await? {
            let (kind, id) = match &item {
                Item::Cursor(cursor) => {
                    mirror.cursor.clone_from(cursor);
                    continue;
                }
                Item::User(user) => (ResourceType::User, &user.id),
                Item::Organization(organization) => (ResourceType::Organization, &organization.id),
                Item::Membership(membership) => (ResourceType::Membership, &membership.id),
                Item::OauthAccount(account) => (ResourceType::OauthAccount, &account.id),
                Item::Session(token) => (ResourceType::Session, &token.id),
                Item::ApiKey(key) => (ResourceType::ApiKey, &key.id),
                Item::Role(role) => (ResourceType::Role, &role.id),
                Item::Invitation(invitation) => (ResourceType::Invitation, &invitation.id),
            };
            let twice = mirror.resources.insert((kind.into(), id.clone()), item);
            assert!(twice.is_none(), "a snapshot holds each resource once");
        }
        Ok(mirror)
    }

    /// Applies the next event.
    pub fn apply(&mut self, event: pb::Event) {
        assert!(event.sequence > self.last, "{} after {}", event.sequence, self.last);
        self.last = event.sequence;
        if event.resource_type() == ResourceType::Unspecified || event.changes.is_empty() && event.resource.is_none() {
            return;
        }
        let key = (event.resource_type, event.resource_id.clone());
        let held = self.resources.get(&key).map(revision).unwrap_or_default();
        // Sessions are exempt: their tokens come and go. A user is in the copy of an organization only as a member who is not deleted.
        let comes_and_goes = !self.organization_id.is_empty() && key.0 == i32::from(ResourceType::User);
        let begins = comes_and_goes && held == 0;
        if event.revision > 0 && event.resource.is_some() && !begins {
            assert_eq!(event.revision, held + 1, "an event is missing or out of order: {event:?}");
        }
        if !self.organization_id.is_empty() {
            self.apply_membership(&event);
        }
        let item = event.resource.map(|resource| match resource {
            Resource::User(user) => Item::User(user),
            Resource::Organization(organization) => Item::Organization(organization),
            Resource::Membership(membership) => Item::Membership(membership),
            Resource::OauthAccount(account) => Item::OauthAccount(account),
            Resource::Session(token) => Item::Session(token),
            Resource::ApiKey(key) => Item::ApiKey(key),
            Resource::Role(role) => Item::Role(role),
            Resource::Invitation(invitation) => Item::Invitation(invitation),
        });
        if let Some(item) = item {
            self.resources.insert(key, item);
        } else {
            let removed = self.resources.remove(&key);
            assert!(removed.is_some(), "a removed resource is unknown: {} {key:?}", event.action);
        }
    }

    /// The user of a membership in an organization comes and goes with it.
    fn apply_membership(&mut self, event: &pb::Event) {
        if event.resource_type() != ResourceType::Membership {
            return;
        }
        let key = (ResourceType::User.into(), event.user_id.clone());
        if let Some(member) = &event.member {
            assert_eq!(member.id, event.user_id);
            self.resources.insert(key, Item::User(member.clone()));
        } else if event.resource.is_none() {
            self.resources.remove(&key);
        }
    }

    /// The users in the copy.
    pub fn users(&self) -> impl Iterator<Item = &pb::User> {
        self.resources.values().filter_map(|item| if let Item::User(user) = item { Some(user) } else { None })
    }

    /// The memberships in the copy whose users are in it.
    pub fn members(&self) -> impl Iterator<Item = &pb::Membership> {
        let kind = i32::from(ResourceType::User);
        let memberships = self.resources.values().filter_map(|item| match item {
            Item::Membership(membership) => Some(membership),
            _ => None,
        });
        memberships.filter(move |membership| self.resources.contains_key(&(kind, membership.user_id.clone())))
    }

    /// True if it has a resource.
    pub fn has(&self, kind: ResourceType, id: &str) -> bool {
        self.resources.contains_key(&(kind.into(), id.to_owned()))
    }

    /// The ids of the OAuth accounts in the copy.
    pub fn oauth_accounts(&self) -> impl Iterator<Item = String> {
        let kind = i32::from(ResourceType::OauthAccount);
        self.resources.keys().filter(move |key| key.0 == kind).map(|key| key.1.clone())
    }

    /// Asserts that two copies are equal.
    pub fn assert_equals(&self, other: &Self) {
        for (key, item) in &other.resources {
            assert_eq!(self.resources.get(key), Some(item), "{key:?}");
        }
        assert_eq!(self.resources.len(), other.resources.len(), "the copies differ in size");
    }
}

fn revision(item: &Item) -> i64 {
    let etag = match item {
        Item::User(user) => &user.etag,
        Item::Organization(organization) => &organization.etag,
        Item::Membership(membership) => &membership.etag,
        Item::OauthAccount(account) => &account.etag,
        Item::ApiKey(key) => &key.etag,
        Item::Role(role) => &role.etag,
        Item::Invitation(invitation) => &invitation.etag,
        Item::Session(_) | Item::Cursor(_) => return 0,
    };
    etag.trim_start_matches('r').parse().unwrap()
}
