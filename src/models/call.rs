//! The context of a call besides its fields: the caller, the origin, and the id under which it may be sent again.

use std::{collections::BTreeMap, net::IpAddr};

use super::{Caller, Presented, Principal, RequestId};

/// A call that changes something.
#[derive(Clone, Debug)]
pub struct Call {
    /// The caller.
    pub caller: Caller,
    /// The information that its events record about it.
    pub origin: Origin,
    /// True if the call is only to be checked and its effects reported.
    pub validate_only: bool,
    /// Set if the request may be sent again.
    pub once: Option<Once>,
}

/// The information that events record about the call that caused them.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The actor.
    pub actor: Actor,
    /// Full name of the called method; empty for changes by the service itself.
    pub method: String,
    /// The `x-request-id` of log lines and of the answer.
    pub call_id: String,
    /// The address that the call came from.
    pub ip_address: Option<IpAddr>,
    /// The metadata that the caller sent for the event.
    pub metadata: BTreeMap<String, String>,
    /// The id of the request, if it has one.
    pub request_id: Option<RequestId>,
}

/// The author of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The service itself, or its command line.
    System,
    /// The owner of a credential.
    Caller {
        /// The owner.
        owner: Principal,
        /// The presented credential.
        presented: Presented,
    },
}

/// The reasons for which items of a batch were denied, as an extension of its response: they have events like those of denied calls.
#[derive(Clone, Debug)]
pub struct DeniedItems(pub Vec<String>);

/// A request that may be sent again and takes effect once.
#[derive(Clone, Debug)]
pub struct Once {
    /// Its id.
    pub request_id: RequestId,
    /// A digest of the method and all other fields.
    pub fingerprint: [u8; 32],
}

impl Origin {
    /// The service itself.
    pub fn system() -> Self {
        Self {
            actor: Actor::System,
            method: String::new(),
            call_id: String::new(),
            ip_address: None,
            metadata: BTreeMap::new(),
            request_id: None,
        }
    }
}

impl From<&Caller> for Actor {
    fn from(caller: &Caller) -> Self {
        Self::Caller { owner: caller.principal, presented: caller.presented }
    }
}
