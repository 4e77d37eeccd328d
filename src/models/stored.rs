//! How values of our own appear in text and JSON columns. The database layer maps every type that says so here.

/// A value that a text column holds.
pub trait StoredText: Sized {
    /// The text to store.
    fn as_stored(&self) -> &str;

    /// The value of a stored text, or what is wrong with it.
    fn from_stored(text: String) -> Result<Self, String>;
}

/// A value that a JSON column holds.
pub trait StoredJson: Sized {
    /// The JSON to store.
    fn to_stored(&self) -> serde_json::Value;

    /// The value of stored JSON, or what is wrong with it.
    fn from_stored(json: serde_json::Value) -> Result<Self, String>;
}

/// An enum whose variants are words, in the database and wherever else it is written.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant),+
        }

        impl $name {
            /// Every one of them.
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
                    other => Err(format!("{other:?} is no {}", stringify!($name))),
                }
            }
        }
    };
}

/// Gives types that wrap a text their [`StoredText`]: the text as it is, checked when it was made.
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
