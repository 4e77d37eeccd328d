//! Compiles `proto/` into message types, clients and servers, without protoc. The descriptor set, with all options and comments, serves
//! reflection and the access rules.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=migrations");

    let mut files: Vec<PathBuf> =
        fs::read_dir("proto/tenantry/v1")?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.sort();

    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_source_info(true).include_imports(true).open_files(&files)?;

    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptor_set.bin"), compiler.encode_file_descriptor_set())?;

    let mut set = prost_types::FileDescriptorSet::decode(compiler.file_descriptor_set().encode_to_vec().as_slice())?;
    // The `google.api` annotations are for other tools. Their Rust types are not used.
    set.file.retain(|file| file.package() != "google.api");
    let mut generator = tonic_prost_build::configure();
    for path in ENCODED {
        take_encoded(&mut set, path).ok_or(format!("{path} is not a field of a message"))?;
        generator = generator.bytes(path);
    }
    // Ordered, so that an answer that is remembered and decoded has the same bytes when it is encoded again.
    generator = generator.btree_map(".tenantry.v1.BatchItemError.metadata");
    let mut config = tonic_prost_build::Config::new();
    // An answer is examined by the name of its message.
    config.enable_type_names();
    generator.compile_fds_with_config(set, config)?;
    Ok(())
}

/// Message fields that the Rust types hold in encoded form, so that an answer returned a hundred thousand times a second is encoded
/// once. On the wire, and in every other language, they are the messages of the protos.
const ENCODED: [&str; 1] = [".tenantry.v1.ApiKeyVerification.api_key"];

/// Turns a message field into a bytes field, which is the same on the wire.
fn take_encoded(set: &mut prost_types::FileDescriptorSet, path: &str) -> Option<()> {
    let (message, field) = path.strip_prefix(".tenantry.v1.")?.split_once('.')?;
    let mut messages = set.file.iter_mut().flat_map(|file| &mut file.message_type);
    let message = messages.find(|found| found.name() == message)?;
    let field = message.field.iter_mut().find(|found| found.name() == field)?;
    field.set_type(prost_types::field_descriptor_proto::Type::Bytes);
    field.type_name = None;
    Some(())
}
