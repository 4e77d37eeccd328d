//! `RefreshTokenService.RotateRefreshToken`.

use std::sync::Arc;

use tenantry::{
    models::SessionId,
    pb::{self, ErrorReason},
    security::token::{SecretPrefixes, SessionSecret},
};

use crate::support::{DAY, Test, both, held::Held, refused, rounds};

#[both]
async fn a_token_is_traded_for_its_successor_and_works_once(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (first, one) = t.session(&ada).await;
    let (second, two) = t.rotate(&one).await.unwrap();
    assert_ne!(one, two);
    assert_eq!((&second.id, second.created_at, second.ends_at), (&first.id, first.created_at, first.ends_at));
    assert!(first.refreshed_at.is_none() && second.refreshed_at.is_some());
    let (third, three) = t.rotate(&two).await.unwrap();
    assert_eq!(third.id, first.id);
    // Reuse of any spent token ends the session.
    refused(t.rotate(&one).await, ErrorReason::RefreshTokenRejected);
    refused(t.rotate(&three).await, ErrorReason::RefreshTokenRejected);
    let reason = t.database.texts("SELECT DISTINCT revoked_reason AS value FROM cf_sessions").await;
    assert_eq!(reason, ["reused"]);
}

#[both]
async fn order_needs_no_time(t: Arc<Test>) {
    // All at one moment of the clock: a spent token stays spent, whatever the time.
    let ada = t.user("ada").await;
    let (_, one) = t.session(&ada).await;
    let (_, two) = t.rotate(&one).await.unwrap();
    refused(t.rotate(&one).await, ErrorReason::RefreshTokenRejected);
    refused(t.rotate(&two).await, ErrorReason::RefreshTokenRejected);
}

#[both]
async fn of_64_that_present_one_token_at_once_one_wins(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let clients: Vec<_> = (0..8).map(|_| t.admin()).collect();
    for round in 0..rounds(24) {
        let (_, token) = t.session(&ada).await;
        let calls = (0..64).map(|call| {
            let mut tokens = clients[call % clients.len()].refresh_tokens();
            let request = pb::RotateRefreshTokenRequest { plaintext_token: token.clone(), ..Default::default() };
            tokio::spawn(async move { tokens.rotate_refresh_token(request).await })
        });
        let mut won = 0;
        for call in calls.collect::<Vec<_>>() {
            match call.await.unwrap() {
                Ok(_) => won += 1,
                refusal => drop(refused(refusal, ErrorReason::RefreshTokenRejected)),
            }
        }
        assert_eq!(won, 1, "round {round}");
    }
    let live = "SELECT CAST(count(*) AS text) AS value FROM cf_sessions WHERE revoked_at IS NULL";
    assert_eq!(t.database.texts(live).await, ["0"], "reuse ends every session");
}

#[both]
async fn a_revocation_ends_a_session_however_fast_it_is_rotated(t: Arc<Test>) {
    let ada = t.user("ada").await;
    for round in 0..rounds(24) {
        let (first, mut token) = t.session(&ada).await;
        let rotate = async {
            let mut rotations = 0;
            while let Ok((_, successor)) = t.rotate(&token).await {
                (token, rotations) = (successor, rotations + 1);
                assert!(rotations < 10_000, "round {round}: the session does not end");
            }
        };
        let revoke = async {
            if round % 2 == 0 {
                let request = pb::RevokeSessionRequest { session_id: first.id.clone(), ..Default::default() };
                t.admin().sessions().revoke_session(request).await.unwrap();
            } else {
                let request = pb::RevokeAllSessionsRequest { user_id: ada.id.clone(), ..Default::default() };
                let revoked = t.admin().sessions().revoke_all_sessions(request).await.unwrap();
                assert_eq!(revoked.into_inner().ended_sessions, 1);
            }
            let live = "SELECT CAST(count(*) AS text) AS value FROM cf_sessions WHERE revoked_at IS NULL";
            assert_eq!(t.database.texts(live).await, ["0"], "round {round}");
        };
        tokio::join!(rotate, revoke);
    }
}

#[both]
async fn a_revocation_that_comes_upon_a_token_being_traded_ends_its_successor(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (_, first) = t.session(&ada).await;
    let (current, token) = t.rotate(&first).await.unwrap();
    let mut held = Held::row(&t, "cf_sessions", &current.id).await;
    let rotate = tokio::spawn({
        let t = t.clone();
        async move { t.rotate(&token).await }
    });
    held.is_waited_for(1).await;
    let revoke = tokio::spawn({
        let (t, user_id) = (t.clone(), ada.id.clone());
        let request = pb::RevokeAllSessionsRequest { user_id, ..Default::default() };
        async move { t.admin().sessions().revoke_all_sessions(request).await }
    });
    held.is_waited_for(2).await;
    held.release().await;
    assert_eq!(revoke.await.unwrap().unwrap().into_inner().ended_sessions, 1);
    if let Ok((_, successor)) = rotate.await.unwrap() {
        refused(t.rotate(&successor).await, ErrorReason::RefreshTokenRejected);
    }
    let live = "SELECT CAST(count(*) AS text) AS value FROM cf_sessions WHERE revoked_at IS NULL";
    assert_eq!(t.database.texts(live).await, ["0"]);
}

