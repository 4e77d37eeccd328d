//! `ApiKeyService.BatchVerifyApiKeys`.

use std::sync::Arc;

use prost::Message as _;
use tenantry::pb::{
    self, ApiKeyVerdict as Verdict, ErrorReason, batch_verify_api_keys_result::Outcome, create_api_key_request::Owner,
};

use crate::support::{Answered as _, Api, Test, both, object, refused};

fn question(key: &str, scope: &str) -> pb::ApiKeyQuestion {
    pb::ApiKeyQuestion { plaintext_key: key.to_owned(), required_scope: scope.to_owned(), ..Default::default() }
}

async fn outcomes(api: &Api, questions: Vec<pb::ApiKeyQuestion>) -> Vec<Outcome> {
    let request = pb::BatchVerifyApiKeysRequest { questions };
    let answer = api.api_keys().batch_verify_api_keys(request).await.answered();
    answer.results.into_iter().map(|result| result.outcome.unwrap()).collect()
}

fn verdict(outcome: &Outcome) -> Verdict {
    match outcome {
        Outcome::Verification(found) => found.verdict(),
        Outcome::Error(reason) => panic!("{reason}"),
    }
}

#[both]
async fn each_question_has_its_own_outcome_in_their_order(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (key, good) = t.key(Owner::UserId(ada.id.clone()), &["invoices:read"]).await;
    let endless = "x".repeat(513);
    let questions = vec![
        question(&good, ""),
        question("", ""),
        question("garbage", ""),
        question(&good, "invoices:write"),
        question(&good, "no scope"),
        question(&endless, ""),
        question(&good, "invoices:read"),
    ];
    let outcomes = outcomes(&t.admin(), questions).await;
    let Outcome::Verification(first) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!(pb::ApiKey::decode(first.api_key.clone()).unwrap(), key);
    assert_eq!(verdict(&outcomes[0]), Verdict::Valid);
    assert_eq!(verdict(&outcomes[2]), Verdict::Unknown);
    assert_eq!(verdict(&outcomes[3]), Verdict::ScopeMissing);
    assert_eq!(verdict(&outcomes[6]), Verdict::Valid);
    for at in [1, 4, 5] {
        assert_eq!(outcomes[at], Outcome::Error(ErrorReason::InvalidArgument.into()), "{at}");
    }
}

#[both]
async fn one_to_a_thousand_questions_are_answered(t: Arc<Test>) {
    let keys = vec![question(&t.admin_key, ""); 1000];
    assert!(outcomes(&t.admin(), keys.clone()).await.iter().all(|outcome| verdict(outcome) == Verdict::Valid));
    for questions in [vec![], [keys, vec![question("x", "")]].concat()] {
        let request = pb::BatchVerifyApiKeysRequest { questions };
        refused(t.admin().api_keys().batch_verify_api_keys(request).await, ErrorReason::InvalidArgument);
    }
}

#[both]
async fn keys_too_large_for_one_answer_are_left_out_and_their_verdicts_are_not(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (key, good) = t.key(Owner::UserId(ada.id.clone()), &["*"]).await;
    let update = pb::UpdateApiKeyRequest {
        api_key_id: key.id,
        metadata: object("large", &"x".repeat(15_000)),
        update_mask: crate::support::mask(&["metadata"]),
        ..Default::default()
    };
    t.admin().api_keys().update_api_key(update).await.unwrap();
    let outcomes = outcomes(&t.admin(), vec![question(&good, ""); 1000]).await;
    assert!(outcomes.iter().all(|outcome| verdict(outcome) == Verdict::Valid));
    let reported = |outcome: &&Outcome| matches!(outcome, Outcome::Verification(found) if !found.api_key.is_empty());
    let reported = outcomes.iter().filter(reported).count();
    assert!((150..300).contains(&reported), "{reported}");
}

#[both]
async fn keys_out_of_reach_are_unknown(t: Arc<Test>) {
    let (ada, eve) = (t.user("ada").await, t.user("eve").await);
    let acme = t.organization(&ada).await;
    let key = t.organization_key(&acme).await;
    let ask = async |presented: String| verdict(&outcomes(&t.with_key(&presented), vec![question(&key, "")]).await[0]);
    assert_eq!(ask(t.user_key(&eve).await).await, Verdict::Unknown);
    assert_eq!(ask(t.user_key(&ada).await).await, Verdict::Valid);
    assert_eq!(ask(key.clone()).await, Verdict::Valid);
}
