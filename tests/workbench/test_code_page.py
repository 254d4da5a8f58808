"""Pages of codes, frames like a moment, and swaps: what they show and play is that of the run."""

import numpy as np
import pytest

from tests.conftest import tones
from tests.widgets.test_player import page_state
from vqwn_kit import InputError, code_page, explore, save_audio
from vqwn_kit.cli.main import main
from vqwn_kit.workbench import find_frames, save_code_pages, swap_codes
from vqwn_kit.workbench.code_page import CodePages, file_of
from vqwn_kit.workbench.code_palette import code_palette
from vqwn_kit.workbench.code_panels import lift_text
from vqwn_kit.workbench.examine import examine_codes


@pytest.fixture(scope="module")
def pages(run, store):
    return CodePages(examine_codes(run, store, False, None), examples=2)


def test_a_page_plays_the_strongest_frames_with_the_code_in_their_middle(pages, store):
    token = int(pages.profiles.counts.argmax())
    page, index = pages.page(token), pages.index
    strongest = pages.profiles[token].strongest[:2]
    assert page.player.names == [index.name(frame) for frame in strongest]
    hop, rate = pages.context.model.hop_length, pages.context.frame_rate
    for frame, strip, wave in zip(
        strongest, page.player.own, page.player.tracks.values(), strict=True
    ):
        ((start, end),) = strip["marks"]
        first, last = round(start * rate), round(end * rate)
        assert set(strip["codes"][first:last]) == {token}
        whole = store.waveform(int(index.numbers[frame]))
        begin = max(0, index.places[frame] - round(0.3 * rate)) * hop
        assert np.array_equal(wave[160:-160], whole[begin : begin + len(wave)][160:-160])
    assert f"{pages.profiles.counts[token]:,}" == page.tiles[0][1]


def test_moments_of_a_recording_are_those_of_its_codes(pages, tmp_path):
    wave = tones(0.5, 180.0)
    codes = pages.context.model.encode(wave)[0]
    token = int(codes[3])
    spans = pages.page(token).try_on(wave)
    frames = [n for a, b in spans for n in range(round(a * 250), round(b * 250))]
    assert frames == np.flatnonzero(codes == token).tolist()
    save_audio(tmp_path / "a.wav", wave)
    assert len(pages.page(token).try_on(tmp_path / "a.wav")) > 0
    key = pages.context.store.corpus.utterances[int(pages.index.numbers[5])].key
    assert len(pages.page(int(pages.index.frames.codes[5, 0])).try_on(key)) > 0
    absent = int(np.setdiff1d(np.arange(32), codes)[0])
    page = pages.page(absent)
    with pytest.warns(UserWarning, match=f"no frame of recording has code {absent}; the nearest"):
        assert page.try_on(wave) == []
    vectors = pages.profiles.vectors
    far = {code: np.linalg.norm(vectors[code] - vectors[absent]) for code in set(codes.tolist())}
    assert page.problem.endswith("are " + ", ".join(map(str, sorted(far, key=far.get)[:3])))


def test_a_page_is_text_and_a_table_too(pages):
    token = int(pages.profiles.counts.argmax())
    page, profile = pages.page(token), pages.profiles[token]
    text = str(page)
    share = f"{profile.count:,} ({profile.percent:.2g} % of all)"
    assert text.startswith(f"{page.title}: code {token}: frames {share}")
    assert f"\n  voices: {profile.voices[0].name} {100 * profile.voices[0].share:.0f} %" in text
    assert f"\n  codes before: {profile.before[0].name} " in text
    assert f"\n  codes after: {profile.after[0].name} " in text
    table = page.table()
    assert len({len(column) for column in table.values()}) == 1
    place = table["panel"].index("Voices")
    first = {name: column[place] for name, column in table.items()}
    voice = profile.voices[0]
    assert first["name"] == voice.name
    assert (first["share"], first["lift"], first["count"]) == (voice.share, voice.lift, voice.count)
    near = table["panel"].index("Neighbours in the codebook")
    assert table["distance"][near] == profile.neighbours[0].distance
    kinds = {type(value) for column in table.values() for value in column}
    assert kinds <= {str, float, int, type(None)}
    assert not any("\u00a0" in str(value) for column in table.values() for value in column)


