// The strip: codes as cells that are selected like text, cut, repeated, stretched and spliced.

const EDGE = 58, CELL = 24; // pixels: times at the left, height of a code
const NAMES = { cut: "Cut", copy: "Copy", splice: "Insert", repeat: "Repeat", half: "½ as long", twice: "2 × as long", undo: "Undo", redo: "Redo", reset: "Reset", part: "▶ Play selection" };
const KEYS = { Delete: "cut", Backspace: "cut", d: "repeat", ",": "half", ".": "twice", p: "part" };

/**
 * Show the codes of a lab in `el`, which stands in the lab's root `home`; `send` sends to Python.
 * Returns what the lab calls: when something changed, for a key, and to set the player's model.
 */
function render({ model, el, home, send }) {
  const page = model.get("page"), { rate, hop, codes: K } = model.get("about"), frame = hop / rate, palette = bytesOf(model.get("palette"));
  let waiting = null; // keys pressed during an edit, which apply after it
  let inner = null, anchor = 0, columns = 1, width = 0, dragging = false, leaveInner = () => {};
  const does = {
    cut: () => edit("cut"), copy: () => edit("copy"), splice: () => edit("splice"), repeat: () => edit("repeat", 2), half: () => edit("stretch", 0.5),
    twice: () => edit("stretch", 2), undo: () => edit("undo"), redo: () => edit("redo"), reset: () => edit("reset"), part: () => playSpan(),
  };
  const buttons = Object.fromEntries(Object.entries(NAMES).map(([name, text]) => [name, h("button", { class: `vq-${name}`, onclick: does[name] }, text)]));
  const base = h("canvas", { role: "img", "aria-label": "the codes" }), over = h("canvas");
  const stack = h("div", { class: "vq-stack" }, base, over), roll = h("div", { class: "vq-roll" }, stack), position = h("div", { class: "vq-note vq-place", role: "status" });
  el.append(...(page ? [] : [h("div", { class: "vq-bar" }, h("span", { class: "vq-label" }, "Codes"), ...Object.values(buttons))]), roll, position);

  const selected = () => { const [a, b] = model.get("selection"), N = model.get("codes").length; return [clamp(a, 0, N), clamp(b, 0, N)]; };
  /** What an edit applies to: the selection, or the code after the caret. */
  const span = () => { const [a, b] = selected(); return a < b ? [a, b] : [a, Math.min(a + 1, model.get("codes").length)]; };
  /** Whether the player's track has exactly these codes. */
  const fits = () => Boolean(inner && model.get("matching_tracks").includes(inner.get("names")[inner.get("active")]));
  const select = (a, b) => put(model, { selection: [a, b] });
  function edit(what, amount) {
    const [a, b] = what === "splice" ? selected() : span();
    waiting ??= [];
    send({ do: "edit", what, start: a, end: b, ...(amount ? { amount } : {}) });
  }
  function playSpan() {
    if (!fits()) return;
    const [a, b] = span();
    put(inner, { playing: false });
    put(inner, { loop: [a * frame, Math.max(b * frame, a * frame + 0.02)], position: a * frame });
    put(inner, { playing: true });
  }
  const digits = String(Math.max(10, K - 1)).length, cell = 12 + 8 * digits;
  const cellOf = (n) => [EDGE + (n % columns) * cell, Math.floor(n / columns) * (CELL + 2)];
  function draw() {
    const codes = model.get("codes");
    width = stack.clientWidth;
    if (el.hidden || width < EDGE + cell) return;
    columns = Math.floor((width - EDGE) / cell);
    const height = Math.ceil(codes.length / columns) * (CELL + 2), g = fitCanvas(base, width, height);
    codes.forEach((code, n) => {
      const [x, y] = cellOf(n), [r, green, b] = palette.subarray(3 * code, 3 * code + 3);
      if (n % columns === 0) { g.fillStyle = colourOf(el, "--faint"); g.textAlign = "right"; g.fillText(`${(n * frame).toFixed(2)} s`, EDGE - 8, y + CELL / 2); }
      const joined = n % columns && codes[n - 1] === code;
      g.fillStyle = rgb(palette, code); g.fillRect(x - (joined ? 1 : 0), y, cell - 1 + (joined ? 1 : 0), CELL);
      g.fillStyle = 0.299 * r + 0.587 * green + 0.114 * b > 140 ? "#000" : "#fff"; g.textAlign = "center";
      if (!joined) g.fillText(code, x + (cell - 1) / 2, y + CELL / 2 + 1);
    });
    drawOver();
  }
  function drawOver() {
    if (el.hidden || width < EDGE + cell) return;
    const N = model.get("codes").length, height = Math.ceil(N / columns) * (CELL + 2), g = fitCanvas(over, width, height), [a, b] = selected();
    const ink = colourOf(el, "--ink"), mark = colourOf(el, "--mark");
    const from = Math.min(a, b), to = Math.max(a, b);
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
  function showPosition() {
    const codes = model.get("codes"), [a, b] = selected(), edited = model.get("strip_state").edited ? `edited: ${codes.length} codes, ${formatTime(codes.length * frame)} s` : "";
    const what = a < b ? `selected: ${b - a} code${b - a > 1 ? "s" : ""}, ${formatTime(a * frame)}–${formatTime(b * frame)} s` : a < codes.length ? `at ${formatTime(a * frame)} s, before code ${codes[a]}` : "at the end";
    position.textContent = [what, edited, edited && !page && "Generate uses these codes"].filter(Boolean).join("   ·   ");
  }
  const codeAt = (event) => {
    const box = over.getBoundingClientRect(), N = model.get("codes").length;
    const column = clamp((event.clientX - box.left - EDGE) / cell, 0, columns), line = clamp(Math.floor((event.clientY - box.top) / (CELL + 2)), 0, Math.ceil(N / columns) - 1);
    return Math.min(N, line * columns + Math.round(column));
  };
  over.onpointerdown = (event) => {
    if (event.button !== 0) return;
    over.setPointerCapture(event.pointerId);
    dragging = true; home.focus({ preventScroll: true });
    const n = codeAt(event);
    if (!event.shiftKey) anchor = n;
    select(Math.min(anchor, n), Math.max(anchor, n));
  };
  over.onpointermove = (event) => { if (dragging) { const n = codeAt(event); select(Math.min(anchor, n), Math.max(anchor, n)); } };
  over.onpointerup = over.onpointercancel = () => { dragging = false; };

  function dress() {
    el.hidden = !K || !model.get("codes").length;
    const [a, b] = span(), { held, undo, redo, edited } = model.get("strip_state");
    for (const name of ["cut", "copy", "repeat", "half", "twice"]) buttons[name].disabled = a >= b;
    Object.assign(buttons.splice, { disabled: !held, textContent: held ? `Insert (${held})` : "Insert" });
    buttons.undo.disabled = !undo; buttons.redo.disabled = !redo; buttons.reset.disabled = !edited; buttons.part.disabled = a >= b || !fits();
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
    "codes matching_tracks": () => { dress(); draw(); },
    selection: () => { if (!dragging) { const [a, b] = selected(); if (anchor !== a && anchor !== b) anchor = a; } dress(); drawOver(); },
  });
  function setPlayer(found) {
    leaveInner();
    inner = found;
    leaveInner = follow(inner, { "position playing": drawOver, "pcm active": () => { dress(); drawOver(); } });
    dress(); draw(); reveal(selected()[0]);
  }
  dress();
  return { dress, draw, onkey, setPlayer, leave: () => { unfollow(); leaveInner(); home.removeEventListener("keydown", oncommand); } };
}

export default { render };
