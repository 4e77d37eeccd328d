//! Free-form JSON objects: metadata and settings.

use serde_json::{Map, Value};

use super::stored::StoredJson;

/// A JSON object. Limits are checked when it is parsed from a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JsonObject(pub Map<String, Value>);

impl JsonObject {
    /// Maximum size of its compact text, in bytes.
    pub const MAX_BYTES: usize = 16 * 1024;
    /// Maximum nesting of objects and arrays, including the outermost.
    pub const MAX_LEVELS: usize = 16;
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
