// Regions marked data-live are fetched again when the server reports a change that concerns them.
const PAUSE_MS = 1000;
const RETRY_MS = 5000;
const REFRESH_TIMEOUT_MS = 15000;
const SCROLLING = ".board, .cards, .scroll";
let source;
let pauseMs = PAUSE_MS;
let pending = false;
let wasHidden = false;
let wasLost = false;
let loadedAt = 0;

// A browser allows few connections to one host over all its tabs, so a hidden tab closes its own.
export function followLive() {
  if (!document.querySelector(".side")) return;
  wasHidden = document.hidden;
  if (!document.hidden) listen();
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) return listen();
    wasHidden = true;
    source?.close();
  });
  setInterval(() => { if (document.querySelector("[data-live~=time]")) refreshSoon(); }, RETRY_MS);
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
}

// A browser does not retry a refused stream, as while the console starts behind a proxy, so this does.
function listen() {
  source?.close();
  const mine = source = new EventSource("/events");
  mine.addEventListener("open", () => {
    say("Live", false);
    if (wasLost || wasHidden) refreshSoon();
    wasLost = wasHidden = false;
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

// The state is always visible; a screen reader announces only its changes.
function say(word, isLost) {
  const state = document.querySelector("[data-live-state]");
  state.hidden = false;
  state.classList.toggle("lost", isLost);
  state.querySelector("[data-live-word]").textContent = word;
  if (isLost !== wasLost) document.querySelector("[data-live-message]").textContent = isLost ? "Live updates are paused" : "Live updates are back";
}

function hear(kind, change) {
  const regions = [...document.querySelectorAll(`[data-live~=${kind}]`)];
  const concerned = regions.some((region) => !region.dataset.liveId || region.dataset.liveId === change.id);
  if (concerned) refreshSoon();
}

function refreshSoon() {
  if (document.hidden || (pending && performance.now() - loadedAt < REFRESH_TIMEOUT_MS)) return;
  pending = true;
  loadedAt = performance.now();
  setTimeout(refresh, pauseMs);
}

// The pause grows with the response time, so that many open pages do not overload the server.
async function refresh() {
  pending = false;
  const began = performance.now();
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer) return; // the stream's open event refreshes once the server is back
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

// A region is not replaced while somebody types in it, has changed a form in it or drags a card.
function isInUse(region) {
  const active = document.activeElement;
  const isTyping = region.contains(active) && active.matches("input:not([type=checkbox]), textarea, select");
  const isChanged = [...region.querySelectorAll("[data-edit]")].some((form) => form.dataset.changed);
  return isTyping || isChanged || region.querySelector(".moving") !== null;
}

function replace(region, newer) {
  const selected = new Set([...region.querySelectorAll("input[name=id]:checked")].map((each) => each.value));
  const opened = [...region.querySelectorAll("details")].map((each) => each.open);
  const at = region.querySelector("tr.at")?.dataset.contact;
  const focused = region.contains(document.activeElement) ? selectorOf(document.activeElement, region) : null;
  const scrolled = [...region.querySelectorAll(SCROLLING)].map((each) => [each.scrollLeft, each.scrollTop]);
  region.replaceChildren(...newer.childNodes);
  for (const each of region.querySelectorAll("input[name=id]")) each.checked = selected.has(each.value);
  region.querySelectorAll("details").forEach((each, i) => { each.open = opened[i] ?? each.open; });
  region.querySelectorAll(SCROLLING).forEach((each, i) => { [each.scrollLeft, each.scrollTop] = scrolled[i] ?? [0, 0]; });
  if (at) region.querySelector(`tr[data-contact="${CSS.escape(at)}"]`)?.classList.add("at");
  if (focused) region.querySelectorAll(focused.like)[focused.place]?.focus({ preventScroll: true });
  region.dispatchEvent(new CustomEvent("renewed", { bubbles: true }));
}

// A selector that finds the same element in the new content: by id, link or form action, else by its index among its kind.
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
