//! `MembershipService.ListMembers`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, MemberOrder, MembershipState, create_api_key_request::Owner};

use crate::support::{Answered as _, Api, Test, both, mask, refused};

async fn members(api: &Api, request: pb::ListMembersRequest) -> Vec<pb::Member> {
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListMembersRequest { page_token, page_size: 2, ..request.clone() };
        let page = api.memberships().list_members(request).await.answered();
        seen.extend(page.members);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return seen;
        }
    }
}

async fn names(api: &Api, request: pb::ListMembersRequest) -> Vec<String> {
    members(api, request).await.into_iter().map(|member| member.profile.unwrap().name).collect()
}

async fn named(t: &Test, name: &str, email: &str) -> pb::User {
    let request = pb::CreateUserRequest { name: name.to_owned(), email: email.to_owned(), ..Default::default() };
    t.admin().users().create_user(request).await.answered().user.unwrap()
}

/// An organization of Ada, Åsa, Bob and Zoë, who joined in this order reversed.
async fn team(t: &Test) -> (pb::Organization, Vec<pb::User>) {
    let zoe = named(t, "Zoë", "zoe@acme.test").await;
    let acme = t.organization(&zoe).await;
    let mut users = vec![zoe];
    for (name, role) in [("Bob", "member"), ("Åsa", "viewer"), ("Ada", "admin")] {
        let user =
            named(t, name, &format!("{}@{}.test", name.len(), if name == "Bob" { "other" } else { "acme" })).await;
        t.member(&user, &acme, role).await;
        users.push(user);
    }
    (acme, users)
}

fn of(acme: &pb::Organization) -> pb::ListMembersRequest {
    pb::ListMembersRequest { organization_id: acme.id.clone(), ..Default::default() }
}

#[both]
async fn a_member_is_its_membership_and_the_profile_that_get_user_shows(t: Arc<Test>) {
    let (user, ..) = t.signed_in_user("ada").await;
    let acme = t.organization(&user).await;
    let member = members(&t.with_key(&t.organization_key(&acme).await), of(&acme)).await.pop().unwrap();
    assert_eq!(member.membership, t.membership(&user.id, &acme.id).await);
    let shown = t.reload_user(&user.id).await;
    assert!(shown.last_sign_in_at.is_some());
    let profile = pb::MemberProfile {
        user_id: shown.id.clone(),
        email: shown.email.clone(),
        name: shown.name.clone(),
        avatar_url: shown.avatar_url.clone(),
        state: shown.state,
        email_verified_at: shown.email_verified_at,
        last_sign_in_at: shown.last_sign_in_at,
    };
    assert_eq!(member.profile, Some(profile));
}

#[both]
async fn members_are_ordered_by_joining_and_by_name(t: Arc<Test>) {
    let (acme, _) = team(&t).await;
    let by = |order: MemberOrder| pb::ListMembersRequest { order: order.into(), ..of(&acme) };
    let api = t.admin();
    assert_eq!(names(&api, of(&acme)).await, ["Zoë", "Bob", "Åsa", "Ada"]);
    assert_eq!(names(&api, by(MemberOrder::OldestFirst)).await, ["Zoë", "Bob", "Åsa", "Ada"]);
    assert_eq!(names(&api, by(MemberOrder::NewestFirst)).await, ["Ada", "Åsa", "Bob", "Zoë"]);
    assert_eq!(names(&api, by(MemberOrder::Name)).await, ["Ada", "Åsa", "Bob", "Zoë"]);
}

