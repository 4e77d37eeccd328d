//! What nobody can see neither counts nor blocks; what happens to members reaches their organizations; an invitation ends with its purpose.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, list_invitations_request::Filter};
use tonic::Status;

use crate::support::{
    Answered as _, Api, Backend, Test, both,
    database::TestDatabase,
    follow::{Watch, actions, list},
    given::unique,
    mask,
    mirror::Mirror,
    refused,
    serving::Serving,
};

async fn delete(t: &Test, user: &pb::User) {
    let request = pb::DeleteUserRequest { user_id: user.id.clone(), ..Default::default() };
    t.admin().users().delete_user(request).await.unwrap();
}

fn undelete(user: &pb::User) -> pb::UndeleteUserRequest {
    pb::UndeleteUserRequest { user_id: user.id.clone(), ..Default::default() }
}

async fn restore(t: &Test, request: pb::UndeleteUserRequest) -> Result<pb::UndeleteUserResponse, Status> {
    t.admin().users().undelete_user(request).await.map(tonic::Response::into_inner)
}

async fn delete_organization(t: &Test, organization: &pb::Organization) {
    let request = pb::DeleteOrganizationRequest { organization_id: organization.id.clone(), ..Default::default() };
    t.admin().organizations().delete_organization(request).await.unwrap();
}

fn link_to(user: &pb::User, subject: &str) -> pb::LinkOauthAccountRequest {
    pb::LinkOauthAccountRequest {
        user_id: user.id.clone(),
        provider: "google".to_owned(),
        provider_user_id: subject.to_owned(),
        ..Default::default()
    }
}

async fn link(t: &Test, user: &pb::User, subject: &str) -> Result<pb::OauthAccount, Status> {
    let linked = t.admin().oauth_accounts().link_oauth_account(link_to(user, subject)).await?;
    Ok(linked.into_inner().oauth_account.unwrap())
}

async fn linked_user(t: &Test, subject: &str) -> Option<String> {
    let request =
        pb::GetOauthAccountByProviderRequest { provider: "google".to_owned(), provider_user_id: subject.to_owned() };
    let found = t.admin().oauth_accounts().get_oauth_account_by_provider(request).await.ok()?;
    Some(found.into_inner().oauth_account.unwrap().user_id)
}

fn member_of(user: &pb::User, organization: &pb::Organization, role: &str) -> pb::CreateMembershipRequest {
    pb::CreateMembershipRequest {
        user_id: user.id.clone(),
        organization_id: organization.id.clone(),
        role: role.to_owned(),
        ..Default::default()
    }
}

async fn join(t: &Test, user: &pb::User, organization: &pb::Organization, role: &str) -> Result<(), Status> {
    t.admin().memberships().create_membership(member_of(user, organization, role)).await.map(drop)
}

async fn roles_of(api: &Api, organization: &pb::Organization) -> Vec<(String, String)> {
    let request = pb::ListMembershipsRequest { organization_id: organization.id.clone(), ..Default::default() };
    let listed = api.memberships().list_memberships(request).await.answered().memberships;
    listed.into_iter().map(|membership| (membership.user_id, membership.role)).collect()
}

fn role_in(organization: &pb::Organization, name: &str) -> pb::CreateRoleRequest {
    pb::CreateRoleRequest {
        organization_id: organization.id.clone(),
        name: name.to_owned(),
        permissions: vec!["invoices:read".to_owned()],
        ..Default::default()
    }
}

async fn accept(t: &Test, invitation: &pb::Invitation, user: &pb::User) -> Result<(), Status> {
    let request = pb::AcceptInvitationRequest {
        key: Some(pb::accept_invitation_request::Key::InvitationId(invitation.id.clone())),
        user_id: user.id.clone(),
        ..Default::default()
    };
    t.admin().invitations().accept_invitation(request).await.map(drop)
}

async fn invitations(api: &Api, filter: Filter) -> Vec<String> {
    let request = pb::ListInvitationsRequest { filter: Some(filter), ..Default::default() };
    let listed = api.invitations().list_invitations(request).await.answered().invitations;
    listed.into_iter().map(|invitation| invitation.id).collect()
}

/// The newest actions on a resource, newest first.
async fn actions_on(api: &Api, resource_id: &str) -> Vec<String> {
    let events = list(api, pb::ListEventsRequest { resource_id: resource_id.to_owned(), ..Default::default() }).await;
    events.into_iter().map(|event| event.action).collect()
}

#[both]
async fn t2_an_owner_can_be_suspended_whatever_it_owns(t: Arc<Test>) {
    let owner = t.user("owner").await;
    let mut organizations = Vec::new();
    for _ in 0..3 {
        organizations.push(t.organization(&owner).await);
    }
    let request = pb::SuspendOrganizationRequest { organization_id: organizations[0].id.clone(), ..Default::default() };
    t.admin().organizations().suspend_organization(request).await.unwrap();
    delete_organization(&t, &organizations[1]).await;
    // A deleted co-owner does not count.
    let deleted = t.user("deleted").await;
    t.member(&deleted, &organizations[2], "owner").await;
    delete(&t, &deleted).await;
    let suspend = pb::SuspendUserRequest { user_id: owner.id.clone(), validate_only: true, ..Default::default() };
    let impact = t.admin().users().suspend_user(suspend).await.answered().impact.unwrap();
    assert_eq!(impact.blockers, []);
    assert_eq!(impact.organizations_without_owner, [organizations[0].id.clone(), organizations[2].id.clone()]);
    t.suspend(&owner).await;
    let request = pb::DeleteUserRequest { user_id: owner.id.clone(), ..Default::default() };
    refused(t.admin().users().delete_user(request).await, ErrorReason::LastOwner);
}

