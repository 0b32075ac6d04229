// The vetting sheet of a star.
const sheet = document.getElementById("sheet");
const overview = document.getElementById("overview");
let residual = 0;

const head_cells = (...texts) => make("thead", {}, make("tr", {}, ...texts.map((text) => make("th", { scope: "col" }, text))));
const scrolled = (label, inside) => make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": label }, inside);
const section = (title, ...children) => make("section", {}, make("h3", {}, title), ...children);

const verdict_of = (i) => {
  if (!at("selected", i)) return `Out by: ${at("rejected_by", i) || "not judged"}.`;
  const place = at("contact_rank", i) > 0 ? `, place ${at("contact_rank", i)} among all stars of its colour, magnitude and period` : "";
  return `Candidate, rank ${at("rank", i)}${place}; ${at("bona_fide", i) ? "bona fide" : "not bona fide"}.`;
};

const bar_cell = (from, to, against) => {
  const fill = make("i", against ? { class: "against" } : {});
  fill.style.left = `${100 * Math.min(from, to)}%`;
  fill.style.width = `${100 * Math.abs(to - from)}%`;
  return fill;
};

const odds_section = (i) => {
  const title = "Odds of contact against near contact";
  if (at("ln_odds", i) === null) return section(title, make("p", {}, `Not known. ${agreed(data.no_odds, i) ?? ""}`));
  const reach = Math.max(1, ...data.odds_parts.map(([name]) => Math.abs(at(name, i) ?? 0)));
  const rows = data.odds_parts.map(([name, label, flag, absent]) => {
    const value = at(name, i), bar = make("div", { class: "bar", "aria-hidden": "true" });
    const lacks = Boolean(at("flags", i) & flag), says = value !== null && !(lacks && value === 0);
    if (says) bar.append(bar_cell(0.5, 0.5 + 0.5 * value / reach, value < 0));
    const zero = make("b");
    zero.style.left = "50%";
    bar.append(zero);
    const text = lacks ? (says ? `${signed(value, 2)} (period alone)` : absent) : signed(value, 2);
    return make("tr", { "data-part": name }, make("th", { scope: "row" }, label), make("td", { class: "n" }, text), make("td", { class: "bars" }, bar));
  });
  const level = at("contact_level", i);
  const where = level === null ? `The population says nothing: ${at("M_V", i) === null || at("VI0", i) === null ? "magnitude or colour is not known" : "there is none of this galaxy"}.`
    : `${fixed(100 * level, 1)} % of the theoretical contact binaries lie at a higher density than this star ` +
      `(contour of the bona fide set: ${percent(data.contour)}); distance from the nearest model ${number_of("hull_distance", i)}.`;
  return section(title,
    make("table", {}, head_cells("part", "ln odds", "against \u2190 0 \u2192 for contact"), make("tbody", {}, ...rows)), make("p", {}, where));
};

const probability_section = (title, items, prefix, i, note) => {
  if (at(`${prefix}${items[0][0]}`, i) === null) return section(title, make("p", {}, "Not known."));
  const rows = items.map(([name, label]) => {
    const value = at(`${prefix}${name}`, i), error = prefix === "P_" ? at(`e_P_${name}`, i) : null;
    const bar = make("div", { class: "bar", "aria-hidden": "true" }, bar_cell(0, value, name !== "contact"));
    const text = `${number_of(`${prefix}${name}`, i)}${error === null ? "" : ` \u00b1 ${fixed(error, 4)}`}`;
    return make("tr", {}, make("th", { scope: "row" }, label), make("td", { class: "n" }, text), make("td", { class: "bars" }, bar));
  });
  return section(title, make("table", {}, head_cells(note, "probability", "0 to 1"), make("tbody", {}, ...rows)));
};

const cut_rows = (i) => data.cuts.flatMap((cut) => cut.conditions.map((item, k) => {
  const state = { p: "passes", f: "fails", u: "cannot be told" }[item.state[i]];
  const value = item.value === undefined ? null : agreed(item.value, i);
  const unit = item.unit ? ` ${item.unit}` : "";
  let found = item.state[i] === "p" ? "known" : "not known", limit = "must be known", margin = "";
  if (item.relation) {
    const border = agreed(item.limit, i);
    found = value === null ? "not known" : number(value) + unit;
    limit = `${{ "<=": "\u2264", ">=": "\u2265" }[item.relation] ?? item.relation} ${number(border)}${border === null ? "" : unit}`;
    if (value !== null && border !== null) {
      const inside = Number((item.relation.startsWith("<") ? border - value : value - border).toPrecision(3));
      margin = (inside > 0 ? "+" : "") + number(inside) + unit;
    }
  } else if (item.allowed) {
    found = value || "not known";
    limit = item.allowed.join(", ");
  }
  const kept = cut.state[i] === "u" ? `, ${cut.undecided === "keep" ? "kept" : "dropped"}` : "";
  const whole = `${{ p: "passes", f: "fails", u: "cannot be told" }[cut.state[i]]}${kept}`;
  return make("tr", {},
    k ? null : make("th", { scope: "rowgroup", rowspan: String(cut.conditions.length) }, cut.name, make("br"),
      make("span", { class: cut.state[i] === "f" ? "fails" : "unit" }, whole)),
    make("td", {}, item.quantity), make("td", { class: "n" }, found), make("td", { class: "n" }, limit),
    make("td", { class: "n" }, margin),
    make("td", { class: item.state[i] === "f" ? "fails" : null }, item.state[i] === "f" ? `fails: ${item.reason}` : state));
}));

