//! Attacks on passwords, on the counters of failures, and on mailed tokens.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tenantry::{
    clock::MovableClock,
    pb::{self, ErrorReason, create_api_key_request::Owner},
    server::Server,
};
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::{
    authentication::sign_in,
    support::{
        Answered as _, Api, Backend, DAY, MISSING_ID, Test, args, both,
        database::TestDatabase,
        follow::list,
        given::{Issued as _, PASSWORD, unique},
        refusal::reason_of,
        refused, statements,
    },
};

/// A bcrypt hash of 100 times `x`. bcrypt uses the first 72 bytes.
const OF_100_X: &str = "$2b$04$6JCoDZzz73r3sghjxStFDurrmjO1JuzPbW0GKPIvUglcX0C7zSP7C";

/// Signs in from an address, as the application does.
async fn from(t: &Test, address: &str, email: &str, password: &str) -> Result<pb::IssuedSession, Status> {
    let request = pb::SignInRequest {
        email: email.to_owned(),
        password: password.to_owned(),
        ip_address: address.to_owned(),
        ..Default::default()
    };
    t.admin().authentication().sign_in(request).await.map(|answer| answer.into_inner().issued())
}

/// A user with [`PASSWORD`].
async fn with_password(t: &Test, name: &str) -> pb::User {
    let user = t.user(name).await;
    t.give_password(&user).await;
    user
}

/// Verifies a user's password from an address.
async fn verify(api: &Api, user: &pb::User, address: &str, password: &str) -> Result<(), Status> {
    let request = pb::VerifyPasswordRequest {
        user_id: user.id.clone(),
        password: password.to_owned(),
        ip_address: address.to_owned(),
        ..Default::default()
    };
    api.authentication().verify_password(request).await.map(drop)
}

/// Number of wrong passwords that were compared and are still counted.
async fn compared(t: &Test) -> i64 {
    let sum = "SELECT CAST(coalesce(sum(failures), 0) AS text) AS value FROM cf_sign_in_failures";
    t.database.texts(sum).await[0].parse().unwrap()
}

/// Tries wrong passwords of unknown users from an address until it is refused.
async fn fill(t: &Test, address: &str) {
    loop {
        let email = format!("{}@example.com", unique("guess"));
        let reason = reason_of(&from(t, address, &email, "wrong").await.unwrap_err());
        if reason == "TOO_MANY_ATTEMPTS" {
            return;
        }
        assert_eq!(reason, "SIGN_IN_REJECTED");
    }
}

/// An id in the form of a bound value in a statement.
fn bound(t: &Test, id: &str) -> String {
    match t.database {
        TestDatabase::Sqlite(_) => {
            let bytes = uuid::Uuid::parse_str(id).unwrap().into_bytes();
            bytes.map(|byte| byte.to_string()).join(", ")
        }
        TestDatabase::Postgres(_) => id.to_owned(),
    }
}

async fn start_reset(t: &Test, user: &pb::User) -> pb::StartPasswordResetResponse {
    let request = pb::StartPasswordResetRequest { email: user.email.clone(), ..Default::default() };
    t.admin().authentication().start_password_reset(request).await.answered()
}

async fn reset(t: &Test, token: &str) -> Result<(), Status> {
    let request = pb::ConfirmPasswordResetRequest {
        plaintext_token: token.to_owned(),
        new_password: "eleven dry cats in a barn".to_owned(),
        ..Default::default()
    };
    t.admin().authentication().confirm_password_reset(request).await.map(drop)
}

async fn start_change(t: &Test, user: &pb::User, new_email: &str) -> pb::StartEmailChangeResponse {
    let request =
        pb::StartEmailChangeRequest { user_id: user.id.clone(), new_email: new_email.to_owned(), ..Default::default() };
    t.admin().authentication().start_email_change(request).await.answered()
}

async fn confirm_change(t: &Test, token: &str) -> Result<pb::User, Status> {
    let request = pb::ConfirmEmailChangeRequest { plaintext_token: token.to_owned(), ..Default::default() };
    t.admin().authentication().confirm_email_change(request).await.map(|answer| answer.into_inner().user.unwrap())
}

async fn start_verification(t: &Test, user: &pb::User) -> pb::StartEmailVerificationResponse {
    let request = pb::StartEmailVerificationRequest { user_id: user.id.clone(), ..Default::default() };
    t.admin().authentication().start_email_verification(request).await.answered()
}

