//! Rules for new passwords: long enough, and not among those that attackers try first. There are no composition rules.

use unicode_normalization::char::is_combining_mark;

use super::{MAX_BYTES, normal};
use crate::models::{characters::is_invisible, fold::canonical};

/// Common passwords in lower case, one per line, sorted by bytes. From `@zxcvbn-ts/language-common` 4.1.3; its license is in this
/// directory.
const COMMON: &str = include_str!("common.txt");
/// Rows of keyboards, and the alphabet. A password that runs along one of them is easily guessed.
const RUNS: [&str; 6] = [
    "01234567890123456789012345678901234567890",
    "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnmqwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnmqwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbnazertyuiopqsdfghjklmwxcvbn",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
];
/// Minimum length of a word that makes a password common if everything else in it is digits and signs around it.
const MIN_WORD: usize = 4;

/// The rules for new passwords.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Minimum number of visible characters (code points), both as typed and in the normal form.
    pub min_chars: usize,
    /// Names of the product, which are not allowed as passwords.
    pub product_names: Vec<String>,
}

/// Why a password is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unacceptable {
    /// It has fewer characters than this.
    TooShort(usize),
    /// It has more bytes than this.
    TooLong(usize),
    /// It is one of those that attackers try first.
    Common,
    /// It is a name of the user, of the user's organization or of the product.
    Personal,
}

impl Unacceptable {
    /// The rule as text.
    pub fn words(self) -> String {
        match self {
            Self::TooShort(least) => format!("must have at least {least} characters"),
            Self::TooLong(most) => format!("must have at most {most} bytes"),
            Self::Common => "must not be one of the passwords that attackers try first".to_owned(),
            Self::Personal => "must not be a name of the user, of its organization or of the product".to_owned(),
        }
    }
}

impl Policy {
    /// Checks a new password of a user with these names. The error is the first rule that it breaks.
    pub fn check(&self, password: &str, names: &[&str]) -> Result<(), Unacceptable> {
        // Checked before any other work, so that refusing a huge text is cheap.
        if password.len() > MAX_BYTES {
            return Err(Unacceptable::TooLong(MAX_BYTES));
        }
        // Both forms must be long enough: the normal form of one character can have eighteen, and two typed characters can become one.
        if length(password).min(length(&normal(password))) < self.min_chars {
            return Err(Unacceptable::TooShort(self.min_chars));
        }
        let folded = canonical(password);
        // As typed as well: the normal form of a repeated character may repeat a long text, which looks like a phrase, and the list has
        // letters that folding replaces.
        let [visible, typed] =
            [&folded, password].map(|text| text.chars().filter(|c| !is_ignorable(*c)).collect::<String>());
        if is_common(&folded) || is_common(&visible) || is_common(&typed.to_lowercase()) {
            return Err(Unacceptable::Common);
        }
        let names = names.iter().copied().chain(self.product_names.iter().map(String::as_str));
        if names.map(canonical).any(|name| is_name(&folded, &name)) {
            return Err(Unacceptable::Personal);
        }
        Ok(())
    }
}

/// The number of characters (code points) that count: no invisible ones, and only the first of several combining marks. Others would
/// lengthen a password at no cost to an attacker.
fn length(text: &str) -> usize {
    let mut after_mark = false;
    let counts = |c: &char| {
        let is_mark = is_combining_mark(*c);
        let counts = !(is_mark && after_mark);
        after_mark = is_mark;
        counts
    };
    text.chars().filter(|c| !is_ignorable(*c)).filter(counts).count()
}

/// True for controls and invisible characters.
fn is_ignorable(c: char) -> bool {
    c.is_control() || is_invisible(c)
}

/// True for a password that attackers try first: a listed one, alone or between digits and signs, one that runs along a keyboard, or a
/// repetition.
fn is_common(password: &str) -> bool {
    let word = password.trim_matches(|c: char| !c.is_alphabetic());
    let is_word = word.chars().count() >= MIN_WORD && is_listed(word);
    is_listed(password) || is_word || word.is_empty() && is_run(password) || is_run(word) || repeats(password)
}

