//! A database with many unrelated users, and every possible list request.

use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, MethodDescriptor, Value};
use prost_types::Timestamp;
use tenantry::pb::{self, create_api_key_request::Owner};

use super::{Test, database::TestDatabase, raw};

/// Creation time of the first row of the crowd, in milliseconds.
const BEGUN: usize = 1_700_000_000_000;

/// Kinds of rows, encoded in the ids of the crowd.
const USER: usize = 1;
const ORGANIZATION: usize = 2;

/// The id of a row of the crowd.
fn id(kind: usize, number: usize) -> String {
    let text = format!("{:012x}700{kind}8{number:015x}", BEGUN + number);
    uuid::Uuid::parse_str(&text).unwrap().to_string()
}

/// Fills a database with `count` users, all members of one organization; a tenth as many organizations, each with an owner; and `count`
/// events, all about that one organization and by one user with one key.
pub async fn fill(database: &TestDatabase, count: usize) {
    let columns = match database {
        TestDatabase::Sqlite(_) => "SELECT name AS value FROM pragma_table_info('cf_memberships')",
        TestDatabase::Postgres(_) => {
            "SELECT column_name::text AS value FROM information_schema.columns WHERE table_name = 'cf_memberships'"
        }
    };
    let columns = database.texts(columns).await;
    let statements = match database {
        TestDatabase::Sqlite(_) => sqlite(count, &columns),
        TestDatabase::Postgres(_) => postgres(count, &columns),
    };
    // One statement at a time, since a running server writes too, and every row complete: updating rows of a server could deadlock with it.
    for statement in statements {
        database.execute(&statement).await;
    }
    fill_entries(database).await;
}

/// Lets a running server put the crowd into the index of search, and waits until it is there. A debug build takes minutes for a large
/// crowd.
#[allow(dead_code, reason = "tests that are not about search do without")]
pub async fn index(database: &TestDatabase) {
    for (kind, table) in [(1, "cf_users"), (2, "cf_organizations")] {
        database
            .execute(&format!(
                "INSERT INTO cf_search_pending (kind, id, changes) SELECT {kind}, id, 0 FROM {table} WHERE true \
                 ON CONFLICT DO NOTHING"
            ))
            .await;
    }
    database.indexed().await;
}

/// Stores the metadata entries of the crowd, if the database has a table for them.
async fn fill_entries(database: &TestDatabase) {
    let table = match database {
        TestDatabase::Sqlite(_) => "SELECT name AS value FROM sqlite_schema WHERE name = 'cf_metadata_entries'",
        TestDatabase::Postgres(_) => {
            "SELECT table_name::text AS value FROM information_schema.tables WHERE table_name = 'cf_metadata_entries'"
        }
    };
    if !database.texts(table).await.is_empty() {
        for statement in entries(database) {
            database.execute(&statement).await;
        }
    }
}

fn sqlite(count: usize, columns: &[String]) -> Vec<String> {
    statements(
        &Words {
            id: |kind, number| format!("unhex(printf('%012x700{kind}8%015x', {BEGUN} + {number}, {number}))"),
            series: |to| {
                format!("WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < {})", to - 1)
            },
            time: format!("({BEGUN} + n) * 1000"),
            yesterday: "(unixepoch() - 86400) * 1000000",
            line: "char(10)",
            no: "0",
            bytes: "x''",
            hash: "randomblob(32)",
            prefix: "printf('cf_live_%012X', n)",
        },
        count,
        columns,
    )
}

fn postgres(count: usize, columns: &[String]) -> Vec<String> {
    statements(
        &Words {
            id: |kind, number| {
                format!(
                    "(lpad(to_hex({BEGUN} + {number}), 12, '0') || '700{kind}8' || lpad(to_hex({number}), 15, '0'))::uuid"
                )
            },
            series: |to| format!("WITH s AS (SELECT generate_series(0, {}) AS n)", to - 1),
            time: format!("to_timestamp(({BEGUN} + n) / 1000.0)"),
            yesterday: "now() - interval '1 day'",
            line: "chr(10)",
            no: "false",
            bytes: "''",
            hash: "sha256(convert_to(n::text, 'UTF8'))",
            prefix: "'cf_live_' || upper(lpad(to_hex(n), 12, '0'))",
        },
        count,
        columns,
    )
}

