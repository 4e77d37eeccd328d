//! `MembershipService.DisableMembership`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, PermissionBasis as Basis, check_permission_request::Subject};

use crate::support::{
    Answered as _, MISSING_ID, Test, both,
    follow::{actions, list},
    question, refused,
};

fn disable(membership: &pb::Membership) -> pb::DisableMembershipRequest {
    pb::DisableMembershipRequest { membership_id: membership.id.clone(), ..Default::default() }
}

async fn basis(t: &Test, user: &pb::User, organization: &pb::Organization) -> Basis {
    let request = pb::CheckPermissionRequest {
        subject: Some(Subject::UserId(user.id.clone())),
        organization_id: organization.id.clone(),
        permission: "roles:read".to_owned(),
    };
    t.admin().authorization().check_permission(request).await.answered().decision.unwrap().basis()
}

#[both]
async fn a_disabled_membership_gives_nothing_and_is_still_seen(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let bobs = t.member(&bob, &acme, "admin").await;
    assert_eq!(bobs.state(), pb::MembershipState::Active);
    let api = t.with_key(&t.user_key(&bob).await);
    let disabled =
        t.with_key(&t.user_key(&ada).await).memberships().disable_membership(disable(&bobs)).await.answered();
    let disabled = disabled.membership.unwrap();
    assert_eq!((disabled.state(), disabled.role.as_str()), (pb::MembershipState::Disabled, "admin"));
    assert_eq!(basis(&t, &bob, &acme).await, Basis::MembershipDisabled);
    let get = pb::GetOrganizationRequest { organization_id: acme.id.clone() };
    refused(api.organizations().get_organization(get).await, ErrorReason::OrganizationNotFound);
    let all = pb::ListOrganizationsRequest::default();
    assert!(api.organizations().list_organizations(all).await.answered().organizations.is_empty());
    refused(api.users().get_user(pb::GetUserRequest { user_id: ada.id.clone() }).await, ErrorReason::UserNotFound);
    let members = pb::ListMembershipsRequest { organization_id: acme.id.clone(), ..Default::default() };
    refused(api.memberships().list_memberships(members.clone()).await, ErrorReason::OrganizationNotFound);
    // The member sees its own membership, so that an application can show why the organization is gone.
    let own = pb::ListMembershipsRequest { user_id: bob.id.clone(), ..Default::default() };
    assert_eq!(api.memberships().list_memberships(own).await.answered().memberships, std::slice::from_ref(&disabled));
    let seen = t.with_key(&t.user_key(&ada).await).memberships().list_memberships(members).await.answered();
    assert!(seen.memberships.contains(&disabled));
    let again = t.admin().memberships().disable_membership(disable(&bobs)).await.answered();
    assert_eq!(again.membership.unwrap().etag, disabled.etag);
}

#[both]
async fn a_disabled_member_neither_leaves_nor_joins_again(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.verified_user("bob").await);
    let acme = t.organization(&ada).await;
    let (invitation, _) = t.invitation(&acme, &bob.email, "admin").await;
    let bobs = t.member(&bob, &acme, "viewer").await;
    t.disable(&bobs).await;
    let api = t.with_key(&t.user_key(&bob).await);
    let leave = pb::LeaveOrganizationRequest { organization_id: acme.id.clone(), ..Default::default() };
    refused(api.organizations().leave_organization(leave).await, ErrorReason::OrganizationNotFound);
    let delete = pb::DeleteMembershipRequest { membership_id: bobs.id.clone(), ..Default::default() };
    refused(api.memberships().delete_membership(delete).await, ErrorReason::MembershipNotFound);
    let key = Some(pb::accept_invitation_request::Key::InvitationId(invitation.id));
    let accept = pb::AcceptInvitationRequest { key, user_id: bob.id.clone(), ..Default::default() };
    let accepted = t.admin().invitations().accept_invitation(accept).await;
    assert!(accepted.is_err(), "{accepted:?}");
    assert_eq!(basis(&t, &bob, &acme).await, Basis::MembershipDisabled);
}

#[both]
async fn sessions_and_tokens_for_the_organization_end(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let bobs = t.member(&bob, &acme, "member").await;
    t.give_password(&bob).await;
    let sign_in = pb::SignInRequest {
        email: bob.email.clone(),
        password: crate::support::given::PASSWORD.to_owned(),
        organization_id: acme.id.clone(),
        ..Default::default()
    };
    let issued =
        crate::support::given::Issued::issued(t.admin().authentication().sign_in(sign_in.clone()).await.answered());
    let introspect = pb::IntrospectTokenRequest { access_token: issued.access_token.clone() };
    let live = t.admin().authentication().introspect_token(introspect.clone()).await.answered();
    assert!(live.active);
    t.disable(&bobs).await;
    assert!(!t.admin().authentication().introspect_token(introspect).await.answered().active);
    let refresh = pb::RefreshRequest { plaintext_token: issued.plaintext_token, ..Default::default() };
    refused(t.admin().authentication().refresh(refresh).await, ErrorReason::RefreshTokenRejected);
    refused(t.admin().authentication().sign_in(sign_in).await, ErrorReason::OrganizationNotFound);
}

