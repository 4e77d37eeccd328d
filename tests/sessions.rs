//! Requirements on sessions and access tokens. Each test is named after its requirement.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use tenantry::{
    app::change::by_system,
    db::Database,
    models::OrganizationId,
    pb::{self, ErrorReason, create_api_key_request::Owner},
    security::{
        random::to_base62,
        sealing::{KeyRing, SealedAt},
        token::{SecretPrefixes, SessionSecret},
    },
};
use tokio::{sync::Barrier, task::JoinSet};
use tonic::{Code, Status};

use crate::{
    authentication::{claims, introspect_token::forged, refresh},
    support::{
        Answered as _, Api, Backend, DAY, SEALING_KEYS, Test, args, both,
        database::TestDatabase,
        follow::list,
        given::{Issued as _, PASSWORD},
        mask, refused,
        serving::Serving,
    },
};

/// A user with a session, begun with its password.
async fn session(t: &Test) -> (pb::User, pb::IssuedSession) {
    let user = t.user("ada").await;
    t.give_password(&user).await;
    let signed_in = t.signed_in(&user).await;
    (user, signed_in)
}

/// The live sessions of a user.
async fn live(t: &Test, user: &pb::User) -> Vec<pb::Session> {
    let request = pb::ListSessionsRequest { user_id: user.id.clone(), page_size: 1000, ..Default::default() };
    t.admin().sessions().list_sessions(request).await.answered().sessions
}

async fn get(api: &Api, user: &pb::User) -> Result<(), Status> {
    api.users().get_user(pb::GetUserRequest { user_id: user.id.clone() }).await.map(drop)
}

#[both]
async fn r15_a_token_is_opaque_carries_256_bits_that_nobody_can_guess_and_is_not_stored(t: Arc<Test>) {
    let (user, first) = session(&t).await;
    let mut secrets = HashSet::new();
    let mut token = first.plaintext_token;
    for _ in 0..100 {
        assert!(token.starts_with("cf_rt_") && token.len() == 89);
        assert!(secrets.insert(token[39..83].to_owned()));
        token = refresh(&t, &token).await.unwrap().plaintext_token;
    }
    let dump = t.database.rows().await.concat();
    assert!(secrets.iter().all(|secret| !dump.contains(secret)) && !dump.contains("eyJ"));
    assert_eq!(live(&t, &user).await.len(), 1);
}

#[both]
async fn r16_each_use_makes_the_next_token_and_ends_the_one_before(t: Arc<Test>) {
    let (_, first) = session(&t).await;
    let second = refresh(&t, &first.plaintext_token).await.unwrap();
    assert_ne!(second.plaintext_token, first.plaintext_token);
    assert_eq!(second.session.unwrap().id, first.session.unwrap().id);
    refused(refresh(&t, &first.plaintext_token).await, ErrorReason::RefreshTokenRejected);
}

#[both]
async fn r17_a_retired_token_ends_its_session_and_its_access_tokens_and_is_reported(t: Arc<Test>) {
    let (user, first) = session(&t).await;
    let second = refresh(&t, &first.plaintext_token).await.unwrap();
    let third = refresh(&t, &second.plaintext_token).await.unwrap();
    let api = t.with_key(&third.access_token);
    get(&api, &user).await.unwrap();
    refused(refresh(&t, &first.plaintext_token).await, ErrorReason::RefreshTokenRejected);
    refused(refresh(&t, &third.plaintext_token).await, ErrorReason::RefreshTokenRejected);
    refused(get(&api, &user).await, ErrorReason::Unauthenticated);
    let reused = pb::ListEventsRequest { actions: vec!["session.reused".to_owned()], ..Default::default() };
    let reused = list(&t.admin(), reused).await;
    assert_eq!((reused.len(), &reused[0].resource_id), (1, &third.session.unwrap().id));
}

#[both]
async fn r18_of_concurrent_uses_of_one_token_one_wins(t: Arc<Test>) {
    for round in 0..10 {
        let (user, first) = session(&t).await;
        let wins = race(&t, &first.plaintext_token, 16).await;
        assert!(wins <= 1, "round {round}: {wins} win");
        assert!(live(&t, &user).await.len() <= 1);
    }
}

#[both]
async fn r19_the_order_of_tokens_needs_no_time(t: Arc<Test>) {
    // All within the same second.
    let (_, first) = session(&t).await;
    let second = refresh(&t, &first.plaintext_token).await.unwrap();
    refresh(&t, &second.plaintext_token).await.unwrap();
    for retired in [second.plaintext_token, first.plaintext_token] {
        refused(refresh(&t, &retired).await, ErrorReason::RefreshTokenRejected);
    }
}

#[both]
async fn r21_a_session_that_was_ended_stays_so_however_it_is_refreshed_meanwhile(t: Arc<Test>) {
    for _ in 0..10 {
        let (user, first) = session(&t).await;
        end_against_refresh(&t, &user, first).await;
    }
}

#[both]
async fn r22_an_answer_that_was_lost_is_reported_again_to_the_same_request_only(t: Arc<Test>) {
    let (_, first) = session(&t).await;
    let request = pb::RefreshRequest {
        plaintext_token: first.plaintext_token.clone(),
        request_id: uuid::Uuid::new_v4().to_string(),
        ..Default::default()
    };
    let second = t.admin().authentication().refresh(request.clone()).await.answered();
    assert_eq!(t.admin().authentication().refresh(request.clone()).await.answered(), second);
    let second = second.issued();
    // By default there is no leeway for anything else.
    refused(refresh(&t, &first.plaintext_token).await, ErrorReason::RefreshTokenRejected);
    refused(refresh(&t, &second.plaintext_token).await, ErrorReason::RefreshTokenRejected);
}

