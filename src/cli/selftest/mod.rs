//! `tenantry selftest isolation`: whether a running service keeps its tenants apart, tried from outside.
//!
//! It makes two throw-away tenants and calls every method that reflection shows, as every kind of caller of the one, about the things
//! of the other and about things that do not exist. The two must be answered alike, byte for byte; nothing of the other tenant may be
//! in an answer, and nothing of it may have changed after. What would not be reached at all is no proof, so every method is called
//! about the caller's own things too.

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

/// Tries the isolation of a service with the key of a platform admin, and removes what it made.
///
/// # Errors
/// Says in one line why it could not be tried. A leak is no error: it is in the report.
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
            row.untested(format!("it is not known what the field {field} names"));
        }
        judge::outside(client, &method, &variants, (&own, &foreign), &callers, &mut state, &mut row).await?;
        judge::own(client, &method, &variants, &own, &mut row).await?;
        report.rows.push(row);
    }
    Ok(report)
}