#[both]
async fn members_are_searched_and_filtered_in_every_order(t: Arc<Test>) {
    let (acme, users) = team(&t).await;
    t.suspend(&users[1]).await;
    let api = t.admin();
    let membership_id = t.membership(&users[2].id, &acme.id).await.unwrap().id;
    let disable = pb::DisableMembershipRequest { membership_id, ..Default::default() };
    api.memberships().disable_membership(disable).await.unwrap();
    for order in [MemberOrder::OldestFirst, MemberOrder::NewestFirst, MemberOrder::Name] {
        let base = pb::ListMembersRequest { order: order.into(), ..of(&acme) };
        let found = async |request: pb::ListMembersRequest| {
            let mut names = names(&api, request).await;
            names.sort();
            names
        };
        for (query, expected) in [
            ("ASA", vec!["Åsa"]),
            ("å", vec!["Ada", "Zoë", "Åsa"]),
            ("@acme.", vec!["Ada", "Zoë", "Åsa"]),
            ("zoe", vec!["Zoë"]),
            ("ob", vec!["Bob"]),
            ("%", vec![]),
            ("_", vec![]),
        ] {
            assert_eq!(
                found(pb::ListMembersRequest { query: query.to_owned(), ..base.clone() }).await,
                expected,
                "{query}"
            );
        }
        let roles = vec!["admin".to_owned(), "viewer".to_owned()];
        assert_eq!(found(pb::ListMembersRequest { roles, ..base.clone() }).await, ["Ada", "Åsa"]);
        let roles = vec!["viewer".to_owned()];
        assert_eq!(found(pb::ListMembersRequest { roles, ..base.clone() }).await, ["Åsa"]);
        let state = pb::UserState::Suspended.into();
        assert_eq!(found(pb::ListMembersRequest { state, ..base.clone() }).await, ["Bob"]);
        let state = |state: MembershipState| pb::ListMembersRequest { membership_state: state.into(), ..base.clone() };
        assert_eq!(found(state(MembershipState::Disabled)).await, ["Åsa"]);
        assert_eq!(found(state(MembershipState::Active)).await, ["Ada", "Bob", "Zoë"]);
        let user_ids = vec![users[0].id.clone(), users[3].id.clone(), users[1].id.clone()];
        assert_eq!(found(pb::ListMembersRequest { user_ids, ..base.clone() }).await, ["Ada", "Bob", "Zoë"]);
    }
}

#[both]
async fn a_member_is_found_by_its_present_name_until_its_user_is_deleted(t: Arc<Test>) {
    let (acme, users) = team(&t).await;
    let api = t.admin();
    let rename = pb::UpdateUserRequest {
        user_id: users[1].id.clone(),
        name: "Robert".to_owned(),
        update_mask: mask(&["name"]),
        ..Default::default()
    };
    t.admin().users().update_user(rename).await.unwrap();
    let by = |query: &str| pb::ListMembersRequest { query: query.to_owned(), ..of(&acme) };
    assert_eq!(names(&api, by("rober")).await, ["Robert"]);
    assert_eq!(names(&api, by("bob")).await, Vec::<String>::new());
    assert_eq!(t.membership(&users[1].id, &acme.id).await.unwrap().etag, "r1");
    let delete = pb::DeleteUserRequest { user_id: users[1].id.clone(), ..Default::default() };
    t.admin().users().delete_user(delete).await.unwrap();
    assert_eq!(names(&api, by("rober")).await, Vec::<String>::new());
    assert_eq!(names(&api, of(&acme)).await.len(), 3);
    let undelete = pb::UndeleteUserRequest { user_id: users[1].id.clone(), ..Default::default() };
    t.admin().users().undelete_user(undelete).await.unwrap();
    assert_eq!(names(&api, by("rober")).await, ["Robert"]);
}

#[both]
async fn members_are_listed_with_access_to_the_organization_and_permission_to_read_users(t: Arc<Test>) {
    let (acme, users) = team(&t).await;
    let viewer = t.with_key(&t.user_key(&users[2]).await);
    assert_eq!(names(&viewer, of(&acme)).await.len(), 4);
    let stranger = t.with_key(&t.user_key(&t.user("stranger").await).await);
    refused(stranger.memberships().list_members(of(&acme)).await, ErrorReason::OrganizationNotFound);
    let (_, narrow) = t.key(Owner::UserId(users[2].id.clone()), &["memberships:read"]).await;
    refused(t.with_key(&narrow).memberships().list_members(of(&acme)).await, ErrorReason::ScopeMissing);
}

#[both]
async fn bad_filters_are_refused(t: Arc<Test>) {
    let (acme, _) = team(&t).await;
    for request in [
        pb::ListMembersRequest { query: "x".repeat(101), ..of(&acme) },
        pb::ListMembersRequest { query: "x".repeat(10_000), ..of(&acme) },
        pb::ListMembersRequest { query: " ".to_owned(), ..of(&acme) },
        pb::ListMembersRequest { query: "\u{301}".to_owned(), ..of(&acme) },
        pb::ListMembersRequest { roles: vec!["owner".to_owned(); 21], ..of(&acme) },
        pb::ListMembersRequest { roles: vec!["No role".to_owned()], ..of(&acme) },
        pb::ListMembersRequest { state: pb::UserState::Deleted.into(), ..of(&acme) },
        pb::ListMembersRequest { user_ids: vec![acme.id.clone(); 101], ..of(&acme) },
        pb::ListMembersRequest { user_ids: vec!["x".to_owned()], ..of(&acme) },
        pb::ListMembersRequest { order: 9, ..of(&acme) },
        pb::ListMembersRequest::default(),
    ] {
        refused(t.admin().memberships().list_members(request).await, ErrorReason::InvalidArgument);
    }
}
