//! Every reason of the enum is produced by a call, with its code and details and without implementation details.

use std::sync::Arc;

use prost_types::value::Kind;
use tenantry::pb::{
    self, ErrorReason, accept_invitation_request, create_api_key_request::Owner, get_membership_request,
    get_role_request, imported_user_result::Outcome,
};
use tonic::{Response, Status, Streaming};
use tonic_types::StatusExt as _;

use crate::support::{
    Api, DAY, MISSING_ID, Test, both, database, given::unique, held::Held, mask, object, raw, refusal::reason_of,
    refused, request::World, time_in,
};
use uuid::Uuid;

use ErrorReason as R;

/// The full path of CreateUser.
const CREATE_USER: &str = "/tenantry.v1.UserService/CreateUser";

/// The callers and resources of the refused calls.
#[derive(Clone)]
struct Scene<'a> {
    t: &'a Test,
    admin: Api,
    world: World,
    organization: pb::Organization,
    owner_key: String,
    owner: Api,
}

impl<'a> Scene<'a> {
    async fn new(t: &'a Test) -> Self {
        let world = World::make(t).await;
        let organization = pb::Organization { id: world.organization_id.clone(), ..Default::default() };
        let owner_key = t.user_key(&world.user).await;
        Self { t, admin: t.admin(), organization, owner: t.with_key(&owner_key), owner_key, world }
    }
}

/// The result of a group of calls: the refusal, true if the group's call succeeded, or false if the group has no call for the reason.
type Provoked = Result<bool, Status>;

/// Makes a call that is refused for a reason. Panics for a reason without such a call. Calls for `Unavailable`, `DeadlineExceeded` and
/// `Overloaded` need a locked database and have their own tests.
async fn provoke(t: &Test, reason: ErrorReason) -> Result<(), Status> {
    let scene = Scene::new(t).await;
    let is_known = provoke_requests(scene.clone(), reason).await?
        || provoke_authority(scene.clone(), reason).await?
        || provoke_key_limits(scene.clone(), reason).await?
        || provoke_not_found(scene.clone(), reason).await?
        || provoke_authentication(scene.clone(), reason).await?
        || provoke_taken(scene.clone(), reason).await?
        || provoke_roles_and_invitations(scene.clone(), reason).await?
        || provoke_states(scene.clone(), reason).await?
        || provoke_streams(scene.clone(), reason).await?
        || provoke_server_limits(scene.clone(), reason).await?
        || provoke_faults(scene, reason).await?;
    assert!(is_known, "add a call that is refused for {reason:?}");
    Ok(())
}

/// Turns the result of the provoking call into the result of its group.
fn done(result: Result<(), Status>) -> Provoked {
    result.map(|()| true)
}

async fn raw_call(api: &Api, path: &str, bytes: Vec<u8>, keys: &[&str]) -> Provoked {
    raw::call(api, path, bytes, raw::bearer(keys)).await.map(|_| true)
}

fn missing() -> String {
    MISSING_ID.to_owned()
}

fn create(email: &str) -> pb::CreateUserRequest {
    pb::CreateUserRequest { email: email.to_owned(), name: "X".to_owned(), ..Default::default() }
}

fn role(organization_id: &str, name: &str) -> pb::CreateRoleRequest {
    pb::CreateRoleRequest { organization_id: organization_id.to_owned(), name: name.to_owned(), ..Default::default() }
}

