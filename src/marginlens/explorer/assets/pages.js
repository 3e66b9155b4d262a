"use strict";
{
  const same = () => window.dash_clientside.no_update;

  // What is shown is in the address, so that a link shows the same; the page is not drawn anew.
  const remember = (path, state) => {
    if ((location.pathname.replace(/\/$/, "") || "/") !== path) return;
    const words = new URLSearchParams(state).toString();
    history.replaceState(history.state, "", words ? `${path}?${words}` : path);
  };

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    pages: {
      compared(names) {
        remember("/compare", names && names.length ? { runs: names.join(",") } : {});
        return same();
      },
      toured(values, ids, step) {
        const state = { step };
        ids.forEach((id, place) => { state[id.tour] = values[place]; });
        remember("/", state);
        return same();
      },
    },
  });
}
