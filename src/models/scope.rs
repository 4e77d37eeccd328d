//! Scopes and permissions: `resource:verb`, with wildcards.

use serde_json::Value;

use super::{role::is_word, stored::StoredJson};

/// `resource:verb`, `resource:*` or `*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope(String);

impl Scope {
    /// Maximum size in bytes.
    pub const MAX_BYTES: usize = 128;

    /// Parses a scope.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let well_formed = text == "*"
            || text.split_once(':').is_some_and(|(resource, verb)| is_word(resource) && (verb == "*" || is_word(verb)));
        if well_formed && text.len() <= Self::MAX_BYTES {
            Ok(Self(text.to_owned()))
        } else {
            Err("must be resource:verb, resource:* or *, in lower case, with at most 128 bytes")
        }
    }

    /// True if this scope implies `other`.
    pub fn covers(&self, other: &Scope) -> bool {
        covers(&self.0, &other.0)
    }

    /// Parses a scope without a wildcard.
    pub fn parse_concrete(text: &str) -> Result<Self, &'static str> {
        match Self::parse(text) {
            Ok(scope) if !scope.0.ends_with('*') => Ok(scope),
            Ok(_) | Err(_) => Err("must be resource:verb, in lower case and without wildcards, with at most 128 bytes"),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// True if one scope implies the other. The only implementation of wildcards.
pub fn covers(held: &str, asked: &str) -> bool {
    let same_resource = |resource: &str| asked.split_once(':').is_some_and(|(asked, _)| asked == resource);
    held == "*" || held == asked || held.strip_suffix(":*").is_some_and(same_resource)
}

/// The scopes of an API key, sorted and without duplicates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(Vec<Scope>);

/// The permissions of a role or a membership: the same strings.
pub type Permissions = Scopes;

impl Scopes {
    /// Maximum number of scopes of a key, and of permissions of a membership.
    pub const MAX: usize = 100;

    /// The set that covers every scope.
    pub fn all() -> Self {
        Self(vec![Scope("*".to_owned())])
    }

    /// True if one of these covers `scope`.
    pub fn hold(&self, scope: &Scope) -> bool {
        self.0.iter().any(|held| held.covers(scope))
    }

    /// True if one of these covers a permission.
    pub fn cover(&self, permission: &str) -> bool {
        self.0.iter().any(|held| covers(held.as_str(), permission))
    }

    /// The first of `others` that these do not cover.
    pub fn first_not_held<'a>(&self, others: &'a Scopes) -> Option<&'a Scope> {
        others.0.iter().find(|scope| !self.hold(scope))
    }

    /// The scopes.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut scopes: Vec<Scope> = scopes.into_iter().collect();
        scopes.sort();
        scopes.dedup();
        Self(scopes)
    }
}

impl StoredJson for Scopes {
    fn to_stored(&self) -> Value {
        self.0.iter().map(|scope| Value::from(scope.as_str())).collect()
    }

    fn from_stored(json: Value) -> Result<Self, String> {
        Ok(Self(strings(json)?.into_iter().map(Scope).collect()))
    }
}

/// Parses a JSON array of strings.
pub fn strings(json: Value) -> Result<Vec<String>, String> {
    let Value::Array(items) = json else { return Err("not an array".to_owned()) };
    let text = |item| match item {
        Value::String(text) => Ok(text),
        _ => Err("not an array of strings".to_owned()),
    };
    items.into_iter().map(text).collect()
}

/// The scope that the method of a stream or of a batch requires. They check it again while they run.
#[derive(Clone, Debug)]
pub struct RequiredScope(pub Scope);

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> Scope {
        Scope(text.to_owned())
    }

    #[test]
    fn a_wildcard_covers_its_resource_and_the_star_covers_all() {
        assert!(scope("*").covers(&scope("users:read")) && scope("*").covers(&scope("*")));
        assert!(scope("users:*").covers(&scope("users:read")) && scope("users:*").covers(&scope("users:*")));
        assert!(!scope("users:*").covers(&scope("*")) && !scope("users:read").covers(&scope("users:*")));
        assert!(!scope("users:*").covers(&scope("users_x:read")) && !scope("users:read").covers(&scope("users:write")));
    }

    #[test]
    fn what_is_no_scope_is_refused() {
        for text in ["", "users", "users:", ":read", "*:read", "*:*", "users:read:x", "Users:read", "users:re ad", "**"]
        {
            assert!(Scope::parse(text).is_err(), "{text:?}");
        }
    }
}
