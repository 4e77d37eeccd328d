//! The comments, options and order of the protos agree, and the protos stay compatible with existing clients.

use std::{collections::BTreeSet, fmt::Write as _, sync::Arc};

use prost_reflect::{DescriptorPool, FieldDescriptor, FileDescriptor, MethodDescriptor, Value};
use prost_types::source_code_info::Location;
use sha2::{Digest as _, Sha256};
use tenantry::{
    DESCRIPTOR_SET,
    pb::{self, ErrorReason},
};
use tonic_types::StatusExt as _;

use crate::support::{
    REPOSITORY, Test, both, raw,
    refusal::fields,
    refused,
    request::{World, encode},
};

/// The published contract, written by `make proto-image`.
const IMAGE: &[u8] = include_bytes!("../proto/image.binpb");

fn our_files(pool: &DescriptorPool) -> Vec<FileDescriptor> {
    pool.files().filter(|file| file.package_name() == "tenantry.v1").collect()
}

/// The leading comment of the element at a path of a file, in one line.
fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let file = file.file_descriptor_proto();
    let locations = &file.source_code_info.as_ref().unwrap().location;
    let location = locations.iter().find(|location| location.path == path);
    location.map_or("", Location::leading_comments).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn our_fields(pool: &DescriptorPool) -> Vec<FieldDescriptor> {
    let messages = pool.all_messages().filter(|message| message.package_name() == "tenantry.v1");
    messages
        .filter(|message| !message.is_map_entry())
        .flat_map(|message| message.fields().collect::<Vec<_>>())
        .collect()
}

fn behaviors(field: &FieldDescriptor) -> BTreeSet<String> {
    let option = field.parent_pool().get_extension_by_name("google.api.field_behavior").unwrap();
    let names = option.kind().as_enum().unwrap().clone();
    let value = field.options().get_extension(&option).into_owned();
    let name = |value: &Value| names.get_value(value.as_enum_number().unwrap()).unwrap().name().to_owned();
    value.as_list().unwrap().iter().map(name).collect()
}

fn is_required(field: &FieldDescriptor) -> bool {
    behaviors(field).contains("REQUIRED")
}

/// Everything that generated code and the wire format depend on, one fact per line.
fn facts(pool: &DescriptorPool) -> BTreeSet<String> {
    let mut facts = BTreeSet::new();
    for field in our_fields(pool) {
        let mut fact =
            format!("{} = {} {:?} {:?}", field.full_name(), field.number(), field.cardinality(), field.kind());
        if let Some(oneof) = field.containing_oneof() {
            write!(fact, " {}", oneof.name()).unwrap();
        }
        facts.insert(fact);
    }
    for values in pool.all_enums().filter(|values| values.package_name() == "tenantry.v1") {
        facts.extend(values.values().map(|value| format!("{} = {}", value.full_name(), value.number())));
    }
    for extension in pool.all_extensions() {
        facts.insert(format!("{} = {}", extension.full_name(), extension.number()));
    }
    for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let streams = (method.is_client_streaming(), method.is_server_streaming());
        let (input, output) = (method.input(), method.output());
        facts.insert(format!("{} {} {} {streams:?}", method.full_name(), input.full_name(), output.full_name()));
    }
    facts
}

/// The text in backquotes after a word of a comment.
fn named<'c>(comment: &'c str, word: &str) -> Option<&'c str> {
    comment.split_once(&format!("{word} `")).and_then(|(_, rest)| rest.split_once('`')).map(|(name, _)| name)
}

#[test]
fn nothing_that_clients_rely_on_is_gone_or_different() {
    let (now, promised) = (facts(&raw::pool_of(DESCRIPTOR_SET)), facts(&raw::pool_of(IMAGE)));
    let broken: Vec<&String> = promised.difference(&now).collect();
    assert!(broken.is_empty(), "breaking changes; see `make proto-image`: {broken:#?}");
    assert!(promised.len() > 700, "{}", promised.len());
}