const cuts_section = (i) => section("Cuts", scrolled("Cuts", make("table", {},
  head_cells("cut", "quantity", "value", "limit", "inside by", "verdict"), make("tbody", {}, ...cut_rows(i)))));

const value_text = (name, i) => {
  const value = at(name, i), [unit, decimals] = data.columns[name];
  if (typeof value === "string") return words(value) || null;
  if (value === null) return null;
  const error = data.stars[`e_${name}`] === undefined ? null : at(`e_${name}`, i);
  const whole = decimals === 0 && Number.isInteger(value);
  return `${whole ? String(value) : fixed(value, decimals)}${error === null ? "" : ` \u00b1 ${fixed(error, decimals)}`}${unit ? ` ${unit}` : ""}`;
};

const group_section = ([title, names], i) => {
  const rows = names.map((name) => [name, value_text(name, i)]).filter(([, text]) => text !== null);
  return section(title, scrolled(title, make("table", {}, make("tbody", {}, ...rows.map(([name, text]) =>
    make("tr", {}, make("th", { scope: "row", title: data.columns[name][2] }, name), make("td", { class: "value" }, text),
      make("td", { class: "unit no-print" }, data.columns[name][2])))))));
};

const flag_section = (i) => {
  const found = flags_of(i);
  return section("Flags", found.length
    ? make("dl", { class: "facts" }, ...found.flatMap(([, name, meaning]) => [make("dt", {}, name), make("dd", {}, meaning)]))
    : make("p", {}, "None."));
};

const link_list = (i) => {
  if (data.simulated) return make("p", { class: "unit" }, "No links to databases: the star is simulated, and nothing is at its position.");
  const links = i < data.listed ? data.links[i] : [];
  if (!links.length) return make("p", { class: "unit" }, "No links to databases: only listed stars have them.");
  return make("ul", { class: "links", "aria-label": "Elsewhere" }, ...links.map(([name, address]) => make("li", {},
    make("a", { href: address, rel: "noreferrer noopener", target: "_blank" }, name, make("span", { class: "visually-hidden" }, " (new tab)")))));
};

const curve_section = (i) => {
  const curve = data.curves[at("id", i)], inside = make("section", {}, make("h3", {}, "Light curves"));
  if (!curve) {
    inside.append(make("p", {}, i < data.listed
      ? `No light curve is shown. ${data.absent[at("id", i)]}`
      : `The page holds light curves of listed stars only; cbminer report --star ${at("id", i)} shows that of this star.`));
    return inside;
  }
  if (curve.models.length > 1) {
    const choice = make("select", { id: "residual" }, ...curve.models.map((model, k) => make("option", { value: String(k) }, model.name)));
    choice.value = String(Math.min(residual, curve.models.length - 1));
    choice.addEventListener("change", () => { residual = Number(choice.value); redraw(); });
    inside.append(make("p", { class: "controls" }, make("label", { for: "residual" }, "Residuals about the "), choice));
  }
  const pair = make("div", { class: "pair" });
  for (const band of Object.keys(curve.bands)) {
    const node = make("div", { class: "plot curve", "data-print": "440x225", "data-band": band });
    pair.append(make("figure", {}, node, make("figcaption", {}, `${band}: ${curve.bands[band].phase.length} points that the cleaning keeps.`)));
  }
  if (!curve.bands.V) pair.append(make("p", {}, "No light curve in V is at hand."));
  const names = curve.models.map((model) => ({ contact: "solid blue: ", near_contact: "dashed orange: ", shape: "thin: " })[model.kind] + model.name);
  const bayes = curve.bayes ? ` ln Bayes factor of contact over near contact: ${signed(curve.bayes[0], 1)} \u00b1 ${fixed(curve.bayes[1], 1)}.` : "";
  const unfitted = curve.models.some((model) => model.kind !== "shape") ? "" : " The star has no fit by the Roche engine; cbminer fit makes one.";
  inside.append(pair, make("p", { class: "unit" }, names.length
    ? `Lines: ${names.join("; ")}.${bayes}${unfitted}` : "The light curve has no shape: too few points, or phases not covered."));
  return inside;
};

