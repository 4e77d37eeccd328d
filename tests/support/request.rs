//! Builds requests for any method from the descriptor set and a world of resources that they can name.

use prost::Message as _;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, ReflectMessage as _, Value,
};
use tenantry::pb::{self, create_api_key_request::Owner};

use super::{
    Answered as _, MISSING_ID, Test,
    given::{CHEAP_HASH, PASSWORD, unique},
};

/// Fields that requests leave empty.
const OPTIONAL: [&str; 67] = [
    "avatar_url",
    "logo_url",
    "metadata",
    "private_metadata",
    "metadata_filter",
    "private_metadata_filter",
    "settings_filter",
    "settings",
    "email_verified",
    "permissions",
    "description",
    "former_owner_role",
    "user_agent",
    "ip_address",
    "etag",
    "page_size",
    "page_token",
    "state",
    "email_prefix",
    "name_prefix",
    "created_from",
    "created_before",
    "except_session_id",
    "expires_at",
    "include_revoked",
    "reason",
    "message",
    "life",
    "overlap",
    "validate_only",
    "allowed_ip_ranges",
    "required_scope",
    "request_id",
    "resource_type",
    "resource_id",
    "organization_name",
    "organization_slug",
    "all_sessions",
    "keep_sessions",
    "actor_user_id",
    "actor_api_key_id",
    "actions",
    "cursor",
    "rate_limit",
    "revoke_api_keys",
    "restore_api_keys",
    "email_verified_by_provider",
    "purge_sole_organizations",
    "delete_sole_organizations",
    "order",
    "query",
    "roles",
    "created_by",
    "expires_from",
    "expires_before",
    "last_used_from",
    "last_used_before",
    "method",
    "metadata_key",
    "metadata_value",
    "start_time",
    "updated_from",
    "last_sign_in_from",
    "last_sign_in_before",
    "display_name",
    "allow_reserved_slug",
    "membership_state",
];

/// One resource of every kind, all of one owner.
#[derive(Clone)]
pub struct World {
    pub user: pb::User,
    pub email: String,
    pub slug: String,
    pub organization_id: String,
    pub organization_external_id: String,
    pub membership_id: String,
    pub role_id: String,
    /// The invited user, with a verified e-mail.
    pub invited: pb::User,
    pub invitation_id: String,
    pub invitation_token: String,
    pub oauth_account_id: String,
    pub provider_user_id: String,
    pub session_id: String,
    pub plaintext_token: String,
    /// Mailed tokens of a user without a credential: to verify the e-mail, to reset the password, to change the e-mail.
    pub mailed_tokens: [String; 3],
    pub api_key_id: String,
    pub plaintext_key: String,
}

impl World {
    /// Creates a world.
    pub async fn make(t: &Test) -> Self {
        let request = pb::CreateUserRequest {
            email: format!("{}@example.com", unique("world")),
            name: "world".to_owned(),
            external_id: unique("external-"),
            ..Default::default()
        };
        let user = t.admin().users().create_user(request).await.answered().user.unwrap();
        let request = pb::CreateOrganizationRequest {
            name: "Acme".to_owned(),
            slug: unique("acme-"),
            owner_user_id: user.id.clone(),
            external_id: unique("external-"),
            ..Default::default()
        };
        let created = t.admin().organizations().create_organization(request).await.answered();
        let organization = created.organization.unwrap();
        let account = t.oauth_account(&user).await;
        let role = t.role(&organization, "created", &["invoices:read"]).await;
        let invited = t.verified_user("invited").await;
        let (invitation, invitation_token) = t.invitation(&organization, &invited.email, "member").await;
        let (session, plaintext_token) = t.session(&user).await;
        t.give_password(&user).await;
        let mailed_tokens = t.mailed_tokens(&invited).await;
        let (key, plaintext_key) = t.key(Owner::OrganizationId(organization.id.clone()), &["users:read"]).await;
        Self {
            email: user.email.clone(),
            slug: organization.slug,
            membership_id: t.membership(&user.id, &organization.id).await.unwrap().id,
            role_id: role.id,
            invited,
            invitation_id: invitation.id,
            invitation_token,
            organization_id: organization.id,
            organization_external_id: organization.external_id,
            oauth_account_id: account.id,
            provider_user_id: account.provider_user_id,
            session_id: session.id,
            plaintext_token,
            mailed_tokens,
            api_key_id: key.id,
            plaintext_key,
            user,
        }
    }

    /// A world whose resources do not exist.
    pub fn missing() -> Self {
        let id = || MISSING_ID.to_owned();
        Self {
            user: pb::User { id: id(), external_id: "missing".to_owned(), ..Default::default() },
            email: "missing@example.com".to_owned(),
            slug: "missing".to_owned(),
            organization_id: id(),
            organization_external_id: "missing".to_owned(),
            membership_id: id(),
            role_id: id(),
            invited: pb::User { id: id(), ..Default::default() },
            invitation_id: id(),
            invitation_token: "cf_inv_missing".to_owned(),
            oauth_account_id: id(),
            provider_user_id: "missing".to_owned(),
            session_id: id(),
            plaintext_token: "cf_rt_missing".to_owned(),
            mailed_tokens: ["cf_ev_missing", "cf_pr_missing", "cf_ec_missing"].map(str::to_owned),
            api_key_id: id(),
            plaintext_key: "cf_live_missing".to_owned(),
        }
    }

