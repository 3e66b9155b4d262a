"use strict";
{
  const all = { rows: [], filters: {}, sort: "order" };
  const made = new Map();  // a group's row in the page, made once
  const AT_ONCE = 40;
  let turns = 0;
  const rise = (a, b) => (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b);

  // Rows that are asked for, in the order asked for.
  const select = (rows, { search, irreps, theorem9, kind, from, to }, sort) => {
    const words = (search || "").trim().toLowerCase();
    const key = sort.replace(/^-/, ""), way = sort.startsWith("-") ? -1 : 1;
    return rows
      .filter((row) =>
        (!words || row.structure.toLowerCase().includes(words) || String(row.order) === words ||
          `${row.order},${row.number}` === words.replace(/^smallgroup\(|\)$|\s/g, "")) &&
        (!irreps || (irreps === "cannot" ? row.cannot > 0 : irreps === "may" ? row.may > 0
          : row.cannot === 0 && row.may === 0)) &&
        (!theorem9 || row.theorem9 === (theorem9 === "yes")) &&
        (!kind || row.abelian === (kind === "abelian")) &&
        (!from || row.order >= from) && (!to || row.order <= to))
      .sort((a, b) => way * rise(a[key], b[key]) || a.order - b.order || a.number - b.number);
  };

  const cell = (row, tag, text, name) => {
    const one = document.createElement(tag);
    one.textContent = text;
    if (name) one.className = name;
    row.append(one);
    return one;
  };
  const drawn = (group) => {
    if (made.has(group)) return made.get(group);
    const row = document.createElement("tr");
    const head = cell(row, "th", "");
    head.scope = "row";
    const link = cell(head, "a", group.structure);
    link.href = group.link;
    for (const name of ["order", "number", "classes"]) cell(row, "td", group[name], "n");
    cell(row, "td", group.shown, "n");
    cell(row, "td", group.theorem9 ? "applies" : "no", group.theorem9 ? "" : "faint");
    cell(row, "td", group.width, "n");
    const irreps = cell(row, "td", "", "irreps");
    for (const [name, count, share, status] of group.irreps) {
      const one = cell(irreps, status === "cannot" ? "s" : "span", "", `irrep ${status}`);
      one.title = `${count} of degree ${name}, each ${status} be used`;
      cell(one, "b", count > 1 ? `${count} × ${name}` : name);
      one.append(` ${share}`);
      irreps.append(" ");
    }
    made.set(group, row);
    return row;
  };

  const fill = (tries = 60) => {
    const body = document.getElementById("atlas-body");
    if (!body) return tries ? void requestAnimationFrame(() => fill(tries - 1)) : undefined;
    const shown = select(all.rows, all.filters, all.sort);
    const turn = ++turns;  // what is seen first comes first, the rest a moment later
    body.replaceChildren(...shown.slice(0, AT_ONCE).map(drawn));
    setTimeout(() => { if (turn === turns) body.append(...shown.slice(AT_ONCE).map(drawn)); }, 30);
    if (!shown.length) {
      const none = cell(cell(body, "tr", ""), "td", "No group passes all filters: remove one.", "faint");
      none.colSpan = 8;
    }
    for (const button of document.querySelectorAll("#atlas-table [data-sort]")) {
      const at = button.closest("th");
      if (button.dataset.sort !== all.sort.replace(/^-/, "")) at.removeAttribute("aria-sort");
      else at.setAttribute("aria-sort", all.sort.startsWith("-") ? "descending" : "ascending");
    }
  };

  // What is shown is in the address, so that a link shows the same.
  const remember = () => {
    if (location.pathname.replace(/\/$/, "") !== "/atlas") return;
    const state = new URLSearchParams();
    for (const [name, value] of Object.entries(all.filters)) if (value) state.set(name, value);
    if (all.sort !== "order") state.set("sort", all.sort);
    const words = state.toString();
    history.replaceState(history.state, "", words ? `/atlas?${words}` : "/atlas");
  };

  const go = (href) => {
    history.pushState({}, "", new URL(href, location.href));
    window.dispatchEvent(new PopStateEvent("popstate"));  // the page follows its address
    window.scrollTo(0, 0);
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("#atlas-table [data-sort]");
    if (button) {
      const key = button.dataset.sort;
      all.sort = all.sort === key ? `-${key}` : key;
      fill();
      remember();
      return;
    }
    const link = event.target.closest?.("#atlas-body a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    go(link.href);
  });

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    atlas: {
      select,
      show(rows, search, irreps, theorem9, kind, from, to, sort) {
        if (!rows) return window.dash_clientside.no_update;
        if (all.rows !== rows) {
          all.sort = sort || "order";
          made.clear();
        }
        all.rows = rows;
        all.filters = { search, irreps, theorem9, kind, from, to };
        fill();
        remember();
        const count = select(rows, all.filters, all.sort).length;
        return count === rows.length ? `${count} groups` : `${count} of ${rows.length} groups`;
      },
      chosen(click) {
        const link = click?.points?.[0]?.customdata;
        if (link) go(link);
        return window.dash_clientside.no_update;
      },
    },
  });
}
