//! Password hashes: ours, Argon2id as a PHC string, and imported ones. The cost of a stored hash is bounded before it is computed.

use argon2::{Algorithm, Version};
use base64::Engine as _;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{
    cost::{Cost, Limits, Memory},
    expression::{Expression, Function, hex},
    format::{self, BASE64, Recognized, Refusal},
    pepper::Peppers,
    recipe::Recipes,
    scheme::{BCRYPT_BYTES, Scheme},
};
use crate::{models::PasswordHash, security::random};

/// Sizes, in bytes, of new salts and digests (RFC 9106 section 3.1).
const SALT_BYTES: usize = 16;
const DIGEST_BYTES: usize = 32;

/// Accepted sizes, in bytes, of imported salts and digests.
const MAX_SALT: usize = 512;
const DIGEST: std::ops::RangeInclusive<usize> = 12..=128;
/// Maximum length of a hash.
const MAX_TEXT: usize = 2048;
/// Maximum CPU time of an imported hash, in milliseconds: that of bcrypt with cost 14.
const MAX_MILLIS: u64 = 1200;

/// The prefix of a stored hash of a weak digest, before the description of the digest.
const WRAPPED: &str = "$of$";

/// A parsed hash whose cost is within limits.
#[derive(Clone, Debug)]
pub struct Hash {
    /// What the password becomes before it is hashed.
    pub(super) steps: Vec<Step>,
    /// The recipe that belongs to it.
    pub(super) recipe: Option<String>,
    pub(super) scheme: Scheme,
    pub(super) salt: Vec<u8>,
    pub(super) digest: Vec<u8>,
}

/// A computation before a hash.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Expression(Expression),
    /// A weak digest.
    Digest {
        scheme: Scheme,
        salt: Vec<u8>,
        length: usize,
    },
}

impl Hash {
    pub(super) fn new(scheme: Scheme, salt: Vec<u8>, digest: Vec<u8>) -> Self {
        Self { steps: Vec::new(), recipe: None, scheme, salt, digest }
    }

    /// Parses a stored hash, or one of another system in any of the formats of `format`, with its name.
    ///
    /// # Errors
    /// What it looks like, and the rule that it breaks.
    pub fn parse(text: &str, limits: Limits, recipes: &Recipes) -> Result<(Self, &'static str), Refusal> {
        if text.len() > MAX_TEXT {
            return Err(Refusal { looks_like: None, rule: "must have at most 2048 bytes".into() });
        }
        let recognized = match text.strip_prefix(WRAPPED) {
            Some(rest) => wrapped(rest, recipes)?,
            None => recipes.read(text)?,
        };
        let (hash, format) = (recognized.hash, recognized.format);
        match hash.broken_rule(limits) {
            Some(rule) => Err(Refusal { looks_like: Some(format), rule: rule.into() }),
            None => Ok((hash, format)),
        }
    }

    /// The rule that its sizes or its cost break.
    fn broken_rule(&self, limits: Limits) -> Option<String> {
        if self.salt.len() > MAX_SALT || !DIGEST.contains(&self.digest.len()) {
            return Some("must have a salt of at most 512 bytes and a digest of 12 to 128 bytes".to_owned());
        }
        if !self.scheme.is_possible(&self.salt, self.digest.len()) {
            return Some("must have parameters that its algorithm supports".to_owned());
        }
        let kib = self.memory_kib();
        if kib > limits.memory_kib {
            return Some(format!("must need at most {} KiB of memory, and needs {kib}", limits.memory_kib));
        }
        let is_new = matches!(&self.scheme, Scheme::Argon2 { cost, .. } if cost.work() <= limits.cost.work());
        let own = if is_new { 0 } else { self.scheme.millis() };
        let millis = self.steps.iter().map(Step::millis).fold(own, u64::saturating_add);
        (millis > MAX_MILLIS).then(|| format!("must take at most {MAX_MILLIS} ms of CPU, and takes about {millis}"))
    }

    /// The memory needed to verify it, in KiB.
    pub fn memory_kib(&self) -> u32 {
        self.scheme.memory_kib()
    }

    /// A random hash that no known password matches, with the cost of a new one.
    pub fn decoy(cost: Cost) -> Self {
        let scheme = argon2id(cost, None);
        Self::new(scheme, random::bytes::<SALT_BYTES>().to_vec(), random::bytes::<DIGEST_BYTES>().to_vec())
    }

