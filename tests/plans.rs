//! No statement scans a whole table or index: every statement of the service is planned on an empty database, where the plan depends on
//! the indexes alone. `attacks/lists.rs` measures the cost of lists among many rows of others.

use std::sync::Arc;

use tenantry::pb;

use crate::support::{
    Test, both, crowd::Small, database, database::TestDatabase, raw, request::World, request::encode, statements,
};

/// Small tables, and a small index: the platform admins.
const SMALL: [&str; 4] = ["cf_event_floor", "cf_sealing_keys", "cf_signing_keys", "cf_users_platform_admin_idx"];

/// Calls every method as a platform admin, as an organization and as a user.
async fn call_everything(t: &Test) {
    for _ in 0..2 {
        let world = World::make(t).await;
        let organization = pb::Organization { id: world.organization_id.clone(), ..Default::default() };
        let keys = [t.organization_key(&organization).await, t.user_key(&world.user).await, t.admin_key.clone()];
        for method in raw::methods_about_something() {
            for key in &keys {
                let request = encode(&world.request(&method));
                // A refused call has sent its statements too.
                let _ = raw::call(&t.anonymous(), &raw::path(&method), request, raw::bearer(&[key])).await;
            }
        }
        // Erases persons, of whom one owns an organization alone.
        for user_id in [world.user.id, world.invited.id] {
            let purge = pb::PurgeUserRequest { user_id, purge_sole_organizations: true, ..Default::default() };
            let _ = t.admin().users().purge_user(purge).await;
        }
    }
}

/// Calls the lists with each filter by a value, alone and with each other filter, and reads batches by each kind of name.
async fn filter_everything(t: &Test) {
    let small = Small::make(t).await;
    for asker in &small.askers {
        let is_by_value = |name: &str| name.contains("_filter=") || name.contains("external_id=");
        for question in small.questions(2).into_iter().filter(|question| is_by_value(&question.name)) {
            let _ =
                raw::call(&t.anonymous(), &question.path, encode(&question.request), raw::bearer(&[&asker.key])).await;
        }
    }
    let world = World::make(t).await;
    let batch = pb::BatchGetUsersRequest {
        user_ids: vec![world.user.id.clone()],
        emails: vec![world.email.clone()],
        external_ids: vec![world.user.external_id.clone()],
    };
    let organizations = pb::BatchGetOrganizationsRequest {
        organization_ids: vec![world.organization_id.clone()],
        external_ids: vec![world.organization_external_id.clone()],
    };
    for key in [t.admin_key.clone(), t.user_key(&world.user).await] {
        let api = t.with_key(&key);
        api.users().batch_get_users(batch.clone()).await.unwrap();
        api.organizations().batch_get_organizations(organizations.clone()).await.unwrap();
    }
}

/// The plan of a statement, by line.
async fn plan(t: &Test, statement: &str) -> Vec<String> {
    match &t.database {
        TestDatabase::Sqlite(_) => {
            use diesel::{RunQueryDsl as _, sql_types::Text};
            #[derive(diesel::QueryableByName)]
            struct Step {
                #[diesel(sql_type = Text)]
                detail: String,
            }
            let mut connection = t.database.open();
            let steps: Vec<Step> =
                diesel::sql_query(format!("EXPLAIN QUERY PLAN {statement}")).load(&mut connection).unwrap();
            steps.into_iter().map(|step| step.detail).collect()
        }
        TestDatabase::Postgres(name) => {
            let client = database::connect(name).await;
            let count = (1..1000).take_while(|number| statement.contains(&format!("${number}"))).count();
            let nulls = vec!["NULL"; count].join(", ");
            let arguments = if count == 0 { String::new() } else { format!("({nulls})") };
            let settings = "SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan";
            client.batch_execute(&format!("{settings}; PREPARE statement AS {statement}")).await.unwrap();
            let rows = client.query(&format!("EXPLAIN EXECUTE statement{arguments}"), &[]).await.unwrap();
            rows.into_iter().map(|row| row.get(0)).collect()
        }
    }
}

