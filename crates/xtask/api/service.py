"""The built program with a marketplace `m` in which something happened, for tools that call it from outside."""

import json
import os
import subprocess
import tempfile
import time
import urllib.request
from contextlib import contextmanager

NOW = "2026-11-20T12:00:00Z"
ADMIN_KEY = "the-key-of-the-deployment"
ROLES = ["admin", "marketer", "analyst", "partner", "ingest"]


class Service:
    def __init__(self, origin):
        self.origin = origin

    def call(self, method, path, body=None, key=ADMIN_KEY):
        """The JSON answer of a call below the marketplace; whatever is refused is an error."""
        request = urllib.request.Request(
            f"{self.origin}/v1/marketplaces/m{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def fill(self):
        """One of each thing that can be asked for, by the ids that the document gives as examples."""
        self.call("PUT", "", {"name": "m"})
        event = {"channel": "email", "campaign_id": "spring", "customer_id": "c-1"}
        times = {"sent": "2026-11-18T10:00:00Z", "opened": "2026-11-18T11:00:00Z"}
        self.call("POST", "/events", [event | {"event_id": kind, "kind": kind, "occurred_at": at} for kind, at in times.items()])
        order = {"order_id": "o-1", "customer_id": "c-1", "status": "COMPLETE", "total": "19.90", "currency": "EUR"}
        self.call("POST", "/orders", order | {"placed_at": "2026-11-19T10:00:00Z"})
        self.call("PUT", "/campaigns/spring", {"name": "Spring"})
        self.call("PUT", "/promotions/p-1", {"name": "Spring", "cap": 1000, "tracking_from": "2026-11-01T00:00:00Z"})
        self.call("POST", "/promotions/p-1/vouchers", {"codes": ["SAVE10"]})
        offer = {"promotion_id": "p-1", "customer_id": "c-1", "voucher_code": "SAVE10"}
        self.call("POST", "/assignments", offer | {"assignment_id": "a-1"})
        self.call("POST", "/redemptions", offer | {"redemption_id": "r-1", "order_id": "o-1"})
        run = self.call("POST", "/runs", {})["run_id"]
        while self.call("GET", f"/runs/{run}")["state"] == "running":
            time.sleep(0.05)

    def key(self, role):
        """A new key of a role."""
        return self.call("POST", "/keys", {"name": role, "role": role})["key"]


@contextmanager
def served():
    """The service as long as it is needed: on a free port, in memory, with a clock that begins at a known time."""
    environment = os.environ | {"REVTRAIL_ADMIN_KEY": ADMIN_KEY}
    command = [os.environ["REVTRAIL"], "serve", "--port", "0", "--now", NOW]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment, text=True)
        try:
            for line in process.stdout:
                if line.startswith("listening on "):
                    service = Service(line.split()[2])
                    service.fill()
                    yield service
                    return
            raise SystemExit("the service ended before it listened")
        finally:
            process.kill()
            process.wait()