#[both]
async fn t3_a_deleted_users_account_at_a_provider_can_be_linked_to_another(t: Arc<Test>) {
    let (ada, subject) = (t.user("ada").await, unique("sub"));
    link(&t, &ada, &subject).await.unwrap();
    delete(&t, &ada).await;
    let again = t.user("ada").await;
    link(&t, &again, &subject).await.unwrap();
    assert_eq!(linked_user(&t, &subject).await, Some(again.id.clone()));
    // Among users who are not deleted it stays unique.
    refused(link(&t, &t.user("bob").await, &subject).await, ErrorReason::OauthAccountLinked);
}

#[both]
async fn t3_a_restored_user_gets_back_accounts_that_are_still_free(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (taken, kept, shared) = (unique("sub"), unique("sub"), unique("sub"));
    let lost = link(&t, &ada, &taken).await.unwrap();
    link(&t, &ada, &kept).await.unwrap();
    link(&t, &ada, &shared).await.unwrap();
    delete(&t, &ada).await;
    let bob = t.user("bob").await;
    link(&t, &bob, &taken).await.unwrap();
    link(&t, &bob, &shared).await.unwrap();
    delete(&t, &bob).await;
    restore(&t, undelete(&bob)).await.unwrap();
    let carol = t.user("carol").await;
    refused(link(&t, &carol, &shared).await, ErrorReason::OauthAccountLinked);
    // A link of a user who is deleted in turn takes nothing.
    let unlink = |account: pb::OauthAccount| pb::UnlinkOauthAccountRequest {
        oauth_account_id: account.id,
        ..Default::default()
    };
    let get = pb::GetOauthAccountByProviderRequest { provider: "google".to_owned(), provider_user_id: shared.clone() };
    let of_bob = t.admin().oauth_accounts().get_oauth_account_by_provider(get).await.answered().oauth_account.unwrap();
    t.admin().oauth_accounts().unlink_oauth_account(unlink(of_bob)).await.unwrap();
    let restored = restore(&t, undelete(&ada)).await.unwrap();
    let unlinked: Vec<&str> = restored.unlinked_oauth_accounts.iter().map(|account| account.id.as_str()).collect();
    assert_eq!(unlinked, [lost.id.as_str()]);
    assert_eq!(linked_user(&t, &taken).await, Some(bob.id));
    assert_eq!(linked_user(&t, &kept).await, Some(ada.id.clone()));
    assert_eq!(linked_user(&t, &shared).await, Some(ada.id.clone()));
    assert_eq!(actions_on(&t.admin(), &lost.id).await, ["oauth_account.unlinked", "oauth_account.linked"]);
    // Deleted and restored again, it holds what it has.
    delete(&t, &ada).await;
    assert_eq!(restore(&t, undelete(&ada)).await.unwrap().unlinked_oauth_accounts, []);
    assert_eq!(linked_user(&t, &kept).await, Some(ada.id));
}

#[both]
async fn t3_two_deleted_users_may_have_had_the_same_account(t: Arc<Test>) {
    let subject = unique("sub");
    let users = [t.user("ada").await, t.user("bob").await];
    for user in &users {
        link(&t, user, &subject).await.unwrap();
        delete(&t, user).await;
    }
    assert_eq!(linked_user(&t, &subject).await, None);
    restore(&t, undelete(&users[1])).await.unwrap();
    assert_eq!(restore(&t, undelete(&users[0])).await.unwrap().unlinked_oauth_accounts.len(), 1);
    assert_eq!(linked_user(&t, &subject).await, Some(users[1].id.clone()));
}

#[both(options = ["--max-members", "3"])]
async fn t6_a_deleted_user_has_no_seat(t: Arc<Test>) {
    let acme = t.organization(&t.user("owner").await).await;
    let (member, other, late) = (t.user("member").await, t.user("other").await, t.user("late").await);
    join(&t, &member, &acme, "member").await.unwrap();
    join(&t, &other, &acme, "member").await.unwrap();
    refused(join(&t, &late, &acme, "member").await, ErrorReason::LimitReached);
    delete(&t, &member).await;
    let (invitation, _) = t.invitation(&acme, &t.verified_user("guest").await.email, "member").await;
    join(&t, &late, &acme, "member").await.unwrap();
    assert_eq!(roles_of(&t.admin(), &acme).await.len(), 3);
    let guest = t.verified_user("guest").await;
    let (full, _) = t.invitation(&acme, &guest.email, "member").await;
    refused(accept(&t, &full, &guest).await, ErrorReason::LimitReached);
    assert_ne!(invitation.id, full.id);
    // A restore is not refused: the organization is over its limit, and no one is added until it is below.
    restore(&t, undelete(&member)).await.unwrap();
    assert_eq!(roles_of(&t.admin(), &acme).await.len(), 4);
    refused(accept(&t, &full, &guest).await, ErrorReason::LimitReached);
    delete(&t, &member).await;
    delete(&t, &other).await;
    accept(&t, &full, &guest).await.unwrap();
}

