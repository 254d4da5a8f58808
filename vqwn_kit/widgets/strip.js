// The strip: codes as cells that are selected like text, cut, repeated, stretched and spliced; and
// below them, where the decoder is conditioned on pitch, the pitch as a line that is dragged.

const EDGE = 58; // pixels for times at the left
const NAMES = { cut: "Cut", copy: "Copy", splice: "Insert", repeat: "Repeat", half: "½ as long", twice: "2 × as long", higher: "Pitch +1", lower: "Pitch −1", undo: "Undo", redo: "Redo", reset: "Reset", part: "Play selection" };
const KEYS = { Delete: "cut", Backspace: "cut", d: "repeat", ",": "half", ".": "twice", p: "part", o: "open", "+": "higher", "-": "lower" };
const PITCH = 56; // pixels; height of the line of the pitch

/**
 * Show the codes of a lab in `el`, which stands in the lab's root `home`; `send` sends to Python,
 * while the `kernel` is not gone. Returns what the lab calls: when something changed, for a key, and to set the player's model.
 */
function render({ model, el, home, send, kernel, host }) {
  const page = model.get("page"), { rate, hop, codes: K, codebooks: Q, pitch: L } = model.get("about"), frame = hop / rate, palette = bytesOf(model.get("palette"));
  // Pixels: height of a code, of a frame, which has a code of each codebook, and of a line of frames.
  const ROW = Q > 1 ? 18 : 24, CELL = ROW * Math.max(1, Q), BELOW = (L ? PITCH + 8 : Q > 1 ? 8 : 2), unit = Q > 1 ? "frame" : "code";
  let waiting = null; // keys pressed during an edit, which apply after it
  let bent = null; // levels by frame while the line is dragged
  let inner = null, anchor = 0, columns = 1, width = 0, dragging = false, leaveInner = () => {};
  const does = {
    cut: () => edit("cut"), copy: () => edit("copy"), splice: () => edit("splice"), repeat: () => edit("repeat", 2), half: () => edit("stretch", 0.5),
    twice: () => edit("stretch", 2), undo: () => edit("undo"), redo: () => edit("redo"), higher: () => edit("transpose", 1), lower: () => edit("transpose", -1), reset: () => edit("reset"), part: () => playSpan(),
  };
  const buttons = Object.fromEntries(Object.entries(NAMES).filter(([name]) => L || !["higher", "lower"].includes(name)).map(([name, text]) => [name, h("button", { class: `vq-${name}`, onclick: does[name] }, ...(name === "part" ? symbol("▶", text) : [text]))]));
  const below = h("div", { class: "vq-within" }), door = openerOf(model, below, kernel, host);
  buttons.open = h("button", { class: "vq-open", title: "key O", hidden: true, onclick: () => { const code = codeHere(); if (code !== undefined) door.open(code); } });
  const bar = h("div", { class: "vq-bar" }, h("span", { class: "vq-label" }, "Codes"), ...Object.values(buttons));
  const base = h("canvas"), over = h("canvas");
  const stack = h("div", { class: "vq-stack", "aria-hidden": "true" }, base, over);
  const roll = h("div", { class: "vq-roll", tabindex: 0, role: "application", "aria-label": "the codes: arrow keys move in them, with Shift they select" }, stack), position = h("div", { class: "vq-note vq-place", role: "status" });
  el.append(...(page ? [] : [bar]), roll, position, below);

  const selected = () => { const [a, b] = model.get("selection"), N = model.get("codes").length; return [clamp(a, 0, N), clamp(b, 0, N)]; };
  /** What an edit applies to: the selection, or the code after the caret. */
  const span = () => { const [a, b] = selected(); return a < b ? [a, b] : [a, Math.min(a + 1, model.get("codes").length)]; };
  /** Whether the player's track has exactly these codes. */
  const fits = () => Boolean(inner && model.get("matching_tracks").includes(inner.get("names")[inner.get("active")]));
  /** The code of the first codebook at the caret, or the first that is selected. */
  const codeHere = () => [model.get("codes")[span()[0]]].flat()[0];
  /** Select codes; the buttons know it at once, for a key that comes next. */
  const select = (a, b) => { put(model, { selection: [a, b] }); dress(); };
  function edit(what, amount) {
    const [a, b] = what === "splice" ? selected() : span();
    waiting ??= [];
    send({ do: "edit", what, start: a, end: b, ...(amount ? { amount } : {}) });
  }
  function playSpan() {
    const [a, b] = selected();
    if (!fits() || a >= b) return;
    put(inner, { playing: false });
    put(inner, { loop: [a * frame, Math.max(b * frame, a * frame + 0.02)], position: a * frame });
    put(inner, { playing: true });
  }
  const tokenOf = (code, q) => (q * K + code) % (palette.length / 3);
  const digits = String(Math.max(10, K - 1)).length, cell = 12 + 8 * digits;
  const phones = () => model.get("phones") ?? [], above = () => (phones().some(Boolean) ? 15 : 0), lineHeight = () => above() + CELL + BELOW;
  const cellOf = (n) => [EDGE + (n % columns) * cell, Math.floor(n / columns) * lineHeight() + above()];
  function draw() {
    const frames = framesOf(model.get("codes"));
    width = stack.clientWidth;
    if (el.hidden || width < EDGE + cell) return;
    columns = Math.floor((width - EDGE) / cell);
    const height = Math.ceil(frames.length / columns) * lineHeight(), g = fitCanvas(base, width, height);
    frames.forEach((codes, n) => {
      const [x, y] = cellOf(n);
      if (n % columns === 0) { g.fillStyle = colourOf(el, "--faint"); g.textAlign = "right"; g.fillText(`${(n * frame).toFixed(2)} s`, EDGE - 8, y + CELL / 2); }
      codes.slice(0, Q).forEach((code, q) => {
        const top = y + q * ROW;
        const joined = n % columns && frames[n - 1][q] === code, token = 3 * tokenOf(code, q);
        g.fillStyle = rgb(palette, token / 3); g.fillRect(x - (joined ? 1 : 0), top, cell - 1 + (joined ? 1 : 0), Q > 1 ? ROW - 1 : ROW);
        g.fillStyle = readableOn(...palette.subarray(token, token + 3)); g.textAlign = "center";
        if (!joined) g.fillText(code, x + (cell - 1) / 2, top + ROW / 2 + 1);
      });
    });
    g.fillStyle = colourOf(el, "--faint"); g.textAlign = "left";
    phones().forEach((phone, n) => { if (phone && (n % columns === 0 || phones()[n - 1] !== phone)) { const [x, y] = cellOf(n); g.fillText(phone, x, y - 7); } });
    if (L) drawPitch(g, frames.map((codes) => codes[Q]));
    drawOver();
  }
  const heightOf = (level) => CELL + 4 + (1 - level / L) * (PITCH - 4);
  /** Draw levels by frame as a line, broken where they are unvoiced, on the speaker's mean. */
  function drawPitch(g, levels) {
    for (let n = 0; n < levels.length; n += columns) { g.fillStyle = colourOf(el, "--line"); g.fillRect(EDGE, cellOf(n)[1] + heightOf(Math.floor(L / 2)), Math.min(columns, levels.length - n) * cell, 1); }
    g.strokeStyle = colourOf(el, "--accent"); g.lineWidth = 2; g.beginPath();
    levels.forEach((level, n) => {
      if (!level) return;
      const [x, y] = cellOf(n), joined = n % columns && levels[n - 1];
      g[joined ? "lineTo" : "moveTo"](x, y + heightOf(level)); g.lineTo(x + cell, y + heightOf(level));
    });
    g.stroke();
  }
  function drawOver() {
    if (el.hidden || width < EDGE + cell) return;
    const N = model.get("codes").length, height = Math.ceil(N / columns) * lineHeight(), g = fitCanvas(over, width, height), [a, b] = selected();
    const ink = colourOf(el, "--ink"), mark = colourOf(el, "--mark");
    const from = Math.min(a, b), to = Math.max(a, b);
    if (bent) {
      const levels = framesOf(model.get("codes")).map((codes) => codes[Q]);
      g.fillStyle = colourOf(el, "--paper");
      for (const n of bent.keys()) { const [x, y] = cellOf(n); g.fillRect(x - 1, y + CELL + 2, cell + 2, PITCH); }
      drawPitch(g, levels.map((level, n) => (level && bent.get(n)) || (bent.has(n) ? 0 : level)));
    }
    if (from < to) {
      g.fillStyle = colourOf(el, "--paper"); g.globalAlpha = 0.3;
      for (let n = 0; n < N; n++) if (n < from || n >= to) { const [x, y] = cellOf(n); g.fillRect(x - 1, y, cell, CELL); }
      g.globalAlpha = 1; g.fillStyle = ink;
      for (let n = from; n < to; n++) { const [x, y] = cellOf(n); g.fillRect(x - 1, y - 2, cell, 3); g.fillRect(x - 1, y + CELL - 1, cell, 3); }
    }
    g.fillStyle = ink;
    for (const [n, end] of from < to ? [[from, 0], [to - 1, 1]] : [[Math.min(a, N - 1), a >= N ? 1 : 0]]) {
      const [x, y] = cellOf(n), edge = x + end * cell - 2;
      g.fillRect(edge, y - 2, 3, CELL + 4);
      if (from === to) { g.fillRect(edge - 2, y - 2, 7, 3); g.fillRect(edge - 2, y + CELL - 1, 7, 3); }
    }
    if (!fits()) return;
    const at = Math.floor(inner.get("position") / frame);
    if (at >= N || (at === 0 && !inner.get("playing"))) return;
    const [x, y] = cellOf(at);
    g.strokeStyle = mark; g.lineWidth = 3; g.strokeRect(x - 1, y + 1, cell + 1, CELL - 2);
  }
  const semitones = (level) => (level ? `pitch ${level < L / 2 ? "−" : "+"}${Math.abs(level - Math.floor(L / 2)) / 2} semitones` : "unvoiced");
  function showPosition() {
    const codes = model.get("codes"), [a, b] = selected(), edited = model.get("strip_state").edited ? `edited: ${codes.length} ${unit}s, ${formatTime(codes.length * frame)} s` : "";
    const what = a < b ? `selected: ${b - a} ${unit}${b - a > 1 ? "s" : ""}, ${formatTime(a * frame)}–${formatTime(b * frame)} s` : a < codes.length ? `at ${formatTime(a * frame)} s, before code ${[codes[a]].flat().slice(0, Q).join(" ")}${L ? `, ${semitones(codes[a][Q])}` : ""}` : "at the end";
    position.textContent = [what, edited, edited && !page && "Generate uses these codes"].filter(Boolean).join("   ·   ");
  }
  const codeAt = (event) => {
    const box = over.getBoundingClientRect(), N = model.get("codes").length;
    const column = clamp((event.clientX - box.left - EDGE) / cell, 0, columns), line = clamp(Math.floor((event.clientY - box.top) / lineHeight()), 0, Math.ceil(N / columns) - 1);
    return Math.min(N, line * columns + Math.round(column));
  };
  /** The frame under the pointer and the level at its height, where it is in the line of the pitch. */
  const pitchAt = (event) => {
    const box = over.getBoundingClientRect(), N = model.get("codes").length, y = event.clientY - box.top, line = Math.floor(y / lineHeight()), inside = y - line * lineHeight() - above();
    const n = line * columns + clamp(Math.floor((event.clientX - box.left - EDGE) / cell), 0, columns - 1);
    return { n: clamp(n, 0, N - 1), level: clamp(Math.round(L * (1 - (inside - CELL - 4) / (PITCH - 4))), 1, L - 1), within: inside > CELL + 2 };
  };
  function bend({ n, level }, start) {
    const [from, to] = start ? [n, n] : [Math.min(bent.at.n, n), Math.max(bent.at.n, n)];
    for (let k = from; k <= to; k++) bent.set(k, n === bent.at.n ? level : Math.round(bent.at.level + ((k - bent.at.n) / (n - bent.at.n)) * (level - bent.at.level)));
    bent.at = { n, level };
    drawOver();
  }
  function endBend() {
    const start = Math.min(...bent.keys()), end = Math.max(...bent.keys()) + 1, codes = model.get("codes");
    const levels = Array.from({ length: end - start }, (_, k) => bent.get(start + k));
    bent = null;
    if (!codes.slice(start, end).some((frame, k) => frame[Q] && frame[Q] !== levels[k])) return drawOver();
    waiting ??= [];
    send({ do: "edit", what: "draw_pitch", start, end, amount: levels });
  }
  over.onpointerdown = (event) => {
    if (event.button !== 0) return;
    over.setPointerCapture(event.pointerId);
    if (L && !page && !kernel.gone && !waiting && pitchAt(event).within) { const place = pitchAt(event); bent = Object.assign(new Map(), { at: place }); return bend(place, true); }
    dragging = true; home.focus({ preventScroll: true });
    const n = codeAt(event);
    if (!event.shiftKey) anchor = n;
    select(Math.min(anchor, n), Math.max(anchor, n));
  };
  over.onpointermove = (event) => { if (bent) bend(pitchAt(event)); else if (dragging) { const n = codeAt(event); select(Math.min(anchor, n), Math.max(anchor, n)); } };
  over.onpointerup = over.onpointercancel = () => { dragging = false; if (bent) endBend(); };

  function dress() {
    el.hidden = !K || !model.get("codes").length;
    const [a, b] = span(), { held, undo, redo, edited } = model.get("strip_state");
    const none = a < b ? "" : `select some ${unit}s first`;
    for (const name of ["cut", "copy", "repeat", "half", "twice", ...(L ? ["higher", "lower"] : [])]) allow(buttons[name], none);
    allow(buttons.splice, held ? "" : `cut or copy some ${unit}s first`);
    buttons.splice.textContent = held ? `Insert (${held})` : "Insert";
    allow(buttons.undo, undo ? "" : "nothing to undo");
    allow(buttons.redo, redo ? "" : "nothing to redo");
    allow(buttons.reset, edited ? "" : `the ${unit}s are not edited`);
    const [from, to] = selected();
    allow(buttons.part, from >= to ? `select some ${unit}s first` : fits() ? "" : "the track of the player has other codes: generate these, or choose another track");
    buttons.open.hidden = !door.ready() || a >= b;
    buttons.open.textContent = door.text(codeHere());
    allow(buttons.open, door.refusal(codeHere()));
    if (kernel.gone) { disableAll(bar); waiting = null; }
    showPosition();
  }

  // ---- keys
  function move(to, extend) {
    const N = model.get("codes").length, [a, b] = selected(), n = clamp(to, 0, N);
    if (!extend) { anchor = n; select(n, n); }
    else select(Math.min(anchor, n), Math.max(anchor, n));
    reveal(n);
  }
  function reveal(n) {
    const N = model.get("codes").length, [, y] = cellOf(Math.min(n, N - 1));
    if (y < roll.scrollTop || y + CELL > roll.scrollTop + roll.clientHeight) roll.scrollTop = y - roll.clientHeight / 2;
  }
  /** Handle a key; return whether it was one of the strip's. */
  function onkey(event) {
    if (el.hidden) return false;
    const { key, shiftKey } = event, [a, b] = selected(), caret = anchor <= a ? b : a; // the end that moves
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -1e9, End: 1e9 };
    const press = buttons[KEYS[key.length === 1 ? key.toLowerCase() : key]];
    if (!(key in steps) && !press && key !== "Escape") return false;
    if (waiting) waiting.push(() => onkey(event));
    else if (press) { if (!press.disabled) press.click(); }
    else move(caret + (steps[key] ?? 0), shiftKey && key in steps);
    return true;
  }
  function oncommand(event) { // as in a text editor
    if (!(event.ctrlKey || event.metaKey) || event.altKey || page || el.hidden) return;
    if (event.target.matches("input, select") || event.target.closest(".vq") !== home) return;
    const key = event.key.toLowerCase(), what = key === "z" ? (event.shiftKey ? "redo" : "undo") : { x: "cut", c: "copy", v: "splice", y: "redo" }[key];
    if (waiting && (what || key === "a")) waiting.push(() => oncommand(event));
    else if (key === "a") { anchor = 0; select(0, model.get("codes").length); }
    else if (!what) return;
    else if (!buttons[what].disabled) edit(what);
    event.preventDefault(); event.stopPropagation();
  }
  home.addEventListener("keydown", oncommand);
  function edited() {
    const later = waiting ?? [];
    waiting = null;
    anchor = selected()[0];
    dress(); draw(); reveal(selected()[0]);
    for (const press of later) press();
  }

  const unfollow = follow(model, {
    strip_state: edited,
    "codes phones matching_tracks": () => { dress(); draw(); },
    selection: () => { if (!dragging) { const [a, b] = selected(); if (anchor !== a && anchor !== b) anchor = a; } dress(); drawOver(); },
  });
  function setPlayer(found) {
    leaveInner();
    inner = found;
    leaveInner = follow(inner, { "position playing": drawOver, "pcm active": () => { dress(); drawOver(); } });
    dress(); draw(); reveal(selected()[0]);
  }
  dress();
  return { dress, draw, onkey, setPlayer, leave: () => { unfollow(); leaveInner(); door.leave(); home.removeEventListener("keydown", oncommand); } };
}

export default { ...hooks, render };
