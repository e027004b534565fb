"""How the functions start, each beside a function that does nothing: from the start of the process until it asks for its first call.

A function asks the table once before that, for how long facts are kept. Here something answers it at once, so what is measured is the
function and neither a table nor a network; the time until it asks is told, too.

    python3 lambda.py --functions FOLDER --hello PROGRAM [--runs N]

FOLDER has NAME/bootstrap and NAME.zip for each function. They take turns; the median is told, with the least and the most. Instructions
are counted by valgrind where the machine has it. Prints a table in Markdown.
"""

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time

NAMES = ["ingest-event", "ingest-order", "report-query", "manage", "hourly-attributor", "redemption-batch"]
# What each must stay within: init and instructions against hello, the zip in MB, the memory in MiB.
MUST = {name: (1.6 if name.startswith("ingest") else 3.0, 4.0 if name == "report-query" else 2.6, 8 if name.startswith("ingest") else 14) for name in NAMES}


# What the table says: facts are kept for as long as the function was told.
ITEM = b'{"Item":{"pk":{"S":"retention"},"sk":{"S":"-"},"days":{"N":"90"}}}'
KEPT = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: %d\r\n\r\n%s" % (len(ITEM), ITEM)


class Table:
    """Answers the one question of each function that starts, and knows when it was asked."""

    def __init__(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.asked = None
        threading.Thread(target=self.answer, daemon=True).start()

    def answer(self):
        while True:
            connection, _ = self.server.accept()
            with connection:
                if connection.recv(65536):
                    self.asked = time.perf_counter()
                    connection.sendall(KEPT)
                    connection.recv(65536)


TABLE = Table()


def environment(port):
    return {
        "AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{TABLE.server.getsockname()[1]}",
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}", "AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256", "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s",
        "REVTRAIL_TABLE": "t", "REVTRAIL_RETENTION_DAYS": "90", "REVTRAIL_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/1/q",
        "REVTRAIL_BUCKET": "b", "REVTRAIL_FILE_MIB_MAX": "1024", "REVTRAIL_SIGNING_KEY": "signed under sixteen letters",
    }


def start(command):
    """Seconds until it asks for the first time, be it the table; until it asks for a call; and the resident memory in KiB then."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(300)
        TABLE.asked = None
        began = time.perf_counter()
        process = subprocess.Popen(command, env=environment(server.getsockname()[1]), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            connection, _ = server.accept()
            with connection:
                asked = connection.recv(4096)
                polled = time.perf_counter()
                assert asked.startswith(b"GET /2018-06-01/runtime/invocation/next"), asked
                # While it waits for its call: it ends where it loses its connection.
                with open(f"/proc/{process.pid}/status") as status:
                    memory = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
            return (TABLE.asked or polled) - began, polled - began, memory
        finally:
            # valgrind writes what it counted when it is asked to end.
            process.terminate()
            process.wait()


def instructions(program):
    if not shutil.which("valgrind"):
        return None
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out")
        start(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", program])
        with open(out) as counted:
            return next(int(line.split()[1]) for line in counted if line.startswith(("summary:", "totals:")))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--functions", required=True)
    parser.add_argument("--hello", required=True)
    parser.add_argument("--runs", type=int, default=25)
    asked = parser.parse_args()
    programs = {"hello": asked.hello} | {name: os.path.join(asked.functions, name, "bootstrap") for name in NAMES}
    for program in programs.values():
        start([program])
    times = {name: [] for name in programs}
    polls = {name: [] for name in programs}
    memory = {}
    for _ in range(asked.runs):
        for name, program in programs.items():
            took, polled, memory[name] = start([program])
            times[name].append(1000 * took)
            polls[name].append(1000 * polled)
    counts = {name: instructions(program) for name, program in programs.items()}
    hello = statistics.median(times["hello"])
    print("| function | until it asks anybody, ms | hello = 1 | must | until it asks for a call, ms | resident, MiB | must | zip, MB | must | instructions, millions | hello = 1 |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name in programs:
        init = statistics.median(times[name])
        cells = [name, f"{init:.2f} ({min(times[name]):.2f}–{max(times[name]):.2f})", f"{init / hello:.2f}"]
        init_must, zip_must, memory_must = MUST.get(name, ("", "", ""))
        zip_path = os.path.join(asked.functions, name + ".zip")
        zip_size = f"{os.path.getsize(zip_path) / 1e6:.2f}" if name in MUST else ""
        counted = [f"{counts[name] / 1e6:.2f}", f"{counts[name] / counts['hello']:.2f}"] if counts[name] else ["", ""]
        poll = f"{statistics.median(polls[name]):.2f}"
        print("| " + " | ".join([*cells, str(init_must), poll, f"{memory[name] / 1024:.1f}", str(memory_must), zip_size, str(zip_must), *counted]) + " |")


main()
