//! Output for the node's operator: explain, status, doctor, Events, log lines, and the advice for each reason.

pub mod advice;
pub mod compare;
pub mod doctor;
pub mod events;
pub mod explain;
pub mod lint;
pub mod log_line;
pub mod manifests;
pub mod outage;
pub mod port_holder;
pub mod process;
pub mod shell;
pub mod status;
