//! Personal data that was left after a purge.

use std::sync::Arc;

use tenantry::pb;

use crate::support::{Answered as _, Test, both, follow::list, object};

#[both]
async fn t13_a_purge_leaves_neither_e_mail_nor_name_nor_metadata(t: Arc<Test>) {
    let create = pb::CreateUserRequest {
        email: "Gone.Canary@example.com".to_owned(),
        name: "Gone Canary".to_owned(),
        avatar_url: "https://example.com/gone-canary".to_owned(),
        metadata: object("note", "gone canary"),
        ..Default::default()
    };
    let user = t.admin().users().create_user(create).await.answered().user.unwrap();
    let acme = t.organization(&t.user("owner").await).await;
    t.invitation(&acme, "gone.canary@example.com", "member").await;
    t.member(&user, &acme, "member").await;
    let purge = pb::PurgeUserRequest { user_id: user.id.clone(), ..Default::default() };
    t.admin().users().purge_user(purge).await.unwrap();

    let tenant = t.with_key(&t.organization_key(&acme).await);
    let of_tenant = pb::ListEventsRequest { organization_id: acme.id.clone(), ..Default::default() };
    let of_user = pb::ListEventsRequest { resource_id: user.id.clone(), ..Default::default() };
    let events = [list(&t.admin(), of_user).await, list(&tenant, of_tenant).await].concat();
    assert!(events.len() >= 6);
    let text = format!("{events:?}").to_lowercase();
    assert!(!text.contains("canary"), "{text}");
    let by_organization = pb::list_invitations_request::Filter::OrganizationId(acme.id);
    let invitations = pb::ListInvitationsRequest { filter: Some(by_organization), ..Default::default() };
    assert!(t.admin().invitations().list_invitations(invitations).await.answered().invitations.is_empty());
}
