// Diagrams and table of the overview.
const table = document.getElementById("stars");
const bodies = table ? [...table.tBodies[0].rows] : [];
let listed = bodies.map((row) => Number(row.dataset.i));
const marked = { colour: null, relation: null };

const several = Object.keys(data.clouds).length > 1;
const cloud_shown = () => document.getElementById("cloud")?.value ?? Object.keys(data.clouds)[0];
const by = (name) => document.getElementById(`by-${name}`);

const draw_plane = (name) => {
  const node = document.getElementById(`plot-${name}`);
  draw(node, () => {
    const cloud = cloud_shown(), plane = PLANES[name];
    if (!data.clouds[cloud]) return;
    const visible = new Set(listed);
    const members = Array.from({ length: data.n }, (_, i) => i).filter((i) => at("galaxy", i) === cloud &&
      (i >= data.listed || visible.has(i)) && plane.x(i) !== null && plane.y(i) !== null);
    node.members = members;
    if (!members.includes(marked[name])) marked[name] = null;
    plot(node, [...plane.behind(cloud), ...point_traces(plane, members, false), ...plane.above(cloud), ring(plane, marked[name])].map((trace) => ({
      showlegend: false, ...trace })), {
      ...plane_layout(name, cloud), showlegend: true,
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", itemclick: false, itemdoubleclick: false },
      margin: { l: 58, r: 10, t: node.clientWidth > 520 ? 34 : 72, b: on_paper() ? 34 : 46 },
    }, `${cloud}: ${plane.y_name} against ${plane.x_name} of ${members.length} stars, ` +
      `${members.filter((i) => at("selected", i)).length} of them candidates. Arrow keys move among them, Enter opens one.`, "application");
    const grey = data.clouds[cloud].backgrounds[name];
    document.getElementById(`grey-${name}`).textContent =
      ` Grey: ${grey.n.toLocaleString("en")} of ${grey.of.toLocaleString("en")} stars${several ? ` of the ${cloud}` : ""}.`;
    if (!node.ready) {
      node.ready = true;
      node.on("plotly_click", (event) => {
        const i = event.points[0]?.customdata;
        if (typeof i === "number") open_star(i);
      });
    }
  });
};

const say = (text) => { document.getElementById("at-point").textContent = text; };

const move = (name, key) => {
  const plane = PLANES[name], node = document.getElementById(`plot-${name}`);
  const across = key === "ArrowLeft" || key === "ArrowRight" || key === "Home" || key === "End";
  const order = [...(node.members || [])].sort((a, b) => (across ? plane.x(a) - plane.x(b) : plane.y(a) - plane.y(b)) || a - b);
  if (!order.length) return;
  const now = order.indexOf(marked[name]), step = key === "ArrowRight" || key === "ArrowDown" ? 1 : -1;
  const next = key === "Home" ? 0 : key === "End" ? order.length - 1
    : now < 0 ? order.indexOf(Math.min(...order)) : Math.min(Math.max(now + step, 0), order.length - 1);
  marked[name] = order[next];
  drawn.get(node)();
  say(describe(order[next]));
};

const watch_keys = (name) => {
  const node = document.getElementById(`plot-${name}`);
  node.tabIndex = 0;
  node.addEventListener("keydown", (event) => {
    if (["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) {
      event.preventDefault();
      move(name, event.key);
    } else if (event.key === "Enter" && marked[name] !== null) {
      event.preventDefault();
      open_star(marked[name]);
    }
  });
};

const texts = Array.from({ length: data.listed }, (_, i) => [at("id", i), at("remark", i), at("other_id", i), at("ogle2_id", i),
  at("ogle3_id", i), at("ogle4_id", i), words(at("light_curve_class", i)), ...flags_of(i).map(([, name]) => name)].join(" ").toLowerCase());
// Numbers are compared as the table shows them.
const as_shown = (name, i) => {
  const decimals = table.tHead.querySelector(`[data-sort="${name}"]`).dataset.decimals, value = at(name, i);
  return value === null ? null : Number(value.toFixed(Number(decimals)));
};

const passes = (i) => {
  const text = by("text").value.trim().toLowerCase(), least = Number(by("contact").value);
  const flag = by("flag").value, names = own_flags_of(i).map(([, name]) => name);
  return text.split(/\s+/).every((word) => texts[i].includes(word)) &&
    (!(least > 0) || (as_shown("post_contact", i) ?? -1) >= least) &&
    (!by("label").value || at("spectral_label", i) === by("label").value) &&
    (!flag || (flag === "none" ? names.length === 0 : names.includes(flag))) &&
    (!by("bona-fide").checked || at("bona_fide", i));
};

// The table follows every key; the diagrams, which take longer, wait until the typing pauses.
let waiting = null;
const redraw_soon = () => {
  clearTimeout(waiting);
  waiting = setTimeout(redraw, 150);
};

const filter_table = () => {
  const shown = bodies.filter((row) => {
    row.hidden = !passes(Number(row.dataset.i));
    return !row.hidden;
  });
  const order = new Map([...table.tBodies[0].rows].map((row, k) => [row, k]));
  listed = shown.sort((a, b) => order.get(a) - order.get(b)).map((row) => Number(row.dataset.i));
  const what = document.getElementById("which").textContent.toLowerCase();
  document.getElementById("count").textContent =
    listed.length === bodies.length ? `${bodies.length} ${what}` : `${listed.length} of ${bodies.length} ${what}`;
  if (marked.colour !== null || marked.relation !== null) marked.colour = marked.relation = null;
  redraw_soon();
};

const sort_table = (heading) => {
  const name = heading.dataset.sort, now = heading.getAttribute("aria-sort");
  const down = now === null ? heading.dataset.first === "descending" : now === "ascending";
  for (const other of table.tHead.querySelectorAll("th")) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  const key = (row) => {
    const value = at(name, Number(row.dataset.i));
    return value === "" || (name === "rank" && value === 0) ? null : value;
  };
  bodies.sort((a, b) => {
    const [first, second] = [key(a), key(b)];
    // Unknown values stay at the end in both directions.
    if (first === null || second === null) return (first === null) - (second === null);
    const order = typeof first === "string" ? first.localeCompare(second, "en") : first - second;
    return (down ? -order : order) || Number(a.dataset.i) - Number(b.dataset.i);
  });
  table.tBodies[0].append(...bodies);
  listed = bodies.filter((row) => !row.hidden).map((row) => Number(row.dataset.i));
};

const start_overview = () => {
  for (const name of ["colour", "relation"]) {
    watch_keys(name);
    draw_plane(name);
  }
  document.getElementById("cloud")?.addEventListener("change", redraw);
  if (!table) return;
  for (const heading of table.tHead.querySelectorAll("th[data-sort]")) {
    heading.querySelector("button").addEventListener("click", () => sort_table(heading));
  }
  const form = document.getElementById("filters");
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const event of ["input", "change"]) form.addEventListener(event, filter_table);
  form.addEventListener("reset", () => setTimeout(filter_table));
};
