//! Edge, machine and loop together: a recorded day of a cluster, then shutdown.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use kube2iam::for_tests::{
    ApiServerConnection, CallLimits, Clock, Event, Kubernetes, Object, Reflector, Relist, Resource, Verification,
    Waited, WatchNote,
};

use crate::server::{Reply, Server, Then};
use crate::{HandClock, api_server};

/// The picture as a pod's uid, name and addresses, swept as the events say.
#[derive(Default)]
struct Picture {
    listed: Vec<String>,
    pods: BTreeMap<String, String>,
}

impl Picture {
    fn apply(&mut self, event: Event) {
        let pod = |object: Object| match object {
            Object::Pod(pod) => (pod.uid, format!("{} {:?}", pod.name, pod.addresses)),
            Object::Namespace(_) | Object::ServiceAccount(_) => panic!("not a pod among pods"),
        };
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(object) => {
                let (uid, told) = pod(object);
                self.listed.push(uid.clone());
                self.pods.insert(uid, told);
            }
            Event::InitDone => self.pods.retain(|uid, _| self.listed.contains(uid)),
            Event::Apply(object) => self.pods.extend([pod(object)]),
            Event::Delete(object) => drop(self.pods.remove(&pod(object).0)),
            Event::Forget(identity) => panic!("{identity} can't be read"),
        }
    }

    fn told(&self) -> Vec<String> {
        let mut told: Vec<_> = self.pods.values().cloned().collect();
        told.sort();
        told
    }
}

#[test]
fn a_recorded_day_is_followed_until_shutdown() {
    let pages = ["list-pods-page-1", "list-pods-page-2", "list-pods-page-3", "watch-events", "watch-gone", "list-pods"];
    let replies = pages.map(Reply::recorded).into_iter().chain([Reply::watch("", Then::Hold)]);
    let server = Server::play(replies.collect());
    let connection = ApiServerConnection::api_server(&server.url(), None, Verification::Required).unwrap();
    let clock = HandClock::default();
    let api = api_server(connection, None, &clock, CallLimits::default());
    let (picture, pictures, stopped) = (Mutex::new(Picture::default()), Mutex::new(Vec::new()), AtomicBool::new(false));
    let (opened, all_open) = channel();
    let (api, stopped) = (&api, &stopped);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            all_open.iter().nth(2);
            stopped.store(true, Ordering::SeqCst);
            api.shut_down();
        });
        let note = move |note| match note {
            WatchNote::Watching => opened.send(()).unwrap(),
            WatchNote::Relisting { why, .. } => assert!(matches!(why, Relist::Gone(_)), "{why:?}"),
            WatchNote::Unreadable { object, .. } => panic!("{object:?}"),
            _ => {}
        };
        let wait = |until, _| {
            clock.pass(clock.now().mono.until(until));
            if stopped.load(Ordering::SeqCst) { Waited::ShutDown } else { Waited::Elapsed }
        };
        let apply = |event| {
            let is_relist = event == Event::Init;
            let mut picture = picture.lock().unwrap();
            if is_relist {
                pictures.lock().unwrap().push(picture.told());
            }
            picture.apply(event);
        };
        let resource = Resource::Pods;
        Reflector { kubernetes: api, resource, clock: &clock, wait: &wait, random: &|| 0, apply: &apply, note: &note }
            .run();
    });
    let before_relist = pictures.lock().unwrap().pop().unwrap();
    assert!(before_relist.contains(&"heir [10.1.0.40]".to_owned()), "{before_relist:?}");
    assert!(!before_relist.iter().any(|told| told.starts_with("web-0") || told.starts_with("late")));
    let last = picture.lock().unwrap().told();
    assert_eq!(last.len(), 10);
    assert!(!last.iter().any(|told| told.starts_with("heir")), "what the list lacks is swept: {last:?}");
    assert_eq!(clock.now().mono.since(Default::default()), Duration::ZERO, "nothing was backed off from");
}
