//! Texts that look alike, numbers that change, and updates that change nothing.

use std::sync::Arc;

use prost::Message as _;
use prost_reflect::{DynamicMessage, MethodDescriptor, ReflectMessage as _, Value};
use prost_types::{ListValue, Struct, Value as WireValue, value::Kind};
use tenantry::pb::{self, ErrorReason};

use crate::{
    events::ready,
    support::{
        Answered as _, Test, both,
        follow::list,
        mask, raw,
        refusal::{fields, reason_of},
        refused,
        request::encode,
    },
};

fn person(email: &str, name: &str) -> pb::CreateUserRequest {
    pb::CreateUserRequest { email: email.to_owned(), name: name.to_owned(), ..Default::default() }
}

#[both]
async fn t5_an_address_and_a_name_with_invisible_characters_are_refused(t: Arc<Test>) {
    let mut users = t.admin().users();
    users.create_user(person("ada@example.com", "Ada")).await.unwrap();
    for c in [
        '\u{200B}',
        '\u{200C}',
        '\u{200D}',
        '\u{200E}',
        '\u{AD}',
        '\u{FEFF}',
        '\u{2060}',
        '\u{2800}',
        '\u{3164}',
        '\u{115F}',
        '\u{1160}',
        '\u{FFA0}',
        '\u{34F}',
        '\u{FE0F}',
        '\u{E0061}',
        '\u{202E}',
        '\u{61C}',
        '\u{FFF9}',
        '\u{FFFC}',
        '\u{13430}',
        '\u{16FE4}',
        '\u{1D159}',
    ] {
        let status = refused(
            users.create_user(person(&format!("a{c}da@example.com"), "Ada")).await,
            ErrorReason::InvalidArgument,
        );
        assert_eq!(fields(&status), ["email"], "{c:?}");
        for name in [c.to_string(), format!("{c}{c}"), format!("A{c}d")] {
            let status =
                refused(users.create_user(person("new@example.com", &name)).await, ErrorReason::InvalidArgument);
            assert_eq!(fields(&status), ["name"], "{c:?}");
        }
    }
    // What scripts and emoji need stays.
    for (at, name) in
        ["علی\u{200C}رضا", "ක්\u{200D}රිෂ්ණ", "👩\u{200D}💻", "❤\u{FE0F} Ada", "葛\u{E0100}城"].into_iter().enumerate()
    {
        let created =
            users.create_user(person(&format!("script{at}@example.com"), name)).await.answered().user.unwrap();
        assert_eq!(created.name, name);
    }
}

#[both]
async fn t5_organizations_keys_roles_and_messages_have_the_same_rule(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let admin = t.admin();
    let named = |name: &str| pb::CreateOrganizationRequest {
        name: name.to_owned(),
        owner_user_id: ada.id.clone(),
        ..Default::default()
    };
    refused(admin.organizations().create_organization(named("\u{3164}")).await, ErrorReason::InvalidArgument);
    let key = pb::CreateApiKeyRequest {
        owner: Some(pb::create_api_key_request::Owner::UserId(ada.id.clone())),
        name: "ke\u{200B}y".to_owned(),
        scopes: vec!["users:read".to_owned()],
        environment: pb::ApiKeyEnvironment::Live.into(),
        ..Default::default()
    };
    let status = refused(admin.api_keys().create_api_key(key).await, ErrorReason::InvalidArgument);
    assert_eq!(fields(&status), ["name"]);
    let role = pb::CreateRoleRequest {
        organization_id: acme.id.clone(),
        name: "clerk".to_owned(),
        description: "\u{2800}".to_owned(),
        ..Default::default()
    };
    let status = refused(admin.roles().create_role(role).await, ErrorReason::InvalidArgument);
    assert_eq!(fields(&status), ["description"]);
    let invitation = pb::CreateInvitationRequest {
        organization_id: acme.id,
        email: "bob@example.com".to_owned(),
        role: "member".to_owned(),
        message: "Click\u{2067} here".to_owned(),
        ..Default::default()
    };
    let status = refused(admin.invitations().create_invitation(invitation).await, ErrorReason::InvalidArgument);
    assert_eq!(fields(&status), ["message"]);
}

