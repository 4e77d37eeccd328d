//! How other systems prepare a password before they hash it, or compute a digest of it: a small language.
//!
//! An expression is `password`, `salt`, a text in single quotes, or a function of expressions; `+` joins bytes. Functions are `md5`, `sha1`,
//! `sha256`, `sha384`, `sha512`, `hmac_md5(key, message)` and so on, `hex`, `base64`, `unbase64`, `utf16le`, `trim`,
//! `repeat(function, times, first)`, which applies a digest to its own result, and `mix(function, times, text)`, which joins its result with
//! the text before it applies the digest again.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

/// Maximum length of an expression, in bytes.
const MAX_TEXT: usize = 1024;
/// Maximum depth of functions.
const MAX_DEPTH: usize = 8;
/// Maximum number of times that a function is repeated.
const MAX_TIMES: u32 = 1_000_000;

/// A digest function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// A parsed expression, and its text.
#[derive(Clone)]
pub(super) struct Expression {
    node: Node,
    text: Zeroizing<String>,
}

impl std::fmt::Debug for Expression {
    /// Without its text, which may contain a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Expression")
    }
}

#[derive(Clone)]
enum Node {
    Password,
    Salt,
    Text(Zeroizing<Vec<u8>>),
    Joined(Vec<Node>),
    Digest(Function, Box<Node>),
    Hmac(Function, Box<Node>, Box<Node>),
    Hex(Box<Node>),
    Base64(Box<Node>),
    Unbase64(Box<Node>),
    Utf16(Box<Node>),
    /// Without the blanks that PHP's `trim` removes.
    Trimmed(Box<Node>),
    /// A digest of the result of the former one, this many times in all.
    Repeated(Function, u32, Box<Node>),
    /// A digest of the result of the former one joined with the expression, this many times in all.
    Mixed(Function, u32, Box<Node>),
}

impl Function {
    /// The function with this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "md5" => Self::Md5,
            "sha1" => Self::Sha1,
            "sha256" => Self::Sha256,
            "sha384" => Self::Sha384,
            "sha512" => Self::Sha512,
            _ => return None,
        })
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// Bytes of a digest.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    fn digest(self, bytes: &[u8]) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(match self {
            Self::Md5 => Md5::digest(bytes).to_vec(),
            Self::Sha1 => Sha1::digest(bytes).to_vec(),
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha384 => Sha384::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        })
    }

    fn hmac(self, key: &[u8], message: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        macro_rules! hmac {
            ($digest:ty) => {{
                let mut mac = Hmac::<$digest>::new_from_slice(key).ok()?;
                mac.update(message);
                mac.finalize().into_bytes().to_vec()
            }};
        }
        Some(Zeroizing::new(match self {
            Self::Md5 => hmac!(Md5),
            Self::Sha1 => hmac!(Sha1),
            Self::Sha256 => hmac!(Sha256),
            Self::Sha384 => hmac!(Sha384),
            Self::Sha512 => hmac!(Sha512),
        }))
    }
}

impl Expression {
    /// Parses an expression.
    ///
    /// # Errors
    /// The rule that it breaks, without any part of it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > MAX_TEXT {
            return Err("must have at most 1024 bytes");
        }
        let mut parser = Parser { rest: text.trim() };
        let node = parser.joined(0)?;
        if !parser.rest.is_empty() {
            return Err("must end after an expression");
        }
        Ok(Self { node, text: Zeroizing::new(text.to_owned()) })
    }

    /// Its text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The bytes for a password. `None` if `unbase64` is applied to a text that is not base64.
    pub(super) fn of(&self, password: &[u8], salt: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.node.of(password, salt)
    }

    /// The number of digests that it computes, each of a short text.
    pub(super) fn digests(&self) -> u64 {
        self.node.digests()
    }

    /// True if it uses a salt.
    pub(super) fn is_salted(&self) -> bool {
        self.node.is_salted()
    }

    /// True if it ignores blanks around the password, and the password has some.
    pub(super) fn ignores_part_of(&self, password: &[u8]) -> bool {
        trimmed(password).len() < password.len() && self.node.contains(|node| matches!(node, Node::Trimmed(_)))
    }

    /// Bytes of the digest. `None` if the expression does not end with a digest.
    pub(super) fn bytes(&self) -> Option<usize> {
        match &self.node {
            Node::Digest(function, _)
            | Node::Hmac(function, ..)
            | Node::Repeated(function, ..)
            | Node::Mixed(function, ..) => Some(function.bytes()),
            _ => None,
        }
    }
}

