(() => {
const KIND = "player";
// What all widgets share: elements, bytes, theme, canvases, sound. Prepended to each widget.

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const rgb = (table, index) => `rgb(${table[3 * index]},${table[3 * index + 1]},${table[3 * index + 2]})`;

/** Make an element: h("button", { class: "x", onclick: f }, "text", child). */
function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (key.startsWith("on")) node[key] = value;
    else if (value !== false && value != null) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

/** The content of a button: a symbol, which is not read out, and its text. */
const symbol = (sign, text) => [h("span", { "aria-hidden": "true" }, `${sign} `), text];

/** Copy the bytes of a trait (a DataView) into a typed array. */
function bytesOf(view, Type = Uint8Array) {
  if (!view || !view.byteLength) return new Type(0);
  const buffer = view.buffer ?? view;
  const start = view.byteOffset ?? 0;
  return new Type(buffer.slice(start, start + view.byteLength));
}

/** Codes of a trait, N numbers or N lists of Q numbers, as N lists. */
const framesOf = (codes) => codes.map((code) => [code].flat());

const floatsOf = (view) => Float32Array.from(bytesOf(view, Int16Array), (sample) => sample / 32767);

function formatTime(seconds, digits = 2) {
  const minutes = Math.floor(seconds / 60);
  const rest = (seconds - 60 * minutes).toFixed(digits);
  return minutes ? `${minutes}:${rest.padStart(digits + 3, "0")}` : rest;
}

/** Prepare the root element of a widget; keys stay in it instead of reaching JupyterLab. */
function prepareRoot(el, name, label, onkey) {
  el.classList.add("vq", `vq-${name}`);
  el.tabIndex = 0;
  el.setAttribute("role", "group");
  el.setAttribute("aria-label", label);
  // On the focused element itself, too: Notebook 7 has shortcuts, such as O, of whatever has the focus.
  el.addEventListener("focusin", (event) => event.target.setAttribute("data-lm-suppress-shortcuts", "true"));
  el.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("input, select");
    const pressing = event.target.matches("button") && ["Enter", " "].includes(event.key);
    if (typing || pressing) { event.stopPropagation(); return; }
    if (onkey(event)) { event.preventDefault(); event.stopPropagation(); }
  });
  // A button clicked by mouse would otherwise receive the space bar instead of the player.
  el.addEventListener("click", (event) => { if (event.detail && event.target.closest("button")?.closest(".vq") === el) el.focus({ preventScroll: true }); });
}

const GONE = "The kernel of this widget is gone: run its cell again. Sounds that are in the page still play.";

/** The keys of the widgets on the page whose kernel is gone. */
const goneKeys = () => (globalThis.vqwnGone ??= new Set());

/** Jupyter calls this once per widget, before it is shown; later it says that the kernel is lost. */
const hooks = { initialize({ model }) { model.on("comm_live_update", () => { goneKeys().add(model.get("key")); }); } };

/**
 * Watch the kernel of a widget. When it is restarted, dies or is shut down, a notice is shown in `el`
 * and `changed` is called. Returns { gone, leave }.
 */
function watchKernel(model, el, changed) {
  const notice = h("div", { class: "vq-problem vq-gone", role: "alert" });
  const kernel = { gone: false, leave: () => model.off("comm_live_update", lose) };
  function lose() {
    kernel.gone = true;
    goneKeys().add(model.get("key"));
    notice.textContent = GONE;
    if (!el.parentElement?.closest(".vq")) el.prepend(notice); // else the outer widget shows it
    changed();
  }
  model.on("comm_live_update", lose);
  if (goneKeys().has(model.get("key"))) setTimeout(lose); // shown again later
  return kernel;
}

/** Enable a control; or disable it and say why, as its tooltip and description. */
function allow(node, reason = "") {
  node.hint ??= node.title;
  node.disabled = Boolean(reason);
  node.title = reason || node.hint;
}

/** Disable the controls in an element that need the kernel, which is gone. */
const disableAll = (el) => el.querySelectorAll("button:not(.vq-part), select, input").forEach((node) => allow(node, GONE));

