//! The use-cases, one file per entity, and what they share. Nothing here knows tonic or prost.

pub mod admission;
pub mod api_key;
pub mod attempts;
pub mod authentication;
mod authority;
pub mod authorization;
pub mod batch;
pub mod change;
pub mod credentials;
pub mod dry_run;
mod ending;
pub mod erasure;
pub mod event;
pub mod feed;
mod guards;
pub mod hashing;
pub mod health;
pub mod invitation;
pub mod membership;
pub mod oauth_account;
pub mod organization;
pub mod own_data;
pub mod own_user;
pub mod platform_admin;
mod presented_credentials;
mod proof;
pub mod refresh_token;
pub mod reported_keys;
pub mod request_memory;
pub mod role;
pub mod session;
pub mod shares;
pub mod shutdown;
pub mod signing_keys;
pub mod streams;
pub mod target;
pub mod user;
pub mod user_import;
pub mod verification;

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use crate::{
    app::{
        admission::Overload, attempts::Attempts, batch::Turns, credentials::Credentials, feed::Feed, hashing::Hashing,
        request_memory::RequestMemory, shares::Shares, shutdown::Shutdown, signing_keys::SigningKeys, streams::Streams,
    },
    clock::Clock,
    db::{Database, reads::BatchedReads},
    error::Error,
    models::{ApiKey, Erased, Event, Organization, Person, Plans, ReservedSlugs, Timestamp, User, session::Lifetimes},
    security::{
        event_cursor::EventCursors, page_token::PageTokens, password, random, sealing::KeyRing, token::SecretPrefixes,
    },
    telemetry::metrics::Metrics,
};

/// The application: the database, the clock, the keys, and the settings of the use-cases.
#[derive(Clone)]
pub struct App(Arc<AppParts>);

/// The parts of an [`App`].
pub struct AppParts {
    /// The database.
    pub db: Database,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The sealing key ring.
    pub keys: KeyRing,
    /// The prefixes of secrets.
    pub secrets: SecretPrefixes,
    /// Issues and opens page tokens.
    pub pages: PageTokens,
    /// Issues and opens cursors of the event stream.
    pub cursors: EventCursors,
    /// The position up to which events are complete.
    pub feed: Feed,
    /// The open streams.
    pub streams: Streams,
    /// Whether the process stops.
    pub shutdown: Shutdown,
    /// Combines concurrent gets of users.
    pub users: BatchedReads<User>,
    /// Combines concurrent gets of organizations.
    pub organizations: BatchedReads<Organization>,
    /// The cache of API keys.
    pub credentials: Credentials,
    /// The queue for password hashing.
    pub hashing: Hashing,
    /// The rules for new passwords.
    pub passwords: password::Policy,
    /// Limits on wrong passwords, and their events.
    pub attempts: Attempts,
    /// The signing keys of access tokens.
    pub signing_keys: SigningKeys,
    /// The limit on calls in flight.
    pub overload: Overload,
    /// Resource use per accountable owner.
    pub shares: Shares,
    /// The budget of remembered requests per owner.
    pub request_memory: RequestMemory,
    /// The turns of batches.
    pub turns: Turns,
    /// The settings.
    pub policy: Policy,
    /// The plans on offer.
    pub plans: Plans,
    /// The slugs that organizations cannot choose.
    pub reserved_slugs: ReservedSlugs,
    /// How events and cached keys are encoded.
    pub encoders: Encoders,
}

/// Encoders for values that are stored or cached in the form of the contract, which this module does not know.
#[derive(Clone, Copy, Debug)]
pub struct Encoders {
    /// Encodes the event of a change.
    pub event: change::EncodeEvent,
    /// Erases a person from an event.
    pub erase: fn(&Event, &Person) -> Erased,
    /// Encodes an API key as verifications return it.
    pub api_key: fn(ApiKey) -> Vec<u8>,
    /// The reason of an error, for events of refused calls.
    pub reason: fn(&Error) -> &'static str,
}

/// Settings that affect what calls return.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// How long a deleted user or organization can be restored.
    pub restore_window: Duration,
    /// How long refresh tokens and sessions last.
    pub lifetimes: Lifetimes,
    /// How long a rotated refresh token still returns the same successor.
    pub rotation_grace: Duration,
    /// How long answers to requests with an id are remembered.
    pub request_memory: Duration,
    /// How long events are kept.
    pub event_retention: Duration,
    /// How often a stream sends its cursor when no event matches.
    pub watch_heartbeat: Duration,
    /// How long a stream waits for its client to take a message.
    pub stream_timeout: Duration,
    /// Maximum number of unrevoked API keys of an owner; 0 for no limit.
    pub max_api_keys: u32,
    /// Maximum number of members of an organization; 0 for no limit.
    pub max_members: u32,
    /// Maximum number of organizations that a user owns; 0 for no limit.
    pub max_organizations: u32,
    /// Maximum number of sessions of a user; 0 for no limit.
    pub max_sessions: u32,
    /// How long an access token lasts.
    pub access_token_life: Duration,
    /// How long a token to verify or change an e-mail is valid.
    pub email_token_life: Duration,
    /// How long a token to reset a password is valid.
    pub password_reset_life: Duration,
}

impl App {
    /// Assembles the application.
    pub fn new(parts: AppParts) -> Self {
        Self(Arc::new(parts))
    }

    /// Registers the metrics of its parts.
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

    /// The current time.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// A new id for something created at `now`.
    pub fn new_id<Id: From<Uuid>>(&self, now: Timestamp) -> Id {
        random::uuid(now).into()
    }
}

impl std::ops::Deref for App {
    type Target = AppParts;

    fn deref(&self) -> &AppParts {
        &self.0
    }
}