#[both]
async fn t5b_every_case_of_an_address_is_one_user(t: Arc<Test>) {
    let mut users = t.admin().users();
    for (one, other) in [
        ("ΝΙΚΟΣ@example.com", "νικος@example.com"),
        ("straße@example.com", "STRASSE@example.com"),
        ("İstanbul@example.com", "istanbul@example.com"),
        ("ﬁn@example.com", "FIN@example.com"),
    ] {
        let created = users.create_user(person(one, "N")).await.answered().user.unwrap();
        refused(users.create_user(person(other, "N")).await, ErrorReason::UserEmailTaken);
        let get = pb::GetUserByEmailRequest { email: other.to_owned() };
        assert_eq!(users.get_user_by_email(get).await.answered().user.unwrap(), created);
        let prefix = pb::ListUsersRequest { email_prefix: other.chars().take(3).collect(), ..Default::default() };
        assert_eq!(users.list_users(prefix).await.answered().users, [created]);
    }
}

#[both]
async fn t5b_a_search_ignores_accents_and_case_as_slugs_do(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let mut organizations = t.admin().organizations();
    for (name, slug) in [
        ("İstanbul", "istanbul"),
        ("Ünïcode Ltd", "unicode-ltd"),
        ("Straße", "strasse"),
        ("Łódź Ltd", "lodz-ltd"),
        ("Ørsted", "orsted"),
        ("Æon", "aeon"),
        ("O\u{2019}Brien", "o-brien"),
    ] {
        let create = pb::CreateOrganizationRequest {
            name: name.to_owned(),
            owner_user_id: ada.id.clone(),
            ..Default::default()
        };
        let created = organizations.create_organization(create).await.answered().organization.unwrap();
        assert_eq!(created.slug, slug);
    }
    for (prefix, name) in [
        ("ist", "İstanbul"),
        ("IST", "İstanbul"),
        ("istanbul", "İstanbul"),
        ("UNI", "Ünïcode Ltd"),
        ("ünicode", "Ünïcode Ltd"),
        ("STRASS", "Straße"),
        ("lodz", "Łódź Ltd"),
        ("ŁÓDŹ", "Łódź Ltd"),
        ("orsted", "Ørsted"),
        ("aeon", "Æon"),
        ("o'brien", "O\u{2019}Brien"),
    ] {
        let list = pb::ListOrganizationsRequest { name_prefix: prefix.to_owned(), ..Default::default() };
        let found = organizations.list_organizations(list).await.answered().organizations;
        assert_eq!(found.iter().map(|found| found.name.as_str()).collect::<Vec<_>>(), [name], "{prefix}");
    }
}

#[both]
async fn a_query_finds_letters_with_a_stroke_and_curly_apostrophes(t: Arc<Test>) {
    let mut users = t.admin().users();
    for (at, name) in ["Łukasz", "Sean O\u{2019}Brien", "Þór"].into_iter().enumerate() {
        users.create_user(person(&format!("letters{at}@example.com"), name)).await.unwrap();
    }
    for (query, name) in
        [("lukasz", "Łukasz"), ("ŁUKASZ", "Łukasz"), ("o'brien", "Sean O\u{2019}Brien"), ("thor", "Þór")]
    {
        let list = pb::ListUsersRequest { query: query.to_owned(), ..Default::default() };
        let found = users.list_users(list).await.answered().users;
        assert_eq!(found.iter().map(|found| found.name.as_str()).collect::<Vec<_>>(), [name], "{query}");
    }
}

#[both]
async fn a_slug_is_no_encoded_name(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let mut organizations = t.admin().organizations();
    let create = |slug: &str, name: &str| pb::CreateOrganizationRequest {
        name: name.to_owned(),
        slug: slug.to_owned(),
        owner_user_id: ada.id.clone(),
        ..Default::default()
    };
    // Browsers show this one as `apple`, with a Cyrillic letter.
    for slug in ["xn--pple-43d", "ab--cd"] {
        let status = refused(organizations.create_organization(create(slug, "A")).await, ErrorReason::InvalidArgument);
        assert_eq!(fields(&status), ["slug"], "{slug}");
    }
    for slug in ["static", "new", "superuser", "log-in"] {
        refused(organizations.create_organization(create(slug, "A")).await, ErrorReason::OrganizationSlugReserved);
    }
    let created = organizations.create_organization(create("", "xn--pple-43d")).await.answered().organization;
    assert_eq!(created.unwrap().slug, "xn-pple-43d");
}

