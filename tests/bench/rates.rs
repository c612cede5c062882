//! Answers from memory per second, with and without keep-alive, beside nginx returning the same body, and the
//! processor time of one answer.

use std::net::SocketAddr;
use std::time::Duration;

use crate::proc;
use crate::report::{Report, Target};
use crate::standins::Lab;
use crate::standins::client::get;
use crate::subject::{DOCUMENT, FIRST_POD, serving};
use crate::wrk::{Connections, Nginx, is_there, rate};

pub fn run(report: &mut Report) {
    if !is_there("wrk") || !is_there("nginx") {
        return report.left_out("wrk and nginx (Debian: wrk, nginx-light)");
    }
    let lab = Lab::start();
    let agent = serving(&lab, PODS);
    let nginx = Nginx::start(&get(agent.addr(), FIRST_POD, DOCUMENT).text());
    let kinds = [
        ("keep-alive", Connections::Kept, KEPT_OF_NGINX),
        ("a connection per request", Connections::OnePerRequest, SINGLE_OF_NGINX),
    ];
    for (name, connections, of_nginx) in kinds {
        let before = proc::cpu(agent.pid());
        let (ours, theirs, answers) = by_turns(agent.addr(), nginx.address(), connections);
        let busy = proc::cpu(agent.pid()).saturating_sub(before);
        report.number(&format!("{name}: nginx"), theirs, "answers/s", Target::None);
        report.number(&format!("{name}: kube2iam"), ours, "answers/s", Target::None);
        report.number(&format!("{name}: kube2iam / nginx"), ours / theirs, "", Target::AtLeast(of_nginx));
        report.number(
            &format!("{name}: processor time"),
            busy.as_secs_f64() * 1e6 / answers,
            "us/answer",
            Target::None,
        );
    }
}

/// The median rates of several short runs, ours and theirs in turn, and how many answers ours were.
fn by_turns(ours: SocketAddr, theirs: SocketAddr, connections: Connections) -> (f64, f64, f64) {
    let (mut our_rates, mut their_rates) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        our_rates.push(rate(ours, DOCUMENT, connections, ROUND));
        their_rates.push(rate(theirs, DOCUMENT, connections, ROUND));
    }
    let answers = our_rates.iter().sum::<f64>() * ROUND.as_secs_f64();
    (median(our_rates), median(their_rates), answers)
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

const PODS: usize = 250;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
const KEPT_OF_NGINX: f64 = 0.55;
const SINGLE_OF_NGINX: f64 = 0.9;
