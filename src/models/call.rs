//! What a call brings beside its fields: who sent it, from where, and the name under which it may be sent again.

use std::{collections::BTreeMap, net::IpAddr};

use super::{Caller, Presented, Principal, RequestId};

/// A call that changes something.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who is asking.
    pub caller: Caller,
    /// What its events tell of it.
    pub origin: Origin,
    /// True if nothing is to be done but to tell what would be.
    pub validate_only: bool,
    /// Set if the request may be sent again.
    pub once: Option<Once>,
}

/// What events tell of the call that they are of.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Who did it.
    pub actor: Actor,
    /// Full name of the called method; empty for the service's own work.
    pub method: String,
    /// What log lines and the answer carry as `x-request-id`.
    pub call_id: String,
    /// Where the call came from.
    pub ip_address: Option<IpAddr>,
    /// What the caller sent along for the event.
    pub metadata: BTreeMap<String, String>,
    /// The request's own name.
    pub request_id: Option<RequestId>,
}

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The service itself, or its command line.
    System,
    /// The owner of a credential.
    Caller {
        /// The owner.
        owner: Principal,
        /// What it presented.
        presented: Presented,
    },
}

/// A request that may be sent again and has an effect once.
#[derive(Clone, Debug)]
pub struct Once {
    /// Its name.
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
