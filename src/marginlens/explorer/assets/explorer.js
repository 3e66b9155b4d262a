"use strict";
{
  const root = document.documentElement;
  const isDark = () => root.dataset.mantineColorScheme === "dark";
  const AT_ONCE = { mode: "immediate", frame: { duration: 0, redraw: false }, transition: { duration: 0 } };
  let templates = null;

  // The page's light or dark is an attribute of its root: figures follow it.
  new MutationObserver(() => {
    if (!templates || !window.Plotly) return;
    for (const plot of document.querySelectorAll(".js-plotly-plot")) {
      window.Plotly.relayout(plot, { template: templates[isDark() ? "dark" : "light"] });
    }
  }).observe(root, { attributes: true, attributeFilter: ["data-mantine-color-scheme"] });

  // A page is drawn anew when its address changes: the field one was in keeps the keyboard.
  let last = null;
  document.addEventListener("focusin", (event) => { last = event.target.id || null; });
  const refocus = () => {
    const field = last && document.activeElement === document.body && document.getElementById(last);
    if (field) field.focus({ preventScroll: true });
  };

  // What is too large is not sent at all; the server would refuse it as well.
  let most = Infinity;
  const guard = (event) => {
    const files = (event.dataTransfer || event.target).files;
    const upload = event.target.closest && event.target.closest("[id$='-upload']");
    if (!upload || !files || !files.length || files[0].size <= most) return;
    event.stopPropagation();
    event.preventDefault();
    const say = upload.id.replace("-upload", upload.id.startsWith("predict") ? "-problem" : "-answer");
    const words = `${files[0].name} is larger than ${most / 1e6} MB, the limit for uploads; the command `
      + "line reads larger files: marginlens predict table.npy, marginlens measure network.pt";
    window.dash_clientside.set_props(say, { children: words });
    if (event.target.value) event.target.value = "";
  };
  document.addEventListener("change", guard, true);
  document.addEventListener("drop", guard, true);

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
  marginlens: {
    // A figure in the theme of the page: its content with the template of light or dark.
    draw(content, given) {
      const same = window.dash_clientside.no_update;
      templates = given;
      if (!content) return [same, same, same];
      const layout = { ...content.layout, template: templates[isDark() ? "dark" : "light"], dragmode: false };
      return [{ data: content.data, layout }, content.title || same, { height: layout.height }];
    },
    // Other heights for the traces that are there; what else is drawn stays.
    heights(content) {
      const same = window.dash_clientside.no_update;
      if (!content || !window.Plotly) return same;
      const place = document.getElementById(JSON.stringify({ name: content.name, part: "graph" }));
      const plot = place && place.querySelector(".js-plotly-plot");
      if (!plot || !plot.data || plot.data.length !== content.y.length) return same;
      if (Object.keys(content.layout).length) {
        window.Plotly.update(plot, { y: content.y }, content.layout);
      } else {  // without drawing the axes again
        const data = content.y.map((y) => ({ y }));
        window.Plotly.animate(plot, { data, traces: data.map((_, index) => index) }, AT_ONCE)
          .catch(() => {});  // a later one took over
      }
      return same;
    },
    // The play button of a run: one snapshot a tick, from the first where it stood at the last.
    play(clicks, ticks, still, value, most) {
      const same = window.dash_clientside.no_update;
      const pressed = window.dash_clientside.callback_context.triggered_id === "run-play";
      if (pressed) return still ? [false, "Pause", value >= most ? 0 : same] : [true, "Play", same];
      if (still) return [same, same, same];
      return value >= most ? [true, "Play", same] : [same, same, value + 1];
    },
    // The step and the neurons that are looked at go into the address, for links.
    remember(words, neurons) {
      const here = new URL(location.href);
      const step = /step (\d+)/.exec(words || "");
      if (step) here.searchParams.set("step", step[1]);
      if (neurons) here.searchParams.set("neurons", neurons);
      history.replaceState(history.state, "", here);
      return window.dash_clientside.no_update;
    },
    // The file to measure stays on the page; its upload is emptied, so that it can be chosen again.
    chosen(contents, name) {
      if (!contents) return window.dash_clientside.no_update;
      setTimeout(() => window.dash_clientside.set_props("measure-upload", { contents: null }), 0);
      return { contents, name, at: Date.now() };
    },
    arrived(_, largest) {
      most = largest;
      setTimeout(refocus, 0);
      return window.dash_clientside.no_update;
    },
    opened(opened, navbar) {
      return { ...navbar, collapsed: { mobile: !opened, desktop: false } };
    },
  },
});
}
