"""What `cargo xtask bench files` runs: it makes the data, runs revtrail, DuckDB and Polars in turns, and prints a page.

Whoever earns an order by the preset yespo_v2: the last click in an email, or the last delivered push or SMS, within 24 hours before the
order. DuckDB and Polars answer this question and no other one: they neither drop duplicates, nor count opens, nor say why.
"""

import argparse, importlib.metadata, json, os, re, statistics, subprocess, sys, time
from decimal import Decimal

CHANNELS, KINDS = ["email", "push", "sms"], ["sent", "delivered", "opened", "clicked"]
STATUSES, CURRENCIES = ["DELIVERED", "COMPLETE", "CANCELLED", "REFUNDED"], ["USD", "EUR", "GBP"]
FORMATS = ["csv", "jsonl", "parquet"]
# DuckDB takes minutes for ten million lines of JSON, so JSON has a tenth of the rows.
SHARES = {"csv": 1, "jsonl": 10, "parquet": 1}

# --- the data: customers by a power law of 0.8. The first k of them have 5 k^0.2 - 4.4375 parts of the events, about

MAKE = """
create macro lot(i, salt) as (hash(i * 64 + salt + {seed}::bigint * 1000000007) >> 11)::double / 9007199254740992.0;
create macro one(texts, shares, x) as texts[1 + len(list_filter(shares, lambda share: share <= x))];
create macro customer(i) as (floor(pow((lot(i, 1) * (5 * pow({customers}, 0.2) - 4.4375) + 4.4375) / 5, 5) - 0.5)::bigint * 7919) % {customers};
create macro instant(i) as timestamp '2025-12-01' + to_seconds(floor(lot(i, 2) * 180 * 86400)::bigint);
create view events as select 'e' || i as event_id, one({kinds}, [0.4, 0.75, 0.93], lot(i, 3)) as kind,
  one({channels}, [0.6, 0.85], lot(i, 4)) as channel, 'campaign-' || k as campaign_id, 'c-' || c as customer_id,
  'm' || k || '-' || c || '-' || floor(lot(i, 6) * 4)::int as message_id, happened_at as occurred_at
  from (select i, customer(i) as c, floor(lot(i, 5) * 2000)::int as k, instant(i) as happened_at from range({events}) t(i));
create view orders as select 'o' || i as order_id, 'c-' || customer(-i - 1) as customer_id, one({statuses}, [0.85, 0.9, 0.95], lot(-i - 1, 3)) as status,
  (100 + floor(lot(-i - 1, 4) * 49900)::int)::decimal(18, 2) / 100 as total, one({currencies}, [0.9, 0.97], lot(-i - 1, 5)) as currency,
  instant(-i - 1) as placed_at from range({orders}) t(i);
"""