#[both(options = ["--rotation-grace", "10s"])]
async fn r22_the_grace_is_short_and_for_the_last_token_while_its_successor_is_unused(t: Arc<Test>) {
    let (_, first) = session(&t).await;
    let second = refresh(&t, &first.plaintext_token).await.unwrap();
    let again = refresh(&t, &first.plaintext_token).await.unwrap();
    assert_eq!(again.plaintext_token, second.plaintext_token);
    refresh(&t, &second.plaintext_token).await.unwrap();
    refused(refresh(&t, &first.plaintext_token).await, ErrorReason::RefreshTokenRejected);
    let (_, first) = session(&t).await;
    refresh(&t, &first.plaintext_token).await.unwrap();
    t.advance(Duration::from_secs(11));
    refused(refresh(&t, &first.plaintext_token).await, ErrorReason::RefreshTokenRejected);
}

#[both]
async fn r23_a_session_ends_when_it_is_idle_and_in_any_case(t: Arc<Test>) {
    let (_, idle) = session(&t).await;
    t.advance(30 * DAY);
    refused(refresh(&t, &idle.plaintext_token).await, ErrorReason::RefreshTokenRejected);
    let (_, first) = session(&t).await;
    let mut token = first.plaintext_token;
    for day in 1..90 {
        t.advance(DAY);
        token = refresh(&t, &token).await.unwrap_or_else(|status| panic!("day {day}: {status:?}")).plaintext_token;
    }
    // The last access tokens end with the session.
    t.advance(Duration::from_mins(24 * 60 - 2));
    let last = refresh(&t, &token).await.unwrap();
    let ends_at = last.session.unwrap().ends_at.unwrap().seconds;
    assert_eq!(last.access_token_expires_at.unwrap().seconds, ends_at);
    t.advance(Duration::from_mins(2));
    refused(refresh(&t, &last.plaintext_token).await, ErrorReason::RefreshTokenRejected);
}

#[both]
async fn r24_a_session_is_bound_to_its_user_its_organization_and_its_api_key(t: Arc<Test>) {
    let (user, first) = session(&t).await;
    let admin = t.first_admin().await;
    let (_, other_key) = t.key(Owner::UserId(admin.id), &["*"]).await;
    let other = t.with_key(&other_key);
    let request = pb::RefreshRequest { plaintext_token: first.plaintext_token.clone(), ..Default::default() };
    refused(other.authentication().refresh(request).await, ErrorReason::RefreshTokenRejected);
    let rotate = pb::RotateRefreshTokenRequest { plaintext_token: first.plaintext_token.clone(), ..Default::default() };
    refused(other.refresh_tokens().rotate_refresh_token(rotate).await, ErrorReason::RefreshTokenRejected);
    // It still works for its owner and grants no more than before: no access to an organization of others.
    let foreign = t.organization(&t.user("owner").await).await;
    let wider = pb::RefreshRequest {
        plaintext_token: first.plaintext_token.clone(),
        organization_id: Some(foreign.id),
        ..Default::default()
    };
    refused(t.admin().authentication().refresh(wider).await, ErrorReason::OrganizationNotFound);
    let second = refresh(&t, &first.plaintext_token).await.unwrap();
    assert_eq!(claims(&second.access_token)["sub"], user.id.as_str());
}

#[both]
async fn r25_each_refresh_looks_at_the_user_the_organization_the_membership_and_the_key(t: Arc<Test>) {
    let admin = t.first_admin().await;
    let begin = async |api: &Api| {
        let user = t.user("ada").await;
        t.give_password(&user).await;
        let organization = t.organization(&t.user("owner").await).await;
        let membership = t.member(&user, &organization, "member").await;
        let request = pb::SignInRequest {
            email: user.email.clone(),
            password: PASSWORD.to_owned(),
            organization_id: organization.id.clone(),
            ..Default::default()
        };
        let first = api.authentication().sign_in(request).await.answered().issued();
        (user, organization, membership, first.plaintext_token)
    };
    let (user, _, _, token) = begin(&t.admin()).await;
    t.suspend(&user).await;
    refused(refresh(&t, &token).await, ErrorReason::RefreshTokenRejected);

    let (user, _, _, token) = begin(&t.admin()).await;
    let delete = pb::DeleteUserRequest { user_id: user.id, ..Default::default() };
    t.admin().users().delete_user(delete).await.unwrap();
    refused(refresh(&t, &token).await, ErrorReason::RefreshTokenRejected);

    let (_, _, membership, token) = begin(&t.admin()).await;
    let delete = pb::DeleteMembershipRequest { membership_id: membership.id, ..Default::default() };
    t.admin().memberships().delete_membership(delete).await.unwrap();
    refused(refresh(&t, &token).await, ErrorReason::RefreshTokenRejected);

    let (_, organization, _, token) = begin(&t.admin()).await;
    let suspend = pb::SuspendOrganizationRequest { organization_id: organization.id.clone(), ..Default::default() };
    t.admin().organizations().suspend_organization(suspend).await.unwrap();
    refused(refresh(&t, &token).await, ErrorReason::RefreshTokenRejected);
    let reactivate =
        pb::ReactivateOrganizationRequest { organization_id: organization.id.clone(), ..Default::default() };
    t.admin().organizations().reactivate_organization(reactivate).await.unwrap();
    let token = refresh(&t, &token).await.unwrap().plaintext_token;
    let delete = pb::DeleteOrganizationRequest { organization_id: organization.id, ..Default::default() };
    t.admin().organizations().delete_organization(delete).await.unwrap();
    refused(refresh(&t, &token).await, ErrorReason::RefreshTokenRejected);

    let (key, text) = t.key(Owner::UserId(admin.id), &["*"]).await;
    let own = t.with_key(&text);
    let (_, _, _, token) = begin(&own).await;
    let revoke = pb::RevokeApiKeyRequest { api_key_id: key.id, ..Default::default() };
    t.admin().api_keys().revoke_api_key(revoke).await.unwrap();
    let request = pb::RefreshRequest { plaintext_token: token, ..Default::default() };
    refused(own.authentication().refresh(request.clone()).await, ErrorReason::Unauthenticated);
    refused(t.admin().authentication().refresh(request).await, ErrorReason::RefreshTokenRejected);
}

