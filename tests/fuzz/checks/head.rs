//! HTTP heads: one reading only, the same however the bytes come, and within the limits. The reader here is the
//! strictest there can be: what it can't read must have been refused.

use kube2iam::for_tests::{
    BodyLength, ChunkedBody, Head, HttpVersion, Limits, Method, Persistence, read_head, worth_parsing_again,
};

/// A stream of bytes, as a client sends it.
pub(crate) fn check(bytes: &[u8]) {
    let small = Limits { head_bytes: 256, headers: 4, body_bytes: 16, ..Limits::default() };
    for limits in [Limits::default(), small] {
        let answer = Answer::of(bytes, &limits);
        if let Ok(Some(head)) = read_head(bytes, &limits) {
            strictly(&head, bytes, &limits);
        }
        each_prefix(bytes, &answer, &limits);
        for seed in 1..=3 {
            in_pieces(bytes, &answer, &limits, seed);
        }
        as_chunked_body(bytes, &limits);
    }
}

/// What became of a stream, in a form that can be compared.
#[derive(Debug, PartialEq)]
enum Answer {
    More,
    Bad,
    Read(String, usize),
}

impl Answer {
    fn of(bytes: &[u8], limits: &Limits) -> Self {
        match read_head(bytes, limits) {
            Err(_) => Self::Bad,
            Ok(None) => Self::More,
            Ok(Some(head)) => {
                let rest = (head.body, head.version, head.persistence, head.expects_continue);
                Self::Read(format!("{:?} {rest:?}", head.request), head.bytes)
            }
        }
    }
}

/// What a prefix came to, more bytes don't change; and what came to something needed all of its bytes.
fn each_prefix(bytes: &[u8], whole: &Answer, limits: &Limits) {
    let step = bytes.len() / 700 + 1;
    for end in (0..bytes.len()).step_by(step) {
        match Answer::of(&bytes[..end], limits) {
            Answer::More => assert!(!matches!(whole, Answer::Read(_, used) if *used <= end), "{end} bytes were enough"),
            early => assert_eq!(&early, whole, "after {end} bytes"),
        }
    }
    assert!(*whole != Answer::More || bytes.len() < limits.head_bytes, "a head without an end");
}

/// Reads as a connection does: it looks again only where that is worth it.
fn in_pieces(bytes: &[u8], whole: &Answer, limits: &Limits, seed: usize) {
    let (mut held, mut answer) = (0, Answer::More);
    while held < bytes.len() && answer == Answer::More {
        let random = bytes[held..].iter().take(3).fold(seed, |random, byte| random * 31 + usize::from(*byte));
        let most = if seed == 1 { 1 } else { 1 + random % 97 };
        let end = (held + most).min(bytes.len()).min(limits.head_bytes.max(held + 1));
        let (first, fresh) = (held == 0, &bytes[held..end]);
        held = end;
        if first || worth_parsing_again(fresh) || held >= limits.head_bytes {
            answer = Answer::of(&bytes[..held], limits);
        }
    }
    match answer {
        Answer::More => assert!(!matches!(whole, Answer::Read(..)), "in pieces it is never read"),
        early => assert_eq!(&early, whole, "in pieces"),
    }
}

/// A chunked body ends at the same byte, or is refused in the same way, however it comes, and within the limits.
fn as_chunked_body(bytes: &[u8], limits: &Limits) {
    let mut whole = ChunkedBody::new(limits);
    let taken = whole.take(bytes);
    let mut body = ChunkedBody::new(limits);
    let in_pieces = bytes.iter().try_fold(0, |taken, byte| Ok(taken + body.take(&[*byte])?));
    assert_eq!((&taken, whole.is_complete()), (&in_pieces, body.is_complete()));
    let most = limits.body_bytes + limits.head_bytes as u64;
    assert!(taken.is_err() || taken.is_ok_and(|taken| taken as u64 <= most), "a body without an end");
}

