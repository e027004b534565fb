//! The built program as a process, and calls to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// As short as may be.
pub(crate) const KEY: &str = "sixteen-letters!";

pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("revtrail-{name}-{}", std::process::id()));
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

pub(crate) struct Server {
    pub(crate) process: Child,
    pub(crate) address: String,
    pub(crate) key: String,
    /// What it said before it listened.
    pub(crate) printed: String,
    pub(crate) output: BufReader<std::process::ChildStdout>,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

pub(crate) fn command(folder: &Folder) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_revtrail"));
    command
        .args(["serve", "--port", "0", "--admin-key", KEY, "--data"])
        .arg(&folder.0)
        .args(["--now", "2026-11-20T12:00:00Z"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Server {
    pub(crate) fn start(folder: &Folder) -> Self {
        Self::by(&mut command(folder))
    }

    pub(crate) fn by(command: &mut Command) -> Self {
        let mut process = command.spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        // From here on the process ends with its owner, also where the start fails.
        let mut server = Self {
            process,
            address: String::new(),
            key: KEY.to_owned(),
            printed: String::new(),
            output,
        };
        loop {
            let mut line = String::new();
            assert_ne!(
                server.output.read_line(&mut line).unwrap(),
                0,
                "the server ended before it listened"
            );
            if let Some(address) = line.trim().strip_prefix("listening on http://") {
                server.address = address.to_owned();
                return server;
            }
            server.printed += &line;
        }
    }

    /// One call on a connection of its own; `None` where no whole answer came.
    pub(crate) fn call(&self, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
        call_as(&self.key, &self.address, method, path, body)
    }

    pub(crate) fn put(&self, path: &str, body: Value) {
        let (status, told) = self.call("PUT", path, &body).unwrap();
        assert!(status < 300, "{told}");
    }

    /// A marketplace with a promotion `p-1`.
    pub(crate) fn make(&self, marketplace: &str) {
        let path = format!("/v1/marketplaces/{marketplace}");
        self.put(&path, json!({"name": marketplace}));
        let promotion = json!({"name": "P", "kind": "global"});
        self.put(&format!("{path}/promotions/p-1"), promotion);
    }

    /// Waits until the batch of a file is as it should be.
    pub(crate) fn until(
        &self,
        marketplace: &str,
        name: &str,
        enough: impl Fn(&Value) -> bool,
    ) -> Value {
        let file = format!("inbox/{marketplace}/redemptions/{name}");
        loop {
            let shown = self.get(&format!(
                "/v1/marketplaces/{marketplace}/batches?limit=1000"
            ));
            let batches = shown["batches"].as_array().unwrap();
            let mut of_it = batches
                .iter()
                .filter(|batch| batch["file"] == file.as_str());
            if let Some(batch) = of_it.next().filter(|batch| enough(batch)) {
                assert_eq!(of_it.next(), None, "one file, one batch");
                return batch.clone();
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Kills it; what it logged.
    pub(crate) fn killed(mut self) -> String {
        let mut log = self.process.stderr.take().unwrap();
        drop(self);
        let mut text = String::new();
        log.read_to_string(&mut text).unwrap();
        text
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, body) = self.call("GET", path, &Value::Null).unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub(crate) fn run(&self) {
        let (_, asked) = self
            .call("POST", "/v1/marketplaces/m/runs", &json!({}))
            .unwrap();
        let path = format!(
            "/v1/marketplaces/m/runs/{}",
            asked["run_id"].as_str().unwrap()
        );
        loop {
            match self.get(&path)["state"].as_str().unwrap() {
                "running" => {}
                state => return assert_eq!(state, "done"),
            }
        }
    }
}

pub(crate) fn call(address: &str, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
    call_as(KEY, address, method, path, body)
}

pub(crate) fn call_as(
    key: &str,
    address: &str,
    method: &str,
    path: &str,
    body: &Value,
) -> Option<(u16, Value)> {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let mut stream = TcpStream::connect(address).ok()?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
    );
    stream
        .write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
        .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}

/// The body of an answer, as it is.
pub(crate) fn text(address: &str, path: &str, key: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// Sends bytes without a key, all but the last `cut` of them; `None` where no whole answer came.
pub(crate) fn send(
    address: &str,
    method: &str,
    target: &str,
    body: &[u8],
    cut: usize,
) -> Option<u16> {
    let mut stream = TcpStream::connect(address).ok()?;
    let length = body.len();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    // It may be refused before all of it is sent.
    drop(stream.write_all(&body[..length - cut]));
    if cut > 0 {
        drop(stream.shutdown(std::net::Shutdown::Write));
    }
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    let head = String::from_utf8_lossy(&answer);
    head.split(' ').nth(1)?.parse().ok()
}

/// `serve` on a free port, as the environment and these arguments say.
pub(crate) fn bare(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_revtrail"));
    command.arg("serve").args(arguments);
    command.env("REVTRAIL_PORT", "0");
    command.envs(environment.iter().copied());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) const HEADER: &str = "redemption_id,promotion_id,customer_id\n";
