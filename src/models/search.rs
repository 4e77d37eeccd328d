//! Search by a part of a text: what is searched, and the index of it.
//!
//! The index divides the users, and the organizations, into segments of neighbouring ids. For each segment it stores which of its members
//! contain a gram: one, two or three consecutive characters. A fragment can only occur where all of its grams do, so a search reads the
//! lists of a few grams in each segment, and compares the texts of the few members that remain.

use std::collections::BTreeMap;

use super::{characters::is_forbidden, fold::folded};

/// Members of a segment. When a segment is full, the next greater id begins another one.
pub const SEGMENT: usize = 4096;
/// Rows that the grams of a segment are distributed over.
pub const BUCKETS: usize = 256;
/// Ids in a row of a segment's members.
pub const CHUNK: usize = 128;
/// Maximum bytes of one searched text. Normal texts are shorter: some characters become up to eighteen when they are folded, and the
/// database limits the size of what it indexes.
const MAX_TEXT_BYTES: usize = 1024;
/// Grams of a fragment that are looked up.
const LOOKED_UP: usize = 4;
/// The longest gram, in characters.
const LONGEST: usize = 3;
/// The hash of no characters.
const EMPTY_GRAM: Gram = 0x811c_9dc5;
/// Separates texts. No text that is searched contains it.
const SEPARATOR: char = '\n';

/// The kinds of resources that can be searched.
#[derive(Clone, Copy, Debug)]
pub enum Searched {
    /// Users, by name and e-mail.
    Users,
    /// Organizations, by name and slug.
    Organizations,
}

impl Searched {
    /// The number that its rows have in the index.
    pub fn stored(self) -> i64 {
        match self {
            Self::Users => 1,
            Self::Organizations => 2,
        }
    }
}

/// A hash of a gram. Different grams may share one, since texts are compared in the end.
pub type Gram = u32;
/// Places of a segment's members in its list of ids, in order.
pub type Places = Vec<u16>;

/// The searched form of the texts of a resource.
pub fn searchable(texts: &[&str]) -> String {
    let folded: Vec<String> = texts.iter().map(|text| shortened(folded(text))).collect();
    folded.join("\n")
}

fn shortened(mut text: String) -> String {
    while text.len() > MAX_TEXT_BYTES {
        text.pop();
    }
    text
}

/// Calls `found` with each gram of a searched text, as often as it occurs.
pub fn each_gram(searchable: &str, mut found: impl FnMut(Gram)) {
    for text in searchable.split(SEPARATOR) {
        let chars: Vec<char> = text.chars().collect();
        for start in 0..chars.len() {
            let mut hash = EMPTY_GRAM;
            for c in chars.iter().skip(start).take(LONGEST) {
                hash = longer(hash, *c);
                found(hash);
            }
        }
    }
}

fn gram(chars: &[char]) -> Gram {
    chars.iter().fold(EMPTY_GRAM, |hash, c| longer(hash, *c))
}

