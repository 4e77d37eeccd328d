//! An HTTP/2 client that is cheaper than any server: one thread and one blocking socket per connection, static header blocks, and
//! responses parsed only as far as needed to find their message and their end.

use std::{
    collections::VecDeque,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// The largest flow-control window.
const MAX_WINDOW: u32 = (1 << 31) - 1;
/// Number of received bytes after which the connection's window is updated.
const REFILL: u32 = 1 << 28;
/// Read timeout.
const SILENCE: Duration = Duration::from_secs(20);
/// Delay before a refused call is repeated: the server's RetryInfo.
const REST: Duration = Duration::from_millis(200);
/// Read timeout while refused calls wait for their retry.
const LOOK: Duration = Duration::from_millis(5);

/// The requests of a connection, and what it does with the answers. A slot is one of the calls in flight.
pub trait Script: Send {
    /// The method path of the next call in a slot.
    fn path(&self, slot: usize) -> &str;

    /// Writes the message of the next request in a slot.
    fn request(&mut self, slot: usize, message: &mut Vec<u8>);

    /// True once there are no more requests.
    fn is_over(&self) -> bool {
        false
    }

    /// Handles the message of an answer; empty if the call was refused.
    fn answer(&mut self, slot: usize, message: &[u8]) {
        let _ = (slot, message);
    }
}

/// Results of calls.
#[derive(Default)]
pub struct Seen {
    /// Latency of each answered call, in microseconds.
    pub micros: Vec<u32>,
    /// Number of refused calls.
    pub refused: u64,
}

impl Seen {
    /// Adds the results of another connection.
    pub fn add(&mut self, other: Self) {
        self.micros.extend(other.micros);
        self.refused += other.refused;
    }
}

/// A connection.
pub struct Connection {
    socket: TcpStream,
    /// Bytes to send.
    out: Vec<u8>,
    /// Bytes received and not yet parsed.
    received: Vec<u8>,
    next_stream: u32,
    /// Bytes received since the last window update.
    since_refill: u32,
    authorization: Option<String>,
    authority: String,
    is_first: bool,
}

impl Connection {
    /// Connects, optionally with an API key.
    pub fn open(address: SocketAddr, key: Option<&str>) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(SILENCE))?;
        let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        // SETTINGS_INITIAL_WINDOW_SIZE: no answer waits for flow control.
        let mut settings = vec![0, 4];
        settings.extend(MAX_WINDOW.to_be_bytes());
        frame(&mut out, SETTINGS, 0, 0, &settings);
        frame(&mut out, WINDOW_UPDATE, 0, 0, &(MAX_WINDOW - 65_535).to_be_bytes());
        Ok(Self {
            socket,
            out,
            received: Vec::with_capacity(1 << 17),
            next_stream: 1,
            since_refill: 0,
            authorization: key.map(|key| format!("Bearer {key}")),
            authority: address.to_string(),
            is_first: true,
        })
    }

    /// Keeps `in_flight` calls in flight until `until`. Returns the results of those answered after `from`.
    pub fn run(
        &mut self,
        script: &mut dyn Script,
        in_flight: usize,
        from: Instant,
        until: Instant,
    ) -> io::Result<Seen> {
        let mut seen = Seen::default();
        let mut flying = Flying::default();
        let mut message = Vec::new();
        for slot in 0..in_flight {
            self.call(script, slot, &mut flying, &mut message);
        }
        let mut resting: VecDeque<(Instant, usize)> = VecDeque::new();
        while !flying.0.is_empty() || !resting.is_empty() {
            self.socket.write_all(&self.out)?;
            self.out.clear();
            self.socket.set_read_timeout(Some(if resting.is_empty() { SILENCE } else { LOOK }))?;
            let ended = match self.receive(&mut flying) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !resting.is_empty() => Vec::new(),
                ended => ended?,
            };
            let now = Instant::now();
            while let Some((_, slot)) = resting.pop_front_if(|(until, _)| *until <= now) {
                if now < until && !script.is_over() {
                    self.call(script, slot, &mut flying, &mut message);
                }
            }
            for call in ended {
                script.answer(call.slot, &call.message);
                if call.message.is_empty() && !call.has_message {
                    seen.refused += u64::from(now >= from);
                    resting.push_back((now + REST, call.slot));
                    continue;
                }
                if now >= from {
                    let micros = now.duration_since(call.begun).as_micros();
                    seen.micros.push(u32::try_from(micros).unwrap_or(u32::MAX));
                }
                if now < until && !script.is_over() {
                    self.call(script, call.slot, &mut flying, &mut message);
                }
            }
        }
        Ok(seen)
    }

    /// Keeps `in_flight` questions in flight on one bidirectional stream. Returns how many were answered between `from` and `until`.
    pub fn stream(
        &mut self,
        script: &mut dyn Script,
        in_flight: u64,
        from: Instant,
        until: Instant,
    ) -> io::Result<u64> {
        let stream = self.next_stream;
        let headers = self.headers(script.path(0));
        frame(&mut self.out, HEADERS, END_HEADERS, stream, &headers);
        let mut question = Vec::new();
        ask(script, 0, &mut question);
        let (mut asked, mut answered, mut counted, mut answers) = (0, 0, 0, Vec::new());
        while Instant::now() < until {
            // Fill each frame up to the maximum size.
            let mut data = Vec::new();
            while asked < answered + in_flight && data.len() + question.len() <= 16_384 {
                data.extend_from_slice(&question);
                asked += 1;
            }
            if !data.is_empty() {
                frame(&mut self.out, DATA, 0, stream, &data);
            }
            self.socket.write_all(&self.out)?;
            self.out.clear();
            let mut flying = Flying(vec![Call { stream, slot: 0, begun: from, message: answers, has_message: false }]);
            if !self.receive(&mut flying)?.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            answers = flying.0.pop().map(|call| call.message).unwrap_or_default();
            let mut at = 0;
            while let Some(&[_, a, b, c, d, tag]) = answers.get(at..at + 6) {
                let length = u32::from_be_bytes([a, b, c, d]) as usize;
                if answers.len() < at + 5 + length {
                    break;
                }
                // Field 1 of VerifyStreamResponse: an answer, not a heartbeat.
                let is_answer = u64::from(tag == 0x0a);
                if answered == 0 && is_answer == 1 {
                    script.answer(0, &answers[at + 5..at + 5 + length]);
                }
                answered += is_answer;
                counted += if Instant::now() >= from { is_answer } else { 0 };
                at += 5 + length;
            }
            answers.drain(..at);
        }
        Ok(counted)
    }

    fn call(&mut self, script: &mut dyn Script, slot: usize, flying: &mut Flying, message: &mut Vec<u8>) {
        ask(script, slot, message);
        let stream = self.next_stream;
        self.next_stream += 2;
        let headers = self.headers(script.path(slot));
        frame(&mut self.out, HEADERS, END_HEADERS, stream, &headers);
        frame(&mut self.out, DATA, END_STREAM, stream, message);
        flying.0.push(Call { stream, slot, begun: Instant::now(), message: Vec::new(), has_message: false });
    }

    /// The header block of a request. The first request puts the constant headers into the peer's dynamic table.
    fn headers(&mut self, path: &str) -> Vec<u8> {
        // :method POST and :scheme http from the static table, :path as a literal.
        let mut block = vec![0x83, 0x86, 0x04];
        text(&mut block, path);
        let first = std::mem::take(&mut self.is_first);
        if first {
            block.push(0x40 | 1);
            text(&mut block, &self.authority);
            block.push(0x40 | 0x1f);
            text(&mut block, "application/grpc");
            block.push(0x40);
            text(&mut block, "te");
            text(&mut block, "trailers");
            if let Some(authorization) = &self.authorization {
                block.push(0x40 | 0x17);
                text(&mut block, authorization);
            }
        } else {
            let entries = if self.authorization.is_some() { 4 } else { 3 };
            block.extend((0..entries).rev().map(|at| 0x80 | (62 + at)));
        }
        block
    }

    /// Reads available frames and returns the calls that ended.
    fn receive(&mut self, flying: &mut Flying) -> io::Result<Vec<Call>> {
        let mut ended = Vec::new();
        let kept = self.received.len();
        self.received.resize(kept + (1 << 16), 0);
        let read = self.socket.read(&mut self.received[kept..]);
        self.received.truncate(kept + *read.as_ref().unwrap_or(&0));
        let read = read?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut at = 0;
        while let Some(head) = self.received.get(at..at + 9) {
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let Some(payload) = self.received.get(at + 9..at + 9 + length) else { break };
            match kind {
                DATA => {
                    self.since_refill += u32::try_from(length).unwrap_or(0);
                    if let Some(call) = flying.of(stream) {
                        call.has_message = true;
                        call.message.extend_from_slice(payload);
                    }
                }
                SETTINGS if flags & ACK == 0 => frame(&mut self.out, SETTINGS, ACK, 0, &[]),
                PING if flags & ACK == 0 => frame(&mut self.out, PING, ACK, 0, payload),
                RST_STREAM => ended.extend(flying.end(stream)),
                GOAWAY => return Err(io::ErrorKind::ConnectionAborted.into()),
                _ => {}
            }
            if (kind == DATA || kind == HEADERS) && flags & END_STREAM != 0 {
                ended.extend(flying.end(stream).map(|mut call| {
                    call.message.drain(..call.message.len().min(5));
                    call
                }));
            }
            at += 9 + length;
        }
        self.received.drain(..at);
        if self.since_refill > REFILL {
            frame(&mut self.out, WINDOW_UPDATE, 0, 0, &self.since_refill.to_be_bytes());
            self.since_refill = 0;
        }
        Ok(ended)
    }
}

