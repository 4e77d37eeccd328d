//! The persons whose data a message holds.

use std::collections::BTreeSet;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use uuid::Uuid;

use super::diff;
use crate::models::{Email, PersonId, UserId};

/// The users and the addresses in an encoded message. Its fields are skipped, not decoded: every answer with a request id is read.
pub fn in_message(name: &str, bytes: &[u8]) -> Vec<PersonId> {
    let mut found = BTreeSet::new();
    if let Some(message) = diff::POOL.get_message_by_name(name) {
        // Encoded by this process, so it is well-formed.
        let _ = collect(&message, bytes, &mut found);
    }
    found.into_iter().collect()
}

/// Adds the persons in a message; `None` if it is malformed.
fn collect(message: &MessageDescriptor, mut bytes: &[u8], found: &mut BTreeSet<PersonId>) -> Option<()> {
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let length = match key & 7 {
            0 => {
                varint(&mut bytes)?;
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut bytes)?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (content, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        let Some(field) = message.get_field(u32::try_from(key >> 3).ok()?) else { continue };
        match field.kind() {
            Kind::String => found.extend(person(message, &field, content)),
            // Only documents nest without a bound.
            Kind::Message(inner) if inner.package_name() == message.package_name() => {
                collect(&inner, content, found)?;
            }
            _ => {}
        }
    }
    Some(())
}

fn person(message: &MessageDescriptor, field: &FieldDescriptor, content: &[u8]) -> Option<PersonId> {
    let text = std::str::from_utf8(content).ok()?;
    match (message.name(), field.name()) {
        ("User", "id") | (_, "user_id") => Uuid::parse_str(text).ok().map(|id| UserId(id).into()),
        // The account has another address at its provider, which no invitation leads to.
        ("User" | "OauthAccount", _) => None,
        (_, "email" | "former_email") => {
            Email::parse(text).ok().map(|email| PersonId::of_address(&email.into_parts().1))
        }
        _ => None,
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use prost::{Message as _, Name as _};

    use super::*;
    use crate::pb;

    #[test]
    fn a_response_names_the_users_and_the_addresses_that_it_shows() {
        let (user_id, other, email) = (Uuid::from_u128(1), Uuid::from_u128(2), "Ada@Example.com");
        let user = pb::User {
            id: user_id.to_string(),
            email: "eve@example.com".to_owned(),
            metadata: Some(prost_types::Struct::default()),
            created_at: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 1 }),
            is_platform_admin: true,
            ..Default::default()
        };
        let response = pb::UpdateUserResponse { user: Some(user) };
        let persons = in_message(&pb::UpdateUserResponse::full_name(), &response.encode_to_vec());
        assert_eq!(persons, [PersonId(user_id)]);

        let invitation =
            pb::Invitation { email: email.to_owned(), invited_by: other.to_string(), ..Default::default() };
        let response = pb::CreateInvitationResponse { invitation: Some(invitation), ..Default::default() };
        let persons = in_message(&pb::CreateInvitationResponse::full_name(), &response.encode_to_vec());
        assert_eq!(persons, [PersonId::of_address(&Email::parse(email).unwrap().into_parts().1)]);

        assert_eq!(in_message("tenantry.v1.User", &[0xFF]), []);
    }
}
