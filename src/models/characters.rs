//! Which characters a text may have, from Unicode's tables.
//!
//! Three rules, each stricter than the one before it. [`is_forbidden`] holds everywhere. [`is_invisible`] holds in every text that people read,
//! except where a script or an emoji needs the character: see [`shown`]. [`is_unstable`], [`is_format`] and the direction of letters hold in
//! e-mails.

use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{
        BidiClass, BidiControl, CanonicalCombiningClass, DefaultIgnorableCodePoint, Emoji, GeneralCategory,
        GeneralCategoryGroup, IndicSyllabicCategory, JoiningType, NoncharacterCodePoint, PrependedConcatenationMark,
        VariationSelector,
    },
};

/// Characters that no property calls invisible, and that show nothing: the empty Braille pattern, the object replacement character, the full
/// and the half blank among hieroglyphs, the filler of the Khitan small script, and the empty notehead.
const BLANKS: [char; 6] = ['\u{2800}', '\u{FFFC}', '\u{13441}', '\u{13442}', '\u{16FE4}', '\u{1D159}'];
/// The zero width non-joiner, the zero width joiner, and the Mongolian vowel separator.
const JOINERS: [char; 3] = ['\u{200C}', '\u{200D}', '\u{180E}'];
const ZERO_WIDTH_JOINER: char = '\u{200D}';
/// Text and emoji presentation.
const PRESENTATIONS: [char; 2] = ['\u{FE0E}', '\u{FE0F}'];
/// The base of the flags of England, Scotland, Wales and other regions.
const BLACK_FLAG: char = '\u{1F3F4}';
const TAGS: std::ops::RangeInclusive<char> = '\u{E0020}'..='\u{E007E}';
const END_OF_TAGS: char = '\u{E007F}';

/// True for characters that no text may contain: controls, line and paragraph separators, bidirectional formatting characters, which can
/// disguise a text as another, and noncharacters.
pub fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}')
        || CodePointSetData::new::<BidiControl>().contains(c)
        || CodePointSetData::new::<NoncharacterCodePoint>().contains(c)
}

/// True for characters that show nothing and are no space: `Default_Ignorable_Code_Point`, format characters except those that are drawn,
/// such as the Arabic number sign, and a few blank ones.
pub fn is_invisible(c: char) -> bool {
    BLANKS.contains(&c)
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
        || is_format(c) && !CodePointSetData::new::<PrependedConcatenationMark>().contains(c)
}

/// True for format characters, drawn or not.
pub fn is_format(c: char) -> bool {
    category(c) == GeneralCategory::Format
}

/// True for characters whose folding may differ in a later version of Unicode, or means nothing outside one application: unassigned and
/// private ones.
pub fn is_unstable(c: char) -> bool {
    matches!(category(c), GeneralCategory::Unassigned | GeneralCategory::PrivateUse)
}

/// True for a character that shows something by itself.
pub fn is_visible(c: char) -> bool {
    let shows_nothing_alone =
        GeneralCategoryGroup::Separator.union(GeneralCategoryGroup::Mark).union(GeneralCategoryGroup::Other);
    // Unassigned and private characters count: fonts show them, or a sign for a missing one.
    !is_invisible(c) && (is_unstable(c) || !shows_nothing_alone.contains(category(c)))
}

/// Checks a text that people read. Beyond the characters of `layout`, controls are refused, and so are invisible characters where nothing needs
/// them. Something must be visible.
pub fn shown(text: &str, layout: &[char]) -> Result<(), &'static str> {
    if text.chars().any(|c| is_forbidden(c) && !layout.contains(&c)) {
        return Err("must not contain control or bidirectional formatting characters");
    }
    let chars: Vec<char> = text.chars().collect();
    let is_fine = |(at, c): (usize, &char)| {
        let (before, after) = (chars.get(..at).unwrap_or_default(), chars.get(at + 1..).unwrap_or_default());
        !is_invisible(*c) || is_needed(*c, before, after)
    };
    if !chars.iter().enumerate().all(is_fine) {
        return Err("must not contain invisible characters, except where a script or an emoji needs them");
    }
    if chars.iter().copied().any(is_visible) { Ok(()) } else { Err("must have a visible character") }
}