/// The gram with one more character, by FNV-1a.
fn longer(gram: Gram, c: char) -> Gram {
    u32::from(c).to_le_bytes().iter().fold(gram, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// The row of a segment that lists a gram, less than [`BUCKETS`].
pub fn bucket(gram: Gram) -> usize {
    // The lowest byte.
    usize::from(gram.to_le_bytes()[0])
}

/// A part of a text to search for: 1 to 100 characters, compared without case and accents. No character has a special meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment(String);

impl Fragment {
    /// Maximum number of characters.
    pub const MAX_CHARS: usize = 100;

    /// Folds and checks a fragment. Blanks around it do not count.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        // Checked before any other work, so that refusing a huge text is cheap.
        if text.len() > Self::MAX_CHARS * 4 || text.chars().count() > Self::MAX_CHARS {
            return Err("must have at most 100 characters");
        }
        let text = text.trim();
        if text.chars().any(is_forbidden) {
            return Err("must not contain control characters");
        }
        let folded = folded(text);
        if folded.trim().is_empty() {
            return Err("must contain a character other than blanks and accents");
        }
        Ok(Self(folded))
    }

    /// The fragment as a pattern of LIKE, with `\` as the escape character.
    pub fn pattern(&self) -> String {
        let mut pattern = "%".to_owned();
        for c in self.0.chars() {
            if matches!(c, '%' | '_' | '\\') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern.push('%');
        pattern
    }

    /// True if a searched text contains the fragment.
    pub fn is_in(&self, searchable: &str) -> bool {
        searchable.contains(&self.0)
    }

    /// Grams that every text with this fragment has: a few, evenly distributed over it.
    pub fn grams(&self) -> Vec<Gram> {
        let chars: Vec<char> = self.0.chars().collect();
        let windows: Vec<Gram> = chars.windows(LONGEST.min(chars.len())).map(gram).collect();
        let last = windows.len().saturating_sub(1);
        let mut grams: Vec<Gram> =
            (0..LOOKED_UP).filter_map(|at| windows.get(at * last / (LOOKED_UP - 1)).copied()).collect();
        grams.sort_unstable();
        grams.dedup();
        grams
    }
}

/// The grams of a row, each with the places that have it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Postings(BTreeMap<Gram, Places>);

/// Places of a gram that are stored as one bit each: half of the places of a segment take less space so.
const BITS: u16 = u16::MAX;
/// Bytes of [`SEGMENT`] bits.
const BIT_BYTES: usize = SEGMENT / 8;

impl Postings {
    /// Adds places of grams.
    pub fn extend(&mut self, mut added: Vec<(Gram, u16)>) {
        added.sort_unstable();
        added.dedup();
        for of_gram in added.chunk_by(|one, next| one.0 == next.0) {
            let Some((gram, _)) = of_gram.first() else { continue };
            let places = self.0.entry(*gram).or_default();
            for (_, place) in of_gram {
                // Nearly always the last one: a segment grows at its end.
                if places.last().is_none_or(|last| last < place) {
                    places.push(*place);
                } else if let Err(at) = places.binary_search(place) {
                    places.insert(at, *place);
                }
            }
        }
    }

    /// Removes a place from all grams. True if one of them had it.
    pub fn remove(&mut self, place: u16) -> bool {
        let mut had = false;
        self.0.retain(|_, places| {
            if let Ok(at) = places.binary_search(&place) {
                places.remove(at);
                had = true;
            }
            !places.is_empty()
        });
        had
    }

    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (gram, places) in &self.0 {
            bytes.extend(gram.to_be_bytes());
            let fits = places.last().is_some_and(|last| usize::from(*last) < SEGMENT);
            if fits && places.len() * 2 > BIT_BYTES {
                let mut bits = [0_u8; BIT_BYTES];
                for place in places {
                    if let Some(byte) = bits.get_mut(usize::from(place / 8)) {
                        *byte |= 1 << (place % 8);
                    }
                }
                bytes.extend(BITS.to_be_bytes());
                bytes.extend(bits);
            } else {
                bytes.extend(u16::try_from(places.len()).unwrap_or(BITS - 1).to_be_bytes());
                bytes.extend(places.iter().take(usize::from(BITS - 1)).flat_map(|place| place.to_be_bytes()));
            }
        }
        bytes
    }

    /// Reads a stored row. `None` if it is malformed.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut postings = Self::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (gram, places, after) = entry(rest)?;
            postings.0.insert(gram, places.read());
            rest = after;
        }
        Some(postings)
    }

    /// The places of one gram in a stored row, in order. `None` if the row is malformed.
    pub fn find(bytes: &[u8], wanted: Gram) -> Option<Places> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (gram, places, after) = entry(rest)?;
            if gram == wanted {
                return Some(places.read());
            }
            rest = after;
        }
        Some(Places::new())
    }
}

/// Places as stored.
enum Stored<'a> {
    Bits(&'a [u8]),
    List(&'a [u8]),
}

impl Stored<'_> {
    fn read(&self) -> Places {
        match self {
            Self::List(bytes) => bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect(),
            Self::Bits(bytes) => {
                let places = (0_u16..).zip(bytes.iter());
                places
                    .flat_map(|(at, byte)| {
                        (0..8).filter(move |bit| (byte >> bit) & 1 == 1).map(move |bit| at * 8 + bit)
                    })
                    .collect()
            }
        }
    }
}

