//! The gRPC layer: converts requests, calls one use-case of `app`, converts the result.

pub mod convert;
pub mod handlers;
pub mod status;

use prost::{Message, Name};

use crate::{
    app::{Encoders, change::Answer},
    error::{Error, Result},
    models::PersonId,
    pb,
};

/// Encoders of events and cached keys as messages of the API.
pub const ENCODERS: Encoders = Encoders {
    event: convert::event::of_change,
    erase: convert::erase::erased,
    api_key: |key| pb::ApiKey::from(key).encode_to_vec(),
    reason: |error| status::reason_text(status::reason(error)),
};

impl<M: Message + Name + Default> Answer for M {
    fn to_bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::decode(bytes).map_err(|error| Error::Internal(Box::new(error)))
    }

    fn persons(bytes: &[u8]) -> Vec<PersonId> {
        convert::persons::in_message(&Self::full_name(), bytes)
    }
}
