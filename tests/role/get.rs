//! `RoleService.GetRole`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, get_role_request::Key};

use crate::support::{Answered as _, MISSING_ID, Test, both, refused};

fn by_id(id: &str) -> pb::GetRoleRequest {
    pb::GetRoleRequest { key: Some(Key::RoleId(id.to_owned())) }
}

fn by_name(organization: &str, name: &str) -> pb::GetRoleRequest {
    let named = pb::OrganizationAndRoleName { organization_id: organization.to_owned(), name: name.to_owned() };
    pb::GetRoleRequest { key: Some(Key::OrganizationAndName(named)) }
}

#[both]
async fn both_keys_find_it_for_every_member_and_for_nobody_else(t: Arc<Test>) {
    let (ada, bob, eve) = (t.user("ada").await, t.user("bob").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    let role = t.role(&acme, "billing", &["invoices:*"]).await;
    t.member(&bob, &acme, "viewer").await;
    for key in [t.user_key(&ada).await, t.user_key(&bob).await, t.organization_key(&acme).await] {
        for request in [by_id(&role.id), by_name(&acme.id, "billing")] {
            assert_eq!(t.with_key(&key).roles().get_role(request).await.answered().role.unwrap(), role);
        }
    }
    let other = t.organization(&eve).await;
    for key in [t.user_key(&eve).await, t.organization_key(&other).await] {
        let mut roles = t.with_key(&key).roles();
        for request in [by_id(&role.id), by_name(&acme.id, "billing"), by_id(MISSING_ID), by_name(&other.id, "billing")]
        {
            refused(roles.get_role(request).await, ErrorReason::RoleNotFound);
        }
    }
    for request in [by_name(&acme.id, "owner"), by_name(MISSING_ID, "owner")] {
        refused(t.with_key(&t.user_key(&eve).await).roles().get_role(request).await, ErrorReason::RoleNotFound);
    }
    for request in [pb::GetRoleRequest { key: None }, by_id("x"), by_name("", "")] {
        refused(t.admin().roles().get_role(request).await, ErrorReason::InvalidArgument);
    }
}

#[both]
async fn a_role_of_a_deleted_organization_is_not_found_until_it_is_restored(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let role = t.role(&acme, "billing", &[]).await;
    let delete = pb::DeleteOrganizationRequest { organization_id: acme.id.clone(), ..Default::default() };
    t.admin().organizations().delete_organization(delete).await.unwrap();
    refused(t.admin().roles().get_role(by_id(&role.id)).await, ErrorReason::RoleNotFound);
    let undelete = pb::UndeleteOrganizationRequest { organization_id: acme.id.clone(), ..Default::default() };
    t.admin().organizations().undelete_organization(undelete).await.unwrap();
    t.admin().roles().get_role(by_id(&role.id)).await.unwrap();
    let purge = pb::PurgeOrganizationRequest { organization_id: acme.id.clone(), ..Default::default() };
    t.admin().organizations().purge_organization(purge).await.unwrap();
    assert!(t.database.texts("SELECT name AS value FROM cf_roles").await.is_empty());
}

#[both]
async fn a_built_in_role_is_found_by_its_name_with_its_permissions(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "viewer").await;
    let mut roles = t.with_key(&t.user_key(&bob).await).roles();
    let every = ["memberships:read", "organizations:read", "roles:read", "users:read"];
    let member = ["invitations:read", every[0], every[1], every[2], every[3]];
    let withheld = ["organizations:delete", "organizations:transfer"];
    for (name, shown, gives, excluded) in [
        ("owner", "Owner", &["*"][..], &[][..]),
        ("admin", "Admin", &["*"], &withheld),
        ("member", "Member", &member, &[]),
        ("viewer", "Viewer", &every, &[]),
    ] {
        let role = roles.get_role(by_name(&acme.id, name)).await.answered().role.unwrap();
        assert_eq!(role.permissions, gives, "{name}");
        assert_eq!(role.excluded_permissions, excluded, "{name}");
        assert_eq!(
            (role.name.as_str(), role.display_name.as_str(), role.organization_id),
            (name, shown, acme.id.clone())
        );
        assert!(role.is_built_in && !role.description.is_empty());
        assert!(role.id.is_empty() && role.etag.is_empty() && role.created_at.is_none() && role.updated_at.is_none());
    }
}