#[test]
fn the_numbers_of_options_are_those_of_their_names() {
    let pool = raw::pool_of(DESCRIPTOR_SET);
    let ours: Vec<_> = pool.all_extensions().filter(|option| option.package_name() == "tenantry.v1").collect();
    for option in &ours {
        let digest = Sha256::digest(option.full_name());
        let number = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]) >> 4;
        assert_eq!(option.number(), number, "{}", option.full_name());
    }
    assert_eq!(ours.len(), 3);
}

#[test]
fn every_file_says_how_each_language_names_it() {
    for file in our_files(&raw::pool_of(DESCRIPTOR_SET)) {
        let options = file.file_descriptor_proto().options.clone().unwrap();
        let stem = file.name().trim_start_matches("tenantry/v1/").trim_end_matches(".proto");
        let class: String = stem.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
        assert_eq!(options.java_outer_classname(), format!("{class}Proto"));
        let said = [
            options.go_package(),
            options.java_package(),
            options.csharp_namespace(),
            options.php_namespace(),
            options.php_metadata_namespace(),
            options.ruby_package(),
            options.objc_class_prefix(),
        ];
        let expected = [
            "github.com/tenantry/tenantry-go/tenantry/v1;tenantryv1",
            "com.tenantry.v1",
            "Tenantry.V1",
            "Tenantry\\V1",
            "Tenantry\\V1\\Metadata",
            "Tenantry::V1",
            "TNY",
        ];
        assert!(said == expected && options.java_multiple_files(), "{}", file.name());
    }
}

#[test]
fn the_comment_of_a_field_says_what_its_behavior_does() {
    for field in our_fields(&raw::pool_of(DESCRIPTOR_SET)) {
        let comment = comment(&field.parent_message().parent_file(), field.path());
        let mut said: BTreeSet<String> =
            [("Required.", "REQUIRED"), ("Output only.", "OUTPUT_ONLY"), ("Immutable.", "IMMUTABLE")]
                .into_iter()
                .filter(|(word, _)| comment.starts_with(word))
                .map(|(_, behavior)| behavior.to_owned())
                .collect();
        if comment.starts_with("Output only. UUID version 7") {
            said.insert("IDENTIFIER".to_owned());
        }
        assert_eq!(behaviors(&field), said, "{}: {comment}", field.full_name());
    }
}

#[test]
fn the_comment_of_a_method_says_who_may_call_it_and_why_it_fails() {
    for method in raw::methods() {
        let comment = comment(&method.parent_service().parent_file(), method.path());
        let name = method.full_name();
        let raw::Access { scope, platform_admin, api_key } = raw::access(&method);
        assert_eq!(named(&comment, "Scope").unwrap_or_default(), scope, "{name}");
        assert_eq!(comment.contains("platform admins only"), platform_admin, "{name}: {comment}");
        assert_eq!(comment.contains("API keys only"), api_key, "{name}: {comment}");
        let Some((_, reasons)) = comment.split_once("Reasons: ") else { continue };
        for word in reasons
            .split(|c: char| !(c.is_ascii_uppercase() || c == '_'))
            .filter(|word| word.trim_matches('_').contains('_'))
        {
            assert!(ErrorReason::from_str_name(&format!("ERROR_REASON_{word}")).is_some(), "{name}: {word}");
        }
    }
}

#[test]
fn methods_stand_in_the_order_of_the_api_guidelines() {
    for service in raw::pool_of(DESCRIPTOR_SET).services().filter(|service| service.package_name() == "tenantry.v1") {
        let resource = service.name().trim_end_matches("Service");
        let rank = |method: &MethodDescriptor| {
            let name = method.name();
            let standard = [
                name == format!("Create{resource}"),
                name == format!("Get{resource}"),
                name.starts_with(&format!("Get{resource}By")),
                name == format!("BatchGet{resource}s"),
                name == format!("List{resource}s"),
                name == format!("Update{resource}"),
                name == format!("Delete{resource}"),
            ];
            standard.iter().position(|is| *is).unwrap_or(standard.len())
        };
        // `Link` is the verb for creating OAuth accounts.
        let methods: Vec<MethodDescriptor> =
            service.methods().filter(|method| !method.name().starts_with("Link")).collect();
        assert!(methods.is_sorted_by_key(rank), "{}", service.full_name());
    }
}

