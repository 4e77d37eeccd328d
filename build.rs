//! Compiles `proto/` into message types, clients and servers, without protoc, and keeps the descriptor set with every
//! option and comment for reflection and for the access rules.

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

    tonic_prost_build::configure().compile_fds(prost_types::FileDescriptorSet::decode(
        compiler.file_descriptor_set().encode_to_vec().as_slice(),
    )?)?;
    Ok(())
}
