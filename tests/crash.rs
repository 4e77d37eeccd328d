//! Crashes: `kill -9` at any moment. Answered changes survive with their events; unanswered ones can be sent again.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tenantry::pb;

use crate::support::{
    Answered as _, Api, Backend, both,
    database::TestDatabase,
    follow::Watch,
    given::Issued as _,
    invariants,
    load::{Client, Outcome, Sent},
    mirror::Mirror,
    random::Random,
    serving::Serving,
};

/// Methods that may change nothing and then create no event.
const MAY_CHANGE_NOTHING: [&str; 7] = [
    "SuspendUser",
    "ReactivateUser",
    "UndeleteUser",
    "UndeleteOrganization",
    // The same role again.
    "UpdateMembership",
    "RevokeAllSessions",
    "RevokeApiKey",
];

async fn start(url: &str) -> Serving {
    let url = url.to_owned();
    tokio::task::spawn_blocking(move || Serving::start_patient(&url, &[])).await.unwrap()
}

/// Sends the changes of one client until the server is gone. Returns each request with its outcome.
async fn run(mut client: Client, api: Api, key: String) -> (Client, Vec<(Sent, Outcome)>) {
    let mut history = Vec::new();
    loop {
        let sent = client.next();
        let outcome = sent.send(&api, &key).await;
        if let Outcome::Answered(answer) = &outcome {
            client.learn(&sent, answer);
        }
        let gone = outcome == Outcome::Unknown;
        history.push((sent, outcome));
        if gone {
            return (client, history);
        }
    }
}

/// All events after the cursor of a mirror, by request id.
async fn events_since(api: &Api, mut mirror: Mirror) -> (Mirror, BTreeMap<String, Vec<pb::Event>>) {
    let request = pb::CreateUserRequest {
        email: format!("{}@example.com", uuid::Uuid::new_v4()),
        name: "Last".to_owned(),
        ..Default::default()
    };
    let last = api.users().create_user(request).await.answered().user.unwrap();
    let mut watch = Watch::resume(api, &mirror.cursor).await;
    let mut of: BTreeMap<String, Vec<pb::Event>> = BTreeMap::new();
    loop {
        let event = watch.event().await;
        mirror.apply(event.clone());
        if event.resource_id == last.id {
            return (mirror, of);
        }
        of.entry(event.request_id.clone()).or_default().push(event);
    }
}

/// Repeats every request: an answered one returns the same answer, one without an answer returns one now. Returns the outcomes by
/// request id.
async fn send_again(history: &[(Sent, Outcome)], api: &Api, key: &str, round: u32) -> HashMap<String, Outcome> {
    let purges = history.iter().any(|(sent, _)| sent.method == "UserService/PurgeUser");
    let mut again = HashMap::new();
    for (sent, before) in history {
        let now = sent.send(api, key).await;
        match before {
            // A remembered answer about a user goes with the user.
            Outcome::Answered(_) if purges && now == Outcome::Refused("USER_NOT_FOUND".to_owned()) => {
                again.insert(sent.request_id.clone(), before.clone());
                continue;
            }
            Outcome::Answered(_) => assert_eq!(*before, now, "round {round}: {sent:?}"),
            Outcome::Unknown => assert_ne!(now, Outcome::Unknown, "round {round}: {sent:?}"),
            // It changed nothing and may be possible now.
            Outcome::Refused(_) => {}
        }
        again.insert(sent.request_id.clone(), now);
    }
    again
}

/// Asserts that a request had at most one effect, and at least one if it was answered.
fn assert_one_effect(sent: &Sent, outcome: &Outcome, events: &BTreeMap<String, Vec<pb::Event>>, round: u32) {
    let method = format!("tenantry.v1.{}", sent.method.replace('/', "."));
    let of = events.get(&sent.request_id).map_or(&[][..], Vec::as_slice);
    assert!(of.iter().all(|event| event.method == method), "{sent:?}: {of:?}");
    // One effect: each affected resource was changed once.
    let mut concerned: Vec<&str> = of.iter().map(|event| event.resource_id.as_str()).collect();
    concerned.sort_unstable();
    assert!(concerned.windows(2).all(|pair| pair[0] != pair[1]), "{sent:?}: {of:?}");
    let done = matches!(outcome, Outcome::Answered(_));
    let may_be_nothing = MAY_CHANGE_NOTHING.iter().any(|verb| method.ends_with(verb));
    assert!(!done || may_be_nothing || !of.is_empty(), "round {round}: no event of {sent:?}");
}

