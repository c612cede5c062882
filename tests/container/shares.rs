//! What one pod may take: counted by the pod that a token proves, not by an address that many share.

use crate::standins::client::Connection;
use crate::{NODE, Site, request};

/// On the node's network all pods have one address. One that holds many connections is asked to close them; the
/// others, and probes, don't notice.
#[test]
fn a_pod_of_the_nodes_network_with_many_connections_crowds_out_no_other() {
    let site = Site::open();
    let agent = site.agent(&[]);
    let hold = |name: &str, count: usize| -> Vec<(Connection, bool)> {
        let ask = request(&site.lab.kubernetes.token("shop", name));
        let open = |_| {
            let mut connection = Connection::open(agent.addr(), NODE);
            let answer = connection.ask(&ask);
            assert_eq!(answer.status, 200, "{}", answer.text());
            let closes = answer.header("Connection") == Some("close");
            (connection, closes)
        };
        (0..count).map(open).collect()
    };
    let many = hold("host-1", 40);
    assert!(many[..30].iter().all(|(_, closes)| !closes) && many[39].1, "from 32 on its connections are closed");
    let few = hold("host-2", 3);
    assert!(few.iter().all(|(_, closes)| !closes), "another pod has its own count");
}
