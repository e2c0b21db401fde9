// What the page is doing: which pipeline, which image (or text, or JSON), asking the service, errors, the key, the language.

const state = { index: null, chosen: null, file: null, source: null, answer: null, roundTrip: 0, timing: null, error: null, key: "", asking: null };

// Of requests that are no images.
const TYPES = { text: "text/plain; charset=utf-8", json: "application/json" };

// An error of the service, with its words; or of this page, with a key of WORDS.
class Failure extends Error {
  constructor(fields) {
    super(fields.message || fields.words);
    Object.assign(this, fields);
  }
}

async function ask(path, options = {}) {
  const headers = { Accept: "application/json", ...options.headers };
  if (state.key) headers.Authorization = `Bearer ${state.key}`;
  let response, text;
  try {
    response = await fetch(path, { cache: "no-store", credentials: "omit", ...options, headers });
    text = await response.text();
  } catch (error) {
    throw error.name === "AbortError" ? error : new Failure({ words: "unreachable" });
  }
  let content = null;
  try {
    content = JSON.parse(text);
  } catch {
    // Told below.
  }
  if (response.ok && content !== null) return { response, text, content };
  const told = (content && content.error) || {};
  throw new Failure({ status: response.status, message: told.message, remedy: told.remedy });
}

async function loadIndex() {
  const { content } = await ask("./");
  if (!Array.isArray(content.details) || !content.pipelines?.length) throw new Failure({ words: "strange" });
  state.index = content;
  showPipelines();
  if (accepts === pipeline().accepts) return showModels();
  accepts = pipeline().accepts;
  show();
}

function pipeline() {
  const { pipelines } = state.index;
  return pipelines.find(({ name }) => name === state.chosen) ?? pipelines[0];
}

// A choice only where there is one.
function showPipelines() {
  const names = state.index.pipelines.map(({ name }) => name);
  const choice = find("pipelines");
  choice.hidden = names.length < 2;
  // After each answer the index is read again: a list that is open just then must stay as it is.
  if (names.join() === Array.from(choice.options, ({ value }) => value).join()) return;
  choice.replaceChildren(...names.map((name) => make("option", { value: name }, name)));
  choice.value = pipeline().name;
}

function choosePipeline() {
  if (state.asking) state.asking.abort();
  if (state.source) URL.revokeObjectURL(state.source);
  Object.assign(state, { chosen: find("pipelines").value, file: null, source: null, answer: null, error: null });
  accepts = pipeline().accepts;
  enter("empty");
}

async function read(file) {
  if (state.asking) state.asking.abort();
  const asking = (state.asking = new AbortController());
  if (file !== state.file) {
    if (state.source) URL.revokeObjectURL(state.source);
    Object.assign(state, { file, source: URL.createObjectURL(file) });
    if (accepts === "image") showImage(state.source);
  }
  Object.assign(state, { answer: null, error: null });
  enter("busy");
  // What had the focus may be hidden now.
  if (!find("result").contains(document.activeElement)) find("result").focus({ preventScroll: true });
  try {
    const body = await contentOf(file);
    if (state.index === null) await loadIndex();
    checkSize(body);
    const started = performance.now();
    const { response, text, content } = await ask(`predict/${encodeURIComponent(pipeline().name)}`, {
      method: "POST",
      body,
      headers: { "Content-Type": TYPES[accepts] || file.type || "application/octet-stream" },
      signal: asking.signal,
    });
    const roundTrip = performance.now() - started;
    if (content === null || typeof content !== "object" || Array.isArray(content)) throw new Failure({ words: "strange" });
    if (asking !== state.asking) return;
    const timing = parseServerTiming(response.headers.get("Server-Timing"));
    Object.assign(state, { answer: content, text, roundTrip, timing });
    enter("done");
    // Another release may have answered than when the page was opened.
    loadIndex().catch(() => {});
  } catch (error) {
    if (asking === state.asking) fail(error);
  }
}

