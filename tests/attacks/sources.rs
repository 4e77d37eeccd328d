//! What outlives its source, and what a tenant learns of others.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, create_api_key_request::Owner, list_invitations_request::Filter};

use super::authority::{accept, confirm_reset, new_key};
use crate::support::{Answered as _, Api, MISSING_ID, Test, both, given::unique, mask, refused};

fn invite(organization: &pb::Organization, email: &str, role: &str) -> pb::CreateInvitationRequest {
    pb::CreateInvitationRequest {
        organization_id: organization.id.clone(),
        email: email.to_owned(),
        role: role.to_owned(),
        ..Default::default()
    }
}

/// Sends an invitation, and returns its token.
async fn sent(api: &Api, organization: &pb::Organization, email: &str, role: &str) -> String {
    api.invitations().create_invitation(invite(organization, email, role)).await.answered().plaintext_token
}

async fn invitations(t: &Test, organization: &pb::Organization) -> usize {
    let filter = Some(Filter::OrganizationId(organization.id.clone()));
    let request = pb::ListInvitationsRequest { filter, ..Default::default() };
    t.admin().invitations().list_invitations(request).await.answered().invitations.len()
}

#[both]
async fn a_token_that_a_tenant_has_seen_proves_no_mailbox(t: Arc<Test>) {
    let (eve, victim) = (t.user("eve").await, t.user("victim").await);
    let (own, other) = (t.organization(&eve).await, t.organization(&t.user("owner").await).await);
    let (foreign, _) = t.invitation(&other, &victim.email, "admin").await;
    let as_eve = t.with_key(&t.user_key(&eve).await);
    let of_organization = t.with_key(&t.organization_key(&own).await);
    let as_victim = t.with_key(&t.user_key(&victim).await);
    for sender in [&as_eve, &of_organization] {
        let token = sent(sender, &own, &victim.email, "viewer").await;
        accept(&as_victim, &token, &victim).await.unwrap();
        assert_eq!(t.reload_user(&victim.id).await.email_verified_at, None);
        let membership = t.membership(&victim.id, &own.id).await.unwrap();
        let delete = pb::DeleteMembershipRequest { membership_id: membership.id, ..Default::default() };
        t.admin().memberships().delete_membership(delete).await.unwrap();
    }
    // So the invitations of others stay out of reach.
    let request = pb::AcceptInvitationRequest {
        key: Some(pb::accept_invitation_request::Key::InvitationId(foreign.id)),
        user_id: victim.id.clone(),
        ..Default::default()
    };
    refused(as_victim.invitations().accept_invitation(request).await, ErrorReason::EmailNotVerified);
    // Nobody but the platform has seen the token of an invitation of the platform before it is mailed.
    let (_, token) = t.invitation(&own, &victim.email, "viewer").await;
    accept(&as_victim, &token, &victim).await.unwrap();
    assert!(t.reload_user(&victim.id).await.email_verified_at.is_some());
}

#[both]
async fn the_invitations_of_a_purged_user_are_not_accepted(t: Arc<Test>) {
    let (ada, bob, eve) = (t.user("ada").await, t.user("bob").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "owner").await;
    let token = sent(&t.with_key(&t.user_key(&ada).await), &acme, &eve.email, "admin").await;
    t.admin().users().purge_user(pb::PurgeUserRequest { user_id: ada.id, ..Default::default() }).await.unwrap();
    refused(accept(&t.admin(), &token, &eve).await, ErrorReason::InvitationExpired);
}

#[both]
async fn the_first_proof_also_ends_keys_that_a_squatters_key_made_and_their_invitations(t: Arc<Test>) {
    let squatter = t.user("victim").await;
    let eve = t.user("eve").await;
    let acme = t.organization(&squatter).await;
    let mut api = t.with_key(&t.user_key(&squatter).await);
    let mut left = Vec::new();
    for _ in 0..3 {
        let create = new_key(Owner::OrganizationId(acme.id.clone()), &["*"]);
        api = t.with_key(&api.api_keys().create_api_key(create).await.answered().plaintext_key);
        left.push(api.clone());
    }
    let token = sent(&api, &acme, &eve.email, "admin").await;
    let [_, reset, _] = t.mailed_tokens(&squatter).await;
    confirm_reset(&t.admin(), &reset).await.unwrap();
    for api in left {
        let get = pb::GetOrganizationRequest { organization_id: acme.id.clone() };
        refused(api.organizations().get_organization(get).await, ErrorReason::Unauthenticated);
    }
    refused(accept(&t.admin(), &token, &eve).await, ErrorReason::InvitationExpired);
}

