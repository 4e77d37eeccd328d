//! Entries of metadata: the values at the top level by which lists are filtered.

use serde_json::Value;
use uuid::Uuid;

use super::{ApiKey, JsonObject, Membership, Organization, ResourceId, User, json, stored::words};

words! {
    /// The kinds of objects whose entries are found.
    MetadataKind {
        /// `User.metadata`.
        User = "user",
        /// `User.private_metadata`.
        UserPrivate = "user_private",
        /// `Organization.settings`.
        Organization = "organization",
        /// `Organization.private_metadata`.
        OrganizationPrivate = "organization_private",
        /// `Membership.metadata`.
        Membership = "membership",
        /// `Membership.private_metadata`.
        MembershipPrivate = "membership_private",
        /// `ApiKey.metadata`.
        ApiKey = "api_key",
    }
}

/// One key at the top level with a text, a number or a boolean as its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataEntry {
    /// The kind of object.
    pub kind: MetadataKind,
    /// The resource.
    pub resource_id: ResourceId,
    /// The key.
    pub key: String,
    /// The tenant whose lists find the entry; [`DEPLOYMENT`] for users and organizations.
    pub scope_id: ResourceId,
    /// The value as text.
    pub value: String,
}

/// The scope of resources that belong to no tenant.
pub const DEPLOYMENT: ResourceId = ResourceId(Uuid::nil());

/// A filter by the value of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataMatch {
    key: String,
    value: String,
}

impl MetadataMatch {
    /// Maximum size of a value that is found, in bytes.
    pub const MAX_VALUE_BYTES: usize = 256;

    /// Checks a key and a value; `Err` names the part of the filter that breaks a rule.
    pub fn parse(key: &str, value: &str) -> Result<Self, (&'static str, &'static str)> {
        json::check_key(key).map_err(|_| {
            ("key", "must have 1 to 128 bytes and no control, bidirectional formatting or invisible characters")
        })?;
        if value.len() > Self::MAX_VALUE_BYTES {
            return Err(("value", "must have at most 256 bytes, since longer values are not found by any filter"));
        }
        for (part, text) in [("key", key), ("value", value)] {
            // PostgreSQL cannot store NUL in a text.
            if text.contains('\0') {
                return Err((part, "must not contain NUL characters"));
            }
        }
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }

    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The value.
    pub fn value(&self) -> &str {
        &self.value
    }
}

/// Filters by metadata. Each finds its own object; together they find what matches both.
#[derive(Clone, Debug, Default)]
pub struct MetadataFilters {
    /// By the object that everybody sees who sees the resource.
    pub open: Option<MetadataMatch>,
    /// By the object that only platform admins see.
    pub private: Option<MetadataMatch>,
}

impl MetadataFilters {
    /// The filters that are set, each with the kind of its object.
    pub fn of(&self, open: MetadataKind, private: MetadataKind) -> Vec<(MetadataKind, &MetadataMatch)> {
        [(open, &self.open), (private, &self.private)]
            .into_iter()
            .filter_map(|(kind, filter)| Some((kind, filter.as_ref()?)))
            .collect()
    }

    /// The filter that drives a list; all are compared.
    pub fn driving(&self, open: MetadataKind, private: MetadataKind) -> Option<(MetadataKind, &MetadataMatch)> {
        self.of(open, private).into_iter().next()
    }

    /// True if one is set.
    pub fn is_any(&self) -> bool {
        self.open.is_some() || self.private.is_some()
    }
}

/// A resource with metadata.
pub trait Described {
    /// The resource.
    fn resource_id(&self) -> ResourceId;

    /// The tenant whose lists find its entries.
    fn scope_id(&self) -> ResourceId;

    /// Its objects, each with its kind.
    fn objects(&self) -> Vec<(MetadataKind, &JsonObject)>;

    /// Its entries, in order of kind and key.
    fn entries(&self) -> Vec<MetadataEntry> {
        let (resource_id, scope_id) = (self.resource_id(), self.scope_id());
        let entry = |kind, (key, value): (&String, &Value)| {
            let value = text(value).filter(|text| text.len() <= MetadataMatch::MAX_VALUE_BYTES)?;
            json::check_key(key).ok()?;
            Some(MetadataEntry { kind, resource_id, key: key.clone(), scope_id, value })
        };
        let objects = self.objects().into_iter();
        objects.flat_map(|(kind, object)| object.0.iter().filter_map(move |pair| entry(kind, pair))).collect()
    }
}

/// The text by which a value is found.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

impl Described for User {
    fn resource_id(&self) -> ResourceId {
        ResourceId(self.id.0)
    }

    fn scope_id(&self) -> ResourceId {
        DEPLOYMENT
    }

    fn objects(&self) -> Vec<(MetadataKind, &JsonObject)> {
        vec![(MetadataKind::User, &self.metadata), (MetadataKind::UserPrivate, &self.private_metadata)]
    }
}

impl Described for Organization {
    fn resource_id(&self) -> ResourceId {
        ResourceId(self.id.0)
    }

    fn scope_id(&self) -> ResourceId {
        DEPLOYMENT
    }

    fn objects(&self) -> Vec<(MetadataKind, &JsonObject)> {
        vec![(MetadataKind::Organization, &self.settings), (MetadataKind::OrganizationPrivate, &self.private_metadata)]
    }
}

impl Described for Membership {
    fn resource_id(&self) -> ResourceId {
        ResourceId(self.id.0)
    }

    fn scope_id(&self) -> ResourceId {
        ResourceId(self.organization_id.0)
    }

    fn objects(&self) -> Vec<(MetadataKind, &JsonObject)> {
        vec![(MetadataKind::Membership, &self.metadata), (MetadataKind::MembershipPrivate, &self.private_metadata)]
    }
}

impl Described for ApiKey {
    fn resource_id(&self) -> ResourceId {
        ResourceId(self.id.0)
    }

    fn scope_id(&self) -> ResourceId {
        let owner = self.organization_id.map(|id| id.0).or(self.user_id.map(|id| id.0));
        owner.map_or(DEPLOYMENT, ResourceId)
    }

    fn objects(&self) -> Vec<(MetadataKind, &JsonObject)> {
        vec![(MetadataKind::ApiKey, &self.metadata)]
    }
}
