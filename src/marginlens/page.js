(() => {
  "use strict";
  const { figures, templates } = JSON.parse(document.getElementById("payload").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const theme = () => templates[dark.matches ? "dark" : "light"];
  const config = { displaylogo: false, responsive: true, scrollZoom: false,
    displayModeBar: matchMedia("(hover: hover)").matches ? "hover" : false,
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] };
  const plots = [...document.querySelectorAll("[data-figure]")];

  for (const plot of plots) {
    const { data, layout, frames } = figures[plot.dataset.figure];
    plot.ready = Plotly.newPlot(plot, { data, layout: { ...layout, template: theme(), dragmode: false }, config, frames });
  }

  const retheme = (template) => plots.forEach((plot) => plot.ready.then(() => Plotly.relayout(plot, { template })));
  dark.addEventListener("change", () => retheme(theme()));
  addEventListener("beforeprint", () => retheme(templates.light));
  addEventListener("afterprint", () => retheme(theme()));

  for (const player of document.querySelectorAll("[data-player]")) {
    const name = player.dataset.player;
    const plot = plots.find((candidate) => candidate.dataset.figure === name);
    const steps = figures[name].frames.map((frame) => frame.name);
    const [button, slider, output] = ["button", "input", "output"].map((tag) => player.querySelector(tag));
    let playing = false;
    const show = () => {
      const step = steps[slider.valueAsNumber];
      output.textContent = "step " + step;
      slider.setAttribute("aria-valuetext", "step " + step);
      return Plotly.animate(plot, [step], { mode: "immediate", frame: { duration: 0, redraw: true }, transition: { duration: 0 } })
        .catch(() => {});  // a newer step took over
    };
    const pause = (value) => new Promise((resolve) => setTimeout(resolve, value));
    const stop = () => { playing = false; button.textContent = "Play"; button.setAttribute("aria-label", "Play training"); };
    const play = async () => {
      playing = true;
      button.textContent = "Pause";
      button.setAttribute("aria-label", "Pause training");
      if (slider.valueAsNumber >= steps.length - 1) slider.value = 0;
      while (playing) {
        await Promise.all([Promise.race([show(), pause(400)]), pause(still.matches ? 600 : 120)]);
        if (!playing || slider.valueAsNumber >= steps.length - 1) break;
        slider.value = slider.valueAsNumber + 1;
      }
      stop();
    };
    if ("loop" in player.dataset && !still.matches) {
      const round = async () => { await play(); await pause(2000); if (again) round(); };
      let again = true;
      for (const control of [button, slider]) control.addEventListener("pointerdown", () => { again = false; });
      new IntersectionObserver(([entry]) => {
        again = entry.isIntersecting;
        if (again && !playing) plot.ready.then(round);
        if (!again) stop();
      }, { threshold: 0.4 }).observe(plot);
    }
    button.addEventListener("click", () => (playing ? stop() : plot.ready.then(play)));
    slider.addEventListener("input", () => { stop(); plot.ready.then(show); });
  }
})();
