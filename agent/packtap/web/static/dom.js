// Building the page. Texts become text nodes, never markup: whatever a pack calls itself is shown.

/** Return an element: el("p", {class: "x"}, "text", child, null, ...). */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

const SVG = "http://www.w3.org/2000/svg";

/** Return an SVG element. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
  return node;
}

/** Replace what is in a node, but only if `state` differs from what was drawn there last. */
export function draw(node, state, build) {
  const text = JSON.stringify(state);
  if (node.drawn === text) return;
  node.drawn = text;
  node.replaceChildren(...[build(state)].flat().filter((child) => child !== null));
}

/** Return a card with a heading. */
export function card(title, name, ...children) {
  const id = `h-${name}`;
  return el(
    "section",
    { class: `card ${name}`, "aria-labelledby": id },
    el("h2", { id }, title),
    ...children,
  );
}