/// Refusals of the request as such.
async fn provoke_requests(scene: Scene<'_>, reason: ErrorReason) -> Provoked {
    let Scene { t, admin, world, .. } = scene;
    match reason {
        R::InvalidArgument => done(admin.users().create_user(create("x")).await.map(drop)),
        R::RequestMalformed => raw_call(&admin, CREATE_USER, vec![0xff], &[&t.admin_key]).await,
        R::RequestTooLarge => raw_call(&admin, CREATE_USER, vec![0; 300 * 1024], &[&t.admin_key]).await,
        R::MethodUnknown => raw_call(&admin, "/tenantry.v1.UserService/Nothing", vec![], &[&t.admin_key]).await,
        R::ServiceNotFound => {
            let mut health = tonic_health::pb::health_client::HealthClient::new(admin.channel.clone());
            let request = tonic_health::pb::HealthCheckRequest { service: "nobody.Service".to_owned() };
            done(health.check(request).await.map(drop))
        }
        R::Unauthenticated => raw_call(&admin, CREATE_USER, vec![], &[]).await,
        R::EtagMismatch => {
            let request = pb::PurgeUserRequest { user_id: world.user.id, etag: "r0".to_owned(), ..Default::default() };
            done(admin.users().purge_user(request).await.map(drop))
        }
        R::RequestIdReused => {
            let request_id = Uuid::new_v4().to_string();
            let named = |email: &str| pb::CreateUserRequest { request_id: request_id.clone(), ..create(email) };
            admin.users().create_user(named("first@example.com")).await?;
            done(admin.users().create_user(named("second@example.com")).await.map(drop))
        }
        _ => Ok(false),
    }
}

/// Refusals of what the credential may not do.
async fn provoke_authority(scene: Scene<'_>, reason: ErrorReason) -> Provoked {
    let Scene { t, admin, owner_key, world, organization, .. } = scene;
    match reason {
        R::ScopeMissing => {
            let (_, key) = t.key(Owner::UserId(world.user.id), &["users:read"]).await;
            raw_call(&admin, CREATE_USER, vec![], &[&key]).await
        }
        R::PlatformAdminRequired => raw_call(&admin, CREATE_USER, vec![], &[&owner_key]).await,
        R::RoleInsufficient => {
            let key = t.organization_key(&organization).await;
            let request = pb::DeleteOrganizationRequest {
                organization_id: organization.id,
                etag: String::new(),
                ..Default::default()
            };
            done(t.with_key(&key).organizations().delete_organization(request).await.map(drop))
        }
        R::ScopeNotHeld => {
            let (_, key) = t.key(Owner::UserId(world.user.id.clone()), &["api_keys:write"]).await;
            let request = pb::CreateApiKeyRequest {
                owner: Some(Owner::UserId(world.user.id)),
                name: "x".to_owned(),
                scopes: vec!["*".to_owned()],
                environment: 1,
                ..Default::default()
            };
            done(t.with_key(&key).api_keys().create_api_key(request).await.map(drop))
        }
        R::FormerSecret => {
            let (key, former) = t.key(Owner::UserId(world.user.id), &["*"]).await;
            let rotate = || pb::RotateApiKeyRequest { api_key_id: key.id.clone(), ..Default::default() };
            admin.api_keys().rotate_api_key(rotate()).await?;
            done(t.with_key(&former).api_keys().rotate_api_key(rotate()).await.map(drop))
        }
        R::ApiKeyRequired => {
            let token = t.signed_in(&world.user).await.access_token;
            let request = pb::CreateRefreshTokenRequest { user_id: world.user.id, ..Default::default() };
            done(t.with_key(&token).refresh_tokens().create_refresh_token(request).await.map(drop))
        }
        R::ApiKeyRevoked => {
            let revoke = pb::RevokeApiKeyRequest { api_key_id: world.api_key_id.clone(), ..Default::default() };
            admin.api_keys().revoke_api_key(revoke).await?;
            let request = pb::UpdateApiKeyRequest {
                api_key_id: world.api_key_id,
                name: "x".to_owned(),
                update_mask: mask(&["name"]),
                ..Default::default()
            };
            done(admin.api_keys().update_api_key(request).await.map(drop))
        }
        _ => Ok(false),
    }
}

