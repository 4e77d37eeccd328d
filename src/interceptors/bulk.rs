//! Estimates how much a call requests at once. Lists and batches return megabytes, built from rows that take several times as much memory,
//! so they need permission before they start.

use prost::{
    bytes::Buf,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};
use prost_reflect::{Kind, MethodDescriptor};

use crate::models::PageRequest;

/// The size that a row counts for: the maximum of its metadata. A page of rows this large takes about 27 MiB for 1,000 rows while it is built
/// (stored text, parsed value, message, encoded bytes), measured by `make test-attacks`: at this size, one such page is built at a time.
const BYTES_OF_ROW: usize = 16 * 1024;
/// The request field with the number of rows in a page.
const PAGE_SIZE: &str = "page_size";

/// Reasons why a method's answer may be large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bulk {
    /// It returns a page; the field with this number is its size.
    Page(u32),
    /// It returns a row for each item of the request's lists.
    Batch,
}

impl Bulk {
    /// Why the method's answer may be large; `None` if it cannot be.
    pub(super) fn of(method: &MethodDescriptor) -> Option<Self> {
        if method.is_server_streaming() {
            return None;
        }
        let page_size = method.input().get_field_by_name(PAGE_SIZE).filter(|field| field.kind() == Kind::Int32);
        let is_batch = || method.name().starts_with("BatchGet").then_some(Self::Batch);
        page_size.map(|field| Self::Page(field.number())).or_else(is_batch)
    }

    /// The approximate size of the answer to a request.
    pub(super) fn estimate(self, request: &[u8]) -> usize {
        let rows = match self {
            // An unreadable request is refused later.
            Self::Page(field) => page_size(field, request).unwrap_or(PageRequest::DEFAULT_SIZE),
            Self::Batch => items(request),
        };
        rows.clamp(1, PageRequest::MAX_SIZE) * BYTES_OF_ROW
    }
}

/// Number of items in all lists of a request. An unreadable request is refused later.
fn items(mut request: &[u8]) -> usize {
    let mut items = 0;
    while request.has_remaining() && items < PageRequest::MAX_SIZE {
        let skipped = decode_key(&mut request)
            .and_then(|(tag, wire)| skip_field(wire, tag, &mut request, DecodeContext::default()));
        if skipped.is_err() {
            break;
        }
        items += 1;
    }
    items
}

/// The last value of a field, unless it is 0.
fn page_size(field: u32, mut request: &[u8]) -> Option<usize> {
    let mut found = None;
    while request.has_remaining() {
        let (tag, wire) = decode_key(&mut request).ok()?;
        if tag == field && wire == WireType::Varint {
            found = usize::try_from(decode_varint(&mut request).ok()?).ok();
        } else {
            skip_field(wire, tag, &mut request, DecodeContext::default()).ok()?;
        }
    }
    found.filter(|size| *size > 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may panic")]

    use prost::Message as _;
    use prost_reflect::DescriptorPool;

    use super::*;
    use crate::{DESCRIPTOR_SET, pb};

    fn bulk(path: &str) -> Option<Bulk> {
        let mut pool = DescriptorPool::new();
        pool.decode_file_descriptor_set(DESCRIPTOR_SET).unwrap();
        let (service, method) = path.split_once('/').unwrap();
        let service = pool.get_service_by_name(&format!("tenantry.v1.{service}")).unwrap();
        Bulk::of(&service.methods().find(|found| found.name() == method).unwrap())
    }

    #[test]
    fn a_list_asks_for_its_page_and_a_batch_for_its_ids() {
        let list = bulk("UserService/ListUsers").unwrap();
        let asks = |page_size| {
            let request = pb::ListUsersRequest { page_size, page_token: "x".to_owned(), ..Default::default() };
            list.estimate(&request.encode_to_vec())
        };
        assert_eq!(asks(10), 10 * BYTES_OF_ROW);
        assert_eq!(asks(0), PageRequest::DEFAULT_SIZE * BYTES_OF_ROW);
        assert_eq!(asks(1_000_000), PageRequest::MAX_SIZE * BYTES_OF_ROW);
        assert_eq!(list.estimate(b"\xff\xff"), PageRequest::DEFAULT_SIZE * BYTES_OF_ROW);
        let batch = bulk("UserService/BatchGetUsers").unwrap();
        let user_ids = vec!["01900000-0000-7000-8000-000000000000".to_owned(); 7];
        let external_ids = vec!["x".to_owned(); 5];
        let request = pb::BatchGetUsersRequest { user_ids, external_ids, ..Default::default() };
        assert_eq!(batch.estimate(&request.encode_to_vec()), 12 * BYTES_OF_ROW);
        assert_eq!(batch.estimate(b"\xff\xff"), BYTES_OF_ROW);
        assert_eq!(bulk("UserService/GetUser"), None);
        assert_eq!(bulk("EventService/WatchEvents"), None);
    }
}