    /// True if [`make`] would create it with the same settings.
    pub fn is_current(&self, now: Cost, peppers: &Peppers) -> bool {
        match &self.scheme {
            Scheme::Argon2 { algorithm: Algorithm::Argon2id, version: Version::V0x13, cost, pepper, .. } => {
                let is_direct = self.steps.is_empty() && self.recipe.is_none();
                is_direct && *cost == now && pepper.as_deref() == peppers.first_id() && self.salt.len() >= SALT_BYTES
            }
            _ => false,
        }
    }

    /// True if it must not be stored as it is: see [`Hash::wrap`].
    pub fn is_weak(&self) -> bool {
        self.scheme.is_weak()
    }

    /// True if no other password can match this hash. bcrypt ignores everything after the first 72 bytes, so a matching password of that
    /// length or more may differ from the one that was hashed; some systems ignore blanks around a password.
    pub fn identifies(&self, password: &[u8]) -> bool {
        if self.scheme.ignores_part_of(password) || self.steps.iter().any(|step| step.ignores_part_of(password)) {
            return false;
        }
        !matches!(self.scheme, Scheme::Bcrypt { .. })
            || self
                .prepared(password, &Peppers::default(), &mut Memory::default())
                .is_some_and(|bytes| bytes.len() < BCRYPT_BYTES)
    }

    /// True if a password matches. False if the pepper is unknown.
    pub fn verify(&self, password: &[u8], peppers: &Peppers, memory: &mut Memory) -> bool {
        let digest = self
            .prepared(password, peppers, memory)
            .and_then(|bytes| self.scheme.digest(&bytes, &self.salt, self.digest.len(), peppers, memory));
        digest.is_some_and(|digest| digest.ct_eq(&self.digest).into())
    }

    fn prepared(&self, password: &[u8], peppers: &Peppers, memory: &mut Memory) -> Option<Zeroizing<Vec<u8>>> {
        let mut bytes = Zeroizing::new(password.to_vec());
        for step in &self.steps {
            bytes = match step {
                Step::Expression(expression) => expression.of(&bytes, b"")?,
                Step::Digest { scheme, salt, length } => scheme.digest(&bytes, salt, *length, peppers, memory)?,
            };
        }
        Some(bytes)
    }

    /// Argon2id of a weak digest, with a new salt: guessing the password takes as long as from a new hash.
    pub fn wrap(&self, cost: Cost, peppers: &Peppers, memory: &mut Memory) -> Option<PasswordHash> {
        let description = self.describe()?;
        let outer = make(&self.digest, cost, peppers, memory)?;
        Some(PasswordHash::new(format!("{WRAPPED}{}{}", BASE64.encode(description), outer.expose())))
    }

    /// Its weak scheme and salt, without the digest.
    fn describe(&self) -> Option<String> {
        let (recipe, salt, length) = (self.recipe.as_deref().unwrap_or_default(), hex(&self.salt), self.digest.len());
        let scheme = match &self.scheme {
            Scheme::Digest(_) if self.recipe.is_some() && self.steps.is_empty() => "recipe".to_owned(),
            Scheme::Digest(expression) => format!("digest {}", expression.text()),
            Scheme::Md5Crypt { magic } => format!("md5crypt {magic}"),
            Scheme::Phpass { log_rounds, .. } => format!("phpass {log_rounds}"),
            Scheme::Pbkdf2 { function, rounds } => format!("pbkdf2 {} {rounds}", function.name()),
            _ => return None,
        };
        Some(format!("{recipe}:{length}:{salt}:{scheme}"))
    }
}

impl Step {
    fn ignores_part_of(&self, password: &[u8]) -> bool {
        match self {
            Self::Expression(expression) => expression.ignores_part_of(password),
            Self::Digest { scheme, .. } => scheme.ignores_part_of(password),
        }
    }

    fn millis(&self) -> u64 {
        match self {
            Self::Expression(expression) => (expression.digests() * 600).div_ceil(1_000_000),
            Self::Digest { scheme, .. } => scheme.millis(),
        }
    }
}

