//! `MembershipService.EnableMembership`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, create_api_key_request::Owner};

use crate::support::{Answered as _, Test, both, refused};

fn enable(membership: &pb::Membership) -> pb::EnableMembershipRequest {
    pb::EnableMembershipRequest { membership_id: membership.id.clone(), ..Default::default() }
}

#[both]
async fn an_enabled_membership_has_its_former_permissions(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let bobs = t.member(&bob, &acme, "admin").await;
    let api = t.with_key(&t.user_key(&bob).await);
    t.disable(&bobs).await;
    let enabled = t.with_key(&t.user_key(&ada).await).memberships().enable_membership(enable(&bobs)).await.answered();
    let enabled = enabled.membership.unwrap();
    assert_eq!((enabled.state(), enabled.role.as_str()), (pb::MembershipState::Active, "admin"));
    let get = pb::GetOrganizationRequest { organization_id: acme.id.clone() };
    assert_eq!(api.organizations().get_organization(get).await.answered().organization.unwrap(), acme);
    let again = t.admin().memberships().enable_membership(enable(&bobs)).await.answered();
    assert_eq!(again.membership.unwrap().etag, enabled.etag);
}

#[both]
async fn enabling_gives_so_standing_and_scopes_must_cover_it(t: Arc<Test>) {
    let (ada, bob, carl) = (t.user("ada").await, t.user("bob").await, t.user("carl").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "admin").await;
    let carls = t.member(&carl, &acme, "owner").await;
    t.disable(&carls).await;
    let mut by_bob = t.with_key(&t.user_key(&bob).await).memberships();
    refused(by_bob.enable_membership(enable(&carls)).await, ErrorReason::RoleInsufficient);
    let (_, narrow) = t.key(Owner::UserId(ada.id.clone()), &["memberships:*"]).await;
    refused(t.with_key(&narrow).memberships().enable_membership(enable(&carls)).await, ErrorReason::ScopeNotHeld);
    let mut by_carl = t.with_key(&t.user_key(&carl).await).memberships();
    refused(by_carl.enable_membership(enable(&carls)).await, ErrorReason::MembershipNotFound);
    let stale = pb::EnableMembershipRequest { etag: "r1".to_owned(), ..enable(&carls) };
    refused(t.admin().memberships().enable_membership(stale).await, ErrorReason::EtagMismatch);
    t.with_key(&t.user_key(&ada).await).memberships().enable_membership(enable(&carls)).await.unwrap();
}

#[both]
async fn permissions_given_meanwhile_count(t: Arc<Test>) {
    let (ada, bob, carl) = (t.user("ada").await, t.user("bob").await, t.user("carl").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "admin").await;
    let role = t.role(&acme, "clerk", &[]).await;
    let carls = t.member(&carl, &acme, "clerk").await;
    t.disable(&carls).await;
    let widen = pb::UpdateRoleRequest {
        role_id: role.id,
        permissions: vec!["organizations:delete".to_owned()],
        update_mask: crate::support::mask(&["permissions"]),
        ..Default::default()
    };
    t.admin().roles().update_role(widen).await.unwrap();
    let mut by_bob = t.with_key(&t.user_key(&bob).await).memberships();
    refused(by_bob.enable_membership(enable(&carls)).await, ErrorReason::RoleInsufficient);
}
