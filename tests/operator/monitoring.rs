//! The dashboard and the alerts speak of metrics that a running agent shows, with labels that these have; a real
//! Prometheus scrapes it and understands every expression.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use kube2iam::for_tests::{BUILD, InPlace, Metrics};
use regex_lite::Regex;
use serde_json::Value;

use super::prometheus::Prometheus;
use super::standins::agent::{Agent, Until};
use super::standins::client::{TOKEN_HEADER, get, get_as_operator, token};
use super::standins::kubernetes::PodSpec;
use super::standins::process::{run, run_well};
use super::standins::sts::StsFault;
use super::standins::{Lab, Times, client};
use super::{Site, WEB, tools, wait_for, web};

const LIST: &str = "/latest/meta-data/iam/security-credentials/";

/// An agent that has seen a bit of everything.
fn busy() -> Site {
    let lab = Lab::start();
    lab.kubernetes.add_namespace("shop", &[("iam.amazonaws.com/allowed-roles", r#"["app"]"#)]);
    lab.kubernetes.add_pod(web().node("node-1"));
    lab.kubernetes.add_pod(PodSpec::new("shop", "web-2").ip("127.0.0.8").role("denied").node("node-1"));
    lab.sts.fault(Some("arn:aws:iam::123456789012:role/denied"), StsFault::ACCESS_DENIED, Times::Always);
    let flags = ["--namespace-restrictions", "--policy-mode=audit", "--events", "--node=node-1"];
    let site = Site::open(lab, &flags);
    let agent = site.agent.addr();
    let token = token(agent, WEB);
    for _ in 0..3 {
        assert_eq!(get(agent, WEB, &format!("{LIST}app")).status, 200);
        let ask = client::Ask::get("/latest/meta-data/instance-id").header(TOKEN_HEADER, &token);
        assert_eq!(ask.send(agent, WEB).status, 200);
    }
    assert_eq!(get(agent, "127.0.0.8", LIST).status, 200, "let pass in audit mode");
    assert_eq!(get(agent, "127.0.0.8", &format!("{LIST}denied")).status, 403);
    assert_eq!(get(agent, WEB, "/latest/user-data").status, 403);
    assert_eq!(get(agent, "127.0.0.99", LIST).status, 404);
    wait_for("an Event's count", || {
        get_as_operator(agent, "/metrics").text().contains("kube2iam_events_total{").then_some(())
    });
    site
}

/// The labels of every metric in a text of Prometheus's format.
fn shown(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let label = Regex::new(r#"([a-z_]+)=""#).unwrap();
    let mut metrics: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let labels = line.split_once('{').map_or("", |(_, labels)| labels);
        let labels = label.captures_iter(labels).map(|found| found[1].to_owned());
        metrics.entry(name.to_owned()).or_default().extend(labels);
    }
    metrics
}

/// Every metric that an agent may show: the running one's, and those of the redirect and
/// of container credentials, which only show where there is one.
fn all_metrics(site: &Site) -> BTreeMap<String, BTreeSet<String>> {
    let mut metrics = shown(&get_as_operator(site.agent.addr(), "/metrics").text());
    let at_rest = Metrics::new(&BUILD, "n").unwrap();
    at_rest.redirect.set(InPlace::Yes);
    at_rest.redirect.set_address(InPlace::Yes);
    at_rest.container.begin();
    at_rest.container.sample_keys(Some(("https://cluster", Duration::ZERO)));
    let rendered = shown(&String::from_utf8(at_rest.render().unwrap()).unwrap());
    let where_set_up = [
        "kube2iam_redirect_whole",
        "kube2iam_credentials_address_in_place",
        "kube2iam_container_tokens_total",
        "kube2iam_issuer_keys_age_seconds",
    ];
    metrics.extend(rendered.into_iter().filter(|(name, _)| where_set_up.contains(&name.as_str())));
    metrics
}

pub fn manifest(name: &str) -> PathBuf {
    tools::project().join("manifests/monitoring").join(name)
}

/// The dashboard's expressions by the title of their panel.
fn dashboard() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(manifest("dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| {
        let title = panel["title"].as_str().unwrap();
        let targets = panel["targets"].as_array().into_iter().flatten();
        targets.map(move |target| (title.to_owned(), target["expr"].as_str().unwrap().to_owned()))
    });
    targets.collect()
}

/// The alerts' expressions by their names.
pub fn alerts() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(manifest("alerts.yaml")).unwrap();
    let rule = Regex::new(r"- alert: (\w+)\n\s+expr: ((?:.|\n)*?)\n\s+(?:for|labels):").unwrap();
    rule.captures_iter(&text).map(|found| (found[1].to_owned(), found[2].to_owned())).collect()
}

#[test]
fn dashboard_and_alerts_speak_of_metrics_and_labels_that_exist() {
    let site = busy();
    let metrics = all_metrics(&site);
    let named = Regex::new(r"\b((?:kube2iam|process)_\w+)(?:\{([^}]*)\})?").unwrap();
    let label = Regex::new(r"(\w+)\s*(?:=~|!=|!~|=)").unwrap();
    let grouped = Regex::new(r"\bby \(([^)]*)\)").unwrap();
    let expressions: Vec<(String, String)> = dashboard().into_iter().chain(alerts()).collect();
    assert!(expressions.len() > 50, "{}", expressions.len());
    let of_prometheus = ["cluster", "instance", "job", "le"];
    for (title, expression) in expressions {
        let mut known: BTreeSet<String> = of_prometheus.map(str::to_owned).into();
        for found in named.captures_iter(&expression) {
            let labels = metrics.get(&found[1]);
            let labels = labels.unwrap_or_else(|| panic!("{title}: no metric `{}` in {metrics:#?}", &found[1]));
            known.extend(labels.iter().cloned());
            for wanted in label.captures_iter(found.get(2).map_or("", |part| part.as_str())) {
                let exists = labels.contains(&wanted[1]) || of_prometheus.contains(&&wanted[1]);
                assert!(exists, "{title}: `{}` has no label `{}`", &found[1], &wanted[1]);
            }
        }
        for found in grouped.captures_iter(&expression) {
            for wanted in found[1].split(',').map(str::trim) {
                assert!(known.contains(wanted), "{title}: nothing has a label `{wanted}` in {expression}");
            }
        }
    }
}

/// What an operator wants to see at once, by a metric of each panel.
#[test]
fn the_process_shows_what_it_uses() {
    let site = busy();
    let text = get_as_operator(site.agent.addr(), "/metrics").text();
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no `{name}` in\n{text}")).parse::<f64>().unwrap()
    };
    for (name, least) in [
        ("process_resident_memory_bytes", 1e6),
        ("process_virtual_memory_bytes", 1e6),
        ("process_start_time_seconds", 1e9),
        ("process_threads", 5.0),
        ("process_open_fds", 5.0),
        ("process_max_fds", 64.0),
        ("process_cpu_seconds_total", 0.0),
    ] {
        assert!(value(name) >= least, "{name} {}", value(name));
    }
}

