"""Several runs or steps and the same utterances -> players, score cards and maps, side by side."""

import hashlib
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path

import numpy as np

from vqwn_kit.data.choice import choose_utterances
from vqwn_kit.data.corpus import Corpus
from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError, one_of
from vqwn_kit.evaluation.compare_cards import CardComparison
from vqwn_kit.evaluation.metrics.listening_test import Finding, findings, read_answers
from vqwn_kit.evaluation.metrics.tables import html_table
from vqwn_kit.evaluation.score_card import ScoreCard
from vqwn_kit.files import results
from vqwn_kit.runs.naming import differing_settings
from vqwn_kit.runs.run import Run
from vqwn_kit.widgets.explorer import Explorer
from vqwn_kit.widgets.page import page_path, write_page
from vqwn_kit.widgets.player import Player
from vqwn_kit.workbench.code_page import OPENS, page_opener
from vqwn_kit.workbench.code_palette import code_palette
from vqwn_kit.workbench.excerpts import find_utterance
from vqwn_kit.workbench.players import converted, phones_of
from vqwn_kit.workbench.report import STYLE
from vqwn_kit.workbench.several_runs import Given, open_runs, shared_store

EXAMINED = 60  # held-out utterances that the maps are of, beside up to 240 of training
BOOKKEEPING = ("log_every", "save_every", "validate_every", "keep", "jit_compile")  # no settings
SIDE_BY_SIDE = "repeat(auto-fit, minmax(min(100%, 380px), 1fr))"  # columns of the maps


@dataclass(repr=False, eq=False)
class RunComparison:
    """Several runs side by side, see `compare_runs`; a notebook shows all of it.

    Attributes:
        runs: the runs by name, each at its step.
        players: a player per utterance by its key: the recording and a track per run.
        cards: the score cards in one table.
        maps: the maps of the codes by name of the run.
        without_map: why a run has no map, by name.
        sounds: a hash of all that the sounds depend on.
        settings: those in which the runs differ: a text per run, by dotted name.
        answers: the CSV that answers of blind tests are added to; by default one for each set of
            runs, steps, corpus, voice and settings, named by `sounds`.
    """

    runs: dict[str, Run]
    players: dict[str, Player]
    cards: CardComparison
    maps: dict[str, Explorer]
    without_map: dict[str, str]
    sounds: str

    def __post_init__(self):
        """Collect the settings, and give all players the file of answers."""
        rows = differing_settings([run.preset for run in self.runs.values()]).items()
        rows = [(name, row) for name, row in rows if name.rpartition(".")[2] not in BOOKKEEPING]
        self.settings = {name: list(map(str, row)) for name, row in rows}
        self.answers = results() / f"compare-runs-{self.sounds}.csv"
        for key, player in self.players.items():
            player.answers, player.item = self.answers, f"{key} of comparison {self.sounds}"

    @property
    def title(self) -> str:
        """The names of the runs."""
        return " and ".join(self.runs)

    def __repr__(self) -> str:
        """Say what is compared on what."""
        return f"<RunComparison of {self.title} on {', '.join(self.players)}>"

    def blind(
        self,
        mode: str = "rating",
        save: str | Path | None = None,
        *,
        pair: Sequence[str] | None = None,
        seed: int | None = None,
        **settings,
    ) -> "RunComparison":
        """Start a blind test of the runs in each player; return the comparison.

        Args:
            mode: `rating`: recording and runs get 1 to 5; `abx`: whether X is the first run or the
                second.
            save: the CSV that answers are added to; existing rows stay. `answers` by default.
            pair: the two runs, or a run and the recording, of an ABX test.
            seed: of the shuffling, which is another one for each utterance; random by default.
            **settings: listener and trials, see `BlindTest`.

        Example:
            vq.compare_runs(["mini", "residual"]).blind("abx", listener="ann", trials=5)
        """
        self.answers = self.answers if save is None else Path(save)
        settings |= {"pair": list(self.runs)[:2] if pair is None else list(pair)}
        for number, player in enumerate(self.players.values()):
            shuffled = None if seed is None else seed + number
            player.blind(mode, self.answers, seed=shuffled, **settings)
        return self

    def reveal(self) -> None:
        """End the blind tests without saving ratings that are not saved yet."""
        for player in self.players.values():
            player.reveal()

    def findings(self) -> list[Finding]:
        """Return what all answers on these sounds show, over all utterances.

        Answers of other runs, steps, voices or settings in the file are left out.

        Raises:
            InputError: there are no answers yet.
        """
        items = {player.item for player in self.players.values()}
        return findings(row for row in read_answers(self.answers) if row["item"] in items)

    @cached_property
    def view(self):
        """The widget of all of it."""
        import ipywidgets

        maps = ipywidgets.GridBox(
            list(self.maps.values()),
            layout=ipywidgets.Layout(grid_template_columns=SIDE_BY_SIDE, grid_gap="12px"),
        )
        texts = [ipywidgets.HTML(text) for text in self._texts()]
        return ipywidgets.VBox([*self.players.values(), maps, *texts])

    def _repr_mimebundle_(self, **kwargs) -> dict:
        """Show all of it; where no widget can be shown, the figure of the first player."""
        bundle = dict(self.view._repr_mimebundle_(**kwargs) or {})
        player = next(iter(self.players.values()))
        still = player._repr_mimebundle_(**kwargs)
        if still and "image/png" in still[0]:
            bundle["image/png"] = still[0]["image/png"]
        return bundle | {"text/plain": repr(self)}

    def save_html(self, path: str | Path) -> Path:
        """Write one page that shows and plays the same without Jupyter, Python or a network.

        Speech with a code is in the page for the 40 most frequent codes of each run.

        Args:
            path: the file, such as `compared.html`; replaced where it exists.
        """
        path = page_path(path)
        for explorer in self.maps.values():
            explorer.keep_sounds(sounds=1)
        grid = f'<div style="display:grid;gap:12px;grid-template-columns:{SIDE_BY_SIDE}">'
        maps = [grid, *self.maps.values(), "</div>"] if self.maps else []
        body = [f"<h1>{html.escape(self.title)}</h1>", *self.players.values(), *maps]
        return write_page(path, [*body, *self._texts()], self.title, STYLE)

    def _texts(self) -> list[str]:
        """Return why runs have no map, the score cards, and the differing settings, as HTML."""
        texts = [f"No map of {name}: {why}." for name, why in self.without_map.items()]
        parts = [f"<p>{html.escape(text)}</p>" for text in texts]
        parts.append(_scrolled(self.cards._repr_html_(), "score cards"))
        if self.settings:
            head, name = ["setting", *self.runs], "settings in which the runs differ"
            rows = [[setting, *texts] for setting, texts in self.settings.items()]
            parts.append(_scrolled(html_table(head, [(name, rows)], "l" * len(head)), name))
        return parts


