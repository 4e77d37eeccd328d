//! Mistakes of the system that Tenantry replaces, each with a test that Tenantry does not make it. Tests are named after the number of the
//! mistake; the tests of the methods cover more.

use std::sync::Arc;

use tenantry::pb::{
    self, ErrorReason, accept_invitation_request, create_api_key_request::Owner, get_invitation_request,
};

use crate::{
    authentication::{introspect_token::forged, part},
    support::{
        Answered as _, DAY, Test, both, follow::list, given::CHEAP_HASH, mask, object, question, raw, refused,
        request::World, time_in,
    },
};

#[both]
async fn u1_tenant_isolation_is_tried_through_every_method(t: Arc<Test>) {
    // Two tenants. One tenant's keys are tried on every resource of the other.
    let (acme, evil) = (World::make(&t).await, World::make(&t).await);
    let organization = pb::Organization { id: evil.organization_id.clone(), ..Default::default() };
    for key in [t.organization_key(&organization).await, t.user_key(&evil.user).await] {
        for method in raw::methods_about_something() {
            let request = crate::support::request::encode(&acme.request(&method));
            if let Ok(answer) = raw::call(&t.anonymous(), &raw::path(&method), request, raw::bearer(&[&key])).await {
                let text = String::from_utf8_lossy(&answer).into_owned();
                for secret in
                    [&acme.email, &acme.invited.email, &acme.slug, &acme.provider_user_id, &acme.membership_id]
                {
                    assert!(!text.contains(secret.as_str()), "{} revealed {secret}", method.full_name());
                }
            }
        }
    }
}

#[both]
async fn u2_every_method_needs_a_credential_and_the_actor_is_the_caller(t: Arc<Test>) {
    let world = World::make(&t).await;
    for method in raw::methods() {
        let request = crate::support::request::encode(&world.request(&method));
        let status = raw::call(&t.anonymous(), &raw::path(&method), request, raw::bearer(&[])).await.unwrap_err();
        assert_eq!(crate::support::refusal::reason_of(&status), "UNAUTHENTICATED", "{}", method.full_name());
    }
    // The actor of a change is always the caller.
    let eve = t.user("eve").await;
    let owner = t.with_key(&t.user_key(&world.user).await);
    let request = pb::CreateInvitationRequest {
        organization_id: world.organization_id.clone(),
        email: eve.email.clone(),
        role: "member".to_owned(),
        ..Default::default()
    };
    let created = owner.invitations().create_invitation(request).await.answered();
    assert_eq!(created.invitation.clone().unwrap().invited_by, world.user.id);
    let key = Some(accept_invitation_request::Key::PlaintextToken(created.plaintext_token));
    let as_eve = pb::AcceptInvitationRequest { key, user_id: eve.id.clone(), ..Default::default() };
    refused(owner.invitations().accept_invitation(as_eve).await, ErrorReason::UserNotFound);
    let request = pb::ListEventsRequest { resource_id: created.invitation.unwrap().id, ..Default::default() };
    let events = t.admin().events().list_events(request).await.answered().events;
    assert_eq!(events[0].actor.as_ref().unwrap().user_id, world.user.id);
}

#[both]
async fn u3_what_belongs_to_another_tenant_is_not_found_in_every_method_that_takes_an_id(t: Arc<Test>) {
    let (acme, evil) = (World::make(&t).await, World::make(&t).await);
    let key = t.user_key(&evil.user).await;
    for method in ["RevokeInvitation", "ResendInvitation", "GetInvitation"] {
        let method = raw::methods().into_iter().find(|found| found.name() == method).unwrap();
        let request = crate::support::request::encode(&acme.request(&method));
        let answer = raw::call(&t.anonymous(), &raw::path(&method), request, raw::bearer(&[&key])).await;
        refused(answer, ErrorReason::InvitationNotFound);
    }
    // It is unchanged. For all other methods: `access::r39_foreign_and_missing_ids_are_answered_alike_and_reach_nothing`.
    let key = Some(get_invitation_request::Key::PlaintextToken(acme.invitation_token));
    let got = t.admin().invitations().get_invitation(pb::GetInvitationRequest { key }).await.answered();
    assert_eq!(got.invitation.unwrap().etag, "r1");
}

