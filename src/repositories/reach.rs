//! The rows that a caller can reach, as SQL, with one arm per table. Deleted resources, and everything that belongs to them, are out of
//! reach for every caller.
//!
//! Whether a row's owner is deleted is compared only after the row is found: without statistics, a planner would otherwise start from all
//! owners that are not deleted. Where PostgreSQL cannot turn an `EXISTS` into a join, it would collect all of those as well, so a single
//! value of the one owner is selected there instead.

use diesel::alias;

use crate::db::schema::{memberships, organizations};

// `VISIBLE`: memberships that make another user visible. `OWN`: the caller's memberships. `OWN_ORGANIZATIONS`: the caller's organizations.
alias! {
    pub(super) const VISIBLE: Alias<Visible> = memberships as seen;
    pub(super) const OWN: Alias<Own> = memberships as own;
    pub(super) const OWN_ORGANIZATIONS: Alias<OwnOrganizations> = organizations as own_organizations;
}

/// Ids of the organizations that a user is a member of and whose membership is not disabled.
macro_rules! organizations_of {
    ($user:expr) => {{
        use $crate::{
            db::schema::{memberships, organizations},
            repositories::reach::{OWN, OWN_ORGANIZATIONS},
        };
        OWN.filter(OWN.field(memberships::user_id).eq($user))
            .filter($crate::repositories::compared(
                OWN.field(memberships::state).eq($crate::models::MembershipState::Active),
            ))
            .filter($crate::repositories::compared(
                OWN_ORGANIZATIONS
                    .filter(OWN_ORGANIZATIONS.field(organizations::id).eq(OWN.field(memberships::organization_id)))
                    .select(OWN_ORGANIZATIONS.field(organizations::deleted_at).is_null())
                    .single_value(),
            ))
            .select(OWN.field(memberships::organization_id))
    }};
}

/// Restricts a boxed query to rows that are not deleted and within reach.
macro_rules! within {
    (users, $query:expr, $reach:expr) => {
        $crate::repositories::reach::within!(
            also deleted users, $crate::repositories::reach::everything!(users, $query), $reach
        )
    };
    (also deleted users, $query:expr, $reach:expr) => {{
        use $crate::repositories::reach::VISIBLE;
        match *$reach {
            Reach::Everything(_) => $query,
            Reach::Organization(organization) => $query.filter(exists(
                VISIBLE.filter(VISIBLE.field(memberships::user_id).eq(users::id))
                    .filter(VISIBLE.field(memberships::organization_id).eq(organization)),
            )),
            Reach::User(user) => $query.filter(
                users::id.eq(user).or(exists(
                    VISIBLE.filter(VISIBLE.field(memberships::user_id).eq(users::id)).filter(
                        VISIBLE.field(memberships::organization_id)
                            .eq_any($crate::repositories::reach::organizations_of!(user)),
                    ),
                )),
            ),
        }
    }};
    (organizations, $query:expr, $reach:expr) => {
        $crate::repositories::reach::within!(
            also deleted organizations, $query.filter(organizations::deleted_at.is_null()), $reach
        )
    };
    (also deleted organizations, $query:expr, $reach:expr) => {
        match *$reach {
            Reach::Everything(_) => $query,
            Reach::Organization(organization) => $query.filter(organizations::id.eq(organization)),
            Reach::User(user) => {
                $query.filter(organizations::id.eq_any($crate::repositories::reach::organizations_of!(user)))
            }
        }
    };
    (memberships, $query:expr, $reach:expr) => {{
        let alive = $crate::repositories::reach::everything!(memberships, $query);
        match *$reach {
            Reach::Everything(_) => alive,
            Reach::Organization(organization) => alive.filter(memberships::organization_id.eq(organization)),
            // The conditions of the list or lookup find the rows; the reach is only compared.
            Reach::User(user) => alive.filter($crate::repositories::compared(
                memberships::user_id.eq(user).or(memberships::organization_id
                    .eq_any($crate::repositories::reach::organizations_of!(user))),
            )),
        }
    }};
    (roles, $query:expr, $reach:expr) => {
        $crate::repositories::reach::within!(of organization roles, $query, $reach)
    };
    (invitations, $query:expr, $reach:expr) => {
        $crate::repositories::reach::within!(of organization invitations, $query, $reach)
    };
    // Tables whose rows belong to one organization.
    (of organization $table:ident, $query:expr, $reach:expr) => {{
        let alive = $crate::repositories::reach::everything!($table, $query);
        match *$reach {
            Reach::Everything(_) => alive,
            Reach::Organization(organization) => alive.filter($table::organization_id.eq(organization)),
            Reach::User(user) => {
                alive.filter($table::organization_id.eq_any($crate::repositories::reach::organizations_of!(user)))
            }
        }
    }};
    (api_keys, $query:expr, $reach:expr) => {{
        let alive = $query
            .filter(
                api_keys::user_id.is_null().or($crate::repositories::compared(
                    users::table
                        .filter(users::id.nullable().eq(api_keys::user_id))
                        .select(users::deleted_at.is_null())
                        .single_value(),
                )),
            )
            .filter(
                api_keys::organization_id.is_null().or($crate::repositories::compared(
                    organizations::table
                        .filter(organizations::id.nullable().eq(api_keys::organization_id))
                        .select(organizations::deleted_at.is_null())
                        .single_value(),
                )),
            );
        match *$reach {
            Reach::Everything(_) => alive,
            Reach::Organization(organization) => alive.filter(api_keys::organization_id.eq(organization)),
            // Permissions decide whether a user sees an organization's keys: see `get_as_member`.
            Reach::User(user) => alive.filter(api_keys::user_id.eq(user)),
        }
    }};
    // Events about a user. A caller that names an organization and may see its events reads them with the organization's reach.
    (events, $query:expr, $reach:expr) => {
        match *$reach {
            Reach::Everything(_) => $query,
            Reach::Organization(organization) => $query.filter(events::organization_id.eq(organization)),
            Reach::User(user) => $query.filter(events::user_id.eq(user)),
        }
    };
    // Tables whose rows belong to one user.
    ($table:ident, $query:expr, $reach:expr) => {{
        let alive = $crate::repositories::reach::everything!($table, $query);
        match *$reach {
            Reach::Everything(_) => alive,
            Reach::User(user) => alive.filter($table::user_id.eq(user)),
            // Members' own resources are not within an organization's reach.
            Reach::Organization(_) => alive.filter($table::id.ne($table::id)),
        }
    }};
}