/// True for a name, alone, repeated or between digits and signs, whatever separates its words.
fn is_name(password: &str, name: &str) -> bool {
    let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
    let (password, name) = (letters(password), letters(name));
    if name.chars().count() < MIN_WORD {
        return password == name;
    }
    let around = |c: char| !c.is_alphabetic();
    let inner = password.trim_matches(around);
    let is_repeated = inner.len() % name.len() == 0 && inner == name.repeat(inner.len() / name.len());
    password == name || inner == name.trim_matches(around) || (!inner.is_empty() && is_repeated)
}

/// True for a password on the list.
fn is_listed(password: &str) -> bool {
    // Bisects the bytes, so that the text needs no index of lines.
    let (mut low, mut high) = (0, COMMON.len());
    while low < high {
        let middle = usize::midpoint(low, high);
        let bytes = COMMON.as_bytes();
        let start = bytes[low..middle].iter().rposition(|b| *b == b'\n').map_or(low, |at| low + at + 1);
        let end = bytes[start..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |at| start + at);
        match bytes[start..end].cmp(password.as_bytes()) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => low = end + 1,
            std::cmp::Ordering::Greater => high = start,
        }
    }
    false
}

/// True for a run along a keyboard or the alphabet, forwards or backwards.
fn is_run(password: &str) -> bool {
    let backwards: String = password.chars().rev().collect();
    let long = password.chars().count() >= MIN_WORD;
    long && RUNS.iter().any(|run| run.contains(password) || run.contains(&backwards))
}

