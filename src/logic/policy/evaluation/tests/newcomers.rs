//! How long a namespace waits for its first turn while others keep the evaluation busy.

use super::*;

/// The longest turn of a list, as the thread that evaluates gives it.
const TURN: Duration = Duration::from_millis(2);

/// A queue with 200 slow lists, in virtual time.
struct Busy {
    queue: EvaluationQueue,
    now: Mono,
}

impl Busy {
    fn new() -> Self {
        let mut busy = Self { queue: EvaluationQueue::default(), now: Mono::from_millis(1) };
        (0..200).for_each(|number| busy.queue.ask(about_role(&format!("slow-{number:03}"), 1, "x")));
        busy
    }

    /// One turn, which finishes no slow list; whose it was.
    fn turn(&mut self) -> Arc<str> {
        loop {
            match self.queue.next(self.now, &rules().base) {
                NextEvaluation::Evaluate(evaluation) => {
                    self.now = self.now.after(TURN);
                    let namespace = evaluation.namespace.clone();
                    match namespace.starts_with("slow-") {
                        true => self.queue.put_back(*evaluation, TURN, self.now),
                        false => self.queue.finish(&namespace, evaluation.serial, TURN, self.now),
                    }
                    return namespace;
                }
                NextEvaluation::Rest(until) => self.now = until,
                NextEvaluation::Nothing => panic!("slow lists are never done"),
            }
        }
    }

    /// How long it takes until a namespace has had its first turn.
    fn until_first_turn(&mut self, namespace: &str) -> Duration {
        let began = self.now;
        while *self.turn() != *namespace {}
        self.now.since(began)
    }
}

#[test]
fn a_namespaces_first_turn_waits_for_no_list_that_has_had_one() {
    let mut busy = Busy::new();
    (0..500).for_each(|_| drop(busy.turn()));
    busy.queue.ask(about_role("shop", 1, "app"));
    assert_eq!(busy.until_first_turn("shop"), TURN);
}

/// As when all lists are new: whose pod asks isn't held up by those that no request waits for.
#[test]
fn a_namespace_that_a_request_waits_for_is_first_among_the_new() {
    for (asked, waited) in [(true, TURN), (false, 201 * TURN)] {
        let mut busy = Busy::new();
        busy.queue.ask(about_role("shop", 1, "app"));
        if asked {
            busy.queue.ask_first(about_role("shop", 1, "app"));
        }
        assert_eq!(busy.until_first_turn("shop"), waited);
    }
}

#[test]
fn every_slow_list_goes_on_while_newcomers_come() {
    let mut busy = Busy::new();
    let mut turns: BTreeMap<Arc<str>, usize> = BTreeMap::new();
    for number in 0..2_000 {
        if number % 4 == 0 {
            busy.queue.ask(about_role(&format!("new-{number}"), 1, "app"));
        }
        *turns.entry(busy.turn()).or_default() += 1;
    }
    let (slow, new): (Vec<_>, Vec<_>) = turns.iter().partition(|(namespace, _)| namespace.starts_with("slow-"));
    let fewest = slow.iter().map(|(_, turns)| **turns).min();
    assert_eq!((slow.len(), fewest, new.len()), (200, Some(7), 500));
}
