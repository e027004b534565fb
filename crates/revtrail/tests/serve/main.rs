//! The built program: it survives being killed, holds its folder, and stops when told to.

#![allow(clippy::unwrap_used, reason = "tests")]

mod attacks;
mod server;

use std::io::Read;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::server::{Folder, HEADER, KEY, Server, bare, call, call_as, command, send, text};

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

/// The files of an export lie below the folder of the data; without one there is nowhere to write them.
#[test]
fn an_export_is_written_below_the_data() {
    let folder = Folder::new("exported");
    let data = Server::start(&folder);
    let memory = ["--admin-key", KEY, "--now", "2026-11-20T12:00:00Z"];
    let memory = Server::by(&mut bare(&memory, &[]));
    let path = "/v1/marketplaces/m/exports";
    let asked = json!({"what": ["orders"], "from": "2026-11-01", "to": "2026-12-01"});
    for server in [&data, &memory] {
        server.make("m");
    }
    let (status, told) = memory.call("POST", path, &asked).unwrap();
    assert_eq!(
        (status, &told["errors"][0]["code"]),
        (409, &json!("no_files")),
        "{told}"
    );
    let (status, told) = data
        .call("POST", "/v1/marketplaces/m/orders", &orders(1))
        .unwrap();
    assert_eq!(status, 202, "{told}");
    let (status, told) = data.call("POST", path, &asked).unwrap();
    assert_eq!(status, 202, "{told}");
    let path = format!("{path}/{}", told["export_id"].as_str().unwrap());
    let shown = loop {
        let shown = data.get(&path);
        if shown["state"] != "running" {
            break shown;
        }
    };
    let [file] = shown["files"].as_array().unwrap().as_slice() else {
        panic!("{shown}");
    };
    assert_eq!(
        (&shown["state"], &file["rows"]),
        (&json!("done"), &json!(20))
    );
    let written = std::fs::File::open(folder.0.join(file["file"].as_str().unwrap())).unwrap();
    let mut text = String::new();
    let mut unpacked = flate2::read::GzDecoder::new(written);
    unpacked.read_to_string(&mut text).unwrap();
    assert_eq!(text.matches("\"total\":\"1.01\"").count(), 20, "{text}");
    let manifest = folder.0.join(shown["manifest"].as_str().unwrap());
    assert!(manifest.is_file());
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
    server.make("m");
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

    let begun = server.until("m", "week.csv", |batch| batch["rows"] != 0);
    // Dropped, it is killed.
    drop(server);
    assert_eq!(begun["state"], "running", "it was killed in the middle");
    let server = Server::start(&folder);
    let done = server.until("m", "week.csv", |batch| batch["state"] == "done");
    let told = ["rows", "accepted", "duplicates", "quarantined", "rejected"];
    let counts = told.map(|name| done[name].as_u64().unwrap());
    let outbox = folder.0.join("outbox/m/redemptions/week.csv");
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

/// The service goes on while it is copied, and the copy is one of its own.
#[test]
fn a_running_service_is_copied_and_the_copy_is_served() {
    let (folder, other) = (Folder::new("copied"), Folder::new("copy"));
    let server = Server::start(&folder);
    server.make("m");
    let post = |batch| {
        let path = "/v1/marketplaces/m/orders";
        let (status, told) = server.call("POST", path, &orders(batch)).unwrap();
        assert_eq!(status, 202, "{told}");
    };
    post(1);
    server.run();
    let report = "/v1/marketplaces/m/reports/campaigns";
    let before = server.get(report)["counted"].take();
    std::fs::create_dir_all(&other.0).unwrap();
    let backup = |data: &Folder, to: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_revtrail"));
        command.arg("backup").arg("--data").arg(&data.0);
        let ran = command.arg("--to").arg(other.0.join(to)).output().unwrap();
        (ran.status.code(), String::from_utf8(ran.stderr).unwrap())
    };
    assert_eq!(backup(&folder, "revtrail.db"), (Some(0), String::new()));
    // What comes later is in the service, and not in its copy.
    post(2);
    server.run();
    let (code, told) = backup(&folder, "revtrail.db");
    assert!(
        code == Some(1) && told.contains("is there already"),
        "{told}"
    );
    let (code, told) = backup(&Folder::new("nothing"), "x.db");
    assert!(
        code == Some(1) && told.contains("--data names the folder"),
        "{told}"
    );
    let copy = Server::start(&other);
    assert_eq!(copy.get(report)["counted"], before);
    assert_eq!(before["purchases"], 20);
    assert_eq!(server.get(report)["counted"]["purchases"], 40);
    assert!(!other.0.join("revtrail.db.part").exists());
}

