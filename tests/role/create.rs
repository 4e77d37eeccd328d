//! `RoleService.CreateRole`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};
use tonic_types::StatusExt as _;

use crate::support::{Answered as _, MISSING_ID, Test, both, refusal::fields, refused};

fn new(organization_id: &str, name: &str, permissions: &[&str]) -> pb::CreateRoleRequest {
    pb::CreateRoleRequest {
        organization_id: organization_id.to_owned(),
        name: name.to_owned(),
        permissions: permissions.iter().map(ToString::to_string).collect(),
        ..Default::default()
    }
}

#[both]
async fn an_organization_has_a_name_once_and_another_one_has_it_too(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (acme, initech) = (t.organization(&ada).await, t.organization(&ada).await);
    let mut roles = t.with_key(&t.user_key(&ada).await).roles();
    let request = pb::CreateRoleRequest {
        description: " Pays ".to_owned(),
        display_name: " Billing & Co ".to_owned(),
        ..new(&acme.id, "billing", &["b:x", "a:*", "b:x"])
    };
    let created = roles.create_role(request.clone()).await.answered().role.unwrap();
    assert_eq!(
        (created.name.as_str(), created.description.as_str(), created.permissions.as_slice()),
        ("billing", "Pays", &["a:*".to_owned(), "b:x".to_owned()][..])
    );
    refused(roles.create_role(request).await, ErrorReason::RoleExists);
    assert_eq!((created.display_name.as_str(), created.is_built_in), ("Billing & Co", false));
    roles.create_role(new(&initech.id, "billing", &[])).await.unwrap();
    let long = pb::CreateRoleRequest { display_name: "x".repeat(201), ..new(&acme.id, "long", &[]) };
    let status = refused(roles.create_role(long).await, ErrorReason::InvalidArgument);
    assert_eq!(fields(&status), ["display_name"]);
    refused(roles.create_role(new(MISSING_ID, "billing", &[])).await, ErrorReason::OrganizationNotFound);
    for name in ["owner", "admin", "member", "viewer", "Billing", ""] {
        let status = refused(roles.create_role(new(&acme.id, name, &["a b"])).await, ErrorReason::InvalidArgument);
        assert_eq!(fields(&status), ["name", "permissions[0]"]);
    }
}

#[both]
async fn nobody_makes_a_role_that_holds_more_than_oneself(t: Arc<Test>) {
    let (ada, bob, carl) = (t.user("ada").await, t.user("bob").await, t.user("carl").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "admin").await;
    t.member(&carl, &acme, "member").await;
    for key in [t.user_key(&bob).await, t.organization_key(&acme).await] {
        let mut roles = t.with_key(&key).roles();
        for too_much in ["*", "organizations:*", "organizations:delete", "organizations:transfer"] {
            refused(roles.create_role(new(&acme.id, "deputy", &[too_much])).await, ErrorReason::RoleInsufficient);
        }
        let name = crate::support::given::unique("clerk-");
        roles.create_role(new(&acme.id, &name, &["invoices:*", "memberships:write"])).await.unwrap();
    }
    let mut roles = t.with_key(&t.user_key(&carl).await).roles();
    refused(roles.create_role(new(&acme.id, "clerk", &[])).await, ErrorReason::RoleInsufficient);
}

#[both(options = ["--max-calls", "256"])]
async fn an_organization_has_at_most_100_roles_also_when_many_are_made_at_once(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let created: Vec<_> = (0..110)
        .map(|number| {
            let (mut roles, request) = (t.admin().roles(), new(&acme.id, &format!("role-{number}"), &[]));
            tokio::spawn(async move { roles.create_role(request).await })
        })
        .collect();
    let mut refusals = 0;
    for call in created {
        if let Err(status) = call.await.unwrap() {
            let status = refused::<()>(Err(status), ErrorReason::LimitReached);
            let info = status.get_details_error_info().unwrap();
            assert_eq!((info.metadata["limit"].as_str(), info.metadata["most"].as_str()), ("roles", "100"));
            refusals += 1;
        }
    }
    assert_eq!(refusals, 10);
}
