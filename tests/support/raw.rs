//! Calls by path with arbitrary bytes, and the methods in the descriptor set.

use prost_reflect::{DescriptorPool, MethodDescriptor};
use tenantry::{DESCRIPTOR_SET, cli::selftest::Bytes};
use tonic::{Request, Status, metadata::MetadataMap};

use super::Api;

/// The pool of an encoded descriptor set.
pub fn pool_of(set: &[u8]) -> DescriptorPool {
    let mut pool = DescriptorPool::new();
    pool.decode_file_descriptor_set(set).unwrap();
    pool
}

/// Every method of this API.
pub fn methods() -> Vec<MethodDescriptor> {
    let pool = pool_of(DESCRIPTOR_SET);
    let ours = pool.services().filter(|service| service.package_name().starts_with("tenantry."));
    ours.flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

/// The method that revokes the key that it is called with.
pub const ENDS_ITS_KEY: &str = "RevokeOwnApiKey";

/// The method that concerns no resource.
pub const NAMES_NOTHING: &str = "GetSigningKeys";

/// Every method of this API that names a resource.
pub fn methods_about_something() -> Vec<MethodDescriptor> {
    methods().into_iter().filter(|method| ![ENDS_ITS_KEY, NAMES_NOTHING].contains(&method.name())).collect()
}

/// The path of a method.
pub fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// The access option of a method.
pub struct Access {
    /// The scope; empty if the method requires none.
    pub scope: String,
    pub platform_admin: bool,
    pub api_key: bool,
}

/// Reads the access option of a method.
pub fn access(method: &MethodDescriptor) -> Access {
    let pool = method.parent_pool();
    let value = method.options().get_extension(&pool.get_extension_by_name("tenantry.v1.access").unwrap()).into_owned();
    let access = value.as_message().unwrap();
    let flag = |name: &str| access.get_field_by_name(name).unwrap().as_bool().unwrap();
    let scope = access.get_field_by_name("scope").unwrap().as_str().unwrap().to_owned();
    Access { scope, platform_admin: flag("platform_admin"), api_key: flag("api_key") }
}

/// Calls a path with bytes and metadata. Returns the answer; of a stream, its first message.
pub async fn call(api: &Api, path: &str, message: Vec<u8>, metadata: MetadataMap) -> Result<Vec<u8>, Status> {
    let mut client = tonic::client::Grpc::new(api.channel.clone());
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let mut request = Request::new(message);
    *request.metadata_mut() = metadata;
    let path = path.parse().unwrap();
    let mut messages = client.server_streaming(request, path, Bytes).await?.into_inner();
    messages.message().await.map(Option::unwrap_or_default)
}

/// Metadata with authorization values.
pub fn bearer(keys: &[&str]) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    for key in keys {
        metadata.append("authorization", format!("Bearer {key}").parse().unwrap());
    }
    metadata
}
