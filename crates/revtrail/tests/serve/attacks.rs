//! Attacks on the built program: by files and folders that others make, by names and keys of calls, and by what stays open.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::server::{Folder, HEADER, KEY, Server, bare, call, call_as, command};

/// The bits of a path's mode.
fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

/// Everything below a folder, and itself.
fn all(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(all(&path)),
            false => found.push(path),
        }
    }
    found
}

fn assert_closed(folder: &Path) {
    let all = all(folder);
    assert!(all.len() > 8, "{all:?}");
    for path in all {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), expected, "{}", path.display());
    }
}

#[test]
fn nobody_else_reads_what_is_stored() {
    let folder = Folder::new("private");
    // Whatever the umask takes away or leaves.
    for umask in ["000", "077", "277"] {
        let mut shell = Command::new("sh");
        let program = env!("CARGO_BIN_EXE_revtrail");
        shell.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\""), program]);
        shell
            .args(["serve", "--port", "0", "--data"])
            .arg(&folder.0);
        shell.args(["--now", "2026-11-20T12:00:00Z"]);
        shell.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut server = Server::by(&mut shell);
        server.key = fs::read_to_string(folder.0.join("admin-key"))
            .unwrap()
            .trim()
            .to_owned();
        server.make("m");
        let path = folder.0.join("inbox/m/redemptions/week.csv");
        while !path.parent().unwrap().is_dir() {
            server.get("/healthz");
        }
        let draft = folder.0.join("draft");
        fs::write(&draft, HEADER).unwrap();
        fs::set_permissions(&draft, PermissionsExt::from_mode(0o600)).unwrap();
        fs::rename(draft, path).unwrap();
        server.until("m", "week.csv", |batch| batch["state"] == "done");
        assert_closed(&folder.0);
        drop(server);
        fs::remove_dir_all(&folder.0).unwrap();
    }
}

#[test]
fn a_folder_that_an_older_version_left_open_is_closed() {
    let folder = Folder::new("open");
    let server = Server::start(&folder);
    server.make("m");
    let inbox = folder.0.join("inbox/m/redemptions");
    while !inbox.is_dir() {
        server.get("/healthz");
    }
    fs::write(folder.0.join(".draft"), HEADER).unwrap();
    fs::rename(folder.0.join(".draft"), inbox.join("week.csv")).unwrap();
    server.until("m", "week.csv", |batch| batch["state"] == "done");
    assert!(!server.killed().contains("now only their owner can"));
    for path in all(&folder.0) {
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    let outside = Folder::new("open-outside");
    fs::create_dir_all(&outside.0).unwrap();
    fs::set_permissions(&outside.0, PermissionsExt::from_mode(0o755)).unwrap();
    symlink(&outside.0, folder.0.join("outbox/link")).unwrap();
    let log = Server::start(&folder).killed();
    assert!(log.contains("now only their owner can"), "{log}");
    fs::remove_file(folder.0.join("outbox/link")).unwrap();
    assert_closed(&folder.0);
    assert_eq!(mode(&outside.0), 0o755, "what a link names is not touched");
}

#[test]
fn a_database_is_held_by_one_process_by_whichever_way() {
    let (folder, other) = (Folder::new("one"), Folder::new("one-other"));
    let _server = Server::start(&folder);
    let refused = |folder: &Folder| {
        let second = command(folder).output().unwrap();
        let log = String::from_utf8_lossy(&second.stderr).into_owned();
        assert_eq!(second.status.code(), Some(1), "{log}");
        assert!(log.contains("in use by another revtrail"), "{log}");
    };
    refused(&folder);
    fs::remove_file(folder.0.join("lock")).unwrap();
    refused(&folder);
    fs::create_dir_all(&other.0).unwrap();
    let database = folder.0.join("revtrail.db");
    symlink(&database, other.0.join("revtrail.db")).unwrap();
    refused(&other);
    fs::remove_file(other.0.join("revtrail.db")).unwrap();
    fs::hard_link(&database, other.0.join("revtrail.db")).unwrap();
    refused(&other);
    fs::remove_dir_all(&other.0).unwrap();
    symlink(&folder.0, &other.0).unwrap();
    refused(&other);
    fs::remove_file(&other.0).unwrap();
}

#[test]
fn the_lock_and_the_key_are_not_written_through_links() {
    let folder = Folder::new("through");
    fs::create_dir_all(&folder.0).unwrap();
    let mine = folder.0.join("mine");
    fs::write(&mine, "mine").unwrap();
    symlink(&mine, folder.0.join("lock")).unwrap();
    let refused = command(&folder).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("/lock: "));
    assert_eq!(fs::read_to_string(&mine).unwrap(), "mine");
    fs::remove_file(folder.0.join("lock")).unwrap();
    // Where the draft of the key was, once.
    symlink(&mine, folder.0.join("admin-key.new")).unwrap();
    let data = folder.0.to_str().unwrap();
    drop(Server::by(&mut bare(&["--data", data], &[])));
    assert_eq!(fs::read_to_string(&mine).unwrap(), "mine");
}

#[test]
fn a_key_on_the_command_line_is_warned_of() {
    let warning = "the admin key is on the command line";
    let log = Server::by(&mut bare(&["--admin-key", KEY], &[])).killed();
    assert!(log.contains(warning) && !log.contains(KEY), "{log}");
    let log = Server::by(&mut bare(&[&format!("--admin-key={KEY}")], &[])).killed();
    assert!(log.contains(warning) && !log.contains(KEY), "{log}");
    let log = Server::by(&mut bare(&[], &[("REVTRAIL_ADMIN_KEY", KEY)])).killed();
    assert!(!log.contains(warning), "{log}");
}

