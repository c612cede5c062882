//! `/etc/hosts`, as hosts(5) has it: an address and its names on each line.

use std::net::IpAddr;

/// The addresses of `name`, from all lines that have it.
pub fn addresses(text: &str, name: &str) -> Vec<IpAddr> {
    let name = name.strip_suffix('.').unwrap_or(name);
    text.lines().filter_map(|line| address(line, name)).collect()
}

fn address(line: &str, name: &str) -> Option<IpAddr> {
    let mut words = line.split('#').next()?.split_ascii_whitespace();
    let address = words.next()?;
    words.any(|known| known.eq_ignore_ascii_case(name)).then(|| address.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_a_name_counts() {
        let text = "# kubelet's\n127.0.0.1\tlocalhost\n10.0.0.1 api.test api # the second\n fd00::1   API.test\r\n\
                    10.0.0.9 #api.test\nnonsense api.test\n10.0.0.2\n10.0.0.3 sub.api.test\n";
        let found = |name| addresses(text, name).iter().map(IpAddr::to_string).collect::<Vec<_>>();
        assert_eq!(found("api.test"), ["10.0.0.1", "fd00::1"]);
        assert_eq!(found("Api"), ["10.0.0.1"]);
        assert_eq!(found("sub.api.test."), ["10.0.0.3"]);
        for absent in ["test", "10.0.0.2", "", "second"] {
            assert!(found(absent).is_empty(), "{absent}");
        }
    }
}
