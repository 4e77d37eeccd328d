//! `tenantry selftest isolation`: the tenants of this service are isolated, and the selftest detects missing checks.

use std::{collections::BTreeSet, convert::Infallible, future::poll_fn, path::Path, sync::Arc};

use http::Response;
use tenantry::{
    cli::selftest::{self, Key, Report},
    transport::{Answer, Outgoing, Request, Transport},
};
use tokio::net::TcpListener;
use tonic::{
    Status,
    body::Body,
    codegen::{BoxFuture, Service as _},
    transport::{Channel, Endpoint},
};

use crate::support::{REPOSITORY, Test, args, both, database::TestDatabase, raw, serving::tenantry};

async fn try_isolation(endpoint: &str, t: &Test) -> Report {
    selftest::isolation(endpoint, None, &Key::new(&t.admin_key).unwrap()).await.unwrap()
}

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

#[both]
async fn r38_no_caller_gets_from_one_tenant_into_another_through_any_method(t: Arc<Test>) {
    let before = rows(&t).await;
    let report = try_isolation(&format!("http://{}", t.address), &t).await;
    assert!(report.is_good(), "{report}");
    // A change of any caller's access shows up in the review of this file.
    let matrix = report.matrix() + "\n";
    std::fs::write(Path::new(REPOSITORY).join("target/isolation.txt"), &matrix).unwrap();
    assert!(matrix == include_str!("isolation.txt"), "target/isolation.txt differs from tests/isolation.txt");
    let tried: BTreeSet<String> = report.rows.iter().map(|row| row.method.clone()).collect();
    let ours: BTreeSet<String> = raw::methods().iter().map(|method| method.full_name().to_owned()).collect();
    let others: Vec<&str> = tried.difference(&ours).map(String::as_str).collect();
    assert!(ours.is_subset(&tried) && others.iter().all(|name| name.starts_with("grpc.")), "{others:?}");
    assert_eq!(rows(&t).await, before, "the selftest left rows");
}

#[both]
async fn it_notices_every_check_that_is_taken_out_and_no_other(t: Arc<Test>) {
    let endpoint = WithHoles::serve(&t).await;
    let report = try_isolation(&endpoint, &t).await;
    let leaks: BTreeSet<String> =
        report.rows.iter().filter(|row| !row.leaks.is_empty()).map(|row| row.method.clone()).collect();
    let holes: BTreeSet<String> = HOLES.iter().map(|(path, _)| path[1..].replace('/', ".")).collect();
    assert_eq!(leaks, holes, "{report}");
    assert!(!report.is_good());
}

#[both]
async fn its_exit_status_and_its_table_say_what_it_found(t: Arc<Test>) {
    for (endpoint, is_good) in [(format!("http://{}", t.address), true), (WithHoles::serve(&t).await, false)] {
        let mut command = tenantry(&["selftest", "isolation", "--endpoint", &endpoint]);
        command.env("TENANTRY_API_KEY", &t.admin_key);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let table = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.success(), is_good, "{table}");
        assert_eq!(table.contains("LEAK"), !is_good, "{table}");
        assert!(table.contains("tenantry.v1.RoleService.UpdateRole") && !table.contains(&t.admin_key[20..]));
    }
    let mut command = tenantry(&["selftest", "isolation", "--endpoint", &format!("http://{}", t.address)]);
    let (_, weak) = t.key(tenantry::pb::create_api_key_request::Owner::UserId(t.user("eve").await.id), &["*"]).await;
    command.env("TENANTRY_API_KEY", weak);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("only a platform admin") && said.lines().count() == 1, "{said}");
    for (endpoint, key, wrong) in [
        (
            format!("http://{}", t.address),
            "nothing",
            "the API key cannot be used: a valid API key or access token is required",
        ),
        (format!("https://{}", t.address), "nothing", "cannot be reached"),
        ("http://127.0.0.1:1".to_owned(), "nothing", "cannot be reached"),
    ] {
        let mut command = tenantry(&["selftest", "isolation", "--endpoint", &endpoint]);
        command.env("TENANTRY_API_KEY", key);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(wrong) && said.lines().count() == 1, "{said}");
    }
}
