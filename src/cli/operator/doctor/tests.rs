use super::*;

/// The visible content of a terminal.
#[derive(Clone, Default)]
struct Screen {
    shown: Arc<parking_lot::Mutex<String>>,
    pending: Vec<u8>,
}

impl Write for Screen {
    fn write(&mut self, part: &[u8]) -> std::io::Result<usize> {
        self.pending.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.shown.lock().push_str(&String::from_utf8_lossy(&self.pending));
        self.pending.clear();
        Ok(())
    }
}

#[test]
fn the_name_of_a_check_is_shown_while_it_runs() {
    let mut screen = Screen::default();
    let shown = screen.shown.clone();
    let mut checks = Checks::new(&mut screen, PrintedForm::Text);
    for name in ["one", "two"] {
        let at_work = || {
            assert!(shown.lock().ends_with(&format!("{name:<NAME_WIDTH$} ")), "{:?}", shown.lock());
            Finding::ok("done")
        };
        checks.check(name, at_work).unwrap();
        assert!(shown.lock().ends_with("done\n"));
    }
}

#[test]
fn a_check_is_one_line_and_the_worst_mark_is_kept() {
    let mut output = Vec::new();
    let mut checks = Checks::new(&mut output, PrintedForm::Text);
    checks.check("one", || Finding::fail("a\n  b")).unwrap();
    checks.check("two", || Finding::ok("c")).unwrap();
    assert_eq!(checks.worst, Mark::Fail);
    let text = String::from_utf8(output).unwrap();
    assert_eq!(text, "one                  FAIL  a b\ntwo                  ok    c\n");
}