/// A head that was taken is well-formed to the letter (RFC 9112, sections 2 to 6), and says what was read in it.
fn strictly(head: &Head<'_>, bytes: &[u8], limits: &Limits) {
    assert!(head.bytes <= limits.head_bytes.min(bytes.len()));
    let text: String = bytes[..head.bytes].iter().map(|byte| char::from(*byte)).collect();
    let text = text.strip_prefix("\r\n").unwrap_or(&text);
    let lines = text.strip_suffix("\r\n\r\n").expect("a head ends with an empty line");
    let mut lines = lines.split("\r\n");
    let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target, version] = words[..] else { panic!("a request line has three words, not {words:?}") };
    assert!(is_token(method) && !target.is_empty(), "{words:?}");
    assert!(target.bytes().all(|b| b > b' ' && b != 0x7f), "{target:?}");
    assert_eq!(Method::parse(method), head.request.method);
    let raw: String = head.request.target.bytes().map(char::from).collect();
    assert_eq!(raw, target);
    assert_eq!(version, if head.version == HttpVersion::Http11 { "HTTP/1.1" } else { "HTTP/1.0" });
    let fields: Vec<(String, &str)> = lines.map(field).collect();
    assert!(fields.len() <= limits.headers);
    read_in(head, &fields, limits);
}

/// A header line: a token, a colon at once, a value of visible characters.
fn field(line: &str) -> (String, &str) {
    let (name, value) = line.split_once(':').expect("a header has a colon");
    assert!(is_token(name), "{line:?}");
    assert!(value.chars().all(|c| c == '\t' || !c.is_ascii_control()), "{line:?}");
    (name.to_ascii_lowercase(), value.trim_matches([' ', '\t']))
}

/// What the headers come to.
fn read_in(head: &Head<'_>, fields: &[(String, &str)], limits: &Limits) {
    let all =
        |name: &str| fields.iter().filter(|(known, _)| known == name).map(|(_, value)| *value).collect::<Vec<_>>();
    let text = |value: Option<&[u8]>| value.map(|value| value.iter().map(|byte| char::from(*byte)).collect::<String>());
    let headers = &head.request.headers;
    let coding = all("transfer-encoding");
    let is_chunked = matches!(coding[..], [one] if one.eq_ignore_ascii_case("chunked"));
    assert!(all("host").len() <= 1 && (coding.is_empty() || is_chunked && head.version == HttpVersion::Http11));
    assert_eq!(text(headers.host).as_deref(), all("host").first().copied());
    assert_eq!(text(headers.accept).as_deref(), all("accept").first().copied());
    let said = |name: &str| all(name).into_iter().filter(|value| !value.is_empty()).collect::<Vec<_>>();
    assert_eq!(headers.forwarded_for, !said("x-forwarded-for").is_empty());
    let token = match said("x-aws-ec2-metadata-token")[..] {
        [] => None,
        [one] => Some(one),
        _ => Some("?"),
    };
    assert_eq!(text(headers.token).as_deref(), token);
    let length = match all("content-length")[..] {
        [] => 0,
        [digits] if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().expect("a length")
        }
        ref other => panic!("{other:?} is no length"),
    };
    assert!(length as u64 <= limits.body_bytes);
    assert!(!is_chunked || all("content-length").is_empty(), "two lengths");
    assert_eq!(head.body, if is_chunked { BodyLength::Chunked } else { BodyLength::Bytes(length) });
    let options = all("connection").join(",").to_ascii_lowercase();
    let asks = |word: &str| options.split(',').any(|option| option.trim_matches([' ', '\t', '\u{c}']) == word);
    let stays = !asks("close") && (head.version == HttpVersion::Http11 || asks("keep-alive"));
    assert_eq!(head.persistence == Persistence::KeepAlive, stays, "{options:?}");
    let expects = all("expect").iter().any(|value| value.eq_ignore_ascii_case("100-continue"));
    assert_eq!(head.expects_continue, expects && head.version == HttpVersion::Http11);
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
