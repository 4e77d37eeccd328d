//! Calls at the level of HTTP/2: with the h2 client, and frame by frame for what h2 refuses to send.

use std::{net::SocketAddr, time::Duration};

use h2::client::{ResponseFuture, SendRequest};
use prost::Message;
use prost::bytes::{BufMut as _, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::{Code, Status};

use super::Test;

/// An HTTP/2 connection.
#[derive(Clone)]
pub struct Connection {
    pub requests: SendRequest<Bytes>,
    pub key: String,
}

impl Connection {
    pub async fn open(t: &Test) -> Self {
        Self::to(t.address, &t.admin_key).await
    }

    pub async fn to(address: SocketAddr, key: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (requests, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self { requests, key: key.to_owned() }
    }

    /// Sends any request with any body. Returns the HTTP status and the gRPC status.
    pub async fn send(&self, request: http::Request<()>, body: &[u8]) -> Result<(u16, Option<Status>), h2::Error> {
        let mut requests = self.requests.clone().ready().await?;
        let (response, mut sends) = requests.send_request(request, false)?;
        sends.send_data(Bytes::copy_from_slice(body), true)?;
        let (head, mut body) = response.await?.into_parts();
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
        }
        let trailers = body.trailers().await?.unwrap_or_else(|| head.headers.clone());
        Ok((head.status.as_u16(), Status::from_header_map(&trailers)))
    }

    /// A well-formed call of a path.
    pub fn request(&self, path: &str) -> http::request::Builder {
        http::Request::post(format!("http://test{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", format!("Bearer {}", self.key))
    }

    /// Starts a call. It has been sent when this returns.
    pub async fn begin(&self, path: &str, headers: &[(&str, &str)], message: &impl Message) -> ResponseFuture {
        let mut requests = self.requests.clone().ready().await.unwrap();
        let mut request = http::Request::post(format!("http://test{path}"))
            .header("content-type", "application/grpc")
            .header("authorization", format!("Bearer {}", self.key));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (response, mut body) = requests.send_request(request.body(()).unwrap(), false).unwrap();
        let mut frame = BytesMut::new();
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.encoded_len()).unwrap());
        message.encode(&mut frame).unwrap();
        body.send_data(frame.freeze(), true).unwrap();
        response
    }

    /// Calls and waits for the final status.
    pub async fn call(&self, path: &str, headers: &[(&str, &str)], message: &impl Message) -> Result<(), Status> {
        ended(self.begin(path, headers, message).await).await
    }
}

/// Waits for the final status of a call.
pub async fn ended(response: ResponseFuture) -> Result<(), Status> {
    let (head, mut body) = response.await.unwrap().into_parts();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    let trailers = body.trailers().await.unwrap().unwrap_or(head.headers);
    match Status::from_header_map(&trailers).unwrap() {
        status if status.code() == Code::Ok => Ok(()),
        status => Err(status),
    }
}

/// A message in its gRPC frame.
pub fn framed(message: &impl Message) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    let mut frame = vec![0];
    frame.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
    frame.extend(bytes);
    frame
}

/// A connection for raw frames.
pub struct Raw(pub TcpStream);

/// A frame (RFC 9113, 4.1).
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Raw {
    /// Connects and sends the preface with settings.
    pub async fn open(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut raw = Self(TcpStream::connect(address).await.unwrap());
        raw.0.write_all(PREFACE).await.unwrap();
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        raw.send(SETTINGS, 0, 0, &payload).await.unwrap();
        raw
    }

    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> std::io::Result<()> {
        self.0.write_all(&frame(kind, flags, stream, payload)).await
    }

    /// Sends only the headers of a call to a path, with additional ones.
    pub async fn call(&mut self, stream: u32, path: &str, more: &[(&str, &str)], flags: u8) -> std::io::Result<()> {
        let block = call_headers(path, more);
        self.send(HEADERS, END_HEADERS | flags, stream, &block).await
    }

    /// The next frame; `None` if the connection is closed.
    pub async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap()];
        self.0.read_exact(&mut payload).await.ok()?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes(stream) & 0x7fff_ffff, payload })
    }

    /// The next frame of one of the given kinds.
    pub async fn next_of(&mut self, kinds: &[u8]) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if kinds.contains(&frame.kind) {
                return Some(frame);
            }
        }
    }

    /// Waits until the server closes the connection. Returns the time it took.
    pub async fn closed(&mut self) -> Duration {
        let begun = std::time::Instant::now();
        while self.next().await.is_some() {}
        begun.elapsed()
    }
}

impl Frame {
    /// The error code of a RST_STREAM or GOAWAY frame.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The headers of a call.
pub fn call_headers(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let fixed = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "test"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    fixed.iter().chain(more).flat_map(|(name, value)| header(name, value)).collect()
}

/// A literal header, neither indexed nor compressed (RFC 7541, 6.2.2).
pub fn header(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        let mut length = text.len();
        if length < 127 {
            bytes.push(u8::try_from(length).unwrap());
        } else {
            bytes.push(127);
            length -= 127;
            while length >= 128 {
                bytes.push(u8::try_from(length % 128).unwrap() | 128);
                length /= 128;
            }
            bytes.push(u8::try_from(length).unwrap());
        }
        bytes.extend(text.as_bytes());
    }
    bytes
}