/// The first gram of a stored row, its places, and the rest of the row.
fn entry(bytes: &[u8]) -> Option<(Gram, Stored<'_>, &[u8])> {
    let (gram, rest) = bytes.split_first_chunk::<4>()?;
    let (count, rest) = rest.split_first_chunk::<2>()?;
    let count = u16::from_be_bytes(*count);
    let is_bits = count == BITS;
    let (places, rest) = rest.split_at_checked(if is_bits { BIT_BYTES } else { usize::from(count) * 2 })?;
    let places = if is_bits { Stored::Bits(places) } else { Stored::List(places) };
    Some((Gram::from_be_bytes(*gram), places, rest))
}

/// The places that all of the given lists have, each in order.
pub fn common(mut lists: Vec<Places>) -> Places {
    lists.sort_unstable_by_key(Vec::len);
    let mut lists = lists.into_iter();
    let mut common = lists.next().unwrap_or_default();
    for other in lists {
        let mut others = other.into_iter().peekable();
        common.retain(|place| {
            while others.next_if(|other| other < place).is_some() {}
            others.peek() == Some(place)
        });
    }
    common
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_text_has_the_grams_of_each_of_its_parts(text in "[\\PC]{1,20}", from in 0_usize..20, length in 1_usize..20) {
            let searched = searchable(&[&text, "someone@example.com"]);
            let part: String = text.chars().skip(from).take(length).collect();
            if let Ok(fragment) = Fragment::parse(&part)
                && fragment.is_in(&searched)
            {
                let mut all = Vec::new();
                each_gram(&searched, |gram| all.push(gram));
                prop_assert!(fragment.grams().iter().all(|gram| all.contains(gram)));
            }
        }

        #[test]
        fn postings_are_read_as_they_were_written(places in proptest::collection::btree_set(0_u16..5000, 1..3000), gram: u32) {
            let mut postings = Postings::default();
            let (some, others): (Vec<u16>, Vec<u16>) = places.iter().partition(|place| **place % 3 == 0);
            postings.extend(some.into_iter().map(|place| (gram, place)).collect());
            postings.extend(others.into_iter().map(|place| (gram, place)).chain([(gram.wrapping_add(1), 7)]).collect());
            let bytes = postings.encode();
            prop_assert_eq!(Postings::find(&bytes, gram), Some(places.into_iter().collect()));
            prop_assert_eq!(Postings::find(&bytes, gram.wrapping_add(2)), Some(vec![]));
            let decoded = Postings::decode(&bytes);
            prop_assert_eq!(decoded.as_ref(), Some(&postings));
            prop_assert!(postings.remove(7) && !postings.remove(7));
            let bytes = postings.encode();
            prop_assert_eq!(Postings::find(&bytes, gram.wrapping_add(1)), Some(vec![]));
        }

        #[test]
        fn reading_any_bytes_never_panics(bytes: Vec<u8>) {
            let _ = Postings::decode(&bytes);
        }
    }

    #[test]
    fn a_fragment_has_1_to_100_visible_characters_and_no_wildcards() {
        for text in ["", "  ", "\u{301}", "a\nb", &"x".repeat(101), &"x".repeat(10_000)] {
            assert!(Fragment::parse(text).is_err(), "{text:?}");
        }
        for text in ["a", "王", "@gmail.com", "%", "_", "🦀", &"x".repeat(100)] {
            assert!(Fragment::parse(text).is_ok(), "{text:?}");
        }
        assert_eq!(Fragment::parse(" 100%_\\ ").map(|fragment| fragment.pattern()), Ok("%100\\%\\_\\\\%".to_owned()));
        assert_eq!(common(vec![vec![1, 2, 3], vec![2, 3, 4], vec![0, 3]]), [3]);
        assert_eq!(common(vec![vec![1, 5, 9], vec![], vec![0, 3]]), [0_u16; 0]);
    }
}