#[both]
async fn an_organizations_keys_are_out_of_sight_at_once(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let bobs = t.member(&bob, &acme, "admin").await;
    let text = t.organization_key(&acme).await;
    let api = t.with_key(&t.user_key(&bob).await);
    let verdict = async || {
        let verify = pb::VerifyApiKeyRequest { question: question(&text) };
        api.api_keys().verify_api_key(verify).await.answered().verification.unwrap().verdict()
    };
    for _ in 0..3 {
        assert_eq!(verdict().await, pb::ApiKeyVerdict::Valid);
        t.disable(&bobs).await;
        assert_eq!(verdict().await, pb::ApiKeyVerdict::Unknown);
        t.enable(&bobs).await;
    }
}

#[both]
async fn the_last_active_owner_stays(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let adas = t.membership(&ada.id, &acme.id).await.unwrap();
    refused(t.admin().memberships().disable_membership(disable(&adas)).await, ErrorReason::LastOwner);
    let bobs = t.member(&bob, &acme, "owner").await;
    t.disable(&bobs).await;
    // A disabled owner does not count as an owner.
    refused(t.admin().memberships().disable_membership(disable(&adas)).await, ErrorReason::LastOwner);
    let delete = pb::DeleteMembershipRequest { membership_id: adas.id.clone(), ..Default::default() };
    refused(t.admin().memberships().delete_membership(delete).await, ErrorReason::LastOwner);
    let suspend = pb::DeleteUserRequest { user_id: ada.id.clone(), ..Default::default() };
    refused(t.admin().users().delete_user(suspend).await, ErrorReason::LastOwner);
    t.enable(&bobs).await;
    t.disable(&adas).await;
}

#[both]
async fn it_requires_the_permission_and_everything_that_the_membership_holds(t: Arc<Test>) {
    let (ada, bob, carl, eve) = (t.user("ada").await, t.user("bob").await, t.user("carl").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    let adas = t.membership(&ada.id, &acme.id).await.unwrap();
    let (bobs, carls) = (t.member(&bob, &acme, "admin").await, t.member(&carl, &acme, "viewer").await);
    let mut by_carl = t.with_key(&t.user_key(&carl).await).memberships();
    for membership in [&bobs, &carls] {
        refused(by_carl.disable_membership(disable(membership)).await, ErrorReason::RoleInsufficient);
    }
    let mut by_bob = t.with_key(&t.user_key(&bob).await).memberships();
    refused(by_bob.disable_membership(disable(&adas)).await, ErrorReason::RoleInsufficient);
    let mut by_eve = t.with_key(&t.user_key(&eve).await).memberships();
    refused(by_eve.disable_membership(disable(&carls)).await, ErrorReason::MembershipNotFound);
    let missing = pb::Membership { id: MISSING_ID.to_owned(), ..Default::default() };
    refused(by_bob.disable_membership(disable(&missing)).await, ErrorReason::MembershipNotFound);
    let stale = pb::DisableMembershipRequest { etag: "r9".to_owned(), ..disable(&carls) };
    refused(by_bob.disable_membership(stale).await, ErrorReason::EtagMismatch);
    by_bob.disable_membership(disable(&carls)).await.unwrap();
}

#[both]
async fn invitations_of_the_member_expire_and_the_events_say_why(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let bobs = t.member(&bob, &acme, "admin").await;
    let invite = pb::CreateInvitationRequest {
        organization_id: acme.id.clone(),
        email: "carl@example.com".to_owned(),
        role: "member".to_owned(),
        ..Default::default()
    };
    t.with_key(&t.user_key(&bob).await).invitations().create_invitation(invite).await.unwrap();
    t.disable(&bobs).await;
    t.enable(&bobs).await;
    let recent = pb::ListEventsRequest { organization_id: acme.id.clone(), ..Default::default() };
    let events = list(&t.admin(), recent).await;
    assert_eq!(actions(&events[..3]), ["membership.enabled", "invitation.updated", "membership.disabled"]);
    let change = &events[2].changes[0];
    assert_eq!(change.field, "state");
}