// The body of the request.
async function contentOf(file) {
  try {
    if (accepts === "json") return await new Blob(['{"inputs": ', file, "}"]).arrayBuffer();
    return await file.arrayBuffer();
  } catch {
    throw new Failure({ words: "unreadable" });
  }
}

// A server that refuses a body while it still arrives may close the connection before a browser sees why.
function checkSize(body) {
  const limit = pipeline().limits?.max_body_bytes ?? Infinity;
  if (body.byteLength > limit) {
    throw new Failure({ words: "tooLarge", values: { size: bytes(body.byteLength), limit: bytes(limit) } });
  }
}

function fail(error) {
  if (error.name === "AbortError") return;
  state.error = error;
  enter(state.file ? "failed" : "empty");
  if (error.status === 401) find("key").focus();
}

function enter(name) {
  document.body.dataset.state = name;
  show();
}

// Everything that depends on the state or the language.
function show() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.title = say("title");
  for (const element of document.querySelectorAll("[data-words]")) element.textContent = say(wordsOf(element));
  for (const element of document.querySelectorAll("[data-hint]")) element.title = say(element.dataset.hint);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", say(element.dataset.label));
  find("language").textContent = say("switch");
  find("language").lang = language === "zh" ? "en" : "zh-CN";
  find("drop").hidden = state.file !== null && accepts === "image";
  find("result").hidden = state.file === null;
  find("picture").hidden = state.file === null || accepts !== "image";
  find("choices").hidden = accepts !== "image";
  find("ask").hidden = accepts === "image";
  showModels();
  showError();
  if (state.file) showResult();
}

// Where there is nothing to drop with, other words fit.
function wordsOf(element) {
  const touched = element.dataset.touch && matchMedia("(pointer: coarse)").matches;
  return touched ? element.dataset.touch : element.dataset.words;
}

function showResult() {
  const { file, answer } = state;
  find("file-name").textContent = file.name;
  find("image").alt = file.name;
  const size = answer && answer.width ? `${answer.width} × ${answer.height} · ${bytes(file.size)}` : bytes(file.size);
  find("file-size").textContent = size;
  clearAnswer();
  const busy = document.body.dataset.state === "busy";
  find("status").textContent = find("none").textContent = busy ? say("reading") : "";
  find("none").hidden = !busy;
  if (!answer) return;
  showTimes(state.roundTrip, state.timing);
  for (const id of ["json", "curl"]) find(id).hidden = false;
  // What a pipeline answers that reads no text is shown as it is.
  const read = Array.isArray(answer.lines);
  for (const id of ["counted", "text"]) find(id).hidden = !read;
  find("json").open = find("json").open || !read;
  if (read) {
    find("count").textContent = answer.lines.length;
    if (accepts === "image") showBoxes(answer);
    showLines(answer);
  }
  find("status").textContent = say(read ? "done" : "answeredIn", { count: answer.lines?.length, time: milliseconds(state.roundTrip) });
  find("json").querySelector("pre").textContent = printed(answer);
  find("curl").querySelector("pre").textContent = command();
}

// Points stay in their lines. Within texts there is no line break that could be taken for one of these.
function printed(answer) {
  return JSON.stringify(answer, null, 1).replace(/\[\n *(-?[\d.e+-]+),\n *(-?[\d.e+-]+)\n *\]/g, "[$1, $2]");
}

function command() {
  const address = new URL(`predict/${encodeURIComponent(pipeline().name)}`, document.baseURI).href;
  const key = state.key ? ' -H "Authorization: Bearer $API_KEY"' : "";
  const sent = {
    text: "-H 'Content-Type: text/plain' --data-binary @text.txt",
    json: "-F inputs=@inputs.json",
  };
  return `curl -sS${key} ${sent[accepts] ?? "-H 'Content-Type: image/jpeg' --data-binary @photo.jpg"} '${address}'`;
}

function showModels() {
  const isShown = ({ name }) => name === pipeline().name || name.startsWith(`${pipeline().name}.`);
  const badges = () => (state.index ? state.index.details.filter(isShown).flatMap(badge) : []);
  find("serving").replaceChildren(...badges());
  find("answered").replaceChildren(...badges());
}

