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

  // Make `old` what `fresh` is, touching only what differs: a link under the pointer, an open detail, marked text and a
  // half-typed input stay what they are. Returns how many rows are new.
  const morph = (old, fresh) => {
    if (old.isEqualNode(fresh)) return 0;
    if (old.nodeType !== Node.ELEMENT_NODE) {
      old.data = fresh.data;
      return 0;
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value && name !== "open") old.setAttribute(name, value);
    }
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && name !== "open" && name !== "data-fresh") old.removeAttribute(name);
    }
    return morphChildren(old, fresh);
  };

  const morphChildren = (old, fresh) => {
    const named = new Map([...old.children].filter((node) => node.id).map((node) => [node.id, node]));
    let next = old.firstChild;
    let news = 0;
    for (const one of fresh.childNodes) {
      const alike = next && !next.id && !one.id && next.nodeName === one.nodeName;
      const same = one.id ? named.get(one.id) : alike ? next : null;
      if (same && same.nodeName === one.nodeName) {
        if (same === next) next = next.nextSibling;
        else old.insertBefore(same, next);
        news += morph(same, one);
      } else {
        const made = document.importNode(one, true);
        old.insertBefore(made, next);
        if (one.id && /^(TR|LI)$/.test(one.nodeName)) {
          made.dataset.fresh = "";
          news += 1;
        }
      }
    }
    while (next) {
      const gone = next;
      next = next.nextSibling;
      gone.remove();
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
        if (other) news += morph(part, other);
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
    source.addEventListener("missed", soon);
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
