//! `InvitationService.CreateInvitation`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use super::get;
use crate::support::{Answered as _, DAY, MISSING_ID, Test, both, refusal::fields, refused};

fn new(organization_id: &str, email: &str, role: &str) -> pb::CreateInvitationRequest {
    pb::CreateInvitationRequest {
        organization_id: organization_id.to_owned(),
        email: email.to_owned(),
        role: role.to_owned(),
        ..Default::default()
    }
}

fn hours(hours: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds: hours * 3600, nanos: 0 })
}

#[both]
async fn an_address_is_invited_once_at_a_time_in_any_spelling(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (acme, initech) = (t.organization(&ada).await, t.organization(&ada).await);
    let mut invitations = t.with_key(&t.user_key(&ada).await).invitations();
    let request = pb::CreateInvitationRequest {
        message: " Come in\n\tquickly ".to_owned(),
        ..new(&acme.id, "Bob@Example.com", "member")
    };
    let created = invitations.create_invitation(request).await.answered();
    let made = created.invitation.unwrap();
    assert_eq!(
        (made.email.as_str(), made.role.as_str(), made.message.as_str()),
        ("Bob@Example.com", "member", "Come in\n\tquickly")
    );
    assert_eq!(made.invited_by, ada.id);
    assert_eq!(made.expires_at.unwrap().seconds - made.created_at.unwrap().seconds, 7 * 86_400);
    assert!(created.plaintext_token.starts_with("cf_inv_") && created.plaintext_token.len() == 78);
    refused(
        invitations.create_invitation(new(&acme.id, "bob@EXAMPLE.com", "viewer")).await,
        ErrorReason::InvitationExists,
    );
    invitations.create_invitation(new(&initech.id, "bob@example.com", "viewer")).await.unwrap();
    // An expired invitation is replaced.
    t.advance(8 * DAY);
    let again = invitations.create_invitation(new(&acme.id, "bob@example.com", "viewer")).await.answered();
    assert_ne!(again.invitation.unwrap().id, made.id);
    refused(invitations.get_invitation(get(&made.id)).await, ErrorReason::InvitationNotFound);
}

#[both]
async fn all_violations_are_reported_together(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let mut invitations = t.with_key(&t.user_key(&ada).await).invitations();
    for life in [
        hours(0),
        hours(721),
        hours(-1),
        Some(prost_types::Duration { seconds: 3599, nanos: 999_999_999 }),
        Some(prost_types::Duration { seconds: i64::MAX, nanos: i32::MAX }),
    ] {
        let request =
            pb::CreateInvitationRequest { life, message: "bell\u{7}".to_owned(), ..new("x", "nobody", "No Role") };
        let status = refused(invitations.create_invitation(request).await, ErrorReason::InvalidArgument);
        assert_eq!(fields(&status), ["organization_id", "email", "role", "message", "life"]);
    }
    for (number, hours) in [hours(1), hours(720)].into_iter().enumerate() {
        let request =
            pb::CreateInvitationRequest { life: hours, ..new(&acme.id, &format!("bob{number}@example.com"), "member") };
        invitations.create_invitation(request).await.unwrap();
    }
    refused(
        invitations.create_invitation(new(&acme.id, "eve@example.com", "nothing")).await,
        ErrorReason::RoleNotFound,
    );
    refused(
        invitations.create_invitation(new(MISSING_ID, "eve@example.com", "member")).await,
        ErrorReason::OrganizationNotFound,
    );
    refused(invitations.create_invitation(new(&acme.id, &ada.email, "member")).await, ErrorReason::MembershipExists);
    let suspend = pb::SuspendOrganizationRequest { organization_id: acme.id.clone(), ..Default::default() };
    t.admin().organizations().suspend_organization(suspend).await.unwrap();
    refused(
        invitations.create_invitation(new(&acme.id, "eve@example.com", "member")).await,
        ErrorReason::OrganizationSuspended,
    );
}

#[both]
async fn nobody_invites_to_a_role_that_holds_more_than_oneself(t: Arc<Test>) {
    let (ada, bob, carl, dora) = (t.user("ada").await, t.user("bob").await, t.user("carl").await, t.user("dora").await);
    let acme = t.organization(&ada).await;
    t.role(&acme, "deputy", &["organizations:delete"]).await;
    t.role(&acme, "host", &["invitations:*"]).await;
    t.role(&acme, "billing", &["invoices:*"]).await;
    for (user, role) in [(&bob, "admin"), (&carl, "member"), (&dora, "host")] {
        t.member(user, &acme, role).await;
    }
    for (key, may, may_not) in [
        (t.user_key(&ada).await, &["owner", "deputy"][..], &[][..]),
        (t.user_key(&bob).await, &["admin", "host", "billing"], &["owner", "deputy"]),
        (t.organization_key(&acme).await, &["admin", "host", "billing"], &["owner", "deputy"]),
        (t.user_key(&dora).await, &["viewer", "host"], &["owner", "admin", "billing", "deputy"]),
        (t.user_key(&carl).await, &[], &["viewer", "member"]),
    ] {
        let mut invitations = t.with_key(&key).invitations();
        for role in may {
            let email = format!("{}@example.com", crate::support::given::unique("new"));
            invitations.create_invitation(new(&acme.id, &email, role)).await.unwrap();
        }
        for role in may_not {
            refused(
                invitations.create_invitation(new(&acme.id, "new@example.com", role)).await,
                ErrorReason::RoleInsufficient,
            );
        }
    }
}

#[both]
async fn an_organization_has_at_most_1000_invitations(t: Arc<Test>) {
    let acme = t.organization(&t.user("ada").await).await;
    let callers = (0..10).map(|caller| {
        let (mut invitations, id) = (t.admin().invitations(), acme.id.clone());
        tokio::spawn(async move {
            let mut refusals = Vec::new();
            for number in 0..101 {
                let request = new(&id, &format!("bob{caller}-{number}@example.com"), "member");
                refusals.extend(invitations.create_invitation(request).await.err());
            }
            refusals
        })
    });
    let mut refusals = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        refusals.extend(caller.await.unwrap());
    }
    assert_eq!(refusals.len(), 10);
    for status in refusals {
        refused::<()>(Err(status), ErrorReason::LimitReached);
    }
}
