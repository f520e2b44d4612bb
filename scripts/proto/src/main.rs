//! Program that makes the gateway's gRPC code of `gateway/proto`: `make proto`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let definitions = protox::compile(["externalscaler.proto"], ["gateway/proto"])?;
    let code = tonic_prost_build::configure().build_client(false).build_transport(false);
    Ok(code.out_dir("gateway/src/scaler").compile_fds(definitions)?)
}
