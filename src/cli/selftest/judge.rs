//! What an answer says about the walls.

use prost_reflect::{DynamicMessage, Kind, MethodDescriptor, Value};
use tonic::{Code, Status};

use super::{
    callers::{Caller, Callers, Power},
    client::{Client, Rule},
    report::Row,
    request::Variants,
    world::{World, make_user_key},
};

/// How often two calls are made whose answers differ, before they do: one may have met an overload.
const ATTEMPTS: usize = 3;

/// What became of a call.
type Outcome = Result<DynamicMessage, Status>;

/// Calls a method as everybody, about what is the foreign tenant's, whose state is told, and about what does not exist.
pub(super) async fn outside(
    client: &Client,
    method: &MethodDescriptor,
    variants: &Variants,
    (own, foreign): (&World, &World),
    callers: &Callers,
    state: &mut Vec<Vec<u8>>,
    row: &mut Row,
) -> Result<(), String> {
    if variants.name_nothing() {
        // Nothing to cross with: it must only not be open to those who have no key.
        for caller in callers.0.iter().filter(|caller| caller.power == Power::Nothing) {
            for way in 0..variants.ways() {
                let request = variants.own(way, own);
                let outcome = client.call(method, caller.key.as_ref(), &request).await;
                row.calls += 1;
                is_as_far_as(caller, &outcome, row);
            }
        }
    }
    let (named, missing) = (foreign.as_named_from_outside(&client.secrets), World::missing(&client.secrets));
    for variant in variants.all() {
        let of_foreign = variants.request(variant, own, &named);
        let of_missing = variants.request(variant, own, &missing);
        for caller in &callers.0 {
            let mut found = Compared::NoAnswer;
            for _ in 0..ATTEMPTS {
                let key = caller.key.as_ref();
                let (a, b) = tokio::join!(client.call(method, key, &of_foreign), client.call(method, key, &of_missing));
                row.calls += 2;
                tells_nothing(caller, &a, &of_foreign, &named, row);
                found = match (is_an_answer(&a) && is_an_answer(&b), told(&a, &named, own) == told(&b, &missing, own)) {
                    (false, _) => Compared::NoAnswer,
                    (true, false) => Compared::Different,
                    (true, true) => Compared::Alike,
                };
                if found == Compared::Alike {
                    is_as_far_as(caller, &a, row);
                    row.outside(caller.kind, &a);
                    break;
                }
            }
            match found {
                Compared::Alike => {}
                Compared::Different => {
                    row.leak(format!("{} learns whether a thing of another tenant exists ({variant:?})", caller.kind));
                }
                Compared::NoAnswer => row.untested(format!("{} gets no answer ({variant:?})", caller.kind)),
            }
        }
    }
    let before = std::mem::replace(state, foreign.state(client).await?);
    if *state != before {
        row.leak("something of the foreign tenant was changed".to_owned());
    }
    Ok(())
}

/// Calls a method about the caller's own things: refused as what is foreign is, it would prove nothing. What changes something is called
/// in a world of its own each time.
pub(super) async fn own(
    client: &Client,
    method: &MethodDescriptor,
    variants: &Variants,
    own: &World,
    row: &mut Row,
) -> Result<(), String> {
    let changes = method.input().get_field_by_name("request_id").is_some();
    for way in 0..variants.ways() {
        let fresh = if changes { Some(World::make(client, "to be changed").await?) } else { None };
        let world = fresh.as_ref().unwrap_or(own);
        let request = variants.own(way, world);
        // A key of its own: a method may end the one that it is called with.
        let key = make_user_key(client, &world.user_id).await.map_err(|status| status.message().to_owned())?;
        let mut outcome = client.call(method, Some(&key), &request).await;
        row.calls += 1;
        if !reaches(&outcome) && row.rule != Rule::AnyKey {
            outcome = client.call(method, Some(&client.admin), &request).await;
            row.calls += 1;
        }
        row.own(&outcome);
        // Health and reflection want other requests than these, and answer whoever asks.
        if let Err(status) = outcome.as_ref()
            && !reaches(&outcome)
            && row.rule != Rule::Public
        {
            row.untested(format!("its own things are not reached either: {:?}, {}", status.code(), status.message()));
        }
    }
    Ok(())
}

