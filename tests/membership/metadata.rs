//! Metadata and external ids of memberships.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, event::Resource, get_membership_request::Key};
use tonic::Status;

use crate::support::{
    Answered as _, Api, Test, both, given::unique, having, json, mask, mirror, object, refused, words,
};

fn update(membership: &pb::Membership, paths: &[&str]) -> pb::UpdateMembershipRequest {
    pb::UpdateMembershipRequest { membership_id: membership.id.clone(), update_mask: mask(paths), ..Default::default() }
}

async fn updated(api: &Api, request: pb::UpdateMembershipRequest) -> Result<pb::Membership, Status> {
    Ok(api.memberships().update_membership(request).await?.into_inner().membership.unwrap())
}

fn named(membership: &pb::Membership, external_id: &str) -> pb::UpdateMembershipRequest {
    pb::UpdateMembershipRequest { external_id: external_id.to_owned(), ..update(membership, &["external_id"]) }
}

/// The ids of the memberships that a list returns, page by page.
async fn found(api: &Api, request: pb::ListMembershipsRequest) -> Vec<String> {
    let (mut ids, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListMembershipsRequest { page_token, page_size: 2, ..request.clone() };
        let page = api.memberships().list_memberships(request).await.answered();
        ids.extend(page.memberships.into_iter().map(|membership| membership.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return ids;
        }
    }
}

#[both]
async fn a_caller_who_may_write_a_membership_writes_its_metadata_and_external_id(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let request = pb::CreateMembershipRequest {
        user_id: bob.id.clone(),
        organization_id: acme.id.clone(),
        role: "viewer".to_owned(),
        metadata: json(&[("desk", words("1")), ("keep", words("x"))]),
        external_id: "hr-1".to_owned(),
        ..Default::default()
    };
    let created = t.admin().memberships().create_membership(request).await.answered().membership.unwrap();
    assert_eq!(t.membership(&bob.id, &acme.id).await.unwrap(), created);
    let owner = t.with_key(&t.user_key(&ada).await);
    let request = pb::UpdateMembershipRequest {
        metadata: object("desk", "2"),
        external_id: "hr-2".to_owned(),
        ..update(&created, &["metadata.desk", "external_id"])
    };
    let after = updated(&owner, request.clone()).await.unwrap();
    assert_eq!(after.metadata, json(&[("desk", words("2")), ("keep", words("x"))]));
    assert_eq!((after.external_id.as_str(), after.role.as_str()), ("hr-2", "viewer"));
    let member = t.with_key(&t.user_key(&bob).await);
    refused(updated(&member, request).await, ErrorReason::RoleInsufficient);
    // Everybody who sees the membership sees both.
    let get = pb::GetMembershipRequest { key: Some(Key::MembershipId(created.id.clone())) };
    assert_eq!(member.memberships().get_membership(get).await.answered().membership, Some(after));
}

#[both]
async fn private_metadata_is_for_platform_admins_only(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let membership = t.membership(&ada.id, &acme.id).await.unwrap();
    let secret = pb::UpdateMembershipRequest {
        private_metadata: object("risk", "canary"),
        ..update(&membership, &["private_metadata"])
    };
    let api = t.with_key(&t.user_key(&ada).await);
    refused(updated(&api, secret.clone()).await, ErrorReason::PlatformAdminRequired);
    let whole = updated(&t.admin(), secret).await.unwrap();
    assert_eq!(whole.private_metadata, object("risk", "canary"));
    assert_eq!(t.membership(&ada.id, &acme.id).await, Some(whole.clone()));
    let open = pb::Membership { private_metadata: None, ..whole.clone() };
    let team = pb::ListMembersRequest { organization_id: acme.id.clone(), ..Default::default() };
    for (api, shown) in [(&t.admin(), &whole), (&api, &open)] {
        let members = api.memberships().list_members(team.clone()).await.answered().members;
        assert_eq!(members[0].membership.as_ref(), Some(shown));
    }
    let list = pb::ListMembershipsRequest { organization_id: acme.id.clone(), ..Default::default() };
    assert_eq!(
        api.memberships().list_memberships(list.clone()).await.answered().memberships,
        std::slice::from_ref(&open)
    );
    let filter = pb::ListMembershipsRequest { private_metadata_filter: having("risk", "canary"), ..list };
    refused(api.memberships().list_memberships(filter.clone()).await, ErrorReason::PlatformAdminRequired);
    assert_eq!(found(&t.admin(), filter).await, std::slice::from_ref(&open.id));
    let list = pb::ListEventsRequest { organization_id: acme.id.clone(), ..Default::default() };
    let events = api.events().list_events(list).await.answered().events;
    assert!(events.iter().any(|event| event.resource == Some(Resource::Membership(open.clone()))));
    let items = mirror::export(&api, vec![pb::ResourceType::Membership], &acme.id).await.unwrap();
    assert!(!format!("{events:?} {items:?}").contains("canary"));
}

#[both]
async fn an_external_id_is_unique_within_its_organization_and_finds_the_membership(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let (acme, other) = (t.organization(&ada).await, t.organization(&bob).await);
    let bobs = t.member(&bob, &acme, "member").await;
    let (first, second) =
        (t.membership(&ada.id, &acme.id).await.unwrap(), t.membership(&bob.id, &other.id).await.unwrap());
    for membership in [&first, &second] {
        updated(&t.admin(), named(membership, "hr-1")).await.unwrap();
    }
    refused(updated(&t.admin(), named(&bobs, "hr-1")).await, ErrorReason::MembershipExternalIdTaken);
    let by = |organization: &pb::Organization, external_id: &str| {
        let (organization_id, external_id) = (organization.id.clone(), external_id.to_owned());
        let key = pb::OrganizationAndExternalId { organization_id, external_id };
        pb::GetMembershipRequest { key: Some(Key::OrganizationAndExternalId(key)) }
    };
    let api = t.with_key(&t.user_key(&ada).await).memberships();
    let get = async |request: pb::GetMembershipRequest| {
        Ok::<_, Status>(api.clone().get_membership(request).await?.into_inner().membership.unwrap().id)
    };
    assert_eq!(get(by(&acme, "hr-1")).await.unwrap(), first.id);
    for missing in [by(&other, "hr-1"), by(&acme, "hr-2")] {
        refused(get(missing).await, ErrorReason::MembershipNotFound);
    }
    refused(get(by(&acme, "")).await, ErrorReason::InvalidArgument);
    let list = |external_id: &str| pb::ListMembershipsRequest {
        organization_id: acme.id.clone(),
        external_id: external_id.to_owned(),
        ..Default::default()
    };
    assert_eq!(found(&t.admin(), list("hr-1")).await, std::slice::from_ref(&first.id));
    let of_bob = pb::ListMembershipsRequest { user_id: bob.id.clone(), organization_id: String::new(), ..list("hr-1") };
    assert_eq!(found(&t.admin(), of_bob).await, [second.id]);
    updated(&t.admin(), named(&first, "")).await.unwrap();
    assert_eq!(updated(&t.admin(), named(&bobs, "hr-1")).await.unwrap().external_id, "hr-1");
    assert_eq!(found(&t.admin(), list("hr-1")).await, [bobs.id]);
}

#[both]
async fn the_membership_of_a_deleted_user_gives_its_external_id_up(t: Arc<Test>) {
    let (ada, bob, eve) = (t.user("ada").await, t.user("bob").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    let (bobs, eves) = (t.member(&bob, &acme, "member").await, t.member(&eve, &acme, "member").await);
    updated(&t.admin(), named(&bobs, "hr-1")).await.unwrap();
    let delete = pb::DeleteUserRequest { user_id: bob.id.clone(), ..Default::default() };
    t.admin().users().delete_user(delete).await.unwrap();
    assert_eq!(updated(&t.admin(), named(&eves, "hr-1")).await.unwrap().external_id, "hr-1");
    // A mirror of the organization is notified.
    let list = pb::ListEventsRequest { resource_id: bobs.id.clone(), ..Default::default() };
    let event = t.admin().events().list_events(list).await.answered().events.remove(0);
    assert_eq!((event.action.as_str(), event.changes[0].field.as_str()), ("membership.updated", "external_id"));
    let undelete = pb::UndeleteUserRequest { user_id: bob.id.clone(), ..Default::default() };
    t.admin().users().undelete_user(undelete).await.unwrap();
    let restored = t.membership(&bob.id, &acme.id).await.unwrap();
    assert_eq!((restored.external_id.as_str(), restored.etag.as_str()), ("", "r3"));
}

#[both]
async fn memberships_are_found_by_their_metadata(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (acme, other) = (t.organization(&ada).await, t.organization(&ada).await);
    let mut members = Vec::new();
    for number in 0..5 {
        let user = t.user("member").await;
        for organization in [&acme, &other] {
            let membership = t.member(&user, organization, if number == 0 { "viewer" } else { "member" }).await;
            let request =
                pb::UpdateMembershipRequest { metadata: object("desk", "north"), ..update(&membership, &["metadata"]) };
            members.push(updated(&t.admin(), request).await.unwrap());
        }
    }
    let of_acme: Vec<String> =
        members.iter().filter(|one| one.organization_id == acme.id).map(|one| one.id.clone()).collect();
    let list = pb::ListMembershipsRequest {
        organization_id: acme.id.clone(),
        metadata_filter: having("desk", "north"),
        ..Default::default()
    };
    for key in [t.user_key(&ada).await, t.organization_key(&acme).await, t.admin_key.clone()] {
        assert_eq!(found(&t.with_key(&key), list.clone()).await, of_acme);
        let newest = pb::ListMembershipsRequest { order: pb::Order::NewestFirst.into(), ..list.clone() };
        let reversed: Vec<String> = of_acme.iter().rev().cloned().collect();
        assert_eq!(found(&t.with_key(&key), newest).await, reversed);
    }
    let viewers = pb::ListMembershipsRequest { role: "viewer".to_owned(), ..list.clone() };
    assert_eq!(found(&t.admin(), viewers).await, of_acme[..1]);
    let of_user = pb::ListMembershipsRequest {
        user_id: members[2].user_id.clone(),
        organization_id: String::new(),
        ..list.clone()
    };
    assert_eq!(found(&t.admin(), of_user).await, [members[2].id.clone(), members[3].id.clone()]);
    let south = pb::UpdateMembershipRequest {
        metadata: object("desk", &unique("south")),
        ..update(&members[0], &["metadata"])
    };
    updated(&t.admin(), south).await.unwrap();
    let delete = pb::DeleteMembershipRequest { membership_id: members[2].id.clone(), ..Default::default() };
    t.admin().memberships().delete_membership(delete).await.unwrap();
    assert_eq!(found(&t.admin(), list).await, of_acme[2..]);
}
