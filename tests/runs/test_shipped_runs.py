"""The run that is shipped: what its score cards say is found again, and its folder is whole."""

import json

import numpy as np
import pytest

import vqwn_kit as vq
from tests.conftest import ROOT
from vqwn_kit.evaluation.context import evaluation_context
from vqwn_kit.evaluation.metrics.intervals import ratio
from vqwn_kit.presets.preset import parse_changes

FOLDER = ROOT / "results" / "mini"
REAL = ROOT / "results" / "vctk-libri"
SIZES = {FOLDER: 512, REAL: 2 * 512}  # codes in all


def read_card(card: str, folder=FOLDER) -> dict[str, float]:
    rows = json.loads((folder / card).read_text(encoding="utf-8"))["rows"]
    return {row["name"]: row["value"] for row in rows}


@pytest.fixture(scope="module")
def subject(stores):
    store = vq.prepare(vq.example_corpus(), progress=False)
    return evaluation_context(vq.load_run(FOLDER), store, utterances=50, progress=False)


@pytest.mark.slow
def test_the_cards_likelihood_is_found_again(subject):
    bits, samples = [], []
    for number in subject.held_out:
        wave = subject.store.waveform(number)[None, :, None]
        wave = wave[:, : wave.shape[1] // subject.model.hop_length * subject.model.hop_length]
        z_q = subject.model.vector_quantize(wave).z_q
        pitch = subject.pitch(number, z_q.shape[1])
        known = subject.bits(wave, subject.speaker_ids([number]), z_q, pitch)
        bits.append(float(known) * wave.shape[1])
        samples.append(wave.shape[1])
    assert len(bits) == 50
    assert sum(bits) / sum(samples) == pytest.approx(
        read_card("score_card.json")["bits per sample"], abs=5e-3
    )


@pytest.mark.slow
def test_the_priors_bits_are_found_again(subject):
    prior, costs = vq.load_prior(subject.run), []
    for number in subject.store.numbers("held_out"):
        codes = subject.model.encode(subject.store.waveform(number))[0]
        costs.append(prior.surprise(codes, subject.speaker(number)))
    card = read_card("prior/score_card.json")
    found = ratio([one.sum() for one in costs], [len(one) for one in costs]).value
    assert found == pytest.approx(card["prior, all codes"], abs=5e-3)
    assert card["prior, all codes"] < 0.9 * card["bigram, all codes"]
    assert np.log2(subject.model.bottleneck.num_embeddings) == card["uniform, all codes"]


def test_the_shipped_runs_reach_what_is_said_of_them():
    for folder, phone_error, gap in ((FOLDER, 0.30, 1.0), (REAL, 0.50, 1.0)):
        card = read_card("score_card.json", folder)
        assert card["extra bits, codes shuffled"] > gap
        assert card["codes used"] >= 0.9 * SIZES[folder]
        assert card["perplexity"] >= 150
        assert card["phone error, reconstruction"] <= phone_error
    assert read_card("score_card.json")["speaker-probe accuracy, conversion"] >= 80
    assert read_card("score_card.json", REAL)["DNSMOS P.808, reconstruction"] >= 2.9


def test_the_readmes_tell_the_cards_numbers_and_the_commands_that_made_the_runs():
    prior = read_card("prior/score_card.json")
    bits = f"{prior['bigram, all codes']:.2f}, {prior['prior, all codes']:.2f}"
    own = {FOLDER: {"bits per code: bigram, prior": bits}, REAL: {}}
    real = ["sampling=speaker", "encoder.tilt=2.0", "bottleneck=residual"]
    real += ["bottleneck.num_codebooks=2", "bottleneck.quantizer.num_embeddings=512"]
    changes = {FOLDER: [], REAL: real}
    kinds = ("original", "reconstruction", "conversion")
    voices = ("speaker-probe accuracy, conversion", "conversion classified as source speaker")
    for folder, rows in own.items():
        page = " ".join((folder / "README.md").read_text(encoding="utf-8").split())
        card = read_card("score_card.json", folder)
        rows |= {
            "bits per sample": f"{card['bits per sample']:.2f}",
            "extra bits, codes shuffled": f"{card['extra bits, codes shuffled']:.2f}",
            f"codes in use of {SIZES[folder]:,}, perplexity": f"{card['codes used']:.0f}, "
            f"{card['perplexity']:.0f}",
            "phone error: recordings, reconstructions, conversions": ", ".join(
                f"{card[f'phone error, {kind}']:.2f}" for kind in kinds
            ),
            "DNSMOS P.808: recordings, reconstructions, conversions": ", ".join(
                f"{card[f'DNSMOS P.808, {kind}']:.2f}" for kind in kinds
            ),
            "conversions classified as the target, as the source": ", ".join(
                f"{card[name]:.0f} %" for name in voices
            ),
        }
        for name, value in rows.items():
            assert f"| {name} | {value} |" in page
        run = vq.load_run(folder)
        bits = [line["held_out/bits"] for line in run.history if "held_out/bits" in line]
        assert ", ".join(f"{one:.2f}" for one in bits[:-1]) in page
        made = run.preset.change(freeze=())
        assert all(change in page for change in changes[folder])
        described = vq.load_preset("reference").change(**parse_changes(changes[folder]))
        assert made.same_as(described)


@pytest.mark.parametrize("folder", [FOLDER, REAL], ids=lambda folder: folder.name)
def test_a_shipped_folder_is_whole_small_and_names_no_other_machine(folder):
    run = vq.load_run(folder)
    assert run.weights_file(run.newest).stat().st_size < 6e6
    card = json.loads((folder / "score_card.json").read_text(encoding="utf-8"))
    assert card["about"]["step"] == run.newest
    labels = [track["label"].split()[0] for track in card["tracks"]]
    recordings = {"original"} if folder == FOLDER else set()  # real ones aren't passed on
    assert {"reconstruction", "as"} | recordings == set(labels)
    assert all((folder / track["file"]).stat().st_size > 10_000 for track in card["tracks"])
    for name in ("README.md", "history.jsonl", "projector/projector_config.json"):
        assert (folder / name).is_file()
    for path in folder.rglob("*"):
        if path.suffix in (".json", ".jsonl", ".md", ".tsv"):
            assert not any(f' "{root}' in path.read_text(encoding="utf-8") for root in ("/", "C:"))
