// Draws the plots of a report from the values that stand in the page, and lets them follow the
// reader: what is chosen in a plot, which part of the time, light or dark.
"use strict";
(() => {
  const report = JSON.parse(document.getElementById("report").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const views = new Map();
  const errors = [];
  let range = [0, report.end_s];
  let drawing = Promise.resolve();

  const colour = (value, theme) => {
    if (typeof value === "string") return value[0] === "$" ? theme[value.slice(1)] ?? value : value;
    if (Array.isArray(value)) return value.map((one) => colour(one, theme));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, colour(one, theme)]));
  };

  const named = (spec, found = new Set()) => {
    if (Array.isArray(spec)) spec.forEach((one) => named(one, found));
    else if (spec && typeof spec === "object") {
      if (spec.data && typeof spec.data.name === "string") found.add(spec.data.name);
      Object.values(spec).forEach((one) => named(one, found));
    }
    return found;
  };

  const follow = (view) => view.signal("from_s", range[0]).signal("to_s", range[1]).runAsync();

  const chooses = (view) => {
    let waiting = null;
    view.addSignalListener("chosen", (name, value) => {
      const chosen = value.t && value.t[0] !== value.t[1] ? value.t : [0, report.end_s];
      clearTimeout(waiting);
      waiting = setTimeout(() => {
        range = [Math.min(...chosen), Math.max(...chosen)];
        for (const [name, one] of views) {
          const plot = report.plots.find((plot) => plot.name === name);
          if (plot.over_time && !plot.chooses_time) follow(one);
        }
      }, 80);
    });
  };

  const draw = async (plot, number) => {
    const place = document.querySelector(`#plot-${plot.name} .plot`);
    const theme = report.themes[dark.matches ? "dark" : "light"];
    const spec = colour(plot.specs[number], theme);
    // Legends break their lines by number, and the screen may be a narrow one.
    spec.config.legend.columns = Math.max(1, Math.floor((place.clientWidth - 50) / 185));
    spec.datasets = Object.fromEntries(
      [...named(spec)].filter((name) => name in report.data).map((name) => [name, report.data[name]]));
    try {
      views.get(plot.name)?.finalize();
      const made = await vegaEmbed(place, spec, {
        renderer: "svg",
        theme: dark.matches ? "dark" : undefined,
        tooltip: { theme: dark.matches ? "dark" : "light" },
        actions: { export: true, source: false, compiled: false, editor: false },
        downloadFileName: plot.name,
      });
      views.set(plot.name, made.view);
      if (plot.over_time && !plot.chooses_time) await follow(made.view);
      if (plot.chooses_time) chooses(made.view);
      place.dataset.drawn = plot.choices[number] || "yes";
    } catch (error) {
      errors.push(`${plot.name}: ${error}`);
      place.innerHTML = "";
      const told = document.createElement("p");
      told.className = "failed";
      told.textContent = `This plot cannot be drawn: ${error}`;
      place.append(told);
    }
  };

  const chosen = (plot) => Number(document.querySelector(`select[data-plot="${plot.name}"]`)?.value ?? 0);
  const all = () => {
    for (const plot of report.plots) drawing = drawing.then(() => draw(plot, chosen(plot)));
    drawing.then(() => { document.documentElement.dataset.report = errors.length ? "failed" : "drawn"; });
  };

  for (const select of document.querySelectorAll("select[data-plot]"))
    select.addEventListener("change", () => {
      const plot = report.plots.find((one) => one.name === select.dataset.plot);
      drawing = drawing.then(() => draw(plot, chosen(plot)));
    });
  dark.addEventListener("change", all);

  // Tables whose headings are buttons can be sorted by them.
  for (const button of document.querySelectorAll("th button"))
    button.addEventListener("click", () => {
      const head = button.closest("th");
      const body = head.closest("table").tBodies[0];
      const down = head.getAttribute("aria-sort") !== "descending";
      for (const other of head.parentElement.children) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => row.children[head.cellIndex].dataset.v ?? row.children[head.cellIndex].textContent;
      const rows = [...body.rows].sort((a, b) => {
        const [one, other] = [value(a), value(b)];
        const order = one !== "" && other !== "" && !isNaN(one) && !isNaN(other) ? one - other : one.localeCompare(other);
        return down ? -order : order;
      });
      body.append(...rows);
    });

  window.addEventListener("error", (event) => errors.push(String(event.message)));
  window.adpkvReport = { errors, views, time: () => range };
  all();
})();
