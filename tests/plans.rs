//! No statement reads a table as a whole: each that the service sends is planned on an empty database, where a plan is what the
//! indexes allow.

use crate::support::{Test, both, database, database::TestDatabase, raw, request::World, request::encode, statements};

/// Tables of a row or two.
const SMALL: [&str; 2] = ["cf_event_floor", "cf_sealing_keys"];

/// Calls every method, as a platform admin, as an organization and as a user.
async fn call_everything(t: &Test) {
    for _ in 0..2 {
        let world = World::make(t).await;
        let organization = tenantry::pb::Organization { id: world.organization_id.clone(), ..Default::default() };
        let keys = [t.organization_key(&organization).await, t.user_key(&world.user).await, t.admin_key.clone()];
        for method in raw::methods_about_something() {
            for key in &keys {
                let request = encode(&world.request(&method));
                // Refused or not, it has sent what it sends.
                let _ = raw::call(&t.anonymous(), &raw::path(&method), request, raw::bearer(&[key])).await;
            }
        }
    }
}

/// The plan of a statement, in lines.
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

/// True if a step of a plan reads a table as a whole, in no order.
fn reads_a_table(step: &str) -> bool {
    let step = step.trim_start();
    let is_small = SMALL.iter().any(|table| step.contains(table));
    let scans = match step.strip_prefix("SCAN ") {
        Some(scanned) => !scanned.contains(" USING ") && !scanned.starts_with("CONSTANT") && !scanned.starts_with('('),
        None => step.contains("Seq Scan on"),
    };
    scans && !is_small
}

both! {
    async fn no_statement_reads_a_table_as_a_whole(t) {
        statements::record();
        // Of a server whose connections are not opened yet.
        let own = Test::start_like(&t).await;
        call_everything(&own).await;
        let quote = if matches!(own.database, TestDatabase::Sqlite(_)) { '`' } else { '"' };
        let statements = statements::sent(quote);
        assert!(statements.len() > 60, "only {} statements were seen", statements.len());
        let mut wrong = Vec::new();
        for statement in statements.iter().filter(|text| !text.starts_with("INSERT") && !text.starts_with("WITH")) {
            let plan = plan(&own, statement).await;
            // The oldest events, in their order: the order is the table's own.
            let is_ordered = statement.contains("ORDER BY `cf_events`.`sequence`") || statement.contains("max(`cf_events`.`sequence`)");
            if !is_ordered && plan.iter().any(|step| reads_a_table(step)) {
                wrong.push(format!("{statement}\n    {}", plan.join("\n    ")));
            }
        }
        own.stop().await;
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    }
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
    assert!(compiled.stable, "after an ANALYZE each call would plan its statements anew: see .cargo/config.toml");
}
