//! Slugs that organizations cannot choose, because a deployment uses them as host names, paths or roles of its own.

use std::collections::HashSet;

use super::Slug;

/// The shipped list, one slug a line.
const SHIPPED: &str = include_str!("reserved_slugs.txt");

/// The reserved slugs.
#[derive(Clone, Debug)]
pub struct ReservedSlugs(HashSet<String>);

impl ReservedSlugs {
    /// The shipped ones and others.
    pub fn with(others: &[Slug]) -> Self {
        let others = others.iter().map(|slug| slug.as_str().to_owned());
        Self(SHIPPED.lines().map(str::to_owned).chain(others).collect())
    }

    /// True if a slug is reserved.
    pub fn contain(&self, slug: &Slug) -> bool {
        self.0.contains(slug.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_list_has_valid_slugs_in_order_each_once_and_can_be_extended() {
        let shipped: Vec<&str> = SHIPPED.lines().collect();
        assert!(shipped.iter().all(|slug| Slug::parse(slug).is_ok()));
        assert!(shipped.windows(2).all(|pair| pair[0] < pair[1]), "not sorted");
        let slug = |text| Slug::parse(text).unwrap();
        let reserved = ReservedSlugs::with(&[slug("acme-internal")]);
        for text in ["admin", "api", "www", "login", "acme-internal"] {
            assert!(reserved.contain(&slug(text)), "{text}");
        }
        assert!(!reserved.contain(&slug("acme")) && !ReservedSlugs::with(&[]).contain(&slug("acme-internal")));
    }
}
