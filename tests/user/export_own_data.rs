//! `UserService.ExportOwnData`.

use std::{collections::BTreeSet, sync::Arc};

use tenantry::pb::{self, ErrorReason, create_api_key_request::Owner, export_own_data_response::Item};
use tonic::{Request, Status};

use crate::support::{Answered as _, Api, Test, both, given::unique, mask, object, refused};

/// Everything that an export sends before its end.
async fn export(api: &Api, user: &pb::User) -> Result<Vec<Item>, Status> {
    let request = pb::ExportOwnDataRequest { user_id: user.id.clone() };
    let mut messages = api.users().export_own_data(request).await?.into_inner();
    let mut items = Vec::new();
    while let Some(message) = messages.message().await? {
        items.push(message.item.unwrap());
    }
    assert!(matches!(items.pop(), Some(Item::CompletedAt(_))), "an export says that it is complete");
    Ok(items)
}

/// The kinds of items, without repetitions, in the order of the stream.
fn kinds(items: &[Item]) -> Vec<&'static str> {
    let mut kinds: Vec<&str> = items
        .iter()
        .map(|item| match item {
            Item::User(_) => "user",
            Item::Membership(_) => "membership",
            Item::ReceivedInvitation(_) => "received",
            Item::SentInvitation(_) => "sent",
            Item::OauthAccount(_) => "oauth_account",
            Item::Session(_) => "session",
            Item::ApiKey(_) => "api_key",
            Item::Event(_) => "event",
            Item::CompletedAt(_) => "end",
        })
        .collect();
    kinds.dedup();
    kinds
}

fn events(items: &[Item]) -> Vec<&pb::Event> {
    let mut events = Vec::new();
    for item in items {
        if let Item::Event(event) = item {
            events.push(event);
        }
    }
    events
}

/// An invitation without what belongs to its organization.
fn stored(invitation: &pb::Invitation) -> pb::Invitation {
    pb::Invitation { organization_name: String::new(), organization_logo_url: String::new(), ..invitation.clone() }
}

#[both]
async fn a_user_gets_everything_that_is_stored_about_it_and_no_secret(t: Arc<Test>) {
    let ada = t.verified_user("ada").await;
    t.give_password(&ada).await;
    let session = t.signed_in(&ada).await;
    let api = t.with_key(&session.access_token);
    let (_, ended) = t.session(&ada).await;
    let end = pb::RevokeRefreshTokenRequest { plaintext_token: ended.clone(), ..Default::default() };
    t.admin().refresh_tokens().revoke_refresh_token(end).await.unwrap();
    let (acme, other) = (t.organization(&ada).await, t.organization(&t.user("bob").await).await);
    let account = t.oauth_account(&ada).await;
    let (received, token) = t.invitation(&other, &ada.email, "member").await;
    let (key, text) = t.key(Owner::UserId(ada.id.clone()), &["*"]).await;
    let own = t.with_key(&text);
    let invite = pb::CreateInvitationRequest {
        organization_id: acme.id.clone(),
        email: "eve@example.com".to_owned(),
        role: "member".to_owned(),
        ..Default::default()
    };
    let mut invite = Request::new(invite);
    invite.metadata_mut().insert("x-event-why", "canary-why".parse().unwrap());
    let sent = own.invitations().create_invitation(invite).await.answered().invitation.unwrap();

    for api in [&api, &own, &t.admin()] {
        let items = export(api, &ada).await.unwrap();
        assert_eq!(
            kinds(&items),
            ["user", "membership", "received", "sent", "oauth_account", "session", "api_key", "event"]
        );
        assert!(items.contains(&Item::OauthAccount(account.clone())) && items.contains(&Item::ApiKey(key.clone())));
        assert!(items.contains(&Item::ReceivedInvitation(stored(&received))));
        assert!(items.contains(&Item::SentInvitation(stored(&sent))));
        assert_eq!(items.iter().filter(|item| matches!(item, Item::Session(_))).count(), 2, "ended ones too");
        let debug = format!("{items:?}");
        for secret in [&text, &token, &ended, &session.plaintext_token, "canary-access", "canary-refresh", "pbkdf2"] {
            assert!(!debug.contains(secret), "{secret}");
        }
        // Events come once, with the address and the metadata of the user's own calls.
        let events = events(&items);
        let ids: BTreeSet<i64> = events.iter().map(|event| event.sequence).collect();
        assert_eq!(ids.len(), events.len());
        let invited = events.iter().find(|event| event.resource_id == sent.id).unwrap();
        assert_eq!((invited.metadata["why"].as_str(), &invited.resource), ("canary-why", &None));
        assert_ne!(invited.actor.as_ref().unwrap().ip_address, "");
        // What its call did to another person is that person's.
        assert!(invited.changes.is_empty());
        assert!(events.iter().any(|event| event.action == "user.created" && event.resource.is_some()));
        assert!(events.iter().any(|event| event.resource_id == received.id && event.resource.is_some()));
    }
}

