"""A run and its corpus -> the utterances whose codes the views are about."""

from vqwn_kit.errors import InputError
from vqwn_kit.evaluation.context import EvaluationContext, evaluation_context
from vqwn_kit.runs.corpus_of import store_of
from vqwn_kit.runs.run import load_run


def examine_codes(run, data, progress: bool, utterances: int | None) -> EvaluationContext:
    """Return a run and the utterances that it is examined on; InputError without a codebook."""
    run = load_run(run)
    if not run.model.bottleneck.num_embeddings:
        raise InputError(f"{run.folder} has no codebook (an autoencoder): there are no codes")
    store = store_of(run, data, progress)
    return evaluation_context(run, store, utterances, progress=progress)
