//! Names this build by its version and by the identity of what decides the bits of its speech.

use std::env;
use std::path::Path;

mod identity;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new("..");
    println!("cargo::rerun-if-changed=identity.rs");
    for source in identity::SOURCES.into_iter().chain([identity::LOCK]) {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    let mut facts: Vec<_> = env::vars().filter(|(name, _)| name == "CARGO_FEATURE_CUDA" || name == "TARGET").collect();
    facts.sort();
    let facts: Vec<_> = facts.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let identity = format!("{:08x}", identity::identity(root, &facts)?);
    println!("cargo::rustc-env=CSM_IDENTITY={identity}");
    println!("cargo::rustc-env=CSM_BUILD={version}+{identity}");
    Ok(())
}
