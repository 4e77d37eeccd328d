//! `OrganizationService.BatchGetOrganizations`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, batch_get_organizations_result::Outcome};

use crate::support::{Answered as _, MISSING_ID, Test, both, refused};

#[both]
async fn each_id_is_answered_on_its_own_in_order(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let (acme, evil) = (t.organization(&ada).await, t.organization(&eve).await);
    let organization_ids = vec!["x".to_owned(), acme.id.clone(), evil.id.clone(), MISSING_ID.to_owned()];
    let request = pb::BatchGetOrganizationsRequest { organization_ids: organization_ids.clone(), ..Default::default() };
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
        let request = pb::BatchGetOrganizationsRequest {
            organization_ids: vec![MISSING_ID.to_owned(); count],
            ..Default::default()
        };
        refused(t.admin().organizations().batch_get_organizations(request).await, ErrorReason::InvalidArgument);
    }
}

#[both]
async fn organizations_are_read_by_id_and_external_id_within_reach(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let create = |owner: &pb::User, external_id: &str| pb::CreateOrganizationRequest {
        name: "Acme".to_owned(),
        owner_user_id: owner.id.clone(),
        external_id: external_id.to_owned(),
        ..Default::default()
    };
    for (owner, external_id) in [(&ada, "billing-1"), (&eve, "billing-2")] {
        t.admin().organizations().create_organization(create(owner, external_id)).await.unwrap();
    }
    let request = pb::BatchGetOrganizationsRequest {
        organization_ids: vec![MISSING_ID.to_owned()],
        external_ids: ["billing-2", "billing-1", "\0"].map(str::to_owned).to_vec(),
    };
    let key = t.user_key(&ada).await;
    let results = t.with_key(&key).organizations().batch_get_organizations(request).await.answered().results;
    let names: Vec<_> = results.iter().map(|one| (one.organization_id.as_str(), one.external_id.as_str())).collect();
    assert_eq!(names, [(MISSING_ID, ""), ("", "billing-2"), ("", "billing-1"), ("", "\0")]);
    let outcome = |at: usize| results[at].outcome.clone().unwrap();
    let missing = Outcome::Error(ErrorReason::OrganizationNotFound.into());
    assert_eq!((outcome(0), outcome(1)), (missing.clone(), missing));
    assert!(matches!(outcome(2), Outcome::Organization(found) if found.external_id == "billing-1"));
    assert_eq!(outcome(3), Outcome::Error(ErrorReason::InvalidArgument.into()));
}
