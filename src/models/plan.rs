//! Plans of organizations, which each deployment chooses for itself.

use super::{Slug, stored::stored_as_is};

/// The name of a plan, with the rules of a slug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan(String);

impl Plan {
    /// The default plan of a deployment that accepts any plan.
    const FALLBACK: &str = "free";

    /// Checks the name of a plan.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        Slug::parse(text).map(|_| Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

stored_as_is!(Plan);

/// The plans that a deployment offers.
#[derive(Clone, Debug)]
pub struct Plans(Vec<Plan>);

impl Plans {
    /// Maximum number of plans: a refusal names them all.
    const MAX: usize = 100;

    /// Reads comma-separated names. An empty text accepts any plan.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let plans = text.split(',').map(|name| {
            let name = name.trim();
            Plan::parse(name).map_err(|rule| format!("the plan {name:?} {rule}"))
        });
        let plans: Vec<Plan> = plans.collect::<Result<_, _>>()?;
        let is_twice = |(at, plan): (usize, &Plan)| plans.iter().take(at).any(|other| other == plan);
        if plans.len() > Self::MAX || plans.iter().enumerate().any(is_twice) {
            return Err(format!("must name at most {} plans, each once", Self::MAX));
        }
        Ok(Self(plans))
    }

    /// The plan of an organization that is created without one.
    pub fn first(&self) -> Plan {
        self.0.first().cloned().unwrap_or_else(|| Plan(Plan::FALLBACK.to_owned()))
    }

    /// Refuses a plan that is not offered.
    ///
    /// # Errors
    /// The rule, with the plans that are.
    pub fn check(&self, plan: &Plan) -> Result<(), String> {
        if self.0.is_empty() || self.0.contains(plan) {
            return Ok(());
        }
        let names: Vec<&str> = self.0.iter().map(Plan::as_str).collect();
        Err(format!("must be one of {}", names.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_plan_is_the_default_and_an_empty_list_accepts_any() {
        let plans = Plans::parse("basic, team").unwrap();
        assert_eq!(plans.first().as_str(), "basic");
        assert!(plans.check(&Plan::parse("team").unwrap()).is_ok());
        assert_eq!(plans.check(&Plan::parse("pro").unwrap()), Err("must be one of basic, team".to_owned()));
        let any = Plans::parse("").unwrap();
        assert!(any.check(&Plan::parse("pro").unwrap()).is_ok() && any.first().as_str() == "free");
    }

    #[test]
    fn a_list_with_an_invalid_or_a_repeated_name_is_refused() {
        for text in
            ["a,", ",", "a,,b", "A", "a b", "a,b,a", &(0..101).map(|n| format!("p{n}")).collect::<Vec<_>>().join(",")]
        {
            assert!(Plans::parse(text).is_err(), "{text}");
        }
    }
}
