//! `MembershipService.CountMembers`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, Test, both, database::TestDatabase, refused};

async fn count(t: &Test, request: pb::CountMembersRequest) -> (i32, bool) {
    let counted = t.admin().memberships().count_members(request).await.answered();
    (counted.total, counted.is_more)
}

#[both]
async fn members_are_counted_by_role_and_state_and_deleted_users_are_not(t: Arc<Test>) {
    let (ada, bob, eve, zoe) = (t.user("ada").await, t.user("bob").await, t.user("eve").await, t.user("zoe").await);
    let acme = t.organization(&ada).await;
    for (user, role) in [(&bob, "member"), (&eve, "viewer"), (&zoe, "member")] {
        t.member(user, &acme, role).await;
    }
    t.suspend(&bob).await;
    let delete = pb::DeleteUserRequest { user_id: zoe.id.clone(), ..Default::default() };
    t.admin().users().delete_user(delete).await.unwrap();
    let all = pb::CountMembersRequest { organization_id: acme.id.clone(), ..Default::default() };
    assert_eq!(count(&t, all.clone()).await, (3, false));
    let roles = |roles: &[&str]| pb::CountMembersRequest {
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        ..all.clone()
    };
    assert_eq!(count(&t, roles(&["member"])).await, (1, false));
    assert_eq!(count(&t, roles(&["viewer", "owner"])).await, (2, false));
    let suspended = pb::CountMembersRequest { state: pb::UserState::Suspended.into(), ..all.clone() };
    assert_eq!(count(&t, suspended).await, (1, false));
    t.admin().users().undelete_user(pb::UndeleteUserRequest { user_id: zoe.id, ..Default::default() }).await.unwrap();
    assert_eq!(count(&t, all.clone()).await, (4, false));
    let deleted = pb::CountMembersRequest { state: pb::UserState::Deleted.into(), ..all.clone() };
    refused(t.admin().memberships().count_members(deleted).await, ErrorReason::InvalidArgument);
    let many = pb::CountMembersRequest { roles: vec!["owner".to_owned(); 21], ..all.clone() };
    refused(t.admin().memberships().count_members(many).await, ErrorReason::InvalidArgument);
    // A member may count, a stranger may not.
    let eves = t.with_key(&t.user_key(&eve).await);
    assert_eq!(eves.memberships().count_members(all.clone()).await.answered().total, 4);
    let stranger = t.with_key(&t.user_key(&t.user("stranger").await).await);
    refused(stranger.memberships().count_members(all).await, ErrorReason::OrganizationNotFound);
}

#[both]
async fn ten_thousand_members_are_counted_and_more_are_more(t: Arc<Test>) {
    let acme = t.organization(&t.user("ada").await).await;
    fill(&t, &acme.id, 9_999).await;
    let all = pb::CountMembersRequest { organization_id: acme.id.clone(), ..Default::default() };
    assert_eq!(count(&t, all.clone()).await, (10_000, false));
    t.member(&t.user("late").await, &acme, "member").await;
    assert_eq!(count(&t, all).await, (10_000, true));
}

/// Adds members directly to the database.
async fn fill(t: &Test, organization: &str, count: usize) {
    let organization: uuid::Uuid = organization.parse().unwrap();
    let is_sqlite = matches!(t.database, TestDatabase::Sqlite(_));
    let literal = |id: uuid::Uuid| if is_sqlite { format!("x'{}'", id.simple()) } else { format!("'{id}'") };
    let (time, no) = if is_sqlite { ("0", "0") } else { ("'2026-01-01'", "false") };
    let organization = literal(organization);
    let (mut users, mut memberships) = (Vec::new(), Vec::new());
    for number in 0..count {
        let id =
            literal(uuid::Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::try_from(number).unwrap()));
        let email = format!("filled-{number}@example.com");
        users.push(format!("({id}, 1, '{email}', '{email}', 'Filled', {no}, 'active', '{{}}', {time}, {time})"));
        memberships.push(format!("({id}, 1, {id}, {organization}, 'member', '[]', {time}, {time}, '{email}')"));
    }
    for (users, memberships) in users.chunks(1000).zip(memberships.chunks(1000)) {
        let statements = format!(
            "BEGIN; INSERT INTO cf_users (id, revision, email, email_normalized, name, is_platform_admin, state, metadata, \
             created_at, updated_at) VALUES {}; INSERT INTO cf_memberships (id, revision, user_id, organization_id, role, \
             permissions, created_at, updated_at, user_email) VALUES {}; COMMIT;",
            users.join(", "),
            memberships.join(", ")
        );
        t.database.execute(&statements).await;
    }
}
