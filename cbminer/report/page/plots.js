// Figures. Each is redrawn as a whole by its own function, so that a change of theme or a print needs no more than that.
const drawn = new Map();
const coarse = window.matchMedia("(pointer: coarse)").matches;

const on_paper = () => document.documentElement.dataset.printing === "yes";

const axis = (title, more = {}) => ({
  title: { text: title, standoff: 6 }, gridcolor: css("--grid"), linecolor: css("--quiet"), zeroline: false,
  mirror: true, showline: true, ticks: "inside", tickcolor: css("--quiet"), ...more,
});

const plot = (node, traces, layout, alternative, role = "img") => {
  node.setAttribute("role", role);
  node.setAttribute("aria-label", alternative);
  const size = Math.min(13, Math.max(11, node.clientWidth / 30));
  // Width and height on paper: the style of the print is not in force yet when it is drawn.
  const [print_width, print_height] = node.dataset.print.split("x").map(Number);
  const printing = on_paper();
  return Plotly.react(node, traces, {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: css("--plot"),
    font: { family: getComputedStyle(document.body).fontFamily, size: printing ? 9 : size, color: css("--ink") },
    margin: printing ? { l: 46, r: 6, t: 6, b: 34 } : { l: 58, r: 10, t: 8, b: 46 }, hovermode: "closest", dragmode: coarse ? false : "zoom", showlegend: false,
    hoverlabel: { bgcolor: css("--panel"), bordercolor: css("--line"), font: { color: css("--ink") } },
    autosize: !printing, width: printing ? print_width : undefined, height: printing ? print_height : undefined, ...layout,
  }, { displayModeBar: false, responsive: true });
};

const draw = (node, make_figure) => { drawn.set(node, make_figure); make_figure(); };
const redraw = () => { for (const [node, make_figure] of drawn) if (node.isConnected && node.clientWidth) make_figure(); };
const forget = (inside) => {
  for (const node of [...drawn.keys()]) if (inside.contains(node)) { Plotly.purge(node); drawn.delete(node); }
};

const background = (cloud, name) => {
  const found = data.clouds[cloud]?.backgrounds[name];
  return found ? [{
    source: found.image, xref: "x", yref: "y", x: found.x[0], y: found.y[0], yanchor: "top",
    sizex: found.x[1] - found.x[0], sizey: found.y[1] - found.y[0], sizing: "stretch", layer: "below",
  }] : [];
};

const line = (x, y, style, name) => ({
  x, y, name, mode: "lines", type: "scatter", hoverinfo: "skip", line: { width: 1.4, ...style },
});

const box_lines = (cloud) => {
  const box = data.clouds[cloud].box, left = -0.9;
  const ink = { color: css("--ink") };
  return [
    line([left, box.VI0_max, box.VI0_max, left], [box.M_V_bright, box.M_V_bright, box.M_V_faint, box.M_V_faint], ink,
      "main-sequence box"),
    line([box.VI0_ceiling, box.VI0_ceiling], [box.M_V_bright, box.M_V_faint], { ...ink, dash: "dot" }, "limit at most"),
    line([left, box.VI0_max], [box.O_star_M_V, box.O_star_M_V], { ...ink, dash: "dash", width: 0.8 }, "O above, B below"),
  ];
};

const contour_lines = (cloud, name) => (data.clouds[cloud].contours[name] || []).map((contour) => line(
  contour.x, contour.y,
  { color: css(contour.kind === "contact" ? "--contact" : "--near-contact"), width: 1.2,
    dash: contour.kind === "contact" ? "solid" : "dash" },
  `${percent(contour.share)} of the ${words(contour.kind)} population`,
));

const relation_lines = (cloud) => {
  const { a, b, c, half_width } = data.clouds[cloud].relation;
  if (a === null || b === null || c === null) return [];
  const x = [-1, 1.5], middle = x.map((value) => a * value + c);
  const band = {
    x: [x[0], x[1], x[1], x[0]], type: "scatter", mode: "lines", fill: "toself", fillcolor: css("--band"),
    y: [middle[0] - half_width, middle[1] - half_width, middle[1] + half_width, middle[0] + half_width],
    hoverinfo: "skip", line: { width: 0 }, name: "band",
  };
  const middle_line = line(x, middle, { color: css("--contact") }, "relation");
  return half_width === null ? [middle_line] : [band, middle_line];
};