#[both]
async fn v11_no_number_of_sessions_lets_a_key_compare_more_than_a_hundred_wrong_passwords(t: Arc<Test>) {
    let user = with_password(&t, "ada").await;
    let (_, key) = t.key(Owner::UserId(user.id.clone()), &["refresh_tokens:write", "authentication:write"]).await;
    let api = t.with_key(&key);
    for at in 0..15 {
        let address = format!("198.51.100.{at}");
        let session = pb::CreateRefreshTokenRequest {
            user_id: user.id.clone(),
            ip_address: address.clone(),
            ..Default::default()
        };
        api.refresh_tokens().create_refresh_token(session).await.unwrap();
        for _ in 0..10 {
            refused(verify(&api, &user, &address, "wrong").await, ErrorReason::PasswordRejected);
        }
    }
    let compared = compared(&t).await;
    assert!((10..=100).contains(&compared), "{compared}");
}

#[both(options = ["--max-failures-per-address", "0", "--max-failures-per-caller", "0"])]
async fn v11_from_any_number_of_addresses_where_the_user_signed_in_at_most_a_hundred_wrong_passwords_are_compared(
    t: Arc<Test>,
) {
    let user = with_password(&t, "ada").await;
    let addresses: Vec<String> = (0..15).map(|at| format!("198.51.100.{at}")).collect();
    for address in &addresses {
        from(&t, address, &user.email, PASSWORD).await.unwrap();
    }
    for address in &addresses {
        for _ in 0..10 {
            refused(from(&t, address, &user.email, "wrong").await, ErrorReason::SignInRejected);
        }
    }
    // From elsewhere, as fast as the delays allow, for a day.
    for _ in 0..95 {
        refused(from(&t, "203.0.113.9", &user.email, "wrong").await, ErrorReason::SignInRejected);
        t.advance(Duration::from_mins(15));
    }
    let compared = compared(&t).await;
    assert!((60..=100).contains(&compared), "{compared}");
    // The account is not locked for good.
    t.advance(DAY);
    from(&t, &addresses[14], &user.email, PASSWORD).await.unwrap();
}

#[both(options = ["--max-failures-per-address", "0", "--max-failures-per-caller", "0"])]
async fn v11_concurrent_tries_from_familiar_addresses_are_all_counted(t: Arc<Test>) {
    let user = with_password(&t, "ada").await;
    let addresses: Vec<String> = (0..8).map(|at| format!("198.51.100.{at}")).collect();
    for address in &addresses {
        from(&t, address, &user.email, PASSWORD).await.unwrap();
    }
    let mut calls = tokio::task::JoinSet::new();
    for address in addresses {
        let (t, email) = (Arc::clone(&t), user.email.clone());
        calls.spawn(async move {
            let mut answered = 0;
            while answered < 10 {
                // Retries if all hashing threads are busy.
                answered +=
                    i32::from(reason_of(&from(&t, &address, &email, "wrong").await.unwrap_err()) == "SIGN_IN_REJECTED");
            }
        });
    }
    calls.join_all().await;
    assert_eq!(compared(&t).await, 50);
}

#[both(options = ["--max-failures-per-address", "0", "--max-failures-per-caller", "0"])]
async fn v11_guesses_from_elsewhere_or_from_one_familiar_address_do_not_keep_the_user_out_at_another(t: Arc<Test>) {
    let user = with_password(&t, "ada").await;
    let [office, home] = ["198.51.100.1", "198.51.100.2"];
    for address in [office, home] {
        from(&t, address, &user.email, PASSWORD).await.unwrap();
    }
    for _ in 0..100 {
        for address in [office, "203.0.113.9"] {
            refused(from(&t, address, &user.email, "wrong").await, ErrorReason::SignInRejected);
        }
        t.advance(Duration::from_mins(15));
    }
    refused(from(&t, office, &user.email, PASSWORD).await, ErrorReason::SignInRejected);
    refused(from(&t, "203.0.113.9", &user.email, PASSWORD).await, ErrorReason::SignInRejected);
    from(&t, home, &user.email, PASSWORD).await.unwrap();
}

#[both(options = ["--max-failures-per-caller", "5"])]
async fn v23_malformed_tokens_do_not_block_questions_about_valid_ones(t: Arc<Test>) {
    let (_, signed_in, _) = t.signed_in_user("ada").await;
    let ask = async |token: &str| {
        let request = pb::IntrospectTokenRequest { access_token: token.to_owned() };
        t.admin().authentication().introspect_token(request).await
    };
    for _ in 0..30 {
        assert!(!ask("eyJhbGciOiJFZERTQSJ9.e30.x").await.answered().active);
    }
    assert!(ask(&signed_in.access_token).await.answered().active);
    t.signed_in(&with_password(&t, "bob").await).await;
}