#[both]
async fn external_ids_that_look_like_another_are_refused(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let admin = t.admin();
    for id in [" ", "\u{301}", " crm-1", "crm-1 ", "crm-1\u{A0}", "Rene\u{301}", "crm\u{200B}1"] {
        let user = pb::CreateUserRequest { external_id: id.to_owned(), ..person("new@example.com", "New") };
        let status = refused(admin.users().create_user(user).await, ErrorReason::InvalidArgument);
        assert_eq!(fields(&status), ["external_id"], "{id:?}");
        let update = pb::UpdateOrganizationRequest {
            organization_id: acme.id.clone(),
            external_id: id.to_owned(),
            update_mask: mask(&["external_id"]),
            ..Default::default()
        };
        let status = refused(admin.organizations().update_organization(update).await, ErrorReason::InvalidArgument);
        assert_eq!(fields(&status), ["external_id"], "{id:?}");
    }
    let user = pb::CreateUserRequest { external_id: "Ren\u{e9} 1".to_owned(), ..person("new@example.com", "New") };
    assert_eq!(admin.users().create_user(user).await.answered().user.unwrap().external_id, "Ren\u{e9} 1");
}

#[both]
async fn keys_of_metadata_that_look_like_another_are_refused_and_values_are_data(t: Arc<Test>) {
    let entry = |key: &str, kind| Struct { fields: [(key.to_owned(), WireValue { kind: Some(kind) })].into() };
    let text = || Kind::StringValue("a\u{200B}\u{202E}b".to_owned());
    for key in ["ti\u{200B}er", "ti\u{202E}er", "ti\ner", "\u{2800}", "tier\u{FFF9}"] {
        let user = pb::CreateUserRequest { metadata: Some(entry(key, text())), ..person("keys@example.com", "Keys") };
        let status = refused(t.admin().users().create_user(user).await, ErrorReason::InvalidArgument);
        assert_eq!(fields(&status), ["metadata"], "{key:?}");
    }
    let metadata = Some(entry("tier", Kind::StructValue(entry("ti\u{200B}er", text()))));
    let user = pb::CreateUserRequest { metadata: metadata.clone(), ..person("keys@example.com", "Keys") };
    assert_eq!(t.admin().users().create_user(user).await.answered().user.unwrap().metadata, metadata);
}

#[both]
async fn i14_dots_may_be_anywhere_in_a_local_part(t: Arc<Test>) {
    for email in ["abc.@docomo.ne.jp", "a..b@docomo.ne.jp", ".abc@docomo.ne.jp"] {
        let created = t.admin().users().create_user(person(email, "A")).await.answered().user.unwrap();
        assert_eq!(created.email, email);
    }
}

#[both]
async fn i15_twins_that_nobody_can_tell_apart_are_not_made(t: Arc<Test>) {
    let mut users = t.admin().users();
    users.create_user(person("abX@example.org", "A")).await.unwrap();
    for email in ["a\u{200B}bX@example.org", "a\u{2060}bX@example.org", "a\u{AD}bX@example.org"] {
        refused(users.create_user(person(email, "A")).await, ErrorReason::InvalidArgument);
    }
    // Letters of both directions in one local part are displayed in another order than they are compared in.
    for email in ["a\u{5D0}b@example.org", "1\u{5D0}@example.org", "\u{E000}@example.org", "\u{378}@example.org"] {
        refused(users.create_user(person(email, "A")).await, ErrorReason::InvalidArgument);
    }
    users.create_user(person("\u{5D0}\u{5D1}@example.org", "A")).await.unwrap();
}

#[both]
async fn a_domain_in_another_script_is_one_domain(t: Arc<Test>) {
    let mut users = t.admin().users();
    let created = users.create_user(person("ada@xn--mnchen-3ya.de", "Ada")).await.answered().user.unwrap();
    for email in ["ada@münchen.de", "Ada@MÜNCHEN.de", "ada@mu\u{308}nchen.de"] {
        let get = pb::GetUserByEmailRequest { email: email.to_owned() };
        assert_eq!(users.get_user_by_email(get).await.answered().user.unwrap(), created);
        refused(users.create_user(person(email, "Ada")).await, ErrorReason::UserEmailTaken);
    }
    let created = users.create_user(person("Eve@Bücher.example", "Eve")).await.answered().user.unwrap();
    assert_eq!(created.email, "Eve@xn--bcher-kva.example");
    for email in ["a@\u{fffd}.de", "a@b c.de", "a@ü..de", "a@ü"] {
        let created = users.create_user(person(email, "A")).await;
        assert_eq!(created.is_ok(), email == "a@ü", "{email}");
    }
}

fn with(kind: Kind) -> Struct {
    Struct { fields: [("id".to_owned(), WireValue { kind: Some(kind) })].into() }
}