/// Refusals of a key to create or rotate one with fewer limits.
async fn provoke_key_limits(scene: Scene<'_>, reason: ErrorReason) -> Provoked {
    let Scene { t, admin, world, .. } = scene;
    match reason {
        R::ExpiryNotHeld => {
            let new = |expires_at| pb::CreateApiKeyRequest {
                owner: Some(Owner::UserId(world.user.id.clone())),
                name: "x".to_owned(),
                scopes: vec!["api_keys:write".to_owned()],
                environment: 1,
                expires_at,
                ..Default::default()
            };
            let short = admin.api_keys().create_api_key(new(time_in(t, 60))).await?.into_inner().plaintext_key;
            done(t.with_key(&short).api_keys().create_api_key(new(None)).await.map(drop))
        }
        R::IpRangeNotHeld => {
            let ranged = |ranges: &[&str]| pb::CreateApiKeyRequest {
                owner: Some(Owner::UserId(world.user.id.clone())),
                name: "x".to_owned(),
                scopes: vec!["api_keys:write".to_owned()],
                environment: 1,
                allowed_ip_ranges: ranges.iter().map(ToString::to_string).collect(),
                ..Default::default()
            };
            let here = admin.api_keys().create_api_key(ranged(&["127.0.0.0/8"])).await?.into_inner().plaintext_key;
            done(t.with_key(&here).api_keys().create_api_key(ranged(&[])).await.map(drop))
        }
        R::RateNotHeld => {
            let limited = |rate_limit| pb::CreateApiKeyRequest {
                owner: Some(Owner::UserId(world.user.id.clone())),
                name: "x".to_owned(),
                scopes: vec!["api_keys:write".to_owned()],
                environment: 1,
                rate_limit,
                ..Default::default()
            };
            let unlimited = admin.api_keys().create_api_key(limited(0)).await?.into_inner().api_key.unwrap();
            let key = admin.api_keys().create_api_key(limited(20)).await?.into_inner().plaintext_key;
            let request = pb::RotateApiKeyRequest { api_key_id: unlimited.id, ..Default::default() };
            done(t.with_key(&key).api_keys().rotate_api_key(request).await.map(drop))
        }
        _ => Ok(false),
    }
}

/// Refusals to find a resource.
async fn provoke_not_found(scene: Scene<'_>, reason: ErrorReason) -> Provoked {
    let Scene { t, admin, world, .. } = scene;
    match reason {
        R::UserNotFound => done(admin.users().get_user(pb::GetUserRequest { user_id: missing() }).await.map(drop)),
        R::OrganizationNotFound => {
            let request = pb::GetOrganizationRequest { organization_id: missing() };
            done(admin.organizations().get_organization(request).await.map(drop))
        }
        R::MembershipNotFound => {
            let key = Some(get_membership_request::Key::MembershipId(missing()));
            done(admin.memberships().get_membership(pb::GetMembershipRequest { key }).await.map(drop))
        }
        R::RoleNotFound => {
            let key = Some(get_role_request::Key::RoleId(missing()));
            done(admin.roles().get_role(pb::GetRoleRequest { key }).await.map(drop))
        }
        R::InvitationNotFound => done(accept(t, "garbage", &world.invited).await),
        R::OauthAccountNotFound => {
            let request = pb::GetOauthAccountRequest { oauth_account_id: missing() };
            done(admin.oauth_accounts().get_oauth_account(request).await.map(drop))
        }
        R::SessionNotFound => {
            done(admin.sessions().get_session(pb::GetSessionRequest { session_id: missing() }).await.map(drop))
        }
        R::ApiKeyNotFound => {
            done(admin.api_keys().get_api_key(pb::GetApiKeyRequest { api_key_id: missing() }).await.map(drop))
        }
        _ => Ok(false),
    }
}

