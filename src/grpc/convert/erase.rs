//! Erases a person from a stored event.

use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind};

use super::{diff, stored_event::Stored};
use crate::models::{Email, Erased, Event, NormalizedEmail, Person, ResourceType, event::Details};

/// Texts of resources that say nothing about a person: ids of this service, and words of its own. Every other text, list and document is
/// erased, so that a new field is erased unless it is added here. `external_id` and `provider_user_id` are ids of persons elsewhere.
const KEPT: [&str; 13] = [
    "id",
    "user_id",
    "organization_id",
    "api_key_id",
    "created_by",
    "invited_by",
    "etag",
    "role",
    "permissions",
    "scopes",
    "provider",
    "prefix",
    "plan",
];

/// What is left of an event after a person was erased from it. Of the person's own resources, ids, times, states and permissions are
/// left; of the person's own calls, their ids. What cannot be decoded is removed.
pub fn erased(event: &Event, person: &Person) -> Erased {
    let mut stored = Stored::decode(event.details.0.as_slice()).unwrap_or_default();
    let mut addresses = Vec::new();
    if person.is_subject_of(event) {
        for state in [&mut stored.before, &mut stored.after] {
            *state = match (event.resource_type, state.take()) {
                (Some(kind), Some(bytes)) => resource(kind, &bytes, &mut addresses),
                (None, _) | (_, None) => None,
            };
        }
        stored.member = stored.member.and_then(|user| resource(ResourceType::User, &user, &mut addresses));
        stored.metadata.clear();
        stored.erased = true;
    }
    if person.is_actor_of(event) {
        stored.ip_address.clear();
        stored.metadata.clear();
        stored.erased = true;
    }
    // In an organization that is erased along with its only member, others had addresses too.
    addresses.retain(|_| event.user_id == Some(person.user_id));
    Erased { details: Details(stored.encode_to_vec()), addresses }
}

/// A resource without personal data. Notes the e-mail of a user.
fn resource(kind: ResourceType, bytes: &[u8], addresses: &mut Vec<NormalizedEmail>) -> Option<Vec<u8>> {
    let descriptor = diff::descriptor_of(kind)?;
    let before = DynamicMessage::decode(descriptor.clone(), bytes).ok()?;
    if kind == ResourceType::User
        && let Some(email) = before.get_field_by_name("email")
    {
        let email = email.as_str().and_then(|text| Email::parse(text).ok());
        addresses.extend(email.map(|email| email.into_parts().1));
    }
    // Built anew, because a decoded message also keeps fields that this version does not know.
    let mut after = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields().filter(is_kept) {
        if before.has_field(&field) {
            after.set_field(&field, before.get_field(&field).into_owned());
        }
    }
    Some(after.encode_to_vec())
}

fn is_kept(field: &FieldDescriptor) -> bool {
    match field.kind() {
        Kind::String => KEPT.contains(&field.name()),
        Kind::Bytes => false,
        Kind::Message(message) => message.full_name() == "google.protobuf.Timestamp",
        _ => !field.is_map(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb;

    #[test]
    fn of_a_user_only_ids_times_and_states_are_left() {
        let user = pb::User {
            id: "id".to_owned(),
            email: "ada@example.com".to_owned(),
            name: "Ada".to_owned(),
            avatar_url: "https://example.com/ada".to_owned(),
            external_id: "42".to_owned(),
            etag: "r1".to_owned(),
            is_platform_admin: true,
            state: pb::UserState::Active.into(),
            metadata: Some(prost_types::Struct::default()),
            created_at: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
            ..Default::default()
        };
        let mut addresses = Vec::new();
        let left = resource(ResourceType::User, &user.encode_to_vec(), &mut addresses).unwrap();
        let left = pb::User::decode(left.as_slice()).unwrap();
        let expected = pb::User {
            id: "id".to_owned(),
            etag: "r1".to_owned(),
            is_platform_admin: true,
            state: pb::UserState::Active.into(),
            created_at: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
            ..Default::default()
        };
        assert_eq!(left, expected);
        assert_eq!(addresses.len(), 1);
    }

    #[test]
    fn a_field_that_this_version_does_not_know_is_erased() {
        // Field 1000 with a text.
        let unknown = [0xC2, 0x3E, 6, b'c', b'a', b'n', b'a', b'r', b'y'];
        let left = resource(ResourceType::Session, &unknown, &mut Vec::new()).unwrap();
        assert!(left.is_empty());
    }
}
