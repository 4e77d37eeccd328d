//! Settings of organizations.

use clap::Args;

use crate::models::{Plans, ReservedSlugs, Slug};

/// Settings of organizations.
#[derive(Args, Clone, Debug)]
pub struct OrganizationArgs {
    /// Plans on offer, comma-separated: each 1 to 63 of `a-z`, `0-9` and `-`. The first is the plan of an organization that is created
    /// without one. Empty: any plan, and `free` for an organization without one. Organizations keep plans that are no longer on offer
    #[arg(long, env = "TENANTRY_PLANS", value_name = "NAMES", default_value = "free,starter,pro,enterprise",
          hide_env_values = true, value_parser = Plans::parse)]
    pub plans: Plans,

    /// Slugs that organizations cannot choose, comma-separated, in addition to the shipped list (`admin`, `api`, `login` and others).
    /// Platform admins can allow one
    #[arg(long, env = "TENANTRY_RESERVED_SLUGS", value_name = "SLUGS", value_delimiter = ',', hide_env_values = true,
          value_parser = Slug::parse)]
    pub reserved_slugs: Vec<Slug>,
}

impl OrganizationArgs {
    /// The reserved slugs: the shipped ones and those of the settings.
    pub fn reserved(&self) -> ReservedSlugs {
        ReservedSlugs::with(&self.reserved_slugs)
    }
}