#[both(options = ["--max-failures-per-caller", "5"])]
async fn v23_wrong_passwords_from_one_address_keep_nobody_out_at_another(t: Arc<Test>) {
    let user = with_password(&t, "ada").await;
    for _ in 0..20 {
        let email = format!("{}@example.com", unique("guess"));
        refused(from(&t, "203.0.113.9", &email, "wrong").await, ErrorReason::SignInRejected);
    }
    from(&t, "198.51.100.1", &user.email, PASSWORD).await.unwrap();
    sign_in(&t, &user.email, PASSWORD).await.unwrap();
}

#[both(options = ["--max-failures-per-address", "1"])]
async fn i10_wrong_passwords_from_an_address_do_not_block_users_with_a_session_from_there(t: Arc<Test>) {
    let (here, elsewhere) = (with_password(&t, "ada").await, with_password(&t, "bob").await);
    let office = "198.51.100.1";
    from(&t, office, &here.email, PASSWORD).await.unwrap();
    from(&t, "198.51.100.2", &elsewhere.email, PASSWORD).await.unwrap();
    fill(&t, office).await;
    from(&t, office, &here.email, PASSWORD).await.unwrap();
    // All other users get the same answer, with or without an account or a session.
    for (email, password) in
        [(&elsewhere.email, PASSWORD), (&here.email, "wrong"), (&"nobody@example.com".to_owned(), PASSWORD)]
    {
        fill(&t, office).await;
        let status = refused(from(&t, office, email, password).await, ErrorReason::TooManyAttempts);
        assert!(status.get_details_retry_info().unwrap().retry_delay.unwrap() <= Duration::from_mins(1));
    }
    from(&t, office, &here.email, PASSWORD).await.unwrap();
}

#[both(options = ["--max-failures-per-address", "5"])]
async fn i10_only_platform_admins_can_name_an_address_that_is_then_limited(t: Arc<Test>) {
    let (user, stranger) = (with_password(&t, "ada").await, with_password(&t, "eve").await);
    let api = t.with_key(&t.user_key(&stranger).await);
    let office = "198.51.100.1";
    for _ in 0..20 {
        refused(verify(&api, &stranger, office, "wrong").await, ErrorReason::PasswordRejected);
    }
    from(&t, office, &user.email, PASSWORD).await.unwrap();
}

#[both]
async fn i2_no_password_is_shorter_than_it_looks(t: Arc<Test>) {
    let user = t.user("ada").await;
    let short = [
        "\u{fdfa}".to_owned(),
        "㌀㌁㌂㌃".to_owned(),
        "⑴⑵⑶⑷⑸".to_owned(),
        "½⅓¼⅛⅞".to_owned(),
        format!("a{}", "\u{301}\u{316}\u{334}\u{335}\u{338}".repeat(4)),
        format!(
            "qx{}",
            "\u{200b}\u{200c}\u{2060}\u{ad}\u{34f}\u{3164}\u{feff}\u{fe0f}\u{115f}\u{2800}\u{202e}\u{180e}\u{17b4}"
        ),
    ];
    for password in short {
        let request =
            pb::SetPasswordRequest { user_id: user.id.clone(), password: password.clone(), ..Default::default() };
        let status = refused(t.admin().authentication().set_password(request).await, ErrorReason::PasswordUnacceptable);
        assert_eq!(status.get_details_error_info().unwrap().metadata["rule"], "TOO_SHORT", "{password:?}");
        let request = pb::SignUpRequest {
            email: format!("{}@example.com", unique("one")),
            name: "One".to_owned(),
            password,
            ..Default::default()
        };
        refused(t.admin().authentication().sign_up(request).await, ErrorReason::PasswordUnacceptable);
    }
    // One repeated character whose normal form is a whole phrase.
    let password = "\u{fdfa}".repeat(15);
    let request = pb::SetPasswordRequest { user_id: user.id.clone(), password, ..Default::default() };
    let status = refused(t.admin().authentication().set_password(request).await, ErrorReason::PasswordUnacceptable);
    assert_eq!(status.get_details_error_info().unwrap().metadata["rule"], "COMMON");
}

#[both]
async fn i4_a_mistyped_end_of_a_long_password_from_bcrypt_does_not_become_the_password(t: Arc<Test>) {
    let right = "x".repeat(100);
    // Bytes beyond the limit of bcrypt, and exactly that many bytes.
    for typo in [format!("{}TYPOTYPO", "x".repeat(72)), "x".repeat(72)] {
        let user = t.user("moved").await;
        let import = pb::ImportPasswordHashRequest {
            user_id: user.id.clone(),
            password_hash: OF_100_X.to_owned(),
            ..Default::default()
        };
        t.admin().authentication().import_password_hash(import).await.unwrap();
        sign_in(&t, &user.email, &typo).await.unwrap();
        sign_in(&t, &user.email, &right).await.unwrap();
        verify(&t.admin(), &user, "", &right).await.unwrap();
        refused(sign_in(&t, &user.email, &"x".repeat(71)).await, ErrorReason::SignInRejected);
    }
}