/// The answer to a head as it stands, and the connection closed behind it.
fn raw(address: &str, head: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .write_all(head.replace('\n', "\r\n").as_bytes())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_page_of_another_site_is_not_answered() {
    let key = format!("Connection: close\nAuthorization: Bearer {KEY}\n\n");
    let server = Server::by(&mut bare(
        &["--admin-key", KEY, "--host", "shop.example"],
        &[],
    ));
    let port = server.address.rsplit_once(':').unwrap().1.to_owned();
    let address = format!("127.0.0.1:{port}");
    let path = "/v1/marketplaces";
    for (head, status) in [
        (
            format!("GET {path} HTTP/1.1\nHost: localhost:{port}\n"),
            200,
        ),
        (format!("GET {path} HTTP/1.1\nHost: 127.0.0.1\n"), 200),
        (format!("GET {path} HTTP/1.1\nHost: [::1]:{port}\n"), 200),
        (format!("GET {path} HTTP/1.1\nHost: shop.example\n"), 200),
        (
            format!("GET http://localhost{path} HTTP/1.1\nHost: localhost\n"),
            200,
        ),
        (format!("GET {path} HTTP/1.1\nHost: evil.example\n"), 421),
        (
            format!("GET {path} HTTP/1.1\nHost: evil.example:{port}\n"),
            421,
        ),
        (format!("GET {path} HTTP/1.1\n"), 421),
        (
            format!("GET {path} HTTP/1.1\nHost: localhost\nHost: evil.example\n"),
            421,
        ),
        (
            format!("GET http://evil.example{path} HTTP/1.1\nHost: localhost\n"),
            421,
        ),
        (
            format!("GET {path} HTTP/1.1\nX-Forwarded-Host: localhost\nHost: evil.example\n"),
            421,
        ),
        (
            "GET /healthz HTTP/1.1\nHost: evil.example\n".to_owned(),
            421,
        ),
        ("GET /nothing HTTP/1.1\nHost: localhost\n".to_owned(), 404),
        (format!("DELETE {path} HTTP/1.1\nHost: localhost\n"), 405),
    ] {
        let answer = raw(&address, &format!("{head}{key}"));
        let begins = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&begins), "{head}: {answer}");
        let answer = answer.to_ascii_lowercase();
        assert!(
            answer.contains("\r\nx-content-type-options: nosniff\r\n"),
            "{answer}"
        );
        assert!(!answer.contains("evil"), "{answer}");
    }
    // Where others are let in, nobody knows by which names they come.
    let server = Server::by(&mut bare(&["--admin-key", KEY, "--bind", "0.0.0.0"], &[]));
    let port = server.address.rsplit_once(':').unwrap().1;
    let answer = raw(
        &format!("127.0.0.1:{port}"),
        &format!("GET {path} HTTP/1.1\nHost: shop.example\n{key}"),
    );
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn wrong_keys_are_logged_without_the_key() {
    let folder = Folder::new("wrong");
    let server = Server::start(&folder);
    let path = "/v1/marketplaces";
    for n in 0..10 {
        let key = format!("a-wrong-key-of-somebody-{n}");
        let (status, _) = call_as(&key, &server.address, "GET", path, &Value::Null).unwrap();
        assert_eq!(status, 401);
        let (status, _) = call(&server.address, "GET", path, &Value::Null).unwrap();
        assert_eq!(status, 200);
    }
    let log = server.killed();
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("wrong keys"))
        .collect();
    assert_eq!(lines.len(), 2, "the first and the tenth: {log}");
    assert!(
        lines[1].contains("count=10") && lines[1].contains("127.0.0.0/24"),
        "{log}"
    );
    assert!(!log.contains("somebody"), "{log}");
}

/// Half a call and a file that is never written to are open, and a result cannot be written.
#[test]
fn it_stops_whatever_is_open_and_logs_a_failure_once() {
    let folder = Folder::new("whatever");
    let mut server = Server::start(&folder);
    server.make("m");
    let result = folder.0.join("outbox/m/redemptions/week.csv");
    fs::create_dir_all(result.join("result.json/in-the-way")).unwrap();
    let inbox = folder.0.join("inbox/m/redemptions");
    fs::create_dir_all(&inbox).unwrap();
    let made = Command::new("mkfifo").arg(inbox.join("pipe.csv")).status();
    assert!(made.unwrap().success());
    fs::write(inbox.join(".week"), HEADER).unwrap();
    fs::rename(inbox.join(".week"), inbox.join("week.csv")).unwrap();
    let failed = server.until("m", "pipe.csv", |batch| batch["state"] == "failed");
    assert!(
        failed["detail"].as_str().unwrap().contains("no file"),
        "{failed}"
    );
    // Each try writes it before what is in the way.
    for _ in 0..3 {
        while fs::remove_file(result.join("rejected.csv")).is_err() {
            server.get("/healthz");
        }
    }
    let mut half = TcpStream::connect(&server.address).unwrap();
    half.write_all(b"GET /healthz HTTP/1.1\r\nHost: local")
        .unwrap();
    let pid = server.process.id().to_string();
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
    assert!(server.process.wait().unwrap().success());
    let log = server.killed();
    let lines = log.lines().filter(|line| line.contains("week.csv"));
    assert_eq!(lines.count(), 1, "{log}");
}
