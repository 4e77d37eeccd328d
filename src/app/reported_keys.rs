//! The keys whose verdicts the client of a VerifyStream may rely on, and which of them a change withdraws.

use std::collections::{HashMap, VecDeque};

use super::credentials::Invalidation;
use crate::models::{ApiKeyId, Caller, PrincipalId};

/// Maximum number of keys remembered per stream.
const MAX_REPORTED: usize = 10_000;

/// The keys that a stream reported, each with its owner.
#[derive(Default)]
pub struct ReportedKeys {
    owners: HashMap<ApiKeyId, PrincipalId>,
    /// In the order in which they were reported. Some may have been removed since.
    order: VecDeque<ApiKeyId>,
}

/// The verdicts that a client must drop.
pub enum Withdrawn {
    /// Those about these keys.
    Keys(Vec<ApiKeyId>),
    /// All of them.
    All,
}

impl ReportedKeys {
    /// Adds a key. Returns the oldest one if it had to be removed to make room.
    pub fn insert(&mut self, id: ApiKeyId, owner: PrincipalId) -> Option<ApiKeyId> {
        if self.owners.insert(id, owner).is_some() {
            return None;
        }
        self.order.push_back(id);
        while self.order.len() > MAX_REPORTED {
            let oldest = self.order.pop_front()?;
            if self.owners.remove(&oldest).is_some() {
                return Some(oldest);
            }
        }
        None
    }

    /// Removes a key.
    pub fn remove(&mut self, id: ApiKeyId) {
        self.remove_if(|reported, _| reported == id);
    }

    /// Removes the keys whose verdicts no longer hold for the caller of the stream.
    pub fn withdraw(&mut self, forgotten: Invalidation, caller: &Caller) -> Withdrawn {
        Withdrawn::Keys(match forgotten {
            Invalidation::Key(id) => self.remove_if(|reported, _| reported == id),
            Invalidation::Owner(id) => self.remove_if(|_, owner| owner == id),
            Invalidation::Standing(user, organization) if caller.user_id() == Some(user) => {
                self.remove_if(|_, owner| owner.0 == organization.0)
            }
            // Who is accountable for a key changes no verdict.
            Invalidation::Standing(..) | Invalidation::Accountable(_) => Vec::new(),
            Invalidation::Everything => {
                *self = Self::default();
                return Withdrawn::All;
            }
        })
    }

    /// Removes keys and returns them.
    fn remove_if(&mut self, is_removed: impl Fn(ApiKeyId, PrincipalId) -> bool) -> Vec<ApiKeyId> {
        let removed: Vec<_> = self.owners.extract_if(|id, owner| is_removed(*id, *owner)).map(|(id, _)| id).collect();
        if !removed.is_empty() {
            self.order.retain(|id| self.owners.contains_key(id));
        }
        removed
    }
}

/// True if something that was forgotten may end the right of a caller to verify keys.
pub fn concerns_caller(forgotten: Invalidation, caller: &Caller) -> bool {
    match forgotten {
        Invalidation::Key(id) => Some(id) == caller.api_key_id(),
        Invalidation::Owner(id) => id == caller.principal.id(),
        Invalidation::Standing(..) | Invalidation::Accountable(_) => false,
        Invalidation::Everything => true,
    }
}
