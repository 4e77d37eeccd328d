//! Events: from changes to stored events, and from those to the wire.

use std::collections::HashMap;

use prost::Message;

use super::{Listing, Lists, Validation, diff, erase, event_filter::CallFilter, specified, stored_event::Stored, time};
use crate::{
    app::event::WatchStart,
    error::{Error, Result},
    models::{
        Action, Actor, ActorKind, Change, Event, EventFilter, EventId, OrganizationId, Origin, Person, Presented,
        Principal, ResourceType, Seen, Sequence, State, Timestamp, User,
        event::{Details, View},
        stored::StoredText as _,
    },
    pb::{self, event::Resource, export_snapshot_response::Item},
    security::event_cursor::EventCursors,
};

/// Maximum number of entries of an action filter.
const MAX_ACTIONS: usize = 20;

/// The event of a change. Of persons who are being erased it records nothing but ids.
pub fn of_change(change: Change, origin: &Origin, id: EventId, now: Timestamp, erasing: &[Person]) -> Event {
    let api_key = |presented| match presented {
        Presented::ApiKey { id, .. } => Some(id),
        Presented::Session(_) => None,
    };
    let (actor_kind, actor_user_id, actor_organization_id, actor_api_key_id) = match origin.actor {
        Actor::System => (ActorKind::System, None, None, None),
        Actor::Caller { owner: Principal::Organization(owner), presented } => {
            (ActorKind::Organization, None, Some(owner), api_key(presented))
        }
        Actor::Caller { owner: Principal::User { id: owner, is_platform_admin }, presented } => {
            let kind = if is_platform_admin { ActorKind::PlatformAdmin } else { ActorKind::User };
            (kind, Some(owner), None, api_key(presented))
        }
    };
    let session = match origin.actor {
        Actor::Caller { presented: Presented::Session(id), .. } => id.to_string(),
        Actor::Caller { .. } | Actor::System => String::new(),
    };
    let address = change.address();
    let refusal = change.refusal;
    let stored = Stored {
        before: change.before.map(message),
        after: change.after.map(message),
        method: origin.method.clone(),
        call_id: origin.call_id.clone(),
        ip_address: origin.ip_address.map(|address| address.to_canonical().to_string()).unwrap_or_default(),
        request_id: origin.request_id.map(|id| id.to_string()).unwrap_or_default(),
        metadata: origin.metadata.clone(),
        session,
        member: change.member.map(|user| without_sign_in(Seen::whole(user)).encode_to_vec()),
        count: refusal.as_ref().map_or(0, |refusal| refusal.count),
        reason: refusal.map(|refusal| refusal.reason).unwrap_or_default(),
        erased: false,
    };
    let mut event = Event {
        id,
        created_at: now,
        action: change.action,
        actor_kind,
        actor_user_id,
        actor_organization_id,
        actor_api_key_id,
        organization_id: change.subject.organization_id,
        user_id: change.subject.user_id,
        resource_type: change.subject.resource.map(|(kind, _)| kind),
        resource_id: change.subject.resource.map(|(_, id)| id),
        revision: change.subject.revision,
        address,
        details: Details(stored.encode_to_vec()),
    };
    for person in erasing {
        event.details = erase::erased(&event, person).details;
        event.address = event.address.filter(|_| !person.is_subject_of(&event));
    }
    event
}

/// A resource in a snapshot, for a reader who sees all of it or not.
pub fn snapshot_item(Seen { resource, is_whole }: Seen<State>) -> Item {
    match resource {
        State::User(resource) => Item::User(without_sign_in(Seen { resource, is_whole })),
        State::Organization(resource) => Item::Organization(Seen { resource, is_whole }.into()),
        State::Membership(resource) => Item::Membership(Seen { resource, is_whole }.into()),
        State::Role(role) => Item::Role(role.into()),
        State::Invitation(invitation) => Item::Invitation(invitation.into()),
        State::OauthAccount(account) => Item::OauthAccount(account.into()),
        State::Session(session) => Item::Session(session.into()),
        State::ApiKey(key) => Item::ApiKey(key.into()),
    }
}

/// A user as of a revision. The last sign-in is not part of it: it has no event of its own, so a mirror could not follow it.
fn without_sign_in(user: Seen<User>) -> pb::User {
    pb::User { last_sign_in_at: None, ..user.into() }
}

