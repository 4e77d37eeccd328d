//! The benchmark: each operation beside what no service could be faster than, in one run. `make bench` runs it.
#![allow(
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a measurement that cannot go on must fail, and a rate needs no more digits than a float has"
)]

mod limits;
mod load;
mod operations;
#[path = "../tests/support/mod.rs"]
#[allow(dead_code, unused_macros, unused_imports, reason = "the tests use all of it")]
mod support;
mod wire;

use std::{
    io::BufRead as _,
    process::{Child, Command, Stdio},
    time::Duration,
};

use prost::Message as _;
use support::{Backend, database::TestDatabase, serving::Serving};
use tenantry::pb;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match args.first().map(String::as_str) {
        Some("echo") => runtime.block_on(limits::echo::serve()).unwrap(),
        _ => runtime.block_on(run(args)),
    }
}

struct Echo(Child, std::net::SocketAddr);
impl Echo {
    fn start() -> Self {
        let mut child =
            Command::new(std::env::current_exe().unwrap()).arg("echo").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self(child, line.trim().parse().unwrap())
    }
}
impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn run(args: Vec<String>) {
    let lasting = Duration::from_secs(args.get(1).and_then(|s| s.parse().ok()).unwrap_or(3));
    let which = args.first().cloned().unwrap_or("all".into());
    let shape = (load::CONNECTIONS, load::IN_FLIGHT);
    for backend in [Backend::Sqlite, Backend::Postgres] {
        if which != "all" && !format!("{backend:?}").to_lowercase().contains(&which) {
            continue;
        }
        let database = TestDatabase::create(backend).await;
        let mut key = None;
        {
            if backend == Backend::Sqlite || true {
                let s = Serving::start(&database.url(), &[("TENANTRY_SEALING_KEYS", support::SEALING_KEYS)]);
                key = s.first_admin_key.clone();
                drop(s);
            }
        }
        let key = match key {
            Some(k) => k,
            None => {
                let out = support::serving::tenantry(&[
                    "admin",
                    "create",
                    "--email",
                    "b@example.com",
                    "--name",
                    "B",
                    "--database-url",
                    &database.url(),
                ])
                .output()
                .unwrap();
                String::from_utf8(out.stdout).unwrap().trim().to_owned()
            }
        };
        let serving = Serving::start(&database.url(), &[("TENANTRY_SEALING_KEYS", support::SEALING_KEYS)]);
        let api = serving.with_key(&key);
        let user = api
            .users()
            .create_user(pb::CreateUserRequest {
                email: "x@example.com".into(),
                name: "X".into(),
                ..Default::default()
            })
            .await
            .unwrap()
            .into_inner()
            .user
            .unwrap();
        let echo = Echo::start();
        let bare = tokio::task::spawn_blocking({
            let k = key.clone();
            move || {
                let _ = k;
            }
        });
        bare.await.unwrap();
        let verify = pb::VerifyApiKeyRequest { plaintext_key: key.clone(), required_scope: "users:read".into() };
        let answer = api.api_keys().verify_api_key(verify.clone()).await.unwrap().into_inner();
        let sizes = (verify.encoded_len(), answer.encoded_len());
        let get = pb::GetUserRequest { user_id: user.id.clone() };
        let sizes2 = (get.encoded_len(), pb::GetUserResponse { user: Some(user.clone()) }.encoded_len());
        let bare = limits::databases::measure(&database, lasting).await;
        println!("{backend:?} bare select {:.0} insert {:.0}", bare.select, bare.insert);
        let mut tokens = Vec::new();
        for _ in 0..load::IN_FLIGHT {
            tokens.push(
                api.refresh_tokens()
                    .create_refresh_token(pb::CreateRefreshTokenRequest {
                        user_id: user.id.clone(),
                        ..Default::default()
                    })
                    .await
                    .unwrap()
                    .into_inner()
                    .plaintext_token,
            );
        }
        let show = |name: &str, r: load::Rate| {
            println!(
                "{backend:?} {name:20} {:9.0}/s refused {:.0} p50 {:?} p99 {:?}",
                r.per_second, r.refused, r.median, r.p99
            )
        };
        tokio::task::block_in_place(|| {
            let e = load::run(echo.1, None, shape, lasting, |_| operations::echo(sizes.0, sizes.1));
            show("echo verify", e);
            let v = load::run(serving.address, Some(&key), shape, lasting, |_| {
                operations::Same::boxed("/tenantry.v1.ApiKeyService/VerifyApiKey", &verify)
            });
            show("VerifyApiKey", v);
            let e2 = load::run(echo.1, None, shape, lasting, |_| operations::echo(sizes2.0, sizes2.1));
            show("echo get", e2);
            let g = load::run(serving.address, Some(&key), shape, lasting, |_| {
                operations::Same::boxed("/tenantry.v1.UserService/GetUser", &get)
            });
            show("GetUser", g);
            let c = load::run(serving.address, Some(&key), shape, lasting, |_| Box::new(operations::CreateUser));
            show("CreateUser", c);
            let share = load::IN_FLIGHT / load::CONNECTIONS;
            let rot = load::run(serving.address, Some(&key), shape, lasting, |at| {
                Box::new(operations::Rotate { tokens: tokens[at * share..(at + 1) * share].to_vec() })
            });
            show("Rotate", rot);
            println!(
                "verify/echo {:.2}  get/echo {:.2}  create/insert {:.2} rotate/create {:.2}",
                v.per_second / e.per_second,
                g.per_second / e2.per_second,
                c.per_second / bare.insert,
                rot.per_second / c.per_second
            );
        });
        drop(serving);
        database.remove().await;
    }
}
