from . import (
    data as data,
)
from . import (
    evaluation as evaluation,
)
from . import (
    lessons as lessons,
)
from . import (
    models as models,
)
from . import (
    plots as plots,
)
from . import (
    presets as presets,
)
from . import (
    prior as prior,
)
from . import (
    projector as projector,
)
from . import (
    runs as runs,
)
from . import (
    sampling as sampling,
)
from . import (
    training as training,
)
from . import (
    widgets as widgets,
)
from . import (
    workbench as workbench,
)
from .data.audio import (
    load_audio as load_audio,
)
from .data.audio import (
    save_audio as save_audio,
)
from .data.check import check_corpus as check_corpus
from .data.corpus import (
    Corpus as Corpus,
)
from .data.corpus import (
    example_corpus as example_corpus,
)
from .data.corpus import (
    open_corpus as open_corpus,
)
from .data.download import download_corpus as download_corpus
from .data.segments import Segments as Segments
from .data.store import (
    Store as Store,
)
from .data.store import (
    prepare as prepare,
)
from .errors import InputError as InputError
from .evaluation.evaluate import score_card as score_card
from .evaluation.score_card import ScoreCard as ScoreCard
from .files import results as results
from .models.vqvae import VQVAE as VQVAE
from .presets.preset import (
    build_model as build_model,
)
from .presets.preset import (
    load_preset as load_preset,
)
from .presets.training_config import TrainingConfig as TrainingConfig
from .prior.load import load_prior as load_prior
from .prior.sample import sample_speech as sample_speech
from .prior.train import train_prior as train_prior
from .projector.export import export_projector as export_projector
from .projector.server import open_projector as open_projector
from .runs.run import (
    Run as Run,
)
from .runs.run import (
    load_run as load_run,
)
from .sampling.generate import (
    convert_voice as convert_voice,
)
from .sampling.generate import (
    generate as generate,
)
from .sampling.generate import (
    interpolate_voices as interpolate_voices,
)
from .sampling.generate import (
    reconstruct as reconstruct,
)
from .sampling.generate import (
    stream as stream,
)
from .training.compare import (
    Comparison as Comparison,
)
from .training.compare import (
    compare as compare,
)
from .training.train import train as train
from .widgets.explorer import Explorer as Explorer
from .widgets.player import Player as Player
from .workbench.describe import describe as describe
from .workbench.explorers import (
    explore as explore,
)
from .workbench.explorers import (
    play as play,
)
from .workbench.monitor import monitor as monitor
from .workbench.report import listen as listen
from .workbench.voice_lab import (
    time_lapse as time_lapse,
)
from .workbench.voice_lab import (
    voice_lab as voice_lab,
)

__version__: str
__all__: list[str]