#[both]
async fn i7_no_header_of_a_browser_or_a_proxy_keeps_anybody_out(t: Arc<Test>) {
    let user = with_password(&t, "ada").await;
    for (user_agent, stored) in [
        ("x".repeat(513), "x".repeat(512)),
        ("a\tb\u{202e}".to_owned(), "a b".to_owned()),
        ("\n".to_owned(), String::new()),
    ] {
        let request = pb::SignInRequest {
            email: user.email.clone(),
            password: PASSWORD.to_owned(),
            user_agent,
            ..Default::default()
        };
        let signed_in = t.admin().authentication().sign_in(request).await.answered().issued();
        assert_eq!(signed_in.session.unwrap().user_agent, stored);
    }
    let addresses = [
        ("203.0.113.7:51234", "203.0.113.7"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
    ];
    for (reported, stored) in addresses {
        let signed_in = from(&t, reported, &user.email, PASSWORD).await.unwrap();
        assert_eq!(signed_in.session.unwrap().ip_address, stored);
        verify(&t.admin(), &user, reported, PASSWORD).await.unwrap();
    }
    refused(from(&t, "unknown", &user.email, PASSWORD).await, ErrorReason::InvalidArgument);
    let question = pb::VerifyApiKeyRequest {
        question: Some(pb::ApiKeyQuestion {
            plaintext_key: t.admin_key.clone(),
            ip_address: "203.0.113.7:51234".to_owned(),
            ..Default::default()
        }),
    };
    t.admin().api_keys().verify_api_key(question).await.unwrap();
}

#[both]
async fn v24_starting_again_and_again_does_not_make_the_token_in_the_mail_useless(t: Arc<Test>) {
    let user = with_password(&t, "ada").await;
    let (mailed, verification, change) = (
        start_reset(&t, &user).await,
        start_verification(&t, &user).await,
        start_change(&t, &user, "new-ada@example.com").await,
    );
    for _ in 0..20 {
        assert_eq!(start_reset(&t, &user).await, mailed);
        assert_eq!(start_verification(&t, &user).await, verification);
        assert_eq!(start_change(&t, &user, "new-ada@example.com").await, change);
    }
    t.advance(Duration::from_mins(4));
    assert_eq!(start_reset(&t, &user).await, mailed);
    // A call that changes nothing creates no event.
    let events = list(&t.admin(), pb::ListEventsRequest { user_id: user.id.clone(), ..Default::default() }).await;
    assert_eq!(events.iter().filter(|event| event.action == "user.password_reset_started").count(), 1);
    reset(&t, &mailed.plaintext_token).await.unwrap();
    let request =
        pb::ConfirmEmailVerificationRequest { plaintext_token: verification.plaintext_token, ..Default::default() };
    // Another test covers whether a reset ends the other tokens.
    let _ = t.admin().authentication().confirm_email_verification(request).await;
    // A used token is not returned again.
    assert_ne!(start_reset(&t, &user).await.plaintext_token, mailed.plaintext_token);
    refused(reset(&t, &mailed.plaintext_token).await, ErrorReason::OneTimeTokenRejected);
}

#[both]
async fn v24_a_token_with_less_than_half_of_its_life_left_is_replaced_and_so_is_one_to_another_address(t: Arc<Test>) {
    let user = with_password(&t, "ada").await;
    let mailed = start_reset(&t, &user).await;
    t.advance(Duration::from_secs(305));
    let next = start_reset(&t, &user).await;
    assert!(
        next.plaintext_token != mailed.plaintext_token
            && next.expires_at.unwrap().seconds > mailed.expires_at.unwrap().seconds
    );
    refused(reset(&t, &mailed.plaintext_token).await, ErrorReason::OneTimeTokenRejected);
    reset(&t, &next.plaintext_token).await.unwrap();

    // The user has no credential yet, so none is required.
    let user = t.user("bob").await;
    let one = start_change(&t, &user, "one@example.com").await;
    let other = start_change(&t, &user, "other@example.com").await;
    assert!(one.plaintext_token != other.plaintext_token && other.email == "other@example.com");
    refused(confirm_change(&t, &one.plaintext_token).await, ErrorReason::OneTimeTokenRejected);
    assert_eq!(confirm_change(&t, &other.plaintext_token).await.unwrap().email, "other@example.com");
    // After a change of the e-mail, no earlier token is returned.
    let verification = start_verification(&t, &user).await;
    assert_eq!(verification.email, "other@example.com");
}

#[both]
async fn v24_a_token_that_can_be_returned_again_is_stored_sealed_and_one_that_does_not_open_is_replaced(t: Arc<Test>) {
    let user = with_password(&t, "ada").await;
    let mailed = start_reset(&t, &user).await;
    let bytes = t.database.bytes().await;
    // Nine characters of the secret suffice to detect it.
    let secret = &mailed.plaintext_token.as_bytes()[28..37];
    assert!(!bytes.windows(9).any(|window| window == secret));
    let garbage = if matches!(t.database, TestDatabase::Sqlite(_)) { "x'00'" } else { "'\\x00'" };
    t.database.execute(&format!("UPDATE cf_one_time_tokens SET plaintext_sealed = {garbage}")).await;
    let next = start_reset(&t, &user).await;
    assert_ne!(next.plaintext_token, mailed.plaintext_token);
    reset(&t, &next.plaintext_token).await.unwrap();
}

#[both]
async fn s83_a_key_of_others_costs_the_statements_of_one_that_is_not_there(t: Arc<Test>) {
    statements::record();
    // On a server with no open connections yet.
    let own = Test::start_like(&t).await;
    let (ada, bob, eve) = (own.user("ada").await, own.user("bob").await, own.user("eve").await);
    let acme = own.organization(&ada).await;
    own.member(&bob, &acme, "member").await;
    let (of_acme, _) = own.key(Owner::OrganizationId(acme.id.clone()), &["users:read"]).await;
    let (of_ada, _) = own.key(Owner::UserId(ada.id.clone()), &["users:read"]).await;
    for asking in [&eve, &bob] {
        let api = own.with_key(&own.user_key(asking).await);
        let get = async |id: &str| {
            let request = pb::GetApiKeyRequest { api_key_id: id.to_owned() };
            refused(api.api_keys().get_api_key(request).await, ErrorReason::ApiKeyNotFound);
        };
        // The first call looks up the caller's own key.
        get(MISSING_ID).await;
        let bound = bound(&own, &asking.id);
        statements::watch(&bound);
        let mut costs = BTreeSet::new();
        for id in [MISSING_ID, &of_ada.id, &of_acme.id, MISSING_ID] {
            // The least of some calls: one that follows a pause looks up the caller's own key again.
            let mut least = usize::MAX;
            for _ in 0..20 {
                let before = statements::seen(&bound);
                get(id).await;
                least = least.min(statements::seen(&bound) - before);
            }
            costs.insert(least);
        }
        assert_eq!(costs, BTreeSet::from([2]));
    }
    own.stop().await;
}

#[both]
async fn s36_a_process_whose_clock_is_behind_the_first_signing_key_asks_to_come_again(backend: Backend) {
    let database = TestDatabase::empty(backend).await;
    let clock = Arc::new(MovableClock::default());
    clock.advance(Duration::from_hours(1));
    let server = Server::start(&args(&database.url(), &[]), clock.clone()).await.unwrap();
    let admin_key = server.first_admin_key.as_ref().unwrap().expose().to_owned();
    let address = server.address;
    let t = Test { clock, database, admin_key: admin_key.clone(), server: Some(server).into(), address };
    let user = with_password(&t, "ada").await;
    sign_in(&t, &user.email, PASSWORD).await.unwrap();
    t.server.lock().await.take().unwrap().stop().await.unwrap();

    let clock = Arc::new(MovableClock::default());
    let behind = Server::start(&args(&t.database.url(), &[]), clock.clone()).await.unwrap();
    let api = Api::new(behind.address, Some(admin_key));
    let request = pb::SignInRequest { email: user.email.clone(), password: PASSWORD.to_owned(), ..Default::default() };
    let status = refused(api.authentication().sign_in(request.clone()).await, ErrorReason::Unavailable);
    assert!(status.get_details_retry_info().unwrap().retry_delay.is_some());
    // No session was started, and sign-ins work again without a restart.
    clock.advance(Duration::from_mins(61));
    api.authentication().sign_in(request).await.unwrap();
    let list_tokens = pb::ListSessionsRequest { user_id: user.id, ..Default::default() };
    let sessions = api.sessions().list_sessions(list_tokens).await.answered().sessions;
    assert_eq!(sessions.len(), 2);
    behind.stop().await.unwrap();
    t.database.remove().await;
}
