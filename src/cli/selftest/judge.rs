//! Judges from the answers whether the tenants are isolated.

use prost_reflect::{DynamicMessage, Kind, MethodDescriptor, Value};
use tonic::{Code, Status};

use super::{
    callers::{Caller, Callers, Power},
    client::{Client, Rule},
    report::Row,
    request::Variants,
    world::{World, make_user_key},
};

/// How often a pair of calls is repeated while the answers differ: one of them may have met an overload.
const ATTEMPTS: usize = 3;

/// The outcome of a call.
type Outcome = Result<DynamicMessage, Status>;

/// Calls a method as every caller, with ids of the foreign tenant and with ids that do not exist. `state` is the last known state of the
/// foreign tenant, which must not change.
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
        // Without ids, only one check applies: callers without a valid key are refused.
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
                found = match (
                    is_an_answer(&a) && is_an_answer(&b),
                    rendered(&a, &named, own) == rendered(&b, &missing, own),
                ) {
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
                    row.leak(format!("{} can tell if another tenant's resource exists ({variant:?})", caller.kind));
                }
                Compared::NoAnswer => row.untested(format!("{} gets no answer ({variant:?})", caller.kind)),
            }
        }
    }
    let before = std::mem::replace(state, foreign.state(client).await?);
    if *state != before {
        row.leak("data of the foreign tenant was changed".to_owned());
    }
    Ok(())
}

/// Calls a method with the caller's own ids: if it refused those as well, the refusal of foreign ids would prove nothing. A method that
/// changes data gets a new world for each call.
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
        // A new key each time: the method may revoke the key that it is called with.
        let key = make_user_key(client, &world.user_id).await.map_err(|status| status.message().to_owned())?;
        let mut outcome = client.call(method, Some(&key), &request).await;
        row.calls += 1;
        if !reaches(&outcome) && row.rule != Rule::AnyKey {
            outcome = client.call(method, Some(&client.admin), &request).await;
            row.calls += 1;
        }
        row.own(&outcome);
        // Public methods (health, reflection) need other requests, and answer any caller.
        if let Err(status) = outcome.as_ref()
            && !reaches(&outcome)
            && row.rule != Rule::Public
        {
            row.untested(format!("its own resources are refused too: {:?}, {}", status.code(), status.message()));
        }
    }
    Ok(())
}

/// Comparison of the answers for foreign and for missing ids.
#[derive(PartialEq, Eq)]
enum Compared {
    Alike,
    Different,
    /// At least one call got no answer: the service is overloaded or failed.
    NoAnswer,
}

/// False if the service failed to answer.
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

/// True if the call got far enough to find the resource that it names.
fn reaches(outcome: &Outcome) -> bool {
    match outcome {
        Ok(_) => true,
        Err(status) => matches!(status.code(), Code::FailedPrecondition | Code::AlreadyExists | Code::Aborted),
    }
}

/// Reports a leak if the caller got further than its credential permits.
fn is_as_far_as(caller: &Caller, outcome: &Outcome, row: &mut Row) {
    let code = outcome.as_ref().err().map(Status::code);
    let expected = match (caller.power, row.rule) {
        (Power::Nothing, Rule::AnyKey | Rule::Scope) => Code::Unauthenticated,
        (Power::NoScope, Rule::Scope) => Code::PermissionDenied,
        _ => return,
    };
    if code != Some(expected) {
        row.leak(format!("{} should be refused with {expected:?}, got {code:?}", caller.kind));
    }
}

/// Reports a leak if the answer names anything of the foreign tenant that the request did not.
fn tells_nothing(caller: &Caller, outcome: &Outcome, asked: &DynamicMessage, foreign: &World, row: &mut Row) {
    let asked = format!("{asked:?}");
    let said = match outcome {
        Ok(answer) => format!("{answer:?}"),
        Err(status) => format!("{} {}", status.message(), String::from_utf8_lossy(status.details())),
    };
    let names = foreign.names();
    if names.iter().any(|name| said.contains(name) && !asked.contains(name)) {
        row.leak(format!("{} receives data of another tenant", caller.kind));
    }
}

/// Renders an answer without times, and with the names of the request's world replaced by placeholders.
fn rendered(outcome: &Outcome, other: &World, own: &World) -> String {
    let mut said = match outcome {
        Ok(answer) => {
            let mut answer = answer.clone();
            without_times(&mut answer);
            format!("{answer:?}")
        }
        Err(status) => format!("{:?} {} {:?}", status.code(), status.message(), status.details()),
    };
    // Only names that differ from the caller's own world are replaced: anything else that differs is a leak.
    for (at, (name, of_own)) in other.names().into_iter().zip(own.names()).enumerate() {
        if !name.is_empty() && name != of_own {
            said = said.replace(name, &format!("<{at}>"));
        }
    }
    said
}

/// Clears all timestamps in a message.
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
