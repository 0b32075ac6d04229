// Data of the page, and small helpers. Texts reach the page as text nodes only, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const STEP = 1e-4;

const agreed = (column, i) => (Array.isArray(column) ? column[i] : column.all);
const at = (name, i) => agreed(data.stars[name], i);
const places = new Map(Array.from({ length: data.n }, (_, i) => [at("id", i), i]));
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
};

const minus = (text) => text.replace(/-/g, "\u2212");
const fixed = (value, decimals) => (value === null ? "not known" : minus(value.toFixed(decimals)));
const signed = (value, decimals) => (value === null ? "not known" : (value > 0 ? "+" : "") + fixed(value, decimals));
const words = (text) => text.replace(/_/g, " ");
// Percent of a share without the tails of binary numbers, such as 56.99999999999999.
const percent = (share) => (share === null ? "not known" : `${Number((100 * share).toPrecision(6))} %`);
const number = (value) => (value === null ? "not known" : minus(String(value)));
const number_of = (name, i) => fixed(at(name, i), data.columns[name][1]);
const flags_of = (i) => data.flags.filter(([bit]) => at("flags", i) & bit);
const own_flags_of = (i) => flags_of(i).filter(([bit]) => !(bit & data.shared_flags));
const log_period = (i) => (at("period", i) > 0 ? Math.log10(at("period", i)) : null);
const corrected = (i) => {
  const cloud = data.clouds[at("galaxy", i)];
  if (!cloud || cloud.relation.b === null || at("M_V", i) === null || at("VI0", i) === null) return null;
  return at("M_V", i) - cloud.relation.b * at("VI0", i);
};
// plotly takes some markup in texts.
const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
