from . import (
    data as data,
    evaluation as evaluation,
    lessons as lessons,
    models as models,
    plots as plots,
    presets as presets,
    prior as prior,
    projector as projector,
    runs as runs,
    sampling as sampling,
    training as training,
    widgets as widgets,
    workbench as workbench,
)
from .data.audio import load_audio as load_audio, save_audio as save_audio
from .data.check import check_corpus as check_corpus
from .data.corpus import (
    Corpus as Corpus,
    example_corpus as example_corpus,
    open_corpus as open_corpus,
)
from .data.download import download_corpus as download_corpus
from .data.segments import Segments as Segments
from .data.store import prepare as prepare
from .errors import InputError as InputError
from .evaluation.diagnosis import diagnose as diagnose
from .evaluation.evaluate import score_card as score_card
from .evaluation.score_card import ScoreCard as ScoreCard
from .files import results as results
from .models.vqvae import VQVAE as VQVAE
from .presets.build import build_model as build_model
from .presets.preset import load_preset as load_preset
from .prior.load import load_prior as load_prior
from .prior.rate_quality import rate_quality as rate_quality
from .prior.sample import sample_speech as sample_speech
from .prior.train import train_prior as train_prior
from .projector.export import export_projector as export_projector
from .projector.server import open_projector as open_projector
from .runs.encode import encode_files as encode_files
from .runs.run import Run as Run, load_run as load_run
from .sampling.generate import (
    convert_voice as convert_voice,
    generate as generate,
    interpolate_voices as interpolate_voices,
    reconstruct as reconstruct,
    stream as stream,
)
from .training.add_voice import add_voice as add_voice
from .training.compare import compare as compare
from .training.train import train as train
from .widgets.explorer import Explorer as Explorer
from .widgets.listen import listen as listen
from .widgets.player import Player as Player
from .workbench.code_page import code_page as code_page
from .workbench.compare_runs import compare_runs as compare_runs
from .workbench.describe import describe as describe
from .workbench.explore import explore as explore
from .workbench.monitor import monitor as monitor
from .workbench.players import play as play, time_lapse as time_lapse
from .workbench.voice_lab import voice_lab as voice_lab

__version__: str
__all__: list[str]