#[test]
fn comments_fit_into_130_columns() {
    for entry in std::fs::read_dir(format!("{REPOSITORY}/proto/tenantry/v1")).unwrap() {
        let path = entry.unwrap().path();
        for (at, line) in (1..).zip(std::fs::read_to_string(&path).unwrap().lines()) {
            assert!(line.chars().count() <= 130, "{}:{at}", path.display());
        }
    }
}

#[both]
async fn a_required_field_that_is_empty_is_refused_and_named(t: Arc<Test>) {
    let world = World::make(&t).await;
    for method in raw::methods() {
        for field in method.input().fields().filter(is_required) {
            let mut request = world.request(&method);
            assert!(request.has_field(&field) || field.name() == "tokens", "{}", field.full_name());
            request.clear_field(&field);
            let key = t.admin_key_for(&method).await;
            let answer = raw::call(&t.anonymous(), &raw::path(&method), encode(&request), raw::bearer(&[&key])).await;
            if method.name() == "VerifyStream" {
                let answer: pb::VerifyStreamResponse = prost::Message::decode(answer.unwrap().as_slice()).unwrap();
                let Some(pb::verify_stream_response::Kind::Answer(answer)) = answer.kind else { panic!("{answer:?}") };
                let refused = pb::verify_stream_answer::Outcome::Error(ErrorReason::InvalidArgument.into());
                assert_eq!(answer.outcome, Some(refused));
                continue;
            }
            let status = answer.unwrap_err();
            // An empty new password has its own reason under the same code.
            assert_eq!(status.code(), tonic::Code::InvalidArgument, "{}: {status:?}", field.full_name());
            assert!(fields(&status).iter().any(|named| named == field.name()), "{}: {status:?}", field.full_name());
        }
    }
}

#[both]
async fn a_required_choice_that_is_not_made_is_refused_and_named(t: Arc<Test>) {
    let world = World::make(&t).await;
    for method in raw::methods() {
        for oneof in method.input().oneofs() {
            if !comment(&method.input().parent_file(), oneof.path()).starts_with("Required.") {
                continue;
            }
            let mut request = world.request(&method);
            oneof.fields().for_each(|field| request.clear_field(&field));
            let key = t.admin_key_for(&method).await;
            let answer = raw::call(&t.anonymous(), &raw::path(&method), encode(&request), raw::bearer(&[&key])).await;
            let status = refused(answer, ErrorReason::InvalidArgument);
            assert!(!fields(&status).is_empty(), "{}: {status:?}", oneof.full_name());
        }
    }
}

#[both]
async fn the_comment_of_an_update_mask_names_exactly_the_fields_that_the_method_updates(t: Arc<Test>) {
    let world = World::make(&t).await;
    let mut checked = 0;
    for method in raw::methods() {
        let Some(field) = method.input().get_field_by_name("update_mask") else { continue };
        let mut request = world.request(&method);
        request.clear_field(&field);
        let key = t.admin_key_for(&method).await;
        let answer = raw::call(&t.anonymous(), &raw::path(&method), encode(&request), raw::bearer(&[&key])).await;
        let status = refused(answer, ErrorReason::InvalidArgument);
        let violations = status.get_details_bad_request().unwrap().field_violations;
        let refusal = violations.iter().find(|violation| violation.field == "update_mask").unwrap();
        let (_, updated) = refusal.description.split_once("must name at least one of ").unwrap();
        let comment = comment(&method.input().parent_file(), field.path());
        let (_, listed) = comment.split_once("The fields to update: ").unwrap();
        let listed = listed.split('.').next().unwrap().replace('`', "");
        assert_eq!(listed, updated, "{}", method.full_name());
        checked += 1;
    }
    assert!(checked >= 5, "{checked}");
}
