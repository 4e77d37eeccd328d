//! `RefreshTokenService.RotateRefreshToken`.

use tenantry::pb::{self, ErrorReason};

use crate::support::{DAY, both, refused};

both! {
    async fn a_token_is_traded_for_its_successor_and_works_once(t) {
        let ada = t.user("ada").await;
        let (first, one) = t.session(&ada).await;
        let (second, two) = t.rotate(&one).await.unwrap();
        assert_ne!((&first.id, &one), (&second.id, &two));
        assert_eq!((&second.family_id, second.family_expires_at), (&first.family_id, first.family_expires_at));
        let (third, three) = t.rotate(&two).await.unwrap();
        assert_eq!(third.family_id, first.family_id);
        // Reuse of any traded token ends the family.
        refused(t.rotate(&one).await, ErrorReason::RefreshTokenRejected);
        refused(t.rotate(&three).await, ErrorReason::RefreshTokenRejected);
        let reason = t.database.texts("SELECT DISTINCT revoked_reason AS value FROM cf_refresh_tokens").await;
        assert_eq!(reason, ["reused"]);
    }

    async fn order_needs_no_time(t) {
        // All in one moment of the clock: what was traded is traded, whatever the time.
        let ada = t.user("ada").await;
        let (_, one) = t.session(&ada).await;
        let (_, two) = t.rotate(&one).await.unwrap();
        refused(t.rotate(&one).await, ErrorReason::RefreshTokenRejected);
        refused(t.rotate(&two).await, ErrorReason::RefreshTokenRejected);
    }

    async fn of_64_that_present_one_token_at_once_one_wins(t) {
        let ada = t.user("ada").await;
        let clients: Vec<_> = (0..8).map(|_| t.admin()).collect();
        for round in 0..200 {
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
        let live = "SELECT CAST(count(*) AS text) AS value FROM cf_refresh_tokens WHERE revoked_at IS NULL";
        assert_eq!(t.database.texts(live).await, ["0"], "reuse ends every family");
    }

    async fn a_revocation_and_a_rotation_do_not_miss_each_other(t) {
        let ada = t.user("ada").await;
        for round in 0..50 {
            let (first, token) = t.session(&ada).await;
            let key = Some(pb::revoke_refresh_token_request::Key::RefreshTokenId(first.id.clone()));
            let mut tokens = t.admin().refresh_tokens();
            let (rotated, revoked) =
                tokio::join!(t.rotate(&token), tokens.revoke_refresh_token(pb::RevokeRefreshTokenRequest { key, ..Default::default() }));
            revoked.unwrap();
            if let Ok((_, successor)) = rotated {
                refused(t.rotate(&successor).await, ErrorReason::RefreshTokenRejected);
            }
            let live = "SELECT CAST(count(*) AS text) AS value FROM cf_refresh_tokens WHERE revoked_at IS NULL";
            assert_eq!(t.database.texts(live).await, ["0"], "round {round}");
        }
    }

    async fn a_session_has_an_absolute_end(t) {
        let ada = t.user("ada").await;
        let (_, mut token) = t.session(&ada).await;
        for _ in 0..4 {
            t.advance(20 * DAY);
            token = t.rotate(&token).await.unwrap().1;
        }
        t.advance(9 * DAY);
        let (last, token) = t.rotate(&token).await.unwrap();
        assert_eq!(last.expires_at, last.family_expires_at);
        t.advance(2 * DAY);
        refused(t.rotate(&token).await, ErrorReason::RefreshTokenRejected);
    }

    async fn a_token_that_is_not_rotated_expires(t) {
        let ada = t.user("ada").await;
        let (_, token) = t.session(&ada).await;
        t.advance(31 * DAY);
        refused(t.rotate(&token).await, ErrorReason::RefreshTokenRejected);
    }

    async fn every_token_that_cannot_be_used_is_refused_alike(t) {
        let (ada, eve) = (t.user("ada").await, t.user("eve").await);
        let (_, used) = t.session(&ada).await;
        let (_, revoked) = t.rotate(&used).await.unwrap();
        let (_, suspended) = t.session(&eve).await;
        let (_, expired) = t.session(&ada).await;
        t.suspend(&eve).await;
        t.advance(31 * DAY);
        let unknown = "cf_rt_0000000000000000000000000000000000000000000000000";
        let mut answers = Vec::new();
        for token in [&used, &revoked, &suspended, &expired, unknown, "cf_rt_", "garbage"] {
            let status = refused(t.rotate(token).await, ErrorReason::RefreshTokenRejected);
            answers.push((status.code(), status.message().to_owned(), status.details().to_vec()));
        }
        answers.dedup();
        assert_eq!(answers.len(), 1);
        refused(t.rotate("").await, ErrorReason::InvalidArgument);
    }

    async fn a_foreign_token_is_rejected_and_stays_good(t) {
        let (ada, eve) = (t.user("ada").await, t.user("eve").await);
        let acme = t.organization(&ada).await;
        let (_, token) = t.session(&ada).await;
        for key in [t.user_key(&eve).await, t.organization_key(&acme).await] {
            let request = pb::RotateRefreshTokenRequest { plaintext_token: token.clone(), ..Default::default() };
            refused(t.with_key(&key).refresh_tokens().rotate_refresh_token(request).await, ErrorReason::RefreshTokenRejected);
        }
        t.rotate(&token).await.unwrap();
    }

    with ["--rotation-grace", "10s"] async fn within_the_grace_the_same_unused_successor_is_answered_again(t) {
        let ada = t.user("ada").await;
        let (_, one) = t.session(&ada).await;
        let (second, two) = t.rotate(&one).await.unwrap();
        assert_eq!(t.rotate(&one).await.unwrap(), (second, two.clone()));
        // Not to a suspended user, whose session goes on after that.
        t.suspend(&ada).await;
        refused(t.rotate(&one).await, ErrorReason::RefreshTokenRejected);
        t.reactivate(&ada).await;
        assert_eq!(t.rotate(&one).await.unwrap().1, two);
        // Used itself, the successor is told to nobody any more: the token is taken for stolen.
        let (_, three) = t.rotate(&two).await.unwrap();
        refused(t.rotate(&one).await, ErrorReason::RefreshTokenRejected);
        refused(t.rotate(&three).await, ErrorReason::RefreshTokenRejected);

        let (_, one) = t.session(&ada).await;
        let (_, two) = t.rotate(&one).await.unwrap();
        t.advance(std::time::Duration::from_secs(11));
        refused(t.rotate(&one).await, ErrorReason::RefreshTokenRejected);
        refused(t.rotate(&two).await, ErrorReason::RefreshTokenRejected);
    }

    with ["--rotation-grace", "10s"] async fn within_the_grace_all_that_present_one_token_get_one_successor(t) {
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
}