/// Restricts a query to rows that are not deleted.
macro_rules! everything {
    (users, $query:expr) => {
        $query.filter(users::deleted_at.is_null())
    };
    (memberships, $query:expr) => {
        $query
            .filter(exists(
                users::table
                    .filter(users::id.eq(memberships::user_id))
                    .filter($crate::repositories::compared(users::deleted_at.is_null())),
            ))
            .filter(exists(
                organizations::table
                    .filter(organizations::id.eq(memberships::organization_id))
                    .filter($crate::repositories::compared(organizations::deleted_at.is_null())),
            ))
    };
    (roles, $query:expr) => {
        $crate::repositories::reach::everything!(of organization roles, $query)
    };
    (invitations, $query:expr) => {
        $crate::repositories::reach::everything!(of organization invitations, $query)
    };
    // Tables whose rows belong to one organization.
    (of organization $table:ident, $query:expr) => {
        $query.filter(exists(
            organizations::table
                .filter(organizations::id.eq($table::organization_id))
                .filter($crate::repositories::compared(organizations::deleted_at.is_null())),
        ))
    };
    // Tables whose rows belong to one user.
    ($table:ident, $query:expr) => {
        $query.filter(exists(
            users::table
                .filter(users::id.eq($table::user_id))
                .filter($crate::repositories::compared(users::deleted_at.is_null())),
        ))
    };
}

/// Finds at most one row that is not deleted and within reach. With a reach of everything, as most calling services have, the query's type
/// determines its text (see `first!`); any other query is boxed.
macro_rules! first_within {
    ($conn:expr, $table:ident, $query:expr, $reach:expr) => {
        if $reach.is_everything() {
            $crate::db::first!($conn, $crate::repositories::reach::everything!($table, $query))
        } else {
            $crate::db::query!($conn, c => {
                let query = $crate::repositories::reach::within!($table, $query.into_boxed::<Backend>(), $reach);
                async move { query.get_result(c).await.optional() }
            })
        }
    };
}

pub(super) use {everything, first_within, organizations_of, within};