#[both]
async fn u4_an_invitation_is_hashed_bound_to_its_address_used_once_and_gives_no_more_than_its_maker_holds(
    t: Arc<Test>,
) {
    let (ada, bob, carl, eve) = (t.user("ada").await, t.user("bob").await, t.user("carl").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    t.member(&carl, &acme, "admin").await;
    let invite = |role: &str| pb::CreateInvitationRequest {
        organization_id: acme.id.clone(),
        email: bob.email.clone(),
        role: role.to_owned(),
        ..Default::default()
    };
    let mut carls = t.with_key(&t.user_key(&carl).await).invitations();
    refused(carls.create_invitation(invite("owner")).await, ErrorReason::RoleInsufficient);
    let token = carls.create_invitation(invite("admin")).await.answered().plaintext_token;
    let bytes = String::from_utf8_lossy(&t.database.bytes().await).into_owned();
    assert!(!bytes.contains(&token[29..72]));
    let accept = |user: &pb::User| pb::AcceptInvitationRequest {
        key: Some(accept_invitation_request::Key::PlaintextToken(token.clone())),
        user_id: user.id.clone(),
        ..Default::default()
    };
    let mut admin = t.admin().invitations();
    refused(admin.accept_invitation(accept(&eve)).await, ErrorReason::InvitationEmailMismatch);
    let mut accepts = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (mut invitations, request) = (t.admin().invitations(), accept(&bob));
        accepts.spawn(async move { invitations.accept_invitation(request).await });
    }
    let (created, refusals): (Vec<_>, Vec<_>) = accepts.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!((created.len(), refusals.len()), (1, 19));
    for refusal in refusals {
        refused(refusal, ErrorReason::InvitationNotFound);
    }
}

#[both]
async fn u5_the_only_owner_is_not_removed_demoted_deleted_or_purged(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let adas = t.membership(&ada.id, &acme.id).await.unwrap();
    let admin = t.admin();
    let id = || ada.id.clone();
    let none = String::new;
    let remove = pb::DeleteMembershipRequest { membership_id: adas.id.clone(), etag: none(), ..Default::default() };
    refused(admin.memberships().delete_membership(remove).await, ErrorReason::LastOwner);
    let demote = pb::UpdateMembershipRequest {
        membership_id: adas.id,
        role: "admin".to_owned(),
        update_mask: mask(&["role"]),
        ..Default::default()
    };
    refused(admin.memberships().update_membership(demote).await, ErrorReason::LastOwner);
    refused(
        admin.users().delete_user(pb::DeleteUserRequest { user_id: id(), etag: none(), ..Default::default() }).await,
        ErrorReason::LastOwner,
    );
    refused(
        admin.users().purge_user(pb::PurgeUserRequest { user_id: id(), etag: none(), ..Default::default() }).await,
        ErrorReason::LastOwner,
    );
}

#[both]
async fn u6_an_organization_is_never_without_an_owner(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    assert_eq!(t.membership(&ada.id, &acme.id).await.unwrap().role, "owner");
    // The owner's membership cannot be stored, so neither is the organization.
    t.database.execute("ALTER TABLE cf_memberships RENAME TO hidden").await;
    let request = pb::CreateOrganizationRequest {
        name: "Half".to_owned(),
        slug: "half".to_owned(),
        owner_user_id: ada.id,
        ..Default::default()
    };
    let status = t.admin().organizations().create_organization(request).await.unwrap_err();
    assert!(["INTERNAL", "UNAVAILABLE"].contains(&crate::support::refusal::reason_of(&status).as_str()), "{status:?}");
    t.database.execute("ALTER TABLE hidden RENAME TO cf_memberships").await;
    let by_slug = pb::GetOrganizationBySlugRequest { slug: "half".to_owned() };
    refused(t.admin().organizations().get_organization_by_slug(by_slug).await, ErrorReason::OrganizationNotFound);
}

