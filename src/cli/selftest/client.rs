//! Calls any method by its descriptor, with any credential, and reads the descriptors by reflection.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    path::Path,
    time::Duration,
};

use prost::{
    Message,
    bytes::{Buf, BufMut},
};
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use tonic::{
    Code, Request, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::{Ascii, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::{
    models::SecretPrefix,
    pb,
    security::{random, token::SecretPrefixes},
};

/// Time limit for a call.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The method option with the access rule.
const ACCESS: &str = "tenantry.v1.access";

/// An API key as an authorization header. Its `Debug` output is redacted.
#[derive(Clone)]
pub struct Key {
    bearer: MetadataValue<Ascii>,
    /// The prefixes of the secrets of its service.
    prefix: SecretPrefix,
}

impl Key {
    /// Builds the header of a key.
    ///
    /// # Errors
    /// If the text contains anything but printable ASCII.
    pub fn new(text: &str) -> Result<Self, String> {
        let mut value: MetadataValue<Ascii> = format!("Bearer {text}")
            .parse()
            .map_err(|_| "an API key has only printable ASCII characters".to_owned())?;
        value.set_sensitive(true);
        let prefix = text.split_once('_').and_then(|(prefix, _)| SecretPrefix::parse(prefix).ok());
        Ok(Self { bearer: value, prefix: prefix.unwrap_or_default() })
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Who may call a method, according to its access option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Anyone.
    Public,
    /// Any caller with a valid key.
    AnyKey,
    /// Any caller whose key has the scope.
    Scope,
}

/// A connection to a service, with the methods that reflection lists.
pub(super) struct Client {
    channel: Channel,
    pool: DescriptorPool,
    services: BTreeSet<String>,
    /// The key of a platform admin.
    pub(super) admin: Key,
    /// Creates secrets that look like those of the service.
    pub(super) secrets: SecretPrefixes,
    /// Prefix of every name that this run creates.
    pub(super) run: String,
}

impl Client {
    /// Connects, reads the descriptors by reflection and checks the key.
    pub(super) async fn connect(endpoint: &str, ca: Option<&Path>, admin: &Key) -> Result<Self, String> {
        let is_tls = endpoint.starts_with("https://");
        if !is_tls && !endpoint.starts_with("http://") {
            return Err(format!("{endpoint} is not a valid endpoint: it must begin with http:// or https://"));
        }
        let no_endpoint = |error| format!("{endpoint} is not a valid endpoint: {error}");
        let mut target = Endpoint::from_shared(endpoint.to_owned()).map_err(no_endpoint)?;
        if is_tls {
            let tls = match ca {
                Some(path) => {
                    let pem = fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
                    ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem))
                }
                None => ClientTlsConfig::new().with_native_roots(),
            };
            target = target.tls_config(tls).map_err(no_endpoint)?;
        }
        let failed = |error| format!("{endpoint} cannot be reached: {error}");
        let channel = target.timeout(TIMEOUT).connect_timeout(TIMEOUT).connect().await.map_err(failed)?;
        let (services, pool) = reflect(channel.clone()).await.map_err(|error| format!("{endpoint}: {error}"))?;
        let run = format!("selftest-{}-", random::base62(12).to_lowercase());
        let secrets = SecretPrefixes::new(admin.prefix.clone(), vec![]);
        let client = Self { channel, pool, services, admin: admin.clone(), secrets, run };
        let one = pb::ListUsersRequest { page_size: 1, ..Default::default() };
        let listed = client.admin::<pb::ListUsersResponse>("UserService/ListUsers", &one).await;
        listed.map_err(|status| format!("the API key cannot be used: {}", status.message()))?;
        Ok(client)
    }

    /// A unique name.
    pub(super) fn new_name(&self) -> String {
        format!("{}{}", self.run, random::base62(12).to_lowercase())
    }

    /// Every method that reflection lists.
    pub(super) fn methods(&self) -> Vec<MethodDescriptor> {
        let shown = self.pool.services().filter(|service| self.services.contains(service.full_name()));
        shown.flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
    }

    /// The access rule of a method. Methods without the option are public: health and reflection.
    pub(super) fn rule(&self, method: &MethodDescriptor) -> Rule {
        let options = method.options();
        let extension = self.pool.get_extension_by_name(ACCESS).filter(|option| options.has_extension(option));
        let Some(extension) = extension else { return Rule::Public };
        let access = options.get_extension(&extension);
        let flag = |name| {
            let field = access.as_message().and_then(|access| access.get_field_by_name(name));
            field.is_some_and(|value| value.as_bool() == Some(true))
        };
        match (flag("unauthenticated"), flag("any_key")) {
            (true, _) => Rule::Public,
            (_, true) => Rule::AnyKey,
            _ => Rule::Scope,
        }
    }

    /// Calls a method. Of a stream, it returns the first message.
    pub(super) async fn call(
        &self,
        method: &MethodDescriptor,
        key: Option<&Key>,
        request: &DynamicMessage,
    ) -> Result<DynamicMessage, Status> {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let answer = self.call_path(&path, key, request.encode_to_vec()).await?;
        DynamicMessage::decode(method.output(), answer.as_slice())
            .map_err(|error| Status::internal(format!("the answer cannot be read: {error}")))
    }

    /// Calls a method of `tenantry.v1` as the platform admin.
    pub(super) async fn admin<A: Message + Default>(&self, method: &str, request: &impl Message) -> Result<A, Status> {
        let path = format!("/tenantry.v1.{method}");
        let answer = self.call_path(&path, Some(&self.admin), request.encode_to_vec()).await?;
        A::decode(answer.as_slice()).map_err(|error| Status::internal(format!("the answer cannot be read: {error}")))
    }

    async fn call_path(&self, path: &str, key: Option<&Key>, message: Vec<u8>) -> Result<Vec<u8>, Status> {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let mut request = Request::new(message);
        if let Some(Key { bearer, .. }) = key {
            request.metadata_mut().insert("authorization", bearer.clone());
        }
        let path = path.parse().map_err(|_| Status::internal("a method has no path"))?;
        let mut answers = grpc.server_streaming(request, path, Bytes).await?.into_inner();
        let first = tokio::time::timeout(TIMEOUT, answers.message());
        match first.await {
            Ok(answer) => answer.map(Option::unwrap_or_default),
            Err(_) => Err(Status::new(Code::DeadlineExceeded, "a stream sent nothing")),
        }
    }
}

/// Reads the services of a server and the descriptors of all their files.
async fn reflect(channel: Channel) -> Result<(BTreeSet<String>, DescriptorPool), String> {
    let failed = |status: Status| format!("reflection: {}", status.message());
    let services = match ask(&channel, MessageRequest::ListServices(String::new())).await.map_err(failed)? {
        MessageResponse::ListServicesResponse(listed) => listed.service,
        _ => return Err("reflection lists no services".to_owned()),
    };
    let services: BTreeSet<String> = services.into_iter().map(|service| service.name).collect();
    let mut asked: VecDeque<MessageRequest> =
        services.iter().map(|name| MessageRequest::FileContainingSymbol(name.clone())).collect();
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    while let Some(question) = asked.pop_front() {
        let found = match ask(&channel, question).await.map_err(failed)? {
            MessageResponse::FileDescriptorResponse(found) => found.file_descriptor_proto,
            _ => return Err("reflection returns no descriptor for a service that it lists".to_owned()),
        };
        for bytes in found {
            let file = prost_types::FileDescriptorProto::decode(bytes.as_slice())
                .map_err(|error| format!("reflection returns an invalid descriptor: {error}"))?;
            for name in file.dependency.iter().filter(|name| !files.contains_key(*name)) {
                asked.push_back(MessageRequest::FileByFilename(name.clone()));
            }
            files.insert(file.name().to_owned(), bytes);
        }
    }
    // Encoded by hand as one set: `prost_types` would drop the options when it decodes and encodes a file.
    let mut set = Vec::new();
    for bytes in files.into_values() {
        prost::encoding::bytes::encode(1, &bytes, &mut set);
    }
    let mut pool = DescriptorPool::new();
    pool.decode_file_descriptor_set(set.as_slice())
        .map_err(|error| format!("reflection returns an invalid set of descriptors: {error}"))?;
    Ok((services, pool))
}

async fn ask(channel: &Channel, question: MessageRequest) -> Result<MessageResponse, Status> {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let mut client = ServerReflectionClient::new(channel.clone()).max_decoding_message_size(usize::MAX);
    let mut answers = client.server_reflection_info(tokio_stream::iter([request])).await?.into_inner();
    let answer = answers.message().await?.and_then(|answer| answer.message_response);
    answer.ok_or_else(|| Status::internal("reflection does not answer"))
}

/// Codec that passes messages as bytes, for calls of any method.
#[derive(Clone, Copy, Debug)]
pub struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).to_vec()))
    }
}
