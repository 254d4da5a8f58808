"""lessons: what only notebooks need."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "codebook_2d": ["codebook_pulls", "follow_codebook", "point_clouds"],
        "receptive_field": ["listening_profile", "reach"],
    },
)
