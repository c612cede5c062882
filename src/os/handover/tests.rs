//! Offering and requesting listeners, and processes that imitate an agent.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::os::clock::SystemClock;
use crate::os::state_dir::tests::TestStateDir;

fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
}

fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().unwrap()
}

fn addresses(listeners: &[TcpListener]) -> Vec<SocketAddr> {
    listeners.iter().map(address).collect()
}

fn asked(dir: &StateDir) -> Option<(Vec<TcpListener>, Predecessor)> {
    request(dir, &SystemClock::new()).handed
}

fn sockets(place: &TestStateDir) -> usize {
    read_dir(place.path()).unwrap().count()
}

#[test]
fn accept_queue_outlives_the_agent_that_opened_it() {
    let place = TestStateDir::new();
    let dir = place.open();
    let (app, metrics) = (listener(), listener());
    let wanted = vec![address(&app), address(&metrics)];
    let offer = Offer::make(&dir, vec![app, metrics], 1, |_| {}).unwrap();
    let (listeners, predecessor) = asked(&dir).unwrap();
    assert_eq!(addresses(&listeners), wanted);
    assert!(predecessor.is_running(Duration::ZERO));
    let mut early = TcpStream::connect(wanted[0]).unwrap();
    offer.withdraw();
    assert!(!predecessor.is_running(Duration::from_secs(10)));
    early.write_all(b"still there").unwrap();
    listeners[0].accept().unwrap();
    assert_eq!(sockets(&place), 0);
}

#[test]
fn latest_offer_is_used_and_the_others_stay() {
    let place = TestStateDir::new();
    let dir = place.open();
    let offers: Vec<_> = (0..3)
        .map(|number| {
            let listener = listener();
            (address(&listener), Offer::make(&dir, vec![listener], number, |_| {}).unwrap())
        })
        .collect();
    // Files created within one tick of the kernel's clock have the same age.
    for number in 0..3 {
        let path = dir.join(&format!("agent-{number:08x}.sock"));
        let second = rustix::fs::Timespec { tv_sec: 1_800_000_000 - number, tv_nsec: 0 };
        let times = rustix::fs::Timestamps { last_access: second, last_modification: second };
        rustix::fs::utimensat(rustix::fs::CWD, &path, &times, rustix::fs::AtFlags::empty()).unwrap();
    }
    let (listeners, _) = asked(&dir).unwrap();
    assert_eq!(addresses(&listeners), [offers[0].0]);
    assert_eq!(sockets(&place), 3);
    offers.into_iter().for_each(|(_, offer)| offer.withdraw());
    assert!(asked(&dir).is_none());
}

#[test]
fn only_offers_of_dead_agents_are_removed() {
    let place = TestStateDir::new();
    let dir = place.open();
    drop(UnixListener::bind(dir.join("agent-00000001.sock")).unwrap());
    drop(UnixListener::bind(dir.join("control.sock")).unwrap());
    std::fs::write(dir.join("agent-00000002.sock"), "no socket").unwrap();
    assert!(asked(&dir).is_none());
    assert_eq!(sockets(&place), 2);
}

#[test]
fn unresponsive_offers_delay_a_start_by_one_timeout_at_most() {
    let place = TestStateDir::new();
    let dir = place.open();
    let _silent = UnixListener::bind(dir.join("agent-00000001.sock")).unwrap();
    let full = UnixListener::bind(dir.join("agent-00000002.sock")).unwrap();
    rustix::net::listen(&full, 0).unwrap();
    let _queue = UnixStream::connect(dir.join("agent-00000002.sock")).unwrap();
    let _also_silent = UnixListener::bind(dir.join("agent-00000003.sock")).unwrap();
    let clock = SystemClock::new();
    let asked = request(&dir, &clock);
    assert!(asked.handed.is_none() && asked.failures.len() == 3, "{:?}", asked.failures);
    assert!(clock.now().mono < Mono::default().after(TIMEOUT * 10), "one deadline covers all of them");
    assert_eq!(sockets(&place), 3, "they listen, so they stay");
}

