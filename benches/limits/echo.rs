//! A bare tonic server that answers each call with the requested number of bytes.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use http::Request as HttpRequest;
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{BoxFuture, Service},
    server::{Grpc, NamedService, UnaryService},
    transport::server::TcpIncoming,
};
use tonic_prost::ProstCodec;

/// The only method.
pub const PATH: &str = "/bench.Echo/Echo";

/// Request and response.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Payload {
    /// Requested size of the answer in bytes.
    #[prost(uint32, tag = "1")]
    pub answer: u32,
    /// Padding.
    #[prost(bytes = "vec", tag = "2")]
    pub bytes: Vec<u8>,
}

/// The service, equivalent to generated code.
#[derive(Clone, Copy)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "bench.Echo";
}

impl Service<HttpRequest<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest<Body>) -> Self::Future {
        let service = *self;
        Box::pin(async move { Ok(Grpc::new(ProstCodec::default()).unary(service, request).await) })
    }
}

impl UnaryService<Payload> for Echo {
    type Response = Payload;
    type Future = BoxFuture<Response<Payload>, Status>;

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        Box::pin(async move {
            let asked = request.into_inner();
            let bytes = vec![7; usize::try_from(asked.answer).unwrap_or(0)];
            Ok(Response::new(Payload { answer: 0, bytes }))
        })
    }
}

/// Prints its address and serves until the process is killed.
pub async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    tonic::transport::Server::builder().add_service(Echo).serve_with_incoming(incoming).await?;
    Ok(())
}
