//! Update masks. A path names a field, or one key of a JSON object as `metadata.key`.

use prost_types::FieldMask;

use super::Validation;
use crate::models::json::check_key;

/// Maximum number of paths.
const MAX_PATHS: usize = 100;

/// The paths of an update mask.
#[derive(Debug)]
pub struct Mask<'a> {
    fields: Vec<&'a str>,
    /// Single keys, each with its object.
    keys: Vec<(&'a str, String)>,
}

impl Validation {
    /// An update mask with known paths, at least one.
    pub fn mask<'a>(&mut self, mask: Option<&'a FieldMask>, known: &[&str]) -> Option<Mask<'a>> {
        self.mask_with_keys(mask, known, &[])
    }

    /// An update mask that may also name single keys of some of its fields.
    pub fn mask_with_keys<'a>(
        &mut self,
        mask: Option<&'a FieldMask>,
        known: &[&str],
        objects: &[&str],
    ) -> Option<Mask<'a>> {
        let named = || {
            let keys = objects.iter().map(|object| format!("{object}.KEY"));
            known.iter().map(ToString::to_string).chain(keys).collect::<Vec<_>>().join(", ")
        };
        let paths = mask.map_or(&[][..], |mask| &mask.paths);
        if paths.is_empty() {
            self.violation("update_mask", format!("must name at least one of {}", named()));
            return None;
        }
        if paths.len() > MAX_PATHS {
            self.violation("update_mask", format!("must have at most {MAX_PATHS} paths"));
            return None;
        }
        let mut read = Mask { fields: Vec::new(), keys: Vec::new() };
        for path in paths {
            let key = path.split_once('.').filter(|(object, _)| objects.contains(object));
            if known.contains(&path.as_str()) {
                read.fields.push(path);
            } else if let Some((object, key)) = key {
                read.keys.push((object, self.field("update_mask", parse_key(key))?));
            } else {
                self.violation("update_mask", format!("must name nothing but {}", named()));
                return None;
            }
        }
        if let Some((object, _)) = read.keys.iter().find(|(object, _)| read.fields.contains(object)) {
            self.violation("update_mask", format!("must not name both {object} and one of its keys"));
            return None;
        }
        Some(read)
    }
}

impl Mask<'_> {
    /// The value of a field that the mask names: `Some(None)` if it does not, `None` if it does and the field is invalid.
    pub fn named<T>(&self, path: &str, value: impl FnOnce() -> Option<T>) -> Option<Option<T>> {
        if self.fields.contains(&path) { value().map(Some) } else { Some(None) }
    }

    /// The keys of an object that the mask names.
    pub(super) fn keys_of(&self, object: &str) -> impl Iterator<Item = &String> {
        self.keys.iter().filter(move |(of, _)| *of == object).map(|(_, key)| key)
    }
}

/// The key of a path. As in AIP-161, a key with other characters is written in backquotes, and a backquote in it is doubled.
fn parse_key(text: &str) -> Result<String, &'static str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let quoted = text.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
    let key = match quoted {
        // What remains of a doubled backquote is not part of a pair.
        Some(inner) if !inner.replace("``", "").contains('`') => inner.replace("``", "`"),
        None if text.chars().all(is_plain) => text.to_owned(),
        Some(_) | None => {
            return Err("must name one key at the top level, in backquotes unless it has only A-Z, a-z, 0-9, _ and -");
        }
    };
    if key.contains('\0') {
        return Err("must not contain NUL characters");
    }
    check_key(&key).map_err(
        |_| "must name keys of 1 to 128 bytes without control, bidirectional formatting and invisible characters",
    )?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_plain_or_in_backquotes() {
        for (text, key) in [("team", "team"), ("`a.b`", "a.b"), ("`a``b`", "a`b"), ("`team`", "team"), ("````", "`")] {
            assert_eq!(parse_key(text), Ok(key.to_owned()), "{text}");
        }
        let long = "x".repeat(129);
        for text in ["", "``", "`", "```", "a.b", "`a`b`", "`a", "a`", "a b", "`a\0`", &long] {
            assert!(parse_key(text).is_err(), "{text}");
        }
    }
}
