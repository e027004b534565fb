"""Calls the service as schemathesis makes calls up from its own document, with a key of each role.

REVTRAIL: the program. SCHEMATHESIS: the program `st`. The one argument: how many calls of each operation the deployment's key makes.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from service import ADMIN_KEY, ROLES, served

CONFIG = Path(__file__).with_name("schemathesis.toml")
HOOKED = os.environ | {"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(CONFIG.parent)}
# What a role may call is a part, and the rest is refused alike. An administrator would find and revoke the key of the test.
OF_A_ROLE = ["--max-examples", "1", "--phases", "examples,stateful", "--exclude-operation-id", "revokeKey"]


def tried(service, who, key, options):
    """Runs schemathesis; whether it is content, and how many calls it made."""
    command = [os.environ["SCHEMATHESIS"], "--config-file", CONFIG, "run", f"{service.origin}/openapi.json"]
    command += ["--header", f"Authorization: Bearer {key}", "--no-color", *options]
    # It leaves what it remembers in the folder that it runs in.
    with tempfile.TemporaryDirectory() as folder:
        ran = subprocess.run(command, cwd=folder, env=HOOKED, capture_output=True, text=True)
    made = re.search(r"(\d+) generated", ran.stdout)
    if ran.returncode:
        print(f"with the key of {who}:\n{ran.stdout}\n{ran.stderr}")
    return ran.returncode == 0, int(made[1]) if made else 0


def main():
    with served() as service:
        outcomes = [tried(service, "the deployment", ADMIN_KEY, ["--max-examples", sys.argv[1]])]
        for role in ROLES:
            outcomes.append(tried(service, role, service.key(role), OF_A_ROLE))
    print(f"made up calls: {sum(made for _, made in outcomes)}")
    return 0 if all(good for good, _ in outcomes) else 1


sys.exit(main())
