//! The filter of events by the call that caused them. It compares what the caller is shown, so that nobody finds an event by what is hidden
//! from them.

use super::Validation;
use crate::{
    models::{Page, PageRequest},
    pb,
};

/// Maximum size of a filter's text in bytes.
const MAX_TEXT: usize = 512;
/// Events that a page examines, unless it is larger.
const EXAMINED: usize = 100;

/// A filter by the call of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallFilter {
    ip_address: Option<String>,
    method: Option<String>,
    metadata_key: Option<String>,
    metadata_value: Option<String>,
}

impl CallFilter {
    /// Parses the filter of a ListEvents request.
    pub(super) fn parse(check: &mut Validation, request: &pb::ListEventsRequest) -> Option<Self> {
        let text = |text: &str| {
            if text.len() <= MAX_TEXT { Ok(text.to_owned()) } else { Err("must have at most 512 bytes") }
        };
        let address = |text: &str| match text.parse::<std::net::IpAddr>() {
            Ok(address) => Ok(address.to_canonical().to_string()),
            Err(_) => Err("must be an IP address"),
        };
        let ip_address = check.optional("ip_address", &request.ip_address, address);
        let method = check.optional("method", &request.method, text);
        let metadata_key = check.optional("metadata_key", &request.metadata_key, text);
        let metadata_value = check.optional("metadata_value", &request.metadata_value, text);
        let has_key = request.metadata_value.is_empty() || !request.metadata_key.is_empty();
        let has_key = check.field("metadata_value", has_key.then_some(()).ok_or("must be unset without metadata_key"));
        has_key.and_then(|()| {
            Some(Self {
                ip_address: ip_address?,
                method: method?,
                metadata_key: metadata_key?,
                metadata_value: metadata_value?,
            })
        })
    }

    fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// The page of events to examine for a page of matches.
    pub fn examined(&self, page: &PageRequest) -> PageRequest {
        let size = if self.is_all() { page.size } else { page.size.max(EXAMINED) };
        PageRequest { size, ..page.clone() }
    }

    /// The matches of an examined page, as a page of at most `size`. It continues after the last event that was examined.
    pub fn matches(&self, page: Page<pb::Event>, size: usize) -> Page<pb::Event> {
        if self.is_all() {
            return page;
        }
        let last = page.rows.last().map(|(cursor, _)| cursor.clone());
        let mut rows: Vec<_> = page.rows.into_iter().filter(|(_, event)| self.is_match(event)).collect();
        if rows.len() > size {
            rows.truncate(size);
            return Page { rows, has_more: true, searched_to: None };
        }
        let searched_to = page.searched_to.or(last).filter(|_| page.has_more);
        Page { rows, has_more: page.has_more, searched_to }
    }

    fn is_match(&self, event: &pb::Event) -> bool {
        let address = event.actor.as_ref().map(|actor| actor.ip_address.as_str());
        let is_of_value = |value: &String| self.metadata_value.as_ref().is_none_or(|wanted| wanted == value);
        self.ip_address.as_ref().is_none_or(|wanted| address == Some(wanted))
            && self.method.as_ref().is_none_or(|wanted| *wanted == event.method)
            && self.metadata_key.as_ref().is_none_or(|key| event.metadata.get(key).is_some_and(is_of_value))
    }
}
