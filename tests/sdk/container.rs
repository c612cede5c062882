//! The other way in: SDKs that find a token and an address of container credentials in their environment, and nothing
//! else. They come from loopback, as pods on the node's network do.

use std::net::SocketAddr;
use std::path::Path;

use crate::Site;
use crate::clients::{Client, Program};
use crate::standins::agent::Agent;
use crate::standins::kubernetes::PodSpec;
use crate::tools::empty_dir;

impl Site {
    fn agent_for_tokens(&self) -> Agent {
        self.lab.kubernetes.add_namespace("shop", &[]);
        self.lab.kubernetes.add_pod(PodSpec::new("shop", "host").ip("127.0.0.1").role("app").host_network());
        self.lab.kubernetes.add_pod(PodSpec::new("shop", "bare").ip("127.0.0.1").host_network());
        self.setup(&self.moto.url()).flags(&["--container-credentials"]).start()
    }

    fn start_with_token(&self, client: Client, agent: SocketAddr, token: &Path) -> Program {
        let uri = format!("http://{agent}/v1/credentials");
        self.kits.start_in_container(client, &uri, token, &self.moto.url())
    }
}

#[test]
fn every_sdk_gets_its_role_by_a_token_and_reads_the_file_anew() {
    let Some(site) = Site::open() else { return };
    let agent = site.agent_for_tokens();
    let kubernetes = &site.lab.kubernetes;
    let mut expired = kubernetes.claims("shop", "host");
    expired["exp"] = 1_000.into();
    for client in Client::ALL.into_iter().filter(|client| site.kits.have(*client)) {
        let file = empty_dir(&format!("token-{client:?}")).join("token");
        for (token, reason) in [
            (kubernetes.sign(&expired), "token_expired"),
            (kubernetes.token("shop", "bare"), "no_role"),
            (kubernetes.token("shop", "gone"), "token_pod_mismatch"),
        ] {
            std::fs::write(&file, token).unwrap();
            let refused = site.start_with_token(client, agent.addr(), &file).who();
            assert!(refused.starts_with("error: "), "{client:?} {reason}: {refused}");
            assert!(agent.log().iter().any(|line| line.contains(&format!("reason={reason}"))), "{client:?} {reason}");
        }
        let mut program = site.start_with_token(client, agent.addr(), &file);
        assert!(program.who().starts_with("error: "), "{client:?}");
        // What the kubelet does: a line break at the end would be the file's, not the token's, and it writes none.
        std::fs::write(&file, kubernetes.token("shop", "host")).unwrap();
        let who = program.who();
        assert!(who.starts_with("arn:aws:sts::123456789012:assumed-role/app/"), "{client:?}: {who}");
    }
    assert!(!agent.log().iter().any(|line| line.contains("/latest/")), "nobody falls back to the metadata address");
    site.assert_log_is_clean(&agent);
}