const PLANES = {
  colour: {
    x: (i) => at("VI0", i), y: (i) => at("M_V", i), x_title: "(V\u2212I)<sub>0</sub> [mag]", y_title: "M<sub>V</sub> [mag]",
    x_name: "colour", y_name: "absolute magnitude", e_x: "e_VI0", e_y: "e_M_V",
    behind: box_lines, above: (cloud) => contour_lines(cloud, "VI0"),
  },
  relation: {
    x: log_period, y: corrected, x_title: "log<sub>10</sub>(P / d)", y_title: "M<sub>V</sub> \u2212 b (V\u2212I)<sub>0</sub> [mag]",
    x_name: "period", y_name: "magnitude less colour term", e_y: "e_plc_residual",
    behind: relation_lines, above: () => [],
  },
  population: {
    x: log_period, y: (i) => at("M_V", i), x_title: "log<sub>10</sub>(P / d)", y_title: "M<sub>V</sub> [mag]",
    x_name: "period", y_name: "absolute magnitude", e_y: "e_M_V",
    behind: () => [], above: (cloud) => contour_lines(cloud, "log_P"),
  },
};

const kind_of = (i) => (!at("selected", i) ? "other" : at("bona_fide", i) ? "bona_fide" : "candidate");
const MARKS = {
  other: { name: "other star", symbol: "circle", size: 4, colour: "--points", opacity: 0.6 },
  candidate: { name: "candidate", symbol: "diamond", size: 9, colour: "--candidate", opacity: 0.95 },
  bona_fide: { name: "bona fide candidate", symbol: "square", size: 8, colour: "--bona-fide", opacity: 0.95 },
};

const describe = (i) => {
  const rank = at("rank", i) > 0 ? `, rank ${at("rank", i)}` : "";
  const odds = at("post_contact", i) === null ? "" : `, P(contact) ${number_of("post_contact", i)}`;
  return `${at("id", i)}: ${MARKS[kind_of(i)].name}${rank}, P = ${fixed(at("period", i), 4)} d, ` +
    `M_V = ${fixed(at("M_V", i), 2)}, (V-I)_0 = ${fixed(at("VI0", i), 2)}${odds}`;
};

const point_traces = (plane, members, small) => Object.entries(MARKS).map(([kind, mark]) => {
  const chosen = members.filter((i) => kind_of(i) === kind);
  return {
    x: chosen.map(plane.x), y: chosen.map(plane.y), customdata: chosen, type: "scatter", mode: "markers",
    name: `${mark.name} (${chosen.length})`, showlegend: chosen.length > 0,
    text: chosen.map((i) => plain(describe(i)).replace(/, /g, "<br>")), hovertemplate: "%{text}<extra></extra>",
    marker: { symbol: mark.symbol, size: mark.size * (small ? 0.6 : 1) * (on_paper() ? 0.7 : 1), color: css(mark.colour),
      opacity: small ? 0.5 : mark.opacity, line: { width: kind === "other" ? 0 : 0.8, color: css("--paper") } },
  };
});

const ring = (plane, i, e_x = null, e_y = null) => ({
  x: i === null ? [] : [plane.x(i)], y: i === null ? [] : [plane.y(i)], type: "scatter", mode: "markers", hoverinfo: "skip",
  showlegend: false, marker: { symbol: "circle-open", size: on_paper() ? 12 : 17, color: css("--ink"), line: { width: 2.5 } },
  error_x: { type: "data", array: [e_x ?? 0], visible: e_x !== null, color: css("--ink") },
  error_y: { type: "data", array: [e_y ?? 0], visible: e_y !== null, color: css("--ink") },
});

const plane_layout = (name, cloud) => {
  const plane = PLANES[name], { x, y } = data.clouds[cloud].ranges[name];
  // Magnitudes grow downwards.
  return {
    images: background(cloud, name), xaxis: axis(plane.x_title, { range: [x[0], x[1]] }),
    yaxis: axis(plane.y_title, { range: [y[1], y[0]] }), uirevision: `${name} ${cloud}`,
  };
};