async fn acknowledged_changes_survive_kill_9(backend: Backend, rounds: u32) {
    let mut random = Random::seeded();
    let database = TestDatabase::empty(backend).await;
    let mut server = start(&database.url()).await;
    let key = server.first_admin_key.clone().unwrap();
    let mut clients = Client::several(8, &mut random);
    let (mut answered, mut unknown) = (0, 0);
    for round in 0..rounds {
        let mirror = Mirror::take(&server.with_key(&key)).await.unwrap();
        let running: Vec<_> =
            clients.drain(..).map(|client| tokio::spawn(run(client, server.with_key(&key), key.clone()))).collect();
        // Long enough for some work, at a random moment.
        tokio::time::sleep(Duration::from_micros(u64::try_from(100_000 + random.below(500_000)).unwrap())).await;
        server.crash();
        let mut history = Vec::new();
        for client in running {
            let (client, sent) = client.await.unwrap();
            clients.push(client);
            history.extend(sent);
        }
        server = start(&database.url()).await;
        invariants::assert_hold(&database).await;

        let api = server.with_key(&key);
        let again = send_again(&history, &api, &key, round).await;
        for (_, before) in &history {
            answered += u32::from(matches!(before, Outcome::Answered(_)));
            unknown += u32::from(*before == Outcome::Unknown);
        }
        let (mirror, events) = events_since(&api, mirror).await;
        for (sent, _) in &history {
            assert_one_effect(sent, &again[&sent.request_id], &events, round);
        }
        mirror.assert_equals(&Mirror::take(&api).await.unwrap());
        open_every_sealed_token(&api, &mirror).await;
        invariants::assert_hold(&database).await;
    }
    println!("{backend:?}: {rounds} rounds, {answered} answered, {unknown} unknown");
    assert!(answered > 0);
    drop(server);
    database.remove().await;
}

/// I7: every sealed value opens in its place.
async fn open_every_sealed_token(api: &Api, mirror: &Mirror) {
    for id in mirror.oauth_accounts() {
        let request = pb::GetOauthAccountTokensRequest { oauth_account_id: id };
        match api.oauth_accounts().get_oauth_account_tokens(request).await {
            Ok(_) => {}
            // The user is deleted.
            Err(status) => assert_eq!(status.code(), tonic::Code::NotFound, "{status:?}"),
        }
    }
}

#[both]
async fn three_rounds_of_kill_9(backend: Backend) {
    acknowledged_changes_survive_kill_9(backend, 3).await;
}

/// A server that dies after a commit, before the answer.
async fn dying(url: &str) -> Serving {
    let url = url.to_owned();
    let variables = [("TENANTRY_TEST_FAULT_POINT", "after_commit")];
    tokio::task::spawn_blocking(move || Serving::start_patient(&url, &variables)).await.unwrap()
}

#[both]
async fn an_answer_lost_between_commit_and_response_is_reported_again(backend: Backend) {
    let database = TestDatabase::empty(backend).await;
    let server = start(&database.url()).await;
    let key = server.first_admin_key.clone().unwrap();
    let ada =
        pb::CreateUserRequest { email: "ada@example.com".to_owned(), name: "Ada".to_owned(), ..Default::default() };
    let ada = server.with_key(&key).users().create_user(ada).await.answered().user.unwrap();
    drop(server);
    let request_id = || uuid::Uuid::new_v4().to_string();
    let session = Arc::new(pb::CreateRefreshTokenRequest {
        user_id: ada.id.clone(),
        request_id: request_id(),
        ..Default::default()
    });
    let rows = "SELECT 'x' AS value FROM cf_sessions";

    let server = dying(&database.url()).await;
    let lost = server.with_key(&key).refresh_tokens().create_refresh_token((*session).clone()).await;
    assert!(lost.is_err(), "{lost:?}");
    drop(server);
    assert_eq!(database.texts(rows).await.len(), 1, "the session was committed");

    let server = start(&database.url()).await;
    let api = server.with_key(&key);
    let reported = api.refresh_tokens().create_refresh_token((*session).clone()).await.answered().issued();
    let again = api.refresh_tokens().create_refresh_token((*session).clone()).await.answered().issued();
    assert_eq!(reported, again);
    assert_eq!(database.texts(rows).await.len(), 1, "one session");
    drop(server);

    // The same for a rotation: a client that lost the successor does not trigger reuse detection.
    let rotate = pb::RotateRefreshTokenRequest { plaintext_token: reported.plaintext_token, request_id: request_id() };
    let server = dying(&database.url()).await;
    server.with_key(&key).refresh_tokens().rotate_refresh_token(rotate.clone()).await.unwrap_err();
    drop(server);
    let server = start(&database.url()).await;
    let api = server.with_key(&key);
    let successor = api.refresh_tokens().rotate_refresh_token(rotate).await.answered().issued();
    let next = pb::RotateRefreshTokenRequest { plaintext_token: successor.plaintext_token, ..Default::default() };
    api.refresh_tokens().rotate_refresh_token(next).await.unwrap();
    assert_eq!(database.texts(rows).await.len(), 1, "still one session");
    drop(server);
    database.remove().await;
}

#[both(long)]
async fn faults_thirty_rounds_of_kill_9(backend: Backend) {
    acknowledged_changes_survive_kill_9(backend, 30).await;
}
