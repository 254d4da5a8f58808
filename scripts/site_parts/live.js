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
