//! `revtrail import` into a service that refuses, loses answers and stops: what is there at the end is what the files say, once.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use clap::Parser;
use http::{Method, StatusCode};
use revtrail::attribute::{Exit, Watched};
use revtrail::cli::{Cli, Command};
use revtrail::serve::{ConnectionLimits, serve};
use revtrail_oracle::worlds::Rng;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::rules::files::parquet::{Cell, written};
use crate::support::fixtures::{Shop, assert_part};
use crate::support::root::Root;
use crate::support::service::ADMIN;

/// What becomes of a call of intake.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Answered,
    /// The service has too much to do, and takes nothing.
    Refused,
    /// It takes everything, and the answer does not arrive.
    Lost,
    /// It takes no more calls with this key.
    Stopped,
}

/// A shop behind a line on which each call of intake has a fate. Behind the last fate all are answered.
struct Line {
    shop: Shop,
    url: String,
    fates: Arc<Mutex<Vec<Fate>>>,
    /// The statuses of all calls of intake.
    seen: Arc<Mutex<Vec<u16>>>,
    served: JoinHandle<()>,
    files: Root,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.served.abort();
    }
}

impl Line {
    async fn open() -> Self {
        let shop = Shop::open(json!({ "currency": "USD" })).await;
        let (fates, seen) = (
            Arc::<Mutex<Vec<Fate>>>::default(),
            Arc::<Mutex<Vec<u16>>>::default(),
        );
        let (own, noted) = (fates.clone(), seen.clone());
        let router = shop
            .service
            .router()
            .layer(from_fn(move |request: Request, next: Next| {
                let (own, noted) = (own.clone(), noted.clone());
                async move {
                    if request.method() == Method::GET {
                        return next.run(request).await;
                    }
                    let fate = match own.lock().unwrap() {
                        mut fates if !fates.is_empty() => fates.remove(0),
                        _ => Fate::Answered,
                    };
                    let answer = met(fate, request, next).await;
                    noted.lock().unwrap().push(answer.status().as_u16());
                    answer
                }
            }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let limits = ConnectionLimits::of_this_process();
        let served = tokio::spawn(serve(listener, router, limits, std::future::pending()));
        let files = Root::new();
        std::fs::create_dir_all(&files.0).unwrap();
        Self {
            shop,
            url,
            fates,
            seen,
            served,
            files,
        }
    }

    fn put(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.files.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs an import: how it ends, and what it says. `@` stands for the folder.
    async fn import(&self, line: &str) -> (Exit, String) {
        let folder = format!("{}/", self.files.0.display());
        let line = format!("--url {} --marketplace m {line}", self.url);
        let line = line.replace('@', &folder);
        let run = move || {
            let words = ["revtrail", "import"].into_iter().chain(line.split(' '));
            let Command::Import(args) = Cli::parse_from(words).command else {
                unreachable!("the words say import")
            };
            let mut err = Vec::new();
            let exit = revtrail::import::run(&args, Some(ADMIN), &mut err, false);
            (exit, String::from_utf8(err).unwrap().replace(&folder, "@"))
        };
        tokio::task::spawn_blocking(run).await.unwrap()
    }

    /// The figures of the service, and those of `attribute` over the same files.
    async fn assert_equal(&self, files: &str) {
        self.shop.run().await;
        let figures = self
            .shop
            .get("reports/campaigns?from=2026-10-25&to=2026-11-21")
            .await;
        let settings = self.put("settings.json", "{\"currency\":\"USD\"}");
        let line = format!(
            "revtrail attribute --json --settings {} {files}",
            settings.display()
        );
        let line = line.replace('@', &format!("{}/", self.files.0.display()));
        let Command::Attribute(args) = Cli::parse_from(line.split(' ')).command else {
            unreachable!("the words say attribute")
        };
        let mut out = Vec::new();
        revtrail::attribute::run(&args, &mut out, &mut Vec::new(), Watched::default());
        let report: Value = serde_json::from_slice(&out).unwrap();
        for part in ["counted", "credited", "uncredited"] {
            assert_eq!(figures[part], report[part], "{part}");
        }
        let row = |report: &Value| report["campaigns"].as_array().unwrap().len();
        assert_eq!(row(&figures), row(&report));
        assert_part(
            "totals",
            &figures["totals"],
            &json!({ "deliveries": report["totals"]["deliveries"], "revenue": report["totals"]["revenue"] }),
        );
    }
}

async fn met(fate: Fate, request: Request, next: Next) -> Response {
    let later = [("retry-after", "0")];
    match fate {
        Fate::Answered => next.run(request).await,
        Fate::Refused => (StatusCode::TOO_MANY_REQUESTS, later).into_response(),
        Fate::Lost => {
            next.run(request).await;
            (StatusCode::SERVICE_UNAVAILABLE, later).into_response()
        }
        Fate::Stopped => StatusCode::UNAUTHORIZED.into_response(),
    }
}

fn events(n: usize) -> String {
    let mut text = "event_id,kind,channel,campaign_id,customer_id,occurred_at,machine\n".to_owned();
    for i in 0..n {
        let (kind, campaign) = (["delivered", "clicked"][i % 2], i % 7);
        text += &format!(
            "e{i},{kind},email,camp{campaign},c{},2026-11-18T10:{:02}:00Z,FALSE\n",
            i / 2,
            i % 60
        );
    }
    text
}

fn orders(n: usize) -> String {
    let mut text = "order_id,customer_id,status,total,currency,placed_at,coupon_codes\n".to_owned();
    for i in 0..n {
        let status =
            ["COMPLETE", "PENDING", "Wrong"][if i == 700 { 2 } else { usize::from(i % 5 == 0) }];
        text += &format!(
            "o{i},c{i},{status},{}.{:02},USD,2026-11-19T10:00:00Z,A|B\n",
            i % 90 + 1,
            i % 100
        );
    }
    // Later copies of the first orders: the last one stands.
    for i in 0..50 {
        text += &format!(
            "o{i},c{i},REFUNDED,{}.{:02},USD,2026-11-19T10:00:00Z,A|B\n",
            i % 90 + 1,
            i % 100
        );
    }
    text
}

/// The rows of a CSV text without quotes, as a file of Parquet of the types that a lot chooses.
fn parquet(seed: u64, csv: &str) -> Vec<u8> {
    let mut lines = csv.lines().map(|line| line.split(','));
    let header = lines.next().unwrap_or_else(|| "".split(','));
    let mut columns: Vec<(String, Vec<Cell>)> =
        header.map(|name| (name.to_owned(), Vec::new())).collect();
    for cells in lines {
        for ((_, column), cell) in columns.iter_mut().zip(cells) {
            column.push(Some(cell.as_bytes().to_vec()));
        }
    }
    written(&mut Rng::new(seed), &columns)
}

const FILES: &str = "--events @events.csv --orders @orders.csv";
const TWO: &str = "--parallel 2";

#[tokio::test(flavor = "multi_thread")]
async fn an_import_over_a_bad_line_is_exact() {
    use Fate::{Answered, Lost, Refused, Stopped};

    let line = Line::open().await;
    line.put("events.csv", events(2_500));
    line.put("orders.csv", orders(1_300));
    *line.fates.lock().unwrap() = vec![
        Refused, Lost, Answered, Refused, Refused, Answered, Stopped, Stopped, Stopped, Stopped,
    ];
    let (exit, said) = line.import(&format!("{FILES} {TWO}")).await;
    assert_eq!(exit, Exit::Failed, "{said}");
    assert!(said.contains("401"), "{said}");
    let state = line.files.0.join("events.csv.revtrail-import");
    let on_record = std::fs::read_to_string(&state).unwrap();
    let answered = on_record.lines().count() - 1;
    assert!(answered > 0, "{on_record}");
    // The process was killed while it wrote.
    std::fs::write(&state, format!("{on_record}{{\"lane\":0,\"bat")).unwrap();
    let before = line.seen.lock().unwrap().len();
    *line.fates.lock().unwrap() = vec![Lost, Answered, Refused];

    let (exit, said) = line
        .import(&format!("{FILES} {TWO} --rejects @rejects.csv"))
        .await;
    assert_eq!(exit, Exit::Rejected, "{said}");
    let sent = line.seen.lock().unwrap()[before..]
        .iter()
        .filter(|status| **status == 202)
        .count();
    assert!(
        sent + answered <= 4 + 2,
        "what was answered is not sent again: {sent} and {answered} calls"
    );
    assert!(said.contains("@events.csv: 2,500 events"), "{said}");
    assert!(
        said.contains("@orders.csv: 1,350 orders") && said.contains("1 rejected"),
        "{said}"
    );
    let rejects = std::fs::read_to_string(line.files.0.join("rejects.csv")).unwrap();
    let rejects: Vec<&str> = rejects.lines().collect();
    assert!(
        rejects.len() == 2 && rejects[1].contains("orders.csv,702,unknown_status,"),
        "{rejects:?}"
    );
    assert!(!state.exists());
    line.assert_equal(FILES).await;

    // All of it again changes nothing.
    let (exit, said) = line.import(&format!("{FILES} {TWO} --max-rejects 1")).await;
    assert_eq!(exit, Exit::Clean, "{said}");
    assert!(said.contains("0 accepted, 2,500 known before"), "{said}");
    line.assert_equal(FILES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_parquet_are_imported_and_go_on() {
    use Fate::{Answered, Stopped};

    let files = "--events @events.parquet --orders @orders.parquet";
    for seed in 0..3 {
        let line = Line::open().await;
        line.put("events.parquet", parquet(seed, &events(2_500)));
        line.put("orders.parquet", parquet(seed, &orders(1_300)));
        *line.fates.lock().unwrap() = vec![Answered, Stopped, Stopped];
        let (exit, said) = line.import(&format!("{files} {TWO}")).await;
        assert_eq!(exit, Exit::Failed, "{said}");
        let state = line.files.0.join("events.parquet.revtrail-import");
        let on_record = std::fs::read_to_string(&state).unwrap();
        assert_eq!(on_record.lines().count(), 2, "{on_record}");

        // A lane that ended before it sent anything left its fate.
        line.fates.lock().unwrap().clear();
        let rejects = "--rejects @rejects.csv";
        let (exit, said) = line.import(&format!("{files} {TWO} {rejects}")).await;
        assert_eq!(exit, Exit::Rejected, "{said}");
        for part in [
            "@events.parquet: 2,500 events: 2,500 accepted",
            "1 rejected",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let rejects = std::fs::read_to_string(line.files.0.join("rejects.csv")).unwrap();
        assert!(
            rejects.contains("orders.parquet,701,unknown_status,"),
            "{rejects}"
        );
        assert!(!state.exists());
        line.assert_equal(files).await;
    }

    // A file that lacks a column leaves nothing beside it.
    let line = Line::open().await;
    line.put("events.parquet", parquet(0, "event_id,kind\ne1,sent\n"));
    let (exit, said) = line.import("--events @events.parquet").await;
    assert_eq!(exit, Exit::Failed, "{said}");
    assert!(said.contains("the file has no column channel"), "{said}");
    assert!(!line.files.0.join("events.parquet.revtrail-import").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_campaigns_and_vouchers_are_imported() {
    let line = Line::open().await;
    let sent = "SendID\tSubscriberKey\tEmailAddress\tEventDate\tEventType\n";
    line.put("sent.csv", format!("{sent}387\tc-1\tann@example.com\t11/18/2026 10:15:00 AM\tSent\n387\tc-1\tann@example.com\t11/18/2026 10:16:00 AM\tOpen\n"));
    line.put(
        "jobs.csv",
        "SendID,SentTime,EmailName,JobStatus\n387,11/18/2026 10:15:00 AM,Spring,Complete\n",
    );
    line.put("grid.csv", "ID,Purchase Date,Grand Total (Purchased),Status,Customer Email\n1,\"Nov 19, 2026 14:15:00 PM\",95.0000,Complete,ann@example.com\n");
    line.put(
        "vouchers.csv",
        "ID,Code,Voucher Type,Value\nv_1,SAVE1,GIFT_VOUCHER,5\nv_2,SAVE2,GIFT_VOUCHER,5\n",
    );
    line.shop
        .put(
            "promotions/spring",
            json!({ "name": "Spring", "kind": "global", "type": "percent", "value": "10" }),
        )
        .await;
    let all = "--campaigns @jobs.csv --events @sent.csv --orders @grid.csv --vouchers @vouchers.csv --promotion spring";

    let (exit, said) = line.import(all).await;
    assert_eq!(exit, Exit::Usage, "{said}");
    assert!(said.contains("say it, like `--currency EUR`"), "{said}");
    let (exit, said) = line
        .import(&format!("{all} --currency USD --zone Europe/Kyiv"))
        .await;
    assert_eq!(exit, Exit::Clean, "{said}");
    for part in [
        "@jobs.csv: 1 campaign: 1 accepted",
        "@sent.csv: 2 events",
        "@grid.csv: 1 order: 1 accepted",
        "@vouchers.csv: 2 vouchers: 2 accepted",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    line.shop.run().await;
    let report = line
        .shop
        .get("reports/campaigns/387?from=2026-11-01&to=2026-11-21")
        .await;
    assert_part(
        "387",
        &report,
        &json!({ "name": "Spring", "opens": 1, "sent_at": "2026-11-18T16:15:00.000Z" }),
    );
    let order = line.shop.get("orders/1").await;
    assert_part(
        "1",
        &order,
        &json!({ "customer_id": "ann@example.com", "total": "95.00", "placed_at": "2026-11-19T12:15:00.000Z" }),
    );
}
