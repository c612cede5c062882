use super::*;
use crate::logic::cluster::taint::{Removal, Taint, taints};
use parking_lot::Mutex;

/// A node with scripted results of patches.
struct Script {
    patches: Mutex<Vec<Patched>>,
    node: &'static [u8],
}

impl Nodes for Script {
    fn taints(&self, _: &str) -> Result<Vec<Taint>, KubernetesFailure> {
        Ok(taints(self.node).unwrap())
    }

    fn patch(&self, _: &str, _: &Removal) -> Result<Patched, KubernetesFailure> {
        let kind = KubernetesFailureKind::Forbidden;
        self.patches.lock().pop().ok_or(KubernetesFailure { kind, cause: "no more patches".to_owned() })
    }
}

fn attempted(key: &str, mut patches: Vec<Patched>) -> Option<TaintOutcome> {
    patches.reverse();
    let node = br#"{"spec":{"taints":[{"key":"wait","effect":"NoSchedule"}]}}"#;
    attempt(&Script { patches: Mutex::new(patches), node }, "node-1", key).ok()
}

#[test]
fn changed_taints_are_read_again_up_to_a_limit() {
    use Patched::{Done, Outdated};
    assert_eq!(attempted("wait", vec![Done]), Some(TaintOutcome::Removed));
    assert_eq!(attempted("wait", vec![Outdated, Outdated, Done]), Some(TaintOutcome::Removed));
    assert_eq!(attempted("wait", vec![Outdated; 4]), Some(TaintOutcome::Outdated));
    assert_eq!(attempted("wait", vec![Outdated]), None);
    assert_eq!(attempted("else", vec![]), Some(TaintOutcome::Absent));
}
