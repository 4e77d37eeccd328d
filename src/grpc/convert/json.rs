//! `google.protobuf.Struct` and JSON objects.

use prost_types::{ListValue, Struct, Value as WireValue, value::Kind};
use serde_json::{Map, Number, Value};

use super::{Mask, Validation};
use crate::{
    models::{JsonChanges, JsonObject, MetadataMatch},
    pb,
};

/// 2^53 - 1. The 64-bit floats of the wire hold every whole number up to this, and beyond it not all: a client that sends one has already
/// lost digits.
const MAX_EXACT: f64 = 9_007_199_254_740_991.0;

impl Validation {
    /// A JSON object; empty if unset.
    pub fn object(&mut self, field: &str, wire: Option<Struct>) -> Option<JsonObject> {
        self.field(field, read_object(wire.unwrap_or_default(), 1).and_then(JsonObject::parse))
    }

    /// The changes of a JSON object: all of it, or the keys that the mask names. `Some(None)` if the mask names neither.
    pub(super) fn object_changes(
        &mut self,
        mask: &Mask<'_>,
        field: &str,
        wire: Option<Struct>,
    ) -> Option<Option<JsonChanges>> {
        let keys: Vec<&String> = mask.keys_of(field).collect();
        if keys.is_empty() {
            return mask.named(field, || self.object(field, wire).map(JsonChanges::Replace));
        }
        let JsonObject(mut object) = self.object(field, wire)?;
        let keys = keys.into_iter().map(|key| (key.clone(), object.remove(key))).collect();
        Some(Some(JsonChanges::Keys(keys)))
    }

    /// A filter by a value of metadata, if it is set.
    pub(super) fn metadata_filter(
        &mut self,
        field: &str,
        filter: Option<&pb::MetadataFilter>,
    ) -> Option<Option<MetadataMatch>> {
        let Some(filter) = filter else { return Some(None) };
        match MetadataMatch::parse(&filter.key, &filter.value) {
            Ok(filter) => Some(Some(filter)),
            Err((part, rule)) => {
                self.violation(format!("{field}.{part}"), rule);
                None
            }
        }
    }
}

fn read_object(wire: Struct, level: usize) -> Result<Map<String, Value>, &'static str> {
    if level > JsonObject::MAX_LEVELS {
        return Err("must have at most 16 levels");
    }
    wire.fields.into_iter().map(|(key, value)| Ok((text(key)?, read_value(value, level)?))).collect()
}

fn read_value(wire: WireValue, level: usize) -> Result<Value, &'static str> {
    match wire.kind {
        None => Err("must not contain a value without a kind"),
        Some(Kind::NullValue(_)) => Ok(Value::Null),
        Some(Kind::BoolValue(value)) => Ok(Value::Bool(value)),
        Some(Kind::StringValue(value)) => text(value).map(Value::String),
        Some(Kind::NumberValue(value)) => number(value),
        Some(Kind::StructValue(value)) => read_object(value, level + 1).map(Value::Object),
        Some(Kind::ListValue(_)) if level == JsonObject::MAX_LEVELS => Err("must have at most 16 levels"),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(|value| read_value(value, level + 1)).collect(),
    }
}

/// PostgreSQL cannot store NUL in a text.
fn text(text: String) -> Result<String, &'static str> {
    if text.contains('\0') { Err("must not contain NUL characters") } else { Ok(text) }
}

/// Stores a whole number as an integer, so that both databases return `5` as `5` and not as `5.0`.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "checked to be whole and within the exact range"
)]
fn number(value: f64) -> Result<Value, &'static str> {
    if value.fract() == 0.0 {
        if value.abs() > MAX_EXACT {
            return Err("must not contain whole numbers beyond 2^53 - 1, which lose digits; send them as text");
        }
        return Ok(Value::from(value as i64));
    }
    Number::from_f64(value).map(Value::Number).ok_or("must not contain NaN or an infinity")
}

/// A JSON object as a message.
pub(super) fn object(object: JsonObject) -> Struct {
    Struct { fields: object.0.into_iter().map(|(key, value)| (key, write_value(value))).collect() }
}

/// Private metadata as a message, for a reader who sees it or not. Without a key it is unset, as for everybody who does not see it.
pub(super) fn private(private: JsonObject, is_seen: bool) -> Option<Struct> {
    (is_seen && !private.0.is_empty()).then(|| object(private))
}

fn write_value(value: Value) -> WireValue {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(value),
        Value::Number(value) => Kind::NumberValue(value.as_f64().unwrap_or_default()),
        Value::String(value) => Kind::StringValue(value),
        Value::Array(values) => Kind::ListValue(ListValue { values: values.into_iter().map(write_value).collect() }),
        Value::Object(value) => Kind::StructValue(object(JsonObject(value))),
    };
    WireValue { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            any::<f64>()
                .prop_filter("JSON has no such number", |f| f.is_finite() && f.fract() != 0.0)
                .prop_map(Value::from),
            "[^\\x00]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-z]{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn an_object_comes_back_from_the_wire_as_it_was(value in json()) {
            let stored = JsonObject([("k".to_owned(), value)].into_iter().collect());
            let read = Validation::default().object("f", Some(object(stored.clone())));
            prop_assert_eq!(read, Some(stored));
        }
    }

    fn nested(levels: usize) -> Struct {
        (1..levels).fold(Struct::default(), |inner, _| Struct {
            fields: [("a".to_owned(), WireValue { kind: Some(Kind::StructValue(inner)) })].into(),
        })
    }

    fn numbers(numbers: &[f64]) -> Struct {
        let values = numbers.iter().map(|number| WireValue { kind: Some(Kind::NumberValue(*number)) }).collect();
        let list = WireValue { kind: Some(Kind::ListValue(ListValue { values })) };
        Struct { fields: [("a".to_owned(), list)].into() }
    }

    #[test]
    fn what_no_database_keeps_alike_is_refused() {
        let with = |kind| Struct { fields: [("a".to_owned(), WireValue { kind })].into() };
        for bad in [
            with(Some(Kind::NumberValue(f64::NAN))),
            with(Some(Kind::NumberValue(f64::INFINITY))),
            with(Some(Kind::NumberValue(9_007_199_254_740_992.0))),
            with(Some(Kind::NumberValue(-9_007_199_254_740_992.0))),
            with(Some(Kind::NumberValue(1e300))),
            numbers(&[1e-300; 60]),
            with(Some(Kind::StringValue("a\0".to_owned()))),
            with(None),
            with(Some(Kind::StringValue("x".repeat(20_000)))),
            Struct { fields: [("a\0".to_owned(), WireValue { kind: Some(Kind::BoolValue(true)) })].into() },
            nested(17),
        ] {
            assert_eq!(Validation::default().object("f", Some(bad)), None);
        }
        assert!(Validation::default().object("f", Some(nested(16))).is_some());
        for number in [9_007_199_254_740_991.0, -9_007_199_254_740_991.0, 5e-324, -1.5e-300, 0.1] {
            let read = Validation::default().object("f", Some(with(Some(Kind::NumberValue(number))))).unwrap();
            assert_eq!(object(read), with(Some(Kind::NumberValue(number))));
        }
        assert!(Validation::default().object("f", Some(numbers(&[1e-300; 50]))).is_some());
        let zero = Validation::default().object("f", Some(with(Some(Kind::NumberValue(-0.0))))).unwrap();
        assert_eq!(zero.0["a"].to_string(), "0");
    }
}
