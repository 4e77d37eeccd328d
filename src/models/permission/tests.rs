#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

fn held(role: &str, given: &[&str]) -> HeldPermissions {
    let given = given.iter().map(|text| Scope::parse(text).unwrap()).collect();
    HeldPermissions::by(&RoleName::parse(role).unwrap(), &given)
}

#[test]
fn each_built_in_role_holds_more_than_the_next_and_none_holds_what_only_a_higher_one_does() {
    let roles = ["owner", "admin", "member", "viewer"].map(|role| held(role, &[]));
    for (at, higher) in roles.iter().enumerate() {
        assert!(higher.covers_all(higher));
        for lower in &roles[at + 1..] {
            assert!(higher.covers_all(lower) && !lower.covers_all(higher), "{higher:?} {lower:?}");
        }
    }
    let [owner, admin, member, viewer] = &roles;
    assert!(owner.covers("*") && !admin.covers("*") && !admin.covers("organizations:*"));
    assert!(admin.covers("organizations:write") && admin.covers("invoices:*") && !member.covers("invoices:read"));
    assert!(member.covers(READ_INVITATIONS) && !viewer.covers(READ_INVITATIONS));
    assert!(viewer.covers(READ_MEMBERSHIPS) && held("billing", &[]).covers(READ_MEMBERSHIPS));
}

#[test]
fn what_a_membership_gives_counts_beside_its_role() {
    let clerk = held("clerk", &["invoices:*"]);
    assert!(clerk.covers("invoices:write") && !clerk.covers("invoices_x:write"));
    assert!(held("admin", &[]).covers_all(&clerk) && !held("member", &[]).covers_all(&clerk));
    let deputy = held("admin", &["organizations:delete"]);
    assert!(deputy.covers_all(&held("admin", &[])) && !held("admin", &[]).covers_all(&deputy));
    assert!(held("viewer", &["*"]).covers_all(&held("owner", &[])));
    assert!(held("host", &["invitations:*"]).covers_all(&held("member", &[])));
    assert!(!held("host", &["invitations:write"]).covers_all(&held("member", &[])));
}

#[test]
fn no_permissions_cover_others_that_hold_more() {
    let names = OWN.into_iter().chain(["invoices:read", "invoices:write", "unnamed:read"]);
    let names: Vec<&str> = names.collect();
    let given = ["*", "organizations:*", "organizations:delete", "invitations:*", "invoices:read", "invoices:*"];
    let all: Vec<HeldPermissions> = ["owner", "admin", "member", "viewer", "clerk"]
        .into_iter()
        .flat_map(|role| [&[][..]].into_iter().chain(given.chunks(1)).map(move |given| held(role, given)))
        .collect();
    for holder in &all {
        for other in all.iter().filter(|other| holder.covers_all(other)) {
            let excess = names.iter().find(|name| other.covers(name) && !holder.covers(name));
            assert!(excess.is_none() && (holder.covers("*") || !other.covers("*")), "{holder:?} {other:?} {excess:?}");
        }
    }
}

#[test]
fn an_organizations_key_holds_what_its_scopes_say_and_never_more_than_an_admin() {
    let key =
        |scopes: &[&str]| HeldPermissions::by_own_key(&scopes.iter().map(|text| Scope::parse(text).unwrap()).collect());
    let (admin, clerk) = (held("admin", &[]), held("clerk", &["api_keys:write", "invoices:*"]));
    assert_eq!(key(&["*"]), admin);
    let wide = key(&["organizations:*", "organizations:delete"]);
    assert!(wide.covers(WRITE_ORGANIZATION) && !wide.covers(DELETE_ORGANIZATION) && admin.covers_all(&wide));
    assert!(clerk.covers_all(&key(&["invoices:read", "api_keys:write"])));
    assert!(!clerk.covers_all(&key(&["memberships:write"])) && !clerk.covers_all(&key(&["*"])));
    assert!(!key(&["memberships:write"]).covers_all(&admin));
}

#[test]
fn an_organizations_key_takes_away_only_what_its_scopes_hold_and_a_users_key_what_the_user_holds() {
    let scopes = |scopes: &[&str]| scopes.iter().map(|text| Scope::parse(text).unwrap()).collect();
    let narrow = scopes(&["memberships:write"]);
    let (admin, clerk) = (held("admin", &[]), held("clerk", &["memberships:write"]));
    assert!(held("admin", &[]).within(&narrow).outranks(&admin).is_ok());
    assert!(HeldPermissions::of_own_key(&narrow).outranks(&admin).is_err());
    assert!(HeldPermissions::of_own_key(&narrow).outranks(&clerk).is_ok());
    assert!(HeldPermissions::of_own_key(&narrow).outranks(&held("clerk", &["invoices:read"])).is_err());
    assert!(HeldPermissions::of_own_key(&scopes(&["*"])).outranks(&admin).is_ok());
}

#[test]
fn every_permission_of_the_service_is_well_formed_and_some_built_in_role_holds_it() {
    for permission in OWN {
        assert!(Scope::parse(permission).is_ok() && held("owner", &[]).covers(permission), "{permission}");
    }
}