/// Refusals of passwords and tokens.
async fn provoke_authentication(scene: Scene<'_>, reason: ErrorReason) -> Provoked {
    let Scene { t, admin, world, .. } = scene;
    match reason {
        R::CredentialRequired => {
            let user = t.user("unproven").await;
            t.give_password(&user).await;
            let [plaintext_token, ..] = t.mailed_tokens(&user).await;
            let request = pb::ConfirmEmailVerificationRequest { plaintext_token, ..Default::default() };
            done(admin.authentication().confirm_email_verification(request).await.map(drop))
        }
        R::PasswordExists => {
            let password = "some phrase or another".to_owned();
            let request = pb::SetPasswordRequest { user_id: world.user.id, password, ..Default::default() };
            done(admin.authentication().set_password(request).await.map(drop))
        }
        R::PasswordUnacceptable => {
            let password = "short".to_owned();
            let request = pb::SetPasswordRequest { user_id: world.invited.id, password, ..Default::default() };
            done(admin.authentication().set_password(request).await.map(drop))
        }
        R::SignInRejected => {
            let password = "not the phrase".to_owned();
            let request = pb::SignInRequest { email: world.email, password, ..Default::default() };
            done(admin.authentication().sign_in(request).await.map(drop))
        }
        R::PasswordRejected => {
            let password = "not the phrase".to_owned();
            let request = pb::VerifyPasswordRequest { user_id: world.user.id, password, ..Default::default() };
            done(admin.authentication().verify_password(request).await.map(drop))
        }
        R::ProofRequired => {
            let request = pb::DeleteOwnUserRequest { user_id: world.user.id, ..Default::default() };
            done(admin.users().delete_own_user(request).await.map(drop))
        }
        R::OneTimeTokenRejected => {
            let plaintext_token = "cf_ev_x".to_owned();
            let request = pb::ConfirmEmailVerificationRequest { plaintext_token, ..Default::default() };
            done(admin.authentication().confirm_email_verification(request).await.map(drop))
        }
        R::TooManyAttempts => {
            let request = pb::SignInRequest {
                email: world.email,
                password: "not the phrase".to_owned(),
                ip_address: "192.0.2.7".to_owned(),
                ..Default::default()
            };
            loop {
                let status = admin.authentication().sign_in(request.clone()).await.unwrap_err();
                if reason_of(&status) != "SIGN_IN_REJECTED" {
                    assert!(status.get_details_retry_info().unwrap().retry_delay.unwrap() <= DAY);
                    return Err(status);
                }
            }
        }
        R::RefreshTokenRejected => t.rotate("garbage").await.map(|_| true),
        _ => Ok(false),
    }
}

/// Refusals of a duplicate.
async fn provoke_taken(scene: Scene<'_>, reason: ErrorReason) -> Provoked {
    let Scene { t, admin, owner, world, .. } = scene;
    match reason {
        R::UserExternalIdTaken => {
            let import = async |email: String| {
                let user = pb::ImportedUser {
                    external_id: "the-same".to_owned(),
                    email,
                    name: "X".to_owned(),
                    ..Default::default()
                };
                crate::user::import::import(t, vec![user]).await.remove(0)
            };
            let Some(Outcome::CreatedUserId(user_id)) = import(format!("{}@x.test", unique("a"))).await else {
                panic!()
            };
            let delete = pb::DeleteUserRequest { user_id: user_id.clone(), ..Default::default() };
            admin.users().delete_user(delete).await?;
            import(format!("{}@x.test", unique("a"))).await;
            let undelete = pb::UndeleteUserRequest { user_id, ..Default::default() };
            done(admin.users().undelete_user(undelete).await.map(drop))
        }
        R::UserEmailTaken => done(admin.users().create_user(create(&world.email)).await.map(drop)),
        R::OrganizationSlugTaken => {
            let request = pb::CreateOrganizationRequest {
                name: "X".to_owned(),
                slug: world.slug,
                owner_user_id: world.user.id,
                ..Default::default()
            };
            done(owner.organizations().create_organization(request).await.map(drop))
        }
        R::OrganizationExternalIdTaken => {
            let request = pb::CreateOrganizationRequest {
                name: "X".to_owned(),
                owner_user_id: world.user.id,
                external_id: world.organization_external_id,
                ..Default::default()
            };
            done(admin.organizations().create_organization(request).await.map(drop))
        }
        R::MembershipExternalIdTaken => {
            let join = async |external_id: &str| {
                let request = pb::CreateMembershipRequest {
                    user_id: t.user("member").await.id,
                    organization_id: world.organization_id.clone(),
                    role: "member".to_owned(),
                    external_id: external_id.to_owned(),
                    ..Default::default()
                };
                t.admin().memberships().create_membership(request).await
            };
            join("one-member").await?;
            done(join("one-member").await.map(drop))
        }
        R::OrganizationSlugReserved => {
            let request = pb::CreateOrganizationRequest {
                name: "X".to_owned(),
                slug: "admin".to_owned(),
                owner_user_id: world.user.id,
                ..Default::default()
            };
            done(admin.organizations().create_organization(request).await.map(drop))
        }
        R::MembershipExists => {
            let request = pb::CreateMembershipRequest {
                user_id: world.user.id,
                organization_id: world.organization_id,
                role: "member".to_owned(),
                permissions: vec![],
                ..Default::default()
            };
            done(admin.memberships().create_membership(request).await.map(drop))
        }
        R::OauthAccountLinked => {
            let request = pb::LinkOauthAccountRequest {
                user_id: world.user.id,
                provider: "github".to_owned(),
                provider_user_id: world.provider_user_id,
                ..Default::default()
            };
            done(admin.oauth_accounts().link_oauth_account(request).await.map(drop))
        }
        _ => Ok(false),
    }
}

