//! The most forgiving reading of a request target: if any server between here and AWS might take it for a path to a
//! secret, so does this one.

/// The path as a lower-case list of segments, joined by `/`, with a leading and no trailing slash.
pub fn canonical(target: &str) -> String {
    let path = strip_query(strip_authority(target));
    let decoded = decode_until_stable(path.as_bytes());
    let text = String::from_utf8_lossy(&decoded).to_lowercase().replace('\\', "/");
    let mut segments: Vec<&str> = Vec::new();
    for segment in text.split('/') {
        match strip_suffixes(segment) {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            name => segments.push(name),
        }
    }
    format!("/{}", segments.join("/"))
}

/// `http://169.254.169.254/latest` is `/latest`.
fn strip_authority(target: &str) -> &str {
    let Some((_, rest)) = target.split_once("://").filter(|(scheme, _)| scheme.chars().all(char::is_alphanumeric))
    else {
        return target;
    };
    rest.find('/').map_or("/", |slash| &rest[slash..])
}

fn strip_query(target: &str) -> &str {
    target.split(['?', '#']).next().unwrap_or_default()
}

/// Decodes `%41` and `%2541` and so on, and the overlong forms of `/` and `.`, until nothing changes.
fn decode_until_stable(path: &[u8]) -> Vec<u8> {
    let mut path = path.to_vec();
    for _ in 0..MAX_ROUNDS {
        let decoded = fold_overlong(&decode_once(&path));
        if decoded == path {
            break;
        }
        path = decoded;
    }
    path
}

fn decode_once(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match hex.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) if byte == b'%' => {
                out.push(value);
                rest = &tail[2..];
            }
            _ => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    out
}

/// Decoders that don't insist on shortest forms take `C0 AF` for `/` and `C0 AE` for `.`.
fn fold_overlong(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut bytes = path.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.peek()) {
            (0xc0, Some(0xaf)) => {
                bytes.next();
                out.push(b'/');
            }
            (0xc0, Some(0xae)) => {
                bytes.next();
                out.push(b'.');
            }
            _ => out.push(byte),
        }
    }
    out
}

/// What some servers cut off a segment: everything from a NUL or a `;` on, blanks, dots at its end.
fn strip_suffixes(segment: &str) -> &str {
    let segment = segment.split(['\0', ';']).next().unwrap_or_default();
    let segment = segment.trim_matches(|c: char| c.is_whitespace() || c.is_control());
    if matches!(segment, "." | "..") {
        return segment;
    }
    segment.trim_end_matches(['.', ' '])
}

/// More rounds than anybody encodes.
const MAX_ROUNDS: usize = 8;
