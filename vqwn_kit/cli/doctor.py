"""The command that diagnoses a run: doctor."""

import argparse

import vqwn_kit as vq


def _doctor_options(add) -> None:
    add("run", "a run folder, a checkpoint RUN/weights-STEP, or the name of a run", metavar="RUN")
    add("--data", "the corpus (default: that of the run)", metavar="FOLDER")
    figure = "draw the curves over those of runs that went well, such as doctor.png"
    add("--figure", figure, metavar="FILE")
    measured = "also examine on held-out speech what the decoder makes of codes and speakers"
    add("--measured", measured, action=argparse.BooleanOptionalAction, default=True)


def _doctor(options) -> None:
    """Say what is wrong with a run, why, what to change, and whether to wait or to stop."""
    diagnosis = vq.diagnose(options.run, options.data, measured=options.measured)
    print(diagnosis)
    if options.figure:
        print(diagnosis.save_figure(options.figure))


COMMANDS = {"doctor": (_doctor_options, _doctor)}