/** Black or white, whichever has the higher contrast on a colour of 0 to 255: at least 4.5. */
function readableOn(red, green, blue) {
  const [r, g, b] = [red, green, blue].map((part) => (part <= 10 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

const OPEN_HELP = ["O", "open the page"];
const helpOf = (keys) => keys.flatMap(([key, what]) => [h("span", {}, h("kbd", {}, key), ` ${what}`), " "]);

/** Replace an element's children; the button that had the focus keeps it. */
function refill(parent, ...children) {
  const buttons = () => [...parent.querySelectorAll("button")];
  const focused = buttons().indexOf(parent.getRootNode().activeElement);
  parent.replaceChildren(...children);
  if (focused >= 0) buttons()[Math.min(focused, buttons().length - 1)]?.focus({ preventScroll: true });
}

/**
 * Whether the page around an element is dark: by Jupyter's colours, else by the page's CSS
 * `color-scheme`, as in marimo, else by the system's theme.
 */
function isDark(el) {
  const style = getComputedStyle(el);
  if (style.getPropertyValue("--jp-layout-color1")) {
    const [r, g, b] = style.backgroundColor.match(/[\d.]+/g).map(Number);
    return 0.299 * r + 0.587 * g + 0.114 * b < 128;
  }
  const [light, dark] = ["light", "dark"].map((word) => style.colorScheme.split(" ").includes(word));
  return light === dark ? matchMedia("(prefers-color-scheme: dark)").matches : dark;
}

/** Set the class of the dark theme, and call back when it changes. */
function watchTheme(el, changed) {
  const dress = () => el.classList.toggle("vq-dark", isDark(el));
  const update = () => {
    if (!el.isConnected) return; // JupyterLab removes distant cells from the page
    dress();
    changed();
  };
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  const observer = new MutationObserver(() => setTimeout(update, 60)); // the new styles are applied later
  observer.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-name", "data-jp-theme-light", "data-theme", "class"] });
  scheme.addEventListener("change", update);
  const back = new ResizeObserver(update); // also called when the cell is put back
  back.observe(el);
  const late = [0, 400].map((wait) => setTimeout(update, wait));
  dress();
  return () => { observer.disconnect(); back.disconnect(); scheme.removeEventListener("change", update); late.forEach(clearTimeout); };
}

const colourOf = (el, name) => getComputedStyle(el).getPropertyValue(name).trim();

/** Fit a canvas to its box at the screen's resolution; returns its context, in CSS pixels. */
function fitCanvas(node, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (node.width !== w || node.height !== h) { node.width = w; node.height = h; }
  node.style.height = `${height}px`;
  const context = node.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = "12px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif";
  context.textBaseline = "middle";
  return context;
}

/** Round steps of an axis: 1, 2 or 5 times a power of ten, at least `least` pixels apart. */
function niceStep(span, pixels, least) {
  const raw = (span * least) / pixels;
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((n) => n * power).find((step) => step >= raw);
}

/** One audio context for each sample rate on the page, so that nothing is resampled here. */
function contextOf(rate) {
  const all = (globalThis.vqwnContexts ??= new Map());
  if (!all.has(rate)) all.set(rate, new AudioContext({ sampleRate: rate, latencyHint: "interactive" }));
  return all.get(rate);
}

/**
 * Plays tracks that run together, of which one is audible; dispatches `change` when it starts or
 * stops. Only one transport of a page plays at a time.
 */
class Transport extends EventTarget {
  constructor(rate) {
    super();
    Object.assign(this, { rate, tracks: [], active: 0, decibels: [], loop: null, views: 0 });
    Object.assign(this, { offset: 0, startedAt: null, sources: [], gains: [], limits: null });
  }

  get context() { return contextOf(this.rate); }
  get playing() { return this.startedAt !== null; }
  get duration() { return Math.max(0, ...this.tracks.map((track) => track.length)) / this.rate; }

  get position() {
    if (!this.playing) return this.offset;
    const now = this.offset + Math.max(0, this.context.currentTime - this.startedAt);
    if (!this.limits) return Math.min(now, this.duration);
    const [start, end] = this.limits;
    return now < end ? now : start + ((now - start) % (end - start));
  }

  load(tracks, offset = 0) {
    this.stop();
    Object.assign(this, { tracks, offset, active: Math.min(this.active, tracks.length - 1) });
  }

  volume(index) { return index === this.active ? 10 ** ((this.decibels[index] || 0) / 20) : 0; }

  play() {
    if (this.playing || !this.duration) return;
    globalThis.vqwnPlaying?.stop();
    globalThis.vqwnPlaying = this;
    const context = this.context;
    context.resume();
    if (this.loop && (this.offset < this.loop[0] || this.offset >= this.loop[1])) this.offset = this.loop[0];
    if (this.offset >= this.duration - 1e-3) this.offset = 0;
    this.limits = this.loop;
    const start = context.currentTime + 0.02;
    this.master = context.createGain();
    this.master.gain.setValueAtTime(0, start);
    this.master.gain.linearRampToValueAtTime(1, start + 0.004); // a sudden start would click
    this.master.connect(context.destination);
    this.gains = this.tracks.map((_, index) => {
      const gain = context.createGain();
      gain.gain.value = this.volume(index);
      gain.connect(this.master);
      return gain;
    });
    this.sources = this.tracks.map((track, index) => {
      const buffer = context.createBuffer(1, track.length, this.rate);
      buffer.copyToChannel(track, 0);
      const source = context.createBufferSource();
      source.buffer = buffer;
      if (this.limits) Object.assign(source, { loop: true, loopStart: this.limits[0], loopEnd: this.limits[1] });
      source.connect(this.gains[index]);
      source.start(start, this.offset);
      return source;
    });
    const longest = this.sources.reduce((a, b) => (a.buffer.length >= b.buffer.length ? a : b));
    longest.onended = () => { if (this.sources.includes(longest)) { this.stop(); this.offset = this.loop ? this.loop[0] : 0; this.notify(); } };
    this.startedAt = start;
    this.notify();
  }

  stop() {
    if (!this.playing) return;
    this.offset = this.position;
    const now = this.context.currentTime;
    this.master.gain.cancelScheduledValues(now);
    this.master.gain.setValueAtTime(this.master.gain.value, now);
    this.master.gain.linearRampToValueAtTime(0, now + 0.008);
    this.sources.forEach((source) => { source.onended = null; source.stop(now + 0.02); });
    this.sources = [];
    this.startedAt = null;
    this.notify();
  }

  seek(seconds) {
    const was = this.playing;
    if (was) this.stop();
    this.offset = clamp(seconds, 0, this.duration);
    if (was) this.play();
    this.notify();
  }

  setLoop(loop) {
    this.loop = loop;
    if (this.playing) this.seek(this.position);
  }

  /** Switch to another track, or level, within 12 ms and without a click. */
  choose(index, decibels = this.decibels) {
    Object.assign(this, { active: index, decibels });
    if (!this.playing) return;
    const now = this.context.currentTime;
    this.gains.forEach((gain, track) => {
      gain.gain.cancelScheduledValues(now);
      gain.gain.setValueAtTime(gain.gain.value, now);
      gain.gain.linearRampToValueAtTime(this.volume(track), now + 0.012);
    });
  }

  notify() { this.dispatchEvent(new Event("change")); }
}

/** The transport of a widget, which all its views on the page share. */
function transportOf(key, rate) {
  const all = (globalThis.vqwnTransports ??= new Map());
  if (!all.has(key)) all.set(key, new Transport(rate));
  const transport = all.get(key);
  transport.views += 1;
  const leave = () => { if (--transport.views === 0) { transport.stop(); all.delete(key); } };
  return [transport, leave];
}

/**
 * Follow traits: follow(model, { "active loop": f }) calls f after changes, once for all that come
 * together: Jupyter sets the traits of a message at once, marimo one after another in any order.
 * Returns how to end it.
 */
function follow(model, handlers) {
  const waiting = new Set();
  let ended = false;
  const pairs = Object.entries(handlers).flatMap(([names, call]) => {
    const run = () => { waiting.delete(call); if (!ended) call(); };
    const later = () => { if (!waiting.has(call)) { waiting.add(call); queueMicrotask(run); } };
    return names.split(" ").map((name) => [`change:${name}`, later]);
  });
  pairs.forEach(([event, call]) => model.on(event, call));
  return () => { ended = true; pairs.forEach(([event, call]) => model.off(event, call)); };
}

/** Set traits and send them to Python. */
function put(model, values) {
  for (const [name, value] of Object.entries(values)) model.set(name, value);
  model.save_changes();
}

/** Replaces Jupyter's model in a page of its own: traits in memory, which are sent nowhere. */
function pageModel(text) {
  const unpack = (value) => {
    if (Array.isArray(value)) return value.map(unpack);
    if (!value || typeof value !== "object") return value;
    if (typeof value.base64 === "string") return new DataView(Uint8Array.from(atob(value.base64), (c) => c.charCodeAt(0)).buffer);
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unpack(item)]));
  };
  return modelOf(unpack(JSON.parse(text)));
}