#[both(options = ["--max-organizations", "2"])]
async fn t6_a_deleted_organization_counts_for_no_owner_and_no_member(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let key = t.with_key(&t.user_key(&ada).await);
    let create = |slug: String| pb::CreateOrganizationRequest {
        name: "Acme".to_owned(),
        slug,
        owner_user_id: ada.id.clone(),
        ..Default::default()
    };
    let first = key.organizations().create_organization(create(unique("a-"))).await.answered().organization.unwrap();
    let slug = unique("b-");
    key.organizations().create_organization(create(slug.clone())).await.unwrap();
    refused(key.organizations().create_organization(create(unique("c-"))).await, ErrorReason::LimitReached);
    // Sent again, because its answer was lost.
    refused(key.organizations().create_organization(create(slug)).await, ErrorReason::OrganizationSlugTaken);
    let preview = pb::DeleteUserRequest { user_id: ada.id.clone(), validate_only: true, ..Default::default() };
    let before = t.admin().users().delete_user(preview.clone()).await.answered().impact.unwrap();
    delete_organization(&t, &first).await;
    let after = t.admin().users().delete_user(preview).await.answered().impact.unwrap();
    assert_eq!((before.memberships, after.memberships), (2, 1));
    key.organizations().create_organization(create(unique("d-"))).await.unwrap();
}

#[both]
async fn t6_a_deleted_members_role_can_be_deleted(t: Arc<Test>) {
    let acme = t.organization(&t.user("owner").await).await;
    let role = t.role(&acme, "clerk", &["invoices:read"]).await;
    let (member, other) = (t.user("member").await, t.user("other").await);
    let membership = t.member(&member, &acme, "clerk").await;
    t.member(&other, &acme, "clerk").await;
    delete(&t, &member).await;
    let delete_role = || pb::DeleteRoleRequest { role_id: role.id.clone(), ..Default::default() };
    refused(t.admin().roles().delete_role(delete_role()).await, ErrorReason::RoleInUse);
    delete(&t, &other).await;
    t.admin().roles().delete_role(delete_role()).await.unwrap();
    // A role of the same name gives the restored member nothing.
    t.role(&acme, "clerk", &["*"]).await;
    restore(&t, undelete(&member)).await.unwrap();
    let restored = t.membership(&member.id, &acme.id).await.unwrap();
    assert_eq!((restored.role.as_str(), &restored.id), ("viewer", &membership.id));
    assert_eq!(actions_on(&t.admin(), &membership.id).await, ["membership.role_removed", "membership.created"]);
}

#[both]
async fn t6_a_member_who_is_deleted_does_not_keep_an_organization(t: Arc<Test>) {
    let (owner, member) = (t.user("owner").await, t.user("member").await);
    let acme = t.organization(&owner).await;
    t.member(&member, &acme, "member").await;
    let purge =
        || pb::PurgeUserRequest { user_id: owner.id.clone(), purge_sole_organizations: true, ..Default::default() };
    refused(t.admin().users().purge_user(purge()).await, ErrorReason::LastOwner);
    delete(&t, &member).await;
    t.admin().users().purge_user(purge()).await.unwrap();
    let get = pb::GetOrganizationRequest { organization_id: acme.id };
    refused(t.admin().organizations().get_organization(get).await, ErrorReason::OrganizationNotFound);
}

#[both(options = ["--max-members", "2"])]
async fn t6_a_duplicate_is_reported_as_one_at_a_limit_too(t: Arc<Test>) {
    let acme = t.organization(&t.user("owner").await).await;
    let member = t.verified_user("member").await;
    let (invitation, _) = t.invitation(&acme, &member.email, "member").await;
    join(&t, &member, &acme, "member").await.unwrap();
    refused(join(&t, &member, &acme, "member").await, ErrorReason::MembershipExists);
    refused(join(&t, &t.user("late").await, &acme, "member").await, ErrorReason::LimitReached);
    refused(accept(&t, &invitation, &member).await, ErrorReason::InvitationNotFound);
    let mut roles = t.admin().roles();
    for number in 0..100 {
        roles.create_role(role_in(&acme, &format!("role-{number}"))).await.unwrap();
    }
    refused(roles.create_role(role_in(&acme, "role-7")).await, ErrorReason::RoleExists);
    refused(roles.create_role(role_in(&acme, "role-100")).await, ErrorReason::LimitReached);
    let subjects: Vec<String> = (0..100).map(|_| unique("sub")).collect();
    for subject in &subjects {
        link(&t, &member, subject).await.unwrap();
    }
    refused(link(&t, &member, &subjects[50]).await, ErrorReason::OauthAccountLinked);
    refused(link(&t, &member, &unique("sub")).await, ErrorReason::LimitReached);
}

#[both(options = ["--max-organizations", "1"])]
async fn t6_a_transfer_that_is_repeated_is_not_stopped_by_a_limit(t: Arc<Test>) {
    let (owner, next) = (t.user("owner").await, t.user("next").await);
    let acme = t.organization(&owner).await;
    t.member(&next, &acme, "member").await;
    let key = t.with_key(&t.user_key(&owner).await);
    let transfer = || pb::TransferOwnershipRequest {
        organization_id: acme.id.clone(),
        new_owner_user_id: next.id.clone(),
        former_owner_role: "admin".to_owned(),
        ..Default::default()
    };
    key.organizations().transfer_ownership(transfer()).await.unwrap();
    refused(key.organizations().transfer_ownership(transfer()).await, ErrorReason::RoleInsufficient);
}

/// An organization with a member, a client with the organization's own key, and a watch with it.
async fn watched(t: &Test) -> (pb::Organization, pb::User, Api, Watch) {
    let acme = t.organization(&t.user("owner").await).await;
    let member = t.verified_user("member").await;
    t.member(&member, &acme, "member").await;
    let key = t.with_key(&t.organization_key(&acme).await);
    let watch = Watch::from_now(&key).await;
    (acme, member, key, watch)
}