    /// A valid request of a method about this world.
    pub fn request(&self, method: &MethodDescriptor) -> DynamicMessage {
        self.message(method, &method.input())
    }

    /// A valid request, or item of a request, of a method.
    fn message(&self, method: &MethodDescriptor, message: &MessageDescriptor) -> DynamicMessage {
        let mut request = DynamicMessage::new(message.clone());
        for field in message.fields() {
            let second_of_oneof =
                field.containing_oneof().and_then(|oneof| oneof.fields().next()).is_some_and(|first| first != field);
            if second_of_oneof {
                continue;
            }
            if let Some(value) = self.value(method, &field) {
                request.set_field(&field, value);
            }
        }
        request
    }

    /// The value of a field; `None` for optional fields. Each group of fields passes other fields on to the next one.
    fn value(&self, method: &MethodDescriptor, field: &FieldDescriptor) -> Option<Value> {
        if OPTIONAL.contains(&field.name()) {
            return None;
        }
        let text = |text: &str| Some(Value::String(text.to_owned()));
        let texts = |text: &str| Some(Value::List(vec![Value::String(text.to_owned())]));
        match field.name() {
            // A missing user, since the new owner must differ from the world's user.
            "new_owner_user_id" => text("0190a5d0-0000-7000-8000-0000000000ff"),
            "user_id" if method.parent_service().name() == "InvitationService" => text(&self.invited.id),
            // A user without a password.
            "user_id" if ["SetPassword", "ImportPasswordHash"].contains(&method.name()) => text(&self.invited.id),
            "user_id" | "owner_user_id" | "former_owner_user_id" | "member_user_id" => text(&self.user.id),
            "user_ids" => texts(&self.user.id),
            "organization_id" => text(&self.organization_id),
            "organization_ids" => texts(&self.organization_id),
            "external_id" if method.name() == "GetUserByExternalId" => text(&self.user.external_id),
            "external_id" if method.name() == "GetOrganizationByExternalId" => text(&self.organization_external_id),
            // Set and filtered by in tests of their own.
            "external_id" | "external_ids" | "emails" => None,
            "membership_id" => text(&self.membership_id),
            "role_id" => text(&self.role_id),
            "invitation_id" => text(&self.invitation_id),
            "oauth_account_id" => text(&self.oauth_account_id),
            "session_id" => text(&self.session_id),
            "api_key_id" => text(&self.api_key_id),
            _ => self.credential_value(method, field),
        }
    }

    /// Passwords, tokens and keys.
    fn credential_value(&self, method: &MethodDescriptor, field: &FieldDescriptor) -> Option<Value> {
        let text = |text: &str| Some(Value::String(text.to_owned()));
        match field.name() {
            "plaintext_token" if method.name() == "ConfirmEmailVerification" => text(&self.mailed_tokens[0]),
            "plaintext_token" if method.name() == "ConfirmPasswordReset" => text(&self.mailed_tokens[1]),
            "plaintext_token" if method.name() == "ConfirmEmailChange" => text(&self.mailed_tokens[2]),
            "plaintext_token" => text(&self.plaintext_token),
            "password" | "current_password" if method.name() != "SetPassword" => text(PASSWORD),
            "password" | "new_password" => text("another phrase of some length"),
            "password_hash" => text(CHEAP_HASH),
            "password_recipe" | "known_password" => None,
            "access_token" if method.name() != "IntrospectToken" => None,
            "access_token" => text("eyJ.none.none"),
            "plaintext_key" => text(&self.plaintext_key),
            _ => self.plain_value(method, field),
        }
    }

    /// Names and other plain values.
    fn plain_value(&self, method: &MethodDescriptor, field: &FieldDescriptor) -> Option<Value> {
        let text = |text: &str| Some(Value::String(text.to_owned()));
        let texts = |text: &str| Some(Value::List(vec![Value::String(text.to_owned())]));
        // Calls that create or write use new names; other calls name existing resources.
        let name = method.name().trim_start_matches("Batch");
        let makes = ["Create", "Update", "Link", "SignUp"].iter().any(|verb| name.starts_with(verb));
        match field.name() {
            "new_email" => text(&format!("{}@example.com", unique("new"))),
            "email" if makes => text(&format!("{}@example.com", unique("created"))),
            "email" => text(&self.email),
            "slug" if makes => text(&unique("created-")),
            "slug" => text(&self.slug),
            "provider_user_id" if makes => text(&unique("created-")),
            "provider_user_id" => text(&self.provider_user_id),
            "provider" => text("github"),
            "name" if method.name() == "CreateRole" => text(&unique("created-")),
            "name" => text("Made"),
            "role" => text("member"),
            "scopes" => texts("users:read"),
            "environment" => Some(Value::EnumNumber(1)),
            "plan" => text("free"),
            "permission" => text("invoices:read"),
            "question_id" => Some(Value::U64(7)),
            "question" | "questions" => {
                let Kind::Message(message) = field.kind() else { return None };
                let question = pb::ApiKeyQuestion { plaintext_key: self.plaintext_key.clone(), ..Default::default() };
                let question = DynamicMessage::decode(message, question.encode_to_vec().as_slice()).unwrap();
                let question = Value::Message(question);
                Some(if field.is_list() { Value::List(vec![question]) } else { question })
            }
            "resource_types" => Some(Value::List(vec![Value::EnumNumber(pb::ResourceType::Organization.into())])),
            _ => self.message_value(method, field),
        }
    }