/// Whoever watches the service has the deployment's key.
#[test]
fn the_service_tells_how_many_calls_it_answered() {
    let memory = ["--admin-key", KEY, "--now", "2026-11-20T12:00:00Z"];
    let server = Server::by(&mut bare(&memory, &[]));
    server.make("m");
    for _ in 0..3 {
        server.get("/healthz");
    }
    let shown = text(&server.address, "/metrics", KEY);
    for line in [
        "revtrail_calls_total{route=\"GET /healthz\",status=\"200\"} 3",
        "revtrail_calls_total{route=\"PUT /v1/marketplaces/{marketplace}\",status=\"201\"} 1",
        "# TYPE revtrail_call_milliseconds_total counter",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{shown}");
    }
    let (status, _) = call_as(
        "wrong-wrong-wrong!",
        &server.address,
        "GET",
        "/metrics",
        &Value::Null,
    )
    .unwrap();
    assert_eq!(status, 401);
}

/// The key is told once, and what goes to the table is no secret; that the item is a key is for the tests over HTTP to say.
#[test]
fn an_admin_key_is_made_up_for_a_deployment() {
    let folder = Folder::new("made");
    std::fs::create_dir_all(&folder.0).unwrap();
    let item = folder.0.join("item.json");
    let made = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_revtrail"));
        command.arg("admin-key").arg("--item").arg(&item);
        command.output().unwrap()
    };
    let first = made();
    let key = String::from_utf8(first.stdout).unwrap();
    let written: Value = serde_json::from_str(&std::fs::read_to_string(&item).unwrap()).unwrap();
    assert!(first.status.success() && key.trim().len() == 67, "{key}");
    assert!(written["pk"]["S"].as_str().unwrap().starts_with("key/"));
    assert!(!written.to_string().contains(key.trim()), "{written}");
    // An item that is overwritten could not be taken back.
    let again = made();
    let told = String::from_utf8(again.stderr).unwrap();
    assert_eq!((again.status.code(), again.stdout), (Some(1), Vec::new()));
    assert!(
        told.contains("--item names a file that is not there yet"),
        "{told}"
    );
}

/// A partner has a key of one marketplace, and no account of anything else.
#[test]
fn a_partner_sends_a_file_to_the_address_given_for_it() {
    let folder = Folder::new("sent");
    let server = Server::by(command(&folder).args(["--file-mib-max", "1"]));
    server.make("m");
    server.make("other");
    let keys = "/v1/marketplaces/m/keys";
    let (_, partner) = server
        .call("POST", keys, &json!({"name": "p", "role": "partner"}))
        .unwrap();
    let offered = |marketplace: &str, name: &str| {
        let path = format!("/v1/marketplaces/{marketplace}/uploads");
        let key = partner["key"].as_str().unwrap();
        call_as(key, &server.address, "POST", &path, &json!({"name": name})).unwrap()
    };
    let (status, told) = offered("m", "week 48+é.csv");
    assert_eq!(status, 201, "{told}");
    let file = "inbox/m/redemptions/week 48+é.csv";
    assert_eq!(
        (&told["method"], &told["file"]),
        (&json!("PUT"), &json!(file))
    );
    let target = told["url"].as_str().unwrap();
    let target = target.strip_prefix("http://localhost").unwrap();
    let row = |n: usize| format!("r-{n},p-1,c-{n}\n");
    let text = HEADER.to_owned() + &(0..9).map(row).collect::<String>();
    let inbox = folder.0.join("inbox/m/redemptions");
    let there = || std::fs::read_dir(&inbox).map_or(0, Iterator::count);
    // Nothing is taken to an address that was not given, nor of a file that is too large or breaks off.
    let large = vec![b'x'; (1 << 20) + 1];
    let other = target.replace("/uploads/m/", "/uploads/other/");
    for (method, target, body, cut, status) in [
        ("PUT", target.replace("48", "49"), text.as_bytes(), 0, 403),
        ("PUT", other, text.as_bytes(), 0, 403),
        ("PUT", format!("{target}x"), text.as_bytes(), 0, 403),
        ("PUT", target.replace("until=1", "until=2"), b"", 0, 403),
        ("PUT", "/uploads/m/a.csv".to_owned(), b"", 0, 403),
        ("POST", target.to_owned(), text.as_bytes(), 0, 405),
        ("PUT", target.to_owned(), &large, 0, 413),
        ("PUT", target.to_owned(), text.as_bytes(), 9, 400),
    ] {
        let answered = send(&server.address, method, &target, body, cut);
        assert_eq!(answered.unwrap_or(status), status, "{method} {target}");
        while there() > 0 {
            // What breaks off goes when its connection does.
            assert_ne!(cut, 0, "{target} left something");
        }
    }
    assert_eq!(
        send(&server.address, "PUT", target, text.as_bytes(), 0),
        Some(200)
    );
    let done = server.until("m", "week 48+é.csv", |batch| batch["state"] == "done");
    assert_eq!(counts(&done), [9, 9, 0, 0, 0]);
    // Whoever lost the answer sends it again. Another content under the name is refused, since the file may be on its way.
    for (text, status) in [(text.as_str(), 200), (HEADER, 409)] {
        let answered = send(&server.address, "PUT", target, text.as_bytes(), 0);
        assert_eq!(answered, Some(status));
    }
    let kept = std::fs::read_to_string(inbox.join("week 48+é.csv")).unwrap();
    assert_eq!((kept, there()), (text, 1));
    assert_eq!(offered("other", "week.csv").0, 403);
}

