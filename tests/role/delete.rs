//! `RoleService.DeleteRole`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{MISSING_ID, Test, both, mask, refused, rounds};

fn delete(role: &pb::Role) -> pb::DeleteRoleRequest {
    pb::DeleteRoleRequest { role_id: role.id.clone(), ..Default::default() }
}

#[both]
async fn a_role_goes_when_no_membership_has_it(t: Arc<Test>) {
    let (ada, bob, eve) = (t.user("ada").await, t.user("bob").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    let role = t.role(&acme, "billing", &["invoices:*"]).await;
    let bobs = t.member(&bob, &acme, "billing").await;
    t.organization(&eve).await;
    refused(t.with_key(&t.user_key(&eve).await).roles().delete_role(delete(&role)).await, ErrorReason::RoleNotFound);
    refused(
        t.with_key(&t.user_key(&bob).await).roles().delete_role(delete(&role)).await,
        ErrorReason::RoleInsufficient,
    );
    let mut roles = t.with_key(&t.user_key(&ada).await).roles();
    refused(roles.delete_role(delete(&role)).await, ErrorReason::RoleInUse);
    let demote = pb::UpdateMembershipRequest {
        membership_id: bobs.id,
        role: "viewer".to_owned(),
        update_mask: mask(&["role"]),
        ..Default::default()
    };
    t.admin().memberships().update_membership(demote).await.unwrap();
    let stale = pb::DeleteRoleRequest { etag: "r9".to_owned(), ..delete(&role) };
    refused(roles.delete_role(stale).await, ErrorReason::EtagMismatch);
    roles.delete_role(delete(&role)).await.unwrap();
    refused(roles.delete_role(delete(&role)).await, ErrorReason::RoleNotFound);
    let missing = pb::Role { id: MISSING_ID.to_owned(), ..Default::default() };
    refused(roles.delete_role(delete(&missing)).await, ErrorReason::RoleNotFound);
}

#[both]
async fn a_role_is_not_deleted_while_it_is_given(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let bobs = t.member(&bob, &acme, "viewer").await;
    let give = |role: &str| pb::UpdateMembershipRequest {
        membership_id: bobs.id.clone(),
        role: role.to_owned(),
        update_mask: mask(&["role"]),
        ..Default::default()
    };
    for round in 0..rounds(20) {
        let role = t.role(&acme, "billing", &[]).await;
        let (mut roles, mut memberships) = (t.admin().roles(), t.admin().memberships());
        let (deleted, given) =
            tokio::join!(roles.delete_role(delete(&role)), memberships.update_membership(give("billing")));
        match (deleted, given) {
            (Ok(_), Err(status)) => drop(refused::<()>(Err(status), ErrorReason::RoleNotFound)),
            (Err(status), Ok(_)) => {
                refused::<()>(Err(status), ErrorReason::RoleInUse);
                memberships.update_membership(give("viewer")).await.unwrap();
                roles.delete_role(delete(&role)).await.unwrap();
            }
            both => panic!("round {round}: {both:?}"),
        }
    }
}
