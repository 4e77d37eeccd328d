//! Both sets of migrations agree: the same names, tables and columns, and each migration can be undone.

use std::{collections::BTreeMap, fs};

use tenantry::{
    clock::MovableClock,
    db::migrations::{Direction, StartupLock},
    server::Server,
};

use crate::support::{Backend, REPOSITORY, args, both, database::TestDatabase};

async fn migrate(database: &TestDatabase, direction: Direction) -> Vec<String> {
    let settings = args(&database.url(), &[]).database;
    let (lock, ran) = StartupLock::take(&settings).await.unwrap().migrate(&settings, direction).unwrap();
    drop(lock);
    ran
}

/// Tenantry's tables with their columns and whether each is nullable.
async fn columns(database: &TestDatabase) -> BTreeMap<String, Vec<String>> {
    let sql = match database {
        TestDatabase::Sqlite(_) => {
            "SELECT t.name || ' ' || c.name || ' ' || (CASE c.\"notnull\" WHEN 1 THEN 'NO' ELSE 'YES' END) AS value \
             FROM sqlite_schema t JOIN pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name LIKE 'cf\\_%' ESCAPE '\\' \
             ORDER BY t.name, c.cid"
        }
        TestDatabase::Postgres(_) => {
            "SELECT table_name || ' ' || column_name || ' ' || is_nullable AS value FROM information_schema.columns \
             WHERE table_name LIKE 'cf\\_%' ORDER BY table_name, ordinal_position"
        }
    };
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in database.texts(sql).await {
        let (table, column) = row.split_once(' ').unwrap();
        tables.entry(table.to_owned()).or_default().push(column.to_owned());
    }
    tables
}

/// Every index and constraint name.
async fn names(database: &TestDatabase) -> Vec<String> {
    let sql = match database {
        TestDatabase::Sqlite(_) => {
            "SELECT name AS value FROM sqlite_schema WHERE type = 'index' AND name LIKE 'cf\\_%' ESCAPE '\\' ORDER BY name"
        }
        TestDatabase::Postgres(_) => {
            "SELECT c.relname::text AS value FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid \
             LEFT JOIN pg_constraint k ON k.conindid = c.oid AND k.contype IN ('p', 'u') \
             WHERE c.relname LIKE 'cf\\_%' AND k.oid IS NULL ORDER BY 1"
        }
    };
    database.texts(sql).await
}

/// The tables and columns in `src/db/schema`.
fn schema() -> BTreeMap<String, Vec<String>> {
    let files = fs::read_dir(format!("{REPOSITORY}/src/db/schema")).unwrap();
    let text: Vec<String> = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut table = String::new();
    for line in text.iter().flat_map(|text| text.lines()).map(str::trim) {
        if let Some(name) = line.strip_prefix("#[sql_name = \"").and_then(|rest| rest.strip_suffix("\"]")) {
            name.clone_into(&mut table);
        } else if let Some((column, sql_type)) = line.trim_end_matches(',').split_once(" -> ") {
            let null = if sql_type.starts_with("Nullable") { "YES" } else { "NO" };
            tables.entry(table.clone()).or_default().push(format!("{column} {null}"));
        }
    }
    tables
}

#[test]
fn both_databases_have_the_same_migrations() {
    let names = |database: &str| {
        let directory = format!("{REPOSITORY}/migrations/{database}");
        let mut names: Vec<String> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert!(!names("sqlite").is_empty());
    assert_eq!(names("sqlite"), names("postgres"));
}

#[both]
async fn migrating_up_down_and_up_again_changes_nothing(backend: Backend) {
    let database = TestDatabase::empty(backend).await;
    let ran = migrate(&database, Direction::Up).await;
    let (first, indexes) = (columns(&database).await, names(&database).await);
    assert_eq!(first, schema());
    assert_eq!(migrate(&database, Direction::Up).await, Vec::<String>::new());
    assert_eq!(migrate(&database, Direction::Down).await.len(), ran.len());
    assert_eq!(columns(&database).await, BTreeMap::new());
    assert_eq!(migrate(&database, Direction::Up).await, ran);
    assert_eq!((columns(&database).await, names(&database).await), (first, indexes));
    database.remove().await;
}

#[both]
async fn a_schema_newer_than_the_binary_is_refused(backend: Backend) {
    let database = TestDatabase::create(backend).await;
    migrate(&database, Direction::Up).await;
    database.execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('9999')").await;
    let started = Server::start(&args(&database.url(), &[]), std::sync::Arc::new(MovableClock::default())).await;
    let error = started.err().unwrap();
    assert!(error.contains("newer schema") && error.contains("9999") && !error.contains('\n'), "{error}");
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_databases_have_the_same_indexes() {
    let (sqlite, postgres) = (TestDatabase::empty(Backend::Sqlite).await, TestDatabase::empty(Backend::Postgres).await);
    for database in [&sqlite, &postgres] {
        migrate(database, Direction::Up).await;
    }
    assert_eq!(names(&sqlite).await, names(&postgres).await);
    postgres.remove().await;
}
