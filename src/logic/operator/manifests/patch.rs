//! Patches of objects: JSON patches (RFC 6902) and strategic merges, as far as the kustomizations here use them.

use serde_json::Value;

/// Applies the steps of a JSON patch in order.
pub(super) fn apply(object: &mut Value, steps: &Value) -> Result<(), String> {
    steps.as_array().into_iter().flatten().try_for_each(|step| {
        let path = step["path"].as_str().unwrap_or_default();
        let done = step_on(object, step["op"].as_str().unwrap_or_default(), path, &step["value"]);
        done.ok_or_else(|| format!("failed to patch `{path}`"))
    })
}

fn step_on(object: &mut Value, op: &str, path: &str, value: &Value) -> Option<()> {
    let (parent, key) = path.rsplit_once('/')?;
    let key = key.replace("~1", "/").replace("~0", "~");
    match (object.pointer_mut(parent)?, op) {
        (Value::Array(items), "add") if key == "-" => items.push(value.clone()),
        (Value::Array(items), "remove") => {
            let place = key.parse().ok().filter(|place| *place < items.len())?;
            items.remove(place);
        }
        (Value::Array(items), "replace") => *items.get_mut(key.parse::<usize>().ok()?)? = value.clone(),
        (Value::Array(items), "test") => return (items.get(key.parse::<usize>().ok()?)? == value).then_some(()),
        (Value::Object(fields), "add") => drop(fields.insert(key, value.clone())),
        (Value::Object(fields), "replace") => *fields.get_mut(&key)? = value.clone(),
        (Value::Object(fields), "remove") => drop(fields.remove(&key)?),
        _ => return None,
    }
    Some(())
}

/// Merges `patch` into `object`: objects by key, lists of named entries by name (new entries come first), and
/// replaces anything else.
pub(super) fn merge(object: &mut Value, patch: &Value) {
    match (object, patch) {
        (Value::Object(fields), Value::Object(others)) => {
            for (name, value) in others {
                merge(fields.entry(name).or_insert(Value::Null), value);
            }
        }
        (Value::Array(items), Value::Array(others)) if others.iter().all(|other| other["name"].is_string()) => {
            let mut new = Vec::new();
            for other in others {
                match items.iter_mut().find(|item| item["name"] == other["name"]) {
                    Some(item) => merge(item, other),
                    None => new.push(other.clone()),
                }
            }
            items.splice(0..0, new);
        }
        (object, patch) => *object = patch.clone(),
    }
}
