//! Exporting everything that is stored about a user.

use uuid::Uuid;

use super::{
    App,
    event::StreamRights,
    guards,
    streams::{Slot, StreamKind},
};
use crate::{
    db::Conn,
    error::{Entity, Error, Result},
    models::{
        ApiKey, Caller, Event, EventId, Invitation, Membership, OauthAccount, PersonId, Reach, Seen, Sequence, Session,
        Trace, User, UserId,
    },
};

/// Maximum number of resources read at once. A resource has up to about 35 KiB.
const RESOURCES: i64 = 100;
/// Maximum number of events read at once. An event has up to about 70 KiB.
const EVENTS: i64 = 32;

/// Something that is stored about a user.
pub enum OwnDatum {
    /// The user.
    User(Seen<User>),
    /// A membership of the user.
    Membership(Seen<Membership>),
    /// An invitation to the user's address.
    ReceivedInvitation(Invitation),
    /// An invitation that the user sent.
    SentInvitation(Invitation),
    /// An account of the user at a provider.
    OauthAccount(OauthAccount),
    /// A session of the user.
    Session(Session),
    /// An API key of the user.
    ApiKey(ApiKey),
    /// An event about the user, or of a call of the user.
    Event(OwnEvent),
}

/// An event in an export.
pub struct OwnEvent {
    /// The event and its position.
    pub placed: (Sequence, Event),
    /// The user, who reads it.
    pub user_id: UserId,
    /// True if the event is about somebody or something else: what it shows of that is not the user's.
    pub is_of_call_only: bool,
}

/// The parts of an export, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    User,
    Memberships,
    ReceivedInvitations,
    SentInvitations,
    OauthAccounts,
    Sessions,
    ApiKeys,
    Events(Trace),
}

impl Part {
    const ALL: [Self; 10] = [
        Self::User,
        Self::Memberships,
        Self::ReceivedInvitations,
        Self::SentInvitations,
        Self::OauthAccounts,
        Self::Sessions,
        Self::ApiKeys,
        Self::Events(Trace::About),
        Self::Events(Trace::Address),
        Self::Events(Trace::By),
    ];
}

/// A running export. Each batch is read by itself, so that no snapshot is held while the client reads.
pub struct OwnData {
    user: User,
    /// Whether invitations to the address are included: only a proven address is known to be the user's.
    has_address: bool,
    parts: std::slice::Iter<'static, Part>,
    part: Option<Part>,
    after: Option<Uuid>,
}

/// Opens the export of what is stored about a user, for the user itself and for platform admins. They also export a deleted user.
///
/// # Errors
/// [`Error::StreamLimitReached`]; [`Error::NotFound`], [`Error::Denied`].
pub async fn open(app: &App, rights: &StreamRights, id: UserId) -> Result<(Slot, OwnData)> {
    let caller = &rights.caller;
    let user = app.db.read(async |conn| {
        if !caller.is_platform_admin() {
            return guards::own_user(conn, caller, id).await;
        }
        let found = conn.users().export(&Reach::User(id), None, 1).await?.pop();
        found.ok_or(Error::NotFound(Entity::User))
    });
    let user = user.await?;
    let slot = app.streams.open(caller, StreamKind::OwnData)?;
    let has_address = user.email_verified_at.is_some() || caller.is_platform_admin();
    let mut parts = Part::ALL.iter();
    let part = parts.next().copied();
    Ok((slot, OwnData { user, has_address, parts, part, after: None }))
}