const place_section = (i) => {
  const plots = make("div", { class: "three" });
  const caption = { colour: "Colour and magnitude, with the main-sequence box and the population.",
    relation: "Relation with its band; b is its colour coefficient.", population: "Period and magnitude, with the contact (solid) and near-contact (dashed) population." };
  for (const name of Object.keys(PLANES)) {
    plots.append(make("figure", {}, make("div", { class: "plot", "data-print": "288x195", "data-plane": name }), make("figcaption", {}, caption[name])));
  }
  return section("Place", plots);
};

const draw_sheet = (i) => {
  for (const node of sheet.querySelectorAll("[data-band]")) draw_curve(node, i, node.dataset.band, () => residual);
  const cloud = at("galaxy", i);
  for (const node of sheet.querySelectorAll("[data-plane]")) {
    const plane = PLANES[node.dataset.plane];
    draw(node, () => {
      if (!data.clouds[cloud]) return;
      const members = Array.from({ length: data.n }, (_, k) => k).filter((k) => k !== i && at("selected", k) && at("galaxy", k) === cloud);
      const known = plane.x(i) !== null && plane.y(i) !== null;
      plot(node, [...plane.behind(cloud), ...point_traces(plane, members, true), ...plane.above(cloud),
        ring(plane, known ? i : null, plane.e_x ? at(plane.e_x, i) : null, at(plane.e_y, i))], plane_layout(node.dataset.plane, cloud),
      known ? `${plane.y_name} against ${plane.x_name}: the star at ${plane.x(i).toFixed(2)}, ${plane.y(i).toFixed(2)}, among ${members.length} candidates.`
        : `${plane.y_name} against ${plane.x_name}: the star's place is not known.`);
    });
  }
};

const neighbours = (i) => {
  const order = listed.includes(i) ? listed : [], k = order.indexOf(i);
  return { place: k < 0 ? "" : `${k + 1} of ${order.length}`, before: k > 0 ? order[k - 1] : null, after: k >= 0 && k + 1 < order.length ? order[k + 1] : null };
};

const step_button = (label, target) => {
  const button = make("button", { type: "button", disabled: target === null }, label);
  if (target !== null) button.addEventListener("click", () => open_star(target));
  return button;
};

const navigation = (i) => {
  const { place, before, after } = neighbours(i);
  const back = make("button", { type: "button" }, "Close (Esc)");
  back.addEventListener("click", close_star);
  return make("nav", { class: "sheet-nav", "aria-label": "Stars" }, back, step_button("\u2190 Previous", before),
    step_button("Next \u2192", after), make("span", { class: "place" }, place));
};

const show_star = (name) => {
  forget(sheet);
  const i = places.get(name);
  overview.hidden = true;
  sheet.hidden = false;
  const heading = make("h2", { id: "star-name", tabindex: "-1" }, name);
  document.title = `${name} \u2013 vetting sheet`;
  if (i === undefined) {
    const back = make("button", { type: "button" }, "Close (Esc)");
    back.addEventListener("click", close_star);
    sheet.replaceChildren(make("nav", { class: "sheet-nav", "aria-label": "Stars" }, back), heading, make("p", {}, "No such star is in this page: it holds the listed stars, and of the others " +
      `those that pass the cuts on colour, magnitude, period and relation. cbminer report --star ${name} shows any star of the run.`));
  } else {
    const remark = at("remark", i) ? make("p", {}, `Remark of the survey: ${at("remark", i)}`) : null;
    const kind = `${at("galaxy", i)}, type ${at("type", i)}, survey ${at("survey", i)}${data.simulated ? " (simulated star)" : ""}`;
    sheet.replaceChildren(navigation(i), heading, make("p", { class: "verdict" }, verdict_of(i)),
      make("p", { class: "unit" }, `${kind}; P = ${value_text("period", i) ?? "not known"}`), ...(remark ? [remark] : []), link_list(i),
      curve_section(i), place_section(i),
      make("div", { class: "columns odds" }, odds_section(i),
        probability_section("What it may be", data.hypotheses, "post_", i, "light curve, place and survey together"),
        probability_section("Class of the light curve alone", data.classes, "P_", i, "by the network"), flag_section(i)),
      make("div", { class: "numbers" }, cuts_section(i), make("div", { class: "columns" }, ...data.groups.map((group) => group_section(group, i)))));
    draw_sheet(i);
  }
  window.scrollTo(0, 0);
  heading.focus({ preventScroll: true });
};

const hide_star = () => {
  if (sheet.hidden) return;
  const name = sheet.querySelector("h2")?.textContent;
  forget(sheet);
  sheet.replaceChildren();
  sheet.hidden = true;
  overview.hidden = false;
  document.title = document.querySelector("h1").textContent;
  redraw();
  const row = bodies.find((item) => at("id", Number(item.dataset.i)) === name && !item.hidden);
  (row?.querySelector("a") ?? document.getElementById("main")).focus();
};

const open_star = (i) => { location.hash = `star=${encodeURIComponent(at("id", i))}`; };
const close_star = () => { location.hash = "overview"; };
