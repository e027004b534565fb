//! Attacks on the inbox of `serve` by whoever may put files into one marketplace's folder: links, pipes, small files that hold very
//! much, and results that cannot be written.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use redemption_batch::BatchLimits;
use revtrail::inbox::{Inbox, LIMITS};
use revtrail_aws::clock::Clock;
use revtrail_core::value::time::Retention;
use revtrail_storage::fault::FilesError;
use serde_json::{Value, json};

use crate::cases::inbox::{HEADER, World, gzipped, look, row};
use crate::faults::batches::now;

const SECRET: &str = "root:x:0:0:a secret of this machine";

impl World {
    fn limited(&self, limits: BatchLimits) -> Inbox {
        let clock = Clock::Set(Arc::new(AtomicI64::new(now().ms())));
        let root = self.root.0.clone();
        Inbox::new(self.store(), Retention::DEFAULT, clock, root, limits)
    }

    /// Every text that a marketplace can see of its files.
    async fn seen(&self, id: &str) -> String {
        let mut seen = format!("{:?}", self.batches(id).await);
        texts(&self.root.0.join(format!("outbox/{id}")), &mut seen);
        seen
    }

    fn result(&self, id: &str, name: &str) -> Value {
        let path = format!("outbox/{id}/redemptions/{name}/result.json");
        let text = fs::read_to_string(self.root.0.join(path)).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

fn texts(folder: &Path, seen: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => texts(&path, seen),
            false => seen.push_str(&fs::read_to_string(path).unwrap()),
        }
    }
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[tokio::test]
async fn nothing_is_read_through_a_link() {
    let world = World::new().await;
    let inbox = world.root.0.join("inbox/m/redemptions");
    fs::create_dir_all(&inbox).unwrap();
    world.put("secret", SECRET);
    world.put("inbox/n/redemptions/week.csv", row("of-n"));
    let absolute = |path: &str| world.root.0.join(path);
    symlink(absolute("secret"), inbox.join("secret.csv")).unwrap();
    symlink("../../n/redemptions/week.csv", inbox.join("anothers.csv")).unwrap();
    symlink("/proc/self/cmdline", inbox.join("cmdline.csv")).unwrap();
    symlink("/dev/zero", inbox.join("zero.csv")).unwrap();
    symlink("nowhere", inbox.join("dangling.csv")).unwrap();
    symlink("../../n/redemptions", inbox.join("folder.csv")).unwrap();
    fs::hard_link(absolute("secret"), inbox.join("hard.csv")).unwrap();
    fs::hard_link(
        absolute("inbox/n/redemptions/week.csv"),
        inbox.join("hard-anothers.csv"),
    )
    .unwrap();
    fs::create_dir(inbox.join("empty.csv")).unwrap();
    pipe(&inbox.join("pipe.csv"));
    let names = [
        "anothers.csv",
        "cmdline.csv",
        "dangling.csv",
        "empty.csv",
        "folder.csv",
        "hard-anothers.csv",
        "hard.csv",
        "pipe.csv",
        "secret.csv",
        "zero.csv",
    ];
    let mut watched = world.inbox();
    for _ in 0..2 {
        look(&mut watched).await;
    }
    let listed = world.listed("m").await;
    let files: Vec<String> = names
        .iter()
        .map(|name| format!("inbox/m/redemptions/{name}"))
        .collect();
    assert_eq!(
        listed.iter().map(|one| one.0.clone()).collect::<Vec<_>>(),
        files
    );
    for (file, state, accepted, why) in &listed {
        assert_eq!((state, accepted), (&json!("failed"), &0), "{file}");
        let expected = match file {
            _ if file.contains("hard") => "it has another name too (a hard link)",
            _ if file.contains("empty") => "it is a folder: put the file itself there",
            _ => "it is a link, or something else that is no file",
        };
        assert!(why.contains(expected), "{file}: {why}");
    }
    let seen = world.seen("m").await;
    assert!(
        !seen.contains("secret of") && !seen.contains("of-n") && !seen.contains("revtrail-tests"),
        "{seen}"
    );
    // The other's file has two names now, of which it was told; alone again, it is taken.
    fs::remove_file(inbox.join("hard-anothers.csv")).unwrap();
    look(&mut watched).await;
    let of_n = world.listed("n").await;
    assert_eq!(of_n.iter().map(|one| one.2).sum::<u64>(), 1, "{of_n:?}");
}

/// What was a file when the folder was listed may be something else when it is opened.
#[tokio::test]
async fn what_takes_the_place_of_a_file_is_neither_read_nor_waited_for() {
    let world = World::new().await;
    world.put("secret", SECRET);
    world.put("elsewhere/week.csv", SECRET);
    world.put("inbox/n/redemptions/week.csv", row("of-n"));
    let folder = world.root.folder();
    let inbox = world.root.0.join("inbox/m/redemptions");
    fs::create_dir_all(&inbox).unwrap();
    symlink("../../../secret", inbox.join("link.csv")).unwrap();
    fs::hard_link(world.root.0.join("secret"), inbox.join("hard.csv")).unwrap();
    fs::create_dir(inbox.join("folder.csv")).unwrap();
    pipe(&inbox.join("pipe.csv"));
    let _socket = std::os::unix::net::UnixListener::bind(inbox.join("socket.csv")).unwrap();
    symlink("n", world.root.0.join("inbox/l")).unwrap();
    fs::create_dir(world.root.0.join("inbox/k")).unwrap();
    symlink("../../elsewhere", world.root.0.join("inbox/k/redemptions")).unwrap();
    for key in [
        "m/redemptions/link.csv",
        "m/redemptions/hard.csv",
        "m/redemptions/folder.csv",
        "m/redemptions/pipe.csv",
        "m/redemptions/socket.csv",
        "l/redemptions/week.csv",
        "k/redemptions/week.csv",
    ] {
        let read = folder.etag(&format!("inbox/{key}"));
        assert!(
            matches!(read, Err(FilesError::Overwritten)),
            "{key}: {read:?}"
        );
    }
    let read = folder.etag("inbox/m/../n/redemptions/week.csv");
    assert!(matches!(read, Err(FilesError::Failed { .. })), "{read:?}");
}

#[tokio::test]
async fn a_folder_that_is_a_link_is_a_failed_batch() {
    for link in ["inbox/m/redemptions", "inbox/m", "inbox"] {
        let world = World::new().await;
        world.put("elsewhere/m/redemptions/week.csv", row("r-1"));
        world.put("elsewhere/redemptions/week.csv", row("r-2"));
        world.put("elsewhere/week.csv", row("r-3"));
        let at = world.root.0.join(link);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(world.root.0.join("elsewhere"), at).unwrap();
        look(&mut world.inbox()).await;
        let listed = world.listed("m").await;
        assert_eq!(listed.len(), 1, "{link}: {listed:?}");
        let (file, state, accepted, why) = &listed[0];
        assert_eq!(
            (file.as_str(), state, *accepted),
            ("inbox/m/redemptions", &json!("failed"), 0)
        );
        assert!(
            why.contains("is a link, or something else that is no folder"),
            "{why}"
        );
    }
}

#[tokio::test]
async fn nothing_is_written_through_a_link() {
    for link in ["", "/m", "/m/redemptions", "/m/redemptions/week.csv"] {
        let world = World::new().await;
        world.put("inbox/m/redemptions/week.csv", row("r-1"));
        let elsewhere = world.root.0.join("elsewhere");
        fs::create_dir_all(&elsewhere).unwrap();
        let at = world.root.0.join(format!("outbox{link}"));
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(&elsewhere, &at).unwrap();
        let mut inbox = world.inbox();
        look(&mut inbox).await;
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0, "{link}");
        assert_eq!(world.listed("m").await[0].1, json!("running"));
        // Without it, the results are written.
        fs::remove_file(at).unwrap();
        look(&mut inbox).await;
        assert_eq!(world.result("m", "week.csv")["state"], "done");
    }
    // In the place of the results themselves: the link is replaced, and what it names stays.
    let world = World::new().await;
    world.put("inbox/m/redemptions/week.csv", row("r-1"));
    let folder = world.root.0.join("outbox/m/redemptions/week.csv");
    fs::create_dir_all(&folder).unwrap();
    world.put("secret", SECRET);
    for name in ["result.json", "rejected.csv"] {
        symlink(world.root.0.join("secret"), folder.join(name)).unwrap();
    }
    look(&mut world.inbox()).await;
    assert_eq!(
        fs::read_to_string(world.root.0.join("secret")).unwrap(),
        SECRET
    );
    assert_eq!(world.result("m", "week.csv")["state"], "done");
    for name in ["result.json", "rejected.csv"] {
        assert!(fs::symlink_metadata(folder.join(name)).unwrap().is_file());
    }
}

