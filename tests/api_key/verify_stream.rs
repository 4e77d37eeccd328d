//! `ApiKeyService.VerifyStream`.

use std::{sync::Arc, time::Duration};

use tenantry::pb::{
    self, ApiKeyVerdict as Verdict, ErrorReason, create_api_key_request::Owner, verify_stream_answer::Outcome,
    verify_stream_response::Kind, verify_stream_withdrawal::Withdrawn,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::support::{Api, SEALING_KEYS, Test, both, refusal::reason_of, refused, serving::Serving};

/// An open stream.
struct Stream {
    questions: mpsc::Sender<pb::VerifyStreamRequest>,
    messages: Streaming<pb::VerifyStreamResponse>,
}

impl Stream {
    async fn open(api: &Api) -> Result<Self, Status> {
        let (questions, receiver) = mpsc::channel(1000);
        let messages = api.api_keys().verify_stream(ReceiverStream::new(receiver)).await?.into_inner();
        Ok(Self { questions, messages })
    }

    async fn ask(&self, question_id: u64, key: &str, scope: &str) {
        let question = pb::VerifyStreamRequest {
            question_id,
            question: Some(pb::ApiKeyQuestion {
                plaintext_key: key.to_owned(),
                required_scope: scope.to_owned(),
                ..Default::default()
            }),
        };
        self.questions.send(question).await.unwrap();
    }

    /// The next message, including heartbeats.
    async fn message(&mut self) -> Result<Kind, Status> {
        let message = tokio::time::timeout(Duration::from_mins(2), self.messages.message()).await;
        Ok(message.expect("a heartbeat")?.expect("the stream ends only with an error").kind.unwrap())
    }

    /// The next answer.
    async fn answer(&mut self) -> (u64, Outcome) {
        loop {
            if let Kind::Answer(answer) = self.message().await.unwrap() {
                return (answer.question_id, answer.outcome.unwrap());
            }
        }
    }

    async fn verdict(&mut self, key: &str) -> Verdict {
        self.ask(1, key, "").await;
        match self.answer().await {
            (1, Outcome::Verification(found)) => found.verdict(),
            other => panic!("{other:?}"),
        }
    }

    /// Waits for the withdrawal of a key.
    async fn withdrawn(&mut self, id: &str) {
        loop {
            match self.message().await.unwrap() {
                Kind::Withdrawal(pb::VerifyStreamWithdrawal { withdrawn: Some(Withdrawn::ApiKeyId(found)) }) => {
                    assert_eq!(found, id);
                    return;
                }
                Kind::Withdrawal(pb::VerifyStreamWithdrawal { withdrawn: Some(Withdrawn::All(true)) }) => return,
                Kind::Heartbeat(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The error that ends the stream.
    async fn end(&mut self) -> Status {
        loop {
            if let Err(status) = self.message().await {
                return status;
            }
        }
    }
}

#[both]
async fn a_stream_ends_with_the_session_of_its_access_token(t: Arc<Test>) {
    let (_, signed_in, own) = t.signed_in_user("ada").await;
    let mut stream = Stream::open(&own).await.unwrap();
    stream.message().await.unwrap();
    let request = pb::SignOutRequest { plaintext_token: signed_in.plaintext_token, ..Default::default() };
    t.admin().authentication().sign_out(request).await.unwrap();
    let status = loop {
        if let Err(status) = stream.message().await {
            break status;
        }
    };
    refused(Err::<(), _>(status), ErrorReason::Unauthenticated);
}

#[both]
async fn many_questions_are_answered_each_with_its_id(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (_, good) = t.key(Owner::UserId(ada.id.clone()), &["invoices:read"]).await;
    let mut stream = Stream::open(&t.admin()).await.unwrap();
    for id in 0..300 {
        match id % 3 {
            0 => stream.ask(id, &good, "invoices:read").await,
            1 => stream.ask(id, "garbage", "").await,
            _ => stream.ask(id, &good, "no scope").await,
        }
    }
    let mut seen = vec![false; 300];
    for _ in 0..300 {
        let (id, outcome) = stream.answer().await;
        match (id % 3, outcome) {
            (0, Outcome::Verification(found)) => assert_eq!(found.verdict(), Verdict::Valid),
            (1, Outcome::Verification(found)) => assert_eq!(found.verdict(), Verdict::Unknown),
            (2, Outcome::Error(reason)) => assert_eq!(reason, i32::from(ErrorReason::InvalidArgument)),
            other => panic!("{other:?}"),
        }
        assert!(!std::mem::replace(&mut seen[usize::try_from(id).unwrap()], true), "{id} was answered twice");
    }
}

#[both]
async fn a_changed_key_is_withdrawn_and_the_next_answer_is_current(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (key, good) = t.key(Owner::UserId(ada.id.clone()), &["*"]).await;
    let (_, other) = t.key(Owner::UserId(t.first_admin().await.id), &["*"]).await;
    let mut stream = Stream::open(&t.admin()).await.unwrap();
    assert_eq!(stream.verdict(&good).await, Verdict::Valid);
    assert_eq!(stream.verdict(&other).await, Verdict::Valid);
    t.suspend(&ada).await;
    stream.withdrawn(&key.id).await;
    assert_eq!(stream.verdict(&good).await, Verdict::OwnerInactive);
    t.reactivate(&ada).await;
    stream.withdrawn(&key.id).await;
    assert_eq!(stream.verdict(&good).await, Verdict::Valid);
    let revoke = pb::RevokeApiKeyRequest { api_key_id: key.id.clone(), ..Default::default() };
    t.admin().api_keys().revoke_api_key(revoke).await.unwrap();
    stream.withdrawn(&key.id).await;
    assert_eq!(stream.verdict(&good).await, Verdict::Revoked);
    assert_eq!(stream.verdict(&other).await, Verdict::Valid);
}

#[both(options = ["--sealing-keys", SEALING_KEYS])]
async fn changes_by_another_process_are_withdrawn_too(t: Arc<Test>) {
    let other = Serving::start_patient(&t.database.url(), &[]);
    let ada = t.user("ada").await;
    let (key, good) = t.key(Owner::UserId(ada.id.clone()), &["*"]).await;
    let mut stream = Stream::open(&other.with_key(&t.admin_key)).await.unwrap();
    assert_eq!(stream.verdict(&good).await, Verdict::Valid);
    let revoke = pb::RevokeApiKeyRequest { api_key_id: key.id.clone(), ..Default::default() };
    t.admin().api_keys().revoke_api_key(revoke).await.unwrap();
    stream.withdrawn(&key.id).await;
    assert_eq!(stream.verdict(&good).await, Verdict::Revoked);
}

#[both]
async fn heartbeats_confirm_earlier_answers(t: Arc<Test>) {
    let mut stream = Stream::open(&t.admin()).await.unwrap();
    assert_eq!(stream.verdict(&t.admin_key).await, Verdict::Valid);
    let mut last = None;
    let mut heartbeats = 0;
    while heartbeats < 3 {
        if let Kind::Heartbeat(heartbeat) = stream.message().await.unwrap() {
            let until = heartbeat.valid_until.map(|time| (time.seconds, time.nanos));
            assert!(until > last, "{until:?} is not later than {last:?}");
            last = until;
            heartbeats += 1;
        }
    }
}

#[both]
async fn it_ends_with_the_key_that_opened_it(t: Arc<Test>) {
    let ada = t.user("ada").await;
    let (key, opener) = t.key(Owner::UserId(ada.id.clone()), &["*"]).await;
    let mut stream = Stream::open(&t.with_key(&opener)).await.unwrap();
    assert_eq!(stream.verdict(&opener).await, Verdict::Valid);
    let revoke = pb::RevokeApiKeyRequest { api_key_id: key.id.clone(), ..Default::default() };
    t.admin().api_keys().revoke_api_key(revoke).await.unwrap();
    assert_eq!(reason_of(&stream.end().await), "UNAUTHENTICATED");
}

#[both]
async fn answers_to_a_user_end_with_the_users_role(t: Arc<Test>) {
    let (ada, bob) = (t.user("ada").await, t.user("bob").await);
    let acme = t.organization(&ada).await;
    let (key, good) = t.key(Owner::OrganizationId(acme.id.clone()), &["*"]).await;
    let membership = t.member(&bob, &acme, "admin").await;
    let mut stream = Stream::open(&t.with_key(&t.user_key(&bob).await)).await.unwrap();
    assert_eq!(stream.verdict(&good).await, Verdict::Valid);
    let demote = pb::UpdateMembershipRequest {
        membership_id: membership.id,
        role: "member".to_owned(),
        update_mask: crate::support::mask(&["role"]),
        ..Default::default()
    };
    t.admin().memberships().update_membership(demote).await.unwrap();
    stream.withdrawn(&key.id).await;
    assert_eq!(stream.verdict(&good).await, Verdict::Unknown);
}

#[both]
async fn it_ends_when_the_questions_have_ended_and_are_answered(t: Arc<Test>) {
    let stream = Stream::open(&t.admin()).await.unwrap();
    for id in 0..50 {
        stream.ask(id, &t.admin_key, "").await;
    }
    let Stream { questions, mut messages } = stream;
    drop(questions);
    let mut answers = 0;
    while let Some(message) = messages.message().await.unwrap() {
        answers += usize::from(matches!(message.kind, Some(Kind::Answer(_))));
    }
    assert_eq!(answers, 50);
}

#[both(options = ["--max-streams", "1"])]
async fn streams_beyond_the_limit_are_refused_and_a_closed_one_makes_room(t: Arc<Test>) {
    let stream = Stream::open(&t.admin()).await.unwrap();
    refused(Stream::open(&t.admin()).await.map(|_| ()), ErrorReason::StreamLimitReached);
    drop(stream);
    while Stream::open(&t.admin()).await.is_err() {}
}

#[both]
async fn it_stops_with_the_server(t: Arc<Test>) {
    let mut stream = Stream::open(&t.admin()).await.unwrap();
    assert_eq!(stream.verdict(&t.admin_key).await, Verdict::Valid);
    let server = t.server.lock().await.take().unwrap();
    let (stopped, end) = tokio::join!(server.stop(), stream.end());
    stopped.unwrap();
    assert_eq!(end.code(), tonic::Code::Unavailable);
}
