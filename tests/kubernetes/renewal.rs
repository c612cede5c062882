//! Files that are renewed while the agent runs: authorities and client certificates, swapped as kubelet does it.

use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use kube2iam::for_tests::{ApiServerConnection, CallLimits, Resource, Verification};
use rcgen::ExtendedKeyUsagePurpose;
use rustls::ServerConfig;

use crate::server::{Reply, Server, Then};
use crate::tls::{Authority, accept, kubeconfig};
use crate::{Directory, HandClock, api_server, names};

/// Plays replies to one connection after the other, each with the next of `configs`, the last one for all that follow.
/// `after` is called with the number of each handshake that succeeded.
fn play_in_turn(
    replies: Vec<Reply>,
    configs: Vec<Arc<ServerConfig>>,
    after: impl Fn(usize) + Send + 'static,
) -> Server {
    let number = std::cell::Cell::new(0);
    let wrap = move |stream: TcpStream| {
        let nth = number.replace(number.get() + 1);
        let wire = accept(&configs[nth.min(configs.len() - 1)], stream)?;
        after(nth);
        Ok(wire)
    };
    Server::play_over(replies, Box::new(wrap))
}

fn ok(then: Then) -> Reply {
    Reply { then, ..Reply::recorded("list-namespaces") }
}

/// Puts a chain and its key into one file, and the link `kubelet-client-current.pem` over the old one.
fn renew(directory: &Directory, name: &str, clients: &Authority) {
    let (certificate, key) = clients.vouch("node", ExtendedKeyUsagePurpose::ClientAuth);
    swap(&directory.0, name, &format!("{}{}", certificate.pem(), key.serialize_pem()));
}

fn swap(directory: &Path, name: &str, pem: &str) {
    std::fs::write(directory.join(name), pem).unwrap();
    symlink(directory.join(name), directory.join("next")).unwrap();
    std::fs::rename(directory.join("next"), directory.join("kubelet-client-current.pem")).unwrap();
}

const USER: &str = "    client-certificate: kubelet-client-current.pem\n    client-key: kubelet-client-current.pem\n";

/// By a kubeconfig with the authority's file and the kubelet's certificate.
fn api(server: &Server, directory: &Directory) -> kube2iam::for_tests::ApiServer {
    let text = kubeconfig(server, "    certificate-authority: ca.crt\n", USER);
    let connection = ApiServerConnection::kubeconfig(&directory.file("config", &text), Verification::Required).unwrap();
    api_server(connection, None, &HandClock::default(), CallLimits::default())
}

fn list(api: &kube2iam::for_tests::ApiServer) -> Result<usize, String> {
    let (names, page) = names(api, Resource::Namespaces, None);
    page.map(|_| names.len()).map_err(|failure| failure.cause)
}

#[test]
fn a_renewed_authority_is_believed_without_a_restart() {
    let (before, after, directory) = (Authority::new(), Authority::new(), Directory::new());
    let configs = vec![before.server_config(None), after.server_config(None)];
    let server = play_in_turn(vec![ok(Then::Close); 2], configs, |_| {});
    let (host, port) = (server.address.ip().to_string(), server.address.port().to_string());
    let ca = directory.file("ca.crt", &before.pem);
    let connection = ApiServerConnection::in_cluster(&host, &port, &directory.file("token", "t"), &ca).unwrap();
    let api = api_server(connection, None, &HandClock::default(), CallLimits::default());
    assert_eq!(list(&api), Ok(6));
    // the server has the new chain before the file is there
    let refused = list(&api).unwrap_err();
    assert!(refused.contains(&format!("check `{}`", ca.display())), "{refused}");
    for unusable in ["", &after.pem[..after.pem.len() / 2]] {
        directory.file("ca.crt", unusable);
        assert_eq!(list(&api), Err(refused.clone()), "the old authority stays in use");
    }
    directory.file("ca.crt", &after.pem);
    assert_eq!(list(&api), Ok(6));
}

#[test]
fn a_renewed_client_certificate_is_presented_without_a_restart() {
    let (authority, before, after) = (Authority::new(), Authority::new(), Authority::new());
    let directory = Directory::new();
    directory.file("ca.crt", &authority.pem);
    renew(&directory, "kubelet-client-1.pem", &before);
    let configs = vec![authority.server_config(Some(&before)), authority.server_config(Some(&after))];
    let server = play_in_turn(vec![ok(Then::KeepOpen); 4], configs, |_| {});
    let api = api(&server, &directory);
    assert_eq!((list(&api), list(&api)), (Ok(6), Ok(6)));
    assert_eq!(server.connections(), 1);
    // half of a new one changes nothing
    swap(&directory.0, "kubelet-client-2.pem", "-----BEGIN CERTIFICATE-----\nAAAA");
    assert_eq!(list(&api), Ok(6));
    assert_eq!(server.connections(), 1);
    // the idle connection was made with the old one, and is not used again
    renew(&directory, "kubelet-client-3.pem", &after);
    assert_eq!(list(&api), Ok(6));
    assert_eq!(server.connections(), 2);
}

#[test]
fn a_client_certificate_that_is_refused_is_read_again_at_once() {
    let (authority, before, after) = (Authority::new(), Authority::new(), Authority::new());
    let directory = Directory::new();
    directory.file("ca.crt", &authority.pem);
    renew(&directory, "kubelet-client-1.pem", &before);
    let path = directory.0.clone();
    let (certificate, key) = after.vouch("node", ExtendedKeyUsagePurpose::ClientAuth);
    let renewed = format!("{}{}", certificate.pem(), key.serialize_pem());
    // renewed when the connection stands: the old one has ended when the request comes
    let renew = move |nth| {
        if nth == 0 {
            swap(&path, "kubelet-client-2.pem", &renewed);
        }
    };
    let configs = vec![authority.server_config(Some(&before)), authority.server_config(Some(&after))];
    let replies = vec![Reply::recorded("unauthorized"), ok(Then::KeepOpen)];
    let server = play_in_turn(replies, configs, renew);
    assert_eq!(list(&api(&server, &directory)), Ok(6));
    assert_eq!(server.connections(), 2);
}
