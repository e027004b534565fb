"""Makes the clients of docs/clients.md from docs/openapi.json, and runs what that page shows.

REVTRAIL: the program. REVTRAIL_TOOLS: the folder of tools, with Python's in `python-real` and npm's in `clients`.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

from service import served

TOP = Path(__file__).parents[3]
DOCUMENT = TOP / "docs/openapi.json"
TOOLS = Path(os.environ["REVTRAIL_TOOLS"])
# What the service is filled with, as a client prints it.
EXPECTED = "Spring 19.90\n"


def shown(language):
    """The one block of a language on the page."""
    page = (TOP / "docs/clients.md").read_text()
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return block


def run(*command, folder, **variables):
    ran = subprocess.run(command, cwd=folder, env=os.environ | variables, capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(f"{command}: {ran.stdout}\n{ran.stderr}")
    return ran.stdout


def python(variables):
    folder, bin = TOOLS / "clients/python", TOOLS / "python-real/bin"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path = f"{bin}:{os.environ['PATH']}"
    generate = ["generate", "--path", DOCUMENT, "--meta", "none", "--output-path", "revtrail_client"]
    run(bin / "openapi-python-client", *generate, folder=folder, PATH=path)
    (folder / "client.py").write_text(shown("python"))
    return run(bin / "python", "client.py", folder=folder, **variables)


def typescript(variables):
    folder = TOOLS / "clients"
    bin = folder / "node_modules/.bin"
    run(bin / "openapi-typescript", DOCUMENT, "--output", "revtrail.ts", folder=folder)
    (folder / "client.ts").write_text(shown("ts"))
    strict = ["--strict", "--noUncheckedIndexedAccess", "--module", "nodenext", "--target", "es2022", "--types", "node"]
    run(bin / "tsc", *strict, "client.ts", folder=folder)
    return run("node", "client.js", folder=folder, **variables)


def main():
    with served() as service:
        variables = {"REVTRAIL_URL": service.origin, "REVTRAIL_KEY": service.key("analyst")}
        for client in (python, typescript):
            printed = client(variables)
            if printed != EXPECTED:
                raise SystemExit(f"the client of {client.__name__} prints {printed!r}")
    print("clients: 2")


main()