#[both]
async fn an_invitation_is_accepted_only_while_the_key_that_sent_it_holds_what_it_gives(t: Arc<Test>) {
    let owner = t.user("owner").await;
    let acme = t.organization(&owner).await;
    for (of, role) in [(Owner::UserId(owner.id.clone()), "owner"), (Owner::OrganizationId(acme.id.clone()), "admin")] {
        for ended in ["revoked", "disabled", "narrowed", "rotated"] {
            let eve = t.user("eve").await;
            let (key, secret) = t.key(of.clone(), &["*"]).await;
            let token = sent(&t.with_key(&secret), &acme, &eve.email, role).await;
            let (api, api_key_id) = (t.admin(), key.id.clone());
            match ended {
                "revoked" => {
                    let request = pb::RevokeApiKeyRequest { api_key_id, ..Default::default() };
                    api.api_keys().revoke_api_key(request).await.map(drop).unwrap();
                }
                "disabled" => {
                    let request = pb::DisableApiKeyRequest { api_key_id, ..Default::default() };
                    api.api_keys().disable_api_key(request).await.map(drop).unwrap();
                }
                "narrowed" => {
                    let request = pb::UpdateApiKeyRequest {
                        api_key_id,
                        scopes: vec!["invitations:write".to_owned()],
                        update_mask: mask(&["scopes"]),
                        ..Default::default()
                    };
                    api.api_keys().update_api_key(request).await.map(drop).unwrap();
                }
                _ => {
                    let request = pb::RotateApiKeyRequest { api_key_id, ..Default::default() };
                    api.api_keys().rotate_api_key(request).await.map(drop).unwrap();
                }
            }
            let accepted = accept(&t.with_key(&t.user_key(&eve).await), &token, &eve).await;
            if ended == "rotated" {
                accepted.unwrap();
            } else {
                refused(accepted, ErrorReason::InvitationExpired);
            }
        }
    }
}

#[both]
async fn an_invitation_of_a_tenant_lets_no_stranger_in_who_took_the_address(t: Arc<Test>) {
    let owner = t.user("owner").await;
    let acme = t.organization(&owner).await;
    let squatted = t.user("victim").await;
    let as_squatted = t.with_key(&t.user_key(&squatted).await);
    let token = sent(&t.with_key(&t.user_key(&owner).await), &acme, &squatted.email, "admin").await;
    // The application does not know who holds the account.
    refused(accept(&t.admin(), &token, &squatted).await, ErrorReason::CredentialRequired);
    assert!(t.membership(&squatted.id, &acme.id).await.is_none());
    // Without a credential there is nobody else to hold it, and who holds one shows it.
    let bare = t.user("bare").await;
    let token_of_bare = sent(&t.with_key(&t.user_key(&owner).await), &acme, &bare.email, "admin").await;
    accept(&t.admin(), &token_of_bare, &bare).await.unwrap();
    accept(&as_squatted, &token, &squatted).await.unwrap();
}

#[both]
async fn invitations_sent_with_access_tokens_end_with_all_sessions(t: Arc<Test>) {
    for keeps_this in [false, true] {
        let (ada, _, thief) = t.signed_in_user("ada").await;
        let acme = t.organization(&ada).await;
        let (eve, bob) = (t.user("eve").await, t.user("bob").await);
        let stolen = sent(&thief, &acme, &eve.email, "owner").await;
        let own = sent(&t.with_key(&t.user_key(&ada).await), &acme, &bob.email, "viewer").await;
        let mut except_session_id = String::new();
        if keeps_this {
            let sessions = pb::ListSessionsRequest { user_id: ada.id.clone(), ..Default::default() };
            let sessions = t.admin().sessions().list_sessions(sessions).await.answered().sessions;
            except_session_id.clone_from(&sessions[0].id);
        }
        let request = pb::RevokeAllSessionsRequest { user_id: ada.id.clone(), except_session_id, ..Default::default() };
        t.admin().sessions().revoke_all_sessions(request).await.unwrap();
        let accepted = accept(&t.admin(), &stolen, &eve).await;
        if keeps_this {
            accepted.unwrap();
        } else {
            refused(accepted, ErrorReason::InvitationExpired);
        }
        accept(&t.admin(), &own, &bob).await.unwrap();
    }
}

