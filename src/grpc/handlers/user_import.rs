//! `UserService.ImportUsers`: batches of users on one stream, each batch one transaction, each user with an outcome of its own.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use tokio_stream::StreamExt as _;
use tonic::Streaming;

use super::{
    authority, guards,
    stream::{Sender, broken},
};
use crate::{
    app::App,
    app::admission::Place,
    db::Conn,
    error::{Error, Result, Taken},
    grpc::convert::{self, user::Imported},
    models::{Action, Call, NormalizedEmail, Password, Priority, Scope, User, UserId, user::ExternalId},
    pb::{self, imported_user_result::Outcome},
};

/// How often a batch is tried again whose users somebody else has made meanwhile.
const ATTEMPTS: usize = 5;

/// How often an import asks whether there is a place for its next batch.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// An import that is going on.
pub(super) struct Import {
    pub(super) app: App,
    /// Who imports.
    pub(super) call: Call,
    pub(super) scope: Scope,
    pub(super) batches: Streaming<pb::ImportUsersRequest>,
}

impl Import {
    /// Takes batch after batch and answers each, until the client has no more.
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
            let users = convert::user::import(batch, self.app.hashing.limits())?;
            if !sender.send(self.take(&users).await?).await? {
                return Ok(());
            }
        }
    }

    /// Takes a batch.
    async fn take(&self, users: &[Imported]) -> Result<pb::ImportUsersResponse> {
        let _place = self.place().await?;
        let mut attempt = 1;
        loop {
            let taken = self.app.change(&self.call, async |tx| self.store(tx, users).await).await;
            match taken {
                // Somebody has made one since it was looked for.
                Err(Error::Taken(Taken::UserEmail | Taken::UserExternalId)) if attempt < ATTEMPTS => attempt += 1,
                taken => return taken,
            }
        }
    }

    /// Waits until nothing that comes before an import needs the server.
    async fn place(&self) -> Result<Place<'_>> {
        let give_up = Instant::now() + self.app.policy.stream_timeout;
        loop {
            match self.app.overload.place(Priority::Import) {
                Some(place) => return Ok(place),
                None if Instant::now() < give_up => tokio::time::sleep(ASK_AGAIN).await,
                None => return Err(Error::Overloaded),
            }
        }
    }

    /// Stores those of a batch that are well-formed, new, and have an e-mail that nobody has.
    async fn store(&self, tx: &mut Conn, users: &[Imported]) -> Result<pb::ImportUsersResponse> {
        let now = self.app.now();
        // A stream outlives the check of its first message.
        guards::still_holds(tx, &self.call.caller, &self.scope, now).await?;
        // The accounts are made here.
        authority::proven_account(tx);
        let well_formed = || users.iter().filter_map(|imported| imported.user.as_ref().ok());
        let ids: Vec<ExternalId> = well_formed().filter_map(|(user, _)| user.external_id.clone()).collect();
        let emails: Vec<NormalizedEmail> = well_formed().map(|(user, _)| user.email.normalized().clone()).collect();
        // In this order: whoever has been brought over between the two is there already, and not in the way.
        let mut taken: HashSet<NormalizedEmail> = tx.users().taken_emails(&emails).await?.into_iter().collect();
        let mut there: HashMap<ExternalId, UserId> = tx.users().by_external_ids(&ids).await?.into_iter().collect();
        let mut results = Vec::with_capacity(users.len());
        for imported in users {
            let outcome = match &imported.user {
                Err(violations) => refused(pb::ErrorReason::InvalidArgument, violations.clone()),
                Ok((new, hash)) => {
                    let existing = new.external_id.as_ref().and_then(|id| there.get(id));
                    if let Some(existing) = existing {
                        Outcome::ExistingUserId(existing.to_string())
                    } else if !taken.insert(new.email.normalized().clone()) {
                        refused(pb::ErrorReason::UserEmailTaken, Vec::new())
                    } else {
                        let user: User = new.clone().into_user(self.app.new_id(now), now);
                        tx.users().insert(&user).await?;
                        if let Some(hash) = hash {
                            let hash = hash.clone();
                            let password = Password { user_id: user.id, hash, is_imported: true, changed_at: now };
                            tx.passwords().replace(&user, &password, Action::UserPasswordImported).await?;
                        }
                        there.extend(new.external_id.clone().map(|id| (id, user.id)));
                        Outcome::CreatedUserId(user.id.to_string())
                    }
                }
            };
            let external_id = imported.external_id.clone();
            results.push(pb::ImportedUserResult { external_id, outcome: Some(outcome) });
        }
        Ok(pb::ImportUsersResponse { results })
    }
}

fn refused(reason: pb::ErrorReason, violations: Vec<String>) -> Outcome {
    Outcome::Error(pb::ImportedUserError { reason: reason.into(), violations })
}
