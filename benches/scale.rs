//! The same operations beside a large database: 1,000,000 users, 100,000 organizations, 3,000,000 memberships, 2,500,000 API keys and
//! as many refresh tokens, written by the database itself.

use std::time::{Duration, Instant};

use tenantry::pb;

use crate::{
    measure::{self, World},
    report::{Report, name},
    server,
    support::{Answered as _, Api, Backend, database::TestDatabase},
};

/// Measures an empty and a full database of each kind.
pub async fn run(lasting: Duration, rounds: u64) -> Report {
    let mut full = Report::default();
    let mut empty = Report::default();
    for backend in [Backend::Sqlite, Backend::Postgres] {
        measure::fresh(backend, &mut empty, lasting, rounds).await.0.remove().await;
        let database = TestDatabase::create(backend).await;
        let (name, key) = (name(backend), server::admin_key(&database));
        let begun = Instant::now();
        database.execute(script(backend)).await;
        full.line(format!("{name}: filled in {:.0?}", begun.elapsed()));
        let serving = measure::started(&database, backend, &mut full);
        let api = serving.with_key(&key);
        let world = World::make(&api, &key).await;
        let (first, thousandth) = pages(&api).await;
        full.line(format!("{name}: page 1 of all users takes {first:.1?}, page 1,000 {thousandth:.1?}"));
        drop(serving);
        for _ in 0..rounds {
            measure::measure(&database, &world, backend, &mut full, lasting).await;
        }
        for operation in empty.operations().to_vec() {
            let (before, after) = (empty.ratio(backend, operation), full.ratio(backend, operation));
            full.line(format!(
                "{name}: {operation}: ratio {before:.2} empty, {after:.2} full, {:.2} of it",
                after / before
            ));
        }
        database.remove().await;
    }
    full
}

fn script(backend: Backend) -> &'static str {
    match backend {
        Backend::Sqlite => include_str!("scale/sqlite.sql"),
        Backend::Postgres => include_str!("scale/postgres.sql"),
    }
}

/// How long the first and the thousandth page of 50 of all users take, in medians.
async fn pages(api: &Api) -> (Duration, Duration) {
    let mut tokens = vec![String::new()];
    let page = async |page_token: String| {
        let request = pb::ListUsersRequest { page_size: 50, page_token, ..Default::default() };
        api.users().list_users(request).await.answered().next_page_token
    };
    while tokens.len() < 1000 {
        let next = page(tokens.last().unwrap().clone()).await;
        tokens.push(next);
    }
    let timed = async |token: &String| {
        let mut taken = Vec::new();
        for _ in 0..51 {
            let begun = Instant::now();
            page(token.clone()).await;
            taken.push(begun.elapsed());
        }
        taken.sort_unstable();
        taken[25]
    };
    (timed(&tokens[0]).await, timed(&tokens[999]).await)
}
