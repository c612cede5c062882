//! One open watch, and how it goes wrong.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kube2iam::for_tests::{
    Frame, KubernetesFailure, KubernetesFailureKind, LineReader, Resource, WatchLine, WatchLines,
};
use serde_json::{Value, json};

use crate::api::{keys, shown, unavailable};
use crate::cluster::{Event, index};
use crate::plants::Plant;
use crate::sim::Sim;

pub struct Lines {
    sim: Arc<Sim>,
    agent: usize,
    resource: Resource,
    shut: Arc<AtomicBool>,
    /// The last version of which this watch has told
    position: u64,
    /// What is told first, come what may
    first: VecDeque<(Vec<u8>, u64)>,
    pub is_gone: bool,
    lag: u64,
    ends_at: u64,
    bookmark_at: u64,
    /// Nothing is said any more; the reader gives up then.
    mute_until: Option<u64>,
    /// The connection is cut in the middle of a line.
    is_cut: bool,
    line: Vec<u8>,
}

impl Lines {
    pub fn open(sim: Arc<Sim>, agent: usize, resource: Resource, from: u64, shut: Arc<AtomicBool>) -> Self {
        let now = sim.stage.now();
        let lag = if sim.strikes(|swarm| swarm.lag, 3) { sim.roll(8_000_000) } else { sim.roll(30_000) };
        let ends_at = now + 240_000_000 + sim.roll(120_000_000);
        let bookmark_at = now + 60_000_000;
        Self {
            sim,
            agent,
            resource,
            shut,
            position: from,
            first: VecDeque::new(),
            is_gone: false,
            lag,
            ends_at,
            bookmark_at,
            mute_until: None,
            is_cut: false,
            line: Vec::new(),
        }
    }

    /// Objects that are told as if they had just come.
    pub fn add(&mut self, objects: Vec<Value>) {
        let version = self.position;
        self.first.extend(
            objects
                .into_iter()
                .map(|object| (json!({ "type": "ADDED", "object": object }).to_string().into_bytes(), version)),
        );
    }

    /// Some of what the list has shown already is told again in any order, and at last in the right one.
    pub fn replay(&mut self, step: u64) {
        if !self.sim.strikes(|swarm| swarm.replays, 2) {
            return;
        }
        let mut frames: Vec<Event> = {
            let cluster = &self.sim.truth.lock().cluster;
            let events = cluster.events[index(self.resource)].iter();
            // What would bring it back has no end that could be told again.
            let events = events.filter(|event| !cluster.replaced.contains(&event.subject));
            events.filter(|event| event.version <= self.position).rev().take(6).cloned().collect()
        };
        let Some(oldest) = frames.iter().map(|event| event.version).min() else { return };
        let last: BTreeMap<String, Event> =
            frames.iter().rev().map(|event| (event.subject.clone(), event.clone())).collect();
        self.sim.shuffle(&mut frames);
        let mut ordered: Vec<Event> = last.into_values().collect();
        ordered.sort_by_key(|event| event.version);
        let told = frames.iter().chain(&ordered).map(|event| (self.written(event), event.version));
        let told: Vec<_> = told.collect();
        self.first.extend(told);
        self.sim.feed(self.agent, self.resource, |feed| feed.set_floor(step, oldest));
        self.sim.stage.note(&format!("agent {}: {} frames are told again", self.agent, self.first.len()));
    }

    /// The picture has taken in whatever was told before.
    fn settle(&self) {
        if !self.first.is_empty() {
            return;
        }
        let step = self.sim.stage.steps();
        self.sim.feed(self.agent, self.resource, |feed| {
            let told = feed.told;
            feed.set_floor(step, told);
        });
    }

    fn next_event(&self) -> Option<Event> {
        let truth = self.sim.truth.lock();
        let events = &truth.cluster.events[index(self.resource)];
        let next = events.partition_point(|event| event.version <= self.position);
        events.get(next).cloned()
    }

    /// Rests until there may be something to say.
    fn rest(&self, until: u64) {
        let stage = &self.sim.stage;
        let generation = stage.generation(self.sim.changed);
        if !self.shut.load(Ordering::SeqCst) {
            stage.await_bell(self.sim.changed, generation, until);
        }
    }

    fn written(&self, event: &Event) -> Vec<u8> {
        let mut event = event.clone();
        event.object = shown(&self.sim, &event.object);
        if self.sim.has(Plant::ReplacedStays) && event.kind == "ADDED" {
            event.object["metadata"]["name"] = format!("{}-{}", event.object["metadata"]["name"], event.version).into();
        }
        if self.sim.has(Plant::OldOwnerEvictsNew) && event.kind == "DELETED" && index(self.resource) == 0 {
            self.evict(&mut event);
        }
        event.line()
    }

    /// A delete by address: whoever has it now goes.
    fn evict(&self, event: &mut Event) {
        let truth = self.sim.truth.lock();
        let gone = truth.cluster.pods[&event.subject].iter().rev().find_map(|(_, pod)| pod.clone());
        let address = gone.and_then(|pod| pod.addresses.first().copied());
        let heir = address.and_then(|address| truth.cluster.living().find(|(_, pod)| pod.holds(address)));
        if let Some((uid, _)) = heir {
            event.object["metadata"]["uid"] = uid.into();
        }
    }

