//! `validate_only` reports the effects of a call and changes nothing.

use std::sync::Arc;

use prost_reflect::{DynamicMessage, Value};
use tenantry::pb::{self, ErrorReason, create_api_key_request::Owner};

use crate::{
    events::ready,
    support::{Answered as _, Test, both, mask, raw, refused, request::encode},
};

fn reasons(impact: &pb::Impact) -> Vec<ErrorReason> {
    impact.blockers.iter().map(pb::Blocker::reason).collect()
}

#[both]
async fn with_validate_only_every_method_that_has_it_changes_nothing_and_can_be_called_after(t: Arc<Test>) {
    let methods =
        raw::methods().into_iter().filter(|method| method.input().get_field_by_name("validate_only").is_some());
    let methods: Vec<_> = methods.collect();
    assert_eq!(methods.len(), 6);
    for method in methods {
        let (_, request) = ready(&t, &method).await;
        let mut asking = DynamicMessage::decode(method.input(), request.as_slice()).unwrap();
        asking.set_field_by_name("validate_only", Value::Bool(true));
        asking.set_field_by_name("request_id", Value::String(uuid::Uuid::new_v4().to_string()));
        let before = t.database.rows().await;
        let call = async |bytes: Vec<u8>| {
            let answer = raw::call(&t.anonymous(), &raw::path(&method), bytes, raw::bearer(&[&t.admin_key])).await;
            DynamicMessage::decode(method.output(), answer.unwrap().as_slice()).unwrap()
        };
        for _ in 0..2 {
            assert!(call(encode(&asking)).await.has_field_by_name("impact"), "{}", method.full_name());
        }
        assert_eq!(t.database.rows().await, before, "{}", method.full_name());
        assert!(!call(request).await.has_field_by_name("impact"), "{}", method.full_name());
        assert_ne!(t.database.rows().await, before, "{}", method.full_name());
    }
}

#[both]
async fn dependents_of_a_user_are_counted_and_every_blocker_reported(t: Arc<Test>) {
    let admin = t.first_admin().await;
    let acme = t.organization(&admin).await;
    let other = t.organization(&t.user("ada").await).await;
    t.member(&admin, &other, "member").await;
    t.session(&admin).await;
    t.session(&admin).await;
    t.invitation(&t.organization(&t.user("eve").await).await, &admin.email, "member").await;
    let suspend = pb::SuspendUserRequest { user_id: admin.id.clone(), validate_only: true, ..Default::default() };
    let answer = t.admin().users().suspend_user(suspend).await.answered();
    let impact = answer.impact.unwrap();
    assert_eq!((impact.memberships, impact.api_keys, impact.sessions, impact.invitations), (2, 1, 2, 1));
    assert_eq!(answer.user.unwrap().state(), pb::UserState::Suspended);
    assert_eq!(reasons(&impact), [ErrorReason::LastPlatformAdmin]);
    // Owning an organization does not prevent a suspension.
    assert_eq!(impact.organizations_without_owner, std::slice::from_ref(&acme.id));
    let delete = pb::DeleteUserRequest { user_id: admin.id.clone(), validate_only: true, ..Default::default() };
    let deleted = t.admin().users().delete_user(delete.clone()).await.answered().impact.unwrap();
    assert_eq!(reasons(&deleted), [ErrorReason::LastPlatformAdmin, ErrorReason::LastOwner]);
    assert_eq!(deleted.blockers[1].organization_ids, [acme.id]);
    assert_eq!((deleted.memberships, deleted.sessions), (impact.memberships, impact.sessions));
    assert_eq!(t.reload_user(&admin.id).await.state(), pb::UserState::Active);
    // Permissions, ids and etags do not depend on the state: they are refused as usual.
    let stale = pb::DeleteUserRequest { etag: "r9".to_owned(), ..delete.clone() };
    refused(t.admin().users().delete_user(stale).await, ErrorReason::EtagMismatch);
    let eves = t.with_key(&t.user_key(&t.user("eve").await).await);
    refused(eves.users().delete_user(delete).await, ErrorReason::PlatformAdminRequired);
}

