//! Every alert fires in a real Prometheus, and ends when the trouble does.
//!
//! The rules are those of the manifests with each minute in a quarter of a second; the series are those of
//! `alerts.test.yaml`, shown by a server of the test's own.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use regex_lite::{Captures, Regex};
use yaml_rust2::{Yaml, YamlLoader};

use super::monitoring::{alerts, manifest};
use super::prometheus::Prometheus;
use super::tools;

/// A minute of the rules.
const MINUTE: Duration = Duration::from_millis(150);
const LIMIT: Duration = Duration::from_secs(90);

/// A series as promtool writes it: its name with labels, and its values minute by minute.
#[derive(Clone)]
struct Series {
    name: String,
    values: Vec<f64>,
}

/// The series of each case of `alerts.test.yaml`.
fn cases() -> Vec<Vec<Series>> {
    let text = std::fs::read_to_string(tools::project().join("tests/operator/alerts.test.yaml")).unwrap();
    let tests = YamlLoader::load_from_str(&text).unwrap().remove(0);
    let series = |one: &Yaml| Series {
        name: one["series"].as_str().unwrap().replace(", ", ","),
        values: values(one["values"].as_str().unwrap()),
    };
    let of_case = |case: &Yaml| case["input_series"].as_vec().unwrap().iter().map(series).collect();
    tests["tests"].as_vec().unwrap().iter().map(of_case).collect()
}

/// `A+BxN` and `A-BxN` stand for A and N more values, single numbers for themselves.
fn values(text: &str) -> Vec<f64> {
    let ramp = Regex::new(r"^(\d+)([+-]\d+)x(\d+)$").unwrap();
    let mut values = Vec::new();
    for word in text.split(' ') {
        match ramp.captures(word) {
            Some(found) => {
                let (first, step): (f64, f64) = (found[1].parse().unwrap(), found[2].parse().unwrap());
                values.extend((0..=found[3].parse::<u32>().unwrap()).map(|count| first + step * f64::from(count)));
            }
            None => values.push(word.parse().unwrap()),
        }
    }
    values
}

#[test]
fn promtools_way_to_write_values_is_understood() {
    assert_eq!(values("0 2 5+3x2"), [0.0, 2.0, 5.0, 8.0, 11.0]);
    assert_eq!(values("9-4x1"), [9.0, 5.0]);
}

/// Shows the series of one case after the other to whoever scrapes it.
struct Exporter {
    address: SocketAddr,
    is_well: Arc<AtomicBool>,
}

impl Exporter {
    /// In trouble first. `/down` fails then, as an agent that is down does.
    fn start(well: Vec<Series>, trouble: Vec<Series>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let is_well = Arc::new(AtomicBool::new(false));
        let switch = is_well.clone();
        // It ends with the test's process.
        std::thread::Builder::new()
            .spawn(move || {
                let mut since: Option<(bool, Instant)> = None;
                for stream in listener.incoming().flatten() {
                    let is_well = switch.load(Ordering::Relaxed);
                    if since.is_none_or(|(was_well, _)| was_well != is_well) {
                        since = Some((is_well, Instant::now()));
                    }
                    let minute = since.map_or(0, |(_, start)| start.elapsed().as_millis() / MINUTE.as_millis());
                    let (series, of_down) =
                        if is_well { (&well, "200 OK") } else { (&trouble, "503 Service Unavailable") };
                    let _ = answer(stream, series, minute, of_down); // it asks again
                }
            })
            .unwrap();
        Self { address, is_well }
    }
}

/// `of_down` is what a target says whose agent may be down.
fn answer(mut stream: TcpStream, series: &[Series], minute: u128, of_down: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let (mut head, mut part) = (Vec::new(), [0; 1024]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut part)? {
            0 => return Ok(()),
            count => head.extend_from_slice(&part[..count]),
        }
    }
    let is_down = head.starts_with(b"GET /down");
    let status = if is_down { of_down } else { "200 OK" };
    let body = if is_down { String::new() } else { shown(series, minute) };
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\n");
    stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
}

fn shown(series: &[Series], minute: u128) -> String {
    let line = |one: &Series| {
        let minute = usize::try_from(minute).unwrap().min(one.values.len() - 1);
        format!("{} {}\n", one.name, one.values[minute])
    };
    // Prometheus itself makes `up`.
    series.iter().filter(|one| !one.name.starts_with("up{")).map(line).collect()
}

/// The rules with their ranges and waits in the test's minutes.
fn faster_rules() -> String {
    let text = std::fs::read_to_string(manifest("alerts.yaml")).unwrap();
    let span = Regex::new(r"(\[|for: )(\d+)([mh])").unwrap();
    let faster = |found: &Captures<'_>| {
        let minutes = found[2].parse::<u128>().unwrap() * if &found[3] == "h" { 60 } else { 1 };
        format!("{}{}ms", &found[1], minutes * MINUTE.as_millis())
    };
    span.replace_all(&text, faster).into_owned()
}

#[test]
fn every_alert_fires_in_trouble_and_ends_after_it() {
    let Some(program) = tools::find("prometheus", "Debian: prometheus") else { return };
    let mut cases = cases();
    let (trouble, well) = (cases.remove(1), cases.remove(0));
    let exporter = Exporter::start(well, trouble);
    let rules = tools::empty_dir("prometheus-rules").join("alerts.yaml");
    std::fs::write(&rules, faster_rules()).unwrap();
    let target = exporter.address;
    let config = format!(
        "global: {{ scrape_interval: 300ms, scrape_timeout: 300ms, evaluation_interval: 300ms }}\n\
         rule_files: [{}]\n\
         scrape_configs:\n\
         \x20 - {{ job_name: kube2iam, honor_labels: true, static_configs: [{{ targets: ['{target}'] }}] }}\n\
         \x20 - {{ job_name: kube2iam-down, metrics_path: /down, static_configs: [{{ targets: ['{target}'] }}] }}\n",
        rules.display()
    );
    let prometheus = Prometheus::start(&program, "prometheus-alerts", &config);
    let firing = || -> BTreeSet<String> {
        let found = prometheus.query("ALERTS{alertstate=\"firing\"}");
        found.iter().map(|alert| alert["metric"]["alertname"].as_str().unwrap().to_owned()).collect()
    };
    let all: BTreeSet<String> = alerts().into_iter().map(|(name, _)| name).collect();
    let mut fired = BTreeSet::new();
    let late = Instant::now() + LIMIT;
    while fired != all {
        assert!(Instant::now() < late, "these never fired: {:?}", all.difference(&fired));
        fired.extend(firing());
        std::thread::sleep(Duration::from_millis(100));
    }
    exporter.is_well.store(true, Ordering::Relaxed);
    let late = Instant::now() + LIMIT;
    while !firing().is_empty() {
        assert!(Instant::now() < late, "these never ended: {:?}", firing());
        std::thread::sleep(Duration::from_millis(100));
    }
}
