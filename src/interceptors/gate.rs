//! Checks every call before its work begins. In this order: its message has arrived, the caller is known and within its rate, its owner's
//! share of the places is not used up, and a place is free.
//!
//! A client that has sent nothing holds nothing: a call whose message has not arrived waits for it without a place, for a short time, and
//! each caller may have only few of those. A client that reads nothing holds nothing: the place is released when the answer has been built,
//! and only its bytes remain, which have their own budget.

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
    Authenticate, Intercept as _, Layer, Next, RateLimit, Received,
    access::{self, Access, Method},
    answer::{AgeLimited, WithGuard, counted},
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
        RequestBody,
        answers::{Answers, HeldBytes, Holder},
    },
};

/// Maximum calls per peer without a credential that run or whose answer is not fully sent.
const OF_A_PEER: usize = 16;
/// Maximum calls per peer without a credential that wait for their message. They hold no place and little memory for a short time. The
/// number is large so that incomplete calls from an address do not cause health probes from the same address to be refused.
const WAITING_OF_A_PEER: usize = 1024;
/// Maximum time for the message of a call without a credential to arrive.
const PUBLIC_BODY_TIMEOUT: Duration = Duration::from_secs(1);
/// The two health methods.
const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// Admits calls.
pub struct Gate {
    /// The places.
    pub overload: Overload,
    /// Finds the caller.
    pub authenticate: Authenticate,
    /// Limits the rate.
    pub rates: RateLimit,
    /// Usage per owner.
    pub shares: Shares,
    /// The budget for answer bytes.
    pub answers: Answers,
    /// The limits.
    pub limits: Limits,
}

/// The limits of a [`Gate`].
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum size of a request message.
    pub max_request_size: usize,
    /// Maximum time between a call's headers and the end of its message.
    pub body_timeout: Duration,
    /// Maximum age of a stream without a credential.
    pub public_stream_age: Duration,
}

impl Layer for Gate {
    async fn wrap<N: Next>(&self, request: Received, next: N) -> Response<Body> {
        self.pass(request, next).await.unwrap_or_else(|error| Status::from(error).into_http())
    }
}

impl Gate {
    async fn pass<N: Next>(&self, request: Received, next: N) -> Result<Response<Body>> {
        let Received { mut head, body } = request;
        let method = Arc::clone(access::method(&head)?);
        if method.access == Access::Public {
            return Box::pin(self.pass_public(&method, Received { head, body }, next)).await;
        }
        let (mut body, is_there) = RequestInput::begin(&method, body, self.limits.max_request_size).await?;
        self.overload.has_place(method.priority)?;
        let share = self.identify(&method, &mut head).await?;
        self.rates.before(&mut head).await?;
        let is_exempt = head.extensions.get::<Caller>().is_some_and(Caller::is_platform_admin);
        let holder = Holder { share: &share, is_exempt };
        self.answers.has_room(holder)?;
        let mut reserved = if is_there { self.turn_now(&method, holder, &body) } else { None };
        if !is_there || (method.bulk.is_some() && reserved.is_none()) {
            reserved = Box::pin(self.wait(&method, holder, &mut body, is_there)).await?;
        }
        let _part = self.part(&method, holder)?;
        let _place = self.overload.place(method.priority)?;
        let response = next.call(Received { head, body: body.into_body() }).await;
        if method.is_stream {
            return Ok(response);
        }
        // Changes are always acknowledged, however much is held; reads can safely be refused.
        let may_be_refused = matches!(method.priority, Priority::Verify | Priority::Read);
        counted(response, &self.answers, holder, reserved, may_be_refused).await
    }

    /// The share of the caller. The call holds no place while its credential is looked up, so that an owner who calls with many
    /// uncached keys at once takes no place from others.
    async fn identify(&self, method: &Method, parts: &mut Parts) -> Result<Arc<Share>> {
        let address = peer_address(parts);
        let mut caller = pin!(self.authenticate.identify(parts));
        if let Poll::Ready(share) = poll_fn(|cx| Poll::Ready(caller.as_mut().poll(cx))).await {
            return share;
        }
        let _lookup = self.overload.lookup(&self.shares.of_peer(address), method.priority)?;
        caller.await
    }

