//! Recipes: settings that say how another system computes its hashes, where the hashes alone do not say it.

use base64::Engine as _;
use zeroize::Zeroizing;

use super::{
    expression::Expression,
    format::{BASE64, Reading, Recognized, Refusal, read},
    hash::{Hash, Step},
    scheme::Scheme,
};

/// The prefix of a hash with a recipe, before the recipe's name.
const PREFIX: &str = "{recipe:";
/// Maximum length of a name.
const MAX_NAME: usize = 32;

/// The recipes of this server, by name.
#[derive(Clone, Default)]
pub struct Recipes(Vec<(String, Recipe)>);

#[derive(Clone)]
enum Recipe {
    /// The password is prepared before another hash: a pepper, or a digest.
    Before(Expression),
    /// The hash is a digest, in hex or base64, followed by `:` and the salt if there is one.
    Digest(Expression),
    /// Firebase's scrypt with the parameters of a project: digest, `:` and salt, both in base64.
    Firebase { log_n: u8, r: u32, separator: Vec<u8>, signer_key: Zeroizing<Vec<u8>> },
}

impl std::fmt::Debug for Recipes {
    /// Only the names: the recipes contain secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Recipes {
    /// Parses one recipe a line: `name = before EXPRESSION`, `name = digest EXPRESSION`, or
    /// `name = firebase signer_key=.. salt_separator=.. rounds=.. mem_cost=..`. Empty lines and those that begin with `#` do not count. The
    /// error describes the problem without any part of a secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut recipes: Vec<(String, Recipe)> = Vec::new();
        for (at, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |rule: &str| format!("line {at} {rule}");
            let (name, recipe) = line.split_once('=').ok_or_else(|| wrong("must be `name = recipe`"))?;
            let name = name.trim();
            let is_word = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            if !(1..=MAX_NAME).contains(&name.len()) || !is_word {
                return Err(wrong("must have a name of 1 to 32 characters of a-z, 0-9 and hyphens"));
            }
            if recipes.iter().any(|(other, _)| other == name) {
                return Err(wrong("has the name of another recipe"));
            }
            let recipe = Recipe::parse(recipe.trim()).map_err(wrong)?;
            recipes.push((name.to_owned(), recipe));
        }
        Ok(Self(recipes))
    }

    fn get(&self, name: &str) -> Option<&Recipe> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, recipe)| recipe)
    }

    /// The expression of a recipe for digests.
    pub(super) fn digest(&self, name: &str) -> Option<&Expression> {
        match self.get(name)? {
            Recipe::Digest(expression) => Some(expression),
            _ => None,
        }
    }

    /// The expression of a recipe for the password.
    pub(super) fn before(&self, name: &str) -> Option<&Expression> {
        match self.get(name)? {
            Recipe::Before(expression) => Some(expression),
            _ => None,
        }
    }

    /// Reads a hash with its recipe, if it has one.
    pub(super) fn read(&self, text: &str) -> Reading {
        match parts(text) {
            None => read(text),
            Some((name, rest)) => match self.get(name) {
                None => Err(refused("must have a recipe that the server's settings name")),
                Some(recipe) => recipe.read(name, rest),
            },
        }
    }
}

/// The text of a hash with a recipe.
pub fn with_recipe(name: &str, text: &str) -> String {
    format!("{PREFIX}{name}}}{text}")
}

/// The name of the recipe, and the hash.
fn parts(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix(PREFIX)?.split_once('}')
}

fn refused(rule: &'static str) -> Refusal {
    Refusal { looks_like: None, rule: rule.into() }
}

impl Recipe {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (kind, rest) = text.split_once(' ').ok_or("must begin with before, digest or firebase")?;
        match kind {
            "before" => match Expression::parse(rest)? {
                salted if salted.is_salted() => Err("must not use `salt`, which only a digest has"),
                expression => Ok(Self::Before(expression)),
            },
            "digest" => match Expression::parse(rest)? {
                expression if expression.bytes().is_none() => Err("must be a digest, not a text of one"),
                expression => Ok(Self::Digest(expression)),
            },
            "firebase" => {
                let (mut key, mut separator, mut rounds, mut memory) = (None, None, None, None);
                for part in rest.split_whitespace() {
                    match part.split_once('=').ok_or("must have parameters of the form name=value")? {
                        ("signer_key", text) => key = BASE64.decode(text).ok(),
                        ("salt_separator", text) => separator = BASE64.decode(text).ok(),
                        ("rounds", text) => rounds = text.parse().ok(),
                        ("mem_cost", text) => memory = text.parse().ok(),
                        _ => return Err("must have no other parameters than Firebase's"),
                    }
                }
                match (key, separator, rounds, memory) {
                    (Some(key), Some(separator), Some(r), Some(log_n)) => {
                        Ok(Self::Firebase { log_n, r, separator, signer_key: Zeroizing::new(key) })
                    }
                    _ => Err("must have signer_key and salt_separator in base64, rounds and mem_cost"),
                }
            }
            _ => Err("must begin with before, digest or firebase"),
        }
    }

    fn read(&self, name: &str, text: &str) -> Reading {
        match self {
            Self::Before(expression) => {
                let mut recognized = read(text)?;
                recognized.hash.steps.insert(0, Step::Expression(expression.clone()));
                recognized.hash.recipe = Some(name.to_owned());
                Ok(recognized)
            }
            Self::Digest(expression) => {
                let (digest, salt) = match text.split_once(':') {
                    Some((digest, salt)) if expression.is_salted() => (digest, salt),
                    None if !expression.is_salted() => (text, ""),
                    _ => return Err(refused("must be a digest, followed by `:` and a salt if the recipe has one")),
                };
                let length = expression.bytes();
                let digest = [super::format::unhex(digest), BASE64.decode(digest).ok()].into_iter().flatten();
                let Some(digest) = digest.into_iter().find(|digest| Some(digest.len()) == length) else {
                    return Err(refused("must have a digest of the recipe's length in hex or base64"));
                };
                let scheme = Scheme::Digest(expression.clone());
                let hash =
                    Hash { recipe: Some(name.to_owned()), ..Hash::new(scheme, salt.as_bytes().to_vec(), digest) };
                Ok(Recognized { format: "a digest with a recipe", hash })
            }
            Self::Firebase { log_n, r, separator, signer_key } => {
                let parts = text.split_once(':').map(|(digest, salt)| (BASE64.decode(digest), BASE64.decode(salt)));
                let Some((Ok(digest), Ok(salt))) = parts else {
                    return Err(refused("must be Firebase's digest and salt in base64, with `:` between them"));
                };
                let (separator, signer_key) = (separator.clone(), signer_key.clone());
                let scheme = Scheme::Firebase { log_n: *log_n, r: *r, p: 1, separator, signer_key };
                let hash = Hash { recipe: Some(name.to_owned()), ..Hash::new(scheme, salt, digest) };
                Ok(Recognized { format: "Firebase's scrypt", hash })
            }
        }
    }
}
