//! The authority of credentials, and how long it lasts.

use std::sync::Arc;

use tenantry::{
    models::{Action, Grant, stored::StoredText as _},
    pb::{self, ErrorReason, create_api_key_request::Owner, list_invitations_request},
};
use tonic::{Code, Status};

use crate::{
    authentication::{refresh, sign_in},
    support::{
        Answered as _, Api, Test, both,
        given::{Issued as _, PASSWORD, unique},
        mask, raw, refused,
        serving::tenantry,
    },
};

const NEW_PASSWORD: &str = "seven wet dogs on a boat";

pub(super) fn new_key(owner: Owner, scopes: &[&str]) -> pb::CreateApiKeyRequest {
    pb::CreateApiKeyRequest {
        owner: Some(owner),
        name: "created".to_owned(),
        scopes: scopes.iter().map(ToString::to_string).collect(),
        environment: pb::ApiKeyEnvironment::Live.into(),
        ..Default::default()
    }
}

/// True if an API key or an access token still works.
async fn opens(api: &Api, user_id: &str) -> bool {
    match api.users().get_user(pb::GetUserRequest { user_id: user_id.to_owned() }).await {
        Ok(_) => true,
        Err(status) => {
            assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
            false
        }
    }
}

/// True if a credential acts as a platform admin.
async fn is_platform_admin(api: &Api) -> bool {
    let email = format!("{}@example.com", unique("probe"));
    let request = pb::CreateUserRequest { email, name: "Probe".to_owned(), ..Default::default() };
    api.users().create_user(request).await.is_ok()
}

async fn start_reset(api: &Api, email: &str) -> Result<pb::StartPasswordResetResponse, Status> {
    let request = pb::StartPasswordResetRequest { email: email.to_owned(), ..Default::default() };
    api.authentication().start_password_reset(request).await.map(tonic::Response::into_inner)
}

pub(super) async fn confirm_reset(api: &Api, token: &str) -> Result<pb::ConfirmPasswordResetResponse, Status> {
    let request = pb::ConfirmPasswordResetRequest {
        plaintext_token: token.to_owned(),
        new_password: NEW_PASSWORD.to_owned(),
        ..Default::default()
    };
    api.authentication().confirm_password_reset(request).await.map(tonic::Response::into_inner)
}

async fn start_email_change(t: &Test, user: &pb::User) -> String {
    let new_email = format!("{}@example.com", unique("thief"));
    let request = pb::StartEmailChangeRequest { user_id: user.id.clone(), new_email, ..Default::default() };
    t.admin().authentication().start_email_change(request).await.answered().plaintext_token
}

async fn confirm_email_change(t: &Test, token: &str) -> Result<pb::ConfirmEmailChangeResponse, Status> {
    let request = pb::ConfirmEmailChangeRequest { plaintext_token: token.to_owned(), ..Default::default() };
    t.admin().authentication().confirm_email_change(request).await.map(tonic::Response::into_inner)
}

async fn change_password(t: &Test, user: &pb::User) {
    let request = pb::ChangePasswordRequest {
        user_id: user.id.clone(),
        current_password: PASSWORD.to_owned(),
        new_password: NEW_PASSWORD.to_owned(),
        ..Default::default()
    };
    t.admin().authentication().change_password(request).await.unwrap();
}

pub(super) async fn accept(api: &Api, token: &str, user: &pb::User) -> Result<pb::AcceptInvitationResponse, Status> {
    let request = pb::AcceptInvitationRequest {
        key: Some(pb::accept_invitation_request::Key::PlaintextToken(token.to_owned())),
        user_id: user.id.clone(),
        ..Default::default()
    };
    api.invitations().accept_invitation(request).await.map(tonic::Response::into_inner)
}

/// Values of an option of a method.
fn listed(method: &prost_reflect::MethodDescriptor, option: &str, field: &str) -> Vec<prost_reflect::Value> {
    let extension = method.parent_pool().get_extension_by_name(option).unwrap();
    let value = method.options().get_extension(&extension).into_owned();
    let list = value.as_message().unwrap().get_field_by_name(field).unwrap().into_owned();
    list.as_list().unwrap().to_vec()
}

