//! One watch, end to end: performs the steps of [`Watch`], applies its events to the World and passes its notes to the
//! log. Returns when `wait` returns `ShutDown`; a blocked read is ended from outside by the API server's `shut_down`.

use crate::logic::base::time::Mono;
use crate::logic::cluster::kubernetes::{Event, Resource};
use crate::logic::cluster::watch::{Cut, Input, Watch, WatchNote, WatchStep};
use crate::ports::{Clock, Kubernetes, Waited, WatchLines};

/// Keeps one resource of the World current.
#[derive(Clone, Copy)]
pub struct Reflector<'a> {
    pub kubernetes: &'a dyn Kubernetes,
    pub resource: Resource,
    pub clock: &'a dyn Clock,
    /// Waits until a time, until shutdown, or, if the wait may be cut, until another watch reaches the API server
    /// again.
    pub wait: &'a dyn Fn(Mono, Cut) -> Waited,
    /// 64 random bits, for jitter.
    pub random: &'a dyn Fn() -> u64,
    /// Changes the World.
    pub apply: &'a dyn Fn(Event),
    /// Logs and counts.
    pub note: &'a dyn Fn(WatchNote),
}

impl Reflector<'_> {
    /// Lists and watches until shutdown.
    pub fn run(&self) {
        let (mut watch, mut lines) = (Watch::new(), None);
        loop {
            let now = self.clock.now().mono;
            let step = watch.next(now);
            if step != WatchStep::Read {
                lines = None;
            }
            let (until, cut) = if let WatchStep::Rest { until, cut } = step { (until, cut) } else { (now, Cut::Never) };
            match (self.wait)(until, cut) {
                Waited::ShutDown => return,
                Waited::Cut => self.take(&mut watch, Input::OthersGotThrough),
                Waited::Elapsed => {}
            }
            match step {
                WatchStep::Rest { .. } => {}
                WatchStep::List { continuation } => self.list(&mut watch, continuation.as_deref()),
                WatchStep::Watch { version } => lines = self.open(&mut watch, &version),
                WatchStep::Read => self.read(&mut watch, &mut lines),
            }
        }
    }

    fn list(&self, watch: &mut Watch, continuation: Option<&str>) {
        let mut each = |item| self.take(watch, Input::Item(item));
        let input = match self.kubernetes.list(self.resource, continuation, &mut each) {
            Ok(page) => Input::Page(page),
            Err(failure) => Input::Refused(failure),
        };
        self.take(watch, input);
    }

    fn open(&self, watch: &mut Watch, version: &str) -> Option<Box<dyn WatchLines>> {
        match self.kubernetes.watch(self.resource, version) {
            Ok(lines) => {
                self.take(watch, Input::Opened);
                Some(lines)
            }
            Err(failure) => {
                self.take(watch, Input::Refused(failure));
                None
            }
        }
    }

    fn read(&self, watch: &mut Watch, lines: &mut Option<Box<dyn WatchLines>>) {
        let input = match lines.as_mut().map(|lines| lines.next_line()) {
            Some(Ok(Some(frame))) => Input::Line(frame),
            Some(Ok(None)) | None => Input::Ended(None),
            Some(Err(failure)) => Input::Ended(Some(failure)),
        };
        self.take(watch, input);
    }

    /// Passes an input to the state machine, and its events and notes on.
    fn take(&self, watch: &mut Watch, input: Input) {
        let reaction = watch.on(input, self.clock.now().mono, (self.random)());
        reaction.events.into_iter().flatten().for_each(self.apply);
        reaction.note.into_iter().for_each(self.note);
    }
}

#[cfg(test)]
mod tests;
