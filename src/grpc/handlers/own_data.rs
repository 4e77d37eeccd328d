//! The stream of ExportOwnData.

use super::stream::Sender;
use crate::{
    app::{
        App,
        event::StreamRights,
        own_data::{OwnData, OwnDatum},
    },
    error::Result,
    grpc::convert,
    models::event::View,
    pb::{self, export_own_data_response::Item},
};

/// A running ExportOwnData.
pub(super) struct Export {
    pub(super) app: App,
    pub(super) rights: StreamRights,
    pub(super) data: OwnData,
}

impl Export {
    pub(super) async fn send(mut self, sender: Sender<pb::ExportOwnDataResponse>) -> Result<()> {
        while let Some(batch) = self.data.next(&self.app, &self.rights).await? {
            for datum in batch {
                let item = item(datum)?;
                if !sender.send(pb::ExportOwnDataResponse { item: Some(item) }).await? {
                    return Ok(());
                }
            }
        }
        let completed_at = Item::CompletedAt(convert::time(self.app.now()));
        sender.send(pb::ExportOwnDataResponse { item: Some(completed_at) }).await.map(drop)
    }
}

fn item(datum: OwnDatum) -> Result<Item> {
    Ok(match datum {
        OwnDatum::User(user) => Item::User(user.into()),
        OwnDatum::Membership(membership) => Item::Membership(membership.into()),
        OwnDatum::ReceivedInvitation(invitation) => Item::ReceivedInvitation(invitation.into()),
        OwnDatum::SentInvitation(invitation) => Item::SentInvitation(invitation.into()),
        OwnDatum::OauthAccount(account) => Item::OauthAccount(account.into()),
        OwnDatum::Session(session) => Item::Session(session.into()),
        OwnDatum::ApiKey(key) => Item::ApiKey(key.into()),
        OwnDatum::Event(own) => {
            let mut event = convert::event::visible(own.placed, View::User(own.user_id))?;
            if own.is_of_call_only {
                event.resource = None;
                event.member = None;
                event.changes = Vec::new();
            }
            Item::Event(event)
        }
    })
}
