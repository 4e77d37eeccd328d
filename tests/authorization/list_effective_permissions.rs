//! `AuthorizationService.ListEffectivePermissions`.

use std::sync::Arc;

use tenantry::pb::{
    self, ErrorReason, PermissionBasis as Basis, batch_check_permissions_result::Outcome,
    check_permission_request::Subject as Checked, create_api_key_request::Owner,
    list_effective_permissions_request::Subject,
};

use crate::support::{Answered as _, Api, MISSING_ID, Test, both, mask, random::Random, refusal::fields, refused};

fn of(subject: Subject, organization: &pb::Organization) -> pb::ListEffectivePermissionsRequest {
    pb::ListEffectivePermissionsRequest { subject: Some(subject), organization_id: organization.id.clone() }
}

async fn effective(
    api: &Api,
    subject: Subject,
    organization: &pb::Organization,
) -> pb::ListEffectivePermissionsResponse {
    api.authorization().list_effective_permissions(of(subject, organization)).await.answered()
}

fn user(user: &pb::User) -> Subject {
    Subject::UserId(user.id.clone())
}

fn key(key: &pb::ApiKey) -> Subject {
    Subject::ApiKeyId(key.id.clone())
}

#[both]
async fn a_member_has_the_permissions_of_its_role_and_its_membership(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let role = t.role(&acme, "clerk", &["invoices:*", "reports:read"]).await;
    let request = pb::CreateMembershipRequest {
        user_id: bob.id.clone(),
        organization_id: acme.id.clone(),
        role: "clerk".to_owned(),
        permissions: ["invoices:read", "reports:*", "users:*"].map(str::to_owned).to_vec(),
        ..Default::default()
    };
    let bobs = t.admin().memberships().create_membership(request).await.answered().membership.unwrap();
    let reported = effective(&t.with_key(&t.user_key(&bob).await), user(&bob), &acme).await;
    let every = ["memberships:read", "organizations:read", "roles:read"];
    assert_eq!(reported.permissions, ["invoices:*", every[0], every[1], "reports:*", every[2], "users:*"]);
    assert_eq!(reported.excluded_permissions, Vec::<String>::new());
    assert_eq!(reported.role_permissions, ["invoices:*", every[0], every[1], "reports:read", every[2], "users:read"]);
    assert_eq!(reported.membership_permissions, ["invoices:read", "reports:*", "users:*"]);
    assert_eq!((reported.basis(), reported.role.as_str()), (Basis::Role, "clerk"));
    assert_eq!((reported.membership_id, reported.membership_etag), (bobs.id, bobs.etag));
    assert_eq!((reported.role_id, reported.role_etag), (role.id, role.etag));
    assert!(reported.scopes.is_empty() && reported.api_key_etag.is_empty());
}

#[both]
async fn an_admin_may_do_everything_except_the_named_permissions(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let bobs = t.member(&bob, &acme, "admin").await;
    let withheld = ["organizations:delete", "organizations:transfer"];
    let reported = effective(&t.admin(), user(&bob), &acme).await;
    assert_eq!(
        (reported.permissions.as_slice(), reported.excluded_permissions.as_slice()),
        (&["*".to_owned()][..], &withheld.map(str::to_owned)[..])
    );
    assert_eq!(reported.role_excluded_permissions, withheld);
    let give = pb::UpdateMembershipRequest {
        membership_id: bobs.id,
        permissions: vec!["organizations:delete".to_owned()],
        update_mask: mask(&["permissions"]),
        ..Default::default()
    };
    t.admin().memberships().update_membership(give).await.unwrap();
    assert_eq!(effective(&t.admin(), user(&bob), &acme).await.excluded_permissions, ["organizations:transfer"]);
    let (own, _) = t.key(Owner::OrganizationId(acme.id.clone()), &["*"]).await;
    let reported = effective(&t.admin(), key(&own), &acme).await;
    assert_eq!(
        (reported.basis(), reported.excluded_permissions),
        (Basis::OrganizationKey, withheld.map(str::to_owned).to_vec())
    );
    let reported = effective(&t.admin(), user(&ada), &acme).await;
    assert_eq!((reported.permissions, reported.excluded_permissions), (vec!["*".to_owned()], vec![]));
}

