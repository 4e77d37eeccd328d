//! `AuthenticationService.StartEmailChange`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, MISSING_ID, Test, both, refused};

#[both]
async fn it_returns_the_mail_to_the_new_address_even_if_another_user_has_it(t: Arc<Test>) {
    let (user, other) = (t.user("ada").await, t.user("bob").await);
    for new_email in ["New@example.com".to_owned(), other.email] {
        let request = pb::StartEmailChangeRequest {
            user_id: user.id.clone(),
            new_email: new_email.clone(),
            ..Default::default()
        };
        let started = t.admin().authentication().start_email_change(request).await.answered();
        assert!(started.email == new_email && started.plaintext_token.starts_with("cf_ec_"));
    }
    assert_eq!(t.reload_user(&user.id).await.email, user.email);
    let request = pb::StartEmailChangeRequest {
        user_id: MISSING_ID.to_owned(),
        new_email: "a@b.test".to_owned(),
        ..Default::default()
    };
    refused(t.admin().authentication().start_email_change(request).await, ErrorReason::UserNotFound);
}
