use super::*;

/// A directory, removed on drop.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("kube2iam-reread-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The text of a file; an empty one is unusable.
fn text_of(path: &Path) -> Result<Reread<String>, Misconfigured> {
    let file = path.to_owned();
    Reread::new(vec![path.to_owned()], move || match fs::read_to_string(&file) {
        Ok(text) if !text.is_empty() => Ok(text),
        _ => Err(Misconfigured("unusable".to_owned())),
    })
}

#[test]
fn replaced_or_overwritten_file_is_read_again() {
    let directory = Directory::new("replaced");
    let [current, first, second] = ["current.pem", "first.pem", "second.pem"].map(|name| directory.0.join(name));
    fs::write(&first, "first").unwrap();
    fs::write(&second, "other").unwrap();
    std::os::unix::fs::symlink(&first, &current).unwrap();
    let value = text_of(&current).unwrap();
    let before = value.current();
    assert!(*before == "first" && Arc::ptr_eq(&before, &value.current()));
    // as kubelet does: a new link is renamed over the old one
    let next = directory.0.join("next");
    std::os::unix::fs::symlink(&second, &next).unwrap();
    fs::rename(&next, &current).unwrap();
    assert_eq!(*value.current(), "other");
    fs::write(&second, "written over").unwrap();
    assert_eq!(*value.current(), "written over");
}

#[test]
fn unusable_file_keeps_the_last_value() {
    let directory = Directory::new("unusable");
    let path = directory.0.join("file");
    assert!(text_of(&path).is_err());
    fs::write(&path, "good").unwrap();
    let value = text_of(&path).unwrap();
    for break_it in [|path: &Path| fs::write(path, "").unwrap(), |path: &Path| fs::remove_file(path).unwrap()] {
        break_it(&path);
        assert_eq!(*value.current(), "good");
    }
    assert_eq!(value.state.lock().trouble, Some(Misconfigured("unusable".to_owned())));
    fs::write(&path, "better").unwrap();
    assert_eq!(*value.current(), "better");
    assert_eq!(value.state.lock().trouble, None);
}

#[test]
fn invalidated_files_with_the_same_content_keep_the_value() {
    let directory = Directory::new("suspected");
    let path = directory.0.join("file");
    fs::write(&path, "good").unwrap();
    let value = text_of(&path).unwrap();
    let before = value.current();
    value.invalidate();
    assert!(Arc::ptr_eq(&before, &value.current()));
}
