// What the shop itself does. It waits for nobody: what is pushed to the list `mabel` is done once mabel.js is there, if it ever is.
const withMabel = (task) => (window.mabel ??= []).push(task);

// Known before anything is decided, as this script comes before mabel.js.
withMabel((mabel) => {
  mabel.context.device = matchMedia("(max-width: 600px)").matches ? "mobile" : "desktop";
});

document.addEventListener("DOMContentLoaded", () => {
  // The visitor's switch. A shop with a consent manager calls `consent` from there instead.
  withMabel((mabel) => {
    const consent = document.querySelector("#consent");
    consent.disabled = false;
    consent.checked = mabel.visitor !== undefined;
    consent.addEventListener("change", () => mabel.consent(consent.checked));
  });

  // The order's id goes with its reward, so that it counts once, however often it is said.
  const bought = (order) => withMabel((mabel) => mabel.convert("purchase", { id: order }));
  const form = document.querySelector("#buy");
  form?.addEventListener("submit", () => {
    form.elements.order.value = Date.now().toString(36);
    bought(form.elements.order.value);
  });
  const order = document.querySelector("#order");
  if (order) {
    order.textContent = new URLSearchParams(location.search).get("order") ?? "unknown";
    bought(order.textContent);
  }
});
