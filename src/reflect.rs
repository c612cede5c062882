//! One watch, end to end: carries out what [`Watch`] decides, hands its events to the picture and its notes to the log.
//! Returns when told to by `wait`; a blocked read is ended from outside, by the API server's `shut_down`.

use crate::logic::kubernetes::{AnnotationKeys, Event, Resource, frame};
use crate::logic::time::Mono;
use crate::logic::watch::{Input, Note, Step, Watch};
use crate::ports::{Clock, Kubernetes, Waited, WatchLine, WatchLines};

/// Keeps the picture of one resource.
#[derive(Clone, Copy)]
pub struct Reflector<'a> {
    pub kubernetes: &'a dyn Kubernetes,
    pub resource: Resource,
    pub keys: &'a AnnotationKeys,
    pub clock: &'a dyn Clock,
    /// Waits until a moment or until nobody needs the picture any more, whichever comes first.
    pub wait: &'a dyn Fn(Mono) -> Waited,
    /// 64 random bits, for jitter.
    pub dice: &'a dyn Fn() -> u64,
    /// Changes the picture.
    pub apply: &'a dyn Fn(Event),
    /// Logs and counts.
    pub note: &'a dyn Fn(Note),
}

impl Reflector<'_> {
    /// Lists and watches until shutdown.
    pub fn run(&self) {
        let (mut watch, mut lines) = (Watch::new(), None);
        loop {
            let now = self.clock.now().mono;
            let step = watch.next(now);
            if step != Step::Read {
                lines = None;
            }
            let until = if let Step::Rest { until } = step { until } else { now };
            if (self.wait)(until) == Waited::ShutDown {
                return;
            }
            match step {
                Step::Rest { .. } => {}
                Step::List { continuation } => self.list(&mut watch, continuation.as_deref()),
                Step::Watch { version } => lines = self.open(&mut watch, &version),
                Step::Read => self.read(&mut watch, &mut lines),
            }
        }
    }

    fn list(&self, watch: &mut Watch, continuation: Option<&str>) {
        let mut each = |object| self.take(watch, Input::Item(object));
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
            Some(Ok(Some(WatchLine::Whole(line)))) => Input::Line(frame(line, self.resource, self.keys)),
            Some(Ok(Some(WatchLine::TooLong))) => Input::TooLong,
            Some(Ok(None)) | None => Input::Ended(None),
            Some(Err(failure)) => Input::Ended(Some(failure)),
        };
        self.take(watch, input);
    }

    /// Lets the machine react and hands on what follows.
    fn take(&self, watch: &mut Watch, input: Input) {
        let reaction = watch.on(input, self.clock.now().mono, (self.dice)());
        reaction.events.into_iter().flatten().for_each(self.apply);
        reaction.note.into_iter().for_each(self.note);
    }
}

#[cfg(test)]
mod tests;
