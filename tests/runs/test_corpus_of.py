"""The folder of a corpus, as the config of a run notes it."""

from vqwn_kit.runs import corpus_of


def test_a_corpus_is_noted_below_the_project_only_where_there_is_one(tmp_path, monkeypatch):
    """Elsewhere the root is the working folder, which is another one tomorrow."""
    monkeypatch.setattr(corpus_of, "project_root", lambda: tmp_path)
    speech = tmp_path / "speech" / "own"
    assert corpus_of._shortest(speech) == str(speech)
    (tmp_path / "data" / "mini").mkdir(parents=True)
    assert corpus_of._shortest(speech) == "speech/own"
    assert corpus_of._shortest(tmp_path.parent) == str(tmp_path.parent)
