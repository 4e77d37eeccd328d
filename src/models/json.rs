//! Free-form JSON objects: metadata and settings.

use serde_json::{Map, Value};

use super::stored::StoredJson;

/// A JSON object. Limits are checked where it comes from the wire.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JsonObject(pub Map<String, Value>);

impl JsonObject {
    /// Most bytes of its compact text.
    pub const MAX_BYTES: usize = 16 * 1024;
    /// Most levels of objects and arrays, the outermost included.
    pub const MAX_LEVELS: usize = 16;
}

impl StoredJson for JsonObject {
    fn to_stored(&self) -> Value {
        Value::Object(self.0.clone())
    }

    fn from_stored(json: Value) -> Result<Self, String> {
        match json {
            Value::Object(object) => Ok(Self(object)),
            _ => Err("no object".to_owned()),
        }
    }
}