#[test]
fn the_dashboard_shows_what_matters_and_no_panel_lies_upon_another() {
    let all: String = dashboard().into_iter().map(|(_, expression)| expression + "\n").collect();
    for metric in [
        "sum by (code) (rate(kube2iam_http_request_duration_seconds_count",
        "histogram_quantile(0.99",
        "kube2iam_credentials_life_left_seconds",
        "kube2iam_sts_calls_total",
        "kube2iam_tokenless_requests_total",
        "kube2iam_redirect_repairs_total",
        "count(up{",
        "kube2iam_ready{",
        "min(kube2iam_credentials_address_in_place{",
        "kube2iam_credentials_address_repairs_total",
        "sum by (outcome) (rate(kube2iam_container_tokens_total",
        "kube2iam_issuer_keys_age_seconds",
    ] {
        assert!(all.contains(metric), "{metric}");
    }
    let text = std::fs::read_to_string(manifest("dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64()), "two panels are number {}", panel["id"]);
        let side = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(side("x") + side("w") <= 24, "{}", panel["title"]);
        for x in side("x")..side("x") + side("w") {
            for y in side("y")..side("y") + side("h") {
                assert!(taken.insert((x, y)), "{} lies upon another panel", panel["title"]);
            }
        }
        let is_described = panel["type"] == "row" || !panel["description"].as_str().unwrap().is_empty();
        assert!(is_described, "{}", panel["title"]);
    }
}

/// An agent that never gets that far is seen by its readiness and by an age that grows from its start.
#[test]
fn an_agent_that_has_listed_nothing_shows_that_and_since_when() {
    let lab = Lab::start();
    let value = |agent: &Agent, name: &str| {
        let text = get_as_operator(agent.addr(), "/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix(name).map(|rest| rest.trim().to_owned()));
        line.unwrap_or_else(|| panic!("no `{name}` in\n{text}")).parse::<f64>().unwrap()
    };
    let age = "kube2iam_watch_age_seconds{resource=\"pods\"}";
    let waiting =
        lab.setup().flags(&["--api-server=http://127.0.0.1:1", "--api-token=x"]).until(Until::Listening).start();
    assert_eq!(value(&waiting, "kube2iam_ready "), 0.0);
    let first = value(&waiting, age);
    wait_for("a greater age", || (value(&waiting, age) > first).then_some(()));
    assert!(value(&waiting, age) < 600.0, "since its own start, not the machine's");
    let ready = lab.setup().start();
    assert_eq!(value(&ready, "kube2iam_ready "), 1.0);
}

/// A path within the project and a heading there.
#[test]
fn every_alert_has_a_runbook_that_exists() {
    let text = std::fs::read_to_string(manifest("alerts.yaml")).unwrap();
    let runbooks: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("runbook_url: ")).collect();
    let names: Vec<String> = alerts().into_iter().map(|(name, _)| name).collect();
    assert_eq!(runbooks.len(), names.len());
    for (runbook, name) in runbooks.iter().zip(names) {
        let (path, anchor) = runbook.split_once('#').unwrap();
        let page = std::fs::read_to_string(tools::project().join(path)).unwrap();
        assert_eq!(anchor, name.to_lowercase());
        assert!(page.contains(&format!("\n### {name}\n")), "{path} has no heading {name}");
    }
}

#[test]
fn promtool_accepts_the_alerts_and_they_fire_in_trouble_only() {
    let Some(promtool) = tools::find("promtool", "Debian: prometheus") else { return };
    run_well(Command::new(&promtool).args(["check", "rules"]).arg(manifest("alerts.yaml")), LIMIT)
        .unwrap_or_else(|cause| panic!("{cause}"));
    let cases = tools::project().join("tests/operator/alerts.test.yaml");
    let output = run(Command::new(&promtool).args(["test", "rules"]).arg(&cases), LIMIT).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tried = std::fs::read_to_string(cases).unwrap();
    for (alert, _) in alerts() {
        assert!(tried.contains(&format!("alertname=\"{alert}\"")), "nothing makes {alert} fire");
    }
}

#[test]
fn prometheus_scrapes_the_agent_and_understands_every_expression() {
    let Some(program) = tools::find("prometheus", "Debian: prometheus") else { return };
    let site = busy();
    let config = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
         rule_files: [{}]\n\
         scrape_configs:\n  - {{ job_name: kube2iam, static_configs: [{{ targets: ['{}'] }}] }}\n",
        manifest("alerts.yaml").display(),
        site.agent.addr()
    );
    let prometheus = Prometheus::start(&program, "prometheus", &config);
    let up = wait_for("a scrape", || {
        let up = prometheus.query("up{job=\"kube2iam\"} == 1");
        (!up.is_empty()).then_some(up)
    });
    assert_eq!(up.len(), 1);
    wait_for("a rate, which takes two scrapes", || {
        (!prometheus.query("rate(kube2iam_watch_events_total[1m])").is_empty()).then_some(())
    });
    for (title, expression) in dashboard() {
        let expression = expression.replace("$__rate_interval", "1m");
        let expression = Regex::new(r"\$\w+").unwrap().replace_all(&expression, ".*");
        prometheus.query_of(&title, &expression);
    }
    let version = prometheus.query("kube2iam_info");
    assert_eq!(version[0]["metric"]["version"], BUILD.version);
    assert_eq!(version[0]["metric"]["node"], "node-1");
    let health = wait_for("every rule to be evaluated", || {
        let answer = prometheus.get("/api/v1/rules");
        let rules = answer["data"]["groups"][0]["rules"].as_array()?.clone();
        (!rules.is_empty() && rules.iter().all(|rule| rule["health"] != "unknown")).then_some(rules)
    });
    for rule in health {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
}

const LIMIT: Duration = Duration::from_secs(30);
