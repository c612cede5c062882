//! What passes through: the metadata service asked in the agent's own name, its answers bounded.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use crate::site::{OWN, POD, REGION, Site};
use crate::standins::client::{self, Ask, Connection, TOKEN_HEADER};
use crate::standins::metadata::{MetadataFault, Seen, Version};
use crate::standins::wire::spawn;
use crate::standins::{PATIENCE, Times};

fn reads(site: &Site, target: &str) -> Vec<Seen> {
    let all = site.lab.metadata.seen();
    all.into_iter().filter(|seen| seen.method == "GET" && seen.target == target).collect()
}

#[test]
fn pods_without_tokens_work_where_the_service_demands_them() {
    let site = Site::open(&[]);
    site.lab.metadata.set_version(Version::SecondOnly);
    assert_eq!(site.get(REGION).text(), "eu-west-1");
    // A pod's own token stays here.
    let token = client::token(site.addr(), POD);
    assert_eq!(site.ask(&Ask::get(REGION).header(TOKEN_HEADER, &token)).text(), "eu-west-1");
    let shown: Vec<_> = reads(&site, REGION).iter().map(|seen| seen.header(TOKEN_HEADER).unwrap().to_owned()).collect();
    assert_eq!(shown.len(), 2);
    assert!(shown.iter().all(|shown| *shown != token), "the pod's token went upstream");
    let fetched = site.lab.metadata.count("PUT", "/latest/api/token");
    site.lab.metadata.expire_tokens();
    assert_eq!(site.get(REGION).text(), "eu-west-1");
    assert_eq!(site.lab.metadata.count("PUT", "/latest/api/token"), fetched + 1);
}

#[test]
fn a_service_without_tokens_is_asked_without() {
    for status in [403, 404] {
        let lab = crate::standins::Lab::start();
        lab.metadata.set_version(Version::FirstOnly(status));
        let agent = lab.setup().flags(&[crate::site::BASE]).start();
        assert_eq!(client::get(agent.addr(), POD, REGION).text(), "eu-west-1");
        let seen = lab.metadata.seen();
        let read = seen.iter().find(|seen| seen.target == REGION).unwrap();
        assert_eq!((read.header(TOKEN_HEADER), read.header("X-Forwarded-For")), (None, None));
    }
}

#[test]
fn accept_and_plain_queries_are_all_that_goes_along() {
    let site = Site::open(&[]);
    let target = "/latest/meta-data/tags/instance/team?a=b&c";
    let ask = Ask::get(target).header("Accept", "text/x-pod").header("Cookie", "x").header("Range", "bytes=0-1");
    assert_eq!(site.ask(&ask).text(), "platform");
    let read = reads(&site, target).pop().unwrap();
    assert_eq!((read.header("Accept"), read.header("Cookie"), read.header("Range")), (Some("text/x-pod"), None, None));
    for dropped in ["?a=%2e", "?a=/../x", "?a;b", "#a", "?"] {
        assert_eq!(site.get(&format!("{REGION}{dropped}")).text(), "eu-west-1", "{dropped}");
    }
    assert_eq!(reads(&site, REGION).len(), 5);
}

#[test]
fn the_services_status_is_passed_on_and_its_connection_is_not() {
    let site = Site::open(&[]);
    let mut connection = Connection::open(site.addr(), POD);
    for status in [404, 400, 429, 500, 503] {
        site.lab.metadata.fault(REGION, MetadataFault::Status(status), Times::Next(1));
        let answer = connection.ask(&Ask::get(REGION));
        assert_eq!((answer.status, answer.header("Connection")), (status, None));
    }
    // It closes after each answer; the pod's connection lives on.
    let answer = connection.ask(&Ask::get(REGION));
    assert_eq!((answer.status, answer.header("Connection"), answer.header("Server")), (200, None, Some("EC2ws")));
    assert_eq!(answer.header("Last-Modified"), Some("Thu, 01 Jan 2026 00:00:00 GMT"));
    assert_eq!(connection.ask(&Ask::get("/latest/meta-data/none")).status, 404);
}

#[test]
fn answers_are_bounded_and_what_is_cut_is_cut_loudly() {
    let site = Site::open(&[]);
    let mebibyte = 1024 * 1024;
    for (bytes, status) in [(mebibyte, 200), (mebibyte + 1, 502), (8 * mebibyte, 502)] {
        site.lab.metadata.fault(REGION, MetadataFault::Large { bytes }, Times::Next(1));
        let answer = site.get(REGION);
        assert_eq!(answer.status, status, "{bytes}");
        assert!(status != 200 || answer.body.len() == bytes);
    }
    for fault in [MetadataFault::HalfBody, MetadataFault::Close] {
        site.lab.metadata.fault(REGION, fault, Times::Next(2));
        let answer = site.get(REGION);
        assert_eq!((answer.status, answer.text().as_str()), (502, "metadata_unavailable\n"), "{fault:?}");
        site.lab.metadata.clear_faults();
    }
    site.lab.metadata.wire().go_down();
    assert_eq!(site.get(REGION).status, 502);
    assert_eq!(site.get(OWN).status, 200);
}

#[test]
fn a_service_that_hangs_costs_two_seconds_at_most_and_nobody_else() {
    let site = Site::open(&[]);
    assert_eq!([site.get(REGION).status, site.get(OWN).status], [200, 200]);
    site.lab.metadata.fault(REGION, MetadataFault::Hang, Times::Always);
    let (report, reported) = channel();
    let (addr, start) = (site.addr(), Instant::now());
    spawn("asker", move || report.send((client::get(addr, POD, REGION).status, start.elapsed())).unwrap());
    while reads(&site, REGION).len() < 2 {
        assert_eq!(site.get(OWN).status, 200);
        assert!(start.elapsed() < PATIENCE, "the service wasn't asked");
    }
    let (status, took) = reported.recv_timeout(PATIENCE).unwrap();
    assert_eq!(status, 502);
    // Two seconds at most, and what a busy machine adds.
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn the_service_is_asked_sixteen_things_at_a_time_and_a_few_by_each_pod() {
    let site = Site::open(&[]);
    for (addresses, most) in [(1, 4), (10, 16)] {
        site.lab.metadata.fault(REGION, MetadataFault::Slow(Duration::from_millis(100)), Times::Always);
        let (report, reported) = channel();
        for number in 0..40 {
            let (addr, report) = (site.addr(), report.clone());
            let from = format!("127.0.2.{}", number % addresses + 1);
            spawn("asker", move || report.send(client::get(addr, &from, REGION).status).unwrap_or_default());
        }
        for _ in 0..40 {
            let status = reported.recv_timeout(PATIENCE).unwrap();
            // Those beyond a pod's own share are refused; on a machine that crawls some don't get their turn in time.
            assert!(matches!(status, 200 | 502 | 503), "{status}");
        }
        let seen = site.lab.metadata.max_in_flight();
        assert!((1..=most).contains(&seen), "{seen} at a time from {addresses} addresses");
        site.lab.metadata.clear_faults();
    }
}
