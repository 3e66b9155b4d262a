"use strict";
window.dash_clientside = Object.assign({}, window.dash_clientside, {
  marginlens: {
    // A figure in the theme of the page: its content with the template of light or dark.
    draw(content, scheme, templates) {
      const same = window.dash_clientside.no_update;
      if (!content) return [same, same, same];
      const dark = (scheme || document.documentElement.dataset.mantineColorScheme) === "dark";
      const layout = { ...content.layout, template: templates[dark ? "dark" : "light"], dragmode: false };
      return [{ data: content.data, layout }, content.title || same, { height: layout.height }];
    },
    opened(opened, navbar) {
      return { ...navbar, collapsed: { mobile: !opened, desktop: false } };
    },
  },
});