/// The metadata entries of the crowd: every user, organization, membership and key has the same value.
fn entries(database: &TestDatabase) -> Vec<String> {
    let nil = match database {
        TestDatabase::Sqlite(_) => "zeroblob(16)",
        TestDatabase::Postgres(_) => "'00000000-0000-0000-0000-000000000000'::uuid",
    };
    let insert = |kind: &str, scope: &str, table: &str| {
        format!(
            "INSERT INTO cf_metadata_entries (kind, resource_id, key, scope_id, value) \
             SELECT '{kind}', id, 'tier', {scope}, 'free' FROM {table}"
        )
    };
    vec![
        insert("user", nil, "cf_users WHERE email_normalized LIKE 'shared%'"),
        insert("organization", nil, "cf_organizations"),
        insert("membership", "organization_id", "cf_memberships"),
        insert("api_key", "organization_id", "cf_api_keys WHERE organization_id IS NOT NULL"),
    ]
}

/// The SQL fragments that differ between the two databases.
struct Words {
    /// The id of a row of a kind with a number.
    id: fn(usize, &str) -> String,
    /// A CTE `s` with the given number of rows, numbered by `n`.
    series: fn(usize) -> String,
    time: String,
    /// A time that is not yet past the restore window, so that the server does not sweep what was deleted then.
    yesterday: &'static str,
    /// A line feed.
    line: &'static str,
    no: &'static str,
    bytes: &'static str,
    hash: &'static str,
    prefix: &'static str,
}

fn statements(words: &Words, count: usize, columns: &[String]) -> Vec<String> {
    let Words { id, series, time, yesterday, line, no, bytes, hash, prefix } = words;
    let (user, organization, membership, event, key) = (id(1, "n"), id(2, "n"), id(3, "n"), id(4, "n"), id(5, "n"));
    let (first_user, crowd, of_owner, first_key) = (id(1, "0"), id(2, "0"), id(6, "n"), id(5, "0"));
    let (few, keys, many) = (series(count / 10), series(count.min(1000)), series(count));
    let (from, json, list) = ("FROM s", "'{}'", "'[]'");
    let deleted = |every: usize| format!("CASE WHEN n % {every} = 7 THEN {yesterday} END");
    let rare =
        |every: usize, rare: &str, usual: &str| format!("CASE WHEN n % {every} = 3 THEN '{rare}' ELSE '{usual}' END");
    // Columns that repeat what is in the user, as far as the schema has them.
    let of_user = [
        ("user_email", "'shared' || n || '@example.net'".to_owned()),
        ("user_search", format!("'shared' || {line} || 'shared' || n || '@example.net'")),
        ("user_state", format!("CASE WHEN n % 997 = 7 THEN 'deleted' ELSE {} END", rare(1000, "suspended", "active"))),
    ];
    let of_user = of_user.iter().filter(|(column, _)| columns.iter().any(|other| other == column));
    let (names, values): (String, String) =
        of_user.map(|(column, value)| (format!(", {column}"), format!(", {value}"))).unzip();
    vec![
        format!(
            "INSERT INTO cf_users (id, revision, email, email_normalized, name, is_platform_admin, state, metadata, deleted_at, \
             created_at, updated_at) {many} SELECT {user}, 1, 'shared' || n || '@example.net', 'shared' || n || '@example.net', \
             'Shared', {no}, {}, {json}, {}, {time}, {time} {from}",
            rare(1000, "suspended", "active"),
            deleted(997),
        ),
        format!(
            "INSERT INTO cf_organizations (id, revision, name, name_normalized, slug, plan, settings, state, deleted_at, created_at, \
             updated_at) {few} SELECT {organization}, 1, 'Shared ' || n, 'shared ' || n, 'shared-' || n, {}, {json}, {}, {}, {time}, \
             {time} {from}",
            rare(1000, "enterprise", "free"),
            rare(499, "suspended", "active"),
            deleted(997),
        ),
        format!(
            "INSERT INTO cf_memberships (id, revision, user_id, organization_id, role, permissions, created_at, updated_at{names}) \
             {many} SELECT {membership}, 1, {user}, {crowd}, {}, {list}, {time}, {time}{values} {from}",
            rare(1000, "owner", "member"),
        ),
        format!(
            "INSERT INTO cf_memberships (id, revision, user_id, organization_id, role, permissions, created_at, updated_at{names}) \
             {few} SELECT {of_owner}, 1, {user}, {organization}, 'owner', {list}, {time}, {time}{values} {from} WHERE n > 0",
        ),
        format!(
            "INSERT INTO cf_api_keys (id, revision, organization_id, name, prefix, secret_hash, scopes, environment, metadata, \
             revoked_at, created_at, updated_at) {keys} SELECT {key}, 1, {crowd}, 'key', {prefix}, {hash}, {list}, 'live', \
             {json}, CASE WHEN n % 100 > 0 THEN {time} END, {time}, {time} {from}",
        ),
        format!(
            "INSERT INTO cf_events (id, created_at, action, actor_kind, actor_user_id, actor_api_key_id, organization_id, user_id, \
             resource_type, resource_id, revision, details) {many} SELECT {event}, {time}, {}, 'user', {first_user}, {first_key}, \
             {crowd}, {user}, 'user', {user}, 1, {bytes} {from}",
            rare(1000, "user.suspended", "user.updated"),
        ),
    ]
}