/// Checks a text that must be unique and has no canonical form: nothing invisible may make two of them look alike.
pub fn exact(text: &str) -> Result<(), &'static str> {
    if text.chars().any(|c| is_forbidden(c) || is_invisible(c)) {
        Err("must not contain control, bidirectional formatting or invisible characters")
    } else {
        Ok(())
    }
}

/// True if letters of both directions are mixed, or a text of right-to-left letters begins with another character. Such a text is displayed in
/// another order than it is stored in. The rule is that of RFC 5893 for labels of domains, as far as it concerns letters.
pub fn has_mixed_direction(text: &str) -> bool {
    let classes = CodePointMapData::<BidiClass>::new();
    let is_rightward = |c: char| matches!(classes.get(c), BidiClass::RightToLeft | BidiClass::ArabicLetter);
    let is_leftward = |c: char| classes.get(c) == BidiClass::LeftToRight;
    text.chars().any(is_rightward) && (text.chars().any(is_leftward) || !text.starts_with(is_rightward))
}

/// True for an invisible character in a place where it changes what is displayed.
fn is_needed(c: char, before: &[char], after: &[char]) -> bool {
    let Some(last) = before.last().copied() else { return false };
    if JOINERS.contains(&c) {
        let joins_letters = joins_after(before) && after.first().is_some_and(|next| takes_joiners(*next));
        // A consonant without its vowel at the end of a word, as in the older spelling of Malayalam.
        let ends_word = is_virama(last) && after.first().is_none_or(|next| !is_letter_or_mark(*next));
        return joins_letters || ends_word || c == ZERO_WIDTH_JOINER && joins_emoji(before, after);
    }
    if PRESENTATIONS.contains(&c) {
        return CodePointSetData::new::<Emoji>().contains(last);
    }
    if CodePointSetData::new::<VariationSelector>().contains(c) {
        return !last.is_ascii() && is_visible(last);
    }
    if TAGS.contains(&c) || c == END_OF_TAGS {
        let base = before.iter().rev().find(|c| !TAGS.contains(*c));
        let end = after.iter().find(|c| !TAGS.contains(*c));
        return base == Some(&BLACK_FLAG) && (c == END_OF_TAGS || end == Some(&END_OF_TAGS));
    }
    false
}

/// True if the last letter, before marks that are transparent to joining, takes joiners.
fn joins_after(before: &[char]) -> bool {
    let types = CodePointMapData::<JoiningType>::new();
    let is_base = |c: &&char| takes_joiners(**c) || types.get(**c) != JoiningType::Transparent;
    before.iter().rev().find(is_base).is_some_and(|c| takes_joiners(*c))
}

/// True for letters and marks of scripts in which joiners change the form of letters: Arabic, Syriac, Mongolian and others that join, and those
/// of the Indic family.
fn takes_joiners(c: char) -> bool {
    let joins = matches!(
        CodePointMapData::<JoiningType>::new().get(c),
        JoiningType::DualJoining | JoiningType::LeftJoining | JoiningType::RightJoining
    );
    let is_indic = CodePointMapData::<IndicSyllabicCategory>::new().get(c) != IndicSyllabicCategory::Other;
    is_letter_or_mark(c) && (joins || is_indic)
}

/// True between two emoji that are displayed as one.
fn joins_emoji(before: &[char], after: &[char]) -> bool {
    let is_emoji = |c: &char| !c.is_ascii() && CodePointSetData::new::<Emoji>().contains(*c);
    before.iter().rev().find(|c| !PRESENTATIONS.contains(c)).is_some_and(is_emoji)
        && after.first().is_some_and(is_emoji)
}

fn is_virama(c: char) -> bool {
    CodePointMapData::<CanonicalCombiningClass>::new().get(c) == CanonicalCombiningClass::Virama
}

fn is_letter_or_mark(c: char) -> bool {
    GeneralCategoryGroup::Letter.union(GeneralCategoryGroup::Mark).contains(category(c))
}