#[both]
async fn t8_numbers_that_a_double_cannot_hold_are_refused(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    let nested = |number| {
        let values = vec![WireValue { kind: Some(Kind::StructValue(with(Kind::NumberValue(number)))) }];
        with(Kind::ListValue(ListValue { values }))
    };
    for number in [1_546_130_668_394_913_822.0, 9_007_199_254_740_992.0, -9_007_199_254_740_992.0, 1e300, f64::NAN] {
        for object in [with(Kind::NumberValue(number)), nested(number)] {
            let user = pb::CreateUserRequest { metadata: Some(object.clone()), ..person("d@example.com", "D") };
            let status = refused(t.admin().users().create_user(user).await, ErrorReason::InvalidArgument);
            assert_eq!(fields(&status), ["metadata"], "{number}");
            assert!(number.is_nan() || status.message().contains("send them as text"), "{status:?}");
            let update = pb::UpdateOrganizationRequest {
                organization_id: acme.id.clone(),
                settings: Some(object),
                update_mask: mask(&["settings"]),
                ..Default::default()
            };
            let status =
                refused(t.admin().organizations().update_organization(update).await, ErrorReason::InvalidArgument);
            assert_eq!(fields(&status), ["settings"]);
        }
    }
    for (at, number) in [9_007_199_254_740_991.0, -9_007_199_254_740_991.0, 0.1, 1e-300].into_iter().enumerate() {
        let user = pb::CreateUserRequest { metadata: Some(nested(number)), ..person(&format!("n{at}@e.com"), "D") };
        let created = t.admin().users().create_user(user).await;
        let created = created.unwrap_or_else(|status| panic!("{number}: {status:?}")).into_inner().user.unwrap();
        assert_eq!(t.reload_user(&created.id).await.metadata, Some(nested(number)));
    }
}

#[both]
async fn t8_the_stored_size_of_numbers_is_bounded(t: Arc<Test>) {
    let numbers = |count: usize| {
        let values = vec![WireValue { kind: Some(Kind::NumberValue(1e-300)) }; count];
        Some(with(Kind::ListValue(ListValue { values })))
    };
    let user = |count| pb::CreateUserRequest { metadata: numbers(count), ..person("n@example.com", "N") };
    let status = refused(t.admin().users().create_user(user(2300)).await, ErrorReason::InvalidArgument);
    assert_eq!(fields(&status), ["metadata"]);
    refused(t.admin().users().create_user(user(60)).await, ErrorReason::InvalidArgument);
    t.admin().users().create_user(user(50)).await.unwrap();
}

/// The paths that an update mask may name, as the refusal of an empty mask lists them.
async fn paths(t: &Test, method: &MethodDescriptor, request: &DynamicMessage) -> Vec<String> {
    let mut empty = request.clone();
    empty.clear_field_by_name("update_mask");
    let status = call(t, method, &empty).await.unwrap_err();
    let rule = status.message().split_once("must name at least one of ").unwrap().1.to_owned();
    rule.split(", ").map(str::to_owned).collect()
}

async fn call(t: &Test, method: &MethodDescriptor, request: &DynamicMessage) -> Result<DynamicMessage, tonic::Status> {
    let key = t.admin_key_for(method).await;
    let answer = raw::call(&t.anonymous(), &raw::path(method), encode(request), raw::bearer(&[&key])).await?;
    Ok(DynamicMessage::decode(method.output(), answer.as_slice()).unwrap())
}

/// Asserts that a call answers `expected` and leaves no trace.
async fn changes_nothing(t: &Test, method: &MethodDescriptor, request: &DynamicMessage, expected: &DynamicMessage) {
    // The key of this call is created first.
    t.admin_key_for(method).await;
    let before = (t.database.rows().await, list(&t.admin(), pb::ListEventsRequest::default()).await);
    let key = t.admin_key.clone();
    let answer = raw::call(&t.anonymous(), &raw::path(method), encode(request), raw::bearer(&[&key])).await;
    let answer = answer.unwrap_or_else(|status| panic!("{}: {status:?}", method.full_name()));
    assert_eq!(&DynamicMessage::decode(method.output(), answer.as_slice()).unwrap(), expected, "{request:?}");
    let after = (t.database.rows().await, list(&t.admin(), pb::ListEventsRequest::default()).await);
    assert!(before == after, "{} left a trace: {request:?}", method.full_name());
}

/// A request that sets one field to what the resource in an answer has.
fn the_same(
    method: &MethodDescriptor,
    request: &DynamicMessage,
    path: &str,
    resource: &DynamicMessage,
) -> DynamicMessage {
    let mut same = request.clone();
    let (object, key) = path.split_once('.').map_or((path, None), |(object, key)| (object, Some(key)));
    let field = method.input().get_field_by_name(object).unwrap();
    match path {
        // Removes a key that the object does not have.
        _ if key.is_some() => same.clear_field(&field),
        "email_verified" => same.set_field(&field, Value::Bool(resource.has_field_by_name("email_verified_at"))),
        _ if resource.descriptor().get_field_by_name(path).is_none() => panic!("{path} of {}", method.full_name()),
        _ if resource.has_field_by_name(path) => {
            same.set_field(&field, resource.get_field_by_name(path).unwrap().into_owned());
        }
        _ => same.clear_field(&field),
    }
    let paths = Value::List(vec![Value::String(path.to_owned())]);
    let mut update_mask = same.get_field_by_name("update_mask").unwrap().into_owned();
    update_mask.as_message_mut().unwrap().set_field_by_name("paths", paths);
    same.set_field_by_name("update_mask", update_mask);
    same
}