#[both]
async fn the_id_of_a_session_without_its_secret_is_worth_nothing(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (token, text) = t.session(&ada).await;
    let forged =
        SecretPrefixes::default().refresh_token(&SessionSecret::random(), SessionId(token.id.parse().unwrap()), 1);
    refused(t.rotate(forged.expose()).await, ErrorReason::RefreshTokenRejected);
    let request = pb::RevokeRefreshTokenRequest { plaintext_token: forged.expose().to_owned(), ..Default::default() };
    refused(t.admin().refresh_tokens().revoke_refresh_token(request).await, ErrorReason::RefreshTokenRejected);
    t.rotate(&text).await.unwrap();
}

#[both]
async fn a_session_has_an_absolute_end(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (_, mut token) = t.session(&ada).await;
    for _ in 0..4 {
        t.advance(20 * DAY);
        token = t.rotate(&token).await.unwrap().1;
    }
    t.advance(9 * DAY);
    let (last, token) = t.rotate(&token).await.unwrap();
    assert_eq!(last.expires_at, last.ends_at);
    t.advance(2 * DAY);
    refused(t.rotate(&token).await, ErrorReason::RefreshTokenRejected);
}

#[both]
async fn a_token_that_is_not_rotated_expires(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (_, token) = t.session(&ada).await;
    t.advance(31 * DAY);
    refused(t.rotate(&token).await, ErrorReason::RefreshTokenRejected);
}

#[both]
async fn every_token_that_cannot_be_used_is_refused_alike(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let (_, used) = t.session(&ada).await;
    let (_, revoked) = t.rotate(&used).await.unwrap();
    let (_, suspended) = t.session(&eve).await;
    let (_, expired) = t.session(&ada).await;
    t.suspend(&eve).await;
    t.advance(31 * DAY);
    let unknown = &format!("cf_rt_{}", "0".repeat(83));
    let mut answers = Vec::new();
    for token in [&used, &revoked, &suspended, &expired, unknown, "cf_rt_", "garbage"] {
        let status = refused(t.rotate(token).await, ErrorReason::RefreshTokenRejected);
        answers.push((status.code(), status.message().to_owned(), status.details().to_vec()));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
    refused(t.rotate("").await, ErrorReason::InvalidArgument);
}

#[both]
async fn a_foreign_token_is_rejected_and_stays_good(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    let (_, token) = t.session(&ada).await;
    for key in [t.user_key(&eve).await, t.organization_key(&acme).await] {
        let request = pb::RotateRefreshTokenRequest { plaintext_token: token.clone(), ..Default::default() };
        refused(
            t.with_key(&key).refresh_tokens().rotate_refresh_token(request).await,
            ErrorReason::RefreshTokenRejected,
        );
    }
    t.rotate(&token).await.unwrap();
}

#[both(options = ["--rotation-grace", "10s"])]
async fn within_the_grace_the_same_unused_successor_is_answered_again(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (_, one) = t.session(&ada).await;
    let (second, two) = t.rotate(&one).await.unwrap();
    assert_eq!(t.rotate(&one).await.unwrap(), (second, two.clone()));
    // Once the successor is used, it is no longer returned: the token counts as stolen.
    let (_, three) = t.rotate(&two).await.unwrap();
    refused(t.rotate(&one).await, ErrorReason::RefreshTokenRejected);
    refused(t.rotate(&three).await, ErrorReason::RefreshTokenRejected);

    let (_, one) = t.session(&ada).await;
    let (_, two) = t.rotate(&one).await.unwrap();
    t.advance(std::time::Duration::from_secs(11));
    refused(t.rotate(&one).await, ErrorReason::RefreshTokenRejected);
    refused(t.rotate(&two).await, ErrorReason::RefreshTokenRejected);
}

#[both(options = ["--rotation-grace", "10s"])]
async fn within_the_grace_all_that_present_one_token_get_one_successor(t: Arc<Test>) {
    let ada = t.user("ada").await;
    for round in 0..20 {
        let (_, token) = t.session(&ada).await;
        let calls = (0..16).map(|_| {
            let (t, token) = (t.clone(), token.clone());
            tokio::spawn(async move { t.rotate(&token).await.unwrap().1 })
        });
        let mut successors = Vec::new();
        for call in calls.collect::<Vec<_>>() {
            successors.push(call.await.unwrap());
        }
        successors.dedup();
        assert_eq!(successors.len(), 1, "round {round}");
    }
}
