// The pages in a real browser: each page × role, with and without script, at three widths, light and dark; every figure against the
// API; and the paths that people take, by mouse and by keyboard. `--screenshots DIR` writes those of the documents.
//
// REVTRAIL: the program. CHROMIUM: the browser. `playwright-core` and `axe-core` lie beside this file.
import { spawn } from "node:child_process";
import { readFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRequire } from "node:module";
import { once } from "node:events";
import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import * as forms from "./forms.mjs";
import { requirements } from "./requirements.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const NOW = "2026-11-22T12:00:00Z";
const WIDTHS = [375, 900, 1440];
/** Each width in each colours. */
const LOOKS = WIDTHS.flatMap((width) => [[width, "light"], [width, "dark"]]);
/** Whether every page is looked at in every look; else a share, which moves on with the commits. */
const whole = Boolean(process.env.REVTRAIL_PROVE);
const commits = Number(process.env.REVTRAIL_COMMITS ?? 0);
const ROLES = ["admin", "marketer", "analyst", "partner", "ingest"];
const BYTES_MAX = 100 << 10;

const shots = process.argv[process.argv.indexOf("--screenshots") + 1];
const takes = process.argv.includes("--screenshots");
// `--only r074 upload` tests requirements and paths by their names.
const only = process.argv.includes("--only") ? process.argv.slice(process.argv.indexOf("--only") + 1) : [];
let checks = 0;
const check = (holds, told) => { checks += 1; assert.ok(holds, told); };
const equal = (got, expected, told) => { checks += 1; assert.deepEqual(got, expected, told); };

/** The service has an inbox only where it has a folder. */
const data = mkdtempSync(join(tmpdir(), "revtrail-pages-"));

/** Starts the sample and waits for its address. */
async function serve() {
  const service = spawn(process.env.REVTRAIL, ["serve", "--demo", "--data", data, "--port", "0", "--now", NOW], { stdio: ["ignore", "pipe", "ignore"] });
  process.on("exit", () => service.kill());
  let out = "";
  for await (const part of service.stdout) {
    out += part;
    const found = out.match(/listening on (\S+)/);
    if (found) return { service, origin: found[1], opens: out.match(/open +(\S+)/)[1] };
  }
  throw new Error("the service ended: " + out);
}

const { service, origin, opens } = await serve();
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
const M = "/v1/marketplaces/demo";
const api = async (path, key = "demo", init = {}) => {
  const headers = { Authorization: "Bearer " + key, "Content-Type": "application/json" };
  const answer = await fetch(origin + path, { headers, ...init });
  return answer.json();
};

/** A browser of one person: what it asks for, and what it complains of, is kept. */
async function person(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: "en-GB", ...options });
  const page = await context.newPage();
  // What looks ahead works in the background, behind what the other people of these tests asked for.
  page.setDefaultTimeout(120_000);
  const seen = { errors: [], bytes: 0 };
  page.on("console", (message) => message.type() === "error" && seen.errors.push(message.text()));
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  page.on("request", (request) => request.url().startsWith(origin) || seen.errors.push("asks " + request.url()));
  page.on("requestfinished", async (request) => {
    const sizes = await request.sizes().catch(() => null);
    seen.bytes += sizes ? sizes.responseBodySize : 0;
  });
  return { context, page, seen };
}

async function signIn(page, key) {
  await page.goto(origin + "/app/sign-in");
  await page.fill("input[name=key]", key);
  await page.click("button");
  await page.waitForURL(origin + "/app");
}

