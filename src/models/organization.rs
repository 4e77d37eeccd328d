//! Organizations.

use super::{
    ExternalId, Fragment, JsonChanges, JsonObject, MetadataFilters, Name, OrganizationId, Plan, Revision, RoleName,
    SearchKey, Slug, Timestamp, UserId, WebUrl, json::Overflow, resource::resource, search::searchable, stored::words,
};

/// A tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct Organization {
    /// The id.
    pub id: OrganizationId,
    /// Incremented by each write.
    pub revision: Revision,
    /// The display name.
    pub name: Name,
    /// The name as compared by searches.
    pub name_normalized: SearchKey,
    /// Its name in URLs.
    pub slug: Slug,
    /// The URL of a logo.
    pub logo_url: Option<WebUrl>,
    /// The plan.
    pub plan: Plan,
    /// Free-form settings.
    pub settings: JsonObject,
    /// The state.
    pub state: OrganizationState,
    /// When it was deleted. It can be restored until it is purged.
    pub deleted_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
    /// The id of the organization in another system.
    pub external_id: Option<ExternalId>,
    /// Free-form metadata that only platform admins see.
    pub private_metadata: JsonObject,
}

resource!(Organization);

words! {
    /// The state of an organization.
    OrganizationState {
        /// Its keys can be used.
        Active = "active",
        /// Its keys cannot be used until it is reactivated.
        Suspended = "suspended",
    }
}

/// A filter by state.
#[derive(Clone, Copy, Debug, Default)]
pub enum StateFilter<S> {
    /// Every state, excluding deleted ones.
    #[default]
    NotDeleted,
    /// This state, excluding deleted ones.
    Is(S),
    /// Only deleted ones.
    Deleted,
}

/// An organization to create.
#[derive(Clone, Debug)]
pub struct NewOrganization {
    /// The display name.
    pub name: Name,
    /// Its name in URLs; `None` to derive it from the name.
    pub slug: Option<Slug>,
    /// The owner.
    pub owner_user_id: UserId,
    /// The URL of a logo.
    pub logo_url: Option<WebUrl>,
    /// The plan; `None` for the deployment's first.
    pub plan: Option<Plan>,
    /// Free-form settings.
    pub settings: JsonObject,
    /// The id of the organization in another system.
    pub external_id: Option<ExternalId>,
    /// Free-form metadata that only platform admins see.
    pub private_metadata: JsonObject,
    /// Whether the slug may be a reserved one.
    pub allow_reserved_slug: bool,
}

impl NewOrganization {
    /// True if it sets what only platform admins set, besides the plan.
    pub fn is_of_the_platform(&self) -> bool {
        self.allow_reserved_slug || self.external_id.is_some() || !self.private_metadata.0.is_empty()
    }

    /// The organization, not yet stored.
    pub fn to_organization(&self, id: OrganizationId, slug: Slug, plan: Plan, now: Timestamp) -> Organization {
        Organization {
            id,
            revision: 1,
            name_normalized: self.name.search_key(),
            name: self.name.clone(),
            slug,
            logo_url: self.logo_url.clone(),
            plan,
            settings: self.settings.clone(),
            state: OrganizationState::Active,
            deleted_at: None,
            created_at: now,
            updated_at: now,
            external_id: self.external_id.clone(),
            private_metadata: self.private_metadata.clone(),
        }
    }
}

/// Fields to update; `None` leaves a field unchanged.
#[derive(Clone, Debug, Default)]
pub struct OrganizationChanges {
    /// The display name.
    pub name: Option<Name>,
    /// Its name in URLs.
    pub slug: Option<Slug>,
    /// The URL of a logo; `Some(None)` removes it.
    pub logo_url: Option<Option<WebUrl>>,
    /// The plan.
    pub plan: Option<Plan>,
    /// Free-form settings.
    pub settings: Option<JsonChanges>,
    /// The id of the organization in another system; `Some(None)` removes it.
    pub external_id: Option<Option<ExternalId>>,
    /// Free-form metadata that only platform admins see.
    pub private_metadata: Option<JsonChanges>,
    /// Whether the slug may be a reserved one.
    pub allow_reserved_slug: bool,
}

impl OrganizationChanges {
    /// True if they change what only platform admins set.
    pub fn are_of_the_platform(&self) -> bool {
        self.plan.is_some() || self.external_id.is_some() || self.private_metadata.is_some() || self.allow_reserved_slug
    }
}

impl Organization {
    /// True if it is neither suspended nor deleted.
    pub fn is_active(&self) -> bool {
        self.state == OrganizationState::Active && self.deleted_at.is_none()
    }

    /// The text that the organization is searched by.
    pub fn searched(&self) -> String {
        searchable(&[self.name.as_str(), self.slug.as_str()])
    }

    /// Applies `changes`.
    pub fn apply(&mut self, changes: OrganizationChanges) -> Result<(), Overflow> {
        // Without `..`: a forgotten field does not compile.
        let OrganizationChanges {
            name,
            slug,
            logo_url,
            plan,
            settings,
            external_id,
            private_metadata,
            allow_reserved_slug: _,
        } = changes;
        if let Some(name) = name {
            self.name_normalized = name.search_key();
            self.name = name;
        }
        if let Some(slug) = slug {
            self.slug = slug;
        }
        if let Some(logo_url) = logo_url {
            self.logo_url = logo_url;
        }
        if let Some(plan) = plan {
            self.plan = plan;
        }
        if let Some(settings) = settings {
            settings.apply("settings", &mut self.settings)?;
        }
        if let Some(external_id) = external_id {
            self.external_id = external_id;
        }
        if let Some(private_metadata) = private_metadata {
            private_metadata.apply("private_metadata", &mut self.private_metadata)?;
        }
        Ok(())
    }
}

/// A filter of organizations.
#[derive(Clone, Debug, Default)]
pub struct OrganizationFilter {
    /// On this plan.
    pub plan: Option<Plan>,
    /// In this state.
    pub state: StateFilter<OrganizationState>,
    /// Whose folded name starts with this; orders the list by name.
    pub name_prefix: Option<SearchKey>,
    /// With this user as a member.
    pub member_user_id: Option<UserId>,
    /// Whose name or slug contains this.
    pub fragment: Option<Fragment>,
    /// With these values in their settings and private metadata.
    pub metadata: MetadataFilters,
    /// With this id in another system.
    pub external_id: Option<ExternalId>,
}

/// A transfer of ownership.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// The organization.
    pub organization_id: OrganizationId,
    /// The new owner.
    pub to: UserId,
    /// The former owner; `None` for the caller.
    pub from: Option<UserId>,
    /// The new role of the former owner.
    pub role: RoleName,
}
