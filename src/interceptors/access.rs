//! Who may call which method, and with which priority, read from the method options of the descriptor set. Denied by default: a path that
//! is not in the table is an unknown method, and the server does not start if one of our methods lacks the option.

use std::{collections::HashMap, sync::Arc};

use http::request::Parts;
use prost_reflect::{DescriptorPool, MethodDescriptor, Value};

use super::{Intercept, bulk::Bulk};
use crate::{
    error::{Error, Result},
    models::{Action, Grant, Priority, RequiredScope, Scope, stored::StoredText as _},
    pb,
};

/// The option with a method's access rule.
const OPTION: &str = "tenantry.v1.access";
/// The option that lists the authority a method can grant.
const GIVES: &str = "tenantry.v1.gives";
/// The option that lists a method's events.
const EMITS: &str = "tenantry.v1.emits";
/// Methods of packages with this prefix must carry the access option.
const OUR_PACKAGES: &str = "tenantry.";
/// `MethodOptions.IdempotencyLevel.NO_SIDE_EFFECTS`.
const NO_SIDE_EFFECTS: i32 = 1;

/// Who may call a method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone, without a credential.
    Public,
    /// Any caller with a usable key, whatever its scopes.
    AnyKey,
    /// A caller that holds the scope and, where required, is a platform admin or uses an API key.
    Scope {
        /// The required scope.
        scope: Scope,
        /// True if the caller must be a platform admin.
        platform_admin: bool,
        /// True if an access token is not accepted.
        api_key: bool,
    },
}

/// The properties of a method, read from its descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    /// Its path.
    pub path: String,
    /// The callers it accepts.
    pub access: Access,
    /// Its priority under overload.
    pub priority: Priority,
    /// True if it returns a stream.
    pub is_stream: bool,
    /// The authority it can grant, sorted.
    pub gives: Vec<Grant>,
    /// True if it takes a stream.
    pub takes_stream: bool,
    /// Why its answer may be large; `None` if it cannot be.
    pub bulk: Option<Bulk>,
}

/// All methods by path. As an interceptor, it adds a call's method to the request.
#[derive(Clone, Debug)]
pub struct AccessTable(Arc<HashMap<String, Arc<Method>>>);

impl AccessTable {
    /// Reads encoded descriptor sets.
    ///
    /// # Errors
    /// Names the first of our methods without a valid access rule.
    pub fn read(descriptor_sets: &[&[u8]]) -> std::result::Result<Self, String> {
        let mut rules = HashMap::new();
        for set in descriptor_sets {
            let mut pool = DescriptorPool::new();
            pool.decode_file_descriptor_set(*set)
                .map_err(|error| format!("a descriptor set cannot be read: {error}"))?;
            for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
                let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
                let failed = |error| format!("{path}: {error}");
                let access = rule(&pool, &method).map_err(failed)?;
                let priority = priority(&pool, &method).map_err(failed)?;
                let gives = gives(&pool, &method, &access).map_err(failed)?;
                let method = Method {
                    path: path.clone(),
                    access,
                    priority,
                    is_stream: method.is_server_streaming(),
                    gives,
                    takes_stream: method.is_client_streaming(),
                    bulk: Bulk::of(&method),
                };
                rules.insert(path, Arc::new(method));
            }
        }
        Ok(Self(Arc::new(rules)))
    }

    /// Every method.
    pub fn methods(&self) -> impl Iterator<Item = &Arc<Method>> {
        self.0.values()
    }

    /// The method of a path.
    pub fn method(&self, path: &str) -> Option<&Arc<Method>> {
        self.0.get(path)
    }
}

fn rule(pool: &DescriptorPool, method: &MethodDescriptor) -> std::result::Result<Access, &'static str> {
    // Health and reflection: they carry no options, reveal nothing about tenants, and are served only if registered.
    if !method.parent_service().package_name().starts_with(OUR_PACKAGES) {
        return Ok(Access::Public);
    }
    let options = method.options();
    let extension = pool.get_extension_by_name(OPTION).ok_or("the access option is not defined")?;
    if !options.has_extension(&extension) {
        return Err("the method has no access option");
    }
    let value = options.get_extension(&extension);
    let access = value.as_message().ok_or("the access option is not a message")?;
    let flag = |name| access.get_field_by_name(name).is_some_and(|value| value.as_bool() == Some(true));
    let scope = access.get_field_by_name("scope").as_deref().and_then(Value::as_str).unwrap_or_default().to_owned();
    let api_key = flag("api_key");
    match (flag("unauthenticated"), flag("any_key"), scope.as_str(), flag("platform_admin")) {
        (true, false, "", false) if !api_key => Ok(Access::Public),
        (false, true, "", false) if !api_key => Ok(Access::AnyKey),
        (false, false, scope, platform_admin) if !scope.contains('*') => {
            let scope = Scope::parse(scope)
                .map_err(|_| "the access option has neither unauthenticated nor a well-formed scope")?;
            Ok(Access::Scope { scope, platform_admin, api_key })
        }
        _ => Err("the access option is contradictory"),
    }
}