#[both]
async fn t4_an_organization_sees_the_events_of_its_members(t: Arc<Test>) {
    let (acme, member, key, mut watch) = watched(&t).await;
    let admin = t.admin();
    let id = || member.id.clone();
    let rename = pb::UpdateUserRequest {
        user_id: id(),
        name: "Renamed".to_owned(),
        update_mask: mask(&["name"]),
        ..Default::default()
    };
    admin.users().update_user(rename).await.unwrap();
    let move_mail = pb::UpdateUserRequest {
        user_id: id(),
        email: format!("{}@example.com", unique("moved")),
        update_mask: mask(&["email"]),
        ..Default::default()
    };
    admin.users().update_user(move_mail).await.unwrap();
    t.suspend(&member).await;
    t.reactivate(&member).await;
    delete(&t, &member).await;
    restore(&t, undelete(&member)).await.unwrap();
    let purge = pb::PurgeUserRequest { user_id: id(), ..Default::default() };
    admin.users().purge_user(purge).await.unwrap();
    // Of the invitations, keys and sessions of the member the organization has none.
    let mut heard = Vec::new();
    while heard.last().is_none_or(|event: &pb::Event| event.action != "membership.deleted") {
        heard.push(watch.event().await);
    }
    assert_eq!(
        actions(&heard),
        [
            "user.updated",
            "user.updated",
            "user.suspended",
            "user.reactivated",
            "user.deleted",
            "user.undeleted",
            "membership.deleted"
        ]
    );
    let user = |event: &pb::Event| match &event.resource {
        Some(pb::event::Resource::User(user)) => Some(user.clone()),
        _ => None,
    };
    assert_eq!(user(&heard[0]).unwrap().name, "Renamed");
    assert_eq!(user(&heard[2]).unwrap().state(), pb::UserState::Suspended);
    // As GetUser answers NOT_FOUND for it.
    assert!(user(&heard[4]).is_none() && !heard[4].changes.is_empty());
    assert_eq!(user(&heard[5]).unwrap().state(), pb::UserState::Active);
    let of_acme = pb::ListEventsRequest { organization_id: acme.id.clone(), ..Default::default() };
    let listed = list(&key, of_acme).await;
    let mut newest: Vec<i64> = listed.iter().take(7).map(|event| event.sequence).collect();
    newest.reverse();
    assert_eq!(newest, heard.iter().map(|event| event.sequence).collect::<Vec<_>>());
}

#[both]
async fn t4_an_organization_sees_only_the_visible_fields_of_its_members(t: Arc<Test>) {
    let (acme, member, key, mut watch) = watched(&t).await;
    t.give_password(&member).await;
    // Nothing of these is a change of the profile.
    let session = t.signed_in(&member).await;
    t.mailed_tokens(&member).await;
    t.oauth_account(&member).await;
    let other = t.organization(&member).await;
    let own = t.with_key(&session.access_token);
    let mut rename = tonic::Request::new(pb::UpdateUserRequest {
        user_id: member.id.clone(),
        name: "Renamed".to_owned(),
        update_mask: mask(&["name"]),
        ..Default::default()
    });
    rename.metadata_mut().insert("x-event-note", "private".parse().unwrap());
    own.users().update_user(rename).await.unwrap();
    let event = watch.event().await;
    assert_eq!(event.action, "user.updated");
    let actor = event.actor.clone().unwrap();
    assert_eq!((actor.kind(), actor.user_id.as_str()), (pb::ActorKind::User, member.id.as_str()));
    assert_eq!((actor.ip_address.as_str(), actor.session_id.as_str(), actor.call_id.as_str()), ("", "", ""));
    assert!(event.metadata.is_empty() && event.method.is_empty() && event.organization_id.is_empty());
    assert!(!format!("{event:?}").contains(&other.id));
    // The same for a user who left, and before a user has joined.
    let late = t.user("late").await;
    let rename = |user: &pb::User| pb::UpdateUserRequest {
        user_id: user.id.clone(),
        name: "Secret".to_owned(),
        update_mask: mask(&["name"]),
        ..Default::default()
    };
    t.admin().users().update_user(rename(&late)).await.unwrap();
    t.member(&late, &acme, "viewer").await;
    let joined = watch.event().await;
    assert_eq!((joined.action.as_str(), joined.member.unwrap().id.as_str()), ("membership.created", late.id.as_str()));
    let leave = pb::LeaveOrganizationRequest { organization_id: acme.id.clone(), ..Default::default() };
    t.with_key(&t.user_key(&late).await).organizations().leave_organization(leave).await.unwrap();
    assert_eq!(watch.event().await.action, "membership.deleted");
    t.admin().users().update_user(rename(&late)).await.unwrap();
    let of_late = pb::ListEventsRequest { user_id: late.id.clone(), ..Default::default() };
    assert_eq!(actions(&list(&key, of_late).await), ["membership.deleted", "membership.created"]);
    let of_key = pb::ListEventsRequest { actor_user_id: member.id.clone(), ..Default::default() };
    assert_eq!(actions(&list(&key, of_key).await), ["user.updated"]);
}

