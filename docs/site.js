// What scrolls sideways can be reached by keyboard, no two parts of a page go by the same name, and no heading is empty:
// the theme makes tables and code scroll, and gives each block of code a region for its button, without a word for either.
(() => {
  let count = 0;
  const name = (part, what) => {
    if (!part.hasAttribute("aria-label")) {
      count += 1;
      part.setAttribute("aria-label", `${what} ${count}`);
    }
  };
  const tidy = () => {
    for (const part of document.querySelectorAll(".md-typeset__scrollwrap, .md-typeset pre > code")) {
      if (part.scrollWidth > part.clientWidth && part.tabIndex < 0) {
        part.tabIndex = 0;
      }
    }
    for (const part of document.querySelectorAll(".md-typeset__scrollwrap")) {
      part.setAttribute("role", "region");
      name(part, "Table");
    }
    for (const part of document.querySelectorAll("nav.md-code__nav")) {
      name(part, "Copy the code of block");
    }
  };
  for (const part of document.querySelectorAll(".md-typeset th:empty")) {
    part.replaceWith(document.createElement("td")); // a heading without a word: Markdown's tables cannot do without
  }
  new MutationObserver(tidy).observe(document.body, { childList: true, subtree: true });
  addEventListener("resize", tidy);
  tidy();
})();