    /// Messages, and lists of them.
    fn message_value(&self, method: &MethodDescriptor, field: &FieldDescriptor) -> Option<Value> {
        match field.name() {
            // The items of a batch.
            "requests" => {
                let Kind::Message(message) = field.kind() else { return None };
                Some(Value::List(vec![Value::Message(self.message(method, &message))]))
            }
            "checks" => {
                let Kind::Message(message) = field.kind() else { return None };
                let check = pb::CheckPermissionRequest {
                    subject: Some(pb::check_permission_request::Subject::UserId(self.user.id.clone())),
                    organization_id: self.organization_id.clone(),
                    permission: "invoices:read".to_owned(),
                };
                let check = DynamicMessage::decode(message, check.encode_to_vec().as_slice()).unwrap();
                Some(Value::List(vec![Value::Message(check)]))
            }
            "users" => {
                let Kind::Message(message) = field.kind() else { return None };
                let user = pb::ImportedUser {
                    external_id: unique("external-"),
                    email: format!("{}@example.com", unique("imported")),
                    name: "Imported".to_owned(),
                    password_hash: CHEAP_HASH.to_owned(),
                    ..Default::default()
                };
                let user = DynamicMessage::decode(message, user.encode_to_vec().as_slice()).unwrap();
                Some(Value::List(vec![Value::Message(user)]))
            }
            "tokens" => match field.kind() {
                Kind::Message(message) => {
                    let tokens =
                        pb::OauthTokens { access_token: Some("another token".to_owned()), ..Default::default() };
                    let tokens = DynamicMessage::decode(message, tokens.encode_to_vec().as_slice()).unwrap();
                    Some(Value::Message(tokens))
                }
                _ => None,
            },
            "update_mask" => {
                let path = ["name", "role", "description"]
                    .into_iter()
                    .find(|path| field.parent_message().get_field_by_name(path).is_some());
                let mask = prost_types::FieldMask { paths: path.into_iter().map(str::to_owned).collect() };
                let Kind::Message(message) = field.kind() else { return None };
                Some(Value::Message(DynamicMessage::decode(message, mask.encode_to_vec().as_slice()).unwrap()))
            }
            other => panic!("add a value for {other} of {}", field.parent_message().full_name()),
        }
    }
}

/// Encodes a request.
pub fn encode(request: &DynamicMessage) -> Vec<u8> {
    request.encode_to_vec()
}

/// The string fields of a request, and of the messages in it, each as the path of fields that leads to it.
pub fn text_fields(request: &DynamicMessage) -> Vec<Vec<FieldDescriptor>> {
    let mut paths = Vec::new();
    for field in request.descriptor().fields() {
        match field.kind() {
            Kind::String => paths.push(vec![field]),
            Kind::Message(message) if request.has_field(&field) && message.full_name() != "google.protobuf.Struct" => {
                let value = request.get_field(&field);
                let first = value.as_list().map_or_else(|| Some(&*value), |list| list.first());
                let inner = first.and_then(Value::as_message).map(text_fields).unwrap_or_default();
                paths.extend(inner.into_iter().map(|path| [vec![field.clone()], path].concat()));
            }
            _ => {}
        }
    }
    paths
}

/// Sets the string field at a path.
pub fn set_text(request: &mut DynamicMessage, path: &[FieldDescriptor], text: &str) {
    let [field, rest @ ..] = path else { panic!("a path has fields") };
    if rest.is_empty() {
        let value = Value::String(text.to_owned());
        request.set_field(field, if field.is_list() { Value::List(vec![value]) } else { value });
        return;
    }
    let inner = match request.get_field_mut(field) {
        Value::List(list) => list.first_mut().unwrap(),
        value => value,
    };
    set_text(inner.as_message_mut().unwrap(), rest, text);
}

/// Makes the update mask of a request, if it has one, name this field alone.
pub fn update_only(request: &mut DynamicMessage, field: &FieldDescriptor) {
    let Some(mask) = request.descriptor().get_field_by_name("update_mask") else { return };
    let paths = Value::List(vec![Value::String(field.name().to_owned())]);
    request.get_field_mut(&mask).as_message_mut().unwrap().set_field_by_name("paths", paths);
}