#[both]
async fn u7_ownership_is_not_transferred_to_oneself_a_stranger_or_a_suspended_user(t: Arc<Test>) {
    let (ada, bob, eve) = (t.user("ada").await, t.user("bob").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "admin").await;
    t.suspend(&bob).await;
    let mut adas = t.with_key(&t.user_key(&ada).await).organizations();
    let mut admins = t.admin().organizations();
    let to = |user: &pb::User| pb::TransferOwnershipRequest {
        organization_id: acme.id.clone(),
        new_owner_user_id: user.id.clone(),
        former_owner_user_id: ada.id.clone(),
        ..Default::default()
    };
    refused(adas.transfer_ownership(to(&ada)).await, ErrorReason::InvalidArgument);
    refused(adas.transfer_ownership(to(&eve)).await, ErrorReason::UserNotFound);
    refused(admins.transfer_ownership(to(&eve)).await, ErrorReason::MembershipNotFound);
    refused(adas.transfer_ownership(to(&bob)).await, ErrorReason::UserSuspended);
    assert_eq!(t.membership(&ada.id, &acme.id).await.unwrap().role, "owner");
}

#[both]
async fn u8_every_credential_stops_at_once_and_keys_work_again_on_reactivation(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "admin").await;
    let (bobs_key, acmes_key) = (t.user_key(&bob).await, t.organization_key(&acme).await);
    let (revoked, revoked_text) = t.key(Owner::UserId(bob.id.clone()), &["*"]).await;
    let revoke = pb::RevokeApiKeyRequest { api_key_id: revoked.id, ..Default::default() };
    t.admin().api_keys().revoke_api_key(revoke).await.unwrap();
    let (_, token) = t.session(&bob).await;
    let list = async |key: &str| t.with_key(key).users().list_users(pb::ListUsersRequest::default()).await;

    t.suspend(&bob).await;
    let organization_id = || acme.id.clone();
    let suspend = pb::SuspendOrganizationRequest {
        organization_id: organization_id(),
        etag: String::new(),
        ..Default::default()
    };
    t.admin().organizations().suspend_organization(suspend).await.unwrap();
    for key in [&bobs_key, &acmes_key, &revoked_text] {
        refused(list(key).await, ErrorReason::Unauthenticated);
    }
    refused(t.rotate(&token).await, ErrorReason::RefreshTokenRejected);

    t.reactivate(&bob).await;
    let reactivate = pb::ReactivateOrganizationRequest {
        organization_id: organization_id(),
        etag: String::new(),
        ..Default::default()
    };
    t.admin().organizations().reactivate_organization(reactivate).await.unwrap();
    for key in [&bobs_key, &acmes_key] {
        list(key).await.unwrap();
    }
    refused(list(&revoked_text).await, ErrorReason::Unauthenticated);
    refused(t.rotate(&token).await, ErrorReason::RefreshTokenRejected);
}

