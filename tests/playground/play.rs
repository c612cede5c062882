//! What the pods ask, and what they should get.

use crate::cluster::{CURIOUS, Pod, REPORT, WEB};
use crate::page::Page;
use crate::standins::Lab;
use crate::standins::agent::Agent;
use crate::standins::client::{Ask, TOKEN_HEADER, TTL_HEADER};

/// One exchange of the play.
struct Line {
    why: &'static str,
    pod: &'static Pod,
    method: &'static str,
    path: &'static str,
    token: Token,
    status: u16,
}

/// What a line has to do with session tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    None,
    Fetch,
    Show,
    /// The ServiceAccount token of this pod proves who asks.
    OfPod(&'static Pod),
}

const PLAY: [Line; 10] = [
    Line {
        why: "Which role is mine?",
        pod: &WEB,
        method: "GET",
        path: "/latest/meta-data/iam/security-credentials/",
        token: Token::None,
        status: 200,
    },
    Line {
        why: "A session token, as IMDSv2 wants it",
        pod: &WEB,
        method: "PUT",
        path: "/latest/api/token",
        token: Token::Fetch,
        status: 200,
    },
    Line {
        why: "With it, credentials of my role",
        pod: &WEB,
        method: "GET",
        path: "/latest/meta-data/iam/security-credentials/web",
        token: Token::Show,
        status: 200,
    },
    Line {
        why: "Another pod has another role (here without a token, as old SDKs ask)",
        pod: &REPORT,
        method: "GET",
        path: "/latest/meta-data/iam/security-credentials/nightly/report",
        token: Token::None,
        status: 200,
    },
    Line {
        why: "May I have the other pod's role?",
        pod: &WEB,
        method: "GET",
        path: "/latest/meta-data/iam/security-credentials/nightly/report",
        token: Token::Show,
        status: 403,
    },
    Line {
        why: "A pod that claims a role its namespace may not use",
        pod: &CURIOUS,
        method: "GET",
        path: "/latest/meta-data/iam/security-credentials/",
        token: Token::None,
        status: 404,
    },
    Line {
        why: "Other metadata comes from the node",
        pod: &WEB,
        method: "GET",
        path: "/latest/meta-data/placement/region",
        token: Token::Show,
        status: 200,
    },
    Line {
        why: "... but not what belongs to the node alone",
        pod: &WEB,
        method: "GET",
        path: "/latest/user-data",
        token: Token::Show,
        status: 403,
    },
    Line {
        why: "The other way in: my ServiceAccount token says who I am",
        pod: &WEB,
        method: "GET",
        path: "/v1/credentials",
        token: Token::OfPod(&WEB),
        status: 200,
    },
    Line {
        why: "... and is good for nobody else",
        pod: &CURIOUS,
        method: "GET",
        path: "/v1/credentials",
        token: Token::OfPod(&WEB),
        status: 403,
    },
];

/// Plays all lines and gives how many were answered otherwise than they should be.
pub fn play(page: &Page, lab: &Lab, agent: &Agent) -> usize {
    page.heading("The play");
    let (mut token, mut wrong) = (String::new(), 0);
    for (index, line) in PLAY.iter().enumerate() {
        page.question(index + 1, line.why, &line.pod.title(), &format!("{} {}", line.method, line.path));
        let ask = Ask::new(line.method, line.path);
        let ask = match line.token {
            Token::None => ask,
            Token::Fetch => ask.header(TTL_HEADER, "21600"),
            Token::Show => ask.header(TOKEN_HEADER, &token),
            Token::OfPod(pod) => {
                let proof = lab.kubernetes.token(pod.namespace, pod.name);
                ask.host(&agent.addr().to_string()).header("Authorization", &proof)
            }
        };
        let answer = ask.send(agent.addr(), line.pod.address);
        page.answer(&answer);
        if line.token == Token::Fetch {
            token = answer.text();
        }
        if answer.status != line.status {
            page.wrong(line.status);
            wrong += 1;
        }
    }
    wrong
}
