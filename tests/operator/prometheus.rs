//! A real Prometheus.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::standins::agent::free_port;
use super::standins::client;
use super::tools;

/// A running Prometheus; it ends with this.
pub struct Prometheus {
    child: Child,
    port: u16,
}

impl Prometheus {
    /// Starts it in an empty directory of that name, with this configuration.
    pub fn start(program: &Path, home: &str, config: &str) -> Self {
        let home = tools::empty_dir(home);
        std::fs::write(home.join("prometheus.yml"), config).unwrap();
        let port = free_port();
        let child = Command::new(program)
            .arg(format!("--config.file={}", home.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", home.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, port }
    }

    /// `Null` as long as it doesn't listen.
    pub fn get(&self, target: &str) -> Value {
        let address = ([127, 0, 0, 1], self.port).into();
        let Ok(mut connection) = client::Connection::try_open(address, "127.0.0.1") else { return Value::Null };
        connection.send(&client::Ask::get(target).host(&address.to_string()).to_bytes());
        connection.read_answer().map_or(Value::Null, |answer| serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    pub fn query(&self, expression: &str) -> Vec<Value> {
        let answer = self.ask(expression);
        answer["data"]["result"].as_array().cloned().unwrap_or_default()
    }

    pub fn query_of(&self, title: &str, expression: &str) {
        let answer = self.ask(expression);
        assert_eq!(answer["status"], "success", "{title}: {expression}: {answer}");
    }

    fn ask(&self, expression: &str) -> Value {
        let encoded: String = form_urlencoded::byte_serialize(expression.as_bytes()).collect();
        self.get(&format!("/api/v1/query?query={encoded}"))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
