/* what happens when the page is read: figures are drawn, tables can be sorted */
if (form) {
  for (const radio of form.elements.axis) {
    radio.disabled = !data.runs.some((run) => run.x[radio.value]);
    if (radio.disabled && radio.checked) form.elements.axis.value = axes.axis = "step";
  }
}

/* returns whether the vertical axis is logarithmic at first: where sizes span more than a factor of ten */
const isLogarithmic = (spec, measure) => {
  if ((spec.together ? spec.measures : [measure]).some((column) => spec.linear.includes(column))) return false;
  const curves = seriesOf(spec, measure);
  const valid = curves.some((curve) => !curve.lost) ? curves.filter((curve) => !curve.lost) : curves;
  let [least, most] = [Infinity, -Infinity];
  for (const curve of valid) {
    for (const y of curve.y) {
      if (y !== null) [least, most] = [Math.min(least, y), Math.max(most, y)];
    }
  }
  return least > 0 && most > 10 * least;
};

fit();
window.addEventListener("resize", () => { if (fit()) redraw.forEach((update) => update()); });

document.querySelectorAll("figure[data-figure]").forEach((figure) => {
  const spec = data.figures[Number(figure.dataset.figure)];
  const state = { hidden: new Set(), measure: spec.measures[0], logy: false };
  const place = figure.querySelector(".plot");
  const tools = element("div", "");
  tools.className = "tools";
  figure.insertBefore(tools, place);
  const update = () => draw(place, spec, state);
  if (!spec.together && spec.measures.length > 1) {
    const chooser = element("label", "show ", tools);
    const select = element("select", "", chooser);
    spec.measures.forEach((column) => { element("option", name(column), select).value = column; });
    select.addEventListener("change", () => { state.measure = select.value; choose(); update(); });
  }
  const switcher = element("label", "", tools);
  const box = element("input", "", switcher);
  box.type = "checkbox";
  switcher.appendChild(document.createTextNode(" logarithmic vertical axis"));
  box.addEventListener("change", () => { state.logy = box.checked; update(); });
  const choose = () => { box.checked = state.logy = isLogarithmic(spec, state.measure); };
  choose();
  legend(tools, spec, state, update);
  redraw.push(update);
  update();
});

if (form) {
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", () => {
    axes.axis = form.elements.axis.value;
    axes.logx = form.elements.logx.checked;
    redraw.forEach((update) => update());
  });
}

/* opens all details for printing */
let folded = [];
window.addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach((part) => { part.open = true; });
});
window.addEventListener("afterprint", () => {
  folded.forEach((part) => { part.open = false; });
});

/* sorts a table by the column whose head is pressed */
document.querySelectorAll("table.sortable").forEach((table) => {
  const body = table.tBodies[0];
  if (body.rows.length < 3) return;
  table.querySelectorAll("th").forEach((head, column) => {
    const button = element("button", head.textContent, null);
    button.type = "button";
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const upward = head.getAttribute("aria-sort") !== "ascending";
      table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", upward ? "ascending" : "descending");
      const key = (row) => row.cells[column].textContent;
      const number = (value) => (value === "" ? NaN : Number(value.replaceAll(",", "")));
      const compare = (a, b) => {
        const [p, q] = [number(key(a)), number(key(b))];
        if (!Number.isNaN(p) && !Number.isNaN(q)) return p - q;
        if (Number.isNaN(p) !== Number.isNaN(q)) return Number.isNaN(p) ? 1 : -1;
        return key(a).localeCompare(key(b));
      };
      body.append(...[...body.rows].sort((a, b) => (upward ? compare(a, b) : compare(b, a))));
    });
  });
});
