//! The encoded part of an event.

use std::collections::BTreeMap;

use prost::Message;

/// The stored part of an event beyond its columns. Resources are stored as their own messages, which never carry a secret; the field
/// changes are derived from them.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Stored {
    #[prost(bytes = "vec", optional, tag = "1")]
    pub(super) before: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(super) after: Option<Vec<u8>>,
    #[prost(string, tag = "3")]
    pub(super) method: String,
    #[prost(string, tag = "4")]
    pub(super) call_id: String,
    #[prost(string, tag = "5")]
    pub(super) ip_address: String,
    #[prost(string, tag = "6")]
    pub(super) request_id: String,
    #[prost(btree_map = "string, string", tag = "7")]
    pub(super) metadata: BTreeMap<String, String>,
    #[prost(string, tag = "8")]
    pub(super) reason: String,
    #[prost(uint32, tag = "9")]
    pub(super) count: u32,
    #[prost(string, tag = "10")]
    pub(super) session: String,
    /// The user of a created membership, as its message.
    #[prost(bytes = "vec", optional, tag = "11")]
    pub(super) member: Option<Vec<u8>>,
    /// Set once personal data was erased from it.
    #[prost(bool, tag = "12")]
    pub(super) erased: bool,
}