/// Refusals about roles and invitations.
async fn provoke_roles_and_invitations(scene: Scene<'_>, reason: ErrorReason) -> Provoked {
    let Scene { t, admin, owner, world, organization, .. } = scene;
    match reason {
        R::RoleExists => done(owner.roles().create_role(role(&organization.id, "created")).await.map(drop)),
        R::RoleInUse => {
            t.member(&t.user("bob").await, &organization, "created").await;
            let request = pb::DeleteRoleRequest { role_id: world.role_id, ..Default::default() };
            done(owner.roles().delete_role(request).await.map(drop))
        }
        R::LimitReached => {
            for number in 1..100 {
                owner.roles().create_role(role(&organization.id, &format!("role-{number}"))).await?;
            }
            done(owner.roles().create_role(role(&organization.id, "one-more")).await.map(drop))
        }
        R::InvitationExists => {
            let request = invite(&world.organization_id, &world.invited.email);
            done(owner.invitations().create_invitation(request).await.map(drop))
        }
        R::InvitationExpired => {
            t.advance(8 * DAY);
            done(accept(t, &world.invitation_token, &world.invited).await)
        }
        R::InvitationEmailMismatch => done(accept(t, &world.invitation_token, &t.user("eve").await).await),
        R::EmailNotVerified => {
            let bob = t.user("bob").await;
            let (invitation, _) = t.invitation(&organization, &bob.email, "member").await;
            let key = Some(accept_invitation_request::Key::InvitationId(invitation.id));
            let request = pb::AcceptInvitationRequest { key, user_id: bob.id, ..Default::default() };
            done(admin.invitations().accept_invitation(request).await.map(drop))
        }
        _ => Ok(false),
    }
}

/// Refusals because of the state of users and organizations.
async fn provoke_states(scene: Scene<'_>, reason: ErrorReason) -> Provoked {
    let Scene { t, admin, owner, world, organization, .. } = scene;
    match reason {
        R::NotAnOwner => {
            let (bob, carl) = (t.user("bob").await, t.user("carl").await);
            t.member(&bob, &organization, "viewer").await;
            t.member(&carl, &organization, "viewer").await;
            let request = pb::TransferOwnershipRequest {
                organization_id: organization.id,
                new_owner_user_id: bob.id,
                former_owner_user_id: carl.id,
                ..Default::default()
            };
            done(owner.organizations().transfer_ownership(request).await.map(drop))
        }
        R::MembershipDisabled => {
            let bob = t.user("bob").await;
            t.disable(&t.member(&bob, &organization, "viewer").await).await;
            let request = pb::TransferOwnershipRequest {
                organization_id: organization.id,
                new_owner_user_id: bob.id,
                ..Default::default()
            };
            done(owner.organizations().transfer_ownership(request).await.map(drop))
        }
        R::LastOwner => {
            let request = pb::DeleteMembershipRequest {
                membership_id: world.membership_id,
                etag: String::new(),
                ..Default::default()
            };
            done(owner.memberships().delete_membership(request).await.map(drop))
        }
        R::LastPlatformAdmin => {
            let request =
                pb::DeleteUserRequest { user_id: t.first_admin().await.id, etag: String::new(), ..Default::default() };
            done(admin.users().delete_user(request).await.map(drop))
        }
        R::UserSuspended => {
            let eve = t.user("eve").await;
            t.suspend(&eve).await;
            let request = pb::CreateRefreshTokenRequest { user_id: eve.id, ..Default::default() };
            done(admin.refresh_tokens().create_refresh_token(request).await.map(drop))
        }
        R::OrganizationSuspended => {
            let suspend = pb::SuspendOrganizationRequest {
                organization_id: organization.id.clone(),
                etag: String::new(),
                ..Default::default()
            };
            admin.organizations().suspend_organization(suspend).await?;
            let request = pb::DeleteOrganizationRequest {
                organization_id: organization.id,
                etag: String::new(),
                ..Default::default()
            };
            done(owner.organizations().delete_organization(request).await.map(drop))
        }
        _ => Ok(false),
    }
}