/// True for a repetition of something short, common or along a keyboard, the last one possibly cut off.
fn repeats(password: &str) -> bool {
    let chars: Vec<char> = password.chars().collect();
    (1..=chars.len() / 2).any(|length| {
        let unit = &chars[..length];
        let is_repeated = chars.chunks(length).all(|chunk| unit.starts_with(chunk));
        is_repeated
            && (length <= MIN_WORD || {
                let unit: String = unit.iter().collect();
                is_listed(&unit) || is_run(&unit)
            })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy() -> Policy {
        Policy { min_chars: 15, product_names: vec!["Tenantry".to_owned()] }
    }

    #[test]
    fn the_list_is_in_order_and_every_line_is_found() {
        let lines: Vec<&str> = COMMON.lines().collect();
        assert!(
            lines.len() > 45_000
                && lines.is_sorted()
                && lines.iter().all(|line| *line == canonical(line) || !line.is_ascii())
        );
        assert!(lines.iter().all(|line| is_listed(line)));
        assert!(!is_listed("") && !is_listed("zzzzzzzzzzzzzzzzzzzzzzz") && !is_listed("passwore"));
    }

    #[test]
    fn what_is_tried_first_is_common() {
        for password in [
            "password1234567",
            "passwordpassword",
            "PasswordPassword",
            "aaaaaaaaaaaaaaa",
            "abcabcabcabcabc",
            "123456789012345",
            "987654321098765",
            "qwertyuiopasdfgh",
            "qwerty123456789",
            "Password!!!!!!!",
            "iloveyouiloveyouilo",
            "1qaz2wsx3edc4rfv",
        ] {
            assert_eq!(policy().check(password, &[]), Err(Unacceptable::Common), "{password}");
        }
    }

    #[test]
    fn a_phrase_and_anything_random_is_accepted_whatever_it_is_made_of() {
        for password in [
            "correct horse battery",
            "correcthorsebattery",
            "onlylowercaseletters",
            "k3jd82jslq09xmz1",
            "🦀🐢🐙🦑🐠🐡🐬🐳🐋🦈🐊🐅🐆🦓🦍",
            "               x",
        ] {
            assert_eq!(policy().check(password, &["ada@example.com", "ada"]), Ok(()), "{password}");
        }
        assert_eq!(policy().check(&"correct horse ".repeat(9)[..64], &[]), Ok(()));
    }

    #[test]
    fn a_name_is_no_password() {
        let names = ["ada.lovelace.king@example.com", "ada.lovelace.king", "Analytical Engines", "acme"];
        for password in [
            "ada.lovelace.king",
            "Ada.Lovelace.King1815",
            "ada.lovelace.king@example.com",
            "analyticalengines",
            "Analytical-Engines!",
            "TenantryTenantry",
            "tenantry12345678",
            "acmeacmeacmeacme",
        ] {
            let refused = policy().check(password, &names);
            assert!(matches!(refused, Err(Unacceptable::Personal | Unacceptable::Common)), "{password} {refused:?}");
        }
        assert_eq!(policy().check("the analytical engines of 1837", &names), Ok(()));
    }

    #[test]
    fn the_length_counts_characters_and_the_cap_bytes() {
        let emoji: String = "🦀🐢🐙🦑🐠🐡🐬🐳🐋🦈🐊🐅🐆🦓🦍".to_owned();
        assert_eq!(emoji.chars().count(), 15);
        assert_eq!(policy().check(&emoji, &[]), Ok(()));
        let shorter: String = emoji.chars().skip(1).collect();
        assert_eq!(policy().check(&shorter, &[]), Err(Unacceptable::TooShort(15)));
        let long: String = (0..1025_u32).map(|at| char::from(b'a' + u8::try_from(at * at % 23).unwrap())).collect();
        assert_eq!(policy().check(&long[..1024], &[]), Ok(()));
        assert_eq!(policy().check(&long, &[]), Err(Unacceptable::TooLong(1024)));
    }

    #[test]
    fn nothing_that_costs_a_guesser_nothing_makes_a_password_longer() {
        let invisible =
            "\u{200b}\u{200c}\u{2060}\u{ad}\u{34f}\u{3164}\u{feff}\u{e0041}\u{fe0f}\u{115f}\u{2800}\u{1}\u{202e}";
        let short = [
            "\u{fdfa}".to_owned(),
            "\u{3300}\u{3301}\u{3302}\u{3303}".to_owned(),
            "⑴⑵⑶⑷⑸".to_owned(),
            "½⅓¼⅛⅞".to_owned(),
            "e\u{301}".repeat(14),
            // Marks piled up on one letter.
            format!("a{}", "\u{301}\u{316}\u{334}\u{335}\u{338}".repeat(4)),
            format!("qx{invisible}"),
            invisible.repeat(3),
            format!("k3jd8{}", "\u{fdfa}".repeat(9)),
        ];
        for password in short {
            assert_eq!(policy().check(&password, &[]), Err(Unacceptable::TooShort(15)), "{password:?}");
        }
        for password in ["\u{fdfa}".repeat(15), "\u{3300}".repeat(20), format!("pass\u{200b}word1234567{}", "\u{ad}")] {
            assert_eq!(policy().check(&password, &[]), Err(Unacceptable::Common), "{password:?}");
        }
    }

    #[test]
    fn scripts_that_are_written_with_marks_count_as_they_are_written() {
        // Hindi, Thai, Vietnamese decomposed, and emoji with variation selectors: each a phrase of at least 15 characters.
        for password in [
            "पानी में बड़ी मछली",
            "ปลาใหญ่ในน้ำลึกมาก",
            "ca\u{301} lo\u{31b}\u{301}n duo\u{31b}\u{301}i nuo\u{31b}\u{301}c sau",
            "☀️☁️☂️☃️★️☆️☎️☏️☐️☑️☘️☝️☠️☢️☣️",
        ] {
            assert_eq!(policy().check(password, &[]), Ok(()), "{password}");
        }
    }

    proptest! {
        #[test]
        fn checking_never_panics(password in "\\PC{0,60}", name in "\\PC{0,20}") {
            let _ = policy().check(&password, &[&name]);
        }
    }
}