/// A caller with its kind.
pub struct Asker {
    /// The kind of caller.
    pub kind: &'static str,
    /// Its key or token.
    pub key: String,
}

/// The callers and their resources: a small tenant next to the crowd.
pub struct Small {
    /// One caller of each kind.
    pub askers: Vec<Asker>,
    user: pb::User,
    organization: pb::Organization,
    key_id: String,
}

/// A list request.
#[derive(Clone)]
pub struct Question {
    /// The path of the method.
    pub path: String,
    /// The name of the method and the fields that are set.
    pub name: String,
    /// The request.
    pub request: DynamicMessage,
    /// The type of the answer.
    #[allow(dead_code, reason = "the benchmark counts its rows")]
    pub answer: MessageDescriptor,
}

impl Small {
    /// Creates a tenant with three members, one of them signed in.
    pub async fn make(t: &Test) -> Self {
        let (user, signed_in, _) = t.signed_in_user("ada").await;
        let organization = t.organization(&user).await;
        for name in ["bob", "eve"] {
            let other = t.user(name).await;
            t.member(&other, &organization, "member").await;
        }
        let (key, text) = t.key(Owner::UserId(user.id.clone()), &["*"]).await;
        let askers = vec![
            Asker { kind: "user's key", key: text },
            Asker { kind: "access token", key: signed_in.access_token },
            Asker { kind: "organization's key", key: t.organization_key(&organization).await },
            Asker { kind: "platform admin", key: t.admin_key.clone() },
        ];
        Self { askers, user, organization, key_id: key.id }
    }

    /// Every list, with every filter and every allowed pair of filters, for each of their values.
    pub fn questions(&self, page_size: i32) -> Vec<Question> {
        let lists = raw::methods().into_iter().filter(|method| method.name().starts_with("List"));
        lists.flat_map(|method| self.questions_of(&method, page_size)).collect()
    }

    fn questions_of(&self, method: &MethodDescriptor, page_size: i32) -> Vec<Question> {
        let paging = ["page_size", "page_token"];
        let fields: Vec<FieldDescriptor> =
            method.input().fields().filter(|field| !paging.contains(&field.name())).collect();
        let ask = |set: &[(&FieldDescriptor, &(String, Value))]| {
            let mut request = DynamicMessage::new(method.input());
            request.set_field_by_name("page_size", Value::I32(page_size));
            let mut name = method.name().to_owned();
            for (field, (word, value)) in set {
                request.set_field(field, value.clone());
                name = format!("{name} {}={word}", field.name());
            }
            Question { path: raw::path(method), name, request, answer: method.output() }
        };
        let values: Vec<_> = fields.iter().map(|field| (field, self.values(field))).collect();
        let mut questions = vec![ask(&[])];
        for (at, (field, own)) in values.iter().enumerate() {
            for value in own {
                questions.push(ask(&[(*field, value)]));
                for (other, others) in &values[at + 1..] {
                    let oneof = field.containing_oneof();
                    if oneof.is_some() && oneof == other.containing_oneof() {
                        continue;
                    }
                    questions.extend(others.iter().map(|second| ask(&[(*field, value), (*other, second)])));
                }
            }
        }
        questions
    }