#[both]
async fn the_first_proof_also_ends_a_squatters_keys_and_invitations_in_organizations(t: Arc<Test>) {
    let squatter = t.user("victim").await;
    let eve = t.user("eve").await;
    let acme = t.organization(&squatter).await;
    let as_squatter = t.with_key(&t.user_key(&squatter).await);
    let create = new_key(Owner::OrganizationId(acme.id.clone()), &["*"]);
    let left = as_squatter.api_keys().create_api_key(create).await.answered().plaintext_key;
    let (_, of_platform) = t.key(Owner::OrganizationId(acme.id.clone()), &["*"]).await;
    let token = sent(&as_squatter, &acme, &eve.email, "owner").await;
    let [_, reset, _] = t.mailed_tokens(&squatter).await;
    confirm_reset(&t.admin(), &reset).await.unwrap();
    let get = || pb::GetOrganizationRequest { organization_id: acme.id.clone() };
    refused(t.with_key(&left).organizations().get_organization(get()).await, ErrorReason::Unauthenticated);
    t.with_key(&of_platform).organizations().get_organization(get()).await.unwrap();
    refused(accept(&t.admin(), &token, &eve).await, ErrorReason::InvitationExpired);
}

#[both]
async fn another_spelling_of_an_email_needs_its_mailbox_too(t: Arc<Test>) {
    let user = t.verified_user("zeta").await;
    let (local, domain) = user.email.split_once('@').unwrap();
    let key = t.with_key(&t.user_key(&user).await);
    let update = |email: String| pb::UpdateUserRequest {
        user_id: user.id.clone(),
        email,
        update_mask: mask(&["email"]),
        ..Default::default()
    };
    let full_width = format!("ｚ{}@{domain}", &local[1..]);
    refused(key.users().update_user(update(full_width)).await, ErrorReason::PlatformAdminRequired);
    key.users().update_user(update(format!("{}@{domain}", local.to_uppercase()))).await.unwrap();
}

#[both]
async fn keys_are_shown_to_nobody_without_the_scope_to_read_them(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let (_, text) = t.key(Owner::OrganizationId(acme.id.clone()), &["permissions:check"]).await;
    let (other, _) = t.key(Owner::OrganizationId(acme.id.clone()), &["users:read"]).await;
    let api = t.with_key(&text);
    let request = pb::ListPrincipalsWithPermissionRequest {
        organization_id: acme.id.clone(),
        permission: "users:read".to_owned(),
        ..Default::default()
    };
    let page = api.authorization().list_principals_with_permission(request).await.answered();
    assert!(page.omits_api_keys, "{page:?}");
    let of_user = t.key(Owner::UserId(ada.id.clone()), &["permissions:check", "organizations:read"]).await.1;
    let request = pb::ListEffectivePermissionsRequest {
        organization_id: acme.id.clone(),
        subject: Some(pb::list_effective_permissions_request::Subject::ApiKeyId(other.id)),
    };
    let effective = t.with_key(&of_user).authorization().list_effective_permissions(request).await;
    refused(effective, ErrorReason::ApiKeyNotFound);
}

