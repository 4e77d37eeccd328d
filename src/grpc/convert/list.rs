//! Lists: page sizes and page tokens, the same for every entity.

use prost::Message;

use super::Validation;
use crate::{
    models::{Page, PageRequest, Reach},
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
}

macro_rules! list_requests {
    ($($request:ident of $service:ident.$method:ident),+ $(,)?) => {$(
        impl ListRequest for pb::$request {
            const METHOD: &'static str = concat!(stringify!($service), ".", stringify!($method));

            fn page(&mut self) -> (&mut i32, &mut String) {
                (&mut self.page_size, &mut self.page_token)
            }
        }
    )+};
}

list_requests!(
    ListUsersRequest of UserService.ListUsers,
    ListOrganizationsRequest of OrganizationService.ListOrganizations,
    ListMembershipsRequest of MembershipService.ListMemberships,
    ListRolesRequest of RoleService.ListRoles,
    ListInvitationsRequest of InvitationService.ListInvitations,
    ListOauthAccountsRequest of OauthAccountService.ListOauthAccounts,
    ListSessionsRequest of SessionService.ListSessions,
    ListApiKeysRequest of ApiKeyService.ListApiKeys,
    ListPrincipalsWithPermissionRequest of AuthorizationService.ListPrincipalsWithPermission,
    ListEventsRequest of EventService.ListEvents,
);

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
        let (mut bytes, mut end, mut has_more, mut looked_to) = (0, None, page.has_more, page.looked_to);
        for (cursor, row) in page.rows {
            let message = M::from(row);
            bytes += message.encoded_len();
            if bytes > MAX_PAGE_BYTES {
                (has_more, looked_to) = (true, None);
                break;
            }
            messages.push(message);
            end = Some(cursor);
        }
        let end = looked_to.or(end);
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
        Some((PageRequest { size: size?, after: after? }, identity))
    }
}

fn size(size: i32) -> Result<usize, &'static str> {
    match usize::try_from(size) {
        Ok(0) => Ok(PageRequest::DEFAULT_SIZE),
        Ok(size) => Ok(size.min(PageRequest::MAX_SIZE)),
        Err(_) => Err("must not be negative"),
    }
}