#[both]
async fn t15_an_update_to_the_current_values_changes_nothing(t: Arc<Test>) {
    let updates = raw::methods().into_iter().filter(|method| method.name().starts_with("Update"));
    let mut tried = 0;
    for method in updates {
        let (_, request) = ready(&t, &method).await;
        let request = DynamicMessage::decode(method.input(), request.as_slice()).unwrap();
        let paths = paths(&t, &method, &request).await;
        let answer = call(&t, &method, &request).await;
        let answer = answer.unwrap_or_else(|status| panic!("{}: {status:?}", method.full_name()));
        let resource = answer.descriptor().fields().next().unwrap();
        let resource = answer.get_field(&resource).as_message().unwrap().clone();
        for path in paths {
            changes_nothing(&t, &method, &the_same(&method, &request, &path, &resource), &answer).await;
            tried += 1;
        }
    }
    assert!(tried >= 20, "{tried}");
}

#[both]
async fn t15_setting_a_state_twice_changes_nothing(t: Arc<Test>) {
    // A password that is set is a new hash and ends sessions; a revoked session, membership or invitation may be gone.
    let verbs = [
        "Suspend",
        "Reactivate",
        "Grant",
        "RevokePlatform",
        "RevokeApiKey",
        "Undelete",
        "SetOauth",
        "Disable",
        "Enable",
    ];
    let mut tried = 0;
    for method in raw::methods().into_iter().filter(|method| verbs.iter().any(|verb| method.name().starts_with(verb))) {
        let (_, request) = ready(&t, &method).await;
        let mut request = DynamicMessage::decode(method.input(), request.as_slice()).unwrap();
        if method.name() == "SetOauthAccountTokens" {
            let tokens = pb::OauthTokens {
                access_token: Some("an access token".to_owned()),
                refresh_token: Some("a refresh token".to_owned()),
                ..Default::default()
            };
            let field = method.input().get_field_by_name("tokens").unwrap();
            let kind = field.kind();
            let tokens = DynamicMessage::decode(kind.as_message().unwrap().clone(), tokens.encode_to_vec().as_slice());
            request.set_field(&field, Value::Message(tokens.unwrap()));
        }
        let answer = call(&t, &method, &request).await;
        let answer = answer.unwrap_or_else(|status| panic!("{}: {status:?}", method.full_name()));
        changes_nothing(&t, &method, &request, &answer).await;
        tried += 1;
    }
    assert!(tried >= 13, "{tried}");
}

#[both]
async fn t15_a_stale_etag_and_a_missing_right_are_refused_all_the_same(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "viewer").await;
    let same = pb::UpdateOrganizationRequest {
        organization_id: acme.id.clone(),
        name: acme.name.clone(),
        update_mask: mask(&["name"]),
        ..Default::default()
    };
    let bobs = t.with_key(&t.user_key(&bob).await);
    let status = refused(bobs.organizations().update_organization(same.clone()).await, ErrorReason::RoleInsufficient);
    let info = tonic_types::StatusExt::get_details_error_info(&status).unwrap();
    assert_eq!(info.metadata["permission"], "organizations:write");
    assert!(status.message().contains("organizations:write"), "{status:?}");
    let stale = pb::UpdateOrganizationRequest { etag: "r0".to_owned(), ..same };
    refused(t.admin().organizations().update_organization(stale).await, ErrorReason::EtagMismatch);
}

#[both]
async fn a_malformed_permission_is_refused_with_the_correct_form(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    for permission in ["A:B", "*", "invoices:*", "invoices", ""] {
        let check = pb::CheckPermissionRequest {
            subject: Some(pb::check_permission_request::Subject::UserId(ada.id.clone())),
            organization_id: acme.id.clone(),
            permission: permission.to_owned(),
        };
        let status = t.admin().authorization().check_permission(check).await.unwrap_err();
        assert_eq!(reason_of(&status), "INVALID_ARGUMENT");
        assert!(status.message().contains("resource:verb") && !status.message().contains('*'), "{status:?}");
    }
}
