//! `OrganizationService.TransferOwnership`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, create_api_key_request::Owner};

use crate::support::{Answered as _, Test, both, mask, refused, rounds};

fn transfer(organization: &pb::Organization, to: &pb::User) -> pb::TransferOwnershipRequest {
    pb::TransferOwnershipRequest {
        organization_id: organization.id.clone(),
        new_owner_user_id: to.id.clone(),
        ..Default::default()
    }
}

#[both]
async fn both_memberships_change(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "viewer").await;
    let mut adas = t.with_key(&t.user_key(&ada).await).organizations();
    let answer = adas.transfer_ownership(transfer(&acme, &bob)).await.answered();
    let (new, former) = (answer.new_owner.unwrap(), answer.former_owner.unwrap());
    assert_eq!((new.user_id.as_str(), new.role.as_str()), (bob.id.as_str(), "owner"));
    assert_eq!((former.user_id.as_str(), former.role.as_str()), (ada.id.as_str(), "admin"));
    assert_eq!(t.membership(&bob.id, &acme.id).await.unwrap(), new);
    assert_eq!(t.membership(&ada.id, &acme.id).await.unwrap(), former);
    // She is no longer an owner.
    refused(adas.transfer_ownership(transfer(&acme, &bob)).await, ErrorReason::RoleInsufficient);
    t.role(&acme, "emeritus", &["reports:read"]).await;
    let back = pb::TransferOwnershipRequest { former_owner_role: "emeritus".to_owned(), ..transfer(&acme, &ada) };
    let mut bobs = t.with_key(&t.user_key(&bob).await).organizations();
    let answer = bobs.transfer_ownership(back).await.answered();
    assert_eq!(answer.former_owner.unwrap().role, "emeritus");
}

#[both]
async fn it_takes_all_that_an_owner_holds(t: Arc<Test>) {
    let (ada, bob, carl) = (t.user("ada").await, t.user("bob").await, t.user("carl").await);
    let acme = t.organization(&ada).await;
    t.role(&acme, "broker", &["organizations:transfer"]).await;
    t.member(&bob, &acme, "broker").await;
    t.member(&carl, &acme, "admin").await;
    let of_ada =
        |to: &pb::User| pb::TransferOwnershipRequest { former_owner_user_id: ada.id.clone(), ..transfer(&acme, to) };
    for key in [t.user_key(&bob).await, t.user_key(&carl).await, t.organization_key(&acme).await] {
        refused(
            t.with_key(&key).organizations().transfer_ownership(of_ada(&carl)).await,
            ErrorReason::RoleInsufficient,
        );
    }
    let nobody =
        t.with_key(&t.organization_key(&acme).await).organizations().transfer_ownership(transfer(&acme, &carl)).await;
    refused(nobody, ErrorReason::InvalidArgument);
    for role in ["owner", "Owner"] {
        let request = pb::TransferOwnershipRequest { former_owner_role: role.to_owned(), ..of_ada(&carl) };
        refused(t.admin().organizations().transfer_ownership(request).await, ErrorReason::InvalidArgument);
    }
    let request = pb::TransferOwnershipRequest { former_owner_role: "nobody".to_owned(), ..of_ada(&carl) };
    refused(t.admin().organizations().transfer_ownership(request).await, ErrorReason::RoleNotFound);
    t.admin().organizations().transfer_ownership(of_ada(&carl)).await.unwrap();
}

#[both]
async fn a_narrow_key_makes_no_owner_even_of_a_member_who_holds_everything(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    t.role(&acme, "deputy", &["*"]).await;
    let bobs = t.member(&bob, &acme, "deputy").await;
    for owner in [Owner::UserId(ada.id.clone()), Owner::UserId(t.first_admin().await.id)] {
        let scopes = ["organizations:*", "memberships:*", "users:read"];
        let narrow = t.with_key(&t.key(owner, &scopes).await.1);
        let request = pb::TransferOwnershipRequest { former_owner_user_id: ada.id.clone(), ..transfer(&acme, &bob) };
        refused(narrow.organizations().transfer_ownership(request).await, ErrorReason::ScopeNotHeld);
        let promote = pb::UpdateMembershipRequest {
            membership_id: bobs.id.clone(),
            role: "owner".to_owned(),
            update_mask: mask(&["role"]),
            ..Default::default()
        };
        refused(narrow.memberships().update_membership(promote).await, ErrorReason::ScopeNotHeld);
    }
}

#[both]
async fn of_two_transfers_at_once_one_is_done_and_an_owner_stays(t: Arc<Test>) {
    let (ada, bob, carl) = (t.user("ada").await, t.user("bob").await, t.user("carl").await);
    for round in 0..rounds(20) {
        let acme = t.organization(&ada).await;
        t.member(&bob, &acme, "admin").await;
        t.member(&carl, &acme, "admin").await;
        let key = t.with_key(&t.user_key(&ada).await);
        let (mut one, mut other) = (key.organizations(), key.organizations());
        let (one, other) = tokio::join!(
            one.transfer_ownership(transfer(&acme, &bob)),
            other.transfer_ownership(transfer(&acme, &carl))
        );
        assert!(one.is_ok() != other.is_ok(), "round {round}: {one:?} {other:?}");
        let owners = "SELECT CAST(count(*) AS text) AS value FROM cf_memberships WHERE role = 'owner'";
        assert_eq!(t.database.texts(owners).await, [(round + 1).to_string()]);
    }
}
