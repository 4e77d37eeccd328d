//! Organizations.

use super::{
    JsonObject, Name, OrganizationId, Revision, RoleName, SearchKey, Slug, Timestamp, UserId, WebUrl, locked::resource,
    stored::words,
};

/// A tenant.
#[derive(Clone, Debug)]
pub struct Organization {
    /// Names it.
    pub id: OrganizationId,
    /// Counts its writes.
    pub revision: Revision,
    /// What it is called.
    pub name: Name,
    /// What the search by name compares.
    pub name_normalized: SearchKey,
    /// Its name in URLs.
    pub slug: Slug,
    /// A picture.
    pub logo_url: Option<WebUrl>,
    /// What it pays for.
    pub plan: Plan,
    /// Free-form.
    pub settings: JsonObject,
    /// Whether its keys work.
    pub state: OrganizationState,
    /// Set on a tombstone.
    pub deleted_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
}

resource!(Organization);

words! {
    /// What an organization pays for.
    Plan {
        /// Costs nothing.
        Free = "free",
        /// The smallest paid plan.
        Starter = "starter",
        /// For teams.
        Pro = "pro",
        /// For large organizations.
        Enterprise = "enterprise",
    }
}

words! {
    /// Whether an organization's keys work.
    OrganizationState {
        /// They do.
        Active = "active",
        /// They do not, until it is reactivated.
        Suspended = "suspended",
    }
}

/// Which states a list holds.
#[derive(Clone, Copy, Debug, Default)]
pub enum StateFilter<S> {
    /// Every state, without the deleted.
    #[default]
    NotDeleted,
    /// This state, without the deleted.
    Is(S),
    /// The deleted.
    Deleted,
}

/// What a new organization is made of.
#[derive(Clone, Debug)]
pub struct NewOrganization {
    /// What it is called.
    pub name: Name,
    /// Its name in URLs, or `None` to make one of the name.
    pub slug: Option<Slug>,
    /// Who becomes its owner.
    pub owner_user_id: UserId,
    /// A picture.
    pub logo_url: Option<WebUrl>,
    /// What it pays for.
    pub plan: Plan,
    /// Free-form.
    pub settings: JsonObject,
}

impl NewOrganization {
    /// The organization, not yet stored.
    pub fn to_organization(&self, id: OrganizationId, slug: Slug, now: Timestamp) -> Organization {
        Organization {
            id,
            revision: 1,
            name_normalized: self.name.search_key(),
            name: self.name.clone(),
            slug,
            logo_url: self.logo_url.clone(),
            plan: self.plan,
            settings: self.settings.clone(),
            state: OrganizationState::Active,
            deleted_at: None,
            created_at: now,
            updated_at: now,
        }
    }
}

/// What an update writes; `None` leaves a field alone.
#[derive(Clone, Debug, Default)]
pub struct OrganizationChanges {
    /// What it is called.
    pub name: Option<Name>,
    /// Its name in URLs.
    pub slug: Option<Slug>,
    /// A picture, or none.
    pub logo_url: Option<Option<WebUrl>>,
    /// What it pays for.
    pub plan: Option<Plan>,
    /// Free-form.
    pub settings: Option<JsonObject>,
}

impl Organization {
    /// True if its keys work.
    pub fn is_active(&self) -> bool {
        self.state == OrganizationState::Active && self.deleted_at.is_none()
    }

    /// Writes `changes`.
    pub fn apply(&mut self, changes: OrganizationChanges) {
        if let Some(name) = changes.name {
            self.name_normalized = name.search_key();
            self.name = name;
        }
        if let Some(slug) = changes.slug {
            self.slug = slug;
        }
        if let Some(logo_url) = changes.logo_url {
            self.logo_url = logo_url;
        }
        if let Some(plan) = changes.plan {
            self.plan = plan;
        }
        if let Some(settings) = changes.settings {
            self.settings = settings;
        }
    }
}

/// Which organizations a list holds.
#[derive(Clone, Debug, Default)]
pub struct OrganizationFilter {
    /// On this plan.
    pub plan: Option<Plan>,
    /// In this state.
    pub state: StateFilter<OrganizationState>,
    /// Whose folded name begins so; orders the list by name.
    pub name_prefix: Option<SearchKey>,
    /// That this user is a member of.
    pub member_user_id: Option<UserId>,
}

/// Whose ownership becomes whose.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// Of this organization.
    pub organization_id: OrganizationId,
    /// Who is to be an owner.
    pub to: UserId,
    /// Who is to be none any more; `None` for the caller.
    pub from: Option<UserId>,
    /// What that one is to be instead.
    pub role: RoleName,
}