/// A text without the blanks around it that PHP's `trim` removes.
fn trimmed(text: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0 | 0x0b);
    let start = text.iter().position(|byte| !is_blank(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    text.get(start..end).unwrap_or_default()
}

impl Node {
    fn of(&self, password: &[u8], salt: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let of = |node: &Self| node.of(password, salt);
        Some(match self {
            Self::Password => Zeroizing::new(password.to_vec()),
            Self::Salt => Zeroizing::new(salt.to_vec()),
            Self::Text(text) => text.clone(),
            Self::Joined(parts) => {
                let mut joined = Zeroizing::new(Vec::new());
                for part in parts {
                    joined.extend_from_slice(&of(part)?);
                }
                joined
            }
            Self::Digest(function, inner) => function.digest(&of(inner)?),
            Self::Hmac(function, key, message) => function.hmac(&of(key)?, &of(message)?)?,
            Self::Hex(inner) => Zeroizing::new(hex(&of(inner)?).into_bytes()),
            Self::Base64(inner) => Zeroizing::new(STANDARD.encode(&*of(inner)?).into_bytes()),
            Self::Unbase64(inner) => Zeroizing::new(STANDARD.decode(&*of(inner)?).ok()?),
            Self::Trimmed(inner) => Zeroizing::new(trimmed(&of(inner)?).to_vec()),
            Self::Utf16(inner) => {
                let text = Zeroizing::new(String::from_utf8_lossy(&of(inner)?).into_owned());
                Zeroizing::new(text.encode_utf16().flat_map(u16::to_le_bytes).collect())
            }
            Self::Repeated(function, times, inner) => {
                let mut digest = function.digest(&of(inner)?);
                for _ in 1..*times {
                    digest = function.digest(&digest);
                }
                digest
            }
            Self::Mixed(function, times, inner) => {
                let mixed = of(inner)?;
                let mut digest = function.digest(&mixed);
                for _ in 1..*times {
                    digest.extend_from_slice(&mixed);
                    digest = function.digest(&digest);
                }
                digest
            }
        })
    }

    fn digests(&self) -> u64 {
        match self {
            Self::Password | Self::Salt | Self::Text(_) => 0,
            Self::Joined(parts) => parts.iter().map(Self::digests).sum(),
            Self::Digest(_, inner) => 1 + inner.digests(),
            Self::Hmac(_, key, message) => 4 + key.digests() + message.digests(),
            Self::Hex(inner)
            | Self::Base64(inner)
            | Self::Unbase64(inner)
            | Self::Utf16(inner)
            | Self::Trimmed(inner) => inner.digests(),
            Self::Repeated(_, times, inner) => u64::from(*times) + inner.digests(),
            Self::Mixed(_, times, inner) => 2 * u64::from(*times) + inner.digests(),
        }
    }

    fn is_salted(&self) -> bool {
        self.contains(|node| matches!(node, Self::Salt))
    }

    /// True if it or a part of it is such a node.
    fn contains(&self, such: fn(&Self) -> bool) -> bool {
        such(self)
            || match self {
                Self::Password | Self::Salt | Self::Text(_) => false,
                Self::Joined(parts) => parts.iter().any(|part| part.contains(such)),
                Self::Hmac(_, key, message) => key.contains(such) || message.contains(such),
                Self::Digest(_, inner)
                | Self::Hex(inner)
                | Self::Base64(inner)
                | Self::Unbase64(inner)
                | Self::Utf16(inner)
                | Self::Trimmed(inner)
                | Self::Repeated(_, _, inner)
                | Self::Mixed(_, _, inner) => inner.contains(such),
            }
    }
}

/// Lower-case hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

struct Parser<'t> {
    rest: &'t str,
}