/** What holds of every page, at this width and in these colours. */
async function accessible(page, told) {
  await page.evaluate(AXE);
  const found = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  const bad = found.violations.filter((one) => ["serious", "critical"].includes(one.impact));
  const where = bad.map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => node.target.join(" ") + " " + (node.any[0]?.message ?? "")).join(" | ")}`);
  equal(where, [], told);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  check(wide <= 0, `${told}: the page is ${wide} px wider than the window`);
}

async function shifts(page) {
  return page.evaluate(() => new Promise((done) => {
    let sum = 0;
    new PerformanceObserver((list) => list.getEntries().forEach((entry) => (sum += entry.value))).observe({ type: "layout-shift", buffered: true });
    setTimeout(() => done(sum), 50);
  }));
}

const order = "order-00001";
const first = (await api(M + "/reports/campaigns?limit=1")).campaigns[0].campaign_id;
/** Each page, and the roles that may open it. */
const PAGES = [
  ["home", "/app", ROLES],
  ["campaigns", "/app/demo", ROLES.slice(0, 3)],
  ["campaigns-revenue", "/app/demo?revenue=true", ROLES.slice(0, 3)],
  ["campaigns-none", "/app/demo?name=nothing-is-called-so", ROLES.slice(0, 3)],
  ["campaigns-empty", "/app/demo?from=2026-11-23&to=2026-11-24", ROLES.slice(0, 3)],
  ["campaign", "/app/demo/campaign?id=" + encodeURIComponent(first), ROLES.slice(0, 3)],
  ["why", "/app/demo/order?id=" + order, ROLES.slice(0, 3)],
  ["promotions", "/app/demo/promotions", ROLES.slice(0, 4)],
  ["promotion", "/app/demo/promotion?id=winter-warmers", ROLES.slice(0, 4)],
  ...["vouchers", "validation-rules", "redemptions", "publications", "distributions", "metadata"].map((tab) =>
    ["promotion-" + tab, `/app/demo/promotion?id=winter-warmers&tab=${tab}`, ROLES.slice(0, 4)]),
  ["orders", "/app/demo/orders", ROLES.slice(0, 3)],
  ["rivals", "/app/demo/campaign?rivals=true&id=" + encodeURIComponent(first), ROLES.slice(0, 3)],
  ["customer", "/app/demo/customer?id=customer-0001", ROLES.slice(0, 2)],
  ["segments", "/app/demo/segments", ROLES.slice(0, 2)],
  ["senders", "/app/demo/senders", ROLES.slice(0, 3)],
  ["sender", "/app/demo/senders?sender=sendgrid", ROLES.slice(0, 3)],
  ["reconciliation", "/app/demo/reconciliation", ROLES.slice(0, 3)],
  ["runs", "/app/demo/runs", ROLES.slice(0, 3)],
  ["files", "/app/demo/batches", ROLES.slice(0, 4)],
  ["settings", "/app/demo/settings", ROLES.slice(0, 3)],
  ["settings-tried", "/app/demo/settings?start=redbox", ROLES.slice(0, 3)],
  ["access", "/app/demo/access", ROLES.slice(0, 1)],
  ["docs", "/docs", ROLES],
  ["absent", "/app/demo/order?id=absent", []],
];

const keys = {};
for (const role of ROLES) {
  const made = await api(M + "/keys", "demo", { method: "POST", body: JSON.stringify({ name: role, role }) });
  keys[role] = made.key;
}

async function everyPage() {
  const people = ROLES.flatMap((role) => [[role, true], [role, false]]);
  const next = async () => {
    for (let one = people.shift(); one; one = people.shift()) await everyPageFor(...one);
  };
  await Promise.all([next(), next(), next()]);
}

async function everyPageFor(role, javaScriptEnabled) {
  const { context, page, seen } = await person({ javaScriptEnabled });
  await signIn(page, keys[role]);
  equal(seen.errors, [], `${role} signs in`);
  for (const [name, path, roles] of PAGES) {
    const told = `${name} for ${role}, ${javaScriptEnabled ? "with" : "without"} script`;
    [seen.errors, seen.bytes] = [[], 0];
    const answer = await page.goto(origin + path, { waitUntil: "load" });
    const expected = roles.includes(role) ? 200 : name === "absent" && ROLES.indexOf(role) < 3 ? 404 : 403;
    equal(answer.status(), expected, told);
    // A browser complains of each page that is no 200.
    equal(seen.errors.filter((text) => expected === 200 || !text.includes(`status of ${expected}`)), [], told);
    const html = await answer.text();
    check(!/\sstyle=/.test(html), `${told}: a style attribute`);
    equal(await page.locator("h1").count(), 1, told);
    check(seen.bytes <= BYTES_MAX, `${told}: ${seen.bytes} bytes`);
    // What is worked on in the background is looked at again until it is there.
    if (name === "settings-tried" && expected === 200) await page.locator("#try-movers").waitFor();
    if (javaScriptEnabled) check((await shifts(page)) < 0.01, `${told}: the layout shifts`);
    // Roles differ in what is there, and not in how it is laid out; script changes neither.
    if (expected !== 200 || !javaScriptEnabled) continue;
    // A share has each page for each role in one look, and for an administrator in two: in turn, so that every look comes round.
    const nth = PAGES.findIndex(([one]) => one === name) + ROLES.indexOf(role) + commits;
    const turns = whole ? LOOKS.keys() : role === "admin" ? [nth, nth + 3] : [nth];
    for (const turn of turns) {
      const [width, colorScheme] = LOOKS[turn % LOOKS.length];
      await page.setViewportSize({ width, height: 900 });
      await page.emulateMedia({ colorScheme });
      await accessible(page, `${told}, ${width} px, ${colorScheme}`);
    }
  }
  await context.close();
}

/** The exact values of a part of a page, row by row. */
const values = (page, rows) => page.$$eval(rows, (rows) => rows.map((row) => [...row.querySelectorAll("data")].map((data) => data.value)));
const all = (...of) => of.flatMap((one) => (one === null || one === undefined ? [] : typeof one === "object" ? Object.values(one) : [String(one)]));
const engagement = (row) => all(row.deliveries, row.open_rate, row.bounce_rate, row.clicks, row.unsubscribes);
const sales = (row) => all(row.purchases, row.average_check, row.revenue, row.revenue_per_delivery, row.purchase_to_open_rate, row.purchase_to_click_rate);

/** A figure is shown as its exact value, in English: with commas, or in percent. */
async function shownAsTheyAre(page, told) {
  const figures = await page.$$eval("data", (all) => all.map((data) => [data.value, data.textContent.replace(/([A-Z]{3}|points)$/, "").trim()]));
  for (const [value, shown] of figures) {
    const plain = shown.replaceAll(",", "");
    if (plain.endsWith("%")) check(Math.abs(parseFloat(plain) - 100 * parseFloat(value)) <= 0.0501, `${told}: ${shown} for ${value}`);
    else equal(plain, value, told);
  }
  check(figures.length > 0, told);
}

async function figures() {
  const { context, page } = await person();
  await signIn(page, keys.marketer);
  for (const query of ["", "from=2026-11-01&to=2026-11-15", "channel=email", "tag=sale", "name=week", "sort=name", "sort=-open_rate", "from=2026-11-20&to=2026-11-21"]) {
    const told = await api(`${M}/reports/campaigns?compare=previous&days=true&${query}`);
    for (const revenue of [false, true]) {
      await page.goto(`${origin}/app/demo?${query}${revenue ? "&revenue=true" : ""}`);
      const row = (row) => (revenue ? [...engagement(row), ...sales(row)] : engagement(row));
      equal(await values(page, "#campaigns tbody tr"), told.campaigns.map(row), query);
      if (told.campaigns.length) equal(await values(page, "#campaigns tfoot tr"), [row(told.totals)], query);
      const balance = [["counted", "credited", "uncredited"].map((of) => String(told[of].purchases))];
      for (const code of Object.keys(told.counted.revenue)) balance.push(["counted", "credited", "uncredited"].map((of) => told[of].revenue[code] ?? "0"));
      equal(await values(page, ".balance p:not(.note)"), balance, query);
      const by = (code, of) => told.days.map((day) => day[of].revenue[code] ?? "0").filter((amount) => amount !== "0");
      const drawn = await values(page, ".chart details tbody tr");
      for (const [place, of] of [[0, "credited"], [1, "uncredited"]]) {
        equal(drawn.map((cells) => cells[place]).filter((amount) => amount !== "0"), by(told.sort_currency, of), `${query}: ${of} by day`);
      }
      const big = await values(page, ".tile .big");
      const t = told.totals;
      equal(big.flat(), all(t.revenue, t.purchases, t.average_check, t.purchasers, t.revenue_per_delivery, t.share), query);
      await shownAsTheyAre(page, query);
    }
  }
  const id = encodeURIComponent(first);
  const one = await api(`${M}/reports/campaigns/${id}`);
  await page.goto(`${origin}/app/demo/campaign?id=${id}`);
  equal((await values(page, ".tile .big")).flat(), all(one.revenue, one.purchases, one.average_check, one.purchasers, one.revenue_per_delivery, one.refunded), "campaign");
  const day = (day) => all(day.deliveries, day.opens, day.clicks, day.bounces, day.unsubscribes, day.purchases, day.revenue);
  equal(await values(page, "#days tbody tr"), one.days.map(day), "days of a campaign");
  const bought = await api(`${M}/reports/campaigns/${id}/purchases`);
  equal(await values(page, "#purchases tbody tr"), bought.purchases.map((one) => [one.amount]), "purchases");
  await shownAsTheyAre(page, "campaign");
  const why = await api(`${M}/orders/${order}/attribution`);
  await page.goto(`${origin}/app/demo/order?id=${order}`);
  equal(await values(page, ".verdict .big"), [[why.amount]], "why");
  equal(await page.locator("#candidates tbody tr").count(), why.candidates.length, "candidates");
  const orders = await api(`${M}/orders?status=COMPLETE`);
  await page.goto(`${origin}/app/demo/orders?status=COMPLETE`);
  equal(await values(page, "#orders tbody tr"), orders.orders.map((one) => [one.total, one.refunded_total]), "orders");
  const statuses = await api(`${M}/reports/orders`);
  const tile = (one) => [String(one.orders), ...Object.values(one.amount)];
  const apart = [statuses.total, statuses.cancelled, ...statuses.statuses.filter((one) => one.status !== "CANCELLED")];
  equal(await values(page, ".tile"), apart.map(tile), "orders by status");
  await shownAsTheyAre(page, "orders");
  const promotions = await api(`${M}/reports/promotions?sort=-redemption_rate`);
  await page.goto(`${origin}/app/demo/promotions?sort=-redemption_rate`);
  const promotion = (row) => all(row.assigned, row.redeemed, row.redemption_rate, row.budget && [row.budget.usage, row.budget.spent, row.budget.amount],
    row.cap && [row.cap.usage, row.cap.used, row.cap.limit].map(String), row.result, row.worst_case);
  equal(await values(page, "#promotions tbody tr"), promotions.promotions.map(promotion), "promotions");
  check((await page.locator("#promotions tbody tr", { hasText: "Black Friday" }).locator(".none").count()) > 0, "R95: a rate that is none is a dash");
  const board = await api(`${M}/promotions/winter-warmers/dashboard`);
  await page.getByRole("link", { name: "Winter warmers" }).click();
  await page.getByRole("heading", { level: 1, name: "Winter warmers" }).waitFor();
  const part = (one) => all(one.assigned, one.redeemed, one.redemption_rate);
  equal(await values(page, "#tiers tbody tr"), board.breakdown.tier.map(part), "R102: the rate by tier");
  equal(await values(page, "#segments tbody tr"), board.breakdown.segment.map(part), "R103: the rate by segment");
  equal(await values(page, "#days tbody tr"), board.redemptions_by_day.map((day) => [String(day.success), String(day.failure)]), "redemptions by day");
  equal(await page.locator(".tabs a").count(), 7, "R69: seven tabs");
  await whatIfs(page);
  const sums = await api(`${M}/reports/reconciliation`);
  await page.goto(`${origin}/app/demo/reconciliation`);
  equal((await values(page, "#counted tbody tr")).map((row) => row[0]), [sums.orders.credited, sums.orders.uncredited, sums.orders.counted].map(String), "reconciliation");
  equal(await page.getByText("it adds up").count(), 5, "R109: all sums add up");
  await page.goto(`${origin}/app/demo/runs`);
  await page.getByRole("button", { name: "Verify all" }).click();
  await page.getByText(/checked, no difference/).or(page.getByText("running")).first().waitFor();
  await context.close();
}

/** What the page of settings says of other settings, and that of an order, is what the API's what-if says. */
async function whatIfs(page) {
  const { settings } = await api(M + "/settings");
  const day = (days) => new Date(Date.parse(NOW) + days * 86_400_000).toISOString().slice(0, 10);
  const ask = async (settings, more) => {
    let told = await api(M + "/what-if", "demo", { method: "POST", body: JSON.stringify({ settings, from: day(-89), to: day(1), ...more }) });
    while (told.state === "running") told = await api(`${M}/what-ifs/${told.what_if_id}`);
    return told;
  };
  const email = { ...settings.channels.email, window: "1d" };
  const models = ["last_sent", "last_interaction", "first", "linear", "position_based", "time_decay"];
  const told = await ask({ ...settings, channels: { ...settings.channels, email } }, { models });
  await page.goto(origin + "/app/demo/settings");
  await page.fill("[name='email.count']", "1");
  await page.locator("#try-movers").waitFor();
  const cells = (rows) => page.$$eval(rows, (rows) => rows.map((row) => [row.cells[0].textContent.trim(), ...[...row.cells].slice(1, 5).flatMap((cell) => [...cell.querySelectorAll("data")].map((data) => data.value))]));
  const row = ({ campaign_id, current, proposed }) => {
    const codes = [...new Set([current, proposed].flatMap((side) => Object.keys(side.revenue)))].sort();
    const money = (side) => codes.map((code) => side.revenue[code] ?? "0");
    return [told.names[campaign_id], String(current.purchases), String(proposed.purchases), ...money(current), ...money(proposed)];
  };
  const shown = await cells("#try-movers tbody tr, #try-others tbody tr");
  equal(shown.sort(), told.campaigns.map(row).sort(), "campaigns now and then");
  const tiles = await values(page, "#try .tile .big");
  const p = told.proposed;
  equal(tiles.flat(), all(p.credited.revenue, p.credited.purchases, p.uncredited.revenue, p.counted.purchases), "what all would earn");
  equal(await values(page, "#moved tbody tr"), told.moved.slice(0, 20).map((one) => all(one.from?.amount, one.to?.amount)), "orders that move");
  const of = (id) => told.models.flatMap((model) => all(model.campaigns.find((one) => one.campaign_id === id)?.revenue ?? {}));
  const ids = [...new Set(told.models.flatMap((model) => model.campaigns.map((one) => one.campaign_id)))];
  check(ids.length <= 20, "the sample has few campaigns");
  equal((await values(page, "#models tbody tr")).map(String).sort(), ids.map((id) => String(of(id))).sort(), "models as columns");
  equal(await page.locator("#models thead th").count(), 7, "a column for each model");
  await shownAsTheyAre(page, "settings");
  equal((await api(M + "/settings")).settings, settings, "a try saves nothing");
  const why = await ask(settings, { order_id: order });
  await page.goto(`${origin}/app/demo/order?id=${order}`);
  const lines = await values(page, "#others tbody tr");
  check(lines.length >= 3, "a line for each preset");
  check(lines.every((line) => line.length <= 1) && lines.some((line) => line.length), "what counts has its amount");
  check(why.attribution.order_id === order, "an order alone");
}

/** Change a window in settings → see what moves → save → see it in the list of changes; by mouse, or by keyboard alone. */
async function saves(javaScriptEnabled, byKeyboard) {
  const { context, page, seen } = await person({ javaScriptEnabled });
  await signIn(page, keys.admin);
  const before = await api(M + "/settings");
  const count = before.settings.channels.push.window === "1d" ? "2" : "1";
  await page.goto(origin + "/app/demo/settings");
  const field = page.locator("[name='push.count']"), save = page.getByRole("button", { name: "Save as a new version" });
  const tabTo = async (target) => {
    for (let i = 0; i < 120; i += 1) {
      if (await target.evaluate((node) => node === document.activeElement)) return;
      await page.keyboard.press("Tab");
    }
    assert.fail("Tab does not lead there");
  };
  if (byKeyboard) {
    await tabTo(field);
    await page.keyboard.press("ControlOrMeta+A");
    await page.keyboard.type(count);
    await page.keyboard.press("Tab");
    await page.keyboard.press("d");
  } else {
    await field.fill(count);
    await page.locator("[name='push.unit']").selectOption("d");
  }
  if (!javaScriptEnabled) await page.getByRole("button", { name: "See what it would do" }).click();
  await page.locator("#try", { hasText: "orders would move" }).waitFor();
  await page.locator("#try .changes", { hasText: "push, window" }).waitFor();
  check(new URL(page.url()).searchParams.get("push.count") === count, "what is tried has an address");
  if (javaScriptEnabled) equal(await field.inputValue(), count, "fields keep what is typed");
  if (byKeyboard) {
    await tabTo(save);
    await page.keyboard.press("Enter");
  } else await save.click();
  await page.getByText(`Version ${before.version + 1} is saved`).waitFor();
  const row = page.locator("#versions tbody tr").first();
  check((await row.textContent()).includes("push, window"), "what was saved is in the list of changes");
  equal((await api(M + "/settings")).settings.channels.push.window, count + "d", "what was saved is in force");
  equal(seen.errors, [], "settings");
  await context.close();
}

/** A replay is seen, applied, and in the list; a key is made, copied, used and revoked. */
async function replaysAndKeys() {
  const { context, page, seen } = await person();
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin });
  await signIn(page, keys.admin);
  await page.goto(origin + "/app/demo/settings");
  await page.getByRole("button", { name: "See what would move" }).click();
  await page.locator("#replay", { hasText: "orders would move" }).waitFor();
  const [replay] = (await api(M + "/replays")).replays;
  equal(replay.dry_run, true, "a preview moves nothing");
  const tiles = await values(page, "#replay .tile .big");
  equal(tiles.flat(), all(replay.after.credited.revenue, replay.after.credited.purchases, replay.after.uncredited.revenue, replay.after.counted.purchases), "a preview");
  await page.goto(origin + "/app/demo/access");
  await page.fill("[name=name]", "a new analyst");
  await page.selectOption("[name=role]", "analyst");
  await page.getByRole("button", { name: "Make the key" }).click();
  const secret = await page.locator("#secret").textContent();
  await page.getByRole("status").getByRole("button", { name: "Copy" }).click();
  await page.getByText("Copied").waitFor();
  equal(await page.evaluate(() => navigator.clipboard.readText()), secret, "the key is copied");
  equal((await api(M + "/settings", secret)).version > 0, true, "the key is good");
  const row = page.locator("#keys tbody tr", { hasText: "a new analyst" });
  await row.getByText("Revoke", { exact: true }).click();
  await row.getByRole("button").click();
  await page.getByRole("heading", { level: 1, name: "Access" }).waitFor();
  await page.locator("#keys tbody tr", { hasText: "a new analyst" }).waitFor({ state: "detached" });
  equal((await api(M + "/settings", secret)).status, 401, "the key is revoked");
  equal(seen.errors, [], "replays and keys");
  await context.close();
}

/** sign in → find a campaign → $ → its purchases → an order → why, by mouse. */
async function byMouse(javaScriptEnabled) {
  const { context, page, seen } = await person({ javaScriptEnabled });
  await page.goto(origin + "/app/demo?tag=sale");
  equal(new URL(page.url()).pathname, "/app/sign-in", "whoever is not signed in signs in");
  await page.fill("input[name=key]", "wrong");
  await page.click("button");
  check(await page.getByRole("alert").isVisible(), "a wrong key");
  seen.errors = [];
  await page.fill("input[name=key]", keys.marketer);
  await page.click("button");
  await page.waitForURL(origin + "/app/demo?tag=sale");
  await page.getByTitle("Take this filter off").click();
  await page.waitForURL(origin + "/app/demo");
  await page.fill("[data-search]", "halloween");
  if (!javaScriptEnabled) await page.getByRole("button", { name: "Find" }).click();
  await page.waitForURL(/name=halloween/);
  await page.locator("#campaigns tbody tr").nth(0).waitFor();
  equal(await page.locator("#campaigns tbody tr").count(), 1, "one campaign is found");
  equal(await page.getByRole("columnheader", { name: "Revenue" }).count(), 0, "without $");
  await page.getByRole("button", { name: "$" }).click();
  await page.waitForURL(/revenue=true/);
  await page.getByRole("columnheader", { name: "Revenue" }).waitFor();
  await page.getByRole("columnheader", { name: "Delivered" }).getByRole("link").click();
  await page.locator("th[aria-sort=descending]").filter({ hasText: "Delivered" }).waitFor();
  const [file] = await Promise.all([page.waitForEvent("download"), page.click("[data-export]")]);
  const csv = readFileSync(await file.path(), "utf8");
  check(/revenue_EUR/.test(csv.split("\n")[0]) && csv.includes("halloween"), "what is exported follows $ and the filter");
  await page.getByRole("link", { name: "halloween sale" }).click();
  await page.getByRole("heading", { level: 1, name: "halloween sale" }).waitFor();
  const bought = page.locator("#purchases tbody tr").first();
  const id = await bought.getByRole("rowheader").getByRole("link").first().textContent();
  await bought.getByRole("rowheader").getByRole("link", { name: "why?" }).click();
  await page.getByRole("heading", { level: 1, name: "Order " + id }).waitFor();
  check((await page.locator(".verdict").textContent()).includes("halloween sale"), "why");
  await page.goBack();
  await page.getByRole("heading", { level: 1, name: "halloween sale" }).waitFor();
  equal(seen.errors, [], "by mouse");
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.waitForURL(origin + "/app/sign-in");
  await page.goto(origin + "/app/demo");
  equal(new URL(page.url()).pathname, "/app/sign-in", "signed out");
  await context.close();
}

/** The same by keyboard alone. */
async function byKeyboard() {
  const { context, page, seen } = await person();
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin });
  const tabTo = async (role, name) => {
    for (let i = 0; i < 80; i += 1) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate(() => document.activeElement.textContent.trim());
      if (at === name) return;
    }
    assert.fail(`no ${role} ${name} is reached by Tab`);
  };
  await page.goto(origin + "/app/sign-in");
  // The field has the focus.
  await page.keyboard.press("ControlOrMeta+A");
  await page.keyboard.type(keys.marketer);
  await page.keyboard.press("Enter");
  await page.waitForURL(origin + "/app");
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "Campaigns" }).waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("halloween");
  await page.waitForURL(/name=halloween/);
  await tabTo("button", "$");
  await page.keyboard.press("Enter");
  await page.waitForURL(/revenue=true/);
  await page.getByRole("columnheader", { name: "Revenue" }).waitFor();
  await page.keyboard.press("c");
  await page.getByText("Copied").waitFor();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  check(copied.includes("Revenue") && copied.includes("halloween sale"), copied);
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "halloween sale" }).waitFor();
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: /^Order / }).waitFor();
  await page.keyboard.press("?");
  await page.getByText("Keys: /").waitFor();
  equal(seen.errors, [], "by keyboard");
  await context.close();
}

/** The link that the service prints signs in by one click. */
async function byLink() {
  const { context, page } = await person();
  await page.goto(opens);
  await page.getByRole("heading", { level: 1, name: "Marketplaces" }).waitFor();
  await context.close();
}

async function screenshots() {
  mkdirSync(shots, { recursive: true });
  for (const [colorScheme, width, end] of [["light", 1280, ""], ["dark", 1280, "-dark"], ["light", 375, "-phone"]]) {
    const { context, page } = await person({ colorScheme, viewport: { width, height: 800 } });
    await signIn(page, "demo");
    for (const [name, path, roles] of PAGES) {
      if (!roles.length || name === "campaigns-none") continue;
      await page.goto(origin + path);
      await page.screenshot({ path: `${shots}/${name}${end}.png`, fullPage: true });
    }
    await context.close();
  }
}

try {
  const world = { person, signIn, accessible, origin, first, api, M, keys, equal, check };
  if (takes) await screenshots();
  else if (only.length) {
    const named = only.filter((name) => forms[name]);
    if (named.length < only.length) await requirements(world, only);
    for (const name of named) for (const script of [true, false]) await forms[name](world, script);
    console.log(`browser: ${checks} cases`);
  } else {
    const paths = async () => {
      await figures(); await byMouse(true); await byMouse(false); await byKeyboard(); await byLink();
      await requirements(world);
    };
    await Promise.all([everyPage(), paths()]);
    // These change what the others look at.
    await forms.formsAreAccessible(world);
    for (const path of [forms.promotionByMouse, forms.promotionByKeyboard, forms.upload, forms.campaignForms, forms.senderByHand, forms.erase]) {
      for (const script of [true, false]) await path(world, script);
    }
    await forms.names(world);
    for (const [script, byKeyboard] of [[true, false], [false, false], [true, true]]) await saves(script, byKeyboard);
    await replaysAndKeys();
    console.log(`browser: ${checks} cases`);
  }
} finally {
  await browser.close();
  const ended = once(service, "exit");
  service.kill("SIGTERM");
  await ended;
  rmSync(data, { recursive: true });
}
