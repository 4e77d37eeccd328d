//! All kinds of callers from outside the foreign tenant.

use std::time::Duration;

use tonic::Status;

use super::{
    client::{Client, Key},
    world::{World, address, make_key, make_member, make_user, make_user_key, sign_in},
};
use crate::{
    models::Environment,
    pb::{self, create_api_key_request::Owner},
};

/// How far a credential reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Power {
    /// Nothing: the credential is missing or invalid.
    Nothing,
    /// A valid key whose scope no method requires.
    NoScope,
    /// Whatever the access rules permit.
    Rules,
}

/// A caller with its credential.
pub(super) struct Caller {
    /// The kind of caller, as in the report.
    pub(super) kind: &'static str,
    pub(super) key: Option<Key>,
    pub(super) power: Power,
}

/// All kinds of callers.
pub(super) struct Callers(pub(super) Vec<Caller>);

impl Callers {
    /// Creates the callers in and around a world.
    pub(super) async fn make(client: &Client, own: &World) -> Result<Self, String> {
        let failed = |status: Status| format!("the callers cannot be created: {}", status.message());
        Self::try_make(client, own).await.map_err(failed)
    }

    async fn try_make(client: &Client, own: &World) -> Result<Self, Status> {
        let user = || Owner::UserId(own.user_id.clone());
        let key = |text: &str| Key::new(text).map_err(Status::internal);
        let rules = |kind, key| Caller { kind, key: Some(key), power: Power::Rules };
        let useless = |kind, key| Caller { kind, key, power: Power::Nothing };

        let colleague =
            pb::User { id: own.colleague_id.clone(), email: address(&own.mark, "colleague"), ..Default::default() };
        let stranger = make_user(client, &own.mark, "stranger").await?;
        let suspended = make_user(client, &own.mark, "suspended").await?;
        make_member(client, &suspended.id, &own.organization_id, "admin").await?;
        let of_suspended = make_user_key(client, &suspended.id).await?;
        let request = pb::SuspendUserRequest { user_id: suspended.id, ..Default::default() };
        let _: pb::SuspendUserResponse = client.admin("UserService/SuspendUser", &request).await?;
        let (revoked, of_revoked) = make_key(client, user(), "*", &own.mark, None).await?;
        let request = pb::RevokeApiKeyRequest { api_key_id: revoked.id, ..Default::default() };
        let _: pb::RevokeApiKeyResponse = client.admin("ApiKeyService/RevokeApiKey", &request).await?;
        // By the service's clock, which may differ from this machine's.
        let soon = stranger.created_at.map(|at| prost_types::Timestamp { seconds: at.seconds + 3, ..at });
        let (_, expired) = make_key(client, user(), "*", &own.mark, soon).await?;
        let (_, scopeless) = make_key(client, user(), "selftest:nothing", &own.mark, None).await?;
        let (_, of_organization) =
            make_key(client, Owner::OrganizationId(own.organization_id.clone()), "*", &own.mark, None).await?;
        let callers = vec![
            useless("nobody", None),
            useless("a key that nobody made", Some(key(client.secrets.mint_api_key(Environment::Live).0.expose())?)),
            useless("a key of a suspended user", Some(of_suspended)),
            useless("a revoked key", Some(key(&of_revoked)?)),
            useless("an expired key", Some(key(&expired)?)),
            Caller { kind: "a key without the scope", key: Some(key(&scopeless)?), power: Power::NoScope },
            rules("an owner", make_user_key(client, &own.user_id).await?),
            rules("a viewer", make_user_key(client, &own.colleague_id).await?),
            rules("a signed-in viewer", key(&sign_in(client, &colleague).await?)?),
            rules("an organization", key(&of_organization)?),
            rules("a user without an organization", make_user_key(client, &stranger.id).await?),
        ];
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok(Self(callers))
    }
}
