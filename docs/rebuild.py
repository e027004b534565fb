#!/usr/bin/env python3
"""Adds up the credits of an export: what each campaign earned, by currency, and in how many purchases.

    python3 rebuild.py FOLDER        the folder of the export, which has manifest.json

If the export has campaign_days too, they must give the same. Nothing but Python's standard library is needed.
"""
import decimal, gzip, json, pathlib, sys

decimal.getcontext().prec = 60  # Sums are exact.
folder = pathlib.Path(sys.argv[1])
manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def rows(what):
    """The rows of one kind. Only files that the manifest names belong to the export."""
    for file in manifest["files"]:
        if file["what"] == what:
            lines = gzip.decompress((folder / file["file"]).read_bytes()).splitlines()
            if len(lines) != file["rows"]:
                sys.exit(f"{file['file']} has {len(lines)} rows, and the manifest says {file['rows']}")
            yield from map(json.loads, lines)


revenue, purchases, of_days = {}, {}, {}
for credit in rows("credits"):
    if credit["counted"] and credit["campaign_id"] is not None:
        key = (credit["campaign_id"], credit["currency"])
        revenue[key] = revenue.get(key, 0) + decimal.Decimal(credit["amount"])
        purchases[key] = purchases.get(key, 0) + 1
for day in rows("campaign_days"):
    for currency, amount in day["revenue"].items():
        key = (day["campaign_id"], currency)
        of_days[key] = of_days.get(key, 0) + decimal.Decimal(amount)
for key in sorted(revenue):
    print(*key, purchases[key], f"{revenue[key]:f}", sep="\t")
if "campaign_days" in manifest["what"]:
    if {k: v for k, v in revenue.items() if v} != {k: v for k, v in of_days.items() if v}:
        sys.exit("the credits and the campaign_days differ: a run moved figures while the export was written; ask for another")
