// The forms of the pages, as people use them: by mouse and by keyboard, with and without script.
/** Opens a form by its heading, where it is not open. */
const open = async (page, heading) => {
  const form = page.locator("details.form", { has: page.locator("summary", { hasText: heading }) });
  if ((await form.getAttribute("open")) === null) await form.locator("summary").click();
  return form;
};

/** Each form, open: it must be as good as the pages are. */
export async function formsAreAccessible({ person, signIn, accessible, origin, first }) {
  for (const colorScheme of ["light", "dark"]) {
    const { context, page } = await person({ colorScheme });
    await signIn(page, "demo");
    for (const path of [
      "/app/demo/promotions", "/app/demo/promotion?id=winter-warmers", "/app/demo/promotion?id=welcome-gift&tab=vouchers",
      "/app/demo/campaign?rivals=true&id=" + encodeURIComponent(first), "/app/demo/customer?id=customer-0001", "/app/demo/batches", "/app/demo/runs", "/app/demo/segments", "/app/demo/senders?sender=my-tool",
    ]) {
      await page.goto(origin + path);
      await page.$$eval("details.form", (all) => all.forEach((one) => { one.open = true; }));
      for (const width of [375, 1440]) {
        await page.setViewportSize({ width, height: 900 });
        await accessible(page, `the forms of ${path}, ${width} px, ${colorScheme}`);
      }
    }
    await context.close();
  }
}

/** Make a promotion → land on its page → add a budget → redeem by API → the rate moves from its dash. */
export async function promotionByMouse({ person, signIn, origin, api, M, keys, equal, check }, javaScriptEnabled) {
  const { context, page, seen } = await person({ javaScriptEnabled });
  const id = javaScriptEnabled ? "by/mouse <b>" : "without script";
  await signIn(page, keys.marketer);
  await page.goto(origin + "/app/demo/promotions");
  let form = await open(page, "Make a promotion");
  await form.getByLabel("Id", { exact: true }).fill(id);
  await form.getByLabel("Cap").fill("some");
  await form.getByRole("button", { name: "Make it" }).click();
  // What is wrong stands at its field, and what was typed stays.
  await page.locator("#make-cap-wrong").waitFor();
  seen.errors = seen.errors.filter((text) => !text.includes("status of 422"));
  form = await open(page, "Make a promotion");
  equal(await form.getByLabel("Id", { exact: true }).inputValue(), id, "what was typed stays");
  await form.getByLabel("Cap").fill("");
  await form.getByLabel("Name", { exact: true }).fill("Made by hand");
  await form.getByLabel("Kind").selectOption("tiered");
  await form.getByLabel("Tiers").fill("gold | Gold | 6.00\nsilver | Silver | 3.00");
  await form.getByRole("button", { name: "Make it" }).click();
  await page.getByRole("heading", { level: 1, name: "Made by hand" }).waitFor();
  const tile = (name) => page.locator(".tile", { has: page.getByRole("heading", { name, exact: true }) });
  equal(await tile("Redemption rate").locator(".big").textContent(), "–", "R95: a dash before anything was redeemed");
  form = await open(page, "Add a limit");
  await form.getByLabel("Budget").fill("50");
  await form.getByLabel("Its currency").fill("EUR");
  await form.getByRole("button", { name: "Save" }).click();
  await tile("Budget").getByText("of 50.00 EUR").waitFor();
  for (const [what, record] of [
    ["assignments", { assignment_id: id, promotion_id: id, customer_id: "c", tier_id: "gold" }],
    ["redemptions", { redemption_id: id, promotion_id: id, customer_id: "c", reward_amount: "6.00", currency: "EUR" }],
  ]) {
    const told = await api(`${M}/${what}`, "demo", { method: "POST", body: JSON.stringify(record) });
    equal(told.accepted, 1, JSON.stringify(told));
  }
  await page.reload();
  equal(await tile("Redemption rate").locator(".big").textContent(), "100.0%", "R96: then a number");
  check((await tile("Budget").textContent()).includes("6.00 EUR of 50.00 EUR"), "the budget is spent");
  await page.getByRole("link", { name: "100.0%" }).click();
  check(await page.getByRole("heading", { name: "The rate by tier" }).isVisible(), "R98: the rate leads to its parts");
  await page.getByRole("link", { name: /^Vouchers/ }).click();
  form = await open(page, "Import vouchers");
  await form.getByLabel("Codes").fill("ONE\nTWO <b>");
  await form.getByRole("button", { name: "Import" }).click();
  await page.getByRole("link", { name: "TWO <b>" }).click();
  form = await open(page, "Change TWO <b>");
  await form.getByLabel("Disabled").check();
  await form.getByRole("button", { name: "Save" }).click();
  await page.locator("#entries tbody tr", { hasText: "TWO <b>" }).getByText("yes").waitFor();
  equal(seen.errors, [], "a promotion by mouse");
  await context.close();
}

