//! Everything that permissions allow, as a list.

use super::{Base, Basis, HeldPermissions, NOT_OF_ADMINS, OF_EVERY_MEMBER, OF_MEMBERS, Subject, UNNAMED};
use crate::models::{ApiKey, Membership, MembershipId, Permissions, Role, RoleName, Scope, scope};

/// Everything that is allowed: what `permissions` cover, except what `excluded` names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EffectivePermissions {
    /// Permissions and wildcards, sorted, none covered by another.
    pub permissions: Permissions,
    /// Permissions without wildcards that are withheld from a wildcard in `permissions`, sorted.
    pub excluded: Permissions,
}

impl EffectivePermissions {
    /// True if a permission without wildcards is allowed.
    pub fn allow(&self, permission: &Scope) -> bool {
        self.permissions.hold(permission) && !self.excluded.iter().any(|excluded| excluded == permission)
    }

    /// Those of these that the scopes of a credential cover too.
    pub fn within(&self, scopes: &Permissions) -> Self {
        let both = self.permissions.iter();
        let both = both.flat_map(|held| scopes.iter().filter_map(move |scope| narrower(held, scope)));
        Self::new(&both.cloned().collect(), &self.excluded)
    }

    fn new(permissions: &Permissions, withheld: &Permissions) -> Self {
        let is_withheld = |permission: &&Scope| withheld.iter().any(|withheld| withheld == *permission);
        let permissions = minimal(permissions).iter().filter(|permission| !is_withheld(permission)).cloned().collect();
        let excluded = withheld.iter().filter(|withheld| Permissions::hold(&permissions, withheld)).cloned().collect();
        Self { permissions, excluded }
    }
}

impl HeldPermissions {
    /// Everything that these permissions allow.
    pub fn effective(&self) -> EffectivePermissions {
        let base: &[&[&str]] = match self.base {
            Base::Nothing => &[],
            Base::EveryMember => &[&OF_EVERY_MEMBER],
            Base::Member => &[&OF_EVERY_MEMBER, &OF_MEMBERS],
            Base::Admin | Base::Everything => &[&[UNNAMED]],
        };
        let base = base.iter().flat_map(|permissions| permissions.iter().copied()).filter_map(parsed);
        let permissions: Permissions = base.chain(self.given.iter().cloned()).collect();
        let withheld: &[&str] = if self.base == Base::Admin { &NOT_OF_ADMINS } else { &[] };
        let withheld = withheld.iter().copied().filter_map(parsed).filter(|withheld| !self.given.hold(withheld));
        EffectivePermissions::new(&permissions, &withheld.collect()).within(&self.within)
    }
}

fn parsed(permission: &str) -> Option<Scope> {
    Scope::parse(permission).ok()
}

/// The narrower of two permissions, if one covers the other. Otherwise they have nothing in common.
fn narrower<'a>(one: &'a Scope, other: &'a Scope) -> Option<&'a Scope> {
    if one.covers(other) {
        Some(other)
    } else if other.covers(one) {
        Some(one)
    } else {
        None
    }
}

/// The same permissions without those that another one covers.
fn minimal(permissions: &Permissions) -> Permissions {
    let is_covered = |permission: &Scope| {
        permissions.iter().any(|other| other != permission && scope::covers(other.as_str(), permission.as_str()))
    };
    permissions.iter().filter(|permission| !is_covered(permission)).cloned().collect()
}

/// The permissions of a subject in an organization, and their sources.
#[derive(Clone, Debug)]
pub struct Allowed {
    /// Everything that is allowed.
    pub effective: EffectivePermissions,
    /// Why it is allowed, or why nothing is.
    pub basis: Basis,
    /// The membership, if any.
    pub membership: Option<Membership>,
    /// The membership's role, unless it is built in.
    pub role: Option<Role>,
    /// The key, if the subject is one.
    pub key: Option<ApiKey>,
}

impl Allowed {
    /// The permissions of a decision without a membership: everything to a platform admin, and nothing otherwise.
    pub fn of(basis: Basis) -> Self {
        let effective = match basis {
            Basis::PlatformAdmin => HeldPermissions::everything().effective(),
            _ => EffectivePermissions::default(),
        };
        Self { effective, basis, membership: None, role: None, key: None }
    }

    /// The permissions of an organization's own key there.
    pub fn of_own_key(key: &ApiKey) -> Self {
        let effective = HeldPermissions::by_own_key(&key.scopes).effective();
        Self { effective, ..Self::of(Basis::OrganizationKey) }
    }

    /// The same, limited to the scopes of a key.
    pub fn by_key(self, key: ApiKey) -> Self {
        let effective = self.effective.within(&key.scopes);
        let is_limited = self.basis.is_allowed() && effective.permissions.iter().next().is_none();
        let basis = if is_limited { Basis::ScopeMissing } else { self.basis };
        Self { effective, basis, key: Some(key), ..self }
    }

    /// The permissions of the membership's role, whether or not it is in force.
    pub fn role_gives(&self) -> EffectivePermissions {
        let own = self.role.as_ref().map(|role| role.permissions.clone()).unwrap_or_default();
        let gives = |membership: &Membership| HeldPermissions::by(&membership.role, &own).effective();
        self.membership.as_ref().map(gives).unwrap_or_default()
    }
}

/// A user or a key that has a permission in an organization.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The user or the key.
    pub subject: Subject,
    /// Why it is allowed.
    pub basis: Basis,
    /// The membership and its role; `None` for a key.
    pub membership: Option<(MembershipId, RoleName)>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WORDS: [&str; 12] = [
        "*",
        "organizations:*",
        "organizations:read",
        "organizations:delete",
        "organizations:transfer",
        "invoices:*",
        "invoices:read",
        "invoices:pay",
        "memberships:*",
        "memberships:read",
        "invitations:read",
        "reports:read",
    ];

    fn some() -> impl Strategy<Value = Permissions> {
        prop::collection::vec(prop::sample::select(WORDS.to_vec()), 0..5)
            .prop_map(|words| words.into_iter().filter_map(parsed).collect())
    }

    fn a_role() -> impl Strategy<Value = RoleName> {
        prop::sample::select(vec!["owner", "admin", "member", "viewer", "custom"])
            .prop_map(|role| RoleName::parse(role).unwrap())
    }

    proptest! {
        #[test]
        fn the_list_allows_exactly_what_a_check_allows(role in a_role(), given in some(), more in some(), scopes in some()) {
            let own_key = HeldPermissions::by_own_key(&scopes);
            for held in [HeldPermissions::by(&role, &given).and(&more), HeldPermissions::only(&given), own_key] {
                for held in [held.clone(), held.within(&scopes)] {
                    let effective = held.effective();
                    for word in WORDS.into_iter().filter(|word| !word.ends_with('*')) {
                        let permission = Scope::parse(word).unwrap();
                        prop_assert_eq!(effective.allow(&permission), held.covers(word), "{} {:?}", word, effective);
                    }
                    prop_assert!(effective.excluded.iter().all(|excluded| effective.permissions.hold(excluded)));
                    prop_assert_eq!(&minimal(&effective.permissions), &effective.permissions);
                }
            }
        }
    }
}