fn category(c: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_scripts_and_emoji_are_shown() {
        for name in [
            "Ada",
            "José",
            "Jose\u{301}",
            "O\u{2019}Brien",
            "علی\u{200C}رضا",
            "عَلَی\u{200C}رضا",
            "می\u{200C}خواهم",
            "श्री",
            "क्\u{200D}ष",
            "ක්\u{200D}රිෂ්ණ",
            "অর\u{200D}্যা",
            "അവന്\u{200D}",
            "ആന്\u{200D} ഉം",
            "葛\u{E0100}城",
            "辻\u{FE00}",
            "❤\u{FE0F}",
            "1\u{FE0F}\u{20E3} first",
            "👩\u{200D}💻 Ada",
            "🏳\u{FE0F}\u{200D}🌈",
            "👩🏽\u{200D}🚀",
            "🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
            "עברית and English",
            "\u{1F1E9}\u{1F1EA}",
            "\u{E000}",
            "\u{378}",
            "全角\u{3000}空白",
            "\u{600}\u{661}\u{662}",
            "سورة \u{6DD}",
            "𓀀",
            "𝄞 \u{1D158}",
        ] {
            assert_eq!(shown(name, &[]), Ok(()), "{name:?}");
        }
    }

    #[test]
    fn what_is_invisible_is_refused_where_nothing_needs_it() {
        for name in [
            "\u{200B}",
            "\u{2800}",
            "\u{3164}",
            "\u{FFA0}",
            "\u{115F}\u{1160}",
            "\u{301}",
            "\u{200D}",
            "a\u{200B}b",
            "a\u{200C}b",
            "a\u{200D}b",
            "a\u{301}\u{200D}\u{301}",
            "ada\u{AD}",
            "a\u{2060}b",
            "\u{FEFF}ada",
            "a\u{34F}b",
            "a\u{FE0F}",
            "a\u{E0100}",
            "a\u{E0061}",
            "🏴\u{E0067}",
            "می\u{200C}",
            "\u{200C}می",
            "👩\u{200D}",
            "\u{2800}\u{2801}",
            "a\u{E0001}",
            "a\u{E0FFF}",
            "\u{FFFC}",
            "a\u{FFFC}b",
            "a\u{FFF9}b\u{FFFA}c\u{FFFB}",
            "\u{13430}",
            "a\u{1343F}b",
            "\u{13441}\u{13442}",
            "\u{16FE4}",
            "a\u{16FE4}b",
            "\u{1D159}",
            "a\u{1D159}b",
            "\u{600}",
            "a\u{200E}",
            "a\u{61C}",
            "a\u{2067}b",
            "a\u{202E}b",
            "a\u{FDD0}",
            "a\u{1FFFF}",
            "a\nb",
            "a\u{85}",
        ] {
            assert!(shown(name, &[]).is_err(), "{name:?}");
        }
        assert!(shown("a\nb", &['\n']).is_ok() && shown("\n", &['\n']).is_err());
    }

    #[test]
    fn format_characters_are_invisible_unless_they_are_drawn() {
        let drawn: Vec<char> = (char::MIN..=char::MAX).filter(|c| is_format(*c) && !is_invisible(*c)).collect();
        assert!(drawn.contains(&'\u{600}') && drawn.contains(&'\u{70F}') && drawn.len() < 30, "{drawn:?}");
        for c in ('\u{FFF9}'..='\u{FFFC}').chain('\u{13430}'..='\u{1343F}') {
            assert!(is_invisible(c) && exact(&format!("a{c}")).is_err(), "{c:?}");
        }
    }

    #[test]
    fn letters_of_both_directions_are_mixed() {
        for text in ["aאב", "אבa", "1אב", ".אב", "aع"] {
            assert!(has_mixed_direction(text), "{text}");
        }
        for text in ["abc", "אבג", "אב1", "ع.ع", "123", "a1", "あ"] {
            assert!(!has_mixed_direction(text), "{text}");
        }
    }
}
