//! A Python script that is asked line by line, for as long as the tests run.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::tools;

/// Ends when its standard input does, with this process.
pub(crate) struct Conversation(Mutex<Ends>);

struct Ends {
    child: Child,
    questions: ChildStdin,
    answers: Receiver<String>,
}

impl Conversation {
    pub(crate) fn begin(python: &Path, script: &str) -> Self {
        let mut command = Command::new(python);
        let child = command.arg(tools::project().join(script)).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap();
        let (questions, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let (answered, received) = channel();
        thread::Builder::new()
            .spawn(move || {
                let lines = answers.lines().map_while(Result::ok);
                lines.take_while(|line| answered.send(line.clone()).is_ok()).for_each(drop);
            })
            .unwrap();
        Self(Mutex::new(Ends { child, questions, answers: received }))
    }

    /// One question, one answer; others wait meanwhile.
    pub(crate) fn ask(&self, question: &str) -> String {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(ends.questions, "{question}").unwrap();
        let answer = ends.answers.recv_timeout(LONGEST);
        answer.unwrap_or_else(|cause| panic!("no answer ({cause}); it ended with {:?}", ends.child.try_wait()))
    }
}

/// More than the first answer takes on a busy machine.
const LONGEST: Duration = Duration::from_secs(300);
