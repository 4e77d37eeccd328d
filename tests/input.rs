//! Invalid input of every kind, for every method: a clear refusal, no writes, no implementation details.

use std::sync::Arc;

use prost_reflect::{FieldDescriptor, Kind, MethodDescriptor, Value};
use prost_types::{Struct, Value as WireValue, value::Kind as WireKind};
use tenantry::pb::{self, ErrorReason};
use tonic::{Code, Status};

use crate::support::{
    Answered as _, Test, both, mask, object, raw,
    refusal::{assert_says_nothing_of_the_inside, fields, reason_of},
    refused,
    request::{World, encode, set_text, text_fields, update_only},
};

/// Encodes a deeply nested `Struct` by hand, since no library can build it.
fn nested_struct(levels: usize) -> Vec<u8> {
    let length = |bytes: &[u8]| {
        let mut varint = Vec::new();
        let mut rest = bytes.len();
        while rest >= 0x80 {
            varint.push(u8::try_from(rest % 0x80).unwrap() | 0x80);
            rest /= 0x80;
        }
        varint.push(u8::try_from(rest).unwrap());
        varint
    };
    let field = |tag: u8, bytes: Vec<u8>| [vec![tag], length(&bytes), bytes].concat();
    (0..levels).fold(Vec::new(), |inner, _| {
        // fields { key: "a" value { struct_value: inner } }
        let value = field(0x2a, inner);
        field(0x0a, [field(0x0a, b"a".to_vec()), field(0x12, value)].concat())
    })
}

/// Calls a method as a platform admin.
async fn call(t: &Test, method: &MethodDescriptor, request: Vec<u8>) -> Result<Vec<u8>, Status> {
    raw::call(&t.anonymous(), &raw::path(method), request, raw::bearer(&[&t.admin_key_for(method).await])).await
}

#[both]
async fn no_text_in_any_field_of_any_method_breaks_anything(t: Arc<Test>) {
    let world = World::make(&t).await;
    let long = "x".repeat(100_000);
    let texts = [
        "\0",
        "a\0b",
        "\u{202E}",
        "\u{FFFF}",
        "'; DROP TABLE cf_users; --",
        "%",
        "../../etc/passwd",
        "\r\n\r\n",
        "\u{200B}",
        "a\u{200D}b",
        "\u{2800}",
        "\u{3164}",
        "a\u{AD}b@example.com",
        "\u{5D0}b@example.com",
        "a@\u{FFFD}.de",
        "\u{FDFA}\u{FDFA}@example.com",
        "\u{E0061}",
        "\u{301}",
        &long,
    ];
    for method in raw::methods() {
        for path in text_fields(&world.request(&method)) {
            for text in texts {
                let mut request = world.request(&method);
                update_only(&mut request, &path[0]);
                set_text(&mut request, &path, text);
                let answer = call(&t, &method, encode(&request)).await;
                let Err(status) = answer else { continue };
                let expected = [
                    Code::InvalidArgument,
                    Code::NotFound,
                    Code::FailedPrecondition,
                    Code::Aborted,
                    Code::AlreadyExists,
                ];
                assert!(
                    expected.contains(&status.code()),
                    "{} of {}: {text:.20}: {status:?}",
                    path.iter().map(FieldDescriptor::name).collect::<Vec<_>>().join("."),
                    method.full_name()
                );
                assert_says_nothing_of_the_inside(&status);
            }
        }
    }
}

#[both]
async fn unknown_enum_numbers_are_refused_and_named(t: Arc<Test>) {
    let world = World::make(&t).await;
    for method in raw::methods() {
        for field in method.input().fields().filter(|field| matches!(field.kind(), Kind::Enum(_))) {
            let mut request = world.request(&method);
            request.set_field(&field, Value::EnumNumber(77));
            update_only(&mut request, &field);
            let answer = call(&t, &method, encode(&request)).await;
            let status = refused(answer, ErrorReason::InvalidArgument);
            let named = fields(&status).pop().unwrap();
            assert_eq!(named.trim_end_matches("[0]"), field.name(), "{}", method.full_name());
        }
    }
}

#[both]
async fn bytes_that_are_no_message_are_refused(t: Arc<Test>) {
    let world = World::make(&t).await;
    // A request without fields cannot be invalid.
    for method in raw::methods().into_iter().filter(|method| method.name() != raw::NAMES_NOTHING) {
        for bytes in [vec![0xff; 10], vec![0x0a, 0x05, b'a'], vec![0x0a, 0x02, 0xff, 0xfe]] {
            let answer = call(&t, &method, bytes).await;
            let status = answer.unwrap_err();
            // An unknown field is skipped, as it should be; the request is then empty.
            assert!(["REQUEST_MALFORMED", "INVALID_ARGUMENT"].contains(&reason_of(&status).as_str()), "{status:?}");
            assert_says_nothing_of_the_inside(&status);
        }
        let mut more = encode(&world.request(&method));
        more.extend([0xfa, 0x3f, 0x01, 0x00]);
        // Fields of a later version do not cause a refusal.
        if method.name().starts_with("Get") {
            call(&t, &method, more).await.unwrap();
        }
    }
}