#[test]
fn every_method_says_what_authority_its_events_give() {
    let name = |grant: Grant| match grant {
        Grant::ApiKey => pb::Grant::ApiKey,
        Grant::Permissions => pb::Grant::Permissions,
        Grant::Session => pb::Grant::Session,
        Grant::Account => pb::Grant::Account,
        Grant::Standing => pb::Grant::Standing,
        Grant::PlatformAdmin => pb::Grant::PlatformAdmin,
    };
    for method in raw::methods() {
        let emits = listed(&method, "tenantry.v1.emits", "actions");
        let actions = emits.iter().map(|action| Action::from_stored(action.as_str().unwrap().to_owned()).unwrap());
        let mut given: Vec<i32> = actions.filter_map(Action::gives).map(|grant| name(grant).into()).collect();
        let said = listed(&method, "tenantry.v1.gives", "grants");
        let mut said: Vec<i32> = said.iter().map(|grant| grant.as_enum_number().unwrap()).collect();
        given.sort_unstable();
        given.dedup();
        said.sort_unstable();
        assert_eq!(said, given, "{}", method.full_name());
    }
}

#[both]
async fn v01_an_access_token_makes_changes_and_rotates_no_api_key(t: Arc<Test>) {
    let admin = t.first_admin().await;
    t.give_password(&admin).await;
    let signed_in = t.signed_in(&admin).await;
    let session = t.with_key(&signed_in.access_token);
    let ends = signed_in.session.unwrap().ends_at;
    let create = pb::CreateApiKeyRequest { expires_at: ends, ..new_key(Owner::UserId(admin.id.clone()), &["*"]) };
    refused(session.api_keys().create_api_key(create.clone()).await, ErrorReason::ApiKeyRequired);
    let own = t.admin().api_keys().create_api_key(create).await.answered().api_key.unwrap();
    let rotate = pb::RotateApiKeyRequest { api_key_id: own.id.clone(), ..Default::default() };
    refused(session.api_keys().rotate_api_key(rotate).await, ErrorReason::ApiKeyRequired);
    let update = pb::UpdateApiKeyRequest {
        api_key_id: own.id,
        name: "n".to_owned(),
        update_mask: mask(&["name"]),
        ..Default::default()
    };
    refused(session.api_keys().update_api_key(update).await, ErrorReason::ApiKeyRequired);
}

#[both]
async fn v02_nothing_that_opens_the_service_is_made_with_an_access_token(t: Arc<Test>) {
    let (user, signed_in, session) = t.signed_in_user("ada").await;
    let own = t.organization(&user).await;
    let ends = signed_in.session.unwrap().ends_at;
    for owner in [Owner::UserId(user.id.clone()), Owner::OrganizationId(own.id.clone())] {
        let create = pb::CreateApiKeyRequest { expires_at: ends, ..new_key(owner, &["users:read"]) };
        refused(session.api_keys().create_api_key(create).await, ErrorReason::ApiKeyRequired);
    }
    let begin = pb::CreateRefreshTokenRequest { user_id: user.id.clone(), ..Default::default() };
    refused(session.refresh_tokens().create_refresh_token(begin).await, ErrorReason::ApiKeyRequired);
}

#[both]
async fn v03_i1_a_pending_email_change_ends_when_the_owner_regains_the_account(t: Arc<Test>) {
    for how in ["reset", "change", "sign out", "revoke all", "suspend"] {
        let user = t.verified_user("ada").await;
        t.give_password(&user).await;
        let signed_in = t.signed_in(&user).await;
        let pending = start_email_change(&t, &user).await;
        match how {
            "reset" => {
                let reset = start_reset(&t.admin(), &user.email).await.unwrap();
                confirm_reset(&t.admin(), &reset.plaintext_token).await.unwrap();
            }
            "change" => change_password(&t, &user).await,
            "sign out" => {
                let request = pb::SignOutRequest {
                    plaintext_token: signed_in.plaintext_token,
                    all_sessions: true,
                    ..Default::default()
                };
                t.admin().authentication().sign_out(request).await.unwrap();
            }
            "revoke all" => {
                let request = pb::RevokeAllSessionsRequest { user_id: user.id.clone(), ..Default::default() };
                t.admin().sessions().revoke_all_sessions(request).await.unwrap();
            }
            _ => {
                t.suspend(&user).await;
                t.reactivate(&user).await;
            }
        }
        refused(confirm_email_change(&t, &pending).await, ErrorReason::OneTimeTokenRejected);
        assert_eq!(t.reload_user(&user.id).await.email, user.email, "{how}");
    }
}

