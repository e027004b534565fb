//! `revtrail serve` as a process of its own, and a client of it that waits for nobody but the service.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use revtrail_aws::clock::Clock;
use serde_json::Value;

use crate::Outcome;

const KEY: &str = "the-key-of-the-bench";
/// After this a call counts as unanswered.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Where a service is reached, and what time it has.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) folder: PathBuf,
    pub(crate) ahead_ms: i64,
}

/// A running service.
pub(crate) struct Service {
    child: Child,
    pub(crate) target: Target,
    /// From the start of the process to its first answer.
    pub(crate) first_answer: Duration,
}

impl Service {
    /// Starts the program on a folder; its clock is ahead of the machine's by so much.
    pub(crate) fn start(program: &Path, folder: &Path, ahead_ms: i64) -> Outcome<Self> {
        let began = Instant::now();
        let now = Clock::REAL.now().plus_ms(ahead_ms).to_string();
        let mut child = Command::new(program)
            .args(["serve", "--port", "0", "--now", &now, "--data"])
            .arg(folder)
            .env("REVTRAIL_ADMIN_KEY", KEY)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.with_extension("log"))?)
            .spawn()?;
        let mut said = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let address = said.find_map(|line| {
            let line = line.ok()?;
            line.strip_prefix("listening on http://")?.parse().ok()
        });
        let Some(address) = address else {
            child.kill()?;
            return Err(format!(
                "it did not start: see {}",
                folder.with_extension("log").display()
            )
            .into());
        };
        // Whoever writes to a pipe that nobody reads waits.
        std::thread::spawn(move || said.for_each(drop));
        let target = Target {
            address,
            folder: folder.to_owned(),
            ahead_ms,
        };
        let service = Self {
            child,
            target,
            first_answer: Duration::ZERO,
        };
        service.target.get("")?;
        Ok(Self {
            first_answer: began.elapsed(),
            ..service
        })
    }

    /// The most memory that the process ever held, in MB; none where the system does not tell.
    pub(crate) fn peak_mb(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kb: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kb / 1024)
    }

    /// Asks the process to stop; how long it took, or nothing if it had to be killed after a minute.
    pub(crate) fn stop(mut self) -> Outcome<Option<Duration>> {
        let began = Instant::now();
        Command::new("kill")
            .arg(self.child.id().to_string())
            .status()?;
        while began.elapsed() < CALL_TIMEOUT {
            if self.child.try_wait()?.is_some() {
                return Ok(Some(began.elapsed()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(None)
    }
}

impl Target {
    /// The service's time.
    pub(crate) fn now(&self) -> String {
        Clock::REAL.now().plus_ms(self.ahead_ms).to_string()
    }

    pub(crate) fn connect(&self) -> Outcome<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, CALL_TIMEOUT)?;
        stream.set_read_timeout(Some(CALL_TIMEOUT))?;
        stream.set_write_timeout(Some(CALL_TIMEOUT))?;
        Ok(stream)
    }

    /// The status and the body of an answer; `path` follows `/v1/marketplaces`.
    pub(crate) fn call(
        &self,
        method: &str,
        path: &str,
        kind: &str,
        body: &[u8],
    ) -> Outcome<(u16, Vec<u8>)> {
        let mut stream = self.connect()?;
        let head = format!(
            "{method} /v1/marketplaces{path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {KEY}\r\ncontent-type: {kind}\r\n\
            content-length: {}\r\nconnection: close\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let status = answer
            .get(9..12)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let status = status
            .and_then(|digits| digits.parse().ok())
            .ok_or("no answer of HTTP")?;
        let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
        let body = answer.split_off(head.map_or(answer.len(), |end| end + 4));
        Ok((status, body))
    }

    /// What a marketplace answers; an error if it refuses.
    pub(crate) fn get(&self, path: &str) -> Outcome<Value> {
        self.send("GET", path, &Value::Null)
    }

    /// Asks a marketplace, and leaves the answer unread, as an attacker does; an error if it refuses.
    pub(crate) fn ask(&self, path: &str) -> Outcome<()> {
        match self.call("GET", path, "application/json", b"")?.0 {
            200..300 => Ok(()),
            status => Err(format!("GET {path}: {status}").into()),
        }
    }

    /// What a call answers; an error if it is refused.
    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> Outcome<Value> {
        let (status, answer) = self.call(
            method,
            path,
            "application/json",
            body.to_string().as_bytes(),
        )?;
        match status {
            200..300 => Ok(serde_json::from_slice(&answer).unwrap_or_default()),
            _ => Err(format!(
                "{method} {path}: {status} {}",
                String::from_utf8_lossy(&answer[..answer.len().min(300)])
            )
            .into()),
        }
    }

    /// Puts a file into a marketplace's inbox, at once.
    pub(crate) fn put(
        &self,
        marketplace: &str,
        name: &str,
        write: impl FnOnce(&mut File) -> std::io::Result<()>,
    ) -> Outcome<()> {
        let inbox = self
            .folder
            .join("inbox")
            .join(marketplace)
            .join("redemptions");
        std::fs::create_dir_all(&inbox)?;
        let draft = self.folder.join(format!("draft-{marketplace}-{name}"));
        write(&mut File::create(&draft)?)?;
        std::fs::rename(draft, inbox.join(name))?;
        Ok(())
    }
}
