"""Something to hear within seconds: a bundled sentence, reconstructed and converted by a run."""

from pathlib import Path

from vqwn_kit.data.audio import SAMPLE_RATE
from vqwn_kit.data.corpus import example_corpus
from vqwn_kit.data.long_audio import survey
from vqwn_kit.data.scan import Utterance
from vqwn_kit.runs.run import Run, load_run
from vqwn_kit.sampling.files import INPUT, convert_files, name_files
from vqwn_kit.workbench.facts import Facts

MOST_SECONDS = 2.5  # of the sentence


def make_demo(
    run: Run | str | Path = "mini", save: str | Path = "demo", seed: int = 0, progress: bool = True
) -> Facts:
    """Reconstruct a bundled held-out sentence, and convert it to another voice; some seconds.

    Args:
        run: a run; of one that does not know the sentence's speaker, two of its voices are used,
            or its only one.
        save: the folder of the sounds.
        seed: of sampling.
        progress: show a progress bar.

    Returns:
        What to hear, by the path of each file, the recording first.

    Raises:
        InputError: no such run.
    """
    run, sentence = load_run(run), _sentence()
    names = list(run.speakers)
    others = [name for name in names if name != sentence.speaker]
    own = sentence.speaker if sentence.speaker in names else others[0]
    voices = list(dict.fromkeys([own, *others[-1:]]))
    files = name_files(save, [sentence.path], voices)
    convert_files(
        run.model, [survey(sentence.path)], voices, files, level=INPUT, seed=seed, progress=progress
    )
    rate = SAMPLE_RATE / run.model.hop_length
    bits = f"{rate * run.model.bits_per_frame:g} bits per second"
    known = "its reconstruction" if own == sentence.speaker else f"the same sentence as {own}"
    about = [
        f"the recording, of {sentence.speaker}, which was held out from training: {sentence.text}",
        f"{known}, from codes of {bits}: the same words and rhythm, rougher",
    ]
    about += [
        f"the same codes in the voice of {other}: the same words and rhythm, another person"
        for other in voices[1:]
    ]
    paths = (sentence.path, *files[0])
    return Facts({str(path): text for path, text in zip(paths, about, strict=True)})


def _sentence() -> Utterance:
    """Return the longest held-out sentence of the bundled corpus that is not too long."""
    corpus = example_corpus()
    surveyed = {u: survey(u.path).length for u in corpus.split("held_out")}
    short = {u: n for u, n in surveyed.items() if n <= MOST_SECONDS * SAMPLE_RATE}
    return max(short or surveyed, key=surveyed.get)
