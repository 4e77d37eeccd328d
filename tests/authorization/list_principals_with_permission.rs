//! `AuthorizationService.ListPrincipalsWithPermission`.

use std::{collections::BTreeSet, sync::Arc};

use tenantry::pb::{
    self, ErrorReason, PermissionBasis as Basis, batch_check_permissions_result::Outcome,
    check_permission_request::Subject, create_api_key_request::Owner, permission_principal::Principal,
};

use crate::support::{
    Answered as _, Api, MISSING_ID, Test, both, crowd, mask, random::Random, refusal::fields, refused,
};

fn who(organization: &pb::Organization, permission: &str) -> pb::ListPrincipalsWithPermissionRequest {
    pb::ListPrincipalsWithPermissionRequest {
        organization_id: organization.id.clone(),
        permission: permission.to_owned(),
        ..Default::default()
    }
}

/// All principals, page by page.
async fn all(api: &Api, request: &pb::ListPrincipalsWithPermissionRequest) -> Vec<pb::PermissionPrincipal> {
    let (mut request, mut principals) = (request.clone(), Vec::new());
    loop {
        let page = api.authorization().list_principals_with_permission(request.clone()).await.answered();
        let size = usize::try_from(request.page_size).unwrap();
        assert!(size == 0 || page.principals.len() <= size);
        principals.extend(page.principals);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return principals;
        }
    }
}

fn id(principal: &pb::PermissionPrincipal) -> &str {
    match principal.principal.as_ref().unwrap() {
        Principal::UserId(id) | Principal::ApiKeyId(id) => id,
    }
}

async fn give(t: &Test, membership: &pb::Membership, permissions: &[&str]) {
    let request = pb::UpdateMembershipRequest {
        membership_id: membership.id.clone(),
        permissions: permissions.iter().map(ToString::to_string).collect(),
        update_mask: mask(&["permissions"]),
        ..Default::default()
    };
    t.admin().memberships().update_membership(request).await.unwrap();
}

#[both]
async fn it_lists_members_by_role_by_permission_and_as_platform_admins_and_then_keys(t: Arc<Test>) {
    let (ada, bob, carl, dora) = (t.user("ada").await, t.user("bob").await, t.user("carl").await, t.user("dora").await);
    let acme = t.organization(&ada).await;
    t.role(&acme, "clerk", &["invoices:*"]).await;
    t.role(&acme, "reader", &["invoices:read"]).await;
    let bobs = t.member(&bob, &acme, "clerk").await;
    let carls = t.member(&carl, &acme, "reader").await;
    give(&t, &carls, &["invoices:pay"]).await;
    t.member(&dora, &acme, "reader").await;
    let admin = t.first_admin().await;
    let admins = t.member(&admin, &acme, "viewer").await;
    let (own, _) = t.key(Owner::OrganizationId(acme.id.clone()), &["invoices:*"]).await;
    t.key(Owner::OrganizationId(acme.id.clone()), &["reports:*"]).await;
    let adas = t.membership(&ada.id, &acme.id).await.unwrap();
    let member = |user: &pb::User, basis: Basis, membership: &pb::Membership| pb::PermissionPrincipal {
        principal: Some(Principal::UserId(user.id.clone())),
        basis: basis.into(),
        role: membership.role.clone(),
        membership_id: membership.id.clone(),
    };
    let key = pb::PermissionPrincipal {
        principal: Some(Principal::ApiKeyId(own.id.clone())),
        basis: Basis::OrganizationKey.into(),
        ..Default::default()
    };
    let expected = [
        member(&bob, Basis::Role, &bobs),
        member(&ada, Basis::Role, &adas),
        member(&carl, Basis::Membership, &carls),
        member(&admin, Basis::PlatformAdmin, &admins),
        key,
    ];
    for page_size in [0, 1, 2, 3, 5] {
        let request = pb::ListPrincipalsWithPermissionRequest { page_size, ..who(&acme, "invoices:pay") };
        assert_eq!(all(&t.admin(), &request).await, expected, "{page_size}");
    }
    assert_eq!(all(&t.admin(), &who(&acme, "roles:read")).await.len(), 5);
    let deleters = all(&t.admin(), &who(&acme, "organizations:delete")).await;
    assert_eq!(deleters.iter().map(id).collect::<Vec<_>>(), [&ada.id, &admin.id]);
}

#[both]
async fn disabled_principals_are_not_listed(t: Arc<Test>) {
    let (ada, bob, carl) = (t.user("ada").await, t.user("bob").await, t.user("carl").await);
    let acme = t.organization(&ada).await;
    let bobs = t.member(&bob, &acme, "admin").await;
    t.member(&carl, &acme, "admin").await;
    let (own, _) = t.key(Owner::OrganizationId(acme.id.clone()), &["*"]).await;
    let request = who(&acme, "invoices:pay");
    assert_eq!(all(&t.admin(), &request).await.len(), 4);
    t.disable(&bobs).await;
    t.suspend(&carl).await;
    let disable = pb::DisableApiKeyRequest { api_key_id: own.id, ..Default::default() };
    t.admin().api_keys().disable_api_key(disable).await.unwrap();
    let left = all(&t.admin(), &request).await;
    assert_eq!(left.iter().map(id).collect::<Vec<_>>(), [&ada.id]);
    let suspend = pb::SuspendOrganizationRequest { organization_id: acme.id.clone(), ..Default::default() };
    t.admin().organizations().suspend_organization(suspend).await.unwrap();
    assert!(all(&t.admin(), &request).await.is_empty());
}

