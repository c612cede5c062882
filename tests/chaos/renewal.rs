//! The cluster's authority and the kubelet's client certificate are renewed while the agent runs: in their files first,
//! then at the server, whose connections end.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::random;
use super::site::{Pod, Site};
use super::standins::API_TOKEN;
use super::tls::Authority;

/// As kubelet replaces its own: a new file, and a link that is moved over the old one.
fn swap(directory: &Path, name: &str, pem: &str) {
    fs::write(directory.join(name), pem).unwrap();
    symlink(directory.join(name), directory.join("next")).unwrap();
    fs::rename(directory.join("next"), directory.join("kubelet-client-current.pem")).unwrap();
}

/// A kubeconfig as a kubelet has it.
fn kubeconfig(site: &Site) -> String {
    let current = "kubelet-client-current.pem";
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
         contexts: [{{name: here, context: {{cluster: c, user: u}}}}]\n\
         clusters: [{{name: c, cluster: {{server: '{}', certificate-authority: ca.crt}}}}]\n\
         users: [{{name: u, user: {{token: '{API_TOKEN}', client-certificate: {current}, client-key: {current}}}}}]\n",
        site.api.address()
    )
}

#[test]
fn an_agent_whose_authority_and_client_certificate_are_renewed_learns_of_the_next_pod() {
    let site = Site::set_up(&mut random::of_run());
    let directory = site.directory();
    let bundle = fs::read_to_string(directory.join("ca.crt")).unwrap();
    let (mut authority, mut clients) = (Authority::new(), Authority::new());
    fs::write(directory.join("ca.crt"), bundle.clone() + &authority.pem).unwrap();
    swap(directory, "kubelet-client-0.pem", &clients.client());
    fs::write(directory.join("config"), kubeconfig(&site)).unwrap();
    site.guards[0].renew(&authority, &clients);
    let mut agent = site.setup().start();
    for number in 1..=3 {
        let pod = Pod::number(number);
        site.lab.kubernetes.add_pod(pod.spec());
        site.await_all(&agent, &[pod]);
        match number {
            1 => authority = Authority::new(),
            2 => clients = Authority::new(),
            _ => break,
        }
        // half of it first
        fs::write(directory.join("ca.crt"), &authority.pem[..authority.pem.len() / 2]).unwrap();
        site.api.cut();
        agent.wait_for_log("going on with the last usable version");
        fs::write(directory.join("ca.crt"), bundle.clone() + &authority.pem).unwrap();
        swap(directory, &format!("kubelet-client-{number}.pem"), &clients.client());
        site.guards[0].renew(&authority, &clients);
        site.api.cut();
    }
    site.assert_sound(&mut agent);
}