/** The same by keyboard alone, as far as its budget. */
export async function promotionByKeyboard({ person, signIn, origin, keys, equal }, javaScriptEnabled) {
  const { context, page, seen } = await person({ javaScriptEnabled });
  const id = javaScriptEnabled ? "by-keys" : "by-keys-alone";
  const tabTo = async (wanted) => {
    for (let i = 0; i < 120; i += 1) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate(() => {
        const at = document.activeElement;
        return at.labels?.[0]?.textContent.trim() ?? at.textContent.trim();
      });
      if (at === wanted) return;
    }
    throw new Error(`${wanted} is not reached by Tab`);
  };
  await signIn(page, keys.marketer);
  await page.goto(origin + "/app/demo/promotions");
  await tabTo("Make a promotion");
  await page.keyboard.press("Enter");
  await tabTo("Id");
  await page.keyboard.type(id);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: id }).waitFor();
  await tabTo("Add a limit");
  await page.keyboard.press("Enter");
  await tabTo("Cap");
  await page.keyboard.type("7");
  await page.keyboard.press("Enter");
  await page.getByText("0 of 7").waitFor();
  equal(seen.errors, [], "a promotion by keyboard");
  await context.close();
}

/** Upload a file → see its rejects. */
export async function upload({ person, signIn, origin, keys, equal, check }, javaScriptEnabled) {
  const { context, page, seen } = await person({ javaScriptEnabled });
  const name = javaScriptEnabled ? "by hand & <b>.csv" : "without script.csv";
  const buffer = Buffer.from("redemption_id,promotion_id,customer_id\nu-1,winter-warmers,customer-0001\nu-2,winter-warmers,\nu-3,,customer-0001\n");
  await signIn(page, keys.partner);
  await page.goto(origin + "/app/demo/batches");
  const choose = (name) => page.getByLabel("File").setInputFiles({ name, mimeType: "text/csv", buffer });
  await choose("week.xlsx");
  await page.getByRole("button", { name: "Upload" }).click();
  await page.locator("#upload-file-wrong").getByText("ends in none of").waitFor();
  seen.errors = seen.errors.filter((text) => !text.includes("status of 422"));
  await choose(name);
  await page.getByRole("button", { name: "Upload" }).click();
  // The page looks again by itself until the file is taken in.
  const row = page.locator("#batches tbody tr", { hasText: name });
  await row.getByText("done").waitFor();
  await row.getByRole("link").click();
  await page.getByRole("heading", { name: "The first rows that were rejected" }).waitFor();
  equal(await page.locator("#rejects tbody tr").count(), 2, "its rejects");
  check((await page.locator("#rejects").textContent()).includes("customer_id"), "what is wrong with them");
  equal(seen.errors, [], "an upload");
  await context.close();
}

/** What a campaign's form would do, before it does it; and its buyers as a segment. */
export async function campaignForms({ person, signIn, origin, first, keys, equal, check, api, M }, javaScriptEnabled) {
  const { context, page, seen } = await person({ javaScriptEnabled });
  const name = javaScriptEnabled ? "the buyers" : "the same buyers";
  await signIn(page, keys.marketer);
  const id = encodeURIComponent(first);
  await page.goto(`${origin}/app/demo/campaign?id=${id}`);
  let form = await open(page, "Edit name, tags and send time");
  await form.getByLabel("Tags").fill("technical");
  await form.getByRole("button", { name: "What would it change?" }).click();
  await page.getByText(/decides up to [\d,]+ orders anew/).waitFor();
  equal((await api(`${M}/campaigns/${id}`)).tags.includes("technical"), false, "it only asked");
  form = await open(page, "Edit name, tags and send time");
  await form.getByLabel("Tags").fill("seen by hand");
  await form.getByRole("button", { name: "Save" }).click();
  await page.getByRole("link", { name: "seen by hand" }).waitFor();
  form = await open(page, "Save the buyers");
  await form.getByLabel("Name of the segment").fill(name);
  await form.getByRole("button", { name: "Save the segment" }).click();
  const saved = page.getByRole("status").filter({ hasText: name });
  await saved.waitFor();
  await saved.getByRole("link").click();
  await page.getByRole("heading", { level: 1, name }).waitFor();
  const [file] = await Promise.all([page.waitForEvent("download"), page.locator("[data-export]").click()]);
  check(file.suggestedFilename().endsWith(".csv"), "the ids of the segment");
  form = await open(page, "Delete this segment");
  await form.getByLabel("Yes, this segment").check();
  await form.getByRole("button", { name: "Delete it for good" }).click();
  await page.getByRole("heading", { level: 1, name: "Segments" }).waitFor();
  await page.locator("#segments tr", { hasText: name }).waitFor({ state: "detached" });
  equal(seen.errors, [], "the forms of a campaign");
  await context.close();
}