/// The whole of a resource. [`visible`] leaves out what a reader does not see.
fn message(state: State) -> Vec<u8> {
    match state {
        State::User(user) => without_sign_in(Seen::whole(user)).encode_to_vec(),
        State::Organization(organization) => pb::Organization::from(Seen::whole(organization)).encode_to_vec(),
        State::Membership(membership) => pb::Membership::from(Seen::whole(membership)).encode_to_vec(),
        State::Role(role) => pb::Role::from(role).encode_to_vec(),
        State::Invitation(invitation) => pb::Invitation::from(invitation).encode_to_vec(),
        State::OauthAccount(account) => pb::OauthAccount::from(account).encode_to_vec(),
        State::Session(token) => pb::Session::from(token).encode_to_vec(),
        State::ApiKey(key) => pb::ApiKey::from(key).encode_to_vec(),
    }
}

/// An event as seen in a view.
///
/// # Errors
/// [`Error::Internal`] for an event whose details cannot be decoded.
pub fn visible((sequence, event): (Sequence, Event), view: View) -> Result<pb::Event> {
    let unreadable = || Error::internal(format!("the details of the event {sequence} cannot be read"));
    let mut stored = Stored::decode(event.details.0.as_slice()).map_err(|_| unreadable())?;
    if let (Some(kind), View::Organization | View::User(_)) = (event.resource_type, view) {
        // From here on, nothing of it is left to be shown.
        for resource in [&mut stored.before, &mut stored.after].into_iter().flatten() {
            *resource = diff::without_private(kind, resource).ok_or_else(unreadable)?;
        }
        if let Some(member) = &mut stored.member {
            *member = diff::without_private(ResourceType::User, member).ok_or_else(unreadable)?;
        }
    }
    let of_member = is_of_member(&event, view);
    if of_member {
        stored.before = not_deleted(stored.before).map_err(|_| unreadable())?;
        stored.after = not_deleted(stored.after).map_err(|_| unreadable())?;
        // A user verifies its e-mail by accepting another organization's invitation, for instance.
        stored.method.clear();
    }
    let member = stored.member.as_deref().map(pb::User::decode).transpose().map_err(|_| unreadable())?;
    let changes = match event.resource_type {
        Some(kind) => diff::changes(kind, stored.before.as_deref(), stored.after.as_deref()).ok_or_else(unreadable)?,
        None => Vec::new(),
    };
    let resource = match (event.resource_type, stored.after.as_deref()) {
        (Some(kind), Some(after)) => Some(resource(kind, after).map_err(|_| unreadable())?),
        (None, _) | (_, None) => None,
    };
    let reason = pb::ErrorReason::from_str_name(&format!("ERROR_REASON_{}", stored.reason)).unwrap_or_default();
    let shown = shown(&event, view);
    let of_call = |text: String| if shown == ActorVisibility::All { text } else { String::new() };
    Ok(pb::Event {
        sequence,
        id: event.id.to_string(),
        created_at: Some(time(event.created_at)),
        action: event.action.as_stored().to_owned(),
        organization_id: text(event.organization_id),
        user_id: text(event.user_id),
        resource_type: event.resource_type.map_or(pb::ResourceType::Unspecified, wire_kind).into(),
        resource_id: text(event.resource_id),
        revision: event.revision,
        resource,
        member,
        changes,
        metadata: if shown == ActorVisibility::All { stored.metadata.into_iter().collect() } else { HashMap::new() },
        method: stored.method,
        request_id: of_call(stored.request_id),
        reason: reason.into(),
        count: i32::try_from(stored.count).unwrap_or(i32::MAX),
        is_erased: stored.erased,
        actor: Some(pb::Actor {
            kind: wire_actor_kind(event.actor_kind).into(),
            user_id: text(event.actor_user_id.filter(|_| shown != ActorVisibility::Kind)),
            organization_id: text(event.actor_organization_id.filter(|_| shown != ActorVisibility::Kind)),
            api_key_id: text(event.actor_api_key_id.filter(|_| shown == ActorVisibility::All)),
            ip_address: of_call(stored.ip_address),
            call_id: of_call(stored.call_id),
            session_id: of_call(stored.session),
        }),
    })
}

/// How much of an actor is visible.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ActorVisibility {
    /// Its kind.
    Kind,
    /// Also its identity.
    Owner,
    /// Also its key, its address, and the call's metadata.
    All,
}

/// True for an event of a user that an organization sees because the user was its member.
fn is_of_member(event: &Event, view: View) -> bool {
    view == View::Organization && event.resource_type == Some(ResourceType::User)
}