#[both]
async fn t4_filters_find_the_events_of_members(t: Arc<Test>) {
    let (acme, member, key, _) = watched(&t).await;
    let foreign = t.user("foreign").await;
    t.suspend(&foreign).await;
    t.suspend(&member).await;
    t.reactivate(&member).await;
    let of = |request: pb::ListEventsRequest| {
        let key = key.clone();
        async move { list(&key, request).await.into_iter().map(|event| event.action).collect::<Vec<_>>() }
    };
    let both_states = ["user.reactivated", "user.suspended"];
    let organization_id = || acme.id.clone();
    let by_action = pb::ListEventsRequest { actions: vec!["user.*".to_owned()], ..Default::default() };
    assert_eq!(of(by_action.clone()).await, both_states);
    assert_eq!(of(pb::ListEventsRequest { organization_id: organization_id(), ..by_action }).await, both_states);
    let by_kind = pb::ListEventsRequest { resource_type: pb::ResourceType::User.into(), ..Default::default() };
    assert_eq!(of(by_kind).await, both_states);
    let by_resource = pb::ListEventsRequest { resource_id: member.id.clone(), ..Default::default() };
    assert_eq!(of(by_resource).await, both_states);
    let by_user = pb::ListEventsRequest { user_id: member.id.clone(), ..Default::default() };
    assert_eq!(of(by_user).await, ["user.reactivated", "user.suspended", "membership.created"]);
    assert_eq!(of(pb::ListEventsRequest { user_id: foreign.id.clone(), ..Default::default() }).await, [""; 0]);
    // Page by page it is the same list.
    let mut pages = Vec::new();
    let mut request = pb::ListEventsRequest { organization_id: organization_id(), page_size: 2, ..Default::default() };
    loop {
        let page = key.events().list_events(request.clone()).await.answered();
        assert!(page.events.len() <= 2);
        pages.extend(page.events.into_iter().map(|event| event.sequence));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    let whole = list(&key, pb::ListEventsRequest { organization_id: organization_id(), ..Default::default() }).await;
    assert_eq!(pages, whole.iter().map(|event| event.sequence).collect::<Vec<_>>());
}

#[both]
async fn t4_a_mirror_of_a_tenant_has_its_members_profiles_and_states(t: Arc<Test>) {
    let (acme, member, key, _) = watched(&t).await;
    let deleted = t.user("deleted").await;
    t.member(&deleted, &acme, "viewer").await;
    delete(&t, &deleted).await;
    let mut mirror = Mirror::of_organization(&key, &acme.id).await.unwrap();
    assert!(mirror.has(pb::ResourceType::User, &member.id) && !mirror.has(pb::ResourceType::User, &deleted.id));
    assert_eq!(mirror.members().count(), roles_of(&key, &acme).await.len());
    let mut watch = Watch::resume(&key, &mirror.cursor).await;
    t.suspend(&member).await;
    restore(&t, undelete(&deleted)).await.unwrap();
    let guest = t.verified_user("guest").await;
    let (invitation, _) = t.invitation(&acme, &guest.email, "viewer").await;
    accept(&t, &invitation, &guest).await.unwrap();
    let leave = pb::DeleteMembershipRequest {
        membership_id: t.membership(&deleted.id, &acme.id).await.unwrap().id,
        ..Default::default()
    };
    t.admin().memberships().delete_membership(leave).await.unwrap();
    let rename = pb::UpdateOrganizationRequest {
        organization_id: acme.id.clone(),
        name: "The end".to_owned(),
        update_mask: mask(&["name"]),
        ..Default::default()
    };
    t.admin().organizations().update_organization(rename).await.unwrap();
    loop {
        let event = watch.event().await;
        let is_last = event.action == "organization.updated";
        mirror.apply(event);
        if is_last {
            break;
        }
    }
    mirror.assert_equals(&Mirror::of_organization(&key, &acme.id).await.unwrap());
    assert_eq!(mirror.members().count(), roles_of(&key, &acme).await.len());
}

#[both(options = ["--sweep-interval", "20ms", "--event-retention", "1h"])]
async fn t4_the_visibility_of_members_events_is_deleted_with_the_events(t: Arc<Test>) {
    let (_, member, key, _) = watched(&t).await;
    t.suspend(&member).await;
    assert_eq!(t.database.texts("SELECT 'x' AS value FROM cf_member_events").await.len(), 1);
    t.advance(2 * crate::support::DAY);
    while !list(&key, pb::ListEventsRequest::default()).await.is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(t.database.texts("SELECT 'x' AS value FROM cf_member_events").await, Vec::<String>::new());
}

#[both]
async fn t10_an_invitation_ends_when_its_user_becomes_a_member_otherwise(t: Arc<Test>) {
    let acme = t.organization(&t.user("owner").await).await;
    let person = t.verified_user("person").await;
    let (invitation, _) = t.invitation(&acme, &person.email, "admin").await;
    t.member(&person, &acme, "viewer").await;
    assert_eq!(invitations(&t.admin(), Filter::Email(person.email.clone())).await, [""; 0]);
    assert_eq!(invitations(&t.admin(), Filter::OrganizationId(acme.id.clone())).await, [""; 0]);
    assert_eq!(actions_on(&t.admin(), &invitation.id).await, ["invitation.revoked", "invitation.created"]);
    refused(accept(&t, &invitation, &person).await, ErrorReason::InvitationNotFound);
}

#[both]
async fn t10_a_member_who_accepts_ends_the_invitation(t: Arc<Test>) {
    let acme = t.organization(&t.user("owner").await).await;
    // The address was not verified, so that it is not known whether the invited person is this user.
    let person = t.user("person").await;
    let (invitation, token) = t.invitation(&acme, &person.email, "admin").await;
    t.member(&person, &acme, "viewer").await;
    assert_eq!(
        invitations(&t.admin(), Filter::OrganizationId(acme.id.clone())).await,
        std::slice::from_ref(&invitation.id)
    );
    let request = || pb::AcceptInvitationRequest {
        key: Some(pb::accept_invitation_request::Key::PlaintextToken(token.clone())),
        user_id: person.id.clone(),
        ..Default::default()
    };
    refused(t.admin().invitations().accept_invitation(request()).await, ErrorReason::MembershipExists);
    refused(t.admin().invitations().accept_invitation(request()).await, ErrorReason::InvitationNotFound);
    assert_eq!(roles_of(&t.admin(), &acme).await[1], (person.id, "viewer".to_owned()));
    assert_eq!(actions_on(&t.admin(), &invitation.id).await, ["invitation.revoked", "invitation.created"]);
}

#[both]
async fn t10_an_invitation_ends_when_its_address_becomes_a_members(t: Arc<Test>) {
    let (acme, globex) = (t.organization(&t.user("owner").await).await, t.organization(&t.user("owner").await).await);
    let pending = async || invitations(&t.admin(), Filter::OrganizationId(acme.id.clone())).await.len();
    // Verified after the membership began.
    let person = t.user("person").await;
    t.invitation(&acme, &person.email, "admin").await;
    let (elsewhere, _) = t.invitation(&globex, &person.email, "admin").await;
    t.member(&person, &acme, "viewer").await;
    assert_eq!(pending().await, 1);
    let [verify, ..] = t.mailed_tokens(&person).await;
    let confirm = pb::ConfirmEmailVerificationRequest { plaintext_token: verify, ..Default::default() };
    t.admin().authentication().confirm_email_verification(confirm).await.unwrap();
    assert_eq!(pending().await, 0);
    assert_eq!(invitations(&t.admin(), Filter::Email(person.email.clone())).await, [elsewhere.id]);
    // Changed to the invited address.
    let new_email = format!("{}@example.com", unique("new"));
    t.invitation(&acme, &new_email, "admin").await;
    let change = pb::StartEmailChangeRequest { user_id: person.id.clone(), new_email, ..Default::default() };
    let token = t.admin().authentication().start_email_change(change).await.answered().plaintext_token;
    let confirm = pb::ConfirmEmailChangeRequest { plaintext_token: token, ..Default::default() };
    t.admin().authentication().confirm_email_change(confirm).await.unwrap();
    assert_eq!(pending().await, 0);
    // Invited while the member was deleted, and restored.
    let person = t.reload_user(&person.id).await;
    delete(&t, &person).await;
    t.invitation(&acme, &person.email, "admin").await;
    restore(&t, undelete(&person)).await.unwrap();
    assert_eq!(pending().await, 0);
}

#[both]
async fn t10_an_address_lists_only_what_it_can_accept(t: Arc<Test>) {
    let person = t.verified_user("person").await;
    let own = t.with_key(&t.user_key(&person).await);
    let listed = async |api: &Api| invitations(api, Filter::Email(person.email.clone())).await;
    let organizations = [0; 3].map(|_| t.user("owner"));
    let mut invited = Vec::new();
    for owner in organizations {
        let organization = t.organization(&owner.await).await;
        let (invitation, _) = t.invitation(&organization, &person.email, "member").await;
        invited.push((organization, invitation.id));
    }
    let [suspended, deleted, open] = &invited[..] else { unreachable!() };
    let request = pb::SuspendOrganizationRequest { organization_id: suspended.0.id.clone(), ..Default::default() };
    t.admin().organizations().suspend_organization(request).await.unwrap();
    delete_organization(&t, &deleted.0).await;
    for api in [&own, &t.admin()] {
        assert_eq!(listed(api).await, std::slice::from_ref(&open.1));
    }
    let preview = pb::DeleteUserRequest { user_id: person.id.clone(), validate_only: true, ..Default::default() };
    assert_eq!(t.admin().users().delete_user(preview).await.answered().impact.unwrap().invitations, 2);
    let request = pb::ReactivateOrganizationRequest { organization_id: suspended.0.id.clone(), ..Default::default() };
    t.admin().organizations().reactivate_organization(request).await.unwrap();
    assert_eq!(listed(&own).await, [suspended.1.clone(), open.1.clone()]);
    // The role of an invitation cannot be deleted.
    let role = t.role(&open.0, "clerk", &["invoices:read"]).await;
    t.invitation(&open.0, &t.user("other").await.email, "clerk").await;
    let request = pb::DeleteRoleRequest { role_id: role.id, ..Default::default() };
    refused(t.admin().roles().delete_role(request).await, ErrorReason::RoleInUse);
}

#[both]
async fn t14_a_user_whose_email_or_external_id_was_taken_is_restored_with_another(t: Arc<Test>) {
    let import = async |external_id: &str, email: &str| {
        let request = pb::ImportUsersRequest {
            users: vec![pb::ImportedUser {
                external_id: external_id.to_owned(),
                email: email.to_owned(),
                name: "Ada".to_owned(),
                email_verified: true,
                ..Default::default()
            }],
        };
        let answers = t.admin().users().import_users(tokio_stream::iter([request])).await.answered();
        let mut answers = answers;
        let result = answers.message().await.unwrap().unwrap().results.remove(0).outcome.unwrap();
        let pb::imported_user_result::Outcome::CreatedUserId(id) = result else { panic!("{result:?}") };
        t.reload_user(&id).await
    };
    let (external_id, email) = (unique("e"), format!("{}@example.com", unique("ada")));
    let ada = import(&external_id, &email).await;
    delete(&t, &ada).await;
    import(&external_id, &email).await;
    let other = format!("{}@example.com", unique("ada"));
    let with_id = pb::UndeleteUserRequest { external_id: unique("e"), ..undelete(&ada) };
    refused(restore(&t, with_id).await, ErrorReason::UserEmailTaken);
    let with_email = || pb::UndeleteUserRequest { email: other.clone(), ..undelete(&ada) };
    refused(restore(&t, with_email()).await, ErrorReason::UserExternalIdTaken);
    let taken = t.user("taken").await;
    let both = pb::UndeleteUserRequest { external_id: unique("e"), ..with_email() };
    let with_taken = pb::UndeleteUserRequest { email: taken.email, ..both.clone() };
    refused(restore(&t, with_taken).await, ErrorReason::UserEmailTaken);
    for (wrong, field) in [
        (pb::UndeleteUserRequest { email: "x".to_owned(), ..undelete(&ada) }, "email"),
        (pb::UndeleteUserRequest { external_id: "x\n".to_owned(), ..undelete(&ada) }, "external_id"),
    ] {
        let status = refused(restore(&t, wrong).await, ErrorReason::InvalidArgument);
        assert_eq!(crate::support::refusal::fields(&status), [field]);
    }
    let restored = restore(&t, both).await.unwrap().user.unwrap();
    assert_eq!((restored.email.as_str(), restored.email_verified_at), (other.as_str(), None));
    assert_eq!(t.reload_user(&ada.id).await, restored);
}

#[both]
async fn t14_an_organization_that_lost_its_slug_is_restored_with_another(t: Arc<Test>) {
    let owner = t.user("owner").await;
    let acme = t.organization(&owner).await;
    delete_organization(&t, &acme).await;
    let create = pb::CreateOrganizationRequest {
        name: "Other".to_owned(),
        slug: acme.slug.clone(),
        owner_user_id: owner.id.clone(),
        ..Default::default()
    };
    t.admin().organizations().create_organization(create).await.unwrap();
    let undelete = |slug: &str| pb::UndeleteOrganizationRequest {
        organization_id: acme.id.clone(),
        slug: slug.to_owned(),
        ..Default::default()
    };
    let mut organizations = t.admin().organizations();
    for slug in ["", acme.slug.as_str()] {
        refused(organizations.undelete_organization(undelete(slug)).await, ErrorReason::OrganizationSlugTaken);
    }
    refused(organizations.undelete_organization(undelete("No slug!")).await, ErrorReason::InvalidArgument);
    let slug = unique("acme-");
    let restored = organizations.undelete_organization(undelete(&slug)).await.answered().organization.unwrap();
    assert_eq!((restored.slug, restored.id), (slug, acme.id));
}

#[both]
async fn t14_a_wrong_etag_is_looked_at_even_if_nothing_is_deleted(t: Arc<Test>) {
    let owner = t.user("owner").await;
    let acme = t.organization(&owner).await;
    let wrong = pb::UndeleteUserRequest { etag: "r99".to_owned(), ..undelete(&owner) };
    refused(restore(&t, wrong).await, ErrorReason::EtagMismatch);
    let wrong =
        pb::UndeleteOrganizationRequest { organization_id: acme.id, etag: "r99".to_owned(), ..Default::default() };
    refused(t.admin().organizations().undelete_organization(wrong).await, ErrorReason::EtagMismatch);
    let right = pb::UndeleteUserRequest { etag: owner.etag.clone(), ..undelete(&owner) };
    assert_eq!(restore(&t, right).await.unwrap().user.unwrap(), owner);
}

/// One import of users, and the ids of those that were created or existed, in the order of the request.
async fn import(api: Api, users: Vec<pb::ImportedUser>) -> Vec<String> {
    let external_ids: Vec<String> = users.iter().map(|user| user.external_id.clone()).collect();
    let request = pb::ImportUsersRequest { users };
    let mut answers = api.users().import_users(tokio_stream::iter([request])).await.answered();
    let results = answers.message().await.unwrap().unwrap().results;
    assert_eq!(results.iter().map(|result| result.external_id.clone()).collect::<Vec<_>>(), external_ids);
    let id = |result: pb::ImportedUserResult| match result.outcome.unwrap() {
        pb::imported_user_result::Outcome::CreatedUserId(id)
        | pb::imported_user_result::Outcome::ExistingUserId(id) => id,
        refused @ pb::imported_user_result::Outcome::Error(_) => panic!("{refused:?}"),
    };
    results.into_iter().map(id).collect()
}

#[both]
async fn t16_imports_of_the_same_users_in_other_orders_do_not_deadlock(backend: Backend) {
    let database = TestDatabase::empty(backend).await;
    let servers = [Serving::on(&database).await, Serving::on(&database).await];
    let key = servers[0].first_admin_key.clone().unwrap();
    for round in 0..5 {
        let user = |number: i32| pb::ImportedUser {
            external_id: format!("{round}-{number}"),
            email: format!("{round}-{number}@example.org"),
            name: "N".to_owned(),
            ..Default::default()
        };
        let there: Vec<pb::ImportedUser> = (0..400).map(user).collect();
        let back: Vec<pb::ImportedUser> = there.iter().rev().cloned().collect();
        let (one, mut other) =
            tokio::join!(import(servers[0].with_key(&key), there), import(servers[1].with_key(&key), back));
        other.reverse();
        assert_eq!(one, other);
    }
    // Their sessions have reported their statistics when they are gone.
    drop(servers);
    if let TestDatabase::Postgres(_) = &database {
        let deadlocks = "SELECT deadlocks::text AS value FROM pg_stat_database WHERE datname = current_database()";
        assert_eq!(database.texts(deadlocks).await, ["0"]);
    }
    database.remove().await;
}

#[both]
async fn t16_a_batch_is_answered_in_its_own_order(t: Arc<Test>) {
    let user = |external_id: &str, email: &str| pb::ImportedUser {
        external_id: external_id.to_owned(),
        email: format!("{email}@example.org"),
        name: "N".to_owned(),
        ..Default::default()
    };
    let users = vec![user("c", "c"), user("a", "a"), user("b", "b"), user("a", "other")];
    let ids = import(t.admin(), users).await;
    assert_eq!(ids[1], ids[3], "the second of the same id is the first");
    assert_eq!(t.reload_user(&ids[0]).await.email, "c@example.org");
}

/// How long a change of a user takes by the number of its organizations, on the machine that runs the test.
#[both(long)]
async fn slow_t4_a_change_of_a_user_in_a_thousand_organizations_is_one_event(t: Arc<Test>) {
    let (owner, busy, idle) = (t.user("owner").await, t.user("busy").await, t.user("idle").await);
    for number in 0..1000 {
        let organization = t.organization(&owner).await;
        t.member(&busy, &organization, "member").await;
        if number == 0 {
            t.member(&idle, &organization, "member").await;
        }
    }
    let count = async |table: &str| {
        t.database.texts(&format!("SELECT CAST(count(*) AS text) AS value FROM {table}")).await[0]
            .parse::<i64>()
            .unwrap()
    };
    for (user, organizations) in [(&idle, 1), (&busy, 1000)] {
        let before = (count("cf_events").await, count("cf_member_events").await);
        let mut took = Vec::new();
        for round in 0..50 {
            let rename = pb::UpdateUserRequest {
                user_id: user.id.clone(),
                name: format!("Name {round}"),
                update_mask: mask(&["name"]),
                ..Default::default()
            };
            let began = std::time::Instant::now();
            t.admin().users().update_user(rename).await.unwrap();
            took.push(began.elapsed());
        }
        took.sort_unstable();
        println!("a user in {organizations} organizations: median {:?}, slowest {:?}", took[25], took[49]);
        let after = (count("cf_events").await, count("cf_member_events").await);
        assert_eq!((after.0 - before.0, after.1 - before.1), (50, 50 * organizations));
    }
    let key = t.with_key(&t.user_key(&owner).await);
    let began = std::time::Instant::now();
    let page = key.organizations().list_organizations(pb::ListOrganizationsRequest::default()).await.answered();
    let organization_id = page.organizations[0].id.clone();
    let events = pb::ListEventsRequest { organization_id, page_size: 50, ..Default::default() };
    assert_eq!(key.events().list_events(events).await.answered().events.len(), 50);
    println!("a page of events of one of them: {:?}", began.elapsed());
}

/// How often the server's sessions of this database have refused a statement because an earlier one of its transaction had failed. `None`
/// if the log of the database server is not at hand.
async fn sent_in_vain(database: &TestDatabase) -> Option<usize> {
    let control = std::env::var("TENANTRY_TEST_POSTGRES_CONTROL").ok()?;
    let log = std::path::Path::new(&control).parent()?.join("server.log");
    let log = String::from_utf8_lossy(&std::fs::read(log).ok()?).into_owned();
    let sessions = "SELECT pid::text AS value FROM pg_stat_activity WHERE datname = current_database()";
    let sessions: Vec<String> = database.texts(sessions).await.iter().map(|pid| format!("[{pid}]")).collect();
    let in_vain = log.lines().filter(|line| line.contains("current transaction is aborted"));
    Some(in_vain.filter(|line| sessions.iter().any(|pid| line.contains(pid))).count())
}

#[both]
async fn t16_little_is_sent_after_a_statement_that_failed(t: Arc<Test>) {
    let is_postgres = matches!(t.database, TestDatabase::Postgres(_));
    let fault = if is_postgres {
        "CREATE FUNCTION fault() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'fault' USING ERRCODE = 'serialization_failure'; END $$ \
         LANGUAGE plpgsql; CREATE TRIGGER fault BEFORE INSERT ON cf_users FOR EACH ROW WHEN (NEW.email = 'n003@example.org') \
         EXECUTE FUNCTION fault();"
    } else {
        "CREATE TRIGGER fault BEFORE INSERT ON cf_users WHEN NEW.email = 'n003@example.org' \
         BEGIN SELECT RAISE(ABORT, 'fault'); END;"
    };
    t.database.execute(fault).await;
    let user = |number: i32| pb::ImportedUser {
        external_id: format!("n{number:03}"),
        email: format!("n{number:03}@example.org"),
        name: "N".to_owned(),
        ..Default::default()
    };
    let request = pb::ImportUsersRequest { users: (0..400).map(user).collect() };
    let mut answers = t.admin().users().import_users(tokio_stream::iter([request])).await.answered();
    answers.message().await.unwrap_err();
    let stored = t.database.texts("SELECT email AS value FROM cf_users WHERE email LIKE 'n0%'").await;
    assert_eq!(stored, Vec::<String>::new());
    if is_postgres && let Some(in_vain) = sent_in_vain(&t.database).await {
        // Five attempts, each with few statements on their way.
        assert!(in_vain <= 5 * 40, "{in_vain} statements were sent in vain");
    }
}