#[both(options = ["--max-organizations", "1"])]
async fn only_callers_with_permission_learn_that_a_user_is_at_the_limit(t: Arc<Test>) {
    let (ada, bob, eve) = (t.user("ada").await, t.user("bob").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    t.organization(&bob).await;
    let membership = t.member(&bob, &acme, "viewer").await;
    t.member(&eve, &acme, "viewer").await;
    let api = t.with_key(&t.user_key(&eve).await);
    let update = pb::UpdateMembershipRequest {
        membership_id: membership.id,
        role: "owner".to_owned(),
        update_mask: mask(&["role"]),
        ..Default::default()
    };
    refused(api.memberships().update_membership(update).await, ErrorReason::RoleInsufficient);
    let transfer = pb::TransferOwnershipRequest {
        organization_id: acme.id,
        new_owner_user_id: bob.id,
        former_owner_user_id: ada.id,
        ..Default::default()
    };
    refused(api.organizations().transfer_ownership(transfer).await, ErrorReason::RoleInsufficient);
}

#[both]
async fn the_pages_of_events_do_not_count_those_of_others(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    // More than a page looks at.
    for number in 0..3 {
        let users = (0..400).map(|_| pb::ImportedUser {
            external_id: unique("event"),
            email: format!("{}@example.com", unique("event")),
            name: format!("{number}"),
            ..Default::default()
        });
        crate::user::import::import(&t, users.collect()).await;
    }
    let id = match t.database {
        crate::support::database::TestDatabase::Sqlite(_) => format!("x'{}'", bob.id.replace('-', "")),
        crate::support::database::TestDatabase::Postgres(_) => format!("'{}'", bob.id),
    };
    let all = format!("UPDATE cf_events SET user_id = {id}, resource_id = {id} WHERE action = 'user.created'");
    t.database.execute(&all).await;
    let api = t.with_key(&t.user_key(&ada).await);
    for user_id in [bob.id.clone(), MISSING_ID.to_owned()] {
        let base = pb::ListEventsRequest { organization_id: acme.id.clone(), ..Default::default() };
        for request in [
            pb::ListEventsRequest { user_id: user_id.clone(), ..base.clone() },
            pb::ListEventsRequest { resource_id: user_id.clone(), ..base.clone() },
            pb::ListEventsRequest { resource_id: user_id.clone(), ..Default::default() },
        ] {
            let page = api.events().list_events(request).await.answered();
            assert_eq!((page.events.len(), page.next_page_token.as_str()), (0, ""));
        }
    }
}

#[both]
async fn an_import_ends_when_its_key_is_narrowed(t: Arc<Test>) {
    let admin = t.first_admin().await;
    let (key, text) = t.key(Owner::UserId(admin.id.clone()), &["users:write", "users:read"]).await;
    let (sender, batches) = tokio::sync::mpsc::channel(2);
    let row = || pb::ImportedUser {
        external_id: unique("e"),
        email: format!("{}@example.com", unique("imported")),
        name: "Imported".to_owned(),
        ..Default::default()
    };
    let stream = tokio_stream::wrappers::ReceiverStream::new(batches);
    sender.send(pb::ImportUsersRequest { users: vec![row()] }).await.unwrap();
    let mut answers = t.with_key(&text).users().import_users(stream).await.unwrap().into_inner();
    answers.message().await.unwrap().unwrap();
    let update = pb::UpdateApiKeyRequest {
        api_key_id: key.id,
        scopes: vec!["users:write".to_owned()],
        update_mask: mask(&["scopes"]),
        ..Default::default()
    };
    t.admin().api_keys().update_api_key(update).await.unwrap();
    sender.send(pb::ImportUsersRequest { users: vec![row()] }).await.unwrap();
    refused(answers.message().await, ErrorReason::Unauthenticated);
}

#[both]
async fn a_verified_members_pending_invitation_ends_however_it_was_verified(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    t.invitation(&acme, &bob.email, "owner").await;
    t.member(&bob, &acme, "viewer").await;
    assert_eq!(invitations(&t, &acme).await, 1);
    let update = pb::UpdateUserRequest {
        user_id: bob.id,
        email_verified: true,
        update_mask: mask(&["email_verified"]),
        ..Default::default()
    };
    t.admin().users().update_user(update).await.unwrap();
    assert_eq!(invitations(&t, &acme).await, 0);
}

#[both(options = ["--usage-interval", "50ms"])]
async fn a_key_in_use_by_its_former_secret_counts_as_used(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (key, former) = t.key(Owner::UserId(ada.id.clone()), &["*"]).await;
    let from = crate::support::time_in(&t, -3600);
    t.with_key(&former).users().get_user(pb::GetUserRequest { user_id: ada.id.clone() }).await.unwrap();
    let get = || pb::GetApiKeyRequest { api_key_id: key.id.clone() };
    // Uses are recorded in the background.
    while t
        .admin()
        .api_keys()
        .get_api_key(get())
        .await
        .answered()
        .secrets
        .iter()
        .all(|secret| secret.last_used_at.is_none())
    {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let rotate = pb::RotateApiKeyRequest { api_key_id: key.id.clone(), ..Default::default() };
    t.admin().api_keys().rotate_api_key(rotate).await.unwrap();
    let list = async |request: pb::ListApiKeysRequest| {
        let owner = Some(pb::list_api_keys_request::Owner::UserId(ada.id.clone()));
        let page = t.admin().api_keys().list_api_keys(pb::ListApiKeysRequest { owner, ..request }).await.answered();
        page.api_keys.len()
    };
    assert_eq!(list(pb::ListApiKeysRequest { last_used_from: from, ..Default::default() }).await, 1);
    assert_eq!(list(pb::ListApiKeysRequest { last_used_before: from, ..Default::default() }).await, 0);
}
