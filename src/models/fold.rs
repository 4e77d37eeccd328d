//! The one folding of texts that people compare: search, slugs and uniqueness.

use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

/// Folds case and accents: compatibility forms are replaced, marks are dropped, and the case is folded. Idempotent.
pub fn folded(text: &str) -> String {
    let mut folded = fold_once(text);
    // A replaced form can have another case or mark of its own.
    loop {
        let again = fold_once(&folded);
        if again == folded {
            return folded;
        }
        folded = again;
    }
}

fn fold_once(text: &str) -> String {
    let bare = text.nfkd().filter(|c| !is_combining_mark(*c));
    // Through the upper case, as `ß` and `ς` have no other path to `ss` and `σ`.
    let lower = bare.flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    lower.nfkd().filter(|c| !is_combining_mark(*c)).nfkc().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn folding_twice_changes_nothing(text in "\\PC{0,40}") {
            let once = folded(&text);
            prop_assert_eq!(folded(&once), once);
        }
    }

    #[test]
    fn case_and_accents_do_not_count() {
        for (one, other) in
            [("ÁDA", "ada"), ("Straße", "STRASSE"), ("ΝΙΚΟΣ", "νικος"), ("İstanbul", "istanbul"), ("Ｘ", "x")]
        {
            assert_eq!(folded(one), folded(other), "{one}");
        }
    }
}