#[both]
async fn u9_keys_are_the_other_way_round(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "admin").await;
    let owner = || Owner::OrganizationId(acme.id.clone());
    let new = |scope: &str| pb::CreateApiKeyRequest {
        owner: Some(owner()),
        name: "x".to_owned(),
        scopes: vec![scope.to_owned()],
        environment: pb::ApiKeyEnvironment::Live.into(),
        ..Default::default()
    };
    // `*` cannot be granted by every caller.
    let (_, narrow) = t.key(owner(), &["api_keys:*", "users:read"]).await;
    refused(t.with_key(&narrow).api_keys().create_api_key(new("*")).await, ErrorReason::ScopeNotHeld);
    // A negative lifetime is refused.
    let past = pb::CreateApiKeyRequest { expires_at: time_in(&t, -60), ..new("users:read") };
    refused(t.admin().api_keys().create_api_key(past).await, ErrorReason::InvalidArgument);
    // A key can be renamed and re-scoped.
    let (key, text) = t.key(owner(), &["users:read"]).await;
    let update = pb::UpdateApiKeyRequest {
        api_key_id: key.id.clone(),
        name: "renamed".to_owned(),
        scopes: vec!["memberships:read".to_owned()],
        update_mask: mask(&["name", "scopes"]),
        ..Default::default()
    };
    t.admin().api_keys().update_api_key(update).await.unwrap();
    // A verification writes nothing.
    let before = t.database.bytes().await;
    let verify = pb::VerifyApiKeyRequest { question: question(&text) };
    let verdict =
        async || t.admin().api_keys().verify_api_key(verify.clone()).await.answered().verification.unwrap().verdict();
    assert_eq!(verdict().await, pb::ApiKeyVerdict::Valid);
    assert!(t.database.bytes().await == before);
    // The owner's state counts, and a purge of an organization deletes its keys.
    let suspend =
        pb::SuspendOrganizationRequest { organization_id: acme.id.clone(), etag: String::new(), ..Default::default() };
    t.admin().organizations().suspend_organization(suspend).await.unwrap();
    assert_eq!(verdict().await, pb::ApiKeyVerdict::OwnerInactive);
    let purge =
        pb::PurgeOrganizationRequest { organization_id: acme.id.clone(), etag: String::new(), ..Default::default() };
    t.admin().organizations().purge_organization(purge).await.unwrap();
    assert_eq!(verdict().await, pb::ApiKeyVerdict::Unknown);
    refused(
        t.with_key(&text).memberships().list_memberships(pb::ListMembershipsRequest::default()).await,
        ErrorReason::Unauthenticated,
    );
}

#[both]
async fn u10_a_refresh_token_works_once_and_its_session_ends(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (_, one) = t.session(&ada).await;
    let (one_call, other_call) = tokio::join!(t.rotate(&one), t.rotate(&one));
    assert_ne!(one_call.is_ok(), other_call.is_ok());
    let (_, child) = one_call.or(other_call).unwrap();
    refused(t.rotate(&child).await, ErrorReason::RefreshTokenRejected);
    // A session that is refreshed every day still ends.
    let (_, mut token) = t.session(&ada).await;
    let mut days = 0;
    while let Ok((_, next)) = t.rotate(&token).await {
        token = next;
        t.advance(DAY);
        days += 1;
    }
    assert_eq!(days, 90);
}

#[both(options = ["--signing-algorithm", "EdDSA"])]
async fn u11_an_access_token_has_every_claim_and_each_is_checked(t: Arc<Test>) {
    let (user, signed_in, own) = t.signed_in_user("ada").await;
    let (header, claims) = (part(&signed_in.access_token, 0), part(&signed_in.access_token, 1));
    for claim in ["iss", "sub", "aud", "exp", "iat", "jti", "sid", "client_id"] {
        assert!(claims.get(claim).is_some(), "{claim}");
    }
    for name in ["alg", "typ", "kid"] {
        assert!(header.get(name).is_some(), "{name}");
    }
    own.users().get_user(pb::GetUserRequest { user_id: user.id.clone() }).await.unwrap();
    // Each part missing, wrong or of another kind; another algorithm of the same family, and of others.
    for (what, token) in forged(&t, &signed_in.access_token).await {
        let called = t.with_key(&token).users().get_user(pb::GetUserRequest { user_id: user.id.clone() }).await;
        assert!(called.is_err(), "{what}");
    }
}