#[both(options = ["--max-sessions", "3"])]
async fn r26_sessions_are_listed_and_ended_and_one_more_than_may_be_ends_the_oldest(t: Arc<Test>) {
    let (user, first) = session(&t).await;
    let (_, _, of_eve) = t.signed_in_user("eve").await;
    let mut sessions = vec![first];
    for _ in 0..4 {
        sessions.push(t.signed_in(&user).await);
    }
    let id = |session: &pb::IssuedSession| session.session.clone().unwrap().id;
    let kept: Vec<String> = sessions[2..].iter().map(id).collect();
    assert_eq!(live(&t, &user).await.into_iter().map(|session| session.id).collect::<Vec<_>>(), kept);
    for ended in &sessions[..2] {
        refused(refresh(&t, &ended.plaintext_token).await, ErrorReason::RefreshTokenRejected);
    }
    // The user and a platform admin can end one or all; other users cannot.
    let own = t.with_key(&sessions[4].access_token);
    let id = sessions[2].session.clone().unwrap().id;
    let one = pb::RevokeSessionRequest { session_id: id, ..Default::default() };
    refused(of_eve.sessions().revoke_session(one.clone()).await, ErrorReason::SessionNotFound);
    own.sessions().revoke_session(one).await.unwrap();
    assert_eq!(live(&t, &user).await.len(), 2);
    let all = pb::RevokeAllSessionsRequest { user_id: user.id.clone(), ..Default::default() };
    refused(of_eve.sessions().revoke_all_sessions(all.clone()).await, ErrorReason::UserNotFound);
    t.admin().sessions().revoke_all_sessions(all).await.unwrap();
    assert!(live(&t, &user).await.is_empty());
    refused(get(&own, &user).await, ErrorReason::Unauthenticated);
}

