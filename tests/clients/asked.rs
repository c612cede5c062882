//! What a pod asked of the agent, out of the agent's own log.

use std::fmt;

/// A request of the metadata service, in the order in which they follow from each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asked {
    Token(u16),
    List(u16),
    Credentials(u16),
    Other(String, u16),
}

/// All that the pod at `address` asked, each kind once.
pub fn of(log: &[String], address: &str) -> Vec<Asked> {
    let remote = format!("req.remote={address} ");
    let mut asked: Vec<Asked> =
        log.iter().filter(|line| line.contains(&remote)).filter_map(|line| read(line)).collect();
    asked.sort();
    asked.dedup();
    asked
}

fn read(line: &str) -> Option<Asked> {
    let field = |name: &str| line.split_once(&format!(" {name}="))?.1.split(' ').next();
    let (path, status) = (field("req.path")?, field("res.status")?.parse().ok()?);
    let plain = path.trim_end_matches('/').split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>();
    Some(match plain[..] {
        [_, "api", "token"] => Asked::Token(status),
        [_, "meta-data", "iam", "security-credentials"] => Asked::List(status),
        [_, "meta-data", "iam", "security-credentials", _] => Asked::Credentials(status),
        [_, ref rest @ ..] => Asked::Other(rest.join("/"), status),
        [] => Asked::Other("/".to_owned(), status),
    })
}

/// Whether credentials were asked for with a session token.
pub fn version(asked: &[Asked]) -> &'static str {
    if asked.iter().any(|one| matches!(one, Asked::Token(200))) { "v2" } else { "v1" }
}

pub fn text(asked: &[Asked]) -> String {
    asked.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(status) => write!(f, "token {status}"),
            Self::List(status) => write!(f, "list {status}"),
            Self::Credentials(status) => write!(f, "credentials {status}"),
            Self::Other(path, status) => write!(f, "`{path}` {status}"),
        }
    }
}
