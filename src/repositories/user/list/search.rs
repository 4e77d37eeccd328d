//! Search of all users by a part of the name or the e-mail.

use super::{Span, UserRepository, UserRow, row_id};
use crate::{
    error::Result,
    models::{
        Cursor, Fragment, Page, PageRequest, User, UserFilter, UserId,
        search::{Searched, searchable},
    },
};

/// True if the name or the e-mail of a user contains a fragment.
pub(super) fn has_fragment(row: &UserRow, fragment: &Fragment) -> bool {
    fragment.is_in(&searchable(&[row.name.as_str(), row.email_normalized.as_str()]))
}

impl UserRepository<'_> {
    /// A page of all users with a fragment in their name or e-mail, in order of creation. Takes no reach: the caller reaches all users.
    pub(super) async fn search_all(
        &mut self,
        fragment: &Fragment,
        filter: &UserFilter,
        page: &PageRequest,
    ) -> Result<Page<User>> {
        let mut span = Span::of(page);
        let (mut rows, mut parts): (Vec<UserRow>, _) = (Vec::new(), page.parts());
        let mut progress = self.conn.search().begin(Searched::Users, fragment, span, page.order).await?;
        loop {
            let found = self.conn.search().step(fragment, span, &mut progress).await?;
            let (asked, searched_to) = progress.part(&found);
            let mut rest = asked;
            while let Some(ids) = parts.next(&mut rest, rows.len()) {
                let ids: Vec<UserId> = ids.iter().copied().map(UserId).collect();
                let passing = self.passing(&ids, filter, page).await?;
                rows.extend(passing.into_iter().filter(|row| has_fragment(row, fragment)));
                progress.compared(ids.len());
            }
            match searched_to {
                Some(end) if rows.len() <= page.size && !progress.is_finished() => span = span.beyond(end, page.order),
                end => return Ok(page.page_looked_at(rows, end.map(Cursor::by_id), row_id)),
            }
        }
    }
}
