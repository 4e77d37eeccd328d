//! `OrganizationService.BatchGetOrganizations`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, batch_get_organizations_result::Outcome};

use crate::support::{Answered as _, MISSING_ID, Test, both, refused};

#[both]
async fn each_id_is_answered_on_its_own_in_order(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let (acme, evil) = (t.organization(&ada).await, t.organization(&eve).await);
    let organization_ids = vec!["x".to_owned(), acme.id.clone(), evil.id.clone(), MISSING_ID.to_owned()];
    let request = pb::BatchGetOrganizationsRequest { organization_ids: organization_ids.clone() };
    let adas = t.with_key(&t.user_key(&ada).await);
    let results = adas.organizations().batch_get_organizations(request).await.answered().results;
    assert_eq!(results.iter().map(|result| result.organization_id.clone()).collect::<Vec<_>>(), organization_ids);
    let outcomes: Vec<_> = results.into_iter().filter_map(|result| result.outcome).collect();
    let missing = Outcome::Error(ErrorReason::OrganizationNotFound.into());
    let invalid = Outcome::Error(ErrorReason::InvalidArgument.into());
    assert_eq!(outcomes, [invalid, Outcome::Organization(acme), missing.clone(), missing]);
}

#[both]
async fn none_and_too_many_ids_are_refused(t: Arc<Test>) {
    for count in [0, 101] {
        let request = pb::BatchGetOrganizationsRequest { organization_ids: vec![MISSING_ID.to_owned(); count] };
        refused(t.admin().organizations().batch_get_organizations(request).await, ErrorReason::InvalidArgument);
    }
}
