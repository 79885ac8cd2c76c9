// Regions marked data-live are fetched anew when the server tells of a change that concerns them.
const PAUSE_MS = 1000;
const RETRY_MS = 5000;
const PATIENCE_MS = 15000;
const SCROLLING = ".board, .cards, .scroll";
let source;
let pauseMs = PAUSE_MS;
let pending = false;
let wasAway = false;
let wasLost = false;
let loadedAt = 0;

// A browser opens few connections to one host for all its tabs together, so one that nobody sees keeps none.
export function followLive() {
  if (!document.querySelector(".side")) return;
  wasAway = document.hidden;
  if (!document.hidden) listen();
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) return listen();
    wasAway = true;
    source?.close();
  });
  setInterval(() => { if (document.querySelector("[data-live~=time]")) refreshSoon(); }, RETRY_MS);
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
}

// What is refused, as while the console starts behind a proxy, a browser does not try again by itself.
function listen() {
  source?.close();
  const mine = source = new EventSource("/events");
  mine.addEventListener("open", () => {
    say("Live", false);
    if (wasLost || wasAway) refreshSoon();
    wasLost = wasAway = false;
  });
  mine.addEventListener("error", () => {
    say("Reconnecting …", true);
    wasLost = true;
    if (mine.readyState === EventSource.CLOSED) setTimeout(() => { if (mine === source && !document.hidden) listen(); }, RETRY_MS);
  });
  for (const kind of ["contact", "run"]) {
    mine.addEventListener(kind, (event) => hear(kind, JSON.parse(event.data)));
  }
  mine.addEventListener("reset", refreshSoon);
}

// Seen always, spoken only when it changes while one is on the page.
function say(word, isLost) {
  const state = document.querySelector("[data-live-state]");
  state.hidden = false;
  state.classList.toggle("lost", isLost);
  state.querySelector("[data-live-word]").textContent = word;
  if (isLost !== wasLost) document.querySelector("[data-live-said]").textContent = isLost ? "Not live any more" : "Live again";
}

function hear(kind, change) {
  const regions = [...document.querySelectorAll(`[data-live~=${kind}]`)];
  const concerned = regions.some((region) => !region.dataset.liveId || region.dataset.liveId === change.id);
  if (concerned) refreshSoon();
}

function refreshSoon() {
  if (document.hidden || (pending && performance.now() - loadedAt < PATIENCE_MS)) return;
  pending = true;
  loadedAt = performance.now();
  setTimeout(refresh, pauseMs);
}

// The slower the server is, the less often it is asked: however many pages are open, it has time for what people do.
async function refresh() {
  pending = false;
  const began = performance.now();
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer) return; // the stream says when the server is back
  if (answer.redirected && new URL(answer.url).pathname === "/login") return location.reload();
  if (!answer.ok && answer.status !== 404) return setTimeout(refreshSoon, RETRY_MS);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  pauseMs = Math.max(PAUSE_MS, 4 * (performance.now() - began));
  for (const region of document.querySelectorAll("[data-live]")) {
    const newer = fresh.getElementById(region.id);
    if (newer && isInUse(region)) setTimeout(refreshSoon, RETRY_MS);
    else if (newer) replace(region, newer);
  }
}

// What somebody types in, has opened or drags stays as it is until they are done.
function isInUse(region) {
  const active = document.activeElement;
  const isTyping = region.contains(active) && active.matches("input:not([type=checkbox]), textarea, select");
  const isChanged = [...region.querySelectorAll("[data-edit]")].some((form) => form.dataset.changed);
  return isTyping || isChanged || region.querySelector(".moving") !== null;
}

function replace(region, newer) {
  const ticked = new Set([...region.querySelectorAll("input[name=id]:checked")].map((each) => each.value));
  const opened = [...region.querySelectorAll("details")].map((each) => each.open);
  const at = region.querySelector("tr.at")?.dataset.contact;
  const focused = region.contains(document.activeElement) ? selectorOf(document.activeElement, region) : null;
  const scrolled = [...region.querySelectorAll(SCROLLING)].map((each) => [each.scrollLeft, each.scrollTop]);
  region.replaceChildren(...newer.childNodes);
  for (const each of region.querySelectorAll("input[name=id]")) each.checked = ticked.has(each.value);
  region.querySelectorAll("details").forEach((each, i) => { each.open = opened[i] ?? each.open; });
  region.querySelectorAll(SCROLLING).forEach((each, i) => { [each.scrollLeft, each.scrollTop] = scrolled[i] ?? [0, 0]; });
  if (at) region.querySelector(`tr[data-contact="${CSS.escape(at)}"]`)?.classList.add("at");
  if (focused) region.querySelectorAll(focused.like)[focused.place]?.focus({ preventScroll: true });
  region.dispatchEvent(new CustomEvent("renewed", { bubbles: true }));
}

// By what says which it is; a button is known by where its form goes, anything else by its place among its kind.
function selectorOf(element, region) {
  const card = element.closest("[data-contact]");
  const within = card ? `[data-contact="${CSS.escape(card.dataset.contact)}"] ` : "";
  const link = element.getAttribute("href");
  const action = element.matches("button") && element.form?.getAttribute("action");
  const every = (selector) => [...region.querySelectorAll(selector)];
  const like = element.id ? `#${CSS.escape(element.id)}`
    : link ? `${within}a[href="${CSS.escape(link)}"]`
    : action ? `form[action="${CSS.escape(action)}"] button`
    : element.name ? `${within}${element.localName}[name="${CSS.escape(element.name)}"]`
    : element.localName;
  return { like, place: every(like).indexOf(element) };
}
