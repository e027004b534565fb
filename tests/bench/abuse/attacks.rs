//! What the marketplace `loud` does to the service while `quiet` is measured. An attack is a row of the table and a function; what
//! the service refuses is no failure of the bench.

use std::io::{BufWriter, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::Outcome;
use crate::data::{HEADER, event};
use crate::service::Target;

/// A row of the table. Points are those of the issue that asked for them.
pub(crate) struct Attack {
    pub(crate) point: &'static str,
    pub(crate) name: &'static str,
    /// How many days the clock of the service is ahead of the data.
    pub(crate) days_ahead: i64,
    /// What is done, until it is told to stop.
    pub(crate) run: fn(&Target, &AtomicBool) -> Outcome<()>,
}

/// The first row is the measure of the others.
pub(crate) const ATTACKS: [Attack; 11] = [
    row("-", "nothing", wait),
    row("4", "forged cursors", forged_cursors),
    row("6", "files of 300,000 rows", large_files),
    row("6", "a file of 6 GB without content", sparse_file),
    Attack {
        days_ahead: 200,
        ..row("7", "everything has expired", wait)
    },
    row("8", "lists of errors", error_lists),
    row("9", "half requests", half_requests),
    row("10", "filters without hits", filters),
    row("11", "32 heavy calls at once", heavy_calls),
    row("11", "a run with 20,000 new campaigns", new_campaigns),
    row("12", "gzip of 200,000 bad rows", gzip),
];

const fn row(
    point: &'static str,
    name: &'static str,
    run: fn(&Target, &AtomicBool) -> Outcome<()>,
) -> Attack {
    Attack {
        point,
        name,
        days_ahead: 0,
        run,
    }
}

/// Does something in several threads, each with the count of what was done before, until it is told to stop.
fn at_once(
    threads: usize,
    stop: &AtomicBool,
    act: impl Fn(usize) -> Outcome<()> + Sync,
) -> Outcome<()> {
    let done = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    // An attacker who is refused at once must not make a bench of the loopback device.
                    if act(done.fetch_add(1, Ordering::Relaxed)).is_err() {
                        thread::sleep(Duration::from_millis(10));
                    }
                }
            });
        }
    });
    Ok(())
}

fn wait(_: &Target, stop: &AtomicBool) -> Outcome<()> {
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn forged_cursors(target: &Target, stop: &AtomicBool) -> Outcome<()> {
    // {"after":""} and {"after":"m/"}, in base64.
    let forged = ["eyJhZnRlciI6IiJ9", "eyJhZnRlciI6Im0vIn0"];
    let lists = [
        "orders",
        "reports/campaigns",
        "reports/promotions",
        "redemptions",
        "batches",
    ];
    at_once(4, stop, |n| {
        let (list, cursor) = (lists[n % lists.len()], forged[n % forged.len()]);
        target.ask(&format!("/loud/{list}?limit=1&cursor={cursor}"))
    })
}

/// The next file comes when this one is taken in, or after a while.
fn large_files(target: &Target, stop: &AtomicBool) -> Outcome<()> {
    let (now, mut files) = (target.now(), 0..);
    while !stop.load(Ordering::Relaxed) {
        let file: usize = files.next().unwrap_or_default();
        target.put("loud", &format!("large-{file}.csv"), |out| {
            let mut out = BufWriter::new(out);
            writeln!(out, "{HEADER}")?;
            for row in 0..300_000 {
                writeln!(out, "f{file}-{row},p-{},c-{row},{now}", row % 20)?;
            }
            out.flush()
        })?;
        (0..200)
            .take_while(|_| !stop.load(Ordering::Relaxed))
            .for_each(|_| thread::sleep(Duration::from_millis(100)));
    }
    Ok(())
}

fn sparse_file(target: &Target, stop: &AtomicBool) -> Outcome<()> {
    target.put("loud", "sparse.csv", |out| {
        writeln!(out, "{HEADER}")?;
        out.set_len(6 << 30)
    })?;
    wait(target, stop)
}

fn error_lists(target: &Target, stop: &AtomicBool) -> Outcome<()> {
    let wrong = |n: usize| (format!("wrong-setting-{n}"), json!(n));
    let settings = Value::Object((0..40_000).map(wrong).collect()).to_string();
    let vouchers = format!("code,limit\n{}", "=bad code,many\n".repeat(65_000));
    at_once(4, stop, |n| {
        match n % 2 {
            0 => target.call(
                "PUT",
                "/loud/settings",
                "application/json",
                settings.as_bytes(),
            ),
            _ => target.call(
                "POST",
                "/loud/promotions/p-0/vouchers",
                "text/csv",
                vouchers.as_bytes(),
            ),
        }
        .map(drop)
    })
}

fn half_requests(target: &Target, stop: &AtomicBool) -> Outcome<()> {
    let open = || -> Outcome<TcpStream> {
        let mut stream = target.connect()?;
        stream.write_all(b"POST /v1/marketplaces/loud/events HTTP/1.1\r\nhost: ")?;
        stream.set_read_timeout(Some(Duration::from_millis(1)))?;
        Ok(stream)
    };
    let mut held: Vec<TcpStream> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        // Those that the service closed are opened again.
        held.retain_mut(|stream| !matches!(stream.read(&mut [0; 64]), Ok(0)));
        held.extend((held.len()..400).filter_map(|_| open().ok()));
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn filters(target: &Target, stop: &AtomicBool) -> Outcome<()> {
    let lists = [
        "orders?customer_id=nobody&limit=1",
        "promotions/p-0/redemptions?customer_id=nobody&limit=1",
        "promotions/p-0/assignments?customer_id=nobody&limit=1",
    ];
    at_once(8, stop, |n| {
        target.ask(&format!("/loud/{}", lists[n % lists.len()]))
    })
}

fn heavy_calls(target: &Target, stop: &AtomicBool) -> Outcome<()> {
    // So many events wait for the next run.
    let now = target.now();
    at_once(32, stop, |n| {
        if n < 200 {
            let events: Vec<Value> = (0..1_000)
                .map(|row| event(&format!("heavy-{n}-{row}"), n * 100 + row / 10, &now))
                .collect();
            return target
                .send("POST", "/loud/events", &events.into())
                .map(drop);
        }
        let call = [
            "orders?limit=1",
            "reports/promotions?limit=300",
            "reports/campaigns?limit=1000",
        ][n % 3];
        target.ask(&format!("/loud/{call}"))
    })
}

fn new_campaigns(target: &Target, stop: &AtomicBool) -> Outcome<()> {
    let now = target.now();
    for call in 0..20 {
        let events: Vec<Value> = (0..1_000)
            .map(|row| {
                let mut event = event(&format!("new-{call}-{row}"), row, &now);
                event["campaign_id"] = json!(format!("new-{call}-{row}"));
                event
            })
            .collect();
        target.send("POST", "/loud/events", &events.into())?;
    }
    at_once(1, stop, |_| {
        target.send("POST", "/loud/runs", &json!({}))?;
        thread::sleep(Duration::from_secs(5));
        Ok(())
    })
}

fn gzip(target: &Target, stop: &AtomicBool) -> Outcome<()> {
    for file in 0.. {
        target.put("loud", &format!("small-{file}.csv.gz"), |out| {
            let mut packed = GzEncoder::new(out, Compression::best());
            packed.write_all(format!("{HEADER}\n{}", "a\n".repeat(200_000)).as_bytes())?;
            packed.finish().map(drop)
        })?;
        for _ in 0..50 {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
    Ok(())
}
