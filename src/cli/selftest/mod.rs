//! `tenantry selftest isolation`: tests from outside whether a running service isolates its tenants.
//!
//! It creates two throw-away tenants and calls every method that reflection lists, as every kind of caller from one tenant, with ids of
//! the other tenant and with ids that do not exist. Both answers must be equal, byte for byte; no answer may contain data of the other
//! tenant, and its data must not change. A method that fails for every request would pass, so every method is also called with the
//! caller's own ids.

mod callers;
mod client;
mod judge;
mod report;
mod request;
mod world;

use std::path::Path;

use self::{callers::Callers, client::Client, request::Variants, world::World};
pub use self::{
    client::{Bytes, Key},
    report::{Report, Row},
};

/// Tests the isolation of a service with the key of a platform admin, then deletes everything that it created.
///
/// # Errors
/// A one-line reason if the test could not run. A leak is not an error: it is in the report.
pub async fn isolation(endpoint: &str, ca: Option<&Path>, admin: &Key) -> Result<Report, String> {
    let client = Client::connect(endpoint, ca, admin).await?;
    let tried = try_all(&client).await;
    let left = world::remove_all(&client, &client.run).await;
    match tried {
        Ok(report) => Ok(Report { left, ..report }),
        Err(error) if left.is_empty() => Err(error),
        Err(error) => Err(format!("{error}; left behind: {}", left.join(", "))),
    }
}

async fn try_all(client: &Client) -> Result<Report, String> {
    let foreign = World::make(client, "foreign").await?;
    let own = World::make(client, "own").await?;
    let callers = Callers::make(client, &own).await?;
    let mut state = foreign.state(client).await?;
    let mut report = Report::default();
    for method in client.methods() {
        let variants = Variants::of(&method, &client.run);
        let mut row = Row::new(&method, client.rule(&method));
        if let Some(field) = variants.unknown() {
            row.untested(format!("the field {field} names an unknown kind of resource"));
        }
        judge::outside(client, &method, &variants, (&own, &foreign), &callers, &mut state, &mut row).await?;
        judge::own(client, &method, &variants, &own, &mut row).await?;
        report.rows.push(row);
    }
    Ok(report)
}