function modelOf(state) {
  const calls = new Map();
  return {
    get: (name) => state[name],
    set(name, value) {
      if (JSON.stringify(state[name]) === JSON.stringify(value)) return;
      state[name] = value;
      [...(calls.get(`change:${name}`) ?? [])].forEach((call) => call());
    },
    on(event, call) { calls.set(event, [...(calls.get(event) ?? []), call]); },
    off(event, call) { calls.set(event, (calls.get(event) ?? []).filter((other) => other !== call)); },
    save_changes() {},
    send() {},
  };
}

/** The model of a widget within a widget, by its trait; null where there is none. */
async function modelWithin(model, name) {
  const value = model.get(name);
  if (!value) return null;
  return typeof value === "string" ? model.widget_manager.get_model(value.slice("IPY_MODEL_".length)) : modelOf(value);
}

/**
 * Opens what belongs to a number, such as the page of a code, in `box`: the widget that Python makes
 * of it, by anywidget's `host`, while the `kernel` is not gone, or in a page of its own the file that
 * `hrefs` names.
 */
function openerOf(model, box, kernel, host) {
  let shown = null, view = new AbortController(); // which ends the view that is shown
  const waiting = h("div", { class: "vq-note", role: "status" });
  const hrefs = () => model.get("hrefs") ?? {};
  async function show() {
    const opened = model.get("opened"), refused = model.get("refused");
    if (refused) box.replaceChildren(h("div", { class: "vq-problem", role: "alert" }, refused));
    if (!opened || opened === shown || !host) return;
    shown = opened;
    view.abort();
    const { signal } = (view = new AbortController());
    const widget = await host.getWidget(opened.replace("IPY_MODEL_", "anywidget:")), root = h("div");
    if (signal.aborted) return;
    box.replaceChildren(root);
    await widget.render({ el: root, signal });
    requestAnimationFrame(() => root.scrollIntoView({ block: "nearest", behavior: "smooth" }));
  }
  const unfollow = follow(model, { "opened refused": show }), lose = () => waiting.remove();
  model.on("comm_live_update", lose);
  show();
  return {
    ready: () => Boolean(model.get("opens")) || Object.keys(hrefs()).length > 0,
    text: (number) => `${model.get("opens") || "page of code"}${number === undefined ? "" : ` ${number}`}`,
    /** Why what belongs to a number cannot be opened; "" where it can. */
    refusal(number) {
      if (hrefs()[number]) return "";
      if (kernel.gone) return GONE;
      return model.get("opens") ? "" : "this file has no page of it";
    },
    open(number) {
      const file = hrefs()[number];
      if (file) { location.href = file; return; }
      if (!model.get("opens") || kernel.gone) return;
      waiting.textContent = `Opening ${model.get("opens")} ${number} …`;
      box.replaceChildren(waiting);
      shown = null;
      model.send({ do: "open", number });
    },
    leave: () => { view.abort(); unfollow(); model.off("comm_live_update", lose); },
  };
}

/** Decode any sound that the browser knows to 16-bit samples of one channel at a rate. */
async function decode(blob, name, wanted, most) {
  const rate = wanted >= 8000 && wanted <= 96000 ? wanted : 48000; // the rates that every browser supports
  let sound;
  try { sound = await new OfflineAudioContext(1, 1, rate).decodeAudioData(await blob.arrayBuffer()); }
  catch { throw new Error(`${name}: this browser cannot decode it${blob.type ? ` (${blob.type})` : ""}. Give a WAV, FLAC, MP3 or Ogg file.`); }
  if (!sound.length) throw new Error(`${name}: it contains no sound.`);
  const length = Math.min(sound.length, Math.ceil(most * rate) + 1), pcm = new Int16Array(length);
  const channels = [...Array(sound.numberOfChannels).keys()].map((n) => sound.getChannelData(n));
  for (let k = 0; k < length; k++) {
    let sum = 0;
    for (const channel of channels) sum += channel[k];
    pcm[k] = Math.round(32767 * clamp(sum / channels.length, -1, 1));
  }
  return { pcm, rate };
}

