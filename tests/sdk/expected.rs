//! What each SDK does in each scene: what it asks for, what it gets, and what it ends in.

use crate::Told;
use crate::clients::Client::{self, AwsCli, Boto3, JavaScript, Rust, RustExtended};
use crate::scenes::SCENES;

type Ways = &'static [(&'static [Client], &'static str)];

/// A scene's title, and how it goes with whom.
const EXPECTED: &[(&str, Ways)] = &[
    (
        "IMDSv2",
        &[
            (&[Boto3, AwsCli, JavaScript, Rust], "token 200, list 200, credentials 200: is `app`"),
            (&[RustExtended], "token 200, extended list 200, extended credentials 200: is `app`"),
        ],
    ),
    (
        "IMDSv1 only: token requests get 405",
        &[
            (&[Boto3, AwsCli, JavaScript], "token 405, list 200, credentials 200: is `app`"),
            (&[Rust, RustExtended], "token 405: error"),
        ],
    ),
    (
        "`--imds-v2=required`",
        &[
            (&[Boto3, AwsCli, JavaScript, Rust], "token 200, list 200, credentials 200: is `app`"),
            (&[RustExtended], "token 200, extended list 200, extended credentials 200: is `app`"),
        ],
    ),
    (
        "the same, and token requests get 405",
        &[
            (&[Boto3, AwsCli, JavaScript], "token 405, list 401: no credentials"),
            (&[Rust, RustExtended], "token 405: error"),
        ],
    ),
    (
        "a role with a path, `team/web`",
        &[
            (&[Boto3, AwsCli, JavaScript, Rust], "token 200, list 200, credentials 200: is `web`"),
            (&[RustExtended], "token 200, extended list 200, extended credentials 200: is `web`"),
        ],
    ),
    (
        "a role outside the base, listed by its ARN",
        &[
            (&[Boto3, AwsCli, JavaScript, Rust], "token 200, list 200, credentials 200: is `app`"),
            (&[RustExtended], "token 200, extended list 200, extended credentials 200: is `app`"),
        ],
    ),
    (
        "the session is short; half an hour later the agent has another",
        &[
            (
                &[Boto3, JavaScript],
                "token 200, list 200, credentials 200: is `app`; then \
                 token 200, list 200, credentials 200: is `app`, by a new key; then nothing: is `app`, by the same key",
            ),
            (
                &[AwsCli],
                "token 200, list 200, credentials 200: is `app`; then \
                 token 200, list 200, credentials 200: is `app`, by a new key; then \
                 token 200, list 200, credentials 200: is `app`, by the same key",
            ),
            (
                &[Rust],
                "token 200, list 200, credentials 200: is `app`; then \
                 list 200, credentials 200: is `app`, by a new key; then nothing: is `app`, by the same key",
            ),
            (
                &[RustExtended],
                "token 200, extended list 200, extended credentials 200: is `app`; then \
                 extended credentials 200: is `app`, by a new key; then nothing: is `app`, by the same key",
            ),
        ],
    ),
    (
        "another role than the pod's: it changed since the list",
        &[
            (&[Boto3, AwsCli, JavaScript], "token 200, list 200, credentials 403: no credentials"),
            (&[Rust], "token 200, list 200, credentials 403: error"),
            (&[RustExtended], "token 200, extended list 200, extended credentials 403: error"),
        ],
    ),
    ("no pod has this address", NOT_FOUND),
    ("the pod has no role", NOT_FOUND),
    (
        "the agent is killed and starts anew; half an hour later",
        &[
            (
                &[Boto3, AwsCli, JavaScript],
                "token 200, list 200, credentials 200: is `app`; then \
                 token 200, list 200, credentials 200: is `app`, by a new key",
            ),
            (
                &[Rust],
                "token 200, list 200, credentials 200: is `app`; then \
                 list 200, credentials 200: is `app`, by a new key",
            ),
            (
                &[RustExtended],
                "token 200, extended list 200, extended credentials 200: is `app`; then \
                 extended credentials 200: is `app`, by a new key",
            ),
        ],
    ),
    (
        "the same without `--state-dir`: other token keys",
        &[
            (
                &[Boto3, AwsCli, JavaScript],
                "token 200, list 200, credentials 200: is `app`; then \
                 token 200, list 200, credentials 200: is `app`, by a new key",
            ),
            (
                // It keeps its token, which counts as none: it would show it again after a 401, too.
                &[Rust],
                "token 200, list 200, credentials 200: is `app`; then \
                 list 200, credentials 200: is `app`, by a new key",
            ),
            (
                &[RustExtended],
                "token 200, extended list 200, extended credentials 200: is `app`; then \
                 extended credentials 200: is `app`, by a new key",
            ),
        ],
    ),
    (
        "the agent is gone when credentials end; then it's back",
        &[
            (
                &[Boto3],
                "token 200, list 200, credentials 200: is `app`; then \
                 nobody answers: error; then \
                 token 200, list 200, credentials 200: is `app`, by a new key",
            ),
            (
                &[AwsCli, JavaScript],
                "token 200, list 200, credentials 200: is `app`; then \
                 nobody answers: no credentials; then \
                 token 200, list 200, credentials 200: is `app`, by a new key",
            ),
            (
                &[Rust],
                "token 200, list 200, credentials 200: is `app`; then \
                 nobody answers: is `app`, by the same key; then \
                 list 200, credentials 200: is `app`, by a new key",
            ),
            (
                &[RustExtended],
                "token 200, extended list 200, extended credentials 200: is `app`; then \
                 nobody answers: is `app`, by the same key; then \
                 extended credentials 200: is `app`, by a new key",
            ),
        ],
    ),
];

const NOT_FOUND: Ways = &[
    (&[Boto3, AwsCli, JavaScript, Rust], "token 200, list 404: no credentials"),
    (&[RustExtended], "token 200, extended list 404, list 404: no credentials"),
];

/// What went otherwise than expected.
pub fn fault(told: &Told) -> Option<String> {
    let title = SCENES[told.scene].title;
    let ways = EXPECTED.iter().find(|(known, _)| *known == title).map_or(&[][..], |(_, ways)| ways);
    let expected = ways.iter().find(|(clients, _)| clients.contains(&told.client)).map_or("nothing", |(_, text)| text);
    let differs = expected != told.text;
    differs.then(|| format!("{title}, {:?}:\n  expected  {expected}\n  and was   {}", told.client, told.text))
}