#[both]
async fn v04_i3_a_reset_token_ends_with_a_changed_password(t: Arc<Test>) {
    let user = t.verified_user("ada").await;
    t.give_password(&user).await;
    let reset = start_reset(&t.admin(), &user.email).await.unwrap();
    change_password(&t, &user).await;
    refused(confirm_reset(&t.admin(), &reset.plaintext_token).await, ErrorReason::OneTimeTokenRejected);
}

#[both]
async fn v05_a_reset_of_a_squatted_address_ends_the_squatters_credentials(t: Arc<Test>) {
    let squatter = t.user("victim").await;
    t.give_password(&squatter).await;
    let session = t.signed_in(&squatter).await;
    let key = t.with_key(&t.user_key(&squatter).await);
    let link = t.oauth_account(&squatter).await;
    let reset = start_reset(&t.admin(), &squatter.email).await.unwrap();
    confirm_reset(&t.admin(), &reset.plaintext_token).await.unwrap();
    assert!(!opens(&key, &squatter.id).await, "the squatter's key still works");
    refused(refresh(&t, &session.plaintext_token).await, ErrorReason::RefreshTokenRejected);
    let get = pb::GetOauthAccountRequest { oauth_account_id: link.id };
    refused(t.admin().oauth_accounts().get_oauth_account(get).await, ErrorReason::OauthAccountNotFound);
    refused(sign_in(&t, &squatter.email, PASSWORD).await, ErrorReason::SignInRejected);
    sign_in(&t, &squatter.email, NEW_PASSWORD).await.unwrap();
}

#[both]
async fn v05_a_reset_of_a_proven_address_keeps_the_keys(t: Arc<Test>) {
    let user = t.verified_user("ada").await;
    let key = t.with_key(&t.user_key(&user).await);
    let reset = start_reset(&t.admin(), &user.email).await.unwrap();
    confirm_reset(&t.admin(), &reset.plaintext_token).await.unwrap();
    assert!(opens(&key, &user.id).await);
}

#[both]
async fn v05_an_invitation_that_proves_a_squatted_address_ends_the_squatters_credentials(t: Arc<Test>) {
    let squatter = t.user("victim").await;
    let key = t.with_key(&t.user_key(&squatter).await);
    let acme = t.organization(&t.user("owner").await).await;
    let (_, token) = t.invitation(&acme, &squatter.email, "admin").await;
    accept(&t.admin(), &token, &squatter).await.unwrap();
    assert!(!opens(&key, &squatter.id).await, "the squatter's key reaches the organization");
}

#[both]
async fn v06_a_narrow_key_of_an_owner_gives_nothing_that_it_does_not_hold(t: Arc<Test>) {
    let owner = t.user("owner").await;
    let acme = t.organization(&owner).await;
    let narrow = async |scopes: &[&str]| t.with_key(&t.key(Owner::UserId(owner.id.clone()), scopes).await.1);
    let inviter = narrow(&["invitations:write"]).await;
    for role in ["owner", "admin", "member", "viewer"] {
        let invite = pb::CreateInvitationRequest {
            organization_id: acme.id.clone(),
            email: format!("{}@example.com", unique("mine")),
            role: role.to_owned(),
            ..Default::default()
        };
        refused(inviter.invitations().create_invitation(invite).await, ErrorReason::ScopeNotHeld);
    }
    let other = t.user("other").await;
    let membership = t.member(&other, &acme, "viewer").await;
    let promote = pb::UpdateMembershipRequest {
        membership_id: membership.id,
        role: "owner".to_owned(),
        update_mask: mask(&["role"]),
        ..Default::default()
    };
    refused(
        narrow(&["memberships:write"]).await.memberships().update_membership(promote).await,
        ErrorReason::ScopeNotHeld,
    );
    let role = t.role(&acme, "clerk", &["invoices:read"]).await;
    let widen = pb::UpdateRoleRequest {
        role_id: role.id,
        permissions: vec!["*".to_owned()],
        update_mask: mask(&["permissions"]),
        ..Default::default()
    };
    refused(narrow(&["roles:write"]).await.roles().update_role(widen).await, ErrorReason::ScopeNotHeld);
    let all = ["invitations:write", "organizations:read", "memberships:read", "users:read", "roles:read"];
    let invite = pb::CreateInvitationRequest {
        organization_id: acme.id.clone(),
        email: format!("{}@example.com", unique("guest")),
        role: "viewer".to_owned(),
        ..Default::default()
    };
    narrow(&all).await.invitations().create_invitation(invite).await.unwrap();
}

