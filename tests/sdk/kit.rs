//! Things that are fetched or built once and kept below the target directory.

use std::fs::File;
use std::path::{Path, PathBuf};

/// A directory for what `parts` describe, filled by `make` if that wasn't done yet. Other parts, another directory.
pub fn kept(name: &str, parts: &[&str], make: impl FnOnce(&Path) -> Result<(), String>) -> Result<PathBuf, String> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("sdk-{name}-{:08x}", fingerprint(&parts.concat())));
    std::fs::create_dir_all(&home).map_err(|cause| cause.to_string())?;
    // Tests of several processes may want it at the same time.
    let lock = File::create(home.join("lock")).map_err(|cause| cause.to_string())?;
    lock.lock().map_err(|cause| cause.to_string())?;
    let complete = home.join("complete");
    if !complete.exists() {
        make(&home)?;
        std::fs::write(complete, "").map_err(|cause| cause.to_string())?;
    }
    Ok(home)
}

/// FNV-1a.
fn fingerprint(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
