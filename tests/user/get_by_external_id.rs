//! `UserService.GetUserByExternalId`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, Test, both, given::unique, mask, refused};

fn by(external_id: &str) -> pb::GetUserByExternalIdRequest {
    pb::GetUserByExternalIdRequest { external_id: external_id.to_owned() }
}

/// Sets the external id of a user.
pub async fn name(t: &Test, user: &pb::User, external_id: &str) -> pb::User {
    let request = pb::UpdateUserRequest {
        user_id: user.id.clone(),
        external_id: external_id.to_owned(),
        update_mask: mask(&["external_id"]),
        ..Default::default()
    };
    t.admin().users().update_user(request).await.answered().user.unwrap()
}

#[both]
async fn a_user_is_found_by_the_external_id_that_it_has_now(t: Arc<Test>) {
    let ada = t.user("ada").await;
    for external_id in ["crm-1", "CRM 2 \u{fc}"] {
        let named = name(&t, &ada, external_id).await;
        assert_eq!(named.external_id, external_id);
        assert_eq!(t.admin().users().get_user_by_external_id(by(external_id)).await.answered().user.unwrap(), named);
    }
    // Compared byte by byte, and the former one is gone.
    for other in ["crm-1", "crm 2 \u{fc}"] {
        refused(t.admin().users().get_user_by_external_id(by(other)).await, ErrorReason::UserNotFound);
    }
    name(&t, &ada, "").await;
    refused(t.admin().users().get_user_by_external_id(by("CRM 2 \u{fc}")).await, ErrorReason::UserNotFound);
}

#[both]
async fn a_user_out_of_reach_is_not_found_as_one_that_does_not_exist(t: Arc<Test>) {
    let (ada, bob, eve) = (t.user("ada").await, t.user("bob").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "viewer").await;
    for user in [&bob, &eve] {
        name(&t, user, &format!("crm-{}", user.name)).await;
    }
    for key in [t.user_key(&ada).await, t.organization_key(&acme).await] {
        let api = t.with_key(&key);
        let found = api.users().get_user_by_external_id(by("crm-bob")).await.answered().user.unwrap();
        assert_eq!(found.id, bob.id);
        let foreign = refused(api.users().get_user_by_external_id(by("crm-eve")).await, ErrorReason::UserNotFound);
        let missing = refused(api.users().get_user_by_external_id(by("crm-nil")).await, ErrorReason::UserNotFound);
        assert_eq!((foreign.message(), foreign.details()), (missing.message(), missing.details()));
    }
}

#[both]
async fn the_external_id_of_a_deleted_user_is_free_until_the_user_is_restored(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let external_id = unique("crm-");
    name(&t, &ada, &external_id).await;
    let delete = pb::DeleteUserRequest { user_id: ada.id.clone(), ..Default::default() };
    t.admin().users().delete_user(delete).await.unwrap();
    refused(t.admin().users().get_user_by_external_id(by(&external_id)).await, ErrorReason::UserNotFound);
    name(&t, &eve, &external_id).await;
    let undelete = pb::UndeleteUserRequest { user_id: ada.id.clone(), ..Default::default() };
    refused(t.admin().users().undelete_user(undelete.clone()).await, ErrorReason::UserExternalIdTaken);
    name(&t, &eve, "").await;
    t.admin().users().undelete_user(undelete).await.unwrap();
    assert_eq!(t.admin().users().get_user_by_external_id(by(&external_id)).await.answered().user.unwrap().id, ada.id);
}

#[both]
async fn malformed_external_ids_are_refused(t: Arc<Test>) {
    for external_id in ["", "a\0b", "a\nb", "CRM 2 u\u{308}", &"x".repeat(256)] {
        refused(t.admin().users().get_user_by_external_id(by(external_id)).await, ErrorReason::InvalidArgument);
    }
}
