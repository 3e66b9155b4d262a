"use strict";
// A training while it runs: frames are fetched one after the other, as fast as they are drawn.
window.dash_clientside = Object.assign({}, window.dash_clientside, {
  watching: (() => {
    const AT_ONCE = { mode: "immediate", frame: { duration: 0, redraw: false }, transition: { duration: 0 } };
    const FRAME = 180, CURVES = 1200;  // milliseconds between two pictures of neurons, and of curves
    const same = () => window.dash_clientside.no_update;
    const byName = (name) => {
      const place = document.getElementById(JSON.stringify({ name, part: "graph" }));
      const plot = place && place.querySelector(".js-plotly-plot");
      return plot && plot.data && plot.data.length ? plot : null;
    };
    const put = (id, text) => {
      const place = document.getElementById(id);
      if (place && place.textContent !== text) place.textContent = text;
    };
    let current = null;  // the loop that is on; another one ends it

    const curves = (frame) => {
      const { step, loss, cross_entropy: entropy, normalized_margin: margin } = frame.curves;
      if (!step) return;
      const first = byName("growing-margin");
      if (first) window.Plotly.restyle(first, { x: [step], y: [margin] }, [0]);
      const second = byName("growing-loss");
      if (second) window.Plotly.restyle(second, { x: [step, step], y: [loss, entropy] }, [0, 1]);
    };
    const shares = (frame) => {
      const plot = byName("moving-shares");
      if (plot && frame.shares.length) {
        window.Plotly.restyle(plot, { y: [frame.shares] }, [0]);
      }
    };
    // Neurons: heights alone, unless a label, a colour or an axis has changed as well.
    const neurons = (frame, loop) => {
      const now = frame.moment;
      if (!now) return;
      const plot = byName("live-moment");
      if (!plot || plot.data.length !== now.y.length) {
        if (performance.now() - loop.asked > 1500) {
          loop.asked = performance.now();
          loop.around = null;
          window.dash_clientside.set_props("watch-drawn", { data: { id: loop.id, at: loop.asked } });
        }
        return;
      }
      const around = JSON.stringify([now.reach, now.labels, now.colors]);
      if (around === loop.around) {
        const data = now.y.map((y) => ({ y }));
        window.Plotly.animate(plot, { data, traces: data.map((_, index) => index) }, AT_ONCE).catch(() => {});
        return;
      }
      loop.around = around;
      const each = now.y.length / now.labels.length;  // traces of a neuron; its last one are bars
      const dots = [], lines = [];
      now.y.forEach((_, index) => {
        const color = now.colors[Math.floor(index / each)];
        const bars = index % each === each - 1 || plot.data[index].type === "bar";
        dots.push(bars ? plot.data[index].marker.color : color);
        lines.push(bars ? undefined : color);
      });
      const layout = {};
      now.reach.forEach((reach, row) => {
        const axis = row ? `yaxis${2 * row + 1}` : "yaxis";
        const power = 10 ** Math.floor(Math.log10(0.9 * reach));
        const tick = Math.max(...[1, 2, 5].map((m) => m * power).filter((v) => v <= 0.9 * reach));
        layout[`${axis}.range`] = [-reach, reach];
        layout[`${axis}.tickvals`] = [-tick, 0, tick];
      });
      let row = 0;
      (plot.layout.annotations || []).forEach((note, index) => {
        if ((note.text || "").startsWith("<b>neuron") && row < now.labels.length) {
          layout[`annotations[${index}].text`] = now.labels[row++];
        }
      });
      window.Plotly.update(plot, { y: now.y, "marker.color": dots, "line.color": lines }, layout);
    };
    const show = (frame, loop) => {
      put("watch-status", frame.status);
      const chip = document.getElementById("watch-status");
      if (chip) chip.className = `chip ${{ finished: "good", failed: "bad" }[frame.status] || "neutral"}`;
      put("watch-words", frame.words);
      const bar = document.getElementById("watch-progress");
      if (bar) bar.style.width = `${(100 * frame.progress).toFixed(2)}%`;
      const pause = document.querySelector("#watch-pause .mantine-Button-label");
      const word = frame.paused ? "Resume" : "Pause";
      if (pause && pause.textContent !== word) pause.textContent = word;
      if (loop.strength !== null && loop.strength !== frame.strength) {  // the predictions are others now
        window.dash_clientside.set_props("watch-strength-now", { data: { id: loop.id, value: frame.strength } });
      }
      loop.strength = frame.strength;
      if (!window.Plotly) return;
      neurons(frame, loop);
      const now = performance.now();
      if (frame.ended || now - loop.curved > CURVES) {  // dearer to draw, and slower to change
        loop.curved = now;
        curves(frame);
        shares(frame);
      }
    };
    const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
    const run = async (loop) => {
      let version = -1, ended = false, failures = 0;
      while (current === loop && document.getElementById("watch-live")) {
        const began = performance.now();
        try {
          const answer = await fetch(`/live/${encodeURIComponent(loop.id)}?version=${version}`);
          const frame = await answer.json();
          failures = 0;
          if (frame.gone) { put("watch-status", "gone"); put("watch-words", frame.gone); return; }
          if (frame.status) {
            show(frame, loop);
            loop.frames += 1;
            ended = frame.ended;
            // what is drawn only once its figure is there has to be asked for again
            version = frame.moment && !byName("live-moment") || !byName("growing-margin") ? -1 : frame.version;
          }
        } catch (problem) {
          failures += 1;
          if (failures > 2) put("watch-words", "the explorer does not answer; is it running?");
        }
        const least = ended ? 1000 : document.hidden ? 2000 : failures ? 1000 : FRAME;
        await pause(Math.max(0, least - (performance.now() - began)));
      }
    };
    window.addEventListener("pagehide", () => {
      let owner = null;
      try { owner = JSON.parse(sessionStorage.getItem("owner")); } catch { }
      if (owner) navigator.sendBeacon("/leave", owner);
    });
    const beat = () => {
      let owner = null;
      try { owner = JSON.parse(sessionStorage.getItem("owner")); } catch { }
      if (owner) fetch("/here", { method: "POST", body: owner }).catch(() => {});
    };
    setInterval(beat, 20000);
    window.addEventListener("pageshow", beat);
    return {
      // Who a tab is: kept over reloads, gone with the tab.
      owner(_, known) {
        if (known) return same();
        const bytes = crypto.getRandomValues(new Uint8Array(12));
        return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
      },
      start(id) {
        if (!id) { current = null; return same(); }
        current = { id, asked: -1e9, curved: -1e9, around: null, frames: 0, strength: null };
        window.marginlensLoop = current;
        run(current);
        return same();
      },
    };
  })(),
});