    /// The values of a filter: from the small tenant, from the crowd, and rare ones.
    fn values(&self, field: &FieldDescriptor) -> Vec<(String, Value)> {
        let texts = |texts: &[(&str, &str)]| {
            let value = |(word, text): &(&str, &str)| ((*word).to_owned(), Value::String((*text).to_owned()));
            texts.iter().map(value).collect()
        };
        let numbers =
            |numbers: &[i32]| numbers.iter().map(|number| (number.to_string(), Value::EnumNumber(*number))).collect();
        let (of_crowd, crowd) = (id(USER, 0), id(ORGANIZATION, 0));
        match field.name() {
            "organization_id" => texts(&[("own", &self.organization.id), ("crowd", &crowd)]),
            "user_id" | "member_user_id" | "actor_user_id" => texts(&[("own", &self.user.id), ("crowd", &of_crowd)]),
            "created_by" => texts(&[("own", &self.user.id), ("crowd", &of_crowd)]),
            "user_ids" => [("own", &self.user.id), ("crowd", &of_crowd)]
                .map(|(word, id)| (word.to_owned(), Value::List(vec![Value::String(id.clone())])))
                .to_vec(),
            // In everybody's name, in that of few, and in nobody's.
            "query" => texts(&[("shared", "shared"), ("own", "ada"), ("nobody", "sharedx"), ("e", "e")]),
            "ip_address" => texts(&[("nobody", "192.0.2.1")]),
            "method" => texts(&[("nobody", "tenantry.v1.UserService.NoMethod")]),
            "metadata_key" => texts(&[("nobody", "nobody")]),
            "metadata_value" => texts(&[("nobody", "nobody")]),
            "roles" => [vec!["owner"], vec!["owner", "viewer"]]
                .map(|roles| {
                    let values = roles.iter().map(|role| Value::String((*role).to_owned())).collect();
                    (roles.join("+"), Value::List(values))
                })
                .to_vec(),
            "order" if field.parent_message().name() == "ListMembersRequest" => numbers(&[2, 3]),
            "order" => numbers(&[2]),
            "api_key_id" => texts(&[("own", &self.key_id), ("crowd", &id(5, 0))]),
            "permission" => texts(&[("of all", "roles:read"), ("of few", "organizations:delete"), ("other", "a:b")]),
            "actor_api_key_id" => texts(&[("own", &self.key_id), ("crowd", &id(5, 0))]),
            "resource_id" => texts(&[("own", &self.organization.id), ("crowd", &of_crowd)]),
            "email_prefix" => texts(&[("shared", "shared"), ("own", &self.user.email)]),
            "name_prefix" => texts(&[("shared", "shared"), ("own", "acme")]),
            "email" => texts(&[("own", &self.user.email)]),
            "role" => texts(&[("owner", "owner"), ("viewer", "viewer")]),
            "provider" => texts(&[("github", "github")]),
            "state" => numbers(&[1, 2, 3]),
            "membership_state" => numbers(&[1, 2]),
            "plan" => texts(&[("free", "free"), ("enterprise", "enterprise")]),
            "resource_type" => numbers(&[1, 8]),
            "external_id" => texts(&[("nobody", "nobody")]),
            "metadata_filter" | "settings_filter" | "private_metadata_filter" => ["free", "none"]
                .map(|value| {
                    let filter = pb::MetadataFilter { key: "tier".to_owned(), value: value.to_owned() };
                    let descriptor = field.kind().as_message().unwrap().clone();
                    let message = DynamicMessage::decode(descriptor, filter.encode_to_vec().as_slice()).unwrap();
                    (value.to_owned(), Value::Message(message))
                })
                .to_vec(),
            "include_revoked" => vec![("true".to_owned(), Value::Bool(true))],
            "actions" => ["user.suspended", "user.*"]
                .map(|action| (action.to_owned(), Value::List(vec![Value::String(action.to_owned())])))
                .to_vec(),
            "created_from"
            | "created_before"
            | "expires_from"
            | "expires_before"
            | "last_used_from"
            | "last_used_before"
            | "updated_from"
            | "last_sign_in_from"
            | "last_sign_in_before" => {
                let at = |seconds: i64| {
                    let mut message = DynamicMessage::new(field.kind().as_message().unwrap().clone());
                    message.transcode_from(&Timestamp { seconds, nanos: 0 }).unwrap();
                    Value::Message(message)
                };
                let begun = i64::try_from(BEGUN / 1000).unwrap();
                vec![("begun".to_owned(), at(begun + 20)), ("now".to_owned(), at(begun + 1_000_000))]
            }
            other => panic!("add values for {other} of {}", field.parent_message().full_name()),
        }
    }
}