/// Reads the stored form of a weak digest: its description, and Argon2id of it.
fn wrapped(rest: &str, recipes: &Recipes) -> Result<Recognized, Refusal> {
    let read = || {
        let (description, outer) = rest.split_once('$')?;
        let description = String::from_utf8(BASE64.decode(description).ok()?).ok()?;
        let [recipe, length, salt, scheme] = description.splitn(4, ':').collect::<Vec<_>>().try_into().ok()?;
        let mut recognized = format::read(&format!("${outer}")).ok()?;
        let scheme = match scheme.split(' ').collect::<Vec<_>>().as_slice() {
            ["recipe"] => Scheme::Digest(recipes.digest(recipe)?.clone()),
            ["digest", ..] => Scheme::Digest(Expression::parse(scheme.strip_prefix("digest ")?).ok()?),
            ["md5crypt", magic] => {
                Scheme::Md5Crypt { magic: ["$1$", "$apr1$"].into_iter().find(|known| known == magic)? }
            }
            ["phpass", log_rounds] => Scheme::Phpass { function: Function::Md5, log_rounds: log_rounds.parse().ok()? },
            ["pbkdf2", function, rounds] => {
                Scheme::Pbkdf2 { function: Function::named(function)?, rounds: rounds.parse().ok()? }
            }
            _ => return None,
        };
        let (salt, length) = (format::unhex(salt)?, length.parse().ok()?);
        // Anyone who imports hashes can write such a text.
        if !DIGEST.contains(&length) || !scheme.is_possible(&salt, length) {
            return None;
        }
        let step = Step::Digest { scheme, salt, length };
        let before = recipes.before(recipe).map(|expression| Step::Expression(expression.clone()));
        recognized.hash.steps = before.into_iter().chain([step]).collect();
        Some(recognized)
    };
    read().ok_or(Refusal { looks_like: None, rule: "must be a stored hash whose recipe the settings name".into() })
}

fn argon2id(cost: Cost, pepper: Option<String>) -> Scheme {
    Scheme::Argon2 { algorithm: Algorithm::Argon2id, version: Version::V0x13, cost, pepper, data: Vec::new() }
}