#[both]
async fn a_key_is_limited_to_its_scopes(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let (narrow, _) = t.key(Owner::UserId(ada.id.clone()), &["invoices:read", "users:*"]).await;
    let reported = effective(&t.admin(), key(&narrow), &acme).await;
    assert_eq!(reported.permissions, ["invoices:read", "users:*"]);
    assert_eq!((reported.basis(), reported.scopes, reported.api_key_etag), (Basis::Role, narrow.scopes, narrow.etag));
    let bob = t.user("bob").await;
    t.member(&bob, &acme, "viewer").await;
    let (bobs, _) = t.key(Owner::UserId(bob.id.clone()), &["invoices:read"]).await;
    let reported = effective(&t.admin(), key(&bobs), &acme).await;
    assert_eq!((reported.basis(), reported.permissions), (Basis::ScopeMissing, vec![]));
}

#[both]
async fn a_subject_without_permissions_learns_why(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let why = async |subject: Subject| {
        let reported = effective(&t.admin(), subject, &acme).await;
        assert!(reported.permissions.is_empty() && reported.excluded_permissions.is_empty());
        reported.basis()
    };
    assert_eq!(why(user(&bob)).await, Basis::NotAMember);
    let bobs = t.member(&bob, &acme, "member").await;
    t.disable(&bobs).await;
    assert_eq!(why(user(&bob)).await, Basis::MembershipDisabled);
    t.enable(&bobs).await;
    t.suspend(&bob).await;
    assert_eq!(why(user(&bob)).await, Basis::UserSuspended);
    t.reactivate(&bob).await;
    let (own, _) = t.key(Owner::OrganizationId(acme.id.clone()), &["*"]).await;
    let disable = pb::DisableApiKeyRequest { api_key_id: own.id.clone(), ..Default::default() };
    t.admin().api_keys().disable_api_key(disable).await.unwrap();
    assert_eq!(why(key(&own)).await, Basis::ApiKeyDisabled);
    let suspend = pb::SuspendOrganizationRequest { organization_id: acme.id.clone(), ..Default::default() };
    t.admin().organizations().suspend_organization(suspend).await.unwrap();
    assert_eq!(why(user(&bob)).await, Basis::OrganizationSuspended);
    let reported = effective(&t.admin(), user(&t.first_admin().await), &acme).await;
    assert_eq!((reported.basis(), reported.permissions), (Basis::PlatformAdmin, vec!["*".to_owned()]));
}

#[both]
async fn invisible_subjects_are_not_found(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let (acme, evil) = (t.organization(&ada).await, t.organization(&eve).await);
    let missing = pb::User { id: MISSING_ID.to_owned(), ..Default::default() };
    let (own, _) = t.key(Owner::OrganizationId(acme.id.clone()), &["*"]).await;
    for text in [t.user_key(&eve).await, t.organization_key(&evil).await] {
        let mut api = t.with_key(&text).authorization();
        for (subject, organization, reason) in [
            (user(&ada), &evil, ErrorReason::UserNotFound),
            (user(&missing), &evil, ErrorReason::UserNotFound),
            (user(&eve), &acme, ErrorReason::OrganizationNotFound),
            (key(&own), &evil, ErrorReason::ApiKeyNotFound),
        ] {
            refused(api.list_effective_permissions(of(subject, organization)).await, reason);
        }
    }
    // A disabled member is answered like one that never was a member.
    let eves = t.member(&eve, &acme, "admin").await;
    t.disable(&eves).await;
    let mut api = t.with_key(&t.user_key(&eve).await).authorization();
    let about_itself = api.list_effective_permissions(of(user(&eve), &acme)).await;
    refused(about_itself, ErrorReason::OrganizationNotFound);
    let nothing = api.list_effective_permissions(pb::ListEffectivePermissionsRequest::default()).await;
    assert_eq!(fields(&refused(nothing, ErrorReason::InvalidArgument)), ["subject", "organization_id"]);
}

const WORDS: [&str; 12] = [
    "*",
    "organizations:*",
    "organizations:read",
    "organizations:delete",
    "organizations:transfer",
    "invoices:*",
    "invoices:read",
    "invoices:pay",
    "memberships:write",
    "users:read",
    "invitations:read",
    "api_keys:read",
];