impl OwnData {
    /// Reads the next batch; `None` at the end. Refuses a caller whose credential, scope or standing has ended meanwhile.
    pub async fn next(&mut self, app: &App, rights: &StreamRights) -> Result<Option<Vec<OwnDatum>>> {
        let Some(part) = self.part else { return Ok(None) };
        let (caller, now, id) = (&rights.caller, app.now(), self.user.id);
        let (user, after) = (&self.user, self.after);
        let is_left_out = !self.has_address && matches!(part, Part::ReceivedInvitations | Part::Events(Trace::Address));
        let batch = app.db.scan(async |conn| {
            guards::still_holds(conn, caller, &rights.scope, now).await?;
            guards::is_own(caller, id)?;
            if is_left_out { Ok(Batch::default()) } else { read(conn, caller, user, part, after).await }
        });
        let batch = batch.await?;
        self.after = batch.last;
        if batch.last.is_none() {
            self.part = self.parts.next().copied();
        }
        Ok(Some(batch.data))
    }
}

/// Data read at once.
#[derive(Default)]
struct Batch {
    data: Vec<OwnDatum>,
    /// Where the part continues; `None` at its end.
    last: Option<Uuid>,
}

impl Batch {
    /// A batch of rows of which at most `limit` were asked for.
    fn of<T>(rows: Vec<T>, limit: i64, id: impl Fn(&T) -> Uuid, datum: impl Fn(T) -> Option<OwnDatum>) -> Self {
        let is_full = i64::try_from(rows.len()).unwrap_or(i64::MAX) >= limit;
        let last = rows.last().filter(|_| is_full).map(id);
        Self { data: rows.into_iter().filter_map(datum).collect(), last }
    }
}

/// Reads the next rows of a part.
async fn read(conn: &mut Conn, caller: &Caller, user: &User, part: Part, after: Option<Uuid>) -> Result<Batch> {
    let own = &Reach::User(user.id);
    macro_rules! resources {
        ($rows:expr, $datum:expr) => {
            Batch::of($rows.await?, RESOURCES, |row| row.id.0, |row| Some($datum(row)))
        };
    }
    Ok(match part {
        // Read again, because it may have changed since the beginning.
        Part::User => {
            let rows = conn.users().export(own, None, 1).await?;
            Batch { data: rows.into_iter().map(|user| OwnDatum::User(caller.sees(user))).collect(), last: None }
        }
        Part::Memberships => {
            let membership = |membership| OwnDatum::Membership(caller.sees(membership));
            resources!(conn.memberships().export(own, after.map(Into::into), RESOURCES), membership)
        }
        Part::ReceivedInvitations => {
            let after = after.map(Into::into);
            resources!(conn.invitations().of_person(user, false, after, RESOURCES), OwnDatum::ReceivedInvitation)
        }
        Part::SentInvitations => {
            let after = after.map(Into::into);
            resources!(conn.invitations().of_person(user, true, after, RESOURCES), OwnDatum::SentInvitation)
        }
        Part::OauthAccounts => {
            resources!(conn.oauth_accounts().export(own, after.map(Into::into), RESOURCES), OwnDatum::OauthAccount)
        }
        Part::Sessions => {
            resources!(conn.sessions().of_person(user.id, after.map(Into::into), RESOURCES), OwnDatum::Session)
        }
        Part::ApiKeys => {
            resources!(conn.api_keys().export(own, after.map(Into::into), RESOURCES), OwnDatum::ApiKey)
        }
        Part::Events(trace) => {
            let subject = match trace {
                Trace::Address => PersonId::of_address(&user.email_normalized),
                Trace::About | Trace::By | Trace::Organization | Trace::Answers | Trace::Search => user.id.into(),
            };
            let rows = conn.events().of_person((trace, subject), after.map(EventId), EVENTS).await?;
            Batch::of(rows, EVENTS, |(_, event)| event.id.0, |placed| own_event(user.id, trace, placed))
        }
    })
}

/// An event as its user sees it, for platform admins too: what the user may read. One of a call of the user that is also about the user
/// comes only once.
fn own_event(user: UserId, trace: Trace, placed: (Sequence, Event)) -> Option<OwnDatum> {
    let is_about = placed.1.user_id == Some(user);
    if trace == Trace::By && is_about {
        return None;
    }
    Some(OwnDatum::Event(OwnEvent { placed, user_id: user, is_of_call_only: trace == Trace::By }))
}
