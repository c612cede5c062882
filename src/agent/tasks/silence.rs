//! The thread that notices when connections to the API server are dead without a sign.

use std::time::Duration;

use log::{info, warn};

use crate::agent::wiring::Rooms;
use crate::logic::cluster::kubernetes::Resource;
use crate::logic::cluster::silence::Silence;
use crate::ports::Waited;

/// Looks until shutdown.
pub(crate) fn watch_for_silence(rooms: &Rooms) {
    let mut silence = Silence::default();
    loop {
        let now = rooms.clock.now().mono;
        let heard_at = rooms.registry.read(|world, _| world.heard_at());
        let due = heard_at.map_or(now.after(LOOK_AGAIN), |heard_at| silence.due(heard_at));
        match heard_at {
            Some(heard_at) if due <= now => {
                ask(rooms, now.since(heard_at));
                silence.asked(heard_at, rooms.clock.now().mono);
            }
            _ if rooms.latch.wait(due) == Waited::ShutDown => return,
            _ => {}
        }
    }
}

fn ask(rooms: &Rooms, silent: Duration) {
    let (silent_s, server) = (silent.as_secs(), rooms.kubernetes.server());
    match rooms.kubernetes.reopen() {
        Ok(()) => info!(
            "server" = server;
            "no watch of `{server}` has brought anything for {silent_s} s and a new connection works: opening all anew"
        ),
        Err(failure) => {
            warn!(
                "server" = server;
                "no watch of `{server}` has brought anything for {silent_s} s, and a new connection doesn't work: {}",
                failure.cause
            );
            let now = rooms.clock.now().mono;
            let watched: Vec<Resource> = rooms.registry.read(|world, _| world.watched().collect());
            watched.into_iter().for_each(|resource| rooms.registry.record_failure(resource, &failure, now));
        }
    }
}

/// While there is nothing to wait for.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
