//! `UserService.GetUserByEmail`.

use std::sync::Arc;

use tenantry::pb::{self, ErrorReason};

use crate::support::{Answered as _, Test, both, refused};

fn by(email: &str) -> pb::GetUserByEmailRequest {
    pb::GetUserByEmailRequest { email: email.to_owned() }
}

#[both]
async fn any_spelling_of_the_email_finds_the_user(t: Arc<Test>) {
    let ada = t.user("ada").await;
    for spelling in [ada.email.clone(), ada.email.to_uppercase()] {
        let found = t.admin().users().get_user_by_email(by(&spelling)).await.answered();
        assert_eq!(found.user.unwrap(), ada);
    }
}

#[both]
async fn a_user_out_of_reach_is_not_found(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let mut users = t.with_key(&t.user_key(&ada).await).users();
    refused(users.get_user_by_email(by(&eve.email)).await, ErrorReason::UserNotFound);
    refused(users.get_user_by_email(by("nobody@example.com")).await, ErrorReason::UserNotFound);
}

#[both]
async fn malformed_emails_are_refused(t: Arc<Test>) {
    for email in ["", "ada", "a\0@example.com"] {
        refused(t.admin().users().get_user_by_email(by(email)).await, ErrorReason::InvalidArgument);
    }
}