impl<'t> Parser<'t> {
    /// Parses terms with `+` between them.
    fn joined(&mut self, depth: usize) -> Result<Node, &'static str> {
        if depth > MAX_DEPTH {
            return Err("must have at most 8 nested functions");
        }
        let first = self.term(depth)?;
        if !self.takes('+') {
            return Ok(first);
        }
        let mut parts = vec![first];
        loop {
            parts.push(self.term(depth)?);
            if !self.takes('+') {
                return Ok(Node::Joined(parts));
            }
        }
    }

    fn term(&mut self, depth: usize) -> Result<Node, &'static str> {
        if self.takes('\'') {
            let (text, rest) = self.rest.split_once('\'').ok_or("must end each text with a quote")?;
            self.rest = rest.trim_start();
            return Ok(Node::Text(Zeroizing::new(text.as_bytes().to_vec())));
        }
        let name = self.word();
        if !self.takes('(') {
            return match name {
                "password" => Ok(Node::Password),
                "salt" => Ok(Node::Salt),
                _ => Err("must use only `password`, `salt`, texts in quotes and functions"),
            };
        }
        let node = self.call(name, depth + 1)?;
        if self.takes(')') { Ok(node) } else { Err("must end the arguments of a function with a parenthesis") }
    }

    fn call(&mut self, name: &str, depth: usize) -> Result<Node, &'static str> {
        if let Some(function) = Function::named(name) {
            return Ok(Node::Digest(function, Box::new(self.joined(depth)?)));
        }
        if let Some(function) = name.strip_prefix("hmac_").and_then(Function::named) {
            let key = Box::new(self.joined(depth)?);
            self.comma()?;
            return Ok(Node::Hmac(function, key, Box::new(self.joined(depth)?)));
        }
        match name {
            "hex" => Ok(Node::Hex(Box::new(self.joined(depth)?))),
            "base64" => Ok(Node::Base64(Box::new(self.joined(depth)?))),
            "unbase64" => Ok(Node::Unbase64(Box::new(self.joined(depth)?))),
            "utf16le" => Ok(Node::Utf16(Box::new(self.joined(depth)?))),
            "trim" => Ok(Node::Trimmed(Box::new(self.joined(depth)?))),
            "repeat" | "mix" => {
                let function = Function::named(self.word()).ok_or("must name a digest to repeat")?;
                self.comma()?;
                let times: u32 = self.word().parse().map_err(|_| "must say how often a digest is repeated")?;
                if !(1..=MAX_TIMES).contains(&times) {
                    return Err("must repeat a digest at most 1,000,000 times");
                }
                self.comma()?;
                let inner = Box::new(self.joined(depth)?);
                Ok(match name {
                    "repeat" => Node::Repeated(function, times, inner),
                    _ => Node::Mixed(function, times, inner),
                })
            }
            _ => Err("must use only functions that exist"),
        }
    }

    fn comma(&mut self) -> Result<(), &'static str> {
        if self.takes(',') { Ok(()) } else { Err("must have a comma between arguments") }
    }

    fn word(&mut self) -> &'t str {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        word
    }

    /// Skips a character if it is next, and blanks after it; blanks within a text are kept.
    fn takes(&mut self, c: char) -> bool {
        let Some(rest) = self.rest.strip_prefix(c) else { return false };
        self.rest = if c == '\'' { rest } else { rest.trim_start() };
        true
    }
}
