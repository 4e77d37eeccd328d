//! `tenantry selftest isolation`: the tenants of this service are isolated, and the selftest detects missing checks.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    future::poll_fn,
    path::Path,
    process::Output,
    sync::Arc,
};

use http::Response;
use tenantry::transport::{Answer, Outgoing, Request, Transport};
use tokio::net::TcpListener;
use tonic::{
    Status,
    body::Body,
    codegen::{BoxFuture, Service as _},
    transport::{Channel, Endpoint},
};

use crate::support::{REPOSITORY, Test, args, both, database::TestDatabase, raw, serving::tenantry};

/// The ids of all rows except events.
async fn rows(t: &Test) -> Vec<String> {
    let tables =
        ["users", "organizations", "memberships", "roles", "invitations", "oauth_accounts", "sessions", "api_keys"];
    let mut rows = Vec::new();
    for table in tables {
        let id = match t.database {
            TestDatabase::Sqlite(_) => "hex(id)",
            TestDatabase::Postgres(_) => "id::text",
        };
        rows.extend(t.database.texts(&format!("SELECT {id} AS value FROM cf_{table} ORDER BY 1")).await);
    }
    rows
}

/// A missing check of the service.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hole {
    /// Every caller reaches everything.
    ReachesEverything,
    /// Every caller's change is executed, and then refused.
    DoesAndRefuses,
    /// An existing resource is refused differently from a missing one.
    TellsWhatIsThere,
    /// No key is required.
    NeedsNoKey,
}

const HOLES: [(&str, Hole); 4] = [
    ("/tenantry.v1.OrganizationService/GetOrganization", Hole::ReachesEverything),
    ("/tenantry.v1.RoleService/UpdateRole", Hole::DoesAndRefuses),
    ("/tenantry.v1.InvitationService/GetInvitation", Hole::TellsWhatIsThere),
    ("/tenantry.v1.ApiKeyService/GetApiKey", Hole::NeedsNoKey),
];

/// The service with checks removed from some methods.
struct WithHoles {
    channel: Channel,
    admin: http::HeaderValue,
}

impl WithHoles {
    async fn serve(t: &Test) -> String {
        let channel = Endpoint::from_shared(format!("http://{}", t.address)).unwrap().connect().await.unwrap();
        let admin = format!("Bearer {}", t.admin_key).parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers = tenantry::transport::answers::Answers::new(usize::MAX, usize::MAX);
        let network = args("sqlite:none", &[]).network;
        let transport = Transport::new(Arc::new(Self { channel, admin }), network, None, answers);
        tokio::spawn(transport.serve(listener, std::future::pending()));
        format!("http://{address}")
    }
}

impl Answer for WithHoles {
    fn answer(self: Arc<Self>, mut request: Request) -> BoxFuture<Response<Outgoing>, Infallible> {
        Box::pin(async move {
            let hole = HOLES.iter().find(|(path, _)| *path == request.uri().path()).map(|(_, hole)| *hole);
            let has_key = request.headers().contains_key("authorization");
            let is_open = match hole {
                None => false,
                Some(Hole::NeedsNoKey) => !has_key,
                Some(_) => true,
            };
            if is_open {
                request.headers_mut().insert("authorization", self.admin.clone());
            }
            let mut channel = self.channel.clone();
            poll_fn(|cx| channel.poll_ready(cx)).await.unwrap();
            let response = channel.call(request.map(Body::new)).await.unwrap();
            let is_refused = response.headers().contains_key("grpc-status");
            let response = match hole {
                Some(Hole::DoesAndRefuses) => Status::not_found("role not found").into_http(),
                Some(Hole::TellsWhatIsThere) if !is_refused => Status::permission_denied("not yours").into_http(),
                _ => response,
            };
            Ok(response.map(Outgoing::new))
        })
    }
}

/// What the command says of the isolation of a service: its exit status and its output.
async fn said_of(endpoint: &str, key: &str) -> Output {
    let mut command = tenantry(&["selftest", "isolation", "--by-caller", "--endpoint", endpoint]);
    command.env("TENANTRY_API_KEY", key);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// The verdicts of a table by method.
fn verdicts(table: &str) -> BTreeMap<&str, &str> {
    let rows = table.lines().filter(|line| !line.starts_with([' ', '\t']));
    let words = rows.map(|row| row.split_whitespace().take(2).collect::<Vec<_>>());
    words.filter(|words| words.len() == 2).map(|words| (words[0], words[1])).collect()
}

#[both]
async fn r38_no_caller_gets_from_one_tenant_into_another_through_any_method(t: Arc<Test>) {
    let before = rows(&t).await;
    let output = said_of(&format!("http://{}", t.address), &t.admin_key).await;
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && !said.contains("LEAK") && !said.contains(&t.admin_key[20..]), "{said}");
    // A change of any caller's access shows up in the review of this file.
    let (table, by_caller) = said.split_once("\n\n").unwrap();
    let written = Path::new(REPOSITORY).join("target/isolation.txt");
    std::fs::create_dir_all(written.parent().unwrap()).unwrap();
    std::fs::write(written, by_caller).unwrap();
    assert!(by_caller == include_str!("isolation.txt"), "target/isolation.txt differs from tests/isolation.txt");
    let verdicts = verdicts(table);
    for method in raw::methods() {
        assert_eq!(verdicts.get(method.full_name()), Some(&"ok"), "{}", method.full_name());
    }
    assert_eq!(rows(&t).await, before, "the selftest left rows");
}

#[both]
async fn it_notices_every_check_that_is_taken_out_and_no_other(t: Arc<Test>) {
    let output = said_of(&WithHoles::serve(&t).await, &t.admin_key).await;
    let table = String::from_utf8(output.stdout).unwrap();
    let leaks: BTreeSet<&str> =
        verdicts(&table).into_iter().filter(|(_, verdict)| *verdict == "LEAK").map(|(method, _)| method).collect();
    let holes = HOLES.map(|(path, _)| path[1..].replace('/', "."));
    assert_eq!(leaks, holes.iter().map(String::as_str).collect(), "{table}");
    assert!(!output.status.success() && !table.contains(&t.admin_key[20..]), "{table}");
}

#[both]
async fn a_selftest_that_cannot_run_fails_with_one_line(t: Arc<Test>) {
    let own = format!("http://{}", t.address);
    let (_, weak) = t.key(tenantry::pb::create_api_key_request::Owner::UserId(t.user("eve").await.id), &["*"]).await;
    for (endpoint, key, wrong) in [
        (own.as_str(), weak.as_str(), "only a platform admin"),
        (&own, "nothing", "the API key cannot be used: a valid API key or access token is required"),
        (&own.replace("http:", "https:"), "nothing", "cannot be reached"),
        ("http://127.0.0.1:1", "nothing", "cannot be reached"),
    ] {
        let output = said_of(endpoint, key).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(wrong) && said.lines().count() == 1, "{said}");
    }
}
