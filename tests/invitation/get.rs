//! `InvitationService.GetInvitation`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use super::{get, get_by_token};
use crate::support::{Answered as _, MISSING_ID, Test, both, follow::list, mask, refused};

#[both]
async fn it_is_visible_to_readers_of_invitations_and_to_the_invited_user(t: Arc<Test>) {
    let (ada, carl, dora, eve) = (t.user("ada").await, t.user("carl").await, t.user("dora").await, t.user("eve").await);
    let (bob, twin) = (t.verified_user("bob").await, t.user("twin").await);
    let (acme, _other) = (t.organization(&ada).await, t.organization(&eve).await);
    t.member(&carl, &acme, "member").await;
    t.member(&dora, &acme, "viewer").await;
    let (bobs, _) = t.invitation(&acme, &bob.email, "member").await;
    let (twins, _) = t.invitation(&acme, &twin.email, "member").await;
    for key in [
        t.admin_key.clone(),
        t.user_key(&ada).await,
        t.user_key(&carl).await,
        t.organization_key(&acme).await,
        t.user_key(&bob).await,
    ] {
        let got = t.with_key(&key).invitations().get_invitation(get(&bobs.id)).await.answered();
        assert_eq!(got.invitation.unwrap(), bobs);
    }
    refused(
        t.with_key(&t.user_key(&dora).await).invitations().get_invitation(get(&bobs.id)).await,
        ErrorReason::RoleInsufficient,
    );
    // Another organization, another user, and a user with the address but without a verification.
    for (key, id) in
        [(t.user_key(&eve).await, &bobs.id), (t.user_key(&bob).await, &twins.id), (t.user_key(&twin).await, &twins.id)]
    {
        let mut invitations = t.with_key(&key).invitations();
        let foreign = refused(invitations.get_invitation(get(id)).await, ErrorReason::InvitationNotFound);
        let missing = refused(invitations.get_invitation(get(MISSING_ID)).await, ErrorReason::InvitationNotFound);
        assert_eq!(foreign.details(), missing.details());
    }
}

#[both]
async fn the_token_shows_it(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    let (created, token) = t.invitation(&acme, "bob@example.com", "member").await;
    let mut invitations = t.with_key(&t.user_key(&eve).await).invitations();
    let got = invitations.get_invitation(get_by_token(&token)).await.answered();
    assert_eq!(got.invitation.unwrap(), created);
    let (_, other) = t.invitation(&acme, "carl@example.com", "member").await;
    // The id of one and the secret of another, with a valid checksum.
    let mixed = format!("{}{}", &token[..29], &other[29..]);
    for token in ["garbage", &mixed] {
        refused(invitations.get_invitation(get_by_token(token)).await, ErrorReason::InvitationNotFound);
    }
    refused(invitations.get_invitation(get_by_token("")).await, ErrorReason::InvalidArgument);
    refused(invitations.get_invitation(pb::GetInvitationRequest::default()).await, ErrorReason::InvalidArgument);
    let delete = pb::DeleteOrganizationRequest { organization_id: acme.id, ..Default::default() };
    t.admin().organizations().delete_organization(delete).await.unwrap();
    refused(invitations.get_invitation(get_by_token(&token)).await, ErrorReason::InvitationNotFound);
}

#[both]
async fn the_invited_learns_the_name_and_the_logo_of_the_organization(t: Arc<Test>) {
    let (ada, bob, eve) = (t.user("ada").await, t.verified_user("bob").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    let update = pb::UpdateOrganizationRequest {
        organization_id: acme.id.clone(),
        logo_url: "https://example.com/acme.png".to_owned(),
        update_mask: mask(&["logo_url"]),
        ..Default::default()
    };
    t.admin().organizations().update_organization(update.clone()).await.unwrap();
    let (invitation, token) = t.invitation(&acme, &bob.email, "member").await;
    let bobs = t.with_key(&t.user_key(&bob).await);
    // Bob and the holder of the token do not see the organization itself.
    refused(
        bobs.organizations().get_organization(pb::GetOrganizationRequest { organization_id: acme.id.clone() }).await,
        ErrorReason::OrganizationNotFound,
    );
    let by_address = pb::ListInvitationsRequest {
        filter: Some(pb::list_invitations_request::Filter::Email(bob.email.clone())),
        ..Default::default()
    };
    let eves = t.with_key(&t.user_key(&eve).await);
    let seen = async || {
        let listed = bobs.invitations().list_invitations(by_address.clone()).await.answered().invitations;
        let by_id = bobs.invitations().get_invitation(get(&invitation.id)).await.answered().invitation.unwrap();
        let by_token = eves.invitations().get_invitation(get_by_token(&token)).await.answered().invitation.unwrap();
        assert!(listed == [by_id.clone()] && by_id == by_token);
        (by_id.organization_name, by_id.organization_logo_url)
    };
    assert_eq!(seen().await, (acme.name.clone(), "https://example.com/acme.png".to_owned()));
    // As they are now, not as they were when the invitation was sent.
    let renamed = pb::UpdateOrganizationRequest {
        name: "Acme & Sons".to_owned(),
        logo_url: String::new(),
        update_mask: mask(&["name", "logo_url"]),
        ..update
    };
    t.admin().organizations().update_organization(renamed).await.unwrap();
    assert_eq!(seen().await, ("Acme & Sons".to_owned(), String::new()));
    // An event holds the invitation only.
    let of_it = pb::ListEventsRequest { resource_id: invitation.id.clone(), ..Default::default() };
    let Some(pb::event::Resource::Invitation(stored)) = list(&t.admin(), of_it).await.pop().unwrap().resource else {
        panic!("no invitation")
    };
    assert_eq!(stored.organization_name, "");
}
