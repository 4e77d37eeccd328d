//! The one way in which texts are folded: for uniqueness, for search and for slugs. From Unicode's tables.

use icu_casemap::CaseMapper;
use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{DefaultIgnorableCodePoint, GeneralCategory},
};
use unicode_normalization::UnicodeNormalization as _;

/// Maximum number of steps of a fold. Every known text needs at most four.
const MAX_STEPS: usize = 10;

/// The form in which a text is unique: `NFKC_Casefold` of the Unicode Standard (compatibility forms, full case folding, without invisible
/// characters), and `İ` as `i`. Two texts with the same canonical form are the same text. Idempotent.
pub fn canonical(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    until_stable(text, fold_once)
}

/// The form in which a text is searched, and from which slugs are derived: the canonical form without accents and other nonspacing marks,
/// with other Latin letters as people type them without a special keyboard (see `plain`). Idempotent.
pub fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let categories = CodePointMapData::<GeneralCategory>::new();
    until_stable(text, |text| {
        let mut bare = String::with_capacity(text.len());
        for c in canonical(text).nfd().filter(|c| categories.get(*c) != GeneralCategory::NonspacingMark) {
            match plain(c) {
                Some(letters) => bare.push_str(letters),
                None => bare.push(c),
            }
        }
        bare.nfkc().collect()
    })
}

/// The ASCII form of Latin letters that Unicode does not decompose, and of curly apostrophes, as in CLDR's transform Latin-ASCII. Without it,
/// `Łódź` would lose its first letter in a slug. `ı` is `i`, since both have the upper case `I`.
fn plain(c: char) -> Option<&'static str> {
    Some(match c {
        'ı' => "i",
        'ł' => "l",
        'ø' => "o",
        'đ' | 'ð' => "d",
        'ħ' => "h",
        'ŧ' => "t",
        'æ' => "ae",
        'œ' => "oe",
        'þ' => "th",
        '\u{2018}' | '\u{2019}' => "'",
        _ => return None,
    })
}

fn fold_once(text: &str) -> String {
    let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    // Decomposed first, because the folding of some Greek letters depends on the order of their marks.
    let decomposed: String = text.nfd().collect();
    let folded = CaseMapper::new().fold_string(&decomposed).into_owned();
    let folded: String = folded.nfkc().filter(|c| !ignorable.contains(*c)).collect();
    // The case folding of `İ` is `i` with a dot above, which looks like `i`.
    folded.replace("i\u{307}", "i").nfkc().collect()
}

/// Applies a step until it changes nothing more: a compatibility form can have an upper case, and a case folding can compose. No text needs
/// more than [`MAX_STEPS`].
fn until_stable(text: &str, step: impl Fn(&str) -> String) -> String {
    let mut last = step(text);
    for _ in 1..MAX_STEPS {
        let next = step(&last);
        if next == last {
            break;
        }
        last = next;
    }
    last
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::models::characters::is_unstable;

    proptest! {
        #[test]
        fn folding_twice_changes_nothing(text in "\\PC{0,40}") {
            let once = canonical(&text);
            prop_assert_eq!(canonical(&once), once);
            let once = folded(&text);
            prop_assert_eq!(folded(&once), once);
        }

        #[test]
        fn any_text_folds(text in any::<String>()) {
            let once = folded(&text);
            prop_assert_eq!(canonical(&once), once);
        }
    }

    #[test]
    fn every_character_folds_to_a_stable_text() {
        // Unified ideographs and Hangul syllables have no case, and there are many.
        let is_plain = |c: &char| matches!(c, '\u{3400}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7A3}' | '\u{20000}'..='\u{2F7FF}' | '\u{30000}'..);
        for c in (char::MIN..=char::MAX).filter(|c| !is_plain(c) && !is_unstable(*c)) {
            let text = c.to_string();
            let (one, other) = (canonical(&text), folded(&text));
            assert!(canonical(&one) == one && folded(&other) == other && folded(&one) == other, "{c:?}");
        }
    }

    #[test]
    fn cases_of_every_script_are_one() {
        for (text, form) in [
            ("ΝΙΚΟΣ", "νικοσ"),
            ("νικος", "νικοσ"),
            ("STRASSE", "strasse"),
            ("Straße", "strasse"),
            ("STRAẞE", "strasse"),
            ("İstanbul", "istanbul"),
            ("I\u{307}stanbul", "istanbul"),
            ("Ｆｕｌｌ", "full"),
            ("\u{212A}elvin", "kelvin"),
            ("ﬀ", "ff"),
            ("Rene\u{301}", "ren\u{e9}"),
            ("a\u{200B}\u{AD}\u{2060}\u{FE0F}b", "ab"),
            ("ᏸ", "Ᏸ"),
        ] {
            assert_eq!(canonical(text), form, "{text}");
        }
        assert_ne!(canonical("Ren\u{e9}"), canonical("Rene"));
        assert_ne!(canonical("ı"), canonical("i"));
    }

    #[test]
    fn a_search_ignores_accents() {
        for (text, form) in [
            ("Ünïcode Ltd", "unicode ltd"),
            ("Ισίδωρος", "ισιδωροσ"),
            ("IŞIK", "isik"),
            ("Işık", "isik"),
            ("Đặng Văn Ánh", "dang van anh"),
            ("Łódź", "lodz"),
            ("łukasz", "lukasz"),
            ("Ørsted", "orsted"),
            ("\u{1FE}", "o"),
            ("Æon", "aeon"),
            ("\u{1E2}", "ae"),
            ("Œuvre", "oeuvre"),
            ("Þór Guðjónsson", "thor gudjonsson"),
            ("Ħamrun", "hamrun"),
            ("Ŧ", "t"),
            ("O\u{2019}Brien", "o'brien"),
            ("O\u{2018}BRIEN", "o'brien"),
            ("한국", "한국"),
            ("مُحَمَّد", "محمد"),
        ] {
            assert_eq!(folded(text), form, "{text}");
        }
    }

    #[test]
    fn letters_with_a_stroke_stay_themselves_where_a_text_is_unique() {
        for text in ["ł", "ø", "đ", "ħ", "ŧ", "æ", "œ", "þ", "ð", "ı", "\u{2018}", "\u{2019}"] {
            assert_eq!(canonical(text), text);
            assert!(folded(text).is_ascii(), "{text}");
        }
    }
}
