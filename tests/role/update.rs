//! `RoleService.UpdateRole`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, create_api_key_request::Owner};

use crate::support::{Answered as _, MISSING_ID, Test, both, mask, question, refused};

fn permissions(role: &pb::Role, permissions: &[&str]) -> pb::UpdateRoleRequest {
    pb::UpdateRoleRequest {
        role_id: role.id.clone(),
        permissions: permissions.iter().map(ToString::to_string).collect(),
        update_mask: mask(&["permissions"]),
        ..Default::default()
    }
}

fn list(organization: &pb::Organization) -> pb::ListApiKeysRequest {
    let owner = Some(pb::list_api_keys_request::Owner::OrganizationId(organization.id.clone()));
    pb::ListApiKeysRequest { owner, ..Default::default() }
}

#[both]
async fn only_the_fields_of_the_mask_change(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let role = t.role(&acme, "billing", &["invoices:read"]).await;
    let mut roles = t.with_key(&t.user_key(&ada).await).roles();
    let request = pb::UpdateRoleRequest { etag: role.etag.clone(), ..permissions(&role, &["invoices:*"]) };
    let updated = roles.update_role(request.clone()).await.answered().role.unwrap();
    assert_eq!(
        (updated.permissions.as_slice(), &updated.description),
        (&["invoices:*".to_owned()][..], &role.description)
    );
    refused(roles.update_role(request).await, ErrorReason::EtagMismatch);
    let clear = pb::UpdateRoleRequest { update_mask: mask(&["description"]), ..permissions(&role, &[]) };
    let cleared = roles.update_role(clear).await.answered().role.unwrap();
    assert_eq!((cleared.permissions.as_slice(), cleared.description.as_str()), (&["invoices:*".to_owned()][..], ""));
    for name in ["Billing", ""] {
        let rename = pb::UpdateRoleRequest {
            display_name: name.to_owned(),
            update_mask: mask(&["display_name"]),
            ..permissions(&role, &[])
        };
        let renamed = roles.update_role(rename).await.answered().role.unwrap();
        assert_eq!((renamed.display_name.as_str(), renamed.name.as_str()), (name, "billing"));
    }
    let hostile = pb::UpdateRoleRequest {
        display_name: "a\u{202E}b".to_owned(),
        update_mask: mask(&["display_name"]),
        ..permissions(&role, &[])
    };
    refused(roles.update_role(hostile).await, ErrorReason::InvalidArgument);
    let missing = pb::Role { id: MISSING_ID.to_owned(), ..Default::default() };
    refused(roles.update_role(permissions(&missing, &[])).await, ErrorReason::RoleNotFound);
    let unknown = pb::UpdateRoleRequest { update_mask: mask(&["name"]), ..permissions(&role, &[]) };
    refused(roles.update_role(unknown).await, ErrorReason::InvalidArgument);
}

#[both]
async fn a_role_gives_and_takes_with_the_next_call(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let role = t.role(&acme, "keeper", &[]).await;
    t.member(&bob, &acme, "keeper").await;
    let bobs = t.with_key(&t.user_key(&bob).await);
    let (key, text) = t.key(Owner::OrganizationId(acme.id.clone()), &["x:y"]).await;
    let get = pb::GetApiKeyRequest { api_key_id: key.id.clone() };
    let verify = pb::VerifyApiKeyRequest { question: question(&text) };
    let events = pb::ListEventsRequest { organization_id: acme.id.clone(), ..Default::default() };
    let rename = pb::UpdateOrganizationRequest {
        organization_id: acme.id.clone(),
        name: "Acme 2".to_owned(),
        update_mask: mask(&["name"]),
        ..Default::default()
    };
    for _ in 0..3 {
        refused(bobs.api_keys().list_api_keys(list(&acme)).await, ErrorReason::RoleInsufficient);
        refused(bobs.api_keys().get_api_key(get.clone()).await, ErrorReason::ApiKeyNotFound);
        refused(bobs.events().list_events(events.clone()).await, ErrorReason::RoleInsufficient);
        refused(bobs.organizations().update_organization(rename.clone()).await, ErrorReason::RoleInsufficient);
        let answer = bobs.api_keys().verify_api_key(verify.clone()).await.answered().verification.unwrap();
        assert_eq!(answer.verdict(), pb::ApiKeyVerdict::Unknown);
        let all = ["api_keys:read", "events:read", "organizations:write"];
        t.admin().roles().update_role(permissions(&role, &all)).await.unwrap();
        assert_eq!(bobs.api_keys().list_api_keys(list(&acme)).await.answered().api_keys.len(), 1);
        bobs.api_keys().get_api_key(get.clone()).await.unwrap();
        assert!(!bobs.events().list_events(events.clone()).await.answered().events.is_empty());
        bobs.organizations().update_organization(rename.clone()).await.unwrap();
        let answer = bobs.api_keys().verify_api_key(verify.clone()).await.answered().verification.unwrap();
        assert_eq!(answer.verdict(), pb::ApiKeyVerdict::Valid);
        // Permission to read a key does not allow changing it.
        let revoke = pb::RevokeApiKeyRequest { api_key_id: key.id.clone(), ..Default::default() };
        refused(bobs.api_keys().revoke_api_key(revoke).await, ErrorReason::RoleInsufficient);
        t.admin().roles().update_role(permissions(&role, &[])).await.unwrap();
    }
}

