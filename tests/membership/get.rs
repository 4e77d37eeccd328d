//! `MembershipService.GetMembership`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, get_membership_request::Key};

use crate::support::{Answered as _, MISSING_ID, Test, both, refused};

fn by_id(id: &str) -> pb::GetMembershipRequest {
    pb::GetMembershipRequest { key: Some(Key::MembershipId(id.to_owned())) }
}

fn by_ends(user: &str, organization: &str) -> pb::GetMembershipRequest {
    let ends = pb::UserAndOrganization { user_id: user.to_owned(), organization_id: organization.to_owned() };
    pb::GetMembershipRequest { key: Some(Key::UserAndOrganization(ends)) }
}

#[both]
async fn both_keys_find_it_for_its_user_and_its_organization(t: Arc<Test>) {
    let (ada, bob, eve) = (t.user("ada").await, t.user("bob").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    let membership = t.member(&bob, &acme, "member").await;
    for key in [t.user_key(&ada).await, t.user_key(&bob).await, t.organization_key(&acme).await] {
        for request in [by_id(&membership.id), by_ends(&bob.id, &acme.id)] {
            let got = t.with_key(&key).memberships().get_membership(request).await.answered();
            assert_eq!(got.membership.unwrap(), membership);
        }
    }
    let mut memberships = t.with_key(&t.user_key(&eve).await).memberships();
    for request in
        [by_id(&membership.id), by_ends(&bob.id, &acme.id), by_id(MISSING_ID), by_ends(MISSING_ID, MISSING_ID)]
    {
        refused(memberships.get_membership(request).await, ErrorReason::MembershipNotFound);
    }
}

#[both]
async fn a_request_without_a_key_is_refused(t: Arc<Test>) {
    for request in [pb::GetMembershipRequest { key: None }, by_id("x"), by_ends("", "")] {
        refused(t.admin().memberships().get_membership(request).await, ErrorReason::InvalidArgument);
    }
}