/// Refusals of streams.
async fn provoke_streams(scene: Scene<'_>, reason: ErrorReason) -> Provoked {
    let Scene { t, admin, .. } = scene;
    match reason {
        R::EventCursorExpired => {
            let mut events = once_free(|| watch(&admin, watch_all())).await?.into_inner();
            let cursor = events.message().await?.unwrap().cursor;
            drop(events);
            // As after the restore of an older backup.
            t.database.execute("DELETE FROM cf_events").await;
            let request = pb::WatchEventsRequest { cursor, ..Default::default() };
            done(once_free(|| watch(&admin, request.clone())).await.map(drop))
        }
        R::StreamTooSlow => {
            for _ in 0..80 {
                let metadata = object("x", &"x".repeat(16_000));
                let request = create(&format!("{}@example.com", unique("large")));
                admin.users().create_user(pb::CreateUserRequest { metadata, ..request }).await?;
            }
            let slow = Api::with_small_windows(t.address, &t.admin_key);
            let resource_types = vec![pb::ResourceType::User.into()];
            let request = pb::ExportSnapshotRequest { resource_types, ..Default::default() };
            let export = || {
                let (mut events, request) = (slow.events(), request.clone());
                async move { events.export_snapshot(request).await }
            };
            let mut items = once_free(export).await?.into_inner();
            // Reads nothing until the server has given up the stream.
            once_free(|| watch(&admin, watch_all())).await?;
            while items.message().await?.is_some() {}
            Ok(true)
        }
        R::StreamLimitReached => {
            let _open = once_free(|| watch(&admin, watch_all())).await?;
            done(admin.events().watch_events(watch_all()).await.map(drop))
        }
        _ => Ok(false),
    }
}

/// Refusals at the limits of rate, memory and size.
async fn provoke_server_limits(scene: Scene<'_>, reason: ErrorReason) -> Provoked {
    let Scene { t, admin, owner, world, .. } = scene;
    match reason {
        R::RateLimited => {
            let request = pb::CreateApiKeyRequest {
                owner: Some(Owner::UserId(world.user.id.clone())),
                name: "Slow".to_owned(),
                scopes: vec!["users:read".to_owned()],
                environment: pb::ApiKeyEnvironment::Live.into(),
                rate_limit: 1,
                ..Default::default()
            };
            let slow = admin.api_keys().create_api_key(request).await?.into_inner().plaintext_key;
            loop {
                let request = pb::GetUserRequest { user_id: world.user.id.clone() };
                t.with_key(&slow).users().get_user(request).await?;
            }
        }
        R::RequestMemoryFull => loop {
            let request = pb::UpdateUserRequest {
                user_id: world.user.id.clone(),
                name: "X".to_owned(),
                update_mask: mask(&["name"]),
                request_id: Uuid::new_v4().to_string(),
                ..Default::default()
            };
            owner.users().update_user(request).await?;
        },
        R::AnswerTooLarge => {
            // Sizes are counted as text, and a number is much smaller as text than on the wire.
            let one = prost_types::Value { kind: Some(Kind::NumberValue(1.0)) };
            let list = prost_types::ListValue { values: vec![one; 8000] };
            let list = prost_types::Value { kind: Some(Kind::ListValue(list)) };
            let settings = Some(prost_types::Struct { fields: [("list".to_owned(), list)].into() });
            let owner_user_id = world.user.id.clone();
            let mut organization_ids = Vec::new();
            for number in 0..50 {
                let request = pb::CreateOrganizationRequest {
                    name: "Large".to_owned(),
                    slug: format!("large-{number}"),
                    settings: settings.clone(),
                    owner_user_id: owner_user_id.clone(),
                    ..Default::default()
                };
                let created = admin.organizations().create_organization(request).await?.into_inner();
                organization_ids.push(created.organization.unwrap().id);
            }
            let request = pb::BatchGetOrganizationsRequest { organization_ids, ..Default::default() };
            done(admin.organizations().batch_get_organizations(request).await.map(drop))
        }
        _ => Ok(false),
    }
}