/** An address with a key of its own; a mapping that is tried on a pasted post, saved, and then understood. */
export async function senderByHand({ person, signIn, origin, api, M, equal, check }, javaScriptEnabled) {
  const { context, page, seen } = await person({ javaScriptEnabled });
  const name = javaScriptEnabled ? "my-tool" : "my-other-tool";
  await signIn(page, "demo");
  await page.goto(origin + "/app/demo/senders");
  await page.getByLabel("A sender of your own").fill(name);
  await page.getByRole("button", { name: "Show" }).last().click();
  await page.getByRole("heading", { level: 1, name }).waitFor();
  const form = page.locator("details.form");
  const post = { events: [{ id: name, type: "click", timestamp: "2026-11-22T11:00:00Z", campaign: "by <b>", recipient: "ann@example.com" }, { type: "stop" }] };
  await form.getByLabel("A post of the sender").fill(JSON.stringify(post));
  await form.getByRole("button", { name: "Try it" }).click();
  await page.locator("#tried tbody tr").first().waitFor();
  const told = await page.locator("#tried").textContent();
  for (const part of ["by <b>", "clicked", "ignored"]) check(told.includes(part), `${part} in ${told}`);
  await form.getByRole("button", { name: "Save the mapping" }).click();
  await page.getByText("The mapping is saved").waitFor();
  await page.getByRole("button", { name: "Make the address" }).click();
  const address = await page.locator("#address").textContent();
  const answer = await fetch(address, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(post) });
  equal((await answer.json()).accepted, 1, "the address takes the post");
  await page.goto(`${origin}/app/demo/senders?sender=${name}`);
  await page.getByText("1 accepted, 1 × “stop” ignored").waitFor();
  equal((await api(M + "/senders")).senders.filter((one) => one.sender === name).length, 1, "the API tells it too");
  equal(seen.errors, [], "a sender");
  await context.close();
}

/** Whoever erases a customer types the id. */
export async function erase({ person, signIn, origin, equal }, javaScriptEnabled) {
  const { context, page, seen } = await person({ javaScriptEnabled });
  const id = javaScriptEnabled ? "customer-0099" : "customer-0097";
  await signIn(page, "demo");
  await page.goto(origin + "/app/demo/customer?id=" + id);
  let form = await open(page, "Erase this customer");
  await form.getByLabel("Type the id").fill("customer-0098");
  await form.getByRole("button", { name: "Erase for good" }).click();
  await page.locator("#erase-typed-wrong").waitFor();
  seen.errors = seen.errors.filter((text) => !text.includes("status of 422"));
  form = await open(page, "Erase this customer");
  await form.getByLabel("Type the id").fill(id);
  await form.getByRole("button", { name: "Erase for good" }).click();
  await page.getByRole("heading", { level: 1, name: "Erasure of a customer" }).waitFor();
  await page.locator("#erasure").getByText("done").waitFor();
  equal(seen.errors, [], "an erasure");
  await context.close();
}

/** What people call things: shown as it is, never run, and the page stays as wide as its window. */
const NAMES = ["<script>alert(1)</script>", "\"'><b>", "🙂{{7*7}}", "א".repeat(64), "\u202eabc", "x".repeat(128), "a/b?c#d%&=+"];

export async function names({ person, signIn, origin, api, M, equal, check }) {
  const send = (path, method, body) => api(M + path, "demo", { method, body: JSON.stringify(body) });
  const path = (name) => "~" + Buffer.from(name).toString("base64url");
  for (const [n, name] of NAMES.entries()) {
    const at = "2026-11-22T11:00:00Z";
    await send("/events", "POST", { event_id: `n-${n}`, kind: "clicked", channel: "email", campaign_id: name, customer_id: name, message_id: name, occurred_at: at });
    await send("/orders", "POST", { order_id: name, customer_id: name, status: "COMPLETE", total: "1.00", currency: "EUR", placed_at: "2026-11-22T11:30:00Z", coupon_codes: [name] });
    await send(`/promotions/${path(name)}`, "PUT", { name, description: name, metadata: { [name]: name }, validation_rules: [{ id: name, text: name }] });
    await send(`/promotions/${path(name)}/vouchers`, "POST", { codes: [name] });
    await send("/redemptions", "POST", { redemption_id: name, promotion_id: name, customer_id: name, voucher_code: name });
  }
  const { run_id } = await send("/runs", "POST", {});
  while ((await api(`${M}/runs/${run_id}`)).state === "running");
  const { context, page, seen } = await person({ viewport: { width: 375, height: 800 } });
  page.on("dialog", (dialog) => { seen.errors.push("a dialog: " + dialog.message()); dialog.dismiss(); });
  await signIn(page, "demo");
  for (const name of NAMES) {
    const id = encodeURIComponent(name);
    for (const at of [
      `?name=${id}`, `?tag=${id}`, `/campaign?id=${id}`, `/order?id=${id}`, `/customer?id=${id}`, `/orders?customer_id=${id}`, `/promotions?name=${id}`,
      ...["dashboard", "vouchers", "validation-rules", "redemptions", "metadata"].map((tab) => `/promotion?id=${id}&tab=${tab}`),
      `/promotion?id=${id}&tab=vouchers&voucher_code=${id}`,
    ]) {
      const answer = await page.goto(`${origin}/app/demo${at}`);
      equal(answer.status(), 200, at);
      const text = await page.locator("main").textContent();
      check(at.startsWith("?tag") || text.includes(name), `${at} shows it as it is`);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      check(wide <= 0, `${at}: the page is ${wide} px wider than the window`);
    }
  }
  equal(seen.errors, [], "what people call things");
  await context.close();
}