/// What was taken of a batch, and that it adds up.
fn counts(batch: &Value) -> [u64; 5] {
    let told = ["rows", "accepted", "duplicates", "quarantined", "rejected"];
    let counts = told.map(|name| batch[name].as_u64().unwrap());
    assert_eq!(counts[0], counts[1..].iter().sum::<u64>(), "{batch}");
    counts
}

#[test]
fn case_06_a_file_that_comes_back_after_a_kill_goes_on() {
    let folder = Folder::new("back");
    let server = Server::start(&folder);
    server.make("m");
    let rows: String = (0..6_000).map(|n| format!("r-{n},p-1,c-{n}\n")).collect();
    let inbox = folder.0.join("inbox/m/redemptions");
    std::fs::create_dir_all(&inbox).unwrap();
    let (file, away) = (inbox.join("week.csv"), inbox.join(".away"));
    std::fs::write(&away, format!("{HEADER}{rows}")).unwrap();
    std::fs::rename(&away, &file).unwrap();
    server.until("m", "week.csv", |batch| batch["rows"] != 0);
    drop(server);
    std::fs::rename(&file, &away).unwrap();
    let server = Server::start(&folder);
    let failed = server.until("m", "week.csv", |batch| batch["state"] == "failed");
    let taken = counts(&failed)[0];
    assert!(taken > 0 && taken < 6_000, "{failed}");
    let detail = failed["detail"].as_str().unwrap();
    assert!(detail.starts_with("the file is gone: "), "{detail}");
    std::fs::rename(&away, &file).unwrap();
    let done = server.until("m", "week.csv", |batch| batch["state"] == "done");
    assert_eq!(counts(&done), [6_000, 6_000, 0, 0, 0]);
    assert_eq!(
        (&done["detail"], &done["batch_id"]),
        (&Value::Null, &failed["batch_id"])
    );
    let report = server.get("/v1/marketplaces/m/reports/promotions");
    assert_eq!(report["promotions"][0]["redemptions"], 6_000, "{report}");
    let redemptions = &server.get("/v1/marketplaces/m/reports/reconciliation")["redemptions"];
    assert_eq!(redemptions["received"], 6_000, "{redemptions}");
}

#[test]
fn case_38_a_folder_of_no_marketplace_is_logged_once_and_waits() {
    let folder = Folder::new("later");
    let server = Server::start(&folder);
    server.make("m");
    let put = |marketplace: &str, name: &str| {
        let inbox = folder.0.join(format!("inbox/{marketplace}/redemptions"));
        std::fs::create_dir_all(&inbox).unwrap();
        let row = format!("{HEADER}{name}-{marketplace},p-1,c\n");
        std::fs::write(inbox.join(".draft"), row).unwrap();
        std::fs::rename(inbox.join(".draft"), inbox.join(name)).unwrap();
    };
    for marketplace in ["later", "My Shop"] {
        put(marketplace, "week.csv");
    }
    std::fs::write(folder.0.join("inbox/week.csv"), HEADER).unwrap();
    // Each is found by another look.
    for name in ["a.csv", "b.csv", "c.csv"] {
        put("m", name);
        server.until("m", name, |batch| batch["state"] == "done");
    }
    server.make("later");
    let done = server.until("later", "week.csv", |batch| batch["state"] == "done");
    assert_eq!(counts(&done), [1, 1, 0, 0, 0]);
    let log = server.killed();
    for (name, what) in [
        ("inbox/later", "there is no marketplace of this name"),
        ("inbox/My Shop", "no marketplace can have this name"),
        ("inbox/week.csv", "inbox/<marketplace>/redemptions"),
    ] {
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(name)).collect();
        assert!(
            lines.len() == 1 && lines[0].contains(what),
            "{name}: {lines:?}"
        );
    }
}

