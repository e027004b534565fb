// The requirements of type V of the mission, each by its number: what a person must see.
import { readFileSync } from "node:fs";

/** Lines of the table of campaigns, as they are copied, with or without `$`. */
const copied = async ({ page, origin }, revenue) => {
  await page.goto(`${origin}/app/demo${revenue ? "?revenue=true" : ""}`);
  await page.locator("[data-copy=campaigns]").click();
  await page.getByText("Copied").waitFor();
  return page.evaluate(() => navigator.clipboard.readText());
};
const exported = async ({ page, origin }, revenue) => {
  await page.goto(`${origin}/app/demo${revenue ? "?revenue=true" : ""}`);
  const [file] = await Promise.all([page.waitForEvent("download"), page.locator("[data-export]").click()]);
  return readFileSync(await file.path(), "utf8");
};
const tile = (page, name) => page.locator(".tile", { has: page.locator("h2", { hasText: name }) });
const tab = ({ page, origin }, name, id = "welcome-gift") => page.goto(`${origin}/app/demo/promotion?id=${id}&tab=${name}`);
const heads = (page, of) => page.locator(`${of} thead th`).allTextContents();
const rows = (page, of) => page.locator(`${of} tbody tr`).count();

/** What each requirement says must be seen. */
const REQUIREMENTS = {
  async r002({ page, origin, equal, api }) {
    await api("/v1/marketplaces/other", "demo", { method: "PUT", body: JSON.stringify({ name: "Other" }) });
    await page.goto(origin + "/app");
    await page.getByRole("link", { name: "Other", exact: true }).click();
    await page.getByText("Nothing came in in these days").waitFor();
    equal(await rows(page, "#campaigns"), 0, "another marketplace has campaigns of its own");
  },
  async r003({ page, origin, check }) {
    await page.goto(origin + "/app/demo?revenue=true");
    const told = (await heads(page, "#campaigns")).join("|");
    for (const name of ["Delivered", "Open", "Bounce", "Clicks", "Revenue"]) check(told.includes(name), `${name} in ${told}`);
  },
  async r009({ page, origin, check }) {
    await page.goto(origin + "/app/demo");
    check((await tile(page, "Revenue").first().textContent()).includes("estimate"), "the tile says estimate");
    check(await page.getByText("Tracked revenue is an estimate").isVisible(), "a sentence explains it");
  },
  async r023({ page, origin, equal }) {
    await page.goto(origin + "/app/demo?revenue=true&sort=name");
    await page.getByRole("columnheader", { name: /^Revenue/ }).getByRole("link").click();
    await page.locator("th[aria-sort=descending]").filter({ hasText: "Revenue" }).waitFor();
    const all = await page.$$eval("#campaigns tbody td.money", (cells) => cells.map((cell) => cell.querySelector("data")?.value ?? "-1"));
    equal(all, [...all].sort((a, b) => b - a), "the most revenue first");
  },
  async r026({ page, origin, equal, api, M }) {
    const order = { order_id: "r026", customer_id: "c", status: "COMPLETE", total: "1.00", currency: "EUR", placed_at: "2026-11-22T11:59:00Z" };
    equal((await api(M + "/orders", "demo", { method: "POST", body: JSON.stringify(order) })).accepted, 1, "accepted");
    await page.goto(origin + "/app/demo/orders");
    equal(await page.getByRole("link", { name: "r026" }).count(), 1, "an order is listed at once");
  },
  async r033({ page, origin, check }) {
    await page.goto(origin + "/app/demo?revenue=true");
    const row = page.locator("#campaigns tr.excluded", { hasText: "order confirmation" });
    check((await row.textContent()).includes("not counted: tag technical"), "why it is not counted");
    check(Number(await row.locator("td.n data").first().getAttribute("value")) > 0, "its deliveries are shown");
  },
  async r034({ page, origin, check }) {
    await page.goto(origin + "/app/demo");
    for (const name of ["Revenue", "Purchases", "Average check"]) check((await tile(page, name).first().locator("data").count()) > 0, name);
    check(/^\d+ campaigns/.test(await page.locator("#table-title").textContent()), "how many campaigns");
  },
  async r035({ page, origin, equal, check }) {
    await page.goto(origin + "/app/demo");
    check(!(await heads(page, "#campaigns")).some((head) => head.startsWith("Purchases")), "not without $");
    await page.getByRole("button", { name: "$" }).click();
    await page.waitForURL(/revenue=true/);
    await page.getByRole("columnheader", { name: "Purchases" }).waitFor();
    const told = (await heads(page, "#campaigns")).join("|");
    for (const name of ["Purchases", "Average", "Revenue"]) check(told.includes(name), `${name} with $`);
    equal(await page.locator("[data-revenue]").getAttribute("aria-pressed"), "true", "$ is pressed");
  },
  async r036(on) {
    on.check(!(await copied(on, false)).includes("Revenue"), "copied without $");
    on.check((await copied(on, true)).includes("Revenue"), "copied with $");
  },
  async r037(on) {
    on.check(!(await exported(on, false)).includes("revenue_"), "exported without $");
    on.check((await exported(on, true)).includes("revenue_EUR"), "exported with $");
  },
  async r038({ page, origin, equal }) {
    await page.goto(origin + "/app/demo?revenue=true");
    const row = page.locator("#campaigns tbody tr").first();
    const listed = await row.locator("td.money data").first().getAttribute("value");
    await row.getByRole("rowheader").getByRole("link").first().click();
    await page.locator("#days").waitFor({ state: "attached" });
    equal(await tile(page, "Revenue").first().locator("data").first().getAttribute("value"), listed, "the same revenue");
  },
  async r039({ page, origin, first, check }) {
    await page.goto(`${origin}/app/demo/campaign?id=${encodeURIComponent(first)}`);
    check(/What counts as a sale: an order within /.test(await page.locator("main").textContent()), "the formula");
  },
  async r049({ page, origin, check }) {
    await page.goto(origin + "/app/demo/orders?from=2026-11-20&to=2026-11-21");
    check((await page.locator(".period").first().textContent()).includes("20 Nov"), "the period");
    check(await page.getByText("Times in Europe/Dublin").isVisible(), "the zone");
    const days = await page.$$eval("#orders time", (times) => times.map((time) => time.dateTime.slice(0, 10)));
    check(days.length > 0 && days.every((day) => day === "2026-11-20"), "orders of that day only");
  },
  async r051({ page, origin, check }) {
    await page.goto(origin + "/app/demo/orders");
    const status = tile(page, "COMPLETE");
    check((await status.locator("data").count()) >= 2, "count and amount of a status");
    check((await status.textContent()).includes("reached the customer"), "what it means");
  },
  async r053({ page, origin, check }) {
    await page.goto(origin + "/app/demo");
    await page.getByRole("link", { name: "SMS", exact: true }).click();
    await page.waitForURL(/channel=sms/);
    await page.getByText("channel: SMS").waitFor();
    const told = await page.$$eval("#campaigns tbody tr td:nth-child(2)", (cells) => cells.map((cell) => cell.textContent));
    check(told.length > 0 && told.every((channels) => channels.includes("SMS")), told.join());
  },
  r054: (on) => REQUIREMENTS.r034(on),
  async r056({ page, origin, equal }) {
    await page.goto(origin + "/app/demo?revenue=true");
    const cell = page.locator("#campaigns tbody tr").first().locator("a[href$='#bought-title']");
    const n = Number(await cell.locator("data").getAttribute("value"));
    await cell.click();
    let bought = 0;
    for (;;) {
      await page.locator("#purchases tbody tr").first().waitFor();
      bought += await rows(page, "#purchases");
      const next = page.locator("[aria-label='Pages of the purchases'] [data-next]");
      if (!(await next.count())) break;
      await page.goto(origin + (await next.getAttribute("href")));
    }
    equal(bought, n, "the list has as many as the number says");
  },
  async r057({ page, origin, first, check }) {
    await page.goto(`${origin}/app/demo/campaign?id=${encodeURIComponent(first)}`);
    check(await page.getByText("Save the buyers of these days as a segment").isVisible(), "to a segment");
    const [file] = await Promise.all([page.waitForEvent("download"), page.locator("[data-export]").click()]);
    check(readFileSync(await file.path(), "utf8").startsWith("customer_id"), "to a file");
  },
  async r059({ page, origin, first, check }) {
    await page.goto(`${origin}/app/demo/campaign?id=${encodeURIComponent(first)}`);
    await page.locator("#purchases tbody tr").first().locator("td a").click();
    await page.getByRole("heading", { level: 1, name: /^Customer / }).waitFor();
    check((await page.locator("main").textContent()).includes("@example.com"), "who it is");
    check((await rows(page, "#history")) > 0, "what they got and bought");
  },
  async r060(on) { await REQUIREMENTS.r036(on); await REQUIREMENTS.r037(on); },
  r061: (on) => REQUIREMENTS.r038(on),
  r062: (on) => REQUIREMENTS.r039(on),
  async r067({ page, origin, check }) {
    await page.goto(origin + "/app/demo/promotions");
    await page.getByText("Make a promotion").click();
    await page.getByLabel("Id", { exact: true }).fill("r067");
    await page.getByRole("button", { name: "Make it" }).click();
    await page.getByRole("heading", { level: 1, name: "r067" }).waitFor();
    check(await page.getByRole("heading", { name: "Redemption rate", exact: true }).isVisible(), "its overview");
  },
  async r068({ page, origin, equal }) {
    await page.goto(origin + "/app/demo/promotions?name=WARM");
    equal(await page.locator("#promotions tbody tr td:first-child").allTextContents(), ["Winter warmers"], "found by its name");
  },
  async r069(on) {
    await tab(on, "dashboard");
    const tabs = (await on.page.locator(".tabs a").allTextContents()).map((text) => text.replace(/ [\d,]+$/, ""));
    const told = ["Dashboard", "Vouchers", "Validation rules", "Redemption history", "Publications history", "Distributions", "Metadata"];
    on.equal(tabs, told, "seven tabs");
  },
  async r070(on) {
    await tab(on, "dashboard");
    on.check((await on.page.locator(".tile .big data").count()) >= 4, "numbers");
    on.check(await on.page.locator("figure.chart svg[role=img]").isVisible(), "a graph");
  },
  async r071(on) {
    await tab(on, "vouchers");
    const all = (await on.api(`${on.M}/promotions/welcome-gift/vouchers?limit=1000`)).items.length;
    const told = Number((await on.page.locator(".tabs a[aria-current]").textContent()).match(/[\d,]+$/)[0].replaceAll(",", ""));
    on.equal(told, all, "the tab counts them");
    on.check((await rows(on.page, "#entries")) > 0, "and lists them");
  },
  async r072(on) {
    await tab(on, "validation-rules");
    on.check(/First order only.*1/.test((await on.page.locator("#entries tbody").textContent()).replace(/\s+/g, " ")), "a rule with its version");
  },
  async r073(on) {
    await tab(on, "redemptions");
    const told = (await heads(on.page, "#entries")).join("|");
    for (const name of ["Result", "Customer", "Redemption", "Code", "Why it failed"]) on.check(told.includes(name), `${name} in ${told}`);
    on.check((await on.page.locator("#entries").textContent()).includes("success"), "a success");
  },
  async r074(on) {
    await tab(on, "publications");
    const told = await on.page.locator("#entries tbody").textContent();
    on.check(told.includes("manual") && told.includes("api"), "by hand, and by the API");
  },
  async r075(on) {
    await tab(on, "distributions");
    const told = (await heads(on.page, "#entries")).join("|");
    for (const name of ["Customer", "Code", "State"]) on.check(told.includes(name), `${name} in ${told}`);
  },
  async r076(on) {
    await tab(on, "metadata");
    on.check((await on.page.locator("#entries").textContent()).includes("lifecycle"), "a field of one's own");
    await on.page.goto(on.origin + "/app/demo/promotions?metadata=owner%3Dlifecycle");
    on.equal(await on.page.locator("#promotions tbody tr td:first-child").allTextContents(), ["Welcome gift"], "and a filter");
  },
  async r077(on) {
    await tab(on, "dashboard");
    const told = (await on.page.locator(".sub").allTextContents()).join(" ");
    on.check(told.includes("amount 5.00 EUR") && told.includes("1 uses a voucher"), told);
  },
  async r078(on) {
    await tab(on, "dashboard");
    const all = (await on.api(`${on.M}/promotions/welcome-gift/vouchers?limit=1000`)).items.length;
    on.equal(await tile(on.page, "Vouchers").locator("data").getAttribute("value"), String(all), "how many");
  },
  async r082(on) {
    await tab(on, "dashboard");
    on.check((await on.page.locator(".sub").allTextContents()).join().includes("Five euro off the first order"), "a description");
  },
  async r083(on) {
    await tab(on, "dashboard", "winter-warmers");
    on.check((await on.page.locator("figure.chart rect.day title").first().textContent()).includes("succeeded"), "redemptions by day");
  },
  async r085(on) {
    const path = `${on.M}/promotions/black-friday`;
    await on.api(path, on.keys.marketer, { method: "PATCH", body: JSON.stringify({ cap: 501 }) });
    await tab(on, "dashboard", "black-friday");
    const told = (await on.page.locator("#changes tbody tr").first().textContent()).replace(/\s+/g, " ");
    for (const part of ["marketer", "cap", "500", "501"]) on.check(told.includes(part), `${part} in ${told}`);
  },
  async r095({ page, origin, equal }) {
    await page.goto(origin + "/app/demo/promotions?name=Black");
    equal(await page.locator("#promotions tbody tr td:nth-child(6)").textContent(), "–", "a dash, and not 0%");
  },
  async r096({ page, origin, api, M, equal }) {
    const send = (what, record) => api(`${M}/${what}`, "demo", { method: "POST", body: JSON.stringify(record) });
    await api(`${M}/promotions/r096`, "demo", { method: "PUT", body: "{}" });
    await send("assignments", { assignment_id: "r096", promotion_id: "r096", customer_id: "c" });
    const rate = async () => {
      await page.goto(origin + "/app/demo/promotions?name=r096");
      return page.locator("#promotions tbody tr td:nth-child(6)").textContent();
    };
    equal(await rate(), "–", "before");
    await send("redemptions", { redemption_id: "r096", promotion_id: "r096", customer_id: "c" });
    equal(await rate(), "100.0%", "after");
  },
  async r097({ page, origin, equal, check }) {
    await page.goto(origin + "/app/demo/promotions");
    const told = await heads(page, "#promotions");
    equal(told.slice(5, 8), ["Rate", "Budget", "Cap"], "beside the rate");
    check(/of 105\.00/.test(await page.locator("#promotions tr", { hasText: "Lunch club" }).textContent()), "spent of budget");
  },
  async r098({ page, origin, equal }) {
    await page.goto(origin + "/app/demo/promotions?name=warmers");
    await page.locator("#promotions tbody td:nth-child(6) a").click();
    await page.locator("#tiers").waitFor();
    const sum = await page.$$eval("#tiers tbody tr", (rows) => rows.map((row) => [...row.querySelectorAll("data")].map((data) => Number(data.value))).reduce((a, b) => [a[0] + b[0], a[1] + b[1]]));
    const head = (await tile(page, "Redemption rate").locator(".change").textContent()).match(/[\d,]+/g).map((n) => Number(n.replaceAll(",", "")));
    equal(sum, [head[1], head[0]], "the parts add up to the headline");
  },
  async r108({ page, origin, equal }) {
    await page.goto(origin + "/app/demo/promotions?segment=new");
    equal(await page.locator("#promotions tbody tr td:first-child").allTextContents(), ["Welcome gift"], "one audience alone");
    await page.goto(origin + "/app/demo/promotions?kind=tiered&tier=gold");
    equal(await page.locator("#promotions tbody tr td:first-child").allTextContents(), ["Winter warmers"], "one tier alone");
  },
  async r109({ page, origin, equal }) {
    await page.goto(origin + "/app/demo/reconciliation");
    equal(await page.getByText("it adds up").count(), 5, "every record is somewhere");
    equal(await rows(page, "#redemptions"), 5, "matched, duplicates, quarantined, rejected, received");
  },
};

/** Tests all of them, or those that are named. */
export async function requirements(world, only = []) {
  const { context, page, seen } = await world.person();
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: world.origin });
  await world.signIn(page, "demo");
  for (const [number, test] of Object.entries(REQUIREMENTS)) {
    if (only.length && !only.includes(number)) continue;
    const say = (told) => `${number}: ${told}`;
    const on = {
      ...world, page,
      check: (holds, told) => world.check(holds, say(told)),
      equal: (got, expected, told) => world.equal(got, expected, say(told)),
    };
    try { await test(on); } catch (error) { error.message = `${number}: ${error.message}`; throw error; }
  }
  world.equal(seen.errors, [], "requirements");
  await context.close();
}