#[both]
async fn a_thousand_levels_of_json_are_refused(t: Arc<Test>) {
    for levels in [17, 30, 99, 1000] {
        let mut bytes = Vec::new();
        prost::Message::encode(
            &pb::CreateUserRequest {
                email: "deep@example.com".to_owned(),
                name: "Deep".to_owned(),
                ..Default::default()
            },
            &mut bytes,
        )
        .unwrap();
        let nested = nested_struct(levels);
        bytes.push(0x22);
        prost::encoding::encode_varint(u64::try_from(nested.len()).unwrap(), &mut bytes);
        bytes.extend(nested);
        let answer =
            raw::call(&t.anonymous(), "/tenantry.v1.UserService/CreateUser", bytes, raw::bearer(&[&t.admin_key])).await;
        let reason = reason_of(&answer.unwrap_err());
        assert!(reason == "INVALID_ARGUMENT" || reason == "REQUEST_MALFORMED", "{levels}: {reason}");
    }
    let get = pb::GetUserByEmailRequest { email: "deep@example.com".to_owned() };
    refused(t.admin().users().get_user_by_email(get).await, ErrorReason::UserNotFound);
}

#[both]
async fn ten_megabytes_of_name_are_refused(t: Arc<Test>) {
    let big = pb::CreateUserRequest {
        email: "big@example.com".to_owned(),
        name: "x".repeat(10_000_000),
        ..Default::default()
    };
    refused(t.admin().users().create_user(big).await, ErrorReason::RequestTooLarge);
    let long =
        pb::CreateUserRequest { email: "big@example.com".to_owned(), name: "x".repeat(200_000), ..Default::default() };
    refused(t.admin().users().create_user(long).await, ErrorReason::InvalidArgument);
    let get = pb::GetUserByEmailRequest { email: "big@example.com".to_owned() };
    refused(t.admin().users().get_user_by_email(get).await, ErrorReason::UserNotFound);
}

#[both]
async fn json_comes_back_as_it_was_on_both_databases(t: Arc<Test>) {
    let values = [
        WireKind::NullValue(0),
        WireKind::BoolValue(true),
        WireKind::NumberValue(5.0),
        WireKind::NumberValue(0.1),
        WireKind::NumberValue(-1.5e-300),
        WireKind::NumberValue(9_007_199_254_740_991.0),
        WireKind::NumberValue(-9_007_199_254_740_991.0),
        WireKind::NumberValue(5e-324),
        WireKind::StringValue("\u{1F600} \\ \" \u{1}".to_owned()),
        WireKind::ListValue(prost_types::ListValue { values: vec![] }),
        WireKind::StructValue(Struct::default()),
    ];
    let metadata = Struct {
        fields: (0..).zip(values).map(|(at, kind)| (format!("k{at}"), WireValue { kind: Some(kind) })).collect(),
    };
    let ada = t.user("ada").await;
    let request = pb::UpdateUserRequest {
        user_id: ada.id.clone(),
        metadata: Some(metadata.clone()),
        update_mask: mask(&["metadata"]),
        ..Default::default()
    };
    t.admin().users().update_user(request).await.unwrap();
    assert_eq!(t.reload_user(&ada.id).await.metadata.unwrap(), metadata);
}

#[both]
async fn page_tokens_are_good_for_their_list_only(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "member").await;
    let page = pb::ListUsersRequest { page_size: 1, ..Default::default() };
    let token = t.admin().users().list_users(page.clone()).await.answered().next_page_token;
    assert!(!token.is_empty());
    let with = |token: &str| pb::ListUsersRequest { page_token: token.to_owned(), ..page.clone() };
    t.admin().users().list_users(with(&token)).await.unwrap();
    // Another page size continues the same list.
    t.admin().users().list_users(pb::ListUsersRequest { page_size: 2, ..with(&token) }).await.unwrap();
    let mut forged = token.clone().into_bytes();
    forged[5] = if forged[5] == b'A' { b'B' } else { b'A' };
    for bad in ["x", "\0", &String::from_utf8(forged).unwrap(), &token[1..], &"A".repeat(100_000)] {
        refused(t.admin().users().list_users(with(bad)).await, ErrorReason::InvalidArgument);
    }
    let other_filter = pb::ListUsersRequest { state: pb::UserState::Active.into(), ..with(&token) };
    refused(t.admin().users().list_users(other_filter).await, ErrorReason::InvalidArgument);
    // Another caller's reach, and another method.
    let bobs = t.with_key(&t.user_key(&bob).await);
    refused(bobs.users().list_users(with(&token)).await, ErrorReason::InvalidArgument);
    let other = pb::ListOrganizationsRequest { page_token: token, ..Default::default() };
    refused(t.admin().organizations().list_organizations(other).await, ErrorReason::InvalidArgument);
}

#[both]
async fn page_sizes_are_held_to_their_limits(t: Arc<Test>) {
    for name in 0..60 {
        t.user(&format!("u{name}")).await;
    }
    let size = |page_size| pb::ListUsersRequest { page_size, ..Default::default() };
    assert_eq!(t.admin().users().list_users(size(0)).await.answered().users.len(), 50);
    assert_eq!(t.admin().users().list_users(size(i32::MAX)).await.answered().users.len(), 61);
    let status = refused(t.admin().users().list_users(size(-1)).await, ErrorReason::InvalidArgument);
    assert_eq!(fields(&status), ["page_size"]);
}

#[both]
async fn a_refused_request_writes_nothing(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let request = pb::UpdateUserRequest {
        user_id: ada.id.clone(),
        name: "Changed".to_owned(),
        metadata: object("a", &"x".repeat(20_000)),
        update_mask: mask(&["name", "metadata"]),
        ..Default::default()
    };
    refused(t.admin().users().update_user(request).await, ErrorReason::InvalidArgument);
    assert_eq!(t.reload_user(&ada.id).await, ada);
}
