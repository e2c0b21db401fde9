// Showing an answer: boxes over the image, lines beside it, each with the other, and where the time went.

let pinned = null;

// The image's box takes the shape of the answer, which is the image turned upright.
function shapePicture(width, height) {
  const style = find("picture").style;
  style.setProperty("--width", width);
  style.setProperty("--height", height);
  find("boxes").setAttribute("viewBox", `0 0 ${width} ${height}`);
}

function showImage(source) {
  const image = find("image");
  image.classList.remove("as-stored");
  find("unseen").hidden = true;
  find("boxes").replaceChildren();
  shapePicture(4, 3);
  image.onload = () => {
    if (find("boxes").childElementCount === 0) shapePicture(image.naturalWidth, image.naturalHeight);
  };
  image.onerror = () => (find("unseen").hidden = false);
  image.src = source;
}

function showBoxes(answer) {
  const image = find("image");
  shapePicture(answer.width, answer.height);
  // A browser may turn an image that the service does not, or the other way round: some formats are disputed.
  const turned = image.naturalWidth === answer.height && image.naturalHeight === answer.width;
  if (turned && answer.width !== answer.height) image.classList.add("as-stored");
  find("boxes").replaceChildren(
    ...answer.lines.map((line, number) => {
      const points = line.box.map((point) => point.map(Number).join(",")).join(" ");
      return draw(
        "g",
        { "data-line": number },
        draw("title", {}, String(line.text)),
        draw("polygon", { class: "halo", points }),
        draw("polygon", { class: "box", points }),
      );
    }),
  );
}

function showLines(answer) {
  find("lines").replaceChildren(
    ...answer.lines.map((line, number) => {
      const score = Number(line.score);
      const label = `${say("line", { number: number + 1 })}: ${line.text}, ${say("score", { score: score.toFixed(2) })}`;
      const meter = make("i", {});
      meter.style.setProperty("--score", Math.min(1, Math.max(0, score)));
      const button = make(
        "button",
        { type: "button", "aria-label": label, "aria-pressed": "false" },
        make("span", { class: "number" }, String(number + 1)),
        make("bdi", { class: "text" }, String(line.text)),
        make("span", { class: score < 0.8 ? "score low" : "score" }, score.toFixed(2), meter),
      );
      return make("li", { "data-line": number }, button);
    }),
  );
  find("none").hidden = answer.lines.length > 0;
  find("none").textContent = say("none");
  find("copy").hidden = answer.lines.length === 0;
}

function clearAnswer() {
  pinned = null;
  find("boxes").replaceChildren();
  find("boxes").classList.remove("marked");
  find("lines").replaceChildren();
  find("none").hidden = true;
  find("copy").hidden = true;
  find("stages").hidden = true;
  for (const id of ["count", "round-trip", "server"]) find(id).textContent = "–";
  for (const id of ["json", "curl"]) find(id).hidden = true;
}

// Highlight one line and its box, or, with null, what is pinned.
function mark(number) {
  const shown = number ?? pinned;
  for (const element of document.querySelectorAll("[data-line]")) {
    const here = shown !== null && Number(element.dataset.line) === shown;
    element.classList.toggle("active", here);
    const button = element.querySelector("button");
    if (button) button.setAttribute("aria-pressed", String(pinned !== null && Number(element.dataset.line) === pinned));
  }
  find("boxes").classList.toggle("marked", shown !== null);
}

function pin(number) {
  pinned = pinned === number ? null : number;
  mark(null);
}

function lineOf(event) {
  const element = event.target instanceof Element ? event.target.closest("[data-line]") : null;
  return element === null ? null : Number(element.dataset.line);
}

function reveal(number) {
  const row = find("lines").children[number];
  if (row) row.scrollIntoView({ block: "nearest" });
}

function connectLinesAndBoxes() {
  const lines = find("lines");
  const boxes = find("boxes");
  for (const side of [lines, boxes]) {
    side.addEventListener("pointerover", (event) => {
      mark(lineOf(event));
      if (side === boxes && lineOf(event) !== null) reveal(lineOf(event));
    });
    side.addEventListener("pointerleave", () => mark(null));
    side.addEventListener("click", (event) => {
      if (lineOf(event) !== null) pin(lineOf(event));
    });
  }
  lines.addEventListener("focusin", (event) => mark(lineOf(event)));
  lines.addEventListener("focusout", () => mark(null));
  lines.addEventListener("keydown", (event) => {
    const current = lineOf(event);
    const last = lines.childElementCount - 1;
    const next = { ArrowDown: current + 1, ArrowUp: current - 1, Home: 0, End: last }[event.key];
    if (event.key === "Escape") pin(pinned);
    if (next === undefined || current === null) return;
    event.preventDefault();
    lines.children[Math.min(last, Math.max(0, next))].firstElementChild.focus();
  });
}

// `decode;dur=3.1, det.inference;dur=40, total;dur=51` as {total, parts: Map of name to milliseconds}, or null.
function parseServerTiming(header) {
  const parts = new Map();
  let total = null;
  for (const item of (header || "").split(",")) {
    const [name, ...parameters] = item.split(";").map((text) => text.trim());
    const duration = parameters.map((text) => /^dur\s*=\s*"?([\d.eE+-]+)"?$/.exec(text)).find(Boolean);
    const value = duration ? Number(duration[1]) : NaN;
    if (!name || !Number.isFinite(value) || value < 0) continue;
    if (name === "total") total = value;
    // All stages of a model are one part.
    else parts.set(name.split(".")[0], (parts.get(name.split(".")[0]) || 0) + value);
  }
  const sum = [...parts.values()].reduce((one, other) => one + other, 0);
  return total === null && parts.size === 0 ? null : { total: total ?? sum, parts, sum };
}

function showTimes(roundTrip, timing) {
  find("round-trip").textContent = milliseconds(roundTrip);
  find("server-figure").hidden = timing === null;
  find("stages").hidden = timing === null || timing.parts.size === 0;
  if (timing === null) return;
  find("server").textContent = milliseconds(timing.total);
  const parts = [...timing.parts];
  const rest = timing.total - timing.sum;
  if (rest > 0.05) parts.push(["rest", rest]);
  const network = roundTrip - Math.max(timing.total, timing.sum);
  if (network > 0.05) parts.push(["network", network]);
  const [bar, list] = find("stages").children;
  bar.replaceChildren(
    ...parts.map(([name, value], number) => {
      const piece = make("i", { class: hue(name, number) });
      piece.style.flexGrow = value;
      return piece;
    }),
  );
  list.replaceChildren(
    ...parts.map(([name, value], number) =>
      make("li", {}, make("i", { class: hue(name, number) }), WORDS[language].stage[name] ?? name, make("b", {}, milliseconds(value))),
    ),
  );
}

function hue(name, number) {
  return name === "network" || name === "rest" ? `hue-${name}` : `hue-${number % 6}`;
}
