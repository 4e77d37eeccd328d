//! How our types appear in text and JSON columns. The database layer maps every type that implements these traits.

/// A value that a text column holds.
pub trait StoredText: Sized {
    /// The text to store.
    fn as_stored(&self) -> &str;

    /// Restores a value, or describes what is wrong with the stored text.
    fn from_stored(text: String) -> Result<Self, String>;
}

/// A value that a JSON column holds.
pub trait StoredJson: Sized {
    /// The JSON to store.
    fn to_stored(&self) -> serde_json::Value;

    /// Restores a value, or describes what is wrong with the stored JSON.
    fn from_stored(json: serde_json::Value) -> Result<Self, String>;
}

/// Defines an enum whose variants are words in the database and elsewhere.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant),+
        }

        impl $name {
            /// All variants.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
        }

        impl $crate::models::stored::StoredText for $name {
            fn as_stored(&self) -> &str {
                match self {
                    $(Self::$variant => $word),+
                }
            }

            fn from_stored(text: String) -> Result<Self, String> {
                match text.as_str() {
                    $($word => Ok(Self::$variant),)+
                    other => Err(format!("{other:?} is not a valid {}", stringify!($name))),
                }
            }
        }
    };
}

/// Implements [`StoredText`] for types that wrap a text, which was checked on construction.
macro_rules! stored_as_is {
    ($($text:ident),+ $(,)?) => {$(
        impl $crate::models::stored::StoredText for $text {
            fn as_stored(&self) -> &str {
                &self.0
            }

            fn from_stored(text: String) -> Result<Self, String> {
                Ok(Self(text))
            }
        }
    )+};
}

pub(crate) use {stored_as_is, words};