#[both]
async fn nobody_changes_a_role_to_or_from_more_than_oneself(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "admin").await;
    let (deputy, clerk) = (t.role(&acme, "deputy", &["*"]).await, t.role(&acme, "clerk", &["invoices:read"]).await);
    for key in [t.user_key(&bob).await, t.organization_key(&acme).await] {
        let mut roles = t.with_key(&key).roles();
        refused(roles.update_role(permissions(&deputy, &[])).await, ErrorReason::RoleInsufficient);
        refused(roles.update_role(permissions(&clerk, &["organizations:delete"])).await, ErrorReason::RoleInsufficient);
        roles.update_role(permissions(&clerk, &["invoices:*"])).await.unwrap();
    }
    t.with_key(&t.user_key(&ada).await).roles().update_role(permissions(&deputy, &["users:*"])).await.unwrap();
}

#[both]
async fn a_caller_gives_no_role_and_no_permission_beyond_its_own(t: Arc<Test>) {
    let (ada, bob, carl) = (t.user("ada").await, t.user("bob").await, t.user("carl").await);
    let acme = t.organization(&ada).await;
    t.role(&acme, "recruiter", &["memberships:write", "invoices:read"]).await;
    t.role(&acme, "clerk", &["invoices:read"]).await;
    t.role(&acme, "payer", &["invoices:write"]).await;
    t.member(&bob, &acme, "recruiter").await;
    let carls = t.member(&carl, &acme, "viewer").await;
    let mut memberships = t.with_key(&t.user_key(&bob).await).memberships();
    let change = |role: &str, given: &[&str], paths: &[&str]| pb::UpdateMembershipRequest {
        membership_id: carls.id.clone(),
        role: role.to_owned(),
        permissions: given.iter().map(ToString::to_string).collect(),
        update_mask: mask(paths),
        ..Default::default()
    };
    for role in ["payer", "member", "admin", "owner"] {
        refused(memberships.update_membership(change(role, &[], &["role"])).await, ErrorReason::RoleInsufficient);
    }
    for given in ["invoices:write", "invoices:*", "*", "api_keys:read"] {
        refused(
            memberships.update_membership(change("", &[given], &["permissions"])).await,
            ErrorReason::RoleInsufficient,
        );
    }
    refused(memberships.update_membership(change("nobody", &[], &["role"])).await, ErrorReason::RoleNotFound);
    memberships.update_membership(change("clerk", &["invoices:read"], &["role", "permissions"])).await.unwrap();
    t.admin().memberships().update_membership(change("payer", &[], &["role"])).await.unwrap();
    refused(memberships.update_membership(change("viewer", &[], &["role"])).await, ErrorReason::RoleInsufficient);
    let end = pb::DeleteMembershipRequest { membership_id: carls.id.clone(), ..Default::default() };
    refused(memberships.delete_membership(end).await, ErrorReason::RoleInsufficient);
}