#[both]
async fn u12_a_password_has_a_policy_and_a_bounded_hash_that_is_renewed_and_nobody_is_as_slow_as_somebody(
    t: Arc<Test>,
) {
    let user = t.user("ada").await;
    let set = async |password: &str| {
        let (user_id, password) = (user.id.clone(), password.to_owned());
        t.admin()
            .authentication()
            .set_password(pb::SetPasswordRequest { user_id, password, ..Default::default() })
            .await
    };
    for password in ["", "short", "passwordpassword"] {
        refused(set(password).await, ErrorReason::PasswordUnacceptable);
    }
    let import = async |hash: String| {
        let (user_id, password_hash) = (user.id.clone(), hash);
        t.admin()
            .authentication()
            .import_password_hash(pb::ImportPasswordHashRequest { user_id, password_hash, ..Default::default() })
            .await
    };
    let digest = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";
    refused(
        import(format!("$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ${digest}")).await,
        ErrorReason::InvalidArgument,
    );
    import(CHEAP_HASH.to_owned()).await.unwrap();
    t.signed_in(&user).await;
    let stored = t.database.texts("SELECT hash AS value FROM cf_passwords").await;
    assert!(stored[0].starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    // `make test-slow` compares the times; `r11_..` checks that the same work is done.
}

#[both]
async fn u14_a_sign_up_is_all_or_nothing(t: Arc<Test>) {
    let taken = t.organization(&t.user("owner").await).await;
    let before = (t.database.rows().await, list(&t.admin(), pb::ListEventsRequest::default()).await);
    let request = pb::SignUpRequest {
        email: "new@example.com".to_owned(),
        name: "New".to_owned(),
        password: "seven wet dogs on a boat".to_owned(),
        organization_name: "Harbour".to_owned(),
        organization_slug: taken.slug,
        ..Default::default()
    };
    // The organization is created after the user and the password.
    refused(t.admin().authentication().sign_up(request.clone()).await, ErrorReason::OrganizationSlugTaken);
    assert_eq!((t.database.rows().await, list(&t.admin(), pb::ListEventsRequest::default()).await), before);
    let request = pb::SignUpRequest { organization_slug: "harbour".to_owned(), ..request };
    t.admin().authentication().sign_up(request).await.unwrap();
}

#[both]
async fn u13_email_is_compared_normalised_and_links_nothing(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let twin = pb::CreateUserRequest { email: ada.email.to_uppercase(), name: "Twin".to_owned(), ..Default::default() };
    refused(t.admin().users().create_user(twin).await, ErrorReason::UserEmailTaken);
    assert!(ada.email_verified_at.is_none());
    // A provider reports Ada's address for Eve's account: the account is Eve's, and Ada has none.
    let eve = t.user("eve").await;
    let link = pb::LinkOauthAccountRequest {
        user_id: eve.id.clone(),
        provider: "github".to_owned(),
        provider_user_id: "42".to_owned(),
        email: ada.email.clone(),
        ..Default::default()
    };
    t.admin().oauth_accounts().link_oauth_account(link).await.unwrap();
    let by = pb::GetOauthAccountByProviderRequest { provider: "github".to_owned(), provider_user_id: "42".to_owned() };
    let found = t.admin().oauth_accounts().get_oauth_account_by_provider(by).await.answered();
    assert_eq!(found.oauth_account.unwrap().user_id, eve.id);
    let of_ada = pb::ListOauthAccountsRequest { user_id: ada.id, ..Default::default() };
    assert!(t.admin().oauth_accounts().list_oauth_accounts(of_ada).await.answered().oauth_accounts.is_empty());
}

#[both]
async fn u15_platform_admin_is_in_one_place_guarded_and_given_by_platform_admins_only(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let adas = t.with_key(&t.user_key(&ada).await);
    let grant = pb::GrantPlatformAdminRequest { user_id: ada.id.clone(), etag: String::new(), ..Default::default() };
    refused(adas.users().grant_platform_admin(grant.clone()).await, ErrorReason::PlatformAdminRequired);
    let smuggle = pb::UpdateUserRequest {
        user_id: ada.id.clone(),
        metadata: object("is_platform_admin", "true"),
        update_mask: mask(&["metadata", "is_platform_admin"]),
        ..Default::default()
    };
    refused(adas.users().update_user(smuggle).await, ErrorReason::InvalidArgument);
    assert!(!t.reload_user(&ada.id).await.is_platform_admin);
    let admin = t.first_admin().await;
    let revoke = pb::RevokePlatformAdminRequest { user_id: admin.id, etag: String::new(), ..Default::default() };
    refused(t.admin().users().revoke_platform_admin(revoke.clone()).await, ErrorReason::LastPlatformAdmin);
    t.admin().users().grant_platform_admin(grant).await.unwrap();
    adas.users().revoke_platform_admin(revoke).await.unwrap();
    // Looked up live: the first admin's key is now an ordinary user's.
    let list = t.admin().users().list_users(pb::ListUsersRequest::default()).await.answered();
    assert_eq!(list.users.len(), 1);
}

#[both]
async fn u17_the_database_holds_no_provider_token_and_a_moved_one_does_not_open(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let (adas, eves) = (t.oauth_account(&ada).await, t.oauth_account(&eve).await);
    let bytes = t.database.bytes().await;
    for token in [&b"canary-access"[..], b"canary-refresh"] {
        assert!(!bytes.windows(token.len()).any(|window| window == token));
    }
    // The test would detect one: public values are found.
    assert!(bytes.windows(adas.provider_user_id.len()).any(|window| window == adas.provider_user_id.as_bytes()));
    t.database.execute(&format!(
        "UPDATE cf_oauth_accounts SET access_token = (SELECT o.access_token FROM cf_oauth_accounts o WHERE o.provider_user_id = '{}') \
         WHERE provider_user_id = '{}'",
        adas.provider_user_id, eves.provider_user_id,
    )).await;
    let get = |account: &pb::OauthAccount| pb::GetOauthAccountTokensRequest { oauth_account_id: account.id.clone() };
    t.admin().oauth_accounts().get_oauth_account_tokens(get(&adas)).await.unwrap();
    refused(t.admin().oauth_accounts().get_oauth_account_tokens(get(&eves)).await, ErrorReason::SealedValueUnreadable);
}

#[both]
async fn u18_pages_have_an_order_and_an_end(t: Arc<Test>) {
    let mut created = vec![t.first_admin().await.id];
    for name in 0..25 {
        created.push(t.user(&format!("u{name}")).await.id);
    }
    let mut request = pb::ListUsersRequest { page_size: 7, ..Default::default() };
    let mut sizes = Vec::new();
    let mut seen = Vec::new();
    loop {
        let page = t.admin().users().list_users(request.clone()).await.answered();
        sizes.push(page.users.len());
        seen.extend(page.users.into_iter().map(|user| user.id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!((sizes, seen), (vec![7, 7, 7, 5], created));
}

#[both]
async fn u19_a_refusal_has_a_reason_from_the_enum(t: Arc<Test>) {
    // `errors.rs` tests that every reason is produced. This tests that every failure has one.
    let missing = World::missing();
    for method in raw::methods() {
        let request = crate::support::request::encode(&missing.request(&method));
        if let Err(status) = raw::call(&t.anonymous(), &raw::path(&method), request, raw::bearer(&[&t.admin_key])).await
        {
            let reason = crate::support::refusal::reason_of(&status);
            let reason = ErrorReason::from_str_name(&format!("ERROR_REASON_{reason}")).unwrap();
            assert_eq!(status.code(), crate::support::refusal::code(reason));
        }
    }
}

#[both]
async fn u20_a_slug_race_is_already_exists_and_a_generated_slug_is_valid(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let create = |name: &str, slug: &str| {
        let request = pb::CreateOrganizationRequest {
            name: name.to_owned(),
            slug: slug.to_owned(),
            owner_user_id: ada.id.clone(),
            ..Default::default()
        };
        let mut organizations = t.admin().organizations();
        async move { organizations.create_organization(request).await }
    };
    let (one, two) = tokio::join!(create("A", "same"), create("B", "same"));
    assert_ne!(one.is_ok(), two.is_ok());
    refused(if one.is_ok() { two } else { one }, ErrorReason::OrganizationSlugTaken);
    // Eight concurrent requests without a slug all get one.
    let names = ["\u{1F600}", "  --  ", "ÀÉÎ", "a", "A.B.C", "日本"];
    for name in names {
        let slug = create(name, "").await.answered().organization.unwrap().slug;
        assert!(tenantry::models::Slug::parse(&slug).is_ok(), "{slug}");
    }
    let (a, b, c) = tokio::join!(create("Race", ""), create("Race", ""), create("Race", ""));
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
}