#[both]
async fn r27_every_token_that_cannot_be_used_is_refused_byte_for_byte_alike(t: Arc<Test>) {
    let bytes = |status: Status| (status.code(), status.message().to_owned(), status.details().to_vec());
    let (_, expired) = session(&t).await;
    t.advance(31 * DAY);
    let (_, signed_out) = session(&t).await;
    let request = pb::SignOutRequest { plaintext_token: signed_out.plaintext_token.clone(), ..Default::default() };
    t.admin().authentication().sign_out(request).await.unwrap();
    let (_, used) = session(&t).await;
    refresh(&t, &used.plaintext_token).await.unwrap();
    let (suspended, of_suspended) = session(&t).await;
    t.suspend(&suspended).await;
    let (_, good) = session(&t).await;
    let id = good.session.unwrap().id.parse::<uuid::Uuid>().unwrap().into();
    let guessed = SecretPrefixes::default().refresh_token(&SessionSecret::random(), id, 1).expose().to_owned();
    let texts = [
        "x".to_owned(),
        guessed,
        expired.plaintext_token,
        signed_out.plaintext_token,
        used.plaintext_token,
        of_suspended.plaintext_token,
        good.access_token,
    ];
    let mut answers = Vec::new();
    for text in texts {
        answers.push(bytes(refresh(&t, &text).await.unwrap_err()));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    refresh(&t, &good.plaintext_token).await.unwrap();
}

#[both(options = ["--signing-algorithm", "EdDSA"])]
async fn r31_every_forged_token_is_refused_as_a_credential(t: Arc<Test>) {
    let (user, signed_in) = session(&t).await;
    get(&t.with_key(&signed_in.access_token), &user).await.unwrap();
    for (what, token) in forged(&t, &signed_in.access_token).await {
        let status = get(&t.with_key(&token), &user).await.expect_err(what);
        assert_eq!(status.code(), Code::Unauthenticated, "{what}");
    }
    t.advance(Duration::from_mins(10) + Duration::from_secs(1));
    refused(get(&t.with_key(&signed_in.access_token), &user).await, ErrorReason::Unauthenticated);
}

#[both(options = ["--signing-algorithm", "EdDSA"])]
async fn r31_a_token_of_the_other_algorithm_is_as_good(t: Arc<Test>) {
    let (user, signed_in) = session(&t).await;
    assert_eq!(crate::authentication::part(&signed_in.access_token, 0)["alg"], "EdDSA");
    get(&t.with_key(&signed_in.access_token), &user).await.unwrap();
    let keys = t.admin().authentication().get_signing_keys(pb::GetSigningKeysRequest {}).await.answered();
    let jwks: serde_json::Value = serde_json::from_str(&keys.jwks).unwrap();
    let key = &jwks["keys"][0];
    assert_eq!(
        (key["kty"].as_str(), key["crv"].as_str(), key["alg"].as_str()),
        (Some("OKP"), Some("Ed25519"), Some("EdDSA"))
    );
    assert_eq!(key["x"].as_str().unwrap().len(), 43);
}

#[both(options = ["--max-failures-per-caller", "30"])]
async fn r32_introspection_shows_nothing_of_inactive_tokens(t: Arc<Test>) {
    let (user, ended) = session(&t).await;
    let request = pb::SignOutRequest { plaintext_token: ended.plaintext_token.clone(), ..Default::default() };
    t.admin().authentication().sign_out(request).await.unwrap();
    let expired = t.signed_in(&user).await;
    t.advance(Duration::from_mins(11));
    let good = t.signed_in(&user).await;
    let organization = t.organization(&user).await;
    let foreign = t.with_key(&t.organization_key(&organization).await);
    let ask = async |api: &Api, token: &str| {
        let request = pb::IntrospectTokenRequest { access_token: token.to_owned() };
        api.authentication().introspect_token(request).await
    };
    let admin = t.admin();
    for (api, token) in [
        (&admin, "x"),
        (&admin, &ended.access_token),
        (&admin, &expired.access_token),
        (&foreign, &good.access_token),
        (&admin, &good.plaintext_token),
    ] {
        assert_eq!(ask(api, token).await.answered(), pb::IntrospectTokenResponse::default());
    }
    refused(ask(&t.anonymous(), &good.access_token).await, ErrorReason::Unauthenticated);
    // However many invalid tokens are introspected.
    for _ in 0..40 {
        assert!(!ask(&admin, "x").await.answered().active);
        assert!(ask(&admin, &good.access_token).await.answered().active);
    }
}

#[both]
async fn r36_users_cannot_give_themselves_protected_fields(t: Arc<Test>) {
    let (user, _, own) = t.signed_in_user("ada").await;
    let before = t.reload_user(&user.id).await;
    for field in
        ["email_verified_at", "is_platform_admin", "state", "deleted_at", "id", "created_at", "etag", "password", "*"]
    {
        let update =
            pb::UpdateUserRequest { user_id: user.id.clone(), update_mask: mask(&[field]), ..Default::default() };
        for api in [&own, &t.with_key(&t.user_key(&user).await)] {
            refused(api.users().update_user(update.clone()).await, ErrorReason::InvalidArgument);
        }
    }
    // What only platform admins set.
    for field in ["external_id", "private_metadata", "private_metadata.key"] {
        let update =
            pb::UpdateUserRequest { user_id: user.id.clone(), update_mask: mask(&[field]), ..Default::default() };
        for api in [&own, &t.with_key(&t.user_key(&user).await)] {
            refused(api.users().update_user(update.clone()).await, ErrorReason::PlatformAdminRequired);
        }
    }
    // Not even the e-mail, since a password reset would go there.
    let update = pb::UpdateUserRequest {
        user_id: user.id.clone(),
        email: "new@example.com".to_owned(),
        update_mask: mask(&["email"]),
        ..Default::default()
    };
    refused(own.users().update_user(update).await, ErrorReason::PlatformAdminRequired);
    assert_eq!(t.reload_user(&user.id).await, before);
    let update = pb::UpdateUserRequest {
        user_id: user.id.clone(),
        name: "Ada L.".to_owned(),
        update_mask: mask(&["name"]),
        ..Default::default()
    };
    own.users().update_user(update).await.unwrap();
    // Nor can a member become an owner on its own.
    let organization = t.organization(&t.user("owner").await).await;
    let membership = t.member(&user, &organization, "member").await;
    let update = pb::UpdateMembershipRequest {
        membership_id: membership.id,
        role: "owner".to_owned(),
        update_mask: mask(&["role"]),
        ..Default::default()
    };
    refused(own.memberships().update_membership(update).await, ErrorReason::RoleInsufficient);
}

#[both]
async fn a_signed_in_user_reaches_itself_and_its_organizations_as_far_as_its_role_goes(t: Arc<Test>) {
    let (user, _, own) = t.signed_in_user("ada").await;
    let (other, foreign) = (t.user("other").await, t.organization(&t.user("owner").await).await);
    let organization = t.organization(&user).await;
    get(&own, &user).await.unwrap();
    refused(get(&own, &other).await, ErrorReason::UserNotFound);
    let members = |organization: &pb::Organization| pb::ListMembershipsRequest {
        organization_id: organization.id.clone(),
        ..Default::default()
    };
    own.memberships().list_memberships(members(&organization)).await.unwrap();
    refused(own.memberships().list_memberships(members(&foreign)).await, ErrorReason::OrganizationNotFound);
    let invite = |organization: &pb::Organization| pb::CreateInvitationRequest {
        organization_id: organization.id.clone(),
        email: "new@example.com".to_owned(),
        role: "member".to_owned(),
        ..Default::default()
    };
    own.invitations().create_invitation(invite(&organization)).await.unwrap();
    t.member(&user, &foreign, "viewer").await;
    own.memberships().list_memberships(members(&foreign)).await.unwrap();
    refused(own.invitations().create_invitation(invite(&foreign)).await, ErrorReason::RoleInsufficient);
    // Its events name the user and the session.
    let events = list(
        &t.admin(),
        pb::ListEventsRequest { actions: vec!["invitation.created".to_owned()], ..Default::default() },
    )
    .await;
    let actor = events[0].actor.clone().unwrap();
    assert_eq!(
        (actor.kind(), actor.user_id.as_str(), actor.api_key_id.as_str(), actor.session_id.len()),
        (pb::ActorKind::User, user.id.as_str(), "", 36)
    );
}

#[both]
async fn an_access_token_never_acts_as_a_platform_admin_and_makes_nothing_that_outlasts_its_session(t: Arc<Test>) {
    let (user, signed_in, own) = t.signed_in_user("ada").await;
    let grant = pb::GrantPlatformAdminRequest { user_id: user.id.clone(), ..Default::default() };
    t.admin().users().grant_platform_admin(grant).await.unwrap();
    let other = t.user("other").await;
    refused(get(&own, &other).await, ErrorReason::UserNotFound);
    let create =
        pb::CreateUserRequest { email: "x@example.com".to_owned(), name: "X".to_owned(), ..Default::default() };
    refused(own.users().create_user(create).await, ErrorReason::PlatformAdminRequired);
    let session = pb::CreateRefreshTokenRequest { user_id: user.id.clone(), ..Default::default() };
    refused(own.refresh_tokens().create_refresh_token(session).await, ErrorReason::ApiKeyRequired);
    refused(
        own.api_keys().revoke_own_api_key(pb::RevokeOwnApiKeyRequest::default()).await,
        ErrorReason::ApiKeyRequired,
    );
    let account = t.oauth_account(&user).await;
    let tokens = pb::GetOauthAccountTokensRequest { oauth_account_id: account.id };
    refused(own.oauth_accounts().get_oauth_account_tokens(tokens).await, ErrorReason::ApiKeyRequired);
    let key = |expires_at| pb::CreateApiKeyRequest {
        owner: Some(Owner::UserId(user.id.clone())),
        name: "key".to_owned(),
        scopes: vec!["users:read".to_owned()],
        environment: 1,
        expires_at,
        ..Default::default()
    };
    for ends_at in [None, signed_in.session.unwrap().ends_at] {
        refused(own.api_keys().create_api_key(key(ends_at)).await, ErrorReason::ApiKeyRequired);
    }
}

#[both]
async fn ending_a_user_ends_its_access_tokens_with_the_next_call(t: Arc<Test>) {
    let (user, _, own) = t.signed_in_user("ada").await;
    get(&own, &user).await.unwrap();
    t.suspend(&user).await;
    refused(get(&own, &user).await, ErrorReason::Unauthenticated);
    let reactivate = pb::ReactivateUserRequest { user_id: user.id.clone(), ..Default::default() };
    t.admin().users().reactivate_user(reactivate).await.unwrap();
    // The suspension ended the session for good.
    refused(get(&own, &user).await, ErrorReason::Unauthenticated);
    let own = t.with_key(&t.signed_in(&user).await.access_token);
    get(&own, &user).await.unwrap();
    let delete = pb::DeleteUserRequest { user_id: user.id.clone(), ..Default::default() };
    t.admin().users().delete_user(delete).await.unwrap();
    refused(get(&own, &user).await, ErrorReason::Unauthenticated);
}

#[both(options = ["--watch-heartbeat", "50ms"])]
async fn an_open_stream_ends_with_the_access_token_and_with_its_session(t: Arc<Test>) {
    for by_session in [true, false] {
        let (user, signed_in, own) = t.signed_in_user("ada").await;
        let watch = pb::WatchEventsRequest::default();
        let mut events = own.events().watch_events(watch).await.answered();
        events.message().await.unwrap().unwrap();
        if by_session {
            let request = pb::SignOutRequest { plaintext_token: signed_in.plaintext_token, ..Default::default() };
            t.admin().authentication().sign_out(request).await.unwrap();
        } else {
            t.advance(Duration::from_mins(11));
        }
        let ended = async {
            loop {
                if let Err(status) = events.message().await {
                    return status;
                }
            }
        };
        let status =
            tokio::time::timeout(Duration::from_mins(1), ended).await.unwrap_or_else(|_| panic!("{}", user.id));
        refused(Err::<(), _>(status), ErrorReason::Unauthenticated);
    }
}

#[both]
async fn a_forged_token_and_that_of_another_session_are_rejected_and_end_nothing(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (one, first) = t.session(&ada).await;
    let (_, current) = t.rotate(&first).await.unwrap();
    let (_, other) = t.session(&ada).await;
    let id = one.id.parse::<uuid::Uuid>().unwrap().into();
    let generation = |number: u128| to_base62(number, 11);
    let mut forged = vec![
        // Tokens of this session with the generation or the tag of another token.
        checked(&format!("{}{}", &first[..28], &other[28..83])),
        checked(&format!("{}{}", &other[..28], &current[28..83])),
        checked(&format!("{}{}", &current[..39], &first[39..83])),
        checked(&format!("{}{}{}", &current[..28], generation(3), &current[39..83])),
        checked(&format!("{}{}{}", &current[..28], generation(0), &current[39..83])),
        checked(&format!("{}{}{}", &current[..28], generation(u128::from(u64::MAX)), &current[39..83])),
        checked(&format!("{}{}", &current[..39], "0".repeat(44))),
        format!("{}000000", &current[..83]),
    ];
    for number in [0, 1, 2, 3, i64::MAX] {
        forged.push(SecretPrefixes::default().refresh_token(&SessionSecret::random(), id, number).expose().to_owned());
    }
    for token in &forged {
        refused(t.rotate(token).await, ErrorReason::RefreshTokenRejected);
        let sign_out = pb::SignOutRequest { plaintext_token: token.clone(), ..Default::default() };
        refused(t.admin().authentication().sign_out(sign_out).await, ErrorReason::RefreshTokenRejected);
        let revoke = pb::RevokeRefreshTokenRequest { plaintext_token: token.clone(), ..Default::default() };
        refused(t.admin().refresh_tokens().revoke_refresh_token(revoke).await, ErrorReason::RefreshTokenRejected);
    }
    t.rotate(&current).await.unwrap();
    t.rotate(&other).await.unwrap();
}

#[both(options = ["--sealing-keys", SEALING_KEYS])]
async fn a_token_that_its_session_has_not_made_yet_is_rejected_and_ends_nothing(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (session, first) = t.session(&ada).await;
    for ahead in [2, 3, i64::MAX] {
        let token = token_of(&t, &session, ahead).await;
        refused(t.rotate(&token).await, ErrorReason::RefreshTokenRejected);
    }
    t.rotate(&first).await.unwrap();
}

#[both(options = ["--sealing-keys", SEALING_KEYS])]
async fn after_the_last_generation_a_session_cannot_be_refreshed_and_can_be_ended(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (session, first) = t.session(&ada).await;
    let last = aged(&t, &session, i64::MAX).await;
    refused(t.rotate(&last).await, ErrorReason::RefreshTokenRejected);
    assert_eq!(live(&t, &ada).await.len(), 1);
    refused(t.rotate(&first).await, ErrorReason::RefreshTokenRejected);
    assert!(live(&t, &ada).await.is_empty());
}

#[both(options = ["--sealing-keys", SEALING_KEYS])]
async fn a_session_of_a_million_refreshes_knows_its_tokens_and_ends(t: Arc<Test>) {
    let (user, first) = session(&t).await;
    let session = first.session.clone().unwrap();
    let current = aged(&t, &session, 1_000_000).await;
    let next = refresh(&t, &current).await.unwrap();
    let early = token_of(&t, &session, 500_000).await;
    refused(refresh(&t, &early).await, ErrorReason::RefreshTokenRejected);
    refused(refresh(&t, &next.plaintext_token).await, ErrorReason::RefreshTokenRejected);
    refused(get(&t.with_key(&next.access_token), &user).await, ErrorReason::Unauthenticated);
    assert_eq!(rows(&t).await, 1);
}

#[both(options = ["--rotation-grace", "10s"])]
async fn within_the_grace_the_token_before_the_last_one_ends_the_session(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (_, one) = t.session(&ada).await;
    let (_, two) = t.rotate(&one).await.unwrap();
    let (_, three) = t.rotate(&two).await.unwrap();
    assert_eq!(t.rotate(&two).await.unwrap().1, three);
    refused(t.rotate(&one).await, ErrorReason::RefreshTokenRejected);
    refused(t.rotate(&three).await, ErrorReason::RefreshTokenRejected);
}

#[both(options = ["--rotation-grace", "10s"])]
async fn within_the_grace_a_suspended_organization_ends_no_session(t: Arc<Test>) {
    let (user, first) = session(&t).await;
    let acme = t.organization(&user).await;
    let request = pb::RefreshRequest {
        plaintext_token: first.plaintext_token.clone(),
        organization_id: Some(acme.id.clone()),
        ..Default::default()
    };
    let second = t.admin().authentication().refresh(request).await.answered().issued();
    let suspend = pb::SuspendOrganizationRequest { organization_id: acme.id.clone(), ..Default::default() };
    t.admin().organizations().suspend_organization(suspend).await.unwrap();
    refused(refresh(&t, &first.plaintext_token).await, ErrorReason::RefreshTokenRejected);
    let reactivate = pb::ReactivateOrganizationRequest { organization_id: acme.id, ..Default::default() };
    t.admin().organizations().reactivate_organization(reactivate).await.unwrap();
    assert_eq!(refresh(&t, &first.plaintext_token).await.unwrap().plaintext_token, second.plaintext_token);
}

#[both]
async fn the_newest_hundred_ended_sessions_of_a_user_are_kept(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    t.session(&bob).await;
    let ended = async |sessions: usize| {
        for _ in 0..sessions {
            t.session(&ada).await;
        }
        let all = pb::RevokeAllSessionsRequest { user_id: ada.id.clone(), ..Default::default() };
        t.admin().sessions().revoke_all_sessions(all).await.unwrap();
    };
    ended(60).await;
    // The first 60 are revoked, the next 60 expire.
    for _ in 0..60 {
        t.session(&ada).await;
    }
    assert_eq!(rows(&t).await, 121);
    t.advance(31 * DAY);
    ended(60).await;
    let (_, live) = t.session(&ada).await;
    assert_eq!(rows(&t).await, 1 + 100 + 1);
    t.rotate(&live).await.unwrap();
}

#[both]
async fn all_live_sessions_that_are_for_an_organization_end_and_no_others(t: Arc<Test>) {
    let (user, first) = session(&t).await;
    let (acme, other) = (t.organization(&user).await, t.organization(&user).await);
    let for_organization = async |id: &str| {
        let request = pb::SignInRequest {
            email: user.email.clone(),
            password: PASSWORD.to_owned(),
            organization_id: id.to_owned(),
            ..Default::default()
        };
        t.admin().authentication().sign_in(request).await.answered().issued().plaintext_token
    };
    let (one, two, kept) =
        (for_organization(&acme.id).await, for_organization(&acme.id).await, for_organization(&other.id).await);
    // A session that switched to the organization in a refresh.
    let request = pb::RefreshRequest {
        plaintext_token: first.plaintext_token,
        organization_id: Some(acme.id.clone()),
        ..Default::default()
    };
    let three = t.admin().authentication().refresh(request).await.answered().issued().plaintext_token;
    let database = Database::open(&args(&t.database.url(), &[]).database, Duration::from_secs(5)).await.unwrap();
    let (id, now) = (OrganizationId(acme.id.parse().unwrap()), tenantry::clock::Clock::now(&*t.clock));
    let end = || {
        by_system(&database, tenantry::grpc::ENCODERS.event, &*t.clock, async |tx| {
            tx.sessions().end_of_organization(id, now).await
        })
    };
    assert_eq!(end().await.unwrap(), 3);
    assert_eq!(end().await.unwrap(), 0);
    for ended in [one, two, three] {
        refused(refresh(&t, &ended).await, ErrorReason::RefreshTokenRejected);
    }
    refresh(&t, &kept).await.unwrap();
    let revoked = pb::ListEventsRequest { actions: vec!["session.revoked".to_owned()], ..Default::default() };
    assert_eq!(list(&t.admin(), revoked).await.len(), 3);
}

/// A token's text with its checksum.
fn checked(body: &str) -> String {
    format!("{body}{}", to_base62(crc32fast::hash(body.as_bytes()).into(), 6))
}

/// The number of session rows of all users.
async fn rows(t: &Test) -> usize {
    t.database.texts("SELECT 'x' AS value FROM cf_sessions").await.len()
}

/// The id of a session, as SQL.
fn sql_id(t: &Test, session: &pb::Session) -> String {
    match t.database {
        TestDatabase::Sqlite(_) => format!("x'{}'", session.id.replace('-', "")),
        TestDatabase::Postgres(_) => format!("'{}'", session.id),
    }
}

/// The text of a session's token of a generation, on a server that has [`SEALING_KEYS`].
async fn token_of(t: &Test, session: &pb::Session, generation: i64) -> String {
    let sealed = match t.database {
        TestDatabase::Sqlite(_) => "lower(hex(secret_sealed))",
        TestDatabase::Postgres(_) => "encode(secret_sealed, 'hex')",
    };
    let query = format!("SELECT {sealed} AS value FROM cf_sessions WHERE id = {}", sql_id(t, session));
    let hex = t.database.texts(&query).await.remove(0);
    let sealed = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    let (row, owner) = (session.id.parse::<uuid::Uuid>().unwrap(), session.user_id.parse().unwrap());
    let place = SealedAt { table: "cf_sessions", column: "secret_sealed", row, owner };
    let secret = KeyRing::parse(SEALING_KEYS).unwrap().open(&tenantry::models::Sealed::new(sealed), place).unwrap();
    SecretPrefixes::default()
        .refresh_token(&SessionSecret::from_bytes(&secret).unwrap(), row.into(), generation)
        .expose()
        .to_owned()
}

/// Makes a session one that was refreshed so often, and tells its current token: all that a refresh leaves is the count.
async fn aged(t: &Test, session: &pb::Session, generation: i64) -> String {
    let id = sql_id(t, session);
    t.database.execute(&format!("UPDATE cf_sessions SET generation = {generation} WHERE id = {id}")).await;
    token_of(t, session, generation).await
}

/// The median duration of an operation on a fresh session and on an aged one, measured alternately.
async fn medians<F>(samples: usize, mut one: impl FnMut(bool) -> F) -> (Duration, Duration)
where
    F: Future<Output = Duration>,
{
    let (mut fresh, mut aged) = (Vec::new(), Vec::new());
    for _ in 0..samples {
        fresh.push(one(false).await);
        aged.push(one(true).await);
    }
    fresh.sort_unstable();
    aged.sort_unstable();
    (fresh[samples / 2], aged[samples / 2])
}

/// Asserts that an operation takes at most twice as long on an aged session. A busy machine gets more attempts.
async fn takes_no_longer<F>(what: &str, backend: Backend, samples: usize, mut one: impl FnMut(bool) -> F)
where
    F: Future<Output = Duration>,
{
    let mut seen = Vec::new();
    for _ in 0..10 {
        let (fresh, aged) = medians(samples, &mut one).await;
        if aged <= fresh * 2 {
            println!("{backend:?} {what}: {fresh:?} on a fresh session, {aged:?} on an aged one");
            return;
        }
        seen.push((fresh, aged));
    }
    panic!("{backend:?} {what} takes longer on an aged session: {seen:?}");
}

/// Number of real refreshes in the slow test, before the count is set to a million.
const REFRESHES: usize = 20_000;

/// Starts a session and rotates its token, a million times if it is aged. Returns the spent token and the current one.
async fn rotated(t: &Test, user: &pb::User, is_aged: bool) -> (String, String) {
    let (session, spent) = t.session(user).await;
    let second = t.rotate(&spent).await.unwrap().1;
    let current = if is_aged { aged(t, &session, 1_000_000).await } else { second };
    (spent, current)
}

#[both(long)]
async fn slow_a_session_of_a_million_refreshes_is_refreshed_and_ended_as_fast_as_a_fresh_one(backend: Backend) {
    crate::support::run(backend, &["--sealing-keys", SEALING_KEYS], |t: Arc<Test>| async move {
        let (user, first) = session(&t).await;
        let long = first.session.clone().unwrap();
        let mut token = first.plaintext_token;
        for _ in 0..REFRESHES {
            token = refresh(&t, &token).await.unwrap().plaintext_token;
        }
        assert_eq!(rows(&t).await, 1, "a refresh adds no row");
        let current = aged(&t, &long, 1_000_000).await;
        let tokens = tokio::sync::Mutex::new([t.signed_in(&user).await.plaintext_token, current]);
        takes_no_longer("Refresh", backend, 51, async |is_aged| {
            let token = &mut tokens.lock().await[usize::from(is_aged)];
            let begun = Instant::now();
            let next = refresh(&t, token).await.unwrap();
            let took = begun.elapsed();
            *token = next.plaintext_token;
            took
        })
        .await;
        // Ending a session needs a new one each time.
        takes_no_longer("reuse", backend, 15, async |is_aged| {
            let (spent, current) = rotated(&t, &user, is_aged).await;
            let begun = Instant::now();
            refused(refresh(&t, &spent).await, ErrorReason::RefreshTokenRejected);
            let took = begun.elapsed();
            refused(refresh(&t, &current).await, ErrorReason::RefreshTokenRejected);
            took
        })
        .await;
        takes_no_longer("SignOut", backend, 15, async |is_aged| {
            let (_, current) = rotated(&t, &user, is_aged).await;
            let request = pb::SignOutRequest { plaintext_token: current, ..Default::default() };
            let begun = Instant::now();
            assert_eq!(t.admin().authentication().sign_out(request).await.answered().ended_sessions, 1);
            begun.elapsed()
        })
        .await;
        let passwords = tokio::sync::Mutex::new([PASSWORD.to_owned(), "eleven dry cats in a barn".to_owned()]);
        takes_no_longer("ChangePassword", backend, 15, async |is_aged| {
            rotated(&t, &user, is_aged).await;
            let mut passwords = passwords.lock().await;
            let request = pb::ChangePasswordRequest {
                user_id: user.id.clone(),
                current_password: passwords[0].clone(),
                new_password: passwords[1].clone(),
                ..Default::default()
            };
            let begun = Instant::now();
            let changed = t.admin().authentication().change_password(request).await.answered();
            let took = begun.elapsed();
            assert!(changed.ended_sessions >= 1);
            passwords.swap(0, 1);
            took
        })
        .await;
        assert!(rows(&t).await <= 202, "the number of ended sessions is bounded");
    })
    .await;
}

/// Presents one token in concurrent calls. Returns how many get a successor.
async fn race(t: &Arc<Test>, token: &str, callers: usize) -> usize {
    let barrier = Arc::new(Barrier::new(callers));
    let mut calls = JoinSet::new();
    for _ in 0..callers {
        let (t, token, barrier) = (Arc::clone(t), token.to_owned(), Arc::clone(&barrier));
        calls.spawn(async move {
            barrier.wait().await;
            refresh(&t, &token).await.is_ok()
        });
    }
    calls.join_all().await.into_iter().filter(|won| *won).count()
}

/// Refreshes a session again and again while it is signed out: after both, nothing of it works.
async fn end_against_refresh(t: &Arc<Test>, user: &pb::User, first: pb::IssuedSession) {
    let refreshing = tokio::spawn({
        let (t, mut token) = (Arc::clone(t), first.plaintext_token.clone());
        async move {
            while let Ok(next) = refresh(&t, &token).await {
                token = next.plaintext_token;
            }
            token
        }
    });
    tokio::task::yield_now().await;
    let request = pb::SignOutRequest { plaintext_token: first.plaintext_token, ..Default::default() };
    t.admin().authentication().sign_out(request).await.unwrap();
    let last = refreshing.await.unwrap();
    refused(refresh(t, &last).await, ErrorReason::RefreshTokenRejected);
    assert!(live(t, user).await.is_empty());
}

#[both(long)]
async fn slow_r18_five_hundred_races_with_one_token(backend: Backend) {
    let body = async |t: Arc<Test>| {
        for round in 0..500 {
            let (user, first) = session(&t).await;
            let wins = race(&t, &first.plaintext_token, 64).await;
            assert!(wins <= 1 && live(&t, &user).await.len() <= 1, "round {round}: {wins} win");
        }
    };
    crate::support::run(backend, &[], body).await;
}

#[both(long)]
async fn slow_r21_five_hundred_ends_against_a_refresh(backend: Backend) {
    let body = async |t: Arc<Test>| {
        for _ in 0..500 {
            let (user, first) = session(&t).await;
            end_against_refresh(&t, &user, first).await;
        }
    };
    crate::support::run(backend, &[], body).await;
}

#[both]
async fn r20_that_a_token_was_used_is_known_after_a_crash(backend: Backend) {
    let database = TestDatabase::empty(backend).await;
    let mut server = Serving::on(&database).await;
    let key = server.first_admin_key.clone().unwrap();
    let email = server.user_with_password(&key).await.email;
    let request = pb::SignInRequest { email, password: PASSWORD.to_owned(), ..Default::default() };
    let first = server.with_key(&key).authentication().sign_in(request).await.answered().issued();
    let go_on = |token: &str| pb::RefreshRequest { plaintext_token: token.to_owned(), ..Default::default() };
    let second =
        server.with_key(&key).authentication().refresh(go_on(&first.plaintext_token)).await.answered().issued();
    server.crash();
    let server = Serving::on(&database).await;
    let mut api = server.with_key(&key).authentication();
    refused(api.refresh(go_on(&first.plaintext_token)).await, ErrorReason::RefreshTokenRejected);
    refused(api.refresh(go_on(&second.plaintext_token)).await, ErrorReason::RefreshTokenRejected);
    drop(server);
    database.remove().await;
}