/** Take a file that is dropped on a widget, where `ready` says so. */
function takeDrops(el, ready, take) {
  el.addEventListener("dragover", (event) => { if ([...event.dataTransfer.types].includes("Files")) { event.preventDefault(); event.stopPropagation(); el.classList.toggle("vq-drop", ready()); } });
  el.addEventListener("dragleave", () => el.classList.remove("vq-drop"));
  el.addEventListener("drop", (event) => {
    const dropped = event.dataTransfer.files[0];
    el.classList.remove("vq-drop");
    if (!dropped) return;
    event.preventDefault(); event.stopPropagation();
    if (ready()) take(dropped);
  });
}

// The player: tracks under one playhead, waveform, spectrogram, codes, phones, and the blind test.

const GUTTER = 58; // pixels at the left, for names of lanes
const HELP = [["Space", "play"], ["1–9", "track"], ["← →", "0.1 s; with Shift 1 s"], ["Home", "start"], ["L", "loop here"],
  ["[ ]", "loop start, end"], ["Esc", "no loop"], ["+ −", "zoom"], ["Z", "zoom to loop, or all"], ["M", "match levels"]];
const RATING_WORDS = ["bad", "poor", "fair", "good", "excellent"];

function render({ model, el, host }) {
  const rate = model.get("sample_rate"), [bands, frame] = model.get("spectrogram_form");
  const [transport, leave] = transportOf(model.get("key"), rate);
  let tracks, codes = [], codeColours, phones = [], marks = [], hop, pictures, total, drawn = null;
  const read = () => { // what Python may replace at any time, by `load`
    tracks = model.get("pcm").map(floatsOf);
    hop = model.get("hop_length") / rate; drawn = null;
    pictures = makeSpectrograms(model.get("spectrograms"), bands, bytesOf(model.get("magma")));
    if (transport.source !== model.get("pcm")) transport.load(tracks, clamp(model.get("position"), 0, tracks[0].length / rate));
    transport.source = model.get("pcm");
    total = transport.duration;
  };
  read();
  if (transport.views === 1 && model.get("playing")) put(model, { playing: false }); // the page was reloaded
  const sent = []; // positions sent to Python, whose echoes must not seek
  let lastSent = 0, animation = 0, drag = null, hover = null, width = 0;

  const blind = () => { const state = model.get("blind_state"); return state.mode ? state : null; };
  const hidden = () => blind() && !blind().done;
  const shown = () => (blind() ? blind().order : tracks.map((_, index) => index));
  // In ABX one track plays under two labels, so the chosen label is known here only.
  let label = Math.max(0, shown().indexOf(model.get("active")));
  /** Read the codes, phones and marks of the track that is shown, which may have its own. */
  function readStrip() {
    const strip = model.get("own")[shown()[label]] ?? Object.fromEntries(["codes", "code_colours", "phones", "marks"].map((name) => [name, model.get(name)]));
    if (drawn === `${label}`) return;
    drawn = `${label}`;
    codes = framesOf(strip.codes); codeColours = bytesOf(strip.code_colours);
    ({ phones, marks } = strip);
  }
  readStrip();

  const playButton = h("button", { class: "vq-primary vq-play", onclick: () => toggle() });
  const trackBar = h("span", { style: "display:contents" });
  const match = h("button", { class: "vq-match", onclick: () => put(model, { matched: !model.get("matched") }) });
  const time = h("span", { class: "vq-time" }), below = h("div", { class: "vq-within" });
  const kernel = watchKernel(model, el, () => dress()), door = openerOf(model, below, kernel, host);
  const openHere = () => { const here = codeAt(transport.position); if (here) door.open(here[0]); };
  const openButton = h("button", { class: "vq-open", title: "key O", onclick: openHere });
  const base = h("canvas", { "aria-hidden": "true" }), over = h("canvas", { "aria-hidden": "true" });
  const stack = h("div", { class: "vq-stack", tabindex: 0, role: "slider", "aria-label": "position", "aria-valuemin": 0 }, base, over);
  const status = h("div", { class: "vq-note vq-status" }), notes = h("div", { class: "vq-note" });
  const sheet = h("div", { class: "vq-blind", hidden: true });
  const help = h("div", { class: "vq-help" }, ...helpOf(door.ready() ? [...HELP, OPEN_HELP] : HELP));
  el.append(...[model.get("title") && h("div", { class: "vq-title" }, model.get("title")),
    h("div", { class: "vq-bar" }, playButton, trackBar, match, openButton, h("span", { class: "vq-grow" }), time),
    stack, status, notes, sheet, help, below].filter(Boolean));
  prepareRoot(el, "player", model.get("title") || "player", onkey);

  // ---- where things are drawn
  const codebooks = () => codes[0]?.length ?? 0;
  const stripHeight = () => (codebooks() > 1 ? codebooks() * clamp(Math.floor(160 / codebooks()), 6, 18) : 28 * codebooks());
  const lanes = () => {
    const list = [["time", 24], ["wave", 84], ["spectrogram", 124], ["codes", stripHeight()], ["phones", phones.length ? 22 : 0]];
    const seen = hidden() ? [["time", 24], ["hidden", 40]] : list.filter(([, height]) => height);
    let top = 0;
    return seen.map(([name, height]) => { const lane = { name, top, height }; top += height + 4; return lane; });
  };
  const view = () => { const v = model.get("view"); return v.length ? v : [0, total]; };
  const xOf = (seconds) => GUTTER + ((seconds - view()[0]) / (view()[1] - view()[0])) * (width - GUTTER);
  const secondsOf = (x) => clamp(view()[0] + ((x - GUTTER) / (width - GUTTER)) * (view()[1] - view()[0]), 0, total);
  const codeAt = (seconds) => codes[Math.floor(seconds / hop)];
  const phoneAt = (seconds) => phones.find(([start, end]) => seconds >= start && seconds < end)?.[2];
  const factsAt = (seconds) => [codes.length && codeAt(seconds) !== undefined && `code ${codeAt(seconds).join(" ")}`, phoneAt(seconds) && `phone ${phoneAt(seconds)}`].filter(Boolean).join(" · ");

  function draw() {
    width = stack.clientWidth;
    if (width < 2 * GUTTER) return;
    readStrip();
    const rows = lanes(), last = rows[rows.length - 1], height = last.top + last.height;
    const g = fitCanvas(base, width, height);
    const ink = colourOf(el, "--ink"), faint = colourOf(el, "--faint"), accent = colourOf(el, "--accent");
    const field = colourOf(el, "--field"), line = colourOf(el, "--line");
    for (const { name, top, height: tall } of rows) {
      g.save();
      g.fillStyle = faint; g.textAlign = "right";
      if (name === "wave") g.fillText("wave", GUTTER - 8, top + tall / 2);
      if (["codes", "phones"].includes(name)) g.fillText(name, GUTTER - 8, top + tall / 2);
      if (name === "spectrogram") for (const [text, y] of model.get("frequency_marks")) g.fillText(text, GUTTER - 8, top + tall * (1 - y));
      if (name === "time") g.fillText("s", GUTTER - 8, top + tall / 2);
      g.beginPath(); g.rect(GUTTER, top, width - GUTTER, tall); g.clip();
      if (name !== "time") { g.fillStyle = field; g.fillRect(GUTTER, top, width - GUTTER, tall); }
      if (name === "time") drawTime(g, top, tall, faint, line);
      if (name === "wave") drawWave(g, top, tall, accent, line);
      if (name === "spectrogram") drawSpectrogram(g, top, tall);
      if (name === "codes") drawCodes(g, top, tall);
      if (name === "phones") drawPhones(g, top, tall, ink, line);
      if (name === "hidden") { g.fillStyle = faint; g.textAlign = "center"; g.fillText("waveform, spectrogram and codes are hidden during the blind test", GUTTER + (width - GUTTER) / 2, top + tall / 2); }
      g.restore();
    }
    drawMarks(g, rows, colourOf(el, "--mark"));
    drawOver();
  }
  function drawMarks(g, rows, mark) {
    const top = rows[0].top + rows[0].height, last = rows[rows.length - 1];
    if (hidden()) return;
    for (const [start, end] of marks) {
      const a = Math.max(GUTTER, xOf(start)), b = Math.min(width, xOf(end));
      if (b <= a) continue;
      g.fillStyle = mark; g.fillRect(a, top - 4, Math.max(2, b - a), 6);
      if (b - a > 6) { g.strokeStyle = mark; g.lineWidth = 1; g.strokeRect(a + 0.5, top + 2, b - a - 1, last.top + last.height - top - 3); }
    }
  }
  function drawTime(g, top, tall, faint, line) {
    const [start, end] = view(), step = niceStep(end - start, width - GUTTER, 64);
    g.fillStyle = faint; g.textAlign = "center";
    for (let n = Math.ceil(start / step); n * step <= end + 1e-9; n++) {
      const x = xOf(n * step), text = (n * step).toFixed(step < 0.1 ? 2 : step < 1 ? 1 : 0);
      g.fillRect(x, top + tall - 4, 1, 4);
      if (n * step - start < (end - start) / 50) g.textAlign = "left";
      else g.textAlign = x > width - 16 ? "right" : "center";
      g.fillText(text, x, top + tall / 2);
    }
  }
  function drawWave(g, top, tall, accent, line) {
    const wave = tracks[shown()[label]], [start, end] = view(), pixels = width - GUTTER, middle = top + tall / 2;
    g.fillStyle = line; g.fillRect(GUTTER, middle, pixels, 1);
    g.fillStyle = accent;
    const gain = model.get("matched") ? 10 ** (model.get("gains_db")[shown()[label]] / 20) : 1;
    const perPixel = ((end - start) * rate) / pixels;
    for (let x = 0; x < pixels; x++) {
      const from = Math.floor(start * rate + x * perPixel), to = Math.max(from + 1, Math.floor(start * rate + (x + 1) * perPixel));
      let low = 1, high = -1;
      for (let k = from; k < to && k < wave.length; k++) { const s = wave[k]; if (s < low) low = s; if (s > high) high = s; }
      if (high >= low) g.fillRect(GUTTER + x, middle - (gain * high * tall) / 2, 1, Math.max(1, (gain * (high - low) * tall) / 2));
    }
  }
  function drawSpectrogram(g, top, tall) {
    const picture = pictures[shown()[label]], [start, end] = view();
    const column = (seconds) => (seconds * rate) / frame + 0.5; // a column's centre is its time
    g.drawImage(picture, column(start), 0, column(end) - column(start), picture.height, GUTTER, top, width - GUTTER, tall);
  }
  function drawCodes(g, top, tall) {
    const [start, end] = view(), wide = xOf(hop) - xOf(0), Q = codebooks(), each = tall / Q, text = wide >= 22 && each >= 11;
    g.textAlign = "center";
    for (let n = Math.max(0, Math.floor(start / hop)); n < codes.length && n * hop < end; n++) {
      const x = xOf(n * hop);
      codes[n].forEach((code, q) => {
        const cell = n * Q + q, y = top + q * each;
        g.fillStyle = rgb(codeColours, cell);
        g.fillRect(x, y, wide + (wide > 4 && codes[n + 1]?.[q] !== code ? -1 : 0.5), each); // codes of one class have one colour
        if (text) { g.fillStyle = readableOn(...codeColours.subarray(3 * cell, 3 * cell + 3)); g.fillText(code, x + wide / 2, y + each / 2 + 1); }
      });
    }
  }
  function drawPhones(g, top, tall, ink, line) {
    g.textAlign = "center";
    for (const [start, end, name] of phones) {
      const a = xOf(start), b = xOf(end);
      if (b < GUTTER || a > width) continue;
      g.fillStyle = line; g.fillRect(a, top, 1, tall);
      g.fillStyle = ink;
      const middle = (Math.max(a, GUTTER) + Math.min(b, width)) / 2;
      if (name !== "SIL" && g.measureText(name).width + 3 <= b - a) g.fillText(name, middle, top + tall / 2 + 1);
    }
  }
  function drawOver() {
    const rows = lanes(), last = rows[rows.length - 1], height = last.top + last.height;
    const g = fitCanvas(over, width, height), mark = colourOf(el, "--mark"), ink = colourOf(el, "--ink");
    const at = transport.position, loop = drag?.span ?? model.get("loop");
    if (loop.length) {
      const a = Math.max(GUTTER, xOf(loop[0])), b = Math.min(width, xOf(loop[1]));
      g.globalAlpha = 0.6; g.fillStyle = colourOf(el, "--paper");
      g.fillRect(GUTTER, 0, Math.max(0, a - GUTTER), height); g.fillRect(b, 0, Math.max(0, width - b), height);
      g.globalAlpha = 1; g.fillStyle = mark;
      if (b > a) { g.fillRect(a - 1, 0, 2, height); g.fillRect(b - 1, 0, 2, height); g.fillRect(a, 0, b - a, 3); }
    }
    const strip = rows.find((lane) => lane.name === "codes");
    for (const seconds of [at, hover].filter((value) => value !== null)) {
      const n = Math.floor(seconds / hop);
      if (!strip || n >= codes.length) continue;
      const a = xOf(n * hop), b = xOf((n + 1) * hop), pad = Math.max(0, 7 - (b - a)) / 2;
      if (b < GUTTER || a > width) continue;
      const Q = codebooks(), each = (strip.height + 6) / Q;
      codes[n].forEach((_, q) => { g.fillStyle = rgb(codeColours, n * Q + q); g.fillRect(a - pad, strip.top - 3 + q * each, b - a + 2 * pad, each); });
      g.strokeStyle = ink; g.lineWidth = 1.5; g.strokeRect(a - pad, strip.top - 3, b - a + 2 * pad, strip.height + 6);
    }
    const x = xOf(at);
    if (x >= GUTTER - 1 && x <= width + 1) {
      g.fillStyle = mark; g.fillRect(x - 1, 0, 2, height);
      g.beginPath(); g.moveTo(x - 6, 0); g.lineTo(x + 6, 0); g.lineTo(x, 8); g.fill();
    }
    time.textContent = `${formatTime(at)} / ${formatTime(total)} s`;
    time.dataset.seconds = at;
    if (!openButton.hidden) dressOpener(codeAt(at)?.[0]);
    stack.setAttribute("aria-valuenow", at.toFixed(1)); stack.setAttribute("aria-valuemax", total.toFixed(1));
    stack.setAttribute("aria-valuetext", `${formatTime(at)} of ${formatTime(total)} seconds${hidden() || !factsAt(at) ? "" : `, ${factsAt(at)}`}`);
    const instant = hover !== null ? hover : at, what = hidden() ? "" : factsAt(instant);
    const span = loop.length ? `loop ${formatTime(loop[0])}–${formatTime(loop[1])} s` : "";
    status.textContent = [hover !== null ? `pointer at ${formatTime(hover, 3)} s` : what && `at ${formatTime(at, 3)} s`, what, span].filter(Boolean).join("   ·   ");
  }

  // ---- buttons
  function dress() {
    const test = blind(), names = test ? (test.done ? test.labels.map((name, n) => `${name} = ${test.revealed[n]}`) : test.labels) : model.get("names");
    const decibels = model.get("gains_db"), on = model.get("matched");
    const spread = Math.max(...shown().map((n) => decibels[n])) - Math.min(...shown().map((n) => decibels[n]));
    refill(trackBar, ...shown().map((track, n) => {
      const change = hidden() ? null : h("span", { class: "vq-gain", hidden: !spread, style: on ? null : "visibility:hidden" }, ` ${signed(decibels[track])} dB`); // takes its room when it is not shown, too
      return h("button", { class: "vq-track", "aria-pressed": String(n === label), onclick: () => choose(n) }, test ? names[n] : `${n + 1} ${names[n]}`, change ?? "");
    }));
    match.textContent = "Match levels";
    match.setAttribute("aria-pressed", String(on));
    match.title = "set all tracks to the same RMS level, the highest at which none clips";
    const unfair = hidden() && !on && spread > 0.5 && `Levels differ by up to ${spread.toFixed(1)} dB: match them, or loudness alone may identify the tracks.`;
    notes.textContent = [model.get("notes"), unfair, on && hidden() && "All tracks have the same RMS level."].filter(Boolean).join(" ");
    notes.hidden = !notes.textContent;
    openButton.hidden = Boolean(hidden()) || !codes.length || !door.ready();
    dressOpener(codeAt(transport.position)?.[0]);
    playButton.replaceChildren(...(transport.playing ? symbol("❚❚", "Pause") : symbol("▶", "Play")));
    status.hidden = Boolean(hidden());
    dressSheet(test);
  }
  function dressOpener(code) {
    openButton.textContent = door.text(code);
    allow(openButton, door.refusal(code));
  }
  const say = (message) => { if (!kernel.gone) model.send(message); };
  function dressSheet(test) {
    sheet.hidden = !test;
    if (!test) return;
    const close = h("button", { class: "vq-close", onclick: () => say({ do: "reveal" }) }, test.done ? "Close" : "Stop the test");
    const rows = [];
    if (test.done) rows.push(h("div", { class: "vq-results", style: "white-space:pre-line" }, test.results));
    else if (test.mode === "abx") {
      rows.push(h("div", {}, `Trial ${test.trial} of ${test.trials}. Play A, B and X as often as you like. Is X A or B?`));
      rows.push(h("div", { class: "vq-row" }, ...["A", "B"].map((choice) => h("button", { class: `vq-answer-${choice}`, onclick: () => say({ do: "abx", choice }) }, `X is ${choice}  (key ${choice})`)), h("span", { class: "vq-grow" }), close));
    } else {
      rows.push(h("div", {}, "Rate the quality of each track. Shift and 1–5 rate the track that is playing."));
      test.labels.forEach((name, n) => rows.push(h("div", { class: "vq-row", role: "group", "aria-label": `rating of ${name}` }, h("b", {}, name),
        ...RATING_WORDS.map((word, k) => h("button", { class: `vq-rate vq-rate-${name}-${k + 1}`, "aria-pressed": String(test.ratings[n] === k + 1), onclick: () => say({ do: "rate", label: n, value: k + 1 }) }, `${k + 1} ${word}`)))));
      const finish = h("button", { class: "vq-primary vq-finish", onclick: () => say({ do: "finish" }) }, "Save and reveal");
      allow(finish, test.ratings.includes(0) ? "rate every track first" : "");
      rows.push(h("div", { class: "vq-row" }, finish,
        h("span", { class: "vq-grow" }), close));
    }
    if (test.done) rows.push(h("div", { class: "vq-row" }, close));
    if (test.problem) rows.push(h("div", { class: "vq-problem" }, test.problem));
    refill(sheet, ...rows);
    if (kernel.gone) disableAll(sheet);
  }

  // ---- what the user does
  function toggle() { transport.playing ? transport.stop() : transport.play(); }
  function seek(seconds) { transport.seek(seconds); sendPosition(); }
  function choose(n) {
    label = n;
    put(model, { active: shown()[n] });
    transport.choose(shown()[n]); dress(); draw();
  }
  function setLoop(span) {
    if (span && span[1] - span[0] < 0.02) span = null;
    put(model, { loop: span ?? [] });
  }
  function zoom(factor) {
    const [start, end] = view(), middle = clamp(transport.position, start, end), share = (middle - start) / (end - start);
    const span = clamp((end - start) * factor, 0.05, total), left = clamp(middle - share * span, 0, total - span);
    put(model, { view: span >= total ? [] : [left, left + span] });
  }
  function keepInView() {
    const [start, end] = view(), at = transport.position;
    if (drag || (at >= start && at <= end)) return;
    const left = clamp(at - 0.02 * (end - start), 0, total - (end - start));
    put(model, { view: [left, left + end - start] });
  }
  function onkey(event) {
    const { key, code, shiftKey } = event, at = transport.position, loop = model.get("loop"), test = blind();
    const digit = /^(Digit|Numpad)([1-9])$/.exec(code)?.[2];
    const step = shiftKey ? 1 : 0.1;
    if (key === " ") toggle();
    else if (digit && shiftKey && test?.mode === "rating" && !test.done && digit <= 5) say({ do: "rate", label, value: Number(digit) });
    else if (digit && !shiftKey && digit <= shown().length) choose(digit - 1);
    else if (key === "ArrowLeft") seek(at - step);
    else if (key === "ArrowRight") seek(at + step);
    else if (key === "Home") seek(loop.length ? loop[0] : 0);
    else if (key === "End") seek(total);
    else if (key === "l" || key === "L") setLoop(loop.length ? null : [clamp(at - 0.25, 0, total), clamp(at + 0.25, 0, total)]);
    else if (key === "[") setLoop([at, loop.length && loop[1] > at ? loop[1] : total]);
    else if (key === "]") setLoop([loop.length && loop[0] < at ? loop[0] : 0, at]);
    else if (key === "Escape") { drag = null; setLoop(null); }
    else if ((key === "o" || key === "O") && !openButton.hidden) openHere();
    else if (key === "m" || key === "M") put(model, { matched: !model.get("matched") });
    else if (key === "+" || key === "=") zoom(0.5);
    else if (key === "-") zoom(2);
    else if (key === "z" || key === "Z") put(model, { view: model.get("view").length || !loop.length ? [] : [...loop] });
    else if (test?.mode === "abx" && !test.done && /^[ab]$/i.test(key)) say({ do: "abx", choice: key.toUpperCase() });
    else return false;
    return true;
  }
  const xUnder = (event) => event.clientX - over.getBoundingClientRect().left;
  over.onpointerdown = (event) => { if (event.button === 0) { over.setPointerCapture(event.pointerId); drag = { from: xUnder(event), span: null }; el.focus({ preventScroll: true }); } };
  over.onpointermove = (event) => {
    const x = xUnder(event);
    hover = x >= GUTTER && !hidden() ? secondsOf(x) : null;
    if (drag && Math.abs(x - drag.from) > 5) { const pair = [secondsOf(drag.from), secondsOf(x)].sort((a, b) => a - b); drag.span = pair; }
    drawOver();
  };
  over.onpointerup = (event) => {
    const was = drag, x = xUnder(event); drag = null;
    if (!was) return;
    if (was.span) { setLoop(was.span); transport.seek(was.span[0]); sendPosition(); return; }
    const seconds = secondsOf(x), loop = model.get("loop");
    if (loop.length && (seconds < loop[0] || seconds >= loop[1])) setLoop(null);
    seek(seconds);
  };
  over.onpointercancel = () => { drag = null; drawOver(); };
  over.onpointerleave = () => { hover = null; drawOver(); };

  // ---- what follows what
  function sendPosition() {
    const at = transport.position;
    sent.push(at); if (sent.length > 40) sent.shift();
    lastSent = performance.now();
    put(model, { position: at });
  }
  function tick() {
    cancelAnimationFrame(animation);
    if (transport.playing) {
      if (performance.now() - lastSent > 100) sendPosition();
      keepInView();
      animation = requestAnimationFrame(tick);
    }
    drawOver();
  }
  const onTransport = () => {
    if (model.get("playing") !== transport.playing) put(model, { playing: transport.playing });
    if (!transport.playing) sendPosition();
    dress(); tick();
  };
  transport.addEventListener("change", onTransport);
  const applyLevels = () => transport.choose(model.get("active"), model.get("matched") ? model.get("gains_db") : []);
  const applyLoop = () => { const loop = model.get("loop"); transport.setLoop(loop.length ? [Math.min(loop[0], total - 0.02), Math.min(loop[1], total)] : null); };
  const unfollow = follow(model, {
    "pcm codes phones marks own": () => { read(); label = clamp(label, 0, shown().length - 1); applyLoop(); applyLevels(); dress(); draw(); },
    playing: () => { if (model.get("playing") !== transport.playing) toggle(); },
    position: () => { const p = model.get("position"); if (!sent.some((q) => Math.abs(p - q) < 1e-6)) transport.seek(p); },
    active: () => { if (shown()[label] !== model.get("active")) label = Math.max(0, shown().indexOf(model.get("active"))); applyLevels(); dress(); draw(); },
    matched: () => { applyLevels(); dress(); draw(); },
    loop: () => { applyLoop(); drawOver(); },
    view: draw,
    blind_state: () => {
      const fresh = !blind() || (blind().trial === 1 && !blind().problem && !blind().done && !blind().ratings.some(Boolean));
      if (fresh || !hidden() || blind().mode === "abx") {
        label = hidden() && blind().mode === "abx" ? Math.min(label, 2) : Math.max(0, shown().indexOf(model.get("active")));
        if (shown()[label] !== model.get("active")) choose(label);
      }
      dress(); draw();
    },
  });
  const resize = new ResizeObserver(draw);
  resize.observe(stack);
  const unwatch = watchTheme(el, draw);
  applyLoop(); applyLevels(); dress(); draw(); tick();
  return () => { cancelAnimationFrame(animation); kernel.leave(); unfollow(); unwatch(); resize.disconnect(); transport.removeEventListener("change", onTransport); door.leave(); leave(); };
}