#[tokio::test]
async fn an_unwritable_result_is_tried_after_growing_pauses() {
    let world = World::new().await;
    world.put("inbox/m/redemptions/week.csv", row("r-1"));
    let results = world.root.0.join("outbox/m/redemptions/week.csv");
    let obstacle = results.join("result.json");
    fs::create_dir_all(obstacle.join("in-the-way")).unwrap();
    let mut inbox = world.inbox();
    let mut tries = Vec::new();
    for n in 1..=20 {
        look(&mut inbox).await;
        // Each try writes it first.
        if fs::remove_file(results.join("rejected.csv")).is_ok() {
            tries.push(n);
        }
    }
    assert_eq!(tries, [1, 2, 4, 8, 16]);
    let left: Vec<_> = fs::read_dir(&results).unwrap().collect();
    assert_eq!(left.len(), 1, "no draft is left behind: {left:?}");
    fs::remove_dir_all(obstacle).unwrap();
    // Others are taken meanwhile.
    world.put("inbox/m/redemptions/other.csv", row("r-2"));
    look(&mut inbox).await;
    let states: Vec<_> = world
        .listed("m")
        .await
        .into_iter()
        .map(|one| one.1)
        .collect();
    assert_eq!(states, [json!("done"), json!("running")]);
    for _ in 21..32 {
        look(&mut inbox).await;
    }
    assert_eq!(world.result("m", "week.csv")["state"], "done");
    assert_eq!(world.listed("m").await[1].2, 1);
}

