//! `RoleService.ListRoles`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, MISSING_ID, Test, both, refused};

#[both]
async fn pages_hold_the_built_in_roles_and_then_those_of_one_organization_in_order_of_creation(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let (acme, other) = (t.organization(&ada).await, t.organization(&eve).await);
    for number in 0..5 {
        t.role(&acme, &format!("role-{number}"), &[]).await;
        t.role(&other, &format!("other-{number}"), &[]).await;
    }
    let mut roles = t.with_key(&t.user_key(&ada).await).roles();
    let mut request = pb::ListRolesRequest { organization_id: acme.id.clone(), page_size: 2, ..Default::default() };
    let mut names = Vec::new();
    loop {
        let page = roles.list_roles(request.clone()).await.answered();
        names.extend(page.roles.into_iter().map(|role| role.name));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    let expected = ["owner", "admin", "member", "viewer", "role-0", "role-1", "role-2", "role-3", "role-4"];
    assert_eq!(names, expected);
    for id in [&other.id, MISSING_ID] {
        let request = pb::ListRolesRequest { organization_id: id.to_owned(), ..Default::default() };
        refused(roles.list_roles(request).await, ErrorReason::OrganizationNotFound);
    }
}

#[both]
async fn pages_of_every_size_hold_each_role_once(t: Arc<Test>) {
    let ada = t.user("ada").await;
    for custom in [0, 1, 3] {
        let acme = t.organization(&ada).await;
        for number in 0..custom {
            t.role(&acme, &format!("role-{number}"), &[]).await;
        }
        for page_size in 1..=8 {
            let mut request =
                pb::ListRolesRequest { organization_id: acme.id.clone(), page_size, ..Default::default() };
            let (mut pages, mut names) = (0, Vec::new());
            loop {
                let page = t.admin().roles().list_roles(request.clone()).await.answered();
                pages += 1;
                names.extend(page.roles.into_iter().map(|role| role.name));
                request.page_token = page.next_page_token;
                if request.page_token.is_empty() {
                    break;
                }
            }
            let mut distinct = names.clone();
            distinct.sort_unstable();
            distinct.dedup();
            let expected = 4 + custom;
            assert_eq!((names.len(), distinct.len()), (expected, expected), "{custom} {page_size}");
            assert_eq!(pages, expected.div_ceil(usize::try_from(page_size).unwrap()), "{custom} {page_size}");
        }
    }
}
