//! Differences between two messages of a resource, field by field, for any kind of resource.

use std::sync::LazyLock;

use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use prost_types::{ListValue, Value as WireValue, value::Kind as WireKind};

use crate::{DESCRIPTOR_SET, models::ResourceType, pb};

/// Fields that every change changes, and that carry no information.
const LEFT_OUT: [&str; 2] = ["etag", "updated_at"];

pub(super) static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let mut pool = DescriptorPool::new();
    // The access rules are read from the same bytes at startup, which fails if they cannot be decoded.
    let _ = pool.decode_file_descriptor_set(DESCRIPTOR_SET);
    pool
});

/// The field that only platform admins see.
const PRIVATE: &str = "private_metadata";

/// The message of a kind of resource.
pub(super) fn descriptor_of(kind: ResourceType) -> Option<MessageDescriptor> {
    POOL.get_message_by_name(match kind {
        ResourceType::User => "tenantry.v1.User",
        ResourceType::Organization => "tenantry.v1.Organization",
        ResourceType::Membership => "tenantry.v1.Membership",
        ResourceType::Role => "tenantry.v1.Role",
        ResourceType::Invitation => "tenantry.v1.Invitation",
        ResourceType::OauthAccount => "tenantry.v1.OauthAccount",
        ResourceType::Session => "tenantry.v1.Session",
        ResourceType::ApiKey => "tenantry.v1.ApiKey",
    })
}

/// An encoded message of a kind without what only platform admins see; `None` if it cannot be decoded.
pub(super) fn without_private(kind: ResourceType, message: &[u8]) -> Option<Vec<u8>> {
    let descriptor = descriptor_of(kind)?;
    let Some(private) = descriptor.get_field_by_name(PRIVATE) else { return Some(message.to_vec()) };
    let mut message = DynamicMessage::decode(descriptor, message).ok()?;
    message.clear_field(&private);
    Some(message.encode_to_vec())
}

/// The fields that differ between two encoded messages of one kind; `None` if they cannot be decoded.
pub(super) fn changes(kind: ResourceType, before: Option<&[u8]>, after: Option<&[u8]>) -> Option<Vec<pb::FieldChange>> {
    let descriptor = descriptor_of(kind)?;
    let read = |bytes: Option<&[u8]>| match bytes {
        None => Some(None),
        Some(bytes) => DynamicMessage::decode(descriptor.clone(), bytes).ok().map(Some),
    };
    Some(between(&descriptor, read(before)?.as_ref(), read(after)?.as_ref()))
}

fn between(
    descriptor: &MessageDescriptor,
    before: Option<&DynamicMessage>,
    after: Option<&DynamicMessage>,
) -> Vec<pb::FieldChange> {
    let mut changes = Vec::new();
    for field in descriptor.fields().filter(|field| !LEFT_OUT.contains(&field.name())) {
        let (before, after) = (field_value(before, &field), field_value(after, &field));
        if before != after {
            changes.push(pb::FieldChange { field: field.name().to_owned(), before: Some(before), after: Some(after) });
        }
    }
    changes
}

fn field_value(message: Option<&DynamicMessage>, field: &FieldDescriptor) -> WireValue {
    match message {
        Some(message) if message.has_field(field) || !field.supports_presence() => {
            value(&message.get_field(field), &field.kind())
        }
        _ => wire_value(WireKind::NullValue(0)),
    }
}

/// A value as JSON.
fn value(of: &Value, kind: &Kind) -> WireValue {
    wire_value(match of {
        Value::Bool(value) => WireKind::BoolValue(*value),
        Value::I32(value) => WireKind::NumberValue(f64::from(*value)),
        Value::U32(value) => WireKind::NumberValue(f64::from(*value)),
        Value::F32(value) => WireKind::NumberValue(f64::from(*value)),
        Value::F64(value) => WireKind::NumberValue(*value),
        // As in the JSON mapping of messages: a JSON number cannot hold them all.
        Value::I64(value) => WireKind::StringValue(value.to_string()),
        Value::U64(value) => WireKind::StringValue(value.to_string()),
        Value::String(text) => WireKind::StringValue(text.clone()),
        Value::EnumNumber(number) => {
            let name = kind.as_enum().and_then(|kind| kind.get_value(*number)).map(|value| value.name().to_owned());
            WireKind::StringValue(name.unwrap_or_else(|| number.to_string()))
        }
        Value::List(values) => {
            WireKind::ListValue(ListValue { values: values.iter().map(|item| value(item, kind)).collect() })
        }
        Value::Message(message) => {
            let bytes = message.encode_to_vec();
            match message_name(message).as_str() {
                "google.protobuf.Timestamp" => WireKind::StringValue(
                    prost_types::Timestamp::decode(bytes.as_slice()).unwrap_or_default().to_string(),
                ),
                _ => WireKind::StructValue(prost_types::Struct::decode(bytes.as_slice()).unwrap_or_default()),
            }
        }
        // No resource has a field of bytes or maps.
        Value::Bytes(_) | Value::Map(_) => WireKind::NullValue(0),
    })
}

fn message_name(message: &DynamicMessage) -> String {
    prost_reflect::ReflectMessage::descriptor(message).full_name().to_owned()
}

fn wire_value(kind: WireKind) -> WireValue {
    WireValue { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(before: Option<&pb::User>, after: Option<&pb::User>) -> Vec<String> {
        let encoded = |user: Option<&pb::User>| user.map(prost::Message::encode_to_vec);
        let (before, after) = (encoded(before), encoded(after));
        let changes = changes(ResourceType::User, before.as_deref(), after.as_deref()).unwrap_or_default();
        changes.into_iter().map(|change| change.field).collect()
    }

    #[test]
    fn a_change_names_the_fields_that_differ() {
        let before = pb::User {
            id: "x".to_owned(),
            name: "Ada".to_owned(),
            etag: "r1".to_owned(),
            state: pb::UserState::Active.into(),
            metadata: Some(prost_types::Struct::default()),
            ..Default::default()
        };
        let after = pb::User {
            name: "Eve".to_owned(),
            etag: "r2".to_owned(),
            email_verified_at: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
            ..before.clone()
        };
        assert_eq!(changed(Some(&before), Some(&after)), ["email_verified_at", "name"]);
        assert_eq!(changed(Some(&before), Some(&before)), Vec::<String>::new());
        assert!(changed(None, Some(&before)).contains(&"state".to_owned()));
        assert!(!changed(Some(&before), None).contains(&"email_verified_at".to_owned()));
    }

    #[test]
    fn no_resource_has_a_field_that_a_change_could_not_tell() {
        for name in ["User", "Organization", "Membership", "Role", "Invitation", "OauthAccount", "Session", "ApiKey"] {
            for field in POOL.get_message_by_name(&format!("tenantry.v1.{name}")).unwrap().fields() {
                let tellable = match field.kind() {
                    Kind::Bytes => false,
                    Kind::Message(of) => {
                        ["google.protobuf.Timestamp", "google.protobuf.Struct"].contains(&of.full_name())
                    }
                    _ => true,
                };
                assert!(tellable && !field.is_map(), "{}", field.full_name());
            }
        }
    }
}