#[both]
async fn dependents_of_an_organization_are_counted(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "member").await;
    t.invitation(&acme, "carl@example.com", "member").await;
    t.key(Owner::OrganizationId(acme.id.clone()), &["*"]).await;
    t.session(&bob).await;
    let suspend =
        pb::SuspendOrganizationRequest { organization_id: acme.id.clone(), validate_only: true, ..Default::default() };
    let mut admin = t.admin().organizations();
    let impact = admin.suspend_organization(suspend.clone()).await.answered().impact.unwrap();
    assert_eq!(impact, pb::Impact { memberships: 2, api_keys: 1, invitations: 1, ..Default::default() });
    let delete =
        pb::DeleteOrganizationRequest { organization_id: acme.id.clone(), validate_only: true, ..Default::default() };
    let mut owners = t.with_key(&t.user_key(&ada).await).organizations();
    assert_eq!(owners.delete_organization(delete.clone()).await.answered().impact.unwrap(), impact);
    refused(
        t.with_key(&t.user_key(&bob).await).organizations().delete_organization(delete.clone()).await,
        ErrorReason::RoleInsufficient,
    );
    admin
        .suspend_organization(pb::SuspendOrganizationRequest { validate_only: false, ..suspend.clone() })
        .await
        .unwrap();
    let nothing = admin.suspend_organization(suspend).await.answered().impact.unwrap();
    assert_eq!(nothing, pb::Impact::default());
    let blocked = owners.delete_organization(delete).await.answered().impact.unwrap();
    assert_eq!(reasons(&blocked), [ErrorReason::OrganizationSuspended]);
}

#[both]
async fn a_transfer_and_a_change_of_role_return_their_result_and_their_blockers(t: Arc<Test>) {
    let (ada, bob, carl) = (t.user("ada").await, t.user("bob").await, t.user("carl").await);
    let acme = t.organization(&ada).await;
    let bobs = t.member(&bob, &acme, "admin").await;
    t.member(&carl, &acme, "viewer").await;
    let transfer = |from: &pb::User, to: &pb::User| pb::TransferOwnershipRequest {
        organization_id: acme.id.clone(),
        new_owner_user_id: to.id.clone(),
        former_owner_user_id: from.id.clone(),
        validate_only: true,
        ..Default::default()
    };
    let mut owners = t.with_key(&t.user_key(&ada).await);
    let answer = owners.organizations().transfer_ownership(transfer(&ada, &bob)).await.answered();
    assert_eq!(
        (answer.new_owner.unwrap().role.as_str(), answer.former_owner.unwrap().role.as_str()),
        ("owner", "admin")
    );
    assert_eq!(answer.impact.unwrap(), pb::Impact { memberships: 2, ..Default::default() });
    t.suspend(&bob).await;
    let blocked = owners.organizations().transfer_ownership(transfer(&carl, &bob)).await.answered().impact.unwrap();
    assert_eq!(reasons(&blocked), [ErrorReason::NotAnOwner, ErrorReason::UserSuspended]);
    let role = |membership: &pb::Membership, role: &str| pb::UpdateMembershipRequest {
        membership_id: membership.id.clone(),
        role: role.to_owned(),
        update_mask: mask(&["role"]),
        validate_only: true,
        ..Default::default()
    };
    let promoted = owners.memberships().update_membership(role(&bobs, "owner")).await.answered();
    assert_eq!(reasons(&promoted.impact.unwrap()), [ErrorReason::UserSuspended]);
    let adas = t.membership(&ada.id, &acme.id).await.unwrap();
    let demoted = owners.memberships().update_membership(role(&adas, "viewer")).await.answered();
    assert_eq!(
        (demoted.membership.unwrap().role.as_str(), reasons(&demoted.impact.unwrap())),
        ("viewer", vec![ErrorReason::LastOwner])
    );
    refused(owners.memberships().update_membership(role(&adas, "nothing")).await, ErrorReason::RoleNotFound);
    owners = t.with_key(&t.user_key(&carl).await);
    refused(owners.memberships().update_membership(role(&bobs, "viewer")).await, ErrorReason::RoleInsufficient);
    assert_eq!(t.membership(&ada.id, &acme.id).await.unwrap(), adas);
}