/// How what is foreign and what is missing are answered.
#[derive(PartialEq, Eq)]
enum Compared {
    Alike,
    Different,
    /// One of them is not: the service is overloaded, or has a fault.
    NoAnswer,
}

/// True unless the service could not answer.
fn is_an_answer(outcome: &Outcome) -> bool {
    use Code as C;
    let code = outcome.as_ref().err().map(Status::code);
    !matches!(
        code,
        Some(
            C::Unavailable
                | C::ResourceExhausted
                | C::DeadlineExceeded
                | C::Internal
                | C::Unknown
                | C::DataLoss
                | C::Cancelled
        )
    )
}

/// True if a call came so far that it found what it is about.
fn reaches(outcome: &Outcome) -> bool {
    match outcome {
        Ok(_) => true,
        Err(status) => matches!(status.code(), Code::FailedPrecondition | Code::AlreadyExists | Code::Aborted),
    }
}

/// Notes a caller that came farther than its credential lets it.
fn is_as_far_as(caller: &Caller, outcome: &Outcome, row: &mut Row) {
    let code = outcome.as_ref().err().map(Status::code);
    let expected = match (caller.power, row.rule) {
        (Power::Nothing, Rule::AnyKey | Rule::Scope) => Code::Unauthenticated,
        (Power::NoScope, Rule::Scope) => Code::PermissionDenied,
        _ => return,
    };
    if code != Some(expected) {
        row.leak(format!("{} is not refused with {expected:?}, but answered {code:?}", caller.kind));
    }
}

/// Notes what an answer tells of the foreign tenant beyond what was asked with.
fn tells_nothing(caller: &Caller, outcome: &Outcome, asked: &DynamicMessage, foreign: &World, row: &mut Row) {
    let asked = format!("{asked:?}");
    let said = match outcome {
        Ok(answer) => format!("{answer:?}"),
        Err(status) => format!("{} {}", status.message(), String::from_utf8_lossy(status.details())),
    };
    let names = foreign.names();
    if names.iter().any(|name| said.contains(name) && !asked.contains(name)) {
        row.leak(format!("{} is told something of another tenant", caller.kind));
    }
}

/// What an answer says, whatever things it was asked about and whenever.
fn told(outcome: &Outcome, other: &World, own: &World) -> String {
    let mut said = match outcome {
        Ok(answer) => {
            let mut answer = answer.clone();
            without_times(&mut answer);
            format!("{answer:?}")
        }
        Err(status) => format!("{:?} {} {:?}", status.code(), status.message(), status.details()),
    };
    // Only of what was asked with can an answer tell: whatever else it has of a world differs, and is told of.
    for (at, (name, of_own)) in other.names().into_iter().zip(own.names()).enumerate() {
        if !name.is_empty() && name != of_own {
            said = said.replace(name, &format!("<{at}>"));
        }
    }
    said
}

/// Takes the times out of a message.
fn without_times(message: &mut DynamicMessage) {
    let fields: Vec<_> = message.fields().map(|(field, _)| field).collect();
    for field in fields {
        match field.kind() {
            Kind::Message(of) if of.full_name() == "google.protobuf.Timestamp" => message.clear_field(&field),
            Kind::Message(_) => match message.get_field_mut(&field) {
                Value::Message(inner) => without_times(inner),
                Value::List(items) => items.iter_mut().for_each(|item| {
                    if let Value::Message(inner) = item {
                        without_times(inner);
                    }
                }),
                _ => {}
            },
            _ => {}
        }
    }
}