    /// The owner's share of the places, a quarter, so that no owner can take them all.
    fn part<'a>(&self, method: &Method, holder: Holder<'a>) -> Result<Option<Used<&'a Share>>> {
        if holder.is_exempt {
            return Ok(None);
        }
        let part = holder.share.borrow(Use::Calls, self.overload.most_of_owner(method.priority));
        part.map(Some).ok_or_else(|| self.overload.refuse(method.priority))
    }

    /// Permission to build a large answer, if the call need not wait for it.
    fn turn_now(&self, method: &Method, holder: Holder<'_>, body: &RequestInput) -> Option<HeldBytes> {
        let RequestInput::Message(message) = body else { return None };
        method.bulk.and_then(|bulk| self.answers.turn_now(holder, bulk.estimate(message.content())))
    }

    /// Waits without a place for a call's message and then, if it requests much at once, for permission to build the answer.
    async fn wait(
        &self,
        method: &Method,
        holder: Holder<'_>,
        body: &mut RequestInput,
        is_there: bool,
    ) -> Result<Option<HeldBytes>> {
        let most = self.overload.most_waiting(holder.is_exempt);
        let waits = holder.share.take(Use::Waiting, most).ok_or_else(|| self.overload.refuse(method.priority))?;
        let RequestInput::Message(message) = body else { return Ok(None) };
        if !is_there {
            let received = tokio::time::timeout(self.limits.body_timeout, async {
                message.header().await?;
                let bytes = message.declared().unwrap_or_default();
                let room = self.answers.room(holder, bytes)?;
                message.whole().await.map(|()| room)
            });
            // The bytes are counted while they arrive, so that there is memory for them.
            received.await.map_err(|_| Error::RequestTooSlow)??;
        }
        let turn = match method.bulk {
            Some(bulk) => Some(self.answers.turn(holder, bulk.estimate(message.content())).await?),
            None => None,
        };
        drop(waits);
        Ok(turn)
    }

    /// Admits a call without a credential. What it holds is counted for its peer alone, so that peers do not affect each other.
    async fn pass_public<N: Next>(
        &self,
        method: &Method,
        Received { head, body }: Received,
        next: N,
    ) -> Result<Response<Body>> {
        let peer = self.shares.of_peer(peer_address(&head));
        let (mut body, is_there) = RequestInput::begin(method, body, self.limits.max_request_size).await?;
        if let (RequestInput::Message(message), false) = (&mut body, is_there) {
            let _waits =
                peer.take(Use::Waiting, WAITING_OF_A_PEER).ok_or_else(|| self.overload.refuse(method.priority))?;
            let received = tokio::time::timeout(PUBLIC_BODY_TIMEOUT, message.whole());
            received.await.map_err(|_| Error::RequestTooSlow)??;
        }
        if method.is_stream {
            let place = self.overload.public_stream(&peer, method.path == WATCH)?;
            let response = next.call(Received { head, body: body.into_body() }).await;
            let age = self.limits.public_stream_age;
            return Ok(response.map(|body| Body::new(AgeLimited::new(body, age, place))));
        }
        let keeps = peer.take(Use::Calls, OF_A_PEER);
        if keeps.is_none() && !body.asks_for_liveness(method) {
            return Err(self.overload.refuse(method.priority));
        }
        let response = next.call(Received { head, body: body.into_body() }).await;
        Ok(response.map(|body| Body::new(WithGuard { body, _keeps: keeps })))
    }
}

/// The address that a call comes from.
fn peer_address(parts: &Parts) -> IpAddr {
    remote_address(parts).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// The body of a call: a stream of messages, or a single message that is read first.
enum RequestInput {
    Stream(RequestBody),
    Message(Message),
}

impl RequestInput {
    /// Starts to read the message. Also returns true if there is nothing to wait for.
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

    /// True for a liveness check, which is answered however busy the process is.
    fn asks_for_liveness(&self, method: &Method) -> bool {
        let Self::Message(message) = self else { return false };
        method.path == CHECK
            && HealthCheckRequest::decode(message.content()).is_ok_and(|request| request.service == LIVENESS)
    }
}