/// The authority a method declares to grant. It must be exactly what its events can grant, so that none is forgotten.
fn gives(
    pool: &DescriptorPool,
    method: &MethodDescriptor,
    access: &Access,
) -> std::result::Result<Vec<Grant>, &'static str> {
    let list = |option: &str, field: &str| -> Vec<Value> {
        let extension = pool.get_extension_by_name(option);
        let value = extension.map(|extension| method.options().get_extension(&extension).into_owned());
        let list = value.as_ref().and_then(Value::as_message).and_then(|message| message.get_field_by_name(field));
        list.as_deref().and_then(Value::as_list).map(<[Value]>::to_vec).unwrap_or_default()
    };
    let mut declared = Vec::new();
    for number in list(GIVES, "grants").iter().filter_map(Value::as_enum_number) {
        declared.push(match pb::Grant::try_from(number) {
            Ok(pb::Grant::ApiKey) => Grant::ApiKey,
            Ok(pb::Grant::Permissions) => Grant::Permissions,
            Ok(pb::Grant::Session) => Grant::Session,
            Ok(pb::Grant::Account) => Grant::Account,
            Ok(pb::Grant::Standing) => Grant::Standing,
            Ok(pb::Grant::PlatformAdmin) => Grant::PlatformAdmin,
            Ok(pb::Grant::Unspecified) | Err(_) => return Err("the gives option contains an unknown grant"),
        });
    }
    let mut possible = Vec::new();
    for action in list(EMITS, "actions").iter().filter_map(Value::as_str) {
        let action =
            Action::from_stored(action.to_owned()).map_err(|_| "the emits option contains an unknown action")?;
        possible.extend(action.gives());
    }
    for grants in [&mut declared, &mut possible] {
        grants.sort_unstable();
        grants.dedup();
    }
    if declared != possible {
        return Err("the gives option does not match what the events of the method give");
    }
    // An API key obtained with an access token would outlast its session.
    match access {
        Access::Scope { api_key: false, .. } if declared.contains(&Grant::ApiKey) => {
            Err("a method that gives API keys must take an API key")
        }
        Access::Public | Access::AnyKey if !declared.is_empty() => {
            Err("a method that gives authority must require a scope")
        }
        _ => Ok(declared),
    }
}

/// The priority a method declares; by default a read if it has no side effects, otherwise a write.
fn priority(pool: &DescriptorPool, method: &MethodDescriptor) -> std::result::Result<Priority, &'static str> {
    use pb::Priority as P;
    let options = method.options();
    let declared = pool.get_extension_by_name(OPTION).map(|extension| options.get_extension(&extension).into_owned());
    let declared =
        declared.as_ref().and_then(Value::as_message).and_then(|access| access.get_field_by_name("priority"));
    let declared = declared.as_deref().and_then(Value::as_enum_number).unwrap_or_default();
    let only_reads = || {
        let level = options.get_field_by_name("idempotency_level");
        level.as_deref().and_then(Value::as_enum_number) == Some(NO_SIDE_EFFECTS)
    };
    match P::try_from(declared).map_err(|_| "the priority is unknown")? {
        P::Unspecified if only_reads() => Ok(Priority::Read),
        P::Unspecified => Ok(Priority::Write),
        P::Verify => Ok(Priority::Verify),
        P::Refresh => Ok(Priority::Refresh),
        P::SignIn => Ok(Priority::SignIn),
        P::Import => Ok(Priority::Import),
    }
}

impl Intercept for AccessTable {
    async fn before(&self, parts: &mut Parts) -> Result<()> {
        let method = self.0.get(parts.uri.path()).filter(|_| parts.uri.query().is_none());
        let method = method.ok_or(Error::MethodUnknown)?;
        let is_long = method.is_stream || method.priority == Priority::Import;
        if let (true, Access::Scope { scope, .. }) = (is_long, &method.access) {
            parts.extensions.insert(RequiredScope(scope.clone()));
        }
        parts.extensions.insert(Arc::clone(method));
        Ok(())
    }
}

/// The method of a call.
pub(super) fn method(parts: &Parts) -> Result<&Arc<Method>> {
    // Missing only if the interceptors are in the wrong order.
    parts.extensions.get().ok_or_else(|| Error::internal("a call came without a method"))
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::DESCRIPTOR_SET;

    #[test]
    fn every_method_of_ours_has_a_rule() {
        let table = AccessTable::read(&[DESCRIPTOR_SET, tonic_health::pb::FILE_DESCRIPTOR_SET]).unwrap();
        let scope = Scope::parse("users:write").unwrap();
        assert_eq!(
            table.0["/tenantry.v1.UserService/PurgeUser"].access,
            Access::Scope { scope, platform_admin: true, api_key: false }
        );
        assert_eq!(table.0["/grpc.health.v1.Health/Check"].access, Access::Public);
    }

    #[test]
    fn every_method_has_its_place_where_not_all_are_answered() {
        let table = AccessTable::read(&[DESCRIPTOR_SET]).unwrap();
        for (method, priority) in [
            ("ApiKeyService/VerifyApiKey", Priority::Verify),
            ("AuthorizationService/CheckPermission", Priority::Verify),
            ("AuthenticationService/Refresh", Priority::Refresh),
            ("UserService/GetUser", Priority::Read),
            ("UserService/UpdateUser", Priority::Write),
            ("AuthenticationService/SignIn", Priority::SignIn),
            ("UserService/ImportUsers", Priority::Import),
        ] {
            assert_eq!(table.0[&format!("/tenantry.v1.{method}")].priority, priority, "{method}");
        }
    }

    #[test]
    fn a_method_without_a_rule_is_named() {
        let mut set = prost_types::FileDescriptorSet::decode(DESCRIPTOR_SET).unwrap();
        // Decoded without the extension, the options are lost, as if they had never been written.
        set.file.retain(|file| file.name() != "x");
        let error = AccessTable::read(&[&set.encode_to_vec()]).unwrap_err();
        assert!(error.starts_with("/tenantry.v1.") && error.ends_with("has no access option"), "{error}");
    }
}
