//! What every call passes before its work begins. In this order: its message is there, its caller is known and has not called too
//! often, its owner has a part of the places left, and there is a place.
//!
//! Nothing is held by who has shown nothing: a call whose message has not come waits for it without a place, for a short time, and few
//! of one caller do. Nothing is held by who takes nothing: the place is given back when the answer is made, and what is left of the
//! call are bytes, which have a budget of their own.

use std::{
    future::poll_fn,
    net::{IpAddr, Ipv4Addr},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use http::{Response, request::Parts};
use prost::Message as _;
use tonic::{Status, body::Body};
use tonic_health::pb::HealthCheckRequest;

use super::{
    Around, Authenticate, Inner, Intercept as _, RateLimit,
    access::{self, Access, Method},
    answer::{Ages, Keeps, counted},
    audit::remote_address,
    message::Message,
};
use crate::{
    app::{
        admission::Overload,
        shares::{Share, Shares, Use, Used},
    },
    error::{Error, Result},
    grpc::handlers::LIVENESS,
    models::{Caller, Priority},
    transport::{
        Request, RequestBody,
        answers::{Answers, Held, Holder},
    },
};

/// Most calls of one peer without a credential that wait for their answer to be taken.
const OF_A_PEER: usize = 16;
/// Most calls of one peer without a credential that wait for their message. They hold no place, only a moment's memory: so many that half
/// calls from behind an address do not refuse the probes that come from behind it too.
const WAITING_OF_A_PEER: usize = 1024;
/// How long the message of a call without a credential may take.
const PUBLIC_BODY_TIMEOUT: Duration = Duration::from_secs(1);
/// The two health methods.
const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// Lets calls pass.
pub struct Gate {
    /// The places.
    pub overload: Overload,
    /// Who is calling.
    pub authenticate: Authenticate,
    /// How often.
    pub rates: RateLimit,
    /// What each uses.
    pub shares: Shares,
    /// The bytes of answers.
    pub answers: Answers,
    /// The settings.
    pub limits: Limits,
}

/// The bounds of a [`Gate`].
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest message of a request.
    pub max_request_size: usize,
    /// How long the message of a call may take to come after its headers.
    pub body_timeout: Duration,
    /// How long a stream without a credential lasts.
    pub public_stream_age: Duration,
}

impl Around for Gate {
    async fn around<I: Inner>(&self, request: Request, inner: I) -> Response<Body> {
        self.pass(request, inner).await.unwrap_or_else(|error| Status::from(error).into_http())
    }
}

impl Gate {
    async fn pass<I: Inner>(&self, request: Request, inner: I) -> Result<Response<Body>> {
        let (mut parts, body) = request.into_parts();
        let method = Arc::clone(access::method(&parts)?);
        if method.access == Access::Public {
            return Box::pin(self.pass_anybody(&method, parts, body, inner)).await;
        }
        let (mut body, is_there) = Awaited::begin(&method, body, self.limits.max_request_size).await?;
        self.overload.has_place(method.priority)?;
        let share = self.identify(&method, &mut parts).await?;
        self.rates.before(&mut parts).await?;
        let is_exempt = parts.extensions.get::<Caller>().is_some_and(Caller::is_platform_admin);
        let holder = Holder { share: &share, is_exempt };
        self.answers.has_room(holder)?;
        let mut reserved = None;
        if !is_there || method.bulk.is_some() {
            reserved = Box::pin(self.wait(&method, holder, &mut body, is_there)).await?;
        }
        let _part = self.part(&method, holder)?;
        let _place = self.overload.place(method.priority)?;
        let response = inner.call(Request::from_parts(parts, body.into_body())).await;
        if method.is_stream {
            return Ok(response);
        }
        // Changes are always acknowledged, however much is held; reads change nothing.
        let may_be_refused = matches!(method.priority, Priority::Verify | Priority::Read);
        counted(response, &self.answers, holder, reserved, may_be_refused).await
    }

    /// The share of the caller. No place is held while its credential is looked up: however many keys one owner calls with at once,
    /// they take places only once it is known whose they are.
    async fn identify(&self, method: &Method, parts: &mut Parts) -> Result<Arc<Share>> {
        let address = peer_address(parts);
        let mut caller = pin!(self.authenticate.identify(parts));
        if let Poll::Ready(share) = poll_fn(|cx| Poll::Ready(caller.as_mut().poll(cx))).await {
            return share;
        }
        let _lookup = self.overload.lookup(&self.shares.of_peer(address), method.priority)?;
        caller.await
    }