#[both]
async fn private_fields_and_other_persons_are_not_exported(t: Arc<Test>) {
    let private = || object("rating", "canary-private");
    let create = pb::CreateUserRequest {
        email: "ada@example.com".to_owned(),
        name: "Ada".to_owned(),
        private_metadata: private(),
        ..Default::default()
    };
    let ada = t.admin().users().create_user(create).await.answered().user.unwrap();
    let (acme, bob) = (t.organization(&ada).await, t.user("canary-bob").await);
    let own = t.with_key(&t.user_key(&ada).await);
    let rename = pb::UpdateUserRequest {
        user_id: ada.id.clone(),
        name: "Ada L.".to_owned(),
        update_mask: mask(&["name"]),
        ..Default::default()
    };
    own.users().update_user(rename).await.unwrap();
    let membership = t.member(&bob, &acme, "member").await;
    let lower = pb::UpdateMembershipRequest {
        membership_id: membership.id,
        role: "viewer".to_owned(),
        update_mask: mask(&["role"]),
        ..Default::default()
    };
    own.memberships().update_membership(lower).await.unwrap();

    let items = export(&own, &ada).await.unwrap();
    assert!(events(&items).iter().any(|event| event.action == "user.updated" && !event.changes.is_empty()));
    assert!(events(&items).iter().any(|event| event.action == "membership.updated" && event.resource.is_none()));
    let text = format!("{items:?}");
    assert!(!text.contains("canary-private") && !text.contains("canary-bob"), "{text}");
    // Platform admins see it in resources, as everywhere.
    let items = export(&t.admin(), &ada).await.unwrap();
    assert!(items.iter().any(|item| matches!(item, Item::User(user) if user.private_metadata == private())));
    assert!(!format!("{:?}", events(&items)).contains("canary"));
}

#[both]
async fn a_former_platform_admin_gets_its_own_calls(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let grant = pb::GrantPlatformAdminRequest { user_id: ada.id.clone(), ..Default::default() };
    t.admin().users().grant_platform_admin(grant).await.unwrap();
    let own = t.with_key(&t.user_key(&ada).await);
    let suspend = pb::SuspendUserRequest { user_id: eve.id.clone(), ..Default::default() };
    own.users().suspend_user(suspend).await.unwrap();
    let revoke = pb::RevokePlatformAdminRequest { user_id: ada.id.clone(), ..Default::default() };
    t.admin().users().revoke_platform_admin(revoke).await.unwrap();
    let items = export(&own, &ada).await.unwrap();
    let suspended = events(&items).into_iter().find(|event| event.resource_id == eve.id).unwrap();
    let actor = suspended.actor.as_ref().unwrap();
    assert!(actor.user_id == ada.id && !actor.ip_address.is_empty() && suspended.resource.is_none());
}

#[both]
async fn only_the_user_itself_and_platform_admins_get_it(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let own = t.with_key(&t.user_key(&eve).await);
    refused(export(&own, &ada).await, ErrorReason::UserNotFound);
    let acme = t.organization(&ada).await;
    t.member(&eve, &acme, "admin").await;
    refused(export(&own, &ada).await, ErrorReason::PlatformAdminRequired);
    refused(export(&t.with_key(&t.organization_key(&acme).await), &ada).await, ErrorReason::PlatformAdminRequired);
    let (_, narrow) = t.key(Owner::UserId(ada.id.clone()), &["users:read"]).await;
    refused(export(&t.with_key(&narrow), &ada).await, ErrorReason::ScopeMissing);
    let (_, enough) = t.key(Owner::UserId(ada.id.clone()), &["personal_data:read"]).await;
    export(&t.with_key(&enough), &ada).await.unwrap();
    refused(
        export(&t.admin(), &pb::User { id: "x".to_owned(), ..Default::default() }).await,
        ErrorReason::InvalidArgument,
    );
}

#[both]
async fn an_invitation_to_an_address_that_was_never_proven_is_not_the_users(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&t.user("bob").await).await;
    let (invitation, _) = t.invitation(&acme, &ada.email, "member").await;
    let items = export(&t.with_key(&t.user_key(&ada).await), &ada).await.unwrap();
    assert!(!format!("{items:?}").contains(&invitation.id));
    let items = export(&t.admin(), &ada).await.unwrap();
    assert!(items.contains(&Item::ReceivedInvitation(stored(&invitation))));
}

#[both]
async fn a_platform_admin_also_exports_a_deleted_user(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let delete = pb::DeleteUserRequest { user_id: ada.id.clone(), ..Default::default() };
    t.admin().users().delete_user(delete).await.unwrap();
    let items = export(&t.admin(), &ada).await.unwrap();
    assert_eq!(kinds(&items), ["user", "event"]);
    let purge = pb::PurgeUserRequest { user_id: ada.id.clone(), ..Default::default() };
    t.admin().users().purge_user(purge).await.unwrap();
    refused(export(&t.admin(), &ada).await, ErrorReason::UserNotFound);
}

#[both]
async fn it_ends_when_the_callers_key_ends(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (key, text) = t.key(Owner::UserId(ada.id.clone()), &["*"]).await;
    // Far more than fits between the server and a client that does not read.
    for _ in 0..150 {
        let update = pb::UpdateUserRequest {
            user_id: ada.id.clone(),
            metadata: object(&unique("note"), &"x".repeat(15_000)),
            update_mask: mask(&["metadata"]),
            ..Default::default()
        };
        t.admin().users().update_user(update).await.unwrap();
    }
    let slow = Api::with_small_windows(t.address, &text);
    let request = pb::ExportOwnDataRequest { user_id: ada.id.clone() };
    let mut messages = slow.users().export_own_data(request).await.answered();
    messages.message().await.unwrap().unwrap();
    let revoke = pb::RevokeApiKeyRequest { api_key_id: key.id, ..Default::default() };
    t.admin().api_keys().revoke_api_key(revoke).await.unwrap();
    let ended = loop {
        match messages.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream went on"),
            Err(status) => break status,
        }
    };
    refused(Err::<(), _>(ended), ErrorReason::Unauthenticated);
}
