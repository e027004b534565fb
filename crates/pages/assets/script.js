// Makes pages smoother. Every page works without it: each link is a state, each form an action.
"use strict";
const $ = (query, of = document) => of.querySelector(query);
const all = (query, of = document) => [...of.querySelectorAll(query)];
const say = (text) => { $("#status").textContent = text; };

let again;
const ready = () => {
  clearTimeout(again);
  if ($("[data-moving]")) again = setTimeout(lookAgain, 2000);
  for (const button of all("[data-copy],[data-keys]")) button.hidden = false;
  // Where the time axis is wider than the screen, its end is what one came for: the order.
  for (const axis of all(".axis")) axis.parentElement.scrollLeft = axis.scrollWidth;
};

let asked = 0, typed;
// Takes another state of pages from the server, and puts its parts into this document, or one part into a page that stays.
const go = async (href, push = true, part = "") => {
  const mine = ++asked;
  // What was typed is asked for now, and not once more over what is typed into the next page.
  clearTimeout(typed);
  document.body.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(href, { headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (mine !== asked) return;
    const parts = part ? ["#" + part] : ["header.top", "main", "footer"];
    if (!parts.every((part) => $(part) && $(part, page))) { location.href = href; return; }
    const focus = document.activeElement?.dataset.search === undefined ? null : document.activeElement;
    for (const part of parts) $(part).replaceWith(document.adoptNode($(part, page)));
    document.title = page.title;
    if (part) history.replaceState(null, "", answer.url);
    else if (push) { history.pushState(null, "", answer.url); if (!focus) scrollTo(0, 0); }
    const again = answer.headers.get("Refresh");
    if (again) setTimeout(() => mine === asked && go(answer.url, false, part), 1000 * again);
    const field = focus && $("[data-search]");
    // What was typed while the answer was on its way stays.
    if (field) { field.value = focus.value; field.focus(); field.setSelectionRange(field.value.length, field.value.length); }
    ready();
  } catch { location.href = href; } finally { document.body.removeAttribute("aria-busy"); }
};

// What is under way is looked at again, but not while somebody fills a form in.
const lookAgain = () => {
  const fills = document.activeElement?.closest("form") || all("[type=file]").some((file) => file.files.length);
  if (fills) ready(); else go(location.href, false);
};

const address = (form) => {
  const pairs = [...new FormData(form)].filter(([, value]) => value !== "");
  const query = new URLSearchParams(pairs).toString();
  return form.getAttribute("action") + (query && "?" + query);
};

document.addEventListener("click", (event) => {
  const target = event.target.closest("a[href],button");
  if (!target || event.defaultPrevented) return;
  if (target.dataset.copy) { copy($("#" + target.dataset.copy)); return; }
  if (target.dataset.keys !== undefined) { say(KEYS); return; }
  const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (target.tagName !== "A" || !plain || target.hasAttribute("download") || target.hash) return;
  const url = new URL(target.href);
  if (url.origin !== location.origin || !url.pathname.startsWith("/app/") || url.pathname === "/app/sign-in") return;
  event.preventDefault();
  go(target.href);
});
document.addEventListener("submit", (event) => {
  const form = event.target;
  if ((event.submitter?.getAttribute("formmethod") ?? form.method) !== "get") return;
  event.preventDefault();
  const part = form.dataset.live;
  go(address(form), true, part).then(() => part && $("#" + part).scrollIntoView({ block: "nearest" }));
});
document.addEventListener("input", (event) => {
  const form = event.target.form;
  if (event.target.dataset.search === undefined && !form?.dataset.live) return;
  clearTimeout(typed);
  typed = setTimeout(() => go(address(form), true, form.dataset.live), 300);
});
addEventListener("popstate", () => go(location.href, false));

// The table as a spreadsheet takes it: what is seen, with exact values.
const copy = async (table) => {
  const put = async (text, told) => {
    try { await navigator.clipboard.writeText(text); say(told); } catch { say("The browser does not let this page copy"); }
  };
  if (!table.rows) return put(table.textContent, "Copied");
  const cell = (cell) => {
    const values = all("data", cell).map((data) => data.value + (data.querySelector("small") ? " " + data.querySelector("small").textContent : ""));
    const time = $("time", cell);
    const text = values.length ? values.join("; ") : time ? time.dateTime : ($("bdi", cell) || cell).textContent;
    const plain = text.replace(/\s+/g, " ").trim();
    return values.length || time ? plain : plain.replace(/^["\s\u00ad\u200b-\u200f\u2060-\u206f\ufeff]*[=+\-@＝＋－＠\u2212]/, "'$&");
  };
  const rows = [...table.rows].map((row) => [...row.cells].map(cell).join("\t"));
  put(rows.join("\n"), "Copied " + (rows.length - 1) + " rows");
};

const KEYS = "Keys: / find, j and k next and previous row, [ and ] pages, c copy, e export, ? this help";
const step = (by) => {
  const rows = all("[data-row]");
  const at = rows.indexOf(document.activeElement);
  rows[Math.min(rows.length - 1, Math.max(0, at + by))]?.focus();
};
const keys = {
  "/": () => $("[data-search]")?.focus(), j: () => step(1), k: () => step(-1),
  "[": () => $("[data-prev]")?.click(), "]": () => $("[data-next]")?.click(),
  c: () => $("[data-copy]")?.click(), e: () => $("[data-export]")?.click(), "?": () => say(KEYS),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input,select,textarea")) return;
  const act = keys[event.key];
  if (act) { event.preventDefault(); act(); }
});
ready();