// Phases from -0.25 to 1.25, so that both minima stand whole.
const wrapped = (phases) => phases.flatMap((value, k) => {
  const phase = value * STEP, copies = [[phase, k]];
  if (phase >= 0.75) copies.push([phase - 1, k]);
  if (phase <= 0.25) copies.push([phase + 1, k]);
  return copies;
});

const model_at = (model, band, phase) => {
  const { from, mag } = model.mag[band], place = phase * (data.model_phases - 1), k = Math.min(Math.floor(place), mag.length - 2);
  return from + STEP * (mag[k] + (place - k) * (mag[k + 1] - mag[k]));
};

const model_line = (model, band) => {
  const steps = Array.from({ length: 451 }, (_, k) => -0.25 + k / 300);
  const style = {
    contact: { color: css("--contact"), width: 2 }, near_contact: { color: css("--near-contact"), dash: "dash", width: 2 },
    shape: { color: css("--shape"), width: 1.3 },
  }[model.kind];
  const trace = line(steps, steps.map((phase) => model_at(model, band, ((phase % 1) + 1) % 1)), style, model.name);
  return { ...trace, showlegend: true };
};

const draw_curve = (node, i, band, residual_of) => draw(node, () => {
  const curve = data.curves[at("id", i)], points = curve.bands[band];
  const models = curve.models.filter((model) => model.mag[band]);
  const chosen = models[Math.min(residual_of(), models.length - 1)];
  const shown = wrapped(points.phase), mags = points.mag.map((value) => points.from + value * STEP);
  const bars = { type: "data", array: shown.map(([, k]) => points.error[k] * STEP), color: css("--line"), width: 0, thickness: 1 };
  const marker = { size: (points.phase.length > 150 ? 3 : 5) * (on_paper() ? 0.6 : 1), color: css("--points") };
  const base = { x: shown.map(([phase]) => phase), type: "scatter", mode: "markers", error_y: bars, marker, hoverinfo: "skip" };
  const traces = [{ ...base, y: shown.map(([, k]) => mags[k]), name: `${points.phase.length} points` },
    ...models.map((model) => model_line(model, band))];
  if (chosen) {
    const residuals = points.phase.map((value, k) => mags[k] - model_at(chosen, band, value * STEP));
    traces.push({ ...base, y: shown.map(([, k]) => residuals[k]), yaxis: "y2" });
    traces.push({ ...line([-0.25, 1.25], [0, 0], { color: css("--ink"), width: 1 }, "zero"), yaxis: "y2" });
  }
  // Outliers do not set the scale, but a narrow minimum does.
  const sorted = [...mags].sort((a, b) => a - b), share = (part) => sorted[Math.round(part * (sorted.length - 1))];
  const drawn_mags = models.flatMap((model) => model.mag[band].mag.map((value) => model.mag[band].from + value * STEP));
  const brightest = Math.min(share(0.02), ...drawn_mags), faintest = Math.max(share(0.98), ...drawn_mags);
  const reach = 0.15 * (faintest - brightest) + 0.01;
  plot(node, traces, {
    xaxis: axis(`phase (0: ${curve.zero})`, { range: [-0.25, 1.25], dtick: 0.25, anchor: chosen ? "y2" : "y" }),
    yaxis: axis(`${band} [mag]`, { range: [faintest + reach, brightest - reach], domain: [chosen ? 0.34 : 0, 1] }),
    ...(chosen ? { yaxis2: axis("residual [mag]", { domain: [0, 0.26], autorange: "reversed", nticks: 4 }) } : {}),
    margin: on_paper() ? { l: 62, r: 6, t: 6, b: 34 } : { l: 78, r: 10, t: 8, b: 46 },
    shapes: [{ type: "rect", xref: "paper", yref: "y domain", x0: 0, x1: 1, y0: 0, y1: 1, line: { width: 1, color: css("--quiet") } }],
  }, `Folded light curve in ${band}: ${points.phase.length} points between magnitude ${sorted[0].toFixed(2)} and ` +
    `${sorted[sorted.length - 1].toFixed(2)}` +
    (chosen ? `; drawn through them: ${models.map((model) => model.name).join("; ")}; below, points minus the ${chosen.name}.` : "."));
});
