//! Free-form JSON objects: metadata and settings.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{characters::exact, stored::StoredJson};

/// A JSON object. Limits are checked when it is parsed from a request, and again when single keys of a stored one are set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JsonObject(pub Map<String, Value>);

/// Changes of a JSON object.
#[derive(Clone, Debug)]
pub enum JsonChanges {
    /// Replaces the whole object.
    Replace(JsonObject),
    /// Sets single keys at the top level, and removes those without a value. All other keys stay as they are.
    Keys(BTreeMap<String, Option<Value>>),
}

/// A field whose value would exceed a limit after the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow {
    /// The field of the request.
    pub field: &'static str,
    /// The rule, as in `must ..`.
    pub rule: &'static str,
}

impl JsonObject {
    /// Maximum size of its compact text, with numbers written out in full, in bytes.
    pub const MAX_BYTES: usize = 16 * 1024;
    /// Maximum nesting of objects and arrays, including the outermost.
    pub const MAX_LEVELS: usize = 16;
    /// Maximum number of keys at the top level.
    pub const MAX_KEYS: usize = 64;
    /// Maximum size of a key at the top level, in bytes.
    pub const MAX_KEY_BYTES: usize = 128;

    /// Checks the size and the keys. The nesting was checked when the values were read.
    pub fn parse(object: Map<String, Value>) -> Result<Self, &'static str> {
        if object.len() > Self::MAX_KEYS {
            return Err("must have at most 64 keys at its top level");
        }
        for key in object.keys() {
            check_key(key)?;
        }
        let object = Value::Object(object);
        if object.to_string().len().saturating_add(written_out(&object)) > Self::MAX_BYTES {
            return Err("must have at most 16 KiB as JSON, with numbers written out in full");
        }
        Self::from_stored(object).map_err(|_| "must be an object")
    }
}

/// How many bytes longer the numbers of a value are without exponents, as PostgreSQL stores them: `1e-300` has 302 digits.
fn written_out(value: &Value) -> usize {
    match value {
        Value::Number(number) => {
            let written = number.as_f64().map_or(0, |number| format!("{number}").len());
            written.saturating_sub(number.to_string().len())
        }
        Value::Array(values) => values.iter().map(written_out).sum(),
        Value::Object(object) => object.values().map(written_out).sum(),
        Value::Null | Value::Bool(_) | Value::String(_) => 0,
    }
}

/// Checks a key at the top level. Updates and filters name such keys, so two of them must not look alike. Keys below it and values are data.
pub fn check_key(key: &str) -> Result<(), &'static str> {
    if !(1..=JsonObject::MAX_KEY_BYTES).contains(&key.len()) {
        return Err("must have keys of 1 to 128 bytes at its top level");
    }
    exact(key).map_err(
        |_| "must have keys without control, bidirectional formatting and invisible characters at its top level",
    )
}

impl JsonChanges {
    /// Applies the changes to the value of a field, whole or not at all.
    ///
    /// # Errors
    /// [`Overflow`] if the result would exceed a limit.
    pub fn apply(self, field: &'static str, to: &mut JsonObject) -> Result<(), Overflow> {
        *to = match self {
            Self::Replace(object) => object,
            Self::Keys(keys) => {
                let mut object = to.0.clone();
                for (key, value) in keys {
                    match value {
                        Some(value) => drop(object.insert(key, value)),
                        None => drop(object.remove(&key)),
                    }
                }
                JsonObject::parse(object).map_err(|rule| Overflow { field, rule })?
            }
        };
        Ok(())
    }
}

impl StoredJson for JsonObject {
    fn to_stored(&self) -> Value {
        Value::Object(self.0.clone())
    }

    fn from_stored(json: Value) -> Result<Self, String> {
        match json {
            Value::Object(object) => Ok(Self(object)),
            _ => Err("not an object".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(json: Value) -> JsonObject {
        JsonObject::from_stored(json).unwrap_or_default()
    }

    #[test]
    fn single_keys_are_set_and_removed_and_others_stay() {
        let mut stored = object(json!({"a": 1, "b": 2, "c.d": 3}));
        let keys = [("b".to_owned(), None), ("c.d".to_owned(), Some(json!({"e": 4}))), ("missing".to_owned(), None)];
        assert_eq!(JsonChanges::Keys(keys.into()).apply("metadata", &mut stored), Ok(()));
        assert_eq!(stored, object(json!({"a": 1, "c.d": {"e": 4}})));
    }

    #[test]
    fn a_key_at_the_top_level_has_no_invisible_characters_and_all_else_is_data() {
        for key in ["ti\u{200B}er", "a\u{202E}b", "a\nb", "\u{2800}", "a\u{FFF9}", ""] {
            assert!(check_key(key).is_err(), "{key:?}");
            assert!(JsonObject::parse(object(json!({ key: 1 })).0).is_err(), "{key:?}");
            assert!(JsonObject::parse(object(json!({"a": {key: key}, "b": key})).0).is_ok(), "{key:?}");
        }
        for key in ["tier", "crm.id", "två ord", "ключ", "☎"] {
            assert_eq!(check_key(key), Ok(()), "{key}");
        }
    }

    #[test]
    fn a_merge_that_would_exceed_a_limit_changes_nothing() {
        let full: Map<String, Value> = (0..JsonObject::MAX_KEYS).map(|key| (key.to_string(), json!(0))).collect();
        let mut stored = JsonObject(full.clone());
        for (key, value) in [("new", json!(1)), ("0", json!("x".repeat(JsonObject::MAX_BYTES)))] {
            let changes = JsonChanges::Keys([(key.to_owned(), Some(value))].into());
            assert!(changes.apply("metadata", &mut stored).is_err());
            assert_eq!(stored.0, full);
        }
    }
}
