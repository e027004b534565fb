//! One command, run with its output kept in a log, and a sign of life on the screen.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// A screen that nobody watches gets a sign of life this often.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60);

/// What a command that ran has left.
pub(crate) struct Ran {
    /// It ended with 0.
    pub(crate) ok: bool,
    /// Both its streams, line by line as they came.
    pub(crate) output: String,
}

/// Runs a command, at the top of the workspace unless it says where.
pub(crate) fn run(name: &str, mut command: Command, logs: &Path) -> Result<Ran, String> {
    let failed = |what: &str, error: io::Error| format!("failed to {what}: {error}");
    println!("{name:8} {}", spelled(&command));
    std::fs::create_dir_all(logs).map_err(|error| failed("make the folder for logs", error))?;
    let mut log = File::create(logs.join(format!("{name}.log")))
        .map_err(|error| failed("write the log", error))?;
    if command.get_current_dir().is_none() {
        command.current_dir(crate::root());
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed("start it", error))?;
    let (sender, lines) = mpsc::channel();
    let readers = [
        child.stdout.take().map(|out| forward(out, sender.clone())),
        child.stderr.take().map(|err| forward(err, sender)),
    ];
    let mut output = String::new();
    let mut screen = Screen::new(name);
    loop {
        match lines.recv_timeout(Duration::from_secs(1)) {
            Ok(line) => {
                writeln!(log, "{line}").map_err(|error| failed("write the log", error))?;
                output.push_str(&line);
                output.push('\n');
                screen.line(line);
            }
            Err(RecvTimeoutError::Timeout) => screen.tick(),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    drop(readers);
    screen.clear();
    let status = child.wait().map_err(|error| failed("wait for it", error))?;
    Ok(Ran {
        ok: status.success(),
        output,
    })
}

fn forward(stream: impl Read + Send + 'static, lines: Sender<String>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            // Nobody listens any more: then there is nothing left to do.
            if lines
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                return;
            }
        }
    })
}

/// On a terminal the last line stands below and is overwritten; elsewhere it is printed now and then.
struct Screen {
    name: String,
    terminal: bool,
    began: Instant,
    told: Instant,
    last: String,
}

impl Screen {
    fn new(name: &str) -> Self {
        let now = Instant::now();
        Self {
            name: name.to_owned(),
            terminal: io::stdout().is_terminal(),
            began: now,
            told: now,
            last: String::new(),
        }
    }

    fn line(&mut self, line: String) {
        if !line.trim().is_empty() {
            self.last = line;
        }
        self.tick();
    }

    fn tick(&mut self) {
        let wait = if self.terminal {
            Duration::from_millis(200)
        } else {
            SIGN_OF_LIFE
        };
        if self.told.elapsed() < wait {
            return;
        }
        self.told = Instant::now();
        let (name, seconds) = (&self.name, self.began.elapsed().as_secs());
        let last: String = self.last.trim().chars().take(56).collect();
        if self.terminal {
            print!("\r\x1b[K{name:8} {seconds:3} s  {last}");
            drop(io::stdout().flush());
        } else {
            println!("{name:8} {seconds:3} s  {last}");
        }
    }

    fn clear(&self) {
        if self.terminal {
            print!("\r\x1b[K");
        }
    }
}

/// The command as one would type it, without the folders.
fn spelled(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_stem()
        .unwrap_or_default();
    let words = command.get_args().map(|arg| arg.to_string_lossy());
    let words: Vec<_> = [program.to_string_lossy()]
        .into_iter()
        .chain(words)
        .collect();
    words.join(" ")
}
