"""Times of phones in a store: the corpus's own, or forced alignment, which is cached.

`phones.tsv` has the columns utterance, start, end (seconds) and phone (ARPABET without stress, SIL
is silence). The times of a corpus's own table, such as that of `data/mini`, are those of the
recordings; so are those of TextGrids beside them, whose tier `phones` is in ARPABET or IPA, as the
Montreal Forced Aligner writes them. Otherwise pocketsphinx aligns the text with the sound, and the
table is cached in the store's folder, with times in the store's trimmed utterances. English only.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from vqwn_kit.data.alignment import read_phones, spans_beside, textgrid_beside
from vqwn_kit.data.store import Store
from vqwn_kit.data.textgrid import Span
from vqwn_kit.errors import InputError
from vqwn_kit.evaluation.external import import_optional, words_of
from vqwn_kit.evaluation.metrics import NotMeasured
from vqwn_kit.files import replacing

KINDS = {  # ARPABET by manner of articulation
    "front vowel": "IY IH EY EH AE",
    "other vowel": "AA AO OW UH UW AH ER",
    "diphthong": "AY AW OY",
    "approximant": "W Y R L",
    "nasal": "M N NG",
    "stop": "P B T D K G",
    "fricative": "CH JH F V TH DH S Z SH ZH HH",
    "silence": "SIL",
}
KIND_OF = {phone: kind for kind, phones in KINDS.items() for phone in phones.split()}
SOUNDS = tuple(KIND_OF)
PHONES = SOUNDS[:-1]  # without silence
PAD = 0.3  # seconds of silence around the sound: without it, silence at the ends is not found
FRAME_LAG = 0.013  # the aligner gives the start of a 25.6 ms window; its middle is meant
FAILED = "?"  # the phone of an utterance that could not be aligned

IPA = (
    "t͡ʃ CH, d͡ʒ JH, tʃ CH, dʒ JH, eɪ EY, aɪ AY, ɔɪ OY, aʊ AW, oʊ OW, ɑɹ AA R, i IY, ɪ IH, ɨ IH, "
    "ɛ EH, e EY, æ AE, ɑ AA, a AA, ɔ AO, o OW, ʊ UH, u UW, ʌ AH, ə AH, ɝ ER, ɚ ER, ɜ ER, w W, "
    "j Y, ɹ R, r R, l L, ɫ L, m M, n N, ŋ NG, p P, b B, t T, ɾ T, d D, k K, ɡ G, g G, f F, v V, "
    "θ TH, ð DH, s S, z Z, ʃ SH, ʒ ZH, h HH"
)
ALIGNER_IPA = (  # symbols of the Montreal Forced Aligner's English that IPA lacks
    "aj AY, aw AW, ej EY, əw OW, ɔj OY, ɐ AH, ɒ AA, ʉ UW, ʎ L, ɲ N, ɱ M, c K, ɟ G, ç HH, ʔ T"
)
MARKS = "[ːˑʰʲʷ\N{COMBINING BRIDGE BELOW}\N{COMBINING VERTICAL LINE BELOW}]"  # dropped
SILENCES = ("", "sil", "sp", "spn", "<eps>", "<unk>", "silence")  # as aligners write them
IPA_TO_ARPABET = dict(pair.split(" ", 1) for pair in IPA.split(", "))
LABELS = IPA_TO_ARPABET | dict(pair.split(" ", 1) for pair in ALIGNER_IPA.split(", "))


def phone_times(
    store: Store, numbers: Iterable[int], progress: bool = False
) -> dict[int, list[Span]]:
    """Return the phones of utterances by number, with their times in the store's waveforms.

    Args:
        store: the prepared corpus.
        numbers: of the utterances. Those that cannot be aligned are left out of the result; so are
            those that a table does not name, or that have no TextGrid where others have one.
        progress: show a progress bar while aligning.

    Raises:
        NotMeasured: no table or TextGrid, and no texts or no packages to align with; or phones in a
            TextGrid that are not those of English.
    """
    from tqdm import tqdm

    numbers = list(map(int, numbers))
    utterances = store.corpus.utterances
    path = store.corpus.folder / "phones.tsv"
    if path.is_file():
        spans = read_phones(path)
        keys = {n: utterances[n].key for n in numbers if utterances[n].key in spans}
        if not keys:
            raise NotMeasured(f"{path} names none of these utterances")
        return {n: in_store(spans[key], store, n) for n, key in keys.items()}
    beside = [n for n in numbers if textgrid_beside(utterances[n].path)]
    if given := _from_textgrids(store, beside):
        return given
    cache = store.folder / f"phones-{store.identity}.tsv"  # a store outlives changes of its files
    table = read_phones(cache) if cache.is_file() else {}
    missing = [n for n in numbers if utterances[n].key not in table]
    if missing and not any(words_of(utterances[n].text) for n in numbers):
        raise NotMeasured("the utterances have no texts in Latin letters, and no phones.tsv")
    try:
        for n in tqdm(missing, desc="align", unit="utterance", disable=not (progress and missing)):
            spans = align(store.waveform(n), utterances[n].text, store.sample_rate)
            whole = [(0.0, store.lengths[n] / store.sample_rate, FAILED)]
            table[utterances[n].key] = spans or whole
    finally:
        if missing:
            _write_phones(cache, table)
    chosen = {n: table[utterances[n].key] for n in numbers}
    return {n: spans for n, spans in chosen.items() if spans[0][2] != FAILED}


def _write_phones(path: Path, table: dict[str, list[Span]]) -> None:
    with replacing(path) as scratch, scratch.open("w", encoding="utf-8") as file:
        file.write("utterance\tstart\tend\tphone\n")
        for key, spans in table.items():
            file.writelines(
                f"{key}\t{start:.3f}\t{end:.3f}\t{phone}\n" for start, end, phone in spans
            )


def _from_textgrids(store: Store, numbers: list[int]) -> dict[int, list[Span]]:
    """Return the phones in TextGrids beside recordings, if they have any, in the store's times."""
    table = {}
    for number in numbers:
        path = store.corpus.utterances[number].path
        spans = []
        try:
            given = spans_beside(path, "phones")
        except InputError as error:
            raise NotMeasured(str(error)) from error
        for start, end, label in given:
            phones = phones_of_label(label)
            if not phones:
                raise NotMeasured(
                    f"the TextGrid of {path} has the phone {label!r}; expected ARPABET or IPA of "
                    "English"
                )
            edges = np.linspace(start, end, len(phones) + 1).tolist()
            spans += zip(edges[:-1], edges[1:], phones, strict=True)
        if spans:
            table[number] = in_store(spans, store, number)
    return table