def test_a_page_of_an_unused_code_is_text_too(pages):
    unused = np.flatnonzero(pages.profiles.counts == 0)
    for token in unused[:1].tolist():
        assert "frames 0 (0 % of all)" in str(pages.page(token))


def test_all_pages_are_written_with_an_index_that_links_to_them(pages, tmp_path):
    written = pages.save(tmp_path / "codes")
    assert len(written) == 33
    assert written[-1].name == "index.html"
    index = written[-1].read_text()
    assert all(f'href="{path.name}"' in index for path in written[:-1])
    token = int(pages.profiles.counts.argmax())
    state = page_state(written[token].read_text())
    assert len(state["player"]["pcm"]) == 2
    near = pages.profiles[token].neighbours[0].token
    assert state["hrefs"][str(near)] == file_of(str(near))
    assert state["hrefs"]["index"] == "index.html"
    unused = np.flatnonzero(pages.profiles.counts == 0)
    if len(unused):
        assert "No frame of" in page_state(written[int(unused[0])].read_text())["note"]


def test_names_of_files_sort_by_number():
    assert file_of("17") == "code_0017.html"
    assert file_of("1:17") == "code_1_0017.html"


def test_lifts_have_two_digits():
    assert [lift_text(x) for x in (0.042, 0.42, 1.52, 15.2)] == [
        "× 0.04",
        "× 0.42",
        "× 1.5",
        "× 15",
    ]


def test_a_map_and_a_table_lead_to_the_page(run, store):
    explorer = explore(run, "codebook", store, methods=("pca",), progress=False)
    assert explorer.open_page(3).token == 3
    frames = explore(run, "frames", store, frames=9, methods=("pca",), progress=False)
    code = int(frames.table([0])["code"][0])
    assert frames.open_page(0).token == code
    cross = frames.names.index(f"code {code}")
    assert frames.open_page(cross).token == code


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"code": 32}, "no code 32; there are 0 to 31"),
        ({"code": 0, "codebook": 1}, "no codebook 1"),
        ({"code": 0, "examples": 0}, "examples=0; expected 1 to 9"),
    ],
)
def test_invalid_pages_are_refused(run, store, settings, match):
    with pytest.raises(InputError, match=match):
        code_page(run, data=store, progress=False, **settings)


def test_pages_of_residual_codes_are_of_one_codebook(residual_run, store, tmp_path):
    page = code_page(residual_run, 2, store, codebook=1, progress=False)
    assert page.name == "1:2"
    written = save_code_pages(residual_run, tmp_path, store, examples=1, progress=False)
    assert len(written) == 25
    assert written[10].name == "code_1_0002.html"


