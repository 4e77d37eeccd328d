//! What the service does: the use-cases, one file an entity, and what they share. Nothing here knows tonic or prost.

pub mod admission;
pub mod api_key;
pub mod attempts;
pub mod authentication;
mod authority;
pub mod authorization;
pub mod change;
pub mod credentials;
pub mod dry_run;
mod ending;
pub mod event;
pub mod feed;
mod guards;
pub mod hashing;
pub mod health;
pub mod invitation;
pub mod membership;
pub mod oauth_account;
pub mod organization;
pub mod platform_admin;
mod proof;
pub mod refresh_token;
pub mod reported_keys;
pub mod request_memory;
pub mod role;
pub mod session;
pub mod shares;
mod shown;
pub mod signing_keys;
pub mod target;
pub mod user;
pub mod user_import;
pub mod verification;

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use crate::{
    app::{
        admission::Overload, attempts::Attempts, credentials::Credentials, feed::Feed, hashing::Hashing,
        request_memory::RequestMemory, shares::Shares, signing_keys::SigningKeys,
    },
    clock::Clock,
    db::{Database, reads::Gather},
    error::Error,
    models::{ApiKey, Organization, Timestamp, User, session::Lifetimes},
    security::{
        event_cursor::EventCursors, page_token::PageTokens, password, random, sealing::KeyRing, token::SecretPrefixes,
    },
    telemetry::metrics::Metrics,
};

/// The application: where rows are, what time it is, which keys there are, and the settings that handlers need.
#[derive(Clone)]
pub struct App(Arc<Inner>);

/// The parts of an [`App`].
pub struct Inner {
    /// Where rows are.
    pub db: Database,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What seals.
    pub keys: KeyRing,
    /// What secrets begin with.
    pub secrets: SecretPrefixes,
    /// What makes page tokens.
    pub pages: PageTokens,
    /// What makes the cursors of the event stream.
    pub cursors: EventCursors,
    /// How far the event stream goes, and who follows it.
    pub feed: Feed,
    /// Users that are asked for at once.
    pub users: Gather<User>,
    /// Organizations that are asked for at once.
    pub organizations: Gather<Organization>,
    /// What is known of API keys.
    pub credentials: Credentials,
    /// What hashes passwords.
    pub hashing: Hashing,
    /// What new passwords must be.
    pub passwords: password::Policy,
    /// Wrong passwords and tokens.
    pub attempts: Attempts,
    /// What signs access tokens.
    pub signing_keys: SigningKeys,
    /// How many calls are in flight.
    pub overload: Overload,
    /// What each who is accountable uses.
    pub shares: Shares,
    /// How many requests are remembered for whom.
    pub request_memory: RequestMemory,
    /// The settings.
    pub policy: Policy,
    /// How events and cached keys are encoded.
    pub encoders: Encoders,
}

/// Encoders of what is stored or cached in the form of the contract, which this module does not know.
#[derive(Clone, Copy, Debug)]
pub struct Encoders {
    /// Makes the event of a change.
    pub event: change::EncodeEvent,
    /// Encodes an API key as verifications return it.
    pub api_key: fn(ApiKey) -> Vec<u8>,
    /// Names the reason of an error, for events of refused calls.
    pub reason: fn(&Error) -> &'static str,
}

/// Settings that change what calls answer.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// How long a deleted user or organization can be restored.
    pub restore_window: Duration,
    /// How long refresh tokens and sessions last.
    pub lifetimes: Lifetimes,
    /// How long a traded refresh token is answered with the same successor.
    pub rotation_grace: Duration,
    /// How long answers to requests with an id are remembered.
    pub request_memory: Duration,
    /// How long events are kept.
    pub event_retention: Duration,
    /// How often a stream tells its cursor although nothing matches.
    pub watch_heartbeat: Duration,
    /// How long a stream waits for its client to take a message.
    pub stream_timeout: Duration,
    /// Most API keys of an owner that are not revoked; 0 for any number.
    pub max_api_keys: u32,
    /// Most members of an organization; 0 for any number.
    pub max_members: u32,
    /// Most organizations that a user owns; 0 for any number.
    pub max_organizations: u32,
    /// Most sessions of a user; 0 for any number.
    pub max_sessions: u32,
    /// How long an access token lasts.
    pub access_token_life: Duration,
    /// How long the tokens to verify and to change an e-mail work.
    pub email_token_life: Duration,
    /// How long the token to reset a password works.
    pub password_reset_life: Duration,
}

impl App {
    /// Puts the parts together.
    pub fn new(parts: Inner) -> Self {
        Self(Arc::new(parts))
    }

    /// Makes known what its parts count.
    pub fn register(&self, metrics: &mut Metrics) {
        self.db.register(metrics.registry());
        self.hashing.register(metrics.registry());
        self.attempts.register(metrics.registry());
        self.overload.register(metrics.registry());
        let app = self.clone();
        metrics.observe(move || {
            app.hashing.observe();
            app.overload.observe();
        });
    }

    /// This moment.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// A new id for something made at `now`.
    pub fn new_id<Id: From<Uuid>>(&self, now: Timestamp) -> Id {
        random::uuid(now).into()
    }
}

impl std::ops::Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