/// The message of a user, unless the user is deleted: organizations do not see deleted users.
fn not_deleted(bytes: Option<Vec<u8>>) -> std::result::Result<Option<Vec<u8>>, prost::DecodeError> {
    let Some(bytes) = bytes else { return Ok(None) };
    let user = pb::User::decode(bytes.as_slice())?;
    Ok(user.deleted_at.is_none().then_some(bytes))
}

fn shown(event: &Event, view: View) -> ActorVisibility {
    let of_the_platform = matches!(event.actor_kind, ActorKind::PlatformAdmin | ActorKind::System);
    match view {
        // A user sees its own calls, also those from when it was a platform admin.
        View::User(id) if event.actor_user_id == Some(id) => ActorVisibility::All,
        // Tenants learn that the platform acted, but not who.
        View::Organization | View::User(_) if of_the_platform => ActorVisibility::Kind,
        // What a user does with its own account is not the organization's: not from where, nor with which credential.
        View::Organization if is_of_member(event, view) => {
            let is_own = event.actor_user_id.is_some() && event.actor_user_id == event.user_id;
            if is_own { ActorVisibility::Owner } else { ActorVisibility::Kind }
        }
        View::User(_) => ActorVisibility::Owner,
        View::Platform | View::Organization => ActorVisibility::All,
    }
}

fn resource(kind: ResourceType, bytes: &[u8]) -> std::result::Result<Resource, prost::DecodeError> {
    Ok(match kind {
        ResourceType::User => Resource::User(pb::User::decode(bytes)?),
        ResourceType::Organization => Resource::Organization(pb::Organization::decode(bytes)?),
        ResourceType::Membership => Resource::Membership(pb::Membership::decode(bytes)?),
        ResourceType::Role => Resource::Role(pb::Role::decode(bytes)?),
        ResourceType::Invitation => Resource::Invitation(pb::Invitation::decode(bytes)?),
        ResourceType::OauthAccount => Resource::OauthAccount(pb::OauthAccount::decode(bytes)?),
        ResourceType::Session => Resource::Session(pb::Session::decode(bytes)?),
        ResourceType::ApiKey => Resource::ApiKey(pb::ApiKey::decode(bytes)?),
    })
}

fn wire_actor_kind(kind: ActorKind) -> pb::ActorKind {
    match kind {
        ActorKind::System => pb::ActorKind::System,
        ActorKind::User => pb::ActorKind::User,
        ActorKind::Organization => pb::ActorKind::Organization,
        ActorKind::PlatformAdmin => pb::ActorKind::PlatformAdmin,
    }
}

