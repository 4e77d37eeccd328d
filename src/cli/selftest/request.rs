//! Builds requests for any method from the names of its fields: which resource of a world a field names, and values for the others.

use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value};

use super::world::{ROLE, World};
use crate::security::random;

/// A well-formed hash without a known password.
const HASH: &str = "$pbkdf2-sha256$1$c2VsZnRlc3Q$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The purpose of a request field.
enum Part {
    /// Names a resource of a world.
    Names(fn(&World) -> &str),
    /// Needs a value that is independent of any world.
    Needs(Value),
    /// Can be left out.
    Optional,
    /// Names an unknown kind of resource.
    Unknown,
}

/// The ways to call a method: one for each alternative of its request, with the number of fields that name resources.
pub(super) struct Variants {
    input: MessageDescriptor,
    service: String,
    method: String,
    /// Prefix of new names.
    run: String,
    /// For each way, the chosen field of the first `oneof`, and the number of fields that name resources.
    ways: Vec<(Option<String>, usize)>,
    unknown: Option<String>,
}

/// One way to call a method, and which of its naming fields refer to the other world: all of them, or one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variant {
    way: usize,
    /// `None` for all.
    only: Option<usize>,
}

impl Variants {
    /// The variants of a method.
    pub(super) fn of(method: &MethodDescriptor, run: &str) -> Self {
        let input = method.input();
        let choices: Vec<Option<String>> = match input.oneofs().find(|oneof| !oneof.is_synthetic()) {
            Some(oneof) => oneof.fields().map(|field| Some(field.name().to_owned())).collect(),
            None => vec![None],
        };
        let mut variants = Self {
            input,
            service: method.parent_service().name().to_owned(),
            method: method.name().to_owned(),
            run: run.to_owned(),
            ways: Vec::new(),
            unknown: None,
        };
        for choice in choices {
            let mut builder = Builder { variants: &variants, choice: choice.as_deref(), named: 0, unknown: None };
            let nothing = World::default();
            builder.build(&variants.input, &mut |_| &nothing);
            let Builder { named, unknown, .. } = builder;
            variants.unknown = variants.unknown.or(unknown);
            variants.ways.push((choice, named));
        }
        variants
    }

    /// A field that names an unknown kind of resource.
    pub(super) fn unknown(&self) -> Option<&str> {
        self.unknown.as_deref()
    }

    /// True if no field names a resource.
    pub(super) fn name_nothing(&self) -> bool {
        self.ways.iter().all(|(_, named)| *named == 0)
    }

    /// Every way to name resources of another world: all fields at once, and each by itself.
    pub(super) fn all(&self) -> Vec<Variant> {
        let of_way = |(way, (_, named)): (usize, &(Option<String>, usize))| {
            let each = if *named > 1 { 0..*named } else { 0..0 };
            let all = (*named > 0).then_some(Variant { way, only: None });
            all.into_iter().chain(each.map(move |only| Variant { way, only: Some(only) })).collect::<Vec<_>>()
        };
        self.ways.iter().enumerate().flat_map(of_way).collect()
    }

    /// The request of a variant. The remaining fields name resources of the caller's own world.
    pub(super) fn request(&self, variant: Variant, own: &World, other: &World) -> DynamicMessage {
        let choice = self.ways.get(variant.way).and_then(|(choice, _)| choice.as_deref());
        let mut builder = Builder { variants: self, choice, named: 0, unknown: None };
        let mut pick = |at| if variant.only.is_none_or(|only| only == at) { other } else { own };
        builder.build(&self.input, &mut pick)
    }

    /// The number of ways.
    pub(super) fn ways(&self) -> usize {
        self.ways.len()
    }

    /// The request of a way with the caller's own ids.
    pub(super) fn own(&self, way: usize, own: &World) -> DynamicMessage {
        self.request(Variant { way, only: None }, own, own)
    }
}

struct Builder<'a> {
    variants: &'a Variants,
    choice: Option<&'a str>,
    named: usize,
    unknown: Option<String>,
}