#[tokio::test]
async fn rejects_are_listed_up_to_a_number_and_then_counted() {
    // One that is taken among each two that are rejected.
    let rows: String = (0..30)
        .map(|n| match n % 3 {
            0 => format!("r-{n},p-1,ann\n"),
            _ => format!("r-{n}\n"),
        })
        .collect();
    let world = World::new().await;
    for (name, limits, listed) in [
        ("all.csv", LIMITS, 20),
        (
            "rows.csv",
            BatchLimits {
                listed_rows: 7,
                ..LIMITS
            },
            7,
        ),
        (
            "none.csv",
            BatchLimits {
                listed_rows: 0,
                ..LIMITS
            },
            0,
        ),
        (
            "bytes.csv",
            BatchLimits {
                listed_bytes: 200,
                ..LIMITS
            },
            3,
        ),
        (
            "turns.csv",
            BatchLimits {
                listed_rows: 7,
                chunk_rows: 2,
                invocation_rows: 4,
                ..LIMITS
            },
            7,
        ),
    ] {
        world.put(
            &format!("inbox/m/redemptions/{name}"),
            format!("{HEADER}{rows}"),
        );
        look(&mut world.limited(limits)).await;
        let told = world.result("m", name);
        let counts =
            ["rows", "rejected", "rejected_unlisted"].map(|count| told[count].as_u64().unwrap());
        assert_eq!(counts, [30, 20, 20 - listed], "{name}: {told}");
        assert_eq!(told["state"], "done");
        let path = format!("outbox/m/redemptions/{name}/rejected.csv");
        let text = fs::read_to_string(world.root.0.join(path)).unwrap();
        let records: Vec<&str> = text
            .lines()
            .skip(1)
            .filter_map(|line| line.rsplit(',').next())
            .collect();
        let expected: Vec<String> = (0..30)
            .filter(|n| n % 3 != 0)
            .map(|n| format!("r-{n}"))
            .collect();
        assert_eq!(records, expected[..listed as usize], "{name}");
        // What the interface shows is what lies beside the file.
        let batch = world
            .batches("m")
            .await
            .into_iter()
            .find(|batch| batch.file.ends_with(name))
            .unwrap();
        assert_eq!(serde_json::to_value(&batch).unwrap(), told);
    }
}

