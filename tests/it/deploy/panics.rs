//! A handler that panics, in the built function. No handler is known to panic, so the machine makes one: the runtime asks for a thread
//! to look up the name of the queue's host, and panics where it cannot get one.

use std::fs;
use std::process::Child;
use std::time::Instant as Moment;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

use crate::deploy::real::{Cloud, LOOK, PATIENCE, parts_are_here, start};

/// What the function is called behind the runtime's interface, so that it gets the calls of this test alone. It must be the name of a
/// program of the workspace, and no other function has this one.
const FUNCTION: &str = "revtrail";

/// What a handler may still ask for: less than the stack of a thread, which is 2 MiB.
const LEFT_BYTES: u64 = 1 << 20;

fn address_space_bytes(process: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmSize:"));
    let kib: Option<u64> = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    kib.unwrap() << 10
}

fn limit(process: &Child, bytes: Option<u64>) {
    let to = Rlimit {
        current: bytes,
        maximum: None,
    };
    prlimit(Some(Pid::from_child(process)), Resource::As, to).unwrap();
}

#[tokio::test]
async fn a_handler_that_panics_is_answered_and_its_function_goes_on() {
    if !parts_are_here() {
        return;
    }
    let cloud = Cloud::start().await;
    let local = |host: &str, port: u16| format!("http://{host}:{port}");
    let runtime = format!("{}/.rt/{FUNCTION}", local("127.0.0.1", cloud.lambda));
    let mut program = cloud.program("manage");
    program
        .env("AWS_LAMBDA_RUNTIME_API", runtime)
        .env("AWS_ENDPOINT_URL_SQS", local("localhost", cloud.moto));
    let function = start(&mut program);

    // The table has no name, so this needs no thread. Nobody knows the function before it has asked for its first call.
    let began = Moment::now();
    let settings = json!({ "name": "Shop", "settings": { "preset": "redbox" } });
    while cloud.call(FUNCTION, "PUT", "", &settings).0 != 201 {
        assert!(began.elapsed() < PATIENCE, "{FUNCTION} does not answer");
        std::thread::sleep(LOOK);
    }

    // The queue has a name.
    let run = || cloud.call(FUNCTION, "POST", "/runs", &json!({}));
    let left = address_space_bytes(&function.0) + LEFT_BYTES;
    limit(&function.0, Some(left));
    for _ in 0..2 {
        let (status, body) = run();
        assert_eq!((status, &body["status"]), (500, &json!(500)), "{body}");
        // The cause is for the log alone.
        assert!(!body.to_string().contains("panic"), "{body}");
    }
    limit(&function.0, None);
    let (status, body) = run();
    assert_eq!(status, 202, "{body}");
    println!("real paths: 3 cases");
}