const signed = (value) => (Math.abs(value) < 0.05 ? "±0" : `${value > 0 ? "+" : "−"}${Math.abs(value).toFixed(1)}`);

/** Turn mel spectrograms (bands x columns, uint8) into canvases, low frequencies at the bottom. */
function makeSpectrograms(views, bands, table) {
  return views.map((view) => {
    const cells = bytesOf(view), columns = cells.length / bands;
    const canvas = h("canvas", { width: columns, height: bands });
    const g = canvas.getContext("2d"), image = g.createImageData(columns, bands);
    for (let band = 0; band < bands; band++) for (let column = 0; column < columns; column++) {
      const value = cells[band * columns + column], at = 4 * ((bands - 1 - band) * columns + column);
      image.data.set([table[3 * value], table[3 * value + 1], table[3 * value + 2], 255], at);
    }
    g.putImageData(image, 0, 0);
    return canvas;
  });
}



// Shows the widgets of a page: their state and their sounds are in `globalThis.vqwnLive`, which the
// files of `live/` fill. Prepended are the widget's own code and `KIND`, its name.

const bytesIn = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

/** The text that was compressed by gzip. */
const unzipped = (bytes) => new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();

/** The sounds of a widget, decoded when they are first needed: a function of their name. */
function soundsOf(live) {
  const blocks = new Map();
  const decode = async (text) => {
    const sound = await new OfflineAudioContext(1, 1, live.rate).decodeAudioData(bytesIn(text).buffer);
    return sound.getChannelData(0);
  };
  return async (name) => {
    const [block, start, length] = live.places[name];
    if (!blocks.has(block)) blocks.set(block, decode(live.mp3[block]));
    const samples = (await blocks.get(block)).subarray(start, start + length);
    const pcm = new Int16Array(length); // a decoder may leave out the last samples
    samples.forEach((sample, n) => { pcm[n] = Math.round(32767 * clamp(sample, -1, 1)); });
    return new DataView(pcm.buffer);
  };
}