    /// The part of the places that one owner may have: a quarter, so that no owner takes them from others.
    fn part(&self, method: &Method, holder: Holder<'_>) -> Result<Option<Used>> {
        if holder.is_exempt {
            return Ok(None);
        }
        let part = holder.share.take(Use::Calls, self.overload.most_of_owner(method.priority));
        part.map(Some).ok_or_else(|| self.overload.refuse(method.priority))
    }

    /// Waits, without a place, for the message of a call, and then for its turn if it asks for much at once.
    async fn wait(
        &self,
        method: &Method,
        holder: Holder<'_>,
        body: &mut Awaited,
        is_there: bool,
    ) -> Result<Option<Held>> {
        let most = self.overload.most_waiting(holder.is_exempt);
        let waits = holder.share.take(Use::Waiting, most).ok_or_else(|| self.overload.refuse(method.priority))?;
        let Awaited::Message(message) = body else { return Ok(None) };
        if !is_there {
            let come = tokio::time::timeout(self.limits.body_timeout, async {
                message.header().await?;
                let bytes = message.declared().unwrap_or_default();
                let room = self.answers.room(holder, bytes)?;
                message.whole().await.map(|()| room)
            });
            // It is counted as long as it comes: then there is a place for it.
            come.await.map_err(|_| Error::RequestTooSlow)??;
        }
        let turn = match method.bulk {
            Some(bulk) => Some(self.answers.turn(holder, bulk.estimate(message.content())).await?),
            None => None,
        };
        drop(waits);
        Ok(turn)
    }

    /// Lets a call pass that takes no credential. What it holds is counted for its peer alone: no peer takes anything from another one.
    async fn pass_anybody<I: Inner>(
        &self,
        method: &Method,
        parts: Parts,
        body: RequestBody,
        inner: I,
    ) -> Result<Response<Body>> {
        let peer = self.shares.of_peer(peer_address(&parts));
        let (mut body, is_there) = Awaited::begin(method, body, self.limits.max_request_size).await?;
        if let (Awaited::Message(message), false) = (&mut body, is_there) {
            let _waits =
                peer.take(Use::Waiting, WAITING_OF_A_PEER).ok_or_else(|| self.overload.refuse(method.priority))?;
            let come = tokio::time::timeout(PUBLIC_BODY_TIMEOUT, message.whole());
            come.await.map_err(|_| Error::RequestTooSlow)??;
        }
        if method.is_stream {
            let place = self.overload.public_stream(&peer, method.path == WATCH)?;
            let response = inner.call(Request::from_parts(parts, body.into_body())).await;
            let age = self.limits.public_stream_age;
            return Ok(response.map(|body| Body::new(Ages::new(body, age, place))));
        }
        let keeps = peer.take(Use::Calls, OF_A_PEER);
        if keeps.is_none() && !body.asks_for_liveness(method) {
            return Err(self.overload.refuse(method.priority));
        }
        let response = inner.call(Request::from_parts(parts, body.into_body())).await;
        Ok(response.map(|body| Body::new(Keeps { body, _keeps: keeps })))
    }
}

/// The address that a call comes from.
fn peer_address(parts: &Parts) -> IpAddr {
    remote_address(parts).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// The body of a call: a stream of messages, or the one message that is gathered first.
enum Awaited {
    Stream(RequestBody),
    Message(Message),
}

impl Awaited {
    /// Begins to gather the message, and tells whether nothing has to be waited for.
    async fn begin(method: &Method, body: RequestBody, max: usize) -> Result<(Self, bool)> {
        if method.takes_stream {
            return Ok((Self::Stream(body), true));
        }
        let mut message = Message::new(body, max);
        let is_there = message.is_there().await?;
        Ok((Self::Message(message), is_there))
    }

    fn into_body(self) -> RequestBody {
        match self {
            Self::Stream(body) => body,
            Self::Message(message) => message.into_body(),
        }
    }

    /// Whether somebody asks if the process is there: it is, however much it has to do.
    fn asks_for_liveness(&self, method: &Method) -> bool {
        let Self::Message(message) = self else { return false };
        method.path == CHECK
            && HealthCheckRequest::decode(message.content()).is_ok_and(|request| request.service == LIVENESS)
    }
}