#[test]
fn case_36_a_key_that_is_made_up_is_kept() {
    let folder = Folder::new("kept");
    let data = folder.0.to_str().unwrap();
    let mut keys = Vec::new();
    for _ in 0..2 {
        let mut server = Server::by(&mut bare(&["--data", data], &[]));
        let kept = std::fs::read_to_string(folder.0.join("admin-key")).unwrap();
        let line = format!("admin key   {}\n", kept.trim());
        assert!(server.printed.contains(&line), "{}", server.printed);
        server.key = kept.trim().to_owned();
        assert_eq!(server.get("/v1/marketplaces"), json!({"marketplaces": []}));
        keys.push(kept);
    }
    assert!(keys[0] == keys[1] && keys[0].trim().len() >= 16, "{keys:?}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let about = std::fs::metadata(folder.0.join("admin-key")).unwrap();
        assert_eq!(about.permissions().mode() & 0o777, 0o600);
    }
    // Another one that is given is good for as long as it is given, and replaces nothing.
    let given = Server::by(&mut bare(&["--data", data, "--admin-key", KEY], &[]));
    assert_eq!(given.get("/v1/marketplaces"), json!({"marketplaces": []}));
    let (status, _) = call_as(
        keys[0].trim(),
        &given.address,
        "GET",
        "/v1/marketplaces",
        &Value::Null,
    )
    .unwrap();
    assert_eq!(status, 401);
    let kept = std::fs::read_to_string(folder.0.join("admin-key")).unwrap();
    assert_eq!(kept, keys[0]);
}

#[test]
fn case_36_a_key_that_was_given_is_printed_nowhere() {
    let folder = Folder::new("given");
    std::fs::create_dir_all(&folder.0).unwrap();
    let file = folder.0.join("key");
    std::fs::write(&file, format!("{KEY}\r\n")).unwrap();
    let file = file.to_str().unwrap();
    for (arguments, environment) in [
        (&["--admin-key", KEY][..], &[][..]),
        (&["--admin-key-file", file], &[]),
        (&["--demo", "--admin-key", KEY], &[]),
        (&[], &[("REVTRAIL_ADMIN_KEY", KEY)]),
        (&[], &[("REVTRAIL_ADMIN_KEY_FILE", file)]),
    ] {
        let server = Server::by(&mut bare(arguments, environment));
        assert_eq!(
            server
                .call("GET", "/v1/marketplaces", &Value::Null)
                .unwrap()
                .0,
            200
        );
        let printed = server.printed.clone();
        assert!(
            printed.contains("admin key") && !printed.contains(KEY),
            "{printed}"
        );
        assert!(!server.killed().contains(KEY));
    }
}