/** Answer what an explorer asks for, in place of a kernel. */
function answer(model, live, sound) {
  const replies = [], { on } = model;
  model.on = (event, call) => (event === "msg:custom" ? replies.push(call) : on(event, call));
  model.send = async ({ point, sound: kind }) => {
    const name = `${point} ${kind}`, about = { point, sound: kind };
    const reply = (message, buffers) => replies.forEach((call) => call({ ...about, ...message }, buffers));
    if (name in live.failed) return reply({ do: "failed", why: live.failed[name] }, []);
    try { reply({ do: "sound" }, [await sound(name)]); }
    catch (error) { reply({ do: "failed", why: error.message }, []); throw error; }
  };
}

async function showLive(el) {
  const live = globalThis.vqwnLive[el.dataset.live];
  if (live.widget !== KIND) return;
  const model = pageModel(await unzipped(bytesIn(live.state))), sound = soundsOf(live);
  if (KIND === "explorer") answer(model, live, sound);
  else {
    const pcm = await Promise.all(Object.keys(live.places).map(sound));
    if (KIND === "lab") model.get("player").pcm = pcm; else model.set("pcm", pcm);
  }
  el.replaceChildren();
  render({ model, el });
}

document.querySelectorAll("[data-live]").forEach((el) => showLive(el).catch((error) => {
  el.textContent = `This browser cannot show the widget: ${error.message}`;
  throw error;
}));
})();