fn some(random: &mut Random, least: usize) -> Vec<String> {
    (0..least + random.below(4)).map(|_| random.one(&WORDS).to_owned()).collect()
}

/// A user with a random role, random permissions and a random state, and one of its keys.
async fn anyone(t: &Test, random: &mut Random, acme: &pb::Organization) -> Vec<(Subject, Checked)> {
    let user = t.user("anyone").await;
    let scopes = some(random, 1);
    let (own, _) = t.key(Owner::UserId(user.id.clone()), &scopes.iter().map(String::as_str).collect::<Vec<_>>()).await;
    if random.percent(85) {
        let request = pb::CreateMembershipRequest {
            user_id: user.id.clone(),
            organization_id: acme.id.clone(),
            role: random.one(&["owner", "admin", "member", "viewer", "clerk", "deputy"]).to_owned(),
            permissions: some(random, 0),
            ..Default::default()
        };
        let membership = t.admin().memberships().create_membership(request).await.answered().membership.unwrap();
        if random.percent(20) {
            t.disable(&membership).await;
        }
    }
    if random.percent(10) {
        let grant = pb::GrantPlatformAdminRequest { user_id: user.id.clone(), ..Default::default() };
        t.admin().users().grant_platform_admin(grant).await.unwrap();
    }
    match random.below(6) {
        0 => t.suspend(&user).await,
        1 => {
            let disable = pb::DisableApiKeyRequest { api_key_id: own.id.clone(), ..Default::default() };
            t.admin().api_keys().disable_api_key(disable).await.unwrap();
        }
        2 => {
            let revoke = pb::RevokeApiKeyRequest { api_key_id: own.id.clone(), ..Default::default() };
            t.admin().api_keys().revoke_api_key(revoke).await.unwrap();
        }
        _ => {}
    }
    vec![
        (Subject::UserId(user.id.clone()), Checked::UserId(user.id)),
        (Subject::ApiKeyId(own.id.clone()), Checked::ApiKeyId(own.id)),
    ]
}

/// Asserts that the list allows exactly what a check of every permission allows.
async fn assert_agrees(t: &Test, subject: (Subject, Checked), acme: &pb::Organization) {
    let concrete = WORDS.into_iter().filter(|word| !word.ends_with('*'));
    let checks = concrete.clone().map(|permission| pb::CheckPermissionRequest {
        subject: Some(subject.1.clone()),
        organization_id: acme.id.clone(),
        permission: permission.to_owned(),
    });
    let request = pb::BatchCheckPermissionsRequest { checks: checks.collect() };
    let results = t.admin().authorization().batch_check_permissions(request).await.answered().results;
    let reported = effective(&t.admin(), subject.0, acme).await;
    for (permission, result) in concrete.zip(results) {
        let Some(Outcome::Decision(decision)) = result.outcome else { panic!("{result:?}") };
        let resource = permission.split_once(':').unwrap().0;
        let covers = |held: &String| held == "*" || held == permission || *held == format!("{resource}:*");
        let is_excluded = reported.excluded_permissions.iter().any(|excluded| excluded == permission);
        let is_allowed = reported.permissions.iter().any(covers) && !is_excluded;
        assert_eq!(is_allowed, decision.allowed, "{permission}: {decision:?} {reported:?}");
    }
}

#[both]
async fn the_list_allows_exactly_what_checks_allow(t: Arc<Test>) {
    let mut random = Random::seeded();
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    for name in ["clerk", "deputy"] {
        let permissions = some(&mut random, 1);
        t.role(&acme, name, &permissions.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    let mut subjects = Vec::new();
    for _ in 0..20 {
        subjects.extend(anyone(&t, &mut random, &acme).await);
        let scopes = some(&mut random, 1);
        let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
        let (own, _) = t.key(Owner::OrganizationId(acme.id.clone()), &scopes).await;
        subjects.push((Subject::ApiKeyId(own.id.clone()), Checked::ApiKeyId(own.id)));
    }
    for subject in &subjects {
        assert_agrees(&t, subject.clone(), &acme).await;
    }
    let suspend = pb::SuspendOrganizationRequest { organization_id: acme.id.clone(), ..Default::default() };
    t.admin().organizations().suspend_organization(suspend).await.unwrap();
    for subject in subjects {
        assert_agrees(&t, subject, &acme).await;
    }
}
