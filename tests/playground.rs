//! The first command that a newcomer runs works as the README says.

#[path = "standins/mod.rs"]
mod standins;

use std::process::Command;
use std::time::Duration;

/// Includes the build of the example, where cargo hasn't made it yet.
const LIMIT: Duration = Duration::from_secs(300);

#[test]
fn the_playground_plays_without_a_misstep() {
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--example", "playground", "--", "--once"]);
    let printed = standins::process::run_well(command.current_dir(env!("CARGO_MANIFEST_DIR")), LIMIT);
    let printed = printed.unwrap_or_else(|cause| panic!("{cause}"));
    assert!(printed.contains("ASIASTANDIN"), "no credentials in:\n{printed}");
    assert!(printed.contains("shop/curious: refused (role_not_allowed)"), "no explanation in:\n{printed}");
    assert!(printed.contains("fix: list `admin`"), "no remedy in:\n{printed}");
    assert!(printed.contains("GET /latest/user-data (403)"), "the last line of the log is missing in:\n{printed}");
    assert!(!printed.contains(standins::STS_CANARY), "a secret is shown whole:\n{printed}");
}
