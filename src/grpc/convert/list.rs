//! Lists: page sizes and page tokens, the same for every entity.

use prost::Message;

use super::Validation;
use crate::{
    models::{Fragment, Order, Page, PageRequest, Period, Reach},
    pb,
    security::page_token::{ListIdentity, PageTokens},
};

/// Maximum size of the messages of a page in bytes. Clients accept 4 MiB by default; no message has 1 MiB.
const MAX_PAGE_BYTES: usize = 3 * 1024 * 1024;

/// A request for a page of a list.
pub(super) trait ListRequest: Message + Clone + Default {
    /// Full method name.
    const METHOD: &'static str;

    /// `page_size` and `page_token`.
    fn page(&mut self) -> (&mut i32, &mut String);

    /// `order`; `None` for an unknown number.
    fn order(&self) -> Option<pb::Order> {
        Some(pb::Order::Unspecified)
    }

    /// `created_from` and `created_before`.
    fn created(&self) -> [Option<&prost_types::Timestamp>; 2] {
        [None, None]
    }
}

macro_rules! list_requests {
    ($($request:ident of $service:ident.$method:ident $(by $order:ident)? $(with $created:ident)?),+ $(,)?) => {$(
        impl ListRequest for pb::$request {
            const METHOD: &'static str = concat!(stringify!($service), ".", stringify!($method));

            fn page(&mut self) -> (&mut i32, &mut String) {
                (&mut self.page_size, &mut self.page_token)
            }

            $(
                fn order(&self) -> Option<pb::Order> {
                    pb::Order::try_from(self.$order).ok()
                }
            )?

            $(
                fn $created(&self) -> [Option<&prost_types::Timestamp>; 2] {
                    [self.created_from.as_ref(), self.created_before.as_ref()]
                }
            )?
        }
    )+};
}

list_requests!(
    ListUsersRequest of UserService.ListUsers by order with created,
    ListOrganizationsRequest of OrganizationService.ListOrganizations by order with created,
    ListMembershipsRequest of MembershipService.ListMemberships by order with created,
    ListMembersRequest of MembershipService.ListMembers with created,
    ListRolesRequest of RoleService.ListRoles,
    ListInvitationsRequest of InvitationService.ListInvitations by order with created,
    ListOauthAccountsRequest of OauthAccountService.ListOauthAccounts by order with created,
    ListSessionsRequest of SessionService.ListSessions by order with created,
    ListApiKeysRequest of ApiKeyService.ListApiKeys by order with created,
    ListPrincipalsWithPermissionRequest of AuthorizationService.ListPrincipalsWithPermission,
);

impl ListRequest for pb::ListEventsRequest {
    const METHOD: &'static str = "EventService.ListEvents";

    fn page(&mut self) -> (&mut i32, &mut String) {
        (&mut self.page_size, &mut self.page_token)
    }

    /// Newest first unless specified.
    fn order(&self) -> Option<pb::Order> {
        let order = pb::Order::try_from(self.order).ok()?;
        Some(if order == pb::Order::Unspecified { pb::Order::NewestFirst } else { order })
    }

    fn created(&self) -> [Option<&prost_types::Timestamp>; 2] {
        [self.created_from.as_ref(), self.created_before.as_ref()]
    }
}

/// The means to read and write page tokens for one caller.
#[derive(Clone, Copy)]
pub struct Lists<'a> {
    /// Issues and opens them.
    pub tokens: &'a PageTokens,
    /// The caller's reach.
    pub reach: Reach,
}

/// A requested page of a list.
#[derive(Clone, Debug)]
pub struct Listing<F> {
    /// The filter.
    pub filter: F,
    /// The page.
    pub page: PageRequest,
    identity: ListIdentity,
}

impl<F> Listing<F> {
    /// The listing of a checked filter and page.
    pub(super) fn new(filter: F, (page, identity): (PageRequest, ListIdentity)) -> Self {
        Self { filter, page, identity }
    }

    /// The messages of a page, and the token of the next one; empty after the last page.
    ///
    /// A page ends early if more messages would exceed what a client accepts by default, or if it has scanned the maximum number of rows.
    pub fn answer<T, M: Message + From<T>>(&self, lists: Lists<'_>, page: Page<T>) -> (Vec<M>, String) {
        let mut messages = Vec::with_capacity(page.rows.len());
        let (mut bytes, mut end, mut has_more, mut searched_to) = (0, None, page.has_more, page.searched_to);
        for (cursor, row) in page.rows {
            let message = M::from(row);
            bytes += message.encoded_len();
            if bytes > MAX_PAGE_BYTES {
                (has_more, searched_to) = (true, None);
                break;
            }
            messages.push(message);
            end = Some(cursor);
        }
        let end = searched_to.or(end);
        let token = lists.tokens.write(&self.identity, end.as_ref().filter(|_| has_more));
        (messages, token)
    }
}

impl Validation {
    /// The page of a list request.
    pub(super) fn page<R: ListRequest>(
        &mut self,
        lists: Lists<'_>,
        request: &R,
    ) -> Option<(PageRequest, ListIdentity)> {
        let mut filter = request.clone();
        let (page_size, page_token) = filter.page();
        let (page_size, page_token) = (std::mem::take(page_size), std::mem::take(page_token));
        let identity = ListIdentity { method: R::METHOD, reach: lists.reach, filter: filter.encode_to_vec() };
        let size = self.field("page_size", size(page_size));
        let after = if page_token.is_empty() {
            Some(None)
        } else {
            let cursor = lists.tokens.read(&identity, &page_token);
            self.field("page_token", cursor.ok_or("must be the next_page_token of this list with the same filters"))
                .map(Some)
        };
        let order = self.field("order", order(request.order()));
        let created = self.period("created_from", "created_before", request.created());
        Some((PageRequest { size: size?, after: after?, order: order?, created: created? }, identity))
    }

    /// A range of times: each end may be unset.
    pub(super) fn period(
        &mut self,
        from_field: &str,
        before_field: &str,
        [from, before]: [Option<&prost_types::Timestamp>; 2],
    ) -> Option<Period> {
        let from = self.optional_bound(from_field, from);
        let before = self.optional_bound(before_field, before);
        Some(Period { from: from?, before: before? })
    }

    /// A fragment to search for; it may be empty.
    pub(super) fn fragment(&mut self, text: &str) -> Option<Option<Fragment>> {
        self.optional("query", text, Fragment::parse)
    }

    /// Refuses what a list in order of a prefix cannot do.
    pub(super) fn is_by_prefix(&mut self, prefix_field: &str, prefix: &str, order: i32, query: &str) -> Option<()> {
        if prefix.is_empty() {
            return Some(());
        }
        let rule = format!("must be unset with {prefix_field}");
        let by_order = self.field("order", if order == 0 { Ok(()) } else { Err(&rule) });
        let by_query = self.field("query", if query.is_empty() { Ok(()) } else { Err(&rule) });
        by_order.and(by_query)
    }
}

fn order(order: Option<pb::Order>) -> Result<Order, &'static str> {
    match order {
        Some(pb::Order::Unspecified | pb::Order::OldestFirst) => Ok(Order::OldestFirst),
        Some(pb::Order::NewestFirst) => Ok(Order::NewestFirst),
        None => Err("must be one of the enum's values"),
    }
}

fn size(size: i32) -> Result<usize, &'static str> {
    match usize::try_from(size) {
        Ok(0) => Ok(PageRequest::DEFAULT_SIZE),
        Ok(size) => Ok(size.min(PageRequest::MAX_SIZE)),
        Err(_) => Err("must not be negative"),
    }
}