/// Failures of the server; some of these break the database.
async fn provoke_faults(scene: Scene<'_>, reason: ErrorReason) -> Provoked {
    let Scene { t, admin, world, .. } = scene;
    match reason {
        R::Conflict => {
            break_a_reference_on_every_new_user(&t.database).await;
            done(admin.users().create_user(create("conflict@example.com")).await.map(drop))
        }
        R::SealedValueUnreadable => {
            t.database.execute("UPDATE cf_oauth_accounts SET access_token = refresh_token").await;
            let request = pb::GetOauthAccountTokensRequest { oauth_account_id: world.oauth_account_id };
            done(admin.oauth_accounts().get_oauth_account_tokens(request).await.map(drop))
        }
        R::Internal => {
            t.database.execute("DROP TABLE cf_oauth_accounts").await;
            let request = pb::GetOauthAccountRequest { oauth_account_id: missing() };
            done(admin.oauth_accounts().get_oauth_account(request).await.map(drop))
        }
        _ => Ok(false),
    }
}

fn invite(organization_id: &str, email: &str) -> pb::CreateInvitationRequest {
    pb::CreateInvitationRequest {
        organization_id: organization_id.to_owned(),
        email: email.to_owned(),
        role: "member".to_owned(),
        ..Default::default()
    }
}

async fn accept(t: &Test, token: &str, user: &pb::User) -> Result<(), Status> {
    let key = Some(accept_invitation_request::Key::PlaintextToken(token.to_owned()));
    let request = pb::AcceptInvitationRequest { key, user_id: user.id.clone(), ..Default::default() };
    t.admin().invitations().accept_invitation(request).await.map(drop)
}

/// Opens a WatchEvents stream.
fn watch(
    api: &Api,
    request: pb::WatchEventsRequest,
) -> impl Future<Output = Result<Response<Streaming<pb::WatchEventsResponse>>, Status>> + use<> {
    let mut events = api.events();
    async move { events.watch_events(request).await }
}

fn watch_all() -> pb::WatchEventsRequest {
    pb::WatchEventsRequest::default()
}

/// Opens the only stream that the server allows, as soon as it is free.
async fn once_free<T, F: Future<Output = Result<T, Status>>>(open: impl Fn() -> F) -> Result<T, Status> {
    loop {
        match open().await {
            Err(status) if reason_of(&status) == "STREAM_LIMIT_REACHED" => tokio::task::yield_now().await,
            opened => return opened,
        }
    }
}

/// Makes every new user fail as if another transaction had just deleted a referenced row.
async fn break_a_reference_on_every_new_user(database: &database::TestDatabase) {
    let columns = "(id, revision, user_id, organization_id, role, permissions, created_at, updated_at)";
    match database {
        database::TestDatabase::Sqlite(_) => {
            let insert =
                format!("INSERT INTO cf_memberships {columns} VALUES (x'01', 1, NEW.id, x'02', 'x', '[]', 0, 0);");
            database.execute(&format!("CREATE TRIGGER breaks AFTER INSERT ON cf_users BEGIN {insert} END;")).await;
        }
        database::TestDatabase::Postgres(_) => {
            let insert = format!(
                "INSERT INTO cf_memberships {columns} VALUES ('{MISSING_ID}', 1, NEW.id, '{MISSING_ID}', 'x', '[]', now(), now());"
            );
            let function = format!(
                "CREATE FUNCTION breaks() RETURNS trigger AS $$ BEGIN {insert} RETURN NEW; END $$ LANGUAGE plpgsql;"
            );
            let trigger = "CREATE TRIGGER breaks AFTER INSERT ON cf_users FOR EACH ROW EXECUTE FUNCTION breaks();";
            database.execute(&format!("{function} {trigger}")).await;
        }
    }
}