/// A call in flight.
struct Call {
    stream: u32,
    slot: usize,
    begun: Instant,
    message: Vec<u8>,
    has_message: bool,
}

/// The calls in flight of a connection. There are few, so a linear search is fastest.
#[derive(Default)]
struct Flying(Vec<Call>);

impl Flying {
    fn of(&mut self, stream: u32) -> Option<&mut Call> {
        self.0.iter_mut().find(|call| call.stream == stream)
    }

    fn end(&mut self, stream: u32) -> Option<Call> {
        let at = self.0.iter().position(|call| call.stream == stream)?;
        Some(self.0.swap_remove(at))
    }
}

/// Writes a script's next request, with the prefix of a gRPC message: uncompressed, and its length.
fn ask(script: &mut dyn Script, slot: usize, message: &mut Vec<u8>) {
    message.clear();
    message.extend([0; 5]);
    script.request(slot, message);
    let length = u32::try_from(message.len() - 5).unwrap_or(u32::MAX);
    message[1..5].copy_from_slice(&length.to_be_bytes());
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    out.extend([length[1], length[2], length[3], kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Writes a header string as a literal of fewer than 127 bytes.
fn text(block: &mut Vec<u8>, text: &str) {
    block.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).unwrap_or(0));
    block.extend_from_slice(text.as_bytes());
}
