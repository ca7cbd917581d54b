//! Rebuilds the crate when a migration changes, and names the set of migrations.
#![allow(clippy::print_stdout, reason = "how a build script speaks to cargo")]

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::{fs, io};

fn main() -> io::Result<()> {
    let root = "../../../migrations";
    println!("cargo:rerun-if-changed={root}");
    let mut texts = BTreeMap::new();
    collect(Path::new(root), &mut texts)?;
    let mut hasher = DefaultHasher::new();
    texts.hash(&mut hasher);
    println!("cargo:rustc-env=ALIVIO_MIGRATIONS_FINGERPRINT={:016x}", hasher.finish());
    Ok(())
}

fn collect(folder: &Path, texts: &mut BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, texts)?;
        } else {
            println!("cargo:rerun-if-changed={}", path.display());
            texts.insert(path.display().to_string(), fs::read(&path)?);
        }
    }
    Ok(())
}
