//! `MembershipService.CreateMembership`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, MISSING_ID, Test, both, refusal::fields, refused};

fn new(user: &str, organization: &str, role: &str) -> pb::CreateMembershipRequest {
    pb::CreateMembershipRequest {
        user_id: user.to_owned(),
        organization_id: organization.to_owned(),
        role: role.to_owned(),
        permissions: vec!["b:x".to_owned(), "a:*".to_owned(), "b:x".to_owned()],
        ..Default::default()
    }
}

#[both]
async fn a_user_becomes_a_member_once(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let request = new(&bob.id, &acme.id, "billing");
    refused(t.admin().memberships().create_membership(request.clone()).await, ErrorReason::RoleNotFound);
    t.role(&acme, "billing", &["invoices:*"]).await;
    let created = t.admin().memberships().create_membership(request.clone()).await.answered().membership.unwrap();
    assert_eq!(
        (created.role.as_str(), created.permissions.as_slice()),
        ("billing", &["a:*".to_owned(), "b:x".to_owned()][..])
    );
    assert_eq!(t.membership(&bob.id, &acme.id).await.unwrap(), created);
    refused(t.admin().memberships().create_membership(request).await, ErrorReason::MembershipExists);
}

#[both]
async fn both_ends_must_be_there(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    refused(
        t.admin().memberships().create_membership(new(MISSING_ID, &acme.id, "member")).await,
        ErrorReason::UserNotFound,
    );
    refused(
        t.admin().memberships().create_membership(new(&ada.id, MISSING_ID, "member")).await,
        ErrorReason::OrganizationNotFound,
    );
    let request = pb::CreateMembershipRequest { permissions: vec!["a b".to_owned()], ..new("x", "y", "Z") };
    let status = refused(t.admin().memberships().create_membership(request).await, ErrorReason::InvalidArgument);
    assert_eq!(fields(&status), ["user_id", "organization_id", "role", "permissions[0]"]);
}

#[both]
async fn nobody_but_a_platform_admin_puts_a_person_into_an_organization(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    for key in [t.user_key(&ada).await, t.organization_key(&acme).await] {
        let create = t.with_key(&key).memberships().create_membership(new(&bob.id, &acme.id, "viewer")).await;
        refused(create, ErrorReason::PlatformAdminRequired);
    }
}

#[both]
async fn a_suspended_user_becomes_no_owner(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    t.suspend(&bob).await;
    refused(
        t.admin().memberships().create_membership(new(&bob.id, &acme.id, "owner")).await,
        ErrorReason::UserSuspended,
    );
    t.admin().memberships().create_membership(new(&bob.id, &acme.id, "member")).await.unwrap();
}

#[both(options = ["--max-members", "3"])]
async fn an_organization_has_at_most_so_many_members_also_when_many_come_at_once(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let mut coming = Vec::new();
    for _ in 0..8 {
        let (mut memberships, request) = (t.admin().memberships(), new(&t.user("bob").await.id, &acme.id, "viewer"));
        coming.push(tokio::spawn(async move { memberships.create_membership(request).await }));
    }
    let mut members = 1;
    for call in coming {
        match call.await.unwrap() {
            Ok(_) => members += 1,
            Err(status) => drop(refused::<()>(Err(status), ErrorReason::LimitReached)),
        }
    }
    assert_eq!(members, 3);
    let other = t.organization(&ada).await;
    t.member(&t.user("carl").await, &other, "viewer").await;
}