/// True if a plan scans a whole table or index. An ordered index scan without another condition is a page.
fn reads_a_whole(statement: &str, plan: &[String]) -> bool {
    let is_sorted =
        plan.iter().any(|step| step.contains("USE TEMP B-TREE FOR") || step.trim_start().starts_with("Sort"));
    let is_page = statement.contains(" LIMIT ") && !is_sorted && !compares_rows(statement);
    plan.iter().any(|step| {
        let step = step.trim_start().trim_start_matches("->").trim_start();
        if SMALL.iter().any(|table| step.contains(table)) {
            return false;
        }
        if let Some(scanned) = step.strip_prefix("SCAN ") {
            // A row of constants, or the result of another step.
            let is_made = scanned.starts_with("CONSTANT") || scanned.starts_with('(') || scanned.starts_with("counted");
            let is_served = is_made || (scanned.contains(" USING ") && is_page);
            return !is_served;
        }
        // On empty tables every index costs the same for PostgreSQL. The measurements of the lists cover its choice on full ones.
        step.contains("Seq Scan on")
    })
}

/// True if a statement has a condition besides those that select the index.
fn compares_rows(statement: &str) -> bool {
    let Some((_, condition)) = statement.split_once(" WHERE ") else { return false };
    let condition = condition.split(" ORDER BY ").next().unwrap_or_default();
    let plain: String = condition.chars().filter(|c| !"()`\"".contains(*c)).collect();
    let of_index = |term: &str| {
        let term = term.trim();
        term.ends_with(".deleted_at IS NULL")
            || term.ends_with(".deleted_at IS NOT NULL")
            || term.ends_with(".is_platform_admin")
    };
    !plain.split(" AND ").all(of_index)
}

#[both]
async fn no_statement_reads_a_table_or_an_index_as_a_whole(t: Arc<Test>) {
    // In its own process, so that statements of concurrent tests are not taken for the service's.
    if std::env::var_os("TENANTRY_TEST_ALONE").is_none() {
        let backend = if matches!(t.database, TestDatabase::Sqlite(_)) { "sqlite" } else { "postgres" };
        let name = format!("plans::no_statement_reads_a_table_or_an_index_as_a_whole::{backend}");
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        alone.args(["--exact", &name]).env("TENANTRY_TEST_ALONE", "1");
        let output = tokio::task::spawn_blocking(move || alone.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    statements::record();
    // The plan of the list that used to scan the members of every organization.
    assert!(reads_a_whole(
        "SELECT * FROM `cf_users` WHERE ((`cf_users`.`deleted_at` IS NULL) AND (`cf_users`.`id` = ?)) ORDER BY `cf_users`.`id` LIMIT ?",
        &["SCAN cf_users USING INDEX sqlite_autoindex_cf_users_1".to_owned()],
    ));
    // On a server with no open connections yet.
    let own = Test::start_like(&t).await;
    call_everything(&own).await;
    filter_everything(&own).await;
    let quote = if matches!(own.database, TestDatabase::Sqlite(_)) { '`' } else { '"' };
    let statements = statements::sent(quote);
    assert!(statements.len() > 60, "only {} statements were seen", statements.len());
    let mut wrong = Vec::new();
    for statement in statements.iter().filter(|text| !text.starts_with("INSERT") && !text.starts_with("WITH")) {
        let plan = plan(&own, statement).await;
        // The oldest events, in the order of the table itself.
        let is_ordered =
            statement.contains("ORDER BY `cf_events`.`sequence`") || statement.contains("max(`cf_events`.`sequence`)");
        if !is_ordered && reads_a_whole(statement, &plan) {
            wrong.push(format!("{statement}\n    {}", plan.join("\n    ")));
        }
    }
    own.stop().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn sqlite_plans_a_prepared_statement_once_whatever_is_bound() {
    use diesel::{Connection as _, RunQueryDsl as _, sql_types::Bool};
    #[derive(diesel::QueryableByName)]
    struct Compiled {
        #[diesel(sql_type = Bool)]
        stable: bool,
    }
    let mut connection = diesel::SqliteConnection::establish(":memory:").unwrap();
    let compiled: Compiled = diesel::sql_query("SELECT sqlite_compileoption_used('ENABLE_QPSG') AS stable")
        .get_result(&mut connection)
        .unwrap();
    assert!(compiled.stable, "an ANALYZE would make each call plan its statements again: see .cargo/config.toml");
}