    /// Tells an event, or lets something go wrong with it.
    fn tell(&mut self, event: &Event) -> Result<Said, KubernetesFailure> {
        if self.sim.strikes(|swarm| swarm.silence, 20) {
            self.mute_until = Some(self.sim.stage.now() + READER_GIVES_UP);
            return Ok(Said::Nothing);
        }
        if self.sim.strikes(|swarm| swarm.breaks, 12) {
            return if self.sim.roll(2) == 0 { Ok(Said::End) } else { Err(unavailable("connection reset")) };
        }
        if self.sim.strikes(|swarm| swarm.breaks, 30) {
            return self.say(error(500, "etcd"));
        }
        if self.is_gone || self.sim.strikes(|swarm| swarm.gone, 15) {
            return self.say(error(410, "too old resource version"));
        }
        if self.sim.strikes(|swarm| swarm.half_lines, 60) {
            return Ok(Said::Endless);
        }
        let mut line = self.written(event);
        if self.sim.strikes(|swarm| swarm.half_lines, 12) {
            self.lose(event);
            return self.say(garbled(event));
        }
        if self.sim.strikes(|swarm| swarm.half_lines, 12) {
            self.lose(event);
            line.truncate(line.len() / 2);
            self.is_cut = self.sim.roll(2) == 0;
            return self.say(line);
        }
        if self.sim.strikes(|swarm| swarm.replays, 12) {
            self.first.push_back((line.clone(), event.version));
        }
        self.position = event.version;
        self.told(event.version);
        self.say(line)
    }

    /// The reader can't know of this event before it lists anew.
    fn lose(&mut self, event: &Event) {
        let step = self.sim.stage.steps();
        let metadata = &event.object["metadata"];
        let key = if index(self.resource) == 0 { "uid" } else { "name" };
        let whom = metadata[key].as_str().unwrap_or_default().to_owned();
        self.position = event.version;
        self.sim.feed(self.agent, self.resource, |feed| {
            feed.forget(&whom);
            let floor = feed.floor();
            feed.lost = Some(feed.lost.map_or(floor, |lost| lost.min(floor)));
            feed.set_floor(step, floor);
            feed.ceiling = feed.ceiling.max(event.version);
        });
    }

    /// The line as the agent's connection reads it, in pieces.
    fn read(&self) -> Frame {
        let mut reader = LineReader::new(self.resource, &keys());
        let line = [&*self.line, b"\n"].concat();
        let frame = line.chunks(PIECE).find_map(|piece| match reader.push(piece) {
            WatchLine::Line(frame, _) | WatchLine::Endless(frame) => Some(frame),
            WatchLine::More => None,
        });
        match frame.expect("the line ends") {
            Frame::Unreadable(_, Some(version)) if self.sim.has(Plant::SkippedIsKept) => Frame::Bookmark(version),
            frame => frame,
        }
    }

    fn told(&self, version: u64) {
        let now = self.sim.stage.now();
        self.sim.feed(self.agent, self.resource, |feed| {
            feed.told = version;
            feed.current_at = now;
            feed.ceiling = feed.ceiling.max(version);
        });
    }

    fn say(&mut self, line: Vec<u8>) -> Result<Said, KubernetesFailure> {
        self.line = line;
        Ok(Said::Line)
    }

    fn bookmark(&mut self, version: u64) -> Result<Said, KubernetesFailure> {
        self.bookmark_at = self.sim.stage.now() + 60_000_000;
        self.position = version;
        self.told(version);
        let object = json!({ "metadata": { "resourceVersion": version.to_string() } });
        self.say(json!({ "type": "BOOKMARK", "object": object }).to_string().into_bytes())
    }

    /// What is said next, if it is said now.
    fn next(&mut self) -> Result<Said, KubernetesFailure> {
        let now = self.sim.stage.now();
        if self.shut.load(Ordering::SeqCst) || self.is_cut {
            return Err(unavailable("cut"));
        }
        if let Some((line, version)) = self.first.pop_front() {
            self.told(version.max(if self.first.is_empty() { self.position } else { 0 }));
            self.sim.stage.crossing();
            return self.say(line);
        }
        if let Some(until) = self.mute_until {
            self.rest(until);
            return if now >= until { Err(unavailable("nothing was heard")) } else { Ok(Said::Nothing) };
        }
        if now >= self.ends_at {
            return Ok(Said::End);
        }
        match self.next_event() {
            Some(event) if event.at + self.lag <= now => self.tell(&event),
            Some(event) if now >= self.bookmark_at => self.bookmark(event.version - 1),
            None if now >= self.bookmark_at => {
                let version = self.sim.truth.lock().cluster.version;
                self.bookmark(version)
            }
            next => {
                let visible = next.map_or(u64::MAX, |event| event.at + self.lag);
                self.rest(visible.min(self.ends_at).min(self.bookmark_at));
                Ok(Said::Nothing)
            }
        }
    }
}

/// What a watch says.
enum Said {
    /// [`Lines::line`]
    Line,
    Endless,
    End,
    /// Not yet
    Nothing,
}

/// An object that has a name and nothing else that could be read.
fn garbled(event: &Event) -> Vec<u8> {
    let mut event = event.clone();
    event.object["metadata"]["annotations"] = json!(["<".repeat(1_000)]);
    event.line()
}

fn error(code: u16, message: &str) -> Vec<u8> {
    json!({ "type": "ERROR", "object": { "code": code, "message": message } }).to_string().into_bytes()
}

impl WatchLines for Lines {
    fn next_line(&mut self) -> Result<Option<Frame>, KubernetesFailure> {
        self.settle();
        loop {
            match self.next()? {
                Said::Line => return Ok(Some(self.read())),
                Said::Endless => {
                    let kind = KubernetesFailureKind::Refused;
                    return Err(KubernetesFailure { kind, cause: "a line doesn't end".to_owned() });
                }
                Said::End => return Ok(None),
                Said::Nothing => {}
            }
        }
    }
}

const PIECE: usize = 16 * 1_024;
/// How long the agent's connection hears nothing before it is closed.
const READER_GIVES_UP: u64 = 150_000_000;