#[test]
fn case_36_each_option_can_stand_in_the_environment() {
    let folder = Folder::new("environment");
    let data = folder.0.join("data");
    let server = Server::by(&mut bare(
        &[],
        &[
            ("REVTRAIL_DATA", data.to_str().unwrap()),
            ("REVTRAIL_BIND", "127.0.0.1"),
            ("REVTRAIL_HOST", "localhost"),
            ("REVTRAIL_ADMIN_KEY", KEY),
            ("REVTRAIL_NOW", "2026-11-20T12:00:00Z"),
            ("REVTRAIL_RETENTION", "500d"),
            ("REVTRAIL_DEMO", "true"),
        ],
    ));
    let (name, port) = server.address.split_once(':').unwrap();
    assert_eq!(name, "localhost", "{}", server.printed);
    let address = format!("127.0.0.1:{port}");
    let get = |path: &str| call(&address, "GET", path, &Value::Null).unwrap();
    let (status, marketplaces) = get("/v1/marketplaces");
    assert_eq!(
        (status, &marketplaces["marketplaces"][0]["marketplace_id"]),
        (200, &json!("demo"))
    );
    let (_, report) = get("/v1/marketplaces/demo/reports/campaigns");
    assert!(
        report["as_of"]
            .as_str()
            .unwrap()
            .starts_with("2026-11-20T12:"),
        "{report}"
    );
    assert!(data.join("revtrail.db").is_file());
    drop(server);
    // Kept for 500 days, it is not begun with another retention.
    let other = bare(
        &["--data", data.to_str().unwrap(), "--admin-key", KEY],
        &[("REVTRAIL_RETENTION", "90d")],
    )
    .output()
    .unwrap();
    let told = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(told.contains("with a retention of 500 days"), "{told}");
    // What is asked for wrongly is usage, wherever it stands.
    for (name, value) in [
        ("REVTRAIL_ADMIN_KEY", "short"),
        ("REVTRAIL_ADMIN_KEY", ""),
        ("REVTRAIL_PORT", "http"),
        ("REVTRAIL_BIND", "everywhere"),
        ("REVTRAIL_NOW", "now"),
        ("REVTRAIL_RETENTION", "1d"),
    ] {
        let refused = bare(&[], &[(name, value)]).output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{name}={value}");
    }
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
            (json!("harvest-thanks"), true, true),
            // Nothing of it is assigned, so it has no rate.
            (json!("lunch-club"), false, false),
            (json!("welcome-gift"), true, true),
            (json!("winter-warmers"), true, true)
        ],
        "{promotions}"
    );
    let states = rows.iter().map(|row| row["state"].as_str().unwrap());
    let expected = ["planned", "ended", "running", "running", "running"];
    assert_eq!(states.collect::<Vec<_>>(), expected, "{promotions}");
    assert_eq!(rows[2]["budget"]["usage"], "0.9524", "{promotions}");
    let welcome = get("promotions/welcome-gift/dashboard");
    assert_eq!(welcome["vouchers"], welcome["publications"]["success"]);
    for result in ["success", "failure", "rolled_back"] {
        let path = format!("promotions/harvest-thanks/redemptions?result={result}&limit=1");
        assert_eq!(get(&path)["items"].as_array().unwrap().len(), 1, "{result}");
    }
    let sent = get("promotions/welcome-gift/distributions?limit=1");
    assert_eq!(
        sent["items"][0]["voucher_code"].as_str().unwrap().len(),
        12,
        "{sent}"
    );
    // Three periods of 30 days lie in it, so there is something to compare with.
    let compared = get("reports/campaigns?compare=previous");
    let before = &compared["previous"]["totals"];
    assert!(before["purchases"].as_u64().unwrap() > 50, "{compared}");
    let files = get("batches");
    let files = files["batches"].as_array().unwrap();
    let counts = ["accepted", "duplicates", "quarantined", "rejected"];
    let told = files.iter().map(|file| {
        let counts = counts.map(|name| file[name].as_u64().unwrap());
        (file["state"].as_str().unwrap(), counts)
    });
    let mut told: Vec<_> = told.collect();
    told.sort();
    assert_eq!(told, [("done", [40, 1, 2, 3]), ("failed", [0; 4])]);
    assert_eq!(get("quarantine")["items"].as_array().unwrap().len(), 2);
    let versions = get("settings/versions");
    let versions = versions["versions"].as_array().unwrap();
    assert!(versions.len() == 2 && versions.iter().all(|one| one["replaced"] == false));
    let replays = get("replays");
    let replay = &replays["replays"][0];
    assert!(
        replay["state"] == "done" && replay["moved"].as_u64() > Some(0),
        "{replay}"
    );
    let why = get("orders/order-00001/attribution");
    assert!(why["credited_to"].is_object(), "{why}");
}

/// The script that tells whether a deployed service works says so of this one, and says of another what is wrong.
#[test]
fn the_smoke_test_of_a_deployment_passes() {
    let mut serve = Command::new(env!("CARGO_BIN_EXE_revtrail"));
    serve.args(["serve", "--port", "0", "--admin-key", KEY]);
    let server = Server::by(serve.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let smoke = |key: &str| {
        let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/smoke.sh"));
        script.arg(format!("http://{}", server.address)).arg(key);
        let ran = script.output().unwrap();
        let told = [ran.stdout, ran.stderr].map(|told| String::from_utf8(told).unwrap());
        (ran.status.code(), told.concat())
    };
    let (code, told) = smoke(KEY);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("the report is right to the cent"), "{told}");
    let (code, told) = smoke("another-letters!");
    assert_eq!(code, Some(1), "{told}");
    assert!(
        told.contains("WRONG  a marketplace is made: expected the status 201\n       401"),
        "{told}"
    );
}
