//! `RoleService.ListRoles`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, MISSING_ID, Test, both, refused};

#[both]
async fn pages_hold_the_roles_of_one_organization_in_order_of_creation(t: Arc<Test>) {
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
    assert_eq!(names, ["role-0", "role-1", "role-2", "role-3", "role-4"]);
    for id in [&other.id, MISSING_ID] {
        let request = pb::ListRolesRequest { organization_id: id.to_owned(), ..Default::default() };
        refused(roles.list_roles(request).await, ErrorReason::OrganizationNotFound);
    }
}
