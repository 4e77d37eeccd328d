//! Batches on the wire: items parsed one by one, and the result of each.

use prost::Message;

use super::{
    batch_size,
    call::{Act, CallContext},
};
use crate::{
    app::{
        batch::{BatchAnswer, ItemResult},
        invitation::IssuedInvitation,
    },
    error::{Error, Result, Violation},
    grpc::status,
    models::{Membership, MembershipId, Seen, User},
    pb::{
        self, batch_invitation_result::Outcome as InvitationOutcome,
        batch_membership_result::Outcome as MembershipOutcome, batch_user_result::Outcome as UserOutcome,
    },
};

/// Maximum number of items of a batch.
const MAX_ITEMS: usize = 1000;
/// Maximum size in bytes of the results before resources are left out. A thousand ordinary resources have half of it.
const MAX_BYTES: usize = 1024 * 1024;
/// Maximum number of violations that are named for an item.
const MAX_VIOLATIONS: usize = 10;

/// Parses each item of a batch as a request by itself.
///
/// # Errors
/// [`Error::Invalid`] for an empty batch or too many items. Violations of an item are returned with that item.
pub fn items<R: Act, T>(
    requests: Vec<R>,
    parse: impl Fn(R) -> Result<T>,
) -> Result<Vec<std::result::Result<T, Vec<Violation>>>> {
    batch_size("requests", requests.len(), MAX_ITEMS)?;
    let item = |mut request: R| match CallContext::of_item(&mut request).and(parse(request)) {
        Ok(item) => Ok(Ok(item)),
        Err(Error::Invalid(violations)) => Ok(Err(violations)),
        Err(error) => Err(error),
    };
    requests.into_iter().map(item).collect()
}

/// The result for one item.
trait BatchResult: Message {
    /// Leaves only the id of a resource.
    fn leave_out_resource(&mut self);

    /// Why the item was refused, if it was.
    fn error(&self) -> Option<&pb::BatchItemError>;
}

macro_rules! results {
    ($($result:ident with $outcome:ident: $resource:ident or $id:ident;)+) => {$(
        impl BatchResult for pb::$result {
            fn leave_out_resource(&mut self) {
                if let Some($outcome::$resource(resource)) = &mut self.outcome {
                    let id = std::mem::take(&mut resource.id);
                    self.outcome = Some($outcome::$id(id));
                }
            }

            fn error(&self) -> Option<&pb::BatchItemError> {
                match &self.outcome {
                    Some($outcome::Error(error)) => Some(error),
                    _ => None,
                }
            }
        }
    )+};
}

results! {
    BatchMembershipResult with MembershipOutcome: Membership or MembershipId;
    BatchInvitationResult with InvitationOutcome: Invitation or InvitationId;
    BatchUserResult with UserOutcome: User or UserId;
}

/// The answer to a batch, as the audit of denials sees it.
pub trait Denials {
    /// The reasons for which items were denied, without duplicates.
    fn denials(&self) -> Vec<String>;
}

macro_rules! answers {
    ($($answer:ident),+ $(,)?) => {$(
        impl BatchAnswer for pb::$answer {
            fn append(&mut self, part: Self) {
                append(&mut self.results, part.results);
            }
        }

        impl Denials for pb::$answer {
            fn denials(&self) -> Vec<String> {
                denials(&self.results)
            }
        }
    )+};
}

answers!(
    BatchCreateMembershipsResponse,
    BatchUpdateMembershipsResponse,
    BatchDeleteMembershipsResponse,
    BatchCreateInvitationsResponse,
    BatchSuspendUsersResponse,
    BatchReactivateUsersResponse,
);

/// Adds the results of a part. Resources that would make the answer too large are left out.
fn append<R: BatchResult>(results: &mut Vec<R>, part: Vec<R>) {
    let mut bytes: usize = results.iter().map(Message::encoded_len).sum();
    for mut result in part {
        if bytes + result.encoded_len() > MAX_BYTES {
            result.leave_out_resource();
        }
        bytes += result.encoded_len();
        results.push(result);
    }
}

fn denials<R: BatchResult>(results: &[R]) -> Vec<String> {
    let denied = results.iter().filter_map(BatchResult::error).map(pb::BatchItemError::reason);
    let mut denied: Vec<String> = denied
        .filter(|reason| status::is_denial(*reason))
        .map(|reason| status::reason_text(reason).to_owned())
        .collect();
    denied.sort_unstable();
    denied.dedup();
    denied
}

/// The answer to a part of BatchCreateMemberships.
pub fn created_memberships(results: Vec<ItemResult<Membership>>) -> pb::BatchCreateMembershipsResponse {
    // Only platform admins create memberships directly.
    let seen = |ItemResult { index, outcome }| membership(ItemResult { index, outcome: outcome.map(Seen::whole) });
    pb::BatchCreateMembershipsResponse { results: results.into_iter().map(seen).collect() }
}

