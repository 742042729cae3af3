"""A stand-in for SSLCommerz's popup script: it leads the browser to the page instead of laying it over the shop."""

from typing import Final

EMBED: Final = """\
// The sandbox's stand-in for embed.min.js: asks the shop's own endpoint for the page, and goes there.
(function () {
  "use strict";
  document.addEventListener("click", function (event) {
    var button = event.target.closest("#sslczPayBtn");
    if (!button) return;
    event.preventDefault();
    var form = new URLSearchParams();
    form.set("order", button.getAttribute("order") || "");
    var extra = button.postdata || button.getAttribute("postdata");
    if (extra) form.set("cart_json", typeof extra === "string" ? extra : JSON.stringify(extra));
    fetch(button.getAttribute("endpoint"), { method: "POST", body: form, credentials: "same-origin" })
      .then(function (answer) { return answer.json(); })
      .then(function (told) {
        if (told.status === "success" && /^https?:/.test(told.data)) location.assign(told.data);
        else alert(told.message || "The session could not be opened.");
      })
      .catch(function () { alert("The shop did not answer."); });
  });
})();
"""
"""A button ``#sslczPayBtn`` has ``endpoint`` and ``order``; the endpoint answers
``{"status": "success", "data": page}``."""