def phones_of_label(label: str) -> list[str]:
    """Return the phones, as in `PHONES` or SIL, of a label in ARPABET or IPA; else an empty list.

    Stress, length and such marks are ignored; silence, noise and unknown words are SIL.
    """
    label = label.strip()
    if label.lower() in SILENCES:
        return ["SIL"]
    plain = label.rstrip("012").upper()
    if plain in PHONES:
        return [plain]
    return LABELS.get(re.sub(MARKS, "", label), "").split()


def in_store(spans: list[Span], store: Store, number: int) -> list[Span]:
    """Move times in the recording to times in the store, whose front is trimmed."""
    shift = store.offsets[number] / store.sample_rate
    end = store.lengths[number] / store.sample_rate
    moved = [(max(0.0, a - shift), min(end, b - shift), phone) for a, b, phone in spans]
    return [span for span in moved if span[0] < span[1]]


def align(waveform: np.ndarray, text: str, sample_rate: int = 16_000) -> list[Span]:
    """Align the phones of a text with a waveform (T,); return spans without gaps.

    Empty if the text has no English words, or the alignment fails. Phones of words that are not in
    the aligner's dictionary come from hama's grapheme-to-phoneme model.

    Raises:
        NotMeasured: pocketsphinx or hama is not installed.
    """
    pocketsphinx, hama = import_optional("pocketsphinx"), import_optional("hama")
    words = words_of(text)
    if not words:
        return []
    beams = {"beam": 1e-100, "wbeam": 1e-100, "pbeam": 1e-100}
    decoder = pocketsphinx.Decoder(
        lm=None, bestpath=False, loglevel="FATAL", samprate=float(sample_rate), **beams
    )
    unknown = {word for word in words if decoder.lookup_word(word) is None}
    if unknown:
        converter = hama.G2PModel()
        for word in sorted(unknown):
            phones = arpabet(converter.predict(word).ipa)
            if not phones:
                return []
            decoder.add_word(word, " ".join(phones), True)
    decoder.set_align_text(" ".join(words))
    noise = np.random.default_rng(0)  # inaudible; it makes the times more stable
    padded = np.pad(waveform * 32767.0, round(PAD * sample_rate))
    sound = np.round(padded + noise.normal(0, 5, len(padded))).clip(-32768, 32767)
    _decode(decoder, sound.astype(np.int16).tobytes())  # finds the words
    if decoder.hyp() is None:
        return []
    decoder.set_alignment()
    _decode(decoder, sound.astype(np.int16).tobytes())  # finds the phones in them
    phones = [(phone.start / 100, phone.name) for word in decoder.get_alignment() for phone in word]
    return _spans(phones, len(waveform) / sample_rate)


def _decode(decoder, sound: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(sound, full_utt=True)
    decoder.end_utt()


def _spans(phones: list[tuple[float, str]], end: float) -> list[Span]:
    """Turn starts in the padded sound into spans in the sound; adjacent silences become one."""
    spans: list[Span] = []
    for start, name in reversed(phones):
        start = max(0.0, start - PAD + FRAME_LAG)
        name = name if name in PHONES else "SIL"
        if start >= end:
            continue  # in the padding only
        if name == "SIL" and spans and spans[0][2] == "SIL":
            end = spans.pop(0)[1]
        spans.insert(0, (start, end, name))
        end = start
    return spans


def arpabet(ipa: str) -> list[str]:
    """Return ARPABET for English in IPA; symbols without a phone are left out."""
    symbols = re.findall("|".join(sorted(IPA_TO_ARPABET, key=len, reverse=True)), ipa)
    return " ".join(IPA_TO_ARPABET[symbol] for symbol in symbols).split()


def frame_phones(spans: list[Span], num_frames: int, frame_rate: float) -> np.ndarray:
    """Return the phone in the middle of each frame, int (N,), an index of PHONES; -1 is silence.

    Args:
        spans: see `phone_times`.
        num_frames: N.
        frame_rate: frames per second.
    """
    labels = np.full(num_frames, -1)
    middles = (np.arange(num_frames) + 0.5) / frame_rate
    for start, end, phone in spans:
        if phone in PHONES:
            labels[(middles >= start) & (middles < end)] = PHONES.index(phone)
    return labels
