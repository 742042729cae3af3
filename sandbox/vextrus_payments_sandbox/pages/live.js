// Keeps a page of the dashboard current, and copies examples. Without it every page works, by reload.
//
// The sandbox tells by server-sent events that something happened; then this page is asked for once more, and each part
// marked data-live takes the place of its old self. Nothing is made up here: what is shown is what the server rendered.
(() => {
  "use strict";

  const SETTLE_MS = 150; // a payment causes several events in a row
  const BETWEEN_MS = 1000;
  const AGES_MS = 20000; // ages grow without events
  const AGAIN_MS = 5000;

  const page = document.body.dataset;
  const pulse = document.getElementById("pulse");
  const pause = document.getElementById("pause");
  let source = null;
  let paused = false;
  let busy = false;
  let wanted = false;
  let timer = 0;
  let retry = 0;

  document.documentElement.classList.add("live");

  // ------------------------------------------------------------------------------------------------ copying

  const select = (node) => {
    const range = document.createRange();
    range.selectNodeContents(node);
    const chosen = window.getSelection();
    chosen.removeAllRanges();
    chosen.addRange(range);
  };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    const code = document.getElementById(button.dataset.copy);
    let said = "Copied";
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      select(code);
      said = "Selected: press Ctrl+C";
    }
    button.textContent = said;
    if (pulse) say(said);
    window.setTimeout(() => {
      button.textContent = "Copy";
      if (pulse) say(paused ? "Paused" : "Live");
    }, 2000);
  });

  if (!page.events) return;

  // ----------------------------------------------------------------------------------------------- the page

  function say(text) {
    if (pulse.textContent !== text) pulse.textContent = text;
  }

  // What somebody reads, marks or types just now stays as it is until the next time.
  const inUse = (part) => {
    const marked = window.getSelection();
    if (marked && !marked.isCollapsed && part.contains(marked.anchorNode)) return true;
    const focused = document.activeElement;
    return part.contains(focused) && /^(INPUT|SELECT|TEXTAREA)$/.test(focused.tagName);
  };

  const handle = (node) => node.id || node.getAttribute("href") || node.getAttribute("value") || "";

  const replace = (part, fresh) => {
    const known = new Set([...part.querySelectorAll("[id]")].map((node) => node.id));
    const open = new Map([...part.querySelectorAll("details[id]")].map((node) => [node.id, node.open]));
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    const held = focused && (focused.closest("details[id]")?.id || "");
    part.replaceChildren(...document.importNode(fresh, true).childNodes);
    for (const node of part.querySelectorAll("details[id]")) {
      if (open.has(node.id)) node.open = open.get(node.id);
    }
    let news = 0;
    for (const node of part.querySelectorAll("tr[id], li[id]")) {
      if (!known.has(node.id)) {
        node.classList.add("fresh");
        news += 1;
      }
    }
    if (focused) {
      const alike = [...part.querySelectorAll(focused.tagName)].find(
        (node) => handle(node) === handle(focused) && (node.closest("details[id]")?.id || "") === held,
      );
      if (alike) alike.focus({ preventScroll: true });
    }
    return news;
  };

  const refresh = async () => {
    if (busy || paused || document.hidden) {
      wanted = true;
      return;
    }
    busy = true;
    wanted = false;
    try {
      const answer = await fetch(window.location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      let news = 0;
      for (const part of document.querySelectorAll("[data-live]")) {
        const other = fresh.getElementById(part.id);
        if (!other || other.innerHTML === part.dataset.was) continue;
        if (inUse(part)) {
          wanted = true;
          continue;
        }
        const first = part.dataset.was === undefined && part.innerHTML === other.innerHTML;
        if (!first) news += replace(part, other);
        part.dataset.was = other.innerHTML;
      }
      if (!paused) say(news ? `Live: ${news} new` : "Live");
    } catch {
      say("The sandbox does not answer. Trying again.");
      wanted = true;
    }
    window.setTimeout(() => {
      busy = false;
      if (wanted) refresh();
    }, BETWEEN_MS);
  };

  const soon = () => {
    window.clearTimeout(timer);
    timer = window.setTimeout(refresh, SETTLE_MS);
  };

  // ---------------------------------------------------------------------------------------------- the events

  const heard = (event) => {
    if (page.reference) {
      let about = {};
      try {
        about = JSON.parse(event.data);
      } catch {
        about = {};
      }
      if (about.reference && (about.reference !== page.reference || about.gateway !== page.gateway)) return;
    }
    soon();
  };

  const listen = () => {
    window.clearTimeout(retry);
    if (source || paused || document.hidden) return;
    source = new EventSource(page.events);
    source.onopen = () => {
      say("Live");
      soon(); // what happened since this page was made
    };
    source.onmessage = heard;
    source.addEventListener("entry", heard);
    source.onerror = () => {
      say("The sandbox does not answer. Trying again.");
      if (source && source.readyState === EventSource.CLOSED) {
        hush();
        retry = window.setTimeout(listen, AGAIN_MS);
      }
    };
  };

  const hush = () => {
    window.clearTimeout(retry);
    if (source) source.close();
    source = null;
  };

  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Go on" : "Pause";
    if (paused) {
      hush();
      say("Paused");
    } else {
      listen();
    }
  });

  // A browser holds few connections to one server: a page that nobody sees gives its own back.
  document.addEventListener("visibilitychange", () => (document.hidden ? hush() : listen()));
  window.addEventListener("pagehide", hush);
  window.addEventListener("pageshow", listen);
  window.setInterval(soon, AGES_MS);
  listen();
})();