fn text(id: Option<impl std::fmt::Display>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

fn wire_kind(kind: ResourceType) -> pb::ResourceType {
    match kind {
        ResourceType::User => pb::ResourceType::User,
        ResourceType::Organization => pb::ResourceType::Organization,
        ResourceType::Membership => pb::ResourceType::Membership,
        ResourceType::Role => pb::ResourceType::Role,
        ResourceType::Invitation => pb::ResourceType::Invitation,
        ResourceType::OauthAccount => pb::ResourceType::OauthAccount,
        ResourceType::Session => pb::ResourceType::Session,
        ResourceType::ApiKey => pb::ResourceType::ApiKey,
    }
}

/// The kind of a number; `Some(None)` for the unspecified one.
fn read_kind(number: i32) -> Option<Option<ResourceType>> {
    let wire = pb::ResourceType::try_from(number).ok()?;
    Some(ResourceType::ALL.iter().copied().find(|kind| wire_kind(*kind) == wire))
}

/// Parses a ListEvents request.
pub fn list(lists: Lists<'_>, request: &pb::ListEventsRequest) -> Result<(Listing<EventFilter>, CallFilter)> {
    let mut check = Validation::default();
    let page = check.page(lists, request);
    let organization_id = check.optional_id("organization_id", &request.organization_id);
    let user_id = check.optional_id("user_id", &request.user_id);
    let resource_type = check.optional_choice("resource_type", read_kind(request.resource_type));
    let resource_id = check.optional_id("resource_id", &request.resource_id);
    let actor_user_id = check.optional_id("actor_user_id", &request.actor_user_id);
    let actor_api_key_id = check.optional_id("actor_api_key_id", &request.actor_api_key_id);
    let actions = actions(&mut check, &request.actions, resource_type.map(|kind| kind.into_iter().collect()));
    let filter = (|| {
        Some(EventFilter {
            organization_id: organization_id?,
            user_id: user_id?,
            resource_id: resource_id?,
            actor_user_id: actor_user_id?,
            actor_api_key_id: actor_api_key_id?,
            actions: actions?,
        })
    })();
    let of_call = CallFilter::parse(&mut check, request);
    let (Some(filter), Some(page), Some(of_call)) = (filter, page, of_call) else { return Err(check.failed()) };
    Ok((Listing::new(filter, page), of_call))
}

/// Parses a WatchEvents request: the filter, and where to begin.
pub fn watch(cursors: &EventCursors, request: &pb::WatchEventsRequest) -> Result<(EventFilter, WatchStart)> {
    let mut check = Validation::default();
    let organization_id = check.optional_id("organization_id", &request.organization_id);
    let resource_types = kinds(&mut check, &request.resource_types);
    let actions = actions(&mut check, &request.actions, resource_types);
    let cursor = check.optional("cursor", &request.cursor, |text| {
        cursors.read(text).ok_or("must be a cursor of WatchEvents or ExportSnapshot")
    });
    let time = check.optional_bound("start_time", request.start_time.as_ref());
    let is_one = request.cursor.is_empty() || request.start_time.is_none();
    let is_one = check.field("start_time", is_one.then_some(()).ok_or("must be unset with cursor"));
    let (Some(organization_id), Some(actions), Some(cursor), Some(time), Some(())) =
        (organization_id, actions, cursor, time, is_one)
    else {
        return Err(check.failed());
    };
    let start = match (cursor, time) {
        (Some(place), _) => WatchStart::After(place),
        (None, Some(time)) => WatchStart::At(time),
        (None, None) => WatchStart::Now,
    };
    Ok((EventFilter { organization_id, actions, ..EventFilter::default() }, start))
}

/// Parses an ExportSnapshot request: the organization, if any, and the kinds in their order.
pub fn export(request: &pb::ExportSnapshotRequest) -> Result<(Option<OrganizationId>, Vec<ResourceType>)> {
    let mut check = Validation::default();
    let organization_id = check.optional_id("organization_id", &request.organization_id);
    let resource_types = kinds(&mut check, &request.resource_types);
    if request.resource_types.is_empty() {
        check.violation("resource_types", "must name at least one kind");
    }
    let mut sorted = request.resource_types.clone();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() != request.resource_types.len() {
        check.violation("resource_types", "must name each kind once");
    }
    let of_organizations = [
        ResourceType::User,
        ResourceType::Organization,
        ResourceType::Role,
        ResourceType::Invitation,
        ResourceType::Membership,
        ResourceType::ApiKey,
    ];
    if let (Some(Some(_)), Some(kinds)) = (organization_id, &resource_types)
        && !kinds.iter().all(|kind| of_organizations.contains(kind))
    {
        check.violation(
            "resource_types",
            "must be of USER, ORGANIZATION, ROLE, INVITATION, MEMBERSHIP and API_KEY with an organization_id",
        );
    }
    let (true, Some(organization_id), Some(mut resource_types)) = (check.is_clean(), organization_id, resource_types)
    else {
        return Err(check.failed());
    };
    resource_types.sort_by_key(|kind| ResourceType::ALL.iter().position(|one| one == kind));
    Ok((organization_id, resource_types))
}

fn kinds(check: &mut Validation, numbers: &[i32]) -> Option<Vec<ResourceType>> {
    if numbers.len() > ResourceType::ALL.len() {
        check.violation("resource_types", format!("must have at most {} items", ResourceType::ALL.len()));
        return None;
    }
    check.items("resource_types", numbers, |number| specified(read_kind(*number)))
}

/// The actions selected by names and kinds of resources; `Some(None)` for all. A kind becomes the list of its actions, so that one index
/// serves both.
fn actions(check: &mut Validation, texts: &[String], kinds: Option<Vec<ResourceType>>) -> Option<Option<Vec<Action>>> {
    if texts.len() > MAX_ACTIONS {
        check.violation("actions", format!("must have at most {MAX_ACTIONS} items"));
        return None;
    }
    let named = check.items("actions", texts, |text| Action::named(text))?.concat();
    let kinds = kinds?;
    if named.is_empty() && kinds.is_empty() {
        return Some(None);
    }
    let is_named = |action: &Action| named.is_empty() || named.contains(action);
    let is_of_kind =
        |action: &Action| kinds.is_empty() || action.resource_type().is_some_and(|kind| kinds.contains(&kind));
    Some(Some(Action::ALL.iter().copied().filter(|action| is_named(action) && is_of_kind(action)).collect()))
}
