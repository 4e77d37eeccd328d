//! `InvitationService.ListInvitations`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, list_invitations_request::Filter};

use crate::support::{Api, DAY, MISSING_ID, Test, both, refused};

async fn list(api: &Api, filter: Filter) -> Result<Vec<String>, tonic::Status> {
    let mut request = pb::ListInvitationsRequest { filter: Some(filter), page_size: 2, ..Default::default() };
    let mut ids = Vec::new();
    loop {
        let page = api.invitations().list_invitations(request.clone()).await?.into_inner();
        ids.extend(page.invitations.into_iter().map(|invitation| invitation.id));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(ids);
        }
    }
}

#[both]
async fn an_organization_lists_its_invitations_including_expired_ones(t: Arc<Test>) {
    let (ada, dora, eve) = (t.user("ada").await, t.user("dora").await, t.user("eve").await);
    let (acme, other) = (t.organization(&ada).await, t.organization(&eve).await);
    t.member(&dora, &acme, "viewer").await;
    let mut created = Vec::new();
    for number in 0..5 {
        created.push(t.invitation(&acme, &format!("bob{number}@example.com"), "member").await.0.id);
        t.invitation(&other, &format!("bob{number}@example.com"), "member").await;
    }
    t.advance(8 * DAY);
    let of = |id: &str| Filter::OrganizationId(id.to_owned());
    for key in [t.user_key(&ada).await, t.organization_key(&acme).await, t.admin_key.clone()] {
        assert_eq!(list(&t.with_key(&key), of(&acme.id)).await.unwrap(), created);
    }
    let adas = t.with_key(&t.user_key(&ada).await);
    for id in [&other.id, MISSING_ID] {
        refused(list(&adas, of(id)).await, ErrorReason::OrganizationNotFound);
    }
    refused(list(&t.with_key(&t.user_key(&dora).await), of(&acme.id)).await, ErrorReason::RoleInsufficient);
    let nothing = adas.invitations().list_invitations(pb::ListInvitationsRequest::default()).await;
    refused(nothing, ErrorReason::InvalidArgument);
}

#[both]
async fn a_verified_address_lists_what_it_can_accept(t: Arc<Test>) {
    let (bob, twin) = (t.verified_user("bob").await, t.user("twin").await);
    let mut created = Vec::new();
    for _ in 0..3 {
        let acme = t.organization(&t.user("ada").await).await;
        created.push(t.invitation(&acme, &bob.email.to_uppercase(), "member").await.0.id);
        t.invitation(&acme, &twin.email, "member").await;
    }
    let of = |user: &pb::User| Filter::Email(user.email.clone());
    let bobs = t.with_key(&t.user_key(&bob).await);
    assert_eq!(list(&bobs, of(&bob)).await.unwrap(), created);
    assert_eq!(list(&t.admin(), of(&bob)).await.unwrap(), created);
    refused(list(&bobs, of(&twin)).await, ErrorReason::PlatformAdminRequired);
    refused(list(&t.with_key(&t.user_key(&twin).await), of(&twin)).await, ErrorReason::EmailNotVerified);
    let acme = t.organization(&bob).await;
    refused(list(&t.with_key(&t.organization_key(&acme).await), of(&bob)).await, ErrorReason::PlatformAdminRequired);
    t.advance(8 * DAY);
    assert_eq!(list(&bobs, of(&bob)).await.unwrap(), Vec::<String>::new());
}