#[test]
fn message_or_listeners_alone_are_rejected() {
    for (message, count) in
        [(&b"kube2iam listeners 2\n"[..], 1), (b"kube2iam listeners 1\nmore", 1), (MESSAGE, 0), (b"", 0)]
    {
        let place = TestStateDir::new();
        let dir = place.open();
        let listen = UnixListener::bind(dir.join("agent-00000001.sock")).unwrap();
        let talk = threads::spawn("talker", threads::STACK_BYTES, move || {
            let (connection, _) = listen.accept().unwrap();
            let listener = listener();
            let descriptors = [listener.as_fd()];
            let mut room = [MaybeUninit::uninit(); CMSG_BYTES];
            let mut rights = SendAncillaryBuffer::new(&mut room);
            assert!(count == 0 || rights.push(SendAncillaryMessage::ScmRights(&descriptors)));
            sendmsg(&connection, &[IoSlice::new(message)], &mut rights, SendFlags::NOSIGNAL).unwrap();
        });
        assert!(asked(&dir).is_none());
        talk.unwrap().join().unwrap();
    }
}

#[test]
fn predecessor_counts_waiting_successors() {
    let place = TestStateDir::new();
    let dir = place.open();
    let (tell, told) = std::sync::mpsc::channel();
    let offer = Offer::make(&dir, vec![listener()], 7, move |waiting| tell.send(waiting).unwrap()).unwrap();
    let turns = |waiting| told.iter().take(100).any(|told| told == waiting);
    let (_, one) = asked(&dir).unwrap();
    assert!(turns(1));
    let (_, two) = asked(&dir).unwrap();
    assert!(turns(2));
    drop(one);
    assert!(turns(1) && two.is_running(Duration::ZERO));
    drop(two);
    assert!(turns(0));
    offer.withdraw();
}

#[test]
fn successors_beyond_the_limit_replace_the_oldest() {
    let place = TestStateDir::new();
    let dir = place.open();
    let offer = Offer::make(&dir, vec![listener()], 7, |_| {}).unwrap();
    let connections: Vec<_> = (0..MAX_CONNECTIONS + 2).map(|_| asked(&dir).unwrap().1).collect();
    let (first, last) = (&connections[0], &connections[MAX_CONNECTIONS + 1]);
    assert!(!first.is_running(Duration::from_secs(10)) && last.is_running(Duration::ZERO));
    offer.withdraw();
}

#[test]
fn no_handover_in_a_world_writable_directory() {
    let place = TestStateDir::new();
    let dir = place.open();
    let offer = Offer::make(&dir, vec![listener()], 7, |_| {}).unwrap();
    let set = |mode| std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    set(0o777);
    let refused = request(&dir, &SystemClock::new());
    assert!(refused.handed.is_none() && refused.failures[0].contains("everybody may write"), "{:?}", refused.failures);
    set(0o700);
    assert!(asked(&dir).is_some());
    offer.withdraw();
}

#[test]
fn process_of_another_user_gets_no_listener() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can be another user");
        return;
    }
    let place = TestStateDir::new();
    let dir = place.open();
    let offer = Offer::make(&dir, vec![listener()], 7, |_| {}).unwrap();
    let path = dir.join("agent-00000007.sock");
    // Reaches the socket in spite of the directory's mode, for example through a passed descriptor.
    let other = std::thread::scope(|scope| {
        let connect = || {
            let connection = UnixStream::connect(&path).unwrap();
            rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65_532)).unwrap();
            connection
        };
        scope.spawn(connect).join().unwrap()
    });
    // SO_PEERCRED is fixed at connect: this connection was made as root.
    assert!(receive(&other).is_ok());
    let other = std::thread::scope(|scope| {
        let connect = || {
            // Opened up so that the other user can connect.
            std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
            rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65_532)).unwrap();
            UnixStream::connect(&path).unwrap()
        };
        scope.spawn(connect).join().unwrap()
    });
    let refused = receive(&other).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::UnexpectedEof);
    offer.withdraw();
}

#[test]
fn offer_fits_into_the_longest_directory_name() {
    let place = TestStateDir::new();
    let root = place.open();
    let name = "d".repeat(LONGEST_DIR - root.path().as_os_str().len() - 1);
    let dir = StateDir::open(&root.join(&name)).unwrap();
    Offer::make(&dir, vec![listener()], u64::MAX, |_| {}).unwrap().withdraw();
}

/// The limit of `--state-dir`, in bytes.
const LONGEST_DIR: usize = 87;