#[both]
async fn keys_are_listed_for_those_who_see_them(t: Arc<Test>) {
    let (ada, bob, eve) = (t.user("ada").await, t.user("bob").await, t.user("eve").await);
    let (acme, evil) = (t.organization(&ada).await, t.organization(&eve).await);
    t.member(&bob, &acme, "viewer").await;
    let own = t.organization_key(&acme).await;
    for (text, sees_keys) in [(t.user_key(&ada).await, true), (own, true), (t.user_key(&bob).await, false)] {
        let mut api = t.with_key(&text).authorization();
        let page = api.list_principals_with_permission(who(&acme, "invoices:pay")).await.answered();
        assert_eq!((page.omits_api_keys, page.principals.len()), (!sees_keys, if sees_keys { 2 } else { 1 }));
    }
    for text in [t.user_key(&eve).await, t.organization_key(&evil).await] {
        let mut api = t.with_key(&text).authorization();
        let missing = pb::Organization { id: MISSING_ID.to_owned(), ..Default::default() };
        for organization in [&acme, &missing] {
            let list = api.list_principals_with_permission(who(organization, "a:b")).await;
            refused(list, ErrorReason::OrganizationNotFound);
        }
    }
    for permission in ["", "*", "invoices:*", "Invoices:pay"] {
        let list = t.admin().authorization().list_principals_with_permission(who(&acme, permission)).await;
        assert_eq!(fields(&refused(list, ErrorReason::InvalidArgument)), ["permission"]);
    }
}

#[both]
async fn a_page_ends_short_rather_than_examine_everyone(t: Arc<Test>) {
    crowd::fill(&t.database, 2_500).await;
    let permissions = "UPDATE cf_memberships SET permissions = '[\"invoices:read\"]'";
    t.database.execute(permissions).await;
    let named = pb::ListOrganizationsRequest { name_prefix: "shared 0".to_owned(), ..Default::default() };
    let crowd = t.admin().organizations().list_organizations(named).await.answered().organizations.remove(0);
    let (mut request, mut pages, mut found) = (who(&crowd, "reports:read"), 0, 0);
    loop {
        let page = t.admin().authorization().list_principals_with_permission(request.clone()).await.answered();
        (pages, found) = (pages + 1, found + page.principals.len());
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    // The owners of the crowd are suspended.
    assert!(found == 0 && (12..=16).contains(&pages), "{found} on {pages} pages");
}

#[both]
async fn it_lists_exactly_those_for_whom_a_check_allows_it(t: Arc<Test>) {
    let mut random = Random::seeded();
    let words = ["*", "invoices:*", "invoices:pay", "invoices:read", "organizations:*", "roles:read"];
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    t.role(&acme, "clerk", &[random.one(&words)]).await;
    t.role(&acme, "deputy", &[random.one(&words), random.one(&words)]).await;
    let mut subjects = vec![Subject::UserId(ada.id.clone())];
    for _ in 0..15 {
        let user = t.user("anyone").await;
        let role = random.one(&["owner", "admin", "member", "viewer", "clerk", "deputy"]);
        let membership = t.member(&user, &acme, role).await;
        if random.percent(40) {
            give(&t, &membership, &[random.one(&words)]).await;
        }
        match random.below(8) {
            0 => drop(t.disable(&membership).await),
            1 => t.suspend(&user).await,
            2 => {
                let grant = pb::GrantPlatformAdminRequest { user_id: user.id.clone(), ..Default::default() };
                t.admin().users().grant_platform_admin(grant).await.unwrap();
            }
            _ => {}
        }
        subjects.push(Subject::UserId(user.id));
        let (own, _) = t.key(Owner::OrganizationId(acme.id.clone()), &[random.one(&words)]).await;
        subjects.push(Subject::ApiKeyId(own.id));
    }
    for permission in ["invoices:pay", "invoices:read", "organizations:delete", "roles:read", "invitations:read"] {
        let checks = subjects.iter().map(|subject| pb::CheckPermissionRequest {
            subject: Some(subject.clone()),
            organization_id: acme.id.clone(),
            permission: permission.to_owned(),
        });
        let request = pb::BatchCheckPermissionsRequest { checks: checks.collect() };
        let results = t.admin().authorization().batch_check_permissions(request).await.answered().results;
        let mut expected = BTreeSet::new();
        for (subject, result) in subjects.iter().zip(results) {
            let Some(Outcome::Decision(decision)) = result.outcome else { panic!("{result:?}") };
            let (Subject::UserId(id) | Subject::ApiKeyId(id)) = subject;
            if decision.allowed {
                expected.insert((id.clone(), decision.basis));
            }
        }
        let request = pb::ListPrincipalsWithPermissionRequest { page_size: 3, ..who(&acme, permission) };
        let reported = all(&t.admin(), &request).await;
        let listed: BTreeSet<_> = reported.iter().map(|one| (id(one).to_owned(), one.basis)).collect();
        assert_eq!((listed.len(), &listed), (reported.len(), &expected), "{permission}");
    }
}