function badge(model) {
  if (model.kind === "pipeline") return [make("b", { class: "pipeline" }, model.name)];
  const precision = model.precision === "native" ? say("native") : model.precision.replace(/^(int8|fp32)$/, (text) => text.toUpperCase());
  const verdict = Object.hasOwn(WORDS[language], model.verdict) ? `${model.name}: ${say(model.verdict)}` : model.name;
  const title = model.digest ? `${verdict}\n${say("digest")} ${model.digest}` : verdict;
  const name = model.name.split(".").pop();
  const parts = [name, make("b", { class: model.precision }, precision)];
  const doubt = `${model.verdict}Short`;
  if (Object.hasOwn(WORDS[language], doubt)) parts.push(make("em", {}, say(doubt)));
  return [make("span", { class: `model ${model.verdict}`, title }, ...parts)];
}

function showError() {
  const { error } = state;
  const locked = error !== null && error.status === 401;
  find("unlock").hidden = !locked;
  if (locked) {
    find("key-hint").textContent = say(state.key ? "keyRefused" : "keyHint");
    find("unlock").classList.toggle("bad", state.key !== "");
  }
  find("error").hidden = error === null || locked;
  if (error === null || locked) return;
  const [title, message, remedy] = told(error);
  find("error-title").textContent = title;
  find("error-message").textContent = message;
  find("error-remedy").textContent = remedy;
}

function told(error) {
  if (error.words) {
    return [say(error.words), say(`${error.words}Message`, error.values), say(`${error.words}Remedy`)];
  }
  if (!error.status) return [error.name, error.message, ""];
  const words = WORDS[language];
  const title = (accepts === "image" ? undefined : words.otherStatus[error.status]) ?? words.status[error.status];
  return [
    title ? `${title} (${error.status})` : `HTTP ${error.status}`,
    error.message ?? say("strangeMessage"),
    error.remedy ?? say("strangeRemedy"),
  ];
}

function retry() {
  if (state.file) return read(state.file);
  state.error = null;
  enter("empty");
  return loadIndex().catch(fail);
}

function useKey(event) {
  event.preventDefault();
  const key = find("key").value.trim();
  if (!/^[\x21-\x7e]+$/.test(key)) {
    find("key-hint").textContent = say("keyOdd");
    return;
  }
  state.key = key;
  find("key").value = "";
  retry();
}

function connectImages() {
  const take = (files) => {
    if (files.length > 0) read(files[0]);
  };
  const choose = () => (accepts === "image" ? find("file").click() : find("content").focus());
  find("choose").addEventListener("click", choose);
  find("another").addEventListener("click", choose);
  find("file").addEventListener("change", () => {
    take([...find("file").files]);
    // So that the same file can be chosen once more.
    find("file").value = "";
  });
  find("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    read(new File([find("content").value], say("written")));
  });
  find("sample").addEventListener("click", async () => read(await sampleImage()));
  document.addEventListener("paste", (event) => take([...event.clipboardData.files]));
  window.addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  window.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) document.body.classList.remove("dragging");
  });
  window.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    take([...event.dataTransfer.files]);
  });
}

function connectButtons() {
  find("again").addEventListener("click", () => read(state.file));
  find("retry").addEventListener("click", retry);
  find("unlock").addEventListener("submit", useKey);
  find("pipelines").addEventListener("change", choosePipeline);
  find("language").addEventListener("click", () => {
    language = language === "zh" ? "en" : "zh";
    remember(LANGUAGE_KEY, language);
    show();
  });
  const copies = [[find("copy"), () => state.answer.lines.map((line) => line.text).join("\n")]];
  for (const id of ["json", "curl"]) copies.push([find(id).querySelector("button"), () => find(id).querySelector("pre").textContent]);
  for (const [button, text] of copies) {
    button.addEventListener("click", async () => {
      await copyText(text());
      button.textContent = say("copied");
      setTimeout(() => (button.textContent = say(button.dataset.words)), 1500);
    });
  }
}

connectLinesAndBoxes();
connectImages();
connectButtons();
show();
loadIndex().catch(fail);