impl Builder<'_> {
    fn build<'w>(&mut self, message: &MessageDescriptor, pick: &mut impl FnMut(usize) -> &'w World) -> DynamicMessage {
        let mut built = DynamicMessage::new(message.clone());
        for field in message.fields() {
            let is_left_out = field.containing_oneof().is_some_and(|oneof| {
                // The choice applies to its own `oneof`; any other gets its first field.
                let first = oneof.fields().next();
                let chosen = self.choice.filter(|choice| oneof.fields().any(|field| field.name() == *choice));
                chosen.map_or(first.as_ref() != Some(&field), |chosen| chosen != field.name())
            });
            if is_left_out {
                continue;
            }
            if let Some(value) = self.value(&field, pick) {
                let value = if field.is_list() { Value::List(vec![value]) } else { value };
                built.set_field(&field, value);
            }
        }
        built
    }

    fn value<'w>(&mut self, field: &FieldDescriptor, pick: &mut impl FnMut(usize) -> &'w World) -> Option<Value> {
        if let Kind::Message(message) = field.kind()
            && message.package_name().starts_with("tenantry.")
        {
            if message.name() == "MetadataFilter" {
                // It would find nothing.
                return None;
            }
            return Some(Value::Message(self.build(&message, pick)));
        }
        match self.part(field) {
            Part::Names(thing) => {
                let at = self.named;
                self.named += 1;
                Some(text(thing(pick(at))))
            }
            Part::Needs(value) => Some(value),
            Part::Optional => None,
            Part::Unknown => {
                self.unknown = Some(field.full_name().to_owned());
                None
            }
        }
    }

    /// The purpose of a field.
    fn part(&self, field: &FieldDescriptor) -> Part {
        let Variants { service, method, run, .. } = self.variants;
        let is_about_invitations = service == "InvitationService";
        // Calls that create or write use new names; other calls name existing resources.
        let of_item = method.trim_start_matches("Batch");
        let makes = ["Create", "Update", "Link"].iter().any(|verb| of_item.starts_with(verb));
        let is_role_name = field.parent_message().name() == "OrganizationAndRoleName";
        let new = || format!("{run}{}", random::base62(12).to_lowercase());
        match field.name() {
            "user_id" if is_about_invitations => Part::Names(|world| &world.invited_id),
            "user_id" | "user_ids" | "owner_user_id" | "former_owner_user_id" | "member_user_id" | "actor_user_id" => {
                Part::Names(|world| &world.user_id)
            }
            "email" | "new_email" if method == "SignUp" || field.name() == "new_email" => {
                Part::Needs(text(&format!("{}@example.invalid", new())))
            }
            "new_owner_user_id" => Part::Names(|world| &world.colleague_id),
            "organization_id" | "organization_ids" | "resource_id" => Part::Names(|world| &world.organization_id),
            "membership_id" => Part::Names(|world| &world.membership_id),
            "role_id" => Part::Names(|world| &world.role_id),
            "invitation_id" => Part::Names(|world| &world.invitation_id),
            "oauth_account_id" => Part::Names(|world| &world.oauth_account_id),
            "session_id" | "except_session_id" => Part::Names(|world| &world.session_id),
            "api_key_id" | "actor_api_key_id" => Part::Names(|world| &world.api_key_id),
            "plaintext_token" if is_about_invitations => Part::Names(|world| &world.invitation_token),
            "plaintext_token" => Part::Names(|world| &world.refresh_token),
            "access_token" if method == "IntrospectToken" => Part::Names(|world| &world.access_token),
            "external_id" if method == "ImportUsers" => Part::Needs(text(&new())),
            "external_id" | "external_ids" => self.external_id(field).map_or(Part::Optional, Part::Names),
            "emails" => Part::Names(|world| &world.email),
            "password" | "new_password" => Part::Needs(text("a phrase of the selftest")),
            "password_hash" => Part::Needs(text(HASH)),
            "current_password" => Part::Needs(text("a phrase that nobody has")),
            "plaintext_key" => Part::Names(|world| &world.api_key),
            "email" if makes => Part::Needs(text(&format!("{}@example.invalid", new()))),
            "email" => Part::Names(|world| &world.email),
            "name" => Part::Needs(Value::String(if is_role_name { ROLE.to_owned() } else { new() })),
            "slug" | "provider_user_id" if makes => Part::Needs(text(&new())),
            "slug" => Part::Names(|world| &world.slug),
            "provider_user_id" => Part::Names(|world| &world.provider_user_id),
            "provider" => Part::Needs(text("selftest")),
            "role" => Part::Needs(text("viewer")),
            "scopes" => Part::Needs(text("users:read")),
            "permission" => Part::Needs(text("selftest:read")),
            // The first meaningful environment; the organization as a resource type.
            "environment" => Part::Needs(Value::EnumNumber(1)),
            "resource_types" => Part::Needs(Value::EnumNumber(2)),
            "update_mask" => mask(field).map_or(Part::Optional, Part::Needs),
            "request_id" => Part::Optional,
            name if field.kind() == Kind::String
                && (name.ends_with("_id") || name.ends_with("_ids") || name.starts_with("plaintext_")) =>
            {
                Part::Unknown
            }
            _ => Part::Optional,
        }
    }

    /// The external id that a field names; `None` if the field sets it or filters by it.
    fn external_id(&self, field: &FieldDescriptor) -> Option<fn(&World) -> &str> {
        match (field.parent_message().name(), self.variants.method.as_str()) {
            ("OrganizationAndExternalId", _) => Some(|world| &world.membership_external_id),
            (_, "GetUserByExternalId" | "BatchGetUsers") => Some(|world| &world.user_external_id),
            (_, "GetOrganizationByExternalId" | "BatchGetOrganizations") => {
                Some(|world| &world.organization_external_id)
            }
            _ => None,
        }
    }
}

/// An update mask with a field of the message that has the mask.
fn mask(field: &FieldDescriptor) -> Option<Value> {
    let Kind::Message(message) = field.kind() else { return None };
    let path = ["name", "role", "description"]
        .into_iter()
        .find(|path| field.parent_message().get_field_by_name(path).is_some())?;
    let mask = prost_types::FieldMask { paths: vec![path.to_owned()] };
    DynamicMessage::decode(message, mask.encode_to_vec().as_slice()).ok().map(Value::Message)
}

/// A string value.
fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}