def make(folder, events, seed):
    """Makes the files, each as CSV, JSONL and Parquet, unless they are there."""
    import duckdb

    done = os.path.join(folder, "done")
    if os.path.exists(done):
        return
    os.makedirs(folder, exist_ok=True)
    con = duckdb.connect()
    texts = {"kinds": KINDS, "channels": CHANNELS, "statuses": STATUSES, "currencies": CURRENCIES}
    con.execute(MAKE.format(seed=seed, events=events, orders=events // 10, customers=max(events // 10, 10), **texts))
    for name, at in [("events", "occurred_at"), ("orders", "placed_at")]:
        path = os.path.join(folder, name)
        con.execute(f"copy (select * replace ({at}::timestamptz as {at}, {'total::decimal(18, 2) as total' if name == 'orders' else 'kind as kind'}) from {name}) to '{path}.parquet' (format parquet)")
        text = f"select * replace (strftime({at}, '%Y-%m-%dT%H:%M:%SZ') as {at}{', total::decimal(18, 2)::varchar as total' if name == 'orders' else ''}) from {name}"
        con.execute(f"copy ({text}) to '{path}.csv' (header)")
        con.execute(f"copy ({text}) to '{path}.jsonl' (format json)")
    open(done, "w").close()


# --- the others; what stands between the marks is quoted in the page

# <duckdb>
def duckdb_source(folder, form, name):
    enum = lambda words: "enum(" + ", ".join(f"'{word}'" for word in words) + ")"
    types = {
        "events": {"event_id": "varchar", "kind": enum(KINDS), "channel": enum(CHANNELS), "campaign_id": "varchar",
                   "customer_id": "varchar", "message_id": "varchar", "occurred_at": "timestamp"},
        "orders": {"order_id": "varchar", "customer_id": "varchar", "status": enum(STATUSES), "total": "decimal(18, 2)",
                   "currency": enum(CURRENCIES), "placed_at": "timestamp"},
    }[name]
    path = os.path.join(folder, name)
    if form == "csv":
        columns = ", ".join(f"'{column}': $${kind}$$" for column, kind in types.items())
        return f"read_csv('{path}.csv', header = true, delim = ',', quote = '\"', columns = {{{columns}}})"
    if form == "jsonl":
        columns = ", ".join(f"'{column}': $${kind}$$" for column, kind in types.items() if column not in ("event_id", "message_id"))
        return f"read_json('{path}.jsonl', format = 'newline_delimited', columns = {{{columns}}})"
    return f"read_parquet('{path}.parquet')"


DUCKDB_QUERY = """
with touches as (select customer_id, campaign_id, occurred_at from {events}
                 where (channel = 'email' and kind = 'clicked') or (channel <> 'email' and kind = 'delivered')),
     placed as (select customer_id, total, currency, placed_at from {orders} where status = 'DELIVERED')
select currency::varchar, case when occurred_at >= placed_at - interval 24 hour then campaign_id end::varchar as campaign, count(*), sum(total)
from placed asof left join touches on placed.customer_id = touches.customer_id and placed_at >= occurred_at group by all
"""


def duckdb_answer(folder, form, threads):
    con = duckdb_connect(threads)
    sources = {name: duckdb_source(folder, form, name) for name in ("events", "orders")}
    return con.execute(DUCKDB_QUERY.format(**sources)).fetchall(), None


def duckdb_compute(folder, threads):
    """The query alone, over tables in memory whose texts are ENUMs, customers and campaigns too."""
    con = duckdb_connect(threads)
    for name in ("events", "orders"):
        con.execute(f"create view {name}_file as select * from read_parquet('{folder}/{name}.parquet')")
    con.execute("create type customer as enum (select distinct customer_id from (select customer_id from events_file union all select customer_id from orders_file))")
    con.execute("create type campaign as enum (select distinct campaign_id from events_file)")
    con.execute("create type kind as enum ('sent', 'delivered', 'opened', 'clicked')")
    con.execute("create type channel as enum ('email', 'push', 'sms')")
    con.execute("create type status as enum ('DELIVERED', 'COMPLETE', 'CANCELLED', 'REFUNDED')")
    con.execute("create table events as select customer_id::customer as customer_id, campaign_id::campaign as campaign_id, kind::kind as kind, channel::channel as channel, occurred_at from events_file")
    con.execute("create table orders as select customer_id::customer as customer_id, status::status as status, total, currency, placed_at from orders_file")
    began, cpu = time.time(), time.process_time()
    rows = con.execute(DUCKDB_QUERY.format(events="events", orders="orders")).fetchall()
    return rows, (time.time() - began, time.process_time() - cpu)


def duckdb_connect(threads):
    import duckdb

    con = duckdb.connect()
    con.execute(f"set threads = {threads}")
    con.execute("set preserve_insertion_order = false")
    return con
# </duckdb>


# <polars>
def polars_scan(folder, form, name):
    import polars as pl

    path, at = os.path.join(folder, f"{name}.{form}"), {"events": "occurred_at", "orders": "placed_at"}[name]
    if form == "parquet":
        return pl.scan_parquet(path).with_columns(pl.col(at).dt.replace_time_zone(None))
    scan = pl.scan_csv(path, schema_overrides={"total": pl.Decimal(18, 2)}) if form == "csv" else pl.scan_ndjson(path)
    scan = scan.with_columns(pl.col(at).str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us"))
    return scan.with_columns(pl.col("total").cast(pl.Decimal(18, 2))) if name == "orders" else scan


def polars_query(events, orders):
    import polars as pl

    touches = events.filter(
        ((pl.col("channel") == "email") & (pl.col("kind") == "clicked")) | ((pl.col("channel") != "email") & (pl.col("kind") == "delivered"))
    ).select("customer_id", "campaign_id", "occurred_at")
    placed = orders.filter(pl.col("status") == "DELIVERED").select("customer_id", "total", "currency", "placed_at")
    joined = placed.sort("placed_at").join_asof(
        touches.sort("occurred_at"), left_on="placed_at", right_on="occurred_at", by="customer_id",
        strategy="backward", tolerance="24h", check_sortedness=False,
    )
    return joined.group_by("currency", "campaign_id").agg(pl.len(), pl.col("total").sum())


def polars_answer(folder, form, threads):
    return polars_query(polars_scan(folder, form, "events"), polars_scan(folder, form, "orders")).collect().rows(), None


def polars_compute(folder, threads):
    """The query alone, over frames in memory whose texts are numbers."""
    import polars as pl

    events, orders = (polars_scan(folder, "parquet", name).collect() for name in ("events", "orders"))
    ids = pl.concat([events["customer_id"], orders["customer_id"]]).unique().to_frame().with_row_index("number")
    numbered = lambda frame: frame.join(ids, on="customer_id", how="left").drop("customer_id").rename({"number": "customer_id"})
    events = numbered(events.select("customer_id", pl.col("campaign_id").cast(pl.Categorical), pl.col("kind").cast(pl.Enum(KINDS)), pl.col("channel").cast(pl.Enum(CHANNELS)), "occurred_at"))
    orders = numbered(orders.select("customer_id", pl.col("status").cast(pl.Enum(STATUSES)), "total", pl.col("currency").cast(pl.Enum(CURRENCIES)), "placed_at"))
    began, cpu = time.time(), time.process_time()
    rows = polars_query(events.lazy(), orders.lazy()).collect().rows()
    return rows, (time.time() - began, time.process_time() - cpu)
# </polars>


def cents(amount):
    return int(amount * 100)


def other(engine, folder, form, threads):
    """Answers once, and prints by currency how many orders and cents were counted and credited."""
    answer = {"duckdb": duckdb_answer, "polars": polars_answer, "duckdb-compute": duckdb_compute, "polars-compute": polars_compute}[engine]
    rows, compute = answer(folder, threads) if engine.endswith("compute") else answer(folder, form, threads)
    said = {"counted": {}, "credited": {}}
    for currency, campaign, orders, total in rows:
        for kind in ["counted"] + ["credited"] * (campaign is not None):
            n, sum_ = said[kind].get(currency, (0, 0))
            said[kind][currency] = (n + orders, sum_ + cents(total))
    print(json.dumps({"said": said, "compute": compute}))


# --- the runs

def ours(text):
    """How many orders were counted and credited, and the cents of each currency."""
    report = json.loads(text)
    return {kind: (report[kind]["purchases"], {currency: cents(Decimal(sum_)) for currency, sum_ in sorted(report[kind]["revenue"].items())}) for kind in ("counted", "credited")}


def theirs(said):
    return {kind: (sum(n for n, _ in tallies.values()), {currency: sum_ for currency, (_, sum_) in sorted(tallies.items())}) for kind, tallies in said.items()}


def measured(command, env=None):
    """Runs a command: its output, and wall and processor time in seconds and peak memory in MiB."""
    began = time.time()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    out = child.stdout.read()
    err = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.time() - began
    if status:
        sys.exit(f"{' '.join(command)} failed:\n{err.decode()}")
    return out.decode(), err.decode(), (wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def contenders(program, folder_of, formats, threads):
    """Name, form, threads, how to run it."""
    def revtrail(form, threads):
        folder = folder_of(form)

        def go():
            out, err, cost = measured([program, "attribute", "--events", f"{folder}/events.{form}", "--orders", f"{folder}/orders.{form}",
                                       "--settings", "yespo_v2", "--json", "--threads", str(threads)])
            decided = re.search(r"([0-9.]+) s of it to decide", err)
            return ours(out), cost, decided and (float(decided[1]), None)
        return go

    def another(engine, form, threads):
        folder = folder_of(form)

        def go():
            env = dict(os.environ, POLARS_MAX_THREADS=str(threads))
            out, _, cost = measured([sys.executable, __file__, "answer", engine, folder, form, str(threads)], env)
            answer = json.loads(out)
            return theirs(answer["said"]), cost, answer["compute"]
        return go

    for form in formats:
        for engine in ("revtrail", "duckdb", "polars"):
            yield engine, form, threads, revtrail(form, threads) if engine == "revtrail" else another(engine, form, threads)
    yield "revtrail", "csv", 1, revtrail("csv", 1)
    for engine in ("duckdb-compute", "polars-compute"):
        yield engine, "memory", threads, another(engine, "parquet", threads)


def spread(values, digits):
    values = [value for value in values if value is not None]
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def quoted(mark):
    text = open(__file__, encoding="utf-8").read()
    return text.split(f"# <{mark}>\n")[1].split(f"# </{mark}>")[0].strip()


def bench(program, folder_of, formats, runs, threads):
    all_ = [(engine, form, n, go, []) for engine, form, n, go in contenders(program, folder_of, formats, threads)]
    said = {}
    for round_ in range(runs + 1):
        for engine, form, n, go, costs in all_:
            answer, cost, compute = go()
            others = said.setdefault(folder_of(form), answer)
            if answer != others:
                sys.exit(f"{engine} says of {form}: {answer}, and others say: {others}")
            # The first round warms the cache of the files up.
            if round_:
                costs.append((*cost, *(compute or (None, None))))
                print(f"round {round_}: {engine} {form} with {n}: {cost[0]:.2f} s, {cost[1]:.2f} s of processor time, {cost[2]:.0f} MiB", file=sys.stderr, flush=True)
    median = {(engine, form, n): [statistics.median(column) if None not in column else None for column in zip(*costs)] for engine, form, n, _, costs in all_}
    lines = ["| engine | from | threads | wall, s | processor, s | memory, MiB | processor, revtrail = 1 | memory, revtrail = 1 |", "|---|---|---|---|---|---|---|---|"]
    for engine, form, n, _, costs in all_:
        if form == "memory":
            continue
        wall, cpu, memory, *_ = zip(*costs)
        base = median["revtrail", form, threads]
        ratio = [f"{statistics.median(cpu) / base[1]:.2f}", f"{statistics.median(memory) / base[2]:.2f}"]
        lines.append(f"| {engine} | {form}{' (a tenth of the rows)' if SHARES[form] > 1 else ''} | {n} | {spread(wall, 2)} | {spread(cpu, 2)} | {spread(memory, 0)} | {' | '.join(ratio)} |")
    lines += ["", f"From one thread to {threads}, revtrail answers from CSV {median['revtrail', 'csv', 1][0] / median['revtrail', 'csv', threads][0]:.2f} times faster by the clock.", ""]
    decide = median["revtrail", "csv", threads][3]
    lines += ["Once the rows are in memory (for revtrail, the part of a CSV run that is left when the files are read; for the others, the query alone, over columns whose texts are numbers already):", "",
              "| engine | wall, s | revtrail = 1 |", "|---|---|---|"]
    if decide:
        lines.append(f"| revtrail, all rules | {decide:.2f} | 1 |")
    for engine in ("duckdb-compute", "polars-compute"):
        wall = median[engine, "memory", threads][3]
        lines.append(f"| {engine} | {wall:.2f} | {f'{wall / decide:.2f}' if decide else '–'} |")
    answer = said[folder_of("csv")]
    lines += ["", f"All of them give the same answer to the cent, from CSV {json.dumps(answer['credited'])} credited of {json.dumps(answer['counted'])} counted.", ""]
    for name, mark in (("DuckDB", "duckdb"), ("Polars", "polars")):
        lines += [f"<details><summary>{name} {importlib.metadata.version(mark)}</summary>", "", "```python", quoted(mark), "```", "", "</details>", ""]
    print("\n".join(lines))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=["make", "bench", "answer"])
    parser.add_argument("rest", nargs="*")
    parser.add_argument("--program")
    parser.add_argument("--folder")
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--formats", default=",".join(FORMATS))
    args = parser.parse_args()
    if args.task == "answer":
        engine, folder, form, threads = args.rest
        return other(engine, folder, form, int(threads))
    events = lambda form: args.events // SHARES.get(form, 1)
    folder_of = lambda form: os.path.join(args.folder, f"files-{events(form)}-{args.seed}")
    if args.task == "make":
        return [make(folder_of(form), events(form), args.seed) for form in FORMATS]
    bench(args.program, folder_of, args.formats.split(","), args.runs, args.threads)


main()