/// The answer to a part of BatchUpdateMemberships.
pub fn updated_memberships(results: Vec<ItemResult<Seen<Membership>>>) -> pb::BatchUpdateMembershipsResponse {
    pb::BatchUpdateMembershipsResponse { results: results.into_iter().map(membership).collect() }
}

/// The answer to a part of BatchDeleteMemberships.
pub fn deleted_memberships(results: Vec<ItemResult<MembershipId>>) -> pb::BatchDeleteMembershipsResponse {
    let result = |result: ItemResult<MembershipId>| {
        let outcome = match result.outcome {
            Ok(id) => MembershipOutcome::MembershipId(id.to_string()),
            Err(refusal) => MembershipOutcome::Error(error(&refusal)),
        };
        pb::BatchMembershipResult { index: index(result.index), outcome: Some(outcome) }
    };
    pb::BatchDeleteMembershipsResponse { results: results.into_iter().map(result).collect() }
}

/// The answer to a part of BatchCreateInvitations.
pub fn created_invitations(results: Vec<ItemResult<IssuedInvitation>>) -> pb::BatchCreateInvitationsResponse {
    let result = |result: ItemResult<IssuedInvitation>| {
        let (outcome, plaintext_token) = match result.outcome {
            Ok(issued) => {
                (InvitationOutcome::Invitation(issued.invitation.into()), issued.plaintext_token.expose().to_owned())
            }
            Err(refusal) => (InvitationOutcome::Error(error(&refusal)), String::new()),
        };
        pb::BatchInvitationResult { index: index(result.index), outcome: Some(outcome), plaintext_token }
    };
    pb::BatchCreateInvitationsResponse { results: results.into_iter().map(result).collect() }
}

/// The answer to a part of BatchSuspendUsers.
pub fn suspended_users(results: Vec<ItemResult<User>>) -> pb::BatchSuspendUsersResponse {
    pb::BatchSuspendUsersResponse { results: results.into_iter().map(user).collect() }
}

/// The answer to a part of BatchReactivateUsers.
pub fn reactivated_users(results: Vec<ItemResult<User>>) -> pb::BatchReactivateUsersResponse {
    pb::BatchReactivateUsersResponse { results: results.into_iter().map(user).collect() }
}

fn membership(result: ItemResult<Seen<Membership>>) -> pb::BatchMembershipResult {
    let outcome = match result.outcome {
        Ok(membership) => MembershipOutcome::Membership(membership.into()),
        Err(refusal) => MembershipOutcome::Error(error(&refusal)),
    };
    pb::BatchMembershipResult { index: index(result.index), outcome: Some(outcome) }
}

fn user(result: ItemResult<User>) -> pb::BatchUserResult {
    let outcome = match result.outcome {
        // Only platform admins call these methods.
        Ok(user) => UserOutcome::User(Seen::whole(user).into()),
        Err(refusal) => UserOutcome::Error(error(&refusal)),
    };
    pb::BatchUserResult { index: index(result.index), outcome: Some(outcome) }
}

fn index(index: usize) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}

/// Why an item was refused. The number of violations is bounded, since a few bytes of a request can cause one.
fn error(error: &Error) -> pb::BatchItemError {
    let (violations, message) = match error {
        Error::Invalid(violations) => (violations.as_slice(), "fields of the item break their rules".to_owned()),
        error => (&[][..], error.to_string()),
    };
    let violation = |violation: &Violation| pb::BatchFieldViolation {
        field: violation.field.clone(),
        description: violation.rule.clone(),
    };
    pb::BatchItemError {
        reason: status::reason(error).into(),
        message,
        field_violations: violations.iter().take(MAX_VIOLATIONS).map(violation).collect(),
        metadata: status::metadata(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_no_room_for_more_than_its_bytes_and_then_has_the_ids() {
        let result = |index| pb::BatchUserResult {
            index,
            outcome: Some(UserOutcome::User(pb::User {
                id: format!("{index}"),
                name: "x".repeat(16 * 1024),
                ..Default::default()
            })),
        };
        let mut all = pb::BatchSuspendUsersResponse::default();
        for part in 0..20 {
            let results = (part * 50..(part + 1) * 50).map(result).collect();
            all.append(pb::BatchSuspendUsersResponse { results });
        }
        assert!(all.encoded_len() < MAX_BYTES + 1000 * 16, "{}", all.encoded_len());
        let whole =
            all.results.iter().take_while(|result| matches!(result.outcome, Some(UserOutcome::User(_)))).count();
        assert_eq!(whole, 63);
        for (index, result) in (0..).zip(&all.results).skip(whole) {
            assert_eq!(result, &pb::BatchUserResult { index, outcome: Some(UserOutcome::UserId(index.to_string())) });
        }
    }
}