/// Hashes a password with a new salt. `None` if the algorithm does not support the cost.
pub fn make(password: &[u8], cost: Cost, peppers: &Peppers, memory: &mut Memory) -> Option<PasswordHash> {
    let salt = random::bytes::<SALT_BYTES>();
    let pepper = peppers.first_id();
    let digest = argon2id(cost, pepper.map(str::to_owned)).digest(password, &salt, DIGEST_BYTES, peppers, memory)?;
    let keyid = pepper.map(|id| format!(",keyid={}", BASE64.encode(id))).unwrap_or_default();
    Some(PasswordHash::new(format!(
        "$argon2id$v=19$m={},t={},p={}{keyid}${}${}",
        cost.memory_kib,
        cost.passes,
        cost.lanes,
        BASE64.encode(salt),
        BASE64.encode(&*digest),
    )))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { memory_kib: 262_144, cost: Cost { memory_kib: 19_456, passes: 2, lanes: 1 } };
    const CORPUS: &str = include_str!("../../../tests/hashes/corpus.tsv");

    fn read(text: &str) -> Result<(Hash, &'static str), Refusal> {
        Hash::parse(text, LIMITS, &Recipes::default())
    }

    /// Hashes of the corpus.
    fn hashes() -> Vec<&'static str> {
        let lines = CORPUS.lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(|line| line.rsplit('\t').next()).collect()
    }

    proptest! {
        #[test]
        fn a_text_that_differs_from_a_hash_by_a_few_characters_never_panics(
            at in any::<prop::sample::Index>(),
            places in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
            with in "[ -~]{1,3}",
            inserts: bool,
        ) {
            let hashes = hashes();
            let mut text: Vec<char> = at.get(&hashes).chars().collect();
            for (place, c) in places.iter().zip(with.chars().cycle()) {
                let place = place.index(text.len());
                if inserts { text.insert(place, c) } else { text[place] = c }
            }
            let text: String = text.into_iter().collect();
            if let Ok((hash, _)) = read(&text) {
                prop_assert!(hash.scheme.millis() <= MAX_MILLIS && hash.memory_kib() <= LIMITS.memory_kib);
            }
        }

        #[test]
        fn a_part_of_a_hash_never_panics(at in any::<prop::sample::Index>(), end in any::<prop::sample::Index>()) {
            let hashes = hashes();
            let text = at.get(&hashes);
            let _ = read(&text[..end.index(text.len())]);
        }

        #[test]
        fn reading_any_text_never_panics(text in "[$:{}|*.]?[!-~]{0,12}[$:{}|.]?[!-~]{0,40}") {
            let _ = read(&text);
            let _ = Expression::parse(&text);
            let _ = Recipes::parse(&text);
        }
    }

    #[test]
    fn formats_within_formats_do_not_exhaust_the_stack() {
        for part in ["1|", "3|", "{LDAP}", "{CRYPT}", "{LDAP}{CRYPT}", "bcrypt$", "argon2$argon2id", "$wp"] {
            assert!(read(&part.repeat(MAX_TEXT / part.len())).is_err(), "{part}");
        }
    }

    #[test]
    fn the_description_of_a_weak_digest_is_bounded_like_a_hash() {
        let outer = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";
        let read_of = |description: &str| read(&format!("{WRAPPED}{}{outer}", BASE64.encode(description)));
        assert!(read_of(":16:00ff:digest md5(password+salt)").is_ok());
        for description in [
            ":1000000000000:00ff:digest md5(password+salt)",
            ":4:00ff:digest md5(password+salt)",
            ":16:00ff:pbkdf2 sha1 4000000000",
            ":16:00ff:phpass 30",
            ":16:00ff:phpass 70",
            ":16:00ff:digest repeat(sha1, 1000000, repeat(sha1, 1000000, repeat(sha1, 1000000, password)))",
            ":16:00ff:argon2",
        ] {
            assert!(read_of(description).is_err(), "{description}");
        }
    }

    #[test]
    fn every_parameter_counts_towards_the_cost() {
        let digest = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";
        for text in [
            "$2b$15$B7mi079kkiJiPswH8BeI8.DQL794CKuxRfnjLwwdX5d6LCSo.SXoO".to_owned(),
            format!("$pbkdf2-sha512$i=3000000$c2FsdHNhbHQ${digest}"),
            format!("$scrypt$ln=16,r=8,p=16$c2FsdHNhbHQ${digest}"),
            format!("$argon2id$v=19$m=65536,t=20,p=1$c2FsdHNhbHQ${digest}"),
            format!("$6$rounds=2000000$c2FsdHNhbHQ${}", "a".repeat(86)),
            "$P$QDAvSAjhJ73VqGKwgSAb6Gg53SBUt0/".to_owned(),
        ] {
            let refused = read(&text).unwrap_err();
            assert!(refused.rule.contains("ms of CPU"), "{text}: {refused}");
        }
    }

    #[test]
    fn expressions_are_bounded_and_compute_what_they_say() {
        let of = |text: &str| hex(&Expression::parse(text).unwrap().of(b"ab", b"xy").unwrap());
        // Of `printf .. | md5sum` and its like.
        assert_eq!(of("md5(password)"), "187ef4436122d1cc2f40dc2b92f0eba0");
        assert_eq!(of("md5(password+salt)"), of("md5('ab'+'xy')"));
        assert_eq!(of("repeat(md5, 2, password)"), of("md5(md5(password))"));
        assert_eq!(of("mix(sha1, 2, password)"), of("sha1(sha1(password) + password)"));
        assert_eq!(of("unbase64(base64(password))"), hex(b"ab"));
        assert_eq!(of("utf16le(password)"), "61006200");
        assert_eq!(of("trim(' '+password+' ')"), hex(b"ab"));
        assert_eq!(of("hex(password)"), hex(b"6162"));
        for text in [
            "",
            "passwd",
            "md5(password",
            "md5()",
            "md5(password))",
            "'open",
            "repeat(md5, 0, password)",
            "repeat(md5, 1000001, password)",
            "repeat(rot13, 2, password)",
            "hmac_sha1(password)",
            &format!("{}password{}", "hex(".repeat(9), ")".repeat(9)),
            &"password+".repeat(200),
        ] {
            assert!(Expression::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn recipes_are_refused_by_line_and_without_their_text() {
        assert!(Recipes::parse("# a comment\n\nmd5 = digest md5(password)\n").is_ok());
        for (text, rule) in [
            ("nonsense", "line 1 must be `name = recipe`"),
            ("a = digest md5(password)\nA = digest md5(password)", "line 2 must have a name"),
            ("a = digest md5(password)\na = digest md5(password)", "line 2 has the name of another recipe"),
            ("a = digest hex(md5(password))", "must be a digest"),
            ("a = before password+salt", "must not use `salt`"),
            ("a = firebase signer_key=AAAA", "must have signer_key"),
            ("a = secret sauce", "must begin with before, digest or firebase"),
        ] {
            let refused = Recipes::parse(text).unwrap_err();
            assert!(refused.contains(rule) && !refused.contains("sauce"), "{text}: {refused}");
        }
    }
}
