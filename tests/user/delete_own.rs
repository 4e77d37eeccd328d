//! `UserService.DeleteOwnUser`.

use std::{sync::Arc, time::Duration};

use tenantry::pb::{self, ErrorReason, create_api_key_request::Owner};

use crate::{
    authentication::refresh,
    support::{
        Answered as _, Api, Test, both,
        follow::{actions, list},
        given::PASSWORD,
        refused,
    },
};

fn delete(user: &pb::User, password: &str) -> pb::DeleteOwnUserRequest {
    pb::DeleteOwnUserRequest { user_id: user.id.clone(), password: password.to_owned(), ..Default::default() }
}

async fn exists(t: &Test, user: &pb::User) -> bool {
    t.admin().users().get_user(pb::GetUserRequest { user_id: user.id.clone() }).await.is_ok()
}

/// A user without a password who has just signed in elsewhere, its session, and a client with its access token.
async fn without_password(t: &Test) -> (pb::User, pb::IssuedSession, Api) {
    let user = t.user("provided").await;
    let request = pb::CreateRefreshTokenRequest { user_id: user.id.clone(), ..Default::default() };
    let begun = t.admin().refresh_tokens().create_refresh_token(request).await.answered().session.unwrap();
    let issued = refresh(t, &begun.plaintext_token).await.unwrap();
    let api = t.with_key(&issued.access_token);
    (user, issued, api)
}

#[both]
async fn a_user_deletes_itself_with_its_password_and_everything_of_it_ends(t: Arc<Test>) {
    let (ada, session, api) = t.signed_in_user("ada").await;
    let key = t.user_key(&ada).await;
    let deleted = api.users().delete_own_user(delete(&ada, PASSWORD)).await.answered().user.unwrap();
    assert!(deleted.deleted_at.is_some() && deleted.state() == pb::UserState::Deleted);
    let get = pb::GetUserRequest { user_id: ada.id.clone() };
    for gone in [api.clone(), t.with_key(&key)] {
        refused(gone.users().get_user(get.clone()).await, ErrorReason::Unauthenticated);
    }
    refused(refresh(&t, &session.plaintext_token).await, ErrorReason::RefreshTokenRejected);
    let mut events = list(&t.admin(), pb::ListEventsRequest { user_id: ada.id.clone(), ..Default::default() }).await;
    events.retain(|event| event.action != "api_key.rejected");
    assert_eq!(actions(&events)[..2], ["session.revoked", "user.deleted"]);
    assert_eq!(events[1].actor.as_ref().unwrap().user_id, ada.id);
    // A platform admin restores it, without its session.
    let undelete = pb::UndeleteUserRequest { user_id: ada.id.clone(), ..Default::default() };
    t.admin().users().undelete_user(undelete).await.unwrap();
    assert!(exists(&t, &ada).await);
    refused(api.users().get_user(get).await, ErrorReason::Unauthenticated);
}

#[both]
async fn an_access_token_alone_is_not_enough(t: Arc<Test>) {
    let (ada, _, api) = t.signed_in_user("ada").await;
    let key = t.with_key(&t.user_key(&ada).await);
    for api in [&api, &key, &t.admin()] {
        refused(api.users().delete_own_user(delete(&ada, "")).await, ErrorReason::ProofRequired);
        refused(api.users().delete_own_user(delete(&ada, "not the phrase")).await, ErrorReason::PasswordRejected);
    }
    let long = "x".repeat(1025);
    refused(api.users().delete_own_user(delete(&ada, &long)).await, ErrorReason::InvalidArgument);
    assert!(exists(&t, &ada).await);
}

#[both]
async fn a_user_without_a_password_must_have_signed_in_just_now(t: Arc<Test>) {
    let (ada, issued, api) = without_password(&t).await;
    let key = t.with_key(&t.user_key(&ada).await);
    for other in [&key, &t.admin()] {
        refused(other.users().delete_own_user(delete(&ada, "")).await, ErrorReason::ProofRequired);
    }
    refused(api.users().delete_own_user(delete(&ada, PASSWORD)).await, ErrorReason::PasswordRejected);
    // A session that was refreshed is no newer for it.
    t.advance(Duration::from_mins(11));
    let refreshed = refresh(&t, &issued.plaintext_token).await.unwrap();
    let old = t.with_key(&refreshed.access_token);
    refused(old.users().delete_own_user(delete(&ada, "")).await, ErrorReason::ProofRequired);
    assert!(exists(&t, &ada).await);

    let (eve, _, api) = without_password(&t).await;
    api.users().delete_own_user(delete(&eve, "")).await.unwrap();
    assert!(!exists(&t, &eve).await);
}