def test_the_command_writes_the_pages(run, folder, tmp_path, capsys):
    arguments = ["visualise", "--run", str(run.folder), "--data", str(folder)]
    assert main([*arguments, "--codes", str(tmp_path / "codes")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "codes" / "index.html")
    assert main(["visualise", "--codes", "x"]) == 2
    assert "--codes needs a run" in capsys.readouterr().err


def test_the_frames_nearest_to_a_moment_are_found_in_other_utterances(pages, run, store):
    number = int(pages.context.held_out[0])
    key = store.corpus.utterances[number].key
    found = find_frames(run, key, 0.1, store, count=3, progress=False)
    assert key not in found.nearest["utterance"]
    assert found.nearest["distance"] == sorted(found.nearest["distance"])
    title, head, *lines = str(found).splitlines()
    assert title.startswith(f"{key} at 0.10 s: code ")
    assert head.split() == ["utterance", "seconds", "code", "phone", "distance"]
    assert [line.split()[0] for line in lines] == found.nearest["utterance"]
    assert f" {found.nearest['code'][0]} " in lines[0]
    assert found.names[1] == f"{lines[0].split()[0]} at {lines[0].split()[1]} s"
    frames = pages.index.encoder(store.waveform(number))
    vector = frames.z_e[int(0.1 * 250)]
    others = pages.index.numbers != number
    least = np.linalg.norm(pages.index.frames.z_e[others] - vector, axis=1).min()
    assert found.nearest["distance"][0] == pytest.approx(least, abs=1e-3)
    code = int(frames.codes[25, 0])
    assert found.nearest_codes["code"][0] == str(code)
    assert found.nearest_codes["distance"] == sorted(found.nearest_codes["distance"])
    assert len(found.names) == 1 + len(found.nearest["utterance"])
    assert found.own[1]["marks"]


def test_a_moment_of_a_waveform_or_file_is_found_too(run, store, tmp_path):
    wave = tones(0.4, 170.0)
    save_audio(tmp_path / "a.wav", wave)
    first = find_frames(run, wave, 0.2, store, count=2, progress=False)
    second = find_frames(run, tmp_path / "a.wav", 0.2, store, count=2, progress=False)
    assert first.nearest["utterance"] == second.nearest["utterance"]
    lines = first.save_csv(tmp_path / "a.csv").read_text().splitlines()
    assert lines[0] == "utterance,seconds,speaker,phone,code,distance"
    assert len(lines) == 3
    with pytest.raises(InputError, match="expected 0 to 0.40"):
        find_frames(run, wave, 0.5, store, progress=False)
    with pytest.raises(InputError, match="neither an utterance of"):
        find_frames(run, "nobody_001", 0.1, store, progress=False)


def test_a_swap_is_a_player_of_both_versions(run, store):
    number = int(store.numbers("held_out")[0])
    member = store.corpus.utterances[number]
    codes = run.model.encode(store.waveform(number))[0]
    code = int(np.bincount(codes).argmax())
    by = (code + 1) % 32
    player = swap_codes(run, member.key, code, by, data=store)
    assert player.names == ["recording", "its codes", f"{by} for {code}"]
    assert player.own[1]["codes"] == codes.tolist()
    assert player.own[2]["codes"] == np.where(codes == code, by, codes).tolist()
    marked = sum(round((b - a) * 250) for a, b in player.own[0]["marks"])
    assert marked == (codes == code).sum()
    assert np.array_equal(player.tracks["its codes"], player.swap.waveforms[0])
    assert [ax.get_title() for ax in player.figure().axes][:3] == [
        *player.names[1:],
        "difference",
    ]
    with pytest.raises(InputError, match="no code 99"):
        swap_codes(run, member.key, code, 99, data=store)
    single = swap_codes(run, member.key, None, by, at=9, data=store)
    assert single.swap.changed[9]
    assert set(codes[single.swap.changed]) == {codes[9]}
    with pytest.raises(InputError, match="code=None, at=None: give a code, or a frame"):
        swap_codes(run, member.key, None, by, data=store)


def test_a_swap_of_residual_codes_is_of_one_codebook(residual_run, store):
    key = store.corpus.utterances[int(store.numbers("held_out")[0])].key
    settings = {"at": 9, "data": store}
    swapped = swap_codes(residual_run, key, None, 3, codebook=1, **settings).swap
    before, after = swapped.codes
    assert (after[9] != before[9]).tolist() == [False, before[9, 1] != 3, False]
    assert set(after[swapped.changed][:, 1]) == {3}
    assert np.array_equal(after[:, [0, 2]], before[:, [0, 2]])
    with pytest.raises(InputError, match="no codebook 3; there are 0 to 2"):
        swap_codes(residual_run, key, None, 3, codebook=3, **settings)


def test_the_frames_of_residual_codes_are_found_with_a_code_of_each_codebook(residual_run, store):
    found = find_frames(residual_run, tones(0.4, 170.0), 0.2, store, count=2, progress=False)
    assert [code.split(":")[0] for code in found.nearest_codes["code"]] == ["0", "1", "2"]
    assert all(len(codes.split()) == 3 for codes in found.nearest["code"])


def test_codes_have_the_colours_of_the_run_in_all_players(pages, run, store):
    palette, key = code_palette(run), store.corpus.utterances[0].key
    page = pages.page(int(pages.profiles.counts.argmax()))
    page.try_on(tones(0.4, 170.0))
    found = find_frames(run, key, 0.1, store, count=1, progress=False)
    swapped = swap_codes(run, key, None, 3, at=9, data=store)
    for player in (page.player, page.trial, found, swapped):
        strip = player.own[0] if player.own else player.trait_values()
        assert strip["code_colours"] == palette[np.array(strip["codes"])].tobytes()
