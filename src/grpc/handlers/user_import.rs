//! `UserService.ImportUsers`: batches of users on one stream, each answered with the outcome of every user.

use tokio_stream::StreamExt as _;
use tonic::Streaming;

use super::stream::{Sender, broken};
use crate::{
    app::{self, App},
    error::Result,
    grpc::convert,
    models::{Call, Scope},
    pb,
};

/// An import in progress.
pub(super) struct Import {
    pub(super) app: App,
    /// The call that opened the stream.
    pub(super) call: Call,
    /// The scope that the method requires, rechecked for each batch.
    pub(super) scope: Scope,
    pub(super) batches: Streaming<pb::ImportUsersRequest>,
}

impl Import {
    /// Imports and answers one batch after the other until the client sends no more.
    pub(super) async fn run(mut self, sender: Sender<pb::ImportUsersResponse>) -> Result<()> {
        loop {
            let batch = tokio::select! {
                batch = self.batches.next() => batch,
                () = sender.closed() => return Ok(()),
            };
            let batch = match batch {
                Some(Ok(batch)) => batch,
                Some(Err(status)) => return Err(broken(&status)),
                None => return Ok(()),
            };
            let users = convert::user::import(batch, &self.app.hashing)?;
            let answer = convert::user::imported;
            let answer = app::user_import::import_batch(&self.app, &self.call, &self.scope, users, answer).await?;
            if !sender.send(answer).await? {
                return Ok(());
            }
        }
    }
}
