//! `AuthorizationService.BatchCheckPermissions`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason, PermissionBasis as Basis, batch_check_permissions_result::Outcome};

use super::of_user;
use crate::support::{Answered as _, MISSING_ID, Test, both, refused};

#[both]
async fn each_check_is_answered_for_itself_and_in_order(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    t.member(&bob, &acme, "viewer").await;
    let missing = pb::User { id: MISSING_ID.to_owned(), ..Default::default() };
    let checks = vec![
        of_user(&ada, &acme, "invoices:read"),
        of_user(&bob, &acme, "invoices:read"),
        of_user(&missing, &acme, "invoices:read"),
        of_user(&ada, &acme, "*"),
        of_user(&bob, &acme, "roles:read"),
    ];
    let request = pb::BatchCheckPermissionsRequest { checks };
    let results = t.admin().authorization().batch_check_permissions(request).await.answered().results;
    let reported: Vec<_> = results
        .into_iter()
        .map(|result| match result.outcome.unwrap() {
            Outcome::Decision(decision) => Ok(decision.basis()),
            Outcome::Error(reason) => Err(ErrorReason::try_from(reason).unwrap()),
        })
        .collect();
    let expected = [
        Ok(Basis::Role),
        Ok(Basis::NotGiven),
        Err(ErrorReason::UserNotFound),
        Err(ErrorReason::InvalidArgument),
        Ok(Basis::Role),
    ];
    assert_eq!(reported, expected);
}

#[both]
async fn a_batch_has_1_to_1000_checks(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let acme = t.organization(&ada).await;
    for (count, is_taken) in [(0, false), (1000, true), (1001, false)] {
        let checks = vec![of_user(&ada, &acme, "a:b"); count];
        let answer =
            t.admin().authorization().batch_check_permissions(pb::BatchCheckPermissionsRequest { checks }).await;
        if is_taken {
            assert_eq!(answer.unwrap().into_inner().results.len(), count);
        } else {
            refused(answer, ErrorReason::InvalidArgument);
        }
    }
}