#[both(options = ["--max-streams", "1", "--stream-timeout", "200ms", "--max-remembered", "1"])]
async fn every_reason_is_produced_by_a_call(t: Arc<Test>) {
    let mut reasons: Vec<ErrorReason> = (1..100).filter_map(|number| ErrorReason::try_from(number).ok()).collect();
    assert!(reasons.len() > 30);
    // The reasons that break the database come last.
    reasons.sort_by_key(|reason| matches!(reason, ErrorReason::Conflict | ErrorReason::Internal));
    for reason in reasons {
        if matches!(
            reason,
            ErrorReason::Unavailable
                | ErrorReason::DeadlineExceeded
                | ErrorReason::Overloaded
                | ErrorReason::Conflict
                | ErrorReason::Internal
        ) {
            continue;
        }
        refused(provoke(&t, reason).await, reason);
    }
    let status = refused(provoke(&t, ErrorReason::Conflict).await, ErrorReason::Conflict);
    assert!(status.get_details_retry_info().is_some());
}

#[both]
async fn a_fault_of_ours_tells_nothing_but_the_request_id(t: Arc<Test>) {
    let status = refused(provoke(&t, ErrorReason::Internal).await, ErrorReason::Internal);
    assert_eq!(status.message(), "internal error");
    let info = status.get_details_error_info().unwrap();
    assert_eq!(
        Some(info.metadata["request_id"].as_str()),
        status.metadata().get("x-request-id").map(|id| id.to_str().unwrap())
    );
}

#[both(options = ["--database-timeout", "10s"])]
async fn a_database_that_somebody_holds_is_unavailable_and_then_is_not(t: Arc<Test>) {
    let held = Held::by_another_process(&t).await;
    let create =
        || pb::CreateUserRequest { email: "held@example.com".to_owned(), name: "X".to_owned(), ..Default::default() };
    let status = refused(t.admin().users().create_user(create()).await, ErrorReason::Unavailable);
    assert!(status.get_details_retry_info().unwrap().retry_delay.is_some());
    held.release().await;
    eventually_creates(&t, create()).await;
}

#[both(options = ["--max-calls", "3", "--database-timeout", "30s"])]
async fn calls_beyond_the_servers_capacity_are_refused_at_once(t: Arc<Test>) {
    let held = Held::by_another_process(&t).await;
    let create = |name: &str| pb::CreateUserRequest {
        email: format!("{name}@example.com"),
        name: "X".to_owned(),
        ..Default::default()
    };
    let mut calls = tokio::task::JoinSet::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        let (admin, request) = (t.admin(), create(name));
        calls.spawn(async move { admin.users().create_user(request).await.map(drop) });
    }
    // Accepted calls wait for the lock on the database.
    let status = refused(calls.join_next().await.unwrap().unwrap(), ErrorReason::Overloaded);
    assert!(status.get_details_retry_info().unwrap().retry_delay.is_some());
    held.release().await;
    let mut answered = 0;
    while let Some(call) = calls.join_next().await {
        match call.unwrap() {
            Ok(()) => answered += 1,
            Err(status) => assert_eq!(reason_of(&status), "OVERLOADED"),
        }
    }
    assert!(answered >= 2, "{answered}");
    eventually_creates(&t, create("g")).await;
}

#[both(options = ["--request-timeout", "1s", "--database-timeout", "30s"])]
async fn a_call_ends_at_the_request_timeout(t: Arc<Test>) {
    let held = Held::by_another_process(&t).await;
    let request =
        pb::CreateUserRequest { email: "x@example.com".to_owned(), name: "X".to_owned(), ..Default::default() };
    refused(t.admin().users().create_user(request.clone()).await, ErrorReason::DeadlineExceeded);
    held.release().await;
    // The call that timed out had no effect, and the server still works.
    eventually_creates(&t, request).await;
}

/// The limits of these tests are short, and other tests keep the machine busy: one call may still be too slow.
async fn eventually_creates(t: &Test, request: pb::CreateUserRequest) {
    for _ in 0..100 {
        match t.admin().users().create_user(request.clone()).await {
            Err(status) if matches!(status.code(), tonic::Code::DeadlineExceeded | tonic::Code::Unavailable) => {}
            // The answer came too late, but the user was created.
            Err(status) => return assert_eq!(status.code(), tonic::Code::AlreadyExists, "{status:?}"),
            Ok(_) => return,
        }
    }
    panic!("the database stays unavailable");
}