def _scrolled(table: str, name: str) -> str:
    style = "overflow-x:auto;font-size:13px"
    return f'<div style="{style}" tabindex="0" role="group" aria-label="{name}">{table}</div>'


def compare_runs(
    runs: Iterable[Given] | Mapping[str, Given],
    utterances: int | str | Iterable[str] = 3,
    *,
    data: Store | Corpus | str | Path | None = None,
    speaker: str | None = None,
    cards: Mapping[str, ScoreCard] | None = None,
    maps: bool = True,
    progress: bool = True,
    **settings,
) -> RunComparison:
    """Compare runs, or steps of a run: players, score cards and maps of codes side by side.

    A player per utterance has the recording and each run under one playhead; the score cards of
    the runs are one table, with differences paired by sentence; the maps of their codes are side
    by side: for a code that is selected, the codes are marked that another run most often gives to
    the same frames.

    Args:
        runs: two to eight runs, their paths or names; a step is a checkpoint, `mini/weights-1000`.
            In a dict they have names; by default they are named by their folders, and by their
            steps where several are of one run.
        utterances: keys, or how many held-out ones.
        data: the corpus; by default that of the runs, which must be the same.
        speaker: a voice to convert to; by default each utterance is reconstructed in its own.
        cards: score cards by name of the run, instead of those in the runs' folders.
        maps: draw the maps of the codes, for which up to 300 utterances are encoded.
        progress: show progress bars.
        **settings: as in `generate`: mode, temperature, seed.

    Raises:
        InputError: fewer than two runs, or two of one name; other sample rates or corpora; no such
            run, step, utterance or speaker.

    Example:
        comparison = vq.compare_runs(["mini", "residual"], ["kumo_036"])
        comparison.blind("abx", listener="ann")
        vq.compare_runs(["my-run/weights-1000", "my-run"]).save_html("steps.html")
    """
    from vqwn_kit.workbench.examine import examine_codes

    runs = open_runs(runs)
    store = shared_store(runs, data, progress)
    for name, run in runs.items():
        if speaker is not None and speaker not in run.speakers:
            raise one_of(f"speaker of {name}", speaker, run.speakers)
    known = [s for s in store.corpus.speakers if all(s in run.speakers for run in runs.values())]
    numbers = _numbers_of(utterances, store, known, speaker)
    compared = CardComparison(*_cards_of(runs, cards or {}))
    contexts = {
        name: cache(partial(examine_codes, run, store, progress, EXAMINED))
        for name, run in runs.items()
    }
    made = _Players(runs, store, contexts, speaker, progress, settings)
    players = {store.corpus.utterances[number].key: made.player(number) for number in numbers}
    drawn, without_map = _maps(contexts, speaker) if maps else ({}, {})
    sounds = _hash_of(runs, store, speaker, settings)
    return RunComparison(runs, players, compared, drawn, without_map, sounds)