#[tokio::test]
async fn a_file_holds_so_much_and_no_more() {
    let world = World::new().await;
    let limits = BatchLimits {
        unpacked_bytes: 1 << 20,
        ..LIMITS
    };
    let note = "n".repeat(6_000);
    let rows = |count: usize| {
        let row = |n| format!("r-{n},p-1,ann,{note}\n");
        let rows: String = (0..count).map(row).collect();
        format!("redemption_id,promotion_id,customer_id,note\n{rows}")
    };
    let fits = rows(170);
    let more = rows(200);
    assert!(fits.len() < 1 << 20 && more.len() > 1 << 20);
    let blank = format!("{HEADER}{}", "\n".repeat(2 << 20));
    // What could never be read to its end: a terabyte, all of it a hole.
    world.put("inbox/m/redemptions/hole.csv", HEADER);
    let hole = fs::File::options()
        .write(true)
        .open(world.root.0.join("inbox/m/redemptions/hole.csv"));
    hole.unwrap().set_len(1 << 40).unwrap();
    world.put("inbox/m/redemptions/fits.csv.gz", gzipped(&fits));
    world.put("inbox/m/redemptions/more.csv.gz", gzipped(&more));
    world.put("inbox/m/redemptions/more.csv", &more);
    world.put("inbox/m/redemptions/blank.csv.gz", gzipped(&blank));
    look(&mut world.limited(limits)).await;
    let listed = world.listed("m").await;
    let why = "the file holds more than 1 MiB unpacked";
    for (name, state, part) in [
        ("blank.csv.gz", "failed", why),
        ("fits.csv.gz", "done", ""),
        ("hole.csv", "failed", why),
        ("more.csv", "failed", why),
        ("more.csv.gz", "failed", why),
    ] {
        let (_, is, _, detail) = listed
            .iter()
            .find(|one| one.0.ends_with(&format!("/{name}")))
            .unwrap();
        assert!(
            *is == json!(state) && detail.starts_with(part),
            "{name}: {is} {detail}"
        );
        assert_eq!(detail.is_empty(), part.is_empty(), "{name}");
    }
    // What came before the end of what is read was taken.
    let batches = world.batches("m").await;
    let rows_of = |name: &str| {
        batches
            .iter()
            .find(|batch| batch.file.ends_with(name))
            .unwrap()
            .tally
            .rows
    };
    assert_eq!(rows_of("fits.csv.gz"), 170);
    assert!((170..200).contains(&rows_of("more.csv.gz")));
    // Where the limit is raised, it is another try.
    look(&mut world.limited(LIMITS)).await;
    let listed = world.listed("m").await;
    let done = listed
        .iter()
        .filter(|one| one.0.ends_with("/more.csv") && one.1 == "done");
    assert_eq!(done.count(), 1, "{listed:?}");
}

/// However large the files of others are, and however many marketplaces have some: a file of one row waits for a chunk of each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_file_waits_for_a_chunk_of_each_other_marketplace() {
    let world = World::new().await;
    let rows: String = (0..20_000).map(|n| format!("r-{n},p-1,c-{n}\n")).collect();
    let large: Vec<String> = (0..6).map(|n| format!("large-{n}")).collect();
    for id in &large {
        world.make(id).await;
        world.put(
            &format!("inbox/{id}/redemptions/week.csv"),
            format!("{HEADER}{rows}"),
        );
    }
    let mut inbox = world.limited(BatchLimits {
        chunk_rows: 10,
        ..LIMITS
    });
    inbox.look().await.unwrap();
    let taken = async || {
        let mut sum = 0;
        for id in &large {
            sum += world
                .batches(id)
                .await
                .iter()
                .map(|batch| batch.tally.rows)
                .sum::<u64>();
        }
        sum
    };
    while taken().await < 60 {
        tokio::task::yield_now().await;
    }
    world.put("inbox/n/redemptions/one.csv", row("r-1"));
    let before = taken().await;
    inbox.look().await.unwrap();
    while world.listed("n").await.iter().all(|one| one.1 != "done") {
        tokio::task::yield_now().await;
    }
    let between = taken().await - before;
    assert!(
        between <= 6 * 10 * 20,
        "{between} rows of others were taken before one"
    );
}