#[both]
async fn v06_an_organizations_narrow_key_and_a_platform_admins_give_nothing_that_they_do_not_hold(t: Arc<Test>) {
    let acme = t.organization(&t.user("owner").await).await;
    let admin = t.first_admin().await;
    for owner in [Owner::OrganizationId(acme.id.clone()), Owner::UserId(admin.id.clone())] {
        let key = t.with_key(&t.key(owner, &["invitations:write", "memberships:write"]).await.1);
        let invite = pb::CreateInvitationRequest {
            organization_id: acme.id.clone(),
            email: format!("{}@example.com", unique("mine")),
            role: "admin".to_owned(),
            ..Default::default()
        };
        refused(key.invitations().create_invitation(invite).await, ErrorReason::ScopeNotHeld);
    }
    let key = t.with_key(&t.key(Owner::UserId(admin.id.clone()), &["memberships:write"]).await.1);
    let member = pb::CreateMembershipRequest {
        user_id: t.user("mine").await.id,
        organization_id: acme.id.clone(),
        role: "owner".to_owned(),
        ..Default::default()
    };
    refused(key.memberships().create_membership(member).await, ErrorReason::ScopeNotHeld);
}

#[both]
async fn v07_v30_nobody_but_a_platform_admin_changes_an_email_without_its_mailbox(t: Arc<Test>) {
    let user = t.user("ada").await;
    let key = t.with_key(&t.key(Owner::UserId(user.id.clone()), &["users:write"]).await.1);
    let other = t.user("other").await;
    for email in [format!("{}@example.com", unique("mine")), other.email] {
        let update = pb::UpdateUserRequest {
            user_id: user.id.clone(),
            email,
            update_mask: mask(&["email"]),
            ..Default::default()
        };
        refused(key.users().update_user(update).await, ErrorReason::PlatformAdminRequired);
    }
    let update = pb::UpdateUserRequest {
        user_id: user.id.clone(),
        name: "Ada L.".to_owned(),
        update_mask: mask(&["name"]),
        ..Default::default()
    };
    key.users().update_user(update).await.unwrap();
}

#[both]
async fn v08_to_make_a_platform_admin_takes_a_scope_of_its_own(t: Arc<Test>) {
    let (admin, mine) = (t.first_admin().await, t.user("mine").await);
    let grant = || pb::GrantPlatformAdminRequest { user_id: mine.id.clone(), ..Default::default() };
    let key = t.with_key(&t.key(Owner::UserId(admin.id.clone()), &["users:write"]).await.1);
    refused(key.users().grant_platform_admin(grant()).await, ErrorReason::ScopeMissing);
    let key = t.with_key(&t.key(Owner::UserId(admin.id), &["platform_admins:write"]).await.1);
    key.users().grant_platform_admin(grant()).await.unwrap();
}

#[both]
async fn v08_a_suspended_platform_admin_does_not_come_back_by_users_write(t: Arc<Test>) {
    let (admin, former) = (t.first_admin().await, t.user("former").await);
    let grant = pb::GrantPlatformAdminRequest { user_id: former.id.clone(), ..Default::default() };
    t.admin().users().grant_platform_admin(grant).await.unwrap();
    t.suspend(&former).await;
    let key = t.with_key(&t.key(Owner::UserId(admin.id), &["users:write"]).await.1);
    let back = pb::ReactivateUserRequest { user_id: former.id.clone(), ..Default::default() };
    refused(key.users().reactivate_user(back).await, ErrorReason::ScopeMissing);
    t.reactivate(&former).await;
}

