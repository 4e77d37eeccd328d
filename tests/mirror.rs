//! Mirrors: clients that keep a copy of everything, are killed, and resume.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tenantry::pb;
use tokio::task::JoinHandle;

use crate::support::{
    Api, Backend, both,
    database::TestDatabase,
    follow::Watch,
    invariants,
    load::{Client, Outcome},
    mirror::Mirror,
    random::Random,
    serving::Serving,
};

/// Two processes on one database.
struct Platform {
    database: TestDatabase,
    servers: Vec<Serving>,
    key: String,
}

impl Platform {
    async fn start(backend: Backend) -> Self {
        let database = TestDatabase::empty(backend).await;
        let url = database.url();
        let servers = tokio::task::spawn_blocking(move || {
            let variables = [("TENANTRY_WATCH_HEARTBEAT", "100ms"), ("TENANTRY_SWEEP_INTERVAL", "1s")];
            vec![Serving::start_patient(&url, &variables), Serving::start_patient(&url, &variables)]
        });
        let servers = servers.await.unwrap();
        let key = servers[0].first_admin_key.clone().unwrap();
        Self { database, servers, key }
    }

    /// A client of one of the processes.
    fn api(&self, random: &mut Random) -> Api {
        random.pick(&self.servers).unwrap().with_key(&self.key)
    }
}

/// One mirror: takes a snapshot and follows the events until the last one. From time to time it is killed and resumes from its last
/// stored cursor on a random process.
async fn follow(
    platform: Arc<Platform>,
    mut random: Random,
    ended: Arc<AtomicBool>,
    end_id: &'static str,
) -> (Mirror, Vec<i64>) {
    let api = platform.api(&mut random);
    let mut mirror = Mirror::take(&api).await.unwrap();
    let mut seen = Vec::new();
    let mut kept = mirror.cursor.clone();
    loop {
        let mut watch = Watch::resume(&platform.api(&mut random), &kept).await;
        for _ in 0..=random.below(400) {
            let Some(event) = watch.message().await.unwrap() else { continue };
            // It stores its cursor only now and then, so later events are repeated.
            if random.below(10) == 0 {
                kept.clone_from(&watch.cursor);
            }
            if event.sequence <= mirror.last {
                continue;
            }
            seen.push(event.sequence);
            let is_end = event.metadata.get("end").is_some_and(|text| text == end_id);
            mirror.apply(event);
            if is_end {
                assert!(ended.load(Ordering::SeqCst));
                return (mirror, seen);
            }
        }
    }
}

/// Sends the changes of one client to random processes for a while. Returns how many succeeded.
async fn write(platform: Arc<Platform>, mut client: Client, mut random: Random, until: Instant) -> u64 {
    let apis: Vec<Api> = platform.servers.iter().map(|server| server.with_key(&platform.key)).collect();
    let mut changes = 0;
    while Instant::now() < until {
        let sent = client.next();
        if let Outcome::Answered(answer) = sent.send(random.pick(&apis).unwrap(), &platform.key).await {
            client.learn(&sent, &answer);
            changes += 1;
        }
    }
    changes
}

async fn mirrors_equal_the_database(backend: Backend, seconds: u64) {
    let mut random = Random::seeded();
    let platform = Arc::new(Platform::start(backend).await);
    let ended = Arc::new(AtomicBool::new(false));
    let mut mirrors: Vec<JoinHandle<(Mirror, Vec<i64>)>> = Vec::new();
    let until = Instant::now() + Duration::from_secs(seconds);
    let writers: Vec<JoinHandle<u64>> = Client::several(8, &mut random)
        .into_iter()
        .map(|client| tokio::spawn(write(Arc::clone(&platform), client, Random::new(random.next()), until)))
        .collect();
    for _ in 0..3 {
        mirrors.push(tokio::spawn(follow(
            Arc::clone(&platform),
            Random::new(random.next()),
            Arc::clone(&ended),
            "of the load",
        )));
        // The mirrors start during the writes.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut changes = 0;
    for writer in writers {
        changes += writer.await.unwrap();
    }
    ended.store(true, Ordering::SeqCst);
    let api = platform.api(&mut random);
    let mut request = tonic::Request::new(pb::CreateUserRequest {
        email: "end@example.com".to_owned(),
        name: "End".to_owned(),
        ..Default::default()
    });
    request.metadata_mut().insert("x-event-end", "of the load".parse().unwrap());
    api.users().create_user(request).await.unwrap();

    let database = Mirror::take(&api).await.unwrap();
    let sequences = "SELECT CAST(sequence AS text) AS value FROM cf_events ORDER BY sequence";
    let stored: BTreeSet<i64> =
        platform.database.texts(sequences).await.iter().map(|text| text.parse().unwrap()).collect();
    for mirror in mirrors {
        let (mirror, seen) = mirror.await.unwrap();
        assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "each event is seen once and in order");
        let first = *seen.first().unwrap();
        let missed: Vec<&i64> =
            stored.range(first..).filter(|sequence| seen.binary_search(sequence).is_err()).collect();
        assert!(missed.is_empty(), "missed {missed:?}");
        mirror.assert_equals(&database);
    }
    invariants::assert_hold(&platform.database).await;
    println!("{backend:?}: {changes} changes, {} events in {seconds} s", stored.len());
    assert!(changes > 0);
    let platform = Arc::into_inner(platform).unwrap();
    drop(platform.servers);
    platform.database.remove().await;
}

#[both]
async fn mirrors_equal_the_database_after_a_short_load(backend: Backend) {
    mirrors_equal_the_database(backend, 4).await;
}

/// The delay between the answer to a change and its event, on the same process and on another.
#[both(long)]
async fn slow_latency(backend: Backend) {
    let platform = Platform::start(backend).await;
    let apis: Vec<Api> = platform.servers.iter().map(|server| server.with_key(&platform.key)).collect();
    for (what, server) in [("the same process", 0), ("another process", 1)] {
        let mut watch = Watch::from_now(&apis[server]).await;
        let mut took = Vec::new();
        for round in 0..200 {
            let request = pb::CreateUserRequest {
                email: format!("{server}-{round}@example.com"),
                name: "X".to_owned(),
                ..Default::default()
            };
            apis[0].users().create_user(request).await.unwrap();
            let answered = Instant::now();
            watch.event().await;
            took.push(answered.elapsed());
        }
        took.sort_unstable();
        println!("{backend:?}, {what}: median {:?}, 99 % {:?}", took[100], took[198]);
    }
    drop(platform.servers);
    platform.database.remove().await;
}

#[both(long)]
async fn slow_mirrors_equal_the_database(backend: Backend) {
    mirrors_equal_the_database(backend, 60).await;
}
