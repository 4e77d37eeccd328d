//! Refuses calls beyond as many as the server takes at once, before they cost anything: so that those that it takes are answered
//! as fast as ever, however many are sent. What others wait for is taken last of all to be refused.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use http::Response;
use hyper::body::{Body as HttpBody, Frame};
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use prost::bytes::Bytes;
use tonic::{Status, body::Body};

use super::{
    Around, Inner,
    access::{self, Access, Priority},
};
use crate::{error::Error, transport::Request};

/// The share of all places, in sixteenths, up to which calls of a priority are taken. What comes first has always room that what comes
/// after it cannot take.
fn share(priority: Priority) -> usize {
    match priority {
        Priority::Verify => 16,
        Priority::Refresh => 15,
        Priority::Read => 14,
        Priority::Write => 12,
        Priority::SignIn => 8,
        Priority::Import => 4,
    }
}

/// Bounds the calls in flight. A stream is one until it has begun; health and reflection have as many places of their own.
#[derive(Clone)]
pub struct Overload(Arc<Places>);

struct Places {
    in_flight: AtomicUsize,
    of_the_public: AtomicUsize,
    /// Streams that anybody may open: as many as other streams.
    public_streams: AtomicUsize,
    max: usize,
    max_streams: usize,
    shown: Gauge,
    refused: Family<[(&'static str, &'static str); 1], Counter>,
}

impl Overload {
    /// Takes up to `max` calls, and so many streams of anybody.
    pub fn new(max: usize, max_streams: usize) -> Self {
        Self(Arc::new(Places {
            in_flight: AtomicUsize::new(0),
            of_the_public: AtomicUsize::new(0),
            public_streams: AtomicUsize::new(0),
            max,
            max_streams,
            shown: Gauge::default(),
            refused: Family::default(),
        }))
    }

    /// Makes what it counts known.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("calls_in_flight", "Calls that are being answered", self.0.shown.clone());
        let help = "Calls that were refused because the server had as many as it takes, by their priority";
        registry.register("calls_shed", help, self.0.refused.clone());
    }

    /// Shows how many calls are in flight at this moment.
    pub fn observe(&self) {
        let in_flight = self.0.in_flight.load(Ordering::Relaxed);
        self.0.shown.set(i64::try_from(in_flight).unwrap_or(i64::MAX));
    }

    /// A place for work of a priority, if there is one.
    pub fn place(&self, priority: Priority) -> Option<Place<'_>> {
        let most = (self.0.max * share(priority) / 16).max(1);
        let place = take(&self.0.in_flight, most);
        if place.is_none() {
            self.0.refused.get_or_create(&[("priority", priority.name())]).inc();
        }
        place
    }
}

/// Takes one of so many places.
fn take(places: &AtomicUsize, most: usize) -> Option<Place<'_>> {
    let before = places.fetch_add(1, Ordering::Relaxed);
    let place = Place(places);
    (before < most).then_some(place)
}

/// A call in flight, until it is dropped.
pub struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream of anybody, until it is dropped.
struct PublicStream(Arc<Places>);

impl PublicStream {
    fn open(places: &Arc<Places>) -> Option<Self> {
        let before = places.public_streams.fetch_add(1, Ordering::Relaxed);
        let stream = Self(Arc::clone(places));
        (before < places.max_streams).then_some(stream)
    }
}

impl Drop for PublicStream {
    fn drop(&mut self) {
        self.0.public_streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of a stream, which keeps its place.
struct Held {
    body: Body,
    _place: PublicStream,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

impl Around for Overload {
    async fn around<I: Inner>(&self, request: Request, inner: I) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let place = match access::method(&parts) {
            Ok(method) if method.access == Access::Public && method.is_stream => {
                let Some(place) = PublicStream::open(&self.0) else {
                    return Status::from(Error::StreamLimitReached).into_http();
                };
                let response = inner.call(Request::from_parts(parts, body)).await;
                return response.map(|body| Body::new(Held { body, _place: place }));
            }
            Ok(method) if method.access == Access::Public => take(&self.0.of_the_public, self.0.max),
            Ok(method) => self.place(method.priority),
            Err(error) => return Status::from(error).into_http(),
        };
        match place {
            Some(_place) => inner.call(Request::from_parts(parts, body)).await,
            None => Status::from(Error::Overloaded).into_http(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_last_is_refused_first_and_what_comes_first_last() {
        let overload = Overload::new(128, 1);
        let mut held = Vec::new();
        let mut refused = Vec::new();
        while refused.len() < Priority::ALL.len() {
            for priority in Priority::ALL.into_iter().rev() {
                if !refused.contains(&priority) && overload.place(priority).is_none() {
                    refused.push(priority);
                }
            }
            held.extend(overload.place(Priority::Verify));
        }
        let last_first: Vec<Priority> = Priority::ALL.into_iter().rev().collect();
        assert_eq!(refused, last_first);
        assert_eq!(held.len(), 128, "what was refused has taken no place");
    }

    #[test]
    fn every_priority_has_a_place_on_the_smallest_server() {
        let overload = Overload::new(1, 1);
        for priority in Priority::ALL {
            assert!(overload.place(priority).is_some(), "{priority:?}");
        }
    }
}