def _maps(contexts: Mapping, speaker: str | None) -> tuple[dict[str, Explorer], dict[str, str]]:
    """Return the linked maps by name, and why other runs have none."""
    from vqwn_kit.workbench.linked_maps import linked_maps

    examined, without = {}, {}
    for name, context in contexts.items():
        try:
            examined[name] = context()
        except InputError as error:
            without[name] = str(error)
    return linked_maps(examined, speaker=speaker, methods=("pca",)), without


def _hash_of(runs: dict[str, Run], store: Store, speaker: str | None, settings: dict) -> str:
    """Return a short hash of all that the sounds of a comparison depend on."""
    each = sorted(
        (name, str(run.weights_file(run.model_step).resolve())) for name, run in runs.items()
    )
    facts = json.dumps([each, store.identity, speaker, sorted(settings.items())], default=repr)
    return hashlib.sha256(facts.encode()).hexdigest()[:8]


def _numbers_of(utterances, store: Store, known: Sequence[str], speaker: str | None) -> list[int]:
    """Return the numbers of utterances; InputError for one in a voice that a run does not have."""
    members = store.corpus.utterances
    if isinstance(utterances, int):
        held_out = [int(n) for n in store.numbers("held_out")]
        numbers = [n for n in held_out if speaker or members[n].speaker in known]
        if utterances < 1 or not numbers:
            raise InputError(
                f"{utterances} of {len(numbers)} held-out utterances by speakers that all runs "
                "have: expected 1 or more of each; name utterances, or give a voice (speaker=)"
            )
        return choose_utterances(store.corpus, np.array(numbers), utterances).tolist()
    keys = [utterances] if isinstance(utterances, str) else list(dict.fromkeys(utterances))
    numbers = [find_utterance(store, key) for key in keys]
    if not numbers:
        raise InputError("no utterances: give keys, or how many held-out ones")
    for number in numbers:
        if speaker is None and members[number].speaker not in known:
            raise one_of(
                f"speaker that all runs have, for {members[number].key} (or give speaker=),",
                members[number].speaker,
                known,
            )
    return numbers


def _cards_of(
    runs: dict[str, Run], given: Mapping[str, ScoreCard]
) -> tuple[dict[str, ScoreCard], dict[str, str]]:
    """Return the score cards by name, and why there is none of the other runs."""
    for name in given:
        if name not in runs:
            raise one_of("run with the card", name, runs)
    cards, missing = {}, {}
    for name, run in runs.items():
        try:
            card = given.get(name) or ScoreCard.load(run.folder)
        except InputError as error:
            missing[name] = str(error)
            continue
        if name not in given and card.about.get("step") != run.newest:
            missing[name] = (
                f"that in {run.folder} is of step {card.about.get('step')}: measure step "
                f"{run.newest} with `vqwn evaluate {run.folder / run.prefix}-{run.newest} --save "
                "FOLDER`, and give the card with cards="
            )
        else:
            cards[name] = card
    return cards, missing


class _Players:
    """The runs and the corpus -> the player of an utterance."""

    def __init__(self, runs, store: Store, contexts, speaker: str | None, progress, settings):
        self.runs, self.store, self.speaker = runs, store, speaker
        self.progress, self.settings = progress, settings
        coded = [name for name, run in runs.items() if run.model.bottleneck.num_embeddings]
        self.pages = {name: page_opener(contexts[name])["open"] for name in coded}
        self.palettes = {name: code_palette(runs[name]) for name in coded}
        self.hop = min(run.model.hop_length for run in runs.values())

    def player(self, number: int) -> Player:
        """Return the recording and a track per run, each with its codes."""
        member, wave = self.store.corpus.utterances[number], self.store.waveform(number)
        voice = self.speaker or member.speaker
        tracks = {"recording": wave}
        for name, run in self.runs.items():
            made = converted(run.model, self.store, number, [voice], self.progress, self.settings)
            tracks[name] = made[0]
        what = f"as {self.speaker}" if self.speaker else f"reconstructed ({voice})"
        opens = {"open": lambda code: self._open(shown, code), "opens": OPENS} if self.pages else {}
        shown = Player(
            tracks,
            self.store.sample_rate,
            codes={name: self._codes(name, wave) for name in self.pages},
            hop_length=self.hop,
            palette=self.palettes,
            phones=phones_of(self.store, number),
            title=f"{member.key}, {what}: {member.text}".removesuffix(": "),
            **opens,
        )
        return shown

    def _open(self, player: Player, code: int):
        if player.track not in self.pages:
            raise InputError(f"{player.track} has no codes: switch to a run")
        return self.pages[player.track](code)

    def _codes(self, name: str, wave: np.ndarray) -> np.ndarray:
        """Return the codes of a run at the frames of the run with the shortest hop."""
        from vqwn_kit.workbench.linked_maps import at_frames

        model, frames = self.runs[name].model, -(-len(wave) // self.hop)
        return at_frames(model.encode(wave)[0], model.hop_length, frames, self.hop)