#[both]
async fn v09_the_command_line_promotes_no_account_that_a_stranger_may_have_created(t: Arc<Test>) {
    let squatter = t.user("ops").await;
    let key = t.with_key(&t.user_key(&squatter).await);
    let create = |more: &[&str]| {
        let url = t.database.url();
        let mut command =
            tenantry(&["admin", "create", "--email", &squatter.email, "--name", "Ops", "--database-url", &url]);
        let output = command.args(more).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (done, error) = create(&[]);
    assert!(!is_platform_admin(&key).await, "the squatter's key is a platform admin's");
    assert!(!done && error.contains("--existing"), "{error}");
    let (done, error) = create(&["--existing"]);
    assert!(!done && error.contains("never proved"), "{error}");
    let reset = start_reset(&t.admin(), &squatter.email).await.unwrap();
    confirm_reset(&t.admin(), &reset.plaintext_token).await.unwrap();
    let own = t.with_key(&t.user_key(&squatter).await);
    let (done, error) = create(&["--existing"]);
    assert!(done, "{error}");
    assert!(!opens(&own, &squatter.id).await, "a key of an ordinary user became a platform admin's");
}

#[both]
async fn v14_no_tenant_is_reported_which_platform_admin_made_a_key_or_invited(t: Arc<Test>) {
    let owner = t.user("owner").await;
    let acme = t.organization(&owner).await;
    let (key, _) = t.key(Owner::OrganizationId(acme.id.clone()), &["users:read"]).await;
    let (invitation, _) = t.invitation(&acme, "somebody@example.com", "member").await;
    let tenant = t.with_key(&t.user_key(&owner).await);
    let get = pb::GetApiKeyRequest { api_key_id: key.id };
    assert_eq!(tenant.api_keys().get_api_key(get).await.answered().api_key.unwrap().created_by, "");
    let filter = Some(list_invitations_request::Filter::OrganizationId(acme.id.clone()));
    let listed =
        tenant.invitations().list_invitations(pb::ListInvitationsRequest { filter, ..Default::default() }).await;
    let listed = listed.unwrap().into_inner().invitations;
    assert_eq!((listed[0].id.as_str(), listed[0].invited_by.as_str()), (invitation.id.as_str(), ""));
}

#[both]
async fn v18_no_number_of_calls_leads_from_the_sign_in_key_to_a_platform_admin(t: Arc<Test>) {
    let admin = t.first_admin().await;
    t.give_password(&admin).await;
    let (_, sign_in_key) = t.key(Owner::UserId(admin.id.clone()), &["authentication:write"]).await;
    let application = t.with_key(&sign_in_key);
    // As for an unknown address.
    let reset = start_reset(&application, &admin.email).await.unwrap();
    assert_eq!(reset, pb::StartPasswordResetResponse::default());
    let request = pb::SignInRequest { email: admin.email.clone(), password: PASSWORD.to_owned(), ..Default::default() };
    refused(application.authentication().sign_in(request.clone()).await, ErrorReason::SignInRejected);
    let change = pb::StartEmailChangeRequest {
        user_id: admin.id.clone(),
        new_email: "mine@example.com".to_owned(),
        ..Default::default()
    };
    refused(application.authentication().start_email_change(change).await, ErrorReason::ScopeMissing);
    // A token from a reset that another key started does not work either.
    let reset = start_reset(&t.admin(), &admin.email).await.unwrap();
    refused(confirm_reset(&application, &reset.plaintext_token).await, ErrorReason::OneTimeTokenRejected);

    // Ordinary users sign in. A dedicated key signs platform admins in, and their sessions act as ordinary users.
    let user = t.user("ada").await;
    t.give_password(&user).await;
    let ordinary = pb::SignInRequest { email: user.email, password: PASSWORD.to_owned(), ..Default::default() };
    application.authentication().sign_in(ordinary).await.unwrap();
    let scopes = ["authentication:write", "platform_admins:authenticate"];
    let console = t.with_key(&t.key(Owner::UserId(admin.id.clone()), &scopes).await.1);
    let signed_in = console.authentication().sign_in(request).await.answered().issued();
    let session = t.with_key(&signed_in.access_token);
    assert!(!is_platform_admin(&session).await);
    let create = new_key(Owner::UserId(admin.id), &["*"]);
    refused(session.api_keys().create_api_key(create).await, ErrorReason::ApiKeyRequired);
}

#[both]
async fn v25_introspection_tells_how_the_member_stands_now(t: Arc<Test>) {
    let (user, _, _) = t.signed_in_user("ada").await;
    let acme = t.organization(&t.user("owner").await).await;
    let membership = t.member(&user, &acme, "admin").await;
    let request = pb::SignInRequest {
        email: user.email.clone(),
        password: PASSWORD.to_owned(),
        organization_id: acme.id.clone(),
        ..Default::default()
    };
    let token = t.admin().authentication().sign_in(request).await.answered().issued().access_token;
    let introspect = async || {
        let request = pb::IntrospectTokenRequest { access_token: token.clone() };
        t.admin().authentication().introspect_token(request).await.answered()
    };
    assert_eq!(introspect().await.role, "admin");
    let lower = pb::UpdateMembershipRequest {
        membership_id: membership.id.clone(),
        role: "viewer".to_owned(),
        update_mask: mask(&["role"]),
        ..Default::default()
    };
    t.admin().memberships().update_membership(lower).await.unwrap();
    let now = introspect().await;
    assert!(now.active && now.role == "viewer" && now.permissions.len() == 4, "{now:?}");
    let suspend = pb::SuspendOrganizationRequest { organization_id: acme.id.clone(), ..Default::default() };
    t.admin().organizations().suspend_organization(suspend).await.unwrap();
    assert_eq!(introspect().await, pb::IntrospectTokenResponse::default());
    let back = pb::ReactivateOrganizationRequest { organization_id: acme.id.clone(), ..Default::default() };
    t.admin().organizations().reactivate_organization(back).await.unwrap();
    assert!(introspect().await.active);
    let remove = pb::DeleteMembershipRequest { membership_id: membership.id, ..Default::default() };
    t.admin().memberships().delete_membership(remove).await.unwrap();
    assert_eq!(introspect().await, pb::IntrospectTokenResponse::default());
}

#[both]
async fn v28_the_former_secret_of_a_rotated_key_writes_no_keys(t: Arc<Test>) {
    let user = t.user("ada").await;
    let (key, former) = t.key(Owner::UserId(user.id.clone()), &["*"]).await;
    let rotate = |overlap: Option<i64>| pb::RotateApiKeyRequest {
        api_key_id: key.id.clone(),
        overlap: overlap.map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
        ..Default::default()
    };
    let current = t.with_key(&former).api_keys().rotate_api_key(rotate(None)).await.answered().plaintext_key;
    let (thief, owner) = (t.with_key(&former), t.with_key(&current));
    assert!(opens(&thief, &user.id).await, "the former secret works during the overlap");
    refused(thief.api_keys().rotate_api_key(rotate(Some(0))).await, ErrorReason::FormerSecret);
    refused(
        thief.api_keys().create_api_key(new_key(Owner::UserId(user.id.clone()), &["*"])).await,
        ErrorReason::FormerSecret,
    );
    let revoke = pb::RevokeApiKeyRequest { api_key_id: key.id.clone(), ..Default::default() };
    refused(thief.api_keys().revoke_api_key(revoke).await, ErrorReason::FormerSecret);
    assert!(opens(&owner, &user.id).await);
    owner.api_keys().rotate_api_key(rotate(Some(0))).await.unwrap();
}

#[both]
async fn v28_the_former_secret_of_a_rotated_key_gives_no_permissions_and_no_platform_administration(t: Arc<Test>) {
    let (owner, member) = (t.user("owner").await, t.user("member").await);
    let acme = t.organization(&owner).await;
    let membership = t.member(&member, &acme, "viewer").await;
    let rotated = async |of: Owner| {
        let (key, former) = t.key(of, &["*"]).await;
        let rotate = pb::RotateApiKeyRequest { api_key_id: key.id, ..Default::default() };
        t.with_key(&former).api_keys().rotate_api_key(rotate).await.unwrap();
        t.with_key(&former)
    };
    for of in [Owner::UserId(owner.id.clone()), Owner::OrganizationId(acme.id.clone())] {
        let thief = rotated(of).await;
        let invite = pb::CreateInvitationRequest {
            organization_id: acme.id.clone(),
            email: format!("{}@example.com", unique("thief")),
            role: "admin".to_owned(),
            ..Default::default()
        };
        refused(thief.invitations().create_invitation(invite).await, ErrorReason::FormerSecret);
        let raise = pb::UpdateMembershipRequest {
            membership_id: membership.id.clone(),
            role: "admin".to_owned(),
            update_mask: mask(&["role"]),
            ..Default::default()
        };
        refused(thief.memberships().update_membership(raise).await, ErrorReason::FormerSecret);
    }
    let thief = rotated(Owner::UserId(t.first_admin().await.id)).await;
    let grant = pb::GrantPlatformAdminRequest { user_id: member.id.clone(), ..Default::default() };
    refused(thief.users().grant_platform_admin(grant).await, ErrorReason::FormerSecret);
    // What an application does all day goes on until it has the new secret.
    let create = pb::CreateRefreshTokenRequest { user_id: member.id.clone(), ..Default::default() };
    thief.refresh_tokens().create_refresh_token(create).await.unwrap();
}

#[both]
async fn v31_a_restored_user_has_no_session_and_no_key(t: Arc<Test>) {
    let (user, signed_in, _) = t.signed_in_user("ada").await;
    let key = t.with_key(&t.user_key(&user).await);
    let delete = pb::DeleteUserRequest { user_id: user.id.clone(), ..Default::default() };
    t.admin().users().delete_user(delete).await.unwrap();
    let undelete = pb::UndeleteUserRequest { user_id: user.id.clone(), ..Default::default() };
    t.admin().users().undelete_user(undelete).await.unwrap();
    refused(refresh(&t, &signed_in.plaintext_token).await, ErrorReason::RefreshTokenRejected);
    assert!(!opens(&t.with_key(&signed_in.access_token), &user.id).await);
    assert!(!opens(&key, &user.id).await, "the key of a deleted user works again");
}

#[both]
async fn v31_a_restored_organization_has_no_key(t: Arc<Test>) {
    let acme = t.organization(&t.user("owner").await).await;
    let key = t.with_key(&t.organization_key(&acme).await);
    let delete = pb::DeleteOrganizationRequest { organization_id: acme.id.clone(), ..Default::default() };
    t.admin().organizations().delete_organization(delete).await.unwrap();
    let undelete = pb::UndeleteOrganizationRequest { organization_id: acme.id.clone(), ..Default::default() };
    t.admin().organizations().undelete_organization(undelete).await.unwrap();
    let list = pb::ListUsersRequest::default();
    refused(key.users().list_users(list).await, ErrorReason::Unauthenticated);
}

#[both]
async fn a_suspension_ends_the_sessions_for_good(t: Arc<Test>) {
    let (user, signed_in, session) = t.signed_in_user("ada").await;
    t.suspend(&user).await;
    t.reactivate(&user).await;
    refused(refresh(&t, &signed_in.plaintext_token).await, ErrorReason::RefreshTokenRejected);
    assert!(!opens(&session, &user.id).await);
}

#[both]
async fn t2_the_only_owner_of_an_organization_can_be_suspended(t: Arc<Test>) {
    let owner = t.user("owner").await;
    let acme = t.organization(&owner).await;
    let key = t.with_key(&t.user_key(&owner).await);
    let suspend = pb::SuspendUserRequest { user_id: owner.id.clone(), ..Default::default() };
    let rehearsal = pb::SuspendUserRequest { validate_only: true, ..suspend.clone() };
    t.admin().users().suspend_user(rehearsal).await.unwrap();
    t.admin().users().suspend_user(suspend).await.unwrap();
    let get = pb::GetOrganizationRequest { organization_id: acme.id };
    refused(key.organizations().get_organization(get).await, ErrorReason::Unauthenticated);
}

#[both]
async fn t7_an_invitation_ends_with_the_authority_of_its_sender(t: Arc<Test>) {
    for how in ["removed", "lowered", "suspended", "role narrowed"] {
        let acme = t.organization(&t.user("owner").await).await;
        let sender = t.user("sender").await;
        let role = t.role(&acme, "host", &["invitations:*", "invoices:*"]).await;
        t.role(&acme, "clerk", &["invoices:pay"]).await;
        let membership = t.member(&sender, &acme, "host").await;
        let key = t.with_key(&t.user_key(&sender).await);
        let accomplice = t.user("accomplice").await;
        let invite = pb::CreateInvitationRequest {
            organization_id: acme.id.clone(),
            email: accomplice.email.clone(),
            role: "clerk".to_owned(),
            ..Default::default()
        };
        let token = key.invitations().create_invitation(invite).await.answered().plaintext_token;
        match how {
            "removed" => {
                let request = pb::DeleteMembershipRequest { membership_id: membership.id, ..Default::default() };
                t.admin().memberships().delete_membership(request).await.unwrap();
            }
            "lowered" => {
                let request = pb::UpdateMembershipRequest {
                    membership_id: membership.id,
                    role: "viewer".to_owned(),
                    update_mask: mask(&["role"]),
                    ..Default::default()
                };
                t.admin().memberships().update_membership(request).await.unwrap();
            }
            "suspended" => {
                t.suspend(&sender).await;
                t.reactivate(&sender).await;
            }
            _ => {
                let request = pb::UpdateRoleRequest {
                    role_id: role.id,
                    permissions: vec!["invitations:*".to_owned()],
                    update_mask: mask(&["permissions"]),
                    ..Default::default()
                };
                t.admin().roles().update_role(request).await.unwrap();
            }
        }
        refused(accept(&t.admin(), &token, &accomplice).await, ErrorReason::InvitationExpired);
        // A caller who holds the granted permissions may resend it.
        let filter = Some(list_invitations_request::Filter::OrganizationId(acme.id.clone()));
        let listed =
            t.admin().invitations().list_invitations(pb::ListInvitationsRequest { filter, ..Default::default() }).await;
        let invitation_id = listed.unwrap().into_inner().invitations[0].id.clone();
        let resend = pb::ResendInvitationRequest { invitation_id, ..Default::default() };
        let token = t.admin().invitations().resend_invitation(resend).await.answered().plaintext_token;
        accept(&t.admin(), &token, &accomplice).await.unwrap_or_else(|status| panic!("{how}: {status:?}"));
    }
}

/// Requests with fields that did not exist before.
mod shown {
    use super::*;

    #[both]
    async fn an_ordinary_verification_is_confirmed_from_the_session_that_signed_up(t: Arc<Test>) {
        let (user, signed_in, _) = t.signed_in_user("ada").await;
        let key = t.with_key(&t.user_key(&user).await);
        let start = pb::StartEmailVerificationRequest { user_id: user.id.clone(), ..Default::default() };
        let token = t.admin().authentication().start_email_verification(start).await.answered().plaintext_token;
        let confirm = |access_token: &str| pb::ConfirmEmailVerificationRequest {
            plaintext_token: token.clone(),
            access_token: access_token.to_owned(),
            ..Default::default()
        };
        let (_, other, _) = t.signed_in_user("other").await;
        for shown in ["", "nothing", &other.access_token] {
            refused(
                t.admin().authentication().confirm_email_verification(confirm(shown)).await,
                ErrorReason::CredentialRequired,
            );
        }
        let request = confirm(&signed_in.access_token);
        let user = t.admin().authentication().confirm_email_verification(request).await.answered().user.unwrap();
        assert!(user.email_verified_at.is_some() && opens(&key, &user.id).await);
    }

    #[both]
    async fn i9_a_provider_that_vouches_takes_a_squatted_account_back(t: Arc<Test>) {
        let (user, signed_in, session) = t.signed_in_user("victim").await;
        let key = t.with_key(&t.user_key(&user).await);
        let link = pb::LinkOauthAccountRequest {
            user_id: user.id.clone(),
            provider: "google".to_owned(),
            provider_user_id: unique("subject-"),
            email: user.email.clone(),
            email_verified_by_provider: true,
            ..Default::default()
        };
        t.admin().oauth_accounts().link_oauth_account(link).await.unwrap();
        assert!(t.reload_user(&user.id).await.email_verified_at.is_some());
        assert!(!opens(&key, &user.id).await && !opens(&session, &user.id).await);
        refused(refresh(&t, &signed_in.plaintext_token).await, ErrorReason::RefreshTokenRejected);
        refused(sign_in(&t, &user.email, PASSWORD).await, ErrorReason::SignInRejected);
    }

    #[both]
    async fn a_user_goes_with_the_organizations_that_nobody_else_is_in(t: Arc<Test>) {
        let (user, other) = (t.user("ada").await, t.user("bob").await);
        let (alone, shared) = (t.organization(&user).await, t.organization(&user).await);
        t.member(&other, &shared, "member").await;
        let purge =
            || pb::PurgeUserRequest { user_id: user.id.clone(), purge_sole_organizations: true, ..Default::default() };
        refused(t.admin().users().purge_user(purge()).await, ErrorReason::LastOwner);
        let get = pb::GetOrganizationRequest { organization_id: alone.id };
        t.admin().organizations().get_organization(get.clone()).await.unwrap();
        t.member(&t.user("heir").await, &shared, "owner").await;
        t.admin().users().purge_user(purge()).await.unwrap();
        refused(t.admin().organizations().get_organization(get).await, ErrorReason::OrganizationNotFound);
    }
}