#[both]
async fn nobody_deletes_another_user(t: Arc<Test>) {
    let (ada, _, _) = t.signed_in_user("ada").await;
    let (eve, _, api) = t.signed_in_user("eve").await;
    refused(api.users().delete_own_user(delete(&ada, PASSWORD)).await, ErrorReason::UserNotFound);
    let acme = t.organization(&ada).await;
    t.member(&eve, &acme, "member").await;
    refused(api.users().delete_own_user(delete(&ada, PASSWORD)).await, ErrorReason::PlatformAdminRequired);
    let tenant = t.with_key(&t.organization_key(&acme).await);
    refused(tenant.users().delete_own_user(delete(&eve, PASSWORD)).await, ErrorReason::PlatformAdminRequired);
    // The application, on behalf of the user who has entered the password.
    let admin = t.first_admin().await;
    let (_, application) = t.key(Owner::UserId(admin.id.clone()), &["authentication:write"]).await;
    let application = t.with_key(&application);
    application.users().delete_own_user(delete(&eve, PASSWORD)).await.unwrap();
    assert!(!exists(&t, &eve).await && exists(&t, &ada).await);
    // For a platform admin it needs more than the sign-in key holds.
    t.give_password(&admin).await;
    refused(application.users().delete_own_user(delete(&admin, PASSWORD)).await, ErrorReason::ScopeMissing);
    refused(t.admin().users().delete_own_user(delete(&admin, PASSWORD)).await, ErrorReason::LastPlatformAdmin);
}

#[both]
async fn organizations_without_another_member_go_along_if_asked(t: Arc<Test>) {
    let (ada, _, api) = t.signed_in_user("ada").await;
    let (sole, shared) = (t.organization(&ada).await, t.organization(&ada).await);
    let bob = t.user("bob").await;
    t.member(&bob, &shared, "member").await;
    let with_sole = || pb::DeleteOwnUserRequest { delete_sole_organizations: true, ..delete(&ada, PASSWORD) };
    refused(api.users().delete_own_user(delete(&ada, PASSWORD)).await, ErrorReason::LastOwner);
    // The other member would be left without an owner.
    refused(api.users().delete_own_user(with_sole()).await, ErrorReason::LastOwner);
    let get = |organization: &pb::Organization| pb::GetOrganizationRequest { organization_id: organization.id.clone() };
    t.admin().organizations().get_organization(get(&sole)).await.unwrap();
    t.member(&t.user("eve").await, &shared, "owner").await;

    // A suspended one is not the user's to delete.
    let id = || sole.id.clone();
    let suspend = pb::SuspendOrganizationRequest { organization_id: id(), ..Default::default() };
    t.admin().organizations().suspend_organization(suspend).await.unwrap();
    refused(api.users().delete_own_user(with_sole()).await, ErrorReason::LastOwner);
    let reactivate = pb::ReactivateOrganizationRequest { organization_id: id(), ..Default::default() };
    t.admin().organizations().reactivate_organization(reactivate).await.unwrap();

    let deleted = api.users().delete_own_user(with_sole()).await.answered();
    assert_eq!(deleted.deleted_organization_ids, std::slice::from_ref(&sole.id));
    refused(t.admin().organizations().get_organization(get(&sole)).await, ErrorReason::OrganizationNotFound);
    t.admin().organizations().get_organization(get(&shared)).await.unwrap();
    // Both can be restored.
    let undelete = pb::UndeleteUserRequest { user_id: ada.id.clone(), ..Default::default() };
    t.admin().users().undelete_user(undelete).await.unwrap();
    let undelete = pb::UndeleteOrganizationRequest { organization_id: id(), ..Default::default() };
    t.admin().organizations().undelete_organization(undelete).await.unwrap();
    t.admin().organizations().get_organization(get(&sole)).await.unwrap();
}
