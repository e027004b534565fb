//! The built program: it survives being killed, holds its folder, and stops when told to.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// As short as may be.
const KEY: &str = "sixteen-letters!";

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("revtrail-{name}-{}", std::process::id()));
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

struct Server {
    process: Child,
    address: String,
    output: BufReader<std::process::ChildStdout>,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn command(folder: &Folder) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_revtrail"));
    command
        .args(["serve", "--port", "0", "--admin-key", KEY, "--data"])
        .arg(&folder.0)
        .args(["--now", "2026-11-20T12:00:00Z"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Server {
    fn start(folder: &Folder) -> Self {
        Self::by(&mut command(folder))
    }

    fn by(command: &mut Command) -> Self {
        let mut process = command.spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        // From here on the process ends with its owner, also where the start fails.
        let mut server = Self {
            process,
            address: String::new(),
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
        }
    }

    /// One call on a connection of its own; `None` where no whole answer came.
    fn call(&self, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
        call(&self.address, method, path, body)
    }

    fn get(&self, path: &str) -> Value {
        let (status, body) = self.call("GET", path, &Value::Null).unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    fn run(&self) {
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

fn call(address: &str, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let mut stream = TcpStream::connect(address).ok()?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
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

fn orders(batch: usize) -> Value {
    let order = |i: usize| {
        json!({"order_id": format!("o-{batch}-{i}"), "customer_id": format!("c-{i}"), "status": "COMPLETE", "total": "1.01",
            "currency": "EUR", "placed_at": "2026-11-20T11:00:00Z"})
    };
    json!((0..20).map(order).collect::<Vec<_>>())
}

#[test]
fn what_was_accepted_survives_being_killed() {
    let folder = Folder::new("killed");
    let server = Server::start(&folder);
    assert_eq!(
        server
            .call("PUT", "/v1/marketplaces/m", &json!({"name": "m"}))
            .unwrap()
            .0,
        201
    );
    drop(server);
    let mut accepted = 0;
    for round in 0..4 {
        let mut server = Server::start(&folder);
        let address = server.address.clone();
        // One thread posts and another asks for runs until the server is gone, which it is while they are at it.
        let posted = std::thread::spawn(move || {
            (0..)
                .take_while(|i| {
                    call(
                        &address,
                        "POST",
                        "/v1/marketplaces/m/orders",
                        &orders(1_000 * round + i),
                    )
                    .is_some_and(|(status, _)| status == 202)
                })
                .count()
        });
        let address = server.address.clone();
        let asked = std::thread::spawn(move || {
            while call(&address, "POST", "/v1/marketplaces/m/runs", &json!({})).is_some() {}
        });
        let stored = |server: &Server| {
            server.get("/v1/marketplaces/m/reports/reconciliation")["events"].is_object()
        };
        (0..8 * (round + 1)).for_each(|_| assert!(stored(&server)));
        server.process.kill().unwrap();
        accepted += posted.join().unwrap();
        asked.join().unwrap();
    }
    assert!(accepted > 0);
    let server = Server::start(&folder);
    server.run();
    let report = server.get("/v1/marketplaces/m/reports/campaigns");
    let (count, cents) = (
        report["counted"]["purchases"].as_u64().unwrap(),
        accepted as u64 * 20,
    );
    // A call that was cut off may have stored some of its orders: at most one a round.
    assert!(
        (cents..=cents + 4 * 20).contains(&count),
        "{count} counted, {cents} accepted"
    );
    assert_eq!(report["counted"], report["uncredited"]);
    assert_eq!(
        report["counted"]["revenue"]["EUR"],
        json!(format!("{}.{:02}", count * 101 / 100, count * 101 % 100))
    );
    for round in 0..4 {
        assert_eq!(
            server
                .call("POST", "/v1/marketplaces/m/orders", &orders(1_000 * round))
                .unwrap()
                .0,
            202
        );
    }
}

#[test]
fn a_folder_is_held_to_its_retention() {
    let folder = Folder::new("retention");
    drop(Server::start(&folder));
    let mut other = command(&folder);
    let other = other.args(["--retention", "500d"]).output().unwrap();
    let told = String::from_utf8_lossy(&other.stderr).into_owned();
    assert_eq!(other.status.code(), Some(1), "{told}");
    assert!(told.contains("with a retention of 90 days"), "{told}");
    drop(Server::start(&folder));
}

#[test]
fn a_folder_is_held_by_one_process() {
    let folder = Folder::new("held");
    let _server = Server::start(&folder);
    let second = command(&folder).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use by another revtrail"));
}

#[cfg(unix)]
#[test]
fn it_stops_when_told_to() {
    let folder = Folder::new("stopped");
    let mut server = Server::start(&folder);
    assert_eq!(server.get("/healthz"), json!({"status": "ok"}));
    let told = Command::new("kill")
        .arg(server.process.id().to_string())
        .status()
        .unwrap();
    assert!(told.success() && server.process.wait().unwrap().success());
    let mut rest = String::new();
    server.output.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "stopped\n");
}

#[test]
fn a_file_in_the_inbox_is_taken_in_though_the_process_is_killed() {
    let folder = Folder::new("inbox");
    let server = Server::start(&folder);
    let put = |path: &str, body: Value| {
        let (status, told) = server.call("PUT", path, &body).unwrap();
        assert!(status < 300, "{told}");
    };
    put("/v1/marketplaces/m", json!({"name": "m"}));
    let promotion = json!({"name": "P", "kind": "global"});
    put("/v1/marketplaces/m/promotions/p-1", promotion);
    let inbox = folder.0.join("inbox/m/redemptions");
    std::fs::create_dir_all(&inbox).unwrap();
    let row = |n: usize| match n % 10 {
        9 => format!("r-{n}\n"),
        _ => format!("r-{n},p-1,c-{n}\n"),
    };
    let rows: String = (0..3_000).map(row).collect();
    let text = format!("redemption_id,promotion_id,customer_id\n{rows}");
    std::fs::write(inbox.join(".unfinished.csv"), "not complete yet").unwrap();
    std::fs::write(inbox.join("notes.txt"), "no file of redemptions").unwrap();
    std::fs::write(inbox.join(".week.csv"), text).unwrap();
    std::fs::rename(inbox.join(".week.csv"), inbox.join("week.csv")).unwrap();

    let until = |server: &Server, enough: &dyn Fn(&Value) -> bool| loop {
        let shown = server.get("/v1/marketplaces/m/batches");
        let batches = shown["batches"].as_array().unwrap();
        assert!(batches.len() <= 1, "{shown}");
        if let Some(batch) = batches.first().filter(|batch| enough(batch)) {
            return batch.clone();
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    let begun = until(&server, &|batch| batch["rows"] != 0);
    // Dropped, it is killed.
    drop(server);
    assert_eq!(begun["state"], "running", "it was killed in the middle");
    let server = Server::start(&folder);
    let done = until(&server, &|batch| batch["state"] == "done");
    let told = ["rows", "accepted", "duplicates", "quarantined", "rejected"];
    let counts = told.map(|name| done[name].as_u64().unwrap());
    let outbox = folder.0.join("outbox/m/redemptions/week");
    let rejected = std::fs::read_to_string(outbox.join("rejected.csv")).unwrap();
    let wrong: Vec<&str> = rejected
        .lines()
        .filter(|line| !line.contains(",not_csv,"))
        .collect();
    assert_eq!(
        counts,
        [3_000, 2_700, 0, 0, 300],
        "{:?}",
        wrong.iter().take(4).collect::<Vec<_>>()
    );
    let result = std::fs::read_to_string(outbox.join("result.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&result).unwrap(), done);
    assert_eq!(rejected.lines().count(), 301);
    assert!(
        rejected.lines().nth(1).unwrap().ends_with(",r-9"),
        "{rejected:.200}"
    );
}

#[test]
fn the_sample_shows_what_there_is_to_see() {
    let folder = Folder::new("sample");
    let server = Server::by(command(&folder).arg("--demo"));
    let get = |path: &str| server.get(&format!("/v1/marketplaces/demo/{path}"));
    let campaigns = get("reports/campaigns");
    assert_eq!(campaigns["totals"]["campaigns"], 11, "{campaigns}");
    let promotions = get("reports/promotions?sort=promotion_id");
    let rows = promotions["promotions"].as_array().unwrap();
    let shown = |row: &Value| {
        let used = row["redeemed"].as_u64().unwrap() > 0;
        (
            row["promotion_id"].clone(),
            row["redemption_rate"].is_string(),
            used,
        )
    };
    assert_eq!(
        rows.iter().map(shown).collect::<Vec<_>>(),
        [
            (json!("black-friday"), false, false),
            (json!("welcome-gift"), true, true),
            (json!("winter-warmers"), true, true)
        ],
        "{promotions}"
    );
    let welcome = get("promotions/welcome-gift/dashboard");
    assert_eq!(welcome["vouchers"], welcome["publications"]["success"]);
    for result in ["success", "failure", "rolled_back"] {
        let path = format!("promotions/winter-warmers/redemptions?result={result}&limit=1");
        assert_eq!(get(&path)["items"].as_array().unwrap().len(), 1, "{result}");
    }
    let sent = get("promotions/welcome-gift/distributions?limit=1");
    assert_eq!(
        sent["items"][0]["voucher_code"].as_str().unwrap().len(),
        12,
        "{sent}"
    );
}
